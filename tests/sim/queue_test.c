/* The queue in a simulated world: rounds, groups, reports, ages. */
#include "queue_world.h"

#define MINUTE_MS UINT64_C(60000)
#define HOUR_MS   (60 * MINUTE_MS)
#define DAY_MS    (24 * HOUR_MS)

static struct queue_world *w;

static void begin(void)
{
    w = world_new(1, NULL);
}

static void test_groups(void)
{
    static const char *const rcpts[] = {"a@one.example", "joe@example.org", "b@two.example",
                                        "c@one.example", "ann@example.org", "d@ONE.example"};
    struct put p = {.sender = "ann@example.org", .rcpts = rcpts, .num_rcpts = 5};
    begin();
    struct far *one = world_far(w, "one.example", FAR_ACCEPT);
    struct far *two = world_far(w, "two.example", FAR_ACCEPT);
    world_start_ready(w);
    uint64_t id = world_put(w, &p);
    CHECK(world_run(w, 1000, 1000));
    CHECK_EQ(one->num_started, 1);
    CHECK_EQ(two->num_started, 1);
    for (uint32_t i = 0; i < 5; i++) {
        CHECK_EQ(world_num_taken(w, id, i), i == 0 || i == 2 || i == 3);
    }
    CHECK_EQ(world_mails(w, "joe", NULL), 1);
    CHECK_EQ(world_mails(w, "ann", NULL), 1);
    for (uint32_t i = 0; i < 4; i += i == 0 ? 2 : 1) {
        char line[160];
        snprintf(line, sizeof line,
                 "result=relayed host=\"mx.far.example\" to=\"%s\" reply=\"250 2.0.0", rcpts[i]);
        CHECK_EQ(sim_log_count(w->host, line), 1);
    }
    CHECK_EQ(sim_log_count(w->host, "result=delivered to=\"joe@example.org\" file="), 1);
    world_check_empty(w);
    world_free(w);
}

/* A thousand recipients of one destination and one of another, two at a time. */
static void test_many_recipients(void)
{
    static char names[1000][32];
    static const char *rcpts[1000];
    struct put p = {.sender = "ann@example.org", .rcpts = rcpts, .num_rcpts = 1000};
    for (int i = 0; i < 1000; i++) {
        snprintf(names[i], sizeof names[i], "u%d@%s.example", i, i == 500 ? "two" : "one");
        rcpts[i] = names[i];
    }
    begin();
    struct far *one = world_far(w, "one.example", FAR_ACCEPT);
    world_far(w, "two.example", FAR_ACCEPT);
    one->jobs_max = 2;
    world_start_ready(w);
    uint64_t id = world_put(w, &p);
    CHECK(world_run(w, 10000, 20000));
    CHECK_EQ(one->num_jobs_seen_max, 2);
    CHECK_EQ(one->num_started, (999 + 63) / 64);
    for (uint32_t i = 0; i < 1000; i++) {
        CHECK_EQ(world_num_taken(w, id, i), 1);
    }
    world_check_empty(w);
    world_free(w);
}

/* One destination hangs, with many messages for it; others and local mail go on. */
static void test_hung_destination(void)
{
    begin();
    struct far *hung = world_far(w, "hung.example", FAR_HANG);
    world_far(w, "good.example", FAR_ACCEPT);
    hung->jobs_max = 3;
    world_start_ready(w);
    for (int i = 0; i < 100; i++) {
        CHECK(world_put_to(w, "ann@example.org", "x@hung.example") != 0);
    }
    CHECK(world_run(w, 1000, 10000));
    CHECK_EQ(hung->num_jobs, 3);
    CHECK_EQ(w->queue.num_active, 3);
    uint64_t asked = hung->num_asked;
    for (int i = 0; i < 100; i++) {
        CHECK(world_put_to(w, "ann@example.org", "x@good.example") != 0);
        CHECK(world_put_to(w, "ann@example.org", "joe@example.org") != 0);
    }
    CHECK(world_run(w, 10000, 20000));
    CHECK_EQ(w->smtp->num_taken, 100);
    CHECK_EQ(world_mails(w, "joe", NULL), 100);
    CHECK_EQ(hung->num_jobs, 3);
    /* Each job that ended asked it once more at the most. */
    CHECK(hung->num_asked - asked <= 110);
    /* It answers again: all goes. */
    hung->mode = FAR_ACCEPT;
    CHECK(world_run(w, 2 * HOUR_MS, 100000));
    CHECK_EQ(w->smtp->num_taken, 200);
    world_check_empty(w);
    world_free(w);
}

/* A connection that leaves holds its place longer than its job did, and the one job under way is
 * another destination's, and hangs. */
static void test_place_without_a_job(void)
{
    begin();
    world_far(w, "hung.example", FAR_HANG);
    struct far *leaving = world_far(w, "good.example", FAR_ACCEPT);
    world_start_ready(w);
    CHECK(world_put_to(w, "ann@example.org", "x@hung.example") != 0);
    leaving->jobs_max = leaving->num_jobs = 1;
    CHECK(world_put_to(w, "ann@example.org", "x@good.example") != 0);
    CHECK(world_run(w, 3000, 10000));
    CHECK_EQ(w->smtp->num_taken, 0);
    leaving->num_jobs = 0;
    w->smtp->num_left++;
    CHECK(world_run(w, 3000, 10000));
    CHECK_EQ(w->smtp->num_taken, 1);
    world_free(w);
}

/* All jobs are taken by one destination: the others get theirs in turn. */
static void test_all_jobs_taken(void)
{
    begin();
    world_far(w, "slow.example", FAR_ACCEPT)->job_ms = 5000;
    world_far(w, "other.example", FAR_ACCEPT);
    world_start_ready(w);
    for (int i = 0; i < 200; i++) {
        CHECK(world_put_to(w, "ann@example.org", "x@slow.example") != 0);
    }
    uint64_t id = world_put_to(w, "ann@example.org", "x@other.example");
    CHECK(world_run(w, 15000, 20000));
    CHECK_EQ(world_num_taken(w, id, 0), 1);
    CHECK(world_run(w, 200000, 20000));
    CHECK_EQ(w->smtp->num_taken, 201);
    world_check_empty(w);
    world_free(w);
}

/* More destinations are full than have a list. */
static void test_more_destinations_than_lists(void)
{
    char name[32];
    begin();
    for (int i = 0; i < WORLD_FARS; i++) {
        snprintf(name, sizeof name, "far%d.example", i);
        world_far(w, name, FAR_ACCEPT)->job_ms = 1000;
    }
    world_start_ready(w);
    for (int i = 0; i < 3 * WORLD_FARS; i++) {
        snprintf(name, sizeof name, "x@far%d.example", i % WORLD_FARS);
        CHECK(world_put_to(w, "ann@example.org", name) != 0);
    }
    CHECK(world_run(w, MINUTE_MS, 50000));
    CHECK_EQ(w->smtp->num_taken, 3 * WORLD_FARS);
    world_check_empty(w);
    world_free(w);
}

/* As many recipients as may be, to many destinations in turn: the search for more of each group is
 * bounded, so that the work of a step is. */
static void test_many_recipients_of_many(void)
{
    static char names[SPOOL_RCPTS_MAX][32];
    static const char *rcpts[SPOOL_RCPTS_MAX];
    struct put p = {.sender = "ann@example.org", .rcpts = rcpts, .num_rcpts = SPOOL_RCPTS_MAX};
    begin();
    for (int i = 0; i < WORLD_FARS; i++) {
        char name[32];
        snprintf(name, sizeof name, "far%d.example", i);
        world_far(w, name, FAR_ACCEPT);
    }
    for (int i = 0; i < SPOOL_RCPTS_MAX; i++) {
        snprintf(names[i], sizeof names[i], "u%d@far%d.example", i, i % WORLD_FARS);
        rcpts[i] = names[i];
    }
    world_start_ready(w);
    uint64_t id = world_put(w, &p);
    CHECK(id != 0);
    CHECK(world_run(w, 10 * MINUTE_MS, 200000));
    CHECK_EQ(w->smtp->num_taken, SPOOL_RCPTS_MAX);
    for (uint32_t i = 0; i < SPOOL_RCPTS_MAX; i += 100) {
        CHECK_EQ(world_num_taken(w, id, i), 1);
    }
    CHECK(w->queue.counts.step_ops_max < 10000);
    world_check_empty(w);
    world_free(w);
}

/* A message for a destination that is busy with another one, and for one that defers it. */
static uint64_t begin_blocked_and_deferred(struct far **out_hung, struct far **out_later)
{
    static const char *const rcpts[] = {"x@hung.example", "x@later.example"};
    struct put p = {.sender = "ann@example.org", .rcpts = rcpts, .num_rcpts = 2};
    begin();
    *out_hung = world_far(w, "hung.example", FAR_HANG);
    *out_later = world_far(w, "later.example", FAR_DEFER);
    (*out_hung)->jobs_max = 1;
    world_start_ready(w);
    CHECK(world_put_to(w, "ann@example.org", "y@hung.example") != 0);
    return world_put(w, &p);
}

/* A message for a hung and a deferring destination: the second is not asked more often for it. */
static void test_blocked_and_deferred(void)
{
    struct far *hung, *later;
    uint64_t id = begin_blocked_and_deferred(&hung, &later);
    CHECK(world_run(w, HOUR_MS - 60000, 20000));
    /* At 0, 5, 15 and 35 minutes, and a quarter more each time at the most. */
    CHECK(later->num_started >= 3 && later->num_started <= 4);
    hung->mode = FAR_ACCEPT;
    hung->job_ms = 100;
    CHECK(world_run(w, 5 * MINUTE_MS, 20000));
    CHECK_EQ(world_num_taken(w, id, 0), 1);
    CHECK(later->num_started <= 5);
    later->mode = FAR_ACCEPT;
    CHECK(world_run(w, 4 * HOUR_MS, 20000));
    CHECK_EQ(world_num_taken(w, id, 0), 1);
    CHECK_EQ(world_num_taken(w, id, 1), 1);
    world_check_empty(w);
    world_free(w);
}

/* The first one has a place again just when the message is late, and before the time of the second
 * one, whose last try took long: the sender is told of both. */
static void test_blocked_and_late(void)
{
    struct far *hung, *later;
    begin_blocked_and_deferred(&hung, &later);
    world_option(w, "delay_warning = 14m");
    world_read_conf(w);
    later->job_ms = 40 * MINUTE_MS; /* of its second try, from minute 5 on */
    CHECK(world_run(w, 50 * MINUTE_MS, 20000));
    CHECK_EQ(later->num_started, 2);
    w->smtp->num_left++; /* which wakes it */
    later->job_ms = 100;
    CHECK(world_run(w, 8 * MINUTE_MS, 20000));
    CHECK_EQ(later->num_started, 3);
    CHECK_EQ(world_mails(w, "ann", "\n<x@later.example>"), 1);
    CHECK_EQ(world_mails(w, "ann", "\n<x@hung.example>"), 1);
    hung->mode = later->mode = FAR_ACCEPT;
    CHECK(world_run(w, 4 * HOUR_MS, 20000));
    world_check_empty(w);
    world_free(w);
}

/* The same, and the way to the hung one changes while the message is blocked by it: it was woken
 * for a destination that it no longer had, and waited for the time of the other one. */
static void test_blocked_and_routed_anew(void)
{
    struct far *hung, *later;
    uint64_t id = begin_blocked_and_deferred(&hung, &later);
    CHECK(world_run(w, 10000, 20000));
    world_option(w, "route_list = hung.example smtp:relay.example ; * mx");
    world_read_conf(w);
    hung->mode = FAR_ACCEPT;
    hung->jobs_max = 2;
    w->smtp->num_left++; /* as after each change of options */
    CHECK(world_run(w, 5000, 20000));
    CHECK_EQ(world_num_taken(w, id, 0), 1);
    CHECK_EQ(later->num_started, 2);
    later->mode = FAR_ACCEPT;
    CHECK(world_run(w, 4 * HOUR_MS, 20000));
    CHECK_EQ(world_num_taken(w, id, 0), 1);
    CHECK_EQ(world_num_taken(w, id, 1), 1);
    world_check_empty(w);
    world_free(w);
}

/* A message for a smarthost that is away for a month, one a day: each comes back to its sender in
 * its time, and those of the last days arrive. Meanwhile the machine is off now and then. */
static void test_unreachable_for_a_month(void)
{
    begin();
    struct far *far = world_far(w, "far.example", FAR_DEAD);
    world_start_ready(w);
    for (int day = 0; day < 30; day++) {
        CHECK(world_put_to(w, "ann@example.org", "x@far.example") != 0);
        CHECK(world_run(w, DAY_MS, 20000));
        if (day % 7 == 6) {
            CHECK(world_stop(w));
            world_start_ready(w);
        }
    }
    far->mode = FAR_ACCEPT;
    CHECK(world_run(w, DAY_MS, 20000));
    uint32_t num_back = world_mails(w, "ann", "Status: 5.4.7\n");
    CHECK(num_back >= 24 && num_back <= 26);
    CHECK_EQ(w->smtp->num_taken + num_back, 30);
    CHECK_EQ(world_mails(w, "ann", "Action: delayed\n"), 30);
    /* 45 tries in 5 days at most: the doubling, then every 3 hours. */
    CHECK(far->num_asked < 30 * 60);
    world_check_empty(w);
    world_free(w);
}

/* The wall clock goes to 1970 and to 2106: nothing ages, nothing comes back. */
static void test_wall_clock_steps(void)
{
    begin();
    struct far *far = world_far(w, "far.example", FAR_DEAD);
    world_start_ready(w);
    uint64_t id = world_put_to(w, "ann@example.org", "x@far.example");
    static const int64_t times[] = {0, INT64_C(4291747200), 1767225600, INT64_C(4291747200), 0};
    for (int i = 0; i < 5; i++) {
        sim_host_set_wall(w->host, times[i], true);
        CHECK(world_run(w, 40 * MINUTE_MS, 20000));
        if (i == 2) {
            CHECK(world_stop(w));
            world_start_ready(w);
        }
    }
    CHECK_EQ(world_mails(w, "ann", NULL), 0);
    CHECK_EQ(queue_num_messages(&w->queue), 1);
    far->mode = FAR_ACCEPT;
    CHECK(world_run(w, 4 * HOUR_MS, 20000));
    CHECK_EQ(world_num_taken(w, id, 0), 1);
    world_check_empty(w);
    world_free(w);
}

/* The waits: 5 minutes, about twice that each time, 3 hours at most; by the age, so that they go on
 * after a restart where they were. */
static void test_retry_times(void)
{
    begin();
    world_option(w, "delay_warning = 0");
    struct far *far = world_far(w, "far.example", FAR_DEFER);
    world_start_ready(w);
    CHECK(world_put_to(w, "ann@example.org", "x@far.example") != 0);
    uint64_t begin_ms = sim_world_now_ms(w->world), last_ms = begin_ms, want_ms = 5 * MINUTE_MS;
    for (int i = 0; i < 12; i++) {
        uint64_t seen = far->num_started;
        while (far->num_started == seen) {
            world_step(w);
        }
        uint64_t now_ms = sim_world_now_ms(w->world), delay_ms = now_ms - last_ms;
        CHECK(delay_ms >= want_ms && delay_ms <= want_ms + want_ms / 4 + 3000);
        want_ms = now_ms - begin_ms + 5 * MINUTE_MS - 2000; /* ages are whole seconds */
        want_ms = want_ms < 3 * HOUR_MS ? want_ms : 3 * HOUR_MS;
        last_ms = now_ms;
        if (i == 2) { /* found and tried at once, then as before */
            CHECK(world_run(w, 1000, 1000));
            CHECK(world_stop(w));
            world_start_ready(w);
            CHECK(world_run(w, 1000, 1000));
            CHECK_EQ(far->num_started, seen + 2);
            last_ms = sim_world_now_ms(w->world) - 1000;
        }
    }
    far->mode = FAR_ACCEPT;
    CHECK(world_run(w, 4 * HOUR_MS, 20000));
    world_check_empty(w);
    world_free(w);
}

/* --- What a person asks for --- */

static enum queue_state state_of(uint64_t id)
{
    struct queue_info info;
    CHECK_EQ(queue_find(&w->queue, id, &info), ERR_OK);
    CHECK_EQ(info.id, id);
    return info.state;
}

static void restart(void)
{
    CHECK(world_stop(w));
    world_start_ready(w);
}

static void test_hold(void)
{
    begin();
    struct far *far = world_far(w, "far.example", FAR_DEAD);
    world_start_ready(w);
    uint64_t id = world_put_to(w, "ann@example.org", "x@far.example");
    uint64_t other = world_put_to(w, "ann@example.org", "x@far.example");
    CHECK(world_run(w, 1000, 1000));
    CHECK_EQ(state_of(id), QUEUE_STATE_WAITING);
    CHECK_EQ(queue_hold(&w->queue, id), ERR_OK);
    CHECK_EQ(queue_hold(&w->queue, id), ERR_EXISTS);
    CHECK_EQ(queue_retry_now(&w->queue, id), ERR_WRONG_STATE);
    CHECK_EQ(state_of(id), QUEUE_STATE_HELD);
    far->mode = FAR_ACCEPT;
    CHECK(world_run(w, DAY_MS, 20000));
    CHECK_EQ(world_num_taken(w, other, 0), 1);
    restart();
    CHECK(world_run(w, DAY_MS, 20000));
    CHECK_EQ(state_of(id), QUEUE_STATE_HELD);
    CHECK_EQ(world_num_taken(w, id, 0), 0);
    CHECK_EQ(queue_release(&w->queue, id), ERR_OK);
    CHECK_EQ(queue_release(&w->queue, id), ERR_WRONG_STATE);
    CHECK(world_run(w, 1000, 1000));
    CHECK_EQ(world_num_taken(w, id, 0), 1);
    CHECK_EQ(queue_hold(&w->queue, id), ERR_ABSENT);
    struct slice file;
    CHECK(sim_files_get(w->host, WORLD_HELD, &file));
    CHECK_EQ(file.len, 0);
    world_check_empty(w);
    world_free(w);
}

/* Messages that were held beyond their age, also over a restart: once they are released, each has
 * its turn, and so it has if other mail has just failed there. */
static void test_release_of_the_old(void)
{
    uint64_t ids[6];
    begin();
    struct far *far = world_far(w, "far.example", FAR_DEAD);
    world_start_ready(w);
    for (int i = 0; i < 6; i++) {
        ids[i] = world_put_to(w, "ann@example.org", "x@far.example");
        CHECK(world_run(w, 1000, 1000));
        CHECK_EQ(queue_hold(&w->queue, ids[i]), ERR_OK);
    }
    CHECK(world_run(w, DAY_MS, 20000));
    restart();
    CHECK(world_run(w, 6 * DAY_MS, 20000));
    far->mode = FAR_ACCEPT;
    far->jobs_max = 1;
    far->job_ms = 5000;
    far->back_off_until_ms = sim_world_now_ms(w->world) + MINUTE_MS;
    for (int i = 0; i < 6; i++) {
        CHECK_EQ(queue_release(&w->queue, ids[i]), ERR_OK);
    }
    CHECK(world_run(w, MINUTE_MS, 20000));
    CHECK_EQ(world_mails(w, "ann", NULL), 0);
    CHECK_EQ(w->smtp->num_taken, 6);
    world_check_empty(w);
    world_free(w);
}

/* A file of held messages that lies, and one that cannot be written. */
static void test_held_file(void)
{
    begin();
    world_far(w, "far.example", FAR_DEAD);
    sim_files_put_string(w->host, WORLD_HELD, "nonsense\n0000000000001\n\n\xff");
    world_start_ready(w);
    uint64_t id = world_put_to(w, "ann@example.org", "x@far.example");
    CHECK(world_run(w, 1000, 1000));
    sim_files_fail(w->host, WORLD_HELD, ERR_NO_SPACE);
    CHECK_EQ(queue_hold(&w->queue, id), ERR_OK);
    CHECK(world_run(w, 1000, 1000));
    CHECK_EQ(sim_log_count(w->host, "held-messages result=not-saved reason=no-space"), 1);
    sim_files_fail(w->host, WORLD_HELD, ERR_OK);
    CHECK(world_run(w, 2 * MINUTE_MS, 1000));
    struct slice file;
    CHECK(sim_files_get(w->host, WORLD_HELD, &file));
    CHECK_EQ(file.len, SPOOL_ID_TEXT_LEN + 1);
    CHECK_EQ(queue_remove(&w->queue, id, false), ERR_OK);
    world_check_empty(w);
    CHECK_EQ(world_mails(w, "ann", NULL), 0);
    world_free(w);
}

/* One that cannot be read for a moment: nothing goes out before it is known what is held; nor is it
 * written over. For good: the rest is delivered all the same. */
static void test_held_file_unreadable(void)
{
    for (int is_forever = 0; is_forever < 2; is_forever++) {
        begin();
        struct far *far = world_far(w, "far.example", FAR_DEAD);
        world_start_ready(w);
        uint64_t id = world_put_to(w, "ann@example.org", "x@far.example");
        uint64_t other = world_put_to(w, "ann@example.org", "x@far.example");
        CHECK(world_run(w, 1000, 1000));
        CHECK_EQ(queue_hold(&w->queue, id), ERR_OK);
        CHECK(world_run(w, 1000, 1000));
        CHECK(world_stop(w));
        far->mode = FAR_ACCEPT;
        sim_files_fail(w->host, WORLD_HELD, ERR_IO);
        world_start_ready(w);
        CHECK_EQ(queue_hold(&w->queue, other), ERR_OK);
        CHECK(world_run(w, 3000, 1000));
        CHECK_EQ(w->smtp->num_taken, 0);
        sim_files_fail(w->host, WORLD_HELD, is_forever ? ERR_IO : ERR_OK);
        CHECK(world_run(w, DAY_MS, 20000));
        CHECK(sim_log_count(w->host, "held-messages result=unreadable reason=io-error") >= 1);
        CHECK_EQ(world_num_taken(w, id, 0), is_forever);
        CHECK_EQ(world_num_taken(w, other, 0), 0);
        sim_files_fail(w->host, WORLD_HELD, ERR_OK);
        world_free(w);
    }
}

/* Removed while it waits, is held, or is under way; with a report and without. */
static void test_remove(void)
{
    static const char *const rcpts[] = {"x@far.example", "joe@example.org"};
    struct put p = {.sender = "ann@example.org", .rcpts = rcpts, .num_rcpts = 2};
    for (int how = 0; how < 6; how++) {
        begin();
        struct far *far = world_far(w, "far.example", how / 2 == 2 ? FAR_HANG : FAR_DEAD);
        world_start_ready(w);
        uint64_t id = world_put(w, &p);
        CHECK(world_run(w, 1000, 1000));
        if (how / 2 == 1) {
            CHECK_EQ(queue_hold(&w->queue, id), ERR_OK);
        }
        CHECK_EQ(queue_remove(&w->queue, id, how % 2 == 1), ERR_OK);
        CHECK(world_run(w, how / 2 == 2 ? 2 * HOUR_MS : MINUTE_MS, 2000));
        CHECK_EQ(queue_remove(&w->queue, id, false), ERR_ABSENT);
        CHECK_EQ(world_mails(w, "ann", "x@far.example"), how % 2);
        CHECK_EQ(world_mails(w, "ann", NULL), how % 2);
        CHECK_EQ(far->num_started, 1);
        restart();
        world_check_empty(w);
        world_free(w);
    }
}

/* One that was held stays so until it is gone: a report that cannot be written now, or the power,
 * does not let it out. */
static void test_remove_held(void)
{
    begin();
    struct far *far = world_far(w, "far.example", FAR_DEAD);
    world_start_ready(w);
    uint64_t id = world_put_to(w, "ann@example.org", "x@far.example");
    CHECK(world_run(w, 1000, 1000));
    CHECK_EQ(queue_hold(&w->queue, id), ERR_OK);
    CHECK(world_run(w, 1000, 1000));
    sim_host_set_entropy_failing(w->host, true);
    CHECK_EQ(queue_remove(&w->queue, id, true), ERR_OK);
    CHECK(world_run(w, MINUTE_MS, 2000));
    CHECK_EQ(state_of(id), QUEUE_STATE_WAITING);
    sim_host_set_entropy_failing(w->host, false);
    far->mode = FAR_ACCEPT;
    restart();
    CHECK(world_run(w, DAY_MS, 20000));
    CHECK_EQ(far->num_started, 1);
    CHECK_EQ(state_of(id), QUEUE_STATE_HELD);
    CHECK_EQ(queue_remove(&w->queue, id, true), ERR_OK);
    CHECK(world_run(w, MINUTE_MS, 2000));
    CHECK_EQ(world_mails(w, "ann", "x@far.example"), 1);
    CHECK_EQ(w->queue.num_held, 0);
    restart();
    world_check_empty(w);
    world_free(w);
}

/* A message whose envelope cannot be read any more is kept until a person gives it up. */
static void test_unreadable(void)
{
    const char *rcpt = "x@far.example";
    struct put p = {
        .sender = "ann@example.org", .rcpts = &rcpt, .num_rcpts = 1, .num_filler = 2000};
    begin();
    world_far(w, "far.example", FAR_DEAD);
    world_start_ready(w);
    uint64_t id = world_put(w, &p); /* large: in a segment of its own */
    for (uint32_t seg = 0; seg < 40 && sim_log_count(w->host, "reason=io-error") == 0; seg++) {
        CHECK(world_put_to(w, "", "joe@example.org") != 0); /* other pages are at hand now */
        sim_store_fail_read(sim_host_store(w->host), seg, 4096 + 50);
        CHECK_EQ(queue_retry_now(&w->queue, id), ERR_OK);
        CHECK(world_run(w, 1000, 1000));
    }
    CHECK(sim_log_count(w->host, "result=deferred reason=io-error") >= 1);
    CHECK_EQ(state_of(id), QUEUE_STATE_WAITING);
    CHECK_EQ(queue_remove(&w->queue, id, true), ERR_OK);
    CHECK(world_run(w, 1000, 1000));
    CHECK_EQ(sim_log_count(w->host, "result=lost reason=io-error"), 1);
    CHECK_EQ(queue_remove(&w->queue, id, true), ERR_ABSENT);
    world_check_empty(w);
    world_free(w);
}

/* Mail that was for another machine when it came is its user's once the options say so. Who is none
 * may become one; but not where none was looked for, as in the outbox. */
static void test_route_changes(void)
{
    static const char *const joes = "joe@far.example", *const nobodys = "nobody@far.example";
    for (uint32_t flags = 0; flags <= ENVELOPE_UNCHECKED; flags += ENVELOPE_UNCHECKED) {
        struct put to_joe = {"ann@far.example", &joes, 1, .meta_flags = flags};
        struct put to_nobody = {"ann@far.example", &nobodys, 1, .meta_flags = flags};
        begin();
        world_far(w, "far.example", FAR_DEAD);
        world_start_ready(w);
        uint64_t joe = world_put(w, &to_joe), nobody = world_put(w, &to_nobody);
        CHECK(world_run(w, 1000, 1000));
        CHECK(world_stop(w));
        char *list = strstr(w->conf_text, "local_domains = example.org");
        memcpy(list, "local_domains = far.example", 27);
        world_start_ready(w);
        CHECK(world_run(w, 1000, 1000));
        CHECK_EQ(world_mails(w, "joe", NULL), 1);
        CHECK_EQ(queue_retry_now(&w->queue, joe), ERR_ABSENT);
        CHECK_EQ(sim_log_count(w->host, "result=deferred reason=no-user"), flags == 0);
        CHECK_EQ(sim_log_count(w->host, "result=failed reason=no-user"), flags != 0);
        if (flags == 0) {
            CHECK_EQ(state_of(nobody), QUEUE_STATE_WAITING);
            CHECK_EQ(queue_remove(&w->queue, nobody, false), ERR_OK);
        }
        world_check_empty(w);
        world_free(w);
    }
}

static void test_retry_and_flush(void)
{
    begin();
    struct far *far = world_far(w, "far.example", FAR_DEAD);
    world_start_ready(w);
    uint64_t ids[40];
    for (int i = 0; i < 40; i++) {
        ids[i] = world_put_to(w, "ann@example.org", "x@far.example");
    }
    CHECK(world_run(w, 10000, 10000));
    far->mode = FAR_ACCEPT;
    CHECK_EQ(queue_retry_now(&w->queue, ids[7]), ERR_OK);
    CHECK(world_run(w, 1000, 1000));
    CHECK_EQ(world_num_taken(w, ids[7], 0), 1); /* although it backed off */
    CHECK_EQ(w->smtp->num_taken, 1);
    far->back_off_until_ms = UINT64_MAX;
    CHECK_EQ(queue_hold(&w->queue, ids[8]), ERR_OK);
    uint32_t cursor = 0, num = 0;
    struct queue_info info;
    while (queue_each(&w->queue, &cursor, &info)) {
        num++;
        CHECK_EQ(info.state, info.id == ids[8] ? QUEUE_STATE_HELD : QUEUE_STATE_WAITING);
        CHECK(info.state == QUEUE_STATE_HELD || (info.due_s > 200 && info.due_s <= 375));
        CHECK(info.age_s >= 10 && info.age_s <= 13);
    }
    CHECK_EQ(num, 39);
    CHECK_EQ(cursor, 0);
    CHECK_EQ(queue_flush(&w->queue), 38);
    CHECK(world_run(w, 10000, 10000));
    CHECK_EQ(w->smtp->num_taken, 39);
    CHECK_EQ(queue_release(&w->queue, ids[8]), ERR_OK);
    CHECK(world_run(w, 1000, 1000));
    /* Flushed and held at once: there is nothing to do for ever. */
    far->mode = FAR_DEAD;
    uint64_t id = world_put_to(w, "ann@example.org", "x@far.example");
    CHECK(world_run(w, 1000, 1000));
    CHECK_EQ(queue_flush(&w->queue), 1);
    CHECK_EQ(queue_hold(&w->queue, id), ERR_OK);
    CHECK(world_run(w, 1000, 1000));
    CHECK(!w->has_more);
    CHECK_EQ(queue_remove(&w->queue, id, false), ERR_OK);
    world_check_empty(w);
    world_free(w);
}

/* Far more messages than places: all that wait are tried at once, one after the other, and none is
 * left to its own time because another one was blocked and came again. */
static void test_flush_with_one_place(void)
{
    enum { NUM = 1500 };
    begin();
    struct far *far = world_far(w, "far.example", FAR_DEFER);
    far->jobs_max = 1;
    far->job_ms = 10;
    world_start_ready(w);
    for (int i = 0; i < NUM; i++) {
        CHECK(world_put_to(w, "ann@example.org", "x@far.example") != 0);
    }
    CHECK(world_run(w, 30000, 100000));
    CHECK_EQ(far->num_started, NUM);
    far->mode = FAR_ACCEPT;
    uint64_t asked = far->num_asked, ops_max = w->queue.counts.step_ops_max;
    CHECK_EQ(queue_flush(&w->queue), NUM);
    CHECK(world_run(w, 30000, 100000));
    CHECK_EQ(w->smtp->num_taken, NUM);
    CHECK_EQ(far->num_started, 2 * NUM);
    /* Each was blocked once at the most, and then woken. */
    CHECK(far->num_asked - asked <= 4 * NUM);
    CHECK(w->queue.counts.step_ops_max - ops_max < 3000);
    world_check_empty(w);
    world_free(w);
}

static const struct test_case cases[] = {
    {"groups", test_groups},
    {"many-recipients", test_many_recipients},
    {"hung-destination", test_hung_destination},
    {"place-without-a-job", test_place_without_a_job},
    {"all-jobs-taken", test_all_jobs_taken},
    {"more-destinations-than-lists", test_more_destinations_than_lists},
    {"many-recipients-of-many", test_many_recipients_of_many},
    {"blocked-and-deferred", test_blocked_and_deferred},
    {"blocked-and-late", test_blocked_and_late},
    {"blocked-and-routed-anew", test_blocked_and_routed_anew},
    {"unreachable-for-a-month", test_unreachable_for_a_month},
    {"wall-clock-steps", test_wall_clock_steps},
    {"retry-times", test_retry_times},
    {"hold", test_hold},
    {"release-of-the-old", test_release_of_the_old},
    {"held-file", test_held_file},
    {"held-file-unreadable", test_held_file_unreadable},
    {"remove", test_remove},
    {"remove-held", test_remove_held},
    {"unreadable", test_unreadable},
    {"route-changes", test_route_changes},
    {"retry-and-flush", test_retry_and_flush},
    {"flush-with-one-place", test_flush_with_one_place},
};

TEST_MAIN(cases)

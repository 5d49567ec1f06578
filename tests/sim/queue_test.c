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

static void start(void)
{
    world_start(w);
    CHECK(world_wait_ready(w));
}

/* Nothing waits here or in the spool, no reservation is left, no memory. */
static void check_empty(void)
{
    CHECK(world_run(w, MINUTE_MS, 100000));
    CHECK_EQ(queue_num_messages(&w->queue), 0);
    CHECK_EQ(world_num_live(w), 0);
    CHECK_EQ(w->queue.items.num_used, 0);
    CHECK_EQ(w->queue.num_reports, 0);
    CHECK_EQ(w->queue.num_promised, 0);
    CHECK_EQ(w->queue.num_remote, 0);
    CHECK_EQ(w->queue.num_blocked, 0);
    CHECK(queue_is_idle(&w->queue));
    uint32_t num = 0;
    while (spool_reserve_outcome(w->spool) == ERR_OK) {
        num++;
    }
    CHECK_EQ(num, 64);
    for (uint32_t i = 0; i < num; i++) {
        spool_release_outcome(w->spool);
    }
}

static void test_groups(void)
{
    static const char *const rcpts[] = {"a@one.example", "joe@example.org", "b@two.example",
                                        "c@one.example", "ann@example.org", "d@ONE.example"};
    struct put p = {.sender = "ann@example.org", .rcpts = rcpts, .num_rcpts = 5};
    begin();
    struct far *one = world_far(w, "one.example", FAR_ACCEPT);
    struct far *two = world_far(w, "two.example", FAR_ACCEPT);
    start();
    uint64_t id = world_put(w, &p);
    CHECK(world_run(w, 1000, 1000));
    CHECK_EQ(one->num_started, 1);
    CHECK_EQ(two->num_started, 1);
    for (uint32_t i = 0; i < 5; i++) {
        CHECK_EQ(world_num_taken(w, id, i), i == 0 || i == 2 || i == 3);
    }
    CHECK_EQ(world_mails(w, "joe", NULL), 1);
    CHECK_EQ(world_mails(w, "ann", NULL), 1);
    CHECK_EQ(sim_log_count(w->host, "result=relayed host=\"mx.far.example\" reply=\"250 2.0.0"), 3);
    check_empty();
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
    start();
    uint64_t id = world_put(w, &p);
    CHECK(world_run(w, 10000, 20000));
    CHECK_EQ(one->num_jobs_seen_max, 2);
    CHECK_EQ(one->num_started, (999 + 63) / 64);
    for (uint32_t i = 0; i < 1000; i++) {
        CHECK_EQ(world_num_taken(w, id, i), 1);
    }
    check_empty();
    world_free(w);
}

/* One destination hangs, with many messages for it; others and local mail go on. */
static void test_hung_destination(void)
{
    begin();
    struct far *hung = world_far(w, "hung.example", FAR_HANG);
    world_far(w, "good.example", FAR_ACCEPT);
    hung->jobs_max = 3;
    start();
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
    check_empty();
    world_free(w);
}

/* All jobs are taken by one destination: the others get theirs in turn. */
static void test_all_jobs_taken(void)
{
    begin();
    world_far(w, "slow.example", FAR_ACCEPT)->job_ms = 5000;
    world_far(w, "other.example", FAR_ACCEPT);
    start();
    for (int i = 0; i < 200; i++) {
        CHECK(world_put_to(w, "ann@example.org", "x@slow.example") != 0);
    }
    uint64_t id = world_put_to(w, "ann@example.org", "x@other.example");
    CHECK(world_run(w, 15000, 20000));
    CHECK_EQ(world_num_taken(w, id, 0), 1);
    CHECK(world_run(w, 200000, 20000));
    CHECK_EQ(w->smtp->num_taken, 201);
    check_empty();
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
    start();
    for (int i = 0; i < 3 * WORLD_FARS; i++) {
        snprintf(name, sizeof name, "x@far%d.example", i % WORLD_FARS);
        CHECK(world_put_to(w, "ann@example.org", name) != 0);
    }
    CHECK(world_run(w, 10 * MINUTE_MS, 50000));
    CHECK_EQ(w->smtp->num_taken, 3 * WORLD_FARS);
    check_empty();
    world_free(w);
}

/* A message for a hung and a deferring destination: the second is not asked more often for it. */
static void test_blocked_and_deferred(void)
{
    static const char *const rcpts[] = {"x@hung.example", "x@later.example"};
    struct put p = {.sender = "ann@example.org", .rcpts = rcpts, .num_rcpts = 2};
    begin();
    struct far *hung = world_far(w, "hung.example", FAR_HANG);
    struct far *later = world_far(w, "later.example", FAR_DEFER);
    hung->jobs_max = 1;
    start();
    CHECK(world_put_to(w, "ann@example.org", "y@hung.example") != 0);
    uint64_t id = world_put(w, &p);
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
    check_empty();
    world_free(w);
}

static const struct test_case cases[] = {
    {"groups", test_groups},
    {"many-recipients", test_many_recipients},
    {"hung-destination", test_hung_destination},
    {"all-jobs-taken", test_all_jobs_taken},
    {"more-destinations-than-lists", test_more_destinations_than_lists},
    {"blocked-and-deferred", test_blocked_and_deferred},
};

TEST_MAIN(cases)

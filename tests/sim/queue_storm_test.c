/* The queue when it is worst: the power goes while a report is made, the spool is full of what
 * comes back, a hundred thousand messages wait. */
#include "posix_sanitized.h"
#include "queue_world.h"

#define MINUTE_MS UINT64_C(60000)
#define HOUR_MS   (60 * MINUTE_MS)

static struct queue_world *w;

/* --- The power goes --- */

static const char *const rcpts[] = {"a@bad.example", "joe@example.org", "b@good.example",
                                    "c@bad.example"};

/* A message with two recipients who fail; the power goes at operation at_op of the store (0:
 * never). Returns the id, 0 if it was not acknowledged. */
static uint64_t run_with_crash(uint64_t at_op, enum sim_crash how)
{
    struct sim_store_conf store = {.sync_ms = 5, .create_ms = 7};
    struct put p = {.sender = "ann@example.org", .rcpts = rcpts, .num_rcpts = 4};
    w = world_new(1 + at_op, &store);
    world_far(w, "bad.example", FAR_FAIL);
    world_far(w, "good.example", FAR_ACCEPT);
    sim_store_set_power_off(sim_host_store(w->host), at_op);
    world_start(w);
    uint64_t id = 0;
    if (world_wait_ready(w)) {
        id = world_put(w, &p);
        world_run(w, MINUTE_MS, 5000);
    }
    if (at_op != 0) {
        sim_host_crash(w->host, how);
        sim_store_set_power_off(sim_host_store(w->host), 0);
        world_start_ready(w);
        CHECK(world_run(w, 10 * MINUTE_MS, 5000));
    }
    return id;
}

static void check_crash(uint64_t id, uint64_t at_op)
{
    uint32_t num_a = world_mails(w, "ann", "a@bad.example");
    uint32_t num_c = world_mails(w, "ann", "c@bad.example");
    uint32_t num_joe = world_mails(w, "joe", NULL);
    uint32_t num_b = w->smtp->num_taken;
    bool is_fine = num_a <= 2 && num_c <= 2 && num_joe <= 1 && num_b <= 2;
    if (id != 0) {
        is_fine = is_fine && num_a >= 1 && num_c >= 1 && num_joe == 1 && num_b >= 1;
    }
    is_fine = is_fine && world_num_live(w) == 0 && queue_num_messages(&w->queue) == 0;
    if (!is_fine) {
        fprintf(stderr, "operation %llu: id %llx, reports %u %u, joe %u, good %u, live %u\n",
                (unsigned long long)at_op, (unsigned long long)id, num_a, num_c, num_joe, num_b,
                world_num_live(w));
    }
    CHECK(is_fine);
}

static void crash_everywhere(enum sim_crash how)
{
    struct sim_store_counts counts;
    CHECK(run_with_crash(0, how) != 0);
    sim_store_counts_of(sim_host_store(w->host), &counts);
    world_free(w);
    uint32_t num_double = 0, num_acked = 0;
    for (uint64_t op = 1; op <= counts.num_ops; op++) {
        uint64_t id = run_with_crash(op, how);
        check_crash(id, op);
        num_acked += id != 0;
        num_double += world_mails(w, "ann", NULL) > 1;
        world_free(w);
    }
    CHECK(num_acked >= 8); /* it went while the report was made, too */
    printf("power gone at %llu operations, %u times two reports\n",
           (unsigned long long)counts.num_ops, num_double);
}

static void test_crash(void)
{
    crash_everywhere(SIM_CRASH_LOSE);
    crash_everywhere(SIM_CRASH_KEEP);
    crash_everywhere(SIM_CRASH_MIXED);
}

/* A sync that fails, each in turn: the report in it does not exist, so its recipients fail again.
 * The message itself may be refused. */
static void test_failed_sync(void)
{
    struct put p = {
        .sender = "ann@example.org", .rcpts = rcpts, .num_rcpts = 4, .num_filler = 2000};
    uint32_t num_again = 0;
    for (uint64_t nth = 1; nth <= 12; nth++) {
        struct sim_store_conf store = {.sync_ms = 5, .create_ms = 7};
        w = world_new(nth, &store);
        world_far(w, "bad.example", FAR_FAIL);
        world_far(w, "good.example", FAR_ACCEPT);
        world_start_ready(w);
        sim_store_fail_sync(sim_host_store(w->host), nth, 1);
        uint64_t id = world_put(w, &p);
        CHECK(world_run(w, HOUR_MS, 5000));
        check_crash(id, 1000 + nth);
        num_again += sim_log_count(w->host, "result=deferred reason=io-error") != 0;
        world_free(w);
    }
    CHECK(num_again >= 1);
}

/* --- The spool is full --- */

static void check_limit(void)
{
    struct spool_stats stats;
    spool_stats_of(w->spool, &stats);
    CHECK(stats.live_len <= stats.live_limit_len + w->spool_conf.reserved_len);
    CHECK(stats.num_segments <= w->spool_conf.size_limit / w->spool_conf.segment_len);
}

/* Everything comes back, to a sender who cannot be reached: the spool fills, mail is refused, no
 * report is lost, and in the end every message has been told of or given up with a log line. */
static void storm(bool is_sudden, uint32_t num_hours, uint32_t num_filler)
{
    const char *rcpt = "x@bad.example";
    struct put p = {
        .sender = "s@dead.example", .rcpts = &rcpt, .num_rcpts = 1, .num_filler = num_filler};
    uint32_t num_accepted = 0, num_refused = 0;
    w = world_new(3, NULL);
    struct far *bad = world_far(w, "bad.example", is_sudden ? FAR_DEAD : FAR_FAIL);
    struct far *dead = world_far(w, "dead.example", FAR_DEAD);
    world_option(w, "delay_warning = 0");
    world_start_ready(w);
    for (uint32_t hour = 0; hour < num_hours; hour++) {
        uint64_t id = 1;
        for (int i = 0; i < 400 && id != 0; i++) {
            id = world_put(w, &p);
            num_accepted += id != 0;
            num_refused += id == 0;
            check_limit();
        }
        CHECK(world_run(w, HOUR_MS, 100000));
        check_limit();
    }
    CHECK(num_refused > 0);
    bad->mode = FAR_FAIL; /* if it was dead: now all that it held up comes back at once */
    CHECK(world_run(w, 10 * HOUR_MS, 1000000));
    check_limit();
    uint32_t num_deferred = (uint32_t)sim_log_count(w->host, "result=deferred reason=full");
    CHECK(num_deferred > 0 || !is_sudden || num_filler != 0);
    if (num_hours > 130) { /* reports have expired meanwhile and made room */
        CHECK(sim_log_count(w->host, "result=dropped reason=null-sender") > 0);
    }
    dead->mode = FAR_ACCEPT;
    CHECK(world_run(w, 140 * HOUR_MS, 1000000));
    uint32_t num_dropped =
        (uint32_t)sim_log_count(w->host, "result=dropped reason=null-sender rcpts=0 to=\"\"");
    uint32_t num_told = w->smtp->num_taken;
    printf("%u accepted, %u refused, %u told, %u dropped, %u lines about reports that waited\n",
           num_accepted, num_refused, num_told, num_dropped, num_deferred);
    CHECK_EQ(num_told + num_dropped, num_accepted);
    CHECK_EQ(world_num_live(w), 0);
    CHECK_EQ(queue_num_messages(&w->queue), 0);
    world_free(w);
}

static void test_storm(void)
{
    storm(false, 20, 0);
    storm(false, 20, 40);
    storm(false, 200, 4);
    storm(true, 20, 0);
    storm(true, 20, 100);
}

/* Reports for a mailbox that takes nothing for a while. */
static void test_full_mailbox(void)
{
    const char *rcpt = "x@bad.example";
    struct put p = {.sender = "ann@example.org", .rcpts = &rcpt, .num_rcpts = 1, .num_filler = 10};
    uint32_t num_accepted = 0;
    w = world_new(4, NULL);
    world_far(w, "bad.example", FAR_FAIL);
    world_option(w, "delay_warning = 0");
    world_start_ready(w);
    sim_mailbox_fail_begin(w->host, 1, 1000000, ERR_NO_SPACE);
    while (world_put(w, &p) != 0) {
        num_accepted++;
        check_limit();
    }
    CHECK(world_run(w, 10 * HOUR_MS, 1000000));
    check_limit();
    CHECK_EQ(world_mails(w, "ann", NULL), 0);
    sim_mailbox_fail_begin(w->host, 0, 0, ERR_OK);
    CHECK(world_run(w, 20 * HOUR_MS, 1000000));
    CHECK_EQ(world_mails(w, "ann", "x@bad.example"), num_accepted);
    CHECK_EQ(world_num_live(w), 0);
    world_free(w);
}

/* --- Many messages --- */

#ifdef POSIX_SANITIZED
#define MANY 5000 /* as sanitizers take their time */
#else
#define MANY 100000
#endif

static uint64_t put_many(uint32_t num)
{
    static const char *const rcpt = "x@far.example";
    struct put p = {.sender = "ann@example.org", .rcpts = &rcpt, .num_rcpts = 1};
    for (uint32_t i = 0; i < num;) {
        if (world_put_start(w, &p) == ERR_OK) {
            i++;
        } else {
            world_step(w);
        }
    }
    while (queue_num_messages(&w->queue) < num) {
        world_step(w);
    }
    return w->queue.counts.num_rounds;
}

/* num messages for a destination that is dead, over a restart, then alive and slow. Returns the
 * most work of a step. */
static uint64_t many(uint32_t num)
{
    w = world_new(5, NULL);
    w->spool_conf.segment_len = 1u << 20;
    w->spool_conf.size_limit = UINT64_C(400) << 20;
    w->spool_conf.max_messages = num + 100;
    w->spool_conf.max_txns = 60;
    w->limits.num_messages = num + 100;
    w->smtp->num_taken = 0;
    world_option(w, "delay_warning = 0");
    struct far *far = world_far(w, "far.example", FAR_DEAD);
    world_start_ready(w);
    put_many(num);
    CHECK(world_run(w, HOUR_MS, 3000000));
    CHECK_EQ(queue_num_messages(&w->queue), num);
    CHECK(!sim_host_is_off(w->host));
    uint64_t most = w->queue.counts.step_ops_max;
    CHECK(w->queue.counts.num_ops <= w->queue.counts.num_rounds * 20);
    CHECK(world_stop(w));
    world_start_ready(w);
    far->mode = FAR_ACCEPT;
    far->job_ms = 1;
    far->jobs_max = 10;
    far->back_off_until_ms = 0;
    uint64_t asked = far->num_asked;
    for (int i = 0; i < 4 * 60 && queue_num_messages(&w->queue) != 0; i++) {
        CHECK(world_run(w, MINUTE_MS, 3000000));
    }
    CHECK_EQ(w->smtp->num_taken, num);
    CHECK_EQ(queue_num_messages(&w->queue), 0);
    /* Not asked again and again by those that wait: first by each, then once for each end. */
    CHECK(far->num_asked - asked <= 6 * (uint64_t)num);
    CHECK(w->queue.counts.num_ops <= w->queue.counts.num_rounds * 20);
    most = w->queue.counts.step_ops_max > most ? w->queue.counts.step_ops_max : most;
    world_free(w);
    return most;
}

static void test_many_messages(void)
{
    struct spool_conf conf = {
        .size_limit = UINT64_C(400) << 20, .max_messages = 100000, .max_txns = 60};
    struct queue_limits limits = {.num_messages = 100000};
    size_t len = spool_memory_len(&conf, 4096);
    conf.max_messages = 1;
    len = (len - spool_memory_len(&conf, 4096)) / 100000 + queue_message_len(&limits);
    uint64_t few = many(1000), all = many(MANY);
    printf("a message that waits: %zu bytes beside its envelope; most work of a step: %llu with "
           "1000 messages, %llu with %d\n",
           len, (unsigned long long)few, (unsigned long long)all, MANY);
    CHECK(len <= 200);
    CHECK(all <= 2 * few);
}

static const struct test_case cases[] = {
    {"crash", test_crash},
    {"failed-sync", test_failed_sync},
    {"storm", test_storm},
    {"full-mailbox", test_full_mailbox},
    {"many-messages", test_many_messages},
};

TEST_MAIN(cases)

/* The sum of all runs: kept, raised by what messages tell, and never made longer by a crash. */
#include "running_time.h"

#include "sim_files.h"
#include "sim_world.h"
#include "test.h"

#define PATH "/spool/running-time"

static struct sim_world *world;
static struct sim_host *host;
static struct running_time rt;

static uint64_t open_now(void)
{
    running_time_open(&rt, sim_host_port(host), PATH);
    return sim_world_now_ms(world);
}

static void begin(void)
{
    world = sim_world_new(1);
    host = sim_host_new(world, NULL);
}

static void check_file(const char *want)
{
    struct slice bytes;
    CHECK(sim_files_get(host, PATH, &bytes));
    CHECK_TEXT(bytes, want);
}

static void test_sum_over_runs(void)
{
    begin();
    uint64_t now_ms = open_now();
    CHECK_EQ(running_time_s(&rt, now_ms), 1);
    CHECK_EQ(sim_log_count(host, "running-time result=unknown reason=absent"), 1);
    CHECK_EQ(running_time_s(&rt, now_ms + 100999), 101);
    running_time_close(&rt, now_ms + 100999);
    check_file("101\n");
    sim_world_advance(world, 5000000); /* switched off: does not count */
    now_ms = open_now();
    CHECK_EQ(running_time_s(&rt, now_ms), 101);
    CHECK_EQ(running_time_s(&rt, now_ms + 50000), 151);
    running_time_close(&rt, now_ms + 50000);
    check_file("151\n");
    CHECK_EQ(sim_log_num(host), 1);
    sim_world_free(world);
}

static void test_saved_every_few_minutes(void)
{
    begin();
    uint64_t now_ms = open_now();
    uint64_t due_ms = running_time_due_ms(&rt);
    CHECK(due_ms - now_ms <= 600000);
    running_time_step(&rt, due_ms - 1);
    struct slice bytes;
    CHECK(!sim_files_get(host, PATH, &bytes));
    running_time_step(&rt, due_ms);
    check_file("301\n");
    CHECK(running_time_due_ms(&rt) > due_ms);
    sim_files_fail(host, PATH, ERR_NO_SPACE); /* tried again at the next time */
    running_time_step(&rt, running_time_due_ms(&rt));
    running_time_step(&rt, running_time_due_ms(&rt));
    CHECK_EQ(sim_log_count(host, "running-time result=not-saved reason=no-space"), 1); /* once */
    sim_files_fail(host, PATH, ERR_OK);
    running_time_step(&rt, running_time_due_ms(&rt));
    check_file("1201\n");
    sim_world_free(world);
}

static void test_damaged_file(void)
{
    static const char *const texts[] = {
        "", "\n", "12x\n", "-5\n", "99999999999999999999999\n", "4294967296\n", "1 2\n"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        begin();
        sim_files_put_string(host, PATH, texts[i]);
        uint64_t now_ms = open_now();
        CHECK_EQ(running_time_s(&rt, now_ms), 1);
        CHECK_EQ(sim_log_count(host, "running-time result=unknown"), 1);
        running_time_raise(&rt, now_ms + 1000, 5000); /* a message of an earlier run tells */
        CHECK_EQ(running_time_s(&rt, now_ms + 1000), 5000);
        running_time_raise(&rt, now_ms + 1000, 4000);
        CHECK_EQ(running_time_s(&rt, now_ms + 2000), 5001);
        running_time_close(&rt, now_ms + 2000);
        check_file("5001\n");
        sim_world_free(world);
    }
}

/* The wall clock has no say. */
static void test_wall_clock(void)
{
    begin();
    uint64_t now_ms = open_now();
    sim_host_set_wall(host, 0, true);
    CHECK_EQ(running_time_s(&rt, now_ms + 1000), 2);
    sim_host_set_wall(host, INT64_C(4294967296), true);
    CHECK_EQ(running_time_s(&rt, now_ms + 2000), 3);
    sim_world_free(world);
}

static const struct test_case cases[] = {
    {"sum-over-runs", test_sum_over_runs},
    {"saved-every-few-minutes", test_saved_every_few_minutes},
    {"damaged-file", test_damaged_file},
    {"wall-clock", test_wall_clock},
};

TEST_MAIN(cases)

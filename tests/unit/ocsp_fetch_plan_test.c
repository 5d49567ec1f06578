/* When to fetch: half of life, waits after failures, and clocks that step. */
#include "ocsp_fetch_plan.h"

#include "test.h"

#define DAY  INT64_C(86400)
#define NOON INT64_C(1767268800)

static struct tls_time at(uint64_t now_ms, int64_t wall_s)
{
    return (struct tls_time){now_ms, wall_s, true};
}

static bool is_due(const struct fetch_plan *p, uint64_t now_ms, int64_t wall_s)
{
    struct tls_time now = at(now_ms, wall_s);
    bool due;
    uint64_t next_ms = fetch_plan_next_ms(p, &now, &due);
    CHECK(due == (next_ms <= now_ms));
    CHECK(due || next_ms <= now_ms + FETCH_LOOK_MS);
    return due;
}

static void test_half_of_life(void)
{
    struct fetch_life life = {true, NOON, NOON + 10 * DAY, false};
    for (int i = 0; i < 3; i++) {
        static const uint32_t lots[] = {0, 0x80000000u, UINT32_MAX};
        static const int64_t refresh[] = {NOON + 10 * DAY * 9 / 20, NOON + 5 * DAY,
                                          NOON + 10 * DAY * 11 / 20};
        struct fetch_plan p = {.num_failures = 0};
        CHECK(is_due(&p, 0, NOON));
        fetch_plan_set_life(&p, &life, lots[i]);
        CHECK_EQ(p.refresh_at_s, refresh[i]);
        CHECK(!is_due(&p, 0, NOON));
        CHECK(!is_due(&p, 0, refresh[i] - 1));
        CHECK(is_due(&p, 0, refresh[i]));
        CHECK(is_due(&p, 0, NOON + 20 * DAY));
        /* The same life again draws no new lot. */
        fetch_plan_set_life(&p, &life, ~lots[i]);
        CHECK_EQ(p.refresh_at_s, refresh[i]);
    }
}

static void test_odd_lives(void)
{
    static const struct fetch_life lives[] = {
        {true, NOON, NOON, false},
        {true, NOON, NOON - 1, false},
        {true, NOON, NOON + 1, false},
        {true, INT64_MIN, INT64_MAX, false},
        {true, INT64_MAX, INT64_MIN, false},
        {true, INT64_MIN, INT64_MIN + 1, false},
        {false, 0, 0, false},
    };
    for (size_t i = 0; i < sizeof lives / sizeof lives[0]; i++) {
        struct fetch_plan p = {.num_failures = 0};
        struct tls_time now = at(5, NOON);
        bool due;
        fetch_plan_set_life(&p, &lives[i], UINT32_MAX);
        fetch_plan_next_ms(&p, &now, &due);
        fetch_plan_taken(&p, &lives[i], &now, 0);
        fetch_plan_failed(&p, &now, UINT32_MAX);
        CHECK(fetch_plan_next_ms(&p, &now, &due) <= now.now_ms + FETCH_LOOK_MS);
    }
}

/* Taken when most of its life was over: the responder has nothing newer, so not at once again. */
static void test_taken_late(void)
{
    struct fetch_life life = {true, NOON, NOON + 10 * DAY, false};
    struct tls_time now = at(1000, NOON + 6 * DAY);
    struct fetch_plan p = {.num_failures = 3};
    fetch_plan_taken(&p, &life, &now, 0);
    CHECK_EQ(p.refresh_at_s, NOON + 7 * DAY);
    CHECK_EQ(p.num_failures, 0);
    now.wall_s = NOON + 10 * DAY * 9 / 20; /* just when it would be due */
    p = (struct fetch_plan){.num_failures = 0};
    fetch_plan_taken(&p, &life, &now, 0);
    CHECK_EQ(p.refresh_at_s, now.wall_s + 10 * DAY * 11 / 80);
    now.wall_s = NOON + 6 * DAY;
    /* Loaded from a file it is due. */
    p = (struct fetch_plan){.num_failures = 0};
    fetch_plan_set_life(&p, &life, 0);
    CHECK(is_due(&p, 1000, now.wall_s));
    /* A life of no length is not fetched for without a pause. */
    life.end_s = life.begin_s;
    fetch_plan_taken(&p, &life, &now, 0);
    CHECK(!is_due(&p, 1000 + FETCH_RETRY_MIN_S * 1000 - 1, now.wall_s));
    CHECK(is_due(&p, 1000 + FETCH_RETRY_MIN_S * 1000, now.wall_s));
}

/* The wait after one more failure, in seconds, at that time before the end. */
static uint64_t wait_s(struct fetch_plan *p, int64_t left_s, uint32_t random)
{
    struct tls_time now = at(77, p->life.end_s - left_s);
    fetch_plan_failed(p, &now, random);
    return (p->not_before_ms - now.now_ms) / 1000;
}

static void test_backoff(void)
{
    struct fetch_life life = {true, NOON, NOON + 10 * DAY, false};
    struct fetch_plan p = {.num_failures = 0};
    static const uint64_t waits[] = {60, 120, 240, 480, 960, 1920, 3600, 3600, 3600};
    fetch_plan_set_life(&p, &life, 0);
    for (size_t i = 0; i < sizeof waits / sizeof waits[0]; i++) {
        struct fetch_plan low = p, high = p;
        CHECK_EQ(wait_s(&low, 4 * DAY, 0), waits[i] * 3 / 4);
        CHECK_EQ(wait_s(&high, 4 * DAY, UINT32_MAX), waits[i] * 5 / 4);
        CHECK_EQ(wait_s(&p, 4 * DAY, 0x80000000u), waits[i]);
    }
    /* More often as the end comes near. */
    CHECK_EQ(wait_s(&p, 3600 * 8, 0x80000000u), 3600);
    CHECK_EQ(wait_s(&p, 3600 * 4, 0x80000000u), 1800);
    CHECK_EQ(wait_s(&p, 3600, 0x80000000u), 450);
    CHECK_EQ(wait_s(&p, 480, 0x80000000u), 60);
    CHECK_EQ(wait_s(&p, 1, 0x80000000u), 60);
    CHECK_EQ(wait_s(&p, 0, 0x80000000u), 600);
    CHECK_EQ(wait_s(&p, -DAY, 0x80000000u), 600);
    p.num_failures = UINT32_MAX;
    CHECK_EQ(wait_s(&p, 4 * DAY, 0x80000000u), 3600);
    CHECK_EQ(p.num_failures, UINT32_MAX);
}

/* The wait is in running time: no step of the clock shortens it, though one may make it moot. */
static void test_clock_steps(void)
{
    struct fetch_life life = {true, NOON, NOON + 10 * DAY, false};
    struct fetch_plan p = {.num_failures = 0};
    struct tls_time now = at(1000, NOON + 6 * DAY);
    fetch_plan_set_life(&p, &life, 0);
    CHECK(is_due(&p, now.now_ms, now.wall_s));
    fetch_plan_failed(&p, &now, 0x80000000u);
    CHECK(!is_due(&p, 1000 + 59999, NOON + 6 * DAY));
    CHECK(!is_due(&p, 1000 + 59999, NOON + 900 * DAY));
    CHECK(!is_due(&p, 1000 + 59999, NOON - 900 * DAY));
    CHECK(is_due(&p, 1000 + 60000, NOON - 900 * DAY)); /* before its begin it does not hold */
    CHECK(is_due(&p, 1000 + 60000, NOON + 900 * DAY));
    CHECK(!is_due(&p, 1000 + 60000, NOON + DAY));
}

static void test_no_clock(void)
{
    struct fetch_plan p = {.num_failures = 0};
    struct tls_time now = {1000, NOON, false};
    bool due = true;
    CHECK_EQ(fetch_plan_next_ms(&p, &now, &due), 1000 + FETCH_LOOK_MS);
    CHECK(!due);
    now.wall_set = true;
    fetch_plan_next_ms(&p, &now, &due);
    CHECK(due);
    /* Nobody knows whether it is in force: tried as often as if it were not. */
    struct fetch_life life = {true, NOON - DAY, NOON + 10 * DAY, false};
    fetch_plan_set_life(&p, &life, 0);
    p.num_failures = 10;
    now.wall_set = false;
    fetch_plan_failed(&p, &now, 0x80000000u);
    CHECK_EQ(p.not_before_ms, 1000 + FETCH_RETRY_LAPSED_S * 1000);
}

static const struct test_case cases[] = {
    {"half_of_life", test_half_of_life}, {"odd_lives", test_odd_lives},
    {"taken_late", test_taken_late},     {"backoff", test_backoff},
    {"clock_steps", test_clock_steps},   {"no_clock", test_no_clock},
};

TEST_MAIN(cases)

/* The heap of deadlines against a plain array of them. */
#include "timer.h"

#include "test.h"

#define NUM 40

static union {
    uint8_t bytes[4096];
    long long align; /* as arenas have it */
} memory;

static struct timers ready(uint32_t cap)
{
    struct timers ts;
    struct arena a = {memory.bytes, sizeof memory.bytes, 0};
    CHECK(timers_init(&ts, &a, cap));
    return ts;
}

static void test_init(void)
{
    struct timers ts;
    struct arena a = {memory.bytes, 4 * sizeof(void *), 0};
    CHECK(!timers_init(&ts, &a, 5));
    CHECK(timers_init(&ts, &a, 4));
}

static void test_order(void)
{
    struct timers ts = ready(NUM);
    struct timer t[3] = {{0, 0, 7, 70}, {0, 0, 8, 80}, {0, 0, 9, 90}};
    CHECK(timers_next_ms(&ts) == TIMER_NEVER);
    CHECK(timers_due(&ts, UINT64_MAX) == NULL);
    CHECK(timer_set(&ts, &t[0], 300));
    CHECK(timer_set(&ts, &t[1], 100));
    CHECK(timer_set(&ts, &t[2], 200));
    CHECK_EQ(timers_next_ms(&ts), 100);
    CHECK(timers_due(&ts, 99) == NULL);
    CHECK(timers_due(&ts, 100) == &t[1]);
    CHECK_EQ(t[1].slot, 0);
    CHECK_EQ(t[1].tag, 80);
    CHECK_EQ(t[1].kind, 8);
    CHECK(timer_set(&ts, &t[2], 400)); /* moved */
    CHECK_EQ(ts.num, 2);
    CHECK(timers_due(&ts, 1000) == &t[0]);
    CHECK(timers_due(&ts, 1000) == &t[2]);
    CHECK(timers_due(&ts, 1000) == NULL);
}

static void test_cancel(void)
{
    struct timers ts = ready(NUM);
    struct timer t[5];
    memset(t, 0, sizeof t);
    timer_cancel(&ts, &t[0]); /* never set */
    for (uint64_t i = 0; i < 5; i++) {
        CHECK(timer_set(&ts, &t[i], 10 * i));
    }
    timer_cancel(&ts, &t[4]);
    timer_cancel(&ts, &t[0]);
    timer_cancel(&ts, &t[0]);
    CHECK_EQ(ts.num, 3);
    CHECK(timers_due(&ts, 50) == &t[1]);
    CHECK(timers_due(&ts, 50) == &t[2]);
    CHECK(timers_due(&ts, 50) == &t[3]);
    CHECK(timers_due(&ts, 50) == NULL);
}

static void test_full(void)
{
    struct timers ts = ready(2);
    struct timer t[3];
    memset(t, 0, sizeof t);
    CHECK(timer_set(&ts, &t[0], 1));
    CHECK(timer_set(&ts, &t[1], TIMER_NEVER));
    CHECK(!timer_set(&ts, &t[2], 3));
    CHECK_EQ(t[2].slot, 0);
    CHECK(timer_set(&ts, &t[1], 0)); /* moving needs no room */
    CHECK(timers_due(&ts, 0) == &t[1]);
    CHECK(timer_set(&ts, &t[2], 3));
}

/* The due timer must be one of the earliest that the array knows. */
static void check_due(struct timers *ts, struct timer *t, bool *is_set, uint64_t now_ms)
{
    uint64_t earliest = TIMER_NEVER;
    for (uint32_t i = 0; i < NUM; i++) {
        if (is_set[i] && t[i].at_ms < earliest) {
            earliest = t[i].at_ms;
        }
    }
    CHECK_EQ(timers_next_ms(ts), earliest);
    struct timer *due = timers_due(ts, now_ms);
    if (earliest == TIMER_NEVER || earliest > now_ms) {
        CHECK(due == NULL);
        return;
    }
    CHECK(due != NULL && due->at_ms == earliest && due->slot == 0);
    if (due != NULL) {
        CHECK(is_set[due - t]);
        is_set[due - t] = false;
    }
}

static void test_model(void)
{
    struct timers ts = ready(NUM);
    struct timer t[NUM];
    bool is_set[NUM] = {false};
    uint32_t seed = 7, num_set = 0;
    memset(t, 0, sizeof t);
    for (uint32_t step = 0; step < 50000; step++) {
        seed = seed * 1103515245 + 12345;
        uint32_t dice = seed >> 8, which = dice / 8 % NUM;
        switch (dice % 8) {
        case 0:
        case 1:
        case 2:
        case 3:
            CHECK(timer_set(&ts, &t[which], dice / 512 % 100));
            is_set[which] = true;
            break;
        case 4:
            timer_cancel(&ts, &t[which]);
            is_set[which] = false;
            break;
        default:
            check_due(&ts, t, is_set, dice / 512 % 100);
            break;
        }
        num_set = 0;
        for (uint32_t i = 0; i < NUM; i++) {
            num_set += is_set[i];
            CHECK_EQ(t[i].slot != 0, is_set[i]);
            CHECK(t[i].slot == 0 || ts.heap[t[i].slot - 1] == &t[i]);
        }
        CHECK_EQ(ts.num, num_set);
    }
}

static const struct test_case cases[] = {
    {"init", test_init}, {"order", test_order}, {"cancel", test_cancel},
    {"full", test_full}, {"model", test_model},
};

TEST_MAIN(cases)

/* Pools and their arena: items do not overlap, stale handles find nothing, exhaustion is counted.
 */
#include "pool.h"

#include "test.h"

#define NUM 50

static union {
    uint8_t bytes[64 * 1024];
    long long align;
} memory;

static struct arena whole(void)
{
    memset(memory.bytes, 0, sizeof memory.bytes);
    return (struct arena){memory.bytes, sizeof memory.bytes, 0};
}

static void test_arena(void)
{
    struct arena a = {memory.bytes, 64, 0};
    uint8_t *first = arena_take(&a, 1);
    uint8_t *second = arena_take(&a, 1);
    CHECK(first == memory.bytes);
    CHECK(second != NULL && second > first && (size_t)(second - first) % sizeof(double) == 0);
    size_t used = a.used;
    CHECK(arena_take(&a, 64) == NULL);
    CHECK(arena_take(&a, SIZE_MAX) == NULL);
    CHECK(arena_take(&a, SIZE_MAX - 3) == NULL);
    CHECK_EQ(a.used, used);
    CHECK(arena_take(&a, 64 - used) != NULL);
    CHECK_EQ(a.used, 64);
    CHECK(arena_take(&a, 1) == NULL);
    CHECK(arena_take(&a, 0) != NULL);
    a = (struct arena){memory.bytes + 1, 63, 0};
    CHECK((uintptr_t)arena_take(&a, 1) % _Alignof(uint64_t) == 0);
    CHECK((uintptr_t)arena_take(&a, 1) % _Alignof(void *) == 0);
    CHECK(a.used <= 63 && arena_take(&a, 63 - a.used + 1) == NULL);
}

static void test_memory_len(void)
{
    for (size_t item_len = 1; item_len < 40; item_len++) {
        struct pool p;
        size_t need = pool_memory_len(item_len, 7);
        struct arena a = {memory.bytes, need, 0};
        CHECK(pool_init(&p, &a, item_len, 7));
        CHECK_EQ(a.used, need);
        a = (struct arena){memory.bytes, need - 1, 0};
        CHECK(!pool_init(&p, &a, item_len, 7));
    }
    struct pool p;
    struct arena a = whole();
    CHECK(!pool_init(&p, &a, SIZE_MAX / 2, UINT32_MAX));
}

static void test_exhaustion(void)
{
    struct arena a = whole();
    struct pool p;
    void *items[NUM];
    CHECK(pool_init(&p, &a, 33, NUM));
    for (int i = 0; i < NUM; i++) {
        items[i] = pool_take(&p);
        CHECK(items[i] != NULL);
        for (int k = 0; k < 33; k++) {
            CHECK_EQ(((uint8_t *)items[i])[k], 0);
        }
        memset(items[i], 0x5a, 33);
    }
    CHECK(pool_take(&p) == NULL);
    CHECK(pool_take(&p) == NULL);
    CHECK_EQ(p.num_refused, 2);
    CHECK_EQ(p.num_used, NUM);
    for (int i = 0; i < NUM; i++) {
        for (int k = 0; k < 33; k++) {
            CHECK_EQ(((uint8_t *)items[i])[k], 0x5a);
        }
    }
    pool_give(&p, items[7]);
    pool_give(&p, NULL);
    CHECK_EQ(p.num_used, NUM - 1);
    void *again = pool_take(&p);
    CHECK(again == items[7]);
    CHECK_EQ(((uint8_t *)again)[32], 0);
    CHECK_EQ(p.num_used_max, NUM);
}

static void test_stale_handles(void)
{
    struct arena a = whole();
    struct pool p;
    CHECK(pool_init(&p, &a, 8, 4));
    CHECK(pool_find(&p, 0) == NULL);
    CHECK(pool_find(&p, UINT64_C(1) << 32) == NULL);
    void *item = pool_take(&p);
    uint64_t handle = pool_handle(&p, item);
    CHECK(handle != 0);
    CHECK(handle >> 56 == 0);
    CHECK(pool_find(&p, handle) == item);
    CHECK(pool_find(&p, handle + 1) == NULL);
    CHECK(pool_find(&p, handle | UINT64_C(1) << 63) == NULL);
    CHECK(pool_find(&p, UINT64_MAX) == NULL);
    pool_give(&p, item);
    CHECK(pool_find(&p, handle) == NULL);
    CHECK(pool_find(&p, handle + (UINT64_C(1) << 32)) == NULL);
    void *next = pool_take(&p);
    CHECK(next == item);
    CHECK(pool_find(&p, handle) == NULL);
    CHECK(pool_find(&p, pool_handle(&p, next)) == next);
}

/* The generation wraps inside its 24 bits: the top byte stays free, handles stay valid. */
static void test_generation_wraps(void)
{
    struct arena a = whole();
    struct pool p;
    CHECK(pool_init(&p, &a, 8, 1));
    uint64_t before = 0;
    bool is_right = true;
    for (uint32_t i = 0; i < (1u << 23) + 10; i++) {
        void *item = pool_take(&p);
        uint64_t handle = pool_handle(&p, item);
        is_right = is_right && handle != 0 && handle >> 56 == 0 && handle != before &&
                   pool_find(&p, handle) == item && pool_find(&p, before) == NULL;
        before = handle;
        pool_give(&p, item);
    }
    CHECK(is_right);
}

static void test_each(void)
{
    struct arena a = whole();
    struct pool p;
    void *items[6];
    uint32_t cursor = 0;
    CHECK(pool_init(&p, &a, 8, 10));
    CHECK(pool_each(&p, &cursor) == NULL);
    for (int i = 0; i < 6; i++) {
        items[i] = pool_take(&p);
    }
    pool_give(&p, items[0]);
    pool_give(&p, items[3]);
    pool_give(&p, items[5]);
    cursor = 0;
    CHECK(pool_each(&p, &cursor) == items[1]);
    CHECK(pool_each(&p, &cursor) == items[2]);
    CHECK(pool_each(&p, &cursor) == items[4]);
    CHECK(pool_each(&p, &cursor) == NULL);
    CHECK(pool_each(&p, &cursor) == NULL);
}

/* Random takes and gives against a list of what ought to be in use. */
static void test_model(void)
{
    struct arena a = whole();
    struct pool p;
    void *used[NUM];
    uint64_t handles[NUM];
    uint32_t num = 0, seed = 1;
    CHECK(pool_init(&p, &a, sizeof(uint32_t), NUM));
    for (uint32_t step = 0; step < 20000; step++) {
        seed = seed * 1103515245 + 12345;
        uint32_t dice = seed >> 16;
        if (dice % 2 == 0 && num < NUM) {
            used[num] = pool_take(&p);
            CHECK(used[num] != NULL);
            *(uint32_t *)used[num] = step;
            handles[num] = pool_handle(&p, used[num]);
            num++;
        } else if (num > 0) {
            uint32_t victim = dice / 2 % num;
            CHECK(pool_find(&p, handles[victim]) == used[victim]);
            pool_give(&p, used[victim]);
            CHECK(pool_find(&p, handles[victim]) == NULL);
            num--;
            used[victim] = used[num];
            handles[victim] = handles[num];
        }
        CHECK_EQ(p.num_used, num);
    }
    for (uint32_t i = 0; i < num; i++) {
        CHECK(pool_find(&p, handles[i]) == used[i]);
        for (uint32_t k = 0; k < i; k++) {
            CHECK(used[i] != used[k]);
            CHECK(*(uint32_t *)used[i] != *(uint32_t *)used[k]);
        }
    }
}

static const struct test_case cases[] = {
    {"arena", test_arena},
    {"memory_len", test_memory_len},
    {"exhaustion", test_exhaustion},
    {"stale_handles", test_stale_handles},
    {"generation_wraps", test_generation_wraps},
    {"each", test_each},
    {"model", test_model},
};

TEST_MAIN(cases)

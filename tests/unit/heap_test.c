/* The heap: alignment, accounting, exhaustion, and that no order of use leaves it in pieces. */
#include "heap.h"
#include "test.h"

#define REGION_LEN (256 * 1024)

static _Alignas(16) uint8_t region[REGION_LEN];
static struct heap heap;

static uint32_t seed = 1;

static uint32_t roll(uint32_t below)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % below;
}

static void open_heap(void)
{
    memset(region, 0xa5, sizeof region);
    CHECK(heap_open(&heap, region, sizeof region));
}

static void test_open(void)
{
    struct heap h;
    CHECK(!heap_open(&h, region, 8));
    CHECK(!heap_open(&h, NULL, sizeof region));
    CHECK(heap_open(&h, region + 3, 1000)); /* an odd address is fine */
    void *p = heap_alloc(&h, 1, 100);
    CHECK(p != NULL && (uintptr_t)p % 8 == 0);
    CHECK(heap_is_sound(&h));
}

static void test_zeroed_and_apart(void)
{
    uint8_t *p[64];
    open_heap();
    for (size_t i = 0; i < 64; i++) {
        size_t len = 1 + i * 7;
        p[i] = heap_alloc(&heap, 1, len);
        CHECK(p[i] != NULL && (uintptr_t)p[i] % 8 == 0);
        for (size_t k = 0; k < len; k++) {
            CHECK(p[i][k] == 0);
        }
        memset(p[i], (int)i, len);
    }
    for (size_t i = 0; i < 64; i++) {
        for (size_t k = 0; k < 1 + i * 7; k++) {
            CHECK(p[i][k] == i);
        }
    }
    CHECK(heap_is_sound(&heap));
    for (size_t i = 0; i < 64; i++) {
        heap_free(&heap, p[i * 37 % 64]);
        CHECK(heap_is_sound(&heap));
    }
    CHECK_EQ(heap.used_len, 0);
    CHECK_EQ(heap.num_used, 0);
}

static void test_refusals(void)
{
    open_heap();
    CHECK(heap_alloc(&heap, 0, 5) == NULL);
    CHECK(heap_alloc(&heap, 5, 0) == NULL);
    CHECK_EQ(heap.num_refused, 0);
    CHECK(heap_alloc(&heap, SIZE_MAX / 2, 3) == NULL);
    CHECK(heap_alloc(&heap, 1, SIZE_MAX) == NULL);
    CHECK(heap_alloc(&heap, 1, REGION_LEN) == NULL);
    CHECK_EQ(heap.num_refused, 3);
    void *all = heap_alloc(&heap, 1, heap_largest_free(&heap));
    CHECK(all != NULL);
    CHECK(heap_alloc(&heap, 1, REGION_LEN / 2) == NULL);
    heap_free(&heap, NULL);
    heap_free(&heap, all);
    CHECK_EQ(heap.used_len, 0);
}

static void test_accounting(void)
{
    open_heap();
    void *a = heap_alloc(&heap, 1, 1000);
    CHECK_EQ(heap.used_len, heap_block_len(1000));
    void *b = heap_alloc(&heap, 3, 100);
    CHECK_EQ(heap.used_len, heap_block_len(1000) + heap_block_len(300));
    size_t peak = heap.used_len;
    heap_free(&heap, a);
    CHECK_EQ(heap.used_len, heap_block_len(300));
    CHECK_EQ(heap.used_max_len, peak);
    heap_free(&heap, b);
    for (size_t len = 1; len < 40000; len += len / 7 + 1) {
        CHECK(heap_block_len(len) >= len + 8);
        CHECK(heap_block_len(len) <= len + len / 16 + 32);
    }
}

/* All is given back as one piece, whatever the order. */
static void test_random_use(void)
{
    enum { NUM = 200 };
    static uint8_t *p[NUM];
    static size_t lens[NUM];
    open_heap();
    size_t whole = heap_largest_free(&heap);
    for (uint32_t round = 0; round < 200000; round++) {
        uint32_t i = roll(NUM);
        if (p[i] != NULL) {
            CHECK(p[i][0] == (uint8_t)i && p[i][lens[i] - 1] == (uint8_t)i);
            heap_free(&heap, p[i]);
            p[i] = NULL;
            continue;
        }
        lens[i] = 1 + roll(roll(4) == 0 ? 8000 : 300);
        p[i] = heap_alloc(&heap, 1, lens[i]);
        if (p[i] != NULL) {
            p[i][0] = p[i][lens[i] - 1] = (uint8_t)i;
        }
        if (round % 1000 == 0) {
            CHECK(heap_is_sound(&heap));
        }
    }
    for (uint32_t i = 0; i < NUM; i++) {
        heap_free(&heap, p[i]);
        p[i] = NULL;
    }
    CHECK(heap_is_sound(&heap));
    CHECK_EQ(heap.used_len, 0);
    CHECK_EQ(heap_largest_free(&heap), whole);
}

/* A million times: a session grows its record buffers, uses them, parks them; sessions come and go.
 * The most that is ever in use does not creep, and a full-size buffer can be had at every time. */
static void test_park_and_grow(void)
{
    enum { NUM = 40 };
    static const size_t lens[] = {64, 520, 1100, 4400, 16717};
    static void *fixed[NUM], *in[NUM], *out[NUM];
    open_heap();
    memset(fixed, 0, sizeof fixed);
    memset(in, 0, sizeof in);
    memset(out, 0, sizeof out);
    uint32_t num_refused = 0, num_grown = 0;
    for (uint32_t round = 0; round < 1000000; round++) {
        uint32_t i = roll(NUM);
        if (roll(50) == 0 || fixed[i] == NULL) { /* ends, and another one begins */
            heap_free(&heap, fixed[i]);
            heap_free(&heap, in[i]);
            heap_free(&heap, out[i]);
            fixed[i] = heap_alloc(&heap, 1, 1900);
            in[i] = heap_alloc(&heap, 1, 64);
            out[i] = heap_alloc(&heap, 1, 64);
        }
        void **side = roll(2) == 0 ? in : out;
        void *grown = heap_alloc(&heap, 1, lens[1 + roll(side == in ? 4 : 3)]);
        num_grown++;
        if (grown == NULL) {
            num_refused++;
            continue;
        }
        heap_free(&heap, side[i]);
        void *parked = heap_alloc(&heap, 1, 64);
        heap_free(&heap, grown);
        side[i] = parked;
    }
    CHECK_EQ(num_grown, 1000000);
    CHECK_EQ(num_refused, 0);
    CHECK_EQ(heap.num_refused, 0);
    CHECK(heap_is_sound(&heap));
    CHECK(heap.used_len <= NUM * (heap_block_len(1900) + 2 * heap_block_len(64)));
    CHECK(heap_largest_free(&heap) >= 100 * 1024);
}

static const struct test_case cases[] = {
    {"open", test_open},
    {"zeroed_and_apart", test_zeroed_and_apart},
    {"refusals", test_refusals},
    {"accounting", test_accounting},
    {"random_use", test_random_use},
    {"park_and_grow", test_park_and_grow},
};

TEST_MAIN(cases)

/* The bounded writer: all or nothing, and overflow stays. */
#include "buf.h"

#include "test.h"

static void test_put(void)
{
    uint8_t bytes[5] = {9, 9, 9, 9, 9};
    struct buf b = buf_make(bytes, 4);
    CHECK_EQ(buf_room(&b), 4);
    CHECK(buf_put(&b, SLICE_LITERAL("abc")));
    CHECK_EQ(buf_room(&b), 1);
    CHECK(!b.overflow);
    CHECK(!buf_put(&b, SLICE_LITERAL("de")));
    CHECK(b.overflow);
    CHECK_TEXT(buf_slice(&b), "abc");
    CHECK_EQ(bytes[3], 9);
    CHECK(buf_put_u8(&b, 'd'));
    CHECK(b.overflow);
    CHECK_EQ(buf_room(&b), 0);
    CHECK(buf_put(&b, slice_make(NULL, 0)));
    CHECK(!buf_put_u8(&b, 'e'));
    CHECK_TEXT(buf_slice(&b), "abcd");
    CHECK_EQ(bytes[4], 9);
}

static void test_every_cap(void)
{
    for (size_t cap = 0; cap <= 10; cap++) {
        uint8_t bytes[11];
        struct buf b = buf_make(bytes, cap);
        memset(bytes, 0xee, sizeof bytes);
        CHECK_EQ(buf_put_string(&b, "12345678"), cap >= 8);
        CHECK_EQ(b.overflow, cap < 8);
        CHECK_EQ(b.len, cap >= 8 ? 8 : 0);
        CHECK_EQ(bytes[cap], 0xee);
    }
}

static void test_numbers(void)
{
    for (size_t n = 1; n <= 8; n++) {
        uint8_t bytes[8];
        struct buf full = buf_make(bytes, n), small = buf_make(bytes, n - 1);
        uint64_t value = UINT64_C(0x8877665544332211), mask = UINT64_MAX >> (64 - 8 * n), back = 0;
        CHECK(!buf_put_be(&small, n, value));
        CHECK_EQ(small.len, 0);
        CHECK(buf_put_be(&full, n, value));
        struct slice s = buf_slice(&full);
        CHECK(slice_be(&s, n, &back));
        CHECK(back == (value & mask));
    }
}

static void test_drop(void)
{
    uint8_t bytes[8];
    struct buf b = buf_make(bytes, sizeof bytes);
    struct buf none = buf_make(NULL, 0);
    buf_put_string(&b, "abcdef");
    buf_drop(&b, 0);
    CHECK_TEXT(buf_slice(&b), "abcdef");
    buf_drop(&b, 2);
    CHECK_TEXT(buf_slice(&b), "cdef");
    buf_drop(&b, 4);
    CHECK_EQ(b.len, 0);
    buf_drop(&none, 0);
    CHECK_EQ(none.len, 0);
}

static void test_end_string(void)
{
    uint8_t bytes[4];
    struct buf b = buf_make(bytes, sizeof bytes);
    buf_put_string(&b, "abc");
    CHECK(buf_end_string(&b));
    CHECK_EQ(b.len, 3);
    CHECK(strcmp((const char *)bytes, "abc") == 0);
    buf_put_u8(&b, 'd');
    CHECK(!buf_end_string(&b));
    CHECK(b.overflow);
    CHECK_EQ(bytes[3], 'd');
}

static const struct test_case cases[] = {
    {"put", test_put},   {"every_cap", test_every_cap},   {"numbers", test_numbers},
    {"drop", test_drop}, {"end_string", test_end_string},
};

TEST_MAIN(cases)

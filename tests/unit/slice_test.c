/* The read cursor: it advances on success only. */
#include "slice.h"

#include "test.h"

static const uint8_t bytes[9] = {0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0xff};

static void test_take(void)
{
    struct slice s = slice_make(bytes, 3), out = slice_make(NULL, 99);
    CHECK(slice_take(&s, 2, &out));
    CHECK(out.ptr == bytes && out.len == 2);
    CHECK(s.ptr == bytes + 2 && s.len == 1);
    CHECK(!slice_take(&s, 2, &out));
    CHECK(out.ptr == bytes && out.len == 2);
    CHECK(s.ptr == bytes + 2 && s.len == 1);
    CHECK(!slice_take(&s, SIZE_MAX, &out));
    CHECK(slice_skip(&s, 1));
    CHECK(slice_is_empty(s));
    CHECK(slice_take(&s, 0, &out) && out.len == 0);
    CHECK(!slice_skip(&s, 1));
}

static void test_nothing(void)
{
    struct slice s = slice_make(NULL, 0), out;
    uint8_t value;
    CHECK(slice_is_empty(s));
    CHECK(slice_take(&s, 0, &out));
    CHECK(!slice_u8(&s, &value));
    CHECK(slice_equal(s, slice_of_string("")));
    CHECK(!slice_equal(s, slice_of_string("x")));
    CHECK_EQ(SLICE_LITERAL("abc").len, 3);
}

static void test_numbers(void)
{
    static const uint64_t want[9] = {0,
                                     0x01,
                                     0x0123,
                                     0x012345,
                                     0x01234567,
                                     0x0123456789,
                                     0x0123456789ab,
                                     0x0123456789abcd,
                                     0x0123456789abcdef};
    for (size_t n = 1; n <= 8; n++) {
        for (size_t len = 0; len <= sizeof bytes; len++) {
            struct slice s = slice_make(bytes, len);
            uint64_t value = 42;
            bool fits = len >= n;
            CHECK_EQ(slice_be(&s, n, &value), fits);
            CHECK_EQ(value, fits ? want[n] : 42);
            CHECK_EQ(s.len, fits ? len - n : len);
        }
    }
}

static void test_fixed_numbers(void)
{
    struct slice s = slice_make(bytes, sizeof bytes);
    uint8_t u8;
    uint16_t u16;
    uint32_t u32;
    uint64_t u64;
    CHECK(slice_u8(&s, &u8) && u8 == 0x01);
    CHECK(slice_be16(&s, &u16) && u16 == 0x2345);
    CHECK(slice_be32(&s, &u32) && u32 == 0x6789abcd);
    CHECK(!slice_be64(&s, &u64) && !slice_be32(&s, &u32) && s.len == 2);
    CHECK(slice_be16(&s, &u16) && u16 == 0xefff);
    CHECK(!slice_be16(&s, &u16) && u16 == 0xefff);
    s = slice_make(bytes + 1, 8);
    CHECK(slice_be64(&s, &u64) && u64 == 0x23456789abcdefff);
}

static void test_equal(void)
{
    CHECK(slice_equal(slice_of_string("abc"), SLICE_LITERAL("abc")));
    CHECK(!slice_equal(slice_of_string("abc"), SLICE_LITERAL("abd")));
    CHECK(!slice_equal(slice_of_string("abc"), SLICE_LITERAL("ab")));
    CHECK(!slice_equal(slice_of_string("abc"), SLICE_LITERAL("ABC")));
}

static const struct test_case cases[] = {
    {"take", test_take},       {"nothing", test_nothing},
    {"numbers", test_numbers}, {"fixed_numbers", test_fixed_numbers},
    {"equal", test_equal},
};

TEST_MAIN(cases)

/* CRC32C against the examples of RFC 3720 and against its definition. */
#include "test.h"
#include "crc32c.h"

static uint32_t by_definition(const uint8_t *p, size_t len)
{
    uint32_t c = ~0u;
    for (size_t i = 0; i < len; i++) {
        c ^= p[i];
        for (int b = 0; b < 8; b++) {
            c = c >> 1 ^ (c & 1 ? 0x82f63b78u : 0);
        }
    }
    return ~c;
}

static void rfc3720_examples(void)
{
    uint8_t bytes[32] = {0};
    CHECK_EQ(crc32c_add(0, slice_make(bytes, 32)), 0x8a9136aau);
    memset(bytes, 0xff, 32);
    CHECK_EQ(crc32c_add(0, slice_make(bytes, 32)), 0x62a8ab43u);
    for (size_t i = 0; i < 32; i++) {
        bytes[i] = (uint8_t)i;
    }
    CHECK_EQ(crc32c_add(0, slice_make(bytes, 32)), 0x46dd794eu);
    CHECK_EQ(crc32c_add(0, SLICE_LITERAL("123456789")), 0xe3069283u);
    CHECK_EQ(crc32c_add(0, slice_make(NULL, 0)), 0);
}

static void every_byte_and_length_as_defined(void)
{
    uint8_t bytes[300];
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)(i * 7 + (i >> 3));
    }
    for (size_t len = 0; len <= sizeof bytes; len++) {
        CHECK_EQ(crc32c_add(0, slice_make(bytes, len)), by_definition(bytes, len));
    }
    for (int v = 0; v < 256; v++) {
        uint8_t quad[4] = {(uint8_t)v, 0, 0, 0};
        CHECK_EQ(crc32c_add(0, slice_make(quad, 1)), by_definition(quad, 1));
        CHECK_EQ(crc32c_add(0, slice_make(quad, 4)), by_definition(quad, 4));
    }
}

static void pieces_make_the_whole(void)
{
    const char *text = "the quick brown fox jumps over the lazy dog";
    size_t len = strlen(text);
    for (size_t at = 0; at <= len; at++) {
        uint32_t crc = crc32c_add(0, slice_make(text, at));
        CHECK_EQ(crc32c_add(crc, slice_make(text + at, len - at)),
                 crc32c_add(0, slice_make(text, len)));
    }
}

static const struct test_case cases[] = {
    {"rfc3720_examples", rfc3720_examples},
    {"every_byte_and_length_as_defined", every_byte_and_length_as_defined},
    {"pieces_make_the_whole", pieces_make_the_whole},
};

TEST_MAIN(cases)

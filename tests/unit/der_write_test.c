/* DER, written: what der reads back is what was written, and one byte too few writes nothing. */
#include "der_write.h"

#include "der.h"
#include "test.h"

static bool is(const struct der_writer *w, const char *want, size_t want_len)
{
    return slice_equal(der_written(w), slice_make(want, want_len));
}
#define IS(w, text) is(w, text, sizeof(text) - 1)

static void test_order(void)
{
    uint8_t memory[64];
    struct der_writer w = der_writer_make(memory, sizeof memory);
    CHECK(IS(&w, ""));
    der_write_element(&w, DER_NULL, slice_make(NULL, 0));
    size_t mark = w.len;
    der_write_element(&w, DER_OCTET_STRING, SLICE_LITERAL("b"));
    der_write_element(&w, DER_OCTET_STRING, SLICE_LITERAL("a"));
    der_write_close(&w, DER_SEQUENCE, mark);
    der_write_close(&w, DER_SEQUENCE, 0);
    CHECK(IS(&w, "\x30\x0a\x30\x06\x04\x01"
                 "a\x04\x01"
                 "b\x05\x00"));
}

static void test_lengths(void)
{
    static uint8_t content[70000], memory[70010];
    for (size_t len = 0; len < sizeof content; len = len < 300 ? len + 1 : len + 16309) {
        struct der_writer w = der_writer_make(memory, sizeof memory);
        der_write_element(&w, DER_OCTET_STRING, slice_make(content, len));
        struct slice in = der_written(&w), out;
        CHECK(der_get(&in, DER_OCTET_STRING, &out) && der_end(in) && out.len == len);
        for (size_t cap = w.len > 6 ? w.len - 6 : 0; cap < w.len; cap++) {
            struct der_writer tight = der_writer_make(memory, cap);
            der_write_element(&tight, DER_OCTET_STRING, slice_make(content, len));
            CHECK(tight.overflow && der_written(&tight).len == 0);
        }
        struct der_writer exact = der_writer_make(memory, w.len);
        der_write_element(&exact, DER_OCTET_STRING, slice_make(content, len));
        CHECK(!exact.overflow && der_written(&exact).len == w.len);
    }
}

static void test_overflow_stays(void)
{
    uint8_t memory[4];
    struct der_writer w = der_writer_make(memory, sizeof memory);
    der_write_bytes(&w, SLICE_LITERAL("12345"));
    CHECK(w.overflow);
    der_write_bytes(&w, SLICE_LITERAL("1"));
    der_write_element(&w, DER_NULL, slice_make(NULL, 0));
    CHECK(w.overflow && w.len == 0 && der_written(&w).len == 0);
}

static const struct test_case cases[] = {
    {"order", test_order},
    {"lengths", test_lengths},
    {"overflow_stays", test_overflow_stays},
};

TEST_MAIN(cases)

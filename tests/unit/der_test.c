/* Strict DER: one right encoding of each value; all others are refused and move nothing. */
#include "der.h"

#include "test.h"

#define BYTES(text) SLICE_LITERAL(text)

/* The getter of every row reads the input; `content` says what it found, NULL that it refuses. */
struct row {
    const char *in;
    size_t in_len;
    const char *content;
    size_t content_len;
};
#define YES(in, content)                                 \
    {                                                    \
        in, sizeof(in) - 1, content, sizeof(content) - 1 \
    }
#define NO(in)                      \
    {                               \
        in, sizeof(in) - 1, NULL, 0 \
    }
#define NUM(rows) (sizeof(rows) / sizeof(rows)[0])

typedef bool getter(struct slice *in, struct slice *out);

static void check_rows(const struct row *rows, size_t num, getter *get)
{
    for (size_t i = 0; i < num; i++) {
        /* In memory of just that size, so that a sanitizer sees a byte too far. */
        uint8_t *copy = malloc(rows[i].in_len + 1);
        memcpy(copy, rows[i].in, rows[i].in_len);
        struct slice in = slice_make(copy, rows[i].in_len), before = in, out = {NULL, 0};
        bool ok = get(&in, &out);
        bool want = rows[i].content != NULL;
        if (ok != want ||
            (ok && !slice_equal(out, slice_make(rows[i].content, rows[i].content_len)))) {
            fprintf(stderr, "row %zu\n", i);
            CHECK(false);
        }
        CHECK(ok || (in.ptr == before.ptr && in.len == before.len));
        CHECK(!ok || der_end(in));
        free(copy);
    }
}

static bool get_octets(struct slice *in, struct slice *out)
{
    return der_get(in, DER_OCTET_STRING, out);
}

static void test_lengths(void)
{
    static const struct row rows[] = {
        YES("\x04\x00", ""),
        YES("\x04\x02uv", "uv"),
        NO(""),
        NO("\x04"),
        NO("\x04\x01"),
        NO("\x05\x00"),         /* another tag */
        NO("\x04\x80\x00\x00"), /* indefinite */
        NO("\x04\x81\x01x"),    /* short form would do */
        NO("\x04\x81\x7fx"),
        NO("\x04\x82\x00\x80x"), /* leading zero */
        NO("\x04\x81"),          /* ends in the length */
        NO("\x04\x82\x01"),
        NO("\x04\x84\xff\xff\xff\xff"), /* far beyond the end */
        NO("\x04\x85\x01\x00\x00\x00\x00"),
        NO("\x04\xff"),
        NO("\x1f\x04\x00"), /* high tag number */
    };
    check_rows(rows, NUM(rows), get_octets);
    struct slice in, out;
    uint8_t tag;
    for (size_t len = 126; len < 70000; len = len < 300 ? len + 1 : len + 9973) {
        uint8_t *bytes = calloc(1, len + 8);
        size_t num = len < 128 ? 0 : len < 256 ? 1 : len < 65536 ? 2 : 3, at = 2;
        bytes[0] = 4;
        bytes[1] = (uint8_t)(num == 0 ? len : 0x80 | num);
        for (size_t i = num; i > 0; i--) {
            bytes[at++] = (uint8_t)(len >> 8 * (i - 1));
        }
        in = slice_make(bytes, at + len);
        CHECK(der_any(&in, &tag, &out) && tag == 4 && out.len == len && der_end(in));
        in = slice_make(bytes, at + len - 1);
        CHECK(!der_any(&in, &tag, &out));
        free(bytes);
    }
    in = BYTES("");
    CHECK(!der_any(&in, &tag, &out));
    in = BYTES("\x1f\x00");
    CHECK(!der_any(&in, &tag, &out));
}

static bool get_sequence_whole(struct slice *in, struct slice *out)
{
    return der_whole(in, DER_SEQUENCE, out);
}

static bool get_explicit_null(struct slice *in, struct slice *out)
{
    return der_get_explicit(in, 1, DER_OCTET_STRING, out);
}

static void test_nesting(void)
{
    static const struct row whole[] = {
        YES("\x30\x02\x05\x00", "\x30\x02\x05\x00"),
        YES("\x30\x00", "\x30\x00"),
        NO("\x31\x00"),
        NO("\x30\x01"),
    };
    static const struct row tagged[] = {
        YES("\xa1\x03\x04\x01z", "z"),
        NO("\xa0\x03\x04\x01z"),         /* another number */
        NO("\x81\x03\x04\x01z"),         /* not constructed */
        NO("\xa1\x03\x05\x01z"),         /* another type inside */
        NO("\xa1\x05\x04\x01z\x05\x00"), /* one too many inside */
        NO("\xa1\x00"),
        NO("\xa1\x03\x04\x02z"),
    };
    check_rows(whole, NUM(whole), get_sequence_whole);
    check_rows(tagged, NUM(tagged), get_explicit_null);
    CHECK(der_next_is(BYTES("\x30"), DER_SEQUENCE));
    CHECK(!der_next_is(BYTES("\x31"), DER_SEQUENCE));
    CHECK(!der_next_is(BYTES(""), DER_SEQUENCE));
    CHECK(der_end(BYTES("")));
    CHECK(!der_end(BYTES("x")));
}

static void test_integers(void)
{
    static const struct row rows[] = {
        YES("\x02\x01\x00", "\x00"),
        YES("\x02\x01\x7f", "\x7f"),
        YES("\x02\x02\x00\x80", "\x00\x80"),
        YES("\x02\x01\x80", "\x80"),
        YES("\x02\x02\xff\x7f", "\xff\x7f"),
        YES("\x02\x02\x01\x00", "\x01\x00"),
        NO("\x02\x00"),
        NO("\x02\x02\x00\x7f"),
        NO("\x02\x02\x00\x00"),
        NO("\x02\x02\xff\x80"),
        NO("\x02\x02\xff\xff"),
        NO("\x03\x01\x00"),
    };
    check_rows(rows, NUM(rows), der_get_integer);

    static const struct {
        struct slice in;
        uint64_t max;
        bool ok;
        uint64_t value;
    } values[] = {
        {SLICE_LITERAL("\x02\x01\x00"), 0, true, 0},
        {SLICE_LITERAL("\x02\x01\x05"), 5, true, 5},
        {SLICE_LITERAL("\x02\x01\x06"), 5, false, 0},
        {SLICE_LITERAL("\x02\x01\xff"), 500, false, 0},
        {SLICE_LITERAL("\x02\x02\x00\xff"), 500, true, 255},
        {SLICE_LITERAL("\x02\x08\x7f\xff\xff\xff\xff\xff\xff\xff"), UINT64_MAX, true, INT64_MAX},
        {SLICE_LITERAL("\x02\x09\x00\xff\xff\xff\xff\xff\xff\xff\xff"), UINT64_MAX, true,
         UINT64_MAX},
        {SLICE_LITERAL("\x02\x09\x01\x00\x00\x00\x00\x00\x00\x00\x00"), UINT64_MAX, false, 0},
        {SLICE_LITERAL("\x02\x0a\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00"), UINT64_MAX, false, 0},
        {SLICE_LITERAL("\x04\x01\x00"), 5, false, 0},
    };
    for (size_t i = 0; i < NUM(values); i++) {
        struct slice in = values[i].in;
        uint64_t value = 0;
        CHECK_EQ(der_get_u64(&in, values[i].max, &value), values[i].ok);
        CHECK_EQ(value, values[i].value);
        CHECK_EQ(in.len, values[i].ok ? 0 : values[i].in.len);
    }
}

static bool get_boolean(struct slice *in, struct slice *out)
{
    bool value;
    if (!der_get_boolean(in, &value)) {
        return false;
    }
    *out = value ? BYTES("yes") : BYTES("no");
    return true;
}

static bool get_enumerated(struct slice *in, struct slice *out)
{
    static uint8_t value;
    *out = slice_make(&value, 1);
    return der_get_enumerated(in, &value);
}

static bool get_null(struct slice *in, struct slice *out)
{
    *out = BYTES("");
    return der_get_null(in);
}

static void test_small_types(void)
{
    static const struct row booleans[] = {
        YES("\x01\x01\xff", "yes"),
        YES("\x01\x01\x00", "no"),
        NO("\x01\x01\x01"),
        NO("\x01\x01\xfe"),
        NO("\x01\x00"),
        NO("\x01\x02\xff\xff"),
        NO("\x02\x01\xff"),
    };
    static const struct row enumerated[] = {
        YES("\x0a\x01\x00", "\x00"),
        YES("\x0a\x01\x7f", "\x7f"),
        NO("\x0a\x01\x80"),
        NO("\x0a\x02\x00\x01"),
        NO("\x0a\x00"),
        NO("\x02\x01\x00"),
    };
    static const struct row nulls[] = {YES("\x05\x00", ""), NO("\x05\x01\x00"), NO("\x04\x00")};
    static const struct row bits[] = {
        YES("\x03\x02\x00\xaa", "\xaa"), YES("\x03\x01\x00", ""), NO("\x03\x00"),
        NO("\x03\x02\x01\xaa"),          NO("\x04\x02\x00\xaa"),
    };
    static const struct row oids[] = {
        YES("\x06\x03\x55\x1d\x0f", "\x55\x1d\x0f"),
        YES("\x06\x02\x88\x37", "\x88\x37"),
        NO("\x06\x00"),
        NO("\x06\x02\x55\x9d"),     /* ends within a number */
        NO("\x06\x02\x80\x01"),     /* padded number, first */
        NO("\x06\x03\x55\x80\x01"), /* and later */
        NO("\x05\x01\x55"),
    };
    check_rows(booleans, NUM(booleans), get_boolean);
    check_rows(enumerated, NUM(enumerated), get_enumerated);
    check_rows(nulls, NUM(nulls), get_null);
    check_rows(bits, NUM(bits), der_get_bits);
    check_rows(oids, NUM(oids), der_get_oid);
}

static void test_times(void)
{
    static const struct {
        bool utc;
        const char *text;
        int64_t value; /* 0: refused */
    } rows[] = {
        {false, "20261123224800Z", 1795474080},
        {false, "19700101000001Z", 1},
        {false, "20240229235959Z", 1709251199},
        {false, "99991231235959Z", 253402300799},
        {false, "20230229000000Z", 0},
        {false, "20261301000000Z", 0},
        {false, "20260001000000Z", 0},
        {false, "20261123240000Z", 0},
        {false, "20261123226000Z", 0},
        {false, "20261123224860Z", 0},
        {false, "20261123224800", 0},
        {false, "20261123224800z", 0},
        {false, "20261123224800.5Z", 0},
        {false, "20261123224800+0000", 0},
        {false, "202611232248Z", 0},
        {false, "2026112322480 Z", 0},
        {false, "2026112322480", 0},
        {false, "+0261123224800Z", 0},
        {false, "202", 0},
        {false, "20261", 0},
        {false, "2026112", 0},
        {false, "202611232", 0},
        {false, "20261123224", 0},
        {false, "", 0},
        {true, "491231235959Z", 2524607999},
        {true, "500101000000Z", -631152000},
        {true, "700101000001Z", 1},
        {true, "261123224800Z", 1795474080},
        {true, "2611232248Z", 0},
        {true, "261123224800+0000", 0},
        {true, "2", 0},
    };
    for (size_t i = 0; i < NUM(rows); i++) {
        uint8_t bytes[64] = {rows[i].utc ? 0x17 : 0x18, (uint8_t)strlen(rows[i].text)};
        memcpy(bytes + 2, rows[i].text, strlen(rows[i].text));
        struct slice in = slice_make(bytes, 2 + strlen(rows[i].text)), other = in;
        int64_t value = 0;
        bool ok =
            rows[i].utc ? der_get_utc_time(&in, &value) : der_get_generalized_time(&in, &value);
        if (ok != (rows[i].value != 0) || (ok && value != rows[i].value)) {
            fprintf(stderr, "%s: %lld\n", rows[i].text, (long long)value);
            CHECK(false);
        }
        CHECK_EQ(in.len, ok ? 0 : 2 + strlen(rows[i].text));
        /* Neither is the other. */
        CHECK(!(rows[i].utc ? der_get_generalized_time(&other, &value)
                            : der_get_utc_time(&other, &value)));
    }
}

/* Getters leave what follows. */
static void test_rest(void)
{
    struct slice in = BYTES("\x02\x01\x05\x05\x00rest"), out;
    CHECK(der_get_integer(&in, &out));
    CHECK(der_get_null(&in));
    CHECK_TEXT(in, "rest");
}

static const struct test_case cases[] = {
    {"lengths", test_lengths},         {"nesting", test_nesting}, {"integers", test_integers},
    {"small_types", test_small_types}, {"times", test_times},     {"rest", test_rest},
};

TEST_MAIN(cases)

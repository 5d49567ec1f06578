/* Every input there is of up to 3 bytes, and every tag with every form of length, against a
 * definition that shares nothing with der.c: what der_any takes is what an encoder of the one right
 * form would have written. With POSTERN_EXHAUSTIVE=4 in the environment, of up to 4 bytes.
 *
 * Inputs stand in memory of exactly their length, so that a sanitizer sees a read beyond it. */
#include "der.h"
#include "test.h"

#include <limits.h>

#define LONG_MAX_LEN 70000u

/* The one right form of tag and length (X.690 10.1); returns how many bytes it takes. */
static size_t write_head(uint8_t *out, uint8_t tag, size_t len)
{
    size_t num = 0, shift = 0;
    out[num++] = tag;
    if (len <= 127) {
        out[num++] = (uint8_t)len;
        return num;
    }
    while (len >> shift >> 8 != 0) {
        shift += 8;
    }
    out[num++] = (uint8_t)(0x80 + shift / 8 + 1);
    for (;; shift -= 8) {
        out[num++] = (uint8_t)(len >> shift);
        if (shift == 0) {
            return num;
        }
    }
}

/* The length of the content of the element at the front; -1: there is none that fits. Lengths from
 * least to most are tried. */
static long content_len(const uint8_t *in, size_t len, size_t least, size_t most)
{
    uint8_t head[8];
    if (len == 0 || (in[0] & 31) == 31) {
        return -1;
    }
    for (size_t n = least; n <= most && n + 2 <= len; n++) {
        size_t head_len = write_head(head, in[0], n);
        if (head_len + n <= len && memcmp(in, head, head_len) == 0) {
            return (long)n;
        }
    }
    return -1;
}

/* How many bytes a number takes in two's complement, and none less. */
static size_t number_len(long number)
{
    size_t len = 1;
    for (long low = -128, high = 127; number < low || number > high; len++) {
        low *= 256;
        high = high * 256 + 255;
    }
    return len;
}

static long number_of(const uint8_t *bytes, size_t len)
{
    long number = bytes[0] < 128 ? 0 : -1;
    for (size_t i = 0; i < len; i++) {
        number = number * 256 + bytes[i];
    }
    return number;
}

/* Written again from the numbers that it stands for. */
static bool is_oid(const uint8_t *bytes, size_t len)
{
    uint8_t again[8];
    size_t num = 0;
    for (size_t i = 0; i < len; i++) {
        unsigned long value = 0;
        while (i < len && bytes[i] >= 128) {
            value = value * 128 + bytes[i++] % 128u;
        }
        if (i == len) {
            return false;
        }
        value = value * 128 + bytes[i];
        uint8_t digits[8];
        size_t num_digits = 0;
        do {
            digits[num_digits++] = (uint8_t)(value % 128);
            value /= 128;
        } while (value != 0);
        while (num_digits-- > 0) {
            again[num++] = (uint8_t)(digits[num_digits] + (num_digits > 0 ? 128 : 0));
        }
    }
    return len != 0 && num == len && memcmp(again, bytes, len) == 0;
}

/* --- What each getter owes for content of at most 2 bytes --- */

enum getter {
    GET_INTEGER,
    GET_U64,
    GET_ENUMERATED,
    GET_BOOLEAN,
    GET_OID,
    GET_NULL,
    GET_BITS,
    GET_GENERALIZED,
    GET_UTC,
    GET_SEQUENCE,
    NUM_GETTERS
};

static const uint8_t tag_of[NUM_GETTERS] = {
    [GET_INTEGER] = 2, [GET_U64] = 2,      [GET_ENUMERATED] = 10, [GET_BOOLEAN] = 1,
    [GET_OID] = 6,     [GET_NULL] = 5,     [GET_BITS] = 3,        [GET_GENERALIZED] = 24,
    [GET_UTC] = 23,    [GET_SEQUENCE] = 48};

#define U64_MAX 300u

struct got {
    struct slice slice;
    uint64_t number;
    int64_t time_s;
    uint8_t octet;
    bool boolean;
};

static bool call(enum getter kind, struct slice *in, struct got *got)
{
    switch (kind) {
    case GET_INTEGER:
        return der_get_integer(in, &got->slice);
    case GET_U64:
        return der_get_u64(in, U64_MAX, &got->number);
    case GET_ENUMERATED:
        return der_get_enumerated(in, &got->octet);
    case GET_BOOLEAN:
        return der_get_boolean(in, &got->boolean);
    case GET_OID:
        return der_get_oid(in, &got->slice);
    case GET_NULL:
        return der_get_null(in);
    case GET_BITS:
        return der_get_bits(in, &got->slice);
    case GET_GENERALIZED:
        return der_get_generalized_time(in, &got->time_s);
    case GET_UTC:
        return der_get_utc_time(in, &got->time_s);
    case GET_SEQUENCE:
    case NUM_GETTERS:
        break;
    }
    return der_get(in, 48, &got->slice);
}

/* Whether such content is right, and the getter has told it rightly. */
static bool is_right(enum getter kind, const uint8_t *c, size_t len, bool is_got,
                     const struct got *got)
{
    bool is_number = len != 0 && number_len(number_of(c, len)) == len;
    switch (kind) {
    case GET_INTEGER:
        return is_got == is_number && (!is_got || got->slice.len == len);
    case GET_U64:
        is_number = is_number && number_of(c, len) >= 0 && number_of(c, len) <= (long)U64_MAX;
        return is_got == is_number && (!is_got || (long)got->number == number_of(c, len));
    case GET_ENUMERATED:
        is_number = len == 1 && c[0] < 128;
        return is_got == is_number && (!is_got || got->octet == c[0]);
    case GET_BOOLEAN:
        return is_got == (len == 1 && (c[0] == 0 || c[0] == 255)) &&
               (!is_got || got->boolean == (c[0] == 255));
    case GET_OID:
        return is_got == is_oid(c, len) && (!is_got || got->slice.len == len);
    case GET_NULL:
        return is_got == (len == 0);
    case GET_BITS:
        return is_got == (len != 0 && c[0] == 0) && (!is_got || got->slice.len == len - 1);
    case GET_GENERALIZED:
    case GET_UTC:
        return !is_got;
    case GET_SEQUENCE:
    case NUM_GETTERS:
        break;
    }
    return is_got && got->slice.ptr == c && got->slice.len == len;
}

/* One input; false if something is not as it must be. */
static bool check_any(const uint8_t *in, size_t len, size_t least, size_t most)
{
    struct slice rest = slice_make(in, len), content = {NULL, 0};
    uint8_t tag = 0;
    long want = content_len(in, len, least, most);
    bool is_got = der_any(&rest, &tag, &content);
    if (!is_got) {
        return want < 0 && rest.ptr == in && rest.len == len;
    }
    return want == (long)content.len && tag == in[0] && rest.ptr == content.ptr + content.len &&
           rest.ptr + rest.len == in + len;
}

static bool check_getter(enum getter kind, const uint8_t *in, size_t len)
{
    struct slice rest = slice_make(in, len);
    struct got got = {.number = 0};
    long want = content_len(in, len, 0, len);
    bool is_got = call(kind, &rest, &got);
    bool moved = rest.ptr != in || rest.len != len;
    if (want < 0 || in[0] != tag_of[kind]) {
        return !is_got && !moved;
    }
    size_t head_len = 2; /* of an element of less than 128 bytes */
    return moved == is_got && is_right(kind, in + head_len, (size_t)want, is_got, &got) &&
           (!is_got || (rest.ptr == in + head_len + want && rest.ptr + rest.len == in + len));
}

/* All inputs of that length that begin with first. */
static uint64_t check_all(size_t len, unsigned first)
{
    uint8_t *in = malloc(len);
    uint64_t num_wrong = 0, num = UINT64_C(1) << (8 * (len - 1));
    in[0] = (uint8_t)first;
    for (uint64_t value = 0; value < num; value++) {
        for (size_t i = 1; i < len; i++) {
            in[i] = (uint8_t)(value >> (8 * (i - 1)));
        }
        num_wrong += !check_any(in, len, 0, len);
        for (int kind = 0; kind < NUM_GETTERS; kind++) {
            /* For other tags the answer does not look further; two bytes show that. */
            if (tag_of[kind] == first || len <= 2) {
                num_wrong += !check_getter((enum getter)kind, in, len);
            }
        }
    }
    free(in);
    return num_wrong;
}

/* Four bytes for the getters: all content of two bytes, and lengths that do not fit it. */
static uint64_t check_pairs(uint8_t tag)
{
    static const uint8_t lengths[] = {0, 1, 2, 3, 0x80, 0x81, 0x82, 0xff};
    uint8_t *in = malloc(4);
    uint64_t num_wrong = 0;
    in[0] = tag;
    for (size_t i = 0; i < sizeof lengths; i++) {
        for (unsigned pair = 0; pair < 65536; pair++) {
            in[1] = lengths[i];
            in[2] = (uint8_t)(pair >> 8);
            in[3] = (uint8_t)pair;
            num_wrong += !check_any(in, 4, 0, 4);
            for (int kind = 0; kind < NUM_GETTERS; kind++) {
                if (tag_of[kind] == tag) {
                    num_wrong += !check_getter((enum getter)kind, in, 4);
                }
            }
        }
    }
    free(in);
    return num_wrong;
}

static void test_all_short_inputs(void)
{
    const char *asked = getenv("POSTERN_EXHAUSTIVE");
    size_t max_len = asked != NULL && strcmp(asked, "4") == 0 ? 4 : 3;
    uint64_t num_wrong = 0;
    for (size_t len = 1; len <= max_len; len++) {
        for (unsigned first = 0; first < 256; first++) {
            num_wrong += check_all(len, first);
        }
    }
    for (int kind = 0; kind < NUM_GETTERS; kind++) {
        num_wrong += check_pairs(tag_of[kind]);
    }
    CHECK_EQ(num_wrong, 0);
    struct slice none = slice_make(NULL, 0), content;
    uint8_t tag;
    CHECK(!der_any(&none, &tag, &content));
}

/* Bytes that a length may have: the ends of each range. */
static const uint8_t edges[] = {0x00, 0x01, 0x02, 0x7f, 0x80, 0x81, 0xff};
#define NUM_EDGES (sizeof edges)

static uint64_t check_head(const uint8_t *head, size_t head_len, uint64_t len)
{
    uint64_t num_wrong = 0;
    /* Less than is needed by one, all of it, one more; or what there is. */
    for (uint64_t more = 0; more < 3; more++) {
        uint64_t total = head_len + len + more;
        total = total == 0 ? 0 : total - 1;
        if (total > LONG_MAX_LEN) {
            total = LONG_MAX_LEN;
        }
        uint8_t *in = calloc(1, total + (total == 0));
        memcpy(in, head, head_len < total ? head_len : total);
        size_t near = len > LONG_MAX_LEN ? 0 : (size_t)len;
        size_t least = near < 3 ? 0 : near - 3;
        num_wrong += !check_any(in, total, least, near + 3);
        free(in);
    }
    return num_wrong;
}

/* Every tag, every first byte of a length, up to five bytes behind it at the ends of their
 * ranges. */
static void test_all_heads(void)
{
    uint64_t num_wrong = 0, num_heads = 0;
    for (unsigned tag = 0; tag < 256; tag += tag < 64 || tag == 255 ? 1 : 21) {
        for (unsigned first = 0; first < 256; first++) {
            unsigned num_octets = first > 0x80 && first <= 0x85 ? first - 0x80 : 0;
            unsigned num_ways = 1;
            for (unsigned i = 0; i < num_octets && i < 4; i++) {
                num_ways *= NUM_EDGES;
            }
            for (unsigned way = 0; way < num_ways; way++) {
                uint8_t head[8] = {(uint8_t)tag, (uint8_t)first};
                uint64_t len = first < 0x80 ? first : 0;
                for (unsigned i = 0, left = way; i < num_octets; i++, left /= NUM_EDGES) {
                    head[2 + i] = edges[left % NUM_EDGES];
                    len = len << 8 | head[2 + i];
                }
                /* What takes long to lay out is tried with two tags only. */
                if (len < 1000 || tag == 0x04 || tag == 0x30) {
                    num_wrong += check_head(head, 2 + num_octets, len);
                    num_heads++;
                }
            }
        }
    }
    CHECK_EQ(num_wrong, 0);
    CHECK(num_heads > 10000);
    /* A length of four octets that is there. */
    static const uint8_t long_head[] = {0x04, 0x84, 0x01, 0, 0, 0};
    size_t len = sizeof long_head + (1u << 24);
    uint8_t *in = calloc(1, len);
    memcpy(in, long_head, sizeof long_head);
    CHECK(check_any(in, len, 1u << 24, 1u << 24));
    CHECK(check_any(in, len - 1, 1u << 24, 1u << 24));
    free(in);
}

/* --- Times --- */

static bool is_leap(int year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

/* Days since 1970-01-01, counted one year and one month after the other; -1: no such day. */
static long days_of(int year, int month, int day)
{
    static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    long days = 0;
    if (month < 1 || month > 12 || day < 1 ||
        day > lengths[month - 1] + (month == 2 && is_leap(year))) {
        return LONG_MIN;
    }
    for (int y = 1970; y < year; y++) {
        days += 365 + is_leap(y);
    }
    for (int y = year; y < 1970; y++) {
        days -= 365 + is_leap(y);
    }
    for (int m = 1; m < month; m++) {
        days += lengths[m - 1] + (m == 2 && is_leap(year));
    }
    return days + day - 1;
}

static bool check_time(int year, int month, int day, int hour, int minute, int second)
{
    char text[64];
    int64_t utc_s = 0, general_s = 0;
    long days = days_of(year, month, day);
    bool is_time = days != LONG_MIN && hour < 24 && minute < 60 && second < 60;
    int64_t want = is_time ? (int64_t)days * 86400 + hour * 3600 + minute * 60 + second : 0;
    snprintf(text, sizeof text, "%c%c%02d%02d%02d%02d%02d%02dZ", 23, 13, year % 100, month, day,
             hour, minute, second);
    struct slice utc = slice_make(text, 15);
    bool is_utc = der_get_utc_time(&utc, &utc_s);
    snprintf(text, sizeof text, "%c%c%04d%02d%02d%02d%02d%02dZ", 24, 15, year, month, day, hour,
             minute, second);
    struct slice general = slice_make(text, 17);
    bool is_general = der_get_generalized_time(&general, &general_s);
    return is_utc == is_time && is_general == is_time && (!is_time || utc_s == want) &&
           (!is_time || general_s == want);
}

/* Every date that two digits can say, and every time of a day. */
static void test_all_times(void)
{
    uint64_t num_wrong = 0;
    for (int year = 1950; year < 2050; year++) {
        for (int month = 0; month < 14; month++) {
            for (int day = 0; day < 33; day++) {
                num_wrong += !check_time(year, month, day, 12, 34, 56);
            }
        }
    }
    for (int hour = 0; hour < 100; hour++) {
        for (int minute = 0; minute < 100; minute++) {
            num_wrong += !check_time(2026, 6, 15, hour, minute, (hour + minute) % 100);
        }
    }
    CHECK_EQ(num_wrong, 0);
}

/* --- Slices --- */

/* Each operation on each length, with each number of bytes asked for. */
static void test_all_slices(void)
{
    uint64_t num_wrong = 0;
    for (size_t len = 0; len <= 12; len++) {
        uint8_t *in = malloc(len + (len == 0));
        for (size_t i = 0; i < len; i++) {
            in[i] = (uint8_t)(0xf1 + 0x1d * i);
        }
        for (size_t n = 0; n <= 14; n++) {
            struct slice s = slice_make(in, len), part = {NULL, 0}, skipped = s, read = s;
            uint64_t number = 0, want = 0;
            bool fits = n <= len;
            for (size_t i = 0; i < n && fits; i++) {
                want = want * 256 + in[i];
            }
            num_wrong += slice_take(&s, n, &part) != fits;
            num_wrong += fits && (part.ptr != in || part.len != n);
            num_wrong += s.ptr != in + (fits ? n : 0) || s.len != len - (fits ? n : 0);
            num_wrong += slice_skip(&skipped, n) != fits || skipped.len != s.len;
            if (n >= 1 && n <= 8) {
                num_wrong += slice_be(&read, n, &number) != fits || read.len != s.len;
                num_wrong += fits && number != want;
            }
        }
        uint8_t u8;
        uint16_t u16;
        uint32_t u32;
        uint64_t u64;
        struct slice s = slice_make(in, len);
        num_wrong += slice_u8(&s, &u8) != (len >= 1) || s.len != len - (len >= 1 ? 1 : 0);
        s = slice_make(in, len);
        num_wrong += slice_be16(&s, &u16) != (len >= 2) || s.len != len - (len >= 2 ? 2 : 0);
        s = slice_make(in, len);
        num_wrong += slice_be32(&s, &u32) != (len >= 4) || s.len != len - (len >= 4 ? 4 : 0);
        s = slice_make(in, len);
        num_wrong += slice_be64(&s, &u64) != (len >= 8) || s.len != len - (len >= 8 ? 8 : 0);
        free(in);
    }
    struct slice most = slice_make("x", 1), part;
    num_wrong += slice_take(&most, SIZE_MAX, &part) || slice_skip(&most, SIZE_MAX);
    CHECK_EQ(num_wrong, 0);
}

static const struct test_case cases[] = {
    {"all_slices", test_all_slices},
    {"all_short_inputs", test_all_short_inputs},
    {"all_heads", test_all_heads},
    {"all_times", test_all_times},
};

TEST_MAIN(cases)

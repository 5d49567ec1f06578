/* Numbers, escapes and dates, at their ends and one step beyond. */
#include "text.h"

#include "test.h"

static uint8_t bytes[256];

static struct buf fresh(size_t cap)
{
    memset(bytes, 0xee, sizeof bytes);
    return buf_make(bytes, cap);
}

static void test_letter_case(void)
{
    CHECK(text_equal_nocase(SLICE_LITERAL("PostMaster"), SLICE_LITERAL("postmASTER")));
    CHECK(!text_equal_nocase(SLICE_LITERAL("postmaster"), SLICE_LITERAL("postmaste")));
    CHECK(!text_equal_nocase(SLICE_LITERAL("@[`{"), SLICE_LITERAL("`{@[")));
    CHECK(text_equal_nocase(SLICE_LITERAL("b\xc3\xbc"), SLICE_LITERAL("B\xc3\xbc")));
    CHECK(!text_equal_nocase(SLICE_LITERAL("\xc3\x9c"), SLICE_LITERAL("\xc3\xbc")));
    CHECK(text_equal_nocase(slice_make(NULL, 0), SLICE_LITERAL("")));
    CHECK_EQ(text_compare_nocase(SLICE_LITERAL("Ab"), SLICE_LITERAL("aB")), 0);
    CHECK(text_compare_nocase(SLICE_LITERAL("ab"), SLICE_LITERAL("ABC")) < 0);
    CHECK(text_compare_nocase(SLICE_LITERAL("abc"), SLICE_LITERAL("AB")) > 0);
    CHECK(text_compare_nocase(SLICE_LITERAL("b"), SLICE_LITERAL("AB")) > 0);
    CHECK(text_compare_nocase(SLICE_LITERAL("\xff"), SLICE_LITERAL("z")) > 0);
    const struct {
        struct slice name;
        int more;
    } things[] = {{SLICE_LITERAL("A"), 0}, {SLICE_LITERAL("c"), 0}, {SLICE_LITERAL("E"), 0}};
    static const char *const names[] = {"", "a", "B", "C", "d", "e", "F"};
    static const uint32_t places[] = {0, 0, 1, 1, 2, 2, 3};
    for (size_t i = 0; i < 7; i++) {
        bool is_there;
        struct slice name = slice_of_string(names[i]);
        CHECK_EQ(text_place_of(name, things, 3, sizeof things[0], &is_there), places[i]);
        CHECK_EQ(is_there, i % 2 == 1);
        CHECK_EQ(text_place_of(name, things, 0, sizeof things[0], &is_there), 0);
        CHECK(!is_there);
    }
}

static void test_classes(void)
{
    for (int c = 0; c < 256; c++) {
        uint8_t byte = (uint8_t)c;
        bool upper = c >= 'A' && c <= 'Z', lower = c >= 'a' && c <= 'z';
        CHECK_EQ(text_is_alpha(byte), upper || lower);
        CHECK_EQ(text_is_digit(byte), c >= '0' && c <= '9');
        CHECK_EQ(text_lower(byte), upper ? c + 32 : c);
    }
}

#define NO_NUMBER (UINT64_MAX - 1)

static bool number_is(const char *text, uint64_t max, uint64_t want)
{
    uint64_t value = 77;
    bool is_right = text_parse_u64(slice_of_string(text), max, &value);
    return is_right ? value == want : value == 77 && want == NO_NUMBER;
}

static void test_parse_number(void)
{
    CHECK(number_is("0", 0, 0));
    CHECK(number_is("1", 0, NO_NUMBER));
    CHECK(number_is("0000000000000000000000000000000000012", 12, 12));
    CHECK(number_is("18446744073709551615", UINT64_MAX, UINT64_MAX));
    CHECK(number_is("18446744073709551616", UINT64_MAX, NO_NUMBER));
    CHECK(number_is("184467440737095516150", UINT64_MAX, NO_NUMBER));
    CHECK(number_is("65535", 65535, 65535));
    CHECK(number_is("65536", 65535, NO_NUMBER));
    CHECK(number_is("9", 8, NO_NUMBER));
    CHECK(number_is("", 10, NO_NUMBER));
    CHECK(number_is(" 1", 10, NO_NUMBER));
    CHECK(number_is("1 ", 10, NO_NUMBER));
    CHECK(number_is("+1", 10, NO_NUMBER));
    CHECK(number_is("-1", 10, NO_NUMBER));
    CHECK(number_is("1a", 10, NO_NUMBER));
    CHECK(number_is("0x1", 10, NO_NUMBER));
    CHECK(!text_parse_u64(slice_make("1\0", 2), 10, &(uint64_t){0}));
}

static void test_put_number(void)
{
    static const struct {
        int64_t value;
        const char *text;
    } rows[] = {{0, "0"},
                {-1, "-1"},
                {10, "10"},
                {INT64_MAX, "9223372036854775807"},
                {INT64_MIN, "-9223372036854775808"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        size_t len = strlen(rows[i].text);
        struct buf b = fresh(len);
        CHECK(text_put_i64(&b, rows[i].value));
        CHECK_TEXT(buf_slice(&b), rows[i].text);
        b = fresh(len - 1);
        CHECK(!text_put_i64(&b, rows[i].value));
        CHECK_EQ(b.len, 0);
        CHECK(b.overflow);
        CHECK_EQ(bytes[len - 1], 0xee);
    }
    struct buf b = fresh(20);
    CHECK(text_put_u64(&b, UINT64_MAX));
    CHECK_TEXT(buf_slice(&b), "18446744073709551615");
    CHECK(!text_put_u64(&b, 0));
}

static void test_hex(void)
{
    struct buf b = fresh(6);
    CHECK(text_put_hex(&b, slice_make("\x00\xaf\xff", 3)));
    CHECK_TEXT(buf_slice(&b), "00afff");
    b = fresh(5);
    CHECK(!text_put_hex(&b, slice_make("\x00\xaf\xff", 3)));
    CHECK(b.overflow);
    CHECK_EQ(b.len, 0);
    CHECK(text_put_hex(&b, slice_make(NULL, 0)));
}

static void test_escaped(void)
{
    const struct slice peer = SLICE_LITERAL("a b\"c\\\r\n\x7f\xc3~");
    const char *want = "a b\\\"c\\\\\\x0d\\x0a\\x7f\\xc3~";
    struct buf b = fresh(100);
    CHECK(text_put_escaped(&b, peer, 100));
    CHECK_TEXT(buf_slice(&b), want);
    for (size_t cap = 0; cap < strlen(want); cap++) {
        b = fresh(cap);
        CHECK(!text_put_escaped(&b, peer, 100));
        CHECK(b.overflow);
        CHECK_EQ(b.len, 0);
        CHECK_EQ(bytes[cap], 0xee);
    }
    b = fresh(strlen(want));
    CHECK(text_put_escaped(&b, peer, peer.len));
    CHECK_TEXT(buf_slice(&b), want);
    b = fresh(100);
    CHECK(text_put_escaped(&b, peer, 4));
    CHECK_TEXT(buf_slice(&b), "a b\\\"...");
    b = fresh(100);
    CHECK(text_put_escaped(&b, peer, 0));
    CHECK_TEXT(buf_slice(&b), "...");
    b = fresh(2);
    CHECK(!text_put_escaped(&b, peer, 0));
    CHECK(text_put_escaped(&b, slice_make(NULL, 0), 0));
}

/* Whatever the bytes, what comes out is printable and stays in its quotes. */
static void test_escaped_every_byte(void)
{
    for (int c = 0; c < 256; c++) {
        uint8_t byte = (uint8_t)c;
        struct buf b = fresh(8);
        CHECK(text_put_escaped(&b, slice_make(&byte, 1), 1));
        for (size_t i = 0; i < b.len; i++) {
            CHECK(bytes[i] >= ' ' && bytes[i] <= '~');
        }
        CHECK_EQ(b.len, c == '"' || c == '\\' ? 2 : c >= ' ' && c <= '~' ? 1 : 4);
    }
}

static const struct {
    int64_t unix_s;
    const char *time, *date;
} moments[] = {
    {0, "1970-01-01T00:00:00Z", "Thu, 01 Jan 1970 00:00:00 +0000"},
    {-1, "1969-12-31T23:59:59Z", "Wed, 31 Dec 1969 23:59:59 +0000"},
    {951782399, "2000-02-28T23:59:59Z", "Mon, 28 Feb 2000 23:59:59 +0000"},
    {951782400, "2000-02-29T00:00:00Z", "Tue, 29 Feb 2000 00:00:00 +0000"},
    {951868800, "2000-03-01T00:00:00Z", "Wed, 01 Mar 2000 00:00:00 +0000"},
    {4107542399, "2100-02-28T23:59:59Z", "Sun, 28 Feb 2100 23:59:59 +0000"},
    {4107542400, "2100-03-01T00:00:00Z", "Mon, 01 Mar 2100 00:00:00 +0000"},
    {2147483647, "2038-01-19T03:14:07Z", "Tue, 19 Jan 2038 03:14:07 +0000"},
    {2147483648, "2038-01-19T03:14:08Z", "Tue, 19 Jan 2038 03:14:08 +0000"},
    {4294967296, "2106-02-07T06:28:16Z", "Sun, 07 Feb 2106 06:28:16 +0000"},
    {1795474080, "2026-11-23T22:48:00Z", "Mon, 23 Nov 2026 22:48:00 +0000"},
    {INT64_C(-62135596800), "0001-01-01T00:00:00Z", "Mon, 01 Jan 0001 00:00:00 +0000"},
    {INT64_C(253402300799), "9999-12-31T23:59:59Z", "Fri, 31 Dec 9999 23:59:59 +0000"},
};

static void test_times(void)
{
    for (size_t i = 0; i < sizeof moments / sizeof moments[0]; i++) {
        struct buf b = fresh(20);
        int64_t back = 1;
        CHECK(text_put_time(&b, moments[i].unix_s));
        CHECK_TEXT(buf_slice(&b), moments[i].time);
        CHECK(text_parse_time(buf_slice(&b), &back));
        CHECK_EQ(back, moments[i].unix_s);
        b = fresh(31);
        CHECK(text_put_date(&b, moments[i].unix_s));
        CHECK_TEXT(buf_slice(&b), moments[i].date);
    }
    struct buf b = fresh(19);
    CHECK(!text_put_time(&b, 0));
    CHECK_EQ(b.len, 0);
    b = fresh(30);
    CHECK(!text_put_date(&b, 0));
    CHECK_EQ(b.len, 0);
}

static void test_times_beyond(void)
{
    static const int64_t early[] = {INT64_MIN, INT64_C(-62135596801)};
    static const int64_t late[] = {INT64_MAX, INT64_C(253402300800)};
    for (int i = 0; i < 2; i++) {
        struct buf b = fresh(20);
        CHECK(text_put_time(&b, early[i]));
        CHECK_TEXT(buf_slice(&b), "0001-01-01T00:00:00Z");
        b = fresh(20);
        CHECK(text_put_time(&b, late[i]));
        CHECK_TEXT(buf_slice(&b), "9999-12-31T23:59:59Z");
    }
}

/* Every day of the calendar, counted one by one, against the arithmetic both ways. */
static void test_every_day(void)
{
    static const uint32_t lengths[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int64_t day_number = -719162; /* 0001-01-01 */
    int wrong = 0;
    for (int32_t year = 1; year <= 9999; year++) {
        bool leap = year % 400 == 0 || (year % 4 == 0 && year % 100 != 0);
        for (uint32_t month = 1; month <= 12; month++) {
            uint32_t num_days = lengths[month - 1] + (month == 2 && leap);
            int64_t got = 0;
            wrong += text_days_of_date(year, month, 0, &got);
            wrong += text_days_of_date(year, month, num_days + 1, &got);
            for (uint32_t day = 1; day <= num_days; day++, day_number++) {
                wrong += !text_days_of_date(year, month, day, &got) || got != day_number;
                if (day == 1 || day == num_days) {
                    char want[40];
                    struct buf b = fresh(20);
                    snprintf(want, sizeof want, "%04d-%02u-%02uT00:00:00Z", (int)year,
                             (unsigned)month, (unsigned)day);
                    text_put_time(&b, day_number * 86400);
                    wrong += memcmp(bytes, want, 20) != 0;
                }
            }
        }
    }
    CHECK_EQ(wrong, 0);
    CHECK_EQ(day_number, 2932897); /* 10000-01-01 */
}

static void test_days_of_date(void)
{
    int64_t days;
    CHECK(text_days_of_date(1970, 1, 1, &days) && days == 0);
    CHECK(text_days_of_date(0, 3, 1, &days) && days == -719468);
    CHECK(text_days_of_date(0, 2, 29, &days) && days == -719469);
    CHECK(text_days_of_date(-1, 12, 31, &days) && days == -719529);
    CHECK(text_days_of_date(INT32_MAX, 12, 31, &days));
    CHECK(text_days_of_date(INT32_MIN, 1, 1, &days));
    CHECK(!text_days_of_date(2025, 2, 29, &days));
    CHECK(!text_days_of_date(1900, 2, 29, &days));
    CHECK(!text_days_of_date(2024, 0, 1, &days));
    CHECK(!text_days_of_date(2024, 13, 1, &days));
    CHECK(!text_days_of_date(2024, UINT32_MAX, 1, &days));
    CHECK(!text_days_of_date(2024, 4, 31, &days));
}

static bool time_is(const char *text, int64_t want)
{
    int64_t got = 1;
    return text_parse_time(slice_of_string(text), &got) && got == want;
}

static void test_parse_time(void)
{
    static const char *const wrong[] = {
        "",
        "2026-11-23",
        "2026-11-23 22:48:00Z",
        "2026-11-23T22:48:00",
        "2026-11-23T22:48:00.5Z",
        "2026-11-23T22:48:00Z ",
        " 2026-11-23T22:48:00Z",
        "2026-11-23T24:00:00Z",
        "2026-11-23T22:60:00Z",
        "2026-11-23T22:48:61Z",
        "2026-11-23T22:48:60Z",
        "2026-11-31T22:48:00Z",
        "2025-02-29T22:48:00Z",
        "2026-00-23T22:48:00Z",
        "2026-13-23T22:48:00Z",
        "2026-11-00T22:48:00Z",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
        "9999-12-31T23:59:60Z",
        "12026-11-23T22:48:00Z",
        "2026-11-23T22:48:00+1:00",
        "2026-11-23T22:48:00+0100",
        "2026-11-23T22:48:00+24:00",
        "2026-11-23T22:48:00+01:60",
        "2026-11-23T22:48:00+01:00Z",
        "-026-11-23T22:48:00Z",
        "2026-1 -23T22:48:00Z",
    };
    CHECK(time_is("2026-11-23t22:48:00z", 1795474080));
    CHECK(time_is("2026-11-23T23:48:00+01:00", 1795474080));
    CHECK(time_is("2026-11-23T18:18:00-04:30", 1795474080));
    CHECK(time_is("2026-11-24T22:47:00+23:59", 1795474080));
    CHECK(time_is("1970-01-01T00:00:00-00:00", 0));
    CHECK(time_is("1998-12-31T23:59:60Z", 915148800));
    CHECK(time_is("1999-01-01T00:59:60+01:00", 915148800));
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        int64_t got = 99;
        if (text_parse_time(slice_of_string(wrong[i]), &got) || got != 99) {
            fprintf(stderr, "taken: %s\n", wrong[i]);
            CHECK(false);
        }
    }
}

static void test_parse_time_truncated(void)
{
    const struct slice whole = SLICE_LITERAL("2026-11-23T22:48:00+01:00");
    for (size_t len = 0; len < whole.len; len++) {
        int64_t got;
        CHECK(!text_parse_time(slice_make(whole.ptr, len), &got));
    }
}

static void test_parse_hex(void)
{
    uint8_t got[3] = {0};
    CHECK(text_parse_hex(SLICE_LITERAL("00fFa9"), got, 3));
    CHECK(memcmp(got, "\x00\xff\xa9", 3) == 0);
    CHECK(text_parse_hex(SLICE_LITERAL(""), got, 0));
    static const char *const wrong[] = {"",       "00ff",   "00ffa",  "00ffa9a", "00ffg9",
                                        "00ff9G", "00ff9:", "00ff 9", "00ff9/",  "00ff@a"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        CHECK(!text_parse_hex(slice_of_string(wrong[i]), got, 3));
    }
}

static void test_8bit(void)
{
    uint8_t letters[40];
    memset(letters, 'a', sizeof letters);
    for (size_t len = 0; len <= sizeof letters; len++) {
        CHECK(!text_is_8bit(slice_make(letters, len)));
        for (size_t at = 0; at < len; at++) {
            letters[at] = 0x80;
            CHECK(text_is_8bit(slice_make(letters, len)));
            CHECK(!text_is_8bit(slice_make(letters, at)));
            letters[at] = 0x7f;
        }
    }
}

static void test_cut_last(void)
{
    static const char *const table[][3] = {
        {"a@b", "a", "b"}, {"a@b@c", "a@b", "c"}, {"@", "", ""}, {"a@", "a", ""}, {"@b", "", "b"},
    };
    struct slice front, back;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        CHECK(text_cut_last(slice_of_string(table[i][0]), '@', &front, &back));
        CHECK_TEXT(front, table[i][1]);
        CHECK_TEXT(back, table[i][2]);
    }
    CHECK(!text_cut_last(SLICE_LITERAL("ab"), '@', &front, &back));
    CHECK_TEXT(front, "ab");
    CHECK_EQ(back.len, 0);
    CHECK(!text_cut_last(slice_make(NULL, 0), '@', &front, &back));
}

static const struct test_case cases[] = {
    {"letter_case", test_letter_case},
    {"classes", test_classes},
    {"parse_number", test_parse_number},
    {"put_number", test_put_number},
    {"hex", test_hex},
    {"escaped", test_escaped},
    {"escaped_every_byte", test_escaped_every_byte},
    {"times", test_times},
    {"times_beyond", test_times_beyond},
    {"every_day", test_every_day},
    {"days_of_date", test_days_of_date},
    {"parse_time", test_parse_time},
    {"parse_time_truncated", test_parse_time_truncated},
    {"parse_hex", test_parse_hex},
    {"8bit", test_8bit},
    {"cut_last", test_cut_last},
};

TEST_MAIN(cases)

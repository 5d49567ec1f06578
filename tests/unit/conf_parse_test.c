/* Lines, lists, sizes and times of a configuration. */
#include "conf_parse.h"

#include "test.h"

static uint8_t joined_bytes[64];
static struct buf joined;

static struct conf_text begin(const char *text)
{
    joined = buf_make(joined_bytes, sizeof joined_bytes);
    return (struct conf_text){slice_of_string(text), 0};
}

static void check_line(struct conf_text *text, uint32_t number, const char *name, const char *value)
{
    struct conf_line line;
    if (!conf_parse_line(text, &joined, &line)) {
        fprintf(stderr, "no line, expected %s\n", name);
        CHECK(false);
        return;
    }
    CHECK(line.mistake == NULL);
    CHECK_EQ(line.line_number, number);
    CHECK_TEXT(line.name, name);
    CHECK_TEXT(line.value, value);
}

static void check_end(struct conf_text *text)
{
    struct conf_line line;
    CHECK(!conf_parse_line(text, &joined, &line));
    CHECK(!conf_parse_line(text, &joined, &line));
}

static void test_lines(void)
{
    struct conf_text t = begin("# first\n\n  a = b  \n\t# more\r\nc=d=e\r\nf =\n=g\nh = i");
    check_line(&t, 3, "a", "b");
    check_line(&t, 5, "c", "d=e");
    check_line(&t, 6, "f", "");
    check_line(&t, 7, "", "g");
    check_line(&t, 8, "h", "i");
    check_end(&t);
    t = begin("\xef\xbb\xbf# by an editor\na = b");
    check_line(&t, 2, "a", "b");
    check_end(&t);
    t = begin("\xef\xbb\xbf\x61 = b\n\xef\xbb\xbf\x63 = d");
    check_line(&t, 1, "a", "b");
    check_line(&t, 2, "\xef\xbb\xbf\x63", "d");
    t = begin("\xef\xbb\xbf");
    check_end(&t);
    t = begin("");
    check_end(&t);
    t = begin("\n\n#\n   \n");
    check_end(&t);
}

static void test_continued(void)
{
    struct conf_text t = begin("a = b \\\n   c\\\n# between\nd\ne = f\\  \n\ng = h \\");
    check_line(&t, 1, "a", "b cd");
    check_line(&t, 5, "e", "f");
    check_line(&t, 7, "g", "h");
    check_end(&t);
    t = begin("a\\\n=\\\nb\n");
    check_line(&t, 1, "a", "b");
    check_end(&t);
}

static void check_mistake(const char *text, const char *mistake)
{
    struct conf_text t = begin(text);
    struct conf_line line;
    CHECK(conf_parse_line(&t, &joined, &line));
    if (line.mistake == NULL || strcmp(line.mistake, mistake) != 0) {
        fprintf(stderr, "%s: %s\n", text, line.mistake == NULL ? "no mistake" : line.mistake);
        CHECK(false);
    }
    check_line(&t, t.line_number + 1, "next", "1");
}

static void test_mistakes(void)
{
    check_mistake("word\nnext = 1", "NAME = VALUE");
    check_mistake("a = b # comment\nnext = 1", "comments on lines of their own");
    check_mistake("a = b\t#\nnext = 1", "comments on lines of their own");
    check_mistake("a = b\1c\nnext = 1", "no control characters");
    check_mistake("a = b\x7f\nnext = 1", "no control characters");
    check_mistake("a = b\rc\nnext = 1", "no control characters");
    check_mistake("a = 12345678901234567890123456789012345678901234567890123456789012\nnext = 1",
                  "at most 4096 bytes, with what continues it");
    check_mistake("a = 123456789012345678901234567890\\\n123456789012345678901234567890\\\n12\n"
                  "next = 1",
                  "at most 4096 bytes, with what continues it");
    struct conf_text too_long =
        begin("a = 12345678901234567890123456789012345678901234567890123456789012");
    struct conf_line line;
    CHECK(conf_parse_line(&too_long, &joined, &line));
    CHECK_TEXT(line.name, "a = 12345678901234567890123456789012345678901234567890123456789012");
    struct conf_text t = begin("a = b#c\xc3\xbc\n");
    check_line(&t, 1, "a", "b#c\xc3\xbc");
    t = begin("a = 123456789012345678901234567890123456789012345678901234567890\n");
    check_line(&t, 1, "a", "123456789012345678901234567890123456789012345678901234567890");
}

static void test_nul(void)
{
    struct conf_text t = {slice_make("a = \0\n", 6), 0};
    struct conf_line line;
    joined = buf_make(joined_bytes, sizeof joined_bytes);
    CHECK(conf_parse_line(&t, &joined, &line));
    CHECK(line.mistake != NULL);
}

static void test_plain_lines(void)
{
    struct conf_text t = begin("# users\n joe \n\nann\r\nbob\\\n");
    struct slice line;
    CHECK(conf_parse_plain_line(&t, &line));
    CHECK_TEXT(line, "joe");
    CHECK_EQ(t.line_number, 2);
    CHECK(conf_parse_plain_line(&t, &line));
    CHECK_TEXT(line, "ann");
    CHECK(conf_parse_plain_line(&t, &line));
    CHECK_TEXT(line, "bob\\");
    CHECK(!conf_parse_plain_line(&t, &line));
    CHECK_TEXT(line, "bob\\");
}

/* The items, each followed by a bar. */
static void check_list(const char *text, const char *want)
{
    char got[200] = "";
    uint8_t item_bytes[16];
    struct buf item = buf_make(item_bytes, sizeof item_bytes);
    struct conf_list list = conf_list_begin(slice_of_string(text));
    for (int i = 0; i < 50 && conf_list_next(&list, &item); i++) {
        strncat(got, (const char *)item.ptr, item.len);
        strcat(got, item.overflow ? "!|" : "|");
    }
    if (strcmp(got, want) != 0) {
        fprintf(stderr, "%s: got %s, not %s\n", text, got, want);
        CHECK(false);
    }
}

static void test_lists(void)
{
    check_list("", "");
    check_list(" : :", "");
    check_list("a", "a|");
    check_list("a:b", "a|b|");
    check_list(" a b : c ", "a b|c|");
    check_list("a: :b:", "a|b|");
    check_list("::::1", "::1|");
    check_list("127.0.0.1:::::1", "127.0.0.1::|1|");
    check_list("127.0.0.1 : ::::1 : 2001::db8::::1", "127.0.0.1|::1|2001:db8::1|");
    check_list("<; 0.0.0.0 ; ::0", "0.0.0.0|::0|");
    check_list("<;::1;::2;", "::1|::2|");
    check_list("<;a;;b;c", "a;b|c|");
    check_list("<, a,b", "a|b|");
    check_list("<a:b", "<a|b|");
    check_list("<", "<|");
    check_list("<;", "");
    check_list("< ;a", "< ;a|");
    check_list("0123456789abcdef:x", "0123456789abcdef|x|");
    check_list("0123456789abcdefg:x", "0123456789abcdef!|x|");
    check_list("a :   0123456789abcdef   : x", "a|0123456789abcdef|x|");
    check_list("a                    b : x", "a!|x|");
}

static void check_size(const char *text, uint64_t max, bool is_right, uint64_t want)
{
    uint64_t got = 77;
    if (conf_parse_size(slice_of_string(text), max, &got) != is_right ||
        got != (is_right ? want : 77)) {
        fprintf(stderr, "size %s is %llu\n", text, (unsigned long long)got);
        CHECK(false);
    }
}

static void test_sizes(void)
{
    check_size("0", UINT64_MAX, true, 0);
    check_size("4096", 4096, true, 4096);
    check_size("4097", 4096, false, 0);
    check_size("64K", 65536, true, 65536);
    check_size("64k", 65535, false, 0);
    check_size("50M", UINT64_MAX, true, 52428800);
    check_size("2G", UINT64_MAX, true, UINT64_C(2147483648));
    check_size("17179869183G", UINT64_MAX, true, UINT64_C(18446744072635809792));
    check_size("17179869184G", UINT64_MAX, false, 0);
    check_size("18446744073709551615", UINT64_MAX, true, UINT64_MAX);
    check_size("18446744073709551616", UINT64_MAX, false, 0);
    check_size("", UINT64_MAX, false, 0);
    check_size("K", UINT64_MAX, false, 0);
    check_size("1 K", UINT64_MAX, false, 0);
    check_size("1KB", UINT64_MAX, false, 0);
    check_size("1T", UINT64_MAX, false, 0);
    check_size("-1", UINT64_MAX, false, 0);
    check_size("1.5M", UINT64_MAX, false, 0);
}

static void check_time(const char *text, uint64_t max_s, bool is_right, uint64_t want_s)
{
    uint64_t got = 77;
    if (conf_parse_time(slice_of_string(text), max_s, &got) != is_right ||
        got != (is_right ? want_s : 77)) {
        fprintf(stderr, "time %s is %llu\n", text, (unsigned long long)got);
        CHECK(false);
    }
}

static void test_times(void)
{
    check_time("300", 300, true, 300);
    check_time("301", 300, false, 0);
    check_time("0", 300, true, 0);
    check_time("0s", 300, true, 0);
    check_time("5m", 300, true, 300);
    check_time("5m1s", 300, false, 0);
    check_time("1h30m", 86400, true, 5400);
    check_time("1H30M", 86400, true, 5400);
    check_time("2d", UINT64_MAX, true, 172800);
    check_time("1w2d3h4m5s", UINT64_MAX, true, 788645);
    check_time("18446744073709551615s", UINT64_MAX, true, UINT64_MAX);
    check_time("1m18446744073709551615s", UINT64_MAX, false, 0);
    check_time("30500568904944w", UINT64_MAX, false, 0);
    check_time("30m1h", 86400, false, 0);
    check_time("1m1m", 86400, false, 0);
    check_time("1h30", 86400, false, 0);
    check_time("m", 86400, false, 0);
    check_time("", 86400, false, 0);
    check_time("5 m", 86400, false, 0);
    check_time("5x", 86400, false, 0);
    check_time("-5m", 86400, false, 0);
    check_time("5ms", 86400, false, 0);
}

static const struct test_case cases[] = {
    {"lines", test_lines},
    {"continued", test_continued},
    {"mistakes", test_mistakes},
    {"nul", test_nul},
    {"plain_lines", test_plain_lines},
    {"lists", test_lists},
    {"sizes", test_sizes},
    {"times", test_times},
};

TEST_MAIN(cases)

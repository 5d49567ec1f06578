#include "address.h"

#include "test.h"

struct path_case {
    const char *text;
    enum address_result result;
    const char *local;
    const char *domain;
};

static const struct path_case paths[] = {
#define PATH(text, result, local, domain) {text, ADDRESS_##result, local, domain},
#include "../tables/addresses.def"
#undef PATH
};

/* Parses a copy in a block of its own, so that a sanitizer sees every byte too far. */
static void check_path(const struct path_case *c)
{
    size_t len = strlen(c->text);
    uint8_t *copy = malloc(len + 1);
    memcpy(copy, c->text, len);
    struct slice in = slice_make(copy, len);
    struct address a;
    int failed_before = test_failed_checks;
    enum address_result result = address_take_path(&in, &a);
    CHECK_EQ(result, c->result);
    if (result == ADDRESS_OK && c->result == ADDRESS_OK) {
        uint8_t bytes[ADDRESS_LOCAL_MAX];
        struct buf local = buf_make(bytes, sizeof bytes);
        CHECK_EQ(in.len, 0);
        CHECK(address_put_local(&local, &a));
        CHECK(slice_equal(buf_slice(&local), slice_of_string(c->local)));
        CHECK(slice_equal(a.domain, slice_of_string(c->domain)));
    } else {
        CHECK(in.ptr == copy && in.len == len);
    }
    if (test_failed_checks != failed_before) {
        fprintf(stderr, "  in %s\n", c->text);
    }
    free(copy);
}

static void every_path_of_the_table(void)
{
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        check_path(&paths[i]);
    }
}

/* What must hold of anything that was taken for an address. */
static void check_sane(const struct address *a, struct slice in)
{
    CHECK(a->local.len <= ADDRESS_LOCAL_MAX && a->domain.len <= ADDRESS_DOMAIN_MAX);
    CHECK(a->text.len <= ADDRESS_MAX);
    CHECK(a->text.len == 0 ||
          (a->text.ptr >= in.ptr && a->text.ptr + a->text.len <= in.ptr + in.len));
    CHECK(address_is_utf8(a->text));
    for (size_t i = 0; i < a->text.len; i++) {
        CHECK(a->text.ptr[i] >= ' ' && a->text.ptr[i] != 0x7f);
    }
    if (a->domain.len != 0) {
        struct address again;
        CHECK_EQ(address_parse(a->text, &again), ADDRESS_OK);
        CHECK(slice_equal(again.local, a->local) && slice_equal(again.domain, a->domain));
        CHECK(a->is_literal ? address_is_literal(a->domain) : address_is_domain(a->domain));
    }
}

static void take_copy(const char *text, size_t len, size_t at, int value)
{
    uint8_t *copy = malloc(len + 1);
    memcpy(copy, text, len);
    if (value >= 0) {
        copy[at] = (uint8_t)value;
    }
    struct slice whole = slice_make(copy, len);
    struct slice in = whole;
    struct address a;
    if (address_take_path(&in, &a) == ADDRESS_OK) {
        check_sane(&a, whole);
    } else {
        CHECK(in.ptr == whole.ptr && in.len == whole.len);
    }
    free(copy);
}

static void truncated_and_changed_paths_stay_sane(void)
{
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        size_t len = strlen(paths[i].text);
        for (size_t at = 0; at < len; at++) {
            take_copy(paths[i].text, at, 0, -1);
            for (int value = 0; value < 256; value++) {
                take_copy(paths[i].text, len, at, value);
            }
        }
    }
}

static void a_cut_path_is_no_path(void)
{
    const char *text = "<@a.example,@b.example:\"jo\\e\"@[IPv6:2001:db8::1]>";
    for (size_t len = 0; len < strlen(text); len++) {
        struct slice in = slice_make(text, len);
        struct address a;
        CHECK_EQ(address_take_path(&in, &a), ADDRESS_MALFORMED);
    }
}

static size_t put_run(char *into, char c, size_t n)
{
    memset(into, c, n);
    return n;
}

/* "<", locals a's, "@", then labels of 59 b's and a rest up to domain_len, ">". */
static enum address_result take_long(size_t local_len, size_t domain_len)
{
    char text[1024];
    size_t n = 0;
    text[n++] = '<';
    n += put_run(text + n, 'a', local_len);
    text[n++] = '@';
    for (size_t i = 0; i < domain_len; i++) {
        text[n++] = i % 60 == 59 && i + 1 != domain_len ? '.' : 'b';
    }
    text[n++] = '>';
    struct slice in = slice_make(text, n);
    struct address a;
    return address_take_path(&in, &a);
}

static void lengths_have_limits(void)
{
    CHECK_EQ(take_long(64, 100), ADDRESS_OK);
    CHECK_EQ(take_long(65, 100), ADDRESS_OK); /* 64 is what a server has to take at least */
    CHECK_EQ(take_long(153, 100), ADDRESS_OK);
    CHECK_EQ(take_long(154, 100), ADDRESS_TOO_LONG);
    CHECK_EQ(take_long(ADDRESS_LOCAL_MAX, 1), ADDRESS_OK);
    CHECK_EQ(take_long(ADDRESS_LOCAL_MAX + 1, 1), ADDRESS_TOO_LONG);
    CHECK_EQ(take_long(300, 100), ADDRESS_TOO_LONG);
    CHECK_EQ(take_long(1, 252), ADDRESS_OK); /* 256 with brackets */
    CHECK_EQ(take_long(1, 253), ADDRESS_TOO_LONG);
    CHECK_EQ(take_long(1, 256), ADDRESS_TOO_LONG);
    char label[80] = "<a@";
    put_run(label + 3, 'b', 63);
    label[66] = '>';
    struct address a;
    struct slice in = slice_make(label, 67);
    CHECK_EQ(address_take_path(&in, &a), ADDRESS_OK);
    label[66] = 'b';
    label[67] = '>';
    in = slice_make(label, 68);
    CHECK_EQ(address_take_path(&in, &a), ADDRESS_MALFORMED);
}

static void a_route_counts_in_the_path(void)
{
    char text[400] = "<@";
    size_t n = 2;
    for (int i = 0; i < 4; i++) {
        n += put_run(text + n, 'r', 59);
        text[n++] = i == 3 ? ':' : '.';
    }
    memcpy(text + n, "joe@example.org>", 16);
    struct slice in = slice_make(text, n + 16);
    struct address a;
    CHECK_EQ(address_take_path(&in, &a), ADDRESS_TOO_LONG);
    memcpy(text + n, "joe@e.orgx>", 11);
    in = slice_make(text, n + 11);
    CHECK_EQ(address_take_path(&in, &a), ADDRESS_OK);
}

static void postmaster_is_known_in_every_dress(void)
{
    static const char *const yes[] = {"<Postmaster>", "<postmaster@x>", "<POSTMASTER@x>",
                                      "<\"post\\master\"@x>"};
    static const char *const no[] = {"<>", "<postmaste@x>", "<postmaster2@x>", "<\"\"@x>"};
    struct address a;
    for (size_t i = 0; i < 4; i++) {
        struct slice in = slice_of_string(yes[i]);
        CHECK_EQ(address_take_path(&in, &a), ADDRESS_OK);
        CHECK(address_is_postmaster(&a));
        in = slice_of_string(no[i]);
        CHECK_EQ(address_take_path(&in, &a), ADDRESS_OK);
        CHECK(!address_is_postmaster(&a));
    }
}

static void only_whole_texts_parse(void)
{
    struct address a;
    CHECK_EQ(address_parse(SLICE_LITERAL("joe@example.org"), &a), ADDRESS_OK);
    CHECK_TEXT(a.text, "joe@example.org");
    CHECK(!a.is_utf8 && !a.is_quoted && !a.is_literal);
    CHECK_EQ(address_parse(SLICE_LITERAL("joe@example.org "), &a), ADDRESS_MALFORMED);
    CHECK_EQ(address_parse(SLICE_LITERAL("<joe@example.org>"), &a), ADDRESS_MALFORMED);
    CHECK_EQ(address_parse(SLICE_LITERAL("postmaster"), &a), ADDRESS_MALFORMED);
    CHECK_EQ(address_parse(SLICE_LITERAL(""), &a), ADDRESS_MALFORMED);
    char text[300];
    put_run(text, 'a', sizeof text);
    text[1] = '@';
    for (size_t i = 40; i < sizeof text; i += 40) {
        text[i] = '.';
    }
    CHECK_EQ(address_parse(slice_make(text, ADDRESS_MAX), &a), ADDRESS_OK);
    CHECK_EQ(address_parse(slice_make(text, ADDRESS_MAX + 1), &a), ADDRESS_TOO_LONG);
    CHECK(address_is_domain(SLICE_LITERAL("a.b")) && !address_is_domain(SLICE_LITERAL("a.b ")));
    CHECK(!address_is_domain(SLICE_LITERAL("")) && !address_is_domain(SLICE_LITERAL("[1.2.3.4]")));
    CHECK(address_is_literal(SLICE_LITERAL("[1.2.3.4]")));
    CHECK(!address_is_literal(SLICE_LITERAL("[1.2.3.4]x")) &&
          !address_is_literal(SLICE_LITERAL("")));
}

static void a_full_buffer_gets_nothing(void)
{
    struct address a;
    uint8_t bytes[8];
    CHECK_EQ(address_parse(SLICE_LITERAL("\"jo\\e\"@x"), &a), ADDRESS_OK);
    struct buf b = buf_make(bytes, 2);
    CHECK(!address_put_local(&b, &a));
    CHECK(b.overflow && b.len == 0);
    b = buf_make(bytes, 3);
    CHECK(address_put_local(&b, &a));
}

static void test_put(void)
{
    static const char *const table[][2] = {
        {"joe", "joe@d.example"},
        {"a.b", "a.b@d.example"},
        {".a", "\".a\"@d.example"},
        {"a b", "\"a b\"@d.example"},
        {"a\"b\\c", "\"a\\\"b\\\\c\"@d.example"},
        {"a@b", "\"a@b\"@d.example"},
        {"", "\"\"@d.example"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        uint8_t bytes[40];
        size_t want_len = strlen(table[i][1]);
        for (size_t cap = 0; cap < sizeof bytes; cap++) {
            struct buf b = buf_make(bytes, cap);
            bool fits = address_put(&b, slice_of_string(table[i][0]), SLICE_LITERAL("d.example"));
            CHECK_EQ(fits, cap >= want_len);
            CHECK_TEXT(b, fits ? table[i][1] : "");
        }
    }
}

static const struct test_case cases[] = {
    {"every_path_of_the_table", every_path_of_the_table},
    {"truncated_and_changed_paths_stay_sane", truncated_and_changed_paths_stay_sane},
    {"a_cut_path_is_no_path", a_cut_path_is_no_path},
    {"lengths_have_limits", lengths_have_limits},
    {"a_route_counts_in_the_path", a_route_counts_in_the_path},
    {"postmaster_is_known_in_every_dress", postmaster_is_known_in_every_dress},
    {"only_whole_texts_parse", only_whole_texts_parse},
    {"a_full_buffer_gets_nothing", a_full_buffer_gets_nothing},
    {"put", test_put},
};

TEST_MAIN(cases)

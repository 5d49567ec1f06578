#include "smtp_line.h"

#include "test.h"

#define CAP 4096

/* What came out of a body, however it was cut on its way in. */
struct result {
    enum smtp_body_result end;
    size_t len;
    size_t left; /* input behind the end */
    bool long_line;
    char bytes[CAP];
};

/* Feeds text in pieces of piece_len bytes, each in a block of its own. */
static void run_body(struct result *r, const char *text, size_t len, size_t piece_len,
                     bool is_chunk)
{
    struct smtp_body body;
    memset(&body, 0, sizeof body);
    memset(r, 0, sizeof *r);
    for (size_t at = 0; at < len && r->end == SMTP_BODY_MORE; at += piece_len) {
        size_t n = len - at < piece_len ? len - at : piece_len;
        uint8_t *copy = malloc(n);
        memcpy(copy, text + at, n);
        struct slice in = slice_make(copy, n);
        while (in.len != 0 && r->end == SMTP_BODY_MORE) {
            size_t before = in.len;
            struct slice run;
            r->end = is_chunk ? smtp_body_take_chunk(&body, &in, SMTP_TEXT_LINE_MAX, &run)
                              : smtp_body_take(&body, &in, SMTP_TEXT_LINE_MAX, &run);
            if (r->end == SMTP_BODY_MORE) {
                CHECK(in.len < before);
                if (run.len != 0) {
                    memcpy(r->bytes + r->len, run.ptr, run.len);
                }
                r->len += run.len;
            }
        }
        r->left = in.len + (len - at - n);
        free(copy);
    }
    if (is_chunk && r->end == SMTP_BODY_MORE) {
        struct slice run;
        r->end = smtp_body_finish_chunks(&body, SMTP_TEXT_LINE_MAX, &run);
        if (run.len != 0) {
            memcpy(r->bytes + r->len, run.ptr, run.len);
        }
        r->len += run.len;
    }
    r->long_line = body.long_line;
}

struct body_case {
    const char *in;
    size_t in_len;
    const char *out;
    enum smtp_body_result end;
    size_t left;
};

#define BODY(in, out, end, left)                       \
    {                                                  \
        in, sizeof(in) - 1, out, SMTP_BODY_##end, left \
    }

static const struct body_case data_bodies[] = {
    BODY("a\r\n.\r\n", "a\r\n", END, 0),
    BODY(".\r\n", "", END, 0),
    BODY("a\r\n.\r\nQUIT\r\n", "a\r\n", END, 6),
    BODY("a\r\n..\r\n.\r\n", "a\r\n.\r\n", END, 0),
    BODY("..a\r\n...b\r\n.\r\n", ".a\r\n..b\r\n", END, 0),
    BODY(".a\r\n.\r\n", "a\r\n", END,
         0), /* a dot that nobody doubled is dropped too: RFC 5321 4.5.2 */
    BODY("a.b\r\n.c\r\n \r\n\r\n.\r\n", "a.b\r\nc\r\n \r\n\r\n", END, 0),
    BODY("a.\r\n.\r\n", "a.\r\n", END, 0),
    BODY("\xff\x80\x01\x0b\t\r\n.\r\n", "\xff\x80\x01\x0b\t\r\n", END, 0),
    BODY("a\r\n.\r", "a\r\n", MORE, 0),
    BODY("a\r\n.", "a\r\n", MORE, 0),
    BODY("a\r", "a", MORE, 0),
    /* Everything that somebody else takes for the end. */
    BODY("a\n.\nMAIL", NULL, BARE_LF, 0),
    BODY("a\n.\r\nMAIL", NULL, BARE_LF, 0),
    BODY("a\r\n.\nMAIL", NULL, BARE_LF, 0),
    BODY("a\r.\rMAIL", NULL, BARE_CR, 0),
    BODY("a\r.\r\nMAIL", NULL, BARE_CR, 0),
    BODY("a\r\n.\rMAIL", NULL, BARE_CR, 0),
    BODY("a\r\n.\r\r\nMAIL", NULL, BARE_CR, 0),
    BODY("a\r\r\n.\r\r\nMAIL", NULL, BARE_CR, 0),
    BODY("a\r\n\n.\r\nMAIL", NULL, BARE_LF, 0),
    BODY("a\n\r.\n\rMAIL", NULL, BARE_LF, 0),
    BODY("\n.\r\n", NULL, BARE_LF, 0),
    BODY("a\r\0\n.\r\n", NULL, BARE_CR, 0),
    BODY("a\0\r\n.\r\n", NULL, NUL, 0),
    BODY("a\r\n.\0\r\n", NULL, NUL, 0),
    BODY("\0", NULL, NUL, 0),
};

static const struct body_case chunk_bodies[] = {
    BODY("a\r\n", "a\r\n", END, 0),
    BODY("a\r\n.\r\nb\r\n", "a\r\n.\r\nb\r\n", END, 0),
    BODY("..a\r\n", "..a\r\n", END, 0),
    BODY("a", "a\r\n", END, 0),
    BODY("a\r\nb", "a\r\nb\r\n", END, 0),
    BODY("\r\n", "\r\n", END, 0),
    BODY("", "", END, 0),
    BODY("a\r", NULL, BARE_CR, 0),
    BODY("a\rb", NULL, BARE_CR, 0),
    BODY("a\nb", NULL, BARE_LF, 0),
    BODY("a\r\n\n", NULL, BARE_LF, 0),
    BODY("a\0b", NULL, NUL, 0),
};

static void check_bodies(const struct body_case *cases, size_t num, bool is_chunk)
{
    static struct result r;
    for (size_t i = 0; i < num; i++) {
        const struct body_case *c = &cases[i];
        for (size_t piece_len = 1; piece_len <= c->in_len + 1; piece_len++) {
            run_body(&r, c->in, c->in_len, piece_len, is_chunk);
            int failed_before = test_failed_checks;
            CHECK_EQ(r.end, c->end);
            if (c->out != NULL) {
                CHECK_TEXT(((struct slice){(const uint8_t *)r.bytes, r.len}), c->out);
                CHECK_EQ(r.left, c->left);
            }
            if (test_failed_checks != failed_before) {
                fprintf(stderr, "  in body %zu, pieces of %zu\n", i, piece_len);
            }
        }
    }
}

static void data_ends_at_crlf_dot_crlf_only(void)
{
    check_bodies(data_bodies, sizeof data_bodies / sizeof data_bodies[0], false);
}

static void chunks_know_no_dots(void)
{
    check_bodies(chunk_bodies, sizeof chunk_bodies / sizeof chunk_bodies[0], true);
}

/* Every text of up to seven bytes over the five that matter: however it is cut, it comes out the
 * same, and an independent reading agrees on where it ends and whether it is clean. */
static void every_short_body_is_read_alike(void)
{
    static const char letters[] = {'\r', '\n', '.', 'a', '\0'};
    static struct result whole, cut;
    uint32_t num_clean = 0;
    for (uint32_t number = 0; number < 78125; number++) {
        char text[7];
        uint32_t rest = number;
        for (size_t i = 0; i < sizeof text; i++) {
            text[i] = letters[rest % 5];
            rest /= 5;
        }
        run_body(&whole, text, sizeof text, sizeof text, false);
        run_body(&cut, text, sizeof text, 1, false);
        CHECK_EQ(whole.end, cut.end);
        if (whole.end == SMTP_BODY_END || whole.end == SMTP_BODY_MORE) {
            CHECK(whole.len == cut.len && memcmp(whole.bytes, cut.bytes, cut.len) == 0);
            CHECK_EQ(whole.left, cut.left);
            num_clean++;
        }
        /* The first place where CRLF.CRLF ends, with a CRLF thought before the text. */
        size_t end = 0;
        for (size_t i = 0; i + 3 <= sizeof text && end == 0; i++) {
            bool at_begin = i == 0 || (i >= 2 && text[i - 2] == '\r' && text[i - 1] == '\n');
            end = at_begin && memcmp(text + i, ".\r\n", 3) == 0 ? i + 3 : 0;
        }
        size_t limit = end != 0 ? end : sizeof text;
        bool clean = true;
        for (size_t i = 0; i < limit; i++) {
            bool good = text[i] != '\0' && (text[i] != '\n' || (i != 0 && text[i - 1] == '\r')) &&
                        (text[i] != '\r' || i + 1 == limit || text[i + 1] == '\n');
            clean = clean && good;
        }
        CHECK_EQ(whole.end == SMTP_BODY_END, clean && end != 0);
        CHECK_EQ(whole.end == SMTP_BODY_MORE, clean && end == 0);
        if (clean && end != 0) {
            CHECK_EQ(whole.left, sizeof text - end);
        }
    }
    CHECK(num_clean > 100);
}

static size_t put_line(char *into, size_t len)
{
    memset(into, 'x', len - 2);
    memcpy(into + len - 2, "\r\n", 2);
    return len;
}

static void long_text_lines_are_noticed(void)
{
    static struct result r;
    static const size_t pieces[] = {1, 7, 1000, 4096};
    char text[2100];
    for (size_t i = 0; i < 4; i++) {
        size_t len = put_line(text, 1000);
        len += put_line(text + len, 1000);
        run_body(&r, text, len, pieces[i], true);
        CHECK(!r.long_line);
        len = put_line(text, 1001);
        run_body(&r, text, len, pieces[i], true);
        CHECK(r.long_line);
        len = put_line(text, 1000);
        run_body(&r, text, len - 1, pieces[i], true);
        CHECK_EQ(r.end, SMTP_BODY_BARE_CR);
        memset(text, 'x', 1000); /* fits only without the CRLF that it is given */
        run_body(&r, text, 1000, pieces[i], true);
        CHECK(r.long_line);
        /* A transparent dot does not count (RFC 5321 4.5.3.1.6). */
        text[0] = '.';
        put_line(text + 1, 1000);
        run_body(&r, text, 1001, pieces[i], false);
        CHECK(!r.long_line);
        CHECK_EQ(r.len, 1000);
    }
}

static void a_line_is_taken_without_its_end(void)
{
    struct slice in = SLICE_LITERAL("NOOP\r\n\r\nQUIT\r");
    struct slice line;
    CHECK_EQ(smtp_line_take(&in, SMTP_LINE_MAX, &line), SMTP_LINE_OK);
    CHECK_TEXT(line, "NOOP");
    CHECK_EQ(smtp_line_take(&in, SMTP_LINE_MAX, &line), SMTP_LINE_OK);
    CHECK_TEXT(line, "");
    CHECK_EQ(smtp_line_take(&in, SMTP_LINE_MAX, &line), SMTP_LINE_MORE);
    CHECK_TEXT(in, "QUIT\r");
}

static enum smtp_line_result take(struct slice in)
{
    struct slice line;
    struct slice before = in;
    enum smtp_line_result r = smtp_line_take(&in, SMTP_LINE_MAX, &line);
    if (r != SMTP_LINE_OK) {
        CHECK(in.ptr == before.ptr && in.len == before.len);
    }
    return r;
}

static void only_crlf_ends_a_command(void)
{
    CHECK_EQ(take(SLICE_LITERAL("NOOP\n")), SMTP_LINE_BARE_LF);
    CHECK_EQ(take(SLICE_LITERAL("\n")), SMTP_LINE_BARE_LF);
    CHECK_EQ(take(SLICE_LITERAL("NOOP\rQUIT\r\n")), SMTP_LINE_BARE_CR);
    CHECK_EQ(take(SLICE_LITERAL("NOOP\r\r\n")), SMTP_LINE_BARE_CR);
    CHECK_EQ(take(SLICE_LITERAL("NO\0OP\r\n")), SMTP_LINE_NUL);
    CHECK_EQ(take(SLICE_LITERAL("NOOP\r\0\n")), SMTP_LINE_BARE_CR);
    CHECK_EQ(take(SLICE_LITERAL("")), SMTP_LINE_MORE);
    CHECK_EQ(take(SLICE_LITERAL("NOOP")), SMTP_LINE_MORE);
}

static void command_lines_have_a_limit(void)
{
    char text[SMTP_LINE_MAX + 10];
    size_t len = put_line(text, SMTP_LINE_MAX);
    CHECK_EQ(take(slice_make(text, len)), SMTP_LINE_OK);
    CHECK_EQ(take(slice_make(text, len - 1)), SMTP_LINE_MORE);
    len = put_line(text, SMTP_LINE_MAX + 1);
    CHECK_EQ(take(slice_make(text, len)), SMTP_LINE_TOO_LONG);
    CHECK_EQ(take(slice_make(text, len - 1)), SMTP_LINE_TOO_LONG);
    CHECK_EQ(take(slice_make(text, SMTP_LINE_MAX - 1)), SMTP_LINE_MORE);
}

static void a_long_line_is_dropped_to_its_end(void)
{
    struct slice in = SLICE_LITERAL("xxxxxx\r\nNOOP\r\n");
    CHECK_EQ(smtp_line_drop(&in), SMTP_LINE_OK);
    CHECK_TEXT(in, "NOOP\r\n");
    in = SLICE_LITERAL("xxxxxx\r");
    CHECK_EQ(smtp_line_drop(&in), SMTP_LINE_MORE);
    CHECK_TEXT(in, "\r");
    in = SLICE_LITERAL("xxxxxx");
    CHECK_EQ(smtp_line_drop(&in), SMTP_LINE_MORE);
    CHECK_EQ(in.len, 0);
    in = SLICE_LITERAL("xx\nxx\r\n");
    CHECK_EQ(smtp_line_drop(&in), SMTP_LINE_BARE_LF);
    in = SLICE_LITERAL("xx\rxx\r\n");
    CHECK_EQ(smtp_line_drop(&in), SMTP_LINE_BARE_CR);
    in = SLICE_LITERAL("xx\0xx\r\n");
    CHECK_EQ(smtp_line_drop(&in), SMTP_LINE_NUL);
}

static const struct test_case cases[] = {
    {"data_ends_at_crlf_dot_crlf_only", data_ends_at_crlf_dot_crlf_only},
    {"chunks_know_no_dots", chunks_know_no_dots},
    {"every_short_body_is_read_alike", every_short_body_is_read_alike},
    {"long_text_lines_are_noticed", long_text_lines_are_noticed},
    {"a_line_is_taken_without_its_end", a_line_is_taken_without_its_end},
    {"only_crlf_ends_a_command", only_crlf_ends_a_command},
    {"command_lines_have_a_limit", command_lines_have_a_limit},
    {"a_long_line_is_dropped_to_its_end", a_long_line_is_dropped_to_its_end},
};

TEST_MAIN(cases)

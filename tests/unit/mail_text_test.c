/* Line ends of all kinds become CRLF; the final dot; lines that are too long. */
#include "mail_text.h"

#include "test.h"

static uint8_t bytes[16384];

/* In pieces of piece_len bytes. */
static struct slice made(const char *text, size_t len, bool ends_at_dot, size_t piece_len,
                         bool *out_ended)
{
    struct mail_text t = {.ends_at_dot = ends_at_dot};
    struct buf out = buf_make(bytes, sizeof bytes);
    *out_ended = false;
    for (size_t at = 0; at < len && !*out_ended; at += piece_len) {
        struct slice in = slice_make(text + at, len - at < piece_len ? len - at : piece_len);
        *out_ended = mail_text_take(&t, &in, &out);
    }
    if (!*out_ended) {
        mail_text_end(&t, &out);
    }
    CHECK(!out.overflow);
    return buf_slice(&out);
}

static void line_ends(void)
{
    static const struct {
        const char *in, *out;
        bool dot, ended;
    } texts[] = {
        {"a\nb\n", "a\r\nb\r\n", false, false},
        {"a\r\nb", "a\r\nb\r\n", false, false},
        {"a\rb\r\r\nc", "a\r\nb\r\n\r\nc\r\n", false, false},
        {"\n\n", "\r\n\r\n", false, false},
        {"", "", false, false},
        {"a\n.\nb\n", "a\r\n.\r\nb\r\n", false, false},
        {"a\n.\nb\n", "a\r\n", true, true},
        {"a\r\n.\r\nb", "a\r\n", true, true},
        {".", ".\r\n", true, false},
        {".\n", "", true, true},
        {"..\n.a\na.\n", "..\r\n.a\r\na.\r\n", true, false},
        {"\n.\n", "\r\n", true, true},
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        for (size_t piece = 1; piece < 4; piece++) {
            bool ended;
            struct slice got = made(texts[i].in, strlen(texts[i].in), texts[i].dot, piece, &ended);
            CHECK_TEXT(got, texts[i].out);
            CHECK_EQ(ended, texts[i].ended);
        }
    }
}

static void odd_octets(void)
{
    bool ended;
    struct mail_text t = {.ends_at_dot = false};
    struct buf out = buf_make(bytes, sizeof bytes);
    CHECK_TEXT(made("a\0b\n", 4, false, 9, &ended), "a?b\r\n");
    struct slice in = SLICE_LITERAL("abc\n");
    CHECK(!mail_text_take(&t, &in, &out));
    CHECK(!t.has_8bit);
    in = SLICE_LITERAL("\xc3\xa4\n");
    CHECK(!mail_text_take(&t, &in, &out));
    CHECK(t.has_8bit);
}

static void check_lines(struct slice text, size_t want_num)
{
    size_t num = 0, len = 0;
    for (size_t i = 0; i < text.len; i++) {
        len++;
        if (text.ptr[i] == '\n') {
            CHECK(len <= 1000);
            CHECK(i == 0 || text.ptr[i - 1] == '\r');
            len = 0;
            num++;
        }
    }
    CHECK_EQ(len, 0);
    CHECK_EQ(num, want_num);
}

/* Lists of addresses in one line are broken in front of a space or behind a comma. */
static void long_fields_are_folded(void)
{
    static char text[3000];
    bool ended;
    for (int kind = 0; kind < 2; kind++) {
        for (size_t piece = 1; piece < sizeof text; piece += 333) {
            for (size_t i = 0; i < sizeof text; i++) {
                text[i] = i % 100 != 99 ? 'x' : kind == 0 ? ' ' : ',';
            }
            memcpy(text + 1998, "\n\n", 2);
            struct slice got = made(text, sizeof text, false, piece, &ended);
            size_t first = kind == 0 ? 899 : 900, gap = 1 - (size_t)kind;
            CHECK(slice_equal(slice_make(got.ptr, first), slice_make(text, first)));
            CHECK(slice_equal(slice_make(got.ptr + first, 4), SLICE_LITERAL("\r\n x")));
            CHECK(slice_equal(slice_make(got.ptr + first + 3, 800),
                              slice_make(text + first + gap, 800)));
            CHECK(got.ptr[got.len - 3] == ' ' || got.ptr[got.len - 3] == ',');
        }
    }
    memset(text, ' ', sizeof text);
    text[0] = text[995] = 'x';
    struct slice got = made(text, 996, false, 996, &ended); /* no line has nothing but spaces */
    check_lines(got, 2);
    CHECK(memchr(got.ptr + 990, 'x', got.len - 990) != NULL);
}

static void long_lines_are_broken(void)
{
    static char text[4000];
    bool ended;
    memset(text, 'x', sizeof text);
    memcpy(text, "Subject: ", 9);
    struct slice got = made(text, 2000, false, 7, &ended);
    check_lines(got, 3);
    CHECK(memmem(got.ptr, got.len, "\r\n xx", 5) != NULL);
    CHECK(memmem(got.ptr, got.len, "\r\nxx", 4) == NULL);
    text[0] = '\n';
    got = made(text, 2000, false, 7, &ended);
    check_lines(got, 4);
    CHECK(memmem(got.ptr, got.len, "\r\n xx", 5) == NULL);
    /* No character is cut in two. */
    for (size_t i = 1; i + 1 < 3000; i += 2) {
        memcpy(text + i, "\xc3\xa4", 2);
    }
    got = made(text, 3000, false, 7, &ended);
    for (size_t i = 0; i + 1 < got.len; i++) {
        CHECK(got.ptr[i] != '\r' || got.ptr[i + 2] != 0xa4);
    }
    memset(text, 0x80, sizeof text);
    text[0] = '\n';
    check_lines(made(text, 3000, false, 7, &ended), 5);
}

static void full_buffers_stop(void)
{
    struct mail_text t = {.ends_at_dot = false};
    struct buf out = buf_make(bytes, 10);
    struct slice in = SLICE_LITERAL("0123456789abcdef\n");
    CHECK(!mail_text_take(&t, &in, &out));
    CHECK_EQ(out.len + in.len, 17);
    CHECK(!out.overflow);
    out = buf_make(bytes, 100);
    CHECK(!mail_text_take(&t, &in, &out));
    CHECK_EQ(in.len, 0);
}

static const struct test_case cases[] = {
    {"line_ends", line_ends},
    {"odd_octets", odd_octets},
    {"long_fields_are_folded", long_fields_are_folded},
    {"long_lines_are_broken", long_lines_are_broken},
    {"full_buffers_stop", full_buffers_stop},
};

TEST_MAIN(cases)

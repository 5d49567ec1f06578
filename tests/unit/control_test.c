/* Requests and replies of the control socket, as both of its sides have them. */
#include "control.h"

#include "test.h"

static struct control control;
static struct control_request request;

static enum err feed(const char *text, size_t *out_left)
{
    struct slice in = slice_of_string(text);
    enum err err = control_feed(&control, &in, &request);
    *out_left = in.len;
    return err;
}

static enum err feed_fresh(const char *text)
{
    size_t left;
    memset(&control, 0, sizeof control);
    return feed(text, &left);
}

static void requests_are_words(void)
{
    size_t left;
    memset(&control, 0, sizeof control);
    CHECK_EQ(feed("clo", &left), ERR_AGAIN);
    CHECK_EQ(feed("", &left), ERR_AGAIN);
    CHECK_EQ(feed("ck set 2026-11-23T22:48:00Z\nrest", &left), ERR_OK);
    CHECK_EQ(left, 4);
    CHECK_EQ(request.num_words, 3);
    CHECK_TEXT(request.words[0], "clock");
    CHECK_TEXT(request.words[1], "set");
    CHECK_TEXT(request.words[2], "2026-11-23T22:48:00Z");
    CHECK_EQ(feed_fresh("status\n"), ERR_OK);
    CHECK_EQ(request.num_words, 1);
}

static void what_is_no_request_is_told(void)
{
    static const char *const wrong[] = {
        "\n",         " status\n", "a  b\n",        "a\tb\n",
        "status\r\n", "\x7f\n",    "caf\xc3\xa9\n", "1 2 3 4 5 6 7\n"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        CHECK_EQ(feed_fresh(wrong[i]), ERR_MALFORMED);
    }
    CHECK_EQ(feed_fresh("1 2 3 4 5 6\n"), ERR_OK);
    char text[CONTROL_LINE_MAX + 3];
    memset(text, 'a', sizeof text);
    text[CONTROL_LINE_MAX] = '\n';
    text[CONTROL_LINE_MAX + 1] = '\0';
    CHECK_EQ(feed_fresh(text), ERR_OK);
    text[CONTROL_LINE_MAX] = 'a';
    CHECK_EQ(feed_fresh(text), ERR_TOO_BIG);
}

static void check_line(struct slice *in, enum control_line kind, const char *text)
{
    enum control_line got;
    struct slice line;
    enum err result = ERR_OK;
    CHECK_EQ(control_read(in, &got, &line, &result), ERR_OK);
    CHECK_EQ(got, kind);
    CHECK_TEXT(line, text);
    CHECK(kind != CONTROL_END || result == ERR_NOT_ALLOWED);
}

static void replies_are_read_as_written(void)
{
    uint8_t bytes[128];
    struct buf reply = buf_make(bytes, sizeof bytes);
    enum control_line kind;
    struct slice line;
    enum err result;
    CHECK(control_put_answer(&reply, SLICE_LITERAL("one\n\n=two\nthree")));
    CHECK(control_put_complaint(&reply, SLICE_LITERAL("bad\n")));
    CHECK(control_put_answer(&reply, SLICE_LITERAL("")));
    CHECK(control_put_end(&reply, ERR_NOT_ALLOWED));
    struct slice in = buf_slice(&reply);
    check_line(&in, CONTROL_ANSWER, "one");
    check_line(&in, CONTROL_ANSWER, "");
    check_line(&in, CONTROL_ANSWER, "=two");
    check_line(&in, CONTROL_ANSWER, "three");
    check_line(&in, CONTROL_COMPLAINT, "bad");
    check_line(&in, CONTROL_END, "not-allowed");
    CHECK_EQ(control_read(&in, &kind, &line, &result), ERR_AGAIN);
    in = SLICE_LITERAL(" half a li");
    CHECK_EQ(control_read(&in, &kind, &line, &result), ERR_AGAIN);
    CHECK_EQ(in.len, 10);
    static const char *const wrong[] = {"\n", "220 mail\n", "=\n", "=nonsense\n"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        in = slice_of_string(wrong[i]);
        CHECK_EQ(control_read(&in, &kind, &line, &result), ERR_MALFORMED);
    }
}

static void full_replies_keep_whole_lines(void)
{
    uint8_t bytes[12];
    struct buf reply = buf_make(bytes, sizeof bytes);
    CHECK(!control_put_answer(&reply, SLICE_LITERAL("one\ntwo\nthree\n")));
    CHECK(reply.overflow);
    CHECK_TEXT(buf_slice(&reply), " one\n two\n");
}

static const struct test_case cases[] = {
    {"requests_are_words", requests_are_words},
    {"what_is_no_request_is_told", what_is_no_request_is_told},
    {"replies_are_read_as_written", replies_are_read_as_written},
    {"full_replies_keep_whole_lines", full_replies_keep_whole_lines},
};

TEST_MAIN(cases)

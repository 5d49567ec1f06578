/* Log lines: the words, a peer's text made harmless, and lines that are too long. */
#include "log.h"

#include "test.h"

static void test_words(void)
{
    struct log_line l;
    log_begin(&l, "message");
    log_word(&l, "state", "accepted");
    log_u64(&l, "size", UINT64_MAX);
    log_time(&l, "until", 0);
    log_slice(&l, "id", SLICE_LITERAL("0a1b"));
    log_peer_text(&l, "helo", SLICE_LITERAL("evil\" host=x\r\nfake"));
    CHECK_TEXT(log_end(&l),
               "message state=accepted size=18446744073709551615 "
               "until=1970-01-01T00:00:00Z id=0a1b helo=\"evil\\\" host=x\\x0d\\x0afake\"");
}

static void test_begin_again(void)
{
    struct log_line l;
    log_begin(&l, "one");
    log_word(&l, "a", "b");
    log_begin(&l, "two");
    CHECK_TEXT(log_end(&l), "two");
}

static void test_long_peer_text(void)
{
    struct log_line l;
    uint8_t peer[400];
    memset(peer, 'x', sizeof peer);
    log_begin(&l, "e");
    log_peer_text(&l, "k", slice_make(peer, sizeof peer));
    struct slice line = log_end(&l);
    CHECK_EQ(line.len, strlen("e k=\"") + 256 + strlen("...\""));
    CHECK(memcmp(line.ptr + line.len - 4, "...\"", 4) == 0);
}

/* However full the line is, it fits, it is whole words, and it says that it was cut. */
static void test_cut(void)
{
    for (size_t fill = 0; fill < LOG_LINE_CAP + 8; fill++) {
        struct log_line l;
        char word[LOG_LINE_CAP + 16];
        memset(word, 'w', fill);
        word[fill] = 0;
        log_begin(&l, "e");
        log_word(&l, "k", word);
        log_peer_text(&l, "p", SLICE_LITERAL("a\nb"));
        log_u64(&l, "n", 12345);
        log_time(&l, "t", 0);
        log_word(&l, "z", "");
        struct slice line = log_end(&l);
        CHECK(line.len <= LOG_LINE_CAP);
        bool is_whole = line.len > 3 && memcmp(line.ptr + line.len - 3, " z=", 3) == 0;
        bool is_cut = line.len > 4 && memcmp(line.ptr + line.len - 4, " ...", 4) == 0;
        CHECK(is_whole != is_cut);
        if (fill < 900) {
            CHECK(is_whole);
        }
        if (fill > LOG_LINE_CAP) {
            CHECK_TEXT(line, "e ...");
        }
    }
}

static const struct test_case cases[] = {
    {"words", test_words},
    {"begin_again", test_begin_again},
    {"long_peer_text", test_long_peer_text},
    {"cut", test_cut},
};

TEST_MAIN(cases)

/* Requests byte for byte; answers in pieces of every size, cut and changed everywhere. */
#include "http.h"

#include "test.h"

#define OCSP "application/ocsp-response"
#define MAX  100

struct outcome {
    enum http_result result;
    uint16_t status;
    size_t left; /* input behind the end */
    size_t len;
    char content[MAX + 1];
};

/* Feeds the bytes in pieces, each in memory of just its size; then, if the answer is not finished,
 * the connection ends. */
static struct outcome feed(const char *bytes, size_t len, size_t piece_len)
{
    struct http_answer a;
    struct outcome o = {.result = HTTP_MORE};
    http_answer_begin(&a, SLICE_LITERAL(OCSP), MAX);
    size_t at = 0;
    while (at < len && o.result == HTTP_MORE) {
        size_t n = len - at < piece_len ? len - at : piece_len;
        char *copy = malloc(n);
        memcpy(copy, bytes + at, n);
        struct slice in = slice_make(copy, n), run;
        while (in.len != 0 && o.result == HTTP_MORE) {
            size_t before = in.len;
            o.result = http_answer_take(&a, &in, &run);
            CHECK(in.len < before || o.result != HTTP_MORE);
            CHECK(run.len <= MAX - o.len);
            if (run.len != 0) {
                memcpy(o.content + o.len, run.ptr, run.len);
                o.len += run.len;
            }
        }
        at += n;
        o.left = in.len + (len - at);
        free(copy);
    }
    if (o.result == HTTP_MORE) {
        o.result = http_answer_end(&a);
    }
    o.status = a.status;
    return o;
}

struct row {
    const char *text;
    enum http_result result;
    const char *content;
};

#define HEAD    "HTTP/1.1 200 OK\r\nContent-Type: " OCSP "\r\n"
#define CHUNKED HEAD "Transfer-Encoding: chunked\r\n\r\n"
#define ZEROS   "0000000000000000000000000000000000000000000000000000000000000000"

static const struct row accepted[] = {
    {HEAD "Content-Length: 3\r\n\r\nabc", HTTP_DONE, "abc"},
    {HEAD "Content-Length: 3\r\n\r\nabcdef", HTTP_DONE, "abc"},
    {HEAD "Content-Length: 0\r\n\r\n", HTTP_DONE, ""},
    {HEAD "\r\nuntil the end", HTTP_DONE, "until the end"},
    {HEAD "\r\n", HTTP_DONE, ""},
    {"HTTP/1.0 200 OK\r\nContent-type: " OCSP "\r\nContent-Length: 2\r\n\r\nok", HTTP_DONE, "ok"},
    {"HTTP/1.1 200\r\ncontent-type:APPLICATION/OCSP-response ; q=1\r\n\r\nx", HTTP_DONE, "x"},
    {"HTTP/1.1 200 \r\ncontent-type: \t" OCSP " \t\r\n\r\nx", HTTP_DONE, "x"},
    {HEAD "Content-Encoding: identity\r\n\r\nx", HTTP_DONE, "x"},
    {HEAD "X:\r\nA-B_c: \xff ok\r\n\r\nx", HTTP_DONE, "x"},
    {HEAD "aZ09!#$%&'*+-.^_`|~: y\r\n\r\nx", HTTP_DONE, "x"},
    {"HTTP/1.1 100 Continue\r\nContent-Length: 9\r\n\r\n" HEAD "\r\nx", HTTP_DONE, "x"},
    {CHUNKED "3\r\nabc\r\n0\r\n\r\n", HTTP_DONE, "abc"},
    {CHUNKED "3;a=b\r\nabc\r\n00002 ; c\r\nde\r\n000\r\nX: y\r\nContent-Length: 5\r\n\r\nrest",
     HTTP_DONE, "abcde"},
    {CHUNKED "a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n", HTTP_DONE, "01234567890123456789"},
    {CHUNKED "0\r\n\r\n", HTTP_DONE, ""},
};

static const struct row refused[] = {
    {"", HTTP_CUT_SHORT, NULL},
    {"HTTP/1.1 200 OK\r\n", HTTP_CUT_SHORT, NULL},
    {HEAD, HTTP_CUT_SHORT, NULL},
    {HEAD "Content-Length: 4\r\n\r\nabc", HTTP_CUT_SHORT, NULL},
    {CHUNKED "3\r\nab", HTTP_CUT_SHORT, NULL},
    {CHUNKED "3\r\nabc\r\n", HTTP_CUT_SHORT, NULL},
    {CHUNKED "3\r\nabc\r\n0\r\n", HTTP_CUT_SHORT, NULL},
    {"SSH-2.0-x\r\n", HTTP_MALFORMED, NULL},
    {"HTTP/2.0 200 OK\r\n", HTTP_MALFORMED, NULL},
    {"http/1.1 200 OK\r\n", HTTP_MALFORMED, NULL},
    {"HTTP/1.1  200 OK\r\n", HTTP_MALFORMED, NULL},
    {"HTTP/1.1 20 OK\r\n", HTTP_MALFORMED, NULL},
    {"HTTP/1.1 2000 OK\r\n", HTTP_MALFORMED, NULL},
    {"HTTP/1.1 099 OK\r\n", HTTP_MALFORMED, NULL},
    {"HTTP/1.1 600 OK\r\n", HTTP_MALFORMED, NULL},
    {"HTTP/1.1 200OK\r\n", HTTP_MALFORMED, NULL},
    {"\r\n", HTTP_MALFORMED, NULL},
    {"HTTP/1.1 200 OK\n", HTTP_MALFORMED, NULL},
    {"HTTP/1.1 200 O\rK\r\n", HTTP_MALFORMED, NULL},
    {"HTTP/1.1 301 Moved\r\n", HTTP_REDIRECT, NULL},
    {"HTTP/1.1 302 Found\r\n", HTTP_REDIRECT, NULL},
    {"HTTP/1.1 304 Not Modified\r\n", HTTP_REDIRECT, NULL},
    {"HTTP/1.1 101 Switching\r\n", HTTP_STATUS, NULL},
    {"HTTP/1.1 204 No Content\r\n", HTTP_STATUS, NULL},
    {"HTTP/1.1 206 Partial\r\n", HTTP_STATUS, NULL},
    {"HTTP/1.1 404 Not Found\r\n", HTTP_STATUS, NULL},
    {"HTTP/1.1 503 Busy\r\n", HTTP_STATUS, NULL},
    {"HTTP/1.1 200 OK\r\n\r\nx", HTTP_WRONG_TYPE, NULL},
    {"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n", HTTP_WRONG_TYPE, NULL},
    {"HTTP/1.1 200 OK\r\nContent-Type: " OCSP "x\r\n", HTTP_WRONG_TYPE, NULL},
    {HEAD "Content-Type: " OCSP "\r\n", HTTP_MALFORMED, NULL},
    {HEAD " folded\r\n", HTTP_MALFORMED, NULL},
    {HEAD "X : y\r\n", HTTP_MALFORMED, NULL},
    {HEAD ": y\r\n", HTTP_MALFORMED, NULL},
    {HEAD "a(b: y\r\n", HTTP_MALFORMED, NULL},
    {HEAD "a\177b: y\r\n", HTTP_MALFORMED, NULL},
    {HEAD "no colon\r\n", HTTP_MALFORMED, NULL},
    {HEAD "X: y\n\r\n", HTTP_MALFORMED, NULL},
    {HEAD "Content-Length: 1, 1\r\n", HTTP_MALFORMED, NULL},
    {HEAD "Content-Length: -1\r\n", HTTP_MALFORMED, NULL},
    {HEAD "Content-Length: +1\r\n", HTTP_MALFORMED, NULL},
    {HEAD "Content-Length:\r\n", HTTP_MALFORMED, NULL},
    {HEAD "Content-Length: 1\r\nContent-Length: 1\r\n", HTTP_MALFORMED, NULL},
    {HEAD "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", HTTP_MALFORMED, NULL},
    {HEAD "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n", HTTP_MALFORMED, NULL},
    {HEAD "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", HTTP_MALFORMED, NULL},
    {"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n", HTTP_MALFORMED, NULL},
    {HEAD "Transfer-Encoding: gzip, chunked\r\n", HTTP_ENCODED, NULL},
    {HEAD "Content-Encoding: gzip\r\n", HTTP_ENCODED, NULL},
    {HEAD "Content-Length: 101\r\n", HTTP_TOO_BIG, NULL},
    {HEAD "Content-Length: 99999999999999999999999\r\n", HTTP_MALFORMED, NULL},
    {CHUNKED "65\r\n", HTTP_TOO_BIG, NULL},
    {CHUNKED "3\r\nabc\r\n62\r\n", HTTP_TOO_BIG, NULL},
    {CHUNKED "10000000000000001\r\n", HTTP_TOO_BIG, NULL},
    {CHUNKED "\r\n", HTTP_MALFORMED, NULL},
    {CHUNKED "-1\r\n", HTTP_MALFORMED, NULL},
    {CHUNKED ZEROS ZEROS ZEROS "2\r\n\r\n\r\n0\r\n\r\n", HTTP_MALFORMED, NULL},
    {CHUNKED "0x1\r\n", HTTP_MALFORMED, NULL},
    {CHUNKED " 1\r\n", HTTP_MALFORMED, NULL},
    {CHUNKED "1\n", HTTP_MALFORMED, NULL},
    {CHUNKED "3\r\nabcd\r\n", HTTP_MALFORMED, NULL},
    {CHUNKED "3\r\nabc\n", HTTP_MALFORMED, NULL},
    {CHUNKED "0\r\nno colon\r\n", HTTP_MALFORMED, NULL},
};
#define NUM(rows) (sizeof(rows) / sizeof(rows)[0])

static void check_row(const struct row *row)
{
    size_t len = strlen(row->text);
    for (size_t piece_len = 1; piece_len <= len + 1; piece_len++) {
        struct outcome o = feed(row->text, len, piece_len);
        bool same = row->content == NULL || strcmp(o.content, row->content) == 0;
        if (o.result != row->result || !same) {
            fprintf(stderr, "pieces of %zu: %s: %s\n", piece_len, http_result_name(o.result),
                    row->text);
            CHECK(false);
            return;
        }
    }
}

static void test_accepted(void)
{
    for (size_t i = 0; i < NUM(accepted); i++) {
        check_row(&accepted[i]);
    }
    CHECK_EQ(feed(accepted[1].text, strlen(accepted[1].text), 999).left, 3);
    CHECK_EQ(feed(accepted[13].text, strlen(accepted[13].text), 999).left, 4);
}

static void test_refused(void)
{
    for (size_t i = 0; i < NUM(refused); i++) {
        check_row(&refused[i]);
    }
    CHECK_EQ(feed("HTTP/1.1 503 Busy\r\n", 19, 99).status, 503);
    static const char nul[] = HEAD "X: a\0b\r\n\r\nx";
    CHECK_EQ(feed(nul, sizeof nul - 1, 99).result, HTTP_MALFORMED);
}

/* Cut anywhere, an answer that says how long it is is never taken for whole. */
static void test_truncated(void)
{
    for (size_t i = 0; i < NUM(accepted); i++) {
        char longer[400];
        size_t len = strlen(accepted[i].text);
        memcpy(longer, accepted[i].text, len);
        longer[len] = 'Z';
        bool ends_by_close = feed(longer, len + 1, 9).len > strlen(accepted[i].content);
        for (size_t cut = 0; cut < len; cut++) {
            struct outcome o = feed(longer, cut, 7);
            CHECK(o.result == HTTP_CUT_SHORT || o.result == HTTP_DONE);
            CHECK(o.result == HTTP_CUT_SHORT || ends_by_close ||
                  strcmp(o.content, accepted[i].content) == 0);
        }
    }
}

/* However a byte is changed, pieces make no difference and no bound is passed. */
static void test_changed(void)
{
    for (size_t i = 0; i < NUM(accepted); i++) {
        char copy[400];
        size_t len = strlen(accepted[i].text);
        for (size_t k = 0; k < len * 256; k++) {
            memcpy(copy, accepted[i].text, len);
            copy[k / 256] = (char)k;
            struct outcome whole = feed(copy, len, len), cut = feed(copy, len, 3);
            CHECK(whole.result == cut.result && whole.len == cut.len);
            CHECK(memcmp(whole.content, cut.content, whole.len) == 0);
        }
    }
}

static void test_bounds(void)
{
    static char text[HTTP_HEAD_MAX + 1024];
    /* A long line that matters to nobody; one that does. */
    int len = snprintf(text, sizeof text, HEAD "X: %0400d\r\n\r\nx", 0);
    CHECK_EQ(feed(text, (size_t)len, 50).result, HTTP_DONE);
    len = snprintf(text, sizeof text, HEAD "Content-Length: %0400d\r\n\r\nx", 1);
    CHECK_EQ(feed(text, (size_t)len, 50).result, HTTP_MALFORMED);
    len = snprintf(text, sizeof text, HEAD "X: %0*d\r\n\r\n", HTTP_HEAD_MAX, 0);
    CHECK_EQ(feed(text, (size_t)len, 5000).result, HTTP_TOO_BIG);
    /* The last byte of a head that is as long as may be. */
    int head_len = (int)strlen(HEAD "X: \r\n\r\n");
    len = snprintf(text, sizeof text, HEAD "X: %0*d\r\n\r\n", HTTP_HEAD_MAX - head_len, 0);
    CHECK_EQ(len, HTTP_HEAD_MAX);
    CHECK_EQ(feed(text, (size_t)len, 5000).result, HTTP_DONE);
    len = snprintf(text, sizeof text, HEAD "X: %0*d\r\n\r\n", HTTP_HEAD_MAX - head_len + 1, 0);
    CHECK_EQ(feed(text, (size_t)len, 5000).result, HTTP_TOO_BIG);
    /* Content up to the connection's end. */
    len = snprintf(text, sizeof text, HEAD "\r\n%0*d", MAX, 0);
    CHECK_EQ(feed(text, (size_t)len, 33).result, HTTP_DONE);
    len = snprintf(text, sizeof text, HEAD "\r\n%0*d", MAX + 1, 0);
    CHECK_EQ(feed(text, (size_t)len, 33).result, HTTP_TOO_BIG);
    /* Chunks that fill it. */
    len = snprintf(text, sizeof text, CHUNKED "1\r\nx\r\n%x\r\n%0*d\r\n0\r\n\r\n", MAX - 1, MAX - 1,
                   0);
    CHECK_EQ(feed(text, (size_t)len, 33).result, HTTP_DONE);
    CHECK_EQ(feed(text, (size_t)len, 33).len, MAX);
    /* Interim answers and trailers without end. */
    len = 0;
    for (int i = 0; i < 4; i++) {
        len += snprintf(text + len, sizeof text - (size_t)len, "HTTP/1.1 100 Continue\r\n\r\n");
    }
    len += snprintf(text + len, sizeof text - (size_t)len, HEAD "\r\nx");
    CHECK_EQ(feed(text, (size_t)len, 50).result, HTTP_DONE);
    len = 0;
    for (int i = 0; i < 5; i++) {
        len += snprintf(text + len, sizeof text - (size_t)len, "HTTP/1.1 100 Continue\r\n\r\n");
    }
    CHECK_EQ(feed(text, (size_t)len, 50).result, HTTP_MALFORMED);
    len = snprintf(text, sizeof text, CHUNKED "0\r\n");
    while (len < HTTP_HEAD_MAX) {
        len += snprintf(text + len, sizeof text - (size_t)len, "X: y\r\n");
    }
    CHECK_EQ(feed(text, (size_t)len, 5000).result, HTTP_TOO_BIG);
}

static void test_request(void)
{
    uint8_t memory[512];
    struct url url;
    struct slice type = SLICE_LITERAL("application/ocsp-request");
    CHECK_EQ(url_parse(SLICE_LITERAL("http://ca.example:81/o?q"), &url), URL_OK);
    struct http_request r = {
        &url, url.path, false, type, SLICE_LITERAL(OCSP), SLICE_LITERAL("BODY")};
    struct buf b = buf_make(memory, sizeof memory);
    CHECK(http_put_request(&b, &r));
    CHECK_TEXT(b, "POST /o?q HTTP/1.1\r\nHost: ca.example:81\r\nUser-Agent: Postern\r\n"
                  "Accept: application/ocsp-response\r\n"
                  "Content-Type: application/ocsp-request\r\nContent-Length: 4\r\n"
                  "Connection: close\r\n\r\nBODY");
    size_t len = b.len;
    for (size_t cap = 0; cap < len; cap++) {
        b = buf_make(memory, cap);
        CHECK(!http_put_request(&b, &r) && b.len == 0 && b.overflow);
    }
    r.via_proxy = true;
    r.media_type = slice_make(NULL, 0);
    r.path = SLICE_LITERAL("");
    b = buf_make(memory, sizeof memory);
    CHECK(http_put_request(&b, &r));
    CHECK_TEXT(b, "GET http://ca.example:81/ HTTP/1.1\r\nHost: ca.example:81\r\n"
                  "User-Agent: Postern\r\nAccept: application/ocsp-response\r\n"
                  "Connection: close\r\n\r\n");
    r.path = SLICE_LITERAL("?q");
    b = buf_make(memory, sizeof memory);
    CHECK(http_put_request(&b, &r));
    CHECK(memcmp(memory, "GET http://ca.example:81/?q HTTP", 32) == 0);
}

static const struct test_case cases[] = {
    {"request", test_request},     {"accepted", test_accepted}, {"refused", test_refused},
    {"truncated", test_truncated}, {"changed", test_changed},   {"bounds", test_bounds},
};

TEST_MAIN(cases)

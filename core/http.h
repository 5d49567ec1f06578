/* HTTP/1.1 as a client that asks one thing on one connection (RFC 9110, RFC 9112).
 *
 * http_put_request writes a request; struct http_answer reads what comes back, however it is cut,
 * and gives the content as runs. Strict: what could be read in two ways is refused, redirects are
 * not followed, and every part is bounded. Codec: knows no connection. Called by ocsp_fetch. */
#ifndef POSTERN_HTTP_H
#define POSTERN_HTTP_H

#include "url.h"

/* A header line that matters fits; others may be longer, and all of the lines together, chunk heads
 * and trailers included, are at most HTTP_HEAD_MAX bytes. */
#define HTTP_LINE_CAP 192
#define HTTP_HEAD_MAX 16384

struct http_request {
    const struct url *url;
    struct slice path;       /* instead of the URL's */
    bool via_proxy;          /* the request names the whole URL (RFC 9112 3.2.2) */
    struct slice media_type; /* of the body; empty: GET, and no body */
    struct slice accept;     /* the media type wanted */
    struct slice body;
};

/* Head and body. Whole or not at all; then b->overflow is set. */
bool http_put_request(struct buf *b, const struct http_request *r);

enum http_result {
    HTTP_MORE,       /* the input is used up */
    HTTP_DONE,       /* the whole content was given */
    HTTP_MALFORMED,  /* not an HTTP/1 response, or ambiguous */
    HTTP_REDIRECT,   /* status 3xx */
    HTTP_STATUS,     /* any other status than 200: answer->status */
    HTTP_WRONG_TYPE, /* another media type, or none */
    HTTP_ENCODED,    /* a content or transfer coding other than chunked */
    HTTP_TOO_BIG,    /* content over content_max, or head over HTTP_HEAD_MAX */
    HTTP_CUT_SHORT   /* the connection ended before the content did */
};

/* "http-redirect" and so on, constant. */
const char *http_result_name(enum http_result r);

struct http_answer {
    struct slice media_type; /* that the answer must have */
    uint64_t content_max;

    uint16_t status; /* 0 before the status line */
    uint8_t at;      /* from here on private to http.c */
    bool is_old;     /* HTTP/1.0 */
    bool has_length, is_chunked, has_type;
    bool line_has_cr;
    uint8_t num_interim;
    uint64_t left;        /* of the content or the chunk */
    uint64_t content_len; /* given so far */
    size_t head_len;
    size_t line_len; /* of which at most HTTP_LINE_CAP are kept */
    uint8_t line[HTTP_LINE_CAP];
};

/* media_type must outlive *a. */
void http_answer_begin(struct http_answer *a, struct slice media_type, uint64_t content_max);

/* Reads from *in. *out_content is a run of content, a view into *in, perhaps empty; it comes with
 * HTTP_MORE, also while *in still holds bytes: call again until it is empty or another result
 * comes. After HTTP_DONE nothing more is to be read; after an error *a is of no more use. */
enum http_result http_answer_take(struct http_answer *a, struct slice *in,
                                  struct slice *out_content);

/* The connection has ended: HTTP_DONE if that ends the content, else HTTP_CUT_SHORT. */
enum http_result http_answer_end(const struct http_answer *a);

#endif

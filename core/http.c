/* HTTP/1.1, the client's side: see http.h. */
#include "http.h"

#include "text.h"

enum at {
    AT_STATUS,
    AT_HEADER,
    AT_LENGTH,  /* content of a known length */
    AT_CLOSE,   /* content up to the connection's end */
    AT_CHUNK,   /* a chunk's head */
    AT_DATA,    /* in a chunk */
    AT_CRLF,    /* behind a chunk */
    AT_TRAILER, /* lines behind the last chunk */
    AT_END
};

#define MAX_INTERIM 4

const char *http_result_name(enum http_result r)
{
    static const char *const names[] = {
        [HTTP_MORE] = "http-more",           [HTTP_DONE] = "http-done",
        [HTTP_MALFORMED] = "http-malformed", [HTTP_REDIRECT] = "http-redirect",
        [HTTP_STATUS] = "http-status",       [HTTP_WRONG_TYPE] = "http-wrong-type",
        [HTTP_ENCODED] = "http-encoded",     [HTTP_TOO_BIG] = "http-too-big",
        [HTTP_CUT_SHORT] = "http-cut-short",
    };
    return names[r];
}

/* --- The request --- */

static void put_field(struct buf *b, const char *name, struct slice value)
{
    buf_put_string(b, name);
    buf_put_string(b, ": ");
    buf_put(b, value);
    buf_put_string(b, "\r\n");
}

bool http_put_request(struct buf *b, const struct http_request *r)
{
    struct buf whole = *b;
    bool has_body = !slice_is_empty(r->media_type);
    buf_put_string(&whole, has_body ? "POST " : "GET ");
    if (r->via_proxy) {
        buf_put_string(&whole, "http://");
        buf_put(&whole, r->url->authority);
    }
    if (slice_is_empty(r->path) || r->path.ptr[0] != '/') {
        buf_put_u8(&whole, '/');
    }
    buf_put(&whole, r->path);
    buf_put_string(&whole, " HTTP/1.1\r\n");
    put_field(&whole, "Host", r->url->authority);
    put_field(&whole, "User-Agent", SLICE_LITERAL("Postern"));
    put_field(&whole, "Accept", r->accept);
    if (has_body) {
        put_field(&whole, "Content-Type", r->media_type);
        buf_put_string(&whole, "Content-Length: ");
        text_put_u64(&whole, r->body.len);
        buf_put_string(&whole, "\r\n");
    }
    buf_put_string(&whole, "Connection: close\r\n\r\n");
    if (has_body) {
        buf_put(&whole, r->body);
    }
    if (whole.overflow) {
        b->overflow = true;
        return false;
    }
    *b = whole;
    return true;
}

/* --- Lines --- */

/* Takes bytes up to CRLF into a->line. True once the line is whole; *out_error otherwise says why
 * not: HTTP_MORE, HTTP_MALFORMED or HTTP_TOO_BIG. A CR or LF by itself ends nothing (RFC 9112 2.2
 * lets a client choose). */
static bool take_line(struct http_answer *a, struct slice *in, enum http_result *out_error)
{
    uint8_t c;
    *out_error = HTTP_MORE;
    while (slice_u8(in, &c)) {
        if (++a->head_len > HTTP_HEAD_MAX) {
            *out_error = HTTP_TOO_BIG;
            return false;
        }
        if (a->line_has_cr && c == '\n') {
            a->line_has_cr = false;
            return true;
        }
        if (a->line_has_cr || c == '\n' || c == 0) {
            *out_error = HTTP_MALFORMED;
            return false;
        }
        a->line_has_cr = c == '\r';
        if (!a->line_has_cr) {
            if (a->line_len < HTTP_LINE_CAP) {
                a->line[a->line_len] = c;
            }
            a->line_len++;
        }
    }
    return false;
}

static struct slice trim(struct slice text)
{
    while (text.len != 0 && text_is_blank(text.ptr[0])) {
        slice_skip(&text, 1);
    }
    while (text.len != 0 && text_is_blank(text.ptr[text.len - 1])) {
        text.len--;
    }
    return text;
}

/* tchar of RFC 9110 5.6.2 */
static bool is_token_char(uint8_t c)
{
    return text_is_alpha(c) || text_is_digit(c) || memchr("!#$%&'*+-.^_`|~", c, 15) != NULL;
}

/* status-line = HTTP-version SP status-code SP [ reason-phrase ]; without a reason some leave out
 * the space before it. */
static enum http_result read_status(struct http_answer *a, struct slice line)
{
    struct slice version, code;
    uint64_t status;
    if (!slice_take(&line, 8, &version) ||
        (!slice_equal(version, SLICE_LITERAL("HTTP/1.1")) &&
         !slice_equal(version, SLICE_LITERAL("HTTP/1.0"))) ||
        line.len < 4 || line.ptr[0] != ' ' || !slice_skip(&line, 1) ||
        !slice_take(&line, 3, &code) || !text_parse_u64(code, 599, &status) || status < 100 ||
        (line.len != 0 && line.ptr[0] != ' ')) {
        return HTTP_MALFORMED;
    }
    a->status = (uint16_t)status;
    a->is_old = version.ptr[7] == '0';
    if (status >= 300 && status < 400) {
        return HTTP_REDIRECT;
    }
    if (status < 200 && status != 101) {
        return ++a->num_interim <= MAX_INTERIM ? HTTP_MORE : HTTP_MALFORMED;
    }
    return status == 200 ? HTTP_MORE : HTTP_STATUS;
}

/* Two of them, or one beside a transfer coding, is how answers are smuggled (RFC 9112 6.3). */
static enum http_result read_length(struct http_answer *a, struct slice value)
{
    if (a->has_length || a->is_chunked || !text_parse_u64(value, UINT64_MAX, &a->left)) {
        return HTTP_MALFORMED;
    }
    a->has_length = true;
    return a->left > a->content_max ? HTTP_TOO_BIG : HTTP_MORE;
}

static enum http_result read_coding(struct http_answer *a, struct slice value)
{
    if (!text_equal_nocase(value, SLICE_LITERAL("chunked"))) {
        return HTTP_ENCODED;
    }
    if (a->has_length || a->is_chunked || a->is_old) {
        return HTTP_MALFORMED;
    }
    a->is_chunked = true;
    return HTTP_MORE;
}

/* Parameters behind the media type are of no interest. */
static enum http_result read_type(struct http_answer *a, struct slice value)
{
    size_t len = 0;
    while (len < value.len && value.ptr[len] != ';') {
        len++;
    }
    if (a->has_type) {
        return HTTP_MALFORMED;
    }
    a->has_type = true;
    return text_equal_nocase(trim(slice_make(value.ptr, len)), a->media_type) ? HTTP_MORE
                                                                              : HTTP_WRONG_TYPE;
}

/* field-line = field-name ":" OWS field-value OWS. Folded lines are refused: they begin with a
 * blank. Fields of interim answers are looked at for their form only. */
static enum http_result read_field(struct http_answer *a, struct slice line, bool is_whole)
{
    struct slice name, value = line;
    size_t len = 0;
    while (len < line.len && is_token_char(line.ptr[len])) {
        len++;
    }
    slice_take(&value, len, &name);
    if (len == 0 || value.len == 0 || value.ptr[0] != ':') {
        return HTTP_MALFORMED;
    }
    slice_skip(&value, 1);
    value = trim(value);
    enum http_result r = HTTP_MORE;
    if (a->status < 200) {
        return r;
    }
    if (text_equal_nocase(name, SLICE_LITERAL("Content-Length"))) {
        r = read_length(a, value);
    } else if (text_equal_nocase(name, SLICE_LITERAL("Transfer-Encoding"))) {
        r = read_coding(a, value);
    } else if (text_equal_nocase(name, SLICE_LITERAL("Content-Type"))) {
        r = read_type(a, value);
    } else if (text_equal_nocase(name, SLICE_LITERAL("Content-Encoding"))) {
        r = text_equal_nocase(value, SLICE_LITERAL("identity")) ? HTTP_MORE : HTTP_ENCODED;
    } else {
        return HTTP_MORE;
    }
    return r == HTTP_MORE && !is_whole ? HTTP_MALFORMED : r;
}

/* The empty line behind the fields. */
static enum http_result end_head(struct http_answer *a)
{
    if (a->status < 200) {
        a->at = AT_STATUS;
        return HTTP_MORE;
    }
    if (!a->has_type) {
        return HTTP_WRONG_TYPE;
    }
    a->at = a->is_chunked ? AT_CHUNK : a->has_length ? AT_LENGTH : AT_CLOSE;
    return a->has_length && a->left == 0 ? HTTP_DONE : HTTP_MORE;
}

/* chunk-size [ chunk-ext ]; extensions are ignored. Digits up to the cap may have been cut. */
static enum http_result read_chunk_head(struct http_answer *a, struct slice line)
{
    uint64_t size = 0;
    size_t len = 0;
    while (len < line.len && text_hex_value(line.ptr[len]) >= 0) {
        if (size > UINT64_MAX >> 4) {
            return HTTP_TOO_BIG;
        }
        size = size << 4 | (uint64_t)text_hex_value(line.ptr[len++]);
    }
    slice_skip(&line, len);
    line = trim(line);
    if (len == 0 || len == HTTP_LINE_CAP || (line.len != 0 && line.ptr[0] != ';')) {
        return HTTP_MALFORMED;
    }
    a->left = size;
    a->at = size == 0 ? AT_TRAILER : AT_DATA;
    return size > a->content_max - a->content_len ? HTTP_TOO_BIG : HTTP_MORE;
}

static enum http_result read_line(struct http_answer *a)
{
    bool is_whole = a->line_len <= HTTP_LINE_CAP;
    struct slice line = slice_make(a->line, is_whole ? a->line_len : HTTP_LINE_CAP);
    enum http_result r;
    a->line_len = 0;
    switch ((enum at)a->at) {
    case AT_STATUS:
        a->at = AT_HEADER;
        return read_status(a, line);
    case AT_HEADER:
        return slice_is_empty(line) ? end_head(a) : read_field(a, line, is_whole);
    case AT_CHUNK:
        return read_chunk_head(a, line);
    case AT_CRLF:
        a->at = AT_CHUNK;
        return slice_is_empty(line) ? HTTP_MORE : HTTP_MALFORMED;
    case AT_TRAILER:
        if (slice_is_empty(line)) {
            a->at = AT_END;
            return HTTP_DONE;
        }
        /* What is said here counts for nothing. */
        a->status = 100;
        r = read_field(a, line, is_whole);
        a->status = 200;
        return r;
    case AT_LENGTH:
    case AT_CLOSE:
    case AT_DATA:
    case AT_END:
        break;
    }
    return HTTP_MALFORMED;
}

/* --- The answer --- */

void http_answer_begin(struct http_answer *a, struct slice media_type, uint64_t content_max)
{
    *a = (struct http_answer){.media_type = media_type, .content_max = content_max};
}

static bool is_in_content(const struct http_answer *a)
{
    return a->at == AT_LENGTH || a->at == AT_CLOSE || a->at == AT_DATA;
}

static enum http_result take_content(struct http_answer *a, struct slice *in,
                                     struct slice *out_content)
{
    size_t len = in->len;
    if (a->at == AT_CLOSE) {
        if (len > a->content_max - a->content_len) {
            return HTTP_TOO_BIG;
        }
    } else {
        len = len < a->left ? len : (size_t)a->left;
        a->left -= len;
    }
    slice_take(in, len, out_content);
    a->content_len += len;
    if (a->at == AT_CLOSE || a->left != 0) {
        return HTTP_MORE;
    }
    bool is_last = a->at == AT_LENGTH;
    a->at = is_last ? AT_END : AT_CRLF;
    return is_last ? HTTP_DONE : HTTP_MORE;
}

enum http_result http_answer_take(struct http_answer *a, struct slice *in,
                                  struct slice *out_content)
{
    enum http_result r = HTTP_MORE;
    *out_content = slice_make(NULL, 0);
    while (r == HTTP_MORE && in->len != 0) {
        if (is_in_content(a)) {
            return take_content(a, in, out_content);
        }
        if (!take_line(a, in, &r)) {
            return r;
        }
        r = read_line(a);
    }
    return r;
}

enum http_result http_answer_end(const struct http_answer *a)
{
    return a->at == AT_CLOSE ? HTTP_DONE : HTTP_CUT_SHORT;
}

/* Binary in text armour: see pem.h. */
#include "pem.h"

#include "base64.h"
#include "text.h"

/* The next line, without its end; the last one may lack it. */
static bool take_line(struct slice *in, struct slice *out)
{
    text_skip_mark(in);
    if (slice_is_empty(*in)) {
        return false;
    }
    const uint8_t *end = memchr(in->ptr, '\n', in->len);
    size_t len = end == NULL ? in->len : (size_t)(end - in->ptr) + 1;
    slice_take(in, len, out);
    while (out->len != 0 && (out->ptr[out->len - 1] == '\n' || out->ptr[out->len - 1] == '\r' ||
                             out->ptr[out->len - 1] == ' ' || out->ptr[out->len - 1] == '\t')) {
        out->len--;
    }
    return true;
}

/* "-----BEGIN label-----": word is BEGIN or END. */
static bool is_boundary(struct slice line, struct slice word, struct slice label)
{
    const struct slice parts[] = {SLICE_LITERAL("-----"), word, SLICE_LITERAL(" "), label,
                                  SLICE_LITERAL("-----")};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        struct slice piece;
        if (!slice_take(&line, parts[i].len, &piece) || !slice_equal(piece, parts[i])) {
            return false;
        }
    }
    return slice_is_empty(line);
}

bool pem_is_text(struct slice text)
{
    struct slice line, front;
    while (take_line(&text, &line)) {
        if (slice_take(&line, 11, &front) && slice_equal(front, SLICE_LITERAL("-----BEGIN "))) {
            return true;
        }
    }
    return false;
}

static enum err read_body(struct slice *in, struct slice label, struct buf *out)
{
    struct base64 d = {0, 0, 0};
    struct slice line;
    while (take_line(in, &line)) {
        if (is_boundary(line, SLICE_LITERAL("END"), label)) {
            return d.num_digits != 0 ? ERR_MALFORMED : out->overflow ? ERR_TOO_BIG : ERR_OK;
        }
        if (!base64_feed(&d, line, out)) {
            return ERR_MALFORMED;
        }
    }
    return ERR_MALFORMED;
}

enum err pem_next_block(struct slice *text, struct slice label, struct buf *out,
                        struct slice *out_block)
{
    struct slice rest = *text, line;
    while (take_line(&rest, &line)) {
        if (is_boundary(line, SLICE_LITERAL("BEGIN"), label)) {
            *out_block = rest;
            enum err err = read_body(&rest, label, out);
            if (err == ERR_OK) {
                *out_block = slice_make(line.ptr, (size_t)(rest.ptr - line.ptr));
                *text = rest;
            }
            return err;
        }
    }
    return ERR_ABSENT;
}

enum err pem_next(struct slice *text, struct slice label, struct buf *out)
{
    struct slice block;
    return pem_next_block(text, label, out, &block);
}

#define LINE_LEN 48 /* bytes, which are 64 characters (RFC 7468 2) */

static void put_boundary(struct buf *b, const char *word, struct slice label)
{
    buf_put_string(b, word);
    buf_put(b, label);
    buf_put_string(b, "-----\n");
}

bool pem_put(struct buf *b, struct slice label, struct slice bytes)
{
    struct buf whole = *b;
    put_boundary(&whole, "-----BEGIN ", label);
    while (!slice_is_empty(bytes)) {
        struct slice line = slice_make(NULL, 0);
        slice_take(&bytes, bytes.len < LINE_LEN ? bytes.len : LINE_LEN, &line);
        base64_put(&whole, line);
        buf_put_u8(&whole, '\n');
    }
    put_boundary(&whole, "-----END ", label);
    if (whole.overflow) {
        b->overflow = true;
        return false;
    }
    *b = whole;
    return true;
}

#include "pem.h"

/* The next line, without its end; the last one may lack it. */
static bool take_line(struct slice *in, struct slice *out)
{
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

static int base64_value(uint8_t c)
{
    return c >= 'A' && c <= 'Z'   ? c - 'A'
           : c >= 'a' && c <= 'z' ? c - 'a' + 26
           : c >= '0' && c <= '9' ? c - '0' + 52
           : c == '+'             ? 62
           : c == '/'             ? 63
                                  : -1;
}

struct decoder {
    uint32_t bits;
    uint32_t num_digits; /* of the group of four under way, padding counted */
    uint32_t num_pads;
};

/* One line of base64. False if a character or its place is wrong. */
static bool decode_line(struct decoder *d, struct slice line, struct buf *out)
{
    for (size_t i = 0; i < line.len; i++) {
        int value = base64_value(line.ptr[i]);
        bool is_pad = line.ptr[i] == '=';
        if (is_pad ? d->num_digits < 2 : value < 0 || d->num_pads != 0) {
            return false;
        }
        d->num_pads += is_pad;
        d->bits = d->bits << 6 | (is_pad ? 0 : (uint32_t)value);
        if (++d->num_digits == 4) {
            buf_put_be(out, 3 - d->num_pads, d->bits >> 8 * d->num_pads);
            d->num_digits = 0;
            d->bits = 0;
        }
    }
    return true;
}

static enum err read_body(struct slice *in, struct slice label, struct buf *out)
{
    struct decoder d = {0, 0, 0};
    struct slice line;
    while (take_line(in, &line)) {
        if (is_boundary(line, SLICE_LITERAL("END"), label)) {
            return d.num_digits != 0 ? ERR_MALFORMED : out->overflow ? ERR_TOO_BIG : ERR_OK;
        }
        if (!decode_line(&d, line, out)) {
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

static void put_line(struct buf *b, struct slice bytes)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < bytes.len; i += 3) {
        size_t left = bytes.len - i;
        uint32_t bits = (uint32_t)bytes.ptr[i] << 16 |
                        (left > 1 ? (uint32_t)bytes.ptr[i + 1] << 8 : 0) |
                        (left > 2 ? (uint32_t)bytes.ptr[i + 2] : 0);
        for (size_t k = 0; k < 4; k++) {
            buf_put_u8(b, k > left ? '=' : (uint8_t)digits[bits >> (18 - 6 * k) & 63]);
        }
    }
    buf_put_u8(b, '\n');
}

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
        put_line(&whole, line);
    }
    put_boundary(&whole, "-----END ", label);
    if (whole.overflow) {
        b->overflow = true;
        return false;
    }
    *b = whole;
    return true;
}

/* Decoding xtext: see xtext.h. */
#include "xtext.h"

#include "address.h"
#include "envelope.h"
#include "text.h"

static bool is_printable(uint32_t c)
{
    return c >= ' ' && c != 0x7f;
}

/* hexchar = "+" HEXDIG HEXDIG, behind the "+". */
static bool take_hexchar(struct slice *in, struct buf *out)
{
    struct slice digits;
    uint8_t c;
    return slice_take(in, 2, &digits) && text_parse_hex(digits, &c, 1) && is_printable(c) &&
           c < 0x80 && buf_put_u8(out, c);
}

static bool put_utf8(struct buf *b, uint32_t c)
{
    uint8_t bytes[4];
    size_t len = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = len; i-- > 1; c >>= 6) {
        bytes[i] = (uint8_t)(0x80 | (c & 0x3f));
    }
    bytes[0] = (uint8_t)(len == 1 ? c : (0xf00u >> len) | c);
    return buf_put(b, slice_make(bytes, len));
}

/* EmbeddedUnicodeChar = "\x{" HEXPOINT "}", behind the "\"; two to six digits, without a zero in
 * front of three or more. Surrogates are found by whoever looks at the whole. */
static bool take_embedded(struct slice *in, struct buf *out)
{
    const uint8_t *end = in->len == 0 ? NULL : memchr(in->ptr, '}', in->len);
    uint8_t bytes[3], padded[6] = "000000";
    uint32_t c = 0;
    if (end == NULL || in->len < 2 || in->ptr[0] != 'x' || in->ptr[1] != '{') {
        return false;
    }
    size_t len = (size_t)(end - in->ptr) - 2;
    if (len < 2 || len > 6 || (len > 2 && in->ptr[2] == '0')) {
        return false;
    }
    memcpy(padded + 6 - len, in->ptr + 2, len);
    if (!text_parse_hex(slice_make(padded, 6), bytes, 3)) {
        return false;
    }
    for (size_t i = 0; i < 3; i++) {
        c = c << 8 | bytes[i];
    }
    return is_printable(c) && c <= 0x10ffff && put_utf8(out, c) && slice_skip(in, len + 3);
}

/* xtext = *(xchar / hexchar), where xchar is any from "!" to "~" but "+" and "=". */
static bool take_text(struct slice in, bool is_utf8, bool has_raw_utf8, struct buf *out)
{
    uint8_t c;
    while (slice_u8(&in, &c)) {
        bool good;
        if (c == '+') {
            good = take_hexchar(&in, out);
        } else if (c == '\\' && is_utf8) {
            good = take_embedded(&in, out);
        } else {
            bool is_xchar = c > ' ' && c < 0x7f && c != '=';
            good = (is_xchar || (c >= 0x80 && has_raw_utf8)) && buf_put_u8(out, c);
        }
        if (!good) {
            return false;
        }
    }
    return true;
}

bool xtext_take_envid(struct slice text, struct buf *out)
{
    size_t begin = out->len;
    bool good =
        text.len != 0 && text.len <= ENVELOPE_ENVID_MAX && take_text(text, false, false, out);
    out->len = good ? out->len : begin;
    return good;
}

bool xtext_take_orcpt(struct slice text, bool smtputf8, struct buf *out)
{
    size_t begin = out->len, type_len = 0;
    while (type_len < text.len &&
           (text_is_alpha(text.ptr[type_len]) || text_is_digit(text.ptr[type_len]) ||
            text.ptr[type_len] == '-')) {
        type_len++;
    }
    struct slice type, rest = text;
    if (text.len > ENVELOPE_ORCPT_MAX || !slice_take(&rest, type_len, &type) || type_len == 0 ||
        rest.len < 2 || rest.ptr[0] != ';') {
        return false;
    }
    slice_skip(&rest, 1);
    bool is_utf8 = text_equal_nocase(type, SLICE_LITERAL("utf-8"));
    bool good = buf_put(out, type) && buf_put_u8(out, ';') &&
                take_text(rest, is_utf8, is_utf8 && smtputf8, out) &&
                address_is_utf8(slice_make(out->ptr + begin, out->len - begin));
    out->len = good ? out->len : begin;
    return good;
}

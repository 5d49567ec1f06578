/* Base64: see base64.h. */
#include "base64.h"

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

bool base64_feed(struct base64 *d, struct slice text, struct buf *out)
{
    for (size_t i = 0; i < text.len; i++) {
        const char *at = memchr(digits, text.ptr[i], 64);
        bool is_pad = text.ptr[i] == '=';
        if (is_pad ? d->num_digits < 2 : at == NULL || d->num_pads != 0) {
            return false;
        }
        d->num_pads += is_pad;
        d->bits = d->bits << 6 | (is_pad ? 0 : (uint32_t)(at - digits));
        if (++d->num_digits == 4) {
            buf_put_be(out, 3 - d->num_pads, d->bits >> 8 * d->num_pads);
            d->num_digits = 0;
            d->bits = 0;
        }
    }
    return true;
}

bool base64_take(struct slice text, struct buf *out)
{
    struct base64 d = {0, 0, 0};
    struct buf b = *out;
    b.overflow = false;
    if (!base64_feed(&d, text, &b) || d.num_digits != 0 || b.overflow) {
        return false;
    }
    out->len = b.len;
    return true;
}

bool base64_take_exactly(struct slice text, uint8_t *out, size_t len)
{
    struct buf b = buf_make(out, len);
    return base64_take(text, &b) && b.len == len;
}

bool base64_put(struct buf *b, struct slice bytes)
{
    if (buf_room(b) < BASE64_LEN(bytes.len)) {
        b->overflow = true;
        return false;
    }
    while (bytes.len != 0) {
        struct slice group = {NULL, 0};
        uint32_t bits = 0;
        slice_take(&bytes, bytes.len < 3 ? bytes.len : 3, &group);
        for (size_t i = 0; i < 3; i++) {
            bits = bits << 8 | (i < group.len ? group.ptr[i] : 0u);
        }
        for (size_t i = 0; i < 4; i++) {
            buf_put_u8(b, i > group.len ? '=' : (uint8_t)digits[bits >> (18 - 6 * i) & 63]);
        }
    }
    return true;
}

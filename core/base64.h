/* Base64 (RFC 4648 section 4): with padding, without line ends or spaces.
 *
 * Called by pem, by AUTH and by whoever keeps salts and keys as text. Codec: pure. */
#ifndef POSTERN_BASE64_H
#define POSTERN_BASE64_H

#include "buf.h"

/* Characters that len bytes become. */
#define BASE64_LEN(len) (((len) + 2) / 3 * 4)

/* A decoding under way; zeroed memory is its begin. */
struct base64 {
    uint32_t bits;
    uint32_t num_digits; /* of the group of four under way, padding counted */
    uint32_t num_pads;
};

/* Appends what text stands for to out, whose overflow tells that it did not fit. False if a
 * character or its place is wrong. More text may follow. */
bool base64_feed(struct base64 *d, struct slice text, struct buf *out);

/* All of text at once. False: not base64, or more than out has room for; out is then as it was. */
bool base64_take(struct slice text, struct buf *out);

/* The same for text that must stand for exactly len bytes. */
bool base64_take_exactly(struct slice text, uint8_t *out, size_t len);

/* Appends bytes as text. False, with overflow set and nothing written, if b is too full. */
bool base64_put(struct buf *b, struct slice bytes);

#endif

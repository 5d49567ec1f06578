/* A bounded writer into memory that somebody else owns.
 *
 * A put that does not fit writes nothing and sets overflow, which stays set: a caller may put many
 * things and look once. Base layer. */
#ifndef POSTERN_BUF_H
#define POSTERN_BUF_H

#include "slice.h"

struct buf {
    uint8_t *ptr;
    size_t len; /* bytes written */
    size_t cap;
    bool overflow;
};

/* Called from 200 places: to fill a struct in there takes twice the bytes of a call. */
__attribute__((noinline)) struct buf buf_make(void *ptr, size_t cap);

static inline struct slice buf_slice(const struct buf *b)
{
    return slice_make(b->ptr, b->len);
}

static inline size_t buf_room(const struct buf *b)
{
    return b->cap - b->len;
}

/* Each returns true if all was written; on false nothing was, and overflow is set. */
bool buf_put(struct buf *b, struct slice bytes);
bool buf_put_string(struct buf *b, const char *text);
bool buf_put_be(struct buf *b, size_t n, uint64_t value); /* n bytes, 1 to 8, big-endian */

static inline bool buf_put_u8(struct buf *b, uint8_t value)
{
    return buf_put_be(b, 1, value);
}

/* Drops the first len bytes and moves the rest to the front; len is at most b->len. */
void buf_drop(struct buf *b, size_t len);

/* Ends the bytes with a NUL that is not counted in len. False if there is no room for it. */
bool buf_end_string(struct buf *b);

#endif

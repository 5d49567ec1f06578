/* The bounded writer: see buf.h. */
#include "buf.h"

struct buf buf_make(void *ptr, size_t cap)
{
    return (struct buf){(uint8_t *)ptr, 0, cap, false};
}

bool buf_put(struct buf *b, struct slice bytes)
{
    if (bytes.len > buf_room(b)) {
        b->overflow = true;
        return false;
    }
    if (bytes.len != 0) {
        memcpy(b->ptr + b->len, bytes.ptr, bytes.len);
        b->len += bytes.len;
    }
    return true;
}

bool buf_put_string(struct buf *b, const char *text)
{
    return buf_put(b, slice_of_string(text));
}

bool buf_put_be(struct buf *b, size_t n, uint64_t value)
{
    uint8_t bytes[8];
    for (size_t i = 0; i < n; i++) {
        bytes[n - 1 - i] = (uint8_t)(value >> (8 * i));
    }
    return buf_put(b, slice_make(bytes, n));
}

void buf_drop(struct buf *b, size_t len)
{
    if (len == 0) {
        return;
    }
    memmove(b->ptr, b->ptr + len, b->len - len);
    b->len -= len;
}

bool buf_end_string(struct buf *b)
{
    if (buf_room(b) == 0) {
        b->overflow = true;
        return false;
    }
    b->ptr[b->len] = 0;
    return true;
}

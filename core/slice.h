/* A read cursor over bytes that somebody else owns.
 *
 * Every parser reads through one of these. A getter advances the cursor only when it succeeds, so a
 * parser that returns false has not moved. Base layer: knows nothing of what the bytes mean. */
#ifndef POSTERN_SLICE_H
#define POSTERN_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct slice {
    const uint8_t *ptr;
    size_t len;
};

#define SLICE_LITERAL(text) ((struct slice){(const uint8_t *)(text), sizeof(text) - 1})

static inline struct slice slice_make(const void *ptr, size_t len)
{
    return (struct slice){(const uint8_t *)ptr, len};
}

/* The bytes of a NUL-terminated string, without the NUL. */
static inline struct slice slice_of_string(const char *text)
{
    return (struct slice){(const uint8_t *)text, strlen(text)};
}

static inline bool slice_is_empty(struct slice s)
{
    return s.len == 0;
}

static inline bool slice_equal(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* Moves len bytes from the front of *s to *out. False, and nothing moved, if there are fewer. */
static inline bool slice_take(struct slice *s, size_t len, struct slice *out)
{
    if (s->len < len) {
        return false;
    }
    *out = slice_make(s->ptr, len);
    if (len != 0) {
        s->ptr += len;
        s->len -= len;
    }
    return true;
}

static inline bool slice_skip(struct slice *s, size_t len)
{
    struct slice gone;
    return slice_take(s, len, &gone);
}

/* The n-byte big-endian number at the front, n from 1 to 8. */
static inline bool slice_be(struct slice *s, size_t n, uint64_t *out)
{
    struct slice bytes;
    if (!slice_take(s, n, &bytes)) {
        return false;
    }
    uint64_t value = 0;
    for (size_t i = 0; i < n; i++) {
        value = (value << 8) | bytes.ptr[i];
    }
    *out = value;
    return true;
}

static inline bool slice_u8(struct slice *s, uint8_t *out)
{
    uint64_t value;
    if (!slice_be(s, 1, &value)) {
        return false;
    }
    *out = (uint8_t)value;
    return true;
}

static inline bool slice_be16(struct slice *s, uint16_t *out)
{
    uint64_t value;
    if (!slice_be(s, 2, &value)) {
        return false;
    }
    *out = (uint16_t)value;
    return true;
}

static inline bool slice_be32(struct slice *s, uint32_t *out)
{
    uint64_t value;
    if (!slice_be(s, 4, &value)) {
        return false;
    }
    *out = (uint32_t)value;
    return true;
}

static inline bool slice_be64(struct slice *s, uint64_t *out)
{
    return slice_be(s, 8, out);
}

#endif

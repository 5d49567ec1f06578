/* What the fuzz targets share. Each target is one program with libFuzzer in it: it is given bytes,
 * and stops at the first that break a promise of the code under test, or its memory. */
#ifndef POSTERN_FUZZ_H
#define POSTERN_FUZZ_H

#include "slice.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* What must hold whatever the input is. */
#define MUST(condition)                                                             \
    do {                                                                            \
        if (!(condition)) {                                                         \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
            abort();                                                                \
        }                                                                           \
    } while (0)

/* That a view lies in the bytes it was taken from. */
static inline void fuzz_inside(struct slice view, const uint8_t *data, size_t len)
{
    MUST(view.len == 0 ||
         (view.ptr >= data && view.len <= len && (size_t)(view.ptr - data) <= len - view.len));
}

/* The first byte, for choices; 0 if there is none. */
static inline uint8_t fuzz_choice(struct slice *in)
{
    uint8_t choice = 0;
    (void)slice_u8(in, &choice);
    return choice;
}

/* A piece off the front, of a size that seed draws: what arrives at once is never to matter. In
 * memory of its own, so that reading past it is found. */
static inline struct slice fuzz_piece(struct slice *in, uint32_t *seed)
{
    struct slice piece;
    *seed = *seed * 1664525u + 1013904223u;
    size_t len = (*seed >> 28 == 0 ? *seed >> 16 & 0xffu : *seed >> 24 & 0x0fu) + 1;
    (void)slice_take(in, len < in->len ? len : in->len, &piece);
    return piece;
}

/* FNV-1a, to compare long outputs. */
static inline uint64_t fuzz_sum(uint64_t sum, struct slice bytes)
{
    for (size_t i = 0; i < bytes.len; i++) {
        sum = (sum ^ bytes.ptr[i]) * UINT64_C(1099511628211);
    }
    return sum;
}

#endif

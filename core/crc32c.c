/* CRC32C by four tables of 256, or one where flash is scarce: see crc32c.h.
 *
 * A CRC is linear, so each entry is the exclusive or of at most eight basis values: those of the
 * set bits of its index. The compiler works the tables out; the basis is what table-making gives
 * for 1, 2, 4 ... 128, table k for a byte that has k more bytes behind it. The unit test compares
 * with the definition, bit by bit. */
#include "crc32c.h"

#define BASIS_0 \
    0xf26b8303, 0xe13b70f7, 0xc79a971f, 0x8ad958cf, 0x105ec76f, 0x20bd8ede, 0x417b1dbc, 0x82f63b78
#ifndef __OPTIMIZE_SIZE__
#define BASIS_1 \
    0x13a29877, 0x274530ee, 0x4e8a61dc, 0x9d14c3b8, 0x3fc5f181, 0x7f8be302, 0xff17c604, 0xfbc3faf9
#define BASIS_2 \
    0xa541927e, 0x4f6f520d, 0x9edea41a, 0x38513ec5, 0x70a27d8a, 0xe144fb14, 0xc76580d9, 0x8b277743
#define BASIS_3 \
    0xdd45aab8, 0xbf672381, 0x7b2231f3, 0xf64463e6, 0xe964b13d, 0xd725148b, 0xaba65fe7, 0x52a0c93f
#endif

#define BIT(i, b, value) ((i) >> (b)&1u ? (value) : 0u)
#define ENTRY_(i, a, b, c, d, e, f, g, h)                                                      \
    (BIT(i, 0, a) ^ BIT(i, 1, b) ^ BIT(i, 2, c) ^ BIT(i, 3, d) ^ BIT(i, 4, e) ^ BIT(i, 5, f) ^ \
     BIT(i, 6, g) ^ BIT(i, 7, h))
#define ENTRY(i, ...) ENTRY_(i, __VA_ARGS__)
#define ROW4(i, ...)                                                                     \
    ENTRY((i), __VA_ARGS__), ENTRY((i) + 1u, __VA_ARGS__), ENTRY((i) + 2u, __VA_ARGS__), \
        ENTRY((i) + 3u, __VA_ARGS__)
#define ROW16(i, ...)                                                                 \
    ROW4((i), __VA_ARGS__), ROW4((i) + 4u, __VA_ARGS__), ROW4((i) + 8u, __VA_ARGS__), \
        ROW4((i) + 12u, __VA_ARGS__)
#define ROW64(i, ...)                                                                      \
    ROW16((i), __VA_ARGS__), ROW16((i) + 16u, __VA_ARGS__), ROW16((i) + 32u, __VA_ARGS__), \
        ROW16((i) + 48u, __VA_ARGS__)
#define TABLE(...)                                                                 \
    {                                                                              \
        ROW64(0u, __VA_ARGS__), ROW64(64u, __VA_ARGS__), ROW64(128u, __VA_ARGS__), \
            ROW64(192u, __VA_ARGS__)                                               \
    }

#ifdef __OPTIMIZE_SIZE__
static const uint32_t tables[1][256] = {TABLE(BASIS_0)};
#else
static const uint32_t tables[4][256] = {TABLE(BASIS_0), TABLE(BASIS_1), TABLE(BASIS_2),
                                        TABLE(BASIS_3)};
#endif

uint32_t crc32c_add(uint32_t crc, struct slice bytes)
{
    uint32_t c = ~crc;
    const uint8_t *p = bytes.ptr;
    size_t left = bytes.len;
#ifndef __OPTIMIZE_SIZE__
    while (left >= 4) {
        c ^= (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
        c = tables[3][c & 0xff] ^ tables[2][c >> 8 & 0xff] ^ tables[1][c >> 16 & 0xff] ^
            tables[0][c >> 24];
        p += 4;
        left -= 4;
    }
#endif
    while (left-- > 0) {
        c = tables[0][(c ^ *p++) & 0xff] ^ c >> 8;
    }
    return ~c;
}

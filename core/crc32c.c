/* CRC32C by tables of 256: see crc32c.h.
 *
 * Table k has what a byte adds with k bytes behind it. One table takes a byte at a time; a machine
 * with memory to spare has eight, which take eight bytes in less than the time of two.
 *
 * A CRC is linear, so each entry is the exclusive or of at most eight basis values: those of the
 * set bits of its index. The compiler works the tables out; a basis is what table-making gives
 * for 1, 2, 4 ... 128. The unit test compares with the definition, bit by bit. */
#include "crc32c.h"
#include "budget.h"
#include <string.h>

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

static const uint32_t tables[BUDGET_CRC_TABLES][256] = {
    TABLE(0xf26b8303, 0xe13b70f7, 0xc79a971f, 0x8ad958cf, 0x105ec76f, 0x20bd8ede, 0x417b1dbc,
          0x82f63b78),
#if BUDGET_CRC_TABLES == 8
    TABLE(0x13a29877, 0x274530ee, 0x4e8a61dc, 0x9d14c3b8, 0x3fc5f181, 0x7f8be302, 0xff17c604,
          0xfbc3faf9),
    TABLE(0xa541927e, 0x4f6f520d, 0x9edea41a, 0x38513ec5, 0x70a27d8a, 0xe144fb14, 0xc76580d9,
          0x8b277743),
    TABLE(0xdd45aab8, 0xbf672381, 0x7b2231f3, 0xf64463e6, 0xe964b13d, 0xd725148b, 0xaba65fe7,
          0x52a0c93f),
    TABLE(0x38116fac, 0x7022df58, 0xe045beb0, 0xc5670b91, 0x8f2261d3, 0x1ba8b557, 0x37516aae,
          0x6ea2d55c),
    TABLE(0xef306b19, 0xdb8ca0c3, 0xb2f53777, 0x6006181f, 0xc00c303e, 0x85f4168d, 0x0e045beb,
          0x1c08b7d6),
    TABLE(0x68032cc8, 0xd0065990, 0xa5e0c5d1, 0x4e2dfd53, 0x9c5bfaa6, 0x3d5b83bd, 0x7ab7077a,
          0xf56e0ef4),
    TABLE(0x493c7d27, 0x9278fa4e, 0x211d826d, 0x423b04da, 0x847609b4, 0x0d006599, 0x1a00cb32,
          0x34019664),
#endif
};

uint32_t crc32c_add(uint32_t crc, struct slice bytes)
{
    uint32_t c = ~crc;
    const uint8_t *p = bytes.ptr;
    size_t left = bytes.len;
#if BUDGET_CRC_TABLES == 8
    for (; left >= 8; left -= 8, p += 8) {
        uint8_t b[8]; /* one access for a sanitizer to judge, not eight */
        memcpy(b, p, sizeof b);
        c ^= (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
        c = tables[7][c & 0xff] ^ tables[6][c >> 8 & 0xff] ^ tables[5][c >> 16 & 0xff] ^
            tables[4][c >> 24] ^ tables[3][b[4]] ^ tables[2][b[5]] ^ tables[1][b[6]] ^
            tables[0][b[7]];
    }
#endif
    while (left-- > 0) {
        c = tables[0][(c ^ *p++) & 0xff] ^ c >> 8;
    }
    return ~c;
}

/* CRC32C by a table of 256: see crc32c.h.
 *
 * A CRC is linear, so each entry is the exclusive or of at most eight basis values: those of the
 * set bits of its index. The compiler works the table out; the basis is what table-making gives
 * for 1, 2, 4 ... 128. The unit test compares with the definition, bit by bit. */
#include "crc32c.h"

#define BASIS \
    0xf26b8303, 0xe13b70f7, 0xc79a971f, 0x8ad958cf, 0x105ec76f, 0x20bd8ede, 0x417b1dbc, 0x82f63b78

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

static const uint32_t table[256] = TABLE(BASIS);

uint32_t crc32c_add(uint32_t crc, struct slice bytes)
{
    uint32_t c = ~crc;
    const uint8_t *p = bytes.ptr;
    size_t left = bytes.len;
    while (left-- > 0) {
        c = table[(c ^ *p++) & 0xff] ^ c >> 8;
    }
    return ~c;
}

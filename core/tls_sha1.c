/* One block of SHA-1 (FIPS 180-4, 6.1.2), in few bytes: the library's own is unrolled into 5 KB,
 * for speed that nobody needs who hashes nothing but names and keys (RFC 6960 4.1.1). Called by
 * Mbed TLS's SHA-1, which MBEDTLS_SHA1_PROCESS_ALT tells that it is here. */
#include "slice.h"

#include <mbedtls/platform_util.h>
#include <mbedtls/sha1.h>

static uint32_t rotate(uint32_t x, unsigned n)
{
    return x << n | x >> (32 - n);
}

/* f and K of round t, for b, c and d. */
static uint32_t mix(unsigned t, uint32_t b, uint32_t c, uint32_t d)
{
    switch (t / 20) {
    case 0:
        return (d ^ (b & (c ^ d))) + 0x5a827999u;
    case 1:
        return (b ^ c ^ d) + 0x6ed9eba1u;
    case 2:
        return ((b & c) | (d & (b | c))) + 0x8f1bbcdcu;
    default:
        return (b ^ c ^ d) + 0xca62c1d6u;
    }
}

int mbedtls_internal_sha1_process(mbedtls_sha1_context *ctx, const unsigned char data[64])
{
    uint32_t w[16], v[5];
    struct slice in = slice_make(data, 64);
    memcpy(v, ctx->MBEDTLS_PRIVATE(state), sizeof v);
    for (unsigned t = 0; t < 80; t++) {
        uint32_t *word = &w[t % 16];
        if (t < 16) {
            (void)slice_be32(&in, word);
        } else {
            *word = rotate(w[(t + 13) % 16] ^ w[(t + 8) % 16] ^ w[(t + 2) % 16] ^ *word, 1);
        }
        uint32_t sum = rotate(v[0], 5) + mix(t, v[1], v[2], v[3]) + v[4] + *word;
        memmove(v + 1, v, 4 * sizeof v[0]);
        v[0] = sum;
        v[2] = rotate(v[2], 30);
    }
    for (unsigned i = 0; i < 5; i++) {
        ctx->MBEDTLS_PRIVATE(state)[i] += v[i];
    }
    mbedtls_platform_zeroize(w, sizeof w);
    return 0;
}

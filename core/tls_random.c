/* Random bytes for TLS from a seed: see tls_random.h. */
#include "tls_random.h"

#include <mbedtls/chacha20.h>
#include <mbedtls/platform_util.h>
#include <mbedtls/sha256.h>

bool tls_random_open(struct tls_random *r, struct slice seed)
{
    memset(r, 0, sizeof *r);
    return tls_random_stir(r, seed);
}

bool tls_random_stir(struct tls_random *r, struct slice entropy)
{
    mbedtls_sha256_context hash;
    mbedtls_sha256_init(&hash);
    bool ok = mbedtls_sha256_starts(&hash, 0) == 0 &&
              mbedtls_sha256_update(&hash, r->run, TLS_RANDOM_KEY_LEN) == 0 &&
              mbedtls_sha256_update(&hash, entropy.ptr, entropy.len) == 0 &&
              mbedtls_sha256_finish(&hash, r->run) == 0;
    mbedtls_sha256_free(&hash);
    r->used = TLS_RANDOM_RUN_LEN;
    return ok;
}

static bool refill(struct tls_random *r)
{
    static const uint8_t nonce[12];
    uint8_t key[TLS_RANDOM_KEY_LEN];
    memcpy(key, r->run, sizeof key);
    memset(r->run, 0, sizeof r->run);
    int ret = mbedtls_chacha20_crypt(key, nonce, 0, sizeof r->run, r->run, r->run);
    mbedtls_platform_zeroize(key, sizeof key);
    r->used = TLS_RANDOM_KEY_LEN;
    return ret == 0;
}

bool tls_random_fill(struct tls_random *r, uint8_t *out, size_t len)
{
    while (len != 0) {
        if (r->used == sizeof r->run && !refill(r)) {
            return false;
        }
        size_t n = sizeof r->run - r->used;
        if (n > len) {
            n = len;
        }
        memcpy(out, r->run + r->used, n);
        mbedtls_platform_zeroize(r->run + r->used, n);
        r->used += (uint32_t)n;
        out += n;
        len -= n;
    }
    return true;
}

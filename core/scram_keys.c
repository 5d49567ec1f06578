/* Keys and proofs of SCRAM: see scram_keys.h. */
#include "scram_keys.h"

#include <mbedtls/platform_util.h>
#include <mbedtls/sha256.h>

#define BLOCK_LEN 64

/* HMAC (RFC 2104) with the two states behind the key's pads kept, so that a message of a block
 * costs two blocks and not four. */
struct hmac {
    mbedtls_sha256_context inner, outer;
};

/* The library's software SHA-256 fails only on bad parameters. */
static void begin_pad(mbedtls_sha256_context *hash, const uint8_t key[BLOCK_LEN], uint8_t pad)
{
    uint8_t block[BLOCK_LEN];
    for (size_t i = 0; i < BLOCK_LEN; i++) {
        block[i] = key[i] ^ pad;
    }
    mbedtls_sha256_init(hash);
    (void)mbedtls_sha256_starts(hash, 0);
    (void)mbedtls_sha256_update(hash, block, sizeof block);
    scram_wipe(block, sizeof block);
}

static void hmac_open(struct hmac *h, const uint8_t key[BLOCK_LEN])
{
    begin_pad(&h->inner, key, 0x36);
    begin_pad(&h->outer, key, 0x5c);
}

static void hmac_close(struct hmac *h)
{
    mbedtls_sha256_free(&h->inner);
    mbedtls_sha256_free(&h->outer);
}

/* out may be one of the parts. */
static void hmac_put(const struct hmac *h, const struct slice *parts, size_t num_parts,
                     uint8_t out[SCRAM_KEY_LEN])
{
    mbedtls_sha256_context hash;
    mbedtls_sha256_init(&hash);
    mbedtls_sha256_clone(&hash, &h->inner);
    for (size_t i = 0; i < num_parts; i++) {
        (void)mbedtls_sha256_update(&hash, parts[i].ptr, parts[i].len);
    }
    (void)mbedtls_sha256_finish(&hash, out);
    mbedtls_sha256_clone(&hash, &h->outer);
    (void)mbedtls_sha256_update(&hash, out, SCRAM_KEY_LEN);
    (void)mbedtls_sha256_finish(&hash, out);
    mbedtls_sha256_free(&hash);
}

/* A key over a block's length is hashed. */
static void make_key(uint8_t out[BLOCK_LEN], struct slice key)
{
    memset(out, 0, BLOCK_LEN);
    if (key.len > BLOCK_LEN) {
        (void)mbedtls_sha256(key.ptr, key.len, out, 0);
    } else if (key.len != 0) {
        memcpy(out, key.ptr, key.len);
    }
}

void scram_hmac(uint8_t out[SCRAM_KEY_LEN], struct slice key, const struct slice *parts,
                size_t num_parts)
{
    uint8_t block[BLOCK_LEN];
    struct hmac h;
    make_key(block, key);
    hmac_open(&h, block);
    hmac_put(&h, parts, num_parts, out);
    hmac_close(&h);
    scram_wipe(block, sizeof block);
}

void scram_salting_begin(struct scram_salting *w, struct slice password, struct slice salt,
                         uint32_t iterations)
{
    const struct slice parts[] = {salt, SLICE_LITERAL("\0\0\0\1")};
    struct hmac h;
    make_key(w->key, password);
    hmac_open(&h, w->key);
    hmac_put(&h, parts, 2, w->last);
    hmac_close(&h);
    memcpy(w->salted, w->last, sizeof w->salted);
    w->num_left = iterations - 1;
}

bool scram_salting_step(struct scram_salting *w, uint32_t max)
{
    const struct slice last = slice_make(w->last, sizeof w->last);
    struct hmac h;
    hmac_open(&h, w->key);
    for (; w->num_left != 0 && max != 0; w->num_left--, max--) {
        hmac_put(&h, &last, 1, w->last);
        for (size_t i = 0; i < sizeof w->last; i++) {
            w->salted[i] ^= w->last[i];
        }
    }
    hmac_close(&h);
    return w->num_left == 0;
}

static void make_client_key(uint8_t out[SCRAM_KEY_LEN], const uint8_t salted[SCRAM_KEY_LEN])
{
    const struct slice name = SLICE_LITERAL("Client Key");
    scram_hmac(out, slice_make(salted, SCRAM_KEY_LEN), &name, 1);
}

void scram_keys_make(const uint8_t salted[SCRAM_KEY_LEN], uint8_t out_stored[SCRAM_KEY_LEN],
                     uint8_t out_server[SCRAM_KEY_LEN])
{
    const struct slice name = SLICE_LITERAL("Server Key");
    uint8_t client_key[SCRAM_KEY_LEN];
    make_client_key(client_key, salted);
    (void)mbedtls_sha256(client_key, sizeof client_key, out_stored, 0);
    scram_hmac(out_server, slice_make(salted, SCRAM_KEY_LEN), &name, 1);
    scram_wipe(client_key, sizeof client_key);
}

static void xor_signature(uint8_t key[SCRAM_KEY_LEN], const uint8_t stored_key[SCRAM_KEY_LEN],
                          const struct slice *auth_message, size_t num_parts)
{
    uint8_t signature[SCRAM_KEY_LEN];
    scram_hmac(signature, slice_make(stored_key, SCRAM_KEY_LEN), auth_message, num_parts);
    for (size_t i = 0; i < SCRAM_KEY_LEN; i++) {
        key[i] ^= signature[i];
    }
}

void scram_proof_make(uint8_t out[SCRAM_KEY_LEN], const uint8_t salted[SCRAM_KEY_LEN],
                      const struct slice *auth_message, size_t num_parts)
{
    uint8_t stored[SCRAM_KEY_LEN];
    make_client_key(out, salted);
    (void)mbedtls_sha256(out, SCRAM_KEY_LEN, stored, 0);
    xor_signature(out, stored, auth_message, num_parts);
}

bool scram_proof_is_good(const uint8_t proof[SCRAM_KEY_LEN],
                         const uint8_t stored_key[SCRAM_KEY_LEN], const struct slice *auth_message,
                         size_t num_parts)
{
    uint8_t client_key[SCRAM_KEY_LEN], found[SCRAM_KEY_LEN];
    memcpy(client_key, proof, sizeof client_key);
    xor_signature(client_key, stored_key, auth_message, num_parts);
    (void)mbedtls_sha256(client_key, sizeof client_key, found, 0);
    scram_wipe(client_key, sizeof client_key); /* with it one logs in */
    return scram_equal(found, stored_key, SCRAM_KEY_LEN);
}

bool scram_equal(const void *a, const void *b, size_t len)
{
    const volatile uint8_t *x = a, *y = b;
    uint8_t differs = 0;
    for (size_t i = 0; i < len; i++) {
        differs |= x[i] ^ y[i];
    }
    return differs == 0;
}

void scram_wipe(void *bytes, size_t len)
{
    mbedtls_platform_zeroize(bytes, len);
}

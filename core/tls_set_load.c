/* From the bytes of certificate and key files to a pair of a set: tls_set_add_pair. */
#include "tls_set_inside.h"

#include "tls_platform.h"

#include <mbedtls/ecp.h>
#include <mbedtls/platform_util.h>
#include <mbedtls/rsa.h>
#include <mbedtls/sha256.h>

#define RSA_BITS_MIN 2048
#define RSA_BITS_MAX 4096

static size_t count(struct slice text, const char *word)
{
    size_t num = 0;
    for (size_t i = 0; i + strlen(word) <= text.len; i++) {
        num += memcmp(text.ptr + i, word, strlen(word)) == 0;
    }
    return num;
}

static bool contains(struct slice text, const char *word)
{
    return count(text, word) != 0;
}

static bool is_pem(struct slice bytes)
{
    return contains(bytes, "-----BEGIN ");
}

/* PEM with the NUL that the library asks for; NULL if there is no memory. */
static uint8_t *copy_text(struct heap *heap, struct slice text)
{
    uint8_t *copy = heap_alloc(heap, text.len + 1, 1);
    if (copy != NULL) {
        memcpy(copy, text.ptr, text.len);
    }
    return copy;
}

static void free_text(struct heap *heap, uint8_t *copy, size_t len)
{
    mbedtls_platform_zeroize(copy, len);
    heap_free(heap, copy);
}

static enum tls_set_error parse_chain(struct tls_set *set, struct tls_pair *p, struct slice chain)
{
    int ret;
    size_t num_begun = 1;
    if (slice_is_empty(chain)) {
        return TLS_SET_NO_CERTIFICATE;
    }
    if (is_pem(chain)) {
        num_begun = count(chain, "-----BEGIN CERTIFICATE-----");
        if (num_begun == 0) {
            return TLS_SET_NO_CERTIFICATE;
        }
        uint8_t *text = copy_text(set->heap, chain);
        if (text == NULL) {
            return TLS_SET_MEMORY;
        }
        ret = mbedtls_x509_crt_parse(&p->chain, text, chain.len + 1);
        free_text(set->heap, text, chain.len + 1);
    } else {
        ret = mbedtls_x509_crt_parse_der(&p->chain, chain.ptr, chain.len);
    }
    if (ret != 0) {
        return TLS_SET_BAD_CERTIFICATE;
    }
    for (const mbedtls_x509_crt *c = &p->chain; c != NULL; c = c->next) {
        p->num_certs++;
    }
    if (p->num_certs != num_begun) {
        return TLS_SET_BAD_CERTIFICATE; /* the library passes over one that has no end */
    }
    return p->num_certs > TLS_SET_CHAIN_MAX ? TLS_SET_CHAIN_TOO_LONG : TLS_SET_OK;
}

/* The high-level half of a library error says what was wrong. */
static enum tls_set_error key_error(int ret)
{
    switch (-(-ret & 0xff80)) {
    case MBEDTLS_ERR_PK_UNKNOWN_PK_ALG:
    case MBEDTLS_ERR_PK_UNKNOWN_NAMED_CURVE:
    case MBEDTLS_ERR_PK_FEATURE_UNAVAILABLE:
        return TLS_SET_KEY_UNSUPPORTED;
    default:
        return TLS_SET_BAD_KEY;
    }
}

static bool is_supported(const mbedtls_pk_context *key)
{
    if (mbedtls_pk_can_do(key, MBEDTLS_PK_RSA)) {
        size_t bits = mbedtls_pk_get_bitlen(key);
        return bits >= RSA_BITS_MIN && bits <= RSA_BITS_MAX;
    }
    if (!mbedtls_pk_can_do(key, MBEDTLS_PK_ECDSA)) {
        return false;
    }
    mbedtls_ecp_group_id curve = mbedtls_ecp_keypair_get_group_id(mbedtls_pk_ec(*key));
    return curve == MBEDTLS_ECP_DP_SECP256R1 || curve == MBEDTLS_ECP_DP_SECP384R1;
}

static enum tls_set_error parse_key(struct tls_set *set, struct tls_pair *p, struct slice key)
{
    int ret;
    if (is_pem(key)) {
        if (contains(key, "-----BEGIN ENCRYPTED PRIVATE KEY-----") ||
            contains(key, "Proc-Type: 4,ENCRYPTED")) {
            return TLS_SET_KEY_ENCRYPTED;
        }
        if (!contains(key, "PRIVATE KEY-----")) {
            return TLS_SET_NO_KEY;
        }
        uint8_t *text = copy_text(set->heap, key);
        if (text == NULL) {
            return TLS_SET_MEMORY;
        }
        ret = mbedtls_pk_parse_key(&p->key, text, key.len + 1, NULL, 0, tls_platform_random, NULL);
        free_text(set->heap, text, key.len + 1);
    } else if (slice_is_empty(key)) {
        return TLS_SET_NO_KEY;
    } else {
        ret = mbedtls_pk_parse_key(&p->key, key.ptr, key.len, NULL, 0, tls_platform_random, NULL);
    }
    if (ret != 0) {
        return key_error(ret);
    }
    return is_supported(&p->key) ? TLS_SET_OK : TLS_SET_KEY_UNSUPPORTED;
}

static enum tls_set_error check_pair(const struct tls_set *set, struct tls_pair *p)
{
    if (!is_supported(&p->chain.pk)) {
        return TLS_SET_KEY_UNSUPPORTED;
    }
    if (mbedtls_pk_check_pair(&p->chain.pk, &p->key, tls_platform_random, NULL) != 0) {
        return TLS_SET_KEY_MISMATCH;
    }
    bool is_rsa = mbedtls_pk_can_do(&p->key, MBEDTLS_PK_RSA) != 0;
    for (size_t i = 0; i < set->num_pairs; i++) {
        if ((mbedtls_pk_can_do(&set->pairs[i].key, MBEDTLS_PK_RSA) != 0) == is_rsa) {
            return TLS_SET_TOO_MANY;
        }
    }
    return TLS_SET_OK;
}

/* The set's id covers what it had and what comes with this pair. */
static bool extend_id(struct tls_set *set, const struct tls_pair *p)
{
    uint8_t id[TLS_SET_ID_LEN];
    mbedtls_sha256_context hash;
    mbedtls_sha256_init(&hash);
    bool ok = mbedtls_sha256_starts(&hash, 0) == 0 &&
              mbedtls_sha256_update(&hash, set->id, sizeof id) == 0;
    for (const mbedtls_x509_crt *c = &p->chain; ok && c != NULL; c = c->next) {
        ok = mbedtls_sha256_update(&hash, c->raw.p, c->raw.len) == 0;
    }
    ok = ok && mbedtls_sha256_finish(&hash, id) == 0;
    mbedtls_sha256_free(&hash);
    if (ok) {
        memcpy(set->id, id, sizeof id);
    }
    return ok;
}

enum tls_set_error tls_set_add_pair(struct tls_set *set, struct slice chain, struct slice key)
{
    if (set->num_pairs == TLS_SET_PAIRS) {
        return TLS_SET_TOO_MANY;
    }
    struct tls_pair *p = &set->pairs[set->num_pairs];
    uint32_t num_refused = set->heap->num_refused;
    memset(p, 0, sizeof *p);
    mbedtls_x509_crt_init(&p->chain);
    mbedtls_pk_init(&p->key);
    enum tls_set_error error = parse_chain(set, p, chain);
    if (error == TLS_SET_OK) {
        error = parse_key(set, p, key);
    }
    if (error == TLS_SET_OK) {
        error = check_pair(set, p);
    }
    if (error == TLS_SET_OK && !extend_id(set, p)) {
        error = TLS_SET_MEMORY;
    }
    if (error != TLS_SET_OK && set->heap->num_refused != num_refused) {
        error = TLS_SET_MEMORY; /* whatever the library made of it */
    }
    if (error != TLS_SET_OK) {
        mbedtls_x509_crt_free(&p->chain);
        mbedtls_pk_free(&p->key);
        memset(p, 0, sizeof *p);
        return error;
    }
    set->num_pairs++;
    return TLS_SET_OK;
}

/* From the bytes of certificate and key files to a pair of a set: tls_set_add_pair. */
#include "tls_set_inside.h"

#include "der.h"
#include "pem.h"
#include "tls_pem.h"
#include "tls_platform.h"

#include <mbedtls/ecp.h>
#include <mbedtls/rsa.h>
#include <mbedtls/sha256.h>

#define RSA_BITS_MIN 2048
#define RSA_BITS_MAX 4096

static bool contains(struct slice text, const char *word)
{
    size_t len = strlen(word);
    for (size_t i = 0; i + len <= text.len; i++) {
        if (memcmp(text.ptr + i, word, len) == 0) {
            return true;
        }
    }
    return false;
}

static enum tls_set_error parse_chain(struct tls_set *set, struct tls_pair *p, struct slice chain)
{
    struct tls_pem found = {0, 0};
    if (slice_is_empty(chain)) {
        return TLS_SET_NO_CERTIFICATE;
    }
    if (!tls_pem_each(set->heap, chain, SLICE_LITERAL("CERTIFICATE"), tls_pem_certificate,
                      &p->chain, &found)) {
        return TLS_SET_MEMORY;
    }
    if (found.num_bad != 0) {
        return TLS_SET_BAD_CERTIFICATE;
    }
    p->num_certs = (uint32_t)found.num;
    return found.num == 0                  ? TLS_SET_NO_CERTIFICATE
           : found.num > TLS_SET_CHAIN_MAX ? TLS_SET_CHAIN_TOO_LONG
                                           : TLS_SET_OK;
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

struct key_parse {
    mbedtls_pk_context *key;
    bool is_of_a_kind; /* PrivateKeyInfo, RFC 5208 5: whole, whether or not the library knows its
                          kind */
};

static bool is_private_key_info(struct slice der)
{
    struct slice in, part;
    return der_get(&der, DER_SEQUENCE, &in) && der_get(&in, DER_INTEGER, &part) &&
           der_get(&in, DER_SEQUENCE, &part) && der_get(&in, DER_OCTET_STRING, &part);
}

static int parse_private_key(void *ctx, struct slice der)
{
    struct key_parse *k = ctx;
    if (mbedtls_pk_get_type(k->key) != MBEDTLS_PK_NONE) {
        return 0; /* the first of them counts */
    }
    k->is_of_a_kind = is_private_key_info(der);
    return mbedtls_pk_parse_key(k->key, der.ptr, der.len, NULL, 0, tls_platform_random, NULL);
}

static enum tls_set_error parse_key(struct tls_set *set, struct tls_pair *p, struct slice key)
{
    static const char *const labels[] = {"RSA PRIVATE KEY", "EC PRIVATE KEY", "PRIVATE KEY"};
    if (contains(key, "-----BEGIN ENCRYPTED PRIVATE KEY-----") ||
        contains(key, "Proc-Type: 4,ENCRYPTED")) {
        return TLS_SET_KEY_ENCRYPTED;
    }
    if (slice_is_empty(key) || (pem_is_text(key) && !contains(key, "PRIVATE KEY-----"))) {
        return TLS_SET_NO_KEY;
    }
    struct tls_pem found = {0, 0};
    struct key_parse k = {&p->key, false};
    for (size_t i = 0; i < sizeof labels / sizeof labels[0] && found.num + found.num_bad == 0;
         i++) {
        if (!tls_pem_each(set->heap, key, slice_of_string(labels[i]), parse_private_key, &k,
                          &found)) {
            return TLS_SET_MEMORY;
        }
    }
    if (found.num == 0 || found.num_bad != 0) {
        return k.is_of_a_kind ? TLS_SET_KEY_UNSUPPORTED : TLS_SET_BAD_KEY;
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

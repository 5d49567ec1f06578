/* What a certificate set is made of; for tls_* only. */
#ifndef POSTERN_TLS_SET_INSIDE_H
#define POSTERN_TLS_SET_INSIDE_H

#include "tls_set.h"

#include <mbedtls/pk.h>
#include <mbedtls/x509_crt.h>

/* A proof and the verdict on it; counted, so that one that is being sent outlives its replacement.
 */
struct tls_proof {
    struct heap *heap;
    uint32_t num_refs;
    uint32_t len; /* of der; 0: there is only the reason why there is none */
    struct ocsp_verdict verdict;
    uint8_t der[];
};

struct tls_pair {
    mbedtls_x509_crt chain; /* leaf first */
    mbedtls_pk_context key;
    uint32_t num_certs;
    struct tls_proof *proofs[TLS_SET_CHAIN_MAX]; /* NULL: never set */
};

struct tls_set {
    struct heap *heap;
    uint32_t num_refs;
    uint32_t num_pairs;
    struct tls_pair pairs[TLS_SET_PAIRS];
    uint8_t id[TLS_SET_ID_LEN];
};

/* The set without an env; tls_set_new with the env's heap. */
struct tls_set *tls_set_make(struct heap *heap);

/* The pair whose leaf is this certificate; NULL if it is none of the set's. */
struct tls_pair *tls_set_pair_of(struct tls_set *set, const mbedtls_x509_crt *leaf);

/* NULL is ignored by both. */
void tls_proof_keep(struct tls_proof *proof);
void tls_proof_drop(struct tls_proof *proof);

#endif

/* Certificate sets: see tls_set.h. What is read from files is parsed in tls_set_load.c. */
#include "tls_set_inside.h"

#include "tls_env.h"

static const char *const names[] = {
#define TLS_SET_ERROR(symbol, name, sentence) name,
#include "tls_set_error.def"
#undef TLS_SET_ERROR
};

static const char *const sentences[] = {
#define TLS_SET_ERROR(symbol, name, sentence) sentence,
#include "tls_set_error.def"
#undef TLS_SET_ERROR
};

const char *tls_set_error_name(enum tls_set_error e)
{
    return names[e];
}

const char *tls_set_error_text(enum tls_set_error e)
{
    return sentences[e];
}

struct tls_set *tls_set_make(struct heap *heap)
{
    struct tls_set *set = heap_alloc(heap, 1, sizeof *set);
    if (set == NULL) {
        return NULL;
    }
    set->heap = heap;
    set->num_refs = 1;
    return set;
}

struct tls_set *tls_set_new(struct tls_env *env)
{
    return tls_set_make(env->heap);
}

void tls_set_keep(struct tls_set *set)
{
    set->num_refs++;
}

static void free_pair(struct tls_pair *p)
{
    mbedtls_x509_crt_free(&p->chain);
    mbedtls_pk_free(&p->key);
    for (size_t i = 0; i < TLS_SET_CHAIN_MAX; i++) {
        tls_proof_drop(p->proofs[i]);
    }
}

void tls_set_drop(struct tls_set *set)
{
    if (set == NULL || --set->num_refs != 0) {
        return;
    }
    for (size_t i = 0; i < set->num_pairs; i++) {
        free_pair(&set->pairs[i]);
    }
    heap_free(set->heap, set);
}

size_t tls_set_num_pairs(const struct tls_set *set)
{
    return set->num_pairs;
}

size_t tls_set_num_certs(const struct tls_set *set, size_t pair)
{
    return pair < set->num_pairs ? set->pairs[pair].num_certs : 0;
}

const struct mbedtls_x509_crt *tls_set_cert(const struct tls_set *set, size_t pair, size_t index)
{
    if (index >= tls_set_num_certs(set, pair)) {
        return NULL;
    }
    const mbedtls_x509_crt *cert = &set->pairs[pair].chain;
    while (index-- != 0) {
        cert = cert->next;
    }
    return cert;
}

struct slice tls_set_cert_der(const struct tls_set *set, size_t pair, size_t index)
{
    const mbedtls_x509_crt *cert = tls_set_cert(set, pair, index);
    return cert == NULL ? slice_make(NULL, 0) : slice_make(cert->raw.p, cert->raw.len);
}

struct slice tls_set_id(const struct tls_set *set)
{
    return slice_make(set->id, sizeof set->id);
}

struct tls_pair *tls_set_pair_of(struct tls_set *set, const mbedtls_x509_crt *leaf)
{
    for (size_t i = 0; i < set->num_pairs; i++) {
        if (&set->pairs[i].chain == leaf) {
            return &set->pairs[i];
        }
    }
    return NULL;
}

void tls_proof_keep(struct tls_proof *proof)
{
    if (proof != NULL) {
        proof->num_refs++;
    }
}

void tls_proof_drop(struct tls_proof *proof)
{
    if (proof != NULL && --proof->num_refs == 0) {
        heap_free(proof->heap, proof);
    }
}

enum err tls_set_set_proof(struct tls_set *set, size_t pair, size_t index, struct slice der,
                           const struct ocsp_verdict *verdict)
{
    if (index >= tls_set_num_certs(set, pair)) {
        return ERR_ABSENT;
    }
    if (der.len > OCSP_PROOF_CAP) {
        return ERR_TOO_BIG;
    }
    struct tls_proof *proof = heap_alloc(set->heap, 1, sizeof *proof + der.len);
    if (proof == NULL) {
        return ERR_NO_MEMORY;
    }
    proof->heap = set->heap;
    proof->num_refs = 1;
    proof->len = (uint32_t)der.len;
    proof->verdict = *verdict;
    if (der.len != 0) {
        memcpy(proof->der, der.ptr, der.len);
    }
    tls_proof_drop(set->pairs[pair].proofs[index]);
    set->pairs[pair].proofs[index] = proof;
    return ERR_OK;
}

bool tls_set_proof(const struct tls_set *set, size_t pair, size_t index, struct slice *out_der,
                   const struct ocsp_verdict **out_verdict)
{
    static const struct ocsp_verdict never_set = {
        .reason = OCSP_NO_FILE, .reason_before = OCSP_NO_FILE, .reason_after = OCSP_NO_FILE};
    if (index >= tls_set_num_certs(set, pair)) {
        return false;
    }
    const struct tls_proof *proof = set->pairs[pair].proofs[index];
    *out_der = proof == NULL ? slice_make(NULL, 0) : slice_make(proof->der, proof->len);
    *out_verdict = proof == NULL ? &never_set : &proof->verdict;
    return true;
}

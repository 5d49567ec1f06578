/* Certificate sets: what a server shows for one name. Certificates, their keys and the proofs of
 * their validity, kept together and replaced as one.
 *
 * A set is counted: whoever keeps a pointer across calls takes a reference, so a handshake keeps
 * the set that it began with while the service that owns sets moves on to another. Proofs may be
 * set and replaced in a live set, and each is counted too. Engine: reads no file, asks for no time,
 * judges no proof. Called by ocsp_staple, which loads and judges, and by tls. */
#ifndef POSTERN_TLS_SET_H
#define POSTERN_TLS_SET_H

#include "err.h"
#include "heap.h"
#include "ocsp_check.h"

#define TLS_SET_PAIRS     2 /* one with an RSA key, one with an elliptic-curve key */
#define TLS_SET_CHAIN_MAX 8
#define TLS_SET_ID_LEN    32

struct tls_env;
struct tls_set;

enum tls_set_error {
#define TLS_SET_ERROR(symbol, name, sentence) TLS_SET_##symbol,
#include "tls_set_error.def"
#undef TLS_SET_ERROR
    NUM_TLS_SET_ERRORS
};

/* The name ("key-mismatch") and what to tell a person ("the key does not fit the certificate"). */
const char *tls_set_error_name(enum tls_set_error e);
const char *tls_set_error_text(enum tls_set_error e);

/* An empty set with one reference, the caller's; NULL if there is no memory. It must be gone before
 * the env is closed. */
struct tls_set *tls_set_new(struct tls_env *env);
void tls_set_keep(struct tls_set *set); /* one more reference */
void tls_set_drop(struct tls_set *set); /* one less; the last one frees. NULL is ignored */

/* Adds a certificate chain, leaf first, and the leaf's private key, each in PEM or DER (DER: one
 * certificate). Texts beside the PEM blocks are ignored, so both may be the same file. The bytes
 * stay the caller's; copies of the key are wiped when freed. On failure the set is as it was. Keys:
 * RSA of 2048 to 4096 bits, P-256, P-384. A second pair must have a key of the other kind. The
 * validity dates are not looked at. */
enum tls_set_error tls_set_add_pair(struct tls_set *set, struct slice chain, struct slice key);

size_t tls_set_num_pairs(const struct tls_set *set);
size_t tls_set_num_certs(const struct tls_set *set, size_t pair);

/* Certificate number index of a pair's chain, 0 the leaf; NULL if there is none. Lives as long as
 * the set. The issuer of certificate i is, in an orderly chain, certificate i + 1. */
const struct mbedtls_x509_crt *tls_set_cert(const struct tls_set *set, size_t pair, size_t index);
struct slice tls_set_cert_der(const struct tls_set *set, size_t pair, size_t index);

/* The proof for one certificate, with the verdict on it, in place of whatever was there. The bytes
 * are copied. An empty der with a verdict that is not good says why there is none. ERR_NO_MEMORY
 * (then the old one stays), ERR_TOO_BIG (over OCSP_PROOF_CAP), ERR_ABSENT (no such certificate).
 * Until this is called, the reason is OCSP_NO_FILE. */
enum err tls_set_set_proof(struct tls_set *set, size_t pair, size_t index, struct slice der,
                           const struct ocsp_verdict *verdict);

/* What tls_set_set_proof last took, as views into the set; der is empty if there is none. False if
 * there is no such certificate. */
bool tls_set_proof(const struct tls_set *set, size_t pair, size_t index, struct slice *out_der,
                   const struct ocsp_verdict **out_verdict);

/* SHA-256 over all certificates: the same for two sets that show the same certificates. */
struct slice tls_set_id(const struct tls_set *set);

#endif

/* Who signed this response, and may they? RFC 6960 4.2.2.2. Engine: for ocsp_check alone. */
#ifndef POSTERN_OCSP_CHECK_SIGNER_H
#define POSTERN_OCSP_CHECK_SIGNER_H

#include "ocsp_check.h"

/* Verifies the response's signature by the issuer or by a delegate in it, and fills in the signer's
 * fields of *v; the validity of the signer's certificate goes to *out_not_before_s and
 * *out_not_after_s, both inclusive. OCSP_GOOD, or why nobody who may sign has done so. */
enum ocsp_reason ocsp_signer_check(const struct ocsp_question *q, const struct ocsp_response *r,
                                   struct ocsp_verdict *v, int64_t *out_not_before_s,
                                   int64_t *out_not_after_s);

/* The hash of the bits of a certificate's public key, as CertID and ResponderID name it; and
 * whether it is these bytes. */
bool ocsp_key_hash_is(const struct mbedtls_x509_crt *crt, int md, struct slice hash);
bool ocsp_bytes_hash_is(struct slice bytes, int md, struct slice hash);

struct mbedtls_x509_time;

/* Unix seconds of a certificate's time; OCSP_NO_TIME if it is no date. */
int64_t ocsp_time_of(const struct mbedtls_x509_time *t);

#endif

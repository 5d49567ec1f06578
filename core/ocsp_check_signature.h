/* Does this signature hold? RSA PKCS#1 v1.5, RSA-PSS and ECDSA with SHA-256, SHA-384 or SHA-512,
 * and SHA-1 where the caller allows it. Engine: for ocsp_check alone, and for certificates that a
 * proof brings. */
#ifndef POSTERN_OCSP_CHECK_SIGNATURE_H
#define POSTERN_OCSP_CHECK_SIGNATURE_H

#include "ocsp_check.h"

#include <mbedtls/md.h>

/* OCSP_GOOD, OCSP_BAD_SIGNATURE, OCSP_WEAK_KEY (it verifies), OCSP_SIGNATURE_SHA1,
 * OCSP_SIGNATURE_UNSUPPORTED or OCSP_NO_MEMORY. The hash's name is left in *out_hash once it is
 * known. */
enum ocsp_reason ocsp_signature_check(const struct x509_signed *sealed,
                                      const struct x509_cert *signer, bool allow_sha1,
                                      const char **out_hash);

/* The hash that an AlgorithmIdentifier names, MBEDTLS_MD_NONE if it is none of the four. Parameters
 * must be NULL or absent. */
mbedtls_md_type_t ocsp_hash_of(const struct x509_algorithm *algorithm);

/* Whether that is the hash of the bytes. */
bool ocsp_hash_is(struct slice bytes, mbedtls_md_type_t md, struct slice hash);

/* "sha1" and so on; "" for none. */
const char *ocsp_hash_name(mbedtls_md_type_t md);

#endif

/* Who signed this response, and may they? See ocsp_check_signer.h. */
#include "ocsp_check_signer.h"

#include "der.h"
#include "ocsp_check_signature.h"
#include "teeth.h"

/* A response needs one delegate; more candidates than this are not tried. */
#define MAX_CANDIDATES 4

static const uint8_t id_pkix_ocsp_nocheck[] = {0x2b, 0x06, 0x01, 0x05, 0x05,
                                               0x07, 0x30, 0x01, 0x05}; /* 1.3.6.1.5.5.7.48.1.5 */
static const uint8_t id_kp_ocsp_signing[] = {0x2b, 0x06, 0x01, 0x05,
                                             0x05, 0x07, 0x03, 0x09}; /* 1.3.6.1.5.5.7.3.9 */
static const uint8_t id_ce_key_usage[] = {0x55, 0x1d, 0x0f};          /* 2.5.29.15 */
static const uint8_t id_ce_ext_key_usage[] = {0x55, 0x1d, 0x25};      /* 2.5.29.37 */
static const uint8_t id_ce_basic_constraints[] = {0x55, 0x1d, 0x13};  /* 2.5.29.19 */
static const uint8_t id_ce_subject_alt_name[] = {0x55, 0x1d, 0x11};   /* 2.5.29.17 */

#define OID_SLICE(oid) slice_make((oid), sizeof(oid))

static bool is_named(const struct ocsp_response *r, const struct x509_cert *cert)
{
    return r->by_key.len != 0 ? ocsp_hash_is(cert->key_bits, MBEDTLS_MD_SHA1, r->by_key)
                              : x509_is_same_name(r->by_name, cert->subject);
}

/* ExtKeyUsageSyntax ::= SEQUENCE SIZE (1..MAX) OF KeyPurposeId
 * The purpose must be named: anyExtendedKeyUsage, or no extension at all, will not do. */
static bool is_for_ocsp(const struct x509_cert *cert)
{
    struct slice value = x509_find_extension(cert, OID_SLICE(id_ce_ext_key_usage)), run, purpose;
    bool named = false;
    if (BROKEN(EKU_UNCHECKED)) {
        return true;
    }
    if (!der_get(&value, DER_SEQUENCE, &run) || !der_end(value)) {
        return false;
    }
    while (der_get_oid(&run, &purpose)) {
        named = named || slice_equal(purpose, OID_SLICE(id_kp_ocsp_signing));
    }
    return named && der_end(run);
}

/* KeyUsage ::= BIT STRING { digitalSignature (0), ... }; its first octet counts unused bits. */
static bool may_sign(const struct x509_cert *cert)
{
    struct slice value = x509_find_extension(cert, OID_SLICE(id_ce_key_usage)), octets;
    if (value.ptr == NULL) {
        return true;
    }
    return der_get(&value, DER_BIT_STRING, &octets) && der_end(value) && octets.len >= 2 &&
           (octets.ptr[1] & 0x80u) != 0;
}

/* Other names are critical where there is no subject (RFC 5280 4.2.1.6), and of no interest here.
 * Of what stands there twice, which it must not (4.2), others may go by the other one. */
static enum ocsp_reason check_extensions(const struct x509_cert *cert)
{
    struct slice run = cert->extensions;
    struct x509_extension extension;
    while (x509_next_extension(&run, &extension)) {
        if (x509_find_extension(cert, extension.oid).ptr != extension.value.ptr) {
            return OCSP_SIGNER_NOT_AUTHORISED;
        }
        if (extension.critical && !slice_equal(extension.oid, OID_SLICE(id_ce_key_usage)) &&
            !slice_equal(extension.oid, OID_SLICE(id_ce_ext_key_usage)) &&
            !slice_equal(extension.oid, OID_SLICE(id_ce_basic_constraints)) &&
            !slice_equal(extension.oid, OID_SLICE(id_ce_subject_alt_name)) &&
            !slice_equal(extension.oid, OID_SLICE(id_pkix_ocsp_nocheck))) {
            return OCSP_CRITICAL_EXTENSION;
        }
    }
    return OCSP_GOOD;
}

/* Not merely a certificate with the issuer's name in it: one that the very key of the issuer that
 * is asked about has signed. Neither an ancestor nor a sibling of the same name will do. */
static enum ocsp_reason check_delegate(const struct ocsp_question *q, const struct x509_cert *cert)
{
    const char *hash;
    if (!x509_is_same_name(cert->issuer, q->issuer->subject) || !is_for_ocsp(cert) ||
        !may_sign(cert)) {
        return OCSP_SIGNER_NOT_AUTHORISED;
    }
    if (BROKEN(DELEGATE_OF_ANYBODY)) {
        return OCSP_GOOD;
    }
    enum ocsp_reason reason =
        ocsp_signature_check(&cert->sealed, q->issuer, q->options.allow_sha1, &hash);
    return reason == OCSP_BAD_SIGNATURE ? OCSP_SIGNER_NOT_AUTHORISED
           : reason == OCSP_GOOD        ? check_extensions(cert)
                                        : reason;
}

static enum ocsp_reason try_signer(const struct ocsp_question *q, const struct ocsp_response *r,
                                   const struct x509_cert *cert, enum ocsp_signer kind,
                                   struct ocsp_verdict *v)
{
    enum ocsp_reason reason = kind == OCSP_SIGNER_DELEGATE ? check_delegate(q, cert) : OCSP_GOOD;
    if (reason != OCSP_GOOD) {
        return reason;
    }
    reason = ocsp_signature_check(&r->sealed, cert, q->options.allow_sha1, &v->signature_hash);
    if (reason == OCSP_GOOD) {
        v->signer = kind;
        v->signer_nocheck = kind == OCSP_SIGNER_DELEGATE &&
                            x509_find_extension(cert, OID_SLICE(id_pkix_ocsp_nocheck)).ptr != NULL;
    }
    return reason;
}

enum ocsp_reason ocsp_signer_check(const struct ocsp_question *q, const struct ocsp_response *r,
                                   struct ocsp_verdict *v, struct x509_cert *out_signer)
{
    struct slice certs = r->certs, der;
    enum ocsp_reason reason = OCSP_NO_SIGNER;
    int num_tried = 0;
    if (is_named(r, q->issuer)) {
        *out_signer = *q->issuer;
        reason = try_signer(q, r, out_signer, OCSP_SIGNER_ISSUER, v);
    }
    while (v->signer == OCSP_SIGNER_NONE && reason != OCSP_NO_MEMORY &&
           num_tried < MAX_CANDIDATES && ocsp_cert_next(&certs, &der)) {
        v->signer_cert++;
        if (!slice_equal(der, q->issuer->whole) && x509_parse_cert(der, out_signer) &&
            is_named(r, out_signer)) {
            num_tried++;
            reason = try_signer(q, r, out_signer, OCSP_SIGNER_DELEGATE, v);
        }
    }
    return reason;
}

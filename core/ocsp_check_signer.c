#include "ocsp_check_signer.h"

#include "der.h"
#include "ocsp_check_signature.h"
#include "text.h"

#include <mbedtls/error.h>
#include <mbedtls/oid.h>
#include <mbedtls/x509_crt.h>

/* A response needs one delegate; more candidates than this are not tried. */
#define MAX_CANDIDATES 4

/* 1.3.6.1.5.5.7.48.1.5 */
static const uint8_t id_pkix_ocsp_nocheck[] = {0x2b, 0x06, 0x01, 0x05, 0x05,
                                               0x07, 0x30, 0x01, 0x05};

static struct slice raw(const mbedtls_x509_buf *b)
{
    return slice_make(b->p, b->len);
}

int64_t ocsp_time_of(const struct mbedtls_x509_time *t)
{
    int64_t days;
    if (!text_days_of_date(t->year, (uint32_t)t->mon, (uint32_t)t->day, &days)) {
        return OCSP_NO_TIME;
    }
    return days * 86400 + (int64_t)t->hour * 3600 + (int64_t)t->min * 60 + t->sec;
}

bool ocsp_bytes_hash_is(struct slice bytes, int md, struct slice hash)
{
    unsigned char own[MBEDTLS_MD_MAX_SIZE];
    const mbedtls_md_info_t *info = mbedtls_md_info_from_type((mbedtls_md_type_t)md);
    return mbedtls_md(info, bytes.ptr, bytes.len, own) == 0 &&
           slice_equal(slice_make(own, mbedtls_md_get_size(info)), hash);
}

/* SubjectPublicKeyInfo ::= SEQUENCE { algorithm AlgorithmIdentifier, subjectPublicKey BIT STRING }
 */
bool ocsp_key_hash_is(const struct mbedtls_x509_crt *crt, int md, struct slice hash)
{
    struct slice in = raw(&crt->pk_raw), info, algorithm, bits;
    return der_get(&in, DER_SEQUENCE, &info) && der_get(&info, DER_SEQUENCE, &algorithm) &&
           der_get_bits(&info, &bits) && ocsp_bytes_hash_is(bits, md, hash);
}

static bool is_named(const struct ocsp_response *r, const mbedtls_x509_crt *crt)
{
    if (r->by_key.len != 0) {
        return ocsp_key_hash_is(crt, MBEDTLS_MD_SHA1, r->by_key);
    }
    return slice_equal(r->by_name, raw(&crt->subject_raw));
}

/* The purpose must be named: anyExtendedKeyUsage, or no extension at all, will not do. */
static bool may_sign_responses(const mbedtls_x509_crt *crt)
{
    const mbedtls_x509_sequence *purpose = &crt->ext_key_usage;
    bool named = false;
    for (; purpose != NULL && !named; purpose = purpose->next) {
        named = slice_equal(raw(&purpose->buf), SLICE_LITERAL(MBEDTLS_OID_OCSP_SIGNING));
    }
    return named && mbedtls_x509_crt_check_key_usage(crt, MBEDTLS_X509_KU_DIGITAL_SIGNATURE) == 0;
}

static bool has_nocheck(const mbedtls_x509_crt *crt)
{
    struct slice in = raw(&crt->v3_ext), run;
    struct ocsp_extension extension;
    if (!der_get(&in, DER_SEQUENCE, &run)) {
        return false;
    }
    while (ocsp_extension_next(&run, &extension)) {
        if (slice_equal(extension.oid,
                        slice_make(id_pkix_ocsp_nocheck, sizeof id_pkix_ocsp_nocheck))) {
            return true;
        }
    }
    return false;
}

/* Signed by the very key of the issuer that is asked for: neither an ancestor nor a sibling of the
 * same name will do. */
static enum ocsp_reason check_delegate(const struct ocsp_question *q, struct slice der,
                                       const mbedtls_x509_crt *crt)
{
    struct slice certificate;
    struct ocsp_signed sealed;
    const char *hash;
    if (!slice_equal(raw(&crt->issuer_raw), raw(&q->issuer->subject_raw)) ||
        !der_get(&der, DER_SEQUENCE, &certificate) || !ocsp_signed_get(&certificate, &sealed)) {
        return OCSP_SIGNER_NOT_AUTHORISED;
    }
    enum ocsp_reason reason =
        ocsp_signature_check(&sealed, &q->issuer->pk, q->options.allow_sha1, &hash);
    if (reason == OCSP_BAD_SIGNATURE) {
        return OCSP_SIGNER_NOT_AUTHORISED;
    }
    if (reason == OCSP_GOOD && !may_sign_responses(crt)) {
        return OCSP_SIGNER_NOT_AUTHORISED;
    }
    return reason;
}

static enum ocsp_reason try_delegate(const struct ocsp_question *q, const struct ocsp_response *r,
                                     struct slice der, const mbedtls_x509_crt *crt,
                                     struct ocsp_verdict *v)
{
    enum ocsp_reason reason = check_delegate(q, der, crt);
    if (reason != OCSP_GOOD) {
        return reason;
    }
    reason = ocsp_signature_check(&r->sealed, &crt->pk, q->options.allow_sha1, &v->signature_hash);
    if (reason == OCSP_GOOD) {
        v->signer = OCSP_SIGNER_DELEGATE;
        v->signer_nocheck = has_nocheck(crt);
    }
    return reason;
}

static enum ocsp_reason find_delegate(const struct ocsp_question *q, const struct ocsp_response *r,
                                      enum ocsp_reason reason, struct ocsp_verdict *v,
                                      int64_t *out_not_before_s, int64_t *out_not_after_s)
{
    struct slice certs = r->certs, der;
    int num_tried = 0;
    while (v->signer == OCSP_SIGNER_NONE && num_tried < MAX_CANDIDATES &&
           reason != OCSP_NO_MEMORY && ocsp_cert_next(&certs, &der)) {
        if (slice_equal(der, raw(&q->issuer->raw))) {
            continue;
        }
        mbedtls_x509_crt crt;
        mbedtls_x509_crt_init(&crt);
        int ret = mbedtls_x509_crt_parse_der_nocopy(&crt, der.ptr, der.len);
        if (ret == MBEDTLS_ERR_X509_ALLOC_FAILED) {
            reason = OCSP_NO_MEMORY;
        } else if (ret == 0 && is_named(r, &crt)) {
            num_tried++;
            reason = try_delegate(q, r, der, &crt, v);
            *out_not_before_s = ocsp_time_of(&crt.valid_from);
            *out_not_after_s = ocsp_time_of(&crt.valid_to);
        }
        mbedtls_x509_crt_free(&crt);
    }
    return reason;
}

enum ocsp_reason ocsp_signer_check(const struct ocsp_question *q, const struct ocsp_response *r,
                                   struct ocsp_verdict *v, int64_t *out_not_before_s,
                                   int64_t *out_not_after_s)
{
    enum ocsp_reason reason = OCSP_NO_SIGNER;
    if (is_named(r, q->issuer)) {
        reason = ocsp_signature_check(&r->sealed, &q->issuer->pk, q->options.allow_sha1,
                                      &v->signature_hash);
        if (reason == OCSP_GOOD) {
            v->signer = OCSP_SIGNER_ISSUER;
            *out_not_before_s = ocsp_time_of(&q->issuer->valid_from);
            *out_not_after_s = ocsp_time_of(&q->issuer->valid_to);
            return OCSP_GOOD;
        }
    }
    return find_delegate(q, r, reason, v, out_not_before_s, out_not_after_s);
}

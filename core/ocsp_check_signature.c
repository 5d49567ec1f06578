/* Does this signature hold? See ocsp_check_signature.h. */
#include "ocsp_check_signature.h"

#include "der.h"
#include "teeth.h"

#include <mbedtls/error.h>
#include <mbedtls/oid.h>
#include <mbedtls/pk.h>

#define RSA_BITS_MIN 2048 /* as of the certificates that TLS shows and believes */

struct scheme {
    mbedtls_pk_type_t type;
    mbedtls_md_type_t md;
    mbedtls_pk_rsassa_pss_options pss;
};

const char *ocsp_hash_name(mbedtls_md_type_t md)
{
    return md == MBEDTLS_MD_SHA1     ? "sha1"
           : md == MBEDTLS_MD_SHA256 ? "sha256"
           : md == MBEDTLS_MD_SHA384 ? "sha384"
           : md == MBEDTLS_MD_SHA512 ? "sha512"
                                     : "";
}

bool ocsp_hash_is(struct slice bytes, mbedtls_md_type_t md, struct slice hash)
{
    unsigned char own[MBEDTLS_MD_MAX_SIZE];
    const mbedtls_md_info_t *info = mbedtls_md_info_from_type(md);
    return mbedtls_md(info, bytes.ptr, bytes.len, own) == 0 &&
           slice_equal(slice_make(own, mbedtls_md_get_size(info)), hash);
}

static mbedtls_asn1_buf as_asn1(struct slice bytes)
{
    return (mbedtls_asn1_buf){0, bytes.len, (unsigned char *)(uintptr_t)bytes.ptr};
}

static bool is_null_or_absent(struct slice params)
{
    return der_end(params) || (der_get_null(&params) && der_end(params));
}

mbedtls_md_type_t ocsp_hash_of(const struct x509_algorithm *algorithm)
{
    mbedtls_asn1_buf oid = as_asn1(algorithm->oid);
    mbedtls_md_type_t md;
    if (mbedtls_oid_get_md_alg(&oid, &md) != 0 || !is_null_or_absent(algorithm->params) ||
        ocsp_hash_name(md)[0] == '\0') {
        return MBEDTLS_MD_NONE;
    }
    return md;
}

/* An AlgorithmIdentifier at the end of its nesting. */
static bool read_algorithm(struct slice in, struct x509_algorithm *out)
{
    struct slice seq;
    if (!der_get(&in, DER_SEQUENCE, &seq) || !der_end(in) || !der_get_oid(&seq, &out->oid)) {
        return false;
    }
    out->params = seq;
    return true;
}

/* HashAlgorithm */
static bool read_hash(struct slice in, mbedtls_md_type_t *out)
{
    struct x509_algorithm algorithm;
    if (!read_algorithm(in, &algorithm)) {
        return false;
    }
    *out = ocsp_hash_of(&algorithm);
    return *out != MBEDTLS_MD_NONE;
}

/* MaskGenAlgorithm: id-mgf1, its parameter a HashAlgorithm */
static bool read_mask_gen(struct slice in, mbedtls_md_type_t *out)
{
    struct x509_algorithm algorithm;
    return read_algorithm(in, &algorithm) &&
           slice_equal(algorithm.oid, SLICE_LITERAL(MBEDTLS_OID_MGF1)) &&
           read_hash(algorithm.params, out);
}

/* RSASSA-PSS-params ::= SEQUENCE {                        (RFC 4055 3.1)
 *     hashAlgorithm     [0] HashAlgorithm DEFAULT sha1,
 *     maskGenAlgorithm  [1] MaskGenAlgorithm DEFAULT mgf1 with sha1,
 *     saltLength        [2] INTEGER DEFAULT 20,
 *     trailerField      [3] INTEGER DEFAULT 1 }
 * The library knows but one hash for both, as RFC 4055 recommends it. */
static bool read_pss(struct slice params, struct scheme *out)
{
    struct slice in, tagged;
    uint64_t salt_len = 20, trailer = 1;
    out->md = MBEDTLS_MD_SHA1;
    out->pss.mgf1_hash_id = MBEDTLS_MD_SHA1;
    if (!der_get(&params, DER_SEQUENCE, &in) || !der_end(params)) {
        return false;
    }
    if (der_get(&in, DER_CONTEXT_CONSTRUCTED(0), &tagged) && !read_hash(tagged, &out->md)) {
        return false;
    }
    if (der_get(&in, DER_CONTEXT_CONSTRUCTED(1), &tagged) &&
        !read_mask_gen(tagged, &out->pss.mgf1_hash_id)) {
        return false;
    }
    if (der_get(&in, DER_CONTEXT_CONSTRUCTED(2), &tagged) &&
        (!der_get_u64(&tagged, 512, &salt_len) || !der_end(tagged))) {
        return false;
    }
    if (der_get(&in, DER_CONTEXT_CONSTRUCTED(3), &tagged) &&
        (!der_get_u64(&tagged, 1, &trailer) || trailer != 1 || !der_end(tagged))) {
        return false;
    }
    out->pss.expected_salt_len = (int)salt_len;
    return der_end(in) && out->pss.mgf1_hash_id == out->md;
}

static bool read_scheme(const struct x509_algorithm *algorithm, struct scheme *out)
{
    mbedtls_asn1_buf oid = as_asn1(algorithm->oid);
    if (mbedtls_oid_get_sig_alg(&oid, &out->md, &out->type) != 0) {
        return false;
    }
    if (out->type == MBEDTLS_PK_RSASSA_PSS) {
        return read_pss(algorithm->params, out);
    }
    /* RFC 4055 5: RSA has NULL, and absent is to be accepted; RFC 5758 3.2: ECDSA has nothing, but
     * some authorities write NULL, and clients let it pass. */
    return ocsp_hash_name(out->md)[0] != '\0' && is_null_or_absent(algorithm->params);
}

/* ECDSA-Sig-Value ::= SEQUENCE { r INTEGER, s INTEGER }        (RFC 3279 2.2.3)
 * The library takes other forms of the numbers, which clients refuse; and anybody can change the
 * form of a signature on its way. */
static bool is_ecdsa_value(struct slice in)
{
    struct slice seq, r, s;
    return der_get(&in, DER_SEQUENCE, &seq) && der_end(in) && der_get_integer(&seq, &r) &&
           der_get_integer(&seq, &s) && der_end(seq) && ((r.ptr[0] | s.ptr[0]) & 0x80u) == 0;
}

/* What the library says may be the sum of an error and of its cause, which is below 128. */
static bool is_out_of_memory(int ret)
{
    return ret == MBEDTLS_ERR_PK_ALLOC_FAILED || ret == MBEDTLS_ERR_ECP_ALLOC_FAILED ||
           -ret % 128 == -MBEDTLS_ERR_MPI_ALLOC_FAILED;
}

static enum ocsp_reason verify(const struct x509_signed *sealed, const struct scheme *scheme,
                               mbedtls_pk_context *key)
{
    unsigned char hash[MBEDTLS_MD_MAX_SIZE];
    const mbedtls_md_info_t *info = mbedtls_md_info_from_type(scheme->md);
    if (!mbedtls_pk_can_do(key, scheme->type)) {
        return OCSP_SIGNATURE_UNSUPPORTED;
    }
    if (scheme->type == MBEDTLS_PK_ECDSA && !is_ecdsa_value(sealed->signature)) {
        return OCSP_BAD_SIGNATURE;
    }
    if (mbedtls_md(info, sealed->bytes.ptr, sealed->bytes.len, hash) != 0) {
        return OCSP_NO_MEMORY;
    }
    int ret = mbedtls_pk_verify_ext(
        scheme->type, scheme->type == MBEDTLS_PK_RSASSA_PSS ? &scheme->pss : NULL, key, scheme->md,
        hash, mbedtls_md_get_size(info), sealed->signature.ptr, sealed->signature.len);
    if (ret != 0 && !BROKEN(SIGNATURE_UNCHECKED)) {
        return is_out_of_memory(ret) ? OCSP_NO_MEMORY : OCSP_BAD_SIGNATURE;
    }
    return mbedtls_pk_can_do(key, MBEDTLS_PK_RSA) && mbedtls_pk_get_bitlen(key) < RSA_BITS_MIN
               ? OCSP_WEAK_KEY
               : OCSP_GOOD;
}

enum ocsp_reason ocsp_signature_check(const struct x509_signed *sealed,
                                      const struct x509_cert *signer, bool allow_sha1,
                                      const char **out_hash)
{
    struct scheme scheme;
    mbedtls_pk_context key;
    if (!read_scheme(&sealed->algorithm, &scheme)) {
        return OCSP_SIGNATURE_UNSUPPORTED;
    }
    *out_hash = ocsp_hash_name(scheme.md);
    if (!allow_sha1 && !BROKEN(SHA1_BELIEVED) && scheme.md == MBEDTLS_MD_SHA1) {
        return OCSP_SIGNATURE_SHA1;
    }
    struct slice info = signer->public_key_info;
    unsigned char *at = (unsigned char *)(uintptr_t)info.ptr; /* only read */
    enum ocsp_reason reason;
    mbedtls_pk_init(&key);
    int ret = mbedtls_pk_parse_subpubkey(&at, info.ptr + info.len, &key);
    if (ret != 0) {
        reason = is_out_of_memory(ret) ? OCSP_NO_MEMORY : OCSP_SIGNATURE_UNSUPPORTED;
    } else if (mbedtls_pk_can_do(&key, MBEDTLS_PK_RSA) && !x509_has_short_exponent(info)) {
        reason = OCSP_SIGNATURE_UNSUPPORTED;
    } else {
        reason = verify(sealed, &scheme, &key);
    }
    mbedtls_pk_free(&key);
    return reason;
}

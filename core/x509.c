/* The parts of X.509 that OCSP is made of: see x509.h. */
#include "x509.h"

#include "der.h"
#include "text.h"

#define UTF8_STRING      0x0cu
#define PRINTABLE_STRING 0x13u
#define CONSTRUCTED      0x20u

/* AlgorithmIdentifier ::= SEQUENCE {
 *     algorithm   OBJECT IDENTIFIER,
 *     parameters  ANY DEFINED BY algorithm OPTIONAL } */
bool x509_get_algorithm(struct slice *in, struct x509_algorithm *out)
{
    struct slice rest = *in, seq, content;
    uint8_t tag;
    if (!der_get(&rest, DER_SEQUENCE, &seq) || !der_get_oid(&seq, &out->oid)) {
        return false;
    }
    out->params = seq;
    if (!der_end(seq) && (!der_any(&seq, &tag, &content) || !der_end(seq))) {
        return false;
    }
    *in = rest;
    return true;
}

/* SIGNED ::= SEQUENCE {
 *     toBeSigned          SEQUENCE,
 *     signatureAlgorithm  AlgorithmIdentifier,
 *     signature           BIT STRING }           of which the content is read here */
bool x509_get_signed(struct slice *in, struct x509_signed *out)
{
    struct slice rest = *in;
    if (!der_whole(&rest, DER_SEQUENCE, &out->bytes) ||
        !x509_get_algorithm(&rest, &out->algorithm) || !der_get_bits(&rest, &out->signature)) {
        return false;
    }
    *in = rest;
    return true;
}

/* Extension ::= SEQUENCE {
 *     extnID     OBJECT IDENTIFIER,
 *     critical   BOOLEAN DEFAULT FALSE,
 *     extnValue  OCTET STRING } */
bool x509_next_extension(struct slice *run, struct x509_extension *out)
{
    struct slice rest = *run, seq;
    out->critical = false;
    if (!der_get(&rest, DER_SEQUENCE, &seq) || !der_get_oid(&seq, &out->oid)) {
        return false;
    }
    if (der_next_is(seq, DER_BOOLEAN) && !der_get_boolean(&seq, &out->critical)) {
        return false;
    }
    if (!der_get(&seq, DER_OCTET_STRING, &out->value) || !der_end(seq)) {
        return false;
    }
    *run = rest;
    return true;
}

/* Extensions ::= SEQUENCE SIZE (1..MAX) OF Extension */
bool x509_get_extensions(struct slice *in, uint8_t n, struct slice *out)
{
    struct slice rest = *in, run;
    struct x509_extension extension;
    *out = (struct slice){NULL, 0};
    if (!der_next_is(rest, (uint8_t)DER_CONTEXT_CONSTRUCTED(n))) {
        return true;
    }
    if (!der_get_explicit(&rest, n, DER_SEQUENCE, out) || der_end(*out)) {
        return false;
    }
    run = *out;
    while (x509_next_extension(&run, &extension)) {
    }
    if (!der_end(run)) {
        return false;
    }
    *in = rest;
    return true;
}

/* Time ::= CHOICE { utcTime UTCTime, generalTime GeneralizedTime } */
static bool get_time(struct slice *in, int64_t *out_s)
{
    return der_get_utc_time(in, out_s) || der_get_generalized_time(in, out_s);
}

/* Validity ::= SEQUENCE { notBefore Time, notAfter Time } */
static bool get_validity(struct slice *in, struct x509_cert *out)
{
    struct slice seq;
    return der_get(in, DER_SEQUENCE, &seq) && get_time(&seq, &out->not_before_s) &&
           get_time(&seq, &out->not_after_s) && der_end(seq);
}

/* SubjectPublicKeyInfo ::= SEQUENCE {
 *     algorithm         AlgorithmIdentifier,
 *     subjectPublicKey  BIT STRING } */
static bool get_public_key(struct slice *in, struct x509_cert *out)
{
    struct slice whole, seq;
    struct x509_algorithm algorithm;
    if (!der_whole(in, DER_SEQUENCE, &out->public_key_info)) {
        return false;
    }
    whole = out->public_key_info;
    return der_get(&whole, DER_SEQUENCE, &seq) && x509_get_algorithm(&seq, &algorithm) &&
           der_get_bits(&seq, &out->key_bits) && der_end(seq);
}

/* [n] IMPLICIT UniqueIdentifier OPTIONAL, a BIT STRING */
static void skip_unique_id(struct slice *in, uint8_t n)
{
    struct slice ignored;
    der_get(in, (uint8_t)DER_CONTEXT(n), &ignored);
}

/* TBSCertificate ::= SEQUENCE {
 *     version               [0] EXPLICIT Version DEFAULT v1,
 *     serialNumber          CertificateSerialNumber,
 *     signature             AlgorithmIdentifier,
 *     issuer                Name,
 *     validity              Validity,
 *     subject               Name,
 *     subjectPublicKeyInfo  SubjectPublicKeyInfo,
 *     issuerUniqueID        [1] IMPLICIT UniqueIdentifier OPTIONAL,
 *     subjectUniqueID       [2] IMPLICIT UniqueIdentifier OPTIONAL,
 *     extensions            [3] EXPLICIT Extensions OPTIONAL } */
static bool read_tbs(struct slice in, struct x509_cert *out)
{
    struct slice seq, version;
    struct x509_algorithm inner;
    if (!der_get(&in, DER_SEQUENCE, &seq)) {
        return false;
    }
    if (der_next_is(seq, DER_CONTEXT_CONSTRUCTED(0)) &&
        !der_get_explicit(&seq, 0, DER_INTEGER, &version)) {
        return false;
    }
    if (!der_get_integer(&seq, &out->serial) || !x509_get_algorithm(&seq, &inner) ||
        !der_whole(&seq, DER_SEQUENCE, &out->issuer) || !get_validity(&seq, out) ||
        !der_whole(&seq, DER_SEQUENCE, &out->subject) || !get_public_key(&seq, out)) {
        return false;
    }
    skip_unique_id(&seq, 1);
    skip_unique_id(&seq, 2);
    return x509_get_extensions(&seq, 3, &out->extensions) && der_end(seq) &&
           slice_equal(inner.oid, out->sealed.algorithm.oid) &&
           slice_equal(inner.params, out->sealed.algorithm.params);
}

bool x509_parse_cert(struct slice der, struct x509_cert *out)
{
    struct slice in = der, seq;
    out->whole = der;
    return der_get(&in, DER_SEQUENCE, &seq) && der_end(in) && x509_get_signed(&seq, &out->sealed) &&
           der_end(seq) && read_tbs(out->sealed.bytes, out);
}

struct slice x509_find_extension(const struct x509_cert *cert, struct slice oid)
{
    struct slice run = cert->extensions;
    struct x509_extension extension;
    while (x509_next_extension(&run, &extension)) {
        if (slice_equal(extension.oid, oid)) {
            return extension.value;
        }
    }
    return (struct slice){NULL, 0};
}

static bool is_text(uint8_t kind)
{
    return kind == UTF8_STRING || kind == PRINTABLE_STRING;
}

/* Name ::= SEQUENCE OF SET OF SEQUENCE { type OBJECT IDENTIFIER, value ANY }
 * Both are walked through at once, into what is nested. */
bool x509_is_same_name(struct slice a, struct slice b)
{
    struct slice in_a, in_b;
    uint8_t kind_a, kind_b;
    while (!slice_equal(a, b)) {
        if (!der_any(&a, &kind_a, &in_a) || !der_any(&b, &kind_b, &in_b) || in_a.len != in_b.len ||
            (kind_a != kind_b && !(is_text(kind_a) && is_text(kind_b)))) {
            return false;
        }
        if ((kind_a & CONSTRUCTED) != 0) {
            a = slice_make(in_a.ptr, in_a.len + a.len);
            b = slice_make(in_b.ptr, in_b.len + b.len);
        } else if (!slice_equal(in_a, in_b)) {
            return false;
        }
    }
    return true;
}

/* id-pe-tlsfeature.  Features ::= SEQUENCE OF INTEGER   (RFC 7633 4.1, 6) */
bool x509_has_tls_feature(const struct x509_cert *cert, uint64_t extension)
{
    struct slice value =
        x509_find_extension(cert, SLICE_LITERAL("\x2b\x06\x01\x05\x05\x07\x01\x18"));
    struct slice seq;
    uint64_t feature;
    if (!der_get(&value, DER_SEQUENCE, &seq)) {
        return false;
    }
    while (der_get_u64(&seq, 65535, &feature)) {
        if (feature == extension) {
            return true;
        }
    }
    return false;
}

/* RSAPublicKey ::= SEQUENCE { modulus INTEGER, publicExponent INTEGER }   (RFC 8017 A.1.1) */
bool x509_has_short_exponent(struct slice public_key_info)
{
    struct x509_cert key;
    struct slice seq, modulus;
    uint64_t exponent;
    return get_public_key(&public_key_info, &key) && der_get(&key.key_bits, DER_SEQUENCE, &seq) &&
           der_get_integer(&seq, &modulus) && der_get_u64(&seq, UINT64_MAX, &exponent);
}

/* "host.example" is itself and all below it; ".host.example", against the letter, all below. */
static bool is_below(struct slice host, struct slice base)
{
    struct slice end = host;
    if (base.len > host.len) {
        return false;
    }
    slice_skip(&end, host.len - base.len);
    return text_equal_nocase(end, base) &&
           (base.len == 0 || base.len == host.len || base.ptr[0] == '.' || end.ptr[-1] == '.');
}

/* GeneralSubtrees ::= SEQUENCE SIZE (1..MAX) OF GeneralSubtree
 * GeneralSubtree ::= SEQUENCE {
 *     base     GeneralName,                  of which dNSName is [2] IA5String
 *     minimum  [0] BaseDistance DEFAULT 0,
 *     maximum  [1] BaseDistance OPTIONAL }   neither is used (RFC 5280 4.2.1.10) */
static bool look_for(struct slice run, struct slice host, bool *out_has_names, bool *out_is_below)
{
    struct slice subtree, base;
    uint8_t kind;
    *out_has_names = *out_is_below = false;
    while (der_get(&run, DER_SEQUENCE, &subtree)) {
        if (!der_any(&subtree, &kind, &base)) {
            return false;
        }
        if (kind == DER_CONTEXT(2)) {
            *out_has_names = true;
            *out_is_below = *out_is_below || is_below(host, base);
        }
    }
    return der_end(run);
}

/* NameConstraints ::= SEQUENCE {
 *     permittedSubtrees  [0] IMPLICIT GeneralSubtrees OPTIONAL,
 *     excludedSubtrees   [1] IMPLICIT GeneralSubtrees OPTIONAL } */
bool x509_may_vouch_for(const struct x509_cert *authority, struct slice host)
{
    struct slice value = x509_find_extension(authority, X509_OID_NAME_CONSTRAINTS), seq, run;
    bool has_names, covers;
    if (value.ptr == NULL) {
        return true;
    }
    if (slice_is_empty(host) || !der_get(&value, DER_SEQUENCE, &seq) || !der_end(value) ||
        (der_get(&seq, DER_CONTEXT_CONSTRUCTED(0), &run) &&
         (!look_for(run, host, &has_names, &covers) || (has_names && !covers)))) {
        return false;
    }
    if (der_get(&seq, DER_CONTEXT_CONSTRUCTED(1), &run) &&
        (!look_for(run, host, &has_names, &covers) || covers)) {
        return false;
    }
    return der_end(seq);
}

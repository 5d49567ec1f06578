/* RFC 6960 4.2.1. The module has explicit tags; the grammar stands above the function that reads
 * it. A version v1 that is written out, though
 * it is the DEFAULT, is let pass. */
#include "ocsp_response.h"

#include "der.h"
#include "der_write.h"

/* 1.3.6.1.5.5.7.48.1.1 */
static const uint8_t id_pkix_ocsp_basic[] = {0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x01};

/* CertID ::= SEQUENCE {
 *     hashAlgorithm   AlgorithmIdentifier,
 *     issuerNameHash  OCTET STRING,
 *     issuerKeyHash   OCTET STRING,
 *     serialNumber    CertificateSerialNumber } */
static bool get_cert_id(struct slice *in, struct ocsp_single *out)
{
    struct slice seq;
    return der_get(in, DER_SEQUENCE, &seq) && x509_get_algorithm(&seq, &out->hash) &&
           der_get(&seq, DER_OCTET_STRING, &out->issuer_name_hash) &&
           der_get(&seq, DER_OCTET_STRING, &out->issuer_key_hash) &&
           der_get_integer(&seq, &out->serial) && der_end(seq);
}

/* RevokedInfo ::= SEQUENCE {
 *     revocationTime    GeneralizedTime,
 *     revocationReason  [0] EXPLICIT CRLReason OPTIONAL }
 * CRLReason ::= ENUMERATED, 0 to 10 without 7 (RFC 5280 5.3.1) */
static bool read_revoked_info(struct slice in, struct ocsp_single *out)
{
    struct slice tagged;
    uint8_t reason;
    if (!der_get_generalized_time(&in, &out->revocation_s)) {
        return false;
    }
    if (der_end(in)) {
        return true;
    }
    if (!der_get(&in, DER_CONTEXT_CONSTRUCTED(0), &tagged) || !der_end(in) ||
        !der_get_enumerated(&tagged, &reason) || !der_end(tagged) || reason > 10 || reason == 7) {
        return false;
    }
    out->revocation_reason = reason;
    return true;
}

/* CertStatus ::= CHOICE {
 *     good     [0] IMPLICIT NULL,
 *     revoked  [1] IMPLICIT RevokedInfo,
 *     unknown  [2] IMPLICIT UnknownInfo }    UnknownInfo ::= NULL */
static bool get_cert_status(struct slice *in, struct ocsp_single *out)
{
    struct slice content;
    uint8_t tag;
    out->revocation_s = 0;
    out->revocation_reason = -1;
    if (!der_any(in, &tag, &content)) {
        return false;
    }
    switch (tag) {
    case DER_CONTEXT(0):
        out->status = OCSP_CERT_GOOD;
        return der_end(content);
    case DER_CONTEXT_CONSTRUCTED(1):
        out->status = OCSP_CERT_REVOKED;
        return read_revoked_info(content, out);
    case DER_CONTEXT(2):
        out->status = OCSP_CERT_UNKNOWN;
        return der_end(content);
    default:
        return false;
    }
}

/* SingleResponse ::= SEQUENCE {
 *     certID            CertID,
 *     certStatus        CertStatus,
 *     thisUpdate        GeneralizedTime,
 *     nextUpdate        [0] EXPLICIT GeneralizedTime OPTIONAL,
 *     singleExtensions  [1] EXPLICIT Extensions OPTIONAL } */
bool ocsp_single_next(struct slice *run, struct ocsp_single *out)
{
    struct slice rest = *run, seq, tagged;
    if (!der_get(&rest, DER_SEQUENCE, &seq) || !get_cert_id(&seq, out) ||
        !get_cert_status(&seq, out) || !der_get_generalized_time(&seq, &out->this_update_s)) {
        return false;
    }
    out->next_update_s = 0;
    out->has_next_update = der_get(&seq, DER_CONTEXT_CONSTRUCTED(0), &tagged);
    if (out->has_next_update &&
        (!der_get_generalized_time(&tagged, &out->next_update_s) || !der_end(tagged))) {
        return false;
    }
    if (!x509_get_extensions(&seq, 1, &out->extensions) || !der_end(seq)) {
        return false;
    }
    *run = rest;
    return true;
}

/* ResponderID ::= CHOICE {
 *     byName  [1] EXPLICIT Name,
 *     byKey   [2] EXPLICIT KeyHash }         KeyHash ::= OCTET STRING */
static bool get_responder_id(struct slice *in, struct ocsp_response *out)
{
    struct slice tagged;
    if (der_get_explicit(in, 2, DER_OCTET_STRING, &out->by_key)) {
        return out->by_key.len != 0;
    }
    return der_get(in, DER_CONTEXT_CONSTRUCTED(1), &tagged) &&
           der_whole(&tagged, DER_SEQUENCE, &out->by_name) && der_end(tagged);
}

/* ResponseData ::= SEQUENCE {
 *     version             [0] EXPLICIT Version DEFAULT v1,
 *     responderID         ResponderID,
 *     producedAt          GeneralizedTime,
 *     responses           SEQUENCE OF SingleResponse,
 *     responseExtensions  [1] EXPLICIT Extensions OPTIONAL } */
static bool read_response_data(struct slice in, struct ocsp_response *out)
{
    struct slice tagged, run;
    struct ocsp_single single;
    if (der_next_is(in, DER_CONTEXT_CONSTRUCTED(0))) {
        if (!der_get(&in, DER_CONTEXT_CONSTRUCTED(0), &tagged) ||
            !der_get_u64(&tagged, UINT64_MAX, &out->version) || !der_end(tagged)) {
            return false;
        }
    }
    if (out->version != 0) {
        return true;
    }
    if (!get_responder_id(&in, out) || !der_get_generalized_time(&in, &out->produced_at_s) ||
        !der_get(&in, DER_SEQUENCE, &out->singles) ||
        !x509_get_extensions(&in, 1, &out->extensions) || !der_end(in)) {
        return false;
    }
    run = out->singles;
    while (ocsp_single_next(&run, &single)) {
    }
    return der_end(run);
}

bool ocsp_cert_next(struct slice *run, struct slice *out_der)
{
    return der_whole(run, DER_SEQUENCE, out_der);
}

/* BasicOCSPResponse ::= SEQUENCE {
 *     tbsResponseData     ResponseData,
 *     signatureAlgorithm  AlgorithmIdentifier,
 *     signature           BIT STRING,
 *     certs               [0] EXPLICIT SEQUENCE OF Certificate OPTIONAL } */
static bool read_basic(struct slice in, struct ocsp_response *out)
{
    struct slice seq, whole, data = {NULL, 0}, run, cert;
    if (!der_get(&in, DER_SEQUENCE, &seq) || !der_end(in) || !x509_get_signed(&seq, &out->sealed)) {
        return false;
    }
    if (!der_end(seq) && (!der_get_explicit(&seq, 0, DER_SEQUENCE, &out->certs) || !der_end(seq))) {
        return false;
    }
    run = out->certs;
    while (ocsp_cert_next(&run, &cert)) {
    }
    whole = out->sealed.bytes;
    (void)der_get(&whole, DER_SEQUENCE, &data); /* x509_get_signed found a SEQUENCE there */
    return der_end(run) && read_response_data(data, out);
}

/* ResponseBytes ::= SEQUENCE {
 *     responseType  OBJECT IDENTIFIER,
 *     response      OCTET STRING } */
static bool read_response_bytes(struct slice in, struct ocsp_response *out)
{
    struct slice type, response;
    if (!der_get_oid(&in, &type) || !der_get(&in, DER_OCTET_STRING, &response) || !der_end(in)) {
        return false;
    }
    out->is_basic = slice_equal(type, slice_make(id_pkix_ocsp_basic, sizeof id_pkix_ocsp_basic));
    return !out->is_basic || read_basic(response, out);
}

/* OCSPResponse ::= SEQUENCE {
 *     responseStatus  ENUMERATED,
 *     responseBytes   [0] EXPLICIT ResponseBytes OPTIONAL }
 * An error has no responseBytes (RFC 6960 4.2.1), and a success is nothing without them. */
bool ocsp_response_parse(struct slice bytes, struct ocsp_response *out)
{
    struct slice seq, inside;
    uint8_t status;
    memset(out, 0, sizeof *out);
    if (!der_get(&bytes, DER_SEQUENCE, &seq) || !der_end(bytes) ||
        !der_get_enumerated(&seq, &status)) {
        return false;
    }
    if (status > OCSP_STATUS_UNAUTHORIZED || status == 4) {
        return false;
    }
    out->status = (enum ocsp_response_status)status;
    if (status != OCSP_STATUS_SUCCESSFUL) {
        return der_end(seq);
    }
    return der_get_explicit(&seq, 0, DER_SEQUENCE, &inside) && der_end(seq) &&
           read_response_bytes(inside, out);
}

/* Written from the end to the begin, each part goes to where nothing that is still needed stands:
 * no part grows. */
struct slice ocsp_response_trim(struct slice bytes, size_t signer, struct slice issuer)
{
    struct der_writer w = der_writer_make((void *)(uintptr_t)bytes.ptr, bytes.len);
    struct ocsp_response r;
    struct slice kept[2], cert;
    size_t num_kept = 0;
    if (!ocsp_response_parse(bytes, &r) || !r.is_basic) {
        return bytes;
    }
    for (size_t i = 1; num_kept < 2 && ocsp_cert_next(&r.certs, &cert); i++) {
        if (i == signer || slice_equal(cert, issuer)) {
            kept[num_kept++] = cert;
            issuer.len = i == signer ? issuer.len : 0; /* once is enough */
        }
    }
    while (num_kept != 0) {
        der_write_bytes(&w, kept[--num_kept]);
    }
    if (w.len != 0) {
        der_write_close(&w, DER_SEQUENCE, 0);
        der_write_close(&w, DER_CONTEXT_CONSTRUCTED(0), 0);
    }
    const uint8_t *signed_end = r.sealed.signature.ptr + r.sealed.signature.len;
    der_write_bytes(&w, slice_make(r.sealed.bytes.ptr, (size_t)(signed_end - r.sealed.bytes.ptr)));
    der_write_close(&w, DER_SEQUENCE, 0);
    der_write_close(&w, DER_OCTET_STRING, 0);
    der_write_element(&w, DER_OID, slice_make(id_pkix_ocsp_basic, sizeof id_pkix_ocsp_basic));
    der_write_close(&w, DER_SEQUENCE, 0);
    der_write_close(&w, DER_CONTEXT_CONSTRUCTED(0), 0);
    der_write_bytes(&w, SLICE_LITERAL("\x0a\x01\x00")); /* successful */
    der_write_close(&w, DER_SEQUENCE, 0);
    return der_written(&w);
}

/* OCSPRequest: see ocsp_request.h. */
#include "ocsp_request.h"

#include "base64.h"
#include "der.h"
#include "der_write.h"
#include "x509.h"

#define OID_SHA1  SLICE_LITERAL("\x2b\x0e\x03\x02\x1a")
#define OID_NONCE SLICE_LITERAL("\x2b\x06\x01\x05\x05\x07\x30\x01\x02")

/* CertID ::= SEQUENCE {
 *     hashAlgorithm   AlgorithmIdentifier,
 *     issuerNameHash  OCTET STRING,
 *     issuerKeyHash   OCTET STRING,
 *     serialNumber    CertificateSerialNumber } */
static void write_certid(struct der_writer *w, const struct ocsp_certid *id)
{
    size_t mark = w->len;
    der_write_element(w, DER_INTEGER, slice_make(id->serial, id->serial_len));
    der_write_element(w, DER_OCTET_STRING, slice_make(id->key_hash, OCSP_HASH_LEN));
    der_write_element(w, DER_OCTET_STRING, slice_make(id->name_hash, OCSP_HASH_LEN));
    size_t algorithm = w->len;
    der_write_element(w, DER_NULL, slice_make(NULL, 0));
    der_write_element(w, DER_OID, OID_SHA1);
    der_write_close(w, DER_SEQUENCE, algorithm);
    der_write_close(w, DER_SEQUENCE, mark);
}

/* requestExtensions [2] EXPLICIT Extensions OPTIONAL, of which one:
 *     Nonce ::= OCTET STRING (SIZE (1..128))  in its extnValue */
static void write_nonce(struct der_writer *w, struct slice nonce)
{
    size_t mark = w->len;
    der_write_element(w, DER_OCTET_STRING, nonce);
    der_write_close(w, DER_OCTET_STRING, mark);
    der_write_element(w, DER_OID, OID_NONCE);
    der_write_close(w, DER_SEQUENCE, mark);
    der_write_close(w, DER_SEQUENCE, mark);
    der_write_close(w, DER_CONTEXT_CONSTRUCTED(2), mark);
}

/* OCSPRequest ::= SEQUENCE { tbsRequest, optionalSignature [0] OPTIONAL }
 * TBSRequest ::= SEQUENCE {
 *     version            [0] EXPLICIT Version DEFAULT v1,
 *     requestorName      [1] EXPLICIT GeneralName OPTIONAL,
 *     requestList        SEQUENCE OF Request,
 *     requestExtensions  [2] EXPLICIT Extensions OPTIONAL }
 * Request ::= SEQUENCE { reqCert CertID, singleRequestExtensions [0] OPTIONAL } */
bool ocsp_request_write(uint8_t *memory, size_t cap, const struct ocsp_certid *id,
                        struct slice nonce, struct slice *out)
{
    struct der_writer w = der_writer_make(memory, cap);
    if (id->serial_len == 0 || id->serial_len > OCSP_SERIAL_MAX) {
        return false;
    }
    if (!slice_is_empty(nonce)) {
        write_nonce(&w, nonce);
    }
    size_t list = w.len;
    write_certid(&w, id);
    der_write_close(&w, DER_SEQUENCE, list); /* Request */
    der_write_close(&w, DER_SEQUENCE, list); /* requestList */
    der_write_close(&w, DER_SEQUENCE, 0);
    der_write_close(&w, DER_SEQUENCE, 0);
    *out = der_written(&w);
    return !w.overflow;
}

/* What a path may not hold becomes %XX. */
static void put_digit(struct buf *b, uint8_t digit)
{
    if (digit == '+' || digit == '/' || digit == '=') {
        buf_put_string(b, digit == '+' ? "%2B" : digit == '/' ? "%2F" : "%3D");
    } else {
        buf_put_u8(b, digit);
    }
}

bool ocsp_request_put_path(struct buf *b, struct slice path, struct slice request)
{
    uint8_t memory[BASE64_LEN(OCSP_REQUEST_CAP)];
    struct buf whole = *b, text = buf_make(memory, sizeof memory);
    buf_put(&whole, path);
    if (slice_is_empty(path) || path.ptr[path.len - 1] != '/') {
        buf_put_u8(&whole, '/');
    }
    whole.overflow |= !base64_put(&text, request);
    for (size_t i = 0; i < text.len; i++) {
        put_digit(&whole, memory[i]);
    }
    if (whole.overflow) {
        b->overflow = true;
        return false;
    }
    *b = whole;
    return true;
}

enum ocsp_nonce ocsp_request_find_nonce(struct slice extensions, struct slice nonce)
{
    struct x509_extension extension;
    while (x509_next_extension(&extensions, &extension)) {
        struct slice value = extension.value, found;
        if (!slice_equal(extension.oid, OID_NONCE)) {
            continue;
        }
        return der_get(&value, DER_OCTET_STRING, &found) && der_end(value) &&
                       slice_equal(found, nonce)
                   ? OCSP_NONCE_SAME
                   : OCSP_NONCE_OTHER;
    }
    return OCSP_NONCE_ABSENT;
}

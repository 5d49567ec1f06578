/* What a certificate is called in OCSP: see ocsp_certid.h. */
#include "ocsp_certid.h"

#include "der.h"
#include "text.h"

#include <mbedtls/md.h>

#define OID_INFO_ACCESS SLICE_LITERAL("\x2b\x06\x01\x05\x05\x07\x01\x01")
#define OID_OCSP        SLICE_LITERAL("\x2b\x06\x01\x05\x05\x07\x30\x01")

static bool put_hash(uint8_t *out, enum ocsp_certid_hash hash, struct slice bytes)
{
    const mbedtls_md_info_t *info =
        mbedtls_md_info_from_type(hash == OCSP_CERTID_SHA1 ? MBEDTLS_MD_SHA1 : MBEDTLS_MD_SHA256);
    return mbedtls_md(info, bytes.ptr, bytes.len, out) == 0;
}

bool ocsp_certid_make(struct ocsp_certid *out, enum ocsp_certid_hash hash,
                      const struct x509_cert *issuer, struct slice serial)
{
    *out = (struct ocsp_certid){.hash = hash};
    if (serial.len == 0 || serial.len > OCSP_SERIAL_MAX ||
        !put_hash(out->name_hash, hash, issuer->subject) ||
        !put_hash(out->key_hash, hash, issuer->key_bits)) {
        return false;
    }
    memcpy(out->serial, serial.ptr, serial.len);
    out->serial_len = serial.len;
    return true;
}

static bool begins_with(struct slice text, struct slice prefix)
{
    struct slice front;
    return slice_take(&text, prefix.len, &front) && text_equal_nocase(front, prefix);
}

/* AccessDescription ::= SEQUENCE { accessMethod OBJECT IDENTIFIER, accessLocation GeneralName }
 * GeneralName: uniformResourceIdentifier [6] IA5String */
bool ocsp_certid_find_url(const struct x509_cert *cert, struct slice *out)
{
    struct slice value = x509_find_extension(cert, OID_INFO_ACCESS), list, item, method, place;
    uint8_t kind;
    bool found = false;
    if (!der_get(&value, DER_SEQUENCE, &list) || !der_end(value)) {
        return false;
    }
    while (der_get(&list, DER_SEQUENCE, &item)) {
        if (!der_get_oid(&item, &method) || !der_any(&item, &kind, &place) || !der_end(item)) {
            return false;
        }
        if (!slice_equal(method, OID_OCSP) || kind != DER_CONTEXT(6)) {
            continue;
        }
        if (begins_with(place, SLICE_LITERAL("http://"))) {
            *out = place;
            return true;
        }
        if (!found && begins_with(place, SLICE_LITERAL("https://"))) {
            *out = place;
            found = true;
        }
    }
    return found;
}

/* What a certificate is called in OCSP: see ocsp_certid.h. */
#include "ocsp_certid.h"

#include "der.h"
#include "url.h"

#include <mbedtls/md.h>

#define OID_INFO_ACCESS SLICE_LITERAL("\x2b\x06\x01\x05\x05\x07\x01\x01")
#define OID_OCSP        SLICE_LITERAL("\x2b\x06\x01\x05\x05\x07\x30\x01")
#define MAX_URLS        4

static bool put_hash(uint8_t *out, struct slice bytes)
{
    return mbedtls_md(mbedtls_md_info_from_type(MBEDTLS_MD_SHA1), bytes.ptr, bytes.len, out) == 0;
}

bool ocsp_certid_make(struct ocsp_certid *out, const struct x509_cert *issuer,
                      const struct x509_cert *cert)
{
    struct slice serial = cert->serial;
    *out = (struct ocsp_certid){.serial_len = 0};
    if (serial.len == 0 || serial.len > OCSP_SERIAL_MAX ||
        !put_hash(out->name_hash, cert->issuer) || !put_hash(out->key_hash, issuer->key_bits)) {
        return false;
    }
    memcpy(out->serial, serial.ptr, serial.len);
    out->serial_len = serial.len;
    return true;
}

/* AccessDescription ::= SEQUENCE { accessMethod OBJECT IDENTIFIER, accessLocation GeneralName }
 * GeneralName: uniformResourceIdentifier [6] IA5String */
size_t ocsp_certid_find_url(const struct x509_cert *cert, uint32_t turn, struct slice *out)
{
    struct slice value = x509_find_extension(cert, OID_INFO_ACCESS), list, item, method, place;
    struct slice found[MAX_URLS], other = {NULL, 0};
    struct url url;
    uint8_t kind;
    size_t num = 0;
    if (!der_get(&value, DER_SEQUENCE, &list) || !der_end(value)) {
        return 0;
    }
    while (der_get(&list, DER_SEQUENCE, &item)) {
        if (!der_get_oid(&item, &method) || !der_any(&item, &kind, &place) || !der_end(item)) {
            return 0;
        }
        if (!slice_equal(method, OID_OCSP) || kind != DER_CONTEXT(6)) {
            continue;
        }
        enum url_error e = url_parse(place, &url);
        if (e == URL_OK && num < MAX_URLS) {
            found[num++] = place;
        } else if (e != URL_NOT_HTTP) {
            other = place;
        }
    }
    *out = num != 0 ? found[turn % num] : other;
    return num != 0 ? num : other.len != 0;
}

/* The grammar of responses, and of the certificates in them. */
#include "ocsp_response.h"

#include "fuzz.h"

static const uint8_t *begin;
static size_t num;

static void look_at_extensions(struct slice run)
{
    struct x509_extension e;
    fuzz_inside(run, begin, num);
    while (x509_next_extension(&run, &e)) {
        fuzz_inside(e.oid, begin, num);
        fuzz_inside(e.value, begin, num);
    }
    MUST(slice_is_empty(run));
}

static void look_at_cert(struct slice der)
{
    struct x509_cert cert;
    fuzz_inside(der, begin, num);
    if (!x509_parse_cert(der, &cert)) {
        return;
    }
    const struct slice views[] = {cert.serial,          cert.issuer,   cert.subject,
                                  cert.public_key_info, cert.key_bits, cert.sealed.bytes,
                                  cert.sealed.signature};
    for (size_t i = 0; i < sizeof views / sizeof views[0]; i++) {
        fuzz_inside(views[i], der.ptr, der.len);
    }
    MUST(slice_equal(cert.whole, der));
    look_at_extensions(cert.extensions);
    (void)x509_has_tls_feature(&cert, 5);
}

static void look_at_singles(struct slice run)
{
    struct ocsp_single s;
    while (ocsp_single_next(&run, &s)) {
        fuzz_inside(s.issuer_name_hash, begin, num);
        fuzz_inside(s.issuer_key_hash, begin, num);
        fuzz_inside(s.serial, begin, num);
        MUST(s.serial.len > 0);
        MUST(s.status == OCSP_CERT_REVOKED || s.revocation_reason == -1);
        MUST(s.revocation_reason >= -1 && s.revocation_reason <= 10 && s.revocation_reason != 7);
        MUST(s.has_next_update || s.next_update_s == 0);
        look_at_extensions(s.extensions);
    }
    MUST(slice_is_empty(run));
}

/* What is right has no right part, and nothing may stand behind it. */
static void look_at_others(struct slice in)
{
    struct ocsp_response r;
    for (size_t cut = 1; cut <= in.len && cut <= 8; cut++) {
        MUST(!ocsp_response_parse(slice_make(in.ptr, in.len - cut), &r));
    }
    uint8_t *longer = malloc(in.len + 1);
    memcpy(longer, in.ptr, in.len);
    longer[in.len] = 0;
    MUST(!ocsp_response_parse(slice_make(longer, in.len + 1), &r));
    free(longer);
}

/* With whichever two of its certificates it is kept, it is the same otherwise. */
static void look_at_trimmed(struct slice in, const struct ocsp_response *r)
{
    uint8_t *copy = malloc(in.len);
    for (size_t i = 0; i < 12; i++) {
        struct ocsp_response t;
        struct slice run = r->certs, issuer = {NULL, 0};
        for (size_t k = 0; k < i / 4 && ocsp_cert_next(&run, &issuer); k++) {
        }
        memcpy(copy, in.ptr, in.len);
        struct slice out = ocsp_response_trim(slice_make(copy, in.len), i % 4, issuer);
        fuzz_inside(out, copy, in.len);
        MUST(ocsp_response_parse(out, &t) && t.certs.len <= r->certs.len);
        MUST(slice_equal(t.sealed.bytes, r->sealed.bytes));
        MUST(slice_equal(t.sealed.signature, r->sealed.signature));
        MUST(slice_is_empty(issuer) || !slice_is_empty(t.certs));
        while (ocsp_cert_next(&t.certs, &run)) {
        }
        MUST(slice_is_empty(t.certs));
    }
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct ocsp_response r;
    struct slice in = slice_make(data, len), cert;
    begin = data;
    num = len;
    look_at_cert(in);
    if (!ocsp_response_parse(in, &r)) {
        return 0;
    }
    MUST(r.status == OCSP_STATUS_SUCCESSFUL || !r.is_basic);
    if (r.is_basic && r.version == 0) {
        MUST(r.by_key.len != 0 || r.by_name.len != 0);
        fuzz_inside(r.sealed.bytes, data, len);
        fuzz_inside(r.sealed.signature, data, len);
        look_at_singles(r.singles);
        look_at_extensions(r.extensions);
        look_at_trimmed(in, &r);
        while (ocsp_cert_next(&r.certs, &cert)) {
            look_at_cert(cert);
        }
        MUST(slice_is_empty(r.certs));
    }
    look_at_others(in);
    return 0;
}

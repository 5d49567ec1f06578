/* Whom TLS believes: see tls_trust.h. */
#include "tls_trust.h"

#include "der.h"
#include "ocsp_check_signature.h"
#include "text.h"
#include "tls_pem.h"
#include "tls_trust_inside.h"

#include <mbedtls/oid.h>
#include <mbedtls/x509_crl.h>
#include <mbedtls/x509_crt.h>

/* The time of a handshake is that of its begin, and the clock is read ten times a second: what was
 * issued just now may be ahead of it. */
#define LAG_S 1

struct tls_trust {
    uint32_t num_refs;
    bool has_crls;
    mbedtls_x509_crt certs;
    mbedtls_x509_crl crls; /* the first of a list */
};

struct tls_trust *tls_trust_new(struct tls_env *env, struct slice bytes, size_t *out_num_bad)
{
    struct tls_pem found = {0, 0};
    struct tls_trust *trust = heap_alloc(env->heap, 1, sizeof *trust);
    *out_num_bad = 0;
    if (trust == NULL) {
        return NULL;
    }
    trust->num_refs = 1;
    mbedtls_x509_crt_init(&trust->certs);
    mbedtls_x509_crl_init(&trust->crls);
    if (!tls_pem_each(env->heap, bytes, SLICE_LITERAL("CERTIFICATE"), tls_pem_certificate,
                      &trust->certs, &found) ||
        found.num == 0) {
        tls_trust_drop(env, trust);
        return NULL;
    }
    *out_num_bad = found.num_bad;
    return trust;
}

struct tls_trust *tls_trust_keep(struct tls_trust *trust)
{
    if (trust != NULL) {
        trust->num_refs++;
    }
    return trust;
}

void tls_trust_drop(struct tls_env *env, struct tls_trust *trust)
{
    if (trust != NULL && --trust->num_refs == 0) {
        mbedtls_x509_crt_free(&trust->certs);
        mbedtls_x509_crl_free(&trust->crls);
        heap_free(env->heap, trust);
    }
}

static int64_t unix_s(const mbedtls_x509_time *t)
{
    int64_t days;
    if (!text_days_of_date(t->year, (uint32_t)t->mon, (uint32_t)t->day, &days)) {
        return INT64_MAX; /* neither begun nor ended */
    }
    return ((days * 24 + t->hour) * 60 + t->min) * 60 + t->sec;
}

static int parse_list(void *ctx, struct slice der)
{
    return mbedtls_x509_crl_parse_der(ctx, der.ptr, der.len);
}

bool tls_trust_add_crls(struct tls_env *env, struct tls_trust *trust, struct slice bytes)
{
    struct tls_pem found = {0, 0};
    if (!tls_pem_each(env->heap, bytes, SLICE_LITERAL("X509 CRL"), parse_list, &trust->crls,
                      &found)) {
        return false;
    }
    trust->has_crls = true;
    return found.num != 0 && found.num_bad == 0;
}

static bool same(const mbedtls_x509_buf *a, const mbedtls_x509_buf *b)
{
    return a->len == b->len && memcmp(a->p, b->p, a->len) == 0;
}

static bool is_same_name(const mbedtls_x509_buf *a, const mbedtls_x509_buf *b)
{
    return x509_is_same_name(slice_make(a->p, a->len), slice_make(b->p, b->len));
}

static bool is_anchor(const struct tls_trust *trust, const mbedtls_x509_crt *cert)
{
    for (const mbedtls_x509_crt *at = &trust->certs; at != NULL; at = at->next) {
        if (same(&at->raw, &cert->raw)) {
            return true;
        }
    }
    return false;
}

static bool is_in_date(const mbedtls_x509_crt *cert, const struct tls_time *now)
{
    return (!now->wall_set || now->wall_s >= unix_s(&cert->valid_from)) &&
           now->wall_s <= unix_s(&cert->valid_to);
}

/* The library takes the first authority that has signed, in date or not, as it has no clock. One
 * that was renewed with its key may stand beside it, and stands for it. */
const mbedtls_x509_crt *tls_trust_stand_in(const struct tls *t, const mbedtls_x509_crt *cert)
{
    const struct tls_time *now = &t->handshake->status.now;
    if (is_in_date(cert, now) || !is_anchor(t->trust, cert)) {
        return cert;
    }
    for (const mbedtls_x509_crt *at = &t->trust->certs; at != NULL; at = at->next) {
        if (is_same_name(&at->subject_raw, &cert->subject_raw) &&
            same(&at->pk_raw, &cert->pk_raw) && mbedtls_x509_crt_get_ca_istrue(at) == 1 &&
            at->MBEDTLS_PRIVATE(max_pathlen) == cert->MBEDTLS_PRIVATE(max_pathlen) &&
            mbedtls_x509_crt_check_key_usage(at, MBEDTLS_X509_KU_KEY_CERT_SIGN) == 0 &&
            is_in_date(at, now)) {
            return at;
        }
    }
    return cert;
}

static bool has_signed(const mbedtls_x509_crt *issuer, const mbedtls_x509_crl *list)
{
    struct x509_cert signer = {.public_key_info = slice_make(issuer->pk_raw.p, issuer->pk_raw.len)};
    struct slice in = slice_make(list->raw.p, list->raw.len), seq;
    struct x509_signed sealed;
    const char *hash;
    return mbedtls_x509_crt_check_key_usage(issuer, MBEDTLS_X509_KU_CRL_SIGN) == 0 &&
           der_get(&in, DER_SEQUENCE, &seq) && x509_get_signed(&seq, &sealed) &&
           ocsp_signature_check(&sealed, &signer, false, &hash) == OCSP_GOOD;
}

/* The library believes nobody whose issuer's name stands in a list of another key, as of an
 * authority that was renewed. And one without nextUpdate is never out of date for it, and always
 * for us (RFC 5280 5.1.2.5). */
static uint32_t judge_lists(const struct tls_trust *trust, const mbedtls_x509_crt *cert,
                            const mbedtls_x509_crt *issuer, const struct tls_time *now)
{
    uint32_t flags = MBEDTLS_X509_BADCRL_NOT_TRUSTED; /* there is none */
    for (const mbedtls_x509_crl *at = &trust->crls; issuer != NULL && at != NULL; at = at->next) {
        if (at->version == 0 || !is_same_name(&at->issuer_raw, &cert->issuer_raw) ||
            !has_signed(issuer, at)) {
            continue;
        }
        if (mbedtls_x509_crt_is_revoked(cert, at) != 0) {
            return MBEDTLS_X509_BADCERT_REVOKED;
        }
        bool is_over = at->next_update.year == 0 || now->wall_s > unix_s(&at->next_update);
        bool is_early = now->wall_set && now->wall_s + LAG_S < unix_s(&at->this_update);
        flags = flags == 0 ? 0
                : is_over  ? MBEDTLS_X509_BADCRL_EXPIRED
                : is_early ? MBEDTLS_X509_BADCRL_FUTURE
                           : 0;
    }
    return flags;
}

/* The library takes critical name constraints for known, and as a server nobody looks at names. */
static bool is_constrained(const mbedtls_x509_crt *authority)
{
    struct slice in = slice_make(authority->v3_ext.p, authority->v3_ext.len), run = in;
    struct x509_extension extension;
    (void)der_get(&in, DER_SEQUENCE, &run);
    while (x509_next_extension(&run, &extension)) {
        if (extension.critical && slice_equal(extension.oid, X509_OID_NAME_CONSTRAINTS)) {
            return true;
        }
    }
    return !der_end(run);
}

/* What was over at the earliest that it can be is over, also while nobody knows what time it is. */
int tls_trust_judge(const struct tls *t, const mbedtls_x509_crt *cert, int depth, uint32_t *flags)
{
    static const char for_servers[] = MBEDTLS_OID_SERVER_AUTH,
                      for_clients[] = MBEDTLS_OID_CLIENT_AUTH;
    if (t->handshake == NULL) {
        return 0;
    }
    if (depth != 0 &&
        mbedtls_x509_crt_check_extended_key_usage(cert, t->is_client ? for_servers : for_clients,
                                                  sizeof for_servers - 1) != 0) {
        *flags |= MBEDTLS_X509_BADCERT_EXT_KEY_USAGE;
    }
    if (depth != 0 && !t->is_client && !is_anchor(t->trust, cert) && is_constrained(cert)) {
        *flags |= MBEDTLS_X509_BADCERT_NOT_TRUSTED;
    }
    const struct tls_time *now = &t->handshake->status.now;
    cert = tls_trust_stand_in(t, cert);
    if (now->wall_set && now->wall_s + LAG_S < unix_s(&cert->valid_from)) {
        *flags |= MBEDTLS_X509_BADCERT_FUTURE;
    }
    if (now->wall_s > unix_s(&cert->valid_to)) {
        *flags |= MBEDTLS_X509_BADCERT_EXPIRED;
    }
    if (t->trust->has_crls && !is_anchor(t->trust, cert)) {
        *flags |= judge_lists(t->trust, cert, t->handshake->judged, now);
    }
    t->handshake->judged = cert;
    return 0;
}

void tls_trust_use(struct tls *t,
                   int (*judge)(void *ctx, mbedtls_x509_crt *cert, int depth, uint32_t *flags))
{
    struct tls_trust *trust = (struct tls_trust *)(uintptr_t)t->trust;
    mbedtls_ssl_set_hs_ca_chain(tls_ssl(t), &trust->certs, NULL);
    mbedtls_ssl_set_verify(tls_ssl(t), judge, t);
}

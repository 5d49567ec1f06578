/* TLS sessions in which we are the client: see tls_client.h. */
#include "tls_client.h"

#include "net_addr.h"
#include "ocsp_check_signature.h"
#include "teeth.h"
#include "tls_inside.h"
#include "tls_trust_inside.h"

#include <mbedtls/oid.h>
#include <mbedtls/x509_crt.h>

#define CHAIN_MAX        8   /* certificates that are looked at for an issuer */
#define ALERT_BAD_STATUS 113 /* bad_certificate_status_response */

/* The name that is asked for, as the library has it; empty: none is. */
static struct slice wanted_name(const struct tls *t)
{
    const char *name = tls_ssl_const(t)->MBEDTLS_PRIVATE(hostname);
    return slice_of_string(name != NULL ? name : "");
}

/* Whether an authority may vouch for that name; for addresses only one that may for all. */
static bool may_vouch(const struct tls *t, const mbedtls_x509_crt *authority)
{
    struct x509_cert cert;
    struct slice name = wanted_name(t);
    if (slice_is_empty(name)) {
        return true;
    }
    return x509_parse_cert(slice_make(authority->raw.p, authority->raw.len), &cert) &&
           x509_may_vouch_for(&cert, t->handshake->status.hides_name ? slice_make(NULL, 0) : name);
}

/* RFC 9525 6.3: an address is looked for among addresses only, a host's name among the names of
 * hosts. The library takes any for an address, a URI that is such a name for one, and the subject's
 * common name where there is nothing else. */
static bool is_rightly_named(const struct tls *t, const mbedtls_x509_crt *cert)
{
    struct slice name = wanted_name(t);
    struct net_addr addr;
    bool is_address = net_addr_parse(name, &addr);
    if (!mbedtls_x509_crt_has_ext_type(cert, MBEDTLS_X509_EXT_SUBJECT_ALT_NAME)) {
        return false;
    }
    for (const mbedtls_x509_sequence *at = &cert->subject_alt_names; at != NULL; at = at->next) {
        struct slice found = slice_make(at->buf.p, at->buf.len);
        int kind = at->buf.tag & MBEDTLS_ASN1_TAG_VALUE_MASK;
        if (is_address && kind == MBEDTLS_X509_SAN_IP_ADDRESS &&
            slice_equal(found, slice_make(addr.bytes, addr.family == NET_IPV4 ? 4 : 16))) {
            return true;
        }
        if (kind == MBEDTLS_X509_SAN_UNIFORM_RESOURCE_IDENTIFIER && slice_equal(found, name)) {
            return false;
        }
    }
    return !is_address;
}

/* Called for each certificate of the chain, the server's own last: only here the library says which
 * issuer it found. */
static int check_cert(void *ctx, mbedtls_x509_crt *cert, int depth, uint32_t *flags)
{
    struct tls *t = ctx;
    if (depth == 1 && t->handshake != NULL) {
        const mbedtls_x509_crt *issuer = tls_trust_stand_in(t, cert);
        t->issuer = slice_make(issuer->raw.p, issuer->raw.len);
    }
    if (depth == 0 && !is_rightly_named(t, cert)) {
        *flags |= MBEDTLS_X509_BADCERT_CN_MISMATCH;
    }
    if (depth != 0 && t->handshake != NULL && !may_vouch(t, cert)) {
        *flags |= MBEDTLS_X509_BADCERT_NOT_TRUSTED;
    }
    if (depth == 0 && BROKEN(NAME_UNCHECKED)) {
        *flags &= ~(uint32_t)MBEDTLS_X509_BADCERT_CN_MISMATCH;
    }
    return tls_trust_judge(t, cert, depth, flags);
}

/* The library wants the name as a string, and takes a copy; without one it says so explicitly. */
static int set_name(struct tls *t, struct slice name)
{
    char text[TLS_NAME_MAX + 1];
    if (slice_is_empty(name)) {
        return mbedtls_ssl_set_hostname(tls_ssl(t), NULL);
    }
    memcpy(text, name.ptr, name.len);
    text[name.len] = 0;
    return mbedtls_ssl_set_hostname(tls_ssl(t), text);
}

enum err tls_open_client(struct tls *t, struct tls_env *env,
                         const struct tls_client_options *options)
{
    if (options->server_name.len > TLS_NAME_MAX ||
        memchr(options->server_name.ptr == NULL ? (const uint8_t *)"" : options->server_name.ptr, 0,
               options->server_name.len) != NULL) {
        memset(t, 0, sizeof *t);
        return ERR_MALFORMED;
    }
    struct tls_settings *settings = tls_client_settings(env);
    enum err err = settings == NULL ? ERR_NO_MEMORY : tls_begin(t, env, settings);
    if (err != ERR_OK) {
        memset(t, 0, sizeof *t);
        return err;
    }
    t->is_client = true;
    struct net_addr addr;
    t->handshake->status.asked = options->ask_proof;
    t->handshake->status.hides_name = net_addr_parse(options->server_name, &addr);
    if (set_name(t, options->server_name) != 0) {
        tls_free(t);
        return ERR_NO_MEMORY;
    }
    if (options->trust == NULL) {
        mbedtls_ssl_set_hs_authmode(tls_ssl(t), MBEDTLS_SSL_VERIFY_NONE);
    } else {
        t->trust = options->trust;
        tls_trust_use(t, check_cert);
        mbedtls_ssl_set_hs_authmode(tls_ssl(t), options->may_fail ? MBEDTLS_SSL_VERIFY_OPTIONAL
                                                                  : MBEDTLS_SSL_VERIFY_REQUIRED);
    }
    t->phase = TLS_PHASE_SHAKE;
    return ERR_OK;
}

bool tls_client_is_verified(const struct tls *t)
{
    return t->phase == TLS_PHASE_OPEN && t->trust != NULL &&
           mbedtls_ssl_get_verify_result(tls_ssl_const(t)) == 0;
}

struct slice tls_client_proof(const struct tls *t)
{
    return slice_make(t->proof, t->proof_len);
}

const struct mbedtls_x509_crt *tls_client_peer(const struct tls *t)
{
    return t->phase == TLS_PHASE_OPEN ? mbedtls_ssl_get_peer_cert(tls_ssl_const(t)) : NULL;
}

/* Whoever is named as the leaf's issuer, and has signed it, of the certificates behind it. */
static bool find_issuer(const mbedtls_x509_crt *chain, const struct x509_cert *leaf,
                        struct x509_cert *out)
{
    const char *hash;
    int num_left = CHAIN_MAX;
    for (const mbedtls_x509_crt *at = chain->next; at != NULL && num_left > 0; at = at->next) {
        num_left--;
        if (x509_parse_cert(slice_make(at->raw.p, at->raw.len), out) &&
            x509_is_same_name(out->subject, leaf->issuer) &&
            ocsp_signature_check(&leaf->sealed, out, false, &hash) == OCSP_GOOD) {
            return true;
        }
    }
    return false;
}

/* The one that verification found. Where that has failed, it may have the issuer's name alone. */
static bool found_issuer(const struct tls *t, const struct x509_cert *leaf, struct x509_cert *out)
{
    const char *hash;
    return x509_parse_cert(t->issuer, out) &&
           (tls_client_is_verified(t) ||
            ocsp_signature_check(&leaf->sealed, out, false, &hash) == OCSP_GOOD);
}

bool tls_client_must_staple(const struct tls *t)
{
    const mbedtls_x509_crt *leaf = tls_client_peer(t);
    struct x509_cert cert;
    return leaf != NULL && x509_parse_cert(slice_make(leaf->raw.p, leaf->raw.len), &cert) &&
           x509_has_tls_feature(&cert, X509_STATUS_REQUEST);
}

enum ocsp_reason tls_client_judge(const struct tls *t, const struct ocsp_options *options,
                                  const struct tls_time *now, struct ocsp_verdict *out)
{
    const mbedtls_x509_crt *chain = tls_client_peer(t);
    struct x509_cert leaf, issuer;
    struct ocsp_question q = {.options = *options};
    *out = ocsp_verdict_none(OCSP_NO_FILE);
    if (slice_is_empty(tls_client_proof(t))) {
        return OCSP_NO_FILE;
    }
    if (chain == NULL || !x509_parse_cert(slice_make(chain->raw.p, chain->raw.len), &leaf)) {
        *out = ocsp_verdict_none(OCSP_NO_ISSUER);
        return OCSP_NO_ISSUER;
    }
    q.leaf = &leaf;
    if (t->trust != NULL && !BROKEN(ISSUER_OF_PEERS_CHOICE) ? found_issuer(t, &leaf, &issuer)
                                                            : find_issuer(chain, &leaf, &issuer)) {
        q.issuer = &issuer;
    }
    enum ocsp_reason reason = ocsp_check(&q, tls_client_proof(t), out);
    if (reason != OCSP_GOOD) {
        return reason;
    }
    return now->wall_set || BROKEN(UNSET_CLOCK_BELIEVED) ? ocsp_verdict_at(out, now->wall_s)
                                                         : OCSP_CLOCK_NOT_SET;
}

void tls_client_refuse_proof(struct tls *t)
{
    if (t->phase == TLS_PHASE_OPEN) {
        t->closing = true;
        (void)mbedtls_ssl_send_alert_message(tls_ssl(t), MBEDTLS_SSL_ALERT_LEVEL_FATAL,
                                             ALERT_BAD_STATUS);
    }
}

void tls_client_forget(struct tls *t)
{
    if (t->phase == TLS_PHASE_OPEN && t->is_client) {
        tls_status_forget_peer(tls_ssl(t));
    }
    if (t->env != NULL) {
        heap_free(t->env->heap, t->proof);
    }
    t->proof = NULL;
    t->proof_len = 0;
    t->issuer = slice_make(NULL, 0);
}

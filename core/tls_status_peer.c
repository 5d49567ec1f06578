/* The certificates that a peer shows, before the library has them. It passes over one of an unknown
 * kind, also the peer's own, and takes the next one for that. It checks a signature for each
 * authority of the chain, in one go, and takes RSA keys with any exponent: with one as long as the
 * modulus a chain of 16 KB holds everybody else up for a hundred handshakes' time. And it makes 48
 * bytes of each alternative name, which may have two: 16 KB become more than a board has for TLS,
 * for as long as the peer likes to take for its handshake. */
#include <common.h>
#include <mbedtls/oid.h>
#include <ssl_misc.h>

#include "tls_status_inside.h"

#include "x509.h"

/* Of memory for a chain: 16 KB of certificates, and what a hundred names or so take beside them. */
#define CHAIN_LEN_MAX (48u * 1024)

/* Adds to what the chain takes, which is 0 before the peer's own. What else the library cannot
 * parse it will refuse by itself. */
static bool is_refused(const struct heap *heap, struct slice der, size_t *in_out_len)
{
    size_t used_len = heap->used_len;
    mbedtls_x509_crt cert;
    mbedtls_x509_crt_init(&cert);
    int ret = mbedtls_x509_crt_parse_der_nocopy(&cert, der.ptr, der.len);
    bool is_own = *in_out_len == 0;
    bool is_unknown = ret == MBEDTLS_ERR_X509_UNKNOWN_SIG_ALG + MBEDTLS_ERR_OID_NOT_FOUND;
    bool is_dear = ret == 0 && mbedtls_pk_can_do(&cert.pk, MBEDTLS_PK_RSA) &&
                   !x509_has_short_exponent(slice_make(cert.pk_raw.p, cert.pk_raw.len));
    *in_out_len += der.len + (heap->used_len - used_len);
    mbedtls_x509_crt_free(&cert);
    return (is_own && is_unknown) || is_dear || *in_out_len > CHAIN_LEN_MAX;
}

int status_check_peer(mbedtls_ssl_context *ssl, const struct tls_status *s)
{
    size_t chain_len = 0;
    bool is_13 = status_is_13(ssl);
    int ret = mbedtls_ssl_flush_output(ssl);
    if (ret == 0) {
        ret = mbedtls_ssl_read_record(ssl, is_13 ? 0 : 1);
    }
    if (ret != 0) {
        return ret;
    }
    ssl->keep_current_message = 1;
    if (ssl->in_msgtype != MBEDTLS_SSL_MSG_HANDSHAKE || ssl->in_hslen < 4 ||
        ssl->in_msg[0] != MBEDTLS_SSL_HS_CERTIFICATE) {
        return 0;
    }
    struct slice body = slice_make(ssl->in_msg + 4, ssl->in_hslen - 4), skipped, list, cert;
    if ((is_13 && !tls_take_vector(&body, 1, &skipped)) || !tls_take_vector(&body, 3, &list)) {
        return 0;
    }
    if (is_13 && slice_is_empty(list) && ssl->conf->endpoint == MBEDTLS_SSL_IS_SERVER &&
        ssl->handshake->sni_authmode == MBEDTLS_SSL_VERIFY_REQUIRED) {
        return MBEDTLS_ERR_SSL_NO_CLIENT_CERTIFICATE; /* for which the library has a wrong alert */
    }
    while (tls_take_vector(&list, 3, &cert)) {
        if (is_refused(s->heap, cert, &chain_len)) {
            (void)mbedtls_ssl_send_alert_message(ssl, MBEDTLS_SSL_ALERT_LEVEL_FATAL,
                                                 MBEDTLS_SSL_ALERT_MSG_UNSUPPORTED_CERT);
            return MBEDTLS_ERR_SSL_BAD_CERTIFICATE;
        }
        if (is_13 && !tls_take_vector(&list, 2, &skipped)) {
            return 0;
        }
    }
    return 0;
}

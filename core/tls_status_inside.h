/* What the tls_status files share: the library's internals, and the guards that keep us to the
 * versions we know. The library's headers common.h and ssl_misc.h come before it, and
 * before all else, as in the library's own files. */
#ifndef POSTERN_TLS_STATUS_INSIDE_H
#define POSTERN_TLS_STATUS_INSIDE_H

#include "tls_status.h"

#include <mbedtls/platform.h>
#include <mbedtls/version.h>

#if MBEDTLS_VERSION_NUMBER < 0x03060600 || MBEDTLS_VERSION_NUMBER > 0x03060700
#error \
    "states and structures are known for Mbed TLS 3.6.6 and 3.6.7 only: look through tls_status*.c first"
#endif

_Static_assert(MBEDTLS_SSL_CLIENT_HELLO == 1, "state numbers moved");
_Static_assert(MBEDTLS_SSL_SERVER_HELLO == 2, "state numbers moved");
_Static_assert(MBEDTLS_SSL_SERVER_CERTIFICATE == 3, "state numbers moved");
_Static_assert(MBEDTLS_SSL_SERVER_KEY_EXCHANGE == 4, "state numbers moved");
_Static_assert(MBEDTLS_SSL_CERTIFICATE_VERIFY == 9, "state numbers moved");
_Static_assert(MBEDTLS_SSL_HANDSHAKE_OVER == 27, "state numbers moved");

#define STATUS_HS_CERTIFICATE_STATUS 22
#define STATUS_EXT_STATUS_REQUEST    5
#define STATUS_TYPE_OCSP             1

/* Reads the peer's Certificate, where that comes next, and leaves it for the library. As of
 * tls_status.h; BAD_CERTIFICATE, and the peer is told: it would take too long or too much, or the
 * peer's own is of an unknown kind; NO_CLIENT_CERTIFICATE, of TLS 1.3: the client must show one,
 * and does not. */
int status_check_peer(mbedtls_ssl_context *ssl, const struct tls_status *s);

#ifdef MBEDTLS_SSL_PROTO_TLS1_2
static inline bool status_is_13(const mbedtls_ssl_context *ssl)
{
    return ssl->tls_version == MBEDTLS_SSL_VERSION_TLS1_3;
}

/* What the next ChangeCipherSpec would bring into force. */
static inline mbedtls_ssl_transform **status_negotiated(mbedtls_ssl_context *ssl)
{
    return &ssl->transform_negotiate;
}

/* Whether the master secret of TLS 1.2 is bound to its handshake (RFC 7627). */
static inline bool status_is_bound(const mbedtls_ssl_context *ssl)
{
    return ssl->handshake->extended_ms == MBEDTLS_SSL_EXTENDED_MS_ENABLED;
}
#else
static inline bool status_is_13(const mbedtls_ssl_context *ssl)
{
    (void)ssl;
    return true;
}

static inline mbedtls_ssl_transform **status_negotiated(mbedtls_ssl_context *ssl)
{
    (void)ssl;
    return NULL;
}

static inline bool status_is_bound(const mbedtls_ssl_context *ssl)
{
    (void)ssl;
    return true;
}
#endif

#endif

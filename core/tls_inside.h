/* What the files of the TLS engine share: sessions from the inside. For tls*.c only. */
#ifndef POSTERN_TLS_INSIDE_H
#define POSTERN_TLS_INSIDE_H

#include "tls_env.h"
#include "tls_status.h"

enum tls_phase {
    TLS_PHASE_NONE,
    TLS_PHASE_HELLO, /* server: the ClientHello has not been read */
    TLS_PHASE_SET,   /* server: it has, and the set is waited for */
    TLS_PHASE_SHAKE,
    TLS_PHASE_OPEN,
    TLS_PHASE_FAILED
};

struct tls_handshake {
    struct tls_status status;
    uint8_t binding[TLS_BINDING_LEN];
    const mbedtls_x509_crt *judged; /* of a chain that is verified: the issuer of what comes next */
};

static inline mbedtls_ssl_context *tls_ssl(struct tls *t)
{
    return (mbedtls_ssl_context *)(void *)t->ssl;
}

static inline const mbedtls_ssl_context *tls_ssl_const(const struct tls *t)
{
    return (const mbedtls_ssl_context *)(const void *)t->ssl;
}

/* Begins a session with these settings (counted). ERR_NO_MEMORY: nothing is held. */
enum err tls_begin(struct tls *t, struct tls_env *env, struct tls_settings *settings);

/* The name of an error of the library, for the log. */
const char *tls_failure_name(int ret);

#endif

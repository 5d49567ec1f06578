/* What all sessions share, from the inside; for tls_* only. */
#ifndef POSTERN_TLS_ENV_H
#define POSTERN_TLS_ENV_H

#include "tls.h"
#include "tls_ciphers.h"
#include "tls_ticket.h"

#include <mbedtls/ssl.h>

/* The library's settings with one list of ciphers; counted, so that a session keeps those that it
 * began with. */
struct tls_settings {
    uint32_t num_refs;
    struct tls_ciphers ciphers;
    mbedtls_ssl_config config;
};

struct tls_env_inside {
    struct tls_settings *server;
    struct tls_settings
        *asking; /* a server's that asks for certificates; NULL until there is one */
    struct tls_settings *client; /* NULL until there is a client */
    struct tls_tickets tickets;
};

/* NULL if there is no memory. The reference stays the env's. */
struct tls_settings *tls_client_settings(struct tls_env *env);
struct tls_settings *tls_asking_settings(struct tls_env *env);

void tls_settings_drop(struct tls_env *env, struct tls_settings *settings);

#endif

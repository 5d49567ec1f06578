/* Session tickets: what a client keeps for us, so that it need not shake hands in full again.
 * RFC 5077, RFC 8446 4.6.1.
 *
 * A ticket is the library's session, sealed with ChaCha20-Poly1305 under a key that lives in memory
 * only and is replaced by time. What the ticket is good for (server name, certificates, policy for
 * clients' certificates) is not in it but authenticated with it: for anything else it does not
 * open. Called by the library in the course of a tls_step. */
#ifndef POSTERN_TLS_TICKET_H
#define POSTERN_TLS_TICKET_H

#include "slice.h"

#include <mbedtls/ssl.h>

#define TLS_BINDING_LEN    32
#define TLS_TICKET_KEYS    2
#define TLS_TICKET_ID_LEN  8
#define TLS_TICKET_KEY_LEN 32

struct tls_ticket_key {
    bool is_made;
    uint64_t made_ms;
    uint8_t id[TLS_TICKET_ID_LEN];
    uint8_t key[TLS_TICKET_KEY_LEN];
};

struct tls_tickets {
    struct tls_ticket_key keys[TLS_TICKET_KEYS]; /* the newest first */
    uint64_t now_ms;                             /* of the step that is under way */
    const uint8_t *binding;                      /* TLS_BINDING_LEN bytes, of its session */
};

/* SHA-256 over all that a ticket is bound to. False if the library could not hash. */
bool tls_ticket_bind(uint8_t *out_binding, struct slice server_name, struct slice set_id,
                     uint8_t client_policy);

/* In the form that the library's functions take; ctx is a struct tls_tickets. */
int tls_ticket_write(void *ctx, const mbedtls_ssl_session *session, unsigned char *start,
                     const unsigned char *end, size_t *out_len, uint32_t *out_lifetime_s);
int tls_ticket_parse(void *ctx, mbedtls_ssl_session *session, unsigned char *ticket, size_t len);

#endif

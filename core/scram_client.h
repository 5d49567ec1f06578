/* SCRAM-SHA-256 and SCRAM-SHA-256-PLUS, the client's side: proves a password that it does not show,
 * and lets the server prove that it knows it too (RFC 5802, RFC 7677, RFC 9266).
 *
 *     scram_client_first(c, ...)          -> the first message
 *     scram_client_challenge(c, reply)    false: give up
 *     scram_client_step(c) until true     a piece of work each, in its turn
 *     scram_client_final(c, out)          -> the second message
 *     scram_client_verify(c, reply)       false: the server does not know the password
 *
 * Called by smtp_login. Engine: takes and gives messages without base64. The password's form
 * (SASLprep) is the caller's. */
#ifndef POSTERN_SCRAM_CLIENT_H
#define POSTERN_SCRAM_CLIENT_H

#include "scram_keys.h"

#define SCRAM_EXPORTER_LEN 32 /* bytes of tls-exporter (RFC 9266) */

/* Wipe it with scram_wipe when it is no longer needed. */
struct scram_client {
    struct scram_salting salting;
    uint8_t gs2_len;
    uint16_t bare_len;
    uint16_t challenge_len;
    uint16_t nonce_len;                       /* ours, at the end of bare */
    uint8_t binding[24 + SCRAM_EXPORTER_LEN]; /* gs2 header and what it is bound to */
    uint8_t binding_len;
    uint8_t bare[3 * SCRAM_NAME_MAX + SCRAM_NONCE_MAX + 8];
    uint8_t challenge[512];
    uint8_t signature[SCRAM_KEY_LEN]; /* that the server must show */
};

/* Begins; appends the first message to out. random: at least 18 bytes of entropy, of which 18 are
 * used. SCRAM_BINDING (mechanism -PLUS) comes with SCRAM_EXPORTER_LEN bytes of exporter;
 * SCRAM_NOT_OFFERED: in TLS 1.3, but the server offers no -PLUS; SCRAM_NO_BINDING: not in TLS 1.3.
 * False: name too long, or no room. */
bool scram_client_first(struct scram_client *c, struct slice name, struct slice random,
                        enum scram_binding how, struct slice exporter, struct buf *out);

/* The server's first message. False: it is malformed, or not an answer to ours. */
bool scram_client_challenge(struct scram_client *c, struct slice message, struct slice password);

/* SCRAM_PIECE iterations more; true once scram_client_final may be called. */
bool scram_client_step(struct scram_client *c);

bool scram_client_final(struct scram_client *c, struct buf *out);

bool scram_client_verify(struct scram_client *c, struct slice message);

#endif

/* Logging in to a peer as a client: AUTH (RFC 4954) by PLAIN or LOGIN, the first of these
 * that is offered.
 *
 * Only inside TLS with a peer that is who it should be: the caller sees to that. Part of the engine
 * smtp_client. Knows no reply codes. */
#ifndef POSTERN_SMTP_LOGIN_H
#define POSTERN_SMTP_LOGIN_H

#include "buf.h"

/* Neither may be longer. */
#define SMTP_LOGIN_TEXT_MAX 255

struct smtp_login {
    struct slice user, password;
    bool is_login;     /* LOGIN, else PLAIN */
    uint8_t num_steps; /* challenges answered */
};

/* Puts AUTH and its first response. False: none of what is offered can be used. */
bool smtp_login_begin(struct smtp_login *l, uint32_t offers, struct slice user,
                      struct slice password, struct buf *out);

/* Answers a challenge (the text behind 334), or gives up by "*". */
void smtp_login_step(struct smtp_login *l, struct slice challenge, struct buf *out);

/* Whether the peer has proved all that it had to, so that its 235 counts. */
bool smtp_login_is_complete(const struct smtp_login *l);

#endif

/* Logging in to a peer as a client: AUTH (RFC 4954) by SCRAM-SHA-256, PLAIN or LOGIN, the first of
 * these that is offered.
 *
 * Only inside TLS with a peer that is who it should be: the caller sees to that. Part of the engine
 * smtp_client. Knows no reply codes. */
#ifndef POSTERN_SMTP_LOGIN_H
#define POSTERN_SMTP_LOGIN_H

#include "buf.h"
#include "scram_client.h"

/* Neither name nor password may be longer. */
#define SMTP_LOGIN_TEXT_MAX 255
#define SMTP_LOGIN_RANDOM   18 /* bytes, fit for keys, of one login */

/* Challenges of one login that are answered: two, or one by "*" more. */
#define SMTP_LOGIN_STEPS_MAX 3

struct smtp_login {
    struct slice user, password;
    uint32_t mechanism; /* enum smtp_offer; 0: none is under way */
    uint8_t num_steps;  /* challenges answered */
    bool computes;      /* smtp_login_turn has something to do */
    bool is_proved;     /* the server knows the password too */
    struct scram_client scram;
};

/* Puts AUTH and its first response. random: SMTP_LOGIN_RANDOM bytes. False: none of what is offered
 * can be used. */
bool smtp_login_begin(struct smtp_login *l, uint32_t offers, struct slice user,
                      struct slice password, struct slice random, struct buf *out);

/* Answers a challenge (the text behind 334), or gives up by "*"; or, with l->computes, at the end
 * of some turns. */
void smtp_login_step(struct smtp_login *l, struct slice challenge, struct buf *out);
void smtp_login_turn(struct smtp_login *l, struct buf *out);

/* Whether the peer has proved all that it had to, so that its 235 counts. */
bool smtp_login_is_complete(const struct smtp_login *l);

/* Forgets all of it. */
void smtp_login_end(struct smtp_login *l);

#endif

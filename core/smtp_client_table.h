/* What each reply of a peer does in each state of a session in which we are the client, as data.
 *
 * Called by smtp_client alone. Part of the engine; knows no bytes. */
#ifndef POSTERN_SMTP_CLIENT_TABLE_H
#define POSTERN_SMTP_CLIENT_TABLE_H

#include "smtp_client.h"

enum smtp_reply_kind {
    SMTP_REPLY_2XX,
    SMTP_REPLY_3XX,
    SMTP_REPLY_4XX,
    SMTP_REPLY_5XX,
    SMTP_REPLY_421, /* the peer closes (RFC 5321 3.8) */
    NUM_SMTP_REPLY_KINDS
};

enum smtp_client_action {
    SMTP_CLIENT_DO_NOTHING, /* in no cell */
    SMTP_CLIENT_DO_HELLO,   /* say EHLO or LHLO */
    SMTP_CLIENT_DO_HELO,    /* say HELO: the peer does not know EHLO */
    SMTP_CLIENT_DO_GO_ON,   /* the peer's offers are known: STARTTLS, AUTH or ready */
    SMTP_CLIENT_DO_TLS,     /* begin a handshake */
    SMTP_CLIENT_DO_NO_TLS,  /* go on without it, if it need not be */
    SMTP_CLIENT_DO_STEP,    /* of AUTH */
    SMTP_CLIENT_DO_LOGGED,  /* AUTH has succeeded, if the server could prove itself */
    SMTP_CLIENT_DO_READY,   /* for the next message */
    SMTP_CLIENT_DO_SENDER,  /* was accepted */
    SMTP_CLIENT_DO_RCPT,    /* was accepted */
    SMTP_CLIENT_DO_NO_RCPT, /* was refused */
    SMTP_CLIENT_DO_CONTENT, /* may be sent */
    SMTP_CLIENT_DO_REFUSED, /* the message */
    SMTP_CLIENT_DO_OUTCOME, /* of the message, or with LMTP of a recipient */
    SMTP_CLIENT_DO_SHUT,    /* the answer is also that to the message, and the session ends */
    SMTP_CLIENT_DO_FAIL,    /* the session ends, for the state's reason */
    SMTP_CLIENT_DO_BREAK,   /* it ends: that is no answer to what was said */
    SMTP_CLIENT_DO_LEAVE    /* it ends in order */
};

struct smtp_client_rule {
    const char *name;   /* of the state */
    const char *reason; /* of SMTP_CLIENT_DO_FAIL */
    uint32_t timeout_ms;
    uint8_t actions[NUM_SMTP_REPLY_KINDS]; /* enum smtp_client_action */
};

const struct smtp_client_rule *smtp_client_rule(enum smtp_client_state state);

#endif

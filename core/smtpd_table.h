/* What each SMTP command does in each state of a session, as data.
 *
 * Called by smtpd alone. Part of the engine; knows no bytes. */
#ifndef POSTERN_SMTPD_TABLE_H
#define POSTERN_SMTPD_TABLE_H

#include "smtp_command.h"

/* What a session has come to. */
enum smtpd_state {
    SMTPD_STATE_START,  /* no HELO or EHLO yet, or forgotten by STARTTLS */
    SMTPD_STATE_READY,  /* no transaction */
    SMTPD_STATE_SENDER, /* MAIL accepted, no recipient yet */
    SMTPD_STATE_RCPTS,  /* at least one recipient; also while DATA is read */
    SMTPD_STATE_CHUNKS, /* at least one BDAT chunk */
    SMTPD_STATE_FAILED, /* a chunk could not be taken, the rest of the message is still to come and
                           to be refused likewise */
    NUM_SMTPD_STATES,
    SMTPD_STATE_STAY = NUM_SMTPD_STATES /* in a rule: the state stays as it is */
};

/* What is read or waited for now. */
enum smtpd_phase {
    SMTPD_PHASE_OPENING,   /* the banner is due */
    SMTPD_PHASE_COMMAND,   /* a command line */
    SMTPD_PHASE_LONG_LINE, /* the end of a command line that was too long */
    SMTPD_PHASE_ASKED,     /* smtpd_answer() */
    SMTPD_PHASE_AUTH,      /* a line that answers a challenge */
    SMTPD_PHASE_DATA,      /* a body up to CRLF.CRLF */
    SMTPD_PHASE_CHUNK,     /* a chunk, stored unless its message has failed */
    SMTPD_PHASE_SKIP,   /* a chunk that nobody looks at any more, to be drained before it is refused
                         */
    SMTPD_PHASE_TLS,    /* smtpd_tls_started() */
    SMTPD_PHASE_CLOSED, /* nothing more */
    NUM_SMTPD_PHASES
};

enum smtpd_action {
    SMTPD_DO_NOTHING,  /* in no cell */
    SMTPD_DO_SAY,      /* the reply */
    SMTPD_DO_REFUSE,   /* the reply, uncounted if it only follows from a MAIL that was refused
                          (pipelining) */
    SMTPD_DO_HELLO,    /* new identity, transaction dropped */
    SMTPD_DO_MAIL,     /* ask about the sender */
    SMTPD_DO_RCPT,     /* ask about a recipient */
    SMTPD_DO_DATA,     /* ask for a place, then read the body */
    SMTPD_DO_CHUNK,    /* ask for a place before the first, read the chunk */
    SMTPD_DO_SKIP,     /* drain the chunk, then the reply */
    SMTPD_DO_RESET,    /* transaction dropped */
    SMTPD_DO_AUTH,     /* ask what to make of it */
    SMTPD_DO_STARTTLS, /* ask for a handshake */
    SMTPD_DO_HANG_UP   /* the reply, and the end */
};

struct smtpd_rule {
    uint8_t action; /* enum smtpd_action */
    uint8_t next;   /* enum smtpd_state that it leads to if it succeeds */
    uint8_t reply;  /* enum smtp_reply, of the action itself */
};

const struct smtpd_rule *smtpd_rule(enum smtpd_state state, enum smtp_verb verb);

/* "ready", "command"... constant strings. */
const char *smtpd_state_name(enum smtpd_state state);
const char *smtpd_phase_name(enum smtpd_phase phase);

#endif

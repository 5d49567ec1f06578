/* What the parts of the SMTP server engine share: smtpd.c, smtpd_commands.c and smtpd_body.c;
 * nobody else includes this.
 *
 * A function that returns an enum smtpd_event has carried out one step: GO_ON if the caller of
 * smtpd_next() needs not hear of it. */
#ifndef POSTERN_SMTPD_TURN_H
#define POSTERN_SMTPD_TURN_H

#include "smtpd.h"
#include "smtpd_table.h"
#include "teeth.h"

/* One call of smtpd_next(). */
struct turn {
    struct smtpd *s;
    struct slice *in;
    struct buf *out;
    struct smtpd_ask *ask;
};

#define GO_ON NUM_SMTPD_EVENTS

/* smtpd.c: the only place where a session changes its state. */
void smtpd_enter(struct smtpd *s, enum smtpd_state state, enum smtpd_phase phase);
void smtpd_enter_phase(struct smtpd *s, enum smtpd_phase phase);

/* Where the rule of the command that is carried out leads to. */
enum smtpd_state smtpd_next_state(const struct smtpd *s);

/* Forgets the envelope; SMTPD_ABORT if there was one. */
enum smtpd_event smtpd_drop_transaction(struct smtpd *s);

/* Puts a reply, no more. */
void smtpd_put(struct turn *t, enum smtp_reply reply);

/* Puts a reply and counts the client's mistakes; one too many ends the session. State and phase are
 * those to go on with. */
enum smtpd_event smtpd_say(struct turn *t, enum smtp_reply reply);

/* The same for a command that is out of order; uncounted if only because a MAIL before it was
 * refused: it was pipelined in good faith. */
enum smtpd_event smtpd_refuse(struct turn *t, enum smtp_reply reply);

/* Puts a reply, if any, and ends the session. */
enum smtpd_event smtpd_hang_up(struct turn *t, enum smtp_reply reply, enum smtpd_reason reason);

/* Asks the caller; returns the question. */
enum smtpd_event smtpd_ask(struct turn *t, enum smtpd_event question);

/* Counts one more; true if that is over the limit. */
bool smtpd_is_over(uint16_t *count, uint16_t max);

/* smtpd_commands.c: reads a command line and carries it out, or drops a line that was too long. */
enum smtpd_event smtpd_read_command(struct turn *t, bool is_long);

/* Reads what answers a challenge. */
enum smtpd_event smtpd_read_response(struct turn *t);

/* smtpd_body.c: one step of a body; and the step that follows once s->failed is set. */
enum smtpd_event smtpd_read_data(struct turn *t);
enum smtpd_event smtpd_read_chunk(struct turn *t);
enum smtpd_event smtpd_skip_chunk(struct turn *t);
enum smtpd_event smtpd_abandon(struct smtpd *s);

/* Whether the message with len more bytes is over the limit. */
bool smtpd_is_too_big(const struct smtpd *s, uint64_t len);

#endif

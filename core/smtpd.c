/* The SMTP server engine, the session: what it waits for, its answers, its end. See smtpd.h;
 * commands are carried out in smtpd_commands.c, bodies read in smtpd_body.c. */
#include "smtpd_turn.h"

#define AUTH_FAILURES_MAX 3 /* the last of them ends the session */

/* The only place where a session changes its state. */
void smtpd_enter(struct smtpd *s, enum smtpd_state state, enum smtpd_phase phase)
{
    memmove(s->trace + 1, s->trace, sizeof s->trace - 1);
    s->trace[0] = (uint8_t)((state << 4) | phase);
    s->state = (uint8_t)state;
    s->phase = (uint8_t)phase;
}

enum smtpd_state smtpd_next_state(const struct smtpd *s)
{
    return (enum smtpd_state)(s->next == SMTPD_STATE_STAY ? s->state : s->next);
}

void smtpd_enter_phase(struct smtpd *s, enum smtpd_phase phase)
{
    smtpd_enter(s, (enum smtpd_state)s->state, phase);
}

enum smtpd_event smtpd_drop_transaction(struct smtpd *s)
{
    bool was_open = s->in_transaction;
    s->in_transaction = false;
    s->num_rcpts = 0;
    s->failed = SMTP_REPLY_NONE;
    return was_open ? SMTPD_ABORT : GO_ON;
}

void smtpd_put(struct turn *t, enum smtp_reply reply)
{
    struct slice id = slice_make(t->s->id, t->s->id_len);
    if (smtp_reply_class(reply) != SMTP_REPLY_CLASS_GOOD &&
        (t->s->refusal == SMTP_REPLY_NONE || !smtp_reply_is_sequel(reply))) {
        t->s->refusal = (uint8_t)reply;
    }
    smtp_reply_put(t->out, reply,
                   reply == SMTP_REPLY_QUEUED      ? id
                   : reply == SMTP_REPLY_CHALLENGE ? t->s->challenge
                                                   : t->s->env->hostname);
}

enum smtpd_event smtpd_hang_up(struct turn *t, enum smtp_reply reply, enum smtpd_reason reason)
{
    if (reply != SMTP_REPLY_NONE) {
        smtpd_put(t, reply);
    }
    t->s->reason = (uint8_t)reason;
    smtpd_enter_phase(t->s, SMTPD_PHASE_CLOSED);
    return GO_ON;
}

bool smtpd_is_over(uint16_t *count, uint16_t max)
{
    if (*count < UINT16_MAX) {
        (*count)++;
    }
    return max != 0 && *count > max;
}

enum smtpd_event smtpd_say(struct turn *t, enum smtp_reply reply)
{
    struct smtpd *s = t->s;
    const struct smtpd_limits *limits = &s->env->limits;
    switch (smtp_reply_class(reply)) {
    case SMTP_REPLY_CLASS_GOOD:
    case SMTP_REPLY_CLASS_REFUSAL:
        break;
    case SMTP_REPLY_CLASS_SYNPROT:
        if (smtpd_is_over(&s->num_synprot_errors, limits->synprot_errors_max)) {
            return smtpd_hang_up(t, SMTP_REPLY_SYNPROT_LIMIT, SMTPD_REASON_SYNPROT_ERRORS);
        }
        break;
    case SMTP_REPLY_CLASS_UNKNOWN:
        if (smtpd_is_over(&s->num_unknown_commands, limits->unknown_commands_max)) {
            return smtpd_hang_up(t, SMTP_REPLY_UNKNOWN_LIMIT, SMTPD_REASON_UNKNOWN_COMMANDS);
        }
        break;
    }
    smtpd_put(t, reply);
    return GO_ON;
}

enum smtpd_event smtpd_refuse(struct turn *t, enum smtp_reply reply)
{
    if (t->s->mail_refused) {
        smtpd_put(t, reply);
        return GO_ON;
    }
    return smtpd_say(t, reply);
}

enum smtpd_event smtpd_ask(struct turn *t, enum smtpd_event question)
{
    t->s->question = (uint8_t)question;
    t->s->verdict = 0;
    t->s->id_len = 0;
    smtpd_enter_phase(t->s, SMTPD_PHASE_ASKED);
    return question;
}

/* --- Answers --- */

static enum smtp_reply reply_of_verdict(enum smtpd_verdict verdict, enum smtpd_event question)
{
    switch (verdict) {
    case SMTPD_OK:
    case SMTPD_CHALLENGE:
    case NUM_SMTPD_VERDICTS:
        break;
    case SMTPD_TEMPORARY:
        return question == SMTPD_STARTTLS ? SMTP_REPLY_TLS_TEMPORARY
               : question == SMTPD_AUTH   ? SMTP_REPLY_AUTH_TEMPORARY
                                          : SMTP_REPLY_TEMPORARY;
    case SMTPD_NO_SPACE:
        return SMTP_REPLY_NO_SPACE;
    case SMTPD_BUSY:
        return question == SMTPD_STARTTLS ? SMTP_REPLY_TLS_TEMPORARY
               : question == SMTPD_RCPT   ? SMTP_REPLY_RCPTS_LIMIT
                                          : SMTP_REPLY_NO_SPACE;
    case SMTPD_MAILBOX_FULL:
        return SMTP_REPLY_MAILBOX_FULL;
    case SMTPD_UNKNOWN_USER:
        return SMTP_REPLY_UNKNOWN_USER;
    case SMTPD_NO_ROUTE:
        return SMTP_REPLY_NO_ROUTE;
    case SMTPD_RELAY_DENIED:
        return SMTP_REPLY_RELAY_DENIED;
    case SMTPD_POLICY:
        return SMTP_REPLY_POLICY;
    case SMTPD_NEEDS_TLS:
        return SMTP_REPLY_NEEDS_TLS;
    case SMTPD_NEEDS_AUTH:
        return SMTP_REPLY_NEEDS_AUTH;
    case SMTPD_RATE:
        return SMTP_REPLY_RATE;
    case SMTPD_NOT_YOURS:
        return SMTP_REPLY_NOT_YOURS;
    case SMTPD_AUTH_FAILED:
        return SMTP_REPLY_AUTH_FAILED;
    case SMTPD_AUTH_SYNTAX:
        return SMTP_REPLY_AUTH_SYNTAX;
    case SMTPD_AUTH_CANCELLED:
        return SMTP_REPLY_AUTH_CANCELLED;
    case SMTPD_AUTH_MECHANISM:
        return SMTP_REPLY_AUTH_MECHANISM;
    case SMTPD_TOO_BIG:
        return SMTP_REPLY_TOO_BIG;
    case SMTPD_LOOP:
        return SMTP_REPLY_LOOP;
    }
    return SMTP_REPLY_NONE;
}

static enum smtpd_event begin_body(struct turn *t, enum smtp_reply refusal)
{
    struct smtpd *s = t->s;
    if (s->is_chunked) {
        s->failed = (uint8_t)refusal;
        smtpd_enter(s, smtpd_next_state(s),
                    refusal == SMTP_REPLY_NONE ? SMTPD_PHASE_CHUNK : SMTPD_PHASE_SKIP);
        return GO_ON;
    }
    if (refusal == SMTP_REPLY_NONE) {
        smtpd_enter(s, smtpd_next_state(s), SMTPD_PHASE_DATA);
        return smtpd_say(t, SMTP_REPLY_DATA);
    }
    smtpd_enter(s, SMTPD_STATE_READY, SMTPD_PHASE_COMMAND);
    smtpd_put(t, refusal);
    return smtpd_drop_transaction(s);
}

static enum smtpd_event begin_tls(struct turn *t)
{
    struct smtpd *s = t->s;
    if (t->in->len != 0 && !BROKEN(STARTTLS_KEEPS_PLAINTEXT)) {
        return smtpd_hang_up(t, SMTP_REPLY_STARTTLS_DATA, SMTPD_REASON_STARTTLS_DATA);
    }
    smtpd_put(t, SMTP_REPLY_STARTTLS);
    s->tls_due = true;
    smtpd_enter(s, smtpd_next_state(s), SMTPD_PHASE_TLS);
    return smtpd_drop_transaction(s);
}

/* RFC 4954 4 and 6. */
static enum smtpd_event authenticated(struct turn *t, enum smtp_reply refusal)
{
    struct smtpd *s = t->s;
    bool goes_on = s->verdict - 1 == SMTPD_CHALLENGE;
    smtpd_enter_phase(s, goes_on ? SMTPD_PHASE_AUTH : SMTPD_PHASE_COMMAND);
    if (refusal == SMTP_REPLY_AUTH_FAILED && ++s->num_auth_failures == AUTH_FAILURES_MAX) {
        return smtpd_hang_up(t, SMTP_REPLY_AUTH_LIMIT, SMTPD_REASON_AUTH_FAILURES);
    }
    if (refusal != SMTP_REPLY_NONE) {
        return smtpd_say(t, refusal);
    }
    s->is_authenticated = !goes_on;
    return smtpd_say(t, goes_on ? SMTP_REPLY_CHALLENGE : SMTP_REPLY_AUTH_OK);
}

static enum smtpd_event answered(struct turn *t)
{
    struct smtpd *s = t->s;
    enum smtpd_event question = (enum smtpd_event)s->question;
    enum smtp_reply refusal = reply_of_verdict((enum smtpd_verdict)(s->verdict - 1), question);
    bool is_ok = refusal == SMTP_REPLY_NONE;
    if (question == SMTPD_BEGIN) {
        return begin_body(t, refusal);
    }
    if (question == SMTPD_STARTTLS && is_ok) {
        return begin_tls(t);
    }
    if (question == SMTPD_AUTH) {
        return authenticated(t, refusal);
    }
    smtpd_enter(s, is_ok ? smtpd_next_state(s) : (enum smtpd_state)s->state, SMTPD_PHASE_COMMAND);
    enum smtp_reply thanks = SMTP_REPLY_OK;
    if (question == SMTPD_MAIL) {
        thanks = SMTP_REPLY_MAIL;
        s->mail_refused = !is_ok;
        s->in_transaction = is_ok;
        s->num_mails += is_ok;
    } else if (question == SMTPD_RCPT) {
        thanks = SMTP_REPLY_RCPT;
        s->num_rcpts += is_ok && !BROKEN(RCPTS_UNCOUNTED);
    } else if (question == SMTPD_END) {
        thanks = SMTP_REPLY_QUEUED;
        s->num_nonmail_commands = 0;
        s->num_refused_rcpts = is_ok ? 0 : s->num_refused_rcpts;
    }
    if (!is_ok && (question == SMTPD_MAIL || question == SMTPD_RCPT)) {
        smtpd_is_over(&s->num_refused_rcpts, 0);
    }
    return smtpd_say(t, is_ok ? thanks : refusal);
}

/* --- The session --- */

/* 421 where it still can be said. */
static enum smtpd_event say_goodbye(struct turn *t)
{
    enum smtpd_reason reason = (enum smtpd_reason)t->s->reason;
    return smtpd_hang_up(
        t, reason == SMTPD_REASON_SHUTDOWN ? SMTP_REPLY_SHUTDOWN : SMTP_REPLY_TIMEOUT, reason);
}

static enum smtpd_event close_session(struct turn *t)
{
    t->ask->reason = (enum smtpd_reason)t->s->reason;
    return smtpd_drop_transaction(t->s) == SMTPD_ABORT ? SMTPD_ABORT : SMTPD_CLOSE;
}

/* What keeps the session from going on, before any byte is looked at. */
static enum smtpd_event hindrance(struct turn *t)
{
    struct smtpd *s = t->s;
    if (s->phase == SMTPD_PHASE_CLOSED) {
        return close_session(t);
    }
    if (s->phase == SMTPD_PHASE_TLS) {
        bool is_due = s->tls_due;
        s->tls_due = false;
        return is_due ? SMTPD_TLS : SMTPD_WAIT;
    }
    bool may_end = s->reason != SMTPD_REASON_NONE;
    if (s->phase == SMTPD_PHASE_ASKED) {
        may_end = may_end && s->verdict == 0 && s->question != SMTPD_END;
        if (s->verdict == 0 && !may_end) {
            return SMTPD_WAIT;
        }
    }
    if (buf_room(t->out) < SMTPD_REPLY_MAX) {
        return SMTPD_FLUSH;
    }
    if (may_end) {
        say_goodbye(t);
        return close_session(t);
    }
    return s->failed != SMTP_REPLY_NONE && s->in_transaction ? smtpd_abandon(s) : GO_ON;
}

static enum smtpd_event step(struct turn *t)
{
    enum smtpd_event event = hindrance(t);
    if (event != GO_ON) {
        return event;
    }
    switch ((enum smtpd_phase)t->s->phase) {
    case SMTPD_PHASE_OPENING:
        smtpd_enter_phase(t->s, SMTPD_PHASE_COMMAND);
        smtpd_put(t, SMTP_REPLY_BANNER);
        return GO_ON;
    case SMTPD_PHASE_COMMAND:
        return smtpd_read_command(t, false);
    case SMTPD_PHASE_LONG_LINE:
        return smtpd_read_command(t, true);
    case SMTPD_PHASE_AUTH:
        return smtpd_read_response(t);
    case SMTPD_PHASE_ASKED:
        return answered(t);
    case SMTPD_PHASE_DATA:
        return smtpd_read_data(t);
    case SMTPD_PHASE_CHUNK:
        return smtpd_read_chunk(t);
    case SMTPD_PHASE_SKIP:
        return smtpd_skip_chunk(t);
    case SMTPD_PHASE_TLS:
    case SMTPD_PHASE_CLOSED:
    case NUM_SMTPD_PHASES:
        break;
    }
    return SMTPD_WAIT;
}

enum smtpd_event smtpd_next(struct smtpd *s, struct slice *in, struct buf *out,
                            struct smtpd_ask *ask_out)
{
    struct turn t = {s, in, out, ask_out};
    memset(ask_out, 0, sizeof *ask_out);
    enum smtpd_event event;
    do {
        event = step(&t);
    } while (event == GO_ON);
    return event;
}

void smtpd_open(struct smtpd *s, const struct smtpd_env *env, bool in_tls)
{
    memset(s, 0, sizeof *s);
    s->env = env;
    s->in_tls = in_tls;
}

void smtpd_answer(struct smtpd *s, enum smtpd_verdict verdict, struct slice id)
{
    if (s->phase != SMTPD_PHASE_ASKED || s->verdict != 0) {
        return;
    }
    if (verdict == SMTPD_CHALLENGE) {
        verdict = SMTPD_TEMPORARY; /* there is none: smtpd_challenge */
    }
    s->verdict = (uint8_t)(verdict + 1);
    s->id_len = (uint8_t)(id.len < SMTPD_ID_MAX ? id.len : SMTPD_ID_MAX);
    if (s->id_len != 0) {
        memcpy(s->id, id.ptr, s->id_len);
    }
}

void smtpd_offer_auth(struct smtpd *s, const char *mechanisms)
{
    s->mechanisms = mechanisms;
}

void smtpd_challenge(struct smtpd *s, struct slice challenge)
{
    if (s->phase == SMTPD_PHASE_ASKED && s->question == SMTPD_AUTH && s->verdict == 0) {
        s->challenge = challenge;
        s->verdict = SMTPD_CHALLENGE + 1;
    }
}

void smtpd_body_failed(struct smtpd *s, enum smtpd_verdict verdict)
{
    bool in_body = s->phase == SMTPD_PHASE_DATA || s->state == SMTPD_STATE_CHUNKS;
    if (in_body && s->in_transaction && s->failed == SMTP_REPLY_NONE) {
        s->failed = (uint8_t)reply_of_verdict(verdict, SMTPD_BODY);
    }
}

void smtpd_tls_started(struct smtpd *s)
{
    if (s->phase != SMTPD_PHASE_TLS) {
        return;
    }
    s->in_tls = true;
    s->mechanisms = NULL;
    s->is_authenticated = false;
    s->is_esmtp = s->is_esmtp && BROKEN(HELLO_OUTLIVES_STARTTLS);
    s->mail_refused = false;
    s->helo_len = 0;
    smtpd_enter(s, BROKEN(HELLO_OUTLIVES_STARTTLS) ? SMTPD_STATE_READY : SMTPD_STATE_START,
                SMTPD_PHASE_COMMAND);
}

void smtpd_end(struct smtpd *s, enum smtpd_reason reason)
{
    if (s->phase == SMTPD_PHASE_CLOSED) {
        return;
    }
    s->reason = (uint8_t)reason;
    if (reason == SMTPD_REASON_LOST || s->phase == SMTPD_PHASE_TLS) {
        smtpd_enter_phase(s, SMTPD_PHASE_CLOSED);
    }
}

bool smtpd_put_refusal(struct buf *out, const struct smtpd_env *env, bool is_clients_fault)
{
    return smtp_reply_put(out, is_clients_fault ? SMTP_REPLY_CLIENT_FULL : SMTP_REPLY_FULL,
                          env->hostname);
}

struct slice smtpd_helo(const struct smtpd *s)
{
    return slice_make(s->helo, s->helo_len);
}

bool smtpd_put_last_refusal(struct buf *out, const struct smtpd *s)
{
    enum smtp_reply reply = (enum smtp_reply)s->refusal;
    if (reply == SMTP_REPLY_NONE || !smtp_reply_put(out, reply, s->env->hostname)) {
        return false;
    }
    out->len -= 2; /* the line's end */
    return true;
}

bool smtpd_is_esmtp(const struct smtpd *s)
{
    return s->is_esmtp;
}

bool smtpd_is_authenticated(const struct smtpd *s)
{
    return s->is_authenticated;
}

bool smtpd_in_transaction(const struct smtpd *s)
{
    return s->in_transaction;
}

bool smtpd_in_body(const struct smtpd *s)
{
    return s->phase == SMTPD_PHASE_DATA || s->phase == SMTPD_PHASE_CHUNK ||
           s->phase == SMTPD_PHASE_SKIP || s->state == SMTPD_STATE_CHUNKS;
}

const char *smtpd_reason_name(enum smtpd_reason reason)
{
    static const char *const names[] = {
#define SMTPD_REASON_NAME(symbol, name) name,
        SMTPD_REASONS(SMTPD_REASON_NAME)
#undef SMTPD_REASON_NAME
    };
    return names[reason];
}

bool smtpd_put_trace(struct buf *b, const struct smtpd *s)
{
    bool fits = true;
    const char *gap = "";
    for (size_t i = sizeof s->trace; i-- != 0;) {
        if (s->trace[i] == 0) {
            continue;
        }
        fits = buf_put_string(b, gap) &&
               buf_put_string(b, smtpd_state_name((enum smtpd_state)(s->trace[i] >> 4))) &&
               buf_put_string(b, ":") &&
               buf_put_string(b, smtpd_phase_name((enum smtpd_phase)(s->trace[i] & 15)));
        gap = " ";
    }
    return fits;
}

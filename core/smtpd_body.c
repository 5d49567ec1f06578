/* The SMTP server engine, bodies: DATA and BDAT, stored or drained. Called by smtpd.c. */
#include "smtpd_turn.h"

/* The transaction has failed in its body. What is still to come of it is read, and refused when the
 * client listens again. */
enum smtpd_event smtpd_abandon(struct smtpd *s)
{
    uint8_t why = s->failed;
    enum smtpd_event event = smtpd_drop_transaction(s);
    s->failed = why;
    smtpd_enter(s, s->state == SMTPD_STATE_CHUNKS ? SMTPD_STATE_FAILED : SMTPD_STATE_READY,
                (enum smtpd_phase)s->phase);
    return event;
}

bool smtpd_is_too_big(const struct smtpd *s, uint64_t len)
{
    uint64_t limit = BROKEN(SIZE_UNLIMITED) ? 0 : s->env->limits.message_size_limit;
    return limit != 0 && (s->message_len > limit || len > limit - s->message_len);
}

/* Hands content to the caller, unless this message has failed already or fails now. How the input
 * is cut must not show in the reply: so a long line, which may come in the same run as one byte too
 * many, goes before it, and what has failed is read on, as a bare CR or LF goes before both. */
static enum smtpd_event give_body(struct turn *t, struct slice run)
{
    struct smtpd *s = t->s;
    bool is_too_big = s->failed == SMTP_REPLY_TOO_BIG ||
                      (s->failed == SMTP_REPLY_NONE && smtpd_is_too_big(s, run.len));
    if (s->body.long_line && (is_too_big || s->failed == SMTP_REPLY_NONE)) {
        s->failed = SMTP_REPLY_TEXT_LINE;
    } else if (is_too_big) {
        s->failed = SMTP_REPLY_TOO_BIG;
    }
    if (s->failed != SMTP_REPLY_NONE) {
        return GO_ON;
    }
    s->message_len += run.len;
    t->ask->body = run;
    return run.len != 0 ? SMTPD_BODY : GO_ON;
}

static enum smtpd_event ask_end(struct turn *t)
{
    smtpd_drop_transaction(t->s);
    smtpd_enter(t->s, SMTPD_STATE_READY, SMTPD_PHASE_COMMAND);
    t->s->next = SMTPD_STATE_STAY;
    return smtpd_ask(t, SMTPD_END);
}

struct violation {
    uint8_t reply;
    uint8_t reason;
};

/* What a body is refused for, none for SMTP_BODY_MORE and SMTP_BODY_END. */
static struct violation violation_of(enum smtp_body_result result)
{
    switch (result) {
    case SMTP_BODY_BARE_CR:
        return (struct violation){SMTP_REPLY_BODY_BARE_CR, SMTPD_REASON_BARE_CR};
    case SMTP_BODY_BARE_LF:
        return (struct violation){SMTP_REPLY_BODY_BARE_LF, SMTPD_REASON_BARE_LF};
    case SMTP_BODY_NUL:
        return (struct violation){SMTP_REPLY_BODY_NUL, SMTPD_REASON_NUL};
    case SMTP_BODY_MORE:
    case SMTP_BODY_END:
        break;
    }
    return (struct violation){SMTP_REPLY_NONE, SMTPD_REASON_NONE};
}

enum smtpd_event smtpd_read_data(struct turn *t)
{
    struct smtpd *s = t->s;
    struct slice run;
    if (t->in->len == 0) {
        return SMTPD_MORE;
    }
    enum smtp_body_result result =
        smtp_body_take(&s->body, t->in, s->env->limits.text_line_max, &run);
    if (result == SMTP_BODY_MORE) {
        return give_body(t, run);
    }
    if (result == SMTP_BODY_END) {
        enum smtp_reply failed = (enum smtp_reply)s->failed;
        if (failed == SMTP_REPLY_NONE) {
            return ask_end(t);
        }
        smtpd_drop_transaction(s);
        smtpd_enter(s, SMTPD_STATE_READY, SMTPD_PHASE_COMMAND);
        return smtpd_say(t, failed);
    }
    struct violation v = violation_of(result);
    return smtpd_hang_up(t, (enum smtp_reply)v.reply, (enum smtpd_reason)v.reason);
}

/* The whole chunk of a message that has failed is drained. */
static enum smtpd_event refuse_chunk(struct turn *t)
{
    struct smtpd *s = t->s;
    enum smtp_reply failed = (enum smtp_reply)s->failed;
    if (s->chunk_is_last) {
        smtpd_drop_transaction(s);
        smtpd_enter(s, SMTPD_STATE_READY, SMTPD_PHASE_COMMAND);
    } else {
        smtpd_enter_phase(s, SMTPD_PHASE_COMMAND);
    }
    return smtpd_say(t, failed);
}

/* All of the chunk is here. The last one also ends the last line. */
static enum smtpd_event end_chunk(struct turn *t)
{
    struct smtpd *s = t->s;
    if (s->failed != SMTP_REPLY_NONE) {
        return refuse_chunk(t);
    }
    if (!s->chunk_is_last) {
        smtpd_enter_phase(s, SMTPD_PHASE_COMMAND);
        return smtpd_say(t, SMTP_REPLY_OK);
    }
    struct slice run;
    struct violation v =
        violation_of(smtp_body_finish_chunks(&s->body, s->env->limits.text_line_max, &run));
    if (v.reply != SMTP_REPLY_NONE) {
        return smtpd_hang_up(t, (enum smtp_reply)v.reply, (enum smtpd_reason)v.reason);
    }
    return run.len != 0 ? give_body(t, run) : ask_end(t);
}

enum smtpd_event smtpd_read_chunk(struct turn *t)
{
    struct smtpd *s = t->s;
    if (s->chunk_left == 0) {
        return end_chunk(t);
    }
    if (t->in->len == 0) {
        return SMTPD_MORE;
    }
    struct slice rest = *t->in;
    if (rest.len > s->chunk_left) {
        rest.len = (size_t)s->chunk_left;
    }
    size_t len = rest.len;
    struct slice run;
    enum smtp_body_result result =
        smtp_body_take_chunk(&s->body, &rest, s->env->limits.text_line_max, &run);
    struct violation v = violation_of(result);
    if (v.reply != SMTP_REPLY_NONE) {
        s->failed = v.reply;
        s->drain_reason = v.reason;
        smtpd_enter_phase(s, SMTPD_PHASE_SKIP);
        return GO_ON;
    }
    slice_skip(t->in, len - rest.len);
    s->chunk_left -= len - rest.len;
    return give_body(t, run);
}

enum smtpd_event smtpd_skip_chunk(struct turn *t)
{
    struct smtpd *s = t->s;
    if (s->chunk_left != 0) {
        size_t len = t->in->len < s->chunk_left ? t->in->len : (size_t)s->chunk_left;
        slice_skip(t->in, len);
        s->chunk_left -= len;
        return s->chunk_left != 0 ? SMTPD_MORE : GO_ON;
    }
    if (s->drain_reason != SMTPD_REASON_NONE) {
        return smtpd_hang_up(t, (enum smtp_reply)s->failed, (enum smtpd_reason)s->drain_reason);
    }
    if (s->state == SMTPD_STATE_FAILED) {
        return refuse_chunk(t);
    }
    smtpd_enter_phase(s, SMTPD_PHASE_COMMAND);
    return smtpd_refuse(t, (enum smtp_reply)s->skip_reply);
}

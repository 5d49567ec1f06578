/* What is said in a session: a job's recipients and content, and what becomes of them. See
 * deliver_smtp_inside.h. */
#include "deliver_smtp_inside.h"

#include "dsn.h"

#define IDLE_MS     5000         /* a connection is kept that long for the next job */
#define LEAVE_MS    5000         /* for the answer to QUIT */
#define CONTENT_LEN (64u * 1024) /* in one turn */
/* How long a message may take until its content is out: a peer that reads next to nothing must not
 * have the connection for ever. */
#define MAIL_MS     (30u * 60 * 1000)
#define MS_PER_BYTE 2
#define EVENTS_MAX  500 /* in one turn */

enum turn { TURN_ON, TURN_WAIT, TURN_OVER /* the session is another phase's, or gone */ };

static struct smtp_rcpt *rcpt_of(const struct remote_conn *c, uint32_t index)
{
    return &c->job->shown.rcpts[index];
}

static bool is_pending(const struct remote_conn *c, uint32_t index)
{
    return rcpt_of(c, index)->result == SMTP_RCPT_PENDING;
}

static void show_host(struct remote_conn *c)
{
    struct smtp_job *job = &c->job->shown;
    memcpy(c->job->host, c->host.name.ptr, c->host.name.len);
    job->host = slice_make(c->job->host, c->host.name.len);
    job->addr = c->addr;
}

void remote_session_begin(struct deliver_smtp *d, struct remote_conn *c)
{
    c->in = buf_make(c->in_bytes, sizeof c->in_bytes);
    c->timed_out = c->is_outdated = false;
    show_host(c);
    remote_decide(d, c);
    if (c->host.implicit_tls) {
        remote_tls_begin(d, c);
        return;
    }
    c->phase = REMOTE_SESSION;
    remote_set_deadline(d, c, smtp_client_timeout_ms(&c->client));
    remote_wake(d, c);
}

bool remote_is_idle(const struct remote_conn *c)
{
    return c->job == NULL && c->phase == REMOTE_SESSION &&
           c->client.state == SMTP_CLIENT_STATE_READY;
}

void remote_session_assign(struct deliver_smtp *d, struct remote_conn *c, struct remote_job *job)
{
    c->job = job;
    c->is_reused = true;
    c->later = 0;
    show_host(c);
    remote_wake(d, c);
}

/* --- Beginning a message --- */

/* Those of the pending that go into the next transaction. */
static void map_rcpts(struct remote_conn *c)
{
    uint32_t most = c->client.offers.rcpt_max;
    most = most == 0 || most > SMTP_JOB_RCPTS_MAX ? SMTP_JOB_RCPTS_MAX : most;
    c->num_mapped = 0;
    c->later = 0;
    for (uint32_t i = 0; i < c->job->shown.num_rcpts && c->num_mapped < most; i++) {
        if (is_pending(c, i)) {
            c->map[c->num_mapped++] = (uint8_t)i;
        }
    }
}

static uint64_t content_len(const struct remote_conn *c)
{
    return c->job->end_offset - c->job->envelope_len;
}

/* Whether it has anything beyond ASCII, as far as it is looked at. */
static bool has_utf8_header(struct deliver_smtp *d, const struct remote_conn *c)
{
    struct dsn header_only = {.is_full = false};
    struct slice begin = slice_make(d->scratch.ptr, 0);
    (void)spool_read(d->env.spool, &begin.len, c->job->shown.id, c->job->envelope_len,
                     d->scratch.ptr, DSN_HEADERS_MAX);
    begin.len = (size_t)dsn_returned_len(&header_only, begin, 0);
    return text_is_8bit(begin);
}

/* Why this server cannot take the message at all. */
static enum deliver_reason refusal(struct deliver_smtp *d, const struct remote_conn *c)
{
    const struct smtp_offers *offers = &c->client.offers;
    const struct remote_job *job = c->job;
    if (offers->size_max != 0 && content_len(c) > offers->size_max) {
        return DELIVER_TOO_BIG;
    }
    /* Some clients ask for it with every message: it is for addresses and headers. */
    if (job->is_smtputf8 && (offers->bits & SMTP_OFFER_SMTPUTF8) == 0 &&
        (text_is_8bit(slice_make(job->sender, job->sender_len)) ||
         (job->is_8bit && has_utf8_header(d, c)))) {
        return DELIVER_ADDRESS_UTF8;
    }
    return job->is_8bit && (offers->bits & SMTP_OFFER_8BITMIME) == 0 ? DELIVER_CONTENT_8BIT
                                                                     : DELIVER_NONE;
}

static bool may_send_another(const struct deliver_smtp *d, const struct remote_conn *c)
{
    uint32_t most = d->env.conf->connection_max_messages, told = c->client.offers.mail_max;
    most = told != 0 && (most == 0 || told < most) ? told : most;
    return most == 0 || c->client.num_mails < most;
}

static void begin_mail(struct deliver_smtp *d, struct remote_conn *c)
{
    const struct remote_job *job = c->job;
    struct smtp_client_mail mail = {
        .sender = slice_make(job->sender, job->sender_len),
        .envid = slice_make(job->envid, job->envid_len),
        .content_len = content_len(c),
        .is_8bit = job->is_8bit,
        .is_smtputf8 = job->is_smtputf8 && (c->client.offers.bits & SMTP_OFFER_SMTPUTF8) != 0,
        .ret = job->ret == SMTP_RET_FULL   ? "FULL"
               : job->ret == SMTP_RET_HDRS ? "HDRS"
                                           : NULL,
        .num_rcpts = c->num_mapped,
    };
    c->is_reused = c->client.num_mails != 0; /* the peer may have had enough by them */
    c->content_at = job->envelope_len;
    c->content_by_ms = d->now.now_ms + MAIL_MS + mail.content_len * MS_PER_BYTE;
    smtp_client_mail(&c->client, &mail);
    remote_set_deadline(d, c, smtp_client_timeout_ms(&c->client)); /* it may have been idle */
}

static void be_idle(struct deliver_smtp *d, struct remote_conn *c)
{
    if (d->is_stopping || c->is_outdated || !may_send_another(d, c)) {
        smtp_client_quit(&c->client);
        remote_set_deadline(d, c, LEAVE_MS);
        return;
    }
    c->idle_ms = d->now.now_ms;
    tls_park(&c->tls);
    remote_set_deadline(d, c, IDLE_MS);
}

/* A fresh connection, and the destination's hosts from the first on. */
static enum turn begin_anew(struct deliver_smtp *d, struct remote_conn *c)
{
    remote_drop_handles(d, c);
    remote_begin(d, c);
    return TURN_OVER;
}

static enum turn is_ready(struct deliver_smtp *d, struct remote_conn *c)
{
    enum deliver_reason why;
    if (c->job == NULL) {
        return TURN_WAIT;
    }
    c->dest->num_failures = 0;
    map_rcpts(c);
    if (c->num_mapped != 0 && (why = refusal(d, c)) != DELIVER_NONE) {
        c->why = c->waits_for != DELIVER_NONE ? c->waits_for : (uint8_t)why;
        c->has_answer = false;
        c->num_mapped = 0;
    }
    if (c->num_mapped == 0) {
        remote_end_job(d, c);
        be_idle(d, c);
        return c->client.out.len != 0 ? TURN_ON : TURN_WAIT;
    }
    if (!may_send_another(d, c)) {
        return begin_anew(d, c);
    }
    begin_mail(d, c);
    return TURN_ON;
}

/* --- What the engine asks for --- */

/* Leaves the next recipient out of the transaction, for good. */
static void skip_rcpt(struct remote_conn *c, enum deliver_reason why)
{
    uint32_t at = c->client.rcpt;
    remote_rcpt_failed(c, c->map[at], why);
    c->num_mapped--;
    memmove(c->map + at, c->map + at + 1, c->num_mapped - at);
    smtp_client_skip_rcpt(&c->client);
}

static void give_rcpt(struct deliver_smtp *d, struct remote_conn *c)
{
    uint64_t offset = rcpt_of(c, c->map[c->client.rcpt])->envelope_offset;
    struct slice in = slice_make(d->scratch.ptr, 0);
    struct envelope_entry entry;
    enum err err = ERR_MALFORMED;
    if (offset < c->job->envelope_len) {
        uint64_t left = c->job->envelope_len - offset;
        err = spool_read(d->env.spool, &in.len, c->job->shown.id, offset, d->scratch.ptr,
                         left < ENVELOPE_ENTRY_MAX ? (size_t)left : ENVELOPE_ENTRY_MAX);
    }
    if (err != ERR_OK || envelope_read(&in, &entry) != ERR_OK || entry.kind != ENVELOPE_RCPT) {
        skip_rcpt(c, DELIVER_SPOOL);
        return;
    }
    struct smtp_client_rcpt rcpt = {
        .address = entry.rcpt.address,
        .notify = entry.rcpt.notify,
        .orcpt = entry.rcpt.orcpt,
    };
    if (!c->client.mail.is_smtputf8 && text_is_8bit(rcpt.address)) {
        skip_rcpt(c, DELIVER_ADDRESS_UTF8);
    } else if (!smtp_client_rcpt(&c->client, &rcpt)) {
        skip_rcpt(c, DELIVER_BAD_ADDRESS);
    }
}

/* False if the spool cannot be read: then the content must not come to an end. */
static bool give_content(struct deliver_smtp *d, struct remote_conn *c, size_t *in_out_left)
{
    uint64_t left = c->job->end_offset - c->content_at;
    size_t want_len = buf_room(&c->client.out), len = 0;
    want_len = left < want_len ? (size_t)left : want_len;
    if (spool_read(d->env.spool, &len, c->job->shown.id, c->content_at, d->scratch.ptr, want_len) !=
        ERR_OK) {
        return false;
    }
    len = smtp_client_content(&c->client, slice_make(d->scratch.ptr, len));
    c->content_at += len;
    *in_out_left -= len < *in_out_left ? len : *in_out_left;
    return true;
}

/* --- Answers --- */

/* Too many recipients for one transaction: the rest has another one, if this one has any. */
static void rcpt_answer(struct remote_conn *c)
{
    uint32_t rcpt = c->map[c->client.rcpt];
    if (c->client.answer.code == 452 && c->client.accepted != 0 &&
        c->client.state == SMTP_CLIENT_STATE_RCPT) {
        c->later |= UINT64_C(1) << rcpt;
        return;
    }
    remote_rcpt_answered(c, rcpt);
}

static void mail_answer(struct remote_conn *c)
{
    if (c->is_reused && c->client.answer.code == 421) {
        return; /* it had been about to close: a fresh connection is tried */
    }
    for (uint32_t i = 0; i < c->num_mapped; i++) {
        uint32_t rcpt = c->map[i];
        if (is_pending(c, rcpt) && (c->later >> rcpt & 1) == 0) {
            remote_rcpt_answered(c, rcpt);
        }
    }
}

static bool has_pending(const struct remote_conn *c)
{
    for (uint32_t i = 0; c->job != NULL && i < c->job->shown.num_rcpts; i++) {
        if (is_pending(c, i)) {
            return true;
        }
    }
    return false;
}

/* The session is over. What it leaves undone goes on elsewhere, unless the peer may have taken it
 * already: then it waits, and may come twice (RFC 5321 4.5.3.2.6). */
static void session_ended(struct deliver_smtp *d, struct remote_conn *c)
{
    const struct smtp_client *s = &c->client;
    enum deliver_reason why = deliver_reason_find(s->reason);
    if (c->job == NULL) {
        remote_free(d, c);
        return;
    }
    if (!has_pending(c)) {
        if (s->answer.code == 421) {
            (void)remote_dest_is_full(d, c);
        }
        remote_end_job(d, c);
        remote_free(d, c);
        return;
    }
    c->has_answer = s->has_answer;
    c->answer = s->answer;
    c->why = (uint8_t)(why == DELIVER_NONE ? DELIVER_CONNECTION_LOST : why);
    if (s->is_unsure) {
        remote_end_job(d, c);
        remote_free(d, c);
        return;
    }
    if (c->is_reused) {
        (void)begin_anew(d, c);
        return;
    }
    if (why == DELIVER_LOOP) { /* every worse one would only lead here again */
        remote_report_try(d, c);
        if (c->waits_for != DELIVER_NONE) { /* that is about an earlier one */
            c->why = c->waits_for;
            c->job->shown.host.len = 0;
        }
        remote_give_up(d, c);
        return;
    }
    if (s->has_answer && smtp_answer_class(&s->answer) == 4) {
        c->waits_for = c->why; /* it may take it some other time, whatever its next address says */
    }
    remote_try_failed(d, c, (enum deliver_reason)c->why);
}

static void lose(struct deliver_smtp *d, struct remote_conn *c, const char *reason)
{
    smtp_client_lost(&c->client, reason);
    session_ended(d, c);
}

/* One that takes no mail just now, whoever it is for: others may. */
static bool leave_for_next(struct deliver_smtp *d, struct remote_conn *c)
{
    struct smtp_client *s = &c->client;
    if (c->is_reused || smtp_answer_class(&s->answer) != 4 || s->num_rcpts_answered != 0 ||
        !remote_has_next(c)) {
        return false;
    }
    if (s->state != SMTP_CLIENT_STATE_ENDED) {
        smtp_client_quit(s);
        (void)remote_flush(d, c);
    }
    s->has_answer = true;
    s->reason = "mail-refused";
    c->has_refused = true;
    session_ended(d, c);
    return true;
}

/* --- A turn --- */

static enum turn obey(struct deliver_smtp *d, struct remote_conn *c, enum smtp_client_event event,
                      size_t *in_out_left)
{
    switch (event) {
    case SMTP_CLIENT_WAIT:
    case SMTP_CLIENT_AGAIN:
        return TURN_WAIT;
    case SMTP_CLIENT_STARTTLS:
        remote_tls_begin(d, c);
        return TURN_OVER;
    case SMTP_CLIENT_READY:
        return is_ready(d, c);
    case SMTP_CLIENT_GIVE_RCPT:
        give_rcpt(d, c);
        return TURN_ON;
    case SMTP_CLIENT_GIVE_CONTENT:
        if (!give_content(d, c, in_out_left)) {
            c->why = DELIVER_SPOOL;
            c->has_answer = false;
            remote_end_job(d, c);
            remote_free(d, c);
            return TURN_OVER;
        }
        break;
    case SMTP_CLIENT_RCPT_ANSWER:
        c->is_reused = false;
        rcpt_answer(c);
        break;
    case SMTP_CLIENT_MAIL_ANSWER:
        if (leave_for_next(d, c)) {
            return TURN_OVER;
        }
        mail_answer(c);
        c->is_reused = c->is_reused && c->client.answer.code == 421;
        break;
    case SMTP_CLIENT_TURN:
        *in_out_left = 0; /* others have their turn first */
        return TURN_ON;
    case SMTP_CLIENT_DONE:
        break;
    case SMTP_CLIENT_ENDED:
        (void)remote_flush(d, c);
        session_ended(d, c);
        return TURN_OVER;
    }
    return TURN_ON;
}

/* The engine until it waits for the peer. */
static enum turn run_engine(struct deliver_smtp *d, struct remote_conn *c, size_t *in_out_left)
{
    enum turn turn = TURN_ON;
    for (int i = 0; i < EVENTS_MAX && turn == TURN_ON && *in_out_left != 0; i++) {
        struct slice in = buf_slice(&c->in);
        uint8_t state = c->client.state;
        uint32_t num_answered = c->client.num_rcpts_answered;
        enum smtp_client_event event = smtp_client_next(&c->client, &in);
        buf_drop(&c->in, c->in.len - in.len);
        if (state != c->client.state || num_answered != c->client.num_rcpts_answered) {
            remote_set_deadline(d, c, smtp_client_timeout_ms(&c->client));
        }
        turn = obey(d, c, event, in_out_left);
    }
    return turn;
}

void remote_session_turn(struct deliver_smtp *d, struct remote_conn *c)
{
    size_t left = CONTENT_LEN;
    if (c->timed_out && remote_is_idle(c)) {
        c->timed_out = false;
        smtp_client_quit(&c->client);
        remote_set_deadline(d, c, LEAVE_MS);
    }
    if (c->timed_out) {
        lose(d, c, "timeout");
        return;
    }
    for (;;) {
        enum turn turn = run_engine(d, c, &left);
        if (turn == TURN_OVER) {
            return;
        }
        bool has_said = c->client.out.len != 0;
        enum err err = remote_flush(d, c);
        bool is_blocked = err == ERR_AGAIN, is_broken = err != ERR_OK && !is_blocked;
        if (turn == TURN_ON && !is_broken) { /* others have their turn first */
            remote_watch(d, c, is_blocked);
            if (!is_blocked) {
                remote_wake(d, c);
            }
            return;
        }
        if (is_blocked || is_broken || !has_said) { /* why it was broken may still be to be read */
            left = is_broken ? CONTENT_LEN : left;
            err = remote_read(d, c);
        }
        if (err == ERR_AGAIN) {
            remote_watch(d, c, is_blocked);
            return;
        }
        if (err != ERR_OK) {
            lose(d, c, "connection-lost");
            return;
        }
    }
}

/* Outcomes of recipients, and what the log says of jobs and of tries. See deliver_smtp_inside.h. */
#include "deliver_smtp_inside.h"

static const struct deliver_reason_row reasons[] = {
#define DELIVER_REASON(symbol, name, class, subject, detail, sentence) \
    {name, sentence, {class, subject, detail}},
#include "deliver_reason.def"
#undef DELIVER_REASON
};

const struct deliver_reason_row *deliver_reason_row(enum deliver_reason reason)
{
    return &reasons[reason];
}

enum deliver_reason deliver_reason_find(const char *name)
{
    for (size_t i = 0; name != NULL && i < NUM_DELIVER_REASONS; i++) {
        if (strcmp(reasons[i].name, name) == 0) {
            return (enum deliver_reason)i;
        }
    }
    return DELIVER_NONE;
}

/* --- Outcomes --- */

#define TEXT_MIN 16 /* a reply's code and status */
_Static_assert(SMTP_JOB_TEXT_CAP / SMTP_JOB_RCPTS_MAX >= TEXT_MIN, "each has that much");

/* As much of it as leaves the others something; the same text as the last one shares its place. */
static void keep_text(struct remote_job *job, struct smtp_rcpt *rcpt, struct slice text)
{
    struct slice last = slice_make(job->shown.text + job->last_text_offset, job->last_text_len);
    size_t room = sizeof job->shown.text - job->text_len;
    for (uint32_t i = 0; i < job->shown.num_rcpts; i++) {
        room -= job->shown.rcpts[i].result == SMTP_RCPT_PENDING ? TEXT_MIN : 0;
    }
    text.len = text.len < SMTP_JOB_REPLY_MAX ? text.len : SMTP_JOB_REPLY_MAX;
    if (!slice_equal(last, text)) {
        text.len = text.len < room ? text.len : room;
        job->last_text_offset = job->text_len;
        job->last_text_len = (uint16_t)text.len;
        if (text.len != 0) {
            memcpy(job->shown.text + job->text_len, text.ptr, text.len);
        }
        job->text_len = (uint16_t)(job->text_len + text.len);
    }
    rcpt->text_offset = job->last_text_offset;
    rcpt->text_len = job->last_text_len;
}

/* By a reply; where it comes before any recipient could be named, it says nothing for good. */
static void set_by_answer(struct remote_conn *c, struct smtp_rcpt *rcpt,
                          const struct smtp_answer *a, bool is_final)
{
    unsigned class = is_final ? smtp_answer_class(a) : 4;
    rcpt->reply_code = a->code;
    memcpy(rcpt->status, a->status, sizeof rcpt->status);
    rcpt->status[0] = (uint16_t) class;
    rcpt->result = class == 2   ? SMTP_RCPT_DELIVERED
                   : class == 4 ? SMTP_RCPT_DEFERRED
                                : SMTP_RCPT_FAILED;
    if (class == 2 && (c->client.offers.bits & SMTP_OFFER_DSN) == 0) {
        rcpt->is_in_mailbox = remote_dest_is_lmtp(c->dest);
        rcpt->is_relayed_without_dsn = !rcpt->is_in_mailbox;
    }
    keep_text(c->job, rcpt, slice_make(a->text, a->text_len));
}

void remote_rcpt_answered(struct remote_conn *c, uint32_t rcpt)
{
    set_by_answer(c, &c->job->shown.rcpts[rcpt], &c->client.answer, true);
}

void remote_rcpt_failed(struct remote_conn *c, uint32_t rcpt, enum deliver_reason why)
{
    const struct deliver_reason_row *row = deliver_reason_row(why);
    struct smtp_rcpt *r = &c->job->shown.rcpts[rcpt];
    r->result = row->status[0] == 5 ? SMTP_RCPT_FAILED : SMTP_RCPT_DEFERRED;
    memcpy(r->status, row->status, sizeof r->status);
    c->job->shown.reason = row->name;
    keep_text(c->job, r, slice_of_string(row->sentence));
}

bool remote_takes_nothing(const struct remote_conn *c)
{
    return c->why == DELIVER_GREETING_REFUSED && c->answer.code == 521; /* RFC 7504 */
}

void remote_fail_pending(struct remote_conn *c)
{
    struct smtp_job *job = &c->job->shown;
    const struct deliver_reason_row *row = deliver_reason_row((enum deliver_reason)c->why);
    bool is_final = remote_takes_nothing(c) && c->waits_for == DELIVER_NONE;
    for (uint32_t i = 0; i < job->num_rcpts; i++) {
        struct smtp_rcpt *r = &job->rcpts[i];
        if (r->result != SMTP_RCPT_PENDING) {
            continue;
        }
        if (!c->has_answer) {
            remote_rcpt_failed(c, i, (enum deliver_reason)c->why);
            continue;
        }
        /* One text for all, or there would not be room for each. */
        set_by_answer(c, r, &c->answer, is_final);
        memcpy(r->status + 1, row->status + 1, 2 * sizeof row->status[0]);
        job->reason = row->name;
    }
}

/* --- The log --- */

static void put_server(struct log_line *line, const struct remote_conn *c)
{
    uint8_t bytes[64];
    struct buf addr = buf_make(bytes, sizeof bytes);
    log_peer_text(line, "host", c->host.name);
    if (!c->host.is_socket) {
        net_addr_put(&addr, &c->addr);
        log_slice(line, "address", buf_slice(&addr));
        log_u64(line, "port", c->host.port);
    }
}

/* $tls_out_ocsp's five values, in Exim's order. */
static void put_tls(struct log_line *line, const struct remote_conn *c)
{
    static const char *const ocsp[] = {"not-requested", "no-response", "not-verified", "failed",
                                       "verified"};
    if (!c->in_tls) {
        log_word(line, "tls", "no");
        return;
    }
    log_word(line, "tls", tls_info(&c->tls)->version);
    log_word(line, "cipher", tls_info(&c->tls)->cipher);
    log_word(line, "certificate", c->is_verified ? "verified" : "unverified");
    log_word(line, "tls_out_ocsp", ocsp[c->ocsp]);
    if (c->ocsp == REMOTE_OCSP_FAILED) {
        log_word(line, "ocsp_reason", ocsp_reason_name((enum ocsp_reason)c->ocsp_reason));
    }
}

static void put_line(const struct deliver_smtp *d, enum log_level level, struct log_line *line)
{
    d->env.port->log.line(d->env.port->log.ctx, level, log_end(line));
}

void remote_report_job(struct deliver_smtp *d, const struct remote_conn *c)
{
    const struct smtp_job *job = &c->job->shown;
    uint32_t counts[SMTP_RCPT_FAILED + 1] = {0};
    const struct smtp_rcpt *shown = &job->rcpts[0]; /* the first that was not delivered */
    struct log_line line;
    for (uint32_t i = 0; i < job->num_rcpts; i++) {
        counts[job->rcpts[i].result]++;
        if (shown->result == SMTP_RCPT_DELIVERED) {
            shown = &job->rcpts[i];
        }
    }
    log_begin(&line, "relay");
    spool_id_log(&line, "id", job->id);
    log_u64(&line, "delivered", counts[SMTP_RCPT_DELIVERED]);
    log_u64(&line, "deferred", counts[SMTP_RCPT_DEFERRED]);
    log_u64(&line, "failed", counts[SMTP_RCPT_FAILED]);
    if (job->host.len != 0) {
        put_server(&line, c);
        if (c->phase == REMOTE_SESSION) {
            put_tls(&line, c);
        }
    }
    if (shown->reply_code == 0) {
        log_word(&line, "reason", job->reason);
    } else {
        log_peer_text(&line, "answer", smtp_rcpt_text(job, shown));
    }
    put_line(d, shown->result == SMTP_RCPT_DELIVERED ? LOG_INFO : LOG_WARNING, &line);
}

/* A server that does not let us in is the owner's business; mail waits until he has seen to it. */
void remote_report_try(struct deliver_smtp *d, const struct remote_conn *c)
{
    enum deliver_reason why = (enum deliver_reason)c->why;
    bool is_alarm = why == DELIVER_LOGIN_REFUSED || why == DELIVER_LOGIN_NOT_PROVED ||
                    why == DELIVER_LOGIN_NOT_OFFERED || why == DELIVER_LOGIN_REQUIRED ||
                    why == DELIVER_PROOF_REVOKED;
    const struct tls_info *info = c->tls.env == NULL ? NULL : tls_info(&c->tls);
    struct log_line line;
    log_begin(&line, "relay-try");
    if (c->job != NULL) {
        spool_id_log(&line, "id", c->job->shown.id);
    }
    log_word(&line, "reason", deliver_reason_row(why)->name);
    put_server(&line, c);
    if (c->in_tls) {
        put_tls(&line, c);
    } else if (info != NULL && info->failure != NULL) {
        log_word(&line, "tls_failure", info->failure);
        if (info->alert != 0) {
            log_u64(&line, "tls_alert", info->alert);
        }
    }
    if (c->has_answer) {
        log_peer_text(&line, "answer", slice_make(c->answer.text, c->answer.text_len));
    }
    put_line(d, is_alarm ? LOG_ERROR : LOG_INFO, &line);
}

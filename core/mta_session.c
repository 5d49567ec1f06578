/* What an SMTP session asks, answered: routing of recipients, and the message's way into the spool.
 *
 * A transaction (struct txn) lives from MAIL until its reply: with the connection first, and from
 * spool_commit on in the list of those that wait to be durable, whether or not the client stays to
 * hear of it. */
#include "mta_inside.h"
#include "xtext.h"

/* Room for the Received field and the envelope beside what the client announced. */
#define OVERHEAD_LEN 4096

/* Bytes of an envelope of a few recipients: two blocks. */
#define FEW_RCPTS_LEN 1024

static enum smtpd_verdict verdict_of(enum err err)
{
    if (err == ERR_OK) {
        return SMTPD_OK;
    }
    if (err == ERR_FULL || err == ERR_NO_SPACE || err == ERR_NO_MEMORY) {
        return SMTPD_NO_SPACE;
    }
    return err == ERR_TOO_BIG ? SMTPD_TOO_BIG : SMTPD_TEMPORARY;
}

static void answer(struct conn *c, enum smtpd_verdict verdict)
{
    smtpd_answer(&c->smtp, verdict, slice_make(NULL, 0));
}

void txn_free(struct mta *m, struct txn *t)
{
    if (t->is_begun) {
        spool_abort(m->spool, t->spool_txn);
        m->num_txns_promised--;
    }
    envelope_clear(&t->envelope, &m->blocks);
    pool_give(&m->txns, t);
}

/* Whether a message of that announced size has a place in the spool as it is now. */
static bool spool_has_room(const struct mta *m, uint64_t declared_len)
{
    struct spool_stats stats;
    spool_stats_of(m->spool, &stats);
    return queue_has_room(&m->queue, m->num_txns_promised) &&
           stats.live_len + declared_len <= stats.live_limit_len;
}

/* Whether a transaction may begin at all. */
static enum smtpd_verdict judge_mail(struct mta *m, struct conn *c, const struct smtpd_ask *ask)
{
    if (!m->spool_ready) {
        return SMTPD_TEMPORARY;
    }
    enum smtpd_verdict verdict = SMTPD_OK;
    if (c->local == NULL) {
        verdict = submission_verdict(m, c, &ask->address);
    } else if (!local_may_send_as(m, c->local, &ask->address)) {
        verdict = SMTPD_NOT_YOURS;
    }
    if (verdict != SMTPD_OK) {
        return verdict;
    }
    if (!spool_has_room(m, ask->size)) {
        return SMTPD_NO_SPACE;
    }
    if (m->txns.num_used == m->txns.num_items) {
        return SMTPD_BUSY;
    }
    /* Last: what is refused for something else is no message sent. */
    bool is_within = c->local != NULL ? local_count(m, c->local) : submission_count_message(m, c);
    return is_within ? SMTPD_OK : SMTPD_RATE;
}

static enum err begin_envelope(struct mta *m, struct conn *c, struct txn *t,
                               const struct smtpd_ask *ask)
{
    uint8_t login_bytes[AUTH_NAME_MAX], envid_bytes[ENVELOPE_ENVID_MAX];
    struct buf login = buf_make(login_bytes, sizeof login_bytes);
    struct buf envid = buf_make(envid_bytes, sizeof envid_bytes);
    if (c->local != NULL) {
        local_put_login(&login, c->local);
    } else if (c->user != NULL) {
        buf_put(&login, slice_make(c->user->name, c->user->name_len));
    }
    xtext_take_envid(ask->envid, &envid);
    struct envelope_params params = {
        .login = buf_slice(&login),
        .flags = (uint8_t)((ask->is_8bit ? ENVELOPE_8BITMIME : 0) |
                           (ask->is_smtputf8 ? ENVELOPE_SMTPUTF8 : 0) | ask->ret),
        .envid = buf_slice(&envid),
        .running_s = running_time_s(&m->running, m->now_ms),
    };
    return envelope_begin(&t->envelope, &m->blocks, ask->address.text, &params);
}

void session_mail(struct mta *m, struct conn *c, const struct smtpd_ask *ask)
{
    enum smtpd_verdict verdict = judge_mail(m, c, ask);
    struct txn *t = verdict == SMTPD_OK ? pool_take(&m->txns) : NULL;
    if (t == NULL) {
        answer(c, verdict == SMTPD_OK ? SMTPD_BUSY : verdict);
        return;
    }
    enum err err = begin_envelope(m, c, t, ask);
    if (err != ERR_OK) {
        pool_give(&m->txns, t);
        answer(c, verdict_of(err));
        return;
    }
    t->declared_len = ask->size;
    t->is_smtputf8 = ask->is_smtputf8;
    t->is_submission = c->local != NULL || conn_is_submission(m, c);
    c->txn = t;
    answer(c, SMTPD_OK);
}

/* ORCPT of what is passed on to another address than the client named (RFC 3461 5.2.1). */
static void put_orcpt(struct buf *b, const struct smtpd_ask *ask, struct slice address)
{
    if (!xtext_take_orcpt(ask->orcpt, ask->is_smtputf8, b) &&
        !slice_equal(address, ask->address.text)) {
        buf_put_string(b, ask->address.is_utf8 ? "utf-8;" : "rfc822;");
        buf_put(b, ask->address.text);
    }
}

/* The last quarter of the blocks is for envelopes of a few recipients: on a board one client could
 * take all of them in one transaction, and nobody else's MAIL would find any. */
static bool must_leave_blocks(const struct mta *m, const struct txn *t)
{
    uint32_t num_free = m->blocks.num_items - m->blocks.num_used;
    return t->envelope.len > FEW_RCPTS_LEN && num_free <= m->blocks.num_items / 4;
}

enum err txn_add_rcpts(struct mta *m, struct txn *t, const struct smtpd_ask *ask,
                       const struct route_result *result)
{
    struct envelope_mark mark = envelope_mark(&t->envelope);
    struct envelope_mailboxes mailboxes = {&m->site->conf, route_is_same_maildir};
    for (uint32_t i = 0; i < result->num_targets; i++) {
        const struct route_target *target = &result->targets[i];
        uint8_t bytes[ENVELOPE_ORCPT_MAX];
        struct buf orcpt = buf_make(bytes, sizeof bytes);
        put_orcpt(&orcpt, ask, target->address);
        struct envelope_rcpt rcpt = {.user = target->user,
                                     .address = target->address,
                                     .orcpt = buf_slice(&orcpt),
                                     .notify = ask->notify};
        t->is_forwarded = t->is_forwarded || !slice_equal(target->address, ask->address.text);
        enum err err = envelope_add(&t->envelope, &m->blocks, &rcpt, &mailboxes);
        if (err != ERR_OK && err != ERR_EXISTS) {
            envelope_cut(&t->envelope, &m->blocks, &mark);
            return err;
        }
    }
    return ERR_OK;
}

static enum smtpd_verdict add_rcpts(struct mta *m, struct txn *t, const struct smtpd_ask *ask,
                                    const struct route_result *result)
{
    if (t->envelope.num_rcpts + result->num_targets > SPOOL_RCPTS_MAX || must_leave_blocks(m, t)) {
        return SMTPD_BUSY;
    }
    enum err err = txn_add_rcpts(m, t, ask, result);
    return err == ERR_NO_MEMORY ? SMTPD_BUSY : verdict_of(err);
}

void session_rcpt(struct mta *m, struct conn *c, const struct smtpd_ask *ask)
{
    static const struct {
        enum smtpd_verdict reply;
        enum log_level level;
        const char *reason;
    } refusals[] = {
        [ROUTE_UNKNOWN_USER] = {SMTPD_UNKNOWN_USER, LOG_DEBUG, "unknown-user"},
        [ROUTE_RELAY_DENIED] = {SMTPD_RELAY_DENIED, LOG_INFO, "relay-denied"},
        [ROUTE_NO_WAY] = {SMTPD_NO_ROUTE, LOG_INFO, "no-route"},
        [ROUTE_TEMPORARY] = {SMTPD_TEMPORARY, LOG_WARNING, "alias-leads-nowhere"},
    };
    struct route_result result;
    struct buf room = buf_make(m->scratch, ROUTE_ROOM_LEN);
    if (c->txn == NULL) {
        answer(c, SMTPD_TEMPORARY);
        return;
    }
    bool may_relay = conn_may_relay(m, c);
    enum route_verdict verdict =
        route_address(&m->site->conf, &ask->address, may_relay, room, &result);
    if (verdict == ROUTE_LOCAL || verdict == ROUTE_REMOTE) {
        answer(c, add_rcpts(m, c->txn, ask, &result));
        return;
    }
    /* A stranger may have guessed; a client of ours has a wrong address in its options. */
    enum log_level level = refusals[verdict].level;
    level = may_relay && level == LOG_DEBUG ? LOG_INFO : level;
    report_rcpt(m, c, level, refusals[verdict].reason, ask->address.text);
    answer(c, refusals[verdict].reply);
}

static enum err begin(struct mta *m, struct txn *t, uint64_t known_len)
{
    if (!m->spool_ready || !queue_has_room(&m->queue, m->num_txns_promised)) {
        return m->spool_ready ? ERR_FULL : ERR_BUSY;
    }
    uint64_t len = known_len > t->declared_len ? known_len : t->declared_len;
    enum err err = spool_begin(m->spool, &t->spool_txn, len + t->envelope.len + OVERHEAD_LEN);
    if (err != ERR_OK) {
        return err;
    }
    t->is_begun = true;
    m->num_txns_promised++;
    t->next_block = t->envelope.first;
    if (!wall_time_now(&m->wall, &t->received_s)) {
        t->received_s = 0;
    }
    return ERR_OK;
}

static enum err write_envelope(struct mta *m, struct txn *t)
{
    while (t->next_block != NULL) {
        struct slice bytes = slice_make(t->next_block->bytes, t->next_block->len);
        enum err err = spool_append(m->spool, t->spool_txn, bytes);
        if (err != ERR_OK) {
            return err;
        }
        t->next_block = t->next_block->next;
    }
    t->wrote_envelope = true;
    return ERR_OK;
}

/* The address of the only recipient; empty if there are more, or if an alias led to it: nobody is
 * told to where. */
static struct slice only_rcpt(const struct txn *t, struct envelope_cursor *cursor)
{
    struct envelope_entry entry;
    bool is_one = t->envelope.num_rcpts == 1 && !t->is_forwarded &&
                  envelope_find(&t->envelope, ENVELOPE_RCPT, cursor, &entry);
    return is_one ? entry.rcpt.address : slice_make(NULL, 0);
}

/* What the transaction knows joins what is known of its client. */
static enum err write_trace(struct mta *m, struct txn *t, struct header_trace *trace)
{
    uint8_t id_bytes[SPOOL_ID_TEXT_LEN];
    struct buf id = buf_make(id_bytes, sizeof id_bytes);
    struct buf text = buf_make(m->scratch, HEADER_RECEIVED_MAX);
    struct envelope_cursor cursor;
    spool_id_put(&id, spool_txn_id(m->spool, t->spool_txn));
    trace->hostname = m->smtp_env.hostname;
    trace->id = buf_slice(&id);
    trace->recipient = only_rcpt(t, &cursor);
    trace->date = t->received_s != 0 ? t->received_s : wall_time_guess(&m->wall);
    trace->is_smtputf8 = t->is_smtputf8;
    if (!header_put_received(&text, trace)) {
        return ERR_TOO_BIG;
    }
    enum err err = spool_append(m->spool, t->spool_txn, buf_slice(&text));
    t->wrote_trace = err == ERR_OK;
    return err;
}

enum err txn_write_head(struct mta *m, struct txn *t, uint64_t known_len,
                        struct header_trace *trace)
{
    enum err err = t->is_begun ? ERR_OK : begin(m, t, known_len);
    if (err == ERR_OK && !t->wrote_envelope) {
        err = write_envelope(m, t);
    }
    if (err == ERR_OK && !t->wrote_trace) {
        err = write_trace(m, t, trace);
    }
    return err;
}

bool session_begin(struct mta *m, struct conn *c, uint64_t known_len)
{
    uint8_t tls_bytes[96];
    struct buf tls = buf_make(tls_bytes, sizeof tls_bytes);
    if (c->tls != NULL) {
        const struct tls_info *info = tls_info(c->tls);
        buf_put_string(&tls, info->version);
        buf_put_u8(&tls, ' ');
        buf_put_string(&tls, info->cipher);
    }
    struct header_trace trace = {
        .helo = smtpd_helo(&c->smtp),
        .peer = c->peer,
        .tls = buf_slice(&tls),
        .is_local = c->local != NULL,
        .local_uid = c->local != NULL ? c->local->uid : 0,
        .is_esmtp = smtpd_is_esmtp(&c->smtp),
        .is_authenticated = c->user != NULL,
    };
    enum err err = c->txn == NULL ? ERR_WRONG_STATE : txn_write_head(m, c->txn, known_len, &trace);
    if (err == ERR_AGAIN) {
        c->waits_for_room = true;
        return false;
    }
    if (err != ERR_OK) {
        report_refusal(m, c, err_name(err));
    }
    answer(c, verdict_of(err));
    return true;
}

void session_look_at(struct mta *m, struct conn *c, struct slice body)
{
    struct txn *t = c->txn;
    c->body = body;
    t->is_8bit = t->is_8bit || text_is_8bit(body);
    header_count_hops(&t->hops, body);
    if (t->hops.num >= m->site->conf.received_headers_max && !BROKEN(HOPS_UNLIMITED)) {
        c->body = slice_make(NULL, 0);
        report_refusal(m, c, "loop");
        smtpd_body_failed(&c->smtp, SMTPD_LOOP); /* and there is no more to look at */
    }
}

bool session_body(struct mta *m, struct conn *c)
{
    if (slice_is_empty(c->body)) {
        return true;
    }
    enum err err = submission_store(m, c->txn, &c->body, false);
    if (err == ERR_AGAIN) {
        c->waits_for_room = true;
        return false;
    }
    c->body = slice_make(NULL, 0);
    if (err != ERR_OK) {
        report_refusal(m, c, err_name(err));
        smtpd_body_failed(&c->smtp, verdict_of(err));
    }
    return true;
}

enum err txn_commit(struct mta *m, struct txn *t)
{
    struct spool_meta meta = {
        .envelope_len = t->envelope.len,
        .num_rcpts = t->envelope.num_rcpts,
        .received_s = t->received_s,
        .flags =
            (t->is_8bit ? ENVELOPE_CONTENT_8BIT : 0u) | (t->is_of_outbox ? ENVELOPE_UNCHECKED : 0u),
    };
    enum err err = spool_commit(m->spool, t->spool_txn, &meta);
    if (err != ERR_OK) {
        return err;
    }
    t->next = NULL;
    if (m->commits_last == NULL) {
        m->commits_first = t;
    } else {
        m->commits_last->next = t;
    }
    m->commits_last = t;
    return ERR_OK;
}

void session_end(struct mta *m, struct conn *c)
{
    struct txn *t = c->txn;
    struct slice none = slice_make(NULL, 0);
    enum err err = submission_store(m, t, &none, true);
    t->is_at_end = err == ERR_AGAIN;
    c->waits_for_room = t->is_at_end;
    if (t->is_at_end) {
        return;
    }
    if (err == ERR_OK) {
        err = txn_commit(m, t);
    }
    if (err != ERR_OK) {
        report_refusal(m, c, err_name(err));
        answer(c, verdict_of(err));
        session_abort(m, c);
        return;
    }
    c->waits_for_commit = true;
    t->conn = pool_handle(&m->conns, c);
}

void session_abort(struct mta *m, struct conn *c)
{
    c->body = slice_make(NULL, 0);
    c->waits_for_room = false;
    if (c->txn != NULL && !c->waits_for_commit) {
        txn_free(m, c->txn);
    }
    c->txn = NULL;
}

/* Takes the transaction out of the list of those that wait. They end nearly in the order in which
 * they came. */
static struct txn *take_waiting(struct mta *m, uint64_t spool_txn)
{
    struct txn *before = NULL;
    for (struct txn *t = m->commits_first; t != NULL; before = t, t = t->next) {
        if (t->spool_txn != spool_txn) {
            continue;
        }
        if (before == NULL) {
            m->commits_first = t->next;
        } else {
            before->next = t->next;
        }
        if (m->commits_last == t) {
            m->commits_last = before;
        }
        return t;
    }
    return NULL;
}

void session_committed(struct mta *m, const struct spool_event *event)
{
    struct txn *t = take_waiting(m, event->txn);
    if (t == NULL) {
        return;
    }
    struct conn *c = pool_find(&m->conns, t->conn);
    if (event->err == ERR_OK) {
        /* There is room: num_txns_promised kept it. */
        queue_add(&m->queue, event->id, false);
        m->stats.num_messages++;
    }
    report_message(m, c, t, event);
    bool is_of_outbox = t->is_of_outbox;
    t->is_begun = false;
    m->num_txns_promised--;
    txn_free(m, t);
    if (is_of_outbox) {
        outbox_committed(m, event->err);
    }
    if (c == NULL) {
        return;
    }
    uint8_t id_bytes[SPOOL_ID_TEXT_LEN];
    struct buf id = buf_make(id_bytes, sizeof id_bytes);
    spool_id_put(&id, event->id);
    c->txn = NULL;
    c->waits_for_commit = false;
    c->heard_while_waiting = false;
    if (event->err == ERR_OK) {
        c->num_messages++;
    }
    smtpd_answer(&c->smtp, verdict_of(event->err), buf_slice(&id));
    conn_queue(m, c);
}

/* Reports: what a round has collected becomes one new message in the spool, from nobody (RFC 3461
 * 6.1) to the sender.
 *
 * CHOOSING  asks the envelope for each recipient whether its sender wants to know (NOTIFY)
 * OPENING   begins a transaction, which may use what the spool reserves
 * ENVELOPE, HEAD, LINES, STATUS, FIELDS, ORIGINAL, CONTENT, TAIL
 *           a piece each turn; core/dsn has the words
 * COMMITTING  waits for SPOOL_COMMITTED: then the outcomes may be recorded
 *
 * A report about a report, or one whose sender is nobody here, goes to the postmaster by option,
 * once, and is dropped with a log line otherwise. If there is no room for a report, what it was to
 * say is forgotten: the recipients fail again in the next round. Called by rounds. */
#include "address.h"
#include "budget.h"
#include "queue_inside.h"
#include "route.h"
#include "wall_time.h"

/* The begin of scratch holds an entry of the envelope, what is put together stands behind it. */
#define PIECE_AT   ENVELOPE_ENTRY_MAX
#define COPY_LEN   16384
#define ROOM_AT    (PIECE_AT + SPOOL_APPEND_MAX) /* and behind that, what route_address makes */
#define POSTMASTER "postmaster"

_Static_assert(ROOM_AT + ROUTE_ROOM_LEN <= BUDGET_PIECE_LEN, "scratch is that long");
_Static_assert(DSN_HEADERS_MAX <= COPY_LEN, "the header is looked at in scratch");

enum report_step {
    CHOOSING,
    OPENING,
    ENVELOPE,
    HEAD,
    LINES,
    STATUS,
    FIELDS,
    ORIGINAL,
    CONTENT,
    TAIL,
    COMMITTING,
    COMMITTED
};

static void log_report(struct queue *q, const struct queue_round *r, const char *result,
                       const char *reason)
{
    const struct queue_report *p = r->report;
    struct log_line line;
    log_begin(&line, "report");
    if (p->id != 0) {
        spool_id_log(&line, "id", p->id);
    }
    spool_id_log(&line, "of", r->id);
    log_word(&line, "result", result);
    if (reason != NULL) {
        log_word(&line, "reason", reason);
    }
    log_u64(&line, "rcpts", p->num_items);
    log_peer_text(&line, "to", p->dsn.to);
    queue_log(q, reason == NULL ? LOG_INFO : LOG_WARNING, &line);
}

static void end(struct queue *q, struct queue_round *r)
{
    struct queue_report *p = r->report;
    q->num_promised -= p->is_promised;
    p->round = NULL;
    r->report = NULL;
    q->num_reports--;
    r->phase = ROUND_RECORDING;
}

/* Nobody is told, and that is final. */
static void drop(struct queue *q, struct queue_round *r, const char *reason)
{
    log_report(q, r, "dropped", reason);
    end(q, r);
}

/* What was collected is forgotten: it will come again. */
static void defer(struct queue *q, struct queue_round *r, enum err err)
{
    struct queue_report *p = r->report;
    spool_abort(q->env.spool, p->txn);
    if (r->sender.len == 0 && !err_is_temporary(err)) {
        drop(q, r, err_name(err));
        return;
    }
    log_report(q, r, "deferred", err_name(err));
    while (r->items_first != NULL && !BROKEN(REPORT_FORGOTTEN)) {
        queue_drop_item(q, r);
    }
    r->num_deferred++;
    r->is_warning = false; /* nor has its sender been told that it is late */
    end(q, r);
}

/* --- Whether --- */

static bool is_wanted(const struct queue *q, const struct queue_round *r,
                      const struct queue_item *item, uint8_t notify)
{
    bool is_failure = item->action == DSN_FAILED;
    if (BROKEN(BOUNCE_BOUNCED) && r->sender.len == 0) {
        return is_failure;
    }
    if ((r->meta.flags & ENVELOPE_NO_REPORT) != 0 ||
        (item->code == QUEUE_REMOVED && (queue_entry_of(q, r)->flags & QUEUE_IS_SILENT) != 0)) {
        return false;
    }
    if (r->sender.len == 0) { /* RFC 5321 4.5.5 */
        return is_failure && q->conf->double_bounce_to_postmaster;
    }
    if ((notify & ENVELOPE_NEVER) != 0) {
        return false;
    }
    if (is_failure) {
        return notify == 0 || (notify & ENVELOPE_FAILURE) != 0;
    }
    if (item->action == DSN_DELAYED) {
        return notify == 0 || (notify & ENVELOPE_DELAY) != 0;
    }
    return (notify & ENVELOPE_SUCCESS) != 0;
}

/* The entry of the recipient that the next item is about, into the begin of scratch. */
static enum err read_item(struct queue *q, struct queue_round *r, struct buf scratch,
                          struct envelope_entry *out)
{
    uint64_t at = r->report->item->envelope_at;
    enum err err = queue_read_entry(q, r, &at, scratch, out);
    return err == ERR_OK && out->kind != ENVELOPE_RCPT ? ERR_DAMAGED : err;
}

static size_t choose(struct queue *q, struct queue_round *r, struct buf scratch)
{
    struct queue_report *p = r->report;
    struct envelope_entry entry;
    if (p->item == NULL) {
        p->step = OPENING;
        return 1;
    }
    enum err err = read_item(q, r, scratch, &entry);
    if (err != ERR_OK) {
        defer(q, r, err);
        return 1;
    }
    p->item->is_wanted = is_wanted(q, r, p->item, entry.rcpt.notify);
    if (p->item->is_wanted) {
        p->num_items++;
        p->dsn.actions |= 1u << p->item->action;
        p->dsn.is_utf8 = p->dsn.is_utf8 || text_is_8bit(entry.rcpt.address);
    }
    p->item = p->item->next;
    return 1;
}

/* --- Opening --- */

static void set_to(struct queue_report *p, struct slice to)
{
    p->dsn.to = slice_make(p->to_bytes, to.len);
    if (to.len != 0) {
        memcpy(p->to_bytes, to.ptr, to.len);
    }
}

static void set_postmaster(const struct queue *q, struct queue_report *p)
{
    struct buf to = buf_make(p->to_bytes, sizeof p->to_bytes);
    buf_put_string(&to, POSTMASTER "@");
    buf_put(&to, q->conf->primary_hostname);
    p->dsn.to = buf_slice(&to);
    p->is_last = p->dsn.has_no_sender = true;
}

/* How much of the original goes with it, and whether that is 8-bit, or UTF-8: SMTPUTF8 may have
 * been asked for and not be needed. */
static enum err measure(struct queue *q, struct queue_round *r, struct buf scratch)
{
    struct queue_report *p = r->report;
    uint64_t content_len = r->meta.total_len - r->meta.envelope_len;
    struct slice begin = {scratch.ptr, 0};
    enum err err = spool_read(q->env.spool, &begin.len, r->id, r->meta.envelope_len, scratch.ptr,
                              DSN_HEADERS_MAX);
    if (err != ERR_OK && err != ERR_EOF) {
        return err;
    }
    /* Anybody can write the fields of a loop, and a sender's name: content is not for him to hand
     * on. */
    bool is_asked = (r->params_flags & ENVELOPE_RET_FULL) != 0 && !r->is_looping;
    p->dsn.is_full = dsn_is_full(is_asked, p->dsn.actions, content_len);
    p->returned_len = dsn_returned_len(&p->dsn, begin, content_len);
    /* A report that is 8-bit without need is lost where 8BITMIME is not known. */
    p->dsn.is_8bit = p->dsn.is_full ? (r->meta.flags & ENVELOPE_CONTENT_8BIT) != 0
                                    : text_is_8bit(slice_make(begin.ptr, (size_t)p->returned_len));
    p->dsn.is_utf8 = p->dsn.is_utf8 || text_is_8bit(p->dsn.to) ||
                     (p->dsn.is_8bit && (r->params_flags & ENVELOPE_SMTPUTF8) != 0);
    return ERR_OK;
}

static enum err begin(struct queue *q, struct queue_round *r, struct buf scratch)
{
    struct queue_report *p = r->report;
    const struct port_entropy *entropy = &q->env.port->entropy;
    p->dsn.envid = r->envid;
    p->dsn.arrival_s = r->meta.received_s;
    p->dsn.now_s = wall_time_guess(q->env.wall);
    enum err err = entropy->fill(entropy->ctx, p->dsn.nonce, sizeof p->dsn.nonce);
    if (err == ERR_OK) {
        err = measure(q, r, scratch);
    }
    if (err == ERR_OK && q->num_entries + q->num_promised >= q->limits.num_messages) {
        err = ERR_FULL;
    }
    if (err == ERR_OK) {
        err = spool_begin_report(q->env.spool, &p->txn, p->returned_len);
    }
    return err;
}

static size_t open(struct queue *q, struct queue_round *r, struct buf scratch)
{
    struct queue_report *p = r->report;
    if (p->num_items == 0) {
        bool is_failure = r->items_first->code != 0;
        if (r->sender.len == 0 && is_failure) {
            drop(q, r, "null-sender");
        } else {
            end(q, r);
        }
        return 1;
    }
    if (r->sender.len != 0) {
        set_to(p, r->sender);
    } else {
        set_postmaster(q, p);
    }
    enum err err = begin(q, r, scratch);
    if (err != ERR_OK) {
        defer(q, r, err);
        return 1;
    }
    p->id = spool_txn_id(q->env.spool, p->txn);
    q->num_promised++;
    p->is_promised = true;
    p->step = ENVELOPE;
    return 1;
}

/* --- Pieces --- */

/* Its recipients: as those of any message from here. False: there are none. */
static bool put_rcpts(struct queue *q, struct queue_report *p, struct buf *b, struct buf room)
{
    struct route_result result;
    struct envelope_entry entry = {.kind = ENVELOPE_RCPT};
    struct address to = {.text = SLICE_LITERAL(POSTMASTER), .local = SLICE_LITERAL(POSTMASTER)};
    if (!p->is_last && address_parse(p->dsn.to, &to) != ADDRESS_OK) {
        return false;
    }
    enum route_verdict verdict = route_address(q->conf, &to, true, room, &result);
    if (verdict != ROUTE_LOCAL && verdict != ROUTE_REMOTE) {
        return false;
    }
    for (uint32_t i = 0; i < result.num_targets; i++) {
        entry.rcpt.user = result.targets[i].user;
        entry.rcpt.address = result.targets[i].address;
        if (envelope_put(b, &entry) != ERR_OK) {
            b->overflow = true;
        }
    }
    p->num_rcpts = result.num_targets;
    return true;
}

/* ERR_ABSENT: to nobody. */
static enum err put_envelope(struct queue *q, struct queue_report *p, struct buf *b,
                             struct buf room)
{
    struct envelope_params params = {
        .flags = (uint8_t)((text_is_8bit(p->dsn.to) ? ENVELOPE_SMTPUTF8 : 0) |
                           (p->dsn.is_8bit || p->dsn.is_utf8 ? ENVELOPE_8BITMIME : 0)),
        .running_s = running_time_s(q->env.running, q->now_ms),
    };
    enum err err = envelope_put_head(b, slice_make(NULL, 0), &params);
    size_t head_len = b->len;
    if (err == ERR_OK && !put_rcpts(q, p, b, room)) {
        b->len = head_len;
        err = ERR_ABSENT;
        if (!p->is_last && q->conf->double_bounce_to_postmaster) {
            set_postmaster(q, p);
            err = put_rcpts(q, p, b, room) ? ERR_OK : ERR_ABSENT;
        }
    }
    p->envelope_len = (uint32_t)b->len;
    return b->overflow ? ERR_TOO_BIG : err;
}

static enum err put_item(struct queue *q, struct queue_round *r, struct buf scratch, struct buf *b)
{
    const struct queue_report *p = r->report;
    const struct queue_item *item = p->item;
    struct envelope_entry entry;
    enum err err = read_item(q, r, scratch, &entry);
    if (err != ERR_OK) {
        return err;
    }
    struct dsn_rcpt rcpt = {
        .address = entry.rcpt.address,
        .orcpt = entry.rcpt.orcpt,
        .action = (enum dsn_action)item->action,
        .status = {item->status[0], item->status[1], item->status[2]},
        .remote_mta = slice_make(item->host, item->host_len),
        .reply = slice_make(item->text, item->text_len),
        .is_peers_reply = item->is_peers_reply,
        .last_attempt_s = p->dsn.now_s,
    };
    if (item->action == DSN_DELAYED) {
        rcpt.retry_until_s = p->dsn.now_s + (int64_t)(q->conf->retry_give_up_ms / 1000 - r->age_s);
    }
    bool is_put =
        p->step == LINES ? dsn_put_line(b, &p->dsn, &rcpt) : dsn_put_fields(b, &p->dsn, &rcpt);
    return is_put ? ERR_OK : ERR_TOO_BIG;
}

static enum err put_content(struct queue *q, struct queue_round *r, struct buf *b)
{
    const struct queue_report *p = r->report;
    uint64_t left = p->returned_len - p->copied_len;
    size_t len = left < COPY_LEN ? (size_t)left : COPY_LEN;
    if (len == 0) {
        return ERR_OK;
    }
    enum err err =
        spool_read(q->env.spool, &b->len, r->id, r->meta.envelope_len + p->copied_len, b->ptr, len);
    return err == ERR_EOF ? ERR_DAMAGED : err;
}

/* The piece of this step, which may be empty. */
static enum err put_piece(struct queue *q, struct queue_round *r, struct buf scratch, struct buf *b)
{
    struct queue_report *p = r->report;
    bool is_put = true;
    switch ((enum report_step)p->step) {
    case ENVELOPE:
        return put_envelope(q, p, b, buf_make(scratch.ptr + ROOM_AT, scratch.cap - ROOM_AT));
    case HEAD:
        is_put = dsn_put_head(b, &p->dsn);
        break;
    case LINES:
    case FIELDS:
        return p->item != NULL && p->item->is_wanted ? put_item(q, r, scratch, b) : ERR_OK;
    case STATUS:
        is_put = dsn_put_status(b, &p->dsn);
        break;
    case ORIGINAL:
        is_put = dsn_put_original(b, &p->dsn);
        break;
    case CONTENT:
        return put_content(q, r, b);
    case TAIL:
        is_put = dsn_put_tail(b, &p->dsn);
        break;
    case CHOOSING:
    case OPENING:
    case COMMITTING:
    case COMMITTED:
        break;
    }
    return is_put ? ERR_OK : ERR_TOO_BIG;
}

/* The piece has been appended: what comes next? */
static void go_on(struct queue_round *r, size_t len)
{
    struct queue_report *p = r->report;
    if (p->step == LINES || p->step == FIELDS) {
        if (p->item != NULL) {
            p->item = p->item->next;
            return;
        }
    } else if (p->step == CONTENT) {
        p->copied_len += len;
        if (p->copied_len < p->returned_len) {
            return;
        }
    }
    p->step++;
    p->item = r->items_first;
}

static size_t write_piece(struct queue *q, struct queue_round *r, struct buf scratch)
{
    struct queue_report *p = r->report;
    struct buf piece = buf_make(scratch.ptr + PIECE_AT, SPOOL_APPEND_MAX);
    p->dsn.hostname = q->conf->primary_hostname; /* options may have been read again meanwhile */
    enum err err = put_piece(q, r, scratch, &piece);
    if (err == ERR_OK && piece.len != 0) {
        err = spool_append(q->env.spool, p->txn, buf_slice(&piece));
    }
    if (err == ERR_AGAIN) {
        return 0; /* SPOOL_ROOM brings another turn */
    }
    if (err == ERR_ABSENT && p->step == ENVELOPE) {
        spool_abort(q->env.spool, p->txn);
        drop(q, r, "unknown-sender");
        return 1;
    }
    if (err != ERR_OK) {
        defer(q, r, err);
        return 1;
    }
    go_on(r, piece.len);
    return 1 + piece.len;
}

static size_t commit(struct queue *q, struct queue_round *r)
{
    struct queue_report *p = r->report;
    struct spool_meta meta = {
        .envelope_len = p->envelope_len,
        .num_rcpts = p->num_rcpts,
        .flags = (p->is_last ? ENVELOPE_NO_REPORT : 0u) |
                 (p->dsn.is_8bit || p->dsn.is_utf8 ? ENVELOPE_CONTENT_8BIT : 0u),
    };
    if (!wall_time_now(q->env.wall, &meta.received_s)) {
        meta.received_s = 0;
    }
    enum err err = spool_commit(q->env.spool, p->txn, &meta);
    if (err != ERR_OK) {
        defer(q, r, err);
    } else {
        p->step = COMMITTED;
    }
    return 1;
}

bool queue_committed(struct queue *q, const struct spool_event *event)
{
    struct queue_report *p = q->reports;
    struct queue_report *behind = p + q->limits.num_reports;
    while (p < behind && (p->round == NULL || p->step != COMMITTED || p->txn != event->txn)) {
        p++;
    }
    if (p == behind) {
        return false;
    }
    if (event->err != ERR_OK) {
        defer(q, p->round, event->err);
        return true;
    }
    q->num_promised--;
    p->is_promised = false;
    queue_add(q, event->id, false); /* there is room: it was promised */
    log_report(q, p->round, "written", NULL);
    end(q, p->round);
    return true;
}

static bool take_report(struct queue *q, struct queue_round *r)
{
    for (uint32_t i = 0; i < q->limits.num_reports; i++) {
        if (q->reports[i].round == NULL) {
            struct queue_report *p = &q->reports[i];
            memset(p, 0, sizeof *p);
            p->round = r;
            p->item = r->items_first;
            r->report = p;
            q->num_reports++;
            return true;
        }
    }
    return false;
}

size_t queue_report_turn(struct queue *q, struct queue_round *r, struct buf scratch)
{
    if (r->items_first == NULL) {
        r->phase = ROUND_RECORDING;
        return 1;
    }
    if (r->report == NULL) {
        return take_report(q, r);
    }
    if (q->is_stopping && r->report->step != COMMITTED) {
        defer(q, r, ERR_BUSY);
        return 1;
    }
    switch ((enum report_step)r->report->step) {
    case CHOOSING:
        return choose(q, r, scratch);
    case OPENING:
        return open(q, r, scratch);
    case COMMITTING:
        return commit(q, r);
    case COMMITTED:
        return 0;
    default:
        return write_piece(q, r, scratch);
    }
}

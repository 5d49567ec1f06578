/* Rounds: one message's way through its recipients.
 *
 * A round:
 *   FREE        no round
 *   WALKING     reads the envelope, an entry a turn, and starts a delivery for each recipient
 *               without an outcome, while there are places. At its end: DELIVERING.
 *   DELIVERING  waits for the deliveries that it started. When all have ended the round is over.
 *
 * A recipient, in a round:
 *   final       has an outcome, durable or on its way: passed over, now and in every later round
 *   under way   a delivery has started, its outcome's space is reserved
 *   delivered   the outcome is recorded: final
 *   deferred    another round will see it
 *   removed     a person gave the message up: the outcome is recorded without a delivery
 *
 * At the end of a round the message
 *   is gone     from here if no recipient is deferred, and from the spool with its last outcome
 *   is held     if a person said so meanwhile
 *   is ready    again, if a person said so meanwhile
 *   waits       otherwise: about as long as it is old, within retry_min and retry_max
 *
 * Called by the step; knows how deliveries are started, not how they are made. */
#include "conf.h"
#include "queue_inside.h"

/* --- Words --- */

void queue_log_begin(struct log_line *line, const struct queue_round *r, uint32_t rcpt_index)
{
    uint8_t id_bytes[SPOOL_ID_TEXT_LEN];
    struct buf id = buf_make(id_bytes, sizeof id_bytes);
    spool_id_put(&id, r->id);
    log_begin(line, "delivery");
    log_slice(line, "id", buf_slice(&id));
    log_u64(line, "rcpt", rcpt_index);
}

void queue_log(struct queue *q, enum log_level level, struct log_line *line)
{
    q->env.port->log.line(q->env.port->log.ctx, level, log_end(line));
}

static void log_result(struct queue *q, const struct queue_round *r, uint32_t rcpt_index,
                       const char *result, enum err err)
{
    struct log_line line;
    queue_log_begin(&line, r, rcpt_index);
    log_word(&line, "result", result);
    if (err != ERR_OK) {
        log_word(&line, "reason", err_name(err));
    }
    log_u64(&line, "age", r->age_s);
    queue_log(q, err == ERR_OK ? LOG_INFO : LOG_WARNING, &line);
}

struct slice queue_domain_of(struct slice address)
{
    for (size_t len = address.len; len > 0; len--) {
        if (address.ptr[len - 1] == '@') {
            return slice_make(address.ptr + len, address.len - len);
        }
    }
    return slice_make(NULL, 0);
}

/* --- Begin and end --- */

static void set_age(struct queue *q, struct queue_round *r)
{
    struct queue_entry *e = queue_entry_at(q, r->entry);
    uint64_t now_s = running_time_s(q->env.running, q->now_ms);
    if ((e->flags & QUEUE_IS_BORN) == 0) {
        e->born_s = (uint32_t)now_s;
        e->flags |= QUEUE_IS_BORN;
    }
    r->age_s = now_s > e->born_s ? now_s - e->born_s : 0;
}

/* As long as the message is old, so that each wait is about twice the one before whatever restarts
 * came between; and up to a quarter of it more, drawn by lot. */
static uint64_t retry_delay_ms(struct queue *q, uint64_t age_s)
{
    uint64_t delay_ms = q->conf->retry_min_ms + age_s * 1000;
    if (delay_ms > q->conf->retry_max_ms) {
        delay_ms = q->conf->retry_max_ms;
    }
    uint8_t lot = 0;
    if (q->env.port->entropy.fill(q->env.port->entropy.ctx, &lot, 1) != ERR_OK) {
        lot = 0;
    }
    return delay_ms + delay_ms / 4 * lot / 255;
}

static void end_round(struct queue *q, struct queue_round *r)
{
    struct queue_entry *e = queue_entry_at(q, r->entry);
    r->phase = ROUND_FREE;
    q->num_active--;
    if (r->num_deferred == 0) {
        queue_entry_release(q, r->entry);
        queue_entry_give(q, r->entry);
        return;
    }
    bool is_again = (e->flags & QUEUE_AGAIN) != 0;
    e->flags = (uint8_t)((e->flags & ~QUEUE_AGAIN) | QUEUE_LOOK_FIRST);
    if (is_again) {
        queue_entry_move(q, r->entry, QUEUE_FRESH);
    } else if ((e->flags & QUEUE_IS_HELD) != 0) {
        queue_entry_move(q, r->entry, QUEUE_HELD);
    } else {
        queue_entry_wait(q, r->entry, q->now_ms + retry_delay_ms(q, r->age_s));
    }
}

/* The message cannot be read. What the spool has lost is not tried again. */
static void break_off(struct queue *q, struct queue_round *r, enum err err)
{
    log_result(q, r, r->rcpt_index, err == ERR_ABSENT ? "lost" : "deferred", err);
    r->num_deferred += err != ERR_ABSENT;
    r->phase = ROUND_DELIVERING;
}

void queue_round_begin(struct queue *q, uint32_t entry)
{
    struct queue_round *r = q->rounds;
    while (r->phase != ROUND_FREE) {
        r++;
    }
    memset(r, 0, sizeof *r);
    r->phase = ROUND_WALKING;
    r->entry = entry;
    r->id = queue_entry_at(q, entry)->id;
    queue_entry_move(q, entry, QUEUE_ACTIVE);
    q->num_active++;
    q->counts.num_rounds++;
    set_age(q, r);
    enum err err = spool_meta_of(q->env.spool, r->id, &r->meta);
    if (err != ERR_OK) {
        break_off(q, r, err);
    }
}

/* --- Walking --- */

/* Reads the envelope's next entry. ERR_EOF behind the last one. */
static enum err next_entry(struct queue *q, struct queue_round *r, struct buf scratch,
                           struct envelope_entry *out)
{
    uint64_t left = r->meta.envelope_len - r->envelope_at;
    if (left == 0) {
        return ERR_EOF;
    }
    size_t want_len = left < ENVELOPE_ENTRY_MAX ? (size_t)left : ENVELOPE_ENTRY_MAX;
    struct slice in = {scratch.ptr, 0};
    enum err err = spool_read(q->env.spool, &in.len, r->id, r->envelope_at, scratch.ptr, want_len);
    if (err != ERR_OK) {
        return err;
    }
    const uint8_t *begin = in.ptr;
    err = envelope_read(&in, out);
    r->envelope_at += (uint64_t)(in.ptr - begin);
    return err == ERR_AGAIN ? ERR_DAMAGED : err;
}

static void keep_sender(struct queue_round *r, struct slice address)
{
    size_t len = address.len < sizeof r->sender_bytes ? address.len : sizeof r->sender_bytes;
    memcpy(r->sender_bytes, address.ptr, len);
    r->sender = slice_make(r->sender_bytes, len);
}

/* The outcome of a recipient without a delivery. False: not now. */
static bool record(struct queue *q, struct queue_round *r, uint32_t rcpt_index,
                   enum queue_code code)
{
    if (spool_reserve_outcome(q->env.spool) != ERR_OK) {
        return false;
    }
    enum err err = spool_outcome(q->env.spool, r->id, rcpt_index, (uint16_t)code);
    if (err != ERR_OK) {
        spool_release_outcome(q->env.spool);
        r->num_deferred++;
    }
    log_result(q, r, rcpt_index, "removed", err);
    return true;
}

/* False: not now, the recipient is to be met again. */
static bool take_rcpt(struct queue *q, struct queue_round *r, const struct envelope_rcpt *rcpt)
{
    uint32_t index = r->rcpt_index;
    if (spool_is_final(q->env.spool, r->id, index)) {
        return true;
    }
    if ((queue_entry_of(q, r)->flags & QUEUE_IS_REMOVED) != 0) {
        return record(q, r, index, QUEUE_REMOVED);
    }
    return queue_mail_start(q, r, index, rcpt);
}

static size_t walk(struct queue *q, struct queue_round *r, struct buf scratch)
{
    struct envelope_entry entry;
    uint64_t begin_at = r->envelope_at;
    enum err err = next_entry(q, r, scratch, &entry);
    if (err == ERR_EOF) {
        r->phase = ROUND_DELIVERING;
        return 1;
    }
    if (err != ERR_OK) {
        break_off(q, r, err);
        return 1;
    }
    switch (entry.kind) {
    case ENVELOPE_VERSION:
        break;
    case ENVELOPE_SENDER:
        keep_sender(r, entry.sender);
        break;
    case ENVELOPE_PARAMS:
        break;
    case ENVELOPE_RUNNING:
        running_time_raise(q->env.running, q->now_ms, entry.params.running_s);
        queue_entry_at(q, r->entry)->born_s = (uint32_t)entry.params.running_s;
        set_age(q, r);
        break;
    case ENVELOPE_RCPT:
        if (!take_rcpt(q, r, &entry.rcpt)) {
            r->envelope_at = begin_at;
            return 0;
        }
        r->rcpt_index++;
        break;
    }
    return ENVELOPE_ENTRY_MAX;
}

void queue_round_local_ended(struct queue *q, struct queue_round *r, uint32_t rcpt_index,
                             enum err err)
{
    (void)rcpt_index;
    r->num_jobs--;
    if (err == ERR_OK) {
        q->counts.num_delivered++;
    } else {
        r->num_deferred++;
    }
}

size_t queue_round_turn(struct queue *q, struct queue_round *r, struct buf scratch)
{
    switch ((enum round_phase)r->phase) {
    case ROUND_FREE:
        return 0;
    case ROUND_WALKING:
        if (!q->is_stopping) {
            return walk(q, r, scratch);
        }
        r->num_deferred++;
        r->phase = ROUND_DELIVERING;
        return 1;
    case ROUND_DELIVERING:
        if (r->num_jobs != 0) {
            return 0;
        }
        end_round(q, r);
        return 1;
    }
    return 0;
}

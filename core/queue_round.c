/* Rounds: one message's way through its recipients.
 *
 * A round:
 *   FREE        no round
 *   COUNTING    once in a run: counts the Received fields. Too many: it is a loop, all recipients
 *               fail. Then: WALKING
 *   WALKING     reads the envelope, an entry a turn, and starts a delivery for each recipient that
 *               is neither final nor done with, as far as there are places. At its end: DELIVERING
 *   LOSING      the envelope cannot be read, and a person or its age has given the message up: the
 *               outcomes of all. Then: DELIVERING
 *   DELIVERING  waits for the deliveries that it started. All ended: WALKING once more if some
 *               recipient was blocked and this walk started something; else REPORTING
 *   REPORTING   tells the sender of what is collected, if that is wanted (queue_report.c). The
 *               report is durable, or none is needed: RECORDING. No room for it: what is collected
 *               is deferred
 *   RECORDING   outcomes of what was collected, one after the other
 *
 * A recipient, in a round:
 *   final       has an outcome, durable or on its way: passed over, now and in every later round
 *   under way   a delivery has started, its outcome's space is reserved
 *   delivered   the outcome is recorded: final. With NOTIFY=SUCCESS collected for the report
 *   blocked     its destination is full: met again when a place is free, in this round or another
 *   deferred    another round will see it; the last round makes it fail (expired)
 *   failed      collected for the report; final once that is durable. Not collected, for want of
 *               memory: deferred, to fail again
 *   removed     a person gave the message up: as failed, or the outcome alone
 *
 * At the end of a round the message
 *   is gone     from here if no recipient is deferred or blocked, and from the spool with its last
 *               outcome
 *   is held     if a person said so, and did not remove it since
 *   is ready    again, if a person said so meanwhile
 *   waits       otherwise: about as long as it is old, within retry_min and retry_max, but not past
 *               the time of its warning or its end. Blocked: also until a place is free
 *
 * A crash before a report is durable, or before the outcomes behind it are, lets the recipient fail
 * again: a report may come twice, none is lost. (One of success may be lost.)
 *
 * Called by the step; knows how deliveries are started, not how they are made. */
#include "queue_inside.h"

#define PIECE_LEN QUEUE_PIECE_LEN /* of an envelope or a header, read at once */
/* Those of a loop stand at the begin. */
#define COUNT_MAX_LEN (512u * 1024)

_Static_assert(PIECE_LEN >= ENVELOPE_ENTRY_MAX, "an entry fits into a piece");

/* --- Begin --- */

static void set_age(struct queue *q, struct queue_round *r)
{
    struct queue_entry *e = queue_entry_of(q, r);
    const struct conf *conf = q->conf;
    uint64_t now_s = running_time_s(q->env.running, q->now_ms);
    if ((e->flags & QUEUE_IS_BORN) == 0) {
        e->born_s = (uint32_t)now_s;
        e->flags |= QUEUE_IS_BORN;
    }
    r->age_s = now_s > e->born_s ? now_s - e->born_s : 0;
    bool is_late = conf->delay_warning_ms != 0 && r->age_s * 1000 >= conf->delay_warning_ms;
    r->is_warning = is_late && (e->flags & (QUEUE_IS_WARNED | QUEUE_IS_RECOVERED)) == 0 &&
                    r->only_dest == QUEUE_NO_DEST; /* it is told once, of all that are late */
    r->is_expiring = r->age_s * 1000 >= conf->retry_give_up_ms;
}

/* What cannot be read waits, unless a person or its age gives it up; what the spool has lost is not
 * tried again. */
static void break_off(struct queue *q, struct queue_round *r, enum err err)
{
    struct log_line line;
    bool is_over = (queue_entry_of(q, r)->flags & QUEUE_IS_REMOVED) != 0 ||
                   (r->is_expiring && !err_is_temporary(err));
    log_begin(&line, "delivery");
    spool_id_log(&line, "id", r->id);
    log_word(&line, "result", is_over || err == ERR_ABSENT ? "lost" : "deferred");
    log_word(&line, "reason", err_name(err));
    log_u64(&line, "age", r->age_s);
    queue_log(q, LOG_ERROR, &line);
    r->num_deferred += err != ERR_ABSENT;
    queue_entry_of(q, r)->why = err_name(err);
    r->phase = is_over ? ROUND_LOSING : ROUND_DELIVERING;
    r->rcpt_index = 0;
}

/* The outcome of every recipient, unseen: nobody can be told. */
static size_t lose(struct queue *q, struct queue_round *r)
{
    while (r->rcpt_index < r->meta.num_rcpts &&
           spool_is_final(q->env.spool, r->id, r->rcpt_index)) {
        r->rcpt_index++;
    }
    if (r->rcpt_index == r->meta.num_rcpts) {
        r->phase = ROUND_DELIVERING;
        return 1;
    }
    if (spool_reserve_outcome(q->env.spool) != ERR_OK) {
        return 0;
    }
    if (spool_outcome(q->env.spool, r->id, r->rcpt_index++, QUEUE_EXPIRED) != ERR_OK) {
        spool_release_outcome(q->env.spool);
    }
    return 1;
}

struct queue_round *queue_round_begin(struct queue *q, uint32_t entry)
{
    struct queue_round *r = q->rounds;
    struct queue_entry *e = queue_entry_at(q, entry);
    bool is_early = (e->flags & QUEUE_IS_WOKEN) != 0 && (e->flags & QUEUE_IS_MIXED) != 0 &&
                    e->due_ms > q->now_ms;
    while (r->phase != ROUND_FREE) {
        r++;
    }
    memset(r, 0, sizeof *r);
    r->phase = (e->flags & QUEUE_HOPS_COUNTED) != 0 ? ROUND_WALKING : ROUND_COUNTING;
    r->entry = entry;
    r->id = e->id;
    r->only_dest = is_early ? e->dest : QUEUE_NO_DEST;
    r->is_overdue = (e->flags & QUEUE_IS_LAST) != 0 && e->due_ms <= q->now_ms;
    queue_entry_move(q, entry, QUEUE_ACTIVE);
    q->num_active++;
    q->counts.num_rounds++;
    set_age(q, r);
    enum err err = spool_meta_of(q->env.spool, r->id, &r->meta);
    if (err != ERR_OK) {
        r->meta.num_rcpts = SPOOL_RCPTS_MAX; /* the spool knows how many of them there are */
        break_off(q, r, err);
    }
    r->counted_at = r->meta.envelope_len;
    return r;
}

/* --- Counting --- */

static size_t count(struct queue *q, struct queue_round *r, struct buf scratch)
{
    size_t len = 0;
    uint32_t most = q->conf->received_headers_max;
    enum err err = spool_read(q->env.spool, &len, r->id, r->counted_at, scratch.ptr, PIECE_LEN);
    if (err != ERR_OK && err != ERR_EOF) {
        break_off(q, r, err);
        return 1;
    }
    r->counted_at += len;
    header_count_hops(&r->hops, slice_make(scratch.ptr, len));
    bool is_end =
        len == 0 || r->hops.is_over || r->counted_at - r->meta.envelope_len >= COUNT_MAX_LEN;
    if (is_end || r->hops.num > most) {
        r->is_looping = r->hops.num > most && !BROKEN(HOPS_UNLIMITED);
        r->phase = ROUND_WALKING;
        if (!r->is_looping) {
            queue_entry_of(q, r)->flags |= QUEUE_HOPS_COUNTED;
        }
    }
    return PIECE_LEN;
}

/* --- Walking --- */

void queue_set_taken(struct queue_round *r, uint32_t rcpt)
{
    r->taken[rcpt / 8] |= (uint8_t)(1u << rcpt % 8);
}

enum err queue_read_entry(struct queue *q, const struct queue_round *r, uint64_t *at,
                          struct buf scratch, struct envelope_entry *out)
{
    uint64_t left = r->meta.envelope_len - *at;
    if (left == 0) {
        return ERR_EOF;
    }
    size_t want_len = left < ENVELOPE_ENTRY_MAX ? (size_t)left : ENVELOPE_ENTRY_MAX;
    struct slice in = {scratch.ptr, 0};
    enum err err = spool_read(q->env.spool, &in.len, r->id, *at, scratch.ptr, want_len);
    if (err != ERR_OK) {
        return err == ERR_EOF ? ERR_DAMAGED : err;
    }
    const uint8_t *begin = in.ptr;
    err = envelope_read(&in, out);
    *at += (uint64_t)(in.ptr - begin);
    return err == ERR_AGAIN ? ERR_DAMAGED : err;
}

struct slice queue_read_address(struct queue *q, const struct queue_round *r, uint64_t at,
                                struct buf scratch, uint8_t *out_notify)
{
    struct envelope_entry entry;
    *out_notify = 0;
    if (queue_read_entry(q, r, &at, scratch, &entry) != ERR_OK || entry.kind != ENVELOPE_RCPT) {
        return slice_make(NULL, 0);
    }
    *out_notify = entry.rcpt.notify;
    return entry.rcpt.address;
}

static struct slice keep(uint8_t *into, size_t cap, struct slice text)
{
    size_t len = text.len < cap ? text.len : cap;
    if (len != 0) {
        memcpy(into, text.ptr, len);
    }
    return slice_make(into, len);
}

static void take_running(struct queue *q, struct queue_round *r, uint64_t running_s)
{
    struct queue_entry *e = queue_entry_of(q, r);
    if ((e->flags & QUEUE_IS_RECOVERED) == 0 || running_s > UINT32_MAX) {
        return;
    }
    /* Its sender was warned at that age, if it is well past it. */
    e->flags &= (uint16_t)~QUEUE_IS_RECOVERED;
    e->born_s = (uint32_t)running_s;
    running_time_raise(q->env.running, q->now_ms, running_s);
    set_age(q, r);
    if (r->age_s * 1000 > q->conf->delay_warning_ms + QUEUE_WARNED_SURELY_MS) {
        e->flags |= QUEUE_IS_WARNED;
        r->is_warning = false;
    }
}

/* Fails without a delivery, all of the message. */
static bool is_failing(const struct queue *q, const struct queue_round *r,
                       struct queue_result *result, enum queue_code *out_code)
{
    uint16_t flags = queue_entry_of(q, r)->flags;
    if ((flags & QUEUE_IS_REMOVED) != 0) {
        *result = (struct queue_result){
            .status = {5, 0, 0},
            .reason = "removed",
            .text = SLICE_LITERAL("the message was removed by the operators of this server")};
        *out_code = QUEUE_REMOVED;
        return true;
    }
    *result = (struct queue_result){
        .status = {5, 4, 6}, /* RFC 3463 3.5: routing loop detected */
        .reason = "loop",
        .text = SLICE_LITERAL("it came through too many servers: mail runs in a loop")};
    *out_code = QUEUE_FAILED;
    return r->is_looping;
}

bool queue_round_start_mail(struct queue *q, struct queue_round *r, uint64_t at,
                            const struct envelope_rcpt *rcpt)
{
    if (r->only_dest != QUEUE_NO_DEST) {
        r->num_deferred++; /* not due yet */
        return true;
    }
    if (!queue_mail_start(q, r, at, rcpt)) {
        r->waits_for_mail = true;
        return false;
    }
    queue_set_taken(r, r->rcpt_index);
    r->num_started++;
    return true;
}

/* False: not now, the recipient is to be met again. */
static bool take_rcpt(struct queue *q, struct queue_round *r, uint64_t at,
                      const struct envelope_rcpt *rcpt, struct buf scratch)
{
    struct queue_result result;
    enum queue_code code;
    if (spool_is_final(q->env.spool, r->id, r->rcpt_index) || queue_is_taken(r, r->rcpt_index)) {
        return true;
    }
    if (is_failing(q, r, &result, &code)) {
        result.envelope_at = at;
        result.rcpt_index = r->rcpt_index;
        result.address = rcpt->address;
        queue_set_taken(r, r->rcpt_index);
        queue_failed(q, r, &result, code);
        return true;
    }
    if (rcpt->user.len == 0) {
        return queue_group_start(q, r, at, rcpt->address, scratch);
    }
    return queue_round_start_mail(q, r, at, rcpt);
}

/* False: not now, the entry is to be met again. */
static bool take_entry(struct queue *q, struct queue_round *r, const struct envelope_entry *entry,
                       struct buf scratch)
{
    switch (entry->kind) {
    case ENVELOPE_VERSION:
        return true;
    case ENVELOPE_SENDER:
        r->sender = keep(r->sender_bytes, sizeof r->sender_bytes, entry->sender);
        return true;
    case ENVELOPE_PARAMS:
        r->params_flags = entry->params.flags;
        r->envid = keep(r->envid_bytes, sizeof r->envid_bytes, entry->params.envid);
        return true;
    case ENVELOPE_RUNNING:
        take_running(q, r, entry->params.running_s);
        return true;
    case ENVELOPE_RCPT:
        queue_entry_of(q, r)->flags &= (uint16_t)~QUEUE_IS_RECOVERED;
        if (!take_rcpt(q, r, r->envelope_at, &entry->rcpt, scratch)) {
            return false;
        }
        r->rcpt_index++;
        return true;
    }
    return true;
}

/* The entries of one piece of the envelope, which stands behind what a group reads into scratch. */
static enum err walk_piece(struct queue *q, struct queue_round *r, struct buf scratch,
                           size_t *out_num)
{
    uint64_t left = r->meta.envelope_len - r->envelope_at;
    struct slice in = {scratch.ptr + ENVELOPE_ENTRY_MAX, 0};
    enum err err =
        spool_read(q->env.spool, &in.len, r->id, r->envelope_at, scratch.ptr + ENVELOPE_ENTRY_MAX,
                   left < PIECE_LEN ? (size_t)left : PIECE_LEN);
    while (err == ERR_OK && !slice_is_empty(in)) {
        struct envelope_entry entry;
        const uint8_t *begin = in.ptr;
        err = envelope_read(&in, &entry);
        if (err == ERR_AGAIN && *out_num != 0) {
            return ERR_OK; /* cut off by the piece: the next one begins with it */
        }
        if (err == ERR_OK && !take_entry(q, r, &entry, scratch)) {
            return ERR_OK;
        }
        r->envelope_at += (uint64_t)(in.ptr - begin);
        q->counts.num_ops++;
        ++*out_num;
    }
    return err == ERR_AGAIN || err == ERR_EOF ? ERR_DAMAGED : err;
}

static size_t walk(struct queue *q, struct queue_round *r, struct buf scratch)
{
    size_t num = 0;
    if (r->waits_for_mail && q->num_mail_active == q->limits.num_mail_jobs) {
        return 0;
    }
    if (r->envelope_at == r->meta.envelope_len) {
        r->phase = ROUND_DELIVERING;
        return 1;
    }
    r->waits_for_mail = false;
    enum err err = walk_piece(q, r, scratch, &num);
    if (err != ERR_OK) {
        break_off(q, r, err);
        return 1;
    }
    return num * ENVELOPE_ENTRY_MAX;
}

/* One after the other: the spool has the page at hand. */
static size_t count_and_walk(struct queue *q, struct queue_round *r, struct buf scratch)
{
    size_t len = count(q, r, scratch);
    return r->phase == ROUND_WALKING ? len + walk(q, r, scratch) : len;
}

/* --- End --- */

/* As long as the message is old, so that each wait is about twice the one before whatever restarts
 * came between; and up to a quarter of it more, drawn by lot. */
static uint64_t retry_delay_ms(struct queue *q, const struct queue_round *r)
{
    const struct conf *conf = q->conf;
    uint64_t age_ms = r->age_s * 1000;
    uint64_t delay_ms = conf->retry_min_ms + age_ms;
    uint8_t lot = 0;
    if (delay_ms > conf->retry_max_ms) {
        delay_ms = conf->retry_max_ms;
    }
    if (q->env.port->entropy.fill(q->env.port->entropy.ctx, &lot, 1) != ERR_OK) {
        lot = 0;
    }
    delay_ms += delay_ms / 4 * lot / 255;
    const uint64_t at_ms[] = {conf->delay_warning_ms, conf->retry_give_up_ms};
    for (size_t i = 0; i < 2; i++) {
        if (at_ms[i] > age_ms && at_ms[i] - age_ms < delay_ms) {
            delay_ms = at_ms[i] - age_ms;
        }
    }
    return delay_ms;
}

/* Whether a recipient has no outcome, durable or on its way. */
static bool is_left(const struct queue *q, const struct queue_round *r)
{
    uint32_t rcpt = 0;
    while (rcpt < r->meta.num_rcpts && spool_is_final(q->env.spool, r->id, rcpt)) {
        rcpt++;
    }
    return rcpt < r->meta.num_rcpts;
}

static void end_round(struct queue *q, struct queue_round *r)
{
    struct queue_entry *e = queue_entry_of(q, r);
    r->phase = ROUND_FREE;
    q->num_active--;
    if (!is_left(q, r) || BROKEN(DEFERRED_FORGOTTEN)) {
        q->num_held -= (e->flags & QUEUE_IS_HELD) != 0;
        queue_entry_give(q, r->entry);
        return;
    }
    /* Woken for a destination that nobody has any more, as the options or its list have changed:
     * once more, for all. */
    bool is_vain = r->only_dest != QUEUE_NO_DEST && !r->has_met_dest;
    bool is_again = (e->flags & QUEUE_AGAIN) != 0 || is_vain;
    e->flags = (uint16_t)((e->flags & QUEUE_KEPT_ON_RETURN) | QUEUE_LOOK_FIRST |
                          (r->is_warning ? QUEUE_IS_WARNED : 0));
    uint64_t due_ms = q->now_ms + retry_delay_ms(q, r);
    bool keeps_time = (e->flags & QUEUE_IS_LAST) != 0 && !r->is_overdue;
    if ((r->only_dest != QUEUE_NO_DEST || keeps_time) && e->due_ms < due_ms) {
        due_ms = e->due_ms; /* nor does what was not looked at lose its own */
    }
    if ((e->flags & (QUEUE_IS_HELD | QUEUE_IS_REMOVED)) == QUEUE_IS_HELD) {
        queue_entry_move(q, r->entry, QUEUE_HELD);
    } else if (is_again) {
        queue_entry_move(q, r->entry, QUEUE_FRESH);
    } else if (r->num_blocked != 0) {
        e->flags |= r->num_deferred != 0 ? QUEUE_IS_MIXED : 0;
        e->flags |= r->is_expiring ? QUEUE_IS_LAST : 0;
        queue_entry_block(q, r->entry, due_ms, r->blocked_hash);
    } else {
        queue_entry_wait(q, r->entry, due_ms);
    }
}

static size_t end_deliveries(struct queue *q, struct queue_round *r)
{
    if (r->num_jobs != 0) {
        return 0;
    }
    if (r->num_blocked != 0 && r->num_started != 0 && !q->is_stopping) {
        r->num_blocked = r->num_started = 0;
        r->envelope_at = 0;
        r->rcpt_index = 0;
        r->phase = ROUND_WALKING;
        return 1;
    }
    r->phase = ROUND_REPORTING;
    return 1;
}

size_t queue_round_turn(struct queue *q, struct queue_round *r, struct buf scratch)
{
    enum round_phase phase = (enum round_phase)r->phase;
    if (q->is_stopping && (phase == ROUND_COUNTING || phase == ROUND_WALKING)) {
        r->num_deferred++; /* whatever it has not seen */
        r->phase = ROUND_DELIVERING;
        return 1;
    }
    switch (phase) {
    case ROUND_FREE:
        return 0;
    case ROUND_COUNTING:
        return count_and_walk(q, r, scratch);
    case ROUND_WALKING:
        return walk(q, r, scratch);
    case ROUND_LOSING:
        return lose(q, r);
    case ROUND_DELIVERING:
        return end_deliveries(q, r);
    case ROUND_REPORTING:
        return queue_report_turn(q, r, scratch);
    case ROUND_RECORDING:
        if (r->items_first != NULL) {
            return queue_record_item(q, r);
        }
        end_round(q, r);
        return 1;
    }
    return 0;
}

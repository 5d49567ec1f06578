/* The queue: see queue.h. */
#include "queue.h"

#include "envelope.h"
#include "route.h"

#define WORK_PER_STEP_LEN \
    (256u * 1024) /* content bytes copied in one step, all deliveries together */

size_t queue_memory_len(uint32_t num_messages, uint32_t num_jobs)
{
    return pool_memory_len(sizeof(struct queue_entry), num_messages) +
           (sizeof(struct queue_job) + 16) * num_jobs;
}

enum err queue_open(struct queue *q, struct arena *a, const struct queue_env *env,
                    uint32_t num_messages, uint32_t num_jobs)
{
    memset(q, 0, sizeof *q);
    q->timers = env->timers;
    q->spool = env->spool;
    q->port = env->port;
    q->conf = env->conf;
    q->timer_kind = env->timer_kind;
    q->tag_mark = env->tag_mark;
    q->num_jobs = num_jobs;
    q->jobs = arena_take(a, sizeof *q->jobs * num_jobs);
    if (q->jobs == NULL || !pool_init(&q->entries, a, sizeof(struct queue_entry), num_messages)) {
        return ERR_NO_MEMORY;
    }
    memset(q->jobs, 0, sizeof *q->jobs * num_jobs);
    return ERR_OK;
}

bool queue_has_room(const struct queue *q, uint32_t num_promised)
{
    return q->entries.num_items - q->entries.num_used > num_promised;
}

static void make_ready(struct queue *q, struct queue_entry *e)
{
    e->next_ready = NULL;
    if (q->ready_last == NULL) {
        q->ready_first = e;
    } else {
        q->ready_last->next_ready = e;
    }
    q->ready_last = e;
}

enum err queue_add(struct queue *q, uint64_t id, const struct spool_meta *meta, bool recovered)
{
    struct queue_entry *e = pool_take(&q->entries);
    if (e == NULL) {
        return ERR_FULL;
    }
    e->id = id;
    e->len = meta->total_len;
    e->received_s = meta->received_s;
    e->envelope_len = meta->envelope_len;
    e->look_first = recovered;
    e->timer.kind = q->timer_kind;
    e->timer.tag = pool_handle(&q->entries, e);
    make_ready(q, e);
    return ERR_OK;
}

static void log_delivery(struct queue *q, const struct queue_job *job, enum err err)
{
    struct log_line line;
    uint8_t id_bytes[SPOOL_ID_TEXT_LEN];
    struct buf id = buf_make(id_bytes, sizeof id_bytes);
    spool_id_put(&id, job->entry->id);
    log_begin(&line, "delivery");
    log_slice(&line, "id", buf_slice(&id));
    log_u64(&line, "rcpt", job->rcpt_index);
    log_slice(&line, "user", slice_make(job->user_bytes, job->user_len));
    log_word(&line, "result", err == ERR_OK ? "delivered" : "deferred");
    if (err == ERR_OK) {
        log_word(&line, "file", job->maildir.name);
    } else {
        log_word(&line, "reason", err_name(err));
        log_u64(&line, "round", job->entry->num_rounds + 1u);
    }
    q->port->log.line(q->port->log.ctx, err == ERR_OK ? LOG_INFO : LOG_WARNING, log_end(&line));
}

/* The delay before the next round: min doubled per round up to max, then up to a quarter of it
 * more, drawn by lot. */
static uint64_t retry_delay_ms(struct queue *q, uint32_t num_rounds)
{
    uint64_t delay_ms = q->conf->retry_min_ms;
    for (uint32_t i = 1; i < num_rounds && delay_ms < q->conf->retry_max_ms; i++) {
        delay_ms *= 2;
    }
    if (delay_ms > q->conf->retry_max_ms) {
        delay_ms = q->conf->retry_max_ms;
    }
    uint8_t lot = 0;
    if (q->port->entropy.fill(q->port->entropy.ctx, &lot, 1) != ERR_OK) {
        lot = 0;
    }
    return delay_ms + delay_ms / 4 * lot / 255;
}

static void free_job(struct queue *q, struct queue_job *job)
{
    if (job->has_reservation) {
        spool_release_outcome(q->spool);
        job->has_reservation = false;
    }
    job->entry = NULL;
    q->num_active--;
}

/* The round is over: the message is gone, or waits for its next round. */
static void end_round(struct queue *q, struct queue_job *job, uint64_t now_ms)
{
    struct queue_entry *e = job->entry;
    free_job(q, job);
    if (!job->failed) {
        pool_give(&q->entries, e);
        return;
    }
    e->num_rounds++;
    e->look_first = true;
    timer_set(q->timers, &e->timer, now_ms + retry_delay_ms(q, e->num_rounds));
}

static void end_rcpt(struct queue *q, struct queue_job *job, enum err err)
{
    if (err == ERR_OK) {
        err = spool_outcome(q->spool, job->entry->id, job->rcpt_index, QUEUE_DELIVERED);
        job->has_reservation = err != ERR_OK;
    }
    if (err == ERR_OK) {
        q->num_delivered++;
    } else {
        job->failed = true;
    }
    log_delivery(q, job, err);
    job->maildir.state = MAILDIR_IDLE;
}

/* What stands behind the last '@' of an address, which may be none. */
static struct slice domain_of(struct slice address)
{
    for (size_t len = address.len; len > 0; len--) {
        if (address.ptr[len - 1] == '@') {
            return slice_make(address.ptr + len, address.len - len);
        }
    }
    return slice_make(NULL, 0);
}

static void begin_rcpt(struct queue *q, struct queue_job *job, struct slice user,
                       struct slice address)
{
    char path_bytes[MAILDIR_PATH_CAP];
    struct buf path = buf_make(path_bytes, sizeof path_bytes);
    struct queue_entry *e = job->entry;
    job->user_len =
        (uint8_t)(user.len < sizeof job->user_bytes ? user.len : sizeof job->user_bytes);
    memcpy(job->user_bytes, user.ptr, job->user_len);
    if (!route_put_maildir(&path, q->conf, user, domain_of(address))) {
        end_rcpt(q, job, path.overflow ? ERR_TOO_BIG : ERR_ABSENT);
        return;
    }
    struct maildir_order order = {
        .id = e->id,
        .rcpt_index = job->rcpt_index,
        .received_s = e->received_s,
        .content_offset = e->envelope_len,
        .end_offset = e->len,
        .look_first = e->look_first,
        .tag = q->tag_mark | (uint64_t)(job - q->jobs),
        .maildir = path_bytes,
    };
    maildir_start(&job->maildir, &q->port->mailbox, &order);
}

/* Reads the envelope's next entry. ERR_EOF behind the last one. */
static enum err next_entry(struct queue *q, struct queue_job *job, struct buf scratch,
                           struct envelope_entry *out)
{
    uint64_t left = job->entry->envelope_len - job->envelope_offset;
    if (left == 0) {
        return ERR_EOF;
    }
    size_t want_len = left < ENVELOPE_ENTRY_MAX ? (size_t)left : ENVELOPE_ENTRY_MAX;
    struct slice in = {scratch.ptr, 0};
    enum err err =
        spool_read(q->spool, &in.len, job->entry->id, job->envelope_offset, scratch.ptr, want_len);
    if (err != ERR_OK) {
        return err;
    }
    const uint8_t *begin = in.ptr;
    err = envelope_read(&in, out);
    job->envelope_offset += (uint64_t)(in.ptr - begin);
    return err == ERR_AGAIN ? ERR_DAMAGED : err;
}

static void keep_sender(struct queue_job *job, struct slice address)
{
    size_t len = address.len < sizeof job->sender_bytes ? address.len : sizeof job->sender_bytes;
    memcpy(job->sender_bytes, address.ptr, len);
    job->sender = slice_make(job->sender_bytes, len);
}

/* Takes the job to its next recipient without an outcome, or to the end of the round. One envelope
 * entry a call. */
static void advance(struct queue *q, struct queue_job *job, uint64_t now_ms, struct buf scratch)
{
    struct envelope_entry entry;
    enum err err = next_entry(q, job, scratch, &entry);
    if (err == ERR_EOF) {
        end_round(q, job, now_ms);
        return;
    }
    if (err != ERR_OK) {
        job->user_len = 0;
        job->rcpt_index = job->num_rcpts_seen;
        end_rcpt(q, job, err);
        job->failed = err != ERR_ABSENT; /* what the spool has lost is not tried again */
        end_round(q, job, now_ms);
        return;
    }
    switch (entry.kind) {
    case ENVELOPE_VERSION:
    case ENVELOPE_PARAMS:
    case ENVELOPE_RUNNING:
        return;
    case ENVELOPE_SENDER:
        keep_sender(job, entry.sender);
        return;
    case ENVELOPE_RCPT:
        job->rcpt_index = job->num_rcpts_seen++;
        if (!spool_is_final(q->spool, job->entry->id, job->rcpt_index)) {
            begin_rcpt(q, job, entry.rcpt.user, entry.rcpt.address);
        }
        return;
    }
}

/* One turn of one job. Returns the bytes of work done; 0 when it waits for a completion. */
static size_t turn(struct queue *q, struct queue_job *job, uint64_t now_ms, struct buf scratch)
{
    switch (job->maildir.state) {
    case MAILDIR_LOOKING:
    case MAILDIR_COMMITTING:
        return 0;
    case MAILDIR_IDLE:
        if (q->stopping) {
            free_job(q, job);
            return 0;
        }
        if (!job->has_reservation && spool_reserve_outcome(q->spool) != ERR_OK) {
            return 0; /* SPOOL_OUTCOME_DURABLE will bring another turn */
        }
        job->has_reservation = true;
        advance(q, job, now_ms, scratch);
        return ENVELOPE_ENTRY_MAX;
    case MAILDIR_WRITING:
        return 1 + maildir_work(&job->maildir, &q->port->mailbox, q->spool, job->sender, scratch);
    case MAILDIR_DELIVERED:
        end_rcpt(q, job, ERR_OK);
        return 1;
    case MAILDIR_FAILED:
        end_rcpt(q, job, job->maildir.err);
        return 1;
    }
    return 0;
}

static void start_jobs(struct queue *q)
{
    for (uint32_t i = 0; i < q->num_jobs && q->ready_first != NULL && !q->stopping; i++) {
        struct queue_job *job = &q->jobs[i];
        if (job->entry != NULL) {
            continue;
        }
        memset(job, 0, sizeof *job);
        job->entry = q->ready_first;
        q->ready_first = job->entry->next_ready;
        if (q->ready_first == NULL) {
            q->ready_last = NULL;
        }
        q->num_active++;
    }
}

bool queue_step(struct queue *q, uint64_t now_ms, struct buf scratch)
{
    size_t done_len = 0;
    bool worked = true;
    while (worked && done_len < WORK_PER_STEP_LEN) {
        worked = false;
        start_jobs(q);
        for (uint32_t i = 0; i < q->num_jobs; i++) {
            if (q->jobs[i].entry != NULL) {
                size_t len = turn(q, &q->jobs[i], now_ms, scratch);
                done_len += len;
                worked = worked || len != 0;
            }
        }
    }
    return worked;
}

void queue_done(struct queue *q, uint64_t tag, enum err err)
{
    uint64_t index = tag & 0xffffffffu;
    if (index < q->num_jobs && q->jobs[index].entry != NULL) {
        maildir_done(&q->jobs[index].maildir, &q->port->mailbox, err);
    }
}

void queue_timer(struct queue *q, struct timer *t)
{
    struct queue_entry *e = pool_find(&q->entries, t->tag);
    if (e != NULL) {
        make_ready(q, e);
    }
}

void queue_stop(struct queue *q)
{
    q->stopping = true;
}

bool queue_is_idle(const struct queue *q)
{
    return q->num_active == 0;
}

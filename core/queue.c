/* The queue's step: see queue.h. Which work is done, in which order, and how much of it. */
#include "queue_inside.h"

#define WORK_PER_STEP_LEN \
    (256u * 1024)        /* content bytes copied in one step, all deliveries together */
#define DUE_PER_STEP 256 /* messages whose time has come */

/* --- Open --- */

static uint32_t num_buckets_of(const struct queue_limits *limits)
{
    uint32_t num = 16;
    while (num < limits->num_messages) {
        num *= 2;
    }
    return num;
}

/* A round may hold deliveries that last; those to Maildirs, which do not, always find one. */
static uint32_t num_rounds_of(const struct queue_limits *limits)
{
    return limits->num_mail_jobs;
}

static size_t entries_len(const struct queue_limits *limits)
{
    return (size_t)limits->num_messages * (sizeof(struct queue_entry) + sizeof(uint32_t)) +
           (size_t)num_buckets_of(limits) * sizeof(uint32_t);
}

size_t queue_message_len(const struct queue_limits *limits)
{
    return (entries_len(limits) + limits->num_messages - 1) / limits->num_messages;
}

size_t queue_memory_len(const struct queue_limits *limits)
{
    return entries_len(limits) + sizeof(struct queue_entry) +
           sizeof(struct queue_list) * NUM_QUEUE_PLACES +
           sizeof(struct queue_round) * num_rounds_of(limits) +
           sizeof(struct queue_mail_job) * limits->num_mail_jobs + 16 * 8;
}

enum err queue_open(struct queue *q, struct arena *a, const struct queue_env *env,
                    const struct queue_limits *limits)
{
    uint32_t num_buckets = num_buckets_of(limits);
    memset(q, 0, sizeof *q);
    q->env = *env;
    q->conf = env->conf;
    q->limits = *limits;
    q->bucket_mask = num_buckets - 1;
    q->num_rounds = num_rounds_of(limits);
    q->timer.kind = env->timer_kind;
    q->entries = arena_take(a, sizeof *q->entries * ((size_t)limits->num_messages + 1));
    q->heap = arena_take(a, sizeof *q->heap * limits->num_messages);
    q->buckets = arena_take(a, sizeof *q->buckets * num_buckets);
    q->lists = arena_take(a, sizeof *q->lists * NUM_QUEUE_PLACES);
    q->rounds = arena_take(a, sizeof *q->rounds * q->num_rounds);
    q->mail_jobs = arena_take(a, sizeof *q->mail_jobs * limits->num_mail_jobs);
    if (q->entries == NULL || q->heap == NULL || q->buckets == NULL || q->lists == NULL ||
        q->rounds == NULL || q->mail_jobs == NULL) {
        return ERR_NO_MEMORY;
    }
    memset(q->lists, 0, sizeof *q->lists * NUM_QUEUE_PLACES);
    memset(q->rounds, 0, sizeof *q->rounds * q->num_rounds);
    memset(q->mail_jobs, 0, sizeof *q->mail_jobs * limits->num_mail_jobs);
    memset(q->buckets, 0, sizeof *q->buckets * num_buckets);
    return ERR_OK;
}

/* --- Messages --- */

bool queue_has_room(const struct queue *q, uint32_t num_promised)
{
    return q->limits.num_messages - q->num_entries > num_promised;
}

uint32_t queue_num_messages(const struct queue *q)
{
    return q->num_entries;
}

enum err queue_add(struct queue *q, uint64_t id, bool recovered)
{
    uint32_t entry = queue_entry_take(q, id);
    if (entry == 0) {
        return ERR_FULL;
    }
    queue_entry_at(q, entry)->flags = recovered ? QUEUE_LOOK_FIRST : 0;
    queue_entry_move(q, entry, recovered ? QUEUE_READY : QUEUE_FRESH);
    return ERR_OK;
}

void queue_begin(struct queue *q, struct buf scratch)
{
    queue_held_load(q, scratch);
    q->is_begun = true;
}

/* --- The step --- */

static void take_due(struct queue *q)
{
    for (int i = 0; i < DUE_PER_STEP && q->heap_num != 0; i++) {
        uint32_t entry = queue_entry_soonest(q);
        if (queue_entry_at(q, entry)->due_ms > q->now_ms && q->num_flush == 0) {
            return;
        }
        q->num_flush -= q->num_flush != 0;
        queue_entry_move(q, entry, QUEUE_READY);
        q->counts.num_ops++;
    }
}

/* New messages go first, but do not keep the others waiting for ever. */
static uint32_t next_ready(struct queue *q)
{
    uint32_t fresh = q->lists[QUEUE_FRESH].first, ready = q->lists[QUEUE_READY].first;
    if (fresh == 0 || (ready != 0 && q->counts.num_rounds % 4 == 3)) {
        return ready;
    }
    return fresh;
}

static void start_rounds(struct queue *q)
{
    uint32_t entry;
    while (!q->is_stopping && q->num_active < q->num_rounds && (entry = next_ready(q)) != 0) {
        queue_round_begin(q, entry);
        q->counts.num_ops++;
    }
}

/* One turn for everything that is under way. Returns the bytes of work done. */
static size_t turns(struct queue *q, struct buf scratch)
{
    size_t done_len = 0;
    for (uint32_t i = 0; q->num_mail_active != 0 && i < q->limits.num_mail_jobs; i++) {
        if (q->mail_jobs[i].round != NULL) {
            size_t len = queue_mail_turn(q, &q->mail_jobs[i], scratch);
            q->counts.num_ops += len != 0;
            done_len += len;
        }
    }
    q->turn++;
    for (uint32_t i = 0; q->num_active != 0 && i < q->num_rounds; i++) {
        struct queue_round *r = &q->rounds[(i + q->turn) % q->num_rounds];
        size_t len = queue_round_turn(q, r, scratch);
        q->counts.num_ops += len != 0;
        done_len += len;
    }
    return done_len;
}

static void set_timer(struct queue *q)
{
    uint64_t due_ms = TIMER_NEVER;
    if (q->num_entries != 0) {
        due_ms = running_time_due_ms(q->env.running);
    }
    uint32_t entry = queue_entry_soonest(q);
    if (entry != 0 && queue_entry_at(q, entry)->due_ms < due_ms) {
        due_ms = queue_entry_at(q, entry)->due_ms;
    }
    if (due_ms == TIMER_NEVER) {
        timer_cancel(q->env.timers, &q->timer);
    } else if (q->timer.slot == 0 || q->timer.at_ms != due_ms) {
        timer_set(q->env.timers, &q->timer, due_ms);
    }
}

bool queue_step(struct queue *q, uint64_t now_ms, struct buf scratch)
{
    size_t done_len = 0;
    bool worked = q->is_begun;
    uint64_t ops = q->counts.num_ops;
    q->now_ms = now_ms;
    if (q->num_entries != 0) {
        running_time_step(q->env.running, now_ms);
    }
    take_due(q);
    while (worked && done_len < WORK_PER_STEP_LEN) {
        start_rounds(q);
        size_t len = turns(q, scratch);
        done_len += len;
        worked = len != 0;
    }
    if (q->held_changed) {
        queue_held_save(q, scratch);
    }
    set_timer(q);
    ops = q->counts.num_ops - ops;
    if (ops > q->counts.step_ops_max) {
        q->counts.step_ops_max = ops;
    }
    return worked || q->num_flush != 0;
}

void queue_done(struct queue *q, uint64_t tag, enum err err)
{
    uint64_t index = tag & 0xffffffffu;
    if (index < q->limits.num_mail_jobs && q->mail_jobs[index].round != NULL) {
        maildir_done(&q->mail_jobs[index].maildir, &q->env.port->mailbox, err);
    }
}

void queue_stop(struct queue *q)
{
    q->is_stopping = true;
}

bool queue_is_idle(const struct queue *q)
{
    return q->num_active == 0;
}

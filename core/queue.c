/* The queue's step: see queue.h. Which work is done, in which order, and how much of it. */
#include "queue_inside.h"

#define WORK_PER_STEP_LEN \
    (256u * 1024)         /* content bytes copied in one step, all deliveries together */
#define DUE_PER_STEP  256 /* messages whose time has come, and those that a flush looks at */
#define WAKE_EVERY_MS 1000
#define LOAD_AGAIN_MS 5000
#define LOADS_MAX     4

/* --- Open --- */

static uint32_t num_buckets_of(const struct queue_limits *limits)
{
    uint32_t num = 16;
    while (num < limits->num_messages) {
        num *= 2;
    }
    return num;
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
           (sizeof(struct queue_list) + sizeof(uint32_t)) * NUM_QUEUE_LISTS +
           sizeof(struct queue_round) * limits->num_rounds +
           sizeof(struct queue_mail_job) * limits->num_mail_jobs +
           sizeof(struct queue_report) * limits->num_reports +
           sizeof(struct smtp_rcpt) * SMTP_JOB_RCPTS_MAX +
           pool_memory_len(sizeof(struct queue_item), limits->num_items) + 16 * 12;
}

/* Zeroed memory; once there was too little, the rest gets none. */
static void *take(struct arena *a, bool *is_short, size_t item_len, size_t num)
{
    void *ptr = *is_short ? NULL : arena_take(a, item_len * num);
    if (ptr == NULL) {
        *is_short = true;
    } else {
        memset(ptr, 0, item_len * num);
    }
    return ptr;
}

enum err queue_open(struct queue *q, struct arena *a, const struct queue_env *env,
                    const struct queue_limits *limits)
{
    uint32_t num_buckets = num_buckets_of(limits);
    bool is_short = false;
    memset(q, 0, sizeof *q);
    q->env = *env;
    q->conf = env->conf;
    q->limits = *limits;
    q->bucket_mask = num_buckets - 1;
    q->timer.kind = env->timer_kind;
    q->lists = take(a, &is_short, sizeof *q->lists, NUM_QUEUE_LISTS);
    q->dest_hashes = take(a, &is_short, sizeof *q->dest_hashes, QUEUE_DESTS_MAX);
    q->rounds = take(a, &is_short, sizeof *q->rounds, limits->num_rounds);
    q->mail_jobs = take(a, &is_short, sizeof *q->mail_jobs, limits->num_mail_jobs);
    q->reports = take(a, &is_short, sizeof *q->reports, limits->num_reports);
    q->group = take(a, &is_short, sizeof *q->group, SMTP_JOB_RCPTS_MAX);
    q->buckets = take(a, &is_short, sizeof *q->buckets, num_buckets);
    /* What these hold is written before it is read: pages that are never used cost nothing. */
    q->entries = is_short ? NULL : arena_take(a, sizeof *q->entries * (limits->num_messages + 1u));
    q->heap = q->entries == NULL ? NULL : arena_take(a, sizeof *q->heap * limits->num_messages);
    if (q->heap == NULL || !pool_init(&q->items, a, sizeof(struct queue_item), limits->num_items)) {
        return ERR_NO_MEMORY;
    }
    return ERR_OK;
}

/* --- Messages --- */

bool queue_has_room(const struct queue *q, uint32_t num_promised)
{
    uint32_t taken = q->num_entries + q->limits.num_reports;
    return taken < q->limits.num_messages && q->limits.num_messages - taken > num_promised;
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
    queue_entry_at(q, entry)->flags = recovered ? QUEUE_LOOK_FIRST | QUEUE_IS_RECOVERED : 0;
    queue_entry_move(q, entry, recovered ? QUEUE_READY : QUEUE_FRESH);
    return ERR_OK;
}

void queue_begin(struct queue *q, struct buf scratch)
{
    /* What was held and went out for one failed read could not be had back. */
    q->is_begun = queue_held_load(q, scratch) || ++q->num_loads == LOADS_MAX;
    q->held_again_ms = q->is_begun ? 0 : q->now_ms + LOAD_AGAIN_MS;
}

/* --- The step --- */

static void take_due(struct queue *q)
{
    for (int i = 0; i < DUE_PER_STEP && q->heap_num != 0; i++) {
        uint32_t entry = queue_entry_soonest(q);
        if (queue_entry_at(q, entry)->due_ms > q->now_ms) {
            return;
        }
        queue_entry_move(q, entry, QUEUE_READY);
        q->counts.num_ops++;
    }
}

/* Goes once over all that there are. Which of them wait is seen then: one that was tried meanwhile
 * and waits again is behind, or is tried once more. */
static void take_flushed(struct queue *q)
{
    for (int i = 0; i < DUE_PER_STEP && q->flush_next != 0; i++) {
        uint32_t entry = q->flush_next;
        if (entry > q->num_fresh_used) {
            q->flush_next = 0;
            return;
        }
        struct queue_entry *e = queue_entry_at(q, entry);
        e->flags &= (uint16_t)~QUEUE_IS_WOKEN; /* for all its recipients, that is */
        if (e->place == QUEUE_WAITING || e->place == QUEUE_BLOCKED) {
            queue_entry_move(q, entry, QUEUE_READY);
        }
        q->flush_next++;
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

/* Each gets its first turn at once: the spool has its commit at hand. */
static size_t start_rounds(struct queue *q, struct buf scratch)
{
    size_t done_len = 0;
    uint32_t entry;
    while (!q->is_stopping && q->num_active < q->limits.num_rounds &&
           (entry = next_ready(q)) != 0) {
        struct queue_round *r = queue_round_begin(q, entry);
        q->counts.num_ops++;
        done_len += queue_round_turn(q, r, scratch);
    }
    return done_len;
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
    if (q->num_remote != 0) {
        done_len += queue_group_turn(q, scratch);
    }
    q->turn++;
    for (uint32_t i = 0; q->num_active != 0 && i < q->limits.num_rounds; i++) {
        struct queue_round *r = &q->rounds[(i + q->turn) % q->limits.num_rounds];
        size_t len = queue_round_turn(q, r, scratch);
        q->counts.num_ops += len != 0;
        done_len += len;
    }
    return done_len;
}

/* Messages that are blocked are woken by the end of a job. But a connection may leave later than
 * its last job ended; and should no job be under way, nobody else would wake them. */
static void wake_orphans(struct queue *q)
{
    uint32_t num_left = q->env.remote->num_left(q->env.smtp);
    bool has_left = num_left != q->num_left;
    q->num_left = num_left;
    if (q->num_blocked != 0 && (has_left || (q->num_remote == 0 && q->now_ms >= q->wake_ms))) {
        q->wake_ms = q->now_ms + WAKE_EVERY_MS;
        queue_wake_each(q);
    }
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
    if (q->num_blocked != 0 && q->num_remote == 0 && q->wake_ms < due_ms) {
        due_ms = q->wake_ms;
    }
    if ((q->held_changed || (!q->is_begun && q->num_loads != 0)) && q->held_again_ms < due_ms) {
        due_ms = q->held_again_ms;
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
    uint64_t ops = q->counts.num_ops;
    q->now_ms = now_ms;
    if (!q->is_begun && q->num_loads != 0 && now_ms >= q->held_again_ms) {
        queue_begin(q, scratch);
    }
    bool worked = q->is_begun;
    if (q->num_entries != 0) {
        running_time_step(q->env.running, now_ms);
    }
    take_due(q);
    take_flushed(q);
    wake_orphans(q);
    while (worked && done_len < WORK_PER_STEP_LEN) {
        size_t len = start_rounds(q, scratch);
        len += turns(q, scratch);
        done_len += len;
        worked = len != 0;
    }
    if (q->held_changed && q->is_begun && now_ms >= q->held_again_ms) {
        queue_held_save(q, scratch);
    }
    set_timer(q);
    ops = q->counts.num_ops - ops;
    if (ops > q->counts.step_ops_max) {
        q->counts.step_ops_max = ops;
    }
    return worked || q->flush_next != 0;
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

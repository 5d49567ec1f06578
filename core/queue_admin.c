/* What a person may ask of the queue, and the file that remembers which messages are held: an id a
 * line. One that is removed stays among them until it is gone, and its id until the file is written
 * again. Called by the control socket. */
#include "queue_inside.h"

#define SAVE_AGAIN_MS 60000

const char *queue_state_name(enum queue_state state)
{
    static const char *const names[] = {
        [QUEUE_STATE_READY] = "ready",     [QUEUE_STATE_WAITING] = "waiting",
        [QUEUE_STATE_BLOCKED] = "blocked", [QUEUE_STATE_ACTIVE] = "active",
        [QUEUE_STATE_HELD] = "held",
    };
    return names[state];
}

static void describe(const struct queue *q, const struct queue_entry *e, struct queue_info *out)
{
    static const uint8_t states[NUM_QUEUE_PLACES] = {
        [QUEUE_FRESH] = QUEUE_STATE_READY,     [QUEUE_READY] = QUEUE_STATE_READY,
        [QUEUE_WAITING] = QUEUE_STATE_WAITING, [QUEUE_BLOCKED] = QUEUE_STATE_BLOCKED,
        [QUEUE_ACTIVE] = QUEUE_STATE_ACTIVE,   [QUEUE_HELD] = QUEUE_STATE_HELD,
    };
    uint64_t now_s = running_time_s(q->env.running, q->now_ms);
    *out = (struct queue_info){
        .id = e->id,
        .state = (enum queue_state)states[e->place],
        .is_removed = (e->flags & QUEUE_IS_REMOVED) != 0,
        .why = e->why,
    };
    if ((e->flags & QUEUE_IS_BORN) != 0 && now_s > e->born_s) {
        out->age_s = now_s - e->born_s;
    }
    if ((e->place == QUEUE_WAITING || e->place == QUEUE_BLOCKED) && e->due_ms > q->now_ms) {
        out->due_s = (e->due_ms - q->now_ms + 999) / 1000;
    }
}

bool queue_each(const struct queue *q, uint32_t *cursor, struct queue_info *out)
{
    while (*cursor < q->num_fresh_used) {
        const struct queue_entry *e = queue_entry_at(q, ++*cursor);
        if (e->place != QUEUE_FREE) {
            describe(q, e, out);
            return true;
        }
    }
    *cursor = 0;
    return false;
}

enum err queue_find(const struct queue *q, uint64_t id, struct queue_info *out)
{
    uint32_t entry = queue_entry_find(q, id);
    if (entry == 0) {
        return ERR_ABSENT;
    }
    describe(q, queue_entry_at(q, entry), out);
    return ERR_OK;
}

/* Ready as soon as may be: now, or when the round under way has ended. */
static void make_ready(struct queue *q, uint32_t entry)
{
    struct queue_entry *e = queue_entry_at(q, entry);
    e->flags &= (uint16_t) ~(QUEUE_IS_WOKEN | QUEUE_IS_LAST);
    if (e->place == QUEUE_ACTIVE) {
        e->flags |= QUEUE_AGAIN;
    } else {
        queue_entry_move(q, entry, QUEUE_FRESH);
    }
}

enum err queue_hold(struct queue *q, uint64_t id)
{
    uint32_t entry = queue_entry_find(q, id);
    struct queue_entry *e = queue_entry_at(q, entry);
    if (entry == 0) {
        return ERR_ABSENT;
    }
    if ((e->flags & QUEUE_IS_HELD) != 0) {
        return ERR_EXISTS;
    }
    if (q->num_held == QUEUE_HELD_MAX) {
        return ERR_FULL;
    }
    e->flags = (uint16_t)((e->flags & ~QUEUE_AGAIN) | QUEUE_IS_HELD);
    q->num_held++;
    q->held_changed = true;
    if (e->place != QUEUE_ACTIVE) {
        queue_entry_move(q, entry, QUEUE_HELD);
    }
    return ERR_OK;
}

enum err queue_retry_now(struct queue *q, uint64_t id)
{
    uint32_t entry = queue_entry_find(q, id);
    if (entry == 0) {
        return ERR_ABSENT;
    }
    if ((queue_entry_at(q, entry)->flags & QUEUE_IS_HELD) != 0) {
        return ERR_WRONG_STATE;
    }
    q->env.remote->hurry(q->env.smtp);
    make_ready(q, entry);
    return ERR_OK;
}

enum err queue_release(struct queue *q, uint64_t id)
{
    uint32_t entry = queue_entry_find(q, id);
    struct queue_entry *e = queue_entry_at(q, entry);
    if (entry == 0) {
        return ERR_ABSENT;
    }
    if ((e->flags & QUEUE_IS_HELD) == 0) {
        return ERR_WRONG_STATE;
    }
    e->flags &= (uint16_t)~QUEUE_IS_HELD;
    q->num_held--;
    q->held_changed = true;
    return queue_retry_now(q, id);
}

enum err queue_remove(struct queue *q, uint64_t id, bool with_report)
{
    uint32_t entry = queue_entry_find(q, id);
    if (entry == 0) {
        return ERR_ABSENT;
    }
    queue_entry_at(q, entry)->flags |=
        (uint16_t)(QUEUE_IS_REMOVED | (with_report ? 0 : QUEUE_IS_SILENT));
    make_ready(q, entry);
    return ERR_OK;
}

uint32_t queue_flush(struct queue *q)
{
    q->env.remote->hurry(q->env.smtp);
    q->flush_next = 1;
    return q->heap_num;
}

/* --- The file --- */

static bool has_file(const struct queue *q)
{
    return q->env.held_path != NULL && q->env.held_path[0] != '\0';
}

static void report(struct queue *q, const char *result, enum err err)
{
    struct log_line line;
    log_begin(&line, "held-messages");
    log_word(&line, "result", result);
    log_word(&line, "reason", err_name(err));
    queue_log(q, LOG_WARNING, &line);
}

static void load_line(struct queue *q, struct slice text)
{
    uint64_t id;
    uint32_t entry = spool_id_parse(text, &id) ? queue_entry_find(q, id) : 0;
    bool was_changed = q->held_changed;
    if (entry != 0 && queue_hold(q, id) == ERR_OK) {
        q->held_changed = was_changed;
    } else {
        q->held_changed = true; /* gone meanwhile: the file is to forget it */
    }
}

bool queue_held_load(struct queue *q, struct buf scratch)
{
    const struct port_files *files = &q->env.port->files;
    struct slice text = {scratch.ptr, 0};
    if (!has_file(q)) {
        return true;
    }
    enum err err = files->read(files->ctx, &text.len, q->env.held_path, scratch.ptr, scratch.cap);
    if (err != ERR_OK) {
        if (err != ERR_ABSENT) {
            report(q, "unreadable", err);
        }
        return !err_is_temporary(err);
    }
    while (!slice_is_empty(text)) {
        const uint8_t *end = memchr(text.ptr, '\n', text.len);
        size_t len = end == NULL ? text.len : (size_t)(end - text.ptr);
        load_line(q, slice_make(text.ptr, len));
        slice_skip(&text, len + (end != NULL));
    }
    return true;
}

void queue_held_save(struct queue *q, struct buf scratch)
{
    const struct port_files *files = &q->env.port->files;
    struct buf text = buf_make(scratch.ptr, scratch.cap);
    q->held_changed = false;
    if (!has_file(q)) {
        return;
    }
    for (uint32_t entry = 1; entry <= q->num_fresh_used; entry++) {
        if ((queue_entry_at(q, entry)->flags & QUEUE_IS_HELD) != 0) {
            spool_id_put(&text, queue_entry_at(q, entry)->id);
            buf_put_string(&text, "\n");
        }
    }
    enum err err = files->replace(files->ctx, q->env.held_path, buf_slice(&text));
    if (err != ERR_OK) {
        report(q, "not-saved", err);
        q->held_changed = true;
        q->held_again_ms = q->now_ms + SAVE_AGAIN_MS;
    }
}

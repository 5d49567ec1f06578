/* The messages that wait: their lists, the heap of those with a time, and the hash by id. Every
 * operation is constant, or logarithmic for the heap, however many there are. Called by the rest of
 * the queue; knows nothing of deliveries. */
#include "queue_inside.h"

static uint32_t *bucket_of(const struct queue *q, uint64_t id)
{
    uint64_t mixed = id * UINT64_C(0x9e3779b97f4a7c15);
    return &q->buckets[(uint32_t)(mixed >> 32) & q->bucket_mask];
}

uint32_t queue_entry_find(const struct queue *q, uint64_t id)
{
    uint32_t entry = *bucket_of(q, id);
    while (entry != 0 && q->entries[entry].id != id) {
        entry = q->entries[entry].same_hash;
    }
    return entry;
}

/* --- Lists --- */

/* NULL: its place has none. */
static struct queue_list *list_of(struct queue *q, const struct queue_entry *e)
{
    switch ((enum queue_place)e->place) {
    case QUEUE_FRESH:
    case QUEUE_READY:
        return &q->lists[e->place];
    case QUEUE_BLOCKED:
        return &q->lists[NUM_QUEUE_PLACES + e->dest];
    case QUEUE_FREE:
    case QUEUE_HELD:
    case QUEUE_WAITING:
    case QUEUE_ACTIVE:
    case NUM_QUEUE_PLACES:
        return NULL;
    }
    return NULL;
}

static void list_append(struct queue *q, uint32_t entry)
{
    struct queue_entry *e = &q->entries[entry];
    struct queue_list *list = list_of(q, e);
    if (list == NULL) {
        return;
    }
    e->next = 0;
    e->prev = list->last;
    *(list->last == 0 ? &list->first : &q->entries[list->last].next) = entry;
    list->last = entry;
    list->num++;
}

static void list_unlink(struct queue *q, uint32_t entry)
{
    struct queue_entry *e = &q->entries[entry];
    struct queue_list *list = list_of(q, e);
    if (list == NULL) {
        return;
    }
    *(e->prev == 0 ? &list->first : &q->entries[e->prev].next) = e->next;
    *(e->next == 0 ? &list->last : &q->entries[e->next].prev) = e->prev;
    list->num--;
}

/* --- The heap --- */

static void heap_place(struct queue *q, uint32_t at, uint32_t entry)
{
    q->heap[at] = entry;
    q->entries[entry].heap_at = at + 1;
}

static uint64_t heap_due_ms(const struct queue *q, uint32_t at)
{
    return q->entries[q->heap[at]].due_ms;
}

static void heap_up(struct queue *q, uint32_t at, uint32_t entry)
{
    uint64_t due_ms = q->entries[entry].due_ms;
    while (at > 0 && heap_due_ms(q, (at - 1) / 2) > due_ms) {
        heap_place(q, at, q->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    heap_place(q, at, entry);
}

static void heap_down(struct queue *q, uint32_t at, uint32_t entry)
{
    uint64_t due_ms = q->entries[entry].due_ms;
    for (uint32_t child; (child = 2 * at + 1) < q->heap_num; at = child) {
        if (child + 1 < q->heap_num && heap_due_ms(q, child + 1) < heap_due_ms(q, child)) {
            child++;
        }
        if (heap_due_ms(q, child) >= due_ms) {
            break;
        }
        heap_place(q, at, q->heap[child]);
    }
    heap_place(q, at, entry);
}

static void heap_remove(struct queue *q, uint32_t entry)
{
    uint32_t at = q->entries[entry].heap_at - 1;
    uint32_t last = q->heap[--q->heap_num];
    q->entries[entry].heap_at = 0;
    if (last == entry) {
        return;
    }
    if (at > 0 && heap_due_ms(q, (at - 1) / 2) > q->entries[last].due_ms) {
        heap_up(q, at, last);
    } else {
        heap_down(q, at, last);
    }
}

uint32_t queue_entry_soonest(const struct queue *q)
{
    return q->heap_num == 0 ? 0 : q->heap[0];
}

/* --- Places --- */

static void leave(struct queue *q, uint32_t entry)
{
    struct queue_entry *e = &q->entries[entry];
    q->num_blocked -= e->place == QUEUE_BLOCKED;
    list_unlink(q, entry);
    if (e->heap_at != 0) {
        heap_remove(q, entry);
    }
}

void queue_entry_move(struct queue *q, uint32_t entry, enum queue_place place)
{
    leave(q, entry);
    q->entries[entry].place = (uint8_t)place;
    list_append(q, entry);
}

void queue_entry_wait(struct queue *q, uint32_t entry, uint64_t due_ms)
{
    queue_entry_move(q, entry, QUEUE_WAITING);
    q->entries[entry].due_ms = due_ms;
    heap_up(q, q->heap_num++, entry);
}

/* --- Destinations that are full --- */

static uint32_t dest_num(const struct queue *q, uint32_t dest)
{
    return q->lists[NUM_QUEUE_PLACES + dest].num;
}

/* The list of that destination, or a free one; QUEUE_DEST_OTHERS: none is left. */
static uint32_t dest_of(const struct queue *q, uint32_t hash)
{
    uint32_t free_dest = QUEUE_DEST_OTHERS;
    for (uint32_t dest = 0; dest < QUEUE_DEST_OTHERS; dest++) {
        if (dest_num(q, dest) != 0 && q->dest_hashes[dest] == hash) {
            return dest;
        }
        if (dest_num(q, dest) == 0 && free_dest == QUEUE_DEST_OTHERS) {
            free_dest = dest;
        }
    }
    return free_dest;
}

void queue_entry_block(struct queue *q, uint32_t entry, uint64_t due_ms, uint32_t dest_hash)
{
    struct queue_entry *e = &q->entries[entry];
    uint32_t dest = dest_of(q, dest_hash);
    queue_entry_wait(q, entry, due_ms);
    /* Woken from the list of many, its other recipients would be asked too. */
    if (dest != QUEUE_DEST_OTHERS || (e->flags & QUEUE_IS_MIXED) == 0) {
        q->dest_hashes[dest] = dest_hash;
        e->dest = (uint8_t)dest;
        e->place = QUEUE_BLOCKED;
        list_append(q, entry);
        q->num_blocked++;
    }
}

static void wake_first(struct queue *q, uint32_t dest)
{
    uint32_t entry = q->lists[NUM_QUEUE_PLACES + dest].first;
    if (entry != 0) {
        queue_entry_move(q, entry, QUEUE_FRESH);
        q->entries[entry].flags |= QUEUE_IS_WOKEN;
    }
}

void queue_wake(struct queue *q, uint32_t dest_hash)
{
    if (q->num_blocked != 0) {
        wake_first(q, dest_of(q, dest_hash));
    }
}

void queue_wake_each(struct queue *q)
{
    uint32_t turn = q->wake_turn;
    bool is_first = true;
    for (uint32_t i = 1; q->num_blocked != 0 && i <= QUEUE_DESTS_MAX; i++) {
        uint32_t dest = (turn + i) % QUEUE_DESTS_MAX;
        if (is_first && dest_num(q, dest) != 0) {
            q->wake_turn = dest;
            is_first = false;
        }
        wake_first(q, dest);
    }
}

uint32_t queue_entry_take(struct queue *q, uint64_t id)
{
    uint32_t entry = q->free_entry;
    if (entry != 0) {
        q->free_entry = q->entries[entry].next;
    } else if (q->num_fresh_used < q->limits.num_messages) {
        entry = ++q->num_fresh_used;
    } else {
        return 0;
    }
    uint32_t *bucket = bucket_of(q, id);
    q->entries[entry] = (struct queue_entry){
        .id = id, .place = QUEUE_ACTIVE, .dest = QUEUE_NO_DEST, .same_hash = *bucket};
    *bucket = entry;
    q->num_entries++;
    return entry;
}

void queue_entry_give(struct queue *q, uint32_t entry)
{
    struct queue_entry *e = &q->entries[entry];
    leave(q, entry);
    uint32_t *at = bucket_of(q, e->id);
    while (*at != entry) {
        at = &q->entries[*at].same_hash;
    }
    *at = e->same_hash;
    *e = (struct queue_entry){.next = q->free_entry};
    q->free_entry = entry;
    q->num_entries--;
}

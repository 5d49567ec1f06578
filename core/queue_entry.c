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

static bool is_listed(uint8_t place)
{
    return place == QUEUE_FRESH || place == QUEUE_READY || place == QUEUE_HELD;
}

static void list_append(struct queue *q, struct queue_list *list, uint32_t entry)
{
    struct queue_entry *e = &q->entries[entry];
    e->next = 0;
    e->prev = list->last;
    *(list->last == 0 ? &list->first : &q->entries[list->last].next) = entry;
    list->last = entry;
    list->num++;
}

static void list_unlink(struct queue *q, struct queue_list *list, uint32_t entry)
{
    struct queue_entry *e = &q->entries[entry];
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
    if (is_listed(e->place)) {
        list_unlink(q, &q->lists[e->place], entry);
    }
    if (e->heap_at != 0) {
        heap_remove(q, entry);
    }
}

void queue_entry_move(struct queue *q, uint32_t entry, enum queue_place place)
{
    leave(q, entry);
    q->entries[entry].place = (uint8_t)place;
    if (is_listed((uint8_t)place)) {
        list_append(q, &q->lists[place], entry);
    }
}

void queue_entry_wait(struct queue *q, uint32_t entry, uint64_t due_ms)
{
    queue_entry_move(q, entry, QUEUE_WAITING);
    q->entries[entry].due_ms = due_ms;
    heap_up(q, q->heap_num++, entry);
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
    q->entries[entry] = (struct queue_entry){.id = id, .place = QUEUE_ACTIVE, .same_hash = *bucket};
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

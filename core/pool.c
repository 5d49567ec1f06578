/* Pools: see pool.h. */
#include "pool.h"

#include "teeth.h"

#include <string.h>

struct head {
    uint32_t generation; /* odd while the item is in use; 24 bits */
    uint32_t next;       /* index + 1 of the next free item */
};

#define GENERATION_MASK 0xffffffu

#define ALIGNMENT    \
    sizeof(union {   \
        long long a; \
        void *b;     \
        double c;    \
    })

static size_t round_up(size_t len)
{
    return (len + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

void *arena_take(struct arena *a, size_t len)
{
    size_t whole = round_up(len);
    size_t skip = -(uintptr_t)(a->ptr + a->used) % ALIGNMENT; /* where the arena begins unaligned */
    size_t left = a->len - a->used;
    if (whole < len || skip > left || whole > left - skip) {
        return NULL;
    }
    void *ptr = a->ptr + a->used + skip;
    a->used += skip + whole;
    return ptr;
}

static size_t whole_item_len(size_t item_len)
{
    return round_up(sizeof(struct head)) + round_up(item_len);
}

size_t pool_memory_len(size_t item_len, uint32_t num_items)
{
    return whole_item_len(item_len) * num_items;
}

bool pool_init(struct pool *p, struct arena *a, size_t item_len, uint32_t num_items)
{
    memset(p, 0, sizeof *p);
    p->item_len = whole_item_len(item_len);
    if (num_items != 0 && p->item_len > SIZE_MAX / num_items) {
        return false;
    }
    p->mem = arena_take(a, p->item_len * num_items);
    p->num_items = num_items;
    return p->mem != NULL;
}

static struct head *head_at(const struct pool *p, uint32_t index)
{
    return (struct head *)(void *)(p->mem + (size_t)index * p->item_len);
}

static uint8_t *item_at(const struct pool *p, uint32_t index)
{
    return p->mem + (size_t)index * p->item_len + round_up(sizeof(struct head));
}

static uint32_t index_of(const struct pool *p, const void *item)
{
    size_t offset = (size_t)((const uint8_t *)item - p->mem) - round_up(sizeof(struct head));
    return (uint32_t)(offset / p->item_len);
}

static void next_generation(struct head *h)
{
    h->generation = (h->generation + 1) & GENERATION_MASK;
}

void *pool_take(struct pool *p)
{
    uint32_t index;
    if (p->free_head != 0) {
        index = p->free_head - 1;
        p->free_head = head_at(p, index)->next;
        next_generation(head_at(p, index));
    } else if (p->num_fresh_used < p->num_items) {
        index = p->num_fresh_used++;
        head_at(p, index)->generation = 1;
    } else {
        p->num_refused++;
        return NULL;
    }
    p->num_used++;
    if (p->num_used > p->num_used_max) {
        p->num_used_max = p->num_used;
    }
    return memset(item_at(p, index), 0, p->item_len - round_up(sizeof(struct head)));
}

void pool_give(struct pool *p, void *item)
{
    if (item == NULL) {
        return;
    }
    uint32_t index = index_of(p, item);
    struct head *h = head_at(p, index);
    next_generation(h);
    h->next = p->free_head;
    p->free_head = index + 1;
    p->num_used--;
}

uint64_t pool_handle(const struct pool *p, const void *item)
{
    uint32_t index = index_of(p, item);
    return (uint64_t)head_at(p, index)->generation << 32 | index;
}

void *pool_find(const struct pool *p, uint64_t handle)
{
    uint32_t index = (uint32_t)handle;
    uint32_t generation = (uint32_t)(handle >> 32);
    if (index >= p->num_fresh_used || (generation & 1) == 0 ||
        (head_at(p, index)->generation != generation && !BROKEN(STALE_HANDLE_FOUND))) {
        return NULL;
    }
    return item_at(p, index);
}

void *pool_each(const struct pool *p, uint32_t *cursor)
{
    while (*cursor < p->num_fresh_used) {
        uint32_t index = (*cursor)++;
        if ((head_at(p, index)->generation & 1) != 0) {
            return item_at(p, index);
        }
    }
    return NULL;
}

/* Pools of equal items over memory that is given once, at start.
 *
 * Memory is touched only when an item is first used, so a large pool costs nothing until it is
 * needed. A handle names an item and its generation: one that has been given back since is not
 * found again. Exhaustion is ordinary: take returns NULL and counts it. Base layer. */
#ifndef POSTERN_POOL_H
#define POSTERN_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Start-up memory, handed out once and never back. */
struct arena {
    uint8_t *ptr;
    size_t len;
    size_t used;
};

/* len bytes, zeroed if the arena was, aligned for any type; NULL if the arena is used up. */
void *arena_take(struct arena *a, size_t len);

struct pool {
    uint8_t *mem;
    size_t item_len; /* of an item with its head, a multiple of the alignment */
    uint32_t num_items;
    uint32_t num_fresh_used; /* items from here on were never handed out */
    uint32_t free_head;      /* index + 1, or 0 */
    uint32_t num_used;
    uint32_t num_used_max;
    uint32_t num_refused;
};

/* Bytes of arena that pool_init takes for num_items items of item_len bytes. */
size_t pool_memory_len(size_t item_len, uint32_t num_items);

/* False if the arena has too little left. */
bool pool_init(struct pool *p, struct arena *a, size_t item_len, uint32_t num_items);

/* An item, zeroed; NULL if none is free (counted in num_refused). The caller gives it back. */
void *pool_take(struct pool *p);
void pool_give(struct pool *p, void *item);

/* The handle of an item in use, never 0, its top byte 0 so that a caller can mark what kind it is;
 * and the item of a handle, NULL if it has been given back since (2^23 uses later a handle may come
 * round again). */
uint64_t pool_handle(const struct pool *p, const void *item);
void *pool_find(const struct pool *p, uint64_t handle);

/* The first item in use at or after index *cursor, which is moved past it; NULL at the end. Start
 * with 0. */
void *pool_each(const struct pool *p, uint32_t *cursor);

#endif

/* A heap over one region of memory that is given once: what Mbed TLS, sessions and certificate
 * sets allocate from.
 *
 * Good fit in constant time: free blocks stand in lists by size class, two bitmaps say which lists
 * have any, and a freed block is joined with its free neighbours at once. So any order of growing
 * and shrinking leaves no more holes than there are live blocks between them. Exhaustion is
 * ordinary: NULL, and a count. (The allocator that Mbed TLS brings takes the first fit along one
 * list of all blocks and spends 64 bytes on each; a session that is idle has nine.) Base
 * layer: knows nothing of who asks; keeps no global state. */
#ifndef POSTERN_HEAP_H
#define POSTERN_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HEAP_NUM_CLASSES 26 /* powers of two, from 2^5 on */
#define HEAP_NUM_STEPS   16 /* lists in each */

struct heap_block;

struct heap {
    uint32_t classes; /* bit c: some list of class c has a block */
    uint32_t steps[HEAP_NUM_CLASSES];
    struct heap_block *lists[HEAP_NUM_CLASSES][HEAP_NUM_STEPS];
    size_t total_len;    /* of the one free block that there is when nothing is in use */
    size_t used_len;     /* of blocks in use, their heads and rounding included */
    size_t used_max_len; /* the most that was ever in use at once */
    uint32_t num_used;
    uint32_t num_refused; /* allocations that returned NULL for want of memory */
    uint32_t refuse_in;   /* for tests: the so-many-th allocation from now is refused; 0: none */
};

/* Takes over the region, which must outlive the heap. False if it is too small or over 2 GiB. */
bool heap_open(struct heap *h, void *region, size_t len);

/* num elements of size bytes, zeroed, aligned to 8 bytes; NULL if there is no such run, or if
 * either is 0. */
void *heap_alloc(struct heap *h, size_t num, size_t size);

/* Gives back what heap_alloc of the same heap returned; NULL is ignored. The bytes are not wiped.
 */
void heap_free(struct heap *h, void *ptr);

/* Bytes that a block of that many occupies, head and rounding included. For tests. */
size_t heap_block_len(size_t size);

/* The longest single allocation that would succeed now. */
size_t heap_largest_free(const struct heap *h);

/* Walks all blocks and lists; false if they contradict each other. For tests. */
bool heap_is_sound(const struct heap *h);

#endif

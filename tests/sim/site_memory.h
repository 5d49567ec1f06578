/* Memory that runs out: the linker puts these in front of pool_take, arena_take and heap_alloc
 * (--wrap), and of pool_init. Of one kind the nth take from now fails, and num - 1 behind it. */
#ifndef POSTERN_SITE_MEMORY_H
#define POSTERN_SITE_MEMORY_H

#include <stdint.h>

/* A pool that is made takes of an arena as well. */
enum site_memory {
    SITE_MEMORY_POOL,
    SITE_MEMORY_ARENA,
    SITE_MEMORY_HEAP,
    SITE_MEMORY_NEW_POOL,
    NUM_SITE_MEMORIES
};

void site_memory_begin(void); /* a site: nothing is known of those before */
void site_memory_fail(enum site_memory kind, uint64_t nth, uint64_t num);
void site_memory_forget(void); /* none fails any more */
struct pool;
/* What is taken of that pool, the server's only one, was reserved before, so it is there. */
void site_memory_reserved(uint32_t server, const struct pool *p);
uint64_t site_memory_num_takes(enum site_memory kind);
uint64_t site_memory_num_failures(enum site_memory kind);
uint64_t site_memory_num_failed(void); /* of all kinds */

#endif

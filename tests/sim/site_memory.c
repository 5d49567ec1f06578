/* Memory that runs out: see site_memory.h. */
#include "site_memory.h"

#include "pool.h"
#include "site.h"
#include "site_heap.h"

static struct {
    uint64_t nth, num; /* nth 0: none */
    uint64_t num_takes, num_failures;
} kinds[NUM_SITE_MEMORIES];

void *__real_pool_take(struct pool *p);
void *__real_arena_take(struct arena *a, size_t len);
void *__real_heap_alloc(struct heap *h, size_t num, size_t size);
bool __real_pool_init(struct pool *p, struct arena *a, size_t item_len, uint32_t num_items);
void *__wrap_pool_take(struct pool *p);
void *__wrap_arena_take(struct arena *a, size_t len);
void *__wrap_heap_alloc(struct heap *h, size_t num, size_t size);

bool __wrap_pool_init(struct pool *p, struct arena *a, size_t item_len, uint32_t num_items);

static bool fails(enum site_memory kind)
{
    kinds[kind].num_takes++;
    if (kinds[kind].nth == 0) {
        return false;
    }
    if (kinds[kind].nth > 1) {
        kinds[kind].nth--;
        return false;
    }
    kinds[kind].nth = --kinds[kind].num > 0 ? 1 : 0;
    kinds[kind].num_failures++;
    return true;
}

static const struct pool *reserved[SITE_SERVERS_MAX];

void site_memory_reserved(uint32_t server, const struct pool *p)
{
    reserved[server] = p;
}

static bool is_reserved(const struct pool *p)
{
    for (unsigned i = 0; i < SITE_SERVERS_MAX; i++) {
        if (reserved[i] == p) {
            return true;
        }
    }
    return false;
}

bool __wrap_pool_init(struct pool *p, struct arena *a, size_t item_len, uint32_t num_items)
{
    return !fails(SITE_MEMORY_NEW_POOL) && __real_pool_init(p, a, item_len, num_items);
}

void *__wrap_pool_take(struct pool *p)
{
    if (is_reserved(p)) {
        return __real_pool_take(p);
    }
    return fails(SITE_MEMORY_POOL) ? NULL : __real_pool_take(p);
}

void *__wrap_arena_take(struct arena *a, size_t len)
{
    return fails(SITE_MEMORY_ARENA) ? NULL : __real_arena_take(a, len);
}

void *__wrap_heap_alloc(struct heap *h, size_t num, size_t size)
{
    bool is_servers;
    h = site_heap_of(h, num, size, &is_servers);
    return is_servers && fails(SITE_MEMORY_HEAP) ? NULL : __real_heap_alloc(h, num, size);
}

void site_memory_begin(void)
{
    for (unsigned i = 0; i < SITE_SERVERS_MAX; i++) {
        reserved[i] = NULL;
    }
    site_memory_forget();
}

void site_memory_fail(enum site_memory kind, uint64_t nth, uint64_t num)
{
    kinds[kind].nth = nth;
    kinds[kind].num = num;
}

void site_memory_forget(void)
{
    for (int i = 0; i < NUM_SITE_MEMORIES; i++) {
        kinds[i].nth = 0;
    }
}

uint64_t site_memory_num_takes(enum site_memory kind)
{
    return kinds[kind].num_takes;
}

uint64_t site_memory_num_failures(enum site_memory kind)
{
    return kinds[kind].num_failures;
}

uint64_t site_memory_num_failed(void)
{
    uint64_t num = 0;
    for (int i = 0; i < NUM_SITE_MEMORIES; i++) {
        num += kinds[i].num_failures;
    }
    return num;
}

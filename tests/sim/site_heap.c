/* The library's memory, server by server: see site_heap.h. */
#include "site_heap.h"

#include "site.h"
#include "tls_platform.h"

#include <stdio.h>
#include <stdlib.h>

/* The library's tables of keys are arrays of at least so many items, longer than a byte. */
#define TABLE_ITEMS 16

struct region {
    struct heap *heap; /* NULL: that server has none now */
    const uint8_t *begin;
    size_t len;
};

static struct region regions[SITE_SERVERS_MAX];
static struct heap *own_heap;
static int turn = SITE_HEAP_NOBODY;

bool __real_heap_open(struct heap *h, void *region, size_t len);
void __real_heap_free(struct heap *h, void *ptr);
enum err __real_tls_platform_open(struct heap *heap, struct slice seed);
bool __wrap_heap_open(struct heap *h, void *region, size_t len);
void __wrap_heap_free(struct heap *h, void *ptr);
enum err __wrap_tls_platform_open(struct heap *heap, struct slice seed);

void site_heap_set_own(struct heap *own)
{
    own_heap = own;
}

void site_heap_turn(int server)
{
    turn = server;
}

const struct heap *site_heap_of_server(int server)
{
    return regions[server].heap;
}

void site_heap_forget(int server)
{
    regions[server] = (struct region){NULL, NULL, 0};
}

struct heap *site_heap_of(struct heap *h, size_t num, size_t size, bool *out_is_servers)
{
    bool is_table = num >= TABLE_ITEMS && size > sizeof(uint64_t);
    if (h == own_heap && turn != SITE_HEAP_NOBODY && regions[turn].heap != NULL && !is_table) {
        h = regions[turn].heap;
    }
    *out_is_servers = h != own_heap;
    return h;
}

bool __wrap_heap_open(struct heap *h, void *region, size_t len)
{
    if (turn != SITE_HEAP_NOBODY) {
        regions[turn] = (struct region){h, region, len};
    }
    return __real_heap_open(h, region, len);
}

void __wrap_heap_free(struct heap *h, void *ptr)
{
    for (int i = 0; i < SITE_SERVERS_MAX && ptr != NULL; i++) {
        const uint8_t *at = ptr;
        if (regions[i].heap != NULL && at >= regions[i].begin &&
            at < regions[i].begin + regions[i].len) {
            __real_heap_free(regions[i].heap, ptr);
            return;
        }
    }
    __real_heap_free(h, ptr);
}

enum err __wrap_tls_platform_open(struct heap *heap, struct slice seed)
{
    return __real_tls_platform_open(own_heap != NULL ? own_heap : heap, seed);
}

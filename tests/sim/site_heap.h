/* The library's memory: Mbed TLS has one heap a process, and here one process has several servers.
 *
 * The linker puts these in front of heap_open, heap_free and tls_platform_open (--wrap), and
 * site_memory.c calls site_heap_of for heap_alloc. The library is opened once, on the site's own
 * heap; what it takes while a server runs comes from that server's heap all the same, so that each
 * has its own room, and runs out of it alone. Only the library's tables of keys, which are the
 * process's, always stand on the site's. */
#ifndef POSTERN_SITE_HEAP_H
#define POSTERN_SITE_HEAP_H

#include "heap.h"

/* All takes are this heap's where nobody's server runs; NULL: the library is not in the site. */
void site_heap_set_own(struct heap *own);
/* Whose turn it is: the number of a server, or SITE_HEAP_NOBODY. */
#define SITE_HEAP_NOBODY (-1)
void site_heap_turn(int server);
/* NULL: it has none. */
const struct heap *site_heap_of_server(int server);
/* Its memory goes. */
void site_heap_forget(int server);

/* Which heap a take from h is from; *out_is_servers: it may fail. */
struct heap *site_heap_of(struct heap *h, size_t num, size_t size, bool *out_is_servers);

#endif

/* Bytes on their way: a queue on the heap that takes no memory while it is empty. For tls. */
#ifndef POSTERN_TLS_QUEUE_H
#define POSTERN_TLS_QUEUE_H

#include "heap.h"
#include "slice.h"

struct tls_queue {
    uint8_t *ptr; /* NULL while empty */
    uint32_t begin, end, cap;
};

/* Room for len more bytes; false, and all is as it was, if the heap has none. */
bool tls_queue_reserve(struct tls_queue *q, struct heap *heap, size_t len);

/* Behind what is there; len must have been reserved. */
void tls_queue_put(struct tls_queue *q, const uint8_t *bytes, size_t len);

static inline struct slice tls_queue_bytes(const struct tls_queue *q)
{
    return slice_make(q->ptr == NULL ? NULL : q->ptr + q->begin, q->end - q->begin);
}

/* Drops the first len bytes, at most as many as there are. */
void tls_queue_drop(struct tls_queue *q, struct heap *heap, size_t len);

#endif

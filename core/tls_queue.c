/* Bytes on their way: see tls_queue.h. */
#include "tls_queue.h"

#define STEP_LEN 512 /* what grows in small pieces does not move at each */

bool tls_queue_reserve(struct tls_queue *q, struct heap *heap, size_t len)
{
    size_t used_len = q->end - q->begin;
    if (q->cap - q->end >= len) {
        return true;
    }
    if (q->ptr != NULL && q->cap - used_len >= len) {
        memmove(q->ptr, q->ptr + q->begin, used_len);
    } else {
        size_t cap = (used_len + len + STEP_LEN - 1) / STEP_LEN * STEP_LEN;
        uint8_t *fresh = cap > UINT32_MAX ? NULL : heap_alloc(heap, 1, cap);
        if (fresh == NULL) {
            return false;
        }
        if (used_len != 0) {
            memcpy(fresh, q->ptr + q->begin, used_len);
        }
        heap_free(heap, q->ptr);
        q->ptr = fresh;
        q->cap = (uint32_t)cap;
    }
    q->begin = 0;
    q->end = (uint32_t)used_len;
    return true;
}

void tls_queue_put(struct tls_queue *q, const uint8_t *bytes, size_t len)
{
    memcpy(q->ptr + q->end, bytes, len);
    q->end += (uint32_t)len;
}

void tls_queue_drop(struct tls_queue *q, struct heap *heap, size_t len)
{
    size_t used_len = q->end - q->begin;
    q->begin += (uint32_t)(len < used_len ? len : used_len);
    if (q->begin == q->end) {
        heap_free(heap, q->ptr);
        *q = (struct tls_queue){0};
    }
}

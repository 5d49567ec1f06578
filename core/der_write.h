/* Writes DER (X.690) from its end to its begin, so that each length is known when its turn comes.
 *
 * An element's content is written first, then the element is closed around it. The parts of a
 * SEQUENCE are therefore written last one first. Codec: knows no grammar; der reads. */
#ifndef POSTERN_DER_WRITE_H
#define POSTERN_DER_WRITE_H

#include "slice.h"

struct der_writer {
    uint8_t *ptr;
    size_t cap;
    size_t len; /* bytes written, the last ones of cap */
    bool overflow;
};

static inline struct der_writer der_writer_make(void *ptr, size_t cap)
{
    return (struct der_writer){(uint8_t *)ptr, cap, 0, false};
}

/* What was written; empty after an overflow. */
struct slice der_written(const struct der_writer *w);

/* Each stands whole in front of what was written before; or nothing is, and overflow is set and
 * stays set. bytes may lie in the same memory. */
void der_write_bytes(struct der_writer *w, struct slice bytes);

/* Tag and length around all that was written since w->len was mark. */
void der_write_close(struct der_writer *w, uint8_t tag, size_t mark);

/* A whole element with this content. */
void der_write_element(struct der_writer *w, uint8_t tag, struct slice content);

#endif

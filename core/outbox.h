/* A message that waits outside while no server runs, as one file of the outbox:
 *
 *     "postern-outbox 1" LF, the length of the envelope (4 bytes, big-endian), the envelope as
 *     envelope.h has it, with recipients that have no user yet, and the content with CRLF line ends
 *
 * Its name is UID.NUMBER, and its owner that user; whoever writes it is not believed for more.
 * Written by postern sendmail, read by mta_outbox. Codec. */
#ifndef POSTERN_OUTBOX_H
#define POSTERN_OUTBOX_H

#include "slice.h"

#define OUTBOX_MAGIC    "postern-outbox 1\n"
#define OUTBOX_HEAD_LEN (sizeof OUTBOX_MAGIC - 1 + 4)

/* Marks as large as this are of files that have been refused for good; the rest of each keeps its
 * name apart from others. */
#define OUTBOX_REFUSED UINT64_C(0xffffffff00000000)

/* Files of one user at once; and what one may name and hold in its envelope. */
#define OUTBOX_FILES_MAX     100
#define OUTBOX_RCPTS_MAX     1000
#define OUTBOX_ADDRESSES_LEN 65536
#define OUTBOX_ENVELOPE_MAX  (1024 + OUTBOX_RCPTS_MAX * 16 + OUTBOX_ADDRESSES_LEN)

static inline bool outbox_read_head(struct slice *in, uint32_t *out_envelope_len)
{
    struct slice magic, rest = *in;
    if (!slice_take(&rest, sizeof OUTBOX_MAGIC - 1, &magic) ||
        !slice_equal(magic, SLICE_LITERAL(OUTBOX_MAGIC)) || !slice_be32(&rest, out_envelope_len)) {
        return false;
    }
    *in = rest;
    return true;
}

#endif

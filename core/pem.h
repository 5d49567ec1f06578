/* PEM: binary in text armour (RFC 7468), for proofs and certificates. Codec: knows labels, not what
 * is inside. */
#ifndef POSTERN_PEM_H
#define POSTERN_PEM_H

#include "buf.h"
#include "err.h"

/* Whether a block of any label begins somewhere in it. DER never looks so. */
bool pem_is_text(struct slice text);

/* The next block of that label ("CERTIFICATE", "OCSP RESPONSE"): decoded, appended to *out, *text
 * moved past it. Text and blocks of other labels in front of it are passed over. *out may write
 * over the text itself: decoding never overtakes reading. ERR_ABSENT if there is none any more,
 * ERR_MALFORMED if it does not end or is not base64, ERR_TOO_BIG if *out has no room; on these
 * *text has not moved, and *out may hold a part. */
enum err pem_next(struct slice *text, struct slice label, struct buf *out);

/* The same; *out_block is where the block stands in the text, with its boundaries and the end of
 * its last line. On ERR_MALFORMED it is all that stands behind the block's first line. */
enum err pem_next_block(struct slice *text, struct slice label, struct buf *out,
                        struct slice *out_block);

/* One block of that label with these bytes in it. Whole or not at all. */
bool pem_put(struct buf *b, struct slice label, struct slice bytes);

#endif

/* The envelope of one transaction: who sent it, and to whom it goes.
 *
 * While a client speaks, it stands in blocks from a pool, so that a connection without a
 * transaction holds nothing. When the message is spooled, its entries go in front of the content as
 * one run of bytes, and are read back from there for each delivery. Written by mta_session, read by
 * queue. Codec: knows neither spool nor SMTP.
 *
 * Entry: kind (1 byte), length of what follows (2 bytes, big-endian), then
 *   'V'  1 byte: version of this format, 1. First entry.
 *   'F'  the reverse path without angle brackets, empty for <>. Second entry.
 *   'R'  one final recipient: 1 byte user length, user, then the address as the client named it. */
#ifndef POSTERN_ENVELOPE_H
#define POSTERN_ENVELOPE_H

#include "err.h"
#include "pool.h"
#include "slice.h"

#define ENVELOPE_BLOCK_LEN 496
#define ENVELOPE_ENTRY_MAX \
    400 /* a user of 64 bytes, an address of 254 and two brackets, heads; rounded up */

struct envelope_block {
    struct envelope_block *next;
    uint32_t len;
    uint8_t bytes[ENVELOPE_BLOCK_LEN];
};

struct envelope {
    struct envelope_block *first;
    struct envelope_block *last;
    uint32_t len; /* bytes of all entries */
    uint32_t num_rcpts;
};

enum envelope_kind { ENVELOPE_VERSION = 'V', ENVELOPE_SENDER = 'F', ENVELOPE_RCPT = 'R' };

struct envelope_entry {
    enum envelope_kind kind;
    struct slice user;    /* of ENVELOPE_RCPT */
    struct slice address; /* of ENVELOPE_RCPT and ENVELOPE_SENDER */
};

/* Each takes blocks from the pool of struct envelope_block; ERR_NO_MEMORY when it has none, and
 * then the envelope is as before. ERR_TOO_BIG for an entry over ENVELOPE_ENTRY_MAX. */
enum err envelope_begin(struct envelope *e, struct pool *blocks, struct slice reverse_path);
/* ERR_EXISTS, and nothing added, if that user is a recipient already. */
enum err envelope_add(struct envelope *e, struct pool *blocks, struct slice user,
                      struct slice address);

/* Gives all blocks back; e is empty again. */
void envelope_clear(struct envelope *e, struct pool *blocks);

/* Reads the entry at the front of *in. ERR_AGAIN if it is cut off there, ERR_MALFORMED if it is
 * none. The views are into *in. */
enum err envelope_read(struct slice *in, struct envelope_entry *out);

/* The first 'F' entry; false if the envelope is empty. */
bool envelope_sender(const struct envelope *e, struct slice *out);

#endif

/* The envelope of one transaction: who sent it, and to whom it goes.
 *
 * While a client speaks, it stands in blocks from a pool, so that a connection without a
 * transaction holds nothing. When the message is spooled, its entries go in front of the content as
 * one run of bytes, and are read back from there for each delivery. Written by mta_session and by
 * queue (reports), read by queue and deliver_smtp. Codec: knows neither spool nor SMTP.
 *
 * Entry: kind (1 byte), length of what follows (2 bytes, big-endian), then
 *   'V'  1 byte: version of this format, 2 (or 1, which had only F and R). First entry.
 *   'F'  the reverse path without angle brackets, empty for <>. Second entry.
 *   'P'  parameters of the message, if it has any: 1 byte flags (enum envelope_flag), 1 byte ENVID
 *        length, ENVID without its xtext, then who handed it in: a login or "uid:NUMBER", or empty.
 *   'T'  8 bytes: how many seconds the servers of this spool had run when it was accepted; left
 *        out if that is not known.
 *   'N'  one final recipient: 1 byte user length, user, 1 byte NOTIFY (enum envelope_notify), 2
 *        bytes address length, address, then ORCPT as "TYPE;ADDRESS" without its xtext, or empty.
 *        With a user, the mailbox is ours and the address is as the client named it. Without one,
 *        the address is where it goes, by the route of its domain at the time of the delivery.
 *   'R'  one final recipient, as version 1 had it: 1 byte user length, user, address.
 * The n-th 'N' or 'R', from 0, is recipient n of the spool's outcomes. */
#ifndef POSTERN_ENVELOPE_H
#define POSTERN_ENVELOPE_H

#include "buf.h"
#include "err.h"
#include "pool.h"

#define ENVELOPE_BLOCK_LEN 496

/* In the flags of a message's spool_meta: what is known only behind the content. */
enum envelope_meta_flag {
    ENVELOPE_NO_REPORT = 1,    /* nothing is ever reported about it */
    ENVELOPE_CONTENT_8BIT = 2, /* its content has bytes above 127 */
    ENVELOPE_UNCHECKED = 4     /* recipients of ours without a user may always have been nobody */
};
#define ENVELOPE_ENVID_MAX 100 /* RFC 3461 4.4 */
#define ENVELOPE_ORCPT_MAX 500 /* 4.2 */
/* An entry with its head: a user of 64, an address of 254, and ORCPT; rounded up. */
#define ENVELOPE_ENTRY_MAX 832

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

enum envelope_kind {
    ENVELOPE_VERSION = 'V',
    ENVELOPE_SENDER = 'F',
    ENVELOPE_PARAMS = 'P',
    ENVELOPE_RUNNING = 'T',
    ENVELOPE_RCPT = 'N' /* 'R' is read as this one too */
};

enum envelope_flag {
    ENVELOPE_8BITMIME = 1, /* BODY=8BITMIME */
    ENVELOPE_SMTPUTF8 = 2,
    ENVELOPE_RET_FULL = 4,
    ENVELOPE_RET_HDRS = 8
};

/* NOTIFY of RFC 3461 4.1; 0: not said, which is to be treated as failure and delay. */
enum envelope_notify {
    ENVELOPE_NEVER = 1, /* alone */
    ENVELOPE_SUCCESS = 2,
    ENVELOPE_FAILURE = 4,
    ENVELOPE_DELAY = 8
};

struct envelope_params {
    uint8_t flags;      /* of enum envelope_flag */
    struct slice envid; /* printable ASCII; empty: none */
    struct slice login; /* who handed it in, for the log; empty: nobody that we know */
    uint64_t running_s; /* 0: not known */
};

struct envelope_rcpt {
    struct slice user; /* empty: goes to the address */
    struct slice address;
    struct slice orcpt; /* "TYPE;ADDRESS", printable ASCII or UTF-8; empty: none */
    uint8_t notify;     /* of enum envelope_notify */
};

struct envelope_entry {
    enum envelope_kind kind;
    uint8_t version;               /* of ENVELOPE_VERSION */
    struct slice sender;           /* of ENVELOPE_SENDER */
    struct envelope_rcpt rcpt;     /* of ENVELOPE_RCPT */
    struct envelope_params params; /* of ENVELOPE_PARAMS; running_s of ENVELOPE_RUNNING */
};

/* Appends one entry. ERR_TOO_BIG, and nothing appended, if it is over ENVELOPE_ENTRY_MAX or b is
 * full. */
enum err envelope_put(struct buf *b, const struct envelope_entry *entry);

/* The entries that stand in front of the first recipient, into b. Errors likewise. */
enum err envelope_put_head(struct buf *b, struct slice reverse_path,
                           const struct envelope_params *params);

/* Reads the entry at the front of *in. ERR_AGAIN if it is cut off there, ERR_MALFORMED if it is
 * none. The views are into *in. */
enum err envelope_read(struct slice *in, struct envelope_entry *out);

/* Each takes blocks from the pool of struct envelope_block; ERR_NO_MEMORY when it has none, and
 * then the envelope is as before. ERR_TOO_BIG for an entry over ENVELOPE_ENTRY_MAX. */
enum err envelope_begin(struct envelope *e, struct pool *blocks, struct slice reverse_path,
                        const struct envelope_params *params);
/* Whether mail to a user at either of two addresses goes into one mailbox. */
struct envelope_mailboxes {
    const void *ctx;
    bool (*is_same)(const void *ctx, struct slice address, struct slice other);
};

/* ERR_EXISTS, and nothing added, if that mailbox, or that address without a user, is a recipient
 * already. mailboxes is NULL: each user has one. */
enum err envelope_add(struct envelope *e, struct pool *blocks, const struct envelope_rcpt *rcpt,
                      const struct envelope_mailboxes *mailboxes);

/* Gives all blocks back; e is empty again. */
void envelope_clear(struct envelope *e, struct pool *blocks);

/* What the envelope holds now, to come back to: envelope_cut() drops what was added since. */
struct envelope_mark {
    struct envelope envelope;
    uint32_t last_len;
};
struct envelope_mark envelope_mark(const struct envelope *e);
void envelope_cut(struct envelope *e, struct pool *blocks, const struct envelope_mark *mark);

/* Goes through the entries of an envelope in its blocks: cursor = {e->first}. The views hold until
 * the next call. False at the end. */
struct envelope_cursor {
    const struct envelope_block *block;
    uint32_t at;
    uint8_t joined[ENVELOPE_ENTRY_MAX]; /* an entry that crosses blocks */
};
bool envelope_next(struct envelope_cursor *cursor, struct envelope_entry *out);

/* The first entry of that kind, from the beginning; the cursor is overwritten. */
bool envelope_find(const struct envelope *e, enum envelope_kind kind,
                   struct envelope_cursor *cursor, struct envelope_entry *out);

#endif

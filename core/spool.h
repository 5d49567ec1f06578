/* The spool: messages kept through a power cut, in an append-only log of segments.
 *
 * A message is one run of bytes, which the spool does not look into (the caller puts its envelope,
 * encoded by itself, in front), and a small meta. It exists from the moment when its commit is
 * durable until every recipient has a durable final outcome. SPOOL.md has every byte on disk, the
 * table of states and the laws. Services layer: called by the composition root and the queue; knows
 * of the world only port_store, port_entropy and port_log. One thread; never blocks for longer than
 * a read or a write into the system's memory; allocates nothing after spool_open.
 *
 * The caller's loop: events of the port -> spool_done for tags that are the spool's -> spool_step
 * -> spool_next_event until it returns false -> wait no longer than spool_next_deadline_ms.
 *
 * "Full" and "temporary" map to SMTP thus: ERR_FULL, ERR_NO_SPACE and ERR_NO_MEMORY are 452 4.3.1;
 * ERR_BUSY, ERR_IO and whatever else is 451 4.3.0; ERR_TOO_BIG is 552 5.3.4. */
#ifndef POSTERN_SPOOL_H
#define POSTERN_SPOOL_H

#include "log.h"
#include "port.h"
#include "pool.h"

/* PORT_DONE tags with this top byte belong to the spool. */
#define SPOOL_TAG         (UINT64_C(0x53) << 56)
#define SPOOL_TAG_IS(tag) ((tag) >> 56 == 0x53)

/* No slice given to spool_append may be longer. */
#define SPOOL_APPEND_MAX 32768
/* No message may have more recipients. */
#define SPOOL_RCPTS_MAX 8192

struct spool_conf {
    uint32_t segment_len;  /* bytes of a segment file: a power of two, 256 KiB or more; 0: 1 MiB */
    uint64_t size_limit;   /* bytes of all segments together, at least 8 segments */
    uint32_t max_messages; /* live ones; about 100 bytes of memory each */
    uint32_t max_txns;     /* at once; a write unit (at least 4 KiB) of memory each */
    uint32_t max_unsynced; /* bytes not yet durable, above which appends wait; 0: 1 MiB */
    uint32_t max_outcomes; /* outcomes reserved and not yet durable, at most; 0: 64 */
    uint32_t num_write_pages;  /* write units gathered into one write; 0: 8 */
    uint64_t reserved_len;     /* of what live messages may count for: only for reports; 0: none */
    uint32_t outcome_delay_ms; /* how long an outcome may wait for company before a sync; 0: 50 */
};

/* Kept in the commit record; told again after a restart. */
struct spool_meta {
    uint64_t total_len;    /* bytes of the message, envelope included; set by the spool */
    uint32_t envelope_len; /* the caller's: how many of the first bytes are its envelope */
    uint32_t num_rcpts;    /* 1 to SPOOL_RCPTS_MAX */
    int64_t received_s;    /* wall clock, 0 if it was not set */
    uint32_t flags;        /* the caller's */
};

enum spool_event_kind {
    SPOOL_READY, /* recovery is over; every SPOOL_FOUND has been told. err: not ERR_OK if the spool
                    cannot be used */
    SPOOL_FOUND, /* after spool_open: id is a live message of an earlier run, durable */
    SPOOL_COMMITTED, /* txn has ended. ERR_OK: message id is durable. Else it does not exist, also
                        not after a crash */
    SPOOL_OUTCOME_DURABLE, /* outcome of recipient rcpt of id; is_last: the message is gone with it
                            */
    SPOOL_ROOM             /* something that was refused with ERR_AGAIN may be tried again */
};

struct spool_event {
    enum spool_event_kind kind;
    enum err err;
    bool is_last;
    uint32_t rcpt;
    uint64_t txn;
    uint64_t id;
    struct spool_meta meta; /* of SPOOL_COMMITTED */
};

struct spool_stats {
    uint64_t num_batches; /* group commits: one sync each, as a rule */
    uint64_t num_syncs;   /* every sync started, those of recycling and recovery too */
    uint64_t num_sync_failures;
    uint64_t written_len; /* bytes given to write_at */
    uint64_t padding_len; /* of them, filling up to the write unit */
    uint64_t
        message_len; /* of them, bytes of messages as the caller gave them, copies not counted */
    uint64_t copied_len; /* bytes of messages copied by compaction and evacuation */
    uint64_t num_committed;
    uint64_t num_annulled;
    uint64_t num_outcomes;
    uint64_t num_recycled;      /* segments given a new generation */
    uint64_t num_damaged_pages; /* seen by recovery and by reads */
    uint64_t num_lost;          /* times that a message was named as lost, perhaps or for certain */
    uint32_t num_messages;      /* live now */
    uint32_t num_txns;          /* open now */
    uint32_t num_segments;      /* files now */
    uint32_t num_free_segments; /* that mail or the reserve could still take, files not yet created
                                   included */
    uint64_t live_len;          /* bytes that live messages and open transactions count for */
    uint64_t live_limit_len;    /* the same, above which spool_begin says ERR_FULL */
};

struct spool; /* complete in spool_inside.h; callers hold a pointer */

/* Bytes of arena that spool_open takes for this configuration. */
size_t spool_memory_len(const struct spool_conf *conf, uint32_t write_unit_len);

/* 0: a directory of so many segments can be opened; otherwise the size_limit that it takes. */
uint64_t spool_wanted_size(const struct spool_conf *conf, size_t num_segs);

/* Bytes of the largest message that such a spool takes while it holds no other. */
uint64_t spool_message_max(const struct spool_conf *conf, uint32_t write_unit_len);

/* Starts recovery, which goes on in spool_step until SPOOL_READY; until then begin says ERR_BUSY.
 * conf is copied, the ports must outlive the spool, the arena is zeroed memory: what is not needed
 * yet stays untouched. ERR_NO_MEMORY: the arena is too small.
 * ERR_MALFORMED: conf contradicts itself or the port's write unit is not a power of two up to
 * 32768. ERR_TOO_BIG: the directory holds far more segments than the limit allows
 * (spool_wanted_size). Otherwise what the port's open and list said. */
enum err spool_open(struct spool **out, const struct spool_conf *conf,
                    const struct port_store *store, const struct port_entropy *entropy,
                    const struct port_log *log, struct arena *arena);

/* The result of an operation that the spool started (tags with SPOOL_TAG). */
void spool_done(struct spool *sp, uint64_t tag, enum err result);

/* Does what is due, in bounded pieces: recovery, one group commit if anything must be durable and
 * none is under way, preparing segments, compaction. True if it has more to do at once (call again
 * soon, without waiting). */
bool spool_step(struct spool *sp, uint64_t now_ms);

/* The next event, false if there is none. */
bool spool_next_event(struct spool *sp, struct spool_event *out);

/* When spool_step must be called although nothing has happened; UINT64_MAX: no need. */
uint64_t spool_next_deadline_ms(const struct spool *sp);

/* Opens a transaction. declared_len: the size that the client announced, 0 if none. There must be
 * room for it now, but none is set aside: announcing costs a client nothing, and would take the
 * room from all others. ERR_FULL: over the size limit or too many messages.
 * ERR_TOO_BIG: could never fit. ERR_BUSY: too many transactions, or the spool is not ready or is
 * stopping. ERR_IO: the storage has failed and no more mail is taken until a restart. */
enum err spool_begin(struct spool *sp, uint64_t *out_txn, uint64_t declared_len);

/* The same for a report about messages that are here, which may use what is reserved as well; its
 * room is set aside. */
enum err spool_begin_report(struct spool *sp, uint64_t *out_txn, uint64_t declared_len);

/* The id that the message will have: known from the beginning, for Received lines and logs. 0 for a
 * stale txn. */
uint64_t spool_txn_id(const struct spool *sp, uint64_t txn);

/* All of bytes (at most SPOOL_APPEND_MAX) or nothing. ERR_AGAIN: nothing taken now, SPOOL_ROOM will
 * tell. Any other error (ERR_FULL, ERR_TOO_BIG, ERR_IO) is final for this transaction: abort it. */
enum err spool_append(struct spool *sp, uint64_t txn, struct slice bytes);

/* Ends the transaction with a message; meta->total_len is ignored. ERR_OK: SPOOL_COMMITTED will
 * follow, exactly once, and the txn is the spool's. Any error is immediate and the transaction
 * still open: abort it. ERR_MALFORMED: meta does not fit what was appended; ERR_FULL: so many
 * recipients have no place among those that wait. */
enum err spool_commit(struct spool *sp, uint64_t txn, const struct spool_meta *meta);

/* Forgets an open transaction; nothing of it will ever be a message. Without effect after
 * spool_commit returned ERR_OK (the event still comes: the message may exist) and for stale
 * handles. */
void spool_abort(struct spool *sp, uint64_t txn);

/* Sets space aside for one outcome. To be had before a delivery starts, so that its end can always
 * be recorded. ERR_BUSY: too many at once, or the log has no room; try after the next
 * SPOOL_OUTCOME_DURABLE or step. ERR_IO: no delivery may start any more. */
enum err spool_reserve_outcome(struct spool *sp);
/* Gives back a reservation that was not used. */
void spool_release_outcome(struct spool *sp);

/* Records the final outcome of a recipient (0 to num_rcpts - 1), using up one reservation; code is
 * the caller's and is kept on disk only. Ends with SPOOL_OUTCOME_DURABLE. ERR_ABSENT: no such
 * message or recipient. ERR_EXISTS: it has one already. ERR_WRONG_STATE: nothing reserved. */
enum err spool_outcome(struct spool *sp, uint64_t id, uint32_t rcpt, uint16_t code);

/* Whether the recipient has a final outcome, durable or on its way. */
bool spool_is_final(const struct spool *sp, uint64_t id, uint32_t rcpt);

/* Up to cap bytes of the message from offset; fewer only at its end. ERR_EOF at or past it.
 * ERR_ABSENT: no such message. ERR_DAMAGED: stored bytes fail their check; what the port's read
 * said, else. */
enum err spool_read(struct spool *sp, size_t *out_len, uint64_t id, uint64_t offset, uint8_t *into,
                    size_t cap);

/* Whether such a message is live; reads nothing. */
bool spool_holds(const struct spool *sp, uint64_t id);

/* The meta of a live message. Errors as spool_read. */
enum err spool_meta_of(struct spool *sp, uint64_t id, struct spool_meta *out);

/* No segment took what had to be written: no more mail is taken until a new spool_open, and nothing
 * is under way. */
bool spool_has_failed(const struct spool *sp);

/* For an orderly end: begin says ERR_BUSY from now on, no new segment is prepared; what was
 * promised is finished. */
void spool_stop(struct spool *sp);
/* Nothing is under way, waiting to become durable, or waiting in spool_next_event. */
bool spool_idle(const struct spool *sp);

void spool_stats_of(const struct spool *sp, struct spool_stats *out);

/* An id as text: 13 characters of 0-9 and a-z (no i, l, o, u), fit for file names that fold case.
 */
#define SPOOL_ID_TEXT_LEN 13
bool spool_id_put(struct buf *b, uint64_t id);
/* The same as a word of a line. */
void spool_id_log(struct log_line *line, const char *key, uint64_t id);
bool spool_id_parse(struct slice text, uint64_t *out);

#endif

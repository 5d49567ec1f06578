/* What the files of the spool share: its state, and what each file offers the others. Included by
 * spool*.c only.
 *
 * spool.c           open, step, events, the calls that fit nowhere else
 * spool_index.c     the entries of live messages
 * spool_segment.c   the table of segments: spares, recycling, retiring
 * spool_write.c     the head of the log, group commit, what a failed sync entails
 * spool_txn.c       transactions
 * spool_outcome.c   outcomes of recipients
 * spool_read.c      pages and extents, read and checked
 * spool_compact.c   moves what is needed out of a segment
 * spool_recover.c   from what is on disk to all of this */
#ifndef POSTERN_SPOOL_INSIDE_H
#define POSTERN_SPOOL_INSIDE_H

#include "spool.h"
#include "spool_record.h"
#include "teeth.h"

#define SPOOL_NONE 0xffffu /* no segment */

/* Segments that mail cannot have: one for outcomes, one being copied into, one between. */
#define SPOOL_RESERVE 3
/* Messages up to this length live in the log. */
#define SPOOL_SHARED_MAX 65536
#ifdef POSTERN_TEETH
#define SPOOL_SHARED_EXTENTS 150
#else
#define SPOOL_SHARED_EXTENTS 20
#endif
#define SPOOL_COPIES_MAX 32
#define SPOOL_COPY_PAGES 3 /* of the log, that one run of a message may take */

enum seg_state {
    SEG_UNUSED,
    SEG_CREATING,
    SEG_FORMATTING,
    SEG_SPARE,
    SEG_LOG,
    SEG_DATA,
    SEG_FREE,
    SEG_RECYCLING_A,
    SEG_RECYCLING_B,
    SEG_BAD,
    SEG_GONE
};

struct spool_seg {
    enum seg_state state;
    bool is_open;    /* handle is valid */
    bool is_data;    /* also when bad or gone: not in the order of the log */
    bool is_damaged; /* bad because of its bytes, not because of a sync */
    bool is_suspect; /* bad only in that its last pages are not proved durable: they are written
                        again elsewhere */
    bool is_one_headed;
    bool is_b_first; /* to be begun anew in head B: A may be the only one that knows it is empty */
    bool is_dirty;   /* written since the last sync began */
    bool is_syncing;
    bool is_wanted; /* a data segment whose message commits with the next sync */
    enum err err;   /* a write failed: no sync will do */
    uint32_t id;
    uint32_t handle;
    uint32_t num_pages;
    uint32_t num_written;  /* pages, head A counted: the next page's number */
    uint32_t num_durable;  /* of them */
    uint32_t num_syncing;  /* of them, durable when the sync under way succeeds */
    uint32_t first_bad;    /* recovery: lowest page that does not count */
    uint32_t num_sealed;   /* recovery: pages that were durable once, as far as that is proved */
    uint32_t seal_pages;   /* recovery: what this segment says of the one before it */
    uint32_t num_first;    /* live messages whose oldest byte in the log is here */
    uint32_t num_entries;  /* index entries that recovery needs for the commits here */
    uint32_t owned_len;    /* data: message bytes here */
    uint32_t unsynced_len; /* written since the last sync began */
    uint16_t next_owned;   /* data: the next segment of the same transaction */
    uint64_t seal_generation;
    uint32_t settled_page; /* recovery: where it says that what is not proved here has been written
                              again; 0: nowhere */
    uint16_t settled_seg;
    uint64_t generation;
    uint64_t owner; /* data: the message's id, 0 if none */
    uint64_t
        gone_after; /* gone for good when this many creates have been started and that one ended */
    uint8_t nonce[SPOOL_NONCE_LEN];
};

#define ENTRY_USED     1u
#define ENTRY_ANNULLED 2u
#define ENTRY_COPYING  4u
#define ENTRY_HASHED   16u
#define ENTRY_RESTATED 128u /* recovery: has outcomes that its newest commit does not know of */
#define ENTRY_COPIED   64u  /* recovery: has a copy, so it was acknowledged */
#define ENTRY_DOUBTED  32u  /* recovery: never acknowledged and not whole, to be annulled */

/* A live message; or, in the same memory, more bits of one with over 64 recipients. */
struct spool_entry {
    uint64_t id;
    uint64_t bits; /* recipients 0 to 63 with an outcome, durable or on its way */
    uint32_t next; /* in the hash chain or the free list: index + 1 */
    uint32_t more; /* of struct spool_more: index + 1 */
    uint32_t cost; /* what it counts for against the limit, in units of 512 bytes */
    uint32_t commit_page;
    uint16_t commit_offset;
    uint16_t commit_seg;
    uint16_t first_seg;
    uint16_t version;
    uint16_t num_rcpts;
    uint16_t num_final; /* durable ones */
    uint16_t flags;
};

#define MORE_BITS 256u
struct spool_more {
    uint64_t words[4];
    uint32_t next;
};

union spool_slot {
    struct spool_entry entry;
    struct spool_more more;
};

/* An extent in memory: of a segment in the table. */
struct spool_place {
    uint32_t page;
    uint32_t len;
    uint16_t seg;
    uint16_t offset;
};

enum txn_state {
    TXN_OPEN,
    TXN_EMITTING,  /* commit called, not all is written */
    TXN_WRITTEN,   /* waits for the sync of its batch */
    TXN_ANNULLING, /* an annul must be written */
    TXN_ANNULLED,  /* waits for the annul's sync */
    TXN_ENDED      /* its event is due */
};

struct spool_txn {
    enum txn_state state;
    enum err err;
    uint64_t id;
    uint32_t cost; /* units of 512 bytes */
    uint32_t batch;
    uint32_t entry; /* index + 1, set aside by commit */
    uint32_t staged_len;
    uint32_t commit_page;
    uint16_t commit_offset;
    uint16_t commit_seg;
    uint16_t first_owned;
    uint16_t last_owned;
    uint16_t num_owned;
    uint16_t num_places;
    bool is_large;
    bool is_report; /* may use what is reserved */
    struct spool_meta meta;
    struct spool_place places[SPOOL_SHARED_EXTENTS];
    uint8_t page[]; /* staged bytes, from STAGE_AT on */
};

#define STAGE_AT (SPOOL_PAGE_HEAD_LEN + SPOOL_CHUNK_HEAD_LEN)

enum outcome_state { OUTCOME_QUEUED, OUTCOME_WRITTEN, OUTCOME_ENDED };

struct spool_outcome_item {
    enum outcome_state state;
    enum err err;
    bool is_last;
    uint16_t code;
    uint32_t rcpt;
    uint32_t batch;
    uint64_t id;
};

/* A commit record, read and resolved. */
struct spool_commit_view {
    struct spool_meta meta;
    uint16_t version;
    uint16_t num_places;
    struct spool_place places[SPOOL_EXTENTS_MAX];
};

/* A copy of a message's commit that waits for its sync. */
struct spool_copied {
    uint64_t id;
    uint32_t batch;
    uint32_t page;
    uint16_t offset;
    uint16_t seg;
    uint16_t first_seg;
    uint16_t version;
};

enum compact_phase { COMPACT_SCAN, COMPACT_TXNS, COMPACT_RECORDS, COMPACT_FLUSH, COMPACT_FINISH };

struct spool_compact {
    uint16_t victim;
    enum compact_phase phase;
    uint32_t cursor; /* entry, or page */
    uint32_t batch;  /* to be durable before the victim is finished */
    bool is_found;   /* the pass over the index has met a message that touches the victim */
    bool is_copying;
    uint64_t id; /* being copied */
    uint16_t next_place;
    uint16_t num_copied;
    uint8_t num_again; /* reads of this victim that were put off */
    struct spool_commit_view view;
    struct spool_copied copied[SPOOL_COPIES_MAX];
};

enum recover_stage {
    RECOVER_OPEN,
    RECOVER_SCAN,
    RECOVER_NAME,
    RECOVER_JUDGE,
    RECOVER_EVACUATE,
    RECOVER_TELL,
    RECOVER_DONE
};

struct spool_recover {
    enum recover_stage stage;
    enum err err;
    bool is_told;     /* SPOOL_READY has been */
    bool has_settled; /* records were written that nobody would write again in this run */
    bool is_unread;   /* the device did not give something: all begins anew, nothing is judged */
    uint8_t num_again;
    enum err unread_err; /* of the first such while segments are opened */
    uint16_t unread_seg;
    uint32_t unread_page;
    uint32_t num_ids;
    uint32_t *ids; /* of the segments found */
    uint32_t cursor;
    uint32_t page;
    uint16_t seg;        /* being scanned, or named */
    uint64_t generation; /* of the segment scanned last */
};

struct spool_cached {
    uint8_t *bytes;
    uint64_t generation; /* 0: empty */
    uint32_t page;
};

struct spool {
    struct spool_conf conf;
    const struct port_store *store;
    const struct port_entropy *entropy;
    const struct port_log *log;
    uint32_t page_len;
    uint32_t chunk_cap; /* message bytes in a page that holds one chunk */
    uint32_t seg_pages; /* of a new segment */
    uint64_t now_ms;
    bool is_failed;
    bool is_stopping;
    bool has_waiter;     /* somebody was told ERR_AGAIN */
    bool is_step_due;    /* since the last step: a sync, or what makes room, must be begun */
    bool is_room;        /* SPOOL_ROOM is due */
    bool was_empty;      /* the last step's batch had nothing to sync */
    bool is_stuck;       /* mail has no segment, and none will come free by itself */
    bool is_dir_doubted; /* a removal of an earlier run may not be durable: until a create has ended
                          */
    bool is_starved;     /* no segment to be had, and none on its way */

    struct spool_seg *segs;
    uint32_t num_segs; /* slots */
    uint32_t max_segs; /* files, by the size limit */
    uint32_t max_id;
    uint64_t next_generation;
    uint64_t num_creates;
    uint64_t create_again_ms; /* after a failed create */
    enum err create_err;      /* how that failed, and was logged */
    uint64_t retire_again_ms; /* after a segment that could not be removed or put aside */
    enum err retire_err;
    uint64_t read_again_ms; /* after a page that the device did not give */
    uint32_t next_tried;    /* segment that tells whether the device gives anything */
    bool is_silent;         /* the device gave nothing at all, and that was logged */

    union spool_slot *slots;
    uint32_t num_slots, num_slots_fresh, num_slots_used, free_slot;
    uint32_t *hash;
    uint32_t hash_mask;
    uint32_t disk_entries; /* sum of num_entries */
    uint32_t live_cost;
    uint32_t live_cost_max;
    uint32_t reserved_cost; /* of it, not for mail */
    uint64_t id_counter;

    uint16_t head;
    uint64_t head_generation; /* of the newest head so far; the next must be newer */
    uint32_t head_page;       /* the page being filled */
    uint32_t head_used;       /* bytes of it */
    uint8_t *gather;          /* pages from gather_page on, not yet written */
    uint32_t gather_page;
    uint64_t seal_generation; /* of the log segment before the next head */
    uint32_t seal_pages;

    uint32_t batch_open; /* number of the batch that gathers now */
    uint32_t batch_syncing;
    bool is_syncing;
    bool is_sync_wanted;
    enum err batch_err;
    bool is_proofless;           /* a data segment has failed: this batch proves nothing */
    uint32_t num_batch_syncs;    /* of this batch, under way */
    uint32_t num_failed_batches; /* in a row */
    uint64_t unsynced_len;
    uint64_t syncing_len;

    struct pool txns;
    uint32_t num_unwritten; /* transactions that have something to write */
    uint32_t num_ended;     /* whose event is due */
    uint32_t event_cursor;
    struct pool outcomes;
    uint32_t num_reserved;
    uint32_t num_queued;
    uint64_t outcome_due_ms;

    struct spool_cached cache[2]; /* commits, bytes */
    uint8_t *copy_buf;            /* one chunk */
    struct spool_recover recover;
    struct spool_stats stats;
    struct spool_commit_view view; /* of the read at hand */
    struct spool_compact compact;
};

enum spool_op { OP_SYNC = 1, OP_CREATE, OP_FORMAT, OP_RECYCLE_A, OP_RECYCLE_B };
static inline uint64_t spool_tag(enum spool_op op, uint16_t seg)
{
    return SPOOL_TAG | (uint64_t)op << 48 | seg;
}

/* spool_index.c. Entries are named by index; SPOOL_NO_ENTRY: none. */
#define SPOOL_NO_ENTRY 0xffffffffu
uint32_t spool_entries_needed(uint32_t num_rcpts);
/* An entry with room for num_rcpts, not yet to be found; SPOOL_NO_ENTRY if memory is used up. */
uint32_t spool_entry_take(struct spool *sp, uint64_t id, uint32_t num_rcpts);
void spool_entry_insert(struct spool *sp, uint32_t entry);
/* Takes it out of the hash. */
void spool_entry_hide(struct spool *sp, uint32_t entry);
/* Also takes it out of the hash. */
void spool_entry_give(struct spool *sp, uint32_t entry);
uint32_t spool_entry_find(const struct spool *sp, uint64_t id);
bool spool_entry_bit(const struct spool *sp, uint32_t entry, uint32_t rcpt);
void spool_entry_set_bit(struct spool *sp, uint32_t entry, uint32_t rcpt);
uint32_t spool_entry_count_bits(const struct spool *sp, uint32_t entry);
/* Sets where it is, and keeps num_first of the segments right. */
void spool_entry_place(struct spool *sp, uint32_t entry, const struct spool_copied *at);
/* The message is over: entry, cost and data segments are free. */
void spool_entry_end(struct spool *sp, uint32_t entry);

/* spool_segment.c */
uint32_t spool_segs_at_hand(const struct spool *sp);
/* Whether mail may write at all, and whether it may have another segment. */
bool spool_mail_may_write(const struct spool *sp);
bool spool_mail_may_grow(const struct spool *sp);
/* A spare, in state SEG_LOG or SEG_DATA now; SPOOL_NONE. */
uint16_t spool_seg_take(struct spool *sp, bool for_data);
/* The segment of that generation, SPOOL_NONE; 0 is that of all whose heads cannot be read, and
 * names none of them. */
uint16_t spool_seg_find(const struct spool *sp, uint64_t generation);
/* The oldest log segment that is not the head; SPOOL_NONE if there is none, or a bad or gone one
 * keeps the log from being recycled. */
uint16_t spool_seg_tail(const struct spool *sp);
/* Whether the log is the head alone, and could be recycled if it had another. */
bool spool_head_is_alone(const struct spool *sp);
bool spool_seg_is_clear(struct spool *sp, uint16_t seg); /* nothing live in it */
void spool_seg_free(struct spool *sp, uint16_t seg);
void spool_seg_recycle(struct spool *sp, uint16_t seg);
void spool_seg_retire(struct spool *sp, uint16_t seg);
void spool_seg_prepare(struct spool *sp);
void spool_seg_done(struct spool *sp, enum spool_op op, uint16_t seg, enum err result);
/* Takes note that bytes on it cannot be relied on: it is bad from now on. */
void spool_seg_fail(struct spool *sp, uint16_t seg, enum err err);

/* spool_write.c */
/* Makes sure that the head has num_pages whole pages left, taking a new head if need be. ERR_AGAIN:
 * not now. */
enum err spool_log_room(struct spool *sp, uint32_t num_pages, bool for_mail);
/* Takes a new head before this one is full, if there is a spare. */
void spool_log_turn(struct spool *sp);
/* Each appends to the head, which has room. */
struct spool_place spool_log_chunk(struct spool *sp, uint64_t id, uint64_t offset,
                                   struct slice bytes);
struct spool_place spool_log_commit(struct spool *sp, const struct spool_record *commit,
                                    const struct spool_place *places, uint16_t num_places,
                                    uint16_t first_owned, uint32_t bitmap_entry);
/* That commit without its extents, and every recipient final. Changes it. */
void spool_log_over(struct spool *sp, struct spool_record *commit);
void spool_log_outcome(struct spool *sp, uint64_t id, uint32_t rcpt, uint16_t code);
void spool_log_annul(struct spool *sp, uint64_t id);
void spool_log_settled(struct spool *sp, uint64_t generation);
/* One page of a data segment, records in place. */
enum err spool_data_page(struct spool *sp, uint16_t seg, uint8_t *page, uint32_t used);
void spool_batch_start(struct spool *sp);
void spool_batch_done(struct spool *sp, uint16_t seg, enum err result);
void spool_fail(struct spool *sp);

/* spool_txn.c */
void spool_txn_step(struct spool *sp); /* writes what could not be written before */
void spool_txn_batch_ok(struct spool *sp);
void spool_txn_batch_failed(struct spool *sp);
void spool_txn_seg_failed(struct spool *sp, uint16_t seg, enum err err);
void spool_txn_storage_failed(struct spool *sp);
/* Entries of the index whose commit is not on disk yet. */
uint32_t spool_txn_entries_unwritten(const struct spool *sp);
bool spool_txn_touches(struct spool *sp, uint16_t seg);
bool spool_txn_owns(const struct spool *sp,
                    uint64_t owner); /* an unfinished transaction has this id */
/* Moves the bytes of unfinished transactions out of seg. ERR_AGAIN: later. */
enum err spool_txn_move(struct spool *sp, uint16_t seg);
bool spool_txn_next_event(struct spool *sp, struct spool_event *out);
bool spool_txn_is_quiet(const struct spool *sp);
uint32_t spool_cost(const struct spool *sp, uint64_t len);

/* spool_outcome.c */
void spool_outcome_write(struct spool *sp);
void spool_outcome_batch_ok(struct spool *sp);
void spool_outcome_batch_failed(struct spool *sp);
void spool_outcome_storage_failed(struct spool *sp);
bool spool_outcome_next_event(struct spool *sp, struct spool_event *out);

/* spool_read.c */
/* A page of a segment as it stands there. */
enum err spool_page_read(struct spool *sp, const struct spool_seg *sg, uint32_t page,
                         uint8_t *into);
/* Whether a read that ended so is to be tried once more, at read_again_ms: what the device does not
 * give now may be there the next time, wrong bytes stay wrong. *num_again counts, up to a bound,
 * the times that the device gave other pages: one that gives none at all says nothing about this
 * page. */
bool spool_read_again(struct spool *sp, const struct spool_seg *sg, uint32_t page, enum err err,
                      uint8_t *num_again);
/* A checked page in the cache, valid until the next call with the same which. */
enum err spool_page_load(struct spool *sp, int which, uint16_t seg, uint32_t page,
                         struct slice *out_page);
enum err spool_view_load(struct spool *sp, int which, uint32_t entry,
                         struct spool_commit_view *out);
enum err spool_view_of(struct spool *sp, const struct spool_record *commit,
                       struct spool_commit_view *out);
/* Bytes of a place, from skip bytes into it; at is where the place begins in the message. */
enum err spool_place_read(struct spool *sp, uint64_t id, const struct spool_place *place,
                          uint64_t at, uint32_t skip, uint8_t *into, size_t len);
/* Reads all of a message without keeping it. *out_seg and *out_page: where it failed. */
enum err spool_view_verify(struct spool *sp, uint64_t id, const struct spool_commit_view *view,
                           uint16_t *out_seg, uint32_t *out_page);

/* spool_compact.c. True: there is more to do at once. */
bool spool_compact_step(struct spool *sp);
/* So many commits on disk, and so many of them dead, that the log must be recycled. */
bool spool_index_is_crowded(const struct spool *sp);
void spool_compact_batch_ok(struct spool *sp);
void spool_compact_batch_failed(struct spool *sp);
/* A segment of that message's own has failed: a copy of it that is not durable yet does not count,
 * and is begun anew. */
void spool_compact_owner_failed(struct spool *sp, uint64_t id);
bool spool_compact_is_evacuating(
    const struct spool *sp); /* a segment whose sync failed is not yet clear */

/* spool_recover.c */
bool spool_recover_step(struct spool *sp);
bool spool_recover_next_event(struct spool *sp, struct spool_event *out);
/* A page of sg has been read, with that result, before anything was judged. */
void spool_recover_read(struct spool *sp, const struct spool_seg *sg, uint32_t page, enum err err);
void spool_log_lost(struct spool *sp, uint64_t id, uint16_t seg, uint32_t page, const char *word);
void spool_log_page(struct spool *sp, uint32_t id, uint32_t page); /* that is damaged */

#endif

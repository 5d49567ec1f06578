/* What the files of the queue share. Private to core/queue*.c.
 *
 * Who does what: queue.c the step; queue_entry.c the messages that wait, and in which order;
 * queue_round.c a message's way through its recipients; queue_mail.c deliveries to Maildirs;
 * queue_group.c groups of recipients for other machines; queue_result.c how a recipient fared;
 * queue_report.c reports to senders; queue_admin.c what a person may ask for. */
#ifndef POSTERN_QUEUE_INSIDE_H
#define POSTERN_QUEUE_INSIDE_H

#include "conf.h"
#include "deliver_maildir.h"
#include "deliver_smtp.h"
#include "dsn.h"
#include "envelope.h"
#include "header.h"
#include "log.h"
#include "queue.h"
#include "running_time.h"
#include "teeth.h"

/* Where an entry is. */
enum queue_place {
    QUEUE_FREE,
    QUEUE_FRESH, /* ready: not yet tried in this run, or asked for, or woken */
    QUEUE_READY, /* ready: its time has come, or it was found at the start */
    QUEUE_HELD,
    QUEUE_WAITING, /* in the heap */
    QUEUE_BLOCKED, /* in the heap, and in the list of a destination that is full */
    QUEUE_ACTIVE,  /* in a round */
    NUM_QUEUE_PLACES
};

/* Lists: one for each place, then one for each destination that is full; the last one is for all
 * for which none is left. */
#define QUEUE_DESTS_MAX   64
#define QUEUE_DEST_OTHERS (QUEUE_DESTS_MAX - 1)
#define NUM_QUEUE_LISTS   (NUM_QUEUE_PLACES + QUEUE_DESTS_MAX)

/* Flags of an entry. */
#define QUEUE_LOOK_FIRST   1u   /* an earlier try may have put files there */
#define QUEUE_IS_HELD      2u   /* a person said so */
#define QUEUE_IS_REMOVED   4u   /* likewise; its next round takes it through no delivery */
#define QUEUE_IS_SILENT    8u   /* removed without a report */
#define QUEUE_IS_BORN      16u  /* born_s is known */
#define QUEUE_AGAIN        32u  /* ready again as soon as its round has ended */
#define QUEUE_IS_WARNED    64u  /* its sender knows that it is late */
#define QUEUE_IS_WOKEN     128u /* a place for the destination that it was blocked by */
#define QUEUE_IS_MIXED     256u /* blocked, and some other recipient is to wait until due_ms */
#define QUEUE_HOPS_COUNTED 512u
#define QUEUE_IS_RECOVERED 1024u /* nothing but the spool knows of its earlier rounds */
#define QUEUE_IS_LAST      2048u /* blocked although its age is over: until due_ms */
#define QUEUE_KEPT_ON_RETURN                                                                \
    (QUEUE_IS_HELD | QUEUE_IS_REMOVED | QUEUE_IS_SILENT | QUEUE_IS_BORN | QUEUE_IS_WARNED | \
     QUEUE_HOPS_COUNTED | QUEUE_IS_RECOVERED | QUEUE_IS_LAST)

/* A message of an earlier run that is that much past the time of its warning has been warned of:
 * more than the running time that a crash may lose. */
#define QUEUE_WARNED_SURELY_MS 600000

/* A message. Its number is its index, from 1; 0 is none. */
struct queue_entry {
    uint64_t id;
    uint64_t due_ms; /* when its next round is due */
    const char *why; /* a recipient waits, by its name; NULL: not known */
    uint32_t born_s; /* the running time when it was accepted */
    uint32_t next;   /* in its list */
    uint32_t prev;
    uint32_t same_hash; /* next with this hash */
    uint32_t heap_at;   /* place in the heap + 1 */
    uint16_t flags;
    uint8_t place; /* enum queue_place */
    uint8_t dest;  /* of QUEUE_BLOCKED, and remembered when woken */
};

#define QUEUE_ITEM_TEXT_MAX 400
#define QUEUE_ITEM_HOST_MAX 100

/* What a report will say of a recipient. */
struct queue_item {
    struct queue_item *next;
    uint64_t envelope_at; /* of its entry */
    uint32_t rcpt_index;
    uint8_t code;   /* enum queue_code to be recorded; 0: none, or it is */
    uint8_t action; /* enum dsn_action */
    bool is_wanted; /* the sender is told */
    bool is_peers_reply;
    uint16_t status[3];
    uint16_t text_len;
    uint8_t host_len;
    uint8_t text[QUEUE_ITEM_TEXT_MAX];
    uint8_t host[QUEUE_ITEM_HOST_MAX];
};

/* How a recipient fared. */
struct queue_result {
    uint64_t envelope_at;
    uint32_t rcpt_index;
    uint16_t status[3]; /* RFC 3463 */
    bool is_peers_reply;
    const char *reason; /* a name for the log, NULL: none */
    struct slice text;  /* for people; empty: the reason */
    struct slice host;
    struct slice user;
    struct slice address; /* for the log; empty: not known */
};

enum round_phase {
    ROUND_FREE,
    ROUND_COUNTING,
    ROUND_WALKING,
    ROUND_LOSING,
    ROUND_DELIVERING,
    ROUND_REPORTING,
    ROUND_RECORDING
};

#define QUEUE_NO_DEST UINT8_MAX

struct queue_round {
    uint8_t phase;       /* enum round_phase */
    bool is_expiring;    /* it is the last one */
    bool is_overdue;     /* and was blocked the last time, until now */
    bool is_warning;     /* its sender is told what is late */
    bool is_looping;     /* too many Received fields */
    bool waits_for_mail; /* all places for deliveries to Maildirs were taken */
    bool has_met_dest;   /* a recipient of only_dest */
    uint8_t only_dest;   /* QUEUE_NO_DEST, or the others are not due yet */
    uint32_t entry;
    uint64_t id;
    uint64_t age_s;
    struct spool_meta meta;
    uint64_t envelope_at;  /* of the entry to read next */
    uint32_t rcpt_index;   /* of the next recipient */
    uint32_t num_jobs;     /* under way for it */
    uint32_t num_started;  /* since the walk began */
    uint32_t num_deferred; /* recipients that another round must see */
    uint32_t num_blocked;  /* whose destination was full in this walk */
    uint32_t blocked_hash; /* of the first of these destinations */
    uint64_t counted_at;   /* Received fields: the byte to look at next */
    struct header_hops hops;
    uint8_t params_flags;           /* enum envelope_flag */
    struct slice sender;            /* into sender_bytes */
    struct slice envid;             /* into envid_bytes */
    struct queue_item *items_first; /* collected */
    struct queue_item *items_last;
    struct queue_report *report;
    uint8_t taken[SPOOL_RCPTS_MAX / 8]; /* recipients that this round is done with */
    uint8_t sender_bytes[QUEUE_SENDER_CAP];
    uint8_t envid_bytes[ENVELOPE_ENVID_MAX];
};

struct queue_mail_job {
    struct queue_round *round; /* NULL: the slot is free */
    uint64_t envelope_at;
    uint32_t rcpt_index;
    struct maildir_job maildir;
    uint8_t user_bytes[64];
    uint8_t user_len;
};

/* A report that is being written. */
struct queue_report {
    struct queue_round *round; /* NULL: free */
    uint8_t step;              /* enum in queue_report.c */
    bool is_promised;          /* an entry is kept for it */
    bool is_last;              /* goes to the postmaster; nothing is reported of it */
    uint64_t txn;
    uint64_t id;
    struct queue_item *item; /* the next one */
    uint64_t copied_len;     /* of the original's content */
    uint64_t returned_len;
    uint32_t envelope_len;
    uint32_t num_rcpts;
    uint32_t num_items;
    enum err err;
    struct dsn dsn;
    uint8_t to_bytes[QUEUE_SENDER_CAP];
};

static inline struct queue_entry *queue_entry_at(const struct queue *q, uint32_t entry)
{
    return &q->entries[entry];
}

static inline struct queue_entry *queue_entry_of(const struct queue *q, const struct queue_round *r)
{
    return queue_entry_at(q, r->entry);
}

/* queue_entry.c */
uint32_t queue_entry_take(struct queue *q, uint64_t id); /* 0: none is left */
void queue_entry_give(struct queue *q, uint32_t entry);
uint32_t queue_entry_find(const struct queue *q, uint64_t id); /* 0: no such message */
/* From where it is to the end of the list of place. */
void queue_entry_move(struct queue *q, uint32_t entry, enum queue_place place);
void queue_entry_wait(struct queue *q, uint32_t entry, uint64_t due_ms);
/* Likewise, and until there is a place for that destination. */
void queue_entry_block(struct queue *q, uint32_t entry, uint64_t due_ms, uint32_t dest_hash);
uint32_t queue_entry_soonest(const struct queue *q); /* of those that wait; 0: none */
/* One message that is blocked by that destination; and one for each destination, another one's
 * first each time. */
void queue_wake(struct queue *q, uint32_t dest_hash);
void queue_wake_each(struct queue *q);

/* queue_round.c */
struct queue_round *queue_round_begin(struct queue *q, uint32_t entry);
/* Bounded work; its amount in bytes, 0 if there is none now. */
size_t queue_round_turn(struct queue *q, struct queue_round *r, struct buf scratch);
/* A delivery to a Maildir for the recipient that the walk has come to. False: not now. */
bool queue_round_start_mail(struct queue *q, struct queue_round *r, uint64_t at,
                            const struct envelope_rcpt *rcpt);
/* Reads the entry of the envelope at *at, which moves behind it. ERR_EOF behind the last one. The
 * views are into scratch, of which ENVELOPE_ENTRY_MAX bytes are used. */
enum err queue_read_entry(struct queue *q, const struct queue_round *r, uint64_t *at,
                          struct buf scratch, struct envelope_entry *out);
/* The address of the recipient whose entry is there, likewise, and its notify; empty and 0 if it
 * cannot be read. */
struct slice queue_read_address(struct queue *q, const struct queue_round *r, uint64_t at,
                                struct buf scratch, uint8_t *out_notify);
static inline bool queue_is_taken(const struct queue_round *r, uint32_t rcpt)
{
    return (r->taken[rcpt / 8] >> rcpt % 8 & 1) != 0;
}
void queue_set_taken(struct queue_round *r, uint32_t rcpt);

/* queue_result.c: each counts, logs, and collects what a report will need */
/* The outcome is recorded, with a space that the caller has reserved; given back if it fails.
 * Collected only if NOTIFY asks for it: these may be many, and in the way of what has failed. */
void queue_delivered(struct queue *q, struct queue_round *r, const struct queue_result *result,
                     enum queue_code code, bool is_ours_to_report, uint8_t notify);
void queue_deferred(struct queue *q, struct queue_round *r, const struct queue_result *result);
void queue_failed(struct queue *q, struct queue_round *r, const struct queue_result *result,
                  enum queue_code code);
/* The outcome of the first item collected. False: not now. */
bool queue_record_item(struct queue *q, struct queue_round *r);
void queue_drop_item(struct queue *q, struct queue_round *r);
void queue_log(struct queue *q, enum log_level level, struct log_line *line);
/* What stands behind the last '@' of an address, which may be none. */
struct slice queue_domain_of(struct slice address);

/* What a round reads at once, behind ENVELOPE_ENTRY_MAX bytes of scratch. */
#define QUEUE_PIECE_LEN 4096

/* queue_mail.c */
/* Begins a delivery. False: not now, and nothing has changed. */
bool queue_mail_start(struct queue *q, struct queue_round *r, uint64_t envelope_at,
                      const struct envelope_rcpt *rcpt);
size_t queue_mail_turn(struct queue *q, struct queue_mail_job *job, struct buf scratch);

/* queue_group.c */
/* Begins a delivery for the recipient at envelope_at and those of the same destination behind it,
 * or says why not now. False: not now, and nothing has changed. */
bool queue_group_start(struct queue *q, struct queue_round *r, uint64_t envelope_at,
                       struct slice address, struct buf scratch);
/* The results of a job that has ended, as far as outcomes can be recorded. */
size_t queue_group_turn(struct queue *q, struct buf scratch);

/* queue_report.c */
/* Whether somebody is to be told of what the round has collected. */
size_t queue_report_turn(struct queue *q, struct queue_round *r, struct buf scratch);

/* queue_admin.c */
/* False: the file is there, but cannot be read now. */
bool queue_held_load(struct queue *q, struct buf scratch);
void queue_held_save(struct queue *q, struct buf scratch);

#endif

/* What the files of the queue share. Private to core/queue*.c.
 *
 * Who does what: queue.c the step; queue_entry.c the messages that wait, and in which order;
 * queue_round.c a message's way through its recipients; queue_mail.c deliveries to Maildirs;
 * queue_admin.c what a person may ask for. */
#ifndef POSTERN_QUEUE_INSIDE_H
#define POSTERN_QUEUE_INSIDE_H

#include "deliver_maildir.h"
#include "envelope.h"
#include "log.h"
#include "queue.h"
#include "running_time.h"

/* Where an entry is. Every one but QUEUE_FREE and QUEUE_ACTIVE has a list of its own; those that
 * wait are in the heap. */
enum queue_place {
    QUEUE_FREE,
    QUEUE_FRESH, /* ready: not yet tried in this run, or asked for by a person */
    QUEUE_READY, /* ready: tried before, or found at the start */
    QUEUE_WAITING,
    QUEUE_HELD,
    QUEUE_ACTIVE, /* in a round */
    NUM_QUEUE_PLACES
};

/* Flags of an entry. */
#define QUEUE_LOOK_FIRST    1u  /* an earlier try may have put files there */
#define QUEUE_IS_HELD       2u  /* a person said so */
#define QUEUE_IS_REMOVED    4u  /* likewise; its next round takes it through no delivery */
#define QUEUE_REMOVE_SILENT 8u  /* and without a report */
#define QUEUE_IS_BORN       16u /* born_s is known */
#define QUEUE_AGAIN         32u /* ready again as soon as its round has ended */

/* A message. Its number is its index, from 1; 0 is none. */
struct queue_entry {
    uint64_t id;
    uint64_t due_ms; /* of QUEUE_WAITING */
    uint32_t born_s; /* the running time when it was accepted */
    uint32_t next;   /* in its list */
    uint32_t prev;
    uint32_t same_hash; /* next with this hash */
    uint32_t heap_at;   /* place in the heap + 1 */
    uint8_t place;      /* enum queue_place */
    uint8_t flags;
};

/* What a round does. Its table stands in queue_round.c. */
enum round_phase { ROUND_FREE, ROUND_WALKING, ROUND_DELIVERING };

struct queue_round {
    uint8_t phase; /* enum round_phase */
    uint32_t entry;
    uint64_t id;
    uint64_t age_s;
    struct spool_meta meta;
    uint64_t envelope_at;  /* of the entry to read next */
    uint32_t rcpt_index;   /* of the next recipient */
    uint32_t num_jobs;     /* under way for it */
    uint32_t num_deferred; /* recipients that another round must see */
    struct slice sender;   /* into sender_bytes */
    uint8_t sender_bytes[QUEUE_SENDER_CAP];
};

struct queue_mail_job {
    struct queue_round *round; /* NULL: the slot is free */
    uint32_t rcpt_index;
    struct maildir_job maildir;
    uint8_t user_bytes[64];
    uint8_t user_len;
};

static inline struct queue_entry *queue_entry_at(const struct queue *q, uint32_t entry)
{
    return &q->entries[entry];
}

static inline const struct queue_entry *queue_entry_of(const struct queue *q,
                                                       const struct queue_round *r)
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
uint32_t queue_entry_soonest(const struct queue *q); /* of those that wait; 0: none */

/* queue_round.c */
void queue_round_begin(struct queue *q, uint32_t entry);
/* Bounded work; its amount in bytes, 0 if there is none now. */
size_t queue_round_turn(struct queue *q, struct queue_round *r, struct buf scratch);
/* How a delivery of it ended. */
void queue_round_local_ended(struct queue *q, struct queue_round *r, uint32_t rcpt_index,
                             enum err err);
/* A "delivery" line about a recipient; its end, to the log. */
void queue_log_begin(struct log_line *line, const struct queue_round *r, uint32_t rcpt_index);
void queue_log(struct queue *q, enum log_level level, struct log_line *line);
/* What stands behind the last '@' of an address, which may be none. */
struct slice queue_domain_of(struct slice address);

/* queue_mail.c */
/* Begins a delivery. False: not now, and nothing has changed. */
bool queue_mail_start(struct queue *q, struct queue_round *r, uint32_t rcpt_index,
                      const struct envelope_rcpt *rcpt);
size_t queue_mail_turn(struct queue *q, struct queue_mail_job *job, struct buf scratch);

/* queue_admin.c */
void queue_entry_release(struct queue *q, uint32_t entry); /* no longer held, if it was */
void queue_held_load(struct queue *q, struct buf scratch);
void queue_held_save(struct queue *q, struct buf scratch);

#endif

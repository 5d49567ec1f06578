/* The messages that wait to be delivered, and the few deliveries under way.
 *
 * An entry per message, small and of fixed size; who its recipients are stands in the spool and is
 * read from there when it is its turn. A round takes a message through all recipients without an
 * outcome, one after the other; what failed waits for the next round, later each time (retry_min,
 * doubling to retry_max, with jitter, in running time). Nothing here ever gives a message up.
 * Service: the composition root adds messages, passes completions and timers on, and calls
 * queue_step. */
#ifndef POSTERN_QUEUE_H
#define POSTERN_QUEUE_H

#include "deliver_maildir.h"
#include "pool.h"
#include "timer.h"

struct conf;

#define QUEUE_SENDER_CAP 320

/* Codes of outcomes in the spool. */
#define QUEUE_DELIVERED 1

struct queue_entry {
    struct queue_entry *next_ready;
    struct timer timer; /* when the next round is due */
    uint64_t id;
    uint64_t len; /* of the whole stream, in bytes */
    int64_t received_s;
    uint32_t envelope_len;
    uint32_t num_rounds;
    bool look_first; /* an earlier try may have put files there */
};

struct queue_job {
    struct queue_entry *entry; /* NULL: the slot is free */
    uint64_t envelope_offset;  /* of the entry to read next */
    uint32_t rcpt_index;       /* of the recipient under way */
    uint32_t num_rcpts_seen;
    bool has_reservation; /* for one outcome, in the spool */
    bool failed;          /* some recipient of this round was not delivered to */
    struct maildir_job maildir;
    struct slice sender; /* into sender_bytes */
    uint8_t sender_bytes[QUEUE_SENDER_CAP];
    uint8_t user_bytes[64];
    uint8_t user_len;
};

struct queue {
    struct pool entries;
    struct queue_job *jobs;
    uint32_t num_jobs;
    uint32_t num_active;
    struct queue_entry *ready_first;
    struct queue_entry *ready_last;
    struct timers *timers;
    struct spool *spool;
    const struct port *port;
    const struct conf *conf; /* the options in force; set again at a reload */
    uint32_t timer_kind;     /* the owner's mark for this service's timers */
    uint64_t tag_mark;       /* set in the top byte of completion tags */
    bool stopping;
    uint64_t num_delivered; /* counters since start */
};

struct queue_env {
    struct timers *timers;
    struct spool *spool;
    const struct port *port;
    const struct conf *conf;
    uint32_t timer_kind;
    uint64_t tag_mark;
};

/* Bytes that queue_open takes from the arena. */
size_t queue_memory_len(uint32_t num_messages, uint32_t num_jobs);
enum err queue_open(struct queue *q, struct arena *a, const struct queue_env *env,
                    uint32_t num_messages, uint32_t num_jobs);

/* Whether one more message would find room; asked before a message is accepted. */
bool queue_has_room(const struct queue *q, uint32_t num_promised);

/* Takes up a message that the spool holds. recovered: it comes from an earlier run, so deliveries
 * look first. */
enum err queue_add(struct queue *q, uint64_t id, const struct spool_meta *meta, bool recovered);

/* A completion under one of our tags, and a timer of our kind that is due. */
void queue_done(struct queue *q, uint64_t tag, enum err err);
void queue_timer(struct queue *q, struct timer *t);

/* Bounded work: starts deliveries while slots are free, copies a piece of each that is being
 * written. scratch is overwritten. Returns true if there is more to do at once. */
bool queue_step(struct queue *q, uint64_t now_ms, struct buf scratch);

/* No new delivery is started from now on. Idle: none is under way. */
void queue_stop(struct queue *q);
bool queue_is_idle(const struct queue *q);

#endif

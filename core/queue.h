/* The messages that wait to be delivered, and the deliveries under way.
 *
 * An entry per message, small and of fixed size; who its recipients are stands in the spool and is
 * read from there when it is its turn. A round takes a message through all recipients without an
 * outcome, several at once; those that failed for now wait for another round, each time about as
 * long as the message is old (retry_min to retry_max, with jitter, in running time). The table of
 * what happens to a recipient is in queue_round.c.
 *
 * Service: the composition root adds messages, passes completions on, and calls queue_step. The
 * control socket asks for what a person wants. */
#ifndef POSTERN_QUEUE_H
#define POSTERN_QUEUE_H

#include "deliver_smtp.h"
#include "pool.h"
#include "port.h"
#include "spool.h"
#include "timer.h"

struct conf;
struct running_time;
struct wall_time;
struct queue_entry;
struct queue_round;
struct queue_mail_job;
struct queue_report;

#define QUEUE_SENDER_CAP 320

/* How many messages may be held. */
#define QUEUE_HELD_MAX 1024

/* Codes of outcomes in the spool, and their words in the log. */
enum queue_code {
    QUEUE_DELIVERED = 1,
    QUEUE_FAILED,
    QUEUE_EXPIRED,
    QUEUE_DISCARDED,
    QUEUE_REMOVED,
    QUEUE_RELAYED
};

/* The service for other machines: the functions of deliver_smtp.h, or a test's. */
struct queue_remote {
    enum deliver_smtp_may (*may_start)(const struct deliver_smtp *d, const struct route_item *route,
                                       struct slice domain, uint64_t now_ms,
                                       const struct deliver_reason_row **out_why);
    struct smtp_job *(*start)(struct deliver_smtp *d, const struct smtp_order *order,
                              uint64_t now_ms);
    struct smtp_job *(*ended)(struct deliver_smtp *d);
    void (*give)(struct deliver_smtp *d, struct smtp_job *job);
    void (*hurry)(struct deliver_smtp *d);
    uint32_t (*num_left)(const struct deliver_smtp *d);
};

struct queue_env {
    struct timers *timers;
    struct spool *spool;
    const struct port *port;
    const struct conf *conf;
    struct running_time *running;
    const struct wall_time *wall; /* for the dates of reports */
    const struct queue_remote *remote;
    struct deliver_smtp *smtp; /* its context */
    const char *held_path;     /* of the file with the messages held; NULL or empty: none is kept */
    uint32_t timer_kind;       /* the owner's mark for this service's timer */
    uint64_t tag_mark;         /* set in the top byte of completion tags */
};

struct queue_limits {
    uint32_t num_messages;
    uint32_t num_mail_jobs; /* deliveries to Maildirs at once */
    uint32_t num_rounds;    /* more than those and the jobs of remote together */
    uint32_t num_items;     /* recipients that all reports under way may be about */
    uint32_t num_reports;   /* being written at once */
};

struct queue_list {
    uint32_t first;
    uint32_t last;
    uint32_t num;
};

struct queue_counts {
    uint64_t num_delivered; /* recipients, since the start */
    uint64_t num_rounds;
    uint64_t num_ops;      /* units of work: rounds, entries read, jobs started or ended */
    uint64_t step_ops_max; /* of one step, the most so far */
};

struct queue {
    struct queue_env env;
    const struct conf *conf; /* the options in force; set again at a reload */
    struct queue_limits limits;
    struct queue_entry *entries; /* from 1 */
    uint32_t *heap;              /* of those that wait, the soonest first */
    uint32_t *buckets;           /* by hash of the id */
    uint32_t bucket_mask;
    uint32_t num_fresh_used; /* entries up to here were handed out at some time */
    uint32_t free_entry;
    uint32_t num_entries; /* in use */
    uint32_t heap_num;
    struct queue_list *lists; /* by enum queue_place, and then by destination */
    uint32_t *dest_hashes;    /* of those */
    uint32_t num_blocked;     /* messages that wait for a destination */
    struct queue_round *rounds;
    uint32_t num_active;
    struct queue_mail_job *mail_jobs;
    uint32_t num_mail_active;
    uint32_t num_remote;     /* jobs of remote */
    uint32_t num_left;       /* of its connections, when it was last asked */
    struct smtp_rcpt *group; /* being put together */
    struct smtp_job *ended;  /* whose results are being recorded */
    uint32_t ended_at;       /* the next one */
    bool ended_is_reserved;  /* space for one outcome */
    struct pool items;       /* struct queue_item */
    struct queue_report *reports;
    uint32_t num_reports;  /* in use */
    uint32_t num_promised; /* of them, those that an entry is kept for */
    uint32_t wake_turn;    /* the destination that was woken first, the last time */
    uint64_t wake_ms;      /* of blocked messages although no job is under way */
    struct timer timer;    /* when queue_step has something to do at last */
    uint64_t now_ms;
    uint32_t turn;       /* whose turn is first, and fresh or ready */
    uint32_t flush_next; /* the entry that a flush comes to next; 0: none is under way */
    uint32_t num_held;
    bool is_begun;     /* the spool is ready, and it is known what is held */
    uint8_t num_loads; /* times that this was looked for */
    bool is_stopping;
    bool held_changed;
    uint64_t held_again_ms; /* not before that */
    struct queue_counts counts;
};

/* Bytes that queue_open takes from the arena, and what of them each message takes. */
size_t queue_memory_len(const struct queue_limits *limits);
size_t queue_message_len(const struct queue_limits *limits);
enum err queue_open(struct queue *q, struct arena *a, const struct queue_env *env,
                    const struct queue_limits *limits);

/* Whether one more message would find room; asked before a message is accepted. */
bool queue_has_room(const struct queue *q, uint32_t num_promised);
uint32_t queue_num_messages(const struct queue *q);

/* Takes up a message that the spool holds. recovered: it comes from an earlier run, so deliveries
 * look first. */
enum err queue_add(struct queue *q, uint64_t id, bool recovered);

/* The spool is ready and every message of earlier runs has been added: deliveries begin. scratch is
 * overwritten. */
void queue_begin(struct queue *q, struct buf scratch);

/* SPOOL_COMMITTED of a report; false: it is none of ours. */
bool queue_committed(struct queue *q, const struct spool_event *event);

/* A completion under one of our tags. */
void queue_done(struct queue *q, uint64_t tag, enum err err);

/* Bounded work: starts rounds and deliveries while there is room, copies a piece of each that is
 * being written. scratch is overwritten. Returns true if there is more to do at once. */
bool queue_step(struct queue *q, uint64_t now_ms, struct buf scratch);

/* No new delivery is started from now on. Idle: none is under way. */
void queue_stop(struct queue *q);
bool queue_is_idle(const struct queue *q);

/* --- What a person may ask for (queue_admin.c) --- */

enum queue_state {
    QUEUE_STATE_READY,
    QUEUE_STATE_WAITING, /* for its time */
    QUEUE_STATE_BLOCKED, /* its destination is busy with others */
    QUEUE_STATE_ACTIVE,
    QUEUE_STATE_HELD
};
const char *queue_state_name(enum queue_state state);

struct queue_info {
    uint64_t id;
    enum queue_state state;
    bool is_removed; /* about to go */
    uint64_t age_s;  /* in running time; as far as known */
    uint64_t due_s;  /* of QUEUE_STATE_WAITING and QUEUE_STATE_BLOCKED: from now, at the latest */
    const char *why; /* its last round left a recipient waiting; NULL: not known */
};

/* The next message at or behind *cursor (0 at first), in no order that means anything. False at the
 * end; *cursor has then come round to 0. A message that comes or goes meanwhile may be missed, any
 * other is shown once. Sender, recipients and size stand in the spool (spool_meta_of, spool_read,
 * envelope_read, spool_is_final). */
bool queue_each(const struct queue *q, uint32_t *cursor, struct queue_info *out);

/* One of them. ERR_ABSENT. */
enum err queue_find(const struct queue *q, uint64_t id, struct queue_info *out);

/* No round begins for a message that is held, also after a restart; one under way ends. ERR_ABSENT;
 * ERR_EXISTS: it is held; ERR_FULL: too many are. */
enum err queue_hold(struct queue *q, uint64_t id);
/* And then as queue_retry_now. ERR_ABSENT; ERR_WRONG_STATE: it is not held. */
enum err queue_release(struct queue *q, uint64_t id);
/* A round as soon as there is a place; no destination backs off from it. ERR_ABSENT;
 * ERR_WRONG_STATE: it is held. */
enum err queue_retry_now(struct queue *q, uint64_t id);
/* Gives it up, held or not: recipients without an outcome get none but that. ERR_ABSENT. */
enum err queue_remove(struct queue *q, uint64_t id, bool with_report);
/* Likewise for every message that waits. Returns how many. */
uint32_t queue_flush(struct queue *q);

#endif

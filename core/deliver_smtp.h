/* Delivery to other machines: SMTP to relays and mail exchangers, LMTP to mail stores.
 *
 * A job is one message for one destination and up to SMTP_JOB_RCPTS_MAX of its recipients. The
 * service reads recipients and content from the spool, finds the hosts of the destination (a route
 * item's list, or the mail exchangers of a domain), keeps connections and uses them again, limits
 * how many go to one destination at once, and remembers for a while which destination cannot be
 * reached. It never decides when to try again and records no outcome: that is the queue's, which
 * calls it. The composition root passes events and timers on.
 *
 *     deliver_smtp_may_start(d, route, domain)?  job = deliver_smtp_start(d, &order)
 *     ...
 *     while ((job = deliver_smtp_ended(d)) != NULL)
 *         look at job->rcpts; deliver_smtp_give(d, job)
 *
 * Duplicates can arise only if the connection, or this machine, fails between the last byte of the
 * content and the outcome's being durable (RFC 5321 4.5.3.2.6; RFC 1047). */
#ifndef POSTERN_DELIVER_SMTP_H
#define POSTERN_DELIVER_SMTP_H

#include "port.h"
#include "spool.h"
#include "timer.h"
#include "tls.h"

struct conf;
struct tls_trust;
struct route_item;
struct deliver_smtp; /* complete in deliver_smtp_inside.h; callers hold a pointer */

#define SMTP_JOB_RCPTS_MAX  64
#define SMTP_JOB_TEXT_CAP   2048 /* of all texts of a job's replies together */
#define SMTP_JOB_REPLY_MAX  400  /* bytes kept of one reply */
#define SMTP_JOB_ENVID_MAX  100  /* RFC 3461 5.4 */
#define SMTP_JOB_SENDER_MAX 320

enum smtp_rcpt_result {
    SMTP_RCPT_PENDING,
    SMTP_RCPT_DELIVERED, /* the peer has taken the message for this recipient */
    SMTP_RCPT_DEFERRED,
    SMTP_RCPT_FAILED
};

struct smtp_rcpt {
    /* Set by the caller of deliver_smtp_start. */
    uint32_t envelope_offset; /* where its 'R' entry begins, in bytes from the message's begin */
    uint32_t index;           /* among the message's recipients, for the caller */
    /* Set when the job has ended; result is then not SMTP_RCPT_PENDING. */
    uint8_t result;              /* enum smtp_rcpt_result */
    bool is_relayed_without_dsn; /* delivered, to an SMTP peer without DSN: a report of "relayed"
                                    is ours (RFC 3461 5.2.2) */
    bool is_in_mailbox;          /* delivered, by LMTP without DSN: a report of "delivered" is ours.
                                    Neither: the peer reports */
    uint16_t reply_code;         /* of the peer's reply; 0: the reason is not a reply */
    uint16_t status[3];          /* RFC 3463, always set: 5.1.1; where the peer gave none, x.0.0 */
    uint16_t text_offset;        /* the peer's reply as printable ASCII, or our own words, in */
    uint16_t text_len;           /* job->text */
};

enum smtp_ret { SMTP_RET_NONE, SMTP_RET_FULL, SMTP_RET_HDRS };

/* All of it is copied or read during the call. */
struct smtp_order {
    uint64_t id;
    uint32_t envelope_len;          /* the content begins there */
    uint64_t end_offset;            /* of the content: the message's length in bytes */
    const struct route_item *route; /* not of a kind that is local */
    struct slice domain;            /* of the recipients; names the destination of a route by MX */
    bool is_8bit;                   /* BODY=8BITMIME was declared, or the content needs it */
    bool is_smtputf8;
    uint8_t ret; /* enum smtp_ret */
    struct slice envid;
    struct slice sender; /* without angle brackets; empty: <> */
    uint32_t num_rcpts;  /* 1 to SMTP_JOB_RCPTS_MAX */
    const struct smtp_rcpt *rcpts;
    uint64_t owner_tag; /* handed back in the job */
};

/* What a caller sees of a job, once it has ended. */
struct smtp_job {
    uint64_t id; /* of the message */
    uint64_t owner_tag;
    uint32_t num_rcpts;
    const char *reason;   /* why recipients without a reply of a peer were deferred or failed: a
                             name for the log ("connection-refused"); NULL: there are none */
    struct slice host;    /* the peer's name, as configured or from its MX record; for LMTP over a
                             local socket its path. Empty: none was reached */
    struct net_addr addr; /* of it; family NET_NONE for a local socket or if none was reached */
    struct smtp_rcpt rcpts[SMTP_JOB_RCPTS_MAX];
    uint8_t text[SMTP_JOB_TEXT_CAP];
};

/* Why a destination did not get a message, where no peer's reply says so: constants. */
struct deliver_reason_row {
    const char *name;     /* for the log */
    const char *sentence; /* for people */
    uint16_t status[3];   /* RFC 3463 */
};

enum deliver_smtp_may {
    DELIVER_SMTP_YES,
    DELIVER_SMTP_FULL,    /* no job, or none for that destination: ask again when one has ended */
    DELIVER_SMTP_BACK_OFF /* it could not be reached lately: defer without a try */
};

struct deliver_smtp_env {
    const struct port *port;
    struct timers *timers;
    struct spool *spool;
    const struct conf *conf; /* the options in force; set again at a reload */
    struct slice hostname;   /* for EHLO; lasts as long as conf */
    const char *resolv_conf_path, *hosts_path;
    uint32_t timer_kind; /* the owner's mark for this service's timers */
    uint64_t tag_mark;   /* set in the top byte of the tags of port events */
};

/* Bytes that deliver_smtp_open takes from the arena, with what budget.h says. */
size_t deliver_smtp_memory_len(void);
/* env is copied; what it points to must last. ERR_NO_MEMORY. */
enum err deliver_smtp_open(struct deliver_smtp **out, struct arena *a,
                           const struct deliver_smtp_env *env);

/* Options in force from now on, after a reload. Jobs under way end under the old ones as far as
 * they have copied them. */
void deliver_smtp_set_conf(struct deliver_smtp *d, const struct conf *conf, struct slice hostname);

/* Whether a job for that destination could start now. *out_why: for DELIVER_SMTP_BACK_OFF why it
 * was not reached; may be NULL. */
enum deliver_smtp_may deliver_smtp_may_start(const struct deliver_smtp *d,
                                             const struct route_item *route, struct slice domain,
                                             uint64_t now_ms,
                                             const struct deliver_reason_row **out_why);

/* Somebody says that what was wrong is repaired, or wants to see it tried: no destination is
 * backing off any more. */
void deliver_smtp_forget_failures(struct deliver_smtp *d);

/* How often there may have come to be room for a job, as a connection has ended or options have
 * changed. Wraps. */
uint32_t deliver_smtp_num_left(const struct deliver_smtp *d);

/* Begins. NULL where deliver_smtp_may_start says no, and nothing has changed. The job is the
 * service's until deliver_smtp_ended returns it, which it does exactly once. */
struct smtp_job *deliver_smtp_start(struct deliver_smtp *d, const struct smtp_order *order,
                                    uint64_t now_ms);

/* The next job that has ended, the caller's until deliver_smtp_give; NULL: none. */
struct smtp_job *deliver_smtp_ended(struct deliver_smtp *d);
void deliver_smtp_give(struct deliver_smtp *d, struct smtp_job *job);

/* What of the job's text is about that recipient. */
static inline struct slice smtp_rcpt_text(const struct smtp_job *job, const struct smtp_rcpt *r)
{
    return slice_make(job->text + r->text_offset, r->text_len);
}

/* A port event under our mark (tag without the mark), and a timer of our kind that is due. */
void deliver_smtp_event(struct deliver_smtp *d, uint64_t tag);
void deliver_smtp_timer(struct deliver_smtp *d, struct timer *t);

/* Bounded work: a turn for each connection to which something has happened; public-key work for one
 * of them, and only if may_shake: the owner's own handshakes go first. scratch is overwritten.
 * *out_shook: such work was done. True if there is more to do at once. */
bool deliver_smtp_step(struct deliver_smtp *d, const struct tls_time *now, struct buf scratch,
                       bool may_shake, bool *out_shook);
/* Public-key work was held up in the last step; a turn waits. */
bool deliver_smtp_wants_shake(const struct deliver_smtp *d);
bool deliver_smtp_has_turns(const struct deliver_smtp *d);

/* TLS from now on: env and the authorities to believe, with a reference of its own (NULL: none).
 * Sessions that have begun keep theirs. Without, there is none. deliver_smtp_wants_tls: a job is
 * there that could use it. */
void deliver_smtp_use_tls(struct deliver_smtp *d, struct tls_env *env, struct tls_trust *trust);
bool deliver_smtp_wants_tls(const struct deliver_smtp *d);

/* No job is started from now on; connections without one end, and jobs of which no server has heard
 * yet, deferred. Idle: none is under way or waits to be fetched. */
void deliver_smtp_stop(struct deliver_smtp *d);
bool deliver_smtp_is_idle(const struct deliver_smtp *d);

/* Cuts every connection; jobs under way do not end. */
void deliver_smtp_close(struct deliver_smtp *d);

#endif

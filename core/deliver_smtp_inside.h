/* What the files of the service deliver_smtp share: destinations, jobs, connections.
 *
 * Private to core/deliver_smtp*.c. Who does what: deliver_smtp.c the contract with the queue and
 * the step; deliver_smtp_dest.c destinations; deliver_smtp_hosts.c from a destination to a
 * connection; deliver_smtp_wire.c its bytes; deliver_smtp_tls.c policy, handshakes and proofs;
 * deliver_smtp_session.c what is said in it; deliver_smtp_report.c outcomes and log lines. */
#ifndef POSTERN_DELIVER_SMTP_INSIDE_H
#define POSTERN_DELIVER_SMTP_INSIDE_H

#include "budget.h"
#include "conf.h"
#include "deliver_smtp.h"
#include "envelope.h"
#include "lookup_io.h"
#include "ocsp_check.h"
#include "smtp_client.h"
#include "teeth.h"
#include "tls_client.h"

enum deliver_reason {
#define DELIVER_REASON(symbol, name, class, subject, detail, sentence) DELIVER_##symbol,
#include "deliver_reason.def"
#undef DELIVER_REASON
    NUM_DELIVER_REASONS
};

/* A destination: whom its key names, and how it has fared. The key is all that tells two
 * destinations apart: 'M' and the domain in lower case; or 'S' or 'L' and for each host in order
 * port (2 bytes), flags (1), length of the name (1), name, NUL: ROUTE_HOST_HEAD_LEN and the name.
 */
#define REMOTE_KEY_CAP (1 + ROUTE_HOSTS_LEN_MAX)

struct remote_key {
    uint16_t len;
    uint8_t bytes[REMOTE_KEY_CAP];
};

struct remote_dest {
    struct remote_key key;
    uint32_t hash;
    uint32_t num_conns;
    uint32_t num_failures; /* in a row */
    uint64_t until_ms;     /* not tried before that; without failures: most_conns holds so long */
    uint32_t most_conns;   /* 0: as many as the options say */
    uint64_t used_ms;
    uint32_t first_host; /* of the next job: those before it took all the time of the last one */
    uint8_t reason;      /* enum deliver_reason, of the last failure */
    bool is_prompt;      /* the last job was not held up */
};

struct remote_host {
    struct slice name; /* a NUL behind it only if it is a socket's path */
    uint16_t port;
    bool implicit_tls;
    bool is_socket;
};

struct remote_job {
    struct smtp_job shown; /* first, so that the one is the other */
    struct remote_job *next_ended;
    uint32_t envelope_len;
    uint64_t begun_ms;
    uint64_t end_offset;
    bool is_8bit, is_smtputf8;
    uint8_t ret; /* enum smtp_ret */
    uint16_t text_len;
    uint16_t last_text_offset, last_text_len; /* the same text is kept once */
    uint16_t sender_len, envid_len;
    uint8_t sender[SMTP_JOB_SENDER_MAX];
    uint8_t envid[SMTP_JOB_ENVID_MAX];
    uint8_t host[DNS_NAME_MAX + 1];
};

enum remote_phase {
    REMOTE_START,
    REMOTE_MX,        /* mail exchangers are looked up */
    REMOTE_NAMES,     /* a host's addresses */
    REMOTE_CONNECT,   /* one or two of them are tried */
    REMOTE_HANDSHAKE, /* TLS */
    REMOTE_JUDGE,     /* the proof, when it is its turn */
    REMOTE_SESSION
};

/* What options want of a server. */
struct remote_policy {
    bool avoids_tls;
    bool requires_tls;
    bool must_verify;
    bool may_verify;
    bool asks_proof;
    bool requires_proof;
};

/* As Exim numbers them in $tls_out_ocsp. */
enum remote_ocsp {
    REMOTE_OCSP_NOT_REQUESTED,
    REMOTE_OCSP_NO_RESPONSE,
    REMOTE_OCSP_NOT_VERIFIED,
    REMOTE_OCSP_FAILED,
    REMOTE_OCSP_VERIFIED
};

#define REMOTE_ATTEMPTS 2
#define REMOTE_IN_LEN   SMTP_ANSWER_LINE_MAX
#define REMOTE_OUT_LEN  8192

struct remote_conn {
    struct remote_conn *next_ready;
    bool is_ready; /* in the list of those that get a turn */
    bool timed_out;
    bool is_paused; /* nothing is watched until the timer */
    uint8_t phase;  /* enum remote_phase */
    struct remote_dest *dest;
    struct remote_job *job; /* NULL: idle, or taking leave */
    struct timer timer;
    uint64_t deadline_ms; /* of what is waited for; the timer may be set for less */
    uint64_t idle_ms;     /* since when it is idle */

    /* Which host, and how the ones before it failed. */
    uint32_t next_host;
    uint32_t num_tries;
    struct remote_host host;
    bool some_host_exists;
    uint8_t why;       /* enum deliver_reason */
    uint8_t waits_for; /* likewise, of one that may take it some other time; NONE: there is none */
    bool has_answer;
    bool has_refused; /* some host this message, before its recipients */

    /* Which of its addresses. */
    size_t next_addr;
    struct {
        uint32_t handle; /* 0: none */
        struct net_addr to;
        uint64_t deadline_ms;
    } attempts[REMOTE_ATTEMPTS];
    uint64_t next_attempt_ms;

    /* The connection. */
    uint32_t handle;
    struct net_addr addr;
    bool without_tls; /* TLS failed at addr, and need not be */
    bool is_reused;   /* has had a message, and has not yet answered for this one */
    bool is_outdated; /* let in under options or authorities that are no more: for no further job */
    bool in_tls;
    bool awaits_input; /* the handshake */
    bool is_shaking;   /* counted in d->num_shaking */
    bool is_verified;
    uint8_t ocsp;        /* enum remote_ocsp */
    uint8_t ocsp_reason; /* enum ocsp_reason, of REMOTE_OCSP_FAILED */
    struct remote_policy policy;
    struct tls_trust *trust;

    /* The session. */
    uint64_t content_at;    /* next byte of the message to be sent */
    uint64_t content_by_ms; /* all of it is to be out by then */
    uint32_t num_mapped;
    uint64_t later; /* bit n: the job's recipient n has to wait for another one */
    struct buf in;

    /* What of all this is large; the nearer to the begin, the shorter the code. */
    struct tls tls;
    struct smtp_client client;
    uint8_t map[SMTP_JOB_RCPTS_MAX]; /* recipients of the transaction, as numbers of the job's */
    struct dns_mx_list mx;
    struct lookup_io names;
    struct smtp_answer answer;
    uint8_t user[SMTP_LOGIN_TEXT_MAX], password[SMTP_LOGIN_TEXT_MAX];
    uint8_t random[SMTP_LOGIN_RANDOM];
    uint8_t own_literal[64]; /* our address, where our name is none for others */
    uint8_t in_bytes[REMOTE_IN_LEN];
    uint8_t out_bytes[REMOTE_OUT_LEN];
};

struct deliver_smtp {
    struct deliver_smtp_env env;
    struct pool jobs, conns, dests;
    struct tls_env *tls;     /* NULL: no TLS */
    struct tls_trust *trust; /* NULL: nobody is believed */
    struct remote_conn *ready_first, *ready_last;
    uint32_t num_ready;
    uint32_t num_left; /* see deliver_smtp_num_left */
    struct remote_job *ended_first, *ended_last;
    struct tls_time now; /* of the last step */
    struct buf scratch;
    uint32_t num_shaking; /* handshakes that hold memory */
    bool may_shake;       /* public-key work may be done in this step */
    bool wants_shake;     /* some connection waits for that */
    bool is_stopping;
    struct resolver_cache cache;
};

/* deliver_smtp.c */
void remote_wake(struct deliver_smtp *d,
                 struct remote_conn *c); /* a turn in this or the next step */
void remote_set_deadline(struct deliver_smtp *d, struct remote_conn *c, uint64_t in_ms);
void remote_look_again(struct deliver_smtp *d, struct remote_conn *c, uint64_t in_ms);
/* Closes what is open; c is gone. */
void remote_free(struct deliver_smtp *d, struct remote_conn *c);
/* The job's pending recipients have what c->why says; it has ended. */
void remote_end_job(struct deliver_smtp *d, struct remote_conn *c);

/* deliver_smtp_dest.c */
bool remote_key_make(struct remote_key *key, const struct route_item *route, struct slice domain);
struct remote_dest *remote_dest_find(const struct deliver_smtp *d, const struct remote_key *key);
struct remote_dest *remote_dest_take(struct deliver_smtp *d, const struct remote_key *key);
bool remote_dest_is_mx(const struct remote_dest *dest);
bool remote_dest_is_lmtp(const struct remote_dest *dest);
/* The domain of a destination by MX. */
struct slice remote_dest_domain(const struct remote_dest *dest);
/* Host number index of one by hosts; false if there is none. */
bool remote_dest_host(const struct remote_dest *dest, uint32_t index, struct remote_host *out);
void remote_dest_failed(struct deliver_smtp *d, struct remote_dest *dest, enum deliver_reason why);
/* What refused this connection is its number, if another one is served: for a while there are no
 * more than the others. False: none is. */
bool remote_dest_is_full(struct deliver_smtp *d, const struct remote_conn *c);
uint32_t remote_dest_limit(const struct deliver_smtp *d, const struct remote_dest *dest);

/* deliver_smtp_hosts.c */
void remote_begin(struct deliver_smtp *d, struct remote_conn *c);
void remote_find_turn(struct deliver_smtp *d, struct remote_conn *c); /* phases up to CONNECT */
/* This try has failed: goes on with the next address or host, or gives the job up. */
void remote_try_failed(struct deliver_smtp *d, struct remote_conn *c, enum deliver_reason why);
bool remote_has_next(const struct remote_conn *c);                    /* address or host */
void remote_try_again(struct deliver_smtp *d, struct remote_conn *c); /* the same address */
void remote_give_up(struct deliver_smtp *d, struct remote_conn *c);   /* nor any other */
void remote_drop_handles(struct deliver_smtp *d, struct remote_conn *c);

/* deliver_smtp_wire.c: each ERR_OK, ERR_AGAIN, or the end of the connection */
enum err remote_flush_tls(struct deliver_smtp *d, struct remote_conn *c);
enum err remote_feed_tls(struct deliver_smtp *d, struct remote_conn *c);
enum err remote_flush(struct deliver_smtp *d, struct remote_conn *c);
enum err remote_read(struct deliver_smtp *d, struct remote_conn *c); /* into c->in */
void remote_watch(struct deliver_smtp *d, struct remote_conn *c, bool writable);
void remote_pause(struct deliver_smtp *d, struct remote_conn *c); /* TLS is out of memory */

/* deliver_smtp_tls.c */
void remote_decide(struct deliver_smtp *d, struct remote_conn *c); /* the policy for this server */
void remote_tls_begin(struct deliver_smtp *d, struct remote_conn *c);
void remote_tls_turn(struct deliver_smtp *d, struct remote_conn *c); /* HANDSHAKE and JUDGE */
void remote_tls_end(struct deliver_smtp *d, struct remote_conn *c);

/* deliver_smtp_session.c */
void remote_session_begin(struct deliver_smtp *d, struct remote_conn *c);
void remote_session_turn(struct deliver_smtp *d, struct remote_conn *c);
void remote_session_assign(struct deliver_smtp *d, struct remote_conn *c, struct remote_job *job);
bool remote_is_idle(const struct remote_conn *c);

/* deliver_smtp_report.c */
const struct deliver_reason_row *deliver_reason_row(enum deliver_reason reason);
enum deliver_reason deliver_reason_find(const char *name); /* DELIVER_NONE: none of these */
void remote_rcpt_answered(struct remote_conn *c, uint32_t rcpt);
void remote_rcpt_failed(struct remote_conn *c, uint32_t rcpt, enum deliver_reason why);
/* c->why is that it takes mail from nobody, ever. */
bool remote_takes_nothing(const struct remote_conn *c);
/* The pending ones of c->job: by the last answer if there was one, else by c->why. */
void remote_fail_pending(struct remote_conn *c);
void remote_report_job(struct deliver_smtp *d, const struct remote_conn *c);
void remote_report_try(struct deliver_smtp *d, const struct remote_conn *c);

#endif

/* What the files of the composition root share: the server, its connections, their transactions.
 *
 * Private to core/mta*.c. Who does what: mta.c the step and its order; mta_accept.c listeners and
 * limits; mta_conn.c bytes in and out of a connection; mta_proxy.c balancers; mta_trust.c
 * authorities; mta_handshake.c the handshake queue; mta_wire.c ciphertext and plaintext; mta_open.c
 * start and end; mta_site_tls.c certificates; mta_session.c the answers to what a session asks;
 * mta_auth.c logins; mta_dovecot.c those that Dovecot decides; mta_submission.c what users may
 * send; mta_conf.c options and their reload; mta_report.c log lines; mta_control.c the control
 * socket; mta_control_queue.c and mta_status.c what is asked there; mta_local.c users of this
 * machine; mta_outbox.c what they left; mta_remote.c mail that is sent on; mta_fetch.c renewing of
 * proofs.
 */
#ifndef POSTERN_MTA_INSIDE_H
#define POSTERN_MTA_INSIDE_H

#include "auth.h"
#include "base64.h"
#include "budget.h"
#include "conf.h"
#include "control.h"
#include "deliver_smtp.h"
#include "dovecot_auth.h"
#include "envelope.h"
#include "header.h"
#include "mta.h"
#include "ocsp_fetch.h"
#include "ocsp_staple.h"
#include "ocsp_staple_names.h"
#include "queue.h"
#include "rate.h"
#include "route.h"
#include "running_time.h"
#include "smtpd.h"
#include "spool.h"
#include "submission.h"
#include "teeth.h"
#include "tls.h"
#include "wall_time.h"

/* The top byte of a tag says whose it is; the rest is a handle or an index. SPOOL_TAG is one more.
 */
#define TAG_CONN       (UINT64_C(1) << 56)
#define TAG_LISTENER   (UINT64_C(2) << 56)
#define TAG_QUEUE      (UINT64_C(3) << 56)
#define TAG_FETCH      (UINT64_C(4) << 56)
#define TAG_CONTROL    (UINT64_C(5) << 56)
#define TAG_REMOTE     (UINT64_C(6) << 56)
#define TAG_DOVECOT    (UINT64_C(7) << 56)
#define TAG_OWNER(tag) ((tag) >> 56 << 56)
#define TAG_REST(tag)  ((tag) & ((UINT64_C(1) << 56) - 1))

enum timer_kind {
    TIMER_CONN,
    TIMER_QUEUE,
    TIMER_ACCEPT,
    TIMER_HEAP,
    TIMER_STAPLE,
    TIMER_CONTROL,
    TIMER_OUTBOX,
    TIMER_LOGIN,
    TIMER_REMOTE
};

#define ACCEPT_PAUSE_MS 1000 /* after running out of descriptors */

/* What is counted in rates. */
enum rate_kind {
    RATE_LOCAL_MESSAGES,
    RATE_FAILED_LOGINS,
    RATE_HOST,
    RATE_USER,
    RATE_LOG_HOST,
    RATE_LOG_ALL
};

#define LOG_PEERS 32 /* whose lines are counted; the rest counts among all */

/* Lines about peers that were left out; see report_stranger. */
struct log_limit {
    struct rates rates;
    struct rate items[LOG_PEERS];
    uint64_t told_ms;
    uint32_t num_left_out; /* since then */
    bool has_told;
};

/* Who has logged in. */
struct mta_user {
    uint8_t name_len;
    uint16_t senders_len; /* as in struct auth_user */
    uint8_t name[AUTH_NAME_MAX];
    uint8_t senders[AUTH_SENDERS_MAX];
};

/* A login under way; see mta_auth.c. */
struct login {
    struct timer timer; /* of a reply that comes late */
    struct login *next; /* of those that work */
    uint64_t conn;      /* handle */
    struct mta_user *user;
    uint32_t dovecot_id; /* of the request that Dovecot decides; 0: it does not */
    bool is_clients_turn;
    bool is_over;     /* Dovecot has spoken, or gone, while it was the client's turn */
    bool is_denied;   /* what the timer is to say; else that there was no answer */
    struct auth auth; /* unless Dovecot decides */
    uint8_t challenge[SMTPD_CHALLENGE_MAX];
};

/* The connection to Dovecot's auth service. */
#define MTA_DOVECOT_MECHANISMS 3
struct dovecot {
    uint32_t handle; /* 0: not connected */
    bool is_ready;   /* it has said what it offers */
    bool offers[MTA_DOVECOT_MECHANISMS];
    uint8_t mechanisms[40]; /* a string, as last heard */
    uint32_t last_id;
    uint64_t again_ms; /* not to be tried again before */
    uint32_t in_len, out_len;
    uint8_t in[DOVECOT_LINE_MAX], out[DOVECOT_LINE_MAX];
};

/* Whose certificates are believed. */
#define MTA_TRUST_FILES   3
#define MTA_FIXED_OPTIONS 12
struct mta_trust {
    struct tls_trust *servers; /* NULL: none */
    struct tls_trust *clients;
    struct port_stamp stamps[MTA_TRUST_FILES];
    uint64_t again_ms; /* the last look failed for a lack of something: not before; 0: it did not */
};

/* Bytes of a session that came in and are not used up, or that could not be sent. Borrowed from
 * pools while there are any. */
struct slot {
    uint32_t begin;
    uint32_t end;
    uint8_t bytes[BUDGET_SLOT_LEN];
};

/* A message on its way in: from MAIL to the reply behind its last byte. */
struct txn {
    struct txn *next; /* of those that wait to be durable */
    uint64_t conn;    /* handle of the connection that waits for it */
    struct envelope envelope;
    const struct envelope_block *next_block; /* to be spooled next */
    bool is_begun;                           /* the spool has a transaction for it */
    bool wrote_envelope;
    bool wrote_trace;
    bool is_smtputf8;
    bool is_submission; /* its header is looked through */
    bool is_at_end;     /* all of it has come in */
    bool is_of_outbox;  /* and of no connection */
    struct submission submission;
    struct header_hops hops;
    bool is_8bit;      /* the content, as far as it has come */
    bool is_forwarded; /* some recipient is not at the address that the client named */
    uint64_t spool_txn;
    uint64_t declared_len;
    int64_t received_s;
};

enum conn_phase {
    CONN_PROXY,     /* a balancer says whose connection it is */
    CONN_SMTP,      /* sessions speak; through tls if there is one */
    CONN_HANDSHAKE, /* tls shakes hands */
    CONN_CLOSING    /* what is in out goes out, then it is closed */
};

struct conn {
    uint32_t handle;    /* the port's */
    uint8_t phase;      /* enum conn_phase */
    uint8_t end_reason; /* enum smtpd_reason */
    bool is_queued;     /* in the run list */
    bool is_shaking;    /* in the handshake queue */
    bool is_reading;    /* what the port was asked to watch */
    bool is_writing;
    bool waits_for_room; /* the spool said ERR_AGAIN */
    bool waits_for_commit;
    bool heard_while_waiting;
    bool waits_for_heap;  /* TLS has no memory for what comes */
    bool waits_for_place; /* to begin a handshake */
    bool has_place;       /* among the handshakes in progress */
    bool said_close;      /* close_notify */
    bool wants_tls;       /* as soon as the 220 is out */
    bool peer_ended;      /* the stream is broken or at its end: nothing more comes or goes */
    bool timed_out;       /* and that was we */
    bool progressed;      /* input was used since the deadline was set */
    bool tls_on_connect;
    uint16_t local_port;
    uint32_t num_messages;
    uint32_t drained_len; /* thrown away behind the last reply */
    struct net_addr peer;
    struct net_addr proxy;   /* the balancer in between; NET_NONE: none */
    struct port_user *local; /* of this machine, at the submit socket; else NULL */
    struct timer timer;
    uint64_t opened_ms;
    uint64_t phase_ms; /* when CONN_PROXY, CONN_HANDSHAKE or CONN_CLOSING began */
    bool has_spoken;   /* the peer's first bytes of a handshake are there */
    uint64_t heard_ms; /* when the handshake last went on */
    struct conn *next; /* in the run list */
    struct conn *next_shaking;
    struct tls *tls;
    struct slot *in;
    struct slot *out;
    struct txn *txn;
    struct login *login;   /* NULL: none is under way */
    struct mta_user *user; /* NULL: nobody has logged in */
    struct slice body;     /* asked to be stored, refused with ERR_AGAIN; a view into in */
    struct smtpd smtp;
};

/* One configuration and all that it named; two exist, one of them in force. */
struct site {
    struct conf conf;
    size_t used_len; /* of memory */
    uint8_t memory[BUDGET_SITE_LEN];
};

struct listener {
    uint32_t handle;
    struct net_addr at;
    char path[PORT_LOCAL_PATH_MAX + 1]; /* of the submit socket; else empty */
    bool tls_on_connect;
    bool is_wanted; /* while a reload compares */
    bool is_new;
    bool is_told;      /* the log has it */
    uint64_t again_ms; /* descriptors ran out: accept again then; 0: accepting */
};

/* Somebody at the control socket: a request, then its reply. */
struct control_conn {
    uint32_t handle; /* the port's */
    struct timer timer;
    struct control control;
    struct control_request request;
    uint64_t cursor; /* how far the answer has come, as it sees fit; 0: the begin */
    bool is_answering;
    bool is_complete; /* all of the reply has been made */
    struct buf reply; /* what is not sent yet, in reply_bytes */
    uint8_t reply_bytes[BUDGET_CONTROL_REPLY_LEN];
};

/* What is taken in of the outbox: see mta_outbox.c. */
struct outbox {
    struct timer timer;
    uint8_t phase;
    bool waits_for_room; /* the spool said ERR_AGAIN */
    struct port_user owner;
    struct txn *txn;
    uint64_t left_len; /* of the file, not read yet */
    uint32_t envelope_left;
    uint32_t num_asked; /* recipients that the file names, so far */
    uint32_t sender_len;
    bool has_sender;
    bool has_told_deferral; /* in this round */
    struct smtp_body body;
    struct slice in;  /* read and not used, in bytes */
    struct slice run; /* used and not stored */
    uint8_t sender[320];
    uint8_t bytes[4096];
};

struct conn_list {
    struct conn *first;
    struct conn *last;
    uint32_t num;
};

struct mta_stats {
    uint64_t num_connections;
    uint64_t num_refused;
    uint64_t num_messages;
    uint64_t num_handshakes;
};

/* What is small stands first: the nearer to the begin, the shorter the code that reaches it. */
struct mta {
    const struct port *port;
    const struct mta_start *start;
    uint64_t now_ms;
    struct site *site; /* in force: one of sites */
    struct spool *spool;
    struct deliver_smtp *remote;
    uint8_t *scratch; /* BUDGET_SCRATCH_LEN bytes, nobody's between two calls */
    enum err result;
    bool spool_ready;
    bool more_to_do;
    bool stopping;
    bool is_check; /* nothing may be written */
    bool has_tls_env;
    bool has_staple;
    bool has_certificate;
    bool sets_touched;  /* some set may have changed, come or gone */
    bool fetch_woken;   /* the network has something for it */
    bool remote_shook;  /* the last public-key work was for sending */
    bool control_again; /* descriptors ran out */
    uint32_t control_listener;
    uint32_t num_handshakes;    /* that hold a place */
    uint32_t num_txns_promised; /* begun, not yet in the queue */
    struct conn *shaking_first; /* each gets a turn, one a step */
    struct conn *shaking_last;
    struct txn *commits_first; /* waiting to be durable */
    struct txn *commits_last;
    struct login *working_first; /* each gets a turn, one a step */
    struct conn_list run;        /* each gets a turn */
    struct timers timers;
    uint64_t message_max; /* bytes of a message that the spool can hold */
    uint64_t stop_by_ms;
    uint64_t probe_ms; /* of a spool that has failed: when to look at the disk next; else 0 */
    uint64_t started_ms;
    uint64_t stirred_ms;    /* when the generator of TLS last got fresh entropy */
    uint64_t trust_look_ms; /* when to see again whether files of authorities have changed */
    uint64_t tls_again_ms;  /* when to try to bring TLS up for sending once more */
    uint64_t save_again_ms; /* proofs that could not be written: not before */
    struct tls_env tls_env;
    struct timer staple_timer; /* what is served may change then */
    struct timer heap_timer;   /* TLS ran out of memory: look again then */
    struct timer accept_timer; /* descriptors ran out: look again then */
    struct mta_stats stats;
    struct rates rates;
    struct smtpd_env smtp_env;     /* for those who are not offered STARTTLS */
    struct smtpd_env smtp_env_tls; /* and those who are */
    struct pool conns, txns, in_slots, out_slots, blocks, tls_conns, tls_names, logins, users,
        controls, locals;
    struct wall_time wall;
    struct running_time running;
    uint64_t fixed[MTA_FIXED_OPTIONS]; /* options that only count at the start, as they were then */
    struct mta_trust trust;
    struct queue queue;
    struct staple_counts staple_counts;
    struct log_limit log_limit;
    struct staple_names names; /* sets for names that clients ask for */
    struct heap heap;          /* of TLS */
    struct staple staple;      /* the default set */
    struct staple_ledger evictions;
    struct ocsp_fetch fetch; /* renews the proofs of all sets */
    struct outbox outbox;
    struct listener listeners[BUDGET_LISTENERS];
    struct dovecot dovecot;
    char floor_path[1100];
    char running_path[CONF_PATH_MAX + 32]; /* beside the spool, as the next */
    char held_path[CONF_PATH_MAX + 32];
    uint8_t reply_bytes[BUDGET_REPLY_LEN];
    struct site sites[2];
};

/* mta.c */
void mta_stop(struct mta *m);

/* mta_open.c */
void mta_spool_ready(struct mta *m, enum err err);
void mta_close(struct mta *m);
enum wall_trust site_trust(const struct site *site);

/* mta_accept.c: mta_listen opens what conf wants beside what is open, or changes nothing and says
 * why. One of the other two must follow: only what conf wants stays open, or only what was. */
enum err mta_listen(struct mta *m, const struct conf *conf, struct buf *errors);
void mta_listen_only(struct mta *m, const struct conf *conf);
void mta_listen_undo(struct mta *m);
void mta_accept_all(struct mta *m); /* begins to take connections in */
void mta_accept(struct mta *m, uint32_t index);
void mta_accept_again(struct mta *m);
/* Whether the client has more connections than it may, beside num of those that are counted. */
bool mta_has_too_many(const struct mta *m, const struct net_addr *peer, uint32_t num);
void mta_say_refusal(struct mta *m, uint32_t handle, bool tls_on_connect, bool is_clients_fault);
void mta_close_listeners(struct mta *m);
void mta_report_listeners(struct mta *m); /* those that the log does not have yet */

/* mta_conf.c */
enum err site_load(struct mta *m, struct site *site, struct buf *errors);
void site_use(struct mta *m, struct site *site);
void site_use_first(struct mta *m, struct site *site); /* also those that only count at the start */
enum log_level site_log_level(const struct mta *m);    /* as it was at the start */
void report_message_size(struct mta *m); /* if the spool holds less than message_size_limit */
const struct smtpd_env *conn_smtp_env(const struct mta *m, const struct conn *c);
void mta_reload(struct mta *m);

/* mta_site_tls.c: certificates and proofs of a site */
enum err site_open_tls(struct mta *m, struct site *site, struct arena *a, struct buf *errors);
enum err site_load_tls(struct mta *m, struct site *site, struct buf *errors);
/* The certificates for a handshake that asks for that name, or for none, with a reference that the
 * caller drops. */
struct tls_set *site_take_set(struct mta *m, struct slice name);
void site_watch(struct mta *m); /* tells what is served, where that has changed */
void site_put_check(struct mta *m, struct buf *out);
void site_count(struct mta *m, const struct tls_info *info); /* a handshake that has ended */
void site_close_tls(struct mta *m);
enum err site_open_env(struct mta *m, const struct conf *conf, struct buf *errors); /* TLS at all */

/* mta_remote.c */
extern const struct queue_remote remote_for_queue;
enum err remote_open(struct mta *m, struct arena *a);
/* The authorities that the options name, with a reference; and those that are in force from now on,
 * with the reference. */
void remote_use_trust(struct mta *m, struct tls_trust *trust);
void remote_use(struct mta *m, const struct conf *conf);
/* True if there is more to do at once. m->remote_shook: public-key work was done. */
bool remote_step(struct mta *m, bool may_shake);

/* mta_fetch.c: the renewing of proofs, in bounded pieces */
#define FETCH_CERTS   3 /* of a chain, from the leaf on */
#define FETCH_TARGETS ((1 + BUDGET_TLS_SETS) * STAPLE_MAX_PAIRS * FETCH_CERTS)
enum err fetch_open(struct mta *m, struct arena *a);
void fetch_use(struct mta *m, const struct conf *conf); /* options that are about to be in force */
void fetch_step(struct mta *m);
uint64_t fetch_deadline_ms(const struct mta *m);
void fetch_put_check(struct mta *m, struct buf *out); /* what would keep it from working */
/* When a proof of that pair is asked for next, Unix seconds; false: never, or not known. set: 0 the
 * default one, else 1 + its place in the pool. */
bool fetch_next_s(const struct mta *m, size_t set, size_t pair, int64_t *out_s);

/* mta_status.c */
/* What `postern status` says of the next set of certificates: lines of "key: value". *cursor: 0 at
 * first; false: there is no other one. */
bool site_put_status(struct mta *m, uint64_t *cursor, struct buf *out);

/* mta_proxy.c */
bool proxy_is_expected(const struct mta *m, const struct net_addr *peer);
void proxy_turn(struct mta *m, struct conn *c);

/* mta_conn.c: conn_begin once it is known whose it is */
void conn_open(struct mta *m, struct conn *c);
void conn_begin(struct mta *m, struct conn *c);
void conn_queue(struct mta *m, struct conn *c); /* a turn in this or the next step */
void conn_run_all(struct mta *m);               /* a turn for each that is queued now */
void conn_event(struct mta *m, uint64_t handle, enum port_event_kind kind);
void conn_timeout(struct mta *m, uint64_t handle);
void conn_stop(
    struct mta *m,
    struct conn *c); /* ends it in order: 421, unless a message of it is about to be durable */
void conn_lose(struct mta *m, struct conn *c); /* the stream is no more: ends it without a word */

/* mta_wire.c: bytes on the wire, through TLS where there is one. Each ERR_OK, ERR_AGAIN, or the end
 * of the connection */
enum err wire_read(struct mta *m, struct conn *c, struct buf *into);
enum err wire_write(struct mta *m, struct conn *c, struct slice bytes, size_t *out_len);
enum err wire_flush(struct mta *m, struct conn *c);
enum err wire_feed_tls(struct mta *m, struct conn *c); /* ciphertext from the port into TLS */
struct tls_time mta_tls_time(const struct mta *m);

/* mta_handshake.c */
enum smtpd_verdict handshake_may_begin(const struct mta *m);
bool handshake_begin(struct mta *m, struct conn *c);
void handshake_end(struct mta *m, struct conn *c); /* gives back what TLS holds */
bool handshake_turn(
    struct mta *m,
    struct conn *c); /* a handshake's turn outside of the queue; true if output blocks it */
void handshake_wait_for_heap(struct mta *m, struct conn *c);
void handshake_heap_timer(struct mta *m);
void handshake_run(struct mta *m); /* a turn for the first of the queue */

/* mta_auth.c */
void login_offer(struct mta *m, struct conn *c); /* once TLS is there */
void login_ask(struct mta *m, struct conn *c, const struct smtpd_ask *ask);
void login_timer(struct mta *m, uint64_t conn_handle);
void login_run(struct mta *m); /* a piece of work for the first of those that have some */
void login_drop(struct mta *m, struct conn *c);
uint64_t rate_key_of_peer(const struct mta *m, uint8_t kind, const struct net_addr *peer);

/* mta_auth.c: what Dovecot has said of a login: a challenge (base64), the user's name, or nothing.
 */
enum login_answer { LOGIN_CHALLENGE, LOGIN_GRANTED, LOGIN_DENIED, LOGIN_NO_ANSWER };
void login_answered(struct mta *m, struct login *l, enum login_answer answer, struct slice value);

/* mta_dovecot.c */
void dovecot_wake(struct mta *m); /* connects, if that is due */
void dovecot_close(struct mta *m);
void dovecot_leave(struct mta *m); /* for another socket */
void dovecot_event(struct mta *m, enum port_event_kind kind);
/* As last heard; before that, the usual; NULL: none that is known here. */
const char *dovecot_mechanisms(const struct mta *m);
bool dovecot_offers(const struct mta *m, enum auth_mechanism mechanism);
/* Asks about c->login; response is base64, checked; NULL: none. False: not connected now. */
bool dovecot_ask(struct mta *m, struct conn *c, enum auth_mechanism mechanism, bool begins,
                 const struct slice *response);

/* mta_trust.c: what the options name, loaded; then in use, in the place of what was before */
enum err trust_load(struct mta *m, const struct conf *conf, struct mta_trust *out,
                    struct buf *errors);
void trust_use(struct mta *m, const struct mta_trust *trust);
void trust_drop(struct mta *m, struct mta_trust *trust);
void trust_refresh(struct mta *m); /* loads again what has changed */
/* A session of TLS for c, which is asked for a certificate if the options say so. */
enum err trust_open_server(struct mta *m, struct conn *c);
bool trust_may_relay(const struct mta *m, const struct conn *c);
void trust_put_id(struct buf *b, const struct conn *c); /* of the client's certificate */

/* mta_submission.c */
bool conn_may_relay(const struct mta *m, const struct conn *c); /* send to any domain */
bool conn_is_submission(const struct mta *m, const struct conn *c);
/* Whether a transaction from sender may begin. */
enum smtpd_verdict submission_verdict(const struct mta *m, const struct conn *c,
                                      const struct address *sender);
/* Counts its message for the client's address and user; false if there have been too many. */
bool submission_count_message(struct mta *m, const struct conn *c);
/* Counts a message for that key; false if there have been too many. per_hour 0: no limit. */
bool submission_count(struct mta *m, uint64_t key, uint32_t per_hour);
/* Stores *body, or with is_end what is still due, with the fields that the header lacks. On
 * ERR_AGAIN *body is what is left. */
enum err submission_store(struct mta *m, struct txn *t, struct slice *body, bool is_end);

/* mta_session.c: each answers the session, or returns false and waits for room in the spool */
void session_mail(struct mta *m, struct conn *c, const struct smtpd_ask *ask);
void session_rcpt(struct mta *m, struct conn *c, const struct smtpd_ask *ask);
bool session_begin(struct mta *m, struct conn *c, uint64_t known_len);
/* The next piece of the body, once; then session_body until that is stored. */
void session_look_at(struct mta *m, struct conn *c, struct slice body);
bool session_body(struct mta *m, struct conn *c);
void session_end(struct mta *m, struct conn *c);
void session_abort(struct mta *m, struct conn *c);
/* A message's way into the spool; mta_outbox walks it as well. Each ERR_OK, ERR_AGAIN (the same
 * again after SPOOL_ROOM), or why the message has to be given up. */
enum err txn_write_head(struct mta *m, struct txn *t, uint64_t known_len,
                        struct header_trace *trace); /* which is completed */
/* All that the address of ask stands for, or none of it. ERR_NO_MEMORY: no block is free. */
enum err txn_add_rcpts(struct mta *m, struct txn *t, const struct smtpd_ask *ask,
                       const struct route_result *result);
enum err txn_commit(struct mta *m, struct txn *t); /* then session_committed has it */
void txn_free(struct mta *m, struct txn *t);
void session_committed(struct mta *m, const struct spool_event *event);

/* mta_local.c */
/* Whose connection that is, and that as an item of the pool, given back by the caller.
 * ERR_NOT_ALLOWED: that user has too many; ERR_BUSY: all have. */
enum err local_admit(struct mta *m, uint32_t handle, struct port_user *out_who,
                     struct port_user **out);
void local_name_user(struct port_user *user); /* one without a name is called by its number */
bool local_may_send_as(const struct mta *m, const struct port_user *user,
                       const struct address *sender);
bool local_count(struct mta *m,
                 const struct port_user *user); /* one message more; false: too many */
/* Whether local_count would let that user, or the message of that mark is in the spool already; it
 * is never false of those whom local_count does not count, but for what was refused for good. arg:
 * the mta. */
bool local_may_hand_in(const void *arg, uint32_t uid, uint64_t mark);
void local_put_login(struct buf *out, const struct port_user *user); /* as envelopes have it */

/* mta_outbox.c */
void outbox_use(struct mta *m, const struct conf *conf); /* options that are in force now */
bool outbox_step(struct mta *m);                         /* true if there is more to do at once */
void outbox_committed(struct mta *m, enum err err);      /* what txn_commit promised */
void outbox_timer(struct mta *m);
void outbox_close(struct mta *m);

/* mta_control.c */
void control_open(struct mta *m); /* a server without its socket serves all the same, and says so */
void control_close(struct mta *m);
void control_event(struct mta *m, uint64_t handle); /* 0: at the listener */
void control_timeout(struct mta *m, uint64_t handle);
void control_accept_again(struct mta *m);

/* mta_control_queue.c: answers to requests; the next piece of the reply and the result. */
enum err control_queue(struct mta *m, struct control_conn *c);
enum err control_flush(struct mta *m, struct control_conn *c);

/* mta_report.c */
void report_line(struct mta *m, enum log_level level, struct log_line *line);
/* The same, about a peer that costs itself nothing by it: bounded by log_host_rate. */
void report_stranger(struct mta *m, const struct net_addr *peer, enum log_level level,
                     struct log_line *line);
/* A line for each line of text, under that event's name. */
void report_text(struct mta *m, enum log_level level, const char *event, struct slice text);
void report_addr(struct log_line *line, const char *key, const struct net_addr *addr);
/* peer=ADDRESS, or peer=local and uid=NUMBER. */
void report_peer(struct log_line *line, const struct net_addr *addr, const struct port_user *local);
void report_connection(struct mta *m, const struct conn *c);
/* c is NULL where the client has gone. */
void report_message(struct mta *m, const struct conn *c, const struct txn *t,
                    const struct spool_event *event);
void report_rcpt(struct mta *m, const struct conn *c, enum log_level level, const char *reason,
                 struct slice address); /* that was refused */
void report_refusal(struct mta *m, const struct conn *c, const char *reason);

#endif

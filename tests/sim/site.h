/* Whole sites in one process: up to three servers, clients, servers of others, name servers, and
 * all that can go wrong, for a day of simulated time, out of one seed.
 *
 * From the command line: `make sim SEEDS=n [SEED=first]`, or build/host/tests/sim/site_test
 * --seeds n --first seed [--trace]. A run that fails prints
 *     site: seed S: CHECK: what was seen
 *     replay: make sim SEEDS=1 SEED=S
 * where CHECK is one of the names in enum site_check's table (site_check.def), and the exit status
 * is not 0. From C: site_run with a seed; what failed stands in the result. The files:
 *     site_test.c     the command line, the table of old failures, the sums
 *     site_world.c    making a site, its day, its end
 *     site_server.c   one server: starting, stepping, crashing it
 *     site_plan.c     which faults come when
 *     site_clients.c  who hands mail in
 *     site_peers.c    who takes it, and the name server
 *     site_ledger.c   what became of each message, by what the world saw
 *     site_log.c      what the log says, against that
 *     site_checks.c   what must hold after each step, and at the end
 *     site_tls.h      one site in ten has TLS, and proofs
 * Everything is drawn from the seed; nothing looks at the machine's clock. */
#ifndef POSTERN_SITE_H
#define POSTERN_SITE_H

#include "mta_inside.h"
#include "sim_faults.h"
#include "sim_files.h"
#include "sim_mailbox.h"
#include "sim_net.h"
#include "sim_world.h"

#define SITE_SERVERS_MAX 3
#define SITE_CLIENTS_MAX 64
#define SITE_MSGS_MAX    256
#define SITE_DENIED_MAX  16
#define SITE_RCPTS_MAX   4
#define SITE_ADDRESS_MAX 48

#define SITE_DAY_MS (UINT64_C(24) * 60 * 60 * 1000)

enum site_check {
#define SITE_CHECK(symbol, name, what) SITE_##symbol,
#include "site_check.def"
#undef SITE_CHECK
    NUM_SITE_CHECKS
};

enum site_fault {
#define SITE_FAULT(symbol, what) FAULT_##symbol,
#include "site_fault.def"
#undef SITE_FAULT
    NUM_SITE_FAULTS
};

struct site_result {
    bool failed;
    enum site_check check;
    char text[512];
    uint64_t digest; /* of all that was logged, said and done */
    uint64_t faults[NUM_SITE_FAULTS];
    uint64_t num_steps, num_messages, num_copies, num_reports, num_twice, num_told_lost;
    uint64_t num_handshakes, num_proofs; /* that a client took part in, and saw */
    uint64_t step_calls_max, step_len_max;
};

/* --- Messages and what became of them --- */

enum site_msg_state {
    MSG_NEW,
    MSG_SENDING,
    MSG_COMPLETE, /* its last byte has left the client */
    MSG_ACKED,    /* the client read 250 */
    MSG_REFUSED   /* or something else */
};

struct site_rcpt {
    char address[SITE_ADDRESS_MAX];
    bool accepted;        /* the client read 250 to RCPT */
    uint32_t num_copies;  /* at its end: a Maildir, or somebody else's server */
    uint32_t num_bounced; /* reports of failure that came to the sender */
};

struct site_msg {
    uint32_t server;
    enum site_msg_state state;
    bool may_relay;   /* whoever sends it may send anywhere */
    bool is_smuggled; /* nobody ever sends it as a message of its own */
    bool dropped;     /* the log says that nobody can be told */
    bool told_lost;   /* the log says that damage has taken it */
    char sender[SITE_ADDRESS_MAX];
    uint32_t num_rcpts;
    struct site_rcpt rcpts[SITE_RCPTS_MAX];
    size_t body_len;
    char id[SPOOL_ID_TEXT_LEN + 1]; /* as the 250 had it */
};

/* A message in a server's spool. */
struct site_custody {
    uint32_t server;
    uint32_t mark;
    uint64_t id;
    char id_text[SPOOL_ID_TEXT_LEN + 1];
    bool is_report;
    bool is_doubted; /* a damaged page was told of while it was held */
    uint32_t num_rcpts;
    char rcpts[SITE_RCPTS_MAX][SITE_ADDRESS_MAX];
};

enum site_fate { FATE_PENDING, FATE_HEARD, FATE_LOST };

/* The next hop has taken a message for a recipient. */
struct site_take {
    uint32_t custody;    /* whose it was */
    uint32_t rcpt;       /* index in its rcpts */
    enum site_fate fate; /* of the reply to it */
    bool logged;
    bool is_unseen; /* by another of ours: what its reply came to is not known */
    bool excused;   /* its server may not know of it: it may come again */
    uint64_t at_ms, logged_ms;
    uint64_t num_heap_failures; /* by then, of all servers */
};

/* --- The parts --- */

struct site_server {
    struct sim_host *host;
    struct sim_faults faults;
    struct mta *mta; /* NULL: down */
    void *memory;
    uint64_t up_again_ms;
    size_t num_lines_seen;
    uint32_t num_starts;
    uint64_t num_heap_failures; /* of all servers, when it started */
    uint32_t num_spins, num_late_steps;
    uint64_t spin_ms;
    bool fetches; /* its proofs */
    /* thisUpdate of what the responder last told it that was revoked or unknown, and of the newest
     * that it says it has got; 0: none. That keeps out what is as old, as long as it can write. */
    int64_t told_refusal_s, refusal_s;
    bool is_unknown; /* the last word was so: the same once more is not noted (ocsp_staple_fetch) */
    uint64_t refusal_file_errors; /* that there had been by then */
    bool is_fresh;                /* has not had its first step */
    bool is_stopping;
    bool was_flipped;   /* bytes of it went bad: it may tell of losses */
    bool was_cut;       /* its power was */
    uint64_t failed_ms; /* its storage takes no writes, since then; 0: it does */
    /* What it answered 451 when its storage had failed: nobody can say what becomes of that
     * (SPOOL.md, "Group commit"). */
    char denied[SITE_DENIED_MAX][SPOOL_ID_TEXT_LEN + 1];
    uint32_t num_denied;
    uint64_t off_by_ms; /* its power goes at the next operation, or then */
    int crash_mode;
    char conf[2048];
};

struct sim_site {
    uint64_t seed, random;
    struct sim_world *world;
    uint32_t num_servers;
    struct site_server servers[SITE_SERVERS_MAX];
    uint64_t begin_ms, day_end_ms;
    bool is_quiet;     /* no more faults */
    bool requires_tls; /* of mx2.example, which has it only in a site with TLS */
    bool has_tls;
    bool requires_proof;  /* of mx3.example */
    bool requires_inside; /* that our servers speak TLS with each other */
    int64_t proof_life_s, ocsp_margin_s;
    bool was_lied_to; /* by a proof that a good one has to wait for */
    bool is_traced;
    uint32_t num_msgs;
    struct site_msg msgs[SITE_MSGS_MAX];
    struct site_custody *custodies;
    uint32_t num_custodies, custodies_cap;
    struct site_take *takes;
    uint32_t num_takes, takes_cap;
    uint32_t retry_give_up_s;
    struct site_result result;
};

/* site_world.c */
void site_run(uint64_t seed, bool is_traced, struct site_result *out);
/* Always the same: one server, two clients, a reload and a restart between them, nothing that goes
 * wrong but what site_memory_fail has been told. */
void site_run_plain(bool has_tls, bool is_traced, struct site_result *out);
uint64_t site_draw(struct sim_site *s, uint64_t below);
bool site_chance(struct sim_site *s, uint32_t percent);
void site_digest(struct sim_site *s, const void *bytes, size_t len);
void site_trace(struct sim_site *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Only the first one counts; the run ends. */
void site_fail(struct sim_site *s, enum site_check check, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
uint64_t site_now_ms(const struct sim_site *s);
int64_t site_true_s(const struct sim_site *s); /* what clocks should say, Unix seconds */

/* site_server.c */
extern const char *const site_hostnames[SITE_SERVERS_MAX];
void site_server_conf(struct sim_site *s, uint32_t index);
void site_server_start(struct sim_site *s, uint32_t index); /* or tries again in a minute */
void site_server_step(struct sim_site *s, uint32_t index);
/* how < 0: the process alone ends. It is started again when so much time has passed. */
void site_server_crash(struct sim_site *s, uint32_t index, int how, uint64_t down_ms);
void site_server_drop(struct sim_site *s, uint32_t index);

/* site_plan.c: faults drawn for the day, each when it is due */
void site_plan_make(struct sim_site *s);
void site_plan_none(void);
uint64_t site_plan_next_ms(const struct sim_site *s);
void site_plan_run(struct sim_site *s);
void site_plan_end(struct sim_site *s); /* all that lasts is over */
void site_plan_count(struct sim_site *s);

/* site_clients.c */
void site_clients_make(struct sim_site *s);
/* Two of ours, with a message each to a user here, one elsewhere and one who is nowhere. */
void site_clients_make_two(struct sim_site *s, uint64_t first_ms, uint64_t second_ms);
bool site_clients_run(struct sim_site *s);         /* true: somebody did something */
uint64_t site_clients_draw_ms(struct sim_site *s); /* when one of them comes */
uint64_t site_clients_next_ms(const struct sim_site *s);
void site_clients_clock(struct sim_site *s, uint32_t server); /* after a step of it */
/* At rest, in a site with TLS: one more client for each server, which asks for a proof; and how
 * they fared. */
void site_clients_make_last(struct sim_site *s);
void site_clients_check_last(struct sim_site *s);
bool site_clients_are_done(const struct sim_site *s);
void site_clients_close(struct sim_site *s);

/* site_peers.c */
#define SITE_DOMAINS 4
void site_peers_open(struct sim_site *s);
bool site_peers_run(struct sim_site *s);
uint64_t site_peers_next_ms(const struct sim_site *s);
void site_peers_close(struct sim_site *s);
void site_peers_calm(struct sim_site *s);
void site_dns_mood(struct sim_site *s, bool is_bad);
void site_peers_mood(struct sim_site *s, uint32_t which);

/* site_ledger.c */
uint32_t site_mark_of(const char *bytes, size_t len); /* UINT32_MAX: none */
struct site_custody *site_custody_find(struct sim_site *s, uint32_t server, const char *id_text);
void site_custody_take_up(struct sim_site *s, uint32_t server, const char *id_text);
/* Content that has come to one of ours (receiver), or to others (UINT32_MAX), for these recipients.
 * The first of the takes, and how many. */
uint32_t site_taken(struct sim_site *s, uint32_t receiver, const char *bytes, size_t len,
                    const char (*rcpts)[SITE_ADDRESS_MAX], uint32_t num_rcpts, uint32_t *out_first);
void site_taken_fate(struct sim_site *s, uint32_t first, uint32_t num, enum site_fate fate);
void site_delivered(struct sim_site *s, uint32_t server, const char *id_text, const char *user,
                    const char *file);
void site_ledger_crash(struct sim_site *s, uint32_t server);
bool site_is_resolved(const struct sim_site *s, const struct site_msg *m,
                      const struct site_rcpt *r);
bool site_may_be_damaged(const struct sim_site *s, uint32_t server);
void site_page_lost(struct sim_site *s, uint32_t server);
void site_denied(struct sim_site *s, uint32_t server, const char *id_text);
void site_custody_lost(struct sim_site *s, uint32_t server, const char *id_text);

/* site_log.c */
void site_log_read(struct sim_site *s, uint32_t server);

/* site_checks.c */
void site_check_step(struct sim_site *s, uint32_t server);
void site_check_spools(struct sim_site *s);
void site_check_idle(struct sim_site *s, uint32_t server);
void site_check_end(struct sim_site *s);

#endif

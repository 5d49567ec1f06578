/* TLS in a site (site.h): one site in ten, and all from seed SITE_TLS_SEEDS on.
 *
 * All servers show one certificate, whose proof they renew from a responder that is scripted; other
 * people's servers show another, with proofs of all kinds. Keys are known to everybody, and what is
 * signed with them is the same bytes in each run. The files:
 *     site_heap.c        the library's memory, server by server
 *     site_tls.c         keys, certificates, proofs
 *     site_responder.c   who makes proofs and hands them out
 *     site_client_tls.c  a client's session, and what it saw stapled */
#ifndef POSTERN_SITE_TLS_H
#define POSTERN_SITE_TLS_H

#include "site.h"

#include "tls_client.h"

#define SITE_TLS_SEEDS UINT64_C(1000000000)
#define SITE_PROOF_AT  "/ocsp/proof.der"

enum site_proof_kind {
    PROOF_GOOD,
    PROOF_REVOKED,
    PROOF_UNKNOWN,
    PROOF_FORGED,       /* signed by somebody else */
    PROOF_OTHERS,       /* of another certificate */
    PROOF_FUTURE,       /* holds from tomorrow on */
    PROOF_ENDLESS,      /* does not say until when */
    PROOF_UNAUTHORISED, /* signed by a delegate who is none */
    NUM_PROOF_KINDS
};

enum site_whose { OF_OURS, OF_OTHERS };

struct site_proof {
    enum site_proof_kind kind;
    enum site_whose whose;
    int64_t this_s, next_s; /* Unix seconds */
    struct slice der;
    bool is_judged; /* by ocsp_check, with that margin */
    int64_t margin_s;
    struct ocsp_verdict verdict;
};

/* --- site_tls.c --- */

bool site_tls_is_drawn(uint64_t seed);
void site_tls_open(struct sim_site *s);  /* before the first server starts */
void site_tls_close(struct sim_site *s); /* when all sessions and sets are gone */
struct tls_env *site_tls_env(void);
/* Options for one server, and its files. */
void site_tls_conf(struct sim_site *s, uint32_t server, struct buf *out);
/* What others show, stapled with that proof; NULL: with none. The caller's. */
struct tls_set *site_tls_set_of_others(const struct site_proof *proof);

/* The one that is so; made if there is none yet. Lives until the program ends. */
struct site_proof *site_proof_of(enum site_proof_kind kind, enum site_whose whose, int64_t this_s,
                                 int64_t life_s);
/* NULL: nobody ever made it. */
struct site_proof *site_proof_find(struct slice der);
/* Whether it may be served at that second of the server's clock: by what it was made to be, and by
 * ocsp_check. */
bool site_proof_holds(const struct sim_site *s, struct site_proof *p, int64_t wall_s);

/* --- site_responder.c --- */

void site_responder_open(struct sim_site *s);
bool site_responder_run(struct sim_site *s);
uint64_t site_responder_next_ms(const struct sim_site *s);
void site_responder_close(struct sim_site *s);
void site_responder_mood(struct sim_site *s, uint32_t percent); /* of answers that go wrong */
/* A time in the coming day at which some proof is about to run out, or has just done so. */
uint64_t site_responder_draw_end_ms(struct sim_site *s);
/* A good one, that many periods old. */
struct site_proof *site_responder_proof(const struct sim_site *s, int64_t num_periods);

/* --- site_client_tls.c --- */

#define SITE_SECONDS_MAX 128

enum site_end_manner { END_GOOD, END_LEAVES, END_GARBLES };

/* A scripted client's session. */
struct site_end {
    struct tls tls;
    struct sim_client *peer;
    uint32_t server;
    bool is_open, is_established, is_over;
    enum site_end_manner manner; /* in the handshake */
    size_t sent_len, manner_at_len, proof_len;
    int64_t refusal_s; /* of the server, when it began */
    /* What the server's clock said, while it was believed and the handshake went on. */
    int64_t seconds[SITE_SECONDS_MAX];
    uint32_t num_seconds; /* over SITE_SECONDS_MAX: not all of them are there */
};

void site_end_open(struct sim_site *s, struct site_end *e, struct sim_client *peer, uint32_t server,
                   bool asks_proof);
/* After a step of its server. */
void site_end_clock(const struct sim_site *s, struct site_end *e, uint32_t server);
/* Bytes in both directions. True: something happened; it may have become established. */
bool site_end_turn(struct sim_site *s, struct site_end *e, char *in, size_t *in_len, size_t in_cap,
                   char *out, size_t *out_len);
void site_end_close(struct site_end *e);

#endif

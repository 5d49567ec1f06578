/* Where does the next proof come from? Keeps the proofs of a server renewed.
 *
 * For each target (a certificate, its responder, the file of its proof) it knows when the next
 * fetch is due (ocsp_fetch_plan.h says when that is) and does one fetch at a time, inside the
 * owner's loop: a slow, silent or hostile responder costs nobody anything but time of its own. What
 * comes is given to the owner as bytes; the owner judges it, puts it in force or not, and says so;
 * only what is in force is written to the file, whole or not at all,
 * unless the owner has a form of its own for that. Service: sees the port;
 * called by the composition root and the command ocsp-fetch.
 *
 *     ocsp_fetch_open; for each target: ocsp_fetch_set_target, ocsp_fetch_set_life
 *     at each event with the tag, and at ocsp_fetch_deadline_ms at the latest:
 *         while ((event = ocsp_fetch_step(f, &now)) != FETCH_NOTHING)
 *             if (event == FETCH_GOT) judge f->response for target f->current;
 *                 ocsp_fetch_judged(f, &now, ...)
 *             else log nothing: it has been logged */
#ifndef POSTERN_OCSP_FETCH_H
#define POSTERN_OCSP_FETCH_H

#include "ocsp_fetch_plan.h"
#include "ocsp_fetch_transfer.h"
#include "ocsp_request.h"

#define FETCH_PATH_CAP    256
#define FETCH_REQUEST_CAP 3072

/* What ocsp_fetch_open is to be given as memory: a request, and the largest proof. */
#define FETCH_MEMORY_LEN (FETCH_REQUEST_CAP + OCSP_PROOF_CAP)

struct fetch_target {
    bool is_used;
    bool is_asked_for; /* by hand: due whatever the plan says */
    struct ocsp_certid id;
    uint8_t url[URL_MAX];
    size_t url_len;            /* 0: the proof is watched, and never fetched */
    char path[FETCH_PATH_CAP]; /* of the proof's file; empty: not written back */
    struct fetch_plan plan;
    uint64_t alarm_ms; /* no alarm before */
};

struct ocsp_fetch_conf {
    struct slice proxy; /* an http URL, or empty */
    bool use_get;     /* GET where the address is at most 255 bytes long (RFC 9919 5), else POST */
    bool use_nonce;   /* RFC 9654; many responders do not know it */
    bool owner_saves; /* the path is for the log alone */
    uint64_t timeout_ms; /* of one fetch, all in all */
    int64_t alarm_s;     /* a warning each hour once a proof has less left; 0: none */
    const char *resolv_conf_path;
    const char *hosts_path;
};

struct ocsp_fetch {
    size_t current;        /* the target that an event is about */
    struct slice response; /* of FETCH_GOT, until ocsp_fetch_judged */
    const char *reason;    /* of FETCH_FAILED: "timeout", "http-redirect", "name-not-found"... */

    /* Private to ocsp_fetch.c. */
    const struct port *port;
    struct ocsp_fetch_conf conf;
    struct fetch_target *targets;
    size_t num_targets;
    struct buf memory;
    uint8_t nonce[OCSP_NONCE_LEN];
    uint64_t deadline_ms;
    bool awaits_verdict;
    struct fetch_transfer transfer;
};

/* conf is copied but for its texts, which must last, as must port, targets (zeroed, num of them)
 * and memory (FETCH_MEMORY_LEN bytes). tag marks all port events that are for this service. */
void ocsp_fetch_open(struct ocsp_fetch *f, const struct port *port, uint64_t tag,
                     const struct ocsp_fetch_conf *conf, struct fetch_target *targets,
                     size_t num_targets, struct buf memory);

/* Other options; a fetch under way is given up and begun anew, and what has failed need not wait.
 */
void ocsp_fetch_set_conf(struct ocsp_fetch *f, const struct ocsp_fetch_conf *conf);

/* What target number index stands for; all is copied. An empty url: the proof is only watched. For
 * the same certificate and file another responder is asked the next time; the same again changes
 * nothing. URL_OK, or what is wrong with the url,
 * then the target is as it was. */
enum url_error ocsp_fetch_set_target(struct ocsp_fetch *f, size_t index,
                                     const struct ocsp_certid *id, struct slice url,
                                     const char *path);
void ocsp_fetch_drop_target(struct ocsp_fetch *f, size_t index);

/* From when until when the proof in force for that target holds (an ocsp_verdict's begin_s and
 * end_s). To be said whenever it may have changed; the same again changes nothing. For a proof that
 * says revoked: the times in it, so that it is renewed like any other. */
void ocsp_fetch_set_life(struct ocsp_fetch *f, size_t index, const struct fetch_life *life);

/* Fetches for this target at the next step, even without a trusted clock. */
void ocsp_fetch_ask(struct ocsp_fetch *f, size_t index);

enum fetch_event {
    FETCH_NOTHING, /* until the deadline, or a port event */
    FETCH_GOT,     /* f->response came for target f->current: judge it */
    FETCH_FAILED   /* nothing came for f->current: f->reason */
};

enum fetch_event ocsp_fetch_step(struct ocsp_fetch *f, const struct tls_time *now);

enum fetch_verdict {
    FETCH_TAKEN,     /* it is in force now, for better or worse */
    FETCH_NOT_NEWER, /* it is right, but what is in force is as new or newer */
    FETCH_REFUSED
};

/* The answer to FETCH_GOT, before the next step. life: of what is in force now; for FETCH_TAKEN
 * only. why: the name of the owner's reason, for the log. A proof that was taken is written to the
 * target's file (which blocks, rarely), and the result of that is returned; it counts as taken
 * whatever that is. Otherwise nothing changes but the time of the next try. */
enum err ocsp_fetch_judged(struct ocsp_fetch *f, const struct tls_time *now,
                           enum fetch_verdict verdict, const struct fetch_life *life,
                           const char *why);

/* When to step again at the latest, monotonic. */
uint64_t ocsp_fetch_deadline_ms(const struct ocsp_fetch *f);

/* When the next fetch for that target is due, if it can be told: for reports. UINT64_MAX: never. */
uint64_t ocsp_fetch_next_ms(const struct ocsp_fetch *f, size_t index, const struct tls_time *now);

/* Closes what is open. A zeroed or closed *f is ignored. */
void ocsp_fetch_close(struct ocsp_fetch *f);

#endif

/* What do we serve? The certificates of this server, their keys and their proofs.
 *
 * Loads the files that the options name, judges the proofs, and keeps the result as one set that
 * handshakes take. When a file changes the set is made anew and replaced as a whole; a broken new
 * set never replaces a working one, and a bad new proof never evicts a good old one:
 *
 *     new proof \ old proof       none or broken   good                    revoked or unknown
 *     broken, or for another      taken (*)        old kept                old kept
 *     signed, older               taken            kept, unless lapsed     old kept
 *     signed, as new or newer:
 *       good now                  taken            taken                   taken, if newer
 *       good, but not now         taken            kept, unless lapsed     taken, if newer
 *       revoked, unknown          taken            taken                   taken
 *
 *     (*) as the reason why none is served. Of two words of the same second the worse one counts,
 *     whichever comes first.
 *
 * What a revoked or unknown proof has evicted stays so across restarts, and is so in all sets that
 * have the certificate: see ocsp_staple_ledger.h.
 *
 * The file of proofs of a pair may hold several, in PEM: one for each certificate of its chain.
 * Each is matched to its certificate by what it says itself and judged by itself, with the issuer
 * of that certificate; the table holds for each.
 *
 * Whether what is kept is still in date is judged again at each handshake, by tls. Service: reads
 * files through the port; called by the composition root at the start, at a reload and at
 * connections. */
#ifndef POSTERN_OCSP_STAPLE_H
#define POSTERN_OCSP_STAPLE_H

#include "ocsp_staple_ledger.h"
#include "port.h"
#include "tls.h"

#define STAPLE_PATH_CAP  256
#define STAPLE_MAX_PAIRS TLS_SET_PAIRS
#define STAPLE_MAX_FILES (3 * STAPLE_MAX_PAIRS + 1)
#define STAPLE_ERRORS_CAP                                                  \
    1024 /* an errors buffer of this size holds all complaints of one load \
          */
#define STAPLE_LOOK_MS 1000

/* The options. Each of the first three is a path, or a list of up to STAPLE_MAX_PAIRS paths
 * separated by colons, of which the first belong together and so do the second: one pair with an
 * RSA key, one with an elliptic-curve key. NULL is the same as empty. */
struct staple_conf {
    const char *certificate;         /* tls_certificate; empty: no TLS, no set */
    const char *privatekey;          /* empty: as certificate */
    const char *ocsp_file;           /* empty: no proof; likewise an item of the list */
    const char *verify_certificates; /* one path, or empty */
    struct ocsp_options judging;
    struct staple_ledger *ledger; /* outlives the set; NULL: evictions last until the end only */
};

/* The files of a configuration: certificate, key and proof of each pair, then verify_certificates.
 */
struct staple_files {
    uint32_t num_pairs;
    char paths[STAPLE_MAX_FILES][STAPLE_PATH_CAP];
};

/* Who issued a certificate of a chain. */
struct staple_issuer {
    struct slice der; /* in the set, or a copy on the heap; empty: not known */
    bool is_copy;
};

/* Everything that is replaced as one. */
struct staple_load {
    struct staple_files files;
    struct port_stamp stamps[STAPLE_MAX_FILES]; /* as they were just before the files were read */
    struct tls_set *set;                        /* NULL: none */
    struct staple_issuer issuers[STAPLE_MAX_PAIRS][TLS_SET_CHAIN_MAX];
    bool is_pem[STAPLE_MAX_PAIRS];    /* its proofs' file may hold several */
    int64_t look_s;                   /* when a proof in a file begins to hold; INT64_MAX: none */
    bool is_unread[STAPLE_MAX_PAIRS]; /* its proofs' file is there and could not be read */
    bool judge_again;                 /* there was no memory for a proof */
};

/* What the log was last told of a pair. */
struct staple_state {
    enum ocsp_reason reason;
    int64_t end_s;
    bool is_required; /* the certificate says that it needs a proof (RFC 7633) */
};

/* How those fared who shook hands. */
struct staple_counts {
    uint64_t num_not_asked;
    uint64_t num_served;
    uint64_t num_withheld[NUM_OCSP_REASONS];
};

struct staple {
    const struct port *port;
    struct tls_env *env;
    struct ocsp_options judging;
    struct staple_ledger *ledger;
    uint32_t num_words; /* of the ledger's that have been heard */
    uint64_t looked_ms;
    bool is_reloading; /* what was judged with other options is judged again */
    enum err told;     /* why the last load failed, as logged; ERR_OK: it did not */
    struct staple_state told_states[STAPLE_MAX_PAIRS];
    uint8_t told_id[TLS_SET_ID_LEN]; /* of the set whose states they are */
    uint32_t unsaved;                /* a bit for each certificate, pair by pair: see staple_save */
    bool is_changed; /* certificates or proofs may be others now: for the owner, who clears it */
    struct staple_counts counts; /* the owner's, with staple_count */
    struct staple_load now;      /* in force */
};

/* Loads all that conf names. A certificate or key that cannot be used is an error: *errors then has
 * a line for each, naming the option, the file and what is wrong, and *s has no set. A proof that
 * cannot be served is none: it is logged. conf is not needed afterwards; port and env must outlive
 * *s. Into scratch, here and below, files are read: a certificate with its key, or one other file,
 * must fit (96 KiB hold the PEM of the largest proof). It is left wiped of keys and nothing in it
 * is kept. ERR_OK, ERR_MALFORMED, or what made a file unreadable. */
enum err staple_open(struct staple *s, const struct port *port, struct tls_env *env,
                     const struct staple_conf *conf, const struct tls_time *now, struct buf scratch,
                     struct buf *errors);

/* The same with other options, at a reload. On failure all stays as it was. */
enum err staple_reload(struct staple *s, const struct staple_conf *conf, const struct tls_time *now,
                       struct buf scratch, struct buf *errors);

/* Looks, at most once a second, whether a file has changed, and loads it. To be called when a
 * handshake is about to take the set; cheap. What goes wrong is logged, once for each change. */
void staple_refresh(struct staple *s, const struct tls_time *now, struct buf scratch);

/* The set in force with one more reference, which the caller drops (tls_set_drop); NULL: none. */
struct tls_set *staple_take_set(struct staple *s);

/* Why the proof of that pair is not served at that time, or OCSP_GOOD. For reports. */
enum ocsp_reason staple_reason(const struct staple *s, size_t pair, const struct tls_time *now);

/* Logs, for each certificate, a change of what is served: until when, or why not; a certificate
 * that must be stapled and is not, as a warning. Each line says when the certificate ends. Returns
 * after how many ms to call it again at the latest; loading calls it by itself. Cheap. */
uint64_t staple_watch(struct staple *s, const struct tls_time *now);

/* Whether the certificate of a pair is not to be believed without a proof (RFC 7633). */
bool staple_is_required(const struct staple *s, size_t pair);

/* When that certificate ends (notAfter); INT64_MAX if there is none. */
int64_t staple_certificate_end_s(const struct staple *s, size_t pair);

/* Counts a handshake that has ended; and adds the sums to a line. */
void staple_count(struct staple_counts *counts, const struct tls_info *info);
uint64_t staple_num_asked(const struct staple_counts *counts);
void staple_put_counts(const struct staple_counts *counts, struct log_line *line);

/* A line for each certificate: its file, the file of its proof, and until when that is served or
 * why not. For `postern check`. */
void staple_put_check(const struct staple *s, const struct tls_time *now, struct buf *out);

/* Drops the set. Handshakes under way keep theirs. A zeroed or closed *s is ignored. */
void staple_close(struct staple *s);

#endif

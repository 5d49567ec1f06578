/* Which certificates their issuer has spoken against: revoked, or unknown to it.
 *
 * A proof that says so evicts a good one for good, also across restarts, though an older good one
 * may still lie where proofs are read from. So what was said, and when, is kept in a small file,
 * keyed by certificate; a newer good proof takes it out again. The form of the file, a line for
 * each, at most STAPLE_LEDGER_ITEMS:
 *
 *     SHA-256 of the certificate in hexadecimal, revoked or unknown, thisUpdate in RFC 3339
 *
 * Service: part of ocsp_staple; shared by all sets of a server. */
#ifndef POSTERN_OCSP_STAPLE_LEDGER_H
#define POSTERN_OCSP_STAPLE_LEDGER_H

#include "ocsp_check.h"
#include "port.h"

#define STAPLE_LEDGER_ITEMS 32
#define STAPLE_LEDGER_PATH  1100

struct staple_ledger_item {
    uint8_t cert[32];
    int64_t this_update_s;
    enum ocsp_reason reason; /* OCSP_REVOKED or OCSP_UNKNOWN */
};

struct staple_ledger {
    const struct port *port;
    char path[STAPLE_LEDGER_PATH]; /* empty: nothing is kept */
    struct staple_ledger_item items[STAPLE_LEDGER_ITEMS];
    uint32_t num;
    uint32_t num_words; /* that have come in, so that a set sees what another one has learnt */
    bool is_read_only;
    bool is_unread;   /* the file is there, and the disk does not give it */
    bool is_dirty;    /* not as in the file */
    bool told_failed; /* that the file cannot be written, or read */
};

/* Reads the file in that directory. An absent one is empty; lines that are damaged are left out,
 * and the log says so; one that cannot be read is read again before it is written. dir NULL or
 * empty: nothing is kept. */
void staple_ledger_open(struct staple_ledger *l, const struct port *port, const char *dir,
                        struct buf scratch);

/* What is known of that certificate, as a verdict that says no. False: nothing. */
bool staple_ledger_find(const struct staple_ledger *l, struct slice cert, struct ocsp_verdict *out);

/* A verified verdict on that certificate has been taken. When there is no room, the oldest word
 * goes. */
void staple_ledger_note(struct staple_ledger *l, struct slice cert, const struct ocsp_verdict *v);

/* Writes the file anew, if anything has changed and what was in it is known. To be called again and
 * again: what failed is tried anew. */
void staple_ledger_save(struct staple_ledger *l, struct buf scratch);

#endif

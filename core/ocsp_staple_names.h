/* A set of certificates for each server name: $tls_in_sni in the file names.
 *
 * What a client calls the server is put in the place of the variable, and the files that come of it
 * are loaded when that name is first asked for. Only a name of valid labels gets that far, in lower
 * case, so no path can be steered. A name without files, no name, or any other name has the default
 * set, whose files have primary_hostname in the variable's place. After a reload a name whose files
 * are of no use then keeps the set that it had, unless its certificate is gone.
 *
 * The sets, each with its proofs and its own watch on its files, stand in a pool: when it is full,
 * the one that was asked for the longest ago goes, for a name that has a certificate. Names without
 * files are remembered for STAPLE_MISS_MS, so that asking for them again costs no look at the disk.
 * Service: part of ocsp_staple, called by the composition root, once for a handshake. */
#ifndef POSTERN_OCSP_STAPLE_NAMES_H
#define POSTERN_OCSP_STAPLE_NAMES_H

#include "ocsp_staple.h"
#include "pool.h"
#include "tls_hello.h"

#define STAPLE_MISSES        64
#define STAPLE_MISS_MS       60000
#define STAPLE_MISS_HASH_LEN 16
#define STAPLE_EXPANSION_CAP 1024

/* The options with a name in the variable's place. */
struct staple_expansion {
    char certificate[STAPLE_EXPANSION_CAP];
    char privatekey[STAPLE_EXPANSION_CAP];
    char ocsp_file[STAPLE_EXPANSION_CAP];
};

/* A name that has a set: an item of the pool. */
struct staple_name {
    struct staple staple;
    uint64_t used_ms;
    bool is_stale; /* the options have changed since; among the misses: it cannot be loaded now */
    uint8_t name_len;
    uint8_t name[TLS_NAME_MAX];
};

struct staple_miss {
    uint8_t hash[STAPLE_MISS_HASH_LEN]; /* of the name */
    uint64_t until_ms;
};

struct staple_names {
    const struct port *port;
    struct tls_env *env;
    struct pool *pool;       /* of struct staple_name */
    struct staple_conf conf; /* with the variable in it; its texts are the caller's */
    bool is_expanding;       /* the variable is in it at all */
    struct staple_miss misses[STAPLE_MISSES];
};

/* Whether the variable is in one of the three. */
bool staple_conf_has_name(const struct staple_conf *conf);

/* Puts name in the variable's place: *out_conf, which may be *conf itself, is conf with texts of
 * *out. False if they become too long. */
bool staple_expand(const struct staple_conf *conf, struct slice name, struct staple_expansion *out,
                   struct staple_conf *out_conf);

/* The pool is that of all names and starts out empty; *n is zeroed. */
void staple_names_open(struct staple_names *n, const struct port *port, struct tls_env *env,
                       struct pool *pool);

/* The options that count from now on; sets are loaded anew as they are asked for. */
void staple_names_use(struct staple_names *n, const struct staple_conf *conf);

/* What is shown for that name (tls_info: lower case and valid, or empty), its files looked at;
 * NULL: the default set. Loads one set at most. */
struct staple *staple_names_find(struct staple_names *n, struct slice name,
                                 const struct tls_time *now, struct buf scratch);

/* The set that is loaded for that name now; NULL: the default one is shown. */
struct staple *staple_names_peek(struct staple_names *n, struct slice name);

/* staple_refresh and staple_watch for all of them. */
uint64_t staple_names_watch(struct staple_names *n, const struct tls_time *now, struct buf scratch);

/* Drops all sets. */
void staple_names_close(struct staple_names *n);

#endif

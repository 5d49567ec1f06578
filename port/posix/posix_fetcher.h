/* One proof after the other over the machine's network, each to its end: ocsp_fetch on the real
 * port for a command that has nothing else to do. Called by posix_ocsp_fetch. */
#ifndef POSTERN_POSIX_FETCHER_H
#define POSTERN_POSIX_FETCHER_H

#include "ocsp_fetch.h"

struct posix_fetcher {
    struct port port;
    struct ocsp_fetch fetch; /* .response, or .reason and .transfer.status */
    struct fetch_target target;
    uint8_t memory[FETCH_MEMORY_LEN];
};

/* f is zeroed; conf as ocsp_fetch_open wants it, but for the paths, which are the system's. */
enum err posix_fetcher_open(struct posix_fetcher *f, const struct ocsp_fetch_conf *conf);
void posix_fetcher_close(struct posix_fetcher *f);

/* Both clocks of the machine. */
struct tls_time posix_fetcher_now(const struct posix_fetcher *f);

/* Blocks for conf's timeout at most. True: fetch.response is there, until the next call. False
 * after a complaint that names the URL and the reason. */
bool posix_fetcher_get(struct posix_fetcher *f, const struct ocsp_certid *id, struct slice url);

#endif

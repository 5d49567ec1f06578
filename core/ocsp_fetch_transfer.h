/* One question and its answer over the network: resolve, connect, send, receive.
 *
 * Driven by the owner's steps, never blocking, every part of it with a deadline. Private to
 * ocsp_fetch, and a service like it: sees the port. Knows nothing of proofs but their media type.
 */
#ifndef POSTERN_OCSP_FETCH_TRANSFER_H
#define POSTERN_OCSP_FETCH_TRANSFER_H

#include "http.h"
#include "lookup_io.h"

enum transfer_result { TRANSFER_WAITS, TRANSFER_GOT, TRANSFER_FAILED };

/* Zeroed memory, with the first four fields set, is an idle one. */
struct fetch_transfer {
    const struct port *port;
    uint64_t tag; /* of what is watched */
    const char *resolv_conf_path;
    const char *hosts_path;

    struct buf answer;  /* after TRANSFER_GOT the content */
    const char *reason; /* after TRANSFER_FAILED why: the name of an error, constant */
    uint16_t status;    /* of the HTTP answer, 0: there was none */

    /* Private to ocsp_fetch_transfer.c. */
    uint8_t at;
    bool has_more;   /* to do at once */
    uint32_t handle; /* 0: none */
    struct slice request;
    size_t sent_len;
    uint16_t port_number;
    uint32_t first_addr; /* the one to begin with, by the number of tries before this */
    size_t addr_index;   /* counted from there */
    uint64_t deadline_ms, connect_deadline_ms;
    struct resolver_cache cache;
    struct lookup_io names;
    struct http_answer http;
};

/* Begins: request is to go to the host and port of to. Both must last until the end, as must the
 * answer's memory (16 KiB at least). timeout_ms bounds all of it. num_failures: how many tries in a
 * row have failed; each begins with another address of the host. */
void transfer_begin(struct fetch_transfer *t, const struct url *to, struct slice request,
                    struct buf answer_memory, uint64_t timeout_ms, uint32_t num_failures,
                    uint64_t now_ms);

/* Goes on as far as is possible now. After any result but TRANSFER_WAITS it is idle again. To be
 * called at each event of the tag, and at transfer_deadline_ms. */
enum transfer_result transfer_step(struct fetch_transfer *t, uint64_t now_ms);

bool transfer_is_idle(const struct fetch_transfer *t);
/* UINT64_MAX: idle; 0: at once. */
uint64_t transfer_deadline_ms(const struct fetch_transfer *t);

/* Gives it up, if any is under way. */
void transfer_abort(struct fetch_transfer *t);

#endif

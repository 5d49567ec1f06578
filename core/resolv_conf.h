/* Which name servers to ask, and what is known without asking: the texts of resolv.conf(5) and
 * hosts(5). Codec: reads no file. Called by lookup_io, and by resolver. */
#ifndef POSTERN_RESOLV_CONF_H
#define POSTERN_RESOLV_CONF_H

#include "net_addr.h"

#define RESOLV_SERVERS_MAX 3

struct resolv_conf {
    struct net_addr servers[RESOLV_SERVERS_MAX];
    uint8_t num_servers; /* at least 1 */
    uint8_t attempts;    /* 1 to 5 rounds through them */
    uint32_t timeout_ms; /* for one answer, 1 to 30 s */
    /* In the text: the first server that is none to us; empty: there is none. */
    struct slice unknown;
};

/* Always has a result: unknown words, and addresses that are none (or carry a zone), are passed
 * over; without a nameserver it is the one on this machine. search and domain mean nothing here:
 * names are taken as complete. */
void resolv_conf_parse(struct slice text, struct resolv_conf *out);

/* The addresses that a hosts text gives for the name, at most cap, port 0; returns how many. */
size_t resolv_conf_find_host(struct slice hosts, struct slice name, struct net_addr *out,
                             size_t cap);

#endif

/* The PROXY protocol, versions 1 and 2: whose connection a balancer passes on.
 *
 *     v1: PROXY TCP4 192.0.2.1 192.0.2.2 56324 25 CRLF, or PROXY UNKNOWN ... CRLF
 *
 *     v2: 12 bytes of signature | version, command | family | length (2) | addresses, then TLVs
 *
 * Called by mta_proxy, for the balancers that are listed and nobody else: the bytes are theirs, not
 * their clients'. Codec: pure. */
#ifndef POSTERN_PROXY_HEADER_H
#define POSTERN_PROXY_HEADER_H

#include "net_addr.h"

/* What is accepted of version 2, TLVs included. */
#define PROXY_HEADER_MAX 1024

enum proxy_result {
    PROXY_MORE,     /* *out_want more bytes of the header are needed, and no byte behind it */
    PROXY_CLIENT,   /* *out_client is the client, with its port */
    PROXY_BALANCER, /* the balancer speaks for itself (v2 LOCAL), or does not say for whom */
    PROXY_MALFORMED
};

/* Looks at the header as far as it has come. */
enum proxy_result proxy_header_read(struct slice got, size_t *out_want,
                                    struct net_addr *out_client);

#endif

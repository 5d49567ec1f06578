/* Internet addresses as plain values: what the port connects, the log prints and host lists match.
 * Base layer. */
#ifndef POSTERN_NET_ADDR_H
#define POSTERN_NET_ADDR_H

#include "buf.h"

enum net_family { NET_NONE = 0, NET_IPV4 = 4, NET_IPV6 = 6 };

struct net_addr {
    uint8_t family;    /* enum net_family */
    uint8_t bytes[16]; /* 4 or 16 of them, network order; the rest zero */
    uint16_t port;     /* host order; 0: none, or any */
};

/* The network that an address list entry names. */
struct net_prefix {
    struct net_addr addr;
    uint8_t num_bits;
};

/* "192.0.2.1" or "2001:db8::1" (RFC 4291 2.2), all of the text, no zone, no brackets; port becomes
 * 0. */
bool net_addr_parse(struct slice text, struct net_addr *out);

/* An address, or ADDRESS/BITS. Bits beyond the prefix must be zero. */
bool net_prefix_parse(struct slice text, struct net_prefix *out);
bool net_prefix_holds(const struct net_prefix *p, const struct net_addr *a);

/* Same family and bytes; ports are not compared. */
bool net_addr_same_host(const struct net_addr *a, const struct net_addr *b);

/* The same host, or in one IPv6 network of 64 bits, of which one host may have every address. */
bool net_addr_same_client(const struct net_addr *a, const struct net_addr *b);

/* An IPv4-mapped IPv6 address (::ffff:0:0/96) becomes the IPv4 address that it carries. */
void net_addr_unmap(struct net_addr *a);

/* The address alone (RFC 5952 for IPv6); at most 45 bytes. And as an address literal of RFC
 * 5321 4.1.3, "[IPv6:...]". An address without a family is put as "unknown". */
bool net_addr_put(struct buf *b, const struct net_addr *a);
bool net_addr_put_literal(struct buf *b, const struct net_addr *a);

#endif

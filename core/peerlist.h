/* Lists of the servers that we send to: by name, by address, or both.
 *
 * Gone through in order, the first entry that matches decides, as in hostlist.h. A name is the
 * host's as configured or as its MX record has it; it vouches for nothing. Built by conf; codec. */
#ifndef POSTERN_PEERLIST_H
#define POSTERN_PEERLIST_H

#include "hostlist.h"

struct peerlist_item {
    bool is_name;
    struct hostlist_item host;   /* of an address, a network or "*" */
    struct domainlist_item name; /* of a name or "*.DOMAIN", lower case */
};

struct peerlist {
    struct peerlist_item *items;
    uint32_t num_items;
};

/* One entry: "*", ADDRESS, ADDRESS/BITS, NAME or "*.DOMAIN", perhaps after '!'. The name is a view
 * into text, in the case that it has there. */
bool peerlist_parse_item(struct slice text, struct peerlist_item *out);

/* An address of family NET_NONE (a local socket) matches "*" only. */
bool peerlist_match(const struct peerlist *list, struct slice name, const struct net_addr *addr);

#endif

/* Lists of client addresses and of domains, as options hold them, and whether something is in one.
 *
 * Both are gone through in order and the first entry that matches decides; an entry with '!' in
 * front excludes. What matches no entry is in the list only if the last entry excludes:
 * "!192.0.2.1" is everybody else. An empty list holds nothing. Built by conf; codec. */
#ifndef POSTERN_HOSTLIST_H
#define POSTERN_HOSTLIST_H

#include "net_addr.h"

struct hostlist_item {
    struct net_prefix prefix; /* family NET_NONE: '*', everybody */
    bool is_excluded;
};

struct hostlist {
    struct hostlist_item *items;
    uint32_t num_items;
};

enum domain_kind {
    DOMAIN_EXACT,
    DOMAIN_PRIMARY,    /* '@': name is primary_hostname */
    DOMAIN_SUBDOMAINS, /* '*.example': all below example, not example itself */
    DOMAIN_ANY         /* '*' */
};

struct domainlist_item {
    struct slice name; /* of a list in lower case (ASCII); of DOMAIN_SUBDOMAINS without the "*." */
    enum domain_kind kind;
    bool is_excluded;
};

struct domainlist {
    struct domainlist_item *items;
    uint32_t num_items;
};

/* One entry without the spaces around it: "*", ADDRESS or ADDRESS/BITS, perhaps after '!'. */
bool hostlist_parse_item(struct slice text, struct hostlist_item *out);

/* An IPv4 client that came in over an IPv6 socket is to be unmapped first. */
bool hostlist_match(const struct hostlist *list, const struct net_addr *client);

/* One entry: "@", "*", "*.DOMAIN", DOMAIN or an address literal, perhaps after '!'. The name is a
 * view into text, in the case that it has there; of "@" it is empty. */
bool domainlist_parse_item(struct slice text, struct domainlist_item *out);

/* ASCII letters are compared without regard to case, other bytes as they are. */
bool domainlist_match(const struct domainlist *list, struct slice domain);

/* Whether that entry's pattern, its '!' left aside, holds domain. */
bool domainlist_item_matches(const struct domainlist_item *item, struct slice domain);

/* The first entry that matches, which decides; NULL if none does. */
const struct domainlist_item *domainlist_find(const struct domainlist *list, struct slice domain);

#endif

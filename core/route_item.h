/* The route table: what each item of route_list says. Filled by conf, which parses it
 * (conf_routes.c); read by route, which finds the item of a domain, and by whoever delivers. */
#ifndef POSTERN_ROUTE_ITEM_H
#define POSTERN_ROUTE_ITEM_H

#include "hostlist.h"

enum route_kind {
    ROUTE_TO_MAILDIR,
    ROUTE_TO_LMTP,   /* hosts */
    ROUTE_TO_SMTP,   /* hosts: their addresses, no MX */
    ROUTE_TO_MX,     /* the mail exchangers of the recipient's domain, or the host that an address
                        literal names */
    ROUTE_TO_NOWHERE /* discard-with-bounce */
};

struct route_host {
    struct slice name; /* a host's name, an IPv4 or IPv6 address without brackets, or the path of a
                          socket; as configured, a NUL behind it */
    uint16_t port;     /* 0 for a socket */
    bool implicit_tls; /* TLS begins at once (smtps) */
    bool is_socket;    /* of ROUTE_TO_LMTP */
};

/* The hosts of one item, each with its name and that many bytes more, may be that long. */
#define ROUTE_HOSTS_LEN_MAX 639
#define ROUTE_HOST_HEAD_LEN 5

struct route_item {
    struct domainlist_item pattern;
    enum route_kind kind;
    struct route_host *hosts; /* tried in this order */
    uint32_t num_hosts;       /* at least one of ROUTE_TO_LMTP and ROUTE_TO_SMTP, else none */
};

/* The first item whose pattern matches decides. */
struct route_list {
    struct route_item *items;
    uint32_t num_items;
};

#endif

/* Where a recipient goes: to which users, and which Maildir is a user's.
 *
 * Called at RCPT and for each delivery. Knows options and aliases; sees no file. A recipient's
 * bytes never become part of a path: only configured names do. A detail behind '+' has no meaning
 * here. */
#ifndef POSTERN_ROUTE_H
#define POSTERN_ROUTE_H

#include "address.h"
#include "conf.h"

#define ROUTE_USERS_MAX 64 /* that one recipient address may stand for */

enum route_verdict {
    ROUTE_LOCAL,        /* users has at least one */
    ROUTE_UNKNOWN_USER, /* 550 5.1.1 */
    ROUTE_RELAY_DENIED, /* 550 5.7.1: not one of local_domains */
    ROUTE_TEMPORARY     /* the aliases lead nowhere: to be repaired by their owner */
};

struct route_result {
    struct slice users[ROUTE_USERS_MAX]; /* views into the configuration; copy before a reload */
    uint32_t num_users;
};

/* postmaster, with a local domain or none (RFC 5321 4.5.1), always has a user: by an alias, by a
 * user of that name, the first user, or, if there are no users at all, "postmaster". */
enum route_verdict route_address(const struct conf *c, const struct address *a,
                                 struct route_result *out);

/* The item of route_list for mail to that domain: the first whose pattern matches, but '*' is for
 * others than local_domains only, and "maildir" for local_domains only. Of a local domain (an empty
 * one is primary_hostname's) that no item names: one of ROUTE_TO_MAILDIR. NULL: there is no way to
 * it, mail fails (5.4.4). Lasts as long as the configuration. */
const struct route_item *route_find(const struct conf *c, struct slice domain);

/* The Maildir of user for mail to an address at domain (as a client wrote it; may be empty), and a
 * NUL behind it that is not counted. False if b is full or user is none of ours: nothing was put.
 */
bool route_put_maildir(struct buf *b, const struct conf *c, struct slice user, struct slice domain);

#endif

/* Where a recipient goes: to which users and addresses, by which way, and which Maildir is a
 * user's.
 *
 * Called at RCPT and for each delivery. Knows options and aliases; sees no file. A recipient's
 * bytes never become part of a path: only configured names do. A detail behind '+' has no meaning
 * here. */
#ifndef POSTERN_ROUTE_H
#define POSTERN_ROUTE_H

#include "address.h"
#include "conf.h"

#define ROUTE_TARGETS_MAX 64 /* that one recipient address may stand for */

/* Bytes of room that route_address wants for the addresses that it makes. */
#define ROUTE_ROOM_LEN (ROUTE_TARGETS_MAX * (ADDRESS_LOCAL_MAX * 2 + 3 + ADDRESS_DOMAIN_MAX))

enum route_verdict {
    ROUTE_LOCAL,        /* one of local_domains; there is at least one target */
    ROUTE_REMOTE,       /* to be relayed, to the address as it is: the only target */
    ROUTE_UNKNOWN_USER, /* 550 5.1.1 */
    ROUTE_RELAY_DENIED, /* 550 5.7.1: neither ours nor to be relayed for this client */
    ROUTE_NO_WAY,       /* 550 5.4.4: route_list has none */
    ROUTE_TEMPORARY     /* the aliases lead nowhere: to be repaired by their owner */
};

struct route_target {
    struct slice user;    /* has a Maildir here; empty: goes to the address, by route_find */
    struct slice address; /* of a user: the recipient's as it came, or what an alias says if
                             that is another Maildir's */
};

/* Views into the configuration, the recipient's address and the room: copy before any changes. */
struct route_result {
    struct route_target targets[ROUTE_TARGETS_MAX];
    uint32_t num_targets;
};

/* Who may relay may send to any domain; others to local_domains, where users and aliases say who
 * exists (or nobody does, if users are known elsewhere alone: local_users is empty and the domain
 * is not for Maildirs), and to relay_to_domains. What others name for machines behind us must not
 * hold '%', '!' or '@' in its local part, which might make those relay it once more.
 *
 * postmaster, with a local domain or none (RFC 5321 4.5.1), always has a user: by an alias, by a
 * user of that name, by the alias *, the first user, or, if there are no users, "postmaster". */
enum route_verdict route_address(const struct conf *c, const struct address *a, bool may_relay,
                                 struct buf room, struct route_result *out);

/* Who is a user, for alias_expand: what the aliases of a configuration are tried with. ctx is a
 * struct conf. */
bool route_is_ours(const void *ctx, struct slice domain);
bool route_find_user(const void *ctx, struct slice name, struct slice domain,
                     struct alias_target *out);

/* The item of route_list for mail to that domain: the first whose pattern matches, but '*' is for
 * others than local_domains only, and "maildir" for local_domains only. Of a local domain (an empty
 * one is primary_hostname's) that no item names: one of ROUTE_TO_MAILDIR. NULL: there is no way to
 * it, mail fails (5.4.4). Lasts as long as the configuration. */
const struct route_item *route_find(const struct conf *c, struct slice domain);

/* The Maildir of user for mail to an address at domain (as a client wrote it; may be empty), and a
 * NUL behind it that is not counted. False if b is full or user is none of ours: nothing was put.
 */
bool route_put_maildir(struct buf *b, const struct conf *c, struct slice user, struct slice domain);

/* Whether mail to a user at either of these addresses goes to the same Maildir: for envelope_add.
 * ctx is a struct conf. */
bool route_is_same_maildir(const void *ctx, struct slice address, struct slice other);

#endif

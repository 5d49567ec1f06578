/* Aliases: which users a name stands for, from the text of one file.
 *
 *     postmaster: joe
 *     sales: ann, bob,
 *         carol@example.org
 *     "old name": joe
 *     root: joe, admin@elsewhere.example
 *     nobody: :fail: no such thing here
 *     *: joe
 *
 * Names are compared without regard to case (ASCII). Lines that begin with a space go on with the
 * line before; '#' lines are comments. A target is a user, another alias, such a name at one of
 * local_domains, or an address elsewhere. '*' is for names that are neither an alias nor a user. A
 * target that is the name of an alias on the way to it means the user of that name: "joe: joe,
 * archive" keeps joe's own copy. Aliases hold at all local domains; a target without a domain is at
 * the domain of the name that leads to it.
 *
 * Called by conf and route, which say whose a domain and a name are. */
#ifndef POSTERN_ALIAS_H
#define POSTERN_ALIAS_H

#include "err.h"
#include "hostlist.h"
#include "pool.h"

#define ALIAS_DEPTH_MAX  8   /* aliases on the way from a name to a user */
#define ALIAS_VISITS_MAX 256 /* names looked at for one expansion */

struct alias_entry {
    struct slice name;
    uint32_t first_target;
    uint32_t num_targets; /* 0: ":fail:" */
    uint32_t line_number;
};

/* Zeroed: no aliases. */
struct alias_table {
    struct alias_entry *entries; /* sorted by name */
    struct slice *targets;       /* names, or addresses */
    uint32_t num_entries;
    uint32_t num_targets;
};

/* What a name comes to: a user with a mailbox here, or an address. */
struct alias_target {
    struct slice name;
    struct slice domain; /* empty: a user */
    struct slice at; /* of a user: the domain that mail for the name is at; set by alias_expand */
};

/* Whether a domain is ours; and who is a user at one of ours (the empty one is that of <Postmaster>
 * and ours): *out is then what mail for the name goes to. */
struct alias_users {
    const void *ctx;
    bool (*is_ours)(const void *ctx, struct slice domain);
    bool (*find)(const void *ctx, struct slice name, struct slice domain, struct alias_target *out);
};

/* Each target once, a user once at each domain; views into the table or into what alias_users gave.
 */
struct alias_list {
    struct alias_target *items;
    uint32_t num_items;
    uint32_t cap;
    struct slice culprit; /* after an error: the name that it is about */
};

/* The entry of that name, or NULL. */
const struct alias_entry *alias_find(const struct alias_table *t, struct slice name);

/* Adds an entry, without its targets, to a table that has room for one more. ERR_EXISTS. *out is
 * valid until the next is added. */
enum err alias_add(struct alias_table *t, struct slice name, struct alias_entry **out);

/* Adds what the name at that domain of ours stands for to list; a name that is no alias is its own
 * user. ERR_ABSENT: neither alias nor user, no catch-all, or ":fail:"; ERR_TOO_BIG: more than list
 * holds, or too deep; ERR_EXISTS: an alias that leads to itself. */
enum err alias_expand(const struct alias_table *t, const struct alias_users *users,
                      struct slice name, struct slice domain, struct alias_list *list);

#endif

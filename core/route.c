/* Where a recipient goes: see route.h. */
#include "route.h"

#include "teeth.h"
#include "text.h"

#define POSTMASTER SLICE_LITERAL("postmaster")

bool route_is_ours(const void *ctx, struct slice domain)
{
    const struct conf *c = ctx;
    return slice_is_empty(domain) || domainlist_match(&c->local_domains, domain);
}

/* A user of ours, or a name that is known elsewhere. */
static struct alias_target target_at(const struct conf *c, struct slice name, struct slice domain)
{
    bool is_here = route_find(c, domain)->kind == ROUTE_TO_MAILDIR;
    struct slice named = slice_is_empty(domain) ? c->primary_hostname : domain;
    return (struct alias_target){.name = name, .domain = is_here ? slice_make(NULL, 0) : named};
}

bool route_find_user(const void *ctx, struct slice name, struct slice domain,
                     struct alias_target *out)
{
    const struct conf *c = ctx;
    struct slice known = name;
    *out = target_at(c, name, domain);
    bool is_known_elsewhere = c->local_users.num_items == 0 && !slice_is_empty(out->domain);
    if (!is_known_elsewhere && !conf_find_user(c, name, &known)) {
        return false;
    }
    out->name = known;
    return !slice_is_empty(name);
}

/* Names that other servers may take for addresses: user%domain, domain!user, "user@domain". */
static bool is_disguised(struct slice local)
{
    for (size_t i = 0; i < local.len; i++) {
        if (!BROKEN(DISGUISED_RELAYED) && memchr("%!@", local.ptr[i], 3) != NULL) {
            return true;
        }
    }
    return false;
}

static bool find_plain_user(const void *ctx, struct slice name, struct slice domain,
                            struct alias_target *out)
{
    return route_find_user(ctx, name, domain, out) &&
           (slice_is_empty(out->domain) || !is_disguised(name));
}

/* What stands for $domain: as the options write it, never as the client did. */
static struct slice known_domain(const struct conf *c, struct slice domain)
{
    const struct domainlist_item *item =
        slice_is_empty(domain) ? NULL : domainlist_find(&c->local_domains, domain);
    if (item == NULL || item->is_excluded || item->kind != DOMAIN_EXACT) {
        return c->primary_hostname;
    }
    return item->name;
}

static bool take_variable(struct slice *in, const char *name)
{
    struct slice word = slice_of_string(name);
    return in->len >= word.len && memcmp(in->ptr, word.ptr, word.len) == 0 &&
           slice_skip(in, word.len);
}

static bool has_domains(const struct conf *c)
{
    struct slice rest = slice_of_string(c->maildir);
    while (rest.len != 0) {
        if (take_variable(&rest, "$domain")) {
            return true;
        }
        slice_skip(&rest, 1);
    }
    return false;
}

/* Whether each user has one for mail to both domains. */
static bool is_one_maildir(const struct conf *c, struct slice domain, struct slice other)
{
    return !has_domains(c) || text_equal_nocase(domain, other) ||
           text_equal_nocase(known_domain(c, domain), known_domain(c, other));
}

static bool make_address(struct buf *room, struct slice name, struct slice domain,
                         struct slice *out)
{
    size_t begin = room->len;
    if (!address_put(room, name, domain)) {
        return false;
    }
    *out = slice_make(room->ptr + begin, room->len - begin);
    return true;
}

/* A user keeps the address that the mail is to, unless that is another Maildir's. */
static bool add_target(const struct conf *c, const struct address *a,
                       const struct alias_target *target, struct buf *room,
                       struct route_result *out)
{
    struct route_target *t = &out->targets[out->num_targets];
    bool is_user = slice_is_empty(target->domain);
    *t = (struct route_target){is_user ? target->name : slice_make(NULL, 0), a->text};
    if (!is_user && !make_address(room, target->name, target->domain, &t->address)) {
        return false;
    }
    if (is_user && !is_one_maildir(c, a->domain, target->at) &&
        !make_address(room, target->name, target->at, &t->address)) {
        return false;
    }
    for (uint32_t i = 0; is_user && i < out->num_targets; i++) {
        if (slice_equal(out->targets[i].user, t->user) &&
            route_is_same_maildir(c, out->targets[i].address, t->address)) {
            return true;
        }
    }
    out->num_targets++;
    return true;
}

static enum route_verdict route_local(const struct conf *c, const struct address *a, bool may_relay,
                                      struct buf room, struct route_result *out)
{
    uint8_t bytes[ADDRESS_LOCAL_MAX];
    struct buf local = buf_make(bytes, sizeof bytes);
    struct alias_target items[ROUTE_TARGETS_MAX];
    struct alias_users users = {c, route_is_ours, may_relay ? route_find_user : find_plain_user};
    struct alias_list list = {items, 0, ROUTE_TARGETS_MAX, {NULL, 0}};
    bool is_postmaster = address_is_postmaster(a);
    if (!is_postmaster && (slice_is_empty(a->domain) || !address_put_local(&local, a))) {
        return ROUTE_UNKNOWN_USER;
    }
    struct slice name = is_postmaster ? POSTMASTER : buf_slice(&local);
    enum err err = alias_expand(&c->aliases, &users, name, a->domain, &list);
    if (err == ERR_ABSENT && is_postmaster) {
        name = c->local_users.num_items != 0 ? c->local_users.first : POSTMASTER;
        items[0] = target_at(c, name, a->domain);
        items[0].at = a->domain;
        list.num_items = 1;
        err = ERR_OK;
    }
    if (err == ERR_ABSENT) {
        return ROUTE_UNKNOWN_USER;
    }
    for (uint32_t i = 0; i < list.num_items && err == ERR_OK; i++) {
        err = add_target(c, a, &items[i], &room, out) ? ERR_OK : ERR_TOO_BIG;
    }
    return err == ERR_OK && list.num_items != 0 ? ROUTE_LOCAL : ROUTE_TEMPORARY;
}

enum route_verdict route_address(const struct conf *c, const struct address *a, bool may_relay,
                                 struct buf room, struct route_result *out)
{
    bool is_ours = route_is_ours(c, a->domain);
    const struct route_item *way = route_find(c, a->domain);
    out->num_targets = 0;
    if (!is_ours && !may_relay &&
        (!domainlist_match(&c->relay_to_domains, a->domain) || is_disguised(a->local))) {
        return ROUTE_RELAY_DENIED;
    }
    if (way == NULL || (way->kind == ROUTE_TO_NOWHERE && !may_relay)) {
        return ROUTE_NO_WAY;
    }
    if (is_ours) {
        return route_local(c, a, may_relay, room, out);
    }
    out->targets[0] = (struct route_target){slice_make(NULL, 0), a->text};
    out->num_targets = 1;
    return ROUTE_REMOTE;
}

const struct route_item *route_find(const struct conf *c, struct slice domain)
{
    static const struct route_item to_maildir = {.kind = ROUTE_TO_MAILDIR};
    bool is_local = slice_is_empty(domain) || domainlist_match(&c->local_domains, domain);
    if (slice_is_empty(domain)) {
        domain = c->primary_hostname;
    }
    for (uint32_t i = 0; i < c->route_list.num_items; i++) {
        const struct route_item *item = &c->route_list.items[i];
        bool is_for_others =
            is_local ? item->pattern.kind == DOMAIN_ANY : item->kind == ROUTE_TO_MAILDIR;
        if (!is_for_others && domainlist_item_matches(&item->pattern, domain)) {
            return item;
        }
    }
    return is_local ? &to_maildir : NULL;
}

static void put_lower(struct buf *b, struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        buf_put_u8(b, text_lower(text.ptr[i]));
    }
}

bool route_put_maildir(struct buf *b, const struct conf *c, struct slice user, struct slice domain)
{
    struct slice rest = slice_of_string(c->maildir), known_user = POSTMASTER;
    struct buf path = buf_make(b->ptr + b->len, buf_room(b));
    if (!conf_find_user(c, user, &known_user) && !text_equal_nocase(user, POSTMASTER)) {
        return false;
    }
    while (rest.len != 0) {
        uint8_t c0;
        if (take_variable(&rest, "$local_part")) {
            buf_put(&path, known_user);
        } else if (take_variable(&rest, "$domain")) {
            put_lower(&path, known_domain(c, domain));
        } else if (slice_u8(&rest, &c0)) {
            buf_put_u8(&path, c0);
        }
    }
    if (path.overflow || !buf_end_string(&path)) {
        b->overflow = true;
        return false;
    }
    b->len += path.len;
    return true;
}

bool route_is_same_maildir(const void *ctx, struct slice address, struct slice other)
{
    struct slice local, domain, other_domain;
    (void)text_cut_last(address, '@', &local, &domain);
    (void)text_cut_last(other, '@', &local, &other_domain);
    return is_one_maildir(ctx, domain, other_domain);
}

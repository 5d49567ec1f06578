/* Where a recipient goes: see route.h. */
#include "route.h"

#include "text.h"

#define POSTMASTER SLICE_LITERAL("postmaster")

static bool find_user(const void *ctx, struct slice name, struct slice *out)
{
    return conf_find_user(ctx, name, out);
}

static enum route_verdict expand(const struct conf *c, struct slice name, struct route_result *out)
{
    struct alias_users users = {c, find_user};
    struct alias_list list = {out->users, 0, ROUTE_USERS_MAX, {NULL, 0}};
    enum err err = alias_expand(&c->aliases, &users, name, &list);
    out->num_users = list.num_items;
    if (err == ERR_ABSENT) {
        return ROUTE_UNKNOWN_USER;
    }
    return err == ERR_OK && list.num_items != 0 ? ROUTE_LOCAL : ROUTE_TEMPORARY;
}

static enum route_verdict route_postmaster(const struct conf *c, struct route_result *out)
{
    enum route_verdict verdict = expand(c, POSTMASTER, out);
    if (verdict == ROUTE_UNKNOWN_USER) {
        out->users[0] = c->local_users.num_items != 0 ? c->local_users.first : POSTMASTER;
        out->num_users = 1;
        return ROUTE_LOCAL;
    }
    return verdict;
}

enum route_verdict route_address(const struct conf *c, const struct address *a,
                                 struct route_result *out)
{
    uint8_t bytes[ADDRESS_LOCAL_MAX];
    struct buf local = buf_make(bytes, sizeof bytes);
    out->num_users = 0;
    bool has_domain = !slice_is_empty(a->domain);
    if (has_domain && !domainlist_match(&c->local_domains, a->domain)) {
        return ROUTE_RELAY_DENIED;
    }
    if (address_is_postmaster(a)) {
        return route_postmaster(c, out);
    }
    if (!has_domain || !address_put_local(&local, a)) {
        return ROUTE_UNKNOWN_USER;
    }
    return expand(c, buf_slice(&local), out);
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

static void put_lower(struct buf *b, struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        buf_put_u8(b, text_lower(text.ptr[i]));
    }
}

static bool take_variable(struct slice *in, const char *name)
{
    struct slice word = slice_of_string(name);
    return in->len >= word.len && memcmp(in->ptr, word.ptr, word.len) == 0 &&
           slice_skip(in, word.len);
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

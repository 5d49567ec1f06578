/* Lists of addresses and domains: see hostlist.h. */
#include "hostlist.h"

#include "address.h"
#include "text.h"

static bool take_exclusion(struct slice *text)
{
    if (text->len == 0 || text->ptr[0] != '!') {
        return false;
    }
    do {
        slice_skip(text, 1);
    } while (text->len != 0 && (text->ptr[0] == ' ' || text->ptr[0] == '\t'));
    return true;
}

bool hostlist_parse_item(struct slice text, struct hostlist_item *out)
{
    struct hostlist_item item;
    memset(&item, 0, sizeof item);
    item.is_excluded = take_exclusion(&text);
    if (!slice_equal(text, SLICE_LITERAL("*")) && !net_prefix_parse(text, &item.prefix)) {
        return false;
    }
    *out = item;
    return true;
}

bool hostlist_match(const struct hostlist *list, const struct net_addr *client)
{
    bool is_excluded = false;
    for (uint32_t i = 0; i < list->num_items; i++) {
        const struct hostlist_item *item = &list->items[i];
        is_excluded = item->is_excluded;
        if (item->prefix.addr.family == NET_NONE || net_prefix_holds(&item->prefix, client)) {
            return !is_excluded;
        }
    }
    return is_excluded;
}

bool domainlist_parse_item(struct slice text, struct domainlist_item *out)
{
    struct domainlist_item item = {slice_make(NULL, 0), DOMAIN_EXACT, false};
    item.is_excluded = take_exclusion(&text);
    if (slice_equal(text, SLICE_LITERAL("@"))) {
        item.kind = DOMAIN_PRIMARY;
    } else if (slice_equal(text, SLICE_LITERAL("*"))) {
        item.kind = DOMAIN_ANY;
    } else {
        if (text.len > 2 && text.ptr[0] == '*' && text.ptr[1] == '.') {
            item.kind = DOMAIN_SUBDOMAINS;
            slice_skip(&text, 2);
        }
        item.name = text;
        if (!address_is_domain(text) && (item.kind != DOMAIN_EXACT || !address_is_literal(text))) {
            return false;
        }
    }
    *out = item;
    return true;
}

static bool is_below(struct slice domain, struct slice parent)
{
    if (domain.len < parent.len + 2 || domain.ptr[domain.len - parent.len - 1] != '.') {
        return false;
    }
    struct slice tail = slice_make(domain.ptr + (domain.len - parent.len), parent.len);
    return text_equal_nocase(tail, parent);
}

bool domainlist_item_matches(const struct domainlist_item *item, struct slice domain)
{
    switch (item->kind) {
    case DOMAIN_EXACT:
    case DOMAIN_PRIMARY:
        return text_equal_nocase(item->name, domain);
    case DOMAIN_SUBDOMAINS:
        return is_below(domain, item->name);
    case DOMAIN_ANY:
        return true;
    }
    return false;
}

const struct domainlist_item *domainlist_find(const struct domainlist *list, struct slice domain)
{
    for (uint32_t i = 0; i < list->num_items; i++) {
        if (domainlist_item_matches(&list->items[i], domain)) {
            return &list->items[i];
        }
    }
    return NULL;
}

bool domainlist_match(const struct domainlist *list, struct slice domain)
{
    const struct domainlist_item *item = domainlist_find(list, domain);
    if (item != NULL) {
        return !item->is_excluded;
    }
    return list->num_items != 0 && list->items[list->num_items - 1].is_excluded;
}

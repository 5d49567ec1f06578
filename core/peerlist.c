/* Lists of servers: see peerlist.h. */
#include "peerlist.h"

#include "address.h"

bool peerlist_parse_item(struct slice text, struct peerlist_item *out)
{
    *out = (struct peerlist_item){.is_name = false};
    if (hostlist_parse_item(text, &out->host)) {
        return true;
    }
    out->is_name = true;
    return domainlist_parse_item(text, &out->name) && address_is_host(out->name.name);
}

static bool matches(const struct peerlist_item *item, struct slice name,
                    const struct net_addr *addr)
{
    if (item->is_name) {
        return domainlist_item_matches(&item->name, name);
    }
    return item->host.prefix.addr.family == NET_NONE || net_prefix_holds(&item->host.prefix, addr);
}

bool peerlist_match(const struct peerlist *list, struct slice name, const struct net_addr *addr)
{
    bool is_excluded = false;
    for (uint32_t i = 0; i < list->num_items; i++) {
        const struct peerlist_item *item = &list->items[i];
        is_excluded = item->is_name ? item->name.is_excluded : item->host.is_excluded;
        if (matches(item, name, addr)) {
            return !is_excluded;
        }
    }
    return is_excluded;
}

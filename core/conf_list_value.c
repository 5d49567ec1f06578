/* Values that are lists: see conf_value.h. */
#include "conf_value.h"

#include "conf_parse.h"

/* Goes through the items of a value. Each is in v->found, so that a wrong one can be shown. */
struct items {
    struct conf_list list;
    struct buf item;
};

static struct items begin_items(struct conf_value *v)
{
    return (struct items){conf_list_begin(v->text),
                          buf_make(v->found_bytes, sizeof v->found_bytes)};
}

/* The next item, false at the end. One that is too long for anything is cut: it is wrong, even if
 * what is left of it would not be. */
static bool next_item(struct conf_value *v, struct items *items)
{
    bool is_there = conf_list_next(&items->list, &items->item);
    v->found = buf_slice(&items->item);
    return is_there;
}

static uint32_t count_items(struct conf_value *v)
{
    struct items items = begin_items(v);
    uint32_t num = 0;
    while (next_item(v, &items)) {
        num++;
    }
    return num;
}

/* Begins to go through the items, with room for as many of that size; NULL: the arena is used up.
 */
static void *take_room(struct conf_value *v, struct items *out, size_t item_len)
{
    *out = begin_items(v);
    return arena_take(v->arena, count_items(v) * item_len);
}

enum err conf_value_hosts(struct conf_value *v, void *field)
{
    struct hostlist *out = field;
    struct items items;
    out->items = take_room(v, &items, sizeof *out->items);
    out->num_items = 0;
    if (out->items == NULL) {
        return ERR_NO_MEMORY;
    }
    while (next_item(v, &items)) {
        if (items.item.overflow || !hostlist_parse_item(v->found, &out->items[out->num_items])) {
            return ERR_MALFORMED;
        }
        out->num_items++;
    }
    return ERR_OK;
}

static bool copy_lower(struct arena *a, struct slice *name)
{
    uint8_t *copy = arena_take(a, name->len);
    if (copy == NULL) {
        return false;
    }
    for (size_t i = 0; i < name->len; i++) {
        copy[i] = text_lower(name->ptr[i]);
    }
    name->ptr = copy;
    return true;
}

enum err conf_value_peers(struct conf_value *v, void *field)
{
    struct peerlist *out = field;
    struct items items;
    out->items = take_room(v, &items, sizeof *out->items);
    out->num_items = 0;
    if (out->items == NULL) {
        return ERR_NO_MEMORY;
    }
    while (next_item(v, &items)) {
        struct peerlist_item *item = &out->items[out->num_items++];
        if (items.item.overflow || !peerlist_parse_item(v->found, item)) {
            return ERR_MALFORMED;
        }
        if (item->is_name && !copy_lower(v->arena, &item->name.name)) {
            return ERR_NO_MEMORY;
        }
    }
    return ERR_OK;
}

enum err conf_value_domains(struct conf_value *v, void *field)
{
    struct domainlist *out = field;
    struct items items;
    out->items = take_room(v, &items, sizeof *out->items);
    out->num_items = 0;
    if (out->items == NULL) {
        return ERR_NO_MEMORY;
    }
    while (next_item(v, &items)) {
        struct domainlist_item *item = &out->items[out->num_items++];
        if (items.item.overflow || !domainlist_parse_item(v->found, item)) {
            return ERR_MALFORMED;
        }
        if (!copy_lower(v->arena, &item->name)) {
            return ERR_NO_MEMORY;
        }
    }
    return ERR_OK;
}

/* ADDRESS, [ADDRESS], ADDRESS.PORT or [ADDRESS]:PORT */
static bool parse_interface(struct slice text, struct conf_interface *out)
{
    struct slice host, port_text;
    uint64_t port;
    if (net_addr_parse(text, &out->addr)) {
        out->has_port = false;
        return true;
    }
    if (text.len == 0 || text.ptr[0] != '[') {
        out->has_port = text_cut_last(text, '.', &host, &port_text);
    } else if (text_cut_last(text, ']', &host, &port_text) && slice_skip(&host, 1)) {
        out->has_port = port_text.len != 0;
        if (!out->has_port) {
            return net_addr_parse(host, &out->addr);
        }
        if (port_text.ptr[0] != ':' || !slice_skip(&port_text, 1)) {
            return false;
        }
    }
    if (!out->has_port || !net_addr_parse(host, &out->addr) ||
        !text_parse_u64(port_text, UINT16_MAX, &port)) {
        return false;
    }
    out->addr.port = (uint16_t)port;
    return true;
}

enum err conf_value_interfaces(struct conf_value *v, void *field)
{
    struct conf_interfaces *out = field;
    struct items items;
    out->items = take_room(v, &items, sizeof *out->items);
    out->num_items = 0;
    if (out->items == NULL) {
        return ERR_NO_MEMORY;
    }
    while (next_item(v, &items)) {
        struct conf_interface *item = &out->items[out->num_items++];
        memset(item, 0, sizeof *item);
        if (items.item.overflow || !parse_interface(v->found, item)) {
            return ERR_MALFORMED;
        }
    }
    return ERR_OK;
}

enum err conf_value_ports(struct conf_value *v, void *field)
{
    struct conf_ports *out = field;
    struct items items;
    uint64_t port;
    out->items = take_room(v, &items, sizeof *out->items);
    out->num_items = 0;
    if (out->items == NULL) {
        return ERR_NO_MEMORY;
    }
    while (next_item(v, &items)) {
        if (items.item.overflow || !text_parse_u64(v->found, v->max, &port) || port < v->min) {
            return ERR_MALFORMED;
        }
        out->items[out->num_items++] = (uint16_t)port;
    }
    return ERR_OK;
}

enum err conf_value_users(struct conf_value *v, void *field)
{
    struct conf_users *out = field;
    struct items items = begin_items(v);
    memset(out, 0, sizeof *out);
    v->conf->local_users_file = conf_copy(v->arena, slice_make(NULL, 0));
    if (v->text.len != 0 && v->text.ptr[0] == '/') {
        return conf_value_path(v, &v->conf->local_users_file);
    }
    out->items = arena_take(v->arena, count_items(v) * sizeof *out->items);
    if (out->items == NULL || v->conf->local_users_file == NULL) {
        return ERR_NO_MEMORY;
    }
    while (next_item(v, &items)) {
        enum err err = items.item.overflow ? ERR_MALFORMED : conf_user_add(out, v->arena, v->found);
        if (err != ERR_OK) {
            return err;
        }
    }
    return ERR_OK;
}

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

/* Takes each item to where it stands among the others, in room for all of them. */
static void *take_items(struct conf_value *v, uint32_t *out_num, size_t item_len,
                        enum err (*take)(struct conf_value *v, void *item), enum err *out_err)
{
    uint8_t *room = arena_take(v->arena, count_items(v) * item_len);
    struct items items = begin_items(v);
    *out_num = 0;
    *out_err = room == NULL ? ERR_NO_MEMORY : ERR_OK;
    while (*out_err == ERR_OK && next_item(v, &items)) {
        *out_err = items.item.overflow ? ERR_MALFORMED : take(v, room + (*out_num)++ * item_len);
    }
    return room;
}

static enum err take_host(struct conf_value *v, void *item)
{
    return hostlist_parse_item(v->found, item) ? ERR_OK : ERR_MALFORMED;
}

enum err conf_value_hosts(struct conf_value *v, void *field)
{
    struct hostlist *out = field;
    enum err err;
    out->items = take_items(v, &out->num_items, sizeof *out->items, take_host, &err);
    return err;
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

static enum err take_peer(struct conf_value *v, void *item)
{
    struct peerlist_item *out = item;
    if (!peerlist_parse_item(v->found, out)) {
        return ERR_MALFORMED;
    }
    return !out->is_name || copy_lower(v->arena, &out->name.name) ? ERR_OK : ERR_NO_MEMORY;
}

enum err conf_value_peers(struct conf_value *v, void *field)
{
    struct peerlist *out = field;
    enum err err;
    out->items = take_items(v, &out->num_items, sizeof *out->items, take_peer, &err);
    return err;
}

static enum err take_domain(struct conf_value *v, void *item)
{
    struct domainlist_item *out = item;
    if (!domainlist_parse_item(v->found, out)) {
        return ERR_MALFORMED;
    }
    return copy_lower(v->arena, &out->name) ? ERR_OK : ERR_NO_MEMORY;
}

enum err conf_value_domains(struct conf_value *v, void *field)
{
    struct domainlist *out = field;
    enum err err;
    out->items = take_items(v, &out->num_items, sizeof *out->items, take_domain, &err);
    return err;
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

static enum err take_interface(struct conf_value *v, void *item)
{
    memset(item, 0, sizeof(struct conf_interface));
    return parse_interface(v->found, item) ? ERR_OK : ERR_MALFORMED;
}

enum err conf_value_interfaces(struct conf_value *v, void *field)
{
    struct conf_interfaces *out = field;
    enum err err;
    out->items = take_items(v, &out->num_items, sizeof *out->items, take_interface, &err);
    return err;
}

static enum err take_port(struct conf_value *v, void *item)
{
    uint16_t *out = item;
    uint64_t port;
    if (!text_parse_u64(v->found, v->max, &port) || port < v->min) {
        return ERR_MALFORMED;
    }
    *out = (uint16_t)port;
    return ERR_OK;
}

enum err conf_value_ports(struct conf_value *v, void *field)
{
    struct conf_ports *out = field;
    enum err err;
    out->items = take_items(v, &out->num_items, sizeof *out->items, take_port, &err);
    return err;
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

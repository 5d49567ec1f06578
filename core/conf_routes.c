/* The value of route_list: see conf_value.h; what it becomes is in route_item.h.
 *
 *     value     = item *(";" item)
 *     item      = domain-pattern 1*SP transport
 *     transport = "maildir" / "mx" / "discard-with-bounce"
 *               / ("lmtp:" / "smtp:" / "smtps:") host *("," [scheme] host)
 *     host      = (domain / address / "[" address "]") [":" port] / socket-path ; of lmtp only */
#include "address.h"
#include "conf_build.h"
#include "conf_parse.h"
#include "conf_value.h"
#include "port.h"
#include "text.h"

struct transport {
    const char *word; /* with a colon: hosts follow */
    uint8_t kind;     /* enum route_kind */
    uint16_t port;    /* where none is named; 0: one is to be named */
    bool implicit_tls;
};

static const struct transport transports[] = {
    {"maildir", ROUTE_TO_MAILDIR, 0, false}, {"mx", ROUTE_TO_MX, 0, false},
    {"lmtp:", ROUTE_TO_LMTP, 0, false},      {"smtp:", ROUTE_TO_SMTP, 25, false},
    {"smtps:", ROUTE_TO_SMTP, 465, true},    {"discard-with-bounce", ROUTE_TO_NOWHERE, 0, false},
};

/* Cuts *in behind the first c; *out is what stands in front of it, or all if there is none. */
static bool cut(struct slice *in, uint8_t c, struct slice *out)
{
    const uint8_t *end = in->len == 0 ? NULL : memchr(in->ptr, c, in->len);
    slice_take(in, end == NULL ? in->len : (size_t)(end - in->ptr), out);
    return end != NULL && slice_skip(in, 1);
}

/* A word with a colon is the begin of the text, one without is all of it. */
static const struct transport *take_transport(struct slice *in)
{
    for (size_t i = 0; i < sizeof transports / sizeof transports[0]; i++) {
        struct slice word = slice_of_string(transports[i].word), rest = *in, head;
        bool is_prefix = word.ptr[word.len - 1] == ':';
        if (slice_take(&rest, word.len, &head) && text_equal_nocase(head, word) &&
            (is_prefix || rest.len == 0)) {
            *in = rest;
            return &transports[i];
        }
    }
    return NULL;
}

static bool parse_host(struct slice text, const struct transport *by, struct route_host *out)
{
    struct net_addr addr;
    uint64_t port = by->port;
    memset(out, 0, sizeof *out);
    out->implicit_tls = by->implicit_tls;
    out->is_socket = by->kind == ROUTE_TO_LMTP && text.len != 0 && text.ptr[0] == '/';
    if (out->is_socket) {
        out->name = text;
        return text.len <= PORT_LOCAL_PATH_MAX;
    }
    bool is_bracketed = text.len != 0 && text.ptr[0] == '[' && slice_skip(&text, 1);
    if (is_bracketed && (!cut(&text, ']', &out->name) || !net_addr_parse(out->name, &addr) ||
                         (text.len != 0 && text.ptr[0] != ':'))) {
        return false;
    }
    bool has_port = is_bracketed ? slice_skip(&text, 1) : cut(&text, ':', &out->name);
    if (has_port && !text_parse_u64(text, UINT16_MAX, &port)) {
        return false;
    }
    out->port = (uint16_t)port;
    return port != 0 && (is_bracketed || address_is_host(out->name));
}

static enum err parse_hosts(struct conf_value *v, struct slice text, const struct transport *by,
                            struct route_item *out)
{
    size_t num = 1;
    for (size_t i = 0; i < text.len; i++) {
        num += text.ptr[i] == ',';
    }
    out->hosts = arena_take(v->arena, num * sizeof *out->hosts);
    if (out->hosts == NULL) {
        return ERR_NO_MEMORY;
    }
    for (bool more = true; more;) {
        struct route_host *host = &out->hosts[out->num_hosts];
        more = cut(&text, ',', &v->found);
        v->found = conf_trim(v->found);
        struct slice name = v->found, after = name;
        const struct transport *other = take_transport(&after);
        if (other != NULL && after.len != 0) {
            by = other;
            name = after;
        }
        if (by->kind != out->kind || !parse_host(name, by, host)) {
            return ERR_MALFORMED;
        }
        const char *copy = conf_copy(v->arena, host->name);
        if (copy == NULL) {
            return ERR_NO_MEMORY;
        }
        host->name = slice_of_string(copy);
        out->num_hosts++;
    }
    return ERR_OK;
}

static enum err parse_item(struct conf_value *v, struct slice text, struct route_item *out)
{
    struct slice pattern, rest = text;
    size_t len = 0;
    while (len < text.len && text.ptr[len] != ' ' && text.ptr[len] != '\t') {
        len++;
    }
    slice_take(&rest, len, &pattern);
    rest = conf_trim(rest);
    v->found = text;
    memset(out, 0, sizeof *out);
    if (!domainlist_parse_item(pattern, &out->pattern) || out->pattern.is_excluded) {
        return ERR_MALFORMED;
    }
    const char *copy = conf_copy(v->arena, out->pattern.name);
    if (copy == NULL) {
        return ERR_NO_MEMORY;
    }
    out->pattern.name = slice_of_string(copy);
    const struct transport *by = take_transport(&rest);
    if (by == NULL) {
        return ERR_MALFORMED;
    }
    v->lacks = conf_lacks(slice_of_string(by->word));
    if (v->lacks != NULL) {
        return ERR_UNSUPPORTED;
    }
    out->kind = (enum route_kind)by->kind;
    bool has_hosts = out->kind == ROUTE_TO_LMTP || out->kind == ROUTE_TO_SMTP;
    return has_hosts ? parse_hosts(v, rest, by, out) : ERR_OK;
}

enum err conf_value_routes(struct conf_value *v, void *field)
{
    struct route_list *out = field;
    struct slice rest = v->text, item;
    size_t num = 1;
    for (size_t i = 0; i < rest.len; i++) {
        num += rest.ptr[i] == ';';
    }
    out->items = arena_take(v->arena, num * sizeof *out->items);
    out->num_items = 0;
    if (out->items == NULL) {
        return ERR_NO_MEMORY;
    }
    for (bool more = true; more;) {
        more = cut(&rest, ';', &item);
        item = conf_trim(item);
        if (item.len == 0) {
            continue;
        }
        enum err err = parse_item(v, item, &out->items[out->num_items]);
        if (err != ERR_OK) {
            return err;
        }
        out->num_items++;
    }
    return ERR_OK;
}

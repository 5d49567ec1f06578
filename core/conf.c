/* Reading a configuration: see conf.h. */
#include "conf.h"

#include "budget.h"
#include "conf_build.h"
#include "conf_nearest.h"
#include "conf_parse.h"
#include "conf_report.h"
#include "conf_value.h"

#define USER_FORM \
    "names of letters, digits, '.', '-' and '_', the first no '.', or the path of a file"
#define ROUTE_FORM                                                                     \
    "DOMAIN TRANSPORT, where TRANSPORT is maildir, mx, lmtp:HOST:PORT, lmtp:/SOCKET, " \
    "smtp:HOST, smtps:HOST or discard-with-bounce; ';' between items, ',' between hosts"
#define LIST_NOTE "; a list begins with '<;' if there are colons in it"

/* Small, as there are many: it is flash. */
struct option {
    const char *name;
    const char *text; /* the default */
    enum err (*parse)(struct conf_value *v, void *field);
    uint32_t max;
    uint16_t min;
    uint16_t offset; /* of the field */
};

static const struct option options[NUM_CONF_OPTIONS] = {
#define GROUP(title)
#define OPTION(field, type, name, text, min, max, help) \
    {name, text, conf_value_##type, max, min, offsetof(struct conf, field)},
#include "conf.def"
#undef OPTION
#undef GROUP
};

/* What a value is expected to be; NULL: a number, size or time, told with its bounds. */
static const struct {
    enum err (*parse)(struct conf_value *v, void *field);
    const char *text;
} expectations[] = {
    {conf_value_name, "a domain name in ASCII"},
    {conf_value_path, "an absolute path of at most 255 bytes"},
    {conf_value_socket, "an absolute path of at most 107 bytes"},
    {conf_value_sni_path, "an absolute path of at most 255 bytes with no variable but $tls_in_sni"},
    {conf_value_maildir, "an absolute path with no variables but $local_part and $domain"},
    {conf_value_hosts, "an address, ADDRESS/BITS with zeros behind these bits, or *" LIST_NOTE},
    {conf_value_peers,
     "a host's name, *.DOMAIN, an address, ADDRESS/BITS with zeros behind these bits, "
     "or *" LIST_NOTE},
    {conf_value_domains, "a domain, *.DOMAIN, @ or *"},
    {conf_value_interfaces, "an address, ADDRESS.PORT or [ADDRESS]:PORT" LIST_NOTE},
    {conf_value_ports, "port numbers, 0 to 65535"},
    {conf_value_users, USER_FORM},
    {conf_value_routes, ROUTE_FORM},
    {conf_value_yes_no, "yes or no"},
    {conf_value_clock, "yes or auto"},
    {conf_value_log, "stderr or syslog"},
    {conf_value_fetch, "no, aia, or a URL that begins with http://"},
    {conf_value_http_url, "a URL that begins with http://"},
    {conf_value_http_method, "POST or GET"},
    {conf_value_level, "error, warning, info or debug"},
};

struct reader {
    struct conf *conf;
    struct arena *arena;
    const struct conf_env *env;
    struct conf_report report;
    bool is_out_of_memory;
};

const char *conf_option_name(enum conf_option option)
{
    return options[option].name;
}

static bool find_option(struct slice name, size_t *out)
{
    for (size_t i = 0; i < NUM_CONF_OPTIONS; i++) {
        if (slice_equal(name, slice_of_string(options[i].name))) {
            *out = i;
            return true;
        }
    }
    return false;
}

/* What conf.def counts min and max in, as a power of two. */
static unsigned unit(const struct option *o)
{
    return o->parse == conf_value_size ? 16 : 0;
}

static void put_range(struct buf *b, const char *what, const struct option *o,
                      void (*put)(struct buf *b, uint64_t value))
{
    buf_put_string(b, what);
    buf_put_string(b, " from ");
    put(b, (uint64_t)o->min << unit(o));
    buf_put_string(b, " to ");
    put(b, (uint64_t)o->max << unit(o));
}

static void put_number(struct buf *b, uint64_t value)
{
    text_put_u64(b, value);
}

static void put_expected(struct buf *b, const struct option *o)
{
    for (size_t i = 0; i < sizeof expectations / sizeof expectations[0]; i++) {
        if (expectations[i].parse == o->parse) {
            buf_put_string(b, expectations[i].text);
            return;
        }
    }
    if (o->parse == conf_value_number) {
        put_range(b, "a number", o, put_number);
    } else if (o->parse == conf_value_size) {
        put_range(b, "a size", o, conf_report_size);
    } else {
        put_range(b, "a time", o, conf_report_time);
        buf_put_string(b, ", such as 5m or 1h30m");
    }
}

static void report_memory(struct reader *r)
{
    buf_put_string(conf_report_begin(&r->report, 0, NULL), "more than there is memory for");
    conf_report_end(&r->report);
    r->is_out_of_memory = true;
}

static void put_lack(struct buf *b, const char *part)
{
    buf_put_string(b, "this build has no ");
    buf_put_string(b, part);
}

static void report_value(struct reader *r, const struct option *o, uint32_t line_number,
                         const struct conf_value *v, enum err err)
{
    struct buf *b = conf_report_begin(&r->report, line_number, o->name);
    buf_put_string(b, "found ");
    conf_report_quote(b, v->found);
    if (err == ERR_EXISTS) {
        buf_put_string(b, " a second time");
    } else if (err == ERR_UNSUPPORTED) {
        buf_put_string(b, ", but ");
        put_lack(b, v->lacks);
    } else {
        /* All other defaults are right. */
        buf_put_string(b, line_number == 0 ? " as this machine's name, expected " : ", expected ");
        put_expected(b, o);
    }
    conf_report_end(&r->report);
}

static void set_option(struct reader *r, const struct option *o, uint32_t line_number,
                       struct slice text)
{
    struct conf_value v;
    v.conf = r->conf;
    v.arena = r->arena;
    v.text = text;
    v.min = (uint64_t)o->min << unit(o);
    v.max = (uint64_t)o->max << unit(o);
    v.found = text;
    enum err err = o->parse(&v, (uint8_t *)r->conf + o->offset);
    if (err == ERR_NO_MEMORY) {
        report_memory(r);
    } else if (err != ERR_OK) {
        report_value(r, o, line_number, &v, err);
    }
}

static void report_unknown(struct reader *r, const struct conf_line *line)
{
    struct buf *b = conf_report_begin(&r->report, line->line_number, NULL);
    const char *nearest = conf_nearest(line->name);
    buf_put_string(b, "there is no option ");
    conf_report_quote(b, line->name);
    if (nearest != NULL) {
        buf_put_string(b, "; perhaps ");
        buf_put_string(b, nearest);
    }
    conf_report_end(&r->report);
}

_Static_assert(CONF_LINE_MAX == 4096, "as conf_parse_line and the manual say");

static void report_mistake(struct reader *r, const struct conf_line *line)
{
    struct buf *b = conf_report_begin(&r->report, line->line_number, NULL);
    buf_put_string(b, "found ");
    conf_report_quote(b, line->name);
    buf_put_string(b, ", expected ");
    buf_put_string(b, line->mistake);
    conf_report_end(&r->report);
}

static void read_line(struct reader *r, const struct conf_line *line)
{
    size_t i;
    if (line->mistake != NULL) {
        report_mistake(r, line);
        return;
    }
    if (!find_option(line->name, &i)) {
        report_unknown(r, line);
        return;
    }
    if (r->conf->lines[i] != 0) {
        struct buf *b = conf_report_begin(&r->report, line->line_number, options[i].name);
        buf_put_string(b, "set a second time, first in line ");
        text_put_u64(b, r->conf->lines[i]);
        conf_report_end(&r->report);
        return;
    }
    const char *lack = conf_lacks(line->name);
    if (lack != NULL) {
        put_lack(conf_report_begin(&r->report, line->line_number, options[i].name), lack);
        conf_report_end(&r->report);
        return;
    }
    r->conf->lines[i] = (uint16_t)(line->line_number < UINT16_MAX ? line->line_number : UINT16_MAX);
    set_option(r, &options[i], line->line_number, line->value);
}

/* Lines are put together at the end of the arena, where nothing stays. */
static void read_lines(struct reader *r, struct slice text)
{
    struct conf_text lines = {text, 0};
    struct conf_line line;
    struct buf joined = buf_make(r->arena->ptr + r->arena->len, CONF_LINE_MAX);
    while (!r->is_out_of_memory && conf_parse_line(&lines, &joined, &line)) {
        read_line(r, &line);
    }
}

static void set_defaults(struct reader *r)
{
    for (size_t i = 0; i < NUM_CONF_OPTIONS && !r->is_out_of_memory; i++) {
        struct slice text = slice_of_string(options[i].text);
        if (r->conf->lines[i] == 0) {
            set_option(r, &options[i], 0, i == CONF_primary_hostname ? r->env->hostname : text);
        }
    }
}

bool conf_has_port(const struct conf_ports *ports, uint16_t port)
{
    for (uint32_t i = 0; i < ports->num_items; i++) {
        if (ports->items[i] == port) {
            return true;
        }
    }
    return false;
}

struct slice conf_own_domain(const struct conf *c)
{
    struct slice host = c->primary_hostname;
    bool is_short = memchr(host.ptr, '.', host.len) == NULL;
    bool is_local = domainlist_match(&c->local_domains, host);
    for (uint32_t i = 0; i < c->local_domains.num_items && !is_local; i++) {
        const struct domainlist_item *item = &c->local_domains.items[i];
        const struct domainlist_item below = {item->name, DOMAIN_SUBDOMAINS, false};
        if (item->kind == DOMAIN_EXACT && domainlist_match(&c->local_domains, item->name) &&
            (is_short || domainlist_item_matches(&below, host))) {
            return item->name;
        }
    }
    return host;
}

static void add_listener(struct conf *c, const struct net_addr *addr, uint16_t port)
{
    struct conf_listener *l = &c->listeners[c->num_listeners++];
    l->path = NULL;
    l->at = *addr;
    l->at.port = port;
    l->is_implicit_tls = conf_has_port(&c->tls_on_connect_ports, port);
}

/* It stands in the spool's directory unless an option says otherwise. */
static bool place_control(struct conf *c, struct arena *a)
{
    uint8_t bytes[CONF_PATH_MAX + sizeof "/control"];
    struct buf path = buf_make(bytes, sizeof bytes);
    if (*c->control_socket != 0) {
        return true;
    }
    buf_put_string(&path, c->spool_directory);
    buf_put_string(&path, "/control");
    c->control_socket = conf_copy(a, buf_slice(&path));
    return c->control_socket != NULL;
}

static bool make_listeners(struct conf *c, struct arena *a)
{
    const struct conf_ports *ports = &c->daemon_smtp_ports;
    size_t num = 0;
    for (uint32_t i = 0; i < c->local_interfaces.num_items; i++) {
        num += c->local_interfaces.items[i].has_port ? 1 : ports->num_items;
    }
    c->listeners = arena_take(a, (num + 1) * sizeof *c->listeners);
    if (c->listeners == NULL) {
        return false;
    }
    if (*c->submit_socket != 0) {
        c->listeners[c->num_listeners++] = (struct conf_listener){.path = c->submit_socket};
    }
    for (uint32_t i = 0; i < c->local_interfaces.num_items; i++) {
        const struct conf_interface *at = &c->local_interfaces.items[i];
        if (at->has_port) {
            add_listener(c, &at->addr, at->addr.port);
            continue;
        }
        for (uint32_t k = 0; k < ports->num_items; k++) {
            add_listener(c, &at->addr, ports->items[k]);
        }
    }
    return true;
}

static void name_primary(const struct conf *c, struct domainlist_item *item)
{
    if (item->kind == DOMAIN_PRIMARY) {
        item->name = c->primary_hostname;
    }
}

/* What depends on more than one option. */
static bool finish(struct reader *r)
{
    struct conf *c = r->conf;
    for (uint32_t i = 0; i < c->local_domains.num_items; i++) {
        name_primary(c, &c->local_domains.items[i]);
    }
    for (uint32_t i = 0; i < c->relay_to_domains.num_items; i++) {
        name_primary(c, &c->relay_to_domains.items[i]);
    }
    for (uint32_t i = 0; i < c->route_list.num_items; i++) {
        name_primary(c, &c->route_list.items[i].pattern);
    }
    if (*c->remote_tls_verify_certificates == 0) {
        c->remote_tls_verify_certificates = c->tls_verify_certificates;
    }
    if (*c->tls_privatekey == 0) {
        c->tls_privatekey = c->tls_certificate;
    }
    if (!place_control(c, r->arena) || !make_listeners(c, r->arena)) {
        report_memory(r);
        return false;
    }
    return true;
}

enum err conf_read(struct conf *out, struct arena *a, struct slice text, const struct conf_env *env,
                   struct buf *errors)
{
    size_t used_before = a->used;
    struct reader r = {out, a, env, conf_report_make(errors, env->file), false};
    memset(out, 0, sizeof *out);
    if (a->len - a->used < CONF_LINE_MAX) {
        report_memory(&r);
        return ERR_NO_MEMORY;
    }
    a->len -= CONF_LINE_MAX;
    read_lines(&r, text);
    set_defaults(&r);
    a->len += CONF_LINE_MAX;
    bool is_right = r.report.num == 0 && finish(&r);
    if (!is_right) {
        a->used = used_before;
        return r.is_out_of_memory ? ERR_NO_MEMORY : ERR_MALFORMED;
    }
    return ERR_OK;
}

enum conf_reach conf_reach(const struct conf *c)
{
    bool is_local = c->log_file_path == CONF_LOG_SYSLOG || c->auth_dovecot_socket[0] != '\0';
    if (c->ocsp_fetch.kind != CONF_FETCH_NO) {
        return CONF_REACH_ALL;
    }
    for (uint32_t i = 0; i < c->route_list.num_items; i++) {
        const struct route_item *item = &c->route_list.items[i];
        if (item->kind == ROUTE_TO_MX) {
            return CONF_REACH_ALL;
        }
        for (uint32_t k = 0; k < item->num_hosts; k++) {
            if (!item->hosts[k].is_socket) {
                return CONF_REACH_ALL;
            }
            is_local = true;
        }
    }
    return is_local ? CONF_REACH_LOCAL : CONF_REACH_NOBODY;
}

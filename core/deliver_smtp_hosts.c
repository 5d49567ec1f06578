/* From a destination to a connection: mail exchangers, hosts, addresses, one after the other; two
 * addresses at once where the first is slow (RFC 8305 5). See deliver_smtp_inside.h. */
#include "deliver_smtp_inside.h"

#define SMTP_PORT          25
#define NEXT_ATTEMPT_MS    250
#define CONNECT_TIMEOUT_MS 30000
#define TRIES_MAX          16     /* addresses of one job, before it waits */
#define TRIES_MS           600000 /* of which none is begun later than that */

static const struct port_net *net_of(const struct deliver_smtp *d)
{
    return &d->env.port->net;
}

static void drop(struct deliver_smtp *d, uint32_t *handle)
{
    if (*handle != 0) {
        net_of(d)->close(net_of(d)->ctx, *handle);
        *handle = 0;
    }
}

void remote_drop_handles(struct deliver_smtp *d, struct remote_conn *c)
{
    for (size_t i = 0; i < REMOTE_ATTEMPTS; i++) {
        drop(d, &c->attempts[i].handle);
    }
    drop(d, &c->handle);
    lookup_io_close(&c->names);
    remote_tls_end(d, c);
}

static struct lookup_files files_of(const struct deliver_smtp *d)
{
    return (struct lookup_files){d->env.resolv_conf_path, d->env.hosts_path};
}

/* What the session needs later is free while a name is looked up: the longer half of it, as an
 * answer by TCP that does not fit is none. */
static struct lookup_memory memory_of(const struct deliver_smtp *d, struct remote_conn *c)
{
    return (struct lookup_memory){buf_make(c->out_bytes, sizeof c->out_bytes), d->scratch};
}

/* What took recipients of ours, and broke then, or has refused this message, may take others. */
void remote_give_up(struct deliver_smtp *d, struct remote_conn *c)
{
    bool has_failed = c->why != DELIVER_NONE; /* else it was only out of time */
    if (has_failed && c->client.num_rcpts_answered == 0 && !c->has_refused &&
        deliver_reason_row((enum deliver_reason)c->why)->status[0] == 4 &&
        !remote_dest_is_full(d, c)) {
        remote_dest_failed(d, c->dest, (enum deliver_reason)c->why);
    }
    remote_end_job(d, c);
    remote_free(d, c);
}

static void fail(struct deliver_smtp *d, struct remote_conn *c, enum deliver_reason why)
{
    c->why = (uint8_t)why;
    remote_give_up(d, c);
}

/* --- Mail exchangers --- */

/* Equal preferences in the order of a lot (RFC 5321 5.1). */
static void shuffle(const struct deliver_smtp *d, struct dns_mx_list *mx)
{
    uint8_t lots[DNS_MX_MAX] = {0};
    (void)d->env.port->entropy.fill(d->env.port->entropy.ctx, lots, sizeof lots);
    for (size_t begin = 0, end; begin < mx->num; begin = end) {
        for (end = begin + 1; end < mx->num; end++) {
            if (mx->hosts[end].preference != mx->hosts[begin].preference) {
                break;
            }
            size_t other = begin + lots[end] % (end - begin + 1);
            struct dns_mx kept = mx->hosts[end];
            mx->hosts[end] = mx->hosts[other];
            mx->hosts[other] = kept;
        }
    }
}

static struct slice mx_name(const struct dns_mx *mx)
{
    return slice_make(mx->name, mx->len);
}

/* Drops ourselves and whatever is no better than we are (RFC 5321 5.1). */
static void drop_worse(const struct deliver_smtp *d, struct dns_mx_list *mx)
{
    for (size_t i = 0; i < mx->num; i++) {
        if (!text_equal_nocase(mx_name(&mx->hosts[i]), d->env.hostname)) {
            continue;
        }
        uint16_t own = mx->hosts[i].preference;
        while (mx->num != 0 && mx->hosts[mx->num - 1].preference >= own) {
            mx->num--;
        }
        return;
    }
}

static void first_host(struct deliver_smtp *d, struct remote_conn *c);

static void mx_found(struct deliver_smtp *d, struct remote_conn *c)
{
    struct slice domain = remote_dest_domain(c->dest);
    switch (c->names.lookup.result) {
    case DNS_OK:
        break;
    case DNS_NO_ADDRESS: /* the domain itself is the only one (RFC 5321 5.1) */
        c->mx.num = 1;
        c->mx.hosts[0].preference = 0;
        c->mx.hosts[0].len = (uint8_t)domain.len;
        memcpy(c->mx.hosts[0].name, domain.ptr, domain.len);
        break;
    case DNS_NO_NAME:
        fail(d, c, DELIVER_NO_DOMAIN);
        return;
    default:
        fail(d, c, DELIVER_NO_NAME_SERVER);
        return;
    }
    if (c->mx.is_null || c->mx.num == 0) {
        fail(d, c, c->mx.is_null ? DELIVER_NULL_MX : DELIVER_NO_MX_HOST);
        return;
    }
    drop_worse(d, &c->mx);
    if (c->mx.num == 0) {
        fail(d, c, DELIVER_LOOP);
        return;
    }
    shuffle(d, &c->mx);
    first_host(d, c);
}

/* --- Hosts --- */

static bool has_host(const struct remote_conn *c, uint32_t index)
{
    struct remote_host host;
    return remote_dest_is_mx(c->dest) ? index < c->mx.num : remote_dest_host(c->dest, index, &host);
}

static bool take_host(struct remote_conn *c)
{
    uint32_t index = c->next_host++;
    if (!remote_dest_is_mx(c->dest)) {
        return remote_dest_host(c->dest, index, &c->host);
    }
    if (index >= c->mx.num) {
        return false;
    }
    c->host = (struct remote_host){.name = mx_name(&c->mx.hosts[index]), .port = SMTP_PORT};
    return true;
}

static void connect_on(struct deliver_smtp *d, struct remote_conn *c)
{
    c->phase = REMOTE_CONNECT;
    c->next_attempt_ms = 0;
    c->deadline_ms = UINT64_MAX;
    remote_wake(d, c);
}

/* A path has one address, which no lookup knows. */
static void begin_socket(struct deliver_smtp *d, struct remote_conn *c)
{
    c->names.lookup = (struct lookup){.num_addrs = 1};
    c->some_host_exists = true;
    c->next_addr = 0;
    connect_on(d, c);
}

static bool may_try(const struct deliver_smtp *d, const struct remote_conn *c)
{
    return !d->is_stopping && c->num_tries < TRIES_MAX &&
           d->now.now_ms - c->job->begun_ms < TRIES_MS;
}

/* A host that would not do, but may be there some other time, is to be waited for, whatever those
 * behind it say. */
static void end_host(struct remote_conn *c)
{
    bool is_absent = c->why == DELIVER_NO_HOST && remote_dest_is_mx(c->dest);
    if (c->why != DELIVER_NONE && !is_absent && !remote_takes_nothing(c)) {
        c->waits_for = c->why;
    }
}

static void next_host(struct deliver_smtp *d, struct remote_conn *c)
{
    end_host(c);
    bool is_late = !may_try(d, c);
    if (is_late || !take_host(c)) {
        c->dest->first_host = is_late ? c->next_host : 0;
        if (!c->some_host_exists && c->why == DELIVER_NO_HOST && remote_dest_is_mx(c->dest)) {
            c->why = DELIVER_NO_MX_HOST;
        }
        remote_give_up(d, c);
        return;
    }
    c->addr.family = NET_NONE; /* that is the last one's */
    c->job->shown.host.len = 0;
    c->job->shown.addr.family = NET_NONE;
    if (c->host.is_socket) {
        begin_socket(d, c);
        return;
    }
    c->phase = REMOTE_NAMES;
    const struct lookup_files files = files_of(d);
    const struct lookup_memory memory = memory_of(d, c);
    lookup_io_begin(&c->names, c->host.name, &files, &d->cache, &memory, d->now.now_ms);
    remote_wake(d, c);
}

/* Behind those that have used up the time of the job before, if there are any: else the worse ones
 * would never be asked. Only once, as these may be well again. */
static void first_host(struct deliver_smtp *d, struct remote_conn *c)
{
    uint32_t first = c->dest->first_host;
    c->dest->first_host = 0;
    if (first != 0 && has_host(c, first)) {
        c->next_host = first;
        c->some_host_exists = true;
        c->waits_for = DELIVER_TIMEOUT;
    }
    next_host(d, c);
}

static void host_found(struct deliver_smtp *d, struct remote_conn *c)
{
    enum dns_result result = c->names.lookup.result;
    if (result == DNS_OK) {
        c->some_host_exists = true;
        c->next_addr = 0;
        connect_on(d, c);
        return;
    }
    bool is_absent = result == DNS_NO_NAME || result == DNS_NO_ADDRESS;
    c->some_host_exists = c->some_host_exists || !is_absent;
    c->why = is_absent ? DELIVER_NO_HOST : DELIVER_NO_NAME_SERVER;
    c->has_answer = false;
    remote_report_try(d, c);
    next_host(d, c);
}

/* [192.0.2.1] or [IPv6:...] in the place of a domain: that host (RFC 5321 4.1.3). */
static bool is_literal(struct slice domain, struct slice *out)
{
    static const char tag[] = "ipv6:";
    if (domain.len < 2 || domain.ptr[0] != '[' || domain.ptr[domain.len - 1] != ']') {
        return false;
    }
    *out = slice_make(domain.ptr + 1, domain.len - 2);
    if (out->len > sizeof tag - 1 && memcmp(out->ptr, tag, sizeof tag - 1) == 0) {
        slice_skip(out, sizeof tag - 1);
    }
    return true;
}

void remote_begin(struct deliver_smtp *d, struct remote_conn *c)
{
    struct slice domain = remote_dest_domain(c->dest), literal;
    c->next_host = c->num_tries = c->client.num_rcpts_answered = 0;
    c->why = c->waits_for = DELIVER_NONE;
    c->has_answer = c->some_host_exists = c->without_tls = c->is_reused = c->has_refused = false;
    c->deadline_ms = UINT64_MAX; /* each part of it has its own */
    if (!remote_dest_is_mx(c->dest)) {
        first_host(d, c);
        return;
    }
    if (is_literal(domain, &literal)) {
        c->mx.num = 1;
        c->mx.hosts[0].len = (uint8_t)literal.len;
        memcpy(c->mx.hosts[0].name, literal.ptr, literal.len);
        next_host(d, c);
        return;
    }
    c->phase = REMOTE_MX;
    const struct lookup_files files = files_of(d);
    const struct lookup_memory memory = memory_of(d, c);
    lookup_io_begin_mx(&c->names, domain, &files, &c->mx, &memory);
    remote_wake(d, c);
}

/* --- Addresses --- */

static enum deliver_reason reason_of(enum err err)
{
    switch (err) {
    case ERR_REFUSED:
    case ERR_ABSENT: /* of a socket */
    case ERR_DENIED:
        return DELIVER_REFUSED;
    case ERR_UNREACHABLE:
    case ERR_UNSUPPORTED:
        return DELIVER_UNREACHABLE;
    case ERR_TIMEOUT:
        return DELIVER_TIMEOUT;
    case ERR_NO_HANDLE:
    case ERR_NO_MEMORY:
        return DELIVER_NO_RESOURCES;
    default:
        return DELIVER_NO_CONNECTION;
    }
}

static void note_failure(struct deliver_smtp *d, struct remote_conn *c, const struct net_addr *to,
                         enum err err)
{
    c->addr = *to;
    c->why = (uint8_t)reason_of(err);
    c->has_answer = false;
    remote_report_try(d, c);
}

static void attempt(struct deliver_smtp *d, struct remote_conn *c, size_t slot)
{
    const struct port_net *net = net_of(d);
    struct net_addr to = c->names.lookup.addrs[c->next_addr++];
    uint32_t handle = 0;
    net_addr_unmap(&to); /* the system would: lists are about what is called */
    to.port = c->host.port;
    c->num_tries++;
    enum err err = c->host.is_socket
                       ? net->connect_local(net->ctx, &handle, (const char *)c->host.name.ptr)
                       : net->connect(net->ctx, &handle, &to);
    c->attempts[slot].handle = err == ERR_OK ? handle : 0;
    if (err == ERR_OK) {
        err = net->watch(net->ctx, handle, false, true, c->names.tag);
    }
    if (err != ERR_OK) {
        drop(d, &c->attempts[slot].handle);
        note_failure(d, c, &to, err);
        return;
    }
    c->attempts[slot].to = to;
    c->attempts[slot].deadline_ms = d->now.now_ms + CONNECT_TIMEOUT_MS;
    c->next_attempt_ms = d->now.now_ms + NEXT_ATTEMPT_MS;
}

/* To be tried next. */
static void put_back(struct remote_conn *c, const struct net_addr *to)
{
    if (c->next_addr != 0) {
        c->names.lookup.addrs[--c->next_addr] = *to;
    }
}

static void connected(struct deliver_smtp *d, struct remote_conn *c, size_t slot)
{
    c->handle = c->attempts[slot].handle;
    c->without_tls = c->without_tls && net_addr_same_host(&c->addr, &c->attempts[slot].to);
    c->addr = c->attempts[slot].to;
    c->attempts[slot].handle = 0;
    for (size_t i = 0; i < REMOTE_ATTEMPTS; i++) {
        if (c->attempts[i].handle != 0) {
            put_back(c, &c->attempts[i].to);
            drop(d, &c->attempts[i].handle);
        }
    }
    remote_session_begin(d, c);
}

/* Looks at each attempt under way; true if one has succeeded. */
static bool look_at_attempts(struct deliver_smtp *d, struct remote_conn *c)
{
    for (size_t i = 0; i < REMOTE_ATTEMPTS; i++) {
        if (c->attempts[i].handle == 0) {
            continue;
        }
        enum err err = net_of(d)->connect_result(net_of(d)->ctx, c->attempts[i].handle);
        if (err == ERR_OK) {
            connected(d, c, i);
            return true;
        }
        if (err == ERR_AGAIN && d->now.now_ms < c->attempts[i].deadline_ms) {
            continue;
        }
        drop(d, &c->attempts[i].handle);
        note_failure(d, c, &c->attempts[i].to, err == ERR_AGAIN ? ERR_TIMEOUT : err);
        c->next_attempt_ms = 0;
    }
    return false;
}

static bool has_more_addrs(const struct deliver_smtp *d, const struct remote_conn *c)
{
    return c->next_addr < c->names.lookup.num_addrs && may_try(d, c);
}

static void await_attempts(struct deliver_smtp *d, struct remote_conn *c)
{
    uint64_t at_ms = UINT64_MAX;
    bool has_free = false;
    for (size_t i = 0; i < REMOTE_ATTEMPTS; i++) {
        bool is_free = c->attempts[i].handle == 0;
        has_free = has_free || is_free;
        if (!is_free && c->attempts[i].deadline_ms < at_ms) {
            at_ms = c->attempts[i].deadline_ms;
        }
    }
    if (has_free && has_more_addrs(d, c) && c->next_attempt_ms < at_ms) {
        at_ms = c->next_attempt_ms;
    }
    remote_look_again(d, c, at_ms > d->now.now_ms ? at_ms - d->now.now_ms : 0);
}

static void connect_turn(struct deliver_smtp *d, struct remote_conn *c)
{
    if (look_at_attempts(d, c)) {
        return;
    }
    for (size_t i = 0; i < REMOTE_ATTEMPTS; i++) {
        while (c->attempts[i].handle == 0 && has_more_addrs(d, c) &&
               d->now.now_ms >= c->next_attempt_ms) {
            attempt(d, c, i);
        }
    }
    if (c->attempts[0].handle == 0 && c->attempts[1].handle == 0) {
        next_host(d, c);
        return;
    }
    await_attempts(d, c);
}

static void lookup_turn(struct deliver_smtp *d, struct remote_conn *c)
{
    bool done;
    enum err err = lookup_io_step(&c->names, d->now.now_ms, &done);
    if (done) {
        if (c->phase == REMOTE_MX) {
            mx_found(d, c);
        } else {
            host_found(d, c);
        }
        return;
    }
    if (err == ERR_OK) {
        remote_wake(d, c);
    } else if (err == ERR_AGAIN) {
        uint64_t at_ms = c->names.lookup.deadline_ms;
        remote_look_again(d, c, at_ms > d->now.now_ms ? at_ms - d->now.now_ms : 0);
    } else {
        fail(d, c, DELIVER_NO_RESOURCES);
    }
}

void remote_find_turn(struct deliver_smtp *d, struct remote_conn *c)
{
    c->timed_out = false;
    if (c->phase == REMOTE_CONNECT) {
        connect_turn(d, c);
    } else {
        lookup_turn(d, c);
    }
}

bool remote_has_next(const struct remote_conn *c)
{
    return c->next_addr < c->names.lookup.num_addrs || has_host(c, c->next_host);
}

void remote_try_failed(struct deliver_smtp *d, struct remote_conn *c, enum deliver_reason why)
{
    c->why = (uint8_t)why;
    remote_report_try(d, c);
    remote_drop_handles(d, c);
    c->without_tls = c->is_reused = false;
    connect_on(d, c);
}

void remote_try_again(struct deliver_smtp *d, struct remote_conn *c)
{
    remote_drop_handles(d, c);
    put_back(c, &c->addr);
    connect_on(d, c);
}

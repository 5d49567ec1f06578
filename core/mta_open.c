/* From options to a running server, and back: memory, services in their order, the end. */
#include "deliver_maildir.h"
#include "mta_inside.h"
#include "resolv_conf.h"

#define NUM_TIMERS \
    (BUDGET_CONNECTIONS + BUDGET_REMOTE_CONNECTIONS + BUDGET_LOGINS + BUDGET_CONTROLS + 1 + 1 + 3)

#define NUM_OUTCOMES (BUDGET_DELIVERIES * 8 + BUDGET_REMOTE_CONNECTIONS * 2)
_Static_assert(NUM_OUTCOMES < BUDGET_SEGMENT_LEN / 4096 - 2,
               "a page each, in one segment (SPOOL.md)");

/* Sized by the budget, and by the options that count at start. */
static struct spool_conf spool_conf_of(uint64_t spool_size)
{
    return (struct spool_conf){
        .segment_len = BUDGET_SEGMENT_LEN,
        .max_unsynced = BUDGET_SEGMENT_LEN,
        .size_limit = spool_size,
        .max_messages = BUDGET_MESSAGES + NUM_OUTCOMES, /* some have ended, not yet durably */
        .max_txns = BUDGET_TRANSACTIONS + BUDGET_REPORTS,
        .reserved_len = spool_size / 32,
        .max_outcomes = NUM_OUTCOMES,
    };
}

#define ENVELOPE_ROOM_LEN 16384 /* beside a message, for its envelope and our own fields */

uint64_t mta_message_max(uint64_t spool_size, uint32_t write_unit_len)
{
    struct spool_conf conf = spool_conf_of(spool_size);
    return spool_message_max(&conf, write_unit_len) - ENVELOPE_ROOM_LEN;
}

static const struct queue_limits queue_limits = {
    .num_messages = BUDGET_MESSAGES,
    .num_mail_jobs = BUDGET_DELIVERIES,
    .num_rounds = BUDGET_ROUNDS,
    .num_items = BUDGET_REPORT_RCPTS,
    .num_reports = BUDGET_REPORTS,
};

struct part {
    const char *what;
    size_t item_len;
    uint32_t num;
};

/* What stands in the arena beside the parts of the spool and the queue. */
static const struct part parts[] = {
    {"server", sizeof(struct mta), 1},
#define POOL(field, type, num, what) {what, sizeof(type), num},
#include "budget.def"
#undef POOL
    {"ocsp fetch", sizeof(struct fetch_target), FETCH_TARGETS},
    {"ocsp fetch buffer", FETCH_MEMORY_LEN, 1},
    {"timers", sizeof(struct timer *), NUM_TIMERS},
    {"rates", sizeof(struct rate), BUDGET_RATES},
    {"file buffer", BUDGET_SCRATCH_LEN, 1},
    {"tls heap", BUDGET_TLS_HEAP_LEN, 1},
};

#define NUM_PARTS  (sizeof parts / sizeof parts[0])
#define PART_SLACK 64 /* for alignment */

static size_t part_len(const struct part *p)
{
    return pool_memory_len(p->item_len, p->num) + PART_SLACK;
}

size_t mta_memory_len(uint64_t spool_size, uint32_t write_unit_len)
{
    struct spool_conf spool_conf = spool_conf_of(spool_size);
    size_t len = spool_memory_len(&spool_conf, write_unit_len) + queue_memory_len(&queue_limits) +
                 deliver_smtp_memory_len();
    for (size_t i = 0; i < NUM_PARTS; i++) {
        len += part_len(&parts[i]);
    }
    return len;
}

static void put_row(struct buf *out, const char *what, uint32_t num, size_t item_len, size_t len)
{
    buf_put_string(out, what);
    buf_put_string(out, ": ");
    text_put_u64(out, num);
    buf_put_string(out, " x ");
    text_put_u64(out, item_len);
    buf_put_string(out, " = ");
    text_put_u64(out, len);
    buf_put_string(out, " bytes\n");
}

/* What a message takes while it waits, beside its envelope on disk. */
static size_t message_len(uint64_t spool_size, uint32_t write_unit_len)
{
    struct spool_conf conf = spool_conf_of(spool_size);
    size_t spool_len = spool_memory_len(&conf, write_unit_len);
    conf.max_messages = 1;
    spool_len -= spool_memory_len(&conf, write_unit_len);
    return (spool_len + BUDGET_MESSAGES - 1) / BUDGET_MESSAGES + queue_message_len(&queue_limits);
}

void mta_put_budget(struct buf *out, uint64_t spool_size, uint32_t write_unit_len)
{
    struct spool_conf spool_conf = spool_conf_of(spool_size);
    size_t spool_len = spool_memory_len(&spool_conf, write_unit_len);
    for (size_t i = 0; i < NUM_PARTS; i++) {
        put_row(out, parts[i].what, parts[i].num, parts[i].item_len, part_len(&parts[i]));
    }
    put_row(out, "spool", 1, spool_len, spool_len);
    put_row(out, "queue", 1, queue_memory_len(&queue_limits), queue_memory_len(&queue_limits));
    put_row(out, "sending", 1, deliver_smtp_memory_len(), deliver_smtp_memory_len());
    put_row(out, "a message that waits", BUDGET_MESSAGES, message_len(spool_size, write_unit_len),
            (size_t)BUDGET_MESSAGES * message_len(spool_size, write_unit_len));
    buf_put_string(out, "all: ");
    text_put_u64(out, mta_memory_len(spool_size, write_unit_len));
    buf_put_string(out, " bytes\n");
}

static enum err open_memory(struct mta *m, struct arena *a)
{
    bool fits = timers_init(&m->timers, a, NUM_TIMERS);
#define POOL(field, type, num, what) fits = fits && pool_init(&m->field, a, sizeof(type), num);
#include "budget.def"
#undef POOL
    m->scratch = arena_take(a, BUDGET_SCRATCH_LEN);
    m->log_limit.rates = (struct rates){.items = m->log_limit.items, .num_items = LOG_PEERS};
    m->rates.num_items = BUDGET_RATES;
    m->rates.items = arena_take(a, BUDGET_RATES * sizeof *m->rates.items);
    fits = fits && m->rates.items != NULL;
    fits = fits && fetch_open(m, a) == ERR_OK;
    return fits && m->scratch != NULL ? ERR_OK : ERR_NO_MEMORY;
}

/* A file beside the spool; too long a path is empty. */
static void put_path(char *into, size_t cap, const struct site *site, const char *name)
{
    struct buf path = buf_make(into, cap);
    buf_put_string(&path, site->conf.spool_directory);
    buf_put_string(&path, name);
    if (!buf_end_string(&path)) {
        into[0] = 0;
    }
}

static enum err open_services(struct mta *m, struct arena *a)
{
    uint8_t *seed = (uint8_t *)&m->rates.seed;
    enum err seeded = m->port->entropy.fill(m->port->entropy.ctx, seed, sizeof m->rates.seed);
    if (seeded != ERR_OK) {
        return seeded;
    }
    const struct port *port = m->port;
    struct spool_conf spool_conf = spool_conf_of(m->site->conf.spool_size);
    enum err err = spool_open(&m->spool, &spool_conf, &port->store, &port->entropy, &port->log, a);
    if (err != ERR_OK) {
        return err;
    }
    err = remote_open(m, a);
    if (err != ERR_OK) {
        return err;
    }
    put_path(m->running_path, sizeof m->running_path, m->site, "/running-time");
    put_path(m->held_path, sizeof m->held_path, m->site, "/held-messages");
    running_time_open(&m->running, port, m->running_path);
    struct queue_env env = {
        .timers = &m->timers,
        .spool = m->spool,
        .port = port,
        .conf = &m->site->conf,
        .running = &m->running,
        .wall = &m->wall,
        .remote = &remote_for_queue,
        .smtp = m->remote,
        .held_path = m->held_path,
        .timer_kind = TIMER_QUEUE,
        .tag_mark = TAG_QUEUE,
    };
    return queue_open(&m->queue, a, &env, &queue_limits);
}

static void complain(struct buf *errors, const char *what, enum err err)
{
    buf_put_string(errors, what);
    buf_put_string(errors, ": ");
    buf_put_string(errors, err_name(err));
    buf_put_string(errors, "\n");
}

/* False: it is not usable. */
static bool put_unusable(struct buf *out, const char *option, const char *path, enum err err)
{
    if (err != ERR_OK) {
        buf_put_string(out, option);
        buf_put_string(out, " ");
        text_put_escaped(out, slice_of_string(path), CONF_PATH_MAX);
        buf_put_string(out, ": cannot be used: ");
        buf_put_string(out, err_name(err));
        buf_put_string(out, "\n");
    }
    return err == ERR_OK;
}

/* Whether each segment may be opened: the directory alone may have been given to the server. And
 * how long they are together, as far as that goes. */
static enum err check_segments(const struct mta *m, uint64_t *out_len)
{
    const struct port_store *store = &m->port->store;
    uint32_t *ids = (uint32_t *)(void *)m->scratch, handle;
    const size_t cap = BUDGET_SCRATCH_LEN / sizeof *ids;
    size_t num = 0;
    uint64_t len;
    *out_len = 0;
    enum err err = store->list(store->ctx, ids, cap, &num);
    for (size_t i = 0; i < num && i < cap && err == ERR_OK; i++) {
        err = store->open_segment(store->ctx, &handle, &len, ids[i]);
        if (err == ERR_OK) {
            *out_len += len;
            store->close_segment(store->ctx, handle);
        } else if (err == ERR_ABSENT) {
            err = ERR_OK; /* the server that runs has removed it */
        }
    }
    return err;
}

/* A spool shrinks while it is open, and is opened only with about what it has grown to; false: it
 * is not with this size. One that has room for less is opened. */
static bool put_size_check(const struct mta *m, struct buf *out)
{
    const struct port_store *store = &m->port->store;
    const uint64_t mib = UINT64_C(1) << 20;
    struct spool_conf conf = spool_conf_of(m->site->conf.spool_size);
    size_t num_segs = 0;
    (void)store->list(store->ctx, NULL, 0, &num_segs); /* others say what is wrong with it */
    uint64_t wanted = spool_wanted_size(&conf, num_segs);
    uint64_t free_len = store->free_len(store->ctx), room;
    (void)check_segments(m, &room); /* an earlier version's may be longer than ours */
    room += free_len;
    if (wanted != 0) {
        buf_put_string(out, "spool_size: expected at least ");
        text_put_u64(out, (wanted + mib - 1) / mib);
        buf_put_string(out, "M, as spool_directory has ");
        text_put_u64(out, num_segs);
        buf_put_string(out, " segments, made when it was larger\n");
    } else if (room < conf.size_limit) {
        buf_put_string(out, "spool_size: expected at most ");
        text_put_u64(out, room / mib);
        buf_put_string(out, "M, for which there is room on the partition of spool_directory\n");
    }
    return wanted == 0;
}

enum wall_trust site_trust(const struct site *site)
{
    return site->conf.clock_trusted == CONF_CLOCK_YES ? WALL_TRUST_YES : WALL_TRUST_AUTO;
}

static void open_clock(struct mta *m, const struct site *site)
{
    put_path(m->floor_path, sizeof m->floor_path, site, "/clock-floor");
    wall_time_open(&m->wall, m->port, site_trust(site), m->floor_path, m->start->build_time_s);
}

/* Everything but listeners and the spool. */
static enum err open_site(struct mta *m, struct arena *a, struct buf *errors)
{
    enum err err = open_memory(m, a);
    if (err != ERR_OK) {
        complain(errors, "memory", err);
        return err;
    }
    m->accept_timer.kind = TIMER_ACCEPT;
    m->heap_timer.kind = TIMER_HEAP;
    m->staple_timer.kind = TIMER_STAPLE;
    err = site_load(m, &m->sites[0], errors);
    if (err != ERR_OK) {
        return err;
    }
    m->message_max = mta_message_max(m->sites[0].conf.spool_size, m->port->store.write_unit_len);
    open_clock(m, &m->sites[0]);
    err = site_open_tls(m, &m->sites[0], a, errors);
    if (err != ERR_OK) {
        return err;
    }
    site_use_first(m, &m->sites[0]);
    return ERR_OK;
}

static struct mta *make(struct arena *a, const struct port *port, const struct mta_start *start)
{
    struct mta *m = arena_take(a, sizeof *m);
    if (m != NULL) {
        m->port = port;
        m->start = start;
        m->now_ms = port->clock.monotonic_ms(port->clock.ctx);
        m->started_ms = m->now_ms;
    }
    return m;
}

enum err mta_open(struct mta **out, struct arena *a, const struct port *port,
                  const struct mta_start *start, struct buf *errors)
{
    struct mta *m = make(a, port, start);
    *out = NULL;
    if (m == NULL) {
        complain(errors, "memory", ERR_NO_MEMORY);
        return ERR_NO_MEMORY;
    }
    enum err err = open_site(m, a, errors);
    if (err == ERR_OK) {
        err = mta_listen(m, &m->site->conf, errors);
    }
    if (err == ERR_OK) {
        mta_listen_only(m, &m->site->conf);
        err = open_services(m, a);
        if (err != ERR_OK && (err != ERR_TOO_BIG || put_size_check(m, errors))) {
            put_unusable(errors, "spool_directory", m->site->conf.spool_directory, err);
        }
    }
    if (err != ERR_OK) {
        mta_close_listeners(m);
        site_close_tls(m);
        return err;
    }
    control_open(m);
    outbox_use(m, &m->site->conf);
    m->more_to_do = true; /* recovery */
    *out = m;
    return ERR_OK;
}

void mta_spool_ready(struct mta *m, enum err err)
{
    struct log_line line;
    if (err != ERR_OK) {
        log_begin(&line, "spool");
        log_word(&line, "result", "unusable");
        log_word(&line, "reason", err_name(err));
        report_line(m, LOG_ERROR, &line);
        m->result = err;
        mta_stop(m);
        return;
    }
    m->spool_ready = true;
    dovecot_wake(m);
    queue_begin(&m->queue, buf_make(m->scratch, BUDGET_SCRATCH_LEN));
    mta_accept_all(m);
    mta_report_listeners(m);
    log_begin(&line, "start");
    log_word(&line, "version", m->start->version);
    log_slice(&line, "hostname", m->smtp_env.hostname);
    log_u64(&line, "messages", queue_num_messages(&m->queue));
    report_line(m, LOG_INFO, &line);
    report_message_size(m);
}

void mta_close(struct mta *m)
{
    struct log_line line;
    uint32_t cursor = 0;
    struct conn *c;
    log_begin(&line, "stop");
    log_u64(&line, "cut", m->conns.num_used);
    log_u64(&line, "connections", m->stats.num_connections);
    log_u64(&line, "refused", m->stats.num_refused);
    log_u64(&line, "handshakes", m->stats.num_handshakes);
    log_u64(&line, "received", m->stats.num_messages);
    log_u64(&line, "waiting", queue_num_messages(&m->queue));
    log_u64(&line, "delivered", m->queue.counts.num_delivered);
    report_line(m, LOG_INFO, &line);
    while ((c = pool_each(&m->conns, &cursor)) != NULL) {
        m->port->net.close(m->port->net.ctx, c->handle);
    }
    dovecot_close(m);
    mta_close_listeners(m);
    control_close(m);
    outbox_close(m);
    deliver_smtp_close(m->remote);
    site_close_tls(m);
    wall_time_close(&m->wall);
    running_time_close(&m->running, m->now_ms);
}

enum err mta_result(const struct mta *m)
{
    return m->result;
}

static bool exists(const struct mta *m, const char *path)
{
    const struct port_files *files = &m->port->files;
    struct port_stamp stamp = {{0}};
    return files->stamp(files->ctx, &stamp, path) == ERR_OK && stamp.words[3] != 0;
}

/* A directory, or a socket's path, in whose way a file would stand. The server makes the directory,
 * but not what it is to be in. */
static bool put_place_check(const struct mta *m, struct buf *out, enum conf_option option,
                            const char *path, bool is_dir)
{
    const struct port_files *files = &m->port->files;
    char inside[CONF_PATH_MAX + sizeof "/control/x"];
    struct buf b = buf_make(inside, sizeof inside);
    buf_put_string(&b, path);
    buf_put_string(&b, is_dir ? "/x" : "/."); /* of a directory alone there is such a thing */
    if (path[0] == '\0' || !buf_end_string(&b)) {
        return true;
    }
    enum err err = files->can_replace(files->ctx, is_dir ? inside : path);
    if (!is_dir && exists(m, path)) {
        err = err == ERR_NOT_A_FILE && !exists(m, inside) ? ERR_OK : ERR_EXISTS;
    }
    size_t len = strlen(path) - !is_dir;
    if (!is_dir && len >= PORT_LOCAL_PATH_MAX) { /* one in the spool's directory, which may be */
        err = ERR_TOO_BIG;
    }
    while (inside[len] != '/') {
        len--;
    }
    inside[len] = '\0';
    if (err == ERR_ABSENT && !exists(m, inside)) {
        err = files->can_replace(files->ctx, inside);
        err = err == ERR_DENIED && m->start->is_root ? ERR_OK : err;
    }
    return put_unusable(out, conf_option_name(option), path, err);
}

static bool put_places_check(const struct mta *m, struct buf *out)
{
    const struct conf *c = &m->site->conf;
    bool is_usable = put_place_check(m, out, CONF_spool_directory, c->spool_directory, true);
    if (is_usable && exists(m, c->spool_directory)) {
        uint64_t len;
        enum err err = check_segments(m, &len);
        is_usable = put_unusable(out, "spool_directory", c->spool_directory, err);
    }
    is_usable = is_usable && put_place_check(m, out, CONF_control_socket, c->control_socket, false);
    is_usable = put_place_check(m, out, CONF_submit_socket, c->submit_socket, false) && is_usable;
    return put_place_check(m, out, CONF_outbox_directory, c->outbox_directory, true) && is_usable;
}

/* Whether a file could be made in new/ of a Maildir, or in the nearest directory above it that is
 * there. Those above made_len bytes are there when the server runs. */
static enum err check_maildir(const struct port_files *files, char *path, size_t made_len)
{
    size_t len = strlen(path);
    enum err err = files->can_replace(files->ctx, path);
    while (err == ERR_ABSENT) {
        while (len > 0 && path[len - 1] != '/') {
            len--;
        }
        if (len <= 1) {
            break;
        }
        path[--len] = '\0';
        if (len < made_len) {
            return ERR_OK;
        }
        err = files->can_replace(files->ctx, path);
    }
    return err;
}

static void put_message_check(const struct mta *m, struct buf *out)
{
    if (m->site->conf.message_size_limit > m->message_max) {
        buf_put_string(out, "message_size_limit: is more than the spool can hold of one message; ");
        text_put_u64(out, m->message_max);
        buf_put_string(out, " bytes are then the limit\n");
    }
}

/* Whether strangers may relay: those of the addresses for examples, as which nobody connects; or
 * anybody to a domain that nobody has (RFC 2606). */
static void put_relay_check(const struct mta *m, struct buf *out)
{
    static const struct net_addr strangers[] = {{NET_IPV4, {198, 51, 100, 1}, 0},
                                                {NET_IPV6, {0x20, 0x01, 0x0d, 0xb8, 0xff}, 0}};
    const struct hostlist *hosts = &m->site->conf.relay_from_hosts;
    bool to_all = domainlist_match(&m->site->conf.relay_to_domains, SLICE_LITERAL("invalid"));
    if (to_all || hostlist_match(hosts, &strangers[0]) || hostlist_match(hosts, &strangers[1])) {
        buf_put_string(out, to_all ? "relay_to_domains" : "relay_from_hosts");
        buf_put_string(out, ": anybody on the Internet may send mail to anybody by this server\n");
    }
}

/* What is an option, and not what was meant: ports of no use, as another one is missing; a name
 * that other servers take for none. */
static void put_options_check(const struct mta *m, struct buf *out)
{
    const struct conf *c = &m->site->conf;
    struct net_addr addr;
    if (net_addr_parse(c->primary_hostname, &addr)) {
        buf_put_string(out, "primary_hostname: expected an address in brackets\n");
    }
    bool has_logins = c->auth_users_file[0] != 0 || c->auth_dovecot_socket[0] != 0;
    if (c->submission_ports.num_items != 0 && !has_logins && c->relay_from_hosts.num_items == 0 &&
        c->relay_from_certificates[0] == 0) {
        buf_put_string(out, "submission_ports: nobody may send there without "
                            "auth_users_file or auth_dovecot_socket\n");
    }
}

/* The files about names, as they are read to send mail: one that cannot be read counts as empty. */
static void put_resolv_check(const struct mta *m, struct buf *out)
{
    const struct port_files *files = &m->port->files;
    const char *const paths[] = {m->start->hosts_path, m->start->resolv_conf_path};
    struct resolv_conf servers = {.num_servers = 0};
    for (size_t i = 0; conf_reach(&m->site->conf) == CONF_REACH_ALL && i < 2; i++) {
        size_t len = 0;
        enum err err = paths[i] == NULL
                           ? ERR_ABSENT
                           : files->read(files->ctx, &len, paths[i], m->scratch, BUDGET_PIECE_LEN);
        put_unusable(out, "names", paths[i], err == ERR_ABSENT ? ERR_OK : err);
        resolv_conf_parse(slice_make(m->scratch, err == ERR_OK && i == 1 ? len : 0), &servers);
    }
    if (servers.unknown.len != 0) {
        buf_put_string(out, m->start->resolv_conf_path);
        buf_put_string(out, ": nameserver ");
        text_put_escaped(out, servers.unknown, 64);
        buf_put_string(out, " is not asked: expected an address, without a zone\n");
    }
}

/* The first user whose mail would have to wait. */
static bool put_maildir_check(const struct mta *m, struct buf *out)
{
    const struct conf *conf = &m->site->conf;
    size_t made_len = 0;
    char path[MAILDIR_PATH_CAP + sizeof "/new/x"];
    enum err err = ERR_OK;
    while (m->start->is_root && conf->maildir[made_len] != '\0' && conf->maildir[made_len] != '$') {
        made_len++;
    }
    for (uint32_t i = 0; i < conf->local_users.num_items && err == ERR_OK; i++) {
        struct buf b = buf_make(path, sizeof path);
        if (route_put_maildir(&b, conf, conf->local_users.items[i], conf->primary_hostname) &&
            buf_put_string(&b, "/new/x") && buf_end_string(&b)) {
            err = check_maildir(&m->port->files, path, made_len);
        }
    }
    return put_unusable(out, "maildir", path, err);
}

enum err mta_check(struct arena *a, const struct port *port, const struct mta_start *start,
                   struct buf *out)
{
    struct mta *m = make(a, port, start);
    if (m == NULL) {
        complain(out, "memory", ERR_NO_MEMORY);
        return ERR_NO_MEMORY;
    }
    m->is_check = true;
    enum err err = open_site(m, a, out);
    if (err == ERR_OK) {
        site_put_check(m, out);
        bool is_usable = put_places_check(m, out);
        err = put_size_check(m, out) ? ERR_OK : ERR_TOO_BIG;
        put_message_check(m, out);
        put_relay_check(m, out);
        put_options_check(m, out);
        put_resolv_check(m, out);
        is_usable = put_maildir_check(m, out) && is_usable;
        buf_put_string(out, is_usable && err == ERR_OK
                                ? "configuration: ok\n"
                                : "configuration: what cannot be used stands above\n");
        site_close_tls(m);
    }
    return err;
}

/* Listeners, and who is let in: limits in all and per client address. */
#include "mta_inside.h"

#define ACCEPTS_PER_EVENT 16

/* Whether we hold the port at another address, of which this one may be a part: 0.0.0.0 holds all.
 */
static bool holds_port(const struct mta *m, const struct conf_listener *wanted)
{
    for (uint32_t i = 0; i < BUDGET_LISTENERS; i++) {
        const struct listener *l = &m->listeners[i];
        if (l->handle != 0 && !l->is_new && l->path[0] == '\0' && l->at.port == wanted->at.port) {
            return wanted->path == NULL;
        }
    }
    return false;
}

static void complain(const struct mta *m, struct buf *errors, const struct conf_listener *wanted,
                     enum err err)
{
    buf_put_string(errors, wanted->path != NULL ? "submit_socket " : "listen on ");
    if (wanted->path != NULL) {
        text_put_escaped(errors, slice_of_string(wanted->path), PORT_LOCAL_PATH_MAX);
    } else {
        net_addr_put(errors, &wanted->at);
        buf_put_string(errors, " port ");
        text_put_u64(errors, wanted->at.port);
    }
    buf_put_string(errors, ": ");
    bool lacks_group = wanted->path != NULL && err == ERR_MALFORMED;
    buf_put_string(errors, lacks_group              ? "submit_socket_group: there is no such group"
                           : err == ERR_UNREACHABLE ? "no address of this machine"
                                                    : err_name(err));
    if (err == ERR_IN_USE && holds_port(m, wanted)) {
        buf_put_string(errors, " by this server itself, at another address: a restart is needed");
    }
    buf_put_string(errors, "\n");
}

static bool is_at(const struct listener *l, const struct conf_listener *wanted)
{
    if (wanted->path != NULL) {
        return strcmp(l->path, wanted->path) == 0;
    }
    return l->path[0] == '\0' && net_addr_same_host(&l->at, &wanted->at) &&
           l->at.port == wanted->at.port;
}

static struct listener *find_listener(struct mta *m, const struct conf_listener *wanted)
{
    for (uint32_t i = 0; i < BUDGET_LISTENERS; i++) {
        if (m->listeners[i].handle != 0 && is_at(&m->listeners[i], wanted)) {
            return &m->listeners[i];
        }
    }
    return NULL;
}

static enum err listen_local(struct mta *m, struct listener *l, const struct conf *conf)
{
    const char *group = conf->submit_socket_group;
    struct port_local at = {.path = conf->submit_socket,
                            .group = group,
                            .access = group[0] != '\0' ? PORT_GROUP : PORT_EVERYBODY};
    memcpy(l->path, at.path, strlen(at.path) + 1); /* conf has seen to its length */
    return m->port->net.listen_local(m->port->net.ctx, &l->handle, &at);
}

static enum err add_listener(struct mta *m, const struct conf *conf,
                             const struct conf_listener *wanted)
{
    const struct port_net *net = &m->port->net;
    for (uint32_t i = 0; i < BUDGET_LISTENERS; i++) {
        struct listener *l = &m->listeners[i];
        if (l->handle != 0) {
            continue;
        }
        enum err err = wanted->path != NULL ? listen_local(m, l, conf)
                                            : net->listen(net->ctx, &l->handle, &wanted->at);
        if (err == ERR_OK) {
            err = net->watch(net->ctx, l->handle, m->spool_ready, false, TAG_LISTENER | i);
            l->at = wanted->at;
            l->tls_on_connect = wanted->is_implicit_tls;
            l->is_wanted = true;
            l->is_new = true;
        } else {
            memset(l, 0, sizeof *l);
        }
        return err;
    }
    return ERR_NO_HANDLE;
}

static void close_listener(struct mta *m, struct listener *l)
{
    if (l->handle != 0) {
        m->port->net.close(m->port->net.ctx, l->handle);
        memset(l, 0, sizeof *l);
    }
}

/* Opens what is wanted and not there yet. Nothing that was there is touched. */
static enum err open_wanted(struct mta *m, const struct conf *conf, struct buf *errors)
{
    enum err worst = ERR_OK;
    uint32_t num_listening = 0;
    for (uint32_t i = 0; i < conf->num_listeners; i++) {
        const struct conf_listener *wanted = &conf->listeners[i];
        struct listener *l = find_listener(m, wanted);
        enum err err = ERR_OK;
        if (l == NULL) {
            err = add_listener(m, conf, wanted);
        } else {
            l->is_wanted = true;
        }
        if (err == ERR_OK) {
            num_listening++;
        } else if (err != ERR_UNSUPPORTED) { /* a machine without IPv6 still serves IPv4 */
            complain(m, errors, wanted, err);
            worst = err;
        }
    }
    if (worst == ERR_OK && num_listening == 0) {
        buf_put_string(errors, "local_interfaces: none of these addresses can be listened on\n");
        worst = ERR_UNSUPPORTED;
    }
    return worst;
}

enum err mta_listen(struct mta *m, const struct conf *conf, struct buf *errors)
{
    for (uint32_t i = 0; i < BUDGET_LISTENERS; i++) {
        m->listeners[i].is_wanted = false;
        m->listeners[i].is_new = false;
    }
    enum err err = open_wanted(m, conf, errors);
    if (err != ERR_OK) {
        mta_listen_undo(m);
    }
    return err;
}

void mta_listen_only(struct mta *m, const struct conf *conf)
{
    for (uint32_t i = 0; i < BUDGET_LISTENERS; i++) {
        if (!m->listeners[i].is_wanted) {
            close_listener(m, &m->listeners[i]);
        }
    }
    for (uint32_t i = 0; i < conf->num_listeners; i++) {
        struct listener *l = find_listener(m, &conf->listeners[i]);
        if (l != NULL) {
            l->tls_on_connect = conf->listeners[i].is_implicit_tls;
        }
    }
}

void mta_listen_undo(struct mta *m)
{
    for (uint32_t i = 0; i < BUDGET_LISTENERS; i++) {
        if (m->listeners[i].is_new) {
            close_listener(m, &m->listeners[i]);
        }
    }
}

void mta_accept_all(struct mta *m)
{
    for (uint32_t i = 0; i < BUDGET_LISTENERS; i++) {
        if (m->listeners[i].handle != 0) {
            m->port->net.watch(m->port->net.ctx, m->listeners[i].handle, true, false,
                               TAG_LISTENER | i);
        }
    }
}

void mta_close_listeners(struct mta *m)
{
    for (uint32_t i = 0; i < BUDGET_LISTENERS; i++) {
        close_listener(m, &m->listeners[i]);
    }
}

static void report_listener(struct mta *m, const struct listener *l)
{
    struct net_addr at;
    struct log_line line;
    log_begin(&line, "listen");
    if (l->path[0] != '\0') {
        log_peer_text(&line, "path", slice_of_string(l->path));
    } else if (m->port->net.local_addr(m->port->net.ctx, &at, l->handle) == ERR_OK) {
        report_addr(&line, "address", &at);
        log_u64(&line, "port", at.port);
        log_word(&line, "tls",
                 m->site->conf.tls_certificate[0] == '\0' ? "none"
                 : l->tls_on_connect                      ? "on-connect"
                                                          : "starttls");
    }
    report_line(m, LOG_INFO, &line);
}

void mta_report_listeners(struct mta *m)
{
    for (uint32_t i = 0; i < BUDGET_LISTENERS; i++) {
        struct listener *l = &m->listeners[i];
        if (l->handle != 0 && !l->is_told) {
            l->is_told = true;
            report_listener(m, l);
        }
    }
}

static uint32_t num_from(const struct mta *m, const struct net_addr *peer)
{
    uint32_t num = 0, cursor = 0;
    const struct conn *c;
    while ((c = pool_each(&m->conns, &cursor)) != NULL) {
        num += net_addr_same_client(&c->peer, peer);
    }
    return num;
}

bool mta_has_too_many(const struct mta *m, const struct net_addr *peer, uint32_t num)
{
    uint32_t max = m->site->conf.smtp_accept_max_per_host;
    return max != 0 && num_from(m, peer) >= max + num && !BROKEN(CONNECTIONS_UNLIMITED);
}

/* Says why in plain SMTP where that can be understood; the reply is short enough for any socket's
 * buffer, or is lost. */
void mta_say_refusal(struct mta *m, uint32_t handle, bool tls_on_connect, bool is_clients_fault)
{
    struct buf out = buf_make(m->reply_bytes, sizeof m->reply_bytes);
    size_t sent_len;
    if (!tls_on_connect && smtpd_put_refusal(&out, &m->smtp_env, is_clients_fault)) {
        m->port->net.write(m->port->net.ctx, &sent_len, handle, buf_slice(&out));
    }
}

static void report_refused(struct mta *m, const struct net_addr *peer,
                           const struct port_user *local, const char *reason)
{
    struct log_line line;
    m->stats.num_refused++;
    log_begin(&line, "connection");
    report_peer(&line, peer, local);
    log_word(&line, "result", "refused");
    log_word(&line, "reason", reason);
    report_stranger(m, peer, LOG_WARNING, &line);
}

static void refuse(struct mta *m, uint32_t handle, bool tls_on_connect, bool is_clients_fault)
{
    mta_say_refusal(m, handle, tls_on_connect, is_clients_fault);
    m->port->net.close(m->port->net.ctx, handle);
}

static void admit_local(struct mta *m, const struct listener *l, uint32_t handle)
{
    static const struct net_addr nowhere = {.family = NET_NONE};
    struct port_user who = {UINT32_MAX, ""}, *user = NULL;
    enum err err = local_admit(m, handle, &who, &user);
    struct conn *c = NULL;
    if (err == ERR_OK && m->conns.num_used < m->site->conf.smtp_accept_max) {
        c = pool_take(&m->conns);
    }
    if (c == NULL) {
        pool_give(&m->locals, user);
        refuse(m, handle, l->tls_on_connect, err == ERR_NOT_ALLOWED);
        report_refused(m, &nowhere, &who, err == ERR_OK ? "smtp_accept_max" : err_name(err));
        return;
    }
    c->handle = handle;
    c->local = user;
    m->stats.num_connections++;
    conn_open(m, c);
}

static void admit(struct mta *m, const struct listener *l, uint32_t handle,
                  const struct net_addr *peer)
{
    bool is_clients_fault = !proxy_is_expected(m, peer) && mta_has_too_many(m, peer, 0);
    bool is_full = m->conns.num_used >= m->site->conf.smtp_accept_max;
    struct conn *c = is_clients_fault || is_full ? NULL : pool_take(&m->conns);
    if (c == NULL) {
        refuse(m, handle, l->tls_on_connect, is_clients_fault);
        report_refused(m, peer, NULL,
                       is_clients_fault ? "smtp_accept_max_per_host" : "smtp_accept_max");
        return;
    }
    c->handle = handle;
    c->peer = *peer;
    c->local_port = l->at.port;
    c->tls_on_connect = l->tls_on_connect;
    m->stats.num_connections++;
    conn_open(m, c);
}

void mta_accept(struct mta *m, uint32_t index)
{
    if (index >= BUDGET_LISTENERS || m->listeners[index].handle == 0) {
        return;
    }
    const struct port_net *net = &m->port->net;
    struct listener *l = &m->listeners[index];
    for (int i = 0; i < ACCEPTS_PER_EVENT; i++) {
        uint32_t handle;
        struct net_addr peer;
        enum err err = net->accept(net->ctx, &handle, &peer, l->handle);
        if (err == ERR_OK) {
            net_addr_unmap(&peer);
            if (l->path[0] != '\0') {
                admit_local(m, l, handle);
            } else {
                admit(m, l, handle, &peer);
            }
            continue;
        }
        if (err == ERR_NO_HANDLE) {
            net->watch(net->ctx, l->handle, false, false, TAG_LISTENER | index);
            l->again_ms = m->now_ms + ACCEPT_PAUSE_MS;
            timer_set(&m->timers, &m->accept_timer, l->again_ms);
        }
        return;
    }
}

void mta_accept_again(struct mta *m)
{
    control_accept_again(m);
    for (uint32_t i = 0; i < BUDGET_LISTENERS; i++) {
        struct listener *l = &m->listeners[i];
        if (l->handle != 0 && l->again_ms != 0 && l->again_ms <= m->now_ms) {
            l->again_ms = 0;
            m->port->net.watch(m->port->net.ctx, l->handle, true, false, TAG_LISTENER | i);
        }
    }
}

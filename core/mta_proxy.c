/* Connections that a listed balancer passes on: whose they are stands in front (PROXY protocol).
 *
 * Read at the begin, before TLS and SMTP, and exactly as far as it reaches. Until it is there,
 * nothing is said; who sends none, or anything else, is dropped. */
#include "mta_inside.h"
#include "proxy_header.h"

_Static_assert(PROXY_HEADER_MAX <= BUDGET_SLOT_LEN, "a header is read into a slot");

bool proxy_is_expected(const struct mta *m, const struct net_addr *peer)
{
    return hostlist_match(&m->site->conf.hosts_proxy, peer);
}

static void report(struct mta *m, const struct conn *c, const char *reason)
{
    struct log_line line;
    m->stats.num_refused++;
    log_begin(&line, "connection");
    report_addr(&line, "proxy", &c->proxy);
    report_addr(&line, "peer", &c->peer);
    log_word(&line, "result", "refused");
    log_word(&line, "reason", reason);
    report_stranger(m, &c->peer, LOG_WARNING, &line);
}

/* Reads what the header still lacks. ERR_OK: more of it is there. */
static enum err read_more(struct mta *m, struct conn *c, size_t want_len)
{
    size_t len = 0;
    enum err err =
        m->port->net.read(m->port->net.ctx, &len, c->handle, c->in->bytes + c->in->end, want_len);
    c->in->end += (uint32_t)len;
    return err;
}

static void admit(struct mta *m, struct conn *c, const struct net_addr *client)
{
    c->in->begin = c->in->end = 0;
    c->peer = *client;
    net_addr_unmap(&c->peer);
    if (mta_has_too_many(m, &c->peer, 1)) {
        report(m, c, "smtp_accept_max_per_host");
        mta_say_refusal(m, c->handle, c->tls_on_connect, true);
        conn_lose(m, c);
        return;
    }
    conn_begin(m, c);
}

void proxy_turn(struct mta *m, struct conn *c)
{
    if (c->in == NULL) {
        c->in = pool_take(&m->in_slots); /* there are as many as connections */
    }
    while (c->in != NULL) {
        size_t want_len;
        struct net_addr client;
        switch (proxy_header_read(slice_make(c->in->bytes, c->in->end), &want_len, &client)) {
        case PROXY_CLIENT:
            admit(m, c, &client);
            return;
        case PROXY_BALANCER:
            admit(m, c, &c->proxy);
            return;
        case PROXY_MALFORMED:
            report(m, c, "no-proxy-header");
            conn_lose(m, c);
            return;
        case PROXY_MORE:
            break;
        }
        enum err err = read_more(m, c, want_len);
        if (err == ERR_AGAIN) {
            return;
        }
        if (err != ERR_OK) {
            conn_lose(m, c);
            return;
        }
    }
}

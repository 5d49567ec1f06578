/* Simulated datagrams: see sim_udp.h. */
#include "sim_udp.h"

#include <stdlib.h>

#define QUEUE_MAX    64
#define DATAGRAM_MAX 65507

struct datagram {
    struct datagram *next;
    struct net_addr from;
    uint64_t at_ms;
    size_t len;
    uint8_t bytes[];
};

struct sim_udp {
    struct sim_udp *next; /* of the world */
    struct sim_host *host;
    struct net_addr at;
    struct datagram *queue; /* oldest first */
    size_t num_queued;
};

struct sim_udp *sim_udp_new(struct sim_world *w, struct sim_host *h, const struct net_addr *at)
{
    struct sim_udp *s = sim_alloc(sizeof *s);
    s->host = h;
    s->at = *at;
    s->next = w->datagrams;
    w->datagrams = s;
    return s;
}

void sim_udp_close(struct sim_world *w, struct sim_udp *s)
{
    struct sim_udp **at = &w->datagrams;
    while (*at != s) {
        at = &(*at)->next;
    }
    *at = s->next;
    while (s->queue != NULL) {
        struct datagram *d = s->queue;
        s->queue = d->next;
        free(d);
    }
    free(s);
}

void sim_udp_free_all(struct sim_world *w)
{
    while (w->datagrams != NULL) {
        sim_udp_close(w, w->datagrams);
    }
}

void sim_udp_local_addr(const struct sim_udp *s, struct net_addr *out)
{
    *out = s->at;
}

static bool is_loopback(const struct net_addr *a)
{
    static const uint8_t v6[16] = {[15] = 1};
    return a->family == NET_IPV4 ? a->bytes[0] == 127 : memcmp(a->bytes, v6, sizeof v6) == 0;
}

/* IPv4: the host's own; IPv6: fd00:: and the same number. */
static void own_addr(const struct sim_host *h, uint8_t family, struct net_addr *out)
{
    sim_host_addr(h, out);
    if (family == NET_IPV6) {
        *out = (struct net_addr){NET_IPV6, {[0] = 0xfd, [15] = out->bytes[3]}, 0};
    }
}

static bool is_at(const struct sim_udp *s, const struct sim_host *from, const struct net_addr *to)
{
    if (s->at.port != to->port || s->at.family != to->family) {
        return false;
    }
    if (s->host == NULL) {
        return net_addr_same_host(&s->at, to);
    }
    struct net_addr own;
    own_addr(s->host, to->family, &own);
    return net_addr_same_host(&own, to) || (is_loopback(to) && s->host == from);
}

static void queue_datagram(struct sim_world *w, struct sim_udp *to, const struct net_addr *from,
                           struct slice bytes)
{
    struct datagram **last = &to->queue;
    if (to->num_queued == QUEUE_MAX) {
        return; /* lost, as datagrams may be */
    }
    while (*last != NULL) {
        last = &(*last)->next;
    }
    struct datagram *d = sim_alloc(sizeof *d + bytes.len);
    d->from = *from;
    d->at_ms = w->now_ms + sim_net_delay_ms(w);
    d->len = bytes.len;
    if (bytes.len != 0) {
        memcpy(d->bytes, bytes.ptr, bytes.len);
    }
    *last = d;
    to->num_queued++;
}

static void send_to(struct sim_world *w, const struct sim_host *h, const struct net_addr *from,
                    const struct net_addr *to, struct slice bytes)
{
    for (struct sim_udp *s = w->datagrams; s != NULL; s = s->next) {
        if (is_at(s, h, to)) {
            queue_datagram(w, s, from, bytes);
            return;
        }
    }
}

enum err sim_udp_send_from(struct sim_world *w, const struct sim_udp *s, const struct net_addr *to,
                           struct slice bytes)
{
    struct net_addr from = *to;
    if (to->family != s->at.family) {
        return ERR_UNSUPPORTED;
    }
    if (bytes.len > DATAGRAM_MAX) {
        return ERR_TOO_BIG;
    }
    if (!is_loopback(to)) {
        own_addr(s->host, to->family, &from);
    }
    from.port = s->at.port;
    send_to(w, s->host, &from, to, bytes);
    return ERR_OK;
}

bool sim_udp_has_any(const struct sim_udp *s, uint64_t now_ms)
{
    return s->queue != NULL && s->queue->at_ms <= now_ms;
}

enum err sim_udp_receive(struct sim_world *w, struct sim_udp *s, size_t *out_len,
                         struct net_addr *out_from, uint8_t *into, size_t cap)
{
    *out_len = 0;
    if (!sim_udp_has_any(s, w->now_ms)) {
        return ERR_AGAIN;
    }
    struct datagram *d = s->queue;
    enum err e = d->len > cap ? ERR_TOO_BIG : ERR_OK;
    s->queue = d->next;
    s->num_queued--;
    *out_from = d->from;
    if (e == ERR_OK && d->len != 0) {
        *out_len = d->len;
        memcpy(into, d->bytes, d->len);
    }
    free(d);
    return e;
}

uint64_t sim_udp_next_ms(const struct sim_world *w)
{
    uint64_t at_ms = UINT64_MAX;
    for (const struct sim_udp *s = w->datagrams; s != NULL; s = s->next) {
        for (const struct datagram *d = s->queue; d != NULL; d = d->next) {
            if (d->at_ms > w->now_ms && d->at_ms < at_ms) {
                at_ms = d->at_ms;
            }
        }
    }
    return at_ms;
}

/* --- The test's sockets --- */

void sim_datagram_listen(struct sim_world *w, const struct net_addr *at)
{
    sim_udp_new(w, NULL, at);
}

bool sim_datagram_take(struct sim_world *w, const struct net_addr *at, struct net_addr *out_from,
                       size_t *out_len, uint8_t *into, size_t cap)
{
    for (struct sim_udp *s = w->datagrams; s != NULL; s = s->next) {
        if (s->host == NULL && s->at.port == at->port && net_addr_same_host(&s->at, at)) {
            return sim_udp_receive(w, s, out_len, out_from, into, cap) == ERR_OK;
        }
    }
    return false;
}

void sim_datagram_send(struct sim_world *w, const struct net_addr *from, const struct net_addr *to,
                       struct slice bytes)
{
    send_to(w, NULL, from, to, bytes);
}

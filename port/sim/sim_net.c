/* The simulated network: see sim_net.h and sim_net_inside.h. Local connections begin in
 * sim_local.c; what is ready, and when, is in sim_net_ready.c. */
#include "sim_net_inside.h"

#include <stdlib.h>

#define FIRST_FREE_PORT 40000

struct blackhole {
    struct blackhole *next;
    struct net_addr at;
};

struct sim_net {
    struct sim_link link;
    struct sim_listener *listeners;
    struct sim_client *ends;
    struct blackhole *blackholes;
    uint16_t next_port;
    uint8_t num_hosts;
    sim_net_draw draw;
    void *draw_ctx;
    uint64_t num_cut;
};

struct sim_net *sim_net_new(void)
{
    struct sim_net *n = sim_alloc(sizeof *n);
    n->next_port = FIRST_FREE_PORT;
    return n;
}

static void free_listener(struct sim_listener *l)
{
    free(l->path);
    free(l->group);
    free(l);
}

void sim_net_free(struct sim_net *n)
{
    while (n->ends != NULL) {
        struct sim_client *c = n->ends;
        n->ends = c->next;
        sim_pipe_free(&c->in);
        free(c);
    }
    while (n->listeners != NULL) {
        struct sim_listener *l = n->listeners;
        n->listeners = l->next;
        free_listener(l);
    }
    while (n->blackholes != NULL) {
        struct blackhole *b = n->blackholes;
        n->blackholes = b->next;
        free(b);
    }
    free(n);
}

uint64_t sim_net_delay_ms(const struct sim_world *w)
{
    return w->net->link.delay_ms;
}

void sim_net_set_link(struct sim_world *w, const struct sim_link *link)
{
    w->net->link = *link;
}

void sim_net_set_draw(struct sim_world *w, sim_net_draw draw, void *ctx)
{
    w->net->draw = draw;
    w->net->draw_ctx = ctx;
}

uint64_t sim_net_num_cut(const struct sim_world *w)
{
    return w->net->num_cut;
}

static enum sim_fate draw_fate(struct sim_net *n, const struct net_addr *from,
                               const struct net_addr *to, struct sim_link *out, struct sim_link *in)
{
    *out = *in = n->link;
    return n->draw != NULL ? n->draw(n->draw_ctx, from, to, out, in) : SIM_FATE_OPEN;
}

static uint16_t take_port(struct sim_net *n)
{
    n->next_port = n->next_port < FIRST_FREE_PORT ? FIRST_FREE_PORT : n->next_port;
    return n->next_port++;
}

/* --- Ends --- */

static struct sim_client *new_end(struct sim_world *w)
{
    struct sim_client *c = sim_alloc(sizeof *c);
    c->world = w;
    c->in.link = w->net->link;
    c->next = w->net->ends;
    w->net->ends = c;
    return c;
}

static void free_closed(struct sim_net *n)
{
    struct sim_client **at = &n->ends;
    while (*at != NULL) {
        struct sim_client *c = *at;
        if (c->closed && c->peer == NULL) {
            *at = c->next;
            sim_pipe_free(&c->in);
            free(c);
        } else {
            at = &c->next;
        }
    }
}

/* Nobody holds the end any more; the peer reads EOF after what is under way. */
static void close_end(struct sim_world *w, struct sim_client *c)
{
    struct sim_client *peer = c->peer;
    c->closed = true;
    if (peer != NULL && peer->closed) {
        peer->peer = NULL;
        c->peer = NULL;
    } else if (peer != NULL) {
        sim_pipe_end(&peer->in, w);
    }
    free_closed(w->net);
}

static void reset_peer_of(struct sim_client *c)
{
    if (c->peer != NULL) {
        c->peer->reset = true;
    }
}

static enum err read_end(struct sim_world *w, struct sim_client *c, size_t *out_len, uint8_t *into,
                         size_t cap)
{
    *out_len = 0;
    if (c->reset) {
        return ERR_RESET;
    }
    if (cap == 0) {
        return ERR_OK;
    }
    *out_len = sim_pipe_read(&c->in, w, into, cap);
    if (*out_len > 0) {
        return ERR_OK;
    }
    return sim_pipe_is_at_end(&c->in, w->now_ms) ? ERR_EOF : ERR_AGAIN;
}

static enum err write_end(struct sim_world *w, struct sim_client *c, size_t *out_len,
                          struct slice bytes)
{
    *out_len = 0;
    if (c->reset || c->lost_write || c->peer == NULL || c->is_shut) {
        return ERR_RESET;
    }
    if (bytes.len == 0) {
        return ERR_OK;
    }
    if (c->peer->closed) {
        c->lost_write = true;
        *out_len = bytes.len;
        return ERR_OK;
    }
    struct sim_pipe *pipe = &c->peer->in;
    *out_len = sim_pipe_write(pipe, w, bytes);
    pipe->written_len += *out_len;
    if (pipe->link.cut_after_len != 0 && pipe->written_len >= pipe->link.cut_after_len) {
        c->reset = c->peer->reset = true;
        w->net->num_cut++;
    }
    return *out_len > 0 ? ERR_OK : ERR_AGAIN;
}

/* --- Who answers at an address --- */

static bool is_any(const struct net_addr *a)
{
    static const uint8_t zeros[16] = {0};
    return memcmp(a->bytes, zeros, sizeof zeros) == 0;
}

static bool answers(const struct sim_listener *l, const struct net_addr *to,
                    const struct sim_host *from)
{
    if (l->path != NULL || l->at.port != to->port || l->at.family != to->family) {
        return false;
    }
    if (l->host != NULL && net_addr_same_host(&l->host->net->addr, to)) {
        return is_any(&l->at) || net_addr_same_host(&l->at, to);
    }
    if (l->host != NULL && from != NULL && l->host != from) {
        return false;
    }
    return is_any(&l->at) || net_addr_same_host(&l->at, to);
}

struct sim_client *sim_net_ends(const struct sim_world *w)
{
    return w->net->ends;
}

struct sim_listener *sim_net_listeners(const struct sim_world *w)
{
    return w->net->listeners;
}

static struct sim_listener *find_listener(const struct sim_net *n, const struct net_addr *to,
                                          const struct sim_host *from)
{
    for (struct sim_listener *l = n->listeners; l != NULL; l = l->next) {
        if (answers(l, to, from)) {
            return l;
        }
    }
    return NULL;
}

struct sim_listener *sim_net_add_listener(struct sim_world *w, struct sim_host *h,
                                          const struct net_addr *at)
{
    struct sim_listener *l = sim_alloc(sizeof *l);
    l->host = h;
    l->at = *at;
    l->next = w->net->listeners;
    w->net->listeners = l;
    return l;
}

static void remove_listener(struct sim_world *w, struct sim_listener *l)
{
    struct sim_listener **at = &w->net->listeners;
    while (*at != l) {
        at = &(*at)->next;
    }
    *at = l->next;
    while (l->waiting != NULL) {
        struct sim_client *c = l->waiting;
        l->waiting = c->next_waiting;
        reset_peer_of(c);
        close_end(w, c);
    }
    free_listener(l);
}

static struct sim_client *connect_over(struct sim_world *w, struct sim_listener *l,
                                       const struct net_addr *to, const struct net_addr *from,
                                       const struct sim_link *out, const struct sim_link *in)
{
    struct sim_client *near = new_end(w), *far = new_end(w);
    near->in.link = *in;
    far->in.link = *out;
    near->peer = far;
    far->peer = near;
    near->local = *from;
    near->remote = *to;
    far->local = *to;
    far->remote = *from;
    near->connected_at_ms = w->now_ms + out->delay_ms;
    far->connected_at_ms = near->connected_at_ms;
    near->accepted = true;
    struct sim_client **last = &l->waiting;
    while (*last != NULL) {
        last = &(*last)->next_waiting;
    }
    *last = far;
    return near;
}

struct sim_client *sim_net_connect_to(struct sim_world *w, struct sim_listener *l,
                                      const struct net_addr *to, const struct net_addr *from)
{
    return connect_over(w, l, to, from, &w->net->link, &w->net->link);
}

struct sim_client *sim_net_take_waiting(struct sim_world *w, struct sim_listener *l)
{
    struct sim_client *c = l->waiting;
    if (c == NULL || c->connected_at_ms > w->now_ms) {
        return NULL;
    }
    l->waiting = c->next_waiting;
    c->accepted = true;
    return c;
}

/* --- The test's ends --- */

struct sim_client *sim_connect(struct sim_world *w, const struct net_addr *to,
                               const struct net_addr *from)
{
    struct net_addr own = {NET_IPV4, {192, 0, 2, 1}, 0};
    if (from != NULL) {
        own = *from;
    }
    if (own.port == 0) {
        own.port = take_port(w->net);
    }
    struct sim_link out, in;
    struct sim_listener *l = find_listener(w->net, to, NULL);
    if (l == NULL || draw_fate(w->net, &own, to, &out, &in) != SIM_FATE_OPEN) {
        return NULL;
    }
    return connect_over(w, l, to, &own, &out, &in);
}

void sim_listen(struct sim_world *w, const struct net_addr *at)
{
    sim_net_add_listener(w, NULL, at);
}

struct sim_client *sim_accept(struct sim_world *w, const struct net_addr *at)
{
    struct sim_listener *l = find_listener(w->net, at, NULL);
    return l != NULL && l->host == NULL ? sim_net_take_waiting(w, l) : NULL;
}

bool sim_has_waiting(const struct sim_world *w, const struct net_addr *at)
{
    const struct sim_listener *l = find_listener(w->net, at, NULL);
    return l != NULL && l->host == NULL && l->waiting != NULL &&
           l->waiting->connected_at_ms <= w->now_ms;
}

void sim_blackhole(struct sim_world *w, const struct net_addr *at)
{
    struct blackhole *b = sim_alloc(sizeof *b);
    b->at = *at;
    b->next = w->net->blackholes;
    w->net->blackholes = b;
}

size_t sim_client_write(struct sim_client *c, struct slice bytes)
{
    size_t len;
    return write_end(c->world, c, &len, bytes) == ERR_OK ? len : 0;
}

enum err sim_client_read(struct sim_client *c, size_t *out_len, uint8_t *into, size_t cap)
{
    return read_end(c->world, c, out_len, into, cap);
}

size_t sim_client_unread_len(const struct sim_client *c)
{
    if (c->peer == NULL || c->peer->closed || c->peer->reset) {
        return c->peer != NULL && c->peer->in.len == 0 ? 0 : SIZE_MAX;
    }
    return c->peer->in.len;
}

void sim_client_remote(const struct sim_client *c, struct net_addr *out)
{
    *out = c->remote;
}

bool sim_net_break(struct sim_world *w, uint64_t which)
{
    uint64_t num = 0;
    for (int pass = 0; pass < 2; pass++) {
        uint64_t at = 0;
        for (struct sim_client *c = w->net->ends; c != NULL; c = c->next) {
            bool is_open = c->peer != NULL && !c->closed && !c->reset && !c->peer->closed;
            if (is_open && pass == 1 && at == which % num) {
                c->reset = c->peer->reset = true;
                return true;
            }
            at += is_open;
        }
        num = at;
        if (num == 0) {
            return false;
        }
    }
    return false;
}

void sim_client_shutdown(struct sim_client *c)
{
    c->is_shut = true;
    if (c->peer != NULL) {
        sim_pipe_end(&c->peer->in, c->world);
    }
}

void sim_client_reset(struct sim_client *c)
{
    c->reset = true;
    reset_peer_of(c);
}

void sim_client_close(struct sim_client *c)
{
    close_end(c->world, c);
}

bool sim_client_is_accepted(const struct sim_client *c)
{
    return c->peer != NULL && c->peer->accepted;
}

/* --- A host's handles --- */

struct sim_net_slot *sim_net_slot_of(struct sim_host *h, uint32_t handle)
{
    struct sim_net_host *n = h->net;
    if (handle == 0 || handle > n->num_slots) {
        return NULL;
    }
    struct sim_net_slot *s = &n->slots[handle - 1];
    return sim_net_is_used(s) ? s : NULL;
}

uint32_t sim_net_take_handle(struct sim_host *h)
{
    struct sim_net_host *n = h->net;
    if (n->num_used >= n->max_handles) {
        return 0;
    }
    uint32_t i = 0;
    while (i < n->num_slots && sim_net_is_used(&n->slots[i])) {
        i++;
    }
    if (i == n->num_slots) {
        uint32_t num = n->num_slots * 2 + 16;
        n->slots = sim_grow(n->slots, n->num_slots * sizeof *n->slots, num * sizeof *n->slots);
        n->num_slots = num;
    }
    n->num_used++;
    return i + 1;
}

static enum err net_listen(void *ctx, uint32_t *out_handle, const struct net_addr *at)
{
    struct sim_host *h = ctx;
    struct net_addr wanted = *at;
    if (at->family == NET_NONE) {
        return ERR_UNSUPPORTED;
    }
    if (wanted.port == 0) {
        wanted.port = take_port(h->world->net);
    }
    for (const struct sim_listener *l = h->world->net->listeners; l != NULL; l = l->next) {
        if (l->host == h && l->at.port == wanted.port && l->at.family == wanted.family &&
            (is_any(&l->at) || is_any(&wanted) || net_addr_same_host(&l->at, &wanted))) {
            return ERR_IN_USE;
        }
    }
    uint32_t handle = sim_net_take_handle(h);
    if (handle == 0) {
        return ERR_NO_HANDLE;
    }
    h->net->slots[handle - 1].listener = sim_net_add_listener(h->world, h, &wanted);
    *out_handle = handle;
    return ERR_OK;
}

static enum err net_local_addr(void *ctx, struct net_addr *out, uint32_t handle)
{
    const struct sim_net_slot *s = sim_net_slot_of(ctx, handle);
    if (s == NULL) {
        return ERR_WRONG_STATE;
    }
    if (s->datagrams != NULL) {
        sim_udp_local_addr(s->datagrams, out);
        return ERR_OK;
    }
    *out = s->listener != NULL ? s->listener->at : s->end->local;
    return ERR_OK;
}

static enum err net_accept(void *ctx, uint32_t *out_handle, struct net_addr *out_peer,
                           uint32_t listener)
{
    struct sim_host *h = ctx;
    struct sim_net_slot *s = sim_net_slot_of(h, listener);
    if (s == NULL || s->listener == NULL) {
        return ERR_WRONG_STATE;
    }
    if (s->listener->waiting == NULL || s->listener->waiting->connected_at_ms > h->world->now_ms) {
        return ERR_AGAIN;
    }
    struct sim_listener *l = s->listener;
    uint32_t handle = sim_net_take_handle(h);
    if (handle == 0) {
        return ERR_NO_HANDLE;
    }
    struct sim_client *end = sim_net_take_waiting(h->world, l);
    h->net->slots[handle - 1].end = end;
    *out_handle = handle;
    *out_peer = end->remote;
    return ERR_OK;
}

static bool is_blackhole(const struct sim_net *n, const struct net_addr *to)
{
    for (const struct blackhole *b = n->blackholes; b != NULL; b = b->next) {
        if (net_addr_same_host(&b->at, to) && b->at.port == to->port) {
            return true;
        }
    }
    return false;
}

static enum err net_connect(void *ctx, uint32_t *out_handle, const struct net_addr *to)
{
    struct sim_host *h = ctx;
    struct sim_world *w = h->world;
    if (to->family == NET_NONE) {
        return ERR_UNSUPPORTED;
    }
    uint32_t handle = sim_net_take_handle(h);
    if (handle == 0) {
        return ERR_NO_HANDLE;
    }
    struct net_addr own = h->net->addr;
    own.port = take_port(w->net);
    struct sim_listener *l = find_listener(w->net, to, h);
    struct sim_link out, in;
    enum sim_fate fate = draw_fate(w->net, &own, to, &out, &in);
    bool blackhole = is_blackhole(w->net, to) || fate == SIM_FATE_SILENT;
    struct sim_client *end;
    if (l != NULL && !blackhole && fate == SIM_FATE_OPEN) {
        end = connect_over(w, l, to, &own, &out, &in);
    } else {
        end = new_end(w);
        end->local = own;
        end->remote = *to;
        end->connect_result = ERR_REFUSED;
        end->connected_at_ms = blackhole ? UINT64_MAX : w->now_ms + out.delay_ms;
    }
    h->net->slots[handle - 1].end = end;
    *out_handle = handle;
    return ERR_OK;
}

static enum err net_connect_result(void *ctx, uint32_t handle)
{
    struct sim_host *h = ctx;
    const struct sim_net_slot *s = sim_net_slot_of(h, handle);
    if (s == NULL || s->end == NULL) {
        return ERR_WRONG_STATE;
    }
    if (s->end->reset) {
        return ERR_RESET;
    }
    return sim_net_is_connected(h->world, s->end) ? s->end->connect_result : ERR_AGAIN;
}

static enum err net_read(void *ctx, size_t *out_len, uint32_t handle, uint8_t *into, size_t cap)
{
    struct sim_host *h = ctx;
    const struct sim_net_slot *s = sim_net_slot_of(h, handle);
    *out_len = 0;
    if (s == NULL || s->end == NULL) {
        return ERR_WRONG_STATE;
    }
    return read_end(h->world, s->end, out_len, into, cap);
}

static enum err net_write(void *ctx, size_t *out_len, uint32_t handle, struct slice bytes)
{
    struct sim_host *h = ctx;
    const struct sim_net_slot *s = sim_net_slot_of(h, handle);
    *out_len = 0;
    if (s == NULL || s->end == NULL) {
        return ERR_WRONG_STATE;
    }
    return sim_net_is_connected(h->world, s->end) ? write_end(h->world, s->end, out_len, bytes)
                                                  : ERR_AGAIN;
}

static enum err net_open_datagram(void *ctx, uint32_t *out_handle, enum net_family family)
{
    struct sim_host *h = ctx;
    if (family == NET_NONE) {
        return ERR_UNSUPPORTED;
    }
    uint32_t handle = sim_net_take_handle(h);
    if (handle == 0) {
        return ERR_NO_HANDLE;
    }
    struct net_addr at = {.family = (uint8_t)family, .port = take_port(h->world->net)};
    h->net->slots[handle - 1].datagrams = sim_udp_new(h->world, h, &at);
    *out_handle = handle;
    return ERR_OK;
}

static enum err net_send_to(void *ctx, uint32_t handle, const struct net_addr *to,
                            struct slice bytes)
{
    struct sim_host *h = ctx;
    const struct sim_net_slot *s = sim_net_slot_of(h, handle);
    if (s == NULL || s->datagrams == NULL) {
        return ERR_WRONG_STATE;
    }
    return sim_udp_send_from(h->world, s->datagrams, to, bytes);
}

static enum err net_recv_from(void *ctx, size_t *out_len, struct net_addr *out_from,
                              uint32_t handle, uint8_t *into, size_t cap)
{
    struct sim_host *h = ctx;
    const struct sim_net_slot *s = sim_net_slot_of(h, handle);
    *out_len = 0;
    if (s == NULL || s->datagrams == NULL) {
        return ERR_WRONG_STATE;
    }
    return sim_udp_receive(h->world, s->datagrams, out_len, out_from, into, cap);
}

static enum err net_watch(void *ctx, uint32_t handle, bool readable, bool writable, uint64_t tag)
{
    struct sim_net_slot *s = sim_net_slot_of(ctx, handle);
    if (s == NULL) {
        return ERR_WRONG_STATE;
    }
    s->readable = readable;
    s->writable = writable;
    s->tag = tag;
    return ERR_OK;
}

static void net_close(void *ctx, uint32_t handle)
{
    struct sim_host *h = ctx;
    struct sim_net_slot *s = sim_net_slot_of(h, handle);
    if (s == NULL) {
        abort(); /* closed twice: on a real machine that closes somebody else's */
    }
    if (s->listener != NULL) {
        remove_listener(h->world, s->listener);
    } else if (s->datagrams != NULL) {
        sim_udp_close(h->world, s->datagrams);
    } else {
        close_end(h->world, s->end);
    }
    *s = (struct sim_net_slot){0};
    h->net->num_used--;
}

/* --- Hosts on the network --- */

void sim_net_add_host(struct sim_host *h)
{
    h->net = sim_alloc(sizeof *h->net);
    h->net->max_handles = SIM_HANDLES_MAX;
    h->net->addr = (struct net_addr){NET_IPV4, {10, 0, 0, ++h->world->net->num_hosts}, 0};
    h->port.net = (struct port_net){
        .ctx = h,
        .listen = net_listen,
        .listen_local = sim_local_listen,
        .local_addr = net_local_addr,
        .accept = net_accept,
        .connect = net_connect,
        .connect_result = net_connect_result,
        .connect_local = sim_local_connect,
        .peer_user = sim_local_peer_user,
        .read = net_read,
        .write = net_write,
        .open_datagram = net_open_datagram,
        .send_to = net_send_to,
        .recv_from = net_recv_from,
        .watch = net_watch,
        .close = net_close,
    };
}

void sim_net_drop_host(struct sim_host *h)
{
    for (uint32_t i = 0; i < h->net->num_slots; i++) {
        struct sim_net_slot *s = &h->net->slots[i];
        if (s->end != NULL) {
            reset_peer_of(s->end);
        }
        if (sim_net_is_used(s)) {
            net_close(h, i + 1);
        }
    }
}

void sim_net_free_host(struct sim_host *h)
{
    sim_net_drop_host(h);
    free(h->net->slots);
    free(h->net);
}

void sim_host_addr(const struct sim_host *h, struct net_addr *out)
{
    *out = h->net->addr;
}

void sim_net_set_max_handles(struct sim_host *h, uint32_t max_handles)
{
    h->net->max_handles = max_handles;
}

uint32_t sim_net_num_handles(const struct sim_host *h)
{
    return h->net->num_used;
}

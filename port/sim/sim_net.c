/* The simulated network: see sim_net.h and sim_net_inside.h. Local connections begin in
 * sim_local.c. */
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
    *out_len = sim_pipe_write(&c->peer->in, w, bytes);
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

struct sim_client *sim_net_connect_to(struct sim_world *w, struct sim_listener *l,
                                      const struct net_addr *to, const struct net_addr *from)
{
    struct sim_client *near = new_end(w), *far = new_end(w);
    near->peer = far;
    far->peer = near;
    near->local = *from;
    near->remote = *to;
    far->local = *to;
    far->remote = *from;
    near->connected_at_ms = w->now_ms + w->net->link.delay_ms;
    far->connected_at_ms = near->connected_at_ms;
    near->accepted = true;
    struct sim_client **last = &l->waiting;
    while (*last != NULL) {
        last = &(*last)->next_waiting;
    }
    *last = far;
    return near;
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
        own.port = w->net->next_port++;
    }
    struct sim_listener *l = find_listener(w->net, to, NULL);
    return l != NULL ? sim_net_connect_to(w, l, to, &own) : NULL;
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

static bool is_used(const struct sim_net_slot *s)
{
    return s->listener != NULL || s->end != NULL || s->datagrams != NULL;
}

struct sim_net_slot *sim_net_slot_of(struct sim_host *h, uint32_t handle)
{
    struct sim_net_host *n = h->net;
    if (handle == 0 || handle > n->num_slots) {
        return NULL;
    }
    struct sim_net_slot *s = &n->slots[handle - 1];
    return is_used(s) ? s : NULL;
}

uint32_t sim_net_take_handle(struct sim_host *h)
{
    struct sim_net_host *n = h->net;
    if (n->num_used >= n->max_handles) {
        return 0;
    }
    uint32_t i = 0;
    while (i < n->num_slots && is_used(&n->slots[i])) {
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
        wanted.port = h->world->net->next_port++;
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
    own.port = w->net->next_port++;
    struct sim_listener *l = find_listener(w->net, to, h);
    bool blackhole = is_blackhole(w->net, to);
    struct sim_client *end;
    if (l != NULL && !blackhole) {
        end = sim_net_connect_to(w, l, to, &own);
    } else {
        end = new_end(w);
        end->local = own;
        end->remote = *to;
        end->connect_result = ERR_REFUSED;
        end->connected_at_ms = blackhole ? UINT64_MAX : w->now_ms + w->net->link.delay_ms;
    }
    h->net->slots[handle - 1].end = end;
    *out_handle = handle;
    return ERR_OK;
}

static bool is_connected(const struct sim_host *h, const struct sim_client *end)
{
    return end->connected_at_ms <= h->world->now_ms;
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
    return is_connected(h, s->end) ? s->end->connect_result : ERR_AGAIN;
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
    return is_connected(h, s->end) ? write_end(h->world, s->end, out_len, bytes) : ERR_AGAIN;
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
    struct net_addr at = {.family = (uint8_t)family, .port = h->world->net->next_port++};
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

/* --- What is ready --- */

static bool is_readable(struct sim_host *h, const struct sim_net_slot *s)
{
    if (s->listener != NULL) {
        const struct sim_client *c = s->listener->waiting;
        return c != NULL && is_connected(h, c);
    }
    if (s->datagrams != NULL) {
        return sim_udp_has_any(s->datagrams, h->world->now_ms);
    }
    return s->end->reset || sim_pipe_has_bytes(&s->end->in, h->world->now_ms) ||
           sim_pipe_is_at_end(&s->end->in, h->world->now_ms);
}

static bool is_writable(const struct sim_host *h, const struct sim_net_slot *s)
{
    if (s->listener != NULL || s->datagrams != NULL) {
        return s->datagrams != NULL;
    }
    const struct sim_client *end = s->end;
    if (end->reset || end->lost_write) {
        return true;
    }
    if (!is_connected(h, end)) {
        return false;
    }
    return end->peer == NULL || end->peer->closed || sim_pipe_has_room(&end->peer->in);
}

size_t sim_net_poll(struct sim_host *h, struct port_event *events, size_t cap)
{
    struct sim_net_host *n = h->net;
    size_t num = 0;
    for (uint32_t i = 0; i < n->num_slots && num < cap; i++) {
        uint32_t index = (n->turn + i) % n->num_slots;
        struct sim_net_slot *s = &n->slots[index];
        if (!is_used(s)) {
            continue;
        }
        bool readable = s->readable && is_readable(h, s);
        bool writable = s->writable && is_writable(h, s);
        if (readable && writable && cap - num == 1) {
            /* Room for one: either, at random. */
            readable = (sim_world_random(h->world) & 1) != 0;
            writable = !readable;
        }
        if (readable) {
            events[num++] = (struct port_event){PORT_READABLE, ERR_OK, s->tag};
        }
        if (writable) {
            events[num++] = (struct port_event){PORT_WRITABLE, ERR_OK, s->tag};
        }
        if (num == cap) {
            n->turn = index + 1;
        }
    }
    return num;
}

uint64_t sim_net_next_ms(const struct sim_world *w)
{
    uint64_t at_ms = sim_udp_next_ms(w);
    for (const struct sim_client *c = w->net->ends; c != NULL; c = c->next) {
        uint64_t next_ms = sim_pipe_next_ms(&c->in, w->now_ms);
        if (c->connected_at_ms > w->now_ms && c->connected_at_ms < next_ms) {
            next_ms = c->connected_at_ms;
        }
        if (!c->closed && next_ms < at_ms) {
            at_ms = next_ms;
        }
    }
    return at_ms;
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
        if (is_used(s)) {
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

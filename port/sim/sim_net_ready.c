/* What a host of the simulated network would be told now, and when that changes: see sim_net.h. */
#include "sim_net_inside.h"

bool sim_net_is_used(const struct sim_net_slot *s)
{
    return s->listener != NULL || s->end != NULL || s->datagrams != NULL;
}

bool sim_net_is_connected(const struct sim_world *w, const struct sim_client *end)
{
    return end->connected_at_ms <= w->now_ms;
}

static bool is_readable(struct sim_host *h, const struct sim_net_slot *s)
{
    if (s->listener != NULL) {
        const struct sim_client *c = s->listener->waiting;
        return c != NULL && sim_net_is_connected(h->world, c);
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
    if (!sim_net_is_connected(h->world, end)) {
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
        if (!sim_net_is_used(s)) {
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

bool sim_net_has_event(struct sim_host *h)
{
    const struct sim_net_host *n = h->net;
    for (uint32_t i = 0; i < n->num_slots; i++) {
        const struct sim_net_slot *s = &n->slots[i];
        if (sim_net_is_used(s) &&
            ((s->readable && is_readable(h, s)) || (s->writable && is_writable(h, s)))) {
            return true;
        }
    }
    return false;
}

uint64_t sim_net_next_ms(const struct sim_world *w)
{
    uint64_t at_ms = sim_udp_next_ms(w);
    for (const struct sim_client *c = sim_net_ends(w); c != NULL; c = c->next) {
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

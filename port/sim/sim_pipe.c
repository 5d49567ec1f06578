/* One direction of a simulated connection: see sim_pipe.h. */
#include "sim_pipe.h"

#include <stdlib.h>

#define QUEUE_LEN 65536

static size_t limit_of(const struct sim_pipe *p)
{
    return p->link.queue_len > 0 ? p->link.queue_len : QUEUE_LEN;
}

/* At most one chunk. */
static size_t chunk(const struct sim_pipe *p, struct sim_world *w, size_t len)
{
    size_t most = p->link.chunk_len > 0 ? p->link.chunk_len : SIZE_MAX;
    if (p->link.random_chunks && len > 0) {
        size_t range = most < len ? most : len;
        most = 1 + (size_t)(sim_world_random(w) % range);
    }
    return len < most ? len : most;
}

static void settle(struct sim_pipe *p, uint64_t now_ms)
{
    while (p->num_arrivals > 0 && p->arrivals[p->first_arrival].at_ms <= now_ms) {
        p->ready_len += p->arrivals[p->first_arrival].len;
        p->first_arrival++;
        p->num_arrivals--;
    }
    if (p->num_arrivals == 0) {
        p->first_arrival = 0;
    }
}

static void add_arrival(struct sim_pipe *p, uint64_t at_ms, size_t len)
{
    size_t last = p->first_arrival + p->num_arrivals;
    if (p->num_arrivals > 0 && p->arrivals[last - 1].at_ms == at_ms) {
        p->arrivals[last - 1].len += len;
        return;
    }
    if (last == p->arrivals_cap) {
        size_t cap = p->arrivals_cap * 2 + 8;
        p->arrivals =
            sim_grow(p->arrivals, p->arrivals_cap * sizeof *p->arrivals, cap * sizeof *p->arrivals);
        p->arrivals_cap = cap;
    }
    p->arrivals[last] = (struct sim_arrival){at_ms, len};
    p->num_arrivals++;
}

static uint64_t arrival_ms(const struct sim_pipe *p, struct sim_world *w)
{
    uint64_t at_ms = sim_world_now_ms(w) + p->link.delay_ms;
    if (p->link.jitter_ms != 0) {
        at_ms += sim_world_random(w) % (p->link.jitter_ms + 1);
    }
    if (p->num_arrivals > 0) {
        uint64_t last_ms = p->arrivals[p->first_arrival + p->num_arrivals - 1].at_ms;
        at_ms = at_ms < last_ms ? last_ms : at_ms;
    }
    return at_ms;
}

size_t sim_pipe_write(struct sim_pipe *p, struct sim_world *w, struct slice bytes)
{
    size_t room = limit_of(p) - p->len;
    size_t len = chunk(p, w, bytes.len < room ? bytes.len : room);
    if (len == 0) {
        return 0;
    }
    if (p->begin + p->len + len > p->cap) {
        if (p->begin > 0) {
            memmove(p->bytes, p->bytes + p->begin, p->len);
            p->begin = 0;
        }
        if (p->len + len > p->cap) {
            size_t cap = p->len + len + 4096;
            p->bytes = sim_grow(p->bytes, p->cap, cap);
            p->cap = cap;
        }
    }
    memcpy(p->bytes + p->begin + p->len, bytes.ptr, len);
    p->len += len;
    add_arrival(p, arrival_ms(p, w), len);
    return len;
}

size_t sim_pipe_read(struct sim_pipe *p, struct sim_world *w, uint8_t *into, size_t cap)
{
    settle(p, sim_world_now_ms(w));
    size_t len = chunk(p, w, p->ready_len < cap ? p->ready_len : cap);
    if (len > 0) {
        memcpy(into, p->bytes + p->begin, len);
        p->begin += len;
        p->len -= len;
        p->ready_len -= len;
    }
    return len;
}

void sim_pipe_end(struct sim_pipe *p, struct sim_world *w)
{
    if (!p->ended) {
        p->ended = true;
        p->end_at_ms = arrival_ms(p, w);
    }
}

bool sim_pipe_has_bytes(struct sim_pipe *p, uint64_t now_ms)
{
    settle(p, now_ms);
    return p->ready_len > 0;
}

bool sim_pipe_is_at_end(struct sim_pipe *p, uint64_t now_ms)
{
    return p->ended && p->len == 0 && p->end_at_ms <= now_ms;
}

bool sim_pipe_has_room(const struct sim_pipe *p)
{
    return p->len < limit_of(p);
}

uint64_t sim_pipe_next_ms(const struct sim_pipe *p, uint64_t now_ms)
{
    for (size_t i = 0; i < p->num_arrivals; i++) {
        if (p->arrivals[p->first_arrival + i].at_ms > now_ms) {
            return p->arrivals[p->first_arrival + i].at_ms;
        }
    }
    return p->ended && p->end_at_ms > now_ms ? p->end_at_ms : UINT64_MAX;
}

void sim_pipe_free(struct sim_pipe *p)
{
    free(p->bytes);
    free(p->arrivals);
}

/* Time, hosts and what is small of a host's port: see sim_world.h. */
#include "sim_inside.h"
#include "sim_udp.h"

#include <stdio.h>
#include <stdlib.h>

#define START_WALL_S INT64_C(1767225600) /* 2026-01-01 */

/* --- What all files of the world use --- */

void *sim_alloc(size_t len)
{
    void *mem = calloc(1, len > 0 ? len : 1);
    if (mem == NULL) {
        abort();
    }
    return mem;
}

void *sim_grow(void *old, size_t old_len, size_t new_len)
{
    uint8_t *mem = realloc(old, new_len);
    if (mem == NULL) {
        abort();
    }
    memset(mem + old_len, 0, new_len - old_len);
    return mem;
}

char *sim_copy_string(const char *text)
{
    size_t len = strlen(text) + 1;
    char *copy = sim_alloc(len);
    memcpy(copy, text, len);
    return copy;
}

uint64_t sim_random(uint64_t *seed)
{
    uint64_t z = (*seed += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

enum err sim_fault_next(struct sim_fault *f)
{
    if (f->num == 0) {
        return ERR_OK;
    }
    if (f->nth > 1) {
        f->nth--;
        return ERR_OK;
    }
    f->num--;
    return f->with;
}

/* --- The world --- */

struct sim_world *sim_world_new(uint64_t seed)
{
    struct sim_world *w = sim_alloc(sizeof *w);
    w->seed = seed;
    w->now_ms = 1000;
    w->horizon_ms = UINT64_MAX;
    w->net = sim_net_new();
    return w;
}

static void free_host(struct sim_host *h)
{
    sim_net_free_host(h);
    sim_mailbox_free_host(h);
    sim_files_free_host(h);
    sim_outbox_free_host(h);
    sim_store_free(h->store);
    sim_log_clear(h);
    free(h->log.lines);
    free(h);
}

void sim_world_free(struct sim_world *w)
{
    while (w->hosts != NULL) {
        struct sim_host *h = w->hosts;
        w->hosts = h->next;
        free_host(h);
    }
    sim_udp_free_all(w);
    sim_net_free(w->net);
    free(w);
}

uint64_t sim_world_now_ms(const struct sim_world *w)
{
    return w->now_ms;
}

void sim_world_advance(struct sim_world *w, uint64_t ms)
{
    w->now_ms += ms;
}

void sim_world_set_horizon(struct sim_world *w, uint64_t at_ms)
{
    w->horizon_ms = at_ms;
}

uint64_t sim_world_random(struct sim_world *w)
{
    return sim_random(&w->seed);
}

/* --- Waiting --- */

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* To whatever comes first, if everybody waits. */
static void advance_to_next(struct sim_world *w)
{
    uint64_t at_ms = sim_net_next_ms(w);
    for (const struct sim_host *h = w->hosts; h != NULL; h = h->next) {
        if (!h->waits) {
            return;
        }
        at_ms = min_u64(at_ms, h->waits_until_ms);
        at_ms = min_u64(at_ms, sim_store_next_ms(h->store));
        at_ms = min_u64(at_ms, sim_mailbox_next_ms(h));
    }
    at_ms = min_u64(at_ms, w->horizon_ms);
    if (at_ms != UINT64_MAX && at_ms > w->now_ms) {
        w->now_ms = at_ms;
    }
}

static size_t poll_signals(struct sim_host *h, struct port_event *events, size_t cap)
{
    size_t num = 0;
    for (uint64_t signal = PORT_TERMINATE; signal <= PORT_RELOAD; signal++) {
        while (num < cap && h->num_signals[signal] > 0) {
            h->num_signals[signal]--;
            events[num++] = (struct port_event){PORT_SIGNAL, ERR_OK, signal};
        }
    }
    return num;
}

static size_t poll_all(struct sim_host *h, struct port_event *events, size_t cap)
{
    size_t num = poll_signals(h, events, cap);
    if (sim_host_is_off(h)) {
        return num;
    }
    num += sim_store_poll(h->store, h->world->now_ms, events + num, cap - num);
    num += sim_mailbox_poll(h, events + num, cap - num);
    num += sim_net_poll(h, events + num, cap - num);
    return num;
}

bool sim_host_is_due(struct sim_host *h)
{
    const struct sim_world *w = h->world;
    return !h->waits || h->waits_until_ms <= w->now_ms || h->num_signals[PORT_TERMINATE] != 0 ||
           h->num_signals[PORT_RELOAD] != 0 || sim_store_next_ms(h->store) <= w->now_ms ||
           sim_mailbox_next_ms(h) <= w->now_ms || sim_net_has_event(h);
}

void sim_world_move_on(struct sim_world *w)
{
    advance_to_next(w);
}

static size_t loop_wait(void *ctx, struct port_event *events, size_t cap, uint64_t timeout_ms)
{
    struct sim_host *h = ctx;
    struct sim_world *w = h->world;
    /* Whoever may not move the clock comes back from a wait before it is over, and then again. */
    bool is_over = h->waits && h->waits_until_ms <= w->now_ms;
    h->waits = false;
    size_t num = poll_all(h, events, cap);
    if (num > 0 || timeout_ms == 0 || is_over) {
        return num;
    }
    h->waits = true;
    h->waits_until_ms = timeout_ms > UINT64_MAX - w->now_ms ? UINT64_MAX : w->now_ms + timeout_ms;
    uint64_t end_ms = h->waits_until_ms;
    uint64_t before_ms;
    do {
        before_ms = w->now_ms;
        advance_to_next(w);
        num = poll_all(h, events, cap);
    } while (num == 0 && w->now_ms > before_ms && w->now_ms < end_ms);
    h->waits = num == 0 && w->now_ms < end_ms;
    return num;
}

/* --- Clock, entropy, log --- */

static uint64_t clock_monotonic_ms(void *ctx)
{
    const struct sim_host *h = ctx;
    return h->world->now_ms;
}

static int64_t clock_wall_s(void *ctx, bool *out_synchronised)
{
    const struct sim_host *h = ctx;
    *out_synchronised = h->synchronised;
    return sim_host_wall(h);
}

static enum err entropy_fill(void *ctx, uint8_t *into, size_t len)
{
    struct sim_host *h = ctx;
    if (h->entropy_fails) {
        return ERR_NO_ENTROPY;
    }
    for (size_t i = 0; i < len; i++) {
        into[i] = (uint8_t)(sim_random(&h->seed) >> 56);
    }
    return ERR_OK;
}

static void log_write(void *ctx, enum log_level level, struct slice text)
{
    static const char *const names[] = {
        [LOG_ERROR] = "error ",
        [LOG_WARNING] = "warning ",
        [LOG_INFO] = "info ",
        [LOG_DEBUG] = "debug ",
    };
    struct sim_host *h = ctx;
    if (sim_host_is_off(h)) {
        return; /* whoever still runs in this step runs no more */
    }
    size_t name_len = strlen(names[level]);
    char *line = sim_alloc(name_len + text.len + 1);
    memcpy(line, names[level], name_len);
    memcpy(line + name_len, text.ptr, text.len);
    if (h->log.num == h->log.cap) {
        size_t cap = h->log.cap * 2 + 64;
        h->log.lines =
            sim_grow(h->log.lines, h->log.cap * sizeof *h->log.lines, cap * sizeof *h->log.lines);
        h->log.cap = cap;
    }
    h->log.lines[h->log.num++] = line;
    if (getenv("SIM_LOG") != NULL) {
        fprintf(stderr, "%llu %s\n", (unsigned long long)h->world->now_ms, line);
    }
}

size_t sim_log_num(const struct sim_host *h)
{
    return h->log.num;
}

const char *sim_log_line(const struct sim_host *h, size_t index)
{
    return h->log.lines[index];
}

size_t sim_log_count(const struct sim_host *h, const char *text)
{
    size_t num = 0;
    for (size_t i = 0; i < h->log.num; i++) {
        num += strstr(h->log.lines[i], text) != NULL;
    }
    return num;
}

void sim_log_clear(struct sim_host *h)
{
    for (size_t i = 0; i < h->log.num; i++) {
        free(h->log.lines[i]);
    }
    h->log.num = 0;
}

/* --- Hosts --- */

struct sim_host *sim_host_new(struct sim_world *w, const struct sim_store_conf *conf)
{
    struct sim_store_conf store_conf = conf != NULL ? *conf : (struct sim_store_conf){0};
    if (store_conf.seed == 0) {
        store_conf.seed = sim_world_random(w);
    }
    struct sim_host *h = sim_alloc(sizeof *h);
    h->world = w;
    h->seed = sim_world_random(w);
    h->synchronised = true;
    sim_host_set_wall(h, START_WALL_S, true);
    h->store = sim_store_new(&store_conf);
    if (h->store == NULL) {
        abort();
    }
    h->port.store = *sim_store_port(h->store);
    h->port.loop = (struct port_loop){h, loop_wait};
    h->port.clock = (struct port_clock){h, clock_monotonic_ms, clock_wall_s};
    h->port.entropy = (struct port_entropy){h, entropy_fill};
    h->port.log = (struct port_log){h, log_write};
    sim_net_add_host(h);
    sim_mailbox_add_host(h);
    sim_files_add_host(h);
    sim_outbox_add_host(h);
    h->next = w->hosts;
    w->hosts = h;
    return h;
}

const struct port *sim_host_port(struct sim_host *h)
{
    return &h->port;
}

struct sim_world *sim_host_world(struct sim_host *h)
{
    return h->world;
}

struct sim_store *sim_host_store(struct sim_host *h)
{
    return h->store;
}

void sim_host_signal(struct sim_host *h, enum port_signal signal)
{
    h->num_signals[signal]++;
}

void sim_host_set_wall(struct sim_host *h, int64_t wall_s, bool synchronised)
{
    h->wall_offset_s = wall_s - (int64_t)(h->world->now_ms / 1000);
    h->synchronised = synchronised;
}

int64_t sim_host_wall(const struct sim_host *h)
{
    return h->wall_offset_s + (int64_t)(h->world->now_ms / 1000);
}

void sim_host_set_entropy_failing(struct sim_host *h, bool failing)
{
    h->entropy_fails = failing;
}

/* One power for both: where it has gone for one, it goes for the other at its next operation. */
bool sim_host_is_off(struct sim_host *h)
{
    bool store_off = sim_store_is_off(h->store), mailbox_off = sim_mailbox_is_off(h);
    if (store_off && !mailbox_off) {
        sim_mailbox_set_power_off(h, sim_mailbox_num_ops(h) + 1);
    }
    if (mailbox_off && !store_off) {
        struct sim_store_counts counts;
        sim_store_counts_of(h->store, &counts);
        sim_store_set_power_off(h->store, counts.num_ops + 1);
    }
    return store_off || mailbox_off;
}

static void forget_process(struct sim_host *h)
{
    sim_net_drop_host(h);
    h->num_signals[PORT_TERMINATE] = 0;
    h->num_signals[PORT_RELOAD] = 0;
    h->waits = true; /* nobody holds the clock up until there is a process again */
    h->waits_until_ms = UINT64_MAX;
}

void sim_host_crash(struct sim_host *h, enum sim_crash how)
{
    sim_store_set_power_off(h->store, 0);
    sim_store_crash(h->store, how);
    sim_mailbox_set_power_off(h, 0);
    sim_mailbox_crash(h, how);
    forget_process(h);
}

void sim_host_kill(struct sim_host *h)
{
    sim_store_kill(h->store);
    sim_mailbox_kill(h);
    forget_process(h);
}

/* Which faults come when: a list drawn at the begin of the day. What lasts has an end in the list
 * as well. See site.h. */
#include "site.h"

#include "site_memory.h"
#include "site_tls.h"

#include <stdlib.h>

#define PLAN_MAX 128
#define SPAN_MAX (UINT64_C(2) * 60 * 60 * 1000) /* of what lasts */

enum plan_kind {
    PLAN_CRASH,
    PLAN_CRASH_AT_OP,
    PLAN_KILL,
    PLAN_RESTART,
    PLAN_RELOAD,
    PLAN_SYNC,
    PLAN_WRITE,
    PLAN_CREATE,
    PLAN_FULL,
    PLAN_READ,
    PLAN_SHORT,
    PLAN_FLIP,
    PLAN_MAILDIR,
    PLAN_FILES,
    PLAN_CLOCK_STEP,
    PLAN_CLOCK_UNSET,
    PLAN_CLOCK_FAR,
    PLAN_POOL,
    PLAN_ARENA,
    PLAN_HEAP,
    PLAN_ENTROPY,
    PLAN_HANDLES,
    PLAN_BREAK,
    PLAN_DNS,
    PLAN_PEERS,
    PLAN_SLOW_DISK,
    NUM_PLAIN_KINDS,
    PLAN_RESPONDER = NUM_PLAIN_KINDS, /* of a site with TLS */
    PLAN_PROOF_FILE,
    NUM_PLAN_KINDS
};

struct plan {
    uint64_t at_ms;
    enum plan_kind kind;
    uint32_t server;
    bool is_end;
};

static struct plan plans[PLAN_MAX];
static uint32_t num_plans, next_plan;
static uint64_t memory_before[NUM_SITE_MEMORIES];

static bool lasts(enum plan_kind kind)
{
    return kind == PLAN_FULL || kind == PLAN_READ || kind == PLAN_SHORT || kind == PLAN_FILES ||
           kind == PLAN_CLOCK_UNSET || kind == PLAN_CLOCK_FAR || kind == PLAN_ENTROPY ||
           kind == PLAN_HANDLES || kind == PLAN_DNS || kind == PLAN_PEERS ||
           kind == PLAN_SLOW_DISK || kind == PLAN_RESPONDER;
}

static void add(uint64_t at_ms, enum plan_kind kind, uint32_t server, bool is_end)
{
    if (num_plans == PLAN_MAX) {
        return;
    }
    uint32_t i = num_plans++;
    while (i > 0 && plans[i - 1].at_ms > at_ms) {
        plans[i] = plans[i - 1];
        i--;
    }
    plans[i] = (struct plan){at_ms, kind, server, is_end};
}

void site_plan_none(void)
{
    num_plans = next_plan = 0;
    for (int i = 0; i < NUM_SITE_MEMORIES; i++) {
        memory_before[i] = site_memory_num_failures((enum site_memory)i);
    }
}

void site_plan_make(struct sim_site *s)
{
    uint64_t day_ms = s->day_end_ms - s->begin_ms;
    uint32_t num = 4 + (uint32_t)site_draw(s, 20);
    site_plan_none();
    for (uint32_t i = 0; i < num; i++) {
        enum plan_kind kind =
            (enum plan_kind)site_draw(s, s->has_tls ? NUM_PLAN_KINDS : NUM_PLAIN_KINDS);
        uint32_t server = (uint32_t)site_draw(s, s->num_servers);
        /* Most of them when there is something to disturb. */
        uint64_t client_ms = site_clients_draw_ms(s);
        uint64_t at_ms = site_chance(s, 80) ? client_ms + site_draw(s, 20000)
                                            : s->begin_ms + site_draw(s, day_ms);
        add(at_ms, kind, server, false);
        if (lasts(kind)) {
            uint64_t span_ms = kind == PLAN_RESPONDER ? 6 * SPAN_MAX : SPAN_MAX;
            add(at_ms + site_draw(s, span_ms), kind, server, true);
        }
    }
}

uint64_t site_plan_next_ms(const struct sim_site *s)
{
    return next_plan < num_plans && !s->is_quiet ? plans[next_plan].at_ms : UINT64_MAX;
}

/* --- Single faults --- */

static void flip(struct sim_site *s, struct site_server *server)
{
    struct sim_store *st = sim_host_store(server->host);
    size_t num = sim_store_num_segments(st);
    uint8_t *bytes;
    uint64_t len;
    if (num == 0) {
        return;
    }
    uint32_t id = sim_store_segment(st, (size_t)site_draw(s, num), &bytes, &len);
    uint64_t at = site_draw(s, site_chance(s, 50) ? 65536 : len);
    sim_store_flip(st, id, at, (uint8_t)(1u << site_draw(s, 8)));
    server->was_flipped = true;
    s->result.faults[FAULT_BIT_FLIP]++;
}

static void fail_maildir(struct sim_site *s, struct site_server *server)
{
    uint64_t num = 1 + site_draw(s, 3);
    s->result.faults[FAULT_MAILDIR]++;
    switch (site_draw(s, 3)) {
    case 0:
        sim_mailbox_fail_begin(server->host, 1, num, site_chance(s, 50) ? ERR_NO_SPACE : ERR_IO);
        break;
    case 1:
        sim_mailbox_fail_write(server->host, 1, num, ERR_NO_SPACE);
        break;
    default:
        sim_mailbox_fail_commit(server->host, 1, num, (enum sim_commit_step)site_draw(s, 3),
                                ERR_IO);
        break;
    }
}

static void step_clock(struct sim_site *s, struct site_server *server)
{
    static const int64_t steps_s[] = {1, 60, 3600, 86400, 400 * 86400};
    int64_t by_s = steps_s[site_draw(s, 5)];
    sim_host_set_wall(server->host,
                      sim_host_wall(server->host) + (site_chance(s, 50) ? by_s : -by_s), true);
    s->result.faults[FAULT_CLOCK_STEP]++;
}

static void set_clock(struct sim_site *s, struct site_server *server, enum plan_kind kind)
{
    static const int64_t unset_s[] = {0, 1, 946684800};
    static const int64_t far_s[] = {INT64_C(2147483647), INT64_C(4294967295), INT64_C(4102444800)};
    int64_t wall_s = unset_s[site_draw(s, 3)];
    bool is_synchronised = kind == PLAN_CLOCK_FAR || site_chance(s, 20);
    if (kind == PLAN_CLOCK_FAR) {
        wall_s = far_s[site_draw(s, 3)] - (int64_t)site_draw(s, 30);
    }
    sim_host_set_wall(server->host, wall_s, is_synchronised);
    s->result.faults[kind == PLAN_CLOCK_FAR ? FAULT_CLOCK_FAR : FAULT_CLOCK_UNSET]++;
}

static void power_off_soon(struct sim_site *s, struct site_server *server)
{
    struct sim_store_counts counts;
    sim_store_counts_of(sim_host_store(server->host), &counts);
    server->crash_mode = (int)site_draw(s, 3);
    server->off_by_ms = site_now_ms(s) + 1 + site_draw(s, 60000);
    if (site_chance(s, 70)) {
        sim_store_set_power_off(sim_host_store(server->host),
                                counts.num_ops + 1 + site_draw(s, 40));
    } else {
        sim_mailbox_set_power_off(server->host,
                                  sim_mailbox_num_ops(server->host) + 1 + site_draw(s, 8));
    }
}

static void signal_server(struct sim_site *s, struct site_server *server, enum plan_kind kind)
{
    if (server->is_stopping) {
        return;
    }
    if (kind == PLAN_RESTART) {
        server->is_stopping = true;
        sim_host_signal(server->host, PORT_TERMINATE);
        s->result.faults[FAULT_RESTART]++;
        return;
    }
    sim_host_signal(server->host, PORT_RELOAD);
    s->result.faults[FAULT_RELOAD]++;
}

static void fail_memory(struct sim_site *s, enum plan_kind kind)
{
    enum site_memory what = kind == PLAN_POOL    ? SITE_MEMORY_POOL
                            : kind == PLAN_ARENA ? SITE_MEMORY_ARENA
                                                 : SITE_MEMORY_HEAP;
    site_memory_fail(what, 1 + site_draw(s, 30), 1 + site_draw(s, site_chance(s, 80) ? 2 : 40));
}

/* Somebody copies an older proof over the file. */
static void put_proof(struct sim_site *s, struct site_server *server)
{
    struct site_proof *p = site_responder_proof(s, (int64_t)site_draw(s, 8));
    s->result.faults[FAULT_RESPONDER_STALE]++;
    sim_files_put(server->host, SITE_PROOF_AT, p->der);
}

static void do_once(struct sim_site *s, const struct plan *p)
{
    struct site_server *server = &s->servers[p->server];
    struct sim_store *st = sim_host_store(server->host);
    switch (p->kind) {
    case PLAN_CRASH:
        site_server_crash(s, p->server, (int)site_draw(s, 3), site_draw(s, 1800000));
        break;
    case PLAN_CRASH_AT_OP:
        power_off_soon(s, server);
        break;
    case PLAN_KILL:
        site_server_crash(s, p->server, -1, site_draw(s, 5000));
        break;
    case PLAN_RESTART:
    case PLAN_RELOAD:
        signal_server(s, server, p->kind);
        break;
    case PLAN_SYNC:
        sim_store_fail_sync(st, 1 + site_draw(s, 4), 1 + site_draw(s, site_chance(s, 80) ? 1 : 4));
        break;
    case PLAN_WRITE:
        sim_store_fail_write(st, 1 + site_draw(s, 6), 1 + site_draw(s, site_chance(s, 80) ? 1 : 4),
                             site_chance(s, 50) ? ERR_IO : ERR_NO_SPACE);
        break;
    case PLAN_CREATE:
        sim_store_fail_create(st, 1, 1 + site_draw(s, 3), ERR_NO_SPACE);
        break;
    case PLAN_FLIP:
        flip(s, server);
        break;
    case PLAN_MAILDIR:
        fail_maildir(s, server);
        break;
    case PLAN_CLOCK_STEP:
        step_clock(s, server);
        break;
    case PLAN_POOL:
    case PLAN_ARENA:
    case PLAN_HEAP:
        fail_memory(s, p->kind);
        break;
    case PLAN_PROOF_FILE:
        put_proof(s, server);
        break;
    case PLAN_BREAK:
        s->result.faults[FAULT_NET_RESET] += sim_net_break(s->world, site_draw(s, 1000));
        break;
    default:
        break;
    }
}

/* --- What lasts --- */

static void begin_or_end(struct sim_site *s, const struct plan *p)
{
    struct site_server *server = &s->servers[p->server];
    struct sim_store *st = sim_host_store(server->host);
    bool on = !p->is_end;
    switch (p->kind) {
    case PLAN_FULL:
        sim_store_set_capacity(st, on ? (UINT64_C(1) << 20) * (1 + site_draw(s, 4)) : 0);
        break;
    case PLAN_READ:
        server->faults.read_error_rate = on ? 4 + (uint32_t)site_draw(s, 60) : 0;
        break;
    case PLAN_SHORT:
        server->faults.read_short_rate = on ? 4 + (uint32_t)site_draw(s, 60) : 0;
        break;
    case PLAN_FILES:
        server->faults.file_error_rate = on ? 1 + (uint32_t)site_draw(s, 10) : 0;
        break;
    case PLAN_CLOCK_UNSET:
    case PLAN_CLOCK_FAR:
        if (on) {
            set_clock(s, server, p->kind);
        } else {
            sim_host_set_wall(server->host, site_true_s(s), true);
        }
        break;
    case PLAN_ENTROPY:
        server->faults.entropy_fails = on;
        break;
    case PLAN_HANDLES:
        sim_net_set_max_handles(server->host,
                                on ? sim_net_num_handles(server->host) + 1 : SIM_HANDLES_MAX);
        s->result.faults[FAULT_NET_NO_HANDLE] += on;
        break;
    case PLAN_DNS:
        site_dns_mood(s, on);
        break;
    case PLAN_PEERS:
        site_peers_mood(s, on ? 60 + (uint32_t)site_draw(s, 40) : (uint32_t)site_draw(s, 40));
        break;
    case PLAN_RESPONDER:
        site_responder_mood(s, on ? 70 + (uint32_t)site_draw(s, 31) : 20);
        break;
    case PLAN_SLOW_DISK:
        sim_store_set_sync_ms(st, on ? 200 + site_draw(s, 2000) : 10);
        break;
    default:
        break;
    }
}

static const char *const kind_names[NUM_PLAN_KINDS] = {"crash",      "crash at an operation",
                                                       "kill",       "restart",
                                                       "reload",     "sync",
                                                       "write",      "create",
                                                       "full",       "read",
                                                       "short read", "flip",
                                                       "maildir",    "files",
                                                       "clock",      "unset",
                                                       "far",        "pool",
                                                       "arena",      "heap",
                                                       "no entropy", "handles",
                                                       "break",      "dns",
                                                       "peers",      "slow disk",
                                                       "responder",  "proof file"};

void site_plan_run(struct sim_site *s)
{
    while (site_plan_next_ms(s) <= site_now_ms(s) && !s->result.failed) {
        const struct plan *p = &plans[next_plan++];
        site_trace(s, "fault: %s %s at %s", kind_names[p->kind], p->is_end ? "ends" : "",
                   site_hostnames[p->server]);
        if (lasts(p->kind)) {
            begin_or_end(s, p);
        } else if (s->servers[p->server].mta != NULL) {
            do_once(s, p);
        }
    }
}

void site_plan_end(struct sim_site *s)
{
    for (uint32_t i = 0; i < s->num_servers; i++) {
        struct site_server *server = &s->servers[i];
        struct sim_store *st = sim_host_store(server->host);
        sim_store_fail_sync(st, 0, 0);
        sim_store_fail_write(st, 0, 0, ERR_OK);
        sim_store_fail_create(st, 0, 0, ERR_OK);
        sim_store_set_capacity(st, 0);
        sim_store_set_sync_ms(st, 10);
        sim_store_set_power_off(st, 0);
        sim_mailbox_set_power_off(server->host, 0);
        sim_mailbox_fail_begin(server->host, 0, 0, ERR_OK);
        sim_mailbox_fail_write(server->host, 0, 0, ERR_OK);
        sim_mailbox_fail_commit(server->host, 0, 0, SIM_SYNC_FILE, ERR_OK);
        server->faults.read_error_rate = server->faults.read_short_rate = 0;
        server->faults.file_error_rate = 0;
        server->faults.entropy_fails = false;
        server->off_by_ms = 0;
        sim_net_set_max_handles(server->host, SIM_HANDLES_MAX);
        sim_host_set_wall(server->host, site_true_s(s), true);
    }
    site_memory_forget();
}

/* What the media and the ports have counted themselves. */
void site_plan_count(struct sim_site *s)
{
    uint64_t *faults = s->result.faults;
    static const enum site_fault memory[NUM_SITE_MEMORIES] = {FAULT_POOL, FAULT_ARENA, FAULT_HEAP,
                                                              FAULT_ARENA};
    for (uint32_t i = 0; i < s->num_servers; i++) {
        const struct site_server *server = &s->servers[i];
        struct sim_store_counts counts;
        sim_store_counts_of(sim_host_store(server->host), &counts);
        faults[FAULT_WRITE_KEPT] += counts.num_kept;
        faults[FAULT_WRITE_LOST] += counts.num_lost;
        faults[FAULT_WRITE_TORN] += counts.num_torn;
        faults[FAULT_SYNC_ERROR] += counts.num_sync_faults;
        faults[FAULT_WRITE_ERROR] += counts.num_write_faults;
        faults[FAULT_CREATE_ERROR] += counts.num_create_faults;
        faults[FAULT_READ_ERROR] += server->faults.num_read_errors;
        faults[FAULT_READ_SHORT] += server->faults.num_short_reads;
        faults[FAULT_FILE] += server->faults.num_file_errors;
        faults[FAULT_ENTROPY] += server->faults.num_entropy_errors;
    }
    faults[FAULT_NET_RESET] += sim_net_num_cut(s->world);
    for (int i = 0; i < NUM_SITE_MEMORIES; i++) {
        faults[memory[i]] += site_memory_num_failures((enum site_memory)i) - memory_before[i];
    }
}

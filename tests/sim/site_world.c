/* A site from its making to its end: a day with faults, then quiet, until every message has come to
 * an end. See site.h. */
#include "site.h"

#include "site_memory.h"
#include "site_tls.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define STEPS_MAX  3000000
#define START_2026 INT64_C(1767225600)

uint64_t site_now_ms(const struct sim_site *s)
{
    return sim_world_now_ms(s->world);
}

int64_t site_true_s(const struct sim_site *s)
{
    return START_2026 + (int64_t)(site_now_ms(s) / 1000);
}

/* Its own numbers, so that what a port draws does not change what the site does. */
uint64_t site_draw(struct sim_site *s, uint64_t below)
{
    uint64_t z = s->random += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return below == 0 ? 0 : (z ^ z >> 31) % below;
}

bool site_chance(struct sim_site *s, uint32_t percent)
{
    return site_draw(s, 100) < percent;
}

void site_digest(struct sim_site *s, const void *bytes, size_t len)
{
    const uint8_t *at = bytes;
    uint64_t now_ms = site_now_ms(s);
    s->result.digest = (s->result.digest ^ now_ms) * UINT64_C(0x100000001b3);
    for (size_t i = 0; i < len; i++) {
        s->result.digest = (s->result.digest ^ at[i]) * UINT64_C(0x100000001b3);
    }
}

void site_trace(struct sim_site *s, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    site_digest(s, text, strlen(text));
    if (s->is_traced) {
        fprintf(stderr, "%10.3f %s\n", (double)(site_now_ms(s) - s->begin_ms) / 1000, text);
    }
}

void site_fail(struct sim_site *s, enum site_check check, const char *format, ...)
{
    va_list args;
    if (s->result.failed) {
        return;
    }
    s->result.failed = true;
    s->result.check = check;
    va_start(args, format);
    vsnprintf(s->result.text, sizeof s->result.text, format, args);
    va_end(args);
}

/* --- The network --- */

/* Each connection has a link of its own, so that none waits for another. */
static enum sim_fate draw_link(void *ctx, const struct net_addr *from, const struct net_addr *to,
                               struct sim_link *out, struct sim_link *in)
{
    struct sim_site *s = ctx;
    (void)from;
    (void)to;
    *out = *in = (struct sim_link){.delay_ms = 1 + site_draw(s, 3)};
    if (s->is_quiet) {
        return SIM_FATE_OPEN;
    }
    uint64_t dice = site_draw(s, 100);
    if (dice < 3) {
        s->result.faults[FAULT_NET_REFUSED]++;
        return SIM_FATE_REFUSED;
    }
    if (dice < 5) {
        s->result.faults[FAULT_NET_SILENT]++;
        return SIM_FATE_SILENT;
    }
    if (dice < 9) {
        out->chunk_len = in->chunk_len = 1;
        s->result.faults[FAULT_NET_SMALL]++;
    } else if (dice < 20) {
        out->chunk_len = in->chunk_len = 200;
        out->random_chunks = in->random_chunks = true;
        in->queue_len = 100 + (size_t)site_draw(s, 3000);
    }
    if (site_chance(s, 30)) {
        out->delay_ms = in->delay_ms = site_draw(s, 400);
        out->jitter_ms = in->jitter_ms = site_draw(s, 300);
        s->result.faults[FAULT_NET_DELAY]++;
    }
    if (site_chance(s, 6)) {
        (site_chance(s, 50) ? out : in)->cut_after_len = 1 + site_draw(s, 3000);
    }
    return SIM_FATE_OPEN;
}

/* --- Making it --- */

static void add_server(struct sim_site *s, uint32_t index)
{
    struct site_server *server = &s->servers[index];
    struct sim_store_conf conf = {.sync_ms = 1 + site_draw(s, 60),
                                  .create_ms = site_draw(s, 100),
                                  .not_in_place = site_chance(s, 20)};
    server->host = sim_host_new(s->world, &conf);
    sim_faults_init(&server->faults, sim_host_port(server->host), site_draw(s, UINT64_MAX));
    sim_mailbox_set_latency(server->host, site_draw(s, 50));
    site_server_conf(s, index);
    site_server_start(s, index);
}

static struct sim_site *make_site(uint64_t seed, bool is_traced)
{
    struct sim_site *s = calloc(1, sizeof *s);
    if (s == NULL) {
        abort();
    }
    s->seed = seed;
    s->is_traced = is_traced;
    s->result.digest = UINT64_C(0xcbf29ce484222325);
    s->random = s->seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    s->world = sim_world_new(s->seed + 77);
    s->begin_ms = site_now_ms(s);
    return s;
}

static void make(struct sim_site *s)
{
    static const uint32_t give_ups_s[] = {3600, 4 * 3600, 24 * 3600};
    site_memory_begin();
    s->day_end_ms = s->begin_ms + SITE_DAY_MS;
    s->requires_tls = s->seed % 7 == 3;
    s->has_tls = site_tls_is_drawn(s->seed);
    s->retry_give_up_s = give_ups_s[site_draw(s, 3)];
    uint64_t dice = site_draw(s, 10);
    s->num_servers = dice < 4 ? 1 : dice < 7 ? 2 : 3;
    sim_net_set_draw(s->world, draw_link, s);
    site_tls_open(s);
    site_responder_open(s);
    site_peers_open(s);
    for (uint32_t i = 0; i < s->num_servers; i++) {
        add_server(s, i);
    }
    site_clients_make(s);
    site_plan_make(s);
}

static void make_plain(struct sim_site *s, bool has_tls)
{
    s->day_end_ms = s->begin_ms + 30 * UINT64_C(60000);
    s->has_tls = has_tls;
    s->is_quiet = true;
    s->retry_give_up_s = 3600;
    s->num_servers = 1;
    sim_net_set_draw(s->world, draw_link, s);
    site_tls_open(s);
    site_responder_open(s);
    site_peers_open(s);
    site_plan_none();
    add_server(s, 0);
    site_clients_make_two(s, s->begin_ms + 3 * UINT64_C(60000),
                          s->day_end_ms + 5 * UINT64_C(60000));
}

/* --- Its day --- */

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t next_ms(const struct sim_site *s, uint64_t end_ms)
{
    uint64_t at_ms = min_u64(end_ms, site_clients_next_ms(s));
    at_ms = min_u64(at_ms, site_peers_next_ms(s));
    at_ms = min_u64(at_ms, site_responder_next_ms(s));
    at_ms = min_u64(at_ms, site_plan_next_ms(s));
    for (uint32_t i = 0; i < s->num_servers; i++) {
        const struct site_server *server = &s->servers[i];
        if (server->mta == NULL) {
            at_ms = min_u64(at_ms, server->up_again_ms);
        } else if (server->off_by_ms != 0) {
            at_ms = min_u64(at_ms, server->off_by_ms);
        }
    }
    return at_ms;
}

static bool run_server(struct sim_site *s, uint32_t i)
{
    struct site_server *server = &s->servers[i];
    if (server->mta == NULL) {
        if (site_now_ms(s) < server->up_again_ms) {
            return false;
        }
        site_server_start(s, i);
        return true;
    }
    if (server->off_by_ms != 0 && site_now_ms(s) >= server->off_by_ms) {
        site_server_crash(s, i, server->crash_mode, site_draw(s, 600000));
        return true;
    }
    if (!server->is_fresh && !sim_host_is_due(server->host)) {
        return false;
    }
    sim_world_set_horizon(s->world, site_now_ms(s)); /* it does not move the clock */
    site_server_step(s, i);
    return true;
}

/* Everybody who has something to do does it; if nobody has, time goes on. */
static void turn(struct sim_site *s, uint64_t end_ms)
{
    bool is_busy = false;
    if (site_plan_next_ms(s) <= site_now_ms(s)) {
        site_plan_run(s);
    }
    for (uint32_t i = 0; i < s->num_servers && !s->result.failed; i++) {
        is_busy = run_server(s, i) || is_busy;
    }
    is_busy = site_peers_run(s) || is_busy;
    is_busy = site_responder_run(s) || is_busy;
    is_busy = site_clients_run(s) || is_busy;
    if (is_busy) {
        site_check_spools(s);
        return;
    }
    sim_world_set_horizon(s->world, next_ms(s, end_ms));
    uint64_t before_ms = site_now_ms(s);
    sim_world_move_on(s->world);
    if (site_now_ms(s) == before_ms) {
        uint64_t at_ms = next_ms(s, end_ms);
        sim_world_advance(s->world, at_ms > before_ms ? at_ms - before_ms : 1);
    }
}

static bool has_mail(const struct sim_site *s)
{
    for (uint32_t i = 0; i < s->num_servers; i++) {
        const struct mta *m = s->servers[i].mta;
        if (m == NULL || !m->spool_ready || queue_num_messages(&m->queue) != 0) {
            return true;
        }
    }
    return false;
}

static void run_day(struct sim_site *s)
{
    for (uint64_t i = 0; i < STEPS_MAX && !s->result.failed; i++) {
        if (site_now_ms(s) >= s->day_end_ms) {
            return;
        }
        turn(s, s->day_end_ms);
    }
    site_fail(s, SITE_SPIN, "a day took more than %d turns", STEPS_MAX);
}

static void restart_all(struct sim_site *s)
{
    for (uint32_t i = 0; i < s->num_servers; i++) {
        struct site_server *server = &s->servers[i];
        if (server->mta != NULL && !server->is_stopping) {
            server->is_stopping = true;
            sim_host_signal(server->host, PORT_TERMINATE);
        }
    }
}

/* Whatever is broken is mended, as a person would: a server whose storage failed is started again.
 */
static void mend(struct sim_site *s)
{
    s->is_quiet = true;
    site_plan_end(s);
    site_peers_calm(s);
    restart_all(s);
}

/* Until nobody has mail any more: all that waits is given up at last. */
static void run_out(struct sim_site *s)
{
    uint64_t end_ms = site_now_ms(s) + 4 * UINT64_C(1000) * s->retry_give_up_s + SITE_DAY_MS;
    for (uint64_t i = 0; i < STEPS_MAX && !s->result.failed; i++) {
        if (site_now_ms(s) >= end_ms) {
            site_fail(s, SITE_ENDS, "mail is left that nobody gives up%s",
                      site_clients_are_done(s) ? "" : ", and clients have not done");
            return;
        }
        turn(s, end_ms);
        if (site_clients_are_done(s) && !has_mail(s)) {
            break;
        }
    }
    /* What is kept for a while, connections and memories of failures, goes as well. */
    uint64_t rest_ms = site_now_ms(s) + UINT64_C(40) * 60 * 1000;
    while (site_now_ms(s) < rest_ms && !s->result.failed) {
        turn(s, rest_ms);
    }
}

static void stop_all(struct sim_site *s)
{
    for (uint32_t i = 0; i < s->num_servers && !s->result.failed; i++) {
        struct site_server *server = &s->servers[i];
        if (server->mta == NULL) {
            site_fail(s, SITE_ENDS, "%s is not up at the end", site_hostnames[i]);
            return;
        }
        uint64_t begin_ms = site_now_ms(s);
        server->is_stopping = true;
        sim_host_signal(server->host, PORT_TERMINATE);
        while (server->mta != NULL && !s->result.failed && site_now_ms(s) < begin_ms + 60000) {
            turn(s, begin_ms + 60000);
        }
        server->up_again_ms = UINT64_MAX;
        if (server->mta != NULL) {
            site_fail(s, SITE_ENDS, "%s does not stop", site_hostnames[i]);
        }
    }
}

/* Everything is quiet and mended for long. */
static void shake_last(struct sim_site *s)
{
    uint64_t end_ms = site_now_ms(s) + 120000;
    uint64_t num_failed = site_memory_num_failed();
    site_clients_close(s);
    site_clients_make_last(s);
    while (site_now_ms(s) < end_ms && !s->result.failed) {
        turn(s, end_ms);
    }
    /* Unless it is their own memory that fails. */
    if (!s->result.failed && site_memory_num_failed() == num_failed) {
        site_clients_check_last(s);
    }
}

/* The rest of its time, and its end. */
static void end(struct sim_site *s, struct site_result *out)
{
    if (!s->result.failed) {
        run_out(s);
    }
    if (!s->result.failed && s->has_tls) {
        shake_last(s);
    }
    if (!s->result.failed) {
        for (uint32_t i = 0; i < s->num_servers; i++) {
            site_check_idle(s, i);
        }
        stop_all(s);
    }
    if (!s->result.failed) {
        site_check_end(s);
    }
    site_plan_count(s);
    site_memory_forget();
    for (uint32_t i = 0; i < s->num_servers; i++) {
        site_server_drop(s, i);
    }
    site_clients_close(s);
    site_peers_close(s);
    site_responder_close(s);
    site_tls_close(s);
    sim_world_free(s->world);
    s->result.num_messages = s->num_msgs;
    *out = s->result;
    free(s->custodies);
    free(s->takes);
    free(s);
}

void site_run(uint64_t seed, bool is_traced, struct site_result *out)
{
    struct sim_site *s = make_site(seed, is_traced);
    make(s);
    run_day(s);
    if (!s->result.failed) {
        mend(s);
    }
    end(s, out);
}

void site_run_plain(bool has_tls, bool is_traced, struct site_result *out)
{
    struct sim_site *s = make_site(1, is_traced);
    make_plain(s, has_tls);
    uint64_t day_end_ms = s->day_end_ms;
    s->day_end_ms = s->begin_ms + 10 * UINT64_C(60000);
    run_day(s);
    sim_host_signal(s->servers[0].host, PORT_RELOAD);
    s->day_end_ms = day_end_ms;
    run_day(s);
    restart_all(s);
    end(s, out);
}

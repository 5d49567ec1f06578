/* One server of a site: its options, its start, its steps, its end. See site.h. */
#include "site.h"

#include "site_heap.h"
#include "site_memory.h"
#include "site_tls.h"
#include "spool_inside.h"

#include <stdio.h>
#include <stdlib.h>

#define CONF_PATH "/etc/postern.conf"
/* A step takes at most 64 events, and gives each connection two turns of a few calls. */
#define RETRY_START_MS 60000

const char *const site_hostnames[SITE_SERVERS_MAX] = {"edge.example", "inner.example",
                                                      "smart.example"};

static const char *const users[SITE_SERVERS_MAX] = {"ann : bob", "carl : dora", "eve : fred"};

static const char *routes(const struct sim_site *s, uint32_t index)
{
    static const char *const all[SITE_SERVERS_MAX][SITE_SERVERS_MAX] = {
        {"* mx", "", ""},
        {"inner.example smtp:10.0.0.2 ; * mx", "* smtp:10.0.0.1", ""},
        {"inner.example smtp:10.0.0.2 ; * smtp:10.0.0.3", "* smtp:10.0.0.3",
         "edge.example smtp:10.0.0.1 ; inner.example smtp:10.0.0.1 ; * mx"}};
    return all[s->num_servers - 1][index];
}

static const char *requirement(const struct sim_site *s)
{
    static const char *const all[2][2] = {
        {"", "hosts_require_tls = 10.0.0.0/24\n"},
        {"hosts_require_tls = 192.0.2.32\n", "hosts_require_tls = 192.0.2.32 : 10.0.0.0/24\n"}};
    return all[s->requires_tls][s->requires_inside];
}

void site_server_conf(struct sim_site *s, uint32_t index)
{
    static const char *const retries[] = {"retry_min = 30s\nretry_max = 10m\n",
                                          "retry_min = 5m\nretry_max = 3h\n",
                                          "retry_min = 1m\nretry_max = 1h\n"};
    static const char *const warnings[] = {"0", "20m", "4h"};
    struct site_server *server = &s->servers[index];
    snprintf(server->conf, sizeof server->conf,
             "primary_hostname = %s\n"
             "local_domains = %s\n"
             "local_interfaces = 10.0.0.%u\n"
             "daemon_smtp_ports = 25\n"
             "local_users = %s\n"
             "maildir = /mail/$local_part\n"
             "relay_from_hosts = 10.1.0.0/16 : 10.0.0.1 : 10.0.0.2 : 10.0.0.3\n"
             "%s"
             "route_list = %s\n"
             "spool_size = 8M\n"
             "message_size_limit = 1M\n"
             "retry_give_up = %us\n"
             "delay_warning = %s\n"
             "%s"
             "smtp_receive_timeout = %us\n%s",
             site_hostnames[index], site_hostnames[index], index + 1, users[index],
             index == 0 && s->num_servers > 1 ? "relay_to_domains = inner.example\n" : "",
             routes(s, index), s->retry_give_up_s, warnings[site_draw(s, 3)],
             retries[site_draw(s, 3)], site_chance(s, 50) ? 300u : 60u, requirement(s));
    if (s->has_tls) {
        size_t len = strlen(server->conf);
        struct buf more = buf_make(server->conf + len, sizeof server->conf - len);
        site_tls_conf(s, index, &more);
        if (!buf_end_string(&more)) {
            abort();
        }
    }
    sim_files_put_string(server->host, CONF_PATH, server->conf);
    sim_files_put_string(server->host, "/etc/resolv.conf", "nameserver 192.0.2.53\n");
}

/* What is left of its TLS heap: nothing, unless the library ran out in the middle of something. */
static void give_memory(struct sim_site *s, uint32_t index)
{
    struct site_server *server = &s->servers[index];
    const struct heap *heap = site_heap_of_server((int)index);
    if (s->has_tls && heap != NULL &&
        server->num_heap_failures == site_memory_num_failures(SITE_MEMORY_HEAP)) {
        if (heap->num_used != 0 || !heap_is_sound(heap)) {
            site_fail(s, SITE_POOLS, "%s leaves %u blocks on its TLS heap, which refused %u",
                      site_hostnames[index], heap->num_used, heap->num_refused);
        }
    }
    site_heap_forget((int)index);
    free(server->memory);
    server->memory = NULL;
    server->mta = NULL;
}

void site_server_start(struct sim_site *s, uint32_t index)
{
    static const struct mta_start start = {.conf_path = CONF_PATH,
                                           .hostname = "host.example",
                                           .version = "test",
                                           .resolv_conf_path = "/etc/resolv.conf",
                                           .hosts_path = "/etc/hosts"};
    struct site_server *server = &s->servers[index];
    const struct port *port = &server->faults.port;
    uint8_t error_bytes[2048];
    struct buf errors = buf_make(error_bytes, sizeof error_bytes);
    size_t len = mta_memory_len(8u << 20, port->store.write_unit_len);
    server->memory = calloc(1, len);
    server->faults.is_dead = false;
    server->is_stopping = false;
    server->num_spins = 0;
    struct arena a = {server->memory, len, 0};
    uint64_t num_failed = site_memory_num_failed();
    server->num_heap_failures = site_memory_num_failures(SITE_MEMORY_HEAP);
    site_heap_turn((int)index);
    enum err err = mta_open(&server->mta, &a, port, &start, &errors);
    site_heap_turn(SITE_HEAP_NOBODY);
    site_trace(s, "%s starts: %s", site_hostnames[index], err_name(err));
    if (server->faults.num_file_errors != server->refusal_file_errors) {
        server->refusal_s = 0; /* what it had written down may be lost */
        server->is_unknown = false;
    }
    if (err == ERR_OK) {
        server->num_starts++;
        site_memory_reserved(index, &server->mta->spool->outcomes);
        server->is_fresh = true;
        return;
    }
    give_memory(s, index);
    sim_host_kill(server->host); /* the process has ended */
    server->up_again_ms = site_now_ms(s) + RETRY_START_MS;
    bool has_excuse = server->faults.entropy_fails || server->faults.file_error_rate != 0 ||
                      server->faults.read_error_rate != 0 || sim_host_is_off(server->host) ||
                      site_memory_num_failed() != num_failed;
    if (!has_excuse) {
        site_fail(s, SITE_STARTS, "%s: %s: %.*s", site_hostnames[index], err_name(err),
                  (int)errors.len, (char *)errors.ptr);
    }
}

/* Its memory is given up as a process's is; but what the library has of it is the process's that
 * all servers here share, so that is taken back, unseen by anybody. */
void site_server_drop(struct sim_site *s, uint32_t index)
{
    struct site_server *server = &s->servers[index];
    (void)s;
    if (server->mta == NULL) {
        return;
    }
    server->faults.is_dead = true;
    site_memory_forget();
    site_heap_turn((int)index);
    deliver_smtp_close(server->mta->remote);
    site_close_tls(server->mta);
    site_heap_turn(SITE_HEAP_NOBODY);
    give_memory(s, index);
}

void site_server_crash(struct sim_site *s, uint32_t index, int how, uint64_t down_ms)
{
    struct site_server *server = &s->servers[index];
    site_trace(s, "%s %s", site_hostnames[index], how < 0 ? "is killed" : "loses its power");
    s->result.faults[how < 0 ? FAULT_KILL : FAULT_CRASH]++;
    server->was_cut = server->was_cut || how >= 0;
    site_log_read(s, index);
    site_ledger_crash(s, index);
    site_server_drop(s, index);
    if (how < 0) {
        sim_host_kill(server->host);
    } else {
        sim_host_crash(server->host, (enum sim_crash)how);
    }
    server->off_by_ms = 0;
    server->up_again_ms = site_now_ms(s) + down_ms;
}

static void ended(struct sim_site *s, uint32_t index)
{
    struct site_server *server = &s->servers[index];
    enum err result = mta_result(server->mta);
    bool was_asked = server->is_stopping;
    site_log_read(s, index);
    site_ledger_crash(s, index); /* what was not done within its time is cut */
    site_trace(s, "%s has stopped: %s", site_hostnames[index], err_name(result));
    give_memory(s, index);
    sim_host_kill(server->host);
    server->up_again_ms = site_now_ms(s) + site_draw(s, 120000);
    if (!was_asked && result == ERR_OK) {
        site_fail(s, SITE_ENDS, "%s stopped, unasked", site_hostnames[index]);
    }
}

/* Many turns in which nothing moves, the time neither: it does not wait. */
static void check_spin(struct sim_site *s, uint32_t index)
{
    struct site_server *server = &s->servers[index];
    if (server->spin_ms != site_now_ms(s) || server->faults.work.moved_len != 0) {
        server->spin_ms = site_now_ms(s);
        server->num_spins = 0;
    }
    if (++server->num_spins > 20000) {
        site_fail(s, SITE_SPIN, "%s: %u steps without waiting", site_hostnames[index],
                  server->num_spins);
    }
}

void site_server_step(struct sim_site *s, uint32_t index)
{
    struct site_server *server = &s->servers[index];
    sim_faults_begin_step(&server->faults);
    s->result.num_steps++;
    server->is_fresh = false;
    site_heap_turn((int)index);
    bool goes_on = mta_step(server->mta);
    site_heap_turn(SITE_HEAP_NOBODY);
    site_clients_clock(s, index);
    site_log_read(s, index);
    check_spin(s, index);
    if (sim_host_is_off(server->host)) {
        site_server_crash(s, index, server->crash_mode, site_draw(s, 600000));
    } else if (!goes_on) {
        ended(s, index);
    } else {
        site_check_step(s, index);
    }
}

/* What must hold after each step, when a server rests, and at the end. See site.h. */
#include "site.h"

#include "deliver_smtp_inside.h"

#include <stdio.h>

/* A step sees 64 events and gives each connection that is ready two turns; each turn is a few calls
 * of the port, and a piece of at most 96 KiB. These are far above what is ever seen, and far below
 * what work without a bound would come to. */
#define STEP_CALLS_MAX 200000
#define STEP_LEN_MAX   (8u << 20)
#define STEP_LINES_MAX 400

/* How long after its time a timer may fire. One may be set for a time that has gone, and a step
 * takes 64 of them; then the next steps do it. */
#define TIMER_LATE_MS  1000
#define LATE_STEPS_MAX 20

static void check_work(struct sim_site *s, uint32_t server)
{
    const struct sim_faults_work *work = &s->servers[server].faults.work;
    struct site_result *r = &s->result;
    r->step_calls_max = work->num_calls > r->step_calls_max ? work->num_calls : r->step_calls_max;
    r->step_len_max = work->moved_len > r->step_len_max ? work->moved_len : r->step_len_max;
    if (work->num_calls > STEP_CALLS_MAX || work->moved_len > STEP_LEN_MAX ||
        work->num_lines > STEP_LINES_MAX) {
        site_fail(s, SITE_WORK, "%s: a step of %llu calls, %llu bytes, %llu lines",
                  site_hostnames[server], (unsigned long long)work->num_calls,
                  (unsigned long long)work->moved_len, (unsigned long long)work->num_lines);
    }
}

static void check_timers(struct sim_site *s, uint32_t server)
{
    const struct mta *m = s->servers[server].mta;
    uint64_t next_ms = timers_next_ms(&m->timers);
    bool is_late = next_ms != TIMER_NEVER && next_ms + TIMER_LATE_MS < m->now_ms;
    s->servers[server].num_late_steps = is_late ? s->servers[server].num_late_steps + 1 : 0;
    if (s->servers[server].num_late_steps > LATE_STEPS_MAX) {
        site_fail(s, SITE_TIMER, "%s: a timer is late by %llu ms", site_hostnames[server],
                  (unsigned long long)(m->now_ms - next_ms));
    }
    uint32_t cursor = 0;
    const struct conn *c;
    while ((c = pool_each(&m->conns, &cursor)) != NULL) {
        if (c->timer.slot == 0 && !c->waits_for_commit && !c->is_queued) {
            site_fail(s, SITE_TIMER, "%s: a connection without a deadline, in phase %d",
                      site_hostnames[server], c->phase);
        }
    }
}

static void check_clock(struct sim_site *s, uint32_t server)
{
    const struct wall_time *w = &s->servers[server].mta->wall;
    int64_t wall_s;
    if (wall_time_now(w, &wall_s) && wall_s < w->floor_s) {
        site_fail(s, SITE_CLOCK, "%s believes %lld, which is before its floor, %lld",
                  site_hostnames[server], (long long)wall_s, (long long)w->floor_s);
    }
}

void site_check_step(struct sim_site *s, uint32_t server)
{
    check_work(s, server);
    check_timers(s, server);
    check_clock(s, server);
}

static bool holds(struct sim_site *s, const struct site_custody *c)
{
    const struct mta *m = s->servers[c->server].mta;
    struct queue_info info;
    if (m == NULL || !m->spool_ready) {
        return true; /* on a disk that is looked at when it is up again */
    }
    if (c->is_doubted) {
        return true;
    }
    return queue_find(&m->queue, c->id, &info) == ERR_OK;
}

/* Whatever was answered 250 is delivered, reported, or in somebody's spool. */
void site_check_spools(struct sim_site *s)
{
    for (uint32_t mark = 0; mark < s->num_msgs && !s->result.failed; mark++) {
        const struct site_msg *m = &s->msgs[mark];
        bool is_open = false;
        for (uint32_t i = 0; m->state == MSG_ACKED && i < m->num_rcpts; i++) {
            is_open = is_open || (m->rcpts[i].accepted && !site_is_resolved(s, m, &m->rcpts[i]));
        }
        for (uint32_t i = 0; is_open && i < s->num_custodies; i++) {
            const struct site_custody *c = &s->custodies[i];
            is_open = c->mark != mark || !holds(s, c);
        }
        if (is_open) {
            site_fail(s, SITE_LOST, "message %u, accepted by %s as %s, is in no spool", mark,
                      site_hostnames[m->server], m->id);
        }
    }
}

/* Long after the last message nothing of any is held. */
void site_check_idle(struct sim_site *s, uint32_t server)
{
    const struct mta *m = s->servers[server].mta;
    if (m == NULL) {
        return;
    }
    const struct {
        const char *what;
        uint32_t num;
    } held[] = {
        {"connections", m->conns.num_used},
        {"transactions", m->txns.num_used},
        {"envelope blocks", m->blocks.num_used},
        {"input slots", m->in_slots.num_used},
        {"output slots", m->out_slots.num_used},
        {"TLS sessions", m->tls_conns.num_used},
        {"logins", m->logins.num_used},
        {"users", m->users.num_used},
        {"control connections", m->controls.num_used},
        {"local users", m->locals.num_used},
        {"handshakes", m->num_handshakes},
        {"promised transactions", m->num_txns_promised},
        {"messages", queue_num_messages(&m->queue)},
        {"active rounds", m->queue.num_active},
        {"mailbox jobs", m->queue.num_mail_active},
        {"remote jobs", m->queue.num_remote},
        {"report items", m->queue.items.num_used},
        {"reports", m->queue.num_reports},
        {"jobs of sending", m->remote->jobs.num_used},
        {"connections of sending", m->remote->conns.num_used},
        {"handshakes of sending", m->remote->num_shaking},
    };
    for (size_t i = 0; i < sizeof held / sizeof held[0]; i++) {
        if (held[i].num != 0) {
            site_fail(s, SITE_POOLS, "%s, at rest, holds %u %s", site_hostnames[server],
                      held[i].num, held[i].what);
        }
    }
    if (!spool_idle(m->spool)) {
        site_fail(s, SITE_POOLS, "%s: the spool is not idle at rest", site_hostnames[server]);
    }
    /* The spool's directory has a control socket; else the port that is listened on. */
    bool fetches = !transfer_is_idle(&m->fetch.transfer);
    if (sim_net_num_handles(s->servers[server].host) > 2 && !fetches) {
        site_fail(s, SITE_POOLS, "%s, at rest, holds %u handles", site_hostnames[server],
                  sim_net_num_handles(s->servers[server].host));
    }
}

static void check_maildir(struct sim_site *s, uint32_t server, const char *user)
{
    struct sim_host *h = s->servers[server].host;
    char maildir[64];
    snprintf(maildir, sizeof maildir, "/mail/%s", user);
    size_t num = sim_mailbox_num(h, maildir, SIM_NEW);
    for (size_t i = 0; i < num && !s->result.failed; i++) {
        const char *name, *other;
        struct slice bytes, others;
        (void)sim_mailbox_file(h, maildir, SIM_NEW, i, &name, &bytes);
        uint32_t mark = site_mark_of((const char *)bytes.ptr, bytes.len);
        if (mark >= s->num_msgs) {
            site_fail(s, SITE_CONTENT, "%s: a file that nobody sent: %s", site_hostnames[server],
                      name);
        }
        for (size_t k = 0; k < i; k++) {
            (void)sim_mailbox_file(h, maildir, SIM_NEW, k, &other, &others);
            if (bytes.len == others.len && memcmp(bytes.ptr, others.ptr, bytes.len) == 0) {
                site_fail(s, SITE_TWICE, "%s: message %u stands in %s twice: %s, %s",
                          site_hostnames[server], mark, maildir, name, other);
            }
        }
    }
}

static bool is_doubted(const struct sim_site *s, uint32_t mark)
{
    for (uint32_t i = 0; i < s->num_custodies; i++) {
        if (s->custodies[i].mark == mark && s->custodies[i].is_doubted) {
            return true;
        }
    }
    return false;
}

void site_check_end(struct sim_site *s)
{
    for (uint32_t mark = 0; mark < s->num_msgs; mark++) {
        const struct site_msg *m = &s->msgs[mark];
        for (uint32_t i = 0; m->state == MSG_ACKED && i < m->num_rcpts; i++) {
            const struct site_rcpt *r = &m->rcpts[i];
            if (r->accepted && !site_is_resolved(s, m, r) && !is_doubted(s, mark)) {
                site_fail(s, SITE_LOST, "message %u, accepted by %s as %s, never came to %s", mark,
                          site_hostnames[m->server], m->id, r->address);
            }
        }
    }
    static const char *const users[] = {"ann", "bob", "carl", "dora", "eve", "fred"};
    for (uint32_t i = 0; i < s->num_servers; i++) {
        check_maildir(s, i, users[2 * i]);
        check_maildir(s, i, users[2 * i + 1]);
    }
}

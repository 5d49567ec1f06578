/* The service that sends mail on: its contract with the queue, and the step. See deliver_smtp.h. */
#include "deliver_smtp_inside.h"

#define SLOW_MS 30000 /* a job that takes longer has a slow destination */

size_t deliver_smtp_memory_len(void)
{
    return pool_memory_len(sizeof(struct deliver_smtp), 1) +
           pool_memory_len(sizeof(struct remote_job), BUDGET_REMOTE_CONNECTIONS) +
           pool_memory_len(sizeof(struct remote_conn), BUDGET_REMOTE_CONNECTIONS) +
           pool_memory_len(sizeof(struct remote_dest), BUDGET_DESTINATIONS);
}

enum err deliver_smtp_open(struct deliver_smtp **out, struct arena *a,
                           const struct deliver_smtp_env *env)
{
    struct deliver_smtp *d = arena_take(a, sizeof *d);
    if (d == NULL ||
        !pool_init(&d->jobs, a, sizeof(struct remote_job), BUDGET_REMOTE_CONNECTIONS) ||
        !pool_init(&d->conns, a, sizeof(struct remote_conn), BUDGET_REMOTE_CONNECTIONS) ||
        !pool_init(&d->dests, a, sizeof(struct remote_dest), BUDGET_DESTINATIONS)) {
        return ERR_NO_MEMORY;
    }
    d->env = *env;
    *out = d;
    return ERR_OK;
}

/* What a server had to show may be more by now: jobs end where they are, no other begins there. */
static void outdate(struct deliver_smtp *d)
{
    uint32_t cursor = 0;
    struct remote_conn *c;
    while ((c = pool_each(&d->conns, &cursor)) != NULL) {
        c->is_outdated = c->phase >= REMOTE_HANDSHAKE;
        if (remote_is_idle(c)) {
            c->timed_out = true;
            remote_wake(d, c);
        }
    }
}

void deliver_smtp_set_conf(struct deliver_smtp *d, const struct conf *conf, struct slice hostname)
{
    uint32_t cursor = 0;
    struct remote_conn *c;
    d->env.conf = conf;
    d->env.hostname = hostname;
    deliver_smtp_forget_failures(d); /* what they name may have been repaired */
    while ((c = pool_each(&d->conns, &cursor)) != NULL) {
        if (c->phase >= REMOTE_HANDSHAKE && c->client.conf.hostname.ptr != c->own_literal) {
            c->client.conf.hostname = hostname;
        }
    }
    outdate(d);
}

void deliver_smtp_use_tls(struct deliver_smtp *d, struct tls_env *env, struct tls_trust *trust)
{
    if (d->tls != NULL) {
        tls_trust_drop(d->tls, d->trust);
    }
    d->tls = env;
    d->trust = tls_trust_keep(trust);
    outdate(d);
}

bool deliver_smtp_wants_tls(const struct deliver_smtp *d)
{
    return d->tls == NULL && d->conns.num_used != 0;
}

/* --- Turns and deadlines --- */

void remote_wake(struct deliver_smtp *d, struct remote_conn *c)
{
    if (c->is_ready) {
        return;
    }
    c->is_ready = true;
    c->next_ready = NULL;
    if (d->ready_last == NULL) {
        d->ready_first = c;
    } else {
        d->ready_last->next_ready = c;
    }
    d->ready_last = c;
    d->num_ready++;
}

static void unwake(struct deliver_smtp *d, struct remote_conn *c)
{
    struct remote_conn *before = NULL;
    for (struct remote_conn *at = d->ready_first; at != NULL; before = at, at = at->next_ready) {
        if (at != c) {
            continue;
        }
        *(before == NULL ? &d->ready_first : &before->next_ready) = c->next_ready;
        d->ready_last = d->ready_last == c ? before : d->ready_last;
        c->is_ready = false;
        d->num_ready--;
        return;
    }
}

static void set_timer(struct deliver_smtp *d, struct remote_conn *c, uint64_t at_ms)
{
    if (at_ms == UINT64_MAX) {
        timer_cancel(d->env.timers, &c->timer);
    } else {
        (void)timer_set(d->env.timers, &c->timer, at_ms);
    }
}

void remote_set_deadline(struct deliver_smtp *d, struct remote_conn *c, uint64_t in_ms)
{
    c->deadline_ms = d->now.now_ms + in_ms;
    if (!c->is_paused) { /* else nothing is watched, and the timer is all that ends that */
        set_timer(d, c, c->deadline_ms);
    }
}

void remote_look_again(struct deliver_smtp *d, struct remote_conn *c, uint64_t in_ms)
{
    uint64_t at_ms = d->now.now_ms + in_ms;
    set_timer(d, c, at_ms < c->deadline_ms ? at_ms : c->deadline_ms);
}

void deliver_smtp_timer(struct deliver_smtp *d, struct timer *t)
{
    struct remote_conn *c = pool_find(&d->conns, t->tag);
    if (c == NULL) {
        return;
    }
    if (t->at_ms >= c->deadline_ms) {
        c->timed_out = true;
    } else {
        set_timer(d, c, c->deadline_ms);
    }
    remote_wake(d, c);
}

void deliver_smtp_event(struct deliver_smtp *d, uint64_t tag)
{
    struct remote_conn *c = pool_find(&d->conns, tag);
    if (c != NULL) {
        remote_wake(d, c);
    }
}

static void turn(struct deliver_smtp *d, struct remote_conn *c)
{
    switch ((enum remote_phase)c->phase) {
    case REMOTE_START:
        remote_begin(d, c);
        return;
    case REMOTE_MX:
    case REMOTE_NAMES:
    case REMOTE_CONNECT:
        remote_find_turn(d, c);
        return;
    case REMOTE_HANDSHAKE:
    case REMOTE_JUDGE:
        remote_tls_turn(d, c);
        return;
    case REMOTE_SESSION:
        remote_session_turn(d, c);
        return;
    }
}

bool deliver_smtp_step(struct deliver_smtp *d, const struct tls_time *now, struct buf scratch,
                       bool may_shake, bool *out_shook)
{
    d->now = *now;
    d->scratch = scratch;
    d->may_shake = may_shake;
    d->wants_shake = false;
    /* Those that are ready now; who wakes up meanwhile comes behind the last of them. */
    for (uint32_t num = d->num_ready; num > 0 && d->ready_first != NULL; num--) {
        struct remote_conn *c = d->ready_first;
        unwake(d, c);
        c->is_paused = false;
        turn(d, c);
    }
    *out_shook = may_shake && !d->may_shake;
    return d->ready_first != NULL;
}

bool deliver_smtp_wants_shake(const struct deliver_smtp *d)
{
    return d->wants_shake;
}

bool deliver_smtp_has_turns(const struct deliver_smtp *d)
{
    return d->ready_first != NULL; /* jobs that have ended wait for their owner */
}

/* --- Jobs --- */

static bool is_waiting_for_job(const struct remote_conn *c, const struct remote_dest *dest)
{
    return remote_is_idle(c) && !c->timed_out && c->dest == dest;
}

static struct remote_conn *find_idle(const struct deliver_smtp *d, const struct remote_dest *dest)
{
    uint32_t cursor = 0;
    struct remote_conn *c;
    while (dest != NULL && (c = pool_each(&d->conns, &cursor)) != NULL) {
        if (is_waiting_for_job(c, dest)) {
            return c;
        }
    }
    return NULL;
}

/* Whichever has been idle longest, for whomever. */
static struct remote_conn *longest_idle(const struct deliver_smtp *d)
{
    uint32_t cursor = 0;
    struct remote_conn *c, *found = NULL;
    while ((c = pool_each(&d->conns, &cursor)) != NULL) {
        if (remote_is_idle(c) && (found == NULL || c->idle_ms < found->idle_ms)) {
            found = c;
        }
    }
    return found;
}

static bool has_room(const struct pool *p)
{
    return p->num_used < p->num_items;
}

/* Whether a destination (NULL: one that is not known) may have one more connection now: it never
 * has more than are left for others, so that some that are slow share what there is and leave some
 * of it; and the last quarter is for those that were prompt the last time, or slow ones and
 * strangers could hold everything. */
static bool has_share(const struct deliver_smtp *d, const struct remote_dest *dest)
{
    uint32_t num_left = d->jobs.num_items - d->jobs.num_used;
    uint32_t num_kept = dest != NULL && dest->is_prompt ? 0 : d->jobs.num_items / 4;
    if (num_left <= num_kept) {
        return false;
    }
    return dest == NULL ||
           (dest->num_conns < num_left - num_kept && dest->num_conns < remote_dest_limit(d, dest));
}

static enum deliver_smtp_may may_start(const struct deliver_smtp *d, const struct remote_dest *dest,
                                       uint64_t now_ms)
{
    if (d->is_stopping || !has_room(&d->jobs)) {
        return DELIVER_SMTP_FULL;
    }
    if (dest != NULL && dest->num_failures != 0 && now_ms < dest->until_ms) {
        return DELIVER_SMTP_BACK_OFF;
    }
    if (find_idle(d, dest) != NULL) {
        return DELIVER_SMTP_YES;
    }
    if (!has_share(d, dest)) {
        return DELIVER_SMTP_FULL;
    }
    return has_room(&d->conns) || longest_idle(d) != NULL ? DELIVER_SMTP_YES : DELIVER_SMTP_FULL;
}

enum deliver_smtp_may deliver_smtp_may_start(const struct deliver_smtp *d,
                                             const struct route_item *route, struct slice domain,
                                             uint64_t now_ms,
                                             const struct deliver_reason_row **out_why)
{
    struct remote_key key;
    const struct remote_dest *dest =
        remote_key_make(&key, route, domain) ? remote_dest_find(d, &key) : NULL;
    enum deliver_smtp_may may = may_start(d, dest, now_ms);
    if (may == DELIVER_SMTP_BACK_OFF && out_why != NULL) {
        *out_why = deliver_reason_row((enum deliver_reason)dest->reason);
    }
    return may;
}

static uint16_t copy_text(uint8_t *to, size_t cap, struct slice text)
{
    size_t len = text.len < cap ? text.len : cap;
    if (len != 0) {
        memcpy(to, text.ptr, len);
    }
    return (uint16_t)len;
}

static struct remote_job *make_job(struct deliver_smtp *d, const struct smtp_order *order)
{
    struct remote_job *job = pool_take(&d->jobs);
    if (job == NULL) {
        return NULL;
    }
    job->shown.id = order->id;
    job->shown.owner_tag = order->owner_tag;
    job->shown.num_rcpts =
        order->num_rcpts < SMTP_JOB_RCPTS_MAX ? order->num_rcpts : SMTP_JOB_RCPTS_MAX;
    for (uint32_t i = 0; i < job->shown.num_rcpts; i++) {
        job->shown.rcpts[i].envelope_offset = order->rcpts[i].envelope_offset;
        job->shown.rcpts[i].index = order->rcpts[i].index;
    }
    job->envelope_len = order->envelope_len;
    job->end_offset = order->end_offset;
    job->is_8bit = order->is_8bit;
    job->is_smtputf8 = order->is_smtputf8;
    job->ret = order->ret;
    job->sender_len = copy_text(job->sender, sizeof job->sender, order->sender);
    job->envid_len = copy_text(job->envid, sizeof job->envid, order->envid);
    return job;
}

static struct remote_conn *make_conn(struct deliver_smtp *d, struct remote_dest *dest)
{
    if (!has_room(&d->conns)) {
        remote_free(d, longest_idle(d));
    }
    struct remote_conn *c = pool_take(&d->conns);
    if (c != NULL) {
        c->dest = dest;
        c->timer.kind = d->env.timer_kind;
        c->timer.tag = pool_handle(&d->conns, c);
        c->names.port = d->env.port;
        c->names.tag = d->env.tag_mark | c->timer.tag;
        c->deadline_ms = UINT64_MAX;
        dest->num_conns++;
    }
    return c;
}

struct smtp_job *deliver_smtp_start(struct deliver_smtp *d, const struct smtp_order *order,
                                    uint64_t now_ms)
{
    struct remote_key key;
    if (!remote_key_make(&key, order->route, order->domain) ||
        may_start(d, remote_dest_find(d, &key), now_ms) != DELIVER_SMTP_YES) {
        return NULL;
    }
    struct remote_dest *dest = remote_dest_take(d, &key);
    struct remote_job *job = dest != NULL ? make_job(d, order) : NULL;
    if (job == NULL) {
        return NULL;
    }
    d->now.now_ms = now_ms;
    dest->used_ms = now_ms;
    job->begun_ms = now_ms;
    struct remote_conn *c = find_idle(d, dest);
    if (c != NULL) {
        remote_session_assign(d, c, job);
        return &job->shown;
    }
    c = make_conn(d, dest);
    if (c == NULL) {
        pool_give(&d->jobs, job);
        return NULL;
    }
    c->job = job;
    c->phase = REMOTE_START;
    remote_wake(d, c);
    return &job->shown;
}

void remote_end_job(struct deliver_smtp *d, struct remote_conn *c)
{
    struct remote_job *job = c->job;
    remote_fail_pending(c);
    remote_report_job(d, c);
    c->dest->is_prompt = c->dest->num_failures == 0 && d->now.now_ms - job->begun_ms <= SLOW_MS;
    c->job = NULL;
    job->next_ended = NULL;
    if (d->ended_last == NULL) {
        d->ended_first = job;
    } else {
        d->ended_last->next_ended = job;
    }
    d->ended_last = job;
}

struct smtp_job *deliver_smtp_ended(struct deliver_smtp *d)
{
    struct remote_job *job = d->ended_first;
    if (job == NULL) {
        return NULL;
    }
    d->ended_first = job->next_ended;
    if (d->ended_first == NULL) {
        d->ended_last = NULL;
    }
    return &job->shown;
}

void deliver_smtp_give(struct deliver_smtp *d, struct smtp_job *job)
{
    pool_give(&d->jobs, job);
}

void remote_free(struct deliver_smtp *d, struct remote_conn *c)
{
    remote_drop_handles(d, c);
    timer_cancel(d->env.timers, &c->timer);
    unwake(d, c);
    c->dest->num_conns--;
    d->num_left++;
    pool_give(&d->conns, c);
}

uint32_t deliver_smtp_num_left(const struct deliver_smtp *d)
{
    return d->num_left;
}

/* --- The end --- */

/* No server has heard of its message: nothing is gained by waiting for one that may be silent. */
static bool is_still_looking(const struct remote_conn *c)
{
    return c->job != NULL &&
           (c->phase != REMOTE_SESSION || c->client.state < SMTP_CLIENT_STATE_READY);
}

void deliver_smtp_stop(struct deliver_smtp *d)
{
    uint32_t cursor = 0;
    struct remote_conn *c;
    d->is_stopping = true;
    while ((c = pool_each(&d->conns, &cursor)) != NULL) {
        if (is_still_looking(c)) {
            c->why = DELIVER_STOPPING;
            c->has_answer = false;
            remote_end_job(d, c);
            remote_free(d, c);
        } else if (remote_is_idle(c)) {
            c->timed_out = true;
            remote_wake(d, c);
        }
    }
}

bool deliver_smtp_is_idle(const struct deliver_smtp *d)
{
    return d->conns.num_used == 0 && d->jobs.num_used == 0;
}

void deliver_smtp_close(struct deliver_smtp *d)
{
    uint32_t cursor = 0;
    struct remote_conn *c;
    while ((c = pool_each(&d->conns, &cursor)) != NULL) {
        remote_free(d, c);
    }
    if (d->tls != NULL) {
        tls_trust_drop(d->tls, d->trust);
    }
    d->tls = NULL;
    d->trust = NULL;
}

/* The step: the one place where the order of work is decided.
 *
 *   wait for events or the next deadline
 *   completions, signals, new connections: what the machine says
 *   timers
 *   sessions: bytes in, messages into the spool, replies out
 *   the spool: ONE sync for all that waits; what became durable is answered
 *   sessions again: those answers go out
 *   one TLS handshake: public-key work comes after the replies that are due
 *   mail that is sent on: a turn for each connection; handshakes take turns with those of clients
 *   one login: a piece of hashing its password, likewise
 *   fetching proofs: what has come of one answer
 *   deliveries: a bounded piece
 *
 * Whatever is left makes the next wait return at once. */
#include "mta_inside.h"

#define EVENTS_PER_STEP 64
#define TIMERS_PER_STEP 64
#define STOP_WITHIN_MS  30000 /* what was promised must be done by then */
#define PROBE_EVERY_MS  5000

static void take_signal(struct mta *m, enum port_signal signal)
{
    switch (signal) {
    case PORT_TERMINATE:
        mta_stop(m);
        return;
    case PORT_RELOAD:
        mta_reload(m);
        return;
    }
}

static void take_event(struct mta *m, const struct port_event *event)
{
    switch (event->kind) {
    case PORT_READABLE:
    case PORT_WRITABLE:
        if (TAG_OWNER(event->tag) == TAG_LISTENER) {
            mta_accept(m, (uint32_t)TAG_REST(event->tag));
        } else if (TAG_OWNER(event->tag) == TAG_DOVECOT) {
            dovecot_event(m, event->kind);
        } else if (TAG_OWNER(event->tag) == TAG_CONTROL) {
            control_event(m, TAG_REST(event->tag));
        } else if (TAG_OWNER(event->tag) == TAG_FETCH) {
            m->fetch_woken = true;
        } else if (TAG_OWNER(event->tag) == TAG_REMOTE) {
            deliver_smtp_event(m->remote, TAG_REST(event->tag));
        } else {
            conn_event(m, TAG_REST(event->tag), event->kind);
        }
        return;
    case PORT_DONE:
        if (SPOOL_TAG_IS(event->tag)) {
            spool_done(m->spool, event->tag, event->err);
        } else if (TAG_OWNER(event->tag) == TAG_QUEUE) {
            queue_done(&m->queue, TAG_REST(event->tag), event->err);
        }
        return;
    case PORT_SIGNAL:
        take_signal(m, (enum port_signal)event->tag);
        return;
    }
}

static void take_timers(struct mta *m)
{
    struct timer *t;
    for (int i = 0; i < TIMERS_PER_STEP && (t = timers_due(&m->timers, m->now_ms)) != NULL; i++) {
        switch ((enum timer_kind)t->kind) {
        case TIMER_CONN:
            conn_timeout(m, t->tag);
            break;
        case TIMER_QUEUE:
            break; /* queue_step, in every step, sees what is due */
        case TIMER_REMOTE:
            deliver_smtp_timer(m->remote, t);
            break;
        case TIMER_HEAP:
            handshake_heap_timer(m);
            break;
        case TIMER_STAPLE:
            site_watch(m);
            break;
        case TIMER_LOGIN:
            login_timer(m, t->tag);
            break;
        case TIMER_OUTBOX:
            outbox_timer(m);
            break;
        case TIMER_CONTROL:
            control_timeout(m, t->tag);
            break;
        case TIMER_ACCEPT:
            mta_accept_again(m);
            break;
        }
    }
}

static void wake_those_without_room(struct mta *m)
{
    m->outbox.waits_for_room = false;
    uint32_t cursor = 0;
    struct conn *c;
    while ((c = pool_each(&m->conns, &cursor)) != NULL) {
        if (c->waits_for_room) {
            conn_queue(m, c);
        }
    }
}

static void take_spool_event(struct mta *m, const struct spool_event *event)
{
    switch (event->kind) {
    case SPOOL_READY:
        mta_spool_ready(m, event->err);
        return;
    case SPOOL_FOUND:
        if (queue_add(&m->queue, event->id, true) != ERR_OK) {
            report_text(
                m, LOG_ERROR, "queue",
                SLICE_LITERAL("more messages in the spool than this build has room for; the "
                              "rest waits for the next start"));
        }
        return;
    case SPOOL_COMMITTED:
        if (!queue_committed(&m->queue, event)) {
            session_committed(m, event);
        }
        return;
    case SPOOL_OUTCOME_DURABLE:
        return;
    case SPOOL_ROOM:
        wake_those_without_room(m);
        return;
    }
}

/* True if the spool has more to do at once. */
static bool run_spool(struct mta *m)
{
    struct spool_event event;
    bool more = spool_step(m->spool, m->now_ms);
    while (spool_next_event(m->spool, &event)) {
        take_spool_event(m, &event);
    }
    return more;
}

/* A spool that has failed is whole again only after a recovery, which is what a start begins with:
 * once the disk takes files again, we leave to be started anew. Until then mail is answered 451. */
static void probe_storage(struct mta *m)
{
    if (!spool_has_failed(m->spool) || m->stopping || m->now_ms < m->probe_ms) {
        return;
    }
    if (m->probe_ms != 0) {
        m->running.save_ms = m->now_ms;
        running_time_step(&m->running, m->now_ms);
        if (m->running.saved_s == running_time_s(&m->running, m->now_ms)) {
            report_text(m, LOG_ERROR, "spool",
                        SLICE_LITERAL("the disk takes files again: leaving, to be started anew"));
            m->result = ERR_IO;
            mta_stop(m);
        }
    }
    m->probe_ms = m->now_ms + PROBE_EVERY_MS;
}

static uint64_t wait_ms(const struct mta *m, bool more)
{
    if (more || m->run.first != NULL || m->shaking_first != NULL || m->working_first != NULL) {
        return 0;
    }
    uint64_t at_ms = timers_next_ms(&m->timers);
    uint64_t spool_ms = spool_next_deadline_ms(m->spool);
    if (spool_ms < at_ms) {
        at_ms = spool_ms;
    }
    uint64_t fetch_ms = fetch_deadline_ms(m);
    if (fetch_ms < at_ms) {
        at_ms = fetch_ms;
    }
    if (m->stopping && m->stop_by_ms < at_ms) {
        at_ms = m->stop_by_ms;
    }
    if (m->probe_ms != 0 && !m->stopping && m->probe_ms < at_ms) {
        at_ms = m->probe_ms;
    }
    if (at_ms == TIMER_NEVER) {
        return UINT64_MAX;
    }
    return at_ms > m->now_ms ? at_ms - m->now_ms : 0;
}

void mta_stop(struct mta *m)
{
    if (m->stopping) {
        return;
    }
    report_text(m, LOG_INFO, "stop", SLICE_LITERAL("finishing what was promised"));
    m->stopping = true;
    m->stop_by_ms = m->now_ms + STOP_WITHIN_MS;
    ocsp_fetch_close(&m->fetch);
    mta_close_listeners(m);
    queue_stop(&m->queue);
    deliver_smtp_stop(m->remote);
    spool_stop(m->spool);
    uint32_t cursor = 0;
    struct conn *c;
    while ((c = pool_each(&m->conns, &cursor)) != NULL) {
        conn_stop(m, c);
    }
}

static bool is_finished(struct mta *m)
{
    if (!m->stopping) {
        return false;
    }
    /* What cannot be recorded any more is done again after the next start. */
    bool is_idle = queue_is_idle(&m->queue) || spool_has_failed(m->spool);
    return (m->conns.num_used == 0 && is_idle && spool_idle(m->spool) &&
            deliver_smtp_is_idle(m->remote)) ||
           m->now_ms >= m->stop_by_ms;
}

/* One public-key operation in a step: clients' handshakes go first, but not twice in a row where
 * mail to be sent on needs one as well. */
static bool run_handshakes(struct mta *m)
{
    bool is_remotes_turn = m->shaking_first == NULL || !m->remote_shook;
    if (m->shaking_first != NULL && !(is_remotes_turn && deliver_smtp_wants_shake(m->remote))) {
        handshake_run(m);
        is_remotes_turn = false;
    }
    return remote_step(m, is_remotes_turn);
}

bool mta_step(struct mta *m)
{
    struct port_event events[EVENTS_PER_STEP];
    const struct port_loop *loop = &m->port->loop;
    size_t num = loop->wait(loop->ctx, events, EVENTS_PER_STEP, wait_ms(m, m->more_to_do));
    m->now_ms = m->port->clock.monotonic_ms(m->port->clock.ctx);
    wall_time_step(&m->wall, m->now_ms);
    for (size_t i = 0; i < num; i++) {
        take_event(m, &events[i]);
    }
    take_timers(m);
    conn_run_all(m);
    m->more_to_do = run_spool(m);
    probe_storage(m);
    /* Those that are answered now may at once give the spool more. */
    m->more_to_do = m->more_to_do || m->run.first != NULL;
    conn_run_all(m);
    bool sends_more = run_handshakes(m);
    login_run(m);
    fetch_step(m);
    m->more_to_do = outbox_step(m) || m->more_to_do;
    struct buf scratch = buf_make(m->scratch, BUDGET_PIECE_LEN);
    if (queue_step(&m->queue, m->now_ms, scratch)) {
        m->more_to_do = true;
    }
    m->more_to_do = m->more_to_do || sends_more || deliver_smtp_has_turns(m->remote);
    if (!is_finished(m)) {
        return true;
    }
    mta_close(m);
    return false;
}

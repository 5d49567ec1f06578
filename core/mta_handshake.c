/* The handshakes: how many at once, and one at a time.
 *
 * A handshake is public-key work, tens of milliseconds on a router. So one connection gets a turn
 * in each step, after the replies that are due; the others wait in a queue, and a flood of
 * handshakes slows nothing but itself. At most tls_max_handshakes hold memory for one, from the
 * peer's first byte on; those that come later wait until a place is free, and a peer that takes
 * long for its part of one gives way. */
#include "mta_inside.h"

#define HEAP_PAUSE_MS  20   /* before looking again whether the heap has room */
#define PLACE_PAUSE_MS 250  /* before looking again whether a place can be had */
#define SILENT_MS      5000 /* a peer may take that for its part while others wait for its place */

enum smtpd_verdict handshake_may_begin(const struct mta *m)
{
    return m->has_certificate && m->tls_conns.num_used < m->tls_conns.num_items ? SMTPD_OK
                                                                                : SMTPD_TEMPORARY;
}

static void look_again_in(struct mta *m, uint64_t pause_ms)
{
    if (m->heap_timer.slot == 0 || m->heap_timer.at_ms > m->now_ms + pause_ms) {
        timer_set(&m->timers, &m->heap_timer, m->now_ms + pause_ms);
    }
}

void handshake_wait_for_heap(struct mta *m, struct conn *c)
{
    c->waits_for_heap = true;
    look_again_in(m, HEAP_PAUSE_MS);
}

static void add_shaking(struct mta *m, struct conn *c)
{
    if (c->is_shaking) {
        return;
    }
    c->is_shaking = true;
    c->next_shaking = NULL;
    if (m->shaking_last == NULL) {
        m->shaking_first = c;
    } else {
        m->shaking_last->next_shaking = c;
    }
    m->shaking_last = c;
}

void handshake_heap_timer(struct mta *m)
{
    uint32_t cursor = 0;
    struct conn *c;
    while ((c = pool_each(&m->conns, &cursor)) != NULL) {
        if (c->waits_for_heap || c->waits_for_place) {
            c->waits_for_heap = false;
            if (c->phase == CONN_HANDSHAKE && c->tls != NULL) {
                add_shaking(m, c); /* no input will come that could wake it */
            }
            conn_queue(m, c);
        }
    }
}

bool handshake_begin(struct mta *m, struct conn *c)
{
    if (!m->has_certificate) {
        return false;
    }
    c->phase = CONN_HANDSHAKE;
    c->phase_ms = c->heard_ms = m->now_ms;
    conn_queue(m, c);
    return true;
}

/* Ends the handshake that has waited longest for its peer's part, if that is too long. */
static void displace(struct mta *m)
{
    uint32_t cursor = 0;
    struct conn *c, *silent = NULL;
    while ((c = pool_each(&m->conns, &cursor)) != NULL) {
        bool can_go = c->has_place && !c->is_shaking && !c->waits_for_heap && !c->peer_ended;
        if (can_go && (silent == NULL || c->heard_ms < silent->heard_ms)) {
            silent = c;
        }
    }
    if (silent != NULL && m->now_ms - silent->heard_ms >= SILENT_MS) {
        conn_lose(m, silent);
    }
}

/* A place that is free goes to who has waited longest. */
static void wake_oldest(struct mta *m)
{
    uint32_t cursor = 0;
    struct conn *c, *oldest = NULL;
    while ((c = pool_each(&m->conns, &cursor)) != NULL) {
        if (c->waits_for_place && (oldest == NULL || c->phase_ms < oldest->phase_ms)) {
            oldest = c;
        }
    }
    if (oldest != NULL && m->num_handshakes < m->site->conf.tls_max_handshakes) {
        conn_queue(m, oldest);
    }
}

/* A place among the handshakes in progress. False if there is none now, or no memory: then it is
 * tried again, until the handshake's time is up. */
static bool take_place(struct mta *m, struct conn *c)
{
    if (m->num_handshakes >= m->site->conf.tls_max_handshakes) {
        c->waits_for_place = true;
        displace(m);
        look_again_in(m, PLACE_PAUSE_MS);
        return false;
    }
    c->waits_for_place = false;
    c->tls = pool_take(&m->tls_conns);
    if (c->tls == NULL || trust_open_server(m, c) != ERR_OK) {
        pool_give(&m->tls_conns, c->tls);
        c->tls = NULL;
        handshake_wait_for_heap(m, c);
        return false;
    }
    c->has_place = true;
    c->heard_ms = m->now_ms;
    m->num_handshakes++;
    m->stats.num_handshakes++;
    wake_oldest(m);
    return true;
}

static void leave_place(struct mta *m, struct conn *c)
{
    if (!c->has_place) {
        return;
    }
    c->has_place = false;
    site_count(m, tls_info(c->tls));
    m->num_handshakes--;
    wake_oldest(m);
}

static void drop_shaking(struct mta *m, struct conn *c)
{
    struct conn *before = NULL;
    for (struct conn *at = m->shaking_first; at != NULL; before = at, at = at->next_shaking) {
        if (at != c) {
            continue;
        }
        if (before == NULL) {
            m->shaking_first = c->next_shaking;
        } else {
            before->next_shaking = c->next_shaking;
        }
        if (m->shaking_last == c) {
            m->shaking_last = before;
        }
        break;
    }
    c->is_shaking = false;
}

void handshake_end(struct mta *m, struct conn *c)
{
    if (c->is_shaking) {
        drop_shaking(m, c);
    }
    c->waits_for_place = false;
    leave_place(m, c);
    if (c->tls != NULL) {
        tls_free(c->tls);
        pool_give(&m->tls_conns, c->tls);
        c->tls = NULL;
    }
}

bool handshake_turn(struct mta *m, struct conn *c)
{
    if (c->is_shaking || c->waits_for_heap) {
        return false;
    }
    if (c->tls == NULL && (!c->has_spoken || !take_place(m, c))) {
        return false;
    }
    enum err err = wire_flush(m, c);
    if (err == ERR_AGAIN) {
        return true;
    }
    /* What was held up by output alone needs no input to go on. */
    if (err == ERR_OK && !c->is_writing) {
        err = wire_feed_tls(m, c);
    }
    if (err == ERR_OK) {
        add_shaking(m, c);
    } else if (err != ERR_AGAIN) {
        conn_lose(m, c);
    }
    return false;
}

static void establish(struct mta *m, struct conn *c)
{
    leave_place(m, c);
    c->phase = CONN_SMTP;
    c->progressed = true;
    if (!c->tls_on_connect) {
        smtpd_tls_started(&c->smtp);
    }
    login_offer(m, c);
}

/* What a name needs is loaded here, so one set at most in a step. */
static void give_set(struct mta *m, struct conn *c)
{
    struct tls_set *set = site_take_set(m, tls_info(c->tls)->sni);
    tls_give_set(c->tls, set);
    tls_set_drop(set);
}

/* One piece of a handshake. True if it can go on at once. */
static bool shake(struct mta *m, struct conn *c)
{
    struct tls_time now = mta_tls_time(m);
    enum tls_event event = tls_step(c->tls, &now);
    if (event != TLS_MORE) { /* a byte now and then brings a handshake no further */
        c->heard_ms = m->now_ms;
    }
    switch (event) {
    case TLS_NEED_SET:
        give_set(m, c);
        return true;
    case TLS_TURN:
        return true;
    case TLS_ESTABLISHED:
        establish(m, c);
        return false;
    case TLS_NO_ROOM:
        (void)wire_flush(m, c); /* what goes out gives room */
        handshake_wait_for_heap(m, c);
        return false;
    case TLS_FAILED:
        wire_flush(m, c); /* the alert, if the peer takes it */
        conn_lose(m, c);
        return false;
    case TLS_CLOSED:
        conn_lose(m, c);
        return false;
    case TLS_WRITE:
        return wire_flush(m, c) == ERR_OK;
    case TLS_MORE:
    case TLS_DATA:
        return false;
    }
    return false;
}

void handshake_run(struct mta *m)
{
    struct conn *c = m->shaking_first;
    if (c == NULL) {
        return;
    }
    drop_shaking(m, c);
    if (c->phase != CONN_HANDSHAKE) {
        return;
    }
    if (shake(m, c)) {
        add_shaking(m, c);
    }
    conn_queue(m, c);
}

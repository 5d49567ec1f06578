/* A connection's turns: bytes in, what the session makes of them, bytes out.
 *
 * A turn is bounded, so that no peer holds the rest up. Output goes first: while a reply waits for
 * the peer to take it, nothing more is read. Input stands in a slot while some of it is unused; a
 * session that waits (for the spool, for its message to be durable, for its place in the handshake
 * queue) leaves everything else where it is: in the slot, in TLS, in the network. */
#include "mta_inside.h"

#define FILLS_PER_TURN 8

static void list_add(struct conn_list *l, struct conn *c)
{
    c->next = NULL;
    if (l->last == NULL) {
        l->first = c;
    } else {
        l->last->next = c;
    }
    l->last = c;
    l->num++;
}

static struct conn *list_take(struct conn_list *l)
{
    struct conn *c = l->first;
    l->first = c->next;
    if (l->first == NULL) {
        l->last = NULL;
    }
    l->num--;
    return c;
}

void conn_queue(struct mta *m, struct conn *c)
{
    if (!c->is_queued) {
        c->is_queued = true;
        list_add(&m->run, c);
    }
}

void conn_open(struct mta *m, struct conn *c)
{
    c->opened_ms = m->now_ms;
    c->timer.kind = TIMER_CONN;
    c->timer.tag = pool_handle(&m->conns, c);
    if (c->local == NULL && proxy_is_expected(m, &c->peer)) {
        smtpd_open(&c->smtp, &m->smtp_env, false);
        c->phase = CONN_PROXY;
        c->phase_ms = m->now_ms;
        c->proxy = c->peer;
        conn_queue(m, c);
        return;
    }
    conn_begin(m, c);
}

void conn_begin(struct mta *m, struct conn *c)
{
    c->phase = CONN_SMTP;
    c->progressed = true;
    smtpd_open(&c->smtp, conn_smtp_env(m, c), c->tls_on_connect);
    if (BROKEN(LOGIN_IN_PLAINTEXT)) {
        login_offer(m, c);
    }
    if (c->tls_on_connect && !handshake_begin(m, c)) {
        conn_lose(m, c);
    }
    conn_queue(m, c);
}

/* What a connection holds goes back. It must stand in no list. */
static void free_conn(struct mta *m, struct conn *c)
{
    session_abort(m, c);
    report_connection(m, c);
    timer_cancel(&m->timers, &c->timer);
    login_drop(m, c);
    pool_give(&m->users, c->user);
    handshake_end(m, c);
    if (!BROKEN(SLOT_LEAKED) || !c->peer_ended) {
        pool_give(&m->in_slots, c->in);
    }
    pool_give(&m->out_slots, c->out);
    pool_give(&m->locals, c->local);
    m->port->net.close(m->port->net.ctx, c->handle);
    pool_give(&m->conns, c);
}

static void drop_slot(struct pool *slots, struct slot **slot)
{
    if (*slot != NULL && (*slot)->begin == (*slot)->end) {
        pool_give(slots, *slot);
        *slot = NULL;
    }
}

/* Its message is complete, but for what we add to it. */
static bool is_at_end(const struct conn *c)
{
    return c->txn != NULL && c->txn->is_at_end;
}

/* Whatever the session waits for, it is over; but a message that is complete is answered first,
 * when there is room for its last bytes, unless its client has left. */
static void end_session(struct mta *m, struct conn *c, enum smtpd_reason reason)
{
    c->body = slice_make(NULL, 0);
    c->waits_for_room = c->waits_for_room && is_at_end(c) && reason != SMTPD_REASON_LOST;
    c->wants_tls = false;
    smtpd_end(&c->smtp, reason);
    conn_queue(m, c);
}

void conn_lose(struct mta *m, struct conn *c)
{
    if (c->peer_ended) {
        return;
    }
    c->peer_ended = true;
    if (c->out != NULL) {
        c->out->begin = c->out->end;
    }
    if (c->phase == CONN_HANDSHAKE || c->phase == CONN_PROXY) {
        c->phase = CONN_SMTP; /* which then ends */
    }
    end_session(m, c, SMTPD_REASON_LOST);
}

/* Sends what waits. False while some of it still does. */
static bool flush(struct mta *m, struct conn *c)
{
    if (c->peer_ended) {
        drop_slot(&m->out_slots, &c->out);
        return true;
    }
    while (c->out != NULL && c->out->begin < c->out->end) {
        size_t sent_len = 0;
        struct slice rest = slice_make(c->out->bytes + c->out->begin, c->out->end - c->out->begin);
        enum err err = wire_write(m, c, rest, &sent_len);
        c->out->begin += (uint32_t)sent_len;
        if (err == ERR_AGAIN) {
            return false;
        }
        if (err != ERR_OK) {
            conn_lose(m, c);
        }
    }
    drop_slot(&m->out_slots, &c->out);
    enum err err = wire_flush(m, c);
    if (err != ERR_OK && err != ERR_AGAIN) {
        conn_lose(m, c);
        return true;
    }
    return err == ERR_OK;
}

/* Sends replies, or keeps them until the peer takes them. Nothing else is waiting to be sent. */
static void send(struct mta *m, struct conn *c, struct slice replies)
{
    size_t sent_len = 0;
    if (slice_is_empty(replies) || c->peer_ended) {
        return;
    }
    enum err err = wire_write(m, c, replies, &sent_len);
    if (err != ERR_OK && err != ERR_AGAIN) {
        conn_lose(m, c);
        return;
    }
    slice_skip(&replies, sent_len);
    if (slice_is_empty(replies)) {
        return;
    }
    c->out = pool_take(&m->out_slots);
    if (c->out == NULL) { /* there are as many as connections */
        conn_lose(m, c);
        return;
    }
    memcpy(c->out->bytes, replies.ptr, replies.len);
    c->out->end = (uint32_t)replies.len;
}

/* Reads more behind what the slot holds. False if there is nothing now. */
static bool fill(struct mta *m, struct conn *c)
{
    if (c->peer_ended) {
        return false;
    }
    if (c->in == NULL) {
        c->in = pool_take(&m->in_slots);
        if (c->in == NULL) {
            return false;
        }
    }
    struct slot *in = c->in;
    if (in->begin != 0) {
        memmove(in->bytes, in->bytes + in->begin, in->end - in->begin);
        in->end -= in->begin;
        in->begin = 0;
    }
    struct buf into = buf_make(in->bytes + in->end, sizeof in->bytes - in->end);
    enum err err = wire_read(m, c, &into);
    in->end += (uint32_t)into.len;
    if (err == ERR_OK) {
        return true;
    }
    if (err == ERR_AGAIN) {
        return false;
    }
    conn_lose(m, c);
    return true;
}

#define PROXY_MS      5000  /* for a balancer to say whose connection it is */
#define CLOSING_MS    10000 /* for the last reply to be taken */
#define LINGER_MS     2000  /* for the peer to read it while it still sends */
#define DRAIN_MAX_LEN (1u << 20)

static bool is_waiting(const struct conn *c)
{
    return c->waits_for_room || c->waits_for_commit || c->waits_for_heap || c->waits_for_place ||
           c->is_shaking || (c->login != NULL && !c->login->is_clients_turn);
}

enum turn { TURN_FILL, TURN_FLUSH, TURN_WAIT, TURN_AGAIN };

/* Does what the session says. TURN_AGAIN: let it go on at once. */
static enum turn obey(struct mta *m, struct conn *c, enum smtpd_event event,
                      const struct smtpd_ask *ask)
{
    switch (event) {
    case SMTPD_MORE:
        return TURN_FILL;
    case SMTPD_FLUSH:
        return TURN_FLUSH;
    case SMTPD_WAIT:
        return TURN_WAIT;
    case SMTPD_MAIL:
        session_mail(m, c, ask);
        return TURN_AGAIN;
    case SMTPD_RCPT:
        session_rcpt(m, c, ask);
        return TURN_AGAIN;
    case SMTPD_BEGIN:
        return session_begin(m, c, ask->size) ? TURN_AGAIN : TURN_WAIT;
    case SMTPD_BODY:
        session_look_at(m, c, ask->body);
        return session_body(m, c) ? TURN_AGAIN : TURN_WAIT;
    case SMTPD_END:
        session_end(m, c);
        return TURN_AGAIN;
    case SMTPD_ABORT:
        session_abort(m, c);
        return TURN_AGAIN;
    case SMTPD_AUTH:
        login_ask(m, c, ask);
        return TURN_AGAIN;
    case SMTPD_STARTTLS:
        smtpd_answer(&c->smtp, handshake_may_begin(m), slice_make(NULL, 0));
        return TURN_AGAIN;
    case SMTPD_TLS:
        c->wants_tls = true;
        return TURN_FLUSH;
    case SMTPD_CLOSE:
        c->phase = CONN_CLOSING;
        c->phase_ms = m->now_ms;
        c->end_reason = c->timed_out ? SMTPD_REASON_TIMEOUT : (uint8_t)ask->reason;
        return TURN_FLUSH;
    case NUM_SMTPD_EVENTS:
        break;
    }
    return TURN_WAIT;
}

/* Lets the session go on with what the slot holds, and sends its replies. */
static enum turn serve(struct mta *m, struct conn *c)
{
    struct buf out = buf_make(m->reply_bytes, sizeof m->reply_bytes);
    struct smtpd_ask ask;
    enum turn turn;
    do {
        struct slice in = slice_make(NULL, 0);
        if (c->in != NULL) {
            in = slice_make(c->in->bytes + c->in->begin, c->in->end - c->in->begin);
        }
        enum smtpd_event event = smtpd_next(&c->smtp, &in, &out, &ask);
        if (c->in != NULL) {
            uint32_t begin = c->in->end - (uint32_t)in.len;
            c->progressed = c->progressed || begin != c->in->begin;
            c->in->begin = begin;
        }
        turn = obey(m, c, event, &ask);
    } while (turn == TURN_AGAIN);
    send(m, c, buf_slice(&out));
    return turn;
}

/* Takes up again what the spool had no room for. False while it has none. */
static bool resume(struct mta *m, struct conn *c)
{
    if (!c->waits_for_room) {
        return true;
    }
    c->waits_for_room = false;
    if (is_at_end(c)) {
        session_end(m, c);
        return !c->waits_for_room;
    }
    return slice_is_empty(c->body) ? session_begin(m, c, 0) : session_body(m, c);
}

/* Whether a client is likely to be sending still: closing at once would reset the connection, and
 * the last reply could be lost with it. */
static bool lingers(const struct conn *c)
{
    switch ((enum smtpd_reason)c->end_reason) {
    case SMTPD_REASON_BARE_CR:
    case SMTPD_REASON_BARE_LF:
    case SMTPD_REASON_NUL:
    case SMTPD_REASON_CHUNK_SIZE:
    case SMTPD_REASON_NOT_SMTP:
    case SMTPD_REASON_TLS_UNASKED:
    case SMTPD_REASON_SYNPROT_ERRORS:
    case SMTPD_REASON_UNKNOWN_COMMANDS:
    case SMTPD_REASON_NONMAIL_COMMANDS:
    case SMTPD_REASON_REFUSED_RCPTS:
    case SMTPD_REASON_AUTH_FAILURES:
    case SMTPD_REASON_MAILS: /* the reply to the last message may be under way as well */
        return !c->peer_ended;
    case SMTPD_REASON_NONE:
    case SMTPD_REASON_QUIT:
    case SMTPD_REASON_LOST:
    case SMTPD_REASON_TIMEOUT:
    case SMTPD_REASON_SHUTDOWN:
    case SMTPD_REASON_STARTTLS_DATA:
    case NUM_SMTPD_REASONS:
        return false;
    }
    return false;
}

static uint64_t deadline_ms(const struct mta *m, const struct conn *c)
{
    const struct conf *conf = &m->site->conf;
    if (c->phase == CONN_PROXY) {
        return c->phase_ms + PROXY_MS;
    }
    if (c->phase == CONN_HANDSHAKE) {
        return c->phase_ms + conf->tls_handshake_timeout_ms;
    }
    if (c->phase == CONN_CLOSING) {
        return c->phase_ms + (lingers(c) ? LINGER_MS : CLOSING_MS);
    }
    bool is_judged = c->login != NULL && !c->login->is_clients_turn; /* its own timer ends that */
    if (c->waits_for_commit || (c->waits_for_room && is_at_end(c)) || is_judged) {
        return TIMER_NEVER; /* the client has done its part */
    }
    return m->now_ms +
           (smtpd_in_body(&c->smtp) ? conf->smtp_data_timeout_ms : conf->smtp_receive_timeout_ms);
}

/* After a turn: what to watch for, how long to wait, and what can be given back meanwhile. */
static void settle(struct mta *m, struct conn *c, bool is_blocked)
{
    bool writing = is_blocked && !c->waits_for_heap;
    bool reading = !is_blocked && !is_waiting(c) && !c->peer_ended;
    /* Reading stays watched while a commit is awaited: most clients say nothing then, and it saves
     * two calls a message. */
    reading = reading || (c->is_reading && c->waits_for_commit && !c->heard_while_waiting);
    if (reading != c->is_reading || writing != c->is_writing) {
        c->is_reading = reading;
        c->is_writing = writing;
        m->port->net.watch(m->port->net.ctx, c->handle, reading, writing,
                           TAG_CONN | pool_handle(&m->conns, c));
    }
    if (slice_is_empty(c->body)) {
        drop_slot(&m->in_slots, &c->in);
    }
    if (c->tls != NULL) {
        tls_park(c->tls);
    }
    uint64_t at_ms = deadline_ms(m, c);
    if (at_ms == TIMER_NEVER) {
        timer_cancel(&m->timers, &c->timer);
    } else if (c->progressed || c->timer.slot == 0 || c->timer.at_ms > at_ms) {
        timer_set(&m->timers, &c->timer, at_ms);
    }
    c->progressed = false;
}

/* One turn of a session. True if output blocks it. */
static bool session_turn(struct mta *m, struct conn *c)
{
    for (int num_fills = 0; num_fills <= FILLS_PER_TURN;) {
        if (!flush(m, c)) {
            return true;
        }
        if (c->phase == CONN_CLOSING && c->tls != NULL && !c->said_close && !c->peer_ended) {
            tls_close(c->tls);
            c->said_close = true;
            continue;
        }
        if (c->phase != CONN_SMTP) {
            return false;
        }
        if (c->wants_tls) {
            c->wants_tls = false;
            if (!handshake_begin(m, c)) {
                conn_lose(m, c);
                continue;
            }
            return false;
        }
        if (!resume(m, c)) {
            return false;
        }
        switch (serve(m, c)) {
        case TURN_FILL:
            num_fills++;
            if (!flush(m, c)) {
                return true;
            }
            if (!fill(m, c)) {
                return !flush(m, c);
            }
            break;
        case TURN_WAIT:
            return !flush(m, c);
        case TURN_FLUSH:
        case TURN_AGAIN:
            break;
        }
    }
    conn_queue(m, c); /* more may be there: its next turn comes after the others' */
    return false;
}

/* Throws away what still comes. True once the peer has closed, or has had its chance. */
static bool drain(struct mta *m, struct conn *c)
{
    for (int i = 0; i < FILLS_PER_TURN; i++) {
        size_t len = 0;
        enum err err =
            m->port->net.read(m->port->net.ctx, &len, c->handle, m->scratch, BUDGET_PIECE_LEN);
        if (err != ERR_OK) {
            return err != ERR_AGAIN;
        }
        c->drained_len += (uint32_t)len;
        if (c->drained_len > DRAIN_MAX_LEN) {
            return true;
        }
    }
    return false;
}

static void run(struct mta *m, struct conn *c)
{
    bool is_blocked = false;
    if (c->phase == CONN_PROXY) {
        proxy_turn(m, c);
    }
    if (c->phase == CONN_HANDSHAKE) {
        is_blocked = handshake_turn(m, c);
    }
    if (c->phase == CONN_SMTP || c->phase == CONN_CLOSING) {
        is_blocked = session_turn(m, c);
    }
    if (c->phase == CONN_CLOSING && !is_blocked && !c->is_queued && (!lingers(c) || drain(m, c))) {
        free_conn(m, c);
        return;
    }
    settle(m, c, is_blocked);
}

void conn_run_all(struct mta *m)
{
    for (uint32_t num = m->run.num; num > 0; num--) {
        struct conn *c = list_take(&m->run);
        c->is_queued = false;
        run(m, c);
    }
}

void conn_event(struct mta *m, uint64_t handle, enum port_event_kind kind)
{
    struct conn *c = pool_find(&m->conns, handle);
    if (c == NULL) {
        return;
    }
    if (kind == PORT_READABLE && c->waits_for_commit) {
        c->heard_while_waiting = true;
    }
    c->has_spoken = c->has_spoken || (kind == PORT_READABLE && c->phase == CONN_HANDSHAKE);
    conn_queue(m, c);
}

void conn_timeout(struct mta *m, uint64_t handle)
{
    struct conn *c = pool_find(&m->conns, handle);
    if (c == NULL) {
        return;
    }
    if (c->phase != CONN_SMTP || c->is_writing || c->out != NULL) {
        c->timed_out = !c->peer_ended;
        conn_lose(m, c); /* nobody would read a reply */
        return;
    }
    end_session(m, c, SMTPD_REASON_TIMEOUT);
}

void conn_stop(struct mta *m, struct conn *c)
{
    if (c->phase == CONN_HANDSHAKE || c->phase == CONN_PROXY) {
        conn_lose(m, c);
        return;
    }
    timer_set(&m->timers, &c->timer,
              m->now_ms + CLOSING_MS); /* who takes no replies holds nothing up */
    end_session(m, c, SMTPD_REASON_SHUTDOWN);
}

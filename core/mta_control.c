/* The control socket: what its owner asks of the running server, and is told.
 *
 * A few slots, each for one request and its reply; a client that is slow, or silent, costs its slot
 * until its time is up, or until somebody else needs it. Replies are made in pieces of what a slot
 * holds, so that a list may be of any length. control.h has the words; the table below says who
 * answers them. */
#include "control.h"
#include "mta_inside.h"

#define SLOT_TIMEOUT_MS 60000 /* without any progress */
#define PIECES_PER_TURN 2

static void complain(struct control_conn *c, const char *text)
{
    control_put_complaint(&c->reply, slice_of_string(text));
}

/* --- What is answered --- */

/* Each # of the text is the next of the values. */
static void put_filled(struct buf *out, const char *text, const uint64_t *values)
{
    for (; *text != '\0'; text++) {
        if (*text == '#') {
            text_put_u64(out, *values++);
        } else {
            buf_put_u8(out, (uint8_t)*text);
        }
    }
}

static void put_server(struct mta *m, struct buf *out)
{
    const struct mta_stats *s = &m->stats;
    const struct conf *conf = &m->site->conf;
    const uint64_t values[] = {m->conns.num_used, conf->smtp_accept_max, s->num_connections,
                               s->num_refused,    m->num_handshakes,     conf->tls_max_handshakes,
                               s->num_handshakes};
    const uint64_t uptime_s = (m->now_ms - m->started_ms) / 1000;
    buf_put_string(out, "version: ");
    buf_put_string(out, m->start->version);
    buf_put_string(out, "\nhostname: ");
    buf_put(out, m->smtp_env.hostname);
    put_filled(out, "\nuptime: # s\nclock: ", &uptime_s);
    wall_time_put(&m->wall, out);
    put_filled(out,
               "connections: # of #, # since the start, # refused\n"
               "tls handshakes: # under way of #, # since the start\n",
               values);
}

static void put_spool(struct mta *m, struct buf *out)
{
    struct spool_stats spool;
    spool_stats_of(m->spool, &spool);
    const uint64_t values[] = {queue_num_messages(&m->queue),
                               m->queue.limits.num_messages,
                               m->stats.num_messages,
                               m->queue.counts.num_delivered,
                               spool.live_len,
                               spool.live_limit_len,
                               spool.num_segments};
    put_filled(out,
               "messages: # waiting of #, # received, # delivered since the start\n"
               "spool: # bytes in use of #, # segments",
               values);
    buf_put_string(out, spool_has_failed(m->spool) ? ", failed\n"
                        : m->spool_ready           ? "\n"
                                                   : ", not ready yet\n");
}

static void put_memory(struct mta *m, struct buf *out)
{
    static const struct {
        const char *what;
        size_t offset;
    } pools[] = {
#define POOL(field, type, num, what) {what, offsetof(struct mta, field)},
#include "budget.def"
#undef POOL
    };
    const uint64_t heap[] = {m->heap.used_len, m->heap.total_len, m->heap.used_max_len,
                             m->heap.num_refused};
    for (size_t i = 0; i < sizeof pools / sizeof pools[0]; i++) {
        const struct pool *p = (const struct pool *)(const void *)((uint8_t *)m + pools[i].offset);
        const uint64_t values[] = {p->num_used, p->num_items, p->num_used_max, p->num_refused};
        buf_put_string(out, "pool ");
        buf_put_string(out, pools[i].what);
        put_filled(out, ": # of #, at most #, refused #\n", values);
    }
    put_filled(out, "tls heap: # of # bytes, at most #, refused #\n", heap);
}

/* A piece for each part, then one for each set of certificates. */
static enum err answer_status(struct mta *m, struct control_conn *c)
{
    static void (*const parts[])(struct mta *, struct buf *) = {put_server, put_spool, put_memory};
    const uint64_t num_parts = sizeof parts / sizeof parts[0];
    struct buf text = buf_make(m->scratch, BUDGET_SCRATCH_LEN);
    if (c->request.num_words != 1) {
        return ERR_MALFORMED;
    }
    if (c->cursor < num_parts) {
        parts[c->cursor++](m, &text);
    } else {
        uint64_t set = c->cursor - num_parts;
        c->is_complete = !site_put_status(m, &set, &text);
        c->cursor = num_parts + set;
    }
    if (!control_put_answer(&c->reply, buf_slice(&text))) {
        complain(c, "more than there is room for");
    }
    return ERR_OK;
}

static enum err set_clock(struct mta *m, struct control_conn *c, int64_t unix_s)
{
    enum err err = wall_time_set(&m->wall, unix_s);
    if (err == ERR_NOT_ALLOWED) {
        complain(c, "that is before the floor, which --reset-floor lowers");
    } else if (err == ERR_WRONG_STATE) {
        complain(c, "the system is synchronised: its clock counts");
    }
    return err;
}

/* "clock [reset-floor] [trust | set TIME]" */
static enum err answer_clock(struct mta *m, struct control_conn *c)
{
    uint32_t i = 1, num = c->request.num_words;
    const struct slice *words = c->request.words;
    int64_t unix_s = wall_time_machine(&m->wall);
    enum err err = ERR_OK;
    bool resets = i < num && slice_equal(words[i], SLICE_LITERAL("reset-floor"));
    i += resets;
    bool sets = i < num;
    if (sets && slice_equal(words[i], SLICE_LITERAL("trust"))) {
        i++;
    } else if (i + 1 < num && slice_equal(words[i], SLICE_LITERAL("set")) &&
               text_parse_time(words[i + 1], &unix_s)) {
        i += 2;
    }
    if (i != num) {
        return ERR_MALFORMED;
    }
    if (resets) {
        err = wall_time_reset_floor(&m->wall);
    }
    if (err == ERR_OK && sets) {
        err = set_clock(m, c, unix_s);
    }
    site_watch(m); /* what is served may have changed with it */
    uint8_t bytes[200];
    struct buf text = buf_make(bytes, sizeof bytes);
    wall_time_put(&m->wall, &text);
    control_put_answer(&c->reply, buf_slice(&text));
    c->is_complete = true;
    return err;
}

static const struct {
    const char *word;
    enum err (*answer)(struct mta *m, struct control_conn *c);
} answers[] = {
    {"status", answer_status},
    {"clock", answer_clock},
    {"queue", control_queue},
    {"flush", control_flush},
};

/* The next piece of the reply. */
static void answer(struct mta *m, struct control_conn *c)
{
    enum err err = ERR_MALFORMED;
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        if (slice_equal(c->request.words[0], slice_of_string(answers[i].word))) {
            err = answers[i].answer(m, c);
        }
    }
    if (err == ERR_MALFORMED) {
        complain(c, "this server does not know that request");
    }
    if (err != ERR_OK || c->is_complete) {
        c->is_complete = true;
        control_put_end(&c->reply, err);
    }
}

/* --- Slots --- */

static void watch(struct mta *m, struct control_conn *c, bool writing)
{
    m->port->net.watch(m->port->net.ctx, c->handle, !writing, writing,
                       TAG_CONTROL | pool_handle(&m->controls, c));
}

static void release(struct mta *m, struct control_conn *c)
{
    timer_cancel(&m->timers, &c->timer);
    m->port->net.close(m->port->net.ctx, c->handle);
    pool_give(&m->controls, c);
}

static void progress(struct mta *m, struct control_conn *c)
{
    timer_set(&m->timers, &c->timer, m->now_ms + SLOT_TIMEOUT_MS);
}

/* Sends what there is. ERR_AGAIN: not all of it yet. */
static enum err send(struct mta *m, struct control_conn *c)
{
    while (c->reply.len > 0) {
        size_t len = 0;
        enum err err = m->port->net.write(m->port->net.ctx, &len, c->handle, buf_slice(&c->reply));
        if (err != ERR_OK) {
            return err;
        }
        buf_drop(&c->reply, len);
        progress(m, c);
    }
    return ERR_OK;
}

static void go_on(struct mta *m, struct control_conn *c)
{
    enum err err = send(m, c);
    for (int i = 0; i < PIECES_PER_TURN && err == ERR_OK && !c->is_complete; i++) {
        c->reply.overflow = false;
        answer(m, c);
        err = send(m, c);
    }
    if (err == ERR_AGAIN || (err == ERR_OK && !c->is_complete)) {
        watch(m, c, true);
    } else {
        release(m, c);
    }
}

static void take_request(struct mta *m, struct control_conn *c)
{
    uint8_t bytes[CONTROL_LINE_MAX];
    size_t len;
    enum err err = m->port->net.read(m->port->net.ctx, &len, c->handle, bytes, sizeof bytes);
    if (err == ERR_AGAIN) {
        return;
    }
    if (err != ERR_OK) {
        release(m, c);
        return;
    }
    struct slice in = slice_make(bytes, len);
    err = control_feed(&c->control, &in, &c->request);
    if (err == ERR_AGAIN) {
        progress(m, c);
        return;
    }
    c->is_answering = true;
    if (err != ERR_OK) {
        complain(c, "that is no request");
        control_put_end(&c->reply, err);
        c->is_complete = true;
    }
    go_on(m, c);
}

/* The one that has done nothing for the longest time makes room for a new one. */
static void make_room(struct mta *m)
{
    uint32_t cursor = 0;
    struct control_conn *oldest = NULL, *c;
    while ((c = pool_each(&m->controls, &cursor)) != NULL) {
        if (oldest == NULL || c->timer.at_ms < oldest->timer.at_ms) {
            oldest = c;
        }
    }
    if (m->controls.num_used == m->controls.num_items && oldest != NULL) {
        release(m, oldest);
    }
}

static void watch_listener(struct mta *m, bool reading)
{
    m->port->net.watch(m->port->net.ctx, m->control_listener, reading, false, TAG_CONTROL);
}

static void accept(struct mta *m)
{
    uint32_t handle;
    struct net_addr peer;
    enum err err = m->port->net.accept(m->port->net.ctx, &handle, &peer, m->control_listener);
    if (err == ERR_NO_HANDLE) {
        watch_listener(m, false);
        m->control_again = true;
        timer_set(&m->timers, &m->accept_timer, m->now_ms + ACCEPT_PAUSE_MS);
    }
    if (err != ERR_OK) {
        return;
    }
    make_room(m);
    struct control_conn *c = pool_take(&m->controls);
    if (c == NULL) {
        m->port->net.close(m->port->net.ctx, handle);
        return;
    }
    c->handle = handle;
    c->reply = buf_make(c->reply_bytes, sizeof c->reply_bytes);
    c->timer.kind = TIMER_CONTROL;
    c->timer.tag = pool_handle(&m->controls, c);
    progress(m, c);
    watch(m, c, false);
}

void control_event(struct mta *m, uint64_t handle)
{
    struct control_conn *c = pool_find(&m->controls, handle);
    if (handle == 0 && m->control_listener != 0) {
        accept(m);
    } else if (c != NULL && c->is_answering) {
        go_on(m, c);
    } else if (c != NULL) {
        take_request(m, c);
    }
}

void control_accept_again(struct mta *m)
{
    if (m->control_again && m->control_listener != 0) {
        watch_listener(m, true);
    }
    m->control_again = false;
}

void control_timeout(struct mta *m, uint64_t handle)
{
    struct control_conn *c = pool_find(&m->controls, handle);
    if (c != NULL) {
        release(m, c);
    }
}

void control_open(struct mta *m)
{
    const struct port_net *net = &m->port->net;
    struct port_local at = {.path = m->site->conf.control_socket, .access = PORT_OWNER};
    enum err err = net->listen_local(net->ctx, &m->control_listener, &at);
    if (err == ERR_OK) {
        watch_listener(m, true);
        return;
    }
    m->control_listener = 0;
    struct log_line line;
    log_begin(&line, "control");
    log_word(&line, "result", "unavailable");
    log_word(&line, "reason", err_name(err));
    log_peer_text(&line, "path", slice_of_string(at.path));
    report_line(m, LOG_WARNING, &line);
}

void control_close(struct mta *m)
{
    uint32_t cursor = 0;
    struct control_conn *c;
    while ((c = pool_each(&m->controls, &cursor)) != NULL) {
        release(m, c);
    }
    if (m->control_listener != 0) {
        m->port->net.close(m->port->net.ctx, m->control_listener);
        m->control_listener = 0;
    }
}

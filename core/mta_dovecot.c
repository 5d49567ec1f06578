/* Logins that Dovecot decides: one connection to its auth socket, for all of them at once.
 *
 * It is made at the start, and when it is lost, for the next client that needs it, but not more
 * than once a second; and when a reload names another. What it was asked and has not answered when
 * it goes is answered 454. */
#include "dovecot_auth.h"
#include "mta_inside.h"

#define PAUSE_MS 1000

/* In the order of struct dovecot's offers. */
static const char *const names[MTA_DOVECOT_MECHANISMS] = {"PLAIN", "LOGIN", "SCRAM-SHA-256"};

static void report(struct mta *m, const char *reason)
{
    struct log_line line;
    log_begin(&line, "dovecot");
    log_word(&line, "result", reason == NULL ? "connected" : "lost");
    if (reason != NULL) {
        log_word(&line, "reason", reason);
    }
    report_line(m, reason == NULL ? LOG_INFO : LOG_WARNING, &line);
}

void dovecot_close(struct mta *m)
{
    struct dovecot *d = &m->dovecot;
    if (d->handle != 0) {
        m->port->net.close(m->port->net.ctx, d->handle);
    }
    d->handle = 0;
    d->is_ready = false;
    d->in_len = d->out_len = 0;
}

static void give_up_logins(struct mta *m)
{
    uint32_t cursor = 0;
    struct login *l;
    while ((l = pool_each(&m->logins, &cursor)) != NULL) {
        if (l->dovecot_id != 0) {
            login_answered(m, l, LOGIN_NO_ANSWER, slice_make(NULL, 0));
        }
    }
}

static void lose(struct mta *m, const char *reason)
{
    dovecot_close(m);
    m->dovecot.again_ms = m->now_ms + PAUSE_MS;
    report(m, reason);
    give_up_logins(m);
}

void dovecot_leave(struct mta *m)
{
    dovecot_close(m);
    m->dovecot.again_ms = 0;
    give_up_logins(m);
}

static void watch(struct mta *m)
{
    struct dovecot *d = &m->dovecot;
    m->port->net.watch(m->port->net.ctx, d->handle, true, d->out_len != 0, TAG_DOVECOT);
}

static void flush(struct mta *m)
{
    struct dovecot *d = &m->dovecot;
    size_t len = 0;
    enum err err = ERR_OK;
    while (d->out_len != 0 && err == ERR_OK) {
        err = m->port->net.write(m->port->net.ctx, &len, d->handle, slice_make(d->out, d->out_len));
        if (err == ERR_OK) {
            d->out_len -= (uint32_t)len;
            memmove(d->out, d->out + len, d->out_len);
        }
    }
    if (err != ERR_OK && err != ERR_AGAIN) {
        lose(m, err_name(err));
        return;
    }
    watch(m);
}

void dovecot_wake(struct mta *m)
{
    struct dovecot *d = &m->dovecot;
    const char *path = m->site->conf.auth_dovecot_socket;
    uint32_t number;
    if (d->handle != 0 || path[0] == 0 || m->now_ms < d->again_ms ||
        m->port->entropy.fill(m->port->entropy.ctx, (uint8_t *)&number, sizeof number) != ERR_OK) {
        return;
    }
    enum err err = m->port->net.connect_local(m->port->net.ctx, &d->handle, path);
    if (err != ERR_OK) {
        d->handle = 0;
        lose(m, err_name(err));
        return;
    }
    struct buf out = buf_make(d->out, sizeof d->out);
    dovecot_put_hello(&out, number >> 1 | 1); /* a process id, to Dovecot */
    d->out_len = (uint32_t)out.len;
    d->in_len = 0;
    memset(d->offers, 0, sizeof d->offers);
    watch(m);
}

static void put_mechanisms(struct dovecot *d)
{
    struct buf b = buf_make(d->mechanisms, sizeof d->mechanisms);
    for (size_t i = 0; i < MTA_DOVECOT_MECHANISMS; i++) {
        if (d->offers[i]) {
            buf_put_string(&b, b.len == 0 ? "" : " ");
            buf_put_string(&b, names[i]);
        }
    }
    buf_end_string(&b);
}

static struct login *find(struct mta *m, uint32_t id)
{
    uint32_t cursor = 0;
    struct login *l;
    while (id != 0 && (l = pool_each(&m->logins, &cursor)) != NULL) {
        if (l->dovecot_id == id) {
            return l;
        }
    }
    return NULL;
}

/* False: it speaks another protocol. */
static bool take_line(struct mta *m, const struct dovecot_line *line)
{
    struct dovecot *d = &m->dovecot;
    struct login *l = find(m, line->number);
    switch (line->word) {
    case DOVECOT_VERSION:
        return line->number == 1;
    case DOVECOT_MECH:
        for (size_t i = 0; i < MTA_DOVECOT_MECHANISMS; i++) {
            d->offers[i] = d->offers[i] || slice_equal(line->value, slice_of_string(names[i]));
        }
        return true;
    case DOVECOT_DONE:
        d->is_ready = true;
        put_mechanisms(d);
        report(m, NULL);
        return true;
    case DOVECOT_CONT:
    case DOVECOT_OK:
    case DOVECOT_FAIL:
        if (l != NULL) { /* else its client has left */
            enum login_answer answer = line->word == DOVECOT_CONT ? LOGIN_CHALLENGE
                                       : line->word == DOVECOT_OK ? LOGIN_GRANTED
                                       : line->is_temporary       ? LOGIN_NO_ANSWER
                                                                  : LOGIN_DENIED;
            login_answered(m, l, answer, line->value);
        }
        return true;
    case DOVECOT_OTHER:
        return true;
    }
    return true;
}

/* A turn's worth; what is left is reported again. */
static void read(struct mta *m)
{
    struct dovecot *d = &m->dovecot;
    struct dovecot_line line;
    size_t len = 0;
    enum err err = m->port->net.read(m->port->net.ctx, &len, d->handle, d->in + d->in_len,
                                     sizeof d->in - d->in_len);
    if (err != ERR_OK) {
        if (err != ERR_AGAIN) {
            lose(m, err_name(err));
        }
        return;
    }
    d->in_len += (uint32_t)len;
    struct slice in = slice_make(d->in, d->in_len);
    while (dovecot_take_line(&in, &line)) {
        if (!take_line(m, &line)) {
            lose(m, "other-protocol");
            return;
        }
    }
    d->in_len = (uint32_t)in.len;
    memmove(d->in, in.ptr, in.len);
    if (d->in_len == sizeof d->in) {
        lose(m, "line-too-long");
    }
}

void dovecot_event(struct mta *m, enum port_event_kind kind)
{
    struct dovecot *d = &m->dovecot;
    if (d->handle == 0) {
        return;
    }
    if (kind == PORT_READABLE) {
        read(m);
        return;
    }
    enum err err = m->port->net.connect_result(m->port->net.ctx, d->handle);
    if (err != ERR_OK && err != ERR_AGAIN) {
        lose(m, err_name(err));
    } else if (err == ERR_OK) {
        flush(m);
    }
}

const char *dovecot_mechanisms(const struct mta *m)
{
    const struct dovecot *d = &m->dovecot;
    if (d->mechanisms[0] != 0) {
        return (const char *)d->mechanisms;
    }
    return d->is_ready ? NULL : "PLAIN LOGIN"; /* it may know others alone */
}

bool dovecot_ask(struct mta *m, struct conn *c, enum auth_mechanism mechanism, bool begins,
                 const struct slice *response)
{
    struct dovecot *d = &m->dovecot;
    struct login *l = c->login;
    dovecot_wake(m);
    struct buf out = buf_make(d->out, sizeof d->out);
    out.len = d->out_len;
    if (!d->is_ready) {
        return false;
    }
    if (begins) {
        d->last_id = d->last_id % INT32_MAX + 1;
        l->dovecot_id = d->last_id;
    }
    bool fits = begins ? dovecot_put_auth(&out, l->dovecot_id, names[mechanism], &c->peer, response)
                       : dovecot_put_cont(&out, l->dovecot_id, *response);
    if (fits) {
        d->out_len = (uint32_t)out.len;
        flush(m);
    }
    return fits && d->is_ready;
}

bool dovecot_offers(const struct mta *m, enum auth_mechanism mechanism)
{
    const struct dovecot *d = &m->dovecot;
    return mechanism < MTA_DOVECOT_MECHANISMS && (!d->is_ready || d->offers[mechanism]);
}

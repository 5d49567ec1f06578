/* A connection's bytes on the wire: straight through the port, or through TLS. See
 * deliver_smtp_inside.h. */
#include "deliver_smtp_inside.h"

#define HEAP_PAUSE_MS 20           /* before looking again whether TLS has memory */
#define HEAP_LEFT_LEN (20u * 1024) /* for the longest record and its head */
#define STEPS_MAX     16 /* records without data are for ever: others must get their turn */

static const struct port_net *net_of(const struct deliver_smtp *d)
{
    return &d->env.port->net;
}

void remote_watch(struct deliver_smtp *d, struct remote_conn *c, bool writable)
{
    if (c->is_paused) {
        return;
    }
    (void)net_of(d)->watch(net_of(d)->ctx, c->handle, true, writable, c->names.tag);
}

void remote_pause(struct deliver_smtp *d, struct remote_conn *c)
{
    c->is_paused = true;
    (void)net_of(d)->watch(net_of(d)->ctx, c->handle, false, false, c->names.tag);
    remote_look_again(d, c, HEAP_PAUSE_MS);
}

enum err remote_flush_tls(struct deliver_smtp *d, struct remote_conn *c)
{
    for (;;) {
        struct slice pending = tls_pending(&c->tls);
        size_t len = 0;
        if (slice_is_empty(pending)) {
            return ERR_OK;
        }
        enum err err = net_of(d)->write(net_of(d)->ctx, &len, c->handle, pending);
        if (err != ERR_OK) {
            return err;
        }
        tls_sent(&c->tls, len);
    }
}

static enum err write_some(struct deliver_smtp *d, struct remote_conn *c, struct slice bytes,
                           size_t *out_len)
{
    *out_len = 0;
    if (!c->in_tls) {
        return net_of(d)->write(net_of(d)->ctx, out_len, c->handle, bytes);
    }
    enum err err = remote_flush_tls(d, c);
    if (err != ERR_OK) {
        return err;
    }
    err = tls_write(&c->tls, bytes, out_len);
    if (err == ERR_AGAIN) { /* nothing is pending, so the heap is full */
        remote_pause(d, c);
    }
    return err;
}

enum err remote_flush(struct deliver_smtp *d, struct remote_conn *c)
{
    while (c->client.out.len != 0) {
        size_t len;
        enum err err = write_some(d, c, buf_slice(&c->client.out), &len);
        smtp_client_sent(&c->client, len);
        if (len != 0 && c->client.state == SMTP_CLIENT_STATE_CONTENT) {
            uint64_t left_ms =
                c->content_by_ms > d->now.now_ms ? c->content_by_ms - d->now.now_ms : 0;
            uint64_t wait_ms = smtp_client_timeout_ms(&c->client);
            remote_set_deadline(d, c, wait_ms < left_ms ? wait_ms : left_ms);
        }
        if (err != ERR_OK) {
            return err;
        }
    }
    return c->in_tls ? remote_flush_tls(d, c) : ERR_OK;
}

enum err remote_feed_tls(struct deliver_smtp *d, struct remote_conn *c)
{
    size_t len = 0, room = tls_room(&c->tls);
    if (room == 0) {
        return ERR_OK;
    }
    if (heap_largest_free(c->tls.env->heap) < HEAP_LEFT_LEN) {
        remote_pause(d, c); /* what TLS cannot hold would end the session */
        return ERR_AGAIN;
    }
    enum err err = net_of(d)->read(net_of(d)->ctx, &len, c->handle, d->scratch.ptr,
                                   room < d->scratch.cap ? room : d->scratch.cap);
    if (err == ERR_OK) {
        struct slice in = slice_make(d->scratch.ptr, len);
        tls_feed(&c->tls, &in);
    }
    return err;
}

static enum err read_tls(struct deliver_smtp *d, struct remote_conn *c)
{
    for (int i = 0; i < STEPS_MAX; i++) {
        struct slice plain = tls_peek(&c->tls);
        if (!slice_is_empty(plain)) {
            size_t len = plain.len < buf_room(&c->in) ? plain.len : buf_room(&c->in);
            buf_put(&c->in, slice_make(plain.ptr, len));
            tls_consume(&c->tls, len);
            return ERR_OK;
        }
        enum err err = ERR_OK;
        switch (tls_step(&c->tls, &d->now)) {
        case TLS_MORE:
            err = remote_feed_tls(d, c);
            break;
        case TLS_WRITE:
            err = remote_flush_tls(d, c);
            break;
        case TLS_NO_ROOM:
            remote_pause(d, c);
            return ERR_AGAIN;
        case TLS_CLOSED:
            return ERR_EOF;
        case TLS_FAILED:
            (void)remote_flush_tls(d, c); /* the alert, if the peer takes it */
            return ERR_RESET;
        case TLS_TURN:
        case TLS_NEED_SET:
        case TLS_ESTABLISHED:
        case TLS_DATA:
            break;
        }
        if (err != ERR_OK) {
            return err;
        }
    }
    remote_wake(d, c);
    return ERR_AGAIN;
}

enum err remote_read(struct deliver_smtp *d, struct remote_conn *c)
{
    if (c->in_tls) {
        return read_tls(d, c);
    }
    size_t len = 0;
    enum err err =
        net_of(d)->read(net_of(d)->ctx, &len, c->handle, c->in.ptr + c->in.len, buf_room(&c->in));
    c->in.len += len;
    return err;
}

/* A connection's bytes on the wire: straight through the port, or through TLS. */
#include "mta_inside.h"

#define HEAP_LEFT_LEN  (20u * 1024) /* for the longest record and its head */
#define READS_PER_TURN 16 /* records without data are for ever: others must get their turn */

struct tls_time mta_tls_time(const struct mta *m)
{
    struct tls_time now = {.now_ms = m->now_ms};
    now.wall_set = wall_time_now(&m->wall, &now.wall_s);
    if (!now.wall_set) {
        now.wall_s = m->wall.floor_s;
    }
    return now;
}

enum err wire_flush(struct mta *m, struct conn *c)
{
    while (c->tls != NULL) {
        struct slice pending = tls_pending(c->tls);
        if (slice_is_empty(pending)) {
            return ERR_OK;
        }
        size_t sent_len = 0;
        enum err err = m->port->net.write(m->port->net.ctx, &sent_len, c->handle, pending);
        if (err != ERR_OK) {
            return err;
        }
        tls_sent(c->tls, sent_len);
    }
    return ERR_OK;
}

/* One record, once the one before is out. */
static enum err write_tls(struct mta *m, struct conn *c, struct slice bytes, size_t *out_len)
{
    enum err err = wire_flush(m, c);
    if (err != ERR_OK) {
        return err;
    }
    err = tls_write(c->tls, bytes, out_len);
    if (err == ERR_AGAIN) { /* nothing is pending, so the heap is full */
        handshake_wait_for_heap(m, c);
    }
    return err == ERR_OK ? wire_flush(m, c) : err;
}

enum err wire_write(struct mta *m, struct conn *c, struct slice bytes, size_t *out_len)
{
    *out_len = 0;
    while (*out_len < bytes.len) {
        struct slice rest = slice_make(bytes.ptr + *out_len, bytes.len - *out_len);
        size_t taken_len = 0;
        enum err err = c->tls != NULL
                           ? write_tls(m, c, rest, &taken_len)
                           : m->port->net.write(m->port->net.ctx, &taken_len, c->handle, rest);
        *out_len += taken_len;
        if (err != ERR_OK) {
            return err;
        }
    }
    return ERR_OK;
}

enum err wire_feed_tls(struct mta *m, struct conn *c)
{
    size_t len = 0, room = tls_room(c->tls);
    if (room == 0) {
        return ERR_OK;
    }
    if (heap_largest_free(&m->heap) < HEAP_LEFT_LEN) {
        handshake_wait_for_heap(m, c); /* what TLS cannot hold would end the session */
        return ERR_AGAIN;
    }
    enum err err = m->port->net.read(m->port->net.ctx, &len, c->handle, m->scratch,
                                     room < BUDGET_PIECE_LEN ? room : BUDGET_PIECE_LEN);
    if (err == ERR_OK) {
        struct slice in = slice_make(m->scratch, len);
        tls_feed(c->tls, &in);
    }
    return err;
}

static enum err read_tls(struct mta *m, struct conn *c, struct buf *into)
{
    struct tls_time now = mta_tls_time(m);
    for (int i = 0; i < READS_PER_TURN; i++) {
        struct slice plain = tls_peek(c->tls);
        if (!slice_is_empty(plain)) {
            size_t room = buf_room(into);
            size_t len = plain.len < room ? plain.len : room;
            buf_put(into, slice_make(plain.ptr, len));
            tls_consume(c->tls, len);
            return ERR_OK;
        }
        enum err err = ERR_OK;
        switch (tls_step(c->tls, &now)) {
        case TLS_MORE:
            err = wire_feed_tls(m, c);
            break;
        case TLS_WRITE:
            err = wire_flush(m, c);
            break;
        case TLS_NO_ROOM:
            handshake_wait_for_heap(m, c);
            return ERR_AGAIN;
        case TLS_CLOSED:
            return ERR_EOF;
        case TLS_FAILED:
            wire_flush(m, c); /* the alert, if the peer takes it */
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
    conn_queue(m, c); /* its next turn comes after the others' */
    return ERR_AGAIN;
}

enum err wire_read(struct mta *m, struct conn *c, struct buf *into)
{
    if (c->tls != NULL) {
        return read_tls(m, c, into);
    }
    size_t len = 0;
    enum err err =
        m->port->net.read(m->port->net.ctx, &len, c->handle, into->ptr + into->len, buf_room(into));
    into->len += len;
    return err;
}

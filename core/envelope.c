/* The envelope's entries: see envelope.h. */
#include "envelope.h"

#include "buf.h"

#define FORMAT_VERSION 1
#define HEAD_LEN       3

/* A run of len bytes at the end of the envelope; entries never cross a block. */
static struct buf reserve(struct envelope *e, struct pool *blocks, size_t len)
{
    struct envelope_block *b = e->last;
    if (b == NULL || sizeof b->bytes - b->len < len) {
        b = pool_take(blocks);
        if (b == NULL) {
            return buf_make(NULL, 0);
        }
        if (e->last == NULL) {
            e->first = b;
        } else {
            e->last->next = b;
        }
        e->last = b;
    }
    struct buf room = buf_make(b->bytes + b->len, len);
    b->len += (uint32_t)len;
    e->len += (uint32_t)len;
    return room;
}

static enum err add_entry(struct envelope *e, struct pool *blocks, enum envelope_kind kind,
                          struct slice head, struct slice rest)
{
    size_t len = head.len + rest.len;
    if (HEAD_LEN + len > ENVELOPE_ENTRY_MAX) {
        return ERR_TOO_BIG;
    }
    struct buf room = reserve(e, blocks, HEAD_LEN + len);
    if (room.ptr == NULL) {
        return ERR_NO_MEMORY;
    }
    buf_put_u8(&room, (uint8_t)kind);
    buf_put_be(&room, 2, len);
    buf_put(&room, head);
    buf_put(&room, rest);
    return ERR_OK;
}

enum err envelope_begin(struct envelope *e, struct pool *blocks, struct slice reverse_path)
{
    static const uint8_t version = FORMAT_VERSION;
    memset(e, 0, sizeof *e);
    enum err err =
        add_entry(e, blocks, ENVELOPE_VERSION, slice_make(&version, 1), slice_make(NULL, 0));
    if (err == ERR_OK) {
        err = add_entry(e, blocks, ENVELOPE_SENDER, slice_make(NULL, 0), reverse_path);
    }
    if (err != ERR_OK) {
        envelope_clear(e, blocks);
    }
    return err;
}

static bool holds_user(const struct envelope *e, struct slice user)
{
    for (const struct envelope_block *b = e->first; b != NULL; b = b->next) {
        struct slice in = slice_make(b->bytes, b->len);
        struct envelope_entry entry;
        while (envelope_read(&in, &entry) == ERR_OK) {
            if (entry.kind == ENVELOPE_RCPT && slice_equal(entry.user, user)) {
                return true;
            }
        }
    }
    return false;
}

enum err envelope_add(struct envelope *e, struct pool *blocks, struct slice user,
                      struct slice address)
{
    uint8_t head[256];
    if (user.len > UINT8_MAX) {
        return ERR_TOO_BIG;
    }
    if (holds_user(e, user)) {
        return ERR_EXISTS;
    }
    struct buf b = buf_make(head, sizeof head);
    buf_put_u8(&b, (uint8_t)user.len);
    buf_put(&b, user);
    enum err err = add_entry(e, blocks, ENVELOPE_RCPT, buf_slice(&b), address);
    if (err == ERR_OK) {
        e->num_rcpts++;
    }
    return err;
}

void envelope_clear(struct envelope *e, struct pool *blocks)
{
    while (e->first != NULL) {
        struct envelope_block *gone = e->first;
        e->first = gone->next;
        pool_give(blocks, gone);
    }
    memset(e, 0, sizeof *e);
}

static bool read_payload(struct slice payload, struct envelope_entry *out)
{
    uint8_t number;
    switch (out->kind) {
    case ENVELOPE_VERSION:
        return slice_u8(&payload, &number) && number == FORMAT_VERSION && slice_is_empty(payload);
    case ENVELOPE_SENDER:
        out->address = payload;
        return true;
    case ENVELOPE_RCPT:
        if (!slice_u8(&payload, &number) || !slice_take(&payload, number, &out->user)) {
            return false;
        }
        out->address = payload;
        return true;
    }
    return false;
}

enum err envelope_read(struct slice *in, struct envelope_entry *out)
{
    struct slice rest = *in, payload;
    uint8_t kind;
    uint16_t len;
    if (!slice_u8(&rest, &kind) || !slice_be16(&rest, &len)) {
        return ERR_AGAIN;
    }
    if (len > ENVELOPE_ENTRY_MAX) {
        return ERR_MALFORMED;
    }
    if (!slice_take(&rest, len, &payload)) {
        return ERR_AGAIN;
    }
    memset(out, 0, sizeof *out);
    out->kind = (enum envelope_kind)kind;
    if (!read_payload(payload, out)) {
        return ERR_MALFORMED;
    }
    *in = rest;
    return ERR_OK;
}

bool envelope_sender(const struct envelope *e, struct slice *out)
{
    if (e->first == NULL) {
        return false;
    }
    struct slice in = slice_make(e->first->bytes, e->first->len);
    struct envelope_entry entry;
    while (envelope_read(&in, &entry) == ERR_OK) {
        if (entry.kind == ENVELOPE_SENDER) {
            *out = entry.address;
            return true;
        }
    }
    return false;
}

/* The envelope's entries: see envelope.h. */
#include "envelope.h"

#define FORMAT_VERSION 2
#define KIND_RCPT_1    'R'
#define HEAD_LEN       3

/* --- The codec --- */

static bool put_short(struct buf *b, struct slice text)
{
    if (text.len > UINT8_MAX) {
        b->overflow = true;
        return false;
    }
    return buf_put_u8(b, (uint8_t)text.len) && buf_put(b, text);
}

static void put_payload(struct buf *b, const struct envelope_entry *entry)
{
    const struct envelope_rcpt *rcpt = &entry->rcpt;
    const struct envelope_params *params = &entry->params;
    switch (entry->kind) {
    case ENVELOPE_VERSION:
        buf_put_u8(b, entry->version);
        break;
    case ENVELOPE_SENDER:
        buf_put(b, entry->sender);
        break;
    case ENVELOPE_PARAMS:
        buf_put_u8(b, params->flags);
        put_short(b, params->envid);
        buf_put(b, params->login);
        break;
    case ENVELOPE_RUNNING:
        buf_put_be(b, 8, params->running_s);
        break;
    case ENVELOPE_RCPT:
        put_short(b, rcpt->user);
        buf_put_u8(b, rcpt->notify);
        buf_put_be(b, 2, rcpt->address.len);
        buf_put(b, rcpt->address);
        buf_put(b, rcpt->orcpt);
        break;
    }
}

enum err envelope_put(struct buf *b, const struct envelope_entry *entry)
{
    size_t room_len = buf_room(b) < ENVELOPE_ENTRY_MAX ? buf_room(b) : ENVELOPE_ENTRY_MAX;
    struct buf whole = buf_make(b->ptr + b->len, room_len);
    struct buf head = whole;
    buf_put_u8(&whole, (uint8_t)entry->kind);
    buf_put_be(&whole, 2, 0);
    put_payload(&whole, entry);
    if (whole.overflow) {
        return ERR_TOO_BIG;
    }
    buf_put_u8(&head, (uint8_t)entry->kind);
    buf_put_be(&head, 2, whole.len - HEAD_LEN);
    b->len += whole.len;
    return ERR_OK;
}

enum err envelope_put_head(struct buf *b, struct slice reverse_path,
                           const struct envelope_params *params)
{
    size_t len_before = b->len;
    struct envelope_entry entry = {.kind = ENVELOPE_VERSION, .version = FORMAT_VERSION};
    enum err err = envelope_put(b, &entry);
    if (err == ERR_OK) {
        entry.kind = ENVELOPE_SENDER;
        entry.sender = reverse_path;
        err = envelope_put(b, &entry);
    }
    entry.params = *params;
    if (err == ERR_OK && (params->flags != 0 || params->envid.len != 0 || params->login.len != 0)) {
        entry.kind = ENVELOPE_PARAMS;
        err = envelope_put(b, &entry);
    }
    if (err == ERR_OK && params->running_s != 0) {
        entry.kind = ENVELOPE_RUNNING;
        err = envelope_put(b, &entry);
    }
    if (err != ERR_OK) {
        b->len = len_before;
    }
    return err;
}

static bool take_short(struct slice *in, struct slice *out)
{
    uint8_t len;
    return slice_u8(in, &len) && slice_take(in, len, out);
}

static bool read_rcpt(struct slice payload, struct envelope_rcpt *out)
{
    uint16_t address_len;
    if (!take_short(&payload, &out->user) || !slice_u8(&payload, &out->notify) ||
        !slice_be16(&payload, &address_len) || !slice_take(&payload, address_len, &out->address)) {
        return false;
    }
    out->orcpt = payload;
    return true;
}

static bool read_payload(uint8_t kind, struct slice payload, struct envelope_entry *out)
{
    struct envelope_params *params = &out->params;
    out->kind = (enum envelope_kind)kind;
    switch (kind) {
    case ENVELOPE_VERSION:
        return slice_u8(&payload, &out->version) && out->version >= 1 &&
               out->version <= FORMAT_VERSION && slice_is_empty(payload);
    case ENVELOPE_SENDER:
        out->sender = payload;
        return true;
    case ENVELOPE_PARAMS:
        if (!slice_u8(&payload, &params->flags) || !take_short(&payload, &params->envid)) {
            return false;
        }
        params->login = payload;
        return true;
    case ENVELOPE_RUNNING:
        return slice_be64(&payload, &params->running_s) && slice_is_empty(payload);
    case ENVELOPE_RCPT:
        return read_rcpt(payload, &out->rcpt);
    case KIND_RCPT_1:
        out->kind = ENVELOPE_RCPT;
        if (!take_short(&payload, &out->rcpt.user)) {
            return false;
        }
        out->rcpt.address = payload;
        return true;
    default:
        return false;
    }
}

enum err envelope_read(struct slice *in, struct envelope_entry *out)
{
    struct slice rest = *in, payload;
    uint8_t kind;
    uint16_t len;
    if (!slice_u8(&rest, &kind) || !slice_be16(&rest, &len)) {
        return ERR_AGAIN;
    }
    if (HEAD_LEN + len > ENVELOPE_ENTRY_MAX) {
        return ERR_MALFORMED;
    }
    if (!slice_take(&rest, len, &payload)) {
        return ERR_AGAIN;
    }
    memset(out, 0, sizeof *out);
    if (!read_payload(kind, payload, out)) {
        return ERR_MALFORMED;
    }
    *in = rest;
    return ERR_OK;
}

/* --- The blocks --- */

struct envelope_mark envelope_mark(const struct envelope *e)
{
    return (struct envelope_mark){*e, e->last != NULL ? e->last->len : 0};
}

void envelope_cut(struct envelope *e, struct pool *blocks, const struct envelope_mark *mark)
{
    struct envelope_block *last = mark->envelope.last;
    struct envelope_block *gone = last != NULL ? last->next : e->first;
    while (gone != NULL) {
        struct envelope_block *next = gone->next;
        pool_give(blocks, gone);
        gone = next;
    }
    *e = mark->envelope;
    if (last != NULL) {
        last->next = NULL;
        last->len = mark->last_len;
    }
}

/* Bytes at the end of the envelope; what does not fit into a block goes on in the next. */
static enum err append(struct envelope *e, struct pool *blocks, struct slice bytes)
{
    struct envelope_mark mark = envelope_mark(e);
    e->len += (uint32_t)bytes.len;
    while (bytes.len != 0) {
        struct envelope_block *b = e->last;
        if (b == NULL || b->len == sizeof b->bytes) {
            b = pool_take(blocks);
            if (b == NULL) {
                envelope_cut(e, blocks, &mark);
                return ERR_NO_MEMORY;
            }
            *(e->last == NULL ? &e->first : &e->last->next) = b;
            e->last = b;
        }
        size_t room_len = sizeof b->bytes - b->len;
        size_t len = bytes.len < room_len ? bytes.len : room_len;
        memcpy(b->bytes + b->len, bytes.ptr, len);
        b->len += (uint32_t)len;
        slice_skip(&bytes, len);
    }
    return ERR_OK;
}

enum err envelope_begin(struct envelope *e, struct pool *blocks, struct slice reverse_path,
                        const struct envelope_params *params)
{
    uint8_t bytes[ENVELOPE_ENTRY_MAX];
    struct buf head = buf_make(bytes, sizeof bytes);
    memset(e, 0, sizeof *e);
    enum err err = envelope_put_head(&head, reverse_path, params);
    return err == ERR_OK ? append(e, blocks, buf_slice(&head)) : err;
}

static bool is_same(const struct envelope_rcpt *a, const struct envelope_rcpt *b,
                    const struct envelope_mailboxes *mailboxes)
{
    if (!slice_equal(a->user, b->user)) {
        return false;
    }
    if (a->user.len == 0) {
        return slice_equal(a->address, b->address);
    }
    return mailboxes == NULL || mailboxes->is_same(mailboxes->ctx, a->address, b->address);
}

enum err envelope_add(struct envelope *e, struct pool *blocks, const struct envelope_rcpt *rcpt,
                      const struct envelope_mailboxes *mailboxes)
{
    struct envelope_cursor cursor = {.block = e->first};
    struct envelope_entry entry;
    while (envelope_next(&cursor, &entry)) {
        if (entry.kind == ENVELOPE_RCPT && is_same(&entry.rcpt, rcpt, mailboxes)) {
            return ERR_EXISTS;
        }
    }
    struct buf bytes = buf_make(cursor.joined, sizeof cursor.joined);
    entry.kind = ENVELOPE_RCPT;
    entry.rcpt = *rcpt;
    enum err err = envelope_put(&bytes, &entry);
    if (err == ERR_OK) {
        err = append(e, blocks, buf_slice(&bytes));
    }
    e->num_rcpts += err == ERR_OK;
    return err;
}

void envelope_clear(struct envelope *e, struct pool *blocks)
{
    struct envelope_mark nothing;
    memset(&nothing, 0, sizeof nothing);
    envelope_cut(e, blocks, &nothing);
}

/* Copies what follows at the cursor, at most an entry's length. */
static struct slice join(struct envelope_cursor *cursor)
{
    struct buf out = buf_make(cursor->joined, sizeof cursor->joined);
    uint32_t at = cursor->at;
    for (const struct envelope_block *b = cursor->block; b != NULL; b = b->next) {
        size_t len = b->len - at;
        buf_put(&out, slice_make(b->bytes + at, len < buf_room(&out) ? len : buf_room(&out)));
        at = 0;
    }
    return buf_slice(&out);
}

bool envelope_next(struct envelope_cursor *cursor, struct envelope_entry *out)
{
    if (cursor->block == NULL) {
        return false;
    }
    struct slice in =
        slice_make(cursor->block->bytes + cursor->at, cursor->block->len - cursor->at);
    size_t len = in.len;
    if (envelope_read(&in, out) != ERR_OK) {
        in = join(cursor);
        len = in.len;
        if (envelope_read(&in, out) != ERR_OK) {
            return false;
        }
    }
    cursor->at += (uint32_t)(len - in.len);
    while (cursor->block != NULL && cursor->at >= cursor->block->len) {
        cursor->at -= cursor->block->len;
        cursor->block = cursor->block->next;
    }
    return true;
}

bool envelope_find(const struct envelope *e, enum envelope_kind kind,
                   struct envelope_cursor *cursor, struct envelope_entry *out)
{
    cursor->block = e->first;
    cursor->at = 0;
    do {
        if (!envelope_next(cursor, out)) {
            return false;
        }
    } while (out->kind != kind);
    return true;
}

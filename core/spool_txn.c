/* Transactions: from begin to the event that says how it ended. SPOOL.md, "What a message goes
 * through", 1 to 4 and 8. Called by the composition root through spool.h, and by the log writer
 * when a batch ends. */
#include "spool_inside.h"

#define COST_UNIT 512u

static struct spool_txn *each(const struct spool *sp, uint32_t *cursor)
{
    return pool_each(&sp->txns, cursor);
}

static bool is_unwritten(enum txn_state state)
{
    return state == TXN_EMITTING || state == TXN_ANNULLING;
}

/* Every change of state goes through here, so that nobody need look at all transactions to know
 * that there is nothing to do. */
static void enter(struct spool *sp, struct spool_txn *t, enum txn_state state)
{
    sp->num_unwritten -= is_unwritten(t->state);
    sp->num_ended -= t->state == TXN_ENDED;
    t->state = state;
    sp->num_unwritten += is_unwritten(state);
    sp->num_ended += state == TXN_ENDED;
}

static uint32_t shared_max(void)
{
    return BROKEN(LARGE_IN_LOG) ? (SPOOL_SHARED_EXTENTS - 5) * 4000u : SPOOL_SHARED_MAX;
}

static uint64_t seg_payload(const struct spool *sp)
{
    return (uint64_t)(sp->seg_pages - 2) * sp->chunk_cap;
}

uint32_t spool_cost(const struct spool *sp, uint64_t len)
{
    uint64_t whole = len + len / 64 + COST_UNIT;
    if (len > shared_max()) {
        uint64_t num_segs = (len + seg_payload(sp) - 1) / seg_payload(sp);
        whole = num_segs * sp->seg_pages * sp->page_len + COST_UNIT;
    }
    return (uint32_t)((whole + COST_UNIT - 1) / COST_UNIT);
}

static uint32_t cost_max(const struct spool *sp, bool is_report)
{
    return sp->live_cost_max - (is_report ? 0 : sp->reserved_cost);
}

static bool is_too_big(const struct spool *sp, uint64_t len)
{
    uint64_t num_segs = SPOOL_EXTENTS_MAX - 20;
    return len > num_segs * seg_payload(sp) || spool_cost(sp, len) > cost_max(sp, false);
}

/* Entries of the index that live messages may take: the dead need a quarter (spool_compact.c), and
 * mail leaves an eighth to reports. */
static uint32_t index_max(const struct spool *sp, bool is_report)
{
    return sp->num_slots / 8 * (is_report ? 6 : 5);
}

/* Whether that much more is over the limit. */
static bool is_over(const struct spool *sp, bool is_report, uint32_t cost)
{
    return (uint64_t)sp->live_cost + cost > cost_max(sp, is_report) && !BROKEN(RESERVE_TAKEN);
}

/* Forgets what the transaction has on disk and in the accounts; its state is the caller's. */
static void release(struct spool *sp, struct spool_txn *t)
{
    uint16_t seg = t->first_owned;
    while (seg != SPOOL_NONE) {
        uint16_t next = sp->segs[seg].next_owned;
        sp->segs[seg].owner = 0;
        if (sp->segs[seg].state == SEG_DATA) {
            spool_seg_free(sp, seg);
        }
        seg = next;
    }
    t->first_owned = t->last_owned = SPOOL_NONE;
    t->num_places = 0;
    sp->live_cost -= t->cost;
    t->cost = 0;
    if (t->entry != 0) {
        spool_entry_give(sp, t->entry - 1);
        t->entry = 0;
    }
}

static void end(struct spool *sp, struct spool_txn *t, enum err err)
{
    release(sp, t);
    t->err = err;
    enter(sp, t, TXN_ENDED);
    if (err != ERR_OK) {
        sp->stats.num_annulled++;
    }
}

/* A bijection of a counter that begins anywhere: ids never repeat in a run, and two runs' stretches
 * of 2^64 do not meet. */
static uint64_t next_id(struct spool *sp)
{
    uint64_t id;
    do {
        uint64_t z = ++sp->id_counter;
        z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
        id = z ^ z >> 31;
    } while (id == 0 || spool_entry_find(sp, id) != SPOOL_NO_ENTRY);
    return id;
}

static enum err begin(struct spool *sp, uint64_t *out_txn, uint64_t declared_len, bool is_report)
{
    *out_txn = 0;
    if (sp->is_failed) {
        return ERR_IO;
    }
    if (!sp->recover.is_told || sp->is_stopping) {
        return ERR_BUSY;
    }
    if (is_too_big(sp, declared_len)) {
        return ERR_TOO_BIG;
    }
    uint32_t cost = spool_cost(sp, declared_len);
    bool has_margin = sp->store->overwrites_in_place || BROKEN(WRITE_ERROR_IGNORED) ||
                      sp->store->free_len(sp->store->ctx) / sp->page_len / 4 >= sp->seg_pages;
    if (is_over(sp, is_report, cost) || !has_margin ||
        sp->stats.num_messages + sp->txns.num_used >= sp->conf.max_messages) {
        return ERR_FULL;
    }
    struct spool_txn *t = pool_take(&sp->txns);
    if (t == NULL) {
        return ERR_BUSY;
    }
    t->id = next_id(sp);
    t->cost = is_report ? cost : spool_cost(sp, 0);
    t->is_report = is_report;
    t->is_large = declared_len > shared_max();
    t->first_owned = t->last_owned = SPOOL_NONE;
    sp->live_cost += t->cost;
    *out_txn = pool_handle(&sp->txns, t);
    return ERR_OK;
}

enum err spool_begin(struct spool *sp, uint64_t *out_txn, uint64_t declared_len)
{
    return begin(sp, out_txn, declared_len, false);
}

enum err spool_begin_report(struct spool *sp, uint64_t *out_txn, uint64_t declared_len)
{
    return begin(sp, out_txn, declared_len, true);
}

uint64_t spool_txn_id(const struct spool *sp, uint64_t txn)
{
    const struct spool_txn *t = pool_find(&sp->txns, txn);
    return t != NULL ? t->id : 0;
}

/* Counts the transaction for len bytes. */
static enum err account(struct spool *sp, struct spool_txn *t, uint64_t len)
{
    uint32_t cost = spool_cost(sp, len);
    if (is_too_big(sp, len)) {
        return ERR_TOO_BIG;
    }
    if (cost <= t->cost) {
        return ERR_OK;
    }
    if (is_over(sp, t->is_report, cost - t->cost)) {
        return ERR_FULL;
    }
    sp->live_cost += cost - t->cost;
    t->cost = cost;
    return ERR_OK;
}

/* Makes sure that num_pages can be written to the transaction's own segments. */
static enum err data_room(struct spool *sp, struct spool_txn *t, uint32_t num_pages)
{
    if (sp->is_failed) {
        return ERR_IO;
    }
    if (!spool_mail_may_write(sp)) {
        return ERR_AGAIN;
    }
    if (t->last_owned != SPOOL_NONE) {
        const struct spool_seg *sg = &sp->segs[t->last_owned];
        if (sg->next_owned != SPOOL_NONE || sg->num_pages - 1 - sg->num_written >= num_pages) {
            return ERR_OK;
        }
    }
    uint16_t seg = spool_mail_may_grow(sp) ? spool_seg_take(sp, true) : SPOOL_NONE;
    if (seg == SPOOL_NONE) {
        return ERR_AGAIN;
    }
    sp->segs[seg].owner = t->id;
    sp->segs[seg].next_owned = SPOOL_NONE;
    if (t->last_owned == SPOOL_NONE) {
        t->first_owned = t->last_owned = seg;
    } else {
        sp->segs[t->last_owned].next_owned = seg;
    }
    t->num_owned++;
    return ERR_OK;
}

static enum err flush_to_own(struct spool *sp, struct spool_txn *t, uint64_t offset)
{
    if (sp->segs[t->last_owned].num_written == sp->segs[t->last_owned].num_pages - 1) {
        t->last_owned = sp->segs[t->last_owned].next_owned;
    }
    struct buf b = buf_make(t->page + SPOOL_PAGE_HEAD_LEN, sp->page_len - SPOOL_PAGE_HEAD_LEN);
    spool_chunk_head_put(&b, t->id, offset, t->staged_len);
    sp->segs[t->last_owned].owned_len += t->staged_len;
    enum err err = spool_data_page(sp, t->last_owned, t->page, STAGE_AT + t->staged_len);
    if (err != ERR_OK) {
        spool_seg_fail(sp, t->last_owned, err);
    }
    return err;
}

static enum err flush(struct spool *sp, struct spool_txn *t)
{
    enum err err = ERR_OK;
    uint64_t offset = t->meta.total_len - t->staged_len;
    if (t->staged_len == 0) {
        return ERR_OK;
    }
    if (t->is_large) {
        err = flush_to_own(sp, t, offset);
    } else {
        t->places[t->num_places++] =
            spool_log_chunk(sp, t->id, offset, slice_make(t->page + STAGE_AT, t->staged_len));
    }
    sp->stats.message_len += t->staged_len;
    t->staged_len = 0;
    return err;
}

static enum err again(struct spool *sp)
{
    sp->is_step_due = sp->is_step_due || !sp->has_waiter;
    sp->has_waiter = true;
    return sp->is_failed ? ERR_IO : sp->is_stuck ? ERR_FULL : ERR_AGAIN;
}

enum err spool_append(struct spool *sp, uint64_t txn, struct slice bytes)
{
    struct spool_txn *t = pool_find(&sp->txns, txn);
    if (t == NULL || t->state != TXN_OPEN || bytes.len > SPOOL_APPEND_MAX) {
        return ERR_WRONG_STATE;
    }
    if (t->err != ERR_OK || sp->is_failed) {
        return t->err != ERR_OK ? t->err : ERR_IO;
    }
    if (sp->unsynced_len >= sp->conf.max_unsynced) {
        return again(sp);
    }
    uint64_t len = t->meta.total_len + bytes.len;
    bool is_large = t->is_large || len > shared_max();
    uint32_t num_flushes = (uint32_t)((t->staged_len + bytes.len) / sp->chunk_cap);
    bool takes_segment = is_large && num_flushes != 0 && len <= shared_max();
    enum err err = account(sp, t, takes_segment ? shared_max() + 1 : len);
    if (err != ERR_OK) {
        return err;
    }
    if (num_flushes != 0) {
        err = is_large ? data_room(sp, t, num_flushes) : spool_log_room(sp, num_flushes + 2, true);
        if (err != ERR_OK) {
            return err == ERR_AGAIN ? again(sp) : err;
        }
    }
    t->is_large = is_large;
    while (!slice_is_empty(bytes) && err == ERR_OK) {
        size_t room = sp->chunk_cap - t->staged_len;
        struct slice part = slice_make(bytes.ptr, bytes.len < room ? bytes.len : room);
        slice_skip(&bytes, part.len);
        memcpy(t->page + STAGE_AT + t->staged_len, part.ptr, part.len);
        t->staged_len += (uint32_t)part.len;
        t->meta.total_len += part.len;
        if (t->staged_len == sp->chunk_cap) {
            err = flush(sp, t);
        }
    }
    return err;
}

/* Writes the rest and the commit record; ERR_AGAIN: nothing was written. */
static enum err emit(struct spool *sp, struct spool_txn *t)
{
    uint32_t needed = spool_entries_needed(t->meta.num_rcpts);
    if (sp->disk_entries + needed > sp->num_slots) {
        return ERR_AGAIN;
    }
    enum err err = t->is_large && t->staged_len != 0 ? data_room(sp, t, 1) : ERR_OK;
    if (err == ERR_OK) {
        err = spool_log_room(sp, 4, true);
    }
    if (err == ERR_OK) {
        err = flush(sp, t);
    }
    if (err != ERR_OK) {
        return err;
    }
    struct spool_record r = {.type = SPOOL_COMMIT, .id = t->id};
    r.commit.version = 0;
    r.commit.num_extents = (uint16_t)(t->num_places + t->num_owned);
    r.commit.total_len = t->meta.total_len;
    r.commit.envelope_len = t->meta.envelope_len;
    r.commit.num_rcpts = t->meta.num_rcpts;
    r.commit.received_s = t->meta.received_s;
    r.commit.flags = t->meta.flags;
    struct spool_place at =
        spool_log_commit(sp, &r, t->places, t->num_places, t->first_owned, SPOOL_NO_ENTRY);
    t->commit_seg = at.seg;
    t->commit_page = at.page;
    t->commit_offset = at.offset;
    t->batch = sp->batch_open;
    enter(sp, t, TXN_WRITTEN);
    sp->is_sync_wanted = true;
    return ERR_OK;
}

static void try_emit(struct spool *sp, struct spool_txn *t)
{
    enum err err = t->err != ERR_OK ? t->err : emit(sp, t);
    if (err == ERR_AGAIN && sp->is_stuck) {
        err = ERR_FULL;
    }
    if (err != ERR_OK && err != ERR_AGAIN) {
        end(sp, t, err);
    }
}

enum err spool_commit(struct spool *sp, uint64_t txn, const struct spool_meta *meta)
{
    struct spool_txn *t = pool_find(&sp->txns, txn);
    if (t == NULL || t->state != TXN_OPEN) {
        return ERR_WRONG_STATE;
    }
    if (meta->envelope_len > t->meta.total_len || meta->num_rcpts == 0 ||
        meta->num_rcpts > SPOOL_RCPTS_MAX) {
        return ERR_MALFORMED;
    }
    if (t->err != ERR_OK || sp->is_failed) {
        return t->err != ERR_OK ? t->err : ERR_IO;
    }
    uint32_t num_entries = sp->num_slots_used + spool_entries_needed(meta->num_rcpts);
    uint32_t entry = num_entries > index_max(sp, t->is_report)
                         ? SPOOL_NO_ENTRY
                         : spool_entry_take(sp, t->id, meta->num_rcpts);
    if (entry == SPOOL_NO_ENTRY) {
        return ERR_FULL;
    }
    t->entry = entry + 1;
    /* What was announced as large and is shorter than a page takes no segment of its own. */
    t->is_large = t->is_large && t->meta.total_len > t->staged_len;
    uint64_t total_len = t->meta.total_len;
    t->meta = *meta;
    t->meta.total_len = total_len;
    enter(sp, t, TXN_EMITTING);
    sp->is_step_due = true;
    try_emit(sp, t);
    return ERR_OK;
}

void spool_abort(struct spool *sp, uint64_t txn)
{
    struct spool_txn *t = pool_find(&sp->txns, txn);
    if (t != NULL && t->state == TXN_OPEN) {
        release(sp, t);
        pool_give(&sp->txns, t);
    }
}

static void annul(struct spool *sp, struct spool_txn *t)
{
    if (BROKEN(ANNUL_SKIPPED)) {
        end(sp, t, t->err);
    } else if (spool_log_room(sp, 2, false) == ERR_OK) {
        spool_log_annul(sp, t->id);
        enter(sp, t, TXN_ANNULLED);
        t->batch = sp->batch_open;
        sp->is_sync_wanted = true;
    } else if (sp->is_starved) {
        spool_fail(sp);
    }
}

void spool_txn_step(struct spool *sp)
{
    uint32_t cursor = 0;
    if (sp->num_unwritten == 0) {
        return;
    }
    for (struct spool_txn *t; !sp->is_failed && (t = each(sp, &cursor)) != NULL;) {
        if (t->state == TXN_EMITTING) {
            try_emit(sp, t);
        } else if (t->state == TXN_ANNULLING) {
            annul(sp, t);
        }
    }
}

static void written_ok(struct spool *sp, struct spool_txn *t)
{
    struct spool_copied at = {.page = t->commit_page,
                              .offset = t->commit_offset,
                              .seg = t->commit_seg,
                              .first_seg = t->commit_seg,
                              .version = 0};
    for (uint16_t i = 0; i < t->num_places; i++) {
        if (sp->segs[t->places[i].seg].generation < sp->segs[at.first_seg].generation) {
            at.first_seg = t->places[i].seg;
        }
    }
    uint32_t entry = t->entry - 1;
    spool_entry_insert(sp, entry);
    spool_entry_place(sp, entry, &at);
    sp->slots[entry].entry.cost = t->cost;
    sp->stats.num_messages++;
    sp->stats.num_committed++;
    t->entry = 0;
    t->cost = 0;
    t->num_places = 0;
    t->first_owned = t->last_owned = SPOOL_NONE;
    end(sp, t, ERR_OK);
}

void spool_txn_batch_ok(struct spool *sp)
{
    uint32_t cursor = 0;
    for (struct spool_txn *t; (t = each(sp, &cursor)) != NULL;) {
        if (t->batch != sp->batch_syncing) {
            continue;
        }
        if (t->state == TXN_ANNULLED) {
            end(sp, t, t->err);
        } else if (t->state == TXN_WRITTEN && t->err == ERR_OK) {
            written_ok(sp, t);
        } else if (t->state == TXN_WRITTEN) {
            enter(sp, t, TXN_ANNULLING);
        }
    }
}

void spool_txn_batch_failed(struct spool *sp)
{
    uint32_t cursor = 0;
    for (struct spool_txn *t; (t = each(sp, &cursor)) != NULL;) {
        if (t->state == TXN_WRITTEN || t->state == TXN_ANNULLED) {
            t->err = t->err != ERR_OK ? t->err : ERR_IO;
            enter(sp, t, TXN_ANNULLING);
        }
    }
}

void spool_txn_seg_failed(struct spool *sp, uint16_t seg, enum err err)
{
    uint32_t cursor = 0;
    for (struct spool_txn *t; (t = each(sp, &cursor)) != NULL;) {
        bool is_hit = sp->segs[seg].is_data && sp->segs[seg].owner == t->id;
        for (uint16_t i = 0; i < t->num_places; i++) {
            is_hit = is_hit || t->places[i].seg == seg;
        }
        if (is_hit && t->state != TXN_ENDED && t->err == ERR_OK) {
            t->err = err;
        }
    }
}

void spool_txn_storage_failed(struct spool *sp)
{
    uint32_t cursor = 0;
    for (struct spool_txn *t; (t = each(sp, &cursor)) != NULL;) {
        if (t->state != TXN_OPEN && t->state != TXN_ENDED) {
            end(sp, t, ERR_IO);
        }
    }
}

uint32_t spool_txn_entries_unwritten(const struct spool *sp)
{
    uint32_t cursor = 0, num = 0;
    for (struct spool_txn *t; (t = each(sp, &cursor)) != NULL;) {
        num += t->state == TXN_EMITTING ? spool_entries_needed(t->meta.num_rcpts) : 0;
    }
    return num;
}

bool spool_txn_touches(struct spool *sp, uint16_t seg)
{
    uint32_t cursor = 0;
    for (struct spool_txn *t; (t = each(sp, &cursor)) != NULL;) {
        bool is_unwritten = (t->state == TXN_OPEN || t->state == TXN_EMITTING) && t->err == ERR_OK;
        if (!is_unwritten && t->state != TXN_WRITTEN) {
            continue;
        }
        if (t->state == TXN_WRITTEN && t->commit_seg == seg) {
            return true;
        }
        for (uint16_t i = 0; i < t->num_places; i++) {
            if (t->places[i].seg == seg) {
                return true;
            }
        }
    }
    return false;
}

bool spool_txn_owns(const struct spool *sp, uint64_t owner)
{
    uint32_t cursor = 0;
    for (struct spool_txn *t; owner != 0 && (t = each(sp, &cursor)) != NULL;) {
        if (t->id == owner && t->first_owned != SPOOL_NONE) {
            return true;
        }
    }
    return false;
}

enum err spool_txn_move(struct spool *sp, uint16_t seg)
{
    uint32_t cursor = 0;
    for (struct spool_txn *t; (t = each(sp, &cursor)) != NULL;) {
        if ((t->state != TXN_OPEN && t->state != TXN_EMITTING) || t->err != ERR_OK) {
            continue;
        }
        uint64_t at = 0;
        for (uint16_t i = 0; i < t->num_places; at += t->places[i++].len) {
            struct spool_place *place = &t->places[i];
            if (place->seg != seg) {
                continue;
            }
            enum err err = spool_log_room(sp, SPOOL_COPY_PAGES, false);
            if (err != ERR_OK) {
                return err;
            }
            err = spool_place_read(sp, t->id, place, at, 0, sp->copy_buf, place->len);
            if (err != ERR_OK) {
                t->err = err;
                break;
            }
            sp->stats.copied_len += place->len;
            *place = spool_log_chunk(sp, t->id, at, slice_make(sp->copy_buf, place->len));
        }
        if (t->err != ERR_OK) {
            t->num_places = 0; /* nothing of it counts any more */
        }
    }
    return ERR_OK;
}

static void tell_before_sync(struct spool *sp)
{
    uint32_t cursor = 0;
    for (struct spool_txn *t; (t = each(sp, &cursor)) != NULL;) {
        if (t->state == TXN_WRITTEN && t->err == ERR_OK) {
            written_ok(sp, t);
        }
    }
}

bool spool_txn_next_event(struct spool *sp, struct spool_event *out)
{
    if (BROKEN(REPLY_BEFORE_SYNC)) {
        tell_before_sync(sp);
    }
    while (sp->num_ended != 0) {
        struct spool_txn *t = each(sp, &sp->event_cursor);
        if (t == NULL) {
            sp->event_cursor = 0; /* round and round: the one looked for is there */
        } else if (t->state == TXN_ENDED) {
            *out = (struct spool_event){.kind = SPOOL_COMMITTED,
                                        .err = t->err,
                                        .txn = pool_handle(&sp->txns, t),
                                        .id = t->id,
                                        .meta = t->meta};
            sp->num_ended--;
            pool_give(&sp->txns, t);
            return true;
        }
    }
    return false;
}

bool spool_txn_is_quiet(const struct spool *sp)
{
    uint32_t cursor = 0;
    for (struct spool_txn *t; (t = each(sp, &cursor)) != NULL;) {
        if (t->state != TXN_OPEN) {
            return false;
        }
    }
    return true;
}

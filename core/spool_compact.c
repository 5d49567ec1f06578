/* Moves what is needed out of a segment: out of the log's oldest, so that it can be recycled, and
 * out of bad ones, so that they can be retired. Bounded work per call. A copy counts only when it
 * is durable; until then the old place does. Called by spool_step and the log writer. */
#include "spool_inside.h"

#define STEP_ENTRIES 2048
#define STEP_COPIES  16
#define STEP_PAGES   16

static struct spool_entry *entry_at(struct spool *sp, uint32_t entry)
{
    return &sp->slots[entry].entry;
}

/* Whether a round of the log would free a segment: what it holds is that much longer than what is
 * alive. */
static bool is_worthwhile(const struct spool *sp)
{
    uint64_t seg_len = (uint64_t)(sp->seg_pages - 2) * sp->page_len;
    uint64_t log_len = 0, data_len = 0;
    for (uint32_t i = 0; i < sp->num_segs; i++) {
        log_len += sp->segs[i].state == SEG_LOG ? seg_len : 0;
        data_len += sp->segs[i].state == SEG_DATA ? seg_len : 0;
    }
    uint64_t live_len = (uint64_t)sp->live_cost * 512;
    live_len = live_len > data_len ? live_len - data_len : 0;
    return log_len >= live_len + seg_len + seg_len / 2;
}

/* The index is about to be full, and a quarter of it is of commits that are dead: with fewer,
 * rounds of the log would follow each other without end. spool_commit leaves that quarter. */
bool spool_index_is_crowded(const struct spool *sp)
{
    uint32_t num_live = sp->num_slots_used - spool_txn_entries_unwritten(sp);
    return sp->disk_entries > sp->num_slots / 4 * 3 &&
           sp->disk_entries - num_live >= sp->num_slots / 4;
}

static uint16_t choose_of_log(struct spool *sp)
{
    bool is_crowded = spool_index_is_crowded(sp);
    if (!is_crowded && (spool_segs_at_hand(sp) > SPOOL_RESERVE + 1 || !is_worthwhile(sp))) {
        return SPOOL_NONE;
    }
    uint16_t tail = spool_seg_tail(sp);
    if (is_crowded && spool_head_is_alone(sp) && spool_mail_may_grow(sp)) {
        spool_log_turn(sp);
        tail = spool_seg_tail(sp);
    }
    return tail;
}

static void choose(struct spool *sp)
{
    struct spool_compact *c = &sp->compact;
    uint16_t victim = SPOOL_NONE;
    for (uint16_t i = 0; i < sp->num_segs && sp->now_ms >= sp->retire_again_ms; i++) {
        const struct spool_seg *sg = &sp->segs[i];
        if (sg->state == SEG_BAD && !sg->is_syncing && !spool_txn_owns(sp, sg->owner)) {
            victim = i;
        }
    }
    if (victim == SPOOL_NONE && sp->recover.stage == RECOVER_DONE && !sp->is_stopping) {
        victim = choose_of_log(sp);
    }
    c->victim = victim;
    c->phase = COMPACT_SCAN;
    c->cursor = 0;
    c->is_found = c->is_copying = false;
    c->num_again = 0;
}

/* Whether the message must be moved; reads its commit if only that can tell. */
static bool touches(struct spool *sp, uint32_t entry, uint16_t seg)
{
    const struct spool_entry *e = entry_at(sp, entry);
    const struct spool_seg *sg = &sp->segs[seg];
    if (sg->is_data) {
        return sg->owner == e->id;
    }
    if (sg->state == SEG_LOG) {
        return e->first_seg == seg;
    }
    if (sg->is_suspect) {
        return e->commit_seg == seg && e->commit_page >= sg->num_sealed;
    }
    if (sp->segs[e->first_seg].generation > sg->generation ||
        sp->segs[e->commit_seg].generation < sg->generation) {
        return false;
    }
    if (e->commit_seg == seg || spool_view_load(sp, 0, entry, &sp->view) != ERR_OK) {
        return true;
    }
    for (uint16_t i = 0; i < sp->view.num_places; i++) {
        if (sp->view.places[i].seg == seg) {
            return true;
        }
    }
    return false;
}

/* The message cannot be read. It is named, and what spoilt it kept for a person to look at. */
static void lose(struct spool *sp, uint32_t entry, uint16_t seg, uint32_t page)
{
    struct spool_compact *c = &sp->compact;
    spool_log_lost(sp, entry_at(sp, entry)->id, seg, page, "lost");
    c->is_copying = false;
    spool_entry_end(sp, entry);
    if (sp->segs[seg].state == SEG_LOG && seg != sp->head) {
        sp->segs[seg].state = SEG_BAD;
    }
    if (sp->segs[seg].state == SEG_BAD) {
        sp->segs[seg].is_damaged = true;
        sp->segs[seg].is_suspect = false;
        if (seg == c->victim) {
            c->victim = SPOOL_NONE; /* begun anew, as a bad one */
        }
    }
}

/* Of a segment that is longer than those of now: what does not fit into one is a place of its own.
 * False: there is no place left. */
static bool fit(struct spool *sp, struct spool_place *place)
{
    struct spool_commit_view *v = &sp->compact.view;
    const uint32_t num_pages = sp->seg_pages - 2, cap = num_pages * sp->chunk_cap;
    if (place->len <= cap || v->num_places == SPOOL_EXTENTS_MAX) {
        return place->len <= cap;
    }
    memmove(place + 1, place, (size_t)(v->places + v->num_places++ - place) * sizeof *place);
    place->len = cap;
    place[1].page += num_pages;
    place[1].len -= cap;
    return true;
}

static enum err copy_data_segment(struct spool *sp, struct spool_place *place, uint64_t at)
{
    struct spool_compact *c = &sp->compact;
    if (!fit(sp, place)) {
        return ERR_DAMAGED;
    }
    uint16_t seg = spool_seg_take(sp, true);
    if (seg == SPOOL_NONE) {
        return ERR_AGAIN;
    }
    sp->segs[seg].owner = c->id;
    sp->segs[seg].owned_len = place->len;
    sp->segs[seg].is_wanted = true;
    for (uint32_t done = 0; done < place->len;) {
        uint32_t len = place->len - done < sp->chunk_cap ? place->len - done : sp->chunk_cap;
        enum err err = spool_place_read(sp, c->id, place, at, done, sp->copy_buf + STAGE_AT, len);
        if (err != ERR_OK) {
            spool_seg_free(sp, seg);
            return err;
        }
        struct buf b =
            buf_make(sp->copy_buf + SPOOL_PAGE_HEAD_LEN, sp->page_len - SPOOL_PAGE_HEAD_LEN);
        spool_chunk_head_put(&b, c->id, at + done, len);
        err = spool_data_page(sp, seg, sp->copy_buf, STAGE_AT + len);
        if (err != ERR_OK) {
            spool_seg_fail(sp, seg, err);
            return ERR_AGAIN;
        }
        done += len;
    }
    *place = (struct spool_place){
        .page = 1, .len = place->len, .seg = seg, .offset = SPOOL_PAGE_HEAD_LEN};
    return ERR_OK;
}

static bool must_move(const struct spool *sp, const struct spool_place *place)
{
    const struct spool_seg *sg = &sp->segs[place->seg];
    if (!sg->is_suspect || sg->is_data) {
        return place->seg == sp->compact.victim || sg->state == SEG_BAD;
    }
    uint32_t last_page = place->page;
    uint32_t cap = sp->page_len - place->offset - SPOOL_CHUNK_HEAD_LEN;
    if (place->len > cap) {
        last_page += (place->len - cap + sp->chunk_cap - 1) / sp->chunk_cap;
    }
    return last_page >= sg->num_sealed;
}

static enum err copy_place(struct spool *sp, struct spool_place *place, uint64_t at)
{
    struct spool_compact *c = &sp->compact;
    const struct spool_seg *sg = &sp->segs[place->seg];
    if (!must_move(sp, place) || BROKEN(COPY_FORGOTTEN)) {
        return ERR_OK;
    }
    if (sg->is_data) {
        return copy_data_segment(sp, place, at);
    }
    enum err err = spool_log_room(sp, SPOOL_COPY_PAGES, false);
    if (err == ERR_OK) {
        err = spool_place_read(sp, c->id, place, at, 0, sp->copy_buf, place->len);
    }
    if (err == ERR_OK) {
        sp->stats.copied_len += place->len;
        *place = spool_log_chunk(sp, c->id, at, slice_make(sp->copy_buf, place->len));
    }
    return err;
}

static void apply(struct spool *sp, const struct spool_copied *copied)
{
    uint32_t entry = spool_entry_find(sp, copied->id);
    if (entry == SPOOL_NO_ENTRY) {
        return;
    }
    entry_at(sp, entry)->flags &= (uint16_t)~ENTRY_COPYING;
    spool_entry_place(sp, entry, copied);
    for (uint16_t i = 0; i < sp->num_segs; i++) {
        if (sp->segs[i].state == SEG_BAD && sp->segs[i].owner == copied->id) {
            sp->segs[i].owner = 0;
        }
    }
}

static enum err copy_commit(struct spool *sp, uint32_t entry)
{
    struct spool_compact *c = &sp->compact;
    const struct spool_commit_view *v = &c->view;
    enum err err = spool_log_room(sp, 2, false);
    if (err != ERR_OK) {
        return err;
    }
    struct spool_record r = {.type = SPOOL_COMMIT, .id = c->id};
    r.commit.version = v->version < UINT16_MAX ? (uint16_t)(v->version + 1) : v->version;
    r.commit.num_extents = v->num_places;
    r.commit.total_len = v->meta.total_len;
    r.commit.envelope_len = v->meta.envelope_len;
    r.commit.num_rcpts = v->meta.num_rcpts;
    r.commit.received_s = v->meta.received_s;
    r.commit.flags = v->meta.flags;
    struct spool_place at = spool_log_commit(sp, &r, v->places, v->num_places, SPOOL_NONE, entry);
    struct spool_copied *copied = &c->copied[c->num_copied++];
    *copied = (struct spool_copied){.id = c->id,
                                    .batch = sp->batch_open,
                                    .page = at.page,
                                    .offset = at.offset,
                                    .seg = at.seg,
                                    .first_seg = at.seg,
                                    .version = r.commit.version};
    for (uint16_t i = 0; i < v->num_places; i++) {
        const struct spool_seg *sg = &sp->segs[v->places[i].seg];
        if (!sg->is_data && !BROKEN(COPY_FORGOTTEN) &&
            sg->generation < sp->segs[copied->first_seg].generation) {
            copied->first_seg = v->places[i].seg;
        }
    }
    entry_at(sp, entry)->flags |= ENTRY_COPYING;
    if (BROKEN(COPY_UNSYNCED)) {
        apply(sp, &c->copied[--c->num_copied]);
    }
    return ERR_OK;
}

/* Goes on with the message at hand. ERR_AGAIN: waits for room or for a sync. */
static enum err copy_step(struct spool *sp)
{
    struct spool_compact *c = &sp->compact;
    uint32_t entry = spool_entry_find(sp, c->id);
    if (entry == SPOOL_NO_ENTRY) { /* delivered meanwhile */
        c->is_copying = false;
        return ERR_OK;
    }
    if (spool_entry_count_bits(sp, entry) == entry_at(sp, entry)->num_rcpts) {
        /* As good as gone: nothing is left to copy once its outcomes are durable. */
        if (spool_log_room(sp, 1, false) != ERR_OK) {
            return ERR_AGAIN; /* they wait for room; asking for a sync again brings none */
        }
        c->is_copying = false;
        sp->outcome_due_ms = sp->now_ms;
        sp->is_sync_wanted = true;
        return ERR_OK;
    }
    uint64_t at = 0;
    for (uint16_t i = 0; i < c->view.num_places; i++) {
        if (i == c->next_place) {
            uint16_t seg = c->view.places[i].seg;
            enum err err = copy_place(sp, &c->view.places[i], at);
            if (err == ERR_AGAIN || sp->is_failed) {
                return ERR_AGAIN;
            }
            if (spool_read_again(sp, &sp->segs[seg], c->view.places[i].page, err, &c->num_again)) {
                return ERR_AGAIN;
            }
            if (err != ERR_OK) {
                lose(sp, entry, seg, c->view.places[i].page);
                return ERR_OK;
            }
            c->next_place++;
        }
        at += c->view.places[i].len;
    }
    if (c->num_copied == SPOOL_COPIES_MAX) {
        sp->is_sync_wanted = true;
        return ERR_AGAIN;
    }
    enum err err = copy_commit(sp, entry);
    c->is_copying = err != ERR_OK;
    return err == ERR_OK ? ERR_OK : ERR_AGAIN;
}

/* ERR_AGAIN: the entry is to be met again later. */
static enum err copy_begin(struct spool *sp, uint32_t entry)
{
    struct spool_compact *c = &sp->compact;
    const struct spool_entry *e = entry_at(sp, entry);
    enum err err = spool_view_load(sp, 0, entry, &c->view);
    if (spool_read_again(sp, &sp->segs[e->commit_seg], e->commit_page, err, &c->num_again)) {
        return ERR_AGAIN;
    }
    c->is_found = true;
    c->id = e->id;
    c->next_place = 0;
    c->is_copying = true;
    if (err != ERR_OK) {
        lose(sp, entry, e->commit_seg, e->commit_page);
    }
    return ERR_OK;
}

/* One pass over the index after the other, until one finds nothing that touches the victim. */
static bool scan(struct spool *sp)
{
    struct spool_compact *c = &sp->compact;
    uint32_t num_copies = 0;
    for (uint32_t n = 0; n < STEP_ENTRIES && num_copies < STEP_COPIES; n++) {
        if (c->victim == SPOOL_NONE) {
            return true;
        }
        if (c->is_copying) {
            num_copies++;
            if (copy_step(sp) == ERR_AGAIN) {
                return !c->is_copying; /* where it was copied to has failed: from the beginning */
            }
            continue;
        }
        if (c->cursor == sp->num_slots_fresh) {
            break;
        }
        uint32_t entry = c->cursor++;
        const struct spool_entry *e = entry_at(sp, entry);
        if ((e->flags & (ENTRY_USED | ENTRY_HASHED)) != (ENTRY_USED | ENTRY_HASHED)) {
            continue;
        }
        if (e->flags & ENTRY_COPYING) {
            c->is_found = true;
        } else if (touches(sp, entry, c->victim) && copy_begin(sp, entry) == ERR_AGAIN) {
            c->cursor--;
            return false;
        }
    }
    if (c->victim == SPOOL_NONE || c->is_copying || c->cursor < sp->num_slots_fresh) {
        return true;
    }
    c->cursor = 0;
    if (c->num_copied != 0) {
        sp->is_sync_wanted = true;
        return false;
    }
    if (!c->is_found) {
        c->phase = COMPACT_TXNS;
        return true;
    }
    c->is_found = false;
    return !sp->is_syncing && !sp->is_sync_wanted;
}

static bool move_txns(struct spool *sp)
{
    struct spool_compact *c = &sp->compact;
    bool is_log = !sp->segs[c->victim].is_data;
    if (is_log && spool_txn_move(sp, c->victim) != ERR_OK) {
        return false;
    }
    if (spool_txn_touches(sp, c->victim)) {
        sp->is_sync_wanted = true;
        return false;
    }
    c->cursor = sp->segs[c->victim].is_suspect ? sp->segs[c->victim].num_sealed : 1;
    c->phase = is_log && sp->segs[c->victim].state == SEG_BAD ? COMPACT_RECORDS : COMPACT_FINISH;
    return true;
}

/* Of a message that is alive only outcomes that count already. The log has no others, unless they
 * stand before its commit, where they cannot be about it. Of one that has ended what its copies
 * know: older commits may be left, and no other word of those outcomes. */
static void copy_record(struct spool *sp, struct spool_record *r)
{
    bool is_outcome = r->type == SPOOL_OUTCOME;
    bool is_copy = r->type == SPOOL_COMMIT && r->commit.bitmap.len != 0;
    uint32_t entry = is_outcome || is_copy || r->type == SPOOL_ANNUL ? spool_entry_find(sp, r->id)
                                                                     : SPOOL_NO_ENTRY;
    if (is_outcome &&
        (entry == SPOOL_NO_ENTRY || (r->outcome.rcpt < entry_at(sp, entry)->num_rcpts &&
                                     spool_entry_bit(sp, entry, r->outcome.rcpt)))) {
        spool_log_outcome(sp, r->id, r->outcome.rcpt, r->outcome.code);
    } else if (r->type == SPOOL_ANNUL && entry == SPOOL_NO_ENTRY) {
        spool_log_annul(sp, r->id);
    } else if (is_copy && entry == SPOOL_NO_ENTRY) {
        spool_log_over(sp, r);
    }
}

/* Outcomes and annuls of a bad segment are written again: they speak of commits elsewhere too. */
static bool copy_records(struct spool *sp)
{
    struct spool_compact *c = &sp->compact;
    struct spool_seg *sg = &sp->segs[c->victim];
    for (uint32_t n = 0; n < STEP_PAGES && c->cursor < sg->num_written; n++, c->cursor++) {
        struct slice page;
        struct spool_record r;
        if (spool_log_room(sp, 2, false) != ERR_OK) {
            return false;
        }
        enum err err = spool_page_load(sp, 1, c->victim, c->cursor, &page);
        if (!sg->is_damaged && spool_read_again(sp, sg, c->cursor, err, &c->num_again)) {
            return false;
        }
        if (err != ERR_OK) {
            if (err != ERR_DAMAGED) { /* it may have said of messages that they are over */
                spool_log_page(sp, sg->id, c->cursor);
                sg->is_damaged = sg->is_damaged || !sg->is_suspect;
            }
            continue;
        }
        slice_skip(&page, SPOOL_PAGE_HEAD_LEN);
        while (spool_record_take(&page, &r)) {
            copy_record(sp, &r);
        }
    }
    if (c->cursor >= sg->num_written) {
        c->phase = COMPACT_FLUSH;
        c->batch = sp->batch_open;
        sp->is_sync_wanted = true;
        return false;
    }
    return true;
}

/* False if nothing has come of it: the segment can be recycled only later. */
static bool finish(struct spool *sp)
{
    struct spool_compact *c = &sp->compact;
    uint16_t seg = c->victim;
    c->victim = SPOOL_NONE;
    if (sp->segs[seg].is_suspect && !sp->segs[seg].is_data) {
        sp->segs[seg].state = SEG_LOG; /* what is believed of it is proved, or elsewhere */
        if (spool_log_room(sp, 1, false) == ERR_OK) {
            spool_log_settled(sp, sp->segs[seg].generation);
        }
    } else if (sp->segs[seg].is_suspect) {
        sp->segs[seg].is_suspect = false;
        spool_seg_free(sp, seg);
    } else if (sp->segs[seg].state == SEG_BAD) {
        spool_seg_retire(sp, seg);
    } else if (sp->segs[seg].state == SEG_LOG && spool_seg_is_clear(sp, seg)) {
        spool_seg_recycle(sp, seg);
    }
    /* Who waits and is woken for nothing asks once more, and this begins anew. */
    bool has_come = sp->segs[seg].state != SEG_LOG || sp->segs[seg].is_suspect;
    sp->is_room = sp->is_room || (has_come && sp->has_waiter);
    return has_come;
}

bool spool_compact_step(struct spool *sp)
{
    struct spool_compact *c = &sp->compact;
    if (sp->is_failed || sp->now_ms < sp->read_again_ms) {
        return false;
    }
    if (c->victim == SPOOL_NONE) {
        choose(sp);
        if (c->victim == SPOOL_NONE) {
            return false;
        }
    }
    switch (c->phase) {
    case COMPACT_SCAN:
        return scan(sp);
    case COMPACT_TXNS:
        return move_txns(sp);
    case COMPACT_RECORDS:
        return copy_records(sp);
    case COMPACT_FLUSH:
        return false;
    case COMPACT_FINISH:
        return finish(sp);
    }
    return false;
}

void spool_compact_batch_ok(struct spool *sp)
{
    struct spool_compact *c = &sp->compact;
    uint16_t num_left = 0;
    for (uint16_t i = 0; i < c->num_copied; i++) {
        if (c->copied[i].batch == sp->batch_syncing) {
            apply(sp, &c->copied[i]);
        } else {
            c->copied[num_left++] = c->copied[i];
        }
    }
    c->num_copied = num_left;
    if (c->victim != SPOOL_NONE && c->phase == COMPACT_FLUSH && c->batch == sp->batch_syncing) {
        c->phase = COMPACT_FINISH;
    }
}

void spool_compact_batch_failed(struct spool *sp)
{
    struct spool_compact *c = &sp->compact;
    for (uint16_t i = 0; i < c->num_copied; i++) {
        uint32_t entry = spool_entry_find(sp, c->copied[i].id);
        if (entry != SPOOL_NO_ENTRY) {
            entry_at(sp, entry)->flags &= (uint16_t)~ENTRY_COPYING;
        }
    }
    c->num_copied = 0;
    c->victim = SPOOL_NONE; /* chosen anew, and begun anew */
    c->is_copying = false;
}

void spool_compact_owner_failed(struct spool *sp, uint64_t id)
{
    struct spool_compact *c = &sp->compact;
    uint16_t num_left = 0;
    for (uint16_t i = 0; i < c->num_copied; i++) {
        if (c->copied[i].id != id) {
            c->copied[num_left++] = c->copied[i];
        }
    }
    c->num_copied = num_left;
    if (c->is_copying && c->id == id) {
        c->is_copying = false;
    }
    uint32_t entry = spool_entry_find(sp, id);
    if (entry != SPOOL_NO_ENTRY) {
        entry_at(sp, entry)->flags &= (uint16_t)~ENTRY_COPYING;
    }
}

bool spool_compact_is_evacuating(const struct spool *sp)
{
    for (uint32_t i = 0; i < sp->num_segs; i++) {
        if (sp->segs[i].state == SEG_BAD && !sp->segs[i].is_damaged) {
            return true;
        }
    }
    return false;
}

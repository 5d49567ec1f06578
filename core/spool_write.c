/* The head of the log, and group commit: everything that is written while a sync runs becomes
 * durable with the next. Called by transactions, outcomes and compaction; knows nothing of what
 * records are for. */
#include "spool_inside.h"

static uint8_t *page_ptr(struct spool *sp)
{
    return sp->gather + (size_t)(sp->head_page - sp->gather_page) * sp->page_len;
}

static uint32_t page_room(const struct spool *sp)
{
    return sp->page_len - sp->head_used;
}

/* What is gathered goes to the segment. A write that fails spoils the segment, which the next batch
 * will find. */
static void log_flush(struct spool *sp)
{
    struct spool_seg *sg = &sp->segs[sp->head];
    uint32_t num = sp->head_page - sp->gather_page;
    if (num == 0) {
        return;
    }
    size_t len = (size_t)num * sp->page_len;
    enum err err =
        sp->store->write_at(sp->store->ctx, sg->handle, (uint64_t)sp->gather_page * sp->page_len,
                            slice_make(sp->gather, len));
    if (err != ERR_OK && !BROKEN(WRITE_ERROR_IGNORED)) {
        sg->err = err;
    }
    sg->is_dirty = true;
    sp->gather_page = sp->head_page;
    sg->unsynced_len += (uint32_t)len;
    sp->unsynced_len += len;
    sp->stats.written_len += len;
}

static void page_seal(struct spool *sp)
{
    struct spool_seg *sg = &sp->segs[sp->head];
    struct spool_page_head head = {.kind = SPOOL_PAGE_LOG,
                                   .used = sp->head_used,
                                   .generation = sg->generation,
                                   .number = sp->head_page,
                                   .durable_pages = sg->num_durable};
    spool_page_seal(page_ptr(sp), sp->page_len, sg->nonce, &head);
    sg->num_written = sp->head_page + 1;
}

static void page_close(struct spool *sp)
{
    if (sp->head == SPOOL_NONE || sp->head_used == SPOOL_PAGE_HEAD_LEN) {
        return;
    }
    page_seal(sp);
    sp->stats.padding_len += page_room(sp);
    sp->head_page++;
    sp->head_used = SPOOL_PAGE_HEAD_LEN;
    if (sp->head_page - sp->gather_page == sp->conf.num_write_pages) {
        log_flush(sp);
    }
}

/* In the next page, where this one has no room for so much. */
static struct buf record_begin(struct spool *sp, size_t len)
{
    if (page_room(sp) < len) {
        page_close(sp);
    }
    return buf_make(page_ptr(sp) + sp->head_used, page_room(sp));
}

static void record_end(struct spool *sp, const struct buf *b)
{
    sp->head_used += (uint32_t)b->len;
}

static void head_switch(struct spool *sp, uint16_t seg)
{
    if (sp->head != SPOOL_NONE) {
        page_close(sp);
        log_flush(sp);
        sp->seal_generation = sp->segs[sp->head].generation;
        sp->seal_pages = sp->head_page;
    }
    sp->head = seg;
    sp->head_generation = sp->segs[seg].generation;
    sp->head_page = sp->gather_page = 1;
    sp->head_used = SPOOL_PAGE_HEAD_LEN;
    if (sp->seal_generation != 0) {
        struct buf b = record_begin(sp, SPOOL_SEAL_LEN);
        spool_seal_put(&b, sp->seal_generation, sp->seal_pages);
        record_end(sp, &b);
    }
}

enum err spool_log_room(struct spool *sp, uint32_t num_pages, bool for_mail)
{
    if (sp->is_failed) {
        return ERR_IO;
    }
    if (for_mail && !spool_mail_may_write(sp)) {
        return ERR_AGAIN;
    }
    if (sp->head != SPOOL_NONE) {
        uint32_t left = sp->segs[sp->head].num_pages - 1 - sp->head_page -
                        (sp->head_used > SPOOL_PAGE_HEAD_LEN ? 1 : 0);
        if (sp->head_page < sp->segs[sp->head].num_pages - 1 && left >= num_pages) {
            return ERR_OK;
        }
    }
    if (for_mail && !spool_mail_may_grow(sp)) {
        return ERR_AGAIN;
    }
    uint16_t seg = spool_seg_take(sp, false);
    if (seg == SPOOL_NONE) {
        return ERR_AGAIN;
    }
    head_switch(sp, seg);
    return ERR_OK;
}

void spool_log_turn(struct spool *sp)
{
    uint16_t seg = sp->head_page > 1 ? spool_seg_take(sp, false) : SPOOL_NONE;
    if (seg != SPOOL_NONE) {
        head_switch(sp, seg);
    }
}

struct spool_place spool_log_chunk(struct spool *sp, uint64_t id, uint64_t offset,
                                   struct slice bytes)
{
    if (page_room(sp) <= SPOOL_CHUNK_HEAD_LEN) {
        page_close(sp);
    }
    struct spool_place place = {.page = sp->head_page,
                                .len = (uint32_t)bytes.len,
                                .seg = sp->head,
                                .offset = (uint16_t)sp->head_used};
    while (!slice_is_empty(bytes)) {
        size_t cap = page_room(sp) - SPOOL_CHUNK_HEAD_LEN;
        struct slice part;
        slice_take(&bytes, bytes.len < cap ? bytes.len : cap, &part);
        struct buf b = record_begin(sp, 0);
        spool_chunk_put(&b, id, offset, part);
        record_end(sp, &b);
        offset += part.len;
        if (!slice_is_empty(bytes)) {
            page_close(sp);
        }
    }
    return place;
}

static void put_extent(const struct spool *sp, struct buf *b, const struct spool_place *place)
{
    struct spool_extent extent = {.generation = sp->segs[place->seg].generation,
                                  .page = place->page,
                                  .offset = place->offset,
                                  .len = place->len};
    spool_extent_put(b, &extent);
}

static void count_commit(struct spool *sp, uint32_t num_rcpts)
{
    sp->segs[sp->head].num_entries += spool_entries_needed(num_rcpts);
    sp->disk_entries += spool_entries_needed(num_rcpts);
}

struct spool_place spool_log_commit(struct spool *sp, const struct spool_record *commit,
                                    const struct spool_place *places, uint16_t num_places,
                                    uint16_t first_owned, uint32_t bitmap_entry)
{
    uint32_t num_rcpts = commit->commit.num_rcpts;
    size_t bitmap_len = bitmap_entry == SPOOL_NO_ENTRY ? 0 : (num_rcpts + 7) / 8;
    size_t len = spool_commit_len(commit->commit.num_extents, bitmap_len);
    struct buf b = record_begin(sp, len);
    struct spool_place at = {.page = sp->head_page,
                             .len = (uint32_t)len,
                             .seg = sp->head,
                             .offset = (uint16_t)sp->head_used};
    spool_commit_put(&b, commit, bitmap_len);
    for (uint16_t i = 0; i < num_places; i++) {
        put_extent(sp, &b, &places[i]);
    }
    for (uint16_t seg = first_owned; seg != SPOOL_NONE; seg = sp->segs[seg].next_owned) {
        struct spool_place place = {
            .page = 1, .len = sp->segs[seg].owned_len, .seg = seg, .offset = SPOOL_PAGE_HEAD_LEN};
        put_extent(sp, &b, &place);
        sp->segs[seg].is_wanted = true;
    }
    for (uint32_t i = 0; i < bitmap_len; i++) {
        uint8_t byte = 0;
        for (uint32_t bit = 0; bit < 8 && i * 8 + bit < num_rcpts; bit++) {
            byte |= (uint8_t)(spool_entry_bit(sp, bitmap_entry, i * 8 + bit) << bit);
        }
        buf_put_u8(&b, byte);
    }
    record_end(sp, &b);
    count_commit(sp, num_rcpts);
    return at;
}

void spool_log_over(struct spool *sp, struct spool_record *commit)
{
    size_t bitmap_len = commit->commit.bitmap.len;
    commit->commit.num_extents = 0;
    struct buf b = record_begin(sp, spool_commit_len(0, bitmap_len));
    spool_commit_put(&b, commit, bitmap_len);
    while (bitmap_len-- > 0) {
        buf_put_u8(&b, 0xff);
    }
    record_end(sp, &b);
    count_commit(sp, commit->commit.num_rcpts);
}

void spool_log_outcome(struct spool *sp, uint64_t id, uint32_t rcpt, uint16_t code)
{
    struct buf b = record_begin(sp, SPOOL_OUTCOME_LEN);
    spool_outcome_put(&b, id, rcpt, code);
    record_end(sp, &b);
}

void spool_log_annul(struct spool *sp, uint64_t id)
{
    struct buf b = record_begin(sp, SPOOL_ANNUL_LEN);
    spool_annul_put(&b, id);
    record_end(sp, &b);
}

void spool_log_settled(struct spool *sp, uint64_t generation)
{
    struct buf b = record_begin(sp, SPOOL_SETTLED_LEN);
    spool_settled_put(&b, generation);
    record_end(sp, &b);
}

enum err spool_data_page(struct spool *sp, uint16_t seg, uint8_t *page, uint32_t used)
{
    struct spool_seg *sg = &sp->segs[seg];
    struct spool_page_head head = {.kind = SPOOL_PAGE_DATA,
                                   .used = used,
                                   .generation = sg->generation,
                                   .number = sg->num_written,
                                   .durable_pages = sg->num_durable};
    spool_page_seal(page, sp->page_len, sg->nonce, &head);
    enum err err =
        sp->store->write_at(sp->store->ctx, sg->handle, (uint64_t)sg->num_written * sp->page_len,
                            slice_make(page, sp->page_len));
    if (BROKEN(WRITE_ERROR_IGNORED)) {
        err = ERR_OK;
    }
    sg->num_written++;
    sg->is_dirty = true;
    sg->unsynced_len += sp->page_len;
    sp->unsynced_len += sp->page_len;
    sp->stats.written_len += sp->page_len;
    sp->stats.padding_len += sp->page_len - used;
    return err;
}

/* Nothing that is not durable by now counts. */
static void batch_failed(struct spool *sp)
{
    sp->batch_err = ERR_OK;
    for (uint32_t i = 0; i < sp->num_segs; i++) {
        sp->segs[i].num_syncing =
            0; /* pages may be durable, but the batch is not: they prove nothing */
    }
    spool_compact_batch_failed(sp);
    spool_outcome_batch_failed(sp);
    spool_txn_batch_failed(sp);
    bool is_recovering = sp->recover.stage < RECOVER_TELL && sp->recover.has_settled;
    if (++sp->num_failed_batches == 2 || is_recovering) {
        spool_fail(sp);
    }
}

static void batch_end(struct spool *sp)
{
    sp->is_syncing = false;
    sp->unsynced_len -= sp->syncing_len;
    sp->is_room = sp->is_room || sp->has_waiter;
    if (sp->batch_err != ERR_OK) {
        batch_failed(sp);
        return;
    }
    sp->num_failed_batches = 0;
    for (uint32_t i = 0; i < sp->num_segs; i++) {
        struct spool_seg *sg = &sp->segs[i];
        if (!sp->is_proofless && sg->num_syncing > sg->num_durable) {
            sg->num_durable = sg->num_syncing;
        }
        sg->num_syncing = 0;
    }
    sp->is_proofless = false;
    spool_txn_batch_ok(sp);
    spool_compact_batch_ok(sp);
    spool_outcome_batch_ok(sp);
}

static enum err sync_segment(struct spool *sp, uint16_t seg)
{
    struct spool_seg *sg = &sp->segs[seg];
    if (sg->err != ERR_OK) {
        return sg->err;
    }
    sp->stats.num_syncs++;
    sg->num_syncing = sg->num_written;
    if (BROKEN(SYNC_SKIPPED)) {
        sg->is_dirty = sg->is_wanted = false;
        return ERR_OK;
    }
    enum err err = sp->store->sync(sp->store->ctx, sg->handle, spool_tag(OP_SYNC, seg));
    if (err == ERR_OK) {
        sg->is_dirty = sg->is_wanted = false;
        sg->is_syncing = true;
        sp->syncing_len += sg->unsynced_len;
        sg->unsynced_len = 0;
        sp->num_batch_syncs++;
    }
    return err;
}

#ifdef POSTERN_TEETH
/* Law 1 broken: the page is written, yet goes on being filled, and will be written again. */
static void keep_page_open(struct spool *sp)
{
    page_seal(sp);
    uint32_t used = sp->head_used;
    uint8_t *page = page_ptr(sp);
    sp->head_page++;
    log_flush(sp);
    sp->head_page--;
    sp->gather_page = sp->head_page;
    sp->head_used = used;
    memmove(sp->gather, page, sp->page_len);
}
#endif

static void write_all(struct spool *sp)
{
    if (sp->head == SPOOL_NONE) {
        return;
    }
#ifdef POSTERN_TEETH
    if (BROKEN(PAGE_REWRITTEN) && sp->head_used > SPOOL_PAGE_HEAD_LEN &&
        sp->head_used + 1000 < sp->page_len) {
        keep_page_open(sp);
        return;
    }
#endif
    page_close(sp);
    log_flush(sp);
}

void spool_batch_start(struct spool *sp)
{
    bool is_over_cap = sp->unsynced_len >= sp->conf.max_unsynced;
    bool is_due = sp->num_queued != 0 && sp->now_ms >= sp->outcome_due_ms;
    if (sp->is_syncing || sp->is_failed) {
        return;
    }
    if (sp->batch_err != ERR_OK) {
        batch_failed(sp);
        return;
    }
    if (!sp->is_sync_wanted && !is_due && !is_over_cap) {
        return;
    }
    spool_outcome_write(sp);
    write_all(sp);
    sp->is_syncing = true;
    sp->is_sync_wanted = false;
    sp->syncing_len = 0;
    sp->batch_syncing = sp->batch_open++;
    sp->stats.num_batches++;
    for (uint16_t i = 0; i < sp->num_segs; i++) {
        struct spool_seg *sg = &sp->segs[i];
        bool is_in =
            sg->state == SEG_LOG || (sg->state == SEG_DATA && (sg->is_wanted || is_over_cap));
        if (is_in && sg->is_dirty && !sg->is_syncing) {
            enum err err = sync_segment(sp, i);
            if (err != ERR_OK) {
                spool_seg_fail(sp, i, err);
            }
        }
    }
    if (sp->num_batch_syncs == 0) {
        batch_end(sp);
    }
}

void spool_batch_done(struct spool *sp, uint16_t seg, enum err result)
{
    struct spool_seg *sg = &sp->segs[seg];
    sg->is_syncing = false;
    sp->num_batch_syncs--;
    if (result != ERR_OK && BROKEN(SYNC_TRIED_AGAIN)) {
        sg->is_dirty = true;
        if (sync_segment(sp, seg) == ERR_OK) {
            return;
        }
    }
    if (result != ERR_OK &&
        (sg->state == SEG_LOG || sg->state == SEG_DATA || sg->state == SEG_FREE)) {
        spool_seg_fail(sp, seg, result);
    }
    if (sp->num_batch_syncs == 0) {
        batch_end(sp);
    }
}

void spool_fail(struct spool *sp)
{
    if (sp->is_failed) {
        return;
    }
    struct log_line line;
    log_begin(&line, "spool");
    log_word(&line, "state", "failed");
    log_word(&line, "reason", "no-segment-takes-writes");
    sp->log->line(sp->log->ctx, LOG_ERROR, log_end(&line));
    sp->is_failed = true;
    spool_compact_batch_failed(sp);
    spool_outcome_storage_failed(sp);
    spool_txn_storage_failed(sp);
}

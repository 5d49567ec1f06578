/* Reading: pages, commit records, extents, each checked on the way. Called by spool_read's callers,
 * compaction and recovery; writes nothing. */
#include "spool_inside.h"

#define AGAIN_MS  5000
#define AGAIN_MAX 3
#define NUM_TRIED 4

/* Whether the device gives any page at all: heads of some segments are tried, of others each time.
 */
static bool gives_anything(struct spool *sp)
{
    uint32_t num_tried = 0;
    for (uint32_t n = 0; n < sp->num_segs && num_tried < NUM_TRIED; n++) {
        const struct spool_seg *sg = &sp->segs[sp->next_tried++ % sp->num_segs];
        for (int i = 0; i < 2 && sg->is_open && sg->num_pages != 0; i++) {
            uint64_t page = i == 0 ? 0 : sg->num_pages - 1;
            size_t len;
            num_tried++;
            if (sp->store->read_at(sp->store->ctx, &len, sg->handle, page * sp->page_len,
                                   sp->copy_buf, sp->page_len) == ERR_OK) {
                return true;
            }
        }
    }
    return false;
}

bool spool_read_again(struct spool *sp, const struct spool_seg *sg, uint32_t page, enum err err,
                      uint8_t *num_again)
{
    if (err == ERR_OK || err == ERR_DAMAGED) {
        return false;
    }
    bool is_given = gives_anything(sp);
    if (is_given && *num_again == AGAIN_MAX) {
        return false;
    }
    sp->read_again_ms = sp->now_ms + AGAIN_MS;
    *num_again = (uint8_t)(*num_again + is_given);
    if (sp->is_silent && !is_given) {
        return true; /* for hours, perhaps: told once */
    }
    sp->is_silent = !is_given;
    struct log_line line;
    log_begin(&line, "spool");
    log_word(&line, "state", "unreadable");
    log_word(&line, "reason", err_name(err));
    log_u64(&line, "segment", sg->id);
    log_u64(&line, "page", page);
    log_word(&line, "device", is_given ? "partly-readable" : "unreadable");
    sp->log->line(sp->log->ctx, LOG_WARNING, log_end(&line));
    return true;
}

enum err spool_page_read(struct spool *sp, const struct spool_seg *sg, uint32_t page, uint8_t *into)
{
    size_t len;
    enum err err = sp->store->read_at(sp->store->ctx, &len, sg->handle,
                                      (uint64_t)page * sp->page_len, into, sp->page_len);
    if (err == ERR_OK && len != sp->page_len) {
        err = ERR_IO;
    }
    sp->is_silent = sp->is_silent && err != ERR_OK;
    if (sp->recover.stage < RECOVER_EVACUATE) {
        spool_recover_read(sp, sg, page, err);
    }
    return err;
}

enum err spool_page_load(struct spool *sp, int which, uint16_t seg, uint32_t page,
                         struct slice *out_page)
{
    const struct spool_seg *sg = &sp->segs[seg];
    struct spool_cached *c = &sp->cache[which];
    *out_page = slice_make(c->bytes, sp->page_len);
    if (c->generation == sg->generation && c->page == page && c->generation != 0) {
        return ERR_OK;
    }
    if (page == 0 || page >= sg->num_pages - 1 || !sg->is_open) {
        return ERR_DAMAGED;
    }
    c->generation = 0;
    enum err err = spool_page_read(sp, sg, page, c->bytes);
    if (err != ERR_OK) {
        return err;
    }
    struct spool_page_head head;
    struct slice records;
    if (!spool_page_open(*out_page, sg->nonce, sg->generation, page, &head, &records)) {
        return ERR_DAMAGED;
    }
    /* What is behind the used bytes is no record. */
    memset(c->bytes + head.used, 0, sp->page_len - head.used);
    c->generation = sg->generation;
    c->page = page;
    return ERR_OK;
}

enum err spool_view_of(struct spool *sp, const struct spool_record *commit,
                       struct spool_commit_view *out)
{
    struct slice extents = commit->commit.extents;
    struct spool_extent x;
    uint64_t total_len = 0;
    out->version = commit->commit.version;
    out->num_places = 0;
    out->meta = (struct spool_meta){.total_len = commit->commit.total_len,
                                    .envelope_len = commit->commit.envelope_len,
                                    .num_rcpts = commit->commit.num_rcpts,
                                    .received_s = commit->commit.received_s,
                                    .flags = commit->commit.flags};
    while (spool_extent_take(&extents, &x)) {
        uint16_t seg = spool_seg_find(sp, x.generation);
        if (seg == SPOOL_NONE || x.len == 0 || x.offset < SPOOL_PAGE_HEAD_LEN ||
            (uint32_t)x.offset + SPOOL_CHUNK_HEAD_LEN > sp->page_len) {
            return ERR_DAMAGED;
        }
        out->places[out->num_places++] =
            (struct spool_place){.page = x.page, .len = x.len, .seg = seg, .offset = x.offset};
        total_len += x.len;
    }
    return total_len == out->meta.total_len ? ERR_OK : ERR_DAMAGED;
}

/* Whether all of it was written before the commit, or with it: what moves or frees segments of the
 * log relies on that. */
static bool is_before_commit(const struct spool *sp, const struct spool_commit_view *view,
                             uint16_t commit_seg)
{
    for (uint16_t i = 0; i < view->num_places; i++) {
        const struct spool_seg *sg = &sp->segs[view->places[i].seg];
        if (!sg->is_data && sg->generation > sp->segs[commit_seg].generation) {
            return false;
        }
    }
    return true;
}

enum err spool_view_load(struct spool *sp, int which, uint32_t entry, struct spool_commit_view *out)
{
    const struct spool_entry *e = &sp->slots[entry].entry;
    struct slice page;
    enum err err = spool_page_load(sp, which, e->commit_seg, e->commit_page, &page);
    if (err != ERR_OK) {
        return err;
    }
    struct spool_record r;
    if (!slice_skip(&page, e->commit_offset) || !spool_record_take(&page, &r) ||
        r.type != SPOOL_COMMIT || r.id != e->id) {
        return ERR_DAMAGED;
    }
    err = spool_view_of(sp, &r, out);
    return err == ERR_OK && !is_before_commit(sp, out, e->commit_seg) ? ERR_DAMAGED : err;
}

enum err spool_place_read(struct spool *sp, uint64_t id, const struct spool_place *place,
                          uint64_t at, uint32_t skip, uint8_t *into, size_t len)
{
    uint32_t page = place->page;
    uint32_t offset = place->offset;
    uint32_t begin = 0; /* of this chunk, in the place */
    uint32_t cap = sp->page_len - offset - SPOOL_CHUNK_HEAD_LEN;
    if (skip >= cap) {
        uint32_t num_pages = (skip - cap) / sp->chunk_cap;
        page += 1 + num_pages;
        begin = cap + num_pages * sp->chunk_cap;
        offset = SPOOL_PAGE_HEAD_LEN;
    }
    while (len != 0) {
        struct slice bytes, part;
        struct spool_record r;
        enum err err = spool_page_load(sp, 1, place->seg, page, &bytes);
        if (err != ERR_OK) {
            return err;
        }
        if (!slice_skip(&bytes, offset) || !spool_record_take(&bytes, &r) ||
            r.type != SPOOL_CHUNK || r.id != id || r.chunk.offset != at + begin ||
            !slice_skip(&r.chunk.payload, skip - begin) || r.chunk.payload.len == 0) {
            return ERR_DAMAGED;
        }
        size_t part_len = r.chunk.payload.len < len ? r.chunk.payload.len : len;
        slice_take(&r.chunk.payload, part_len, &part);
        if (into != NULL) {
            memcpy(into, part.ptr, part_len);
            into += part_len;
        }
        len -= part_len;
        skip += (uint32_t)part_len;
        begin = skip;
        page++;
        offset = SPOOL_PAGE_HEAD_LEN;
    }
    return ERR_OK;
}

enum err spool_view_verify(struct spool *sp, uint64_t id, const struct spool_commit_view *view,
                           uint16_t *out_seg, uint32_t *out_page)
{
    uint64_t at = 0;
    for (uint16_t i = 0; i < view->num_places; i++) {
        enum err err = spool_place_read(sp, id, &view->places[i], at, 0, NULL, view->places[i].len);
        if (err != ERR_OK) {
            *out_seg = view->places[i].seg;
            *out_page = view->places[i].page;
            return err;
        }
        at += view->places[i].len;
    }
    return ERR_OK;
}

enum err spool_read(struct spool *sp, size_t *out_len, uint64_t id, uint64_t offset, uint8_t *into,
                    size_t cap)
{
    *out_len = 0;
    uint32_t entry = spool_entry_find(sp, id);
    if (entry == SPOOL_NO_ENTRY) {
        return ERR_ABSENT;
    }
    struct spool_commit_view *view = &sp->view;
    enum err err = spool_view_load(sp, 0, entry, view);
    if (err != ERR_OK) {
        return err;
    }
    if (offset >= view->meta.total_len) {
        return ERR_EOF;
    }
    uint64_t at = 0;
    for (uint16_t i = 0; i < view->num_places && *out_len < cap; i++) {
        const struct spool_place *place = &view->places[i];
        if (offset < at + place->len) {
            uint32_t skip = (uint32_t)(offset - at);
            size_t len = place->len - skip < cap - *out_len ? place->len - skip : cap - *out_len;
            err = spool_place_read(sp, id, place, at, skip, into + *out_len, len);
            if (err != ERR_OK) {
                *out_len = 0;
                return err;
            }
            *out_len += len;
            offset += len;
        }
        at += place->len;
    }
    return ERR_OK;
}

enum err spool_meta_of(struct spool *sp, uint64_t id, struct spool_meta *out)
{
    uint32_t entry = spool_entry_find(sp, id);
    if (entry == SPOOL_NO_ENTRY) {
        return ERR_ABSENT;
    }
    enum err err = spool_view_load(sp, 0, entry, &sp->view);
    if (err == ERR_OK) {
        *out = sp->view.meta;
    }
    return err;
}

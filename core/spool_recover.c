/* From what is on disk to the state of a running spool. SPOOL.md, "Recovery". Called by spool_step
 * until SPOOL_READY; writes nothing over anything that it has read. */
#include "spool_inside.h"

#define SCAN_PAGES     64
#define JUDGE_ENTRIES  64
#define GENERATION_GAP 4096

static struct slice page_slice(struct spool *sp, int which)
{
    return slice_make(sp->cache[which].bytes, sp->page_len);
}

/* Reads a page as it is; false if the device does not give it. */
static bool raw_read(struct spool *sp, const struct spool_seg *sg, uint32_t page)
{
    sp->cache[1].generation = 0;
    return spool_page_read(sp, sg, page, sp->cache[1].bytes) == ERR_OK;
}

void spool_log_lost(struct spool *sp, uint64_t id, uint16_t seg, uint32_t page, const char *word)
{
    struct log_line line;
    if (sp->recover.is_unread) {
        return;
    }
    log_begin(&line, "spool");
    spool_id_log(&line, "message", id);
    log_word(&line, "state", word);
    if (seg != SPOOL_NONE) {
        log_u64(&line, "segment", sp->segs[seg].id);
        log_u64(&line, "page", page);
    }
    sp->stats.num_lost++;
    sp->log->line(sp->log->ctx, LOG_ERROR, log_end(&line));
}

void spool_log_page(struct spool *sp, uint32_t id, uint32_t page)
{
    struct log_line line;
    if (sp->recover.is_unread) {
        return;
    }
    log_begin(&line, "spool");
    log_word(&line, "state", "damaged-page");
    log_u64(&line, "segment", id);
    log_u64(&line, "page", page);
    sp->stats.num_damaged_pages++;
    sp->log->line(sp->log->ctx, LOG_ERROR, log_end(&line));
}

/* While segments are opened it is too early to say whether the device gives anything. */
void spool_recover_read(struct spool *sp, const struct spool_seg *sg, uint32_t page, enum err err)
{
    struct spool_recover *rc = &sp->recover;
    if (rc->is_unread || err == ERR_OK) {
        return;
    }
    if (rc->stage != RECOVER_OPEN) {
        rc->is_unread = spool_read_again(sp, sg, page, err, &rc->num_again);
        return;
    }
    rc->is_unread = true;
    rc->unread_err = err;
    rc->unread_seg = (uint16_t)(sg - sp->segs);
    rc->unread_page = page;
}

static void give_up(struct spool *sp, enum err err)
{
    sp->recover.err = err;
    sp->recover.stage = RECOVER_TELL;
    sp->is_failed = true;
}

/* A file without a readable head: all zeros between its heads, or worth looking at. */
static bool is_blank(struct spool *sp, const struct spool_seg *sg)
{
    for (uint32_t page = 1; page + 1 < sg->num_pages; page++) {
        if (!raw_read(sp, sg, page)) {
            return false;
        }
        const uint8_t *p = sp->cache[1].bytes;
        if (p[0] != 0 || memcmp(p, p + 1, sp->page_len - 1) != 0) {
            return false;
        }
    }
    return true;
}

static void read_heads(struct spool *sp, struct spool_seg *sg)
{
    struct spool_head heads[2];
    bool is_valid[2];
    for (int i = 0; i < 2; i++) {
        is_valid[i] = raw_read(sp, sg, i == 0 ? 0 : sg->num_pages - 1) &&
                      spool_head_decode(page_slice(sp, 1), &heads[i]) &&
                      heads[i].page_len == sp->page_len && heads[i].num_pages == sg->num_pages;
    }
    if (!is_valid[0] && !is_valid[1]) {
        return;
    }
    int best = !is_valid[0] || (is_valid[1] && heads[1].generation > heads[0].generation);
    sg->generation = heads[best].generation;
    memcpy(sg->nonce, heads[best].nonce, SPOOL_NONCE_LEN);
    sg->is_one_headed = !is_valid[0] || !is_valid[1] || heads[0].generation != heads[1].generation;
    sg->is_b_first = best == 0;
}

static enum err open_one(struct spool *sp, uint32_t id)
{
    struct spool_seg *sg = &sp->segs[sp->recover.seg];
    uint64_t len;
    memset(sg, 0, sizeof *sg);
    sg->id = id;
    sg->next_owned = SPOOL_NONE;
    sg->num_written = 1;
    sp->max_id = id > sp->max_id ? id : sp->max_id;
    enum err err = sp->store->open_segment(sp->store->ctx, &sg->handle, &len, id);
    if (err == ERR_NO_HANDLE || err == ERR_NO_MEMORY || err == ERR_DENIED || err == ERR_READ_ONLY) {
        return err; /* of this process, not of the segment */
    }
    if (err == ERR_ABSENT) {
        return ERR_OK;
    }
    sp->recover.seg++;
    sg->state = SEG_BAD;
    sg->is_data = sg->is_damaged = true;
    if (err != ERR_OK) {
        spool_recover_read(sp, sg, 0, err);
        return ERR_OK;
    }
    sg->is_open = true;
    uint64_t num_pages = len / sp->page_len;
    if (num_pages < 3 ||
        num_pages > UINT16_MAX + 1u) { /* cut short while it was made: nothing can be in it */
        sg->is_damaged = num_pages >= 3;
        return ERR_OK;
    }
    sg->num_pages = (uint32_t)num_pages;
    read_heads(sp, sg);
    sg->first_bad = sg->num_pages;
    if (sg->generation != 0) {
        sg->state = SEG_LOG;
        sg->is_data = sg->is_damaged = false;
    } else {
        /* Blank: its making was cut off, perhaps not even its name is durable. */
        sg->is_damaged = !is_blank(sp, sg);
    }
    if (sg->generation >= sp->next_generation) {
        sp->next_generation = sg->generation + 1;
    }
    return ERR_OK;
}

/* Whether every byte of the message can be read: by that commit, or by the one in place. */
static bool is_whole(struct spool *sp, uint32_t entry, const struct spool_record *commit)
{
    uint16_t seg;
    uint32_t page;
    uint64_t id = sp->slots[entry].entry.id;
    enum err err = commit != NULL ? spool_view_of(sp, commit, &sp->view)
                                  : spool_view_load(sp, 1, entry, &sp->view);
    return err == ERR_OK && spool_view_verify(sp, id, &sp->view, &seg, &page) == ERR_OK;
}

/* Of two commits the higher version counts if it is whole; the log has no lower one behind it. */
static bool is_better(struct spool *sp, uint32_t entry, const struct spool_record *r)
{
    return r->commit.version >= sp->slots[entry].entry.version ? is_whole(sp, entry, r)
                                                               : !is_whole(sp, entry, NULL);
}

static void place(struct spool *sp, uint32_t entry, uint16_t version, uint16_t seg, uint32_t page,
                  uint32_t offset)
{
    struct spool_entry *e = &sp->slots[entry].entry;
    e->commit_seg = seg;
    e->commit_page = page;
    e->commit_offset = (uint16_t)offset;
    e->version = version;
}

/* An entry for so many recipients in the place of that one, which keeps what is over. */
static uint32_t exchange(struct spool *sp, uint32_t entry, uint32_t num_rcpts)
{
    const struct spool_entry *old = &sp->slots[entry].entry;
    const uint64_t id = old->id;
    uint32_t other = spool_entry_take(sp, id, num_rcpts);
    if (other != SPOOL_NO_ENTRY) {
        sp->slots[other].entry.flags |= old->flags & (ENTRY_ANNULLED | ENTRY_COPIED);
    }
    for (uint32_t i = 0; other != SPOOL_NO_ENTRY && i < num_rcpts && i < old->num_rcpts; i++) {
        if (spool_entry_bit(sp, entry, i)) {
            spool_entry_set_bit(sp, other, i);
        }
    }
    spool_entry_give(sp, entry);
    return other != SPOOL_NO_ENTRY ? other : spool_entry_take(sp, id, num_rcpts);
}

static enum err take_commit(struct spool *sp, const struct spool_record *r, uint16_t seg,
                            uint32_t page, uint32_t offset)
{
    uint32_t num_rcpts = r->commit.num_rcpts;
    uint32_t entry = spool_entry_find(sp, r->id);
    sp->segs[seg].num_entries += spool_entries_needed(num_rcpts);
    sp->disk_entries += spool_entries_needed(num_rcpts);
    bool is_taken = entry == SPOOL_NO_ENTRY || is_better(sp, entry, r);
    if (is_taken && (entry == SPOOL_NO_ENTRY || num_rcpts != sp->slots[entry].entry.num_rcpts)) {
        entry = entry == SPOOL_NO_ENTRY ? spool_entry_take(sp, r->id, num_rcpts)
                                        : exchange(sp, entry, num_rcpts);
        if (entry == SPOOL_NO_ENTRY) {
            return ERR_NO_MEMORY;
        }
        spool_entry_insert(sp, entry);
    }
    if (is_taken) {
        place(sp, entry, r->commit.version, seg, page, offset);
    }
    if (r->commit.version != 0) {
        sp->slots[entry].entry.flags |= ENTRY_COPIED;
    }
    for (uint32_t rcpt = 0; rcpt < sp->slots[entry].entry.num_rcpts; rcpt++) {
        bool is_in = rcpt / 8 < r->commit.bitmap.len &&
                     (r->commit.bitmap.ptr[rcpt / 8] >> rcpt % 8 & 1) != 0;
        bool was_in = spool_entry_bit(sp, entry, rcpt);
        if (is_in && !was_in) {
            spool_entry_set_bit(sp, entry, rcpt);
        }
        if (is_in != was_in && is_in != is_taken) { /* the one that counts does not know of it */
            sp->slots[entry].entry.flags |= ENTRY_RESTATED;
        }
    }
    return ERR_OK;
}

static enum err take_record(struct spool *sp, const struct spool_record *r, uint16_t seg,
                            uint32_t page, uint32_t offset)
{
    uint32_t entry = SPOOL_NO_ENTRY;
    if (r->type == SPOOL_OUTCOME || r->type == SPOOL_ANNUL) {
        entry = spool_entry_find(sp, r->id);
    }
    switch (r->type) {
    case SPOOL_CHUNK:
        break;
    case SPOOL_COMMIT:
        return take_commit(sp, r, seg, page, offset);
    case SPOOL_OUTCOME:
        if (entry != SPOOL_NO_ENTRY && r->outcome.rcpt < sp->slots[entry].entry.num_rcpts) {
            spool_entry_set_bit(sp, entry, r->outcome.rcpt);
        }
        break;
    case SPOOL_ANNUL:
        if (entry != SPOOL_NO_ENTRY) {
            sp->slots[entry].entry.flags |= ENTRY_ANNULLED;
        }
        break;
    case SPOOL_SEAL:
        sp->segs[seg].seal_generation = r->id;
        sp->segs[seg].seal_pages = r->seal_pages;
        break;
    case SPOOL_SETTLED: {
        uint16_t settled = spool_seg_find(sp, r->id);
        if (settled != SPOOL_NONE) {
            sp->segs[settled].settled_seg = seg;
            sp->segs[settled].settled_page = page;
        }
        break;
    }
    }
    return ERR_OK;
}

static enum err scan_page(struct spool *sp, uint16_t seg, uint32_t page)
{
    struct spool_seg *sg = &sp->segs[seg];
    struct spool_page_head head;
    struct slice records;
    /* Read with the other half of the cache, for a copy's bytes are read meanwhile. */
    sp->cache[0].generation = 0;
    struct slice bytes = page_slice(sp, 0);
    enum err read = spool_page_read(sp, sg, page, sp->cache[0].bytes);
    if (read != ERR_OK) {
        spool_log_page(sp, sg->id, page); /* proved or not: nobody knows what is in it */
        sg->is_damaged = true;
    }
    if (read != ERR_OK ||
        !spool_page_open(bytes, sg->nonce, sg->generation, page, &head, &records) ||
        (sg->num_written > 1 && sg->is_data != (head.kind == SPOOL_PAGE_DATA))) {
        sg->first_bad = page < sg->first_bad ? page : sg->first_bad;
        return ERR_OK;
    }
    sg->num_written = page + 1;
    sg->is_data = head.kind == SPOOL_PAGE_DATA;
    sg->num_durable = head.durable_pages > sg->num_durable ? head.durable_pages : sg->num_durable;
    if (sg->is_data) {
        return ERR_OK;
    }
    struct spool_record r;
    uint32_t offset = SPOOL_PAGE_HEAD_LEN;
    while (!slice_is_empty(records)) {
        size_t before_len = records.len;
        if (!spool_record_take(&records, &r)) {
            sg->first_bad = page < sg->first_bad ? page : sg->first_bad;
            return ERR_OK;
        }
        enum err err = take_record(sp, &r, seg, page, offset);
        if (err != ERR_OK) {
            return err;
        }
        offset += (uint32_t)(before_len - records.len);
    }
    return ERR_OK;
}

/* The next segment in the order of generations. */
static uint16_t next_to_scan(struct spool *sp)
{
    uint16_t best = SPOOL_NONE;
    for (uint16_t i = 0; i < sp->num_segs; i++) {
        const struct spool_seg *sg = &sp->segs[i];
        if (sg->state == SEG_LOG && sg->generation > sp->recover.generation &&
            (best == SPOOL_NONE || sg->generation < sp->segs[best].generation)) {
            best = i;
        }
    }
    return best;
}

static void step_open(struct spool *sp)
{
    struct spool_recover *rc = &sp->recover;
    if (rc->cursor < rc->num_ids) {
        enum err err = open_one(sp, rc->ids[rc->cursor++]);
        if (err != ERR_OK) {
            rc->is_unread = false;
            give_up(sp, err);
        }
        return;
    }
    if (rc->is_unread) {
        rc->is_unread = spool_read_again(sp, &sp->segs[rc->unread_seg], rc->unread_page,
                                         rc->unread_err, &rc->num_again);
    }
    for (uint32_t i = 0; i < sp->num_segs; i++) {
        if (sp->segs[i].is_damaged && sp->segs[i].num_pages != 0) {
            spool_log_page(sp, sp->segs[i].id, 0);
        }
    }
    /* Well above: a segment that the last run removed may not be seen now, and yet come back after
     * a power cut. */
    sp->next_generation += GENERATION_GAP;
    rc->stage = RECOVER_SCAN;
    rc->generation = 0;
    rc->seg = next_to_scan(sp);
    rc->page = 1;
}

/* Names what a page without a valid CRC may have held. */
static void name_page(struct spool *sp, uint16_t seg, uint32_t page, bool was_durable)
{
    struct spool_seg *sg = &sp->segs[seg];
    struct spool_page_head head;
    struct spool_record r;
    struct slice records;
    if (!raw_read(sp, sg, page)) {
        return; /* told by the scan */
    }
    if (spool_page_open(page_slice(sp, 1), sg->nonce, sg->generation, page, &head, &records)) {
        return;
    }
    bool has_head = spool_page_guess(page_slice(sp, 1), &head, &records);
    if (!was_durable && (!has_head || head.generation != sg->generation || head.number != page)) {
        return; /* never written in this generation, as far as anything tells */
    }
    spool_log_page(sp, sg->id, page);
    uint64_t last_id = 0;
    while (has_head && spool_record_take(&records, &r)) {
        if ((r.type == SPOOL_CHUNK || r.type == SPOOL_COMMIT) && r.id != last_id) {
            spool_log_lost(sp, r.id, seg, page,
                           was_durable ? "perhaps-lost" : "unfinished-or-lost");
            last_id = r.id;
        }
    }
}

/* Pages that are said to have been durable; of none that the segment does not have. */
static uint32_t num_proved(const struct spool_seg *sg)
{
    uint32_t num = sg->num_durable > sg->num_sealed ? sg->num_durable : sg->num_sealed;
    return num < sg->num_pages ? num : sg->num_pages - 1;
}

/* What the scan has found out about each segment. Segments of the log keep their place in its order
 * even if damaged. */
static void judge_segments(struct spool *sp)
{
    uint64_t newest = 0;
    for (uint16_t i = 0; i < sp->num_segs; i++) {
        struct spool_seg *sg = &sp->segs[i];
        if (sg->state != SEG_LOG) {
            continue;
        }
        uint32_t num_durable = num_proved(sg);
        if (sg->first_bad < num_durable || sg->is_damaged) {
            sg->is_damaged = true;
            sg->state = SEG_BAD;
            sg->num_written = sg->num_written > num_durable ? sg->num_written : num_durable;
        } else if (sg->num_written == 1) {
            sg->state = SEG_FREE; /* its head may not be durable: the log waits until it is anew */
            sg->is_data = false;
        } else if (sg->is_data) {
            sg->state = SEG_DATA;
        }
        sg->is_b_first = sg->is_b_first && (sg->state == SEG_FREE || sg->is_one_headed);
        sg->num_sealed = num_durable; /* proved */
        sg->num_durable = sg->num_written;
        if (!sg->is_data && sg->generation > newest) {
            newest = sg->generation;
            sp->seal_generation = newest;
            sp->seal_pages = num_durable;
        }
    }
}

/* A seal counts only if the segment that has it says itself that it became durable: then all before
 * it had. */
static void apply_seals(struct spool *sp)
{
    for (uint16_t i = 0; i < sp->num_segs; i++) {
        const struct spool_seg *sg = &sp->segs[i];
        if (sg->state == SEG_LOG && sg->num_durable > 1 && sg->seal_generation != 0) {
            uint16_t sealed = spool_seg_find(sp, sg->seal_generation);
            if (sealed != SPOOL_NONE) {
                sp->segs[sealed].num_sealed = sg->seal_pages;
            }
        }
    }
}

static void step_scan(struct spool *sp)
{
    struct spool_recover *rc = &sp->recover;
    for (uint32_t n = 0; n < SCAN_PAGES && rc->seg != SPOOL_NONE; n++) {
        enum err err = scan_page(sp, rc->seg, rc->page++);
        if (err != ERR_OK) {
            give_up(sp, err);
            return;
        }
        if (BROKEN(RECOVERY_ENDS_EARLY) && sp->segs[rc->seg].first_bad < rc->page) {
            rc->seg = SPOOL_NONE;
            break;
        }
        if (rc->page >= sp->segs[rc->seg].num_pages - 1) {
            rc->generation = sp->segs[rc->seg].generation;
            rc->seg = next_to_scan(sp);
            rc->page = 1;
        }
    }
    if (rc->seg == SPOOL_NONE) {
        apply_seals(sp);
        rc->stage = RECOVER_NAME;
        rc->seg = 0;
        rc->page = 0;
    }
}

/* Pages from the first on that does not count, of each segment. */
static void step_name(struct spool *sp)
{
    struct spool_recover *rc = &sp->recover;
    for (uint32_t n = 0; n < SCAN_PAGES && rc->seg < sp->num_segs; n++) {
        const struct spool_seg *sg = &sp->segs[rc->seg];
        rc->page = rc->page < sg->first_bad ? sg->first_bad : rc->page;
        if (sg->state != SEG_LOG || rc->page + 1 >= sg->num_pages) {
            rc->seg++;
            rc->page = 0;
            continue;
        }
        name_page(sp, rc->seg, rc->page, rc->page < num_proved(sg));
        rc->page++;
    }
    if (rc->seg == sp->num_segs) {
        judge_segments(sp);
        sp->cache[0].generation = sp->cache[1].generation = 0;
        rc->stage = RECOVER_JUDGE;
        rc->cursor = 0;
    }
}

static void drop_entry(struct spool *sp, uint32_t entry)
{
    sp->slots[entry].entry.first_seg = SPOOL_NONE;
    spool_entry_give(sp, entry);
}

/* Whether the message's commit, and so all of it, was durable once. Reading it proves nothing:
 * after kill -9 it may be in memory only, and after a failed sync another one that succeeds proves
 * nothing either. */
static bool is_proved(const struct spool *sp, const struct spool_entry *e)
{
    return e->commit_page < sp->segs[e->commit_seg].num_sealed;
}

/* A live message that cannot be read. Was it ever acknowledged? A copy was, and what is proved to
 * have been durable. */
static void not_whole(struct spool *sp, uint32_t entry, uint16_t bad_seg, uint32_t bad_page,
                      enum err err)
{
    struct spool_entry *e = &sp->slots[entry].entry;
    struct spool_seg *sg = &sp->segs[bad_seg];
    bool was_durable = (e->flags & ENTRY_COPIED) || is_proved(sp, e);
    spool_log_lost(sp, e->id, bad_seg, bad_page, was_durable ? "lost" : "unfinished-or-lost");
    if (!was_durable && err == ERR_DAMAGED) {
        spool_entry_hide(sp, entry);
        e->flags = (uint16_t)((e->flags | ENTRY_DOUBTED) & ~ENTRY_RESTATED);
        return;
    }
    if (sg->state == SEG_LOG || sg->state == SEG_DATA) {
        sg->state = SEG_BAD;
        sg->is_damaged = true;
    }
    drop_entry(sp, entry);
}

static bool restate(struct spool *sp, uint32_t entry)
{
    const struct spool_entry *e = &sp->slots[entry].entry;
    uint32_t num_pages = e->num_rcpts / (sp->page_len / SPOOL_OUTCOME_LEN - 2) + 2;
    if (spool_log_room(sp, num_pages, false) != ERR_OK) {
        return false;
    }
    for (uint32_t rcpt = 0; rcpt < e->num_rcpts; rcpt++) {
        if (spool_entry_bit(sp, entry, rcpt)) {
            spool_log_outcome(sp, e->id, rcpt, 0);
        }
    }
    return true;
}

/* What is not whole is settled not to exist, before seals of this run can make it look
 * acknowledged. An outcome that an earlier recovery did not see stands before a copy that does not
 * know of it: it is told again behind, where it lasts as long. */
static bool settle_doubts(struct spool *sp)
{
    for (uint32_t entry = 0; entry < sp->num_slots_fresh; entry++) {
        struct spool_entry *e = &sp->slots[entry].entry;
        if ((e->flags & (ENTRY_DOUBTED | ENTRY_RESTATED)) == 0) {
            continue;
        }
        if ((e->flags & ENTRY_RESTATED) && !restate(sp, entry)) {
            return false;
        }
        if ((e->flags & ENTRY_DOUBTED) && spool_log_room(sp, 2, false) != ERR_OK) {
            return false;
        }
        sp->is_sync_wanted = sp->recover.has_settled = true;
        if (e->flags & ENTRY_DOUBTED) {
            spool_log_annul(sp, e->id);
        }
        e->flags &= (uint16_t) ~(ENTRY_DOUBTED | ENTRY_RESTATED);
        if ((e->flags & ENTRY_HASHED) == 0) {
            drop_entry(sp, entry);
        }
    }
    return !sp->recover.has_settled || (!sp->is_sync_wanted && !sp->is_syncing);
}

/* What no spool writes, whatever its sums are: bytes in another message's own segment, which is
 * freed with that one, or more of them in one extent of the log than there is memory for where it
 * is copied. */
static bool is_misplaced(const struct spool *sp, uint64_t id, const struct spool_commit_view *view)
{
    for (uint16_t i = 0; i < view->num_places; i++) {
        const struct spool_seg *sg = &sp->segs[view->places[i].seg];
        if (sg->is_data ? sg->owner != 0 && sg->owner != id : view->places[i].len > sp->chunk_cap) {
            return true;
        }
    }
    return false;
}

static void judge_entry(struct spool *sp, uint32_t entry)
{
    struct spool_entry *e = &sp->slots[entry].entry;
    uint16_t bad_seg = e->commit_seg;
    uint32_t bad_page = e->commit_page;
    uint32_t num_final = spool_entry_count_bits(sp, entry);
    /* A copy was made of what an earlier recovery found and told; an annul that turns up only now
     * came too late. */
    bool is_annulled = (e->flags & (ENTRY_ANNULLED | ENTRY_COPIED)) == ENTRY_ANNULLED;
    if (num_final == e->num_rcpts && (e->flags & ENTRY_RESTATED)) {
        spool_entry_hide(sp, entry);
        return;
    }
    if (is_annulled || num_final == e->num_rcpts) {
        drop_entry(sp, entry);
        return;
    }
    enum err err = spool_view_load(sp, 0, entry, &sp->view);
    if (err == ERR_OK) {
        err = spool_view_verify(sp, e->id, &sp->view, &bad_seg, &bad_page);
    }
    if (err == ERR_OK && is_misplaced(sp, e->id, &sp->view)) {
        err = ERR_DAMAGED;
    }
    if (err != ERR_OK) {
        not_whole(sp, entry, bad_seg, bad_page, err);
        return;
    }
    struct spool_copied at = {.page = e->commit_page,
                              .offset = e->commit_offset,
                              .seg = e->commit_seg,
                              .first_seg = e->commit_seg,
                              .version = e->version};
    uint32_t data_cost = 0;
    for (uint16_t i = 0; i < sp->view.num_places; i++) {
        struct spool_seg *sg = &sp->segs[sp->view.places[i].seg];
        if (sg->is_data) {
            sg->owner = e->id;
            sg->is_suspect = !is_proved(sp, e) && sg->num_sealed < sg->num_written;
            data_cost += (uint32_t)((uint64_t)sg->num_pages * sp->page_len / 512);
        } else if (sg->generation < sp->segs[at.first_seg].generation) {
            at.first_seg = sp->view.places[i].seg;
        }
    }
    e->num_final = (uint16_t)num_final;
    e->cost = spool_cost(sp, sp->view.meta.total_len);
    e->cost = e->cost > data_cost ? e->cost : data_cost;
    sp->live_cost += e->cost;
    sp->stats.num_messages++;
    spool_entry_place(sp, entry, &at);
}

static bool is_settled(const struct spool *sp, const struct spool_seg *sg)
{
    return sg->settled_page != 0 && sg->settled_page < sp->segs[sg->settled_seg].num_sealed;
}

static void step_judge(struct spool *sp)
{
    struct spool_recover *rc = &sp->recover;
    for (uint32_t n = 0; n < JUDGE_ENTRIES && rc->cursor < sp->num_slots_fresh; n++) {
        uint32_t entry = rc->cursor++;
        uint16_t flags = sp->slots[entry].entry.flags;
        if ((flags & (ENTRY_USED | ENTRY_HASHED)) == (ENTRY_USED | ENTRY_HASHED)) {
            judge_entry(sp, entry);
        }
    }
    if (rc->cursor < sp->num_slots_fresh) {
        return;
    }
    for (uint16_t i = 0; i < sp->num_segs; i++) {
        struct spool_seg *sg = &sp->segs[i];
        if (sg->state == SEG_DATA && sg->owner == 0) {
            sg->state = SEG_FREE;
        } else if (sg->state == SEG_DATA && sg->is_suspect && !BROKEN(READ_BELIEVED)) {
            sg->state = SEG_BAD;
        } else if (sg->state == SEG_LOG && sg->is_one_headed && sg->num_first != 0) {
            spool_log_page(sp, sg->id, 0);
            sg->state = SEG_BAD;
            sg->is_damaged = true;
        } else if (sg->state == SEG_LOG && sg->num_sealed < sg->num_written &&
                   !is_settled(sp, sg) && !BROKEN(READ_BELIEVED)) {
            sg->state = SEG_BAD;
            sg->is_suspect = true;
        }
    }
    rc->stage = RECOVER_EVACUATE;
}

/* Back to before the first step, which can be done as nothing has been written yet. */
static void start_over(struct spool *sp)
{
    for (uint32_t i = 0; i < sp->num_segs; i++) {
        if (sp->segs[i].is_open) {
            sp->store->close_segment(sp->store->ctx, sp->segs[i].handle);
        }
    }
    memset(sp->segs, 0, sp->num_segs * sizeof *sp->segs);
    memset(sp->hash, 0, ((size_t)sp->hash_mask + 1) * sizeof *sp->hash);
    sp->num_slots_fresh = sp->num_slots_used = sp->free_slot = 0;
    sp->disk_entries = sp->live_cost = sp->stats.num_messages = 0;
    sp->next_generation = 1;
    sp->seal_generation = 0;
    sp->cache[0].generation = sp->cache[1].generation = 0;
    sp->recover.stage = RECOVER_OPEN;
    sp->recover.cursor = 0;
    sp->recover.seg = 0;
    sp->recover.is_unread = sp->is_failed = false;
}

/* A piece of the reading. */
static bool read_step(struct spool *sp)
{
    static void (*const steps[])(struct spool *) = {step_open, step_scan, step_name, step_judge};
    if (sp->now_ms < sp->read_again_ms) {
        return false;
    }
    steps[sp->recover.stage](sp);
    if (sp->recover.is_unread && sp->recover.stage != RECOVER_OPEN) {
        start_over(sp);
    }
    return true;
}

bool spool_recover_step(struct spool *sp)
{
    struct spool_recover *rc = &sp->recover;
    switch (rc->stage) {
    case RECOVER_OPEN:
    case RECOVER_SCAN:
    case RECOVER_NAME:
    case RECOVER_JUDGE:
        return read_step(sp);
    case RECOVER_EVACUATE:
        if ((settle_doubts(sp) && !spool_compact_is_evacuating(sp)) || sp->is_failed) {
            for (uint32_t i = 0; i < sp->num_segs; i++) {
                sp->segs[i].is_suspect = false;
            }
            rc->stage = RECOVER_TELL;
            rc->cursor = 0;
            rc->err = sp->is_failed ? ERR_IO : ERR_OK;
        } else if (sp->is_starved && sp->head == SPOOL_NONE) {
            spool_fail(sp);
        }
        return false;
    case RECOVER_TELL:
    case RECOVER_DONE:
        break;
    }
    return false;
}

bool spool_recover_next_event(struct spool *sp, struct spool_event *out)
{
    struct spool_recover *rc = &sp->recover;
    if (rc->stage != RECOVER_TELL) {
        return false;
    }
    while (rc->err == ERR_OK && rc->cursor < sp->num_slots_fresh) {
        uint32_t entry = rc->cursor++;
        const struct spool_entry *e = &sp->slots[entry].entry;
        if ((e->flags & ENTRY_HASHED) == 0 || (e->flags & ENTRY_USED) == 0) {
            continue;
        }
        *out = (struct spool_event){.kind = SPOOL_FOUND, .id = e->id};
        return true;
    }
    rc->stage = RECOVER_DONE;
    rc->is_told = true;
    *out = (struct spool_event){.kind = SPOOL_READY, .err = rc->err};
    return true;
}

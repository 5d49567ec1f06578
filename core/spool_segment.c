/* The table of segments: spares made ready beforehand, recycling in the order of the log, retiring
 * of bad ones. SPOOL.md, "What a segment goes through". Called by the rest of the spool; knows
 * nothing of records or messages. */
#include "spool_inside.h"

#define RETRY_MS 5000

static bool is_coming(const struct spool_seg *sg)
{
    return sg->state == SEG_CREATING || sg->state == SEG_FORMATTING ||
           sg->state == SEG_RECYCLING_A || sg->state == SEG_RECYCLING_B;
}

static void log_segment(struct spool *sp, enum log_level level, const char *what, uint32_t id,
                        enum err err)
{
    struct log_line line;
    log_begin(&line, "spool");
    log_word(&line, "segment", what);
    log_u64(&line, "id", id);
    if (err != ERR_OK) {
        log_word(&line, "reason", err_name(err));
    }
    sp->log->line(sp->log->ctx, level, log_end(&line));
}

/* What is counted in one round through the table, which each step asks for several times. */
struct tally {
    uint32_t num_files; /* in segments as they are made now: those of before may be longer */
    uint32_t num_unused;
    uint32_t num_ready; /* that are spare or free, or will be */
    uint16_t spare;     /* one of them */
    bool has_bad;
};

static struct tally count(const struct spool *sp)
{
    struct tally t = {.spare = SPOOL_NONE};
    for (uint32_t i = 0; i < sp->num_segs; i++) {
        const struct spool_seg *sg = &sp->segs[i];
        if (sg->state == SEG_UNUSED) {
            t.num_unused++;
            continue;
        }
        if (sg->state != SEG_GONE) {
            t.num_files += sg->num_pages > sp->seg_pages ? sg->num_pages / sp->seg_pages : 1;
        }
        t.has_bad = t.has_bad || sg->state == SEG_BAD;
        t.num_ready += sg->state == SEG_SPARE || sg->state == SEG_FREE || is_coming(sg);
        t.spare = sg->state == SEG_SPARE ? (uint16_t)i : t.spare;
    }
    return t;
}

/* How many files may still be created now. While a bad segment waits for its replacement, or the
 * log cannot go on to where its oldest comes free, some more than the limit; not for mail. */
static uint32_t num_creatable(const struct spool *sp, const struct tally *t)
{
    uint32_t limit = sp->max_segs, left = 0;
    if (sp->head != SPOOL_NONE) {
        left = sp->segs[sp->head].num_pages - 1 - sp->head_page;
    }
    if (t->has_bad) {
        limit += 8;
    } else if (t->num_files >= limit && t->num_ready == 0 && left < SPOOL_COPY_PAGES) {
        limit += SPOOL_RESERVE - 1;
    }
    uint32_t room = t->num_files < limit ? limit - t->num_files : 0;
    return sp->now_ms < sp->create_again_ms ? 0 : room < t->num_unused ? room : t->num_unused;
}

uint32_t spool_segs_at_hand(const struct spool *sp)
{
    struct tally t = count(sp);
    return num_creatable(sp, &t) + t.num_ready;
}

bool spool_mail_may_write(const struct spool *sp)
{
    return BROKEN(RESERVE_TAKEN) || spool_segs_at_hand(sp) >= SPOOL_RESERVE;
}

bool spool_mail_may_grow(const struct spool *sp)
{
    return BROKEN(RESERVE_TAKEN) || spool_segs_at_hand(sp) > SPOOL_RESERVE;
}

uint16_t spool_seg_take(struct spool *sp, bool for_data)
{
    uint16_t best = SPOOL_NONE;
    for (uint16_t i = 0; i < sp->num_segs; i++) {
        bool is_fit = for_data || sp->segs[i].generation > sp->head_generation;
        if (sp->segs[i].state != SEG_SPARE || !is_fit) {
            continue;
        }
        /* The log takes the oldest generation, so that those left over are newer than its head. */
        if (best == SPOOL_NONE ||
            (sp->segs[i].generation > sp->segs[best].generation) == for_data) {
            best = i;
        }
    }
    if (best != SPOOL_NONE) {
        sp->segs[best].state = for_data ? SEG_DATA : SEG_LOG;
        sp->segs[best].is_data = for_data;
    }
    return best;
}

uint16_t spool_seg_find(const struct spool *sp, uint64_t generation)
{
    for (uint16_t i = 0; i < sp->num_segs; i++) {
        const struct spool_seg *sg = &sp->segs[i];
        if (generation != 0 && sg->generation == generation && sg->is_open &&
            (sg->state == SEG_LOG || sg->state == SEG_DATA || sg->state == SEG_BAD)) {
            return i;
        }
    }
    return SPOOL_NONE;
}

#ifdef POSTERN_TEETH
/* The newest segment with nothing live in it, as if order did not matter. */
static uint16_t any_dead(struct spool *sp)
{
    uint16_t best = SPOOL_NONE;
    for (uint16_t i = 0; i < sp->num_segs; i++) {
        bool is_used = sp->segs[i].state != SEG_LOG || i == sp->head || sp->segs[i].num_first != 0;
        for (uint32_t e = 0; e < sp->num_slots_fresh; e++) {
            is_used = is_used || ((sp->slots[e].entry.flags & ENTRY_USED) &&
                                  sp->slots[e].entry.commit_seg == i);
        }
        if (!is_used &&
            (best == SPOOL_NONE || sp->segs[i].generation > sp->segs[best].generation)) {
            best = i;
        }
    }
    return best;
}
#endif

/* The log's oldest segment, if its order is certain. */
static uint16_t oldest(const struct spool *sp)
{
    uint16_t tail = SPOOL_NONE;
    if (sp->is_dir_doubted || sp->recover.stage < RECOVER_TELL) {
        return SPOOL_NONE;
    }
    for (uint16_t i = 0; i < sp->num_segs; i++) {
        const struct spool_seg *sg = &sp->segs[i];
        bool is_in_doubt = sg->state == SEG_BAD || sg->state == SEG_GONE || sg->state == SEG_FREE ||
                           sg->state == SEG_RECYCLING_A;
        if (is_in_doubt && !sg->is_data) {
            return SPOOL_NONE;
        }
        if (sg->state == SEG_LOG &&
            (tail == SPOOL_NONE || sg->generation < sp->segs[tail].generation)) {
            tail = i;
        }
    }
    return tail;
}

uint16_t spool_seg_tail(const struct spool *sp)
{
    uint16_t tail = oldest(sp);
    return tail == sp->head ? SPOOL_NONE : tail;
}

bool spool_head_is_alone(const struct spool *sp)
{
    return sp->head != SPOOL_NONE && oldest(sp) == sp->head;
}

bool spool_seg_is_clear(struct spool *sp, uint16_t seg)
{
    return sp->segs[seg].num_first == 0 && !sp->segs[seg].is_syncing && !sp->segs[seg].is_dirty &&
           !spool_txn_touches(sp, seg);
}

void spool_seg_free(struct spool *sp, uint16_t seg)
{
    struct spool_seg *sg = &sp->segs[seg];
    sg->state = SEG_FREE;
    sg->is_data = true;
    sg->owner = 0;
    sg->is_dirty = sg->is_wanted = false;
    sp->unsynced_len -= sg->unsynced_len;
    sg->unsynced_len = 0;
    sg->next_owned = SPOOL_NONE;
    if (sp->has_waiter) {
        sp->is_room = true;
    }
}

static enum err write_head(struct spool *sp, const struct spool_seg *sg, bool is_b)
{
    struct spool_head head = {
        .page_len = sp->page_len, .num_pages = sg->num_pages, .generation = sg->generation};
    memcpy(head.nonce, sg->nonce, SPOOL_NONCE_LEN);
    spool_head_encode(sp->copy_buf, &head);
    sp->stats.written_len += sp->page_len;
    uint64_t page = is_b ? sg->num_pages - 1 : 0;
    return sp->store->write_at(sp->store->ctx, sg->handle, page * sp->page_len,
                               slice_make(sp->copy_buf, sp->page_len));
}

static enum err start_sync(struct spool *sp, enum spool_op op, uint16_t seg)
{
    sp->segs[seg].is_syncing = true;
    sp->stats.num_syncs++;
    enum err err = sp->store->sync(sp->store->ctx, sp->segs[seg].handle, spool_tag(op, seg));
    if (err != ERR_OK) {
        sp->segs[seg].is_syncing = false;
    }
    return err;
}

/* A generation and nonce of its own, and nothing in it. */
static enum err begin_anew(struct spool *sp, struct spool_seg *sg)
{
    enum err err = sp->entropy->fill(sp->entropy->ctx, sg->nonce, SPOOL_NONCE_LEN);
    if (err != ERR_OK) {
        sp->create_again_ms = sp->now_ms + RETRY_MS;
        return err;
    }
    sp->disk_entries -= sg->num_entries;
    sg->generation = sp->next_generation++;
    sg->num_written = sg->num_durable = 1;
    sg->num_syncing = sg->num_entries = sg->owned_len = 0;
    sg->num_sealed = 0;
    sg->owner = 0;
    sg->next_owned = SPOOL_NONE;
    sg->is_dirty = sg->is_wanted = sg->is_one_headed = sg->is_damaged = false;
    return ERR_OK;
}

static void format(struct spool *sp, uint16_t seg)
{
    struct spool_seg *sg = &sp->segs[seg];
    sg->state = SEG_FREE;
    sg->is_data = true; /* never had a place in the log */
    enum err err = begin_anew(sp, sg);
    if (err != ERR_OK) {
        sg->generation = 0;
        return;
    }
    sg->state = SEG_FORMATTING;
    err = write_head(sp, sg, false);
    if (err == ERR_OK) {
        err = write_head(sp, sg, true);
    }
    if (err == ERR_OK) {
        err = start_sync(sp, OP_FORMAT, seg);
    }
    if (err != ERR_OK) {
        spool_seg_fail(sp, seg, err);
    }
}

void spool_seg_recycle(struct spool *sp, uint16_t seg)
{
    struct spool_seg *sg = &sp->segs[seg];
    if (sg->num_pages != sp->seg_pages) { /* of an earlier configuration */
        sg->state = SEG_BAD;
        spool_seg_retire(sp, seg);
        return;
    }
    if (sg->generation == 0) {
        format(sp, seg);
        return;
    }
    if (begin_anew(sp, sg) != ERR_OK) {
        return;
    }
    sg->state = SEG_RECYCLING_A;
    sp->stats.num_recycled++;
    enum err err = write_head(sp, sg, sg->is_b_first);
    if (err == ERR_OK) {
        err = start_sync(sp, OP_RECYCLE_A, seg);
    }
    if (err != ERR_OK) {
        spool_seg_fail(sp, seg, err);
    }
}

void spool_seg_retire(struct spool *sp, uint16_t seg)
{
    struct spool_seg *sg = &sp->segs[seg];
    enum err err = sg->is_damaged ? sp->store->quarantine(sp->store->ctx, sg->id)
                                  : sp->store->remove(sp->store->ctx, sg->id);
    if (err != ERR_OK && err != ERR_ABSENT) {
        if (err != sp->retire_err) {
            log_segment(sp, LOG_ERROR, "stuck", sg->id, err);
        }
        sp->retire_err = err;
        sp->retire_again_ms = sp->now_ms + RETRY_MS;
        return;
    }
    sp->retire_err = ERR_OK;
    log_segment(sp, LOG_WARNING, sg->is_damaged ? "quarantined" : "removed", sg->id, ERR_OK);
    if (sg->is_open) {
        sp->store->close_segment(sp->store->ctx, sg->handle);
        sg->is_open = false;
    }
    sg->state = SEG_GONE;
    sg->gone_after = sp->num_creates;
}

/* It is tried again and again for as long as the disk is full: told once. */
static void not_created(struct spool *sp, uint32_t id, enum err err)
{
    if (err != sp->create_err) {
        log_segment(sp, LOG_ERROR, "not-created", id, err);
    }
    sp->create_err = err;
    sp->create_again_ms = sp->now_ms + RETRY_MS;
}

static void create(struct spool *sp)
{
    uint16_t seg = 0;
    while (sp->segs[seg].state != SEG_UNUSED) {
        if (++seg == sp->num_segs) {
            return;
        }
    }
    struct spool_seg *sg = &sp->segs[seg];
    memset(sg, 0, sizeof *sg);
    enum err err =
        sp->store->create(sp->store->ctx, &sg->handle, ++sp->max_id,
                          (uint64_t)sp->seg_pages * sp->page_len, spool_tag(OP_CREATE, seg));
    if (err != ERR_OK) {
        not_created(sp, sp->max_id, err);
        return;
    }
    sg->state = SEG_CREATING;
    sg->is_data = true;
    sg->id = sp->max_id;
    sg->num_pages = sp->seg_pages;
    sg->next_owned = SPOOL_NONE;
    sg->gone_after = ++sp->num_creates;
}

static void created(struct spool *sp, uint16_t seg, enum err result)
{
    struct spool_seg *sg = &sp->segs[seg];
    if (result != ERR_OK) {
        not_created(sp, sg->id, result);
        sp->store->remove(sp->store->ctx, sg->id);
        sp->store->close_segment(sp->store->ctx, sg->handle); /* which would keep its space */
        sg->state = SEG_UNUSED;
        return;
    }
    sp->create_err = ERR_OK;
    for (uint32_t i = 0; i < sp->num_segs; i++) { /* this create has synced the directory */
        struct spool_seg *gone = &sp->segs[i];
        if (gone->state == SEG_GONE && gone->gone_after < sg->gone_after) {
            sp->disk_entries -= gone->num_entries;
            memset(gone, 0, sizeof *gone);
        }
    }
    sp->is_dir_doubted = false;
    sg->is_open = true;
    format(sp, seg);
}

/* A segment to begin a new generation in: what is free, then the dead end of the log. */
static uint16_t reusable(struct spool *sp)
{
    for (uint16_t i = 0; i < sp->num_segs; i++) {
        if (sp->segs[i].state == SEG_FREE && !sp->segs[i].is_syncing) {
            return i;
        }
    }
#ifdef POSTERN_TEETH
    if (BROKEN(RECYCLED_OUT_OF_ORDER)) {
        return any_dead(sp);
    }
#endif
    uint16_t tail = spool_seg_tail(sp);
    if (tail != SPOOL_NONE && tail != sp->compact.victim && spool_seg_is_clear(sp, tail)) {
        return tail;
    }
    return SPOOL_NONE;
}

/* The log cannot be recycled before a create has synced the directory. When there is no other
 * reason for one: a file more than the limit; a spare goes in turn. Segments may be plenty, as
 * those of large messages are used again; then it is the index that runs out. */
static bool needs_create(const struct spool *sp)
{
    bool is_blocked = sp->is_dir_doubted;
    for (uint32_t i = 0; i < sp->num_segs; i++) {
        const struct spool_seg *sg = &sp->segs[i];
        is_blocked = is_blocked || (sg->state == SEG_GONE && !sg->is_data);
        if (sg->state == SEG_CREATING) {
            return false;
        }
    }
    return is_blocked && sp->now_ms >= sp->create_again_ms &&
           (spool_segs_at_hand(sp) <= SPOOL_RESERVE + 1 || spool_index_is_crowded(sp));
}

static void drop_excess(struct spool *sp, uint32_t num_spares)
{
    struct tally t = count(sp);
    /* The replacement of a bad one is not too many. */
    if (!t.has_bad && num_spares > 1 && t.spare != SPOOL_NONE && t.num_files > sp->max_segs &&
        !sp->is_dir_doubted && sp->now_ms >= sp->create_again_ms) {
        sp->segs[t.spare].state = SEG_BAD;
        sp->segs[t.spare].is_data = true;
        spool_seg_retire(sp, t.spare);
    }
}

void spool_seg_prepare(struct spool *sp)
{
    uint32_t num = 0;
    bool is_done = sp->is_stopping && sp->num_queued == 0 && spool_txn_is_quiet(sp);
    uint32_t want = is_done ? 0 : 2;
    for (uint32_t i = 0; i < sp->num_segs; i++) {
        struct spool_seg *sg = &sp->segs[i];
        if (sg->state == SEG_SPARE && sg->generation < sp->head_generation) {
            sg->state =
                SEG_FREE; /* overtaken by one that was ready earlier: needs a newer generation */
        }
        if (sg->state == SEG_FREE && !sg->is_data && want != 0) {
            spool_seg_recycle(sp, (uint16_t)i); /* its old generation could come back */
        }
        num += sg->state == SEG_SPARE || is_coming(sg);
    }
    sp->is_starved = false;
    drop_excess(sp, num);
    if (want != 0 && needs_create(sp)) {
        create(sp);
        num++;
    }
    for (; num < want; num++) {
        uint16_t seg = reusable(sp);
        struct tally t = count(sp);
        if (seg != SPOOL_NONE) {
            spool_seg_recycle(sp, seg);
        } else if (num_creatable(sp, &t) != 0) {
            create(sp);
        } else {
            sp->is_starved = num == 0;
            return;
        }
    }
}

void spool_seg_done(struct spool *sp, enum spool_op op, uint16_t seg, enum err result)
{
    struct spool_seg *sg = &sp->segs[seg];
    if (op == OP_CREATE) {
        created(sp, seg, result);
        return;
    }
    sg->is_syncing = false;
    if (result == ERR_OK && op == OP_RECYCLE_A) {
        sg->state = SEG_RECYCLING_B;
        result = write_head(sp, sg, !sg->is_b_first);
        if (result == ERR_OK) {
            result = start_sync(sp, OP_RECYCLE_B, seg);
        }
        if (result == ERR_OK) {
            return;
        }
    }
    if (result != ERR_OK) {
        spool_seg_fail(sp, seg, result);
        return;
    }
    sg->state = SEG_SPARE;
    sg->is_b_first = false;
    sp->is_room = sp->is_room || sp->has_waiter;
}

void spool_seg_fail(struct spool *sp, uint16_t seg, enum err err)
{
    struct spool_seg *sg = &sp->segs[seg];
    bool is_log = sg->state == SEG_LOG;
    sp->stats.num_sync_failures++;
    log_segment(sp, LOG_ERROR, "failed", sg->id, err);
    sg->state = SEG_BAD;
    sg->is_dirty = sg->is_wanted = false;
    sp->unsynced_len -= sg->unsynced_len;
    sg->unsynced_len = 0;
    sp->is_proofless = true;
    if (is_log) {
        sp->batch_err = err;
    }
    if (is_log && sg->generation == sp->seal_generation && sp->head != SPOOL_NONE) {
        /* The head begins by saying that this one was durable with it, as of its next page on. */
        spool_seg_fail(sp, sp->head, err);
    }
    if (seg == sp->head) {
        sp->seal_generation = 0;
        sp->head = SPOOL_NONE;
        sp->head_used = SPOOL_PAGE_HEAD_LEN;
    }
    spool_txn_seg_failed(sp, seg, err);
    if (sg->is_data && sg->owner != 0) {
        spool_compact_owner_failed(sp, sg->owner);
    }
}

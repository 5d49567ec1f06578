/* The spool's front: see spool.h. Opening, the order of things within a step, events, ids as text.
 */
#include "spool_inside.h"

#define DEFAULT(value, otherwise) ((value) != 0 ? (value) : (otherwise))
/* Files beyond the limit: what a larger spool has left, bad ones and their replacements; and with
 * all of them still room for the create that the log waits for. */
#define EXCESS_SEGS 16
#define SPARE_SLOTS (EXCESS_SEGS + 4)

static uint32_t page_len_of(uint32_t write_unit_len)
{
    return write_unit_len > SPOOL_PAGE_MIN ? write_unit_len : SPOOL_PAGE_MIN;
}

static struct spool_conf with_defaults(const struct spool_conf *given)
{
    struct spool_conf conf = *given;
    conf.segment_len = DEFAULT(conf.segment_len, 1u << 20);
    conf.max_unsynced = DEFAULT(conf.max_unsynced, 1u << 20);
    conf.max_outcomes = DEFAULT(conf.max_outcomes, 64u);
    conf.num_write_pages = DEFAULT(conf.num_write_pages, 8u);
    conf.outcome_delay_ms = DEFAULT(conf.outcome_delay_ms, 50u);
    return conf;
}

static uint32_t num_slots_of(const struct spool_conf *conf)
{
    return conf->max_messages * 2 + conf->max_txns;
}

static uint32_t num_buckets_of(const struct spool_conf *conf)
{
    uint32_t num = 16;
    while (num < num_slots_of(conf)) {
        num *= 2;
    }
    return num;
}

static uint32_t num_segs_of(const struct spool_conf *conf)
{
    return (uint32_t)(conf->size_limit / conf->segment_len);
}

static bool is_power_of_two(uint32_t n)
{
    return n != 0 && (n & (n - 1)) == 0;
}

static bool conf_is_good(const struct spool_conf *conf, uint32_t write_unit_len)
{
    return is_power_of_two(write_unit_len) && write_unit_len <= SPOOL_PAGE_MAX &&
           is_power_of_two(conf->segment_len) && conf->segment_len >= 64 * SPOOL_PAGE_MIN &&
           conf->segment_len / page_len_of(write_unit_len) >= 32 &&
           conf->segment_len / page_len_of(write_unit_len) <= UINT16_MAX &&
           conf->size_limit / conf->segment_len >= 8 &&
           conf->size_limit / conf->segment_len < SPOOL_NONE - SPARE_SLOTS &&
           conf->max_messages != 0 && conf->max_messages < UINT32_MAX / 4 - conf->max_txns &&
           conf->max_txns != 0 && conf->max_txns < UINT16_MAX;
}

size_t spool_memory_len(const struct spool_conf *given, uint32_t write_unit_len)
{
    struct spool_conf conf = with_defaults(given);
    uint32_t page_len = page_len_of(write_unit_len);
    size_t num_segs = num_segs_of(&conf) + SPARE_SLOTS;
    return sizeof(struct spool) + num_segs * (sizeof(struct spool_seg) + sizeof(uint32_t)) +
           (size_t)num_slots_of(&conf) * sizeof(union spool_slot) +
           (size_t)num_buckets_of(&conf) * sizeof(uint32_t) +
           pool_memory_len(sizeof(struct spool_txn) + page_len, conf.max_txns) +
           pool_memory_len(sizeof(struct spool_outcome_item), conf.max_outcomes) +
           (size_t)page_len * (conf.num_write_pages + 3u) + 16 * 10;
}

static bool take_memory(struct spool *sp, struct arena *a)
{
    size_t page_len = sp->page_len;
    sp->segs = arena_take(a, sp->num_segs * sizeof *sp->segs);
    sp->recover.ids = arena_take(a, sp->num_segs * sizeof *sp->recover.ids);
    sp->slots = arena_take(a, (size_t)sp->num_slots * sizeof *sp->slots);
    sp->hash = arena_take(a, ((size_t)sp->hash_mask + 1) * sizeof *sp->hash);
    sp->gather = arena_take(a, page_len * sp->conf.num_write_pages);
    sp->cache[0].bytes = arena_take(a, page_len);
    sp->cache[1].bytes = arena_take(a, page_len);
    sp->copy_buf = arena_take(a, page_len);
    if (sp->segs == NULL || sp->recover.ids == NULL || sp->slots == NULL || sp->hash == NULL ||
        sp->gather == NULL || sp->cache[0].bytes == NULL || sp->cache[1].bytes == NULL ||
        sp->copy_buf == NULL) {
        return false;
    }
    return pool_init(&sp->txns, a, sizeof(struct spool_txn) + page_len, sp->conf.max_txns) &&
           pool_init(&sp->outcomes, a, sizeof(struct spool_outcome_item), sp->conf.max_outcomes);
}

/* What live messages may count for, and what of it is for reports alone, in units of 512 bytes:
 * three quarters of what mail may have, less what the head and the end of the log waste. */
static uint32_t live_cost_max(const struct spool_conf *conf, uint32_t page_len,
                              uint32_t *out_reserved)
{
    uint64_t seg_units = (uint64_t)(conf->segment_len / page_len - 2) * page_len / 512;
    uint64_t units = (num_segs_of(conf) - SPOOL_RESERVE) * seg_units / 4 * 3 - seg_units * 3 / 2;
    uint32_t max = units < UINT32_MAX ? (uint32_t)units : UINT32_MAX;
    uint64_t reserved_units = (conf->reserved_len + 511) / 512;
    *out_reserved = reserved_units < max / 2 ? (uint32_t)reserved_units : max / 2;
    return max;
}

/* As spool_cost counts one with segments of its own. */
uint64_t spool_message_max(const struct spool_conf *given, uint32_t write_unit_len)
{
    struct spool_conf conf = with_defaults(given);
    uint32_t reserved, page_len = page_len_of(write_unit_len);
    uint32_t units = live_cost_max(&conf, page_len, &reserved);
    uint64_t num_segs = (uint64_t)(units - reserved - 1) * 512 / conf.segment_len;
    if (num_segs > SPOOL_EXTENTS_MAX - 20) {
        num_segs = SPOOL_EXTENTS_MAX - 20;
    }
    return num_segs * (conf.segment_len / page_len - 2) * (page_len - STAGE_AT);
}

static void set_sizes(struct spool *sp)
{
    sp->page_len = page_len_of(sp->store->write_unit_len);
    sp->chunk_cap = sp->page_len - STAGE_AT;
    sp->seg_pages = sp->conf.segment_len / sp->page_len;
    sp->max_segs = num_segs_of(&sp->conf);
    sp->num_segs = sp->max_segs + SPARE_SLOTS;
    sp->num_slots = num_slots_of(&sp->conf);
    sp->hash_mask = num_buckets_of(&sp->conf) - 1;
    sp->live_cost_max = live_cost_max(&sp->conf, sp->page_len, &sp->reserved_cost);
    sp->head = sp->compact.victim = SPOOL_NONE;
    sp->head_used = SPOOL_PAGE_HEAD_LEN;
    sp->next_generation = 1;
    sp->is_dir_doubted = true;
    sp->batch_open = 1;
}

uint64_t spool_wanted_size(const struct spool_conf *given, size_t num_segs)
{
    struct spool_conf conf = with_defaults(given);
    return num_segs <= num_segs_of(&conf) + EXCESS_SEGS ? 0 : (uint64_t)num_segs * conf.segment_len;
}

enum err spool_open(struct spool **out, const struct spool_conf *given,
                    const struct port_store *store, const struct port_entropy *entropy,
                    const struct port_log *log, struct arena *arena)
{
    struct spool_conf conf = with_defaults(given);
    if (!conf_is_good(&conf, store->write_unit_len)) {
        return ERR_MALFORMED;
    }
    struct spool *sp = arena_take(arena, sizeof *sp);
    if (sp == NULL) {
        return ERR_NO_MEMORY;
    }
    memset(sp, 0, sizeof *sp);
    sp->conf = conf;
    sp->store = store;
    sp->entropy = entropy;
    sp->log = log;
    set_sizes(sp);
    if (!take_memory(sp, arena)) {
        return ERR_NO_MEMORY;
    }
    enum err err = entropy->fill(entropy->ctx, (uint8_t *)&sp->id_counter, sizeof sp->id_counter);
    if (err == ERR_OK) {
        err = store->open(store->ctx);
    }
    size_t num_ids = 0;
    if (err == ERR_OK) {
        err = store->list(store->ctx, sp->recover.ids, sp->num_segs, &num_ids);
    }
    if (err != ERR_OK) {
        return err;
    }
    if (num_ids > sp->max_segs + EXCESS_SEGS) {
        return ERR_TOO_BIG;
    }
    sp->recover.num_ids = (uint32_t)num_ids;
    *out = sp;
    return ERR_OK;
}

void spool_done(struct spool *sp, uint64_t tag, enum err result)
{
    uint16_t seg = (uint16_t)tag;
    if (!SPOOL_TAG_IS(tag) || seg >= sp->num_segs) {
        return;
    }
    enum spool_op op = (enum spool_op)(tag >> 48 & 0xff);
    switch (op) {
    case OP_SYNC:
        spool_batch_done(sp, seg, result);
        break;
    case OP_CREATE:
    case OP_FORMAT:
    case OP_RECYCLE_A:
    case OP_RECYCLE_B:
        spool_seg_done(sp, op, seg, result);
        break;
    }
}

/* Whether waiting cannot help mail: no segment is on its way, being emptied, or about to be, and
 * there is none, or the commits on disk leave no room for another. None is emptied while the device
 * gives nothing, nor where there is no segment to empty it into. */
static bool is_stuck(const struct spool *sp, bool is_compacting)
{
    bool is_emptied = sp->compact.victim != SPOOL_NONE && !sp->is_silent && !sp->is_starved;
    bool is_coming = sp->is_syncing || is_compacting || is_emptied;
    for (uint32_t i = 0; i < sp->num_segs; i++) {
        enum seg_state state = sp->segs[i].state;
        is_coming = is_coming || state == SEG_CREATING || state == SEG_FORMATTING ||
                    state == SEG_RECYCLING_A || state == SEG_RECYCLING_B;
    }
    bool is_index_full = sp->disk_entries + spool_txn_entries_unwritten(sp) > sp->num_slots;
    return !is_coming && (sp->is_starved || is_index_full || !spool_mail_may_grow(sp));
}

bool spool_step(struct spool *sp, uint64_t now_ms)
{
    bool has_more = false;
    sp->now_ms = now_ms;
    sp->is_step_due = false;
    if (sp->recover.stage != RECOVER_DONE) {
        has_more = spool_recover_step(sp);
        if (sp->recover.stage < RECOVER_EVACUATE) {
            return has_more;
        }
    }
    if (sp->is_failed) {
        return sp->recover.stage == RECOVER_EVACUATE;
    }
    spool_seg_prepare(sp);
    spool_txn_step(sp);
    has_more = spool_compact_step(sp) || has_more;
    /* What this step took must be made again now: nothing else may ever call. */
    spool_seg_prepare(sp);
    uint32_t batch = sp->batch_open;
    spool_batch_start(sp);
    /* A batch that had nothing to sync has ended at once: others may go on for it. If all that
     * comes of that is another such batch, they wait for something else. */
    bool is_empty = sp->batch_open != batch && !sp->is_syncing;
    has_more = has_more || (is_empty && !sp->was_empty);
    sp->was_empty = is_empty;
    bool was_stuck = sp->is_stuck;
    sp->is_stuck = sp->recover.stage == RECOVER_DONE && is_stuck(sp, has_more);
    /* Who waits to write is told so by another step: nothing else may ever call. */
    has_more = has_more || (sp->is_stuck && !was_stuck && sp->num_unwritten != 0);
    sp->is_room = sp->is_room || (sp->is_stuck && sp->has_waiter);
    /* So is whoever waits for a recovery that has just failed. */
    has_more = has_more || (sp->is_failed && sp->recover.stage == RECOVER_EVACUATE);
    return has_more || (sp->batch_err != ERR_OK && !sp->is_syncing);
}

bool spool_next_event(struct spool *sp, struct spool_event *out)
{
    if (spool_recover_next_event(sp, out) || spool_txn_next_event(sp, out) ||
        spool_outcome_next_event(sp, out)) {
        return true;
    }
    if (sp->is_room) {
        sp->is_room = sp->has_waiter = false;
        *out = (struct spool_event){.kind = SPOOL_ROOM};
        return true;
    }
    return false;
}

uint64_t spool_next_deadline_ms(const struct spool *sp)
{
    uint64_t at_ms = UINT64_MAX;
    if (sp->is_failed) {
        return at_ms;
    }
    if (sp->is_step_due) {
        return sp->now_ms;
    }
    if (sp->num_queued != 0 && !sp->is_syncing) {
        at_ms = sp->outcome_due_ms;
    }
    const uint64_t again_ms[] = {sp->create_again_ms, sp->retire_again_ms, sp->read_again_ms};
    for (size_t i = 0; i < 3; i++) {
        if (again_ms[i] > sp->now_ms && again_ms[i] < at_ms) {
            at_ms = again_ms[i];
        }
    }
    return at_ms;
}

void spool_stop(struct spool *sp)
{
    sp->is_stopping = true;
}

bool spool_has_failed(const struct spool *sp)
{
    return sp->is_failed;
}

bool spool_idle(const struct spool *sp)
{
    /* A recovery that is cut off promises nothing; the next one begins anew. */
    bool is_recovering = !sp->recover.is_told && !sp->is_stopping;
    bool is_busy = sp->is_syncing || sp->is_sync_wanted || sp->num_queued != 0 ||
                   sp->outcomes.num_used != 0 || !spool_txn_is_quiet(sp) || is_recovering;
    for (uint32_t i = 0; i < sp->num_segs; i++) {
        is_busy = is_busy || sp->segs[i].is_syncing || sp->segs[i].state == SEG_CREATING;
    }
    return !is_busy || sp->is_failed;
}

void spool_stats_of(const struct spool *sp, struct spool_stats *out)
{
    *out = sp->stats;
    out->num_txns = sp->txns.num_used;
    out->num_segments = 0;
    for (uint32_t i = 0; i < sp->num_segs; i++) {
        out->num_segments += sp->segs[i].state != SEG_UNUSED && sp->segs[i].state != SEG_GONE;
    }
    out->num_free_segments = spool_segs_at_hand(sp);
    out->live_len = (uint64_t)sp->live_cost * 512;
    out->live_limit_len = (uint64_t)(sp->live_cost_max - sp->reserved_cost) * 512;
}

static const char digits[] = "0123456789abcdefghjkmnpqrstvwxyz";

bool spool_id_put(struct buf *b, uint64_t id)
{
    uint8_t text[SPOOL_ID_TEXT_LEN];
    for (size_t i = SPOOL_ID_TEXT_LEN; i-- > 0; id >>= 5) {
        text[i] = (uint8_t)digits[id & 31];
    }
    return buf_put(b, slice_make(text, sizeof text));
}

void spool_id_log(struct log_line *line, const char *key, uint64_t id)
{
    uint8_t bytes[SPOOL_ID_TEXT_LEN];
    struct buf text = buf_make(bytes, sizeof bytes);
    spool_id_put(&text, id);
    log_slice(line, key, buf_slice(&text));
}

bool spool_id_parse(struct slice text, uint64_t *out)
{
    uint64_t id = 0;
    if (text.len != SPOOL_ID_TEXT_LEN) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        const char *digit = memchr(digits, text_lower(text.ptr[i]), 32);
        if (digit == NULL || (i == 0 && digit - digits > 15)) {
            return false;
        }
        id = id << 5 | (uint64_t)(digit - digits);
    }
    *out = id;
    return true;
}

/* Outcomes of recipients: reserved before a delivery, recorded after it, several to a sync. Called
 * through spool.h by whoever delivers, and by the log writer when a batch ends. */
#include "spool_inside.h"

static struct spool_outcome_item *each(const struct spool *sp, uint32_t *cursor)
{
    return pool_each(&sp->outcomes, cursor);
}

enum err spool_reserve_outcome(struct spool *sp)
{
    if (sp->is_failed) {
        return ERR_IO;
    }
    if (sp->num_reserved + sp->outcomes.num_used >= sp->conf.max_outcomes) {
        return ERR_BUSY;
    }
    if (spool_log_room(sp, 1, false) != ERR_OK) {
        return ERR_BUSY; /* what cannot be recorded would be sent again after a restart */
    }
    sp->num_reserved++;
    return ERR_OK;
}

void spool_release_outcome(struct spool *sp)
{
    if (sp->num_reserved != 0) {
        sp->num_reserved--;
    }
}

enum err spool_outcome(struct spool *sp, uint64_t id, uint32_t rcpt, uint16_t code)
{
    uint32_t entry = spool_entry_find(sp, id);
    if (entry == SPOOL_NO_ENTRY || rcpt >= sp->slots[entry].entry.num_rcpts) {
        return ERR_ABSENT;
    }
    if (spool_entry_bit(sp, entry, rcpt)) {
        return ERR_EXISTS;
    }
    struct spool_outcome_item *item = sp->num_reserved != 0 ? pool_take(&sp->outcomes) : NULL;
    if (item == NULL) {
        return ERR_WRONG_STATE;
    }
    sp->num_reserved--;
    *item =
        (struct spool_outcome_item){.state = OUTCOME_QUEUED, .code = code, .rcpt = rcpt, .id = id};
    spool_entry_set_bit(sp, entry, rcpt);
    if (sp->is_failed) {
        item->state = OUTCOME_ENDED;
        item->err = ERR_IO;
        return ERR_OK;
    }
    if (sp->num_queued++ == 0) {
        sp->outcome_due_ms = sp->now_ms + sp->conf.outcome_delay_ms;
    }
    if (BROKEN(OUTCOME_EARLY)) {
        sp->num_queued--;
        item->state = OUTCOME_ENDED;
    }
    return ERR_OK;
}

bool spool_is_final(const struct spool *sp, uint64_t id, uint32_t rcpt)
{
    uint32_t entry = spool_entry_find(sp, id);
    return entry == SPOOL_NO_ENTRY || rcpt >= sp->slots[entry].entry.num_rcpts ||
           spool_entry_bit(sp, entry, rcpt);
}

void spool_outcome_write(struct spool *sp)
{
    uint32_t cursor = 0;
    for (struct spool_outcome_item *item; (item = each(sp, &cursor)) != NULL;) {
        if (item->state != OUTCOME_QUEUED) {
            continue;
        }
        if (spool_log_room(sp, 1, false) != ERR_OK) {
            sp->outcome_due_ms = sp->now_ms + sp->conf.outcome_delay_ms;
            return;
        }
        if (!BROKEN(OUTCOME_UNWRITTEN)) {
            spool_log_outcome(sp, item->id, item->rcpt, item->code);
        }
        item->state = OUTCOME_WRITTEN;
        item->batch = sp->batch_open;
        sp->num_queued--;
    }
}

void spool_outcome_batch_ok(struct spool *sp)
{
    uint32_t cursor = 0;
    for (struct spool_outcome_item *item; (item = each(sp, &cursor)) != NULL;) {
        if (item->state != OUTCOME_WRITTEN || item->batch != sp->batch_syncing) {
            continue;
        }
        item->state = OUTCOME_ENDED;
        sp->stats.num_outcomes++;
        uint32_t entry = spool_entry_find(sp, item->id);
        if (entry == SPOOL_NO_ENTRY) { /* lost to damage meanwhile */
            continue;
        }
        struct spool_entry *e = &sp->slots[entry].entry;
        if (++e->num_final == e->num_rcpts) {
            item->is_last = true;
            spool_entry_end(sp, entry);
        }
    }
}

void spool_outcome_batch_failed(struct spool *sp)
{
    uint32_t cursor = 0;
    for (struct spool_outcome_item *item; (item = each(sp, &cursor)) != NULL;) {
        if (item->state == OUTCOME_WRITTEN) {
            item->state = OUTCOME_QUEUED;
            sp->num_queued++;
            sp->outcome_due_ms = sp->now_ms;
        }
    }
}

void spool_outcome_storage_failed(struct spool *sp)
{
    uint32_t cursor = 0;
    for (struct spool_outcome_item *item; (item = each(sp, &cursor)) != NULL;) {
        if (item->state != OUTCOME_ENDED) {
            item->state = OUTCOME_ENDED;
            item->err = ERR_IO;
        }
    }
    sp->num_queued = 0;
}

bool spool_outcome_next_event(struct spool *sp, struct spool_event *out)
{
    uint32_t cursor = 0;
    if (sp->outcomes.num_used == 0) {
        return false;
    }
    for (struct spool_outcome_item *item; (item = each(sp, &cursor)) != NULL;) {
        if (item->state == OUTCOME_ENDED) {
            *out = (struct spool_event){.kind = SPOOL_OUTCOME_DURABLE,
                                        .err = item->err,
                                        .is_last = item->is_last,
                                        .rcpt = item->rcpt,
                                        .id = item->id};
            pool_give(&sp->outcomes, item);
            return true;
        }
    }
    return false;
}

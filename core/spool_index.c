/* The entries of live messages: 48 bytes each, found by id through a hash of chains. Called by the
 * rest of the spool; knows nothing of bytes on disk. */
#include "spool_inside.h"

_Static_assert(sizeof(union spool_slot) == 48, "SPOOL.md and the budgets say 48 bytes a message");

static struct spool_entry *entry_at(const struct spool *sp, uint32_t entry)
{
    return &sp->slots[entry].entry;
}

static uint32_t *bucket_of(const struct spool *sp, uint64_t id)
{
    uint64_t mixed = id * UINT64_C(0x9e3779b97f4a7c15);
    return &sp->hash[(uint32_t)(mixed >> 32) & sp->hash_mask];
}

uint32_t spool_entries_needed(uint32_t num_rcpts)
{
    return num_rcpts <= 64 ? 1 : 1 + (num_rcpts - 64 + MORE_BITS - 1) / MORE_BITS;
}

/* Index + 1, or 0. */
static uint32_t slot_take(struct spool *sp)
{
    uint32_t slot = sp->free_slot;
    if (slot != 0) {
        sp->free_slot = sp->slots[slot - 1].entry.next;
    } else if (sp->num_slots_fresh < sp->num_slots) {
        slot = ++sp->num_slots_fresh;
    } else {
        return 0;
    }
    sp->num_slots_used++;
    memset(&sp->slots[slot - 1], 0, sizeof sp->slots[0]);
    return slot;
}

static void slot_give(struct spool *sp, uint32_t slot)
{
    memset(&sp->slots[slot - 1], 0, sizeof sp->slots[0]);
    sp->slots[slot - 1].entry.next = sp->free_slot;
    sp->free_slot = slot;
    sp->num_slots_used--;
}

static void chain_give(struct spool *sp, uint32_t entry)
{
    uint32_t more = entry_at(sp, entry)->more;
    while (more != 0) {
        uint32_t next = sp->slots[more - 1].more.next;
        slot_give(sp, more);
        more = next;
    }
    slot_give(sp, entry + 1);
}

uint32_t spool_entry_take(struct spool *sp, uint64_t id, uint32_t num_rcpts)
{
    if (sp->num_slots - sp->num_slots_used < spool_entries_needed(num_rcpts)) {
        return SPOOL_NO_ENTRY;
    }
    uint32_t entry = slot_take(sp) - 1;
    struct spool_entry *e = entry_at(sp, entry);
    e->id = id;
    e->num_rcpts = (uint16_t)num_rcpts;
    e->flags = ENTRY_USED;
    e->commit_seg = e->first_seg = SPOOL_NONE;
    for (uint32_t i = 1; i < spool_entries_needed(num_rcpts); i++) {
        uint32_t more = slot_take(sp);
        sp->slots[more - 1].more.next = e->more;
        e->more = more;
    }
    return entry;
}

void spool_entry_insert(struct spool *sp, uint32_t entry)
{
    struct spool_entry *e = entry_at(sp, entry);
    uint32_t *bucket = bucket_of(sp, e->id);
    e->next = *bucket;
    e->flags |= ENTRY_HASHED;
    *bucket = entry + 1;
}

void spool_entry_hide(struct spool *sp, uint32_t entry)
{
    struct spool_entry *e = entry_at(sp, entry);
    if ((e->flags & ENTRY_HASHED) == 0) {
        return;
    }
    uint32_t *at = bucket_of(sp, e->id);
    while (*at != entry + 1) {
        at = &entry_at(sp, *at - 1)->next;
    }
    *at = e->next;
    e->flags &= (uint16_t)~ENTRY_HASHED;
}

void spool_entry_give(struct spool *sp, uint32_t entry)
{
    spool_entry_hide(sp, entry);
    if (entry_at(sp, entry)->first_seg != SPOOL_NONE) {
        sp->segs[entry_at(sp, entry)->first_seg].num_first--;
    }
    chain_give(sp, entry);
}

uint32_t spool_entry_find(const struct spool *sp, uint64_t id)
{
    for (uint32_t at = *bucket_of(sp, id); at != 0; at = entry_at(sp, at - 1)->next) {
        if (entry_at(sp, at - 1)->id == id) {
            return at - 1;
        }
    }
    return SPOOL_NO_ENTRY;
}

bool spool_holds(const struct spool *sp, uint64_t id)
{
    return spool_entry_find(sp, id) != SPOOL_NO_ENTRY;
}

static uint64_t *word_of(const struct spool *sp, uint32_t entry, uint32_t rcpt)
{
    struct spool_entry *e = entry_at(sp, entry);
    if (rcpt < 64) {
        return &e->bits;
    }
    uint32_t more = e->more;
    uint32_t left = rcpt - 64;
    for (; left >= MORE_BITS; left -= MORE_BITS) {
        more = sp->slots[more - 1].more.next;
    }
    return &sp->slots[more - 1].more.words[left / 64];
}

bool spool_entry_bit(const struct spool *sp, uint32_t entry, uint32_t rcpt)
{
    return (*word_of(sp, entry, rcpt) >> rcpt % 64 & 1) != 0;
}

void spool_entry_set_bit(struct spool *sp, uint32_t entry, uint32_t rcpt)
{
    *word_of(sp, entry, rcpt) |= UINT64_C(1) << rcpt % 64;
}

uint32_t spool_entry_count_bits(const struct spool *sp, uint32_t entry)
{
    uint32_t num = 0;
    for (uint32_t rcpt = 0; rcpt < entry_at(sp, entry)->num_rcpts; rcpt++) {
        num += spool_entry_bit(sp, entry, rcpt);
    }
    return num;
}

void spool_entry_place(struct spool *sp, uint32_t entry, const struct spool_copied *at)
{
    struct spool_entry *e = entry_at(sp, entry);
    if (e->first_seg != SPOOL_NONE) {
        sp->segs[e->first_seg].num_first--;
    }
    e->commit_seg = at->seg;
    e->commit_page = at->page;
    e->commit_offset = at->offset;
    e->version = at->version;
    e->first_seg = at->first_seg;
    sp->segs[e->first_seg].num_first++;
}

void spool_entry_end(struct spool *sp, uint32_t entry)
{
    struct spool_entry *e = entry_at(sp, entry);
    for (uint16_t i = 0; i < sp->num_segs; i++) {
        struct spool_seg *sg = &sp->segs[i];
        if (sg->is_data && sg->owner == e->id) {
            sg->owner = 0;
            if (sg->state == SEG_DATA) {
                spool_seg_free(sp, i);
            }
        }
    }
    sp->live_cost -= e->cost;
    sp->stats.num_messages--;
    spool_entry_give(sp, entry);
}

/* Levels that sink: see rate.h. */
#include "rate.h"

#define HOUR_MS (60u * 60 * 1000)

/* FNV-1a of 64 bits. */
static uint64_t mix(uint64_t hash, uint8_t byte)
{
    return (hash ^ byte) * UINT64_C(0x100000001b3);
}

uint64_t rate_key(const struct rates *r, uint8_t kind, struct slice bytes)
{
    uint64_t hash = mix(UINT64_C(0xcbf29ce484222325) ^ r->seed, kind);
    for (size_t i = 0; i < bytes.len; i++) {
        hash = mix(hash, bytes.ptr[i]);
    }
    return hash == 0 ? 1 : hash;
}

static struct rate *find(const struct rates *r, uint64_t key)
{
    for (uint32_t i = 0; i < r->num_items; i++) {
        if (r->items[i].key == key) {
            return &r->items[i];
        }
    }
    return NULL;
}

static uint64_t left_ms(const struct rate *item, uint64_t now_ms)
{
    uint64_t gone_ms = now_ms > item->at_ms ? now_ms - item->at_ms : 0;
    return item->level_ms > gone_ms ? item->level_ms - gone_ms : 0;
}

static uint32_t level_of(uint64_t level_ms, uint32_t per_hour)
{
    uint64_t one_ms = HOUR_MS / per_hour;
    one_ms = one_ms == 0 ? 1 : one_ms;
    return (uint32_t)((level_ms + one_ms - 1) / one_ms);
}

uint32_t rate_level(const struct rates *r, uint64_t key, uint32_t per_hour, uint64_t now_ms)
{
    const struct rate *item = find(r, key);
    return item == NULL ? 0 : level_of(left_ms(item, now_ms), per_hour);
}

uint32_t rate_count(struct rates *r, uint64_t key, uint32_t per_hour, uint64_t now_ms)
{
    struct rate *item = find(r, key);
    if (item == NULL) {
        item = r->items;
        for (uint32_t i = 1; i < r->num_items; i++) {
            if (left_ms(&r->items[i], now_ms) < left_ms(item, now_ms)) {
                item = &r->items[i];
            }
        }
        *item = (struct rate){.key = key};
    }
    uint64_t one_ms = HOUR_MS / per_hour;
    item->level_ms = left_ms(item, now_ms) + (one_ms == 0 ? 1 : one_ms);
    item->at_ms = now_ms;
    return level_of(item->level_ms, per_hour);
}

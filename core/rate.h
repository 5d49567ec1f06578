/* How much somebody has done lately: a bounded table of levels that sink by themselves.
 *
 * Each key has a level that rises by one when it is counted and sinks by so many an hour. When the
 * table is full, the key that would sink to nothing first is forgotten: whoever is over a limit is
 * not let go because many others have done little. A key is any bytes, mixed with
 * a seed that nobody else knows. Called by mta_auth and mta_submission. Base layer. */
#ifndef POSTERN_RATE_H
#define POSTERN_RATE_H

#include "slice.h"

struct rate {
    uint64_t key; /* 0: free */
    uint64_t at_ms;
    uint64_t level_ms; /* the level, as the time that it takes to sink to nothing */
};

struct rates {
    struct rate *items; /* the caller's memory, zeroed */
    uint32_t num_items;
    uint64_t seed;
};

/* Different kinds of counts for the same bytes are different keys. */
uint64_t rate_key(const struct rates *r, uint8_t kind, struct slice bytes);

/* The level, rounded up; per_hour is at least 1. */
uint32_t rate_level(const struct rates *r, uint64_t key, uint32_t per_hour, uint64_t now_ms);

/* Counts one more; the level then. */
uint32_t rate_count(struct rates *r, uint64_t key, uint32_t per_hour, uint64_t now_ms);

#endif

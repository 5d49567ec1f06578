/* Deadlines in monotonic milliseconds, in a binary heap over memory given once.
 *
 * A timer is embedded in what it is for; setting one again moves it. The composition root owns the
 * heap and asks for what is due; nothing is called back. Base layer. */
#ifndef POSTERN_TIMER_H
#define POSTERN_TIMER_H

#include "pool.h"

#define TIMER_NEVER UINT64_MAX

struct timer {
    uint64_t at_ms;
    uint32_t slot; /* place in the heap + 1; 0: not set. Zeroed memory is an unset timer */
    uint32_t kind; /* the owner's own mark */
    uint64_t tag;  /* the owner's handle: what to look up when it is due */
};

struct timers {
    struct timer **heap;
    uint32_t num;
    uint32_t cap;
};

bool timers_init(struct timers *ts, struct arena *a, uint32_t cap);

/* Sets or moves t to at_ms; kind and tag stay as they are. False if the heap is full (it is sized
 * so that it never is). */
bool timer_set(struct timers *ts, struct timer *t, uint64_t at_ms);
void timer_cancel(struct timers *ts, struct timer *t);

/* The earliest deadline, TIMER_NEVER if none is set. */
uint64_t timers_next_ms(const struct timers *ts);

/* The earliest timer whose deadline is at or before now_ms, unset and returned; NULL if none is
 * due. */
struct timer *timers_due(struct timers *ts, uint64_t now_ms);

#endif

/* The heap of deadlines: see timer.h. */
#include "timer.h"

#include "teeth.h"

bool timers_init(struct timers *ts, struct arena *a, uint32_t cap)
{
    ts->heap = arena_take(a, sizeof *ts->heap * cap);
    ts->num = 0;
    ts->cap = cap;
    return ts->heap != NULL;
}

static void place(struct timers *ts, uint32_t i, struct timer *t)
{
    ts->heap[i] = t;
    t->slot = i + 1;
}

static void sift_up(struct timers *ts, uint32_t i, struct timer *t)
{
    while (i > 0) {
        uint32_t parent = (i - 1) / 2;
        if (ts->heap[parent]->at_ms <= t->at_ms) {
            break;
        }
        place(ts, i, ts->heap[parent]);
        i = parent;
    }
    place(ts, i, t);
}

static void sift_down(struct timers *ts, uint32_t i, struct timer *t)
{
    for (;;) {
        uint32_t child = 2 * i + 1;
        if (child >= ts->num) {
            break;
        }
        if (child + 1 < ts->num && ts->heap[child + 1]->at_ms < ts->heap[child]->at_ms) {
            child++;
        }
        if (ts->heap[child]->at_ms >= t->at_ms) {
            break;
        }
        place(ts, i, ts->heap[child]);
        i = child;
    }
    place(ts, i, t);
}

static void settle(struct timers *ts, uint32_t i, struct timer *t)
{
    if (i > 0 && ts->heap[(i - 1) / 2]->at_ms > t->at_ms) {
        sift_up(ts, i, t);
    } else {
        sift_down(ts, i, t);
    }
}

bool timer_set(struct timers *ts, struct timer *t, uint64_t at_ms)
{
    if (t->slot == 0) {
        if (ts->num == ts->cap) {
            return false;
        }
        place(ts, ts->num++, t);
    }
    t->at_ms = at_ms;
    settle(ts, t->slot - 1, t);
    return true;
}

void timer_cancel(struct timers *ts, struct timer *t)
{
    if (t->slot == 0) {
        return;
    }
    uint32_t i = t->slot - 1;
    t->slot = 0;
    struct timer *last = ts->heap[--ts->num];
    if (last != t && !BROKEN(TIMER_LOST)) {
        settle(ts, i, last);
    }
}

uint64_t timers_next_ms(const struct timers *ts)
{
    return ts->num == 0 ? TIMER_NEVER : ts->heap[0]->at_ms;
}

struct timer *timers_due(struct timers *ts, uint64_t now_ms)
{
    if (ts->num == 0 || ts->heap[0]->at_ms > now_ms) {
        return NULL;
    }
    struct timer *t = ts->heap[0];
    timer_cancel(ts, t);
    return t;
}

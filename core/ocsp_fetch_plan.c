/* The arithmetic of when to fetch: see ocsp_fetch_plan.h. */
#include "ocsp_fetch_plan.h"

static bool is_same_life(const struct fetch_life *a, const struct fetch_life *b)
{
    return a->exists == b->exists &&
           (!a->exists ||
            (a->begin_s == b->begin_s && a->end_s == b->end_s && a->is_refusal == b->is_refusal));
}

/* A number from 0 to max, from 32 random bits. */
static uint64_t lot(uint32_t random, uint64_t max)
{
    return max < UINT32_MAX ? (uint64_t)random * (max + 1) >> 32 : random;
}

void fetch_plan_set_life(struct fetch_plan *p, const struct fetch_life *life, uint32_t random)
{
    if (is_same_life(&p->life, life)) {
        return;
    }
    p->life = *life;
    p->refresh_at_s = life->begin_s;
    if (life->exists && life->end_s > life->begin_s) {
        uint64_t len_s = (uint64_t)life->end_s - (uint64_t)life->begin_s;
        uint64_t at_s = len_s / 2 - len_s / 20 + lot(random, len_s / 10);
        p->refresh_at_s = (int64_t)((uint64_t)life->begin_s + at_s);
    }
}

void fetch_plan_taken(struct fetch_plan *p, const struct fetch_life *life,
                      const struct tls_time *now, uint32_t random)
{
    fetch_plan_set_life(p, life, random);
    p->num_failures = 0;
    p->not_before_ms = now->now_ms + UINT64_C(1000) * FETCH_RETRY_MIN_S;
    if (now->wall_set && now->wall_s >= p->refresh_at_s && now->wall_s < life->end_s) {
        uint64_t left_s = (uint64_t)life->end_s - (uint64_t)now->wall_s;
        p->refresh_at_s = (int64_t)((uint64_t)now->wall_s + left_s / 4);
    }
}

static bool is_in_force(const struct fetch_plan *p, const struct tls_time *now)
{
    return p->life.exists && now->wall_set && now->wall_s >= p->life.begin_s &&
           now->wall_s < p->life.end_s;
}

void fetch_plan_failed(struct fetch_plan *p, const struct tls_time *now, uint32_t random)
{
    uint64_t wait_s = FETCH_RETRY_MIN_S, max_s = FETCH_RETRY_LAPSED_S;
    for (uint32_t i = 0; i < p->num_failures && wait_s < FETCH_RETRY_MAX_S; i++) {
        wait_s *= 2;
    }
    if (is_in_force(p, now)) {
        max_s = ((uint64_t)p->life.end_s - (uint64_t)now->wall_s) / 8;
        max_s = max_s > FETCH_RETRY_MAX_S ? FETCH_RETRY_MAX_S : max_s;
        max_s = max_s < FETCH_RETRY_MIN_S ? FETCH_RETRY_MIN_S : max_s;
    }
    wait_s = wait_s < max_s ? wait_s : max_s;
    p->num_failures += p->num_failures < UINT32_MAX;
    p->not_before_ms = now->now_ms + wait_s * 750 + lot(random, wait_s * 500);
}

uint64_t fetch_plan_next_ms(const struct fetch_plan *p, const struct tls_time *now, bool *out_due)
{
    uint64_t look_ms = now->now_ms + FETCH_LOOK_MS;
    *out_due = false;
    if (!now->wall_set) {
        return look_ms;
    }
    if (is_in_force(p, now) && now->wall_s < p->refresh_at_s) {
        uint64_t left_s = (uint64_t)p->refresh_at_s - (uint64_t)now->wall_s;
        return left_s < FETCH_LOOK_MS / 1000 ? now->now_ms + left_s * 1000 : look_ms;
    }
    *out_due = p->not_before_ms <= now->now_ms;
    /* Until then the clock may step to where nothing is due. */
    return *out_due || p->not_before_ms < look_ms ? p->not_before_ms : look_ms;
}

/* When to fetch the next proof: the arithmetic of ocsp_fetch, pure.
 *
 * A proof is renewed at half of its life, give or take a twentieth by lot. A failure is followed by
 * a wait that doubles from one minute to one hour, never longer than an eighth of what the proof
 * has left, nor than ten minutes once there is none in force; a quarter by lot either way. Nothing
 * is fetched while the wall clock is not trusted, as nothing could be judged. What depends on the
 * wall clock is looked at every minute, so a clock that steps is noticed; waits after failures are
 * counted in running time, which does not step. */
#ifndef POSTERN_OCSP_FETCH_PLAN_H
#define POSTERN_OCSP_FETCH_PLAN_H

#include "tls.h"

#define FETCH_LOOK_MS        60000
#define FETCH_RETRY_MIN_S    60
#define FETCH_RETRY_MAX_S    3600
#define FETCH_RETRY_LAPSED_S 600

/* From begin_s on and before end_s, Unix seconds: of a proof's verdict. */
struct fetch_life {
    bool exists; /* false: there is no proof */
    int64_t begin_s;
    int64_t end_s;
    bool is_refusal; /* it says revoked: renewed like any other, and never served */
};

/* Zeroed memory: no proof, due at once. */
struct fetch_plan {
    struct fetch_life life;
    int64_t refresh_at_s;
    uint32_t num_failures; /* since the last success */
    uint64_t not_before_ms;
};

/* What is in force now. The same life again changes nothing, so this may be said at any time. */
void fetch_plan_set_life(struct fetch_plan *p, const struct fetch_life *life, uint32_t random);

/* A fetch brought the proof that is in force now. One that was past half of its life when it came
 * waits for a quarter of the rest, as the responder has no newer one yet. */
void fetch_plan_taken(struct fetch_plan *p, const struct fetch_life *life,
                      const struct tls_time *now, uint32_t random);

/* A fetch brought nothing that is in force now. */
void fetch_plan_failed(struct fetch_plan *p, const struct tls_time *now, uint32_t random);

/* When to fetch. At or before now->now_ms: now (*out_due); else when to ask again. */
uint64_t fetch_plan_next_ms(const struct fetch_plan *p, const struct tls_time *now, bool *out_due);

#endif

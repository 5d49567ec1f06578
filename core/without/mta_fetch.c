/* In a build without fetch: proofs come from files alone, and nobody watches how long they last. */
#include "mta_inside.h"

enum err fetch_open(struct mta *m, struct arena *a)
{
    (void)m;
    (void)a;
    return ERR_OK;
}

void fetch_use(struct mta *m, const struct conf *conf)
{
    (void)m;
    (void)conf;
}

void fetch_step(struct mta *m)
{
    (void)m;
}

void fetch_put_check(struct mta *m, struct buf *out)
{
    (void)m;
    (void)out;
}

uint64_t fetch_deadline_ms(const struct mta *m)
{
    (void)m;
    return UINT64_MAX;
}

bool fetch_next_s(const struct mta *m, size_t set, size_t pair, int64_t *out_s)
{
    (void)m;
    (void)set;
    (void)pair;
    (void)out_s;
    return false;
}

void ocsp_fetch_close(struct ocsp_fetch *f)
{
    (void)f;
}

/* In a build without outgoing: no mail is sent on. route_list can name no way to another server;
 * what an earlier build has left in the spool waits for one that can. */
#include "deliver_smtp.h"

size_t deliver_smtp_memory_len(void)
{
    return 0;
}

enum err deliver_smtp_open(struct deliver_smtp **out, struct arena *a,
                           const struct deliver_smtp_env *env)
{
    (void)a;
    (void)env;
    *out = NULL;
    return ERR_OK;
}

void deliver_smtp_set_conf(struct deliver_smtp *d, const struct conf *conf, struct slice hostname)
{
    (void)d;
    (void)conf;
    (void)hostname;
}

enum deliver_smtp_may deliver_smtp_may_start(const struct deliver_smtp *d,
                                             const struct route_item *route, struct slice domain,
                                             uint64_t now_ms,
                                             const struct deliver_reason_row **out_why)
{
    static const struct deliver_reason_row why = {
        "not-in-this-build", "This server is built without sending.", {4, 3, 3}};
    (void)d;
    (void)route;
    (void)domain;
    (void)now_ms;
    if (out_why != NULL) {
        *out_why = &why;
    }
    return DELIVER_SMTP_BACK_OFF;
}

void deliver_smtp_forget_failures(struct deliver_smtp *d)
{
    (void)d;
}

struct smtp_job *deliver_smtp_start(struct deliver_smtp *d, const struct smtp_order *order,
                                    uint64_t now_ms)
{
    (void)d;
    (void)order;
    (void)now_ms;
    return NULL;
}

struct smtp_job *deliver_smtp_ended(struct deliver_smtp *d)
{
    (void)d;
    return NULL;
}

void deliver_smtp_give(struct deliver_smtp *d, struct smtp_job *job)
{
    (void)d;
    (void)job;
}

uint32_t deliver_smtp_num_left(const struct deliver_smtp *d)
{
    (void)d;
    return 0;
}

void deliver_smtp_event(struct deliver_smtp *d, uint64_t tag)
{
    (void)d;
    (void)tag;
}

void deliver_smtp_timer(struct deliver_smtp *d, struct timer *t)
{
    (void)d;
    (void)t;
}

bool deliver_smtp_step(struct deliver_smtp *d, const struct tls_time *now, struct buf scratch,
                       bool may_shake, bool *out_shook)
{
    (void)d;
    (void)now;
    (void)scratch;
    (void)may_shake;
    *out_shook = false;
    return false;
}

bool deliver_smtp_wants_shake(const struct deliver_smtp *d)
{
    (void)d;
    return false;
}

bool deliver_smtp_has_turns(const struct deliver_smtp *d)
{
    (void)d;
    return false;
}

void deliver_smtp_use_tls(struct deliver_smtp *d, struct tls_env *env, struct tls_trust *trust)
{
    (void)d;
    (void)env;
    (void)trust;
}

bool deliver_smtp_wants_tls(const struct deliver_smtp *d)
{
    (void)d;
    return false;
}

void deliver_smtp_stop(struct deliver_smtp *d)
{
    (void)d;
}

bool deliver_smtp_is_idle(const struct deliver_smtp *d)
{
    (void)d;
    return true;
}

void deliver_smtp_close(struct deliver_smtp *d)
{
    (void)d;
}

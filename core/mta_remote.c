/* Mail that is sent on, as part of the server: the service deliver_smtp, its TLS, its turn. Called
 * by the step, and where options come into force. */
#include "mta_inside.h"

#include "tls_client.h"

#define TRUST_LOOK_MS 5000 /* between two looks */
#define TLS_AGAIN_MS  60000

const struct queue_remote remote_for_queue = {
    .may_start = deliver_smtp_may_start,
    .start = deliver_smtp_start,
    .ended = deliver_smtp_ended,
    .give = deliver_smtp_give,
    .hurry = deliver_smtp_forget_failures,
    .num_left = deliver_smtp_num_left,
};

enum err remote_open(struct mta *m, struct arena *a)
{
    const struct conf *conf = &m->site->conf;
    struct deliver_smtp_env env = {
        .port = m->port,
        .timers = &m->timers,
        .spool = m->spool,
        .conf = conf,
        .hostname = conf->primary_hostname,
        .resolv_conf_path = m->start->resolv_conf_path,
        .hosts_path = m->start->hosts_path,
        .timer_kind = TIMER_REMOTE,
        .tag_mark = TAG_REMOTE,
    };
    enum err err = deliver_smtp_open(&m->remote, a, &env);
    if (err == ERR_OK && m->has_tls_env) {
        deliver_smtp_use_tls(m->remote, &m->tls_env, m->trust.servers);
    }
    return err;
}

void remote_use_trust(struct mta *m, struct tls_trust *trust)
{
    if (m->remote != NULL) {
        deliver_smtp_use_tls(m->remote, &m->tls_env, trust);
    }
}

void remote_use(struct mta *m, const struct conf *conf)
{
    if (m->remote != NULL) {
        deliver_smtp_set_conf(m->remote, conf, conf->primary_hostname);
    }
}

/* The first message that is sent on brings up TLS, in a server that has had none. */
static void bring_up_tls(struct mta *m)
{
    uint8_t bytes[256];
    struct buf errors = buf_make(bytes, sizeof bytes);
    if (m->has_tls_env || m->now_ms < m->tls_again_ms || !deliver_smtp_wants_tls(m->remote)) {
        return;
    }
    if (site_open_env(m, &m->site->conf, &errors) == ERR_OK) {
        deliver_smtp_use_tls(m->remote, &m->tls_env, NULL);
    } else {
        m->tls_again_ms = m->now_ms + TLS_AGAIN_MS;
        report_text(m, LOG_ERROR, "tls", buf_slice(&errors));
    }
}

/* Files of authorities may have changed while nothing was sent. */
static void look_at_trust(struct mta *m)
{
    if (m->has_tls_env && !deliver_smtp_is_idle(m->remote) && m->now_ms >= m->trust_look_ms) {
        m->trust_look_ms = m->now_ms + TRUST_LOOK_MS;
        trust_refresh(m);
    }
}

bool remote_step(struct mta *m, bool may_shake)
{
    struct tls_time now = mta_tls_time(m);
    bring_up_tls(m);
    look_at_trust(m);
    return deliver_smtp_step(m->remote, &now, buf_make(m->scratch, BUDGET_PIECE_LEN), may_shake,
                             &m->remote_shook);
}

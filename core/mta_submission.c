/* Submission (RFC 6409): who may send as whom and how much, and what a message's header lacks. */
#include "mta_inside.h"

bool conn_may_relay(const struct mta *m, const struct conn *c)
{
    return BROKEN(RELAY_FOR_ALL) || c->local != NULL || c->user != NULL || trust_may_relay(m, c) ||
           hostlist_match(&m->site->conf.relay_from_hosts, &c->peer);
}

bool conn_is_submission(const struct mta *m, const struct conn *c)
{
    return conf_has_port(&m->site->conf.submission_ports, c->local_port);
}

/* per_hour 0: no limit. */
struct limit {
    uint64_t key;
    uint32_t per_hour;
};

static bool is_reached(const struct mta *m, const struct limit *l)
{
    return l->per_hour != 0 && !BROKEN(MESSAGES_UNLIMITED) &&
           rate_level(&m->rates, l->key, l->per_hour, m->now_ms) >= l->per_hour;
}

static void count(struct mta *m, const struct limit *l)
{
    if (l->per_hour != 0) {
        rate_count(&m->rates, l->key, l->per_hour, m->now_ms);
    }
}

bool submission_count(struct mta *m, uint64_t key, uint32_t per_hour)
{
    const struct limit limit = {key, per_hour};
    if (is_reached(m, &limit)) {
        return false;
    }
    count(m, &limit);
    return true;
}

bool submission_count_message(struct mta *m, const struct conn *c)
{
    const struct conf *conf = &m->site->conf;
    struct limit host = {0, 0}, user = {0, 0};
    if (conn_is_submission(m, c)) {
        host = (struct limit){rate_key_of_peer(m, RATE_HOST, &c->peer), conf->submission_host_rate};
    }
    if (c->user != NULL) {
        struct slice name = slice_make(c->user->name, c->user->name_len);
        user = (struct limit){rate_key(&m->rates, RATE_USER, name), conf->submission_user_rate};
    }
    /* What one of them refuses counts for neither: else a user who tries on takes the address away
     * from everybody else there. */
    if (is_reached(m, &host) || is_reached(m, &user)) {
        return false;
    }
    count(m, &host);
    count(m, &user);
    return true;
}

/* The null path is nobody's, and taken from all: reports on delivery and reading have it. */
static bool may_send_as(const struct mta_user *user, const struct address *sender)
{
    struct slice senders = slice_make(user->senders, user->senders_len);
    return senders.len == 0 || sender->text.len == 0 ||
           auth_senders_hold(senders, sender->local, sender->domain);
}

enum smtpd_verdict submission_verdict(const struct mta *m, const struct conn *c,
                                      const struct address *sender)
{
    if (conn_is_submission(m, c) && !conn_may_relay(m, c)) {
        return SMTPD_NEEDS_AUTH;
    }
    return c->user != NULL && !may_send_as(c->user, sender) ? SMTPD_NOT_YOURS : SMTPD_OK;
}

static enum err store_fields(struct mta *m, struct txn *t, const struct submission *s)
{
    uint8_t bytes[SUBMISSION_FIELDS_MAX], id_bytes[SPOOL_ID_TEXT_LEN];
    struct buf fields = buf_make(bytes, sizeof bytes), id = buf_make(id_bytes, sizeof id_bytes);
    spool_id_put(&id, spool_txn_id(m->spool, t->spool_txn));
    submission_put_fields(&fields, s,
                          t->received_s != 0 ? t->received_s : wall_time_guess(&m->wall),
                          buf_slice(&id), m->smtp_env.hostname);
    return spool_append(m->spool, t->spool_txn, buf_slice(&fields));
}

/* What is stored is stored: the filter moves on only with it, so that ERR_AGAIN may be followed by
 * the same again. */
static enum err step(struct mta *m, struct txn *t, struct slice *body, bool is_end, bool *out_more)
{
    struct submission s = t->submission;
    struct slice rest = *body, out = {NULL, 0};
    enum err err = ERR_OK;
    enum submission_event event =
        is_end ? submission_end(&s, &out) : submission_next(&s, &rest, &out);
    if (event == SUBMISSION_STORE) {
        err = spool_append(m->spool, t->spool_txn, out);
    } else if (event == SUBMISSION_FIELDS) {
        err = store_fields(m, t, &s);
    }
    if (err == ERR_OK) {
        t->submission = s;
        *body = rest;
    }
    *out_more = event != SUBMISSION_MORE;
    return err;
}

enum err submission_store(struct mta *m, struct txn *t, struct slice *body, bool is_end)
{
    enum err err = ERR_OK;
    bool more = t->is_submission;
    if (!more && !is_end) {
        return spool_append(m->spool, t->spool_txn, *body);
    }
    while (more && err == ERR_OK) {
        err = step(m, t, body, is_end, &more);
    }
    return err;
}

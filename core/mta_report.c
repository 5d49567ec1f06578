/* Log lines of the composition root: one for each connection, message and refusal, key=value. */
#include "mta_inside.h"

void report_line(struct mta *m, enum log_level level, struct log_line *line)
{
    m->port->log.line(m->port->log.ctx, level, log_end(line));
}

#define LIMIT_TOLD_MS (10u * 60 * 1000)

/* Counts the line, if it may still be written. */
static bool count_line(struct mta *m, const struct net_addr *peer)
{
    struct rates *r = &m->log_limit.rates;
    uint32_t per_hour = m->site->conf.log_host_rate;
    const uint64_t keys[] = {rate_key_of_peer(m, RATE_LOG_HOST, peer),
                             rate_key(&m->rates, RATE_LOG_ALL, slice_make(NULL, 0))};
    if (per_hour == 0) {
        return true;
    }
    if (rate_level(r, keys[0], per_hour, m->now_ms) >= per_hour ||
        rate_level(r, keys[1], 10 * per_hour, m->now_ms) >= 10 * per_hour) {
        return false;
    }
    rate_count(r, keys[0], per_hour, m->now_ms);
    rate_count(r, keys[1], 10 * per_hour, m->now_ms);
    return true;
}

void report_stranger(struct mta *m, const struct net_addr *peer, enum log_level level,
                     struct log_line *line)
{
    struct log_limit *l = &m->log_limit;
    if (level > site_log_level(m) || count_line(m, peer)) {
        report_line(m, level, line);
        return;
    }
    l->num_left_out++;
    if (l->has_told && m->now_ms - l->told_ms < LIMIT_TOLD_MS) {
        return;
    }
    struct log_line told;
    log_begin(&told, "log-limit");
    report_addr(&told, "peer", peer);
    log_u64(&told, "left_out", l->num_left_out);
    report_line(m, LOG_WARNING, &told);
    l->has_told = true;
    l->told_ms = m->now_ms;
    l->num_left_out = 0;
}

void report_addr(struct log_line *line, const char *key, const struct net_addr *addr)
{
    uint8_t bytes[48];
    struct buf text = buf_make(bytes, sizeof bytes);
    net_addr_put(&text, addr);
    log_slice(line, key, buf_slice(&text));
}

void report_peer(struct log_line *line, const struct net_addr *addr, const struct port_user *local)
{
    if (local == NULL) {
        report_addr(line, "peer", addr);
        return;
    }
    log_word(line, "peer", "local");
    log_u64(line, "uid", local->uid);
}

/* tls=, cipher= and what became of the staple, or tls=none. */
static void put_tls(struct log_line *line, const struct conn *c)
{
    if (c == NULL || c->tls == NULL || tls_info(c->tls)->version[0] == 0) {
        log_word(line, "tls", "none");
        return;
    }
    static const char *const client_certs[] = {
        [TLS_CLIENT_CERT_BAD] = "not-trusted",
        [TLS_CLIENT_CERT_OUT_OF_DATE] = "out-of-date",
        [TLS_CLIENT_CERT_UNLISTED] = "no-revocation-list",
        [TLS_CLIENT_CERT_REVOKED] = "revoked",
        [TLS_CLIENT_CERT_GOOD] = "verified",
    };
    const struct tls_info *info = tls_info(c->tls);
    uint8_t bytes[48];
    struct buf text = buf_make(bytes, sizeof bytes);
    log_word(line, "tls", info->version);
    log_word(line, "cipher", info->cipher);
    if (info->client_cert != TLS_CLIENT_CERT_NONE) {
        uint8_t id_bytes[2 * TLS_CLIENT_ID_LEN];
        struct buf id = buf_make(id_bytes, sizeof id_bytes);
        trust_put_id(&id, c);
        log_word(line, "client_certificate", client_certs[info->client_cert]);
        log_slice(line, "certificate_sha256", buf_slice(&id));
    }
    if (info->resumed) {
        log_word(line, "resumed", "yes");
    }
    switch (info->staple) {
    case TLS_STAPLE_NOT_ASKED:
        buf_put_string(&text, "not-asked");
        break;
    case TLS_STAPLE_SERVED:
        buf_put_string(&text, "served");
        break;
    case TLS_STAPLE_NONE:
        buf_put_string(&text, "none:");
        buf_put_string(&text, ocsp_reason_name(info->staple_reason));
        break;
    }
    log_slice(line, "ocsp", buf_slice(&text));
}

void report_connection(struct mta *m, const struct conn *c)
{
    struct log_line line;
    log_begin(&line, "connection");
    report_peer(&line, &c->peer, c->local);
    if (c->proxy.family != NET_NONE) {
        report_addr(&line, "proxy", &c->proxy);
    }
    log_u64(&line, "port", c->local_port);
    put_tls(&line, c);
    if (c->tls != NULL && tls_info(c->tls)->failure != NULL) {
        log_word(&line, "tls_failure", tls_info(c->tls)->failure);
        if (tls_info(c->tls)->alert != 0) {
            log_u64(&line, "tls_alert", tls_info(c->tls)->alert);
        }
    }
    uint8_t bytes[320]; /* the longest host name, and what stands around it */
    struct buf refusal = buf_make(bytes, sizeof bytes);
    if (smtpd_put_last_refusal(&refusal, &c->smtp)) { /* why there was no mail, as a rule */
        log_peer_text(&line, "refused", buf_slice(&refusal));
    }
    log_u64(&line, "messages", c->num_messages);
    log_u64(&line, "ms", m->now_ms - c->opened_ms);
    log_word(&line, "end", smtpd_reason_name(c->end_reason));
    log_peer_text(&line, "helo", smtpd_helo(&c->smtp)); /* last, as in report_message */
    if (c->num_messages != 0 || c->user != NULL || c->local != NULL) {
        report_line(m, LOG_INFO, &line);
    } else {
        report_stranger(m, &c->peer, LOG_INFO, &line);
    }
}

static void put_user(struct log_line *line, const struct conn *c)
{
    if (c != NULL && c->user != NULL) {
        log_peer_text(line, "user", slice_make(c->user->name, c->user->name_len));
    }
}

static void put_sender(struct log_line *line, const struct txn *t)
{
    struct envelope_cursor cursor;
    struct envelope_entry entry;
    if (t != NULL && envelope_find(&t->envelope, ENVELOPE_SENDER, &cursor, &entry)) {
        log_peer_text(line, "from", entry.sender);
    }
}

void report_message(struct mta *m, const struct conn *c, const struct txn *t,
                    const struct spool_event *event)
{
    struct log_line line;
    log_begin(&line, "message");
    spool_id_log(&line, "id", event->id);
    if (c != NULL) {
        report_peer(&line, &c->peer, c->local);
    } else if (t != NULL && t->is_of_outbox) {
        report_peer(&line, NULL, &m->outbox.owner);
    }
    log_word(&line, "result", event->err == ERR_OK ? "accepted" : "failed");
    if (event->err != ERR_OK) {
        log_word(&line, "reason", err_name(event->err));
    }
    log_u64(&line, "size", event->meta.total_len - event->meta.envelope_len);
    log_u64(&line, "rcpts", event->meta.num_rcpts);
    put_tls(&line, c);
    put_user(&line, c);
    put_sender(&line, t); /* what the peer chose goes last: a line that is too long is cut there */
    if (c != NULL) {
        log_peer_text(&line, "helo", smtpd_helo(&c->smtp));
    }
    report_line(m, event->err == ERR_OK ? LOG_INFO : LOG_ERROR, &line);
}

void report_refusal(struct mta *m, const struct conn *c, const char *reason)
{
    struct log_line line;
    log_begin(&line, "message");
    report_peer(&line, &c->peer, c->local);
    log_word(&line, "result", "failed");
    log_word(&line, "reason", reason);
    put_sender(&line, c->txn);
    report_stranger(m, &c->peer, LOG_WARNING, &line);
}

void report_rcpt(struct mta *m, const struct conn *c, enum log_level level, const char *reason,
                 struct slice address)
{
    struct log_line line;
    log_begin(&line, "recipient");
    report_peer(&line, &c->peer, c->local);
    log_word(&line, "result", "refused");
    log_word(&line, "reason", reason);
    log_peer_text(&line, "to", address);
    put_sender(&line, c->txn);
    report_stranger(m, &c->peer, level, &line);
}

void report_text(struct mta *m, enum log_level level, const char *event, struct slice text)
{
    while (!slice_is_empty(text)) {
        const uint8_t *end = memchr(text.ptr, '\n', text.len);
        size_t len = end == NULL ? text.len : (size_t)(end - text.ptr);
        struct log_line line;
        log_begin(&line, event);
        log_peer_text(&line, "text", slice_make(text.ptr, len));
        report_line(m, level, &line);
        slice_skip(&text, len + (end != NULL));
    }
}

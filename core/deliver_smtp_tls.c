/* TLS towards a server: what the options want of it, the handshake, the proof. See
 * deliver_smtp_inside.h.
 *
 * Whatever is required is never done without: a server that must show a verified certificate or a
 * proof and does not is left, and nothing goes to it in plaintext. Only where TLS is a courtesy, a
 * handshake that fails is followed by a connection without it. */
#include "deliver_smtp_inside.h"

#define HANDSHAKE_LEN (32u * 1024) /* of heap, at its peak */

static bool is_listed(const struct peerlist *list, const struct remote_conn *c)
{
    return !c->host.is_socket && peerlist_match(list, c->host.name, &c->addr);
}

static void copy_text(uint8_t *to, struct slice text, struct slice *out)
{
    *out = slice_make(to, text.len);
    if (text.len != 0) {
        memcpy(to, text.ptr, text.len);
    }
}

/* Whether others can know it: a name of one label is that of every device as it was delivered. */
static bool is_whole_name(struct slice name)
{
    return name.ptr[0] == '[' || memchr(name.ptr, '.', name.len) != NULL;
}

/* What we greet with: one without such a name has an address literal (RFC 5321 2.3.5, 4.1.4). */
static struct slice own_name(const struct deliver_smtp *d, struct remote_conn *c)
{
    const struct port_net *net = &d->env.port->net;
    struct buf literal = buf_make(c->own_literal, sizeof c->own_literal);
    struct net_addr at;
    if (is_whole_name(d->env.hostname) || remote_dest_is_lmtp(c->dest) ||
        net->local_addr(net->ctx, &at, c->handle) != ERR_OK) {
        return d->env.hostname;
    }
    net_addr_put_literal(&literal, &at);
    return buf_slice(&literal);
}

void remote_decide(struct deliver_smtp *d, struct remote_conn *c)
{
    const struct conf *conf = d->env.conf;
    struct remote_policy *p = &c->policy;
    const struct conf_login *login = conf_find_login(conf, c->host.name);
    struct smtp_client_conf session = {
        .hostname = own_name(d, c),
        .is_lmtp = remote_dest_is_lmtp(c->dest),
        /* A filter on this machine has our name, at a port of its own. */
        .shuns_itself =
            !remote_dest_is_lmtp(c->dest) && c->host.port == 25 && is_whole_name(d->env.hostname),
    };
    *p = (struct remote_policy){.requires_proof = is_listed(&conf->hosts_require_ocsp, c)};
    p->must_verify =
        p->requires_proof || login != NULL || is_listed(&conf->remote_tls_verify_hosts, c);
    p->requires_tls =
        p->must_verify || c->host.implicit_tls || is_listed(&conf->hosts_require_tls, c);
    p->avoids_tls = !p->requires_tls &&
                    (c->without_tls || c->host.is_socket || is_listed(&conf->hosts_avoid_tls, c));
    p->may_verify = is_listed(&conf->remote_tls_try_verify_hosts, c);
    p->asks_proof = p->requires_proof || is_listed(&conf->hosts_request_ocsp, c);
    if (BROKEN(PLAINTEXT_AFTER_TLS_FAILS) && c->without_tls) {
        p->requires_tls = false;
        p->avoids_tls = true;
    }
    session.tls = c->host.implicit_tls              ? SMTP_CLIENT_TLS_ON
                  : p->requires_tls                 ? SMTP_CLIENT_TLS_REQUIRED
                  : p->avoids_tls || d->tls == NULL ? SMTP_CLIENT_TLS_NEVER
                                                    : SMTP_CLIENT_TLS_IF_OFFERED;
    if (login != NULL) {
        copy_text(c->user, login->user, &session.user);
        copy_text(c->password, login->password, &session.password);
        session.random = slice_make(c->random, sizeof c->random);
        if (d->env.port->entropy.fill(d->env.port->entropy.ctx, c->random, sizeof c->random) !=
            ERR_OK) {
            session.random.len = 0; /* then the login fails */
        }
    }
    smtp_client_begin(&c->client, &session, buf_make(c->out_bytes, sizeof c->out_bytes));
}

/* It failed in or before the handshake. */
static void tls_failed(struct deliver_smtp *d, struct remote_conn *c, enum deliver_reason why)
{
    c->why = (uint8_t)why;
    c->has_answer = false;
    if ((c->policy.requires_tls && !BROKEN(PLAINTEXT_AFTER_TLS_FAILS)) ||
        why == DELIVER_NO_RESOURCES) {
        remote_try_failed(d, c, why);
        return;
    }
    remote_report_try(d, c);
    c->without_tls = true;
    remote_try_again(d, c);
}

/* False: it has failed, and another try is under way. */
static bool open_session(struct deliver_smtp *d, struct remote_conn *c)
{
    bool verifies = c->policy.must_verify || c->policy.may_verify;
    struct tls_client_options options = {
        .server_name = c->host.name,
        .trust = verifies ? d->trust : NULL,
        .ask_proof = c->policy.asks_proof,
        .may_fail = !c->policy.must_verify || BROKEN(CHAIN_UNVERIFIED),
    };
    if (tls_open_client(&c->tls, d->tls, &options) != ERR_OK) {
        remote_try_failed(d, c, DELIVER_NO_RESOURCES);
        return false;
    }
    if (options.trust != NULL) {
        c->trust = tls_trust_keep(d->trust);
    }
    c->is_shaking = true;
    d->num_shaking++;
    c->awaits_input = false;
    return true;
}

/* Several handshakes that hold all memory between them would wait for each other. */
static bool has_memory(const struct deliver_smtp *d)
{
    const struct heap *heap = d->tls->heap;
    return heap->total_len - heap->used_len >= (d->num_shaking + 1u) * HANDSHAKE_LEN;
}

static void leave_handshake(struct deliver_smtp *d, struct remote_conn *c)
{
    d->num_shaking -= c->is_shaking;
    c->is_shaking = false;
}

void remote_tls_begin(struct deliver_smtp *d, struct remote_conn *c)
{
    if (d->tls == NULL || (c->policy.must_verify && d->trust == NULL)) {
        tls_failed(d, c, c->policy.must_verify ? DELIVER_UNVERIFIED : DELIVER_TLS_FAILED);
        return;
    }
    if (c->policy.requires_proof && !d->now.wall_set) {
        tls_failed(d, c, DELIVER_CLOCK_NOT_SET);
        return;
    }
    c->phase = REMOTE_HANDSHAKE;
    remote_set_deadline(d, c, d->env.conf->tls_handshake_timeout_ms);
    remote_wake(d, c);
}

void remote_tls_end(struct deliver_smtp *d, struct remote_conn *c)
{
    leave_handshake(d, c);
    if (c->tls.env != NULL) {
        tls_free(&c->tls);
        tls_trust_drop(d->tls, c->trust);
    }
    c->trust = NULL;
    c->in_tls = c->is_verified = false;
    c->ocsp = REMOTE_OCSP_NOT_REQUESTED;
}

/* --- The proof --- */

static struct ocsp_options judging(const struct conf *conf)
{
    return (struct ocsp_options){.skew_s = conf->ocsp_skew_s,
                                 .margin_s = conf->ocsp_margin_s,
                                 .max_age_s = conf->ocsp_max_age_s,
                                 .allow_sha1 = conf->ocsp_allow_sha1};
}

/* Exim's state of a proof, and whether it lets mail go. */
static enum deliver_reason judge(struct deliver_smtp *d, struct remote_conn *c)
{
    struct ocsp_options options = judging(d->env.conf);
    struct ocsp_verdict verdict;
    bool is_required = c->policy.requires_proof && !BROKEN(PROOF_NOT_REQUIRED);
    if (c->policy.must_verify && c->policy.asks_proof && tls_client_must_staple(&c->tls)) {
        is_required = true; /* RFC 7633: else the certificate itself does not hold */
    }
    enum ocsp_reason reason = tls_client_judge(&c->tls, &options, &d->now, &verdict);
    c->ocsp_reason = (uint8_t)reason;
    switch (reason) {
    case OCSP_GOOD:
        c->ocsp = c->is_verified ? REMOTE_OCSP_VERIFIED : REMOTE_OCSP_NOT_VERIFIED;
        return DELIVER_NONE;
    case OCSP_NO_FILE:
        c->ocsp = c->policy.asks_proof ? REMOTE_OCSP_NO_RESPONSE : REMOTE_OCSP_NOT_REQUESTED;
        return is_required ? DELIVER_PROOF_MISSING : DELIVER_NONE;
    case OCSP_NO_ISSUER:
    case OCSP_CLOCK_NOT_SET:
        c->ocsp = REMOTE_OCSP_NOT_VERIFIED;
        return !is_required                   ? DELIVER_NONE
               : reason == OCSP_CLOCK_NOT_SET ? DELIVER_CLOCK_NOT_SET
                                              : DELIVER_PROOF_FAILED;
    default:
        c->ocsp = REMOTE_OCSP_FAILED;
        return reason == OCSP_REVOKED && verdict.verified && !BROKEN(REVOKED_PEER_ACCEPTED)
                   ? DELIVER_PROOF_REVOKED
               : is_required ? DELIVER_PROOF_FAILED
                             : DELIVER_NONE;
    }
}

static void judge_turn(struct deliver_smtp *d, struct remote_conn *c)
{
    c->in_tls = true;
    c->is_verified = tls_client_is_verified(&c->tls);
    enum deliver_reason why = judge(d, c);
    tls_client_forget(&c->tls);
    leave_handshake(d, c);
    if (why == DELIVER_PROOF_FAILED || why == DELIVER_PROOF_REVOKED) {
        tls_client_refuse_proof(&c->tls);
        (void)remote_flush_tls(d, c);
    }
    if (why != DELIVER_NONE) {
        c->has_answer = false;
        remote_try_failed(d, c, why);
        return;
    }
    if (c->client.state == SMTP_CLIENT_STATE_TLS) {
        smtp_client_tls_begun(&c->client);
    }
    c->phase = REMOTE_SESSION;
    remote_set_deadline(d, c, smtp_client_timeout_ms(&c->client));
    remote_wake(d, c);
}

/* --- The handshake --- */

/* What failed in a handshake, if the library says so: the certificate, or our own memory. */
static enum deliver_reason failure_of(const struct remote_conn *c)
{
    const char *failure = tls_info(&c->tls)->failure;
    return failure == NULL                                ? DELIVER_TLS_FAILED
           : strcmp(failure, TLS_FAILURE_UNVERIFIED) == 0 ? DELIVER_UNVERIFIED
           : strcmp(failure, TLS_FAILURE_NO_MEMORY) == 0  ? DELIVER_NO_RESOURCES
                                                          : DELIVER_TLS_FAILED;
}

/* ERR_OK: it can go on when it is its turn. */
static enum err shake(struct deliver_smtp *d, struct remote_conn *c)
{
    d->may_shake = false;
    switch (tls_step(&c->tls, &d->now)) {
    case TLS_TURN:
    case TLS_DATA:
        return ERR_OK;
    case TLS_MORE:
        c->awaits_input = true;
        return remote_flush_tls(d, c);
    case TLS_WRITE:
        return remote_flush_tls(d, c);
    case TLS_ESTABLISHED:
        c->phase = REMOTE_JUDGE;
        return remote_flush_tls(d, c) == ERR_OK ? ERR_OK : ERR_AGAIN;
    case TLS_NO_ROOM:
        (void)remote_flush_tls(d, c); /* what goes out gives room */
        remote_pause(d, c);
        return ERR_AGAIN;
    case TLS_CLOSED:
    case TLS_FAILED:
    case TLS_NEED_SET:
        break;
    }
    (void)remote_flush_tls(d, c); /* the alert, if the peer takes it */
    return ERR_RESET;
}

void remote_tls_turn(struct deliver_smtp *d, struct remote_conn *c)
{
    if (c->timed_out) {
        tls_failed(d, c, c->tls.env == NULL ? DELIVER_NO_RESOURCES : DELIVER_TIMEOUT);
        return;
    }
    if (c->tls.env == NULL && !has_memory(d)) {
        remote_pause(d, c);
        return;
    }
    if (c->tls.env == NULL && !open_session(d, c)) {
        return;
    }
    enum err err = remote_flush_tls(d, c);
    if (err == ERR_OK && c->awaits_input) {
        err = remote_feed_tls(d, c);
        c->awaits_input = err != ERR_OK;
    }
    if (err == ERR_OK && !d->may_shake) {
        d->wants_shake = true;
        remote_wake(d, c);
        return;
    }
    if (err == ERR_OK && c->phase == REMOTE_JUDGE) {
        d->may_shake = false;
        judge_turn(d, c);
        return;
    }
    if (err == ERR_OK) {
        err = shake(d, c);
    }
    if (err == ERR_OK) {
        remote_wake(d, c);
    } else if (err == ERR_AGAIN) {
        remote_watch(d, c, !slice_is_empty(tls_pending(&c->tls)));
    } else {
        tls_failed(d, c, failure_of(c));
    }
}

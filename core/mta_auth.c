/* AUTH: between a session's questions, the engine of one exchange, and the users file.
 *
 *     TALKS   the client's turn; if it is silent, until somebody else needs the place
 *     ASKED   Dovecot's turn, for half a minute at most
 *     WORKS   a password is being hashed: one piece a step, after the replies that are due
 *     WAITS   it was wrong; the reply comes late, the later the more failures that address has
 *
 * Logins are offered in TLS only. What is not known and what is wrong look alike. */
#include "base64.h"
#include "mta_inside.h"

#define FAILURES_PER_HOUR 12 /* that an address is forgiven */
#define FAILURES_MAX      20 /* of an address; then it is not even asked */
#define DELAY_MS          UINT64_C(1000)
#define DELAY_MAX_SHIFT   5 /* 32 s */
#define DOVECOT_MS        30000

static const char *const mechanisms[] = {"PLAIN LOGIN SCRAM-SHA-256",
                                         "PLAIN LOGIN SCRAM-SHA-256 SCRAM-SHA-256-PLUS"};

uint64_t rate_key_of_peer(const struct mta *m, uint8_t kind, const struct net_addr *peer)
{
    /* A network of IPv6 is as cheap to have as an address of IPv4. */
    size_t len = peer->family == NET_IPV6 ? 8 : 4;
    return rate_key(&m->rates, kind, slice_make(peer->bytes, len));
}

static void report(struct mta *m, const struct conn *c, const char *result, const char *reason,
                   struct slice name)
{
    struct log_line line;
    log_begin(&line, "login");
    report_addr(&line, "peer", &c->peer);
    log_word(&line, "result", result);
    if (reason != NULL) {
        log_word(&line, "reason", reason);
    }
    if (name.len != 0) {
        log_peer_text(&line, "user", name);
    }
    if (reason == NULL) {
        report_line(m, LOG_INFO, &line);
    } else {
        report_stranger(m, &c->peer, LOG_WARNING, &line);
    }
}

void login_offer(struct mta *m, struct conn *c)
{
    uint8_t exporter[TLS_EXPORTER_LEN];
    if (BROKEN(LOGIN_IN_PLAINTEXT) && c->tls == NULL) {
        smtpd_offer_auth(&c->smtp, mechanisms[0]);
        return;
    }
    if (m->site->conf.auth_dovecot_socket[0] != 0 && c->tls != NULL) {
        dovecot_wake(m);
        smtpd_offer_auth(&c->smtp, dovecot_mechanisms(m));
    }
    if (m->site->conf.auth_users_file[0] != 0 && c->tls != NULL) {
        smtpd_offer_auth(&c->smtp, mechanisms[tls_exporter(c->tls, exporter)]);
    }
}

/* Behind the others that work: each gets a turn. */
static void enlist(struct mta *m, struct login *l)
{
    struct login **at = &m->working_first;
    while (*at != NULL) {
        at = &(*at)->next;
    }
    l->next = NULL;
    *at = l;
}

static void unlist(struct mta *m, struct login *l)
{
    for (struct login **at = &m->working_first; *at != NULL; at = &(*at)->next) {
        if (*at == l) {
            *at = l->next;
            return;
        }
    }
}

void login_drop(struct mta *m, struct conn *c)
{
    struct login *l = c->login;
    if (l == NULL) {
        return;
    }
    c->login = NULL;
    unlist(m, l);
    timer_cancel(&m->timers, &l->timer);
    pool_give(&m->users, l->user);
    auth_close(&l->auth);
    pool_give(&m->logins, l);
}

static void answer(struct mta *m, struct conn *c, enum smtpd_verdict verdict)
{
    smtpd_answer(&c->smtp, verdict, slice_make(NULL, 0));
    login_drop(m, c);
    conn_queue(m, c);
}

static void refuse(struct mta *m, struct conn *c, const char *reason)
{
    report(m, c, "refused", reason,
           c->login == NULL ? slice_make(NULL, 0) : auth_name(&c->login->auth));
    answer(m, c, SMTPD_TEMPORARY);
}

/* A reply that says no comes late, and no two kinds of no differ. */
static void deny(struct mta *m, struct conn *c, struct slice name)
{
    uint64_t key = rate_key_of_peer(m, RATE_FAILED_LOGINS, &c->peer);
    uint32_t level = rate_count(&m->rates, key, FAILURES_PER_HOUR, m->now_ms) - 1;
    report(m, c, "denied", "wrong", name);
    c->login->is_denied = true;
    if (BROKEN(DENIAL_AT_ONCE)) {
        timer_set(&m->timers, &c->login->timer, m->now_ms);
        return;
    }
    timer_set(&m->timers, &c->login->timer,
              m->now_ms + (DELAY_MS << (level < DELAY_MAX_SHIFT ? level : DELAY_MAX_SHIFT)));
}

/* name is no longer than AUTH_NAME_MAX. */
static void grant(struct mta *m, struct conn *c, struct slice name)
{
    struct mta_user *user = c->login->user;
    c->login->user = NULL;
    pool_give(&m->users, c->user);
    c->user = user;
    user->name_len = (uint8_t)name.len;
    memcpy(user->name, name.ptr, name.len);
    report(m, c, "granted", NULL, name);
    answer(m, c, SMTPD_OK);
}

static void challenge(struct conn *c, struct slice text)
{
    struct login *l = c->login;
    struct buf out = buf_make(l->challenge, sizeof l->challenge);
    base64_put(&out, text); /* fits: AUTH_CHALLENGE_MAX */
    l->is_clients_turn = true;
    smtpd_challenge(&c->smtp, buf_slice(&out));
}

/* The user's line of the file, or what stands for it. */
static enum err look_up(struct mta *m, struct login *l, struct auth_user *out, bool *out_known)
{
    const struct port_files *files = &m->port->files;
    size_t len = 0;
    enum err err = files->read(files->ctx, &len, m->site->conf.auth_users_file, m->scratch,
                               BUDGET_SCRATCH_LEN);
    if (err != ERR_OK) {
        return err;
    }
    *out_known = auth_users_find(slice_make(m->scratch, len), auth_name(&l->auth), out);
    l->user->senders_len = (uint16_t)out->senders.len;
    if (out->senders.len != 0) {
        memcpy(l->user->senders, out->senders.ptr, out->senders.len);
    }
    return ERR_OK;
}

static void follow(struct mta *m, struct conn *c, enum auth_event event, struct buf *out)
{
    struct login *l = c->login;
    if (event == AUTH_WHO) {
        struct auth_user user;
        bool is_known;
        uint8_t nonce[AUTH_NONCE_LEN];
        enum err err = look_up(m, l, &user, &is_known);
        if (err == ERR_OK) {
            err = m->port->entropy.fill(m->port->entropy.ctx, nonce, sizeof nonce);
        }
        if (err != ERR_OK) {
            refuse(m, c, err_name(err));
            return;
        }
        event = auth_give(&l->auth, &user.verifier, is_known, slice_make(nonce, sizeof nonce), out);
    }
    switch (event) {
    case AUTH_CHALLENGE:
        challenge(c, buf_slice(out));
        return;
    case AUTH_WORK:
        enlist(m, l);
        return;
    case AUTH_GRANTED:
        grant(m, c, auth_name(&l->auth));
        return;
    case AUTH_DENIED:
        deny(m, c, auth_name(&l->auth));
        return;
    case AUTH_WHO:
    case AUTH_MALFORMED:
        answer(m, c, SMTPD_AUTH_SYNTAX);
        return;
    }
}

/* One address gets no more than a quarter of the places. Where none is left, the client that has
 * been silent for the longest gives its own up: clients lose their way in the middle, or mean to.
 * Those that are read have heard their challenge, which goes with the place. Where others have all
 * places one that guessed wrong is told so early: many addresses could wait their time in turns. */
static bool make_place(struct mta *m, const struct conn *c)
{
    struct conn *oldest[2] = {NULL, NULL}; /* of that address, of all */
    uint32_t num = 0, cursor = 0;
    struct login *l;
    while ((l = pool_each(&m->logins, &cursor)) != NULL) {
        struct conn *other = pool_find(&m->conns, l->conn);
        bool is_same = net_addr_same_client(&other->peer, &c->peer);
        num += is_same;
        for (int i = !is_same || l->is_denied; i < 2 && (other->is_reading || l->is_denied); i++) {
            if (oldest[i] == NULL || other->timer.at_ms < oldest[i]->timer.at_ms) {
                oldest[i] = other;
            }
        }
    }
    bool has_share = num < (BUDGET_LOGINS + 3) / 4;
    if (has_share && m->logins.num_used < BUDGET_LOGINS) {
        return true;
    }
    if (oldest[has_share] == NULL) {
        return false;
    }
    if (oldest[has_share]->login->is_denied) {
        answer(m, oldest[has_share], SMTPD_AUTH_FAILED);
    } else {
        login_drop(m, oldest[has_share]); /* who has given it up may wait for another answer */
    }
    return true;
}

/* Takes what an exchange needs. False: it was answered. */
static bool begin(struct mta *m, struct conn *c, struct slice mechanism,
                  enum auth_mechanism *out_which, struct buf *out)
{
    uint8_t exporter[TLS_EXPORTER_LEN];
    struct slice binding = slice_make(NULL, 0);
    enum auth_mechanism which;
    uint64_t key = rate_key_of_peer(m, RATE_FAILED_LOGINS, &c->peer);
    login_drop(m, c); /* of a line that was too long */
    if (c->tls != NULL && tls_exporter(c->tls, exporter)) {
        binding = slice_make(exporter, sizeof exporter);
    }
    bool by_dovecot = m->site->conf.auth_dovecot_socket[0] != 0;
    if (!auth_mechanism_find(mechanism, &which) ||
        (by_dovecot ? !dovecot_offers(m, which) : which == AUTH_SCRAM_PLUS && binding.len == 0)) {
        answer(m, c, SMTPD_AUTH_MECHANISM);
        return false;
    }
    if (rate_level(&m->rates, key, FAILURES_PER_HOUR, m->now_ms) >= FAILURES_MAX &&
        !BROKEN(FAILURES_UNLIMITED)) {
        refuse(m, c, "too-many-failures");
        return false;
    }
    struct login *l = make_place(m, c) ? pool_take(&m->logins) : NULL;
    c->login = l;
    if (l != NULL) {
        l->user = pool_take(&m->users);
        l->conn = pool_handle(&m->conns, c);
        l->timer.kind = TIMER_LOGIN;
        l->timer.tag = l->conn;
    }
    if (l == NULL || l->user == NULL) {
        refuse(m, c, "no-room");
        return false;
    }
    *out_which = which;
    if (!by_dovecot) {
        auth_open(&l->auth, which, binding, out);
    }
    return true;
}

/* To Dovecot. What is no base64 stays here: it could be anything in that protocol. */
static void pass_on(struct mta *m, struct conn *c, enum auth_mechanism which,
                    const struct smtpd_ask *ask)
{
    uint8_t bytes[SCRAM_MESSAGE_MAX];
    struct buf message = buf_make(bytes, sizeof bytes);
    struct slice response = ask->body;
    bool begins = ask->mechanism.len != 0;
    bool is_empty = begins && slice_equal(response, SLICE_LITERAL("="));
    if (!begins && slice_equal(response, SLICE_LITERAL("*"))) {
        answer(m, c, SMTPD_AUTH_CANCELLED);
        return;
    }
    if (is_empty) {
        response.len = 0;
    }
    bool is_base64 = base64_take(response, &message);
    scram_wipe(bytes, sizeof bytes);
    if (!is_base64) {
        answer(m, c, SMTPD_AUTH_SYNTAX);
        return;
    }
    bool has_none = begins && !is_empty && response.len == 0;
    if (!dovecot_ask(m, c, which, begins, has_none ? NULL : &response)) {
        if (c->login != NULL) {
            refuse(m, c, "dovecot");
        }
        return;
    }
    if (c->login != NULL) {
        timer_set(&m->timers, &c->login->timer, m->now_ms + DOVECOT_MS);
    }
}

/* Nothing but base64 gets into a reply. */
static bool keep_challenge(struct login *l, struct slice text)
{
    struct buf decoded = buf_make(l->challenge, sizeof l->challenge);
    if (text.len > sizeof l->challenge || !base64_take(text, &decoded)) {
        return false;
    }
    if (text.len != 0) {
        memcpy(l->challenge, text.ptr, text.len);
    }
    return true;
}

void login_answered(struct mta *m, struct login *l, enum login_answer what, struct slice value)
{
    struct conn *c = pool_find(&m->conns, l->conn);
    timer_cancel(&m->timers, &l->timer);
    if (l->is_denied) { /* long ago */
        return;
    }
    /* The client may have given the exchange up with a line that was too long, and ask something
     * else by now: that is not answered here. The last challenge may not have been said yet. */
    if (l->is_clients_turn) {
        l->is_over = true;
        return;
    }
    switch (what) {
    case LOGIN_CHALLENGE:
        if (!keep_challenge(l, value)) {
            break;
        }
        l->is_clients_turn = true;
        smtpd_challenge(&c->smtp, slice_make(l->challenge, value.len));
        conn_queue(m, c);
        return;
    case LOGIN_GRANTED:
        if (!auth_is_name(value)) {
            break;
        }
        l->user->senders_len = 0;
        grant(m, c, value);
        return;
    case LOGIN_DENIED:
        l->dovecot_id = 0;
        deny(m, c, value);
        return;
    case LOGIN_NO_ANSWER:
        break;
    }
    refuse(m, c, "dovecot");
}

static bool is_dovecots(const struct login *l)
{
    return l->dovecot_id != 0;
}

void login_ask(struct mta *m, struct conn *c, const struct smtpd_ask *ask)
{
    uint8_t challenge_bytes[AUTH_CHALLENGE_MAX], bytes[SCRAM_MESSAGE_MAX];
    struct buf out = buf_make(challenge_bytes, sizeof challenge_bytes);
    struct buf message = buf_make(bytes, sizeof bytes);
    bool begins = ask->mechanism.len != 0, by_dovecot = m->site->conf.auth_dovecot_socket[0] != 0;
    enum auth_mechanism which = AUTH_PLAIN;
    if (begins && !begin(m, c, ask->mechanism, &which, &out)) {
        return;
    }
    if (c->login != NULL) {
        c->login->is_clients_turn = false;
    }
    if (c->login == NULL) {
        refuse(m, c, "no-room"); /* another took its place */
    } else if (!begins && (c->login->is_over || is_dovecots(c->login) != by_dovecot)) {
        refuse(m, c, "dovecot"); /* it is gone, or a reload has put another judge in */
    } else if (by_dovecot) {
        pass_on(m, c, which, ask);
    } else if (begins && ask->body.len == 0) {
        challenge(c, buf_slice(&out));
    } else if (!begins && slice_equal(ask->body, SLICE_LITERAL("*"))) {
        answer(m, c, SMTPD_AUTH_CANCELLED);
    } else if (!(begins && slice_equal(ask->body, SLICE_LITERAL("="))) &&
               !base64_take(ask->body, &message)) {
        answer(m, c, SMTPD_AUTH_SYNTAX);
    } else {
        out.len = 0;
        follow(m, c, auth_take(&c->login->auth, buf_slice(&message), &out), &out);
    }
    scram_wipe(bytes, sizeof bytes);
}

void login_timer(struct mta *m, uint64_t handle)
{
    struct conn *c = pool_find(&m->conns, handle);
    if (c != NULL) {
        if (c->login->is_denied) {
            answer(m, c, SMTPD_AUTH_FAILED);
        } else {
            refuse(m, c, "timeout");
        }
    }
}

void login_run(struct mta *m)
{
    struct login *l = m->working_first;
    if (l == NULL) {
        return;
    }
    m->working_first = l->next;
    struct conn *c = pool_find(&m->conns, l->conn);
    struct buf none = buf_make(NULL, 0);
    follow(m, c, auth_work(&l->auth), &none);
}

/* The client's side of a session: see smtp_client.h. Each whole reply goes through the table; its
 * action says what follows. What can be said without waiting is said before more is read. */
#include "smtp_client.h"

#include "smtp_client_say.h"
#include "smtp_client_table.h"
#include "teeth.h"
#include "text.h"

static bool offers(const struct smtp_client *c, enum smtp_offer offer)
{
    return (c->offers.bits & (uint32_t)offer) != 0;
}

static void enter(struct smtp_client *c, enum smtp_client_state state)
{
    c->state = (uint8_t)state;
}

static enum smtp_client_event end(struct smtp_client *c, const char *reason)
{
    c->state = SMTP_CLIENT_STATE_ENDED;
    c->reason = reason;
    return SMTP_CLIENT_ENDED;
}

static enum smtp_client_event end_with_answer(struct smtp_client *c, const char *reason)
{
    c->has_answer = true;
    return end(c, reason);
}

void smtp_client_begin(struct smtp_client *c, const struct smtp_client_conf *conf,
                       struct buf out_memory)
{
    memset(c, 0, sizeof *c);
    c->conf = *conf;
    c->out = out_memory;
    c->in_tls = conf->tls == SMTP_CLIENT_TLS_ON;
    c->state = SMTP_CLIENT_STATE_GREETING;
}

void smtp_client_sent(struct smtp_client *c, size_t len)
{
    buf_drop(&c->out, len);
}

void smtp_client_lost(struct smtp_client *c, const char *reason)
{
    if (c->state != SMTP_CLIENT_STATE_ENDED) {
        end(c, reason);
    }
}

uint32_t smtp_client_timeout_ms(const struct smtp_client *c)
{
    return smtp_client_rule((enum smtp_client_state)c->state)->timeout_ms;
}

/* --- Opening --- */

static enum smtp_client_event say_hello(struct smtp_client *c)
{
    memset(&c->offers, 0, sizeof c->offers);
    smtp_say(&c->out, c->conf.is_lmtp ? "LHLO" : "EHLO", c->conf.hostname);
    enter(c, SMTP_CLIENT_STATE_EHLO);
    return SMTP_CLIENT_AGAIN;
}

static enum smtp_client_event say_helo(struct smtp_client *c)
{
    if (c->conf.is_lmtp) {
        return end_with_answer(c, "hello-refused");
    }
    memset(&c->offers, 0, sizeof c->offers);
    smtp_say(&c->out, "HELO", c->conf.hostname);
    enter(c, SMTP_CLIENT_STATE_HELO);
    return SMTP_CLIENT_AGAIN;
}

static enum smtp_client_event log_in(struct smtp_client *c)
{
    if (!smtp_login_begin(&c->login, c->offers.bits, c->conf.user, c->conf.password, c->conf.random,
                          &c->out)) {
        return end(c, "login-not-offered");
    }
    enter(c, SMTP_CLIENT_STATE_AUTH);
    return SMTP_CLIENT_AGAIN;
}

/* The peer's offers are known. */
static enum smtp_client_event go_on(struct smtp_client *c)
{
    if (!c->in_tls && c->conf.tls != SMTP_CLIENT_TLS_NEVER) {
        if (offers(c, SMTP_OFFER_STARTTLS)) {
            smtp_say(&c->out, "STARTTLS", slice_make(NULL, 0));
            enter(c, SMTP_CLIENT_STATE_STARTTLS);
            return SMTP_CLIENT_AGAIN;
        }
        if (c->conf.tls == SMTP_CLIENT_TLS_REQUIRED && !BROKEN(PLAINTEXT_IF_NOT_OFFERED)) {
            return end(c, "tls-not-offered");
        }
    }
    if (!slice_is_empty(c->conf.user) && !c->is_logged_in) {
        return c->in_tls ? log_in(c) : end(c, "tls-not-offered");
    }
    enter(c, SMTP_CLIENT_STATE_READY);
    return SMTP_CLIENT_AGAIN;
}

/* A peer that puts words behind its 220 wants them to be taken for an answer inside TLS; one that
 * says it before it was asked wants what is still to be sent to be said there. */
static enum smtp_client_event begin_tls(struct smtp_client *c, const struct slice *in)
{
    if (c->out.len != 0) {
        return end(c, "unexpected-reply");
    }
    if (!slice_is_empty(*in) && !BROKEN(CLIENT_KEEPS_PLAINTEXT)) {
        return end(c, "plaintext-behind-starttls");
    }
    enter(c, SMTP_CLIENT_STATE_TLS);
    return SMTP_CLIENT_STARTTLS;
}

void smtp_client_tls_begun(struct smtp_client *c)
{
    c->in_tls = true;
    say_hello(c);
}

static enum smtp_client_event go_on_without_tls(struct smtp_client *c)
{
    if (c->conf.tls == SMTP_CLIENT_TLS_REQUIRED || !slice_is_empty(c->conf.user)) {
        return end_with_answer(c, "tls-refused");
    }
    c->conf.tls = SMTP_CLIENT_TLS_NEVER;
    enter(c, SMTP_CLIENT_STATE_READY);
    return SMTP_CLIENT_AGAIN;
}

static enum smtp_client_event log_step(struct smtp_client *c, struct slice challenge)
{
    if (c->login.num_steps == SMTP_LOGIN_STEPS_MAX) { /* it goes on asking, whatever it is told */
        return end(c, "unexpected-reply");
    }
    smtp_login_step(&c->login, challenge, &c->out);
    enter(c, SMTP_CLIENT_STATE_AUTH);
    return SMTP_CLIENT_AGAIN;
}

static enum smtp_client_event logged_in(struct smtp_client *c)
{
    if (!smtp_login_is_complete(&c->login)) {
        return end(c, "login-not-proved");
    }
    smtp_login_end(&c->login);
    c->is_logged_in = true;
    enter(c, SMTP_CLIENT_STATE_READY);
    return SMTP_CLIENT_AGAIN;
}

/* --- A message --- */

static void say_mail(struct smtp_client *c)
{
    smtp_say_mail(&c->out, &c->mail, c->offers.bits);
    enter(c, SMTP_CLIENT_STATE_MAIL);
}

void smtp_client_mail(struct smtp_client *c, const struct smtp_client_mail *mail)
{
    c->mail = *mail;
    c->num_mails++;
    c->is_refused = c->is_over = c->sent_data = c->is_unsure = false;
    c->uses_chunks = offers(c, SMTP_OFFER_CHUNKING);
    c->num_rcpts_sent = c->num_rcpts_answered = 0;
    c->accepted = 0;
    c->content_left = mail->content_len;
    c->at_line_begin = true;
    if (!c->needs_reset) {
        say_mail(c);
        return;
    }
    smtp_say(&c->out, "RSET", slice_make(NULL, 0));
    enter(c, SMTP_CLIENT_STATE_RSET);
}

void smtp_client_quit(struct smtp_client *c)
{
    smtp_say(&c->out, "QUIT", slice_make(NULL, 0));
    enter(c, SMTP_CLIENT_STATE_QUIT);
}

static enum smtp_client_event is_reset(struct smtp_client *c)
{
    c->needs_reset = false;
    say_mail(c);
    return SMTP_CLIENT_AGAIN;
}

bool smtp_client_rcpt(struct smtp_client *c, const struct smtp_client_rcpt *rcpt)
{
    if (!smtp_may_say(rcpt->address) || !smtp_may_say(rcpt->orcpt)) {
        return false;
    }
    smtp_say_rcpt(&c->out, rcpt, c->offers.bits);
    c->num_rcpts_sent++;
    return true;
}

void smtp_client_skip_rcpt(struct smtp_client *c)
{
    c->mail.num_rcpts--;
}

size_t smtp_client_content(struct smtp_client *c, struct slice bytes)
{
    size_t len = bytes.len < c->content_left ? bytes.len : (size_t)c->content_left;
    if (c->uses_chunks) {
        len = len < buf_room(&c->out) ? len : buf_room(&c->out);
        buf_put(&c->out, slice_make(bytes.ptr, len));
    } else {
        len = smtp_say_content(&c->out, slice_make(bytes.ptr, len), &c->at_line_begin);
    }
    c->content_left -= len;
    return len;
}

/* Nothing of it is under way any more. */
static enum smtp_client_event done(struct smtp_client *c)
{
    c->is_over = false;
    enter(c, SMTP_CLIENT_STATE_READY);
    return SMTP_CLIENT_DONE;
}

/* What was sent behind a MAIL that was refused is answered too. */
static enum smtp_client_event refused(struct smtp_client *c)
{
    bool is_told = c->is_refused;
    if (c->state == SMTP_CLIENT_STATE_MAIL && c->answer.code == 530) {
        return end_with_answer(
            c, "login-required"); /* whoever sent the message can do nothing for it */
    }
    c->is_refused = true;
    if (c->state == SMTP_CLIENT_STATE_MAIL && c->num_rcpts_sent != 0) {
        enter(c, SMTP_CLIENT_STATE_RCPT);
    } else {
        c->is_over = true;
    }
    return is_told ? SMTP_CLIENT_AGAIN : SMTP_CLIENT_MAIL_ANSWER;
}

static enum smtp_client_event sender_taken(struct smtp_client *c)
{
    c->needs_reset = true;
    enter(c, SMTP_CLIENT_STATE_RCPT);
    return SMTP_CLIENT_AGAIN;
}

/* Too many recipients are no reason to give any of them up (RFC 5321 4.5.3.1.10); a mailbox that is
 * full, or a message that is too large for it, says so by its status (RFC 3463 3.3, 3.4). */
static void soften(struct smtp_answer *a)
{
    if (a->code == 552 && (a->status[1] == 0 || a->status[1] == 5)) {
        a->code = 452;
        a->status[0] = a->status[0] == 0 ? 0 : 4;
    }
}

static enum smtp_client_event rcpt_answered(struct smtp_client *c, bool is_accepted)
{
    if (c->num_rcpts_answered == c->num_rcpts_sent) { /* nobody has been named to it */
        return end(c, "unexpected-reply");
    }
    c->rcpt = c->num_rcpts_answered++;
    if (is_accepted) {
        c->accepted |= UINT64_C(1) << c->rcpt;
        return SMTP_CLIENT_AGAIN;
    }
    soften(&c->answer);
    return c->is_refused ? SMTP_CLIENT_AGAIN : SMTP_CLIENT_RCPT_ANSWER;
}

static enum smtp_client_event begin_content(struct smtp_client *c)
{
    enter(c, SMTP_CLIENT_STATE_CONTENT);
    if (c->accepted == 0 || c->is_refused) { /* DATA went out before that was known */
        c->content_left = 0;
        c->is_refused = true;
    }
    return SMTP_CLIENT_AGAIN;
}

/* With LMTP each recipient has a reply of its own (RFC 2033 4.2), in order. A chunk that was
 * refused leaves the transaction open (RFC 3030 2). */
static enum smtp_client_event outcome(struct smtp_client *c)
{
    if (c->out.len != 0 && smtp_answer_class(&c->answer) == 2) { /* it has not seen the end yet */
        return end(c, "unexpected-reply");
    }
    c->needs_reset = c->uses_chunks && smtp_answer_class(&c->answer) != 2;
    if (c->is_refused || !c->conf.is_lmtp) {
        c->accepted = 0;
    } else {
        for (c->rcpt = 0; (c->accepted >> c->rcpt & 1) == 0;) {
            c->rcpt++;
        }
        c->accepted &= ~(UINT64_C(1) << c->rcpt);
    }
    c->is_over = c->accepted == 0;
    c->is_unsure = !c->is_over;
    return c->is_refused     ? SMTP_CLIENT_AGAIN
           : c->conf.is_lmtp ? SMTP_CLIENT_RCPT_ANSWER
                             : SMTP_CLIENT_MAIL_ANSWER;
}

static enum smtp_client_event shut(struct smtp_client *c)
{
    bool is_told = c->is_refused;
    c->is_unsure = false;
    end(c, "closing");
    return is_told ? SMTP_CLIENT_ENDED : SMTP_CLIENT_MAIL_ANSWER;
}

/* --- What can be said now --- */

static bool has_room(const struct smtp_client *c)
{
    return buf_room(&c->out) >= SMTP_CLIENT_COMMAND_MAX;
}

/* MAIL is out. May more go out before its answer, and that of each recipient so far, is there? */
static bool may_say_more(const struct smtp_client *c)
{
    bool all_answered =
        c->state == SMTP_CLIENT_STATE_RCPT && c->num_rcpts_answered == c->num_rcpts_sent;
    return !c->is_refused && (offers(c, SMTP_OFFER_PIPELINING) || all_answered);
}

static enum smtp_client_event say_rcpts(struct smtp_client *c)
{
    if (!may_say_more(c) || c->sent_data || !has_room(c)) {
        return SMTP_CLIENT_WAIT;
    }
    if (c->num_rcpts_sent < c->mail.num_rcpts) {
        c->rcpt = c->num_rcpts_sent;
        return SMTP_CLIENT_GIVE_RCPT;
    }
    if (c->num_rcpts_sent != 0 && !c->uses_chunks &&
        (c->num_rcpts_answered < c->num_rcpts_sent || c->accepted != 0)) {
        smtp_say(&c->out, "DATA", slice_make(NULL, 0));
        c->sent_data = true;
    }
    return SMTP_CLIENT_WAIT;
}

/* Every recipient that was sent has its answer. */
static enum smtp_client_event after_rcpts(struct smtp_client *c)
{
    if (c->sent_data) {
        enter(c, SMTP_CLIENT_STATE_DATA);
        return SMTP_CLIENT_AGAIN;
    }
    if (c->is_refused || c->accepted == 0) {
        return done(c);
    }
    if (!c->uses_chunks || !has_room(c)) {
        return SMTP_CLIENT_WAIT;
    }
    smtp_say_bdat(&c->out, c->mail.content_len);
    enter(c, SMTP_CLIENT_STATE_CONTENT);
    return SMTP_CLIENT_AGAIN;
}

static enum smtp_client_event say_content(struct smtp_client *c)
{
    if (c->content_left != 0) {
        return buf_room(&c->out) > c->out.cap / 2 ? SMTP_CLIENT_GIVE_CONTENT : SMTP_CLIENT_WAIT;
    }
    if (!c->uses_chunks) {
        if (buf_room(&c->out) < sizeof "\r\n.\r\n") {
            return SMTP_CLIENT_WAIT;
        }
        buf_put_string(&c->out, c->at_line_begin ? ".\r\n" : "\r\n.\r\n");
    }
    c->is_unsure = !c->is_refused;
    enter(c, SMTP_CLIENT_STATE_END);
    return SMTP_CLIENT_AGAIN;
}

/* What the state asks of us before a reply can be expected. */
static enum smtp_client_event say_more(struct smtp_client *c)
{
    enum smtp_client_event event = SMTP_CLIENT_WAIT;
    if (c->is_over) {
        return done(c);
    }
    switch ((enum smtp_client_state)c->state) {
    case SMTP_CLIENT_STATE_READY: /* a message that was refused unread may still be in the way */
        return has_room(c) ? SMTP_CLIENT_READY : SMTP_CLIENT_WAIT;
    case SMTP_CLIENT_STATE_MAIL:
        return say_rcpts(c);
    case SMTP_CLIENT_STATE_RCPT:
        event = say_rcpts(c);
        return event == SMTP_CLIENT_WAIT && c->num_rcpts_answered == c->num_rcpts_sent &&
                       (c->is_refused || c->num_rcpts_sent == c->mail.num_rcpts)
                   ? after_rcpts(c)
                   : event;
    case SMTP_CLIENT_STATE_AUTH:
        if (!c->login.computes) {
            return SMTP_CLIENT_WAIT;
        }
        smtp_login_turn(&c->login, &c->out);
        return SMTP_CLIENT_TURN;
    case SMTP_CLIENT_STATE_CONTENT:
        return say_content(c);
    case SMTP_CLIENT_STATE_ENDED:
        return SMTP_CLIENT_ENDED;
    default:
        return SMTP_CLIENT_WAIT;
    }
}

/* --- What is answered --- */

/* The name that a greeting, or an answer to EHLO, begins with. */
static bool is_our_own(const struct smtp_client *c, struct slice text)
{
    struct slice name = {text.ptr, 0};
    while (name.len < text.len && text.ptr[name.len] != ' ') {
        name.len++;
    }
    return c->conf.shuns_itself && text_equal_nocase(name, c->conf.hostname);
}

static enum smtp_client_event obey(struct smtp_client *c, struct slice text, struct slice *in)
{
    const struct smtp_client_rule *rule = smtp_client_rule((enum smtp_client_state)c->state);
    enum smtp_reply_kind kind = c->answer.code == 421
                                    ? SMTP_REPLY_421
                                    : (enum smtp_reply_kind)(smtp_answer_class(&c->answer) - 2);
    switch ((enum smtp_client_action)rule->actions[kind]) {
    case SMTP_CLIENT_DO_HELLO:
        return say_hello(c);
    case SMTP_CLIENT_DO_HELO:
        return say_helo(c);
    case SMTP_CLIENT_DO_GO_ON:
        return go_on(c);
    case SMTP_CLIENT_DO_TLS:
        return begin_tls(c, in);
    case SMTP_CLIENT_DO_NO_TLS:
        return go_on_without_tls(c);
    case SMTP_CLIENT_DO_STEP:
        return log_step(c, text);
    case SMTP_CLIENT_DO_LOGGED:
        return logged_in(c);
    case SMTP_CLIENT_DO_READY:
        return is_reset(c);
    case SMTP_CLIENT_DO_SENDER:
        return sender_taken(c);
    case SMTP_CLIENT_DO_RCPT:
        return rcpt_answered(c, true);
    case SMTP_CLIENT_DO_NO_RCPT:
        return rcpt_answered(c, false);
    case SMTP_CLIENT_DO_CONTENT:
        return begin_content(c);
    case SMTP_CLIENT_DO_REFUSED:
        return refused(c);
    case SMTP_CLIENT_DO_OUTCOME:
        return outcome(c);
    case SMTP_CLIENT_DO_SHUT:
        return shut(c);
    case SMTP_CLIENT_DO_FAIL:
        return end_with_answer(c, rule->reason);
    case SMTP_CLIENT_DO_LEAVE:
        return end(c, NULL);
    case SMTP_CLIENT_DO_BREAK:
    case SMTP_CLIENT_DO_NOTHING:
        break;
    }
    return end(c, "unexpected-reply");
}

/* One line. */
static enum smtp_client_event take_line(struct smtp_client *c, struct slice *in)
{
    struct slice text;
    switch (smtp_answer_take(&c->answer, in, &text)) {
    case SMTP_ANSWER_MORE:
        return SMTP_CLIENT_WAIT;
    case SMTP_ANSWER_MALFORMED:
        return end(c, "malformed-reply");
    case SMTP_ANSWER_LINE:
        break;
    }
    bool is_first = c->answer.num_lines == 1;
    bool is_hello = c->state == SMTP_CLIENT_STATE_EHLO || c->state == SMTP_CLIENT_STATE_HELO;
    if (is_first && (is_hello || c->state == SMTP_CLIENT_STATE_GREETING) && is_our_own(c, text)) {
        return end(c, "loop-to-self");
    }
    if (c->state == SMTP_CLIENT_STATE_EHLO && !is_first) {
        smtp_offers_add(&c->offers, text);
    }
    return c->answer.is_whole ? obey(c, text, in) : SMTP_CLIENT_AGAIN;
}

/* A peer that has not taken leave itself is told, unless it is in the middle of something (RFC 5321
 * 4.1.1.10). */
static void take_leave(struct smtp_client *c, uint8_t state)
{
    if (state <= SMTP_CLIENT_STATE_RSET && state != SMTP_CLIENT_STATE_TLS && has_room(c) &&
        c->answer.code != 421) {
        smtp_say(&c->out, "QUIT", slice_make(NULL, 0));
    }
}

enum smtp_client_event smtp_client_next(struct smtp_client *c, struct slice *in)
{
    for (;;) {
        uint8_t state = c->state;
        enum smtp_client_event event = say_more(c);
        if (event == SMTP_CLIENT_WAIT || event == SMTP_CLIENT_READY) {
            enum smtp_client_event heard = take_line(c, in);
            event = heard == SMTP_CLIENT_WAIT ? event : heard;
        }
        if (event == SMTP_CLIENT_ENDED) {
            take_leave(c, state);
        }
        if (event != SMTP_CLIENT_AGAIN) {
            return event;
        }
    }
}

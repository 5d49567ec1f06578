/* The SMTP server engine, commands: from a line to what the table says. Called by smtpd.c. */
#include "smtpd_turn.h"

#include "text.h"

#define LIMIT_MAX   999999 /* RFC 9422 4: six digits; who takes more may say so */
#define PUT_OFF_MAX 10000  /* recipients that are refused and put off in one go; nobody has more */
#define TLS_RECORD  0x16   /* that a handshake begins with */

static void put_ehlo_line(struct buf *out, const char *keyword, const char *value)
{
    buf_put_string(out, "250-");
    buf_put_string(out, keyword);
    buf_put_string(out, value);
    buf_put_string(out, "\r\n");
}

static void put_limit(struct buf *out, const char *name, uint64_t value)
{
    if (value != 0) {
        buf_put_string(out, name);
        text_put_u64(out, value);
    }
}

static uint32_t at_most(uint32_t value, uint32_t most)
{
    return value < most ? value : most;
}

static void put_ehlo(const struct smtpd *s, struct buf *out)
{
    const struct smtpd_limits *limits = &s->env->limits;
    buf_put_string(out, "250-");
    buf_put(out, s->env->hostname);
    buf_put_string(out, "\r\n250-SIZE");
    put_limit(out, " ", limits->message_size_limit);
    buf_put_string(out, "\r\n");
    put_ehlo_line(out, "PIPELINING", "");
    put_ehlo_line(out, "8BITMIME", "");
    put_ehlo_line(out, "SMTPUTF8", "");
    put_ehlo_line(out, "CHUNKING", "");
    put_ehlo_line(out, "DSN", "");
    if (s->env->starttls_offered && !s->in_tls) {
        put_ehlo_line(out, "STARTTLS", "");
    }
    if (s->mechanisms != NULL && !s->is_authenticated) {
        put_ehlo_line(out, "AUTH ", s->mechanisms);
    }
    if (limits->mails_max != 0 || limits->recipients_max != 0) {
        buf_put_string(out, "250-LIMITS");
        put_limit(out, " MAILMAX=", at_most(limits->mails_max, LIMIT_MAX));
        put_limit(out, " RCPTMAX=", at_most(limits->recipients_max, LIMIT_MAX));
        buf_put_string(out, "\r\n");
    }
    buf_put_string(out, "250 ENHANCEDSTATUSCODES\r\n");
}

static enum smtpd_event do_hello(struct turn *t, const struct smtpd_rule *rule, struct slice args)
{
    struct smtpd *s = t->s;
    s->is_esmtp = rule->reply == SMTP_REPLY_EHLO;
    s->mail_refused = false;
    s->helo_len = (uint8_t)args.len;
    memcpy(s->helo, args.ptr, args.len);
    if (s->is_esmtp) {
        put_ehlo(s, t->out);
    } else {
        smtpd_put(t, SMTP_REPLY_HELO);
    }
    smtpd_enter(s, smtpd_next_state(s), SMTPD_PHASE_COMMAND);
    return smtpd_drop_transaction(s);
}

static enum smtpd_event refuse_mail(struct turn *t, enum smtp_reply reply)
{
    t->s->mail_refused = true;
    smtpd_is_over(&t->s->num_refused_rcpts, 0);
    return smtpd_say(t, reply);
}

/* Whoever tries names learns nothing more: the next ones are told to come later whoever they are,
 * so that a client with a stale list sends to the others first and to the rest another time; and
 * that is another connection. */
static bool is_trying_names(const struct smtpd *s)
{
    uint16_t max = s->env->limits.refused_rcpts_max;
    return max != 0 && s->num_refused_rcpts >= max;
}

static enum smtpd_event put_rcpt_off(struct turn *t)
{
    uint16_t max = t->s->env->limits.refused_rcpts_max != 0 ? PUT_OFF_MAX : 0;
    if (smtpd_is_over(&t->s->num_refused_rcpts, max)) {
        return smtpd_hang_up(t, SMTP_REPLY_REFUSED_LIMIT, SMTPD_REASON_REFUSED_RCPTS);
    }
    return smtpd_say(t, SMTP_REPLY_RCPTS_LIMIT);
}

static enum smtpd_event do_mail(struct turn *t, struct slice args)
{
    struct smtpd *s = t->s;
    const struct smtpd_limits *limits = &s->env->limits;
    struct smtp_mail mail;
    enum smtp_reply reply = smtp_mail_parse(args, &mail);
    if (reply != SMTP_REPLY_NONE) {
        return refuse_mail(t, reply);
    }
    if (limits->mails_max != 0 && s->num_mails >= limits->mails_max) {
        return smtpd_hang_up(t, SMTP_REPLY_MAILS_LIMIT, SMTPD_REASON_MAILS);
    }
    if (is_trying_names(s)) {
        return smtpd_hang_up(t, SMTP_REPLY_REFUSED_LIMIT, SMTPD_REASON_REFUSED_RCPTS);
    }
    if (limits->message_size_limit != 0 && mail.size > limits->message_size_limit) {
        return refuse_mail(t, SMTP_REPLY_TOO_BIG);
    }
    if (s->state == SMTPD_STATE_FAILED) {
        smtpd_drop_transaction(s);
        smtpd_enter(s, SMTPD_STATE_READY, SMTPD_PHASE_COMMAND);
    }
    s->is_smtputf8 = mail.is_smtputf8;
    t->ask->address = mail.address;
    t->ask->size = mail.size;
    t->ask->is_8bit = mail.is_8bit;
    t->ask->is_smtputf8 = mail.is_smtputf8;
    t->ask->ret = mail.ret;
    t->ask->envid = mail.envid;
    return smtpd_ask(t, SMTPD_MAIL);
}

static enum smtpd_event do_rcpt(struct turn *t, struct slice args)
{
    struct smtpd *s = t->s;
    struct smtp_rcpt_args rcpt;
    enum smtp_reply reply = smtp_rcpt_parse(args, s->is_smtputf8, &rcpt);
    if (reply != SMTP_REPLY_NONE) {
        return smtpd_say(t, reply);
    }
    if (is_trying_names(s) ||
        (s->env->limits.recipients_max != 0 && s->num_rcpts >= s->env->limits.recipients_max)) {
        return put_rcpt_off(t);
    }
    t->ask->address = rcpt.address;
    t->ask->notify = rcpt.notify;
    t->ask->orcpt = rcpt.orcpt;
    t->ask->is_smtputf8 = s->is_smtputf8;
    return smtpd_ask(t, SMTPD_RCPT);
}

static void forget_body(struct smtpd *s)
{
    memset(&s->body, 0, sizeof s->body);
    s->message_len = 0;
}

static enum smtpd_event do_begin(struct turn *t, bool is_chunked)
{
    struct smtpd *s = t->s;
    s->is_chunked = is_chunked;
    t->ask->size = is_chunked ? s->chunk_left : 0;
    return smtpd_ask(t, SMTPD_BEGIN);
}

static enum smtpd_event do_chunk(struct turn *t)
{
    struct smtpd *s = t->s;
    bool is_first = s->state != SMTPD_STATE_CHUNKS;
    if (is_first) {
        forget_body(s);
    }
    enum smtpd_phase phase = SMTPD_PHASE_CHUNK;
    if (smtpd_is_too_big(s, s->chunk_left)) {
        s->failed = SMTP_REPLY_TOO_BIG;
        phase = SMTPD_PHASE_SKIP;
    } else if (is_first) {
        return do_begin(t, true);
    }
    smtpd_enter(s, smtpd_next_state(s), phase);
    return GO_ON;
}

static enum smtpd_event do_starttls(struct turn *t)
{
    if (t->s->in_tls) {
        return smtpd_say(t, SMTP_REPLY_IN_TLS);
    }
    if (!t->s->env->starttls_offered) {
        return smtpd_say(t, SMTP_REPLY_NOT_OFFERED);
    }
    if (t->in->len != 0 && !BROKEN(STARTTLS_KEEPS_PLAINTEXT)) {
        return smtpd_hang_up(t, SMTP_REPLY_STARTTLS_DATA, SMTPD_REASON_STARTTLS_DATA);
    }
    return smtpd_ask(t, SMTPD_STARTTLS);
}

static enum smtpd_event do_auth(struct turn *t, struct slice args)
{
    const struct smtpd *s = t->s;
    if (s->is_authenticated) {
        return smtpd_say(t, SMTP_REPLY_AUTH_TWICE);
    }
    if (s->mechanisms == NULL) {
        bool needs_tls = s->env->auth_needs_tls && !s->in_tls;
        return smtpd_say(t, needs_tls ? SMTP_REPLY_AUTH_NEEDS_TLS : SMTP_REPLY_NOT_OFFERED);
    }
    enum smtp_reply reply = smtp_auth_parse(args, &t->ask->mechanism, &t->ask->body);
    return reply != SMTP_REPLY_NONE ? smtpd_say(t, reply) : smtpd_ask(t, SMTPD_AUTH);
}

static enum smtpd_event do_rule(struct turn *t, const struct smtpd_rule *rule, struct slice args)
{
    struct smtpd *s = t->s;
    enum smtp_reply reply = (enum smtp_reply)rule->reply;
    s->next = rule->next;
    switch ((enum smtpd_action)rule->action) {
    case SMTPD_DO_NOTHING:
        break;
    case SMTPD_DO_SAY:
        return smtpd_say(t, reply);
    case SMTPD_DO_REFUSE:
        return smtpd_refuse(t, reply);
    case SMTPD_DO_HELLO:
        return do_hello(t, rule, args);
    case SMTPD_DO_MAIL:
        return do_mail(t, args);
    case SMTPD_DO_RCPT:
        return do_rcpt(t, args);
    case SMTPD_DO_DATA:
        forget_body(s);
        return do_begin(t, false);
    case SMTPD_DO_CHUNK:
        return do_chunk(t);
    case SMTPD_DO_SKIP:
        s->skip_reply = (uint8_t)reply;
        smtpd_enter_phase(s, SMTPD_PHASE_SKIP);
        return GO_ON;
    case SMTPD_DO_RESET:
        smtpd_enter(s, smtpd_next_state(s), SMTPD_PHASE_COMMAND);
        smtpd_put(t, reply);
        return smtpd_drop_transaction(s);
    case SMTPD_DO_AUTH:
        return do_auth(t, args);
    case SMTPD_DO_STARTTLS:
        return do_starttls(t);
    case SMTPD_DO_HANG_UP:
        return smtpd_hang_up(t, reply,
                             reply == SMTP_REPLY_QUIT ? SMTPD_REASON_QUIT : SMTPD_REASON_NOT_SMTP);
    }
    return GO_ON;
}

static bool is_nonmail(enum smtp_verb verb)
{
    return verb == SMTP_HELO || verb == SMTP_EHLO || verb == SMTP_RSET || verb == SMTP_NOOP ||
           verb == SMTP_VRFY || verb == SMTP_HELP || verb == SMTP_AUTH;
}

static enum smtpd_event run_command(struct turn *t, struct slice line)
{
    struct smtpd *s = t->s;
    struct slice args;
    enum smtp_verb verb = smtp_command_parse(line, &args);
    const struct smtpd_rule *rule = smtpd_rule((enum smtpd_state)s->state, verb);
    enum smtp_reply reply = smtp_command_check(verb, line.len, args);
    if (verb == SMTP_BDAT &&
        (reply != SMTP_REPLY_NONE || !smtp_bdat_parse(args, &s->chunk_left, &s->chunk_is_last))) {
        return smtpd_hang_up(t, SMTP_REPLY_CHUNK_SIZE, SMTPD_REASON_CHUNK_SIZE);
    }
    if (is_nonmail(verb) &&
        smtpd_is_over(&s->num_nonmail_commands, s->env->limits.nonmail_commands_max)) {
        return smtpd_hang_up(t, SMTP_REPLY_NONMAIL_LIMIT, SMTPD_REASON_NONMAIL_COMMANDS);
    }
    /* What comes out of order is told so, whatever else is wrong with it. */
    if (reply != SMTP_REPLY_NONE &&
        smtp_reply_class((enum smtp_reply)rule->reply) == SMTP_REPLY_CLASS_GOOD) {
        return smtpd_say(t, reply);
    }
    return do_rule(t, rule, args);
}

/* A command line without an end in sight. A chunk that it announces, or another protocol's request,
 * must not be read as commands. */
static enum smtpd_event begin_long_line(struct turn *t)
{
    struct slice args;
    t->s->skip_reply = SMTP_REPLY_LINE_TOO_LONG;
    switch (smtp_command_parse(slice_make(t->in->ptr, SMTP_LINE_MAX), &args)) {
    case SMTP_BDAT:
        return smtpd_hang_up(t, SMTP_REPLY_CHUNK_SIZE, SMTPD_REASON_CHUNK_SIZE);
    case SMTP_FOREIGN:
        return smtpd_hang_up(t, SMTP_REPLY_NOT_SMTP, SMTPD_REASON_NOT_SMTP);
    case SMTP_AUTH:
        t->s->skip_reply = SMTP_REPLY_AUTH_LINE_TOO_LONG;
        smtpd_enter_phase(t->s, SMTPD_PHASE_LONG_LINE);
        return GO_ON;
    default:
        smtpd_enter_phase(t->s, SMTPD_PHASE_LONG_LINE);
        return GO_ON;
    }
}

/* The one thing that may come in lines longer than SMTP_LINE_MAX. */
static bool is_auth(struct slice in)
{
    struct slice word;
    return slice_take(&in, 5, &word) && text_equal_nocase(word, SLICE_LITERAL("AUTH "));
}

/* What no line may hold. */
static enum smtpd_event break_off(struct turn *t, enum smtp_line_result result)
{
    switch (result) {
    case SMTP_LINE_BARE_CR:
        return smtpd_hang_up(t, SMTP_REPLY_LINE_BARE_CR, SMTPD_REASON_BARE_CR);
    case SMTP_LINE_BARE_LF:
        return smtpd_hang_up(t, SMTP_REPLY_LINE_BARE_LF, SMTPD_REASON_BARE_LF);
    case SMTP_LINE_NUL:
        return smtpd_hang_up(t, SMTP_REPLY_LINE_NUL, SMTPD_REASON_NUL);
    case SMTP_LINE_OK:
    case SMTP_LINE_TOO_LONG:
    case SMTP_LINE_MORE:
        break;
    }
    return SMTPD_MORE;
}

enum smtpd_event smtpd_read_command(struct turn *t, bool is_long)
{
    struct slice line = {NULL, 0};
    if (!is_long && t->in->len != 0 && t->in->ptr[0] == TLS_RECORD) {
        return smtpd_hang_up(t, SMTP_REPLY_NOT_SMTP, SMTPD_REASON_TLS_UNASKED);
    }
    size_t line_max = is_auth(*t->in) ? SMTP_AUTH_LINE_MAX : SMTP_LINE_MAX;
    enum smtp_line_result result =
        is_long ? smtp_line_drop(t->in) : smtp_line_take(t->in, line_max, &line);
    if (result == SMTP_LINE_TOO_LONG) {
        return begin_long_line(t);
    }
    if (result != SMTP_LINE_OK) {
        return break_off(t, result);
    }
    if (!is_long) {
        return run_command(t, line);
    }
    smtpd_enter_phase(t->s, SMTPD_PHASE_COMMAND);
    return smtpd_say(t, (enum smtp_reply)t->s->skip_reply);
}

enum smtpd_event smtpd_read_response(struct turn *t)
{
    struct slice line = {NULL, 0};
    enum smtp_line_result result = smtp_line_take(t->in, SMTP_AUTH_LINE_MAX, &line);
    if (result == SMTP_LINE_TOO_LONG) {
        t->s->skip_reply = SMTP_REPLY_AUTH_LINE_TOO_LONG;
        smtpd_enter_phase(t->s, SMTPD_PHASE_LONG_LINE);
        return GO_ON;
    }
    if (result != SMTP_LINE_OK) {
        return break_off(t, result);
    }
    t->ask->body = line;
    return smtpd_ask(t, SMTPD_AUTH);
}

/* A caller of the SMTP server engine for tests: it answers as told, and records all that it hears.
 */
#ifndef POSTERN_SMTPD_CALLER_H
#define POSTERN_SMTPD_CALLER_H

#include "smtpd.h"
#include "smtpd_table.h"

#include "test.h"

#define HELLO "EHLO client.example\r\n"
#define FROM  "MAIL FROM:<a@example.org>\r\n"
#define TO    "RCPT TO:<b@example.org>\r\n"

#define TEXT_CAP 8192

struct caller {
    struct smtpd s;
    struct smtpd_env env;
    enum smtpd_verdict verdicts[NUM_SMTPD_EVENTS]; /* what a question is answered */
    size_t out_cap;
    size_t failing_at; /* body length at which storing fails; 0: never */
    enum smtpd_reason reason;
    uint32_t num_open; /* transactions begun and not ended */
    size_t num_replies, num_events, num_body, num_mail;
    uint8_t room[TEXT_CAP];
    char replies[TEXT_CAP];
    char events[TEXT_CAP]; /* a letter an event, no BODY */
    char body[TEXT_CAP];   /* of the transaction */
    char mail[TEXT_CAP];   /* bodies of those that came to their end, and "|" behind each */
};

static const char letters[NUM_SMTPD_EVENTS] = {
    [SMTPD_MAIL] = 'M',     [SMTPD_RCPT] = 'R',  [SMTPD_BEGIN] = 'B',
    [SMTPD_END] = 'E',      [SMTPD_ABORT] = 'A', [SMTPD_AUTH] = 'U',
    [SMTPD_STARTTLS] = 'S', [SMTPD_TLS] = 'T',   [SMTPD_CLOSE] = 'C',
};

static const struct smtpd_env plain_env = {
    .hostname = {(const uint8_t *)"mx.example.org", 14},
    .limits = {.message_size_limit = 1000,
               .recipients_max = 3,
               .mails_max = 100,
               .text_line_max = SMTP_TEXT_LINE_MAX,
               .synprot_errors_max = 50,
               .unknown_commands_max = 50,
               .nonmail_commands_max = 100},
    .starttls_offered = true,
    .auth_needs_tls = true,
};

static inline void caller_open(struct caller *c)
{
    memset(c, 0, offsetof(struct caller, room));
    memset(c->replies, 0, sizeof c->replies);
    memset(c->events, 0, sizeof c->events);
    c->env = plain_env;
    c->out_cap = 4096;
    smtpd_open(&c->s, &c->env, false);
    smtpd_offer_auth(&c->s, "PLAIN LOGIN");
}

/* What an exchange of AUTH comes to; its words are no base64, which the engine does not read. */
static void answer_auth(struct caller *c, const struct smtpd_ask *ask)
{
    static const struct {
        const char *word;
        enum smtpd_verdict verdict;
    } words[] = {{"good", SMTPD_OK},
                 {"bad", SMTPD_AUTH_FAILED},
                 {"later", SMTPD_TEMPORARY},
                 {"*", SMTPD_AUTH_CANCELLED},
                 {"none", SMTPD_AUTH_MECHANISM}};
    enum smtpd_verdict verdict = SMTPD_AUTH_SYNTAX;
    bool begins = ask->mechanism.len != 0;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        struct slice word = begins && ask->body.len == 0 ? ask->mechanism : ask->body;
        if (slice_equal(word, slice_of_string(words[i].word))) {
            verdict = words[i].verdict;
        }
    }
    if (slice_equal(ask->body, SLICE_LITERAL("more"))) {
        smtpd_challenge(&c->s, SLICE_LITERAL("bW9yZQ=="));
    } else if (begins && ask->body.len == 0 && verdict == SMTPD_AUTH_SYNTAX) {
        smtpd_challenge(&c->s, slice_make(NULL, 0));
    }
    smtpd_answer(&c->s, verdict, slice_make(NULL, 0));
}

static enum smtpd_verdict verdict_on(const struct caller *c, enum smtpd_event event,
                                     const struct smtpd_ask *ask)
{
    if (event == SMTPD_RCPT && slice_equal(ask->address.local, SLICE_LITERAL("nobody"))) {
        return SMTPD_UNKNOWN_USER;
    }
    if (event == SMTPD_MAIL && slice_equal(ask->address.local, SLICE_LITERAL("later"))) {
        return SMTPD_TEMPORARY;
    }
    return c->verdicts[event];
}

/* Until the answer comes, the engine waits and touches nothing. */
static void answer(struct caller *c, struct slice in, enum smtpd_event event,
                   const struct smtpd_ask *ask)
{
    enum smtpd_verdict verdict = verdict_on(c, event, ask);
    struct slice before = in;
    struct smtpd_ask none;
    struct buf no_room = buf_make(NULL, 0);
    CHECK_EQ(smtpd_next(&c->s, &in, &no_room, &none), SMTPD_WAIT);
    CHECK(in.ptr == before.ptr && in.len == before.len && no_room.len == 0);
    if (event == SMTPD_MAIL && verdict == SMTPD_OK) {
        CHECK_EQ(c->num_open, 0);
        c->num_open++;
        c->num_body = 0;
    }
    if (event == SMTPD_END) {
        CHECK_EQ(c->num_open, 1);
        c->num_open--;
        memcpy(c->mail + c->num_mail, c->body, c->num_body);
        c->num_mail += c->num_body;
        c->mail[c->num_mail++] = '|';
    }
    smtpd_answer(&c->s, verdict, SLICE_LITERAL("id1"));
    smtpd_answer(&c->s, SMTPD_LOOP, SLICE_LITERAL("twice"));
}

static void take_body(struct caller *c, struct slice body)
{
    CHECK(body.len != 0 && c->num_open == 1);
    CHECK(body.len <= TEXT_CAP - c->num_body);
    memcpy(c->body + c->num_body, body.ptr, body.len);
    c->num_body += body.len;
    if (c->failing_at != 0 && c->num_body >= c->failing_at) {
        smtpd_body_failed(&c->s, SMTPD_NO_SPACE);
    }
}

static void write_out(struct caller *c, struct buf *out)
{
    memcpy(c->replies + c->num_replies, out->ptr, out->len);
    c->num_replies += out->len;
    out->len = 0;
}

/* Feeds *in until the engine wants more or has closed. */
static enum smtpd_event drive(struct caller *c, struct slice *in)
{
    struct buf out = buf_make(c->room, c->out_cap);
    enum smtpd_event event = SMTPD_FLUSH;
    for (uint32_t turn = 0; turn < 100000; turn++) {
        struct smtpd_ask ask;
        event = smtpd_next(&c->s, in, &out, &ask);
        CHECK(!out.overflow);
        if (letters[event] != 0) {
            c->events[c->num_events++] = letters[event];
        }
        if (event == SMTPD_MAIL || event == SMTPD_RCPT || event == SMTPD_BEGIN ||
            event == SMTPD_END || event == SMTPD_STARTTLS) {
            answer(c, *in, event, &ask);
        } else if (event == SMTPD_AUTH) {
            answer_auth(c, &ask);
        } else if (event == SMTPD_BODY) {
            take_body(c, ask.body);
        } else if (event == SMTPD_ABORT) {
            CHECK_EQ(c->num_open, 1);
            c->num_open--;
        } else if (event == SMTPD_FLUSH) {
            CHECK(out.len != 0);
            write_out(c, &out);
        } else if (event == SMTPD_TLS) {
            write_out(c, &out);
            CHECK_EQ(smtpd_next(&c->s, in, &out, &ask), SMTPD_WAIT);
            smtpd_tls_started(&c->s);
        } else {
            break;
        }
    }
    if (event == SMTPD_CLOSE) {
        struct smtpd_ask ask;
        CHECK_EQ(smtpd_next(&c->s, in, &out, &ask), SMTPD_CLOSE);
        c->reason = ask.reason;
        CHECK_EQ(c->num_open, 0);
    } else {
        CHECK_EQ(event, SMTPD_MORE);
        CHECK(in->len < SMTP_AUTH_LINE_MAX);
        CHECK(!smtpd_in_body(&c->s) || in->len == 0 || c->s.state == SMTPD_STATE_CHUNKS);
    }
    write_out(c, &out);
    return event;
}

/* Sends text in pieces, each in front of what the engine left of the ones before. */
static inline void send(struct caller *c, const char *text, size_t len, size_t piece_len)
{
    char held[SMTP_AUTH_LINE_MAX];
    size_t num_held = 0;
    for (size_t at = 0; at < len || (at == 0 && len == 0); at += piece_len) {
        size_t n = len - at < piece_len ? len - at : piece_len;
        uint8_t *piece = malloc(num_held + n + 1);
        memcpy(piece, held, num_held);
        memcpy(piece + num_held, text + at, n);
        struct slice in = slice_make(piece, num_held + n);
        enum smtpd_event event = drive(c, &in);
        if (event == SMTPD_MORE) {
            memcpy(held, in.ptr, in.len);
            num_held = in.len;
        }
        free(piece);
        if (event == SMTPD_CLOSE || len == 0) {
            break;
        }
    }
}

/* "220 250/2.1.0 354": the last lines of all replies, shortened. */
static inline void codes_of(const struct caller *c, char *out, size_t cap)
{
    struct buf b = buf_make(out, cap - 1);
    const char *line = c->replies;
    const char *end = c->replies + c->num_replies;
    while (line < end) {
        const char *next = strstr(line, "\r\n");
        CHECK(next != NULL && next - line >= 4);
        if (next == NULL) {
            break;
        }
        if (line[3] == ' ') {
            buf_put_string(&b, b.len == 0 ? "" : " ");
            buf_put(&b, slice_make(line, 3));
            if (line[4] == line[0] && line[5] == '.') {
                buf_put_string(&b, "/");
                buf_put(&b, slice_make(line + 4, 5));
            }
        }
        line = next + 2;
    }
    CHECK(!b.overflow);
    buf_end_string(&b);
}

#endif

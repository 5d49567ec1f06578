/* A whole session: replies and events are the same however the client's bytes were cut, and every
 * transaction ends once. What comes together with STARTTLS was sent in the clear and is refused;
 * what comes later counts as sent in TLS here: so cuts matter behind it. */
#include "smtpd.h"

#include "fuzz.h"

#define TURNS_MAX 100000

struct session {
    struct smtpd s;
    struct smtpd_env env;
    uint8_t choice;
    bool is_open; /* a transaction is */
    bool in_tls;  /* a handshake was asked for */
    uint64_t replies, events;
    uint64_t body, mail; /* of the transaction; of those that came to their end */
    enum smtpd_event last;
    struct smtpd_ask ask;
};

static const struct smtpd_env plain_env = {
    .hostname = {(const uint8_t *)"mx.example.org", 14},
    .limits = {.message_size_limit = 2000,
               .recipients_max = 3,
               .mails_max = 20,
               .text_line_max = SMTP_TEXT_LINE_MAX,
               .synprot_errors_max = 5,
               .unknown_commands_max = 5,
               .refused_rcpts_max = 4,
               .nonmail_commands_max = 20},
    .starttls_offered = true,
};

/* The client's first byte and the event draw the answer. */
static enum smtpd_verdict verdict_on(const struct session *c, enum smtpd_event event)
{
    unsigned draw = (c->choice >> 2) * 7u + (unsigned)event * 5u;
    return draw % 3 != 0 ? SMTPD_OK : (enum smtpd_verdict)(draw % NUM_SMTPD_VERDICTS);
}

static void put(struct session *c, struct buf *out)
{
    c->replies = fuzz_sum(c->replies, buf_slice(out));
    out->len = 0;
}

static void obey(struct session *c, enum smtpd_event event)
{
    uint8_t letter = (uint8_t)event;
    enum smtpd_verdict verdict = verdict_on(c, event);
    if (event != SMTPD_BODY && event != SMTPD_FLUSH) {
        c->events = fuzz_sum(c->events, slice_make(&letter, 1));
    }
    switch (event) {
    case SMTPD_BODY:
        MUST(c->is_open && c->ask.body.len > 0);
        c->body = fuzz_sum(c->body, c->ask.body);
        break;
    case SMTPD_MAIL:
        MUST(!c->is_open);
        c->is_open = verdict == SMTPD_OK;
        c->body = 0;
        break;
    case SMTPD_END:
        c->mail = fuzz_sum(c->mail, slice_make(&c->body, sizeof c->body));
        MUST(c->is_open);
        c->is_open = false;
        break;
    case SMTPD_ABORT:
        MUST(c->is_open);
        c->is_open = false;
        break;
    case SMTPD_RCPT:
    case SMTPD_BEGIN:
        MUST(c->is_open);
        break;
    case SMTPD_AUTH:
        MUST(!c->is_open && !smtpd_is_authenticated(&c->s));
        break;
    case SMTPD_STARTTLS:
        c->in_tls = true;
        break;
    case SMTPD_TLS:
        smtpd_tls_started(&c->s);
        break;
    default:
        break;
    }
    if (event == SMTPD_AUTH && verdict == SMTPD_CHALLENGE) {
        smtpd_challenge(&c->s, SLICE_LITERAL("bW9yZQ=="));
    }
    smtpd_answer(&c->s, verdict, SLICE_LITERAL("id1"));
}

/* Until it wants more, or has closed. */
static void drive(struct session *c, struct slice *in)
{
    uint8_t room[SMTPD_REPLY_MAX + 100];
    struct buf out = buf_make(room, sizeof room);
    for (unsigned turn = 0;; turn++) {
        struct slice before = *in;
        MUST(turn < TURNS_MAX);
        c->last = smtpd_next(&c->s, in, &out, &c->ask);
        MUST(!out.overflow && in->len <= before.len);
        if (c->last == SMTPD_FLUSH || c->last == SMTPD_TLS) {
            put(c, &out);
        }
        if (c->last == SMTPD_MORE || c->last == SMTPD_CLOSE) {
            break;
        }
        obey(c, c->last);
    }
    MUST(c->last != SMTPD_CLOSE || !c->is_open);
    MUST(c->last != SMTPD_MORE || in->len < SMTP_AUTH_LINE_MAX);
    put(c, &out);
}

static void run(struct session *c, struct slice in, bool in_pieces, uint8_t choice)
{
    uint32_t seed = choice;
    uint8_t *held = NULL;
    size_t num_held = 0;
    memset(c, 0, sizeof *c);
    c->env = plain_env;
    c->choice = choice;
    smtpd_open(&c->s, &c->env, (choice & 2) != 0);
    smtpd_offer_auth(&c->s, (choice & 1) != 0 ? NULL : "PLAIN LOGIN");
    do {
        struct slice more = in;
        if (in_pieces) {
            more = fuzz_piece(&in, &seed);
        } else {
            in.len = 0;
        }
        uint8_t *bytes = malloc(num_held + more.len + 1);
        if (num_held > 0) {
            memcpy(bytes, held, num_held);
        }
        if (more.len > 0) {
            memcpy(bytes + num_held, more.ptr, more.len);
        }
        free(held);
        struct slice all = slice_make(bytes, num_held + more.len);
        drive(c, &all);
        num_held = all.len;
        memmove(bytes, all.ptr, num_held);
        held = bytes;
    } while (c->last != SMTPD_CLOSE && !slice_is_empty(in));
    free(held);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static struct session whole, pieces;
    struct slice in = slice_make(data, len);
    uint8_t choice = fuzz_choice(&in);
    run(&whole, in, false, choice);
    run(&pieces, in, true, choice);
    if (whole.in_tls || pieces.in_tls) {
        return 0;
    }
    MUST(whole.last == pieces.last && whole.replies == pieces.replies &&
         whole.events == pieces.events);
    MUST(whole.last != SMTPD_CLOSE || whole.ask.reason == pieces.ask.reason);
    MUST(whole.mail == pieces.mail);
    return 0;
}

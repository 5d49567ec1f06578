/* The SMTP client's engine: every cell of its table, dialogues at once and byte by byte. */
#include "smtp_client_table.h"

#include "envelope.h"
#include "test.h"
#include "text.h"

struct play {
    struct smtp_client client;
    uint8_t memory[SMTP_CLIENT_COMMAND_MAX + 100];
    const char *options;
    char told[1024];
    char said[65536];
    uint32_t num_messages; /* begun */
    size_t content_at;
    bool stays; /* at READY, says nothing */
    bool ended;
};

static bool has(const struct play *p, char option)
{
    return strchr(p->options, option) != NULL;
}

static uint32_t num_rcpts(const struct play *p)
{
    const char *digit = strpbrk(p->options, "1234579");
    return digit == NULL ? 1 : (uint32_t)(*digit - '0');
}

static struct slice content_of(const struct play *p)
{
    return has(p, 'S') ? SLICE_LITERAL(".\r\n..a\r\nb.\r\n.\r\n")
                       : SLICE_LITERAL("Subject: x\r\n\r\nhello\r\n");
}

static void tell(struct play *p, const char *word, long number, const char *rest)
{
    char text[64];
    snprintf(text, sizeof text, "%s%s", p->told[0] == 0 ? "" : " ", word);
    strcat(p->told, text);
    if (number >= 0) {
        snprintf(text, sizeof text, "%ld=%u", number, p->client.answer.code);
        strcat(p->told, text);
    }
    strcat(p->told, rest);
}

static void begin(struct play *p, const char *options)
{
    memset(p, 0, sizeof *p);
    p->options = options;
    struct smtp_client_conf conf = {
        .hostname = SLICE_LITERAL("me.example"),
        .is_lmtp = has(p, 'L'),
        .shuns_itself = has(p, 'W'),
        .tls = has(p, 'T')   ? SMTP_CLIENT_TLS_IF_OFFERED
               : has(p, 'R') ? SMTP_CLIENT_TLS_REQUIRED
               : has(p, 'O') ? SMTP_CLIENT_TLS_ON
                             : SMTP_CLIENT_TLS_NEVER,
    };
    if (has(p, 'A')) {
        conf.user = SLICE_LITERAL("joe");
        conf.password = SLICE_LITERAL("secret");
        conf.random = SLICE_LITERAL("AAAAAAAAAAAAAAAAAA");
    }
    smtp_client_begin(&p->client, &conf, buf_make(p->memory, sizeof p->memory));
}

static void begin_mail(struct play *p)
{
    struct smtp_client_mail mail = {
        .sender = SLICE_LITERAL("s@example.org"),
        .content_len = content_of(p).len,
        .is_8bit = has(p, '8'),
        .is_smtputf8 = has(p, 'U'),
        .num_rcpts = num_rcpts(p),
    };
    if (has(p, 'D')) {
        mail.ret = "HDRS";
        mail.envid = SLICE_LITERAL("a+b=c d");
    }
    p->num_messages++;
    p->content_at = 0;
    smtp_client_mail(&p->client, &mail);
}

static void give_rcpt(struct play *p)
{
    char address[32];
    uint32_t number = p->client.rcpt + (strstr(p->told, "r!") != NULL);
    snprintf(address, sizeof address, "r%u@example.org", number);
    struct smtp_client_rcpt rcpt = {.address = slice_of_string(address)};
    if (has(p, 'D')) {
        rcpt.notify = ENVELOPE_SUCCESS | ENVELOPE_DELAY;
        rcpt.orcpt = SLICE_LITERAL("rfc822;o+o@example.org");
    }
    if (has(p, 'u')) {
        rcpt.orcpt = SLICE_LITERAL("utf-8;\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80+\\@x");
    }
    if (has(p, 'X') && number == 0) {
        rcpt.address = SLICE_LITERAL("r0@example.org>\r\nRSET");
        CHECK(!smtp_client_rcpt(&p->client, &rcpt));
        smtp_client_skip_rcpt(&p->client);
        tell(p, "r!", -1, "");
        return;
    }
    CHECK(smtp_client_rcpt(&p->client, &rcpt));
    tell(p, "r", -1, "");
}

static void give_content(struct play *p)
{
    struct slice rest = content_of(p);
    if (p->content_at == 0) {
        tell(p, "c", -1, "");
    }
    slice_skip(&rest, p->content_at);
    rest.len = rest.len < 5 ? rest.len : 5; /* in pieces */
    p->content_at += smtp_client_content(&p->client, rest);
}

static bool is_ready(struct play *p)
{
    uint32_t wanted = has(p, 'm') ? 2 : 1;
    if (p->stays) {
        tell(p, "G", -1, "x");
        return false;
    }
    if (p->num_messages < wanted) {
        tell(p, "G", -1, "");
        begin_mail(p);
    } else {
        tell(p, "G", -1, "x");
        smtp_client_quit(&p->client);
    }
    return true;
}

static void drain(struct play *p)
{
    struct slice out = buf_slice(&p->client.out);
    size_t len = strlen(p->said);
    CHECK(!p->client.out.overflow);
    CHECK(len + out.len < sizeof p->said);
    memcpy(p->said + len, out.ptr, out.len);
    p->said[len + out.len] = 0;
    smtp_client_sent(&p->client, out.len);
}

/* One event; false: nothing more happens now. */
static bool turn(struct play *p, struct slice *in)
{
    size_t said_len = p->client.out.len;
    switch (smtp_client_next(&p->client, in)) {
    case SMTP_CLIENT_WAIT:
        drain(p);
        return said_len != 0;
    case SMTP_CLIENT_STARTTLS:
        tell(p, "T", -1, "");
        drain(p);
        if (!p->stays) {
            smtp_client_tls_begun(&p->client);
        }
        return !p->stays;
    case SMTP_CLIENT_READY:
        return is_ready(p);
    case SMTP_CLIENT_GIVE_RCPT:
        give_rcpt(p);
        return true;
    case SMTP_CLIENT_GIVE_CONTENT:
        give_content(p);
        return true;
    case SMTP_CLIENT_RCPT_ANSWER:
        tell(p, "R", (long)p->client.rcpt, "");
        return true;
    case SMTP_CLIENT_MAIL_ANSWER:
        tell(p, "M=", -1, "");
        snprintf(p->told + strlen(p->told), 8, "%u", p->client.answer.code);
        return true;
    case SMTP_CLIENT_DONE:
        tell(p, "D", -1, "");
        return true;
    case SMTP_CLIENT_ENDED:
        tell(p, "E:", -1, p->client.reason == NULL ? "" : p->client.reason);
        p->ended = true;
        drain(p);
        return false;
    case SMTP_CLIENT_TURN:
        tell(p, "t", -1, "");
        return true;
    case SMTP_CLIENT_AGAIN:
        CHECK(false);
        return false;
    }
    return false;
}

static void hear(struct play *p, struct slice bytes, size_t piece_len)
{
    uint8_t kept[2048];
    size_t kept_len = 0;
    while (!p->ended) {
        struct slice piece;
        slice_take(&bytes, bytes.len < piece_len ? bytes.len : piece_len, &piece);
        CHECK(kept_len + piece.len <= sizeof kept);
        memcpy(kept + kept_len, piece.ptr, piece.len);
        struct slice in = slice_make(kept, kept_len + piece.len);
        for (int i = 0; i < 1000 && turn(p, &in); i++) {
        }
        memmove(kept, in.ptr, in.len);
        kept_len = in.len;
        if (slice_is_empty(bytes)) {
            break;
        }
    }
}

static void play(struct play *p, const char *options, const char *peer, size_t piece_len)
{
    begin(p, options);
    for (bool is_last = false; !is_last && !p->ended;) {
        const char *end = strchr(peer, '~');
        is_last = end == NULL;
        hear(p, slice_make(peer, is_last ? strlen(peer) : (size_t)(end - peer)), piece_len);
        if (!is_last) {
            strcat(p->said, "~");
            peer = end + 1;
        }
    }
}

/* "~" stands where the peer's words came in between; where we had nothing to say, two meet. */
static void squeeze(char *text)
{
    char *to = text;
    for (const char *from = text; *from != 0; from++) {
        if (*from != '~' || (from[1] != 0 && from[1] != '~')) {
            *to++ = *from;
        }
    }
    *to = 0;
}

static void check_dialogue(const char *name, const char *options, const char *peer,
                           const char *said, const char *told, size_t piece_len)
{
    static struct play p;
    char want[4096];
    play(&p, options, peer, piece_len);
    snprintf(want, sizeof want, "%s", said[0] == '~' ? said + 1 : said);
    char *got = p.said[0] == '~' ? p.said + 1 : p.said;
    squeeze(got);
    squeeze(want);
    if (strcmp(got, want) != 0 || strcmp(p.told, told) != 0) {
        fprintf(stderr, "%s, pieces of %zu:\n  said '%s'\n  want '%s'\n  told '%s'\n  want '%s'\n",
                name, piece_len, got, want, p.told, told);
    }
    CHECK(strcmp(got, want) == 0);
    CHECK(strcmp(p.told, told) == 0);
}

static void test_dialogues(void)
{
#define DIALOGUE(name, options, peer, said, told)            \
    check_dialogue(name, options, peer, said, told, 100000); \
    check_dialogue(name, options, peer, said, told, 1);
#include "../tables/smtp_client_dialogues.def"
#undef DIALOGUE
}

/* What brings a session into a state: options, and what the peer has said. */
static const struct {
    const char *options, *peer;
} ways[NUM_SMTP_CLIENT_STATES] = {
    [SMTP_CLIENT_STATE_GREETING] = {"1", ""},
    [SMTP_CLIENT_STATE_EHLO] = {"1", "220 a\r\n"},
    [SMTP_CLIENT_STATE_HELO] = {"1", "220 a\r\n~500 b\r\n"},
    [SMTP_CLIENT_STATE_STARTTLS] = {"1T", "220 a\r\n~250-a\r\n250 STARTTLS\r\n"},
    [SMTP_CLIENT_STATE_TLS] = {"1T", "220 a\r\n~250-a\r\n250 STARTTLS\r\n~220 go\r\n"},
    [SMTP_CLIENT_STATE_AUTH] = {"1OA", "220 a\r\n~250-a\r\n250 AUTH PLAIN\r\n"},
    [SMTP_CLIENT_STATE_READY] = {"1", "220 a\r\n~250 a\r\n"},
    [SMTP_CLIENT_STATE_RSET] = {"1m", "220 a\r\n~250 a\r\n~250 b\r\n~550 c\r\n"},
    [SMTP_CLIENT_STATE_MAIL] = {"1", "220 a\r\n~250 a\r\n"},
    [SMTP_CLIENT_STATE_RCPT] = {"1", "220 a\r\n~250 a\r\n~250 b\r\n"},
    [SMTP_CLIENT_STATE_DATA] = {"1", "220 a\r\n~250 a\r\n~250 b\r\n~250 c\r\n"},
    [SMTP_CLIENT_STATE_CONTENT] = {"1", "220 a\r\n~250 a\r\n~250 b\r\n~250 c\r\n"},
    [SMTP_CLIENT_STATE_END] = {"1", "220 a\r\n~250 a\r\n~250 b\r\n~250 c\r\n~354 d\r\n"},
    [SMTP_CLIENT_STATE_QUIT] = {"1", "220 a\r\n~250 a\r\n~550 b\r\n"},
};

static unsigned kinds_seen[NUM_SMTP_CLIENT_STATES];

static unsigned kind_bit(const char *reply)
{
    return strncmp(reply, "421", 3) == 0 ? 1u
           : reply[0] == 'b'             ? 2u
           : reply[0] == 'e'             ? 4u
                                         : 8u << (reply[0] - '2');
}

static void check_cell(enum smtp_client_state state, const char *reply, const char *told,
                       enum smtp_client_state next)
{
    static struct play p;
    const char *steps[8];
    char peer[256];
    size_t num_steps = 0;
    begin(&p, ways[state].options);
    snprintf(peer, sizeof peer, "%s", ways[state].peer);
    for (char *at = strtok(peer, "~"); at != NULL; at = strtok(NULL, "~")) {
        steps[num_steps++] = at;
    }
    for (size_t i = 0; i < num_steps; i++) {
        p.stays = i + 1 == num_steps &&
                  (state == SMTP_CLIENT_STATE_READY || state == SMTP_CLIENT_STATE_TLS);
        hear(&p, slice_of_string(steps[i]), 1000);
    }
    if (state == SMTP_CLIENT_STATE_CONTENT) { /* of which nothing has been given */
        struct slice go = SLICE_LITERAL("354 go\r\n");
        CHECK_EQ(smtp_client_next(&p.client, &go), SMTP_CLIENT_GIVE_CONTENT);
        p.client.out.len = p.client.out.cap; /* and the peer takes nothing more */
    }
    CHECK_EQ(p.client.state, state);
    CHECK(smtp_client_timeout_ms(&p.client) >= 60000);
    p.told[0] = 0;
    p.stays = true;
    if (strcmp(reply, "eof") == 0) {
        smtp_client_lost(&p.client, "eof");
    }
    struct slice in = reply[0] == 'e' ? slice_make(NULL, 0) : slice_of_string(reply);
    for (int i = 0; i < 1000 && turn(&p, &in) && !p.ended; i++) {
    }
    if (strcmp(p.told, told) != 0 || p.client.state != next) {
        fprintf(stderr, "%s, '%.3s': told '%s', want '%s'; state %s\n",
                smtp_client_state_name(state), reply, p.told, told,
                smtp_client_state_name((enum smtp_client_state)p.client.state));
    }
    CHECK(strcmp(p.told, told) == 0);
    CHECK_EQ(p.client.state, next);
    kinds_seen[state] |= kind_bit(reply);
}

static void test_states(void)
{
#define CELL(state, reply, told, next) \
    check_cell(SMTP_CLIENT_STATE_##state, reply, told, SMTP_CLIENT_STATE_##next);
#include "../tables/smtp_client_states.def"
#undef CELL
    for (int i = 0; i < NUM_SMTP_CLIENT_STATES; i++) {
        CHECK_EQ(kinds_seen[i], i == SMTP_CLIENT_STATE_ENDED ? 0u : 127u);
    }
}

/* Only from the last byte of the content to its answer may a peer have taken what it did not
 * confirm. */
static void test_unsure(void)
{
    static struct play p;
    static const char *const steps[] = {"220 a\r\n", "250 a\r\n", "250 b\r\n",
                                        "250 c\r\n", "354 d\r\n", "250 e\r\n"};
    begin(&p, "1");
    for (size_t i = 0; i < 6; i++) {
        hear(&p, slice_of_string(steps[i]), 1000);
        CHECK_EQ(p.client.is_unsure, i == 4);
    }
}

/* A peer that takes nothing, and answers recipients that it was not told of yet. */
static void test_answers_to_nobody(void)
{
    static struct play p;
    static char replies[8192], address[256];
    enum smtp_client_event event;
    begin(&p, "");
    struct slice in = SLICE_LITERAL("220 x\r\n250-x\r\n250 PIPELINING\r\n");
    while ((event = smtp_client_next(&p.client, &in)) == SMTP_CLIENT_WAIT && in.len != 0) {
    }
    CHECK_EQ(event, SMTP_CLIENT_READY);
    smtp_client_sent(&p.client, p.client.out.len);
    smtp_client_mail(&p.client, &(struct smtp_client_mail){.sender = SLICE_LITERAL("s@me.example"),
                                                           .content_len = 2,
                                                           .num_rcpts = SMTP_CLIENT_RCPTS_MAX});
    strcat(replies, "250 sender\r\n");
    for (int i = 0; i < 100; i++) {
        strcat(replies, "550 no\r\n");
    }
    memset(address, 'a', 200);
    strcat(address, "@example.org");
    in = slice_of_string(replies);
    do {
        event = smtp_client_next(&p.client, &in);
        if (event == SMTP_CLIENT_GIVE_RCPT) {
            struct smtp_client_rcpt rcpt = {.address = slice_of_string(address)};
            CHECK(smtp_client_rcpt(&p.client, &rcpt));
        } else if (event == SMTP_CLIENT_RCPT_ANSWER) {
            CHECK(p.client.rcpt < p.client.num_rcpts_sent);
            CHECK(p.client.rcpt < SMTP_CLIENT_RCPTS_MAX);
        }
    } while (event != SMTP_CLIENT_WAIT && event != SMTP_CLIENT_ENDED);
    CHECK_EQ(event, SMTP_CLIENT_ENDED);
    CHECK(p.client.reason != NULL && strcmp(p.client.reason, "unexpected-reply") == 0);
}

/* The same with one recipient: the end of the message before, "taken" unread, is still to be sent.
 */
static void test_answers_unread(void)
{
    static struct play p;
    static uint8_t memory[8192];
    static char replies[8192], content[6400];
    enum smtp_client_event event = SMTP_CLIENT_WAIT;
    begin(&p, "");
    p.client.out = buf_make(memory, sizeof memory);
    memset(content, 'x', sizeof content);
    strcat(replies, "220 x\r\n250-x\r\n250 PIPELINING\r\n");
    struct slice in = slice_of_string(replies);
    for (int mails = 0; event != SMTP_CLIENT_ENDED;) {
        event = smtp_client_next(&p.client, &in);
        if (event == SMTP_CLIENT_READY && mails < 2) {
            if (mails == 0) {
                smtp_client_sent(&p.client, p.client.out.len);
            }
            struct smtp_client_mail mail = {.content_len = sizeof content, .num_rcpts = 1};
            smtp_client_mail(&p.client, &mail);
            replies[0] = 0;
            strcat(replies, mails == 0 ? "250 ok\r\n250 ok\r\n354 go\r\n" : "250 ok\r\n");
            for (int i = 0; mails == 1 && i < 100; i++) {
                strcat(replies, "550 no\r\n");
            }
            in = slice_of_string(replies);
            mails++;
        } else if (event == SMTP_CLIENT_GIVE_RCPT) {
            struct smtp_client_rcpt rcpt = {.address = SLICE_LITERAL("a@example.org")};
            CHECK(smtp_client_rcpt(&p.client, &rcpt));
        } else if (event == SMTP_CLIENT_GIVE_CONTENT) {
            (void)smtp_client_content(&p.client,
                                      slice_make(content, (size_t)p.client.content_left));
        } else if (event == SMTP_CLIENT_RCPT_ANSWER) {
            CHECK(p.client.rcpt < p.client.num_rcpts_sent);
        } else if (event == SMTP_CLIENT_WAIT) {
            if (p.client.state != SMTP_CLIENT_STATE_END) {
                break;
            }
            in = SLICE_LITERAL("250 taken\r\n");
        }
    }
    CHECK_EQ(event, SMTP_CLIENT_ENDED);
}

/* Somebody in between answers EHLO and STARTTLS before either went out, and leads the handshake to
 * the server itself. What was not said yet must not be said inside TLS: the server would answer
 * each, and its "TLS already active" would be taken for a refusal of the message for good. */
static void test_starttls_unasked(void)
{
    static struct play p;
    enum smtp_client_event event;
    begin(&p, "R");
    struct slice in = SLICE_LITERAL("220 mx\r\n250-mx\r\n250 STARTTLS\r\n220 go\r\n");
    event = smtp_client_next(&p.client, &in);
    CHECK_EQ(event, SMTP_CLIENT_ENDED);
    CHECK(p.client.reason != NULL && strcmp(p.client.reason, "unexpected-reply") == 0);
}

/* A message is refused while its end is still to be sent: the next one waits until there is room
 * for its MAIL, or another sender's, or none, would be named. */
static void test_refused_unread(void)
{
    static struct play p;
    static char content[4096];
    enum smtp_client_event event;
    int num_mails = 0;
    begin(&p, "");
    memset(content, 'x', sizeof content);
    struct slice in = SLICE_LITERAL("220 x\r\n250-x\r\n250 PIPELINING\r\n");
    do {
        event = smtp_client_next(&p.client, &in);
        if (event == SMTP_CLIENT_READY && num_mails++ == 0) {
            smtp_client_sent(&p.client, p.client.out.len);
            /* 12 bytes are left when all of it is in the buffer */
            struct smtp_client_mail mail = {.sender = SLICE_LITERAL("one@me.example"),
                                            .content_len = sizeof p.memory - 12 - 5,
                                            .num_rcpts = 1};
            smtp_client_mail(&p.client, &mail);
            in = SLICE_LITERAL("250 ok\r\n250 ok\r\n354 go\r\n");
        } else if (event == SMTP_CLIENT_READY) {
            struct smtp_client_mail mail = {
                .sender = SLICE_LITERAL("two@me.example"), .content_len = 2, .num_rcpts = 1};
            smtp_client_mail(&p.client, &mail);
        } else if (event == SMTP_CLIENT_GIVE_RCPT) {
            struct smtp_client_rcpt rcpt = {.address = SLICE_LITERAL("a@example.org")};
            CHECK(smtp_client_rcpt(&p.client, &rcpt));
        } else if (event == SMTP_CLIENT_GIVE_CONTENT) {
            smtp_client_sent(&p.client, num_mails == 1 ? p.client.out.len : 0);
            (void)smtp_client_content(&p.client,
                                      slice_make(content, (size_t)p.client.content_left));
        } else if (event == SMTP_CLIENT_WAIT && p.client.state == SMTP_CLIENT_STATE_END) {
            in = SLICE_LITERAL("552 too big\r\n");
        } else if (event == SMTP_CLIENT_WAIT && p.client.state == SMTP_CLIENT_STATE_READY) {
            smtp_client_sent(&p.client, p.client.out.len);
        }
    } while (num_mails < 2 && event != SMTP_CLIENT_ENDED);
    CHECK(!p.client.out.overflow);
    struct slice said = buf_slice(&p.client.out),
                 want = SLICE_LITERAL("MAIL FROM:<two@me.example>\r\n");
    CHECK(said.len >= want.len && memcmp(said.ptr + said.len - want.len, want.ptr, want.len) == 0);
}

/* A peer that asks on, whatever it is told. */
static void test_endless_challenges(void)
{
    static const char *const mechanisms[] = {"PLAIN", "LOGIN", "SCRAM-SHA-256"};
    for (size_t i = 0; i < 3; i++) {
        static struct play p;
        char hello[64];
        begin(&p, "OA");
        snprintf(hello, sizeof hello, "250-a\r\n250 AUTH %s\r\n", mechanisms[i]);
        hear(&p, SLICE_LITERAL("220 a\r\n"), 1000);
        hear(&p, slice_of_string(hello), 1000);
        int num = 0;
        for (; num < 1000 && !p.ended; num++) {
            hear(&p, SLICE_LITERAL("334 \r\n"), 1000);
        }
        CHECK(p.ended && num < 10);
    }
}

static const struct test_case cases[] = {
    {"states", test_states},
    {"dialogues", test_dialogues},
    {"unsure", test_unsure},
    {"answers-to-nobody", test_answers_to_nobody},
    {"answers-unread", test_answers_unread},
    {"starttls-unasked", test_starttls_unasked},
    {"refused-unread", test_refused_unread},
    {"endless-challenges", test_endless_challenges},
};

TEST_MAIN(cases)

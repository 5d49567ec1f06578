/* Replies of peers, and what EHLO offers. */
#include "smtp_answer.h"

#include "test.h"

struct reply_case {
    const char *bytes;
    int num_lines; /* that are taken before it is whole; -1: malformed; 0: more is needed */
    unsigned code;
    unsigned status[3];
    const char *text;
};

static const struct reply_case replies[] = {
    {"250 ok\r\n", 1, 250, {0, 0, 0}, "250 ok"},
    {"250\r\n", 1, 250, {0, 0, 0}, "250"},
    {"250 \r\n", 1, 250, {0, 0, 0}, "250 "},
    {"250 ok\n", 1, 250, {0, 0, 0}, "250 ok"},
    {"250-one\r\n250-two\r\n250 three\r\n", 3, 250, {0, 0, 0}, "250-one 250-two 250 three"},
    {"550 5.1.1 No such user\r\n", 1, 550, {5, 1, 1}, "550 5.1.1 No such user"},
    {"550-5.7.1 a\r\n550 5.7.2 b\r\n", 2, 550, {5, 7, 1}, "550-5.7.1 a 550 5.7.2 b"},
    {"452 4.3.1\r\n", 1, 452, {4, 3, 1}, "452 4.3.1"},
    {"250 2.999.999 x\r\n", 1, 250, {2, 999, 999}, "250 2.999.999 x"},
    {"550 4.1.1 other class\r\n", 1, 550, {0, 0, 0}, "550 4.1.1 other class"},
    {"550 5.1 short\r\n", 1, 550, {0, 0, 0}, "550 5.1 short"},
    {"550 5.1.1234 long\r\n", 1, 550, {0, 0, 0}, "550 5.1.1234 long"},
    {"550 5..1 hole\r\n", 1, 550, {0, 0, 0}, "550 5..1 hole"},
    {"550 5.1.1.1 four\r\n", 1, 550, {0, 0, 0}, "550 5.1.1.1 four"},
    {"550 5.1.1no space\r\n", 1, 550, {0, 0, 0}, "550 5.1.1no space"},
    {"550 \x1b[31m\xc3\xa4\t\"\\\r\n", 1, 550, {0, 0, 0}, "550 ?[31m?? \"\\"},
    {"250 ok", 0, 0, {0, 0, 0}, ""},
    {"", 0, 0, {0, 0, 0}, ""},
    {"250-one\r\n", 0, 0, {0, 0, 0}, ""},
    {"250-one\r\n251 two\r\n", 2, 251, {0, 0, 0}, "250-one 251 two"}, /* the last one counts */
    {"250-2.0.0 one\r\n550 5.1.1 two\r\n", 2, 550, {5, 1, 1}, "250-2.0.0 one 550 5.1.1 two"},
    {"250-2.1.5 one\r\n550 two\r\n", 2, 550, {0, 0, 0}, "250-2.1.5 one 550 two"},
    {"\r\n", -1, 0, {0, 0, 0}, ""},
    {"25\r\n", -1, 0, {0, 0, 0}, ""},
    {"250=ok\r\n", -1, 0, {0, 0, 0}, ""},
    {"2500 ok\r\n", -1, 0, {0, 0, 0}, ""},
    {"199 no\r\n", -1, 0, {0, 0, 0}, ""},
    {"600 no\r\n", -1, 0, {0, 0, 0}, ""},
    {"+50 no\r\n", -1, 0, {0, 0, 0}, ""},
    {"SSH-2.0-x\r\n", -1, 0, {0, 0, 0}, ""},
    {"HTTP/1.1 400 Bad Request\r\n", -1, 0, {0, 0, 0}, ""},
};

static void test_replies(void)
{
    for (size_t i = 0; i < sizeof replies / sizeof replies[0]; i++) {
        const struct reply_case *c = &replies[i];
        struct smtp_answer a = {0};
        struct slice in = slice_of_string(c->bytes), text;
        int num = 0;
        enum smtp_answer_result r = SMTP_ANSWER_LINE;
        while (!a.is_whole && (r = smtp_answer_take(&a, &in, &text)) == SMTP_ANSWER_LINE) {
            num++;
        }
        int got = r == SMTP_ANSWER_MALFORMED ? -1 : a.is_whole ? num : 0;
        if (got != c->num_lines) {
            fprintf(stderr, "reply %zu: '%s'\n", i, c->bytes);
        }
        CHECK_EQ(got, c->num_lines);
        if (c->num_lines > 0) {
            CHECK_EQ(a.code, c->code);
            for (int k = 0; k < 3; k++) {
                CHECK_EQ(a.status[k], c->status[k]);
            }
            CHECK_TEXT(((struct slice){a.text, a.text_len}), c->text);
            CHECK(slice_is_empty(in));
        }
    }
}

/* Each cut of a reply asks for more and moves nothing that it has not understood. */
static void test_cuts(void)
{
    static const char whole[] = "250-a\r\n250 2.0.0 b\r\n";
    for (size_t cut = 0; cut < sizeof whole - 1; cut++) {
        struct smtp_answer a = {0};
        struct slice text, first = slice_make(whole, cut);
        while (smtp_answer_take(&a, &first, &text) == SMTP_ANSWER_LINE) {
        }
        CHECK(!a.is_whole);
        struct slice rest = slice_make(first.ptr, sizeof whole - 1 - (cut - first.len));
        while (!a.is_whole) {
            CHECK_EQ(smtp_answer_take(&a, &rest, &text), SMTP_ANSWER_LINE);
        }
        CHECK_EQ(a.code, 250);
        CHECK_EQ(a.status[0], 2);
    }
}

static void test_bounds(void)
{
    static uint8_t bytes[SMTP_ANSWER_LINE_MAX + 1];
    struct smtp_answer a = {0};
    struct slice text;
    memset(bytes, 'x', sizeof bytes);
    memcpy(bytes, "250 ", 4);
    struct slice in = slice_make(bytes, SMTP_ANSWER_LINE_MAX - 1);
    CHECK_EQ(smtp_answer_take(&a, &in, &text), SMTP_ANSWER_MORE);
    in.len++;
    CHECK_EQ(smtp_answer_take(&a, &in, &text), SMTP_ANSWER_MALFORMED);
    bytes[SMTP_ANSWER_LINE_MAX - 1] = '\n';
    CHECK_EQ(smtp_answer_take(&a, &in, &text), SMTP_ANSWER_LINE);
    CHECK_EQ(a.text_len, SMTP_ANSWER_TEXT_CAP);
    in = slice_make(bytes + sizeof bytes - 1500, 1499); /* with the longest Message-ID in it */
    memcpy(bytes + sizeof bytes - 1500, "250 ", 4);
    CHECK_EQ(smtp_answer_take(&a, &in, &text), SMTP_ANSWER_LINE);
    memset(&a, 0, sizeof a);
    for (int i = 0; i < SMTP_ANSWER_NUM_MAX; i++) {
        in = SLICE_LITERAL("250-x\r\n");
        CHECK_EQ(smtp_answer_take(&a, &in, &text), SMTP_ANSWER_LINE);
    }
    in = SLICE_LITERAL("250 x\r\n");
    CHECK_EQ(smtp_answer_take(&a, &in, &text), SMTP_ANSWER_MALFORMED);
}

/* A whole reply is followed by another. */
static void test_next(void)
{
    struct smtp_answer a = {0};
    struct slice text, in = SLICE_LITERAL("250 2.1.0 a\r\n550 b\r\n");
    CHECK_EQ(smtp_answer_take(&a, &in, &text), SMTP_ANSWER_LINE);
    CHECK_EQ(smtp_answer_take(&a, &in, &text), SMTP_ANSWER_LINE);
    CHECK_EQ(a.code, 550);
    CHECK_EQ(a.status[0], 0);
    CHECK_TEXT(((struct slice){a.text, a.text_len}), "550 b");
}

struct offer_case {
    const char *line;
    uint32_t bits;
    uint64_t size_max;
    uint32_t rcpt_max, mail_max;
};

static const struct offer_case offer_cases[] = {
    {"SIZE", SMTP_OFFER_SIZE, 0, 0, 0},
    {"SIZE 0", SMTP_OFFER_SIZE, 0, 0, 0},
    {"size 1000000", SMTP_OFFER_SIZE, 1000000, 0, 0},
    {"SIZE 99999999999999999999999", SMTP_OFFER_SIZE, 0, 0, 0},
    {"SIZE x", SMTP_OFFER_SIZE, 0, 0, 0},
    {"8BITMIME", SMTP_OFFER_8BITMIME, 0, 0, 0},
    {"8bitmime", SMTP_OFFER_8BITMIME, 0, 0, 0},
    {"8BITMIMEX", 0, 0, 0, 0},
    {"SMTPUTF8", SMTP_OFFER_SMTPUTF8, 0, 0, 0},
    {"CHUNKING", SMTP_OFFER_CHUNKING, 0, 0, 0},
    {"PIPELINING", SMTP_OFFER_PIPELINING, 0, 0, 0},
    {"DSN", SMTP_OFFER_DSN, 0, 0, 0},
    {"STARTTLS", SMTP_OFFER_STARTTLS, 0, 0, 0},
    {"XSTARTTLS", 0, 0, 0, 0},
    {"ENHANCEDSTATUSCODES", SMTP_OFFER_STATUS_CODES, 0, 0, 0},
    {"AUTH PLAIN LOGIN", SMTP_OFFER_AUTH_PLAIN | SMTP_OFFER_AUTH_LOGIN, 0, 0, 0},
    {"AUTH  scram-sha-256  plain ", SMTP_OFFER_AUTH_SCRAM | SMTP_OFFER_AUTH_PLAIN, 0, 0, 0},
    {"AUTH SCRAM-SHA-256-PLUS GSSAPI", 0, 0, 0, 0},
    {"AUTH", 0, 0, 0, 0},
    {"LIMITS RCPTMAX=20 MAILMAX=5", 0, 0, 20, 5},
    {"limits mailmax=5 RCPTDOMAINMAX=1", 0, 0, 0, 5},
    {"LIMITS RCPTMAX=0 MAILMAX=x", 0, 0, 0, 0},
    {"LIMITS RCPTMAX", 0, 0, 0, 0},
    {"", 0, 0, 0, 0},
    {" ", 0, 0, 0, 0},
};

static void test_offers(void)
{
    for (size_t i = 0; i < sizeof offer_cases / sizeof offer_cases[0]; i++) {
        const struct offer_case *c = &offer_cases[i];
        struct smtp_offers o = {0};
        smtp_offers_add(&o, slice_of_string(c->line));
        if (o.bits != c->bits || o.size_max != c->size_max || o.rcpt_max != c->rcpt_max ||
            o.mail_max != c->mail_max) {
            fprintf(stderr, "offer '%s'\n", c->line);
        }
        CHECK_EQ(o.bits, c->bits);
        CHECK_EQ(o.size_max, c->size_max);
        CHECK_EQ(o.rcpt_max, c->rcpt_max);
        CHECK_EQ(o.mail_max, c->mail_max);
    }
}

static const struct test_case cases[] = {
    {"replies", test_replies}, {"cuts", test_cuts},     {"bounds", test_bounds},
    {"next", test_next},       {"offers", test_offers},
};

TEST_MAIN(cases)

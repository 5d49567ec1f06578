/* The SMTP server: limits, answers, ends, and what one dialogue cannot tell. */
#include "smtpd_caller.h"

static void say(struct caller *c, const char *text)
{
    c->num_replies = 0;
    memset(c->replies, 0, sizeof c->replies);
    send(c, text, strlen(text), 1 << 20);
}

#define CHECK_SAYS(c, text, reply)                        \
    do {                                                  \
        say((c), (text));                                 \
        CHECK_TEXT(slice_of_string((c)->replies), reply); \
    } while (0)

static struct caller one;

static void ehlo_tells_what_is_true(void)
{
    caller_open(&one);
    CHECK_SAYS(&one, "", "220 mx.example.org ESMTP Postern\r\n");
    CHECK_SAYS(&one, HELLO,
               "250-mx.example.org\r\n250-SIZE 1000\r\n250-PIPELINING\r\n250-8BITMIME\r\n"
               "250-SMTPUTF8\r\n250-CHUNKING\r\n250-DSN\r\n250-STARTTLS\r\n250-AUTH PLAIN LOGIN\r\n"
               "250-LIMITS MAILMAX=100 RCPTMAX=3\r\n250 ENHANCEDSTATUSCODES\r\n");
    CHECK(smtpd_is_esmtp(&one.s));
    CHECK_TEXT(smtpd_helo(&one.s), "client.example");
    CHECK_SAYS(&one, "HELO other.example\r\n", "250 mx.example.org\r\n");
    CHECK(!smtpd_is_esmtp(&one.s));
    CHECK_TEXT(smtpd_helo(&one.s), "other.example");
    one.env.limits = (struct smtpd_limits){.recipients_max = 7};
    one.env.starttls_offered = false;
    smtpd_offer_auth(&one.s, NULL);
    CHECK_SAYS(&one, HELLO,
               "250-mx.example.org\r\n250-SIZE\r\n250-PIPELINING\r\n250-8BITMIME\r\n"
               "250-SMTPUTF8\r\n250-CHUNKING\r\n250-DSN\r\n250-LIMITS RCPTMAX=7\r\n"
               "250 ENHANCEDSTATUSCODES\r\n");
    /* RFC 9422 4: a limit has six digits at most. */
    one.env.limits = (struct smtpd_limits){.mails_max = 1000000};
    say(&one, HELLO);
    CHECK(strstr(one.replies, "250-LIMITS MAILMAX=999999\r\n") != NULL);
    one.env.limits.mails_max = 0;
    say(&one, HELLO);
    CHECK(strstr(one.replies, "LIMITS") == NULL);
}

static void login_is_offered_where_it_may_be_used(void)
{
    caller_open(&one);
    smtpd_offer_auth(&one.s, NULL);
    say(&one, HELLO);
    CHECK_SAYS(&one, "AUTH PLAIN good\r\n", "538 5.7.11 STARTTLS first\r\n");
    one.env.auth_needs_tls = false;
    CHECK_SAYS(&one, "AUTH PLAIN good\r\n", "502 5.5.1 Command not offered\r\n");
    CHECK(!smtpd_is_authenticated(&one.s));
    smtpd_offer_auth(&one.s, "PLAIN");
    CHECK_SAYS(&one, "AUTH PLAIN\r\n", "334 \r\n");
    CHECK_SAYS(&one, "more\r\n", "334 bW9yZQ==\r\n");
    CHECK_SAYS(&one, "good\r\n", "235 2.7.0 Authenticated\r\n");
    CHECK(smtpd_is_authenticated(&one.s));
    say(&one, HELLO);
    CHECK(strstr(one.replies, "AUTH") == NULL && smtpd_is_authenticated(&one.s));
}

static void the_longest_ehlo_reply_fits(void)
{
    static uint8_t host[255];
    memset(host, 'h', sizeof host);
    caller_open(&one);
    one.out_cap = SMTPD_REPLY_MAX;
    one.env.hostname = slice_make(host, sizeof host);
    smtpd_offer_auth(&one.s, "PLAIN LOGIN SCRAM-SHA-256 SCRAM-SHA-256-PLUS");
    memset(&one.env.limits, 0xff, sizeof one.env.limits);
    say(&one, "");
    say(&one, HELLO);
    CHECK(strstr(one.replies, "250 ENHANCEDSTATUSCODES\r\n") != NULL);
    CHECK(strlen(one.replies) <= SMTPD_REPLY_MAX);
}

static void mail_and_rcpt_tell_what_was_said(void)
{
    struct caller *c = &one;
    caller_open(c);
    say(c, HELLO);
    uint8_t room[1024];
    struct buf out = buf_make(room, sizeof room);
    struct smtpd_ask ask;
    struct slice in = SLICE_LITERAL("MAIL FROM:<j\xc3\xb6@example.org> SIZE=999 BODY=8BITMIME "
                                    "SMTPUTF8 RET=FULL ENVID=q+2B\r\n"
                                    "RCPT TO:<\"B\"@[192.0.2.1]> NOTIFY=DELAY ORCPT=rfc822;b@c\r\n"
                                    "RSET\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n");
    CHECK_EQ(smtpd_next(&c->s, &in, &out, &ask), SMTPD_MAIL);
    CHECK_TEXT(ask.address.text, "j\xc3\xb6@example.org");
    CHECK_EQ(ask.size, 999);
    CHECK(ask.is_8bit && ask.is_smtputf8);
    CHECK_EQ(ask.ret, ENVELOPE_RET_FULL);
    CHECK_TEXT(ask.envid, "q+2B");
    smtpd_answer(&c->s, SMTPD_OK, slice_make(NULL, 0));
    CHECK_EQ(smtpd_next(&c->s, &in, &out, &ask), SMTPD_RCPT);
    CHECK_TEXT(ask.address.local, "\"B\"");
    CHECK_TEXT(ask.address.domain, "[192.0.2.1]");
    CHECK(ask.address.is_quoted && ask.address.is_literal);
    CHECK(ask.notify == ENVELOPE_DELAY && ask.is_smtputf8);
    CHECK_TEXT(ask.orcpt, "rfc822;b@c");
    smtpd_answer(&c->s, SMTPD_OK, slice_make(NULL, 0));
    /* Nothing of it stays for the next. */
    CHECK_EQ(smtpd_next(&c->s, &in, &out, &ask), SMTPD_ABORT);
    CHECK_EQ(smtpd_next(&c->s, &in, &out, &ask), SMTPD_MAIL);
    CHECK(ask.ret == 0 && ask.envid.len == 0 && !ask.is_8bit && !ask.is_smtputf8);
    smtpd_answer(&c->s, SMTPD_OK, slice_make(NULL, 0));
    CHECK_EQ(smtpd_next(&c->s, &in, &out, &ask), SMTPD_RCPT);
    CHECK(ask.notify == 0 && ask.orcpt.len == 0 && !ask.is_smtputf8);
    smtpd_answer(&c->s, SMTPD_OK, slice_make(NULL, 0));
    CHECK_EQ(smtpd_next(&c->s, &in, &out, &ask), SMTPD_MORE);
}

struct verdict_case {
    enum smtpd_event question;
    enum smtpd_verdict verdict;
    const char *reply;
};

static const struct verdict_case verdict_cases[] = {
    {SMTPD_MAIL, SMTPD_OK, "250 2.1.0 "},
    {SMTPD_MAIL, SMTPD_TEMPORARY, "451 4.3.0 "},
    {SMTPD_MAIL, SMTPD_NO_SPACE, "452 4.3.1 "},
    {SMTPD_MAIL, SMTPD_BUSY, "452 4.3.1 "},
    {SMTPD_MAIL, SMTPD_NEEDS_TLS, "530 5.7.0 "},
    {SMTPD_MAIL, SMTPD_POLICY, "550 5.7.1 "},
    {SMTPD_RCPT, SMTPD_OK, "250 2.1.5 "},
    {SMTPD_RCPT, SMTPD_TEMPORARY, "451 4.3.0 "},
    {SMTPD_RCPT, SMTPD_BUSY, "452 4.5.3 "},
    {SMTPD_RCPT, SMTPD_MAILBOX_FULL, "452 4.2.2 "},
    {SMTPD_RCPT, SMTPD_UNKNOWN_USER, "550 5.1.1 "},
    {SMTPD_RCPT, SMTPD_NO_ROUTE, "550 5.4.4 "},
    {SMTPD_RCPT, SMTPD_RELAY_DENIED, "550 5.7.1 "},
    {SMTPD_BEGIN, SMTPD_OK, "354 "},
    {SMTPD_BEGIN, SMTPD_TEMPORARY, "451 4.3.0 "},
    {SMTPD_BEGIN, SMTPD_NO_SPACE, "452 4.3.1 "},
    {SMTPD_END, SMTPD_OK, "250 2.0.0 Queued as id1\r\n"},
    {SMTPD_END, SMTPD_TEMPORARY, "451 4.3.0 "},
    {SMTPD_END, SMTPD_NO_SPACE, "452 4.3.1 "},
    {SMTPD_END, SMTPD_TOO_BIG, "552 5.3.4 "},
    {SMTPD_END, SMTPD_LOOP, "554 5.4.6 "},
    {SMTPD_STARTTLS, SMTPD_OK, "220 2.0.0 "},
    {SMTPD_STARTTLS, SMTPD_TEMPORARY, "454 4.7.0 "},
    {SMTPD_STARTTLS, SMTPD_BUSY, "454 4.7.0 "},
};

static void every_verdict_has_its_reply(void)
{
    for (size_t i = 0; i < sizeof verdict_cases / sizeof verdict_cases[0]; i++) {
        const struct verdict_case *v = &verdict_cases[i];
        caller_open(&one);
        one.verdicts[v->question] = v->verdict;
        say(&one, HELLO);
        if (v->question == SMTPD_STARTTLS) {
            say(&one, "STARTTLS\r\n");
        } else {
            say(&one, FROM);
        }
        if (v->question == SMTPD_RCPT || v->question == SMTPD_BEGIN || v->question == SMTPD_END) {
            say(&one, TO);
        }
        if (v->question == SMTPD_BEGIN || v->question == SMTPD_END) {
            say(&one, "DATA\r\n");
        }
        if (v->question == SMTPD_END) {
            say(&one, "a\r\n.\r\n");
        }
        CHECK(strncmp(one.replies, v->reply, strlen(v->reply)) == 0);
        /* Whatever was said, the session goes on, and no transaction hangs behind. */
        say(&one, smtpd_in_body(&one.s) ? ".\r\nQUIT\r\n" : "RSET\r\nQUIT\r\n");
        CHECK_EQ(one.num_open, 0);
        CHECK_EQ(one.reason, SMTPD_REASON_QUIT);
    }
}

static void a_refused_begin_drains_its_chunks(void)
{
    caller_open(&one);
    one.verdicts[SMTPD_BEGIN] = SMTPD_NO_SPACE;
    say(&one, HELLO FROM TO);
    say(&one, "BDAT 6\r\nQUIT\r\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n");
    CHECK(strstr(one.replies, "452 4.3.1 Out of storage, try again later\r\n"
                              "452 4.3.1 Out of storage, try again later\r\n250 ") == one.replies);
    CHECK_TEXT(slice_of_string(one.events), "MRBA");
    /* Nobody looks into them. */
    say(&one, FROM TO);
    CHECK_SAYS(&one, "BDAT 4 LAST\r\na\nb\n", "452 4.3.1 Out of storage, try again later\r\n");
}

static void a_body_that_cannot_be_stored_is_drained(void)
{
    static const size_t pieces[] = {1, 5, 1 << 20};
    static const char data[] = HELLO FROM TO "DATA\r\nabc\r\ndef\r\nghi\r\n.\r\nNOOP\r\n";
    static const char bdat[] = HELLO FROM TO "BDAT 5\r\nabc\r\nBDAT 5\r\nabc\r\nBDAT 5 LAST\r\n"
                                             "abc\r\nNOOP\r\n";
    for (size_t i = 0; i < 3; i++) {
        char codes[400];
        caller_open(&one);
        one.failing_at = 7;
        send(&one, data, sizeof data - 1, pieces[i]);
        codes_of(&one, codes, sizeof codes);
        CHECK_TEXT(slice_of_string(codes), "220 250 250/2.1.0 250/2.1.5 354 452/4.3.1 250/2.0.0");
        CHECK_TEXT(slice_of_string(one.events), "MRBA");
        caller_open(&one);
        one.failing_at = 7;
        send(&one, bdat, sizeof bdat - 1, pieces[i]);
        codes_of(&one, codes, sizeof codes);
        CHECK_TEXT(slice_of_string(codes), "220 250 250/2.1.0 250/2.1.5 250/2.0.0 452/4.3.1 "
                                           "452/4.3.1 250/2.0.0");
        CHECK_TEXT(slice_of_string(one.events), "MRBA");
    }
}

static void storage_may_fail_between_two_chunks(void)
{
    caller_open(&one);
    say(&one, HELLO FROM TO "BDAT 3\r\na\r\n");
    smtpd_body_failed(&one.s, SMTPD_TEMPORARY);
    smtpd_body_failed(&one.s, SMTPD_LOOP); /* the first reason counts */
    CHECK_SAYS(&one, "", "");
    smtpd_body_failed(&one.s, SMTPD_LOOP);
    CHECK_TEXT(slice_of_string(one.events), "MRBA");
    CHECK_SAYS(&one, "BDAT 6 LAST\r\nQUIT\r\n", "451 4.3.0 Not now, try again later\r\n");
    CHECK_SAYS(&one, FROM, "250 2.1.0 Sender OK\r\n");
    /* Without a body nothing can fail. */
    smtpd_body_failed(&one.s, SMTPD_TEMPORARY);
    CHECK_SAYS(&one, "NOOP\r\n", "250 2.0.0 OK\r\n");
    CHECK_EQ(one.num_open, 1);
}

static void starttls_forgets_everything(void)
{
    caller_open(&one);
    say(&one, HELLO FROM TO);
    CHECK_SAYS(&one, "STARTTLS\r\n", "220 2.0.0 Go ahead with TLS\r\n");
    CHECK_TEXT(slice_of_string(one.events), "MRSAT");
    CHECK_EQ(smtpd_helo(&one.s).len, 0);
    CHECK(!smtpd_is_esmtp(&one.s));
    CHECK_SAYS(&one, FROM, "503 5.5.1 EHLO or HELO first\r\n");
    say(&one, HELLO);
    CHECK(strstr(one.replies, "STARTTLS") == NULL);
    CHECK_SAYS(&one, "STARTTLS\r\n", "503 5.5.1 TLS is there already\r\n");
    CHECK_SAYS(&one, TO, "503 5.5.1 MAIL first\r\n");
}

static void plaintext_behind_starttls_closes(void)
{
    static const char *const tails[] = {"\n", "R", "RSET\r\n", "\x16\x03\x01"};
    for (size_t i = 0; i < 4; i++) {
        char text[64];
        caller_open(&one);
        say(&one, HELLO);
        snprintf(text, sizeof text, "STARTTLS\r\n%s", tails[i]);
        CHECK_SAYS(&one, text, "554 5.5.1 Plaintext behind STARTTLS\r\n");
        CHECK_EQ(one.reason, SMTPD_REASON_STARTTLS_DATA);
        CHECK_TEXT(slice_of_string(one.events), "C");
    }
    /* It may also come while the answer is awaited. */
    caller_open(&one);
    say(&one, HELLO);
    uint8_t room[1024];
    struct buf out = buf_make(room, sizeof room);
    struct smtpd_ask ask;
    struct slice in = SLICE_LITERAL("STARTTLS\r\n");
    CHECK_EQ(smtpd_next(&one.s, &in, &out, &ask), SMTPD_STARTTLS);
    in = SLICE_LITERAL("R");
    smtpd_answer(&one.s, SMTPD_OK, slice_make(NULL, 0));
    CHECK_EQ(smtpd_next(&one.s, &in, &out, &ask), SMTPD_CLOSE);
    CHECK_EQ(ask.reason, SMTPD_REASON_STARTTLS_DATA);
    CHECK(out.len > 4 && memcmp(room, "554 ", 4) == 0);
}

static void starttls_is_there_only_where_offered(void)
{
    caller_open(&one);
    one.env.starttls_offered = false;
    say(&one, HELLO);
    CHECK(strstr(one.replies, "STARTTLS") == NULL);
    CHECK_SAYS(&one, "STARTTLS\r\n", "502 5.5.1 Command not offered\r\n");
    smtpd_open(&one.s, &one.env, true);
    one.env.starttls_offered = true;
    say(&one, HELLO);
    CHECK(strstr(one.replies, "STARTTLS") == NULL);
    CHECK_SAYS(&one, "STARTTLS\r\n", "503 5.5.1 TLS is there already\r\n");
}

static void say_times(struct caller *c, const char *text, size_t times)
{
    for (size_t i = 0; i < times && c->reason == SMTPD_REASON_NONE; i++) {
        say(c, text);
    }
}

static void too_many_errors_end_it(void)
{
    static const struct {
        const char *text, *last;
        enum smtpd_reason reason;
    } errors[] = {
        {"XYZZY\r\n", "421 4.7.0 mx.example.org too many unknown commands\r\n",
         SMTPD_REASON_UNKNOWN_COMMANDS},
        {"EXPN x\r\n", "421 4.7.0 mx.example.org too many unknown commands\r\n",
         SMTPD_REASON_UNKNOWN_COMMANDS},
        {"MAIL FROM:a\r\n", "421 4.7.0 mx.example.org too many errors\r\n",
         SMTPD_REASON_SYNPROT_ERRORS},
        {"RSET x\r\n", "421 4.7.0 mx.example.org too many errors\r\n", SMTPD_REASON_SYNPROT_ERRORS},
        {TO, "421 4.7.0 mx.example.org too many errors\r\n", SMTPD_REASON_SYNPROT_ERRORS},
        {"BDAT 1\r\nx", "421 4.7.0 mx.example.org too many errors\r\n",
         SMTPD_REASON_SYNPROT_ERRORS},
        {"NOOP\r\n", "421 4.7.0 mx.example.org too many commands without mail\r\n",
         SMTPD_REASON_NONMAIL_COMMANDS},
    };
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        caller_open(&one);
        one.env.limits.unknown_commands_max = 3;
        one.env.limits.synprot_errors_max = 3;
        one.env.limits.nonmail_commands_max =
            errors[i].reason == SMTPD_REASON_NONMAIL_COMMANDS ? 4 : 0;
        say(&one, HELLO);
        say_times(&one, errors[i].text, 3);
        CHECK_EQ(one.reason, SMTPD_REASON_NONE);
        CHECK(strncmp(one.replies, "421", 3) != 0);
        CHECK_SAYS(&one, errors[i].text, errors[i].last);
        CHECK_EQ(one.reason, errors[i].reason);
        CHECK_TEXT(slice_of_string(one.events), "C");
    }
}

static void no_limit_means_none(void)
{
    caller_open(&one);
    memset(&one.env.limits, 0, sizeof one.env.limits);
    say(&one, HELLO);
    say_times(&one, "XYZZY\r\nNOOP x\r\nRCPT TO:<a@b>\r\n", 70000 / 3);
    CHECK_EQ(one.reason, SMTPD_REASON_NONE);
    say(&one, FROM);
    say_times(&one, TO, 2000);
    CHECK_SAYS(&one, TO, "250 2.1.5 Recipient OK\r\n");
    char line[3000];
    memset(line, 'x', sizeof line);
    memcpy(line + sizeof line - 6, "\r\n.\r\n", 6);
    say(&one, "DATA\r\n");
    CHECK_SAYS(&one, line, "250 2.0.0 Queued as id1\r\n");
}

static void mail_sets_the_count_of_other_commands_back(void)
{
    caller_open(&one);
    one.env.limits.nonmail_commands_max = 4;
    for (int i = 0; i < 10; i++) {
        say(&one, HELLO "RSET\r\n" FROM TO "DATA\r\n.\r\n");
    }
    CHECK_EQ(one.reason, SMTPD_REASON_NONE);
    CHECK_EQ(one.num_mail, 10);
}

/* A client that pipelines a hundred recipients behind a MAIL that is put off has made no mistake.
 */
static void what_a_refused_mail_pulls_down_is_not_counted(void)
{
    caller_open(&one);
    one.env.limits.synprot_errors_max = 3;
    say(&one, HELLO "MAIL FROM:<later@example.org>\r\n");
    say_times(&one, TO, 100);
    CHECK_SAYS(&one, "DATA\r\n", "503 5.5.1 MAIL first\r\n");
    say_times(&one, "BDAT 6\r\nQUIT\r\n", 100);
    CHECK_EQ(one.reason, SMTPD_REASON_NONE);
    CHECK_SAYS(&one, FROM, "250 2.1.0 Sender OK\r\n");
    say(&one, "RSET\r\n");
    say_times(&one, TO, 100);
    CHECK_EQ(one.reason, SMTPD_REASON_SYNPROT_ERRORS);
    caller_open(&one);
    one.env.limits.synprot_errors_max = 3;
    say(&one, HELLO "MAIL FROM:<later@example.org>\r\n" TO HELLO);
    say_times(&one, TO, 100);
    CHECK_EQ(one.reason, SMTPD_REASON_SYNPROT_ERRORS);
}

static void a_session_has_its_share_of_mails(void)
{
    caller_open(&one);
    one.env.limits.mails_max = 2;
    say(&one, HELLO FROM "RSET\r\n");
    say(&one, FROM TO "DATA\r\n.\r\n");
    CHECK_SAYS(&one, FROM, "421 4.7.0 mx.example.org too many messages in one connection\r\n");
    CHECK_EQ(one.reason, SMTPD_REASON_MAILS);
}

static void what_is_refused_does_not_count(void)
{
    caller_open(&one);
    one.env.limits.mails_max = 1;
    one.env.limits.recipients_max = 1;
    say(&one, HELLO);
    say_times(&one, "MAIL FROM:<later@example.org>\r\n", 5);
    CHECK_SAYS(&one, FROM, "250 2.1.0 Sender OK\r\n");
    say_times(&one, "RCPT TO:<nobody@example.org>\r\n", 5);
    CHECK_SAYS(&one, TO, "250 2.1.5 Recipient OK\r\n");
    CHECK_SAYS(&one, TO, "452 4.5.3 Too many recipients\r\n");
}

/* Who tries names is told the same about all that come behind the limit, and is let go in the end.
 */
static void refused_recipients_have_a_limit(void)
{
    static const char last[] = "421 4.7.0 mx.example.org too many refusals\r\n";
    caller_open(&one);
    one.env.limits.refused_rcpts_max = 4;
    one.env.limits.recipients_max = 100;
    say(&one, HELLO FROM TO);
    say_times(&one, "RCPT TO:<nobody@example.org>\r\n", 3);
    CHECK_SAYS(&one, TO, "250 2.1.5 Recipient OK\r\n");
    CHECK_SAYS(&one, "RCPT TO:<nobody@example.org>\r\n", "550 5.1.1 No such user here\r\n");
    CHECK_SAYS(&one, TO, "452 4.5.3 Too many recipients\r\n");
    CHECK_SAYS(&one, "RCPT TO:<nobody@example.org>\r\n", "452 4.5.3 Too many recipients\r\n");
    /* A message for those that were taken goes through, and sets the count back. */
    CHECK_SAYS(&one, "DATA\r\n.\r\n", "354 End with CRLF.CRLF\r\n250 2.0.0 Queued as id1\r\n");
    say(&one, FROM);
    say_times(&one, "RCPT TO:<nobody@example.org>\r\n", 4);
    say(&one, "RSET\r\n");
    CHECK_SAYS(&one, FROM, last);
    CHECK_EQ(one.reason, SMTPD_REASON_REFUSED_RCPTS);
    caller_open(&one);
    one.env.limits.refused_rcpts_max = 4;
    say(&one, HELLO FROM);
    say_times(&one, "RCPT TO:<nobody@example.org>\r\n", 10000);
    CHECK_EQ(one.reason, SMTPD_REASON_NONE);
    CHECK_SAYS(&one, "RCPT TO:<nobody@example.org>\r\n", last);
    CHECK_EQ(one.reason, SMTPD_REASON_REFUSED_RCPTS);
    CHECK_EQ(one.num_open, 0);
    /* Nor is a connection held with MAIL that is refused. */
    caller_open(&one);
    one.env.limits.refused_rcpts_max = 4;
    say(&one, HELLO);
    say_times(&one, "MAIL FROM:<later@example.org>\r\n", 3);
    CHECK_SAYS(&one, "MAIL FROM:<> SIZE=1001\r\n", "552 5.3.4 Message too big\r\n");
    CHECK_SAYS(&one, FROM, last);
    CHECK_EQ(one.reason, SMTPD_REASON_REFUSED_RCPTS);
}

static void sizes_have_limits(void)
{
    char text[1200];
    caller_open(&one);
    say(&one, HELLO);
    CHECK_SAYS(&one, "MAIL FROM:<> SIZE=1001\r\n", "552 5.3.4 Message too big\r\n");
    for (size_t len = 999; len <= 1001; len++) {
        say(&one, FROM TO "DATA\r\n");
        memset(text, 'x', sizeof text);
        for (size_t i = 100; i + 10 < len; i += 100) {
            memcpy(text + i - 2, "\r\n", 2);
        }
        memcpy(text + len - 2, "\r\n.\r\nNOOP\r\n", 12);
        CHECK_SAYS(&one, text,
                   len <= 1000 ? "250 2.0.0 Queued as id1\r\n250 2.0.0 OK\r\n"
                               : "552 5.3.4 Message too big\r\n250 2.0.0 OK\r\n");
    }
    /* With the CRLF that the last chunk lacks. */
    say(&one, FROM TO);
    memset(text, 0, sizeof text);
    memcpy(text, "BDAT 999 LAST\r\n", 15);
    memset(text + 15, 'x', 999);
    memcpy(text + 500, "\r\n", 2);
    CHECK_SAYS(&one, text, "552 5.3.4 Message too big\r\n");
    CHECK_SAYS(&one, "NOOP\r\n", "250 2.0.0 OK\r\n");
    CHECK_EQ(one.num_open, 0);
}

static void long_lines_are_refused_in_short_messages_too(void)
{
    char text[1100];
    memset(text, 'x', sizeof text);
    memcpy(text + 1001, "\r\n.\r\n", 6);
    caller_open(&one);
    one.env.limits.message_size_limit = 100000;
    say(&one, HELLO FROM TO "DATA\r\n");
    CHECK_SAYS(&one, text, "552 5.6.0 Line of message too long\r\n");
    CHECK_TEXT(slice_of_string(one.events), "MRBA");
}

/* However it is cut: what breaks the framing goes before what is merely too long. */
static void a_long_line_hides_no_bare_lf(void)
{
    static const size_t pieces[] = {1, 100, 1 << 20};
    char text[1100];
    memset(text, 'x', sizeof text);
    memcpy(text, "BDAT 1010\r\n", 11);
    memcpy(text + 11 + 1005, "\nxxxxNOOP\r\n", 12);
    for (size_t i = 0; i < 3; i++) {
        caller_open(&one);
        one.env.limits.message_size_limit = 100000;
        say(&one, HELLO FROM TO);
        one.num_replies = 0;
        memset(one.replies, 0, sizeof one.replies);
        send(&one, text, 11 + 1005 + 11, pieces[i]);
        CHECK_TEXT(slice_of_string(one.replies), "554 5.6.0 LF without CR in message\r\n");
        CHECK_EQ(one.reason, SMTPD_REASON_BARE_LF);
    }
}

static void each_message_is_counted_from_nothing(void)
{
    char text[1000];
    memset(text, 'x', sizeof text);
    memcpy(text + 900, "\r\n.\r\n", 6);
    caller_open(&one);
    say(&one, HELLO FROM TO "DATA\r\n");
    CHECK_SAYS(&one, text, "250 2.0.0 Queued as id1\r\n");
    say(&one, FROM TO);
    memset(text, 'x', sizeof text);
    memcpy(text, "BDAT 900 LAST\r\n", 15);
    text[15 + 900] = 0;
    CHECK_SAYS(&one, text, "250 2.0.0 Queued as id1\r\n");
}

/* Options may change in the middle of a message. */
static void a_limit_that_shrinks_holds_at_once(void)
{
    caller_open(&one);
    say(&one, HELLO FROM TO "DATA\r\n0123456789\r\n");
    one.env.limits.message_size_limit = 5;
    CHECK_SAYS(&one, "0123456789\r\n.\r\n", "552 5.3.4 Message too big\r\n");
}

static void a_huge_chunk_is_drained_without_being_stored(void)
{
    caller_open(&one);
    one.env.limits.message_size_limit = 0;
    say(&one, HELLO FROM TO);
    CHECK_SAYS(&one, "BDAT 18446744073709551615\r\n", "");
    CHECK(smtpd_in_body(&one.s));
    CHECK_TEXT(slice_of_string(one.events), "MRB");
    caller_open(&one);
    say(&one, HELLO FROM TO);
    CHECK_SAYS(&one, "BDAT 18446744073709551615\r\nQUIT\r\n", "");
    CHECK_TEXT(slice_of_string(one.events), "MRA");
    CHECK_EQ(one.num_body, 0);
    CHECK(smtpd_in_body(&one.s));
}

static void ends_are_said_where_they_can_be(void)
{
    static const struct {
        enum smtpd_reason reason;
        const char *reply;
    } ends[] = {
        {SMTPD_REASON_TIMEOUT, "421 4.4.2 mx.example.org waited too long\r\n"},
        {SMTPD_REASON_SHUTDOWN, "421 4.3.2 mx.example.org going down\r\n"},
        {SMTPD_REASON_LOST, ""},
    };
    static const char *const texts[] = {HELLO, HELLO FROM TO, HELLO FROM TO "DATA\r\nabc",
                                        HELLO FROM TO "BDAT 10\r\nabc", "NOO"};
    for (size_t e = 0; e < 3; e++) {
        for (size_t i = 0; i < 5; i++) {
            caller_open(&one);
            say(&one, texts[i]);
            smtpd_end(&one.s, ends[e].reason);
            CHECK_SAYS(&one, "", ends[e].reply);
            CHECK_EQ(one.reason, ends[e].reason);
            CHECK_EQ(one.num_open, 0);
        }
    }
}

static void a_complete_message_is_answered_before_the_end(void)
{
    uint8_t room[1024];
    struct smtpd_ask ask;
    for (int is_lost = 0; is_lost < 2; is_lost++) {
        caller_open(&one);
        say(&one, HELLO FROM TO "DATA\r\n");
        struct buf out = buf_make(room, sizeof room);
        struct slice in = SLICE_LITERAL(".\r\nNOOP\r\n");
        CHECK_EQ(smtpd_next(&one.s, &in, &out, &ask), SMTPD_END);
        smtpd_end(&one.s, is_lost ? SMTPD_REASON_LOST : SMTPD_REASON_SHUTDOWN);
        if (is_lost) {
            CHECK_EQ(smtpd_next(&one.s, &in, &out, &ask), SMTPD_CLOSE);
            CHECK_EQ(ask.reason, SMTPD_REASON_LOST);
            smtpd_answer(&one.s, SMTPD_OK, SLICE_LITERAL("x"));
            CHECK_EQ(smtpd_next(&one.s, &in, &out, &ask), SMTPD_CLOSE);
            CHECK_EQ(out.len, 0);
            continue;
        }
        CHECK_EQ(smtpd_next(&one.s, &in, &out, &ask), SMTPD_WAIT);
        smtpd_answer(&one.s, SMTPD_OK, SLICE_LITERAL("x"));
        CHECK_EQ(smtpd_next(&one.s, &in, &out, &ask), SMTPD_CLOSE);
        CHECK_TEXT(out, "250 2.0.0 Queued as x\r\n421 4.3.2 mx.example.org going down\r\n");
    }
}

static void a_late_answer_does_nothing(void)
{
    uint8_t room[1024];
    struct smtpd_ask ask;
    caller_open(&one);
    say(&one, HELLO FROM);
    struct buf out = buf_make(room, sizeof room);
    struct slice in = SLICE_LITERAL(TO);
    CHECK_EQ(smtpd_next(&one.s, &in, &out, &ask), SMTPD_RCPT);
    smtpd_end(&one.s, SMTPD_REASON_TIMEOUT);
    CHECK_EQ(smtpd_next(&one.s, &in, &out, &ask), SMTPD_ABORT);
    smtpd_answer(&one.s, SMTPD_OK, slice_make(NULL, 0));
    CHECK_EQ(smtpd_next(&one.s, &in, &out, &ask), SMTPD_CLOSE);
    CHECK_TEXT(out, "421 4.4.2 mx.example.org waited too long\r\n");
    /* And one that nobody asked for. */
    caller_open(&one);
    smtpd_answer(&one.s, SMTPD_LOOP, slice_make(NULL, 0));
    CHECK_SAYS(&one, "", "220 mx.example.org ESMTP Postern\r\n");
}

static void nothing_is_said_into_a_handshake(void)
{
    uint8_t room[1024];
    struct smtpd_ask ask;
    caller_open(&one);
    say(&one, HELLO);
    struct buf out = buf_make(room, sizeof room);
    struct slice in = SLICE_LITERAL("STARTTLS\r\n");
    CHECK_EQ(smtpd_next(&one.s, &in, &out, &ask), SMTPD_STARTTLS);
    smtpd_answer(&one.s, SMTPD_OK, slice_make(NULL, 0));
    CHECK_EQ(smtpd_next(&one.s, &in, &out, &ask), SMTPD_TLS);
    out.len = 0;
    in = SLICE_LITERAL("\x16\x03\x01");
    CHECK_EQ(smtpd_next(&one.s, &in, &out, &ask), SMTPD_WAIT);
    CHECK_EQ(in.len, 3);
    smtpd_end(&one.s, SMTPD_REASON_TIMEOUT);
    CHECK_EQ(smtpd_next(&one.s, &in, &out, &ask), SMTPD_CLOSE);
    CHECK_EQ(ask.reason, SMTPD_REASON_TIMEOUT);
    CHECK_EQ(out.len, 0);
}

static void a_full_out_buffer_loses_no_input(void)
{
    uint8_t room[SMTPD_REPLY_MAX];
    struct smtpd_ask ask;
    caller_open(&one);
    say(&one, HELLO);
    struct buf out = buf_make(room, sizeof room);
    CHECK(buf_put_string(&out, "x"));
    struct slice in = SLICE_LITERAL("NOOP\r\n");
    CHECK_EQ(smtpd_next(&one.s, &in, &out, &ask), SMTPD_FLUSH);
    CHECK_TEXT(in, "NOOP\r\n");
    CHECK_TEXT(out, "x");
    /* A peer that is gone reads nothing, and need not. */
    smtpd_end(&one.s, SMTPD_REASON_LOST);
    CHECK_EQ(smtpd_next(&one.s, &in, &out, &ask), SMTPD_CLOSE);
}

static void a_refusal_is_a_whole_session(void)
{
    uint8_t room[SMTPD_REPLY_MAX];
    struct buf out = buf_make(room, sizeof room);
    CHECK(smtpd_put_refusal(&out, &plain_env, true));
    CHECK_TEXT(out, "421 4.7.0 mx.example.org too many connections from you\r\n");
    out = buf_make(room, sizeof room);
    CHECK(smtpd_put_refusal(&out, &plain_env, false));
    CHECK_TEXT(out, "421 4.3.2 mx.example.org too many connections\r\n");
}

static void the_trace_names_the_last_states(void)
{
    uint8_t room[256];
    struct buf b = buf_make(room, sizeof room);
    caller_open(&one);
    say(&one, HELLO);
    CHECK(smtpd_put_trace(&b, &one.s));
    CHECK_TEXT(b, "start:command ready:command");
    say(&one, "BDAT 3\r\nabc" FROM TO "DATA\r\nabc");
    b = buf_make(room, sizeof room);
    CHECK(smtpd_put_trace(&b, &one.s));
    static const char end[] = "sender:asked rcpts:command rcpts:asked rcpts:data";
    CHECK(b.len > sizeof end && memcmp(room + b.len - (sizeof end - 1), end, sizeof end - 1) == 0);
}

static void a_session_is_small(void)
{
    printf("a session takes %zu bytes\n", sizeof(struct smtpd));
    CHECK(sizeof(struct smtpd) <= 420);
}

#define CASE(name)  \
    {               \
#name, name \
    }

static const struct test_case cases[] = {
    CASE(ehlo_tells_what_is_true),
    CASE(login_is_offered_where_it_may_be_used),
    CASE(the_longest_ehlo_reply_fits),
    CASE(mail_and_rcpt_tell_what_was_said),
    CASE(every_verdict_has_its_reply),
    CASE(a_refused_begin_drains_its_chunks),
    CASE(a_body_that_cannot_be_stored_is_drained),
    CASE(storage_may_fail_between_two_chunks),
    CASE(starttls_forgets_everything),
    CASE(plaintext_behind_starttls_closes),
    CASE(starttls_is_there_only_where_offered),
    CASE(too_many_errors_end_it),
    CASE(no_limit_means_none),
    CASE(mail_sets_the_count_of_other_commands_back),
    CASE(what_a_refused_mail_pulls_down_is_not_counted),
    CASE(a_session_has_its_share_of_mails),
    CASE(what_is_refused_does_not_count),
    CASE(refused_recipients_have_a_limit),
    CASE(sizes_have_limits),
    CASE(long_lines_are_refused_in_short_messages_too),
    CASE(a_long_line_hides_no_bare_lf),
    CASE(each_message_is_counted_from_nothing),
    CASE(a_limit_that_shrinks_holds_at_once),
    CASE(a_huge_chunk_is_drained_without_being_stored),
    CASE(ends_are_said_where_they_can_be),
    CASE(a_complete_message_is_answered_before_the_end),
    CASE(a_late_answer_does_nothing),
    CASE(nothing_is_said_into_a_handshake),
    CASE(a_full_out_buffer_loses_no_input),
    CASE(a_refusal_is_a_whole_session),
    CASE(the_trace_names_the_last_states),
    CASE(a_session_is_small),
};

TEST_MAIN(cases)

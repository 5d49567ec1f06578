#include "smtp_command.h"

#include "smtp_line.h"
#include "test.h"
#include "xtext.h"

struct mail_case {
    const char *text;
    enum smtp_reply reply;
    const char *address;
    uint64_t size;
    bool is_8bit;
    bool is_smtputf8;
};

static const struct mail_case mails[] = {
#define MAIL(text, reply, address, size, is_8bit, is_smtputf8) \
    {text, SMTP_REPLY_##reply, address, size, is_8bit, is_smtputf8},
#define RCPT(text, smtputf8, reply, address)
#define RET_ENVID(text, reply, flags, envid)
#define NOTIFY_ORCPT(text, smtputf8, reply, flags, orcpt)
#include "../tables/smtp_mail.def"
#undef MAIL
#undef RCPT
#undef RET_ENVID
#undef NOTIFY_ORCPT
};

struct rcpt_case {
    const char *text;
    bool smtputf8;
    enum smtp_reply reply;
    const char *address;
};

static const struct rcpt_case rcpts[] = {
#define MAIL(text, reply, address, size, is_8bit, is_smtputf8)
#define RCPT(text, smtputf8, reply, address) {text, smtputf8, SMTP_REPLY_##reply, address},
#define RET_ENVID(text, reply, flags, envid)
#define NOTIFY_ORCPT(text, smtputf8, reply, flags, orcpt)
#include "../tables/smtp_mail.def"
#undef MAIL
#undef RCPT
#undef RET_ENVID
#undef NOTIFY_ORCPT
};

#define FORTY   "1234567890123456789012345678901234567890"
#define HUNDRED FORTY FORTY "12345678901234567890"

struct report_case {
    bool is_rcpt;
    bool smtputf8;
    const char *text;
    enum smtp_reply reply;
    uint8_t flags;
    const char *decoded;
};

static const struct report_case reports[] = {
#define MAIL(text, reply, address, size, is_8bit, is_smtputf8)
#define RCPT(text, smtputf8, reply, address)
#define RET_ENVID(text, reply, flags, envid) \
    {false, false, "FROM:<a@b.c>" text, SMTP_REPLY_##reply, flags, envid},
#define NOTIFY_ORCPT(text, smtputf8, reply, flags, orcpt) \
    {true, smtputf8, "TO:<a@b.c>" text, SMTP_REPLY_##reply, flags, orcpt},
#include "../tables/smtp_mail.def"
#undef MAIL
#undef RCPT
#undef RET_ENVID
#undef NOTIFY_ORCPT
};

#define NUM_REPORTS (sizeof reports / sizeof reports[0])
#define NUM_MAILS   (sizeof mails / sizeof mails[0])
#define NUM_RCPTS   (sizeof rcpts / sizeof rcpts[0])

static void every_mail_of_the_table(void)
{
    for (size_t i = 0; i < NUM_MAILS; i++) {
        const struct mail_case *c = &mails[i];
        struct smtp_mail mail;
        int failed_before = test_failed_checks;
        CHECK_EQ(smtp_mail_parse(slice_of_string(c->text), &mail), c->reply);
        if (c->reply == SMTP_REPLY_NONE) {
            CHECK(slice_equal(mail.address.text, slice_of_string(c->address)));
            CHECK(mail.size == c->size);
            CHECK_EQ(mail.is_8bit, c->is_8bit);
            CHECK_EQ(mail.is_smtputf8, c->is_smtputf8);
        }
        if (test_failed_checks != failed_before) {
            fprintf(stderr, "  in %s\n", c->text);
        }
    }
}

static void every_rcpt_of_the_table(void)
{
    for (size_t i = 0; i < NUM_RCPTS; i++) {
        const struct rcpt_case *c = &rcpts[i];
        struct smtp_rcpt_args a;
        int failed_before = test_failed_checks;
        CHECK_EQ(smtp_rcpt_parse(slice_of_string(c->text), c->smtputf8, &a), c->reply);
        if (c->reply == SMTP_REPLY_NONE) {
            CHECK(slice_equal(a.address.text, slice_of_string(c->address)));
        }
        if (test_failed_checks != failed_before) {
            fprintf(stderr, "  in %s\n", c->text);
        }
    }
}

static void check_report_parameters(const struct report_case *c)
{
    struct smtp_mail mail;
    struct smtp_rcpt_args rcpt;
    uint8_t bytes[ENVELOPE_ORCPT_MAX];
    struct buf decoded = buf_make(bytes, sizeof bytes);
    struct slice args = slice_of_string(c->text);
    if (!c->is_rcpt) {
        CHECK_EQ(smtp_mail_parse(args, &mail), c->reply);
    } else {
        CHECK_EQ(smtp_rcpt_parse(args, c->smtputf8, &rcpt), c->reply);
    }
    if (c->reply != SMTP_REPLY_NONE) {
        return;
    }
    struct slice found = c->is_rcpt ? rcpt.orcpt : mail.envid;
    CHECK_EQ(c->is_rcpt ? rcpt.notify : mail.ret, c->flags);
    CHECK_EQ(found.len != 0, *c->decoded != 0);
    if (found.len != 0) {
        CHECK(c->is_rcpt ? xtext_take_orcpt(found, c->smtputf8, &decoded)
                         : xtext_take_envid(found, &decoded));
        CHECK(decoded.len <= found.len);
    }
    CHECK_TEXT(decoded, c->decoded);
    for (size_t cap = 0; cap < decoded.len; cap++) {
        struct buf small = buf_make(bytes, cap);
        CHECK(!(c->is_rcpt ? xtext_take_orcpt(found, c->smtputf8, &small)
                           : xtext_take_envid(found, &small)));
        CHECK_EQ(small.len, 0);
    }
}

static void every_report_parameter_of_the_table(void)
{
    for (size_t i = 0; i < NUM_REPORTS; i++) {
        int failed_before = test_failed_checks;
        check_report_parameters(&reports[i]);
        if (test_failed_checks != failed_before) {
            fprintf(stderr, "  in %s\n", reports[i].text);
        }
    }
}

static void check_printable(struct slice found)
{
    for (size_t i = 0; i < found.len; i++) {
        CHECK(found.ptr[i] >= ' ' && found.ptr[i] != 0x7f);
    }
}

/* Parses a changed copy in a block of its own; what is found must lie in it. */
static void parse_copy(const char *text, size_t len, size_t at, int value)
{
    uint8_t *copy = malloc(len + 1);
    memcpy(copy, text, len);
    if (value >= 0) {
        copy[at] = (uint8_t)value;
    }
    struct slice args = slice_make(copy, len);
    struct smtp_mail mail;
    struct smtp_rcpt_args rcpt;
    uint8_t bytes[ENVELOPE_ORCPT_MAX];
    struct buf decoded = buf_make(bytes, sizeof bytes);
    if (smtp_mail_parse(args, &mail) == SMTP_REPLY_NONE && mail.address.text.len != 0) {
        CHECK(mail.address.text.ptr > copy && mail.address.text.len < len);
        CHECK(mail.is_smtputf8 || !mail.address.is_utf8);
        CHECK_EQ(xtext_take_envid(mail.envid, &decoded), mail.envid.len != 0);
        check_printable(buf_slice(&decoded));
    }
    for (int smtputf8 = 0; smtputf8 < 2; smtputf8++) {
        decoded.len = 0;
        if (smtp_rcpt_parse(args, smtputf8 != 0, &rcpt) == SMTP_REPLY_NONE) {
            struct slice found = rcpt.address.text;
            CHECK(found.ptr > copy && found.len != 0 && found.len < len);
            CHECK(smtputf8 != 0 || !rcpt.address.is_utf8);
            CHECK_EQ(xtext_take_orcpt(rcpt.orcpt, smtputf8 != 0, &decoded), rcpt.orcpt.len != 0);
            check_printable(buf_slice(&decoded));
        }
    }
    uint64_t chunk_len;
    bool is_last;
    smtp_bdat_parse(args, &chunk_len, &is_last);
    struct slice rest;
    enum smtp_verb verb = smtp_command_parse(args, &rest);
    CHECK(rest.ptr >= copy && rest.ptr + rest.len <= copy + len);
    CHECK(smtp_command_check(verb, len, rest) < NUM_SMTP_REPLIES);
    free(copy);
}

static void truncated_and_changed_arguments_stay_sane(void)
{
    const char *extra[] = {"BDAT 1234567 LAST", "12345 LAST", "EHLO host.example", "STARTTLS"};
    for (size_t i = 0; i < NUM_MAILS + NUM_RCPTS + NUM_REPORTS + 4; i++) {
        const char *text = i < NUM_MAILS               ? mails[i].text
                           : i < NUM_MAILS + NUM_RCPTS ? rcpts[i - NUM_MAILS].text
                           : i < NUM_MAILS + NUM_RCPTS + NUM_REPORTS
                               ? reports[i - NUM_MAILS - NUM_RCPTS].text
                               : extra[i - NUM_MAILS - NUM_RCPTS - NUM_REPORTS];
        size_t len = strlen(text) < 100 ? strlen(text) : 100;
        for (size_t at = 0; at < len; at++) {
            parse_copy(text, at, 0, -1);
            /* With a stride, over the places each value all the same. */
            for (int value = (int)at % TEST_STRIDE; value < 256; value += TEST_STRIDE) {
                parse_copy(text, len, at, value);
            }
        }
    }
}

static void a_cut_address_is_refused(void)
{
    const char *text = "FROM:<a@b.c";
    struct smtp_mail mail;
    for (size_t len = 0; len <= strlen(text); len++) {
        CHECK(smtp_mail_parse(slice_make(text, len), &mail) != SMTP_REPLY_NONE);
    }
}

static void verbs_are_known_in_any_case(void)
{
    static const struct {
        const char *line;
        enum smtp_verb verb;
        const char *args;
    } lines[] = {
        {"HELO a", SMTP_HELO, "a"},
        {"ehlo  a b \t", SMTP_EHLO, "a b"},
        {"Mail FROM:<>", SMTP_MAIL, "FROM:<>"},
        {"RCPT\tTO:<a@b>", SMTP_RCPT, "TO:<a@b>"},
        {"DATA", SMTP_DATA, ""},
        {"BDAT 1", SMTP_BDAT, "1"},
        {"RSET ", SMTP_RSET, ""},
        {"nOoP", SMTP_NOOP, ""},
        {"VRFY", SMTP_VRFY, ""},
        {"HELP", SMTP_HELP, ""},
        {"QUIT", SMTP_QUIT, ""},
        {"starttls", SMTP_STARTTLS, ""},
        {"EXPN x", SMTP_NOT_OFFERED, "x"},
        {"AUTH PLAIN", SMTP_AUTH, "PLAIN"},
        {"GET / HTTP/1.1", SMTP_FOREIGN, "/ HTTP/1.1"},
        {"CONNECT a:25", SMTP_FOREIGN, "a:25"},
        {"\x16\x03\x01", SMTP_FOREIGN, ""},
        {"\xc3\xb6", SMTP_FOREIGN, ""},
        {"", SMTP_UNKNOWN, ""},
        {" NOOP", SMTP_UNKNOWN, "NOOP"},
        {"NOOPS", SMTP_UNKNOWN, ""},
        {"NOO", SMTP_UNKNOWN, ""},
        {"MAIL:", SMTP_UNKNOWN, ""},
        {"STARTTLSSTARTTLS", SMTP_UNKNOWN, ""},
    };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct slice args;
        CHECK_EQ(smtp_command_parse(slice_of_string(lines[i].line), &args), lines[i].verb);
        CHECK_TEXT(args, lines[i].args);
    }
}

static enum smtp_reply check(const char *line)
{
    struct slice args;
    enum smtp_verb verb = smtp_command_parse(slice_of_string(line), &args);
    return smtp_command_check(verb, strlen(line), args);
}

static void arguments_are_checked(void)
{
    CHECK_EQ(check("EHLO"), SMTP_REPLY_HELO_ARGUMENT);
    CHECK_EQ(check("EHLO \x7f"), SMTP_REPLY_HELO_ARGUMENT);
    CHECK_EQ(check("EHLO a\tb"), SMTP_REPLY_HELO_ARGUMENT);
    CHECK_EQ(check("EHLO Front Door"), SMTP_REPLY_NONE);
    CHECK_EQ(check("HELO B\xdcRO"), SMTP_REPLY_NONE);
    CHECK_EQ(check("HELO b\xc3\xbc.example"), SMTP_REPLY_NONE);
    CHECK_EQ(check("HELO MY_PC"), SMTP_REPLY_NONE);
    CHECK_EQ(check("HELO (none)"), SMTP_REPLY_NONE);
    CHECK_EQ(check("EHLO [IPv6:2001:db8::1]"), SMTP_REPLY_NONE);
    CHECK_EQ(check("DATA x"), SMTP_REPLY_NO_ARGUMENT);
    CHECK_EQ(check("RSET x"), SMTP_REPLY_NO_ARGUMENT);
    CHECK_EQ(check("QUIT x"), SMTP_REPLY_NO_ARGUMENT);
    CHECK_EQ(check("STARTTLS x"), SMTP_REPLY_NO_ARGUMENT);
    CHECK_EQ(check("NOOP x"), SMTP_REPLY_NONE);
    CHECK_EQ(check("HELP x"), SMTP_REPLY_NONE);
    CHECK_EQ(check("VRFY"), SMTP_REPLY_NEEDS_ARGUMENT);
    CHECK_EQ(check("VRFY x"), SMTP_REPLY_NONE);
}

static void each_verb_has_its_line_limit(void)
{
    char line[600];
    memset(line, 'x', sizeof line);
    struct slice args = SLICE_LITERAL("a");
    for (int v = 0; v < NUM_SMTP_VERBS; v++) {
        enum smtp_verb verb = (enum smtp_verb)v;
        struct slice fits =
            verb == SMTP_DATA || verb == SMTP_RSET || verb == SMTP_QUIT || verb == SMTP_STARTTLS
                ? slice_make("", 0)
                : args;
        CHECK_EQ(smtp_command_check(verb, 510, fits), SMTP_REPLY_NONE);
        size_t max = verb == SMTP_AUTH ? SMTP_AUTH_LINE_MAX : SMTP_LINE_MAX;
        CHECK_EQ(smtp_command_check(verb, max - 1, fits), SMTP_REPLY_LINE_TOO_LONG);
    }
    CHECK_EQ(smtp_command_check(SMTP_NOOP, 511, args), SMTP_REPLY_LINE_TOO_LONG);
    CHECK_EQ(smtp_command_check(SMTP_RCPT, SMTP_LINE_MAX - 2, args), SMTP_REPLY_NONE);
    CHECK_EQ(smtp_command_check(SMTP_MAIL, SMTP_LINE_MAX - 2, args), SMTP_REPLY_NONE);
}

static void a_helo_name_has_a_limit(void)
{
    char name[256];
    memset(name, 'x', sizeof name);
    CHECK_EQ(smtp_command_check(SMTP_EHLO, 260, slice_make(name, 255)), SMTP_REPLY_NONE);
    CHECK_EQ(smtp_command_check(SMTP_EHLO, 261, slice_make(name, 256)), SMTP_REPLY_HELO_ARGUMENT);
}

static void chunk_sizes_are_exact(void)
{
    static const struct {
        const char *args;
        bool good;
        uint64_t len;
        bool is_last;
    } sizes[] = {
        {"0", true, 0, false},
        {"0 LAST", true, 0, true},
        {"86", true, 86, false},
        {"86 last", true, 86, true},
        {"86  LAST", true, 86, true},
        {"18446744073709551615", true, UINT64_MAX, false},
        {"18446744073709551616", false, 0, false},
        {"99999999999999999999999999", false, 0, false},
        {"", false, 0, false},
        {"LAST", false, 0, false},
        {"-1", false, 0, false},
        {"+1", false, 0, false},
        {"0x10", false, 0, false},
        {"1 2", false, 0, false},
        {"1 LAST x", false, 0, false},
        {"1 LASTX", false, 0, false},
        {"1LAST", false, 0, false},
        {"1,000", false, 0, false},
    };
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        uint64_t len = 0;
        bool is_last = false;
        bool good = smtp_bdat_parse(slice_of_string(sizes[i].args), &len, &is_last);
        CHECK_EQ(good, sizes[i].good);
        if (good) {
            CHECK(len == sizes[i].len && is_last == sizes[i].is_last);
        }
    }
}

/* Codes, enhanced codes and texts of the whole reply table have the form that RFC 5321 4.2 and RFC
 * 2034 4 ask for. */
static void every_reply_is_well_formed(void)
{
    struct slice name = SLICE_LITERAL("mx.example.org");
    for (int r = SMTP_REPLY_NONE + 1; r < NUM_SMTP_REPLIES; r++) {
        uint8_t bytes[512];
        struct buf b = buf_make(bytes, sizeof bytes);
        CHECK(smtp_reply_put(&b, (enum smtp_reply)r, name));
        CHECK(b.len > 6 && memcmp(bytes + b.len - 2, "\r\n", 2) == 0);
        for (size_t i = 0; i < b.len - 2; i++) {
            CHECK(bytes[i] >= ' ' && bytes[i] < 0x7f && bytes[i] != '%');
        }
        CHECK(bytes[0] >= '2' && bytes[0] <= '5' && bytes[1] <= '5' && bytes[3] == ' ');
        bool is_plain = r == SMTP_REPLY_BANNER || r == SMTP_REPLY_HELO || r == SMTP_REPLY_EHLO ||
                        r == SMTP_REPLY_DATA || r == SMTP_REPLY_CHALLENGE;
        CHECK_EQ(bytes[4] == bytes[0] && bytes[5] == '.' && bytes[7] == '.', !is_plain);
        bool is_good = smtp_reply_class((enum smtp_reply)r) == SMTP_REPLY_CLASS_GOOD;
        CHECK_EQ(is_good, bytes[0] < '4');
        /* With the longest host name it fits where a reply has to fit. */
        uint8_t host[255];
        memset(host, 'h', sizeof host);
        b = buf_make(bytes, sizeof bytes);
        CHECK(smtp_reply_put(&b, (enum smtp_reply)r, slice_make(host, sizeof host)));
        struct buf small = buf_make(bytes, 20);
        CHECK(!smtp_reply_put(&small, (enum smtp_reply)r, slice_make(host, sizeof host)) ||
              small.len <= 20);
        CHECK(!small.overflow || small.len == 0);
    }
}

static const struct test_case cases[] = {
    {"every_mail_of_the_table", every_mail_of_the_table},
    {"every_rcpt_of_the_table", every_rcpt_of_the_table},
    {"every_report_parameter_of_the_table", every_report_parameter_of_the_table},
    {"truncated_and_changed_arguments_stay_sane", truncated_and_changed_arguments_stay_sane},
    {"a_cut_address_is_refused", a_cut_address_is_refused},
    {"verbs_are_known_in_any_case", verbs_are_known_in_any_case},
    {"arguments_are_checked", arguments_are_checked},
    {"each_verb_has_its_line_limit", each_verb_has_its_line_limit},
    {"a_helo_name_has_a_limit", a_helo_name_has_a_limit},
    {"chunk_sizes_are_exact", chunk_sizes_are_exact},
    {"every_reply_is_well_formed", every_reply_is_well_formed},
};

TEST_MAIN(cases)

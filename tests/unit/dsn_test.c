/* Reports, byte for byte: tests/tables/reports/NAME.eml (with LF for CRLF) is what each of them
 * becomes; tests/interop/reports_test.py reads the same files with somebody else's parser. And
 * nothing that others wrote gets a line of its own. */
#include "dsn.h"

#include "test.h"

#define PIECES_CAP 200000

static uint8_t pieces[PIECES_CAP];
static uint8_t wanted[PIECES_CAP];

static const struct dsn plain = {
    .hostname = {(const uint8_t *)"mx.example.org", 14},
    .to = {(const uint8_t *)"ann@example.com", 15},
    .arrival_s = 1795000000,
    .now_s = 1795432100,
    .actions = 1u << DSN_FAILED,
    .nonce = {0xde, 0xad, 0xbe, 0xef, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12},
};

#define TEXT(text) SLICE_LITERAL(text)
#define ORIGINAL                                                                             \
    "Received: from client.example ([192.0.2.1])\r\n\tby mx.example.org with ESMTP\r\n\tid " \
    "01HZY; Mon, 16 Nov 2026 09:46:40 +0000\r\nSubject: hello\r\n\r\nbody\r\n--x\r\n"

static size_t compose(const struct dsn *d, const struct dsn_rcpt *rcpts, size_t num_rcpts,
                      const char *original)
{
    struct buf b = buf_make(pieces, sizeof pieces);
    struct slice content = slice_of_string(original);
    uint64_t len = dsn_returned_len(d, content, content.len);
    CHECK(dsn_put_head(&b, d));
    for (size_t i = 0; i < num_rcpts; i++) {
        CHECK(dsn_put_line(&b, d, &rcpts[i]));
    }
    CHECK(dsn_put_status(&b, d));
    for (size_t i = 0; i < num_rcpts; i++) {
        CHECK(dsn_put_fields(&b, d, &rcpts[i]));
    }
    CHECK(dsn_put_original(&b, d));
    CHECK(buf_put(&b, slice_make(content.ptr, (size_t)len)));
    CHECK(dsn_put_tail(&b, d));
    return b.len;
}

/* The file of that name, with CRLF. */
static size_t read_wanted(const char *name)
{
    char path[200];
    size_t len = 0;
    snprintf(path, sizeof path, "tests/tables/reports/%s.eml", name);
    FILE *f = fopen(path, "rb");
    CHECK(f != NULL);
    for (int c; f != NULL && (c = fgetc(f)) != EOF && len + 2 < sizeof wanted;) {
        if (c == '\n') {
            wanted[len++] = '\r';
        }
        wanted[len++] = (uint8_t)c;
    }
    if (f != NULL) {
        fclose(f);
    }
    return len;
}

static void check_report(const char *name, const struct dsn *d, const struct dsn_rcpt *rcpts,
                         size_t num_rcpts, const char *original)
{
    size_t len = compose(d, rcpts, num_rcpts, original), wanted_len = read_wanted(name), at = 0;
    while (at < len && at < wanted_len && pieces[at] == wanted[at]) {
        at++;
    }
    if (at != len || at != wanted_len) {
        fprintf(stderr, "%s: differs from byte %zu on, where it is\n%.*s\n", name, at,
                (int)(len - at), (const char *)pieces + at);
        CHECK(false);
    }
}

static const struct dsn_rcpt failed = {
    .address = {(const uint8_t *)"bob@example.net", 15},
    .action = DSN_FAILED,
    .status = {5, 1, 1},
    .remote_mta = {(const uint8_t *)"mx.example.net", 14},
    .reply = {(const uint8_t *)"550 5.1.1 No such user", 22},
    .is_peers_reply = true,
    .last_attempt_s = 1795432099,
};

static void test_failed(void)
{
    check_report("failed", &plain, &failed, 1, ORIGINAL);
}

/* All fields, all actions, the whole message, addresses beyond ASCII in ORCPT's own type. */
static void test_mixed(void)
{
    struct dsn d = plain;
    struct dsn_rcpt rcpts[] = {
        failed,
        {.address = TEXT("carol@example.net"),
         .orcpt = TEXT("rfc822;sales@example.net"),
         .action = DSN_DELAYED,
         .status = {4, 4, 1},
         .reply = TEXT("connection refused"),
         .last_attempt_s = 1795432000,
         .retry_until_s = 1795800000},
        {.address = TEXT("\"d d\"@example.org"), .action = DSN_DELIVERED, .status = {2, 0, 0}},
        {.address = TEXT("e@example.net"),
         .action = DSN_RELAYED,
         .status = {2, 0, 0},
         .remote_mta = TEXT("/run/dovecot/lmtp")},
        {.address = TEXT("all@example.org"),
         .orcpt = TEXT("x400;/S=all/"),
         .action = DSN_EXPANDED,
         .status = {2, 0, 0}},
    };
    d.actions = 0x1f;
    d.envid = TEXT("QQ314159 <x>");
    d.is_full = true;
    d.is_8bit = true;
    check_report("mixed", &d, rcpts, 5, ORIGINAL "M\xfcller\r\n");
}

static void test_delayed(void)
{
    struct dsn d = plain;
    struct dsn_rcpt r = failed;
    d.actions = 1u << DSN_DELAYED;
    d.arrival_s = 0;
    r.action = DSN_DELAYED;
    r.status[0] = 4;
    r.reply = TEXT("450 4.2.0 Greylisted, see https://mail.example.net/help/greylisting and be so "
                   "kind as to try again in   five minutes");
    r.retry_until_s = 1795864000;
    check_report("delayed", &d, &r, 1, "X: y\r\nno end");
}

static void test_utf8(void)
{
    struct dsn d = plain;
    struct dsn_rcpt rcpts[] = {
        {.address = TEXT("m\xc3\xbcller+a@example.net"),
         .orcpt = TEXT("utf-8;a\\b=\xc3\xbc@example.net"),
         .action = DSN_FAILED,
         .status = {5, 6, 7},
         .reply = TEXT("the next server has no SMTPUTF8")},
        {.address = TEXT("ann@example.net"), .action = DSN_DELIVERED, .status = {2, 0, 0}},
    };
    d.to = TEXT("\xce\xb1@example.com");
    d.actions = 1u << DSN_FAILED | 1u << DSN_DELIVERED;
    d.is_utf8 = true;
    check_report("utf8", &d, rcpts, 2, "Subject: \xce\xb1\r\n\r\nx\r\n");
    d.is_full = true;
    check_report("utf8-full", &d, rcpts, 1, "Subject: \xce\xb1\r\n\r\nx\r\n");
}

/* Hosts that have no name but their address. */
static void test_literals(void)
{
    static const struct {
        struct slice host;
        const char *field;
    } cases[] = {
        {TEXT("192.0.2.1"), "\r\nRemote-MTA: dns; [192.0.2.1]\r\n"},
        {TEXT("2001:db8::1"), "\r\nRemote-MTA: dns; [IPv6:2001:db8::1]\r\n"},
        {TEXT("192.0.2.1.example"), "\r\nRemote-MTA: dns; 192.0.2.1.example\r\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct dsn_rcpt r = failed;
        r.remote_mta = cases[i].host;
        struct buf b = buf_make(pieces, sizeof pieces);
        CHECK(dsn_put_fields(&b, &plain, &r));
        CHECK(memmem(b.ptr, b.len, cases[i].field, strlen(cases[i].field)) != NULL);
    }
}

/* Everything that others say, with line ends and controls in it. */
static void test_hostile(void)
{
    struct dsn d = plain;
    struct dsn_rcpt r = {
        .address = TEXT("a\r\nBcc: x@y\0@example.net"),
        .orcpt = TEXT("rfc822\r\nX: 1;b\r\n\r\n--=_deadbeef\xff"),
        .action = DSN_FAILED,
        .status = {5, 999, 65535},
        .remote_mta = TEXT("mx\r\n.example"),
        .reply = TEXT(" 550\r\n\r\nFinal-Recipient: rfc822; z@z\x1b[31m \t \xfe "),
        .is_peers_reply = true,
    };
    d.to = TEXT("ann\r\nTo: z@example.com");
    d.envid = TEXT("id\r\n\r\nX");
    check_report("hostile", &d, &r, 1, "--=_x\r\n\r\n");
}

/* Such addresses in a report that is ASCII. */
static void test_xtext(void)
{
    static const char *const table[][2] = {
        {"utf-8;\xce\xb1+\xf0\x90\x80\x80@c", "utf-8; \\x{3B1}\\x{2B}\\x{10000}@c"},
        {"UTF-8;a b=\\\xf4\x8f\xbf\xbf", "UTF-8; a\\x{20}b\\x{3D}\\x{5C}\\x{10FFFF}"},
        {"utf-8;\xc2\x80\xef\xbf\xbf", "utf-8; \\x{80}\\x{FFFF}"},
        {"utf-8;\x01\x7f\xce", "utf-8; ???"},
        {"rfc822;a+b=\\\xce\xb1", "rfc822; a+b=\\??"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct dsn_rcpt r = failed;
        struct buf b = buf_make(pieces, sizeof pieces);
        char want[200];
        r.orcpt = slice_of_string(table[i][0]);
        CHECK(dsn_put_fields(&b, &plain, &r));
        int len = snprintf(want, sizeof want, "\r\nOriginal-Recipient: %s\r\n", table[i][1]);
        b.len = b.len < (size_t)len ? b.len : (size_t)len;
        CHECK_TEXT(b, want);
    }
}

/* What is no UTF-8 at all, which no address is, gets no line either. */
static void test_malformed(void)
{
    struct dsn d = plain;
    struct dsn_rcpt r = failed;
    struct buf b = buf_make(pieces, sizeof pieces);
    d.is_utf8 = true;
    r.address = TEXT("a\xf0\r\n\rx@c");
    CHECK(dsn_put_fields(&b, &d, &r));
    b.len = 45;
    CHECK_TEXT(b, "\r\nFinal-Recipient: utf-8; a\xf0???x@c\r\nAction: f");
}

/* The longest of everything: within DSN_PIECE_MAX, and no line over 998 bytes. */
static void test_longest(void)
{
    static uint8_t plus[500], letters[600];
    memset(plus, '+', sizeof plus);
    memcpy(plus, "utf-8;", 6);
    memset(letters, 'x', sizeof letters);
    struct dsn d = plain;
    struct dsn_rcpt r = {
        .address = slice_make(letters, 254),
        .action = DSN_DELAYED,
        .remote_mta = slice_make(letters, 255),
        .reply = slice_make(letters, 600),
        .is_peers_reply = true,
        .last_attempt_s = 1795432099,
        .retry_until_s = 1795864000,
    };
    d.hostname = d.envid = slice_make(letters, 255);
    d.to = slice_make(letters, 254);
    d.is_utf8 = true;
    for (int i = 0; i < 2; i++) {
        r.orcpt = slice_make(i == 0 ? plus : letters, 500);
        struct buf b = buf_make(pieces, DSN_PIECE_MAX);
        CHECK(dsn_put_head(&b, &d));
        b.len = 0;
        CHECK(dsn_put_line(&b, &d, &r));
        b.len = 0;
        CHECK(dsn_put_status(&b, &d));
        b.len = 0;
        CHECK(dsn_put_fields(&b, &d, &r));
        size_t line_len = 0;
        for (size_t at = 0; at < b.len; at++) {
            line_len = pieces[at] == '\n' ? 0 : line_len + 1;
            CHECK(line_len <= 999);
        }
        pieces[b.len] = 0;
        CHECK_EQ(strstr((const char *)pieces, "Original-Recipient") != NULL, i == 1);
    }
}

static void test_no_room(void)
{
    size_t len = compose(&plain, &failed, 1, ORIGINAL);
    CHECK(len != 0);
    for (size_t cap = 0; cap < 1500; cap++) {
        struct buf b = buf_make(pieces, cap);
        pieces[cap] = 0x5a;
        bool fits = dsn_put_head(&b, &plain);
        CHECK(fits ? b.len != 0 : b.len == 0 && b.overflow);
        size_t before = b.len;
        fits = dsn_put_fields(&b, &plain, &failed);
        CHECK(fits ? b.len > before : b.len == before && b.overflow);
        CHECK_EQ(pieces[cap], 0x5a);
    }
}

static void test_returned_len(void)
{
    static const struct {
        const char *begin;
        uint64_t len;
    } table[] = {
        {"", 0},
        {"\r\nbody\r\n", 0},
        {"A: b\r\n\r\nbody\r\n", 6},
        {"A: b\r\n c\r\n\r\n", 10},
        {"A: b\r\nC: d", 6},
        {"A: b\r\nC: d\r\n", 12},
        {"no line end", 0},
        {"A: b\n\nC", 5},
    };
    struct dsn d = plain;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        d.is_full = false;
        CHECK_EQ(dsn_returned_len(&d, slice_of_string(table[i].begin), 5000), table[i].len);
        d.is_full = true;
        CHECK_EQ(dsn_returned_len(&d, slice_of_string(table[i].begin), 5000), 5000);
    }
    CHECK(dsn_is_full(true, 1u << DSN_FAILED | 1u << DSN_DELAYED, DSN_FULL_MAX));
    CHECK(!dsn_is_full(true, 1u << DSN_FAILED, DSN_FULL_MAX + 1));
    CHECK(!dsn_is_full(true, 1u << DSN_DELAYED, 1));
    CHECK(!dsn_is_full(false, 1u << DSN_FAILED, 1));
}

static const struct test_case cases[] = {
    {"failed", test_failed},
    {"mixed", test_mixed},
    {"delayed", test_delayed},
    {"utf8", test_utf8},
    {"literals", test_literals},
    {"hostile", test_hostile},
    {"longest", test_longest},
    {"xtext", test_xtext},
    {"malformed", test_malformed},
    {"no-room", test_no_room},
    {"returned-len", test_returned_len},
};

TEST_MAIN(cases)

#include "header.h"

#include "test.h"

static struct header_trace a_trace(void)
{
    struct header_trace t = {
        .helo = SLICE_LITERAL("client.example"),
        .peer = {.family = NET_IPV4, .bytes = {192, 0, 2, 1}, .port = 4711},
        .hostname = SLICE_LITERAL("mx.example.org"),
        .id = SLICE_LITERAL("a1B2c3"),
        .date = 1795474080,
        .is_esmtp = true,
    };
    return t;
}

static uint8_t bytes[HEADER_RECEIVED_MAX];

static struct slice received(const struct header_trace *t)
{
    struct buf b = buf_make(bytes, sizeof bytes);
    CHECK(header_put_received(&b, t));
    return buf_slice(&b);
}

static bool contains(struct slice text, const char *part)
{
    size_t len = strlen(part);
    for (size_t i = 0; i + len <= text.len; i++) {
        if (memcmp(text.ptr + i, part, len) == 0) {
            return true;
        }
    }
    return false;
}

static void received_tells_the_way(void)
{
    struct header_trace t = a_trace();
    CHECK_TEXT(received(&t), "Received: from client.example ([192.0.2.1])\r\n"
                             "\tby mx.example.org with ESMTP\r\n"
                             "\tid a1B2c3;\r\n"
                             "\tMon, 23 Nov 2026 22:48:00 +0000\r\n");
    t.is_local = true;
    t.local_uid = 1000;
    CHECK_TEXT(received(&t), "Received: from client.example (local uid 1000)\r\n"
                             "\tby mx.example.org with ESMTP\r\n"
                             "\tid a1B2c3;\r\n"
                             "\tMon, 23 Nov 2026 22:48:00 +0000\r\n");
    t.is_local = false;
    t.tls = SLICE_LITERAL("TLSv1.3 TLS1-3-AES-128-GCM-SHA256");
    t.recipient = SLICE_LITERAL("joe@example.org");
    CHECK_TEXT(received(&t), "Received: from client.example ([192.0.2.1])\r\n"
                             "\tby mx.example.org with ESMTPS "
                             "(TLSv1.3 TLS1-3-AES-128-GCM-SHA256)\r\n"
                             "\tid a1B2c3\r\n"
                             "\tfor <joe@example.org>;\r\n"
                             "\tMon, 23 Nov 2026 22:48:00 +0000\r\n");
}

static void the_protocol_has_its_registered_name(void)
{
    static const struct {
        bool is_esmtp, is_smtputf8, in_tls;
        const char *name;
        bool is_authenticated;
    } protocols[] = {
        {true, false, true, " with ESMTPSA (T)\r\n", true},
        {true, false, false, " with ESMTPA\r\n", true},
        {true, true, true, " with UTF8SMTPSA (T)\r\n", true},
        {false, false, true, " with SMTP (T)\r\n", true},
        {false, false, false, " with SMTP\r\n", false},
        {false, false, true, " with SMTP (T)\r\n", false},
        {true, false, false, " with ESMTP\r\n", false},
        {true, false, true, " with ESMTPS (T)\r\n", false},
        {true, true, false, " with UTF8SMTP\r\n", false},
        {true, true, true, " with UTF8SMTPS (T)\r\n", false},
    };
    for (size_t i = 0; i < sizeof protocols / sizeof protocols[0]; i++) {
        struct header_trace t = a_trace();
        t.is_esmtp = protocols[i].is_esmtp;
        t.is_authenticated = protocols[i].is_authenticated;
        t.is_smtputf8 = protocols[i].is_smtputf8;
        t.tls = slice_of_string(protocols[i].in_tls ? "T" : "");
        CHECK(contains(received(&t), protocols[i].name));
    }
}

static void a_peer_is_written_as_a_literal(void)
{
    struct header_trace t = a_trace();
    t.peer = (struct net_addr){.family = NET_IPV6, .bytes = {0x20, 1, 0xd, 0xb8, [15] = 1}};
    CHECK(contains(received(&t), " ([IPv6:2001:db8::1])\r\n"));
    t.peer.family = NET_NONE;
    CHECK(contains(received(&t), "from client.example\r\n"));
}

static void a_helo_cannot_leave_its_place(void)
{
    static const struct {
        const char *helo, *written;
    } helos[] = {
        {"", "unknown"},
        {"MY_PC", "MY_PC"},
        {"(none)", "?none?"},
        {"[192.0.2.7]", "[192.0.2.7]"},
        {"[IPv6:2001:db8::1]", "[IPv6:2001:db8::1]"},
        {"[not.one]", "?not.one?"},
        {"x)by(evil;", "x?by?evil?"},
        {"x\r\nBcc:y", "x??Bcc?y"},
        {"\xc3\xb6\"\\<>@", "???????"},
    };
    for (size_t i = 0; i < sizeof helos / sizeof helos[0]; i++) {
        struct header_trace t = a_trace();
        char expected[64];
        t.helo = slice_of_string(helos[i].helo);
        snprintf(expected, sizeof expected, "Received: from %s ([192", helos[i].written);
        CHECK(contains(received(&t), expected));
    }
}

/* Every value of every byte of a HELO argument: the field keeps its shape. */
static void no_byte_of_a_helo_folds_or_closes(void)
{
    for (int value = 0; value < 256; value++) {
        char helo[] = {'a', (char)value, 'b'};
        struct header_trace t = a_trace();
        t.helo = slice_make(helo, sizeof helo);
        struct slice text = received(&t);
        int num_lines = 0, num_open = 0, num_semicolons = 0;
        for (size_t i = 0; i < text.len; i++) {
            num_lines += text.ptr[i] == '\n';
            num_open += text.ptr[i] == '(';
            num_semicolons += text.ptr[i] == ';';
            CHECK(text.ptr[i] < 0x7f && text.ptr[i] != 0);
        }
        CHECK_EQ(num_lines, 4);
        CHECK_EQ(num_open, 1);
        CHECK_EQ(num_semicolons, 1);
    }
}

static void the_longest_field_fits_and_no_line_is_too_long(void)
{
    static uint8_t name[300];
    memset(name, 'n', sizeof name);
    struct header_trace t = a_trace();
    t.peer = (struct net_addr){.family = NET_IPV6};
    memset(t.peer.bytes, 0xab, sizeof t.peer.bytes);
    t.helo = slice_make(name, 255);
    t.hostname = slice_make(name, 255);
    t.id = slice_make(name, 24);
    t.recipient = slice_make(name, 254);
    t.tls = slice_make(name, 100);
    struct slice text = received(&t);
    size_t line_len = 0;
    for (size_t i = 0; i < text.len; i++) {
        line_len = text.ptr[i] == '\n' ? 0 : line_len + 1;
        CHECK(line_len < 998);
    }
}

static void what_does_not_fit_says_so(void)
{
    struct header_trace t = a_trace();
    size_t len = received(&t).len;
    for (size_t cap = 0; cap <= len; cap++) {
        uint8_t *room = malloc(cap + 1);
        struct buf b = buf_make(room, cap);
        CHECK_EQ(header_put_received(&b, &t), cap == len);
        free(room);
    }
}

static void return_path_is_one_line(void)
{
    struct buf b = buf_make(bytes, HEADER_RETURN_PATH_MAX);
    CHECK(header_put_return_path(&b, SLICE_LITERAL("joe@example.org")));
    CHECK_TEXT(b, "Return-Path: <joe@example.org>\r\n");
    b = buf_make(bytes, HEADER_RETURN_PATH_MAX);
    CHECK(header_put_return_path(&b, slice_make(NULL, 0)));
    CHECK_TEXT(b, "Return-Path: <>\r\n");
    b = buf_make(bytes, 10);
    CHECK(!header_put_return_path(&b, slice_make(NULL, 0)));
    uint8_t longest[254];
    memset(longest, 'x', sizeof longest);
    b = buf_make(bytes, HEADER_RETURN_PATH_MAX);
    CHECK(header_put_return_path(&b, slice_make(longest, sizeof longest)));
}

/* However a message is cut into pieces. */
static uint32_t hops_of(const char *text, size_t piece_len)
{
    struct header_hops h = {.num = 0};
    size_t len = strlen(text);
    for (size_t i = 0; i < len; i += piece_len) {
        header_count_hops(&h, slice_make(text + i, len - i < piece_len ? len - i : piece_len));
    }
    return h.num;
}

static void received_fields_are_counted(void)
{
    static const struct {
        const char *text;
        uint32_t num;
    } messages[] = {
        {"", 0},
        {"Received: a\r\nReceived: b\r\n\r\n", 2},
        {"received:a\nRECEIVED:\n b\n\tReceived: fold\nX: y\nReceived: c\n\nReceived: d\n", 3},
        {"\r\nReceived: body\r\n", 0},
        {"Received : a\r\nXReceived: b\r\nReceived-SPF: c\r\n Received: d\r\n", 0},
        {"X: y\r\nReceived:", 1},
    };
    for (size_t i = 0; i < sizeof messages / sizeof messages[0]; i++) {
        for (size_t piece_len = 1; piece_len < 40; piece_len++) {
            CHECK_EQ(hops_of(messages[i].text, piece_len), messages[i].num);
        }
    }
}

static const struct test_case cases[] = {
    {"received_tells_the_way", received_tells_the_way},
    {"the_protocol_has_its_registered_name", the_protocol_has_its_registered_name},
    {"a_peer_is_written_as_a_literal", a_peer_is_written_as_a_literal},
    {"a_helo_cannot_leave_its_place", a_helo_cannot_leave_its_place},
    {"no_byte_of_a_helo_folds_or_closes", no_byte_of_a_helo_folds_or_closes},
    {"the_longest_field_fits_and_no_line_is_too_long",
     the_longest_field_fits_and_no_line_is_too_long},
    {"what_does_not_fit_says_so", what_does_not_fit_says_so},
    {"return_path_is_one_line", return_path_is_one_line},
    {"received_fields_are_counted", received_fields_are_counted},
};

TEST_MAIN(cases)

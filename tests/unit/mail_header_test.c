/* What programs write: fields, and lists of addresses in all the forms that RFC 5322 has. */
#include "mail_header.h"

#include "test.h"

static const char *const lists[][2] = {
    {"joe@example.org", "joe@example.org"},
    {" joe@example.org ,ann@example.org\r\n", "joe@example.org ann@example.org"},
    {"joe, ann", "joe@home.example ann@home.example"},
    {"Joe Doe <joe@example.org>", "joe@example.org"},
    {"Joe Q. Public <joe@example.org>,ann", "joe@example.org ann@home.example"},
    {"\"Doe, Joe\" <joe@example.org>, ann@example.org", "joe@example.org ann@example.org"},
    {"joe@example.org (Joe Doe, the (old) one)", "joe@example.org"},
    {"(x) joe (y) @ (z) example.org (w)", "joe@example.org"},
    {"joe . doe @ example . org", "joe.doe@example.org"},
    {"joe@example.org,\r\n ann@example.org,\r\n\tbob@example.org\r\n",
     "joe@example.org ann@example.org bob@example.org"},
    {"friends: joe@example.org, ann;, bob", "joe@example.org ann@home.example bob@home.example"},
    {"undisclosed-recipients:;", ""},
    {"A group (with a comment) : Joe <joe@example.org>;", "joe@example.org"},
    {"<@a.example,@b.example:joe@example.org>", "joe@example.org"},
    {"<joe>", "joe@home.example"},
    {"\"joe doe\"@example.org", "\"joe doe\"@example.org"},
    {"\"a\\\"b,c\"@example.org", "\"a\\\"b,c\"@example.org"},
    {"joe@[192.0.2.1]", "joe@[192.0.2.1]"},
    {"=?utf-8?q?J=C3=B6?= <joe@example.org>", "joe@example.org"},
    {"J\xc3\xb6rg <joe@example.org>", "joe@example.org"},
    {"j\xc3\xb6rg@example.org", "j\xc3\xb6rg@example.org"},
    {",,joe,,ann,", "joe@home.example ann@home.example"},
    {"", ""},
    {" \r\n", ""},
    {"joe doe", "!joe doe!"},
    {" joe doe \r\n", "!joe doe!"},
    {"joe doe, ann", "!joe doe! ann@home.example"},
    {"<joe@example.org", "!<joe@example.org!"},
    {"joe@", "!joe@!"},
    {"@example.org", "!@example.org!"},
    {"joe@example.org ann@example.org", "!joe@example.org ann@example.org!"},
    {"<>", "!<>!"},
    {".joe@example.org", "!.joe@example.org!"},
    {"joe..doe@example.org", "joe..doe@example.org"},
    {"\"unended", "!\"unended!"},
    {"joe (unended", "!joe (unended!"},
    {"joe (unended, ann", "!joe (unended! ann@home.example"},
    {"(unended, ann", "!(unended! ann@home.example"},
    {"ann, (unended", "ann@home.example !(unended!"},
    {"joe\\, ann", "!joe\\, ann!"},
    {"a~z@example.org", "a~z@example.org"},
    {"joe\177@example.org, ann", "!joe\177@example.org! ann@home.example"},
    {"joe <ann@example.org (unended", "!joe <ann@example.org (unended!"},
    {"joe@exa mple.org, ann", "!joe@exa mple.org! ann@home.example"},
    {"Joe <joe@example.org> x, ann", "!Joe <joe@example.org> x! ann@home.example"},
};

static void lists_of_addresses(void)
{
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        uint8_t got_bytes[512], bytes[MAIL_ADDRESS_CAP];
        struct buf got = buf_make(got_bytes, sizeof got_bytes);
        struct slice text = slice_of_string(lists[i][0]), bad;
        struct address a;
        enum err err;
        int num = 0;
        while ((err = mail_address_next(&text, SLICE_LITERAL("home.example"), bytes, &a, &bad)) !=
                   ERR_EOF &&
               num++ < 20) {
            buf_put_string(&got, got.len > 0 ? " " : "");
            buf_put_string(&got, err == ERR_OK ? "" : "!");
            buf_put(&got, err == ERR_OK ? a.text : bad);
            buf_put_string(&got, err == ERR_OK ? "" : "!");
        }
        CHECK_TEXT(buf_slice(&got), lists[i][1]);
    }
}

/* Every beginning of every list comes to an end. */
static void cut_off_lists_end(void)
{
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        for (size_t len = 0; len < strlen(lists[i][0]); len++) {
            uint8_t bytes[MAIL_ADDRESS_CAP];
            struct slice text = slice_make(lists[i][0], len), bad;
            struct address a;
            int num = 0;
            while (num < 50 && mail_address_next(&text, SLICE_LITERAL("home.example"), bytes, &a,
                                                 &bad) != ERR_EOF) {
                num++;
            }
            CHECK(num < 50);
        }
    }
}

static void long_addresses_are_told(void)
{
    static char text[2000];
    uint8_t bytes[MAIL_ADDRESS_CAP];
    struct slice in, bad;
    struct address a;
    memset(text, 'a', sizeof text - 1);
    memcpy(text + 1000, ", ann", 5);
    text[1005] = '\0';
    in = slice_of_string(text);
    CHECK_EQ(mail_address_next(&in, SLICE_LITERAL("x.example"), bytes, &a, &bad), ERR_TOO_BIG);
    CHECK_EQ(bad.len, 1000);
    CHECK_EQ(mail_address_next(&in, SLICE_LITERAL("x.example"), bytes, &a, &bad), ERR_OK);
    CHECK_TEXT(a.text, "ann@x.example");
}

/* What encoded words make of a name of a hundred characters. */
static void long_names_are_none_of_it(void)
{
    static char text[1000];
    uint8_t bytes[MAIL_ADDRESS_CAP];
    struct slice in, bad;
    struct address a;
    memset(text, 'a', sizeof text - 1);
    memcpy(text + 900, " <joe@x.example>, ann", 22);
    in = slice_of_string(text);
    CHECK_EQ(mail_address_next(&in, SLICE_LITERAL("x.example"), bytes, &a, &bad), ERR_OK);
    CHECK_TEXT(a.text, "joe@x.example");
    CHECK_EQ(mail_address_next(&in, SLICE_LITERAL("x.example"), bytes, &a, &bad), ERR_OK);
    CHECK_TEXT(a.text, "ann@x.example");
}

static void fields_are_walked(void)
{
    struct slice in =
        SLICE_LITERAL("Subject: a\r\n b\r\n\tc\r\nTO :joe\r\nX-Empty:\r\n\r\nbody\r\n");
    struct mail_field f;
    CHECK(mail_header_next(&in, &f));
    CHECK_TEXT(f.name, "Subject");
    CHECK_TEXT(f.value, " a\r\n b\r\n\tc\r\n");
    CHECK(!mail_field_has_rcpts(&f, false));
    CHECK(mail_header_next(&in, &f));
    CHECK_TEXT(f.name, "TO");
    CHECK_TEXT(f.value, "joe\r\n");
    CHECK_TEXT(f.whole, "TO :joe\r\n");
    CHECK(mail_field_has_rcpts(&f, false));
    CHECK(!mail_field_has_rcpts(&f, true));
    CHECK(mail_header_next(&in, &f));
    CHECK_TEXT(f.value, "\r\n");
    CHECK(!mail_header_next(&in, &f));
    CHECK_TEXT(in, "\r\nbody\r\n");
}

static void what_is_there_is_told(void)
{
    struct mail_header h;
    mail_header_read(SLICE_LITERAL("from: a\r\nDATE: b\r\nmessage-id: c\r\n\r\nFrom: d\r\n"), &h);
    CHECK(h.has_from && h.has_date && h.has_message_id && !h.is_resent);
    CHECK_TEXT(h.body, "From: d\r\n");
    CHECK_EQ(h.fields.len, 33);
    mail_header_read(SLICE_LITERAL("Resent-To: a\r\nFromage: b\r\n"), &h);
    CHECK(!h.has_from && h.is_resent);
    CHECK_TEXT(h.body, "");
    mail_header_read(SLICE_LITERAL("no field here\r\nTo: x\r\n"), &h);
    CHECK_EQ(h.fields.len, 0);
    CHECK_TEXT(h.body, "no field here\r\nTo: x\r\n");
    mail_header_read(SLICE_LITERAL(" folded: from nothing\r\n"), &h);
    CHECK_EQ(h.fields.len, 0);
    mail_header_read(SLICE_LITERAL(""), &h);
    CHECK_EQ(h.body.len, 0);
    struct mail_field bcc = {.name = SLICE_LITERAL("bCc")};
    CHECK(mail_field_is_hidden(&bcc));
    CHECK(mail_field_has_rcpts(&bcc, false));
    bcc.name = SLICE_LITERAL("Resent-BCC");
    CHECK(mail_field_is_hidden(&bcc));
    CHECK(mail_field_has_rcpts(&bcc, true));
}

static const struct test_case cases[] = {
    {"lists_of_addresses", lists_of_addresses},
    {"cut_off_lists_end", cut_off_lists_end},
    {"long_addresses_are_told", long_addresses_are_told},
    {"fields_are_walked", fields_are_walked},
    {"what_is_there_is_told", what_is_there_is_told},
    {"long_names_are_none_of_it", long_names_are_none_of_it},
};

TEST_MAIN(cases)

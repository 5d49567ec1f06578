/* Names, queries, and answers: honest ones, broken ones, and those of somebody who would like to be
 * believed. */
#include "dns.h"

#include "test.h"

#define NUM(rows) (sizeof(rows) / sizeof(rows)[0])

static struct dns_question ask(enum dns_type type, const char *name)
{
    struct dns_question q = {.id = 0x1234, .type = type};
    CHECK(dns_name_parse(slice_of_string(name), &q.name));
    return q;
}

static void test_names(void)
{
    struct dns_name name;
    CHECK(dns_name_parse(SLICE_LITERAL("OCSP.Example"), &name));
    CHECK(slice_equal(slice_make(name.bytes, name.len), SLICE_LITERAL("\4ocsp\7example\0")));
    CHECK(dns_name_parse(SLICE_LITERAL("a."), &name));
    CHECK(slice_equal(slice_make(name.bytes, name.len), SLICE_LITERAL("\1a\0")));
    static const char *const bad[] = {"", ".", "..", ".a", "a..b", "a.."};
    for (size_t i = 0; i < NUM(bad); i++) {
        CHECK(!dns_name_parse(slice_of_string(bad[i]), &name));
    }
    char text[300];
    memset(text, 'a', sizeof text);
    CHECK(dns_name_parse(slice_make(text, 63), &name));
    CHECK(!dns_name_parse(slice_make(text, 64), &name));
    for (size_t i = 63; i < sizeof text; i += 64) {
        text[i] = '.';
    }
    CHECK(dns_name_parse(slice_make(text, 253), &name));
    CHECK_EQ(name.len, 255);
    for (size_t len = 254; len < sizeof text; len++) {
        CHECK(!dns_name_parse(slice_make(text, len), &name) || len == 192);
    }
}

static void test_query(void)
{
    uint8_t memory[DNS_QUERY_CAP];
    struct dns_question q = ask(DNS_AAAA, "a.bc");
    struct buf b = buf_make(memory, sizeof memory);
    CHECK(dns_put_query(&b, &q));
    CHECK(slice_equal(buf_slice(&b), SLICE_LITERAL("\x12\x34\x01\x00\0\1\0\0\0\0\0\0"
                                                   "\1a\2bc\0\0\x1c\0\1")));
    for (size_t cap = 0, len = b.len; cap < len; cap++) {
        b = buf_make(memory, cap);
        CHECK(!dns_put_query(&b, &q) && b.len == 0 && b.overflow);
    }
    q.name.len = DNS_NAME_MAX;
    b = buf_make(memory, sizeof memory);
    CHECK(dns_put_query(&b, &q));
}

/* Answers are written by hand: HEAD and the question take 26 bytes, the asked name stands at 12. */
#define HEAD(flags, num) "\x12\x34" flags "\0\1\0" num "\0\0\0\0"
#define QUESTION         "\1a\7example\0\0\1\0\1"
#define NAME             "\xc0\x0c"
#define A_RECORD         "\0\1\0\1\0\0\1\x2c\0\4"

static enum dns_result parse(const void *bytes, size_t len, enum dns_type type,
                             struct dns_answer *out)
{
    struct dns_question q = ask(type, "A.Example");
    uint8_t *copy = malloc(len + 1);
    memcpy(copy, bytes, len);
    enum dns_result r = dns_parse_answer(slice_make(copy, len), &q, out);
    free(copy);
    CHECK((r == DNS_OK) == (out->num_addrs != 0));
    CHECK(out->num_addrs <= DNS_ADDRS_MAX);
    return r;
}
#define PARSE(text, out) parse(text, sizeof(text) - 1, DNS_A, out)

static void check_addr(const struct net_addr *a, const char *want)
{
    char text[64];
    struct buf b = buf_make(text, sizeof text);
    net_addr_put(&b, a);
    CHECK_TEXT(b, want);
}

static const char one[] = HEAD("\x81\x80", "\1") QUESTION NAME A_RECORD "\xc0\0\2\7";

static void test_addresses(void)
{
    struct dns_answer out;
    CHECK_EQ(parse(one, sizeof one - 1, DNS_A, &out), DNS_OK);
    CHECK_EQ(out.num_addrs, 1);
    CHECK_EQ(out.ttl_s, 300);
    check_addr(&out.addrs[0], "192.0.2.7");
    /* In another case, the name written out; the lesser of two TTLs; other types and names between.
     */
    CHECK_EQ(PARSE(HEAD("\x81\x80", "\4") "\1A\7EXAMPLE\0\0\1\0\1" NAME A_RECORD "\xc0\0\2\1"
                                          "\1b\7example\0" A_RECORD "\xc0\0\2\2" NAME
                                          "\0\x10\0\1\0\0\0\1\0\1x"
                                          "\1a\7eXample\0\0\1\0\1\0\0\0\7\0\4\xc0\0\2\3",
                   &out),
             DNS_OK);
    CHECK_EQ(out.num_addrs, 2);
    CHECK_EQ(out.ttl_s, 7);
    check_addr(&out.addrs[1], "192.0.2.3");
    static const char v6[] =
        HEAD("\x81\x80", "\1") "\1a\7example\0\0\x1c\0\1" NAME
                               "\0\x1c\0\1\x80\0\0\0\0\x10\x20\1\xd\xb8\0\0\0\0\0\0\0\0\0\0\0\1";
    CHECK_EQ(parse(v6, sizeof v6 - 1, DNS_AAAA, &out), DNS_OK);
    check_addr(&out.addrs[0], "2001:db8::1");
    CHECK_EQ(out.ttl_s, 0); /* the top bit was set */
    CHECK_EQ(parse(v6, sizeof v6 - 1, DNS_A, &out), DNS_NOT_OURS);
}

static void test_many_addresses(void)
{
    struct dns_answer out;
    char text[800] = HEAD("\x81\x80", "\x14") QUESTION;
    size_t len = sizeof(HEAD("\x81\x80", "\x14") QUESTION) - 1;
    for (int i = 0; i < 20; i++) {
        memcpy(text + len, NAME A_RECORD "\xc0\0\2", 15);
        text[len + 15] = (char)i;
        len += 16;
    }
    CHECK_EQ(parse(text, len, DNS_A, &out), DNS_OK);
    CHECK_EQ(out.num_addrs, DNS_ADDRS_MAX);
    check_addr(&out.addrs[7], "192.0.2.7");
}

/* a is b, b is c; the records in any order. */
static void test_chains(void)
{
    struct dns_answer out;
    CHECK_EQ(PARSE(HEAD("\x81\x80", "\3") QUESTION "\1c\0" A_RECORD "\xc0\0\2\7" NAME
                                                   "\0\5\0\1\0\0\0\x3c\0\3\1b\0"
                                                   "\1b\0\0\5\0\1\0\0\0\x50\0\3\1C\0",
                   &out),
             DNS_OK);
    CHECK_EQ(out.ttl_s, 60);
    check_addr(&out.addrs[0], "192.0.2.7");
    /* The target is a pointer to the name at 27, "example". */
    CHECK_EQ(PARSE(HEAD("\x81\x80", "\2") QUESTION NAME "\0\5\0\1\0\0\0\x3c\0\2\xc0\x0e"
                                                        "\7example\0" A_RECORD "\xc0\0\2\7",
                   &out),
             DNS_OK);
    /* An alias and an address; one that leads nowhere; a loop; an alias of itself. */
    CHECK_EQ(PARSE(HEAD("\x81\x80", "\2") QUESTION NAME A_RECORD "\xc0\0\2\7" NAME
                                                                 "\0\5\0\1\0\0\0\x3c\0\3\1b\0",
                   &out),
             DNS_MALFORMED);
    CHECK_EQ(PARSE(HEAD("\x81\x80", "\1") QUESTION NAME "\0\5\0\1\0\0\0\x3c\0\3\1b\0", &out),
             DNS_NO_ADDRESS);
    CHECK_EQ(PARSE(HEAD("\x81\x80", "\2") QUESTION NAME "\0\5\0\1\0\0\0\x3c\0\3\1b\0"
                                                        "\1b\0\0\5\0\1\0\0\0\x3c\0\2\xc0\x0c",
                   &out),
             DNS_NO_ADDRESS);
    CHECK_EQ(PARSE(HEAD("\x81\x80", "\1") QUESTION NAME "\0\5\0\1\0\0\0\x3c\0\2\xc0\x0c", &out),
             DNS_NO_ADDRESS);
    /* An alias with bytes behind its name. */
    CHECK_EQ(PARSE(HEAD("\x81\x80", "\1") QUESTION NAME "\0\5\0\1\0\0\0\x3c\0\4\1b\0x", &out),
             DNS_MALFORMED);
}

/* a is b, b is c... num aliases, and an address for the last. */
static enum dns_result chain_of(int num)
{
    struct dns_answer out;
    char text[800] = HEAD("\x81\x80", "\0") QUESTION;
    size_t len = sizeof(HEAD("\x81\x80", "\0") QUESTION) - 1;
    text[7] = (char)(num + 1);
    for (int i = 0; i < num; i++) {
        size_t name_len = i == 0 ? 2 : 3;
        char own[] = {1, (char)('a' + i), 0};
        memcpy(text + len, i == 0 ? NAME : own, name_len);
        memcpy(text + len + name_len, "\0\5\0\1\0\0\0\x3c\0\3\1", 11);
        text[len + name_len + 11] = (char)('b' + i);
        text[len + name_len + 12] = 0;
        len += name_len + 13;
    }
    char last[] = {1, (char)('a' + num), 0};
    memcpy(text + len, last, 3);
    memcpy(text + len + 3, A_RECORD "\xc0\0\2\7", 14);
    return parse(text, len + 17, DNS_A, &out);
}

static void test_chain_bound(void)
{
    CHECK_EQ(chain_of(1), DNS_OK);
    CHECK_EQ(chain_of(DNS_CHAIN_MAX), DNS_OK);
    CHECK_EQ(chain_of(DNS_CHAIN_MAX + 1), DNS_NO_ADDRESS);
}

static void test_codes(void)
{
    struct dns_answer out;
    CHECK_EQ(PARSE(HEAD("\x81\x83", "\0") QUESTION, &out), DNS_NO_NAME);
    CHECK_EQ(PARSE(HEAD("\x81\x80", "\0") QUESTION, &out), DNS_NO_ADDRESS);
    CHECK_EQ(PARSE(HEAD("\x85\x00", "\0") QUESTION, &out), DNS_NO_ADDRESS);
    CHECK_EQ(PARSE(HEAD("\x81\x00", "\0") QUESTION, &out), DNS_FAILED); /* a referral */
    CHECK_EQ(PARSE(HEAD("\x81\x00", "\1") QUESTION NAME A_RECORD "\xc0\0\2\7", &out), DNS_OK);
    CHECK_EQ(PARSE(HEAD("\x81\x81", "\0") QUESTION, &out), DNS_FAILED);
    CHECK_EQ(PARSE(HEAD("\x81\x82", "\0") QUESTION, &out), DNS_FAILED);
    CHECK_EQ(PARSE(HEAD("\x81\x85", "\1") QUESTION NAME A_RECORD "\xc0\0\2\7", &out), DNS_FAILED);
    CHECK_EQ(PARSE(HEAD("\x83\x80", "\1") QUESTION NAME A_RECORD "\xc0\0\2\7", &out),
             DNS_TRUNCATED);
}

static void test_not_ours(void)
{
    struct dns_answer out;
    CHECK_EQ(PARSE("", &out), DNS_NOT_OURS);
    CHECK_EQ(PARSE("\x12\x34", &out), DNS_NOT_OURS);
    CHECK_EQ(PARSE("\x12\x35\x81\x80\0\1\0\1\0\0\0\0" QUESTION NAME A_RECORD "\xc0\0\2\7", &out),
             DNS_NOT_OURS);
    CHECK_EQ(PARSE(HEAD("\x01\x80", "\1") QUESTION NAME A_RECORD "\xc0\0\2\7", &out),
             DNS_NOT_OURS); /* a query */
    CHECK_EQ(PARSE(HEAD("\xa1\x80", "\1") QUESTION NAME A_RECORD "\xc0\0\2\7", &out),
             DNS_NOT_OURS); /* another opcode */
    CHECK_EQ(PARSE("\x12\x34\x81\x80\0\0\0\1\0\0\0\0\1a\7example\0" A_RECORD "\xc0\0\2\7", &out),
             DNS_NOT_OURS); /* no question */
    CHECK_EQ(
        PARSE(HEAD("\x81\x80", "\1") "\1b\7example\0\0\1\0\1" NAME A_RECORD "\xc0\0\2\7", &out),
        DNS_NOT_OURS);
    CHECK_EQ(
        PARSE(HEAD("\x81\x80", "\1") "\1a\7example\0\0\1\0\3" NAME A_RECORD "\xc0\0\2\7", &out),
        DNS_NOT_OURS);
}

/* The name stands where the first record does, at 27. */
static void test_pointers(void)
{
    struct dns_answer out;
    static const struct {
        const char *name;
        size_t len;
        enum dns_result result;
    } rows[] = {
        {"\xc0\x0c", 2, DNS_OK},
        {"\1a\xc0\x0e", 4, DNS_OK},
        {"\xc0\x1b", 2, DNS_MALFORMED},    /* to itself */
        {"\1a\xc0\x1b", 4, DNS_MALFORMED}, /* to its own begin */
        {"\1a\xc0\x1d", 4, DNS_MALFORMED}, /* to its own middle */
        {"\xc0\x30", 2, DNS_MALFORMED},    /* forwards */
        {"\xff\xff", 2, DNS_MALFORMED},    /* beyond the end */
        {"\x80\x0c", 2, DNS_MALFORMED},    /* reserved */
        {"\x40\x0c", 2, DNS_MALFORMED},    /* reserved */
        {"\xc0", 1, DNS_MALFORMED},
        {"\x3f", 1, DNS_MALFORMED},
        {"", 0, DNS_MALFORMED},
    };
    for (size_t i = 0; i < NUM(rows); i++) {
        char text[100] = HEAD("\x81\x80", "\1") QUESTION;
        size_t len = sizeof(HEAD("\x81\x80", "\1") QUESTION) - 1;
        memcpy(text + len, rows[i].name, rows[i].len);
        len += rows[i].len;
        if (rows[i].len > 1) {
            memcpy(text + len, A_RECORD "\xc0\0\2\7", 14);
            len += 14;
        }
        enum dns_result r = parse(text, len, DNS_A, &out);
        if (r != rows[i].result) {
            fprintf(stderr, "row %zu: %d\n", i, r);
            CHECK(false);
        }
    }
    /* Two pointers that lead to one another, in the data of a record (at 39) before the name. */
    CHECK_EQ(PARSE(HEAD("\x81\x80", "\2") QUESTION NAME
                   "\0\x10\0\1\0\0\0\1\0\4\xc0\x29\xc0\x27\xc0\x29" A_RECORD "\xc0\0\2\7",
                   &out),
             DNS_MALFORMED);
    /* And in the question itself. */
    CHECK_EQ(PARSE(HEAD("\x81\x80", "\1") "\xc0\x0e\xc0\x0c\0\1\0\1", &out), DNS_NOT_OURS);
}

/* A name of num pointers, each to the one before it, in the data of a record (at 39), and the first
 * to the question's. */
static enum dns_result jumps_of(size_t num)
{
    struct dns_answer out;
    uint8_t text[400] = {0x12, 0x34, 0x81, 0x80, 0, 1, 0, 2};
    size_t len = sizeof(HEAD("\x81\x80", "\2") QUESTION) - 1, target = 12;
    memcpy(text + 12, QUESTION, len - 12);
    memcpy(text + len, NAME "\0\x10\0\1\0\0\0\1\0", 11);
    text[len + 11] = (uint8_t)(2 * (num - 1));
    len += 12;
    for (size_t i = 1; i <= num; i++) { /* the last one is the next record's name */
        text[len] = (uint8_t)(0xc0 | target >> 8);
        text[len + 1] = (uint8_t)target;
        target = len;
        len += 2;
    }
    memcpy(text + len, A_RECORD "\xc0\0\2\7", 14);
    return parse(text, len + 14, DNS_A, &out);
}

static void test_jump_bound(void)
{
    CHECK_EQ(jumps_of(1), DNS_OK);
    CHECK_EQ(jumps_of(127), DNS_OK);
    CHECK_EQ(jumps_of(128), DNS_MALFORMED);
}

/* A name that grows over 255 bytes by its pointers. */
static void test_long_names(void)
{
    struct dns_answer out;
    uint8_t text[900] = {0x12, 0x34, 0x81, 0x80, 0, 1, 0, 9};
    size_t len = sizeof(HEAD("\x81\x80", "\x9") QUESTION) - 1;
    memcpy(text + 12, QUESTION, len - 12);
    size_t target = 12;
    for (int i = 0; i < 9; i++) {
        size_t begin = len;
        text[len] = 50;
        memset(text + len + 1, 'x', 50);
        len += 51;
        text[len++] = (uint8_t)(0xc0 | target >> 8);
        text[len++] = (uint8_t)target;
        memcpy(text + len, A_RECORD "\xc0\0\2\7", 14);
        len += 14;
        target = begin;
    }
    CHECK_EQ(parse(text, len, DNS_A, &out), DNS_MALFORMED);
    text[7] = 4; /* 4 * 51 + 11 are 215; a fifth would be 266 */
    CHECK_EQ(parse(text, len, DNS_A, &out), DNS_NO_ADDRESS);
    text[7] = 5;
    CHECK_EQ(parse(text, len, DNS_A, &out), DNS_MALFORMED);
}

static void test_lengths(void)
{
    struct dns_answer out;
    CHECK_EQ(PARSE(HEAD("\x81\x80", "\1") QUESTION NAME "\0\1\0\1\0\0\0\7\0\3\xc0\0\2", &out),
             DNS_MALFORMED);
    CHECK_EQ(PARSE(HEAD("\x81\x80", "\1") QUESTION NAME "\0\1\0\1\0\0\0\7\0\5\xc0\0\2\1\1", &out),
             DNS_MALFORMED);
    CHECK_EQ(PARSE(HEAD("\x81\x80", "\1") QUESTION NAME "\0\1\0\3\0\0\0\7\0\4\xc0\0\2\1", &out),
             DNS_NO_ADDRESS); /* another class */
    CHECK_EQ(PARSE(HEAD("\x81\x80", "\2") QUESTION NAME A_RECORD "\xc0\0\2\7", &out),
             DNS_MALFORMED); /* one record too few */
    for (size_t len = 0; len < sizeof one - 1; len++) {
        CHECK_EQ(parse(one, len, DNS_A, &out),
                 len < sizeof(HEAD("\x81\x80", "\1") QUESTION) - 1 ? DNS_NOT_OURS : DNS_MALFORMED);
    }
}

/* Any byte changed: what is still believed repeats id and question. */
static void test_changes(void)
{
    static const char chain[] = HEAD("\x81\x80", "\2") QUESTION NAME
        "\0\5\0\1\0\0\0\x3c\0\2\xc0\x0e\7example\0" A_RECORD "\xc0\0\2\7";
    for (size_t i = 0; i < (sizeof chain - 1) * 256; i++) {
        char changed[sizeof chain];
        struct dns_answer out;
        memcpy(changed, chain, sizeof chain);
        changed[i / 256] = (char)i;
        enum dns_result r = parse(changed, sizeof chain - 1, DNS_A, &out);
        if (memcmp(changed, chain, 2) != 0) {
            CHECK_EQ(r, DNS_NOT_OURS);
        }
        if (r == DNS_OK) {
            CHECK(out.addrs[0].family == NET_IPV4);
        }
    }
}

#define MX_QUESTION "\1a\7example\0\0\xf\0\1"
#define MX_RECORD   NAME "\0\xf\0\1\0\0\1\x2c\0"

static enum dns_result parse_mx(const void *bytes, size_t len, struct dns_mx_list *out)
{
    struct dns_question q = ask(DNS_MX, "a.example");
    uint8_t *copy = malloc(len + 1);
    memcpy(copy, bytes, len);
    enum dns_result r = dns_parse_mx(slice_make(copy, len), &q, out);
    free(copy);
    return r;
}
#define PARSE_MX(text, out) parse_mx(text, sizeof(text) - 1, out)

static void test_mx(void)
{
    struct dns_mx_list out;
    CHECK_EQ(PARSE_MX(HEAD("\x81\x80", "\3") MX_QUESTION MX_RECORD "\7\0\x14\2mb\xc0\x0e" MX_RECORD
                                                                   "\7\0\x0a\2Ma\xc0\x0e" MX_RECORD
                                                                   "\7\0\x14\2mc\xc0\x0c",
                      &out),
             DNS_OK);
    CHECK_EQ(out.num, 3);
    CHECK(!out.is_null);
    CHECK_EQ(out.hosts[0].preference, 10);
    CHECK(strcmp(out.hosts[0].name, "ma.example") == 0);
    CHECK(strcmp(out.hosts[1].name, "mb.example") == 0);
    CHECK(strcmp(out.hosts[2].name, "mc.a.example") == 0);
    CHECK_EQ(out.hosts[2].len, strlen("mc.a.example"));
    /* Through a CNAME, the name's own. */
    CHECK_EQ(PARSE_MX(HEAD("\x81\x80", "\2") MX_QUESTION NAME
                      "\0\5\0\1\0\0\0\x3c\0\4\1b\xc0\x0e\1b\xc0\x0e\0\xf\0\1\0\0\0\1\0\7\0\1\2mx"
                      "\xc0\x0e",
                      &out),
             DNS_OK);
    CHECK(strcmp(out.hosts[0].name, "mx.example") == 0);
    /* None; and one that says that there is none (RFC 7505), which beside others means nothing. */
    CHECK_EQ(PARSE_MX(HEAD("\x81\x80", "\0") MX_QUESTION, &out), DNS_NO_ADDRESS);
    CHECK_EQ(PARSE_MX(HEAD("\x81\x80", "\1") MX_QUESTION MX_RECORD "\3\0\0\0", &out), DNS_OK);
    CHECK(out.is_null && out.num == 0);
    CHECK_EQ(PARSE_MX(HEAD("\x81\x80", "\2") MX_QUESTION MX_RECORD "\7\0\1\2mx\xc0\x0e" MX_RECORD
                                                                   "\3\0\0\0",
                      &out),
             DNS_OK);
    CHECK(!out.is_null && out.num == 1);
    /* Names that no host has are passed over, whatever they hold. */
    CHECK_EQ(PARSE_MX(HEAD("\x81\x80", "\1") MX_QUESTION MX_RECORD "\7\0\1\2m\n\xc0\x0e", &out),
             DNS_OK);
    CHECK(!out.is_null && out.num == 0);
    /* Lengths that contradict each other. */
    CHECK_EQ(PARSE_MX(HEAD("\x81\x80", "\1") MX_QUESTION MX_RECORD "\6\0\1\2mx\xc0\x0e", &out),
             DNS_MALFORMED);
    CHECK_EQ(PARSE_MX(HEAD("\x81\x80", "\1") MX_QUESTION MX_RECORD "\1\0", &out), DNS_MALFORMED);
    CHECK_EQ(PARSE_MX(HEAD("\x81\x83", "\0") MX_QUESTION, &out), DNS_NO_NAME);
    CHECK_EQ(PARSE_MX(HEAD("\x81\x82", "\0") MX_QUESTION, &out), DNS_FAILED);
    CHECK_EQ(PARSE_MX(HEAD("\x81\x80", "\0") QUESTION, &out), DNS_NOT_OURS);
}

/* More than are kept: the best stay, in order. */
static void test_many_mx(void)
{
    struct dns_mx_list out;
    uint8_t text[2000];
    struct buf b = buf_make(text, sizeof text);
    buf_put(&b, SLICE_LITERAL(HEAD("\x81\x80", "\x14") MX_QUESTION));
    for (unsigned i = 0; i < 20; i++) {
        uint8_t name[4] = {1, (uint8_t)('a' + i), 0xc0, 0x0e};
        buf_put(&b, SLICE_LITERAL(MX_RECORD "\6"));
        buf_put_be(&b, 2, 10 + 7 * i % 20 / 2); /* 10 to 19, twice each */
        buf_put(&b, slice_make(name, sizeof name));
    }
    CHECK_EQ(parse_mx(text, b.len, &out), DNS_OK);
    CHECK_EQ(out.num, DNS_MX_MAX);
    for (unsigned i = 0; i < DNS_MX_MAX; i++) {
        CHECK_EQ(out.hosts[i].preference, 10 + i / 2);
    }
}

static const struct test_case cases[] = {
    {"mx", test_mx},
    {"many_mx", test_many_mx},
    {"names", test_names},
    {"query", test_query},
    {"addresses", test_addresses},
    {"many_addresses", test_many_addresses},
    {"chains", test_chains},
    {"chain_bound", test_chain_bound},
    {"codes", test_codes},
    {"not_ours", test_not_ours},
    {"pointers", test_pointers},
    {"jump_bound", test_jump_bound},
    {"long_names", test_long_names},
    {"lengths", test_lengths},
    {"changes", test_changes},
};

TEST_MAIN(cases)

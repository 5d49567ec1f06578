/* Lookups against scripted servers: what is asked of whom, when, and what is believed. */
#include "resolver.h"

#include "test.h"

static struct resolver_cache cache;
static struct resolv_conf conf;
static uint8_t tcp_memory[600];
static struct lookup l;
static uint64_t now_ms;
static uint16_t next_id;

static void set_up(const char *text)
{
    memset(&cache, 0, sizeof cache);
    resolv_conf_parse(slice_of_string(text), &conf);
    now_ms = 1000000;
    next_id = 100;
}

static void begin(const char *name)
{
    lookup_begin(&l, slice_of_string(name), SLICE_LITERAL("192.0.2.99 known\n"), &conf, &cache,
                 buf_make(tcp_memory, sizeof tcp_memory), now_ms);
}

static enum lookup_want next(void)
{
    return lookup_next(&l, now_ms, next_id++);
}

static void check_server(const char *want)
{
    char text[64];
    struct buf b = buf_make(text, sizeof text);
    net_addr_put(&b, &l.server);
    CHECK_TEXT(b, want);
    CHECK_EQ(l.server.port, 53);
}

static void check_addr(size_t i, const char *want)
{
    char text[64];
    struct buf b = buf_make(text, sizeof text);
    CHECK(i < l.num_addrs);
    net_addr_put(&b, &l.addrs[i]);
    CHECK_TEXT(b, want);
}

/* The query, read back: its type; and that it asks for what it should. */
static unsigned query_type(void)
{
    uint8_t memory[DNS_QUERY_CAP + 2];
    struct buf b = buf_make(memory, sizeof memory);
    CHECK(lookup_query(&l, &b));
    struct slice in = buf_slice(&b);
    uint64_t len, id, type = 0;
    if (l.over_tcp) {
        CHECK(slice_be(&in, 2, &len) && len == in.len);
    }
    CHECK(slice_be(&in, 2, &id) && id == (uint64_t)next_id - 1);
    CHECK(slice_skip(&in, 10 + l.question.name.len) && slice_be(&in, 2, &type) && in.len == 2);
    return (unsigned)type;
}

/* An answer to the query under way: flags, then num records of ttl_s with addresses ending in last,
 * last + 1... */
static size_t write_answer(uint8_t *out, size_t cap, uint16_t flags, unsigned num, uint32_t ttl_s,
                           uint8_t last)
{
    struct buf b = buf_make(out, cap);
    buf_put_be(&b, 2, l.question.id);
    buf_put_be(&b, 2, flags);
    buf_put_be(&b, 2, 1);
    buf_put_be(&b, 2, num);
    buf_put_be(&b, 4, 0);
    buf_put(&b, slice_make(l.question.name.bytes, l.question.name.len));
    buf_put_be(&b, 2, l.question.type);
    buf_put_be(&b, 2, 1);
    for (unsigned i = 0; i < num; i++) {
        bool v4 = l.question.type == DNS_A;
        buf_put_be(&b, 2, 0xc00c);
        buf_put_be(&b, 2, l.question.type);
        buf_put_be(&b, 2, 1);
        buf_put_be(&b, 4, ttl_s);
        buf_put_be(&b, 2, v4 ? 4 : 16);
        if (v4) {
            buf_put_be(&b, 3, 0xc00002);
        } else {
            buf_put_be(&b, 8, UINT64_C(0x20010db800000000));
            buf_put_be(&b, 7, 0);
        }
        buf_put_u8(&b, (uint8_t)(last + i));
    }
    CHECK(!b.overflow);
    return b.len;
}

#define ANSWER    0x8180u
#define NO_NAME   0x8183u
#define SERVFAIL  0x8182u
#define REFUSED   0x8185u
#define TRUNCATED 0x8380u

static void answer(uint16_t flags, unsigned num, uint32_t ttl_s, uint8_t last)
{
    uint8_t bytes[900];
    size_t len = write_answer(bytes, sizeof bytes, flags, num, ttl_s, last);
    lookup_datagram(&l, &l.server, slice_make(bytes, len), now_ms);
}

static void test_without_asking(void)
{
    set_up("");
    begin("192.0.2.7");
    CHECK_EQ(next(), LOOKUP_DONE);
    check_addr(0, "192.0.2.7");
    begin("2001:db8::7");
    CHECK_EQ(next(), LOOKUP_DONE);
    check_addr(0, "2001:db8::7");
    begin("KNOWN.");
    CHECK_EQ(next(), LOOKUP_DONE);
    CHECK_EQ(l.result, DNS_OK);
    check_addr(0, "192.0.2.99");
    begin("not..a.name");
    CHECK_EQ(next(), LOOKUP_DONE);
    CHECK_EQ(l.result, DNS_NO_NAME);
    CHECK_EQ(l.num_addrs, 0);
    begin("localhost");
    CHECK_EQ(next(), LOOKUP_DONE);
    CHECK_EQ(l.result, DNS_OK);
    CHECK_EQ(l.num_addrs, 2);
}

static void test_both_families(void)
{
    set_up("nameserver 10.0.0.1\n");
    begin("a.example");
    CHECK_EQ(next(), LOOKUP_UDP);
    check_server("10.0.0.1");
    CHECK_EQ(query_type(), DNS_A);
    CHECK_EQ(next(), LOOKUP_WAIT);
    answer(ANSWER, 3, 100, 1);
    CHECK_EQ(next(), LOOKUP_UDP);
    CHECK_EQ(query_type(), DNS_AAAA);
    answer(ANSWER, 2, 50, 1);
    CHECK_EQ(next(), LOOKUP_DONE);
    CHECK_EQ(l.result, DNS_OK);
    CHECK_EQ(l.num_addrs, 5);
    check_addr(0, "2001:db8::1");
    check_addr(1, "192.0.2.1");
    check_addr(2, "2001:db8::2");
    check_addr(3, "192.0.2.2");
    check_addr(4, "192.0.2.3");
}

static void ask_once(unsigned num_v4, unsigned num_v6, uint32_t ttl_s)
{
    begin("a.example");
    CHECK_EQ(next(), LOOKUP_UDP);
    answer(ANSWER, num_v4, ttl_s, 1);
    CHECK_EQ(next(), LOOKUP_UDP);
    answer(ANSWER, num_v6, ttl_s + 10, 1);
    CHECK_EQ(next(), LOOKUP_DONE);
}

static void test_one_family(void)
{
    set_up("");
    ask_once(1, 0, 60);
    CHECK_EQ(l.num_addrs, 1);
    set_up("");
    ask_once(0, 9, 60);
    CHECK_EQ(l.num_addrs, LOOKUP_ADDRS_MAX);
    check_addr(7, "2001:db8::8");
    set_up("");
    ask_once(0, 0, 60);
    CHECK_EQ(l.result, DNS_NO_ADDRESS);
    set_up("");
    ask_once(8, 8, 60);
    CHECK_EQ(l.num_addrs, LOOKUP_ADDRS_MAX);
    check_addr(7, "192.0.2.4");
}

/* Some name servers deny the name itself when they are asked for AAAA (RFC 4074 4.2). */
static void test_denied_family(void)
{
    set_up("");
    for (int i = 0; i < 2; i++) {
        begin("a.example");
        if (i == 0) {
            CHECK_EQ(next(), LOOKUP_UDP);
            answer(ANSWER, 1, 60, 1);
            CHECK_EQ(next(), LOOKUP_UDP);
            CHECK_EQ(query_type(), DNS_AAAA);
            answer(NO_NAME, 0, 0, 0);
        }
        CHECK_EQ(next(), LOOKUP_DONE);
        CHECK_EQ(l.result, DNS_OK);
        CHECK_EQ(l.num_addrs, 1);
        check_addr(0, "192.0.2.1");
    }
}

static void test_cache(void)
{
    set_up("");
    ask_once(1, 1, 60);
    now_ms += 59999;
    begin("A.Example.");
    CHECK_EQ(next(), LOOKUP_DONE);
    CHECK_EQ(l.num_addrs, 2);
    begin("b.example");
    CHECK_EQ(next(), LOOKUP_UDP);
    now_ms += 1;
    begin("a.example");
    CHECK_EQ(next(), LOOKUP_UDP);
    /* At most an hour; 0 is not kept. */
    ask_once(1, 0, 1000000);
    now_ms += 3599999;
    begin("a.example");
    CHECK_EQ(next(), LOOKUP_DONE);
    now_ms += 1;
    ask_once(1, 0, 0);
    begin("a.example");
    CHECK_EQ(next(), LOOKUP_UDP);
    /* Nothing found is kept for a minute. */
    answer(NO_NAME, 0, 0, 0);
    CHECK_EQ(next(), LOOKUP_DONE);
    CHECK_EQ(l.result, DNS_NO_NAME);
    now_ms += 59999;
    begin("a.example");
    CHECK_EQ(next(), LOOKUP_DONE);
    CHECK_EQ(l.result, DNS_NO_NAME);
    now_ms += 1;
    begin("a.example");
    CHECK_EQ(next(), LOOKUP_UDP);
}

/* Full, it forgets what would expire first. */
static void test_cache_bound(void)
{
    set_up("");
    for (unsigned i = 0; i < RESOLVER_CACHE_MAX + 1; i++) {
        char name[2] = {(char)('a' + i), 0};
        begin(name);
        CHECK_EQ(next(), LOOKUP_UDP);
        answer(ANSWER, 1, i == 2 ? 10 : 100 + i, 1);
        CHECK_EQ(next(), LOOKUP_UDP);
        answer(ANSWER, 0, 0, 1);
        CHECK_EQ(next(), LOOKUP_DONE);
    }
    begin("c");
    CHECK_EQ(next(), LOOKUP_UDP);
    for (unsigned i = 0; i < RESOLVER_CACHE_MAX + 1; i++) {
        char name[2] = {(char)('a' + i), 0};
        if (i != 2) {
            begin(name);
            CHECK_EQ(next(), LOOKUP_DONE);
        }
    }
}

/* Silence: every server in turn, in rounds of growing patience, then it is given up. */
static void test_silence(void)
{
    static const struct {
        const char *server;
        uint64_t wait_ms;
    } rows[] = {{"10.0.0.1", 12000}, {"10.0.0.2", 12000}, {"10.0.0.1", 24000},
                {"10.0.0.2", 24000}, {"10.0.0.1", 30000}, {"10.0.0.2", 30000}};
    set_up("nameserver 10.0.0.1\nnameserver 10.0.0.2\noptions timeout:12 attempts:3\n");
    begin("a.example");
    for (size_t i = 0; i < 6; i++) {
        CHECK_EQ(next(), LOOKUP_UDP);
        check_server(rows[i].server);
        CHECK_EQ(query_type(), DNS_A);
        CHECK_EQ(l.deadline_ms, now_ms + rows[i].wait_ms);
        now_ms = l.deadline_ms - 1;
        CHECK_EQ(next(), LOOKUP_WAIT);
        now_ms++;
    }
    CHECK_EQ(next(), LOOKUP_DONE);
    CHECK_EQ(l.result, DNS_FAILED);
    CHECK_EQ(l.deadline_ms, UINT64_MAX);
    begin("a.example"); /* and not remembered */
    CHECK_EQ(next(), LOOKUP_UDP);
}

static void test_failures(void)
{
    set_up("nameserver 10.0.0.1\nnameserver 10.0.0.2\noptions attempts:1\n");
    begin("a.example");
    CHECK_EQ(next(), LOOKUP_UDP);
    answer(SERVFAIL, 0, 0, 0);
    CHECK_EQ(next(), LOOKUP_UDP);
    check_server("10.0.0.2");
    answer(ANSWER, 1, 60, 1);
    /* The next question goes to the server that answered. */
    CHECK_EQ(next(), LOOKUP_UDP);
    check_server("10.0.0.2");
    answer(REFUSED, 0, 0, 0);
    CHECK_EQ(next(), LOOKUP_DONE);
    /* One family is enough, but is not kept. */
    CHECK_EQ(l.result, DNS_OK);
    CHECK_EQ(l.num_addrs, 1);
    begin("a.example");
    CHECK_EQ(next(), LOOKUP_UDP);
    lookup_broken(&l);
    CHECK_EQ(next(), LOOKUP_UDP);
    check_server("10.0.0.2");
    lookup_broken(&l);
    CHECK_EQ(next(), LOOKUP_DONE);
    CHECK_EQ(l.result, DNS_FAILED);
    lookup_broken(&l);
    CHECK_EQ(next(), LOOKUP_DONE);
}

/* A zone that is broken for one family may be whole for the other; nobody else is worth the wait.
 */
static void test_broken_family(void)
{
    set_up("nameserver 10.0.0.1\nnameserver 10.0.0.2\noptions attempts:1\n");
    for (unsigned num = 0; num < 3; num++) {
        begin("a.example");
        for (int i = 0; i < 2; i++) {
            CHECK_EQ(next(), LOOKUP_UDP);
            CHECK_EQ(query_type(), DNS_A);
            answer(SERVFAIL, 0, 0, 0);
        }
        CHECK_EQ(next(), LOOKUP_UDP);
        CHECK_EQ(query_type(), DNS_AAAA);
        answer(num == 1 ? NO_NAME : ANSWER, num / 2, 60,
               1); /* the name may be there all the same */
        CHECK_EQ(next(), LOOKUP_DONE);
        CHECK_EQ(l.result, num < 2 ? DNS_FAILED : DNS_OK);
        CHECK_EQ(l.num_addrs, num / 2);
    }
    begin("a.example"); /* it is not kept */
    CHECK_EQ(next(), LOOKUP_UDP);
}

static void test_strangers(void)
{
    uint8_t bytes[300];
    set_up("nameserver 10.0.0.1\nnameserver 10.0.0.2\n");
    begin("a.example");
    CHECK_EQ(next(), LOOKUP_UDP);
    size_t len = write_answer(bytes, sizeof bytes, ANSWER, 1, 60, 66);
    struct net_addr other = l.server;
    other.port = 5353;
    lookup_datagram(&l, &other, slice_make(bytes, len), now_ms);
    other = conf.servers[1];
    lookup_datagram(&l, &other, slice_make(bytes, len), now_ms);
    CHECK_EQ(next(), LOOKUP_WAIT);
    next_id--;
    /* From the server's address, as anybody may write on an envelope: guesses at the id. */
    for (int i = 0; i < 15; i++) {
        bytes[0] ^= 0x55;
        bytes[1] = (uint8_t)i;
        lookup_datagram(&l, &l.server, slice_make(bytes, len), now_ms);
        CHECK_EQ(lookup_next(&l, now_ms, 7), LOOKUP_WAIT);
    }
    bytes[0] = 0xff;
    lookup_datagram(&l, &l.server, slice_make(bytes, len), now_ms);
    CHECK_EQ(next(), LOOKUP_UDP);
    check_server("10.0.0.2");
    /* What answers the old query is not believed any more. */
    len = write_answer(bytes, sizeof bytes, ANSWER, 1, 60, 66);
    bytes[1] = (uint8_t)(bytes[1] - 1);
    lookup_datagram(&l, &l.server, slice_make(bytes, len), now_ms);
    CHECK_EQ(lookup_next(&l, now_ms, 7), LOOKUP_WAIT);
}

static void test_tcp(void)
{
    for (size_t piece_len = 1; piece_len < 400; piece_len += 61) {
        uint8_t bytes[600];
        set_up("nameserver 10.0.0.1\nnameserver 10.0.0.2\n");
        begin("a.example");
        CHECK_EQ(next(), LOOKUP_UDP);
        answer(TRUNCATED, 1, 60, 1);
        CHECK_EQ(next(), LOOKUP_TCP);
        check_server("10.0.0.1");
        CHECK_EQ(query_type(), DNS_A);
        size_t len = write_answer(bytes + 2, sizeof bytes - 2, ANSWER, 20, 60, 1);
        bytes[0] = (uint8_t)(len >> 8);
        bytes[1] = (uint8_t)len;
        lookup_datagram(&l, &l.server, slice_make(bytes + 2, len), now_ms); /* not now */
        for (size_t at = 0; at < len + 2; at += piece_len) {
            CHECK_EQ(lookup_next(&l, now_ms, 7), LOOKUP_WAIT);
            size_t n = len + 2 - at < piece_len ? len + 2 - at : piece_len;
            lookup_stream(&l, slice_make(bytes + at, n), now_ms);
        }
        CHECK_EQ(next(), LOOKUP_UDP);
        CHECK_EQ(query_type(), DNS_AAAA);
        lookup_stream(&l, slice_make(bytes, len), now_ms); /* not now */
        answer(ANSWER, 0, 60, 1);
        CHECK_EQ(next(), LOOKUP_DONE);
        CHECK_EQ(l.num_addrs, LOOKUP_ADDRS_MAX);
    }
}

/* What a first connection left behind is not read with what a second brings. */
static void test_tcp_again(void)
{
    uint8_t bytes[300];
    set_up("nameserver 10.0.0.1\nnameserver 10.0.0.2\n");
    begin("a.example");
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(next(), LOOKUP_UDP);
        answer(TRUNCATED, 0, 0, 0);
        CHECK_EQ(next(), LOOKUP_TCP);
        size_t len = write_answer(bytes + 2, sizeof bytes - 2, ANSWER, 1, 60, 1);
        bytes[0] = (uint8_t)(len >> 8);
        bytes[1] = (uint8_t)len;
        lookup_stream(&l, slice_make(bytes, i == 0 ? 9 : len + 2), now_ms);
        if (i == 0) {
            lookup_broken(&l);
        }
    }
    CHECK_EQ(next(), LOOKUP_UDP);
    CHECK_EQ(query_type(), DNS_AAAA);
}

/* Each question has all of its rounds. */
static void test_rounds(void)
{
    set_up("options attempts:2\n");
    begin("a.example");
    CHECK_EQ(next(), LOOKUP_UDP);
    lookup_broken(&l);
    CHECK_EQ(next(), LOOKUP_UDP);
    answer(ANSWER, 1, 60, 1);
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(next(), LOOKUP_UDP);
        CHECK_EQ(query_type(), DNS_AAAA);
        lookup_broken(&l);
    }
    CHECK_EQ(next(), LOOKUP_DONE);
    CHECK_EQ(l.num_addrs, 1);
}

/* Over TCP: cut again, another's answer, too long, ended early: the next server. */
static void test_tcp_failures(void)
{
    for (int way = 0; way < 4; way++) {
        uint8_t bytes[900];
        set_up("nameserver 10.0.0.1\nnameserver 10.0.0.2\n");
        begin("a.example");
        CHECK_EQ(next(), LOOKUP_UDP);
        answer(TRUNCATED, 0, 0, 0);
        CHECK_EQ(next(), LOOKUP_TCP);
        size_t len = write_answer(bytes + 2, sizeof bytes - 2, way == 0 ? TRUNCATED : ANSWER,
                                  way == 2 ? 50 : 1, 60, 1);
        bytes[0] = (uint8_t)(len >> 8);
        bytes[1] = (uint8_t)len;
        bytes[2] ^= way == 1;
        if (way == 3) {
            lookup_broken(&l);
        } else {
            lookup_stream(&l, slice_make(bytes, len + 2), now_ms);
        }
        CHECK_EQ(next(), LOOKUP_UDP);
        check_server("10.0.0.2");
    }
}

static void begin_mx(const char *domain, struct dns_mx_list *mx)
{
    lookup_begin_mx(&l, slice_of_string(domain), mx, &conf,
                    buf_make(tcp_memory, sizeof tcp_memory));
}

static void answer_mx(uint16_t flags, unsigned num)
{
    uint8_t bytes[512];
    struct buf b = buf_make(bytes, sizeof bytes);
    buf_put_be(&b, 2, l.question.id);
    buf_put_be(&b, 2, flags);
    buf_put_be(&b, 2, 1);
    buf_put_be(&b, 2, num);
    buf_put_be(&b, 4, 0);
    buf_put(&b, slice_make(l.question.name.bytes, l.question.name.len));
    buf_put_be(&b, 4, DNS_MX << 16 | 1);
    for (unsigned i = 0; i < num; i++) {
        buf_put(&b, SLICE_LITERAL("\xc0\x0c\0\xf\0\1\0\0\0\7\0\7\0\5\2mx\xc0\x0c"));
    }
    lookup_datagram(&l, &l.server, buf_slice(&b), now_ms);
}

/* One question, whatever its answer, and nothing of it is kept. */
static void test_mx(void)
{
    struct dns_mx_list mx;
    static const struct {
        uint16_t flags;
        unsigned num;
        enum dns_result want;
    } rows[] = {{0x8180, 2, DNS_OK}, {0x8180, 0, DNS_NO_ADDRESS}, {0x8183, 0, DNS_NO_NAME}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        set_up("");
        begin_mx("example.org", &mx);
        CHECK_EQ(next(), LOOKUP_UDP);
        CHECK_EQ(query_type(), DNS_MX);
        answer_mx(rows[i].flags, rows[i].num);
        CHECK_EQ(next(), LOOKUP_DONE);
        CHECK_EQ(l.result, rows[i].want);
        CHECK_EQ(mx.num, rows[i].num);
        for (size_t k = 0; k < RESOLVER_CACHE_MAX; k++) {
            CHECK_EQ(cache.entries[k].name.len, 0);
        }
    }
    set_up("nameserver 192.0.2.1\nnameserver 192.0.2.2\noptions attempts:1\n");
    begin_mx("example.org", &mx);
    CHECK_EQ(next(), LOOKUP_UDP);
    answer_mx(0x8100, 0); /* the next server is asked, as this one refers to others */
    CHECK_EQ(next(), LOOKUP_UDP);
    check_server("192.0.2.2");
    answer_mx(0x8380, 0); /* and again, as its answer was cut */
    CHECK_EQ(next(), LOOKUP_TCP);
    lookup_broken(&l);
    CHECK_EQ(next(), LOOKUP_DONE);
    CHECK_EQ(l.result, DNS_FAILED);
    begin_mx("not..a.name", &mx);
    CHECK_EQ(next(), LOOKUP_DONE);
    CHECK_EQ(l.result, DNS_NO_NAME);
}

static const struct test_case cases[] = {
    {"mx", test_mx},
    {"without_asking", test_without_asking},
    {"both_families", test_both_families},
    {"one_family", test_one_family},
    {"denied_family", test_denied_family},
    {"cache", test_cache},
    {"cache_bound", test_cache_bound},
    {"silence", test_silence},
    {"failures", test_failures},
    {"broken_family", test_broken_family},
    {"strangers", test_strangers},
    {"tcp", test_tcp},
    {"tcp_again", test_tcp_again},
    {"rounds", test_rounds},
    {"tcp_failures", test_tcp_failures},
};

TEST_MAIN(cases)

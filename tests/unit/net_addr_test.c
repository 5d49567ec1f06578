/* Addresses: what is one, what is not, and how each is written back. */
#include "net_addr.h"

#include "test.h"

static uint8_t bytes[64];

static struct net_addr parsed(const char *text)
{
    struct net_addr a;
    memset(&a, 0xff, sizeof a);
    if (!net_addr_parse(slice_of_string(text), &a)) {
        fprintf(stderr, "not parsed: %s\n", text);
        CHECK(false);
        memset(&a, 0, sizeof a);
    }
    return a;
}

static struct slice written(const struct net_addr *a)
{
    struct buf b = buf_make(bytes, sizeof bytes);
    CHECK(net_addr_put(&b, a));
    return buf_slice(&b);
}

/* RFC 5952: 4.1 zeros, 4.2 the gap, 4.3 lower case, 5 IPv4 inside. */
static void test_round_trip(void)
{
    static const char *const rows[][2] = {
        {"0.0.0.0", "0.0.0.0"},
        {"255.255.255.255", "255.255.255.255"},
        {"192.0.2.1", "192.0.2.1"},
        {"::", "::"},
        {"::0", "::"},
        {"0:0:0:0:0:0:0:0", "::"},
        {"::1", "::1"},
        {"1::", "1::"},
        {"2001:0DB8::0001", "2001:db8::1"},
        {"2001:db8:0:0:0:0:2:1", "2001:db8::2:1"},
        {"2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"},
        {"2001:db8::1:1:1:1:1", "2001:db8:0:1:1:1:1:1"},
        {"2001:0:0:1:0:0:0:1", "2001:0:0:1::1"},
        {"2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"},
        {"0:0:1:0:0:0:1:1", "0:0:1::1:1"},
        {"0:1:0:1:0:1:0:1", "0:1:0:1:0:1:0:1"},
        {"1:2:3:4:5:6:7:0", "1:2:3:4:5:6:7:0"},
        {"1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"},
        {"::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"},
        {"1:2:3:4:5:6::", "1:2:3:4:5:6::"},
        {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
        {"::ffff:192.0.2.1", "::ffff:192.0.2.1"},
        {"::FFFF:c000:0201", "::ffff:192.0.2.1"},
        {"0:0:0:0:0:ffff:192.0.2.1", "::ffff:192.0.2.1"},
        {"::192.0.2.1", "::c000:201"},
        {"64:ff9b::192.0.2.1", "64:ff9b::c000:201"},
        {"1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304"},
        {"1:2:3:4:5::1.2.3.4", "1:2:3:4:5:0:102:304"},
        {"fe80::abcd:0:0", "fe80::abcd:0:0"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct net_addr a = parsed(rows[i][0]);
        CHECK_EQ(a.port, 0);
        CHECK_EQ(a.family, strchr(rows[i][0], ':') != NULL ? NET_IPV6 : NET_IPV4);
        CHECK_TEXT(written(&a), rows[i][1]);
        struct net_addr again = parsed(rows[i][1]);
        CHECK(net_addr_same_host(&a, &again));
    }
}

static void test_wrong(void)
{
    static const char *const rows[] = {
        "",
        "1",
        "1.2.3",
        "1.2.3.4.5",
        "1.2.3.",
        ".1.2.3",
        "1..2.3",
        "256.0.0.1",
        "1.2.3.999",
        "1.2.3.0004",
        "01.2.3.4",
        "1.2.3.00",
        " 1.2.3.4",
        "1.2.3.4 ",
        "1.2.3.4/8",
        "1.2.3.a",
        "-1.2.3.4",
        ":",
        ":::",
        "1:",
        ":1",
        "1::2::3",
        "::1::",
        "1:2:3:4:5:6:7",
        "1:2:3:4:5:6:7:8:9",
        "1:2:3:4:5:6:7:8::",
        "::1:2:3:4:5:6:7:8",
        "1:2:3:4::5:6:7:8",
        "12345::",
        "00001::",
        "g::",
        "::1%eth0",
        "[::1]",
        "::1.2.3",
        "::1.2.3.4:5",
        "::1.2.3.256",
        "1:2:3:4:5:6:7:1.2.3.4",
        "1:2:3:4:5:6::1.2.3.4",
        "1.2.3.4::",
        "::1:",
        ":1::",
        "1:2:3:4:5:6:7:",
        "::ffff:1.2.3.4 ",
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct net_addr a = {99, {0}, 99};
        if (net_addr_parse(slice_of_string(rows[i]), &a) || a.family != 99) {
            fprintf(stderr, "taken: %s\n", rows[i]);
            CHECK(false);
        }
    }
    struct net_addr a;
    CHECK(!net_addr_parse(slice_make(NULL, 0), &a));
    CHECK(!net_addr_parse(slice_make("1.2.3.4\0", 8), &a));
}

/* Every beginning of an address either is one or is refused; none reads beyond its end. */
static void test_truncated(void)
{
    static const char whole[] = "2001:db8::ffff:192.0.2.123";
    for (size_t len = 0; len < sizeof whole; len++) {
        char *copy = malloc(len + 1);
        struct net_addr a;
        memcpy(copy, whole, len);
        if (net_addr_parse(slice_make(copy, len), &a)) {
            struct slice text = written(&a);
            struct net_addr again;
            CHECK(net_addr_parse(text, &again) && net_addr_same_host(&a, &again));
        }
        free(copy);
    }
}

static bool holds(const char *prefix, const char *addr)
{
    struct net_prefix p;
    struct net_addr a = parsed(addr);
    CHECK(net_prefix_parse(slice_of_string(prefix), &p));
    return net_prefix_holds(&p, &a);
}

static void test_prefix(void)
{
    CHECK(holds("192.0.2.0/24", "192.0.2.255"));
    CHECK(!holds("192.0.2.0/24", "192.0.3.0"));
    CHECK(holds("192.0.2.128/25", "192.0.2.128"));
    CHECK(!holds("192.0.2.128/25", "192.0.2.127"));
    CHECK(holds("192.0.2.1", "192.0.2.1"));
    CHECK(!holds("192.0.2.1", "192.0.2.0"));
    CHECK(holds("192.0.2.1/32", "192.0.2.1"));
    CHECK(holds("0.0.0.0/0", "255.1.2.3"));
    CHECK(!holds("0.0.0.0/0", "::1"));
    CHECK(holds("::/0", "ffff::"));
    CHECK(!holds("::/0", "1.2.3.4"));
    CHECK(holds("2001:db8::/33", "2001:db8:7fff::1"));
    CHECK(!holds("2001:db8::/33", "2001:db8:8000::1"));
    CHECK(holds("::1/128", "::1"));
    CHECK(!holds("::1", "::"));
    CHECK(holds("2001:db8::2/127", "2001:db8::3"));
}

/* Clients over a socket of IPv6 are looked at by their IPv4 addresses: so are lists of them. */
static void test_prefix_mapped(void)
{
    CHECK(holds("::ffff:192.0.2.1", "192.0.2.1"));
    CHECK(!holds("::ffff:192.0.2.1", "192.0.2.2"));
    CHECK(holds("::ffff:192.0.2.0/120", "192.0.2.7"));
    CHECK(!holds("::ffff:192.0.2.0/120", "192.0.3.7"));
    CHECK(holds("::ffff:0:0/96", "192.0.2.1"));
    CHECK(!holds("::/0", "192.0.2.1"));
}

static void test_prefix_wrong(void)
{
    static const char *const rows[] = {
        "192.0.2.1/24", "192.0.2.0/33", "::/129",        "::1/127", "1.2.3.4/",
        "1.2.3.4/ 8",   "/8",           "0.0.0.0/-1",    "",        "0.0.0.0//0",
        "0.0.0.0/0/0",  "192.0.2.0/22", "2001:db8::1/64"};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct net_prefix p;
        if (net_prefix_parse(slice_of_string(rows[i]), &p)) {
            fprintf(stderr, "taken: %s\n", rows[i]);
            CHECK(false);
        }
    }
}

static void test_unmap(void)
{
    struct net_addr a = parsed("::ffff:192.0.2.1"), want = parsed("192.0.2.1");
    a.port = 25;
    net_addr_unmap(&a);
    CHECK(net_addr_same_host(&a, &want));
    CHECK_EQ(a.port, 25);
    CHECK_TEXT(written(&a), "192.0.2.1");
    a = parsed("::fffe:192.0.2.1");
    net_addr_unmap(&a);
    CHECK_EQ(a.family, NET_IPV6);
    a = parsed("1::ffff:192.0.2.1");
    net_addr_unmap(&a);
    CHECK_EQ(a.family, NET_IPV6);
    net_addr_unmap(&want);
    CHECK_EQ(want.family, NET_IPV4);
}

static void test_same_host(void)
{
    struct net_addr a = parsed("1.2.3.4"), b = parsed("1.2.3.4"), c = parsed("102:304::");
    a.port = 1;
    CHECK(net_addr_same_host(&a, &b));
    CHECK(!net_addr_same_host(&a, &c)); /* the same bytes, another family */
}

static void test_same_client(void)
{
    static const struct {
        const char *a, *b;
        bool is_same;
    } rows[] = {
        {"192.0.2.1", "192.0.2.1", true},
        {"192.0.2.1", "192.0.2.2", false},
        {"2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", true},
        {"2001:db8:1:2::1", "2001:db8:1:3::1", false},
        {"102:304::", "1.2.3.4", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct net_addr a = parsed(rows[i].a), b = parsed(rows[i].b);
        a.port = 1;
        CHECK_EQ(net_addr_same_client(&a, &b), rows[i].is_same);
        CHECK_EQ(net_addr_same_client(&b, &a), rows[i].is_same);
    }
}

static void test_literal(void)
{
    static const char *const rows[][2] = {{"192.0.2.1", "[192.0.2.1]"},
                                          {"2001:db8::1", "[IPv6:2001:db8::1]"},
                                          {"::ffff:192.0.2.1", "[IPv6:::ffff:192.0.2.1]"}};
    for (size_t i = 0; i < 3; i++) {
        struct net_addr a = parsed(rows[i][0]);
        struct buf b = buf_make(bytes, strlen(rows[i][1]));
        CHECK(net_addr_put_literal(&b, &a));
        CHECK_TEXT(buf_slice(&b), rows[i][1]);
        b = buf_make(bytes, strlen(rows[i][1]) - 1);
        CHECK(!net_addr_put_literal(&b, &a));
        CHECK_EQ(b.len, 0);
        CHECK(b.overflow);
    }
    struct net_addr none;
    memset(&none, 0, sizeof none);
    CHECK_TEXT(written(&none), "unknown");
}

/* 45 bytes at most, and all or nothing. */
static void test_caps(void)
{
    struct net_addr a = parsed("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
    struct buf b = buf_make(bytes, 45);
    CHECK(net_addr_put(&b, &a));
    b = buf_make(bytes, 38);
    CHECK(!net_addr_put(&b, &a));
    CHECK_EQ(b.len, 0);
}

static const struct test_case cases[] = {
    {"round_trip", test_round_trip},
    {"wrong", test_wrong},
    {"truncated", test_truncated},
    {"prefix", test_prefix},
    {"prefix_mapped", test_prefix_mapped},
    {"prefix_wrong", test_prefix_wrong},
    {"unmap", test_unmap},
    {"same_host", test_same_host},
    {"same_client", test_same_client},
    {"literal", test_literal},
    {"caps", test_caps},
};

TEST_MAIN(cases)

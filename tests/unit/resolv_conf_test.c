#include "resolv_conf.h"

#include "test.h"

static void check_addr(const struct net_addr *a, const char *want, uint16_t port)
{
    char text[64];
    struct buf b = buf_make(text, sizeof text);
    net_addr_put(&b, a);
    CHECK_TEXT(b, want);
    CHECK_EQ(a->port, port);
}

static struct resolv_conf parse(const char *text)
{
    struct resolv_conf conf;
    resolv_conf_parse(slice_of_string(text), &conf);
    return conf;
}

static void test_servers(void)
{
    struct resolv_conf c = parse("# comment\n; another\ndomain example\nsearch a b\n"
                                 "nameserver 192.0.2.1\n  nameserver\t2001:db8::1  # ours\r\n"
                                 "nameserver\nnameserver fe80::1%eth0\nnameserver ns.example\n"
                                 "nameservers 192.0.2.9\nnameserver 192.0.2.3");
    CHECK_EQ(c.num_servers, 3);
    check_addr(&c.servers[0], "192.0.2.1", 53);
    check_addr(&c.servers[1], "2001:db8::1", 53);
    check_addr(&c.servers[2], "192.0.2.3", 53);
    CHECK_EQ(c.attempts, 2);
    CHECK_EQ(c.timeout_ms, 5000);
    CHECK_TEXT(c.unknown, "fe80::1%eth0");
    c = parse("nameserver 10.0.0.1\nnameserver 10.0.0.2\nnameserver 10.0.0.3\nnameserver 10.0.0.4");
    CHECK_EQ(c.num_servers, 3);
    CHECK_EQ(c.unknown.len, 0);
    c = parse("");
    CHECK_EQ(c.num_servers, 1);
    check_addr(&c.servers[0], "127.0.0.1", 53);
}

static void test_options(void)
{
    struct resolv_conf c = parse("options ndots:1 timeout:3 attempts:4 rotate\n");
    CHECK_EQ(c.timeout_ms, 3000);
    CHECK_EQ(c.attempts, 4);
    c = parse("options timeout:0 attempts:0\n");
    CHECK_EQ(c.timeout_ms, 1000);
    CHECK_EQ(c.attempts, 1);
    c = parse("options timeout:31 attempts:6\n");
    CHECK_EQ(c.timeout_ms, 30000);
    CHECK_EQ(c.attempts, 5);
    c = parse("options timeout:x timeout: timeout attempts:99999999999\noption timeout:9\n"
              "#options timeout:9\noptions # timeout:9\n");
    CHECK_EQ(c.timeout_ms, 5000);
    CHECK_EQ(c.attempts, 2);
}

static const char hosts[] = "127.0.0.1\tlocalhost\n"
                            "::1 localhost ip6-localhost\n"
                            "# 192.0.2.1 ca\n"
                            "192.0.2.7 ocsp.example ca CA  # ocsp\n"
                            "not-an-address ca\n"
                            "\n192.0.2.8\n"
                            "2001:db8::7 CA.";

static size_t find(const char *name, struct net_addr *out, size_t cap)
{
    return resolv_conf_find_host(SLICE_LITERAL(hosts), slice_of_string(name), out, cap);
}

static void test_hosts(void)
{
    struct net_addr out[4];
    CHECK_EQ(find("ca", out, 4), 2);
    check_addr(&out[0], "192.0.2.7", 0);
    check_addr(&out[1], "2001:db8::7", 0);
    CHECK_EQ(find("Ca.", out, 4), 2);
    CHECK_EQ(find("ca", out, 1), 1);
    CHECK_EQ(find("localhost", out, 4), 2);
    CHECK_EQ(find("ip6-localhost", out, 4), 1);
    CHECK_EQ(find("c", out, 4), 0);
    CHECK_EQ(find("ocsp", out, 4), 0);
    CHECK_EQ(find("192.0.2.8", out, 4), 0);
    CHECK_EQ(find("", out, 4), 0);
}

/* Cut or changed anywhere, in memory of just that size: always a result within its bounds. */
static void test_changes(void)
{
    static const char text[] = "options timeout:3 attempts:4\nnameserver 192.0.2.1 # x\n";
    for (size_t len = 0; len < sizeof text; len++) {
        char *copy = malloc(len + 1);
        struct resolv_conf c;
        memcpy(copy, text, len);
        for (size_t i = 0; i < len * 256; i++) {
            char before = copy[i / 256];
            if (len < sizeof text - 1) {
                i |= 255; /* cut: unchanged only */
            } else {
                copy[i / 256] = (char)i;
            }
            resolv_conf_parse(slice_make(copy, len), &c);
            CHECK(c.num_servers >= 1 && c.num_servers <= RESOLV_SERVERS_MAX);
            CHECK(c.attempts >= 1 && c.attempts <= 5);
            CHECK(c.timeout_ms >= 1000 && c.timeout_ms <= 30000);
            copy[i / 256] = before;
        }
        free(copy);
    }
    for (size_t len = 0; len < sizeof hosts; len++) {
        char *copy = malloc(len + 1);
        struct net_addr out[2];
        memcpy(copy, hosts, len);
        CHECK(resolv_conf_find_host(slice_make(copy, len), SLICE_LITERAL("ca"), out, 2) <= 2);
        free(copy);
    }
}

static const struct test_case cases[] = {
    {"servers", test_servers},
    {"options", test_options},
    {"hosts", test_hosts},
    {"changes", test_changes},
};

TEST_MAIN(cases)

/* Lists of clients and of domains: the first match decides. */
#include "hostlist.h"

#include "test.h"

static bool host_in(const char *const *items, const char *client)
{
    struct hostlist_item parsed[8];
    struct hostlist list = {parsed, 0};
    struct net_addr a;
    for (; items[list.num_items] != NULL; list.num_items++) {
        CHECK(hostlist_parse_item(slice_of_string(items[list.num_items]), &parsed[list.num_items]));
    }
    CHECK(net_addr_parse(slice_of_string(client), &a));
    return hostlist_match(&list, &a);
}

#define HOSTS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void test_hosts(void)
{
    CHECK(host_in(HOSTS("*"), "192.0.2.1"));
    CHECK(host_in(HOSTS("*"), "::1"));
    CHECK(!host_in((const char *const[]){NULL}, "::1"));
    CHECK(host_in(HOSTS("192.0.2.0/24"), "192.0.2.1"));
    CHECK(!host_in(HOSTS("192.0.2.0/24"), "192.0.3.1"));
    CHECK(!host_in(HOSTS("!192.0.2.1", "192.0.2.0/24"), "192.0.2.1"));
    CHECK(host_in(HOSTS("!192.0.2.1", "192.0.2.0/24"), "192.0.2.2"));
    CHECK(!host_in(HOSTS("!192.0.2.1", "192.0.2.0/24"), "192.0.3.2"));
    CHECK(host_in(HOSTS("192.0.2.0/24", "!192.0.2.1"), "192.0.2.1"));
    CHECK(host_in(HOSTS("! 192.0.2.1"), "192.0.2.2"));
    CHECK(!host_in(HOSTS("! 192.0.2.1"), "192.0.2.1"));
    CHECK(!host_in(HOSTS("!*"), "192.0.2.1"));
    CHECK(host_in(HOSTS("10.0.0.1", "2001:db8::/32"), "2001:db8::5"));
    CHECK(!host_in(HOSTS("0.0.0.0/0"), "::1"));
}

static void test_hosts_wrong(void)
{
    static const char *const rows[] = {"",        "!",   "**", "example.org", "192.0.2.1/24",
                                       "192.0.2", "*.1", "@"};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct hostlist_item item;
        CHECK(!hostlist_parse_item(slice_of_string(rows[i]), &item));
    }
}

static bool domain_in(const char *const *items, const char *domain)
{
    struct domainlist_item parsed[8];
    struct domainlist list = {parsed, 0};
    for (; items[list.num_items] != NULL; list.num_items++) {
        struct domainlist_item *item = &parsed[list.num_items];
        CHECK(domainlist_parse_item(slice_of_string(items[list.num_items]), item));
        if (item->kind == DOMAIN_PRIMARY) {
            item->name = SLICE_LITERAL("Mx.Example.Org");
        }
    }
    return domainlist_match(&list, slice_of_string(domain));
}

static void test_domains(void)
{
    CHECK(domain_in(HOSTS("example.org"), "EXAMPLE.ORG"));
    CHECK(!domain_in(HOSTS("example.org"), "a.example.org"));
    CHECK(!domain_in(HOSTS("example.org"), "example.orga"));
    CHECK(domain_in(HOSTS("@"), "mx.example.org"));
    CHECK(!domain_in(HOSTS("@"), "example.org"));
    CHECK(domain_in(HOSTS("*.Example.org"), "a.example.ORG"));
    CHECK(domain_in(HOSTS("*.example.org"), "a.b.example.org"));
    CHECK(!domain_in(HOSTS("*.example.org"), "example.org"));
    CHECK(!domain_in(HOSTS("*.example.org"), ".example.org"));
    CHECK(!domain_in(HOSTS("*.example.org"), "badexample.org"));
    CHECK(!domain_in(HOSTS("*.example.org"), "a.example.com"));
    CHECK(domain_in(HOSTS("*"), "anything"));
    CHECK(domain_in(HOSTS("*"), "[192.0.2.1]"));
    CHECK(domain_in(HOSTS("[192.0.2.1]"), "[192.0.2.1]"));
    CHECK(!domain_in(HOSTS("!a.example.org", "*.example.org"), "A.example.org"));
    CHECK(domain_in(HOSTS("!a.example.org", "*.example.org"), "b.example.org"));
    CHECK(domain_in(HOSTS("!a.example.org"), "b.example.org"));
    CHECK(!domain_in((const char *const[]){NULL}, "b.example.org"));
    CHECK(domain_in(HOSTS("b\xc3\xbc"
                          "cher.example"),
                    "B\xc3\xbc"
                    "cher.EXAMPLE"));
    CHECK(!domain_in(HOSTS("b\xc3\xbc"
                           "cher.example"),
                     "B\xc3\x9c"
                     "cher.example"));
}

static void test_domains_wrong(void)
{
    static const char *const rows[] = {"",   "!",    "a b", "*example.org", "*.", "*.[192.0.2.1]",
                                       "-a", "a..b", "a/b", "../x",         "@@"};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct domainlist_item item;
        if (domainlist_parse_item(slice_of_string(rows[i]), &item)) {
            fprintf(stderr, "taken: %s\n", rows[i]);
            CHECK(false);
        }
    }
}

static void test_find(void)
{
    struct domainlist_item items[2];
    struct domainlist list = {items, 2};
    CHECK(domainlist_parse_item(SLICE_LITERAL("a.example"), &items[0]));
    CHECK(domainlist_parse_item(SLICE_LITERAL("!b.example"), &items[1]));
    CHECK(domainlist_find(&list, SLICE_LITERAL("A.Example")) == &items[0]);
    CHECK(domainlist_find(&list, SLICE_LITERAL("b.example")) == &items[1]);
    CHECK(domainlist_find(&list, SLICE_LITERAL("c.example")) == NULL);
    CHECK(domainlist_match(&list, SLICE_LITERAL("c.example")));
}

static const struct test_case cases[] = {
    {"hosts", test_hosts},     {"hosts_wrong", test_hosts_wrong},
    {"domains", test_domains}, {"domains_wrong", test_domains_wrong},
    {"find", test_find},
};

TEST_MAIN(cases)

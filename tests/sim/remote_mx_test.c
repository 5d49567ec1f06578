/* Sending, in simulated worlds: from a domain to its exchangers, their hosts and addresses. */
#include "remote_world.h"

static const struct {
    const char *what;
    struct rw_record zone[6];
    enum smtp_rcpt_result result;
    const char *reason;
    int server; /* that gets it: .1, .2 or .3; 0: none */
} mx_rows[] = {
    {"the best one",
     {{"example.org", DNS_MX, "20 b.example"},
      {"example.org", DNS_MX, "10 a.example"},
      {"a.example", DNS_A, "192.0.2.1"},
      {"b.example", DNS_A, "192.0.2.2"}},
     SMTP_RCPT_DELIVERED,
     "reply",
     1},
    {"the next one, as the best refuses",
     {{"example.org", DNS_MX, "10 d.example"},
      {"example.org", DNS_MX, "20 b.example"},
      {"d.example", DNS_A, "192.0.2.9"},
      {"b.example", DNS_A, "192.0.2.2"}},
     SMTP_RCPT_DELIVERED,
     "reply",
     2},
    {"the next one, as the best has no address",
     {{"example.org", DNS_MX, "10 d.example"},
      {"example.org", DNS_MX, "20 b.example"},
      {"b.example", DNS_A, "192.0.2.2"}},
     SMTP_RCPT_DELIVERED,
     "reply",
     2},
    {"IPv6",
     {{"example.org", DNS_MX, "10 a.example"}, {"a.example", DNS_AAAA, "2001:db8::3"}},
     SMTP_RCPT_DELIVERED,
     "reply",
     3},
    {"IPv6 refuses",
     {{"example.org", DNS_MX, "10 a.example"},
      {"a.example", DNS_AAAA, "2001:db8::9"},
      {"a.example", DNS_A, "192.0.2.1"}},
     SMTP_RCPT_DELIVERED,
     "reply",
     1},
    {"IPv6 leads nowhere",
     {{"example.org", DNS_MX, "10 a.example"},
      {"a.example", DNS_AAAA, "2001:db8::dead"},
      {"a.example", DNS_A, "192.0.2.1"}},
     SMTP_RCPT_DELIVERED,
     "reply",
     1},
    {"no MX: the domain itself",
     {{"example.org", DNS_A, "192.0.2.2"}},
     SMTP_RCPT_DELIVERED,
     "reply",
     2},
    {"through a CNAME",
     {{"example.org", DNS_CNAME, "example.net"},
      {"example.net", DNS_MX, "5 a.example"},
      {"a.example", DNS_A, "192.0.2.1"}},
     SMTP_RCPT_DELIVERED,
     "reply",
     1},
    {"null MX", {{"example.org", DNS_MX, "0 ."}}, SMTP_RCPT_FAILED, "null-mx", 0},
    {"no such domain",
     {{"other.example", DNS_A, "192.0.2.1"}},
     SMTP_RCPT_FAILED,
     "domain-not-found",
     0},
    {"neither MX nor address",
     {{"example.org", DNS_AAAA + 1000, "x"}},
     SMTP_RCPT_FAILED,
     "no-mx-host",
     0},
    {"no host exists",
     {{"example.org", DNS_MX, "10 a.example"}},
     SMTP_RCPT_FAILED,
     "no-mx-host",
     0},
    {"the name server cannot say",
     {{"example.org", DNS_MX, "fail"}},
     SMTP_RCPT_DEFERRED,
     "no-name-server",
     0},
    {"it cannot say where the only host is",
     {{"example.org", DNS_MX, "10 a.example"}, {"a.example", DNS_A, "fail"}},
     SMTP_RCPT_DEFERRED,
     "no-name-server",
     0},
    {"we are the best one",
     {{"example.org", DNS_MX, "10 ME.example"},
      {"example.org", DNS_MX, "20 a.example"},
      {"a.example", DNS_A, "192.0.2.1"}},
     SMTP_RCPT_FAILED,
     "loop-to-self",
     0},
    {"we are as good as any",
     {{"example.org", DNS_MX, "10 a.example"},
      {"example.org", DNS_MX, "10 me.example"},
      {"a.example", DNS_A, "192.0.2.1"}},
     SMTP_RCPT_FAILED,
     "loop-to-self",
     0},
    {"we are the second: the first gets it",
     {{"example.org", DNS_MX, "5 b.example"},
      {"example.org", DNS_MX, "10 me.example"},
      {"example.org", DNS_MX, "20 a.example"},
      {"b.example", DNS_A, "192.0.2.2"},
      {"a.example", DNS_A, "192.0.2.1"}},
     SMTP_RCPT_DELIVERED,
     "reply",
     2},
    {"we are the second, the first refuses: it waits",
     {{"example.org", DNS_MX, "5 d.example"},
      {"example.org", DNS_MX, "10 me.example"},
      {"example.org", DNS_MX, "20 a.example"},
      {"d.example", DNS_A, "192.0.2.9"},
      {"a.example", DNS_A, "192.0.2.1"}},
     SMTP_RCPT_DEFERRED,
     "refused",
     0},
    {"its greeting is ours",
     {{"example.org", DNS_MX, "5 loop.example"}, {"loop.example", DNS_A, "192.0.2.4"}},
     SMTP_RCPT_FAILED,
     "loop-to-self",
     0},
    {"the first refuses, the second's greeting is ours: it waits for the first",
     {{"example.org", DNS_MX, "5 d.example"},
      {"example.org", DNS_MX, "10 loop.example"},
      {"d.example", DNS_A, "192.0.2.9"},
      {"loop.example", DNS_A, "192.0.2.4"}},
     SMTP_RCPT_DEFERRED,
     "refused",
     0},
    {"nobody can say where the first is, the second's greeting is ours",
     {{"example.org", DNS_MX, "5 d.example"},
      {"example.org", DNS_MX, "10 loop.example"},
      {"d.example", DNS_A, "fail"},
      {"loop.example", DNS_A, "192.0.2.4"}},
     SMTP_RCPT_DEFERRED,
     "no-name-server",
     0},
    {"the first does not exist, the second's greeting is ours",
     {{"example.org", DNS_MX, "5 d.example"},
      {"example.org", DNS_MX, "10 loop.example"},
      {"loop.example", DNS_A, "192.0.2.4"}},
     SMTP_RCPT_FAILED,
     "loop-to-self",
     0},
    {"its greeting is ours at one of two addresses",
     {{"example.org", DNS_MX, "5 loop.example"},
      {"loop.example", DNS_AAAA, "2001:db8::9"},
      {"loop.example", DNS_A, "192.0.2.4"}},
     SMTP_RCPT_FAILED,
     "loop-to-self",
     0},
    {"it takes no mail, ever, at one of two addresses",
     {{"example.org", DNS_MX, "5 e.example"},
      {"e.example", DNS_AAAA, "2001:db8::9"},
      {"e.example", DNS_A, "192.0.2.5"}},
     SMTP_RCPT_FAILED,
     "reply",
     0},
    {"the only one takes no mail, ever",
     {{"example.org", DNS_MX, "5 e.example"}, {"e.example", DNS_A, "192.0.2.5"}},
     SMTP_RCPT_FAILED,
     "reply",
     0},
    {"the first refuses, the second takes no mail, ever: it waits for the first",
     {{"example.org", DNS_MX, "5 d.example"},
      {"example.org", DNS_MX, "10 e.example"},
      {"d.example", DNS_A, "192.0.2.9"},
      {"e.example", DNS_A, "192.0.2.5"}},
     SMTP_RCPT_DEFERRED,
     "reply",
     0},
};

static void open_mx(void)
{
    struct rw_script loop = {
        .verb = "CONNECT", .how = RW_ANSWER, .answer = "220 me.example ESMTP\r\n"};
    struct rw_script never = {.verb = "CONNECT", .how = RW_ANSWER, .answer = "521 5.3.2 no\r\n"};
    struct net_addr nowhere = rw_addr("2001:db8::dead", 25);
    rw_open("");
    rw_server("192.0.2.1", 25, NULL);
    rw_server("192.0.2.2", 25, NULL);
    rw_server("2001:db8::3", 25, NULL);
    rw_server("192.0.2.4", 25, &loop);
    rw_server("192.0.2.5", 25, &never);
    sim_blackhole(rw.w, &nowhere);
    rw_route(ROUTE_TO_MX, NULL, 0, 0);
}

static void test_mx(void)
{
    for (size_t i = 0; i < sizeof mx_rows / sizeof mx_rows[0]; i++) {
        int failed_before = test_failed_checks;
        open_mx();
        for (size_t k = 0; k < 6 && mx_rows[i].zone[k].name != NULL; k++) {
            rw.zone[rw.num_records++] = mx_rows[i].zone[k];
        }
        rw.dns_cuts_udp = i % 2 == 1; /* then TCP has the answers */
        struct smtp_job *job = rw_send(1, NULL);
        rw_check_ended(job, mx_rows[i].result, mx_rows[i].reason);
        bool has_host =
            strcmp(mx_rows[i].reason, "reply") == 0 ||
            (strcmp(mx_rows[i].reason, "loop-to-self") == 0 && rw.servers[3].num_accepted != 0);
        CHECK_EQ(job->host.len != 0, has_host); /* the one that the reason is about, or none */
        for (int s = 1; s <= 3; s++) {
            CHECK_EQ(rw.servers[s - 1].num_messages, s == mx_rows[i].server);
        }
        rw_close();
        if (test_failed_checks != failed_before) {
            fprintf(stderr, "  in: %s\n", mx_rows[i].what);
        }
    }
}

/* A name without a dot is that of every device as it was delivered, and no sign of a loop. */
static void test_names_of_many(void)
{
    struct rw_script same = {.verb = "CONNECT", .how = RW_ANSWER, .answer = "220 box ESMTP\r\n"};
    rw_open("primary_hostname = box\n");
    rw_server("192.0.2.1", 25, &same);
    rw_route(ROUTE_TO_MX, NULL, 0, 0);
    rw_record("example.org", DNS_MX, "5 a.example");
    rw_record("a.example", DNS_A, "192.0.2.1");
    rw_check_ended(rw_send(1, NULL), SMTP_RCPT_DELIVERED, "reply");
    CHECK(strstr(rw.servers[0].commands, "EHLO [") != NULL); /* nor one to greet with */
    CHECK(strstr(rw.servers[0].commands, "box") == NULL);
    rw_conf("primary_hostname = other\n"); /* a session that is kept */
    rw_check_ended(rw_send(1, NULL), SMTP_RCPT_DELIVERED, "reply");
    rw_close();
}

/* An answer that is far longer than those by UDP. */
static void test_many_mx(void)
{
    open_mx();
    rw_record("example.org", DNS_MX, "10 b.example");
    rw_record("b.example", DNS_A, "192.0.2.2");
    rw.num_poor_mx = 90;
    rw_check_ended(rw_send(1, NULL), SMTP_RCPT_DELIVERED, "reply");
    rw_close();
}

/* By UDP all the same, longer than we asked for, from one that hands on what it gets. */
static void test_long_datagram(void)
{
    open_mx();
    rw_record("example.org", DNS_MX, "10 b.example");
    rw_record("b.example", DNS_A, "192.0.2.2");
    rw.num_poor_mx = 12;
    rw.dns_never_cuts = true;
    rw_check_ended(rw_send(1, NULL), SMTP_RCPT_DELIVERED, "reply");
    rw_close();
}

/* Two addresses of the best that take connections and say nothing cost a job all its time: the next
 * one begins behind them. */
static void test_slow_mx(void)
{
    struct rw_script silent = {.verb = "CONNECT", .how = RW_SILENT};
    open_mx();
    rw_server("192.0.2.6", 25, &silent);
    rw_server("192.0.2.7", 25, &silent);
    rw_record("example.org", DNS_MX, "10 s.example");
    rw_record("example.org", DNS_MX, "20 b.example");
    rw_record("s.example", DNS_A, "192.0.2.6");
    rw_record("s.example", DNS_A, "192.0.2.7");
    rw_record("b.example", DNS_A, "192.0.2.2");
    for (int i = 0; i < 4; i++) {
        struct smtp_job *job = rw_send(1, NULL);
        rw_check_ended(job, i % 2 == 0 ? SMTP_RCPT_DEFERRED : SMTP_RCPT_DELIVERED,
                       i % 2 == 0 ? "timeout" : "reply");
        deliver_smtp_give(rw.d, job);
        rw_run_ms(1000000);
    }
    CHECK_EQ(rw.servers[1].num_messages, 2);
    rw_close();
}

static void test_silent_dns(void)
{
    open_mx();
    rw.dns_is_silent = true;
    rw_check_ended(rw_send(1, NULL), SMTP_RCPT_DEFERRED, "no-name-server");
    rw_close();
}

/* Equal ones share the load. */
static void test_shuffle(void)
{
    open_mx();
    rw_record("example.org", DNS_MX, "10 a.example");
    rw_record("example.org", DNS_MX, "10 b.example");
    rw_record("a.example", DNS_A, "192.0.2.1");
    rw_record("b.example", DNS_A, "192.0.2.2");
    for (int i = 0; i < 20; i++) {
        deliver_smtp_give(rw.d, rw_send(1, NULL));
        rw_run_ms(8000); /* a fresh connection each time */
    }
    CHECK(rw.servers[0].num_messages >= 3 && rw.servers[1].num_messages >= 3);
    CHECK_EQ(rw.servers[0].num_messages + rw.servers[1].num_messages, 20);
    rw_close();
}

static void test_literal(void)
{
    static const char *const domains[] = {"[192.0.2.2]", "[IPv6:2001:db8::3]", "[192.0.2.9]",
                                          "[x]"};
    for (int i = 0; i < 4; i++) {
        struct rw_message m;
        struct smtp_order order = {.domain = slice_of_string(domains[i])};
        open_mx();
        rw_put(&m, 1, NULL, rw_text);
        CHECK(rw_start(&m, &order) != NULL);
        struct smtp_job *job = rw_until_ended();
        CHECK_EQ(job->rcpts[0].result, i < 2    ? SMTP_RCPT_DELIVERED
                                       : i == 2 ? SMTP_RCPT_DEFERRED
                                                : SMTP_RCPT_FAILED);
        CHECK_EQ(rw.num_queries, i == 3 ? rw.num_queries : 0);
        rw_close();
    }
}

/* What is demanded of an address is demanded of it in any form that DNS gives it. */
static void test_mapped_address(void)
{
    open_mx();
    rw_conf("hosts_require_tls = 192.0.2.0/24\n");
    rw_record("example.org", DNS_MX, "10 a.example");
    rw_record("a.example", DNS_AAAA, "::ffff:192.0.2.1");
    rw_check_ended(rw_send(1, NULL), SMTP_RCPT_DEFERRED, "tls-not-offered");
    rw_close();
}

/* The first of its addresses takes no mail just now, and the second never does: it waits. */
static void test_addresses_that_differ(void)
{
    static const char *const verbs[] = {"CONNECT", "MAIL"};
    for (int i = 0; i < 2; i++) {
        open_mx();
        rw.servers[0].script =
            (struct rw_script){.verb = verbs[i], .how = RW_ANSWER, .answer = "452 4.3.1 full\r\n"};
        rw_record("example.org", DNS_MX, "10 a.example");
        rw_record("a.example", DNS_A, "192.0.2.1");
        rw_record("a.example", DNS_A, "192.0.2.5");
        struct smtp_job *job = rw_send(1, NULL);
        CHECK_EQ(job->rcpts[0].result, SMTP_RCPT_DEFERRED);
        CHECK(rw.servers[0].num_accepted != 0 && rw.servers[4].num_accepted != 0);
        rw_close();
    }
}

/* The better exchanger takes no mail just now, and the worse one none of this size: it waits. */
static void test_exchangers_that_differ(void)
{
    open_mx();
    rw.servers[0].script =
        (struct rw_script){.verb = "MAIL", .how = RW_ANSWER, .answer = "452 4.3.1 full\r\n"};
    rw.servers[1].script = (struct rw_script){.ehlo = "250-mx.example\r\n250 SIZE 20\r\n"};
    rw_record("example.org", DNS_MX, "10 a.example");
    rw_record("example.org", DNS_MX, "20 b.example");
    rw_record("a.example", DNS_A, "192.0.2.1");
    rw_record("b.example", DNS_A, "192.0.2.2");
    struct smtp_job *job = rw_send(1, NULL);
    CHECK_EQ(job->rcpts[0].result, SMTP_RCPT_DEFERRED);
    CHECK(rw.servers[0].num_accepted != 0 && rw.servers[1].num_accepted != 0);
    rw_close();
}

/* A relay whose name does not exist is a mistake of ours: nothing bounces for it. */
static void test_relay_without_name(void)
{
    static const char *const names[] = {"relay.example"};
    rw_open("");
    rw_route(ROUTE_TO_SMTP, names, 1, 25);
    rw_check_ended(rw_send(1, NULL), SMTP_RCPT_DEFERRED, "host-not-found");
    rw_close();
}

/* What the log says of a host without an address is not told with that of the one before it. */
static void test_log_of_absent_host(void)
{
    static const char *const names[] = {"a.example", "b.example"};
    size_t num_found = 0;
    rw_open("");
    rw.zone[rw.num_records++] = (struct rw_record){"a.example", DNS_A, "192.0.2.9"};
    rw_route(ROUTE_TO_SMTP, names, 2, 25);
    rw_check_ended(rw_send(1, NULL), SMTP_RCPT_DEFERRED, "host-not-found");
    for (size_t i = 0; i < sim_log_num(rw.h); i++) {
        const char *line = sim_log_line(rw.h, i);
        bool is_absent = strstr(line, "b.example") != NULL;
        CHECK_EQ(strstr(line, "192.0.2.9") != NULL, strstr(line, "a.example") != NULL);
        num_found += is_absent;
    }
    CHECK(num_found != 0);
    rw_close();
}

static const struct test_case cases[] = {
    {"mx", test_mx},
    {"names_of_many", test_names_of_many},
    {"many_mx", test_many_mx},
    {"long_datagram", test_long_datagram},
    {"slow_mx", test_slow_mx},
    {"silent_dns", test_silent_dns},
    {"shuffle", test_shuffle},
    {"literal", test_literal},
    {"mapped_address", test_mapped_address},
    {"addresses_that_differ", test_addresses_that_differ},
    {"exchangers_that_differ", test_exchangers_that_differ},
    {"relay_without_name", test_relay_without_name},
    {"log_of_absent_host", test_log_of_absent_host},
};

TEST_MAIN(cases)

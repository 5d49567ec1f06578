/* What one peer may cost others: lines of the log, places, time. Floods against the real port are
 * in tests/soak. */
#include "mta_site.h"

static struct test_site site;

static void open_site(const char *more)
{
    char text[2048];
    site_open(&site, 41, NULL);
    snprintf(text, sizeof text, "%s%s", site_conf, more);
    sim_files_put_string(site.host, SITE_CONF, text);
    site_start(&site);
    site_settle(&site, 1000);
    sim_log_clear(site.host);
}

static struct net_addr address(uint32_t number)
{
    struct net_addr from = {.family = NET_IPV4, .bytes = {10, 0, 0, 0}, .port = 4000};
    from.bytes[2] = (uint8_t)(number >> 8);
    from.bytes[3] = (uint8_t)number;
    return from;
}

/* Says all of that, which ends in QUIT, and goes when it is answered: no time passes. */
static void visit(uint32_t number, const char *text)
{
    struct net_addr at = site_address(), from = address(number);
    struct sim_client *peer = sim_connect(site.world, &at, &from);
    uint8_t reply[512];
    size_t len;
    CHECK(peer != NULL);
    sim_client_write(peer, slice_of_string(text));
    enum err err = ERR_AGAIN;
    for (int i = 0; i < 10 && err != ERR_EOF; i++) {
        mta_step(site.mta);
        while ((err = sim_client_read(peer, &len, reply, sizeof reply)) == ERR_OK) {
        }
    }
    CHECK_EQ(err, ERR_EOF);
    sim_client_close(peer);
}

static uint32_t num_lines_about(uint32_t number, const char *event)
{
    char text[64];
    struct net_addr from = address(number);
    snprintf(text, sizeof text, "%s peer=10.0.%u.%u ", event, from.bytes[2], from.bytes[3]);
    return (uint32_t)sim_log_count(site.host, text);
}

/* A syslog on flash dies of a line for each connection of somebody who has nothing to send. */
static void test_lines_about_one_peer_are_bounded(void)
{
    open_site("log_host_rate = 20\n");
    for (int i = 0; i < 500; i++) {
        visit(1, "EHLO a\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<x@elsewhere.example>\r\nQUIT\r\n");
    }
    uint32_t num = num_lines_about(1, "connection") + num_lines_about(1, "recipient");
    CHECK(num >= 20 && num <= 22);
    CHECK_EQ(num_lines_about(1, "log-limit"), 1);
    visit(2, "QUIT\r\n"); /* others have their lines */
    CHECK_EQ(num_lines_about(2, "connection"), 1);
    /* Whoever hands in mail does not spend them: these lines are always there. */
    struct site_client client;
    client_connect(&site, &client, 1, 3, 100);
    CHECK(site_run(&site, &client, 1, 5000));
    CHECK_EQ(sim_log_count(site.host, "result=accepted"), 3);
    site_close(&site);
}

/* What is written is what the start had, and so is what counts, whatever a reload says since. */
static void test_level_is_that_of_the_start(void)
{
    char text[2048];
    open_site("log_host_rate = 20\nlog_level = debug\n");
    snprintf(text, sizeof text, "%slog_host_rate = 20\nlog_level = info\n", site_conf);
    sim_files_put_string(site.host, SITE_CONF, text);
    sim_host_signal(site.host, PORT_RELOAD);
    for (int i = 0; i < 100; i++) {
        visit(1, "EHLO a\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<x@example.org>\r\nQUIT\r\n");
    }
    CHECK_EQ(sim_log_count(site.host, "option=log_level result=needs-restart"), 1);
    CHECK(sim_log_count(site.host, "debug recipient peer=10.") > 0);
    CHECK(sim_log_count(site.host, "debug recipient peer=10.") <= 22);
    site_close(&site);
}

/* Many addresses share ten times as many; what was left out is told. */
static void test_lines_about_all_peers_are_bounded(void)
{
    open_site("log_host_rate = 20\n");
    for (uint32_t i = 0; i < 1000; i++) {
        visit(i, "QUIT\r\n");
    }
    size_t num = sim_log_count(site.host, "connection peer=10.");
    CHECK(num >= 200 && num <= 202);
    CHECK_EQ(sim_log_count(site.host, "log-limit peer=10."), 1);
    for (int minute = 0; minute < 20; minute++) {
        sim_world_advance(site.world, 60000);
        visit(5000, "QUIT\r\n");
    }
    CHECK(num_lines_about(5000, "connection") > 10);
    site_close(&site);
}

static void test_no_limit(void)
{
    open_site("log_host_rate = 0\n");
    for (int i = 0; i < 300; i++) {
        visit(1, "QUIT\r\n");
    }
    CHECK_EQ(num_lines_about(1, "connection"), 300);
    site_close(&site);
}

/* Whose mail is not taken, without a line of its own, shows in the connection's. */
static void test_refusals_are_told(void)
{
    static const char hello[] = "EHLO a\r\n", mail[] = "MAIL FROM:<a@b.example>\r\n",
                      joe[] = "RCPT TO:<joe@example.org>\r\n", quit[] = "QUIT\r\n";
    char text[2048], line[1200];
    open_site("");
    visit(1, "EHLO a\r\nQUIT\r\n");
    CHECK_EQ(sim_log_count(site.host, "refused="), 0);
    snprintf(text, sizeof text, "%s%sRCPT TO:<nobody@example.org>\r\n%s", hello, mail, quit);
    visit(1, text);
    CHECK_EQ(sim_log_count(site.host, "refused=\"550 5.1.1 No such user here\" messages=0"), 1);
    snprintf(text, sizeof text, "%sMAIL FROM:<a@b.example> SIZE=9999999\r\n%s", hello, quit);
    visit(1, text);
    CHECK_EQ(sim_log_count(site.host, "refused=\"552 5.3.4 Message too big\" messages=0"), 1);
    memset(line, 'x', sizeof line);
    snprintf(text, sizeof text, "%s%s%sDATA\r\n\r\n%.*s\r\n.\r\n%s", hello, mail, joe,
             (int)sizeof line, line, quit);
    visit(1, text);
    CHECK_EQ(sim_log_count(site.host, "refused=\"552 5.6.0 Line of message too long\" messages=0"),
             1);
    /* Nor does a name keep that out of its line that takes all of one. */
    memset(line, 0xff, 255);
    snprintf(text, sizeof text, "EHLO %.255s\r\n%sRCPT TO:<nobody@example.org>\r\n%s", line, mail,
             quit);
    visit(2, text);
    CHECK_EQ(sim_log_count(site.host, "refused=\"550 5.1.1 No such user here\" messages=0"), 2);
    site_close(&site);
}

/* Devices say all that they have to say, whatever they are answered: what follows from a refusal
 * does not hide it. */
static void test_causes_are_told(void)
{
    static const char rest[] = "RCPT TO:<joe@example.org>\r\nDATA\r\nSubject: x\r\n\r\nx\r\n.\r\n";
    char text[1024];
    open_site("");
    snprintf(text, sizeof text, "EHLO a\r\nMAIL FROM:<a@>\r\n%sQUIT\r\n", rest);
    visit(1, text);
    CHECK_EQ(sim_log_count(site.host, "refused=\"501 5.1.7 Malformed sender address\""), 1);
    CHECK_EQ(sim_log_count(site.host, "end=too-many-unknown-commands"), 1);
    snprintf(text, sizeof text, "EHLO\r\nMAIL FROM:<a@b>\r\n%s", rest);
    visit(2, text);
    CHECK_EQ(sim_log_count(site.host, "refused=\"501 5.5.4 Host name"), 1);
    snprintf(text, sizeof text, "MAIL FROM:<a@b>\r\n%s", rest);
    visit(3, text);
    CHECK_EQ(sim_log_count(site.host, "refused=\"503 5.5.1 EHLO or HELO first\""), 1);
    snprintf(text, sizeof text, "XYZ\r\nEHLO a\r\nMAIL FROM:<a@b> SIZE=9999999\r\n%s", rest);
    visit(4, text);
    CHECK_EQ(sim_log_count(site.host, "refused=\"552 5.3.4 Message too big\""), 1);
    site_close(&site);
}

/* Which address it was that is unknown here is told of those whom we know. */
static void test_unknown_users_of_clients_are_told(void)
{
    static const char text[] =
        "EHLO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<nobody@example.org>\r\nQUIT\r\n";
    for (int i = 0; i < 2; i++) {
        open_site(i == 0 ? "" : "relay_from_hosts = *\n");
        visit(1, text);
        CHECK_EQ(sim_log_count(site.host, "refused=\"550 5.1.1 No such user here\""), 1);
        CHECK_EQ(sim_log_count(site.host, "reason=unknown-user to=\"nobody@example.org\""), 1);
        CHECK_EQ(sim_log_count(site.host, "info recipient "), i);
        site_close(&site);
    }
}

static const struct test_case cases[] = {
    {"lines-about-one-peer", test_lines_about_one_peer_are_bounded},
    {"lines-about-all-peers", test_lines_about_all_peers_are_bounded},
    {"level-is-that-of-the-start", test_level_is_that_of_the_start},
    {"no-limit", test_no_limit},
    {"refusals-are-told", test_refusals_are_told},
    {"causes-are-told", test_causes_are_told},
    {"unknown-users-of-clients-are-told", test_unknown_users_of_clients_are_told},
};

TEST_MAIN(cases)

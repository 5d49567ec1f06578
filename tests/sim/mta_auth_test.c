/* Logins in a simulated world: failures cost time, more each time, and at last are not even heard;
 * hashing holds nobody up. */
#include "base64.h"
#include "mta_tls_peer.h"

#define USERS "/etc/postern.users"

static void open_auth_site(uint64_t seed)
{
    static char users[1024];
    char text[2048];
    struct scram_salting w;
    struct auth_user user = {.name = SLICE_LITERAL("joe"), .senders = {NULL, 0}};
    struct buf b = buf_make(users, sizeof users - 1);
    user.verifier.iterations = 8 * SCRAM_PIECE;
    user.verifier.salt_len = 4;
    memcpy(user.verifier.salt, "salt", 4);
    scram_salting_begin(&w, SLICE_LITERAL("secret"), SLICE_LITERAL("salt"),
                        user.verifier.iterations);
    while (!scram_salting_step(&w, SCRAM_PIECE)) {
    }
    scram_keys_make(w.salted, user.verifier.stored_key, user.verifier.server_key);
    CHECK(auth_users_put(&b, &user));
    buf_end_string(&b);
    open_tls_site(seed, 5);
    sim_files_put_string(site.host, USERS, users);
    snprintf(text, sizeof text, "%s%sauth_users_file = " USERS "\n", site_conf, TLS_CONF);
    sim_files_put_string(site.host, SITE_CONF, text);
    sim_host_signal(site.host, PORT_RELOAD);
    mta_step(site.mta);
    CHECK_EQ(sim_log_count(site.host, "new options are in force"), 1);
}

static void login_begin(struct tls_peer *p)
{
    peer_connect(p);
    CHECK(peer_starttls(p));
    peer_say(p, "EHLO tls.example\r\n");
    CHECK(peer_hears(p, "250 "));
    CHECK(strstr(p->text, "AUTH PLAIN LOGIN SCRAM-SHA-256 SCRAM-SHA-256-PLUS") != NULL);
}

static void say_plain(struct tls_peer *p, const char *password)
{
    uint8_t bytes[64], line_bytes[128];
    struct buf b = buf_make(bytes, sizeof bytes), line = buf_make(line_bytes, sizeof line_bytes);
    buf_put(&b, SLICE_LITERAL("\0joe\0"));
    buf_put_string(&b, password);
    buf_put_string(&line, "AUTH PLAIN ");
    base64_put(&line, buf_slice(&b));
    buf_put_string(&line, "\r\n");
    buf_end_string(&line);
    peer_say(p, (const char *)line_bytes);
}

/* Outside TLS no login is offered or taken; and who has not logged in may not relay. */
static void test_plaintext(void)
{
    struct tls_peer p;
    open_auth_site(4);
    peer_connect(&p);
    CHECK(peer_hears(&p, "220 "));
    peer_say(&p, "EHLO plain.example\r\n");
    CHECK(peer_hears(&p, "250 "));
    CHECK(strstr(p.text, "STARTTLS") != NULL && strstr(p.text, "AUTH") == NULL);
    say_plain(&p, "secret");
    CHECK(peer_hears(&p, "538 5.7.11"));
    peer_say(&p, "MAIL FROM:<joe@example.org>\r\n");
    CHECK(peer_hears(&p, "250 2.1.0"));
    peer_say(&p, "RCPT TO:<ann@elsewhere.example>\r\n");
    CHECK(peer_hears(&p, "550 5.7.1 Relaying denied"));
    peer_say(&p, "RCPT TO:<ann@example.org>\r\n");
    CHECK(peer_hears(&p, "250 2.1.5"));
    peer_close(&p);
    CHECK(site_stop(&site, 1000));
    site_close(&site);
}

/* How long a failure takes: 1 s, 2 s, 4 s... and 32 s at most, in whatever session; when that
 * address has failed too often, 454 at once, until it is forgiven. */
static void test_failures_cost_time(void)
{
    static struct tls_peer p;
    uint64_t expected_ms = 1000, forgiven_ms = 0;
    open_auth_site(1);
    for (int i = 0; i < 100; i++) {
        if (i % 2 == 0) {
            login_begin(&p);
        }
        uint64_t begin_ms = sim_world_now_ms(site.world);
        say_plain(&p, "wrong");
        CHECK(peer_hears(&p, "\r\n"));
        bool is_heard = strstr(p.text, "535 5.7.8") != NULL;
        uint64_t took_ms = sim_world_now_ms(site.world) - begin_ms;
        if (!is_heard) {
            CHECK(strstr(p.text, "454 4.7.0") != NULL);
            CHECK(took_ms < 1000);
            CHECK(i >= 20);
            peer_close(&p);
            break;
        }
        CHECK(took_ms >= expected_ms && took_ms < expected_ms + 1000);
        expected_ms = expected_ms < 32000 ? expected_ms * 2 : 32000;
        if (i % 2 == 1) {
            peer_close(&p);
        }
        CHECK(i < 99);
    }
    CHECK(sim_log_count(site.host, "reason=too-many-failures") == 1);
    /* An hour later it may try again. */
    login_begin(&p);
    forgiven_ms = sim_world_now_ms(site.world) + 3600000;
    peer_close(&p);
    for (int i = 0; i < 2000 && sim_world_now_ms(site.world) < forgiven_ms; i++) {
        sim_world_advance(site.world, 60000);
        mta_step(site.mta);
    }
    login_begin(&p);
    say_plain(&p, "secret");
    CHECK(peer_hears(&p, "235 2.7.0"));
    peer_close(&p);
    CHECK(site_stop(&site, 1000));
    site_close(&site);
}

/* It is not the client's fault that an answer comes late: no time-out of commands counts then. */
static void test_waiting_is_no_timeout(void)
{
    char text[2048];
    struct tls_peer p;
    open_auth_site(6);
    snprintf(text, sizeof text, "%s%sauth_users_file = " USERS "\nsmtp_receive_timeout = 1s\n",
             site_conf, TLS_CONF);
    sim_files_put_string(site.host, SITE_CONF, text);
    sim_host_signal(site.host, PORT_RELOAD);
    mta_step(site.mta);
    login_begin(&p);
    for (int i = 0; i < 2; i++) {
        say_plain(&p, "wrong");
        CHECK(peer_hears(&p, "\r\n"));
        CHECK(strncmp(p.text, "535 5.7.8", 9) == 0);
    }
    p.text_len = 0;
    CHECK(peer_hears(&p, "421 4.4.2")); /* but now they do */
    peer_close(&p);
    CHECK(site_stop(&site, 1000));
    site_close(&site);
}

/* Three passwords are hashed, one piece a step; meanwhile others are answered at once. */
static void test_hashing_holds_nobody_up(void)
{
    static struct tls_peer peers[3], other;
    uint32_t num_steps = 0;
    open_auth_site(2);
    for (int i = 0; i < 3; i++) {
        login_begin(&peers[i]);
    }
    login_begin(&other);
    for (int i = 0; i < 3; i++) {
        say_plain(&peers[i], "secret");
    }
    peer_say(&other, "NOOP\r\n");
    while (num_steps < 100 && strstr(other.text, "250 ") == NULL) {
        mta_step(site.mta);
        peer_turn(&other);
        num_steps++;
    }
    CHECK(num_steps < 8);
    for (int i = 0; i < 3; i++) {
        CHECK(strstr(peers[i].text, "235") == NULL);
    }
    for (num_steps = 0; num_steps < 100 && site.mta->working_first != NULL; num_steps++) {
        mta_step(site.mta);
        if (num_steps == 3 * 8 - 16) { /* they take turns */
            for (int i = 0; i < 3; i++) {
                peer_turn(&peers[i]);
                CHECK(strstr(peers[i].text, "235") == NULL);
            }
        }
    }
    CHECK(num_steps >= 3 * 8 - 8);
    for (int i = 0; i < 3; i++) {
        CHECK(peer_hears(&peers[i], "235 2.7.0"));
        peer_close(&peers[i]);
    }
    peer_close(&other);
    CHECK(site_stop(&site, 1000));
    CHECK_EQ(site.mta->logins.num_used, 0);
    CHECK_EQ(site.mta->users.num_used, 0);
    site_close(&site);
}

/* The client that came last is one of a network of IPv6, which the upper half of number names. */
static void move_to_network(uint32_t number)
{
    uint32_t cursor = 0;
    struct conn *c;
    while ((c = pool_each(&site.mta->conns, &cursor)) != NULL) {
        if (c->peer.family == NET_IPV4) {
            CHECK(net_addr_parse(SLICE_LITERAL("2001:db8:1:2::"), &c->peer));
            c->peer.bytes[6] = (uint8_t)(number >> 16);
            c->peer.bytes[15] = (uint8_t)number;
        }
    }
}

/* One address, or such a network, has a quarter of the places at most; whoever leaves gives its
 * place back. */
static void check_places(bool is_network)
{
    static struct tls_peer peers[BUDGET_LOGINS / 4 + 1];
    const uint32_t num = BUDGET_LOGINS / 4;
    open_auth_site(3);
    for (uint32_t i = 0; i < 3 + num; i++) { /* the first three, so that the others wait for long */
        uint32_t peer = i < 3 ? 0 : i - 3;
        if (i == 0 || i > 3) {
            login_begin(&peers[peer]);
        }
        if (is_network) {
            move_to_network(peer);
        }
        say_plain(&peers[peer], "wrong");
        if (i < 2) {
            CHECK(peer_hears(&peers[peer], "535 5.7.8"));
        } else if (i == 2) {
            CHECK(peer_hears(&peers[peer], "421 4.7.0"));
            peer_close(&peers[peer]);
            login_begin(&peers[peer]);
        }
    }
    login_begin(&peers[num]);
    if (is_network) {
        move_to_network(num);
    }
    CHECK_EQ(site.mta->logins.num_used, num);
    say_plain(&peers[num], "secret");
    CHECK(peer_hears(&peers[num], "454 4.7.0"));
    peer_close(&peers[0]);
    for (int i = 0; i < 3; i++) {
        mta_step(site.mta);
    }
    say_plain(&peers[num], "secret");
    CHECK(peer_hears(&peers[num], "235 2.7.0"));
    for (uint32_t i = 1; i <= num; i++) {
        peer_close(&peers[i]);
    }
    CHECK(site_stop(&site, 1000));
    CHECK_EQ(site.mta->logins.num_used, 0);
    CHECK_EQ(site.mta->users.num_used, 0);
    site_close(&site);
}

static void test_places(void)
{
    check_places(false);
    check_places(true);
}

/* Clients that fall silent in the middle of a login keep nobody else from one: the one that has
 * been silent for the longest gives its place up, and is told so if it goes on after all. */
static void check_silent(uint32_t num, bool is_one_network)
{
    static struct tls_peer peers[BUDGET_LOGINS + 1];
    open_auth_site(6);
    for (uint32_t i = 0; i < num; i++) {
        login_begin(&peers[i]);
        move_to_network(is_one_network ? 7 : i << 16);
        peer_say(&peers[i], "AUTH LOGIN\r\n");
        CHECK(peer_hears(&peers[i], "334 "));
    }
    login_begin(&peers[num]);
    move_to_network(is_one_network ? 7 : num << 16);
    say_plain(&peers[num], "secret");
    CHECK(peer_hears(&peers[num], "235 2.7.0"));
    peer_say(&peers[0], "am9l\r\n");
    CHECK(peer_hears(&peers[0], "454 4.7.0"));
    peer_say(&peers[0], "NOOP\r\n");
    CHECK(peer_hears(&peers[0], "250 2.0.0"));
    for (uint32_t i = 1; i < num; i++) {
        peer_say(&peers[i], "am9l\r\n");
        CHECK(peer_hears(&peers[i], "334 "));
    }
    for (uint32_t i = 0; i <= num; i++) {
        peer_close(&peers[i]);
    }
    CHECK(site_stop(&site, 1000));
    CHECK_EQ(site.mta->logins.num_used, 0);
    CHECK_EQ(site.mta->users.num_used, 0);
    site_close(&site);
}

/* Nor do those that have just guessed wrong, where other addresses have taken all places: the
 * oldest of them is told so early. */
static void test_guessers_give_way(void)
{
    static struct tls_peer peers[BUDGET_LOGINS + 1];
    const uint32_t share = BUDGET_LOGINS / 4;
    open_auth_site(8);
    for (uint32_t i = 0; i < BUDGET_LOGINS; i++) {
        for (int failed = 0; failed < 3 && i % share == 0; failed++) { /* the next wait for long */
            login_begin(&peers[i]);
            move_to_network(i << 16);
            say_plain(&peers[i], "wrong");
            CHECK(peer_hears(&peers[i], "535 5.7.8"));
            peer_close(&peers[i]);
        }
    }
    for (uint32_t i = 0; i < BUDGET_LOGINS; i++) {
        login_begin(&peers[i]);
        move_to_network((i - i % share) << 16);
    }
    for (uint32_t i = 0; i < BUDGET_LOGINS; i++) {
        say_plain(&peers[i], "wrong");
    }
    for (int i = 0; i < 5000 && (i < 50 || site.mta->working_first != NULL); i++) {
        mta_step(site.mta);
    }
    login_begin(&peers[BUDGET_LOGINS]);
    CHECK_EQ(site.mta->logins.num_used, BUDGET_LOGINS);
    uint64_t begin_ms = sim_world_now_ms(site.world);
    say_plain(&peers[BUDGET_LOGINS], "secret");
    CHECK(peer_hears(&peers[BUDGET_LOGINS], "235 2.7.0"));
    CHECK(sim_world_now_ms(site.world) - begin_ms < 1000);
    CHECK_EQ(site.mta->logins.num_used, BUDGET_LOGINS - 1);
    for (uint32_t i = 0; i <= BUDGET_LOGINS; i++) {
        peer_close(&peers[i]);
    }
    CHECK(site_stop(&site, 1000));
    CHECK_EQ(site.mta->logins.num_used, 0);
    CHECK_EQ(site.mta->users.num_used, 0);
    site_close(&site);
}

/* Who has given a login up by a line that is too long holds its place as well. The reply to a
 * message that he sends meanwhile is not the one to that login. */
static void test_given_up(void)
{
    static struct tls_peer peers[BUDGET_LOGINS / 4 + 1];
    const uint32_t num = BUDGET_LOGINS / 4;
    char line[SMTP_AUTH_LINE_MAX + 8];
    open_auth_site(9);
    for (uint32_t i = 0; i <= num; i++) {
        login_begin(&peers[i]);
    }
    for (uint32_t i = 0; i < num; i++) {
        peer_say(&peers[i], "AUTH LOGIN\r\n");
        CHECK(peer_hears(&peers[i], "334 "));
    }
    memset(line, 'A', sizeof line);
    memcpy(line + sizeof line - 3, "\r\n", 3);
    peer_say(&peers[0], line);
    CHECK(peer_hears(&peers[0], "500 5.5.6"));
    peer_say(&peers[0], "MAIL FROM:<ann@tls.example>\r\nRCPT TO:<joe@example.org>\r\nDATA\r\n");
    CHECK(peer_hears(&peers[0], "354 "));
    for (uint32_t i = 1; i < num; i++) { /* silent for less long */
        peer_say(&peers[i], "*\r\n");
        CHECK(peer_hears(&peers[i], "501 "));
        peer_say(&peers[i], "AUTH LOGIN\r\n");
        CHECK(peer_hears(&peers[i], "334 "));
    }
    peer_say(&peers[0], "\r\nhello\r\n.\r\n");
    say_plain(&peers[num], "secret");
    CHECK(peer_hears(&peers[num], "235 2.7.0"));
    CHECK(peer_hears(&peers[0], "250 2.0.0"));
    for (uint32_t i = 0; i <= num; i++) {
        peer_close(&peers[i]);
    }
    CHECK(site_stop(&site, 1000));
    site_close(&site);
}

static void test_silent_give_way(void)
{
    check_silent(BUDGET_LOGINS / 4, true);
    check_silent(BUDGET_LOGINS, false);
}

/* What a client sends while it waits for its reply stays where it is, and wakes nobody up. */
static void test_waiting_wakes_nobody(void)
{
    static struct tls_peer p;
    uint32_t num_steps = 0;
    open_auth_site(4);
    login_begin(&p);
    say_plain(&p, "wrong");
    CHECK(peer_hears(&p, "535 5.7.8"));
    say_plain(&p, "wrong"); /* 2 s */
    for (int i = 0; i < 50 && site.mta->working_first == NULL; i++) {
        mta_step(site.mta);
    }
    size_t taken_len;
    CHECK_EQ(tls_write(&p.tls, SLICE_LITERAL("NOOP\r\n"), &taken_len), ERR_OK);
    peer_flush(&p);
    while (num_steps < 1000 && strstr(p.text, "535") == NULL) {
        mta_step(site.mta);
        peer_turn(&p);
        num_steps++;
    }
    CHECK(num_steps < 40);
    CHECK(peer_hears(&p, "250 2.0.0"));
    peer_close(&p);
    CHECK(site_stop(&site, 1000));
    site_close(&site);
}

/* The server connects to Dovecot, which offers that. */
static struct sim_client *open_dovecot_site(uint64_t sync_ms, const char *mechanism)
{
    char text[2048];
    struct sim_client *dovecot = NULL;
    open_tls_site(5, sync_ms);
    sim_listen_local(site.world, "/run/auth");
    snprintf(text, sizeof text, "%s%sauth_dovecot_socket = /run/auth\n", site_conf, TLS_CONF);
    sim_files_put_string(site.host, SITE_CONF, text);
    sim_host_signal(site.host, PORT_RELOAD);
    for (int i = 0; i < 100 && dovecot == NULL; i++) {
        mta_step(site.mta);
        dovecot = sim_accept_local(site.world, "/run/auth");
    }
    CHECK(dovecot != NULL);
    snprintf(text, sizeof text, "VERSION\t1\t2\nMECH\t%s\nDONE\n", mechanism);
    sim_client_write(dovecot, slice_of_string(text));
    return dovecot;
}

/* The client begins a login, of which Dovecot hears. */
static void begin_at_dovecot(struct tls_peer *p, struct sim_client *dovecot)
{
    char heard[512];
    size_t len = 0;
    enum err err = ERR_AGAIN;
    peer_connect(p);
    CHECK(peer_starttls(p));
    peer_say(p, "EHLO tls.example\r\n");
    CHECK(peer_hears(p, "AUTH LOGIN"));
    peer_say(p, "AUTH LOGIN\r\n");
    for (int i = 0; i < 100 && memmem(heard, len, "AUTH\t", 5) == NULL; i++) {
        mta_step(site.mta);
        peer_turn(p);
        err = sim_client_read(dovecot, &len, (uint8_t *)heard, sizeof heard);
        len = err == ERR_OK ? len : 0;
    }
    CHECK_EQ(err, ERR_OK);
}

/* Dovecot's words get into a reply as base64 or not at all. */
static void test_dovecots_challenge(void)
{
    static const struct {
        const char *value, *reply;
    } challenges[] = {{"VXNlcm5hbWU6", "334 VXNlcm5hbWU6\r\n"},
                      {"", "334 \r\n"},
                      {"VXNl\033[2J", "454 4.7.0"},
                      {"AAAA\r250 x", "454 4.7.0"}};
    for (size_t i = 0; i < sizeof challenges / sizeof challenges[0]; i++) {
        struct tls_peer p;
        char text[64];
        struct sim_client *dovecot = open_dovecot_site(5, "LOGIN");
        begin_at_dovecot(&p, dovecot);
        snprintf(text, sizeof text, "CONT\t1\t%s\n", challenges[i].value);
        sim_client_write(dovecot, slice_of_string(text));
        CHECK(peer_hears(&p, challenges[i].reply));
        peer_close(&p);
        sim_client_close(dovecot);
        CHECK(site_stop(&site, 1000));
        site_close(&site);
    }
}

/* What Dovecot says, or that it has gone, while it is the client's turn or the client has given the
 * login up, answers nothing else that the client has asked meanwhile. */
static void test_dovecot_out_of_turn(void)
{
    static const char *const words[] = {"FAIL\t1\tuser=joe\n", "OK\t1\tuser=joe\n", NULL};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        struct tls_peer p;
        char line[3001];
        struct sim_client *dovecot = open_dovecot_site(5000, "LOGIN");
        begin_at_dovecot(&p, dovecot);
        sim_client_write(dovecot, SLICE_LITERAL("CONT\t1\tVXNlcm5hbWU6\n"));
        CHECK(peer_hears(&p, "334 "));
        memset(line, 'A', sizeof line - 3);
        memcpy(line + sizeof line - 3, "\r\n", 3);
        peer_say(&p, line);
        CHECK(peer_hears(&p, "500 5.5.6"));
        peer_say(&p, "MAIL FROM:<ann@example.org>\r\nRCPT TO:<joe@example.org>\r\nDATA\r\n");
        CHECK(peer_hears(&p, "354 "));
        peer_say(&p, "Subject: test\r\n\r\nmark 000001\r\n.\r\nNOOP\r\n");
        for (int k = 0; k < 10 && site.mta->commits_first == NULL; k++) {
            mta_step(site.mta);
        }
        CHECK(site.mta->commits_first != NULL);
        if (words[i] != NULL) {
            sim_client_write(dovecot, slice_of_string(words[i]));
        } else {
            sim_client_close(dovecot);
        }
        CHECK(peer_hears(&p, "\r\n"));
        CHECK(strncmp(p.text, "250 2.0.0 Queued", 16) == 0);
        peer_say(&p, "MAIL FROM:<ann@example.org>\r\nRCPT TO:<bob@elsewhere.example>\r\n");
        CHECK(peer_hears(&p, "550 5.7.1"));
        peer_close(&p);
        if (words[i] != NULL) {
            sim_client_close(dovecot);
        }
        CHECK(site_stop(&site, 1000));
        site_close(&site);
    }
}

/* Dovecot ends the exchange, or goes, while it is the client's turn. */
static void test_dovecot_gone(void)
{
    for (int goes = 0; goes < 2; goes++) {
        struct tls_peer p;
        struct sim_client *dovecot = open_dovecot_site(5, "LOGIN");
        begin_at_dovecot(&p, dovecot);
        sim_client_write(dovecot, SLICE_LITERAL("CONT\t1\tVXNlcm5hbWU6\n"));
        if (!goes) {
            sim_client_write(dovecot, SLICE_LITERAL("FAIL\t1\tuser=joe\ttemp\n"));
        }
        CHECK(peer_hears(&p, "334 VXNlcm5hbWU6\r\n"));
        sim_client_close(dovecot);
        for (int i = 0; i < 20 && sim_log_count(site.host, "dovecot result=lost") == 0; i++) {
            mta_step(site.mta);
        }
        peer_say(&p, "am9l\r\n");
        CHECK(peer_hears(&p, "\r\n"));
        CHECK(strncmp(p.text, "454 4.7.0", 9) == 0);
        peer_close(&p);
        CHECK(site_stop(&site, 1000));
        site_close(&site);
    }
}

/* Where Dovecot has nothing that is known here, no login is offered. */
static void test_dovecot_of_others(void)
{
    struct tls_peer p;
    struct sim_client *dovecot = open_dovecot_site(5, "OAUTHBEARER");
    for (int i = 0; i < 20 && sim_log_count(site.host, "dovecot result=connected") == 0; i++) {
        mta_step(site.mta);
    }
    peer_connect(&p);
    CHECK(peer_starttls(&p));
    peer_say(&p, "EHLO tls.example\r\n");
    CHECK(peer_hears(&p, "250 "));
    CHECK(strstr(p.text, "AUTH") == NULL);
    peer_say(&p, "AUTH PLAIN\r\n");
    CHECK(peer_hears(&p, "502 5.5.1"));
    peer_close(&p);
    sim_client_close(dovecot);
    CHECK(site_stop(&site, 1000));
    site_close(&site);
}

static const struct test_case cases[] = {
    {"waiting-wakes-nobody", test_waiting_wakes_nobody},
    {"plaintext", test_plaintext},
    {"failures-cost-time", test_failures_cost_time},
    {"dovecots-challenge", test_dovecots_challenge},
    {"dovecot-out-of-turn", test_dovecot_out_of_turn},
    {"dovecot-of-others", test_dovecot_of_others},
    {"dovecot-gone", test_dovecot_gone},
    {"waiting-is-no-timeout", test_waiting_is_no_timeout},
    {"hashing-holds-nobody-up", test_hashing_holds_nobody_up},
    {"places", test_places},
    {"silent-give-way", test_silent_give_way},
    {"guessers-give-way", test_guessers_give_way},
    {"given-up", test_given_up},
};

int main(int argc, char **argv)
{
    return tls_test_main(cases, sizeof cases / sizeof cases[0], argc, argv);
}

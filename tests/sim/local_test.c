/* Users of this machine at the submit socket of a server in a simulated world: each is known, sends
 * as itself, to whatever domain, and takes no more than its share. */
#include "local_users.h"

static struct site_client plain;

static void open_local_site(const char *more)
{
    char text[2048];
    site_open(&site, 1, NULL);
    snprintf(text, sizeof text, "%ssubmit_socket = " SOCKET "\ntrusted_users = daemon : boss\n%s",
             site_conf, more);
    sim_files_put_string(site.host, SITE_CONF, text);
    site_start(&site);
}

static void test_mail_is_taken_and_says_who(void)
{
    struct user u;
    open_local_site("");
    CHECK(greets(&u, &joe));
    CHECK(strstr(u.text, "STARTTLS") == NULL);
    CHECK(say(&u, "MAIL FROM:<joe@mx.example>\r\n", "250 "));
    CHECK(say(&u, "RCPT TO:<joe@example.org>\r\n", "250 "));
    CHECK(say(&u, "DATA\r\n", "354 "));
    CHECK(say(&u, "Subject: x\r\n\r\nmark 000000\r\n.\r\n", "250 "));
    CHECK(say(&u, "QUIT\r\n", "221 "));
    CHECK(site_settle(&site, 2000));
    CHECK_EQ(site_copies(&site, 0), 1);
    const char *name;
    struct slice bytes;
    CHECK(sim_mailbox_file(site.host, SITE_MAILDIR, SIM_NEW, 0, &name, &bytes));
    static const char trace[] =
        "Received: from localhost (local uid 1000)\n\tby mx.example with ESMTP\n";
    CHECK(memmem(bytes.ptr, bytes.len, trace, sizeof trace - 1) != NULL);
    CHECK_EQ(sim_log_count(site.host, "peer=local uid=1000 result=accepted"), 1);
    CHECK_EQ(sim_log_count(site.host, "connection peer=local uid=1000"), 1);
    CHECK_EQ(sim_log_count(site.host, "listen path=\"" SOCKET "\""), 1);
    CHECK_EQ(site.mta->locals.num_used, 0);
    CHECK(site_stop(&site, 1000));
    site_close(&site);
}

static void test_users_send_as_themselves(void)
{
    static const struct {
        const struct port_user *who;
        const char *sender, *reply;
    } tries[] = {
        {&joe, "joe@mx.example", "250 "},
        {&joe, "JOE@MX.example", "250 "},
        {&joe, "joe@example.org", "250 "},
        {&joe, "\"joe\"@mx.example", "250 "},
        {&joe, "", "250 "},
        {&joe, "ann@mx.example", "553 5.7.1"},
        {&joe, "joe@elsewhere.example", "553 5.7.1"},
        {&joe, "joe+x@mx.example", "553 5.7.1"},
        {&nameless, "uid-1002@mx.example", "250 "},
        {&nameless, "joe@mx.example", "553 5.7.1"},
        {&root, "anybody@elsewhere.example", "250 "},
        {&boss, "anybody@elsewhere.example", "250 "},
        {&ann, "boss@mx.example", "553 5.7.1"},
    };
    open_local_site("");
    for (size_t i = 0; i < sizeof tries / sizeof tries[0]; i++) {
        struct user u;
        char line[128];
        snprintf(line, sizeof line, "MAIL FROM:<%s>\r\n", tries[i].sender);
        CHECK(greets(&u, tries[i].who));
        CHECK(say(&u, line, tries[i].reply));
        sim_client_close(u.peer);
    }
    CHECK(site_stop(&site, 1000));
    site_close(&site);
}

static void test_users_may_relay(void)
{
    struct user u;
    open_local_site("");
    CHECK(greets(&u, &joe));
    CHECK(say(&u, "MAIL FROM:<joe@mx.example>\r\n", "250 "));
    CHECK(say(&u, "RCPT TO:<somebody@elsewhere.example>\r\n", "250 "));
    CHECK(say(&u, "RCPT TO:<nobody@example.org>\r\n", "550 5.1.1"));
    sim_client_close(u.peer);
    CHECK(site_stop(&site, 1000));
    site_close(&site);
}

/* One user cannot take all places, and together they do not keep the network out. */
static void test_each_user_has_a_share(void)
{
    static struct user users[BUDGET_LOCALS + 2];
    uint32_t num = 0;
    open_local_site("");
    for (uint32_t i = 0; i < BUDGET_LOCALS / 2; i++) {
        CHECK(greets(&users[num++], &joe));
    }
    CHECK(user_connect(&users[num], &joe));
    CHECK(hears(&users[num++], "421 4.7.0"));
    for (uint32_t i = 0; i < BUDGET_LOCALS / 2; i++) {
        CHECK(greets(&users[num++], &ann));
    }
    CHECK(user_connect(&users[num], &boss));
    CHECK(hears(&users[num], "421 4.3.2"));
    CHECK_EQ(site.mta->locals.num_used, BUDGET_LOCALS);
    CHECK_EQ(sim_log_count(site.host, "peer=local uid=1000 result=refused reason=not-allowed"), 1);
    CHECK_EQ(sim_log_count(site.host, "peer=local uid=1003 result=refused reason=busy"), 1);
    client_connect(&site, &plain, 0, 1, 500);
    CHECK(site_run(&site, &plain, 1, 2000));
    CHECK_EQ(site.num_acked, 1);
    for (uint32_t i = 0; i <= num; i++) {
        sim_client_close(users[i].peer);
    }
    CHECK(site_settle(&site, 2000));
    CHECK_EQ(site.mta->locals.num_used, 0);
    CHECK(site_stop(&site, 1000));
    site_close(&site);
}

/* So many messages an hour, each user for itself. */
static void test_messages_are_counted(void)
{
    struct user u;
    void *taken[BUDGET_TRANSACTIONS];
    uint32_t num_taken = 0;
    open_local_site("submit_rate = 5\nsmtp_accept_max_nonmail = 0\n");
    CHECK(greets(&u, &joe));
    while (num_taken < BUDGET_TRANSACTIONS &&
           (taken[num_taken] = pool_take(&site.mta->txns)) != NULL) {
        num_taken++;
    }
    CHECK(say(&u, "MAIL FROM:<joe@mx.example>\r\n", "452 ")); /* that is no message */
    while (num_taken > 0) {
        pool_give(&site.mta->txns, taken[--num_taken]);
    }
    for (int i = 0; i < 5; i++) {
        CHECK(say(&u, "MAIL FROM:<joe@mx.example>\r\n", "250 "));
        CHECK(say(&u, "RSET\r\n", "250 "));
    }
    CHECK(say(&u, "MAIL FROM:<joe@mx.example>\r\n", "450 4.7.1"));
    sim_world_advance(site.world, 3600 * 1000 / 5 + 1000);
    sim_client_close(u.peer);
    CHECK(greets(&u, &joe));
    CHECK(say(&u, "MAIL FROM:<joe@mx.example>\r\n", "250 "));
    CHECK(say(&u, "RSET\r\n", "250 "));
    CHECK(say(&u, "MAIL FROM:<joe@mx.example>\r\n", "450 4.7.1"));
    sim_client_close(u.peer);
    CHECK(greets(&u, &ann));
    CHECK(say(&u, "MAIL FROM:<ann@mx.example>\r\n", "250 "));
    sim_client_close(u.peer);
    CHECK(greets(&u, &root));
    for (int i = 0; i < 20; i++) {
        CHECK(say(&u, "MAIL FROM:<root@mx.example>\r\n", "250 "));
        CHECK(say(&u, "RSET\r\n", "250 "));
    }
    sim_client_close(u.peer);
    CHECK(site_stop(&site, 1000));
    site_close(&site);
}

static void test_a_group_may_be_asked_for(void)
{
    struct user u;
    open_local_site("submit_socket_group = joe\n");
    CHECK(greets(&u, &joe));
    CHECK(!user_connect(&u, &ann));
    CHECK(site_stop(&site, 1000));
    CHECK(!user_connect(&u, &joe));
    site_close(&site);
}

/* A reload opens the socket and closes it. */
static void test_reload_opens_and_closes(void)
{
    char text[2048];
    struct user u;
    site_open(&site, 1, NULL);
    site_start(&site);
    CHECK(!user_connect(&u, &joe));
    for (int round = 0; round < 3; round++) {
        snprintf(text, sizeof text, "%s%s", site_conf,
                 round == 1 ? "" : "submit_socket = " SOCKET "\n");
        sim_files_put_string(site.host, SITE_CONF, text);
        sim_host_signal(site.host, PORT_RELOAD);
        mta_step(site.mta);
        CHECK_EQ(user_connect(&u, &joe), round != 1);
    }
    CHECK_EQ(sim_log_count(site.host, "new options are in force"), 3);
    CHECK(site_stop(&site, 1000));
    site_close(&site);
}

static const struct test_case cases[] = {
    {"mail-is-taken-and-says-who", test_mail_is_taken_and_says_who},
    {"users-send-as-themselves", test_users_send_as_themselves},
    {"users-may-relay", test_users_may_relay},
    {"each-user-has-a-share", test_each_user_has_a_share},
    {"messages-are-counted", test_messages_are_counted},
    {"a-group-may-be-asked-for", test_a_group_may_be_asked_for},
    {"reload-opens-and-closes", test_reload_opens_and_closes},
};

TEST_MAIN(cases)

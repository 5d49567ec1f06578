/* Sending, in simulated worlds: every abort point, reuse, limits. */
#include "remote_world.h"

static const char *const one_host[] = {"192.0.2.25"};

static void open_one(const char *conf, const struct rw_script *script)
{
    rw_open(conf);
    rw_server("192.0.2.25", 25, script);
    rw_route(ROUTE_TO_SMTP, one_host, 1, 25);
}

/* --- Sending well --- */

static void test_delivers(void)
{
    open_one("", NULL);
    struct smtp_job *job = rw_send(3, NULL);
    rw_check_ended(job, SMTP_RCPT_DELIVERED, "reply");
    CHECK(!job->rcpts[2].is_relayed_without_dsn && !job->rcpts[2].is_in_mailbox);
    CHECK_EQ(job->rcpts[2].index, 2);
    CHECK_TEXT(smtp_rcpt_text(job, &job->rcpts[0]), "250 2.0.0 taken");
    CHECK_TEXT(job->host, "192.0.2.25");
    deliver_smtp_give(rw.d, job);
    CHECK(strcmp(rw.servers[0].content, "Subject: x\r\n\r\nhello\r\n..dot\r\n.\r\n") == 0);
    CHECK(strcmp(rw.servers[0].commands, "EHLO me.example\nMAIL FROM:<s@me.example> SIZE=27\n"
                                         "RCPT TO:<r0@example.org>\nRCPT TO:<r1@example.org>\n"
                                         "RCPT TO:<r2@example.org>\nDATA\n") == 0);
    rw_run_ms(7000); /* then the connection has been idle long enough */
    CHECK(strstr(rw.servers[0].commands, "QUIT\n") != NULL);
    CHECK_EQ(rw.servers[0].num_open, 0);
    CHECK(deliver_smtp_is_idle(rw.d));
    CHECK_EQ(sim_log_count(rw.h, "relay id="), 1);
    CHECK_EQ(sim_log_count(rw.h, "tls=no"), 1);
    rw_close();
}

static void test_lmtp(void)
{
    struct rw_script script = {.is_lmtp = true, .ehlo = "250-mx.example\r\n250 PIPELINING\r\n"};
    rw_open("");
    rw_server("192.0.2.25", 24, &script);
    rw_route(ROUTE_TO_LMTP, one_host, 1, 24);
    struct smtp_job *job = rw_send(2, NULL);
    rw_check_ended(job, SMTP_RCPT_DELIVERED, "reply");
    CHECK(job->rcpts[1].is_in_mailbox && !job->rcpts[1].is_relayed_without_dsn);
    CHECK(strncmp(rw.servers[0].commands, "LHLO ", 5) == 0);
    rw_close();
}

/* A store on this machine: its socket is there, is not, and is there again. */
static void test_lmtp_socket(void)
{
    static const char path[] = "/run/store/lmtp";
    struct rw_script script = {.is_lmtp = true};
    rw_open("");
    rw.route = (struct route_item){.kind = ROUTE_TO_LMTP, .hosts = rw.hosts, .num_hosts = 1};
    rw.hosts[0] = (struct route_host){.name = SLICE_LITERAL(path), .is_socket = true};
    rw_check_ended(rw_send(1, NULL), SMTP_RCPT_DEFERRED, "refused");
    struct rw_server *server = rw_server_local(path, &script);
    rw_run_ms(400000);
    struct smtp_job *job = rw_send(1, NULL);
    rw_check_ended(job, SMTP_RCPT_DELIVERED, "reply");
    CHECK_TEXT(job->host, path);
    CHECK_EQ(job->addr.family, NET_NONE);
    CHECK_EQ(server->num_messages, 1);
    rw_close();
}

static void test_no_dsn(void)
{
    struct rw_script script = {.ehlo = "250 mx.example\r\n"};
    open_one("", &script);
    struct smtp_job *job = rw_send(1, NULL);
    CHECK(job->rcpts[0].is_relayed_without_dsn && !job->rcpts[0].is_in_mailbox);
    rw_close();
}

/* Content over many buffers, each line with a dot. */
static void test_long_content(void)
{
    static const char *const offers[] = {"250-mx.example\r\n250 CHUNKING\r\n",
                                         "250 mx.example\r\n"};
    for (size_t i = 0; i < 2; i++) {
        struct rw_script script = {.ehlo = offers[i]};
        static char text[30001];
        struct rw_message m;
        struct smtp_order order = {.id = 0};
        open_one("", &script);
        for (size_t at = 0; at < 30000; at += 3) {
            memcpy(text + at, ".\r\n", 3);
        }
        rw_put(&m, 1, NULL, text);
        CHECK(rw_start(&m, &order) != NULL);
        rw_check_ended(rw_until_ended(), SMTP_RCPT_DELIVERED, "reply");
        CHECK(strncmp(rw.servers[0].content, i == 0 ? ".\r\n.\r\n" : "..\r\n..\r\n", 6) == 0);
        CHECK_EQ(rw.servers[0].num_messages, 1);
        rw_close();
    }
}

/* --- Misbehaviour --- */

static void check_rough(const char *at, enum rw_how how, const char *answer,
                        enum smtp_rcpt_result result, const char *reason, uint32_t num_copies,
                        const char *ehlo)
{
    struct rw_script script = {.verb = at, .how = how, .answer = answer, .from = 1, .ehlo = ehlo};
    if (strcmp(at, "DATA") == 0 && strstr(ehlo, "CHUNKING") != NULL) {
        return;
    }
    open_one("", &script);
    struct smtp_job *job = rw_send(1, NULL);
    int failed_before = test_failed_checks;
    rw_check_ended(job, result, reason);
    CHECK_EQ(rw.servers[0].num_messages, num_copies);
    if (test_failed_checks != failed_before) {
        fprintf(stderr, "  at %s, how %d, answer %s\n", at, how, answer);
    }
    deliver_smtp_give(rw.d, job);
    rw_run_ms(20000);
    CHECK_EQ(sim_net_num_handles(rw.h), 0);
    rw_close();
}

static void test_rough(void)
{
#define ROUGH(at, how, answer, result, reason, num_copies)                                      \
    check_rough(at, how, answer, SMTP_RCPT_##result, reason, num_copies,                        \
                "250-mx.example\r\n250 PIPELINING\r\n");                                        \
    check_rough(at, how, answer, SMTP_RCPT_##result, reason, num_copies, "250 mx.example\r\n"); \
    check_rough(at, how, answer, SMTP_RCPT_##result, reason, num_copies,                        \
                "250-mx.example\r\n250-PIPELINING\r\n250 CHUNKING\r\n");
#include "../tables/remote_rough.def"
#undef ROUGH
}

/* A host that fails before it has the content is followed by the next one; one that may have it is
 * not. */
static void test_failover(void)
{
    static const char *const hosts[] = {"192.0.2.1", "192.0.2.2", "192.0.2.3"};
    static const struct {
        const char *verb;
        enum rw_how how;
        uint32_t num_second; /* messages that the second server got */
        const char *answer;
    } rows[] = {
        {"CONNECT", RW_CLOSE, 1, NULL},
        {"EHLO", RW_SILENT, 1, NULL},
        {"MAIL", RW_RESET, 1, NULL},
        {"RCPT", RW_CLOSE, 1, NULL},
        {"DATA", RW_CLOSE, 1, NULL},
        {".", RW_CLOSE, 0, NULL},
        {".", RW_SILENT, 0, NULL},
        {"MAIL", RW_ANSWER, 1, "452 4.3.1 full\r\n"},
        {"MAIL", RW_ANSWER, 1, "421 4.3.2 no\r\n"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct rw_script script = {
            .verb = rows[i].verb, .how = rows[i].how, .answer = rows[i].answer};
        rw_open("");
        rw_server("192.0.2.2", 25, &script); /* the first host refuses connections */
        rw_server("192.0.2.3", 25, NULL);
        rw_route(ROUTE_TO_SMTP, hosts, 3, 25);
        struct smtp_job *job = rw_send(1, NULL);
        CHECK_EQ(job->rcpts[0].result,
                 rows[i].num_second == 1 ? SMTP_RCPT_DELIVERED : SMTP_RCPT_DEFERRED);
        CHECK_EQ(rw.servers[1].num_messages, rows[i].num_second);
        CHECK_EQ(rw.servers[0].num_messages, 0);
        CHECK(sim_log_count(rw.h, "reason=refused") == 1);
        rw_close();
    }
}

/* Why the last host did not take it is not laid to the one before it. */
static void test_host_of_reason(void)
{
    static const char *const hosts[] = {"192.0.2.1", "192.0.2.2"};
    struct rw_script script = {.verb = "CONNECT", .how = RW_ANSWER, .answer = "450 later\r\n"};
    rw_open("");
    rw_server("192.0.2.1", 25, &script); /* the second host refuses connections */
    rw_route(ROUTE_TO_SMTP, hosts, 2, 25);
    struct smtp_job *job = rw_send(1, NULL);
    rw_check_ended(job, SMTP_RCPT_DEFERRED, "refused");
    CHECK_EQ(job->host.len, 0);
    rw_close();
}

/* --- Recipients --- */

static void test_some_refused(void)
{
    struct rw_script script = {.rcpt_refused = "r1@", .rcpt_answer = "550 5.1.1 nobody\r\n"};
    open_one("", &script);
    struct smtp_job *job = rw_send(3, NULL);
    CHECK_EQ(job->rcpts[0].result, SMTP_RCPT_DELIVERED);
    CHECK_EQ(job->rcpts[1].result, SMTP_RCPT_FAILED);
    CHECK_EQ(job->rcpts[1].status[2], 1);
    CHECK_EQ(job->rcpts[1].reply_code, 550);
    CHECK_TEXT(smtp_rcpt_text(job, &job->rcpts[1]), "550 5.1.1 nobody");
    CHECK_EQ(job->rcpts[2].result, SMTP_RCPT_DELIVERED);
    rw_close();
}

/* RFC 9422: no more than it says in one transaction; and 452 to one too many means the same. */
static void test_many_rcpts(void)
{
    static const struct rw_script scripts[] = {
        {.ehlo = "250-mx.example\r\n250-PIPELINING\r\n250 LIMITS RCPTMAX=5\r\n"},
        {.rcpt_refused = "r1", .rcpt_answer = "452 4.5.3 too many\r\n"},
    };
    open_one("", &scripts[0]);
    struct smtp_job *job = rw_send(12, NULL);
    for (int i = 0; i < 12; i++) {
        CHECK_EQ(job->rcpts[i].result, SMTP_RCPT_DELIVERED);
    }
    CHECK_EQ(rw.servers[0].num_messages, 3);
    CHECK_EQ(rw.servers[0].num_accepted, 1);
    rw_close();
    open_one("", &scripts[1]); /* r1, r10 and r11, for ever: at last they wait */
    job = rw_send(12, NULL);
    for (int i = 0; i < 12; i++) {
        CHECK_EQ(job->rcpts[i].result,
                 i == 1 || i >= 10 ? SMTP_RCPT_DEFERRED : SMTP_RCPT_DELIVERED);
    }
    CHECK_EQ(rw.servers[0].num_messages, 1);
    rw_close();
}

/* A server that takes one recipient a message, and one message a connection or two: they need not
 * wait for each other's next try. */
static void test_few_at_a_time(void)
{
    static const char limits[] = "250-mx.example\r\n250 LIMITS RCPTMAX=1\r\n";
    static const struct rw_script scripts[] = {
        {.verb = "MAIL", .how = RW_CLOSE, .from = 2, .ehlo = limits},
        {.verb = "MAIL", .how = RW_RESET, .from = 3, .ehlo = limits},
        {.verb = "MAIL", .how = RW_ANSWER, .answer = "421 enough\r\n", .from = 2, .ehlo = limits},
    };
    for (size_t i = 0; i < sizeof scripts / sizeof scripts[0]; i++) {
        open_one("", &scripts[i]);
        struct smtp_job *job = rw_send(4, NULL);
        for (int k = 0; k < 4; k++) {
            CHECK_EQ(job->rcpts[k].result, SMTP_RCPT_DELIVERED);
        }
        CHECK_EQ(rw.servers[0].num_accepted, 2);
        CHECK_EQ(rw.servers[0].num_messages, 4);
        rw_close();
    }
}

/* What is said once is about each of them. */
static void test_refused_with_many(void)
{
    struct rw_script script = {.verb = "CONNECT", .answer = "521 this host takes no mail\r\n"};
    open_one("", &script);
    struct smtp_job *job = rw_send(SMTP_JOB_RCPTS_MAX, NULL);
    CHECK_EQ(job->num_rcpts, SMTP_JOB_RCPTS_MAX);
    for (int i = 0; i < SMTP_JOB_RCPTS_MAX; i++) {
        CHECK_EQ(job->rcpts[i].result, SMTP_RCPT_FAILED);
        CHECK_TEXT(smtp_rcpt_text(job, &job->rcpts[i]), "521 this host takes no mail");
    }
    rw_close();
}

/* Many, each with its own reply: of all of these there is enough to be told. */
static void test_many_refused(void)
{
    struct rw_script script = {.rcpt_refused = "r",
                               .rcpt_answer = "550 5.1.1 Nobody here has a mailbox of that name: ",
                               .rcpt_answer_names = true};
    open_one("", &script);
    struct smtp_job *job = rw_send(SMTP_JOB_RCPTS_MAX, NULL);
    for (int i = 0; i < SMTP_JOB_RCPTS_MAX; i++) {
        struct slice text = smtp_rcpt_text(job, &job->rcpts[i]);
        CHECK_EQ(job->rcpts[i].result, SMTP_RCPT_FAILED);
        CHECK(text.len > 10 && memcmp(text.ptr, "550 5.1.1 ", 10) == 0);
    }
    CHECK(job->rcpts[9].text_len > 60);
    rw_close();
}

static void test_bad_address(void)
{
    open_one("", NULL);
    struct smtp_job *job = rw_send(1, "x@example.org>\r\nRCPT TO:<y@example.org");
    rw_check_ended(job, SMTP_RCPT_FAILED, "bad-address");
    CHECK(strstr(rw.servers[0].commands, "RCPT") == NULL);
    rw_close();
    open_one("", NULL);
    rw_check_ended(rw_send(1, "\xc3\xa9@example.org"), SMTP_RCPT_FAILED, "smtputf8-needed");
    rw_close();
}

/* --- What the peer cannot take --- */

static void test_offers(void)
{
    static const char *const texts[] = {rw_text, "Subject: \xc3\xa9\r\n\r\nhello\r\n",
                                        "Subject: x\r\n\r\nh\xc3\xa9llo\r\n"};
    static const struct {
        const char *ehlo, *reason;
        bool is_8bit, is_smtputf8;
        unsigned subject, detail, text;
    } rows[] = {
        {"250-mx.example\r\n250 SIZE 26\r\n", "message-too-big", false, false, 3, 4, 0},
        {"250-mx.example\r\n250 SIZE 27\r\n", "reply", false, false, 0, 0, 0},
        {"250-mx.example\r\n250 SIZE 0\r\n", "reply", false, false, 0, 0, 0},
        {"250 mx.example\r\n", "8bit-content", true, false, 6, 3, 0},
        {"250-mx.example\r\n250 8BITMIME\r\n", "smtputf8-needed", true, true, 6, 7, 1},
        {"250-mx.example\r\n250 8BITMIME\r\n", "reply", true, true, 0, 0, 2}, /* the body alone */
        {"250 mx.example\r\n", "8bit-content", true, true, 6, 3, 2},
        {"250-mx.example\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n", "reply", true, true, 0, 0, 1},
        {"250 mx.example\r\n", "reply", false, true, 0, 0, 0}, /* asked for, and not needed */
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct rw_script script = {.ehlo = rows[i].ehlo};
        struct rw_message m;
        struct smtp_order order = {.is_8bit = rows[i].is_8bit, .is_smtputf8 = rows[i].is_smtputf8};
        bool fails = strcmp(rows[i].reason, "reply") != 0;
        open_one("", &script);
        rw_put(&m, 1, NULL, texts[rows[i].text]);
        CHECK(rw_start(&m, &order) != NULL);
        struct smtp_job *job = rw_until_ended();
        rw_check_ended(job, fails ? SMTP_RCPT_FAILED : SMTP_RCPT_DELIVERED, rows[i].reason);
        if (fails) {
            CHECK_EQ(job->rcpts[0].status[1], rows[i].subject);
            CHECK_EQ(job->rcpts[0].status[2], rows[i].detail);
            CHECK(strstr(rw.servers[0].commands, "MAIL") == NULL);
        }
        rw_close();
    }
}

/* SMTPUTF8 was asked for, and the server does not know it: only whose address needs it misses the
 * message, and all if the sender's does. */
static void test_some_need_utf8(void)
{
    static const char *const senders[] = {"s@me.example", "\xc3\xa9@me.example"};
    struct rw_script script = {.ehlo = "250 mx.example\r\n"};
    for (int i = 0; i < 2; i++) {
        struct rw_message m;
        struct smtp_order order = {.is_smtputf8 = true, .sender = slice_of_string(senders[i])};
        open_one("", &script);
        rw_put(&m, 2, NULL, rw_text);
        struct rw_message other;
        rw_put(&other, 1, "\xc3\xa9@example.org", rw_text);
        CHECK(rw_start(&m, &order) != NULL);
        struct smtp_job *job = rw_until_ended();
        rw_check_ended(job, i == 0 ? SMTP_RCPT_DELIVERED : SMTP_RCPT_FAILED,
                       i == 0 ? "reply" : "smtputf8-needed");
        deliver_smtp_give(rw.d, job);
        CHECK(rw_start(&other, &order) != NULL);
        job = rw_until_ended();
        rw_check_ended(job, SMTP_RCPT_FAILED, "smtputf8-needed");
        deliver_smtp_give(rw.d, job);
        CHECK_EQ(rw.servers[0].num_messages, i == 0);
        CHECK(strstr(rw.servers[0].commands, "SMTPUTF8") == NULL);
        rw_close();
    }
}

/* --- Reuse, limits, backing off --- */

static void test_reuse(void)
{
    open_one("connection_max_messages = 4\n", NULL);
    for (int i = 0; i < 10; i++) {
        struct smtp_job *job = rw_send(1, NULL);
        rw_check_ended(job, SMTP_RCPT_DELIVERED, "reply");
        deliver_smtp_give(rw.d, job);
    }
    CHECK_EQ(rw.servers[0].num_messages, 10);
    CHECK_EQ(rw.servers[0].num_accepted, 3);
    rw_close();
}

/* What options demand of a server from now on, a connection that was busy meanwhile has not shown.
 */
static void test_reload_while_busy(void)
{
    struct rw_script script = {.verb = ".", .how = RW_LATE, .answer = "250 ok\r\n"};
    struct rw_message m;
    struct smtp_order order = {.id = 0};
    open_one("", &script);
    rw_put(&m, 1, NULL, rw_text);
    CHECK(rw_start(&m, &order) != NULL);
    for (int i = 0; i < 1000 && strstr(rw.servers[0].commands, "DATA\n") == NULL; i++) {
        rw_step();
    }
    rw_conf("hosts_require_tls = *\n");
    struct smtp_job *job = rw_until_ended();
    rw_check_ended(job, SMTP_RCPT_DELIVERED, "reply"); /* it had begun */
    deliver_smtp_give(rw.d, job);
    job = rw_send(1, NULL);
    rw_check_ended(job, SMTP_RCPT_DEFERRED, "tls-not-offered");
    deliver_smtp_give(rw.d, job);
    CHECK_EQ(rw.servers[0].num_accepted, 2);
    rw_close();
}

static void test_mail_max(void)
{
    struct rw_script script = {.ehlo = "250-mx.example\r\n250 LIMITS MAILMAX=2\r\n"};
    open_one("", &script);
    for (int i = 0; i < 6; i++) {
        deliver_smtp_give(rw.d, rw_send(1, NULL));
    }
    CHECK_EQ(rw.servers[0].num_accepted, 3);
    rw_close();
}

/* A kept connection that the peer has closed meanwhile, however it does, costs nothing. */
static void test_stale_reuse(void)
{
    static const struct rw_script scripts[] = {
        {.verb = "MAIL", .how = RW_CLOSE, .from = 2},
        {.verb = "MAIL", .how = RW_RESET, .from = 2},
        {.verb = "MAIL", .how = RW_ANSWER, .answer = "421 4.4.2 idle\r\n", .from = 2},
    };
    for (size_t i = 0; i < sizeof scripts / sizeof scripts[0]; i++) {
        open_one("", &scripts[i]);
        for (int k = 0; k < 2; k++) {
            struct smtp_job *job = rw_send(1, NULL);
            rw_check_ended(job, SMTP_RCPT_DELIVERED, "reply");
            deliver_smtp_give(rw.d, job);
        }
        CHECK_EQ(rw.servers[0].num_accepted, 2);
        CHECK_EQ(rw.servers[0].num_messages, 2);
        rw_close();
    }
}

/* A peer may take its time, on a kept connection too. */
static void test_late_answers(void)
{
    static const char *const verbs[] = {"CONNECT", "EHLO", "MAIL", "RCPT", "."};
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
        struct rw_script script = {
            .verb = verbs[i], .how = RW_LATE, .answer = i == 0 ? "220 a\r\n" : "250 ok\r\n"};
        script.ehlo = "250 mx.example\r\n";
        open_one("", &script);
        for (int k = 0; k < 2; k++) {
            struct smtp_job *job = rw_send(1, NULL);
            rw_check_ended(job, SMTP_RCPT_DELIVERED, "reply");
            deliver_smtp_give(rw.d, job);
        }
        CHECK_EQ(rw.servers[0].num_accepted, 1);
        rw_close();
    }
}

/* One that reads nothing of a long message, but talks: it costs time of its own, and nothing else.
 */
static void test_deaf(void)
{
    static const char *const offers[] = {"250-mx.example\r\n250 CHUNKING\r\n",
                                         "250 mx.example\r\n"};
    static char text[300001];
    memset(text, 'x', sizeof text - 1);
    for (size_t i = 0; i < 60; i++) {
        memcpy(text + i * 5000, "\r\n", 2);
    }
    for (size_t i = 0; i < 4; i++) {
        struct rw_script script = {.verb = i % 2 == 0 ? "BDAT" : "DATA",
                                   .how = RW_DEAF,
                                   .answer = i < 2 ? "354 go\r\n" : "354 go\r\n552 too much\r\n",
                                   .ehlo = offers[i % 2]};
        struct rw_message m;
        struct smtp_order order = {.id = 0};
        open_one("", &script);
        rw_put(&m, 1, NULL, text);
        CHECK(rw_start(&m, &order) != NULL);
        struct smtp_job *job = rw_until_ended();
        CHECK(job->rcpts[0].result != SMTP_RCPT_DELIVERED);
        CHECK_EQ(job->rcpts[0].result, i == 3 ? SMTP_RCPT_FAILED : SMTP_RCPT_DEFERRED);
        CHECK_EQ(rw.servers[0].num_messages, 0);
        deliver_smtp_give(rw.d, job);
        rw_close();
    }
}

static void leave(struct rw_peer *p, const char *bytes, size_t len)
{
    (void)bytes;
    if (p->content_len + len > 3000 && !p->closes) {
        rw_say(p, "552 5.3.4 too much\r\n");
        p->closes = true;
    }
}

/* One that says in the middle of a long message why it does not want it, and goes: what it said
 * counts, not that the connection broke. */
static void test_leaves_with_a_word(void)
{
    static char text[300001];
    memset(text, 'x', sizeof text - 1);
    for (size_t i = 0; i < 60; i++) {
        memcpy(text + i * 5000, "\r\n", 2);
    }
    for (size_t i = 0; i < 2; i++) {
        struct rw_script script = {.ehlo = i == 0 ? "250-mx.example\r\n250 CHUNKING\r\n"
                                                  : "250 mx.example\r\n"};
        struct rw_message m;
        struct smtp_order order = {.id = 0};
        open_one("", &script);
        rw.on_content = leave;
        rw_put(&m, 1, NULL, text);
        CHECK(rw_start(&m, &order) != NULL);
        struct smtp_job *job = rw_until_ended();
        rw_check_ended(job, SMTP_RCPT_FAILED, "reply");
        CHECK_EQ(job->rcpts[0].reply_code, 552);
        CHECK_EQ(rw.servers[0].num_accepted, 1);
        deliver_smtp_give(rw.d, job);
        rw_close();
    }
}

/* One that reads next to nothing, but never stops. */
static void test_slow_reader(void)
{
    static char text[300001];
    struct rw_script script = {.verb = "DATA", .how = RW_SLOW, .answer = "354 go\r\n"};
    struct rw_message m;
    struct smtp_order order = {.id = 0};
    memset(text, 'x', sizeof text - 1);
    for (size_t i = 0; i < 60; i++) {
        memcpy(text + i * 5000, "\r\n", 2);
    }
    open_one("", &script);
    rw_put(&m, 1, NULL, text);
    uint64_t begin_ms = sim_world_now_ms(rw.w);
    CHECK(rw_start(&m, &order) != NULL);
    struct smtp_job *job = rw_until_ended();
    rw_check_ended(job, SMTP_RCPT_DEFERRED, "timeout");
    CHECK(sim_world_now_ms(rw.w) - begin_ms < 60 * 60 * 1000);
    deliver_smtp_give(rw.d, job);
    rw_close();
}

static void test_concurrency(void)
{
    struct rw_script script = {.verb = ".", .how = RW_SILENT};
    struct rw_message m;
    open_one("destination_concurrency = 3\n", &script);
    rw_put(&m, 1, NULL, rw_text);
    for (int i = 0; i < 3; i++) {
        struct smtp_order order = {.id = 0};
        CHECK(rw_start(&m, &order) != NULL);
    }
    struct smtp_order order = {.id = 0};
    CHECK(rw_start(&m, &order) == NULL);
    CHECK_EQ(deliver_smtp_may_start(rw.d, &rw.route, order.domain, 0, NULL), DELIVER_SMTP_FULL);
    struct route_item other = {.kind = ROUTE_TO_MX};
    CHECK_EQ(deliver_smtp_may_start(rw.d, &other, SLICE_LITERAL("other.example"), 0, NULL),
             DELIVER_SMTP_YES);
    rw_run_ms(2000);
    CHECK_EQ(rw.servers[0].num_open_max, 3);
    for (int i = 0; i < 3; i++) {
        struct smtp_job *job = rw_until_ended();
        rw_check_ended(job, SMTP_RCPT_DEFERRED, "timeout");
        deliver_smtp_give(rw.d, job);
    }
    rw_close();
}

/* One that takes no second connection of a client, as next servers for many do: it is not let alone
 * for that, but asked for no second one for an hour. */
static void check_full_server(const char *verb)
{
    static char text[300001];
    struct rw_script script = {
        .verb = verb, .how = RW_ANSWER, .answer = "421 4.7.0 too many\r\n", .from = 2};
    struct smtp_order order = {.id = 0};
    struct rw_message m;
    memset(text, 'x', sizeof text - 1);
    for (size_t i = 0; i < 60; i++) {
        memcpy(text + i * 5000, "\r\n", 2);
    }
    open_one("", &script);
    rw_put(&m, 1, NULL, text);
    CHECK(rw_start(&m, &order) != NULL);
    rw_run_ms(120); /* its content is under way */
    CHECK(rw_start(&m, &order) != NULL);
    struct smtp_job *job = rw_until_ended();
    rw_check_ended(job, SMTP_RCPT_DEFERRED, "reply");
    deliver_smtp_give(rw.d, job);
    CHECK_EQ(rw.servers[0].num_messages, 0);
    CHECK_EQ(deliver_smtp_may_start(rw.d, &rw.route, order.domain, sim_world_now_ms(rw.w), NULL),
             DELIVER_SMTP_FULL);
    job = rw_until_ended();
    rw_check_ended(job, SMTP_RCPT_DELIVERED, "reply");
    deliver_smtp_give(rw.d, job);
    CHECK(rw_start(&m, &order) != NULL);
    CHECK(rw_start(&m, &order) == NULL);
    rw_check_ended(rw_until_ended(), SMTP_RCPT_DELIVERED, "reply");
    CHECK_EQ(rw.servers[0].num_accepted, 2);
    rw_run_ms(60 * 60 * 1000);
    CHECK(rw_start(&m, &order) != NULL);
    CHECK(rw_start(&m, &order) != NULL);
    rw_check_ended(rw_until_ended(), SMTP_RCPT_DELIVERED, "reply");
    rw_check_ended(rw_until_ended(), SMTP_RCPT_DELIVERED, "reply");
    CHECK_EQ(rw.servers[0].num_open_max, 2);
    rw_close();
}

static void test_full_server(void)
{
    check_full_server("CONNECT");
    check_full_server("MAIL");
}

static void test_backoff(void)
{
    uint64_t until_ms, before_ms;
    const struct deliver_reason_row *why = NULL;
    rw_open("retry_min = 60s\n");
    rw_route(ROUTE_TO_SMTP, one_host, 1, 25);
    for (uint64_t delay_s = 60; delay_s <= 960; delay_s *= 2) {
        uint64_t want_s = delay_s < 900 ? delay_s : 900;
        deliver_smtp_give(rw.d, rw_send(1, NULL));
        before_ms = sim_world_now_ms(rw.w);
        until_ms = rw_until_ms();
        CHECK_EQ(deliver_smtp_may_start(rw.d, &rw.route, SLICE_LITERAL(""), before_ms, &why),
                 DELIVER_SMTP_BACK_OFF);
        CHECK(why != NULL && strcmp(why->name, "refused") == 0);
        CHECK(until_ms > before_ms + want_s * 1000 - 1000 && until_ms <= before_ms + want_s * 1000);
        rw_run_ms(until_ms - before_ms);
    }
    deliver_smtp_give(rw.d, rw_send(1, NULL));
    CHECK_EQ(
        deliver_smtp_may_start(rw.d, &rw.route, SLICE_LITERAL(""), sim_world_now_ms(rw.w), NULL),
        DELIVER_SMTP_BACK_OFF);
    deliver_smtp_forget_failures(rw.d);
    rw_server("192.0.2.25", 25, NULL); /* it comes back */
    deliver_smtp_give(rw.d, rw_send(1, NULL));
    CHECK_EQ(rw.servers[0].num_messages, 1);
    CHECK_EQ(deliver_smtp_may_start(rw.d, &rw.route, SLICE_LITERAL(""), 0, NULL), DELIVER_SMTP_YES);
    rw_close();
}

/* More destinations than are remembered, all of them dead: nothing grows, and each is tried. */
static void test_many_destinations(void)
{
    struct rw_message m;
    rw_open("");
    rw_route(ROUTE_TO_MX, NULL, 0, 0);
    rw_put(&m, 1, NULL, rw_text);
    for (int i = 0; i < 3 * BUDGET_DESTINATIONS; i++) {
        char domain[32];
        snprintf(domain, sizeof domain, "d%d.example", i);
        struct smtp_order order = {.domain = slice_of_string(domain)};
        CHECK(rw_start(&m, &order) != NULL);
        struct smtp_job *job = rw_until_ended();
        rw_check_ended(job, SMTP_RCPT_FAILED, "domain-not-found");
        deliver_smtp_give(rw.d, job);
    }
    CHECK_EQ(rw.d->dests.num_used, BUDGET_DESTINATIONS);
    rw_close();
}

/* A new destination has as many connections as are left for others of their kind, whatever it may
 * have; and idle ones give way to it. */
static void test_full(void)
{
    static const char *const slow[] = {"192.0.2.25"}, *const other[] = {"192.0.2.26"};
    struct rw_script script = {.verb = ".", .how = RW_SILENT};
    struct rw_message m;
    uint32_t num = 0;
    rw_open("destination_concurrency = 1000\n");
    rw_server("192.0.2.26", 25, NULL);
    rw_server("192.0.2.25", 25, &script);
    rw_put(&m, 1, NULL, rw_text);
    rw_route(ROUTE_TO_SMTP, other, 1, 25);
    deliver_smtp_give(rw.d, rw_send(1, NULL)); /* leaves an idle connection */
    CHECK_EQ(rw.d->conns.num_used, 1);
    rw_route(ROUTE_TO_SMTP, slow, 1, 25);
    for (;;) {
        struct smtp_order order = {.id = 0};
        if (rw_start(&m, &order) == NULL) {
            break;
        }
        num++;
    }
    CHECK_EQ(num, BUDGET_REMOTE_CONNECTIONS * 3 / 4 / 2);
    CHECK(rw.d->conns.num_used >= num);
    rw_close(); /* jobs under way are cut */
}

static void test_stop(void)
{
    open_one("", NULL);
    deliver_smtp_give(rw.d, rw_send(1, NULL));
    struct rw_message m;
    struct smtp_order order = {.id = 0};
    rw_put(&m, 1, NULL, rw_text);
    CHECK(rw_start(&m, &order) != NULL);
    deliver_smtp_stop(rw.d);
    CHECK(!deliver_smtp_is_idle(rw.d));
    struct smtp_job *job = rw_until_ended();
    rw_check_ended(job, SMTP_RCPT_DELIVERED, "reply"); /* what was begun is finished */
    deliver_smtp_give(rw.d, job);
    CHECK(rw_start(&m, &order) == NULL);
    rw_run_ms(1000);
    CHECK(deliver_smtp_is_idle(rw.d));
    CHECK(strstr(rw.servers[0].commands, "QUIT\n") != NULL);
    rw_close();
}

/* What no server has heard of does not hold a stop up: an address that is silent, one that greets
 * nobody, a name server that says nothing; and who loses its server then looks for no other. */
static void test_stop_while_looking(void)
{
    static const char *const hosts[] = {"192.0.2.25", "192.0.2.26"};
    const struct net_addr nowhere = rw_addr("192.0.2.25", 25);
    struct rw_script silent = {.verb = "CONNECT", .how = RW_SILENT};
    struct smtp_order order = {.domain = SLICE_LITERAL("d.example")};
    struct rw_message m;
    for (int how = 0; how < 3; how++) {
        rw_open("");
        if (how == 0) {
            sim_blackhole(rw.w, &nowhere);
        } else {
            rw_server("192.0.2.25", 25, &silent);
        }
        rw.dns_is_silent = how == 2;
        rw_route(how == 2 ? ROUTE_TO_MX : ROUTE_TO_SMTP, hosts, how == 2 ? 0 : 2, 25);
        rw_put(&m, 1, NULL, rw_text);
        CHECK(rw_start(&m, &order) != NULL);
        rw_run_ms(100);
        deliver_smtp_stop(rw.d);
        struct smtp_job *job = deliver_smtp_ended(rw.d);
        CHECK(job != NULL);
        rw_check_ended(job, SMTP_RCPT_DEFERRED, "stopping");
        deliver_smtp_give(rw.d, job);
        CHECK(deliver_smtp_is_idle(rw.d));
        rw_close();
    }
}

static void test_stop_and_lost(void)
{
    static const char *const hosts[] = {"192.0.2.25", "192.0.2.26"};
    struct rw_script silent = {.verb = "MAIL", .how = RW_SILENT};
    struct smtp_order order = {.id = 0};
    struct rw_message m;
    rw_open("");
    rw_server("192.0.2.25", 25, &silent);
    rw_server("192.0.2.26", 25, NULL);
    rw_route(ROUTE_TO_SMTP, hosts, 2, 25);
    rw_put(&m, 1, NULL, rw_text);
    CHECK(rw_start(&m, &order) != NULL);
    rw_run_ms(1000);
    CHECK(strstr(rw.servers[0].commands, "MAIL") != NULL);
    deliver_smtp_stop(rw.d);
    struct smtp_job *job = rw_until_ended();
    rw_check_ended(job, SMTP_RCPT_DEFERRED, "timeout");
    deliver_smtp_give(rw.d, job);
    CHECK_EQ(rw.servers[1].num_messages, 0);
    rw_close();
}

static const struct test_case cases[] = {
    {"delivers", test_delivers},
    {"lmtp", test_lmtp},
    {"lmtp_socket", test_lmtp_socket},
    {"no_dsn", test_no_dsn},
    {"long_content", test_long_content},
    {"rough", test_rough},
    {"failover", test_failover},
    {"host_of_reason", test_host_of_reason},
    {"some_refused", test_some_refused},
    {"many_rcpts", test_many_rcpts},
    {"few_at_a_time", test_few_at_a_time},
    {"refused_with_many", test_refused_with_many},
    {"many_refused", test_many_refused},
    {"bad_address", test_bad_address},
    {"offers", test_offers},
    {"some_need_utf8", test_some_need_utf8},
    {"reuse", test_reuse},
    {"mail_max", test_mail_max},
    {"reload_while_busy", test_reload_while_busy},
    {"stale_reuse", test_stale_reuse},
    {"late_answers", test_late_answers},
    {"deaf", test_deaf},
    {"full-server", test_full_server},
    {"leaves-with-a-word", test_leaves_with_a_word},
    {"slow_reader", test_slow_reader},
    {"concurrency", test_concurrency},
    {"backoff", test_backoff},
    {"many_destinations", test_many_destinations},
    {"full", test_full},
    {"stop", test_stop},
    {"stop_while_looking", test_stop_while_looking},
    {"stop_and_lost", test_stop_and_lost},
};

TEST_MAIN(cases)

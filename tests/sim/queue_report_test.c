/* Reports of the queue in a simulated world: who is told what, once, and nothing is lost. */
#include <stdarg.h>

#include "queue_world.h"

#define MINUTE_MS UINT64_C(60000)
#define HOUR_MS   (60 * MINUTE_MS)
#define DAY_MS    (24 * HOUR_MS)

static struct queue_world *w;

static void begin(void)
{
    w = world_new(2, NULL);
    world_far(w, "good.example", FAR_ACCEPT);
    world_far(w, "bad.example", FAR_FAIL);
    world_far(w, "dead.example", FAR_DEAD);
    world_far(w, "nodsn.example", FAR_ACCEPT)->is_without_dsn = true;
}

static void end(void)
{
    world_check_empty(w);
    world_free(w);
}

static uint64_t put(const char *sender, uint8_t notify, uint32_t num, ...)
{
    const char *rcpts[8];
    struct put p = {.sender = sender, .rcpts = rcpts, .num_rcpts = num, .notify = notify};
    va_list list;
    va_start(list, num);
    for (uint32_t i = 0; i < num; i++) {
        rcpts[i] = va_arg(list, const char *);
    }
    va_end(list);
    p.envid = "E-1";
    return world_put(w, &p);
}

/* One report for all recipients that failed, to the sender here; others are not in it. */
static void test_failure_to_local_sender(void)
{
    begin();
    world_start_ready(w);
    CHECK(put("ann@example.org", 0, 4, "a@bad.example", "b@good.example", "c@bad.example",
              "joe@example.org") != 0);
    CHECK(world_run(w, MINUTE_MS, 10000));
    CHECK_EQ(world_mails(w, "ann", NULL), 1);
    CHECK_EQ(world_mails(w, "ann", "Return-Path: <>\n"), 1);
    CHECK_EQ(world_mails(w, "ann", "a@bad.example"), 1);
    CHECK_EQ(world_mails(w, "ann", "c@bad.example"), 1);
    CHECK_EQ(world_mails(w, "ann", "b@good.example"), 0);
    CHECK_EQ(world_mails(w, "ann", "Action: failed\n"), 1);
    CHECK_EQ(world_mails(w, "ann", "Status: 5.1.1\n"), 1);
    CHECK_EQ(world_mails(w, "ann", "550 5.1.1 no such user"), 1);
    CHECK_EQ(world_mails(w, "ann", "Original-Envelope-Id: E-1\n"), 1);
    CHECK_EQ(world_mails(w, "ann", "Subject: test\n"), 1);
    CHECK_EQ(world_mails(w, "joe", NULL), 1);
    CHECK_EQ(sim_log_count(w->host, "report id="), 1);
    CHECK_EQ(sim_log_count(w->host, "result=written rcpts=2"), 1);
    end();
}

static void test_failure_to_remote_sender(void)
{
    begin();
    world_start_ready(w);
    CHECK(put("s@good.example", 0, 1, "a@bad.example") != 0);
    CHECK(world_run(w, MINUTE_MS, 10000));
    CHECK_EQ(w->smtp->num_taken, 1); /* the report */
    CHECK_EQ(sim_log_count(w->host, "report id="), 1);
    end();
}

/* The report fails in turn: by default a log line, by option once to the postmaster. */
static void test_double_bounce(void)
{
    for (int option = 0; option < 2; option++) {
        begin();
        if (option == 1) {
            world_option(w, "double_bounce_to_postmaster = yes");
        }
        world_start_ready(w);
        CHECK(put("s@bad.example", 0, 1, "a@bad.example") != 0);
        CHECK(put("", 0, 1, "b@bad.example") != 0);
        CHECK(put("nobody@example.org", 0, 1, "c@bad.example") != 0);
        CHECK(world_run(w, MINUTE_MS, 10000));
        CHECK_EQ(world_mails(w, "postmaster", NULL), option == 1 ? 3 : 0);
        CHECK_EQ(world_mails(w, "postmaster", "b@bad.example"), option);
        CHECK_EQ(world_mails(w, "postmaster", "a message that you sent"), 0);
        CHECK_EQ(sim_log_count(w->host, "result=dropped reason=null-sender"), option == 1 ? 0 : 2);
        CHECK_EQ(sim_log_count(w->host, "result=dropped reason=unknown-sender"),
                 option == 1 ? 0 : 1);
        end();
    }
}

/* What is reported to the postmaster and fails again is not reported once more. */
static void test_postmaster_is_asked_once(void)
{
    begin();
    world_option(w, "double_bounce_to_postmaster = yes");
    world_option(w, "retry_give_up = 1h");
    world_start_ready(w);
    sim_mailbox_fail_begin(w->host, 1, 1000000, ERR_NO_SPACE);
    CHECK(put("", 0, 1, "b@bad.example") != 0);
    CHECK(world_run(w, 3 * HOUR_MS, 10000));
    CHECK_EQ(sim_log_count(w->host, "result=written"), 1);
    CHECK_EQ(sim_log_count(w->host, "result=dropped reason=null-sender"), 1);
    end();
}

struct notify_row {
    const char *rcpt;
    uint8_t notify;
    const char *action; /* what ann is told; NULL: nothing */
};

static void test_notify(void)
{
    static const struct notify_row rows[] = {
        {"a@bad.example", 0, "Action: failed\n"},
        {"a@bad.example", ENVELOPE_FAILURE, "Action: failed\n"},
        {"a@bad.example", ENVELOPE_NEVER, NULL},
        {"a@bad.example", ENVELOPE_DELAY, NULL},
        {"a@bad.example", ENVELOPE_SUCCESS, NULL},
        {"a@bad.example", ENVELOPE_SUCCESS | ENVELOPE_FAILURE, "Action: failed\n"},
        {"joe@example.org", 0, NULL},
        {"joe@example.org", ENVELOPE_FAILURE, NULL},
        {"joe@example.org", ENVELOPE_NEVER, NULL},
        {"joe@example.org", ENVELOPE_SUCCESS, "Action: delivered\n"},
        {"a@good.example", ENVELOPE_SUCCESS, NULL}, /* the peer will */
        {"a@nodsn.example", ENVELOPE_SUCCESS, "Action: relayed\n"},
        {"a@nodsn.example", ENVELOPE_FAILURE, NULL},
        {"a@dead.example", 0, "Action: delayed\n"},
        {"a@dead.example", ENVELOPE_DELAY, "Action: delayed\n"},
        {"a@dead.example", ENVELOPE_FAILURE, NULL},
        {"a@dead.example", ENVELOPE_NEVER, NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        begin();
        world_start_ready(w);
        CHECK(put("ann@example.org", rows[i].notify, 1, rows[i].rcpt) != 0);
        CHECK(world_run(w, 5 * HOUR_MS, 10000));
        uint32_t num = world_mails(w, "ann", NULL);
        bool is_told = rows[i].action != NULL && world_mails(w, "ann", rows[i].action) == 1;
        if (num != (rows[i].action != NULL) || is_told != (rows[i].action != NULL)) {
            fprintf(stderr, "row %zu: %u reports\n", i, num);
            CHECK(false);
        }
        w->smtp->fars[2].mode = FAR_ACCEPT;
        CHECK(world_run(w, 12 * HOUR_MS, 10000));
        end();
    }
}

/* What is not tried, as its destination could not be reached for another message, is told likewise.
 */
static void test_delay_without_a_try(void)
{
    begin();
    world_start_ready(w);
    w->smtp->fars[2].back_off_until_ms = UINT64_MAX;
    CHECK(put("ann@example.org", 0, 1, "a@dead.example") != 0);
    CHECK(world_run(w, 5 * HOUR_MS, 10000));
    CHECK_EQ(w->smtp->fars[2].num_started, 0);
    CHECK_EQ(world_mails(w, "ann", "Reason: It takes no connections.\n"), 1);
    CHECK_EQ(world_mails(w, "ann", "Status: 4.4.2\n"), 1);
    w->smtp->fars[2].back_off_until_ms = 0;
    w->smtp->fars[2].mode = FAR_ACCEPT;
    CHECK(world_run(w, 12 * HOUR_MS, 10000));
    end();
}

/* Of a Maildir as well it is told in a sentence why it has not got the mail. */
static void test_delay_of_a_maildir(void)
{
    begin();
    world_start_ready(w);
    sim_mailbox_fail_begin(w->host, 1, 1000000, ERR_NO_SPACE);
    CHECK(put("ann@example.org", 0, 1, "joe@example.org") != 0);
    CHECK(world_run(w, 4 * HOUR_MS + MINUTE_MS, 10000));
    sim_mailbox_fail_begin(w->host, 0, 0, ERR_OK);
    CHECK(world_run(w, 12 * HOUR_MS, 10000));
    CHECK_EQ(world_mails(w, "ann", "Reason: There is no room for more mail.\n"), 1);
    CHECK_EQ(world_mails(w, "ann", "Status: 4.2.2\n"), 1);
    CHECK_EQ(world_mails(w, "joe", NULL), 1);
    end();
}

/* A delay is told once, also when the server starts anew meanwhile; then the end of it. */
static void test_delay_then_expiry(void)
{
    begin();
    world_start_ready(w);
    CHECK(put("ann@example.org", 0, 2, "a@dead.example", "joe@example.org") != 0);
    CHECK(world_run(w, 4 * HOUR_MS - MINUTE_MS, 10000));
    CHECK_EQ(world_mails(w, "ann", NULL), 0);
    CHECK(world_run(w, 2 * MINUTE_MS, 10000));
    CHECK_EQ(world_mails(w, "ann", "Action: delayed\n"), 1);
    for (int i = 0; i < 10; i++) {
        CHECK(world_run(w, 3 * HOUR_MS, 10000));
        CHECK(world_stop(w));
        sim_world_advance(w->world, 30 * DAY_MS); /* switched off */
        world_start_ready(w);
    }
    CHECK_EQ(world_mails(w, "ann", NULL), 1);
    CHECK(world_run(w, 85 * HOUR_MS, 10000));
    CHECK_EQ(world_mails(w, "ann", NULL), 1);
    CHECK_EQ(world_num_live(w), 1);
    CHECK(world_run(w, 2 * HOUR_MS, 10000));
    CHECK_EQ(world_mails(w, "ann", NULL), 2);
    CHECK_EQ(world_mails(w, "ann", "Status: 5.4.7\n"), 1);
    CHECK_EQ(sim_log_count(w->host, "result=expired reason=connection-refused"), 1);
    end();
}

/* A destination that comes back just in time gets all that had been waiting for it, as fast as it
 * takes it. */
static void test_back_before_expiry(void)
{
    begin();
    world_option(w, "retry_give_up = 1d");
    world_start_ready(w);
    for (int i = 0; i < 12; i++) {
        CHECK(put("ann@example.org", ENVELOPE_FAILURE, 1, "a@dead.example") != 0);
    }
    CHECK(world_run(w, 24 * HOUR_MS - MINUTE_MS, 100000));
    CHECK_EQ(world_num_live(w), 12);
    w->smtp->fars[2].mode = FAR_ACCEPT;
    w->smtp->fars[2].back_off_until_ms = 0;
    w->smtp->fars[2].jobs_max = 1;
    w->smtp->fars[2].job_ms = 5000;
    CHECK(world_run(w, HOUR_MS, 100000));
    CHECK_EQ(world_mails(w, "ann", NULL), 0);
    CHECK_EQ(w->smtp->num_taken, 12);
    end();
}

/* One that hangs keeps nothing for much longer. */
static void test_expiry_of_blocked(void)
{
    begin();
    world_option(w, "retry_give_up = 1d");
    world_start_ready(w);
    w->smtp->fars[2].mode = FAR_HANG;
    w->smtp->fars[2].jobs_max = 1;
    for (int i = 0; i < 12; i++) {
        CHECK(put("ann@example.org", ENVELOPE_FAILURE, 1, "a@dead.example") != 0);
    }
    CHECK(world_run(w, 32 * HOUR_MS, 100000));
    CHECK_EQ(world_mails(w, "ann", NULL), 12);
    CHECK_EQ(world_mails(w, "ann", "Status: 5.4.7\n"), 12);
    end();
}

/* Mail in a loop, for nowhere, and for a domain without a route. */
static void test_no_way(void)
{
    static char header[110 * 40];
    begin();
    world_option(w, "route_list = void.example discard-with-bounce ; *.example mx");
    world_start_ready(w);
    for (int i = 0; i <= 100; i++) {
        strcat(header,
               i % 2 == 0 ? "Received: from a by b; now\r\n" : "RECEIVED: by c;\r\n\tx\r\n");
    }
    strcat(header, "Subject: round\r\n\r\nReceived: not one\r\n");
    const char *const local = "joe@example.org";
    struct put p = {.sender = "ann@example.org",
                    .rcpts = &local,
                    .num_rcpts = 1,
                    .content = header,
                    .flags = ENVELOPE_RET_FULL};
    CHECK(world_put(w, &p) != 0);
    CHECK(world_run(w, MINUTE_MS, 10000));
    CHECK_EQ(world_mails(w, "joe", NULL), 0);
    CHECK_EQ(world_mails(w, "ann", "Status: 5.4.6\n"), 1);
    CHECK_EQ(world_mails(w, "ann", "Received: not one\n"), 0);
    p.content = strchr(header, '\n') + 1; /* one less */
    CHECK(world_put(w, &p) != 0);
    CHECK(world_run(w, MINUTE_MS, 10000));
    CHECK_EQ(world_mails(w, "joe", NULL), 1);
    CHECK(put("ann@example.org", 0, 1, "x@void.example") != 0);
    CHECK(put("ann@example.org", 0, 1, "x@elsewhere.test") != 0);
    CHECK(world_run(w, MINUTE_MS, 10000));
    CHECK_EQ(world_mails(w, "ann", "Status: 5.7.1\n"), 1);
    CHECK_EQ(world_mails(w, "ann", "Status: 5.4.4\n"), 1);
    CHECK_EQ(sim_log_count(w->host, "result=discarded"), 1);
    end();
}

/* More recipients fail than there is memory to remember: several reports, each told once. */
static void test_more_failures_than_items(void)
{
    static char names[300][32];
    static const char *rcpts[300];
    struct put p = {.sender = "ann@example.org", .rcpts = rcpts, .num_rcpts = 300};
    for (int i = 0; i < 300; i++) {
        snprintf(names[i], sizeof names[i], "u%03d@bad.example", i);
        rcpts[i] = names[i];
    }
    begin();
    world_start_ready(w);
    CHECK(world_put(w, &p) != 0);
    CHECK(world_run(w, DAY_MS, 100000));
    uint32_t num = world_mails(w, "ann", NULL);
    CHECK(num >= 5 && num <= 10);
    for (int i = 0; i < 300; i++) {
        CHECK_EQ(world_mails(w, "ann", names[i]), 1);
    }
    end();
}

/* Those who got it, and of whom nobody wants to hear, are not in the way of the one that failed. */
static void test_failure_among_many(void)
{
    static char names[100][32];
    static const char *rcpts[101];
    struct put p = {.sender = "ann@example.org", .rcpts = rcpts, .num_rcpts = 101};
    for (int i = 0; i < 100; i++) {
        snprintf(names[i], sizeof names[i], "u%03d@nodsn.example", i);
        rcpts[i] = names[i];
    }
    rcpts[100] = "a@bad.example";
    begin();
    w->smtp->fars[1].job_ms = 1000;
    world_start_ready(w);
    CHECK(world_put(w, &p) != 0);
    CHECK(world_run(w, MINUTE_MS, 100000));
    CHECK_EQ(world_mails(w, "ann", "Action: failed\n"), 1);
    CHECK_EQ(world_mails(w, "ann", "nodsn"), 0);
    end();
}

/* RET=FULL and a large message: its header only, above what the composer returns. */
static void test_returned_content(void)
{
    static const uint32_t fillers[] = {10, 1000, 5000};
    const char *const rcpt = "a@bad.example";
    for (size_t i = 0; i < 3; i++) {
        struct put p = {.sender = "ann@example.org",
                        .rcpts = &rcpt,
                        .num_rcpts = 1,
                        .flags = ENVELOPE_RET_FULL,
                        .num_filler = fillers[i]};
        begin();
        world_start_ready(w);
        CHECK(world_put(w, &p) != 0);
        CHECK(world_run(w, MINUTE_MS, 10000));
        CHECK_EQ(world_mails(w, "ann", "Subject: test\n"), 1);
        CHECK_EQ(world_mails(w, "ann", "01234567890123456789"), fillers[i] < 5000);
        end();
    }
}

/* SMTPUTF8 that was asked for makes a report one of those that few understand only if something is
 * beyond ASCII. */
static void test_utf8(void)
{
    static const struct {
        const char *sender, *rcpt, *content;
        bool is_global;
    } rows[] = {
        {"ann@example.org", "a@bad.example", "Subject: x\r\n\r\n\xc3\xa9\r\n", false},
        {"ann@example.org", "a@bad.example", "Subject: \xc3\xa9\r\n\r\nx\r\n", true},
        {"ann@example.org", "\xc3\xa9@bad.example", "Subject: x\r\n\r\nx\r\n", true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct put p = {.sender = rows[i].sender,
                        .rcpts = &rows[i].rcpt,
                        .num_rcpts = 1,
                        .flags = ENVELOPE_SMTPUTF8,
                        .content = rows[i].content};
        begin();
        world_start_ready(w);
        CHECK(world_put(w, &p) != 0);
        CHECK(world_run(w, MINUTE_MS, 10000));
        CHECK_EQ(world_mails(w, "ann", "Action: failed\n"), 1);
        CHECK_EQ(world_mails(w, "ann", "global"), rows[i].is_global);
        CHECK_EQ(world_mails(w, "ann", "8bit"), rows[i].is_global);
        end();
    }
}

/* While a report cannot be written, what it is about is not final: it fails again, and is told. */
static void test_no_report_now(void)
{
    begin();
    world_start_ready(w);
    sim_host_set_entropy_failing(w->host, true);
    CHECK(put("ann@example.org", 0, 1, "a@bad.example") != 0);
    CHECK(world_run(w, HOUR_MS, 10000));
    CHECK(sim_log_count(w->host, "result=deferred reason=no-entropy") >= 2);
    CHECK_EQ(world_num_live(w), 1);
    CHECK_EQ(world_mails(w, "ann", NULL), 0);
    sim_host_set_entropy_failing(w->host, false);
    CHECK(world_run(w, 2 * HOUR_MS, 10000));
    CHECK_EQ(world_mails(w, "ann", "a@bad.example"), 1);
    end();
}

/* Nor is one to the postmaster, about what came from nobody, forgotten because of that. */
static void test_no_last_report_now(void)
{
    begin();
    world_option(w, "double_bounce_to_postmaster = yes");
    world_start_ready(w);
    sim_host_set_entropy_failing(w->host, true);
    CHECK(put("", 0, 1, "b@bad.example") != 0);
    CHECK(world_run(w, HOUR_MS, 10000));
    CHECK(sim_log_count(w->host, "result=deferred reason=no-entropy") >= 2);
    CHECK_EQ(sim_log_count(w->host, "result=dropped"), 0);
    CHECK_EQ(world_num_live(w), 1);
    sim_host_set_entropy_failing(w->host, false);
    CHECK(world_run(w, 2 * HOUR_MS, 10000));
    CHECK_EQ(world_mails(w, "postmaster", "b@bad.example"), 1);
    end();
}

/* Options are read again and again while a long report is written: none of their texts stays. */
static void test_reload_meanwhile(void)
{
    static char names[300][200], texts[2][sizeof w->conf_text];
    static const char *rcpts[300];
    struct put p = {.sender = "ann@example.org", .rcpts = rcpts, .num_rcpts = 300};
    for (int i = 0; i < 300; i++) {
        snprintf(names[i], sizeof names[i], "%0150d@bad.example", i);
        rcpts[i] = names[i];
    }
    begin();
    w->limits.num_items = 1000;
    for (int i = 0; i < 2; i++) {
        const char *rest = strchr(w->conf_text, '\n');
        snprintf(texts[i], sizeof texts[i], "primary_hostname = %s%s",
                 i == 0 ? "mx.example.org" : "another.example.net", rest);
    }
    world_start_ready(w);
    for (int i = 0; i < 3; i++) {
        CHECK(world_put(w, &p) != 0);
    }
    for (int i = 0; i < 5000 && world_mails(w, "ann", NULL) < 3; i++) {
        world_step(w);
        memcpy(w->conf_text, texts[i % 2], sizeof texts[0]);
        world_read_conf(w);
    }
    CHECK(world_run(w, MINUTE_MS, 10000));
    CHECK_EQ(world_mails(w, "ann", NULL), 3);
    CHECK_EQ(world_mails(w, "ann", "Reporting-MTA: dns; mx.example.org\n") +
                 world_mails(w, "ann", "Reporting-MTA: dns; another.example.net\n"),
             3);
    end();
}

/* Nor is a delay told of before that could be written down. */
static void test_no_warning_now(void)
{
    begin();
    world_start_ready(w);
    CHECK(put("ann@example.org", 0, 1, "a@dead.example") != 0);
    CHECK(world_run(w, 3 * HOUR_MS, 10000));
    sim_host_set_entropy_failing(w->host, true);
    CHECK(world_run(w, 2 * HOUR_MS, 10000));
    CHECK_EQ(sim_log_count(w->host, "result=deferred reason=no-entropy"), 1);
    CHECK_EQ(world_mails(w, "ann", NULL), 0);
    sim_host_set_entropy_failing(w->host, false);
    CHECK(world_run(w, 12 * HOUR_MS, 10000));
    CHECK_EQ(world_mails(w, "ann", "Action: delayed\n"), 1);
    w->smtp->fars[2].mode = FAR_ACCEPT;
    CHECK(world_run(w, 12 * HOUR_MS, 10000));
    CHECK_EQ(world_mails(w, "ann", NULL), 1);
    end();
}

static const struct test_case cases[] = {
    {"failure-to-local-sender", test_failure_to_local_sender},
    {"failure-to-remote-sender", test_failure_to_remote_sender},
    {"double-bounce", test_double_bounce},
    {"postmaster-is-asked-once", test_postmaster_is_asked_once},
    {"notify", test_notify},
    {"delay-of-a-maildir", test_delay_of_a_maildir},
    {"delay-without-a-try", test_delay_without_a_try},
    {"delay-then-expiry", test_delay_then_expiry},
    {"back-before-expiry", test_back_before_expiry},
    {"expiry-of-blocked", test_expiry_of_blocked},
    {"no-way", test_no_way},
    {"more-failures-than-items", test_more_failures_than_items},
    {"failure-among-many", test_failure_among_many},
    {"returned-content", test_returned_content},
    {"utf8", test_utf8},
    {"no-report-now", test_no_report_now},
    {"no-last-report-now", test_no_last_report_now},
    {"no-warning-now", test_no_warning_now},
    {"reload-meanwhile", test_reload_meanwhile},
};

TEST_MAIN(cases)

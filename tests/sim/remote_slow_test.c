/* Sending, in simulated worlds: destinations that hang leave connections to others. */
#include "remote_world.h"

#define NUM_SLOW 36

/* Tries to start num_rounds jobs for each of the first num destinations; how many it could. */
static uint32_t start_slow(const struct rw_message *m, uint32_t num, uint32_t num_rounds)
{
    static const char *const slow[] = {"192.0.2.25"};
    uint32_t num_started = 0;
    for (uint32_t i = 0; i < num * num_rounds; i++) {
        struct smtp_order order = {.id = 0};
        rw_route(ROUTE_TO_SMTP, slow, 1, (uint16_t)(1000 + i % num));
        num_started += rw_start(m, &order) != NULL;
    }
    return num_started;
}

static void open_slow(enum rw_how how)
{
    struct rw_script script = {.verb = ".", .how = how, .answer = "250 2.0.0 OK\r\n"};
    rw_open("");
    for (uint16_t i = 0; i < NUM_SLOW; i++) {
        rw_server("192.0.2.25", (uint16_t)(1000 + i), &script);
    }
    rw_server("192.0.2.26", 25, NULL);
}

/* Another destination's message goes through at once. */
static void check_other_is_served(void)
{
    static const char *const other[] = {"192.0.2.26"};
    rw_route(ROUTE_TO_SMTP, other, 1, 25);
    struct smtp_job *job = rw_send(1, NULL);
    CHECK_EQ(job->rcpts[0].result, SMTP_RCPT_DELIVERED);
    deliver_smtp_give(rw.d, job);
}

/* Seven destinations that hang, with mail for more connections than there are: they share, and some
 * are left, a quarter of them for those that are known to be prompt. */
static void test_share(void)
{
    struct rw_message m;
    open_slow(RW_SILENT);
    check_other_is_served();
    rw_run_ms(60000);
    rw_put(&m, 1, NULL, rw_text);
    uint32_t num = start_slow(&m, 7, 6);
    CHECK_EQ(num, 7 * (BUDGET_REMOTE_CONNECTIONS * 3 / 4) / 8);
    rw_run_ms(5000);
    check_other_is_served();
    rw_close();
}

/* More slow destinations than there are connections: they leave a quarter to others, when they are
 * new, which anybody can name, and once they are known. */
static void test_many(void)
{
    enum { NUM = BUDGET_REMOTE_CONNECTIONS * 3 / 4 };
    struct rw_message m;
    open_slow(RW_LATE);
    check_other_is_served();
    rw_run_ms(60000);
    rw_put(&m, 1, NULL, rw_text);
    for (int round = 0; round < 2; round++) {
        CHECK_EQ(start_slow(&m, NUM_SLOW, 1), NUM);
        rw_run_ms(5000);
        check_other_is_served();
        for (uint32_t i = 0; i < NUM; i++) {
            deliver_smtp_give(rw.d, rw_until_ended());
        }
        rw_run_ms(60000); /* their connections end */
    }
    rw_close();
}

/* A destination that was prompt may have the last quarter too. */
static void test_prompt(void)
{
    static const char *const other[] = {"192.0.2.26"};
    struct rw_message m;
    open_slow(RW_SILENT);
    check_other_is_served();
    rw_run_ms(60000);
    rw_put(&m, 1, NULL, rw_text);
    uint32_t num = start_slow(&m, NUM_SLOW, 1);
    rw_route(ROUTE_TO_SMTP, other, 1, 25);
    for (uint32_t i = 0; i < BUDGET_REMOTE_CONNECTIONS; i++) {
        struct smtp_order order = {.id = 0};
        num += rw_start(&m, &order) != NULL;
    }
    CHECK(num > BUDGET_REMOTE_CONNECTIONS * 3 / 4 && num < BUDGET_REMOTE_CONNECTIONS);
    rw_close();
}

/* One that takes a recipient a minute, each in a connection of its own: what is left when the job
 * has lasted long enough waits, but nothing has failed there. */
static void test_slow_limits(void)
{
    static const char *const host[] = {"192.0.2.25"};
    struct rw_script script = {.verb = ".",
                               .how = RW_LATE,
                               .answer = "250 ok\r\n",
                               .ehlo = "250-mx.example\r\n250 LIMITS MAILMAX=1 RCPTMAX=1\r\n"};
    rw_open("");
    rw_server("192.0.2.25", 25, &script);
    rw_route(ROUTE_TO_SMTP, host, 1, 25);
    struct smtp_job *job = rw_send(20, NULL);
    CHECK_EQ(job->rcpts[0].result, SMTP_RCPT_DELIVERED);
    CHECK_EQ(job->rcpts[19].result, SMTP_RCPT_DEFERRED);
    CHECK(strcmp(job->reason, "out-of-time") == 0);
    CHECK(slice_equal(smtp_rcpt_text(job, &job->rcpts[19]),
                      SLICE_LITERAL("There was no time for it in this try.")));
    deliver_smtp_give(rw.d, job);
    CHECK_EQ(deliver_smtp_may_start(rw.d, &rw.route, SLICE_LITERAL("example.org"),
                                    sim_world_now_ms(rw.w), NULL),
             DELIVER_SMTP_YES);
    rw_close();
}

/* Several connections that fail together are one failure. */
static void test_backoff_of_many(void)
{
    static const char *const hosts[] = {"192.0.2.25"};
    struct rw_message m[4];
    rw_open("retry_min = 60s\n");
    rw_route(ROUTE_TO_SMTP, hosts, 1, 25);
    for (int i = 0; i < 4; i++) {
        rw_put(&m[i], 1, NULL, rw_text);
    }
    for (int i = 0; i < 4; i++) {
        struct smtp_order order = {.id = 0};
        CHECK(rw_start(&m[i], &order) != NULL);
    }
    for (int i = 0; i < 4; i++) {
        struct smtp_job *job = rw_until_ended();
        rw_check_ended(job, SMTP_RCPT_DEFERRED, "refused");
        deliver_smtp_give(rw.d, job);
    }
    CHECK_EQ(
        deliver_smtp_may_start(rw.d, &rw.route, SLICE_LITERAL(""), sim_world_now_ms(rw.w), NULL),
        DELIVER_SMTP_BACK_OFF);
    CHECK(rw_until_ms() <= sim_world_now_ms(rw.w) + 60000);
    rw_close();
}

/* What comes while a destination is not tried is not sent back before it is. */
static void test_backoff_of_the_young(void)
{
    static const char *const hosts[] = {"192.0.2.25"};
    rw_open("retry_min = 1h\nretry_give_up = 60s\n");
    rw_route(ROUTE_TO_SMTP, hosts, 1, 25);
    deliver_smtp_give(rw.d, rw_send(1, NULL));
    CHECK_EQ(
        deliver_smtp_may_start(rw.d, &rw.route, SLICE_LITERAL(""), sim_world_now_ms(rw.w), NULL),
        DELIVER_SMTP_BACK_OFF);
    CHECK(rw_until_ms() <= sim_world_now_ms(rw.w) + 60000);
    rw_close();
}

/* A message that its server cannot stand says nothing about that server: others need not wait. */
static void test_backoff_by_one_message(void)
{
    static const struct {
        const char *verb, *answer;
        enum deliver_smtp_may want;
    } rows[] = {
        {"DATA", NULL, DELIVER_SMTP_YES},
        {"MAIL", NULL, DELIVER_SMTP_BACK_OFF},
        {"MAIL", "530 5.7.0 log in\r\n", DELIVER_SMTP_BACK_OFF},
        {"MAIL", "452 4.3.1 full\r\n", DELIVER_SMTP_YES},
        {"MAIL", "421 4.3.2 no\r\n", DELIVER_SMTP_YES},
    };
    static const char *const hosts[] = {"192.0.2.25", "192.0.2.9"}; /* which refuses */
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct rw_script script = {.verb = rows[i].verb,
                                   .how = rows[i].answer != NULL ? RW_ANSWER : RW_CLOSE,
                                   .answer = rows[i].answer};
        rw_open("");
        rw_server("192.0.2.25", 25, &script);
        rw_route(ROUTE_TO_SMTP, hosts, 2, 25);
        struct smtp_job *job = rw_send(1, NULL);
        CHECK_EQ(job->rcpts[0].result, SMTP_RCPT_DEFERRED);
        deliver_smtp_give(rw.d, job);
        CHECK_EQ(deliver_smtp_may_start(rw.d, &rw.route, SLICE_LITERAL(""), sim_world_now_ms(rw.w),
                                        NULL),
                 rows[i].want);
        rw_close();
    }
}

static const struct test_case cases[] = {
    {"share", test_share},
    {"many", test_many},
    {"prompt", test_prompt},
    {"slow_limits", test_slow_limits},
    {"backoff_of_many", test_backoff_of_many},
    {"backoff_by_one_message", test_backoff_by_one_message},
    {"backoff_of_the_young", test_backoff_of_the_young},
};

TEST_MAIN(cases)

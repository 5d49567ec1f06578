/* The whole receiving path in a simulated world: what was answered 250 is in the Maildir once,
 * whatever moment the power goes. */
#include "mta_site.h"

static struct test_site site;
static struct site_client clients[128];

static void check_copies(uint32_t num_clients, uint32_t num_messages, const char *when, uint64_t n)
{
    for (uint32_t c = 0; c < num_clients; c++) {
        for (uint32_t k = 0; k < num_messages; k++) {
            uint32_t mark = c * 100 + k;
            uint32_t num = site_copies(&site, mark);
            bool fine = site.acked[mark] ? num == 1 : num <= (site.sent[mark] ? 1u : 0u);
            if (!fine) {
                fprintf(stderr, "%s %llu: message %u: acked %d, copies %u\n", when,
                        (unsigned long long)n, mark, site.acked[mark], num);
            }
            CHECK(fine);
        }
    }
}

static void test_one_message(void)
{
    site_open(&site, 1, NULL);
    site_start(&site);
    client_connect(&site, &clients[0], 0, 1, 500);
    CHECK(site_run(&site, clients, 1, 2000));
    CHECK_EQ(site.num_acked, 1);
    CHECK(site_settle(&site, 2000));
    CHECK(site_stop(&site, 2000));
    check_copies(1, 1, "one message", 0);
    CHECK_EQ(sim_log_count(site.host, "message id="), 1);
    CHECK_EQ(sim_log_count(site.host, "result=delivered"), 1);
    CHECK_EQ(sim_log_count(site.host, "connection peer="), 1);
    site_close(&site);
}

/* Runs num_clients clients with that many messages each against a fresh server, power off at
 * operation at_op of the store or of the mailboxes (0: never); then crashes, starts again, and lets
 * deliveries finish. */
static void run_with_crash(uint64_t store_op, uint64_t mailbox_op, enum sim_crash how,
                           uint32_t num_clients, uint32_t num_messages, size_t body_len)
{
    struct sim_store_conf conf = {.sync_ms = 5};
    site_open(&site, 1 + store_op + mailbox_op, &conf);
    sim_mailbox_set_latency(site.host, 3);
    site_start(&site);
    for (uint32_t i = 0; i < num_clients; i++) {
        client_connect(&site, &clients[i], i, num_messages, body_len);
    }
    sim_store_set_power_off(sim_host_store(site.host), store_op);
    sim_mailbox_set_power_off(site.host, mailbox_op);
    CHECK(site_run(&site, clients, num_clients, 20000));
    for (int i = 0; i < 300 && !sim_host_is_off(site.host); i++) {
        mta_step(site.mta);
    }
    site_drop(&site);
    sim_host_crash(site.host, how);
    sim_store_set_power_off(sim_host_store(site.host), 0);
    sim_mailbox_set_power_off(site.host, 0);
    site_start(&site);
    CHECK(site_settle(&site, 20000));
}

static uint64_t count_store_ops(void)
{
    struct sim_store_counts counts;
    sim_store_counts_of(sim_host_store(site.host), &counts);
    return counts.num_ops;
}

static void crash_everywhere(enum sim_crash how, uint32_t num_clients, uint32_t num_messages,
                             size_t body_len)
{
    run_with_crash(0, 0, how, num_clients, num_messages, body_len);
    uint64_t num_store_ops = count_store_ops(), num_mailbox_ops = sim_mailbox_num_ops(site.host);
    CHECK_EQ(site.num_acked, num_clients * num_messages);
    check_copies(num_clients, num_messages, "no crash", 0);
    site_close(&site);
    for (uint64_t op = 1; op <= num_store_ops; op += TEST_STRIDE) {
        run_with_crash(op, 0, how, num_clients, num_messages, body_len);
        check_copies(num_clients, num_messages, "crash at store operation", op);
        site_close(&site);
    }
    for (uint64_t op = 1; op <= num_mailbox_ops; op += TEST_STRIDE) {
        run_with_crash(0, op, how, num_clients, num_messages, body_len);
        check_copies(num_clients, num_messages, "crash at mailbox operation", op);
        site_close(&site);
    }
}

static void test_crash_lose(void)
{
    crash_everywhere(SIM_CRASH_LOSE, 4, 3, 3000);
}

static void test_crash_keep(void)
{
    crash_everywhere(SIM_CRASH_KEEP, 4, 3, 3000);
}

static void test_crash_mixed(void)
{
    crash_everywhere(SIM_CRASH_MIXED, 4, 3, 3000);
}

static void test_crash_mixed_large(void)
{
    crash_everywhere(SIM_CRASH_MIXED, 2, 1, 150000);
}

/* 1,000 messages of 100 connections, a sync of 5 ms: at most 100 syncs until the last reply. */
static void test_group_commit(void)
{
    struct sim_store_conf conf = {.sync_ms = 5};
    struct sim_store_counts counts;
    site_open(&site, 7, &conf);
    sim_mailbox_set_latency(site.host, 5);
    site_start(&site);
    for (uint32_t i = 0; i < 100; i++) {
        client_connect(&site, &clients[i], i % 40, 10, 4096);
        clients[i].number = i % 40;
    }
    CHECK(site_run(&site, clients, 100, 100000));
    sim_store_counts_of(sim_host_store(site.host), &counts);
    CHECK_EQ(site.num_acked, 1000);
    printf("syncs for 1000 messages of 100 connections: %llu\n",
           (unsigned long long)counts.num_syncs);
    CHECK(counts.num_syncs <= 100);
    CHECK(site_settle(&site, 100000));
    CHECK_EQ(sim_mailbox_num(site.host, SITE_MAILDIR, SIM_NEW), 1000);
    site_close(&site);
}

/* Syncs of two seconds: a client that says NOOP meanwhile is answered at once. */
static void test_slow_sync_holds_nobody_up(void)
{
    struct sim_store_conf conf = {.sync_ms = 2000};
    site_open(&site, 9, &conf);
    site_start(&site);
    client_connect(&site, &clients[0], 0, 1, 500);
    struct net_addr at = site_address();
    struct sim_client *other = sim_connect(site.world, &at, NULL);
    char reply[512];
    size_t len, num_noops = 0;
    while (clients[0].line != 5) {
        mta_step(site.mta);
        client_turn(&site, &clients[0]);
    }
    uint64_t begin_ms = sim_world_now_ms(site.world);
    sim_client_write(other, SLICE_LITERAL("EHLO other\r\n"));
    for (int i = 0; i < 200 && site.num_acked == 0; i++) {
        mta_step(site.mta);
        client_turn(&site, &clients[0]);
        if (sim_client_read(other, &len, (uint8_t *)reply, sizeof reply) == ERR_OK) {
            num_noops += site.num_acked == 0 && sim_world_now_ms(site.world) < begin_ms + 1000;
            if (num_noops < 10) {
                sim_client_write(other, SLICE_LITERAL("NOOP\r\n"));
            }
        }
    }
    CHECK_EQ(num_noops, 10);
    CHECK_EQ(site.num_acked, 1);
    CHECK(sim_world_now_ms(site.world) >= begin_ms + 2000);
    sim_client_close(other);
    site_close(&site);
}

/* A sync that fails: the batch is answered 451, nothing of it is delivered, later mail is taken. */
static void test_failed_sync(void)
{
    struct sim_store_conf conf = {.sync_ms = 5};
    site_open(&site, 11, &conf);
    site_start(&site);
    for (uint32_t i = 0; i < 3; i++) {
        if (i == 1) {
            sim_store_fail_sync(sim_host_store(site.host), 1, 1);
        }
        client_connect(&site, &clients[0], i, 1, 100);
        CHECK(site_run(&site, clients, 1, 5000));
    }
    CHECK(site.acked[0]);
    CHECK(!site.acked[100]);
    CHECK(site.acked[200]);
    CHECK(site_settle(&site, 20000));
    check_copies(3, 1, "failed sync", 0);
    CHECK_EQ(site_copies(&site, 100), 0);
    site_close(&site);
}

/* Steps for that long or until the server leaves; whether it has. */
static bool leaves_within(uint64_t ms)
{
    uint64_t end_ms = sim_world_now_ms(site.world) + ms;
    sim_world_set_horizon(site.world, end_ms);
    bool left = false;
    for (uint32_t i = 0; i < 20000 && !left && sim_world_now_ms(site.world) < end_ms; i++) {
        left = !mta_step(site.mta);
    }
    sim_world_set_horizon(site.world, UINT64_MAX);
    return left;
}

/* Every sync fails: mail is answered 451 for as long as the disk takes nothing; then the server
 * leaves by itself, with an error, and the next start has all that was acknowledged. */
static void test_dead_disk_that_comes_back(void)
{
    static const char running[] = "/var/spool/postern/running-time";
    struct sim_store_conf conf = {.sync_ms = 5};
    site_open(&site, 13, &conf);
    site_start(&site);
    client_connect(&site, &clients[0], 0, 1, 100);
    CHECK(site_run(&site, clients, 1, 5000));
    sim_store_fail_sync(sim_host_store(site.host), 1, 1000000);
    sim_files_fail(site.host, running, ERR_IO);
    for (uint32_t i = 1; i < 4; i++) {
        client_connect(&site, &clients[0], i, 1, 100);
        CHECK(site_run(&site, clients, 1, 5000));
        CHECK(!leaves_within(60000));
    }
    CHECK_EQ(site.num_refused, 3);
    sim_files_fail(site.host, running, ERR_OK);
    CHECK(leaves_within(60000));
    CHECK_EQ(mta_result(site.mta), ERR_IO);
    sim_store_fail_sync(sim_host_store(site.host), 0, 0);
    site_drop(&site);
    sim_store_kill(sim_host_store(site.host));
    site_start(&site);
    client_connect(&site, &clients[0], 4, 1, 100);
    CHECK(site_run(&site, clients, 1, 5000));
    CHECK(site.acked[0] && site.acked[400]);
    CHECK(site_settle(&site, 20000));
    check_copies(5, 1, "dead disk", 0);
    site_close(&site);
}

/* The same while a message is discarded, which cannot be recorded any more: nothing waits for that.
 */
static void test_dead_disk_and_a_dead_message(void)
{
    static const char running[] = "/var/spool/postern/running-time";
    char text[2048];
    struct net_addr at = site_address();
    site_open(&site, 14, NULL);
    struct sim_store *store = sim_host_store(site.host);
    snprintf(text, sizeof text,
             "%srelay_from_hosts = *\nroute_list = * discard-with-bounce\nretry_min = 60s\n",
             site_conf);
    sim_files_put_string(site.host, SITE_CONF, text);
    site_start(&site);
    sim_store_fail_read(store, 1, 4096); /* so that it is looked at once more */
    struct sim_client *peer = sim_connect(site.world, &at, NULL);
    sim_client_write(peer, SLICE_LITERAL("EHLO a.example\r\nMAIL FROM:<>\r\n"
                                         "RCPT TO:<x@nowhere.example>\r\nDATA\r\n"));
    CHECK(!leaves_within(1000));
    sim_client_write(peer, SLICE_LITERAL("Subject: x\r\n\r\nx\r\n.\r\nQUIT\r\n"));
    CHECK(!leaves_within(30000));
    CHECK_EQ(sim_log_count(site.host, "result=deferred reason=io-error"), 1);
    sim_client_close(peer);
    sim_store_fail_read(store, 0, 0);
    sim_store_fail_sync(store, 1, 1000000);
    sim_files_fail(site.host, running, ERR_IO);
    client_connect(&site, &clients[0], 0, 1, 100);
    CHECK(site_run(&site, clients, 1, 5000));
    CHECK(!leaves_within(200000));
    CHECK_EQ(sim_log_count(site.host, "result=discarded"), 1);
    sim_files_fail(site.host, running, ERR_OK);
    CHECK(leaves_within(10000));
    site_drop(&site);
    site_close(&site);
}

/* No space in the Maildir: the message is kept and delivered once there is. */
static void test_failed_delivery_is_retried(void)
{
    site_open(&site, 13, NULL);
    site_start(&site);
    sim_mailbox_fail_begin(site.host, 1, 1, ERR_NO_SPACE);
    client_connect(&site, &clients[0], 0, 1, 100);
    CHECK(site_run(&site, clients, 1, 5000));
    CHECK(site.acked[0]);
    CHECK(site_settle(&site, 5000));
    CHECK_EQ(site_copies(&site, 0), 0);
    CHECK_EQ(sim_log_count(site.host, "result=deferred reason=no-space"), 1);
    for (int minute = 0; minute < 10; minute++) {
        CHECK(site_settle(&site, 5000));
    }
    check_copies(1, 1, "after no space", 0);
    site_close(&site);
}

/* A commit that fails at each of its steps: the file is looked for before the next try, so there is
 * one copy. */
static void test_unknown_commit_is_looked_for(void)
{
    for (int step = SIM_SYNC_FILE; step <= SIM_SYNC_DIR; step++) {
        site_open(&site, 17, NULL);
        site_start(&site);
        sim_mailbox_fail_commit(site.host, 1, 1, (enum sim_commit_step)step, ERR_IO);
        client_connect(&site, &clients[0], 0, 1, 100);
        CHECK(site_run(&site, clients, 1, 5000));
        for (int minute = 0; minute < 10; minute++) {
            CHECK(site_settle(&site, 5000));
        }
        check_copies(1, 1, "commit failed at step", (uint64_t)step);
        CHECK(site.acked[0]);
        site_close(&site);
    }
}

/* The process is killed, not the machine: what the page cache holds is there, and counts once. */
static void test_kill(void)
{
    for (uint32_t num_steps = 1; num_steps < 120; num_steps += 1) {
        struct sim_store_conf conf = {.sync_ms = 5};
        site_open(&site, num_steps, &conf);
        sim_mailbox_set_latency(site.host, 3);
        site_start(&site);
        for (uint32_t i = 0; i < 3; i++) {
            client_connect(&site, &clients[i], i, 2, 1000);
        }
        site_run(&site, clients, 3, num_steps);
        site_drop(&site);
        sim_host_kill(site.host);
        site_start(&site);
        CHECK(site_settle(&site, 20000));
        check_copies(3, 2, "killed after step", num_steps);
        site_close(&site);
    }
}

/* Killed with several large messages that nothing proves durable yet: recovery copies them all, one
 * segment each, and comes to its end although several operations of the disk end together. */
static void kill_with_large(uint32_t num_before, uint32_t num, uint64_t sync_ms)
{
    struct sim_store_conf conf = {.sync_ms = 500};
    char text[1024];
    site_open(&site, num, &conf);
    snprintf(text, sizeof text, "%s", site_conf);
    memcpy(strstr(text, "spool_size = 16M"), "spool_size = 99M", 16);
    sim_files_put_string(site.host, SITE_CONF, text);
    site_start(&site);
    for (uint32_t i = 0; i < num_before; i++) { /* whose segments are free again afterwards */
        client_connect(&site, &clients[i], 20 + i, 1, 150000);
    }
    CHECK(site_run(&site, clients, num_before, 20000));
    CHECK(site_settle(&site, 20000));
    sim_mailbox_fail_begin(site.host, 1, 100, ERR_NO_SPACE);
    for (uint32_t i = 0; i < num; i++) {
        client_connect(&site, &clients[i], i, 1, 150000);
    }
    CHECK(site_run(&site, clients, num, 20000));
    CHECK_EQ(site.num_acked, num_before + num);
    site_drop(&site);
    sim_host_kill(site.host);
    sim_mailbox_fail_begin(site.host, 0, 0, ERR_OK);
    sim_store_set_sync_ms(sim_host_store(site.host), sync_ms);
    site_start(&site);
    CHECK(site_settle(&site, 20000));
    CHECK_EQ(sim_log_count(site.host, "start version="), 2);
    check_copies(num, 1, "killed with large messages", num);
    site_close(&site);
}

static void test_kill_with_large_messages(void)
{
    for (uint32_t num_before = 2; num_before <= 8; num_before += 2) {
        for (uint32_t num = 1; num <= 5; num++) {
            kill_with_large(num_before, num, 0);
            kill_with_large(num_before, num, 5);
        }
    }
}

/* One byte at a time, both ways. */
static void test_single_bytes(void)
{
    struct sim_link link = {.chunk_len = 1};
    site_open(&site, 19, NULL);
    sim_net_set_link(site.world, &link);
    site_start(&site);
    client_connect(&site, &clients[0], 0, 3, 2000);
    CHECK(site_run(&site, clients, 1, 200000));
    CHECK_EQ(site.num_acked, 3);
    CHECK(site_settle(&site, 5000));
    check_copies(1, 3, "single bytes", 0);
    site_close(&site);
}

/* A client that says nothing is told so and let go; one that is gone leaves nothing behind. */
static void test_timeout(void)
{
    site_open(&site, 23, NULL);
    site_start(&site);
    struct net_addr at = site_address();
    uint64_t begin_ms = sim_world_now_ms(site.world);
    struct sim_client *silent = sim_connect(site.world, &at, NULL);
    char reply[512];
    size_t len = 0;
    bool told = false;
    enum err err = ERR_AGAIN;
    for (int i = 0; i < 500 && (err == ERR_OK || err == ERR_AGAIN); i++) {
        mta_step(site.mta);
        err = sim_client_read(silent, &len, (uint8_t *)reply, sizeof reply);
        told = told || (err == ERR_OK && memmem(reply, len, "421 4.4.2", 9) != NULL);
    }
    CHECK(told);
    CHECK_EQ(err, ERR_EOF);
    CHECK_EQ((sim_world_now_ms(site.world) - begin_ms) / 1000, 300);
    CHECK_EQ(sim_log_count(site.host, "end=timeout"), 1);
    CHECK_EQ(sim_net_num_handles(site.host), 2); /* the listener and the control socket */
    sim_client_close(silent);
    site_close(&site);
}

/* A client that goes on sending behind a bare LF reads why it was refused, and is let go soon even
 * if it stays. */
static void test_refused_sender_reads_why(void)
{
    site_open(&site, 31, NULL);
    site_start(&site);
    struct net_addr at = site_address();
    struct sim_client *rude = sim_connect(site.world, &at, NULL);
    char reply[512], all[2048] = "";
    size_t len = 0, all_len = 0;
    mta_step(site.mta);
    sim_client_write(rude, SLICE_LITERAL("EHLO x\nMAIL FROM:<a@b>\r\n"));
    uint64_t begin_ms = sim_world_now_ms(site.world);
    enum err err = ERR_AGAIN;
    for (int i = 0; i < 500 && (err == ERR_OK || err == ERR_AGAIN); i++) {
        mta_step(site.mta);
        if (i < 20) {
            sim_client_write(rude, SLICE_LITERAL("more and more\r\n"));
        }
        err = sim_client_read(rude, &len, (uint8_t *)reply, sizeof reply);
        if (err == ERR_OK && all_len + len < sizeof all) {
            memcpy(all + all_len, reply, len);
            all_len += len;
        }
    }
    CHECK(memmem(all, all_len, "\r\n5", 3) != NULL);
    CHECK_EQ(err, ERR_EOF);
    CHECK(sim_world_now_ms(site.world) - begin_ms <= 3000);
    CHECK_EQ(sim_log_count(site.host, "end=bare-lf"), 1);
    sim_client_close(rude);
    site_close(&site);
}

/* A host that holds as many connections as one may is told so, and others are not kept out. */
static void test_one_host_has_a_limit(void)
{
    struct net_addr at = site_address(), greedy, other;
    struct sim_client *peers[4];
    char text[2048], reply[512];
    CHECK(net_addr_parse(SLICE_LITERAL("192.0.2.7"), &greedy));
    CHECK(net_addr_parse(SLICE_LITERAL("192.0.2.8"), &other));
    site_open(&site, 33, NULL);
    snprintf(text, sizeof text, "%ssmtp_accept_max_per_host = 2\n", site_conf);
    sim_files_put_string(site.host, SITE_CONF, text);
    site_start(&site);
    for (int i = 0; i < 4; i++) {
        size_t len = 0;
        peers[i] = sim_connect(site.world, &at, i < 3 ? &greedy : &other);
        enum err err = ERR_AGAIN;
        for (int k = 0; k < 50 && err == ERR_AGAIN; k++) {
            mta_step(site.mta);
            err = sim_client_read(peers[i], &len, (uint8_t *)reply, sizeof reply);
        }
        CHECK_EQ(err, ERR_OK);
        CHECK(len > 4 && memcmp(reply, i == 2 ? "421 " : "220 ", 4) == 0);
    }
    CHECK_EQ(sim_log_count(site.host, "reason=smtp_accept_max_per_host"), 1);
    for (int i = 0; i < 4; i++) {
        sim_client_close(peers[i]);
    }
    CHECK(site_stop(&site, 1000));
    site_close(&site);
}

/* SIGTERM: a message on its way to be durable is answered 250; then the server leaves. */
static void test_terminate_keeps_promises(void)
{
    struct sim_store_conf conf = {.sync_ms = 500};
    site_open(&site, 29, &conf);
    site_start(&site);
    client_connect(&site, &clients[0], 0, 1, 500);
    while (!(clients[0].line == 5 && clients[0].body_left == 0)) {
        mta_step(site.mta);
        client_turn(&site, &clients[0]);
    }
    struct sim_store_counts before, now;
    sim_store_counts_of(sim_host_store(site.host), &before);
    do {
        mta_step(site.mta);
        sim_store_counts_of(sim_host_store(site.host), &now);
    } while (now.num_ops < before.num_ops + 2); /* its write, and the begin of its sync */
    CHECK(!client_turn(&site, &clients[0]) || site.num_acked == 0);
    sim_host_signal(site.host, PORT_TERMINATE);
    bool running = true;
    for (int i = 0; i < 1000 && running; i++) {
        running = mta_step(site.mta);
        client_turn(&site, &clients[0]);
    }
    CHECK(!running);
    client_turn(&site, &clients[0]);
    CHECK_EQ(site.num_acked, 1);
    site_drop(&site);
    sim_host_kill(site.host);
    site_start(&site);
    CHECK(site_settle(&site, 5000));
    check_copies(1, 1, "after SIGTERM", 0);
    site_close(&site);
}

/* SIGTERM in any moment of a start: nothing is promised yet, so nothing is waited for, and the mail
 * is there at the next start. */
static void test_sigterm_while_starting(void)
{
    struct sim_store_conf conf = {.sync_ms = 5};
    static struct site_client client;
    site_open(&site, 7, &conf);
    site_start(&site);
    sim_mailbox_fail_begin(site.host, 1, 1000, ERR_NO_SPACE);
    client_connect(&site, &client, 0, 1, 500);
    CHECK(site_run(&site, &client, 1, 2000));
    CHECK(site_stop(&site, 1000));
    site_drop(&site);
    for (int num_steps = 0; num_steps < 40; num_steps++) {
        site_start(&site);
        for (int i = 0; i < num_steps; i++) {
            mta_step(site.mta);
        }
        uint64_t begin_ms = sim_world_now_ms(site.world);
        CHECK(site_stop(&site, 1000));
        CHECK(sim_world_now_ms(site.world) - begin_ms < 5000);
        CHECK_EQ(mta_result(site.mta), ERR_OK);
        site_drop(&site);
    }
    sim_mailbox_fail_begin(site.host, 0, 0, ERR_OK);
    site_start(&site);
    for (int i = 0; i < 10; i++) {
        CHECK(site_settle(&site, 5000));
    }
    CHECK_EQ(site_copies(&site, 0), 1);
    CHECK(site_stop(&site, 1000));
    site_close(&site);
}

/* A later option of the same name would be a mistake, so a line of site_conf is replaced. */
static void reload_with(const char *line, const char *instead, const char *more)
{
    char text[2048];
    const char *at = strstr(site_conf, line);
    CHECK(at != NULL);
    snprintf(text, sizeof text, "%.*s%s%s%s", (int)(at - site_conf), site_conf, instead,
             at + strlen(line), more);
    sim_files_put_string(site.host, SITE_CONF, text);
    sim_host_signal(site.host, PORT_RELOAD);
    mta_step(site.mta);
}

/* What only counts at the start is told as long as it differs from what was there then, all of it,
 * and no longer. */
static void test_reload_tells_what_needs_a_restart(void)
{
    static const char size[] = "spool_size = 16M\n";
    site_open(&site, 1, NULL);
    site_start(&site);
    for (size_t round = 1; round <= 2; round++) {
        reload_with(size, "spool_size = 32M\n", "group = 4444\ncontrol_socket = /run/c\n");
        CHECK_EQ(sim_log_count(site.host, "option=spool_size result=needs-restart"), round);
        CHECK_EQ(sim_log_count(site.host, "option=group result=needs-restart"), round);
        CHECK_EQ(sim_log_count(site.host, "option=control_socket result=needs-restart"), round);
    }
    reload_with(size, size, "");
    CHECK_EQ(sim_log_count(site.host, "new options are in force"), 3);
    CHECK_EQ(sim_log_count(site.host, "result=needs-restart"), 6);
    CHECK(site_stop(&site, 1000));
    site_close(&site);
}

/* The log tells what is listened on, once, and offers nothing that is not there. */
static void test_reload_tells_new_ports(void)
{
    site_open(&site, 1, NULL);
    site_start(&site);
    CHECK(site_settle(&site, 1000));
    CHECK_EQ(sim_log_count(site.host, "listen address=127.0.0.1 port=25 tls=none"), 1);
    reload_with("ports = 25\n", "ports = 25 : 26\n", "");
    CHECK_EQ(sim_log_count(site.host, "listen address=127.0.0.1 port=25 "), 1);
    CHECK_EQ(sim_log_count(site.host, "listen address=127.0.0.1 port=26 tls=none"), 1);
    CHECK(site_stop(&site, 1000));
    site_close(&site);
}

/* What check says, of the files in a fresh world. */
static void check_says(const char *resolv_conf, enum err err, size_t hosts_len, const char *says)
{
    static const struct mta_start start = {.conf_path = SITE_CONF,
                                           .hostname = "mx.example",
                                           .version = "test",
                                           .resolv_conf_path = "/etc/resolv.conf",
                                           .hosts_path = "/etc/hosts"};
    char text[2048] = "";
    struct buf out = buf_make(text, sizeof text - 1);
    site_open(&site, 1, NULL);
    sim_files_put_string(site.host, "/etc/resolv.conf", resolv_conf);
    sim_files_fail(site.host, "/etc/resolv.conf", err);
    uint8_t *hosts = calloc(1, hosts_len + 1);
    if (hosts_len != 0) {
        sim_files_put(site.host, "/etc/hosts", slice_make(hosts, hosts_len));
    }
    const struct port *port = sim_host_port(site.host);
    size_t len = mta_memory_len(SITE_SPOOL_SIZE_MAX, port->store.write_unit_len);
    struct arena a = {calloc(1, len), len, 0};
    CHECK_EQ(mta_check(&a, port, &start, &out), ERR_OK);
    CHECK(strstr(text, says) != NULL);
    CHECK(*says != '\0' || strstr(text, "/etc") == NULL);
    free(a.ptr);
    free(hosts);
    site_close(&site);
}

static void test_check_of_name_servers(void)
{
    check_says("nameserver 192.0.2.53\n", ERR_OK, 0, "");
    check_says("nameserver 192.0.2.53\n", ERR_OK, BUDGET_PIECE_LEN, "");
    check_says("nameserver 192.0.2.53\n", ERR_OK, BUDGET_PIECE_LEN + 1,
               "names /etc/hosts: cannot be used: too-big\n");
    check_says("nameserver 192.0.2.53\n", ERR_DENIED, 0,
               "names /etc/resolv.conf: cannot be used: permission-denied\n");
    check_says("", ERR_ABSENT, 0, "");
    check_says(
        "nameserver 192.0.2.53\nnameserver fe80::1%eth0\n", ERR_OK, 0,
        "/etc/resolv.conf: nameserver fe80::1%eth0 is not asked: expected an address, without "
        "a zone\n");
}

static const struct test_case cases[] = {
    {"one-message", test_one_message},
    {"crash-lose", test_crash_lose},
    {"crash-keep", test_crash_keep},
    {"crash-mixed", test_crash_mixed},
    {"crash-mixed-large", test_crash_mixed_large},
    {"group-commit", test_group_commit},
    {"slow-sync", test_slow_sync_holds_nobody_up},
    {"failed-sync", test_failed_sync},
    {"dead-disk-that-comes-back", test_dead_disk_that_comes_back},
    {"dead-disk-and-a-dead-message", test_dead_disk_and_a_dead_message},
    {"failed-delivery", test_failed_delivery_is_retried},
    {"unknown-commit", test_unknown_commit_is_looked_for},
    {"kill", test_kill},
    {"kill-large", test_kill_with_large_messages},
    {"single-bytes", test_single_bytes},
    {"timeout", test_timeout},
    {"refused-sender", test_refused_sender_reads_why},
    {"one-host", test_one_host_has_a_limit},
    {"terminate", test_terminate_keeps_promises},
    {"sigterm-while-starting", test_sigterm_while_starting},
    {"reload-tells-restart", test_reload_tells_what_needs_a_restart},
    {"reload-tells-ports", test_reload_tells_new_ports},
    {"check-name-servers", test_check_of_name_servers},
};

TEST_MAIN(cases)

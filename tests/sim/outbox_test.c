/* The directory where users of this machine leave mail for a server in a simulated world: taken in
 * once, whatever fails, and from whom it says. */
#include "local_users.h"
#include "outbox.h"

static struct site_client plain;

#define OUTBOX_CONF "outbox_directory = /outbox\n"

static uint64_t mark; /* of what is left */
static const char *envid = "";

/* Leaves a message; rcpts: addresses with a space between them. */
static void leave(const struct port_user *who, const char *sender, const char *rcpts,
                  struct slice content)
{
    static uint8_t bytes[3200000];
    struct buf b = buf_make(bytes, sizeof bytes);
    struct envelope_params params = {.flags = ENVELOPE_8BITMIME, .envid = slice_of_string(envid)};
    struct slice rest = slice_of_string(rcpts);
    buf_put_string(&b, OUTBOX_MAGIC);
    struct buf length = buf_make(b.ptr + b.len, 4);
    buf_put_be(&b, 4, 0);
    size_t begin = b.len;
    CHECK_EQ(envelope_put_head(&b, slice_of_string(sender), &params), ERR_OK);
    while (rest.len > 0) {
        const uint8_t *space = memchr(rest.ptr, ' ', rest.len);
        struct envelope_entry entry = {.kind = ENVELOPE_RCPT};
        slice_take(&rest, space != NULL ? (size_t)(space - rest.ptr) : rest.len,
                   &entry.rcpt.address);
        slice_skip(&rest, 1);
        CHECK_EQ(envelope_put(&b, &entry), ERR_OK);
    }
    CHECK(buf_put_be(&length, 4, b.len - begin));
    CHECK(buf_put(&b, content));
    sim_outbox_put(site.host, who, mark, buf_slice(&b));
}

static void leave_text(const struct port_user *who, const char *sender, const char *rcpts,
                       const char *content)
{
    leave(who, sender, rcpts, slice_of_string(content));
}

static void open_outbox_site(const char *more)
{
    char text[2048];
    site_open(&site, 1, NULL);
    snprintf(text, sizeof text, "%s" OUTBOX_CONF "%s", site_conf, more);
    sim_files_put_string(site.host, SITE_CONF, text);
}

static struct slice first_mail(const char *maildir)
{
    const char *name;
    struct slice bytes = {NULL, 0};
    CHECK(sim_mailbox_file(site.host, maildir, SIM_NEW, 0, &name, &bytes));
    return bytes;
}

static bool holds(struct slice text, const char *part)
{
    return memmem(text.ptr, text.len, part, strlen(part)) != NULL;
}

/* What waited is taken in at the start, and what comes later from time to time. */
static void test_outbox_is_taken_in(void)
{
    open_outbox_site("");
    leave_text(&joe, "joe@mx.example", "joe@example.org ann@example.org",
               "Subject: x\r\n\r\nmark 000001\r\n");
    site_start(&site);
    CHECK(site_settle(&site, 2000));
    CHECK_EQ(site_copies(&site, 1), 1);
    CHECK_EQ(sim_mailbox_num(site.host, "/mail/ann", SIM_NEW), 1);
    struct slice mail = first_mail(SITE_MAILDIR);
    CHECK(holds(mail, "Received: from localhost (local uid 1000)\n\tby mx.example with ESMTP"));
    CHECK(holds(mail, "Return-Path: <joe@mx.example>\n"));
    CHECK(holds(mail, "\nDate: ") && holds(mail, "\nMessage-ID: <"));
    CHECK_EQ(sim_log_count(site.host, "peer=local uid=1000 result=accepted"), 1);
    leave_text(&ann, "", "joe@example.org", "\r\nmark 000002\r\n");
    envid = "a b";
    leave_text(&ann, "ann@mx.example", "joe@example.org", "\r\nmark 000003\r\n");
    envid = "";
    CHECK(site_settle(&site, 2000));
    CHECK_EQ(site_copies(&site, 2), 1);
    CHECK_EQ(site_copies(&site, 3), 1);
    CHECK_EQ(sim_outbox_num(site.host), 0);
    CHECK(site_stop(&site, 1000));
    site_close(&site);
}

/* It is no way around submit_rate; and others do not wait for one who left too much. */
static void counts_the_outbox(bool has_marks)
{
    open_outbox_site("submit_rate = 5\n");
    for (uint64_t i = 1; i <= 20; i++) {
        mark = has_marks ? i << 32 | i : 0;
        leave_text(&joe, "", "joe@example.org", "\r\nmark 000001\r\n");
    }
    mark = 0;
    leave_text(&ann, "", "joe@example.org", "\r\nmark 000002\r\n");
    site_start(&site);
    CHECK(site_settle(&site, 2000));
    CHECK_EQ(site_copies(&site, 1), 5);
    CHECK_EQ(site_copies(&site, 2), 1);
    CHECK_EQ(sim_outbox_num(site.host), 15);
    for (int i = 0; i < 5; i++) {
        sim_world_advance(site.world, 3600 * 1000);
        CHECK(site_settle(&site, 2000));
    }
    CHECK_EQ(site_copies(&site, 1), 20);
    CHECK_EQ(sim_outbox_num(site.host), 0);
    CHECK(site_stop(&site, 1000));
    site_close(&site);
}

static void test_outbox_is_counted(void)
{
    counts_the_outbox(false);
}

/* Nor is a name that only the server should give. */
static void test_outbox_knows_forged_marks(void)
{
    counts_the_outbox(true);
}

/* Its owner is known, whatever the file says. */
static void test_outbox_believes_the_owner(void)
{
    open_outbox_site("trusted_users = boss\n");
    leave_text(&joe, "ann@mx.example", "joe@example.org", "\r\nmark 000001\r\n");
    leave_text(&joe, "no address", "joe@example.org", "\r\nmark 000002\r\n");
    leave_text(&boss, "ann@mx.example", "ann@example.org", "\r\nmark 000003\r\n");
    site_start(&site);
    CHECK(site_settle(&site, 2000));
    CHECK_EQ(sim_mailbox_num(site.host, SITE_MAILDIR, SIM_NEW), 2);
    CHECK(holds(first_mail(SITE_MAILDIR), "Return-Path: <joe@mx.example>\n"));
    CHECK(holds(first_mail("/mail/ann"), "Return-Path: <ann@mx.example>\n"));
    CHECK(site_stop(&site, 1000));
    site_close(&site);
}

/* Nobody gets the sender of the message before. */
static void leave_without_sender(const struct port_user *who)
{
    uint8_t bytes[128];
    struct buf b = buf_make(bytes, sizeof bytes);
    struct envelope_entry entry = {.kind = ENVELOPE_RCPT,
                                   .rcpt.address = SLICE_LITERAL("joe@example.org")};
    buf_put_string(&b, OUTBOX_MAGIC);
    struct buf length = buf_make(b.ptr + b.len, 4);
    buf_put_be(&b, 4, 0);
    size_t begin = b.len;
    CHECK_EQ(envelope_put(&b, &entry), ERR_OK);
    CHECK(buf_put_be(&length, 4, b.len - begin));
    buf_put_string(&b, "\r\nmark 000002\r\n");
    sim_outbox_put(site.host, who, 0, buf_slice(&b));
}

/* It is told once, and stays for somebody to look at. */
static void test_outbox_refuses_nonsense(void)
{
    static const char *const contents[] = {"bare\nlf\r\n", "bare\rcr\r\n", "no end"};
    static const char *const files[] = {"", "postern-outbox 1\n", "postern-outbox 2\n\0\0\0\0",
                                        "\177ELF and so on, and a good deal more of it"};
    char long_line[1200];
    open_outbox_site("");
    for (size_t i = 0; i < 3; i++) {
        leave_text(&joe, "joe@mx.example", "joe@example.org", contents[i]);
    }
    leave_text(&joe, "joe@mx.example", "joe@example.org", "nul");
    leave(&joe, "joe@mx.example", "joe@example.org", slice_make("a\0b\r\n", 5));
    leave_text(&joe, "joe@mx.example", "not-an-address", "\r\n");
    leave_text(&joe, "joe@mx.example", "", "\r\n");
    memset(long_line, 'x', sizeof long_line);
    memcpy(long_line + sizeof long_line - 3, "\r\n", 3);
    leave_text(&joe, "joe@mx.example", "joe@example.org", long_line);
    for (size_t i = 0; i < 4; i++) {
        sim_outbox_put(site.host, &joe, 0, slice_of_string(files[i]));
    }
    sim_outbox_put(site.host, &joe, 0,
                   slice_make("postern-outbox 1\n\0\0\0\x10V\0\1\3xxxxxxxxxxxxxxxxxxxx", 41));
    leave_without_sender(&boss);
    size_t num = sim_outbox_num(site.host);
    leave_text(&joe, "joe@mx.example", "joe@example.org", "\r\nmark 000001\r\n");
    site_start(&site);
    CHECK(site_settle(&site, 4000));
    CHECK(site_stop(&site, 1000));
    site_drop(&site);
    site_start(&site);
    CHECK(site_settle(&site, 4000));
    CHECK_EQ(sim_log_count(site.host, "warning outbox uid=1000 result=refused"), num - 1);
    CHECK_EQ(sim_log_count(site.host, "result=refused reason=malformed"), num);
    CHECK_EQ(sim_outbox_num(site.host), num);
    CHECK_EQ(sim_mailbox_num(site.host, SITE_MAILDIR, SIM_NEW), 1);
    CHECK_EQ(site_copies(&site, 1), 1);
    CHECK_EQ(site.mta->txns.num_used, 0);
    CHECK(site_stop(&site, 1000));
    site_close(&site);
}

/* A refusal that cannot be kept is none yet: it takes nothing of what its user may send, and is not
 * told as if it were the last word. */
static void test_outbox_refuses_once(void)
{
    open_outbox_site("submit_rate = 2\n");
    sim_outbox_put(site.host, &joe, 0, SLICE_LITERAL("nonsense"));
    sim_outbox_unmark(site.host, 3);
    site_start(&site);
    for (int i = 0; i < 4; i++) {
        CHECK(site_settle(&site, 2000));
    }
    CHECK_EQ(sim_log_count(site.host, "outbox uid=1000 result=deferred reason=io"), 3);
    CHECK_EQ(sim_log_count(site.host, "outbox uid=1000 result=refused reason=malformed"), 1);
    leave_text(&joe, "", "joe@example.org", "\r\nmark 000001\r\n");
    sim_world_advance(site.world, 30 * 1000);
    CHECK(site_settle(&site, 2000));
    CHECK_EQ(site_copies(&site, 1), 1);
    CHECK(site_stop(&site, 1000));
    site_close(&site);
}

/* A recipient that is none is told to the sender, who has long had its exit status. */
static void test_outbox_bounces(void)
{
    open_outbox_site("");
    leave_text(&joe, "joe@example.org", "nosuch@example.org", "Subject: lost\r\n\r\nx\r\n");
    site_start(&site);
    CHECK(site_settle(&site, 4000));
    CHECK_EQ(sim_outbox_num(site.host), 0);
    CHECK_EQ(sim_mailbox_num(site.host, SITE_MAILDIR, SIM_NEW), 1);
    struct slice mail = first_mail(SITE_MAILDIR);
    CHECK(holds(mail, "Return-Path: <>\n"));
    CHECK(holds(mail, "nosuch@example.org"));
    CHECK(site_stop(&site, 1000));
    site_close(&site);
}

/* Large ones go in piece by piece, while others are served. */
static void test_outbox_takes_large_ones(void)
{
    static char content[300000];
    size_t len = 0;
    while (len + 100 < sizeof content) {
        len += (size_t)snprintf(content + len, 100, "%s%060zu\r\n", len == 0 ? "\r\n" : "", len);
    }
    open_outbox_site("");
    leave_text(&joe, "joe@mx.example", "joe@example.org", content);
    site_start(&site);
    client_connect(&site, &plain, 7, 1, 500);
    CHECK(site_run(&site, &plain, 1, 2000));
    CHECK_EQ(site.num_acked, 1);
    CHECK(site_settle(&site, 4000));
    CHECK_EQ(sim_mailbox_num(site.host, SITE_MAILDIR, SIM_NEW), 2);
    size_t longest = 0;
    for (size_t i = 0; i < 2; i++) {
        const char *name;
        struct slice mail;
        CHECK(sim_mailbox_file(site.host, SITE_MAILDIR, SIM_NEW, i, &name, &mail));
        longest = mail.len > longest ? mail.len : longest;
    }
    CHECK(longest > len - len / 62);
    CHECK(site_stop(&site, 1000));
    site_close(&site);
}

/* One that is longer than what may wait for a sync goes on as soon as there is room again, whatever
 * others have written of messages that are not complete. */
static void test_outbox_goes_on(void)
{
    static char content[3000000];
    char text[2048];
    struct user u;
    for (size_t len = 0; len + 100 < sizeof content;) {
        len += (size_t)snprintf(content + len, 100, "%s%060zu\r\n", len == 0 ? "\r\n" : "", len);
    }
    site_open(&site, 1, NULL);
    snprintf(text, sizeof text, "%s" OUTBOX_CONF "submit_socket = " SOCKET "\n", site_conf);
    memcpy(strstr(text, "message_size_limit = 1M"), "message_size_limit = 4M", 23);
    sim_files_put_string(site.host, SITE_CONF, text);
    site_start(&site);
    CHECK(site_settle(&site, 2000));
    CHECK(greets(&u, &ann));
    CHECK(say(&u, "MAIL FROM:<ann@mx.example>\r\n", "250 "));
    CHECK(say(&u, "RCPT TO:<joe@example.org>\r\n", "250 "));
    CHECK(say(&u, "DATA\r\n", "354 "));
    for (size_t sent_len = 2; sent_len < 50000;) {
        sent_len += sim_client_write(u.peer, slice_make(content + sent_len, 50002 - sent_len));
        mta_step(site.mta);
    }
    leave_text(&joe, "joe@mx.example", "joe@example.org", content);
    const uint64_t begin_ms = sim_world_now_ms(site.world);
    for (int i = 0; i < 20000 && sim_mailbox_num(site.host, SITE_MAILDIR, SIM_NEW) == 0; i++) {
        mta_step(site.mta);
    }
    CHECK_EQ(sim_mailbox_num(site.host, SITE_MAILDIR, SIM_NEW), 1);
    CHECK(sim_world_now_ms(site.world) - begin_ms < 35000); /* it looks each 30 s */
    sim_client_close(u.peer);
    CHECK(site_stop(&site, 1000));
    site_close(&site);
}

/* Whatever moment the power goes: never lost, never twice, also between the spool and the file. */
static void test_outbox_survives_crashes(void)
{
    uint64_t num_ops = 1;
    for (uint64_t op = 0; op <= num_ops; op++) {
        struct sim_store_conf conf = {.sync_ms = 5};
        struct sim_store_counts counts;
        char text[2048];
        site_open(&site, 1 + op, &conf);
        snprintf(text, sizeof text, "%s" OUTBOX_CONF, site_conf);
        sim_files_put_string(site.host, SITE_CONF, text);
        leave_text(&joe, "joe@mx.example", "joe@example.org", "\r\nmark 000001\r\n");
        sim_store_set_power_off(sim_host_store(site.host), op);
        site_start(&site);
        for (int i = 0; i < 300 && !sim_host_is_off(site.host); i++) {
            mta_step(site.mta);
        }
        if (op == 0) {
            sim_store_counts_of(sim_host_store(site.host), &counts);
            num_ops = counts.num_ops;
        }
        site_drop(&site);
        sim_host_crash(site.host, SIM_CRASH_LOSE);
        sim_store_set_power_off(sim_host_store(site.host), 0);
        site_start(&site);
        CHECK(site_settle(&site, 20000));
        CHECK_EQ(sim_outbox_num(site.host), 0);
        uint32_t num = site_copies(&site, 1);
        CHECK_EQ(num, 1);
        site_close(&site);
    }
    CHECK(num_ops > 3);
}

static void test_outbox_waits_for_the_spool(void)
{
    char text[2048];
    open_outbox_site("");
    snprintf(text, sizeof text, "%s" OUTBOX_CONF, site_conf);
    memcpy(strstr(text, "spool_size = 16M"), "spool_size =  8M", 16);
    sim_files_put_string(site.host, SITE_CONF, text);
    static char content[300000];
    memset(content, 0, sizeof content);
    for (size_t len = 0; len + 100 < sizeof content;) {
        len += (size_t)snprintf(content + len, 100, "%s%060zu\r\n", len == 0 ? "\r\n" : "", len);
    }
    for (int i = 0; i < 30; i++) {
        leave_text(&joe, "joe@mx.example", "joe@example.org", content);
    }
    sim_mailbox_fail_begin(site.host, 1, 1000, ERR_NO_SPACE);
    site_start(&site);
    CHECK(site_settle(&site, 20000));
    CHECK(sim_outbox_num(site.host) > 0);
    CHECK(sim_log_count(site.host, "outbox uid=1000 result=deferred") > 0);
    sim_mailbox_fail_begin(site.host, 0, 0, ERR_OK);
    for (int i = 0; i < 60 && sim_outbox_num(site.host) > 0; i++) {
        CHECK(site_settle(&site, 20000));
    }
    CHECK_EQ(sim_outbox_num(site.host), 0);
    CHECK(site_stop(&site, 1000));
    site_close(&site);
}

/* Those of one user that do not fit for now hold nobody else's up, nor do they count as handed in;
 * the log has one of them each time. */
static void test_outbox_lets_others_pass(void)
{
    static char content[300000];
    uint64_t txns[100], probe;
    size_t num = 0;
    struct user u;
    open_outbox_site("submit_socket = " SOCKET "\nsubmit_rate = 12\n");
    for (size_t len = 0; len + 100 < sizeof content;) {
        len += (size_t)snprintf(content + len, 100, "%s%060zu\r\n", len == 0 ? "\r\n" : "", len);
    }
    for (int i = 0; i < 10; i++) {
        leave_text(&joe, "joe@mx.example", "joe@example.org", content);
    }
    leave_text(&ann, "ann@mx.example", "joe@example.org", "\r\nmark 000002\r\n");
    site_start(&site);
    for (int i = 0; i < 300 && !site.mta->spool_ready; i++) {
        mta_step(site.mta);
    }
    while (num < sizeof txns / sizeof txns[0] &&
           spool_begin(site.mta->spool, &probe, 250000) == ERR_OK) {
        spool_abort(site.mta->spool, probe);
        CHECK_EQ(spool_begin_report(site.mta->spool, &txns[num++], 250000), ERR_OK);
    }
    CHECK(site_settle(&site, 2000));
    CHECK_EQ(site_copies(&site, 2), 1);
    CHECK_EQ(sim_outbox_num(site.host), 10);
    size_t num_told = sim_log_count(site.host, "outbox uid=1000 result=deferred reason=full");
    CHECK(num_told > 0 && num_told <= 3);
    while (num > 0) {
        spool_abort(site.mta->spool, txns[--num]);
    }
    CHECK(greets(&u, &joe));
    CHECK(say(&u, "MAIL FROM:<joe@mx.example>\r\n", "250 "));
    sim_client_close(u.peer);
    CHECK(site_settle(&site, 2000));
    CHECK_EQ(sim_outbox_num(site.host), 0);
    CHECK(site_stop(&site, 1000));
    site_close(&site);
}

/* Taken by the command when larger ones were allowed, it waits until they are again. */
static void test_outbox_keeps_what_is_too_large_now(void)
{
    static char content[300000];
    char text[2048];
    open_outbox_site("");
    snprintf(text, sizeof text, "%s" OUTBOX_CONF, site_conf);
    char *limit = strstr(text, "= 1M");
    CHECK(limit != NULL);
    memcpy(limit, "=64K", 4);
    sim_files_put_string(site.host, SITE_CONF, text);
    for (size_t len = 0; len + 100 < sizeof content;) {
        len += (size_t)snprintf(content + len, 100, "%s%060zu\r\n",
                                len == 0 ? "\r\nmark 000001\r\n" : "", len);
    }
    leave_text(&joe, "joe@mx.example", "joe@example.org", content);
    leave_text(&ann, "ann@mx.example", "joe@example.org", "\r\nmark 000002\r\n");
    site_start(&site);
    CHECK(site_settle(&site, 2000));
    CHECK_EQ(site_copies(&site, 2), 1);
    CHECK_EQ(sim_outbox_num(site.host), 1);
    CHECK(sim_log_count(site.host, "outbox uid=1000 result=deferred reason=too-big") > 0);
    CHECK(site_stop(&site, 1000));
    site_drop(&site);
    memcpy(limit, "= 1M", 4);
    sim_files_put_string(site.host, SITE_CONF, text);
    site_start(&site);
    CHECK(site_settle(&site, 2000));
    CHECK_EQ(site_copies(&site, 1), 1);
    CHECK_EQ(sim_outbox_num(site.host), 0);
    CHECK(site_stop(&site, 1000));
    site_close(&site);
}

/* The disk no longer gives the pages that speak of this message. */
static void fail_pages_of(uint64_t id)
{
    struct sim_store *st = sim_host_store(site.host);
    for (size_t s = 0; s < sim_store_num_segments(st); s++) {
        uint8_t *bytes, text[8];
        uint64_t len;
        struct buf b = buf_make(text, sizeof text);
        uint32_t segment = sim_store_segment(st, s, &bytes, &len);
        buf_put_be(&b, sizeof text, id);
        const uint8_t *at = memmem(bytes, (size_t)len, text, sizeof text);
        if (at != NULL) {
            sim_store_fail_read(st, segment, (uint64_t)(at - bytes));
        }
    }
}

/* That the disk does not give just then what a file has become does not mean that it is not there:
 * it is not sent once more. */
static void test_outbox_reads_no_disk(void)
{
    struct queue_info first, second;
    struct spool_meta meta;
    uint32_t cursor = 0;
    open_outbox_site("");
    leave_text(&joe, "joe@mx.example", "joe@example.org", "\r\nmark 000001\r\n");
    leave_text(&ann, "ann@mx.example", "joe@example.org", "\r\nmark 000002\r\n");
    sim_mailbox_fail_begin(site.host, 1, 1000, ERR_NO_SPACE);
    site_start(&site);
    CHECK(site_settle(&site, 2000));
    CHECK(queue_each(&site.mta->queue, &cursor, &first));
    CHECK(queue_each(&site.mta->queue, &cursor, &second));
    fail_pages_of(first.id);
    CHECK_EQ(spool_meta_of(site.mta->spool, second.id, &meta),
             ERR_OK); /* its page is at hand now */
    mark = first.id;
    leave_text(&joe, "joe@mx.example", "joe@example.org", "\r\nmark 000001\r\n");
    mark = 0;
    CHECK(site_settle(&site, 2000));
    CHECK_EQ(sim_outbox_num(site.host), 0);
    sim_store_fail_read(sim_host_store(site.host), 0, UINT64_MAX);
    sim_mailbox_fail_begin(site.host, 0, 0, ERR_OK);
    for (int i = 0; i < 10; i++) {
        CHECK(site_settle(&site, 2000));
    }
    CHECK_EQ(site_copies(&site, 1), 1);
    CHECK_EQ(site_copies(&site, 2), 1);
    CHECK(site_stop(&site, 1000));
    site_close(&site);
}

/* A file that cannot be removed is tried again, and its message sent once; the others wait for that
 * and no longer. */
static void test_outbox_removes_later(void)
{
    open_outbox_site("");
    leave_text(&joe, "joe@mx.example", "joe@example.org", "\r\nmark 000001\r\n");
    leave_text(&ann, "ann@mx.example", "joe@example.org", "\r\nmark 000002\r\n");
    sim_outbox_keep(site.host, 3);
    site_start(&site);
    for (int i = 0; i < 3; i++) { /* a minute each */
        CHECK(site_settle(&site, 2000));
    }
    CHECK_EQ(sim_log_count(site.host, "outbox uid=1000 result=not-removed reason=io"), 3);
    CHECK_EQ(sim_outbox_num(site.host), 0);
    CHECK_EQ(site_copies(&site, 1), 1);
    CHECK_EQ(site_copies(&site, 2), 1);
    CHECK(site_stop(&site, 1000));
    site_close(&site);
}

/* One that no memory is left for now waits behind the others; one that all of it is too little for
 * is refused. */
static void test_outbox_needs_memory(void)
{
    char many[2000] = "joe@example.org";
    for (int i = 0; i < 12; i++) {
        size_t len = strlen(many);
        snprintf(many + len, sizeof many - len, " user%050d@example.org", i);
    }
    for (int others = 0; others < 2; others++) {
        open_outbox_site("");
        leave_text(&joe, "", many, "\r\nmark 000001\r\n");
        leave_text(&ann, "", "joe@example.org", "\r\nmark 000002\r\n");
        site_start(&site);
        struct pool *blocks = &site.mta->blocks;
        uint32_t num_items = blocks->num_items;
        void *held = others ? pool_take(blocks) : NULL;
        blocks->num_items = 1 + (uint32_t)others;
        for (int i = 0; i < 3; i++) {
            CHECK(site_settle(&site, 2000));
        }
        blocks->num_items = num_items;
        pool_give(blocks, held);
        CHECK_EQ(site_copies(&site, 1), 0);
        CHECK_EQ(site_copies(&site, 2), 1);
        CHECK_EQ(sim_log_count(site.host, "uid=1000 result=refused reason=too-big"), 1 - others);
        CHECK_EQ(sim_log_count(site.host, "result=deferred reason=no-memory") > 0, others);
        CHECK(site_settle(&site, 2000));
        CHECK_EQ(sim_outbox_num(site.host), 1 - others);
        CHECK_EQ(site_copies(&site, 1), others);
        CHECK(site_stop(&site, 1000));
        site_close(&site);
    }
}

/* As many recipients as postern sendmail takes. */
static void test_outbox_bounds_recipients(void)
{
    static char many[OUTBOX_RCPTS_MAX * 16 + 32];
    for (size_t i = 0; i < OUTBOX_RCPTS_MAX; i++) {
        memcpy(many + i * 16, "joe@example.org ", 16);
    }
    many[OUTBOX_RCPTS_MAX * 16 - 1] = '\0';
    open_outbox_site("");
    leave_text(&joe, "", many, "\r\nmark 000001\r\n");
    strcat(many, " joe@example.org");
    leave_text(&joe, "", many, "\r\nmark 000002\r\n");
    site_start(&site);
    CHECK(site_settle(&site, 4000));
    CHECK_EQ(site_copies(&site, 1), 1);
    CHECK_EQ(site_copies(&site, 2), 0);
    CHECK_EQ(sim_log_count(site.host, "outbox uid=1000 result=refused reason=too-big"), 1);
    CHECK_EQ(sim_outbox_num(site.host), 1);
    CHECK(site_stop(&site, 1000));
    site_close(&site);
}
/* Mail that was for another machine when it came is its user's once the options say so. */
static void test_outbox_and_routes_change(void)
{
    char text[2048];
    open_outbox_site("route_list = far.example smtp:192.0.2.99\nretry_min = 5s\n");
    leave_text(&ann, "ann@mx.example", "joe@far.example", "\r\nmark 000001\r\n");
    site_start(&site);
    CHECK(site_settle(&site, 4000));
    CHECK_EQ(sim_outbox_num(site.host), 0);
    CHECK(site_stop(&site, 1000));
    site_drop(&site);
    snprintf(text, sizeof text, "%sretry_min = 5s\n", site_conf);
    memcpy(strstr(text, "local_domains = example.org"), "local_domains = far.example", 27);
    sim_files_put_string(site.host, SITE_CONF, text);
    site_start(&site);
    CHECK(site_settle(&site, 4000));
    CHECK_EQ(site_copies(&site, 1), 1);
    CHECK(site_stop(&site, 1000));
    site_close(&site);
}

static const struct test_case cases[] = {
    {"outbox-needs-memory", test_outbox_needs_memory},
    {"outbox-bounds-recipients", test_outbox_bounds_recipients},
    {"outbox-and-routes-change", test_outbox_and_routes_change},
    {"outbox-reads-no-disk", test_outbox_reads_no_disk},
    {"outbox-lets-others-pass", test_outbox_lets_others_pass},
    {"outbox-keeps-what-is-too-large-now", test_outbox_keeps_what_is_too_large_now},
    {"outbox-removes-later", test_outbox_removes_later},
    {"outbox-is-taken-in", test_outbox_is_taken_in},
    {"outbox-is-counted", test_outbox_is_counted},
    {"outbox-knows-forged-marks", test_outbox_knows_forged_marks},
    {"outbox-believes-the-owner", test_outbox_believes_the_owner},
    {"outbox-refuses-nonsense", test_outbox_refuses_nonsense},
    {"outbox-refuses-once", test_outbox_refuses_once},
    {"outbox-bounces", test_outbox_bounces},
    {"outbox-takes-large-ones", test_outbox_takes_large_ones},
    {"outbox-goes-on", test_outbox_goes_on},
    {"outbox-survives-crashes", test_outbox_survives_crashes},
    {"outbox-waits-for-the-spool", test_outbox_waits_for_the_spool},
};

TEST_MAIN(cases)

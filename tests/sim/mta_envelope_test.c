/* What a session writes down of a message: parameters, recipients with their wishes for reports,
 * what aliases make of them, whether the content is 8-bit, and what the Received field tells of it.
 */
#include "mta_inside.h"
#include "mta_site.h"

static struct test_site site;

struct talk {
    struct sim_client *peer;
    char text[2048];
    size_t len;
};

static void open_site_with(const char *aliases)
{
    site_open(&site, 1, NULL);
    sim_files_put_string(
        site.host, SITE_CONF,
        "primary_hostname = mx.example\n"
        "local_domains = example.org : store.example\n"
        "local_interfaces = 127.0.0.1\n"
        "local_users = joe : ann\n"
        "relay_from_hosts = *\naliases_file = /etc/aliases\n"
        "route_list = store.example lmtp:192.0.2.8:24 ; "
        "old.example discard-with-bounce ; * smtp:192.0.2.9\n"
        "maildir = /mail/$local_part\nspool_size = 16M\nmessage_size_limit = 1M\n");
    sim_files_put_string(site.host, "/etc/aliases", aliases);
    site_start(&site);
}

/* Sends a line and waits for a reply that begins with that text. */
static bool say(struct talk *t, const char *line, const char *reply)
{
    t->len = 0;
    CHECK_EQ(sim_client_write(t->peer, slice_of_string(line)), strlen(line));
    for (int i = 0; i < 500; i++) {
        size_t len;
        mta_step(site.mta);
        while (sim_client_read(t->peer, &len, (uint8_t *)t->text + t->len,
                               sizeof t->text - 1 - t->len) == ERR_OK) {
            t->len += len;
        }
        t->text[t->len] = '\0';
        if (t->len != 0 && strncmp(t->text, reply, strlen(reply)) == 0) {
            return true;
        }
    }
    fprintf(stderr, "%sgets: %s\n", line, t->text);
    return false;
}

static void greet(struct talk *t)
{
    struct net_addr at = site_address();
    t->peer = sim_connect(site.world, &at, NULL);
    CHECK(t->peer != NULL && say(t, "", "220 ") && say(t, "EHLO c.example\r\n", "250-"));
}

/* Sends the content; the id that the message got. */
static uint64_t send_content(struct talk *t, const char *content)
{
    static const char thanks[] = "250 2.0.0 Queued as ";
    uint64_t id = 0;
    CHECK(say(t, "DATA\r\n", "354 "));
    CHECK(say(t, content, thanks));
    struct slice text = slice_make(t->text + sizeof thanks - 1, SPOOL_ID_TEXT_LEN);
    CHECK(spool_id_parse(text, &id));
    return id;
}

static void put_short(struct buf *b, const char *name, struct slice text)
{
    if (text.len != 0) {
        buf_put_string(b, name);
        buf_put(b, text);
    }
}

static void put_entry(struct buf *b, const struct envelope_entry *entry)
{
    switch (entry->kind) {
    case ENVELOPE_VERSION:
    case ENVELOPE_RUNNING:
        return;
    case ENVELOPE_SENDER:
        put_short(b, "from ", entry->sender);
        break;
    case ENVELOPE_PARAMS:
        buf_put_string(b, " flags ");
        text_put_u64(b, entry->params.flags);
        put_short(b, " envid ", entry->params.envid);
        break;
    case ENVELOPE_RCPT:
        put_short(b, "\nuser ", entry->rcpt.user);
        put_short(b, entry->rcpt.user.len != 0 ? " named " : "\nto ", entry->rcpt.address);
        buf_put_string(b, " notify ");
        text_put_u64(b, entry->rcpt.notify);
        put_short(b, " orcpt ", entry->rcpt.orcpt);
        break;
    }
}

static uint8_t stored[4096];

/* The message's envelope, as put_entry writes it, and whether the content is 8-bit. Its content is
 * in stored afterwards, with a NUL behind it. */
static void check_stored(uint64_t id, bool is_8bit, const char *want)
{
    struct spool_meta meta;
    struct envelope_entry entry;
    uint8_t bytes[2048];
    struct buf got = buf_make(bytes, sizeof bytes);
    size_t len = 0;
    CHECK_EQ(spool_meta_of(site.mta->spool, id, &meta), ERR_OK);
    CHECK_EQ(spool_read(site.mta->spool, &len, id, 0, stored, sizeof stored - 1), ERR_OK);
    struct slice in = slice_make(stored, meta.envelope_len);
    while (envelope_read(&in, &entry) == ERR_OK) {
        put_entry(&got, &entry);
    }
    CHECK(slice_is_empty(in));
    CHECK_TEXT(buf_slice(&got), want);
    CHECK_EQ((meta.flags & ENVELOPE_CONTENT_8BIT) != 0, is_8bit);
    memmove(stored, stored + meta.envelope_len, len - meta.envelope_len);
    stored[len - meta.envelope_len] = 0;
}

static bool content_has(const char *text)
{
    return strstr((const char *)stored, text) != NULL;
}

static void test_parameters(void)
{
    struct talk t;
    open_site_with("");
    greet(&t);
    CHECK(say(&t, "MAIL FROM:<s@c.example> BODY=8BITMIME SMTPUTF8 RET=FULL ENVID=a+2Bb SIZE=5\r\n",
              "250 "));
    CHECK(
        say(&t, "RCPT TO:<x@far.example> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;y+2B@z\r\n", "250 "));
    CHECK(say(&t, "RCPT TO:<x@far.example> NOTIFY=NEVER\r\n", "250 ")); /* the first one counts */
    CHECK(say(&t, "RCPT TO:<JOE@example.org> ORCPT=utf-8;\\x{FC}@z\r\n", "250 "));
    check_stored(send_content(&t, "Subject: x\r\n\r\n\xc3\xbc\r\n.\r\n"), true,
                 "from s@c.example flags 7 envid a+b\n"
                 "to x@far.example notify 6 orcpt rfc822;y+@z\n"
                 "user joe named JOE@example.org notify 0 orcpt utf-8;\xc3\xbc@z");
    CHECK(!content_has("\tfor <"));
    CHECK(say(&t, "MAIL FROM:<>\r\n", "250 ") && say(&t, "RCPT TO:<x@far.example>\r\n", "250 "));
    check_stored(send_content(&t, "plain\r\n.\r\n"), false, "\nto x@far.example notify 0");
    CHECK(content_has("\tfor <x@far.example>;\r\n"));
    site_close(&site);
}

/* The 8-bit byte at every place of a word, and behind the words. */
static void test_8bit_content(void)
{
    struct talk t;
    open_site_with("");
    greet(&t);
    for (size_t at = 0; at < 20; at++) {
        char content[40] = "aaaaaaaaaaaaaaaaaaaaaaa\r\n.\r\n";
        content[at] = (char)0x80;
        CHECK(say(&t, "MAIL FROM:<s@c.example>\r\n", "250 "));
        CHECK(say(&t, "RCPT TO:<x@far.example>\r\n", "250 "));
        check_stored(send_content(&t, content), true,
                     "from s@c.example\nto x@far.example notify 0");
    }
    site_close(&site);
}

static void test_aliases(void)
{
    struct talk t;
    open_site_with("root: joe, admin@far.example\nboss: boss@far.example\n");
    greet(&t);
    CHECK(say(&t, "MAIL FROM:<s@c.example>\r\n", "250 "));
    CHECK(say(&t, "RCPT TO:<root@example.org> NOTIFY=DELAY\r\n", "250 "));
    check_stored(send_content(&t, "x\r\n.\r\n"), false,
                 "from s@c.example\nuser joe named root@example.org notify 8\n"
                 "to admin@far.example notify 8 orcpt rfc822;root@example.org");
    /* Where an alias leads is told to nobody. */
    CHECK(say(&t, "MAIL FROM:<s@c.example>\r\n", "250 "));
    CHECK(say(&t, "RCPT TO:<Boss@example.org> ORCPT=rfc822;big@c.example\r\n", "250 "));
    check_stored(send_content(&t, "x\r\n.\r\n"), false,
                 "from s@c.example\nto boss@far.example notify 0 orcpt rfc822;big@c.example");
    CHECK(!content_has("far.example"));
    /* A user known elsewhere, by the name that the options give. */
    CHECK(say(&t, "MAIL FROM:<s@c.example>\r\n", "250 "));
    CHECK(say(&t, "RCPT TO:<\"JOE\"@store.example>\r\n", "250 "));
    CHECK(say(&t, "RCPT TO:<nobody@store.example>\r\n", "550 5.1.1"));
    check_stored(
        send_content(&t, "x\r\n.\r\n"), false,
        "from s@c.example\nto joe@store.example notify 0 orcpt rfc822;\"JOE\"@store.example");
    site_close(&site);
}

static struct slice wait_for_mail(void)
{
    const char *name;
    struct slice mail = slice_make(NULL, 0);
    for (int i = 0; i < 2000 && sim_mailbox_num(site.host, SITE_MAILDIR, SIM_NEW) == 0; i++) {
        mta_step(site.mta);
    }
    CHECK(sim_mailbox_file(site.host, SITE_MAILDIR, SIM_NEW, 0, &name, &mail));
    return mail;
}

static bool mail_has(struct slice mail, const char *text)
{
    return memmem(mail.ptr, mail.len, text, strlen(text)) != NULL;
}

/* What bounces is reported in full to the sender, 8-bit content too, with what it asked for. */
static void test_report(void)
{
    struct talk t;
    open_site_with("boss: boss@old.example\n");
    greet(&t);
    CHECK(say(&t, "MAIL FROM:<joe@example.org> RET=FULL ENVID=e+2B1\r\n", "250 "));
    CHECK(say(&t, "RCPT TO:<boss@example.org>\r\n", "250 "));
    CHECK(say(&t, "RCPT TO:<x@old.example> NOTIFY=NEVER\r\n", "250 "));
    send_content(&t, "Subject: t\r\n\r\n\xff\r\n.\r\n");
    struct slice mail = wait_for_mail();
    CHECK(mail_has(mail, "Return-Path: <>\n"));
    CHECK(mail_has(mail, "Auto-Submitted: auto-replied\n"));
    CHECK(mail_has(mail, "Content-Transfer-Encoding: 8bit\n"));
    CHECK(mail_has(mail, "Original-Envelope-Id: e+1\n"));
    CHECK(mail_has(mail, "Original-Recipient: rfc822; boss@example.org\n"));
    CHECK(mail_has(mail, "Content-Type: message/rfc822\n"));
    CHECK(mail_has(mail, "\n\n\xff\n\n--=_"));
    CHECK(!mail_has(mail, "x@old.example"));
    site_close(&site);
}

/* A message that an earlier release has left in the spool. */
static void test_version_1(void)
{
    static const uint8_t old[] = "V\0\1\1F\0\13s@c.exampleR\0\23\3joejoe@example.org"
                                 "Subject: old\r\n\r\nx\r\n";
    struct spool_meta meta = {.envelope_len = 4 + 14 + 22, .num_rcpts = 1};
    uint64_t txn;
    open_site_with("");
    for (int i = 0; i < 200; i++) {
        mta_step(site.mta);
    }
    CHECK_EQ(spool_begin(site.mta->spool, &txn, sizeof old), ERR_OK);
    CHECK_EQ(spool_append(site.mta->spool, txn, slice_make(old, sizeof old - 1)), ERR_OK);
    CHECK_EQ(spool_commit(site.mta->spool, txn, &meta), ERR_OK);
    for (int i = 0; i < 200; i++) {
        mta_step(site.mta);
    }
    CHECK_EQ(sim_mailbox_num(site.host, SITE_MAILDIR, SIM_NEW), 0);
    site_drop(&site);
    sim_host_kill(site.host);
    site_start(&site);
    CHECK(mail_has(wait_for_mail(), "Return-Path: <s@c.example>\nSubject: old\n\nx\n"));
    site_close(&site);
}

/* Of 8-bit content the header alone goes back: the report is 8-bit only if that is. */
static void test_report_of_header(void)
{
    static const char *const contents[] = {"Subject: t\r\n\r\n\xff\r\n.\r\n",
                                           "Subject: \xff\r\n\r\nt\r\n.\r\n"};
    for (size_t i = 0; i < 2; i++) {
        struct talk t;
        open_site_with("boss: boss@old.example\n");
        greet(&t);
        CHECK(say(&t, "MAIL FROM:<joe@example.org>\r\n", "250 "));
        CHECK(say(&t, "RCPT TO:<boss@example.org>\r\n", "250 "));
        send_content(&t, contents[i]);
        struct slice mail = wait_for_mail();
        CHECK(mail_has(mail, "Content-Type: text/rfc822-headers\n"));
        CHECK_EQ(mail_has(mail, "Content-Transfer-Encoding: 8bit\n"), i == 1);
        site_close(&site);
    }
}

/* However much others ask for, an envelope of a few recipients finds room. */
static void test_large_envelopes(void)
{
    static void *taken[BUDGET_ENVELOPE_BLOCKS];
    char line[700], filler[481];
    struct talk large, small;
    uint32_t num_taken = 0;
    memset(filler, 'o', sizeof filler - 1);
    filler[sizeof filler - 1] = '\0';
    open_site_with("");
    while (num_taken < BUDGET_ENVELOPE_BLOCKS - BUDGET_ENVELOPE_BLOCKS / 4 - 20) {
        taken[num_taken++] = pool_take(&site.mta->blocks);
    }
    greet(&large);
    CHECK(say(&large, "MAIL FROM:<s@c.example>\r\n", "250 "));
    for (int i = 0; i < 700 && strncmp(large.text, "250 ", 4) == 0; i++) {
        snprintf(line, sizeof line, "RCPT TO:<x%d@far.example> ORCPT=rfc822;%s\r\n", i, filler);
        CHECK(say(&large, line, i < 15 ? "250 " : ""));
    }
    CHECK(strncmp(large.text, "452 4.5.3 ", 10) == 0);
    greet(&small);
    CHECK(say(&small, "MAIL FROM:<s@c.example>\r\n", "250 "));
    CHECK(say(&small, "RCPT TO:<x@far.example>\r\n", "250 "));
    CHECK(say(&small, "RCPT TO:<y@far.example>\r\n", "250 "));
    send_content(&small, "x\r\n.\r\n");
    send_content(&large, "x\r\n.\r\n"); /* for those that were taken */
    while (num_taken != 0) {
        pool_give(&site.mta->blocks, taken[--num_taken]);
    }
    site_close(&site);
}

static const struct test_case cases[] = {
    {"parameters", test_parameters},
    {"8bit_content", test_8bit_content},
    {"aliases", test_aliases},
    {"report", test_report},
    {"version_1", test_version_1},
    {"report_of_header", test_report_of_header},
    {"large_envelopes", test_large_envelopes},
};

TEST_MAIN(cases)

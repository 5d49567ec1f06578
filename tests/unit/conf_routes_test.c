/* route_list: every transport, what is wrong with a wrong item, and which item a domain gets. */
#include "route.h"

#include "test.h"

static uint8_t memory[CONF_MEMORY_LEN];
static struct conf conf;
static char error_bytes[CONF_ERRORS_CAP];
static struct buf errors;
static const struct conf_env env = {"t.conf", {(const uint8_t *)"mx.example.org", 14}};

static enum err read_with_memory(const char *options, size_t len)
{
    struct arena arena = {memory, len, 0};
    memset(memory, 0xa5, sizeof memory);
    errors = buf_make(error_bytes, sizeof error_bytes);
    return conf_read(&conf, &arena, slice_of_string(options), &env, &errors);
}

static void read_right(const char *options)
{
    if (read_with_memory(options, sizeof memory) != ERR_OK) {
        fprintf(stderr, "%.*s", (int)errors.len, error_bytes);
        CHECK(false);
    }
}

/* An item as the test table writes it. */
static void put_item(struct buf *b, const struct route_item *item)
{
    static const char *const kinds[] = {"maildir", "lmtp", "smtp", "mx", "nowhere"};
    static const char *const patterns[] = {"", "@", "*.", "*"};
    buf_put_string(b, patterns[item->pattern.kind]);
    buf_put(b, item->pattern.name);
    buf_put_u8(b, ' ');
    buf_put_string(b, kinds[item->kind]);
    for (uint32_t i = 0; i < item->num_hosts; i++) {
        const struct route_host *host = &item->hosts[i];
        CHECK_EQ(host->name.ptr[host->name.len], 0);
        buf_put_u8(b, ' ');
        buf_put(b, host->name);
        buf_put_string(b, host->is_socket ? "|socket" : "|");
        text_put_u64(b, host->port);
        buf_put_string(b, host->implicit_tls ? "|tls" : "");
    }
    buf_put_u8(b, ';');
}

static void test_transports(void)
{
    static const char *const table[][2] = {
        {"", ""},
        {"* mx", "* mx;"},
        {" * \t mx ; ;", "* mx;"},
        {"@ maildir;*.a.example lmtp:store:24 ; b.example MX",
         "@mx.example.org maildir;*.a.example lmtp store|24;b.example mx;"},
        {"* lmtp:/run/dovecot/lmtp", "* lmtp /run/dovecot/lmtp|socket0;"},
        {"* lmtp:/run/a,/run/b,store:24", "* lmtp /run/a|socket0 /run/b|socket0 store|24;"},
        {"* smtp:relay.example", "* smtp relay.example|25;"},
        {"* SMTP:relay.example:587", "* smtp relay.example|587;"},
        {"* smtp:r1.example:587, r2.example", "* smtp r1.example|587 r2.example|25;"},
        {"* smtps:r1.example", "* smtp r1.example|465|tls;"},
        {"* smtps:r1:5, smtp:r2:6, r3,smtps:r4", "* smtp r1|5|tls r2|6 r3|25 r4|465|tls;"},
        {"* smtp:192.0.2.1", "* smtp 192.0.2.1|25;"},
        {"* smtp:[192.0.2.1]:26", "* smtp 192.0.2.1|26;"},
        {"* smtp:[2001:db8::1]:26,[::1]", "* smtp 2001:db8::1|26 ::1|25;"},
        {"* smtp:mx", "* smtp mx|25;"},
        {"* smtp:a,maildir", "* smtp a|25 maildir|25;"},
        {"* smtp:smtp", "* smtp smtp|25;"},
        {"[192.0.2.7] smtp:a", "[192.0.2.7] smtp a|25;"},
        {"old.example discard-with-bounce", "old.example nowhere;"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        char options[200];
        uint8_t got_bytes[200];
        struct buf got = buf_make(got_bytes, sizeof got_bytes);
        snprintf(options, sizeof options, "route_list = %s\n", table[i][0]);
        read_right(options);
        for (uint32_t k = 0; k < conf.route_list.num_items; k++) {
            put_item(&got, &conf.route_list.items[k]);
        }
        CHECK_TEXT(buf_slice(&got), table[i][1]);
    }
}

#define FORM                                                                          \
    "', expected DOMAIN TRANSPORT, where TRANSPORT is maildir, mx, lmtp:HOST:PORT, "  \
    "lmtp:/SOCKET, smtp:HOST, smtps:HOST or discard-with-bounce; ';' between items, " \
    "',' between hosts\n"
#define LONG64 "a234567890123456789012345678901234567890123456789012345678901234"

/* The value, and what of it is shown. */
static void test_wrong_items(void)
{
    static const char *const table[][2] = {
        {"mx", "mx"},
        {"*", "*"},
        {"* mx x", "* mx x"},
        {"* mx, smtp:a", "* mx, smtp:a"},
        {"* mxx", "* mxx"},
        {"a.example mx ; b..example mx", "b..example mx"},
        {"!a.example mx", "!a.example mx"},
        {"* smtp", "* smtp"},
        {"* smtp:", ""},
        {"* smtp:a,", ""},
        {"* smtp:a,,b", ""},
        {"* smtp:,a", ""},
        {"* smtp:-a", "-a"},
        {"* smtp:a b", "a b"},
        {"* smtp:10.0.0.256", "10.0.0.256"},
        {"* smtp:10.1:25", "10.1:25"},
        {"* smtp:a:", "a:"},
        {"* smtp:a:0", "a:0"},
        {"* smtp:a:65536", "a:65536"},
        {"* smtp:a:25x", "a:25x"},
        {"* smtp:2001:db8::1", "2001:db8::1"},
        {"* smtp:[2001:db8::1", "[2001:db8::1"},
        {"* smtp:[2001:db8::1]25", "[2001:db8::1]25"},
        {"* smtp:[a.example]", "[a.example]"},
        {"* smtp:[]", "[]"},
        {"* smtp:a, lmtp:b:24", "lmtp:b:24"},
        {"* smtp:/run/a", "/run/a"},
        {"* smtp:r:1, smtp:", "smtp:"},
        {"* lmtp:a", "a"},
        {"* lmtp:a:24, smtp:b", "smtp:b"},
        {"* lmtp:/" LONG64 LONG64, "/" LONG64},
        {"* mx : a.example smtp:b", "* mx : a.example smtp:b"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        char options[300], want[600];
        bool is_cut = strlen(table[i][1]) > 64;
        snprintf(options, sizeof options, "route_list = %s\n", table[i][0]);
        snprintf(want, sizeof want, "t.conf:1: route_list: found '%.64s%s" FORM, table[i][1],
                 is_cut ? "..." : "");
        CHECK_EQ(read_with_memory(options, sizeof memory), ERR_MALFORMED);
        CHECK_TEXT(buf_slice(&errors), want);
    }
}

static void test_memory(void)
{
    bool fitted = false;
    for (size_t len = CONF_LINE_MAX; len < CONF_LINE_MAX + 8192; len += 8) {
        enum err err = read_with_memory("route_list = a.example smtp:b,c,d ; * mx\n", len);
        CHECK(err == ERR_OK || (err == ERR_NO_MEMORY && !fitted));
        fitted = fitted || err == ERR_OK;
    }
    CHECK(fitted);
}

static void check_way(const char *domain, const char *want)
{
    uint8_t bytes[200];
    struct buf got = buf_make(bytes, sizeof bytes);
    const struct route_item *item = route_find(&conf, slice_of_string(domain));
    if (item != NULL) {
        put_item(&got, item);
    }
    if (!slice_equal(buf_slice(&got), slice_of_string(want))) {
        fprintf(stderr, "%s\n", domain);
        CHECK_TEXT(buf_slice(&got), want);
    }
}

static void test_find(void)
{
    read_right("");
    check_way("elsewhere.example", "* mx;");
    check_way("[192.0.2.1]", "* mx;");
    check_way("MX.example.org", " maildir;");
    check_way("", " maildir;");

    read_right("local_domains = @ : a.example : *.b.example\n"
               "route_list = *.b.example lmtp:/s ; C.example smtp:c ; *.c.example smtp:d ;"
               " [192.0.2.1] smtp:e\n");
    check_way("mx.example.org", " maildir;");
    check_way("a.example", " maildir;");
    check_way("x.b.example", "*.b.example lmtp /s|socket0;");
    check_way("b.example", "");
    check_way("c.EXAMPLE", "C.example smtp c|25;");
    check_way("x.c.example", "*.c.example smtp d|25;");
    check_way("xc.example", "");
    check_way("[192.0.2.1]", "[192.0.2.1] smtp e|25;");
    check_way("[192.0.2.2]", "");

    /* The first decides; '*' is for others, maildir for ours. */
    read_right("local_domains = a.example\n"
               "route_list = *.example maildir ; * smtp:x ; a.example mx ; b.example mx\n");
    check_way("a.example", "*.example maildir;");
    check_way("b.example", "* smtp x|25;");
    read_right("route_list = * smtp:x ; @ lmtp:/s\n");
    check_way("mx.example.org", "@mx.example.org lmtp /s|socket0;");
    check_way("", "@mx.example.org lmtp /s|socket0;");
}

static void check_unfit(const char *options)
{
    read_right(options);
    CHECK_EQ(conf_check(&conf, &env, &errors), ERR_MALFORMED);
    CHECK_TEXT(buf_slice(&errors), "t.conf:1: route_list: maildir is for local_domains alone\n");
}

static void test_fit(void)
{
    check_unfit("route_list = a.example maildir\n");
    check_unfit("route_list = * maildir\n");
    read_right("route_list = @ maildir ; *.example maildir\nlocal_domains = @ : a.example\n");
    CHECK_EQ(conf_check(&conf, &env, &errors), ERR_OK);
}

static const struct test_case cases[] = {
    {"transports", test_transports},
    {"wrong-items", test_wrong_items},
    {"memory", test_memory},
    {"find", test_find},
    {"fit", test_fit},
};

TEST_MAIN(cases)

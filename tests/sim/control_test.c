/* The control socket of a server in a simulated world: what it tells and takes, and that nobody who
 * is slow, silent or a stranger gets anything by it. */
#include "mta_tls_peer.h"

static struct site_client plain;

#define SOCKET "/var/spool/postern/control"

static const struct port_user owner = {SIM_UID, "postern"}, stranger = {1000, "joe"};

static struct site_client plain;

struct asker {
    struct sim_client *peer;
    char text[32768];
    size_t len;
    bool ended;
};

static void connect_asker(struct asker *a)
{
    memset(a, 0, sizeof *a);
    a->peer = sim_connect_local(site.host, SOCKET, &owner);
    CHECK(a->peer != NULL);
}

static void hear(struct asker *a)
{
    size_t len;
    enum err err;
    while ((err = sim_client_read(a->peer, &len, (uint8_t *)a->text + a->len,
                                  sizeof a->text - 1 - a->len)) == ERR_OK) {
        a->len += len;
        a->text[a->len] = '\0';
    }
    a->ended = a->ended || err != ERR_AGAIN;
}

static const char *ask(const char *request)
{
    static struct asker a;
    connect_asker(&a);
    CHECK_EQ(sim_client_write(a.peer, slice_of_string(request)), strlen(request));
    for (int i = 0; i < 400 && !a.ended; i++) {
        mta_step(site.mta);
        hear(&a);
    }
    CHECK(a.ended);
    sim_client_close(a.peer);
    return a.text;
}

static void check_holds(const char *text, const char *part)
{
    if (strstr(text, part) == NULL) {
        fprintf(stderr, "no \"%s\" in:\n%s\n", part, text);
    }
    CHECK(strstr(text, part) != NULL);
}

static void open_site(void)
{
    site_open(&site, 1, NULL);
    site_start(&site);
    CHECK(site_settle(&site, 200));
}

static void test_status_tells(void)
{
    open_site();
    client_connect(&site, &plain, 0, 1, 500);
    CHECK(site_run(&site, &plain, 1, 2000));
    CHECK(site_settle(&site, 2000));
    CHECK_EQ(site_copies(&site, 0), 1);
    const char *text = ask("status\n");
    check_holds(text, " version: test\n hostname: mx.example\n uptime: 120 s\n clock: set 2026-");
    check_holds(text, "\n connections: 0 of 500, 1 since the start, 0 refused\n");
    check_holds(text, "\n messages: 0 waiting of ");
    check_holds(text, ", 1 received, 1 delivered since the start\n");
    check_holds(text, "\n pool control connections: 1 of ");
    check_holds(text, "\n tls: none\n=ok\n");
    CHECK_EQ(site.mta->controls.num_used, 0);
    CHECK(site_stop(&site, 1000));
    CHECK(sim_connect_local(site.host, SOCKET, &owner) == NULL);
    site_close(&site);
}

/* A disk that takes nothing: mail is answered 451, and who asks is told. */
static void test_status_tells_of_a_failed_spool(void)
{
    open_site();
    check_holds(ask("status\n"), " segments\n");
    sim_store_fail_sync(sim_host_store(site.host), 1, 1000000);
    sim_files_fail(site.host, "/var/spool/postern/running-time", ERR_IO);
    client_connect(&site, &plain, 0, 1, 500);
    CHECK(site_run(&site, &plain, 1, 5000));
    check_holds(ask("status\n"), " segments, failed\n");
    site_drop(&site);
    site_close(&site);
}

static void test_wrong_requests_are_told(void)
{
    static const char *const wrong[] = {
        "\n",        "quit\n",          "status all\n",  "clock set\n",
        "clock x\n", "clock trust x\n", "clock set 1\n", "clock set 2026-01-01T00:00:00Z x\n",
        "stat\x01\n"};
    char text[CONTROL_LINE_MAX + 10];
    open_site();
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        check_holds(ask(wrong[i]), "\n=malformed\n");
    }
    memset(text, 'a', sizeof text);
    text[sizeof text - 1] = '\0';
    check_holds(ask(text), "=too-big\n");
    CHECK_EQ(site.mta->controls.num_used, 0);
    CHECK(site_stop(&site, 1000));
    site_close(&site);
}

static void test_strangers_stay_out(void)
{
    open_site();
    CHECK(sim_connect_local(site.host, SOCKET, &stranger) == NULL);
    CHECK(site_stop(&site, 1000));
    site_close(&site);
}

/* Whoever says nothing, or takes nothing, has its place until that is needed or its time is up;
 * mail goes on. */
static void test_silence_costs_a_slot(void)
{
    static struct asker silent[BUDGET_CONTROLS + 2];
    open_site();
    for (size_t i = 0; i < BUDGET_CONTROLS + 2; i++) {
        connect_asker(&silent[i]);
        if (i % 2 == 0) {
            CHECK(sim_client_write(silent[i].peer, SLICE_LITERAL("sta")) == 3);
        }
        sim_world_advance(site.world, 1000);
        for (int k = 0; k < 5; k++) {
            sim_world_set_horizon(site.world, sim_world_now_ms(site.world));
            mta_step(site.mta);
        }
        sim_world_set_horizon(site.world, UINT64_MAX);
        CHECK(site.mta->controls.num_used <= BUDGET_CONTROLS);
    }
    check_holds(ask("clock\n"), "=ok\n");
    client_connect(&site, &plain, 0, 1, 500);
    CHECK(site_run(&site, &plain, 1, 2000));
    CHECK_EQ(site.num_acked, 1);
    CHECK(site_settle(&site, 2000));
    CHECK(site_settle(&site, 2000));
    CHECK_EQ(site.mta->controls.num_used, 0);
    CHECK(site_stop(&site, 1000));
    site_close(&site);
}

/* An asker that reads a few bytes at a time gets all of it. */
static void test_slow_readers_get_all(void)
{
    static struct asker a;
    struct sim_link link = {.chunk_len = 3, .queue_len = 7};
    open_site();
    sim_net_set_link(site.world, &link);
    connect_asker(&a);
    CHECK_EQ(sim_client_write(a.peer, SLICE_LITERAL("sta")), 3);
    CHECK_EQ(sim_client_write(a.peer, SLICE_LITERAL("tus")), 3);
    mta_step(site.mta);
    CHECK_EQ(sim_client_write(a.peer, SLICE_LITERAL("\n")), 1);
    for (int i = 0; i < 3000 && !a.ended; i++) {
        mta_step(site.mta);
        hear(&a);
    }
    CHECK(a.ended);
    check_holds(a.text, " version: test\n");
    check_holds(a.text, "\n=ok\n");
    sim_client_close(a.peer);
    CHECK(site_stop(&site, 1000));
    site_close(&site);
}

/* Without a place for its socket a server serves, and says what is missing. */
static void test_no_socket_is_told(void)
{
    char text[2048];
    site_open(&site, 1, NULL);
    snprintf(text, sizeof text, "%scontrol_socket = /run/taken\n", site_conf);
    sim_files_put_string(site.host, SITE_CONF, text);
    uint32_t handle;
    const struct port *port = sim_host_port(site.host);
    struct port_local at = {.path = "/run/taken", .access = PORT_OWNER};
    CHECK_EQ(port->net.listen_local(port->net.ctx, &handle, &at), ERR_OK);
    site_start(&site);
    CHECK_EQ(sim_log_count(site.host, "warning control result=unavailable reason=in-use "
                                      "path=\"/run/taken\""),
             1);
    client_connect(&site, &plain, 0, 1, 500);
    CHECK(site_run(&site, &plain, 1, 2000));
    CHECK_EQ(site.num_acked, 1);
    CHECK(site_stop(&site, 1000));
    site_close(&site);
}

/* What waits is listed, shown, held, released and removed. */
static void test_queue_is_told_and_changed(void)
{
    char request[64], id[SPOOL_ID_TEXT_LEN + 1];
    open_site();
    check_holds(ask("queue list\n"), " messages: 0\n=ok\n");
    check_holds(ask("flush\n"), " to be tried now: 0\n=ok\n");
    sim_mailbox_fail_begin(site.host, 1, 100, ERR_NO_SPACE);
    client_connect(&site, &plain, 0, 1, 500);
    CHECK(site_run(&site, &plain, 1, 2000));
    CHECK(site_settle(&site, 2000));
    const char *text = ask("queue list\n");
    check_holds(text, " waiting, age ");
    check_holds(text,
                ", from <sender@client.example>\n     to <joe@example.org>\n messages: 1\n=ok\n");
    snprintf(id, sizeof id, "%s", text + 1);
    snprintf(request, sizeof request, "queue show %s\n", id);
    check_holds(ask(request), "\n to <joe@example.org>, mailbox joe: waiting\n=ok\n");
    snprintf(request, sizeof request, "queue hold %s\n", id);
    check_holds(ask(request), "=ok\n");
    check_holds(ask(request), ": it is held already\n=exists\n");
    check_holds(ask("queue list\n"), " held, age ");
    check_holds(ask("queue hold nonsense\n"),
                "!nonsense: there is no such message in the queue\n=absent\n");
    check_holds(ask("queue steal nonsense x\n"), "=malformed\n");
    sim_mailbox_fail_begin(site.host, 0, 0, ERR_OK);
    CHECK(site_settle(&site, 2000));
    CHECK_EQ(site_copies(&site, 0), 0);
    snprintf(request, sizeof request, "queue release %s\n", id);
    check_holds(ask(request), "=ok\n");
    CHECK(site_settle(&site, 2000));
    CHECK_EQ(site_copies(&site, 0), 1);
    check_holds(ask(request), ": there is no such message in the queue\n=absent\n");
    CHECK(site_stop(&site, 1000));
    site_close(&site);
}

static bool is_stapled(void)
{
    static struct tls_peer p;
    peer_connect(&p);
    CHECK(peer_starttls(&p));
    bool stapled = !slice_is_empty(tls_client_proof(&p.tls));
    peer_close(&p);
    return stapled;
}

/* A board without a clock: no proof is served until somebody says what time it is, then at once. */
static void test_clock_set_by_hand(void)
{
    char text[2048], request[64];
    int64_t true_s;
    open_tls_site(5, 5);
    CHECK(is_stapled());
    CHECK(site_settle(&site, 2000)); /* the floor is saved */
    true_s = sim_host_wall(site.host);
    snprintf(text, sizeof text, "%s%sclock_trusted = auto\n", site_conf, TLS_CONF);
    sim_files_put_string(site.host, SITE_CONF, text);
    sim_host_set_wall(site.host, 1000, false);
    sim_host_signal(site.host, PORT_RELOAD);
    mta_step(site.mta);
    CHECK(!is_stapled());
    check_holds(ask("status\n"), "clock-not-set");
    check_holds(ask("clock trust\n"), "=not-allowed\n");
    CHECK(!is_stapled());
    uint8_t bytes[32];
    struct buf time = buf_make(bytes, sizeof bytes);
    text_put_time(&time, true_s);
    snprintf(request, sizeof request, "clock set %.*s\n", (int)time.len, (char *)time.ptr);
    check_holds(ask(request), " by hand");
    CHECK_EQ(sim_log_count(site.host, "clock state=by-hand"), 1);
    CHECK(is_stapled());
    /* The floor has risen with it; it can be lowered. */
    sim_world_advance(site.world, 1000);
    mta_step(site.mta);
    check_holds(ask("clock set 2026-01-01T00:00:01Z\n"), "!that is before the floor");
    check_holds(ask("clock reset-floor set 2026-01-01T00:00:01Z\n"), " set 2026-01-01T00:00:01Z");
    CHECK(!is_stapled());
    check_holds(ask("clock reset-floor\n"), "not believed");
    /* The system knows better than anybody. */
    sim_host_set_wall(site.host, true_s + 10, true);
    sim_world_advance(site.world, 1000);
    mta_step(site.mta);
    CHECK(is_stapled());
    check_holds(ask(request), "!the system is synchronised");
    CHECK(site_stop(&site, 1000));
    site_close(&site);
}

/* Escaped, each of its bytes takes four. */
#define TEN      "\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc"
#define LONG_DIR "/tls/" TEN TEN TEN TEN TEN TEN TEN

/* However many sets there are, and whatever their files are called. */
static void test_status_tells_all_sets(void)
{
    char text[2048], name[64], path[256];
    open_tls_site(1, 5);
    snprintf(text, sizeof text, "%s%s", site_conf,
             "tls_certificate = " LONG_DIR "/$tls_in_sni/chain.pem\n"
             "tls_privatekey = " LONG_DIR "/$tls_in_sni/key.pem\n"
             "tls_ocsp_file = " LONG_DIR "/$tls_in_sni/proof.der\n");
    sim_files_put_string(site.host, SITE_CONF, text);
    for (int i = -1; i < BUDGET_TLS_SETS; i++) {
        snprintf(name, sizeof name, i < 0 ? "mx.example" : "number-%d.names.example", i);
        snprintf(path, sizeof path, LONG_DIR "/%s/chain.pem", name);
        copy_file("chain.pem", path);
        snprintf(path, sizeof path, LONG_DIR "/%s/key.pem", name);
        copy_file("key.pem", path);
        if (i < 0) {
            sim_host_signal(site.host, PORT_RELOAD);
            mta_step(site.mta);
            CHECK_EQ(sim_log_count(site.host, "new options are in force"), 1);
        } else {
            tls_set_drop(site_take_set(site.mta, slice_of_string(name)));
        }
    }
    CHECK_EQ(site.mta->tls_names.num_used, BUDGET_TLS_SETS);
    const char *told = ask("status\n");
    for (int i = 0; i < BUDGET_TLS_SETS; i++) {
        snprintf(name, sizeof name, " set: number-%d.names.example\n", i);
        check_holds(told, name);
    }
    check_holds(told, "\n=ok\n");
    CHECK(strstr(told, "!") == NULL);
    CHECK(site_stop(&site, 1000));
    site_close(&site);
}

static const struct test_case cases[] = {
    {"status-tells-all-sets", test_status_tells_all_sets},
    {"status-tells", test_status_tells},
    {"status-tells-of-a-failed-spool", test_status_tells_of_a_failed_spool},
    {"wrong-requests-are-told", test_wrong_requests_are_told},
    {"strangers-stay-out", test_strangers_stay_out},
    {"silence-costs-a-slot", test_silence_costs_a_slot},
    {"slow-readers-get-all", test_slow_readers_get_all},
    {"no-socket-is-told", test_no_socket_is_told},
    {"queue-is-told-and-changed", test_queue_is_told_and_changed},
    {"clock-set-by-hand", test_clock_set_by_hand},
};

int main(int argc, char **argv)
{
    return tls_test_main(cases, sizeof cases / sizeof cases[0], argc, argv);
}

/* TLS in a simulated world: handshakes go on while a disk takes its time, and options change under
 * live sessions. */
#include "mta_tls_peer.h"
#include "tls_inside.h"
#include "tls_status.h"

static struct site_client plain;

/* A sync of two seconds: a whole handshake, with its proof, and a session fit in before the reply
 * that waits for it. */
static void test_handshake_beside_slow_sync(void)
{
    static struct tls_peer p;
    open_tls_site(1, 2000);
    client_connect(&site, &plain, 0, 1, 500);
    while (plain.line != 5 || plain.body_left != 0) {
        mta_step(site.mta);
        client_turn(&site, &plain);
    }
    uint64_t begin_ms = sim_world_now_ms(site.world);
    peer_connect(&p);
    CHECK(peer_starttls(&p));
    CHECK(!slice_is_empty(tls_client_proof(&p.tls)));
    peer_say(&p, "EHLO tls.example\r\n");
    CHECK(peer_hears(&p, "250 "));
    CHECK(strstr(p.text, "STARTTLS") == NULL);
    CHECK(sim_world_now_ms(site.world) - begin_ms < 1000);
    CHECK_EQ(site.num_acked, 0);
    CHECK(site_run(&site, &plain, 1, 1000));
    CHECK_EQ(site.num_acked, 1);
    peer_close(&p);
    CHECK(site_stop(&site, 1000));
    CHECK_EQ(sim_log_count(site.host, "ocsp=served"), 1);
    site_close(&site);
}

/* Options are read again while a TLS session is in a transaction: it goes on, new names are told,
 * and a wrong file changes nothing. */
static void test_reload_under_sessions(void)
{
    char text[2048];
    static struct tls_peer p;
    open_tls_site(2, 5);
    peer_connect(&p);
    CHECK(peer_starttls(&p));
    peer_say(&p, "EHLO tls.example\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<joe@example.org>\r\n");
    CHECK(peer_hears(&p, "250 2.1.5"));
    for (int round = 0; round < 5; round++) {
        snprintf(text, sizeof text, "%s%slocal_users = ann\n",
                 round % 2 == 0 ? "nonsense = 1\n" : "", TLS_CONF);
        if (round % 2 != 0) {
            snprintf(text, sizeof text, "%s%s", site_conf, TLS_CONF);
            memcpy(strstr(text, "mx.example"), "mX.eXample", 10);
        }
        sim_files_put_string(site.host, SITE_CONF, text);
        sim_host_signal(site.host, PORT_RELOAD);
        mta_step(site.mta);
    }
    CHECK_EQ(sim_log_count(site.host, "the options stay as they were"), 3);
    CHECK_EQ(sim_log_count(site.host, "new options are in force"), 2);
    peer_say(&p, "DATA\r\n");
    CHECK(peer_hears(&p, "354 "));
    peer_say(&p, "Subject: x\r\n\r\nmark 000000\r\n.\r\n");
    CHECK(peer_hears(&p, "250 2.0.0"));
    peer_say(&p, "EHLO again\r\n");
    CHECK(peer_hears(&p, "250 "));
    CHECK(strstr(p.text, "mX.eXample") != NULL);
    peer_close(&p);
    CHECK(site_settle(&site, 5000));
    CHECK_EQ(site_copies(&site, 0), 1);
    CHECK(site_stop(&site, 1000));
    site_close(&site);
}

static void limit_handshakes(unsigned max)
{
    char text[2048];
    snprintf(text, sizeof text, "%s%stls_max_handshakes = %u\n", site_conf, TLS_CONF, max);
    sim_files_put_string(site.host, SITE_CONF, text);
    sim_host_signal(site.host, PORT_RELOAD);
    mta_step(site.mta);
}

/* Many handshakes at once, more than places: all get their turn. */
static void test_handshakes_wait_for_places(void)
{
    static struct tls_peer peers[40];
    uint32_t num_done = 0;
    open_tls_site(3, 5);
    limit_handshakes(3);
    for (int i = 0; i < 40; i++) {
        struct tls_client_options options = {.ask_proof = true};
        peer_connect(&peers[i]);
        peer_asks_for_tls(&peers[i]);
        CHECK_EQ(tls_open_client(&peers[i].tls, &site.mta->tls_env, &options), ERR_OK);
        peers[i].in_tls = true;
    }
    for (int step = 0; step < 4000 && num_done < 40; step++) {
        num_done = 0;
        for (int i = 0; i < 40; i++) {
            peer_turn(&peers[i]);
            num_done += peers[i].established;
        }
        mta_step(site.mta);
        CHECK(site.mta->num_handshakes <= 3);
    }
    CHECK_EQ(num_done, 40);
    for (int i = 0; i < 40; i++) {
        peer_close(&peers[i]);
    }
    for (int i = 0; i < 50; i++) {
        mta_step(site.mta);
    }
    CHECK_EQ(site.mta->conns.num_used, 0);
    CHECK_EQ(site.mta->tls_conns.num_used, 0);
    CHECK_EQ(site.mta->num_handshakes, 0);
    CHECK(site_stop(&site, 1000));
    site_close(&site);
}

/* A place that becomes free goes to who has waited longest, whoever connected first. */
static void test_places_go_by_age(void)
{
    static struct tls_peer
        peers[5]; /* the last holds the place, the one before has waited longest */
    struct tls_client_options options = {.ask_proof = true};
    open_tls_site(4, 5);
    limit_handshakes(1);
    for (int i = 0; i < 5; i++) {
        peer_connect(&peers[i]);
        CHECK(peer_hears(&peers[i], "220 "));
        peer_say(&peers[i], "EHLO tls.example\r\n");
        CHECK(peer_hears(&peers[i], "250 "));
    }
    for (int i = 5; i-- > 0;) {
        peer_say(&peers[i], "STARTTLS\r\n");
        CHECK(peer_hears(&peers[i], "220 "));
        CHECK_EQ(tls_open_client(&peers[i].tls, &site.mta->tls_env, &options), ERR_OK);
        peers[i].in_tls = true;
        peer_turn(&peers[i]);
        mta_step(site.mta);
        sim_world_advance(site.world, 10);
    }
    CHECK_EQ(site.mta->num_handshakes, 1);
    for (int next = 4; next-- > 0;) {
        peer_close(&peers[next + 1]);
        for (int i = 0; i < 100 && !peers[next].established; i++) {
            mta_step(site.mta);
            for (int k = 0; k <= next; k++) {
                peer_turn(&peers[k]);
            }
        }
        CHECK(peers[next].established);
        CHECK(next == 0 || !peers[next - 1].established);
    }
    peer_close(&peers[0]);
    CHECK(site_stop(&site, 1000));
    site_close(&site);
}

/* Every place is held by a peer that sends a byte of its ClientHello a second: they give way. */
static void test_dribbled_hellos_give_way(void)
{
    static struct tls_peer slow[3], other;
    static const uint8_t hello[] = {0x16, 3, 1, 1, 0, 1, 0, 0, 252, 3, 3};
    open_tls_site(5, 5);
    limit_handshakes(3);
    for (int i = 0; i < 3; i++) {
        peer_connect(&slow[i]);
        peer_asks_for_tls(&slow[i]);
        sim_client_write(slow[i].peer, slice_make(hello, sizeof hello));
    }
    for (int i = 0; i < 10 && site.mta->num_handshakes < 3; i++) {
        mta_step(site.mta);
    }
    CHECK_EQ(site.mta->num_handshakes, 3);
    struct tls_client_options options = {.ask_proof = true};
    peer_connect(&other);
    peer_asks_for_tls(&other);
    CHECK_EQ(tls_open_client(&other.tls, &site.mta->tls_env, &options), ERR_OK);
    other.in_tls = true;
    uint64_t begin_ms = sim_world_now_ms(site.world), byte_ms = begin_ms;
    for (int i = 0; i < 4000 && !other.established; i++) {
        mta_step(site.mta);
        peer_turn(&other);
        for (int k = 0; k < 3 && sim_world_now_ms(site.world) >= byte_ms + 1000; k++) {
            sim_client_write(slow[k].peer, SLICE_LITERAL("\0"));
        }
        if (sim_world_now_ms(site.world) >= byte_ms + 1000) {
            byte_ms = sim_world_now_ms(site.world);
        }
    }
    CHECK(other.established);
    CHECK(sim_world_now_ms(site.world) - begin_ms < 10000);
    peer_close(&other);
    for (int i = 0; i < 3; i++) {
        sim_client_close(slow[i].peer);
    }
    CHECK(site_stop(&site, 1000));
    site_close(&site);
}

/* A refused reload leaves everything as it was, the certificate too. */
static void test_refused_reload_changes_nothing(void)
{
    char text[2048];
    static struct tls_peer p;
    open_tls_site(4, 5);
    peer_connect(&p);
    CHECK(peer_hears(&p, "220 "));
    snprintf(text, sizeof text, "%s", site_conf); /* without a certificate */
    memcpy(strstr(text, "smtp_ports = 25\n"), "smtp_ports = 26\n", 16);
    sim_files_put_string(site.host, SITE_CONF, text);
    sim_net_set_max_handles(site.host, sim_net_num_handles(site.host)); /* so it cannot listen */
    sim_host_signal(site.host, PORT_RELOAD);
    mta_step(site.mta);
    sim_net_set_max_handles(site.host, SIM_HANDLES_MAX);
    CHECK_EQ(sim_log_count(site.host, "no-handle"), 1);
    sim_client_close(p.peer);
    peer_connect(&p);
    CHECK(peer_starttls(&p));
    peer_close(&p);
    CHECK(site_stop(&site, 1000));
    site_close(&site);
}

static void reload(const char *begin, const char *rest)
{
    char text[2048];
    snprintf(text, sizeof text, "%s%s", begin, rest);
    sim_files_put_string(site.host, SITE_CONF, text);
    sim_host_signal(site.host, PORT_RELOAD);
    mta_step(site.mta);
}

/* What only the server can judge is told with its place as well; and so is all that needs a
 * restart. */
static void test_reload_says_where(void)
{
    static const struct {
        const char *rest, *says;
    } rows[] = {
        {"tls_max_handshakes = 9999\n",
         "postern.conf:10: tls_max_handshakes: found '9999', expected at most "},
        {"\ntls_require_ciphers = TLS_AES_128_GCM_SHA256:ROT13\n",
         "postern.conf:11: tls_require_ciphers: found 'ROT13', expected names of cipher suites"},
        {"tls_privatekey = /k\ntls_certificate = /$tls_in_sni\n",
         "postern.conf:11: tls_certificate: with $tls_in_sni in it or in another file of TLS"},
    };
    char many[512] = "\nlocal_interfaces = <; 127.0.0.1.1";
    open_tls_site(4, 5);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char begin[512];
        snprintf(begin, sizeof begin, "%s", site_conf);
        memcpy(strchr(begin, '\n') - 10, "[10.0.0.1]", 10); /* primary_hostname */
        reload(begin, rows[i].rest);
        CHECK_EQ(sim_log_count(site.host, rows[i].says), 1);
    }
    for (size_t i = 1; i <= BUDGET_LISTENERS; i++) {
        snprintf(many + strlen(many), sizeof many - strlen(many), "; 127.0.0.1.%zu", i + 1);
    }
    reload(many, "\nspool_size = 16M\nmessage_size_limit = 1M\n");
    CHECK_EQ(sim_log_count(site.host, "postern.conf:2: local_interfaces: with daemon_smtp_ports"),
             1);
    reload(site_conf,
           TLS_CONF "spool_directory = /other\nlog_level = debug\ncontrol_socket = /c\n");
    CHECK_EQ(sim_log_count(site.host, "new options are in force"), 1);
    CHECK_EQ(sim_log_count(site.host, "option=spool_directory result=needs-restart"), 1);
    CHECK_EQ(sim_log_count(site.host, "option=control_socket result=needs-restart"), 1);
    CHECK_EQ(sim_log_count(site.host, "option=log_level result=needs-restart"), 1);
    CHECK(site_stop(&site, 1000));
    site_close(&site);
}

/* What the sandbox was not made for is told by the name of the option that wants it. */
static void test_reload_names_what_wants_more_reach(void)
{
    static const struct {
        const char *option, *rest;
    } wants[] = {
        {"route_list", TLS_CONF "route_list = * mx\n"},
        {"auth_dovecot_socket",
         TLS_CONF "route_list = * discard-with-bounce\nauth_dovecot_socket = /run/auth\n"},
        {"ocsp_fetch", TLS_CONF "route_list = * discard-with-bounce\nocsp_fetch = aia\n"},
    };
    char text[2048];
    site_open(&site, 1, NULL);
    snprintf(text, sizeof text, "%sroute_list = * discard-with-bounce\n", site_conf);
    sim_files_put_string(site.host, SITE_CONF, text);
    site_start(&site);
    copy_file("chain.pem", "/tls/chain.pem");
    copy_file("key.pem", "/tls/key.pem");
    copy_file("good.der", "/tls/good.der");
    for (size_t i = 0; i < sizeof wants / sizeof wants[0]; i++) {
        reload(site_conf, wants[i].rest);
        snprintf(text, sizeof text, "option=%s result=needs-restart", wants[i].option);
        CHECK_EQ(sim_log_count(site.host, text), 1);
        CHECK_EQ(sim_log_count(site.host, "result=needs-restart"), i + 1);
    }
    CHECK(site_stop(&site, 1000));
    site_close(&site);
}

/* Records that carry nothing, as many as the network takes: one step does not eat them all. */
static void test_empty_records_get_no_more_than_a_turn(void)
{
    static const uint8_t ccs[6] = {20, 3, 3, 0, 1, 1};
    static uint8_t flood[60000];
    struct sim_link link = {.queue_len = 4u << 20};
    static struct tls_peer p;
    size_t len, refilled_len = 0;
    for (size_t i = 0; i < sizeof flood; i++) {
        flood[i] = ccs[i % sizeof ccs];
    }
    open_tls_site(5, 5);
    sim_net_set_link(site.world, &link);
    peer_connect(&p);
    CHECK(peer_starttls(&p));
    peer_say(&p, "EHLO x\r\n");
    CHECK(peer_hears(&p, "250 "));
    while (sim_client_write(p.peer, slice_make(flood, sizeof flood)) == sizeof flood) {
    }
    mta_step(site.mta);
    while ((len = sim_client_write(p.peer, slice_make(flood, sizeof flood))) != 0) {
        refilled_len += len;
    }
    CHECK(refilled_len < (2u << 20));
    peer_close(&p);
    CHECK(site_stop(&site, 5000));
    site_close(&site);
}

/* An encrypted record of application data that holds none. */
static void say_nothing(struct tls_peer *p)
{
    mbedtls_ssl_context *ssl = tls_ssl(&p->tls);
    CHECK(tls_status_grow_out(ssl, 1));
    CHECK_EQ(mbedtls_ssl_write(ssl, (const unsigned char *)"", 0), 0);
    peer_flush(p);
}

static struct tls_peer *peer_that_has_said_ehlo(const char *option)
{
    static struct tls_peer p;
    char text[2048];
    open_tls_site(5, 5);
    snprintf(text, sizeof text, "%s%s%s", site_conf, TLS_CONF, option);
    sim_files_put_string(site.host, SITE_CONF, text);
    sim_host_signal(site.host, PORT_RELOAD);
    mta_step(site.mta);
    peer_connect(&p);
    CHECK(peer_starttls(&p));
    peer_say(&p, "EHLO x\r\n");
    CHECK(peer_hears(&p, "250 "));
    return &p;
}

/* Encrypted ones, in both versions: a stream of them ends the session soon, and one now and then
 * is taken, and keeps nobody who says nothing else beyond his time. */
static void test_empty_data_is_no_progress(void)
{
    static const char *const options[] = {"tls_require_ciphers = TLS_AES_128_GCM_SHA256\n",
                                          "tls_require_ciphers = ECDHE-ECDSA-AES128-GCM-SHA256\n"};
    for (int i = 0; i < 2; i++) {
        struct tls_peer *p = peer_that_has_said_ehlo(options[i]);
        int num = 0;
        while (num < 1000 && site.mta->conns.num_used != 0) {
            say_nothing(p);
            num++;
            mta_step(site.mta);
        }
        CHECK(num > 1);
        CHECK(num < 20);
        peer_close(p);
        CHECK(site_stop(&site, 5000));
        site_close(&site);

        p = peer_that_has_said_ehlo(options[i]);
        uint64_t begin_ms = sim_world_now_ms(site.world);
        for (num = 0; num < 3; num++) {
            sim_world_advance(site.world, 90000);
            say_nothing(p);
            sim_world_set_horizon(site.world, sim_world_now_ms(site.world) + 10);
            for (int k = 0; k < 5; k++) {
                mta_step(site.mta);
            }
            CHECK_EQ(site.mta->conns.num_used, 1);
        }
        CHECK(sim_world_now_ms(site.world) - begin_ms < 300000);
        sim_world_set_horizon(site.world, UINT64_MAX);
        CHECK(peer_hears(p, "421 4.4.2 "));
        CHECK(sim_world_now_ms(site.world) - begin_ms < 310000);
        peer_close(p);
        CHECK(site_stop(&site, 5000));
        site_close(&site);
    }
}

#define LOADED    "staple certificate="
#define NUM_NAMES 20 /* more than BUDGET_TLS_SETS */

/* A server with files for each name, and a peer for each that is about to ask for it. */
static void open_named(struct tls_peer *peers)
{
    char text[2048], path[64];
    open_tls_site(6, 5);
    copy_file("chain.pem", "/tls/mx.example/chain.pem");
    copy_file("key.pem", "/tls/mx.example/key.pem");
    snprintf(text, sizeof text, "%s%s", site_conf,
             "tls_certificate = /tls/$tls_in_sni/chain.pem\n"
             "tls_privatekey = /tls/$tls_in_sni/key.pem\n"
             "tls_ocsp_file = /tls/good.der\n");
    sim_files_put_string(site.host, SITE_CONF, text);
    sim_host_signal(site.host, PORT_RELOAD);
    mta_step(site.mta);
    CHECK_EQ(sim_log_count(site.host, "new options are in force"), 1);
    for (int i = 0; i < NUM_NAMES; i++) {
        struct tls_client_options options = {.ask_proof = true};
        snprintf(path, sizeof path, "/tls/n%d.example/chain.pem", i);
        copy_file("chain.pem", path);
        snprintf(path, sizeof path, "/tls/n%d.example/key.pem", i);
        copy_file("key.pem", path);
        peer_connect(&peers[i]);
        peer_asks_for_tls(&peers[i]);
        snprintf(path, sizeof path, "n%d.example", i);
        options.server_name = slice_of_string(path);
        CHECK_EQ(tls_open_client(&peers[i].tls, &site.mta->tls_env, &options), ERR_OK);
        peers[i].in_tls = true;
    }
}

/* Each name's set is loaded in a step of its own, between which all others go on; there are never
 * more than the budget has. */
static void test_names_one_set_a_step(void)
{
    static struct tls_peer peers[NUM_NAMES];
    static struct tls_peer other;
    size_t num_done = 0, num_loads, num_first, num_before_answer = 0;
    open_named(peers);
    peer_connect(&other);
    CHECK(peer_hears(&other, "220 "));
    peer_say(&other, "NOOP\r\n");
    num_first = num_loads = sim_log_count(site.host, LOADED);
    for (int step = 0; step < 4000 && num_done < NUM_NAMES; step++) {
        num_done = 0;
        for (int i = 0; i < NUM_NAMES; i++) {
            peer_turn(&peers[i]);
            num_done += peers[i].established;
        }
        mta_step(site.mta);
        size_t num_now = sim_log_count(site.host, LOADED);
        CHECK(num_now <= num_loads + 1);
        num_loads = num_now;
        CHECK(site.mta->tls_names.num_used <= BUDGET_TLS_SETS);
        peer_turn(&other);
        if (num_before_answer == 0 && strstr(other.text, "250 ") != NULL) {
            num_before_answer = num_loads - num_first + 1;
        }
    }
    for (int step = 0; step < 200 && site.mta->num_handshakes != 0; step++) {
        mta_step(site.mta);
    }
    CHECK_EQ(num_loads - num_first, NUM_NAMES);
    CHECK(num_before_answer > 0 && num_before_answer < NUM_NAMES / 2);
    CHECK_EQ(num_done, NUM_NAMES);
    CHECK_EQ(site.mta->tls_names.num_used, BUDGET_TLS_SETS);
    for (int i = 0; i < NUM_NAMES; i++) {
        CHECK(!slice_is_empty(tls_client_proof(&peers[i].tls)));
        peer_close(&peers[i]);
    }
    peer_close(&other);
    CHECK(site_stop(&site, 1000));
    CHECK_EQ(sim_log_count(site.host, "staples handshakes=20 asked=20 served=20"), 1);
    site_close(&site);
}

/* A file of authorities has changed just when memory for TLS was short: the log says that, and it
 * is read once there is memory, though it does not change again. */
static void test_authorities_without_memory(void)
{
    char text[2048];
    static void *blocks[4096];
    size_t num = 0;
    open_tls_site(7, 5);
    copy_file("chain.pem", "/tls/roots.pem");
    snprintf(text, sizeof text,
             "%s%stls_verify_certificates = /tls/roots.pem\ntls_try_verify_hosts = *\n", site_conf,
             TLS_CONF);
    sim_files_put_string(site.host, SITE_CONF, text);
    sim_host_signal(site.host, PORT_RELOAD);
    mta_step(site.mta);
    CHECK_EQ(sim_log_count(site.host, "new options are in force"), 1);
    copy_file("chain.pem", "/tls/roots.pem");
    for (size_t len = 65536; len >= 16; len /= 2) {
        void *block;
        while (num < 4096 && (block = heap_alloc(&site.mta->heap, len, 1)) != NULL) {
            blocks[num++] = block;
        }
    }
    trust_refresh(site.mta);
    CHECK_EQ(sim_log_count(site.host, "no-memory"), 1);
    CHECK_EQ(sim_log_count(site.host, "expected certificates"), 0);
    while (num != 0) {
        heap_free(&site.mta->heap, blocks[--num]);
    }
    site.mta->now_ms += 5000;
    trust_refresh(site.mta);
    CHECK_EQ(sim_log_count(site.host, "files of authorities were read again"), 1);
    CHECK(site_stop(&site, 1000));
    site_close(&site);
}

/* Who begins no handshake is sent away, and has not gone himself. */
static void test_silent_handshake_is_a_timeout(void)
{
    static struct tls_peer p;
    open_tls_site(7, 5);
    peer_connect(&p);
    peer_asks_for_tls(&p);
    CHECK(site_settle(&site, 2000));
    for (int i = 0; i < 200 && sim_log_count(site.host, "connection peer=") == 0; i++) {
        sim_world_advance(site.world, 1000);
        mta_step(site.mta);
    }
    CHECK_EQ(sim_log_count(site.host, "messages=0 ms=60"), 1);
    CHECK_EQ(sim_log_count(site.host, "end=timeout"), 1);
    peer_close(&p);
    CHECK(site_stop(&site, 1000));
    site_close(&site);
}

static const struct test_case cases[] = {
    {"handshake-beside-slow-sync", test_handshake_beside_slow_sync},
    {"reload-under-sessions", test_reload_under_sessions},
    {"dribbled-hellos-give-way", test_dribbled_hellos_give_way},
    {"refused-reload", test_refused_reload_changes_nothing},
    {"reload-says-where", test_reload_says_where},
    {"reload-names-what-wants-more-reach", test_reload_names_what_wants_more_reach},
    {"empty-records", test_empty_records_get_no_more_than_a_turn},
    {"empty-data", test_empty_data_is_no_progress},
    {"names-one-set-a-step", test_names_one_set_a_step},
    {"handshakes-wait-for-places", test_handshakes_wait_for_places},
    {"places-go-by-age", test_places_go_by_age},
    {"silent-handshake", test_silent_handshake_is_a_timeout},
    {"authorities-without-memory", test_authorities_without_memory},
};

int main(int argc, char **argv)
{
    return tls_test_main(cases, sizeof cases / sizeof cases[0], argc, argv);
}

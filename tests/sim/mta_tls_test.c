/* TLS in a simulated world: handshakes go on while a disk takes its time, and options change under
 * live sessions. */
#include "mta_inside.h"
#include "mta_site.h"
#include "tls_client.h"

#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define TLS_CONF                         \
    "tls_certificate = /tls/chain.pem\n" \
    "tls_privatekey = /tls/key.pem\n"    \
    "tls_ocsp_file = /tls/good.der\n"

static struct test_site site;
static struct site_client plain;
static char pki_dir[64];

/* A client that speaks TLS from some point on; text is what came in since the last command. */
struct tls_peer {
    struct sim_client *peer;
    struct tls tls;
    bool in_tls;
    bool established;
    char text[4096];
    size_t text_len;
};

static void copy_file(const char *name, const char *as)
{
    char path[128];
    static uint8_t bytes[65536];
    snprintf(path, sizeof path, "%s/%s", pki_dir, name);
    FILE *f = fopen(path, "rb");
    size_t len = f == NULL ? 0 : fread(bytes, 1, sizeof bytes, f);
    CHECK(len != 0);
    if (f != NULL) {
        fclose(f);
    }
    sim_files_put(site.host, as, slice_make(bytes, len));
}

static void open_tls_site(uint64_t seed, uint64_t sync_ms)
{
    char text[2048];
    struct sim_store_conf conf = {.sync_ms = sync_ms};
    site_open(&site, seed, &conf);
    sim_host_set_wall(site.host, (int64_t)time(NULL), true);
    copy_file("chain.pem", "/tls/chain.pem");
    copy_file("key.pem", "/tls/key.pem");
    copy_file("good.der", "/tls/good.der");
    snprintf(text, sizeof text, "%s%s", site_conf, TLS_CONF);
    sim_files_put_string(site.host, SITE_CONF, text);
    site_start(&site);
}

static void peer_connect(struct tls_peer *p)
{
    struct net_addr at = site_address();
    memset(p, 0, sizeof *p);
    p->peer = sim_connect(site.world, &at, NULL);
    CHECK(p->peer != NULL);
}

static void peer_flush(struct tls_peer *p)
{
    struct slice pending = tls_pending(&p->tls);
    if (!slice_is_empty(pending)) {
        tls_sent(&p->tls, sim_client_write(p->peer, pending));
    }
}

static void peer_take(struct tls_peer *p, struct slice text)
{
    CHECK(p->text_len + text.len < sizeof p->text);
    if (slice_is_empty(text)) {
        return;
    }
    memcpy(p->text + p->text_len, text.ptr, text.len);
    p->text_len += text.len;
    p->text[p->text_len] = '\0';
}

static void peer_turn(struct tls_peer *p)
{
    uint8_t bytes[16384];
    size_t len;
    size_t cap = p->in_tls ? tls_room(&p->tls) : sizeof bytes;
    if (cap > 0 &&
        sim_client_read(p->peer, &len, bytes, cap < sizeof bytes ? cap : sizeof bytes) == ERR_OK) {
        struct slice in = slice_make(bytes, len);
        if (p->in_tls) {
            tls_feed(&p->tls, &in);
        } else {
            peer_take(p, in);
        }
    }
    if (!p->in_tls) {
        return;
    }
    struct tls_time now = {sim_world_now_ms(site.world), (int64_t)time(NULL), true};
    for (int i = 0; i < 20; i++) {
        enum tls_event event = tls_step(&p->tls, &now);
        p->established = p->established || event == TLS_ESTABLISHED;
        peer_flush(p);
        struct slice plain_text = tls_peek(&p->tls);
        peer_take(p, plain_text);
        tls_consume(&p->tls, plain_text.len);
        if (event == TLS_MORE || event == TLS_FAILED || event == TLS_CLOSED) {
            return;
        }
    }
}

static void peer_say(struct tls_peer *p, const char *text)
{
    size_t taken_len = strlen(text);
    p->text_len = 0;
    p->text[0] = '\0';
    if (p->in_tls) {
        CHECK_EQ(tls_write(&p->tls, slice_of_string(text), &taken_len), ERR_OK);
        peer_flush(p);
    } else {
        sim_client_write(p->peer, slice_of_string(text));
    }
}

/* Steps until the text that came in holds that, at most 200 times. */
static bool peer_hears(struct tls_peer *p, const char *text)
{
    for (int i = 0; i < 200 && strstr(p->text, text) == NULL; i++) {
        mta_step(site.mta);
        peer_turn(p);
    }
    return strstr(p->text, text) != NULL;
}

static bool peer_starttls(struct tls_peer *p)
{
    struct tls_client_options options = {.server_name = SLICE_LITERAL("localhost"),
                                         .ask_proof = true};
    CHECK(peer_hears(p, "220 "));
    peer_say(p, "EHLO tls.example\r\n");
    CHECK(peer_hears(p, "250 "));
    peer_say(p, "STARTTLS\r\n");
    CHECK(peer_hears(p, "220 "));
    CHECK_EQ(tls_open_client(&p->tls, &site.mta->tls_env, &options), ERR_OK);
    p->in_tls = true;
    for (int i = 0; i < 200 && !p->established; i++) {
        peer_turn(p);
        mta_step(site.mta);
    }
    return p->established;
}

static void peer_close(struct tls_peer *p)
{
    tls_free(&p->tls);
    sim_client_close(p->peer);
}

/* A sync of two seconds: a whole handshake, with its proof, and a session fit in before the reply
 * that waits for it. */
static void test_handshake_beside_slow_sync(void)
{
    struct tls_peer p;
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
    struct tls_peer p;
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

/* Many handshakes at once, more than places: all get their turn. */
static void test_handshakes_wait_for_places(void)
{
    static struct tls_peer peers[40];
    char text[2048];
    uint32_t num_done = 0;
    open_tls_site(3, 5);
    snprintf(text, sizeof text, "%s%stls_max_handshakes = 3\n", site_conf, TLS_CONF);
    sim_files_put_string(site.host, SITE_CONF, text);
    sim_host_signal(site.host, PORT_RELOAD);
    mta_step(site.mta);
    for (int i = 0; i < 40; i++) {
        struct tls_client_options options = {.ask_proof = true};
        peer_connect(&peers[i]);
        CHECK(peer_hears(&peers[i], "220 "));
        peer_say(&peers[i], "EHLO x\r\n");
        CHECK(peer_hears(&peers[i], "250 "));
        peer_say(&peers[i], "STARTTLS\r\n");
        CHECK(peer_hears(&peers[i], "220 "));
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

static const struct test_case cases[] = {
    {"handshake-beside-slow-sync", test_handshake_beside_slow_sync},
    {"reload-under-sessions", test_reload_under_sessions},
    {"handshakes-wait-for-places", test_handshakes_wait_for_places},
};

int main(int argc, char **argv)
{
    char command[512];
    snprintf(pki_dir, sizeof pki_dir, "/tmp/postern-sim-%ld", (long)getpid());
    snprintf(command, sizeof command,
             "tests/lib/pki make %s ec && tests/lib/pki proof %s %s/good.der -3600 864000", pki_dir,
             pki_dir, pki_dir);
    if (system(command) != 0) {
        fprintf(stderr, "tests/lib/pki failed\n");
        return EXIT_FAILURE;
    }
    int status = test_main(cases, sizeof cases / sizeof cases[0], argc, argv);
    snprintf(command, sizeof command, "rm -rf %s", pki_dir);
    return system(command) == 0 ? status : EXIT_FAILURE;
}

/* A server with a certificate and a proof in a simulated world, and peers that speak TLS to it.
 *
 * The peers' sessions use the server's own environment: one process has one heap for TLS. */
#ifndef POSTERN_MTA_TLS_PEER_H
#define POSTERN_MTA_TLS_PEER_H

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

static inline void copy_file(const char *name, const char *as)
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

static inline void open_tls_site(uint64_t seed, uint64_t sync_ms)
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

static inline void peer_connect(struct tls_peer *p)
{
    struct net_addr at = site_address();
    memset(p, 0, sizeof *p);
    p->peer = sim_connect(site.world, &at, NULL);
    CHECK(p->peer != NULL);
}

static inline void peer_flush(struct tls_peer *p)
{
    struct slice pending = tls_pending(&p->tls);
    if (!slice_is_empty(pending)) {
        tls_sent(&p->tls, sim_client_write(p->peer, pending));
    }
}

static inline void peer_take(struct tls_peer *p, struct slice text)
{
    CHECK(p->text_len + text.len < sizeof p->text);
    if (slice_is_empty(text)) {
        return;
    }
    memcpy(p->text + p->text_len, text.ptr, text.len);
    p->text_len += text.len;
    p->text[p->text_len] = '\0';
}

static inline void peer_turn(struct tls_peer *p)
{
    static uint8_t bytes[16384];
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

static inline void peer_say(struct tls_peer *p, const char *text)
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
static inline bool peer_hears(struct tls_peer *p, const char *text)
{
    for (int i = 0; i < 200 && strstr(p->text, text) == NULL; i++) {
        mta_step(site.mta);
        peer_turn(p);
    }
    return strstr(p->text, text) != NULL;
}

/* Up to where the handshake is to begin. */
static inline void peer_asks_for_tls(struct tls_peer *p)
{
    CHECK(peer_hears(p, "220 "));
    peer_say(p, "EHLO tls.example\r\n");
    CHECK(peer_hears(p, "250 "));
    peer_say(p, "STARTTLS\r\n");
    CHECK(peer_hears(p, "220 "));
}

static inline bool peer_starttls(struct tls_peer *p)
{
    struct tls_client_options options = {.server_name = SLICE_LITERAL("localhost"),
                                         .ask_proof = true};
    peer_asks_for_tls(p);
    CHECK_EQ(tls_open_client(&p->tls, &site.mta->tls_env, &options), ERR_OK);
    p->in_tls = true;
    for (int i = 0; i < 200 && !p->established; i++) {
        peer_turn(p);
        mta_step(site.mta);
    }
    return p->established;
}

static inline void peer_close(struct tls_peer *p)
{
    tls_free(&p->tls);
    sim_client_close(p->peer);
}

/* Makes the certificates, runs the cases, removes the certificates. */
static inline int tls_test_main(const struct test_case *cases, size_t num_cases, int argc,
                                char **argv)
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
    int status = test_main(cases, num_cases, argc, argv);
    snprintf(command, sizeof command, "rm -rf %s", pki_dir);
    return system(command) == 0 ? status : EXIT_FAILURE;
}

#endif

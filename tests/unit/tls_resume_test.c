/* Resuming TLS sessions: by ticket, in both versions, and only for what the ticket is bound to. */
#include "tls_world.h"

#include "tls_platform.h"

/* The library's own client, which keeps tickets. */
struct raw {
    mbedtls_ssl_config config;
    mbedtls_ssl_context ssl;
    struct tls *server;
    mbedtls_ssl_session session;
    bool has_session;
};

static int raw_send(void *ctx, const unsigned char *bytes, size_t len)
{
    struct raw *r = ctx;
    struct slice in = slice_make(bytes, len);
    tls_feed(r->server, &in);
    return in.len == len ? MBEDTLS_ERR_SSL_WANT_WRITE : (int)(len - in.len);
}

static int raw_recv(void *ctx, unsigned char *into, size_t cap)
{
    struct raw *r = ctx;
    struct slice bytes = tls_pending(r->server);
    size_t len = bytes.len < cap ? bytes.len : cap;
    if (len == 0) {
        return MBEDTLS_ERR_SSL_WANT_READ;
    }
    memcpy(into, bytes.ptr, len);
    tls_sent(r->server, len);
    return (int)len;
}

static int raw_random(void *ctx, unsigned char *out, size_t len)
{
    static unsigned char next;
    (void)ctx;
    for (size_t i = 0; i < len; i++) {
        out[i] = (unsigned char)(next++ * 31 + 7);
    }
    return 0;
}

static void raw_open(struct raw *r)
{
    memset(r, 0, sizeof *r);
    mbedtls_ssl_config_init(&r->config);
    mbedtls_ssl_session_init(&r->session);
    CHECK_EQ(mbedtls_ssl_config_defaults(&r->config, MBEDTLS_SSL_IS_CLIENT,
                                         MBEDTLS_SSL_TRANSPORT_STREAM, MBEDTLS_SSL_PRESET_DEFAULT),
             0);
    mbedtls_ssl_conf_rng(&r->config, raw_random, NULL);
    mbedtls_ssl_conf_authmode(&r->config, MBEDTLS_SSL_VERIFY_NONE);
    mbedtls_ssl_conf_tls13_enable_signal_new_session_tickets(
        &r->config, MBEDTLS_SSL_TLS1_3_SIGNAL_NEW_SESSION_TICKETS_ENABLED);
}

static void raw_free(struct raw *r)
{
    mbedtls_ssl_session_free(&r->session);
    mbedtls_ssl_config_free(&r->config);
}

/* One session with the server, in which a session kept is offered and a new one kept. Returns
 * whether the server resumed. */
static bool raw_run(struct raw *r, struct tls_set *set, const char *name)
{
    struct tls server;
    CHECK_EQ(tls_open_server(&server, &world_env), ERR_OK);
    r->server = &server;
    tls_platform_set_time(world_now.now_ms); /* for both sides */
    mbedtls_ssl_init(&r->ssl);
    CHECK_EQ(mbedtls_ssl_setup(&r->ssl, &r->config), 0);
    mbedtls_ssl_set_bio(&r->ssl, r, raw_send, raw_recv, NULL);
    CHECK_EQ(mbedtls_ssl_set_hostname(&r->ssl, name), 0);
    if (r->has_session) {
        CHECK_EQ(mbedtls_ssl_set_session(&r->ssl, &r->session), 0);
    }
    int ret = MBEDTLS_ERR_SSL_WANT_READ;
    bool is_done = false;
    for (int i = 0; i < 1000 && (ret != 0 || !is_done); i++) {
        if (ret != 0) {
            ret = mbedtls_ssl_handshake(&r->ssl);
        }
        enum tls_event event = tls_step(&server, &world_now);
        if (event == TLS_NEED_SET) {
            tls_give_set(&server, set);
        }
        is_done = is_done || event == TLS_ESTABLISHED;
    }
    CHECK_EQ(ret, 0);
    CHECK(is_done);
    size_t taken;
    CHECK_EQ(tls_write(&server, SLICE_LITERAL("hello"), &taken), ERR_OK);
    uint8_t bytes[16];
    for (int i = 0; i < 10; i++) {
        ret = mbedtls_ssl_read(&r->ssl, bytes, sizeof bytes);
        if (ret == 5) {
            break;
        }
        if (ret == MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET) {
            mbedtls_ssl_session_free(&r->session);
            CHECK_EQ(mbedtls_ssl_get_session(&r->ssl, &r->session), 0);
            r->has_session = true;
        }
    }
    CHECK_EQ(ret, 5);
    if (strcmp(tls_info(&server)->version, "TLSv1.2") == 0 && !tls_info(&server)->resumed) {
        mbedtls_ssl_session_free(&r->session);
        CHECK_EQ(mbedtls_ssl_get_session(&r->ssl, &r->session), 0);
        r->has_session = true;
    }
    bool resumed = tls_info(&server)->resumed;
    mbedtls_ssl_free(&r->ssl);
    tls_free(&server);
    return resumed;
}

static void test_resumption(void)
{
    for (size_t i = 0; i < 2; i++) {
        struct raw r;
        world_open(world_versions[i]);
        struct tls_set *set = world_set("ec", NULL), *other = world_set("rsa", NULL);
        raw_open(&r);
        CHECK(!raw_run(&r, set, "mail.example"));
        CHECK(r.has_session);
        CHECK(raw_run(&r, set, "mail.example"));
        world_now.now_ms += 3000 * 1000;
        if (i == 0) {
            CHECK(raw_run(&r, set, "mail.example"));
        }
        /* bound to the set... */
        CHECK(!raw_run(&r, other, "mail.example"));
        CHECK(!raw_run(&r, set, "mail.example"));
        CHECK(raw_run(&r, set, "mail.example"));
        /* ...to the name... */
        mbedtls_ssl_session_free(&r.session);
        r.has_session = false;
        CHECK(!raw_run(&r, set, "mail.example"));
        if (r.session.MBEDTLS_PRIVATE(hostname) != NULL) {
            r.session.MBEDTLS_PRIVATE(hostname)[0] = 's'; /* else the library does not offer it */
        }
        CHECK(!raw_run(&r, set, "sail.example"));
        /* ...and to two hours, though its key has been replaced once by then */
        mbedtls_ssl_session_free(&r.session);
        r.has_session = false;
        CHECK(!raw_run(&r, set, "mail.example"));
        world_now.now_ms += (TLS_TICKET_ROTATE_S + 10) * 1000;
        CHECK(raw_run(&r, set, "mail.example"));
        mbedtls_ssl_session_free(&r.session);
        r.has_session = false;
        CHECK(!raw_run(&r, set, "mail.example"));
        world_now.now_ms += (TLS_TICKET_LIFE_S + 10) * 1000;
        CHECK(!raw_run(&r, set, "mail.example"));
        raw_free(&r);
        tls_set_drop(set);
        tls_set_drop(other);
        world_close();
    }
}

/* Who resumes and asks all the same: no acknowledgement and no proof. With and without a
 * HelloRetryRequest, where the pre-shared key must stay the last extension. */
static void test_resumption_asks(void)
{
    for (size_t i = 0; i < 3; i++) {
        struct raw r;
        struct link l;
        world_open(world_versions[i == 0 ? 0 : 1]);
        struct tls_set *set = world_set("ec", NULL);
        world_set_proof(set, 0, 0, PROOF_LEN);
        raw_open(&r);
        CHECK(!raw_run(&r, set, "mail.example"));
        mbedtls_ssl_config *config = &tls_client_settings(&world_env)->config;
        mbedtls_ssl_conf_session_tickets(config, MBEDTLS_SSL_SESSION_TICKETS_ENABLED);
        if (i == 2) {
            world_force_hrr();
        }
        CHECK_EQ(link_open(&l, set, "mail.example", true, NULL), ERR_OK);
        CHECK_EQ(mbedtls_ssl_set_session(tls_ssl(&l.client), &r.session), 0);
        CHECK(link_run(&l));
        CHECK(tls_info(&l.server)->resumed);
        CHECK_EQ(tls_info(&l.server)->staple, TLS_STAPLE_NOT_ASKED);
        CHECK(world_proof_is(&l.client, 0));
        link_ping(&l);
        link_free(&l);
        raw_free(&r);
        tls_set_drop(set);
        world_close();
    }
}

/* A session goes on with the cipher that it began with, or not at all: other options may have come,
 * or another order of them. */
static void test_other_ciphers(void)
{
    static const char *const after[] = {
        "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES128-GCM-SHA256",
        "ECDHE-ECDSA-CHACHA20-POLY1305"};
    for (size_t i = 0; i < 2; i++) {
        struct raw r;
        struct slice bad;
        world_open("ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305");
        struct tls_set *set = world_set("ec", NULL);
        raw_open(&r);
        CHECK(!raw_run(&r, set, "mail.example"));
        CHECK(raw_run(&r, set, "mail.example"));
        CHECK_EQ(tls_env_set_ciphers(&world_env, slice_of_string(after[i]), &bad), ERR_OK);
        CHECK(!raw_run(&r, set, "mail.example"));
        CHECK(raw_run(&r, set, "mail.example")); /* with the ticket of then */
        raw_free(&r);
        tls_set_drop(set);
        world_close();
    }
}

/* RFC 7627 5.3: what was bound to its handshake is resumed in one that is, and nothing else is. */
static void test_extended_master_secret(void)
{
    for (int before = 0; before < 2; before++) {
        for (int after = 0; after < 2; after++) {
            struct raw r;
            world_open(CIPHERS_12);
            struct tls_set *set = world_set("ec", NULL);
            raw_open(&r);
            mbedtls_ssl_conf_extended_master_secret(&r.config, (char)before);
            CHECK(!raw_run(&r, set, "mail.example"));
            mbedtls_ssl_conf_extended_master_secret(&r.config, (char)after);
            CHECK_EQ(raw_run(&r, set, "mail.example"), before && after);
            raw_free(&r);
            tls_set_drop(set);
            world_close();
        }
    }
}

static const struct test_case cases[] = {
    {"resumption", test_resumption},
    {"other_ciphers", test_other_ciphers},
    {"extended_master_secret", test_extended_master_secret},
    {"resumption_asks", test_resumption_asks},
};

int main(int argc, char **argv)
{
    world_make_files(argv[0]);
    return test_main(cases, sizeof cases / sizeof cases[0], argc, argv);
}

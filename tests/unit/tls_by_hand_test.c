/* Hellos and proofs made by hand, good ones and bad ones: what the server answers, byte by byte,
 * and what the client lets pass. */
#include "tls_world.h"

/* --- ClientHello by hand --- */

struct by_hand {
    const char *name;
    const char *extensions;
    size_t len;
    uint8_t alert; /* 0: the handshake goes on */
    bool asks;
};

#define EXT(text) text, sizeof(text) - 1

static const struct by_hand hands[] = {
    {"good", EXT("\0\5\0\5\1\0\0\0\0"), 0, true},
    {"responder ids", EXT("\0\5\0\12\1\0\5\0\3abc\0\0"), 0, true},
    {"request extensions", EXT("\0\5\0\10\1\0\0\0\3abc"), 0, true},
    {"none", EXT(""), 0, false},
    {"unknown type", EXT("\0\5\0\3\2xy"), 0, false},
    {"empty", EXT("\0\5\0\0"), 50, false},
    {"no extensions field", EXT("\0\5\0\3\1\0\0"), 50, false},
    {"cut list", EXT("\0\5\0\5\1\0\5\0\0"), 50, false},
    {"empty responder id", EXT("\0\5\0\7\1\0\2\0\0\0\0"), 50, false},
    {"trailing byte", EXT("\0\5\0\6\1\0\0\0\0\0"), 50, false},
    {"twice", EXT("\0\5\0\5\1\0\0\0\0\0\5\0\5\1\0\0\0\0"), 47, false},
    {"twice, unknown type", EXT("\0\5\0\1\2\0\5\0\5\1\0\0\0\0"), 47, false},
};

/* The last seven bytes of what the server sent, if they are a plain alert. */
static uint8_t alert_sent(struct slice out)
{
    const uint8_t *p = out.len < 7 ? NULL : out.ptr + out.len - 7;
    return p != NULL && p[0] == 21 && p[4] == 2 && p[5] == 2 ? p[6] : 0;
}

static struct slice take_vector(struct slice *in, size_t len_len)
{
    struct slice out = slice_make(NULL, 0);
    uint64_t len;
    CHECK(slice_be(in, len_len, &len) && slice_take(in, (size_t)len, &out));
    return out;
}

/* What the first flight of TLS 1.2 says of proofs: ServerHello acknowledges, CertificateStatus
 * follows Certificate; and how many bytes of extensions ServerHello has. */
static void expect_flight_12(struct slice out, bool is_acknowledged, size_t *out_len)
{
    static uint8_t bytes[32768];
    struct buf messages = buf_make(bytes, sizeof bytes);
    uint8_t order[8] = {0};
    size_t num = 0, num_acknowledged = 0;
    while (slice_skip(&out, 3)) {
        CHECK(buf_put(&messages, take_vector(&out, 2)));
    }
    for (struct slice in = buf_slice(&messages); num < sizeof order && slice_u8(&in, &order[num]);
         num++) {
        struct slice body = take_vector(&in, 3);
        if (order[num] != MBEDTLS_SSL_HS_SERVER_HELLO) {
            continue;
        }
        CHECK(slice_skip(&body, 2 + 32));
        (void)take_vector(&body, 1);
        CHECK(slice_skip(&body, 2 + 1));
        struct slice extensions = take_vector(&body, 2);
        CHECK(slice_is_empty(body));
        *out_len = extensions.len;
        for (uint16_t type; slice_be16(&extensions, &type);) {
            struct slice data = take_vector(&extensions, 2);
            num_acknowledged += type == 5 && slice_is_empty(data);
        }
    }
    CHECK_EQ(num_acknowledged, is_acknowledged);
    CHECK(order[0] == MBEDTLS_SSL_HS_SERVER_HELLO && order[1] == MBEDTLS_SSL_HS_CERTIFICATE);
    CHECK_EQ(order[2], is_acknowledged ? 22 : MBEDTLS_SSL_HS_SERVER_KEY_EXCHANGE);
}

/* Gives the server one hello, and takes what it sends for as long as it can go on. */
static enum tls_event answer(struct tls *server, struct slice hello, struct tls_set *set,
                             struct slice *out)
{
    static uint8_t bytes[32768];
    struct buf sent = buf_make(bytes, sizeof bytes);
    enum tls_event event = TLS_TURN;
    CHECK_EQ(tls_open_server(server, &world_env), ERR_OK);
    tls_feed(server, &hello);
    CHECK_EQ(tls_step(server, &world_now), TLS_NEED_SET);
    tls_give_set(server, set);
    for (bool moved = true; moved && event != TLS_FAILED;) {
        event = tls_step(server, &world_now);
        struct slice pending = tls_pending(server);
        moved = event == TLS_TURN || pending.len != 0;
        CHECK(buf_put(&sent, pending));
        tls_sent(server, pending.len);
    }
    *out = buf_slice(&sent);
    return event;
}

static void run_by_hand(const struct by_hand *h, struct tls_set *set, bool is_12)
{
    static uint8_t hello[4096];
    struct tls server;
    size_t len = world_make_hello(hello, slice_make(h->extensions, h->len)), extensions_len;
    struct slice out;
    enum tls_event event = answer(&server, slice_make(hello, len), set, &out);
    CHECK_TEXT(tls_info(&server)->sni, "mail.example");
    if (h->alert != 0) {
        CHECK_EQ(event, TLS_FAILED);
        CHECK_EQ(alert_sent(out), h->alert);
        CHECK_EQ(tls_info(&server)->alert, h->alert);
        CHECK(strcmp(tls_info(&server)->failure, h->alert == 50 ? "malformed-status-request"
                                                                : "duplicate-status-request") == 0);
    } else {
        CHECK_EQ(event, TLS_MORE);
        CHECK_EQ(server.handshake->status.asked, h->asks);
        CHECK(out.len > 500);
        if (is_12) {
            expect_flight_12(out, h->asks, &extensions_len);
        }
    }
    tls_free(&server);
}

static void test_by_hand(void)
{
    for (size_t version = 0; version < 2; version++) {
        world_open(world_versions[version]);
        struct tls_set *set = world_set("ec", NULL);
        world_set_proof(set, 0, 0, 500);
        for (size_t i = 0; i < sizeof hands / sizeof hands[0]; i++) {
            int before = test_failed_checks;
            run_by_hand(&hands[i], set, version == 0);
            if (test_failed_checks != before) {
                fprintf(stderr, "  in ClientHello \"%s\", version %zu\n", hands[i].name, version);
            }
        }
        tls_set_drop(set);
        world_close();
    }
}

/* A chain that fills more than a record: TLS 1.2, where the flight can be read. */
static void test_long_chain(void)
{
    static uint8_t hello[4096];
    struct tls server;
    struct slice out;
    size_t extensions_len;
    world_openssl("req -x509 -key ca-ec.key -out ca-long.pem -days 30 -subj '/CN=Authority ec' "
                  "-addext \"nsComment=$(head -c 17000 /dev/zero | tr '\\0' x)\" && "
                  "cat ec.crt ca-long.pem >long.chain && cp ec.key long.key");
    world_open(CIPHERS_12);
    struct tls_set *set = world_set("long", NULL);
    world_set_proof(set, 0, 0, 500);
    size_t len = world_make_hello(hello, slice_make(hands[0].extensions, hands[0].len));
    CHECK_EQ(answer(&server, slice_make(hello, len), set, &out), TLS_MORE);
    CHECK(out.len > 17000);
    expect_flight_12(out, true, &extensions_len);
    tls_free(&server);
    /* A session that ends before all of it is written gives its memory back: world_close. */
    struct slice in = slice_make(hello, len);
    CHECK_EQ(tls_open_server(&server, &world_env), ERR_OK);
    tls_feed(&server, &in);
    CHECK_EQ(tls_step(&server, &world_now), TLS_NEED_SET);
    tls_give_set(&server, set);
    while (tls_step(&server, &world_now) == TLS_TURN) {
    }
    CHECK(server.handshake->status.message != NULL);
    tls_free(&server);
    tls_set_drop(set);
    world_close();
}

/* As many certificates as there may be, each with a proof of its own. */
static void test_full_chain(void)
{
    struct link l;
    world_openssl("version && cat ec.crt $(yes ca-ec.pem | head -n 7) >full.chain && "
                  "cp ec.key full.key");
    world_open(CIPHERS_13);
    struct tls_set *set = world_set("full", NULL);
    CHECK_EQ(tls_set_num_certs(set, 0), TLS_SET_CHAIN_MAX);
    for (size_t i = 0; i < TLS_SET_CHAIN_MAX; i++) {
        world_set_proof(set, 0, i, 300 + i);
    }
    CHECK_EQ(link_open(&l, set, "mail.example", true, NULL), ERR_OK);
    CHECK(link_run(&l));
    CHECK(world_proof_is(&l.client, 300));
    link_free(&l);
    tls_set_drop(set);
    world_close();
}

/* A client that lets TLS 1.2's ServerHello have no extension but ours: nothing is there to add to.
 */
static void test_sole_extension(void)
{
    static const uint8_t head[] = {22, 3, 1, 0, 72, 1, 0, 0, 68, 3, 3};
    static const uint8_t random[32];
    static const uint8_t rest[] = {0, 2,  0xc0, 0x2b, 1, 0,            /* a suite, no compression */
                                   0, 25,                              /* extensions: */
                                   0, 10, 0,    4,    0, 2, 0, 23,     /* secp256r1 */
                                   0, 13, 0,    4,    0, 2, 4, 3,      /* ecdsa_secp256r1_sha256 */
                                   0, 5,  0,    5,    1, 0, 0, 0,  0}; /* a proof */
    static uint8_t bytes[128];
    struct buf hello = buf_make(bytes, sizeof bytes);
    struct tls server;
    struct slice out;
    size_t extensions_len = 0;
    world_open(CIPHERS_12);
    struct tls_set *set = world_set("ec", NULL);
    world_set_proof(set, 0, 0, 500);
    buf_put(&hello, slice_make(head, sizeof head));
    buf_put(&hello, slice_make(random, sizeof random));
    buf_put_u8(&hello, 0);
    buf_put(&hello, slice_make(rest, sizeof rest));
    CHECK_EQ(answer(&server, buf_slice(&hello), set, &out), TLS_MORE);
    expect_flight_12(out, true, &extensions_len);
    CHECK_EQ(extensions_len, 4);
    tls_free(&server);
    tls_set_drop(set);
    world_close();
}

/* RFC 8446 4.1.2: bytes behind the extensions. They would be in nobody's transcript. */
static void test_trailing(void)
{
    static uint8_t hello[4096];
    for (size_t version = 0; version < 2; version++) {
        struct tls server;
        world_open(world_versions[version]);
        struct tls_set *set = world_set("ec", NULL);
        size_t len = world_make_hello(hello, slice_make(hands[0].extensions, hands[0].len));
        hello[len] = 0;
        hello[4]++; /* the record's length and the message's */
        hello[8]++;
        CHECK(hello[4] != 0 && hello[8] != 0);
        struct slice in = slice_make(hello, len + 1);
        CHECK_EQ(tls_open_server(&server, &world_env), ERR_OK);
        tls_feed(&server, &in);
        CHECK_EQ(tls_step(&server, &world_now), TLS_NEED_SET);
        tls_give_set(&server, set);
        CHECK_EQ(tls_step(&server, &world_now), TLS_FAILED);
        CHECK_EQ(alert_sent(tls_pending(&server)), 50);
        CHECK_TEXT(slice_of_string(tls_info(&server)->failure), "decode-error");
        tls_free(&server);
        tls_set_drop(set);
        world_close();
    }
}

/* Bytes that are no TLS, and records cut or changed anywhere, only ever end the session. */
static void test_garbage(void)
{
    static uint8_t hello[4096], changed[4096];
    world_open("");
    struct tls_set *set = world_set("ec", NULL);
    size_t len = world_make_hello(hello, SLICE_LITERAL("\0\5\0\5\1\0\0\0\0"));
    for (size_t i = 0; i < len; i++) {
        struct tls server;
        memcpy(changed, hello, len);
        changed[i] ^= (uint8_t)(1 << (i % 8));
        struct slice in = slice_make(changed, len);
        CHECK_EQ(tls_open_server(&server, &world_env), ERR_OK);
        for (int k = 0; k < 20; k++) {
            tls_feed(&server, &in);
            if (tls_step(&server, &world_now) == TLS_NEED_SET) {
                tls_give_set(&server, set);
            }
        }
        tls_free(&server);
    }
    tls_set_drop(set);
    world_close();
}

/* --- A proof by hand --- */

#define PROOF "\1\2\3\4\5\6\7"

/* What comes in the place of TLS 1.2's CertificateStatus: a record, a message, a type, a length. */
static const struct bad_proof {
    const char *name;
    const char *bytes;
    size_t len;
} bad_proofs[] = {
    {"of another type", EXT("\26\3\3\0\17\26\0\0\13\2\0\0\7")},
    {"longer than it says", EXT("\26\3\3\0\17\26\0\0\13\1\0\0\6")},
    {"shorter than it says", EXT("\26\3\3\0\17\26\0\0\13\1\0\0\10")},
    {"empty, then a warning", EXT("\26\3\3\0\10\26\0\0\4\1\0\0\0\25\3\3\0\2\1\132")},
};

static const struct bad_proof *bad_proof;

static void spoil(struct link *l)
{
    struct slice out = tls_pending(&l->server);
    for (size_t i = 13; i + sizeof PROOF - 1 <= out.len; i++) {
        uint8_t *at = (uint8_t *)(uintptr_t)out.ptr + i;
        if (memcmp(at, PROOF, sizeof PROOF - 1) == 0) {
            memcpy(at - 13, bad_proof->bytes, bad_proof->len);
        }
    }
}

static void test_bad_proofs(void)
{
    struct ocsp_verdict v = world_good(WORLD_WALL_S - 100, WORLD_WALL_S + 100);
    for (size_t i = 0; i < sizeof bad_proofs / sizeof bad_proofs[0]; i++) {
        struct link l;
        int before = test_failed_checks;
        bad_proof = &bad_proofs[i];
        world_open(CIPHERS_12);
        struct tls_set *set = world_set("ec", NULL);
        CHECK_EQ(tls_set_set_proof(set, 0, 0, SLICE_LITERAL(PROOF), &v), ERR_OK);
        CHECK_EQ(link_open(&l, set, "mail.example", true, NULL), ERR_OK);
        l.at_server_write = spoil;
        l.chunk_len = 100; /* so that it waits for the wire */
        CHECK(!link_run(&l));
        CHECK(l.client_failed && tls_info(&l.client)->failure != NULL &&
              strcmp(tls_info(&l.client)->failure, "decode-error") == 0);
        CHECK(l.server_failed);
        CHECK_EQ(tls_info(&l.server)->alert, 50);
        if (test_failed_checks != before) {
            fprintf(stderr, "  proof %s\n", bad_proof->name);
        }
        link_free(&l);
        tls_set_drop(set);
        world_close();
    }
}

static const struct test_case cases[] = {
    {"by_hand", test_by_hand},       {"long_chain", test_long_chain},
    {"full_chain", test_full_chain}, {"sole_extension", test_sole_extension},
    {"trailing", test_trailing},     {"garbage", test_garbage},
    {"bad_proofs", test_bad_proofs},
};

int main(int argc, char **argv)
{
    world_make_files(argv[0]);
    return test_main(cases, sizeof cases / sizeof cases[0], argc, argv);
}

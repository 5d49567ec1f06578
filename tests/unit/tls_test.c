/* TLS sessions: our client against our server, in every combination that matters for the proof,
 * over fast and slow wires. */
#include "tls_world.h"

#include <time.h>

/* --- The table: version x ask x proof x HRR x proof's length x wire --- */

struct combination {
    const char *ciphers;
    const char *version;
    const char *pair;
    bool ask;
    size_t proof_len; /* 0: none */
    bool hrr;
    size_t chunk_len; /* 0: all at once */
    uint32_t set_delay;
};

static const struct combination combinations[] = {
    {CIPHERS_12, "TLSv1.2", "ec", false, PROOF_LEN, false, 0, 0},
    {CIPHERS_12, "TLSv1.2", "ec", true, PROOF_LEN, false, 0, 0},
    {CIPHERS_12, "TLSv1.2", "ec", true, 0, false, 0, 0},
    {CIPHERS_12, "TLSv1.2", "rsa", true, PROOF_LEN, false, 0, 3},
    {CIPHERS_12, "TLSv1.2", "ec", true, 12000, false, 0, 0},
    {CIPHERS_12, "TLSv1.2", "ec", true, PROOF_LEN, false, 1, 0},
    {CIPHERS_12, "TLSv1.2", "ec", true, 12000, false, 7, 0},
    {CIPHERS_13, "TLSv1.3", "ec", false, PROOF_LEN, false, 0, 0},
    {CIPHERS_13, "TLSv1.3", "ec", true, PROOF_LEN, false, 0, 0},
    {CIPHERS_13, "TLSv1.3", "ec", true, 0, false, 0, 0},
    {CIPHERS_13, "TLSv1.3", "rsa", true, PROOF_LEN, false, 0, 3},
    {CIPHERS_13, "TLSv1.3", "ec", true, 12000, false, 0, 0},
    {CIPHERS_13, "TLSv1.3", "ec", true, PROOF_LEN, false, 1, 0},
    {CIPHERS_13, "TLSv1.3", "ec", true, 12000, false, 7, 0},
    {CIPHERS_13, "TLSv1.3", "ec", true, PROOF_LEN, true, 0, 0},
    {CIPHERS_13, "TLSv1.3", "ec", false, PROOF_LEN, true, 0, 0},
    {CIPHERS_13, "TLSv1.3", "rsa", true, 12000, true, 3, 2},
    {"", "TLSv1.3", "ec", true, PROOF_LEN, false, 0, 0},
};

/* Both sides have the same tls-exporter, another one in each session; before TLS 1.3 there is none.
 */
static void check_exporter(struct link *l, bool is_13)
{
    static uint8_t last[TLS_EXPORTER_LEN];
    uint8_t ours[TLS_EXPORTER_LEN], theirs[TLS_EXPORTER_LEN];
    CHECK_EQ(tls_exporter(&l->server, ours), is_13);
    CHECK_EQ(tls_exporter(&l->client, theirs), is_13);
    if (is_13) {
        CHECK(memcmp(ours, theirs, sizeof ours) == 0);
        CHECK(memcmp(ours, last, sizeof ours) != 0);
        memcpy(last, ours, sizeof last);
    }
}

static void run_combination(const struct combination *c)
{
    struct link l;
    world_open(c->ciphers);
    struct tls_set *set = world_set(c->pair, NULL);
    if (c->proof_len != 0) {
        world_set_proof(set, 0, 0, c->proof_len);
    }
    if (c->hrr) {
        world_force_hrr();
    }
    CHECK_EQ(link_open(&l, set, "mail.example", c->ask, NULL), ERR_OK);
    uint8_t early[TLS_EXPORTER_LEN];
    CHECK(!tls_exporter(&l.server, early));
    l.chunk_len = c->chunk_len == 0 ? l.chunk_len : c->chunk_len;
    l.set_delay = c->set_delay;
    CHECK(link_run(&l));
    const struct tls_info *info = tls_info(&l.server);
    CHECK(strcmp(info->version, c->version) == 0);
    CHECK(strcmp(tls_info(&l.client)->version, c->version) == 0);
    CHECK_TEXT(info->sni, "mail.example");
    CHECK(!info->resumed);
    CHECK(l.num_turns >= 2); /* key exchange and signature never share a turn with all the rest */
    bool is_served = c->ask && c->proof_len != 0;
    CHECK_EQ(info->staple, !c->ask     ? TLS_STAPLE_NOT_ASKED
                           : is_served ? TLS_STAPLE_SERVED
                                       : TLS_STAPLE_NONE);
    CHECK_EQ(info->staple_reason, c->ask && !is_served ? OCSP_NO_FILE : OCSP_GOOD);
    CHECK(world_proof_is(&l.client, is_served ? c->proof_len : 0));
    check_exporter(&l, strcmp(c->version, "TLSv1.3") == 0);
    link_ping(&l);
    link_free(&l);
    tls_set_drop(set);
    world_close();
}

static void test_combinations(void)
{
    for (size_t i = 0; i < sizeof combinations / sizeof combinations[0]; i++) {
        int before = test_failed_checks;
        run_combination(&combinations[i]);
        if (test_failed_checks != before) {
            fprintf(stderr, "  in combination %zu\n", i);
        }
    }
}

/* --- The proof --- */

/* What is served at a time, and the reason where nothing is. */
static void expect_at(struct tls_time now, struct tls_set *set, enum ocsp_reason reason)
{
    struct link l;
    world_now = now;
    CHECK_EQ(link_open(&l, set, "mail.example", true, NULL), ERR_OK);
    CHECK(link_run(&l));
    CHECK_EQ(tls_info(&l.server)->staple,
             reason == OCSP_GOOD ? TLS_STAPLE_SERVED : TLS_STAPLE_NONE);
    CHECK_EQ(tls_info(&l.server)->staple_reason, reason);
    CHECK(world_proof_is(&l.client, reason == OCSP_GOOD ? PROOF_LEN : 0));
    link_free(&l);
}

static void test_proof_times(void)
{
    for (size_t i = 0; i < 2; i++) {
        world_open(world_versions[i]);
        struct tls_set *set = world_set("ec", NULL);
        world_set_proof(set, 0, 0, PROOF_LEN);
        expect_at((struct tls_time){1, WORLD_WALL_S, true}, set, OCSP_GOOD);
        expect_at((struct tls_time){2, WORLD_WALL_S, false}, set, OCSP_CLOCK_NOT_SET);
        expect_at((struct tls_time){3, WORLD_WALL_S - 101, true}, set, OCSP_NOT_YET_VALID);
        expect_at((struct tls_time){4, WORLD_WALL_S - 100, true}, set, OCSP_GOOD);
        expect_at((struct tls_time){5, WORLD_WALL_S + 99, true}, set, OCSP_GOOD);
        expect_at((struct tls_time){6, WORLD_WALL_S + 100, true}, set, OCSP_EXPIRED);
        struct ocsp_verdict revoked = {.reason = OCSP_REVOKED};
        CHECK_EQ(tls_set_set_proof(set, 0, 0, slice_make(NULL, 0), &revoked), ERR_OK);
        expect_at((struct tls_time){7, WORLD_WALL_S, true}, set, OCSP_REVOKED);
        /* bytes that are there do not help a verdict that says no */
        CHECK_EQ(tls_set_set_proof(set, 0, 0, slice_make(world_proof(10), 10), &revoked), ERR_OK);
        expect_at((struct tls_time){8, WORLD_WALL_S, true}, set, OCSP_REVOKED);
        tls_set_drop(set);
        world_close();
    }
}

/* The server's queue is full but for a few bytes, so that it stops after ServerHello. */
#define STUFFING_LEN (8192 - 40)

static void stuff(struct link *l)
{
    static const uint8_t stuffing[STUFFING_LEN];
    if (l->server.phase == TLS_PHASE_SHAKE && l->num_heavy == 0) {
        l->num_heavy = 1;
        CHECK(tls_queue_reserve(&l->server.out, &world_heap, STUFFING_LEN));
        tls_queue_put(&l->server.out, stuffing, STUFFING_LEN);
        (void)tls_step(&l->server, &world_now);
        tls_sent(&l->server, STUFFING_LEN);
        CHECK(l->server.handshake->status.acknowledged);
        world_now.wall_s += 1000;
    }
}

/* TLS 1.2: acknowledged, then the clock passes the proof's end: CertificateStatus is left out. */
static void test_lapsed_after_acknowledged(void)
{
    struct link l;
    world_open(CIPHERS_12);
    struct tls_set *set = world_set("ec", NULL);
    world_set_proof(set, 0, 0, PROOF_LEN);
    CHECK_EQ(link_open(&l, set, "mail.example", true, NULL), ERR_OK);
    l.at_server_write = stuff;
    CHECK(link_run(&l));
    CHECK_EQ(l.num_heavy, 1);
    CHECK_EQ(tls_info(&l.server)->staple, TLS_STAPLE_NONE);
    CHECK_EQ(tls_info(&l.server)->staple_reason, OCSP_EXPIRED);
    CHECK(world_proof_is(&l.client, 0));
    link_ping(&l);
    link_free(&l);
    tls_set_drop(set);
    world_close();
}

/* A proof that clients of TLS 1.2 could not read is left out; TLS 1.3 has room for any. */
static void test_too_big(void)
{
    static const size_t lens[] = {16380, 16381, 65527, 65528};
    for (size_t version = 0; version < 2; version++) {
        world_open(world_versions[version]);
        struct tls_set *set = world_set("ec", NULL);
        for (size_t i = 0; i < 4; i++) {
            struct link l;
            world_set_proof(set, 0, 0, lens[i]);
            CHECK_EQ(link_open(&l, set, "mail.example", true, NULL), ERR_OK);
            bool is_served = i < (version == 0 ? 1u : 3u);
            /* our own client reads no message that is much longer than 16 KiB */
            bool is_read = version == 0 || !is_served;
            CHECK_EQ(link_run(&l), is_read);
            CHECK_EQ(l.client_failed, !is_read);
            CHECK(world_proof_is(&l.client, is_served && is_read ? lens[i] : 0));
            if (!is_served) {
                CHECK_EQ(tls_info(&l.server)->staple, TLS_STAPLE_NONE);
                CHECK_EQ(tls_info(&l.server)->staple_reason, OCSP_TOO_BIG);
            }
            link_free(&l);
        }
        tls_set_drop(set);
        world_close();
    }
}

/* The proof of each pair goes with its own certificate; both kinds of client are served. */
static void test_two_pairs(void)
{
    static const char *const suites[] = {"ECDHE-ECDSA-AES128-GCM-SHA256",
                                         "ECDHE-RSA-AES128-GCM-SHA256"};
    for (size_t i = 0; i < 2; i++) {
        struct link l;
        world_open(suites[i]);
        struct tls_set *set = world_set("rsa", "ec");
        world_set_proof(set, 0, 0, 1000); /* RSA */
        world_set_proof(set, 1, 0, 2000);
        CHECK_EQ(link_open(&l, set, "mail.example", true, NULL), ERR_OK);
        CHECK(link_run(&l));
        CHECK(world_proof_is(&l.client, i == 0 ? 2000 : 1000));
        link_free(&l);
        tls_set_drop(set);
        world_close();
    }
}

/* A proof that is replaced while it is being sent stays whole, and the set outlives its owner. */
static void replace(struct link *l)
{
    if (l->server.phase == TLS_PHASE_SHAKE && l->server.handshake->status.message != NULL &&
        l->num_heavy == 0 && l->server.handshake->status.decided) {
        l->num_heavy = 1;
        struct ocsp_verdict none = {.reason = OCSP_REVOKED};
        CHECK_EQ(tls_set_set_proof(l->set, 0, 0, slice_make(NULL, 0), &none), ERR_OK);
        tls_set_drop(l->set);
        l->set = NULL;
    }
}

static void test_replaced_while_sent(void)
{
    for (size_t i = 0; i < 2; i++) {
        struct link l;
        world_open(world_versions[i]);
        CHECK_EQ(link_open(&l, world_set("ec", NULL), "mail.example", true, NULL), ERR_OK);
        world_set_proof(l.set, 0, 0, 13000);
        l.chunk_len = 100;
        l.at_server_write = replace;
        CHECK(link_run(&l));
        CHECK_EQ(l.num_heavy, 1);
        CHECK(world_proof_is(&l.client, 13000));
        link_free(&l);
        world_close();
    }
}

static void test_no_set(void)
{
    struct link l;
    world_open("");
    CHECK_EQ(link_open(&l, NULL, "mail.example", true, NULL), ERR_OK);
    CHECK(!link_run(&l));
    CHECK(l.server_failed && l.client_failed);
    CHECK(strcmp(tls_info(&l.server)->failure, "no-certificate") == 0);
    CHECK(strcmp(tls_info(&l.client)->failure, "peer-alert") == 0);
    CHECK_EQ(tls_info(&l.client)->alert, 112);
    link_free(&l);
    world_close();
}

/* --- Verification by the client --- */

static void expect_trust(const char *ca, const char *name, int64_t wall_s, bool is_good)
{
    struct link l;
    size_t num_bad;
    struct ocsp_verdict v = world_good(INT64_MIN, INT64_MAX);
    world_now.wall_s = wall_s;
    struct tls_set *set = world_set("ec", NULL);
    CHECK_EQ(tls_set_set_proof(set, 0, 0, slice_make(world_proof(500), 500), &v), ERR_OK);
    struct tls_trust *trust = tls_trust_new(&world_env, world_read(ca), &num_bad);
    CHECK(trust != NULL && num_bad == 0);
    CHECK_EQ(link_open(&l, set, name, true, trust), ERR_OK);
    CHECK_EQ(link_run(&l), is_good);
    if (!is_good) {
        CHECK(l.client_failed);
        CHECK(strcmp(tls_info(&l.client)->failure, "certificate-not-trusted") == 0);
        CHECK(l.server_failed && strcmp(tls_info(&l.server)->failure, "peer-alert") == 0);
    } else {
        CHECK(tls_client_peer(&l.client) != NULL);
        tls_client_forget(&l.client);
        CHECK(tls_client_peer(&l.client) == NULL);
        link_ping(&l);
    }
    link_free(&l);
    tls_trust_drop(&world_env, trust);
    tls_set_drop(set);
}

static void test_client_verifies(void)
{
    int64_t day_s = 86400, today_s = (int64_t)time(NULL) + 60;
    for (size_t i = 0; i < 2; i++) {
        world_open(world_versions[i]);
        expect_trust("ca-ec.pem", "mail.example", today_s, true);
        expect_trust("ca-rsa.pem", "mail.example", today_s, false);
        expect_trust("ca-ec.pem", "other.example", today_s, false);
        expect_trust("ca-ec.pem", "mail.example", today_s + 40 * day_s, false);
        expect_trust("ca-ec.pem", "mail.example", today_s - 40 * day_s, false);
        world_close();
    }
}

/* RFC 6066 8: the extension in ServerHello, which is the last there, is empty. */
static void test_full_acknowledgement(void)
{
    struct link l;
    uint8_t bytes[2000];
    world_open(world_versions[0]);
    struct tls_set *set = world_set("ec", NULL);
    world_set_proof(set, 0, 0, 500);
    CHECK_EQ(link_open(&l, set, "mail.example", true, NULL), ERR_OK);
    while (tls_pending(&l.server).len < 100) {
        (void)link_step_client(&l);
        (void)link_move(&l, &l.client, &l.server);
        (void)link_step_server(&l);
    }
    struct slice flight = tls_pending(&l.server);
    size_t end = 5 + ((size_t)flight.ptr[3] << 8 | flight.ptr[4]);
    CHECK(flight.len < sizeof bytes && memcmp(flight.ptr + end - 4, "\0\5\0\0", 4) == 0);
    memcpy(bytes, flight.ptr, end);
    memcpy(bytes + end + 1, flight.ptr + end, flight.len - end);
    bytes[end] = 0;
    bytes[end - 1] = 1;
    bytes[4]++; /* of record, message and extensions; none is at 255 */
    bytes[8]++;
    bytes[5 + 4 + 2 + 32 + 1 + bytes[43] + 3 + 1]++;
    struct slice in = slice_make(bytes, flight.len + 1);
    tls_feed(&l.client, &in);
    while (link_step_client(&l)) {
    }
    CHECK(l.client_failed && strcmp(tls_info(&l.client)->failure, "decode-error") == 0);
    link_free(&l);
    tls_set_drop(set);
    world_close();
}

/* Who leaves without a word in the middle of a handshake has asked all the same. */
static void test_left_in_the_middle(void)
{
    for (size_t i = 0; i < 2; i++) {
        struct link l;
        world_open(world_versions[i]);
        struct tls_set *set = world_set("ec", NULL);
        world_set_proof(set, 0, 0, 500);
        CHECK_EQ(link_open(&l, set, "mail.example", true, NULL), ERR_OK);
        for (int round = 0; round < 20; round++) {
            (void)link_step_client(&l);
            if (round < 4) {
                (void)link_move(&l, &l.client, &l.server);
            }
            (void)link_step_server(&l);
        }
        CHECK(!l.server_done && !l.server_failed);
        CHECK_EQ(tls_info(&l.server)->staple, TLS_STAPLE_SERVED);
        link_free(&l);
        tls_set_drop(set);
        world_close();
    }
}

/* The server is told by an alert (RFC 6066 8), and nothing more is said. */
static void test_client_refuses_proof(void)
{
    for (size_t i = 0; i < 2; i++) {
        struct link l;
        size_t taken;
        world_open(world_versions[i]);
        struct tls_set *set = world_set("ec", NULL);
        world_set_proof(set, 0, 0, PROOF_LEN);
        CHECK_EQ(link_open(&l, set, "mail.example", true, NULL), ERR_OK);
        CHECK(link_run(&l));
        tls_client_forget(&l.client);
        tls_client_refuse_proof(&l.client);
        CHECK_EQ(tls_write(&l.client, SLICE_LITERAL("EHLO"), &taken), ERR_WRONG_STATE);
        link_move(&l, &l.client, &l.server);
        CHECK_EQ(tls_step(&l.server, &world_now), TLS_FAILED);
        CHECK_EQ(tls_info(&l.server)->alert, 113);
        link_free(&l);
        tls_set_drop(set);
        world_close();
    }
}

/* The authority's list with or without our server's certificate (serial 17), or another's list. */
static void make_lists(void)
{
    char path[300];
    snprintf(path, sizeof path, "%s/ca.cnf", world_dir);
    FILE *f = fopen(path, "w");
    CHECK(f != NULL);
    fprintf(f, "[ca]\ndefault_ca=a\n[a]\ndatabase=index\ndefault_md=sha256\ncrlnumber=number\n"
               "default_crl_days=20\n");
    fclose(f);
    world_openssl("version; rm -f index* number*; : >index; echo 01 >number");
    world_openssl("ca -config ca.cnf -gencrl -cert ca-ec.pem -keyfile ca-ec.key -out none.crl");
    world_openssl("crl -in none.crl -outform DER -out none.der");
    world_openssl("ca -config ca.cnf -gencrl -cert ca-rsa.pem -keyfile ca-rsa.key -out other.crl");
    world_openssl("ca -config ca.cnf -cert ca-ec.pem -keyfile ca-ec.key -revoke ec.crt");
    world_openssl("ca -config ca.cnf -gencrl -cert ca-ec.pem -keyfile ca-ec.key -out revoked.crl");
    world_openssl("crl -in revoked.crl -outform DER -out revoked.der");
}

/* Files of authorities, and of their lists: what there is of them, and what is wrong with it. */
static void test_trust_files(void)
{
    static const char bad[] = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
                              "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n";
    static char both[8192];
    size_t num_bad;
    make_lists();
    world_open("");
    CHECK(tls_trust_new(&world_env, SLICE_LITERAL(""), &num_bad) == NULL);
    CHECK(tls_trust_new(&world_env, SLICE_LITERAL("none"), &num_bad) == NULL);
    CHECK(tls_trust_new(&world_env, SLICE_LITERAL(bad), &num_bad) == NULL);
    struct slice ca = world_read("ca-ec.pem"), list = world_read("none.crl");
    int len = snprintf(both, sizeof both, "%.*s%s", (int)ca.len, (const char *)ca.ptr, bad);
    struct tls_trust *trust = tls_trust_new(&world_env, slice_make(both, (size_t)len), &num_bad);
    CHECK(trust != NULL);
    CHECK_EQ(num_bad, 1);
    CHECK(tls_trust_add_crls(&world_env, trust, list));
    len = snprintf(both, sizeof both, "%.*s%s", (int)list.len, (const char *)list.ptr, bad);
    CHECK(!tls_trust_add_crls(&world_env, trust, slice_make(both, (size_t)len)));
    tls_trust_drop(&world_env, trust);
    world_close();
}

static void expect_list(const char *list, int64_t now_s, bool is_good)
{
    struct link l;
    size_t num_bad;
    struct tls_set *set = world_set("ec", NULL);
    struct tls_trust *trust = tls_trust_new(&world_env, world_read("ca-ec.pem"), &num_bad);
    CHECK(trust != NULL && tls_trust_add_crls(&world_env, trust, world_read(list)));
    world_now.wall_s = now_s;
    CHECK_EQ(link_open(&l, set, "mail.example", false, trust), ERR_OK);
    CHECK_EQ(link_run(&l), is_good);
    CHECK(is_good || strcmp(tls_info(&l.client)->failure, TLS_FAILURE_UNVERIFIED) == 0);
    link_free(&l);
    tls_trust_drop(&world_env, trust);
    tls_set_drop(set);
}

static int64_t list_begins_s(const char *name)
{
    mbedtls_x509_crl list;
    struct slice text = world_read(name);
    mbedtls_x509_crl_init(&list);
    CHECK_EQ(mbedtls_x509_crl_parse_der(&list, text.ptr, text.len), 0);
    struct tm at = {.tm_year = list.this_update.year - 1900,
                    .tm_mon = list.this_update.mon - 1,
                    .tm_mday = list.this_update.day,
                    .tm_hour = list.this_update.hour,
                    .tm_min = list.this_update.min,
                    .tm_sec = list.this_update.sec};
    mbedtls_x509_crl_free(&list);
    return (int64_t)timegm(&at);
}

static void test_revocation_lists(void)
{
    int64_t day_s = 86400, today_s = (int64_t)time(NULL) + 60;
    size_t num_bad;
    make_lists();
    for (size_t i = 0; i < 2; i++) {
        world_open(world_versions[i]);
        expect_list("none.crl", today_s, true);
        expect_list("none.crl", today_s + 21 * day_s, false);
        expect_list("none.crl", list_begins_s("none.der") - 1, true); /* our clock is read late */
        expect_list("none.crl", list_begins_s("none.der") - 2, false);
        expect_list("revoked.crl", today_s, false);
        expect_list("revoked.der", today_s, false);
        expect_list("other.crl", today_s, false);
        struct tls_trust *trust = tls_trust_new(&world_env, world_read("ca-ec.pem"), &num_bad);
        CHECK(!tls_trust_add_crls(&world_env, trust, world_read("ca-ec.pem")));
        CHECK(!tls_trust_add_crls(&world_env, trust, slice_make(NULL, 0)));
        tls_trust_drop(&world_env, trust);
        world_close();
    }
}

/* --- Closing, and settings --- */

static void test_close(void)
{
    for (size_t i = 0; i < 2; i++) {
        struct link l;
        size_t taken;
        world_open(world_versions[i]);
        struct tls_set *set = world_set("ec", NULL);
        CHECK_EQ(link_open(&l, set, "mail.example", false, NULL), ERR_OK);
        CHECK_EQ(tls_write(&l.server, SLICE_LITERAL("x"), &taken), ERR_WRONG_STATE);
        tls_close(&l.server); /* harmless */
        CHECK(link_run(&l));
        CHECK_EQ(tls_write(&l.client, SLICE_LITERAL("last"), &taken), ERR_OK);
        tls_close(&l.client);
        CHECK_EQ(tls_write(&l.client, SLICE_LITERAL("x"), &taken), ERR_WRONG_STATE);
        link_move(&l, &l.client, &l.server);
        CHECK_EQ(tls_step(&l.server, &world_now), TLS_DATA);
        CHECK_TEXT(tls_peek(&l.server), "last");
        CHECK_EQ(tls_step(&l.server, &world_now), TLS_DATA); /* until it is consumed */
        tls_consume(&l.server, 4);
        CHECK_EQ(tls_step(&l.server, &world_now), TLS_CLOSED);
        CHECK_EQ(tls_step(&l.server, &world_now), TLS_CLOSED);
        CHECK_EQ(tls_write(&l.server, SLICE_LITERAL("bye"), &taken), ERR_OK);
        CHECK_EQ(tls_step(&l.client, &world_now), TLS_MORE); /* a ticket, in TLS 1.3 */
        link_move(&l, &l.server, &l.client);
        CHECK_EQ(tls_step(&l.client, &world_now), TLS_DATA);
        CHECK_TEXT(tls_peek(&l.client), "bye");
        link_free(&l);
        tls_free(&l.client); /* again: harmless */
        tls_set_drop(set);
        world_close();
    }
}

static void test_ciphers(void)
{
    struct slice bad;
    CHECK_EQ(tls_check_ciphers(SLICE_LITERAL("ECDHE-RSA-AES128-GCM-SHA256 : "
                                             "tls_aes_128_gcm_sha256"),
                               &bad),
             ERR_OK);
    CHECK_EQ(tls_check_ciphers(SLICE_LITERAL("ECDHE-RSA-AES128-GCM-SHA256:NORMAL"), &bad),
             ERR_UNSUPPORTED);
    CHECK_TEXT(bad, "NORMAL");
    struct link l;
    world_open(CIPHERS_12);
    struct tls_set *set = world_set("ec", NULL);
    CHECK_EQ(tls_env_set_ciphers(&world_env, SLICE_LITERAL("nonsense"), &bad), ERR_UNSUPPORTED);
    CHECK_EQ(link_open(&l, set, "mail.example", false, NULL), ERR_OK);
    /* a session keeps the settings that it began with */
    CHECK_EQ(tls_env_set_ciphers(&world_env, SLICE_LITERAL("TLS_CHACHA20_POLY1305_SHA256"), &bad),
             ERR_OK);
    CHECK(link_run(&l));
    CHECK(strcmp(tls_info(&l.server)->cipher, "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256") == 0);
    link_free(&l);
    CHECK_EQ(link_open(&l, set, "mail.example", false, NULL), ERR_OK);
    CHECK(link_run(&l));
    CHECK(strcmp(tls_info(&l.server)->cipher, "TLS_CHACHA20_POLY1305_SHA256") == 0);
    link_free(&l);
    tls_set_drop(set);
    world_close();
}

static void test_env(void)
{
    static uint8_t seed[TLS_SEED_LEN];
    static uint8_t second_region[100000];
    struct heap second_heap;
    struct tls_env second = {0};
    struct slice bad, in = slice_make(seed, sizeof seed);
    CHECK(heap_open(&second_heap, second_region, sizeof second_region));
    world_open("");
    CHECK_EQ(tls_env_open(&second, &second_heap, in, SLICE_LITERAL(""), &bad), ERR_BUSY);
    CHECK_EQ(tls_env_open(&second, &world_heap, slice_make(seed, 3), SLICE_LITERAL(""), &bad),
             ERR_NO_ENTROPY);
    CHECK_EQ(tls_env_open(&second, &world_heap, in, SLICE_LITERAL("x"), &bad), ERR_UNSUPPORTED);
    CHECK_TEXT(bad, "x");
    CHECK_EQ(tls_env_open(&second, &world_heap, in, SLICE_LITERAL(""), &bad), ERR_OK);
    tls_env_stir(&second, in);
    tls_env_close(&second);
    tls_env_close(&second); /* harmless */
    world_close();
    CHECK_EQ(second_heap.used_len, 0);
    for (uint32_t n = 1; n < 30; n++) {
        CHECK(heap_open(&second_heap, second_region, sizeof second_region));
        second_heap.refuse_in = n;
        enum err err = tls_env_open(&second, &second_heap, in, SLICE_LITERAL(""), &bad);
        bool was_refused = second_heap.num_refused != 0;
        CHECK_EQ(err, was_refused ? ERR_NO_MEMORY : ERR_OK);
        tls_env_close(&second);
        CHECK_EQ(second_heap.used_len, 0);
    }
}

/* An address is not asked for by name, with a proof or without, after a HelloRetryRequest too. */
static void test_address_as_name(void)
{
    static const char *const addresses[] = {"192.0.2.1", "2001:db8::1"};
    for (size_t i = 0; i < 16; i++) {
        struct link l;
        world_open(i % 2 == 0 ? CIPHERS_12 : CIPHERS_13);
        struct tls_set *set = world_set("ec", NULL);
        if (i / 4 % 2 == 1) {
            world_force_hrr();
        }
        CHECK_EQ(link_open(&l, set, addresses[i / 8], i / 2 % 2 == 1, NULL), ERR_OK);
        CHECK(link_run(&l));
        CHECK(slice_is_empty(tls_info(&l.server)->sni));
        link_ping(&l);
        link_free(&l);
        tls_set_drop(set);
        world_close();
    }
}

static const struct test_case cases[] = {
    {"address_as_name", test_address_as_name},
    {"combinations", test_combinations},
    {"proof_times", test_proof_times},
    {"lapsed_after_acknowledged", test_lapsed_after_acknowledged},
    {"too_big", test_too_big},
    {"two_pairs", test_two_pairs},
    {"replaced_while_sent", test_replaced_while_sent},
    {"no_set", test_no_set},
    {"client_verifies", test_client_verifies},
    {"left_in_the_middle", test_left_in_the_middle},
    {"full_acknowledgement", test_full_acknowledgement},
    {"client_refuses_proof", test_client_refuses_proof},
    {"trust_files", test_trust_files},
    {"revocation-lists", test_revocation_lists},
    {"close", test_close},
    {"ciphers", test_ciphers},
    {"env", test_env},
};

int main(int argc, char **argv)
{
    world_make_files(argv[0]);
    return test_main(cases, sizeof cases / sizeof cases[0], argc, argv);
}

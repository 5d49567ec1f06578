/* TLS towards servers that staple anything: what is required, what is only asked for, names,
 * logins, and that nothing which needs TLS ever goes without. */
#include "proof_scenarios.h"
#include "remote_world.h"
#include "tls_client.h"

#define CIPHERS_12 "ECDHE-ECDSA-AES128-GCM-SHA256"
#define CIPHERS_13 "TLS_AES_128_GCM_SHA256"

static const char *const versions[] = {CIPHERS_12, CIPHERS_13};
static const char *const host[] = {"mail.example"};
static const char tls_ehlo[] = "250-mx.example\r\n250-STARTTLS\r\n250-AUTH PLAIN\r\n250 DSN\r\n";

static struct world keys;
static struct maker_cert leaf_of;

static void make_keys(void)
{
    maker_reset();
    memset(&keys, 0, sizeof keys);
    maker_ec_key(&keys.issuer_key, MBEDTLS_ECP_DP_SECP256R1, 11);
    maker_ec_key(&keys.leaf_key, MBEDTLS_ECP_DP_SECP256R1, 12);
    maker_ec_key(&keys.delegate_key, MBEDTLS_ECP_DP_SECP256R1, 13);
    maker_ec_key(&keys.other_key, MBEDTLS_ECP_DP_SECP256R1, 14);
    world_begin(&keys);
    leaf_of = (struct maker_cert){"mail.example",    "Issuer",          &keys.leaf_key,
                                  &keys.issuer_key,  "\x8f\x10\x01",    "20260101000000Z",
                                  "20270101000000Z", .key_usage = 0x80, .alt_name = "mail.example"};
}

struct setting {
    const char *ciphers;
    const char *conf;
    struct slice proof;  /* empty: none */
    struct slice behind; /* a certificate behind the leaf; empty: none */
    const char *const *hosts;
    struct slice root;   /* the authority that is believed; empty: the issuer */
    struct slice before; /* another one in front of it; empty: none */
    struct slice crl;    /* empty: none */
    bool without_trust;
    bool implicit_tls;
    struct rw_script script;
};

static struct tls_set *make_set(const struct setting *s)
{
    struct tls_set *set = tls_set_new(&rw.tls);
    struct slice chain = maker_pem("CERTIFICATE", maker_certificate(&leaf_of));
    if (!slice_is_empty(s->behind)) {
        chain = JOIN(chain, maker_pem("CERTIFICATE", s->behind));
    }
    CHECK_EQ(
        tls_set_add_pair(set, chain, maker_pem("EC PRIVATE KEY", maker_private(&keys.leaf_key))),
        TLS_SET_OK);
    if (!slice_is_empty(s->proof)) {
        struct ocsp_verdict verdict = {
            .reason = OCSP_GOOD, .begin_s = 0, .end_s = INT64_MAX, .verified = true};
        CHECK_EQ(tls_set_set_proof(set, 0, 0, s->proof, &verdict), ERR_OK);
    }
    return set;
}

/* A server whose name is mail.example, and whatever else DNS says of it. */
static struct rw_server *set_up(const struct setting *s)
{
    char conf[1024];
    struct rw_script script = s->script;
    uint16_t port = s->implicit_tls ? 465 : 25;
    size_t num_bad;
    snprintf(conf, sizeof conf, "%s%s",
             s->without_trust ? "" : "tls_verify_certificates = /roots\n", s->conf);
    rw_open(conf);
    rw_open_tls(s->ciphers);
    script.ehlo = script.ehlo == NULL ? tls_ehlo : script.ehlo;
    script.implicit_tls = s->implicit_tls;
    struct rw_server *server = rw_server("192.0.2.25", port, &script);
    server->set = make_set(s);
    struct slice root = maker_pem("CERTIFICATE", s->root.len != 0 ? s->root : keys.issuer.whole);
    if (!slice_is_empty(s->before)) {
        root = JOIN(maker_pem("CERTIFICATE", s->before), root);
    }
    struct tls_trust *trust = s->without_trust ? NULL : tls_trust_new(&rw.tls, root, &num_bad);
    if (!slice_is_empty(s->crl)) {
        CHECK(tls_trust_add_crls(&rw.tls, trust, s->crl));
    }
    deliver_smtp_use_tls(rw.d, &rw.tls, trust);
    tls_trust_drop(&rw.tls, trust);
    rw_record("mail.example", DNS_A, "192.0.2.25");
    rw_record("a.mail.example", DNS_A, "192.0.2.25");
    rw_route(ROUTE_TO_SMTP, s->hosts == NULL ? host : s->hosts, 1, port);
    return server;
}

static bool log_has(const char *event, const char *word)
{
    char text[96];
    bool found = false;
    snprintf(text, sizeof text, " %s ", word);
    for (size_t i = 0; i < sim_log_num(rw.h); i++) {
        char line[2048];
        snprintf(line, sizeof line, "%s ", sim_log_line(rw.h, i));
        found = found || (strstr(line, event) != NULL && strstr(line, text) != NULL);
    }
    return found;
}

/* The message comes through, or waits for that reason and no command of it was said. */
static void check_sent(enum smtp_rcpt_result result, const char *reason)
{
    struct smtp_job *job = rw_send(1, NULL);
    bool is_delivered = result == SMTP_RCPT_DELIVERED;
    CHECK_EQ(job->rcpts[0].result, result);
    CHECK_EQ(rw.servers[0].num_messages, is_delivered);
    if (!is_delivered) {
        CHECK(job->reason != NULL && strcmp(job->reason, reason) == 0);
        CHECK_EQ(job->rcpts[0].status[0], 4);
        CHECK_EQ(job->rcpts[0].status[1], 7);
        CHECK(strstr(rw.servers[0].commands, "MAIL") == NULL);
        if (job->reason == NULL || strcmp(job->reason, reason) != 0) {
            fprintf(stderr, "  reason %s, not %s\n", job->reason, reason);
        }
    }
    deliver_smtp_give(rw.d, job);
}

static void check_proof(const char *what, const struct setting *s, enum smtp_rcpt_result result,
                        const char *reason, const char *ocsp)
{
    char word[64];
    int failed_before = test_failed_checks;
    bool is_delivered = result == SMTP_RCPT_DELIVERED;
    set_up(s);
    check_sent(result, reason);
    snprintf(word, sizeof word, "tls_out_ocsp=%s", ocsp);
    CHECK(log_has(is_delivered ? "relay id" : "relay-try", word));
    CHECK(log_has("relay", s->ciphers == versions[0] ? "tls=TLSv1.2" : "tls=TLSv1.3"));
    CHECK(log_has("relay", "certificate=verified"));
    rw_close();
    if (test_failed_checks != failed_before) {
        fprintf(stderr, "  in %s, %s, %s", what, s->ciphers, s->conf);
    }
}

static struct slice staple(const char *name)
{
    struct ocsp_question q = world_question(&keys);
    if (strcmp(name, "none") == 0) {
        return slice_make(NULL, 0);
    }
    if (strcmp(name, "garbage") == 0) {
        return SLICE_LITERAL("\x30\x82no response at all");
    }
    if (strcmp(name, "truncated") == 0) {
        struct slice whole = scenario_good_direct(&keys, &q);
        whole.len /= 2;
        return whole;
    }
    for (size_t i = 0; i < sizeof scenarios / sizeof scenarios[0]; i++) {
        if (strcmp(scenarios[i].name, name) == 0) {
            return scenarios[i].make(&keys, &q);
        }
    }
    fprintf(stderr, "no scenario %s\n", name);
    abort();
}

struct row {
    const char *name;
    struct {
        enum smtp_rcpt_result result;
        const char *reason, *ocsp;
    } want[3]; /* require, request, off */
};

#define PROOF(name, ...) PROOF_(name, __VA_ARGS__)
#define PROOF_(name, r1, w1, o1, r2, w2, o2, r3, w3, o3) \
    {#name, {{SMTP_RCPT_##r1, w1, o1}, {SMTP_RCPT_##r2, w2, o2}, {SMTP_RCPT_##r3, w3, o3}}},

static const struct row rows[] = {
#include "../tables/remote_proofs.def"
};

static void test_table(void)
{
    static const char *const confs[] = {"hosts_require_ocsp = mail.example\n",
                                        "hosts_request_ocsp = *\n", "hosts_request_ocsp =\n"};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        make_keys();
        struct slice proof = staple(rows[i].name);
        for (size_t k = 0; k < 12; k++) {
            struct setting s = {.ciphers = versions[k % 2],
                                .conf = confs[k / 4],
                                .proof = proof,
                                .implicit_tls = k / 2 % 2 == 1};
            check_proof(rows[i].name, &s, rows[i].want[k / 4].result, rows[i].want[k / 4].reason,
                        rows[i].want[k / 4].ocsp);
        }
        world_end(&keys);
    }
}

/* --- Without a clock, without authorities --- */

static void test_no_clock(void)
{
    make_keys();
    struct setting s = {.ciphers = CIPHERS_13, .conf = "hosts_require_ocsp = *\n"};
    s.proof = staple("good_direct");
    set_up(&s);
    rw.wall_set = false;
    check_sent(SMTP_RCPT_DEFERRED, "no-trusted-clock");
    rw_close();
    s.conf = "";
    set_up(&s);
    rw.wall_set = false;
    check_sent(SMTP_RCPT_DELIVERED, "ok");
    CHECK(log_has("relay id", "tls_out_ocsp=not-verified"));
    rw_close();
    s.proof = staple("revoked"); /* is so at any time */
    set_up(&s);
    rw.wall_set = false;
    check_sent(SMTP_RCPT_DEFERRED, "proof-revoked");
    rw_close();
    world_end(&keys);
}

/* Nobody is believed: the proof is judged by the certificate that has signed the server's. */
static void test_no_trust(void)
{
    make_keys();
    struct maker_cert fake = {"Issuer",          "Root",     &keys.delegate_key,
                              &keys.other_key,   "\x09",     "20250101000000Z",
                              "20360101000000Z", .ca = true, .key_usage = 0x86};
    struct setting s = {.ciphers = CIPHERS_13, .conf = "", .without_trust = true};
    s.proof = staple("revoked");
    s.behind = keys.issuer.whole;
    set_up(&s);
    check_sent(SMTP_RCPT_DEFERRED, "proof-revoked");
    rw_close();
    s.proof = staple("good_direct");
    set_up(&s);
    check_sent(SMTP_RCPT_DELIVERED, "ok");
    CHECK(log_has("relay id", "tls_out_ocsp=verified"));
    CHECK(log_has("relay id", "certificate=unverified"));
    rw_close();
    s.behind = maker_certificate(&fake);
    set_up(&s);
    check_sent(SMTP_RCPT_DELIVERED, "ok");
    CHECK(log_has("relay id", "tls_out_ocsp=not-verified"));
    rw_close();
    world_end(&keys);
}

/* The key of a revoked certificate is stolen, and with it comes an issuer of the same name that
 * vouches for it. */
static void test_fake_issuer(void)
{
    make_keys();
    struct maker_cert fake = {"Issuer",          "Root",     &keys.other_key,
                              &keys.other_key,   "\x09",     "20250101000000Z",
                              "20360101000000Z", .ca = true, .key_usage = 0x86};
    struct maker_response r = world_good(&keys);
    struct slice spki = maker_public(&keys.other_key);
    r.key = &keys.other_key;
    r.singles[0].spki = spki;
    r.by_key = maker_hash(MBEDTLS_MD_SHA1, maker_key_bits(spki));
    for (size_t i = 0; i < 2; i++) {
        struct setting s = {.ciphers = versions[i],
                            .conf = "hosts_require_ocsp = *\n",
                            .proof = maker_proof(&r),
                            .behind = maker_certificate(&fake)};
        set_up(&s);
        check_sent(SMTP_RCPT_DEFERRED, "proof-failed");
        rw_close();
    }
    world_end(&keys);
}

/* --- Names (RFC 9525) --- */

static void test_names(void)
{
    static const char *const deep[] = {"a.mail.example"};
    static const struct {
        const char *alt_name;
        const char *const *hosts;
        bool is_good;
    } names[] = {
        {"mail.example", NULL, true},       {"MAIL.Example", NULL, true},
        {"other.example", NULL, false},     {NULL, NULL, false}, /* the subject's name is no name */
        {"*.example", NULL, true},          {"*.mail.example", deep, true},
        {"*.example", deep, false},         {"*", NULL, false},
        {"m*.example", NULL, false},        {"*.*", NULL, false},
        {"mail.example.evil", NULL, false},
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        for (size_t k = 0; k < 4; k++) {
            int failed_before = test_failed_checks;
            make_keys();
            leaf_of.alt_name = names[i].alt_name;
            struct setting s = {.ciphers = versions[k % 2],
                                .conf = k < 2 ? "remote_tls_verify_hosts = *\n" : "",
                                .hosts = names[i].hosts};
            set_up(&s);
            check_sent(names[i].is_good || k >= 2 ? SMTP_RCPT_DELIVERED : SMTP_RCPT_DEFERRED,
                       "certificate-unverified");
            if (k >= 2) {
                CHECK(log_has("relay id", names[i].is_good ? "certificate=verified"
                                                           : "certificate=unverified"));
            }
            CHECK_EQ(rw.servers[0].num_starttls, 1);
            rw_close();
            world_end(&keys);
            if (test_failed_checks != failed_before) {
                fprintf(stderr, "  in name %s\n", names[i].alt_name);
            }
        }
    }
}

static void test_validity(void)
{
    for (size_t i = 0; i < 4; i++) {
        make_keys();
        leaf_of.not_after = i < 2 ? "20260601000000Z" : "20270101000000Z";
        leaf_of.not_before = i < 2 ? "20260101000000Z" : "20260701000000Z";
        struct setting s = {.ciphers = versions[i % 2], .conf = "remote_tls_verify_hosts = *\n"};
        set_up(&s);
        check_sent(SMTP_RCPT_DEFERRED, "certificate-unverified");
        rw_close();
        world_end(&keys);
    }
}

/* --- Revocation lists (RFC 5280 5) --- */

static struct slice make_crl(struct maker_key *key, const char *issuer, const char *next_update,
                             const char *serial)
{
    struct slice algorithm = maker_signature_algorithm(key), revoked = NOTHING;
    if (serial != NULL) {
        revoked = SEQ(SEQ(maker_integer(slice_of_string(serial)), maker_time("20260601000000Z")));
    }
    struct slice tbs = SEQ(maker_u8(DER_INTEGER, 1), algorithm, maker_name(issuer),
                           maker_time("20260601000000Z"), maker_time(next_update), revoked);
    return SEQ(tbs, algorithm, maker_bits(maker_sign(key, tbs)));
}

static void test_crl(void)
{
    for (size_t i = 0; i < 10; i++) {
        make_keys();
        struct slice lists[] = {
            make_crl(&keys.issuer_key, "Issuer", "20260701000000Z", NULL),
            make_crl(&keys.issuer_key, "Issuer", "20260701000000Z", "\x8f\x10\x01"),
            make_crl(&keys.issuer_key, "Issuer", "20260610000000Z", NULL),
            make_crl(&keys.other_key, "Root", "20260701000000Z", NULL),
            make_crl(&keys.other_key, "Issuer", "20260701000000Z", NULL),
        };
        struct setting s = {.ciphers = versions[i % 2],
                            .conf = "remote_tls_verify_hosts = *\n",
                            .crl = lists[i / 2]};
        set_up(&s);
        check_sent(i < 2 ? SMTP_RCPT_DELIVERED : SMTP_RCPT_DEFERRED, "certificate-unverified");
        rw_close();
        world_end(&keys);
    }
}

/* What was over when the program was built is over, though nobody knows what time it is. */
static void test_floor(void)
{
    enum { IN_JUNE = 1781481600, A_MONTH = 31 * 86400, TEN_YEARS = 120 * A_MONTH };
    static const int64_t floors[] = {0, IN_JUNE, IN_JUNE + A_MONTH, IN_JUNE + TEN_YEARS};
    for (size_t i = 0; i < 8; i++) {
        make_keys();
        struct setting s = {.ciphers = versions[i % 2], .conf = "remote_tls_verify_hosts = *\n"};
        if (i / 2 == 2) {
            s.crl = make_crl(&keys.issuer_key, "Issuer", "20260701000000Z", NULL);
        }
        set_up(&s);
        rw.wall_set = false;
        rw.wall_s = floors[i / 2];
        check_sent(i / 2 < 2 ? SMTP_RCPT_DELIVERED : SMTP_RCPT_DEFERRED, "certificate-unverified");
        rw_close();
        world_end(&keys);
    }
}

/* --- Never without TLS where it is required; without, where it is a courtesy --- */

static void test_plaintext(void)
{
    static const char no_tls[] = "250 mx.example\r\n";
    static const struct {
        struct rw_script script;
        const char *reason;
        uint32_t num_courtesy; /* messages in plaintext, where TLS is not required */
    } ways[] = {
        {{.ehlo = no_tls}, "tls-not-offered", 1},
        {{.verb = "EHLO", .how = RW_ANSWER, .answer = "502 no\r\n"}, "tls-not-offered", 1},
        {{.verb = "STARTTLS", .how = RW_ANSWER, .answer = "454 no\r\n"}, "tls-refused", 1},
        {{.verb = "STARTTLS", .how = RW_ANSWER, .answer = "220 go\r\n250-x\r\n250 DSN\r\n"},
         "plaintext-behind-starttls",
         0},
        {{.verb = "TLS", .how = RW_ANSWER, .answer = "500 what?\r\n", .from = 1}, "tls-failed", 1},
        {{.verb = "TLS", .how = RW_CLOSE, .from = 1}, "tls-failed", 1},
        {{.verb = "TLS", .how = RW_RESET, .from = 1}, "tls-failed", 1},
        {{.verb = "TLS", .how = RW_SILENT, .from = 1}, "timeout", 1},
        {{.verb = "TLS", .how = RW_DRIBBLE, .from = 1}, "tls-failed", 1},
    };
    static const char *const confs[] = {"hosts_require_tls = mail.example\n",
                                        "hosts_require_ocsp = 192.0.2.25\n",
                                        "remote_tls_verify_hosts = *\nhosts_avoid_tls = *\n", "",
                                        "hosts_avoid_tls = mail.example\n"};
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        for (size_t k = 0; k < 5; k++) {
            int failed_before = test_failed_checks;
            make_keys();
            struct setting s = {.ciphers = CIPHERS_13, .conf = confs[k], .script = ways[i].script};
            s.script.from = s.script.verb != NULL && strcmp(s.script.verb, "TLS") == 0;
            set_up(&s);
            struct smtp_job *job = rw_send(1, NULL);
            uint32_t num = k < 3 ? 0 : k == 4 ? 1 : ways[i].num_courtesy;
            CHECK_EQ(rw.servers[0].num_messages, num);
            CHECK_EQ(job->rcpts[0].result, num == 1 ? SMTP_RCPT_DELIVERED : SMTP_RCPT_DEFERRED);
            if (k < 3) {
                CHECK(strstr(rw.servers[0].commands, "MAIL") == NULL);
                CHECK(job->reason != NULL && (strcmp(job->reason, ways[i].reason) == 0 ||
                                              strcmp(job->reason, "timeout") == 0));
            }
            if (k == 4) {
                CHECK_EQ(rw.servers[0].num_starttls, 0);
            }
            deliver_smtp_give(rw.d, job);
            rw_close();
            world_end(&keys);
            if (test_failed_checks != failed_before) {
                fprintf(stderr, "  in way %zu, %s", i, confs[k]);
            }
        }
    }
}

/* A revoked host is left for the next one of the list. */
static void test_next_host(void)
{
    static const char *const hosts[] = {"mail.example", "good.example"};
    make_keys();
    struct setting s = {.ciphers = CIPHERS_13, .conf = ""};
    s.proof = staple("revoked");
    set_up(&s);
    rw_server("192.0.2.26", 25, NULL);
    rw_record("good.example", DNS_A, "192.0.2.26");
    rw_route(ROUTE_TO_SMTP, hosts, 2, 25);
    struct smtp_job *job = rw_send(1, NULL);
    CHECK_EQ(job->rcpts[0].result, SMTP_RCPT_DELIVERED);
    CHECK_EQ(rw.servers[0].num_messages, 0);
    CHECK_EQ(rw.servers[1].num_messages, 1);
    CHECK(log_has("error relay-try", "reason=proof-revoked"));
    rw_close();
    world_end(&keys);
}

/* --- Logging in --- */

static void use_login(const char *line)
{
    uint8_t bytes[512];
    static uint8_t memory[1024];
    struct buf errors = buf_make(bytes, sizeof bytes);
    struct arena a = {memory, sizeof memory, 0};
    CHECK_EQ(conf_read_logins(&rw.conf, &a, slice_of_string(line), &errors), ERR_OK);
}

static void test_login(void)
{
    static const struct {
        const char *alt_name, *conf, *ehlo;
        struct rw_script script;
        enum smtp_rcpt_result result;
        const char *reason;
        bool says_auth;
    } ways[] = {
        {"mail.example", "", NULL, {.verb = NULL}, SMTP_RCPT_DELIVERED, "ok", true},
        {"mail.example",
         "",
         NULL,
         {.verb = "AUTH", .how = RW_ANSWER, .answer = "535 5.7.8 no\r\n"},
         SMTP_RCPT_DEFERRED,
         "login-refused",
         true},
        {"mail.example",
         "",
         NULL,
         {.verb = "AUTH", .how = RW_ANSWER, .answer = "454 4.7.0 later\r\n"},
         SMTP_RCPT_DEFERRED,
         "login-refused",
         true},
        {"other.example",
         "",
         NULL,
         {.verb = NULL},
         SMTP_RCPT_DEFERRED,
         "certificate-unverified",
         false},
        {"mail.example",
         "hosts_avoid_tls = *\n",
         NULL,
         {.verb = NULL},
         SMTP_RCPT_DELIVERED,
         "ok",
         true},
        {"mail.example",
         "",
         "250-mx.example\r\n250 AUTH PLAIN\r\n",
         {.verb = NULL},
         SMTP_RCPT_DEFERRED,
         "tls-not-offered",
         false},
        {"mail.example",
         "",
         "250-mx.example\r\n250-STARTTLS\r\n250 AUTH GSSAPI\r\n",
         {.verb = NULL},
         SMTP_RCPT_DEFERRED,
         "login-not-offered",
         false},
    };
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        make_keys();
        leaf_of.alt_name = ways[i].alt_name;
        struct setting s = {.ciphers = CIPHERS_13, .conf = ways[i].conf, .script = ways[i].script};
        s.script.ehlo = ways[i].ehlo;
        set_up(&s);
        use_login("mail.example joe secret\n");
        check_sent(ways[i].result, ways[i].reason);
        CHECK_EQ(strstr(rw.servers[0].commands, "AUTH PLAIN AGpvZQBzZWNyZXQ=") != NULL,
                 ways[i].says_auth);
        if (strcmp(ways[i].reason, "login-refused") == 0) {
            CHECK(log_has("error relay-try", "reason=login-refused"));
        }
        rw_close();
        world_end(&keys);
    }
}

/* --- Turns --- */

/* A handshake waits as long as the owner has work of that kind of its own. */
static void test_turns(void)
{
    make_keys();
    struct setting s = {.ciphers = CIPHERS_13, .conf = "hosts_require_tls = *\n"};
    struct rw_message m;
    struct smtp_order order = {.id = 0};
    set_up(&s);
    rw_put(&m, 1, NULL, rw_text);
    CHECK(rw_start(&m, &order) != NULL);
    rw.may_not_shake = true;
    rw_run_ms(5000);
    CHECK_EQ(rw.servers[0].num_starttls, 1);
    CHECK(deliver_smtp_wants_shake(rw.d));
    CHECK(rw.peers[0].tls.env == NULL); /* not a byte of it has come */
    rw.may_not_shake = false;
    struct smtp_job *job = rw_until_ended();
    CHECK_EQ(job->rcpts[0].result, SMTP_RCPT_DELIVERED);
    CHECK_EQ(rw.num_steps_with_shakes > 2, true);
    deliver_smtp_give(rw.d, job);
    rw_close();
    world_end(&keys);
}

/* Another set of authorities comes into force while a handshake is under way. */
static void test_new_trust(void)
{
    make_keys();
    struct setting s = {.ciphers = CIPHERS_12, .conf = "remote_tls_verify_hosts = *\n"};
    struct rw_message m;
    struct smtp_order order = {.id = 0};
    set_up(&s);
    rw_put(&m, 1, NULL, rw_text);
    CHECK(rw_start(&m, &order) != NULL);
    for (int i = 0; i < 1000 && rw.peers[0].tls.env == NULL; i++) {
        rw_step();
    }
    deliver_smtp_use_tls(rw.d, &rw.tls, NULL);
    struct smtp_job *job = rw_until_ended();
    CHECK_EQ(job->rcpts[0].result, SMTP_RCPT_DELIVERED); /* by those that it began with */
    deliver_smtp_give(rw.d, job);
    rw_close();
    world_end(&keys);
}

/* Where memory for TLS is short, for either side, mail waits, and then goes, with TLS. */
static void test_little_memory(void)
{
    static const size_t left[] = {170000, 120000, 60000}; /* of which the server takes half */
    for (size_t i = 0; i < 3; i++) {
        make_keys();
        struct setting s = {.ciphers = CIPHERS_13, .conf = "hosts_require_tls = *\n"};
        struct rw_message m;
        void *blocks[64];
        size_t num_blocks = 0;
        set_up(&s);
        rw_put(&m, 1, NULL, rw_text);
        while (num_blocks < 64 && heap_largest_free(&rw_heap) > left[i] + 65536) {
            blocks[num_blocks++] = heap_alloc(&rw_heap, 1, 65536);
        }
        if (heap_largest_free(&rw_heap) > left[i]) {
            blocks[num_blocks++] = heap_alloc(&rw_heap, 1, heap_largest_free(&rw_heap) - left[i]);
        }
        for (int k = 0; k < 5; k++) {
            struct smtp_order order = {.id = 0};
            CHECK(rw_start(&m, &order) != NULL);
        }
        for (int k = 0; k < 5; k++) {
            struct smtp_job *job = rw_until_ended();
            CHECK(job->rcpts[0].result == SMTP_RCPT_DELIVERED ||
                  (i == 2 && job->rcpts[0].result == SMTP_RCPT_DEFERRED));
            deliver_smtp_give(rw.d, job);
        }
        CHECK_EQ(sim_log_count(rw.h, "delivered=1"), rw.servers[0].num_messages);
        CHECK(rw.servers[0].num_messages > 0);
        CHECK_EQ(sim_log_count(rw.h, "tls=no"), 0);
        while (num_blocks > 0) {
            heap_free(&rw_heap, blocks[--num_blocks]);
        }
        rw_close();
        world_end(&keys);
    }
}

/* A certificate that is not to be believed without a proof (RFC 7633), from a server that must be
 * verified and is asked for one. */
static void test_must_staple(void)
{
    for (size_t i = 0; i < 6; i++) {
        make_keys();
        leaf_of.must_staple = true;
        struct setting s = {.ciphers = versions[i % 2],
                            .conf = i < 4 ? "remote_tls_verify_hosts = *\n" : ""};
        s.proof = i / 2 == 1 ? staple("good_direct") : staple("none");
        set_up(&s);
        check_sent(i < 2 ? SMTP_RCPT_DEFERRED : SMTP_RCPT_DELIVERED, "proof-missing");
        rw_close();
        world_end(&keys);
    }
}

/* Looked at only for the log, and by no authority of ours: whoever has the issuer's name without
 * having signed the server's certificate still vouches for nothing. */
static void test_namesake_unverified(void)
{
    for (size_t i = 0; i < 2; i++) {
        make_keys();
        struct maker_cert fake = {"Issuer",          "Root",     &keys.other_key,
                                  &keys.other_key,   "\x09",     "20250101000000Z",
                                  "20360101000000Z", .ca = true, .key_usage = 0x86};
        struct maker_cert root = {"Elsewhere",        "Elsewhere", &keys.delegate_key,
                                  &keys.delegate_key, "\x0a",      "20250101000000Z",
                                  "20360101000000Z",  .ca = true,  .key_usage = 0x86};
        struct maker_response r = world_good(&keys);
        struct slice spki = maker_public(&keys.other_key);
        r.key = &keys.other_key;
        r.singles[0].spki = spki;
        r.by_key = maker_hash(MBEDTLS_MD_SHA1, maker_key_bits(spki));
        struct setting s = {.ciphers = versions[i],
                            .conf = "",
                            .proof = maker_proof(&r),
                            .root = maker_certificate(&root),
                            .behind = maker_certificate(&fake)};
        set_up(&s);
        check_sent(SMTP_RCPT_DELIVERED, "ok");
        CHECK(log_has("relay id", "certificate=unverified"));
        CHECK(log_has("relay id", "tls_out_ocsp=not-verified"));
        rw_close();
        world_end(&keys);
    }
}

/* An authority has renewed its certificate, with the same key; both stand in our file. */
static void test_renewed_authority(void)
{
    for (size_t i = 0; i < 4; i++) {
        make_keys();
        struct maker_cert old = {"Issuer",          "Root",     &keys.issuer_key,
                                 &keys.other_key,   "\x06",     "20150101000000Z",
                                 "20260101000000Z", .ca = true, .key_usage = 0x86};
        struct setting s = {.ciphers = versions[i % 2],
                            .conf = i < 2 ? "remote_tls_verify_hosts = *\n"
                                          : "hosts_require_ocsp = *\n",
                            .proof = staple("good_direct"),
                            .before = maker_certificate(&old)};
        set_up(&s);
        check_sent(SMTP_RCPT_DELIVERED, "ok");
        CHECK(log_has("relay id", "certificate=verified"));
        rw_close();
        s.root = s.before; /* the old one alone */
        set_up(&s);
        check_sent(SMTP_RCPT_DEFERRED, "certificate-unverified");
        rw_close();
        world_end(&keys);
    }
}

static const struct test_case cases[] = {
    {"table", test_table},
    {"no_clock", test_no_clock},
    {"floor", test_floor},
    {"no_trust", test_no_trust},
    {"fake_issuer", test_fake_issuer},
    {"names", test_names},
    {"validity", test_validity},
    {"crl", test_crl},
    {"little_memory", test_little_memory},
    {"plaintext", test_plaintext},
    {"next_host", test_next_host},
    {"login", test_login},
    {"turns", test_turns},
    {"new_trust", test_new_trust},
    {"must_staple", test_must_staple},
    {"namesake_unverified", test_namesake_unverified},
    {"renewed_authority", test_renewed_authority},
};

int main(int argc, char **argv)
{
    rw_open_heap();
    return test_main(cases, sizeof cases / sizeof cases[0], argc, argv);
}

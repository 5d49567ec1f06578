/* Servers with TLS, of one certificate, for tests of sending to them: what they staple, which
 * authorities are believed, what came of it. */
#ifndef POSTERN_REMOTE_TLS_H
#define POSTERN_REMOTE_TLS_H

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

static inline void make_keys(void)
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

static inline struct tls_set *make_set(const struct setting *s)
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
static inline struct rw_server *set_up(const struct setting *s)
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

static inline bool log_has(const char *event, const char *word)
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
static inline void check_sent(enum smtp_rcpt_result result, const char *reason)
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

static inline void check_proof(const char *what, const struct setting *s,
                               enum smtp_rcpt_result result, const char *reason, const char *ocsp)
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

static inline struct slice staple(const char *name)
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

#endif

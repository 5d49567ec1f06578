/* Sending in TLS: whose certificates are believed, for which names, at what time, by whose lists;
 * and whose word a proof is. */
#include "remote_tls.h"

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
    CHECK(log_has("relay id", "tls_out_ocsp=not-verified"));
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

/* Our file has the authority as other software renewed it: in another kind of string than the
 * server's certificate, its proof and the revocation list name it. */
static void test_renamed_authority(void)
{
    static const char *const staples[] = {"good_direct", "good_by_name", "good_delegated"};
    for (size_t i = 0; i < 6; i++) {
        make_keys();
        struct maker_cert renewed = {"=Issuer",         "Root",     &keys.issuer_key,
                                     &keys.other_key,   "\x06",     "20260101000000Z",
                                     "20360101000000Z", .ca = true, .key_usage = 0x86};
        struct maker_cert old = renewed;
        old.subject = "Issuer";
        old.not_after = "20260601000000Z";
        struct setting s = {.ciphers = versions[i % 2],
                            .conf = "hosts_require_ocsp = *\n",
                            .proof = staple(staples[i / 2]),
                            .root = maker_certificate(&renewed)};
        set_up(&s);
        check_sent(SMTP_RCPT_DELIVERED, "ok");
        CHECK(log_has("relay id", "tls_out_ocsp=verified"));
        rw_close();
        s.before = maker_certificate(&old);
        s.crl = make_crl(&keys.issuer_key, i < 3 ? "Issuer" : "=Issuer", "20260701000000Z", NULL);
        set_up(&s);
        check_sent(SMTP_RCPT_DELIVERED, "ok");
        rw_close();
        world_end(&keys);
    }
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

static const struct test_case cases[] = {
    {"no_trust", test_no_trust},
    {"fake_issuer", test_fake_issuer},
    {"names", test_names},
    {"validity", test_validity},
    {"crl", test_crl},
    {"floor", test_floor},
    {"new_trust", test_new_trust},
    {"namesake_unverified", test_namesake_unverified},
    {"renewed_authority", test_renewed_authority},
    {"renamed_authority", test_renamed_authority},
};

int main(int argc, char **argv)
{
    rw_open_heap();
    return test_main(cases, sizeof cases / sizeof cases[0], argc, argv);
}

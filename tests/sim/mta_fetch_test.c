/* The whole server keeps its proofs renewed, in simulated time: what clients are shown, what is in
 * the file, and that neither mail nor handshakes ever wait for a responder. */
#include "mta_fetch_site.h"

static struct site_client plain;

/* --- Renewal --- */

static void test_renewed(void)
{
    open_usual();
    CHECK_EQ(shown().len, 0);
    run(5000);
    CHECK_EQ(fw.num_requests, 1);
    CHECK(slice_equal(shown(), proofs[0]));
    CHECK(file_is(FILE_PATH, proofs[0]));
    run(60 * DAY_MS);
    /* At half of each life, give or take a twentieth. */
    CHECK(fw.num_requests >= 60 * 20 / (7 * 11) && fw.num_requests <= 60 * 20 / (7 * 9) + 2);
    CHECK_EQ(sim_log_count(site.host, "result=good"), fw.num_requests);
    CHECK_EQ(sim_log_count(site.host, "ocsp-alarm"), 0);
    struct slice now_shown = shown();
    CHECK(file_is(FILE_PATH, now_shown));
    CHECK(!slice_equal(now_shown, proofs[0]));
    /* What was written was never read back. */
    CHECK_EQ(sim_log_count(site.host, "] proof file"), 0);
    CHECK_EQ(sim_log_count(site.host, "proof file="), 1);
    close_world();
}

/* The file is enough after a restart: the first handshake has it, and nobody is asked. */
static void test_restart(void)
{
    open_usual();
    run(5000);
    CHECK_EQ(sim_log_count(site.host, "result=planned"), 0);
    start_again();
    CHECK(slice_equal(shown(), proofs[0]));
    CHECK_EQ(sim_log_count(site.host, "result=planned next_s="), 1);
    run(DAY_MS);
    CHECK_EQ(fw.num_requests, 1);
    close_world();
}

/* The certificates' own responders; a file in PEM has one proof for each, and keeps its form. */
static void test_chain(void)
{
    open_world("tls_ocsp_file = /ocsp/proofs.pem\nocsp_fetch = aia\n"
               "tls_verify_certificates = /tls/root.pem\n");
    sim_files_put(site.host, "/tls/root.pem", root_pem);
    site_start(&site);
    run(10000);
    CHECK_EQ(num_asked_issuer, 1);
    CHECK_EQ(fw.num_requests, 2);
    struct slice leaf = maker_pem("OCSP RESPONSE", proofs[0]);
    struct slice issuer = maker_pem("OCSP RESPONSE", issuer_proof);
    CHECK(file_is("/ocsp/proofs.pem", JOIN(leaf, issuer)));
    run(5 * DAY_MS);
    CHECK_EQ(num_asked_issuer, 1);
    CHECK_EQ(fw.num_requests, 3);
    struct slice renewed = shown();
    CHECK(!slice_equal(renewed, proofs[0]));
    leaf = maker_pem("OCSP RESPONSE", maker_copy(renewed));
    CHECK(file_is("/ocsp/proofs.pem", JOIN(leaf, issuer)));
    /* In DER there is room for the leaf's alone. */
    close_world();
    open_world("tls_ocsp_file = " FILE_PATH "\nocsp_fetch = aia\n"
               "tls_verify_certificates = /tls/root.pem\n");
    sim_files_put(site.host, "/tls/root.pem", root_pem);
    site_start(&site);
    run(10000);
    CHECK_EQ(num_asked_issuer, 0);
    CHECK(file_is(FILE_PATH, proofs[0]));
    close_world();
}

/* --- Responders that do not help --- */

/* Whatever the responder does, mail and handshakes go on as if it were not there. */
static void test_hostile(void)
{
    static const enum script scripts[] = {SILENT, DRIBBLE, ENDLESS, REDIRECT, BUSY,
                                          HTML,   CUT,     CLOSE,   RESET,    ANSWER_JUNK};
    for (size_t i = 0; i < sizeof scripts / sizeof scripts[0]; i++) {
        open_usual();
        fw.script = scripts[i];
        run(200);
        uint64_t begin_ms = sim_world_now_ms(fw.w);
        set_link(0);
        sim_world_set_horizon(fw.w, begin_ms + 2000);
        client_connect(&site, &plain, 0, 3, 500);
        set_link(20);
        for (int step = 0; step < 5000 && client_turn(&site, &plain); step++) {
            fw_step_others();
            mta_step(site.mta);
        }
        CHECK_EQ(site.num_acked, 3);
        CHECK_EQ(shown().len, 0);
        CHECK(sim_world_now_ms(fw.w) - begin_ms < 3000);
        run(40000);
        CHECK(fw.num_requests >= 1);
        CHECK_EQ(sim_log_count(site.host, "result=good"), 0);
        CHECK(sim_log_count(site.host, "warning ocsp-fetch") >= 1);
        fw.script = ANSWER_MADE;
        run(DAY_MS / 24);
        CHECK(slice_equal(shown(), proofs[0]));
        close_world();
    }
}

/* A responder that keeps on saying the same is asked more often as the end comes near, never more
 * than once a minute, and nothing is written anew. */
static struct slice answer_first(struct slice request)
{
    (void)request;
    return proofs[0];
}

static void test_older(void)
{
    open_usual();
    run(5000);
    fw.make = answer_first;
    run(6 * DAY_MS);
    CHECK(fw.num_requests > 4 && fw.num_requests < 300);
    CHECK_EQ(sim_log_count(site.host, "result=good"), 1);
    CHECK(sim_log_count(site.host, "result=not-newer") == fw.num_requests - 1);
    CHECK(slice_equal(shown(), proofs[0]));
    CHECK(sim_log_count(site.host, "ocsp-alarm") == 0);
    run(DAY_MS);
    CHECK(sim_log_count(site.host, "ocsp-alarm") >= 12);
    CHECK_EQ(shown().len, 0);
    CHECK(file_is(FILE_PATH, proofs[0]));
    fw.make = answer;
    run(1000000);
    CHECK(slice_equal(shown(), proofs[newest()]));
    close_world();
}

/* --- Revoked --- */

static void test_revoked(void)
{
    open_usual();
    run(5000);
    CHECK(slice_equal(shown(), proofs[0]));
    says_revoked = true;
    run(4 * DAY_MS);
    CHECK_EQ(sim_log_count(site.host, "result=revoked"), 1);
    CHECK_EQ(shown().len, 0);
    CHECK_EQ(sim_log_count(site.host, "state=none reason=revoked"), 1);
    CHECK_EQ(sim_log_count(site.host, "ocsp-alarm"), 0);
    /* It stays so over a restart without a responder, and whatever older one is in the file. */
    fw.script = SILENT;
    start_again();
    CHECK_EQ(shown().len, 0);
    sim_files_put(site.host, FILE_PATH, proofs[0]);
    run(2000);
    CHECK_EQ(shown().len, 0);
    start_again();
    CHECK_EQ(shown().len, 0);
    /* Until the issuer says otherwise. */
    fw.script = ANSWER_MADE;
    says_revoked = false;
    run(6 * DAY_MS);
    CHECK(shown().len != 0);
    close_world();
}

/* A revoked certificate's responder that says so anew each time, and not until when, is not asked
 * all the time. */
static struct slice answer_endless(struct slice request)
{
    (void)request;
    return endless[fw.num_requests - 1 < 8 ? fw.num_requests - 1 : 7];
}

static void test_revoked_without_end(void)
{
    open_usual();
    fw.make = answer_endless;
    run(2 * DAY_MS);
    CHECK(fw.num_requests >= 3 && fw.num_requests <= 6);
    CHECK_EQ(sim_log_count(site.host, "result=revoked"), fw.num_requests);
    CHECK(status_has("reason: revoked\nnext-refresh: 2026-01-0"));
    close_world();
}

/* A responder that hears of a new certificate half an hour late: it is asked again as after any
 * failure, not when its word that it knows none has half of its life behind it. What it says anew
 * each time is not written anew. */
static struct slice answer_unknown(struct slice request)
{
    size_t minute = (size_t)(fw_true_s() - START_S) / 60;
    (void)request;
    return unknown[minute < 30 ? minute : 30];
}

static void test_unknown(void)
{
    open_usual();
    fw.make = answer_unknown;
    run(29 * 60000);
    CHECK(fw.num_requests >= 4 && fw.num_requests <= 8);
    CHECK_EQ(sim_log_count(site.host, "result=unknown status"), fw.num_requests);
    CHECK(status_has("reason: unknown\n"));
    CHECK(file_is(FILE_PATH, unknown[0]));
    run(15 * 60000);
    CHECK(slice_equal(shown(), unknown[30]));
    uint32_t num_requests = fw.num_requests;
    run(DAY_MS);
    CHECK_EQ(fw.num_requests, num_requests);
    close_world();
}

/* --- The file --- */

/* It cannot be written: the proof is served all the same, told once, and fetched again after a
 * restart. */
static void test_not_saved(void)
{
    open_usual();
    sim_files_fail(site.host, FILE_PATH, ERR_NO_SPACE);
    run(5000);
    CHECK(slice_equal(shown(), proofs[0]));
    CHECK_EQ(sim_log_count(site.host, "result=not-saved"), 1);
    run(DAY_MS);
    CHECK(slice_equal(shown(), proofs[0]));
    CHECK_EQ(fw.num_requests, 1);
    CHECK_EQ(sim_log_count(site.host, "result=not-saved"), 1);
    /* Lost with the server; asked for anew. */
    start_again();
    run(5000);
    CHECK_EQ(fw.num_requests, 2);
    CHECK(!file_is(FILE_PATH, proofs[newest()]));
    /* There is room again: no need to ask for that. */
    struct slice held = proofs[newest()];
    sim_files_fail(site.host, FILE_PATH, ERR_OK);
    run(DAY_MS / 24);
    CHECK_EQ(fw.num_requests, 2);
    CHECK(file_is(FILE_PATH, held));
    CHECK_EQ(sim_log_count(site.host, "what could not be saved is now"), 1);
    run(DAY_MS / 2);
    CHECK_EQ(sim_log_count(site.host, "what could not be saved is now"), 1);
    CHECK_EQ(sim_log_count(site.host, "proof file="),
             3); /* at the starts, and once it can be read */
    close_world();
}

/* Somebody else keeps the file fresh, and no client comes: no alarm, and nobody is asked. */
static void test_file_from_elsewhere(void)
{
    open_usual();
    run(5000);
    for (int i = 1; i <= 40; i++) {
        run(PERIOD_S * 1000);
        sim_files_put(site.host, FILE_PATH, proofs[i]);
    }
    CHECK_EQ(fw.num_requests, 1);
    CHECK_EQ(sim_log_count(site.host, "ocsp-alarm"), 0);
    close_world();
}

static void test_alarm(void)
{
    open_world("tls_ocsp_file = " FILE_PATH "\n");
    sim_files_put(site.host, FILE_PATH, proofs[0]);
    site_start(&site);
    run(6 * DAY_MS - HOUR_MS);
    CHECK_EQ(sim_log_count(site.host, "ocsp-alarm"), 0);
    run(DAY_MS);
    CHECK_EQ(sim_log_count(site.host, "state=ends-soon"), 12);
    CHECK_EQ(fw.num_requests + fw.num_queries, 0);
    close_world();
}

/* --- Options and the end --- */

static void test_reload(void)
{
    open_usual();
    fw.script = SILENT;
    run(300);
    CHECK_EQ(fw.num_requests, 1);
    set_options("tls_ocsp_file = " FILE_PATH "\n"); /* no longer */
    sim_host_signal(site.host, PORT_RELOAD);
    run(DAY_MS);
    CHECK_EQ(fw.num_requests, 1);
    CHECK(transfer_is_idle(&site.mta->fetch.transfer));
    fw.script = ANSWER_MADE;
    set_options("tls_ocsp_file = " FILE_PATH "\nocsp_fetch = http://other.example/x\n"
                "ocsp_fetch_method = GET\nocsp_fetch_proxy = http://192.0.2.31:3128\n");
    sim_host_signal(site.host, PORT_RELOAD);
    run(3000);
    CHECK_EQ(fw.num_requests, 2);
    CHECK(strncmp(fw.request, "GET http://other.example/x/", 27) == 0);
    CHECK(slice_equal(shown(), proofs[newest()]));
    set_options("tls_ocsp_file = " FILE_PATH "\n");
    sim_host_signal(site.host, PORT_RELOAD);
    run(20 * DAY_MS);
    CHECK_EQ(fw.num_requests, 2);
    close_world();
}

/* Where the first one that the certificate names is gone, the second one is asked, each time. */
static void test_two_responders(void)
{
    open_world("tls_ocsp_file = " FILE_PATH "\nocsp_fetch = aia\n");
    sim_files_put(site.host, "/tls/chain.pem", two_responders_pem);
    site_start(&site);
    run(3 * 60 * 1000);
    CHECK_EQ(sim_log_count(site.host, "result=refused"), 1);
    CHECK(file_is(FILE_PATH, proofs[newest()]));
    run(20 * DAY_MS);
    CHECK(fw.num_requests >= 5 && fw.num_requests <= 7);
    CHECK_EQ(sim_log_count(site.host, ":81/gone\" result=refused"), fw.num_requests);
    CHECK(!slice_is_empty(shown()));
    close_world();
}

/* SIGTERM in the middle of any part of a fetch. */
static void test_stop(void)
{
    for (uint64_t at_ms = 0; at_ms < 250; at_ms += 9) {
        open_usual();
        fw.script = at_ms % 2 == 0 ? ANSWER_MADE : SILENT;
        run(at_ms);
        uint64_t begin_ms = sim_world_now_ms(fw.w);
        CHECK(site_stop(&site, 1000));
        CHECK(sim_world_now_ms(fw.w) - begin_ms < 1000);
        CHECK_EQ(sim_net_num_handles(site.host), 0);
        site_close(&site);
    }
}

/* Who can be asked by nobody is told of it. */
static void test_nobody_to_ask(void)
{
    open_world("tls_ocsp_file = " FILE_PATH "\nocsp_fetch = aia\n");
    struct slice text = chain_pem;
    text.len -= issuer_pem.len;
    sim_files_put(site.host, "/tls/chain.pem", text);
    site_start(&site);
    run(DAY_MS);
    CHECK_EQ(sim_log_count(site.host, "result=no-issuer"), 1);
    CHECK_EQ(fw.num_requests, 0);
    close_world();
}

/* A set for a name is fetched for as well, from when it was first asked for. */
static void test_names(void)
{
    char text[2048];
    open_world("");
    snprintf(text, sizeof text,
             "%stls_certificate = /tls/$tls_in_sni.pem\ntls_privatekey = /tls/key.pem\n"
             "tls_ocsp_file = /ocsp/$tls_in_sni.der\n" BY_URL,
             site_conf);
    sim_files_put_string(site.host, SITE_CONF, text);
    sim_files_put(site.host, "/tls/mx.example.pem", chain_pem);
    sim_files_put(site.host, "/tls/localhost.pem", chain_pem);
    site_start(&site);
    run(5000);
    CHECK_EQ(fw.num_requests, 1);
    CHECK(file_is("/ocsp/mx.example.der", proofs[0]));
    CHECK_EQ(shown().len, 0); /* who asks for localhost */
    run(5000);
    CHECK_EQ(fw.num_requests, 2);
    CHECK(file_is("/ocsp/localhost.der", proofs[0]));
    CHECK(slice_equal(shown(), proofs[0]));
    CHECK(status_has("set: default\ncertificate: /tls/mx.example.pem\n"));
    CHECK(status_has("\nhandshakes: 0\nasked: 0\nserved: 0\nset: localhost\n"));
    CHECK(status_has("\nhandshakes: 2\nasked: 2\nserved: 1\nwithheld-no-file: 1\n"));
    close_world();
}

/* --- Status --- */

static void test_status(void)
{
    open_usual();
    CHECK_EQ(shown().len, 0);
    CHECK(status_has("set: default\ncertificate: /tls/chain.pem\nproof-file: " FILE_PATH
                     "\nproof: none\nreason: no-file\nnext-refresh: 2026-01-01T"));
    CHECK(status_has("\nhandshakes: 1\nasked: 1\nserved: 0\nwithheld-no-file: 1\n"));
    run(5000);
    CHECK_EQ(shown().len, proofs[0].len);
    CHECK(status_has("proof: served\nuntil: 2026-01-07T17:55:00Z\nnext-refresh: 2026-01-0"));
    CHECK(status_has("\nhandshakes: 2\nasked: 2\nserved: 1\nwithheld-no-file: 1\n"));
    set_options("tls_ocsp_file = " FILE_PATH "\n");
    sim_host_signal(site.host, PORT_RELOAD);
    run(1000);
    CHECK(status_has("proof: served\nuntil: 2026-01-07T17:55:00Z\nnext-refresh: never\n"));
    close_world();
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        {"renewed", test_renewed},
        {"restart", test_restart},
        {"chain", test_chain},
        {"hostile", test_hostile},
        {"older", test_older},
        {"revoked", test_revoked},
        {"revoked_without_end", test_revoked_without_end},
        {"unknown", test_unknown},
        {"not_saved", test_not_saved},
        {"file_from_elsewhere", test_file_from_elsewhere},
        {"alarm", test_alarm},
        {"reload", test_reload},
        {"two_responders", test_two_responders},
        {"stop", test_stop},
        {"nobody_to_ask", test_nobody_to_ask},
        {"names", test_names},
        {"status", test_status},
    };
    make_all();
    return test_main(cases, sizeof cases / sizeof cases[0], argc, argv);
}

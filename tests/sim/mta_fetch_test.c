/* The whole server keeps its proofs renewed, in simulated time: what clients are shown, what is in
 * the file, and that neither mail nor handshakes ever wait for a responder.
 *
 * All proofs are made before the server runs, one for each half day, good and revoked; the
 * responder says the newest of them. */
#include "fetch_world.h"
#include "mta_tls_peer.h"

static struct site_client plain;

#include "proof_scenarios.h"
#include "tls_platform.h"

#define FILE_PATH  "/ocsp/proof.der"
#define PERIOD_S   43200
#define NUM_PROOFS 170
#define LIFE_S     (7 * DAY_S)
#define BY_URL     "ocsp_fetch = http://ocsp.example/ca\n"

static struct slice proofs[NUM_PROOFS], revoked[NUM_PROOFS], endless[8];
static struct slice issuer_proof, chain_pem, issuer_pem, root_pem, key_pem;
static uint32_t num_asked_issuer;
static bool says_revoked;
static size_t says_back;               /* how many half days old what it says is */
static size_t said_revoked = SIZE_MAX; /* the oldest such word of late */
static struct tls_peer peer;

/* --- What is made beforehand -------------------------------------------------------------------
 */

static const char *time_text(int64_t unix_s)
{
    static char texts[8][32];
    static unsigned turn;
    char *text = texts[turn++ % 8];
    time_t at = (time_t)unix_s;
    struct tm tm;
    strftime(text, sizeof texts[0], "%Y%m%d%H%M%SZ", gmtime_r(&at, &tm));
    return text;
}

static struct slice make_proof(struct world *keys, int64_t at_s, enum maker_status status)
{
    struct maker_response r = world_good(keys);
    r.singles[0].this_update = r.produced_at = time_text(at_s);
    r.singles[0].next_update = time_text(at_s + LIFE_S);
    r.singles[0].status = status;
    return maker_proof(&r);
}

static struct slice make_endless(struct world *keys, int64_t at_s)
{
    struct maker_response r = world_good(keys);
    r.singles[0].this_update = r.produced_at = time_text(at_s);
    r.singles[0].next_update = NULL;
    r.singles[0].status = MAKE_REVOKED;
    return maker_proof(&r);
}

static struct slice make_issuer_proof(struct world *keys)
{
    struct maker_response r = world_good(keys);
    struct slice spki = maker_public(&keys->other_key);
    r.singles[0] = (struct maker_single){MBEDTLS_MD_SHA1,
                                         maker_name("Root"),
                                         spki,
                                         SLICE_LITERAL("\x07"),
                                         MAKE_GOOD,
                                         time_text(START_S - 60),
                                         time_text(START_S + 90 * DAY_S),
                                         NOTHING};
    r.by_key = maker_hash(MBEDTLS_MD_SHA1, maker_key_bits(spki));
    r.key = &keys->other_key;
    return maker_proof(&r);
}

static void make_chain(struct world *keys)
{
    struct maker_cert root = {"Root",
                              "Root",
                              &keys->other_key,
                              &keys->other_key,
                              "\x01",
                              "20250101000000Z",
                              "20360101000000Z",
                              .ca = true,
                              .key_usage = 0x86};
    struct maker_cert issuer = {"Issuer",
                                "Root",
                                &keys->issuer_key,
                                &keys->other_key,
                                "\x07",
                                "20250101000000Z",
                                "20360101000000Z",
                                .ca = true,
                                .key_usage = 0x86,
                                .responder = "http://root.example/r"};
    struct maker_cert leaf = {
        "mail.example",    "Issuer",          &keys->leaf_key,
        &keys->issuer_key, "\x8f\x10\x01",    "20250101000000Z",
        "20270101000000Z", .key_usage = 0x80, .responder = "http://aia.example/leaf"};
    root_pem = maker_pem("CERTIFICATE", maker_certificate(&root));
    issuer_pem = maker_pem("CERTIFICATE", maker_certificate(&issuer));
    struct slice leaf_pem = maker_pem("CERTIFICATE", maker_certificate(&leaf));
    chain_pem = JOIN(leaf_pem, issuer_pem);
    key_pem = maker_pem("EC PRIVATE KEY", maker_private(&keys->leaf_key));
}

static void make_all(void)
{
    static uint64_t memory[1 << 17];
    static const uint8_t seed[TLS_SEED_LEN] = {1};
    static struct world keys;
    struct heap heap;
    CHECK(heap_open(&heap, memory, sizeof memory));
    CHECK_EQ(tls_platform_open(&heap, slice_make(seed, sizeof seed)), ERR_OK);
    maker_ec_key(&keys.issuer_key, MBEDTLS_ECP_DP_SECP256R1, 1);
    maker_ec_key(&keys.leaf_key, MBEDTLS_ECP_DP_SECP256R1, 2);
    maker_ec_key(&keys.delegate_key, MBEDTLS_ECP_DP_SECP256R1, 3);
    maker_ec_key(&keys.other_key, MBEDTLS_ECP_DP_SECP256R1, 4);
    make_chain(&keys);
    issuer_proof = make_issuer_proof(&keys);
    for (int i = 0; i < NUM_PROOFS; i++) {
        int64_t at_s = START_S - PERIOD_S / 2 + (int64_t)i * PERIOD_S;
        proofs[i] = make_proof(&keys, at_s, MAKE_GOOD);
        revoked[i] = make_proof(&keys, at_s, MAKE_REVOKED);
    }
    for (int i = 0; i < 8; i++) {
        endless[i] = make_endless(&keys, START_S + i * 30000);
    }
    world_end(&keys);
    tls_platform_close();
}

/* --- The site ----------------------------------------------------------------------------------
 */

static int64_t proofs_ahead_s; /* of the true time */

static size_t newest(void)
{
    size_t i = (size_t)(fw_true_s() + proofs_ahead_s - START_S + PERIOD_S / 2) / PERIOD_S;
    CHECK(i < NUM_PROOFS);
    return i;
}

static struct slice answer(struct slice request)
{
    if (strncmp((const char *)request.ptr, "POST /r ", 8) == 0) {
        num_asked_issuer++;
        return issuer_proof;
    }
    size_t i = newest() - (says_back < newest() ? says_back : newest());
    if (says_revoked) {
        said_revoked = i < said_revoked ? i : said_revoked;
        return revoked[i];
    }
    return proofs[i];
}

static void set_options(const char *options)
{
    char text[2048];
    snprintf(text, sizeof text,
             "%stls_certificate = /tls/chain.pem\ntls_privatekey = /tls/key.pem\n%s", site_conf,
             options);
    sim_files_put_string(site.host, SITE_CONF, text);
}

/* Of connections to come: responders are far away, clients are near. */
static void set_link(uint64_t delay_ms)
{
    sim_net_set_link(site.world, &(struct sim_link){.delay_ms = delay_ms, .chunk_len = 700});
}

static void open_world(const char *options)
{
    struct sim_store_conf conf = {.sync_ms = 5};
    site_open(&site, 11, &conf);
    sim_host_set_wall(site.host, START_S, true);
    memset(&fw, 0, sizeof fw);
    fw.w = site.world;
    fw.h = site.host;
    fw.script = ANSWER_MADE;
    fw.make = answer;
    says_revoked = false;
    num_asked_issuer = 0;
    set_link(20);
    sim_listen(fw.w, &fw_responder);
    sim_listen(fw.w, &fw_proxy);
    sim_listen(fw.w, &fw_names);
    sim_datagram_listen(fw.w, &fw_names);
    sim_files_put_string(site.host, "/etc/resolv.conf", "nameserver 192.0.2.53\n");
    sim_files_put(site.host, "/tls/chain.pem", chain_pem);
    sim_files_put(site.host, "/tls/key.pem", key_pem);
    set_options(options);
}

static void open_usual(void)
{
    open_world("tls_ocsp_file = " FILE_PATH "\n" BY_URL);
    site_start(&site);
}

static void start_again(void)
{
    CHECK(site_stop(&site, 1000));
    CHECK_EQ(sim_net_num_handles(site.host), 0);
    site_drop(&site);
    site_start(&site);
}

static void close_world(void)
{
    CHECK(site_stop(&site, 1000));
    CHECK_EQ(sim_net_num_handles(site.host), 0);
    site_close(&site);
}

static bool is_quiet(void)
{
    bool is_alone = transfer_is_idle(&site.mta->fetch.transfer);
    for (size_t i = 0; i < MAX_ENDS; i++) {
        is_alone = is_alone && fw.ends[i].client == NULL;
    }
    return is_alone;
}

static uint64_t look_ms = 10; /* how often the others look, while anything is under way */

static void run(uint64_t ms)
{
    uint64_t until_ms = sim_world_now_ms(fw.w) + ms, now_ms;
    while ((now_ms = sim_world_now_ms(fw.w)) < until_ms) {
        bool busy = fw_step_others() || !is_quiet();
        sim_world_set_horizon(fw.w,
                              busy && now_ms + look_ms < until_ms ? now_ms + look_ms : until_ms);
        mta_step(site.mta);
    }
    sim_world_set_horizon(fw.w, UINT64_MAX);
}

/* A handshake beside whatever the responder does; what was stapled, in memory of its own. */
static struct slice shown(void)
{
    static uint8_t copy[8192];
    set_link(0);
    sim_world_set_horizon(fw.w, sim_world_now_ms(fw.w) + 500);
    for (int i = 0; i < 10; i++) {
        mta_step(site.mta); /* after a start */
    }
    peer_connect(&peer);
    set_link(20);
    CHECK(peer_starttls(&peer));
    struct slice proof = tls_client_proof(&peer.tls);
    CHECK(proof.len <= sizeof copy);
    memcpy(copy, proof.ptr != NULL ? proof.ptr : (const uint8_t *)"", proof.len);
    peer_close(&peer);
    for (int i = 0; i < 10; i++) {
        mta_step(site.mta);
    }
    sim_world_set_horizon(fw.w, UINT64_MAX);
    return slice_make(copy, proof.len);
}

static bool file_is(const char *path, struct slice want)
{
    struct slice bytes;
    return sim_files_get(site.host, path, &bytes) && slice_equal(bytes, want);
}

static bool status_has(const char *line)
{
    static char text[4096];
    struct buf b = buf_make(text, sizeof text - 1);
    site_put_status(site.mta, &b);
    text[b.len] = '\0';
    CHECK(!b.overflow);
    return strstr(text, line) != NULL;
}

/* --- Renewal -----------------------------------------------------------------------------------
 */

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

/* --- Responders that do not help ---------------------------------------------------------------
 */

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

/* --- Revoked -----------------------------------------------------------------------------------
 */

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

/* --- Clocks ------------------------------------------------------------------------------------
 */

static void test_clock_unset(void)
{
    open_world("clock_trusted = auto\ntls_ocsp_file = " FILE_PATH "\n" BY_URL);
    sim_host_set_wall(site.host, START_S, false);
    site_start(&site);
    run(DAY_MS);
    CHECK_EQ(fw.num_requests, 0);
    CHECK_EQ(shown().len, 0);
    CHECK(sim_log_count(site.host, "ocsp=none:") == 1);
    CHECK(status_has("reason: no-file\nnext-refresh: clock-not-set\n"));
    sim_host_set_wall(site.host, fw_true_s(), true);
    run(2 * FETCH_LOOK_MS);
    CHECK_EQ(fw.num_requests, 1);
    struct slice held = proofs[newest()];
    CHECK(slice_equal(shown(), held));
    /* It is lost again: nothing is served, asked for or forgotten; and it comes back. */
    sim_host_set_wall(site.host, fw_true_s(), false);
    run(6 * DAY_MS);
    CHECK_EQ(shown().len, 0);
    CHECK_EQ(fw.num_requests, 1);
    sim_host_set_wall(site.host, fw_true_s(), true);
    fw.script = SILENT;
    run(2 * FETCH_LOOK_MS);
    CHECK(slice_equal(shown(), held));
    CHECK(fw.num_requests > 1);
    close_world();
}

/* Hours ahead and back again, hours or a month back and forward again: what is held stays, and
 * nobody is asked more than a few times an hour. */
static void test_clock_steps(void)
{
    static const int64_t steps[] = {10 * 3600, -30 * DAY_S, -2 * DAY_S, 7200, -7200};
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        open_usual();
        run(5000);
        sim_host_set_wall(site.host, fw_true_s() + steps[i], true);
        run(6 * HOUR_MS);
        CHECK(fw.num_requests <= 1 + 6 * 8 + 5);
        CHECK_EQ(shown().len == 0, steps[i] < -DAY_S);
        CHECK(file_is(FILE_PATH, proofs[0]));
        sim_host_set_wall(site.host, fw_true_s(), true);
        run(2 * FETCH_LOOK_MS);
        CHECK(shown().len != 0);
        run(5 * DAY_MS);
        CHECK(shown().len != 0);
        CHECK(file_is(FILE_PATH, shown()));
        close_world();
    }
}

/* A month ahead, believed, and back: time does not go back behind its floor, so that nothing is
 * served or asked for until it has been reached again. */
static void test_clock_month_ahead(void)
{
    open_usual();
    run(5000);
    sim_host_set_wall(site.host, fw_true_s() + 30 * DAY_S, true);
    run(6 * HOUR_MS);
    CHECK_EQ(shown().len, 0);
    CHECK(file_is(FILE_PATH, proofs[0]));
    CHECK(fw.num_requests <= 1 + 6 * 8 + 5);
    uint32_t num_requests = fw.num_requests;
    sim_host_set_wall(site.host, fw_true_s(), true);
    run(20 * DAY_MS);
    CHECK_EQ(fw.num_requests, num_requests);
    CHECK_EQ(shown().len, 0);
    run(12 * DAY_MS);
    CHECK(fw.num_requests > num_requests);
    CHECK(shown().len != 0);
    close_world();
}

/* --- The file ----------------------------------------------------------------------------------
 */

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
    CHECK_EQ(sim_log_count(site.host, "proof file="), 2); /* at the starts */
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

/* --- Options and the end -----------------------------------------------------------------------
 */

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

/* --- Status ------------------------------------------------------------------------------------
 */

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

/* --- Anything at all ---------------------------------------------------------------------------
 */

static size_t shown_last; /* since the last start */

static bool holds(size_t i)
{
    int64_t begin_s = START_S - PERIOD_S / 2 + (int64_t)i * PERIOD_S;
    int64_t now_s = sim_host_wall(site.host);
    return begin_s <= now_s + 300 && now_s < begin_s + LIFE_S - 300;
}

/* What is shown, if anything, holds by the server's own clock, is no older than the last word
 * against the certificate, nor than what was shown before, as long as that holds. */
static void check_shown(size_t revoked_at)
{
    struct slice proof = shown();
    size_t i = 0;
    if (proof.len == 0) {
        return;
    }
    while (i < NUM_PROOFS && !slice_equal(proof, proofs[i])) {
        i++;
    }
    CHECK(i < NUM_PROOFS && i >= revoked_at && holds(i));
    CHECK(i >= shown_last || !holds(shown_last));
    shown_last = i;
}

static void do_anything(uint64_t choice)
{
    static const int64_t offsets[16] = {7200, -7200, 3600, -3600, -10 * DAY_S};
    static const enum script scripts[] = {SILENT, DRIBBLE, ENDLESS, BUSY, CUT, RESET, ANSWER_JUNK};
    uint64_t what = choice >> 16, value = choice & 0xffff;
    says_back = choice % 3 == 0 ? choice % 32 : 0;
    switch (what % 8) {
    case 0:
        sim_host_set_wall(site.host, fw_true_s() + offsets[value % 16], true);
        return;
    case 1:
        sim_files_put(site.host, FILE_PATH, proofs[value % (newest() + 1)]);
        return;
    case 2:
        sim_files_put(site.host, FILE_PATH, SLICE_LITERAL("junk"));
        return;
    case 3:
        sim_files_fail(site.host, FILE_PATH, value % 2 == 0 ? ERR_OK : ERR_NO_SPACE);
        return;
    case 4:
        start_again();
        shown_last = 0;
        return;
    case 5:
        sim_host_signal(site.host, PORT_RELOAD);
        return;
    case 6:
        says_revoked = value % 4 == 0;
        return;
    default:
        fw.script = value % 20 < 7 ? scripts[value % 20] : ANSWER_MADE;
    }
}

static void test_anything(void)
{
    look_ms = 500;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        size_t revoked_at = shown_last = 0;
        size_t num_revoked = 0;
        open_usual();
        for (uint64_t skip = 0; skip < seed; skip++) {
            (void)sim_world_random(fw.w);
        }
        while (fw_true_s() < START_S + 60 * DAY_S) {
            said_revoked = SIZE_MAX;
            uint32_t num_requests = fw.num_requests;
            do_anything(sim_world_random(fw.w) & 0xffffff);
            uint64_t ms = sim_world_random(fw.w) % DAY_MS;
            run(ms);
            CHECK(fw.num_requests - num_requests <= 3 + ms / 45000);
            size_t num = sim_log_count(site.host, "result=revoked");
            revoked_at = num > num_revoked ? said_revoked : revoked_at;
            num_revoked = num;
            check_shown(revoked_at);
        }
        /* When all is well again, all is well again. */
        fw.script = ANSWER_MADE;
        says_revoked = false;
        says_back = 0;
        sim_files_fail(site.host, FILE_PATH, ERR_OK);
        sim_host_set_wall(site.host, fw_true_s() + 12 * DAY_S, true); /* past any floor */
        proofs_ahead_s = 12 * DAY_S;
        run(8 * DAY_MS);
        CHECK(shown().len != 0);
        CHECK(file_is(FILE_PATH, shown()));
        proofs_ahead_s = 0;
        close_world();
    }
    look_ms = 10;
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
        {"clock_unset", test_clock_unset},
        {"clock_steps", test_clock_steps},
        {"clock_month_ahead", test_clock_month_ahead},
        {"not_saved", test_not_saved},
        {"file_from_elsewhere", test_file_from_elsewhere},
        {"alarm", test_alarm},
        {"reload", test_reload},
        {"stop", test_stop},
        {"nobody_to_ask", test_nobody_to_ask},
        {"names", test_names},
        {"status", test_status},
        {"anything", test_anything},
    };
    make_all();
    return test_main(cases, sizeof cases / sizeof cases[0], argc, argv);
}

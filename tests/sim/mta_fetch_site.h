/* The whole server and a responder that it renews its proofs from, in simulated time.
 *
 * All proofs are made before the server runs, one for each half day, good and revoked; the
 * responder says the newest of them. Included by the tests of renewal. */
#ifndef POSTERN_MTA_FETCH_SITE_H
#define POSTERN_MTA_FETCH_SITE_H

#include "fetch_world.h"
#include "mta_tls_peer.h"

#include "proof_scenarios.h"
#include "tls_platform.h"

#define FILE_PATH  "/ocsp/proof.der"
#define PERIOD_S   43200
#define NUM_PROOFS 170
#define LIFE_S     (7 * DAY_S)
#define BY_URL     "ocsp_fetch = http://ocsp.example/ca\n"

static struct slice proofs[NUM_PROOFS], revoked[NUM_PROOFS], endless[8], unknown[31];
static struct slice issuer_proof, chain_pem, two_responders_pem, issuer_pem, root_pem, key_pem;
static uint32_t num_asked_issuer;
static bool says_revoked;
static size_t says_back;               /* how many half days old what it says is */
static size_t said_revoked = SIZE_MAX; /* the oldest such word of late */
static struct tls_peer peer;

/* --- What is made beforehand --- */

static inline struct slice make_proof(struct world *keys, int64_t at_s, enum maker_status status)
{
    struct maker_response r = world_good(keys);
    r.singles[0].this_update = r.produced_at = maker_time_text(at_s);
    r.singles[0].next_update = maker_time_text(at_s + LIFE_S);
    r.singles[0].status = status;
    return maker_proof(&r);
}

static inline struct slice make_endless(struct world *keys, int64_t at_s)
{
    struct maker_response r = world_good(keys);
    r.singles[0].this_update = r.produced_at = maker_time_text(at_s);
    r.singles[0].next_update = NULL;
    r.singles[0].status = MAKE_REVOKED;
    return maker_proof(&r);
}

static inline struct slice make_issuer_proof(struct world *keys)
{
    struct maker_response r = world_good(keys);
    struct slice spki = maker_public(&keys->other_key);
    r.singles[0] = (struct maker_single){MBEDTLS_MD_SHA1,
                                         maker_name("Root"),
                                         spki,
                                         SLICE_LITERAL("\x07"),
                                         MAKE_GOOD,
                                         maker_time_text(START_S - 60),
                                         maker_time_text(START_S + 90 * DAY_S),
                                         NOTHING};
    r.by_key = maker_hash(MBEDTLS_MD_SHA1, maker_key_bits(spki));
    r.key = &keys->other_key;
    return maker_proof(&r);
}

static inline void make_chain(struct world *keys)
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
    struct slice method = OID("\x2b\x06\x01\x05\x05\x07\x30\x01");
    leaf.responder = NULL;
    leaf.more =
        maker_extension(OID("\x2b\x06\x01\x05\x05\x07\x01\x01"), false,
                        SEQ(SEQ(method, maker_text(DER_CONTEXT(6), "http://aia.example:81/gone")),
                            SEQ(method, maker_text(DER_CONTEXT(6), "http://aia.example/leaf"))));
    two_responders_pem = JOIN(maker_pem("CERTIFICATE", maker_certificate(&leaf)), issuer_pem);
    key_pem = maker_pem("EC PRIVATE KEY", maker_private(&keys->leaf_key));
}

static inline void make_all(void)
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
    for (int i = 0; i < 31; i++) {
        unknown[i] =
            make_proof(&keys, START_S + i * INT64_C(60), i < 30 ? MAKE_UNKNOWN : MAKE_GOOD);
    }
    world_end(&keys);
    tls_platform_close();
}

/* --- The site --- */

static int64_t proofs_ahead_s; /* of the true time */

static inline size_t newest(void)
{
    size_t i = (size_t)(fw_true_s() + proofs_ahead_s - START_S + PERIOD_S / 2) / PERIOD_S;
    CHECK(i < NUM_PROOFS);
    return i;
}

static inline struct slice answer(struct slice request)
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

static inline void set_options(const char *options)
{
    char text[2048];
    snprintf(text, sizeof text,
             "%stls_certificate = /tls/chain.pem\ntls_privatekey = /tls/key.pem\n%s", site_conf,
             options);
    sim_files_put_string(site.host, SITE_CONF, text);
}

/* Of connections to come: responders are far away, clients are near. */
static inline void set_link(uint64_t delay_ms)
{
    sim_net_set_link(site.world, &(struct sim_link){.delay_ms = delay_ms, .chunk_len = 700});
}

static inline void open_world(const char *options)
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

static inline void open_usual(void)
{
    open_world("tls_ocsp_file = " FILE_PATH "\n" BY_URL);
    site_start(&site);
}

static inline void start_again(void)
{
    CHECK(site_stop(&site, 1000));
    CHECK_EQ(sim_net_num_handles(site.host), 0);
    site_drop(&site);
    site_start(&site);
}

static inline void close_world(void)
{
    CHECK(site_stop(&site, 1000));
    CHECK_EQ(sim_net_num_handles(site.host), 0);
    site_close(&site);
}

static inline bool is_quiet(void)
{
    bool is_alone = transfer_is_idle(&site.mta->fetch.transfer);
    for (size_t i = 0; i < MAX_ENDS; i++) {
        is_alone = is_alone && fw.ends[i].client == NULL;
    }
    return is_alone;
}

static uint64_t look_ms = 10; /* how often the others look, while anything is under way */

static inline void run(uint64_t ms)
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
static inline struct slice shown(void)
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

static inline bool file_is(const char *path, struct slice want)
{
    struct slice bytes;
    return sim_files_get(site.host, path, &bytes) && slice_equal(bytes, want);
}

static inline bool status_has(const char *line)
{
    static char text[4096];
    struct buf b = buf_make(text, sizeof text - 1);
    uint64_t cursor = 0;
    while (site_put_status(site.mta, &cursor, &b)) {
    }
    text[b.len] = '\0';
    CHECK(!b.overflow);
    return strstr(text, line) != NULL;
}

#endif

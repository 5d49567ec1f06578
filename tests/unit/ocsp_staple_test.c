/* What is served: loading, replacing, and which proof stays. */
#include "ocsp_staple.h"
#include "tls_platform.h"

#include "proof_scenarios.h"

#include <mbedtls/sha256.h>

#define NUM_FILES 8
#define EVICTED   "/spool/ocsp-evicted"

static struct {
    struct world keys;
    struct {
        const char *path;
        struct slice bytes;
        uint64_t stamp;
        enum err fails;
    } files[NUM_FILES];
    uint64_t next_stamp;
    int num_reads;
    int num_lines;
    int num_warnings;
    int num_replaced;
    bool replace_fails;
    struct staple_ledger ledger;
    char last_line[LOG_LINE_CAP];
    char lines[16][LOG_LINE_CAP]; /* the last 16 */
    struct port port;
    struct heap heap;
    struct tls_env env;
    struct tls_time now;
    struct staple staple;
    struct staple_conf conf;
    char errors[STAPLE_ERRORS_CAP];
} t;

static uint64_t heap_memory[1 << 17];
static uint8_t scratch_memory[96 * 1024];

static size_t find_file(const char *path)
{
    for (size_t i = 0; i < NUM_FILES; i++) {
        if (t.files[i].path != NULL && strcmp(t.files[i].path, path) == 0) {
            return i;
        }
    }
    return NUM_FILES;
}

static enum err read_file(void *ctx, size_t *out_len, const char *path, uint8_t *into, size_t cap)
{
    size_t i = find_file(path);
    (void)ctx;
    t.num_reads++;
    if (i == NUM_FILES || t.files[i].fails != ERR_OK) {
        return i == NUM_FILES ? ERR_ABSENT : t.files[i].fails;
    }
    if (t.files[i].bytes.len > cap) {
        return ERR_TOO_BIG;
    }
    memcpy(into, t.files[i].bytes.ptr, t.files[i].bytes.len);
    *out_len = t.files[i].bytes.len;
    return ERR_OK;
}

static void put(const char *path, struct slice bytes);

static enum err replace_file(void *ctx, const char *path, struct slice bytes)
{
    (void)ctx;
    t.num_replaced++;
    if (strcmp(path, EVICTED) != 0 || t.replace_fails) {
        return ERR_IO;
    }
    put(EVICTED, maker_copy(bytes));
    return ERR_OK;
}

static enum err stamp_file(void *ctx, struct port_stamp *out, const char *path)
{
    size_t i = find_file(path);
    (void)ctx;
    *out = (struct port_stamp){{i == NUM_FILES ? 0 : t.files[i].stamp, 0, 0, 0}};
    return i == NUM_FILES ? ERR_ABSENT : ERR_OK;
}

static void line(void *ctx, enum log_level level, struct slice text)
{
    (void)ctx;
    t.num_warnings += level == LOG_WARNING;
    snprintf(t.last_line, sizeof t.last_line, "%.*s", (int)text.len, (const char *)text.ptr);
    memcpy(t.lines[t.num_lines++ % 16], t.last_line, sizeof t.last_line);
    if (getenv("VERBOSE") != NULL) {
        fprintf(stderr, "  %s\n", t.last_line);
    }
}

static void put(const char *path, struct slice bytes)
{
    size_t i = find_file(path);
    for (size_t k = 0; i == NUM_FILES && k < NUM_FILES; k++) {
        i = t.files[k].path == NULL ? k : i;
    }
    t.files[i].path = path;
    t.files[i].bytes = bytes;
    t.files[i].stamp = ++t.next_stamp;
    t.files[i].fails = ERR_OK;
}

static void drop(const char *path)
{
    t.files[find_file(path)].path = NULL;
}

static struct slice key_pem(const struct maker_key *key)
{
    return maker_pem("EC PRIVATE KEY", maker_private(key));
}

static struct slice good_proof(void)
{
    struct maker_response r = world_good(&t.keys);
    return maker_proof(&r);
}

/* A proof with other dates or another status. */
static struct slice proof_of(const char *this_update, const char *next_update,
                             enum maker_status status)
{
    struct maker_response r = world_good(&t.keys);
    r.singles[0].this_update = this_update;
    r.singles[0].next_update = next_update;
    r.singles[0].status = status;
    return maker_proof(&r);
}

static void setup(void)
{
    memset(&t, 0, sizeof t);
    static const uint8_t seed[TLS_SEED_LEN] = {1};
    CHECK(heap_open(&t.heap, heap_memory, sizeof heap_memory));
    CHECK_EQ(tls_platform_open(&t.heap, slice_make(seed, sizeof seed)), ERR_OK);
    maker_reset();
    maker_ec_key(&t.keys.issuer_key, MBEDTLS_ECP_DP_SECP256R1, 1);
    maker_ec_key(&t.keys.leaf_key, MBEDTLS_ECP_DP_SECP256R1, 2);
    maker_ec_key(&t.keys.delegate_key, MBEDTLS_ECP_DP_SECP256R1, 3);
    maker_ec_key(&t.keys.other_key, MBEDTLS_ECP_DP_SECP256R1, 4);
    world_begin(&t.keys);
    t.port.files.read = read_file;
    t.port.files.stamp = stamp_file;
    t.port.files.replace = replace_file;
    t.port.log.line = line;
    t.env.heap = &t.heap;
    t.now = (struct tls_time){1000, SCENARIO_NOW, true};
    t.conf = (struct staple_conf){"/chain", "/key", "/proof", NULL, OCSP_OPTIONS_DEFAULT, NULL};
    put("/chain", JOIN(maker_pem("CERTIFICATE", t.keys.leaf.whole),
                       maker_pem("CERTIFICATE", t.keys.issuer.whole)));
    put("/key", key_pem(&t.keys.leaf_key));
    put("/proof", good_proof());
}

static struct buf scratch(void)
{
    return buf_make(scratch_memory, sizeof scratch_memory);
}

static enum err open_it(void)
{
    struct buf errors = buf_make(t.errors, sizeof t.errors - 1);
    enum err err = staple_open(&t.staple, &t.port, &t.env, &t.conf, &t.now, scratch(), &errors);
    t.errors[errors.len] = 0;
    return err;
}

static enum err reload(void)
{
    struct buf errors = buf_make(t.errors, sizeof t.errors - 1);
    enum err err = staple_reload(&t.staple, &t.conf, &t.now, scratch(), &errors);
    t.errors[errors.len] = 0;
    return err;
}

/* A second later a connection comes. */
static void next_second(void)
{
    t.now.now_ms += 1000;
    staple_refresh(&t.staple, &t.now, scratch());
}

static enum ocsp_reason reason(void)
{
    return staple_reason(&t.staple, 0, &t.now);
}

static bool serves(struct slice der)
{
    const struct ocsp_verdict *v;
    struct slice held;
    return tls_set_proof(t.staple.now.set, 0, 0, &held, &v) && slice_equal(held, der) &&
           reason() == OCSP_GOOD;
}

static void teardown(void)
{
    staple_close(&t.staple);
    world_end(&t.keys);
    tls_platform_close();
    CHECK_EQ(t.heap.num_used, 0);
    CHECK(heap_is_sound(&t.heap));
}

static bool logged(const char *text)
{
    for (int i = 0; i < 16; i++) {
        if (strstr(t.lines[i], text) != NULL) {
            return true;
        }
    }
    return false;
}

static void test_served(void)
{
    setup();
    struct slice proof = good_proof();
    put("/proof", proof);
    CHECK_EQ(open_it(), ERR_OK);
    CHECK(serves(proof));
    CHECK(logged("proof file=\"/proof\" action=taken reason=good"));
    struct tls_set *set = staple_take_set(&t.staple);
    CHECK(set == t.staple.now.set);
    tls_set_drop(set);
    /* As time goes by, it lapses, and while the clock is not set, nothing is good. */
    t.now.wall_s = SCENARIO_NOW + 6 * 86400 - 301;
    CHECK_EQ(reason(), OCSP_GOOD);
    t.now.wall_s++;
    CHECK_EQ(reason(), OCSP_EXPIRED);
    t.now.wall_set = false;
    CHECK_EQ(reason(), OCSP_CLOCK_NOT_SET);
    teardown();
}

static void test_looks_once_a_second(void)
{
    setup();
    CHECK_EQ(open_it(), ERR_OK);
    int num_reads = t.num_reads, num_lines = t.num_lines;
    for (int i = 0; i < 10; i++) {
        next_second();
    }
    CHECK_EQ(t.num_reads, num_reads);
    CHECK_EQ(t.num_lines, num_lines);
    put("/proof", SLICE_LITERAL("garbage"));
    t.now.now_ms += 999;
    staple_refresh(&t.staple, &t.now, scratch());
    CHECK_EQ(t.num_reads, num_reads);
    t.now.now_ms += 1;
    staple_refresh(&t.staple, &t.now, scratch());
    CHECK_EQ(t.num_reads, num_reads + 1);
    next_second();
    CHECK_EQ(t.num_reads, num_reads + 1);
    CHECK_EQ(t.num_lines, num_lines + 1);
    teardown();
}

static void test_why_none(void)
{
    static uint8_t big[OCSP_PROOF_CAP + 1], huge[sizeof scratch_memory + 1];
    setup();
    CHECK_EQ(open_it(), ERR_OK);
    staple_close(&t.staple);
    const struct {
        struct slice bytes;
        enum ocsp_reason reason;
    } rows[] = {
        {SLICE_LITERAL(""), OCSP_MALFORMED},
        {slice_make(big, sizeof big), OCSP_TOO_BIG},
        {slice_make(huge, sizeof huge), OCSP_TOO_BIG},
        {SLICE_LITERAL("-----BEGIN OCSP RESPONSE-----\nAAA\n"), OCSP_MALFORMED},
        {maker_pem("CERTIFICATE", good_proof()), OCSP_MALFORMED},
        {maker_pem("OCSP RESPONSE", good_proof()), OCSP_GOOD},
        {maker_error(3), OCSP_TRY_LATER},
        {proof_of("20260614000000Z", "20260621000000Z", MAKE_REVOKED), OCSP_REVOKED},
        {proof_of("20260614000000Z", NULL, MAKE_GOOD), OCSP_NO_NEXT_UPDATE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        put("/proof", rows[i].bytes);
        CHECK_EQ(open_it(), ERR_OK);
        CHECK_EQ(reason(), rows[i].reason);
        CHECK(logged(ocsp_reason_name(rows[i].reason)));
        staple_close(&t.staple);
    }
    drop("/proof");
    CHECK_EQ(open_it(), ERR_OK);
    CHECK_EQ(reason(), OCSP_NO_FILE);
    staple_close(&t.staple);
    put("/proof", good_proof());
    t.files[find_file("/proof")].fails = ERR_DENIED;
    CHECK_EQ(open_it(), ERR_OK);
    CHECK_EQ(reason(), OCSP_UNREADABLE);
    staple_close(&t.staple);
    t.conf.ocsp_file = "";
    CHECK_EQ(open_it(), ERR_OK);
    CHECK_EQ(reason(), OCSP_NO_FILE);
    teardown();
}

static void test_issuer(void)
{
    setup();
    struct slice leaf = maker_pem("CERTIFICATE", t.keys.leaf.whole);
    struct slice issuer = maker_pem("CERTIFICATE", t.keys.issuer.whole);
    /* One with the issuer's name, but another key. */
    struct maker_cert namesake = {"Issuer",          "Root",    &t.keys.other_key,
                                  &t.keys.other_key, "\x08",    "20250101000000Z",
                                  "20360101000000Z", .ca = true};
    struct slice other = maker_pem("CERTIFICATE", maker_certificate(&namesake));
    put("/chain", leaf);
    CHECK_EQ(open_it(), ERR_OK);
    CHECK_EQ(reason(), OCSP_NO_ISSUER);
    staple_close(&t.staple);

    t.conf.verify_certificates = "/roots";
    CHECK_EQ(open_it(), ERR_OK);
    CHECK_EQ(reason(), OCSP_NO_ISSUER);
    CHECK(logged("tls_verify_certificates /roots: there is no such file"));
    staple_close(&t.staple);
    put("/roots", JOIN(leaf, other, issuer));
    CHECK_EQ(open_it(), ERR_OK);
    CHECK_EQ(reason(), OCSP_GOOD);
    put("/proof", maker_pem("OCSP RESPONSE", good_proof())); /* judged with the same issuer again */
    next_second();
    CHECK_EQ(reason(), OCSP_GOOD);
    staple_close(&t.staple);
    put("/roots", t.keys.issuer.whole); /* DER */
    CHECK_EQ(open_it(), ERR_OK);
    CHECK_EQ(reason(), OCSP_GOOD);
    staple_close(&t.staple);

    put("/roots", other);
    CHECK_EQ(open_it(), ERR_OK);
    CHECK_EQ(reason(), OCSP_NO_ISSUER);
    staple_close(&t.staple);

    put("/chain", JOIN(leaf, other));
    put("/roots", issuer);
    CHECK_EQ(open_it(), ERR_OK);
    CHECK_EQ(reason(), OCSP_GOOD);
    teardown();
}

static void test_refused_at_start(void)
{
    setup();
    put("/key", key_pem(&t.keys.other_key));
    CHECK_EQ(open_it(), ERR_MALFORMED);
    CHECK(strcmp(t.errors, "tls_privatekey /key: the private key does not fit the certificate\n") ==
          0);
    CHECK(staple_take_set(&t.staple) == NULL);
    staple_close(&t.staple);
    drop("/key");
    CHECK_EQ(open_it(), ERR_ABSENT);
    CHECK(strcmp(t.errors, "tls_privatekey /key: there is no such file\n") == 0);
    staple_close(&t.staple);
    drop("/chain");
    CHECK_EQ(open_it(), ERR_ABSENT);
    CHECK(strcmp(t.errors, "tls_certificate /chain: there is no such file\n") == 0);
    staple_close(&t.staple);
    put("/chain", SLICE_LITERAL("hello"));
    put("/key", key_pem(&t.keys.leaf_key));
    CHECK_EQ(open_it(), ERR_MALFORMED);
    CHECK(strstr(t.errors, "tls_certificate /chain: ") == t.errors);
    staple_close(&t.staple);
    t.conf.certificate = "/chain:/chain2";
    CHECK_EQ(open_it(), ERR_MALFORMED);
    CHECK(strcmp(t.errors, "tls_privatekey must name as many files as tls_certificate\n") == 0);
    t.conf.certificate = "/a:/b:/c";
    CHECK_EQ(open_it(), ERR_MALFORMED);
    CHECK(strstr(t.errors, "tls_certificate names more files") == t.errors);
    t.conf.certificate = "";
    t.conf.privatekey = t.conf.ocsp_file = NULL;
    CHECK_EQ(open_it(), ERR_OK);
    CHECK(staple_take_set(&t.staple) == NULL);
    next_second();
    CHECK_EQ(reason(), OCSP_NO_FILE);
    teardown();
}

/* Certificate and key in one file, which the options name once. */
static void test_one_file(void)
{
    setup();
    put("/both", JOIN(maker_pem("CERTIFICATE", t.keys.leaf.whole),
                      maker_pem("CERTIFICATE", t.keys.issuer.whole), key_pem(&t.keys.leaf_key)));
    t.conf.certificate = " /both ";
    t.conf.privatekey = NULL;
    CHECK_EQ(open_it(), ERR_OK);
    CHECK_EQ(reason(), OCSP_GOOD);
    /* No trace of the key is left where files are read. */
    struct slice trace = maker_private(&t.keys.leaf_key);
    struct slice text = maker_pem("EC PRIVATE KEY", trace);
    for (size_t i = 0; i + 64 < sizeof scratch_memory; i++) {
        if (memcmp(scratch_memory + i, text.ptr + 32, 32) == 0) {
            CHECK(false);
        }
    }
    teardown();
}

static void test_broken_set_keeps_old(void)
{
    setup();
    CHECK_EQ(open_it(), ERR_OK);
    struct tls_set *set = t.staple.now.set;
    int num_lines = t.num_lines;
    put("/key", key_pem(&t.keys.other_key));
    for (int i = 0; i < 5; i++) {
        next_second();
    }
    CHECK(t.staple.now.set == set);
    CHECK_EQ(reason(), OCSP_GOOD);
    CHECK_EQ(t.num_lines, num_lines + 1);
    CHECK(logged("certificate action=old-kept error=\"tls_privatekey /key: the private key does "
                 "not fit"));
    /* A want that may pass is told once and tried again. */
    t.files[find_file("/key")].fails = ERR_DENIED;
    t.files[find_file("/key")].stamp = ++t.next_stamp;
    for (int i = 0; i < 5; i++) {
        next_second();
    }
    CHECK_EQ(t.num_lines, num_lines + 2);
    t.files[find_file("/key")].fails = ERR_OK;
    t.files[find_file("/key")].bytes = key_pem(&t.keys.leaf_key);
    next_second();
    CHECK(t.staple.now.set != NULL);
    CHECK_EQ(reason(), OCSP_GOOD);
    CHECK(logged("certificate action=taken file=\"/chain\""));
    /* While the key is wrong, a new proof for the certificate in force is still taken. */
    put("/key", key_pem(&t.keys.other_key));
    struct slice newer = proof_of("20260614120000Z", "20260622000000Z", MAKE_GOOD);
    put("/proof", newer);
    next_second();
    CHECK(serves(newer));
    teardown();
}

/* A new certificate with its key; the proof comes a moment later. */
static void test_new_certificate(void)
{
    setup();
    CHECK_EQ(open_it(), ERR_OK);
    struct tls_set *held = staple_take_set(&t.staple);
    struct maker_cert next = {"mail.example",     "Issuer",         &t.keys.other_key,
                              &t.keys.issuer_key, "\x55",           "20260601000000Z",
                              "20270601000000Z",  .key_usage = 0x80};
    put("/chain", JOIN(maker_pem("CERTIFICATE", maker_certificate(&next)),
                       maker_pem("CERTIFICATE", t.keys.issuer.whole)));
    put("/key", key_pem(&t.keys.other_key));
    next_second();
    CHECK(t.staple.now.set != held);
    CHECK_EQ(reason(), OCSP_WRONG_CERTIFICATE); /* another certificate's proof is not kept */
    struct maker_response r = world_good(&t.keys);
    r.singles[0].serial = SLICE_LITERAL("\x55");
    put("/proof", maker_proof(&r));
    next_second();
    CHECK_EQ(reason(), OCSP_GOOD);
    /* Who began with the old set still has all of it. */
    const struct ocsp_verdict *v;
    struct slice der;
    CHECK(tls_set_proof(held, 0, 0, &der, &v));
    CHECK_EQ(v->reason, OCSP_GOOD);
    tls_set_drop(held);
    teardown();
}

/* The table in ocsp_staple.h, cell by cell. */
static void test_which_proof(void)
{
    setup();
    struct slice bad = SLICE_LITERAL("x");
    struct slice older = proof_of("20260612000000Z", "20260620000000Z", MAKE_GOOD);
    struct slice good = proof_of("20260613000000Z", "20260620000000Z", MAKE_GOOD);
    struct slice lapsed = proof_of("20260612000000Z", "20260614000000Z", MAKE_GOOD);
    struct slice newer = proof_of("20260614000000Z", "20260621000000Z", MAKE_GOOD);
    struct slice later = proof_of("20260616000000Z", "20260623000000Z", MAKE_GOOD);
    struct slice short_lived = proof_of("20260614000000Z", "20260614120000Z", MAKE_GOOD);
    struct slice revoked = proof_of("20260614000000Z", "20260621000000Z", MAKE_REVOKED);
    struct slice unknown = proof_of("20260613000000Z", "20260621000000Z", MAKE_UNKNOWN);
    struct slice revoked_before = proof_of("20260612000000Z", "20260621000000Z", MAKE_REVOKED);
    struct slice endless = proof_of("20260614000000Z", NULL, MAKE_GOOD);
    struct maker_response r = world_good(&t.keys);
    r.singles[0].serial = SLICE_LITERAL("\x01");
    struct slice foreign = maker_proof(&r);
    const struct {
        struct slice old, new;
        enum ocsp_reason reason;
        struct slice served; /* if good */
    } rows[] = {
        {bad, foreign, OCSP_WRONG_CERTIFICATE, NOTHING},
        {bad, good, OCSP_GOOD, good},
        {bad, revoked, OCSP_REVOKED, NOTHING},
        {bad, later, OCSP_NOT_YET_VALID, NOTHING},
        {good, bad, OCSP_GOOD, good},
        {good, foreign, OCSP_GOOD, good},
        {good, endless, OCSP_GOOD, good},
        {good, older, OCSP_GOOD, good},
        {good, newer, OCSP_GOOD, newer},
        {good, good, OCSP_GOOD, good},
        {good, later, OCSP_GOOD, good},
        {good, short_lived, OCSP_GOOD, good},
        {good, revoked, OCSP_REVOKED, NOTHING},
        {good, unknown, OCSP_UNKNOWN, NOTHING}, /* as old, but worse */
        {good, revoked_before, OCSP_GOOD, good},
        {short_lived, older, OCSP_GOOD, older}, /* lapsed: better an older one that holds */
        {short_lived, lapsed, OCSP_EXPIRED, NOTHING},
        {short_lived, bad, OCSP_EXPIRED, NOTHING},
        {revoked, bad, OCSP_REVOKED, NOTHING},
        {revoked, good, OCSP_REVOKED, NOTHING},
        {revoked, newer, OCSP_GOOD, newer},
        {unknown, older, OCSP_UNKNOWN, NOTHING},
        {unknown, newer, OCSP_GOOD, newer},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        /* Once the proof alone changes, once the whole set is read anew. */
        for (int whole = 0; whole < 2; whole++) {
            int failed = test_failed_checks;
            put("/proof", rows[i].old);
            CHECK_EQ(open_it(), ERR_OK);
            put("/proof", rows[i].new);
            if (whole) {
                t.files[find_file("/chain")].stamp = ++t.next_stamp;
            }
            next_second();
            CHECK_EQ(reason(), rows[i].reason);
            CHECK(rows[i].reason != OCSP_GOOD || serves(rows[i].served));
            staple_close(&t.staple);
            if (failed != test_failed_checks) {
                fprintf(stderr, "row %zu, %s\n", i, whole ? "set" : "proof");
            }
        }
    }
    teardown();
}

/* While the clock is not set, the newest is held, and served by nobody. */
static void test_clock_not_set(void)
{
    setup();
    t.now.wall_set = false;
    t.now.wall_s = 0;
    CHECK_EQ(open_it(), ERR_OK);
    CHECK_EQ(reason(), OCSP_CLOCK_NOT_SET);
    struct slice newer = proof_of("20260614120000Z", "20260622000000Z", MAKE_GOOD);
    put("/proof", newer);
    next_second();
    put("/proof", proof_of("20260613000000Z", "20260620000000Z", MAKE_GOOD));
    next_second();
    CHECK_EQ(reason(), OCSP_CLOCK_NOT_SET);
    t.now.wall_set = true;
    t.now.wall_s = SCENARIO_NOW;
    CHECK(serves(newer));
    teardown();
}

static void test_reload(void)
{
    setup();
    CHECK_EQ(open_it(), ERR_OK);
    struct tls_set *set = t.staple.now.set;
    t.conf.certificate = "/nowhere";
    CHECK_EQ(reload(), ERR_ABSENT);
    CHECK(t.staple.now.set == set);
    CHECK_EQ(reason(), OCSP_GOOD);
    t.conf.certificate = "/chain";
    t.conf.judging.max_age_s = 60;
    CHECK_EQ(reload(), ERR_OK);
    CHECK_EQ(reason(), OCSP_TOO_OLD); /* what is held is judged by the new options as well */
    t.conf.judging.max_age_s = 0;
    CHECK_EQ(reload(), ERR_OK);
    CHECK_EQ(reason(), OCSP_GOOD);
    t.conf.ocsp_file = "";
    CHECK_EQ(reload(), ERR_OK);
    CHECK_EQ(reason(), OCSP_NO_FILE);
    t.conf.ocsp_file = "/proof";
    CHECK_EQ(reload(), ERR_OK);
    CHECK_EQ(reason(), OCSP_GOOD);
    teardown();
}

/* Wherever the heap runs out, what was there stays, and it heals by itself. */
static void test_no_memory(void)
{
    setup();
    CHECK_EQ(open_it(), ERR_OK);
    struct slice newer = proof_of("20260614120000Z", "20260622000000Z", MAKE_GOOD);
    size_t num_hogs = 0;
    static void *hogs[4096];
    while (num_hogs < 4096 && (hogs[num_hogs] = heap_alloc(&t.heap, 1, 256)) != NULL) {
        num_hogs++;
    }
    put("/proof", newer);
    put("/key", key_pem(&t.keys.leaf_key));
    int num_lines = t.num_lines;
    next_second();
    next_second();
    next_second();
    CHECK_EQ(reason(), OCSP_GOOD);
    CHECK(!serves(newer));
    CHECK(t.num_lines - num_lines <= 2);
    while (num_hogs != 0) {
        heap_free(&t.heap, hogs[--num_hogs]);
    }
    next_second();
    CHECK(serves(newer));

    /* The same when nothing but the proof has changed. */
    struct slice newest = proof_of("20260614180000Z", "20260623000000Z", MAKE_GOOD);
    for (size_t len = 256; len >= 32; len /= 2) {
        while (num_hogs < 4096 && (hogs[num_hogs] = heap_alloc(&t.heap, 1, len)) != NULL) {
            num_hogs++;
        }
    }
    put("/proof", newest);
    num_lines = t.num_lines;
    next_second();
    next_second();
    CHECK(serves(newer));
    CHECK_EQ(t.num_lines, num_lines + 1);
    while (num_hogs != 0) {
        heap_free(&t.heap, hogs[--num_hogs]);
    }
    next_second();
    CHECK(serves(newest));
    teardown();
}

/* --- A proof for each certificate of the chain ----------------------------------------------- */

/* By the root, for the issuer's certificate. */
static struct slice issuer_proof(const char *this_update, enum maker_status status)
{
    struct slice spki = maker_public(&t.keys.other_key);
    struct maker_response r = world_good(&t.keys);
    r.singles[0] = (struct maker_single){
        MBEDTLS_MD_SHA256, maker_name("Root"), spki,   SLICE_LITERAL("\x07"), status,
        this_update,       "20260621000000Z",  NOTHING};
    r.by_key = maker_hash(MBEDTLS_MD_SHA1, maker_key_bits(spki));
    r.key = &t.keys.other_key;
    return maker_proof(&r);
}

static struct slice in_pem(struct slice der)
{
    return maker_pem("OCSP RESPONSE", der);
}

static enum ocsp_reason chain_reason(size_t index, struct slice want)
{
    const struct ocsp_verdict *v;
    struct slice held;
    CHECK(tls_set_proof(t.staple.now.set, 0, index, &held, &v));
    CHECK(slice_equal(held, want));
    return v->reason;
}

static void setup_chain(void)
{
    setup();
    struct maker_cert root = {"Root",
                              "Root",
                              &t.keys.other_key,
                              &t.keys.other_key,
                              "\x01",
                              "20250101000000Z",
                              "20360101000000Z",
                              .ca = true};
    put("/roots", maker_pem("CERTIFICATE", maker_certificate(&root)));
    t.conf.verify_certificates = "/roots";
}

static void test_chain(void)
{
    setup_chain();
    struct slice leaf = good_proof(), issuer = issuer_proof("20260614000000Z", MAKE_GOOD);
    /* In any order; what is for neither certificate is told and harms nobody. */
    struct maker_response r = world_good(&t.keys);
    r.singles[0].serial = SLICE_LITERAL("\x01");
    struct slice foreign = maker_proof(&r);
    put("/proof", JOIN(in_pem(issuer), in_pem(foreign), in_pem(leaf)));
    CHECK_EQ(open_it(), ERR_OK);
    CHECK_EQ(chain_reason(0, leaf), OCSP_GOOD);
    CHECK_EQ(chain_reason(1, issuer), OCSP_GOOD);
    CHECK(logged("chain=1 action=taken reason=good"));
    CHECK(logged("reason=wrong-certificate"));
    /* Each is judged by itself: one that goes bad does not take the other along. */
    put("/proof", JOIN(in_pem(leaf), in_pem(issuer_proof("20260614120000Z", MAKE_REVOKED))));
    next_second();
    CHECK_EQ(chain_reason(0, leaf), OCSP_GOOD);
    CHECK_EQ(chain_reason(1, NOTHING), OCSP_REVOKED);
    CHECK(logged("chain=1 action=none-served reason=revoked"));
    /* And an older good one does not come back with a set that is read anew. */
    put("/proof", JOIN(in_pem(leaf), in_pem(issuer)));
    t.files[find_file("/chain")].stamp = ++t.next_stamp;
    next_second();
    CHECK_EQ(chain_reason(0, leaf), OCSP_GOOD);
    CHECK_EQ(chain_reason(1, NOTHING), OCSP_REVOKED);
    /* A file that has only the leaf's, DER, leaves what is known of the other. */
    put("/proof", leaf);
    next_second();
    CHECK_EQ(chain_reason(1, NOTHING), OCSP_REVOKED);
    staple_close(&t.staple);
    CHECK_EQ(open_it(), ERR_OK);
    CHECK_EQ(chain_reason(0, leaf), OCSP_GOOD);
    CHECK_EQ(chain_reason(1, NOTHING), OCSP_NO_FILE);
    teardown();
}

/* A proof for the issuer must be signed by whoever issued that, not by itself. */
static void test_chain_signer(void)
{
    setup_chain();
    struct slice issuer = issuer_proof("20260614000000Z", MAKE_GOOD);
    put("/proof", JOIN(in_pem(good_proof()), in_pem(issuer)));
    drop("/roots");
    CHECK_EQ(open_it(), ERR_OK);
    CHECK_EQ(reason(), OCSP_GOOD);
    CHECK_EQ(chain_reason(1, NOTHING), OCSP_NO_FILE);
    teardown();

    setup_chain();
    struct slice spki = maker_public(&t.keys.other_key);
    struct maker_response r = world_good(&t.keys);
    r.singles[0] = (struct maker_single){
        MBEDTLS_MD_SHA256, maker_name("Root"), spki,   SLICE_LITERAL("\x07"), MAKE_GOOD,
        "20260614000000Z", "20260621000000Z",  NOTHING};
    put("/proof", JOIN(in_pem(good_proof()), in_pem(maker_proof(&r))));
    CHECK_EQ(open_it(), ERR_OK);
    CHECK_EQ(reason(), OCSP_GOOD);
    CHECK_EQ(chain_reason(1, NOTHING), OCSP_NO_SIGNER);
    teardown();
}

/* A block that does not end spoils nothing in front of it. */
static void test_chain_cut(void)
{
    setup_chain();
    struct slice leaf = good_proof();
    put("/proof", JOIN(in_pem(leaf), SLICE_LITERAL("-----BEGIN OCSP RESPONSE-----\nAAA\n")));
    CHECK_EQ(open_it(), ERR_OK);
    CHECK_EQ(chain_reason(0, leaf), OCSP_GOOD);
    CHECK(logged("action=old-kept reason=malformed"));
    teardown();
}

/* --- What the log says of it ------------------------------------------------------------------ */

/* A leaf that demands a proof. */
static void put_must_staple(void)
{
    struct maker_cert leaf = {"mail.example",     "Issuer",          &t.keys.leaf_key,
                              &t.keys.issuer_key, "\x8f\x10\x01",    "20260101000000Z",
                              "20270101000000Z",  .key_usage = 0x80, .must_staple = true};
    put("/chain", JOIN(maker_pem("CERTIFICATE", maker_certificate(&leaf)),
                       maker_pem("CERTIFICATE", t.keys.issuer.whole)));
}

static int count_of(const char *text)
{
    int num = 0;
    for (int i = 0; i < 16; i++) {
        num += strstr(t.lines[i], text) != NULL;
    }
    return num;
}

static void test_watch(void)
{
    setup();
    CHECK_EQ(open_it(), ERR_OK);
    CHECK_EQ(count_of("staple certificate=\"/chain\" state=served until=2026-06-20T23:55:00Z"), 1);
    int num_lines = t.num_lines;
    CHECK_EQ(staple_watch(&t.staple, &t.now), 60000);
    CHECK_EQ(t.num_lines, num_lines);
    /* Two seconds before its end it asks to be called in time, and then it says so once. */
    t.now.wall_s = SCENARIO_NOW + 6 * 86400 - 302;
    CHECK_EQ(staple_watch(&t.staple, &t.now), 2000);
    CHECK_EQ(t.num_lines, num_lines);
    t.now.wall_s += 2;
    CHECK_EQ(staple_watch(&t.staple, &t.now), 60000);
    CHECK_EQ(staple_watch(&t.staple, &t.now), 60000);
    CHECK_EQ(t.num_lines, num_lines + 1);
    CHECK_EQ(count_of("state=none reason=expired"), 1);
    /* A clock that is lost, and one that steps back. */
    t.now.wall_set = false;
    staple_watch(&t.staple, &t.now);
    CHECK_EQ(count_of("state=none reason=clock-not-set"), 1);
    t.now.wall_set = true;
    t.now.wall_s = SCENARIO_NOW - 30 * 86400;
    staple_watch(&t.staple, &t.now);
    CHECK_EQ(count_of("state=none reason=not-yet-valid"), 1);
    t.now.wall_s = SCENARIO_NOW;
    staple_watch(&t.staple, &t.now);
    CHECK_EQ(count_of("state=served"), 2);
    /* A new proof: until when changes. */
    put("/proof", proof_of("20260614120000Z", "20260622000000Z", MAKE_GOOD));
    next_second();
    CHECK_EQ(count_of("state=served until=2026-06-21T23:55:00Z"), 1);
    CHECK_EQ(count_of("must_staple"), 0);
    teardown();
}

static void test_must_staple(void)
{
    uint8_t bytes[512];
    struct buf out = buf_make(bytes, sizeof bytes - 1);
    setup();
    put_must_staple();
    CHECK_EQ(open_it(), ERR_OK);
    CHECK(staple_is_required(&t.staple, 0));
    CHECK_EQ(count_of("state=served"), 1);
    CHECK_EQ(t.num_warnings, 0);
    staple_close(&t.staple);

    t.conf.ocsp_file = "";
    CHECK_EQ(open_it(), ERR_OK);
    CHECK_EQ(count_of("state=none reason=no-file must_staple=yes"), 1);
    CHECK_EQ(t.num_warnings, 1);
    staple_put_check(&t.staple, &t.now, &out);
    bytes[out.len] = 0;
    CHECK(strstr((char *)bytes, "tls_certificate /chain: says that it is not") != NULL);
    /* At each change: of the certificate, and of the state. */
    put("/chain", JOIN(maker_pem("CERTIFICATE", t.keys.leaf.whole),
                       maker_pem("CERTIFICATE", t.keys.issuer.whole)));
    next_second();
    CHECK_EQ(t.num_warnings, 1);
    put_must_staple();
    next_second();
    CHECK_EQ(count_of("state=none reason=no-file must_staple=yes"), 2);
    CHECK_EQ(t.num_warnings, 2);
    teardown();
}

static void test_counts(void)
{
    struct staple_counts counts = {0};
    struct log_line line;
    const struct tls_info infos[] = {
        {.staple = TLS_STAPLE_NOT_ASKED},
        {.staple = TLS_STAPLE_SERVED},
        {.staple = TLS_STAPLE_SERVED},
        {.staple = TLS_STAPLE_NONE, .staple_reason = OCSP_EXPIRED},
        {.staple = TLS_STAPLE_NONE, .staple_reason = OCSP_REVOKED},
        {.staple = TLS_STAPLE_NONE, .staple_reason = OCSP_EXPIRED},
    };
    for (size_t i = 0; i < sizeof infos / sizeof infos[0]; i++) {
        staple_count(&counts, &infos[i]);
    }
    log_begin(&line, "staples");
    staple_put_counts(&counts, &line);
    CHECK_TEXT(log_end(&line),
               "staples handshakes=6 asked=5 served=2 none:revoked=1 none:expired=2");
}

/* --- Evicted for good ------------------------------------------------------------------------- */

static void restart(void)
{
    staple_close(&t.staple);
    staple_ledger_open(&t.ledger, &t.port, "/spool", scratch());
    t.conf.ledger = &t.ledger;
    CHECK_EQ(open_it(), ERR_OK);
}

static void test_evicted_for_good(void)
{
    static const enum maker_status statuses[] = {MAKE_REVOKED, MAKE_UNKNOWN};
    static const enum ocsp_reason reasons[] = {OCSP_REVOKED, OCSP_UNKNOWN};
    for (size_t i = 0; i < 2; i++) {
        setup();
        restart();
        CHECK_EQ(reason(), OCSP_GOOD);
        CHECK_EQ(t.num_replaced, 0);
        put("/proof", proof_of("20260614060000Z", "20260621000000Z", statuses[i]));
        next_second();
        CHECK_EQ(reason(), reasons[i]);
        CHECK_EQ(t.num_replaced, 1);
        next_second();
        CHECK_EQ(t.num_replaced, 1);
        /* After a restart, the older good proof, or a broken one, does not count. */
        put("/proof", good_proof());
        restart();
        CHECK_EQ(reason(), reasons[i]);
        put("/proof", SLICE_LITERAL("x"));
        restart();
        CHECK_EQ(reason(), reasons[i]);
        drop("/proof");
        restart();
        CHECK_EQ(reason(), reasons[i]);
        CHECK_EQ(t.num_replaced, 1);
        /* A newer good one does, and takes the word out of the file. */
        put("/proof", proof_of("20260614120000Z", "20260622000000Z", MAKE_GOOD));
        restart();
        CHECK_EQ(reason(), OCSP_GOOD);
        CHECK_EQ(t.num_replaced, 2);
        CHECK_EQ(t.files[find_file(EVICTED)].bytes.len, 0);
        put("/proof", good_proof());
        restart();
        CHECK_EQ(reason(), OCSP_GOOD);
        teardown();
    }
}

/* Another certificate is not concerned; a reload that has no proof for a while forgets nothing. */
static void test_evicted_certificate(void)
{
    setup();
    put("/proof", proof_of("20260614060000Z", "20260621000000Z", MAKE_REVOKED));
    restart();
    CHECK_EQ(reason(), OCSP_REVOKED);
    t.conf.ocsp_file = "";
    CHECK_EQ(reload(), ERR_OK);
    put("/proof", good_proof());
    t.conf.ocsp_file = "/proof";
    CHECK_EQ(reload(), ERR_OK);
    CHECK_EQ(reason(), OCSP_REVOKED);
    put_must_staple(); /* the same key and serial, but another certificate */
    next_second();
    CHECK_EQ(reason(), OCSP_GOOD);
    teardown();
}

static void test_evictions_file(void)
{
    setup();
    uint8_t hash[32];
    char line[256];
    CHECK_EQ(mbedtls_sha256(t.keys.leaf.whole.ptr, t.keys.leaf.whole.len, hash, 0), 0);
    struct buf hex = buf_make(line, sizeof line);
    text_put_hex(&hex, slice_make(hash, sizeof hash));
    static const struct {
        const char *begin, *end;
        enum ocsp_reason reason;
    } rows[] = {
        {"", " revoked 2026-06-14T06:00:00Z\n", OCSP_REVOKED},
        {"garbage\n\n", " unknown 2026-06-14T06:00:00Z\n", OCSP_UNKNOWN},
        {"", " revoked 2026-06-14T06:00:00Z", OCSP_GOOD}, /* cut */
        {"", " forgotten 2026-06-14T06:00:00Z\n", OCSP_GOOD},
        {"", " revoked yesterday\n", OCSP_GOOD},
        {"0", " revoked 2026-06-14T06:00:00Z\n", OCSP_GOOD},
        {"", " revoked 2026-06-13T06:00:00Z\n", OCSP_GOOD}, /* older than the proof */
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        put(EVICTED,
            JOIN(slice_of_string(rows[i].begin), buf_slice(&hex), slice_of_string(rows[i].end)));
        restart();
        CHECK_EQ(reason(), rows[i].reason);
    }
    CHECK(logged("evictions file=\"/spool/ocsp-evicted\" result=damaged"));
    teardown();
}

/* A file that cannot be written is tried again, and told once. */
static void test_evictions_not_saved(void)
{
    setup();
    restart();
    t.replace_fails = true;
    put("/proof", proof_of("20260614060000Z", "20260621000000Z", MAKE_REVOKED));
    next_second();
    next_second();
    CHECK_EQ(reason(), OCSP_REVOKED);
    CHECK_EQ(count_of("result=not-saved reason=io"), 1);
    t.replace_fails = false;
    next_second();
    put("/proof", good_proof());
    restart();
    CHECK_EQ(reason(), OCSP_REVOKED);
    teardown();
}

/* The oldest word goes when there is no room. */
static void test_evictions_bounded(void)
{
    setup();
    staple_ledger_open(&t.ledger, &t.port, "/spool", scratch());
    struct ocsp_verdict v = ocsp_verdict_none(OCSP_REVOKED), found;
    uint8_t name[2] = {0};
    v.verified = true;
    for (int i = 0; i <= STAPLE_LEDGER_ITEMS; i++) {
        name[0] = (uint8_t)i;
        v.this_update_s = i == 7 ? -100 : i;
        staple_ledger_note(&t.ledger, slice_make(name, 2), &v);
        staple_ledger_note(&t.ledger, slice_make(name, 2), &v);
    }
    staple_ledger_save(&t.ledger, scratch());
    staple_ledger_open(&t.ledger, &t.port, "/spool", scratch());
    CHECK_EQ(t.ledger.num, STAPLE_LEDGER_ITEMS);
    for (int i = 0; i <= STAPLE_LEDGER_ITEMS; i++) {
        name[0] = (uint8_t)i;
        CHECK_EQ(staple_ledger_find(&t.ledger, slice_make(name, 2), &found), i != 7);
        CHECK(i == 7 || found.this_update_s == i);
    }
    teardown();
}

static const struct test_case cases[] = {
    {"served", test_served},
    {"looks_once_a_second", test_looks_once_a_second},
    {"why_none", test_why_none},
    {"issuer", test_issuer},
    {"refused_at_start", test_refused_at_start},
    {"one_file", test_one_file},
    {"broken_set_keeps_old", test_broken_set_keeps_old},
    {"new_certificate", test_new_certificate},
    {"which_proof", test_which_proof},
    {"clock_not_set", test_clock_not_set},
    {"reload", test_reload},
    {"no_memory", test_no_memory},
    {"watch", test_watch},
    {"must_staple", test_must_staple},
    {"counts", test_counts},
    {"evicted_for_good", test_evicted_for_good},
    {"evicted_certificate", test_evicted_certificate},
    {"evictions_file", test_evictions_file},
    {"evictions_not_saved", test_evictions_not_saved},
    {"evictions_bounded", test_evictions_bounded},
    {"chain", test_chain},
    {"chain_signer", test_chain_signer},
    {"chain_cut", test_chain_cut},
};

TEST_MAIN(cases)

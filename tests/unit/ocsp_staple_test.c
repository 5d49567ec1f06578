/* What is served: loading, replacing, and which proof stays. */
#include "staple_world.h"

static void test_served(void)
{
    setup();
    struct slice proof = good_proof();
    put("/proof", proof);
    CHECK_EQ(open_it(), ERR_OK);
    CHECK(serves(proof));
    CHECK(logged("proof file=\"/proof\" action=taken reason=good this_update=2026-06-14T00:00:00Z "
                 "until=2026-06-20T23:55:00Z"));
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
    put("/roots", JOIN(leaf, other, issuer, other));
    CHECK_EQ(open_it(), ERR_OK);
    CHECK_EQ(reason(), OCSP_GOOD);
    put("/roots", JOIN(leaf, other)); /* what it holds may change meanwhile */
    next_second();
    CHECK_EQ(reason(), OCSP_GOOD);
    put("/proof", good_proof());
    CHECK_EQ(reload(), ERR_OK);
    CHECK_EQ(reason(), OCSP_NO_ISSUER);
    put("/roots", JOIN(leaf, other, issuer));
    next_second();
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
    staple_close(&t.staple);

    /* One that was renewed by other software may be written otherwise. */
    struct maker_cert renewed = {"=Issuer",         "Root",    &t.keys.issuer_key,
                                 &t.keys.other_key, "\x08",    "20260101000000Z",
                                 "20360101000000Z", .ca = true};
    put("/roots", maker_pem("CERTIFICATE", maker_certificate(&renewed)));
    CHECK_EQ(open_it(), ERR_OK);
    CHECK_EQ(reason(), OCSP_GOOD);
    staple_close(&t.staple);

    /* One that is over stands in the chain, and the one of the same key that took its place in
     * front of it, behind it, or among those that are believed. */
    struct maker_cert over = {"Issuer", "Issuer",          &t.keys.issuer_key, &t.keys.issuer_key,
                              "\x06",   "20250101000000Z", "20260601000000Z",  .ca = true};
    struct slice old = maker_pem("CERTIFICATE", maker_certificate(&over));
    const struct slice chains[] = {JOIN(leaf, old, issuer), JOIN(leaf, issuer, old),
                                   JOIN(leaf, old)};
    for (size_t i = 0; i < 3; i++) {
        put("/chain", chains[i]);
        put("/roots", i < 2 ? other : issuer);
        CHECK_EQ(open_it(), ERR_OK);
        CHECK_EQ(reason(), OCSP_GOOD);
        staple_close(&t.staple);
    }
    put("/roots", old);
    CHECK_EQ(open_it(), ERR_OK);
    CHECK_EQ(reason(), OCSP_SIGNER_EXPIRED);
    staple_close(&t.staple);

    /* A root needs no proof, so its issuer is not looked for. */
    namesake.subject = "Root";
    struct slice root = maker_pem("CERTIFICATE", maker_certificate(&namesake));
    put("/chain", JOIN(leaf, issuer, root));
    put("/roots", root);
    CHECK_EQ(open_it(), ERR_OK);
    CHECK(slice_equal(t.staple.now.issuers[0][0].der, t.keys.issuer.whole));
    CHECK(!slice_is_empty(t.staple.now.issuers[0][1].der));
    CHECK(slice_is_empty(t.staple.now.issuers[0][2].der));
    teardown();
}

/* It is there, and has signed: what is wrong with it is its key. */
static void test_weak_issuer(void)
{
    struct maker_key key;
    struct world weak;
    setup();
    maker_weak_key(&key);
    weak = t.keys;
    weak.issuer_key = key;
    world_begin(&weak);
    put("/chain", JOIN(maker_pem("CERTIFICATE", weak.leaf.whole),
                       maker_pem("CERTIFICATE", weak.issuer.whole)));
    struct maker_response r = world_good(&weak);
    put("/proof", maker_proof(&r));
    CHECK_EQ(open_it(), ERR_OK);
    CHECK_EQ(reason(), OCSP_WEAK_KEY);
    CHECK(logged("reason=weak-key"));
    mbedtls_pk_free(&key.pk);
    teardown();
}

static void test_refused_at_start(void)
{
    setup();
    put("/key", key_pem(&t.keys.other_key));
    CHECK_EQ(open_it(), ERR_MALFORMED);
    CHECK(
        strcmp(
            t.errors,
            "tls_privatekey /key: the private key does not fit the first certificate of tls_certificate\n") ==
        0);
    CHECK(staple_take_set(&t.staple) == NULL);
    staple_close(&t.staple);
    drop("/key");
    CHECK_EQ(open_it(), ERR_ABSENT);
    CHECK(strcmp(t.errors, "tls_privatekey /key: there is no such file\n") == 0);
    staple_close(&t.staple);
    t.files[find_file("/chain")].fails = ERR_DENIED;
    CHECK_EQ(open_it(), ERR_DENIED);
    CHECK(strcmp(t.errors, "tls_certificate /chain: may not be read (permission denied)\n") == 0);
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

/* What is served once another proof has come: once the proof alone changes, once the whole set is
 * read anew. */
static void check_replaced(struct slice old, struct slice new, enum ocsp_reason want,
                           struct slice served)
{
    for (int whole = 0; whole < 2; whole++) {
        put("/proof", old);
        CHECK_EQ(open_it(), ERR_OK);
        put("/proof", new);
        if (whole) {
            t.files[find_file("/chain")].stamp = ++t.next_stamp;
        }
        next_second();
        CHECK_EQ(reason(), want);
        CHECK(want != OCSP_GOOD || serves(served));
        staple_close(&t.staple);
    }
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
    struct slice newest = proof_of("20260614000001Z", "20260621000000Z", MAKE_GOOD);
    struct slice short_lived = proof_of("20260614000000Z", "20260614120000Z", MAKE_GOOD);
    struct slice revoked = proof_of("20260614000000Z", "20260621000000Z", MAKE_REVOKED);
    struct slice unknown = proof_of("20260613000000Z", "20260621000000Z", MAKE_UNKNOWN);
    struct slice revoked_before = proof_of("20260612000000Z", "20260621000000Z", MAKE_REVOKED);
    struct slice endless = proof_of("20260614000000Z", NULL, MAKE_GOOD);
    struct maker_response r = world_good(&t.keys);
    r.singles[0].serial = SLICE_LITERAL("\x01");
    struct slice foreign = maker_proof(&r);
    r = world_good(&t.keys);
    r.key = &t.keys.other_key;
    r.singles[0].this_update = "20260614000001Z";
    struct slice forged = maker_proof(&r);
    r.singles[0].status = MAKE_REVOKED;
    struct slice forged_revoked = maker_proof(&r);
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
        {good, forged, OCSP_GOOD, good},
        {good, forged_revoked, OCSP_GOOD, good},
        {forged_revoked, good, OCSP_GOOD, good},
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
        {revoked, newer, OCSP_REVOKED, NOTHING}, /* as old, and better: that will not do */
        {revoked, endless, OCSP_REVOKED, NOTHING},
        {revoked, forged, OCSP_REVOKED, NOTHING},
        {endless, newer, OCSP_GOOD, newer},
        {endless, older, OCSP_NO_NEXT_UPDATE, NOTHING},
        {revoked, newest, OCSP_GOOD, newest},
        {newer, revoked, OCSP_REVOKED, NOTHING},
        {unknown, older, OCSP_UNKNOWN, NOTHING},
        {unknown, newer, OCSP_GOOD, newer},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int failed = test_failed_checks;
        check_replaced(rows[i].old, rows[i].new, rows[i].reason, rows[i].served);
        if (failed != test_failed_checks) {
            fprintf(stderr, "row %zu\n", i);
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
    while (num_hogs != 0) { /* room for some of it is no better than room for none */
        heap_free(&t.heap, hogs[--num_hogs]);
        next_second();
        CHECK_EQ(reason(), OCSP_GOOD);
    }
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

/* A new proof that cannot be read just now (no descriptor is free, the device stumbles) is read
 * once it can be, though its file does not change again; so is a file of authorities. */
static void test_unreadable_for_once(void)
{
    setup();
    CHECK_EQ(open_it(), ERR_OK);
    struct slice proof = proof_of("20260614120000Z", "20260622000000Z", MAKE_GOOD);
    put("/proof", proof);
    t.files[find_file("/proof")].fails = ERR_NO_HANDLE;
    next_second();
    int num_lines = t.num_lines;
    next_second();
    CHECK_EQ(t.num_lines, num_lines);
    t.files[find_file("/proof")].fails = ERR_OK;
    next_second();
    CHECK(serves(proof));
    staple_close(&t.staple);

    t.files[find_file("/proof")].fails = ERR_IO;
    CHECK_EQ(open_it(), ERR_OK);
    CHECK_EQ(reason(), OCSP_UNREADABLE);
    t.files[find_file("/proof")].fails = ERR_OK;
    next_second();
    CHECK_EQ(reason(), OCSP_GOOD);
    teardown();
}

static struct slice made_by(const char *command)
{
    static uint8_t bytes[16384];
    FILE *f = popen(command, "r");
    size_t len = f == NULL ? 0 : fread(bytes, 1, sizeof bytes, f);
    CHECK(f != NULL && pclose(f) == 0);
    return slice_make(bytes, len);
}

/* A file that cannot be read for as long as nobody sees to it: what the others hold is not judged,
 * and told, again and again. */
static void test_unreadable_for_long(void)
{
    setup();
    /* the key of another kind that a second pair needs, and its certificate: in one file */
    put("/rsa", made_by("openssl req -x509 -newkey rsa:2048 -nodes -keyout /dev/stdout "
                        "-days 30 -subj /CN=mail.example 2>/dev/null"));
    put("/rsa-proof", SLICE_LITERAL("x"));
    t.files[find_file("/rsa-proof")].fails = ERR_DENIED;
    t.conf.certificate = "/chain:/rsa";
    t.conf.privatekey = "/key:/rsa";
    t.conf.ocsp_file = "/proof:/rsa-proof";
    CHECK_EQ(open_it(), ERR_OK);
    CHECK_EQ(reason(), OCSP_GOOD);
    next_second();
    int num_lines = t.num_lines;
    for (int i = 0; i < 10; i++) {
        next_second();
    }
    CHECK_EQ(t.num_lines, num_lines);
    struct slice later = proof_of("20260614120000Z", "20260622000000Z", MAKE_GOOD);
    put("/proof", later); /* but it may change */
    next_second();
    CHECK(serves(later));
    CHECK_EQ(t.num_lines, num_lines + 2);
    t.files[find_file("/rsa-proof")].fails = ERR_OK;
    next_second();
    CHECK_EQ(staple_reason(&t.staple, 1, &t.now), OCSP_MALFORMED);
    CHECK_EQ(t.num_lines, num_lines + 4);
    next_second();
    CHECK_EQ(t.num_lines, num_lines + 4);
    teardown();
}

/* The authority has renewed its certificate, with the same key; both stand in the file. */
static void test_renewed_issuer(void)
{
    setup();
    struct maker_cert old = {"Issuer",          "Root",    &t.keys.issuer_key,
                             &t.keys.other_key, "\x06",    "20150101000000Z",
                             "20260101000000Z", .ca = true};
    t.conf.verify_certificates = "/roots";
    put("/chain", maker_pem("CERTIFICATE", t.keys.leaf.whole));
    put("/roots", JOIN(maker_pem("CERTIFICATE", maker_certificate(&old)),
                       maker_pem("CERTIFICATE", t.keys.issuer.whole)));
    CHECK_EQ(open_it(), ERR_OK);
    CHECK_EQ(reason(), OCSP_GOOD);
    teardown();
}

/* A proof that was signed ahead of its time is served when that has come, whatever was held until
 * then, though its file does not change again. */
static void test_proof_of_tomorrow(void)
{
    static const char *const ends[] = {"20260620000000Z", "20260614120000Z"};
    for (size_t i = 0; i < 2; i++) {
        setup();
        put("/proof", proof_of("20260614000000Z", ends[i], MAKE_GOOD));
        CHECK_EQ(open_it(), ERR_OK);
        CHECK_EQ(reason(), i == 0 ? OCSP_GOOD : OCSP_EXPIRED);
        struct slice later = proof_of("20260616000000Z", "20260623000000Z", MAKE_GOOD);
        put("/proof", later);
        next_second();
        CHECK_EQ(reason(), i == 0 ? OCSP_GOOD : OCSP_NOT_YET_VALID);
        t.now.wall_s += 6 * 86400;
        next_second();
        CHECK(serves(later));
        teardown();
    }
}

static const struct test_case cases[] = {
    {"served", test_served},
    {"looks_once_a_second", test_looks_once_a_second},
    {"why_none", test_why_none},
    {"issuer", test_issuer},
    {"weak issuer", test_weak_issuer},
    {"refused_at_start", test_refused_at_start},
    {"one_file", test_one_file},
    {"broken_set_keeps_old", test_broken_set_keeps_old},
    {"new_certificate", test_new_certificate},
    {"which_proof", test_which_proof},
    {"clock_not_set", test_clock_not_set},
    {"reload", test_reload},
    {"no_memory", test_no_memory},
    {"proof_of_tomorrow", test_proof_of_tomorrow},
    {"unreadable_for_once", test_unreadable_for_once},
    {"unreadable_for_long", test_unreadable_for_long},
    {"renewed_issuer", test_renewed_issuer},
};

TEST_MAIN(cases)

/* What a revoked or unknown proof evicts stays evicted, also across restarts. */
#include "staple_world.h"

#include <mbedtls/sha256.h>

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
        put("/proof", proof_of("20260614060000Z", "20260621000000Z", MAKE_GOOD));
        restart();
        CHECK_EQ(reason(), reasons[i]); /* nor one of the same second */
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

/* Of two words of the same second the worse one counts, whichever comes first. */
static void test_evicted_twice(void)
{
    for (size_t i = 0; i < 2; i++) {
        setup();
        restart();
        for (size_t k = 0; k < 2; k++) {
            put("/proof", proof_of("20260614060000Z", "20260621000000Z",
                                   k == i ? MAKE_REVOKED : MAKE_UNKNOWN));
            next_second();
        }
        CHECK_EQ(reason(), OCSP_REVOKED);
        restart();
        CHECK_EQ(reason(), OCSP_REVOKED);
        put("/proof", proof_of("20260614060001Z", "20260621000000Z", MAKE_UNKNOWN));
        next_second();
        CHECK_EQ(reason(), OCSP_UNKNOWN);
        teardown();
    }
}

/* A delegate that is past cannot evict, whatever it signs. */
static void test_evicted_by_expired(void)
{
    setup();
    restart();
    put("/proof", refused_by(&t.keys, "20260613235959Z", MAKE_REVOKED));
    next_second();
    CHECK_EQ(reason(), OCSP_GOOD);
    CHECK_EQ(t.num_replaced, 0);
    put("/proof", refused_by(&t.keys, "20260614000000Z", MAKE_REVOKED));
    next_second();
    CHECK_EQ(reason(), OCSP_REVOKED);
    CHECK_EQ(t.num_replaced, 1);
    teardown();
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

/* Other sets of the same certificate, with a good proof of their own or none yet, learn of it, and
 * do not bring the word out again with a good one that is older. */
static void test_evicted_in_all_sets(void)
{
    static struct staple others[2];
    static const char *const files[] = {"/one", "/two"};
    setup();
    restart();
    struct buf errors = buf_make(t.errors, sizeof t.errors);
    struct staple_conf conf = t.conf;
    put("/one", good_proof());
    for (size_t i = 0; i < 2; i++) {
        conf.ocsp_file = files[i];
        CHECK_EQ(staple_open(&others[i], &t.port, &t.env, &conf, &t.now, scratch(), &errors),
                 ERR_OK);
        CHECK_EQ(staple_reason(&others[i], 0, &t.now), i == 0 ? OCSP_GOOD : OCSP_NO_FILE);
    }
    put("/proof", proof_of("20260614060000Z", "20260621000000Z", MAKE_REVOKED));
    next_second();
    CHECK_EQ(reason(), OCSP_REVOKED);
    for (size_t i = 0; i < 2; i++) {
        staple_refresh(&others[i], &t.now, scratch());
        CHECK_EQ(staple_reason(&others[i], 0, &t.now), OCSP_REVOKED);
        put(files[i], proof_of("20260614050000Z", "20260621000000Z", MAKE_GOOD));
        next_second();
        staple_refresh(&others[i], &t.now, scratch());
        CHECK_EQ(staple_reason(&others[i], 0, &t.now), OCSP_REVOKED);
        staple_close(&others[i]);
    }
    put("/proof", good_proof());
    restart();
    CHECK_EQ(reason(), OCSP_REVOKED);
    teardown();
}

/* Also in one that was told before that its issuer does not know the certificate. */
static void test_evicted_once_more(void)
{
    static struct staple other;
    setup();
    restart();
    struct buf errors = buf_make(t.errors, sizeof t.errors);
    struct staple_conf conf = t.conf;
    conf.ocsp_file = "/one";
    put("/one", proof_of("20260614030000Z", "20260621000000Z", MAKE_UNKNOWN));
    CHECK_EQ(staple_open(&other, &t.port, &t.env, &conf, &t.now, scratch(), &errors), ERR_OK);
    CHECK_EQ(staple_reason(&other, 0, &t.now), OCSP_UNKNOWN);
    put("/proof", proof_of("20260614060000Z", "20260621000000Z", MAKE_REVOKED));
    next_second();
    staple_refresh(&other, &t.now, scratch());
    CHECK_EQ(staple_reason(&other, 0, &t.now), OCSP_REVOKED);
    put("/one", proof_of("20260614050000Z", "20260621000000Z", MAKE_GOOD));
    next_second();
    staple_refresh(&other, &t.now, scratch());
    CHECK_EQ(staple_reason(&other, 0, &t.now), OCSP_REVOKED);
    staple_close(&other);
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
    t.replace_fails = true; /* another time is another matter */
    put("/proof", proof_of("20260614070000Z", "20260621000000Z", MAKE_REVOKED));
    next_second();
    CHECK_EQ(count_of("result=not-saved reason=io"), 2);
    t.replace_fails = false;
    next_second();
    put("/proof", good_proof());
    restart();
    CHECK_EQ(reason(), OCSP_REVOKED);
    teardown();
}

/* A file that is not there is nothing to tell of; one that cannot be read is. */
static void test_evictions_not_read(void)
{
    setup();
    restart();
    CHECK(!logged("result=not-read"));
    put(EVICTED, SLICE_LITERAL(""));
    t.files[find_file(EVICTED)].fails = ERR_IO;
    restart();
    CHECK(logged("evictions file=\"/spool/ocsp-evicted\" result=not-read reason=io"));
    teardown();
}

/* What the file had before the disk failed holds as soon as it can be read, and is not written over
 * until then. */
static void test_evictions_read_late(void)
{
    setup();
    restart();
    put("/proof", proof_of("20260614060000Z", "20260621000000Z", MAKE_REVOKED));
    next_second();
    CHECK_EQ(t.num_replaced, 1);
    put("/proof", good_proof());
    t.files[find_file(EVICTED)].fails = ERR_IO;
    restart();
    CHECK_EQ(reason(), OCSP_GOOD);
    struct ocsp_verdict v = ocsp_verdict_none(OCSP_REVOKED), found;
    v.verified = true;
    v.this_update_s = 1;
    staple_ledger_note(&t.ledger, SLICE_LITERAL("x"), &v);
    next_second();
    CHECK_EQ(t.num_replaced, 1);
    t.files[find_file(EVICTED)].fails = ERR_OK;
    next_second();
    CHECK_EQ(t.num_replaced, 2);
    next_second();
    CHECK_EQ(reason(), OCSP_REVOKED);
    restart();
    CHECK_EQ(reason(), OCSP_REVOKED);
    CHECK(staple_ledger_find(&t.ledger, SLICE_LITERAL("x"), &found));
    teardown();
}

/* Of the file and of what has come before it could be read, the later word counts, and of two of
 * the same second the worse one. */
static void test_evictions_joined(void)
{
    static const struct {
        enum ocsp_reason in_file, come;
        int64_t come_s; /* in_file is of second 2 */
        enum ocsp_reason want;
    } rows[] = {
        {OCSP_REVOKED, OCSP_UNKNOWN, 1, OCSP_REVOKED},
        {OCSP_REVOKED, OCSP_UNKNOWN, 2, OCSP_REVOKED},
        {OCSP_REVOKED, OCSP_UNKNOWN, 3, OCSP_UNKNOWN},
        {OCSP_UNKNOWN, OCSP_REVOKED, 1, OCSP_UNKNOWN},
        {OCSP_UNKNOWN, OCSP_REVOKED, 2, OCSP_REVOKED},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct ocsp_verdict v = ocsp_verdict_none(rows[i].in_file), found;
        setup();
        v.verified = true;
        v.this_update_s = 2;
        staple_ledger_open(&t.ledger, &t.port, "/spool", scratch());
        staple_ledger_note(&t.ledger, SLICE_LITERAL("x"), &v);
        staple_ledger_save(&t.ledger, scratch());
        t.files[find_file(EVICTED)].fails = ERR_IO;
        staple_ledger_open(&t.ledger, &t.port, "/spool", scratch());
        v.reason = rows[i].come;
        v.this_update_s = rows[i].come_s;
        staple_ledger_note(&t.ledger, SLICE_LITERAL("x"), &v);
        t.files[find_file(EVICTED)].fails = ERR_OK;
        staple_ledger_save(&t.ledger, scratch());
        CHECK_EQ(t.num_replaced, 2);
        CHECK(staple_ledger_find(&t.ledger, SLICE_LITERAL("x"), &found));
        CHECK_EQ(found.reason, rows[i].want);
        teardown();
    }
}

/* A later word takes the place of the one before; without a file it holds as well. */
static void test_evictions_without_file(void)
{
    static char long_name[sizeof t.ledger.path + 1];
    static const char *const dirs[] = {NULL, "", long_name, "/spool"};
    memset(long_name, '/', sizeof long_name - 1);
    for (size_t i = 0; i < sizeof dirs / sizeof dirs[0]; i++) {
        setup();
        staple_ledger_open(&t.ledger, &t.port, dirs[i], scratch());
        t.ledger.is_read_only = i == 3;
        struct ocsp_verdict v = ocsp_verdict_none(OCSP_UNKNOWN), found;
        v.verified = true;
        v.this_update_s = 1;
        staple_ledger_note(&t.ledger, SLICE_LITERAL("x"), &v);
        v.reason = OCSP_REVOKED;
        v.this_update_s = 2;
        staple_ledger_note(&t.ledger, SLICE_LITERAL("x"), &v);
        v.verified = false;
        v.this_update_s = 3;
        staple_ledger_note(&t.ledger, SLICE_LITERAL("x"), &v);
        staple_ledger_note(&t.ledger, SLICE_LITERAL("y"), &v);
        CHECK_EQ(t.ledger.num, 1);
        CHECK(staple_ledger_find(&t.ledger, SLICE_LITERAL("x"), &found));
        CHECK_EQ(found.reason, OCSP_REVOKED);
        CHECK_EQ(found.status, OCSP_CERT_REVOKED);
        CHECK_EQ(found.this_update_s, 2);
        staple_ledger_save(&t.ledger, scratch());
        CHECK_EQ(t.num_replaced, 0);
        teardown();
    }
}

/* What is known already is not written again. */
static void test_evictions_saved_once(void)
{
    static const struct {
        enum ocsp_reason reason;
        int64_t this_update_s;
        int num_replaced;
    } rows[] = {{OCSP_UNKNOWN, 1, 1}, {OCSP_UNKNOWN, 1, 1}, {OCSP_REVOKED, 1, 2},
                {OCSP_REVOKED, 1, 2}, {OCSP_REVOKED, 2, 3}, {OCSP_REVOKED, 2, 3},
                {OCSP_UNKNOWN, 2, 4}, {OCSP_GOOD, 3, 5},    {OCSP_GOOD, 3, 5}};
    setup();
    staple_ledger_open(&t.ledger, &t.port, "/spool", scratch());
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct ocsp_verdict v = ocsp_verdict_none(rows[i].reason), found;
        v.verified = true;
        v.this_update_s = rows[i].this_update_s;
        staple_ledger_note(&t.ledger, SLICE_LITERAL("x"), &v);
        staple_ledger_save(&t.ledger, scratch());
        CHECK_EQ(t.num_replaced, rows[i].num_replaced);
        bool is_good = rows[i].reason == OCSP_GOOD;
        CHECK_EQ(staple_ledger_find(&t.ledger, SLICE_LITERAL("x"), &found), !is_good);
        CHECK(is_good || (found.status == OCSP_CERT_UNKNOWN) == (rows[i].reason == OCSP_UNKNOWN));
    }
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
    {"evicted_for_good", test_evicted_for_good},
    {"evicted_twice", test_evicted_twice},
    {"evicted_by_expired", test_evicted_by_expired},
    {"evicted_certificate", test_evicted_certificate},
    {"evicted_in_all_sets", test_evicted_in_all_sets},
    {"evicted_once_more", test_evicted_once_more},
    {"evictions_file", test_evictions_file},
    {"evictions_not_saved", test_evictions_not_saved},
    {"evictions_not_read", test_evictions_not_read},
    {"evictions_read_late", test_evictions_read_late},
    {"evictions_joined", test_evictions_joined},
    {"evictions_without_file", test_evictions_without_file},
    {"evictions_saved_once", test_evictions_saved_once},
    {"evictions_bounded", test_evictions_bounded},
};

TEST_MAIN(cases)

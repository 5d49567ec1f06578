/* What the log says of what is served, and the counts. */
#include "staple_world.h"

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

static bool check_says(const char *text)
{
    uint8_t bytes[512];
    struct buf out = buf_make(bytes, sizeof bytes - 1);
    staple_put_check(&t.staple, &t.now, &out);
    bytes[out.len] = 0;
    return strstr((char *)bytes, text) != NULL;
}

static void test_certificate_end(void)
{
    setup();
    t.conf.ocsp_file = "";
    CHECK_EQ(open_it(), ERR_OK);
    CHECK_EQ(count_of("reason=no-file certificate_end=2027-01-01T00:00:00Z"), 1);
    CHECK_EQ(staple_certificate_end_s(&t.staple, 0), 1798761600);
    t.now.wall_s = 1798761600;
    CHECK(!check_says("has expired"));
    t.now.wall_s++;
    CHECK(check_says("tls_certificate /chain: has expired\n"));
    CHECK(!check_says("number 2"));
    t.now.wall_s = 2082758400; /* the issuer's notAfter */
    CHECK(!check_says("number 2"));
    t.now.wall_s++;
    CHECK(check_says("tls_certificate /chain: number 2 in it has expired\n"));
    t.now.wall_s = 1767225600; /* notBefore */
    CHECK(!check_says("is not valid yet"));
    t.now.wall_s--;
    CHECK(check_says("tls_certificate /chain: is not valid yet\n"));
    t.now.wall_set = false;
    CHECK(!check_says("has expired"));
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

static const struct test_case cases[] = {
    {"watch", test_watch},
    {"must_staple", test_must_staple},
    {"certificate_end", test_certificate_end},
    {"counts", test_counts},
};

TEST_MAIN(cases)

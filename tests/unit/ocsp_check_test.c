/* The verdict: every class of proof, intervals, every truncation and every changed byte. */
#include "proof_scenarios.h"

#include <limits.h>

static struct world w;

static void setup(mbedtls_ecp_group_id curve)
{
    mbedtls_platform_set_calloc_free(calloc, free);
    maker_reset();
    world_keys(&w, curve);
    world_begin(&w);
}

static void run_scenarios(mbedtls_ecp_group_id curve)
{
    setup(curve);
    for (size_t i = 0; i < NUM_SCENARIOS; i++) {
        struct ocsp_verdict v;
        struct slice proof;
        enum ocsp_reason got = scenario_judge(&scenarios[i], &w, &v, &proof);
        if (got != scenarios[i].want) {
            test_failed_checks++;
            fprintf(stderr, "%s: %s, not %s\n", scenarios[i].name, ocsp_reason_name(got),
                    ocsp_reason_name(scenarios[i].want));
        }
    }
    world_end(&w);
}

static void test_scenarios_p256(void)
{
    run_scenarios(MBEDTLS_ECP_DP_SECP256R1);
}

static void test_scenarios_p384(void)
{
    run_scenarios(MBEDTLS_ECP_DP_SECP384R1);
}

static void test_scenarios_p521(void)
{
    run_scenarios(MBEDTLS_ECP_DP_SECP521R1);
}

/* Every reason that judging can give has a scenario; the rest come from the clock, a file or the
 * heap. */
static void test_every_reason(void)
{
    for (int reason = 0; reason < NUM_OCSP_REASONS; reason++) {
        bool found = reason == OCSP_NO_FILE || reason == OCSP_UNREADABLE ||
                     reason == OCSP_NO_MEMORY || reason == OCSP_CLOCK_NOT_SET ||
                     reason == OCSP_WRONG_ISSUER /* of the command */ ||
                     reason == OCSP_CERTIFICATE_EXPIRED; /* test_interval */
        for (size_t i = 0; i < NUM_SCENARIOS && !found; i++) {
            found = (int)scenarios[i].want == reason;
        }
        if (!found) {
            fprintf(stderr, "no scenario for %s\n", ocsp_reason_name((enum ocsp_reason)reason));
        }
        CHECK(found);
    }
}

static void test_fields(void)
{
    struct ocsp_question q;
    struct ocsp_verdict v;
    setup(MBEDTLS_ECP_DP_SECP256R1);
    q = world_question(&w);
    struct maker_cert d = world_delegate(&w);
    struct maker_response r = world_delegated(&w, &d);
    r.singles[0].md = MBEDTLS_MD_SHA384;
    CHECK_EQ(ocsp_check(&q, maker_proof(&r), &v), OCSP_GOOD);
    CHECK(v.verified);
    CHECK_EQ(v.signer, OCSP_SIGNER_DELEGATE);
    CHECK(v.signer_nocheck);
    CHECK(strcmp(v.certid_hash, "sha384") == 0);
    CHECK(strcmp(v.signature_hash, "sha256") == 0);
    CHECK_EQ(v.this_update_s, SCENARIO_NOW - 86400);
    CHECK_EQ(v.next_update_s, SCENARIO_NOW + 6 * 86400);
    CHECK_EQ(v.produced_at_s, SCENARIO_NOW - 86400);
    CHECK_EQ(v.revocation_s, OCSP_NO_TIME);
    CHECK_EQ(v.revocation_reason, -1);

    r.singles[0].next_update = NULL;
    CHECK_EQ(ocsp_check(&q, maker_proof(&r), &v), OCSP_NO_NEXT_UPDATE);
    CHECK_EQ(v.next_update_s, OCSP_NO_TIME);

    d.nocheck = false;
    r = world_delegated(&w, &d);
    CHECK_EQ(ocsp_check(&q, maker_proof(&r), &v), OCSP_GOOD);
    CHECK_EQ(v.signer, OCSP_SIGNER_DELEGATE);
    CHECK(!v.signer_nocheck);

    r = world_good(&w);
    r.singles[0].status = MAKE_REVOKED_REASON;
    CHECK_EQ(ocsp_check(&q, maker_proof(&r), &v), OCSP_REVOKED);
    CHECK(v.verified);
    CHECK_EQ(v.signer, OCSP_SIGNER_ISSUER);
    CHECK(!v.signer_nocheck);
    CHECK_EQ(v.revocation_s, SCENARIO_NOW - 14 * 86400);
    CHECK_EQ(v.revocation_reason, 4);

    r.key = &w.other_key;
    CHECK_EQ(ocsp_check(&q, maker_proof(&r), &v), OCSP_BAD_SIGNATURE);
    CHECK(!v.verified);
    world_end(&w);
}

/* The numbers of an ECDSA signature in other forms than DER, which clients refuse. */
static void test_signature_forms(void)
{
    setup(MBEDTLS_ECP_DP_SECP256R1);
    struct ocsp_question q = world_question(&w);
    struct ocsp_verdict v;
    struct maker_response good = world_good(&w);
    struct slice data = maker_data(&good), algorithm = maker_signature_algorithm(good.key);
    struct slice in = maker_sign(good.key, data), seq, r, s;
    /* Until both numbers have a zero in front, which keeps them positive. */
    while (!der_get(&in, DER_SEQUENCE, &seq) || !der_get_integer(&seq, &r) ||
           !der_get_integer(&seq, &s) || r.ptr[0] != 0 || s.ptr[0] != 0) {
        in = maker_sign(good.key, data);
    }
    struct slice short_r = slice_make(r.ptr + 1, r.len - 1),
                 short_s = slice_make(s.ptr + 1, s.len - 1);
    uint8_t long_len[2] = {0x81, (uint8_t)r.len}, len[2] = {0x81, (uint8_t)(2 + r.len + 2 + s.len)};
    struct slice num_r = TLV(DER_INTEGER, r), num_s = TLV(DER_INTEGER, s),
                 zero = SLICE_LITERAL("\0");
    struct slice long_r = JOIN(SLICE_LITERAL("\2"), slice_make(long_len, 2), r);
    const struct slice forms[] = {
        SEQ(num_r, num_s),
        SEQ(TLV(DER_INTEGER, zero, r), num_s),
        SEQ(num_r, TLV(DER_INTEGER, zero, s)),
        SEQ(TLV(DER_INTEGER, short_r), num_s),
        SEQ(num_r, TLV(DER_INTEGER, short_s)),
        SEQ(long_r, num_s),
        JOIN(SLICE_LITERAL("\x30"), slice_make(len, 2), num_r, num_s),
    };
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        ocsp_check(&q, maker_basic(data, algorithm, forms[i], NOTHING), &v);
        CHECK_EQ(v.reason, i == 0 ? OCSP_GOOD : OCSP_BAD_SIGNATURE);
    }
    world_end(&w);
}

/* ECDSA has no parameters; NULL, which some write and clients let pass, is as good. */
static void test_signature_parameters(void)
{
    setup(MBEDTLS_ECP_DP_SECP256R1);
    struct ocsp_question q = world_question(&w);
    struct ocsp_verdict v;
    struct maker_response good = world_good(&w);
    struct slice data = maker_data(&good), signature = maker_sign(good.key, data);
    struct slice oid = OID(MBEDTLS_OID_ECDSA_SHA256), null = TLV(DER_NULL, NOTHING);
    const struct slice algorithms[] = {SEQ(oid), SEQ(oid, null), SEQ(oid, SEQ(null)),
                                       SEQ(oid, TLV(DER_NULL, null)), SEQ(oid, oid)};
    for (size_t i = 0; i < sizeof algorithms / sizeof algorithms[0]; i++) {
        ocsp_check(&q, maker_basic(data, algorithms[i], signature, NOTHING), &v);
        CHECK_EQ(v.reason, i < 2 ? OCSP_GOOD : OCSP_SIGNATURE_UNSUPPORTED);
    }
    world_end(&w);
}

/* What holds at the two ends of an interval, to the second. */
static void check_ends(const struct ocsp_verdict *v, int64_t begin_s, enum ocsp_reason before,
                       int64_t end_s, enum ocsp_reason after)
{
    CHECK_EQ(v->reason, OCSP_GOOD);
    CHECK_EQ(v->begin_s, begin_s);
    CHECK_EQ(v->end_s, end_s);
    CHECK_EQ(ocsp_verdict_at(v, begin_s - 1), before);
    CHECK_EQ(ocsp_verdict_at(v, begin_s), OCSP_GOOD);
    CHECK_EQ(ocsp_verdict_at(v, end_s - 1), OCSP_GOOD);
    CHECK_EQ(ocsp_verdict_at(v, end_s), after);
    CHECK_EQ(ocsp_verdict_at(v, INT64_MIN), before);
    CHECK_EQ(ocsp_verdict_at(v, INT64_MAX), after);
}

static void test_interval(void)
{
    const int64_t day = 86400, now = SCENARIO_NOW;
    struct ocsp_verdict v;
    setup(MBEDTLS_ECP_DP_SECP256R1);
    struct ocsp_question q = world_question(&w);
    struct maker_response r = world_good(&w);
    ocsp_check(&q, maker_proof(&r), &v);
    check_ends(&v, now - day - 300, OCSP_NOT_YET_VALID, now + 6 * day - 300, OCSP_EXPIRED);

    q.options.max_age_s = 3 * day;
    ocsp_check(&q, maker_proof(&r), &v);
    check_ends(&v, now - day - 300, OCSP_NOT_YET_VALID, now + 2 * day + 1, OCSP_TOO_OLD);
    q.options.max_age_s = 0;

    /* The delegate's validity is the narrower one at both ends. */
    struct maker_cert d = world_delegate(&w);
    d.not_before = "20260614120000Z";
    d.not_after = "20260616000000Z";
    r = world_delegated(&w, &d);
    ocsp_check(&q, maker_proof(&r), &v);
    check_ends(&v, now - day / 2, OCSP_SIGNER_NOT_YET_VALID, now + day + 1, OCSP_SIGNER_EXPIRED);

    /* A proof that outlives the certificate, which ends with 2027-01-01T00:00:00Z. */
    r = world_good(&w);
    r.singles[0].next_update = "20280101000000Z";
    ocsp_check(&q, maker_proof(&r), &v);
    check_ends(&v, now - day - 300, OCSP_NOT_YET_VALID, now + 200 * day + 1,
               OCSP_CERTIFICATE_EXPIRED);

    /* Two answers: both have to hold. */
    r = world_good(&w);
    r.num_singles = 2;
    r.singles[1] = r.singles[0];
    r.singles[0].this_update = "20260614060000Z";
    r.singles[1].next_update = "20260620000000Z";
    ocsp_check(&q, maker_proof(&r), &v);
    check_ends(&v, now - day * 3 / 4 - 300, OCSP_NOT_YET_VALID, now + 5 * day - 300, OCSP_EXPIRED);

    /* thisUpdate after nextUpdate never holds. */
    r = world_good(&w);
    r.singles[0].this_update = "20260622000000Z";
    ocsp_check(&q, maker_proof(&r), &v);
    CHECK_EQ(ocsp_verdict_at(&v, now), OCSP_NOT_YET_VALID);
    CHECK_EQ(ocsp_verdict_at(&v, now + 7 * day), OCSP_EXPIRED);
    world_end(&w);
}

static struct slice good_delegated_proof(void)
{
    struct maker_cert d = world_delegate(&w);
    struct maker_response r = world_delegated(&w, &d);
    return maker_proof(&r);
}

static void test_truncations(void)
{
    struct ocsp_verdict v;
    setup(MBEDTLS_ECP_DP_SECP256R1);
    struct ocsp_question q = world_question(&w);
    struct slice proof = good_delegated_proof();
    CHECK_EQ(ocsp_check(&q, proof, &v), OCSP_GOOD);
    for (size_t len = 0; len < proof.len; len++) {
        /* In memory of just that size, so that a sanitizer sees a byte too far. */
        uint8_t *cut = malloc(len + (len == 0));
        memcpy(cut, proof.ptr, len);
        CHECK_EQ(ocsp_check(&q, slice_make(cut, len), &v), OCSP_MALFORMED);
        free(cut);
    }
    static const uint8_t zeros[OCSP_PROOF_CAP + 1];
    CHECK_EQ(ocsp_check(&q, slice_make(zeros, OCSP_PROOF_CAP), &v), OCSP_MALFORMED);
    CHECK_EQ(ocsp_check(&q, slice_make(zeros, OCSP_PROOF_CAP + 1), &v), OCSP_TOO_BIG);
    world_end(&w);
}

/* Bytes outside of what is signed may change without harm where nothing depends on them (the
 * certificates); inside, never. */
static void test_changed_bytes(void)
{
    struct ocsp_verdict v;
    struct ocsp_response parsed;
    setup(MBEDTLS_ECP_DP_SECP256R1);
    struct ocsp_question q = world_question(&w);
    struct maker_response r = world_good(&w);
    struct slice proof = maker_proof(&r);
    uint8_t *changed = malloc(proof.len);
    CHECK(ocsp_response_parse(proof, &parsed));
    size_t from = (size_t)(parsed.sealed.bytes.ptr - proof.ptr);
    size_t to = from + parsed.sealed.bytes.len;
    for (size_t i = 0; i < proof.len; i++) {
        for (unsigned bit = (unsigned)(i % TEST_STRIDE); bit < 8; bit += TEST_STRIDE) {
            memcpy(changed, proof.ptr, proof.len);
            changed[i] ^= (uint8_t)(1u << bit);
            enum ocsp_reason reason = ocsp_check(&q, slice_make(changed, proof.len), &v);
            if (reason == OCSP_GOOD || v.verified) {
                fprintf(stderr, "byte %zu of %zu, bit %u: still verified\n", i, proof.len, bit);
                CHECK(i < from || i >= to);
                CHECK(false); /* nor elsewhere: this proof carries no certificates */
            }
        }
    }
    free(changed);
    world_end(&w);
}

static void test_changed_bytes_delegated(void)
{
    struct ocsp_verdict v;
    struct ocsp_response parsed;
    setup(MBEDTLS_ECP_DP_SECP256R1);
    struct ocsp_question q = world_question(&w);
    struct slice proof = good_delegated_proof();
    uint8_t *changed = malloc(proof.len);
    CHECK(ocsp_response_parse(proof, &parsed));
    for (size_t i = 0; i < proof.len; i += TEST_STRIDE) {
        memcpy(changed, proof.ptr, proof.len);
        changed[i] = (uint8_t)(changed[i] + 1);
        CHECK(ocsp_check(&q, slice_make(changed, proof.len), &v) != OCSP_GOOD);
    }
    free(changed);
    world_end(&w);
}

/* Heap that runs out at any call, for that one or for good: told as such, so that it is tried
 * again, and nothing leaks. */
static long allocs_left;
static bool is_for_good;

static void *scarce_calloc(size_t num, size_t size)
{
    long left = --allocs_left;
    return left != 0 && (left > 0 || !is_for_good) ? calloc(num, size) : NULL;
}

static void test_no_memory(void)
{
    struct ocsp_verdict v;
    setup(MBEDTLS_ECP_DP_SECP256R1);
    struct ocsp_question q = world_question(&w);
    struct slice proof = good_delegated_proof();
    int num_failed[2] = {0, 0};
    mbedtls_platform_set_calloc_free(scarce_calloc, free);
    allocs_left = LONG_MAX;
    CHECK_EQ(ocsp_check(&q, proof, &v), OCSP_GOOD);
    long num = LONG_MAX - allocs_left;
    for (long n = 1; n <= num; n += n < 300 || n > num - 40 ? 1 : 37) {
        for (int i = 0; i < 2; i++) {
            allocs_left = n;
            is_for_good = i != 0;
            enum ocsp_reason reason = ocsp_check(&q, proof, &v);
            CHECK(reason == OCSP_NO_MEMORY || (reason == OCSP_GOOD && !is_for_good));
            num_failed[i] += reason == OCSP_NO_MEMORY;
        }
    }
    CHECK(num_failed[0] > 20 && num_failed[1] > 20);
    mbedtls_platform_set_calloc_free(calloc, free);
    world_end(&w);
}

static void test_names(void)
{
    CHECK(strcmp(ocsp_reason_name(OCSP_SIGNER_NOT_AUTHORISED), "signer-not-authorised") == 0);
    CHECK_EQ(ocsp_reason_class(OCSP_GOOD), OCSP_CLASS_ACCEPT);
    CHECK_EQ(ocsp_reason_class(OCSP_MALFORMED), OCSP_CLASS_MALFORMED);
    CHECK_EQ(ocsp_reason_class(OCSP_REVOKED), OCSP_CLASS_REJECT);
    struct ocsp_verdict v = ocsp_verdict_none(OCSP_NO_FILE);
    CHECK_EQ(ocsp_verdict_at(&v, SCENARIO_NOW), OCSP_NO_FILE);
    CHECK(!v.verified);
}

static const struct test_case cases[] = {
    {"scenarios_p256", test_scenarios_p256},
    {"scenarios_p384", test_scenarios_p384},
    {"scenarios_p521", test_scenarios_p521},
    {"every_reason", test_every_reason},
    {"fields", test_fields},
    {"signature_forms", test_signature_forms},
    {"signature_parameters", test_signature_parameters},
    {"interval", test_interval},
    {"truncations", test_truncations},
    {"changed_bytes", test_changed_bytes},
    {"changed_bytes_delegated", test_changed_bytes_delegated},
    {"no_memory", test_no_memory},
    {"names", test_names},
};

TEST_MAIN(cases)

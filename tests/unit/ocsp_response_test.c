/* The grammar of responses and certificates: what is read, and that anything else is refused. */
#include "ocsp_response.h"

#include "proof_scenarios.h"

static struct world w;

static void setup(void)
{
    mbedtls_platform_set_calloc_free(calloc, free);
    maker_reset();
    world_keys(&w, MBEDTLS_ECP_DP_SECP256R1);
    world_begin(&w);
}

static struct slice some_extension(void)
{
    return maker_extension(OID("\x2a\x03\x04"), false, SLICE_LITERAL("x"));
}

static void test_whole_grammar(void)
{
    struct ocsp_response r;
    struct ocsp_single s;
    struct x509_extension e;
    struct slice cert;
    setup();
    struct maker_cert d = world_delegate(&w);
    struct maker_response m = world_delegated(&w, &d);
    m.certs = JOIN(m.certs, w.leaf.whole);
    m.num_singles = 3;
    m.singles[1] = m.singles[2] = m.singles[0];
    m.singles[1].status = MAKE_REVOKED_REASON;
    m.singles[1].next_update = NULL;
    m.singles[2].status = MAKE_UNKNOWN;
    m.singles[2].md = MBEDTLS_MD_SHA512;
    m.singles[2].extensions = JOIN(some_extension(), some_extension());
    m.extensions = maker_extension(OID("\x2a\x03\x05"), true, SLICE_LITERAL("value"));
    m.version = 0;
    CHECK(ocsp_response_parse(maker_proof(&m), &r));
    CHECK_EQ(r.status, OCSP_STATUS_SUCCESSFUL);
    CHECK(r.is_basic);
    CHECK_EQ(r.version, 0);
    CHECK(slice_equal(r.by_name, maker_name("Responder")));
    CHECK(slice_is_empty(r.by_key));
    CHECK_EQ(r.produced_at_s, SCENARIO_NOW - 86400);

    CHECK(ocsp_single_next(&r.singles, &s));
    CHECK_EQ(s.status, OCSP_CERT_GOOD);
    CHECK(slice_equal(s.serial, SLICE_LITERAL("\0\x8f\x10\x01")));
    CHECK(ocsp_single_next(&r.singles, &s));
    CHECK_EQ(s.status, OCSP_CERT_REVOKED);
    CHECK_EQ(s.revocation_reason, 4);
    CHECK_EQ(s.revocation_s, SCENARIO_NOW - 14 * 86400);
    CHECK(!s.has_next_update);
    CHECK(ocsp_single_next(&r.singles, &s));
    CHECK_EQ(s.status, OCSP_CERT_UNKNOWN);
    CHECK_EQ(s.revocation_reason, -1);
    CHECK_EQ(s.issuer_name_hash.len, 64);
    CHECK(s.has_next_update);
    CHECK_EQ(s.next_update_s, SCENARIO_NOW + 6 * 86400);
    CHECK(x509_next_extension(&s.extensions, &e));
    CHECK(!e.critical);
    CHECK(x509_next_extension(&s.extensions, &e));
    CHECK(!x509_next_extension(&s.extensions, &e));
    CHECK(!ocsp_single_next(&r.singles, &s));

    CHECK(x509_next_extension(&r.extensions, &e));
    CHECK(e.critical);
    CHECK_TEXT(e.value, "value");
    CHECK(ocsp_cert_next(&r.certs, &cert));
    CHECK(ocsp_cert_next(&r.certs, &cert));
    CHECK(slice_equal(cert, w.leaf.whole));
    CHECK(!ocsp_cert_next(&r.certs, &cert));
    world_end(&w);
}

/* Each of these is a good response but for one thing, which the name tells. */
static bool parses(struct slice bytes)
{
    struct ocsp_response r;
    return ocsp_response_parse(bytes, &r);
}

static bool parses_data(struct slice data)
{
    return parses(maker_basic(data, SEQ(OID("\x2a\x03\x04")), SLICE_LITERAL("signature"), NOTHING));
}

#define TIME      maker_time("20260614000000Z")
#define RESPONDER TLV(DER_CONTEXT_CONSTRUCTED(2), maker_text(DER_OCTET_STRING, "key"))
#define CERT_ID                                                                      \
    SEQ(maker_hash_algorithm(MBEDTLS_MD_SHA1), maker_text(DER_OCTET_STRING, "name"), \
        maker_text(DER_OCTET_STRING, "key"), maker_u8(DER_INTEGER, 5))
#define GOOD         TLV(DER_CONTEXT(0), NOTHING)
#define NULL_ELEMENT TLV(DER_NULL, NOTHING)

static bool parses_single(struct slice single)
{
    return parses_data(SEQ(RESPONDER, TIME, SEQ(single)));
}

static bool parses_status(struct slice status)
{
    return parses_single(SEQ(CERT_ID, status, TIME));
}

static void test_outer_refusals(void)
{
    setup();
    struct slice data = SEQ(RESPONDER, TIME, SEQ(SEQ(CERT_ID, GOOD, TIME)));
    struct slice algorithm = SEQ(OID("\x2a\x03\x04")), bits = maker_bits(SLICE_LITERAL("s"));
    struct slice basic_oid = OID("\x2b\x06\x01\x05\x05\x07\x30\x01\x01");
    struct slice ok = maker_u8(DER_ENUMERATED, 0);
    CHECK(parses(maker_wrap(SEQ(data, algorithm, bits))));
    CHECK(!parses(NOTHING));
    CHECK(!parses(JOIN(maker_wrap(SEQ(data, algorithm, bits)), SLICE_LITERAL("\0"))));
    CHECK(!parses(SEQ(ok)));
    CHECK(!parses(SEQ(maker_u8(DER_INTEGER, 0))));
    for (unsigned status = 1; status < 128; status++) {
        bool exists = status <= 6 && status != 4;
        struct ocsp_response r;
        CHECK_EQ(ocsp_response_parse(maker_error(status), &r), exists);
        CHECK(!exists || (unsigned)r.status == status);
        CHECK(!parses(SEQ(maker_u8(DER_ENUMERATED, status), NULL_ELEMENT)));
    }
    /* responseBytes */
    CHECK(!parses(SEQ(ok, NULL_ELEMENT)));
    CHECK(!parses(SEQ(ok, TLV(DER_CONTEXT_CONSTRUCTED(0), SEQ(basic_oid)))));
    CHECK(!parses(SEQ(ok, TLV(DER_CONTEXT_CONSTRUCTED(0), SEQ(NULL_ELEMENT)))));
    struct slice octets = TLV(DER_OCTET_STRING, SEQ(data, algorithm, bits));
    CHECK(!parses(SEQ(ok, TLV(DER_CONTEXT_CONSTRUCTED(0), SEQ(basic_oid, octets, NULL_ELEMENT)))));
    CHECK(!parses(SEQ(ok, TLV(DER_CONTEXT_CONSTRUCTED(0), SEQ(basic_oid, octets)), NULL_ELEMENT)));
    CHECK(parses(SEQ(ok, TLV(DER_CONTEXT_CONSTRUCTED(0), SEQ(OID("\x2a\x03"), octets)))));
    /* BasicOCSPResponse */
    CHECK(!parses(maker_wrap(NULL_ELEMENT)));
    CHECK(!parses(maker_wrap(JOIN(SEQ(data, algorithm, bits), NULL_ELEMENT))));
    CHECK(!parses(maker_wrap(SEQ(NULL_ELEMENT, algorithm, bits))));
    CHECK(!parses(maker_wrap(SEQ(data, NULL_ELEMENT, bits))));
    CHECK(!parses(maker_wrap(SEQ(data, SEQ(NULL_ELEMENT), bits))));
    CHECK(!parses(maker_wrap(SEQ(data, SEQ(OID("\x2a"), NULL_ELEMENT, NULL_ELEMENT), bits))));
    CHECK(!parses(maker_wrap(SEQ(data, SEQ(OID("\x2a"), SLICE_LITERAL("\x05\x01")), bits))));
    CHECK(!parses(maker_wrap(SEQ(data, algorithm, NULL_ELEMENT))));
    CHECK(!parses(maker_wrap(SEQ(data, algorithm, bits, NULL_ELEMENT))));
    struct slice certs = TLV(DER_CONTEXT_CONSTRUCTED(0), SEQ(w.leaf.whole));
    CHECK(parses(maker_wrap(SEQ(data, algorithm, bits, certs))));
    CHECK(!parses(maker_wrap(SEQ(data, algorithm, bits, certs, NULL_ELEMENT))));
    certs = TLV(DER_CONTEXT_CONSTRUCTED(0), SEQ(w.leaf.whole, NULL_ELEMENT));
    CHECK(!parses(maker_wrap(SEQ(data, algorithm, bits, certs))));
    world_end(&w);
}

static void test_data_refusals(void)
{
    setup();
    struct slice singles = SEQ(SEQ(CERT_ID, GOOD, TIME));
    struct slice v1 = TLV(DER_CONTEXT_CONSTRUCTED(0), maker_u8(DER_INTEGER, 0));
    struct slice extensions = maker_extensions(1, some_extension());
    CHECK(parses_data(SEQ(v1, RESPONDER, TIME, singles, extensions)));
    CHECK(parses_data(SEQ(RESPONDER, TIME, SEQ(NOTHING))));
    CHECK(!parses_data(SEQ(NOTHING)));
    CHECK(
        !parses_data(SEQ(TLV(DER_CONTEXT_CONSTRUCTED(0), NULL_ELEMENT), RESPONDER, TIME, singles)));
    CHECK(!parses_data(SEQ(TLV(DER_CONTEXT_CONSTRUCTED(0), maker_u8(DER_INTEGER, 0), NULL_ELEMENT),
                           RESPONDER, TIME, singles)));
    CHECK(!parses_data(SEQ(SLICE_LITERAL("\xa0\x7f"))));
    /* ResponderID */
    CHECK(!parses_data(SEQ(NULL_ELEMENT, TIME, singles)));
    CHECK(!parses_data(SEQ(TLV(DER_CONTEXT_CONSTRUCTED(2), NULL_ELEMENT), TIME, singles)));
    CHECK(!parses_data(
        SEQ(TLV(DER_CONTEXT_CONSTRUCTED(2), maker_text(DER_OCTET_STRING, "")), TIME, singles)));
    CHECK(parses_data(SEQ(TLV(DER_CONTEXT_CONSTRUCTED(1), SEQ(NOTHING)), TIME, singles)));
    CHECK(!parses_data(SEQ(TLV(DER_CONTEXT_CONSTRUCTED(1), NULL_ELEMENT), TIME, singles)));
    CHECK(!parses_data(
        SEQ(TLV(DER_CONTEXT_CONSTRUCTED(1), SEQ(NOTHING), NULL_ELEMENT), TIME, singles)));
    /* the rest */
    CHECK(!parses_data(SEQ(RESPONDER, NULL_ELEMENT, singles)));
    CHECK(!parses_data(SEQ(RESPONDER, TIME, NULL_ELEMENT)));
    CHECK(!parses_data(SEQ(RESPONDER, TIME, SEQ(NULL_ELEMENT))));
    CHECK(!parses_data(SEQ(RESPONDER, TIME, singles, NULL_ELEMENT)));
    CHECK(!parses_data(SEQ(RESPONDER, TIME, singles, extensions, NULL_ELEMENT)));
    world_end(&w);
}

static void test_extension_refusals(void)
{
    setup();
    struct slice singles = SEQ(SEQ(CERT_ID, GOOD, TIME));
    struct slice oid = OID("\x2a\x03"), value = maker_text(DER_OCTET_STRING, "x");
    static const struct {
        const char *boolean;
        bool ok;
    } criticals[] = {{"\x01\x01\xff", true}, {"\x01\x01\x01", false}};
    for (size_t i = 0; i < 2; i++) {
        struct slice critical = slice_of_string(criticals[i].boolean);
        struct slice run = TLV(DER_CONTEXT_CONSTRUCTED(1), SEQ(SEQ(oid, critical, value)));
        CHECK_EQ(parses_data(SEQ(RESPONDER, TIME, singles, run)), criticals[i].ok);
    }
#define REFUSED(run) \
    CHECK(!parses_data(SEQ(RESPONDER, TIME, singles, TLV(DER_CONTEXT_CONSTRUCTED(1), run))))
    REFUSED(NOTHING);
    REFUSED(SEQ(NOTHING)); /* at least one */
    REFUSED(NULL_ELEMENT);
    REFUSED(SEQ(NULL_ELEMENT));
    REFUSED(SEQ(SEQ(NOTHING)));
    REFUSED(SEQ(SEQ(oid)));
    REFUSED(SEQ(SEQ(value)));
    REFUSED(SEQ(SEQ(oid, NULL_ELEMENT)));
    REFUSED(SEQ(SEQ(oid, value, NULL_ELEMENT)));
    REFUSED(SEQ(SEQ(oid, value), NULL_ELEMENT));
    REFUSED(JOIN(SEQ(SEQ(oid, value)), NULL_ELEMENT));
#undef REFUSED
    world_end(&w);
}

static void test_single_refusals(void)
{
    setup();
    struct slice next = TLV(DER_CONTEXT_CONSTRUCTED(0), TIME);
    struct slice extensions = maker_extensions(1, some_extension());
    struct slice sha1 = maker_hash_algorithm(MBEDTLS_MD_SHA1);
    struct slice octets = maker_text(DER_OCTET_STRING, "h"), serial = maker_u8(DER_INTEGER, 5);
    CHECK(parses_single(SEQ(CERT_ID, GOOD, TIME, next, extensions)));
    CHECK(!parses_single(NULL_ELEMENT));
    CHECK(!parses_single(SEQ(NOTHING)));
    CHECK(!parses_single(SEQ(SEQ(NOTHING), GOOD, TIME)));
    CHECK(!parses_single(SEQ(SEQ(sha1, octets, octets), GOOD, TIME)));
    CHECK(!parses_single(SEQ(SEQ(sha1, octets, serial), GOOD, TIME)));
    CHECK(!parses_single(SEQ(SEQ(sha1, serial), GOOD, TIME)));
    CHECK(!parses_single(SEQ(SEQ(octets, octets, octets, serial), GOOD, TIME)));
    CHECK(!parses_single(SEQ(SEQ(sha1, octets, octets, serial, serial), GOOD, TIME)));
    CHECK(!parses_single(
        SEQ(SEQ(sha1, octets, octets, SLICE_LITERAL("\x02\x02\x00\x05")), GOOD, TIME)));
    CHECK(!parses_single(SEQ(CERT_ID)));
    CHECK(!parses_single(SEQ(CERT_ID, GOOD)));
    CHECK(!parses_single(SEQ(CERT_ID, GOOD, NULL_ELEMENT)));
    CHECK(!parses_single(SEQ(CERT_ID, GOOD, TIME, TIME)));
    CHECK(!parses_single(SEQ(CERT_ID, GOOD, TIME, extensions, next)));
    CHECK(!parses_single(SEQ(CERT_ID, GOOD, TIME, next, next)));
    CHECK(!parses_single(SEQ(CERT_ID, GOOD, TIME, TLV(DER_CONTEXT_CONSTRUCTED(0), NULL_ELEMENT))));
    CHECK(!parses_single(SEQ(CERT_ID, GOOD, TIME, TLV(DER_CONTEXT_CONSTRUCTED(0), TIME, TIME))));
    CHECK(!parses_single(SEQ(CERT_ID, GOOD, TIME, TLV(DER_CONTEXT_CONSTRUCTED(1), NULL_ELEMENT))));
    world_end(&w);
}

static void test_status_refusals(void)
{
    setup();
    struct slice x = SLICE_LITERAL("x");
    CHECK(parses_status(TLV(DER_CONTEXT(2), NOTHING)));
    CHECK(parses_status(TLV(DER_CONTEXT_CONSTRUCTED(1), TIME)));
    CHECK(!parses_status(TLV(DER_CONTEXT(0), x)));
    CHECK(!parses_status(TLV(DER_CONTEXT(2), x)));
    CHECK(!parses_status(TLV(DER_CONTEXT(1), TIME)));
    CHECK(!parses_status(TLV(DER_CONTEXT(3), NOTHING)));
    CHECK(!parses_status(TLV(DER_CONTEXT_CONSTRUCTED(0), NOTHING)));
    CHECK(!parses_status(TLV(DER_CONTEXT_CONSTRUCTED(0), NULL_ELEMENT)));
    CHECK(!parses_status(TLV(DER_CONTEXT_CONSTRUCTED(1), NOTHING)));
    CHECK(!parses_status(TLV(DER_CONTEXT_CONSTRUCTED(1), TIME, NULL_ELEMENT)));
    for (unsigned reason = 0; reason < 14; reason++) {
        struct slice tagged = TLV(DER_CONTEXT_CONSTRUCTED(0), maker_u8(DER_ENUMERATED, reason));
        CHECK_EQ(parses_status(TLV(DER_CONTEXT_CONSTRUCTED(1), TIME, tagged)),
                 reason <= 10 && reason != 7);
        CHECK(!parses_status(TLV(DER_CONTEXT_CONSTRUCTED(1), TIME, tagged, NULL_ELEMENT)));
    }
    struct slice one = maker_u8(DER_ENUMERATED, 1);
    CHECK(!parses_status(
        TLV(DER_CONTEXT_CONSTRUCTED(1), TIME, TLV(DER_CONTEXT_CONSTRUCTED(0), one, one))));
    CHECK(!parses_status(
        TLV(DER_CONTEXT_CONSTRUCTED(1), TIME, TLV(DER_CONTEXT_CONSTRUCTED(0), NULL_ELEMENT))));
    world_end(&w);
}

static void test_another_version(void)
{
    struct ocsp_response r;
    setup();
    struct slice v2 = TLV(DER_CONTEXT_CONSTRUCTED(0), maker_u8(DER_INTEGER, 1));
    struct slice bytes = maker_basic(SEQ(v2, SLICE_LITERAL("whatever")), SEQ(OID("\x2a")),
                                     SLICE_LITERAL("s"), NOTHING);
    CHECK(ocsp_response_parse(bytes, &r));
    CHECK_EQ(r.version, 1);
    CHECK(slice_is_empty(r.singles));
    world_end(&w);
}

/* Of its certificates those that are asked for, each once; all else stays. */
static void test_trim(void)
{
    static const uint8_t try_later[] = {0x30, 0x03, 0x0a, 0x01, 0x03};
    struct ocsp_response whole, trimmed;
    struct slice cert;
    setup();
    struct maker_cert d = world_delegate(&w);
    struct maker_response m = world_delegated(&w, &d);
    m.certs = JOIN(JOIN(m.certs, w.leaf.whole), w.leaf.whole);
    const struct {
        size_t signer;
        struct slice issuer;
        size_t num;
    } rows[] = {
        {0, NOTHING, 0}, {1, NOTHING, 1},      {3, NOTHING, 1},      {4, NOTHING, 0},
        {2, NOTHING, 1}, {0, w.leaf.whole, 1}, {1, w.leaf.whole, 2},
    };
    struct slice proof = maker_proof(&m);
    CHECK(ocsp_response_parse(proof, &whole));
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint8_t *copy = malloc(proof.len);
        size_t num = 0;
        memcpy(copy, proof.ptr, proof.len);
        struct slice out =
            ocsp_response_trim(slice_make(copy, proof.len), rows[i].signer, rows[i].issuer);
        CHECK(ocsp_response_parse(out, &trimmed));
        CHECK(slice_equal(trimmed.sealed.bytes, whole.sealed.bytes));
        CHECK(slice_equal(trimmed.sealed.signature, whole.sealed.signature));
        while (ocsp_cert_next(&trimmed.certs, &cert)) {
            num++;
        }
        CHECK_EQ(num, rows[i].num);
        free(copy);
    }
    struct slice others[] = {slice_make(try_later, sizeof try_later), SLICE_LITERAL("x")};
    for (size_t i = 0; i < 2; i++) {
        CHECK(slice_equal(ocsp_response_trim(others[i], 0, NOTHING), others[i]));
    }
    world_end(&w);
}

static const struct test_case cases[] = {
    {"whole_grammar", test_whole_grammar},     {"outer_refusals", test_outer_refusals},
    {"data_refusals", test_data_refusals},     {"extension_refusals", test_extension_refusals},
    {"single_refusals", test_single_refusals}, {"status_refusals", test_status_refusals},
    {"another_version", test_another_version}, {"trim", test_trim},
};

TEST_MAIN(cases)

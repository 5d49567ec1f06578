/* Certificates: what is read of one, and that anything else is refused. */
#include "x509.h"

#include "ocsp_check_signature.h"
#include "proof_scenarios.h"

#include <mbedtls/oid.h>

static struct world w;

static void setup(void)
{
    mbedtls_platform_set_calloc_free(calloc, free);
    maker_reset();
    world_keys(&w, MBEDTLS_ECP_DP_SECP256R1);
    world_begin(&w);
}

static void test_fields(void)
{
    setup();
    struct maker_cert d = world_delegate(&w);
    struct x509_cert cert;
    struct slice der = maker_certificate(&d);
    CHECK(x509_parse_cert(der, &cert));
    CHECK(slice_equal(cert.whole, der));
    CHECK(slice_equal(cert.subject, maker_name("Responder")));
    CHECK(slice_equal(cert.issuer, maker_name("Issuer")));
    CHECK_TEXT(cert.serial, "\x42");
    CHECK(slice_equal(cert.public_key_info, maker_public(&w.delegate_key)));
    CHECK(slice_equal(cert.key_bits, maker_key_bits(maker_public(&w.delegate_key))));
    CHECK_EQ(cert.not_before_s, SCENARIO_NOW - 14 * 86400);
    CHECK_EQ(cert.not_after_s, SCENARIO_NOW + 16 * 86400);
    CHECK(x509_find_extension(&cert, SLICE_LITERAL("\x55\x1d\x0f")).len != 0);
    CHECK(x509_find_extension(&cert, SLICE_LITERAL("\x55\x1d\x10")).ptr == NULL);
    world_end(&w);
}

static void test_truncations(void)
{
    struct x509_cert cert;
    setup();
    struct slice der = w.leaf.whole;
    for (size_t len = 0; len < der.len; len++) {
        uint8_t *cut = malloc(len + 1);
        memcpy(cut, der.ptr, len);
        CHECK(!x509_parse_cert(slice_make(cut, len), &cert));
        free(cut);
    }
    CHECK(!x509_parse_cert(JOIN(der, SLICE_LITERAL("\0")), &cert));
    world_end(&w);
}

static struct slice name_of(unsigned kind, const char *text)
{
    return SEQ(TLV(0x31, SEQ(OID(MBEDTLS_OID_AT_ORGANIZATION), maker_text(kind, "Example"))),
               TLV(0x31, SEQ(OID(MBEDTLS_OID_AT_CN), maker_text(kind, text))));
}

static void test_same_name(void)
{
    maker_reset();
    struct slice name = name_of(0x0c, "Issuer");
    CHECK(x509_is_same_name(name, name_of(0x0c, "Issuer")));
    CHECK(x509_is_same_name(name, name_of(0x13, "Issuer")));
    CHECK(x509_is_same_name(name_of(0x13, "Issuer"), name));
    CHECK(x509_is_same_name(SEQ(NOTHING), SEQ(NOTHING)));
    CHECK(!x509_is_same_name(name, name_of(0x13, "Issuex")));
    CHECK(!x509_is_same_name(name, name_of(0x13, "issuer")));
    CHECK(!x509_is_same_name(name, name_of(0x13, "Issuer ")));
    CHECK(!x509_is_same_name(name, name_of(0x14, "Issuer"))); /* TeletexString */
    CHECK(!x509_is_same_name(name, SEQ(NOTHING)));
    CHECK(!x509_is_same_name(SEQ(NOTHING), name));
    CHECK(!x509_is_same_name(maker_name("a"), JOIN(maker_name("=a"), SLICE_LITERAL("\x05"))));
    /* As long, and nested otherwise. */
    struct slice text = maker_text(0x0c, "aaaaaa"), as_long = maker_text(0x13, "aaaaaa");
    CHECK(!x509_is_same_name(SEQ(SEQ(text), text), SEQ(SEQ(as_long, text))));
    for (size_t len = 0; len < name.len; len++) {
        struct slice cut = maker_copy(slice_make(name.ptr, len));
        CHECK(!x509_is_same_name(name, cut));
        CHECK(!x509_is_same_name(cut, name_of(0x13, "Issuer")));
    }
}

/* The parts of a certificate, one of which is spoilt at a time. */
enum { VERSION, SERIAL, ALGORITHM, ISSUER, VALIDITY, SUBJECT, KEY, IDS, EXTENSIONS, NUM_PARTS_ };

static bool parses(const struct slice *parts, struct slice outer_algorithm)
{
    struct x509_cert cert;
    struct slice tbs = maker_tlv(DER_SEQUENCE, parts, NUM_PARTS_);
    return x509_parse_cert(SEQ(tbs, outer_algorithm, maker_bits(SLICE_LITERAL("s"))), &cert);
}

static void test_parts(void)
{
    setup();
    struct slice null = TLV(DER_NULL, NOTHING), algorithm = SEQ(OID("\x2a\x03"));
    struct slice utc = maker_text(DER_UTC_TIME, "260101000000Z");
    struct slice v3 = TLV(DER_CONTEXT_CONSTRUCTED(0), maker_u8(DER_INTEGER, 2));
    struct slice extension = maker_extension(OID("\x2a\x03\x04"), false, SLICE_LITERAL("x"));
    const struct slice good[NUM_PARTS_] = {v3,
                                           maker_u8(DER_INTEGER, 1),
                                           algorithm,
                                           maker_name("a"),
                                           SEQ(utc, maker_time("20270101000000Z")),
                                           maker_name("b"),
                                           maker_public(&w.leaf_key),
                                           NOTHING,
                                           NOTHING};
    const struct {
        int part;
        bool ok;
        struct slice bytes;
    } rows[] = {
        {VERSION, true, NOTHING},
        {VERSION, false, TLV(DER_CONTEXT_CONSTRUCTED(0), null)},
        {SERIAL, false, NOTHING},
        {SERIAL, false, SLICE_LITERAL("\x02\x02\x00\x01")},
        {ALGORITHM, false, null},
        {ALGORITHM, false, SEQ(OID("\x2a\x04"))},       /* not what is outside */
        {ALGORITHM, false, SEQ(OID("\x2a\x03"), null)}, /* likewise */
        {ISSUER, false, null},
        {VALIDITY, false, null},
        {VALIDITY, false, SEQ(utc)},
        {VALIDITY, false, SEQ(null, utc)},
        {VALIDITY, false, SEQ(utc, utc, utc)},
        {SUBJECT, false, null},
        {KEY, false, null},
        {KEY, false, SEQ(null)},
        {KEY, false, SEQ(algorithm, null)},
        {KEY, false, SEQ(algorithm, maker_bits(SLICE_LITERAL("k")), null)},
        {IDS, true, JOIN(TLV(DER_CONTEXT(1), SLICE_LITERAL("\0")), TLV(DER_CONTEXT(2), NOTHING))},
        {IDS, false, TLV(DER_CONTEXT(0), NOTHING)},
        {EXTENSIONS, true, TLV(DER_CONTEXT_CONSTRUCTED(3), SEQ(extension))},
        {EXTENSIONS, false, TLV(DER_CONTEXT_CONSTRUCTED(3), SEQ(NOTHING))},
        {EXTENSIONS, false, null},
    };
    CHECK(parses(good, algorithm));
    CHECK(!parses(good, null));
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct slice parts[NUM_PARTS_];
        memcpy(parts, good, sizeof parts);
        parts[rows[i].part] = rows[i].bytes;
        if (parses(parts, algorithm) != rows[i].ok) {
            fprintf(stderr, "row %zu\n", i);
            CHECK(false);
        }
    }
    world_end(&w);
}

/* RFC 7633: which TLS extensions the certificate demands. */
static void test_features(void)
{
    struct slice oid = OID("\x2b\x06\x01\x05\x05\x07\x01\x18");
    const struct {
        struct slice value;
        bool want;
    } rows[] = {
        {SEQ(maker_u8(DER_INTEGER, 5)), true},
        {SEQ(maker_u8(DER_INTEGER, 17)), false},
        {SEQ(maker_u8(DER_INTEGER, 17), maker_u8(DER_INTEGER, 5)), true},
        {SEQ(NOTHING), false},
        {maker_u8(DER_INTEGER, 5), false},
        {SLICE_LITERAL("\x30"), false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct x509_cert cert = {.extensions = maker_extension(oid, false, rows[i].value)};
        CHECK_EQ(x509_has_tls_feature(&cert, 5), rows[i].want);
    }
    struct x509_cert none = {.extensions = NOTHING};
    CHECK(!x509_has_tls_feature(&none, 5));
}

static struct slice rsa_info(struct slice exponent)
{
    struct slice algorithm = SEQ(OID(MBEDTLS_OID_PKCS1_RSA), TLV(DER_NULL, NOTHING));
    uint8_t modulus[257] = {0};
    memset(modulus + 1, 0xff, sizeof modulus - 1);
    return SEQ(algorithm,
               maker_bits(SEQ(maker_bytes(DER_INTEGER, modulus, sizeof modulus), exponent)));
}

/* The longest that is taken has 64 bits; such a key signs nothing that is believed. */
static void test_exponents(void)
{
    static const uint8_t ones[256] = {0, 255, 255, 255, 255, 255, 255, 255, 255, 127};
    struct x509_cert signer = {.public_key_info = NOTHING};
    const struct x509_signed sealed = {SLICE_LITERAL("x"),
                                       {SLICE_LITERAL(MBEDTLS_OID_PKCS1_SHA256), NOTHING},
                                       slice_make(ones, 256)};
    const char *hash;
    setup();
    CHECK(x509_has_short_exponent(rsa_info(maker_u8(DER_INTEGER, 3))));
    CHECK(x509_has_short_exponent(rsa_info(maker_bytes(DER_INTEGER, ones, 9))));
    CHECK(!x509_has_short_exponent(rsa_info(maker_bytes(DER_INTEGER, ones, 10))));
    CHECK(!x509_has_short_exponent(rsa_info(NOTHING)));
    CHECK(!x509_has_short_exponent(NOTHING));
    signer.public_key_info = rsa_info(maker_bytes(DER_INTEGER, ones, 9));
    CHECK_EQ(ocsp_signature_check(&sealed, &signer, false, &hash), OCSP_BAD_SIGNATURE);
    signer.public_key_info = rsa_info(maker_bytes(DER_INTEGER, ones, 10));
    CHECK_EQ(ocsp_signature_check(&sealed, &signer, false, &hash), OCSP_SIGNATURE_UNSUPPORTED);
    world_end(&w);
}

#define DNS(text)      SEQ(TLV(DER_CONTEXT(2), SLICE_LITERAL(text)))
#define ADDRESS        SEQ(TLV(DER_CONTEXT(7), SLICE_LITERAL("\x0a\0\0\0\xff\0\0\0")))
#define PERMITTED(run) TLV(DER_CONTEXT_CONSTRUCTED(0), run)
#define EXCLUDED(run)  TLV(DER_CONTEXT_CONSTRUCTED(1), run)

/* RFC 5280 4.2.1.10 */
static void test_constraints(void)
{
    maker_reset();
    const struct {
        struct slice value;
        const char *host;
        bool want;
    } rows[] = {
        {SEQ(PERMITTED(DNS("host.example"))), "host.example", true},
        {SEQ(PERMITTED(DNS("host.example"))), "A.HOST.example", true},
        {SEQ(PERMITTED(DNS("host.example"))), "ahost.example", false},
        {SEQ(PERMITTED(DNS("host.example"))), "example", false},
        {SEQ(PERMITTED(DNS("host.example"))), "", false},
        {SEQ(PERMITTED(DNS(".example"))), "a.example", true},
        {SEQ(PERMITTED(DNS(".example"))), "example", false},
        {SEQ(PERMITTED(DNS(""))), "a.example", true},
        {SEQ(PERMITTED(JOIN(DNS("b.example"), DNS("a.example")))), "a.example", true},
        {SEQ(PERMITTED(JOIN(DNS("b.example"), ADDRESS))), "a.example", false},
        {SEQ(PERMITTED(ADDRESS)), "a.example", true},
        {SEQ(EXCLUDED(ADDRESS)), "a.example", true},
        {SEQ(EXCLUDED(DNS("example"))), "a.example", false},
        {SEQ(EXCLUDED(DNS("example"))), "a.test", true},
        {SEQ(EXCLUDED(DNS(""))), "a.test", false},
        {SEQ(PERMITTED(DNS("example")), EXCLUDED(DNS("a.example"))), "a.example", false},
        {SEQ(PERMITTED(DNS("example")), EXCLUDED(DNS("a.example"))), "b.example", true},
        {SEQ(EXCLUDED(DNS("b.test")), PERMITTED(DNS("a.test"))), "a.test", false},
        {SEQ(PERMITTED(SLICE_LITERAL("\x30\0"))), "a.test", false},
        {SEQ(EXCLUDED(SLICE_LITERAL("\x31\0"))), "a.test", false},
        {JOIN(SEQ(PERMITTED(DNS("a.test"))), SLICE_LITERAL("\0")), "a.test", false},
        {SLICE_LITERAL("\x30"), "a.test", false},
        {NOTHING, "a.test", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct x509_cert cert = {.extensions =
                                     maker_extension(OID("\x55\x1d\x1e"), false, rows[i].value)};
        CHECK_EQ(x509_may_vouch_for(&cert, slice_of_string(rows[i].host)), rows[i].want);
    }
    struct x509_cert none = {.extensions = NOTHING};
    CHECK(x509_may_vouch_for(&none, SLICE_LITERAL("a.test")));
}

static const struct test_case cases[] = {
    {"fields", test_fields},           {"truncations", test_truncations},
    {"same_name", test_same_name},     {"parts", test_parts},
    {"features", test_features},       {"exponents", test_exponents},
    {"constraints", test_constraints},
};

TEST_MAIN(cases)

/* The question to a responder, byte for byte; and what a certificate is called in it. */
#include "ocsp_certid.h"

#include "proof_maker.h"

#define HEAD "\x30\x42\x30\x40\x30\x3e\x30\x3c\x30\x3a\x30\x09\x06\x05\x2b\x0e\x03\x02\x1a\x05\x00"
#define A20  "aaaaaaaaaaaaaaaaaaaa"
#define B20  "bbbbbbbbbbbbbbbbbbbb"
#define N32  "0123456789abcdef0123456789ABCDEF"

static struct ocsp_certid make_id(const char *serial, size_t serial_len)
{
    struct ocsp_certid id = {.serial_len = serial_len};
    memset(id.name_hash, 'a', sizeof id.name_hash);
    memset(id.key_hash, 'b', sizeof id.key_hash);
    memcpy(id.serial, serial, serial_len);
    return id;
}

static void test_bytes(void)
{
    uint8_t memory[OCSP_REQUEST_CAP];
    struct ocsp_certid id = make_id("\x05", 1);
    struct slice out, none = slice_make(NULL, 0);
    CHECK(ocsp_request_write(memory, sizeof memory, &id, none, &out));
    CHECK(slice_equal(out, SLICE_LITERAL(HEAD "\x04\x14" A20 "\x04\x14" B20 "\x02\x01\x05")));
    CHECK(ocsp_request_write(memory, sizeof memory, &id, SLICE_LITERAL(N32), &out));
    CHECK(slice_equal(
        out, SLICE_LITERAL("\x30\x77\x30\x75\x30\x3e\x30\x3c\x30\x3a\x30\x09\x06\x05\x2b\x0e\x03"
                           "\x02\x1a\x05\x00\x04\x14" A20 "\x04\x14" B20 "\x02\x01\x05"
                           "\xa2\x33\x30\x31\x30\x2f\x06\x09\x2b\x06\x01\x05\x05\x07\x30\x01\x02"
                           "\x04\x22\x04\x20" N32)));
    id = make_id("\x00\xff", 2);
    CHECK(ocsp_request_write(memory, sizeof memory, &id, none, &out));
    CHECK(slice_equal(out, SLICE_LITERAL("\x30\x43\x30\x41\x30\x3f\x30\x3d\x30\x3b\x30\x09\x06\x05"
                                         "\x2b\x0e\x03\x02\x1a\x05\x00"
                                         "\x04\x14" A20 "\x04\x14" B20 "\x02\x02\x00\xff")));
}

static void test_bounds(void)
{
    static const char long_serial[OCSP_SERIAL_MAX + 1] = "1";
    uint8_t memory[OCSP_REQUEST_CAP];
    struct ocsp_certid id = make_id(long_serial, OCSP_SERIAL_MAX);
    struct slice out, nonce = SLICE_LITERAL(N32);
    CHECK(ocsp_request_write(memory, sizeof memory, &id, nonce, &out));
    size_t whole_len = out.len;
    CHECK(out.ptr + out.len == memory + sizeof memory);
    for (size_t cap = 0; cap < whole_len; cap++) {
        uint8_t *exact = malloc(cap + 1);
        CHECK(!ocsp_request_write(exact, cap, &id, nonce, &out));
        free(exact);
    }
    CHECK(ocsp_request_write(memory, whole_len, &id, nonce, &out));
    id.serial_len = 0;
    CHECK(!ocsp_request_write(memory, sizeof memory, &id, nonce, &out));
    id.serial_len = OCSP_SERIAL_MAX + 1;
    CHECK(!ocsp_request_write(memory, sizeof memory, &id, nonce, &out));
}

static void check_path(const char *path, const char *request, size_t len, const char *want)
{
    uint8_t memory[64];
    struct buf b = buf_make(memory, sizeof memory);
    CHECK(ocsp_request_put_path(&b, slice_of_string(path), slice_make(request, len)));
    CHECK_TEXT(buf_slice(&b), want);
    for (size_t cap = 0; cap < strlen(want); cap++) {
        b = buf_make(memory, cap);
        CHECK(!ocsp_request_put_path(&b, slice_of_string(path), slice_make(request, len)));
        CHECK(b.len == 0 && b.overflow);
    }
}

/* RFC 4648 10, and the two digits that a path may not hold. */
static void test_path(void)
{
    check_path("/", "", 0, "/");
    check_path("", "f", 1, "/Zg%3D%3D");
    check_path("/ocsp", "fo", 2, "/ocsp/Zm8%3D");
    check_path("/ocsp/", "foo", 3, "/ocsp/Zm9v");
    check_path("/", "foob", 4, "/Zm9vYg%3D%3D");
    check_path("/", "\xfb\xff\xbf", 3, "/%2B%2F%2B%2F");
    check_path("/", "\x00\x10\x83\x10\x51\x87", 6, "/ABCDEFGH");
}

static struct slice nonce_extension(struct slice value)
{
    return maker_extension(OID("\x2b\x06\x01\x05\x05\x07\x30\x01\x02"), false, value);
}

static void test_nonce(void)
{
    maker_reset();
    struct slice nonce = SLICE_LITERAL("nonce");
    struct slice same = nonce_extension(maker_text(DER_OCTET_STRING, "nonce"));
    struct slice other = nonce_extension(maker_text(DER_OCTET_STRING, "nonc"));
    struct slice bare = nonce_extension(nonce);
    struct slice tail =
        nonce_extension(JOIN(maker_text(DER_OCTET_STRING, "nonce"), maker_u8(DER_INTEGER, 1)));
    struct slice foreign = maker_extension(OID("\x2a\x03"), false, nonce);
    CHECK_EQ(ocsp_request_find_nonce(NOTHING, nonce), OCSP_NONCE_ABSENT);
    CHECK_EQ(ocsp_request_find_nonce(foreign, nonce), OCSP_NONCE_ABSENT);
    CHECK_EQ(ocsp_request_find_nonce(same, nonce), OCSP_NONCE_SAME);
    CHECK_EQ(ocsp_request_find_nonce(JOIN(foreign, same), nonce), OCSP_NONCE_SAME);
    CHECK_EQ(ocsp_request_find_nonce(JOIN(other, same), nonce), OCSP_NONCE_OTHER);
    CHECK_EQ(ocsp_request_find_nonce(bare, nonce), OCSP_NONCE_OTHER);
    CHECK_EQ(ocsp_request_find_nonce(tail, nonce), OCSP_NONCE_OTHER);
}

static void test_certid(void)
{
    maker_reset();
    struct slice name = maker_name("Issuer"), key_bits = SLICE_LITERAL("key");
    struct x509_cert issuer = {.subject = maker_name("=Issuer"), .key_bits = key_bits};
    struct x509_cert cert = {.issuer = name, .serial = SLICE_LITERAL("\x05\x06")};
    struct ocsp_certid id;
    CHECK(ocsp_certid_make(&id, &issuer, &cert));
    CHECK(slice_equal(slice_make(id.name_hash, 20), maker_hash(MBEDTLS_MD_SHA1, name)));
    CHECK(slice_equal(slice_make(id.key_hash, 20), maker_hash(MBEDTLS_MD_SHA1, key_bits)));
    CHECK(slice_equal(slice_make(id.serial, id.serial_len), cert.serial));
    cert.serial = NOTHING;
    CHECK(!ocsp_certid_make(&id, &issuer, &cert));
    static const uint8_t long_serial[OCSP_SERIAL_MAX + 1];
    cert.serial = slice_make(long_serial, 64);
    CHECK(ocsp_certid_make(&id, &issuer, &cert));
    cert.serial = slice_make(long_serial, 65);
    CHECK(!ocsp_certid_make(&id, &issuer, &cert));
}

#define AD_OCSP    OID("\x2b\x06\x01\x05\x05\x07\x30\x01")
#define AD_ISSUERS OID("\x2b\x06\x01\x05\x05\x07\x30\x02")

static bool find_url(struct slice value, struct slice *out)
{
    struct x509_cert cert = {
        .extensions = JOIN(maker_extension(OID("\x2a\x03"), false, NOTHING),
                           maker_extension(OID("\x2b\x06\x01\x05\x05\x07\x01\x01"), false, value))};
    *out = NOTHING;
    return ocsp_certid_find_url(&cert, 0, out) != 0;
}

static void test_url(void)
{
    maker_reset();
    struct slice out;
    struct slice issuers = SEQ(AD_ISSUERS, maker_text(0x86, "http://ca.example/ca.crt"));
    struct slice ldap = SEQ(AD_OCSP, maker_text(0x86, "ldap://ca.example"));
    struct slice by_name = SEQ(AD_OCSP, maker_text(0x82, "http://"));
    struct slice first = SEQ(AD_OCSP, maker_text(0x86, "HTTP://ocsp.example/"));
    struct slice second = SEQ(AD_OCSP, maker_text(0x86, "https://other.example"));
    CHECK(find_url(SEQ(issuers, ldap, by_name, first, second), &out));
    CHECK_TEXT(out, "HTTP://ocsp.example/");
    CHECK(find_url(SEQ(second, ldap, first), &out)); /* the one that can be asked */
    CHECK_TEXT(out, "HTTP://ocsp.example/");
    CHECK(find_url(SEQ(SEQ(AD_OCSP, maker_text(0x86, "http://x:0")), ldap, second), &out));
    CHECK_TEXT(out, "https://other.example");
    CHECK(find_url(SEQ(second), &out));
    CHECK_TEXT(out, "https://other.example");
    CHECK(!find_url(SEQ(issuers, ldap, by_name), &out));
    CHECK(!find_url(JOIN(SEQ(first), first), &out));
    CHECK(!find_url(SEQ(SEQ(AD_OCSP, maker_text(0x86, "http://a"), first)), &out));
    CHECK(!find_url(SEQ(SEQ(maker_text(0x86, "http://a"))), &out));
    CHECK(!find_url(NOTHING, &out));
    CHECK_EQ(ocsp_certid_find_url(&(struct x509_cert){.extensions = NOTHING}, 0, &out), 0);
    /* Cut or changed anywhere, it is refused or names something within its bytes. */
    struct slice whole = SEQ(issuers, first);
    for (size_t len = 0; len < whole.len; len++) {
        CHECK(!find_url(slice_make(whole.ptr, len), &out));
    }
    for (size_t i = 0; i < whole.len * 256; i++) {
        uint8_t *changed = malloc(whole.len);
        memcpy(changed, whole.ptr, whole.len);
        changed[i / 256] ^= (uint8_t)i;
        size_t mark = maker_used;
        CHECK(!find_url(slice_make(changed, whole.len), &out) || out.len <= whole.len);
        maker_used = mark;
        free(changed);
    }
}

static const struct test_case cases[] = {
    {"bytes", test_bytes}, {"bounds", test_bounds}, {"path", test_path},
    {"nonce", test_nonce}, {"certid", test_certid}, {"url", test_url},
};

TEST_MAIN(cases)

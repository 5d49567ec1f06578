/* Judges every class of proof with RSA keys, PKCS#1 and PSS:  scenarios_test DIR
 *
 * DIR holds issuer.key, leaf.key, delegate.key and other.key (PEM). The proofs and the two
 * certificates are left there, as NAME.der, for other programs to look at. Elliptic curves are
 * judged by tests/unit/ocsp_check_test.c, with the same scenarios. */
#include "pem.h"
#include "proof_scenarios.h"

static struct world w;
static const char *dir;
static int num_passed, num_failed;

static void load_key(const char *name, struct maker_key *out)
{
    static unsigned char text[16384];
    char path[512];
    snprintf(path, sizeof path, "%s/%s.key", dir, name);
    FILE *file = fopen(path, "rb");
    maker_must(file == NULL ? -1 : 0, path);
    struct slice rest = slice_make(text, fread(text, 1, sizeof text, file));
    fclose(file);
    struct buf der = buf_make(text, sizeof text);
    maker_must(pem_next(&rest, SLICE_LITERAL("PRIVATE KEY"), &der) == ERR_OK ? 0 : -1, path);
    mbedtls_pk_init(&out->pk);
    maker_must(mbedtls_pk_parse_key(&out->pk, text, der.len, NULL, 0, maker_random, NULL), path);
}

static void save(const char *name, struct slice bytes)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s.der", dir, name);
    FILE *file = fopen(path, "wb");
    maker_must(file == NULL || fwrite(bytes.ptr, 1, bytes.len, file) != bytes.len ? -1 : 0, path);
    fclose(file);
}

static void run(const char *label, mbedtls_md_type_t md, bool pss, bool is_saved)
{
    struct maker_key *const keys[] = {&w.issuer_key, &w.leaf_key, &w.delegate_key, &w.other_key};
    static const char *const names[] = {"issuer", "leaf", "delegate", "other"};
    maker_reset();
    for (size_t i = 0; i < 4; i++) {
        load_key(names[i], keys[i]);
        keys[i]->md = md;
        keys[i]->pss = pss;
    }
    world_begin(&w);
    if (is_saved) {
        save("issuer", w.issuer.whole);
        save("leaf", w.leaf.whole);
    }
    for (size_t i = 0; i < NUM_SCENARIOS; i++) {
        struct ocsp_verdict v;
        struct slice proof;
        enum ocsp_reason got = scenario_judge(&scenarios[i], &w, &v, &proof);
        num_passed += got == scenarios[i].want;
        num_failed += got != scenarios[i].want;
        if (got != scenarios[i].want) {
            printf("FAILED: %s, %s: %s, not %s\n", label, scenarios[i].name, ocsp_reason_name(got),
                   ocsp_reason_name(scenarios[i].want));
        }
        if (is_saved) {
            save(scenarios[i].name, proof);
        }
    }
    world_end(&w);
}

/* One signature by RSASSA-PSS, its salt as long as its hash, and what is said of it. */
static void expect_pss(const char *name, mbedtls_md_type_t md, struct slice params,
                       enum ocsp_reason want)
{
    struct maker_response r = world_good(&w);
    struct ocsp_question q = world_question(&w);
    struct ocsp_verdict v;
    struct slice data = maker_data(&r);
    w.issuer_key.md = md;
    q.options.allow_sha1 = md == MBEDTLS_MD_SHA1;
    ocsp_check(&q,
               maker_basic(data, SEQ(OID(MBEDTLS_OID_RSASSA_PSS), params),
                           maker_sign(&w.issuer_key, data), NOTHING),
               &v);
    num_passed += v.reason == want;
    num_failed += v.reason != want;
    if (v.reason != want) {
        printf("FAILED: pss parameters, %s: %s\n", name, ocsp_reason_name(v.reason));
    }
}

/* Parameters of RSASSA-PSS: two hashes in one signature, defaults, and what they may not say. */
static void run_pss_parameters(void)
{
    maker_reset();
    load_key("issuer", &w.issuer_key);
    load_key("leaf", &w.leaf_key);
    load_key("delegate", &w.delegate_key);
    load_key("other", &w.other_key);
    w.issuer_key.pss = true;
    world_begin(&w);
#define HASH(...)   TLV(DER_CONTEXT_CONSTRUCTED(0), __VA_ARGS__)
#define MASK(...)   TLV(DER_CONTEXT_CONSTRUCTED(1), SEQ(__VA_ARGS__))
#define SALT(n)     TLV(DER_CONTEXT_CONSTRUCTED(2), n)
#define TRAILER(n)  TLV(DER_CONTEXT_CONSTRUCTED(3), n)
#define NUMBER(hex) TLV(DER_INTEGER, SLICE_LITERAL(hex))
    struct slice null = TLV(DER_NULL, NOTHING), mgf1 = OID(MBEDTLS_OID_MGF1);
    struct slice sha256 = maker_hash_algorithm(MBEDTLS_MD_SHA256);
    struct slice sha1 = maker_hash_algorithm(MBEDTLS_MD_SHA1);
    struct slice sha384 = maker_hash_algorithm(MBEDTLS_MD_SHA384);
    struct slice hash = HASH(sha256), mask = MASK(mgf1, sha256), salt = SALT(NUMBER("\x20"));
    struct slice sha256_oid = OID(MBEDTLS_OID_DIGEST_ALG_SHA256);
    struct slice one = NUMBER("\1");
    const struct {
        const char *name;
        struct slice params;
        enum ocsp_reason want;
    } rows[] = {
        {"in full", SEQ(hash, mask, salt, TRAILER(one)), OCSP_GOOD},
        {"sha1 mask", SEQ(hash, MASK(mgf1, sha1), salt), OCSP_SIGNATURE_UNSUPPORTED},
        {"sha384 mask", SEQ(hash, MASK(mgf1, sha384), salt), OCSP_SIGNATURE_UNSUPPORTED},
        {"defaults", SEQ(NOTHING), OCSP_SIGNATURE_SHA1},
        {"none", NOTHING, OCSP_SIGNATURE_UNSUPPORTED},
        {"no sequence", null, OCSP_SIGNATURE_UNSUPPORTED},
        {"order", SEQ(mask, hash, salt), OCSP_SIGNATURE_UNSUPPORTED},
        {"behind", SEQ(hash, mask, salt, TRAILER(one), null), OCSP_SIGNATURE_UNSUPPORTED},
        {"no hash", SEQ(HASH(null), mask, salt), OCSP_SIGNATURE_UNSUPPORTED},
        {"behind hash", SEQ(HASH(sha256, null), mask, salt), OCSP_SIGNATURE_UNSUPPORTED},
        {"nameless hash", SEQ(HASH(SEQ(null)), mask, salt), OCSP_SIGNATURE_UNSUPPORTED},
        {"hash of a number", SEQ(HASH(SEQ(sha256_oid, one)), mask, salt),
         OCSP_SIGNATURE_UNSUPPORTED},
        {"behind null", SEQ(HASH(SEQ(sha256_oid, null, null)), mask, salt),
         OCSP_SIGNATURE_UNSUPPORTED},
        {"without null", SEQ(HASH(SEQ(sha256_oid)), mask, salt), OCSP_GOOD},
        {"other mask", SEQ(hash, MASK(OID("\x2a\x03"), sha256), salt), OCSP_SIGNATURE_UNSUPPORTED},
        {"mask of nothing", SEQ(hash, MASK(mgf1), salt), OCSP_SIGNATURE_UNSUPPORTED},
        {"wrong salt", SEQ(hash, mask, SALT(NUMBER("\x1f"))), OCSP_BAD_SIGNATURE},
        {"long salt", SEQ(hash, mask, SALT(NUMBER("\2\0"))), OCSP_BAD_SIGNATURE},
        {"too long", SEQ(hash, mask, SALT(NUMBER("\2\1"))), OCSP_SIGNATURE_UNSUPPORTED},
        {"behind salt", SEQ(hash, mask, SALT(JOIN(NUMBER("\x20"), null))),
         OCSP_SIGNATURE_UNSUPPORTED},
        {"trailer 0", SEQ(hash, mask, salt, TRAILER(NUMBER("\0"))), OCSP_SIGNATURE_UNSUPPORTED},
        {"trailer 2", SEQ(hash, mask, salt, TRAILER(NUMBER("\2"))), OCSP_SIGNATURE_UNSUPPORTED},
        {"behind trailer", SEQ(hash, mask, salt, TRAILER(JOIN(one, null))),
         OCSP_SIGNATURE_UNSUPPORTED},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        expect_pss(rows[i].name, MBEDTLS_MD_SHA256, rows[i].params, rows[i].want);
    }
    expect_pss("defaults that are allowed", MBEDTLS_MD_SHA1, SEQ(NOTHING), OCSP_GOOD);
    world_end(&w);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        return 2;
    }
    dir = argv[1];
    mbedtls_platform_set_calloc_free(calloc, free);
    run("rsa-sha256", MBEDTLS_MD_SHA256, false, true);
    run("rsa-sha384", MBEDTLS_MD_SHA384, false, false);
    run("rsa-sha512", MBEDTLS_MD_SHA512, false, false);
    run("pss-sha256", MBEDTLS_MD_SHA256, true, false);
    run("pss-sha384", MBEDTLS_MD_SHA384, true, false);
    run("pss-sha512", MBEDTLS_MD_SHA512, true, false);
    run_pss_parameters();
    printf("%d passed, %d failed\n", num_passed, num_failed);
    return num_failed == 0 ? 0 : 1;
}

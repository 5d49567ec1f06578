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

/* Two hashes in one PSS signature, and what its parameters may not say. */
static void run_pss_parameters(void)
{
    static const struct {
        const char *name;
        enum ocsp_reason want;
    } rows[] = {{"sha1-mask", OCSP_SIGNATURE_SHA1},
                {"defaults", OCSP_SIGNATURE_SHA1},
                {"trailer", OCSP_SIGNATURE_UNSUPPORTED},
                {"no-parameters", OCSP_SIGNATURE_UNSUPPORTED},
                {"wrong-salt", OCSP_BAD_SIGNATURE}};
    maker_reset();
    load_key("issuer", &w.issuer_key);
    load_key("leaf", &w.leaf_key);
    load_key("delegate", &w.delegate_key);
    load_key("other", &w.other_key);
    w.issuer_key.md = w.other_key.md = MBEDTLS_MD_SHA256;
    w.issuer_key.pss = w.other_key.pss = true;
    world_begin(&w);
    struct slice hash = TLV(DER_CONTEXT_CONSTRUCTED(0), maker_hash_algorithm(MBEDTLS_MD_SHA256));
    struct slice mask = TLV(DER_CONTEXT_CONSTRUCTED(1),
                            SEQ(OID(MBEDTLS_OID_MGF1), maker_hash_algorithm(MBEDTLS_MD_SHA256)));
    struct slice sha1_mask = TLV(DER_CONTEXT_CONSTRUCTED(1),
                                 SEQ(OID(MBEDTLS_OID_MGF1), maker_hash_algorithm(MBEDTLS_MD_SHA1)));
    struct slice salt = TLV(DER_CONTEXT_CONSTRUCTED(2), maker_u8(DER_INTEGER, 32));
    struct slice salt_31 = TLV(DER_CONTEXT_CONSTRUCTED(2), maker_u8(DER_INTEGER, 31));
    struct slice trailer = TLV(DER_CONTEXT_CONSTRUCTED(3), maker_u8(DER_INTEGER, 2));
    const struct slice params[] = {SEQ(hash, sha1_mask, salt), SEQ(NOTHING),
                                   SEQ(hash, mask, salt, trailer), NOTHING,
                                   SEQ(hash, mask, salt_31)};
    for (size_t i = 0; i < 5; i++) {
        struct maker_response r = world_good(&w);
        struct ocsp_question q = world_question(&w);
        struct ocsp_verdict v;
        struct slice data = maker_data(&r);
        ocsp_check(&q,
                   maker_basic(data, SEQ(OID(MBEDTLS_OID_RSASSA_PSS), params[i]),
                               maker_sign(&w.issuer_key, data), NOTHING),
                   &v);
        num_passed += v.reason == rows[i].want;
        num_failed += v.reason != rows[i].want;
        if (v.reason != rows[i].want) {
            printf("FAILED: pss parameters, %s: %s\n", rows[i].name, ocsp_reason_name(v.reason));
        }
    }
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

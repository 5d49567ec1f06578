/* What judging a proof of 2 KB costs beside the bare verification of its signatures.
 *
 * Bare is: the hash of what is signed and mbedtls_pk_verify, with a key that was parsed before; a
 * delegated proof has two signatures, the delegate's certificate's and its own. ocsp_check reads
 * the whole response, hashes for the CertID, parses the keys and verifies the same signatures. Both
 * are run in turn, and the least CPU time of each counts.
 *
 * Prints "NAME LEN CHECK-MICROSECONDS BARE-MICROSECONDS" lines. Called by tests/bench/run. */
#include "proof_scenarios.h"

#include <time.h>

#define WANT_LEN   2048
#define NUM_ROUNDS 40
#define NUM_EACH   10

struct bare {
    struct x509_signed sealed;
    mbedtls_pk_context key;
};

static void bare_begin(struct bare *b, const struct x509_signed *sealed,
                       const struct x509_cert *signer)
{
    unsigned char *at = (unsigned char *)(uintptr_t)signer->public_key_info.ptr;
    b->sealed = *sealed;
    mbedtls_pk_init(&b->key);
    maker_must(mbedtls_pk_parse_subpubkey(&at, at + signer->public_key_info.len, &b->key), "key");
}

static void bare_verify(struct bare *b, mbedtls_md_type_t md)
{
    unsigned char hash[MBEDTLS_MD_MAX_SIZE];
    const mbedtls_md_info_t *info = mbedtls_md_info_from_type(md);
    maker_must(mbedtls_md(info, b->sealed.bytes.ptr, b->sealed.bytes.len, hash), "hash");
    maker_must(mbedtls_pk_verify(&b->key, md, hash, mbedtls_md_get_size(info),
                                 b->sealed.signature.ptr, b->sealed.signature.len),
               "verify");
}

static double cpu_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void keep_least(double *least, double begin_us)
{
    double us = (cpu_us() - begin_us) / NUM_EACH;
    if (*least == 0 || us < *least) {
        *least = us;
    }
}

static void measure(const char *name, const struct ocsp_question *q, struct slice proof,
                    struct bare *bare, size_t num_bare, mbedtls_md_type_t md)
{
    double check_us = 0, least_us = 0;
    struct ocsp_verdict v;
    for (int round = 0; round < NUM_ROUNDS; round++) {
        double begin_us = cpu_us();
        for (int i = 0; i < NUM_EACH; i++) {
            maker_must(ocsp_check(q, proof, &v) == OCSP_GOOD ? 0 : -1, "ocsp_check");
        }
        keep_least(&check_us, begin_us);
        begin_us = cpu_us();
        for (int i = 0; i < NUM_EACH; i++) {
            for (size_t k = 0; k < num_bare; k++) {
                bare_verify(&bare[k], md);
            }
        }
        keep_least(&least_us, begin_us);
    }
    printf("%s %zu %.1f %.1f\n", name, proof.len, check_us, least_us);
}

/* With answers about other certificates and an extension that nobody has to know, up to 2 KB. */
static struct slice grown(struct maker_response *r)
{
    static const uint8_t zeros[WANT_LEN];
    r->num_singles = 4;
    for (size_t i = 0; i < 3; i++) {
        r->singles[i + 1] = r->singles[0];
    }
    for (size_t i = 0; i < 3; i++) {
        r->singles[i].serial = slice_make("\x11\x12\x13" + i, 1);
    }
    size_t len = maker_proof(r).len;
    r->extensions =
        maker_extension(OID("\x2a\x03\x04"), false, slice_make(zeros, WANT_LEN - len - 40));
    return maker_proof(r);
}

static void measure_curve(const char *curve_name, mbedtls_ecp_group_id curve, mbedtls_md_type_t md)
{
    static struct world w;
    struct ocsp_response parsed;
    struct x509_cert delegate;
    struct bare bare[2];
    char name[40];
    maker_reset();
    world_keys(&w, curve);
    world_begin(&w);
    struct ocsp_question q = world_question(&w);

    struct maker_response r = world_good(&w);
    struct slice proof = grown(&r);
    maker_must(ocsp_response_parse(proof, &parsed) ? 0 : -1, "parse");
    bare_begin(&bare[0], &parsed.sealed, &w.issuer);
    snprintf(name, sizeof name, "direct-%s", curve_name);
    measure(name, &q, proof, bare, 1, md);
    mbedtls_pk_free(&bare[0].key);

    struct maker_cert d = world_delegate(&w);
    r = world_delegated(&w, &d);
    proof = grown(&r);
    world_cert(&d, &delegate);
    maker_must(ocsp_response_parse(proof, &parsed) ? 0 : -1, "parse");
    bare_begin(&bare[0], &parsed.sealed, &delegate);
    bare_begin(&bare[1], &delegate.sealed, &w.issuer);
    snprintf(name, sizeof name, "delegated-%s", curve_name);
    measure(name, &q, proof, bare, 2, md);
    mbedtls_pk_free(&bare[0].key);
    mbedtls_pk_free(&bare[1].key);
    world_end(&w);
}

int main(void)
{
    mbedtls_platform_set_calloc_free(calloc, free);
    maker_must(psa_crypto_init(), "psa_crypto_init");
    measure_curve("p256", MBEDTLS_ECP_DP_SECP256R1, MBEDTLS_MD_SHA256);
    measure_curve("p384", MBEDTLS_ECP_DP_SECP384R1, MBEDTLS_MD_SHA384);
    return EXIT_SUCCESS;
}

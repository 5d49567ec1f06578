/* Writes the seeds that are better made than written down: every scenario of the proofs.
 *
 *     seeds DIRECTORY      (the folders der, files, ocsp_response and ocsp_check in it are there)
 *
 * Called by tests/fuzz/run. */
#include "proof_scenarios.h"

#define LEN_MAX 4000

static const char *dir;

static void write_seed(const char *target, const char *name, const char *head, struct slice bytes)
{
    char path[400];
    snprintf(path, sizeof path, "%s/%s/%s", dir, target, name);
    FILE *f = fopen(path, "wb");
    bool ok = f != NULL && fwrite(head, 1, strlen(head), f) == strlen(head) &&
              fwrite(bytes.ptr, 1, bytes.len, f) == bytes.len;
    if (f == NULL || fclose(f) != 0 || !ok) {
        perror(path);
        exit(EXIT_FAILURE);
    }
}

/* What was signed, to be changed and signed again there. */
static void write_data(const char *name, struct slice proof)
{
    struct ocsp_response r;
    char path[200];
    if (ocsp_response_parse(proof, &r) && r.is_basic) {
        snprintf(path, sizeof path, "%s.data", name);
        write_seed("ocsp_check", path, r.certs.len != 0 ? "\2" : "\1", r.sealed.bytes);
    }
}

int main(int argc, char **argv)
{
    static struct world w;
    if (argc != 2) {
        return EXIT_FAILURE;
    }
    dir = argv[1];
    mbedtls_platform_set_calloc_free(calloc, free);
    maker_must(psa_crypto_init(), "psa_crypto_init");
    world_keys(&w, MBEDTLS_ECP_DP_SECP256R1);
    world_begin(&w);
    for (size_t i = 0; i < NUM_SCENARIOS; i++) {
        struct ocsp_verdict v;
        struct slice proof;
        scenario_judge(&scenarios[i], &w, &v, &proof);
        if (proof.len <= LEN_MAX) {
            write_seed("der", scenarios[i].name, "", proof);
            write_seed("ocsp_response", scenarios[i].name, "", proof);
            write_seed("ocsp_check", scenarios[i].name, "@", proof);
            write_data(scenarios[i].name, proof);
        }
    }
    write_seed("ocsp_response", "certificate", "", w.leaf.whole);
    write_seed("files", "certificate", "\3", w.leaf.whole);
    write_seed("files", "certificates", "\3", maker_pem("CERTIFICATE", w.leaf.whole));
    write_seed("files", "chain", "\4", maker_pem("CERTIFICATE", w.leaf.whole));
    write_seed("files", "der", "\4", w.leaf.whole);
    write_seed("files", "key", "\5", maker_pem("EC PRIVATE KEY", maker_private(&w.leaf_key)));
    world_end(&w);
    return EXIT_SUCCESS;
}

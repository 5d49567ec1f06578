/* A certificate for mail.example, its issuer's, its key and a proof of its validity: the same in
 * each run. What the targets with TLS share. */
#ifndef POSTERN_FUZZ_PKI_H
#define POSTERN_FUZZ_PKI_H

#include "proof_scenarios.h"

struct fuzz_pki {
    struct slice chain, issuer, key; /* PEM; empty: not made yet */
    struct slice proof;              /* good at SCENARIO_NOW */
};

/* Before the first struct tls_env is opened. */
static inline void fuzz_make_pki(struct fuzz_pki *out)
{
    static struct world w;
    mbedtls_platform_set_calloc_free(calloc, free);
    maker_must(psa_crypto_init(), "psa_crypto_init");
    world_keys(&w, MBEDTLS_ECP_DP_SECP256R1);
    world_begin(&w);
    struct maker_response good = world_good(&w);
    out->issuer = maker_pem("CERTIFICATE", w.issuer.whole);
    struct slice chain[2] = {maker_pem("CERTIFICATE", w.leaf.whole), out->issuer};
    out->chain = maker_join(chain, 2);
    out->key = maker_pem("EC PRIVATE KEY", maker_private(&w.leaf_key));
    out->proof = maker_proof(&good);
    world_end(&w);
    mbedtls_psa_crypto_free();
}

#endif

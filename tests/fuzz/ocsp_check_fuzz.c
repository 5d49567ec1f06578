/* The judgement of a response. The first byte says what the rest is: a whole response; or a
 * ResponseData, which is signed here by the issuer or by its delegate, so that what lies behind the
 * signature is reached too. */
#include "fuzz.h"

#include "proof_scenarios.h"

#define SIGNED_MAX 4000

static struct world w;
static struct slice delegate_der;
static size_t used_at_begin;

static void begin(void)
{
    mbedtls_platform_set_calloc_free(calloc, free);
    maker_must(psa_crypto_init(), "psa_crypto_init");
    world_keys(&w, MBEDTLS_ECP_DP_SECP256R1);
    world_begin(&w);
    struct maker_cert d = world_delegate(&w);
    delegate_der = maker_certificate(&d);
    used_at_begin = maker_used;
}

static struct slice sign(struct slice data, struct maker_key *key, struct slice certs)
{
    return maker_basic(data, maker_signature_algorithm(key), maker_sign(key, data), certs);
}

static void look_at_verdict(const struct ocsp_question *q, const struct ocsp_verdict *v)
{
    static const int64_t seconds[] = {INT64_MIN, 0, SCENARIO_NOW, INT64_MAX};
    MUST(v->reason < NUM_OCSP_REASONS);
    MUST(v->reason != OCSP_GOOD || (v->verified && v->status == OCSP_CERT_GOOD));
    MUST(!v->verified || v->signer != OCSP_SIGNER_NONE);
    MUST(v->reason != OCSP_REVOKED || (v->verified && v->status == OCSP_CERT_REVOKED));
    for (size_t i = 0; i < sizeof seconds / sizeof seconds[0]; i++) {
        enum ocsp_reason at = ocsp_verdict_at(v, seconds[i]);
        bool within = seconds[i] >= v->begin_s && seconds[i] < v->end_s;
        MUST(at < NUM_OCSP_REASONS && ocsp_reason_name(at)[0] != '\0');
        MUST((at == OCSP_GOOD) == (v->reason == OCSP_GOOD && within));
    }
    if (v->reason == OCSP_GOOD) {
        MUST(v->end_s <= q->leaf->not_after_s + 1);
        MUST(v->next_update_s == OCSP_NO_TIME || v->end_s <= v->next_update_s);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct slice in = slice_make(data, len);
    struct ocsp_verdict v, again;
    if (used_at_begin == 0) {
        begin();
    }
    maker_used = used_at_begin;
    uint8_t choice = fuzz_choice(&in);
    struct ocsp_question q = world_question(&w);
    q.options.allow_sha1 = (choice & 4) != 0;
    q.options.max_age_s = (choice & 8) != 0 ? 86400 : 0;
    if ((choice & 3) == 1 && in.len <= SIGNED_MAX) {
        in = sign(in, &w.issuer_key, NOTHING);
    } else if ((choice & 3) == 2 && in.len <= SIGNED_MAX) {
        in = sign(in, &w.delegate_key, delegate_der);
    }
    enum ocsp_reason reason = ocsp_check(&q, in, &v);
    MUST(reason == v.reason);
    look_at_verdict(&q, &v);
    MUST(ocsp_check(&q, in, &again) == reason && again.begin_s == v.begin_s &&
         again.end_s == v.end_s);
    return 0;
}

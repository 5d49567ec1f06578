/* A proof for each certificate of the chain. */
#include "staple_world.h"

/* By the root, for the issuer's certificate. */
static struct slice issuer_proof(const char *this_update, enum maker_status status)
{
    struct slice spki = maker_public(&t.keys.other_key);
    struct maker_response r = world_good(&t.keys);
    r.singles[0] = (struct maker_single){
        MBEDTLS_MD_SHA256, maker_name("Root"), spki,   SLICE_LITERAL("\x07"), status,
        this_update,       "20260621000000Z",  NOTHING};
    r.by_key = maker_hash(MBEDTLS_MD_SHA1, maker_key_bits(spki));
    r.key = &t.keys.other_key;
    return maker_proof(&r);
}

static struct slice in_pem(struct slice der)
{
    return maker_pem("OCSP RESPONSE", der);
}

static enum ocsp_reason chain_reason(size_t index, struct slice want)
{
    const struct ocsp_verdict *v;
    struct slice held;
    CHECK(tls_set_proof(t.staple.now.set, 0, index, &held, &v));
    CHECK(slice_equal(held, want));
    return v->reason;
}

static void setup_chain(void)
{
    setup();
    struct maker_cert root = {"Root",
                              "Root",
                              &t.keys.other_key,
                              &t.keys.other_key,
                              "\x01",
                              "20250101000000Z",
                              "20360101000000Z",
                              .ca = true};
    put("/roots", maker_pem("CERTIFICATE", maker_certificate(&root)));
    t.conf.verify_certificates = "/roots";
}

static void test_chain(void)
{
    setup_chain();
    struct slice leaf = good_proof(), issuer = issuer_proof("20260614000000Z", MAKE_GOOD);
    /* In any order; what is for neither certificate is told and harms nobody. */
    struct maker_response r = world_good(&t.keys);
    r.singles[0].serial = SLICE_LITERAL("\x01");
    struct slice foreign = maker_proof(&r);
    put("/proof", JOIN(in_pem(issuer), in_pem(foreign), in_pem(leaf)));
    CHECK_EQ(open_it(), ERR_OK);
    CHECK_EQ(chain_reason(0, leaf), OCSP_GOOD);
    CHECK_EQ(chain_reason(1, issuer), OCSP_GOOD);
    CHECK(logged("chain=1 action=taken reason=good"));
    CHECK(logged("reason=wrong-certificate"));
    /* Each is judged by itself: one that goes bad does not take the other along. */
    put("/proof", JOIN(in_pem(leaf), in_pem(issuer_proof("20260614120000Z", MAKE_REVOKED))));
    next_second();
    CHECK_EQ(chain_reason(0, leaf), OCSP_GOOD);
    CHECK_EQ(chain_reason(1, NOTHING), OCSP_REVOKED);
    CHECK(logged("chain=1 action=none-served reason=revoked"));
    /* And an older good one does not come back with a set that is read anew. */
    put("/proof", JOIN(in_pem(leaf), in_pem(issuer)));
    t.files[find_file("/chain")].stamp = ++t.next_stamp;
    next_second();
    CHECK_EQ(chain_reason(0, leaf), OCSP_GOOD);
    CHECK_EQ(chain_reason(1, NOTHING), OCSP_REVOKED);
    /* A file that has only the leaf's, DER, leaves what is known of the other. */
    put("/proof", leaf);
    next_second();
    CHECK_EQ(chain_reason(1, NOTHING), OCSP_REVOKED);
    staple_close(&t.staple);
    CHECK_EQ(open_it(), ERR_OK);
    CHECK_EQ(chain_reason(0, leaf), OCSP_GOOD);
    CHECK_EQ(chain_reason(1, NOTHING), OCSP_NO_FILE);
    teardown();
}

/* A proof for the issuer must be signed by whoever issued that, not by itself. */
static void test_chain_signer(void)
{
    setup_chain();
    struct slice issuer = issuer_proof("20260614000000Z", MAKE_GOOD);
    put("/proof", JOIN(in_pem(good_proof()), in_pem(issuer)));
    drop("/roots");
    CHECK_EQ(open_it(), ERR_OK);
    CHECK_EQ(reason(), OCSP_GOOD);
    CHECK_EQ(chain_reason(1, NOTHING), OCSP_NO_FILE);
    teardown();

    setup_chain();
    struct slice spki = maker_public(&t.keys.other_key);
    struct maker_response r = world_good(&t.keys);
    r.singles[0] = (struct maker_single){
        MBEDTLS_MD_SHA256, maker_name("Root"), spki,   SLICE_LITERAL("\x07"), MAKE_GOOD,
        "20260614000000Z", "20260621000000Z",  NOTHING};
    put("/proof", JOIN(in_pem(good_proof()), in_pem(maker_proof(&r))));
    CHECK_EQ(open_it(), ERR_OK);
    CHECK_EQ(reason(), OCSP_GOOD);
    CHECK_EQ(chain_reason(1, NOTHING), OCSP_NO_SIGNER);
    teardown();
}

/* Certificates that were joined in the wrong order: the issuer is among them all the same. */
static void test_chain_disorderly(void)
{
    setup_chain();
    struct slice leaf = good_proof(), issuer = issuer_proof("20260614000000Z", MAKE_GOOD);
    put("/chain",
        JOIN(maker_pem("CERTIFICATE", t.keys.leaf.whole), t.files[find_file("/roots")].bytes,
             maker_pem("CERTIFICATE", t.keys.issuer.whole)));
    put("/proof", JOIN(in_pem(leaf), in_pem(issuer)));
    drop("/roots");
    CHECK_EQ(open_it(), ERR_OK);
    CHECK_EQ(chain_reason(0, leaf), OCSP_GOOD);
    CHECK_EQ(chain_reason(1, NOTHING), OCSP_NO_FILE);
    CHECK_EQ(chain_reason(2, issuer), OCSP_GOOD);
    CHECK(slice_is_empty(t.staple.now.issuers[0][1].der)); /* what issued itself needs no proof */
    teardown();
}

/* A block that does not end spoils nothing in front of it. */
static void test_chain_cut(void)
{
    setup_chain();
    struct slice leaf = good_proof();
    put("/proof", JOIN(in_pem(leaf), SLICE_LITERAL("-----BEGIN OCSP RESPONSE-----\nAAA\n")));
    CHECK_EQ(open_it(), ERR_OK);
    CHECK_EQ(chain_reason(0, leaf), OCSP_GOOD);
    CHECK(logged("action=old-kept reason=malformed"));
    teardown();
}

static const struct test_case cases[] = {
    {"chain", test_chain},
    {"chain_signer", test_chain_signer},
    {"chain_disorderly", test_chain_disorderly},
    {"chain_cut", test_chain_cut},
};

TEST_MAIN(cases)

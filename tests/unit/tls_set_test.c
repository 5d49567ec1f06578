/* Certificate sets: what is taken, what is refused and by which name, proofs, references. */
#include "tls_world.h"

static void expect(struct slice chain, struct slice key, enum tls_set_error error)
{
    struct tls_set *set = tls_set_new(&world_env);
    size_t before_len = world_heap.used_len;
    CHECK_EQ(tls_set_add_pair(set, chain, key), error);
    if (error != TLS_SET_OK) {
        CHECK_EQ(tls_set_num_pairs(set), 0);
        CHECK_EQ(world_heap.used_len, before_len);
    }
    tls_set_drop(set);
}

static struct slice join(struct slice a, struct slice b)
{
    static uint8_t bytes[4][65536];
    static size_t num;
    uint8_t *into = bytes[num++ % 4];
    memcpy(into, a.ptr, a.len);
    memcpy(into + a.len, b.ptr, b.len);
    return slice_make(into, a.len + b.len);
}

static void test_files(void)
{
    struct slice empty = {NULL, 0}, text = SLICE_LITERAL("nothing of use\n");
    world_open("");
    struct slice chain = world_read("ec.chain"), key = world_read("ec.key");
    expect(chain, key, TLS_SET_OK);
    expect(chain, join(chain, key), TLS_SET_OK); /* both in one file */
    expect(join(key, chain), join(chain, key), TLS_SET_OK);
    expect(join(text, chain), join(text, key), TLS_SET_OK);
    expect(empty, key, TLS_SET_NO_CERTIFICATE);
    expect(key, key, TLS_SET_NO_CERTIFICATE);
    expect(text, key, TLS_SET_BAD_CERTIFICATE);
    expect(slice_make(chain.ptr, chain.len / 4), key, TLS_SET_BAD_CERTIFICATE);
    expect(slice_make(chain.ptr, chain.len - 30), key, TLS_SET_BAD_CERTIFICATE);
    expect(chain, empty, TLS_SET_NO_KEY);
    expect(chain, chain, TLS_SET_NO_KEY);
    expect(chain, text, TLS_SET_BAD_KEY);
    expect(chain, slice_make(key.ptr, key.len / 2), TLS_SET_BAD_KEY);
    expect(chain, world_read("rsa.key"), TLS_SET_KEY_MISMATCH);
    expect(chain, world_read("ca-ec.key"), TLS_SET_KEY_MISMATCH);
    struct slice nine = chain;
    for (int i = 0; i < 8; i++) {
        nine = join(nine, world_read("ca-ec.pem"));
    }
    expect(nine, key, TLS_SET_CHAIN_TOO_LONG);
    world_close();
}

static void test_keys(void)
{
    world_make_pair("small", "rsa:1024");
    world_make_pair("p384", "ec -pkeyopt ec_paramgen_curve:P-384");
    world_make_pair("p521", "ec -pkeyopt ec_paramgen_curve:P-521");
    world_openssl("genpkey -algorithm ED25519 -out ed25519.key");
    world_openssl("pkey -in ec.key -aes128 -passout pass:x -out encrypted.key");
    world_openssl("ec -in ec.key -aes128 -passout pass:x -out encrypted-old.key");
    world_openssl("ec -in ec.key -out ec-old.key");
    world_openssl("x509 -in ec.crt -outform der -out ec-crt.der");
    world_openssl("pkey -in ec.key -outform der -out ec-key.der");
    world_open("");
    struct slice chain = world_read("ec.chain");
    expect(world_read("small.chain"), world_read("small.key"), TLS_SET_KEY_UNSUPPORTED);
    expect(world_read("p384.chain"), world_read("p384.key"), TLS_SET_OK);
    expect(world_read("p521.chain"), world_read("p521.key"), TLS_SET_KEY_UNSUPPORTED);
    expect(world_read("p521.chain"), world_read("ec.key"), TLS_SET_KEY_UNSUPPORTED);
    expect(chain, world_read("ed25519.key"), TLS_SET_KEY_UNSUPPORTED);
    expect(chain, world_read("encrypted.key"), TLS_SET_KEY_ENCRYPTED);
    expect(chain, world_read("encrypted-old.key"), TLS_SET_KEY_ENCRYPTED);
    expect(chain, world_read("ec-old.key"), TLS_SET_OK);
    expect(world_read("ec-crt.der"), world_read("ec-key.der"), TLS_SET_OK);
    world_close();
}

static void test_pairs(void)
{
    world_open("");
    struct tls_set *set = world_set("ec", NULL), *twin = world_set("ec", NULL);
    struct slice id = tls_set_id(set);
    uint8_t first_id[TLS_SET_ID_LEN];
    memcpy(first_id, id.ptr, sizeof first_id);
    CHECK(slice_equal(id, tls_set_id(twin)));
    CHECK_EQ(world_add(set, "ec"), TLS_SET_TOO_MANY);
    CHECK_EQ(tls_set_num_pairs(set), 1);
    CHECK_EQ(world_add(set, "rsa"), TLS_SET_OK);
    CHECK(memcmp(first_id, tls_set_id(set).ptr, sizeof first_id) != 0);
    CHECK_EQ(world_add(set, "rsa"), TLS_SET_TOO_MANY);
    CHECK_EQ(tls_set_num_pairs(set), 2);
    CHECK_EQ(tls_set_num_certs(set, 0), 2);
    CHECK_EQ(tls_set_num_certs(set, 2), 0);
    CHECK(tls_set_cert(set, 0, 0) != NULL && tls_set_cert(set, 1, 1) != NULL);
    CHECK(tls_set_cert(set, 0, 2) == NULL && tls_set_cert(set, 2, 0) == NULL);
    CHECK(tls_set_cert_der(set, 0, 0).len > 200);
    CHECK_EQ(tls_set_cert_der(set, 0, 5).len, 0);
    tls_set_drop(set);
    tls_set_drop(twin);
    tls_set_drop(NULL);
    world_close();
}

static void test_proofs(void)
{
    const struct ocsp_verdict *verdict;
    struct ocsp_verdict good = world_good(1, 2), expired = {.reason = OCSP_EXPIRED};
    struct slice der, proof = slice_make(world_proof(300), 300);
    world_open("");
    struct tls_set *set = world_set("ec", NULL);
    CHECK(tls_set_proof(set, 0, 0, &der, &verdict));
    CHECK_EQ(der.len, 0);
    CHECK_EQ(verdict->reason, OCSP_NO_FILE);
    CHECK(!tls_set_proof(set, 0, 2, &der, &verdict));
    CHECK(!tls_set_proof(set, 1, 0, &der, &verdict));
    CHECK_EQ(tls_set_set_proof(set, 0, 2, proof, &good), ERR_ABSENT);
    CHECK_EQ(tls_set_set_proof(set, 0, 0,
                               slice_make(world_proof(OCSP_PROOF_CAP), OCSP_PROOF_CAP + 1), &good),
             ERR_TOO_BIG);
    CHECK_EQ(tls_set_set_proof(set, 0, 1, proof, &good), ERR_OK);
    CHECK(tls_set_proof(set, 0, 1, &der, &verdict));
    CHECK(slice_equal(der, proof));
    CHECK_EQ(verdict->end_s, 2);
    world_heap.refuse_in = 1;
    CHECK_EQ(tls_set_set_proof(set, 0, 1, proof, &expired), ERR_NO_MEMORY);
    CHECK(tls_set_proof(set, 0, 1, &der, &verdict) && verdict->reason == OCSP_GOOD);
    CHECK_EQ(tls_set_set_proof(set, 0, 1, slice_make(NULL, 0), &expired), ERR_OK);
    CHECK(tls_set_proof(set, 0, 1, &der, &verdict));
    CHECK(der.len == 0 && verdict->reason == OCSP_EXPIRED);
    tls_set_keep(set);
    tls_set_drop(set);
    CHECK_EQ(tls_set_num_pairs(set), 1);
    tls_set_drop(set);
    world_close();
}

static void test_memory(void)
{
    world_open("");
    struct slice chain = world_read("rsa.chain"), key = world_read("rsa.key");
    uint32_t n = 1;
    for (; n < 5000; n += n < 60 ? 1 : 17) {
        struct tls_set *set = tls_set_new(&world_env);
        uint32_t num_refused = world_heap.num_refused;
        world_heap.refuse_in = n;
        enum tls_set_error error = tls_set_add_pair(set, chain, key);
        world_heap.refuse_in = 0;
        bool was_refused = world_heap.num_refused != num_refused;
        CHECK_EQ(error, was_refused ? TLS_SET_MEMORY : TLS_SET_OK);
        tls_set_drop(set);
        if (!was_refused) {
            break;
        }
    }
    CHECK(n > 60 && n < 5000);
    world_close();
}

static void test_names(void)
{
    for (int e = 0; e < NUM_TLS_SET_ERRORS; e++) {
        CHECK(strlen(tls_set_error_name((enum tls_set_error)e)) > 1);
        CHECK(strlen(tls_set_error_text((enum tls_set_error)e)) > 10);
    }
    CHECK(strcmp(tls_set_error_name(TLS_SET_KEY_MISMATCH), "key-mismatch") == 0);
}

static const struct test_case cases[] = {
    {"files", test_files},   {"keys", test_keys},     {"pairs", test_pairs},
    {"proofs", test_proofs}, {"memory", test_memory}, {"names", test_names},
};

int main(int argc, char **argv)
{
    world_make_files(argv[0]);
    return test_main(cases, sizeof cases / sizeof cases[0], argc, argv);
}

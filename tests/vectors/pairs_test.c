/* An RSA and an elliptic-curve certificate in one set, from files that OpenSSL made:
 *     pairs_test
 * To be run where ec/ and rsa/ are what tests/vectors/generate leaves. */
#include "ocsp_staple.h"
#include "tls_platform.h"

#include "test.h"

#include <time.h>

static uint64_t heap_memory[1 << 17];
static uint8_t scratch_memory[96 * 1024];
static struct port port;
static struct heap heap;
static struct tls_env env;
static struct staple staple;
static struct tls_time now;
static char errors_text[STAPLE_ERRORS_CAP];

static enum err read_file(void *ctx, size_t *out_len, const char *path, uint8_t *into, size_t cap)
{
    (void)ctx;
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        return ERR_ABSENT;
    }
    *out_len = fread(into, 1, cap, file);
    fclose(file);
    return ERR_OK;
}

static enum err stamp_file(void *ctx, struct port_stamp *out, const char *path)
{
    (void)ctx;
    (void)path;
    *out = (struct port_stamp){{1, 0, 0, 0}};
    return ERR_OK;
}

static void line(void *ctx, enum log_level level, struct slice text)
{
    (void)ctx;
    (void)level;
    (void)text;
}

static enum err open_it(const char *certificate, const char *key, const char *proof)
{
    struct staple_conf conf = {certificate, key, proof, NULL, OCSP_OPTIONS_DEFAULT, NULL};
    struct buf errors = buf_make(errors_text, sizeof errors_text - 1);
    enum err err = staple_open(&staple, &port, &env, &conf, &now,
                               buf_make(scratch_memory, sizeof scratch_memory), &errors);
    errors_text[errors.len] = 0;
    return err;
}

static void test_two_pairs(void)
{
    CHECK_EQ(open_it("ec/chain.pem:rsa/chain.pem", "ec/leaf.key : rsa/leaf.key",
                     "ec/good-direct.der:rsa/good-delegated.der"),
             ERR_OK);
    CHECK_EQ(tls_set_num_pairs(staple.now.set), 2);
    CHECK_EQ(staple_reason(&staple, 0, &now), OCSP_GOOD);
    CHECK_EQ(staple_reason(&staple, 1, &now), OCSP_GOOD);
    CHECK_EQ(staple_reason(&staple, 2, &now), OCSP_NO_FILE);
    staple_close(&staple);
}

/* Each proof belongs to its own certificate, and one may be missing. */
static void test_order(void)
{
    CHECK_EQ(
        open_it("rsa/chain.pem:ec/chain.pem", "rsa/leaf.key:ec/leaf.key", "ec/good-direct.der:"),
        ERR_OK);
    CHECK_EQ(staple_reason(&staple, 0, &now), OCSP_WRONG_CERTIFICATE);
    CHECK_EQ(staple_reason(&staple, 1, &now), OCSP_NO_FILE);
    staple_close(&staple);
}

static void test_refused(void)
{
    CHECK_EQ(open_it("ec/chain.pem:rsa/chain.pem", "rsa/leaf.key:ec/leaf.key", NULL),
             ERR_MALFORMED);
    CHECK(
        strcmp(
            errors_text,
            "tls_privatekey rsa/leaf.key: the private key does not fit the first certificate of tls_certificate\n"
            "tls_privatekey ec/leaf.key: the private key does not fit the first certificate of tls_certificate\n") ==
        0);
    CHECK_EQ(open_it("ec/chain.pem:ec/chain.pem", "ec/leaf.key:ec/leaf.key", NULL), ERR_MALFORMED);
    CHECK(strstr(errors_text, "there is a certificate with a key of this kind already") != NULL);
    CHECK(staple_take_set(&staple) == NULL);
    staple_close(&staple);
}

static const struct test_case cases[] = {
    {"two_pairs", test_two_pairs},
    {"order", test_order},
    {"refused", test_refused},
};

int main(void)
{
    static const uint8_t seed[TLS_SEED_LEN] = {1};
    port.files.read = read_file;
    port.files.stamp = stamp_file;
    port.log.line = line;
    env.heap = &heap;
    now = (struct tls_time){1000, (int64_t)time(NULL), true};
    if (!heap_open(&heap, heap_memory, sizeof heap_memory) ||
        tls_platform_open(&heap, slice_make(seed, sizeof seed)) != ERR_OK) {
        return 2;
    }
    int result = test_main(cases, sizeof cases / sizeof cases[0], 0, NULL);
    tls_platform_close();
    if (heap.num_used != 0) {
        printf("FAILED: %u blocks of heap are left\n", heap.num_used);
        return 1;
    }
    return result;
}

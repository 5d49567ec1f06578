/* What the public-key operations of a handshake cost by themselves, with the library as the server
 * has it.
 *
 *     crypto EC-KEY RSA-KEY        (PEM files)
 *
 * Prints "NAME MICROSECONDS" lines of CPU time: a signature, and a key exchange (a fresh key and
 * the shared secret). Called by tests/bench/run, linked with libmbed.a and libcore.a. */
#include "pem.h"

#include <mbedtls/pk.h>
#include <mbedtls/platform.h>
#include <psa/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#define MIN_SECONDS 0.4

static psa_key_type_t pair_type;
static size_t key_bits;
static uint8_t peer_key[100];
static size_t peer_key_len;
static mbedtls_pk_context signer;

mbedtls_ms_time_t mbedtls_ms_time(void)
{
    return 0;
}

psa_status_t mbedtls_psa_external_get_random(mbedtls_psa_external_random_context_t *context,
                                             uint8_t *out, size_t size, size_t *out_len)
{
    static uint8_t bytes[256];
    static size_t num_used = sizeof bytes;
    (void)context;
    for (size_t i = 0; i < size; i++) {
        if (num_used == sizeof bytes) {
            if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes) {
                return PSA_ERROR_INSUFFICIENT_ENTROPY;
            }
            num_used = 0;
        }
        out[i] = bytes[num_used++];
    }
    *out_len = size;
    return PSA_SUCCESS;
}

static int random_bytes(void *context, unsigned char *out, size_t len)
{
    size_t out_len;
    (void)context;
    return mbedtls_psa_external_get_random(NULL, out, len, &out_len);
}

static void need(int is_ok, const char *what)
{
    if (!is_ok) {
        fprintf(stderr, "crypto: %s failed\n", what);
        exit(EXIT_FAILURE);
    }
}

static psa_key_id_t new_key(void)
{
    psa_key_attributes_t attributes = PSA_KEY_ATTRIBUTES_INIT;
    psa_set_key_usage_flags(&attributes, PSA_KEY_USAGE_DERIVE);
    psa_set_key_algorithm(&attributes, PSA_ALG_ECDH);
    psa_set_key_type(&attributes, pair_type);
    psa_set_key_bits(&attributes, key_bits);
    psa_key_id_t key;
    need(psa_generate_key(&attributes, &key) == PSA_SUCCESS, "psa_generate_key");
    return key;
}

static void exchange(void)
{
    uint8_t own[100], secret[66];
    size_t own_len, secret_len;
    psa_key_id_t key = new_key();
    need(psa_export_public_key(key, own, sizeof own, &own_len) == PSA_SUCCESS, "export");
    need(psa_raw_key_agreement(PSA_ALG_ECDH, key, peer_key, peer_key_len, secret, sizeof secret,
                               &secret_len) == PSA_SUCCESS,
         "psa_raw_key_agreement");
    psa_destroy_key(key);
}

static void sign(void)
{
    static const uint8_t hash[32] = {1, 2, 3};
    uint8_t signature[MBEDTLS_PK_SIGNATURE_MAX_SIZE];
    size_t len;
    mbedtls_pk_type_t type = mbedtls_pk_get_type(&signer);
    need(mbedtls_pk_sign_ext(type == MBEDTLS_PK_RSA ? MBEDTLS_PK_RSASSA_PSS : type, &signer,
                             MBEDTLS_MD_SHA256, hash, sizeof hash, signature, sizeof signature,
                             &len, random_bytes, NULL) == 0,
         "mbedtls_pk_sign_ext");
}

static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void measure(const char *name, void (*operation)(void))
{
    operation();
    double begin = cpu_seconds(), end;
    int num = 0;
    do {
        operation();
        num++;
        end = cpu_seconds();
    } while (end - begin < MIN_SECONDS);
    printf("%s %.1f\n", name, (end - begin) * 1e6 / num);
}

static void measure_exchange(const char *name, psa_ecc_family_t family, size_t bits)
{
    pair_type = PSA_KEY_TYPE_ECC_KEY_PAIR(family);
    key_bits = bits;
    psa_key_id_t peer = new_key();
    need(psa_export_public_key(peer, peer_key, sizeof peer_key, &peer_key_len) == PSA_SUCCESS,
         "export");
    measure(name, exchange);
}

static void measure_signature(const char *name, const char *path)
{
    uint8_t text[8192];
    FILE *file = fopen(path, "r");
    need(file != NULL, path);
    struct slice rest = slice_make(text, fread(text, 1, sizeof text, file));
    fclose(file);
    struct buf der = buf_make(text, sizeof text);
    need(pem_next(&rest, SLICE_LITERAL("PRIVATE KEY"), &der) == ERR_OK, path);
    mbedtls_pk_init(&signer);
    need(mbedtls_pk_parse_key(&signer, text, der.len, NULL, 0, random_bytes, NULL) == 0, path);
    measure(name, sign);
    mbedtls_pk_free(&signer);
}

int main(int argc, char **argv)
{
    need(argc == 3, "crypto EC-KEY RSA-KEY: usage");
    mbedtls_platform_set_calloc_free(calloc, free);
    need(psa_crypto_init() == PSA_SUCCESS, "psa_crypto_init");
    measure_signature("sign-p256", argv[1]);
    measure_signature("sign-rsa2048", argv[2]);
    measure_exchange("exchange-p256", PSA_ECC_FAMILY_SECP_R1, 256);
    measure_exchange("exchange-x25519", PSA_ECC_FAMILY_MONTGOMERY, 255);
    return EXIT_SUCCESS;
}

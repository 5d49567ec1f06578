/* What Mbed TLS takes from a process: see tls_platform.h. */
#include "tls_platform.h"

#include "net_addr.h"
#include "tls_random.h"

#include <mbedtls/platform.h>
#include <mbedtls/platform_time.h>
#include <mbedtls/platform_util.h>
#include <mbedtls/ssl.h>
#include <psa/crypto.h>

struct tls_platform {
    struct tls_random random;
    int64_t now_ms;
};

static struct heap *process_heap;
static struct tls_platform *process_platform; /* on that heap */
static uint32_t num_envs;

static void *library_calloc(size_t num, size_t size)
{
    return process_heap == NULL ? NULL : heap_alloc(process_heap, num, size);
}

static void library_free(void *ptr)
{
    if (process_heap != NULL) {
        heap_free(process_heap, ptr);
    }
}

mbedtls_ms_time_t mbedtls_ms_time(void)
{
    return process_platform == NULL ? 0 : process_platform->now_ms;
}

int tls_platform_random(void *ctx, unsigned char *out, size_t len)
{
    (void)ctx;
    bool ok = process_platform != NULL && tls_random_fill(&process_platform->random, out, len);
    return ok ? 0 : MBEDTLS_ERR_SSL_INTERNAL_ERROR;
}

psa_status_t mbedtls_psa_external_get_random(mbedtls_psa_external_random_context_t *context,
                                             uint8_t *output, size_t output_size,
                                             size_t *output_length)
{
    (void)context;
    *output_length = 0;
    if (tls_platform_random(NULL, output, output_size) != 0) {
        return PSA_ERROR_INSUFFICIENT_ENTROPY;
    }
    *output_length = output_size;
    return PSA_SUCCESS;
}

int tls_platform_address(const char *text, void *out, size_t len)
{
    struct net_addr addr;
    if (!net_addr_parse(slice_of_string(text), &addr) ||
        len != (addr.family == NET_IPV4 ? 4 : 16)) {
        return 0;
    }
    memcpy(out, addr.bytes, len);
    return 1;
}

static void forget(void)
{
    if (process_platform != NULL) {
        mbedtls_platform_zeroize(process_platform, sizeof *process_platform);
        heap_free(process_heap, process_platform);
    }
    process_platform = NULL;
    process_heap = NULL;
}

static enum err start(struct heap *heap, struct slice seed)
{
    process_heap = heap;
    process_platform = heap_alloc(heap, 1, sizeof *process_platform);
    if (process_platform == NULL) {
        forget();
        return ERR_NO_MEMORY;
    }
    if (mbedtls_platform_set_calloc_free(library_calloc, library_free) != 0 ||
        !tls_random_open(&process_platform->random, seed)) {
        forget();
        return ERR_NO_ENTROPY;
    }
    if (psa_crypto_init() != PSA_SUCCESS) {
        mbedtls_psa_crypto_free();
        forget();
        return ERR_NO_MEMORY;
    }
    return ERR_OK;
}

enum err tls_platform_open(struct heap *heap, struct slice seed)
{
    enum err err = ERR_OK;
    if (num_envs == 0) {
        err = start(heap, seed);
    } else if (heap != process_heap) {
        err = ERR_BUSY;
    } else {
        tls_platform_stir(seed);
    }
    if (err == ERR_OK) {
        num_envs++;
    }
    return err;
}

void tls_platform_close(void)
{
    num_envs--;
    if (num_envs == 0) {
        mbedtls_psa_crypto_free();
        forget();
    }
}

void tls_platform_set_time(uint64_t now_ms)
{
    process_platform->now_ms = (int64_t)now_ms;
}

void tls_platform_stir(struct slice entropy)
{
    /* A failed hash leaves the generator as good as it was. */
    (void)tls_random_stir(&process_platform->random, entropy);
}

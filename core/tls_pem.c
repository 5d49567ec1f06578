/* PEM and DER files for the library: see tls_pem.h. */
#include "tls_pem.h"

#include "pem.h"

#include <mbedtls/platform_util.h>

static void count(struct tls_pem *out, bool is_good)
{
    if (is_good) {
        out->num++;
    } else {
        out->num_bad++;
    }
}

bool tls_pem_each(struct heap *heap, struct slice file, struct slice label,
                  int (*parse)(void *ctx, struct slice der), void *ctx, struct tls_pem *out)
{
    if (!pem_is_text(file)) {
        count(out, parse(ctx, file) == 0);
        return true;
    }
    uint8_t *bytes = heap_alloc(heap, file.len, 1);
    if (bytes == NULL) {
        return false;
    }
    struct slice rest = file, block;
    struct buf der = buf_make(bytes, file.len);
    enum err err;
    while ((err = pem_next_block(&rest, label, &der, &block)) != ERR_ABSENT) {
        count(out, err == ERR_OK && parse(ctx, buf_slice(&der)) == 0);
        rest = err == ERR_OK ? rest : block;
        der.len = 0;
    }
    mbedtls_platform_zeroize(bytes, file.len);
    heap_free(heap, bytes);
    return true;
}

int tls_pem_certificate(void *chain, struct slice der)
{
    return mbedtls_x509_crt_parse_der(chain, der.ptr, der.len);
}

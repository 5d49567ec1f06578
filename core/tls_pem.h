/* Files of certificates, revocation lists and keys, in PEM or DER, taken apart for the library,
 * whose own reader of PEM would be twice this one beside core/pem. For tls_* only. */
#ifndef POSTERN_TLS_PEM_H
#define POSTERN_TLS_PEM_H

#include "heap.h"
#include "slice.h"

#include <mbedtls/x509_crt.h>

/* What parse made of the blocks. */
struct tls_pem {
    size_t num;     /* parsed */
    size_t num_bad; /* refused by parse, or no base64, or without an end */
};

/* Calls parse, which returns 0 if it can use it, with each block of that label, decoded; with all
 * of the file if it is not PEM. Adds to *out. What was decoded is wiped. False: there is no memory.
 */
bool tls_pem_each(struct heap *heap, struct slice file, struct slice label,
                  int (*parse)(void *ctx, struct slice der), void *ctx, struct tls_pem *out);

/* Parses one more certificate into a chain (mbedtls_x509_crt). 0, or the library's error. */
int tls_pem_certificate(void *chain, struct slice der);

#endif

/* The library's ssl_tls.c, in which no revocation lists are given to the verification of a chain:
 * core/tls_trust looks at them, as the library believes nobody of an authority that has two keys.
 * What would look at them here is left out of the program by that. */
#include <common.h>
#include <mbedtls/x509_crt.h>

#define mbedtls_x509_crt_verify_restartable(chain, authorities, lists, ...) \
    mbedtls_x509_crt_verify_restartable(chain, authorities, ((void)(lists), NULL), __VA_ARGS__)

#include <ssl_tls.c>

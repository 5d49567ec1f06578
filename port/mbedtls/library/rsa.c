/* The library's rsa.c, but no private key is completed: the parser of keys refuses one in which a
 * number is missing or zero. */
#include <common.h>
#include <rsa_alt_helpers.h>

#define mbedtls_rsa_deduce_primes(...)           MBEDTLS_ERR_RSA_BAD_INPUT_DATA
#define mbedtls_rsa_deduce_private_exponent(...) MBEDTLS_ERR_RSA_BAD_INPUT_DATA

#include <rsa.c>

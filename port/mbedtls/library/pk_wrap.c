/* The library's pk_wrap.c without encryption: its table for RSA names what nobody here calls, as key
 * exchange by RSA is not part of the configuration. */
#include <common.h>
#include <mbedtls/rsa.h>

#define mbedtls_rsa_pkcs1_decrypt(...) MBEDTLS_ERR_PK_FEATURE_UNAVAILABLE
#define mbedtls_rsa_pkcs1_encrypt(...) MBEDTLS_ERR_PK_FEATURE_UNAVAILABLE

#include <pk_wrap.c>

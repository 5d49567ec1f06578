/* The library's psa_crypto.c, whose table of error codes is without those of parts that nobody here
 * calls by PSA, which is there for hashes and the exchange of keys. Each of these switches stands in
 * that table alone; headers must have been read by then, as they go by them too. */
#include <common.h>
#include <check_crypto_config.h>
#include <mbedtls/chachapoly.h>
#include <mbedtls/psa_util.h>
#include <pk_wrap.h>
#include <psa_crypto_core.h>

#undef MBEDTLS_AES_C
#undef MBEDTLS_ASN1_PARSE_C
#undef MBEDTLS_ASN1_WRITE_C
#undef MBEDTLS_CHACHA20_C
#undef MBEDTLS_CHACHAPOLY_C
#undef MBEDTLS_CIPHER_C
#undef MBEDTLS_GCM_C
#undef MBEDTLS_PK_C
#undef MBEDTLS_RSA_C

#include <psa_crypto.c>

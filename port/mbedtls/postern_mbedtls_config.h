/*
 * What Postern takes of Mbed TLS. The library and all of our code that includes its headers are
 * compiled with this file as MBEDTLS_CONFIG_FILE, so that both see the same structures.
 *
 * The library keeps nothing of the operating system. Whoever links it defines four functions:
 *
 *   psa_status_t mbedtls_psa_external_get_random(mbedtls_psa_external_random_context_t *,
 *                                                uint8_t *out, size_t size, size_t *out_len)
 *       random bytes of cryptographic quality; *out_len = size on success (psa/crypto_extra.h)
 *   mbedtls_ms_time_t mbedtls_ms_time(void)
 *       milliseconds, monotonic: the age of tickets and sessions is counted in it
 *   int mbedtls_internal_sha1_process(mbedtls_sha1_context *, const unsigned char data[64])
 *       one block of SHA-1; core/tls_sha1.c is it
 *   int tls_platform_address(const char *text, void *out, size_t len)
 *       the address that a text is, if it has len bytes: 1, else 0 (core/tls_platform.c)
 *
 * and calls mbedtls_platform_set_calloc_free() before anything else: until then every allocation
 * fails. The validity dates of certificates are parsed but not judged (no MBEDTLS_HAVE_TIME_DATE):
 * that is core's business, which knows how far the wall clock can be trusted.
 */
#ifndef POSTERN_MBEDTLS_CONFIG_H
#define POSTERN_MBEDTLS_CONFIG_H

/* core/tls_status.c drives handshake states that belong to the library: tested versions only. */
#if MBEDTLS_VERSION_NUMBER < 0x03060600 || MBEDTLS_VERSION_NUMBER > 0x03060700
#error "Postern is tested with Mbed TLS 3.6.6 and 3.6.7 only: see port/mbedtls/versions"
#endif

/* Platform */
#define MBEDTLS_HAVE_ASM
#define MBEDTLS_HAVE_TIME
#define MBEDTLS_PLATFORM_C
#define MBEDTLS_PLATFORM_MEMORY
#define MBEDTLS_PLATFORM_NO_STD_FUNCTIONS
#define MBEDTLS_PLATFORM_MS_TIME_ALT
#define MBEDTLS_PLATFORM_TIME_TYPE_MACRO int64_t
/* Unsigned, as signed division of 64 bits is a large function where the processor has none. */
#define MBEDTLS_PLATFORM_TIME_MACRO(unused) ((int64_t)((uint64_t)mbedtls_ms_time() / 1000))
#define MBEDTLS_PLATFORM_SNPRINTF_MACRO     snprintf
#define MBEDTLS_PSA_CRYPTO_C
#define MBEDTLS_PSA_CRYPTO_CONFIG
#define MBEDTLS_PSA_CRYPTO_CONFIG_FILE "postern_psa_config.h"
#define MBEDTLS_PSA_CRYPTO_EXTERNAL_RNG
#define MBEDTLS_PSA_KEY_STORE_DYNAMIC

/* Symmetric: AES-GCM and ChaCha20-Poly1305, nothing with CBC; neither runs the block cipher
 * backwards */
#define MBEDTLS_AES_C
#define MBEDTLS_BLOCK_CIPHER_NO_DECRYPT
#define MBEDTLS_AESNI_C
#define MBEDTLS_AESCE_C
#define MBEDTLS_CIPHER_C
#define MBEDTLS_GCM_C
#define MBEDTLS_CHACHA20_C
#define MBEDTLS_POLY1305_C
#define MBEDTLS_CHACHAPOLY_C

/* Hashes; SHA-1 is for the CertID of OCSP (RFC 6960 4.1.1), no signature is accepted with it */
#define MBEDTLS_MD_C
#define MBEDTLS_SHA1_C
#define MBEDTLS_SHA1_PROCESS_ALT /* core/tls_sha1.c: a fifteenth of the library's, and slower */
#define MBEDTLS_SHA224_C
#define MBEDTLS_SHA256_C
#define MBEDTLS_SHA384_C
#define MBEDTLS_SHA512_C
#define MBEDTLS_HKDF_C
#ifdef __OPTIMIZE_SIZE__ /* a board with little flash */
#define MBEDTLS_SHA256_SMALLER
#define MBEDTLS_SHA512_SMALLER
#endif

/* Public keys; P-521 only to verify with */
#define MBEDTLS_BIGNUM_C
#define MBEDTLS_MPI_MAX_SIZE 512
#define MBEDTLS_ECP_C
#define MBEDTLS_ECP_DP_SECP256R1_ENABLED
#define MBEDTLS_ECP_DP_SECP384R1_ENABLED
#define MBEDTLS_ECP_DP_SECP521R1_ENABLED
#define MBEDTLS_ECP_DP_CURVE25519_ENABLED
#define MBEDTLS_ECP_NIST_OPTIM
#define MBEDTLS_ECP_WINDOW_SIZE       4
#define MBEDTLS_ECP_FIXED_POINT_OPTIM 1
#define MBEDTLS_ECDH_C
#ifndef WITHOUT_EVEREST /* X25519 in a third of the time, for 8 KB */
#define MBEDTLS_ECDH_VARIANT_EVEREST_ENABLED
#endif
#define MBEDTLS_ECDSA_C
#ifndef WITHOUT_RSA
#define MBEDTLS_RSA_C
#define MBEDTLS_PKCS1_V15
#define MBEDTLS_PKCS1_V21
#define MBEDTLS_X509_RSASSA_PSS_SUPPORT
#endif
#define MBEDTLS_PK_C
#define MBEDTLS_PK_PARSE_C

/* Certificates, in DER alone: core/tls_pem reads PEM */
#define MBEDTLS_ASN1_PARSE_C
#define MBEDTLS_ASN1_WRITE_C
#define MBEDTLS_OID_C
#define MBEDTLS_X509_USE_C
#define MBEDTLS_X509_CRT_PARSE_C
#define MBEDTLS_X509_CRL_PARSE_C
#define MBEDTLS_X509_REMOVE_INFO

/* TLS 1.2 and 1.3, server and client */
#define MBEDTLS_SSL_TLS_C
#define MBEDTLS_SSL_SRV_C
#define MBEDTLS_SSL_CLI_C
#define MBEDTLS_SSL_PROTO_TLS1_3
#define MBEDTLS_SSL_TLS1_3_COMPATIBILITY_MODE
#define MBEDTLS_SSL_TLS1_3_KEY_EXCHANGE_MODE_EPHEMERAL_ENABLED
#define MBEDTLS_SSL_TLS1_3_KEY_EXCHANGE_MODE_PSK_EPHEMERAL_ENABLED
#ifndef WITHOUT_TLS12
#define MBEDTLS_SSL_PROTO_TLS1_2
#define MBEDTLS_KEY_EXCHANGE_ECDHE_ECDSA_ENABLED
#ifndef WITHOUT_RSA
#define MBEDTLS_KEY_EXCHANGE_ECDHE_RSA_ENABLED
#endif
#endif
#define MBEDTLS_SSL_CIPHERSUITES                                                                 \
    0x1301, 0x1303, 0x1302, 0xc02b, 0xcca9, 0xc02c, 0xc02f, 0xcca8, 0xc030 /* core/tls_ciphers.c \
                                                                            */
#define MBEDTLS_SSL_ALL_ALERT_MESSAGES
#define MBEDTLS_SSL_EXTENDED_MASTER_SECRET
#define MBEDTLS_SSL_KEEP_PEER_CERTIFICATE
#define MBEDTLS_SSL_SERVER_NAME_INDICATION
#define MBEDTLS_SSL_SESSION_TICKETS
#define MBEDTLS_SSL_TICKET_C
#define MBEDTLS_SSL_CACHE_C

/* A record of 16 KB may come in; what goes out is cut into 4 KB. Both buffers can shrink. */
#define MBEDTLS_SSL_IN_CONTENT_LEN  16384
#define MBEDTLS_SSL_OUT_CONTENT_LEN 4096
#define MBEDTLS_SSL_MAX_FRAGMENT_LENGTH
#define MBEDTLS_SSL_VARIABLE_BUFFER_LENGTH

#endif

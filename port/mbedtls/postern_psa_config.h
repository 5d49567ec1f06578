/* What of the PSA interface TLS 1.3 needs; the rest of the library is called without it. */
#ifndef POSTERN_PSA_CONFIG_H
#define POSTERN_PSA_CONFIG_H

/* The key schedule */
#define PSA_WANT_ALG_SHA_256      1
#define PSA_WANT_ALG_SHA_384      1
#define PSA_WANT_ALG_HMAC         1
#define PSA_WANT_ALG_HKDF_EXTRACT 1
#define PSA_WANT_ALG_HKDF_EXPAND  1
#define PSA_WANT_KEY_TYPE_HMAC    1
#define PSA_WANT_KEY_TYPE_DERIVE  1

/* Key exchange */
#define PSA_WANT_ALG_ECDH                       1
#define PSA_WANT_KEY_TYPE_ECC_PUBLIC_KEY        1
#define PSA_WANT_KEY_TYPE_ECC_KEY_PAIR_BASIC    1
#define PSA_WANT_KEY_TYPE_ECC_KEY_PAIR_IMPORT   1
#define PSA_WANT_KEY_TYPE_ECC_KEY_PAIR_EXPORT   1
#define PSA_WANT_KEY_TYPE_ECC_KEY_PAIR_GENERATE 1
#define PSA_WANT_ECC_SECP_R1_256                1
#define PSA_WANT_ECC_SECP_R1_384                1
#define PSA_WANT_ECC_SECP_R1_521                1
#define PSA_WANT_ECC_MONTGOMERY_255             1

/* Records and tickets */
#define PSA_WANT_ALG_GCM               1
#define PSA_WANT_ALG_CHACHA20_POLY1305 1
#define PSA_WANT_KEY_TYPE_AES          1
#define PSA_WANT_KEY_TYPE_CHACHA20     1

#endif

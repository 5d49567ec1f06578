# The files of Mbed TLS that postern_mbedtls_config.h leaves anything of, without .c.
MBED_LIBRARY = aes aesce aesni asn1parse asn1write bignum bignum_core bignum_mod \
    bignum_mod_raw block_cipher chacha20 chachapoly cipher cipher_wrap constant_time \
    ecdh ecdsa ecp ecp_curves ecp_curves_new ecp_curves_p521 gcm hkdf md oid pk pk_ecc pk_wrap pkparse \
    platform platform_util poly1305 psa_crypto psa_crypto_aead psa_crypto_cipher \
    psa_crypto_client psa_crypto_driver_wrappers_no_static psa_crypto_ecp psa_crypto_hash \
    psa_crypto_mac psa_crypto_rsa psa_crypto_slot_management psa_util rsa rsa_alt_helpers sha1 \
    sha256 sha512 ssl_cache ssl_ciphersuites ssl_client ssl_msg ssl_ticket ssl_tls \
    ssl_tls12_client ssl_tls12_server ssl_tls13_client ssl_tls13_generic ssl_tls13_keys \
    ssl_tls13_server x509 x509_crl x509_crt
MBED_EVEREST = everest x25519 Hacl_Curve25519_joined

MBED_SRC = $(MBED_LIBRARY:%=library/%) $(MBED_EVEREST:%=3rdparty/everest/library/%)

# Where the time of a handshake goes, compiled with -O2 whatever the board says. The rest of bignum and
# ecp is no faster for it, and 14 KB larger.
MBED_FAST = library/bignum_core library/ecp_curves 3rdparty/everest/library/Hacl_Curve25519_joined

# Arithmetic on numbers, which fuzzing need not look into.
MBED_MATH = $(MBED_FAST) library/bignum library/ecp library/ecp_curves_p521

# Where the library's public headers are, and what its own files see besides.
MBED_PUBLIC = include 3rdparty/everest/include
MBED_PRIVATE = library 3rdparty/everest/include/everest 3rdparty/everest/include/everest/kremlib

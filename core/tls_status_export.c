/* Keying material of a session of TLS 1.3 for other protocols: RFC 8446 section 7.5, with the label
 * and the empty context of RFC 9266 (tls-exporter). */
#include <common.h>
#include <ssl_misc.h>
#include <ssl_tls13_keys.h>

#include "tls_status_inside.h"

bool tls_status_export(const mbedtls_ssl_context *ssl, uint8_t out[TLS_EXPORTER_LEN])
{
    static const unsigned char label[] = "EXPORTER-Channel-Binding", step[] = "exporter";
    unsigned char secret[MBEDTLS_TLS1_3_MD_MAX_SIZE];
    if (!status_is_13(ssl) || ssl->session == NULL) {
        return false;
    }
    const mbedtls_ssl_ciphersuite_t *suite =
        mbedtls_ssl_ciphersuite_from_id(ssl->session->ciphersuite);
    if (suite == NULL) {
        return false;
    }
    psa_algorithm_t hash = mbedtls_md_psa_alg_from_type((mbedtls_md_type_t)suite->mac);
    size_t hash_len = PSA_HASH_LENGTH(hash);
    int ret = mbedtls_ssl_tls13_derive_secret(
        hash, ssl->session->app_secrets.exporter_master_secret, hash_len, label, sizeof label - 1,
        NULL, 0, MBEDTLS_SSL_TLS1_3_CONTEXT_UNHASHED, secret, hash_len);
    if (ret == 0) {
        ret = mbedtls_ssl_tls13_derive_secret(hash, secret, hash_len, step, sizeof step - 1, NULL,
                                              0, MBEDTLS_SSL_TLS1_3_CONTEXT_UNHASHED, out,
                                              TLS_EXPORTER_LEN);
    }
    mbedtls_platform_zeroize(secret, sizeof secret);
    return ret == 0;
}

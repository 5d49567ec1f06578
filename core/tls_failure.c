/* Names for the library's errors: what the log says of a session that failed. */
#include "tls_inside.h"

/* What X.509 fails with, a part of ASN.1's reason added or not. */
#define X509_FIRST (-MBEDTLS_ERR_X509_FEATURE_UNAVAILABLE)
#define X509_LAST  (-MBEDTLS_ERR_X509_FATAL_ERROR)

struct failure {
    int ret;
    const char *name;
};

static const struct failure failures[] = {
    {MBEDTLS_ERR_SSL_ALLOC_FAILED, "no-memory"},
    {MBEDTLS_ERR_SSL_BAD_CERTIFICATE, "bad-certificate"},
    {MBEDTLS_ERR_SSL_BAD_CONFIG, "internal-error"},
    {MBEDTLS_ERR_SSL_BAD_INPUT_DATA, "internal-error"},
    {MBEDTLS_ERR_SSL_BAD_PROTOCOL_VERSION, "no-common-version"},
    {MBEDTLS_ERR_SSL_BUFFER_TOO_SMALL, "message-too-long"},
    {MBEDTLS_ERR_SSL_COUNTER_WRAPPING, "too-many-records"},
    {MBEDTLS_ERR_SSL_DECODE_ERROR, "decode-error"},
    {MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE, "peer-alert"},
    {MBEDTLS_ERR_SSL_FEATURE_UNAVAILABLE, "unsupported-feature"},
    {MBEDTLS_ERR_SSL_HANDSHAKE_FAILURE, "no-common-parameters"},
    {MBEDTLS_ERR_SSL_ILLEGAL_PARAMETER, "illegal-parameter"},
    {MBEDTLS_ERR_SSL_INVALID_MAC, "bad-record-mac"},
    {MBEDTLS_ERR_SSL_INVALID_RECORD, "bad-record"},
    {MBEDTLS_ERR_SSL_NO_CLIENT_CERTIFICATE, "no-client-certificate"},
    {MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY, "peer-closed"},
    {MBEDTLS_ERR_SSL_UNEXPECTED_MESSAGE, "unexpected-message"},
    {MBEDTLS_ERR_SSL_UNEXPECTED_RECORD, "unexpected-record"},
    {MBEDTLS_ERR_SSL_UNRECOGNIZED_NAME, "unrecognized-name"},
    {MBEDTLS_ERR_SSL_UNSUPPORTED_EXTENSION, "unsupported-extension"},
    {MBEDTLS_ERR_X509_ALLOC_FAILED, "no-memory"},
    {MBEDTLS_ERR_X509_CERT_VERIFY_FAILED, "certificate-not-trusted"},
};

const char *tls_failure_name(int ret)
{
    for (size_t i = 0; i < sizeof failures / sizeof failures[0]; i++) {
        if (failures[i].ret == ret) {
            return failures[i].name;
        }
    }
    return -ret >= X509_FIRST && -ret <= X509_LAST ? "bad-certificate" : "crypto-error";
}

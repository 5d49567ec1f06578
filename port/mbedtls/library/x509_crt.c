/* The library's x509_crt.c with core/tls_platform's reader of addresses in the place of the
 * system's; and with name constraints, which must be critical (RFC 5280 4.2.1.10), for an extension
 * that need not be: core/tls_client looks at them, and core/tls_trust refuses clients for them.
 *
 * A certificate with a signature of an unknown kind is read all the same: it holds for nobody, but
 * its key may be one that is known, and others may need no signature of it. One with such a key is
 * what the library makes of a signature of that kind, which in a chain is passed over. */
#include <common.h>
#include <arpa/inet.h>
#include <sys/socket.h>

int tls_platform_address(const char *text, void *out, size_t len);

#define inet_pton(family, text, out) tls_platform_address(text, out, (family) == AF_INET6 ? 16 : 4)

#include <mbedtls/oid.h>
#include <stdbool.h>
#include <x509_internal.h>

static int know_extension(const mbedtls_asn1_buf *oid, int *out_type, int *in_out_critical)
{
    if (MBEDTLS_OID_CMP(MBEDTLS_OID_NAME_CONSTRAINTS, oid) == 0) {
        *in_out_critical = 0;
    }
    return mbedtls_oid_get_x509_ext_type(oid, out_type);
}

#define UNKNOWN_KIND (MBEDTLS_ERR_X509_UNKNOWN_SIG_ALG + MBEDTLS_ERR_OID_NOT_FOUND)

static int get_signature(const mbedtls_x509_buf *oid, const mbedtls_x509_buf *params,
                         mbedtls_md_type_t *md, mbedtls_pk_type_t *pk, void **options)
{
    int ret = mbedtls_x509_get_sig_alg(oid, params, md, pk, options);
    return ret == UNKNOWN_KIND ? 0 : ret; /* both stay NONE, by which nothing verifies */
}

static int parse_key(unsigned char **p, const unsigned char *end, mbedtls_pk_context *pk)
{
    int ret = mbedtls_pk_parse_subpubkey(p, end, pk);
    bool is_unknown = ret == MBEDTLS_ERR_PK_UNKNOWN_PK_ALG ||
                      ret == MBEDTLS_ERR_PK_UNKNOWN_NAMED_CURVE ||
                      ret == MBEDTLS_ERR_PK_INVALID_PUBKEY; /* RSA over 4096 bits */
    return is_unknown ? UNKNOWN_KIND : ret;
}

#define mbedtls_x509_get_sig_alg   get_signature
#define mbedtls_pk_parse_subpubkey parse_key
#define mbedtls_oid_get_x509_ext_type(oid, type) know_extension(oid, type, &is_critical)

#include <x509_crt.c>

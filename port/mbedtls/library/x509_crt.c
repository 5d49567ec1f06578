/* The library's x509_crt.c with core/tls_platform's reader of addresses in the place of the
 * system's; and with name constraints, which must be critical (RFC 5280 4.2.1.10), for an extension
 * that need not be: core/tls_client looks at them, and core/tls_trust refuses clients for them. */
#include <common.h>
#include <arpa/inet.h>
#include <sys/socket.h>

int tls_platform_address(const char *text, void *out, size_t len);

#define inet_pton(family, text, out) tls_platform_address(text, out, (family) == AF_INET6 ? 16 : 4)

#include <mbedtls/oid.h>

static int know_extension(const mbedtls_asn1_buf *oid, int *out_type, int *in_out_critical)
{
    if (MBEDTLS_OID_CMP(MBEDTLS_OID_NAME_CONSTRAINTS, oid) == 0) {
        *in_out_critical = 0;
    }
    return mbedtls_oid_get_x509_ext_type(oid, out_type);
}

#define mbedtls_oid_get_x509_ext_type(oid, type) know_extension(oid, type, &is_critical)

#include <x509_crt.c>

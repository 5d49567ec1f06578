/* The library's x509_crt.c with core/tls_platform's reader of addresses in the place of the
 * system's. */
#include <common.h>
#include <arpa/inet.h>
#include <sys/socket.h>

int tls_platform_address(const char *text, void *out, size_t len);

#define inet_pton(family, text, out) tls_platform_address(text, out, (family) == AF_INET6 ? 16 : 4)

#include <x509_crt.c>

/* The library's ssl_tls12_client.c, which takes the RSA-PSS signatures that it has offered, as
 * RFC 8446 4.2.3 wants it, only where PSA could make them too: servers that stay with TLS 1.2 choose
 * them, and nothing here asks PSA for signatures. And without tickets where ssl_client.c beside it is. */
#include <common.h>
#include <ssl_misc.h>

/* Behind the headers, in which these mean more. */
#define PSA_WANT_ALG_RSA_PSS 1
#ifndef PSA_WANT_ALG_SHA_512
#define PSA_WANT_ALG_SHA_512 1
#endif

#ifdef WITHOUT_CLIENT_TICKETS
#undef MBEDTLS_SSL_SESSION_TICKETS
#endif

#include <ssl_tls12_client.c>

/* The library's ssl_client.c, for flash without what resumes a session by a ticket (boards/flash.mk):
 * core/tls_client never does, so that each session shows its certificate and proof. Elsewhere there
 * are tests whose client does. */
#include <common.h>
#include <ssl_client.h>
#include <ssl_misc.h>

/* Behind the headers: structures stay as they are. */
#ifdef WITHOUT_CLIENT_TICKETS
#undef MBEDTLS_SSL_SESSION_TICKETS
#endif

#include <ssl_client.c>

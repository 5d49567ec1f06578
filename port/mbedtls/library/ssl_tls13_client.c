/* The library's ssl_tls13_client.c without tickets where ssl_client.c beside it is. What a server
 * sends of them is passed over in ssl_msg.c. */
#include <common.h>
#include <ssl_client.h>
#include <ssl_misc.h>

#ifdef WITHOUT_CLIENT_TICKETS
#undef MBEDTLS_SSL_SESSION_TICKETS
#endif

#include <ssl_tls13_client.c>

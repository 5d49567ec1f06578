/* http:// addresses of responders and proxies (RFC 3986 3, RFC 9110 4.2.1).
 *
 * Views into the text. https is refused by name: asking a responder over TLS would need a proof of
 * the responder's own certificate first, and so on; the answer is signed anyway (RFC 6960 5).
 * Codec; called by ocsp_fetch and the parser of options. */
#ifndef POSTERN_URL_H
#define POSTERN_URL_H

#include "net_addr.h"

#define URL_MAX      512
#define URL_HOST_MAX 253

enum url_error {
    URL_OK,
    URL_TOO_LONG, /* over URL_MAX */
    URL_HTTPS,    /* refused, see above */
    URL_NOT_HTTP, /* another scheme, or none */
    URL_BAD_HOST, /* neither a host name nor an address; or a user before it */
    URL_BAD_PORT, /* not 1 to 65535 */
    URL_BAD_PATH  /* a character that must not stand there, or a fragment */
};

struct url {
    struct slice authority; /* host and port as written: what the Host field says */
    struct slice host;      /* a name, or the text of an address without brackets */
    bool is_address;        /* then addr is it; addr.port is set in any case */
    struct net_addr addr;
    struct slice path; /* with the query; may be empty, which means "/" */
};

/* All of the text. */
enum url_error url_parse(struct slice text, struct url *out);

/* "url-https" and so on, constant. */
const char *url_error_name(enum url_error e);

/* A host name: letters, digits, '-' and '_' in labels of 1 to 63, at most URL_HOST_MAX in all, and
 * perhaps a dot at its end; its last label is not a number, which would be a mistaken address. */
bool url_is_host_name(struct slice text);

#endif

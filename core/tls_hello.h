/* What a ClientHello says that concerns us before the library reads it: the server name and whether
 * a proof is asked for. RFC 8446 4.1.2, RFC 6066 sections 3 and 8.
 *
 * A pure parser. All else in the message is the library's to judge, so a message that is malformed
 * elsewhere just yields nothing here. But for one thing: the library neither refuses nor hashes
 * what stands behind the extensions in TLS 1.3. Called by tls_status_server. */
#ifndef POSTERN_TLS_HELLO_H
#define POSTERN_TLS_HELLO_H

#include "buf.h"

#define TLS_NAME_MAX 253

enum tls_hello_result {
    TLS_HELLO_OK,
    TLS_HELLO_TRAILING,         /* bytes behind the extensions */
    TLS_HELLO_STATUS_MALFORMED, /* both are answered with alert 50, decode_error */
    TLS_HELLO_STATUS_TWICE      /* with alert 47, illegal_parameter */
};

struct tls_hello {
    struct slice host_name; /* as it came; empty if absent */
    bool asks_for_proof;    /* a status_request of type ocsp */
};

/* A run of bytes behind its length in len_len bytes; *in moves on success only. */
bool tls_take_vector(struct slice *in, size_t len_len, struct slice *out);

/* body: the message without its four bytes of header. */
enum tls_hello_result tls_hello_parse(struct slice body, struct tls_hello *out);

/* The name in lower case if it is 1 to 253 octets of labels (letters, digits, hyphens within, up to
 * 63 octets); else nothing is written and it is false. */
bool tls_hello_put_name(struct buf *out, struct slice host_name);

#endif

/* TLS sessions in which we are the client: for relaying, and for the self-test.
 *
 * After tls_open_client everything goes as tls.h says, but for TLS_NEED_SET, which a client never
 * sees. The client asks for a stapled proof and hands over what comes, unjudged; the caller judges
 * it (ocsp_check, with tls_client_peer's certificates) before it sends anything. Resumption is
 * never offered, so every session shows its certificate and proof anew. */
#ifndef POSTERN_TLS_CLIENT_H
#define POSTERN_TLS_CLIENT_H

#include "tls.h"

struct tls_trust;

/* Certificates of authorities, in PEM or DER. PEM blocks that cannot be read are passed over,
 * *out_num_bad of them. NULL: none could be read, or there is no memory. */
struct tls_trust *tls_trust_new(struct tls_env *env, struct slice bytes, size_t *out_num_bad);
void tls_trust_drop(struct tls_env *env, struct tls_trust *trust); /* NULL is ignored */

struct tls_client_options {
    struct slice server_name; /* sent as SNI, and what the certificate must be for; may be empty */
    const struct tls_trust *trust; /* NULL: any certificate will do; else it must outlive the
                                      handshake, and a certificate that is not good for server_name,
                                      not from there, or (wall_set) not valid now ends it */
    bool ask_proof;
};

/* ERR_NO_MEMORY; ERR_MALFORMED: server_name is over TLS_NAME_MAX octets. */
enum err tls_open_client(struct tls *t, struct tls_env *env,
                         const struct tls_client_options *options);

/* Once established: the OCSP response that the server stapled for its certificate, as it came;
 * empty if there was none. And the certificate that it showed, the others of its chain behind it.
 * Both live until tls_client_forget or tls_free. */
struct slice tls_client_proof(const struct tls *t);
const struct mbedtls_x509_crt *tls_client_peer(const struct tls *t);

/* Gives back what only judging needs. */
void tls_client_forget(struct tls *t);

#endif

/* TLS sessions in which we are the client: for relaying, and for the self-test.
 *
 * After tls_open_client everything goes as tls.h says, but for TLS_NEED_SET, which a client never
 * sees. The client asks for a stapled proof and hands over what comes, unjudged; the caller judges
 * it (ocsp_check, with tls_client_peer's certificates) before it sends anything. Resumption is
 * never offered, so every session shows its certificate and proof anew. */
#ifndef POSTERN_TLS_CLIENT_H
#define POSTERN_TLS_CLIENT_H

#include "tls.h"
#include "tls_trust.h"

/* tls_info's failure where the server's certificate was not good by the options' trust. */
#define TLS_FAILURE_UNVERIFIED "certificate-not-trusted"
#define TLS_FAILURE_NO_MEMORY  "no-memory" /* of ours */

struct tls_client_options {
    struct slice server_name; /* sent as SNI unless it is an address, and what the certificate must
                                 be for; may be empty */
    const struct tls_trust *trust; /* NULL: any certificate will do; else it must outlive the
                                      session, and a certificate that is not good for server_name,
                                      not from there, or (wall_set) not valid now ends it. A name
                                      counts only as a subjectAltName (RFC 9525 6.3) */
    bool ask_proof;
    bool may_fail; /* such a certificate does not end it; tls_client_is_verified tells */
};

/* ERR_NO_MEMORY; ERR_MALFORMED: server_name is over TLS_NAME_MAX octets. */
enum err tls_open_client(struct tls *t, struct tls_env *env,
                         const struct tls_client_options *options);

/* Once established: whether the certificate was good by options.trust, which was not NULL. */
bool tls_client_is_verified(const struct tls *t);

/* Once established: the OCSP response that the server stapled for its certificate, as it came;
 * empty if there was none. And the certificate that it showed, the others of its chain behind it.
 * Both live until tls_client_forget or tls_free. */
struct slice tls_client_proof(const struct tls *t);
const struct mbedtls_x509_crt *tls_client_peer(const struct tls *t);

/* Once established: whether the certificate says that it is not to be believed without a proof (RFC
 * 7633). Until tls_client_forget. */
bool tls_client_must_staple(const struct tls *t);

/* Judges what the server stapled (RFC 6960 3.2): the proof, against the certificate that was shown
 * and the issuer that its verification found; or, without trust, one in the chain that has signed
 * it. Public-key work. OCSP_GOOD: it holds now. Without a trusted clock a good one is
 * OCSP_CLOCK_NOT_SET. OCSP_NO_FILE: there is none. *out: as ocsp_check leaves it. */
enum ocsp_reason tls_client_judge(const struct tls *t, const struct ocsp_options *options,
                                  const struct tls_time *now, struct ocsp_verdict *out);

/* Tells the server that its proof will not do, with what ends the session (RFC 6066 8); tls_pending
 * has it. */
void tls_client_refuse_proof(struct tls *t);

/* Gives back what only judging needs. */
void tls_client_forget(struct tls *t);

#endif

/* Whom TLS believes: certificates of authorities, and their lists of what they have revoked.
 *
 * Counted, so that a handshake keeps what it began with while files change. Used by both sides:
 * tls_client for servers' certificates, tls for clients'. */
#ifndef POSTERN_TLS_TRUST_H
#define POSTERN_TLS_TRUST_H

#include "slice.h"

struct tls_env;
struct tls_trust;

/* Certificates of authorities, in PEM or DER, with one reference, the caller's. PEM blocks that
 * cannot be read are passed over, *out_num_bad of them. NULL: none could be read, or there is no
 * memory. */
struct tls_trust *tls_trust_new(struct tls_env *env, struct slice bytes, size_t *out_num_bad);

/* Adds revocation lists (RFC 5280 section 5), in PEM or DER. From then on a certificate is good
 * only if a list that its issuer's key signed is there, is in date, and none has it; authorities
 * that stand in the trust itself need none. False: not all can be read, or there is no memory; then
 * some may be there.
 */
bool tls_trust_add_crls(struct tls_env *env, struct tls_trust *trust, struct slice bytes);

/* One more reference, and one less; the last one frees. NULL is ignored. */
struct tls_trust *tls_trust_keep(struct tls_trust *trust);
void tls_trust_drop(struct tls_env *env, struct tls_trust *trust);

#endif

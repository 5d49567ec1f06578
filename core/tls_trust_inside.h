/* What tls and tls_client share of verifying a peer's certificate; for tls_* only. */
#ifndef POSTERN_TLS_TRUST_INSIDE_H
#define POSTERN_TLS_TRUST_INSIDE_H

#include "tls_inside.h"

/* Verifies the peer by t->trust; judge is called for each certificate of its chain. */
void tls_trust_use(struct tls *t,
                   int (*judge)(void *ctx, mbedtls_x509_crt *cert, int depth, uint32_t *flags));

/* What the library does not look at, or not as it should: dates, as it has no clock; revocation
 * lists, where there are any; and that an authority (depth is not 0) which is for certain purposes
 * only is for this one, which its certificate's extended key usage says in practice, though not in
 * RFC 5280. To be called for the whole chain, the issuer first. Always 0. */
int tls_trust_judge(const struct tls *t, const mbedtls_x509_crt *cert, int depth, uint32_t *flags);

/* While a handshake goes on: the certificate itself; or, of an authority that is not in date,
 * another of the trust with its name and key that is. */
const mbedtls_x509_crt *tls_trust_stand_in(const struct tls *t, const mbedtls_x509_crt *cert);

#endif

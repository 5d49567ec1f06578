/* Who signed this response, and may they? RFC 6960 4.2.2.2. Engine: for ocsp_check alone. */
#ifndef POSTERN_OCSP_CHECK_SIGNER_H
#define POSTERN_OCSP_CHECK_SIGNER_H

#include "ocsp_check.h"

/* Verifies the response's signature by the issuer, or by a delegate in the response whose
 * certificate then is *out_signer, and fills in the signer's fields of *v. OCSP_GOOD, or why nobody
 * who may sign has done so. The signer's validity in time is left to the caller. */
enum ocsp_reason ocsp_signer_check(const struct ocsp_question *q, const struct ocsp_response *r,
                                   struct ocsp_verdict *v, struct x509_cert *out_signer);

#endif

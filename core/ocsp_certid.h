/* What a certificate is called in OCSP: the hashes of its issuer's name and key, and its serial
 * number (RFC 6960 4.1.1). Engine: hashes; ocsp_request writes it down. Called by whoever sets up
 * ocsp_fetch. */
#ifndef POSTERN_OCSP_CERTID_H
#define POSTERN_OCSP_CERTID_H

#include "ocsp_request.h"
#include "x509.h"

/* The issuer's name is as the certificate has it, which the issuer's own may write otherwise
 * (x509_is_same_name). False if the serial number is empty or longer than OCSP_SERIAL_MAX. */
bool ocsp_certid_make(struct ocsp_certid *out, const struct x509_cert *issuer,
                      const struct x509_cert *cert);

/* The URL of an OCSP responder in the certificate (authorityInfoAccess, RFC 5280 4.2.2.1), a view
 * into it: of those that can be asked, up to four, each in its turn, else one that cannot, such as
 * an https URL. How many there are to take turns; 0 if there is none, or the extension is
 * malformed. */
size_t ocsp_certid_find_url(const struct x509_cert *cert, uint32_t turn, struct slice *out);

#endif

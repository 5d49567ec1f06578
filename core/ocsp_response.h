/* Is it a well-formed OCSP response? RFC 6960, section 4.2.1, in strict DER.
 *
 * Views into the input, no copies: every slice here points into the bytes given to
 * ocsp_response_parse and lives as long as they do. Codec: pure functions, no crypto, no time, no
 * judgement; ocsp_check judges. */
#ifndef POSTERN_OCSP_RESPONSE_H
#define POSTERN_OCSP_RESPONSE_H

#include "x509.h"

/* OCSPResponseStatus, RFC 6960 4.2.1; 4 is not used. */
enum ocsp_response_status {
    OCSP_STATUS_SUCCESSFUL = 0,
    OCSP_STATUS_MALFORMED_REQUEST = 1,
    OCSP_STATUS_INTERNAL_ERROR = 2,
    OCSP_STATUS_TRY_LATER = 3,
    OCSP_STATUS_SIG_REQUIRED = 5,
    OCSP_STATUS_UNAUTHORIZED = 6
};

enum ocsp_cert_status { OCSP_CERT_GOOD, OCSP_CERT_REVOKED, OCSP_CERT_UNKNOWN };

struct ocsp_response {
    enum ocsp_response_status status;
    bool is_basic; /* what follows is filled in only for a successful basic response */

    struct x509_signed sealed; /* tbsResponseData and its signature */
    uint64_t version;          /* 0 is v1; if other, nothing but status is filled in */
    struct slice by_name;      /* responderID: one of the two, the other is empty; a whole Name */
    struct slice by_key;       /* or the SHA-1 of the responder's public key */
    int64_t produced_at_s;
    struct slice singles;    /* for ocsp_single_next; at least well formed */
    struct slice extensions; /* for x509_next_extension; empty if absent */
    struct slice certs;      /* for ocsp_cert_next; empty if absent */
};

struct ocsp_single {
    struct x509_algorithm hash;
    struct slice issuer_name_hash;
    struct slice issuer_key_hash;
    struct slice serial; /* content bytes of the INTEGER, minimal */
    enum ocsp_cert_status status;
    int64_t revocation_s;  /* if revoked */
    int revocation_reason; /* CRLReason, -1 if not given */
    int64_t this_update_s;
    bool has_next_update;
    int64_t next_update_s;
    struct slice extensions;
};

/* All of the bytes as one OCSPResponse, every nesting read to its end: all SingleResponses,
 * extensions and certificates (those for their outer form). False if it is anything else; then *out
 * means nothing. */
bool ocsp_response_parse(struct slice bytes, struct ocsp_response *out);

/* The next item of a run that ocsp_response_parse filled in; moves past it. False at the end. */
bool ocsp_single_next(struct slice *run, struct ocsp_single *out);
bool ocsp_cert_next(struct slice *run, struct slice *out_der);

/* The same response with none of its certificates but number `signer`, counted from 1 (0: none),
 * and the issuer's, if it is there. It is made in the memory of the bytes. What cannot be parsed
 * stays as it is. */
struct slice ocsp_response_trim(struct slice bytes, size_t signer, struct slice issuer);

#endif

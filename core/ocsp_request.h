/* The question to a responder: OCSPRequest (RFC 6960 4.1), as bytes and as the address of a GET
 * (RFC 9919 5), and the nonce of RFC 9654.
 *
 * Codec: the hashes of a CertID are given to it (ocsp_certid makes them); it knows neither
 * certificates nor the network. Called by ocsp_fetch and the commands. */
#ifndef POSTERN_OCSP_REQUEST_H
#define POSTERN_OCSP_REQUEST_H

#include "buf.h"

/* SHA-1: most responders know nothing else; what is hashed is public and nothing depends on its
 * strength. */
#define OCSP_HASH_LEN   20
#define OCSP_SERIAL_MAX 64 /* RFC 5280 allows 20; others were met */
#define OCSP_NONCE_LEN  32 /* RFC 9654 2.1: a client should send 32 */

/* A request and its nonce fit, whatever they hold. */
#define OCSP_REQUEST_CAP 256

struct ocsp_certid {
    uint8_t name_hash[OCSP_HASH_LEN]; /* of the issuer's Name */
    uint8_t key_hash[OCSP_HASH_LEN];  /* of the bits of its key */
    uint8_t serial[OCSP_SERIAL_MAX];  /* content bytes of the INTEGER; 0 behind them */
    size_t serial_len;
};

_Static_assert(sizeof(struct ocsp_certid) == 2 * OCSP_HASH_LEN + OCSP_SERIAL_MAX + sizeof(size_t),
               "two of them are compared as bytes");

/* An OCSPRequest for one certificate, unsigned, version 1; with a nonce unless that is empty. It
 * stands at the end of memory. False if cap is too small (OCSP_REQUEST_CAP is not, with a nonce of
 * OCSP_NONCE_LEN), or the serial is empty or too long. */
bool ocsp_request_write(uint8_t *memory, size_t cap, const struct ocsp_certid *id,
                        struct slice nonce, struct slice *out);

/* What a GET asks for: the responder's path, a slash unless it ends in one, and the request in
 * base64, percent-encoded. request is at most OCSP_REQUEST_CAP bytes. Whole or not at all. */
bool ocsp_request_put_path(struct buf *b, struct slice path, struct slice request);

enum ocsp_nonce { OCSP_NONCE_ABSENT, OCSP_NONCE_SAME, OCSP_NONCE_OTHER };

/* Whether a response's extensions (ocsp_response.extensions) carry that nonce. */
enum ocsp_nonce ocsp_request_find_nonce(struct slice extensions, struct slice nonce);

#endif

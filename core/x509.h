/* The parts of X.509 that OCSP is made of: algorithms, extensions, what is signed, and a
 * certificate read just as far as judging a proof needs (RFC 5280).
 *
 * Views into the input, in strict DER. DEFAULT values that are written out (critical FALSE) are let
 * pass, against the letter of DER: they are met in practice and cannot be mistaken for anything
 * else. Codec: verifies nothing and trusts nobody; the TLS library reads certificates for its own
 * purposes. */
#ifndef POSTERN_X509_H
#define POSTERN_X509_H

#include "slice.h"

/* An AlgorithmIdentifier. */
struct x509_algorithm {
    struct slice oid;    /* content bytes */
    struct slice params; /* one whole element, or empty if absent */
};

/* What begins a BasicOCSPResponse, and is all of a Certificate. */
struct x509_signed {
    struct slice bytes; /* a SEQUENCE, with its tag and length */
    struct x509_algorithm algorithm;
    struct slice signature; /* a whole number of bytes */
};

struct x509_extension {
    struct slice oid;
    bool critical;
    struct slice value;
};

struct x509_cert {
    struct slice whole;
    struct x509_signed sealed;
    struct slice serial;          /* content bytes of the INTEGER, minimal */
    struct slice issuer;          /* a whole Name */
    struct slice subject;         /* likewise */
    struct slice public_key_info; /* a whole SubjectPublicKeyInfo */
    struct slice key_bits;        /* the bits in it, which OCSP hashes */
    int64_t not_before_s;         /* Unix seconds, both inclusive */
    int64_t not_after_s;
    struct slice extensions; /* for x509_next_extension; empty if absent */
};

/* Each reads one element from the front and advances only on success. */
bool x509_get_algorithm(struct slice *in, struct x509_algorithm *out);
bool x509_get_signed(struct slice *in, struct x509_signed *out);
bool x509_next_extension(struct slice *run, struct x509_extension *out);

/* [n] EXPLICIT Extensions OPTIONAL: the run of extensions, all of them well formed; empty if
 * absent. */
bool x509_get_extensions(struct slice *in, uint8_t n, struct slice *out);

/* All of the bytes as one Certificate of any version. */
bool x509_parse_cert(struct slice der, struct x509_cert *out);

/* The value of the certificate's extension of that OID, empty if it has none. */
struct slice x509_find_extension(const struct x509_cert *cert, struct slice oid);

/* Whether two Names are the same, in either kind of string (PrintableString, UTF8String; RFC
 * 5280 7.1): an authority that was renewed by other software may be written otherwise than in the
 * certificates that it issued before. */
bool x509_is_same_name(struct slice a, struct slice b);

#define X509_STATUS_REQUEST 5 /* RFC 7633 4.2.1: the number of the TLS extension */

/* Whether it demands that TLS extension of whoever shows it (RFC 7633). */
bool x509_has_tls_feature(const struct x509_cert *cert, uint64_t extension);

/* Whether a SubjectPublicKeyInfo is of an RSA key whose exponent has at most 64 bits: one as long
 * as the modulus makes each check of a signature as dear as a hundred others. */
bool x509_has_short_exponent(struct slice public_key_info);

#define X509_OID_NAME_CONSTRAINTS SLICE_LITERAL("\x55\x1d\x1e") /* 2.5.29.30 */

/* Whether the authority's name constraints, if it has any, let it vouch for a host of that name;
 * empty: one that is known by no name, which none do. */
bool x509_may_vouch_for(const struct x509_cert *authority, struct slice host);

#endif

/* Strict DER (X.690): reads the encodings that OCSP responses and certificates are made of.
 *
 * One encoding of each value is right and all else is refused: definite lengths in their shortest
 * form, low tag numbers, minimal integers, canonical booleans. Every getter moves the cursor past
 * what it read, and only when it succeeds; a grammar's end is der_end. Codec: knows no grammar. */
#ifndef POSTERN_DER_H
#define POSTERN_DER_H

#include "slice.h"

#define DER_BOOLEAN          0x01u
#define DER_INTEGER          0x02u
#define DER_BIT_STRING       0x03u
#define DER_OCTET_STRING     0x04u
#define DER_NULL             0x05u
#define DER_OID              0x06u
#define DER_ENUMERATED       0x0au
#define DER_UTC_TIME         0x17u
#define DER_GENERALIZED_TIME 0x18u
#define DER_SEQUENCE         0x30u

/* Context-specific tags: [n] around a primitive (IMPLICIT), or constructed (EXPLICIT, and IMPLICIT
 * of a SEQUENCE). */
#define DER_CONTEXT(n)             (0x80u | (n))
#define DER_CONTEXT_CONSTRUCTED(n) (0xa0u | (n))

/* The end of a nesting: nothing is left. */
static inline bool der_end(struct slice in)
{
    return slice_is_empty(in);
}

/* Whether the next element has that tag: for OPTIONAL and CHOICE. */
static inline bool der_next_is(struct slice in, uint8_t tag)
{
    return in.len != 0 && in.ptr[0] == tag;
}

/* Any element: its tag and its content. */
bool der_any(struct slice *in, uint8_t *out_tag, struct slice *out_content);

/* Any element with that tag: its content; or all of it, with tag and length. */
bool der_get(struct slice *in, uint8_t tag, struct slice *out_content);
bool der_whole(struct slice *in, uint8_t tag, struct slice *out_element);

/* The content of [n] EXPLICIT, of which nothing but one element with the tag inside may stand
 * there. */
bool der_get_explicit(struct slice *in, uint8_t n, uint8_t tag, struct slice *out_content);

/* Content bytes of an INTEGER of any sign and length, or a value from 0 to max. */
bool der_get_integer(struct slice *in, struct slice *out);
bool der_get_u64(struct slice *in, uint64_t max, uint64_t *out);

/* From 0 to 127, which is more than any grammar here has. */
bool der_get_enumerated(struct slice *in, uint8_t *out);

bool der_get_boolean(struct slice *in, bool *out);
bool der_get_oid(struct slice *in, struct slice *out);
bool der_get_null(struct slice *in);

/* A BIT STRING of whole bytes: those. */
bool der_get_bits(struct slice *in, struct slice *out);

/* Unix seconds. YYYYMMDDHHMMSSZ, and YYMMDDHHMMSSZ of the years 1950 to 2049 (RFC 5280 4.1.2.5). */
bool der_get_generalized_time(struct slice *in, int64_t *out_s);
bool der_get_utc_time(struct slice *in, int64_t *out_s);

#endif

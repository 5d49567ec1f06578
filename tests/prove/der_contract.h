/* What der.h owes, in ACSL: see slice_contract.h. */
#ifndef POSTERN_PROVE_DER_H
#define POSTERN_PROVE_DER_H

#include "der.h"
#include "text_contract.h"

/*@ // From a to b an element was read, whose content stands at its end, behind head bytes or more.
    predicate element(struct slice b, struct slice a, struct slice content, integer head) =
        behind(b, a, a.len - b.len) && content.len + head <= a.len - b.len &&
        content.ptr == b.ptr - content.len;

    predicate moved(struct slice b, struct slice a, integer least) =
        behind(b, a, a.len - b.len) && least <= a.len - b.len;
*/

/*@ assigns \nothing;
    ensures \result <==> in.len == 0; */
static inline bool der_end(struct slice in);

/*@ requires readable(in);
    assigns \nothing;
    ensures \result <==> in.len != 0 && in.ptr[0] == tag; */
static inline bool der_next_is(struct slice in, uint8_t tag);

/*@ requires cursor(in) && \valid(out) && \separated(in, out);
    assigns *in, *out;
    ensures \result ==> moved(*in, \old(*in), 1);
    ensures !\result ==> *in == \old(*in) && *out == \old(*out); */
static bool take_length(struct slice *in, size_t *out);

/*@ requires cursor(in) && \valid(out_tag) && \valid(out_content);
    requires \separated(in, out_tag, out_content);
    assigns *in, *out_tag, *out_content;
    ensures \result ==> element(*in, \old(*in), *out_content, 2);
    ensures !\result ==> *in == \old(*in);
    ensures !\result ==> *out_tag == \old(*out_tag) && *out_content == \old(*out_content); */
bool der_any(struct slice *in, uint8_t *out_tag, struct slice *out_content);

/*@ requires cursor(in) && \valid(out_content) && \separated(in, out_content);
    assigns *in, *out_content;
    ensures \result ==> element(*in, \old(*in), *out_content, 2);
    ensures !\result ==> *in == \old(*in) && *out_content == \old(*out_content); */
bool der_get(struct slice *in, uint8_t tag, struct slice *out_content);

/*@ requires cursor(in) && \valid(out_element) && \separated(in, out_element);
    assigns *in, *out_element;
    ensures \result ==> element(*in, \old(*in), *out_element, 0);
    ensures !\result ==> *in == \old(*in) && *out_element == \old(*out_element); */
bool der_whole(struct slice *in, uint8_t tag, struct slice *out_element);

/*@ requires cursor(in) && \valid(out_content) && \separated(in, out_content);
    assigns *in, *out_content;
    ensures \result ==> element(*in, \old(*in), *out_content, 4);
    ensures !\result ==> *in == \old(*in) && *out_content == \old(*out_content); */
bool der_get_explicit(struct slice *in, uint8_t n, uint8_t tag, struct slice *out_content);

/*@ requires readable(number);
    assigns \nothing;
    ensures \result ==> number.len != 0; */
static bool is_minimal(struct slice number);

/*@ requires cursor(in) && \valid(out) && \separated(in, out);
    assigns *in, *out;
    ensures \result ==> element(*in, \old(*in), *out, 2) && out->len != 0;
    ensures !\result ==> *in == \old(*in) && *out == \old(*out); */
bool der_get_integer(struct slice *in, struct slice *out);

/*@ requires cursor(in) && \valid(out) && \separated(in, out);
    assigns *in, *out;
    ensures \result ==> moved(*in, \old(*in), 3) && *out <= 127;
    ensures !\result ==> *in == \old(*in) && *out == \old(*out); */
bool der_get_enumerated(struct slice *in, uint8_t *out);

/*@ requires cursor(in) && \valid(out) && \separated(in, out);
    assigns *in, *out;
    ensures \result ==> moved(*in, \old(*in), 3);
    ensures !\result ==> *in == \old(*in) && *out == \old(*out); */
bool der_get_boolean(struct slice *in, bool *out);

/*@ requires cursor(in) && \valid(out) && \separated(in, out);
    assigns *in, *out;
    ensures \result ==> element(*in, \old(*in), *out, 2) && out->len != 0;
    ensures !\result ==> *in == \old(*in) && *out == \old(*out); */
bool der_get_oid(struct slice *in, struct slice *out);

/*@ requires cursor(in);
    assigns *in;
    ensures \result ==> moved(*in, \old(*in), 2);
    ensures !\result ==> *in == \old(*in); */
bool der_get_null(struct slice *in);

/*@ requires cursor(in) && \valid(out) && \separated(in, out);
    assigns *in, *out;
    ensures \result ==> element(*in, \old(*in), *out, 3);
    ensures !\result ==> *in == \old(*in) && *out == \old(*out); */
bool der_get_bits(struct slice *in, struct slice *out);

#endif

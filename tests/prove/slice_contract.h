/* What slice.h owes, in ACSL: see tests/prove/run.
 *
 * requires is what callers owe: pointers that may be used, to things that do not overlap. The rest
 * is proved. */
#ifndef POSTERN_PROVE_SLICE_H
#define POSTERN_PROVE_SLICE_H

#include "slice.h"

/*@ predicate readable(struct slice s) = s.len == 0 || \valid_read(s.ptr + (0 .. s.len - 1));

    // What is left of a behind its first n bytes is b.
    predicate behind(struct slice b, struct slice a, integer n) =
        0 <= n <= a.len && b.ptr == a.ptr + n && b.len == a.len - n;

    predicate cursor(struct slice *s) = \valid(s) && readable(*s);
*/

/*@ assigns \nothing;
    ensures \result.ptr == ptr && \result.len == len; */
static inline struct slice slice_make(const void *ptr, size_t len);

/*@ assigns \nothing;
    ensures \result <==> s.len == 0; */
static inline bool slice_is_empty(struct slice s);

/*@ requires \valid_read(text + (0 .. 0));
    assigns \nothing; */
static inline struct slice slice_of_string(const char *text);

/*@ requires readable(a) && readable(b);
    assigns \nothing;
    ensures \result ==> a.len == b.len; */
static inline bool slice_equal(struct slice a, struct slice b);

/*@ requires cursor(s) && \valid(out) && \separated(s, out);
    assigns *s, *out;
    ensures \result <==> len <= \old(s->len);
    ensures \result ==> behind(*s, \old(*s), len) && out->ptr == \old(s->ptr) && out->len == len;
    ensures !\result ==> *s == \old(*s) && *out == \old(*out); */
static inline bool slice_take(struct slice *s, size_t len, struct slice *out);

/*@ requires cursor(s);
    assigns *s;
    ensures \result <==> len <= \old(s->len);
    ensures \result ==> behind(*s, \old(*s), len);
    ensures !\result ==> *s == \old(*s); */
static inline bool slice_skip(struct slice *s, size_t len);

/*@ requires cursor(s) && \valid(out) && \separated(s, out) && 1 <= n <= 8;
    assigns *s, *out;
    ensures \result <==> n <= \old(s->len);
    ensures \result ==> behind(*s, \old(*s), n);
    ensures !\result ==> *s == \old(*s) && *out == \old(*out); */
static inline bool slice_be(struct slice *s, size_t n, uint64_t *out);

/*@ requires cursor(s) && \valid(out) && \separated(s, out);
    assigns *s, *out;
    ensures \result <==> 1 <= \old(s->len);
    ensures \result ==> behind(*s, \old(*s), 1);
    ensures !\result ==> *s == \old(*s) && *out == \old(*out); */
static inline bool slice_u8(struct slice *s, uint8_t *out);

/*@ requires cursor(s) && \valid(out) && \separated(s, out);
    assigns *s, *out;
    ensures \result <==> 2 <= \old(s->len);
    ensures \result ==> behind(*s, \old(*s), 2);
    ensures !\result ==> *s == \old(*s) && *out == \old(*out); */
static inline bool slice_be16(struct slice *s, uint16_t *out);

/*@ requires cursor(s) && \valid(out) && \separated(s, out);
    assigns *s, *out;
    ensures \result <==> 4 <= \old(s->len);
    ensures \result ==> behind(*s, \old(*s), 4);
    ensures !\result ==> *s == \old(*s) && *out == \old(*out); */
static inline bool slice_be32(struct slice *s, uint32_t *out);

/*@ requires cursor(s) && \valid(out) && \separated(s, out);
    assigns *s, *out;
    ensures \result <==> 8 <= \old(s->len);
    ensures \result ==> behind(*s, \old(*s), 8);
    ensures !\result ==> *s == \old(*s) && *out == \old(*out); */
static inline bool slice_be64(struct slice *s, uint64_t *out);

#endif

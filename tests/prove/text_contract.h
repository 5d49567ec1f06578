/* What text.h owes where it reads numbers and dates, in ACSL: see slice_contract.h. The bounds of
 * days are wide ones: enough that what is reckoned with them does not overflow. */
#ifndef POSTERN_PROVE_TEXT_H
#define POSTERN_PROVE_TEXT_H

#include "slice_contract.h"

#include "text.h"

/*@ assigns \nothing;
    ensures \result <==> '0' <= c <= '9'; */
static inline bool text_is_digit(uint8_t c);

/*@ requires readable(text) && \valid(out);
    assigns *out;
    ensures \result ==> *out <= max && text.len != 0;
    ensures !\result ==> *out == \old(*out); */
bool text_parse_u64(struct slice text, uint64_t max, uint64_t *out);

/*@ requires by != 0 && \valid(value);
    assigns *value;
    ensures *value == \old(*value) / by;
    ensures \result < by; */
uint32_t text_divide(uint64_t *value, uint32_t by);

/*@ assigns \nothing; */
static bool is_leap_year(uint32_t year);

/*@ requires 1 <= month <= 12;
    assigns \nothing;
    ensures \result <= 32; */
static uint32_t days_in_month(uint32_t year, uint32_t month);

/*@ requires m <= 11;
    assigns \nothing;
    ensures \result <= 400; */
static uint32_t days_before_month(uint32_t m);

/*@ requires \valid(out_days);
    assigns *out_days;
    ensures \result ==> 1 <= month <= 12 && 1 <= day <= 32;
    ensures \result && 0 <= year <= 9999 ==> -10000000 <= *out_days <= 10000000;
    ensures !\result ==> *out_days == \old(*out_days); */
bool text_days_of_date(int32_t year, uint32_t month, uint32_t day, int64_t *out_days);

#endif

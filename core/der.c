/* Strict DER. X.690: 8.1 and 10.1 are identifiers and lengths, 8.2 and 11.1 booleans, 8.3 integers,
 * 8.19 object identifiers, 11.2 bit strings, 11.7 and 11.8 times. */
#include "der.h"

#include "text.h"

#define HIGH_TAG_NUMBER 0x1fu
#define LONG_FORM       0x80u

/* Length in the fewest octets: below 128 in one; else a count of octets (4 are more than any input
 * here has) and the number, without a leading zero. */
static bool take_length(struct slice *in, size_t *out)
{
    struct slice rest = *in;
    uint8_t first;
    uint64_t length;
    if (!slice_u8(&rest, &first)) {
        return false;
    }
    if (first < LONG_FORM) {
        length = first;
    } else {
        size_t num_octets = first & 0x7fu;
        if (num_octets == 0 || num_octets > 4 || !slice_be(&rest, num_octets, &length)) {
            return false;
        }
        if (length < LONG_FORM || length >> (8 * (num_octets - 1)) == 0) {
            return false;
        }
    }
    *in = rest;
    *out = (size_t)length;
    return true;
}

bool der_any(struct slice *in, uint8_t *out_tag, struct slice *out_content)
{
    struct slice rest = *in;
    uint8_t tag;
    size_t len;
    if (!slice_u8(&rest, &tag) || (tag & HIGH_TAG_NUMBER) == HIGH_TAG_NUMBER) {
        return false;
    }
    if (!take_length(&rest, &len) || !slice_take(&rest, len, out_content)) {
        return false;
    }
    *in = rest;
    *out_tag = tag;
    return true;
}

bool der_get(struct slice *in, uint8_t tag, struct slice *out_content)
{
    uint8_t found;
    return der_next_is(*in, tag) && der_any(in, &found, out_content);
}

bool der_whole(struct slice *in, uint8_t tag, struct slice *out_element)
{
    struct slice rest = *in, content;
    if (!der_get(&rest, tag, &content)) {
        return false;
    }
    *out_element = slice_make(in->ptr, in->len - rest.len);
    *in = rest;
    return true;
}

bool der_get_explicit(struct slice *in, uint8_t n, uint8_t tag, struct slice *out_content)
{
    struct slice rest = *in, inside, content;
    if (!der_get(&rest, (uint8_t)DER_CONTEXT_CONSTRUCTED(n), &inside) ||
        !der_get(&inside, tag, &content) || !der_end(inside)) {
        return false;
    }
    *in = rest;
    *out_content = content;
    return true;
}

/* At least one octet, and not all of the first nine bits alike. */
static bool is_minimal(struct slice number)
{
    if (number.len < 2) {
        return number.len == 1;
    }
    bool negative = (number.ptr[1] & 0x80u) != 0;
    return number.ptr[0] != (negative ? 0xffu : 0x00u);
}

bool der_get_integer(struct slice *in, struct slice *out)
{
    struct slice rest = *in, number;
    if (!der_get(&rest, DER_INTEGER, &number) || !is_minimal(number)) {
        return false;
    }
    *in = rest;
    *out = number;
    return true;
}

bool der_get_u64(struct slice *in, uint64_t max, uint64_t *out)
{
    struct slice rest = *in, number;
    uint64_t value = 0;
    if (!der_get_integer(&rest, &number) || (number.ptr[0] & 0x80u) != 0) {
        return false;
    }
    /* The zero that keeps the sign positive. */
    if (number.len == 9 && number.ptr[0] == 0) {
        slice_skip(&number, 1);
    }
    if (number.len > 8) {
        return false;
    }
    (void)slice_be(&number, number.len, &value); /* all of it, which is there */
    if (value > max) {
        return false;
    }
    *in = rest;
    *out = value;
    return true;
}

bool der_get_enumerated(struct slice *in, uint8_t *out)
{
    struct slice rest = *in, number;
    if (!der_get(&rest, DER_ENUMERATED, &number) || number.len != 1 || number.ptr[0] > 127) {
        return false;
    }
    *in = rest;
    *out = number.ptr[0];
    return true;
}

bool der_get_boolean(struct slice *in, bool *out)
{
    struct slice rest = *in, octets;
    if (!der_get(&rest, DER_BOOLEAN, &octets) || octets.len != 1 ||
        (octets.ptr[0] != 0x00 && octets.ptr[0] != 0xff)) {
        return false;
    }
    *in = rest;
    *out = octets.ptr[0] != 0;
    return true;
}

/* Subidentifiers in base 128, the top bit set on all but the last octet of each, none of which
 * begins with an octet of zero bits. */
bool der_get_oid(struct slice *in, struct slice *out)
{
    struct slice rest = *in, oid;
    if (!der_get(&rest, DER_OID, &oid) || oid.len == 0) {
        return false;
    }
    bool begins = true;
    for (size_t i = 0; i < oid.len; i++) {
        if (begins && oid.ptr[i] == 0x80) {
            return false;
        }
        begins = (oid.ptr[i] & 0x80u) == 0;
    }
    if (!begins) {
        return false;
    }
    *in = rest;
    *out = oid;
    return true;
}

bool der_get_null(struct slice *in)
{
    struct slice rest = *in, nothing;
    if (!der_get(&rest, DER_NULL, &nothing) || nothing.len != 0) {
        return false;
    }
    *in = rest;
    return true;
}

bool der_get_bits(struct slice *in, struct slice *out)
{
    struct slice rest = *in, octets;
    uint8_t num_unused;
    if (!der_get(&rest, DER_BIT_STRING, &octets) || !slice_u8(&octets, &num_unused) ||
        num_unused != 0) {
        return false;
    }
    *in = rest;
    *out = octets;
    return true;
}

static bool take_digits(struct slice *in, size_t num_digits, uint32_t *out)
{
    struct slice digits;
    uint64_t value;
    if (!slice_take(in, num_digits, &digits) || !text_parse_u64(digits, 9999, &value)) {
        return false;
    }
    *out = (uint32_t)value;
    return true;
}

/* MMDDHHMMSSZ, and nothing behind it. */
static bool parse_rest_of_time(struct slice in, uint32_t year, int64_t *out_s)
{
    uint32_t month, day, hour, minute, second;
    int64_t days;
    if (!take_digits(&in, 2, &month) || !take_digits(&in, 2, &day) || !take_digits(&in, 2, &hour) ||
        !take_digits(&in, 2, &minute) || !take_digits(&in, 2, &second) ||
        !slice_equal(in, SLICE_LITERAL("Z"))) {
        return false;
    }
    if (hour > 23 || minute > 59 || second > 59 ||
        !text_days_of_date((int32_t)year, month, day, &days)) {
        return false;
    }
    *out_s = days * 86400 + (int64_t)(hour * 3600 + minute * 60 + second);
    return true;
}

bool der_get_generalized_time(struct slice *in, int64_t *out_s)
{
    struct slice rest = *in, text;
    uint32_t year;
    if (!der_get(&rest, DER_GENERALIZED_TIME, &text) || !take_digits(&text, 4, &year) ||
        !parse_rest_of_time(text, year, out_s)) {
        return false;
    }
    *in = rest;
    return true;
}

bool der_get_utc_time(struct slice *in, int64_t *out_s)
{
    struct slice rest = *in, text;
    uint32_t year;
    if (!der_get(&rest, DER_UTC_TIME, &text) || !take_digits(&text, 2, &year) ||
        !parse_rest_of_time(text, year < 50 ? 2000 + year : 1900 + year, out_s)) {
        return false;
    }
    *in = rest;
    return true;
}

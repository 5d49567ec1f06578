/* Small texts: numbers, times, case, and peers' bytes made safe to print. Base layer; no locale, no
 * printf. */
#ifndef POSTERN_TEXT_H
#define POSTERN_TEXT_H

#include "buf.h"

static inline uint8_t text_lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + ('a' - 'A')) : c;
}

static inline bool text_is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static inline bool text_is_alpha(uint8_t c)
{
    uint8_t low = text_lower(c);
    return low >= 'a' && low <= 'z';
}

static inline bool text_is_blank(uint8_t c)
{
    return c == ' ' || c == '\t';
}

/* ASCII case folded; other bytes compared as they are. */
bool text_equal_nocase(struct slice a, struct slice b);

/* Their order by bytes, ASCII case folded: negative, 0 or positive. */
int text_compare_nocase(struct slice a, struct slice b);
/* Where name is or belongs among things of thing_len bytes, each of which begins with its name, a
 * struct slice, sorted by text_compare_nocase. */
uint32_t text_place_of(struct slice name, const void *things, uint32_t num_things, size_t thing_len,
                       bool *out_is_there);

/* What stands in front of the last c and behind it. False if there is none: all is in front. */
bool text_cut_last(struct slice text, uint8_t c, struct slice *out_front, struct slice *out_back);

/* All of the text as a decimal number of at most max; no sign, no space, at least one digit. */
bool text_parse_u64(struct slice text, uint64_t max, uint64_t *out);

/* Each of the puts here stands whole or not at all: false, with b->overflow set, if b is too full.
 */
bool text_put_u64(struct buf *b, uint64_t value);
bool text_put_i64(struct buf *b, int64_t value);
bool text_put_hex(struct buf *b, struct slice bytes); /* lower case */

/* The mark of UTF-8 (EF BB BF) that some editors put in front of a text, if it is there. */
void text_skip_mark(struct slice *text);

/* Of a hexadecimal digit, in either case; -1: it is none. */
int text_hex_value(uint8_t c);

/* Exactly 2 * len hexadecimal digits, in either case. */
bool text_parse_hex(struct slice text, uint8_t *out, size_t len);

/* Printable ASCII as it is, but backslash and quote doubled by a backslash; every other byte as
 * \xHH. At most max_len bytes of the input are shown, then "...". For log lines and replies that
 * quote a peer. */
bool text_put_escaped(struct buf *b, struct slice bytes, size_t max_len);

/* Puts the quotient in the place of the value, and returns the rest. By '%', a processor that
 * divides no 64 bits would have another kilobyte of the compiler's library. */
uint32_t text_divide(uint64_t *value, uint32_t by);

/* Seconds since 1970 UTC, any sign, years 1 to 9999; a time beyond is shown as the nearest of
 * these. "2026-11-23T22:48:00Z" (RFC 3339), and "Mon, 23 Nov 2026 22:48:00 +0000" (RFC 5322 3.3).
 */
bool text_put_time(struct buf *b, int64_t unix_s);
bool text_put_date(struct buf *b, int64_t unix_s);

/* RFC 3339 with Z, or with an offset; no fraction; years 1 to 9999. All of the text. A leap second
 * is the second after it. */
bool text_parse_time(struct slice text, int64_t *out_unix_s);

/* Whether some byte is above 127. */
bool text_is_8bit(struct slice bytes);

/* Days since 1970-01-01 of a date of the proleptic Gregorian calendar; false if there is no such
 * date. */
bool text_days_of_date(int32_t year, uint32_t month, uint32_t day, int64_t *out_days);

#endif

/* Small texts: see text.h. */
#include "text.h"

#define DAY_S INT64_C(86400)

#define DAYS_OF_4_YEARS   1461
#define DAYS_OF_100_YEARS 36524
#define DAYS_OF_400_YEARS 146097

/* From 0000-03-01, where the counting below begins, to 1970-01-01. */
#define DAYS_TO_1970 719468

/* Years as an int32_t has them are none below 0 with this many periods of 400 in front. */
#define PERIODS_BEFORE (INT64_C(1) << 23)

#define FIRST_S (-INT64_C(62135596800)) /* 0001-01-01T00:00:00Z */
#define LAST_S  INT64_C(253402300799)   /* 9999-12-31T23:59:59Z */

struct moment {
    uint32_t year, month, day, hour, minute, second, weekday; /* weekday 0: Monday */
};

bool text_equal_nocase(struct slice a, struct slice b)
{
    if (a.len != b.len) {
        return false;
    }
    for (size_t i = 0; i < a.len; i++) {
        if (text_lower(a.ptr[i]) != text_lower(b.ptr[i])) {
            return false;
        }
    }
    return true;
}

int text_compare_nocase(struct slice a, struct slice b)
{
    for (size_t i = 0; i < a.len && i < b.len; i++) {
        int difference = (int)text_lower(a.ptr[i]) - (int)text_lower(b.ptr[i]);
        if (difference != 0) {
            return difference;
        }
    }
    return a.len < b.len ? -1 : a.len > b.len;
}

uint32_t text_place_of(struct slice name, const void *things, uint32_t num_things, size_t thing_len,
                       bool *out_is_there)
{
    uint32_t low = 0, high = num_things;
    *out_is_there = false;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const struct slice *found = (const void *)((const uint8_t *)things + middle * thing_len);
        int order = text_compare_nocase(*found, name);
        if (order == 0) {
            *out_is_there = true;
            return middle;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

bool text_cut_last(struct slice text, uint8_t c, struct slice *out_front, struct slice *out_back)
{
    *out_front = text;
    *out_back = slice_make(NULL, 0);
    for (size_t i = text.len; i > 0; i--) {
        if (text.ptr[i - 1] == c) {
            *out_front = slice_make(text.ptr, i - 1);
            *out_back = slice_make(text.ptr + i, text.len - i);
            return true;
        }
    }
    return false;
}

void text_skip_mark(struct slice *text)
{
    if (text->len >= 3 && memcmp(text->ptr, "\xef\xbb\xbf", 3) == 0) {
        slice_skip(text, 3);
    }
}

bool text_parse_u64(struct slice text, uint64_t max, uint64_t *out)
{
    uint64_t value = 0;
    if (slice_is_empty(text)) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (!text_is_digit(text.ptr[i])) {
            return false;
        }
        uint64_t digit = (uint64_t)(text.ptr[i] - '0');
        if (value > max / 10 || digit > max - value * 10) {
            return false;
        }
        value = value * 10 + digit;
    }
    *out = value;
    return true;
}

uint32_t text_divide(uint64_t *value, uint32_t by)
{
    uint64_t quotient = *value / by;
    uint32_t rest = (uint32_t)(*value - quotient * by);
    *value = quotient;
    return rest;
}

/* At least min_digits digits, zeros in front. */
static bool put_digits(struct buf *b, uint64_t value, size_t min_digits)
{
    uint8_t digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (uint8_t)('0' + text_divide(&value, 10));
    } while (value != 0 || sizeof digits - at < min_digits);
    return buf_put(b, slice_make(digits + at, sizeof digits - at));
}

bool text_put_u64(struct buf *b, uint64_t value)
{
    return put_digits(b, value, 1);
}

bool text_put_i64(struct buf *b, int64_t value)
{
    uint8_t bytes[20];
    struct buf whole = buf_make(bytes, sizeof bytes);
    if (value < 0) {
        buf_put_u8(&whole, '-');
    }
    put_digits(&whole, value < 0 ? 0 - (uint64_t)value : (uint64_t)value, 1);
    return buf_put(b, buf_slice(&whole));
}

static void put_hex_byte(struct buf *b, uint8_t byte)
{
    static const char hex[] = "0123456789abcdef";
    buf_put_u8(b, (uint8_t)hex[byte >> 4]);
    buf_put_u8(b, (uint8_t)hex[byte & 15]);
}

bool text_put_hex(struct buf *b, struct slice bytes)
{
    if (bytes.len > buf_room(b) / 2) {
        b->overflow = true;
        return false;
    }
    for (size_t i = 0; i < bytes.len; i++) {
        put_hex_byte(b, bytes.ptr[i]);
    }
    return true;
}

int text_hex_value(uint8_t c)
{
    uint8_t low = text_lower(c);
    if (text_is_digit(c)) {
        return c - '0';
    }
    return low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

bool text_parse_hex(struct slice text, uint8_t *out, size_t len)
{
    if (text.len != 2 * len) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        int high = text_hex_value(text.ptr[2 * i]), low = text_hex_value(text.ptr[2 * i + 1]);
        if (high < 0 || low < 0) {
            return false;
        }
        out[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static size_t escaped_len(uint8_t c)
{
    if (c == '\\' || c == '"') {
        return 2;
    }
    return c >= ' ' && c <= '~' ? 1 : 4;
}

static void put_escaped_byte(struct buf *b, uint8_t c)
{
    switch (escaped_len(c)) {
    case 1:
        buf_put_u8(b, c);
        break;
    case 2:
        buf_put_u8(b, '\\');
        buf_put_u8(b, c);
        break;
    default:
        buf_put_string(b, "\\x");
        put_hex_byte(b, c);
        break;
    }
}

bool text_put_escaped(struct buf *b, struct slice bytes, size_t max_len)
{
    const char *tail = bytes.len > max_len ? "..." : "";
    size_t shown_len = bytes.len > max_len ? max_len : bytes.len;
    size_t room = buf_room(b);
    size_t need = strlen(tail);
    for (size_t i = 0; i < shown_len && need <= room; i++) {
        need += escaped_len(bytes.ptr[i]);
    }
    if (need > room) {
        b->overflow = true;
        return false;
    }
    for (size_t i = 0; i < shown_len; i++) {
        put_escaped_byte(b, bytes.ptr[i]);
    }
    return buf_put_string(b, tail);
}

/* Days are counted from 1 March of a year that begins a period of 400, after which the calendar
 * repeats itself, and long enough ago that nothing is negative: signed division of 64 bits is a
 * large function where the processor has none. */
static bool is_leap_year(uint32_t year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static uint32_t days_in_month(uint32_t year, uint32_t month)
{
    static const uint8_t days[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return days[month - 1] + (month == 2 && is_leap_year(year) ? 1u : 0u);
}

/* Years and months are counted from March here, so that the leap day is the last of its year and
 * the months' lengths follow one line. */
static uint32_t days_before_month(uint32_t m)
{
    return (979 * m + 15) / 32;
}

bool text_days_of_date(int32_t year, uint32_t month, uint32_t day, int64_t *out_days)
{
    uint64_t periods = (uint64_t)(year + 400 * PERIODS_BEFORE);
    uint32_t y = text_divide(&periods, 400);
    if (month < 1 || month > 12 || day < 1 || day > days_in_month(y, month)) {
        return false;
    }
    if (month <= 2) {
        periods -= y == 0;
        y = y == 0 ? 399 : y - 1;
    }
    uint32_t m = month <= 2 ? month + 9 : month - 3;
    uint32_t days = 365 * y + y / 4 - y / 100 + days_before_month(m) + day - 1;
    *out_days = ((int64_t)periods - PERIODS_BEFORE) * DAYS_OF_400_YEARS + days - DAYS_TO_1970;
    return true;
}

/* How many periods of len days have passed, at most max: the last of them may be a day longer. */
static uint32_t take_periods(uint32_t *days, uint32_t len, uint32_t max)
{
    uint32_t num = 0;
    while (num < max && *days >= len) {
        *days -= len;
        num++;
    }
    return num;
}

static void split_date(struct moment *out, uint32_t days)
{
    uint32_t year = 400 * take_periods(&days, DAYS_OF_400_YEARS, UINT32_MAX);
    year += 100 * take_periods(&days, DAYS_OF_100_YEARS, 3);
    year += 4 * take_periods(&days, DAYS_OF_4_YEARS, UINT32_MAX);
    year += take_periods(&days, 365, 3);
    uint32_t m = 0;
    while (days >= days_before_month(m + 1)) {
        m++;
    }
    out->day = days - days_before_month(m) + 1;
    out->month = m < 10 ? m + 3 : m - 9;
    out->year = year + (m >= 10);
}

/* Since 1 March of the year 0, which FIRST_S is behind. */
static uint64_t since_year_0(int64_t unix_s)
{
    return (uint64_t)(unix_s + DAYS_TO_1970 * DAY_S);
}

static struct moment split_time(int64_t unix_s)
{
    struct moment out;
    uint64_t s = since_year_0(unix_s < FIRST_S ? FIRST_S : unix_s > LAST_S ? LAST_S : unix_s);
    uint32_t of_day = text_divide(&s, DAY_S);
    uint32_t days = (uint32_t)s;
    split_date(&out, days);
    out.hour = take_periods(&of_day, 3600, UINT32_MAX);
    out.minute = take_periods(&of_day, 60, UINT32_MAX);
    out.second = of_day;
    out.weekday = (days + 2) % 7; /* the first of them was a Wednesday */
    return out;
}

static void put_clock(struct buf *b, const struct moment *at)
{
    put_digits(b, at->hour, 2);
    buf_put_u8(b, ':');
    put_digits(b, at->minute, 2);
    buf_put_u8(b, ':');
    put_digits(b, at->second, 2);
}

bool text_put_time(struct buf *b, int64_t unix_s)
{
    uint8_t bytes[20];
    struct buf whole = buf_make(bytes, sizeof bytes);
    struct moment at = split_time(unix_s);
    put_digits(&whole, at.year, 4);
    buf_put_u8(&whole, '-');
    put_digits(&whole, at.month, 2);
    buf_put_u8(&whole, '-');
    put_digits(&whole, at.day, 2);
    buf_put_u8(&whole, 'T');
    put_clock(&whole, &at);
    buf_put_u8(&whole, 'Z');
    return buf_put(b, buf_slice(&whole));
}

bool text_put_date(struct buf *b, int64_t unix_s)
{
    static const char weekdays[7][4] = {"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"};
    static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    uint8_t bytes[31];
    struct buf whole = buf_make(bytes, sizeof bytes);
    struct moment at = split_time(unix_s);
    buf_put_string(&whole, weekdays[at.weekday]);
    buf_put_string(&whole, ", ");
    put_digits(&whole, at.day, 2);
    buf_put_u8(&whole, ' ');
    buf_put_string(&whole, months[at.month - 1]);
    buf_put_u8(&whole, ' ');
    put_digits(&whole, at.year, 4);
    buf_put_u8(&whole, ' ');
    put_clock(&whole, &at);
    buf_put_string(&whole, " +0000");
    return buf_put(b, buf_slice(&whole));
}

static bool take_digits(struct slice *in, size_t num_digits, uint32_t *out)
{
    struct slice rest = *in, digits;
    uint64_t value;
    if (!slice_take(&rest, num_digits, &digits) || !text_parse_u64(digits, UINT32_MAX, &value)) {
        return false;
    }
    *out = (uint32_t)value;
    *in = rest;
    return true;
}

static bool take_char(struct slice *in, uint8_t lower_case)
{
    return in->len != 0 && text_lower(in->ptr[0]) == lower_case && slice_skip(in, 1);
}

/* time-offset = "Z" / ( "+" / "-" ) time-hour ":" time-minute   (RFC 3339 5.6) */
static bool take_offset(struct slice *in, int64_t *out_s)
{
    uint32_t hour, minute;
    *out_s = 0;
    if (take_char(in, 'z')) {
        return true;
    }
    bool is_west = take_char(in, '-');
    if (!is_west && !take_char(in, '+')) {
        return false;
    }
    if (!take_digits(in, 2, &hour) || !take_char(in, ':') || !take_digits(in, 2, &minute) ||
        hour > 23 || minute > 59) {
        return false;
    }
    int64_t offset_s = (int64_t)hour * 3600 + (int64_t)minute * 60;
    *out_s = is_west ? -offset_s : offset_s;
    return true;
}

/* date-time = full-date "T" full-time   (RFC 3339 5.6) */
bool text_parse_time(struct slice text, int64_t *out_unix_s)
{
    struct moment at;
    int64_t days, offset_s;
    if (!take_digits(&text, 4, &at.year) || !take_char(&text, '-') ||
        !take_digits(&text, 2, &at.month) || !take_char(&text, '-') ||
        !take_digits(&text, 2, &at.day) || !take_char(&text, 't') ||
        !take_digits(&text, 2, &at.hour) || !take_char(&text, ':') ||
        !take_digits(&text, 2, &at.minute) || !take_char(&text, ':') ||
        !take_digits(&text, 2, &at.second) || !take_offset(&text, &offset_s) ||
        !slice_is_empty(text)) {
        return false;
    }
    if (at.hour > 23 || at.minute > 59 || at.second > 60 ||
        !text_days_of_date((int32_t)at.year, at.month, at.day, &days)) {
        return false;
    }
    int64_t unix_s =
        days * DAY_S + (int64_t)(at.hour * 3600 + at.minute * 60 + at.second) - offset_s;
    if (unix_s < FIRST_S || unix_s > LAST_S) {
        return false;
    }
    /* A leap second ends a day of UTC; it counts as the first second of the next. */
    uint64_t since = since_year_0(unix_s);
    if (at.second == 60 && text_divide(&since, DAY_S) != 0) {
        return false;
    }
    *out_unix_s = unix_s;
    return true;
}

bool text_is_8bit(struct slice bytes)
{
    struct slice eight;
    uint64_t word, all = 0;
    while (slice_take(&bytes, sizeof word, &eight)) {
        memcpy(&word, eight.ptr, sizeof word);
        all |= word;
    }
    for (size_t i = 0; i < bytes.len; i++) {
        all |= bytes.ptr[i];
    }
    return (all & UINT64_C(0x8080808080808080)) != 0;
}

/* The lines of a configuration: see conf_parse.h. */
#include "conf_parse.h"

#include "text.h"

static bool is_space(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

struct slice conf_trim(struct slice text)
{
    while (text.len != 0 && is_space(text.ptr[0])) {
        slice_skip(&text, 1);
    }
    while (text.len != 0 && is_space(text.ptr[text.len - 1])) {
        text.len--;
    }
    return text;
}

static size_t find(struct slice text, uint8_t c)
{
    const uint8_t *at = text.len == 0 ? NULL : memchr(text.ptr, c, text.len);
    return at == NULL ? text.len : (size_t)(at - text.ptr);
}

static bool take_line(struct conf_text *text, struct slice *out)
{
    if (text->line_number == 0) {
        text_skip_mark(&text->rest);
    }
    if (slice_is_empty(text->rest)) {
        return false;
    }
    slice_take(&text->rest, find(text->rest, '\n'), out);
    slice_skip(&text->rest, 1);
    *out = conf_trim(*out);
    text->line_number++;
    return true;
}

static bool is_comment(struct slice line)
{
    return line.len != 0 && line.ptr[0] == '#';
}

bool conf_parse_plain_line(struct conf_text *text, struct slice *out)
{
    struct slice line;
    do {
        if (!take_line(text, &line)) {
            return false;
        }
    } while (slice_is_empty(line) || is_comment(line));
    *out = line;
    return true;
}

static bool goes_on(struct slice line)
{
    return line.len != 0 && line.ptr[line.len - 1] == '\\';
}

/* Puts the line and those that continue it into joined. */
static void join(struct conf_text *text, struct slice line, struct buf *joined)
{
    while (goes_on(line)) {
        line.len--;
        buf_put(joined, line);
        do {
            if (!take_line(text, &line)) {
                return;
            }
        } while (is_comment(line));
    }
    buf_put(joined, line);
}

static const char *find_mistake(struct slice line)
{
    for (size_t i = 0; i < line.len; i++) {
        uint8_t c = line.ptr[i];
        if ((c < ' ' && c != '\t') || c == 0x7f) {
            return "no control characters";
        }
        if (c == '#' && i > 0 && is_space(line.ptr[i - 1])) {
            return "comments on lines of their own";
        }
    }
    return find(line, '=') == line.len ? "NAME = VALUE" : NULL;
}

bool conf_parse_line(struct conf_text *text, struct buf *joined, struct conf_line *out)
{
    struct slice line;
    if (!conf_parse_plain_line(text, &line)) {
        return false;
    }
    out->line_number = text->line_number;
    out->value = slice_make(NULL, 0);
    joined->len = 0;
    joined->overflow = false;
    join(text, line, joined);
    out->name = joined->overflow ? line : conf_trim(buf_slice(joined));
    out->mistake =
        joined->overflow ? "at most 4096 bytes, with what continues it" : find_mistake(out->name);
    if (out->mistake == NULL) {
        struct slice rest = out->name;
        slice_take(&rest, find(rest, '='), &out->name);
        slice_skip(&rest, 1);
        out->name = conf_trim(out->name);
        out->value = conf_trim(rest);
    }
    return true;
}

struct conf_list conf_list_begin(struct slice text)
{
    struct conf_list list = {conf_trim(text), ':'};
    if (list.rest.len >= 2 && list.rest.ptr[0] == '<') {
        uint8_t c = list.rest.ptr[1];
        if (!text_is_alpha(c) && !text_is_digit(c) && !is_space(c)) {
            list.separator = c;
            slice_skip(&list.rest, 2);
        }
    }
    return list;
}

/* One item with its separators undoubled; false at the end of the list. */
static bool take_item(struct conf_list *list, struct buf *item)
{
    item->len = 0;
    item->overflow = false;
    if (slice_is_empty(list->rest)) {
        return false;
    }
    struct slice spaces = {list->rest.ptr, 0}; /* the item's, if more of it follows */
    uint8_t c;
    while (slice_u8(&list->rest, &c)) {
        if (is_space(c)) {
            spaces.ptr = spaces.len == 0 ? list->rest.ptr - 1 : spaces.ptr;
            spaces.len++;
            continue;
        }
        if (c == list->separator) {
            if (list->rest.len == 0 || list->rest.ptr[0] != c) {
                break;
            }
            slice_skip(&list->rest, 1);
        }
        if (item->len != 0) {
            buf_put(item, spaces);
        }
        spaces.len = 0;
        if (!item->overflow) {
            buf_put_u8(item, c);
        }
    }
    return true;
}

bool conf_list_next(struct conf_list *list, struct buf *item)
{
    while (take_item(list, item)) {
        if (item->len != 0 || item->overflow) {
            return true;
        }
    }
    return false;
}

static uint64_t size_unit(uint8_t c)
{
    switch (text_lower(c)) {
    case 'k':
        return 1u << 10;
    case 'm':
        return 1u << 20;
    case 'g':
        return 1u << 30;
    default:
        return 0;
    }
}

bool conf_parse_size(struct slice text, uint64_t max, uint64_t *out)
{
    uint64_t unit = text.len == 0 ? 0 : size_unit(text.ptr[text.len - 1]);
    uint64_t value;
    if (unit != 0) {
        text.len--;
    } else {
        unit = 1;
    }
    if (!text_parse_u64(text, max / unit, &value)) {
        return false;
    }
    *out = value * unit;
    return true;
}

static const struct {
    uint8_t letter;
    uint32_t seconds;
} time_units[] = {{'w', 604800}, {'d', 86400}, {'h', 3600}, {'m', 60}, {'s', 1}};

#define NUM_TIME_UNITS (sizeof time_units / sizeof time_units[0])

bool conf_parse_time(struct slice text, uint64_t max_s, uint64_t *out_s)
{
    uint64_t total_s = 0, value;
    if (slice_is_empty(text) || text_parse_u64(text, max_s, out_s)) {
        return !slice_is_empty(text);
    }
    for (size_t next = 0; text.len != 0; next++) {
        struct slice digits;
        size_t len = 0;
        while (len < text.len && text_is_digit(text.ptr[len])) {
            len++;
        }
        if (!slice_take(&text, len, &digits) || slice_is_empty(text)) {
            return false;
        }
        while (next < NUM_TIME_UNITS && time_units[next].letter != text_lower(text.ptr[0])) {
            next++;
        }
        if (next == NUM_TIME_UNITS ||
            !text_parse_u64(digits, (max_s - total_s) / time_units[next].seconds, &value)) {
            return false;
        }
        total_s += value * time_units[next].seconds;
        slice_skip(&text, 1);
    }
    *out_s = total_s;
    return true;
}

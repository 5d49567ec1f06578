/* What the lines of a configuration are made of: "name = value" lines, lists, sizes, times.
 *
 * Called by conf, which knows what the names and values mean. Codec. */
#ifndef POSTERN_CONF_PARSE_H
#define POSTERN_CONF_PARSE_H

#include "buf.h"

/* A text that is read line by line; the mark of UTF-8 that editors put in front is left out. Start
 * with line_number 0. */
struct conf_text {
    struct slice rest;
    uint32_t line_number; /* of the line read last, from 1 */
};

struct conf_line {
    struct slice name;
    struct slice value;
    uint32_t line_number; /* where it begins */
    const char
        *mistake; /* NULL, or what is wrong with the line, for people; then name is the line */
};

/* The next line that says something; false at the end of the text. Blank lines and those whose
 * first character is '#' say nothing. A line that ends in a backslash goes on in the next one,
 * whose leading spaces do not count; comment lines in between are left out. joined gets the line's
 * text: name and value are views into it. A line that outgrows joined is a mistake, and name is its
 * first piece; so is a control character, and a '#' behind a space, which others would take for a
 * comment. */
bool conf_parse_line(struct conf_text *text, struct buf *joined, struct conf_line *out);

/* The next line of a plain list, without the spaces around it; blank and '#' lines are left out. */
bool conf_parse_plain_line(struct conf_text *text, struct slice *out);

/* A list as in Exim: items separated by colons, where a doubled colon stands for one; or by c if it
 * begins with "<c", c being neither letter, digit nor space. Empty items are left out. */
struct conf_list {
    struct slice rest;
    uint8_t separator;
};

struct conf_list conf_list_begin(struct slice text);

/* The next item, without the spaces around it, into item, which is emptied first; false at the end.
 * An item that outgrows item sets item->overflow and is cut. */
bool conf_list_next(struct conf_list *list, struct buf *item);

/* "4096", "64K", "50M", "1G", in bytes, at most max. All of the text. */
bool conf_parse_size(struct slice text, uint64_t max, uint64_t *out);

/* "300" (seconds), "5m", "1h30m", "2d", "1w": each of w d h m s at most once, in this order. At
 * most max_s. All of the text. */
bool conf_parse_time(struct slice text, uint64_t max_s, uint64_t *out_s);

/* Without the spaces and tabs at both ends. */
struct slice conf_trim(struct slice text);

#endif

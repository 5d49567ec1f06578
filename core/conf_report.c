/* Complaints about a configuration: see conf_report.h. */
#include "conf_report.h"

#include "text.h"

#define QUOTE_MAX 64

struct conf_report conf_report_make(struct buf *out, const char *file)
{
    return (struct conf_report){out, file, 0, buf_make(NULL, 0)};
}

struct buf *conf_report_begin(struct conf_report *r, uint32_t line_number, const char *option)
{
    if (++r->num > CONF_ERRORS_MAX) {
        return &r->none;
    }
    buf_put_string(r->out, r->file);
    if (line_number != 0) {
        buf_put_u8(r->out, ':');
        text_put_u64(r->out, line_number);
    }
    buf_put_string(r->out, ": ");
    if (option != NULL) {
        buf_put_string(r->out, option);
        buf_put_string(r->out, ": ");
    }
    return r->out;
}

void conf_report_end(struct conf_report *r)
{
    if (r->num <= CONF_ERRORS_MAX) {
        buf_put_u8(r->out, '\n');
    } else if (r->num == CONF_ERRORS_MAX + 1) {
        buf_put_string(r->out, r->file);
        buf_put_string(r->out, ": there are more mistakes\n");
    }
}

void conf_report_quote(struct buf *b, struct slice text)
{
    buf_put_u8(b, '\'');
    text_put_escaped(b, text, QUOTE_MAX);
    buf_put_u8(b, '\'');
}

void conf_report_size(struct buf *b, uint64_t size)
{
    static const char units[] = "KMG"; /* as conf_parse_size reads it */
    size_t unit = 0;
    while (unit < sizeof units - 1 && size != 0 && size % 1024 == 0) {
        size /= 1024;
        unit++;
    }
    text_put_u64(b, size);
    if (unit > 0) {
        buf_put_u8(b, (uint8_t)units[unit - 1]);
    }
}

void conf_report_time(struct buf *b, uint64_t seconds)
{
    static const struct {
        uint8_t letter;
        uint32_t seconds;
    } units[] = {{'w', 604800}, {'d', 86400}, {'h', 3600}, {'m', 60}, {'s', 1}};
    if (seconds == 0) {
        buf_put_string(b, "0s");
    }
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (seconds >= units[i].seconds) {
            uint32_t rest = text_divide(&seconds, units[i].seconds);
            text_put_u64(b, seconds);
            buf_put_u8(b, units[i].letter);
            seconds = rest;
        }
    }
}

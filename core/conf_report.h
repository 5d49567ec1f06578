/* Complaints about a configuration, a line each, the first CONF_ERRORS_MAX of them.
 *
 * Called by the files of conf, and by the composition root for what only it can judge. */
#ifndef POSTERN_CONF_REPORT_H
#define POSTERN_CONF_REPORT_H

#include "conf.h"

struct conf_report {
    struct buf *out;
    const char *file;
    uint32_t num;    /* complaints so far, shown or not */
    struct buf none; /* swallows what is not shown */
};

struct conf_report conf_report_make(struct buf *out, const char *file);

/* Begins a line with "FILE:LINE: OPTION: ", without LINE if it is 0 and without OPTION if it is
 * NULL, and gives the buffer for the rest of it; conf_report_end ends it. */
struct buf *conf_report_begin(struct conf_report *r, uint32_t line_number, const char *option);
void conf_report_end(struct conf_report *r);

/* 'TEXT', escaped and cut to a length that fits in a line. */
void conf_report_quote(struct buf *b, struct slice text);

/* A number of bytes or seconds in the largest unit that fits: "64K", "1h30m". */
void conf_report_size(struct buf *b, uint64_t size);
void conf_report_time(struct buf *b, uint64_t seconds);

#endif

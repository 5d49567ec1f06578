/* Log lines: key=value words built in a buffer, one line an event, then handed to a sink.
 *
 * log_word's values are our own words; whatever a peer can influence goes through log_peer_text,
 * which quotes and escapes it. A line that outgrows its buffer is cut and ends in "...". Base
 * layer: knows no sink but a function. */
#ifndef POSTERN_LOG_H
#define POSTERN_LOG_H

#include "text.h"

enum log_level { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG };

#define LOG_LINE_CAP 1024

struct log_line {
    struct buf text;
    uint8_t bytes[LOG_LINE_CAP];
};

/* Begins a line with the event's name: "message", "delivery", "connection"... */
void log_begin(struct log_line *l, const char *event);

/* Each adds " key=value". */
void log_word(struct log_line *l, const char *key, const char *word);
void log_u64(struct log_line *l, const char *key, uint64_t value);
void log_time(struct log_line *l, const char *key, int64_t unix_s); /* RFC 3339 */
void log_slice(struct log_line *l, const char *key,
               struct slice value); /* our own bytes, printable and without spaces */
void log_peer_text(struct log_line *l, const char *key, struct slice text); /* key="escaped" */

/* The finished line, without a line end. */
struct slice log_end(struct log_line *l);

#endif

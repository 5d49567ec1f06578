/* What is said over the control socket: one request, one reply, then it is over.
 *
 *     request = word *( SP word ) LF            printable ASCII, at most CONTROL_LINE_MAX bytes
 *     reply   = *( SP text LF / "!" text LF ) "=" name LF
 *
 * Lines with a space are the answer, for stdout; those with a "!" say what is wrong, for stderr;
 * the last has the name of an enum err. A reply without that last line was cut off.
 *
 * Service, as far as it is one: bytes in, words out, no socket and no clock. Called by mta_control,
 * which answers, and by the port's commands, which ask. */
#ifndef POSTERN_CONTROL_H
#define POSTERN_CONTROL_H

#include "err.h"
#include "text.h"

#define CONTROL_LINE_MAX  200
#define CONTROL_WORDS_MAX 6

/* A request on its way in. Zeroed memory is a new one. */
struct control {
    uint32_t line_len;
    uint8_t line[CONTROL_LINE_MAX];
};

/* The words of a request: views into its line. */
struct control_request {
    uint32_t num_words;
    struct slice words[CONTROL_WORDS_MAX];
};

/* Takes bytes from the front of *in until the request is whole: ERR_OK, and what stands behind its
 * line is left. ERR_AGAIN: feed more. ERR_MALFORMED, ERR_TOO_BIG: it will never be one. */
enum err control_feed(struct control *c, struct slice *in, struct control_request *out);

/* Text of whole lines as lines of the answer, or as complaints. False, with overflow set, where
 * reply is too full: the lines before that one stand. */
bool control_put_answer(struct buf *reply, struct slice text);
bool control_put_complaint(struct buf *reply, struct slice text);
bool control_put_end(struct buf *reply, enum err result);

enum control_line { CONTROL_ANSWER, CONTROL_COMPLAINT, CONTROL_END };

/* The asker's side: the line at the front of *in, without its end. ERR_AGAIN: it is not whole yet.
 * ERR_MALFORMED: that is no reply. *out_result is set by CONTROL_END. */
enum err control_read(struct slice *in, enum control_line *out_kind, struct slice *out_text,
                      enum err *out_result);

#endif

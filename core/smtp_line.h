/* The one framer: where SMTP's lines, chunks and bodies end.
 *
 * Only CRLF ends a line and only CRLF.CRLF ends DATA (RFC 5321 2.3.8, 4.1.1.4). A CR without LF, a
 * LF without CR and a NUL are errors wherever they stand, and each has a name, so that nobody
 * downstream can see a line end that was not seen here. Called by smtpd. Codec: knows neither
 * commands nor replies, and keeps no bytes. */
#ifndef POSTERN_SMTP_LINE_H
#define POSTERN_SMTP_LINE_H

#include "slice.h"

/* The longest command line, with CRLF: 512 (RFC 5321 4.5.3.1.4) and for MAIL what its extensions
 * add: SIZE 26 (RFC 1870), BODY 17 (RFC 6152), SMTPUTF8 10 (RFC 6531), AUTH 500 (RFC 4954), RET 9
 * and ENVID 107 (RFC 3461); it is enough for RCPT with NOTIFY and ORCPT as well. */
#define SMTP_LINE_MAX (512 + 26 + 17 + 10 + 500 + 9 + 107)

/* The longest value of MAIL's AUTH= */
#define SMTP_AUTH_VALUE_MAX 494

/* A text line with CRLF, without a transparent dot (RFC 5321 4.5.3.1.6). */
#define SMTP_TEXT_LINE_MAX 1000

/* A line of AUTH or of what follows it: more than any mechanism that is offered needs (RFC 4954 4).
 */
#define SMTP_AUTH_LINE_MAX 2048

enum smtp_line_result {
    SMTP_LINE_OK,
    SMTP_LINE_MORE,     /* the input ends before the line does */
    SMTP_LINE_TOO_LONG, /* over the limit */
    SMTP_LINE_BARE_CR,
    SMTP_LINE_BARE_LF,
    SMTP_LINE_NUL
};

/* Takes one line of at most line_max bytes with CRLF off *in and gives it without its CRLF, as a
 * view into *in. Anything but SMTP_LINE_OK leaves *in as it was. SMTP_LINE_MORE comes with at most
 * line_max - 1 bytes in *in. */
enum smtp_line_result smtp_line_take(struct slice *in, size_t line_max, struct slice *out);

/* Drops the rest of a line that was too long: everything up to and with its CRLF. SMTP_LINE_MORE if
 * that is not in *in; then *in is empty or holds a last CR, to be given again with what follows it.
 */
enum smtp_line_result smtp_line_drop(struct slice *in);

/* Where in a body the last byte left us. Zeroed memory is the begin of a line, as behind "DATA
 * CRLF". */
struct smtp_body {
    uint32_t line_len; /* bytes of the current line, without a transparent dot; does not wrap */
    uint8_t at;        /* private to smtp_line.c */
    bool long_line;    /* some line so far was over its limit; sticky */
};

enum smtp_body_result {
    SMTP_BODY_MORE, /* *in is used up */
    SMTP_BODY_END,  /* CRLF.CRLF was taken; what follows is left in *in */
    SMTP_BODY_BARE_CR,
    SMTP_BODY_BARE_LF,
    SMTP_BODY_NUL
};

/* Takes body bytes of a DATA command from *in. *out_run is a run of content, its transparent dot
 * removed: a view into *in, or of a constant CRLF when that came in two pieces. It may be empty.
 * SMTP_BODY_MORE is returned with every run, also when *in still holds bytes: call again until it
 * is empty or another result comes. line_max counts CRLF; 0: no limit, and longer lines only set
 * long_line. */
enum smtp_body_result smtp_body_take(struct smtp_body *b, struct slice *in, uint32_t line_max,
                                     struct slice *out_run);

/* The same for all of *in as (a piece of) a BDAT chunk: dots mean nothing, and it never ends by
 * itself. A CRLF may be split between two chunks. */
enum smtp_body_result smtp_body_take_chunk(struct smtp_body *b, struct slice *in, uint32_t line_max,
                                           struct slice *out_run);

/* The end of the last chunk: SMTP_BODY_BARE_CR if a CR is still waiting for its LF, else
 * SMTP_BODY_END, with *out_run the CRLF that the last line lacks, or empty. An empty body lacks
 * none. */
enum smtp_body_result smtp_body_finish_chunks(struct smtp_body *b, uint32_t line_max,
                                              struct slice *out_run);

#endif

/* A message as programs of this machine write it, made into lines as mail has them.
 *
 * Lines may end in LF, CRLF or CR; each becomes CRLF, the last one too. A NUL becomes '?'. A line
 * of over 998 octets (RFC 5322 2.1.1) is broken, in the header so that it stays one field, and
 * where that tears no address as far as out still has the line. Called by the command that hands
 * mail in, and by the server for what waited outside. Codec: pure. */
#ifndef POSTERN_MAIL_TEXT_H
#define POSTERN_MAIL_TEXT_H

#include "buf.h"

/* Zeroed memory is a new message. */
struct mail_text {
    uint32_t line_len; /* of the line so far */
    uint8_t dot;       /* of a line that may be the final one: 1: its dot is held back */
    bool ends_at_dot;  /* the caller's: a line of one dot is the end */
    bool after_cr;     /* a CRLF stands for it already: an LF would be a part of it */
    bool in_body;
    bool has_8bit; /* some octet so far was not ASCII */
};

#define MAIL_TEXT_GROWTH 4 /* out needs at most that much room for each byte of in, and 8 more */

/* Takes bytes off *in while out has room. True: the line of one dot has come, and what follows it
 * is left. */
bool mail_text_take(struct mail_text *t, struct slice *in, struct buf *out);

/* There is no more: ends the last line. */
void mail_text_end(struct mail_text *t, struct buf *out);

#endif

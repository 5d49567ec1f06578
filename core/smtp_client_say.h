/* The commands of the SMTP client as they are written. Part of the engine: called by smtp_client
 * alone. Each puts a whole line or, with b->overflow set, nothing that may be sent. */
#ifndef POSTERN_SMTP_CLIENT_SAY_H
#define POSTERN_SMTP_CLIENT_SAY_H

#include "smtp_client.h"

/* The words, with a space between them unless the second is empty, and CRLF. */
void smtp_say(struct buf *b, const char *word, struct slice argument);

void smtp_say_mail(struct buf *b, const struct smtp_client_mail *mail, uint32_t offers);
void smtp_say_rcpt(struct buf *b, const struct smtp_client_rcpt *rcpt, uint32_t offers);

/* The one and last chunk (RFC 3030 2). */
void smtp_say_bdat(struct buf *b, uint64_t len);

/* Whether an address can stand in a command: no control characters. */
bool smtp_may_say(struct slice address);

/* Copies content with a dot in front of each line that begins with one; returns how many of its
 * bytes fitted. *at_line_begin is carried from call to call. */
size_t smtp_say_content(struct buf *b, struct slice content, bool *at_line_begin);

#endif

/* The encodings of addresses and identifiers in the parameters of the DSN extension: xtext (RFC
 * 3461 4), and what RFC 6533 3 adds for addresses beyond ASCII.
 *
 * Called by smtp_command to judge a parameter and by mta_session to keep it. Codec: pure. What
 * would decode to a control character, or to anything else that is not to be told onward, is
 * refused. */
#ifndef POSTERN_XTEXT_H
#define POSTERN_XTEXT_H

#include "buf.h"

/* Each appends what text stands for to out: no longer than text itself. False, and nothing
 * appended, if it is malformed, or does not fit. */

/* ENVID: 1 to 100 characters, which stand for printable ASCII (RFC 3461 4.4). */
bool xtext_take_envid(struct slice text, struct buf *out);

/* ORCPT: "TYPE;ADDRESS" of at most 500 characters (RFC 3461 4.2), where the address stands for
 * printable ASCII; of the type utf-8 (RFC 6533) for UTF-8 too, and it may hold bytes beyond ASCII
 * as they are if smtputf8 is in force. The type is left as it is. */
bool xtext_take_orcpt(struct slice text, bool smtputf8, struct buf *out);

#endif

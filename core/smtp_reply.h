/* The texts of the server's replies: smtp_reply.def as an enum and a table.
 *
 * Called by smtp_command, which answers a parse with the reply it deserves, and by smtpd. Codec:
 * does not know when a reply is given. */
#ifndef POSTERN_SMTP_REPLY_H
#define POSTERN_SMTP_REPLY_H

#include "buf.h"

enum smtp_reply {
#define SMTP_REPLY(symbol, class, text) SMTP_REPLY_##symbol,
#include "smtp_reply.def"
#undef SMTP_REPLY
    NUM_SMTP_REPLIES
};

enum smtp_reply_class {
    SMTP_REPLY_CLASS_GOOD,
    SMTP_REPLY_CLASS_REFUSAL,
    SMTP_REPLY_CLASS_SYNPROT,
    SMTP_REPLY_CLASS_UNKNOWN
};

enum smtp_reply_class smtp_reply_class(enum smtp_reply r);

/* Of one that is not good: whether it says of a command no more than that it is unknown or out of
 * order, that a login or TLS was to come first, or that this is the end, as a client hears that
 * goes on after it was refused for something else. */
bool smtp_reply_is_sequel(enum smtp_reply r);

/* The reply and CRLF, argument in the place of its '%'. All or nothing: false, with overflow set,
 * if b is full. */
bool smtp_reply_put(struct buf *b, enum smtp_reply r, struct slice argument);

#endif

/* The header of a message that a program has written: its fields, what it lacks, and to whom it
 * says that it goes. Lines end in CRLF. Codec: pure, no memory of its own. Called by the command
 * that hands mail in; RFC 5322 2.2 and 3.6. */
#ifndef POSTERN_MAIL_HEADER_H
#define POSTERN_MAIL_HEADER_H

#include "address.h"
#include "err.h"

struct mail_field {
    struct slice name;  /* without the colon */
    struct slice value; /* all behind the colon, folds and the last CRLF included */
    struct slice whole;
};

/* Takes the field at the front of *in; false, and nothing taken, where the header ends: at an empty
 * line, which belongs to neither, or at one that is no field. */
bool mail_header_next(struct slice *in, struct mail_field *out);

/* What the whole header has. */
struct mail_header {
    struct slice fields; /* the header */
    struct slice body;   /* what follows, without the empty line between */
    bool has_from, has_date, has_message_id, is_resent;
};

void mail_header_read(struct slice text, struct mail_header *out);

/* Whether the field names recipients (To, Cc, Bcc; of a message that is sent on again their Resent
 * forms only), and whether it is for nobody's eyes (Bcc, Resent-Bcc). */
bool mail_field_has_rcpts(const struct mail_field *f, bool is_resent);
bool mail_field_is_hidden(const struct mail_field *f);

/* A list of addresses (RFC 5322 3.4): groups, names, comments, folds, quoted strings and routes.
 *
 * The next address as local@domain, from text, which is left behind it; one without a domain gets
 * the given one. ERR_EOF at the end. ERR_MALFORMED or ERR_TOO_BIG: *out_bad is the part of the list
 * that is none, and text stands behind it. bytes holds the address. */
#define MAIL_ADDRESS_CAP 512
enum err mail_address_next(struct slice *text, struct slice domain, uint8_t bytes[MAIL_ADDRESS_CAP],
                           struct address *out, struct slice *out_bad);

#endif

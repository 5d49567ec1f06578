/* What a submitted message's header lacks (RFC 6409 section 8): found while it streams past.
 *
 * A filter: the message goes in piece by piece, and comes out as the pieces that are to be stored,
 * with the place where the missing fields go. Called by mta_submission. Codec: pure; holds back no
 * more than the beginning of a line that may be no field. */
#ifndef POSTERN_SUBMISSION_H
#define POSTERN_SUBMISSION_H

#include "buf.h"

/* A field's name is no longer; what is longer is no field. */
#define SUBMISSION_NAME_MAX 76

/* Zeroed memory is the begin of a message. */
struct submission {
    bool has_date;
    bool has_message_id;
    bool is_over;   /* the header is: all that follows passes */
    bool lacks_end; /* no empty line ended it: the fields need one behind them */
    bool was_asked; /* SUBMISSION_FIELDS has been said */
    uint8_t at;     /* private */
    uint8_t name_len;
    uint8_t name[SUBMISSION_NAME_MAX + 1]; /* the begin of a line, held back */
};

enum submission_event {
    SUBMISSION_MORE,  /* *in is used up */
    SUBMISSION_STORE, /* *out is to be stored next */
    SUBMISSION_FIELDS /* here the missing fields go: submission_put_fields; said once */
};

/* One step. *in is moved past what was used; *out is a view into it or into *s. */
enum submission_event submission_next(struct submission *s, struct slice *in, struct slice *out);

/* The same at the end of the message: what was held back, and the fields, if they are still due. */
enum submission_event submission_end(struct submission *s, struct slice *out);

/* Date (seconds since 1970) and Message-ID, whichever are missing, and an empty line if that is
 * missing too. False, with overflow set, if b is full; SUBMISSION_FIELDS_MAX is enough. id: atext,
 * unique at hostname together with the date. */
#define SUBMISSION_FIELDS_MAX 400
bool submission_put_fields(struct buf *b, const struct submission *s, int64_t date_s,
                           struct slice id, struct slice hostname);

#endif

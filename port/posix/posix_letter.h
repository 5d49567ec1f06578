/* A message that a program of this machine hands in: read from stdin, made fit for mail, with its
 * sender and recipients. For posix_sendmail and what carries it further. */
#ifndef POSTERN_POSIX_LETTER_H
#define POSTERN_POSIX_LETTER_H

#include "address.h"
#include "conf.h"
#include "err.h"
#include "outbox.h"

enum letter_state { LETTER_WAITING, LETTER_TAKEN, LETTER_REFUSED };

struct letter_rcpt {
    uint32_t at, len; /* in addresses */
    uint8_t state;    /* enum letter_state */
};

struct letter {
    const struct conf *conf;
    struct slice sender; /* empty: <> */
    struct slice full_name;
    struct slice envid;
    const char *ret; /* "FULL", "HDRS" or NULL */
    uint8_t notify;  /* of enum envelope_notify */
    bool is_8bit, is_smtputf8;
    struct slice content;
    uint32_t num_rcpts;
    struct letter_rcpt rcpts[OUTBOX_RCPTS_MAX];
    uint32_t addresses_len;
    uint8_t addresses[OUTBOX_ADDRESSES_LEN];
};

/* Adds the addresses of a list; one without a domain is one of ours. What is none is complained
 * about. ERR_OK, ERR_MALFORMED, ERR_TOO_BIG: too many. */
enum err letter_add(struct letter *l, struct slice list);

static inline struct slice letter_address(const struct letter *l, uint32_t rcpt)
{
    return slice_make(l->addresses + l->rcpts[rcpt].at, l->rcpts[rcpt].len);
}

uint32_t letter_waits(const struct letter *l); /* how many recipients do */

/* Reads the message from fd: to its end, or, with ends_at_dot, to a line of one dot. Bcc goes, with
 * takes_rcpts after the recipients that the header names were added; From, Date and Message-ID are
 * added where they are missing. ERR_TOO_BIG: over message_size_limit. */
enum err letter_read(struct letter *l, int fd, bool ends_at_dot, bool takes_rcpts);

#endif

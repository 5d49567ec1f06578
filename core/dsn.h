/* Reports on what became of a message (delivery status notifications): RFC 3461 6, RFC 3462, RFC
 * 3464, RFC 6533.
 *
 * A composer in pieces, so that a report is written to the spool without being held anywhere. Its
 * caller, the queue, puts in this order, with at least DSN_PIECE_MAX bytes of room each time:
 *
 *     dsn_put_head
 *     dsn_put_line        for each recipient: for people
 *     dsn_put_status
 *     dsn_put_fields      for each recipient: for programs
 *     dsn_put_original    and behind it, as they are, the bytes of the original that
 *                         dsn_returned_len says, from the begin of its content
 *     dsn_put_tail
 *
 * The same struct dsn goes to each. What others wrote (addresses, replies, host names) is bounded
 * and made safe here: no control, no line of its own. The boundary is drawn at random when the
 * original has long been written, so that it cannot be in there. Codec: pure. */
#ifndef POSTERN_DSN_H
#define POSTERN_DSN_H

#include "buf.h"

#define DSN_PIECE_MAX   4096
#define DSN_NONCE_LEN   16
#define DSN_HEADERS_MAX 16384        /* bytes of a header that are returned */
#define DSN_FULL_MAX    (100 * 1024) /* a longer message is not returned whole */

enum dsn_action { DSN_FAILED, DSN_DELAYED, DSN_DELIVERED, DSN_RELAYED, DSN_EXPANDED };

struct dsn {
    struct slice hostname; /* primary_hostname */
    struct slice to;       /* whom it goes to: the sender of the original, or a postmaster */
    struct slice envid;    /* of the original; empty: none */
    int64_t arrival_s;     /* when the original came, seconds since 1970 UTC; 0: not known */
    int64_t now_s;
    uint32_t actions; /* 1 << enum dsn_action for each that occurs among the recipients */
    bool is_utf8;     /* the original needs SMTPUTF8, or an address in the report is beyond ASCII */
    bool is_8bit;     /* what is returned of the original may hold bytes above 127 */
    bool has_no_sender; /* who could be told: to is somebody else */
    bool is_full;       /* the whole original is returned, not its header alone: dsn_is_full() */
    uint8_t nonce[DSN_NONCE_LEN]; /* fresh from the port's entropy for each report */
};

struct dsn_rcpt {
    struct slice address; /* where it was to go */
    struct slice orcpt;   /* "TYPE;ADDRESS" without xtext; empty: none */
    enum dsn_action action;
    uint16_t status[3];      /* RFC 3463 */
    struct slice remote_mta; /* the peer's host name; empty: no peer had a part in it */
    struct slice reply;      /* the peer's reply, code first, or our own words; may be empty */
    bool is_peers_reply;     /* reply is a peer's */
    int64_t last_attempt_s;  /* 0: none, or not known */
    int64_t retry_until_s;   /* of DSN_DELAYED; 0: not known */
};

/* Whether the whole original is to go with the report: only where its sender asked for that
 * (RET=FULL), of a failure (RFC 3461 4.3), and up to DSN_FULL_MAX. */
bool dsn_is_full(bool asked_for, uint32_t actions, uint64_t content_len);

/* How many bytes of an original's content go into a report: all content_len if d->is_full; else its
 * header, which ends in front of the empty line, or behind the last whole line in begin. begin is
 * the first DSN_HEADERS_MAX bytes of the content, or all if there are fewer. */
uint64_t dsn_returned_len(const struct dsn *d, struct slice begin, uint64_t content_len);

/* Each puts its piece whole, or nothing and returns false if b is too full. The report's lines end
 * in CRLF. */
bool dsn_put_head(struct buf *b, const struct dsn *d);
bool dsn_put_line(struct buf *b, const struct dsn *d, const struct dsn_rcpt *r);
bool dsn_put_status(struct buf *b, const struct dsn *d);
bool dsn_put_fields(struct buf *b, const struct dsn *d, const struct dsn_rcpt *r);
bool dsn_put_original(struct buf *b, const struct dsn *d);
bool dsn_put_tail(struct buf *b, const struct dsn *d);

#endif

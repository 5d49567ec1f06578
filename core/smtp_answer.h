/* What a peer answers us when we are the client: its replies (RFC 5321 4.2), and what its answer to
 * EHLO offers.
 *
 * A reply may have several lines; its text is kept as printable ASCII, cut at a bound. Nothing of a
 * peer's bytes goes further than that. Called by smtp_client. Codec: knows no state of a session.
 */
#ifndef POSTERN_SMTP_ANSWER_H
#define POSTERN_SMTP_ANSWER_H

#include "slice.h"

/* With its line end. RFC 5321 4.5.3.1.5 has 512, but some repeat a Message-ID of up to 998 octets;
 * and what is not understood behind the last byte is sent again. */
#define SMTP_ANSWER_LINE_MAX 2048
#define SMTP_ANSWER_NUM_MAX  128 /* lines of one reply */
#define SMTP_ANSWER_TEXT_CAP 400

/* Zeroed memory is a reply of which nothing has come. */
struct smtp_answer {
    uint16_t code;      /* 200 to 599, of the last line: all should have the same */
    uint16_t status[3]; /* RFC 3463, of the first line that has one that fits the code; else 0s */
    uint8_t num_lines;
    bool is_whole;
    uint16_t text_len;
    uint8_t text[SMTP_ANSWER_TEXT_CAP]; /* the lines, codes and all, a space between them */
};

enum smtp_answer_result {
    SMTP_ANSWER_MORE,     /* no whole line is there */
    SMTP_ANSWER_LINE,     /* one was taken; a->is_whole if it was the last */
    SMTP_ANSWER_MALFORMED /* no reply, or one without end */
};

/* Takes one line off *in; a bare LF ends one too. After a whole reply the next line begins another.
 * *out_text: what stands behind the code, a view into *in. SMTP_ANSWER_MORE comes with less than
 * SMTP_ANSWER_LINE_MAX bytes in *in. */
enum smtp_answer_result smtp_answer_take(struct smtp_answer *a, struct slice *in,
                                         struct slice *out_text);

/* The first digit of its code: 2 to 5. */
static inline unsigned smtp_answer_class(const struct smtp_answer *a)
{
    return a->code / 100u;
}

/* What a peer offers: bits of struct smtp_offers. */
enum smtp_offer {
    SMTP_OFFER_SIZE = 1,
    SMTP_OFFER_8BITMIME = 2,
    SMTP_OFFER_SMTPUTF8 = 4,
    SMTP_OFFER_CHUNKING = 8,
    SMTP_OFFER_PIPELINING = 16,
    SMTP_OFFER_DSN = 32,
    SMTP_OFFER_STARTTLS = 64,
    SMTP_OFFER_STATUS_CODES = 128,
    SMTP_OFFER_AUTH_PLAIN = 256,
    SMTP_OFFER_AUTH_LOGIN = 512,
    SMTP_OFFER_AUTH_SCRAM = 1024 /* SCRAM-SHA-256 */
};

struct smtp_offers {
    uint32_t bits;
    uint64_t size_max; /* bytes of a message, RFC 1870; 0: not told */
    uint32_t rcpt_max; /* recipients of one message, RFC 9422; 0: not told */
    uint32_t mail_max; /* messages of one connection, RFC 9422; 0: not told */
};

/* Adds what one line of an answer to EHLO says, but for its first. What is not known, or not well
 * formed, says nothing. */
void smtp_offers_add(struct smtp_offers *o, struct slice line);

#endif

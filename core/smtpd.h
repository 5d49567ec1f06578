/* The SMTP server engine: one session as RFC 5321 has it, between bytes and events.
 *
 * It takes bytes, puts replies into a buffer, and says what its caller has to decide or to store.
 * It never calls out, never blocks, knows no clock, and stores neither bytes nor recipients. Called
 * by the composition root; the states and what each command does in them stand in smtpd_table.c,
 * the replies in smtp_reply.def.
 *
 * One loop drives it:
 *
 *     event = smtpd_next(s, &in, &out, &ask);
 *
 * - MAIL, RCPT, BEGIN, STARTTLS, AUTH and END ask something. Until smtpd_answer() says what, now or
 * much later, smtpd_next() takes no input and returns SMTPD_WAIT.
 * - Every transaction (SMTPD_MAIL answered with SMTPD_OK) ends in exactly one SMTPD_END or
 *   SMTPD_ABORT.
 * - Replies are to be written when SMTPD_MORE, SMTPD_WAIT, SMTPD_FLUSH, SMTPD_TLS or SMTPD_CLOSE is
 *   returned, and not before: that batches the replies to pipelined commands (RFC 2920 3.2).
 * - Bytes that stay in *in are the caller's to keep, and to give again with more behind them.
 * - After SMTPD_CLOSE it is best to read and forget what still comes for a moment before closing: a
 *   connection closed over unread bytes is reset, and the last reply may be lost with it. */
#ifndef POSTERN_SMTPD_H
#define POSTERN_SMTPD_H

#include "address.h"
#include "smtp_line.h"

/* No reply is longer. smtpd_next() wants that much room in out, or returns SMTPD_FLUSH; out must be
 * able to hold it. */
#define SMTPD_REPLY_MAX 512

#define SMTPD_HELO_MAX 255 /* octets of a HELO or EHLO argument */
#define SMTPD_ID_MAX   24  /* octets of a queue id */

/* Zero means no limit, everywhere. */
struct smtpd_limits {
    uint64_t message_size_limit; /* bytes of a message, as SIZE counts them (RFC 1870) */
    uint32_t recipients_max;     /* of a transaction (advertised as RCPTMAX, RFC 9422) */
    uint32_t mails_max;          /* MAIL commands accepted in a session (MAILMAX) */
    uint32_t text_line_max;      /* bytes of a line of a message, with CRLF; SMTP_TEXT_LINE_MAX */
    uint16_t synprot_errors_max; /* wrong syntax or order; the next one is answered 421 */
    uint16_t unknown_commands_max;
    uint16_t refused_rcpts_max;    /* senders too, between two messages: see smtpd_commands.c */
    uint16_t nonmail_commands_max; /* HELO, NOOP, RSET, VRFY... between two messages */
};

/* What the sessions of one server share. Owned by the caller; may change between two calls. */
struct smtpd_env {
    struct slice hostname; /* our name: 1-255 octets of a domain or an address literal */
    struct smtpd_limits limits;
    bool starttls_offered;
    bool auth_needs_tls; /* AUTH is offered in TLS only, see smtpd_offer_auth */
};

enum smtpd_event {
    SMTPD_MORE, /* feed more; under SMTP_AUTH_LINE_MAX bytes in *in are left: the begin of a command
                 */
    SMTPD_FLUSH, /* write out what is in out, then call again */
    SMTPD_WAIT,  /* an answer is due, or smtpd_tls_started() */
    SMTPD_MAIL,  /* asks: a transaction from ask->address, with size, is_8bit, is_smtputf8 */
    SMTPD_RCPT,  /* asks: a recipient, ask->address */
    SMTPD_BEGIN, /* asks: a message follows; the answer makes the 354, or lets the first chunk in */
    SMTPD_BODY,  /* ask->body: the next bytes of the message; not empty */
    SMTPD_END,   /* asks: the message is complete; make it durable */
    SMTPD_ABORT, /* the transaction is dropped */
    SMTPD_AUTH, /* asks: how does the exchange with the client go on? ask->mechanism begins it, with
                   ask->body as initial response if there is one; without a mechanism, ask->body
                   answers the last challenge. Base64, "*" or "=", unread. */
    SMTPD_STARTTLS, /* asks: may a handshake begin? */
    SMTPD_TLS,      /* write out what is in out, shake hands, then smtpd_tls_started() */
    SMTPD_CLOSE,    /* write out what is in out and close; ask->reason */
    NUM_SMTPD_EVENTS
};

/* Answers. SMTPD_OK suits every question, as do the temporary ones. */
enum smtpd_verdict {
    SMTPD_OK,
    SMTPD_CHALLENGE, /* 334: smtpd_challenge answers so */
    SMTPD_TEMPORARY, /* 451 4.3.0, STARTTLS and AUTH: 454 4.7.0 */
    SMTPD_NO_SPACE,  /* 452 4.3.1: storage */
    SMTPD_BUSY,      /* 452 4.5.3 for a recipient (try it in another transaction), else 452 4.3.1 */
    SMTPD_MAILBOX_FULL,   /* 452 4.2.2 */
    SMTPD_UNKNOWN_USER,   /* 550 5.1.1 */
    SMTPD_NO_ROUTE,       /* 550 5.4.4 */
    SMTPD_RELAY_DENIED,   /* 550 5.7.1 */
    SMTPD_POLICY,         /* 550 5.7.1, refused without saying more */
    SMTPD_NEEDS_TLS,      /* 530 5.7.0 (RFC 3207 4) */
    SMTPD_NEEDS_AUTH,     /* 530 5.7.0 (RFC 4954 6) */
    SMTPD_RATE,           /* 450 4.7.1 */
    SMTPD_NOT_YOURS,      /* 553 5.7.1: the sender's address */
    SMTPD_AUTH_FAILED,    /* 535 5.7.8; the third ends the session. These four to AUTH only: */
    SMTPD_AUTH_SYNTAX,    /* 501 5.5.2 */
    SMTPD_AUTH_CANCELLED, /* 501 5.7.0: the client sent "*" */
    SMTPD_AUTH_MECHANISM, /* 504 5.5.4 */
    SMTPD_TOO_BIG,        /* 552 5.3.4 */
    SMTPD_LOOP,           /* 554 5.4.6: it came through too many servers */
    NUM_SMTPD_VERDICTS
};

/* Why a session ended: REASON(symbol, name). */
#define SMTPD_REASONS(REASON)                             \
    REASON(NONE, "none")                                  \
    REASON(QUIT, "quit")                                  \
    REASON(LOST, "connection-lost")                       \
    REASON(TIMEOUT, "timeout")                            \
    REASON(SHUTDOWN, "shutdown")                          \
    REASON(BARE_CR, "bare-cr")                            \
    REASON(BARE_LF, "bare-lf")                            \
    REASON(NUL, "nul-byte")                               \
    REASON(CHUNK_SIZE, "bad-chunk-size")                  \
    REASON(STARTTLS_DATA, "plaintext-after-starttls")     \
    REASON(NOT_SMTP, "not-smtp")                          \
    REASON(TLS_UNASKED, "tls-without-starttls")           \
    REASON(SYNPROT_ERRORS, "too-many-errors")             \
    REASON(UNKNOWN_COMMANDS, "too-many-unknown-commands") \
    REASON(NONMAIL_COMMANDS, "too-many-nonmail-commands") \
    REASON(REFUSED_RCPTS, "too-many-refused-recipients")  \
    REASON(AUTH_FAILURES, "too-many-auth-failures")       \
    REASON(MAILS, "too-many-mails")

enum smtpd_reason {
#define SMTPD_REASON_SYMBOL(symbol, name) SMTPD_REASON_##symbol,
    SMTPD_REASONS(SMTPD_REASON_SYMBOL)
#undef SMTPD_REASON_SYMBOL
        NUM_SMTPD_REASONS
};

/* What an event has to say. Views are into the input, valid until its memory changes or
 * smtpd_next() is called again. */
struct smtpd_ask {
    struct address address; /* MAIL (empty text: the null path), RCPT */
    struct slice mechanism; /* AUTH: as the client wrote it; empty: see there */
    struct slice body;      /* BODY, AUTH */
    uint64_t size; /* MAIL: what SIZE= says, 0 if nothing. BEGIN: what a chunked message is known to
                      reach */
    bool is_8bit;  /* MAIL: BODY=8BITMIME */
    bool is_smtputf8;         /* MAIL: SMTPUTF8. RCPT: that of the transaction */
    uint8_t ret;              /* MAIL: RET, of enum envelope_flag */
    uint8_t notify;           /* RCPT: NOTIFY, of enum envelope_notify */
    struct slice envid;       /* MAIL: in good xtext */
    struct slice orcpt;       /* RCPT: in good xtext */
    enum smtpd_reason reason; /* CLOSE */
};

/* One session. Its members are private; the functions below tell what others may know. */
struct smtpd {
    const struct smtpd_env *env;
    const char *mechanisms; /* of AUTH, as offered; NULL: none */
    union {
        struct {
            uint64_t chunk_left; /* bytes of the BDAT chunk that are still to come */
            uint64_t message_len;
        };
        struct slice challenge; /* outside of transactions */
    };
    struct smtp_body body;
    uint32_t num_rcpts;
    uint32_t num_mails;
    uint16_t num_synprot_errors;
    uint16_t num_unknown_commands;
    uint16_t num_nonmail_commands;
    uint16_t num_refused_rcpts;
    uint8_t state;      /* enum smtpd_state: what the session has come to */
    uint8_t next;       /* enum smtpd_state that the command at hand leads to */
    uint8_t phase;      /* enum smtpd_phase: what is read or waited for now */
    uint8_t trace[8];   /* the last states and phases, newest first */
    uint8_t question;   /* enum smtpd_event that was asked */
    uint8_t verdict;    /* enum smtpd_verdict + 1; 0: none yet */
    uint8_t skip_reply; /* enum smtp_reply to the chunk that is drained */
    uint8_t
        failed; /* enum smtp_reply that the rest of this message is to get; 0: nothing has failed */
    uint8_t drain_reason; /* enum smtpd_reason to close for when the chunk is drained; 0: go on */
    uint8_t reason;       /* enum smtpd_reason; set when the session is to end */
    uint8_t refusal;      /* enum smtp_reply, see smtpd_put_last_refusal; 0: all were good */
    uint8_t num_auth_failures;
    bool in_tls;
    bool is_authenticated;
    bool is_esmtp;
    bool is_smtputf8;
    bool is_chunked;
    bool chunk_is_last;
    bool tls_due;        /* SMTPD_TLS has not been said yet */
    bool in_transaction; /* SMTPD_ABORT is owed, unless SMTPD_END comes first */
    bool mail_refused;   /* the last MAIL was: what was pipelined behind it fails without fault */
    uint8_t id_len;
    uint8_t helo_len;
    uint8_t id[SMTPD_ID_MAX];
    uint8_t helo[SMTPD_HELO_MAX];
};

/* A plaintext connection that waits may cost 1.5 KiB in all. */
_Static_assert(sizeof(struct smtpd) <= 400, "a session is small");

/* A new session. The first smtpd_next() puts the 220 banner; in_tls: TLS was there before SMTP. env
 * must outlive s. */
void smtpd_open(struct smtpd *s, const struct smtpd_env *env, bool in_tls);

/* Goes on until something is to be said: see enum smtpd_event. Takes what it uses from the front of
 * *in and appends whole replies to out, whose capacity is at least SMTPD_REPLY_MAX. After
 * SMTPD_CLOSE it takes nothing and says SMTPD_CLOSE again. */
enum smtpd_event smtpd_next(struct smtpd *s, struct slice *in, struct buf *out,
                            struct smtpd_ask *ask);

/* Answers what was asked. The reply comes with the next smtpd_next(). Without a question nothing
 * happens: answers may be late. id is for SMTPD_END with SMTPD_OK: 1 to SMTPD_ID_MAX printable
 * octets, copied; else empty. */
void smtpd_answer(struct smtpd *s, enum smtpd_verdict verdict, struct slice id);

/* Offers AUTH with these mechanisms, separated by spaces; NULL: not at all. Forgotten when TLS
 * begins. The text must live as long as the session. */
void smtpd_offer_auth(struct smtpd *s, const char *mechanisms);

/* Answers SMTPD_AUTH with SMTPD_CHALLENGE: base64, at most SMTPD_CHALLENGE_MAX octets, which must
 * live until smtpd_next() is called; may be empty. */
#define SMTPD_CHALLENGE_MAX (SMTPD_REPLY_MAX - 6)
void smtpd_challenge(struct smtpd *s, struct slice challenge);

/* The message cannot be stored further: SMTPD_ABORT follows, the rest of the body is drained, and
 * gets that verdict (not SMTPD_OK). Between SMTPD_BEGIN's answer and SMTPD_END; else nothing
 * happens. */
void smtpd_body_failed(struct smtpd *s, enum smtpd_verdict verdict);

/* The handshake of SMTPD_TLS is done. Forgets all that came before: HELO and with it everything
 * that needs one (RFC 3207 4.2). */
void smtpd_tls_started(struct smtpd *s);

/* Each ends the session: smtpd_next() then gives SMTPD_ABORT if there is a transaction, and
 * SMTPD_CLOSE. A message that is complete is answered first, unless the peer is gone.
 * SMTPD_REASON_TIMEOUT says 421 4.4.2, SMTPD_REASON_SHUTDOWN 421 4.3.2, SMTPD_REASON_LOST nothing.
 * No 421 goes into a TLS handshake. */
void smtpd_end(struct smtpd *s, enum smtpd_reason reason);

/* The whole of a session that is refused at once: "421 4.7.0" for a client that has too many,
 * "421 4.3.2" for a server that does. */
bool smtpd_put_refusal(struct buf *out, const struct smtpd_env *env, bool is_clients_fault);

/* What the Received field and the log want to know. The HELO argument has no control
 * characters, else anything. */
struct slice smtpd_helo(const struct smtpd *s);
/* The last reply that was not good and is not only the sequel of another. False: there was none. */
bool smtpd_put_last_refusal(struct buf *out, const struct smtpd *s);
bool smtpd_is_esmtp(const struct smtpd *s);
bool smtpd_is_authenticated(const struct smtpd *s);
bool smtpd_in_transaction(const struct smtpd *s);

/* In the middle of a message's body, where the data time-out holds instead of the command time-out.
 */
bool smtpd_in_body(const struct smtpd *s);

const char *smtpd_reason_name(enum smtpd_reason reason);

/* "ready:command mail:asked ...", the last states, oldest first: for a log line at debug level. */
bool smtpd_put_trace(struct buf *b, const struct smtpd *s);

#endif

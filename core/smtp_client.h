/* The client's side of a session of SMTP or LMTP (RFC 5321, RFC 2033): says what a peer is to be
 * told, and understands what it answers.
 *
 * Sans-I/O: takes the peer's bytes, puts its own into a buffer, returns events. Never calls out,
 * has no clock; smtp_client_timeout_ms says how long an answer may take. Called by deliver_smtp
 * and `postern sendmail`. A session:
 *
 *     smtp_client_begin
 *     loop: event = smtp_client_next(c, &in), obey it; send c->out, smtp_client_sent(c, how much)
 *
 *     ... -> SMTP_CLIENT_STARTTLS -> handshake, smtp_client_tls_begun -> ...
 *         -> SMTP_CLIENT_READY -> smtp_client_mail
 *         -> SMTP_CLIENT_GIVE_RCPT (each) -> SMTP_CLIENT_RCPT_ANSWER (each that was refused)
 *         -> SMTP_CLIENT_GIVE_CONTENT (until all is given)
 *         -> SMTP_CLIENT_MAIL_ANSWER, or with LMTP SMTP_CLIENT_RCPT_ANSWER (each)
 *         -> SMTP_CLIENT_DONE -> SMTP_CLIENT_READY ...
 *     at any time SMTP_CLIENT_ENDED
 *
 * What each reply does in each state is a table (smtp_client_table.c). MAIL, RCPT and DATA go out
 * together where the peer allows (RFC 2920), content by BDAT where it can (RFC 3030), in one chunk.
 */
#ifndef POSTERN_SMTP_CLIENT_H
#define POSTERN_SMTP_CLIENT_H

#include "buf.h"
#include "smtp_answer.h"
#include "smtp_login.h"

/* No command is longer: MAIL with all its parameters, RCPT with an ORCPT of 500 bytes in xtext. */
#define SMTP_CLIENT_COMMAND_MAX 2048
/* A transaction's recipients at most: bits of accepted. */
#define SMTP_CLIENT_RCPTS_MAX 64

enum smtp_client_tls {
    SMTP_CLIENT_TLS_NEVER,
    SMTP_CLIENT_TLS_IF_OFFERED,
    SMTP_CLIENT_TLS_REQUIRED, /* no mail without */
    SMTP_CLIENT_TLS_ON        /* it was there before the first byte */
};

struct smtp_client_conf {
    struct slice hostname; /* ours; lasts as long as the session */
    bool is_lmtp;
    bool shuns_itself; /* a peer that greets with our name is ourselves */
    uint8_t tls;       /* enum smtp_client_tls */
    /* To log in with, once in TLS; no user: not at all. All last until the session is ready. */
    struct slice user, password;
    struct slice random; /* SMTP_LOGIN_RANDOM bytes, fit for keys */
};

/* One message, for smtp_client_mail; copied but for its texts, which last until
 * SMTP_CLIENT_DONE. */
struct smtp_client_mail {
    struct slice sender; /* empty: <> */
    struct slice envid;  /* printable ASCII, without its xtext; empty: none */
    uint64_t content_len;
    bool is_8bit;
    bool is_smtputf8;
    const char *ret;    /* "FULL", "HDRS" or NULL */
    uint32_t num_rcpts; /* at least 1 */
};

struct smtp_client_rcpt {
    struct slice address;
    uint8_t notify;     /* enum envelope_notify */
    struct slice orcpt; /* "TYPE;ADDRESS", without its xtext; empty: none */
};

enum smtp_client_event {
    SMTP_CLIENT_WAIT,         /* for more bytes of the peer, or until it takes ours */
    SMTP_CLIENT_STARTTLS,     /* begin a handshake; then smtp_client_tls_begun */
    SMTP_CLIENT_TURN,         /* much was computed, and there is more to do: call again in turn */
    SMTP_CLIENT_READY,        /* for smtp_client_mail or smtp_client_quit */
    SMTP_CLIENT_GIVE_RCPT,    /* smtp_client_rcpt for number c->rcpt */
    SMTP_CLIENT_GIVE_CONTENT, /* smtp_client_content */
    SMTP_CLIENT_RCPT_ANSWER,  /* c->answer is about number c->rcpt */
    SMTP_CLIENT_MAIL_ANSWER,  /* about all that have none yet */
    SMTP_CLIENT_DONE,         /* every recipient has had its answer */
    SMTP_CLIENT_ENDED,        /* c->reason, perhaps c->answer; send c->out, and close */
    SMTP_CLIENT_AGAIN         /* private to smtp_client.c */
};

enum smtp_client_state {
    SMTP_CLIENT_STATE_GREETING, /* the answer that is awaited is the one to ... */
    SMTP_CLIENT_STATE_EHLO,
    SMTP_CLIENT_STATE_HELO,
    SMTP_CLIENT_STATE_STARTTLS,
    SMTP_CLIENT_STATE_TLS, /* none, while a handshake is under way */
    SMTP_CLIENT_STATE_AUTH,
    SMTP_CLIENT_STATE_READY, /* none */
    SMTP_CLIENT_STATE_RSET,
    SMTP_CLIENT_STATE_MAIL,
    SMTP_CLIENT_STATE_RCPT,
    SMTP_CLIENT_STATE_DATA,
    SMTP_CLIENT_STATE_CONTENT, /* none: content is being sent */
    SMTP_CLIENT_STATE_END,     /* the final dot, or the last chunk */
    SMTP_CLIENT_STATE_QUIT,
    SMTP_CLIENT_STATE_ENDED,
    NUM_SMTP_CLIENT_STATES
};

struct smtp_client {
    struct buf out; /* to be sent */
    struct smtp_offers offers;
    uint32_t rcpt;
    const char *reason; /* of SMTP_CLIENT_ENDED: a constant name; NULL: in order */
    bool has_answer;    /* and c->answer is why */
    bool is_unsure;     /* all of the content was put into out, and its answer has not come */
    uint8_t state;      /* enum smtp_client_state */
    uint32_t num_mails; /* begun in this session */
    struct smtp_answer answer;

    /* Private to smtp_client*.c. */
    struct smtp_client_conf conf;
    bool in_tls, is_logged_in;
    bool needs_reset; /* before the next MAIL */
    bool is_refused;  /* the message; what was sent behind it is still to be answered */
    bool is_over;     /* the message: nothing of it is to be answered any more */
    bool sent_data;   /* DATA has gone out */
    bool uses_chunks; /* BDAT, not DATA */
    bool at_line_begin;
    uint32_t num_rcpts_sent, num_rcpts_answered;
    uint64_t accepted;     /* bit n: recipient n */
    uint64_t content_left; /* bytes to be given */
    struct smtp_client_mail mail;
    struct smtp_login login;
};

/* out_memory: SMTP_CLIENT_COMMAND_MAX bytes at least, twice that to pipeline well. */
void smtp_client_begin(struct smtp_client *c, const struct smtp_client_conf *conf,
                       struct buf out_memory);

/* What is next; takes whole lines off *in. To be called until it returns SMTP_CLIENT_WAIT. */
enum smtp_client_event smtp_client_next(struct smtp_client *c, struct slice *in);

/* The first len bytes of c->out went to the peer. */
void smtp_client_sent(struct smtp_client *c, size_t len);

/* The handshake that SMTP_CLIENT_STARTTLS asked for is done, and the peer's certificate and proof
 * are good enough: forgets all that was offered before (RFC 3207 4.2). */
void smtp_client_tls_begun(struct smtp_client *c);

/* After SMTP_CLIENT_READY. */
void smtp_client_mail(struct smtp_client *c, const struct smtp_client_mail *mail);
void smtp_client_quit(struct smtp_client *c);

/* After SMTP_CLIENT_GIVE_RCPT. False, and nothing said: the address holds what no command may. */
bool smtp_client_rcpt(struct smtp_client *c, const struct smtp_client_rcpt *rcpt);
/* The same: there is one recipient less, and those behind it move up by one. */
void smtp_client_skip_rcpt(struct smtp_client *c);

/* After SMTP_CLIENT_GIVE_CONTENT: content with CRLF line ends, from where the last call ended.
 * Returns how much of it was taken, 0 while out is too full. After DATA every line that begins with
 * a dot gets another one, and the end is marked when all of content_len bytes were given. */
size_t smtp_client_content(struct smtp_client *c, struct slice bytes);

/* The stream is at its end, broken, or has been silent for too long: ends the session; reason is a
 * constant. */
void smtp_client_lost(struct smtp_client *c, const char *reason);

/* How long the answer that is awaited may take, all of it (RFC 5321 4.5.3.2); of content, how long
 * the peer may take none of it. */
uint32_t smtp_client_timeout_ms(const struct smtp_client *c);

const char *smtp_client_state_name(enum smtp_client_state state);

#endif

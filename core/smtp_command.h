/* SMTP commands as the server reads them: from one line to a verb, from its arguments to values.
 *
 * Called by smtpd with lines that smtp_line has framed. Codec: pure; whether a command is welcome
 * now is not its question. A parser returns the reply that its input deserves, SMTP_REPLY_NONE if
 * nothing is wrong. */
#ifndef POSTERN_SMTP_COMMAND_H
#define POSTERN_SMTP_COMMAND_H

#include "address.h"
#include "envelope.h"
#include "smtp_reply.h"

enum smtp_verb {
    SMTP_HELO,
    SMTP_EHLO,
    SMTP_MAIL,
    SMTP_RCPT,
    SMTP_DATA,
    SMTP_BDAT,
    SMTP_RSET,
    SMTP_NOOP,
    SMTP_VRFY,
    SMTP_HELP,
    SMTP_QUIT,
    SMTP_STARTTLS,
    SMTP_AUTH,
    SMTP_NOT_OFFERED, /* commands that are known, and that this server does not have: EXPN, ETRN...
                       */
    SMTP_FOREIGN, /* the first word of another protocol's request: GET, POST, CONNECT..., or no text
                     at all */
    SMTP_UNKNOWN,
    NUM_SMTP_VERBS
};

/* *out_args is what follows the verb, without the spaces and tabs around it. */
enum smtp_verb smtp_command_parse(struct slice line, struct slice *out_args);

/* Whether that verb may come with those arguments at all, and in a line of that length (without
 * CRLF). MAIL, RCPT and BDAT have parsers of their own for their arguments. */
enum smtp_reply smtp_command_check(enum smtp_verb verb, size_t line_len, struct slice args);

struct smtp_mail {
    struct address address; /* empty text: the null path */
    uint64_t size;      /* SIZE= (RFC 1870); UINT64_MAX stands for anything above it; 0: not said */
    bool is_8bit;       /* BODY=8BITMIME (RFC 6152) */
    bool is_smtputf8;   /* SMTPUTF8 (RFC 6531) */
    uint8_t ret;        /* RET (RFC 3461 4.3): ENVELOPE_RET_FULL, ENVELOPE_RET_HDRS; 0: not said */
    struct slice envid; /* ENVID (4.4), in good xtext; empty: not said */
};

/* "FROM:" Reverse-path [SP Mail-parameters]; spaces behind the colon are let pass. */
enum smtp_reply smtp_mail_parse(struct slice args, struct smtp_mail *out);

struct smtp_rcpt_args {
    struct address address;
    uint8_t notify;     /* NOTIFY (RFC 3461 4.1), of enum envelope_notify; 0: not said */
    struct slice orcpt; /* ORCPT (4.2), in good xtext; empty: not said */
};

/* "TO:" Forward-path [SP Rcpt-parameters]. Addresses beyond ASCII are refused unless smtputf8. */
enum smtp_reply smtp_rcpt_parse(struct slice args, bool smtputf8, struct smtp_rcpt_args *out);

/* What NOTIFY may be, of enum envelope_notify, added to *out. False: nothing that it may. */
bool smtp_notify_parse(struct slice value, uint8_t *out);

/* sasl-mech [SP initial-response] (RFC 4954 4); a response that is there is not empty. */
enum smtp_reply smtp_auth_parse(struct slice args, struct slice *out_mechanism,
                                struct slice *out_response);

/* chunk-size [SP "LAST"] (RFC 3030 2). False: no such size, or one that 64 bits cannot hold. */
bool smtp_bdat_parse(struct slice args, uint64_t *out_len, bool *out_is_last);

#endif

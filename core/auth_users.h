/* The users file: who may log in, and how it is checked, without any password in it.
 *
 *     # a comment
 *     :SECRET
 *     NAME:SCRAM-SHA-256$ITERATIONS:SALT$STOREDKEY:SERVERKEY
 *     NAME:SCRAM-SHA-256$ITERATIONS:SALT$STOREDKEY:SERVERKEY SENDER SENDER ...
 *
 * SECRET, SALT and the keys are base64 (RFC 5802 has the keys' meaning). SENDER is an address or
 * *@DOMAIN: what the user may send as; no SENDER: as anybody. The secret makes the salts of users
 * who do not exist, so that they look like others, and always the same. `postern passwd` writes the
 * file; mta_auth reads it anew at each login. Engine: pure. */
#ifndef POSTERN_AUTH_USERS_H
#define POSTERN_AUTH_USERS_H

#include "scram_keys.h"

#define AUTH_NAME_MAX    128
#define AUTH_SENDERS_MAX 511
#define AUTH_SECRET_LEN  32
#define AUTH_ITERATIONS  10000 /* of what `postern passwd` writes */
#define AUTH_SALT_LEN    16

struct auth_user {
    struct slice name;
    struct slice senders; /* separated by spaces; empty: anybody */
    struct scram_verifier verifier;
};

enum auth_line { AUTH_LINE_EMPTY, AUTH_LINE_USER, AUTH_LINE_SECRET, AUTH_LINE_WRONG };

/* Takes the next line. False at the end of the text. out is filled for AUTH_LINE_USER, and
 * out->name with the base64 text for AUTH_LINE_SECRET. */
bool auth_users_next(struct slice *text, enum auth_line *out_kind, struct auth_user *out);

/* The user of that name, exactly as it is written. False if there is none: out is then filled with
 * what cannot be told from a user, and that no password fits. The whole text is looked through
 * either way. */
bool auth_users_find(struct slice text, struct slice name, struct auth_user *out);

/* Whether the text may be used: 0, or the number of the first wrong line, which is none of this
 * form; with_senders: or is one whose senders are none, as whom its user cannot send anything. */
#define AUTH_LINE_FORM \
    "expected a line as `postern passwd` writes it, with addresses or *@DOMAIN behind it"
uint32_t auth_users_check(struct slice text, bool with_senders);

/* A name or password in the form that SASLprep (RFC 4013) leaves as it is: printable ASCII. Others
 * are refused, as Postern has no tables of Unicode. Names have no colon and no space besides. */
bool auth_is_password(struct slice text);
bool auth_is_name(struct slice text);

/* "NAME:SCRAM-SHA-256$..." with senders, and a line end. */
bool auth_users_put(struct buf *b, const struct auth_user *user);

/* Whether senders (as in struct auth_user) has that address; domains in any case, local parts as
 * they are. */
bool auth_senders_hold(struct slice senders, struct slice local, struct slice domain);

#endif

/* Mail addresses as RFC 5321 4.1.2 and RFC 6531 3.3 write them, as views into the text that they
 * came in.
 *
 * Called by smtp_command for paths, and by whatever reads addresses from files. Codec: decides
 * form, never whether a domain is ours. */
#ifndef POSTERN_ADDRESS_H
#define POSTERN_ADDRESS_H

#include "buf.h"

#define ADDRESS_DOMAIN_MAX 255 /* RFC 5321 4.5.3.1.2 */
#define ADDRESS_PATH_MAX   256 /* 4.5.3.1.3, with angle brackets and route */
#define ADDRESS_MAX        (ADDRESS_PATH_MAX - 2)
/* Of 64 octets (4.5.3.1.1) each server takes local parts; those of lists, and of mail that was
 * forwarded, hold whole addresses and are longer. */
#define ADDRESS_LOCAL_MAX (ADDRESS_MAX - 2)

struct address {
    struct slice
        text; /* local@domain as written, without brackets and route; empty: the null path <> */
    struct slice local;  /* as written, with its quotes */
    struct slice domain; /* as written, a literal with its brackets; empty: <Postmaster> or <> */
    bool is_quoted;      /* local is a quoted string */
    bool is_literal;     /* domain is an address literal */
    bool is_utf8;        /* holds bytes beyond ASCII, valid UTF-8: needs SMTPUTF8 */
};

enum address_result { ADDRESS_OK, ADDRESS_MALFORMED, ADDRESS_TOO_LONG };

/* Takes a path off *in: "<" [ source route ":" ] mailbox ">", or "<>", or "<Postmaster>" in any
 * case; or a mailbox alone, up to a space or the end, as some devices write it. A source route is
 * checked and then forgotten, as RFC 5321 C asks. Whether a path may be null or without a domain is
 * for the caller to say. Domains may hold underscores. *in moves on success only. */
enum address_result address_take_path(struct slice *in, struct address *out);

/* All of the text as local@domain, without brackets. */
enum address_result address_parse(struct slice text, struct address *out);

/* The local part as it is meant: without quotes and backslashes, so that "joe" and joe are one. At
 * most ADDRESS_LOCAL_MAX bytes, printable ASCII and UTF-8; it may hold a slash or begin with a dot.
 * False if b is full. */
bool address_put_local(struct buf *b, const struct address *a);

/* local@domain, from a local part as it is meant: quoted where it has to be. All or nothing: false,
 * with overflow set, if b is full. */
bool address_put(struct buf *b, struct slice local, struct slice domain);

/* <Postmaster>, or postmaster at any domain. */
bool address_is_postmaster(const struct address *a);

/* Whether all of the text is a domain, or an address literal with its brackets. */
bool address_is_domain(struct slice text);
bool address_is_literal(struct slice text);

/* Whether all of the text is the name of a host, or an address without brackets. No name ends in a
 * number (RFC 3696 2), but what was to be an address or a port does. */
bool address_is_host(struct slice text);

/* Whether all of the bytes are UTF-8 (RFC 3629: no overlong form, no surrogate, nothing above
 * U+10FFFF). */
bool address_is_utf8(struct slice text);

#endif

/* Dovecot's authentication protocol (version 1), the side of a server that lets it decide: lines of
 * fields, parted by tabs.
 *
 *     >  VERSION 1 1 | CPID number
 *     <  VERSION 1 x | MECH name ... | SPID | CUID | COOKIE | DONE
 *     >  AUTH id mechanism service=smtp secured nologin rip=... resp=base64
 *     <  CONT id base64                > CONT id base64
 *     <  OK id user=name ... or FAIL id user=name ... code=temp_fail ...
 *
 * Called by mta_dovecot. Codec: pure. */
#ifndef POSTERN_DOVECOT_AUTH_H
#define POSTERN_DOVECOT_AUTH_H

#include "net_addr.h"

/* No line is longer, either way. */
#define DOVECOT_LINE_MAX 8192

enum dovecot_word {
    DOVECOT_OTHER, /* of no use here */
    DOVECOT_VERSION,
    DOVECOT_MECH,
    DOVECOT_DONE,
    DOVECOT_CONT,
    DOVECOT_OK,
    DOVECOT_FAIL
};

/* Views into the line. */
struct dovecot_line {
    enum dovecot_word word;
    uint32_t number;    /* CONT, OK, FAIL: the id. VERSION: the major one */
    struct slice value; /* MECH: the name. CONT: base64. OK, FAIL: the user, or empty */
    bool is_temporary;  /* FAIL: nobody was judged */
};

/* Takes the next line off *in. False: there is no whole one. A line that makes no sense is
 * DOVECOT_OTHER, but for a malformed number, which is 0, and no request's. */
bool dovecot_take_line(struct slice *in, struct dovecot_line *out);

/* Each false, with overflow set, if b is too full. number: of us, among Dovecot's clients. */
bool dovecot_put_hello(struct buf *b, uint32_t number);

/* response: base64, checked; NULL: the client gave none. */
bool dovecot_put_auth(struct buf *b, uint32_t id, const char *mechanism,
                      const struct net_addr *peer, const struct slice *response);
bool dovecot_put_cont(struct buf *b, uint32_t id, struct slice response);

#endif

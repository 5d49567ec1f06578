/* The ciphersuites that Postern speaks, and the option that chooses among them.
 *
 * A pure table: names as IANA and as OpenSSL write them. Called by tls_env. */
#ifndef POSTERN_TLS_CIPHERS_H
#define POSTERN_TLS_CIPHERS_H

#include "slice.h"

#define TLS_CIPHERS_MAX 16

struct tls_ciphers {
    int ids[TLS_CIPHERS_MAX + 1]; /* best first, ends with 0 */
    bool has_12;
    bool has_13;
};

/* Names separated by colons, commas or spaces, best first; empty: all, in the default order. False,
 * with *bad_name a part of the text, at the first name that is not known. Names may come twice. */
bool tls_ciphers_parse(struct slice text, struct tls_ciphers *out, struct slice *bad_name);

/* IANA's name; "unknown" for what is not in the table. */
const char *tls_cipher_name(int id);

#endif

/* Handshake messages of any length, written in records that fit; for tls_status*.c only. */
#ifndef POSTERN_TLS_STATUS_WRITE_H
#define POSTERN_TLS_STATUS_WRITE_H

#include "tls_set_inside.h"
#include "tls_status.h"

/* Certificate and CertificateStatus are put together from views: only heads are copied. */
#define STATUS_HEAD_CAP   (8 + TLS_SET_CHAIN_MAX * 13)
#define STATUS_PIECES_CAP (1 + TLS_SET_CHAIN_MAX * 4)

struct tls_status_message {
    struct buf heads;
    size_t num_pieces;
    size_t num_proofs;
    size_t at;     /* the piece that comes next */
    size_t offset; /* bytes of it that are written */
    struct slice pieces[STATUS_PIECES_CAP];
    struct tls_proof *proofs[TLS_SET_CHAIN_MAX]; /* kept until it is written */
    uint8_t head_bytes[STATUS_HEAD_CAP];
};

/* Begins s->message; false if there is no memory. */
bool status_begin(struct tls_status *s);

/* Adds a number of n bytes, a view, a proof (counted). There is room by construction. */
void status_put_be(struct tls_status_message *m, size_t n, uint64_t value);
void status_put_view(struct tls_status_message *m, struct slice view);
void status_put_proof(struct tls_status_message *m, struct tls_proof *proof);

/* Writes on; 0 once all of it is with the library's output, and s->message is gone. */
int status_write(mbedtls_ssl_context *ssl, struct tls_status *s);

#endif

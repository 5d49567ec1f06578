/* Handshake messages of any length: see tls_status_write.h.
 *
 * The library writes a message into one record and refuses longer ones. Here each record is filled
 * from a list of views, hashed, and handed to the library's record layer; what does not go out at
 * once is taken up again at the next step. */
#include <common.h>
#include <ssl_misc.h>

#include "tls_status_inside.h"

#include "tls_status_write.h"

bool status_begin(struct tls_status *s)
{
    struct tls_status_message *m = heap_alloc(s->heap, 1, sizeof *m);
    if (m == NULL) {
        return false;
    }
    m->heads = buf_make(m->head_bytes, sizeof m->head_bytes);
    s->message = m;
    return true;
}

void status_put_view(struct tls_status_message *m, struct slice view)
{
    if (m->num_pieces < STATUS_PIECES_CAP) {
        m->pieces[m->num_pieces++] = view;
    }
}

void status_put_be(struct tls_status_message *m, size_t n, uint64_t value)
{
    const uint8_t *begin = m->heads.ptr + m->heads.len;
    struct slice *last = m->num_pieces == 0 ? NULL : &m->pieces[m->num_pieces - 1];
    if (!buf_put_be(&m->heads, n, value)) {
        return;
    }
    if (last != NULL && last->ptr + last->len == begin) {
        last->len += n;
    } else {
        status_put_view(m, slice_make(begin, n));
    }
}

void status_put_proof(struct tls_status_message *m, struct tls_proof *proof)
{
    tls_proof_keep(proof);
    m->proofs[m->num_proofs++] = proof;
    status_put_view(m, slice_make(proof->der, proof->len));
}

static void drop(struct tls_status *s)
{
    struct tls_status_message *m = s->message;
    if (m == NULL) {
        return;
    }
    for (size_t i = 0; i < m->num_proofs; i++) {
        tls_proof_drop(m->proofs[i]);
    }
    heap_free(s->heap, m);
    s->message = NULL;
}

void tls_status_drop(struct tls_status *s)
{
    drop(s);
    heap_free(s->heap, s->proof);
    s->proof = NULL;
}

/* Copies from the pieces what fits into the record. */
static void fill(mbedtls_ssl_context *ssl, struct tls_status_message *m, size_t max_len)
{
    size_t len = 0;
    while (m->at < m->num_pieces && len < max_len) {
        struct slice rest = m->pieces[m->at];
        (void)slice_skip(&rest, m->offset);
        size_t n = rest.len < max_len - len ? rest.len : max_len - len;
        memcpy(ssl->out_msg + len, rest.ptr, n);
        len += n;
        m->offset += n;
        if (n == rest.len) {
            m->at++;
            m->offset = 0;
        }
    }
    ssl->out_msgtype = MBEDTLS_SSL_MSG_HANDSHAKE;
    ssl->out_msglen = len;
}

int status_write(mbedtls_ssl_context *ssl, struct tls_status *s)
{
    struct tls_status_message *m = s->message;
    while (m->at < m->num_pieces) {
        int ret = mbedtls_ssl_flush_output(ssl);
        if (ret != 0) {
            return ret;
        }
        int max_len = mbedtls_ssl_get_max_out_record_payload(ssl);
        if (max_len <= 0) {
            return max_len < 0 ? max_len : MBEDTLS_ERR_SSL_INTERNAL_ERROR;
        }
        fill(ssl, m, (size_t)max_len);
        ret = ssl->handshake->update_checksum(ssl, ssl->out_msg, ssl->out_msglen);
        if (ret == 0) {
            ret = mbedtls_ssl_write_record(ssl, 0);
        }
        if (ret != 0) {
            return ret;
        }
    }
    drop(s);
    return 0;
}

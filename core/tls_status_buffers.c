/* Record buffers that grow to the record that is coming and shrink when a session is idle.
 *
 * With MBEDTLS_SSL_VARIABLE_BUFFER_LENGTH the library honours in_buf_len and out_buf_len, but
 * resizes only by negotiated fragment length. Here the buffers follow the records. In both, the
 * first eight bytes are room for the sequence number; the input's is kept there and nowhere else.
 */
#include <common.h>
#include <ssl_misc.h>

#include "tls_status_inside.h"

#define PARKED_LEN 64 /* holds the numbers, and an alert on its way out */
#define HEADER_LEN 5

/* Explicit IV, tag, and the content type with its padding. */
#define PROTECTION_LEN (8 + 16 + MBEDTLS_SSL_CID_TLS1_3_PADDING_GRANULARITY)

_Static_assert(MBEDTLS_SSL_SEQUENCE_NUMBER_LEN + HEADER_LEN + 2 + PROTECTION_LEN <= PARKED_LEN,
               "an alert fits into a parked buffer");

static unsigned char *moved(const unsigned char *ptr, const unsigned char *from, unsigned char *to)
{
    return ptr == NULL ? NULL : to + (ptr - from);
}

static bool resize_in(mbedtls_ssl_context *ssl, size_t len)
{
    unsigned char *old = ssl->in_buf;
    unsigned char *fresh = mbedtls_calloc(1, len);
    if (fresh == NULL) {
        return false;
    }
    memcpy(fresh, old, len < ssl->in_buf_len ? len : ssl->in_buf_len);
    ssl->in_buf = fresh;
    ssl->in_ctr = moved(ssl->in_ctr, old, fresh);
    ssl->in_hdr = moved(ssl->in_hdr, old, fresh);
    ssl->in_len = moved(ssl->in_len, old, fresh);
    ssl->in_iv = moved(ssl->in_iv, old, fresh);
    ssl->in_msg = moved(ssl->in_msg, old, fresh);
    ssl->in_offt = moved(ssl->in_offt, old, fresh);
    mbedtls_zeroize_and_free(old, ssl->in_buf_len);
    ssl->in_buf_len = len;
    return true;
}

/* Only while nothing waits in it. */
static bool resize_out(mbedtls_ssl_context *ssl, size_t len)
{
    unsigned char *fresh = mbedtls_calloc(1, len);
    if (fresh == NULL) {
        return false;
    }
    mbedtls_zeroize_and_free(ssl->out_buf, ssl->out_buf_len);
    ssl->out_buf = fresh;
    ssl->out_buf_len = len;
    ssl->out_ctr = fresh;
    ssl->out_hdr = fresh + MBEDTLS_SSL_SEQUENCE_NUMBER_LEN;
    mbedtls_ssl_update_out_pointers(ssl, ssl->transform_out);
    return true;
}

/* When memory runs out late in it, the library forgets the settings but not the handshake, and its
 * own mbedtls_ssl_free then follows a null pointer. */
int tls_status_setup(mbedtls_ssl_context *ssl, const mbedtls_ssl_config *config)
{
    int ret = mbedtls_ssl_setup(ssl, config);
    ssl->conf = config;
    return ret;
}

enum tls_grown tls_status_grow_in(mbedtls_ssl_context *ssl)
{
    size_t need_len = (size_t)(ssl->in_hdr - ssl->in_buf) + HEADER_LEN;
    if (ssl->in_left >= HEADER_LEN) {
        need_len += MBEDTLS_GET_UINT16_BE(ssl->in_hdr, 3);
    }
    if (need_len <= ssl->in_buf_len) {
        return TLS_NOT_NEEDED;
    }
    if (need_len > MBEDTLS_SSL_IN_BUFFER_LEN) {
        return TLS_TOO_LONG;
    }
    return resize_in(ssl, need_len) ? TLS_GROWN : TLS_NO_MEMORY;
}

bool tls_status_grow_out(mbedtls_ssl_context *ssl, size_t len)
{
    size_t need_len = MBEDTLS_SSL_SEQUENCE_NUMBER_LEN + HEADER_LEN + len + PROTECTION_LEN;
    if (need_len <= ssl->out_buf_len) {
        return true;
    }
    return ssl->out_left == 0 && resize_out(ssl, need_len);
}

bool tls_status_grow_out_full(mbedtls_ssl_context *ssl)
{
    if (ssl->out_buf_len >= MBEDTLS_SSL_OUT_BUFFER_LEN) {
        return true;
    }
    return ssl->out_left == 0 && resize_out(ssl, MBEDTLS_SSL_OUT_BUFFER_LEN);
}

static bool is_in_idle(const mbedtls_ssl_context *ssl)
{
    /* Another handshake message may stand behind the one that was read. */
    bool has_more = ssl->in_hslen != 0 && ssl->in_hslen < ssl->in_msglen;
    return ssl->in_left == 0 && ssl->in_offt == NULL && ssl->keep_current_message == 0 &&
           !has_more && ssl->in_hdr == ssl->in_buf + MBEDTLS_SSL_SEQUENCE_NUMBER_LEN;
}

void tls_status_park(mbedtls_ssl_context *ssl)
{
    if (ssl->in_buf_len > PARKED_LEN && is_in_idle(ssl)) {
        mbedtls_ssl_update_in_pointers(ssl);
        (void)resize_in(ssl, PARKED_LEN);
    }
    if (ssl->out_buf_len > PARKED_LEN && ssl->out_left == 0) {
        (void)resize_out(ssl, PARKED_LEN);
    }
}

int tls_status_flush(mbedtls_ssl_context *ssl)
{
    return mbedtls_ssl_flush_output(ssl);
}

struct slice tls_status_plain(const mbedtls_ssl_context *ssl)
{
    return ssl->in_offt == NULL ? slice_make(NULL, 0) : slice_make(ssl->in_offt, ssl->in_msglen);
}

void tls_status_consume(mbedtls_ssl_context *ssl, size_t len)
{
    if (ssl->in_offt == NULL) {
        return;
    }
    if (len > ssl->in_msglen) {
        len = ssl->in_msglen;
    }
    mbedtls_platform_zeroize(ssl->in_offt, len);
    ssl->in_offt += len;
    ssl->in_msglen -= len;
    if (ssl->in_msglen == 0) {
        ssl->in_offt = NULL;
        ssl->keep_current_message = 0;
    }
}

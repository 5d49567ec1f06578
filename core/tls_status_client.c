/* The client's side of status_request: RFC 6066 section 8, RFC 8446 section 4.4.2.1.
 *
 * The request is put into the library's ClientHello twice: into what is hashed, while it is hashed,
 * and into the record that waits to be sent, right after. As the first extension: a pre-shared key
 * must stay the last. What the server staples is copied out of its message before the library reads
 * it. */
#include <common.h>
#include <ssl_misc.h>

#include "tls_status_inside.h"

/* Type 5, five bytes: for OCSP, from any responder, without extensions. */
static const uint8_t request[9] = {0, STATUS_EXT_STATUS_REQUEST, 0, 5, STATUS_TYPE_OCSP, 0, 0, 0,
                                   0};

/* Where in the body of a ClientHello the extensions' length stands; 0 if it is not as expected. The
 * body may be cut within the extensions. */
static size_t extensions_at(struct slice body, size_t whole_len)
{
    struct slice rest = body, skipped;
    uint16_t len;
    if (!slice_skip(&rest, 2 + 32) || !tls_take_vector(&rest, 1, &skipped) ||
        !tls_take_vector(&rest, 2, &skipped) || !tls_take_vector(&rest, 1, &skipped)) {
        return 0;
    }
    size_t at = body.len - rest.len;
    return slice_be16(&rest, &len) && at + 2 + len == whole_len ? at : 0;
}

/* --- Asking --- */

static int hash_header(mbedtls_ssl_context *ssl, struct tls_status *s, const unsigned char *header)
{
    unsigned char longer[4];
    s->hello_len = MBEDTLS_GET_UINT24_BE(header, 1);
    longer[0] = header[0];
    MBEDTLS_PUT_UINT24_BE(s->hello_len + sizeof request, longer, 1);
    return s->update_checksum(ssl, longer, sizeof longer);
}

static int hash_body(mbedtls_ssl_context *ssl, struct tls_status *s, const unsigned char *body,
                     size_t len)
{
    unsigned char total[2];
    size_t at = extensions_at(slice_make(body, len), s->hello_len);
    if (at == 0) {
        return MBEDTLS_ERR_SSL_INTERNAL_ERROR;
    }
    MBEDTLS_PUT_UINT16_BE(s->hello_len - at - 2 + sizeof request, total, 0);
    int ret = s->update_checksum(ssl, body, at);
    if (ret == 0) {
        ret = s->update_checksum(ssl, total, sizeof total);
    }
    if (ret == 0) {
        ret = s->update_checksum(ssl, request, sizeof request);
    }
    return ret != 0 ? ret : s->update_checksum(ssl, body + at + 2, len - at - 2);
}

/* In the place of update_checksum while ClientHello is written: the library hashes its header, then
 * its body up to any binders, then these. */
static int hash_client_hello(mbedtls_ssl_context *ssl, const unsigned char *bytes, size_t len)
{
    struct tls_status *s = mbedtls_ssl_get_user_data_p(ssl);
    switch (s->num_hashed++) {
    case 0:
        return len == 4 && bytes[0] == MBEDTLS_SSL_HS_CLIENT_HELLO ? hash_header(ssl, s, bytes)
                                                                   : MBEDTLS_ERR_SSL_INTERNAL_ERROR;
    case 1:
        return hash_body(ssl, s, bytes, len);
    default:
        return s->update_checksum(ssl, bytes, len);
    }
}

/* The record with the ClientHello still waits in the output buffer. */
static bool splice(mbedtls_ssl_context *ssl)
{
    size_t len = ssl->out_left, header_len = 5 + 4;
    unsigned char *record = ssl->out_hdr - len;
    size_t used_len = (size_t)(ssl->out_hdr - ssl->out_buf);
    if (len < header_len || record[0] != MBEDTLS_SSL_MSG_HANDSHAKE ||
        MBEDTLS_GET_UINT16_BE(record, 3) != len - 5 || record[5] != MBEDTLS_SSL_HS_CLIENT_HELLO ||
        MBEDTLS_GET_UINT24_BE(record, 6) != len - header_len ||
        used_len + sizeof request > ssl->out_buf_len) {
        return false;
    }
    size_t body_len = len - header_len;
    size_t at = extensions_at(slice_make(record + header_len, body_len), body_len);
    if (at == 0) {
        return false;
    }
    unsigned char *extensions = record + header_len + at;
    size_t extensions_len = body_len - at - 2;
    memmove(extensions + 2 + sizeof request, extensions + 2, extensions_len);
    memcpy(extensions + 2, request, sizeof request);
    MBEDTLS_PUT_UINT16_BE(extensions_len + sizeof request, extensions, 0);
    MBEDTLS_PUT_UINT24_BE(body_len + sizeof request, record, 6);
    MBEDTLS_PUT_UINT16_BE(len - 5 + sizeof request, record, 3);
    ssl->out_left += sizeof request;
    ssl->out_hdr += sizeof request;
    mbedtls_ssl_update_out_pointers(ssl, ssl->transform_out);
    mbedtls_ssl_tls13_set_hs_sent_ext_mask(ssl, MBEDTLS_TLS_EXT_STATUS_REQUEST);
    return true;
}

/* The library's own hello, which names no literal address (RFC 6066 3). */
static int step_hello(mbedtls_ssl_context *ssl, const struct tls_status *s)
{
    char *name = ssl->hostname;
    ssl->hostname = s->hides_name ? NULL : name;
    int ret = mbedtls_ssl_handshake_step(ssl);
    ssl->hostname = name;
    return ret;
}

static int write_hello(mbedtls_ssl_context *ssl, struct tls_status *s)
{
    int ret = mbedtls_ssl_flush_output(ssl); /* so that there is nothing else when we splice */
    if (ret != 0) {
        return ret;
    }
    s->num_hashed = 0;
    s->update_checksum = ssl->handshake->update_checksum;
    ssl->handshake->update_checksum = hash_client_hello;
    ret = step_hello(ssl, s);
    if (ssl->handshake->update_checksum == hash_client_hello) {
        ssl->handshake->update_checksum = s->update_checksum;
    }
    if (ret != 0) {
        return ret;
    }
    return s->num_hashed >= 2 && splice(ssl) ? 0 : MBEDTLS_ERR_SSL_INTERNAL_ERROR;
}

/* --- Receiving --- */

static int keep_proof(struct tls_status *s, struct slice proof)
{
    if (proof.len > OCSP_PROOF_CAP || s->proof != NULL) {
        return MBEDTLS_ERR_SSL_ILLEGAL_PARAMETER;
    }
    s->proof = heap_alloc(s->heap, 1, proof.len);
    if (s->proof == NULL) {
        return MBEDTLS_ERR_SSL_ALLOC_FAILED;
    }
    memcpy(s->proof, proof.ptr, proof.len);
    s->proof_len = (uint32_t)proof.len;
    return 0;
}

/*  CertificateStatusType status_type;  opaque OCSPResponse<1..2^24-1>; */
static int take_status(struct tls_status *s, struct slice in)
{
    uint8_t type;
    struct slice proof;
    if (!slice_u8(&in, &type) || type != STATUS_TYPE_OCSP || !tls_take_vector(&in, 3, &proof) ||
        !slice_is_empty(in) || slice_is_empty(proof)) {
        return MBEDTLS_ERR_SSL_DECODE_ERROR;
    }
    return keep_proof(s, proof);
}

/* The handshake message that was read, without its header. */
static struct slice message_body(const mbedtls_ssl_context *ssl)
{
    return slice_make(ssl->in_msg + 4, ssl->in_hslen - 4);
}

static int finish_with_alert(mbedtls_ssl_context *ssl, int ret)
{
    uint8_t alert = ret == MBEDTLS_ERR_SSL_DECODE_ERROR ? MBEDTLS_SSL_ALERT_MSG_DECODE_ERROR
                                                        : MBEDTLS_SSL_ALERT_MSG_ILLEGAL_PARAMETER;
    if (ret == MBEDTLS_ERR_SSL_DECODE_ERROR || ret == MBEDTLS_ERR_SSL_ILLEGAL_PARAMETER) {
        (void)mbedtls_ssl_send_alert_message(ssl, MBEDTLS_SSL_ALERT_LEVEL_FATAL, alert);
    }
    return ret;
}

/* What the ServerHello of TLS 1.2 that was just read says. */
static int read_acknowledgement(mbedtls_ssl_context *ssl, struct tls_status *s)
{
    struct slice body = message_body(ssl), skipped, extensions, data;
    uint16_t type;
    if (ssl->in_msgtype != MBEDTLS_SSL_MSG_HANDSHAKE ||
        ssl->in_msg[0] != MBEDTLS_SSL_HS_SERVER_HELLO || !slice_skip(&body, 2 + 32) ||
        !tls_take_vector(&body, 1, &skipped) || !slice_skip(&body, 2 + 1) ||
        !tls_take_vector(&body, 2, &extensions)) {
        return 0;
    }
    while (slice_be16(&extensions, &type) && tls_take_vector(&extensions, 2, &data)) {
        if (type == STATUS_EXT_STATUS_REQUEST) {
            s->acknowledged = true;
            return finish_with_alert(ssl, data.len == 0 ? 0 : MBEDTLS_ERR_SSL_DECODE_ERROR);
        }
    }
    return 0;
}

/* Between Certificate and ServerKeyExchange: CertificateStatus, or not. */
static int read_status_12(mbedtls_ssl_context *ssl, struct tls_status *s)
{
    int ret = mbedtls_ssl_read_record(ssl, 1);
    if (ret != 0) {
        return ret;
    }
    s->decided = true;
    if (ssl->in_msgtype != MBEDTLS_SSL_MSG_HANDSHAKE ||
        ssl->in_msg[0] != STATUS_HS_CERTIFICATE_STATUS) {
        ssl->keep_current_message = 1;
        return 0;
    }
    return finish_with_alert(ssl, take_status(s, message_body(ssl)));
}

/* Certificate of TLS 1.3, before the library parses it: the leaf's entry is the first. */
static int read_certificate_13(mbedtls_ssl_context *ssl, struct tls_status *s)
{
    int ret = mbedtls_ssl_read_record(ssl, 0);
    if (ret != 0) {
        return ret;
    }
    s->decided = true;
    ssl->keep_current_message = 1;
    struct slice body = message_body(ssl), context, list, cert, extensions, data;
    uint16_t type;
    if (ssl->in_msgtype != MBEDTLS_SSL_MSG_HANDSHAKE ||
        ssl->in_msg[0] != MBEDTLS_SSL_HS_CERTIFICATE || !tls_take_vector(&body, 1, &context) ||
        !tls_take_vector(&body, 3, &list) || !tls_take_vector(&list, 3, &cert) ||
        !tls_take_vector(&list, 2, &extensions)) {
        return 0; /* the library will refuse it */
    }
    while (slice_be16(&extensions, &type) && tls_take_vector(&extensions, 2, &data)) {
        if (type == STATUS_EXT_STATUS_REQUEST) {
            ret = finish_with_alert(ssl, take_status(s, data));
            if (ret != 0) {
                return ret;
            }
        }
    }
    return 0;
}

/* While the server's flight is read, what is to be sent is an alert about it, and has the keys of
 * the handshake, RFC 8446 section 6; the library takes them later, and sends it in plaintext. The
 * ChangeCipherSpec behind the flight has no keys. */
static void use_handshake_keys_13(mbedtls_ssl_context *ssl, mbedtls_ssl_states state)
{
    mbedtls_ssl_transform *keys = ssl->handshake->transform_handshake;
    bool is_reading =
        state == MBEDTLS_SSL_ENCRYPTED_EXTENSIONS || state == MBEDTLS_SSL_CERTIFICATE_REQUEST ||
        state == MBEDTLS_SSL_SERVER_CERTIFICATE || state == MBEDTLS_SSL_CERTIFICATE_VERIFY ||
        state == MBEDTLS_SSL_SERVER_FINISHED;
    if (is_reading && ssl->transform_out == NULL) {
        mbedtls_ssl_set_outbound_transform(ssl, keys);
    } else if (state == MBEDTLS_SSL_CLIENT_CCS_AFTER_SERVER_FINISHED) {
        mbedtls_ssl_set_outbound_transform(ssl, NULL);
    }
}

int tls_status_client_step(mbedtls_ssl_context *ssl, struct tls_status *s)
{
    mbedtls_ssl_states state = (mbedtls_ssl_states)ssl->state;
    if (status_is_13(ssl)) {
        use_handshake_keys_13(ssl, state);
    }
    if (state == MBEDTLS_SSL_CLIENT_HELLO) {
        return s->asked ? write_hello(ssl, s) : step_hello(ssl, s);
    }
    if (s->asked && status_is_13(ssl)) {
        if (state == MBEDTLS_SSL_SERVER_CERTIFICATE && !s->decided) {
            return read_certificate_13(ssl, s);
        }
    } else if (state == MBEDTLS_SSL_SERVER_KEY_EXCHANGE && s->acknowledged && !s->decided) {
        return read_status_12(ssl, s);
    }
    int ret = state == MBEDTLS_SSL_SERVER_CERTIFICATE ? status_check_peer(ssl, s) : 0;
    if (ret == 0) {
        ret = mbedtls_ssl_handshake_step(ssl);
    }
    if (s->asked && ret == 0 && state == MBEDTLS_SSL_SERVER_HELLO && !status_is_13(ssl) &&
        ssl->state == MBEDTLS_SSL_SERVER_CERTIFICATE) {
        ret = read_acknowledgement(ssl, s);
    }
    return ret;
}

void tls_status_forget_peer(mbedtls_ssl_context *ssl)
{
    mbedtls_ssl_session *session = ssl->session;
    if (session != NULL && session->peer_cert != NULL) {
        mbedtls_x509_crt_free(session->peer_cert);
        mbedtls_free(session->peer_cert);
        session->peer_cert = NULL;
    }
}

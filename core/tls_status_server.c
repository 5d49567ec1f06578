/* The server's side of status_request: RFC 6066 section 8, RFC 8446 section 4.4.2.1.
 *
 * TLS 1.2: ServerHello acknowledges the request with an empty extension, which is spliced into the
 * library's message while that is being hashed; CertificateStatus follows Certificate. TLS 1.3: the
 * proof is an extension of its certificate's entry in Certificate. Both Certificate messages are
 * written here, for the library's own must fit into one record. */
#include <common.h>
#include <ssl_misc.h>

#include "teeth.h"
#include "tls_status_inside.h"

#include "tls_status_write.h"

#include <mbedtls/oid.h>

#define HELLO_FIXED_LEN (4 + 2 + 32) /* up to the session id: header, version, random */

/* TLS 1.2: OpenSSL refuses a CertificateStatus of more than 16 KiB. TLS 1.3: an extension and the
 * list that it stands in have 16-bit lengths. */
#define PROOF_12_MAX (16384 - 4)
#define PROOF_13_MAX (65535 - 4 - 4)

/* The ClientHello that stands in the input buffer, without its header; empty if it is none. */
static struct slice hello_body(const mbedtls_ssl_context *ssl)
{
    size_t header_len = mbedtls_ssl_hs_hdr_len(ssl);
    if (ssl->in_msgtype != MBEDTLS_SSL_MSG_HANDSHAKE || ssl->in_hslen < header_len ||
        ssl->in_msg[0] != MBEDTLS_SSL_HS_CLIENT_HELLO) {
        return slice_make(NULL, 0);
    }
    return slice_make(ssl->in_msg + header_len, ssl->in_hslen - header_len);
}

int tls_status_read_hello(mbedtls_ssl_context *ssl, struct slice *out_body)
{
    int ret = mbedtls_ssl_read_record(ssl, 0);
    if (ret != 0) {
        return ret;
    }
    ssl->keep_current_message = 1;
    *out_body = hello_body(ssl);
    return 0;
}

/* The library has read a ClientHello, the first or the one after HelloRetryRequest, and has its
 * extensions: the last one counts. */
int tls_status_on_hello(mbedtls_ssl_context *ssl)
{
    struct tls_status *s = mbedtls_ssl_get_user_data_p(ssl);
    struct tls_hello hello;
    s->hello_result = tls_hello_parse(hello_body(ssl), &hello);
    s->asked = hello.asks_for_proof;
    s->resumed_suite = ssl->handshake->resume ? ssl->session_negotiate->ciphersuite : 0;
    switch (s->hello_result) {
    case TLS_HELLO_OK:
        break;
    case TLS_HELLO_TRAILING:
    case TLS_HELLO_STATUS_MALFORMED:
        MBEDTLS_SSL_PEND_FATAL_ALERT(MBEDTLS_SSL_ALERT_MSG_DECODE_ERROR,
                                     MBEDTLS_ERR_SSL_DECODE_ERROR);
        return MBEDTLS_ERR_SSL_DECODE_ERROR;
    case TLS_HELLO_STATUS_TWICE:
        MBEDTLS_SSL_PEND_FATAL_ALERT(MBEDTLS_SSL_ALERT_MSG_ILLEGAL_PARAMETER,
                                     MBEDTLS_ERR_SSL_ILLEGAL_PARAMETER);
        return MBEDTLS_ERR_SSL_ILLEGAL_PARAMETER;
    }
    return 0;
}

/* --- What may be served --- */

static enum ocsp_reason judge(const mbedtls_ssl_context *ssl, const struct tls_status *s,
                              const struct tls_proof *proof)
{
    if (proof == NULL) {
        return OCSP_NO_FILE;
    }
    if (proof->verdict.reason != OCSP_GOOD) {
        return proof->verdict.reason;
    }
    if (proof->len == 0) {
        return OCSP_NO_FILE;
    }
    if (BROKEN(LAPSED_SERVED)) {
        return OCSP_GOOD;
    }
    if (proof->len > (status_is_13(ssl) ? PROOF_13_MAX : PROOF_12_MAX)) {
        return OCSP_TOO_BIG;
    }
    return s->now.wall_set ? ocsp_verdict_at(&proof->verdict, s->now.wall_s) : OCSP_CLOCK_NOT_SET;
}

static struct tls_pair *chosen_pair(const mbedtls_ssl_context *ssl, const struct tls_status *s)
{
    const mbedtls_x509_crt *leaf = mbedtls_ssl_own_cert((mbedtls_ssl_context *)ssl);
    return leaf == NULL ? NULL : tls_set_pair_of(s->set, leaf);
}

static void decide(struct tls_status *s, enum ocsp_reason reason)
{
    s->decided = true;
    s->reason = reason;
    s->staple = reason == OCSP_GOOD ? TLS_STAPLE_SERVED : TLS_STAPLE_NONE;
}

/* --- TLS 1.2: the acknowledgement --- */

/* Puts an empty status_request into the ServerHello that stands in the output buffer. False, and
 * nothing is changed, if that does not look as expected. */
static bool splice(mbedtls_ssl_context *ssl)
{
    unsigned char *msg = ssl->out_msg;
    size_t len = ssl->out_msglen;
    if (ssl->out_msgtype != MBEDTLS_SSL_MSG_HANDSHAKE || len < HELLO_FIXED_LEN + 1 ||
        len + 6 > MBEDTLS_SSL_OUT_CONTENT_LEN || msg[0] != MBEDTLS_SSL_HS_SERVER_HELLO ||
        MBEDTLS_GET_UINT24_BE(msg, 1) != len - 4 || msg[HELLO_FIXED_LEN] > 32) {
        return false;
    }
    size_t at = HELLO_FIXED_LEN + 1 + (size_t)msg[HELLO_FIXED_LEN] + 3; /* the extensions' length */
    if (len == at) {
        len += 2;
    } else if (len < at + 2 || MBEDTLS_GET_UINT16_BE(msg, at) != len - at - 2) {
        return false;
    }
    MBEDTLS_PUT_UINT16_BE(STATUS_EXT_STATUS_REQUEST, msg, len);
    MBEDTLS_PUT_UINT16_BE(0, msg, len + 2);
    len += 4;
    MBEDTLS_PUT_UINT16_BE(len - at - 2, msg, at);
    MBEDTLS_PUT_UINT24_BE(len - 4, msg, 1);
    ssl->out_msglen = len;
    return true;
}

/* In the place of update_checksum while ServerHello is written: the last look at the message before
 * it is hashed. Its new length is read again afterwards. */
static int hash_server_hello(mbedtls_ssl_context *ssl, const unsigned char *msg, size_t len)
{
    struct tls_status *s = mbedtls_ssl_get_user_data_p(ssl);
    ssl->handshake->update_checksum = s->update_checksum;
    if (msg != ssl->out_msg || ssl->handshake->resume) {
        return s->update_checksum(ssl, msg, len);
    }
    s->acknowledged = splice(ssl);
    return s->update_checksum(ssl, ssl->out_msg, ssl->out_msglen);
}

static int write_server_hello_12(mbedtls_ssl_context *ssl, struct tls_status *s)
{
    const struct tls_pair *pair = chosen_pair(ssl, s);
    enum ocsp_reason reason = pair == NULL ? OCSP_NO_FILE : judge(ssl, s, pair->proofs[0]);
    if (reason != OCSP_GOOD) {
        decide(s, reason);
        return mbedtls_ssl_handshake_step(ssl);
    }
    s->update_checksum = ssl->handshake->update_checksum;
    ssl->handshake->update_checksum = hash_server_hello;
    int ret = mbedtls_ssl_handshake_step(ssl);
    if (ssl->handshake != NULL && ssl->handshake->update_checksum == hash_server_hello) {
        ssl->handshake->update_checksum = s->update_checksum;
    }
    return ret;
}

/* --- TLS 1.2: Certificate and CertificateStatus --- */

/*  opaque ASN.1Cert<1..2^24-1>;  struct { ASN.1Cert certificate_list<0..2^24-1>; } Certificate; */
static int write_certificate_12(mbedtls_ssl_context *ssl, struct tls_status *s)
{
    const mbedtls_x509_crt *chain = mbedtls_ssl_own_cert(ssl);
    size_t list_len = 0;
    if (chain == NULL) {
        return MBEDTLS_ERR_SSL_INTERNAL_ERROR;
    }
    if (!status_begin(s)) {
        return MBEDTLS_ERR_SSL_ALLOC_FAILED;
    }
    for (const mbedtls_x509_crt *c = chain; c != NULL; c = c->next) {
        list_len += 3 + c->raw.len;
    }
    status_put_be(s->message, 1, MBEDTLS_SSL_HS_CERTIFICATE);
    status_put_be(s->message, 3, 3 + list_len);
    status_put_be(s->message, 3, list_len);
    for (const mbedtls_x509_crt *c = chain; c != NULL; c = c->next) {
        status_put_be(s->message, 3, c->raw.len);
        status_put_view(s->message, slice_make(c->raw.p, c->raw.len));
    }
    return 0;
}

/*  struct {
 *      CertificateStatusType status_type;
 *      select (status_type) { case ocsp: OCSPResponse; } response;    opaque
 * OCSPResponse<1..2^24-1>; } CertificateStatus; */
static int write_certificate_status_12(mbedtls_ssl_context *ssl, struct tls_status *s)
{
    struct tls_pair *pair = chosen_pair(ssl, s);
    struct tls_proof *proof = pair == NULL ? NULL : pair->proofs[0];
    enum ocsp_reason reason = judge(ssl, s, proof);
    if (reason != OCSP_GOOD || proof == NULL) {
        decide(s, reason); /* it lapsed since: the message may be left out, RFC 6066 8 */
        return 0;
    }
    if (!status_begin(s)) {
        return MBEDTLS_ERR_SSL_ALLOC_FAILED;
    }
    decide(s, OCSP_GOOD);
    status_put_be(s->message, 1, STATUS_HS_CERTIFICATE_STATUS);
    status_put_be(s->message, 3, 1 + 3 + (size_t)proof->len);
    status_put_be(s->message, 1, STATUS_TYPE_OCSP);
    status_put_be(s->message, 3, proof->len);
    status_put_proof(s->message, proof);
    return 0;
}

/* A session that is resumed has the cipher that it began with (RFC 5246 7.4.1.3), where the library
 * takes whatever it now likes best; and a master secret that is bound to its handshake (RFC
 * 7627 5.3), as this one's would be: others have no tickets. Else this is a new session. */
static void judge_ticket(mbedtls_ssl_context *ssl, const struct tls_status *s)
{
    bool is_bound = status_is_bound(ssl);
    if (ssl->handshake->resume &&
        (!is_bound || ssl->session_negotiate->ciphersuite != s->resumed_suite)) {
        ssl->handshake->resume = 0;
        ssl->handshake->new_session_ticket = 1;
    }
    ssl->handshake->new_session_ticket &= is_bound;
}

static int server_step_12(mbedtls_ssl_context *ssl, struct tls_status *s)
{
    int ret;
    switch ((mbedtls_ssl_states)ssl->state) {
    case MBEDTLS_SSL_SERVER_HELLO:
        judge_ticket(ssl, s);
        return s->asked && !ssl->handshake->resume ? write_server_hello_12(ssl, s)
                                                   : mbedtls_ssl_handshake_step(ssl);
    case MBEDTLS_SSL_SERVER_CERTIFICATE:
        ret = write_certificate_12(ssl, s);
        if (ret == 0) {
            mbedtls_ssl_handshake_set_state(ssl, MBEDTLS_SSL_SERVER_KEY_EXCHANGE);
        }
        return ret;
    case MBEDTLS_SSL_SERVER_KEY_EXCHANGE:
        if (s->asked && s->acknowledged && !s->decided) {
            return write_certificate_status_12(ssl, s);
        }
        return mbedtls_ssl_handshake_step(ssl);
    default:
        return mbedtls_ssl_handshake_step(ssl);
    }
}

/* --- TLS 1.3: Certificate --- */

static bool fits_13(const mbedtls_ssl_key_cert *candidate, uint16_t sig_alg)
{
    mbedtls_x509_crt *leaf = candidate->cert;
    return mbedtls_x509_crt_check_key_usage(leaf, MBEDTLS_X509_KU_DIGITAL_SIGNATURE) == 0 &&
           mbedtls_x509_crt_check_extended_key_usage(
               leaf, MBEDTLS_OID_SERVER_AUTH, MBEDTLS_OID_SIZE(MBEDTLS_OID_SERVER_AUTH)) == 0 &&
           mbedtls_ssl_tls13_check_sig_alg_cert_key_match(sig_alg, &leaf->pk) != 0;
}

/* The pair for the best signature algorithm that both sides have, as the library picks it. */
static bool pick_pair_13(mbedtls_ssl_context *ssl)
{
    const uint16_t *sig_alg = ssl->handshake->received_sig_algs;
    for (; *sig_alg != MBEDTLS_TLS1_3_SIG_NONE; sig_alg++) {
        if (!mbedtls_ssl_sig_alg_is_offered(ssl, *sig_alg) ||
            !mbedtls_ssl_tls13_sig_alg_for_cert_verify_is_supported(*sig_alg)) {
            continue;
        }
        mbedtls_ssl_key_cert *candidate = ssl->handshake->sni_key_cert;
        for (; candidate != NULL; candidate = candidate->next) {
            if (fits_13(candidate, *sig_alg)) {
                ssl->handshake->key_cert = candidate;
                return true;
            }
        }
    }
    return false;
}

/* The proof for a certificate of the chain if it may be sent, else NULL. */
static struct tls_proof *servable_13(const mbedtls_ssl_context *ssl, const struct tls_status *s,
                                     struct tls_pair *pair, size_t index)
{
    if (!s->asked || index >= pair->num_certs) {
        return NULL;
    }
    struct tls_proof *proof = pair->proofs[index];
    return judge(ssl, s, proof) == OCSP_GOOD ? proof : NULL;
}

/*  struct {
 *      opaque certificate_request_context<0..2^8-1>;
 *      CertificateEntry certificate_list<0..2^24-1>;
 *  } Certificate;
 *  struct { opaque cert_data<1..2^24-1>; Extension extensions<0..2^16-1>; } CertificateEntry;
 * The extension's body is a CertificateStatus. */
static void put_certificate_13(const mbedtls_ssl_context *ssl, struct tls_status *s,
                               struct tls_pair *pair)
{
    struct tls_status_message *m = s->message;
    size_t list_len = 0, index = 0;
    for (const mbedtls_x509_crt *c = &pair->chain; c != NULL; c = c->next, index++) {
        const struct tls_proof *proof = servable_13(ssl, s, pair, index);
        list_len += 3 + c->raw.len + 2 + (proof == NULL ? 0 : 4 + 4 + (size_t)proof->len);
    }
    status_put_be(m, 1, MBEDTLS_SSL_HS_CERTIFICATE);
    status_put_be(m, 3, 1 + 3 + list_len);
    status_put_be(m, 1, 0);
    status_put_be(m, 3, list_len);
    index = 0;
    for (const mbedtls_x509_crt *c = &pair->chain; c != NULL; c = c->next, index++) {
        struct tls_proof *proof = servable_13(ssl, s, pair, index);
        status_put_be(m, 3, c->raw.len);
        status_put_view(m, slice_make(c->raw.p, c->raw.len));
        if (proof == NULL) {
            status_put_be(m, 2, 0);
            continue;
        }
        status_put_be(m, 2, 4 + 4 + (size_t)proof->len);
        status_put_be(m, 2, STATUS_EXT_STATUS_REQUEST);
        status_put_be(m, 2, 4 + (size_t)proof->len);
        status_put_be(m, 1, STATUS_TYPE_OCSP);
        status_put_be(m, 3, proof->len);
        status_put_proof(m, proof);
    }
}

static int write_certificate_13(mbedtls_ssl_context *ssl, struct tls_status *s)
{
    struct tls_pair *pair = pick_pair_13(ssl) ? chosen_pair(ssl, s) : NULL;
    if (pair == NULL) {
        MBEDTLS_SSL_PEND_FATAL_ALERT(MBEDTLS_SSL_ALERT_MSG_HANDSHAKE_FAILURE,
                                     MBEDTLS_ERR_SSL_HANDSHAKE_FAILURE);
        return mbedtls_ssl_handle_pending_alert(ssl);
    }
    if (!status_begin(s)) {
        return MBEDTLS_ERR_SSL_ALLOC_FAILED;
    }
    put_certificate_13(ssl, s, pair);
    if (s->asked) {
        decide(s, judge(ssl, s, pair->proofs[0]));
    }
    mbedtls_ssl_handshake_set_state(ssl, MBEDTLS_SSL_CERTIFICATE_VERIFY);
    return 0;
}

/* Behind its Finished the server writes with the keys of the session, RFC 8446 section 4.4.4; the
 * library does so only behind the client's, and what it sends before, which is the alert about the
 * client's certificate, could not be read. */
static void use_session_keys_13(mbedtls_ssl_context *ssl)
{
    if (ssl->transform_application != NULL && ssl->transform_out != ssl->transform_application) {
        mbedtls_ssl_set_outbound_transform(ssl, ssl->transform_application);
    }
}

/* Whether the client's certificate is read next: it may have been asked for none. */
static bool awaits_certificate(const mbedtls_ssl_context *ssl)
{
    return ssl->state == MBEDTLS_SSL_CLIENT_CERTIFICATE &&
           (ssl->handshake->sni_authmode == MBEDTLS_SSL_VERIFY_OPTIONAL ||
            ssl->handshake->sni_authmode == MBEDTLS_SSL_VERIFY_REQUIRED);
}

/* --- The step --- */

static int step(mbedtls_ssl_context *ssl, struct tls_status *s)
{
    if (s->message != NULL) {
        return status_write(ssl, s);
    }
    if (ssl->state == MBEDTLS_SSL_HELLO_REQUEST || ssl->state == MBEDTLS_SSL_CLIENT_HELLO) {
        return mbedtls_ssl_handshake_step(ssl);
    }
    if (status_is_13(ssl) && ssl->state == MBEDTLS_SSL_SERVER_CERTIFICATE) {
        return write_certificate_13(ssl, s);
    }
    if (status_is_13(ssl)) {
        use_session_keys_13(ssl);
    }
    int ret = awaits_certificate(ssl) ? status_check_peer(ssl, s) : 0;
    if (ret != 0) {
        return ret;
    }
    return status_is_13(ssl) ? mbedtls_ssl_handshake_step(ssl) : server_step_12(ssl, s);
}

int tls_status_server_step(mbedtls_ssl_context *ssl, struct tls_status *s)
{
    int ret = step(ssl, s);
    if (ssl->handshake != NULL) {
        s->is_resumed = status_is_13(ssl) ? mbedtls_ssl_tls13_key_exchange_mode_with_psk(ssl)
                                          : ssl->handshake->resume != 0;
    }
    return ret;
}

bool tls_status_is_heavy(const mbedtls_ssl_context *ssl)
{
    mbedtls_ssl_states state = (mbedtls_ssl_states)ssl->state;
    if (ssl->conf->endpoint == MBEDTLS_SSL_IS_CLIENT) {
        return state == MBEDTLS_SSL_CLIENT_HELLO || state == MBEDTLS_SSL_SERVER_HELLO ||
               state == MBEDTLS_SSL_SERVER_CERTIFICATE ||
               state == MBEDTLS_SSL_SERVER_KEY_EXCHANGE ||
               state == MBEDTLS_SSL_CLIENT_KEY_EXCHANGE || state == MBEDTLS_SSL_CERTIFICATE_VERIFY;
    }
    if (status_is_13(ssl)) {
        return state == MBEDTLS_SSL_SERVER_HELLO || state == MBEDTLS_SSL_CERTIFICATE_VERIFY ||
               state == MBEDTLS_SSL_CLIENT_CERTIFICATE ||
               state == MBEDTLS_SSL_CLIENT_CERTIFICATE_VERIFY;
    }
    return state == MBEDTLS_SSL_SERVER_KEY_EXCHANGE || state == MBEDTLS_SSL_CLIENT_KEY_EXCHANGE ||
           state == MBEDTLS_SSL_CLIENT_CERTIFICATE || state == MBEDTLS_SSL_CERTIFICATE_VERIFY;
}

bool tls_status_is_over(const mbedtls_ssl_context *ssl)
{
    return ssl->state == MBEDTLS_SSL_HANDSHAKE_OVER;
}

/* In TLS 1.3 the library keeps all of this as long as the session. */
void tls_status_finish(mbedtls_ssl_context *ssl)
{
    if (ssl->handshake != NULL) {
        mbedtls_ssl_handshake_free(ssl);
        mbedtls_free(ssl->handshake);
        ssl->handshake = NULL;
    }
    mbedtls_ssl_transform **negotiated = status_negotiated(ssl);
    if (negotiated != NULL && *negotiated != NULL) {
        mbedtls_ssl_transform_free(*negotiated);
        mbedtls_free(*negotiated);
        *negotiated = NULL;
    }
}

uint8_t tls_status_plain_alert(const mbedtls_ssl_context *ssl)
{
    const unsigned char *record = ssl->in_hdr;
    bool is_alert = status_is_13(ssl) && ssl->in_buf_len > 15 &&
                    record[0] == MBEDTLS_SSL_MSG_ALERT && MBEDTLS_GET_UINT16_BE(record, 3) == 2;
    return is_alert ? record[6] : 0;
}

uint8_t tls_status_alert(const mbedtls_ssl_context *ssl)
{
    bool is_alert = ssl->in_msgtype == MBEDTLS_SSL_MSG_ALERT && ssl->in_buf_len > 15;
    return is_alert ? ssl->in_msg[1] : 0;
}

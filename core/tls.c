/* TLS sessions: see tls.h. The library is asked for one state or one record at a time; it reads
 * from and writes to the two queues of the session, which the caller fills and empties. */
#include "tls_inside.h"

#include "tls_platform.h"
#include "tls_set_inside.h"
#include "tls_trust_inside.h"

#include <mbedtls/sha256.h>

#define STEPS_MAX          40   /* cheap states in one tls_step: more than any handshake has */
#define RECORDS_MAX        16   /* records without data, likewise */
#define ROOM_LEN           8192 /* ciphertext taken at a time */
#define ROOM_HANDSHAKE_LEN 2048
#define OUT_QUEUE_MAX      8192 /* a flight, or a record of data; more waits in the library */
#define RECORD_EXTRA_LEN   64   /* what protection adds to content, and more */
#define RESERVE_LEN        (16 * 1024) /* what a state of the handshake may need in passing */
#define NO_ROOM            1           /* beside the library's errors, which are negative */

_Static_assert(sizeof(mbedtls_ssl_context) <= sizeof((struct tls *)0)->ssl, "TLS_SSL_WORDS");

/* --- The library's network --- */

static int give_input(void *ctx, unsigned char *into, size_t cap)
{
    struct tls *t = ctx;
    struct slice bytes = tls_queue_bytes(&t->in);
    if (slice_is_empty(bytes)) {
        return MBEDTLS_ERR_SSL_WANT_READ;
    }
    size_t len = bytes.len < cap ? bytes.len : cap;
    memcpy(into, bytes.ptr, len);
    tls_queue_drop(&t->in, t->env->heap, len);
    return (int)len;
}

static int take_output(void *ctx, const unsigned char *bytes, size_t len)
{
    struct tls *t = ctx;
    size_t waiting_len = tls_queue_bytes(&t->out).len;
    size_t room = waiting_len < OUT_QUEUE_MAX ? OUT_QUEUE_MAX - waiting_len : 0;
    if (room == 0) {
        return MBEDTLS_ERR_SSL_WANT_WRITE;
    }
    if (len > room) {
        len = room;
    }
    t->starved = !tls_queue_reserve(&t->out, t->env->heap, len);
    if (t->starved) {
        return MBEDTLS_ERR_SSL_WANT_WRITE;
    }
    tls_queue_put(&t->out, bytes, len);
    return (int)len;
}

/* --- Beginning and end --- */

/* All but the output queue and what tls_info shows. */
static void release(struct tls *t)
{
    struct heap *heap = t->env->heap;
    struct tls_settings *settings = t->settings;
    if (settings != NULL) {
        mbedtls_ssl_free(tls_ssl(t));
        tls_settings_drop(t->env, settings);
        t->settings = NULL;
    }
    if (t->handshake != NULL) {
        tls_status_drop(&t->handshake->status);
        heap_free(heap, t->handshake);
        t->handshake = NULL;
    }
    if (!t->is_client) {
        tls_trust_drop(t->env, (struct tls_trust *)(uintptr_t)t->trust);
        t->trust = NULL;
    }
    tls_set_drop(t->set);
    t->set = NULL;
    tls_queue_drop(&t->in, heap, SIZE_MAX);
}

void tls_free(struct tls *t)
{
    if (t->env == NULL) {
        return;
    }
    release(t);
    tls_queue_drop(&t->out, t->env->heap, SIZE_MAX);
    heap_free(t->env->heap, t->name);
    heap_free(t->env->heap, t->proof);
    memset(t, 0, sizeof *t);
}

enum err tls_begin(struct tls *t, struct tls_env *env, struct tls_settings *settings)
{
    memset(t, 0, sizeof *t);
    t->env = env;
    t->info.version = "";
    t->info.cipher = "";
    t->handshake = heap_alloc(env->heap, 1, sizeof *t->handshake);
    if (t->handshake == NULL) {
        tls_free(t);
        return ERR_NO_MEMORY;
    }
    t->handshake->status.heap = env->heap;
    t->settings = settings;
    settings->num_refs++;
    mbedtls_ssl_context *ssl = tls_ssl(t);
    mbedtls_ssl_init(ssl);
    if (tls_status_setup(ssl, &settings->config) != 0) {
        tls_free(t);
        return ERR_NO_MEMORY;
    }
    mbedtls_ssl_set_bio(ssl, t, take_output, give_input, NULL);
    mbedtls_ssl_set_user_data_p(ssl, &t->handshake->status);
    tls_status_park(ssl); /* until something comes */
    return ERR_OK;
}

enum err tls_open_server(struct tls *t, struct tls_env *env)
{
    enum err err = tls_begin(t, env, env->inside->server);
    t->phase = err == ERR_OK ? TLS_PHASE_HELLO : TLS_PHASE_NONE;
    return err;
}

static int judge_client(void *ctx, mbedtls_x509_crt *cert, int depth, uint32_t *flags)
{
    return tls_trust_judge(ctx, cert, depth, flags);
}

enum err tls_open_server_asking(struct tls *t, struct tls_env *env, struct tls_trust *trust,
                                bool is_required)
{
    struct tls_settings *settings = tls_asking_settings(env);
    enum err err = settings == NULL ? ERR_NO_MEMORY : tls_begin(t, env, settings);
    if (err != ERR_OK) {
        memset(t, 0, sizeof *t);
        return err;
    }
    t->trust = tls_trust_keep(trust);
    tls_trust_use(t, judge_client);
    mbedtls_ssl_set_hs_authmode(tls_ssl(t), is_required ? MBEDTLS_SSL_VERIFY_REQUIRED
                                                        : MBEDTLS_SSL_VERIFY_OPTIONAL);
    t->phase = TLS_PHASE_HELLO;
    return ERR_OK;
}

static enum tls_client_cert client_cert_of(uint32_t flags)
{
    const uint32_t dates = MBEDTLS_X509_BADCERT_EXPIRED | MBEDTLS_X509_BADCERT_FUTURE;
    const uint32_t lists =
        MBEDTLS_X509_BADCRL_NOT_TRUSTED | MBEDTLS_X509_BADCRL_EXPIRED | MBEDTLS_X509_BADCRL_FUTURE;
    if ((flags & ~(dates | lists | MBEDTLS_X509_BADCERT_REVOKED)) != 0) {
        return TLS_CLIENT_CERT_BAD;
    }
    return (flags & MBEDTLS_X509_BADCERT_REVOKED) != 0 ? TLS_CLIENT_CERT_REVOKED
           : (flags & dates) != 0                      ? TLS_CLIENT_CERT_OUT_OF_DATE
           : flags != 0                                ? TLS_CLIENT_CERT_UNLISTED
                                                       : TLS_CLIENT_CERT_GOOD;
}

/* What is kept of a client's certificate. */
static void keep_client(struct tls *t)
{
    const mbedtls_x509_crt *cert = mbedtls_ssl_get_peer_cert(tls_ssl(t));
    if (cert != NULL && mbedtls_sha256(cert->raw.p, cert->raw.len, t->client_id, 0) == 0) {
        t->info.client_cert = client_cert_of(mbedtls_ssl_get_verify_result(tls_ssl(t)));
    }
    tls_status_forget_peer(tls_ssl(t));
    tls_trust_drop(t->env, (struct tls_trust *)(uintptr_t)t->trust);
    t->trust = NULL;
}

static enum tls_event fail(struct tls *t, const char *why)
{
    t->phase = TLS_PHASE_FAILED;
    t->info.failure = why;
    if (t->settings != NULL) {
        (void)tls_status_flush(tls_ssl(t)); /* the alert */
    }
    release(t);
    return TLS_FAILED;
}

static enum tls_event fail_with_alert(struct tls *t, const char *why, uint8_t alert)
{
    t->info.alert = alert;
    (void)mbedtls_ssl_send_alert_message(tls_ssl(t), MBEDTLS_SSL_ALERT_LEVEL_FATAL, alert);
    return fail(t, why);
}

/* What the library leaves without having said; 0: nothing. */
static uint8_t alert_of(const mbedtls_ssl_context *ssl, int ret)
{
    switch (ret) {
    case MBEDTLS_ERR_SSL_ALLOC_FAILED:
        return MBEDTLS_SSL_ALERT_MSG_INTERNAL_ERROR;
    case MBEDTLS_ERR_SSL_NO_CLIENT_CERTIFICATE: /* RFC 5246 7.4.6; RFC 8446 4.4.2.4 */
        return mbedtls_ssl_get_version_number(ssl) == MBEDTLS_SSL_VERSION_TLS1_2
                   ? MBEDTLS_SSL_ALERT_MSG_HANDSHAKE_FAILURE
                   : MBEDTLS_SSL_ALERT_MSG_CERT_REQUIRED;
    case MBEDTLS_ERR_SSL_HANDSHAKE_FAILURE: /* no common group; of all else it has told */
        return ssl->MBEDTLS_PRIVATE(out_msgtype) == MBEDTLS_SSL_MSG_ALERT
                   ? 0
                   : MBEDTLS_SSL_ALERT_MSG_HANDSHAKE_FAILURE;
    default:
        return 0;
    }
}

static enum tls_event fail_by(struct tls *t, int ret)
{
    if (t->handshake != NULL) {
        switch (t->handshake->status.hello_result) {
        case TLS_HELLO_OK:
            break;
        case TLS_HELLO_TRAILING:
            t->info.alert = MBEDTLS_SSL_ALERT_MSG_DECODE_ERROR;
            break;
        case TLS_HELLO_STATUS_MALFORMED:
            t->info.alert = MBEDTLS_SSL_ALERT_MSG_DECODE_ERROR;
            return fail(t, "malformed-status-request");
        case TLS_HELLO_STATUS_TWICE:
            t->info.alert = MBEDTLS_SSL_ALERT_MSG_ILLEGAL_PARAMETER;
            return fail(t, "duplicate-status-request");
        }
    }
    uint8_t alert = alert_of(tls_ssl(t), ret);
    if (alert != 0) {
        return fail_with_alert(t, tls_failure_name(ret), alert);
    }
    if (ret == MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE) {
        t->info.alert = tls_status_alert(tls_ssl(t));
    }
    if (ret == MBEDTLS_ERR_SSL_INVALID_MAC && t->handshake != NULL) {
        t->info.alert = tls_status_plain_alert(tls_ssl(t));
        ret = t->info.alert != 0 ? MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE : ret;
    }
    return fail(t, tls_failure_name(ret));
}

/* --- One call of the library --- */

enum call { CALL_READ_HELLO, CALL_STEP, CALL_READ };

static int call_once(struct tls *t, enum call call, struct slice *hello)
{
    switch (call) {
    case CALL_READ_HELLO:
        return tls_status_read_hello(tls_ssl(t), hello);
    case CALL_STEP:
        return t->is_client ? tls_status_client_step(tls_ssl(t), &t->handshake->status)
                            : tls_status_server_step(tls_ssl(t), &t->handshake->status);
    case CALL_READ:
        return mbedtls_ssl_read(tls_ssl(t), NULL, 0);
    }
    return MBEDTLS_ERR_SSL_INTERNAL_ERROR;
}

/* Calls, and makes room for the record that is coming where that was what it failed for. */
static int call_library(struct tls *t, enum call call, struct slice *hello)
{
    for (;;) {
        int ret = call_once(t, call, hello);
        if (ret != MBEDTLS_ERR_SSL_BAD_INPUT_DATA) {
            return ret;
        }
        switch (tls_status_grow_in(tls_ssl(t))) {
        case TLS_GROWN:
            break;
        case TLS_NOT_NEEDED:
            return ret;
        case TLS_TOO_LONG:
            return MBEDTLS_ERR_SSL_BUFFER_TOO_SMALL;
        case TLS_NO_MEMORY:
            return NO_ROOM;
        }
    }
}

/* What the caller is to do after the library stopped with ret. */
static enum tls_event stopped(struct tls *t, int ret)
{
    switch (ret) {
    case NO_ROOM:
        return TLS_NO_ROOM;
    case MBEDTLS_ERR_SSL_WANT_READ:
        return TLS_MORE;
    case MBEDTLS_ERR_SSL_WANT_WRITE:
        return t->starved ? TLS_NO_ROOM : TLS_WRITE;
    default:
        return fail_by(t, ret);
    }
}

/* --- Handshake --- */

static enum tls_event read_hello(struct tls *t)
{
    struct slice body = {NULL, 0};
    struct tls_hello hello;
    uint8_t bytes[TLS_NAME_MAX];
    struct buf name = buf_make(bytes, sizeof bytes);
    int ret = call_library(t, CALL_READ_HELLO, &body);
    if (ret != 0) {
        return stopped(t, ret);
    }
    (void)tls_hello_parse(body, &hello); /* judged when the library has judged the rest */
    if (!slice_is_empty(hello.host_name) && tls_hello_put_name(&name, hello.host_name)) {
        t->name = heap_alloc(t->env->heap, 1, name.len);
        if (t->name == NULL) {
            return fail_by(t, MBEDTLS_ERR_SSL_ALLOC_FAILED);
        }
        memcpy(t->name, name.ptr, name.len);
        t->info.sni = slice_make(t->name, name.len);
    }
    t->phase = TLS_PHASE_SET;
    return TLS_NEED_SET;
}

void tls_give_set(struct tls *t, struct tls_set *set)
{
    if (t->phase != TLS_PHASE_SET) {
        return;
    }
    if (set == NULL || set->num_pairs == 0) {
        (void)fail_with_alert(t, "no-certificate", MBEDTLS_SSL_ALERT_MSG_UNRECOGNIZED_NAME);
        return;
    }
    tls_set_keep(set);
    t->set = set;
    t->handshake->status.set = set;
    bool ok = tls_ticket_bind(t->handshake->binding, t->info.sni, tls_set_id(set), 0);
    for (size_t i = 0; ok && i < set->num_pairs; i++) {
        struct tls_pair *p = &set->pairs[i];
        ok = mbedtls_ssl_set_hs_own_cert(tls_ssl(t), &p->chain, &p->key) == 0;
    }
    if (!ok) {
        (void)fail_by(t, MBEDTLS_ERR_SSL_ALLOC_FAILED);
        return;
    }
    t->phase = TLS_PHASE_SHAKE;
}

static enum tls_event establish(struct tls *t)
{
    mbedtls_ssl_context *ssl = tls_ssl(t);
    struct tls_status *s = &t->handshake->status;
    t->info.version = mbedtls_ssl_get_version(ssl);
    t->info.cipher = tls_cipher_name(mbedtls_ssl_get_ciphersuite_id_from_ssl(ssl));
    t->info.resumed = s->is_resumed;
    if (!t->is_client && t->trust != NULL) {
        keep_client(t);
    }
    t->proof = s->proof;
    t->proof_len = s->proof_len;
    s->proof = NULL;
    tls_status_finish(ssl);
    tls_status_drop(s);
    mbedtls_ssl_set_user_data_p(ssl, NULL);
    heap_free(t->env->heap, t->handshake);
    t->handshake = NULL;
    tls_set_drop(t->set);
    t->set = NULL;
    t->phase = TLS_PHASE_OPEN;
    return TLS_ESTABLISHED;
}

static enum tls_event shake(struct tls *t, const struct tls_time *now)
{
    mbedtls_ssl_context *ssl = tls_ssl(t);
    t->handshake->status.now = *now;
    for (int i = 0; i < STEPS_MAX; i++) {
        if (tls_status_is_over(ssl)) {
            return establish(t);
        }
        if (heap_largest_free(t->env->heap) < RESERVE_LEN || !tls_status_grow_out_full(ssl)) {
            return TLS_NO_ROOM;
        }
        bool is_heavy = tls_status_is_heavy(ssl);
        int ret = call_library(t, CALL_STEP, NULL);
        /* At once: the peer may leave because of it, with or without a word. */
        t->info.staple = t->handshake->status.staple;
        t->info.staple_reason = t->handshake->status.reason;
        if (ret == 0 && is_heavy) {
            return TLS_TURN;
        }
        bool can_read_on = ret == MBEDTLS_ERR_SSL_WANT_READ && t->in.ptr != NULL;
        if (ret != 0 && !can_read_on) {
            return stopped(t, ret);
        }
    }
    return TLS_TURN;
}

/* --- Data --- */

static enum tls_event read_data(struct tls *t)
{
    for (int i = 0; i < RECORDS_MAX; i++) {
        if (!slice_is_empty(tls_peek(t))) {
            return TLS_DATA;
        }
        if (t->told_closed) {
            return TLS_CLOSED;
        }
        int ret = call_library(t, CALL_READ, NULL);
        if (ret == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY) {
            t->told_closed = true;
            continue;
        }
        bool can_read_on = ret == MBEDTLS_ERR_SSL_WANT_READ && t->in.ptr != NULL;
        if (ret < 0 && !can_read_on) {
            return stopped(t, ret);
        }
        if (ret == NO_ROOM) {
            return TLS_NO_ROOM;
        }
    }
    return TLS_TURN;
}

enum tls_event tls_step(struct tls *t, const struct tls_time *now)
{
    struct tls_tickets *tickets = &t->env->inside->tickets;
    enum tls_event event = TLS_FAILED;
    tls_platform_set_time(now->now_ms);
    tickets->now_ms = now->now_ms;
    tickets->binding = t->handshake == NULL ? NULL : t->handshake->binding;
    switch ((enum tls_phase)t->phase) {
    case TLS_PHASE_HELLO:
        event = read_hello(t);
        break;
    case TLS_PHASE_SET:
        event = TLS_NEED_SET;
        break;
    case TLS_PHASE_SHAKE:
        event = shake(t, now);
        break;
    case TLS_PHASE_OPEN:
        event = read_data(t);
        break;
    case TLS_PHASE_NONE:
    case TLS_PHASE_FAILED:
        break;
    }
    tickets->binding = NULL;
    return event;
}

bool tls_handshaking(const struct tls *t)
{
    return t->phase == TLS_PHASE_SHAKE;
}

/* --- Bytes in and out --- */

size_t tls_room(const struct tls *t)
{
    if (t->in.ptr != NULL || t->phase == TLS_PHASE_FAILED || t->phase == TLS_PHASE_NONE) {
        return 0;
    }
    return t->phase == TLS_PHASE_OPEN ? ROOM_LEN : ROOM_HANDSHAKE_LEN;
}

void tls_feed(struct tls *t, struct slice *in)
{
    struct slice taken;
    size_t room = tls_room(t);
    (void)slice_take(in, in->len < room ? in->len : room, &taken);
    if (slice_is_empty(taken)) {
        return;
    }
    if (!tls_queue_reserve(&t->in, t->env->heap, taken.len)) {
        (void)fail_by(t, MBEDTLS_ERR_SSL_ALLOC_FAILED);
        return;
    }
    tls_queue_put(&t->in, taken.ptr, taken.len);
}

struct slice tls_pending(const struct tls *t)
{
    return tls_queue_bytes(&t->out);
}

void tls_sent(struct tls *t, size_t len)
{
    if (t->env != NULL) {
        tls_queue_drop(&t->out, t->env->heap, len);
    }
}

struct slice tls_peek(const struct tls *t)
{
    return t->phase == TLS_PHASE_OPEN ? tls_status_plain(tls_ssl_const(t)) : slice_make(NULL, 0);
}

void tls_consume(struct tls *t, size_t len)
{
    if (t->phase == TLS_PHASE_OPEN) {
        tls_status_consume(tls_ssl(t), len);
    }
}

enum err tls_write(struct tls *t, struct slice data, size_t *out_taken)
{
    mbedtls_ssl_context *ssl = tls_ssl(t);
    *out_taken = 0;
    if (t->phase != TLS_PHASE_OPEN || t->closing) {
        return ERR_WRONG_STATE;
    }
    if (slice_is_empty(data)) {
        return ERR_OK;
    }
    int max_len = mbedtls_ssl_get_max_out_record_payload(ssl);
    if (max_len > 0 && data.len > (size_t)max_len) {
        data.len = (size_t)max_len;
    }
    size_t record_len = data.len + RECORD_EXTRA_LEN;
    if (tls_pending(t).len + record_len > OUT_QUEUE_MAX || tls_status_flush(ssl) != 0 ||
        !tls_status_grow_out(ssl, data.len) ||
        !tls_queue_reserve(&t->out, t->env->heap, record_len)) {
        return ERR_AGAIN;
    }
    int ret = mbedtls_ssl_write(ssl, data.ptr, data.len);
    if (ret <= 0) {
        (void)fail_by(t, ret);
        return ERR_WRONG_STATE;
    }
    *out_taken = (size_t)ret;
    return ERR_OK;
}

void tls_close(struct tls *t)
{
    if (t->phase == TLS_PHASE_OPEN && !t->closing) {
        t->closing = true;
        (void)mbedtls_ssl_close_notify(tls_ssl(t));
    }
}

void tls_park(struct tls *t)
{
    if (t->phase == TLS_PHASE_OPEN) {
        tls_status_park(tls_ssl(t));
    }
}

const struct tls_info *tls_info(const struct tls *t)
{
    return &t->info;
}

bool tls_exporter(const struct tls *t, uint8_t out[TLS_EXPORTER_LEN])
{
    return t->phase == TLS_PHASE_OPEN && tls_status_export(tls_ssl_const(t), out);
}

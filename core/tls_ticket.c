/* Session tickets: see tls_ticket.h.
 *
 *     key id (8) | nonce (12) | sealed { made_ms (8) | session } | tag (16) */
#include "tls_ticket.h"

#include "buf.h"
#include "tls.h"
#include "tls_platform.h"

#include <mbedtls/chachapoly.h>
#include <mbedtls/platform_util.h>
#include <mbedtls/sha256.h>

#define NONCE_LEN 12
#define TAG_LEN   16
#define TIME_LEN  8
#define HEAD_LEN  (TLS_TICKET_ID_LEN + NONCE_LEN)

bool tls_ticket_bind(uint8_t *out_binding, struct slice server_name, struct slice set_id,
                     uint8_t client_policy)
{
    uint8_t head[2] = {(uint8_t)server_name.len, client_policy};
    mbedtls_sha256_context hash;
    mbedtls_sha256_init(&hash);
    bool ok = mbedtls_sha256_starts(&hash, 0) == 0 &&
              mbedtls_sha256_update(&hash, head, sizeof head) == 0 &&
              mbedtls_sha256_update(&hash, server_name.ptr, server_name.len) == 0 &&
              mbedtls_sha256_update(&hash, set_id.ptr, set_id.len) == 0 &&
              mbedtls_sha256_finish(&hash, out_binding) == 0;
    mbedtls_sha256_free(&hash);
    return ok;
}

static uint64_t age_s(const struct tls_tickets *t, uint64_t since_ms)
{
    return t->now_ms < since_ms ? UINT64_MAX : (t->now_ms - since_ms) / 1000;
}

/* The key to seal with: a new one if the newest is due, which then stays only to open with. */
static const struct tls_ticket_key *current_key(struct tls_tickets *t)
{
    struct tls_ticket_key *k = &t->keys[0];
    if (k->is_made && age_s(t, k->made_ms) < TLS_TICKET_ROTATE_S) {
        return k;
    }
    struct tls_ticket_key fresh = {.is_made = true, .made_ms = t->now_ms};
    if (tls_platform_random(NULL, fresh.id, sizeof fresh.id) != 0 ||
        tls_platform_random(NULL, fresh.key, sizeof fresh.key) != 0) {
        return NULL;
    }
    t->keys[1] = t->keys[0];
    t->keys[0] = fresh;
    mbedtls_platform_zeroize(&fresh, sizeof fresh);
    return k;
}

static const struct tls_ticket_key *find_key(const struct tls_tickets *t, const uint8_t *id)
{
    for (size_t i = 0; i < TLS_TICKET_KEYS; i++) {
        const struct tls_ticket_key *k = &t->keys[i];
        if (k->is_made && memcmp(k->id, id, sizeof k->id) == 0 &&
            age_s(t, k->made_ms) <= TLS_TICKET_ROTATE_S + TLS_TICKET_LIFE_S) {
            return k;
        }
    }
    return NULL;
}

int tls_ticket_write(void *ctx, const mbedtls_ssl_session *session, unsigned char *start,
                     const unsigned char *end, size_t *out_len, uint32_t *out_lifetime_s)
{
    struct tls_tickets *t = ctx;
    const struct tls_ticket_key *key = current_key(t);
    struct buf out = buf_make(start, (size_t)(end - start));
    size_t session_len;
    *out_len = 0;
    *out_lifetime_s = TLS_TICKET_LIFE_S;
    if (key == NULL || t->binding == NULL) {
        return MBEDTLS_ERR_SSL_INTERNAL_ERROR;
    }
    if (!buf_put(&out, slice_make(key->id, sizeof key->id)) || buf_room(&out) < NONCE_LEN ||
        tls_platform_random(NULL, start + out.len, NONCE_LEN) != 0) {
        return MBEDTLS_ERR_SSL_BUFFER_TOO_SMALL;
    }
    out.len += NONCE_LEN;
    if (!buf_put_be(&out, TIME_LEN, t->now_ms) || buf_room(&out) < TAG_LEN) {
        return MBEDTLS_ERR_SSL_BUFFER_TOO_SMALL;
    }
    int ret =
        mbedtls_ssl_session_save(session, start + out.len, buf_room(&out) - TAG_LEN, &session_len);
    if (ret != 0) {
        return ret;
    }
    unsigned char *sealed = start + HEAD_LEN;
    size_t sealed_len = TIME_LEN + session_len;
    mbedtls_chachapoly_context seal;
    mbedtls_chachapoly_init(&seal);
    ret = mbedtls_chachapoly_setkey(&seal, key->key);
    if (ret == 0) {
        ret = mbedtls_chachapoly_encrypt_and_tag(&seal, sealed_len, start + TLS_TICKET_ID_LEN,
                                                 t->binding, TLS_BINDING_LEN, sealed, sealed,
                                                 sealed + sealed_len);
    }
    mbedtls_chachapoly_free(&seal);
    *out_len = HEAD_LEN + sealed_len + TAG_LEN;
    return ret;
}

int tls_ticket_parse(void *ctx, mbedtls_ssl_session *session, unsigned char *ticket, size_t len)
{
    struct tls_tickets *t = ctx;
    if (len < HEAD_LEN + TIME_LEN + TAG_LEN || t->binding == NULL) {
        return MBEDTLS_ERR_SSL_INVALID_MAC;
    }
    const struct tls_ticket_key *key = find_key(t, ticket);
    if (key == NULL) {
        return MBEDTLS_ERR_SSL_SESSION_TICKET_EXPIRED;
    }
    unsigned char *sealed = ticket + HEAD_LEN;
    size_t sealed_len = len - HEAD_LEN - TAG_LEN;
    mbedtls_chachapoly_context seal;
    mbedtls_chachapoly_init(&seal);
    int ret = mbedtls_chachapoly_setkey(&seal, key->key);
    if (ret == 0) {
        ret = mbedtls_chachapoly_auth_decrypt(&seal, sealed_len, ticket + TLS_TICKET_ID_LEN,
                                              t->binding, TLS_BINDING_LEN, sealed + sealed_len,
                                              sealed, sealed);
    }
    mbedtls_chachapoly_free(&seal);
    if (ret != 0) {
        return MBEDTLS_ERR_SSL_INVALID_MAC;
    }
    struct slice opened = slice_make(sealed, sealed_len);
    uint64_t made_ms;
    if (!slice_be64(&opened, &made_ms) || age_s(t, made_ms) > TLS_TICKET_LIFE_S) {
        return MBEDTLS_ERR_SSL_SESSION_TICKET_EXPIRED;
    }
    return mbedtls_ssl_session_load(session, opened.ptr, opened.len);
}

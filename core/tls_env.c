/* What all TLS sessions share: the library's settings, ticket keys, the generator. See tls.h. */
#include "tls_env.h"

#include "tls_platform.h"
#include "tls_status.h"

#include <mbedtls/platform_util.h>

/* P-256 costs us the least. In TLS 1.3 the first share of the client's that is among these is
 * taken, whatever the order here. */
static const uint16_t groups[] = {
    MBEDTLS_SSL_IANA_TLS_GROUP_SECP256R1, MBEDTLS_SSL_IANA_TLS_GROUP_X25519,
    MBEDTLS_SSL_IANA_TLS_GROUP_SECP384R1, MBEDTLS_SSL_IANA_TLS_GROUP_NONE};

static void set_versions(mbedtls_ssl_config *config, const struct tls_ciphers *ciphers)
{
    mbedtls_ssl_conf_min_tls_version(config, ciphers->has_12 ? MBEDTLS_SSL_VERSION_TLS1_2
                                                             : MBEDTLS_SSL_VERSION_TLS1_3);
    mbedtls_ssl_conf_max_tls_version(config, ciphers->has_13 ? MBEDTLS_SSL_VERSION_TLS1_3
                                                             : MBEDTLS_SSL_VERSION_TLS1_2);
}

static struct tls_settings *make_settings(struct tls_env *env, const struct tls_ciphers *ciphers,
                                          int endpoint, bool has_tickets)
{
    struct tls_settings *s = heap_alloc(env->heap, 1, sizeof *s);
    if (s == NULL) {
        return NULL;
    }
    s->num_refs = 1;
    s->ciphers = *ciphers;
    mbedtls_ssl_config *c = &s->config;
    mbedtls_ssl_config_init(c);
    if (mbedtls_ssl_config_defaults(c, endpoint, MBEDTLS_SSL_TRANSPORT_STREAM,
                                    MBEDTLS_SSL_PRESET_DEFAULT) != 0) {
        tls_settings_drop(env, s);
        return NULL;
    }
    set_versions(c, ciphers);
    mbedtls_ssl_conf_ciphersuites(c, s->ciphers.ids);
    mbedtls_ssl_conf_groups(c, groups);
    mbedtls_ssl_conf_rng(c, tls_platform_random, NULL);
    if (endpoint == MBEDTLS_SSL_IS_CLIENT) {
        mbedtls_ssl_conf_session_tickets(c, MBEDTLS_SSL_SESSION_TICKETS_DISABLED);
        return s;
    }
    mbedtls_ssl_conf_cert_cb(c, tls_status_on_hello);
    if (!has_tickets) {
        mbedtls_ssl_conf_cert_req_ca_list(c, MBEDTLS_SSL_CERT_REQ_CA_LIST_DISABLED);
        return s;
    }
    mbedtls_ssl_conf_session_tickets_cb(c, tls_ticket_write, tls_ticket_parse,
                                        &env->inside->tickets);
    mbedtls_ssl_conf_new_session_tickets(c, 1);
    return s;
}

void tls_settings_drop(struct tls_env *env, struct tls_settings *settings)
{
    if (settings != NULL && --settings->num_refs == 0) {
        mbedtls_ssl_config_free(&settings->config);
        heap_free(env->heap, settings);
    }
}

struct tls_settings *tls_client_settings(struct tls_env *env)
{
    struct tls_env_inside *inside = env->inside;
    if (inside->client == NULL) {
        inside->client = make_settings(env, &inside->server->ciphers, MBEDTLS_SSL_IS_CLIENT, false);
    }
    return inside->client;
}

struct tls_settings *tls_asking_settings(struct tls_env *env)
{
    struct tls_env_inside *inside = env->inside;
    if (inside->asking == NULL) {
        inside->asking = make_settings(env, &inside->server->ciphers, MBEDTLS_SSL_IS_SERVER, false);
    }
    return inside->asking;
}

enum err tls_check_ciphers(struct slice ciphers, struct slice *bad_name)
{
    struct tls_ciphers parsed;
    return tls_ciphers_parse(ciphers, &parsed, bad_name) ? ERR_OK : ERR_UNSUPPORTED;
}

bool tls_can_show(const struct tls_env *env, const struct tls_set *set, size_t pair)
{
    const struct tls_ciphers *ciphers = &env->inside->server->ciphers;
    const mbedtls_x509_crt *leaf = tls_set_cert(set, pair, 0);
    mbedtls_key_exchange_type_t wanted = mbedtls_pk_can_do(&leaf->pk, MBEDTLS_PK_RSA)
                                             ? MBEDTLS_KEY_EXCHANGE_ECDHE_RSA
                                             : MBEDTLS_KEY_EXCHANGE_ECDHE_ECDSA;
    bool can_show = ciphers->has_13; /* those are for any */
    for (const int *id = ciphers->ids; *id != 0; id++) {
        const mbedtls_ssl_ciphersuite_t *suite = mbedtls_ssl_ciphersuite_from_id(*id);
        can_show = can_show || suite->MBEDTLS_PRIVATE(key_exchange) == wanted;
    }
    return can_show;
}

enum err tls_env_set_ciphers(struct tls_env *env, struct slice ciphers, struct slice *bad_name)
{
    struct tls_ciphers parsed;
    if (!tls_ciphers_parse(ciphers, &parsed, bad_name)) {
        return ERR_UNSUPPORTED;
    }
    struct tls_settings *fresh = make_settings(env, &parsed, MBEDTLS_SSL_IS_SERVER, true);
    if (fresh == NULL) {
        return ERR_NO_MEMORY;
    }
    tls_settings_drop(env, env->inside->server);
    tls_settings_drop(env, env->inside->asking);
    tls_settings_drop(env, env->inside->client);
    env->inside->server = fresh;
    env->inside->asking = NULL;
    env->inside->client = NULL;
    return ERR_OK;
}

enum err tls_env_open(struct tls_env *env, struct heap *heap, struct slice seed,
                      struct slice ciphers, struct slice *bad_name)
{
    *bad_name = slice_make(NULL, 0);
    *env = (struct tls_env){0};
    if (seed.len != TLS_SEED_LEN) {
        return ERR_NO_ENTROPY;
    }
    enum err err = tls_platform_open(heap, seed);
    if (err != ERR_OK) {
        return err;
    }
    env->heap = heap;
    env->inside = heap_alloc(heap, 1, sizeof *env->inside);
    err = env->inside == NULL ? ERR_NO_MEMORY : tls_env_set_ciphers(env, ciphers, bad_name);
    if (err != ERR_OK) {
        tls_env_close(env);
    }
    return err;
}

void tls_env_stir(struct tls_env *env, struct slice entropy)
{
    (void)env;
    tls_platform_stir(entropy);
}

void tls_env_close(struct tls_env *env)
{
    if (env->heap == NULL) {
        return;
    }
    if (env->inside != NULL) {
        tls_settings_drop(env, env->inside->server);
        tls_settings_drop(env, env->inside->asking);
        tls_settings_drop(env, env->inside->client);
        mbedtls_platform_zeroize(env->inside, sizeof *env->inside);
        heap_free(env->heap, env->inside);
    }
    tls_platform_close();
    *env = (struct tls_env){0};
}

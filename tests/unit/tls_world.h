/* A client and a server of TLS in one process, joined by a wire that a test can make slow; keys and
 * certificates made by openssl when a test begins. */
#ifndef POSTERN_TLS_WORLD_H
#define POSTERN_TLS_WORLD_H

#include "test.h"

#include "tls_client.h"
#include "tls_inside.h"

#include <sys/stat.h>

#define WORLD_HEAP_LEN (4u << 20)
#define WORLD_WALL_S   INT64_C(1800000000)
#define PROOF_LEN      2000

static uint8_t world_region[WORLD_HEAP_LEN];
static struct heap world_heap;
static struct tls_env world_env;
static struct tls_time world_now;
static char world_dir[256];

/* --- Files --- */

static inline struct slice world_read(const char *name)
{
    static uint8_t bytes[32][32768];
    static size_t num;
    uint8_t *into = bytes[num++ % 32];
    char path[300];
    snprintf(path, sizeof path, "%s/%s", world_dir, name);
    FILE *f = fopen(path, "rb");
    size_t len = f == NULL ? 0 : fread(into, 1, sizeof bytes[0], f);
    if (f != NULL) {
        fclose(f);
    }
    if (len == 0) {
        fprintf(stderr, "%s is missing: does openssl work?\n", path);
        exit(1);
    }
    return slice_make(into, len);
}

static inline void world_openssl(const char *arguments)
{
    char command[1200];
    snprintf(command, sizeof command, "cd '%s' && { openssl %s; } >openssl.log 2>&1", world_dir,
             arguments);
    if (system(command) != 0) {
        fprintf(stderr, "failed: %s\n", command);
        exit(1);
    }
}

/* name.key, name.chain: a leaf and the authority that signed it, of that kind of key. */
static inline void world_make_pair(const char *name, const char *key)
{
    char arguments[600];
    snprintf(arguments, sizeof arguments,
             "req -x509 -newkey %s -nodes -keyout ca-%s.key -out ca-%s.pem -days 30 "
             "-subj '/CN=Authority %s'",
             key, name, name, name);
    world_openssl(arguments);
    snprintf(arguments, sizeof arguments,
             "req -newkey %s -nodes -keyout %s.key -out %s.csr -subj /CN=mail.example", key, name,
             name);
    world_openssl(arguments);
    snprintf(arguments, sizeof arguments,
             "x509 -req -in %s.csr -CA ca-%s.pem -CAkey ca-%s.key -set_serial 17 -days 30 "
             "-extfile leaf.cnf -out %s.crt && cat %s.crt ca-%s.pem >%s.chain",
             name, name, name, name, name, name, name);
    world_openssl(arguments);
}

/* Once for a test program: a directory beside it, with what it needs in it. */
static inline void world_make_files(const char *program)
{
    snprintf(world_dir, sizeof world_dir, "%s.pki", program);
    char path[300];
    mkdir(world_dir, 0700);
    snprintf(path, sizeof path, "%s/leaf.cnf", world_dir);
    FILE *f = fopen(path, "w");
    if (f == NULL) {
        fprintf(stderr, "cannot write into %s\n", world_dir);
        exit(1);
    }
    fprintf(f, "subjectAltName=DNS:mail.example\nkeyUsage=digitalSignature\n"
               "extendedKeyUsage=serverAuth\n");
    fclose(f);
    world_make_pair("ec", "ec -pkeyopt ec_paramgen_curve:P-256");
    world_make_pair("rsa", "rsa:2048");
}

/* --- Sets --- */

static inline const uint8_t *world_proof(size_t len)
{
    static uint8_t bytes[OCSP_PROOF_CAP];
    for (size_t i = 0; i < len; i++) {
        bytes[i] = (uint8_t)(i * 7 + i / 251);
    }
    return bytes;
}

static inline struct ocsp_verdict world_good(int64_t begin_s, int64_t end_s)
{
    return (struct ocsp_verdict){.reason = OCSP_GOOD,
                                 .begin_s = begin_s,
                                 .end_s = end_s,
                                 .reason_before = OCSP_NOT_YET_VALID,
                                 .reason_after = OCSP_EXPIRED};
}

static inline void world_set_proof(struct tls_set *set, size_t pair, size_t cert, size_t len)
{
    struct ocsp_verdict v = world_good(WORLD_WALL_S - 100, WORLD_WALL_S + 100);
    CHECK_EQ(tls_set_set_proof(set, pair, cert, slice_make(world_proof(len), len), &v), ERR_OK);
}

static inline enum tls_set_error world_add(struct tls_set *set, const char *name)
{
    char chain[40], key[40];
    snprintf(chain, sizeof chain, "%s.chain", name);
    snprintf(key, sizeof key, "%s.key", name);
    return tls_set_add_pair(set, world_read(chain), world_read(key));
}

static inline struct tls_set *world_set(const char *first, const char *second)
{
    struct tls_set *set = tls_set_new(&world_env);
    CHECK_EQ(world_add(set, first), TLS_SET_OK);
    if (second != NULL) {
        CHECK_EQ(world_add(set, second), TLS_SET_OK);
    }
    return set;
}

/* --- The world --- */

static inline void world_open(const char *ciphers)
{
    static const uint8_t seed[TLS_SEED_LEN] = {1, 2, 3};
    struct slice bad;
    CHECK(heap_open(&world_heap, world_region, sizeof world_region));
    CHECK_EQ(tls_env_open(&world_env, &world_heap, slice_make(seed, sizeof seed),
                          slice_of_string(ciphers), &bad),
             ERR_OK);
    world_now = (struct tls_time){1000, WORLD_WALL_S, true};
}

/* Everything must have been given back. */
static inline void world_close(void)
{
    tls_env_close(&world_env);
    CHECK_EQ(world_heap.used_len, 0);
    CHECK(heap_is_sound(&world_heap));
}

#define CIPHERS_12                                               \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:" \
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-CHACHA20-POLY1305"
#define CIPHERS_13 "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384"

static const char *const world_versions[] __attribute__((unused)) = {CIPHERS_12, CIPHERS_13};

/* Two sessions and the wire between them. */
struct link {
    struct tls client, server;
    struct tls_set *set;
    size_t chunk_len;   /* bytes that the wire takes at a time */
    uint32_t set_delay; /* rounds until the set is given */
    uint32_t num_turns; /* TLS_TURN of the server */
    uint32_t num_heavy; /* the most of them without an event between */
    bool client_done, server_done;
    bool client_failed, server_failed;
    uint32_t asked_set;                     /* rounds since TLS_NEED_SET */
    void (*at_server_write)(struct link *); /* before each step of the server, if not NULL */
};

static inline enum err link_open(struct link *l, struct tls_set *set, const char *name, bool ask,
                                 const struct tls_trust *trust)
{
    struct tls_client_options options = {
        .server_name = slice_of_string(name), .trust = trust, .ask_proof = ask};
    memset(l, 0, sizeof *l);
    l->set = set;
    l->chunk_len = 1 << 16;
    enum err err = tls_open_client(&l->client, &world_env, &options);
    return err != ERR_OK ? err : tls_open_server(&l->server, &world_env);
}

static inline void link_free(struct link *l)
{
    tls_free(&l->client);
    tls_free(&l->server);
}

static inline size_t link_move(struct link *l, struct tls *from, struct tls *to)
{
    struct slice bytes = tls_pending(from);
    size_t len = bytes.len < l->chunk_len ? bytes.len : l->chunk_len;
    struct slice in = slice_make(bytes.ptr, len);
    tls_feed(to, &in);
    size_t taken = len - in.len;
    if (to->phase == TLS_PHASE_FAILED) {
        taken = len;
    }
    tls_sent(from, taken);
    return taken;
}

static inline bool link_step_client(struct link *l)
{
    switch (tls_step(&l->client, &world_now)) {
    case TLS_ESTABLISHED:
        l->client_done = true;
        return true;
    case TLS_FAILED:
        l->client_failed = true;
        return false;
    case TLS_TURN:
        return true;
    default:
        return false;
    }
}

static inline bool link_step_server(struct link *l)
{
    if (l->at_server_write != NULL) {
        l->at_server_write(l);
    }
    switch (tls_step(&l->server, &world_now)) {
    case TLS_ESTABLISHED:
        l->server_done = true;
        return true;
    case TLS_FAILED:
        l->server_failed = true;
        return false;
    case TLS_NEED_SET:
        if (l->asked_set++ >= l->set_delay) {
            tls_give_set(&l->server, l->set);
        }
        return true;
    case TLS_TURN:
        l->num_turns++;
        return true;
    default:
        return false;
    }
}

/* Until both are established, or nothing moves any more. */
static inline bool link_run(struct link *l)
{
    uint32_t num_still = 0;
    for (uint32_t round = 0; round < 400000; round++) {
        bool moved = !l->client_failed && link_step_client(l);
        moved = link_move(l, &l->client, &l->server) != 0 || moved;
        moved = (!l->server_failed && link_step_server(l)) || moved;
        moved = link_move(l, &l->server, &l->client) != 0 || moved;
        bool is_over = l->client_done && l->server_done && tls_pending(&l->client).len == 0 &&
                       tls_pending(&l->server).len == 0;
        num_still = moved ? 0 : num_still + 1;
        if (is_over || num_still > 3) {
            return is_over;
        }
    }
    return false;
}

/* Sends data one way and compares what comes out. */
static inline bool link_send(struct link *l, struct tls *from, struct tls *to, struct slice data)
{
    size_t sent = 0, received = 0;
    for (uint32_t round = 0; round < 400000 && received < data.len; round++) {
        size_t taken;
        struct slice rest = slice_make(data.ptr + sent, data.len - sent);
        if (tls_write(from, rest, &taken) != ERR_OK && tls_pending(from).len == 0) {
            return false;
        }
        sent += taken;
        link_move(l, from, to);
        switch (tls_step(to, &world_now)) {
        case TLS_FAILED:
        case TLS_CLOSED:
            return false;
        default:
            break;
        }
        struct slice plain = tls_peek(to);
        if (plain.len > data.len - received ||
            (plain.len != 0 && memcmp(plain.ptr, data.ptr + received, plain.len) != 0)) {
            return false;
        }
        size_t part = plain.len > 700 ? plain.len - 300 : plain.len;
        received += part;
        tls_consume(to, part);
    }
    return received == data.len;
}

static inline bool world_proof_is(const struct tls *client, size_t len)
{
    struct slice proof = tls_client_proof(client);
    return proof.len == len && (len == 0 || memcmp(proof.ptr, world_proof(len), len) == 0);
}

static inline void link_ping(struct link *l)
{
    static const char text[] = "EHLO client.example\r\n";
    CHECK(link_send(l, &l->client, &l->server, SLICE_LITERAL(text)));
    CHECK(link_send(l, &l->server, &l->client, SLICE_LITERAL(text)));
}

/* The client's first share is of a group that the server lacks. */
static inline void world_force_hrr(void)
{
    static const uint16_t groups[] = {
        MBEDTLS_SSL_IANA_TLS_GROUP_SECP521R1, MBEDTLS_SSL_IANA_TLS_GROUP_SECP256R1,
        MBEDTLS_SSL_IANA_TLS_GROUP_SECP384R1, MBEDTLS_SSL_IANA_TLS_GROUP_NONE};
    mbedtls_ssl_conf_groups(&tls_client_settings(&world_env)->config, groups);
}

/* Our client's ClientHello without status_request, and extensions put in as the first ones. */
static inline size_t world_make_hello(uint8_t *out, struct slice extensions)
{
    struct tls client;
    struct tls_client_options options = {.server_name = SLICE_LITERAL("Mail.Example")};
    CHECK_EQ(tls_open_client(&client, &world_env, &options), ERR_OK);
    CHECK_EQ(tls_step(&client, &world_now), TLS_TURN); /* its key share */
    (void)tls_step(&client, &world_now);
    struct slice bytes = tls_pending(&client);
    memcpy(out, bytes.ptr, bytes.len);
    size_t len = bytes.len, at = 5 + 4 + 2 + 32;
    tls_free(&client);
    at += 1 + (size_t)out[at];
    at += 2 + ((size_t)out[at] << 8 | out[at + 1]);
    at += 1 + (size_t)out[at];
    memmove(out + at + 2 + extensions.len, out + at + 2, len - at - 2);
    memcpy(out + at + 2, extensions.ptr, extensions.len);
    size_t adds[] = {3, 7, at};
    for (size_t i = 0; i < 3; i++) {
        size_t value = ((size_t)out[adds[i]] << 8 | out[adds[i] + 1]) + extensions.len;
        out[adds[i]] = (uint8_t)(value >> 8);
        out[adds[i] + 1] = (uint8_t)value;
    }
    return len + extensions.len;
}

#endif

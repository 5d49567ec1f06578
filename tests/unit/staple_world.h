/* A port with files and a log in memory, and a key and certificate for each part: what the tests of
 * ocsp_staple share. */
#ifndef POSTERN_STAPLE_WORLD_H
#define POSTERN_STAPLE_WORLD_H

#include "ocsp_staple.h"
#include "tls_env.h"
#include "tls_platform.h"

#include "proof_scenarios.h"

#define NUM_FILES 20
#define EVICTED   "/spool/ocsp-evicted"

static struct {
    struct world keys;
    struct {
        const char *path;
        struct slice bytes;
        uint64_t stamp;
        enum err fails;
    } files[NUM_FILES];
    uint64_t next_stamp;
    int num_reads;
    int num_lines;
    int num_warnings;
    int num_errors;
    int num_replaced;
    bool replace_fails;
    struct staple_ledger ledger;
    char last_line[LOG_LINE_CAP];
    char lines[16][LOG_LINE_CAP]; /* the last 16 */
    struct port port;
    struct heap heap;
    struct tls_env env;
    struct tls_time now;
    struct staple staple;
    struct staple_conf conf;
    char errors[STAPLE_ERRORS_CAP];
} t;

static uint64_t heap_memory[1 << 17];
static uint8_t scratch_memory[96 * 1024];

static inline size_t find_file(const char *path)
{
    for (size_t i = 0; i < NUM_FILES; i++) {
        if (t.files[i].path != NULL && strcmp(t.files[i].path, path) == 0) {
            return i;
        }
    }
    return NUM_FILES;
}

static inline enum err read_file(void *ctx, size_t *out_len, const char *path, uint8_t *into,
                                 size_t cap)
{
    size_t i = find_file(path);
    (void)ctx;
    t.num_reads++;
    if (i == NUM_FILES || t.files[i].fails != ERR_OK) {
        return i == NUM_FILES ? ERR_ABSENT : t.files[i].fails;
    }
    if (t.files[i].bytes.len > cap) {
        return ERR_TOO_BIG;
    }
    memcpy(into, t.files[i].bytes.ptr, t.files[i].bytes.len);
    *out_len = t.files[i].bytes.len;
    return ERR_OK;
}

static inline void put(const char *path, struct slice bytes);

static inline enum err replace_file(void *ctx, const char *path, struct slice bytes)
{
    (void)ctx;
    t.num_replaced++;
    bool is_proof = find_file(path) != NUM_FILES && strstr(path, "proof") != NULL;
    if ((strcmp(path, EVICTED) != 0 && !is_proof) || t.replace_fails) {
        return ERR_IO;
    }
    put(is_proof ? t.files[find_file(path)].path : EVICTED, maker_copy(bytes));
    return ERR_OK;
}

static inline enum err stamp_file(void *ctx, struct port_stamp *out, const char *path)
{
    size_t i = find_file(path);
    (void)ctx;
    *out = (struct port_stamp){{i == NUM_FILES ? 0 : t.files[i].stamp, 0, 0, 0}};
    return i == NUM_FILES ? ERR_ABSENT : ERR_OK;
}

static inline void line(void *ctx, enum log_level level, struct slice text)
{
    (void)ctx;
    t.num_warnings += level == LOG_WARNING;
    t.num_errors += level == LOG_ERROR;
    snprintf(t.last_line, sizeof t.last_line, "%.*s", (int)text.len, (const char *)text.ptr);
    memcpy(t.lines[t.num_lines++ % 16], t.last_line, sizeof t.last_line);
    if (getenv("VERBOSE") != NULL) {
        fprintf(stderr, "  %s\n", t.last_line);
    }
}

static inline void put(const char *path, struct slice bytes)
{
    size_t i = find_file(path);
    for (size_t k = 0; i == NUM_FILES && k < NUM_FILES; k++) {
        i = t.files[k].path == NULL ? k : i;
    }
    t.files[i].path = path;
    t.files[i].bytes = bytes;
    t.files[i].stamp = ++t.next_stamp;
    t.files[i].fails = ERR_OK;
}

static inline void drop(const char *path)
{
    t.files[find_file(path)].path = NULL;
}

static inline struct slice key_pem(const struct maker_key *key)
{
    return maker_pem("EC PRIVATE KEY", maker_private(key));
}

static inline struct slice good_proof(void)
{
    struct maker_response r = world_good(&t.keys);
    return maker_proof(&r);
}

/* A proof with other dates or another status. */
static inline struct slice proof_of(const char *this_update, const char *next_update,
                                    enum maker_status status)
{
    struct maker_response r = world_good(&t.keys);
    r.singles[0].this_update = this_update;
    r.singles[0].next_update = next_update;
    r.singles[0].status = status;
    return maker_proof(&r);
}

static inline void setup(void)
{
    memset(&t, 0, sizeof t);
    static const uint8_t seed[TLS_SEED_LEN] = {1};
    CHECK(heap_open(&t.heap, heap_memory, sizeof heap_memory));
    CHECK_EQ(tls_platform_open(&t.heap, slice_make(seed, sizeof seed)), ERR_OK);
    maker_reset();
    maker_ec_key(&t.keys.issuer_key, MBEDTLS_ECP_DP_SECP256R1, 1);
    maker_ec_key(&t.keys.leaf_key, MBEDTLS_ECP_DP_SECP256R1, 2);
    maker_ec_key(&t.keys.delegate_key, MBEDTLS_ECP_DP_SECP256R1, 3);
    maker_ec_key(&t.keys.other_key, MBEDTLS_ECP_DP_SECP256R1, 4);
    world_begin(&t.keys);
    t.port.files.read = read_file;
    t.port.files.stamp = stamp_file;
    t.port.files.replace = replace_file;
    t.port.log.line = line;
    static struct tls_settings settings = {.ciphers = {.has_13 = true}};
    static struct tls_env_inside inside = {.server = &settings};
    t.env.heap = &t.heap;
    t.env.inside = &inside;
    t.now = (struct tls_time){1000, SCENARIO_NOW, true};
    t.conf = (struct staple_conf){"/chain", "/key", "/proof", NULL, OCSP_OPTIONS_DEFAULT, NULL};
    put("/chain", JOIN(maker_pem("CERTIFICATE", t.keys.leaf.whole),
                       maker_pem("CERTIFICATE", t.keys.issuer.whole)));
    put("/key", key_pem(&t.keys.leaf_key));
    put("/proof", good_proof());
}

static inline struct buf scratch(void)
{
    return buf_make(scratch_memory, sizeof scratch_memory);
}

static inline enum err open_it(void)
{
    struct buf errors = buf_make(t.errors, sizeof t.errors - 1);
    enum err err = staple_open(&t.staple, &t.port, &t.env, &t.conf, &t.now, scratch(), &errors);
    t.errors[errors.len] = 0;
    return err;
}

static inline enum err reload(void)
{
    struct buf errors = buf_make(t.errors, sizeof t.errors - 1);
    enum err err = staple_reload(&t.staple, &t.conf, &t.now, scratch(), &errors);
    t.errors[errors.len] = 0;
    return err;
}

/* A second later a connection comes. */
static inline void next_second(void)
{
    t.now.now_ms += 1000;
    staple_refresh(&t.staple, &t.now, scratch());
}

static inline enum ocsp_reason reason(void)
{
    return staple_reason(&t.staple, 0, &t.now);
}

static inline bool serves(struct slice der)
{
    const struct ocsp_verdict *v;
    struct slice held;
    return tls_set_proof(t.staple.now.set, 0, 0, &held, &v) && slice_equal(held, der) &&
           reason() == OCSP_GOOD;
}

static inline void teardown(void)
{
    staple_close(&t.staple);
    world_end(&t.keys);
    tls_platform_close();
    CHECK_EQ(t.heap.num_used, 0);
    CHECK(heap_is_sound(&t.heap));
}

static inline bool logged(const char *text)
{
    for (int i = 0; i < 16; i++) {
        if (strstr(t.lines[i], text) != NULL) {
            return true;
        }
    }
    return false;
}

/* A leaf that demands a proof. */
static inline void put_must_staple(void)
{
    struct maker_cert leaf = {"mail.example",     "Issuer",          &t.keys.leaf_key,
                              &t.keys.issuer_key, "\x8f\x10\x01",    "20260101000000Z",
                              "20270101000000Z",  .key_usage = 0x80, .must_staple = true};
    put("/chain", JOIN(maker_pem("CERTIFICATE", maker_certificate(&leaf)),
                       maker_pem("CERTIFICATE", t.keys.issuer.whole)));
}

static inline int count_of(const char *text)
{
    int num = 0;
    for (int i = 0; i < 16; i++) {
        num += strstr(t.lines[i], text) != NULL;
    }
    return num;
}

#endif

/* A set of certificates for each server name: see ocsp_staple_names.h. */
#include "ocsp_staple_names.h"

#include "ocsp_staple_files.h"

#include <mbedtls/sha256.h>

#define VARIABLE SLICE_LITERAL("$tls_in_sni")

/* --- Expansion --- */

static bool starts_with(struct slice text, struct slice begin)
{
    return text.len >= begin.len && memcmp(text.ptr, begin.ptr, begin.len) == 0;
}

static bool has_variable(const char *option)
{
    struct slice rest = slice_of_string(option != NULL ? option : "");
    for (; rest.len != 0; slice_skip(&rest, 1)) {
        if (starts_with(rest, VARIABLE)) {
            return true;
        }
    }
    return false;
}

bool staple_conf_has_name(const struct staple_conf *conf)
{
    return has_variable(conf->certificate) || has_variable(conf->privatekey) ||
           has_variable(conf->ocsp_file);
}

static bool expand(const char *option, struct slice name, char *out)
{
    struct slice rest = slice_of_string(option != NULL ? option : "");
    struct buf b = buf_make(out, STAPLE_EXPANSION_CAP);
    while (rest.len != 0) {
        bool is_variable = starts_with(rest, VARIABLE);
        buf_put(&b, is_variable ? name : slice_make(rest.ptr, 1));
        slice_skip(&rest, is_variable ? VARIABLE.len : 1);
    }
    return buf_end_string(&b) && !b.overflow;
}

bool staple_expand(const struct staple_conf *conf, struct slice name, struct staple_expansion *out,
                   struct staple_conf *out_conf)
{
    bool fits = expand(conf->certificate, name, out->certificate) &&
                expand(conf->privatekey, name, out->privatekey) &&
                expand(conf->ocsp_file, name, out->ocsp_file);
    *out_conf = *conf; /* they may be the same */
    out_conf->certificate = out->certificate;
    out_conf->privatekey = out->privatekey;
    out_conf->ocsp_file = out->ocsp_file;
    return fits;
}

/* --- Names without files --- */

static bool hash_of(struct slice name, uint8_t *out)
{
    uint8_t hash[32];
    if (mbedtls_sha256(name.ptr, name.len, hash, 0) != 0) {
        return false;
    }
    memcpy(out, hash, STAPLE_MISS_HASH_LEN);
    return true;
}

static bool is_missed(const struct staple_names *n, struct slice name, uint64_t now_ms)
{
    uint8_t hash[STAPLE_MISS_HASH_LEN];
    if (!hash_of(name, hash)) {
        return true;
    }
    for (size_t i = 0; i < STAPLE_MISSES; i++) {
        if (n->misses[i].until_ms > now_ms && memcmp(n->misses[i].hash, hash, sizeof hash) == 0) {
            return true;
        }
    }
    return false;
}

/* In the place of the one that is forgotten first. */
static void note_miss(struct staple_names *n, struct slice name, uint64_t now_ms)
{
    struct staple_miss *first = &n->misses[0];
    for (size_t i = 1; i < STAPLE_MISSES; i++) {
        if (n->misses[i].until_ms < first->until_ms) {
            first = &n->misses[i];
        }
    }
    if (hash_of(name, first->hash)) {
        first->until_ms = now_ms + STAPLE_MISS_MS;
    }
}

/* --- Sets --- */

static struct staple_name *find(struct staple_names *n, struct slice name)
{
    uint32_t cursor = 0;
    struct staple_name *item;
    while ((item = pool_each(n->pool, &cursor)) != NULL) {
        if (slice_equal(slice_make(item->name, item->name_len), name)) {
            return item;
        }
    }
    return NULL;
}

static void drop(struct staple_names *n, struct staple_name *item)
{
    staple_close(&item->staple);
    pool_give(n->pool, item);
}

/* Gives up the set that was asked for the longest ago, but not `keep`. */
static bool drop_oldest(struct staple_names *n, const struct staple_name *keep)
{
    uint32_t cursor = 0;
    struct staple_name *item, *oldest = NULL;
    while ((item = pool_each(n->pool, &cursor)) != NULL) {
        if (item != keep && (oldest == NULL || item->used_ms < oldest->used_ms)) {
            oldest = item;
        }
    }
    if (oldest != NULL) {
        drop(n, oldest);
    }
    return oldest != NULL;
}

/* That there is no certificate of that name is a client's doing; anything else is told, and no
 * reason to drop a set that works. True: it is kept. */
static bool report_failure(struct staple_names *n, const struct staple_name *item, enum err err,
                           struct slice text)
{
    bool is_unknown = err == ERR_ABSENT && starts_with(text, SLICE_LITERAL("tls_certificate "));
    bool is_kept = item->is_stale && !is_unknown;
    struct log_line line;
    log_begin(&line, "certificate");
    log_word(&line, "action", is_kept ? "old-kept" : "default-served");
    log_peer_text(&line, "sni", slice_make(item->name, item->name_len));
    log_peer_text(&line, "error", text);
    n->port->log.line(n->port->log.ctx, is_unknown ? LOG_DEBUG : LOG_ERROR, log_end(&line));
    return is_kept;
}

static enum err open_or_reload(struct staple_names *n, struct staple_name *item,
                               const struct staple_conf *conf, const struct tls_time *now,
                               struct buf scratch, struct buf *errors)
{
    if (item->is_stale) {
        return staple_reload(&item->staple, conf, now, scratch, errors);
    }
    return staple_open(&item->staple, n->port, n->env, conf, now, scratch, errors);
}

/* Loads the item's set. False: there is none, and the item is gone. */
static bool load(struct staple_names *n, struct staple_name *item, const struct tls_time *now,
                 struct buf scratch)
{
    struct staple_expansion texts;
    struct staple_conf conf;
    uint8_t bytes[STAPLE_ERRORS_CAP];
    struct buf errors = buf_make(bytes, sizeof bytes);
    struct slice name = slice_make(item->name, item->name_len);
    enum err err = ERR_TOO_BIG;
    if (staple_expand(&n->conf, name, &texts, &conf)) {
        err = open_or_reload(n, item, &conf, now, scratch, &errors);
        if (err == ERR_NO_MEMORY && drop_oldest(n, item)) {
            errors.len = 0;
            err = open_or_reload(n, item, &conf, now, scratch, &errors);
        }
    }
    if (err == ERR_OK) {
        item->is_stale = false;
        return true;
    }
    note_miss(n, name, now->now_ms);
    /* The line's end is not text. */
    if (report_failure(n, item, err, slice_make(bytes, errors.len != 0 ? errors.len - 1 : 0))) {
        return true;
    }
    drop(n, item);
    return false;
}

static struct staple_name *add(struct staple_names *n, struct slice name)
{
    if (n->pool->num_used == n->pool->num_items) {
        drop_oldest(n, NULL);
    }
    struct staple_name *item = pool_take(n->pool);
    if (item != NULL) {
        memcpy(item->name, name.ptr, name.len);
        item->name_len = (uint8_t)name.len;
    }
    return item;
}

/* Whether a set that is in use may have to go for that name: not for one that has no certificate,
 * or whoever asks for names at random could drive out all sets. */
static bool is_worth_a_place(const struct staple_names *n, struct slice name)
{
    struct staple_expansion texts;
    struct staple_conf conf;
    struct staple_files files;
    struct port_stamp stamps[STAPLE_MAX_FILES];
    uint8_t bytes[STAPLE_ERRORS_CAP];
    struct buf errors = buf_make(bytes, sizeof bytes);
    if (n->pool->num_used < n->pool->num_items) {
        return true;
    }
    if (!staple_expand(&n->conf, name, &texts, &conf) || !staple_split(&conf, &files, &errors)) {
        return false;
    }
    staple_stamp(&n->port->files, &files, stamps);
    const struct port_stamp absent = {{0}};
    for (size_t pair = 0; pair < files.num_pairs; pair++) {
        if (memcmp(&stamps[staple_index(STAPLE_CERTIFICATE, pair)], &absent, sizeof absent) == 0) {
            return false;
        }
    }
    return true;
}

/* A place for a name that is new; NULL, and that is remembered, if none is due to it. */
static struct staple_name *add_if_worth_it(struct staple_names *n, struct slice name,
                                           uint64_t now_ms)
{
    if (is_missed(n, name, now_ms)) {
        return NULL;
    }
    if (!is_worth_a_place(n, name)) {
        note_miss(n, name, now_ms);
        return NULL;
    }
    return add(n, name);
}

struct staple *staple_names_find(struct staple_names *n, struct slice name,
                                 const struct tls_time *now, struct buf scratch)
{
    if (!n->is_expanding || slice_is_empty(name) || name.len > TLS_NAME_MAX) {
        return NULL;
    }
    struct staple_name *item = find(n, name);
    bool is_loaded = item != NULL && (!item->is_stale || is_missed(n, name, now->now_ms));
    if (item == NULL) {
        item = add_if_worth_it(n, name, now->now_ms);
    }
    if (item == NULL) {
        return NULL;
    }
    item->used_ms = now->now_ms;
    if (is_loaded) {
        staple_refresh(&item->staple, now, scratch);
    } else if (!load(n, item, now, scratch)) {
        return NULL;
    }
    return &item->staple;
}

struct staple *staple_names_peek(struct staple_names *n, struct slice name)
{
    struct staple_name *item = n->is_expanding && !slice_is_empty(name) ? find(n, name) : NULL;
    return item != NULL ? &item->staple : NULL;
}

uint64_t staple_names_watch(struct staple_names *n, const struct tls_time *now, struct buf scratch)
{
    uint64_t wait_ms = UINT64_MAX;
    uint32_t cursor = 0;
    struct staple_name *item;
    while (n->pool != NULL && (item = pool_each(n->pool, &cursor)) != NULL) {
        if (!item->is_stale) {
            staple_refresh(&item->staple, now, scratch);
        }
        uint64_t ms = staple_watch(&item->staple, now);
        wait_ms = ms < wait_ms ? ms : wait_ms;
    }
    return wait_ms;
}

void staple_names_open(struct staple_names *n, const struct port *port, struct tls_env *env,
                       struct pool *pool)
{
    n->port = port;
    n->env = env;
    n->pool = pool;
}

void staple_names_use(struct staple_names *n, const struct staple_conf *conf)
{
    uint32_t cursor = 0;
    struct staple_name *item;
    n->conf = *conf;
    n->is_expanding = staple_conf_has_name(conf);
    memset(n->misses, 0, sizeof n->misses);
    if (!n->is_expanding) {
        staple_names_close(n);
        return;
    }
    while ((item = pool_each(n->pool, &cursor)) != NULL) {
        item->is_stale = true;
    }
}

void staple_names_close(struct staple_names *n)
{
    while (n->pool != NULL && drop_oldest(n, NULL)) {
    }
}

/* A spool on a simulated store, driven in virtual time, beside a model that knows what was
 * promised.
 *
 * The model's rule: what was acknowledged is found after any crash, byte for byte, until all its
 * outcomes are durable; what was answered with an error, aborted or finished never appears; nothing
 * appears twice; a recipient whose outcome was durable is never offered again. Included by the
 * tests of the spool. */
#ifndef POSTERN_SPOOL_WORLD_H
#define POSTERN_SPOOL_WORLD_H

#include "test.h"
#include "sim_store.h"
#include "spool.h"

#define WORLD_MESSAGES 6000
#define WORLD_RCPTS    320
#define WORLD_LOG      (1u << 20)

enum model_state {
    MODEL_OPEN,
    MODEL_COMMITTING, /* neither promised nor denied */
    MODEL_ACKED,
    MODEL_DEAD /* aborted, annulled, lost with the crash before it was promised, or finished */
};

struct model {
    enum model_state state;
    uint64_t txn;
    uint64_t id;
    uint32_t len;
    uint32_t appended;
    uint32_t envelope_len;
    uint32_t num_rcpts;
    uint32_t seed;
    const uint8_t *body; /* instead of what the seed gives */
    bool is_found;
    bool may_be_lost; /* touches bytes that a test has damaged */
    bool was_acked;
    uint8_t submitted[WORLD_RCPTS / 8];
    uint8_t durable[WORLD_RCPTS / 8];
    uint8_t ever[WORLD_RCPTS / 8]; /* submitted, perhaps in an earlier run */
};

struct world {
    struct sim_store *store;
    struct spool *sp;
    struct spool_conf conf;
    struct port_entropy entropy;
    struct port_log log;
    uint8_t *memory;
    size_t memory_len;
    uint64_t now_ms;
    uint64_t random;
    bool is_ready;
    bool is_asleep; /* nothing is due: nobody would call the spool again */
    enum err ready_err;
    bool is_lenient; /* damaged on purpose: may_be_lost counts, and finished messages may come back
                      */
    uint32_t num_broken; /* promises that the spool broke: checked by the test's end, or wanted by
                            the teeth */
    bool is_quiet;       /* count only */
    uint32_t num_messages;
    uint32_t num_rooms;
    uint32_t num_acks;
    struct model *messages;
    char *lines;
    size_t lines_len;
};

static inline void world_broken(struct world *w, const char *what, uint64_t id, uint64_t detail)
{
    w->num_broken++;
    if (!w->is_quiet && w->num_broken < 10) {
        fprintf(stderr, "broken promise: %s (message %llx, %llu)\n", what, (unsigned long long)id,
                (unsigned long long)detail);
    }
}

static inline uint64_t world_random(struct world *w)
{
    uint64_t z = w->random += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static inline enum err world_entropy(void *ctx, uint8_t *into, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        into[i] = (uint8_t)world_random(ctx);
    }
    return ERR_OK;
}

static inline void world_line(void *ctx, enum log_level level, struct slice text)
{
    struct world *w = ctx;
    (void)level;
    if (w->lines_len + text.len + 2 < WORLD_LOG) {
        memcpy(w->lines + w->lines_len, text.ptr, text.len);
        w->lines_len += text.len;
        w->lines[w->lines_len++] = '\n';
        w->lines[w->lines_len] = 0;
    }
}

static inline struct spool_conf world_small_conf(void)
{
    return (struct spool_conf){.segment_len = 256 * 1024,
                               .size_limit = 10 * 256 * 1024,
                               .max_messages = 400,
                               .max_txns = 40,
                               .max_unsynced = 512 * 1024};
}

static inline struct world *world_new(uint64_t seed, const struct spool_conf *conf,
                                      const struct sim_store_conf *store_conf)
{
    struct world *w = calloc(1, sizeof *w);
    struct sim_store_conf sc = {.sync_ms = 5, .create_ms = 7};
    if (store_conf != NULL) {
        sc = *store_conf;
    }
    sc.seed = sc.seed != 0 ? sc.seed : seed * 7919 + 1;
    w->random = seed;
    w->conf = *conf;
    w->store = sim_store_new(&sc);
    w->entropy = (struct port_entropy){w, world_entropy};
    w->log = (struct port_log){w, world_line};
    w->messages = calloc(WORLD_MESSAGES, sizeof *w->messages);
    w->lines = calloc(1, WORLD_LOG);
    w->memory_len = spool_memory_len(conf, sim_store_port(w->store)->write_unit_len);
    w->memory = malloc(w->memory_len);
    return w;
}

static inline void world_free(struct world *w)
{
    sim_store_free(w->store);
    free(w->messages);
    free(w->lines);
    free(w->memory);
    free(w);
}

static inline bool bit_of(const uint8_t *bits, uint32_t i)
{
    return (bits[i / 8] >> i % 8 & 1) != 0;
}

static inline void set_bit(uint8_t *bits, uint32_t i)
{
    bits[i / 8] |= (uint8_t)(1u << i % 8);
}

static inline bool all_bits(const uint8_t *bits, uint32_t num)
{
    for (uint32_t i = 0; i < num; i++) {
        if (!bit_of(bits, i)) {
            return false;
        }
    }
    return true;
}

static inline uint8_t model_byte(const struct model *m, uint32_t i)
{
    return m->body != NULL ? m->body[i] : (uint8_t)(m->seed * 131 + i * 7 + (i >> 8) * 13);
}

static inline struct model *world_find(struct world *w, uint64_t id)
{
    for (uint32_t i = w->num_messages; i-- > 0;) {
        if (w->messages[i].id == id) {
            return &w->messages[i];
        }
    }
    return NULL;
}

/* Reads the whole message in pieces of odd sizes and compares. */
static inline bool world_reads_well(struct world *w, const struct model *m)
{
    uint8_t buf[9001];
    uint32_t offset = 0;
    size_t cap = 1 + (m->id & 8191);
    size_t len;
    enum err err;
    while ((err = spool_read(w->sp, &len, m->id, offset, buf, cap)) == ERR_OK) {
        for (size_t i = 0; i < len; i++) {
            if (offset + i >= m->len || buf[i] != model_byte(m, offset + (uint32_t)i)) {
                return false;
            }
        }
        offset += (uint32_t)len;
        cap = 9001 - cap / 2;
    }
    return err == ERR_EOF && offset == m->len;
}

static inline void world_on_found(struct world *w, const struct spool_event *ev)
{
    struct model *m = world_find(w, ev->id);
    if (m == NULL) {
        world_broken(w, "found a message that nobody sent", ev->id, 0);
        return;
    }
    bool is_late = m->state == MODEL_DEAD && w->is_lenient && m->was_acked;
    if (m->state != MODEL_ACKED && m->state != MODEL_COMMITTING && !is_late) {
        world_broken(w,
                     m->was_acked ? "a finished message came back" : "a denied message came back",
                     m->id, (uint64_t)(m - w->messages));
        return;
    }
    if (m->is_found) {
        world_broken(w, "found twice", m->id, 0);
    }
    struct spool_meta meta;
    enum err err = spool_meta_of(w->sp, m->id, &meta);
    if (err != ERR_OK || meta.total_len != m->len || meta.envelope_len != m->envelope_len ||
        meta.num_rcpts != m->num_rcpts || meta.received_s != (int64_t)m->seed || meta.flags != 77) {
        world_broken(w, "found with another meta", m->id, err);
    }
    if (!world_reads_well(w, m)) {
        world_broken(w, "found with other bytes", m->id, 0);
    }
    for (uint32_t r = 0; r < m->num_rcpts; r++) {
        bool is_final = spool_is_final(w->sp, m->id, r);
        if (bit_of(m->durable, r) && !is_final && !w->is_lenient) {
            world_broken(w, "a recipient is offered again", m->id, r);
        }
        if (!bit_of(m->ever, r) && is_final) {
            world_broken(w, "a recipient is final that never was", m->id, r);
        }
        if (is_final) {
            set_bit(m->durable, r);
            set_bit(m->submitted, r);
        } else {
            m->submitted[r / 8] &= (uint8_t) ~(1u << r % 8);
            m->durable[r / 8] &= (uint8_t) ~(1u << r % 8);
        }
    }
    m->state = MODEL_ACKED;
    m->is_found = m->was_acked = true;
}

static inline void world_on_ready(struct world *w, const struct spool_event *ev)
{
    w->is_ready = true;
    w->ready_err = ev->err;
    if (ev->err != ERR_OK) {
        return;
    }
    for (uint32_t i = 0; i < w->num_messages; i++) {
        struct model *m = &w->messages[i];
        if (m->is_found || m->state == MODEL_DEAD) {
            continue;
        }
        bool is_over = all_bits(m->ever, m->num_rcpts);
        if (m->state == MODEL_ACKED && !is_over && !m->may_be_lost) {
            world_broken(w, "an acknowledged message is lost", m->id, i);
        }
        if (m->state == MODEL_ACKED) {
            m->state = MODEL_DEAD;
        } /* else it was never answered: a page that a failed sync left behind may yet bring it */
    }
}

/* Whether the spool has given up until a restart. */
static inline bool world_has_failed(struct world *w)
{
    enum err err = spool_reserve_outcome(w->sp);
    if (err == ERR_OK) {
        spool_release_outcome(w->sp);
    }
    return err == ERR_IO;
}

static inline void world_on_event(struct world *w, const struct spool_event *ev)
{
    struct model *m =
        ev->kind == SPOOL_ROOM || ev->kind == SPOOL_READY ? NULL : world_find(w, ev->id);
    switch (ev->kind) {
    case SPOOL_READY:
        world_on_ready(w, ev);
        break;
    case SPOOL_FOUND:
        world_on_found(w, ev);
        break;
    case SPOOL_COMMITTED:
        if (m == NULL || m->state != MODEL_COMMITTING) {
            world_broken(w, "an answer to nobody", ev->id, ev->txn);
            break;
        }
        m->state = ev->err == ERR_OK ? MODEL_ACKED : MODEL_DEAD;
        if (ev->err != ERR_OK && world_has_failed(w)) {
            m->state =
                MODEL_COMMITTING; /* the annul could not be written either: neither is certain */
        }
        m->was_acked = ev->err == ERR_OK;
        w->num_acks += ev->err == ERR_OK;
        break;
    case SPOOL_OUTCOME_DURABLE:
        if (m == NULL || !bit_of(m->submitted, ev->rcpt)) {
            world_broken(w, "an outcome of nobody", ev->id, ev->rcpt);
            break;
        }
        if (ev->err == ERR_OK) {
            set_bit(m->durable, ev->rcpt);
        }
        if (ev->err == ERR_OK && all_bits(m->durable, m->num_rcpts)) {
            m->state = MODEL_DEAD;
        }
        break;
    case SPOOL_ROOM:
        w->num_rooms++;
        break;
    }
}

/* One round without waiting. False once the power is off. */
static inline bool world_turn(struct world *w)
{
    struct port_event events[8];
    struct spool_event ev;
    size_t num = sim_store_poll(w->store, w->now_ms, events, 8);
    for (size_t i = 0; i < num; i++) {
        spool_done(w->sp, events[i].tag, events[i].err);
    }
    bool has_more = spool_step(w->sp, w->now_ms);
    if (sim_store_is_off(w->store)) {
        return false; /* nobody hears what it says now */
    }
    while (spool_next_event(w->sp, &ev)) {
        world_on_event(w, &ev);
    }
    w->is_asleep = false;
    if (!has_more && num == 0) {
        uint64_t next_ms = sim_store_next_ms(w->store);
        uint64_t due_ms = spool_next_deadline_ms(w->sp);
        next_ms = due_ms < next_ms ? due_ms : next_ms;
        w->is_asleep = next_ms == UINT64_MAX;
        w->now_ms = next_ms > w->now_ms && next_ms != UINT64_MAX ? next_ms : w->now_ms + 1;
    }
    return !sim_store_is_off(w->store);
}

static inline bool world_turns(struct world *w, uint32_t num)
{
    while (num-- > 0) {
        if (!world_turn(w)) {
            return false;
        }
    }
    return true;
}

/* Opens the spool on what the store has. False if the power went. */
static inline bool world_open(struct world *w)
{
    struct arena arena = {w->memory, w->memory_len, 0};
    memset(w->memory, 0, w->memory_len);
    w->is_ready = false;
    for (uint32_t i = 0; i < w->num_messages; i++) {
        w->messages[i].is_found = false;
        w->messages[i].txn = 0;
        if (w->messages[i].state == MODEL_OPEN) {
            w->messages[i].state = MODEL_DEAD;
        }
    }
    enum err err =
        spool_open(&w->sp, &w->conf, sim_store_port(w->store), &w->entropy, &w->log, &arena);
    if (err != ERR_OK) {
        if (!sim_store_is_off(w->store)) {
            world_broken(w, "does not open", 0, err);
        }
        return false;
    }
    return true;
}

/* And runs it until it is ready. */
static inline bool world_boot(struct world *w)
{
    if (!world_open(w)) {
        return false;
    }
    for (uint32_t n = 0; n < 20000 && !w->is_ready; n++) {
        if (!world_turn(w)) {
            return false;
        }
        if (w->is_asleep && !w->is_ready) {
            world_broken(w, "sleeps before it is ready", 0, 0);
        }
    }
    if (!w->is_ready) {
        world_broken(w, "never gets ready", 0, 0);
    }
    return true;
}

static inline bool world_crash_and_boot(struct world *w, enum sim_crash how)
{
    sim_store_crash(w->store, how);
    return world_boot(w);
}

/* A new transaction in the model and in the spool; NULL if begin refused. */
static inline struct model *world_begin(struct world *w, uint32_t len, uint32_t num_rcpts,
                                        bool is_declared)
{
    if (w->num_messages == WORLD_MESSAGES) {
        return NULL;
    }
    struct model *m = &w->messages[w->num_messages];
    memset(m, 0, sizeof *m);
    if (spool_begin(w->sp, &m->txn, is_declared ? len : 0) != ERR_OK) {
        return NULL;
    }
    m->id = spool_txn_id(w->sp, m->txn);
    m->len = len;
    m->num_rcpts = num_rcpts;
    m->seed = w->num_messages++;
    m->envelope_len = len < 40 ? len : 40;
    return m;
}

/* Appends up to max bytes of what is left. */
static inline enum err world_append(struct world *w, struct model *m, uint32_t max)
{
    static uint8_t piece[SPOOL_APPEND_MAX];
    uint32_t len = m->len - m->appended < max ? m->len - m->appended : max;
    for (uint32_t i = 0; i < len; i++) {
        piece[i] = model_byte(m, m->appended + i);
    }
    enum err err = spool_append(w->sp, m->txn, slice_make(piece, len));
    if (err == ERR_OK) {
        m->appended += len;
    }
    return err;
}

static inline void world_abort(struct world *w, struct model *m)
{
    spool_abort(w->sp, m->txn);
    m->state = MODEL_DEAD;
}

static inline void world_commit(struct world *w, struct model *m)
{
    struct spool_meta meta = {.envelope_len = m->envelope_len,
                              .num_rcpts = m->num_rcpts,
                              .received_s = (int64_t)m->seed,
                              .flags = 77};
    m->state = MODEL_COMMITTING;
    if (spool_commit(w->sp, m->txn, &meta) != ERR_OK) {
        world_abort(w, m);
    }
}

/* Appends until upto bytes are in, turning while the spool says ERR_AGAIN. False: refused, or the
 * power went. */
static inline bool world_fill(struct world *w, struct model *m, uint32_t upto)
{
    for (uint32_t n = 0; m->appended < upto; n++) {
        uint32_t left = upto - m->appended;
        enum err err = world_append(w, m, left < SPOOL_APPEND_MAX ? left : SPOOL_APPEND_MAX);
        if (err != ERR_OK && err != ERR_AGAIN) {
            world_abort(w, m);
            return false;
        }
        if (err == ERR_AGAIN && (n > 5000 || !world_turn(w))) {
            return false;
        }
    }
    return true;
}

/* All of a message; NULL if it was refused or the power went. */
static inline struct model *world_send(struct world *w, uint32_t len, uint32_t num_rcpts)
{
    struct model *m = world_begin(w, len, num_rcpts, true);
    if (m == NULL || !world_fill(w, m, len)) {
        return NULL;
    }
    world_commit(w, m);
    return m;
}

static inline enum err world_outcome(struct world *w, struct model *m, uint32_t rcpt)
{
    enum err err = spool_reserve_outcome(w->sp);
    if (err != ERR_OK) {
        return err;
    }
    set_bit(m->submitted, rcpt);
    set_bit(m->ever, rcpt);
    err = spool_outcome(w->sp, m->id, rcpt, 1);
    if (err != ERR_OK) {
        m->submitted[rcpt / 8] &= (uint8_t) ~(1u << rcpt % 8);
        spool_release_outcome(w->sp);
    }
    return err;
}

/* Turns until everything under way has ended. */
static inline bool world_settle(struct world *w)
{
    for (uint32_t n = 0; n < 5000 && !(n > 3 && spool_idle(w->sp)); n++) {
        if (!world_turn(w)) {
            return false;
        }
    }
    if (!spool_idle(w->sp)) {
        world_broken(w, "does not come to rest", 0, 0);
    }
    return true;
}

#define WORLD_CHECK(w) CHECK_EQ((w)->num_broken, 0)

#endif

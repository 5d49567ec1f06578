/* A random life on a small spool: messages of all sizes, outcomes, aborts, failing syncs and
 * writes, a full disk, crashes and kills, with the log going round many times. Included by the
 * tests of the spool. */
#ifndef POSTERN_SPOOL_LIFE_H
#define POSTERN_SPOOL_LIFE_H

#include "spool_world.h"

struct life {
    uint32_t num_actions;
    uint32_t max_len;
    uint32_t crash_one_in; /* actions */
    uint32_t kill_one_in;
    uint32_t fail_one_in;
    uint32_t deliver_weight; /* of 100 actions, those that record outcomes */
    uint32_t segment_len;    /* until a restart in the middle, 8 of them; 0: as ever */
};

static inline uint32_t random_below(struct world *w, uint32_t n)
{
    return (uint32_t)(world_random(w) % n);
}

static inline struct model *any_in(struct world *w, enum model_state state)
{
    uint32_t from = w->num_messages > 300 ? w->num_messages - 300 : 0;
    for (uint32_t tries = 0; tries < 30 && w->num_messages != 0; tries++) {
        struct model *m = &w->messages[from + random_below(w, w->num_messages - from)];
        if (m->state == state) {
            return m;
        }
    }
    return NULL;
}

static inline uint32_t random_len(struct world *w, uint32_t max_len)
{
    switch (random_below(w, 10)) {
    case 0:
        return random_below(w, 200);
    case 1:
        return random_below(w, max_len);
    case 2:
        return random_below(w, 70000 < max_len ? 70000 : max_len);
    default:
        return 300 + random_below(w, 9000);
    }
}

static inline void life_act(struct world *w, const struct life *life)
{
    uint32_t dice = random_below(w, 100);
    struct model *m;
    if (dice < life->deliver_weight) {
        m = any_in(w, MODEL_ACKED);
        for (uint32_t r = 0; m != NULL && r < m->num_rcpts; r++) {
            if (!bit_of(m->submitted, r) && random_below(w, 8) != 0) {
                world_outcome(w, m, r);
            }
        }
    } else if (dice < 60) {
        uint32_t num_rcpts = random_below(w, 20) == 0 ? 1 + random_below(w, WORLD_RCPTS - 1)
                                                      : 1 + random_below(w, 3);
        /* Not drawn among the arguments, in whose order compilers differ. */
        bool is_declared = random_below(w, 2) == 0;
        world_begin(w, random_len(w, life->max_len), num_rcpts, is_declared);
    } else if (dice < 95) {
        m = any_in(w, MODEL_OPEN);
        for (uint32_t n = 0; m != NULL && n < 4 && m->appended < m->len; n++) {
            enum err err = world_append(w, m, 1 + random_below(w, SPOOL_APPEND_MAX));
            if (err != ERR_OK && err != ERR_AGAIN) {
                world_abort(w, m);
                return;
            }
        }
        if (m != NULL && m->appended == m->len) {
            world_commit(w, m);
        }
    } else if (dice < 96 && (m = any_in(w, MODEL_OPEN)) != NULL) {
        world_abort(w, m);
    } else if ((m = any_in(w, MODEL_ACKED)) != NULL && !world_reads_well(w, m)) {
        world_broken(w, "a live message does not read back", m->id, 0);
    }
}

static inline bool life_misfortune(struct world *w, const struct life *life)
{
    if (life->fail_one_in != 0 && random_below(w, life->fail_one_in) == 0) {
        switch (random_below(w, 4)) {
        case 0:
            sim_store_fail_sync(w->store, 1 + random_below(w, 3), 1);
            break;
        case 1:
            sim_store_fail_write(w->store, 1 + random_below(w, 10), 1, ERR_NO_SPACE);
            break;
        case 2:
            sim_store_fail_create(w->store, 1, 1, ERR_NO_SPACE);
            break;
        default:
            sim_store_set_sync_ms(w->store, random_below(w, 20) == 0 ? 2000 : 5);
            break;
        }
    }
    if (life->crash_one_in != 0 && random_below(w, life->crash_one_in) == 0) {
        enum sim_crash how = (enum sim_crash)random_below(w, 3);
        if (random_below(w, 3) == 0) { /* once more during recovery */
            struct sim_store_counts counts;
            sim_store_crash(w->store, how);
            sim_store_counts_of(w->store, &counts);
            sim_store_set_power_off(w->store, counts.num_ops + 1 + random_below(w, 12));
            world_boot(w);
            how = (enum sim_crash)random_below(w, 3);
        }
        return world_crash_and_boot(w, how);
    }
    if (life->kill_one_in != 0 && random_below(w, life->kill_one_in) == 0) {
        sim_store_kill(w->store);
        return world_boot(w);
    }
    return true;
}

/* How many promises were broken; stops at the first. */
static inline uint32_t life_run(uint64_t seed, const struct life *life, bool is_quiet)
{
    struct spool_conf conf = world_small_conf();
    conf.size_limit = life->segment_len != 0 ? 8 * life->segment_len : conf.size_limit;
    struct world *w = world_new(seed, &conf, NULL);
    w->is_quiet = is_quiet;
    w->conf.segment_len = life->segment_len != 0 ? life->segment_len : conf.segment_len;
    bool is_up = world_boot(w);
    for (uint32_t i = 0; is_up && i < life->num_actions && w->num_broken == 0; i++) {
        if (i == life->num_actions / 3) {
            w->conf.segment_len = conf.segment_len;
        }
        life_act(w, life);
        is_up = random_below(w, 3) != 0 || world_turn(w);
        is_up = is_up && life_misfortune(w, life);
        if (is_up && (w->ready_err != ERR_OK || world_has_failed(w))) {
            sim_store_fail_sync(w->store, 0, 0); /* only a restart helps */
            sim_store_kill(w->store);
            is_up = world_boot(w);
        }
    }
    sim_store_fail_sync(w->store, 0, 0);
    sim_store_fail_write(w->store, 0, 0, ERR_OK);
    for (uint32_t i = 0; is_up && i < w->num_messages; i++) {
        if (w->messages[i].state == MODEL_OPEN) {
            world_abort(w, &w->messages[i]);
        }
    }
    if (is_up && w->num_broken == 0) {
        world_settle(w);
        world_crash_and_boot(w, SIM_CRASH_LOSE);
    }
    if (!is_up || (!is_quiet && w->num_acks < life->num_actions / 50)) {
        world_broken(w, "hardly anything was acknowledged", 0, w->num_acks);
    }
    uint32_t num_broken = w->num_broken;
    if (num_broken != 0 && !is_quiet) {
        fprintf(stderr, "seed %llu\n%s", (unsigned long long)seed, w->lines);
    }
    world_free(w);
    return num_broken;
}

#endif

/* The power goes at every write, sync, create and rename in turn, and what was not synced is lost,
 * kept or torn; also once more during the recovery. */
#include "spool_world.h"

/* A bit of everything: small, middle and large messages, several at once, aborts, outcomes, one of
 * many recipients. Stops when the power goes. */
static void scenario(struct world *w)
{
    struct model *slow = world_begin(w, 30000, 2, false);
    if (slow == NULL || !world_fill(w, slow, 9000)) {
        return;
    }
    for (uint32_t i = 0; i < 6; i++) {
        world_send(w, 500 + i * 1700, 1 + i % 3);
    }
    if (!world_turns(w, 3)) {
        return;
    }
    struct model *large = world_send(w, 90000, 1);
    struct model *aborted = world_begin(w, 9000, 1, true);
    if (large == NULL || aborted == NULL || !world_fill(w, aborted, 8000)) {
        return;
    }
    world_abort(w, aborted);
    struct model *many = world_send(w, 3000, 200);
    if (many == NULL || !world_settle(w)) {
        return;
    }
    for (uint32_t i = 1; i < 5; i++) {
        world_outcome(w, &w->messages[i], 0);
    }
    world_outcome(w, many, 199);
    if (world_fill(w, slow, 30000)) {
        world_commit(w, slow);
    }
    if (!world_settle(w)) {
        return;
    }
    world_outcome(w, large, 0);
    world_send(w, 4000, 1);
    world_settle(w);
}

static uint64_t ops_of(void (*run)(struct world *))
{
    struct spool_conf conf = world_small_conf();
    struct world *w = world_new(5, &conf, NULL);
    struct sim_store_counts counts;
    CHECK(world_boot(w));
    run(w);
    WORLD_CHECK(w);
    sim_store_counts_of(w->store, &counts);
    world_free(w);
    return counts.num_ops;
}

/* After the crash: is all there, does it go on working, is all there after another crash that loses
 * what is not synced? */
static void aftermath(struct world *w)
{
    if (!w->is_ready) {
        world_broken(w, "not ready", 0, 0);
        return;
    }
    world_send(w, 6000, 1);
    world_settle(w);
    for (uint32_t i = 0; i < w->num_messages; i++) {
        if (w->messages[i].state == MODEL_ACKED && i % 2 == 0) {
            world_outcome(w, &w->messages[i], w->messages[i].num_rcpts - 1);
        }
    }
    world_settle(w);
    world_crash_and_boot(w, SIM_CRASH_LOSE);
}

static void at_every_operation(enum sim_crash how)
{
    uint64_t num_ops = ops_of(scenario);
    CHECK(num_ops > 40);
    for (uint64_t op = 1; op <= num_ops; op += TEST_STRIDE) {
        struct spool_conf conf = world_small_conf();
        struct world *w = world_new(5, &conf, NULL);
        sim_store_set_power_off(w->store, op);
        if (world_boot(w)) {
            scenario(w);
        }
        world_crash_and_boot(w, how);
        aftermath(w);
        if (w->num_broken != 0) {
            fprintf(stderr, "power off at operation %llu, way %d\n%s", (unsigned long long)op,
                    (int)how, w->lines);
        }
        WORLD_CHECK(w);
        world_free(w);
    }
}

static void unsynced_lost(void)
{
    at_every_operation(SIM_CRASH_LOSE);
}

static void unsynced_kept(void)
{
    at_every_operation(SIM_CRASH_KEEP);
}

static void unsynced_torn(void)
{
    at_every_operation(SIM_CRASH_MIXED);
}

/* The process is killed at every operation: the machine goes on, what was not synced stays visible.
 * What the next run tells must survive a power cut that loses all that was not synced. */
static void killed(void)
{
    uint64_t num_ops = ops_of(scenario);
    for (uint64_t op = 1; op <= num_ops; op += TEST_STRIDE) {
        struct spool_conf conf = world_small_conf();
        struct world *w = world_new(5, &conf, NULL);
        sim_store_set_power_off(w->store, op);
        if (world_boot(w)) {
            scenario(w);
        }
        sim_store_kill(w->store);
        world_boot(w);
        if (op % 2 == 0) {
            world_crash_and_boot(w, SIM_CRASH_LOSE);
        }
        aftermath(w);
        if (w->num_broken != 0) {
            fprintf(stderr, "killed at operation %llu\n%s", (unsigned long long)op, w->lines);
        }
        WORLD_CHECK(w);
        world_free(w);
    }
}

/* Two power cuts: at some operations, and then at each operation of the recovery. */
static void cut_again_in_recovery(void)
{
    uint64_t num_ops = ops_of(scenario);
    for (uint64_t op = 3; op <= num_ops; op += 5) {
        for (uint64_t again = 1; again <= 25; again++) {
            struct spool_conf conf = world_small_conf();
            struct sim_store_counts counts;
            struct world *w = world_new(5, &conf, NULL);
            sim_store_set_power_off(w->store, op);
            if (world_boot(w)) {
                scenario(w);
            }
            sim_store_crash(w->store, again % 2 == 0 ? SIM_CRASH_KEEP : SIM_CRASH_MIXED);
            sim_store_counts_of(w->store, &counts);
            sim_store_set_power_off(w->store, counts.num_ops + again);
            if (world_boot(w)) {
                world_settle(w);
            }
            world_crash_and_boot(w, SIM_CRASH_MIXED);
            aftermath(w);
            if (w->num_broken != 0) {
                fprintf(stderr, "power off at operation %llu, then %llu\n%s",
                        (unsigned long long)op, (unsigned long long)again, w->lines);
            }
            WORLD_CHECK(w);
            world_free(w);
        }
    }
}

/* Each sync fails in turn, or two in a row; each write in turn. The spool answers, annuls and goes
 * on. */
static void each_operation_fails(bool is_write, uint64_t num)
{
    uint64_t num_acks = 0;
    for (uint64_t nth = 1; nth <= 40; nth++) {
        struct spool_conf conf = world_small_conf();
        struct world *w = world_new(6, &conf, NULL);
        CHECK(world_boot(w));
        if (is_write) {
            sim_store_fail_write(w->store, nth, num, ERR_NO_SPACE);
        } else {
            sim_store_fail_sync(w->store, nth, num);
        }
        scenario(w);
        world_settle(w);
        num_acks += w->num_acks;
        for (uint32_t i = 0; i < w->num_messages && num == 1; i++) {
            if (w->messages[i].state == MODEL_COMMITTING) {
                world_broken(w, "no answer", w->messages[i].id, i);
            }
        }
        world_crash_and_boot(w, nth % 2 == 0 ? SIM_CRASH_LOSE : SIM_CRASH_MIXED);
        aftermath(w);
        if (w->num_broken != 0) {
            fprintf(stderr, "failure %llu\n%s", (unsigned long long)nth, w->lines);
        }
        WORLD_CHECK(w);
        world_free(w);
    }
    CHECK(num_acks > 100);
}

static void each_sync_fails(void)
{
    each_operation_fails(false, 1);
}

static void two_syncs_fail(void)
{
    each_operation_fails(false, 2);
}

static void each_write_fails(void)
{
    each_operation_fails(true, 1);
}

/* After one failed sync mail goes on; a second in a row, on another segment, and the spool refuses
 * until a restart. */
static void failed_for_good(void)
{
    struct spool_conf conf = world_small_conf();
    struct world *w = world_new(7, &conf, NULL);
    uint64_t txn;
    CHECK(world_boot(w));
    CHECK(world_settle(w));
    struct model *m = world_send(w, 1000, 1);
    sim_store_fail_sync(w->store, 1, 1);
    CHECK(world_settle(w));
    CHECK_EQ(m->state, MODEL_DEAD);
    CHECK(world_send(w, 1000, 1) != NULL);
    CHECK(world_settle(w));
    CHECK_EQ(w->num_acks, 1);
    sim_store_fail_sync(w->store, 1, 100);
    CHECK(world_send(w, 1000, 1) != NULL);
    world_turns(w, 50);
    CHECK_EQ(spool_begin(w->sp, &txn, 0), ERR_IO);
    CHECK_EQ(spool_reserve_outcome(w->sp), ERR_IO);
    sim_store_fail_sync(w->store, 0, 0);
    sim_store_kill(w->store);
    CHECK(world_boot(w));
    CHECK(world_send(w, 1000, 1) != NULL);
    CHECK(world_settle(w));
    CHECK(w->num_acks >= 2);
    WORLD_CHECK(w);
    world_free(w);
}

/* A large message that was acknowledged, and is not proved durable after a kill, is copied by the
 * recovery. Each sync of that fails in turn, that of the copy's own segment too. */
static void copy_of_large_fails(void)
{
    for (uint64_t nth = 1; nth <= 16; nth++) {
        struct spool_conf conf = world_small_conf();
        struct world *w = world_new(9, &conf, NULL);
        CHECK(world_boot(w));
        struct model *m = world_send(w, 300000, 1);
        CHECK(world_settle(w));
        CHECK_EQ(m->state, MODEL_ACKED);
        sim_store_kill(w->store);
        sim_store_fail_sync(w->store, nth, 1);
        CHECK(world_boot(w));
        sim_store_fail_sync(w->store, 0, 0);
        world_settle(w);
        world_crash_and_boot(w, SIM_CRASH_LOSE);
        aftermath(w);
        if (w->num_broken != 0) {
            fprintf(stderr, "failure %llu\n%s", (unsigned long long)nth, w->lines);
        }
        WORLD_CHECK(w);
        world_free(w);
    }
}

/* No space to create segments: what there is goes on being used, and the refusal is an answer, not
 * a stall. */
static void disk_full(void)
{
    struct spool_conf conf = world_small_conf();
    struct world *w = world_new(8, &conf, NULL);
    sim_store_set_capacity(w->store, 6 * conf.segment_len);
    CHECK(world_boot(w));
    uint32_t num_refused = 0;
    for (uint32_t i = 0; i < 400; i++) {
        struct model *m = world_send(w, 9000, 1);
        world_turns(w, 3);
        num_refused += m == NULL;
        for (uint32_t k = 0; k < w->num_messages && i % 100 > 80; k++) {
            if (w->messages[k].state == MODEL_ACKED && w->messages[k].submitted[0] == 0) {
                world_outcome(w, &w->messages[k], 0);
            }
        }
    }
    CHECK(num_refused > 0);
    CHECK(w->num_acks > 50);
    CHECK(world_settle(w));
    struct sim_store_counts counts;
    sim_store_counts_of(w->store, &counts);
    CHECK(counts.num_create_faults > 0);
    CHECK_EQ(sim_store_num_strays(w->store), 0);
    CHECK(world_crash_and_boot(w, SIM_CRASH_LOSE));
    WORLD_CHECK(w);
    world_free(w);
}

static const struct test_case cases[] = {
    {"unsynced_lost", unsynced_lost},
    {"unsynced_kept", unsynced_kept},
    {"unsynced_torn", unsynced_torn},
    {"killed", killed},
    {"cut_again_in_recovery", cut_again_in_recovery},
    {"each_sync_fails", each_sync_fails},
    {"two_syncs_fail", two_syncs_fail},
    {"each_write_fails", each_write_fails},
    {"failed_for_good", failed_for_good},
    {"copy_of_large_fails", copy_of_large_fails},
    {"disk_full", disk_full},
};

TEST_MAIN(cases)

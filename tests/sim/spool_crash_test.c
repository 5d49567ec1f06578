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
    for (uint64_t op = 1; op <= num_ops; op++) {
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

static const struct test_case cases[] = {
    {"unsynced_lost", unsynced_lost},
    {"unsynced_kept", unsynced_kept},
    {"unsynced_torn", unsynced_torn},
};

TEST_MAIN(cases)

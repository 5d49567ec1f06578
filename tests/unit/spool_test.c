/* The spool without crashes: the contract of spool.h, call by call. */
#include "../sim/spool_world.h"

static struct world *ready_world(uint64_t seed)
{
    struct spool_conf conf = world_small_conf();
    conf.size_limit = 16 * conf.segment_len;
    struct world *w = world_new(seed, &conf, NULL);
    CHECK(world_boot(w));
    CHECK_EQ(w->ready_err, ERR_OK);
    return w;
}

static void sizes_from_none_to_large(void)
{
    struct world *w = ready_world(1);
    static const uint32_t sizes[] = {0,    1,     4051,  4052,  4053,  8104,  20000,
                                     65535, 65536, 65537, 70000, 250000, 300000};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct model *m = world_send(w, sizes[i], 1);
        CHECK(m != NULL);
        if (m == NULL) {
            break;
        }
        CHECK(world_settle(w));
        CHECK_EQ(m->state, MODEL_ACKED);
        CHECK(world_reads_well(w, m));
        if (sizes[i] > 100000) {
            CHECK_EQ(world_outcome(w, m, 0), ERR_OK);
            CHECK(world_settle(w));
        }
    }
    sim_store_crash(w->store, SIM_CRASH_LOSE);
    CHECK(world_boot(w));
    WORLD_CHECK(w);
    world_free(w);
}

static const struct test_case cases[] = {
    {"sizes_from_none_to_large", sizes_from_none_to_large},
};

TEST_MAIN(cases)

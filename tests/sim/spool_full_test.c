/* An index that is full, of living or of dead commits: the spool goes on taking what fits, refuses
 * what does not, and comes to rest. */
#include "spool_world.h"

#include "test.h"

static struct spool_conf small_index(uint32_t max_messages)
{
    struct spool_conf conf = world_small_conf();
    conf.max_messages = max_messages;
    return conf;
}

/* Nothing is written any more, for a long time. */
static void check_rest(struct world *w)
{
    struct spool_stats before, after;
    CHECK(world_settle(w));
    world_turns(w, 5000);
    spool_stats_of(w->sp, &before);
    world_turns(w, 5000);
    spool_stats_of(w->sp, &after);
    CHECK_EQ(after.written_len, before.written_len);
}

/* Messages that take two entries each. The log went round and round, for nothing of it was dead,
 * and the last of them was never answered. */
static void many_recipients(void)
{
    enum { NUM = 90 };
    struct spool_conf conf = small_index(100);
    struct world *w = world_new(1, &conf, NULL);
    CHECK(world_boot(w));
    for (uint32_t i = 0; i < NUM; i++) {
        (void)world_send(w, 8000, WORLD_RCPTS);
        CHECK(world_settle(w));
    }
    uint32_t num_acked = w->num_acks;
    CHECK_EQ(num_acked, (2 * 100 + 40) / 8 * 5 / 2);
    check_rest(w);
    for (uint32_t r = 0; r < WORLD_RCPTS; r++) {
        CHECK_EQ(world_outcome(w, &w->messages[0], r), ERR_OK);
        CHECK(world_settle(w));
    }
    (void)world_send(w, 8000, WORLD_RCPTS);
    CHECK(world_settle(w));
    CHECK_EQ(w->num_acks, num_acked + 1);
    check_rest(w);
    /* The same with more than a smaller configuration would have taken. */
    w->conf.max_messages = 75;
    sim_store_kill(w->store);
    CHECK(world_boot(w));
    CHECK_EQ(w->ready_err, ERR_OK);
    check_rest(w);
    WORLD_CHECK(w);
    world_free(w);
}

/* Small messages that are over, all in the head: it never came to be the tail, and no more mail was
 * taken. */
static void many_in_a_page(void)
{
    enum { NUM = 30 };
    struct spool_conf conf = small_index(60);
    struct world *w = world_new(1, &conf, NULL);
    struct model *m[NUM];
    CHECK(world_boot(w));
    for (uint32_t round = 0; round < 30; round++) {
        for (uint32_t i = 0; i < NUM; i++) {
            m[i] = world_send(w, 100, 1);
            CHECK(m[i] != NULL);
        }
        CHECK(world_settle(w));
        for (uint32_t i = 0; i < NUM && m[i] != NULL; i++) {
            CHECK_EQ(world_outcome(w, m[i], 0), ERR_OK);
        }
        CHECK(world_settle(w));
    }
    CHECK_EQ(w->num_acks, 30 * NUM);
    check_rest(w);
    WORLD_CHECK(w);
    world_free(w);
}

static const struct test_case cases[] = {
    {"many_recipients", many_recipients},
    {"many_in_a_page", many_in_a_page},
};

TEST_MAIN(cases)

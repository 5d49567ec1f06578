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

enum { NUM_LARGE = 20 };

/* After a restart, with segments of delivered large messages to use again. */
static struct world *after_large(void)
{
    struct spool_conf conf = small_index(60);
    conf.size_limit = 40 * conf.segment_len;
    struct world *w = world_new(1, &conf, NULL);
    struct model *m[NUM_LARGE];
    CHECK(world_boot(w));
    for (uint32_t i = 0; i < NUM_LARGE; i++) {
        m[i] = world_send(w, 200000, 1);
        CHECK(m[i] != NULL);
        CHECK(world_settle(w));
    }
    for (uint32_t i = 0; i < NUM_LARGE && m[i] != NULL; i++) {
        CHECK_EQ(world_outcome(w, m[i], 0), ERR_OK);
        CHECK(world_settle(w));
    }
    sim_store_kill(w->store);
    CHECK(world_boot(w));
    return w;
}

/* No segment was created, as there were enough, and so nothing of the log was recycled. Its dead
 * commits filled the index, and the next message was never answered. */
static void many_after_large(void)
{
    enum { NUM = 30 };
    struct world *w = after_large();
    struct model *m[NUM];
    uint32_t num_before = w->num_acks;
    for (uint32_t round = 0; round < 30 && w->num_acks == num_before + round * NUM; round++) {
        for (uint32_t i = 0; i < NUM; i++) {
            m[i] = world_send(w, 100, 1);
            CHECK(m[i] != NULL);
        }
        CHECK(world_settle(w));
        for (uint32_t i = 0; i < NUM && m[i] != NULL && m[i]->state == MODEL_ACKED; i++) {
            CHECK_EQ(world_outcome(w, m[i], 0), ERR_OK);
        }
        CHECK(world_settle(w));
    }
    CHECK_EQ(w->num_acks, num_before + 30 * NUM);
    check_rest(w);
    WORLD_CHECK(w);
    world_free(w);
}

/* As before, and none can be created: what the index has no room for is refused, not left waiting;
 * and taken again when one can. */
static void none_created_after_large(void)
{
    enum { NUM = 300 };
    struct world *w = after_large();
    struct model *m = NULL;
    struct spool_stats stats;
    uint32_t num_before = w->num_acks;
    sim_store_fail_create(w->store, 1, 1000, ERR_NO_SPACE);
    for (uint32_t i = 0; i < NUM && w->num_acks == num_before + i; i++) {
        m = world_send(w, 100, 1);
        CHECK(m != NULL);
        CHECK(world_settle(w));
        if (m != NULL && m->state == MODEL_ACKED) {
            CHECK_EQ(world_outcome(w, m, 0), ERR_OK);
            CHECK(world_settle(w));
        }
    }
    spool_stats_of(w->sp, &stats);
    CHECK_EQ(stats.num_annulled, 1);
    CHECK(w->num_acks - num_before >= 100 && w->num_acks - num_before < NUM);
    const char *told = strstr(w->lines, "segment=not-created");
    CHECK(told != NULL && strstr(told + 1, "segment=not-created") == NULL); /* once */
    sim_store_fail_create(w->store, 0, 0, ERR_OK);
    world_turns(w, 20000);
    num_before = w->num_acks;
    (void)world_send(w, 100, 1);
    CHECK(world_settle(w));
    CHECK_EQ(w->num_acks, num_before + 1);
    WORLD_CHECK(w);
    world_free(w);
}

/* Killed at any time, and the file system has no more names to give (inodes, a quota): what the
 * last run left unproved was never written again, though there was a segment for it, as each new
 * failure put that off. */
static void recovery_without_creates(void)
{
    for (uint32_t at = 1; at < 40; at++) {
        struct spool_conf conf = small_index(400);
        struct world *w = world_new(at, &conf, NULL);
        CHECK(world_boot(w));
        for (uint32_t n = 0; n < at; n++) {
            (void)world_send(w, 3000, 1);
            CHECK(world_turn(w));
        }
        sim_store_kill(w->store);
        sim_store_fail_create(w->store, 1, 1000000, ERR_NO_HANDLE);
        (void)world_boot(w);
        CHECK(w->is_ready);
        bool is_ready = w->is_ready;
        if (is_ready && w->ready_err == ERR_OK) {
            WORLD_CHECK(w);
        }
        world_free(w);
        if (!is_ready) {
            break;
        }
    }
}

/* A spool that had grown is given less: of so many files too many no create was begun, and without
 * one nothing of the log was ever recycled. It takes mail, and shrinks. */
static void smaller_than_it_was(void)
{
    enum { WAS_SEGS = 60, IS_SEGS = 10, NUM = 60 };
    for (size_t num_files = IS_SEGS; num_files < IS_SEGS + 16; num_files += 3) {
        struct spool_conf conf = small_index(2000);
        conf.size_limit = WAS_SEGS * conf.segment_len;
        struct world *w = world_new(1, &conf, NULL);
        CHECK(world_boot(w));
        while (sim_store_num_segments(w->store) < num_files) {
            CHECK(world_send(w, 60000, 1) != NULL);
            CHECK(world_settle(w));
        }
        w->conf.size_limit = IS_SEGS * conf.segment_len;
        CHECK(world_crash_and_boot(w, SIM_CRASH_LOSE));
        for (uint32_t round = 0, at = 0; round < 4; round++) {
            for (; at < w->num_messages; at++) {
                CHECK_EQ(world_outcome(w, &w->messages[at], 0), ERR_OK);
                CHECK(world_settle(w));
            }
            uint32_t num_before = w->num_acks;
            for (uint32_t i = 0; i < NUM && w->num_acks == num_before + i; i++) {
                (void)world_send(w, 9000, 1);
                CHECK(world_settle(w));
                world_turns(w, 50);
            }
            CHECK_EQ(w->num_acks, num_before + NUM);
        }
        CHECK_EQ(sim_store_num_segments(w->store), IS_SEGS);
        CHECK(world_crash_and_boot(w, SIM_CRASH_LOSE));
        WORLD_CHECK(w);
        world_free(w);
    }
}

/* No segment can be made, and the last one has failed: it cannot be emptied either. What waits to
 * be written is refused; it was never answered. */
static void none_left_to_empty_into(void)
{
    for (uint32_t at = 1; at < 60; at++) {
        struct spool_conf conf = small_index(400);
        struct world *w = world_new(at, &conf, NULL);
        CHECK(world_boot(w));
        CHECK(world_send(w, 9000, 1) != NULL);
        CHECK(world_settle(w));
        sim_store_set_capacity(w->store, 1);
        for (uint32_t n = 0; n < at; n++) {
            (void)world_send(w, 9000, 1);
            CHECK(world_settle(w));
            w->now_ms += 6000;
            CHECK(world_turn(w));
        }
        CHECK_EQ(world_outcome(w, &w->messages[0], 0), ERR_OK);
        sim_store_fail_sync(w->store, 1, 1);
        world_turns(w, 100);
        struct model *m = world_send(w, 100, 1);
        world_turns(w, 1000);
        CHECK(m == NULL || m->state != MODEL_COMMITTING);
        sim_store_set_capacity(w->store, 0);
        w->now_ms += 6000;
        CHECK(world_settle(w));
        CHECK(world_crash_and_boot(w, SIM_CRASH_LOSE));
        WORLD_CHECK(w);
        world_free(w);
    }
}

/* An outcome for which the log has no room keeps others from starting, as a restart would forget
 * them all and send the mail again; once it is written they start. */
static void nothing_starts_unrecorded(void)
{
    enum { NUM = 20 };
    struct spool_conf conf = small_index(400);
    struct world *w = world_new(1, &conf, NULL);
    CHECK(world_boot(w));
    struct model *m = world_send(w, 100, NUM);
    CHECK(world_settle(w));
    sim_store_set_capacity(w->store, 1);
    uint32_t num = 0;
    enum err err = ERR_OK;
    while (num < NUM && (err = world_outcome(w, m, num)) == ERR_OK) {
        num++;
        sim_store_fail_sync(w->store, 1, 1); /* the head is no more, and soon there is no other */
        world_turns(w, 200);
    }
    CHECK_EQ(err, ERR_BUSY);
    CHECK(num > 0 && !spool_has_failed(w->sp));
    sim_store_set_capacity(w->store, 0);
    w->now_ms += 6000;
    CHECK(world_settle(w));
    CHECK_EQ(world_outcome(w, m, num), ERR_OK);
    CHECK(world_settle(w));
    CHECK(world_crash_and_boot(w, SIM_CRASH_LOSE));
    WORLD_CHECK(w);
    world_free(w);
}

static uint64_t len_of_files(const struct world *w)
{
    uint64_t sum = 0, len;
    uint8_t *bytes;
    for (size_t i = 0; i < sim_store_num_segments(w->store); i++) {
        (void)sim_store_segment(w->store, i, &bytes, &len);
        sum += len;
    }
    return sum;
}

/* Sends large messages for as long as there is room; how many. */
static uint32_t fill_with_large(struct world *w)
{
    uint32_t num_before = w->num_acks, num = UINT32_MAX;
    while (num != w->num_acks) {
        num = w->num_acks;
        (void)world_send(w, 200000, 1);
        CHECK(world_settle(w));
        CHECK(len_of_files(w) <= w->conf.size_limit + w->conf.segment_len);
    }
    return num - num_before;
}

/* A full spool of long segments is opened with shorter ones, on a disk that has just room for it.
 * It keeps what it has, grows beyond its size by one of them at most; and more large messages have
 * room. */
static void shorter_segments(void)
{
    struct spool_conf conf = small_index(1000), shorter = conf;
    conf.segment_len = 1u << 20;
    conf.size_limit = shorter.size_limit = 16u << 20;
    struct world *w = world_new(1, &conf, NULL);
    free(w->memory);
    w->memory_len = spool_memory_len(&shorter, 4096);
    w->memory = malloc(w->memory_len);
    CHECK(world_boot(w));
    uint32_t num = fill_with_large(w);
    CHECK(num >= 7 && num <= 10);
    sim_store_kill(w->store);
    w->conf = shorter;
    CHECK(world_boot(w));
    CHECK(w->is_ready && w->ready_err == ERR_OK);
    for (uint32_t i = 0; i < 2000; i++) {
        struct model *m = world_send(w, 9000, 1);
        CHECK(world_settle(w));
        CHECK(m != NULL && (i % 40 == 0 || world_outcome(w, m, 0) == ERR_OK));
        CHECK(world_settle(w));
        CHECK(len_of_files(w) <= conf.size_limit + shorter.segment_len);
    }
    for (uint32_t i = 0; i < num; i++) {
        CHECK_EQ(w->messages[i].state, MODEL_ACKED);
        CHECK_EQ(world_outcome(w, &w->messages[i], 0), ERR_OK);
        CHECK(world_settle(w));
        CHECK(world_send(w, 3000, 1) != NULL);
        CHECK(world_settle(w));
        CHECK(len_of_files(w) <= conf.size_limit + shorter.segment_len);
    }
    CHECK(fill_with_large(w) >= 40);
    sim_store_kill(w->store);
    CHECK(world_boot(w));
    WORLD_CHECK(w);
    world_free(w);
}

static const struct test_case cases[] = {
    {"many_recipients", many_recipients},
    {"many_in_a_page", many_in_a_page},
    {"many_after_large", many_after_large},
    {"none_created_after_large", none_created_after_large},
    {"recovery_without_creates", recovery_without_creates},
    {"smaller_than_it_was", smaller_than_it_was},
    {"shorter_segments", shorter_segments},
    {"none_left_to_empty_into", none_left_to_empty_into},
    {"nothing_starts_unrecorded", nothing_starts_unrecorded},
};

TEST_MAIN(cases)

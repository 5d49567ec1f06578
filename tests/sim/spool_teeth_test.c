/* Every law of SPOOL.md broken on purpose once: the same runs that pass with the laws must notice
 * when one is missing.
 *
 * All of the spool is in this translation unit, built with the switches that break it
 * (core/teeth.h); the test build TEETH=1 has them everywhere, and runs the cases with one of them
 * turned. */
#include <stdbool.h>

#ifdef POSTERN_TEETH
#include "teeth.h"
#else
#define POSTERN_TEETH
#define IS_ALONE
#include "teeth.h"
enum tooth teeth_broken;
#include "../../core/spool_record.c"
#define record_begin log_record_begin
#include "../../core/spool_write.c"
#undef record_begin
#include "../../core/spool_index.c"
#define entry_at compact_entry_at
#include "../../core/spool_compact.c"
#undef entry_at
#include "../../core/spool_segment.c"
#include "../../core/spool_txn.c"
#define each each_outcome
#include "../../core/spool_outcome.c"
#undef each
#include "../../core/spool_read.c"
#include "../../core/spool_recover.c"
#include "../../core/spool.c"
#endif

#include "spool_life.h"

/* Says only how many promises were broken, not which. */
static bool is_quiet;

static uint32_t crash_lives(void)
{
    uint32_t num = 0;
    for (uint64_t seed = 100; seed < 108 && num == 0; seed++) {
        num += life_run(seed, &(struct life){2000, 60000, 60, 200, 0, 35, 0}, is_quiet);
    }
    return num;
}

static uint32_t failing_lives(void)
{
    uint32_t num = 0;
    for (uint64_t seed = 210; seed < 234 && num == 0; seed++) {
        num += life_run(seed, &(struct life){2000, 60000, 150, 300, 30, 35, 0}, is_quiet);
    }
    return num;
}

/* Mail that nobody delivers until the spool refuses it; then everything must still be deliverable,
 * and there is room again. */
static uint32_t filled_up(void)
{
    struct spool_conf conf = world_small_conf();
    conf.size_limit = 8 * conf.segment_len;
    conf.max_messages = 2000;
    struct world *w = world_new(9, &conf, NULL);
    w->is_quiet = is_quiet;
    world_boot(w);
    for (uint32_t i = 0; i < 700; i++) {
        if (world_send(w, 3000 + i % 5 * 1000, 1) == NULL) {
            break;
        }
        world_turns(w, 2);
    }
    world_turns(w, 300);
    for (uint32_t turns = 0; turns < 3000; turns++) {
        for (uint32_t i = 0; i < w->num_messages; i++) {
            if (w->messages[i].state == MODEL_ACKED && w->messages[i].submitted[0] == 0) {
                world_outcome(w, &w->messages[i], 0);
            }
        }
        world_turn(w);
    }
    uint32_t num_left = 0;
    for (uint32_t i = 0; i < w->num_messages; i++) {
        num_left += w->messages[i].state == MODEL_ACKED;
    }
    struct model *m = world_send(w, 20000, 1);
    world_turns(w, 200);
    num_left += m == NULL || m->state != MODEL_ACKED;
    world_free(w);
    return num_left;
}

/* The log goes round; at the end old generations lie behind the new ones everywhere. */
static uint32_t round_and_round(void)
{
    struct spool_conf conf = world_small_conf();
    struct world *w = world_new(13, &conf, NULL);
    struct spool_stats stats = {0};
    w->is_quiet = is_quiet;
    world_boot(w);
    uint32_t num_delivered = 0;
    for (uint32_t n = 0; n < 200 && stats.num_recycled < 40; n++) {
        uint32_t num_before = w->num_messages;
        world_send(w, 80000 + n % 2 * 100000,
                   1); /* takes segments out of the row, and gives them back elsewhere */
        for (uint32_t i = 0; i < 25; i++) {
            world_send(w, 5000, 1);
            world_turns(w, 1);
        }
        world_settle(w);
        while (num_delivered < num_before) {
            world_outcome(w, &w->messages[num_delivered++], 0);
            world_turn(w);
        }
        spool_stats_of(w->sp, &stats);
    }
    world_settle(w);
    if (stats.num_recycled < 40) {
        world_broken(w, "the log did not go round", 0, stats.num_recycled);
    }
    world_crash_and_boot(w, SIM_CRASH_LOSE);
    uint32_t num = w->num_broken;
    world_free(w);
    return num;
}

/* A large upload that takes as long as the log needs to go round several times. */
static uint32_t slow_upload(void)
{
    struct spool_conf conf = world_small_conf();
    struct world *w = world_new(11, &conf, NULL);
    struct spool_stats stats;
    world_boot(w);
    struct model *slow = world_begin(w, 500000, 1, true);
    for (uint32_t i = 0; slow != NULL && i < 1500; i++) {
        if (i < 10) {
            world_fill(w, slow, slow->appended + 30000);
        }
        struct model *m = world_send(w, 5000, 1);
        world_settle(w);
        if (m != NULL && m->state == MODEL_ACKED) {
            world_outcome(w, m, 0);
        }
    }
    spool_stats_of(w->sp, &stats);
    bool is_bounded = slow != NULL && stats.num_recycled > 15 && stats.copied_len < 200000;
    world_free(w);
    return is_bounded ? 0 : 1;
}

static void crash(void)
{
    CHECK_EQ(crash_lives(), 0);
}

static void failing_disk(void)
{
    CHECK_EQ(failing_lives(), 0);
}

static void full(void)
{
    CHECK_EQ(filled_up(), 0);
}

static void round_the_log(void)
{
    CHECK_EQ(round_and_round(), 0);
}

static void slow(void)
{
    CHECK_EQ(slow_upload(), 0);
}

#ifdef IS_ALONE
static const struct {
    enum tooth tooth;
    const char *law;
    uint32_t (*notices)(void);
} teeth[] = {
    {TOOTH_PAGE_REWRITTEN, "1: a synced unit is written again", crash_lives},
    {TOOTH_NONCE_IGNORED, "2: neither nonce nor generation count", failing_lives},
    {TOOTH_READ_BELIEVED, "3: recovery believes what it reads", crash_lives},
    {TOOTH_SYNC_TRIED_AGAIN, "4: a failed sync is tried again", failing_lives},
    {TOOTH_ANNUL_SKIPPED, "4: the failed batch is not annulled", failing_lives},
    {TOOTH_RECYCLED_OUT_OF_ORDER, "5: any dead segment is recycled", crash_lives},
    {TOOTH_COPY_UNSYNCED, "5: recycled before the copies are durable", crash_lives},
    {TOOTH_RESERVE_TAKEN, "6: mail takes the reserve", filled_up},
    {TOOTH_LARGE_IN_LOG, "7: large messages live in the log", slow_upload},
    {TOOTH_WRITE_ERROR_IGNORED, "8: a write cannot fail", failing_lives},
    {TOOTH_OUTCOME_EARLY, "9: an outcome is told before it is durable", crash_lives},
};

static void each_law_broken(void)
{
    is_quiet = true;
    for (size_t i = 0; i < sizeof teeth / sizeof teeth[0]; i++) {
        teeth_broken = teeth[i].tooth;
        if (teeth[i].notices() == 0) {
            test_failed_checks++;
            fprintf(stderr, "not noticed: law %s\n", teeth[i].law);
        }
    }
    teeth_broken = TOOTH_NONE;
}
#endif

static const struct test_case cases[] = {
    {"crash", crash},
    {"failing_disk", failing_disk},
    {"full", full},
    {"round_the_log", round_the_log},
    {"slow", slow},
#ifdef IS_ALONE
    {"each_law_broken", each_law_broken},
#endif
};

TEST_MAIN(cases)

/* Long random lives: see spool_life.h. SPOOL_SEEDS=from-to runs others than the usual. */
#include "spool_life.h"

static void live(uint64_t from, uint64_t to, const struct life *life)
{
    const char *other = getenv("SPOOL_SEEDS");
    if (other != NULL) {
        char *end;
        from = strtoull(other, &end, 10);
        to = *end == '-' ? strtoull(end + 1, NULL, 10) : from;
    }
    for (uint64_t seed = from; seed <= to; seed += TEST_STRIDE) {
        CHECK_EQ(life_run(seed, life, false), 0);
    }
}

static void without_misfortune(void)
{
    live(1, 4, &(struct life){8000, 200000, 0, 0, 0, 40, 0});
}

static void with_crashes(void)
{
    live(100, 120, &(struct life){4000, 150000, 150, 300, 0, 35, 0});
}

static void with_failing_syncs(void)
{
    live(200, 220, &(struct life){4000, 150000, 200, 300, 100, 35, 0});
}

static void with_many_failures(void)
{
    live(254, 264, &(struct life){3000, 60000, 150, 300, 30, 35, 0});
}

static void nearly_full(void)
{
    live(300, 310, &(struct life){3000, 100000, 200, 400, 300, 8, 0});
}

/* The log's last segment fails behind the head's first page, which says that it was durable; then a
 * kill, and a power cut. */
static void seal_of_one_that_fails(void)
{
    live(1057, 1057, &(struct life){4000, 150000, 150, 300, 60, 20, 0});
}

/* A segment begins anew; the power goes before its second head is written. Later it begins anew
 * again, and the power goes while its first head is. */
static void first_head_torn_later(void)
{
    live(2095, 2095, &(struct life){4000, 150000, 150, 300, 25, 30, 0});
}

/* A copy knows of an outcome that stands nowhere else, its message ends, and its segment fails;
 * an older commit of the message is still there. */
static void copy_that_knew_most_fails(void)
{
    live(2406, 2406, &(struct life){4000, 150000, 150, 300, 25, 30, 0});
}

/* So many restarts, and so many creates that fail, that the log has no segment left to go on in. */
static void nowhere_to_go_on(void)
{
    live(1037, 1037, &(struct life){4000, 150000, 150, 300, 60, 20, 0});
}

/* A recovery writes a large message again, and the segment that it writes to fails: nothing was
 * under way then, nobody called any more, and it never got ready. */
static void copy_that_fails_in_recovery(void)
{
    live(70157, 70157, &(struct life){3000, 100000, 200, 400, 300, 8, 0});
    live(70013, 70013, &(struct life){4000, 150000, 150, 300, 60, 20, 0});
}

/* Begun with longer segments, which wear out one by one. */
static void with_long_segments(void)
{
    const uint32_t len = 1u << 20;
    live(400, 402, &(struct life){4000, 150000, 150, 300, 0, 30, len});
    live(403, 405, &(struct life){4000, 150000, 150, 300, 60, 20, len / 2});
    /* Messages that fill more of one than a shorter one has. */
    live(900309, 900315, &(struct life){2500, 300000, 300, 80, 25, 45, len / 2});
}

static const struct test_case cases[] = {
    {"without_misfortune", without_misfortune},
    {"with_crashes", with_crashes},
    {"with_failing_syncs", with_failing_syncs},
    {"with_many_failures", with_many_failures},
    {"nearly_full", nearly_full},
    {"seal_of_one_that_fails", seal_of_one_that_fails},
    {"first_head_torn_later", first_head_torn_later},
    {"copy_that_knew_most_fails", copy_that_knew_most_fails},
    {"nowhere_to_go_on", nowhere_to_go_on},
    {"copy_that_fails_in_recovery", copy_that_fails_in_recovery},
    {"with_long_segments", with_long_segments},
};

TEST_MAIN(cases)

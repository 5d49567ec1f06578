/* Whole sites with faults, out of seeds: see site.h.
 *
 * Without arguments: the old failures by name, then SITE_SEEDS seeds (300; fewer under sanitizers),
 * and some of them twice. --seeds n and --first s run others; --trace says all that happens;
 * --table shows what was injected. */
#include "site.h"

#include "posix_sanitized.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#ifdef POSIX_SANITIZED
#define SITE_SEEDS 40
#else
#define SITE_SEEDS 300
#endif
#define REPLAY_EVERY 25

static const char *const check_names[NUM_SITE_CHECKS] = {
#define SITE_CHECK(symbol, name, what) name,
#include "site_check.def"
#undef SITE_CHECK
};

static const char *const fault_names[NUM_SITE_FAULTS] = {
#define SITE_FAULT(symbol, what) what,
#include "site_fault.def"
#undef SITE_FAULT
};

/* What once failed, and was mended: the name says what it was. */
static const struct {
    const char *name;
    uint64_t seed;
} regressions[] = {
    {"compaction-spins-without-entropy", 601},       {"results-that-wait-for-the-disk-spin", 1164},
    {"recovery-reads-the-disk-in-one-step", 2030},   {"outcome-on-a-page-that-is-not-read", 2685},
    {"found-but-not-read-just-then", 40108},         {"denied-by-a-failed-disk-and-back", 8318},
    {"reply-that-no-memory-is-left-for", 5827},      {"unknown-once-more-is-not-noted", 777017},
    {"woken-while-no-segment-is-recycled", 7701285}, {"reserved-while-others-start", 9200340},
    {"sent-while-the-log-has-no-room", 7700170},
};

static struct site_result sums;
static uint32_t num_passed, num_failed;

static void add_up(const struct site_result *r)
{
    for (size_t i = 0; i < NUM_SITE_FAULTS; i++) {
        sums.faults[i] += r->faults[i];
    }
    sums.num_steps += r->num_steps;
    sums.num_messages += r->num_messages;
    sums.num_copies += r->num_copies;
    sums.num_reports += r->num_reports;
    sums.num_twice += r->num_twice;
    sums.num_told_lost += r->num_told_lost;
    sums.num_handshakes += r->num_handshakes;
    sums.num_proofs += r->num_proofs;
    if (r->step_calls_max > sums.step_calls_max) {
        sums.step_calls_max = r->step_calls_max;
    }
    if (r->step_len_max > sums.step_len_max) {
        sums.step_len_max = r->step_len_max;
    }
}

static void run_one(uint64_t seed, const char *name, bool is_traced, bool is_twice)
{
    struct site_result r, again;
    site_run(seed, is_traced, &r);
    if (is_twice && !r.failed) {
        site_run(seed, false, &again);
        if (again.digest != r.digest) {
            r.failed = true;
            r.check = SITE_REPLAY;
            snprintf(r.text, sizeof r.text, "digest %016llx, then %016llx",
                     (unsigned long long)r.digest, (unsigned long long)again.digest);
        }
    }
    add_up(&r);
    num_passed += !r.failed;
    num_failed += r.failed;
    if (r.failed) {
        fprintf(stderr, "site: seed %llu: %s: %s\n  replay: make sim SEEDS=1 SEED=%llu%s%s\n",
                (unsigned long long)seed, check_names[r.check], r.text, (unsigned long long)seed,
                name[0] != 0 ? "  # " : "", name);
    }
}

static void print_table(uint64_t num_seeds)
{
    printf("%llu seeds: %llu messages handed in, %llu copies and %llu reports came to their end, "
           "%llu repeated within the windows, %llu lost to flipped bits and named, %llu steps, "
           "%llu handshakes of clients, %llu of them with a proof\n",
           (unsigned long long)num_seeds, (unsigned long long)sums.num_messages,
           (unsigned long long)sums.num_copies, (unsigned long long)sums.num_reports,
           (unsigned long long)sums.num_twice, (unsigned long long)sums.num_told_lost,
           (unsigned long long)sums.num_steps, (unsigned long long)sums.num_handshakes,
           (unsigned long long)sums.num_proofs);
    printf("the largest step: %llu calls of the port, %llu bytes\n",
           (unsigned long long)sums.step_calls_max, (unsigned long long)sums.step_len_max);
    for (size_t i = 0; i < NUM_SITE_FAULTS; i++) {
        printf("%10llu %s\n", (unsigned long long)sums.faults[i], fault_names[i]);
    }
}

/* Every kind of fault must have come about, or the site has lost its point. */
static void check_table(void)
{
    for (size_t i = 0; i < NUM_SITE_FAULTS; i++) {
        if (sums.faults[i] == 0) {
            fprintf(stderr, "site: of all these seeds none had %s\n", fault_names[i]);
            num_failed++;
        }
    }
}

int main(int argc, char **argv)
{
    uint64_t num_seeds = 0, first = 1;
    bool is_traced = false, shows_table = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--seeds") == 0 && i + 1 < argc) {
            num_seeds = strtoull(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--first") == 0 && i + 1 < argc) {
            first = strtoull(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--trace") == 0) {
            is_traced = true;
        } else if (strcmp(argv[i], "--table") == 0) {
            shows_table = true;
        } else {
            fprintf(stderr, "site_test [--seeds n] [--first seed] [--trace] [--table]\n");
            return EXIT_FAILURE;
        }
    }
#ifdef M_MMAP_THRESHOLD
    /* A server's memory is mapped anew each time, so that what it never touches costs nothing. */
    mallopt(M_MMAP_THRESHOLD, 256 * 1024);
#endif
    bool is_suite = num_seeds == 0;
    num_seeds = is_suite ? SITE_SEEDS : num_seeds;
    for (size_t i = 0; is_suite && i < sizeof regressions / sizeof regressions[0]; i++) {
        run_one(regressions[i].seed, regressions[i].name, false, false);
    }
    for (uint64_t i = 0; i < num_seeds; i++) {
        run_one(first + i, "", is_traced, is_suite && i % REPLAY_EVERY == 0);
    }
    if (num_seeds >= 300) { /* fewer need not have them all */
        check_table();
    }
    if (shows_table || (num_seeds >= 100 && num_failed == 0)) {
        print_table(num_seeds);
    }
    printf("%u passed, %u failed\n", num_passed, num_failed);
    return num_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

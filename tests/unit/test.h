/* The harness of the unit tests: a table of cases, checks that say where they failed, one closing
 * line. */
#ifndef POSTERN_TEST_H
#define POSTERN_TEST_H

#include "posix_sanitized.h"
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Sanitizers and emulators take ten times as long: of many cases that are alike they try each
 * so-many-th. */
#if defined(POSIX_SANITIZED) || defined(TEST_EMULATED)
#define TEST_STRIDE 5
#else
#define TEST_STRIDE 1
#endif

struct test_case {
    const char *name;
    void (*run)(void);
};

static int test_failed_checks;
static int test_num_skipped;

/* A check that this machine or this build cannot make, and why. */
static inline void SKIP(const char *what, const char *why)
{
    test_num_skipped++;
    fprintf(stderr, "SKIPPED %s: %s\n", what, why);
}

#define CHECK(condition)                                                            \
    do {                                                                            \
        if (!(condition)) {                                                         \
            test_failed_checks++;                                                   \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
        }                                                                           \
    } while (0)

#define CHECK_EQ(got, want)                                                                  \
    do {                                                                                     \
        long long got_ = (long long)(got), want_ = (long long)(want);                        \
        if (got_ != want_) {                                                                 \
            test_failed_checks++;                                                            \
            fprintf(stderr, "%s:%d: %s is %lld, not %lld\n", __FILE__, __LINE__, #got, got_, \
                    want_);                                                                  \
        }                                                                                    \
    } while (0)

/* A run of bytes (a struct slice or anything with ptr and len) against a string. */
#define CHECK_TEXT(got, want)                                                                \
    do {                                                                                     \
        const char *want_ = (want);                                                          \
        if ((got).len != strlen(want_) ||                                                    \
            ((got).len != 0 && memcmp((got).ptr, want_, (got).len) != 0)) {                  \
            test_failed_checks++;                                                            \
            fprintf(stderr, "%s:%d: %s is \"%.*s\", not \"%s\"\n", __FILE__, __LINE__, #got, \
                    (int)(got).len, (const char *)(got).ptr, want_);                         \
        }                                                                                    \
    } while (0)

/* Runs every case, or those named on the command line, and prints 'N passed, N failed', and how
 * many checks were skipped if any were. */
static inline int test_main(const struct test_case *cases, size_t num_cases, int argc, char **argv)
{
    int num_passed = 0, num_failed = 0;
    for (size_t i = 0; i < num_cases; i++) {
        bool wanted = argc < 2;
        for (int k = 1; k < argc; k++) {
            wanted = wanted || strcmp(argv[k], cases[i].name) == 0;
        }
        if (!wanted) {
            continue;
        }
        test_failed_checks = 0;
        cases[i].run();
        if (test_failed_checks == 0) {
            num_passed++;
        } else {
            num_failed++;
            fprintf(stderr, "FAILED %s\n", cases[i].name);
        }
    }
    printf("%d passed, %d failed", num_passed, num_failed);
    if (test_num_skipped > 0) {
        printf(", %d skipped", test_num_skipped);
    }
    printf("\n");
    return num_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#define TEST_MAIN(cases)                                                       \
    int main(int argc, char **argv)                                            \
    {                                                                          \
        return test_main(cases, sizeof(cases) / sizeof(cases)[0], argc, argv); \
    }

#endif

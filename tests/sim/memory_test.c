/* Memory that runs out, at every take: the same small site (site_run_plain) once for each take of a
 * pool, of an arena and of the TLS heap in it, which fails that time. All that holds for sites (see
 * site_check.def) must hold then.
 *
 * make test takes only each so-many-th; make sim T=memory SIM_ALL=1 takes all, which is half an
 * hour for those of the TLS heap. STRIDE=n is another part of those. */
#include "site.h"

#include "site_memory.h"
#include "test.h"

#include <malloc.h>

static const char *const check_names[NUM_SITE_CHECKS] = {
#define SITE_CHECK(symbol, name, what) name,
#include "site_check.def"
#undef SITE_CHECK
};

static bool is_verbose;

/* Runs it once; how many takes of that kind there were. */
static uint64_t run(enum site_memory kind, uint64_t nth, struct site_result *out)
{
    uint64_t before = site_memory_num_takes(kind);
    uint64_t num_failures = site_memory_num_failures(kind);
    site_memory_begin();
    site_memory_fail(kind, nth, 1);
    site_run_plain(kind == SITE_MEMORY_HEAP, is_verbose, out);
    CHECK_EQ(site_memory_num_failures(kind) - num_failures, nth != 0);
    return site_memory_num_takes(kind) - before;
}

/* Every stride-th take fails; the site goes through all the same. */
static void sweep(const char *what, enum site_memory kind, uint64_t stride)
{
    struct site_result r;
    stride = getenv("SIM_ALL") != NULL ? 1 : stride * TEST_STRIDE;
    stride = getenv("STRIDE") != NULL ? strtoull(getenv("STRIDE"), NULL, 10) : stride;
    uint32_t num_runs = 0, num_whole = 0;
    uint64_t num = run(kind, 0, &r);
    CHECK(!r.failed);
    CHECK_EQ(r.num_copies, 4);
    CHECK_EQ(r.num_reports, 2);
    CHECK(num > 0);
    for (uint64_t n = 1; n <= num; n += stride) {
        (void)run(kind, n, &r);
        num_runs++;
        num_whole += r.num_copies == 4 && r.num_reports == 2;
        if (r.failed) {
            CHECK(!r.failed);
            fprintf(stderr, "  with take %llu of %llu of %s failing: %s: %s\n",
                    (unsigned long long)n, (unsigned long long)num, what, check_names[r.check],
                    r.text);
        }
    }
    printf("%s: %u of %llu takes failed, one at a time; all mail came in spite of %u\n", what,
           num_runs, (unsigned long long)num, num_whole);
}

static void test_pools(void)
{
    sweep("pools", SITE_MEMORY_POOL, 1);
}

static void test_arenas(void)
{
    sweep("arenas", SITE_MEMORY_ARENA, 5);
    sweep("new pools", SITE_MEMORY_NEW_POOL, 3);
}

static void test_heap(void)
{
    sweep("the TLS heap", SITE_MEMORY_HEAP, 1511);
}

static const struct test_case cases[] = {
    {"pools", test_pools},
    {"arenas", test_arenas},
    {"tls-heap", test_heap},
};

int main(int argc, char **argv)
{
#ifdef M_MMAP_THRESHOLD
    mallopt(M_MMAP_THRESHOLD, 256 * 1024); /* as in site_test.c */
#endif
    is_verbose = getenv("SIM_LOG") != NULL;
    return test_main(cases, sizeof cases / sizeof cases[0], argc, argv);
}

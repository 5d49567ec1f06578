/* Sites whose seeds are known to notice what is broken on purpose (core/teeth.def, make
 * test-teeth): a case runs its seeds up to the first one in which something does not hold. With
 * nothing broken all of it holds. */
#include "site.h"

#include "test.h"

#include <malloc.h>

static const char *const check_names[NUM_SITE_CHECKS] = {
#define SITE_CHECK(symbol, name, what) name,
#include "site_check.def"
#undef SITE_CHECK
};

static void run(const uint64_t *seeds, size_t num_seeds)
{
    struct site_result r = {.failed = false};
    for (size_t i = 0; i < num_seeds && !r.failed; i++) {
        site_run(seeds[i], false, &r);
        if (r.failed) { /* first, as this line is what the table of teeth shows */
            fprintf(stderr, "%s: seed %llu: %s\n", check_names[r.check],
                    (unsigned long long)seeds[i], r.text);
        }
    }
    CHECK(!r.failed);
}

static void test_mail(void)
{
    static const uint64_t seeds[] = {1, 2, 3};
    run(seeds, sizeof seeds / sizeof seeds[0]);
}

static void test_proofs(void)
{
    static const uint64_t seeds[] = {1000000001, 1000000002, 1000000003};
    run(seeds, sizeof seeds / sizeof seeds[0]);
}

/* A client comes within ocsp_margin of a proof's end. */
static void test_margin(void)
{
    static const uint64_t seeds[] = {1000000124, 1000000209, 1000000211};
    run(seeds, sizeof seeds / sizeof seeds[0]);
}

static const struct test_case cases[] = {
    {"mail", test_mail},
    {"proofs", test_proofs},
    {"margin", test_margin},
};

int main(int argc, char **argv)
{
#ifdef M_MMAP_THRESHOLD
    mallopt(M_MMAP_THRESHOLD, 256 * 1024); /* as in site_test.c */
#endif
    return test_main(cases, sizeof cases / sizeof cases[0], argc, argv);
}

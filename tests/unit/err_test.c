/* The table of errors: every one has a name of its own, in the form that logs and manual use. */
#include "err.h"

#include "test.h"

static void test_names(void)
{
    for (int i = 0; i < NUM_ERRS; i++) {
        const char *name = err_name((enum err)i);
        CHECK(name != NULL && *name != 0);
        CHECK(strspn(name, "abcdefghijklmnopqrstuvwxyz-") == strlen(name));
        for (int k = 0; k < i; k++) {
            CHECK(strcmp(name, err_name((enum err)k)) != 0);
        }
    }
    CHECK(strcmp(err_name(ERR_NO_SPACE), "no-space") == 0);
}

static void test_classes(void)
{
    CHECK_EQ(ERR_OK, 0);
    CHECK(!err_is_temporary(ERR_OK));
    CHECK(err_is_temporary(ERR_NO_SPACE));
    CHECK(err_is_temporary(ERR_DENIED));
    CHECK(err_is_temporary(ERR_NO_MEMORY));
    CHECK(!err_is_temporary(ERR_EOF));
    CHECK(!err_is_temporary(ERR_MALFORMED));
    CHECK(!err_is_temporary(ERR_NOT_ALLOWED));
}

static const struct test_case cases[] = {
    {"names", test_names},
    {"classes", test_classes},
};

TEST_MAIN(cases)

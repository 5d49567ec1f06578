/* Levels rise by one and sink with time; a full table forgets the lowest. */
#include "rate.h"

#include "test.h"

#define HOUR_MS UINT64_C(3600000)

static struct rate items[4];
static struct rates table = {items, 4, 12345};

static uint64_t key(const char *text)
{
    return rate_key(&table, 1, slice_of_string(text));
}

static void test_levels(void)
{
    uint64_t now = HOUR_MS;
    memset(items, 0, sizeof items);
    CHECK_EQ(rate_level(&table, key("a"), 60, now), 0);
    for (uint32_t i = 1; i <= 5; i++) {
        CHECK_EQ(rate_count(&table, key("a"), 60, now), i);
    }
    CHECK_EQ(rate_level(&table, key("b"), 60, now), 0);
    CHECK_EQ(rate_level(&table, key("a"), 60, now + 59999), 5);
    CHECK_EQ(rate_level(&table, key("a"), 60, now + 60000), 4);
    CHECK_EQ(rate_level(&table, key("a"), 60, now + 5 * 60000), 0);
    CHECK_EQ(rate_count(&table, key("a"), 60, now + HOUR_MS), 1);
    CHECK_EQ(rate_level(&table, key("a"), 60, now), 1); /* a clock that stands still is borne */
}

static void test_steady(void)
{
    uint64_t now = HOUR_MS;
    uint32_t level = 0;
    memset(items, 0, sizeof items);
    for (int i = 0; i < 1000; i++, now += HOUR_MS / 100) {
        level = rate_count(&table, key("a"), 100, now);
    }
    CHECK_EQ(level, 1);
    /* More in an hour than it has milliseconds. */
    CHECK_EQ(rate_count(&table, key("b"), UINT32_MAX, now), 1);
    CHECK_EQ(rate_level(&table, key("b"), UINT32_MAX, now), 1);
    CHECK_EQ(rate_level(&table, key("b"), UINT32_MAX, now + 1), 0);
}

static void test_full(void)
{
    static const char *const names[] = {"a", "b", "c", "d", "e"};
    memset(items, 0, sizeof items);
    for (uint64_t i = 0; i < 5; i++) {
        rate_count(&table, key(names[i]), 60, HOUR_MS + i);
    }
    CHECK_EQ(rate_level(&table, key("a"), 60, HOUR_MS + 5), 0);
    for (uint64_t i = 1; i < 5; i++) {
        CHECK_EQ(rate_level(&table, key(names[i]), 60, HOUR_MS + 5), 1);
    }
    /* The oldest is whoever was counted least lately, wherever it stands. */
    rate_count(&table, key("e"), 60, HOUR_MS + 6);
    rate_count(&table, key("b"), 60, HOUR_MS + 7);
    rate_count(&table, key("a"), 60, HOUR_MS + 8);
    CHECK_EQ(rate_level(&table, key("c"), 60, HOUR_MS + 9), 0);
    CHECK_EQ(rate_level(&table, key("b"), 60, HOUR_MS + 9), 2);
    CHECK_EQ(rate_level(&table, key("d"), 60, HOUR_MS + 9), 1);
    CHECK_EQ(rate_level(&table, key("e"), 60, HOUR_MS + 9), 2);
}

/* Many that have done little do not free one that has done much. */
static void test_much_is_kept(void)
{
    static const char *const names[] = {"b", "c", "d", "e", "f", "g", "h"};
    memset(items, 0, sizeof items);
    for (int i = 0; i < 20; i++) {
        rate_count(&table, key("a"), 12, HOUR_MS);
    }
    for (uint64_t i = 0; i < 7; i++) {
        rate_count(&table, key(names[i]), 12, HOUR_MS + 1000 + i);
    }
    CHECK_EQ(rate_level(&table, key("a"), 12, HOUR_MS + 2000), 20);
    CHECK_EQ(rate_level(&table, key("h"), 12, HOUR_MS + 2000), 1);
}

static void test_keys(void)
{
    struct rates other = {items, 4, 54321};
    CHECK(key("a") != rate_key(&table, 2, SLICE_LITERAL("a")));
    CHECK(key("a") != rate_key(&other, 1, SLICE_LITERAL("a")));
    CHECK(key("a") != key("b"));
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        {"levels", test_levels}, {"steady", test_steady},
        {"full", test_full},     {"much_is_kept", test_much_is_kept},
        {"keys", test_keys},
    };
    return test_main(cases, sizeof cases / sizeof cases[0], argc, argv);
}

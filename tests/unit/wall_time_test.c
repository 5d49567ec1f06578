/* When the clock is believed, and how the floor rises. */
#include "wall_time.h"

#include "test.h"

#define BUILD 1767225600 /* 2026-01-01T00:00:00Z */
#define DAY   86400

static struct world {
    int64_t wall_s;
    bool is_synchronised;
    uint64_t now_ms;
    char file[128];
    bool exists;
    bool fails;
    int num_writes;
    int num_lines;
    enum log_level last_level;
    char last_line[LOG_LINE_CAP];
    struct port port;
} w;

static uint64_t monotonic_ms(void *ctx)
{
    (void)ctx;
    return w.now_ms;
}

static int64_t wall_s(void *ctx, bool *out_synchronised)
{
    (void)ctx;
    *out_synchronised = w.is_synchronised;
    return w.wall_s;
}

static enum err read_file(void *ctx, size_t *out_len, const char *path, uint8_t *into, size_t cap)
{
    (void)ctx;
    CHECK(strcmp(path, "/state/clock") == 0);
    if (!w.exists) {
        return ERR_ABSENT;
    }
    *out_len = strlen(w.file);
    if (*out_len > cap) {
        return ERR_TOO_BIG;
    }
    memcpy(into, w.file, *out_len);
    return ERR_OK;
}

static enum err replace_file(void *ctx, const char *path, struct slice bytes)
{
    (void)ctx;
    (void)path;
    if (w.fails) {
        return ERR_NO_SPACE;
    }
    w.num_writes++;
    w.exists = true;
    memcpy(w.file, bytes.ptr, bytes.len);
    w.file[bytes.len] = 0;
    return ERR_OK;
}

static void line(void *ctx, enum log_level level, struct slice text)
{
    (void)ctx;
    w.num_lines++;
    w.last_level = level;
    snprintf(w.last_line, sizeof w.last_line, "%.*s", (int)text.len, (const char *)text.ptr);
}

static void check_line(enum log_level level, const char *want)
{
    CHECK_EQ(w.last_level, level);
    CHECK_TEXT(slice_of_string(w.last_line), want);
}

static void fresh(int64_t now_s)
{
    memset(&w, 0, sizeof w);
    w.wall_s = now_s;
    w.now_ms = 1000;
    w.port.clock.monotonic_ms = monotonic_ms;
    w.port.clock.wall_s = wall_s;
    w.port.files.read = read_file;
    w.port.files.replace = replace_file;
    w.port.log.line = line;
}

static void later(struct wall_time *t, int64_t seconds)
{
    w.wall_s += seconds;
    w.now_ms += (uint64_t)seconds * 1000;
    wall_time_step(t, w.now_ms);
}

static void test_yes(void)
{
    struct wall_time t;
    int64_t now_s;
    fresh(BUILD + 5 * DAY);
    wall_time_open(&t, &w.port, WALL_TRUST_YES, "/state/clock", BUILD);
    CHECK_EQ(t.state, WALL_SET);
    CHECK_EQ(w.num_lines, 1); /* that there is no file yet is nothing to tell of */
    check_line(LOG_INFO, "clock state=set time=2026-01-06T00:00:00Z floor=2026-01-01T00:00:00Z");
    CHECK(wall_time_now(&t, &now_s));
    CHECK_EQ(now_s, BUILD + 5 * DAY);
    later(&t, 1);
    CHECK(wall_time_now(&t, &now_s));
    CHECK_EQ(now_s, BUILD + 5 * DAY + 1);
}

/* A machine that booted into 1970, until its clock is set. */
static void test_before_floor(void)
{
    struct wall_time t;
    int64_t now_s;
    fresh(100);
    wall_time_open(&t, &w.port, WALL_TRUST_YES, "/state/clock", BUILD);
    CHECK_EQ(t.state, WALL_FLOOR);
    check_line(LOG_WARNING,
               "clock state=floor time=1970-01-01T00:01:40Z floor=2026-01-01T00:00:00Z");
    CHECK(!wall_time_now(&t, &now_s));
    CHECK_EQ(wall_time_guess(&t), BUILD);
    later(&t, 30 * DAY);
    CHECK(!wall_time_now(&t, &now_s));
    CHECK_EQ(w.num_writes, 0);
    wall_time_close(&t);
    CHECK_EQ(w.num_writes, 0);
    w.wall_s = BUILD;
    later(&t, 0);
    CHECK(!wall_time_now(&t, &now_s)); /* it looks no oftener than that */
    w.now_ms += 100;
    wall_time_step(&t, w.now_ms);
    CHECK(wall_time_now(&t, &now_s));
    /* What is saved lies before the build, and does not lower the floor. */
    later(&t, 60);
    CHECK_EQ(w.num_writes, 1);
    CHECK(strcmp(w.file, "2025-12-31T23:50:00Z\n") == 0);
    CHECK_EQ(t.floor_s, BUILD);
}

static void test_auto(void)
{
    struct wall_time t;
    int64_t now_s;
    fresh(BUILD + DAY);
    wall_time_open(&t, &w.port, WALL_TRUST_AUTO, "/state/clock", BUILD);
    CHECK_EQ(t.state, WALL_FLOOR);
    CHECK_EQ(wall_time_guess(&t), BUILD + DAY);
    w.is_synchronised = true;
    later(&t, 1);
    CHECK(wall_time_now(&t, &now_s));
    w.is_synchronised = false;
    later(&t, 1);
    CHECK(!wall_time_now(&t, &now_s));
    wall_time_trust(&t, WALL_TRUST_YES);
    CHECK(wall_time_now(&t, &now_s));
    /* Synchronised to something before the floor is no evidence. */
    w.is_synchronised = true;
    wall_time_trust(&t, WALL_TRUST_AUTO);
    w.wall_s = BUILD - 1;
    later(&t, 0);
    w.now_ms += 100;
    wall_time_step(&t, w.now_ms);
    CHECK(!wall_time_now(&t, &now_s));
}

static void test_no_floor(void)
{
    struct wall_time t;
    fresh(100);
    wall_time_open(&t, &w.port, WALL_TRUST_AUTO, NULL, 0);
    CHECK_EQ(t.state, WALL_UNSET);
    CHECK_EQ(w.num_lines, 1);
    check_line(LOG_WARNING, "clock state=unset time=1970-01-01T00:01:40Z");
    CHECK_EQ(wall_time_guess(&t), 100);
    wall_time_open(&t, &w.port, WALL_TRUST_AUTO, "", 0);
    CHECK_EQ(t.state, WALL_UNSET);
}

static void test_floor_is_kept(void)
{
    struct wall_time t;
    int64_t now_s;
    fresh(BUILD + 10 * DAY);
    wall_time_open(&t, &w.port, WALL_TRUST_YES, "/state/clock", BUILD);
    for (int i = 0; i < 3 * 24; i++) {
        later(&t, 3600);
    }
    CHECK_EQ(w.num_writes, 3);
    wall_time_close(&t);
    CHECK_EQ(w.num_writes, 4);
    CHECK(strcmp(w.file, "2026-01-13T23:50:00Z\n") == 0);

    /* The next start has a clock that stopped in between, then one that is a little slow. */
    w.wall_s = BUILD + 12 * DAY;
    wall_time_open(&t, &w.port, WALL_TRUST_YES, "/state/clock", BUILD);
    CHECK(!wall_time_now(&t, &now_s));
    w.wall_s = BUILD + 13 * DAY - 300;
    wall_time_open(&t, &w.port, WALL_TRUST_YES, "/state/clock", BUILD);
    CHECK(wall_time_now(&t, &now_s));
    later(&t, 3600);
    CHECK_EQ(w.num_writes, 4);

    /* A newer build raises it as well. */
    wall_time_open(&t, &w.port, WALL_TRUST_YES, "/state/clock", BUILD + 20 * DAY);
    CHECK(!wall_time_now(&t, &now_s));
    CHECK_EQ(t.floor_s, BUILD + 20 * DAY);
}

/* The floor stands where it was last saved, so stepping back a little within the day is believed.
 */
static void test_step_back(void)
{
    struct wall_time t;
    int64_t now_s;
    fresh(BUILD + 10 * DAY);
    wall_time_open(&t, &w.port, WALL_TRUST_YES, "/state/clock", BUILD);
    later(&t, 60);
    CHECK_EQ(w.num_writes, 1);
    w.wall_s -= 600;
    later(&t, 1);
    CHECK(wall_time_now(&t, &now_s));
    w.wall_s -= 60;
    later(&t, 1);
    CHECK(!wall_time_now(&t, &now_s));
}

static void test_damaged_file(void)
{
    struct wall_time t;
    int64_t now_s;
    fresh(BUILD + DAY);
    w.exists = true;
    strcpy(w.file, "yesterday\n");
    wall_time_open(&t, &w.port, WALL_TRUST_YES, "/state/clock", BUILD);
    CHECK(wall_time_now(&t, &now_s));
    CHECK_EQ(w.num_lines, 2);
    CHECK_EQ(t.floor_s, BUILD);
    /* An empty one is damaged as well; one without an end of line is not. */
    w.file[0] = 0;
    wall_time_open(&t, &w.port, WALL_TRUST_YES, "/state/clock", BUILD);
    CHECK_EQ(w.num_lines, 4);
    CHECK_EQ(t.floor_s, BUILD);
    strcpy(w.file, "2026-01-01T12:00:00Z");
    wall_time_open(&t, &w.port, WALL_TRUST_YES, "/state/clock", BUILD);
    CHECK_EQ(t.floor_s, BUILD + DAY / 2);
    strcpy(w.file, "yesterday\n");
    wall_time_open(&t, &w.port, WALL_TRUST_YES, "/state/clock", BUILD);
    w.num_lines = 2;
    w.fails = true;
    later(&t, 60);
    later(&t, 60);
    CHECK_EQ(w.num_lines, 3); /* a failed save is told once, and tried again an hour later */
    w.fails = false;
    later(&t, 3600);
    CHECK_EQ(w.num_writes, 1);
}

static void check_told(const struct wall_time *t, const char *want)
{
    uint8_t bytes[200];
    struct buf text = buf_make(bytes, sizeof bytes);
    wall_time_put(t, &text);
    CHECK_TEXT(buf_slice(&text), want);
}

/* A board without a clock: what was set by hand counts on, wherever the machine's clock stands,
 * until the system knows better. */
static void test_by_hand(void)
{
    struct wall_time t;
    int64_t now_s;
    fresh(100);
    wall_time_open(&t, &w.port, WALL_TRUST_AUTO, "/state/clock", BUILD);
    check_told(&t, "floor 1970-01-01T00:01:40Z, not believed: before the floor, floor "
                   "2026-01-01T00:00:00Z\n");
    CHECK_EQ(wall_time_set(&t, BUILD - 1), ERR_NOT_ALLOWED);
    CHECK(!wall_time_now(&t, &now_s));
    CHECK_EQ(wall_time_set(&t, BUILD + 5 * DAY), ERR_OK);
    CHECK(wall_time_now(&t, &now_s));
    CHECK_EQ(now_s, BUILD + 5 * DAY);
    check_told(&t, "set 2026-01-06T00:00:00Z, by hand, floor 2026-01-01T00:00:00Z\n");
    w.wall_s = 5000000000;
    later(&t, 90);
    CHECK(wall_time_now(&t, &now_s));
    CHECK_EQ(now_s, BUILD + 5 * DAY + 90);
    CHECK_EQ(t.floor_s, BUILD + 5 * DAY - 510);
    /* The system knows a time that cannot be right. */
    w.is_synchronised = true;
    w.wall_s = BUILD;
    later(&t, 10);
    CHECK(wall_time_now(&t, &now_s));
    CHECK_EQ(now_s, BUILD + 5 * DAY + 100);
    w.wall_s = BUILD + 6 * DAY;
    later(&t, 10);
    CHECK(wall_time_now(&t, &now_s));
    CHECK_EQ(now_s, BUILD + 6 * DAY + 10);
    check_told(&t, "set 2026-01-07T00:00:10Z, synchronised by the system, floor "
                   "2026-01-05T23:51:30Z\n");
    CHECK_EQ(wall_time_set(&t, BUILD + 7 * DAY), ERR_WRONG_STATE);
    struct wall_time other; /* the system came to know it this moment, and it is the floor's */
    w.wall_s = BUILD;
    w.is_synchronised = false;
    wall_time_open(&other, &w.port, WALL_TRUST_AUTO, NULL, BUILD);
    w.is_synchronised = true;
    CHECK_EQ(wall_time_set(&other, BUILD + 7 * DAY), ERR_WRONG_STATE);
    w.wall_s = BUILD + 6 * DAY + 10;
    w.is_synchronised = false;
    later(&t, 10);
    CHECK(!wall_time_now(&t, &now_s));
    check_told(&t, "floor 2026-01-07T00:00:20Z, not believed: nobody has set it, floor "
                   "2026-01-05T23:51:30Z\n");
}

/* Somebody set the clock far ahead, and the floor followed. */
static void test_floor_is_reset(void)
{
    struct wall_time t;
    int64_t now_s;
    fresh(100);
    wall_time_open(&t, &w.port, WALL_TRUST_AUTO, "/state/clock", BUILD);
    CHECK_EQ(wall_time_set(&t, BUILD + 4000 * DAY), ERR_OK);
    later(&t, 60);
    CHECK_EQ(wall_time_set(&t, BUILD + 5 * DAY), ERR_NOT_ALLOWED);
    w.fails = true;
    CHECK_EQ(wall_time_reset_floor(&t), ERR_NO_SPACE);
    CHECK(wall_time_now(&t, &now_s));
    w.fails = false;
    CHECK_EQ(wall_time_reset_floor(&t), ERR_OK);
    check_line(LOG_WARNING,
               "clock state=floor-reset time=1970-01-01T00:02:40Z floor=2026-01-01T00:00:00Z");
    CHECK(!wall_time_now(&t, &now_s));
    CHECK_EQ(t.floor_s, BUILD);
    CHECK(strcmp(w.file, "2026-01-01T00:00:00Z\n") == 0);
    CHECK_EQ(wall_time_set(&t, BUILD + 5 * DAY), ERR_OK);
    wall_time_close(&t);
    CHECK(strcmp(w.file, "2026-01-05T23:50:00Z\n") == 0);
    fresh(100);
    wall_time_open(&t, &w.port, WALL_TRUST_AUTO, NULL, 0);
    CHECK_EQ(wall_time_reset_floor(&t), ERR_OK);
    CHECK_EQ(t.state, WALL_UNSET);
    check_told(&t, "unset 1970-01-01T00:01:40Z, not believed: nobody has set it\n");
    wall_time_open(&t, &w.port, WALL_TRUST_AUTO, "/state/clock", 0);
    CHECK_EQ(wall_time_reset_floor(&t), ERR_OK);
    CHECK(strcmp(w.file, "1970-01-01T00:00:00Z\n") == 0);
}

static const struct test_case cases[] = {
    {"by_hand", test_by_hand},
    {"floor_is_reset", test_floor_is_reset},
    {"yes", test_yes},
    {"before_floor", test_before_floor},
    {"auto", test_auto},
    {"no_floor", test_no_floor},
    {"floor_is_kept", test_floor_is_kept},
    {"step_back", test_step_back},
    {"damaged_file", test_damaged_file},
};

TEST_MAIN(cases)

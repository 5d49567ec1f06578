/* The whole server keeps its proofs renewed, whatever its clock does, and everything else by lot:
 * what clients are shown holds, and is no older than the last word against the certificate. */
#include "mta_fetch_site.h"

/* --- Clocks --- */

static void test_clock_unset(void)
{
    open_world("clock_trusted = auto\ntls_ocsp_file = " FILE_PATH "\n" BY_URL);
    sim_host_set_wall(site.host, START_S, false);
    site_start(&site);
    run(DAY_MS);
    CHECK_EQ(fw.num_requests, 0);
    CHECK_EQ(shown().len, 0);
    CHECK(sim_log_count(site.host, "ocsp=none:") == 1);
    CHECK(status_has("reason: no-file\nnext-refresh: clock-not-set\n"));
    sim_host_set_wall(site.host, fw_true_s(), true);
    run(2 * FETCH_LOOK_MS);
    CHECK_EQ(fw.num_requests, 1);
    struct slice held = proofs[newest()];
    CHECK(slice_equal(shown(), held));
    /* It is lost again: nothing is served, asked for or forgotten; and it comes back. */
    sim_host_set_wall(site.host, fw_true_s(), false);
    run(6 * DAY_MS);
    CHECK_EQ(shown().len, 0);
    CHECK_EQ(fw.num_requests, 1);
    sim_host_set_wall(site.host, fw_true_s(), true);
    fw.script = SILENT;
    run(2 * FETCH_LOOK_MS);
    CHECK(slice_equal(shown(), held));
    CHECK(fw.num_requests > 1);
    close_world();
}

/* Hours ahead and back again, hours or a month back and forward again: what is held stays, and
 * nobody is asked more than a few times an hour. */
static void test_clock_steps(void)
{
    static const int64_t steps[] = {10 * 3600, -30 * DAY_S, -2 * DAY_S, 7200, -7200};
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        open_usual();
        run(5000);
        sim_host_set_wall(site.host, fw_true_s() + steps[i], true);
        run(6 * HOUR_MS);
        CHECK(fw.num_requests <= 1 + 6 * 8 + 5);
        CHECK_EQ(shown().len == 0, steps[i] < -DAY_S);
        CHECK(file_is(FILE_PATH, proofs[0]));
        sim_host_set_wall(site.host, fw_true_s(), true);
        run(2 * FETCH_LOOK_MS);
        CHECK(shown().len != 0);
        run(5 * DAY_MS);
        CHECK(shown().len != 0);
        CHECK(file_is(FILE_PATH, shown()));
        close_world();
    }
}

/* A month ahead, believed, and back: time does not go back behind its floor, so that nothing is
 * served or asked for until it has been reached again. */
static void test_clock_month_ahead(void)
{
    open_usual();
    run(5000);
    sim_host_set_wall(site.host, fw_true_s() + 30 * DAY_S, true);
    run(6 * HOUR_MS);
    CHECK_EQ(shown().len, 0);
    CHECK(file_is(FILE_PATH, proofs[0]));
    CHECK(fw.num_requests <= 1 + 6 * 8 + 5);
    uint32_t num_requests = fw.num_requests;
    sim_host_set_wall(site.host, fw_true_s(), true);
    run(20 * DAY_MS);
    CHECK_EQ(fw.num_requests, num_requests);
    CHECK_EQ(shown().len, 0);
    run(12 * DAY_MS);
    CHECK(fw.num_requests > num_requests);
    CHECK(shown().len != 0);
    close_world();
}

/* --- Anything at all --- */

static size_t shown_last; /* since the last start */

static bool holds(size_t i)
{
    int64_t begin_s = START_S - PERIOD_S / 2 + (int64_t)i * PERIOD_S;
    int64_t now_s = sim_host_wall(site.host);
    return begin_s <= now_s + 300 && now_s < begin_s + LIFE_S - 300;
}

/* What is shown, if anything, holds by the server's own clock, is no older than the last word
 * against the certificate, nor than what was shown before, as long as that holds. */
static void check_shown(size_t revoked_at)
{
    struct slice proof = shown();
    size_t i = 0;
    if (proof.len == 0) {
        return;
    }
    while (i < NUM_PROOFS && !slice_equal(proof, proofs[i])) {
        i++;
    }
    CHECK(i < NUM_PROOFS && i >= revoked_at && holds(i));
    CHECK(i >= shown_last || !holds(shown_last));
    shown_last = i;
}

static void do_anything(uint64_t choice)
{
    static const int64_t offsets[16] = {7200, -7200, 3600, -3600, -10 * DAY_S};
    static const enum script scripts[] = {SILENT, DRIBBLE, ENDLESS, BUSY, CUT, RESET, ANSWER_JUNK};
    uint64_t what = choice >> 16, value = choice & 0xffff;
    says_back = choice % 3 == 0 ? choice % 32 : 0;
    switch (what % 8) {
    case 0:
        sim_host_set_wall(site.host, fw_true_s() + offsets[value % 16], true);
        return;
    case 1:
        sim_files_put(site.host, FILE_PATH, proofs[value % (newest() + 1)]);
        return;
    case 2:
        sim_files_put(site.host, FILE_PATH, SLICE_LITERAL("junk"));
        return;
    case 3:
        sim_files_fail(site.host, FILE_PATH, value % 2 == 0 ? ERR_OK : ERR_NO_SPACE);
        return;
    case 4:
        start_again();
        shown_last = 0;
        return;
    case 5:
        sim_host_signal(site.host, PORT_RELOAD);
        return;
    case 6:
        says_revoked = value % 4 == 0;
        return;
    default:
        fw.script = value % 20 < 7 ? scripts[value % 20] : ANSWER_MADE;
    }
}

static void test_anything(void)
{
    look_ms = 500;
    for (uint64_t seed = 1; seed <= 4; seed += TEST_STRIDE) {
        size_t revoked_at = shown_last = 0;
        size_t num_revoked = 0;
        open_usual();
        for (uint64_t skip = 0; skip < seed; skip++) {
            (void)sim_world_random(fw.w);
        }
        while (fw_true_s() < START_S + 60 * DAY_S) {
            said_revoked = SIZE_MAX;
            uint32_t num_requests = fw.num_requests;
            do_anything(sim_world_random(fw.w) & 0xffffff);
            uint64_t ms = sim_world_random(fw.w) % DAY_MS;
            run(ms);
            CHECK(fw.num_requests - num_requests <= 3 + ms / 45000);
            size_t num = sim_log_count(site.host, "result=revoked");
            revoked_at = num > num_revoked ? said_revoked : revoked_at;
            num_revoked = num;
            check_shown(revoked_at);
        }
        /* When all is well again, all is well again. */
        fw.script = ANSWER_MADE;
        says_revoked = false;
        says_back = 0;
        sim_files_fail(site.host, FILE_PATH, ERR_OK);
        sim_host_set_wall(site.host, fw_true_s() + 12 * DAY_S, true); /* past any floor */
        proofs_ahead_s = 12 * DAY_S;
        run(8 * DAY_MS);
        CHECK(shown().len != 0);
        CHECK(file_is(FILE_PATH, shown()));
        proofs_ahead_s = 0;
        close_world();
    }
    look_ms = 10;
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        {"clock_unset", test_clock_unset},
        {"clock_steps", test_clock_steps},
        {"clock_month_ahead", test_clock_month_ahead},
        {"anything", test_anything},
    };
    make_all();
    return test_main(cases, sizeof cases / sizeof cases[0], argc, argv);
}

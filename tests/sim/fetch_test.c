/* Proofs kept renewed, in simulated time: months pass, responders fail in every way, clocks step.
 */
#include "fetch_world.h"

#include "proof_maker.h"

static bool starts(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

static void open_usual(void)
{
    struct ocsp_fetch_conf conf = fw_conf();
    fw_open(&conf);
    fw_set_target(0, URL, PROOF);
}

/* The first proof, from nothing. */
static void test_first(void)
{
    open_usual();
    fw_run(5000);
    CHECK_EQ(fw.num_taken, 1);
    CHECK_EQ(fw.num_requests, 1);
    CHECK_EQ(fw.num_queries, 2); /* A and AAAA */
    CHECK(fw_file_is(PROOF, &fw.lives[0]));
    CHECK(starts(fw.request, "POST /ca HTTP/1.1\r\nHost: ocsp.example\r\n"));
    CHECK(strstr(fw.request, "\r\nContent-Type: application/ocsp-request\r\n") != NULL);
    CHECK_EQ(sim_net_num_handles(fw.h), 0);
    CHECK_EQ(sim_log_count(fw.h, "result=good"), 1);
    fw_run(DAY_MS);
    CHECK_EQ(fw.num_requests, 1);
    fw_close();
}

/* At half of each life, give or take a twentieth, for half a year. */
static void test_renewal(void)
{
    open_usual();
    fw_run(180 * DAY_MS);
    CHECK(fw.num_requests >= 180 * 20 / (7 * 11));
    CHECK(fw.num_requests <= 180 * 20 / (7 * 9) + 1);
    CHECK_EQ(fw.num_taken, fw.num_requests);
    CHECK_EQ(fw.num_failed, 0);
    bool differ = false;
    for (uint32_t i = 1; i < fw.num_requests && i < MAX_LOG; i++) {
        uint64_t apart_ms = fw.request_ms[i] - fw.request_ms[i - 1];
        CHECK(apart_ms >= 7 * DAY_MS * 9 / 20 - HOUR_MS &&
              apart_ms <= 7 * DAY_MS * 11 / 20 + HOUR_MS);
        differ = differ || apart_ms / HOUR_MS != (fw.request_ms[1] - fw.request_ms[0]) / HOUR_MS;
    }
    CHECK(differ); /* there is a lot in it */
    CHECK(fw_file_is(PROOF, &fw.lives[0]));
    fw_close();
}

/* A proof from a file: fetched for when its half has passed, and not before. */
static void test_start_with_file(void)
{
    open_usual();
    fw.lives[0] = (struct fetch_life){true, START_S - DAY_S, START_S + 6 * DAY_S, false};
    ocsp_fetch_set_life(&fw.fetch, 0, &fw.lives[0]);
    fw_run(2 * DAY_MS);
    CHECK_EQ(fw.num_requests, 0);
    fw_run(DAY_MS);
    CHECK_EQ(fw.num_taken, 1);
    fw_close();
    open_usual();
    fw.lives[0] = (struct fetch_life){true, START_S - 6 * DAY_S, START_S + DAY_S, false};
    ocsp_fetch_set_life(&fw.fetch, 0, &fw.lives[0]);
    fw_run(5000);
    CHECK_EQ(fw.num_taken, 1);
    fw_close();
}

static void test_forms_of_answers(void)
{
    static const enum script forms[] = {ANSWER, ANSWER_CHUNKED, ANSWER_UNTIL_CLOSE};
    for (size_t i = 0; i < 3; i++) {
        for (size_t chunk_len = 1; chunk_len < 1000; chunk_len *= 7) {
            open_usual();
            sim_net_set_link(fw.w,
                             &(struct sim_link){.chunk_len = chunk_len, .random_chunks = true});
            fw.script = forms[i];
            fw_run(5000);
            CHECK_EQ(fw.num_taken, 1);
            fw_close();
        }
    }
}

/* Every way to fail: named, nothing written, nothing left open, and the next try works. */
static void test_failures(void)
{
    static const struct {
        enum script script;
        const char *reason;
    } rows[] = {
        {SILENT, "timeout"},         {DRIBBLE, "timeout"},      {ENDLESS, "http-too-big"},
        {REDIRECT, "http-redirect"}, {BUSY, "http-status"},     {HTML, "http-wrong-type"},
        {CUT, "http-cut-short"},     {CLOSE, "http-cut-short"}, {RESET, "reset"},
        {ANSWER_JUNK, "malformed"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[64];
        open_usual();
        fw.script = rows[i].script;
        fw_run(35000);
        snprintf(text, sizeof text, "result=%s", rows[i].reason);
        if (sim_log_count(fw.h, text) != 1 || fw.num_failed + fw.num_refused != 1) {
            fprintf(stderr, "%s: %s\n", rows[i].reason, fw.fetch.reason);
            CHECK(false);
        }
        CHECK_EQ(fw.num_requests, 1);
        CHECK_EQ(fw.num_taken, 0);
        CHECK_EQ(sim_net_num_handles(fw.h), 0);
        struct slice bytes;
        CHECK(!sim_files_get(fw.h, PROOF, &bytes));
        CHECK_EQ(sim_log_count(fw.h, "status=503"), fw.script == BUSY);
        fw.script = ANSWER;
        fw_run(90000);
        CHECK_EQ(fw.num_taken, 1);
        fw_close();
    }
}

static void test_unreachable(void)
{
    open_usual();
    fw_set_target(0, "http://192.0.2.66/", PROOF); /* no answer to connecting */
    fw_set_target(1, "http://192.0.2.80:81/", "");
    fw_run(40000);
    CHECK_EQ(fw.num_failed, 2);
    CHECK_EQ(sim_log_count(fw.h, "result=timeout"), 1);
    CHECK_EQ(sim_log_count(fw.h, "result=refused"), 1);
    CHECK_EQ(fw.num_requests, 0);
    fw_close();
}

static void test_names(void)
{
    static const struct {
        enum names names;
        const char *reason; /* NULL: it works */
        uint32_t num_queries;
    } rows[] = {
        {NAMES_GOOD, NULL, 2},
        {NAMES_TRUNCATED, NULL, 4},
        {NAMES_SILENT, "result=no-name-server", 2},
        {NAMES_NONE, "result=name-not-found", 1},
        {NAMES_FAIL, "result=no-name-server", 4}, /* for either family */
        {NAMES_V6_DEAD, NULL, 2}, /* nobody listens at its IPv6 address: then IPv4 */
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        open_usual();
        fw.names = rows[i].names;
        fw_run(25000);
        CHECK_EQ(fw.num_queries, rows[i].num_queries);
        CHECK_EQ(fw.num_taken, rows[i].reason == NULL);
        CHECK(rows[i].reason == NULL || sim_log_count(fw.h, rows[i].reason) == 1);
        CHECK_EQ(sim_net_num_handles(fw.h), 0);
        fw_close();
    }
    /* The hosts file, and addresses, need no server. */
    open_usual();
    fw.names = NAMES_SILENT;
    sim_files_put_string(fw.h, "/etc/hosts", "192.0.2.80 ocsp.example\n");
    fw_set_target(1, "http://192.0.2.80/", "");
    fw_run(5000);
    CHECK_EQ(fw.num_taken, 2);
    CHECK_EQ(fw.num_queries, 0);
    fw_close();
}

/* The first of its addresses takes connections and says nothing: the next try begins with another.
 */
static void test_deaf_address(void)
{
    struct net_addr deaf = fw_responder;
    deaf.bytes[3] = 81;
    open_usual();
    sim_listen(fw.w, &deaf);
    sim_files_put_string(fw.h, "/etc/hosts", "192.0.2.81 ocsp.example\n192.0.2.80 ocsp.example\n");
    fw_run(35000);
    CHECK_EQ(sim_log_count(fw.h, "result=timeout"), 1);
    fw_run(120000);
    CHECK_EQ(fw.num_taken, 1);
    fw_close();
}

/* Forged answers from elsewhere come first, and count for nothing. */
static void test_forged_names(void)
{
    open_usual();
    fw.names = NAMES_SILENT;
    struct net_addr own, stranger = {NET_IPV4, {198, 51, 100, 1}, 53};
    uint8_t forged[64] = {0, 0, 0x81, 0x80, 0, 1};
    fw_run(100);
    sim_host_addr(fw.h, &own);
    for (uint32_t i = 0; i < 2000; i++) {
        own.port = (uint16_t)(40000 + i % 20);
        forged[0] = (uint8_t)(i >> 8);
        forged[1] = (uint8_t)i;
        sim_datagram_send(fw.w, i % 2 == 0 ? &fw_names : &stranger, &own,
                          slice_make(forged, sizeof forged));
        fw_run(1);
    }
    CHECK_EQ(fw.num_taken, 0);
    CHECK_EQ(fw.num_requests, 0);
    fw.names = NAMES_GOOD;
    fw_run(100000);
    CHECK_EQ(fw.num_taken, 1);
    fw_close();
}

/* Nor does one that is too long make the question go unanswered. */
static void test_long_datagram(void)
{
    static const uint8_t large[600];
    struct net_addr own;
    open_usual();
    fw.names = NAMES_SILENT;
    fw_run(100);
    CHECK_EQ(fw.num_queries, 1);
    sim_host_addr(fw.h, &own);
    for (own.port = 40000; own.port < 40010; own.port++) {
        sim_datagram_send(fw.w, &fw_names, &own, slice_make(large, sizeof large));
    }
    fw_run(2000);
    CHECK_EQ(fw.num_queries, 1);
    fw_close();
}

static void test_proxy_and_get(void)
{
    struct ocsp_fetch_conf conf = fw_conf();
    conf.proxy = SLICE_LITERAL("http://192.0.2.31:3128");
    fw_open(&conf);
    fw_set_target(0, URL, PROOF);
    fw_run(5000);
    CHECK_EQ(fw.num_taken, 1);
    CHECK_EQ(fw.num_queries, 0);
    CHECK(starts(fw.request, "POST http://ocsp.example/ca HTTP/1.1\r\nHost: ocsp.example\r\n"));
    fw_close();
    conf = fw_conf();
    conf.use_get = true;
    fw_open(&conf);
    fw_set_target(0, URL, PROOF);
    fw_run(5000);
    CHECK_EQ(fw.num_taken, 1);
    CHECK(starts(fw.request, "GET /ca/ME"));
    CHECK(strstr(fw.request, "Content-") == NULL);
    fw_close();
    /* Too long for a GET. */
    conf.use_nonce = true;
    fw_open(&conf);
    char url[300];
    snprintf(url, sizeof url, "http://ocsp.example/%0*d", 100, 0);
    fw_set_target(0, url, PROOF);
    fw_run(5000);
    CHECK_EQ(fw.num_taken, 1);
    CHECK(starts(fw.request, "POST /000"));
    fw_close();
}

/* The responder is down for days: tried again and again, ever more often as the end comes near, and
 * never in haste. */
static void test_long_outage(void)
{
    open_usual();
    fw_run(5000);
    CHECK_EQ(fw.num_taken, 1);
    fw.script = BUSY;
    fw_run(8 * DAY_MS);
    uint32_t num_tries = fw.num_requests - 1, last_day = 0, last_hour = 0, lapsed = 0;
    uint64_t end_ms = (uint64_t)(fw.lives[0].end_s - START_S) * 1000;
    CHECK_EQ(fw.num_failed, num_tries);
    CHECK(num_tries < MAX_LOG);
    for (uint32_t i = 1; i <= num_tries; i++) {
        uint64_t at_ms = fw.request_ms[i];
        last_day += at_ms < end_ms && at_ms + DAY_MS >= end_ms;
        last_hour += at_ms < end_ms && at_ms + HOUR_MS >= end_ms;
        lapsed += at_ms >= end_ms;
        CHECK(at_ms >= fw.request_ms[i - 1] + 45000);
        CHECK(i == 1 || at_ms <= fw.request_ms[i - 1] + 4500 * 1000 + 1000);
    }
    CHECK(last_day >= 24 && last_hour >= 8 && last_hour < 80);
    CHECK(lapsed >= 24 * 60 * 60 / 750 && lapsed <= 24 * 60 * 60 / 450 + 1);
    fw.script = ANSWER;
    fw_run(750 * 1000 + 1000);
    CHECK_EQ(fw.num_taken, 2);
    fw_close();
}

/* A responder that hands out what it said before, for ever, then comes to itself. */
static void test_older_proof(void)
{
    open_usual();
    fw_run(5000);
    struct fetch_life first = fw.lives[0];
    CHECK_EQ(fw.num_taken, 1);
    fw.script = ANSWER_OLD;
    fw_run(5 * DAY_MS);
    CHECK(fw.num_not_newer > 10 && fw.num_not_newer < 60);
    CHECK_EQ(fw.num_taken, 1);
    CHECK(fw_file_is(PROOF, &first));
    CHECK_EQ(sim_log_count(fw.h, "warning ocsp-fetch"), 0);
    fw.script = ANSWER;
    fw_run(2 * HOUR_MS);
    CHECK_EQ(fw.num_taken, 2);
    CHECK(!fw_file_is(PROOF, &first));
    CHECK(fw_file_is(PROOF, &fw.lives[0]));
    fw_close();
}

static void test_no_clock(void)
{
    open_usual();
    fw.wall_set = false;
    sim_host_set_wall(fw.h, 5, false);
    fw_run(3 * DAY_MS);
    CHECK_EQ(fw.num_requests, 0);
    fw.wall_set = true;
    sim_host_set_wall(fw.h, fw_true_s(), true);
    fw_run(FETCH_LOOK_MS + 5000);
    CHECK_EQ(fw.num_taken, 1);
    /* It is lost again while a proof is held, and comes back late. */
    fw.wall_set = false;
    fw_run(6 * DAY_MS);
    CHECK_EQ(fw.num_requests, 1);
    fw.wall_set = true;
    fw_run(FETCH_LOOK_MS + 5000);
    CHECK_EQ(fw.num_taken, 2);
    fw_close();
}

/* A year ahead and back, a year back and ahead: what is held stays, and nobody is overrun. */
static void test_clock_steps(void)
{
    static const int64_t steps[] = {365 * DAY_S, -365 * DAY_S, 7 * DAY_S, -7200};
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        open_usual();
        fw_run(HOUR_MS);
        CHECK_EQ(fw.num_taken, 1);
        struct fetch_life first = fw.lives[0];
        sim_host_set_wall(fw.h, fw_true_s() + steps[i], true);
        fw_run(FETCH_LOOK_MS + 5000);
        CHECK(fw.num_requests >= 2 && fw.num_requests <= 3); /* noticed within a minute */
        fw_run(12 * HOUR_MS);
        /* Nothing fits that clock but, two hours back, what is issued by then. */
        CHECK(fw.num_requests <= 2 + 12 * 3600 / 450 + 6);
        CHECK_EQ(fw.num_taken, 1);
        CHECK(fw_file_is(PROOF, &first));
        sim_host_set_wall(fw.h, fw_true_s(), true);
        uint32_t num_requests = fw.num_requests;
        fw_run(DAY_MS);
        CHECK(fw.num_requests <= num_requests + 1);
        fw_run(4 * DAY_MS);
        CHECK(fw.num_taken >= 2); /* and then life goes on */
        CHECK(fw_file_is(PROOF, &fw.lives[0]));
        fw_close();
    }
}

/* One responder that is silent does not keep the other from its turn. */
static void test_two_targets(void)
{
    enum { DAYS = 60 / TEST_STRIDE };
    open_usual();
    fw_set_target(0, "http://192.0.2.66/", PROOF);
    fw_set_target(1, URL, "/var/ocsp/second");
    fw_run(DAYS * DAY_MS);
    CHECK(fw.num_taken >= DAYS * 20 / (7 * 11));
    CHECK_EQ(fw.num_taken, fw.num_requests);
    CHECK(fw_file_is("/var/ocsp/second", &fw.lives[1]));
    CHECK(!fw.lives[0].exists);
    fw_close();
}

static void test_alarm(void)
{
    struct ocsp_fetch_conf conf = fw_conf();
    conf.alarm_s = 12 * 3600;
    fw_open(&conf);
    fw_set_target(0, "", PROOF); /* only watched */
    fw_run(HOUR_MS);
    CHECK_EQ(sim_log_num(fw.h), 0);
    fw.lives[0] = (struct fetch_life){true, START_S, START_S + DAY_S, false};
    ocsp_fetch_set_life(&fw.fetch, 0, &fw.lives[0]);
    fw_run(11 * HOUR_MS - 60000);
    CHECK_EQ(sim_log_num(fw.h), 0);
    fw_run(12 * HOUR_MS);
    CHECK(sim_log_count(fw.h, "warning ocsp-alarm file=\"/var/ocsp/proof\" state=ends-soon") == 12);
    fw_run(4 * HOUR_MS);
    CHECK(sim_log_count(fw.h, "state=has-ended") >= 3);
    CHECK_EQ(sim_log_num(fw.h), sim_log_count(fw.h, "ocsp-alarm"));
    CHECK(sim_log_num(fw.h) <= 17);
    CHECK_EQ(fw.num_requests, 0);
    /* A new proof ends it. */
    sim_log_clear(fw.h);
    fw.lives[0].end_s += 5 * DAY_S;
    ocsp_fetch_set_life(&fw.fetch, 0, &fw.lives[0]);
    fw_run(DAY_MS);
    CHECK_EQ(sim_log_num(fw.h), 0);
    fw_close();
}

/* A responder whose proofs live for half an hour is no reason for more than a line an hour. */
static void test_alarm_of_short_lives(void)
{
    struct ocsp_fetch_conf conf = fw_conf();
    conf.alarm_s = 12 * 3600;
    fw_open(&conf);
    fw.life_s = 1800;
    fw_set_target(0, URL, PROOF);
    fw_run(6 * HOUR_MS);
    CHECK(fw.num_taken >= 12);
    size_t num = sim_log_count(fw.h, "ocsp-alarm");
    CHECK(num >= 5 && num <= 7);
    fw_close();
}

static void test_not_saved(void)
{
    open_usual();
    sim_files_fail(fw.h, PROOF, ERR_NO_SPACE);
    fw_run(5000);
    CHECK_EQ(fw.num_taken, 1);
    CHECK_EQ(sim_log_count(fw.h, "result=not-saved"), 1);
    fw_run(DAY_MS);
    CHECK_EQ(fw.num_requests, 1); /* it is in force: no haste */
    fw_close();
}

static void test_no_entropy(void)
{
    open_usual();
    sim_host_set_entropy_failing(fw.h, true);
    fw_run(10000);
    CHECK_EQ(sim_log_count(fw.h, "result=no-entropy"), 1);
    CHECK_EQ(fw.num_queries, 0);
    sim_host_set_entropy_failing(fw.h, false);
    fw_run(90000);
    CHECK_EQ(fw.num_taken, 1);
    fw_close();
}

static void test_no_handles(void)
{
    open_usual();
    sim_net_set_max_handles(fw.h, 0);
    fw_run(10000);
    CHECK_EQ(fw.num_failed, 1);
    sim_net_set_max_handles(fw.h, 1);
    fw_run(90000);
    CHECK_EQ(fw.num_taken, 1);
    fw_close();
}

/* A response, well formed and signed by nobody, with that nonce; an empty one: with none. */
static struct slice make_response(struct slice nonce)
{
    struct slice key = SEQ(SEQ(OID("\x2a\x03")), maker_bits(SLICE_LITERAL("key")));
    struct maker_response r = {
        .singles = {{MBEDTLS_MD_SHA1, maker_name("Issuer"), key, SLICE_LITERAL("\x01"), MAKE_GOOD,
                     "20260101000000Z", "20260108000000Z", NOTHING}},
        .num_singles = 1,
        .by_key = SLICE_LITERAL("12345678901234567890"),
        .produced_at = "20260101000000Z",
        .version = -1,
    };
    if (nonce.len != 0) {
        r.extensions = maker_extension(OID("\x2b\x06\x01\x05\x05\x07\x30\x01\x02"), false,
                                       TLV(DER_OCTET_STRING, nonce));
    }
    return maker_wrap(
        SEQ(maker_data(&r), SEQ(OID("\x2a\x03")), maker_bits(SLICE_LITERAL("signature"))));
}

/* The nonce is the end of the request. */
static struct slice make_same(struct slice request)
{
    return make_response(slice_make(request.ptr + request.len - OCSP_NONCE_LEN, OCSP_NONCE_LEN));
}

static struct slice make_other(struct slice request)
{
    return make_response(slice_make(request.ptr + request.len - OCSP_NONCE_LEN, 31));
}

static struct slice make_none(struct slice request)
{
    (void)request;
    return make_response(NOTHING);
}

static void test_nonce(void)
{
    struct slice (*const makers[])(struct slice) = {make_same, make_other, make_none};
    for (size_t i = 0; i < 6; i++) {
        struct ocsp_fetch_conf conf = fw_conf();
        conf.use_nonce = i < 3;
        maker_reset();
        fw_open(&conf);
        fw.script = ANSWER_MADE;
        fw.make = makers[i % 3];
        fw_set_target(0, URL, PROOF);
        fw_run(5000);
        CHECK_EQ(fw.num_requests, 1);
        CHECK_EQ(fw.num_got, i != 1);
        CHECK_EQ(sim_log_count(fw.h, "result=wrong-nonce"), i == 1);
        fw_close();
    }
}

/* Given up at any time, nothing stays open; set again as it was, nothing is disturbed. */
static void test_changes(void)
{
    for (uint64_t at_ms = 1; at_ms < 300; at_ms += 7) {
        open_usual();
        fw_run(at_ms);
        uint32_t num_requests = fw.num_requests;
        if (at_ms % 2 == 0) {
            ocsp_fetch_drop_target(&fw.fetch, 0);
            CHECK_EQ(sim_net_num_handles(fw.h), 0);
        } else {
            fw_set_target(0, "http://192.0.2.80/other", PROOF);
        }
        fw_run(5000);
        CHECK_EQ(sim_net_num_handles(fw.h), 0);
        CHECK(at_ms % 2 == 0 ? fw.num_taken <= 1 : fw.num_taken >= 1);
        CHECK(fw.num_requests >= num_requests);
        fw_close();
    }
    open_usual();
    fw_run(70);
    fw_set_target(0, URL, PROOF);
    fw_run(5000);
    CHECK_EQ(fw.num_requests, 1);
    fw_set_target(0, URL, PROOF);
    fw_run(DAY_MS);
    CHECK_EQ(fw.num_requests, 1);
    /* Another responder is asked the next time. */
    fw_set_target(0, URL "?2", PROOF);
    fw_run(DAY_MS);
    CHECK_EQ(fw.num_requests, 1);
    fw_run(4 * DAY_MS);
    CHECK_EQ(fw.num_requests, 2);
    CHECK(strstr(fw.request, "?2 ") != NULL);
    CHECK_EQ(fw.num_taken, 2);
    /* Another certificate: what is known of the old one counts for nothing. */
    struct ocsp_certid id = {.serial = {9}, .serial_len = 1};
    fw.lives[0].exists = false;
    CHECK_EQ(ocsp_fetch_set_target(&fw.fetch, 0, &id, SLICE_LITERAL(URL "?2"), PROOF), URL_OK);
    fw_run(5000);
    CHECK_EQ(fw.num_taken, 3);
    /* Asked for by hand, even without a clock. */
    fw.wall_set = false;
    ocsp_fetch_ask(&fw.fetch, 0);
    fw_run(5000);
    CHECK_EQ(fw.num_requests, 4);
    CHECK_EQ(ocsp_fetch_set_target(&fw.fetch, 0, &id, SLICE_LITERAL("https://a/"), PROOF),
             URL_HTTPS);
    fw_close();
}

static const struct test_case cases[] = {
    {"first", test_first},
    {"renewal", test_renewal},
    {"start_with_file", test_start_with_file},
    {"forms_of_answers", test_forms_of_answers},
    {"failures", test_failures},
    {"unreachable", test_unreachable},
    {"names", test_names},
    {"deaf_address", test_deaf_address},
    {"forged_names", test_forged_names},
    {"long_datagram", test_long_datagram},
    {"proxy_and_get", test_proxy_and_get},
    {"long_outage", test_long_outage},
    {"older_proof", test_older_proof},
    {"no_clock", test_no_clock},
    {"clock_steps", test_clock_steps},
    {"two_targets", test_two_targets},
    {"alarm", test_alarm},
    {"alarm-of-short-lives", test_alarm_of_short_lives},
    {"not_saved", test_not_saved},
    {"no_entropy", test_no_entropy},
    {"no_handles", test_no_handles},
    {"nonce", test_nonce},
    {"changes", test_changes},
};

TEST_MAIN(cases)

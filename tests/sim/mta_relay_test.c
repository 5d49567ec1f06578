/* Taking mail in and sending it on, the whole way in a simulated world: what was answered 250 comes
 * to the next server, whatever moment the power goes, and twice only where its outcome was not yet
 * durable. */
#include "mta_inside.h"
#include "mta_site.h"

#define SINK_PEERS 16

static struct test_site site;
static struct site_client clients[16];

struct sink_peer {
    struct sim_client *client;
    char got[16384];
    size_t got_len;
    bool in_content;
};

/* The next server, which takes everything; it has no power cuts of its own. */
static struct sink {
    struct net_addr at;
    struct sink_peer peers[SINK_PEERS];
    uint32_t copies[SITE_MESSAGES_MAX];
    uint32_t num_accepted;
} sink;

static void sink_open(void)
{
    memset(&sink, 0, sizeof sink);
    CHECK(net_addr_parse(SLICE_LITERAL("192.0.2.25"), &sink.at));
    sink.at.port = 25;
    sim_listen(site.world, &sink.at);
}

static void sink_say(struct sink_peer *p, const char *text)
{
    (void)sim_client_write(p->client, slice_of_string(text)); /* it may have gone meanwhile */
}

static void sink_line(struct sink_peer *p, const char *line)
{
    p->in_content = strncmp(line, "DATA", 4) == 0;
    sink_say(p, strncmp(line, "EHLO", 4) == 0 ? "250-sink\r\n250 PIPELINING\r\n"
                : p->in_content               ? "354 go\r\n"
                                              : "250 ok\r\n");
}

static void sink_content(struct sink_peer *p)
{
    const char *mark = memmem(p->got, p->got_len, "\r\nmark ", 7);
    CHECK(mark != NULL);
    if (mark != NULL) {
        sink.copies[atoi(mark + 7) % SITE_MESSAGES_MAX]++;
    }
    p->in_content = false;
    sink_say(p, "250 taken\r\n");
}

static void sink_peer_turn(struct sink_peer *p)
{
    size_t len;
    enum err err = sim_client_read(p->client, &len, (uint8_t *)p->got + p->got_len,
                                   sizeof p->got - p->got_len);
    if (err == ERR_EOF || err == ERR_RESET) {
        sim_client_close(p->client);
        memset(p, 0, sizeof *p);
        return;
    }
    p->got_len += err == ERR_OK ? len : 0;
    char *end;
    while ((end = memmem(p->got, p->got_len, p->in_content ? "\r\n.\r\n" : "\r\n",
                         p->in_content ? 5 : 2)) != NULL) {
        size_t used = (size_t)(end - p->got) + (p->in_content ? 5 : 2);
        if (p->in_content) {
            sink_content(p);
        } else {
            sink_line(p, p->got);
        }
        p->got_len -= used;
        memmove(p->got, p->got + used, p->got_len);
    }
}

static void sink_turn(void)
{
    struct sim_client *c = sim_accept(site.world, &sink.at);
    for (size_t i = 0; i < SINK_PEERS; i++) {
        if (c != NULL && sink.peers[i].client == NULL) {
            sink.peers[i].client = c;
            sink.num_accepted++;
            sink_say(&sink.peers[i], "220 sink\r\n");
            c = NULL;
        }
        if (sink.peers[i].client != NULL) {
            sink_peer_turn(&sink.peers[i]);
        }
    }
    CHECK(c == NULL);
}

static void start(uint64_t seed)
{
    char text[2048];
    struct sim_store_conf conf = {.sync_ms = 5};
    site_open(&site, seed, &conf);
    snprintf(text, sizeof text, "%sroute_list = example.org smtp:192.0.2.25\nretry_min = 5s\n",
             site_conf);
    sim_files_put_string(site.host, SITE_CONF, text);
    sink_open();
    site_start(&site);
}

/* Steps everybody until the power is off, or ms have passed with all clients done. */
static void run_for(uint64_t ms)
{
    uint64_t end_ms = sim_world_now_ms(site.world) + ms;
    sim_world_set_horizon(site.world, end_ms);
    for (int i = 0;
         i < 40000 && sim_world_now_ms(site.world) < end_ms && !sim_host_is_off(site.host); i++) {
        mta_step(site.mta);
        for (size_t k = 0; k < 3; k++) {
            (void)client_turn(&site, &clients[k]);
        }
        sink_turn();
    }
    sim_world_set_horizon(site.world, UINT64_MAX);
}

static void run_with_crash(uint64_t store_op, enum sim_crash how)
{
    start(1 + store_op);
    for (uint32_t i = 0; i < 3; i++) {
        client_connect(&site, &clients[i], i, 3, 3000);
    }
    sim_store_set_power_off(sim_host_store(site.host), store_op);
    run_for(20000);
    site_drop(&site);
    sim_host_crash(site.host, how);
    sim_store_set_power_off(sim_host_store(site.host), 0);
    site_start(&site);
    run_for(60000);
}

static void check_copies(uint64_t op, uint32_t most)
{
    for (uint32_t c = 0; c < 3; c++) {
        for (uint32_t k = 0; k < 3; k++) {
            uint32_t mark = c * 100 + k, num = sink.copies[mark];
            uint32_t least = site.acked[mark], limit = site.sent[mark] ? most : 0;
            if (num < least || num > limit) {
                fprintf(stderr, "operation %llu: message %u: acked %d, copies %u\n",
                        (unsigned long long)op, mark, site.acked[mark], num);
            }
            CHECK(num >= least && num <= limit);
        }
    }
}

static void crash_everywhere(enum sim_crash how)
{
    struct sim_store_counts counts;
    start(1);
    for (uint32_t i = 0; i < 3; i++) {
        client_connect(&site, &clients[i], i, 3, 3000);
    }
    run_for(20000);
    CHECK_EQ(site.num_acked, 9);
    check_copies(0, 1); /* without a crash each once */
    CHECK(sink.num_accepted < 9);
    sim_store_counts_of(sim_host_store(site.host), &counts);
    CHECK(counts.num_ops > 20);
    CHECK(site_stop(&site, 20000));
    site_close(&site);
    for (uint64_t op = 1; op <= counts.num_ops; op++) {
        run_with_crash(op, how);
        check_copies(op, 2);
        site_drop(&site);
        site_close(&site);
    }
}

static void test_crash_lose(void)
{
    crash_everywhere(SIM_CRASH_LOSE);
}

static void test_crash_keep(void)
{
    crash_everywhere(SIM_CRASH_KEEP);
}

static void test_crash_mixed(void)
{
    crash_everywhere(SIM_CRASH_MIXED);
}

/* An outcome that is durable is never forgotten: a crash long after the last delivery repeats
 * none. */
static void test_late_crash(void)
{
    start(5);
    for (uint32_t i = 0; i < 3; i++) {
        client_connect(&site, &clients[i], i, 3, 3000);
    }
    run_for(20000);
    site_drop(&site);
    sim_host_crash(site.host, SIM_CRASH_LOSE);
    site_start(&site);
    run_for(60000);
    check_copies(0, 1);
    CHECK_EQ(site.num_acked, 9);
    site_drop(&site);
    site_close(&site);
}

/* An orderly stop finishes what is on its way, and leaves no connection behind. */
static void test_stop(void)
{
    start(6);
    for (uint32_t i = 0; i < 3; i++) {
        client_connect(&site, &clients[i], i, 3, 3000);
    }
    run_for(40); /* in the middle of it */
    sim_host_signal(site.host, PORT_TERMINATE);
    bool runs = true;
    for (int i = 0; i < 40000 && runs; i++) {
        runs = mta_step(site.mta);
        for (size_t k = 0; k < 3; k++) {
            (void)client_turn(&site, &clients[k]);
        }
        sink_turn();
    }
    CHECK(!runs);
    CHECK_EQ(sim_net_num_handles(site.host), 0);
    uint32_t num_before = 0;
    for (uint32_t i = 0; i < SITE_MESSAGES_MAX; i++) {
        num_before += sink.copies[i];
    }
    sim_host_kill(site.host);
    site_drop(&site);
    site_start(&site);
    run_for(60000);
    check_copies(0, 1);
    CHECK(num_before <= 9);
    site_drop(&site);
    site_close(&site);
}

/* What keeps TLS from being brought up for sending passes, and it is tried again. */
static void test_tls_comes_later(void)
{
    start(7);
    client_connect(&site, &clients[0], 0, 1, 100);
    for (int i = 0; i < 100 && site.mta->commits_first == NULL; i++) {
        mta_step(site.mta);
        (void)client_turn(&site, &clients[0]);
    }
    sim_host_set_entropy_failing(site.host, true);
    run_for(30000);
    CHECK(!site.mta->has_tls_env);
    CHECK_EQ(sim_log_count(site.host, "error tls"), 1);
    sim_host_set_entropy_failing(site.host, false);
    run_for(60000);
    client_connect(&site, &clients[0], 1, 1, 100);
    run_for(60000);
    CHECK(site.mta->has_tls_env);
    CHECK_EQ(sink.copies[0], 1);
    check_copies(0, 1);
    CHECK(site_stop(&site, 20000));
    site_close(&site);
}

static const struct test_case cases[] = {
    {"crash_lose", test_crash_lose},
    {"crash_keep", test_crash_keep},
    {"crash_mixed", test_crash_mixed},
    {"late_crash", test_late_crash},
    {"stop", test_stop},
    {"tls_comes_later", test_tls_comes_later},
};

TEST_MAIN(cases)

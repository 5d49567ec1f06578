/* Twenty-four days of one site in simulated time: mail in plaintext and in TLS, into a Maildir and
 * on to a next server that is away at times; options read again, certificates and proofs swapped,
 * the process killed and the power cut. The clock of 32-bit milliseconds wraps in the middle.
 *
 * At the end nothing is lost and nothing there twice but what a crash overtook; after each day all
 * pools are balanced and memory is what it was after the first. */
#include "mta_tls_peer.h"

#include "queue_inside.h"

#define NUM_DAYS      24
#define HOUR_MS       UINT64_C(3600000)
#define MAILS_EACH    2 /* an hour, beside those in TLS */
#define NUM_PROOFS    6
#define PROOF_DAYS    5
#define SINK_PEERS    16
#define WRAP_AFTER_MS (10 * 24 * HOUR_MS)
#define MARKS_MAX     2048
#define SEGMENTS_MAX  24 /* free ones included: what a spool of 16M has room for */

static struct {
    struct net_addr at;
    bool is_away; /* takes connections, and says nothing good */
    struct {
        struct sim_client *client;
        char got[8192];
        size_t got_len;
        bool in_content;
    } peers[SINK_PEERS];
    uint32_t copies[MARKS_MAX];
} sink;

static bool acked[MARKS_MAX];
static uint32_t num_marks, num_acked, num_cut, num_starts, num_handshakes, num_timeouts;
static uint64_t heap_after_a_day;

/* --- The next server --- */

static void sink_say(size_t i, const char *text)
{
    (void)sim_client_write(sink.peers[i].client, slice_of_string(text));
}

static void sink_line(size_t i, const char *line)
{
    sink.peers[i].in_content = !sink.is_away && strncmp(line, "DATA", 4) == 0;
    sink_say(i, sink.is_away                    ? "421 4.3.2 away\r\n"
                : strncmp(line, "EHLO", 4) == 0 ? "250-sink\r\n250 PIPELINING\r\n"
                : sink.peers[i].in_content      ? "354 go\r\n"
                                                : "250 ok\r\n");
}

static void sink_content(size_t i)
{
    const char *mark = memmem(sink.peers[i].got, sink.peers[i].got_len, "\r\nmark ", 7);
    CHECK(mark != NULL);
    if (mark != NULL) {
        sink.copies[atoi(mark + 7) % MARKS_MAX]++;
    }
    sink.peers[i].in_content = false;
    sink_say(i, "250 taken\r\n");
}

static void sink_peer_turn(size_t i)
{
    char *got = sink.peers[i].got, *end;
    size_t len, *got_len = &sink.peers[i].got_len;
    enum err err = sim_client_read(sink.peers[i].client, &len, (uint8_t *)got + *got_len,
                                   sizeof sink.peers[i].got - *got_len);
    if (err == ERR_EOF || err == ERR_RESET) {
        sim_client_close(sink.peers[i].client);
        memset(&sink.peers[i], 0, sizeof sink.peers[i]);
        return;
    }
    *got_len += err == ERR_OK ? len : 0;
    for (;;) {
        size_t mark_len = sink.peers[i].in_content ? 5 : 2;
        end = memmem(got, *got_len, sink.peers[i].in_content ? "\r\n.\r\n" : "\r\n", mark_len);
        if (end == NULL) {
            return;
        }
        if (sink.peers[i].in_content) {
            sink_content(i);
        } else {
            sink_line(i, got);
        }
        size_t used = (size_t)(end - got) + mark_len;
        *got_len -= used;
        memmove(got, got + used, *got_len);
    }
}

static void sink_turn(void)
{
    struct sim_client *c = sim_accept(site.world, &sink.at);
    for (size_t i = 0; i < SINK_PEERS; i++) {
        if (c != NULL && sink.peers[i].client == NULL) {
            sink.peers[i].client = c;
            sink_say(i, "220 sink\r\n");
            c = NULL;
        }
        if (sink.peers[i].client != NULL) {
            sink_peer_turn(i);
        }
    }
    CHECK(c == NULL);
}

/* --- Time --- */

static void step(void)
{
    mta_step(site.mta);
    sink_turn();
}

static void pass(uint64_t ms)
{
    uint64_t end_ms = sim_world_now_ms(site.world) + ms;
    sim_world_set_horizon(site.world, end_ms);
    for (int i = 0; i < 400000 && sim_world_now_ms(site.world) < end_ms; i++) {
        step();
    }
    CHECK(sim_world_now_ms(site.world) >= end_ms);
    sim_world_set_horizon(site.world, UINT64_MAX);
}

/* --- Mail --- */

/* One message to joe and to somebody elsewhere. The machine may fail within: cut_at counts steps.
 */
static void send_mail(uint32_t cut_at)
{
    static const char head[] = "EHLO a.example\r\nMAIL FROM:<s@client.example>\r\n"
                               "RCPT TO:<joe@example.org>\r\nRCPT TO:<x@far.example>\r\nDATA\r\n";
    struct net_addr at = site_address();
    struct sim_client *peer = sim_connect(site.world, &at, NULL);
    char got[4096] = "", text[200];
    size_t got_len = 0, len;
    uint32_t mark = num_marks++;
    bool said = false;
    enum err err = ERR_AGAIN;
    CHECK(peer != NULL && mark < MARKS_MAX);
    snprintf(text, sizeof text, "Subject: day\r\n\r\nmark %06u\r\n.\r\nQUIT\r\n", mark);
    sim_client_write(peer, slice_of_string(head));
    for (uint32_t i = 0; i < 400 && (cut_at == 0 || i < cut_at); i++) {
        step();
        err = sim_client_read(peer, &len, (uint8_t *)got + got_len, sizeof got - 1 - got_len);
        got_len += err == ERR_OK ? len : 0;
        got[got_len] = '\0';
        if (!said && strstr(got, "\r\n354 ") != NULL) {
            said = true;
            sim_client_write(peer, slice_of_string(text));
        }
        if (err == ERR_EOF || err == ERR_RESET) {
            break;
        }
    }
    acked[mark] = strstr(got, "Queued as") != NULL;
    num_acked += acked[mark];
    num_cut += !acked[mark];
    CHECK(acked[mark] || cut_at != 0);
    sim_client_close(peer);
}

/* A handshake, with a proof, which must be served all the time. */
static void shake_hands(void)
{
    static struct tls_peer peer;
    peer_connect(&peer);
    CHECK(peer_starttls(&peer));
    CHECK(sim_log_count(site.host, "ocsp=none") == 0);
    peer_say(&peer, "QUIT\r\n");
    CHECK(peer_hears(&peer, "221 "));
    peer_close(&peer);
    num_handshakes++;
}

/* Somebody who says nothing: the timer comes. */
static void be_silent(void)
{
    struct net_addr at = site_address();
    struct sim_client *peer = sim_connect(site.world, &at, NULL);
    char got[512] = "";
    size_t len = 0;
    step();
    (void)sim_client_read(peer, &len, (uint8_t *)got, sizeof got - 1);
    pass(301000);
    memset(got, 0, sizeof got);
    (void)sim_client_read(peer, &len, (uint8_t *)got, sizeof got - 1);
    num_timeouts += strstr(got, "421 4.4.2") != NULL;
    sim_client_close(peer);
}

/* --- What happens to the machine --- */

static void write_options(uint32_t number)
{
    char text[2048];
    snprintf(text, sizeof text,
             "%s" TLS_CONF "relay_from_hosts = 0.0.0.0/0\nroute_list = * smtp:192.0.2.25\n"
             "retry_min = 1m\nretry_max = 30m\nsmtp_accept_max_nonmail = %u\n",
             site_conf, 20 + number % 7);
    sim_files_put_string(site.host, SITE_CONF, text);
}

static void start(void)
{
    site_start(&site);
    num_starts++;
    pass(2000);
}

static void end_process(uint32_t number)
{
    static const enum sim_crash how[] = {SIM_CRASH_KEEP, SIM_CRASH_LOSE, SIM_CRASH_MIXED};
    site_drop(&site);
    if (number % 4 == 3) {
        sim_host_kill(site.host);
    } else {
        sim_host_crash(site.host, how[number % 4]);
    }
    start();
}

/* The set of that number: another certificate every other one. */
static void install(uint32_t number)
{
    char chain[32], key[32], proof[32];
    snprintf(chain, sizeof chain, "chain%u.pem", number / 2);
    snprintf(key, sizeof key, "key%u.pem", number / 2);
    snprintf(proof, sizeof proof, "proof%u.der", number);
    copy_file(chain, "/tls/chain.pem");
    copy_file(key, "/tls/key.pem");
    copy_file(proof, "/tls/good.der");
}

static bool make_sets(void)
{
    char command[1024];
    for (int i = 0; i < NUM_PROOFS; i++) {
        const int from_s = i == 0 ? -3600 : (i * PROOF_DAYS - 1) * 86400;
        snprintf(
            command, sizeof command,
            "D=%s; { [ %d = 1 ] || tests/lib/pki renew $D; } && cp $D/chain.pem $D/chain%d.pem "
            "&& cp $D/key.pem $D/key%d.pem && tests/lib/pki proof $D $D/proof%d.der %d %d",
            pki_dir, i % 2, i / 2, i / 2, i, from_s, (i + 1) * PROOF_DAYS * 86400 + 86400);
        if (system(command) != 0) {
            return false;
        }
    }
    return true;
}

/* --- What must hold --- */

static void check_balanced(uint32_t day)
{
    const struct mta *m = site.mta;
    struct spool_stats stats;
    spool_stats_of(m->spool, &stats);
    const struct pool *pools[] = {&m->conns,     &m->in_slots, &m->out_slots, &m->tls_conns,
                                  &m->tls_names, &m->controls, &m->locals,    &m->txns,
                                  &m->blocks,    &m->logins,   &m->users};
    for (size_t i = 0; i < sizeof pools / sizeof pools[0]; i++) {
        CHECK_EQ(pools[i]->num_used, 0);
        CHECK_EQ(pools[i]->num_refused, 0);
    }
    CHECK_EQ(m->num_handshakes, 0);
    CHECK_EQ(m->num_txns_promised, 0);
    CHECK_EQ(queue_num_messages(&m->queue), 0);
    CHECK_EQ(sim_net_num_handles(site.host), 2); /* the listener and the control socket */
    if (day == 0) {
        heap_after_a_day = m->heap.used_len;
    }
    CHECK(m->heap.used_len <= heap_after_a_day + 1024);
    CHECK(stats.num_segments <= SEGMENTS_MAX);
    CHECK_EQ(m->timers.num, 1); /* of the proofs: none of a peer */
}

static void check_nothing_lost(void)
{
    static uint32_t copies[MARKS_MAX];
    uint32_t num_twice = 0;
    for (int subdir = SIM_NEW; subdir <= SIM_CUR; subdir++) {
        size_t num = sim_mailbox_num(site.host, SITE_MAILDIR, (enum sim_subdir)subdir);
        for (size_t i = 0; i < num; i++) {
            const char *name, *mark;
            struct slice bytes;
            CHECK(sim_mailbox_file(site.host, SITE_MAILDIR, (enum sim_subdir)subdir, i, &name,
                                   &bytes));
            mark = memmem(bytes.ptr, bytes.len, "\nmark ", 6);
            CHECK(mark != NULL);
            copies[mark == NULL ? 0 : atoi(mark + 6) % MARKS_MAX]++;
        }
    }
    for (uint32_t i = 0; i < num_marks; i++) {
        CHECK(copies[i] <= 1);
        CHECK(copies[i] == 1 || !acked[i]);
        CHECK(sink.copies[i] >= 1 || !acked[i]);
        num_twice += sink.copies[i] > 1;
    }
    CHECK(num_twice <= num_starts); /* a crash came between the peer's reply and its record */
    CHECK(num_acked > num_marks / 2 && num_cut > 0 && num_timeouts == NUM_DAYS);
}

/* --- The days --- */

static void live_an_hour(uint32_t hour)
{
    sink.is_away = hour % 24 >= 10 && hour % 24 < 12;
    if (hour % 24 == 5) {
        sim_mailbox_fail_begin(site.host, 1, 3, ERR_NO_SPACE);
    }
    for (uint32_t i = 0; i < MAILS_EACH; i++) {
        send_mail(0);
        pass(HOUR_MS / 4);
    }
    if (hour % 3 == 0) {
        shake_hands();
    }
    if (hour % 6 == 1) {
        write_options(hour);
        sim_host_signal(site.host, PORT_RELOAD);
    }
    if (hour % 8 == 7) {
        send_mail(1 + hour % 13);
        end_process(hour / 8);
    }
    pass(HOUR_MS / 2);
}

static void test_days(void)
{
    struct sim_store_conf conf = {.sync_ms = 5};
    CHECK(make_sets());
    site_open(&site, 51, &conf);
    sim_world_advance(site.world, (UINT64_C(1) << 32) - WRAP_AFTER_MS);
    sim_host_set_wall(site.host, (int64_t)time(NULL), true);
    CHECK(net_addr_parse(SLICE_LITERAL("192.0.2.25"), &sink.at));
    sink.at.port = 25;
    sim_listen(site.world, &sink.at);
    install(0);
    write_options(0);
    uint64_t begin_ms = sim_world_now_ms(site.world);
    start();
    for (uint32_t day = 0; day < NUM_DAYS; day++) {
        for (uint32_t hour = 0; hour < 23; hour++) {
            live_an_hour(day * 24 + hour);
        }
        sink.is_away = false;
        be_silent();
        pass(HOUR_MS - 301000);
        check_balanced(day);
        sim_log_clear(site.host);
        if (day % PROOF_DAYS == PROOF_DAYS - 1) {
            install(day / PROOF_DAYS + 1);
        }
    }
    CHECK(sim_world_now_ms(site.world) - begin_ms >= NUM_DAYS * 24 * HOUR_MS);
    CHECK(begin_ms < UINT64_C(1) << 32 && sim_world_now_ms(site.world) > UINT64_C(1) << 32);
    check_nothing_lost();
    printf("        %u messages, %u of them cut; %u starts, %u handshakes\n", num_marks, num_cut,
           num_starts, num_handshakes);
    site_close(&site);
}

static const struct test_case cases[] = {
    {"days", test_days},
};

int main(int argc, char **argv)
{
    return tls_test_main(cases, sizeof cases / sizeof cases[0], argc, argv);
}

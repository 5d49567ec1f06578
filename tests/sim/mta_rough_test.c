/* Clients that break off, stall, never read, or come when there is no memory: nothing is left
 * behind, nobody else waits, and the server can always be stopped. */
#include "mta_tls_peer.h"
#include "spool_inside.h"

static struct site_client plain;

/* Lets that time pass, with whatever is due in it. */
static void settle_for(uint64_t ms)
{
    uint64_t end = sim_world_now_ms(site.world) + ms;
    sim_world_set_horizon(site.world, end);
    for (int i = 0; i < 5000 && sim_world_now_ms(site.world) < end; i++) {
        mta_step(site.mta);
    }
    sim_world_set_horizon(site.world, UINT64_MAX);
}

/* A client whose network takes so little that the 220 to its STARTTLS cannot go out. */
static void hold_220(struct tls_peer *p)
{
    struct sim_link link = {.queue_len = 16};
    open_tls_site(4, 5);
    sim_net_set_link(site.world, &link);
    peer_connect(p);
    CHECK(peer_hears(p, "220 "));
    peer_say(p, "EHLO x\r\n");
    CHECK(peer_hears(p, "250 "));
    peer_say(p, "STARTTLS\r\n");
    for (int i = 0; i < 3; i++) {
        mta_step(site.mta);
    }
    CHECK_EQ(site.mta->conns.num_used, 1);
}

/* After a while nothing of any connection is held. */
static void nothing_is_left(void)
{
    for (int i = 0; i < 50; i++) {
        mta_step(site.mta);
    }
    CHECK_EQ(site.mta->conns.num_used, 0);
    CHECK_EQ(site.mta->num_handshakes, 0);
    CHECK_EQ(site.mta->tls_conns.num_used, 0);
    CHECK_EQ(sim_net_num_handles(site.host), 2);
}

/* A connection that breaks, or times out, between STARTTLS and the handshake. */
static void test_lost_before_handshake(void)
{
    static struct tls_peer p;
    hold_220(&p);
    sim_client_reset(p.peer);
    nothing_is_left();
    sim_client_close(p.peer);
    CHECK(site_stop(&site, 20000));
    site_close(&site);
    hold_220(&p);
    nothing_is_left(); /* nobody ever reads: the time-out */
    sim_client_close(p.peer);
    CHECK(site_stop(&site, 20000));
    site_close(&site);
}

/* A client in that place does not hold up the end. */
static void test_stop_before_handshake(void)
{
    static struct tls_peer p;
    hold_220(&p);
    uint64_t begin = sim_world_now_ms(site.world);
    sim_host_signal(site.host, PORT_TERMINATE);
    bool up = true;
    for (int i = 0; i < 300 && (peer_turn(&p), up = mta_step(site.mta)); i++) {
    }
    CHECK(sim_world_now_ms(site.world) - begin < 5000);
    sim_client_close(p.peer);
    if (up) {
        site_stop(&site, 20000);
    }
    site_close(&site);
}

static void *held[10000];
static size_t num_held;
/* Takes what the heap of TLS has, but runs of less than down_to bytes. */
static void fill_heap(size_t down_to)
{
    for (size_t size = 1 << 20; size >= 32; size /= 2) {
        while (num_held < 10000 && heap_largest_free(&site.mta->heap) >= size + down_to &&
               (held[num_held] = heap_alloc(&site.mta->heap, 1, size)) != NULL) {
            num_held++;
        }
    }
}

static void free_heap(void)
{
    while (num_held > 0) {
        heap_free(&site.mta->heap, held[--num_held]);
    }
}

/* A handshake that found no memory goes on when there is some, although its client says nothing. */
static void test_handshake_outlasts_full_heap(void)
{
    struct tls_client_options options = {.server_name = SLICE_LITERAL("localhost")};
    static struct tls_peer p;
    open_tls_site(5, 5);
    peer_connect(&p);
    peer_asks_for_tls(&p);
    settle_for(10);
    CHECK_EQ(tls_open_client(&p.tls, &site.mta->tls_env, &options), ERR_OK);
    p.in_tls = true;
    peer_turn(&p);
    uint32_t cursor = 0;
    struct conn *c = pool_each(&site.mta->conns, &cursor);
    for (int i = 0; i < 5 && (c->tls == NULL || c->tls->info.sni.len == 0); i++) {
        mta_step(site.mta);
    }
    CHECK(c->tls != NULL && c->tls->info.sni.len != 0);
    fill_heap(15000);
    settle_for(300);
    CHECK_EQ(site.mta->conns.num_used, 1);
    free_heap();
    uint64_t begin = sim_world_now_ms(site.world);
    for (int i = 0; i < 200 && !p.established && sim_world_now_ms(site.world) < begin + 30000;
         i++) {
        peer_turn(&p);
        settle_for(50);
    }
    CHECK(p.established);
    peer_close(&p);
    CHECK(site_stop(&site, 20000));
    site_close(&site);
}

/* A reply that finds no memory times out like one that nobody reads. */
static void test_full_heap_times_out(void)
{
    static struct tls_peer p;
    open_tls_site(6, 5);
    peer_connect(&p);
    CHECK(peer_starttls(&p));
    settle_for(10);
    size_t taken;
    CHECK_EQ(tls_write(&p.tls, SLICE_LITERAL("EHLO xxxxx\r\nNOOP\r\n"), &taken), ERR_OK);
    /* the server reads a record of its own, and can write none */
    peer_flush(&p);
    void *spare =
        heap_alloc(&site.mta->heap, 1, 700); /* enough to read with, too little to write */
    fill_heap(0);
    heap_free(&site.mta->heap, spare);
    settle_for(100);
    uint64_t begin = sim_world_now_ms(site.world);
    while (site.mta->conns.num_used != 0 && sim_world_now_ms(site.world) < begin + 1200000) {
        mta_step(site.mta);
    }
    CHECK_EQ(site.mta->conns.num_used, 0);
    free_heap();
    peer_close(&p);
    CHECK(site_stop(&site, 20000));
    site_close(&site);
}

/* A client that ends its side behind its commands still reads every reply. */
static void test_half_closed_reads_replies(void)
{
    struct sim_link link = {.queue_len = 64};
    static struct tls_peer p;
    open_tls_site(7, 5);
    sim_net_set_link(site.world, &link);
    peer_connect(&p);
    CHECK(peer_hears(&p, "220 "));
    settle_for(10);
    peer_say(&p, "EHLO x\r\nNOOP\r\nQUIT\r\n");
    sim_client_shutdown(p.peer);
    CHECK(peer_hears(&p, "221 "));
    sim_client_close(p.peer);
    CHECK(site_stop(&site, 20000));
    site_close(&site);
    open_tls_site(7, 5);
    peer_connect(&p);
    CHECK(peer_hears(&p, "220 "));
    peer_say(&p, "EHLO x\r\n");
    sim_client_shutdown(p.peer);
    CHECK(peer_hears(&p, "250 E"));
    sim_client_close(p.peer);
    CHECK(site_stop(&site, 20000));
    site_close(&site);
}

/* Likewise where the replies do not fit into the network at once. */
static void test_slow_reader_half_closed(void)
{
    struct sim_link link = {.queue_len = 64};
    static struct tls_peer p;
    open_tls_site(8, 5);
    sim_net_set_link(site.world, &link);
    peer_connect(&p);
    CHECK(peer_hears(&p, "220 "));
    settle_for(10);
    peer_say(&p, "EHLO x\r\n");
    sim_client_shutdown(p.peer);
    CHECK(peer_hears(&p, "250 ENH"));
    sim_client_close(p.peer);
    CHECK(site_stop(&site, 20000));
    site_close(&site);
}

/* Sessions that wait for room in the spool do not hold up the end. */
static void test_stop_while_waiting_for_room(void)
{
    static struct site_client senders[3];
    struct sim_store_conf conf = {.sync_ms = 20000};
    uint32_t num_waiting = 0;
    site_open(&site, 9, &conf);
    site_start(&site);
    for (uint32_t i = 0; i < 3; i++) {
        client_connect(&site, &senders[i], i, 1, 700000);
    }
    for (int step = 0; step < 3000 && num_waiting == 0; step++) {
        uint32_t cursor = 0;
        const struct conn *c;
        mta_step(site.mta);
        for (int i = 0; i < 3; i++) {
            client_turn(&site, &senders[i]);
        }
        while ((c = pool_each(&site.mta->conns, &cursor)) != NULL) {
            num_waiting += c->waits_for_room;
        }
    }
    CHECK(num_waiting > 0);
    uint64_t begin_ms = sim_world_now_ms(site.world);
    sim_host_signal(site.host, PORT_TERMINATE);
    while (mta_step(site.mta) && sim_world_now_ms(site.world) < begin_ms + 60000) {
        for (int i = 0; i < 3; i++) {
            client_turn(&site, &senders[i]);
        }
    }
    CHECK(sim_world_now_ms(site.world) <= begin_ms + 30000); /* whatever the disk does */
    site_close(&site);
}

/* Lets the server step for so long, whether it waits or not, and notes what the client hears. */
static bool hears_within(struct sim_client *peer, const char *wanted, uint64_t ms)
{
    static char text[2048];
    size_t len = 0, got;
    text[0] = '\0';
    for (uint64_t at = 0; at < ms && strstr(text, wanted) == NULL; at += 50) {
        sim_world_set_horizon(site.world, sim_world_now_ms(site.world) + 50);
        for (int i = 0; i < 4 && mta_step(site.mta); i++) {
        }
        sim_world_set_horizon(site.world, UINT64_MAX);
        sim_world_advance(site.world, 50);
        while (sim_client_read(peer, &got, (uint8_t *)text + len, sizeof text - 1 - len) ==
               ERR_OK) {
            len += got;
            text[len] = '\0';
        }
    }
    return strstr(text, wanted) != NULL;
}

/* A client whose message is complete, but for fields that we add, and the spool takes no byte. */
static struct sim_client *open_waiting_at_end(void)
{
    struct sim_store_conf conf = {.sync_ms = 5};
    char options[2048];
    site_open(&site, 9, &conf);
    snprintf(options, sizeof options,
             "%ssubmission_ports = 25\nrelay_from_hosts = *\nsmtp_receive_timeout = 5s\n"
             "smtp_data_timeout = 5s\n",
             site_conf);
    sim_files_put_string(site.host, SITE_CONF, options);
    site_start(&site);
    struct net_addr to = site_address();
    struct sim_client *peer = sim_connect(site.world, &to, NULL);
    sim_client_write(peer, SLICE_LITERAL("EHLO x\r\nMAIL FROM:<a@b.example>\r\n"
                                         "RCPT TO:<joe@example.org>\r\nDATA\r\nSubject: x\r\n"));
    CHECK(hears_within(peer, "354 ", 1000));
    site.mta->spool->conf.max_unsynced = 0; /* what is not on the disk yet is as much as may be */
    sim_client_write(peer, SLICE_LITERAL(".\r\n"));
    return peer;
}

static void give_room(void)
{
    site.mta->spool->conf.max_unsynced = 1 << 20;
    site.mta->spool->is_room = true; /* as a sync that has ended says */
}

static void close_waiting(struct sim_client *peer)
{
    sim_client_close(peer);
    settle_for(1000);
    CHECK_EQ(site.mta->conns.num_used, 0);
    CHECK_EQ(site.mta->txns.num_used, 0);
    site_stop(&site, 20000);
    site_close(&site);
}

/* It is answered whenever there is room, and its session goes on: the client is not late. */
static void test_end_outlasts_the_timeout(void)
{
    struct sim_client *peer = open_waiting_at_end();
    CHECK(!hears_within(peer, "421", 30000));
    give_room();
    CHECK(hears_within(peer, "250 2.0.0 Queued", 1000));
    sim_client_write(peer, SLICE_LITERAL("QUIT\r\n"));
    CHECK(hears_within(peer, "221 ", 1000));
    close_waiting(peer);
}

/* Likewise when the server is told to stop, if there is room before it does. */
static void test_end_before_the_stop(void)
{
    struct sim_client *peer = open_waiting_at_end();
    CHECK(!hears_within(peer, "421", 1000));
    sim_host_signal(site.host, PORT_TERMINATE);
    CHECK(!hears_within(peer, "421", 1000));
    give_room();
    CHECK(hears_within(peer, "250 2.0.0 Queued", 1000));
    sim_client_close(peer);
    site_stop(&site, 20000);
    site_close(&site);
}

/* A client that leaves takes nothing with it. */
static void test_end_of_one_who_left(void)
{
    struct sim_client *peer = open_waiting_at_end();
    CHECK(!hears_within(peer, "250", 1000));
    sim_client_reset(peer);
    CHECK(!hears_within(peer, "250", 30000));
    give_room();
    settle_for(1000);
    close_waiting(peer);
}

/* SIGTERM at any step of recovery. */
static void test_stop_before_ready(void)
{
    struct sim_store_conf conf = {.sync_ms = 50};
    for (uint64_t num_steps = 0; num_steps < 40; num_steps++) {
        site_open(&site, 20 + num_steps, &conf);
        site_start(&site);
        for (uint64_t i = 0; i < num_steps; i++) {
            mta_step(site.mta);
        }
        uint64_t begin_ms = sim_world_now_ms(site.world);
        sim_host_signal(site.host, PORT_RELOAD);
        CHECK(site_stop(&site, 5000));
        CHECK(sim_world_now_ms(site.world) - begin_ms <= 1000);
        site_close(&site);
    }
}

/* As many messages as the budget has room for, less those kept for reports: the next is refused,
 * and taken once one has gone. */
static void test_full_by_count(void)
{
    site_open(&site, 61, NULL);
    site_start(&site);
    struct queue *q = &site.mta->queue;
    q->limits.num_messages = q->limits.num_reports + 12; /* what the build has, made small */
    sim_mailbox_fail_begin(site.host, 1, 12, ERR_NO_SPACE);
    client_connect(&site, &plain, 0, 20, 100);
    CHECK(site_run(&site, &plain, 1, 20000));
    CHECK_EQ(site.num_acked, 12);
    struct net_addr at = site_address();
    struct sim_client *other = sim_connect(site.world, &at, NULL);
    char replies[2048];
    size_t len = 0, num;
    sim_client_write(other, SLICE_LITERAL("EHLO other\r\nMAIL FROM:<a@client.example>\r\n"));
    for (int i = 0; i < 100; i++) {
        mta_step(site.mta);
        if (sim_client_read(other, &num, (uint8_t *)replies + len, sizeof replies - len) ==
            ERR_OK) {
            len += num;
        }
    }
    CHECK(memmem(replies, len, "\r\n452 4.3.1 ", 12) != NULL);
    sim_client_close(other);
    for (int i = 0; i < 10; i++) {
        CHECK(site_settle(&site, 5000));
    }
    CHECK_EQ(queue_num_messages(q), 0);
    client_connect(&site, &plain, 1, 5, 100);
    CHECK(site_run(&site, &plain, 1, 20000));
    CHECK_EQ(site.num_acked, 17);
    site_stop(&site, 5000);
    site_close(&site);
}

/* A user is removed while a message waits: it is kept, and delivered once he is back. */
static void test_removed_user(void)
{
    char text[2048];
    char first[2048];
    site_open(&site, 60, NULL);
    snprintf(first, sizeof first, "%sdelay_warning = 0\n", site_conf);
    sim_files_put_string(site.host, SITE_CONF, first);
    site_start(&site);
    sim_mailbox_fail_begin(site.host, 1, 1, ERR_NO_SPACE);
    client_connect(&site, &plain, 0, 1, 100);
    CHECK(site_run(&site, &plain, 1, 5000));
    snprintf(text, sizeof text, "%s", first);
    memcpy(strstr(text, "joe : ann"), "bob : ann", 9);
    sim_files_put_string(site.host, SITE_CONF, text);
    sim_host_signal(site.host, PORT_RELOAD);
    for (int i = 0; i < 60 * 24; i++) {
        CHECK(site_settle(&site, 5000));
    }
    sim_files_put_string(site.host, SITE_CONF, first);
    sim_host_signal(site.host, PORT_RELOAD);
    for (int i = 0; i < 60 * 5; i++) {
        CHECK(site_settle(&site, 5000));
    }
    CHECK_EQ(site_copies(&site, 0), 1);
    CHECK_EQ(queue_num_messages(&site.mta->queue), 0);
    site_stop(&site, 5000);
    site_close(&site);
}

struct chaos {
    struct tls_peer peers[30]; /* plaintext only */
    uint64_t state;
};

static uint64_t chaos_draw(struct chaos *x, uint64_t below)
{
    x->state = x->state * 6364136223846793005u + 1442695040888963407u;
    return (x->state >> 33) % below;
}

static void chaos_act(struct chaos *x)
{
    static const char *const says[] = {
        "EHLO x\r\n",
        "STARTTLS\r\n",
        "MAIL FROM:<a@b.example>\r\nRCPT TO:<joe@example.org>\r\nDATA\r\n",
        "x: y\r\n\r\nhi\r\n.\r\n",
        "QUIT\r\n",
        "BDAT 5 LAST\r\nabc\r\n",
        "RSET\r\n",
        "foo\n",
        "RCPT TO:<nobody@example.org>\r\nRCPT TO:<nobody@example.org>\r\n",
        "\x16\x03\x01\x02", /* the begin of a handshake */
    };
    uint8_t bytes[100];
    size_t len;
    struct net_addr at = site_address();
    struct tls_peer *p = &x->peers[chaos_draw(x, 30)];
    uint64_t what = chaos_draw(x, 24);
    if (p->peer == NULL) {
        p->peer = sim_connect(site.world, &at, NULL);
    } else if (what < sizeof says / sizeof says[0]) {
        sim_client_write(p->peer, slice_of_string(says[what]));
    } else if (what == 10) {
        sim_client_shutdown(p->peer);
    } else if (what == 11) {
        sim_client_reset(p->peer);
    } else if (what == 12) {
        sim_client_close(p->peer);
        p->peer = NULL;
    } else if (what < 18) {
        sim_client_read(p->peer, &len, bytes, sizeof bytes);
    } else if (what == 18 && chaos_draw(x, 20) == 0) {
        sim_host_signal(site.host, PORT_RELOAD);
    }
}

static void check_nothing_held(const struct mta *m, uint64_t seed)
{
    uint32_t num = m->conns.num_used + m->txns.num_used + m->num_txns_promised + m->num_handshakes +
                   m->blocks.num_used + m->in_slots.num_used + m->out_slots.num_used +
                   m->tls_conns.num_used + queue_num_messages(&m->queue);
    if (num != 0) {
        fprintf(stderr, "seed %llu: something is still held\n", (unsigned long long)seed);
    }
    CHECK_EQ(num, 0);
}

/* Peers that say, break and close at random: afterwards every pool is as it was. */
static void test_chaos(void)
{
    static struct chaos x;
    for (uint64_t seed = 1; seed <= 30; seed++) {
        struct sim_link link = {.queue_len = 16 + seed * 13 % 300,
                                .random_chunks = seed % 2 != 0,
                                .chunk_len = seed % 2 != 0 ? 40 : 0};
        memset(&x, 0, sizeof x);
        x.state = seed * 0x9e3779b97f4a7c15u;
        open_tls_site(seed, seed % 3 * 40);
        sim_net_set_link(site.world, &link);
        for (int step = 0; step < 1500; step++) {
            chaos_act(&x);
            sim_world_set_horizon(site.world, sim_world_now_ms(site.world) + chaos_draw(&x, 30));
            mta_step(site.mta);
        }
        for (int i = 0; i < 30; i++) {
            if (x.peers[i].peer != NULL) {
                sim_client_close(x.peers[i].peer);
            }
        }
        CHECK(site_settle(&site, 20000));
        CHECK(site_settle(&site, 20000));
        check_nothing_held(site.mta, seed);
        CHECK(site_stop(&site, 20000));
        site_close(&site);
    }
}

/* A client that takes no reply holds up the end for no more than ten seconds. */
static void test_stop_with_one_who_never_reads(void)
{
    struct sim_link link = {.queue_len = 64};
    static struct tls_peer p;
    open_tls_site(12, 5);
    sim_net_set_link(site.world, &link);
    peer_connect(&p);
    CHECK(peer_hears(&p, "220 "));
    peer_say(&p, "EHLO x\r\n");
    settle_for(10);
    uint64_t begin = sim_world_now_ms(site.world);
    CHECK(site_stop(&site, 1000));
    CHECK(sim_world_now_ms(site.world) - begin <= 10000);
    sim_client_close(p.peer);
    site_close(&site);
}

static const struct test_case cases[] = {
    {"lost-before-handshake", test_lost_before_handshake},
    {"stop-before-handshake", test_stop_before_handshake},
    {"handshake-outlasts-full-heap", test_handshake_outlasts_full_heap},
    {"full-heap-times-out", test_full_heap_times_out},
    {"half-closed-reads-replies", test_half_closed_reads_replies},
    {"slow-reader-half-closed", test_slow_reader_half_closed},
    {"lost-while-waiting-for-room", test_stop_while_waiting_for_room},
    {"end-outlasts-the-timeout", test_end_outlasts_the_timeout},
    {"end-before-the-stop", test_end_before_the_stop},
    {"end-of-one-who-left", test_end_of_one_who_left},
    {"stop-before-ready", test_stop_before_ready},
    {"full-by-count", test_full_by_count},
    {"removed-user", test_removed_user},
    {"chaos", test_chaos},
    {"stop-with-one-who-never-reads", test_stop_with_one_who_never_reads},
};

int main(int argc, char **argv)
{
    return tls_test_main(cases, sizeof cases / sizeof cases[0], argc, argv);
}

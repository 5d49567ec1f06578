/* The simulated world itself: time moves only when nothing else can, crashes lose what was not
 * synced and nothing else, faults come when they were ordered. */
#include "sim_files.h"
#include "sim_mailbox.h"
#include "sim_net.h"
#include "test.h"

static struct sim_world *world;
static struct sim_host *host;
static const struct port *port;

static void start(void)
{
    world = sim_world_new(7);
    host = sim_host_new(world, NULL);
    port = sim_host_port(host);
}

static size_t wait_events(struct port_event *events, size_t cap, uint64_t timeout_ms)
{
    return port->loop.wait(port->loop.ctx, events, cap, timeout_ms);
}

static const struct net_addr server = {NET_IPV4, {127, 0, 0, 1}, 25};

static uint32_t listen_at_25(void)
{
    uint32_t handle = 0;
    CHECK_EQ(port->net.listen(port->net.ctx, &handle, &server), ERR_OK);
    CHECK_EQ(port->net.watch(port->net.ctx, handle, true, false, 1), ERR_OK);
    return handle;
}

static uint32_t accept_one(uint32_t listener)
{
    uint32_t handle = 0;
    struct net_addr peer;
    CHECK_EQ(port->net.accept(port->net.ctx, &handle, &peer, listener), ERR_OK);
    CHECK_EQ(port->net.watch(port->net.ctx, handle, true, false, 2), ERR_OK);
    return handle;
}

static void time_goes_to_the_next_event(void)
{
    struct port_event event;
    start();
    uint64_t begin_ms = sim_world_now_ms(world);
    CHECK_EQ(wait_events(&event, 1, 250), 0);
    CHECK_EQ(sim_world_now_ms(world), begin_ms + 250);
    sim_net_set_link(world, &(struct sim_link){.delay_ms = 30});
    listen_at_25();
    CHECK(sim_connect(world, &server, NULL) != NULL);
    CHECK_EQ(wait_events(&event, 1, UINT64_MAX), 1);
    CHECK_EQ(event.kind, PORT_READABLE);
    CHECK_EQ(sim_world_now_ms(world), begin_ms + 280);
    sim_world_set_horizon(world, begin_ms + 300);
    CHECK_EQ(port->net.watch(port->net.ctx, 1, false, false, 1), ERR_OK);
    CHECK_EQ(wait_events(&event, 1, 5000), 0);
    CHECK_EQ(sim_world_now_ms(world), begin_ms + 300);
    CHECK_EQ(wait_events(&event, 1, UINT64_MAX), 0);
    sim_world_free(world);
}

static void hosts_wait_for_each_other(void)
{
    struct port_event event;
    start();
    const struct port *other = sim_host_port(sim_host_new(world, NULL));
    uint64_t begin_ms = sim_world_now_ms(world);
    CHECK_EQ(wait_events(&event, 1, 100), 0);
    CHECK_EQ(sim_world_now_ms(world), begin_ms); /* the other is still at work */
    CHECK_EQ(other->loop.wait(other->loop.ctx, &event, 1, 40), 0);
    CHECK_EQ(sim_world_now_ms(world), begin_ms + 40);
    sim_world_free(world);
}

static void hosts_reach_each_other(void)
{
    struct net_addr at = {NET_IPV4, {0}, 2525}, far, loopback = {NET_IPV4, {127, 0, 0, 1}, 2525};
    uint32_t listener, handle;
    start();
    struct sim_host *other = sim_host_new(world, NULL);
    const struct port_net *net = &sim_host_port(other)->net;
    CHECK_EQ(net->listen(net->ctx, &listener, &at), ERR_OK);
    sim_host_addr(other, &far);
    far.port = 2525;
    CHECK_EQ(port->net.connect(port->net.ctx, &handle, &far), ERR_OK);
    CHECK_EQ(port->net.connect_result(port->net.ctx, handle), ERR_OK);
    CHECK_EQ(port->net.connect(port->net.ctx, &handle, &loopback), ERR_OK);
    CHECK_EQ(port->net.connect_result(port->net.ctx, handle), ERR_REFUSED);
    sim_blackhole(world, &far);
    CHECK_EQ(port->net.connect(port->net.ctx, &handle, &far), ERR_OK);
    CHECK_EQ(port->net.connect_result(port->net.ctx, handle), ERR_AGAIN);
    sim_world_free(world);
}

static void bytes_come_in_chunks_and_whole(void)
{
    static const char text[] = "the quick brown fox jumps over the lazy dog";
    uint8_t got[64];
    size_t sent = 0, len, num_reads = 0, num_got = 0;
    start();
    sim_net_set_link(world,
                     &(struct sim_link){.delay_ms = 5, .chunk_len = 4, .random_chunks = true});
    uint32_t listener = listen_at_25();
    struct sim_client *c = sim_connect(world, &server, NULL);
    while (sent < sizeof text) {
        sent += sim_client_write(c, slice_make(text + sent, sizeof text - sent));
    }
    sim_client_shutdown(c);
    CHECK_EQ(sim_client_write(c, SLICE_LITERAL("x")), 0);
    struct port_event event;
    CHECK_EQ(wait_events(&event, 1, 100), 1);
    uint32_t handle = accept_one(listener);
    CHECK(sim_client_is_accepted(c));
    enum err e = ERR_OK;
    while (e == ERR_OK) {
        e = port->net.read(port->net.ctx, &len, handle, got + num_got, sizeof got - num_got);
        CHECK(len <= 4);
        num_got += len;
        num_reads++;
    }
    CHECK_EQ(e, ERR_EOF);
    CHECK_EQ(num_got, sizeof text);
    CHECK(memcmp(got, text, sizeof text) == 0);
    CHECK(num_reads > sizeof text / 4);
    /* Half closed: the other way still works. */
    CHECK_EQ(port->net.write(port->net.ctx, &len, handle, SLICE_LITERAL("ok")), ERR_OK);
    CHECK_EQ(sim_client_read(c, &len, got, sizeof got), ERR_AGAIN);
    sim_world_advance(world, 5);
    CHECK_EQ(sim_client_read(c, &len, got, sizeof got), ERR_OK);
    sim_client_reset(c);
    CHECK_EQ(port->net.read(port->net.ctx, &len, handle, got, sizeof got), ERR_RESET);
    sim_world_free(world);
}

static void handles_run_out(void)
{
    uint32_t handle;
    struct net_addr peer;
    start();
    uint32_t listener = listen_at_25();
    struct sim_client *c = sim_connect(world, &server, NULL);
    sim_net_set_max_handles(host, 1);
    CHECK_EQ(port->net.accept(port->net.ctx, &handle, &peer, listener), ERR_NO_HANDLE);
    sim_net_set_max_handles(host, 2);
    CHECK_EQ(port->net.accept(port->net.ctx, &handle, &peer, listener), ERR_OK);
    CHECK_EQ(sim_net_num_handles(host), 2);
    sim_client_close(c);
    sim_world_free(world);
}

static uint32_t begin_mail(const char *name)
{
    uint32_t handle = 0;
    CHECK_EQ(port->mailbox.begin(port->mailbox.ctx, &handle, "/m", name), ERR_OK);
    CHECK_EQ(port->mailbox.write(port->mailbox.ctx, handle, SLICE_LITERAL("text")), ERR_OK);
    return handle;
}

static enum err commit(uint32_t handle)
{
    struct port_event event = {PORT_DONE, ERR_AGAIN, 0};
    CHECK_EQ(port->mailbox.commit(port->mailbox.ctx, handle, 5), ERR_OK);
    wait_events(&event, 1, 1000);
    return event.err;
}

static void mail_survives_once_committed(void)
{
    const char *name;
    struct slice bytes;
    start();
    CHECK_EQ(commit(begin_mail("whole")), ERR_OK);
    begin_mail("open");
    sim_mailbox_set_latency(host, 50);
    CHECK_EQ(port->mailbox.commit(port->mailbox.ctx, begin_mail("under-way"), 5), ERR_OK);
    sim_host_crash(host, SIM_CRASH_LOSE);
    CHECK_EQ(sim_mailbox_num(host, NULL, SIM_TMP), 0);
    CHECK_EQ(sim_mailbox_num(host, "/m", SIM_NEW), 1);
    CHECK(sim_mailbox_file(host, "/m", SIM_NEW, 0, &name, &bytes));
    CHECK_TEXT(bytes, "text");
    CHECK_EQ(sim_mailbox_num_commits(host), 1);
    sim_world_free(world);
}

/* The power goes at each operation of a delivery in turn. */
static void mail_is_there_or_not_at_each_power_cut(void)
{
    for (uint64_t at = 1; at <= 6; at++) {
        start();
        uint32_t handle = 0;
        sim_mailbox_set_power_off(host, at);
        enum err e = port->mailbox.begin(port->mailbox.ctx, &handle, "/m", "a");
        if (e == ERR_OK) {
            e = port->mailbox.write(port->mailbox.ctx, handle, SLICE_LITERAL("text"));
        }
        bool told = e == ERR_OK && commit(handle) == ERR_OK;
        CHECK_EQ(told, at == 6);
        CHECK_EQ(sim_host_is_off(host), at < 6);
        sim_host_crash(host, at % 2 == 0 ? SIM_CRASH_LOSE : SIM_CRASH_MIXED);
        CHECK(!sim_host_is_off(host));
        CHECK(!told || sim_mailbox_num(host, "/m", SIM_NEW) == 1);
        CHECK(at >= 5 || sim_mailbox_num(host, "/m", SIM_NEW) == 0);
        CHECK_EQ(commit(begin_mail("again")), ERR_OK);
        sim_world_free(world);
    }
}

static void mail_faults_come_when_ordered(void)
{
    uint32_t handle;
    start();
    sim_mailbox_fail_begin(host, 2, 1, ERR_DENIED);
    handle = begin_mail("1");
    CHECK_EQ(port->mailbox.begin(port->mailbox.ctx, &handle, "/m", "2"), ERR_DENIED);
    handle = begin_mail("3");
    sim_mailbox_fail_write(host, 1, 1, ERR_NO_SPACE);
    CHECK_EQ(port->mailbox.write(port->mailbox.ctx, handle, SLICE_LITERAL("x")), ERR_NO_SPACE);
    sim_mailbox_fail_commit(host, 1, 1, SIM_SYNC_FILE, ERR_IO);
    CHECK_EQ(commit(handle), ERR_IO);
    CHECK_EQ(sim_mailbox_num(host, "/m", SIM_NEW), 0);
    /* After the rename: told as failed, and there all the same. */
    sim_mailbox_fail_commit(host, 1, 1, SIM_SYNC_DIR, ERR_IO);
    CHECK_EQ(commit(begin_mail("4")), ERR_IO);
    CHECK_EQ(sim_mailbox_num(host, "/m", SIM_NEW), 1);
    sim_world_free(world);
}

/* What the store loses its power for, the mailbox does too, and the other way round. */
static void power_is_one(void)
{
    uint32_t handle;
    start();
    CHECK_EQ(port->store.open(port->store.ctx), ERR_OK);
    handle = begin_mail("1");
    struct sim_store_counts counts;
    sim_store_counts_of(sim_host_store(host), &counts);
    sim_store_set_power_off(sim_host_store(host), counts.num_ops + 1);
    uint32_t segment;
    port->store.create(port->store.ctx, &segment, 1, 65536, 1);
    CHECK(sim_host_is_off(host));
    CHECK(port->mailbox.write(port->mailbox.ctx, handle, SLICE_LITERAL("x")) != ERR_OK);
    sim_host_crash(host, SIM_CRASH_KEEP);
    CHECK_EQ(port->store.open(port->store.ctx), ERR_OK);
    sim_mailbox_set_power_off(host, sim_mailbox_num_ops(host) + 1);
    CHECK(port->mailbox.begin(port->mailbox.ctx, &handle, "/m", "2") != ERR_OK);
    CHECK(port->store.create(port->store.ctx, &segment, 2, 65536, 1) != ERR_OK ||
          sim_store_is_off(sim_host_store(host)));
    sim_world_free(world);
}

static void a_crash_breaks_connections(void)
{
    uint8_t byte;
    size_t len;
    start();
    uint32_t listener = listen_at_25();
    struct sim_client *accepted = sim_connect(world, &server, NULL);
    struct sim_client *waiting = sim_connect(world, &server, NULL);
    accept_one(listener);
    sim_host_signal(host, PORT_RELOAD);
    sim_host_kill(host);
    CHECK_EQ(sim_client_read(accepted, &len, &byte, 1), ERR_RESET);
    CHECK_EQ(sim_client_read(waiting, &len, &byte, 1), ERR_RESET);
    CHECK(sim_connect(world, &server, NULL) == NULL);
    CHECK_EQ(sim_net_num_handles(host), 0);
    struct port_event event;
    CHECK_EQ(wait_events(&event, 1, 0), 0);
    sim_world_free(world);
}

static void small_things_do_as_told(void)
{
    bool synchronised;
    uint8_t bytes[4];
    size_t len;
    start();
    sim_host_set_wall(host, 86400, false);
    sim_world_advance(world, 3000);
    CHECK_EQ(port->clock.wall_s(port->clock.ctx, &synchronised), 86403);
    CHECK(!synchronised);
    sim_host_set_entropy_failing(host, true);
    CHECK_EQ(port->entropy.fill(port->entropy.ctx, bytes, 4), ERR_NO_ENTROPY);
    sim_files_put_string(host, "/f", "x");
    sim_files_fail(host, "/f", ERR_DENIED);
    CHECK_EQ(port->files.read(port->files.ctx, &len, "/f", bytes, 4), ERR_DENIED);
    sim_files_fail(host, "/f", ERR_OK);
    CHECK_EQ(port->files.read(port->files.ctx, &len, "/f", bytes, 4), ERR_OK);
    sim_files_remove(host, "/f");
    CHECK_EQ(port->files.read(port->files.ctx, &len, "/f", bytes, 4), ERR_ABSENT);
    port->log.line(port->log.ctx, LOG_INFO, SLICE_LITERAL("message id=1"));
    CHECK_EQ(sim_log_num(host), 1);
    CHECK(strcmp(sim_log_line(host, 0), "info message id=1") == 0);
    CHECK_EQ(sim_log_count(host, "id=1"), 1);
    sim_host_signal(host, PORT_TERMINATE);
    struct port_event event;
    CHECK_EQ(wait_events(&event, 1, 0), 1);
    CHECK_EQ(event.tag, PORT_TERMINATE);
    sim_world_free(world);
}

static const struct test_case cases[] = {
    {"time_goes_to_the_next_event", time_goes_to_the_next_event},
    {"hosts_wait_for_each_other", hosts_wait_for_each_other},
    {"hosts_reach_each_other", hosts_reach_each_other},
    {"bytes_come_in_chunks_and_whole", bytes_come_in_chunks_and_whole},
    {"handles_run_out", handles_run_out},
    {"mail_survives_once_committed", mail_survives_once_committed},
    {"mail_is_there_or_not_at_each_power_cut", mail_is_there_or_not_at_each_power_cut},
    {"mail_faults_come_when_ordered", mail_faults_come_when_ordered},
    {"power_is_one", power_is_one},
    {"a_crash_breaks_connections", a_crash_breaks_connections},
    {"small_things_do_as_told", small_things_do_as_told},
};
TEST_MAIN(cases)

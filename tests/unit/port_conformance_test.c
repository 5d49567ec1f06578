/* What port.h promises, held against every port: the same cases run on the machine's own port, in a
 * directory below build/ and on loopback, and on the simulated one. */
#include "port_conformance.h"

static struct net_addr loopback(uint16_t port_number)
{
    return (struct net_addr){NET_IPV4, {127, 0, 0, 1}, port_number};
}

static uint32_t listen_somewhere(struct net_addr *out)
{
    uint32_t handle = 0;
    struct net_addr at = loopback(0);
    CHECK_EQ(port->net.listen(port->net.ctx, &handle, &at), ERR_OK);
    CHECK(handle != 0);
    CHECK_EQ(port->net.local_addr(port->net.ctx, out, handle), ERR_OK);
    CHECK(out->port != 0);
    return handle;
}

static enum err watch(uint32_t handle, bool readable, bool writable, uint64_t tag)
{
    return port->net.watch(port->net.ctx, handle, readable, writable, tag);
}

static void close_handle(uint32_t handle)
{
    port->net.close(port->net.ctx, handle);
}

static enum err send_text(uint32_t handle, const char *text)
{
    size_t len;
    enum err e = port->net.write(port->net.ctx, &len, handle, slice_of_string(text));
    if (e == ERR_OK) {
        CHECK_EQ(len, strlen(text));
    }
    return e;
}

/* Waits until there is something to read, or an end. */
static enum err receive(uint32_t handle, uint8_t *into, size_t cap, size_t *out_len)
{
    CHECK_EQ(watch(handle, true, false, 900), ERR_OK);
    CHECK(wait_for(PORT_READABLE, 900, NULL));
    CHECK_EQ(watch(handle, false, false, 900), ERR_OK);
    return port->net.read(port->net.ctx, out_len, handle, into, cap);
}

struct pair {
    uint32_t listener, server, client;
};

static struct pair connect_pair(void)
{
    struct pair p = {0, 0, 0};
    struct net_addr at, peer;
    p.listener = listen_somewhere(&at);
    CHECK_EQ(watch(p.listener, true, false, 1), ERR_OK);
    CHECK_EQ(port->net.connect(port->net.ctx, &p.client, &at), ERR_OK);
    CHECK_EQ(watch(p.client, false, true, 2), ERR_OK);
    CHECK(wait_for(PORT_WRITABLE, 2, NULL));
    CHECK_EQ(port->net.connect_result(port->net.ctx, p.client), ERR_OK);
    CHECK_EQ(watch(p.client, false, false, 2), ERR_OK);
    CHECK(wait_for(PORT_READABLE, 1, NULL));
    CHECK_EQ(port->net.accept(port->net.ctx, &p.server, &peer, p.listener), ERR_OK);
    CHECK_EQ(watch(p.listener, false, false, 1), ERR_OK);
    CHECK_EQ(peer.family, NET_IPV4);
    CHECK(peer.port != 0);
    return p;
}

static void close_pair(struct pair p)
{
    close_handle(p.client);
    close_handle(p.server);
    close_handle(p.listener);
}

/* --- Local streams --- */

static enum err listen_local(uint32_t *out, const char *path, enum port_access access)
{
    struct port_local at = {path, "0", access};
    return port->net.listen_local(port->net.ctx, out, &at);
}

static struct pair connect_local_pair(const char *path)
{
    struct pair p = {0, 0, 0};
    struct net_addr peer = {.family = NET_IPV6};
    CHECK_EQ(listen_local(&p.listener, path, PORT_OWNER), ERR_OK);
    CHECK(p.listener != 0);
    CHECK_EQ(port->net.accept(port->net.ctx, &p.server, &peer, p.listener), ERR_AGAIN);
    CHECK_EQ(watch(p.listener, true, false, 1), ERR_OK);
    CHECK_EQ(port->net.connect_local(port->net.ctx, &p.client, path), ERR_OK);
    CHECK_EQ(watch(p.client, false, true, 2), ERR_OK);
    CHECK(wait_for(PORT_WRITABLE, 2, NULL));
    CHECK_EQ(port->net.connect_result(port->net.ctx, p.client), ERR_OK);
    CHECK_EQ(watch(p.client, false, false, 2), ERR_OK);
    CHECK(wait_for(PORT_READABLE, 1, NULL));
    CHECK_EQ(port->net.accept(port->net.ctx, &p.server, &peer, p.listener), ERR_OK);
    CHECK_EQ(watch(p.listener, false, false, 1), ERR_OK);
    CHECK_EQ(peer.family, NET_NONE);
    CHECK_EQ(port->net.local_addr(port->net.ctx, &peer, p.server), ERR_OK);
    CHECK_EQ(peer.family, NET_NONE);
    return p;
}

static void local_carries_bytes(void)
{
    struct pair p = connect_local_pair(local_path);
    uint8_t got[64];
    size_t len;
    CHECK_EQ(port->net.read(port->net.ctx, &len, p.server, got, sizeof got), ERR_AGAIN);
    CHECK_EQ(send_text(p.client, "LHLO"), ERR_OK);
    CHECK_EQ(receive(p.server, got, sizeof got, &len), ERR_OK);
    CHECK_TEXT(slice_make(got, len), "LHLO");
    CHECK_EQ(send_text(p.server, "250"), ERR_OK);
    close_handle(p.server);
    CHECK_EQ(receive(p.client, got, sizeof got, &len), ERR_OK);
    CHECK_TEXT(slice_make(got, len), "250");
    CHECK_EQ(receive(p.client, got, sizeof got, &len), ERR_EOF);
    close_handle(p.client);
    close_handle(p.listener);
}

static void local_tells_who(void)
{
    struct pair p = connect_local_pair(local_path);
    struct port_user user = {1, "x"}, other = {2, "y"};
    CHECK_EQ(port->net.peer_user(port->net.ctx, &user, p.server), ERR_OK);
    CHECK_EQ(user.uid, own_uid);
    CHECK(strlen(user.name) < sizeof user.name);
    CHECK_EQ(port->net.peer_user(port->net.ctx, &other, p.client), ERR_OK);
    CHECK_EQ(other.uid, own_uid);
    CHECK(strcmp(user.name, other.name) == 0);
    close_pair(p);
    p = connect_pair();
    CHECK_EQ(port->net.peer_user(port->net.ctx, &user, p.server), ERR_UNSUPPORTED);
    close_pair(p);
}

static void local_paths_are_taken_and_given_back(void)
{
    static char longest[PORT_LOCAL_PATH_MAX + 2];
    uint32_t handle, other;
    CHECK_EQ(port->net.connect_local(port->net.ctx, &other, local_path), ERR_ABSENT);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(listen_local(&handle, local_path, (enum port_access)i), ERR_OK);
        CHECK_EQ(listen_local(&other, local_path, PORT_OWNER), ERR_IN_USE);
        CHECK_EQ(port->net.connect_local(port->net.ctx, &other, local_path), ERR_OK);
        close_handle(other);
        close_handle(handle);
        CHECK_EQ(port->net.connect_local(port->net.ctx, &other, local_path), ERR_ABSENT);
    }
    memset(longest, 'a', PORT_LOCAL_PATH_MAX + 1);
    CHECK_EQ(listen_local(&handle, longest, PORT_OWNER), ERR_TOO_BIG);
    CHECK_EQ(port->net.connect_local(port->net.ctx, &other, longest), ERR_TOO_BIG);
    snprintf(longest, sizeof longest, "%s", local_path);
    size_t len = strlen(longest);
    memset(longest + len, 'b', PORT_LOCAL_PATH_MAX - len);
    longest[PORT_LOCAL_PATH_MAX] = '\0';
    CHECK_EQ(listen_local(&handle, longest, PORT_OWNER), ERR_OK);
    CHECK_EQ(port->net.connect_local(port->net.ctx, &other, longest), ERR_OK);
    close_handle(other);
    close_handle(handle);
}

/* --- The loop and the clock --- */

static void loop_waits(void)
{
    struct port_event events[EVENTS];
    CHECK_EQ(wait_events(events, EVENTS, 0), 0);
    uint64_t before = port->clock.monotonic_ms(port->clock.ctx);
    CHECK_EQ(wait_events(events, EVENTS, 20), 0);
    CHECK(port->clock.monotonic_ms(port->clock.ctx) >= before + 20);
}

static void clock_tells(void)
{
    bool synchronised;
    int64_t wall_s = port->clock.wall_s(port->clock.ctx, &synchronised);
    CHECK(port->clock.wall_s(port->clock.ctx, &synchronised) >= wall_s);
}

static void entropy_fills(void)
{
    uint8_t one[600] = {0}, other[600] = {0};
    CHECK_EQ(port->entropy.fill(port->entropy.ctx, one, 0), ERR_OK);
    CHECK_EQ(port->entropy.fill(port->entropy.ctx, one, sizeof one), ERR_OK);
    CHECK_EQ(port->entropy.fill(port->entropy.ctx, other, sizeof other), ERR_OK);
    CHECK(memcmp(one, other, sizeof one) != 0);
    uint32_t num_zeros = 0;
    for (size_t i = 0; i < sizeof one; i++) {
        num_zeros += one[i] == 0;
    }
    CHECK(num_zeros < 30);
}

/* --- Datagrams --- */

static uint32_t open_datagram(struct net_addr *out_at)
{
    uint32_t handle = 0;
    struct net_addr at;
    CHECK_EQ(port->net.open_datagram(port->net.ctx, &handle, NET_IPV4), ERR_OK);
    CHECK(handle != 0);
    CHECK_EQ(port->net.local_addr(port->net.ctx, &at, handle), ERR_OK);
    CHECK(at.port != 0);
    *out_at = loopback(at.port);
    return handle;
}

static enum err send_datagram(uint32_t handle, const struct net_addr *to, const char *text)
{
    return port->net.send_to(port->net.ctx, handle, to, slice_of_string(text));
}

static enum err receive_datagram(uint32_t handle, struct net_addr *out_from, char *into, size_t cap,
                                 size_t *out_len)
{
    CHECK_EQ(watch(handle, true, false, 800), ERR_OK);
    CHECK(wait_for(PORT_READABLE, 800, NULL));
    CHECK_EQ(watch(handle, false, false, 800), ERR_OK);
    return port->net.recv_from(port->net.ctx, out_len, out_from, handle, (uint8_t *)into, cap);
}

static void datagrams_go_both_ways(void)
{
    struct net_addr a, b, from;
    uint32_t one = open_datagram(&a), other = open_datagram(&b);
    char got[64];
    size_t len = 9;
    CHECK(a.port != b.port);
    CHECK_EQ(port->net.recv_from(port->net.ctx, &len, &from, other, (uint8_t *)got, sizeof got),
             ERR_AGAIN);
    CHECK_EQ(len, 0);
    CHECK_EQ(send_datagram(one, &b, "question"), ERR_OK);
    CHECK_EQ(receive_datagram(other, &from, got, sizeof got, &len), ERR_OK);
    CHECK_TEXT(slice_make(got, len), "question");
    CHECK(net_addr_same_host(&from, &a) && from.port == a.port);
    CHECK_EQ(send_datagram(other, &from, "answer"), ERR_OK);
    CHECK_EQ(receive_datagram(one, &from, got, sizeof got, &len), ERR_OK);
    CHECK_TEXT(slice_make(got, len), "answer");
    CHECK(net_addr_same_host(&from, &b) && from.port == b.port);
    close_handle(one);
    close_handle(other);
}

static void datagrams_stay_apart(void)
{
    struct net_addr a, b, from, v6 = {NET_IPV6, {[15] = 1}, 9};
    uint32_t one = open_datagram(&a), other = open_datagram(&b);
    char got[4];
    size_t len;
    CHECK_EQ(send_datagram(one, &b, "ab"), ERR_OK);
    CHECK_EQ(send_datagram(one, &b, ""), ERR_OK);
    CHECK_EQ(send_datagram(one, &b, "12345"), ERR_OK);
    CHECK_EQ(send_datagram(one, &b, "1234"), ERR_OK);
    CHECK_EQ(receive_datagram(other, &from, got, sizeof got, &len), ERR_OK);
    CHECK_TEXT(slice_make(got, len), "ab");
    CHECK_EQ(receive_datagram(other, &from, got, sizeof got, &len), ERR_OK);
    CHECK_EQ(len, 0);
    CHECK_EQ(receive_datagram(other, &from, got, sizeof got, &len), ERR_TOO_BIG);
    CHECK_EQ(len, 0);
    CHECK_EQ(receive_datagram(other, &from, got, sizeof got, &len), ERR_OK);
    CHECK_TEXT(slice_make(got, len), "1234");
    CHECK_EQ(port->net.recv_from(port->net.ctx, &len, &from, other, (uint8_t *)got, sizeof got),
             ERR_AGAIN);
    static uint8_t large[70000];
    CHECK_EQ(port->net.send_to(port->net.ctx, one, &b, slice_make(large, sizeof large)),
             ERR_TOO_BIG);
    CHECK(send_datagram(one, &v6, "x") != ERR_OK);
    uint32_t none;
    CHECK_EQ(port->net.open_datagram(port->net.ctx, &none, NET_NONE), ERR_UNSUPPORTED);
    close_handle(one);
    close_handle(other);
}

static void datagrams_are_watched(void)
{
    struct net_addr a, b;
    uint32_t one = open_datagram(&a), other = open_datagram(&b);
    CHECK_EQ(watch(other, true, false, 801), ERR_OK);
    CHECK(!is_reported(801));
    CHECK_EQ(send_datagram(one, &b, "x"), ERR_OK);
    CHECK(is_reported(801));
    CHECK(is_reported(801)); /* still there */
    CHECK_EQ(watch(one, false, true, 802), ERR_OK);
    CHECK(wait_for(PORT_WRITABLE, 802, NULL));
    close_handle(other);
    CHECK(!is_reported(801));
    close_handle(one);
    CHECK(!is_reported(802));
}

/* --- Streams --- */

static void net_connects(void)
{
    struct net_addr at, peer;
    uint32_t listener = listen_somewhere(&at), none;
    CHECK_EQ(port->net.accept(port->net.ctx, &none, &peer, listener), ERR_AGAIN);
    close_handle(listener);
    close_pair(connect_pair());
}

static void net_carries_bytes(void)
{
    struct pair p = connect_pair();
    uint8_t got[64];
    size_t len = 9;
    CHECK_EQ(port->net.read(port->net.ctx, &len, p.server, got, sizeof got), ERR_AGAIN);
    CHECK_EQ(len, 0);
    CHECK_EQ(send_text(p.client, "EHLO"), ERR_OK);
    CHECK_EQ(receive(p.server, got, sizeof got, &len), ERR_OK);
    CHECK_TEXT(slice_make(got, len), "EHLO");
    CHECK_EQ(port->net.read(port->net.ctx, &len, p.server, got, 0), ERR_OK);
    CHECK_EQ(port->net.write(port->net.ctx, &len, p.server, slice_make("", 0)), ERR_OK);
    CHECK_EQ(send_text(p.server, "250"), ERR_OK);
    CHECK_EQ(receive(p.client, got, sizeof got, &len), ERR_OK);
    CHECK_TEXT(slice_make(got, len), "250");
    close_pair(p);
}

static void net_tells_the_end(void)
{
    struct pair p = connect_pair();
    uint8_t got[64];
    size_t len;
    CHECK_EQ(send_text(p.client, "last"), ERR_OK);
    close_handle(p.client);
    CHECK_EQ(receive(p.server, got, sizeof got, &len), ERR_OK);
    CHECK_TEXT(slice_make(got, len), "last");
    CHECK_EQ(receive(p.server, got, sizeof got, &len), ERR_EOF);
    CHECK_EQ(port->net.read(port->net.ctx, &len, p.server, got, sizeof got), ERR_EOF);
    enum err e = ERR_OK;
    for (int round = 0; round < 100 && (e == ERR_OK || e == ERR_AGAIN); round++) {
        struct port_event events[EVENTS];
        e = send_text(p.server, "nobody hears");
        wait_events(events, EVENTS, ROUND_MS);
    }
    CHECK_EQ(e, ERR_RESET);
    close_handle(p.server);
    close_handle(p.listener);
}

/* A reply that was written right before a close arrives, though the client had sent more. */
static void net_keeps_the_last_reply(void)
{
    struct pair p = connect_pair();
    uint8_t got[64];
    size_t len;
    CHECK_EQ(send_text(p.client, "never read by the server"), ERR_OK);
    CHECK_EQ(watch(p.server, true, false, 3), ERR_OK);
    CHECK(wait_for(PORT_READABLE, 3, NULL));
    CHECK_EQ(send_text(p.server, "421"), ERR_OK);
    close_handle(p.server);
    CHECK_EQ(receive(p.client, got, sizeof got, &len), ERR_OK);
    CHECK_TEXT(slice_make(got, len), "421");
    CHECK_EQ(receive(p.client, got, sizeof got, &len), ERR_EOF);
    close_handle(p.client);
    close_handle(p.listener);
}

static void net_refuses(void)
{
    struct net_addr at;
    uint32_t listener = listen_somewhere(&at), handle, other;
    CHECK_EQ(port->net.listen(port->net.ctx, &other, &at), ERR_IN_USE);
    close_handle(listener);
    enum err e = port->net.connect(port->net.ctx, &handle, &at);
    if (e == ERR_OK) {
        CHECK_EQ(watch(handle, false, true, 5), ERR_OK);
        CHECK(wait_for(PORT_WRITABLE, 5, NULL));
        e = port->net.connect_result(port->net.ctx, handle);
        close_handle(handle);
    }
    CHECK_EQ(e, ERR_REFUSED);
    struct net_addr nowhere = {NET_NONE, {0}, 0};
    CHECK_EQ(port->net.listen(port->net.ctx, &other, &nowhere), ERR_UNSUPPORTED);
    CHECK_EQ(port->net.connect(port->net.ctx, &other, &nowhere), ERR_UNSUPPORTED);
}

static void net_ipv6_is_apart(void)
{
    uint32_t six, four;
    struct net_addr any6 = {NET_IPV6, {0}, 0}, at;
    enum err e = port->net.listen(port->net.ctx, &six, &any6);
    if (e == ERR_UNSUPPORTED) {
        return;
    }
    CHECK_EQ(e, ERR_OK);
    CHECK_EQ(port->net.local_addr(port->net.ctx, &at, six), ERR_OK);
    CHECK_EQ(at.family, NET_IPV6);
    struct net_addr any4 = {NET_IPV4, {0}, at.port};
    CHECK_EQ(port->net.listen(port->net.ctx, &four, &any4), ERR_OK);
    close_handle(six);
    close_handle(four);
}

static void watch_is_level_triggered(void)
{
    struct pair p = connect_pair();
    uint8_t got[2];
    size_t len;
    CHECK_EQ(watch(p.server, true, false, 10), ERR_OK);
    CHECK(!is_reported(10));
    CHECK_EQ(send_text(p.client, "abcd"), ERR_OK);
    CHECK(wait_for(PORT_READABLE, 10, NULL));
    CHECK(wait_for(PORT_READABLE, 10, NULL));
    CHECK_EQ(port->net.read(port->net.ctx, &len, p.server, got, 2), ERR_OK);
    CHECK_EQ(watch(p.server, true, false, 11), ERR_OK); /* a new tag alone takes effect too */
    CHECK(wait_for(PORT_READABLE, 11, NULL));
    CHECK_EQ(watch(p.server, false, false, 11), ERR_OK);
    CHECK(!is_reported(11));
    CHECK_EQ(watch(p.server, true, false, 12), ERR_OK);
    CHECK_EQ(port->net.read(port->net.ctx, &len, p.server, got, 2), ERR_OK);
    CHECK(!is_reported(12));
    close_pair(p);
}

static void watch_of_nothing_is_silent(void)
{
    struct pair p = connect_pair();
    CHECK_EQ(watch(p.server, true, true, 13), ERR_OK);
    CHECK(is_reported(13));
    CHECK_EQ(watch(p.server, false, false, 13), ERR_OK);
    close_handle(p.client);
    CHECK(!is_reported(13));
    CHECK_EQ(watch(p.server, true, false, 13), ERR_OK);
    CHECK(wait_for(PORT_READABLE, 13, NULL));
    close_handle(p.server);
    close_handle(p.listener);
}

static void watch_reports_both_in_small_arrays(void)
{
    struct pair p = connect_pair();
    CHECK_EQ(send_text(p.client, "x"), ERR_OK);
    CHECK_EQ(watch(p.server, true, true, 14), ERR_OK);
    bool seen[2] = {false, false};
    for (int round = 0; round < 50; round++) {
        struct port_event event;
        if (wait_events(&event, 1, ROUND_MS) == 1 && event.tag == 14) {
            CHECK(event.kind == PORT_READABLE || event.kind == PORT_WRITABLE);
            seen[event.kind == PORT_WRITABLE] = true;
        }
    }
    CHECK(seen[0]);
    CHECK(seen[1]);
    close_pair(p);
}

static void closed_handles_are_silent(void)
{
    struct pair p = connect_pair();
    CHECK_EQ(watch(p.server, true, true, 15), ERR_OK);
    CHECK_EQ(send_text(p.client, "x"), ERR_OK);
    CHECK(is_reported(15));
    close_handle(p.server);
    /* Its number is likely to be given out again. */
    struct pair again = connect_pair();
    CHECK(!is_reported(15));
    close_handle(p.client);
    close_handle(p.listener);
    close_pair(again);
}

static void full_pipe_says_again(void)
{
    static uint8_t block[65536];
    struct pair p = connect_pair();
    size_t len = 0, sent = 0, got = 0;
    enum err e = ERR_OK;
    for (int i = 0; i < 1000 && e == ERR_OK; i++) {
        e = port->net.write(port->net.ctx, &len, p.client, slice_make(block, sizeof block));
        CHECK(e != ERR_OK || (len > 0 && len <= sizeof block));
        sent += len;
    }
    CHECK_EQ(e, ERR_AGAIN);
    CHECK_EQ(len, 0);
    CHECK_EQ(watch(p.client, false, true, 16), ERR_OK);
    bool writable = false;
    for (int round = 0; round < ROUNDS && got < sent; round++) {
        struct port_event events[EVENTS];
        e = port->net.read(port->net.ctx, &len, p.server, block, sizeof block);
        CHECK(e == ERR_OK || e == ERR_AGAIN);
        got += e == ERR_OK ? len : 0;
        size_t num = wait_events(events, EVENTS, e == ERR_OK ? 0 : ROUND_MS);
        for (size_t i = 0; i < num; i++) {
            writable = writable || (events[i].kind == PORT_WRITABLE && events[i].tag == 16);
        }
    }
    CHECK_EQ(got, sent);
    CHECK(writable || wait_for(PORT_WRITABLE, 16, NULL));
    CHECK_EQ(send_text(p.client, "more"), ERR_OK);
    close_pair(p);
}

/* --- The log store --- */

static uint32_t create_segment(uint32_t id)
{
    uint32_t handle = 0;
    CHECK_EQ(port->store.create(port->store.ctx, &handle, id, SEGMENT_LEN, 20), ERR_OK);
    CHECK(handle != 0);
    CHECK_EQ(done(20), ERR_OK);
    return handle;
}

static bool is_listed(uint32_t id, size_t *out_num)
{
    uint32_t ids[64];
    CHECK_EQ(port->store.list(port->store.ctx, ids, 64, out_num), ERR_OK);
    for (size_t i = 0; i < *out_num && i < 64; i++) {
        if (ids[i] == id) {
            return true;
        }
    }
    return false;
}

static void store_keeps_segments(void)
{
    const struct port_store *s = &port->store;
    size_t num, num_before, len;
    uint32_t handle, other;
    uint64_t segment_len;
    uint8_t bytes[16] = {1};
    CHECK(s->write_unit_len >= 512 && (s->write_unit_len & (s->write_unit_len - 1)) == 0);
    CHECK(s->free_len(s->ctx) >= SEGMENT_LEN);
    CHECK(!is_listed(0x2a, &num_before));
    CHECK_EQ(s->open_segment(s->ctx, &other, &segment_len, 0x2a), ERR_ABSENT);
    handle = create_segment(0x2a);
    CHECK(is_listed(0x2a, &num));
    CHECK_EQ(num, num_before + 1);
    CHECK_EQ(s->list(s->ctx, NULL, 0, &num), ERR_OK);
    CHECK_EQ(num, num_before + 1);
    CHECK_EQ(s->create(s->ctx, &other, 0x2a, SEGMENT_LEN, 21), ERR_EXISTS);
    CHECK_EQ(s->read_at(s->ctx, &len, handle, SEGMENT_LEN - 8, bytes, sizeof bytes), ERR_OK);
    CHECK_EQ(len, 8);
    CHECK_EQ(bytes[0], 0);
    CHECK_EQ(s->read_at(s->ctx, &len, handle, SEGMENT_LEN, bytes, sizeof bytes), ERR_EOF);
    CHECK_EQ(s->write_at(s->ctx, handle, 4096, SLICE_LITERAL("record")), ERR_OK);
    CHECK_EQ(s->sync(s->ctx, handle, 22), ERR_OK);
    CHECK_EQ(done(22), ERR_OK);
    s->close_segment(s->ctx, handle);
    CHECK_EQ(s->open_segment(s->ctx, &handle, &segment_len, 0x2a), ERR_OK);
    CHECK_EQ(segment_len, SEGMENT_LEN);
    CHECK_EQ(s->read_at(s->ctx, &len, handle, 4096, bytes, 6), ERR_OK);
    CHECK_TEXT(slice_make(bytes, len), "record");
    s->close_segment(s->ctx, handle);
    CHECK_EQ(s->remove(s->ctx, 0x2a), ERR_OK);
    CHECK(!is_listed(0x2a, &num));
    CHECK_EQ(s->remove(s->ctx, 0x2a), ERR_ABSENT);
}

static void store_completes_each_start_in_order(void)
{
    const struct port_store *s = &port->store;
    uint32_t handles[2] = {create_segment(1), create_segment(2)};
    uint64_t next[2] = {0, 0};
    for (uint64_t i = 0; i < 20; i++) {
        CHECK_EQ(s->write_at(s->ctx, handles[i % 2], i * 4096, SLICE_LITERAL("x")), ERR_OK);
        CHECK_EQ(s->sync(s->ctx, handles[i % 2], 100 + i), ERR_OK);
    }
    size_t num_done = 0;
    for (int round = 0; round < ROUNDS && num_done < 20; round++) {
        struct port_event events[3];
        size_t num = wait_events(events, 3, ROUND_MS);
        for (size_t i = 0; i < num; i++) {
            CHECK_EQ(events[i].kind, PORT_DONE);
            CHECK_EQ(events[i].err, ERR_OK);
            uint64_t which = (events[i].tag - 100) % 2;
            CHECK_EQ(events[i].tag, 100 + which + 2 * next[which]);
            next[which]++;
            num_done++;
        }
    }
    CHECK_EQ(num_done, 20);
    CHECK(!is_reported(119));
    for (uint32_t id = 1; id <= 2; id++) {
        s->close_segment(s->ctx, handles[id - 1]);
        CHECK_EQ(s->remove(s->ctx, id), ERR_OK);
    }
}

/* New segments being made do not hold up the syncs of others. */
static void store_syncs_while_it_creates(void)
{
    const struct port_store *s = &port->store;
    uint32_t handle = create_segment(3), fresh[3];
    for (uint32_t i = 0; i < 3; i++) {
        CHECK_EQ(s->create(s->ctx, &fresh[i], 10 + i, 8 * SEGMENT_LEN, 30 + i), ERR_OK);
    }
    CHECK_EQ(s->sync(s->ctx, handle, 40), ERR_OK);
    uint32_t seen = 0;
    for (int round = 0; round < ROUNDS && seen != 15; round++) {
        struct port_event events[EVENTS];
        size_t num = wait_events(events, EVENTS, ROUND_MS);
        for (size_t i = 0; i < num; i++) {
            CHECK_EQ(events[i].err, ERR_OK);
            seen |= events[i].tag == 40 ? 8u : 1u << (events[i].tag - 30);
        }
    }
    CHECK_EQ(seen, 15);
    s->close_segment(s->ctx, handle);
    CHECK_EQ(s->remove(s->ctx, 3), ERR_OK);
    for (uint32_t i = 0; i < 3; i++) {
        s->close_segment(s->ctx, fresh[i]);
        uint64_t len;
        CHECK_EQ(s->open_segment(s->ctx, &fresh[i], &len, 10 + i), ERR_OK);
        CHECK_EQ(len, 8 * SEGMENT_LEN);
        s->close_segment(s->ctx, fresh[i]);
        CHECK_EQ(s->remove(s->ctx, 10 + i), ERR_OK);
    }
}

static void store_quarantines(void)
{
    const struct port_store *s = &port->store;
    size_t num;
    for (int i = 0; i < 3; i++) {
        s->close_segment(s->ctx, create_segment(7));
        CHECK_EQ(s->quarantine(s->ctx, 7), ERR_OK);
        CHECK(!is_listed(7, &num));
    }
    CHECK_EQ(s->quarantine(s->ctx, 7), ERR_ABSENT);
}

/* --- Maildirs --- */

static enum err deliver(const char *name, const char *text, uint64_t tag)
{
    const struct port_mailbox *m = &port->mailbox;
    uint32_t handle;
    enum err e = m->begin(m->ctx, &handle, mail_dir, name);
    if (e == ERR_OK) {
        e = m->write(m->ctx, handle, slice_of_string(text));
        CHECK_EQ(e, ERR_OK);
        e = m->commit(m->ctx, handle, tag);
    }
    return e;
}

static enum err find(const char *name)
{
    const struct port_mailbox *m = &port->mailbox;
    enum err e = m->find(m->ctx, mail_dir, name, 50);
    return e == ERR_OK ? done(50) : e;
}

static void mailbox_delivers(void)
{
    CHECK_EQ(find("1.a"), ERR_ABSENT);
    CHECK_EQ(deliver("1.a", "mail\n", 51), ERR_OK);
    CHECK_EQ(done(51), ERR_OK);
    CHECK_EQ(find("1.a"), ERR_OK);
    CHECK_EQ(find("1."), ERR_ABSENT);
    CHECK_EQ(find("1.aa"), ERR_ABSENT);
    read_mail("1.a", "S");
    CHECK_EQ(find("1.a"), ERR_OK);
    CHECK_EQ(find("1"), ERR_ABSENT);
}

static void mailbox_drops(void)
{
    const struct port_mailbox *m = &port->mailbox;
    uint32_t handle;
    CHECK_EQ(m->begin(m->ctx, &handle, mail_dir, "2.a"), ERR_OK);
    CHECK_EQ(m->write(m->ctx, handle, SLICE_LITERAL("half a ma")), ERR_OK);
    CHECK_EQ(find("2.a"), ERR_ABSENT);
    m->abort(m->ctx, handle);
    CHECK_EQ(find("2.a"), ERR_ABSENT);
    CHECK_EQ(deliver("2.a", "whole\n", 52), ERR_OK);
    CHECK_EQ(done(52), ERR_OK);
    CHECK_EQ(find("2.a"), ERR_OK);
}

static void mailbox_bounds_what_is_open(void)
{
    const struct port_mailbox *m = &port->mailbox;
    uint32_t handles[1000], num = 0;
    enum err e = ERR_OK;
    while (num < 1000) {
        char name[16];
        snprintf(name, sizeof name, "3.%u", num);
        e = m->begin(m->ctx, &handles[num], mail_dir, name);
        if (e != ERR_OK) {
            break;
        }
        num++;
    }
    CHECK_EQ(e, ERR_NO_HANDLE);
    CHECK(num >= 16);
    /* All committed at once, all are told of. */
    for (uint32_t i = 0; i < num; i++) {
        CHECK_EQ(m->commit(m->ctx, handles[i], 1000 + i), ERR_OK);
    }
    uint32_t num_done = 0;
    uint64_t sum = 0;
    for (int round = 0; round < ROUNDS && num_done < num; round++) {
        struct port_event events[EVENTS];
        size_t num_events = wait_events(events, EVENTS, ROUND_MS);
        for (size_t i = 0; i < num_events; i++) {
            CHECK_EQ(events[i].err, ERR_OK);
            sum += events[i].tag - 1000;
            num_done++;
        }
    }
    CHECK_EQ(num_done, num);
    CHECK_EQ(sum, (uint64_t)num * (num - 1) / 2);
    CHECK_EQ(find("3.0"), ERR_OK);
    CHECK_EQ(deliver("3.last", "", 53), ERR_OK);
    CHECK_EQ(done(53), ERR_OK);
}

static void mailbox_takes_plain_names_only(void)
{
    const struct port_mailbox *m = &port->mailbox;
    static const char *const wrong[] = {"",    "a/b",   "../x", ".hidden",
                                        "a b", "a:2,S", "a\n",  "\xc3\xa9"};
    uint32_t handle;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        CHECK_EQ(m->begin(m->ctx, &handle, mail_dir, wrong[i]), ERR_MALFORMED);
        CHECK_EQ(m->find(m->ctx, mail_dir, wrong[i], 54), ERR_MALFORMED);
    }
    char name[202];
    memset(name, 'a', sizeof name);
    name[201] = '\0';
    CHECK_EQ(m->begin(m->ctx, &handle, mail_dir, name), ERR_MALFORMED);
    name[200] = '\0';
    CHECK_EQ(deliver(name, "x", 55), ERR_OK);
    CHECK_EQ(done(55), ERR_OK);
    CHECK_EQ(find(name), ERR_OK);
    CHECK_EQ(deliver("A-z_0=9+.x", "x", 56), ERR_OK);
    CHECK_EQ(done(56), ERR_OK);
    static char deep[2000];
    memset(deep, 'd', sizeof deep - 1);
    CHECK_EQ(m->begin(m->ctx, &handle, deep, "x"), ERR_TOO_BIG);
}

/* --- Small files --- */

static void files_are_read_whole(void)
{
    const struct port_files *f = &port->files;
    uint8_t bytes[8];
    size_t len = 7;
    CHECK_EQ(f->read(f->ctx, &len, conf_file, bytes, sizeof bytes), ERR_ABSENT);
    CHECK_EQ(len, 0);
    CHECK_EQ(f->can_replace(f->ctx, conf_file), ERR_OK);
    CHECK_EQ(f->replace(f->ctx, conf_file, SLICE_LITERAL("12345678")), ERR_OK);
    CHECK_EQ(f->can_replace(f->ctx, conf_file), ERR_OK);
    CHECK_EQ(f->read(f->ctx, &len, conf_file, bytes, sizeof bytes), ERR_OK);
    CHECK_TEXT(slice_make(bytes, len), "12345678");
    CHECK_EQ(f->read(f->ctx, &len, conf_file, bytes, 7), ERR_TOO_BIG);
    CHECK_EQ(f->replace(f->ctx, conf_file, SLICE_LITERAL("")), ERR_OK);
    CHECK_EQ(f->read(f->ctx, &len, conf_file, bytes, sizeof bytes), ERR_OK);
    CHECK_EQ(len, 0);
}

static bool same_stamp(const struct port_stamp *a, const struct port_stamp *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

static void files_have_stamps(void)
{
    const struct port_files *f = &port->files;
    struct port_stamp absent = {{0}}, one, other;
    char path[256];
    snprintf(path, sizeof path, "%s.stamped", conf_file);
    CHECK_EQ(f->stamp(f->ctx, &one, path), ERR_OK);
    CHECK(same_stamp(&one, &absent));
    CHECK_EQ(f->replace(f->ctx, path, SLICE_LITERAL("one")), ERR_OK);
    CHECK_EQ(f->stamp(f->ctx, &one, path), ERR_OK);
    CHECK(!same_stamp(&one, &absent));
    CHECK_EQ(f->stamp(f->ctx, &other, path), ERR_OK);
    CHECK(same_stamp(&one, &other));
    for (int i = 0; i < 20; i++) {
        CHECK_EQ(f->replace(f->ctx, path, SLICE_LITERAL("two")), ERR_OK);
        CHECK_EQ(f->stamp(f->ctx, &other, path), ERR_OK);
        CHECK(!same_stamp(&one, &other));
        one = other;
    }
}

/* --- The outbox --- */

static bool lets_another(const void *arg, uint32_t uid)
{
    return uid != *(const uint32_t *)arg;
}

static void outbox_gives_files(void)
{
    const struct port_outbox *o = &port->outbox;
    struct port_user owner = {7, "x"};
    uint64_t len = 0;
    uint8_t bytes[8];
    size_t got;
    CHECK_EQ(o->open(o->ctx, "/nonexistent/outbox", ""), ERR_ABSENT);
    CHECK_EQ(o->open(o->ctx, outbox_dir, ""), ERR_OK);
    CHECK_EQ(o->open(o->ctx, outbox_dir, ""), ERR_OK);
    CHECK_EQ(o->take(o->ctx, NULL, NULL, &owner, &len), ERR_EOF);
    leave("12345");
    CHECK_EQ(o->take(o->ctx, lets_another, &own_uid, &owner, &len), ERR_EOF);
    for (int round = 0; round < 2; round++) {
        CHECK_EQ(o->take(o->ctx, NULL, NULL, &owner, &len), ERR_OK);
        CHECK_EQ(owner.uid, own_uid);
        CHECK_EQ(len, 5);
        CHECK_EQ(o->read(o->ctx, &got, bytes, 3), ERR_OK);
        CHECK_TEXT(slice_make(bytes, got), "123");
        CHECK_EQ(o->read(o->ctx, &got, bytes, 0), ERR_OK);
        CHECK_EQ(o->read(o->ctx, &got, bytes, 2), ERR_OK);
        CHECK_TEXT(slice_make(bytes, got), "45");
        CHECK(o->read(o->ctx, &got, bytes, 1) != ERR_OK);
        CHECK_EQ(o->end(o->ctx, round == 1), ERR_OK);
    }
    CHECK_EQ(o->take(o->ctx, NULL, NULL, &owner, &len), ERR_EOF);
}

#define CASES(X)                            \
    X(loop_waits)                           \
    X(clock_tells)                          \
    X(entropy_fills)                        \
    X(net_connects)                         \
    X(net_carries_bytes)                    \
    X(net_tells_the_end)                    \
    X(net_keeps_the_last_reply)             \
    X(net_refuses)                          \
    X(net_ipv6_is_apart)                    \
    X(watch_is_level_triggered)             \
    X(watch_of_nothing_is_silent)           \
    X(watch_reports_both_in_small_arrays)   \
    X(closed_handles_are_silent)            \
    X(full_pipe_says_again)                 \
    X(datagrams_go_both_ways)               \
    X(datagrams_stay_apart)                 \
    X(datagrams_are_watched)                \
    X(local_carries_bytes)                  \
    X(local_tells_who)                      \
    X(local_paths_are_taken_and_given_back) \
    X(store_keeps_segments)                 \
    X(store_completes_each_start_in_order)  \
    X(store_syncs_while_it_creates)         \
    X(store_quarantines)                    \
    X(mailbox_delivers)                     \
    X(mailbox_drops)                        \
    X(mailbox_bounds_what_is_open)          \
    X(mailbox_takes_plain_names_only)       \
    X(files_are_read_whole)                 \
    X(files_have_stamps)                    \
    X(outbox_gives_files)

#define DEFINE(name)               \
    static void posix_##name(void) \
    {                              \
        on_posix(name);            \
    }                              \
    static void sim_##name(void)   \
    {                              \
        on_sim(name);              \
    }
CASES(DEFINE)

#define LIST(name) {"posix " #name, posix_##name}, {"sim " #name, sim_##name},
static const struct test_case cases[] = {CASES(LIST)};

int main(int argc, char **argv)
{
    snprintf(posix_dir, sizeof posix_dir, "build/port_conformance.%ld", (long)getpid());
    snprintf(posix_spool, sizeof posix_spool, "%s/spool", posix_dir);
    snprintf(posix_mail, sizeof posix_mail, "%s/users/a/mail", posix_dir);
    snprintf(posix_local, sizeof posix_local, "%s/socket", posix_dir);
    snprintf(posix_outbox_dir, sizeof posix_outbox_dir, "%s/outbox", posix_dir);
    snprintf(posix_conf_file, sizeof posix_conf_file, "%s/conf", posix_dir);
    (void)mkdir("build", 0777);
    (void)mkdir(posix_dir, 0700);
    int status = test_main(cases, sizeof cases / sizeof cases[0], argc, argv);
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", posix_dir);
    return system(command) == 0 ? status : EXIT_FAILURE;
}

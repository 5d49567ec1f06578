/* What port.h promises of the network, the loop and the clock, held against every port: the same
 * cases run on the machine's own port, on loopback, and on the simulated one. */
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

#define CASES(X)                          \
    X(loop_waits)                         \
    X(clock_tells)                        \
    X(entropy_fills)                      \
    X(net_connects)                       \
    X(net_carries_bytes)                  \
    X(net_tells_the_end)                  \
    X(net_keeps_the_last_reply)           \
    X(net_refuses)                        \
    X(net_ipv6_is_apart)                  \
    X(watch_is_level_triggered)           \
    X(watch_of_nothing_is_silent)         \
    X(watch_reports_both_in_small_arrays) \
    X(closed_handles_are_silent)          \
    X(full_pipe_says_again)               \
    X(datagrams_go_both_ways)             \
    X(datagrams_stay_apart)               \
    X(datagrams_are_watched)              \
    X(local_carries_bytes)                \
    X(local_tells_who)                    \
    X(local_paths_are_taken_and_given_back)

CASES(DEFINE)

static const struct test_case cases[] = {CASES(LIST)};

int main(int argc, char **argv)
{
    return conformance_main(cases, sizeof cases / sizeof cases[0], argc, argv);
}

#include "ocsp_fetch_transfer.h"

#define CONNECT_TIMEOUT_MS 10000
#define READ_LEN           1024
#define MAX_TURNS          32 /* reads and changes of state in one step */

enum at { AT_IDLE, AT_RESOLVE, AT_NEXT_ADDR, AT_CONNECTING, AT_SEND, AT_RECEIVE };

enum turn { TURN_ON, TURN_WAIT, TURN_GOT, TURN_FAILED };

static const struct port_net *net_of(const struct fetch_transfer *t)
{
    return &t->port->net;
}

static void drop_handle(struct fetch_transfer *t)
{
    if (t->handle != 0) {
        net_of(t)->close(net_of(t)->ctx, t->handle);
        t->handle = 0;
    }
}

static enum turn fail(struct fetch_transfer *t, const char *reason)
{
    t->reason = reason;
    return TURN_FAILED;
}

static enum err watch(const struct fetch_transfer *t, bool readable, bool writable)
{
    return net_of(t)->watch(net_of(t)->ctx, t->handle, readable, writable, t->tag);
}

static enum err connect_to(struct fetch_transfer *t, const struct net_addr *to)
{
    enum err e = net_of(t)->connect(net_of(t)->ctx, &t->handle, to);
    return e == ERR_OK ? watch(t, false, true) : e;
}

/* --- Resolving --- */

static enum err send_query(struct fetch_transfer *t)
{
    uint8_t memory[DNS_QUERY_CAP + 2];
    struct buf query = buf_make(memory, sizeof memory);
    const struct port_net *net = net_of(t);
    size_t len;
    lookup_query(&t->lookup, &query);
    if (!t->lookup.over_tcp) {
        return net->send_to(net->ctx, t->handle, &t->lookup.server, buf_slice(&query));
    }
    enum err e = net->write(net->ctx, &len, t->handle, buf_slice(&query));
    /* Less than all of it at the begin of a connection: something is wrong with that server. */
    return e == ERR_OK && len != query.len ? ERR_RESET : e;
}

static enum err begin_query(struct fetch_transfer *t, enum lookup_want want)
{
    const struct port_net *net = net_of(t);
    const struct net_addr *server = &t->lookup.server;
    drop_handle(t);
    t->tcp_ready = false;
    if (want == LOOKUP_TCP) {
        return connect_to(t, server);
    }
    enum err e = net->open_datagram(net->ctx, &t->handle, (enum net_family)server->family);
    if (e == ERR_OK) {
        e = send_query(t);
    }
    return e == ERR_OK ? watch(t, true, false) : e;
}

static enum err read_stream(struct fetch_transfer *t, uint64_t now_ms)
{
    const struct port_net *net = net_of(t);
    uint8_t bytes[DNS_UDP_MAX];
    size_t len;
    if (!t->tcp_ready) {
        enum err e = net->connect_result(net->ctx, t->handle);
        e = e == ERR_OK ? send_query(t) : e;
        e = e == ERR_OK ? watch(t, true, false) : e;
        t->tcp_ready = e == ERR_OK;
        return e;
    }
    enum err e = net->read(net->ctx, &len, t->handle, bytes, sizeof bytes);
    if (e == ERR_OK) {
        lookup_stream(&t->lookup, slice_make(bytes, len), now_ms);
    }
    return e;
}

static enum err read_datagram(struct fetch_transfer *t, uint64_t now_ms)
{
    const struct port_net *net = net_of(t);
    uint8_t bytes[DNS_UDP_MAX];
    struct net_addr from;
    size_t len;
    enum err e = net->recv_from(net->ctx, &len, &from, t->handle, bytes, sizeof bytes);
    if (e == ERR_OK) {
        lookup_datagram(&t->lookup, &from, slice_make(bytes, len), now_ms);
    }
    /* None of ours: no query asked for that much. */
    return e == ERR_TOO_BIG ? ERR_OK : e;
}

static enum turn resolve(struct fetch_transfer *t, uint64_t now_ms)
{
    uint8_t random[2];
    enum err e;
    if (t->port->entropy.fill(t->port->entropy.ctx, random, sizeof random) != ERR_OK) {
        return fail(t, err_name(ERR_NO_ENTROPY));
    }
    enum lookup_want want =
        lookup_next(&t->lookup, now_ms, (uint16_t)((uint32_t)random[0] << 8 | random[1]));
    switch (want) {
    case LOOKUP_UDP:
    case LOOKUP_TCP:
        e = begin_query(t, want);
        break;
    case LOOKUP_WAIT:
        e = t->handle == 0       ? ERR_RESET
            : t->lookup.over_tcp ? read_stream(t, now_ms)
                                 : read_datagram(t, now_ms);
        break;
    case LOOKUP_DONE:
    default:
        drop_handle(t);
        t->at = AT_NEXT_ADDR;
        return t->lookup.result == DNS_OK ? TURN_ON : fail(t, lookup_result_name(t->lookup.result));
    }
    if (e == ERR_AGAIN) {
        return TURN_WAIT;
    }
    if (e != ERR_OK) {
        lookup_broken(&t->lookup);
    }
    return TURN_ON;
}

/* --- Asking --- */

/* reason stays that of the last address that was tried. */
static enum turn connect_next(struct fetch_transfer *t, uint64_t now_ms)
{
    drop_handle(t);
    if (t->addr_index == t->lookup.num_addrs) {
        return TURN_FAILED;
    }
    struct net_addr to = t->lookup.addrs[t->addr_index++];
    to.port = t->port_number;
    enum err e = connect_to(t, &to);
    if (e != ERR_OK) {
        t->reason = err_name(e);
        return TURN_ON;
    }
    t->connect_deadline_ms = now_ms + CONNECT_TIMEOUT_MS;
    t->at = AT_CONNECTING;
    return TURN_ON;
}

static enum turn await_connection(struct fetch_transfer *t, uint64_t now_ms)
{
    enum err e = net_of(t)->connect_result(net_of(t)->ctx, t->handle);
    if (e == ERR_AGAIN && now_ms < t->connect_deadline_ms) {
        return TURN_WAIT;
    }
    if (e == ERR_OK) {
        t->at = AT_SEND;
        return TURN_ON;
    }
    t->reason = err_name(e == ERR_AGAIN ? ERR_TIMEOUT : e);
    t->at = AT_NEXT_ADDR;
    return TURN_ON;
}

static enum turn send_request(struct fetch_transfer *t)
{
    struct slice rest = t->request;
    size_t len = 0;
    slice_skip(&rest, t->sent_len);
    enum err e = net_of(t)->write(net_of(t)->ctx, &len, t->handle, rest);
    if (e == ERR_AGAIN) {
        return TURN_WAIT;
    }
    t->sent_len += len;
    if (e == ERR_OK && t->sent_len == t->request.len) {
        t->at = AT_RECEIVE;
        e = watch(t, true, false);
    }
    return e == ERR_OK ? TURN_ON : fail(t, err_name(e));
}

static enum turn end_of_answer(struct fetch_transfer *t, enum http_result result)
{
    t->status = t->http.status;
    return result == HTTP_DONE ? TURN_GOT : fail(t, http_result_name(result));
}

static enum turn receive(struct fetch_transfer *t)
{
    uint8_t bytes[READ_LEN];
    size_t len;
    enum err e = net_of(t)->read(net_of(t)->ctx, &len, t->handle, bytes, sizeof bytes);
    if (e == ERR_AGAIN) {
        return TURN_WAIT;
    }
    if (e == ERR_EOF) {
        return end_of_answer(t, http_answer_end(&t->http));
    }
    if (e != ERR_OK) {
        return fail(t, err_name(e));
    }
    struct slice in = slice_make(bytes, len), run;
    enum http_result result = HTTP_MORE;
    while (result == HTTP_MORE && !slice_is_empty(in)) {
        result = http_answer_take(&t->http, &in, &run);
        buf_put(&t->answer, run); /* http_answer_begin was told the room there is */
    }
    return result == HTTP_MORE ? TURN_ON : end_of_answer(t, result);
}

/* --- What ocsp_fetch calls --- */

/* A file of the system's, into memory; empty if it cannot be read. */
static struct slice read_file(const struct fetch_transfer *t, const char *path, struct buf memory)
{
    const struct port_files *files = &t->port->files;
    size_t len = 0;
    if (path == NULL || files->read(files->ctx, &len, path, memory.ptr, memory.cap) != ERR_OK) {
        len = 0;
    }
    return slice_make(memory.ptr, len);
}

void transfer_begin(struct fetch_transfer *t, const struct url *to, struct slice request,
                    struct buf answer_memory, uint64_t timeout_ms, uint64_t now_ms)
{
    transfer_abort(t);
    t->at = AT_RESOLVE;
    t->has_more = true;
    t->request = request;
    t->answer = answer_memory;
    t->answer.len = 0;
    t->sent_len = 0;
    t->addr_index = 0;
    t->port_number = to->addr.port;
    t->status = 0;
    t->reason = lookup_result_name(DNS_NO_ADDRESS);
    t->deadline_ms = now_ms + timeout_ms;
    http_answer_begin(&t->http, SLICE_LITERAL("application/ocsp-response"), answer_memory.cap);
    resolv_conf_parse(read_file(t, t->resolv_conf_path, answer_memory), &t->servers);
    lookup_begin(&t->lookup, to->host, read_file(t, t->hosts_path, answer_memory), &t->servers,
                 &t->cache, t->answer, now_ms);
}

static enum turn take_turn(struct fetch_transfer *t, uint64_t now_ms)
{
    switch ((enum at)t->at) {
    case AT_RESOLVE:
        return resolve(t, now_ms);
    case AT_NEXT_ADDR:
        return connect_next(t, now_ms);
    case AT_CONNECTING:
        return await_connection(t, now_ms);
    case AT_SEND:
        return send_request(t);
    case AT_RECEIVE:
        return receive(t);
    case AT_IDLE:
        break;
    }
    return TURN_WAIT;
}

enum transfer_result transfer_step(struct fetch_transfer *t, uint64_t now_ms)
{
    enum turn turn = TURN_ON;
    if (t->at == AT_IDLE) {
        return TRANSFER_WAITS;
    }
    if (now_ms >= t->deadline_ms) {
        turn = fail(t, err_name(ERR_TIMEOUT));
    }
    for (int i = 0; i < MAX_TURNS && turn == TURN_ON; i++) {
        turn = take_turn(t, now_ms);
    }
    t->has_more = turn == TURN_ON;
    if (turn == TURN_ON || turn == TURN_WAIT) {
        return TRANSFER_WAITS;
    }
    transfer_abort(t);
    return turn == TURN_GOT ? TRANSFER_GOT : TRANSFER_FAILED;
}

bool transfer_is_idle(const struct fetch_transfer *t)
{
    return t->at == AT_IDLE;
}

uint64_t transfer_deadline_ms(const struct fetch_transfer *t)
{
    uint64_t at_ms = t->deadline_ms;
    if (t->at == AT_IDLE) {
        return UINT64_MAX;
    }
    if (t->has_more) {
        return 0;
    }
    if (t->at == AT_RESOLVE && t->lookup.deadline_ms < at_ms) {
        at_ms = t->lookup.deadline_ms;
    }
    if (t->at == AT_CONNECTING && t->connect_deadline_ms < at_ms) {
        at_ms = t->connect_deadline_ms;
    }
    return at_ms;
}

void transfer_abort(struct fetch_transfer *t)
{
    drop_handle(t);
    t->at = AT_IDLE;
}

/* One question and its answer over the network: see ocsp_fetch_transfer.h. */
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

static enum turn resolve(struct fetch_transfer *t, uint64_t now_ms)
{
    bool done;
    enum err e = lookup_io_step(&t->names, now_ms, &done);
    if (e != ERR_OK) {
        return e == ERR_AGAIN ? TURN_WAIT : fail(t, err_name(e));
    }
    if (!done) {
        return TURN_ON;
    }
    enum dns_result result = t->names.lookup.result;
    t->at = AT_NEXT_ADDR;
    return result == DNS_OK ? TURN_ON : fail(t, lookup_result_name(result));
}

/* --- Asking --- */

/* reason stays that of the last address that was tried. */
static enum turn connect_next(struct fetch_transfer *t, uint64_t now_ms)
{
    drop_handle(t);
    size_t num_addrs = t->names.lookup.num_addrs;
    if (t->addr_index == num_addrs) {
        return TURN_FAILED;
    }
    struct net_addr to = t->names.lookup.addrs[(t->first_addr + t->addr_index++) % num_addrs];
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

void transfer_begin(struct fetch_transfer *t, const struct url *to, struct slice request,
                    struct buf answer_memory, uint64_t timeout_ms, uint32_t num_failures,
                    uint64_t now_ms)
{
    transfer_abort(t);
    t->at = AT_RESOLVE;
    t->has_more = true;
    t->request = request;
    t->answer = answer_memory;
    t->answer.len = 0;
    t->sent_len = 0;
    t->first_addr = num_failures;
    t->addr_index = 0;
    t->port_number = to->addr.port;
    t->status = 0;
    t->reason = lookup_result_name(DNS_NO_ADDRESS);
    t->deadline_ms = now_ms + timeout_ms;
    http_answer_begin(&t->http, SLICE_LITERAL("application/ocsp-response"), answer_memory.cap);
    const struct lookup_files files = {t->resolv_conf_path, t->hosts_path};
    t->names.port = t->port;
    t->names.tag = t->tag;
    const struct lookup_memory memory = {t->answer, t->answer};
    lookup_io_begin(&t->names, to->host, &files, &t->cache, &memory, now_ms);
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
    if (t->at == AT_RESOLVE && t->names.lookup.deadline_ms < at_ms) {
        at_ms = t->names.lookup.deadline_ms;
    }
    if (t->at == AT_CONNECTING && t->connect_deadline_ms < at_ms) {
        at_ms = t->connect_deadline_ms;
    }
    return at_ms;
}

void transfer_abort(struct fetch_transfer *t)
{
    drop_handle(t);
    lookup_io_close(&t->names);
    t->at = AT_IDLE;
}

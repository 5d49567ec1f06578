/* A world for tests of fetching: one host that keeps a proof renewed, a name server, a responder
 * and a proxy, all scripted, and an owner who judges.
 *
 * A proof here is a line "PROOF begin end", in Unix seconds; what the owner holds is taken from it.
 * The responder has a clock of its own, which is always right. */
#ifndef POSTERN_FETCH_WORLD_H
#define POSTERN_FETCH_WORLD_H

#include "ocsp_fetch.h"

#include "sim_files.h"
#include "sim_net.h"
#include "test.h"

#define HOUR_MS  UINT64_C(3600000)
#define DAY_MS   (24 * HOUR_MS)
#define DAY_S    INT64_C(86400)
#define START_S  INT64_C(1767225600)
#define TAG      UINT64_C(77)
#define TARGETS  2
#define PROOF    "/var/ocsp/proof"
#define URL      "http://ocsp.example/ca"
#define MAX_LOG  2000
#define MAX_ENDS 8

/* What the responder does with a request. */
enum script {
    ANSWER,
    ANSWER_CHUNKED,
    ANSWER_UNTIL_CLOSE,
    ANSWER_OLD,  /* what it said at the start, for ever */
    ANSWER_JUNK, /* 200, and not a proof */
    ANSWER_MADE, /* what fw.make makes of the request */
    SILENT,
    DRIBBLE, /* a byte a second, for ever */
    ENDLESS, /* content without end, as fast as may be */
    REDIRECT,
    BUSY, /* 503 */
    HTML,
    CUT,   /* ends in the middle of the content */
    CLOSE, /* at once */
    RESET  /* at once */
};

/* What the name server does. */
enum names { NAMES_GOOD, NAMES_SILENT, NAMES_TRUNCATED, NAMES_NONE, NAMES_FAIL, NAMES_V6_DEAD };

struct end {
    struct sim_client *client;
    bool is_name_server;
    char got[3000];
    size_t got_len;
    uint64_t next_ms; /* of DRIBBLE */
    bool is_answered;
};

static struct fetch_world {
    struct sim_world *w;
    struct sim_host *h;
    const struct port *port;
    struct ocsp_fetch fetch;
    struct fetch_target targets[TARGETS];
    bool wall_set;

    enum script script;
    struct slice (*make)(struct slice request);
    enum names names;
    int64_t life_s;
    struct end ends[MAX_ENDS];
    char request[3000]; /* the last one */

    struct fetch_life lives[TARGETS]; /* what the owner holds */
    uint32_t num_requests, num_queries, num_got, num_failed, num_taken, num_refused, num_not_newer;
    uint64_t request_ms[MAX_LOG]; /* when each request came */
} fw;

static const struct net_addr fw_responder = {NET_IPV4, {192, 0, 2, 80}, 80};
static const struct net_addr fw_proxy = {NET_IPV4, {192, 0, 2, 31}, 3128};
static const struct net_addr fw_names = {NET_IPV4, {192, 0, 2, 53}, 53};
static const struct net_addr fw_dead = {NET_IPV4, {192, 0, 2, 66}, 80};

static inline int64_t fw_true_s(void)
{
    return START_S + (int64_t)(sim_world_now_ms(fw.w) / 1000);
}

static inline struct tls_time fw_now(void)
{
    return (struct tls_time){sim_world_now_ms(fw.w), sim_host_wall(fw.h), fw.wall_set};
}

static inline void fw_set_target(size_t index, const char *url, const char *path)
{
    struct ocsp_certid id = {.serial = {(uint8_t)(index + 1)}};
    id.serial_len = 1;
    CHECK_EQ(ocsp_fetch_set_target(&fw.fetch, index, &id, slice_of_string(url), path), URL_OK);
}

static inline struct ocsp_fetch_conf fw_conf(void)
{
    return (struct ocsp_fetch_conf){
        .timeout_ms = 30000, .resolv_conf_path = "/etc/resolv.conf", .hosts_path = "/etc/hosts"};
}

static inline void fw_open(const struct ocsp_fetch_conf *conf)
{
    static uint8_t memory[FETCH_MEMORY_LEN];
    memset(&fw, 0, sizeof fw);
    fw.w = sim_world_new(42);
    fw.h = sim_host_new(fw.w, NULL);
    fw.port = sim_host_port(fw.h);
    fw.wall_set = true;
    fw.life_s = 7 * DAY_S;
    sim_host_set_wall(fw.h, START_S, true);
    sim_net_set_link(fw.w, &(struct sim_link){.delay_ms = 20, .chunk_len = 700});
    sim_listen(fw.w, &fw_responder);
    sim_listen(fw.w, &fw_proxy);
    sim_listen(fw.w, &fw_names);
    sim_blackhole(fw.w, &fw_dead);
    sim_datagram_listen(fw.w, &fw_names);
    sim_files_put_string(fw.h, "/etc/resolv.conf", "nameserver 192.0.2.53\n");
    ocsp_fetch_open(&fw.fetch, fw.port, TAG, conf, fw.targets, TARGETS,
                    buf_make(memory, sizeof memory));
}

static inline void fw_close(void)
{
    ocsp_fetch_close(&fw.fetch);
    CHECK_EQ(sim_net_num_handles(fw.h), 0);
    sim_world_free(fw.w);
}

/* --- The name server --- */

/* The answer to a query: everything is at the responder. */
static inline size_t fw_answer_query(const uint8_t *query, size_t len, bool over_tcp, uint8_t *out)
{
    struct buf b = buf_make(out, 512);
    if (len < 17 || fw.names == NAMES_SILENT) {
        return 0;
    }
    bool wants_v4 = query[len - 3] == DNS_A, truncated = fw.names == NAMES_TRUNCATED && !over_tcp;
    bool has_v6 = fw.names == NAMES_V6_DEAD;
    bool has_record =
        !truncated && fw.names != NAMES_NONE && fw.names != NAMES_FAIL && (wants_v4 || has_v6);
    uint16_t flags = truncated                ? 0x8380
                     : fw.names == NAMES_NONE ? 0x8183
                     : fw.names == NAMES_FAIL ? 0x8182
                                              : 0x8180;
    buf_put(&b, slice_make(query, 2));
    buf_put_be(&b, 2, flags);
    buf_put_be(&b, 2, 1);
    buf_put_be(&b, 2, has_record);
    buf_put_be(&b, 4, 0);
    buf_put(&b, slice_make(query + 12, len - 12));
    if (has_record) {
        buf_put_be(&b, 4, wants_v4 ? 0xc00c0001 : 0xc00c001c);
        buf_put_be(&b, 6, UINT64_C(0x00010000003c)); /* IN, 60 s */
        buf_put_be(&b, 2, wants_v4 ? 4 : 16);
        static const uint8_t v6[16] = {0x20, 1, 0xd, 0xb8, [15] = 6};
        buf_put(&b, wants_v4 ? slice_make(fw_responder.bytes, 4) : slice_make(v6, 16));
    }
    return b.len;
}

static inline bool fw_serve_datagrams(void)
{
    uint8_t query[512], answer[512];
    struct net_addr from;
    size_t len;
    if (!sim_datagram_take(fw.w, &fw_names, &from, &len, query, sizeof query)) {
        return false;
    }
    fw.num_queries++;
    size_t answer_len = fw_answer_query(query, len, false, answer);
    if (answer_len != 0) {
        sim_datagram_send(fw.w, &fw_names, &from, slice_make(answer, answer_len));
    }
    return true;
}

static inline void fw_serve_tcp_query(struct end *e)
{
    uint8_t answer[514];
    if (e->got_len > 2 && !e->is_answered) {
        size_t len = fw_answer_query((uint8_t *)e->got + 2, e->got_len - 2, true, answer + 2);
        answer[0] = (uint8_t)(len >> 8);
        answer[1] = (uint8_t)len;
        CHECK_EQ(sim_client_write(e->client, slice_make(answer, len + 2)), len + 2);
        e->is_answered = true;
        fw.num_queries++;
    }
}

/* --- The responder --- */

static inline void fw_say(struct end *e, struct slice rest)
{
    for (int i = 0; i < 1000 && rest.len != 0; i++) {
        slice_skip(&rest, sim_client_write(e->client, rest));
    }
    CHECK_EQ(rest.len, 0);
}

static inline void fw_put_proof(char *out, size_t cap)
{
    int64_t begin_s = fw.script == ANSWER_OLD ? START_S : fw_true_s();
    snprintf(out, cap, "PROOF %lld %lld", (long long)begin_s, (long long)(begin_s + fw.life_s));
}

#define FW_TYPE "Content-Type: application/ocsp-response\r\n"

static inline void fw_answer(struct end *e)
{
    char text[400], proof[100];
    fw_put_proof(proof, sizeof proof);
    switch (fw.script) {
    case ANSWER:
    case ANSWER_OLD:
        snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\n" FW_TYPE "Content-Length: %zu\r\n\r\n%s",
                 strlen(proof), proof);
        break;
    case ANSWER_CHUNKED:
        snprintf(text, sizeof text,
                 "HTTP/1.1 200 OK\r\n" FW_TYPE "Transfer-Encoding: chunked\r\n\r\n"
                 "3\r\nPRO\r\n%zx\r\n%s\r\n0\r\n\r\n",
                 strlen(proof) - 3, proof + 3);
        break;
    case ANSWER_UNTIL_CLOSE:
        snprintf(text, sizeof text, "HTTP/1.0 200 OK\r\n" FW_TYPE "\r\n%s", proof);
        break;
    case ANSWER_JUNK:
        snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\n" FW_TYPE "Content-Length: 4\r\n\r\njunk");
        break;
    case ANSWER_MADE:
        fw_say(e, SLICE_LITERAL("HTTP/1.1 200 OK\r\n" FW_TYPE "\r\n"));
        fw_say(e, fw.make(slice_make(e->got, e->got_len)));
        return;
    case REDIRECT:
        snprintf(text, sizeof text, "HTTP/1.1 302 Found\r\nLocation: http://evil.example/\r\n\r\n");
        break;
    case BUSY:
        snprintf(text, sizeof text, "HTTP/1.1 503 Busy\r\n\r\n");
        break;
    case HTML:
        snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\nwelcome");
        break;
    case CUT:
        snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\n" FW_TYPE "Content-Length: 99\r\n\r\nPR");
        break;
    case DRIBBLE:
    case ENDLESS:
        snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\n" FW_TYPE "\r\n");
        break;
    case SILENT:
    case CLOSE:
    case RESET:
        text[0] = '\0';
        break;
    }
    fw_say(e, slice_of_string(text));
}

static inline bool fw_has_request(const struct end *e)
{
    const char *head_end = strstr(e->got, "\r\n\r\n");
    const char *length = strstr(e->got, "Content-Length: ");
    if (head_end == NULL) {
        return false;
    }
    size_t body_len = length == NULL ? 0 : (size_t)atoi(length + 16);
    return e->got_len == (size_t)(head_end + 4 - e->got) + body_len;
}

static inline void fw_end(struct end *e)
{
    sim_client_close(e->client);
    memset(e, 0, sizeof *e);
}

/* True if anything was done. */
static inline bool fw_serve_end(struct end *e)
{
    size_t len;
    enum err got = sim_client_read(e->client, &len, (uint8_t *)e->got + e->got_len,
                                   sizeof e->got - 1 - e->got_len);
    if (got == ERR_EOF || got == ERR_RESET) {
        fw_end(e);
        return true;
    }
    e->got_len += got == ERR_OK ? len : 0;
    if (e->is_name_server) {
        fw_serve_tcp_query(e);
        return got == ERR_OK;
    }
    if (!e->is_answered && fw_has_request(e)) {
        e->is_answered = true;
        memcpy(fw.request, e->got, sizeof fw.request);
        if (fw.num_requests < MAX_LOG) {
            fw.request_ms[fw.num_requests] = sim_world_now_ms(fw.w);
        }
        fw.num_requests++;
        fw_answer(e);
        if (fw.script == RESET) {
            sim_client_reset(e->client);
        } else if (fw.script != SILENT && fw.script != DRIBBLE && fw.script != ENDLESS) {
            fw_end(e);
        }
        return true;
    }
    if (e->is_answered && fw.script == DRIBBLE && sim_world_now_ms(fw.w) >= e->next_ms) {
        e->next_ms = sim_world_now_ms(fw.w) + 1000;
        sim_client_write(e->client, SLICE_LITERAL("x"));
        return true;
    }
    static const uint8_t much[4096];
    if (e->is_answered && fw.script == ENDLESS) {
        return sim_client_write(e->client, slice_make(much, sizeof much)) != 0;
    }
    return got == ERR_OK;
}

static inline bool fw_accept(const struct net_addr *at)
{
    struct sim_client *c = sim_accept(fw.w, at);
    for (size_t i = 0; c != NULL && i < MAX_ENDS; i++) {
        if (fw.ends[i].client == NULL) {
            fw.ends[i] = (struct end){.client = c, .is_name_server = at == &fw_names};
            return true;
        }
    }
    CHECK(c == NULL);
    return false;
}

/* --- The owner --- */

static inline void fw_judge(void)
{
    struct tls_time now = fw_now();
    struct fetch_life *held = &fw.lives[fw.fetch.current];
    char text[100] = "";
    long long begin_s, end_s;
    if (fw.fetch.response.len < sizeof text) {
        memcpy(text, fw.fetch.response.ptr, fw.fetch.response.len);
    }
    fw.num_got++;
    if (sscanf(text, "PROOF %lld %lld", &begin_s, &end_s) != 2) {
        fw.num_refused++;
        ocsp_fetch_judged(&fw.fetch, &now, FETCH_REFUSED, NULL, "malformed");
    } else if (held->exists && begin_s - 300 <= held->begin_s) {
        fw.num_not_newer++;
        ocsp_fetch_judged(&fw.fetch, &now, FETCH_NOT_NEWER, NULL, "not-newer");
    } else if (now.wall_s < begin_s - 300 || now.wall_s >= end_s) {
        fw.num_refused++;
        ocsp_fetch_judged(&fw.fetch, &now, FETCH_REFUSED, NULL,
                          now.wall_s < begin_s ? "not-yet-valid" : "expired");
    } else {
        fw.num_taken++;
        *held = (struct fetch_life){true, begin_s - 300, end_s, false};
        ocsp_fetch_judged(&fw.fetch, &now, FETCH_TAKEN, held, "good");
    }
    CHECK_EQ(fw.fetch.response.len, 0);
}

/* One step of the host; true if anything happened. */
static inline bool fw_step_host(void)
{
    struct tls_time now = fw_now();
    switch (ocsp_fetch_step(&fw.fetch, &now)) {
    case FETCH_NOTHING:
        return false;
    case FETCH_GOT:
        fw_judge();
        return true;
    case FETCH_FAILED:
        fw.num_failed++;
        CHECK(fw.fetch.reason != NULL);
        return true;
    }
    return false;
}

static inline bool fw_step_others(void)
{
    bool any = fw_serve_datagrams() || fw_accept(&fw_responder) || fw_accept(&fw_proxy) ||
               fw_accept(&fw_names);
    for (size_t i = 0; i < MAX_ENDS; i++) {
        any = (fw.ends[i].client != NULL && fw_serve_end(&fw.ends[i])) || any;
    }
    return any;
}

/* Lets that much time go by. */
static inline void fw_run(uint64_t ms)
{
    uint64_t until_ms = sim_world_now_ms(fw.w) + ms;
    sim_world_set_horizon(fw.w, until_ms);
    while (sim_world_now_ms(fw.w) < until_ms) {
        struct port_event events[4];
        while (fw_step_host()) {
        }
        bool busy = fw_step_others();
        uint64_t now_ms = sim_world_now_ms(fw.w), deadline_ms = ocsp_fetch_deadline_ms(&fw.fetch);
        uint64_t wait_ms = deadline_ms > now_ms ? deadline_ms - now_ms : 0;
        if (fw.script == DRIBBLE && wait_ms > 1000) {
            wait_ms = 1000;
        }
        if (busy) {
            wait_ms = 0;
        }
        /* The others' bytes arrive without the host: look again soon while there are any. */
        bool is_alone = true;
        for (size_t i = 0; i < MAX_ENDS; i++) {
            is_alone = is_alone && fw.ends[i].client == NULL;
        }
        if (!transfer_is_idle(&fw.fetch.transfer) || !is_alone) {
            wait_ms = wait_ms < 10 ? wait_ms : 10;
        }
        size_t num = fw.port->loop.wait(fw.port->loop.ctx, events, 4, wait_ms);
        for (size_t i = 0; i < num; i++) {
            CHECK_EQ(events[i].tag, TAG);
        }
    }
}

/* The file, as the bytes of what was last taken say. */
static inline bool fw_file_is(const char *path, const struct fetch_life *life)
{
    struct slice bytes;
    char text[100];
    snprintf(text, sizeof text, "PROOF %lld %lld", (long long)(life->begin_s + 300),
             (long long)life->end_s);
    return sim_files_get(fw.h, path, &bytes) && slice_equal(bytes, slice_of_string(text));
}

#endif

/* A world for tests of sending: a host with a spool and the service deliver_smtp, a name server
 * with a zone, and servers that do what a script says at one command.
 *
 * A message is put into the spool with its recipients, a job is started for it, and the world runs
 * until the job has ended; no time passes but the world's. */
#ifndef POSTERN_REMOTE_WORLD_H
#define POSTERN_REMOTE_WORLD_H

#include "deliver_smtp_inside.h"

#include "sim_files.h"
#include "sim_net.h"
#include "test.h"

#define RW_TAG       (UINT64_C(9) << 56)
#define RW_MAX_PEERS 24
#define RW_MAX_ZONE  16
#define RW_STEPS_MAX 400000
#define RW_HEAP_LEN  (2u << 20)

/* What a server does when the command comes that its script is about. */
enum rw_how {
    RW_ANSWER,  /* script.answer */
    RW_CLOSE,   /* ends the connection, unanswered */
    RW_RESET,   /* breaks it */
    RW_SILENT,  /* nothing, for ever */
    RW_DRIBBLE, /* a byte of an answer each second, for ever */
    RW_FLOOD,   /* 64 KiB without a line end */
    RW_LINES,   /* 64 KiB of continued lines */
    RW_LATE,    /* script.answer, a minute later */
    RW_DEAF,    /* script.answer and 64 KiB more, and reads nothing any more */
    RW_CUT      /* half an answer, then the end */
};

struct rw_script {
    const char *verb; /* "CONNECT", "EHLO"..., "." for the end of content, "TLS" for its first byte;
                         NULL: all goes well */
    enum rw_how how;
    const char *answer;       /* with CRLF */
    uint32_t from;            /* the so-many-th time, from 1; 0: each time */
    const char *ehlo;         /* what EHLO is answered; NULL: rw_ehlo */
    const char *rcpt_refused; /* recipients with this in them get rcpt_answer */
    const char *rcpt_answer;
    bool is_lmtp;
    bool implicit_tls;
};

static const char rw_ehlo[] = "250-mx.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-DSN\r\n"
                              "250-SMTPUTF8\r\n250 SIZE 1000000\r\n";

/* A server at one address, however many connections it has. */
struct rw_server {
    struct net_addr at;
    struct rw_script script;
    uint32_t num_seen;     /* of the script's verb */
    uint32_t num_accepted; /* connections */
    uint32_t num_open;
    uint32_t num_open_max;
    uint32_t num_messages; /* that it took */
    uint32_t num_starttls;
    char commands[4096]; /* all that came, of all connections, a line each */
    char content[8192];  /* of the last message, stuffed */
    struct tls_set *set; /* NULL: no TLS */
    const char *path;    /* of its socket; NULL: it has none */
};

struct rw_peer {
    struct sim_client *client;
    struct rw_server *server;
    char got[20000];
    size_t got_len;
    char out[70000];
    size_t out_len;
    bool in_content, closes, is_mute, dribbles, has_sender, is_deaf;
    uint64_t late_ms; /* when script.answer is due; 0: it is not */
    uint64_t next_ms;
    size_t content_len, chunk_left;
    uint32_t num_rcpts;
    bool in_tls, in_chunk;
    struct tls tls;
};

/* NAME TYPE VALUE; for MX "10 host". "fail": the server cannot say. */
struct rw_record {
    const char *name;
    enum dns_type type;
    const char *value;
};

static struct remote_world {
    struct sim_world *w;
    struct sim_host *h;
    const struct port *port;
    struct spool *spool;
    struct timers timers;
    struct conf conf;
    struct deliver_smtp *d;
    struct tls_env tls;
    bool has_tls;
    size_t heap_used_len; /* before */
    int64_t wall_s;
    bool wall_set;
    uint8_t *memory, *scratch;
    uint8_t conf_memory[CONF_MEMORY_LEN];
    struct rw_server servers[8];
    size_t num_servers;
    struct rw_peer peers[RW_MAX_PEERS];
    struct rw_record zone[RW_MAX_ZONE];
    size_t num_records;
    bool dns_is_silent, dns_cuts_udp;
    uint32_t num_queries;
    uint32_t num_quiet_steps;
    uint32_t num_steps_with_shakes;
    bool may_not_shake;
    struct route_item route;
    struct route_host hosts[4];
} rw;

static const struct net_addr rw_names = {NET_IPV4, {192, 0, 2, 53}, 53};

static inline struct net_addr rw_addr(const char *text, uint16_t port)
{
    struct net_addr at;
    CHECK(net_addr_parse(slice_of_string(text), &at));
    at.port = port;
    return at;
}

/* --- Beginning and end --- */

static inline void rw_conf(const char *text)
{
    uint8_t bytes[CONF_ERRORS_CAP];
    struct buf errors = buf_make(bytes, sizeof bytes);
    struct arena a = {rw.conf_memory, sizeof rw.conf_memory, 0};
    struct conf_env env = {"t.conf", SLICE_LITERAL("me.example")};
    memset(rw.conf_memory, 0, sizeof rw.conf_memory);
    if (conf_read(&rw.conf, &a, slice_of_string(text), &env, &errors) != ERR_OK) {
        fprintf(stderr, "conf: %.*s\n", (int)errors.len, (char *)errors.ptr);
        abort();
    }
    if (rw.d != NULL) {
        deliver_smtp_set_conf(rw.d, &rw.conf, rw.conf.primary_hostname);
    }
}

static inline void rw_spool_turn(void)
{
    struct spool_event event;
    (void)spool_step(rw.spool, sim_world_now_ms(rw.w));
    while (spool_next_event(rw.spool, &event)) {
        CHECK_EQ(event.err, ERR_OK);
    }
}

static inline void rw_open(const char *conf)
{
    static const struct spool_conf spool_conf = {
        .size_limit = 16u << 20, .max_messages = 100, .max_txns = 4};
    memset(&rw, 0, sizeof rw);
    rw.w = sim_world_new(7);
    rw.h = sim_host_new(rw.w, NULL);
    rw.port = sim_host_port(rw.h);
    rw.wall_s = 1781481600;
    rw.wall_set = true;
    sim_net_set_link(rw.w, &(struct sim_link){.delay_ms = 10, .chunk_len = 1000});
    sim_datagram_listen(rw.w, &rw_names);
    sim_listen(rw.w, &rw_names);
    sim_files_put_string(rw.h, "/etc/resolv.conf", "nameserver 192.0.2.53\n");
    rw_conf(conf);
    size_t len = 8u << 20;
    rw.memory = calloc(1, len);
    rw.scratch = malloc(BUDGET_SCRATCH_LEN);
    struct arena a = {rw.memory, len, 0};
    CHECK_EQ(
        spool_open(&rw.spool, &spool_conf, &rw.port->store, &rw.port->entropy, &rw.port->log, &a),
        ERR_OK);
    CHECK(timers_init(&rw.timers, &a, BUDGET_REMOTE_CONNECTIONS));
    struct deliver_smtp_env env = {.port = rw.port,
                                   .timers = &rw.timers,
                                   .spool = rw.spool,
                                   .conf = &rw.conf,
                                   .hostname = rw.conf.primary_hostname,
                                   .resolv_conf_path = "/etc/resolv.conf",
                                   .hosts_path = "/etc/hosts",
                                   .timer_kind = 1,
                                   .tag_mark = RW_TAG};
    CHECK_EQ(deliver_smtp_open(&rw.d, &a, &env), ERR_OK);
}

/* One heap for the whole program, as the library's hooks have but one: for keys and certificates
 * that are made before there is a world, too. */
static struct heap rw_heap;
static struct tls_env rw_heap_env;

static inline void rw_open_heap(void)
{
    static uint8_t region[RW_HEAP_LEN];
    static const uint8_t seed[TLS_SEED_LEN] = {4, 5, 6};
    struct slice bad;
    CHECK(heap_open(&rw_heap, region, sizeof region));
    CHECK_EQ(tls_env_open(&rw_heap_env, &rw_heap, slice_make(seed, sizeof seed), SLICE_LITERAL(""),
                          &bad),
             ERR_OK);
}

static inline void rw_open_tls(const char *ciphers)
{
    static const uint8_t seed[TLS_SEED_LEN] = {4, 5, 6};
    struct slice bad;
    rw.heap_used_len = rw_heap.used_len;
    CHECK_EQ(tls_env_open(&rw.tls, &rw_heap, slice_make(seed, sizeof seed),
                          slice_of_string(ciphers), &bad),
             ERR_OK);
    rw.has_tls = true;
}

static inline void rw_end_peer(struct rw_peer *p)
{
    tls_free(&p->tls);
    sim_client_close(p->client);
    p->server->num_open--;
    memset(p, 0, sizeof *p);
}

static inline void rw_close(void)
{
    deliver_smtp_close(rw.d);
    CHECK_EQ(rw.d->conns.num_used, 0);
    CHECK_EQ(rw.timers.num, 0);
    for (size_t i = 0; i < RW_MAX_PEERS; i++) {
        if (rw.peers[i].client != NULL) {
            rw_end_peer(&rw.peers[i]);
        }
    }
    for (size_t i = 0; i < rw.num_servers; i++) {
        tls_set_drop(rw.servers[i].set);
    }
    if (rw.has_tls) {
        tls_env_close(&rw.tls);
        static int num_worlds; /* the first handshakes fill tables that stay */
        CHECK(num_worlds++ < 4 || rw_heap.used_len == rw.heap_used_len);
        CHECK(heap_is_sound(&rw_heap));
    }
    CHECK_EQ(sim_net_num_handles(rw.h), 0);
    sim_world_free(rw.w);
    free(rw.memory);
    free(rw.scratch);
}

/* --- The name server --- */

static inline void rw_record(const char *name, enum dns_type type, const char *value)
{
    rw.zone[rw.num_records++] = (struct rw_record){name, type, value};
}

static inline void rw_put_name(struct buf *b, const char *text)
{
    struct dns_name name = {.bytes = {0}, .len = 1};
    if (strcmp(text, ".") != 0) {
        CHECK(dns_name_parse(slice_of_string(text), &name));
    }
    buf_put(b, slice_make(name.bytes, name.len));
}

static inline void rw_put_record(struct buf *b, const struct rw_record *r)
{
    uint8_t bytes[300];
    struct buf data = buf_make(bytes, sizeof bytes);
    struct net_addr addr;
    if (r->type == DNS_MX) {
        buf_put_be(&data, 2, (uint64_t)atoi(r->value));
        rw_put_name(&data, strchr(r->value, ' ') + 1);
    } else if (r->type == DNS_CNAME) {
        rw_put_name(&data, r->value);
    } else {
        CHECK(net_addr_parse(slice_of_string(r->value), &addr));
        buf_put(&data, slice_make(addr.bytes, r->type == DNS_A ? 4 : 16));
    }
    rw_put_name(b, r->name);
    buf_put_be(b, 2, r->type);
    buf_put_be(b, 2, 1);
    buf_put_be(b, 4, 60);
    buf_put_be(b, 2, data.len);
    buf_put(b, buf_slice(&data));
}

static inline bool rw_is_named(const char *name, struct slice wire)
{
    struct dns_name parsed;
    return dns_name_parse(slice_of_string(name), &parsed) &&
           slice_equal(slice_make(parsed.bytes, parsed.len), wire);
}

static inline size_t rw_answer_query(const uint8_t *query, size_t len, bool over_tcp, uint8_t *out)
{
    struct buf b = buf_make(out, 512);
    uint8_t record_bytes[400];
    struct buf records = buf_make(record_bytes, sizeof record_bytes);
    struct slice name = slice_make(query + 12, len - 16);
    unsigned type = query[len - 3], num = 0;
    bool exists = false, fails = false;
    const char *at = NULL;
    for (size_t i = 0; i < rw.num_records; i++) {
        const struct rw_record *r = &rw.zone[i];
        if (at != NULL ? strcmp(at, r->name) == 0 : rw_is_named(r->name, name)) {
            exists = true;
            fails = fails || strcmp(r->value, "fail") == 0;
            if (r->type == type || r->type == DNS_CNAME) {
                num += !fails;
                if (!fails) {
                    rw_put_record(&records, r);
                }
                at = r->type == DNS_CNAME ? r->value : at;
            }
        }
    }
    bool is_cut = rw.dns_cuts_udp && !over_tcp;
    num = is_cut ? 0 : num;
    buf_put(&b, slice_make(query, 2));
    buf_put_be(&b, 2, is_cut ? 0x8380 : fails ? 0x8182 : exists ? 0x8180 : 0x8183);
    buf_put_be(&b, 2, 1);
    buf_put_be(&b, 2, num);
    buf_put_be(&b, 4, 0);
    buf_put(&b, slice_make(query + 12, len - 12));
    if (num != 0) {
        buf_put(&b, buf_slice(&records));
    }
    return b.len;
}

static inline bool rw_serve_names(void)
{
    uint8_t query[600], answer[600];
    struct net_addr from;
    size_t len;
    bool did = false;
    while (sim_datagram_take(rw.w, &rw_names, &from, &len, query, sizeof query)) {
        did = true;
        rw.num_queries++;
        if (!rw.dns_is_silent) {
            len = rw_answer_query(query, len, false, answer);
            sim_datagram_send(rw.w, &rw_names, &from, slice_make(answer, len));
        }
    }
    struct sim_client *c = sim_accept(rw.w, &rw_names);
    static struct sim_client *tcp;
    if (c != NULL) {
        tcp = c;
    }
    if (tcp != NULL && sim_client_read(tcp, &len, query, sizeof query) == ERR_OK && len > 18) {
        len = rw_answer_query(query + 2, len - 2, true, answer + 2);
        answer[0] = (uint8_t)(len >> 8);
        answer[1] = (uint8_t)len;
        sim_client_write(tcp, slice_make(answer, len + 2));
        sim_client_close(tcp);
        tcp = NULL;
        did = true;
    }
    return did;
}

/* --- Servers --- */

static inline struct rw_server *rw_server(const char *addr, uint16_t port,
                                          const struct rw_script *script)
{
    struct rw_server *s = &rw.servers[rw.num_servers++];
    s->at = rw_addr(addr, port);
    if (script != NULL) {
        s->script = *script;
    }
    sim_listen(rw.w, &s->at);
    return s;
}

static inline struct rw_server *rw_server_local(const char *path, const struct rw_script *script)
{
    struct rw_server *s = &rw.servers[rw.num_servers++];
    s->path = path;
    s->script = *script;
    sim_listen_local(rw.w, path);
    return s;
}

static inline void rw_say(struct rw_peer *p, const char *text)
{
    size_t len = strlen(text);
    CHECK(p->out_len + len <= sizeof p->out);
    memcpy(p->out + p->out_len, text, len);
    p->out_len += len;
}

static inline void rw_flood(struct rw_peer *p, const char *line)
{
    while (p->out_len + strlen(line) < 65536) {
        rw_say(p, line);
    }
}

/* The script's own answer to this verb; false: all goes well. */
static inline bool rw_scripted(struct rw_peer *p, const char *verb)
{
    const struct rw_script *s = &p->server->script;
    if (s->verb == NULL || strcmp(s->verb, verb) != 0 ||
        (s->from != 0 && ++p->server->num_seen != s->from)) {
        return false;
    }
    switch (s->how) {
    case RW_ANSWER:
        rw_say(p, s->answer);
        return true;
    case RW_CUT:
        rw_say(p, "250-half an ans");
        p->closes = true;
        return true;
    case RW_FLOOD:
        rw_flood(p, "250 xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
        break;
    case RW_LINES:
        rw_flood(p, "250-and more\r\n");
        break;
    case RW_LATE:
        p->late_ms = sim_world_now_ms(rw.w) + 60000;
        return true;
    case RW_DEAF:
        rw_say(p, s->answer);
        rw_flood(p, "250-and more\r\n");
        p->is_deaf = true;
        break;
    case RW_CLOSE:
        p->closes = true;
        break;
    case RW_RESET:
        sim_client_reset(p->client);
        break;
    case RW_DRIBBLE:
        p->dribbles = true;
        break;
    case RW_SILENT:
        break;
    }
    p->is_mute = true;
    return true;
}

static inline void rw_take_message(struct rw_peer *p)
{
    const struct rw_script *s = &p->server->script;
    p->in_content = p->in_chunk = false;
    if (rw_scripted(p, ".")) {
        return;
    }
    p->server->num_messages++;
    for (uint32_t i = 0; i < (s->is_lmtp ? p->num_rcpts : 1); i++) {
        rw_say(p, "250 2.0.0 taken\r\n");
    }
}

static inline void rw_rcpt(struct rw_peer *p, const char *line)
{
    const struct rw_script *s = &p->server->script;
    if (s->rcpt_refused != NULL && strstr(line, s->rcpt_refused) != NULL) {
        rw_say(p, s->rcpt_answer);
        return;
    }
    if (!p->has_sender) {
        rw_say(p, "503 no sender\r\n");
    } else if (rw_scripted(p, "RCPT")) {
        p->num_rcpts += s->how == RW_LATE;
    } else {
        p->num_rcpts++;
        rw_say(p, "250 2.1.5 ok\r\n");
    }
}

static inline void rw_obey(struct rw_peer *p, const char *line)
{
    struct rw_server *s = p->server;
    char verb[16] = "";
    sscanf(line, "%15s", verb);
    if (strlen(s->commands) + strlen(line) + 2 < sizeof s->commands) {
        strcat(s->commands, line);
        strcat(s->commands, "\n");
    }
    if (strcmp(verb, "RCPT") == 0) {
        rw_rcpt(p, line);
    } else if (rw_scripted(p, verb)) {
        p->has_sender = strcmp(verb, "MAIL") == 0 ? s->script.how == RW_LATE : p->has_sender;
    } else if (strcmp(verb, "EHLO") == 0 || strcmp(verb, "LHLO") == 0) {
        rw_say(p, s->script.ehlo != NULL ? s->script.ehlo : rw_ehlo);
    } else if (strcmp(verb, "STARTTLS") == 0) {
        s->num_starttls++;
        rw_say(p, "220 go\r\n");
        p->in_tls = true;
    } else if (strcmp(verb, "MAIL") == 0) {
        p->num_rcpts = 0;
        p->has_sender = true;
        rw_say(p, "250 2.1.0 ok\r\n");
    } else if (strcmp(verb, "DATA") == 0) {
        p->in_content = p->num_rcpts != 0;
        rw_say(p, p->in_content ? "354 go\r\n" : "503 no recipients\r\n");
        p->content_len = 0;
    } else if (strcmp(verb, "BDAT") == 0) {
        p->chunk_left = (size_t)atoi(line + 5);
        p->in_content = p->in_chunk = true;
        p->content_len = 0;
    } else if (strcmp(verb, "AUTH") == 0) {
        rw_say(p, "235 in\r\n");
    } else if (strcmp(verb, "QUIT") == 0) {
        rw_say(p, "221 bye\r\n");
        p->closes = true;
    } else {
        rw_say(p, "250 ok\r\n");
    }
}

/* Content up to its end; false: more has to come. */
static inline bool rw_take_content(struct rw_peer *p)
{
    char *end = NULL;
    size_t len = p->got_len;
    if (p->in_chunk) {
        len = len < p->chunk_left ? len : p->chunk_left;
        p->chunk_left -= len;
    } else {
        end = p->content_len == 0 && p->got_len >= 3 && memcmp(p->got, ".\r\n", 3) == 0
                  ? p->got - 2
                  : memmem(p->got, p->got_len, "\r\n.\r\n", 5);
        len = end != NULL ? (size_t)(end + 5 - p->got) : len > 4 ? len - 4 : 0;
    }
    for (size_t i = 0; i < len && p->content_len + 1 < sizeof p->server->content; i++) {
        p->server->content[p->content_len++] = p->got[i];
    }
    p->server->content[p->content_len] = 0;
    memmove(p->got, p->got + len, p->got_len - len);
    p->got_len -= len;
    if (p->in_chunk ? p->chunk_left == 0 : end != NULL) {
        rw_take_message(p);
        return true;
    }
    return false;
}

static inline void rw_take_bytes(struct rw_peer *p)
{
    while (!p->is_mute && !p->closes) {
        if (p->in_content) {
            if (!rw_take_content(p)) {
                return;
            }
            continue;
        }
        char *end = memmem(p->got, p->got_len, "\r\n", 2);
        if (end == NULL) {
            return;
        }
        char line[2100];
        size_t len = (size_t)(end - p->got);
        CHECK(len < sizeof line);
        memcpy(line, p->got, len);
        line[len] = 0;
        memmove(p->got, end + 2, p->got_len - len - 2);
        p->got_len -= len + 2;
        bool was_in_tls = p->in_tls;
        rw_obey(p, line);
        if (p->in_tls != was_in_tls) {
            return;
        }
    }
}

static inline struct tls_time rw_now(void)
{
    return (struct tls_time){sim_world_now_ms(rw.w), rw.wall_s, rw.wall_set};
}

static inline void rw_tls_out(struct rw_peer *p)
{
    struct slice pending = tls_pending(&p->tls);
    tls_sent(&p->tls, sim_client_write(p->client, pending));
}

/* TLS on the server's side, plaintext to and from got and out. */
static inline void rw_tls_turn(struct rw_peer *p, struct slice in)
{
    struct tls_time now = {sim_world_now_ms(rw.w), rw.wall_s, true};
    if (p->tls.env == NULL) {
        if (tls_open_server(&p->tls, &rw.tls) != ERR_OK) { /* one heap for both sides */
            p->closes = true;
            return;
        }
    }
    for (int i = 0; i < 200; i++) {
        tls_feed(&p->tls, &in);
        enum tls_event event = tls_step(&p->tls, &now);
        rw_tls_out(p);
        if (event == TLS_NEED_SET) {
            tls_give_set(&p->tls, p->server->set);
        }
        if (event == TLS_ESTABLISHED && p->server->script.implicit_tls) {
            rw_say(p, "220 mx.example\r\n");
        }
        struct slice plain = tls_peek(&p->tls);
        CHECK(p->got_len + plain.len <= sizeof p->got);
        if (plain.len != 0) {
            memcpy(p->got + p->got_len, plain.ptr, plain.len);
            p->got_len += plain.len;
            tls_consume(&p->tls, plain.len);
            rw_take_bytes(p);
        }
        size_t taken = 0;
        if (p->out_len != 0 &&
            tls_write(&p->tls, slice_make(p->out, p->out_len), &taken) == ERR_OK) {
            memmove(p->out, p->out + taken, p->out_len - taken);
            p->out_len -= taken;
            rw_tls_out(p);
        }
        if (event == TLS_FAILED || event == TLS_CLOSED) {
            p->closes = true;
        }
        if ((event == TLS_MORE && slice_is_empty(in)) || p->closes) {
            return;
        }
    }
}

static inline void rw_write(struct rw_peer *p)
{
    if (p->tls.env != NULL) {
        rw_tls_turn(p, slice_make(NULL, 0));
        return;
    }
    if (p->late_ms != 0 && sim_world_now_ms(rw.w) >= p->late_ms) {
        p->late_ms = 0;
        rw_say(p, p->server->script.answer);
    }
    size_t len = sim_client_write(p->client, slice_make(p->out, p->out_len));
    memmove(p->out, p->out + len, p->out_len - len);
    p->out_len -= len;
    if (p->dribbles && sim_world_now_ms(rw.w) >= p->next_ms) {
        p->next_ms = sim_world_now_ms(rw.w) + 1000;
        sim_client_write(p->client, SLICE_LITERAL("2"));
    }
}

/* True if anything came. */
static inline bool rw_serve_peer(struct rw_peer *p)
{
    uint8_t bytes[4096];
    size_t len = 0;
    bool uses_tls = p->in_tls && p->out_len == 0;
    size_t cap = p->tls.env != NULL ? tls_room(&p->tls) : sizeof bytes;
    enum err err =
        cap == 0 || p->is_deaf
            ? ERR_AGAIN
            : sim_client_read(p->client, &len, bytes, cap < sizeof bytes ? cap : sizeof bytes);
    if (err == ERR_EOF || err == ERR_RESET) {
        rw_end_peer(p);
        return true;
    }
    if (err == ERR_OK && (uses_tls || p->tls.env != NULL)) {
        if (p->tls.env == NULL && rw_scripted(p, "TLS")) {
            p->in_tls = false;
        } else {
            rw_tls_turn(p, slice_make(bytes, len));
        }
    } else if (err == ERR_OK && !p->is_mute) {
        CHECK(p->got_len + len <= sizeof p->got);
        memcpy(p->got + p->got_len, bytes, len);
        p->got_len += len;
        rw_take_bytes(p);
    }
    rw_write(p);
    if (p->closes && p->out_len == 0) {
        rw_end_peer(p);
    }
    return err == ERR_OK;
}

static inline void rw_accept(struct rw_server *s)
{
    struct sim_client *c =
        s->path != NULL ? sim_accept_local(rw.w, s->path) : sim_accept(rw.w, &s->at);
    for (size_t i = 0; c != NULL && i < RW_MAX_PEERS; i++) {
        struct rw_peer *p = &rw.peers[i];
        if (p->client == NULL) {
            p->client = c;
            p->server = s;
            s->num_accepted++;
            s->num_open++;
            s->num_open_max = s->num_open > s->num_open_max ? s->num_open : s->num_open_max;
            p->in_tls = s->script.implicit_tls;
            if (!rw_scripted(p, "CONNECT") && !p->in_tls) {
                rw_say(p, "220 mx.example ESMTP\r\n");
            }
            rw_write(p);
            return;
        }
    }
    CHECK(c == NULL);
}

/* --- Running --- */

/* One step of the host, and of everybody else. */
static inline void rw_step(void)
{
    struct port_event events[32];
    struct timer *t;
    bool shook = false;
    uint64_t next_ms = timers_next_ms(&rw.timers), now_ms = sim_world_now_ms(rw.w);
    uint64_t wait = deliver_smtp_has_turns(rw.d) ? 0 : next_ms > now_ms ? next_ms - now_ms : 0;
    for (size_t i = 0; i < RW_MAX_PEERS; i++) {
        wait = (rw.peers[i].dribbles || rw.peers[i].late_ms != 0) && wait > 1000 ? 1000 : wait;
    }
    uint64_t spool_ms = spool_next_deadline_ms(rw.spool);
    if (spool_ms != UINT64_MAX) {
        uint64_t left_ms = spool_ms > now_ms ? spool_ms - now_ms : 0;
        wait = left_ms < wait ? left_ms : wait;
    }
    /* Bytes may be on their way to the peers, of which the host's clock knows nothing. */
    uint64_t most = rw.num_quiet_steps < 50 ? 2 : 1000;
    wait = wait > most ? most : wait;
    size_t num = rw.port->loop.wait(rw.port->loop.ctx, events, 32, wait);
    for (size_t i = 0; i < num; i++) {
        if (events[i].kind == PORT_DONE) {
            spool_done(rw.spool, events[i].tag, events[i].err);
        } else {
            CHECK_EQ(events[i].tag >> 56 << 56, RW_TAG);
            deliver_smtp_event(rw.d, events[i].tag & ~RW_TAG, events[i].kind);
        }
    }
    while ((t = timers_due(&rw.timers, sim_world_now_ms(rw.w))) != NULL) {
        deliver_smtp_timer(rw.d, t);
    }
    struct tls_time now = rw_now();
    (void)deliver_smtp_step(rw.d, &now, buf_make(rw.scratch, BUDGET_SCRATCH_LEN), !rw.may_not_shake,
                            &shook);
    CHECK(!shook || !rw.may_not_shake);
    rw.num_steps_with_shakes += shook;
    rw_spool_turn();
    bool is_busy = rw_serve_names() || num != 0;
    for (size_t i = 0; i < rw.num_servers; i++) {
        rw_accept(&rw.servers[i]);
    }
    for (size_t i = 0; i < RW_MAX_PEERS; i++) {
        is_busy = (rw.peers[i].client != NULL && rw_serve_peer(&rw.peers[i])) || is_busy;
    }
    rw.num_quiet_steps = is_busy ? 0 : rw.num_quiet_steps + 1;
}

/* --- Messages and jobs --- */

static const char rw_text[] = "Subject: x\r\n\r\nhello\r\n.dot\r\n";

struct rw_message {
    uint64_t id;
    uint32_t envelope_len;
    uint64_t end_offset;
    uint32_t num_rcpts;
    struct smtp_rcpt rcpts[SMTP_JOB_RCPTS_MAX];
};

/* A message to num_rcpts recipients, rN@example.org, or to the one named, in the spool. */
static inline void rw_put(struct rw_message *m, uint32_t num_rcpts, const char *named,
                          const char *text)
{
    uint8_t bytes[32768];
    struct buf envelope = buf_make(bytes, sizeof bytes);
    struct envelope_params params = {.flags = 0};
    uint64_t txn;
    memset(m, 0, sizeof *m);
    CHECK_EQ(envelope_put_head(&envelope, SLICE_LITERAL("s@me.example"), &params), ERR_OK);
    for (uint32_t i = 0; i < num_rcpts; i++) {
        char address[64];
        snprintf(address, sizeof address, "r%u@example.org", i);
        struct envelope_entry entry = {.kind = ENVELOPE_RCPT};
        entry.rcpt.address = slice_of_string(named != NULL ? named : address);
        m->rcpts[i].envelope_offset = (uint32_t)envelope.len;
        m->rcpts[i].index = i;
        CHECK_EQ(envelope_put(&envelope, &entry), ERR_OK);
    }
    for (int i = 0; i < 1000 && spool_begin(rw.spool, &txn, 0) != ERR_OK; i++) {
        rw_step();
    }
    m->id = spool_txn_id(rw.spool, txn);
    CHECK_EQ(spool_append(rw.spool, txn, buf_slice(&envelope)), ERR_OK);
    enum err err = ERR_AGAIN;
    struct slice rest = slice_of_string(text);
    for (int i = 0; i < 10000 && (err == ERR_AGAIN || rest.len != 0); i++) {
        struct slice piece = slice_make(rest.ptr, rest.len < 16384 ? rest.len : 16384);
        err = spool_append(rw.spool, txn, piece);
        slice_skip(&rest, err == ERR_OK ? piece.len : 0);
        rw_step();
    }
    CHECK_EQ(err, ERR_OK);
    m->envelope_len = (uint32_t)envelope.len;
    m->end_offset = envelope.len + strlen(text);
    m->num_rcpts = num_rcpts;
    struct spool_meta meta = {.envelope_len = m->envelope_len, .num_rcpts = num_rcpts};
    CHECK_EQ(spool_commit(rw.spool, txn, &meta), ERR_OK);
    for (int i = 0; i < 1000 && !spool_idle(rw.spool); i++) {
        rw_step();
    }
}

/* By hosts: "ADDRESS" at these ports, or names; NULL: by MX. */
static inline void rw_route(enum route_kind kind, const char *const *names, size_t num,
                            uint16_t port)
{
    rw.route = (struct route_item){.kind = kind, .hosts = rw.hosts, .num_hosts = (uint32_t)num};
    for (size_t i = 0; i < num; i++) {
        rw.hosts[i] = (struct route_host){
            .name = slice_of_string(names[i]), .port = port, .implicit_tls = port == 465};
    }
}

static inline struct smtp_job *rw_start(const struct rw_message *m, struct smtp_order *order)
{
    order->id = m->id;
    order->envelope_len = m->envelope_len;
    order->end_offset = m->end_offset;
    order->route = &rw.route;
    order->num_rcpts = m->num_rcpts;
    order->rcpts = m->rcpts;
    order->sender = SLICE_LITERAL("s@me.example");
    if (slice_is_empty(order->domain)) {
        order->domain = SLICE_LITERAL("example.org");
    }
    return deliver_smtp_start(rw.d, order, sim_world_now_ms(rw.w));
}

static inline struct smtp_job *rw_until_ended(void)
{
    struct smtp_job *job = NULL;
    for (int i = 0; i < RW_STEPS_MAX && (job = deliver_smtp_ended(rw.d)) == NULL; i++) {
        rw_step();
    }
    CHECK(job != NULL);
    if (job == NULL) {
        abort();
    }
    return job;
}

/* All of it for one message; the job is the caller's. */
static inline struct smtp_job *rw_send(uint32_t num_rcpts, const char *named)
{
    struct rw_message m;
    struct smtp_order order = {.id = 0};
    rw_put(&m, num_rcpts, named, rw_text);
    CHECK(rw_start(&m, &order) != NULL);
    return rw_until_ended();
}

static inline void rw_run_ms(uint64_t ms)
{
    uint64_t end_ms = sim_world_now_ms(rw.w) + ms;
    sim_world_set_horizon(rw.w, end_ms);
    for (int i = 0; i < RW_STEPS_MAX && sim_world_now_ms(rw.w) < end_ms; i++) {
        rw_step();
    }
    sim_world_set_horizon(rw.w, UINT64_MAX);
}

#endif

/* The other side of a world of sending (remote_world.h, which includes this): what there is of it,
 * a name server with a zone, and servers that do what a script says at one command. */
#ifndef POSTERN_REMOTE_PEERS_H
#define POSTERN_REMOTE_PEERS_H

#include "deliver_smtp_inside.h"

#include "sim_files.h"
#include "sim_net.h"
#include "test.h"

#define RW_TAG        (UINT64_C(9) << 56)
#define RW_MAX_PEERS  40
#define RW_MAX_ZONE   16
#define RW_ANSWER_CAP 8000
#define RW_STEPS_MAX  400000
#define RW_HEAP_LEN   (2u << 20)

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
    RW_SLOW,    /* script.answer, and reads 100 bytes a minute from then on */
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
    bool rcpt_answer_names; /* behind it the command, and the line's end */
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
    bool in_content, closes, is_mute, dribbles, has_sender, is_deaf, is_slow;
    uint64_t late_ms; /* when script.answer is due; 0: it is not */
    uint64_t next_ms;
    uint64_t read_ms; /* one that is slow reads then */
    size_t content_len, chunk_left;
    uint32_t num_rcpts;
    bool in_tls, in_chunk;
    struct tls tls;
    bool keeps_script; /* and set, that its server had when it connected */
    struct rw_script script;
    struct tls_set *set;
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
    struct rw_server servers[RW_MAX_PEERS];
    size_t num_servers;
    struct rw_peer peers[RW_MAX_PEERS];
    struct rw_record zone[RW_MAX_ZONE];
    size_t num_records;
    bool dns_is_silent, dns_cuts_udp, dns_never_cuts;
    uint32_t num_poor_mx; /* further exchangers in an answer, worse than those of the zone */
    uint32_t num_queries;
    uint32_t num_quiet_steps;
    uint32_t num_steps_with_shakes;
    bool may_not_shake;
    bool is_short; /* of memory: the host's first allocation of each step is refused */
    struct route_item route;
    struct route_host hosts[4];
    bool peers_keep_scripts;
    /* What somebody wants to hear of peers, or NULL: after each command; content as it comes, and
     * at its end, before the script decides what it is answered; before a connection goes. */
    void (*on_line)(struct rw_peer *p, const char *line);
    void (*on_content)(struct rw_peer *p, const char *bytes, size_t len);
    void (*on_end)(struct rw_peer *p);
    void (*on_close)(struct rw_peer *p);
} rw;

static const struct net_addr rw_names = {NET_IPV4, {192, 0, 2, 53}, 53};

static inline struct net_addr rw_addr(const char *text, uint16_t port)
{
    struct net_addr at;
    CHECK(net_addr_parse(slice_of_string(text), &at));
    at.port = port;
    return at;
}

static inline void rw_end_peer(struct rw_peer *p)
{
    if (rw.on_close != NULL) {
        rw.on_close(p);
    }
    tls_free(&p->tls);
    sim_client_close(p->client);
    p->server->num_open--;
    memset(p, 0, sizeof *p);
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
    struct buf b = buf_make(out, RW_ANSWER_CAP);
    uint8_t record_bytes[RW_ANSWER_CAP - 300];
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
    for (uint32_t i = 0; i < rw.num_poor_mx && type == DNS_MX && num != 0; i++) {
        char value[60];
        snprintf(value, sizeof value, "99 exchanger-%u.of-the-last-resort.example", i);
        rw_put_record(&records, &(struct rw_record){"example.org", DNS_MX, value});
        num++;
    }
    bool is_long = records.len > 400 && !rw.dns_never_cuts;
    bool is_cut = (rw.dns_cuts_udp || is_long) && !over_tcp;
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
    uint8_t query[600], answer[RW_ANSWER_CAP + 2];
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
        struct slice rest = slice_make(answer, len + 2);
        while (rest.len != 0) { /* each time as much as the link's pieces hold */
            size_t num = sim_client_write(tcp, rest);
            CHECK(num != 0);
            slice_skip(&rest, num != 0 ? num : rest.len);
        }
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

static inline const struct rw_script *rw_script_of(const struct rw_peer *p)
{
    return p->keeps_script ? &p->script : &p->server->script;
}

/* The script's own answer to this verb; false: all goes well. */
static inline bool rw_scripted(struct rw_peer *p, const char *verb)
{
    const struct rw_script *s = rw_script_of(p);
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
    case RW_SLOW:
        rw_say(p, s->answer);
        p->is_slow = true;
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
    const struct rw_script *s = rw_script_of(p);
    p->in_content = p->in_chunk = false;
    if (rw.on_end != NULL) {
        rw.on_end(p);
    }
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
    const struct rw_script *s = rw_script_of(p);
    if (s->rcpt_refused != NULL && strstr(line, s->rcpt_refused) != NULL) {
        rw_say(p, s->rcpt_answer);
        rw_say(p, s->rcpt_answer_names ? line : "");
        rw_say(p, s->rcpt_answer_names ? "\r\n" : "");
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
        p->has_sender = strcmp(verb, "MAIL") == 0 ? rw_script_of(p)->how == RW_LATE : p->has_sender;
    } else if (strcmp(verb, "EHLO") == 0 || strcmp(verb, "LHLO") == 0) {
        rw_say(p, rw_script_of(p)->ehlo != NULL ? rw_script_of(p)->ehlo : rw_ehlo);
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
    if (rw.on_content != NULL) {
        rw.on_content(p, p->got, len);
    }
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
        if (rw.on_line != NULL) {
            rw.on_line(p, line);
        }
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
            tls_give_set(&p->tls, p->keeps_script ? p->set : p->server->set);
        }
        if (event == TLS_ESTABLISHED && rw_script_of(p)->implicit_tls) {
            rw_say(p, "220 mx.example\r\n");
        }
        struct slice plain = tls_peek(&p->tls);
        if (p->is_mute) {
            tls_consume(&p->tls, plain.len);
            plain.len = 0;
        }
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
    if (p->late_ms != 0 && sim_world_now_ms(rw.w) >= p->late_ms) {
        p->late_ms = 0;
        rw_say(p, rw_script_of(p)->answer);
    }
    if (p->tls.env != NULL) {
        rw_tls_turn(p, slice_make(NULL, 0));
        return;
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
    if (p->is_slow) {
        bool is_due = sim_world_now_ms(rw.w) >= p->read_ms;
        cap = is_due ? 100 : 0;
        p->read_ms = is_due ? sim_world_now_ms(rw.w) + 60000 : p->read_ms;
    }
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
            p->keeps_script = rw.peers_keep_scripts;
            p->script = s->script;
            p->set = s->set;
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

#endif

/* A server in a simulated world, and clients that send numbered messages: what the tests of the
 * whole receiving path share.
 *
 * A client walks through one message after the other and remembers which of them were answered 250.
 * A message's body holds a mark of its own, so that its copies in the Maildirs can be counted. */
#ifndef POSTERN_MTA_SITE_H
#define POSTERN_MTA_SITE_H

#include "mta.h"
#include "mta_inside.h"
#include "sim_files.h"
#include "sim_mailbox.h"
#include "sim_net.h"
#include "sim_world.h"
#include "test.h"

#define SITE_CONF           "/etc/postern.conf"
#define SITE_SPOOL_SIZE_MAX (128u * 1024 * 1024) /* that a test may set */
#define SITE_MAILDIR        "/mail/joe"
#define SITE_MESSAGES_MAX   4096

static const char site_conf[] = "primary_hostname = mx.example\n"
                                "local_domains = example.org\n"
                                "local_interfaces = 127.0.0.1\n"
                                "daemon_smtp_ports = 25\n"
                                "local_users = joe : ann\n"
                                "maildir = /mail/$local_part\n"
                                "smtp_accept_max = 500\n"
                                "spool_size = 16M\n"
                                "message_size_limit = 1M\n";

struct site_client {
    struct sim_client *peer;
    uint32_t number;
    uint32_t num_messages; /* to send */
    uint32_t num_sent;     /* answered, either way */
    uint32_t line;         /* of the dialogue: what the next reply is to */
    size_t body_len;
    char reply[2048];
    size_t reply_len;
    char pending[4096]; /* not yet taken by the network */
    size_t pending_len;
    size_t body_left;
    bool ended;
};

struct test_site {
    struct sim_world *world;
    struct sim_host *host;
    struct mta *mta;
    void *memory;
    bool acked[SITE_MESSAGES_MAX];
    bool sent[SITE_MESSAGES_MAX];
    uint32_t num_acked;
    uint32_t num_refused;
};

static struct net_addr site_address(void)
{
    struct net_addr at;
    CHECK(net_addr_parse(SLICE_LITERAL("127.0.0.1"), &at));
    at.port = 25;
    return at;
}

static inline void site_start(struct test_site *s)
{
    static const struct mta_start start = {.conf_path = SITE_CONF,
                                           .hostname = "mx.example",
                                           .version = "test",
                                           .resolv_conf_path = "/etc/resolv.conf",
                                           .hosts_path = "/etc/hosts"};
    const struct port *port = sim_host_port(s->host);
    uint8_t error_bytes[2048];
    struct buf errors = buf_make(error_bytes, sizeof error_bytes);
    size_t len = mta_memory_len(SITE_SPOOL_SIZE_MAX, port->store.write_unit_len);
    s->memory = calloc(1, len);
    struct arena a = {s->memory, len, 0};
    enum err err = mta_open(&s->mta, &a, port, &start, &errors);
    if (err != ERR_OK) {
        fprintf(stderr, "mta_open: %s: %.*s\n", err_name(err), (int)errors.len, (char *)errors.ptr);
        abort();
    }
}

static inline void site_open(struct test_site *s, uint64_t seed, const struct sim_store_conf *conf)
{
    memset(s, 0, sizeof *s);
    s->world = sim_world_new(seed);
    s->host = sim_host_new(s->world, conf);
    sim_files_put_string(s->host, SITE_CONF, site_conf);
}

/* The server is given up as it is; but the library's tables, which are the process's, live in its
 * memory. */
static inline void site_drop(struct test_site *s)
{
    if (s->mta != NULL) {
        tls_env_close(&s->mta->tls_env);
    }
    free(s->memory);
    s->memory = NULL;
    s->mta = NULL;
}

static inline void site_close(struct test_site *s)
{
    site_drop(s);
    sim_world_free(s->world);
}

static inline void client_put(struct site_client *c, const char *text)
{
    size_t len = strlen(text);
    CHECK(c->pending_len + len <= sizeof c->pending);
    memcpy(c->pending + c->pending_len, text, len);
    c->pending_len += len;
}

static inline uint32_t client_mark(const struct site_client *c)
{
    return c->number * 100 + c->num_sent;
}

/* Answers one reply of the server with the dialogue's next line. */
static inline void client_obey(struct test_site *s, struct site_client *c, int code)
{
    char text[128];
    switch (c->line) {
    case 0:
        client_put(c, "EHLO client.example\r\n");
        c->line = 1;
        return;
    case 1:
    case 5: /* the reply to the message */
        if (c->line == 5) {
            uint32_t mark = client_mark(c);
            s->acked[mark] = code == 250;
            s->num_acked += code == 250;
            s->num_refused += code != 250;
            c->num_sent++;
        }
        if (c->num_sent == c->num_messages || code >= 400) {
            client_put(c, "QUIT\r\n");
            c->line = 6;
            return;
        }
        client_put(c, "MAIL FROM:<sender@client.example>\r\n");
        c->line = 2;
        return;
    case 2:
        client_put(c, code == 250 ? "RCPT TO:<joe@example.org>\r\n" : "QUIT\r\n");
        c->line = code == 250 ? 3 : 6;
        return;
    case 3:
        client_put(c, code == 250 ? "DATA\r\n" : "QUIT\r\n");
        c->line = code == 250 ? 4 : 6;
        return;
    case 4:
        if (code != 354) {
            s->num_refused++;
            client_put(c, "QUIT\r\n");
            c->line = 6;
            return;
        }
        s->sent[client_mark(c)] = true;
        snprintf(text, sizeof text, "Subject: test\r\n\r\nmark %06u\r\n", client_mark(c));
        client_put(c, text);
        c->body_left = c->body_len;
        c->line = 5;
        return;
    default:
        c->ended = true;
    }
}

static inline void client_write(struct site_client *c)
{
    static const char filler[] = "0123456789012345678901234567890123456789012345678901234567\r\n";
    do {
        if (c->pending_len == 0 && c->line == 5 && c->body_left > 0) {
            client_put(c, filler);
            c->body_left -= c->body_left < sizeof filler - 1 ? c->body_left : sizeof filler - 1;
            if (c->body_left == 0) {
                client_put(c, ".\r\n");
            }
        }
        size_t len = sim_client_write(c->peer, slice_make(c->pending, c->pending_len));
        memmove(c->pending, c->pending + len, c->pending_len - len);
        c->pending_len -= len;
        if (len == 0) {
            return;
        }
    } while (c->pending_len > 0 || (c->line == 5 && c->body_left > 0));
}

/* Reads what came and goes on. False once it is over. */
static inline bool client_turn(struct test_site *s, struct site_client *c)
{
    if (c->ended) {
        return false;
    }
    size_t len;
    enum err err;
    while ((err = sim_client_read(c->peer, &len, (uint8_t *)c->reply + c->reply_len,
                                  sizeof c->reply - c->reply_len)) == ERR_OK) {
        c->reply_len += len;
    }
    if (err != ERR_AGAIN) {
        c->ended = true; /* after what is here has been read */
    }
    char *end;
    while ((end = memchr(c->reply, '\n', c->reply_len)) != NULL) {
        bool is_last = c->reply[3] == ' ';
        int code = atoi(c->reply);
        c->reply_len -= (size_t)(end + 1 - c->reply);
        memmove(c->reply, end + 1, c->reply_len);
        if (is_last) {
            client_obey(s, c, code);
        }
    }
    if (!c->ended) {
        client_write(c);
    }
    return !c->ended;
}

static inline void client_connect(struct test_site *s, struct site_client *c, uint32_t number,
                                  uint32_t num_messages, size_t body_len)
{
    struct net_addr at = site_address();
    memset(c, 0, sizeof *c);
    c->number = number;
    c->num_messages = num_messages;
    c->body_len = body_len;
    c->peer = sim_connect(s->world, &at, NULL);
    c->ended = c->peer == NULL;
}

/* Steps until all clients have ended, the power is off, or max_steps are over; returns whether it
 * was one of the first two. */
static inline bool site_run(struct test_site *s, struct site_client *clients, size_t num,
                            uint32_t max_steps)
{
    for (uint32_t i = 0; i < max_steps; i++) {
        bool busy = false;
        mta_step(s->mta);
        if (sim_host_is_off(s->host)) {
            return true;
        }
        for (size_t k = 0; k < num; k++) {
            busy = client_turn(s, &clients[k]) || busy;
        }
        if (!busy) {
            return true;
        }
    }
    return false;
}

/* Asks the server to stop and steps until it has. False if it does not within max_steps. */
static inline bool site_stop(struct test_site *s, uint32_t max_steps)
{
    sim_host_signal(s->host, PORT_TERMINATE);
    for (uint32_t i = 0; i < max_steps; i++) {
        if (!mta_step(s->mta)) {
            return true;
        }
    }
    return false;
}

/* How many files of joe's Maildir, new/ and cur/, hold the mark. */
static inline uint32_t site_copies(const struct test_site *s, uint32_t mark)
{
    char text[32];
    uint32_t num = 0;
    snprintf(text, sizeof text, "\nmark %06u\n", mark);
    for (int subdir = SIM_NEW; subdir <= SIM_CUR; subdir++) {
        size_t num_files = sim_mailbox_num(s->host, SITE_MAILDIR, (enum sim_subdir)subdir);
        for (size_t i = 0; i < num_files; i++) {
            const char *name;
            struct slice bytes;
            if (sim_mailbox_file(s->host, SITE_MAILDIR, (enum sim_subdir)subdir, i, &name,
                                 &bytes)) {
                num += memmem(bytes.ptr, bytes.len, text, strlen(text)) != NULL;
            }
        }
    }
    return num;
}

/* Lets a minute pass: time for every delivery that is due, not for a retry. */
static inline bool site_settle(struct test_site *s, uint32_t max_steps)
{
    uint64_t end_ms = sim_world_now_ms(s->world) + 60000;
    sim_world_set_horizon(s->world, end_ms);
    for (uint32_t i = 0; i < max_steps && sim_world_now_ms(s->world) < end_ms; i++) {
        mta_step(s->mta);
    }
    sim_world_set_horizon(s->world, UINT64_MAX);
    return sim_world_now_ms(s->world) >= end_ms;
}

#endif

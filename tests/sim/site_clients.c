/* Who hands mail in: clients of our own, who may send anywhere, and strangers, with all their
 * manners. See site.h.
 *
 * A client says one command after the other, or several at once where it likes; what is still to
 * be answered stands in expects[]. */
#include "site_tls.h"

#include <stdio.h>
#include <stdlib.h>

#define EXPECTS_MAX 24

enum expect { X_GREETING, X_EHLO, X_STARTTLS, X_MAIL, X_RCPT, X_DATA, X_END, X_QUIT, X_ANY };

/* What it does at a point of its session that is drawn. */
enum manner { MANNER_GOOD, MANNER_LEAVES, MANNER_RESETS, MANNER_HALF_CLOSES, MANNER_SLEEPS };

struct client {
    bool is_begun, is_over;
    uint64_t begin_ms, wake_ms;
    struct sim_client *peer;
    uint32_t server;
    bool is_stranger, pipelines, is_rude;
    enum manner manner;
    uint32_t manner_at; /* the so-many-th reply */
    uint32_t num_replies;
    uint32_t first_msg, num_msgs, at; /* its messages, and which one is under way */
    uint32_t num_rcpts_said, num_rcpts_good;
    bool uses_bdat, offers_chunking;
    uint8_t expects[EXPECTS_MAX];
    uint32_t num_expects;
    bool wants_tls, asks_proof, was_in_tls, may_see_proof;
    size_t proof_len; /* of what it saw */
    struct site_end tls;
    char in[4096];
    size_t in_len;
    char *out;
    size_t out_len, out_cap, out_end; /* where the content's last byte is, 0: it is not there */
};

static struct client clients[SITE_CLIENTS_MAX];
static uint32_t num_clients;

static const char *const locals[SITE_SERVERS_MAX][2] = {
    {"ann@edge.example", "bob@edge.example"},
    {"carl@inner.example", "dora@inner.example"},
    {"eve@smart.example", "fred@smart.example"}};

/* --- Making them --- */

static void draw_address(struct sim_site *s, char *into, bool is_sender)
{
    uint64_t dice = site_draw(s, 100);
    uint32_t server = (uint32_t)site_draw(s, s->num_servers);
    if (dice < 45) {
        snprintf(into, SITE_ADDRESS_MAX, "%s", locals[server][site_draw(s, 2)]);
    } else if (dice < 94 || is_sender) {
        snprintf(into, SITE_ADDRESS_MAX, "%c%u@r%u.example", is_sender ? 's' : 'u',
                 (unsigned)site_draw(s, 20), (unsigned)site_draw(s, SITE_DOMAINS));
    } else {
        snprintf(into, SITE_ADDRESS_MAX, "u@%s",
                 site_chance(s, 50) ? "gone.example" : "broken.example");
    }
}

static void draw_msg(struct sim_site *s, struct client *c)
{
    uint32_t mark = s->num_msgs++;
    struct site_msg *m = &s->msgs[mark];
    m->server = c->server;
    m->may_relay = !c->is_stranger;
    draw_address(s, m->sender, true);
    if (site_chance(s, 5)) {
        m->sender[0] = 0;
    }
    m->num_rcpts = 1 + (uint32_t)(site_chance(s, 40) ? site_draw(s, SITE_RCPTS_MAX) : 0);
    for (uint32_t i = 0; i < m->num_rcpts; i++) {
        bool is_new;
        do {
            draw_address(s, m->rcpts[i].address, false);
            is_new = strcmp(m->rcpts[i].address, m->sender) != 0;
            for (uint32_t k = 0; k < i; k++) {
                is_new = is_new && strcmp(m->rcpts[i].address, m->rcpts[k].address) != 0;
            }
        } while (!is_new);
    }
    uint64_t dice = site_draw(s, 100);
    m->body_len = (size_t)(dice < 60   ? site_draw(s, 600)
                           : dice < 97 ? site_draw(s, 9000)
                                       : site_draw(s, 150000));
}

static void draw_tls(struct sim_site *s, struct client *c)
{
    if (site_chance(s, 40)) {
        uint64_t at_ms = site_responder_draw_end_ms(s);
        c->begin_ms = at_ms < s->day_end_ms ? at_ms : c->begin_ms;
    }
    c->wants_tls = site_chance(s, 80);
    c->asks_proof = site_chance(s, 90);
    if (site_chance(s, 15)) {
        c->tls.manner = site_chance(s, 50) ? END_LEAVES : END_GARBLES;
        c->tls.manner_at_len = (size_t)site_draw(s, 400);
    }
}

void site_clients_make(struct sim_site *s)
{
    uint64_t day_ms = s->day_end_ms - s->begin_ms;
    num_clients = 6 + (uint32_t)site_draw(s, 14);
    memset(clients, 0, sizeof clients);
    for (uint32_t i = 0; i < num_clients; i++) {
        struct client *c = &clients[i];
        /* Many come together, so that they share syncs and get into each other's way. */
        c->begin_ms = i > 0 && site_chance(s, 50) ? clients[i - 1].begin_ms + site_draw(s, 3000)
                                                  : s->begin_ms + site_draw(s, day_ms * 9 / 10);
        c->server = (uint32_t)site_draw(s, s->num_servers);
        c->is_stranger = site_chance(s, 40);
        c->pipelines = site_chance(s, 30);
        c->is_rude = site_chance(s, 10);
        c->uses_bdat = site_chance(s, 30);
        if (site_chance(s, 25)) {
            c->manner = (enum manner)(MANNER_LEAVES + site_draw(s, 4));
            c->manner_at = (uint32_t)site_draw(s, 12);
        }
        if (s->has_tls) {
            draw_tls(s, c);
        }
        c->first_msg = s->num_msgs;
        c->num_msgs = 1 + (uint32_t)site_draw(s, 4);
        for (uint32_t k = 0; k < c->num_msgs; k++) {
            draw_msg(s, c);
        }
    }
}

void site_clients_make_two(struct sim_site *s, uint64_t first_ms, uint64_t second_ms)
{
    static const char *const rcpts[] = {"ann@edge.example", "u@r0.example", "u@gone.example"};
    memset(clients, 0, sizeof clients);
    num_clients = 2;
    for (uint32_t i = 0; i < num_clients; i++) {
        struct client *c = &clients[i];
        struct site_msg *m = &s->msgs[s->num_msgs];
        c->begin_ms = i == 0 ? first_ms : second_ms;
        c->uses_bdat = i == 1;
        c->wants_tls = c->asks_proof = s->has_tls;
        c->first_msg = s->num_msgs++;
        c->num_msgs = 1;
        *m = (struct site_msg){.may_relay = true, .num_rcpts = 3, .body_len = 700};
        snprintf(m->sender, sizeof m->sender, "bob@edge.example");
        for (uint32_t k = 0; k < m->num_rcpts; k++) {
            snprintf(m->rcpts[k].address, SITE_ADDRESS_MAX, "%s", rcpts[k]);
        }
    }
}

void site_clients_make_last(struct sim_site *s)
{
    memset(clients, 0, sizeof clients);
    num_clients = s->num_servers;
    for (uint32_t i = 0; i < num_clients; i++) {
        clients[i].begin_ms = site_now_ms(s);
        clients[i].server = i;
        clients[i].wants_tls = clients[i].asks_proof = true;
        /* Whose clock is behind its floor still, by 40 minutes and more, has none yet. */
        const struct mta *m = s->servers[i].mta;
        int64_t wall_s;
        clients[i].may_see_proof = m != NULL && wall_time_now(&m->wall, &wall_s);
    }
}

/* --- Saying --- */

static void put(struct client *c, const char *bytes, size_t len)
{
    if (c->out_len + len > c->out_cap) {
        c->out_cap = c->out_len + len + 4096;
        c->out = realloc(c->out, c->out_cap);
        if (c->out == NULL) {
            abort();
        }
    }
    memcpy(c->out + c->out_len, bytes, len);
    c->out_len += len;
}

static void expect(struct client *c, enum expect what)
{
    if (c->num_expects < EXPECTS_MAX) {
        c->expects[c->num_expects++] = (uint8_t)what;
    }
}

static void say(struct client *c, enum expect what, const char *text)
{
    put(c, text, strlen(text));
    expect(c, what);
}

static uint32_t mark_of(const struct client *c)
{
    return c->first_msg + c->at;
}

static void quit(struct client *c)
{
    say(c, X_QUIT, "QUIT\r\n");
}

static void put_content(struct sim_site *s, struct client *c)
{
    static const char line[] = "0123456789 abcdefghijklmnopqrstuvwxyz\r\n";
    struct site_msg *m = &s->msgs[mark_of(c)];
    char text[256];
    size_t left = m->body_len;
    snprintf(text, sizeof text, "From: <%s>\r\nX-Mark: %06u\r\nSubject: test\r\n\r\n", m->sender,
             mark_of(c));
    put(c, text, strlen(text));
    while (left > 0) {
        size_t len = left < sizeof line - 1 ? left : sizeof line - 1;
        put(c, line + sizeof line - 1 - len, len);
        left -= len;
    }
    put(c, "the end\r\n", 9);
    m->state = MSG_SENDING;
}

/* A second message hides behind what some take for the end of the first. */
static void put_smuggled(struct sim_site *s, struct client *c)
{
    static const char *const ends[] = {"\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r\n.\r"};
    char text[512];
    if (s->num_msgs == SITE_MSGS_MAX) {
        return;
    }
    uint32_t mark = s->num_msgs++;
    s->msgs[mark] = (struct site_msg){.server = c->server, .is_smuggled = true};
    snprintf(text, sizeof text,
             "smuggler%sMAIL FROM:<admin@edge.example>\r\nRCPT TO:<%s>\r\nDATA\r\n"
             "X-Mark: %06u\r\n\r\nsmuggled\r\n",
             ends[site_draw(s, 5)], locals[c->server][0], mark);
    put(c, text, strlen(text));
    s->result.faults[FAULT_CLIENT_RUDE]++;
}

static void say_content(struct sim_site *s, struct client *c)
{
    put_content(s, c);
    if (c->is_rude && site_chance(s, 50)) {
        put_smuggled(s, c);
    }
    put(c, ".\r\n", 3);
    c->out_end = c->out_len;
    expect(c, X_END);
}

static void say_chunk(struct sim_site *s, struct client *c)
{
    char text[64];
    size_t begin = c->out_len;
    put_content(s, c);
    size_t len = c->out_len - begin;
    char *copy = malloc(len);
    if (copy == NULL) {
        abort();
    }
    memcpy(copy, c->out + begin, len);
    c->out_len = begin;
    snprintf(text, sizeof text, "BDAT %zu LAST\r\n", len);
    put(c, text, strlen(text));
    put(c, copy, len);
    free(copy);
    c->out_end = c->out_len;
    expect(c, X_END);
}

static void say_rcpt(struct sim_site *s, struct client *c)
{
    char text[128];
    snprintf(text, sizeof text, "RCPT TO:<%s>\r\n",
             s->msgs[mark_of(c)].rcpts[c->num_rcpts_said++].address);
    say(c, X_RCPT, text);
}

static void begin_message(struct sim_site *s, struct client *c)
{
    static const char *const rudeness[] = {"RSET now\r\n",      "FOO\r\n",
                                           "DATA\r\n",          "NOOP\n",
                                           "RCPT TO:<x@y>\r\n", "AUTH PLAIN AGEAYg==\r\n",
                                           "BDAT 3\r\nabc"};
    char text[128];
    struct site_msg *m = &s->msgs[mark_of(c)];
    if (c->is_rude && site_chance(s, 30)) {
        s->result.faults[FAULT_CLIENT_RUDE]++;
        say(c, X_ANY, rudeness[site_draw(s, 7)]);
    }
    c->num_rcpts_said = c->num_rcpts_good = 0;
    snprintf(text, sizeof text, "MAIL FROM:<%s>\r\n", m->sender);
    say(c, X_MAIL, text);
    if (c->pipelines) {
        while (c->num_rcpts_said < m->num_rcpts) {
            say_rcpt(s, c);
        }
        if (!c->uses_bdat) {
            say(c, X_DATA, "DATA\r\n");
        }
    }
}

/* --- Hearing --- */

static void next_message(struct sim_site *s, struct client *c)
{
    c->at++;
    if (c->at < c->num_msgs) {
        begin_message(s, c);
    } else {
        quit(c);
    }
}

static bool is_ours(const struct sim_site *s, const struct client *c, const char *address)
{
    const char *domain = strchr(address, '@') + 1;
    return strcmp(domain, site_hostnames[c->server]) == 0 ||
           (c->server == 0 && s->num_servers > 1 && strcmp(domain, "inner.example") == 0);
}

static void after_rcpts(struct sim_site *s, struct client *c)
{
    struct site_msg *m = &s->msgs[mark_of(c)];
    if (c->num_rcpts_said < m->num_rcpts) {
        say_rcpt(s, c);
    } else if (c->num_rcpts_good == 0) {
        if (!c->pipelines || c->uses_bdat) {
            say(c, X_ANY, "RSET\r\n");
            next_message(s, c);
        }
    } else if (c->uses_bdat) {
        say_chunk(s, c);
    } else if (!c->pipelines) {
        say(c, X_DATA, "DATA\r\n");
    }
}

static void heard_rcpt(struct sim_site *s, struct client *c, int code)
{
    struct site_msg *m = &s->msgs[mark_of(c)];
    uint32_t index = 0; /* replies come in order */
    uint32_t num_open = 0;
    for (uint32_t i = 0; i < c->num_expects; i++) {
        num_open += c->expects[i] == X_RCPT;
    }
    index = c->num_rcpts_said - num_open - 1;
    if (code == 250) {
        m->rcpts[index].accepted = true;
        c->num_rcpts_good++;
        if (c->is_stranger && !is_ours(s, c, m->rcpts[index].address)) {
            site_fail(s, SITE_RELAY, "a stranger may send to %s through %s",
                      m->rcpts[index].address, site_hostnames[c->server]);
        }
    }
    if (num_open == 0) {
        after_rcpts(s, c);
    }
}

static void heard_end(struct sim_site *s, struct client *c, int code, const char *line)
{
    uint32_t mark = mark_of(c);
    struct site_msg *m = &s->msgs[mark];
    if (code == 250) {
        m->state = MSG_ACKED;
        const char *at = strstr(line, "Queued as ");
        if (at != NULL) {
            snprintf(m->id, sizeof m->id, "%.*s", SPOOL_ID_TEXT_LEN, at + 10);
        }
        struct site_custody *custody = site_custody_find(s, c->server, m->id);
        site_trace(s, "message %u is accepted by %s as %s", mark, site_hostnames[c->server], m->id);
        if (custody == NULL || custody->mark != mark) {
            site_fail(s, SITE_LOG, "%s answered 250 to message %u as %s, of which its log says %s",
                      site_hostnames[c->server], mark, m->id,
                      custody == NULL ? "nothing" : "something else");
        }
    } else {
        m->state = MSG_REFUSED;
    }
    next_message(s, c);
}

static void heard(struct sim_site *s, struct client *c, int code, const char *line)
{
    enum expect what = X_ANY;
    if (c->num_expects > 0) {
        what = (enum expect)c->expects[0];
        c->num_expects--;
        memmove(c->expects, c->expects + 1, c->num_expects);
    }
    c->num_replies++;
    site_digest(s, line, strlen(line));
    if (code == 421) {
        c->is_over = true;
        return;
    }
    switch (what) {
    case X_GREETING:
        say(c, X_EHLO, "EHLO client.example\r\n");
        break;
    case X_EHLO:
        c->uses_bdat = c->uses_bdat && strstr(line, "CHUNKING") != NULL;
        if (c->wants_tls && !c->tls.is_open && strstr(line, "STARTTLS") != NULL) {
            say(c, X_STARTTLS, "STARTTLS\r\n");
        } else if (c->num_msgs == 0) {
            quit(c);
        } else {
            begin_message(s, c);
        }
        break;
    case X_STARTTLS:
        c->wants_tls = false;
        if (code == 220) {
            site_end_open(s, &c->tls, c->peer, c->server, c->asks_proof);
        } else {
            begin_message(s, c);
        }
        break;
    case X_MAIL:
        if (!c->pipelines && code == 250) {
            say_rcpt(s, c);
        } else if (!c->pipelines) {
            next_message(s, c);
        }
        break;
    case X_RCPT:
        heard_rcpt(s, c, code);
        break;
    case X_DATA:
        if (code == 354) {
            say_content(s, c);
        } else {
            say(c, X_ANY, "RSET\r\n");
            next_message(s, c);
        }
        break;
    case X_END:
        heard_end(s, c, code, line);
        break;
    case X_QUIT:
        c->is_over = true;
        break;
    case X_ANY:
        break;
    }
}

/* --- Turns --- */

static void misbehave(struct sim_site *s, struct client *c)
{
    if (c->manner == MANNER_GOOD || c->num_replies < c->manner_at || s->is_quiet) {
        return;
    }
    switch (c->manner) {
    case MANNER_LEAVES:
        c->is_over = true;
        s->result.faults[FAULT_CLIENT_LEFT]++;
        break;
    case MANNER_RESETS:
        sim_client_reset(c->peer);
        c->is_over = true;
        s->result.faults[FAULT_NET_RESET]++;
        break;
    case MANNER_HALF_CLOSES:
        if (c->out_len == 0) {
            sim_client_shutdown(c->peer);
            s->result.faults[FAULT_NET_HALF_CLOSE]++;
            c->manner = MANNER_GOOD;
        }
        return;
    default:
        c->wake_ms = site_now_ms(s) + site_draw(s, 700000);
        s->result.faults[FAULT_CLIENT_LEFT]++;
        break;
    }
    c->manner = MANNER_GOOD;
}

static void take_replies(struct sim_site *s, struct client *c)
{
    size_t used = 0;
    while (!c->is_over && !s->result.failed) {
        size_t at = used;
        char *end = NULL;
        while ((end = memchr(c->in + at, '\n', c->in_len - at)) != NULL && end - (c->in + at) > 3 &&
               c->in[at + 3] == '-') {
            at = (size_t)(end + 1 - c->in);
        }
        if (end == NULL) {
            break;
        }
        char line[1024];
        size_t len = (size_t)(end - (c->in + used));
        snprintf(line, sizeof line, "%.*s", (int)len, c->in + used);
        used = (size_t)(end + 1 - c->in);
        heard(s, c, atoi(c->in + at), line);
        if (c->peer != NULL) {
            misbehave(s, c);
        }
    }
    memmove(c->in, c->in + used, c->in_len - used);
    c->in_len -= used;
}

static void is_out(struct sim_site *s, struct client *c, size_t len)
{
    if (c->out_end != 0 && len >= c->out_end) {
        struct site_msg *m = &s->msgs[mark_of(c)];
        m->state = m->state == MSG_SENDING ? MSG_COMPLETE : m->state;
        c->out_end = 0;
    }
    c->out_end -= c->out_end != 0 ? len : 0;
}

static void write_out(struct sim_site *s, struct client *c)
{
    size_t len = sim_client_write(c->peer, slice_make(c->out, c->out_len));
    is_out(s, c, len);
    memmove(c->out, c->out + len, c->out_len - len);
    c->out_len -= len;
}

static void end(struct client *c)
{
    c->was_in_tls = c->was_in_tls || c->tls.is_established;
    c->proof_len = c->tls.is_established ? c->tls.proof_len : c->proof_len;
    site_end_close(&c->tls);
    if (c->peer != NULL) {
        sim_client_close(c->peer);
    }
    free(c->out);
    c->peer = NULL;
    c->out = NULL;
    c->out_len = c->out_cap = 0;
    c->is_over = true;
}

static bool begin(struct sim_site *s, struct client *c)
{
    struct net_addr at, from;
    char text[32];
    snprintf(text, sizeof text, "10.0.0.%u", c->server + 1);
    net_addr_parse(slice_of_string(text), &at);
    at.port = 25;
    snprintf(text, sizeof text, "%s.%u", c->is_stranger ? "203.0.113" : "10.1.0",
             (unsigned)site_draw(s, 250));
    net_addr_parse(slice_of_string(text), &from);
    c->is_begun = true;
    c->peer = sim_connect(s->world, &at, &from);
    if (c->peer == NULL) {
        c->is_over = true; /* refused: its mail is never handed in */
        return true;
    }
    expect(c, X_GREETING);
    return true;
}

static bool run_tls(struct sim_site *s, struct client *c)
{
    size_t before = c->out_len;
    bool was_established = c->tls.is_established;
    bool did = site_end_turn(s, &c->tls, c->in, &c->in_len, sizeof c->in, c->out, &c->out_len);
    is_out(s, c, before - c->out_len);
    if (c->tls.is_established && !was_established) {
        say(c, X_EHLO, "EHLO client.example\r\n");
        did = true;
    }
    take_replies(s, c);
    c->is_over = c->is_over || (c->tls.is_over && c->tls.is_open);
    if (c->is_over) {
        end(c);
    }
    return did;
}

static bool run(struct sim_site *s, struct client *c)
{
    size_t len, before = c->out_len;
    bool did = false;
    if (c->wake_ms > site_now_ms(s)) {
        return false;
    }
    if (c->tls.is_open) {
        return run_tls(s, c);
    }
    enum err err =
        sim_client_read(c->peer, &len, (uint8_t *)c->in + c->in_len, sizeof c->in - c->in_len);
    if (err == ERR_OK) {
        c->in_len += len;
        did = true;
        take_replies(s, c);
    } else if (err != ERR_AGAIN) {
        c->is_over = true;
    }
    if (!c->is_over && c->out_len > 0) {
        before = c->out_len;
        write_out(s, c);
        did = did || c->out_len != before;
    }
    if (c->is_over) {
        end(c);
        did = true;
    }
    return did;
}

bool site_clients_run(struct sim_site *s)
{
    bool did = false;
    for (uint32_t i = 0; i < num_clients && !s->result.failed; i++) {
        struct client *c = &clients[i];
        if (!c->is_begun && site_now_ms(s) >= c->begin_ms) {
            did = begin(s, c);
        }
        if (c->is_begun && c->peer != NULL) {
            did = run(s, c) || did;
        }
    }
    return did;
}

void site_clients_clock(struct sim_site *s, uint32_t server)
{
    for (uint32_t i = 0; s->has_tls && i < num_clients; i++) {
        site_end_clock(s, &clients[i].tls, server);
    }
}

uint64_t site_clients_next_ms(const struct sim_site *s)
{
    uint64_t at_ms = UINT64_MAX;
    for (uint32_t i = 0; i < num_clients; i++) {
        const struct client *c = &clients[i];
        uint64_t wake_ms = !c->is_begun                                     ? c->begin_ms
                           : c->peer != NULL && c->wake_ms > site_now_ms(s) ? c->wake_ms
                                                                            : UINT64_MAX;
        at_ms = wake_ms < at_ms ? wake_ms : at_ms;
    }
    return at_ms;
}

void site_clients_check_last(struct sim_site *s)
{
    for (uint32_t i = 0; i < num_clients; i++) {
        const struct client *c = &clients[i];
        const struct site_server *server = &s->servers[i];
        if (!c->was_in_tls) {
            site_fail(s, SITE_SERVED, "%s, at rest, shakes no hands", site_hostnames[i]);
        } else if (c->proof_len == 0 && server->fetches && !s->was_lied_to && c->may_see_proof) {
            site_fail(s, SITE_SERVED, "%s, at rest, serves no proof", site_hostnames[i]);
        }
    }
}

bool site_clients_are_done(const struct sim_site *s)
{
    (void)s;
    for (uint32_t i = 0; i < num_clients; i++) {
        if (!clients[i].is_over) {
            return false;
        }
    }
    return true;
}

void site_clients_close(struct sim_site *s)
{
    (void)s;
    for (uint32_t i = 0; i < num_clients; i++) {
        end(&clients[i]);
    }
    num_clients = 0;
}

uint64_t site_clients_draw_ms(struct sim_site *s)
{
    return clients[site_draw(s, num_clients)].begin_ms;
}

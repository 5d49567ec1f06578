/* Other people's servers and the name server: scripted peers of remote_peers.h whose script is
 * drawn anew for each connection. See site.h. */
#include "site_tls.h"

#include "remote_peers.h"

#define CONTENT_MAX 200000

static struct sim_site *site;

/* What is kept of a connection beside the peer itself. */
struct extra {
    char rcpts[SITE_RCPTS_MAX][SITE_ADDRESS_MAX];
    uint32_t num_rcpts;
    uint32_t num_peer_rcpts; /* the peer's count, as last seen */
    char *content;
    size_t content_len;
    uint32_t first_take, num_takes; /* whose reply is on its way */
    bool is_clean;                  /* nothing of its script is wrong */
};

/* What others staple, for ever; the first one is good. */
static const struct {
    enum site_proof_kind kind;
    bool is_none, is_old;
} stapled[] = {{PROOF_GOOD, false, false},   {PROOF_GOOD, true, false},
               {PROOF_GOOD, false, true},    {PROOF_REVOKED, false, false},
               {PROOF_FORGED, false, false}, {PROOF_UNAUTHORISED, false, false}};
#define NUM_STAPLED (sizeof stapled / sizeof stapled[0])
static struct tls_set *sets[NUM_STAPLED];

static struct extra extras[RW_MAX_PEERS];
static bool dns_is_bad;
static uint32_t mood; /* percent of connections that go wrong */
static struct sim_client *dns_tcp;
static char dns_in[1024];
static size_t dns_in_len;

static struct extra *extra_of(const struct rw_peer *p)
{
    return &extras[p - rw.peers];
}

/* --- What goes wrong --- */

static const struct rw_script refusals[] = {
    {.verb = "CONNECT", .how = RW_ANSWER, .answer = "421 4.3.2 not now\r\n"},
    {.verb = "CONNECT", .how = RW_ANSWER, .answer = "554 5.3.2 never\r\n"},
    {.verb = "EHLO", .how = RW_ANSWER, .answer = "421 4.3.2 busy\r\n"},
    {.verb = "MAIL", .how = RW_ANSWER, .answer = "451 4.7.1 greylisted\r\n"},
    {.verb = "MAIL", .how = RW_ANSWER, .answer = "550 5.7.1 not you\r\n"},
    {.verb = "RCPT", .how = RW_ANSWER, .answer = "450 4.2.0 later\r\n"},
    {.verb = "RCPT", .how = RW_ANSWER, .answer = "550 5.1.1 nobody\r\n"},
    {.verb = "RCPT", .how = RW_ANSWER, .answer = "452 4.5.3 too many\r\n", .from = 2},
    {.verb = "DATA", .how = RW_ANSWER, .answer = "452 4.3.1 full\r\n"},
    {.verb = "DATA", .how = RW_ANSWER, .answer = "554 5.6.0 no\r\n"},
    {.verb = ".", .how = RW_ANSWER, .answer = "451 4.3.0 try again\r\n"},
    {.verb = ".", .how = RW_ANSWER, .answer = "554 5.6.0 spam\r\n"},
    {.verb = "EHLO", .how = RW_ANSWER, .answer = "250 plain.example\r\n"},
    {.verb = "EHLO", .how = RW_ANSWER, .answer = "502 5.5.1 what?\r\n"},
};

static const struct rw_script breakages[] = {
    {.verb = "CONNECT", .how = RW_CLOSE},
    {.verb = "CONNECT", .how = RW_SILENT},
    {.verb = "CONNECT", .how = RW_FLOOD},
    {.verb = "EHLO", .how = RW_RESET},
    {.verb = "EHLO", .how = RW_LINES},
    {.verb = "EHLO", .how = RW_DRIBBLE},
    {.verb = "MAIL", .how = RW_CUT},
    {.verb = "MAIL", .how = RW_LATE, .answer = "250 2.1.0 at last\r\n"},
    {.verb = "RCPT", .how = RW_SILENT},
    {.verb = "RCPT", .how = RW_ANSWER, .answer = "hello\r\n"},
    {.verb = "DATA", .how = RW_CLOSE},
    {.verb = "DATA", .how = RW_DEAF, .answer = "354 go\r\n"},
    {.verb = "DATA", .how = RW_SLOW, .answer = "354 go\r\n"},
    {.verb = "RSET", .how = RW_CLOSE},
    {.verb = "QUIT", .how = RW_SILENT},
};

/* Behind the last byte: it has the message, and its server does not hear of it. */
static const struct rw_script takings[] = {
    {.verb = ".", .how = RW_CLOSE},
    {.verb = ".", .how = RW_RESET},
    {.verb = ".", .how = RW_SILENT},
    {.verb = ".", .how = RW_CUT},
    {.verb = ".", .how = RW_LATE, .answer = "250 2.0.0 taken late\r\n"},
    {.verb = ".", .how = RW_LINES},
};

static const char *const ehlos[] = {
    NULL,
    "250 mx.example\r\n",
    "250-mx.example\r\n250-PIPELINING\r\n250-CHUNKING\r\n250-8BITMIME\r\n250 DSN\r\n",
    "250-mx.example\r\n250-CHUNKING\r\n250 SIZE 100000\r\n",
    "250-mx.example\r\n250-PIPELINING\r\n250 LIMITS RCPTMAX=1 MAILMAX=2\r\n",
};

/* In a site with TLS. */
static const char *const ehlos_with_tls[] = {
    "250-mx.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-STARTTLS\r\n250 DSN\r\n",
    "250-mx.example\r\n250-STARTTLS\r\n250 CHUNKING\r\n",
    "250-mx.example\r\n250 STARTTLS\r\n",
};

static const struct rw_script tls_breakages[] = {
    {.verb = "STARTTLS", .how = RW_ANSWER, .answer = "454 4.7.0 not now\r\n"},
    {.verb = "STARTTLS", .how = RW_CLOSE},
    {.verb = "STARTTLS", .how = RW_SILENT},
    {.verb = "TLS", .how = RW_CLOSE},
    {.verb = "TLS", .how = RW_RESET},
    {.verb = "TLS", .how = RW_SILENT},
    {.verb = "TLS", .how = RW_ANSWER, .answer = "500 5.5.1 what is this?\r\n"},
};

/* It offers TLS, and nothing ever comes of that. */
static const struct rw_script without_tls[] = {
    {.verb = "STARTTLS", .how = RW_ANSWER, .answer = "454 4.7.0 not now\r\n"},
    {.verb = "STARTTLS", .how = RW_ANSWER, .answer = "250 2.0.0 what for?\r\n"},
    {.verb = "STARTTLS", .how = RW_CLOSE},
    {.verb = "STARTTLS", .how = RW_RESET},
    {.verb = NULL},
};

static bool must_have_tls(const struct rw_server *server)
{
    return site->requires_tls && server == &rw.servers[2];
}

/* How this one fares with TLS. */
static void draw_tls(struct rw_server *server, struct rw_script *script)
{
    struct sim_site *s = site;
    bool is_bad = !s->is_quiet && site_chance(s, 30);
    size_t which = is_bad ? 1 + (size_t)site_draw(s, NUM_STAPLED - 1) : 0;
    server->set = sets[which];
    s->result.faults[FAULT_PEER_PROOF] += is_bad;
    if (must_have_tls(server) || site_chance(s, 70)) {
        script->ehlo = ehlos_with_tls[site_draw(s, 3)];
    }
    if (!s->is_quiet && site_chance(s, 15)) {
        const char *ehlo = script->ehlo;
        *script = tls_breakages[site_draw(s, sizeof tls_breakages / sizeof tls_breakages[0])];
        script->ehlo = ehlo;
        s->result.faults[FAULT_TLS_PEER]++;
    }
}

static void draw_script(struct rw_server *server)
{
    struct sim_site *s = site;
    struct rw_script script = {.verb = NULL};
    uint64_t dice = site_draw(s, 100);
    if (!s->is_quiet && dice < mood) {
        uint64_t kind = site_draw(s, 10);
        script = kind < 5   ? refusals[site_draw(s, sizeof refusals / sizeof refusals[0])]
                 : kind < 8 ? breakages[site_draw(s, sizeof breakages / sizeof breakages[0])]
                            : takings[site_draw(s, sizeof takings / sizeof takings[0])];
        if (kind < 8) {
            s->result.faults[kind < 5 ? FAULT_PEER_ANSWER : FAULT_PEER_BROKE]++;
        }
    }
    script.ehlo = ehlos[site_draw(s, sizeof ehlos / sizeof ehlos[0])];
    if (s->has_tls) {
        draw_tls(server, &script);
    } else if (must_have_tls(server)) {
        script = without_tls[site_draw(s, sizeof without_tls / sizeof without_tls[0])];
        script.ehlo = script.verb != NULL ? "250-mx.example\r\n250 STARTTLS\r\n" : NULL;
    }
    server->script = script;
    server->num_seen = 0;
}

/* --- What peers hear --- */

static void on_line(struct rw_peer *p, const char *line)
{
    struct extra *x = extra_of(p);
    bool is_in_tls = p->in_tls && p->tls.env != NULL;
    if (strncmp(line, "MAIL", 4) == 0 && must_have_tls(p->server) && !is_in_tls) {
        site_fail(site, SITE_PLAINTEXT, "mail comes to 192.0.2.32 without TLS: %s", line);
    }
    if (strncmp(line, "MAIL", 4) == 0 && site->requires_proof && p->server == &rw.servers[3] &&
        (!is_in_tls || p->set != sets[0])) {
        site_fail(site, SITE_PLAINTEXT, "mail comes to 192.0.2.33 without %s: %s",
                  is_in_tls ? "a good proof" : "TLS", line);
    }
    if (strncmp(line, "MAIL", 4) == 0 || strncmp(line, "RSET", 4) == 0 ||
        strncmp(line, "EHLO", 4) == 0) {
        x->num_rcpts = 0;
        x->num_peer_rcpts = 0;
        p->num_rcpts = 0;
    }
    if (strncmp(line, "RCPT TO:<", 9) == 0 && p->num_rcpts > x->num_peer_rcpts &&
        x->num_rcpts < SITE_RCPTS_MAX) {
        x->num_peer_rcpts = p->num_rcpts;
        snprintf(x->rcpts[x->num_rcpts++], SITE_ADDRESS_MAX, "%.*s", (int)strcspn(line + 9, ">"),
                 line + 9);
    }
    if (strncmp(line, "DATA", 4) == 0 || strncmp(line, "BDAT", 4) == 0) {
        x->content_len = 0;
    }
}

static void on_content(struct rw_peer *p, const char *bytes, size_t len)
{
    struct extra *x = extra_of(p);
    if (x->content == NULL) {
        x->content = malloc(CONTENT_MAX);
        CHECK(x->content != NULL);
    }
    len = len < CONTENT_MAX - x->content_len ? len : CONTENT_MAX - x->content_len;
    memcpy(x->content + x->content_len, bytes, len);
    x->content_len += len;
}

static void settle_takes(struct rw_peer *p, bool is_closing)
{
    struct extra *x = extra_of(p);
    if (x->num_takes == 0) {
        return;
    }
    bool is_said =
        p->out_len == 0 && p->late_ms == 0 && !p->is_mute && slice_is_empty(tls_pending(&p->tls));
    bool is_heard = is_said && sim_client_unread_len(p->client) == 0;
    if (is_heard || is_closing) {
        site_taken_fate(site, x->first_take, x->num_takes, is_heard ? FATE_HEARD : FATE_LOST);
        site->result.faults[FAULT_PEER_TOOK] += !is_heard;
        x->num_takes = 0;
    }
}

/* All of it has come. Whatever follows but a refusal, it may be that the peer has it. */
static void on_end(struct rw_peer *p)
{
    struct extra *x = extra_of(p);
    const struct rw_script *script = rw_script_of(p);
    bool is_scripted = script->verb != NULL && strcmp(script->verb, ".") == 0;
    bool is_refused = is_scripted && script->how == RW_ANSWER;
    if (p->num_rcpts == 0 || is_refused || x->content == NULL) {
        return;
    }
    settle_takes(p, true);
    x->num_takes =
        site_taken(site, UINT32_MAX, x->content, x->content_len,
                   (const char(*)[SITE_ADDRESS_MAX])x->rcpts, x->num_rcpts, &x->first_take);
    if (is_scripted && script->how != RW_LATE) {
        site_taken_fate(site, x->first_take, x->num_takes, FATE_LOST);
        site->result.faults[FAULT_PEER_TOOK]++;
        x->num_takes = 0;
    }
    x->num_rcpts = 0;
}

static void on_close(struct rw_peer *p)
{
    struct extra *x = extra_of(p);
    settle_takes(p, true);
    free(x->content);
    memset(x, 0, sizeof *x);
}

/* --- The name server --- */

static void lie(uint8_t *answer, size_t *len, struct net_addr *from)
{
    struct sim_site *s = site;
    site->result.faults[FAULT_DNS_LIE]++;
    switch (site_draw(s, 6)) {
    case 0:
        answer[0] ^= 0x55; /* another question's */
        break;
    case 1:
        answer[13] ^= 1; /* another name */
        break;
    case 2:
        from->bytes[3] = 66; /* somebody else's */
        break;
    case 3:
        *len = 12 + (size_t)site_draw(s, *len - 12);
        break;
    case 4:
        for (int i = 0; i < 8; i++) {
            answer[site_draw(s, *len)] = (uint8_t)site_draw(s, 256);
        }
        break;
    default:
        answer[2] &= 0x7f; /* a question, not an answer */
        break;
    }
}

static void answer_datagram(const uint8_t *query, size_t query_len, const struct net_addr *to)
{
    struct sim_site *s = site;
    uint8_t answer[600];
    struct net_addr from = rw_names;
    uint64_t dice = !dns_is_bad || s->is_quiet ? 100 : site_draw(s, 100);
    if (dice < 25) {
        s->result.faults[FAULT_DNS_LOST]++;
        return;
    }
    rw.dns_cuts_udp = dice < 40;
    s->result.faults[FAULT_DNS_TRUNCATED] += rw.dns_cuts_udp;
    size_t len = rw_answer_query(query, query_len, false, answer);
    if (dice >= 40 && dice < 60) {
        answer[3] = (uint8_t)((answer[3] & 0xf0) | 2);
        memset(answer + 6, 0, 6);
        len = query_len < len ? query_len : len;
        s->result.faults[FAULT_DNS_FAILED]++;
    } else if (dice >= 60 && dice < 75) {
        uint8_t truth[600];
        size_t true_len = len;
        memcpy(truth, answer, len);
        lie(answer, &len, &from);
        sim_datagram_send(rw.w, &from, to, slice_make(answer, len));
        /* The truth comes behind it. */
        sim_datagram_send(rw.w, &rw_names, to, slice_make(truth, true_len));
        return;
    }
    sim_datagram_send(rw.w, &from, to, slice_make(answer, len));
}

static bool serve_tcp(void)
{
    size_t len;
    bool did = false;
    if (dns_tcp == NULL) {
        dns_tcp = sim_accept(rw.w, &rw_names);
        dns_in_len = 0;
    }
    if (dns_tcp == NULL) {
        return false;
    }
    enum err err =
        sim_client_read(dns_tcp, &len, (uint8_t *)dns_in + dns_in_len, sizeof dns_in - dns_in_len);
    if (err == ERR_OK) {
        dns_in_len += len;
        did = true;
    } else if (err != ERR_AGAIN) {
        sim_client_close(dns_tcp);
        dns_tcp = NULL;
        return true;
    }
    if (dns_in_len > 18 && dns_in_len >= 2u + (uint8_t)dns_in[1]) {
        uint8_t answer[600];
        len = rw_answer_query((uint8_t *)dns_in + 2, dns_in_len - 2, true, answer + 2);
        answer[0] = (uint8_t)(len >> 8);
        answer[1] = (uint8_t)len;
        sim_client_write(dns_tcp, slice_make(answer, len + 2)); /* what fits */
        sim_client_close(dns_tcp);
        dns_tcp = NULL;
        did = true;
    }
    return did;
}

static bool serve_names(void)
{
    uint8_t query[600];
    struct net_addr from;
    size_t len;
    bool did = false;
    while (sim_datagram_take(rw.w, &rw_names, &from, &len, query, sizeof query)) {
        did = true;
        if (len > 17) {
            answer_datagram(query, len, &from);
        }
    }
    return serve_tcp() || did;
}

/* --- For the others --- */

static void open_tls(struct sim_site *s)
{
    rw.tls = *site_tls_env();
    rw.wall_s = site_true_s(s);
    rw_record("ocsp.example", DNS_A, "192.0.2.80");
    for (size_t i = 0; i < NUM_STAPLED; i++) {
        int64_t life_s = (stapled[i].is_old ? 1 : 300) * INT64_C(86400);
        sets[i] = site_tls_set_of_others(
            stapled[i].is_none ? NULL
                               : site_proof_of(stapled[i].kind, OF_OTHERS,
                                               site_true_s(s) / 86400 * 86400 - 3 * 86400, life_s));
    }
}

void site_peers_open(struct sim_site *s)
{
    static const char *const names[][3] = {
        {"r0.example", "10 mx0.example", "192.0.2.30"},
        {"r1.example", "10 mx1.example", "192.0.2.31"},
        {"r2.example", "10 mx2.example", "192.0.2.32"},
        {"r3.example", "10 mx3.example", "192.0.2.33"},
    };
    memset(&rw, 0, sizeof rw);
    memset(extras, 0, sizeof extras);
    site = s;
    rw.w = s->world;
    rw.peers_keep_scripts = true;
    rw.on_line = on_line;
    rw.on_content = on_content;
    rw.on_end = on_end;
    rw.on_close = on_close;
    dns_tcp = NULL;
    dns_is_bad = false;
    mood = 30;
    sim_datagram_listen(rw.w, &rw_names);
    sim_listen(rw.w, &rw_names);
    for (size_t i = 0; i < SITE_DOMAINS; i++) {
        rw_record(names[i][0], DNS_MX, names[i][1]);
        rw_record(names[i][1] + 3, DNS_A, names[i][2]);
        rw_server(names[i][2], 25, NULL);
    }
    rw_record("r1.example", DNS_MX, "20 mx0.example");
    rw_record("broken.example", DNS_MX, "fail");
    rw_record("edge.example", DNS_A, "10.0.0.1");
    rw_record("inner.example", DNS_A, "10.0.0.2");
    rw_record("smart.example", DNS_A, "10.0.0.3");
    if (s->has_tls) {
        open_tls(s);
    }
}

static bool accept_one(struct rw_server *server)
{
    uint32_t num_used = 0, num_before = server->num_accepted;
    for (size_t i = 0; i < RW_MAX_PEERS; i++) {
        num_used += rw.peers[i].client != NULL;
    }
    if (num_used == RW_MAX_PEERS) {
        return false;
    }
    struct rw_script script = server->script;
    uint32_t num_seen = server->num_seen;
    draw_script(server);
    rw_accept(server);
    if (server->num_accepted == num_before) { /* nobody was there: as it was */
        server->script = script;
        server->num_seen = num_seen;
        return false;
    }
    return true;
}

bool site_peers_run(struct sim_site *s)
{
    bool did = serve_names();
    (void)s;
    for (size_t i = 0; i < rw.num_servers; i++) {
        if (sim_has_waiting(rw.w, &rw.servers[i].at)) {
            did = accept_one(&rw.servers[i]) || did;
        }
    }
    for (size_t i = 0; i < RW_MAX_PEERS; i++) {
        struct rw_peer *p = &rw.peers[i];
        if (p->client == NULL) {
            continue;
        }
        size_t out_len = p->out_len;
        did = rw_serve_peer(p) || did;
        did = did || p->out_len != out_len;
        if (p->client != NULL) {
            settle_takes(p, false);
        }
    }
    return did;
}

uint64_t site_peers_next_ms(const struct sim_site *s)
{
    uint64_t at_ms = UINT64_MAX;
    for (size_t i = 0; i < RW_MAX_PEERS; i++) {
        const struct rw_peer *p = &rw.peers[i];
        if (p->client == NULL) {
            continue;
        }
        uint64_t wake_ms = p->late_ms != 0 ? p->late_ms : UINT64_MAX;
        wake_ms = p->dribbles && p->next_ms < wake_ms ? p->next_ms : wake_ms;
        wake_ms = p->is_slow && p->read_ms < wake_ms ? p->read_ms : wake_ms;
        if (wake_ms <= site_now_ms(s)) {
            wake_ms = site_now_ms(s) + 1000;
        }
        at_ms = wake_ms < at_ms ? wake_ms : at_ms;
    }
    return at_ms;
}

void site_peers_close(struct sim_site *s)
{
    (void)s;
    for (size_t i = 0; i < RW_MAX_PEERS; i++) {
        if (rw.peers[i].client != NULL) {
            rw_end_peer(&rw.peers[i]);
        }
    }
    if (dns_tcp != NULL) {
        sim_client_close(dns_tcp);
        dns_tcp = NULL;
    }
    for (size_t i = 0; i < NUM_STAPLED; i++) {
        tls_set_drop(sets[i]);
        sets[i] = NULL;
    }
}

void site_peers_calm(struct sim_site *s)
{
    (void)s;
    mood = 0;
    dns_is_bad = false;
    for (size_t i = 0; i < rw.num_servers; i++) {
        rw.servers[i].script = (struct rw_script){.verb = NULL};
    }
    for (size_t i = 0; i < RW_MAX_PEERS; i++) {
        rw.peers[i].script.verb = NULL;
    }
    for (size_t i = 0; i < RW_MAX_PEERS; i++) { /* whoever does not answer goes */
        struct rw_peer *p = &rw.peers[i];
        if (p->client != NULL && (p->is_mute || p->dribbles || p->is_slow || p->late_ms != 0)) {
            rw_end_peer(p);
        }
    }
}

void site_dns_mood(struct sim_site *s, bool is_bad)
{
    (void)s;
    dns_is_bad = is_bad;
}

void site_peers_mood(struct sim_site *s, uint32_t which)
{
    (void)s;
    mood = which;
}

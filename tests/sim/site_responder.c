/* The OCSP responder of a site: what it says of each request is drawn, good when it is calm. See
 * site_tls.h. */
#include "site_tls.h"

#include <stdio.h>
#include <stdlib.h>

#define ENDS_MAX 12
#define HEAD     "HTTP/1.1 200 OK\r\nContent-Type: application/ocsp-response\r\n"

struct end {
    struct sim_client *client;
    char got[3000];
    size_t got_len;
    char out[8192];
    size_t out_len;
    bool is_answered, stalls, dribbles, floods;
    uint64_t next_ms;
};

static const struct net_addr at = {NET_IPV4, {192, 0, 2, 80}, 80};
static struct end ends[ENDS_MAX];
static uint32_t mood;
static bool is_down; /* all day: proofs run out */

/* Proofs are made at these times, four in a life; so they run out at such times as well. */
static int64_t period_s(const struct sim_site *s)
{
    return s->proof_life_s / 4;
}

uint64_t site_responder_draw_end_ms(struct sim_site *s)
{
    /* Most often that of a proof which was there at the begin of the day. */
    uint64_t below = site_chance(s, 70) ? 4 : (uint64_t)(86400 / period_s(s)) + 1;
    int64_t num = (int64_t)site_draw(s, below);
    int64_t end_s = (site_true_s(s) / period_s(s) + 1 + num) * period_s(s);
    int64_t at_s = end_s - (int64_t)site_draw(s, 2 * (uint64_t)s->ocsp_margin_s);
    return site_now_ms(s) + 1000 * (uint64_t)(at_s > site_true_s(s) ? at_s - site_true_s(s) : 0);
}

struct site_proof *site_responder_proof(const struct sim_site *s, int64_t num_periods)
{
    int64_t this_s = (site_true_s(s) / period_s(s) - num_periods) * period_s(s);
    return site_proof_of(PROOF_GOOD, OF_OURS, this_s, s->proof_life_s);
}

/* --- What it says --- */

static void say(struct end *e, struct slice bytes)
{
    if (bytes.len > sizeof e->out - e->out_len) {
        abort();
    }
    memcpy(e->out + e->out_len, bytes.ptr, bytes.len);
    e->out_len += bytes.len;
}

static void say_proof(struct end *e, const struct site_proof *p)
{
    char head[160];
    snprintf(head, sizeof head, HEAD "Content-Length: %zu\r\n\r\n", p->der.len);
    say(e, slice_of_string(head));
    say(e, p->der);
}

static void note_refusal(struct sim_site *s, const struct end *e, int64_t this_s)
{
    struct net_addr from, host;
    sim_client_remote(e->client, &from);
    for (uint32_t i = 0; i < s->num_servers; i++) {
        sim_host_addr(s->servers[i].host, &host);
        if (memcmp(from.bytes, host.bytes, sizeof from.bytes) == 0) {
            s->servers[i].told_refusal_s = this_s;
        }
    }
}

static void lie(struct sim_site *s, struct end *e)
{
    enum site_proof_kind kind = (enum site_proof_kind)(1 + site_draw(s, NUM_PROOF_KINDS - 1));
    int64_t this_s = site_true_s(s) / period_s(s) * period_s(s);
    s->result.faults[FAULT_RESPONDER_LIE]++;
    this_s += kind == PROOF_FUTURE ? 86400 : 0;
    s->was_lied_to = s->was_lied_to || kind == PROOF_REVOKED || kind == PROOF_UNKNOWN ||
                     kind == PROOF_FUTURE || kind == PROOF_ENDLESS;
    say_proof(e, site_proof_of(kind, OF_OURS, this_s, s->proof_life_s));
    if (kind == PROOF_REVOKED || kind == PROOF_UNKNOWN) {
        note_refusal(s, e, this_s);
    }
}

static void stall(struct sim_site *s, struct end *e)
{
    s->result.faults[FAULT_RESPONDER_STALL]++;
    uint64_t dice = site_draw(s, 3);
    e->stalls = true;
    e->dribbles = dice == 1;
    e->floods = dice == 2;
    e->next_ms = site_now_ms(s);
    if (dice != 0) {
        say(e, SLICE_LITERAL(HEAD "\r\n"));
    }
}

static void break_off(struct sim_site *s, struct end *e)
{
    static const char *const answers[] = {
        "",
        HEAD "Content-Length: 99\r\n\r\nhalf of it",
        HEAD "Content-Length: 4\r\n\r\njunk",
        HEAD "Content-Length: 5\r\n\r\n0\003\n\001\003", /* tryLater */
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 7\r\n\r\nwelcome",
        "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 302 Found\r\nLocation: http://evil.example/\r\n\r\n",
        "220 this is no web server\r\n",
    };
    uint64_t dice = site_draw(s, 9);
    s->result.faults[FAULT_RESPONDER_BROKE]++;
    if (dice == 8) {
        sim_client_reset(e->client);
        return;
    }
    say(e, slice_of_string(answers[dice]));
}

static void answer(struct sim_site *s, struct end *e)
{
    e->is_answered = true;
    if (s->is_quiet || !site_chance(s, is_down ? 100 : mood)) {
        say_proof(e, site_responder_proof(s, 0));
        return;
    }
    switch (site_draw(s, 4)) {
    case 0:
        s->result.faults[FAULT_RESPONDER_STALE]++;
        say_proof(e, site_responder_proof(s, 1 + (int64_t)site_draw(s, 8)));
        break;
    case 1:
        lie(s, e);
        break;
    case 2:
        stall(s, e);
        break;
    default:
        break_off(s, e);
        break;
    }
}

/* --- Its connections --- */

static bool has_request(const struct end *e)
{
    const char *head_end = memmem(e->got, e->got_len, "\r\n\r\n", 4);
    const char *length = memmem(e->got, e->got_len, "Content-Length: ", 16);
    if (head_end == NULL || length == NULL) {
        return false;
    }
    return e->got_len == (size_t)(head_end + 4 - e->got) + (size_t)atoi(length + 16);
}

static void end(struct end *e)
{
    sim_client_close(e->client);
    memset(e, 0, sizeof *e);
}

static void put_more(struct sim_site *s, struct end *e)
{
    static const char filling[4096];
    if (e->dribbles && site_now_ms(s) >= e->next_ms && e->out_len == 0) {
        e->next_ms = site_now_ms(s) + 2000;
        say(e, SLICE_LITERAL("x"));
    } else if (e->floods && e->out_len == 0) {
        say(e, slice_make(filling, sizeof filling));
    }
}

static bool serve(struct sim_site *s, struct end *e)
{
    size_t len = 0;
    enum err err = sim_client_read(e->client, &len, (uint8_t *)e->got + e->got_len,
                                   sizeof e->got - 1 - e->got_len);
    if (err != ERR_OK && err != ERR_AGAIN) {
        end(e);
        return true;
    }
    e->got_len += err == ERR_OK ? len : 0;
    if (!e->is_answered && has_request(e)) {
        answer(s, e);
    }
    put_more(s, e);
    len = sim_client_write(e->client, slice_make(e->out, e->out_len));
    memmove(e->out, e->out + len, e->out_len - len);
    e->out_len -= len;
    if (e->is_answered && !e->stalls && e->out_len == 0) {
        end(e);
        return true;
    }
    return err == ERR_OK || len != 0;
}

void site_responder_open(struct sim_site *s)
{
    memset(ends, 0, sizeof ends);
    mood = 20;
    if (s->has_tls) {
        is_down = site_chance(s, 20);
        sim_listen(s->world, &at);
    }
}

bool site_responder_run(struct sim_site *s)
{
    bool did = false;
    for (size_t i = 0; s->has_tls && i < ENDS_MAX; i++) {
        struct end *e = &ends[i];
        if (e->client == NULL) {
            e->client = sim_accept(s->world, &at);
        }
        did = (e->client != NULL && serve(s, e)) || did;
    }
    return did;
}

uint64_t site_responder_next_ms(const struct sim_site *s)
{
    uint64_t at_ms = UINT64_MAX;
    for (size_t i = 0; i < ENDS_MAX; i++) {
        if (ends[i].client != NULL && ends[i].dribbles) {
            uint64_t next_ms =
                ends[i].next_ms > site_now_ms(s) ? ends[i].next_ms : site_now_ms(s) + 1000;
            at_ms = next_ms < at_ms ? next_ms : at_ms;
        }
    }
    return at_ms;
}

void site_responder_close(struct sim_site *s)
{
    (void)s;
    for (size_t i = 0; i < ENDS_MAX; i++) {
        if (ends[i].client != NULL) {
            end(&ends[i]);
        }
    }
}

void site_responder_mood(struct sim_site *s, uint32_t percent)
{
    (void)s;
    mood = percent;
}

/* A client's session in TLS, and the judgement of what it saw stapled. See site_tls.h. */
#include "site_tls.h"

void site_end_open(struct sim_site *s, struct site_end *e, struct sim_client *peer, uint32_t server,
                   bool asks_proof)
{
    struct tls_client_options options = {.server_name = slice_of_string(site_hostnames[server]),
                                         .ask_proof = asks_proof};
    e->peer = peer;
    e->server = server;
    e->refusal_s = s->servers[server].refusal_s;
    e->is_open = tls_open_client(&e->tls, site_tls_env(), &options) == ERR_OK;
    e->is_over = !e->is_open;
    site_end_clock(s, e, server);
}

void site_end_clock(const struct sim_site *s, struct site_end *e, uint32_t server)
{
    int64_t wall_s;
    const struct mta *m = s->servers[server].mta;
    if (!e->is_open || e->is_established || e->server != server || m == NULL ||
        !wall_time_now(&m->wall, &wall_s)) {
        return;
    }
    if (e->num_seconds == 0 || e->seconds[(e->num_seconds - 1) % SITE_SECONDS_MAX] != wall_s) {
        e->seconds[e->num_seconds++ % SITE_SECONDS_MAX] = wall_s;
    }
}

/* It was decided at one of these seconds. */
static void judge(struct sim_site *s, const struct site_end *e, struct slice der)
{
    static const char *const names[NUM_PROOF_KINDS] = {
        "good", "revoked", "unknown", "forged", "others", "future", "endless", "unauthorised"};
    struct site_proof *p = site_proof_find(der);
    s->result.num_proofs++;
    if (p == NULL) {
        site_fail(s, SITE_PROOF, "%s serves a proof that nobody made", site_hostnames[e->server]);
        return;
    }
    if (p->this_s <= e->refusal_s) {
        site_fail(s, SITE_PROOF, "%s serves a proof of %lld, and has got a refusal of %lld",
                  site_hostnames[e->server], (long long)p->this_s, (long long)e->refusal_s);
    }
    bool holds = e->num_seconds > SITE_SECONDS_MAX; /* that long ago it may have */
    for (uint32_t i = 0; !holds && i < e->num_seconds; i++) {
        holds = site_proof_holds(s, p, e->seconds[i]);
    }
    if (!holds) {
        site_fail(s, SITE_PROOF,
                  "%s, whose clock says %lld, serves a proof (%s) of %lld to %lld, which "
                  "ocsp_check judges by then: %s",
                  site_hostnames[e->server],
                  e->num_seconds == 0 ? -1LL : (long long)e->seconds[e->num_seconds - 1],
                  names[p->kind], (long long)p->this_s, (long long)p->next_s,
                  e->num_seconds == 0 ? "its clock is not believed"
                                      : ocsp_reason_name(ocsp_verdict_at(
                                            &p->verdict, e->seconds[e->num_seconds - 1])));
    }
}

static void established(struct sim_site *s, struct site_end *e)
{
    struct slice der = tls_client_proof(&e->tls);
    e->is_established = true;
    e->proof_len = der.len;
    s->result.num_handshakes++;
    site_digest(s, der.ptr, der.len);
    site_trace(s, "TLS with %s: %s, %zu bytes of proof", site_hostnames[e->server],
               tls_info(&e->tls)->version, der.len);
    if (der.len != 0) {
        judge(s, e, der);
    }
    tls_client_forget(&e->tls);
}

static bool misbehaves(struct sim_site *s, struct site_end *e)
{
    static const uint8_t garbage[] = {22, 3, 3, 0, 5, 99, 0, 0, 1, 0};
    if (e->manner == END_GOOD || e->is_established || e->sent_len < e->manner_at_len ||
        s->is_quiet) {
        return false;
    }
    s->result.faults[e->manner == END_LEAVES ? FAULT_TLS_LEFT : FAULT_TLS_GARBLED]++;
    if (e->manner == END_GARBLES) {
        sim_client_write(e->peer, slice_make(garbage, sizeof garbage));
    }
    e->is_over = e->manner == END_LEAVES;
    e->manner = END_GOOD;
    return true;
}

static bool take(struct site_end *e)
{
    uint8_t bytes[4096];
    size_t len = 0, room = tls_room(&e->tls);
    enum err err = room == 0 ? ERR_AGAIN
                             : sim_client_read(e->peer, &len, bytes,
                                               room < sizeof bytes ? room : sizeof bytes);
    if (err == ERR_OK) {
        struct slice in = slice_make(bytes, len);
        tls_feed(&e->tls, &in);
    } else if (err != ERR_AGAIN) {
        e->is_over = true;
    }
    return err == ERR_OK;
}

static size_t flush(struct site_end *e)
{
    struct slice pending = tls_pending(&e->tls);
    size_t len = pending.len == 0 ? 0 : sim_client_write(e->peer, pending);
    tls_sent(&e->tls, len);
    e->sent_len += len;
    return len;
}

bool site_end_turn(struct sim_site *s, struct site_end *e, char *in, size_t *in_len, size_t in_cap,
                   char *out, size_t *out_len)
{
    bool did = false;
    for (int i = 0; i < 100 && !e->is_over; i++) {
        struct tls_time now = {site_now_ms(s), site_true_s(s), true};
        bool moved = take(e);
        enum tls_event event = tls_step(&e->tls, &now);
        if (event == TLS_ESTABLISHED) {
            established(s, e);
        }
        struct slice plain = tls_peek(&e->tls);
        plain.len = plain.len < in_cap - *in_len ? plain.len : in_cap - *in_len;
        if (plain.len != 0) {
            memcpy(in + *in_len, plain.ptr, plain.len);
            *in_len += plain.len;
            tls_consume(&e->tls, plain.len);
            moved = true;
        }
        size_t taken = 0;
        if (e->is_established && *out_len != 0 &&
            tls_write(&e->tls, slice_make(out, *out_len), &taken) == ERR_OK) {
            memmove(out, out + taken, *out_len - taken);
            *out_len -= taken;
        }
        moved = flush(e) != 0 || taken != 0 || moved;
        moved = misbehaves(s, e) || moved;
        e->is_over = e->is_over || event == TLS_FAILED || event == TLS_CLOSED;
        did = did || moved || event == TLS_ESTABLISHED || event == TLS_TURN;
        if (!moved && event != TLS_TURN && event != TLS_ESTABLISHED) {
            break;
        }
    }
    return did || e->is_over;
}

void site_end_close(struct site_end *e)
{
    tls_free(&e->tls);
    memset(e, 0, sizeof *e);
}

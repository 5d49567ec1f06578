/* A world for tests of sending: a host with a spool and the service deliver_smtp, a name server
 * with a zone, and servers that do what a script says at one command.
 *
 * A message is put into the spool with its recipients, a job is started for it, and the world runs
 * until the job has ended; no time passes but the world's. */
#ifndef POSTERN_REMOTE_WORLD_H
#define POSTERN_REMOTE_WORLD_H

#include "remote_peers.h"

/* --- Beginning and end --- */

static inline void rw_conf(const char *text)
{
    static uint8_t bytes[CONF_ERRORS_CAP];
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
    rw.scratch = malloc(BUDGET_PIECE_LEN);
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
            deliver_smtp_event(rw.d, events[i].tag & ~RW_TAG);
        }
    }
    while ((t = timers_due(&rw.timers, sim_world_now_ms(rw.w))) != NULL) {
        deliver_smtp_timer(rw.d, t);
    }
    struct tls_time now = rw_now();
    rw_heap.refuse_in = rw.is_short;
    (void)deliver_smtp_step(rw.d, &now, buf_make(rw.scratch, BUDGET_PIECE_LEN), !rw.may_not_shake,
                            &shook);
    rw_heap.refuse_in = 0;
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
    static uint8_t bytes[32768];
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
    if (slice_is_empty(order->sender)) {
        order->sender = SLICE_LITERAL("s@me.example");
    }
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

/* When the only destination that there is may be tried again. */
static inline uint64_t rw_until_ms(void)
{
    uint32_t cursor = 0;
    const struct remote_dest *dest = pool_each(&rw.d->dests, &cursor);
    return dest == NULL ? 0 : dest->until_ms;
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

/* Why its first recipient has not got it, or "reply" if the peer says so. */
static inline const char *rw_why(const struct smtp_job *job)
{
    return job->rcpts[0].reply_code != 0 || job->reason == NULL ? "reply" : job->reason;
}

static inline void rw_check_ended(const struct smtp_job *job, enum smtp_rcpt_result result,
                                  const char *reason)
{
    if (job->rcpts[0].result != result || strcmp(rw_why(job), reason) != 0) {
        fprintf(stderr, "  result %d, reason %s, text '%.*s'\n", job->rcpts[0].result, rw_why(job),
                (int)job->rcpts[0].text_len, (const char *)job->text + job->rcpts[0].text_offset);
    }
    CHECK_EQ(job->rcpts[0].result, result);
    CHECK(strcmp(rw_why(job), reason) == 0);
    CHECK(job->rcpts[0].status[0] == (result == SMTP_RCPT_DELIVERED  ? 2
                                      : result == SMTP_RCPT_DEFERRED ? 4
                                                                     : 5));
    CHECK(job->rcpts[0].text_len != 0);
}

#endif

/* A queue over a spool in a simulated world, and a service for other machines that does as it is
 * told: what the tests of the queue share.
 *
 * Every domain that mail goes to beside example.org (users joe and ann) is a "far" with a mode.
 * What a far takes is written down, so that nothing lost and nothing doubled can be counted. */
#ifndef POSTERN_QUEUE_WORLD_H
#define POSTERN_QUEUE_WORLD_H

#include "conf.h"
#include "envelope.h"
#include "queue.h"
#include "running_time.h"
#include "sim_files.h"
#include "sim_mailbox.h"
#include "sim_world.h"
#include "test.h"
#include "wall_time.h"

#define WORLD_TAG     (UINT64_C(3) << 56)
#define WORLD_FARS    80
#define WORLD_JOBS    12
#define WORLD_TAKEN   200000
#define WORLD_SCRATCH (96u * 1024)
#define WORLD_RUNNING "/spool/running-time"
#define WORLD_HELD    "/spool/held-messages"

enum far_mode {
    FAR_ACCEPT,
    FAR_DEFER, /* 451 to every recipient */
    FAR_FAIL,  /* 550 */
    FAR_HANG,  /* jobs end after an hour, deferred */
    FAR_DEAD   /* cannot be reached: deferred, and backing off for a while */
};

struct far {
    char domain[32];
    enum far_mode mode;
    bool is_without_dsn;
    uint32_t jobs_max; /* 0: as many as there are */
    uint64_t job_ms;
    uint32_t num_jobs;
    uint32_t num_jobs_seen_max;
    uint64_t num_started;
    uint64_t num_asked;
    uint64_t back_off_until_ms;
};

struct far_job {
    struct smtp_job job;
    struct far *far;
    uint64_t end_ms;
    bool is_used;
    bool is_given; /* to the queue */
};

struct taken {
    uint64_t id;
    uint32_t rcpt;
};

struct deliver_smtp {
    struct sim_world *world;
    struct far fars[WORLD_FARS];
    uint32_t num_fars;
    struct far_job jobs[WORLD_JOBS];
    struct taken taken[WORLD_TAKEN];
    uint32_t num_taken;
    uint32_t num_left;
};

struct queue_world {
    struct sim_world *world;
    struct sim_host *host;
    struct spool_conf spool_conf;
    struct queue_limits limits;
    char conf_text[2048];
    struct conf conf;
    uint8_t conf_memory[CONF_MEMORY_LEN];
    struct timers timers;
    struct running_time running;
    struct wall_time wall;
    struct spool *spool;
    struct queue queue;
    uint8_t *memory;
    uint8_t *scratch;
    bool is_ready;
    bool has_more;
    uint64_t committed_id; /* of the last message put; 0: it was refused */
    uint64_t waiting_txn;
    struct deliver_smtp *smtp;
};

/* --- The far side --- */

static inline struct far *far_of(struct deliver_smtp *d, struct slice domain)
{
    for (uint32_t i = 0; i < d->num_fars; i++) {
        if (slice_equal(domain, slice_of_string(d->fars[i].domain))) {
            return &d->fars[i];
        }
    }
    abort();
}

static inline struct far *world_far(struct queue_world *w, const char *domain, enum far_mode mode)
{
    struct far *f = &w->smtp->fars[w->smtp->num_fars++];
    CHECK(w->smtp->num_fars <= WORLD_FARS);
    snprintf(f->domain, sizeof f->domain, "%s", domain);
    f->mode = mode;
    f->job_ms = 100;
    return f;
}

static inline struct far_job *free_far_job(const struct deliver_smtp *d)
{
    for (uint32_t i = 0; i < WORLD_JOBS; i++) {
        if (!d->jobs[i].is_used) {
            return (struct far_job *)&d->jobs[i];
        }
    }
    return NULL;
}

static inline enum deliver_smtp_may far_may_start(const struct deliver_smtp *d,
                                                  const struct route_item *route,
                                                  struct slice domain, uint64_t now_ms,
                                                  const struct deliver_reason_row **out_why)
{
    static const struct deliver_reason_row dead = {
        "connection-refused", "It takes no connections.", {4, 4, 2}};
    struct far *f = far_of((struct deliver_smtp *)d, domain);
    (void)route;
    f->num_asked++;
    if (f->back_off_until_ms > now_ms) {
        *out_why = &dead;
        return DELIVER_SMTP_BACK_OFF;
    }
    bool is_full = free_far_job(d) == NULL || (f->jobs_max != 0 && f->num_jobs == f->jobs_max);
    return is_full ? DELIVER_SMTP_FULL : DELIVER_SMTP_YES;
}

static inline struct smtp_job *far_start(struct deliver_smtp *d, const struct smtp_order *order,
                                         uint64_t now_ms)
{
    struct far *f = far_of(d, order->domain);
    const struct deliver_reason_row *why;
    if (far_may_start(d, order->route, order->domain, now_ms, &why) != DELIVER_SMTP_YES) {
        return NULL;
    }
    f->num_asked--;
    struct far_job *job = free_far_job(d);
    *job = (struct far_job){.far = f, .is_used = true};
    job->end_ms = now_ms + (f->mode == FAR_HANG ? 3600000 : f->job_ms);
    job->job.id = order->id;
    job->job.owner_tag = order->owner_tag;
    job->job.num_rcpts = order->num_rcpts;
    memcpy(job->job.rcpts, order->rcpts, sizeof *order->rcpts * order->num_rcpts);
    f->num_started++;
    f->num_jobs++;
    if (f->num_jobs > f->num_jobs_seen_max) {
        f->num_jobs_seen_max = f->num_jobs;
    }
    return &job->job;
}

static inline void far_answer(struct smtp_job *job, struct smtp_rcpt *r, enum smtp_rcpt_result how,
                              uint16_t code, const char *text)
{
    struct buf out = buf_make(job->text, sizeof job->text);
    r->result = (uint8_t)how;
    r->reply_code = code;
    r->status[0] = how == SMTP_RCPT_DELIVERED ? 2 : how == SMTP_RCPT_FAILED ? 5 : 4;
    r->status[1] = how == SMTP_RCPT_FAILED ? 1 : 0;
    r->status[2] = how == SMTP_RCPT_FAILED ? 1 : 0;
    buf_put_string(&out, text);
    r->text_offset = 0;
    r->text_len = (uint16_t)out.len;
}

static inline void far_end(struct deliver_smtp *d, struct far_job *j)
{
    struct smtp_job *job = &j->job;
    if (j->far->mode == FAR_DEAD) {
        j->far->back_off_until_ms = sim_world_now_ms(d->world) + 120000;
    } else {
        job->host = slice_of_string("mx.far.example");
    }
    for (uint32_t i = 0; i < job->num_rcpts; i++) {
        struct smtp_rcpt *r = &job->rcpts[i];
        switch (j->far->mode) {
        case FAR_ACCEPT:
            far_answer(job, r, SMTP_RCPT_DELIVERED, 250, "250 2.0.0 taken");
            r->is_relayed_without_dsn = j->far->is_without_dsn;
            CHECK(d->num_taken < WORLD_TAKEN);
            d->taken[d->num_taken++] = (struct taken){job->id, r->index};
            break;
        case FAR_FAIL:
            far_answer(job, r, SMTP_RCPT_FAILED, 550, "550 5.1.1 no such user");
            break;
        case FAR_DEFER:
            far_answer(job, r, SMTP_RCPT_DEFERRED, 451, "451 4.0.0 later");
            break;
        case FAR_HANG:
        case FAR_DEAD:
            far_answer(job, r, SMTP_RCPT_DEFERRED, 0, "");
            job->reason = j->far->mode == FAR_HANG ? "timeout" : "connection-refused";
            break;
        }
    }
}

static inline struct smtp_job *far_ended(struct deliver_smtp *d)
{
    for (uint32_t i = 0; i < WORLD_JOBS; i++) {
        struct far_job *j = &d->jobs[i];
        if (j->is_used && !j->is_given && j->end_ms <= sim_world_now_ms(d->world)) {
            far_end(d, j);
            j->is_given = true;
            j->far->num_jobs--;
            return &j->job;
        }
    }
    return NULL;
}

static inline void far_give(struct deliver_smtp *d, struct smtp_job *job)
{
    (void)d;
    ((struct far_job *)(void *)((uint8_t *)job - offsetof(struct far_job, job)))->is_used = false;
}

static inline void far_hurry(struct deliver_smtp *d)
{
    for (uint32_t i = 0; i < d->num_fars; i++) {
        d->fars[i].back_off_until_ms = 0;
    }
}

static inline uint64_t far_next_ms(const struct deliver_smtp *d)
{
    uint64_t next_ms = UINT64_MAX;
    for (uint32_t i = 0; i < WORLD_JOBS; i++) {
        if (d->jobs[i].is_used && d->jobs[i].end_ms > sim_world_now_ms(d->world) &&
            d->jobs[i].end_ms < next_ms) {
            next_ms = d->jobs[i].end_ms;
        }
    }
    return next_ms;
}

/* How often a far has taken that recipient of that message. */
static inline uint32_t world_num_taken(const struct queue_world *w, uint64_t id, uint32_t rcpt)
{
    uint32_t num = 0;
    for (uint32_t i = 0; i < w->smtp->num_taken; i++) {
        num += w->smtp->taken[i].id == id && w->smtp->taken[i].rcpt == rcpt;
    }
    return num;
}

/* --- The world --- */

static inline struct queue_world *world_new(uint64_t seed, const struct sim_store_conf *store)
{
    struct queue_world *w = calloc(1, sizeof *w);
    w->world = sim_world_new(seed);
    w->host = sim_host_new(w->world, store);
    w->smtp = calloc(1, sizeof *w->smtp);
    w->smtp->world = w->world;
    w->scratch = malloc(WORLD_SCRATCH);
    w->spool_conf = (struct spool_conf){.segment_len = 256 * 1024,
                                        .size_limit = 16u * 256 * 1024,
                                        .max_messages = 2100,
                                        .max_txns = 20,
                                        .reserved_len = 128 * 1024};
    w->limits = (struct queue_limits){.num_messages = 2000,
                                      .num_mail_jobs = 4,
                                      .num_rounds = 20,
                                      .num_items = 64,
                                      .num_reports = 3};
    snprintf(w->conf_text, sizeof w->conf_text,
             "primary_hostname = mx.example.org\n"
             "local_domains = example.org\n"
             "local_users = joe : ann : postmaster\n"
             "maildir = /mail/$local_part\n"
             "spool_directory = /spool\n");
    return w;
}

static inline void world_option(struct queue_world *w, const char *line)
{
    size_t len = strlen(w->conf_text);
    snprintf(w->conf_text + len, sizeof w->conf_text - len, "%s\n", line);
}

static inline void world_read_conf(struct queue_world *w)
{
    static uint8_t error_bytes[CONF_ERRORS_CAP];
    struct buf errors = buf_make(error_bytes, sizeof error_bytes);
    struct arena memory = {w->conf_memory, sizeof w->conf_memory, 0};
    struct conf_env env = {"test.conf", SLICE_LITERAL("mx.example.org")};
    memset(w->conf_memory, 0, sizeof w->conf_memory);
    enum err err = conf_read(&w->conf, &memory, slice_of_string(w->conf_text), &env, &errors);
    if (err != ERR_OK) {
        fprintf(stderr, "%.*s", (int)errors.len, (char *)errors.ptr);
        abort();
    }
}

static inline uint32_t far_num_left(const struct deliver_smtp *d)
{
    return d->num_left;
}

static inline struct buf world_scratch(struct queue_world *w)
{
    return buf_make(w->scratch, WORLD_SCRATCH);
}

/* A new run over what the disk holds. */
static inline void world_start(struct queue_world *w)
{
    static const struct queue_remote remote = {far_may_start, far_start, far_ended,
                                               far_give,      far_hurry, far_num_left};
    const struct port *port = sim_host_port(w->host);
    world_read_conf(w);
    size_t len = spool_memory_len(&w->spool_conf, port->store.write_unit_len) +
                 queue_memory_len(&w->limits) + 4096;
    free(w->memory);
    w->memory = calloc(1, len);
    struct arena a = {w->memory, len, 0};
    memset(w->smtp->jobs, 0, sizeof w->smtp->jobs);
    for (uint32_t i = 0; i < w->smtp->num_fars; i++) {
        w->smtp->fars[i].num_jobs = 0;
    }
    w->is_ready = false;
    CHECK(timers_init(&w->timers, &a, 4));
    running_time_open(&w->running, port, WORLD_RUNNING);
    wall_time_open(&w->wall, port, WALL_TRUST_YES, NULL, 0);
    CHECK_EQ(spool_open(&w->spool, &w->spool_conf, &port->store, &port->entropy, &port->log, &a),
             ERR_OK);
    struct queue_env env = {
        .timers = &w->timers,
        .spool = w->spool,
        .port = port,
        .conf = &w->conf,
        .running = &w->running,
        .wall = &w->wall,
        .remote = &remote,
        .smtp = w->smtp,
        .held_path = WORLD_HELD,
        .tag_mark = WORLD_TAG,
    };
    CHECK_EQ(queue_open(&w->queue, &a, &env, &w->limits), ERR_OK);
    w->has_more = true;
}

static inline void world_spool_event(struct queue_world *w, const struct spool_event *e)
{
    switch (e->kind) {
    case SPOOL_READY:
        CHECK_EQ(e->err, ERR_OK);
        w->is_ready = true;
        queue_begin(&w->queue, world_scratch(w));
        return;
    case SPOOL_FOUND:
        CHECK_EQ(queue_add(&w->queue, e->id, true), ERR_OK);
        return;
    case SPOOL_COMMITTED:
        if (!queue_committed(&w->queue, e)) {
            w->committed_id = e->err == ERR_OK ? e->id : 0;
            w->waiting_txn = 0;
            CHECK(e->err != ERR_OK || queue_add(&w->queue, e->id, false) == ERR_OK);
        }
        return;
    case SPOOL_OUTCOME_DURABLE:
    case SPOOL_ROOM:
        return;
    }
}

static inline void world_step(struct queue_world *w)
{
    struct port_event events[16];
    const struct port *port = sim_host_port(w->host);
    uint64_t now_ms = sim_world_now_ms(w->world), at_ms = timers_next_ms(&w->timers);
    uint64_t spool_ms = spool_next_deadline_ms(w->spool), far_ms = far_next_ms(w->smtp);
    at_ms = spool_ms < at_ms ? spool_ms : at_ms;
    at_ms = far_ms < at_ms ? far_ms : at_ms;
    uint64_t wait_ms = at_ms == UINT64_MAX ? UINT64_MAX : at_ms > now_ms ? at_ms - now_ms : 0;
    size_t num = port->loop.wait(port->loop.ctx, events, 16, w->has_more ? 0 : wait_ms);
    now_ms = sim_world_now_ms(w->world);
    wall_time_step(&w->wall, now_ms);
    for (size_t i = 0; i < num; i++) {
        if (SPOOL_TAG_IS(events[i].tag)) {
            spool_done(w->spool, events[i].tag, events[i].err);
        } else if (events[i].tag >> 56 == WORLD_TAG >> 56) {
            queue_done(&w->queue, events[i].tag & (WORLD_TAG - 1), events[i].err);
        }
    }
    while (timers_due(&w->timers, now_ms) != NULL) {
    }
    struct spool_event event;
    w->has_more = spool_step(w->spool, now_ms);
    while (spool_next_event(w->spool, &event)) {
        world_spool_event(w, &event);
    }
    w->has_more = queue_step(&w->queue, now_ms, world_scratch(w)) || w->has_more;
}

/* Lets that time pass; false if it takes more steps than that, or the power goes. */
static inline bool world_run(struct queue_world *w, uint64_t ms, uint32_t max_steps)
{
    uint64_t end_ms = sim_world_now_ms(w->world) + ms;
    bool is_over = false;
    w->has_more = true; /* whatever the test has asked for */
    sim_world_set_horizon(w->world, end_ms);
    for (uint32_t i = 0; i < max_steps && !is_over && !sim_host_is_off(w->host); i++) {
        world_step(w);
        is_over = sim_world_now_ms(w->world) >= end_ms && !w->has_more;
    }
    sim_world_set_horizon(w->world, UINT64_MAX);
    return is_over;
}

static inline bool world_wait_ready(struct queue_world *w)
{
    for (uint32_t i = 0; i < 20000 && !w->is_ready && !sim_host_is_off(w->host); i++) {
        world_step(w);
    }
    return w->is_ready;
}

/* What every test of a queue begins with: a run that is ready. */
static inline void world_start_ready(struct queue_world *w)
{
    world_start(w);
    CHECK(world_wait_ready(w));
}

/* The run ends in order. */
static inline bool world_stop(struct queue_world *w)
{
    queue_stop(&w->queue);
    spool_stop(w->spool);
    for (uint32_t i = 0; i < 20000; i++) {
        if (queue_is_idle(&w->queue) && spool_idle(w->spool)) {
            running_time_close(&w->running, sim_world_now_ms(w->world));
            sim_host_kill(w->host);
            return true;
        }
        world_step(w);
    }
    return false;
}

static inline void world_free(struct queue_world *w)
{
    sim_world_free(w->world);
    free(w->memory);
    free(w->scratch);
    free(w->smtp);
    free(w);
}

/* --- Messages --- */

struct put {
    const char *sender;
    const char *const *rcpts; /* "user@domain": joe and ann at example.org are local */
    uint32_t num_rcpts;
    uint8_t notify;
    uint8_t flags;
    uint32_t meta_flags;
    const char *envid;
    const char *content; /* NULL: a short one */
    uint32_t num_filler; /* further lines of 62 bytes */
};

static inline void put_rcpt_entry(struct buf *b, const struct put *p, const char *rcpt)
{
    struct slice address = slice_of_string(rcpt);
    const char *at = strchr(rcpt, '@');
    bool is_local = strcmp(at, "@example.org") == 0;
    struct envelope_entry entry = {
        .kind = ENVELOPE_RCPT,
        .rcpt = {.user = slice_make(rcpt, is_local ? (size_t)(at - rcpt) : 0),
                 .address = address,
                 .notify = p->notify}};
    CHECK_EQ(envelope_put(b, &entry), ERR_OK);
}

/* Begins a message and gives it to the spool whole. ERR_OK: its commit will be told. */
static inline enum err world_put_start(struct queue_world *w, const struct put *p)
{
    static uint8_t bytes[512 * 1024];
    static const char filler[] = "0123456789012345678901234567890123456789012345678901234567\r\n";
    struct buf b = buf_make(bytes, sizeof bytes);
    struct envelope_params params = {.flags = p->flags,
                                     .running_s =
                                         running_time_s(&w->running, sim_world_now_ms(w->world)),
                                     .envid = slice_of_string(p->envid != NULL ? p->envid : "")};
    CHECK_EQ(envelope_put_head(&b, slice_of_string(p->sender), &params), ERR_OK);
    for (uint32_t i = 0; i < p->num_rcpts; i++) {
        put_rcpt_entry(&b, p, p->rcpts[i]);
    }
    struct spool_meta meta = {
        .envelope_len = (uint32_t)b.len, .num_rcpts = p->num_rcpts, .flags = p->meta_flags};
    meta.received_s = sim_host_wall(w->host);
    buf_put_string(&b, p->content != NULL ? p->content : "Subject: test\r\n\r\ntext\r\n");
    for (uint32_t i = 0; i < p->num_filler; i++) {
        buf_put_string(&b, filler);
    }
    CHECK(!b.overflow);
    enum err err = queue_has_room(&w->queue, 0) ? ERR_OK : ERR_FULL;
    if (err == ERR_OK) {
        err = spool_begin(w->spool, &w->waiting_txn, b.len);
    }
    struct slice rest = buf_slice(&b);
    for (uint32_t i = 0; i < 20000 && err == ERR_OK && rest.len != 0; i++) {
        size_t len = rest.len < SPOOL_APPEND_MAX ? rest.len : SPOOL_APPEND_MAX;
        err = spool_append(w->spool, w->waiting_txn, slice_make(rest.ptr, len));
        if (err == ERR_OK) {
            slice_skip(&rest, len);
        } else if (err == ERR_AGAIN) {
            world_step(w);
            err = ERR_OK;
        }
    }
    if (err == ERR_OK) {
        err = spool_commit(w->spool, w->waiting_txn, &meta);
    }
    if (err != ERR_OK) {
        spool_abort(w->spool, w->waiting_txn);
    }
    return err;
}

/* The id of the message, durable; 0: it was refused, or the power went. */
static inline uint64_t world_put(struct queue_world *w, const struct put *p)
{
    w->committed_id = 0;
    w->has_more = true;
    if (world_put_start(w, p) != ERR_OK) {
        return 0;
    }
    for (uint32_t i = 0; i < 20000 && w->waiting_txn != 0 && !sim_host_is_off(w->host); i++) {
        world_step(w);
    }
    return w->committed_id;
}

static inline uint64_t world_put_to(struct queue_world *w, const char *sender, const char *rcpt)
{
    struct put p = {.sender = sender, .rcpts = &rcpt, .num_rcpts = 1};
    return world_put(w, &p);
}

/* How many files of a user's new/ hold that text; NULL: all. */
static inline uint32_t world_mails(const struct queue_world *w, const char *user, const char *text)
{
    char maildir[64];
    const char *name;
    struct slice bytes;
    uint32_t num = 0;
    snprintf(maildir, sizeof maildir, "/mail/%s", user);
    for (size_t i = 0; sim_mailbox_file(w->host, maildir, SIM_NEW, i, &name, &bytes); i++) {
        num += text == NULL || memmem(bytes.ptr, bytes.len, text, strlen(text)) != NULL;
    }
    return num;
}

/* Messages that the spool holds. */
static inline uint32_t world_num_live(const struct queue_world *w)
{
    struct spool_stats stats;
    spool_stats_of(w->spool, &stats);
    return stats.num_messages;
}

/* Nothing waits here or in the spool, and nothing was kept for it. */
static inline void world_check_empty(struct queue_world *w)
{
    CHECK(world_run(w, 60000, 100000));
    CHECK_EQ(queue_num_messages(&w->queue), 0);
    CHECK_EQ(world_num_live(w), 0);
    CHECK_EQ(w->queue.items.num_used, 0);
    CHECK_EQ(w->queue.num_reports, 0);
    CHECK_EQ(w->queue.num_promised, 0);
    CHECK_EQ(w->queue.num_remote, 0);
    CHECK_EQ(w->queue.num_blocked, 0);
    CHECK(queue_is_idle(&w->queue));
    uint32_t num = 0;
    while (spool_reserve_outcome(w->spool) == ERR_OK) {
        num++;
    }
    CHECK_EQ(num, 64);
    for (uint32_t i = 0; i < num; i++) {
        spool_release_outcome(w->spool);
    }
}

#endif

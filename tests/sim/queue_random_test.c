/* Everything at once, by lot: destinations that change their mind, full mailboxes, people who hold
 * and retry, restarts, kills, power cuts. Whatever was acknowledged is delivered or told of;
 * without a crash exactly once. */
#include "posix_sanitized.h"
#include "queue_world.h"

#define MINUTE_MS UINT64_C(60000)
#define HOUR_MS   (60 * MINUTE_MS)

#define NUM_FARS     5
#define MESSAGES_MAX 200
#define RCPTS_MAX    8

#ifdef POSIX_SANITIZED
#define NUM_SEEDS 12
#else
#define NUM_SEEDS 120
#endif

struct sent {
    uint64_t id; /* 0: not acknowledged */
    uint32_t num_rcpts;
    bool has_sender;
    char rcpts[RCPTS_MAX][40];
};

static struct queue_world *w;
static struct sent sent[MESSAGES_MAX];
static uint32_t num_sent;
static bool may_crash;

static uint32_t draw(uint32_t below)
{
    return (uint32_t)(sim_world_random(w->world) % below);
}

static void put_one(void)
{
    struct sent *m = &sent[num_sent];
    const char *rcpts[RCPTS_MAX];
    char content[128];
    bool has_joe = false;
    struct put p = {.sender = draw(5) != 0 ? "ann@example.org" : "", .rcpts = rcpts};
    *m = (struct sent){.num_rcpts = 1 + draw(RCPTS_MAX), .has_sender = p.sender[0] != 0};
    for (uint32_t i = 0; i < m->num_rcpts; i++) {
        uint32_t far = draw(NUM_FARS + 1);
        bool is_joe = far == NUM_FARS && !has_joe;
        has_joe = has_joe || is_joe;
        snprintf(m->rcpts[i], sizeof m->rcpts[i], "m%03u.%u@far%u.example", num_sent, i,
                 far % NUM_FARS);
        if (is_joe) {
            snprintf(m->rcpts[i], sizeof m->rcpts[i], "joe@example.org");
        }
        rcpts[i] = m->rcpts[i];
    }
    snprintf(content, sizeof content, "Subject: x\r\n\r\nmark %03u\r\n", num_sent);
    p.num_rcpts = m->num_rcpts;
    p.content = content;
    p.num_filler = draw(10) == 0 ? 1500 : draw(50);
    m->id = world_put(w, &p);
    num_sent++;
}

static void change_a_far(void)
{
    struct far *f = &w->smtp->fars[draw(NUM_FARS)];
    f->mode = (enum far_mode)draw(FAR_DEAD + 1);
    f->jobs_max = draw(4);
    f->job_ms = draw(3) == 0 ? 60000 : draw(500);
}

static void let_a_person_act(void)
{
    if (num_sent == 0) {
        return;
    }
    uint64_t id = sent[draw(num_sent)].id;
    switch (draw(4)) {
    case 0:
        queue_hold(&w->queue, id);
        return;
    case 1:
        queue_release(&w->queue, id);
        return;
    case 2:
        queue_retry_now(&w->queue, id);
        return;
    default:
        queue_flush(&w->queue);
    }
}

static void break_off(void)
{
    if (!may_crash || draw(3) == 0) {
        CHECK(world_stop(w));
    } else if (draw(2) == 0) {
        sim_host_kill(w->host);
    } else {
        /* In the middle of something: the power goes a few operations later. */
        struct sim_store_counts counts;
        sim_store_counts_of(sim_host_store(w->host), &counts);
        sim_store_set_power_off(sim_host_store(w->host), counts.num_ops + 1 + draw(20));
        put_one();
        world_run(w, 10 * MINUTE_MS, 3000);
        sim_host_crash(w->host, (enum sim_crash)draw(3));
        sim_store_set_power_off(sim_host_store(w->host), 0);
    }
    world_start_ready(w);
}

static void act(void)
{
    switch (draw(12)) {
    case 0:
    case 1:
        change_a_far();
        return;
    case 2: {
        uint32_t num = draw(5);
        sim_mailbox_fail_begin(w->host, 1 + draw(3), num, ERR_NO_SPACE);
        return;
    }
    case 3:
    case 4:
        let_a_person_act();
        return;
    case 5:
        break_off();
        return;
    case 6:
        CHECK(world_run(w, draw(4) * HOUR_MS, 100000));
        return;
    case 7:
        sim_host_set_wall(w->host, (int64_t)draw(2) * INT64_C(4000000000), true);
        return;
    default:
        put_one();
        world_run(w, draw(3) == 0 ? draw(60000) : draw(300), 20000);
    }
}

static void check_rcpt(const struct sent *m, uint32_t number, uint32_t rcpt)
{
    char text[64];
    uint32_t num_good = world_num_taken(w, m->id, rcpt), num_told = 0;
    if (strcmp(m->rcpts[rcpt], "joe@example.org") == 0) {
        snprintf(text, sizeof text, "\nmark %03u\n", number);
        num_good = world_mails(w, "joe", text);
        CHECK(num_good <= 1);
    } else if (m->has_sender) {
        num_told = world_mails(w, "ann", m->rcpts[rcpt]);
    } else { /* nobody to tell: the log says it */
        uint8_t id_bytes[SPOOL_ID_TEXT_LEN];
        struct buf id = buf_make(id_bytes, sizeof id_bytes);
        spool_id_put(&id, m->id);
        snprintf(text, sizeof text, "id=%.*s rcpt=%u result=failed", (int)id.len, (char *)id.ptr,
                 rcpt);
        num_told = (uint32_t)sim_log_count(w->host, text);
    }
    uint32_t num = num_good + num_told;
    bool is_fine = may_crash || !m->has_sender ? num >= 1 : num == 1;
    if (!is_fine) {
        fprintf(stderr, "message %u to %s: delivered %u times, told %u times\n", number,
                m->rcpts[rcpt], num_good, num_told);
    }
    CHECK(is_fine);
}

static void run(uint64_t seed, uint64_t *num_messages)
{
    struct sim_store_conf store = {.sync_ms = 5, .create_ms = 7};
    char name[32];
    w = world_new(seed, &store);
    num_sent = 0;
    may_crash = seed % 2 == 0;
    world_option(w, "delay_warning = 0");
    world_option(w, "double_bounce_to_postmaster = no");
    world_option(w, "retry_give_up = 300d");
    for (int i = 0; i < NUM_FARS; i++) {
        snprintf(name, sizeof name, "far%d.example", i);
        world_far(w, name, FAR_ACCEPT);
    }
    sim_mailbox_set_latency(w->host, 3);
    world_start_ready(w);
    while (num_sent < MESSAGES_MAX / 2) {
        act();
    }
    for (int i = 0; i < NUM_FARS; i++) {
        w->smtp->fars[i].mode = draw(3) == 0 ? FAR_FAIL : FAR_ACCEPT;
    }
    sim_mailbox_fail_begin(w->host, 0, 0, ERR_OK);
    for (uint32_t i = 0; i < num_sent; i++) {
        queue_release(&w->queue, sent[i].id);
    }
    CHECK(world_run(w, 10 * HOUR_MS, 1000000));
    world_check_empty(w);
    for (uint32_t i = 0; i < num_sent; i++) {
        for (uint32_t rcpt = 0; sent[i].id != 0 && rcpt < sent[i].num_rcpts; rcpt++) {
            check_rcpt(&sent[i], i, rcpt);
        }
        *num_messages += sent[i].id != 0;
    }
    world_free(w);
}

static void test_random(void)
{
    uint64_t num_messages = 0;
    for (uint64_t seed = getenv("SEED") ? strtoull(getenv("SEED"), NULL, 10) : 1; seed <= NUM_SEEDS;
         seed++) {
        int num_failed = test_failed_checks;
        run(seed, &num_messages);
        if (test_failed_checks != num_failed) {
            fprintf(stderr, "seed %llu\n", (unsigned long long)seed);
            break;
        }
    }
    printf("%llu messages\n", (unsigned long long)num_messages);
    CHECK(num_messages > NUM_SEEDS * 80u);
}

static const struct test_case cases[] = {
    {"random", test_random},
};

TEST_MAIN(cases)

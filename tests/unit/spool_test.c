/* The spool without crashes: the contract of spool.h, call by call. */
#include "../sim/spool_world.h"

static struct world *ready_world(uint64_t seed, uint32_t num_segments)
{
    struct spool_conf conf = world_small_conf();
    conf.size_limit = num_segments * conf.segment_len;
    struct world *w = world_new(seed, &conf, NULL);
    CHECK(world_boot(w));
    CHECK_EQ(w->ready_err, ERR_OK);
    return w;
}

static void sizes_from_none_to_large(void)
{
    struct world *w = ready_world(1, 16);
    static const uint32_t sizes[] = {0,     1,     4051,  4052,  4053,   8104,  20000,
                                     65535, 65536, 65537, 70000, 250000, 300000};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct model *m = world_send(w, sizes[i], 1);
        CHECK(m != NULL);
        if (m == NULL) {
            break;
        }
        CHECK(world_settle(w));
        CHECK_EQ(m->state, MODEL_ACKED);
        CHECK(world_reads_well(w, m));
        if (sizes[i] > 100000) {
            CHECK_EQ(world_outcome(w, m, 0), ERR_OK);
            CHECK(world_settle(w));
        }
    }
    sim_store_crash(w->store, SIM_CRASH_LOSE);
    CHECK(world_boot(w));
    WORLD_CHECK(w);
    world_free(w);
}

/* Who is told to wait behind the spool's turn would wait for ever, if nothing else called: a step
 * is due, and one only. */
static void waiting_wants_a_step(void)
{
    struct world *w = ready_world(9, 16);
    static const uint8_t bytes[8192];
    uint64_t txn;
    enum err err = ERR_OK;
    CHECK(world_settle(w));
    CHECK_EQ(spool_next_deadline_ms(w->sp), UINT64_MAX);
    CHECK_EQ(spool_begin(w->sp, &txn, 0), ERR_OK);
    for (int i = 0; i < 1000 && err == ERR_OK; i++) {
        err = spool_append(w->sp, txn, slice_make(bytes, sizeof bytes));
    }
    CHECK_EQ(err, ERR_AGAIN);
    CHECK(spool_next_deadline_ms(w->sp) <= w->now_ms);
    CHECK(!spool_step(w->sp, w->now_ms));
    CHECK_EQ(spool_append(w->sp, txn, slice_make(bytes, sizeof bytes)), ERR_AGAIN);
    CHECK_EQ(spool_next_deadline_ms(w->sp), UINT64_MAX);
    for (uint32_t num = w->num_rooms, i = 0; i < 1000 && w->num_rooms == num; i++) {
        CHECK(world_turn(w));
    }
    CHECK_EQ(spool_append(w->sp, txn, slice_make(bytes, sizeof bytes)), ERR_OK);
    spool_abort(w->sp, txn);
    WORLD_CHECK(w);
    world_free(w);
}

/* 1,000 messages from 100 connections, each sending its next when the last is acknowledged; a sync
 * takes 5 ms. */
static void group_commit(void)
{
    struct spool_conf conf = {.size_limit = 32u << 20, .max_messages = 2000, .max_txns = 100};
    struct world *w = world_new(2, &conf, NULL);
    struct model *current[100] = {0};
    uint32_t num_sent = 0;
    CHECK(world_boot(w));
    CHECK(world_settle(w));
    struct spool_stats before, after;
    spool_stats_of(w->sp, &before);
    while (w->num_acks < 1000 && w->now_ms < 100000) {
        for (uint32_t i = 0; i < 100 && num_sent < 1000; i++) {
            if (current[i] == NULL || current[i]->state == MODEL_ACKED) {
                current[i] = world_send(w, 4096 + 300, 1);
                num_sent += current[i] != NULL;
            }
        }
        world_turn(w);
    }
    spool_stats_of(w->sp, &after);
    CHECK_EQ(w->num_acks, 1000);
    CHECK(after.num_syncs - before.num_syncs <= 100);
    CHECK(after.num_batches - before.num_batches <= 50);
    CHECK(after.written_len - before.written_len <
          (after.message_len - before.message_len) * 5 / 4);
    /* Outcomes, too, share syncs. */
    for (uint32_t i = 0; i < w->num_messages;) {
        if (world_outcome(w, &w->messages[i], 0) == ERR_OK) {
            i++;
        } else if (!world_turn(w)) {
            break;
        }
    }
    CHECK(world_settle(w));
    before = after;
    spool_stats_of(w->sp, &after);
    CHECK_EQ(after.num_messages, 0);
    CHECK(after.num_batches - before.num_batches <= 40);
    WORLD_CHECK(w);
    world_free(w);
}

static void aborted_and_stale_handles(void)
{
    struct world *w = ready_world(3, 10);
    struct model *m = world_begin(w, 9000, 1, true);
    CHECK(m != NULL && world_fill(w, m, 5000));
    uint64_t txn = m->txn;
    world_abort(w, m);
    CHECK_EQ(spool_append(w->sp, txn, SLICE_LITERAL("x")), ERR_WRONG_STATE);
    CHECK_EQ(spool_txn_id(w->sp, txn), 0);
    spool_abort(w->sp, txn);
    struct spool_meta meta = {.num_rcpts = 1};
    CHECK_EQ(spool_commit(w->sp, txn, &meta), ERR_WRONG_STATE);
    uint64_t t;
    CHECK_EQ(spool_begin(w->sp, &t, 0), ERR_OK);
    meta.envelope_len = 1;
    CHECK_EQ(spool_commit(w->sp, t, &meta), ERR_MALFORMED);
    meta.envelope_len = 0;
    meta.num_rcpts = 0;
    CHECK_EQ(spool_commit(w->sp, t, &meta), ERR_MALFORMED);
    meta.num_rcpts = SPOOL_RCPTS_MAX + 1;
    CHECK_EQ(spool_commit(w->sp, t, &meta), ERR_MALFORMED);
    spool_abort(w->sp, t);
    struct spool_stats stats;
    spool_stats_of(w->sp, &stats);
    CHECK_EQ(stats.num_txns, 0);
    CHECK_EQ(stats.live_len, 0);
    WORLD_CHECK(w);
    world_free(w);
}

static void limits_say_which(void)
{
    struct world *w = ready_world(4, 10);
    uint64_t txn, txns[41];
    CHECK_EQ(spool_begin(w->sp, &txn, UINT64_C(1) << 40), ERR_TOO_BIG);
    for (int i = 0; i < 40; i++) {
        CHECK_EQ(spool_begin(w->sp, &txns[i], 0), ERR_OK);
    }
    CHECK_EQ(spool_begin(w->sp, &txns[40], 0), ERR_BUSY);
    for (int i = 0; i < 40; i++) {
        spool_abort(w->sp, txns[i]);
    }
    struct model *m = NULL;
    uint32_t num = 0;
    while ((m = world_send(w, 50000, 1)) != NULL && world_settle(w)) {
        num++;
    }
    CHECK(num >= 10);
    CHECK_EQ(spool_begin(w->sp, &txn, 50000), ERR_FULL);
    CHECK_EQ(world_outcome(w, &w->messages[0], 0), ERR_OK);
    CHECK(world_settle(w));
    CHECK_EQ(spool_begin(w->sp, &txn, 50000), ERR_OK);
    spool_abort(w->sp, txn);
    WORLD_CHECK(w);
    world_free(w);
}

/* Who announces much and sends little takes no room from others: neither while it sends, nor while
 * what it has sent waits. */
static void what_is_announced_is_not_taken(void)
{
    static const uint32_t lens[] = {0, 100, 40000};
    for (size_t i = 0; i < 3; i++) {
        struct world *w = ready_world(4, 10);
        struct spool_stats stats;
        uint64_t open[10];
        for (size_t n = 0; n < 10; n++) {
            CHECK_EQ(spool_begin(w->sp, &open[n], 500000), ERR_OK);
        }
        spool_stats_of(w->sp, &stats);
        CHECK_EQ(stats.live_len, 10 * 512);
        for (size_t n = 0; n < 10; n++) {
            spool_abort(w->sp, open[n]);
        }
        struct model *m = world_begin(w, lens[i], 1, false);
        CHECK(m != NULL);
        spool_abort(w->sp, m->txn);
        CHECK_EQ(spool_begin(w->sp, &m->txn, 500000), ERR_OK);
        m->id = spool_txn_id(w->sp, m->txn);
        CHECK(world_fill(w, m, lens[i]));
        world_commit(w, m);
        CHECK(world_settle(w));
        spool_stats_of(w->sp, &stats);
        CHECK(stats.live_len <= (lens[i] < 4000 ? 1024 : 256 * 1024 + 512));
        uint64_t len_before = stats.live_len;
        CHECK(world_crash_and_boot(w, SIM_CRASH_KEEP) && world_settle(w));
        spool_stats_of(w->sp, &stats);
        CHECK(stats.live_len <= len_before && stats.live_len + 512 >= len_before);
        WORLD_CHECK(w);
        world_free(w);
    }
}

/* The largest message is one that an empty spool takes, and a larger one none. */
static void largest_message_is_known(void)
{
    for (uint32_t num_segs = 8; num_segs <= 200; num_segs = num_segs * 3 / 2) {
        struct spool_conf conf = world_small_conf();
        conf.size_limit = (uint64_t)num_segs * conf.segment_len;
        conf.reserved_len = num_segs % 2 == 0 ? conf.size_limit / 32 : 0;
        struct world *w = world_new(5, &conf, NULL);
        uint64_t txn, max = spool_message_max(&conf, 4096);
        CHECK(world_boot(w));
        CHECK(max > conf.segment_len / 2);
        CHECK_EQ(spool_begin(w->sp, &txn, max + 1), ERR_TOO_BIG);
        CHECK_EQ(spool_begin(w->sp, &txn, max), ERR_OK);
        spool_abort(w->sp, txn);
        world_free(w);
    }
}

/* What is reserved for reports is not for mail, neither at the begin nor when a message turns out
 * longer; a report may have all, and no more. */
static void reports_have_room(void)
{
    static const uint8_t bytes[SPOOL_APPEND_MAX];
    struct spool_conf conf = world_small_conf();
    conf.reserved_len = 200000;
    struct world *w = world_new(4, &conf, NULL);
    struct spool_stats stats;
    uint64_t mail, report;
    CHECK(world_boot(w));
    while (world_send(w, 50000, 1) != NULL && world_settle(w)) {
    }
    spool_stats_of(w->sp, &stats);
    CHECK(stats.live_len <= stats.live_limit_len);
    CHECK_EQ(spool_begin(w->sp, &mail, 50000), ERR_FULL);
    CHECK_EQ(spool_begin_report(w->sp, &report, 50000), ERR_OK);
    spool_abort(w->sp, report);
    enum err err = spool_begin(w->sp, &mail, 0);
    while (err == ERR_OK) {
        err = spool_append(w->sp, mail, slice_make(bytes, sizeof bytes));
    }
    CHECK_EQ(err, ERR_FULL);
    spool_abort(w->sp, mail);
    CHECK_EQ(spool_begin_report(w->sp, &report, 0), ERR_OK);
    uint32_t num = 0;
    while ((err = spool_append(w->sp, report, slice_make(bytes, 1000))) == ERR_OK) {
        num++;
    }
    CHECK_EQ(err, ERR_FULL);
    CHECK(num >= 60);
    spool_stats_of(w->sp, &stats);
    CHECK(stats.live_len <= stats.live_limit_len + 200000 + 512);
    spool_abort(w->sp, report);
    WORLD_CHECK(w);
    world_free(w);
}

/* Where an overwrite needs new space, mail is refused while it runs short. */
static void margin_of_space(void)
{
    struct spool_conf conf = world_small_conf();
    struct sim_store_conf store_conf = {.not_in_place = true, .capacity_len = 6 * 256 * 1024};
    struct world *w = world_new(9, &conf, &store_conf);
    uint64_t txn;
    CHECK(world_boot(w));
    CHECK(world_settle(w));
    CHECK_EQ(spool_begin(w->sp, &txn, 1000), ERR_OK);
    spool_abort(w->sp, txn);
    sim_store_set_capacity(w->store, 5 * 256 * 1024);
    CHECK_EQ(spool_begin(w->sp, &txn, 1000), ERR_FULL);
    WORLD_CHECK(w);
    world_free(w);
}

static void outcomes_one_by_one(void)
{
    struct world *w = ready_world(5, 10);
    struct model *m = world_send(w, 100, 3);
    CHECK(m != NULL && world_settle(w));
    CHECK_EQ(spool_outcome(w->sp, m->id, 0, 1), ERR_WRONG_STATE); /* nothing reserved */
    CHECK_EQ(spool_reserve_outcome(w->sp), ERR_OK);
    CHECK_EQ(spool_outcome(w->sp, m->id, 3, 1), ERR_ABSENT);
    CHECK_EQ(spool_outcome(w->sp, m->id + 1, 0, 1), ERR_ABSENT);
    spool_release_outcome(w->sp);
    CHECK_EQ(world_outcome(w, m, 1), ERR_OK);
    CHECK(spool_is_final(w->sp, m->id, 1));
    CHECK(!spool_is_final(w->sp, m->id, 0));
    CHECK_EQ(world_outcome(w, m, 1), ERR_EXISTS);
    set_bit(m->submitted, 1);
    CHECK_EQ(world_outcome(w, m, 0), ERR_OK);
    CHECK(world_settle(w));
    CHECK_EQ(m->state, MODEL_ACKED);
    CHECK_EQ(world_outcome(w, m, 2), ERR_OK);
    CHECK(world_settle(w));
    CHECK_EQ(m->state, MODEL_DEAD);
    size_t len;
    uint8_t byte;
    CHECK_EQ(spool_read(w->sp, &len, m->id, 0, &byte, 1), ERR_ABSENT);
    int num = 0;
    while (spool_reserve_outcome(w->sp) == ERR_OK) {
        num++;
    }
    CHECK_EQ(num, 64);
    WORLD_CHECK(w);
    world_free(w);
}

static void many_recipients_survive_copying(void)
{
    struct world *w = ready_world(6, 8);
    struct model *m = world_send(w, 2000, 300);
    CHECK(m != NULL && world_settle(w));
    for (uint32_t r = 0; r < 300; r += 7) {
        CHECK_EQ(world_outcome(w, m, r), ERR_OK);
        CHECK(world_settle(w));
    }
    struct spool_stats stats = {0};
    for (uint32_t i = 0; i < 3000 && stats.copied_len < 6000; i++) { /* round and round */
        struct model *other = world_send(w, 6000, 1);
        CHECK(other != NULL && world_settle(w));
        if (other == NULL || world_outcome(w, other, 0) != ERR_OK) {
            break;
        }
        spool_stats_of(w->sp, &stats);
    }
    CHECK(stats.copied_len >= 6000); /* copied three times */
    CHECK(world_settle(w));
    CHECK(world_crash_and_boot(w, SIM_CRASH_LOSE));
    CHECK(m->is_found);
    WORLD_CHECK(w);
    world_free(w);
}

/* A sync that takes two seconds: bytes of others are taken in meanwhile, up to the cap; then they
 * wait and are told. */
static void slow_sync_and_unsynced_cap(void)
{
    struct world *w = ready_world(7, 16);
    CHECK(world_settle(w));
    sim_store_set_sync_ms(w->store, 2000);
    CHECK(world_send(w, 1000, 1) != NULL);
    world_turns(w, 2);
    struct model *m = world_begin(w, 700000, 1, true);
    CHECK(m != NULL);
    uint32_t num_again = 0;
    uint64_t began_ms = w->now_ms;
    while (m != NULL && m->appended < m->len) {
        enum err err = world_append(w, m, SPOOL_APPEND_MAX);
        CHECK(err == ERR_OK || err == ERR_AGAIN);
        if (num_again++ == 0 && err == ERR_AGAIN) {
            CHECK(m->appended > 100000);
            CHECK_EQ(w->now_ms, began_ms);
        }
        if (err == ERR_AGAIN && !world_turn(w)) {
            break;
        }
    }
    CHECK(num_again > 0);
    CHECK(w->num_rooms > 0);
    world_commit(w, m);
    CHECK(world_settle(w));
    CHECK_EQ(m->state, MODEL_ACKED);
    WORLD_CHECK(w);
    world_free(w);
}

static void stopping(void)
{
    struct world *w = ready_world(8, 10);
    CHECK(world_settle(w));
    struct model *m = world_send(w, 1000, 1);
    spool_stop(w->sp);
    uint64_t txn;
    CHECK_EQ(spool_begin(w->sp, &txn, 0), ERR_BUSY);
    CHECK(!spool_idle(w->sp));
    CHECK(world_settle(w));
    CHECK_EQ(m->state, MODEL_ACKED);
    WORLD_CHECK(w);
    world_free(w);
}

static void bad_configurations(void)
{
    struct spool_conf good = world_small_conf();
    struct sim_store *store = sim_store_new(&(struct sim_store_conf){.seed = 1});
    struct world w = {0};
    struct port_entropy entropy = {&w, world_entropy};
    struct spool *sp;
    size_t len = spool_memory_len(&good, 4096);
    uint8_t *memory = malloc(len);
    struct spool_conf conf = good;
    conf.size_limit = 7 * conf.segment_len;
    struct arena arena = {memory, len, 0};
    CHECK_EQ(spool_open(&sp, &conf, sim_store_port(store), &entropy, NULL, &arena), ERR_MALFORMED);
    conf = good;
    conf.segment_len = 300000;
    CHECK_EQ(spool_open(&sp, &conf, sim_store_port(store), &entropy, NULL, &arena), ERR_MALFORMED);
    arena.len = len / 2;
    CHECK_EQ(spool_open(&sp, &good, sim_store_port(store), &entropy, NULL, &arena), ERR_NO_MEMORY);
    free(memory);
    sim_store_free(store);
}

/* A spool is opened only with about what it has grown to. */
static void too_small_for_what_is_there(void)
{
    struct spool_conf conf = world_small_conf();
    struct sim_store *store = sim_store_new(&(struct sim_store_conf){.seed = 1});
    const struct port_store *port = sim_store_port(store);
    struct world w = {0};
    struct port_entropy entropy = {&w, world_entropy};
    struct spool *sp;
    uint32_t handle, num = (uint32_t)(conf.size_limit / conf.segment_len) + 16 + 3;
    CHECK_EQ(port->open(port->ctx), ERR_OK);
    for (uint32_t id = 1; id <= num; id++) {
        CHECK_EQ(port->create(port->ctx, &handle, id, conf.segment_len, id), ERR_OK);
    }
    for (uint32_t more = 2; more <= 3; more++) {
        conf.size_limit = (uint64_t)(num - 16 - 3 + more) * conf.segment_len;
        size_t len = spool_memory_len(&conf, 4096);
        struct arena arena = {calloc(1, len), len, 0};
        void *memory = arena.ptr;
        CHECK_EQ(spool_wanted_size(&conf, num), more == 3 ? 0 : (uint64_t)num * conf.segment_len);
        sim_store_kill(store);
        CHECK_EQ(spool_open(&sp, &conf, port, &entropy, NULL, &arena),
                 more == 3 ? ERR_OK : ERR_TOO_BIG);
        free(memory);
    }
    sim_store_free(store);
}

static void ids_as_text(void)
{
    uint8_t text[SPOOL_ID_TEXT_LEN];
    uint64_t ids[] = {1, 0x123456789abcdef0, UINT64_MAX}, back;
    for (size_t i = 0; i < 3; i++) {
        struct buf b = buf_make(text, sizeof text);
        CHECK(spool_id_put(&b, ids[i]));
        CHECK(spool_id_parse(buf_slice(&b), &back));
        CHECK(back == ids[i]);
    }
    CHECK_TEXT(slice_make(text, sizeof text), "fzzzzzzzzzzzz");
    CHECK(!spool_id_parse(SLICE_LITERAL("gzzzzzzzzzzzz"), &back)); /* over 64 bits */
    CHECK(!spool_id_parse(SLICE_LITERAL("000000000000l"), &back));
    CHECK(!spool_id_parse(SLICE_LITERAL("00000000000"), &back));
    CHECK(spool_id_parse(SLICE_LITERAL("00000000000AB"), &back) && back == 10 * 32 + 11);
}

static const struct test_case cases[] = {
    {"waiting_wants_a_step", waiting_wants_a_step},
    {"sizes_from_none_to_large", sizes_from_none_to_large},
    {"group_commit", group_commit},
    {"aborted_and_stale_handles", aborted_and_stale_handles},
    {"limits_say_which", limits_say_which},
    {"reports-have-room", reports_have_room},
    {"largest-message-is-known", largest_message_is_known},
    {"what_is_announced_is_not_taken", what_is_announced_is_not_taken},
    {"margin_of_space", margin_of_space},
    {"outcomes_one_by_one", outcomes_one_by_one},
    {"many_recipients_survive_copying", many_recipients_survive_copying},
    {"slow_sync_and_unsynced_cap", slow_sync_and_unsynced_cap},
    {"stopping", stopping},
    {"bad_configurations", bad_configurations},
    {"too_small_for_what_is_there", too_small_for_what_is_there},
    {"ids_as_text", ids_as_text},
};

TEST_MAIN(cases)

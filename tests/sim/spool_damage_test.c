/* Bytes that go bad, and bytes that pretend: a damaged spool starts, loses only what the damage
 * touches, names it and puts the segment aside; a record inside a message's body never counts. */
#include "spool_record.h"
#include "spool_world.h"

#define PAGE 4096u

/* A spool with a history: several segments, some messages finished, a large one. All but the last
 * sync is proved durable. */
static struct world *with_history(void)
{
    struct spool_conf conf = world_small_conf();
    conf.size_limit = 16 * conf.segment_len;
    struct world *w = world_new(21, &conf, NULL);
    CHECK(world_boot(w));
    world_send(w, 90000, 1);
    for (uint32_t i = 0; i < 90; i++) {
        struct model *m = world_send(w, 700 + i * 137 % 9000, 1 + i % 2);
        CHECK(m != NULL);
        if (i % 7 == 6) {
            world_settle(w);
            world_outcome(w, m, 0);
        }
    }
    world_settle(w);
    for (uint32_t i = 0; i < 3; i++) { /* so that everything before is proved durable */
        world_send(w, 100, 1);
        world_settle(w);
    }
    return w;
}

static bool holds_id(const uint8_t *page, uint64_t id)
{
    uint8_t want[8];
    for (int i = 0; i < 8; i++) {
        want[i] = (uint8_t)(id >> (56 - 8 * i));
    }
    for (uint32_t at = 0; at + 8 <= PAGE; at++) {
        if (memcmp(page + at, want, 8) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_named(const struct world *w, uint64_t id)
{
    char text[SPOOL_ID_TEXT_LEN + 1] = {0};
    struct buf b = buf_make(text, SPOOL_ID_TEXT_LEN);
    spool_id_put(&b, id);
    return strstr(w->lines, text) != NULL;
}

/* Which messages have a byte in this page; then the page goes bad. */
static void mark(struct world *w, const uint8_t *page)
{
    for (uint32_t i = 0; i < w->num_messages; i++) {
        w->messages[i].may_be_lost = holds_id(page, w->messages[i].id);
    }
}

struct damage_sum {
    uint32_t num_lost;
    uint32_t num_unnamed;
    uint32_t num_aside;
};

/* Boots a damaged world and looks at what came of it. */
static void look(struct world *w, struct damage_sum *sum)
{
    struct sim_store_counts counts;
    uint8_t was_live[200] = {0};
    for (uint32_t i = 0; i < w->num_messages; i++) {
        was_live[i] = w->messages[i].state == MODEL_ACKED;
    }
    w->is_lenient = true;
    CHECK(world_crash_and_boot(w, SIM_CRASH_LOSE));
    CHECK_EQ(w->ready_err, ERR_OK);
    for (uint32_t i = 0; i < w->num_messages; i++) {
        if (was_live[i] && !w->messages[i].is_found) {
            sum->num_lost++;
            sum->num_unnamed += !is_named(w, w->messages[i].id);
        }
    }
    CHECK(world_send(w, 3000, 1) != NULL);
    CHECK(world_settle(w));
    world_turns(w, 300); /* the evacuation goes on behind */
    sim_store_counts_of(w->store, &counts);
    sum->num_aside += counts.num_quarantined != 0;
    w->lines_len = 0;
    CHECK(world_crash_and_boot(w, SIM_CRASH_LOSE));
    WORLD_CHECK(w);
}

static void a_byte_of_each_page(void)
{
    struct world *w = with_history();
    size_t num_segments = sim_store_num_segments(w->store);
    struct damage_sum sum = {0};
    uint32_t num = 0;
    world_free(w);
    for (size_t s = 0; s < num_segments; s++) {
        for (uint32_t page = 0; page < 64; page += (1 + page % 3) * TEST_STRIDE) {
            uint8_t *bytes;
            uint64_t len;
            w = with_history();
            uint32_t id = sim_store_segment(w->store, s, &bytes, &len);
            mark(w, bytes + page * PAGE);
            sim_store_flip(w->store, id, page * PAGE + (page * 1237 + 600) % PAGE, 0x40);
            look(w, &sum);
            world_free(w);
            num++;
        }
    }
    CHECK(num > 60 / TEST_STRIDE);
    CHECK(sum.num_lost > 30 / TEST_STRIDE);
    CHECK(sum.num_unnamed * 10 <= sum.num_lost); /* an id that is itself spoilt cannot be told */
    CHECK(sum.num_aside > 40 / TEST_STRIDE);
}

static void heads_of_segments(void)
{
    for (uint32_t both = 0; both < 2; both++) {
        for (size_t s = 0; s < 4; s++) {
            struct world *w = with_history();
            struct damage_sum sum = {0};
            uint8_t *bytes;
            uint64_t len;
            uint32_t id = sim_store_segment(w->store, s, &bytes, &len);
            sim_store_flip(w->store, id, 20, 1);
            if (both) {
                sim_store_flip(w->store, id, len - PAGE + 20, 1);
                for (uint32_t i = 0; i < w->num_messages; i++) {
                    w->messages[i].may_be_lost = true;
                }
            }
            look(w, &sum);
            CHECK(both || sum.num_lost == 0);
            world_free(w);
        }
    }
}

static void pages_that_cannot_be_read(void)
{
    struct damage_sum sum = {0};
    for (uint32_t page = 1; page < 60; page += 7) {
        struct world *w = with_history();
        uint8_t *bytes;
        uint64_t len;
        uint32_t id = sim_store_segment(w->store, 1, &bytes, &len);
        mark(w, bytes + page * PAGE);
        sim_store_fail_read(w->store, id, page * PAGE + 5);
        look(w, &sum);
        world_free(w);
    }
    CHECK_EQ(sum.num_aside, 9);
}

/* Any content at all: it starts, finds nothing that nobody sent, and takes mail. */
static void rubbish(void)
{
    for (uint32_t round = 0; round < 40; round++) {
        struct world *w = with_history();
        w->random = round + 1;
        for (size_t s = 0; s < sim_store_num_segments(w->store); s++) {
            uint8_t *bytes;
            uint64_t len;
            uint32_t id = sim_store_segment(w->store, s, &bytes, &len);
            for (uint32_t n = 0; n < 1u << round % 12; n++) {
                uint8_t bits = (uint8_t)(1 + world_random(w) % 255);
                sim_store_flip(w->store, id, world_random(w) % len, bits);
            }
        }
        for (uint32_t i = 0; i < w->num_messages; i++) {
            w->messages[i].may_be_lost = true;
        }
        struct damage_sum sum = {0};
        look(w, &sum);
        world_free(w);
    }
}

/* Bodies made of byte-exact pages of this very spool: of aborted, finished and live messages,
 * commits and outcomes among them, of the current and of older generations, at every page boundary
 * that a body can be put at. */
static void forged_records(void)
{
    struct world *w = with_history();
    static uint8_t body[230000];
    uint8_t *bytes;
    uint64_t len;
    for (uint32_t shift = 0; shift < 60; shift += 4) {
        size_t s = shift / 4 % sim_store_num_segments(w->store);
        sim_store_segment(w->store, s, &bytes, &len);
        memset(body, 'x', sizeof body);
        size_t at = shift;
        for (uint32_t page = 0; page < 50; page++) {
            memcpy(body + at, bytes + page % 62 * PAGE, PAGE);
            at += PAGE - (shift % 8 == 0
                              ? 44
                              : 0); /* so that pages fall on the places where real ones begin */
        }
        struct model *m = world_begin(w, 220000 - shift, 1, shift % 8 == 0);
        CHECK(m != NULL);
        m->body = body;
        CHECK(world_fill(w, m, m->len));
        world_commit(w, m);
        CHECK(world_settle(w));
        CHECK(world_crash_and_boot(w, SIM_CRASH_LOSE));
        CHECK(m->is_found);
        CHECK_EQ(world_outcome(w, m, 0), ERR_OK);
        CHECK(world_settle(w));
    }
    WORLD_CHECK(w);
    world_free(w);
}

/* The same in the log: short bodies whose bytes are pages, records and outcomes of the spool. */
static void forged_records_in_the_log(void)
{
    struct world *w = with_history();
    static uint8_t body[60000];
    uint8_t *bytes;
    uint64_t len;
    for (uint32_t n = 0; n < 40; n++) {
        sim_store_segment(w->store, n % 3, &bytes, &len);
        for (uint32_t page = 0; page < 14; page++) {
            memcpy(body + page * PAGE, bytes + (n + page) % 62 * PAGE + n % 2 * 24, PAGE);
        }
        struct model *m = world_begin(w, 1000 + n * 1400, 1, false);
        CHECK(m != NULL);
        m->body = body;
        CHECK(world_fill(w, m, m->len));
        world_commit(w, m);
        CHECK(world_settle(w));
        CHECK(world_crash_and_boot(w, n % 2 == 0 ? SIM_CRASH_LOSE : SIM_CRASH_MIXED));
        CHECK_EQ(world_outcome(w, m, 0), ERR_OK);
        CHECK(world_settle(w));
    }
    WORLD_CHECK(w);
    world_free(w);
}

/* The page that the last sync wrote, which nothing yet proves, and which the device does not give
 * any more: it is told, and the segment kept for a person, although no id can be named. */
static void unreadable_last_page(void)
{
    struct world *w = with_history();
    struct model *m = world_send(w, 500, 1);
    struct sim_store_counts counts;
    CHECK(m != NULL);
    world_settle(w);
    for (size_t s = 0; m != NULL && s < sim_store_num_segments(w->store); s++) {
        uint8_t *bytes;
        uint64_t len;
        uint32_t id = sim_store_segment(w->store, s, &bytes, &len);
        for (uint64_t page = 1; (page + 1) * PAGE < len; page++) {
            if (holds_id(bytes + page * PAGE, m->id)) {
                m->may_be_lost = true;
                sim_store_fail_read(w->store, id, page * PAGE + 100);
            }
        }
    }
    w->is_lenient = true;
    w->lines_len = 0;
    uint64_t since_ms = w->now_ms;
    CHECK(world_crash_and_boot(w, SIM_CRASH_LOSE));
    CHECK_EQ(w->ready_err, ERR_OK);
    CHECK(w->now_ms - since_ms < 20000); /* waited for once, not again where it is emptied */
    CHECK(strstr(w->lines, "damaged-page") != NULL);
    world_turns(w, 300);
    sim_store_counts_of(w->store, &counts);
    CHECK(counts.num_quarantined != 0);
    world_free(w);
}

/* The device gives the page after all, once that it did not has been noticed so many times. */
static uint32_t num_unread_max;

static void line_mends_device(void *ctx, enum log_level level, struct slice text)
{
    struct world *w = ctx;
    world_line(ctx, level, text);
    if (strstr(w->lines, "state=unreadable reason=io-error") != NULL && --num_unread_max == 0) {
        sim_store_fail_read(w->store, 0, UINT64_MAX);
    }
}

/* What a device does not give for a while, a head, records or a body, costs a start some seconds
 * and nothing else. */
static void a_device_that_fails_for_a_while(void)
{
    for (uint32_t page = 0; page < 64; page += 1 + 2 * TEST_STRIDE) {
        struct world *w = with_history();
        struct sim_store_counts counts;
        uint8_t *bytes;
        uint64_t len, since_ms = w->now_ms;
        uint32_t id =
            sim_store_segment(w->store, page % sim_store_num_segments(w->store), &bytes, &len);
        w->log.line = line_mends_device;
        w->lines_len = 0;
        num_unread_max = 1 + page % 3;
        sim_store_fail_read(w->store, id, page * PAGE + 5);
        CHECK(world_crash_and_boot(w, SIM_CRASH_LOSE));
        CHECK(w->is_ready && w->ready_err == ERR_OK);
        CHECK(strstr(w->lines, "state=unreadable") != NULL && w->now_ms - since_ms < 20000);
        CHECK(strstr(w->lines, "damaged-page") == NULL && strstr(w->lines, "lost") == NULL);
        CHECK(world_settle(w));
        world_turns(w, 300);
        sim_store_counts_of(w->store, &counts);
        CHECK_EQ(counts.num_quarantined, 0);
        CHECK(world_crash_and_boot(w, SIM_CRASH_LOSE));
        WORLD_CHECK(w);
        world_free(w);
    }
}

/* The same while messages are moved out of the oldest segment: they wait for the device. One that
 * never comes back costs what stood there. */
static void a_device_that_fails_while_the_log_moves(void)
{
    for (uint32_t page = 1; page < 40; page += 1 + 2 * TEST_STRIDE) {
        for (uint32_t is_forever = 0; is_forever < 2; is_forever++) {
            struct spool_conf conf = world_small_conf();
            struct world *w = world_new(5, &conf, NULL);
            struct spool_stats stats = {0};
            uint8_t *bytes;
            uint64_t len;
            CHECK(world_boot(w));
            for (uint32_t i = 0; i < 20; i++) {
                CHECK(world_send(w, 9000, 1) != NULL);
                CHECK(world_settle(w));
            }
            w->log.line = line_mends_device;
            num_unread_max = is_forever ? UINT32_MAX : 1 + page % 3;
            w->is_lenient = is_forever;
            for (size_t s = 0; s < sim_store_num_segments(w->store); s++) {
                uint32_t id = sim_store_segment(w->store, s, &bytes, &len);
                if (holds_id(bytes + page * PAGE, w->messages[page * 20 / 64].id) ||
                    holds_id(bytes + page * PAGE, w->messages[page * 20 / 64 + 1].id)) {
                    mark(w, bytes + page * PAGE);
                    sim_store_fail_read(w->store, id, page * PAGE + 5);
                }
            }
            for (uint32_t i = 0; i < 400 && stats.num_recycled < 12; i++) {
                struct model *m = world_send(w, 20000, 1);
                CHECK(world_settle(w));
                CHECK(m == NULL || m->state != MODEL_ACKED || world_outcome(w, m, 0) == ERR_OK);
                CHECK(world_settle(w));
                world_turns(w, 30);
                spool_stats_of(w->sp, &stats);
            }
            CHECK(stats.num_recycled >= 12);
            CHECK(strstr(w->lines, "state=unreadable") != NULL);
            CHECK_EQ(stats.num_lost != 0, is_forever);
            sim_store_fail_read(w->store, 0, UINT64_MAX);
            CHECK(world_crash_and_boot(w, SIM_CRASH_LOSE));
            WORLD_CHECK(w);
            world_free(w);
        }
    }
}

static uint32_t num_of(const char *text, const char *word)
{
    uint32_t num = 0;
    for (text = strstr(text, word); text != NULL; text = strstr(text + 1, word)) {
        num++;
    }
    return num;
}

/* A device that gives nothing at all, however long, has failed and is not damaged: a start waits
 * for it, tells once, and takes nothing for lost. */
static void a_device_that_gives_nothing(void)
{
    for (uint32_t turn = 0, is_over = 0; !is_over; turn++) {
        struct world *w = with_history();
        struct sim_store_counts before, after;
        sim_store_crash(w->store, SIM_CRASH_LOSE);
        sim_store_counts_of(w->store, &before);
        uint64_t since_ms = w->now_ms;
        CHECK(world_open(w));
        w->lines_len = 0;
        world_turns(w, turn); /* so far the start has got when it begins */
        sim_store_counts_of(w->store, &after);
        is_over = after.num_ops != before.num_ops;
        if (!is_over) {
            sim_store_fail_read(w->store, SIM_STORE_ALL, 0);
            world_turns(w, 2000);
            CHECK(!w->is_ready && w->now_ms - since_ms > 300000);
            CHECK_EQ(num_of(w->lines, "device=unreadable"), 1);
        }
        CHECK(strstr(w->lines, "damaged-page") == NULL && strstr(w->lines, "lost") == NULL);
        sim_store_fail_read(w->store, 0, UINT64_MAX);
        for (uint32_t n = 0; n < 20000 && !w->is_ready; n++) {
            CHECK(world_turn(w));
        }
        CHECK(w->is_ready && w->ready_err == ERR_OK);
        CHECK(world_crash_and_boot(w, SIM_CRASH_LOSE));
        WORLD_CHECK(w);
        world_free(w);
    }
}

/* The same while messages are moved out of the oldest segment. */
static void a_device_that_gives_nothing_while_the_log_moves(void)
{
    struct spool_conf conf = world_small_conf();
    struct world *w = world_new(5, &conf, NULL);
    struct spool_stats stats = {0};
    CHECK(world_boot(w));
    for (uint32_t i = 0; i < 20; i++) {
        CHECK(world_send(w, 9000, 1) != NULL);
        CHECK(world_settle(w));
    }
    for (uint32_t i = 0; i < 400 && stats.num_recycled < 12; i++) {
        bool is_given = i < 8 || i >= 100;
        sim_store_fail_read(w->store, is_given ? 0 : SIM_STORE_ALL, is_given ? UINT64_MAX : 0);
        world_send(w, 20000, 1);
        world_turns(w, 300);
        for (uint32_t k = 20; k < w->num_messages; k++) {
            struct model *m = &w->messages[k];
            CHECK(m->state != MODEL_ACKED || m->submitted[0] || world_outcome(w, m, 0) == ERR_OK);
            CHECK(m->state !=
                  MODEL_COMMITTING); /* each is told yes or no, however long that lasts */
        }
        w->now_ms += 5000;
        world_turns(w, 300);
        spool_stats_of(w->sp, &stats);
    }
    CHECK(stats.num_recycled >= 12);
    CHECK_EQ(num_of(w->lines, "device=unreadable"), 1);
    CHECK_EQ(stats.num_lost, 0);
    CHECK(world_crash_and_boot(w, SIM_CRASH_LOSE));
    WORLD_CHECK(w);
    world_free(w);
}

/* One message in a spool of one segment of the log. */
static struct world *with_one_message(void)
{
    struct spool_conf conf = world_small_conf();
    struct world *w = world_new(3, &conf, NULL);
    CHECK(world_boot(w));
    CHECK(world_send(w, 5000, 1) != NULL);
    CHECK(world_settle(w));
    return w;
}

/* What was forged is read, moved and put aside, and read once more. */
static void start_twice(struct world *w)
{
    for (int i = 0; i < 2; i++) {
        sim_store_kill(w->store);
        CHECK(world_boot(w));
        CHECK(w->is_ready && w->ready_err == ERR_OK && w->messages[0].is_found);
        CHECK(world_settle(w));
        world_turns(w, 300);
    }
}

/* The bytes of the log's segment, and of another; its head. */
static uint8_t *find_log(struct world *w, struct spool_head *head, uint8_t **out_other)
{
    uint8_t *log = NULL;
    struct spool_page_head page;
    struct slice records;
    for (size_t s = 0; s < sim_store_num_segments(w->store); s++) {
        uint8_t *bytes;
        uint64_t len;
        struct spool_head h;
        (void)sim_store_segment(w->store, s, &bytes, &len);
        CHECK(spool_head_decode(slice_make(bytes, PAGE), &h));
        if (spool_page_open(slice_make(bytes + PAGE, PAGE), h.nonce, h.generation, 1, &page,
                            &records)) {
            CHECK(log == NULL);
            log = bytes;
            *head = h;
        } else {
            *out_other = bytes;
        }
    }
    CHECK(log != NULL);
    return log;
}

/* Behind the last page of the log one more, with a right sum, that holds these records. Its number.
 */
static uint32_t forge_page(uint8_t *log, const struct spool_head *head, struct spool_page_head page,
                           struct slice records)
{
    struct spool_page_head last;
    struct slice written;
    page.number = 1;
    while (spool_page_open(slice_make(log + page.number * PAGE, PAGE), head->nonce,
                           head->generation, page.number, &last, &written)) {
        page.number++;
    }
    memcpy(log + page.number * PAGE + SPOOL_PAGE_HEAD_LEN, records.ptr, records.len);
    page.used = SPOOL_PAGE_HEAD_LEN + (uint32_t)records.len;
    page.generation = head->generation;
    spool_page_seal(log + page.number * PAGE, PAGE, head->nonce, &page);
    return page.number;
}

/* Another segment of the log, older than that one: its head. */
static struct spool_head forge_older(uint8_t *other, const struct spool_head *log_head)
{
    struct spool_head head = *log_head;
    head.generation = 1;
    spool_head_encode(other, &head);
    spool_head_encode(other + (head.num_pages - 1) * PAGE, &head);
    return head;
}

/* The segment stays one of the log, and its messages are there. */
static void a_page_of_another_kind(void)
{
    struct world *w = with_one_message();
    struct spool_head head;
    uint8_t *other, *log = find_log(w, &head, &other);
    forge_page(log, &head, (struct spool_page_head){.kind = SPOOL_PAGE_DATA}, SLICE_LITERAL(""));
    sim_store_kill(w->store);
    CHECK(world_boot(w));
    CHECK(w->is_ready && w->ready_err == ERR_OK && w->messages[0].is_found);
    CHECK(world_settle(w));
    WORLD_CHECK(w);
    world_free(w);
}

/* An annul and an outcome in front of the commit, in a damaged segment that is written again: they
 * came to stand behind it, and the message was gone with the next recovery. */
static void words_before_the_commit(void)
{
    struct world *w = with_one_message();
    struct spool_head head;
    uint8_t *other = NULL, bytes[100];
    (void)find_log(w, &head, &other);
    struct buf b = buf_make(bytes, sizeof bytes);
    CHECK(spool_annul_put(&b, w->messages[0].id));
    CHECK(spool_outcome_put(&b, w->messages[0].id, 0, 1));
    CHECK(buf_put_string(&b, "no record"));
    head = forge_older(other, &head);
    forge_page(other, &head, (struct spool_page_head){.kind = SPOOL_PAGE_LOG, .durable_pages = 2},
               buf_slice(&b));
    start_twice(w);
    CHECK(strstr(w->lines, "quarantined") != NULL);
    WORLD_CHECK(w);
    world_free(w);
}

/* A commit that is older than the segment with its bytes, whose recycling would not know of it. */
static void a_commit_before_its_bytes(void)
{
    struct world *w = with_one_message();
    struct spool_head head, older;
    uint8_t *other = NULL, bytes[100], *log = find_log(w, &head, &other);
    struct buf b = buf_make(bytes, sizeof bytes);
    CHECK(spool_chunk_put(&b, 77, 0, SLICE_LITERAL("bytes")));
    struct spool_extent x = {.generation = head.generation, .len = 5};
    x.offset = SPOOL_PAGE_HEAD_LEN;
    x.page =
        forge_page(log, &head, (struct spool_page_head){.kind = SPOOL_PAGE_LOG}, buf_slice(&b));
    struct spool_record r = {.type = SPOOL_COMMIT, .id = 77};
    r.commit.version = r.commit.num_extents = 1;
    r.commit.num_rcpts = 1;
    r.commit.total_len = 5;
    b.len = 0;
    CHECK(spool_commit_put(&b, &r, 0) && spool_extent_put(&b, &x));
    older = forge_older(other, &head);
    forge_page(other, &older, (struct spool_page_head){.kind = SPOOL_PAGE_LOG}, buf_slice(&b));
    sim_store_kill(w->store);
    w->lines_len = 0;
    CHECK(world_boot(w));
    CHECK(w->is_ready && w->ready_err == ERR_OK && w->messages[0].is_found);
    CHECK(strstr(w->lines, "message=000000000002d state=lost") != NULL);
    CHECK(world_settle(w));
    WORLD_CHECK(w);
    world_free(w);
}

/* More pages durable than the segment has: hours went by while each was looked for. */
static void pages_that_are_not_there(void)
{
    static const struct spool_page_head page = {.kind = SPOOL_PAGE_LOG,
                                                .durable_pages = UINT32_MAX};
    struct world *w = with_one_message();
    struct spool_head head;
    uint8_t *other, *log = find_log(w, &head, &other);
    forge_page(log, &head, page, SLICE_LITERAL(""));
    sim_store_kill(w->store);
    w->is_lenient = true;
    CHECK(world_boot(w));
    CHECK(w->is_ready && w->ready_err == ERR_OK && w->messages[0].is_found);
    struct model *m = world_send(w, 500, 1);
    CHECK(world_settle(w));
    CHECK(m != NULL && m->state == MODEL_ACKED);
    CHECK_EQ(world_outcome(w, m, 0), ERR_OK);
    CHECK(world_settle(w));
    WORLD_CHECK(w);
    world_free(w);
}

/* A copy that has its bytes nowhere, in a segment that is there or in one whose heads cannot be
 * read: a message that one recovery told of and the next did not find. It is lost at once. */
static void an_extent_of_nothing(void)
{
    for (int has_generation = 0; has_generation <= 1; has_generation++) {
        struct world *w = with_one_message();
        struct spool_head head;
        uint8_t bytes[100], *other = NULL, *log = find_log(w, &head, &other);
        struct buf b = buf_make(bytes, sizeof bytes);
        struct spool_record r = {.type = SPOOL_COMMIT, .id = 77};
        struct spool_extent x = {.page = 1, .offset = SPOOL_PAGE_HEAD_LEN};
        x.generation = has_generation ? head.generation : 0;
        r.commit.version = r.commit.num_extents = 1;
        r.commit.num_rcpts = 1;
        CHECK(spool_commit_put(&b, &r, 0) && spool_extent_put(&b, &x));
        forge_page(log, &head, (struct spool_page_head){.kind = SPOOL_PAGE_LOG}, buf_slice(&b));
        memset(other, 'x', w->conf.segment_len);
        sim_store_kill(w->store);
        w->lines_len = 0;
        CHECK(world_boot(w));
        CHECK(w->is_ready && w->ready_err == ERR_OK && w->messages[0].is_found);
        CHECK(strstr(w->lines, "message=000000000002d state=lost") != NULL);
        CHECK(world_settle(w));
        world_free(w);
    }
}

/* An extent of the log that goes on over many pages, all of them right: moving it elsewhere wrote
 * behind the memory that a page of it has. */
static void an_extent_of_many_pages(void)
{
    struct world *w = with_one_message();
    struct spool_head head;
    uint8_t *other, *log = find_log(w, &head, &other), bytes[PAGE];
    const struct spool_page_head page = {.kind = SPOOL_PAGE_LOG};
    const uint32_t chunk_len = PAGE - SPOOL_PAGE_HEAD_LEN - SPOOL_CHUNK_HEAD_LEN;
    struct spool_extent x = {.generation = head.generation, .offset = SPOOL_PAGE_HEAD_LEN};
    for (; x.len < 50 * chunk_len; x.len += chunk_len) {
        struct buf b = buf_make(bytes, sizeof bytes);
        CHECK(spool_chunk_put(&b, 77, x.len, slice_make(other + PAGE, chunk_len)));
        uint32_t number = forge_page(log, &head, page, buf_slice(&b));
        x.page = x.len == 0 ? number : x.page;
    }
    struct buf b = buf_make(bytes, sizeof bytes);
    struct spool_record r = {.type = SPOOL_COMMIT, .id = 77};
    r.commit.num_extents = 1;
    r.commit.num_rcpts = 1;
    r.commit.total_len = x.len;
    CHECK(spool_commit_put(&b, &r, 0) && spool_extent_put(&b, &x));
    forge_page(log, &head, page, buf_slice(&b));
    sim_store_kill(w->store);
    w->lines_len = 0;
    CHECK(world_boot(w));
    CHECK(w->is_ready && w->ready_err == ERR_OK && w->messages[0].is_found);
    CHECK(strstr(w->lines, "message=000000000002d state=unfinished-or-lost") != NULL);
    CHECK(world_settle(w));
    WORLD_CHECK(w);
    world_free(w);
}

/* What is over stays so, whatever number of recipients a copy has: it came back for one recovery,
 * and was gone in the next. */
static void commits_for_others(void)
{
    static const struct spool_page_head page = {.kind = SPOOL_PAGE_LOG, .durable_pages = 2};
    struct world *w = with_one_message();
    struct spool_head head, older;
    uint8_t *other = NULL, bytes[200], *log = find_log(w, &head, &other);
    struct buf b = buf_make(bytes, sizeof bytes);
    struct spool_record r = {.type = SPOOL_COMMIT, .id = 77};
    r.commit.num_rcpts = 1;
    CHECK(spool_commit_put(&b, &r, 1) && buf_put_u8(&b, 1));
    older = forge_older(other, &head);
    forge_page(other, &older, page, buf_slice(&b));
    b.len = 0;
    r.commit.num_rcpts = 3;
    CHECK(spool_commit_put(&b, &r, 0));
    r.commit.num_rcpts = 1;
    r.commit.version = 1;
    CHECK(spool_commit_put(&b, &r, 0));
    forge_page(log, &head, (struct spool_page_head){.kind = SPOOL_PAGE_LOG}, buf_slice(&b));
    for (int i = 0; i < 2; i++) {
        sim_store_kill(w->store);
        CHECK(world_boot(w));
        CHECK(w->is_ready && w->ready_err == ERR_OK && w->messages[0].is_found);
        WORLD_CHECK(w);
        CHECK(world_settle(w));
    }
    WORLD_CHECK(w);
    world_free(w);
}

/* Pages of copies without a bitmap, for thousands of recipients, of a message that is not there:
 * the words left of them when the bad segment is emptied were longer than they, and were written
 * behind the end of a segment. */
static void copies_that_grow(void)
{
    struct world *w = with_one_message();
    struct spool_page_head page = {.kind = SPOOL_PAGE_LOG};
    struct spool_head head;
    uint8_t *other = NULL, bytes[PAGE - SPOOL_PAGE_HEAD_LEN];
    (void)find_log(w, &head, &other);
    struct buf b = buf_make(bytes, sizeof bytes);
    struct spool_record r = {.type = SPOOL_COMMIT, .id = 77};
    r.commit.version = 1;
    r.commit.num_rcpts = SPOOL_RCPTS_MAX;
    r.commit.total_len = 5;
    while (spool_commit_put(&b, &r, 0)) {
    }
    head = forge_older(other, &head);
    for (page.durable_pages = 1; page.durable_pages < 8; page.durable_pages++) {
        forge_page(other, &head, page, buf_slice(&b));
        b.len -= 5 * spool_commit_len(0, 0); /* others each time, so that none fits by chance */
    }
    start_twice(w);
    CHECK(strstr(w->lines, "message=000000000002d state=lost") != NULL);
    CHECK(strstr(w->lines, "quarantined") != NULL);
    CHECK(strstr(w->lines, "segment=failed") == NULL);
    WORLD_CHECK(w);
    world_free(w);
}

static const struct test_case cases[] = {
    {"a_byte_of_each_page", a_byte_of_each_page},
    {"heads_of_segments", heads_of_segments},
    {"pages_that_cannot_be_read", pages_that_cannot_be_read},
    {"unreadable_last_page", unreadable_last_page},
    {"a_device_that_fails_for_a_while", a_device_that_fails_for_a_while},
    {"a_device_that_fails_while_the_log_moves", a_device_that_fails_while_the_log_moves},
    {"a_device_that_gives_nothing", a_device_that_gives_nothing},
    {"a_device_that_gives_nothing_while_the_log_moves",
     a_device_that_gives_nothing_while_the_log_moves},
    {"rubbish", rubbish},
    {"forged_records", forged_records},
    {"forged_records_in_the_log", forged_records_in_the_log},
    {"a_page_of_another_kind", a_page_of_another_kind},
    {"words_before_the_commit", words_before_the_commit},
    {"a_commit_before_its_bytes", a_commit_before_its_bytes},
    {"pages_that_are_not_there", pages_that_are_not_there},
    {"an_extent_of_nothing", an_extent_of_nothing},
    {"an_extent_of_many_pages", an_extent_of_many_pages},
    {"commits_for_others", commits_for_others},
    {"copies_that_grow", copies_that_grow},
};

TEST_MAIN(cases)

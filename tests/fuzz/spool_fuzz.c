/* Recovery from whatever a disk may hold. The input is a list of orders that write segments, with
 * sums that are right unless an order spoils them, so that it gets behind the first checks.
 * Whatever they hold: recovery comes to an end, what it tells can be read whole, mail is taken
 * after it, and a recovery after the next crash tells the same. */
#include "sim_store.h"
#include "spool_inside.h"

#include "fuzz.h"

#define PAGE_LEN    4096u
#define SEGS_MAX    6
#define PAGES_MAX   12
#define CHUNKS_MAX  64
#define FOUND_MAX   128
#define COMMITS_MAX 256
#define TURNS_MAX   20000

static const struct spool_conf conf = {.segment_len = 256 * 1024,
                                       .size_limit = 10 * 256 * 1024,
                                       .max_messages = 60,
                                       .max_txns = 4,
                                       .max_unsynced = 512 * 1024};

/* --- Segments from orders --- */

struct chunk {
    uint64_t id;
    struct spool_extent at;
};

struct commit {
    uint64_t id, generation;
    uint16_t version;
    uint32_t page;
};

struct maker {
    struct slice in;
    uint8_t (*pages)[PAGE_LEN]; /* of the segment being made */
    uint32_t num_pages, num_made;
    struct spool_head head;
    bool has_head[2];
    struct spool_page_head page_head;
    struct buf page; /* records so far, behind room for the head */
    bool is_page_open, is_sum_wrong;
    struct chunk chunks[CHUNKS_MAX]; /* of all segments */
    uint32_t num_chunks;
    uint32_t random;
    uint64_t generations[SEGS_MAX]; /* of the segments so far */
    struct commit commits[COMMITS_MAX];
    uint32_t num_commits;
};

static uint32_t draw(struct maker *m)
{
    return fuzz_choice(&m->in);
}

/* Small numbers mostly; now and then of all sizes. */
static uint64_t draw_number(struct maker *m)
{
    uint64_t number = draw(m);
    for (unsigned left = number < 0xf8 ? 0 : (unsigned)number & 7u; left != 0; left--) {
        number = number << 8 | draw(m);
    }
    return number;
}

static void end_page(struct maker *m)
{
    if (!m->is_page_open) {
        return;
    }
    m->is_page_open = false;
    m->page_head.used = (uint32_t)m->page.len;
    uint8_t *page = m->pages[m->num_made++];
    spool_page_seal(page, PAGE_LEN, m->head.nonce, &m->page_head);
    page[0] ^= m->is_sum_wrong;
}

static void begin_page(struct maker *m)
{
    end_page(m);
    if (m->num_made + 1 >= m->num_pages) {
        return;
    }
    uint32_t choice = draw(m);
    m->page_head =
        (struct spool_page_head){.kind = (choice & 1) != 0 ? SPOOL_PAGE_DATA : SPOOL_PAGE_LOG,
                                 .generation = m->head.generation,
                                 .number = m->num_made,
                                 .durable_pages = (choice & 2) != 0   ? m->num_made + 1
                                                  : (choice & 4) != 0 ? m->num_made
                                                                      : 0};
    m->is_sum_wrong = (choice & 0xf0) == 0x10;
    if ((choice & 0xf0) == 0x20) {
        m->page_head.number = (uint32_t)draw_number(m);
    } else if ((choice & 0xf0) == 0x30) {
        m->page_head.durable_pages = (uint32_t)draw_number(m);
    } else if ((choice & 0xf0) == 0x40) {
        m->page_head.generation = draw_number(m);
    }
    m->page = buf_make(m->pages[m->num_made], PAGE_LEN);
    m->page.len = SPOOL_PAGE_HEAD_LEN;
    m->is_page_open = true;
}

static void end_segment(struct maker *m, struct sim_store *store, uint32_t id)
{
    const struct port_store *port = sim_store_port(store);
    uint32_t handle;
    struct port_event event;
    end_page(m);
    for (int i = 0; i < 2; i++) {
        if (m->has_head[i]) {
            spool_head_encode(m->pages[i == 0 ? 0 : m->num_pages - 1], &m->head);
        }
    }
    uint64_t len = m->num_pages * (uint64_t)PAGE_LEN;
    MUST(port->create(port->ctx, &handle, id, len, 1) == ERR_OK);
    MUST(sim_store_poll(store, 1, &event, 1) == 1);
    MUST(port->write_at(port->ctx, handle, 0, slice_make(m->pages, len)) == ERR_OK);
    MUST(port->sync(port->ctx, handle, 1) == ERR_OK);
    MUST(sim_store_poll(store, 1, &event, 1) == 1);
    port->close_segment(port->ctx, handle);
}

/* The spool gives none out twice, and a head has a sum. */
static uint64_t draw_generation(struct maker *m, uint32_t id)
{
    uint64_t generation = draw_number(m);
    for (uint32_t i = 0; i < id - 1; i++) {
        if (m->generations[i] == generation) {
            generation++;
            i = UINT32_MAX; /* from the first on again */
        }
    }
    m->generations[id - 1] = generation;
    return generation;
}

static void begin_segment(struct maker *m, uint32_t id)
{
    uint32_t choice = draw(m);
    m->num_pages = 3 + (choice & 15u) % (PAGES_MAX - 2);
    memset(m->pages, 0, (size_t)PAGES_MAX * PAGE_LEN);
    m->num_made = 1;
    m->head = (struct spool_head){
        .page_len = PAGE_LEN, .num_pages = m->num_pages, .generation = draw_generation(m, id)};
    memset(m->head.nonce, (int)(choice & 3), SPOOL_NONCE_LEN);
    m->has_head[0] = (choice & 0x30) != 0x10;
    m->has_head[1] = (choice & 0xc0) != 0x40;
    m->is_page_open = false;
}

static void put_chunk(struct maker *m)
{
    uint64_t id = draw_number(m), offset = draw_number(m);
    uint32_t len = (uint32_t)draw_number(m) % 4096, at = (uint32_t)m->page.len;
    uint8_t bytes[4096];
    for (uint32_t i = 0; i < len; i++) {
        bytes[i] = (uint8_t)(id + offset + i);
    }
    if (m->num_chunks < CHUNKS_MAX &&
        spool_chunk_put(&m->page, id, offset, slice_make(bytes, len))) {
        m->chunks[m->num_chunks++] =
            (struct chunk){id, {m->head.generation, m->num_made, (uint16_t)at, len}};
    }
    m->page.overflow = false;
}

/* What the chunks of that id make, or nearly. */
static void put_commit(struct maker *m)
{
    struct spool_record r = {.type = SPOOL_COMMIT, .id = draw_number(m)};
    uint32_t choice = draw(m);
    uint8_t bitmap[16];
    size_t bitmap_len = (choice & 4) != 0 ? draw(m) % sizeof bitmap : 0;
    uint64_t skew = (choice & 8) != 0 ? draw_number(m) : 0;
    for (size_t i = 0; i < bitmap_len; i++) {
        bitmap[i] = (uint8_t)draw(m);
    }
    r.commit.version = (uint16_t)(choice & 3);
    r.commit.num_rcpts = (choice & 16) != 0 ? (uint32_t)draw_number(m) : 1;
    r.commit.received_s = choice;
    for (uint32_t i = 0; i < m->num_chunks; i++) {
        bool is_its = m->chunks[i].id == r.id;
        r.commit.num_extents = (uint16_t)(r.commit.num_extents + is_its);
        r.commit.total_len += is_its ? m->chunks[i].at.len : 0;
    }
    r.commit.total_len += (choice & 32) != 0 ? skew : 0;
    r.commit.envelope_len = (uint32_t)r.commit.total_len / 2;
    if (spool_commit_len(r.commit.num_extents, bitmap_len) > buf_room(&m->page)) {
        return;
    }
    spool_commit_put(&m->page, &r, bitmap_len);
    if (m->num_commits < COMMITS_MAX) {
        m->commits[m->num_commits++] =
            (struct commit){r.id, m->head.generation, (uint16_t)r.commit.version, m->num_made};
    }
    for (uint32_t i = 0; i < m->num_chunks; i++) {
        struct spool_extent x = m->chunks[i].at;
        if (m->chunks[i].id != r.id) {
            continue;
        }
        x.page += (choice & 64) != 0 ? (uint32_t)skew : 0;
        x.offset = (uint16_t)(x.offset + ((choice & 128) != 0 ? skew : 0));
        x.len += (choice & 0xe0) == 0x20 ? (uint32_t)skew : 0;
        spool_extent_put(&m->page, &x);
    }
    buf_put(&m->page, slice_make(bitmap, bitmap_len));
}

static void put_record(struct maker *m, uint32_t order)
{
    uint8_t byte;
    if (!m->is_page_open) {
        return;
    }
    switch (order) {
    case 2:
    case 3:
        put_chunk(m);
        break;
    case 4:
    case 5:
        put_commit(m);
        break;
    case 6: {
        uint64_t id = draw_number(m);
        spool_outcome_put(&m->page, id, (uint32_t)draw_number(m), 1);
        break;
    }
    case 7:
        spool_annul_put(&m->page, draw_number(m));
        break;
    case 8: {
        uint64_t generation = draw_number(m);
        spool_seal_put(&m->page, generation, (uint32_t)draw_number(m));
        break;
    }
    case 9:
        spool_settled_put(&m->page, draw_number(m));
        break;
    case 10: /* any bytes */
        for (uint32_t left = draw(m) & 31u; left != 0 && slice_u8(&m->in, &byte); left--) {
            (void)buf_put_u8(&m->page, byte);
        }
        break;
    case 11: /* another value somewhere in the page */
        m->page.ptr[SPOOL_PAGE_HEAD_LEN + draw_number(m) % (PAGE_LEN - SPOOL_PAGE_HEAD_LEN)] =
            (uint8_t)draw(m);
        break;
    default:
        break;
    }
    m->page.overflow = false;
}

static void make_segments(struct maker *m, struct sim_store *store)
{
    for (uint32_t id = 1; id <= SEGS_MAX && m->in.len != 0; id++) {
        begin_segment(m, id);
        while (m->in.len != 0) {
            uint32_t order = draw(m) & 15u;
            if (order == 0) {
                break;
            }
            if (order == 1) {
                begin_page(m);
            } else {
                put_record(m, order);
            }
        }
        end_segment(m, store, id);
    }
}

/* The log has no lower version of a message behind a higher (SPOOL.md): what says that the message
 * is over may stand before the lower one, and be gone sooner. */
static bool is_disordered(const struct maker *m, uint64_t id)
{
    for (uint32_t i = 0; i < m->num_commits; i++) {
        for (uint32_t k = 0; k < m->num_commits; k++) {
            const struct commit *a = &m->commits[i], *b = &m->commits[k];
            bool is_behind = a->generation > b->generation ||
                             (a->generation == b->generation && a->page >= b->page && i > k);
            if (a->id == id && b->id == id && is_behind && a->version < b->version) {
                return true;
            }
        }
    }
    return false;
}

/* --- A server on them --- */

struct found {
    uint64_t id, sum, final_sum;
    bool is_met; /* by the recovery after */
};

struct server {
    struct sim_store *store;
    struct spool *sp;
    uint8_t *memory;
    uint64_t now_ms, random;
    struct spool_event last; /* SPOOL_READY, SPOOL_COMMITTED or SPOOL_OUTCOME_DURABLE */
    bool has_last;
    uint32_t num_found;
    struct found found[FOUND_MAX];
};

static enum err fill(void *ctx, uint8_t *into, size_t len)
{
    struct server *s = ctx;
    for (size_t i = 0; i < len; i++) {
        into[i] = (uint8_t)((s->random = s->random * 6364136223846793005u + 1) >> 56);
    }
    return ERR_OK;
}

static void line(void *ctx, enum log_level level, struct slice text)
{
    (void)ctx;
    (void)level;
    if (getenv("FUZZ_LOG") != NULL) {
        fprintf(stderr, "%.*s\n", (int)text.len, (const char *)text.ptr);
    }
}

/* Every byte of it, in pieces. */
static uint64_t read_whole(struct server *s, uint64_t id, uint64_t total_len)
{
    uint8_t piece[5000];
    uint64_t offset = 0, sum = 1;
    size_t len;
    enum err err;
    while ((err = spool_read(s->sp, &len, id, offset, piece, 1 + id % sizeof piece)) == ERR_OK) {
        MUST(len != 0);
        sum = fuzz_sum(sum, slice_make(piece, len));
        offset += len;
    }
    MUST(err == ERR_EOF && offset == total_len);
    return sum;
}

static void on_found(struct server *s, const struct spool_event *ev)
{
    MUST(s->num_found < FOUND_MAX);
    for (uint32_t i = 0; i < s->num_found; i++) {
        MUST(s->found[i].id != ev->id);
    }
    struct found *f = &s->found[s->num_found++];
    struct spool_meta meta;
    MUST(spool_meta_of(s->sp, ev->id, &meta) == ERR_OK);
    MUST(meta.num_rcpts >= 1 && meta.num_rcpts <= SPOOL_RCPTS_MAX);
    *f = (struct found){.id = ev->id, .sum = read_whole(s, ev->id, meta.total_len), .final_sum = 1};
    bool is_all_final = true;
    for (uint32_t i = 0; i < meta.num_rcpts; i++) {
        uint8_t is_final = spool_is_final(s->sp, ev->id, i);
        f->final_sum = fuzz_sum(f->final_sum, slice_make(&is_final, 1));
        is_all_final = is_all_final && is_final != 0;
    }
    MUST(!is_all_final);
}

static void turn(struct server *s)
{
    struct port_event events[8];
    struct spool_event ev;
    size_t num = sim_store_poll(s->store, s->now_ms, events, 8);
    for (size_t i = 0; i < num; i++) {
        spool_done(s->sp, events[i].tag, events[i].err);
    }
    bool has_more = spool_step(s->sp, s->now_ms);
    while (spool_next_event(s->sp, &ev)) {
        if (ev.kind == SPOOL_FOUND) {
            on_found(s, &ev);
        } else if (ev.kind != SPOOL_ROOM) {
            s->last = ev;
            s->has_last = true;
        }
    }
    s->now_ms += !has_more && num == 0 ? 10 : 0;
}

static enum err wait_for(struct server *s, enum spool_event_kind kind)
{
    s->has_last = false;
    for (uint32_t i = 0; !s->has_last; i++) {
        MUST(i < TURNS_MAX);
        turn(s);
    }
    MUST(s->last.kind == kind);
    return s->last.err;
}

static enum err boot(struct server *s)
{
    static struct port_entropy entropy = {NULL, fill};
    static const struct port_log log = {NULL, line};
    size_t len = spool_memory_len(&conf, PAGE_LEN);
    s->memory = calloc(1, len);
    struct arena arena = {s->memory, len, 0};
    s->num_found = 0;
    entropy.ctx = s;
    MUST(spool_open(&s->sp, &conf, sim_store_port(s->store), &entropy, &log, &arena) == ERR_OK);
    return wait_for(s, SPOOL_READY);
}

/* A message, and the outcome of its one recipient. False: it was refused. */
static bool send(struct server *s, bool ends)
{
    uint64_t txn;
    uint8_t bytes[6000];
    struct spool_meta meta = {.envelope_len = 5, .num_rcpts = 1};
    memset(bytes, 7, sizeof bytes);
    enum err err = ERR_BUSY;
    for (int i = 0; i < 300 && err != ERR_OK; i++) {
        err = spool_begin(s->sp, &txn, sizeof bytes);
        turn(s);
    }
    if (err != ERR_OK) {
        return false;
    }
    uint64_t id = spool_txn_id(s->sp, txn);
    err = ERR_AGAIN;
    for (int i = 0; i < 300 && err == ERR_AGAIN; i++) {
        err = spool_append(s->sp, txn, slice_make(bytes, sizeof bytes));
        turn(s);
    }
    if (err != ERR_OK || spool_commit(s->sp, txn, &meta) != ERR_OK) {
        spool_abort(s->sp, txn);
        return false;
    }
    MUST(wait_for(s, SPOOL_COMMITTED) == ERR_OK);
    if (!ends) {
        s->found[s->num_found++] = (struct found){.id = id, .sum = read_whole(s, id, sizeof bytes)};
        return true;
    }
    MUST(spool_reserve_outcome(s->sp) == ERR_OK);
    MUST(spool_outcome(s->sp, id, 0, 1) == ERR_OK);
    MUST(wait_for(s, SPOOL_OUTCOME_DURABLE) == ERR_OK && s->last.is_last);
    return true;
}

/* All that the recovery before found, and no more; but where it found damage, and segments were put
 * aside, a message may come back of which only those said that it is over. */
static void must_be_same(const struct maker *m, const struct found *before, uint32_t num_before,
                         bool is_damaged, const struct server *s)
{
    struct sim_store_counts counts;
    uint32_t num_wanted = 0, num_there = 0;
    sim_store_counts_of(s->store, &counts);
    is_damaged = is_damaged || counts.num_quarantined != 0;
    for (uint32_t k = 0; k < s->num_found; k++) {
        num_there += !is_disordered(m, s->found[k].id);
    }
    for (uint32_t i = 0; i < num_before; i++) {
        bool is_there = false;
        if (is_disordered(m, before[i].id)) {
            continue;
        }
        num_wanted++;
        for (uint32_t k = 0; k < s->num_found; k++) {
            is_there = is_there ||
                       (s->found[k].id == before[i].id && s->found[k].sum == before[i].sum &&
                        (before[i].final_sum == 0 || s->found[k].final_sum == before[i].final_sum));
        }
        MUST(is_there);
    }
    MUST(num_there == num_wanted || is_damaged);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static struct server s;
    static struct found before[FOUND_MAX];
    static struct maker m;
    static uint8_t pages[PAGES_MAX][PAGE_LEN];
    memset(&m, 0, sizeof m);
    m.in = slice_make(data, len);
    m.pages = pages;
    memset(&s, 0, sizeof s);
    uint8_t choice = fuzz_choice(&m.in);
    s.store = sim_store_new(&(struct sim_store_conf){.seed = choice + 1u});
    make_segments(&m, s.store);
    s.now_ms = 10;
    if (boot(&s) == ERR_OK) {
        bool takes_mail = (choice & 4) == 0 || send(&s, true);
        takes_mail = takes_mail && ((choice & 8) == 0 || send(&s, false));
        MUST(takes_mail || s.num_found > 8 || m.num_chunks > 8);
        uint32_t num_before = s.num_found;
        bool is_damaged = s.sp->stats.num_damaged_pages != 0;
        memcpy(before, s.found, sizeof before);
        free(s.memory);
        if ((choice & 3) == 3) {
            sim_store_kill(s.store);
        } else {
            sim_store_crash(s.store, (enum sim_crash)(choice & 3));
        }
        MUST(boot(&s) == ERR_OK);
        must_be_same(&m, before, num_before, is_damaged, &s);
    }
    free(s.memory);
    sim_store_free(s.store);
    return 0;
}

/* A simulated log store: see sim_store.h. */
#include "sim_store.h"

#include <stdlib.h>

/* Where a segment's name stands, in memory and on the medium. */
enum name { NAME_ABSENT, NAME_LIVE, NAME_ASIDE };

/* A write that is not durable. Limbo: a sync that covered it has failed, no later one covers it. */
struct pending {
    struct pending *next;
    uint64_t number;
    uint64_t offset;
    size_t len;
    bool is_limbo;
    uint8_t bytes[];
};

struct segment {
    uint32_t id;
    bool is_open;
    bool is_made; /* its create has completed */
    enum name name;
    enum name durable_name;
    uint64_t len;
    uint8_t *seen;    /* what reads give */
    uint8_t *durable; /* what the medium has */
    struct pending *first, *last;
};

enum op_kind { OP_SYNC, OP_CREATE };

struct op {
    struct op *next;
    enum op_kind kind;
    uint64_t due_ms;
    uint64_t tag;
    size_t segment;
    uint64_t up_to; /* a sync covers writes with numbers up to this */
    enum err err;
};

/* Operations nth to nth + num - 1 from when it was set fail. */
struct fault {
    uint64_t nth;
    uint64_t num;
    enum err with;
};

struct sim_store {
    struct port_store port;
    struct sim_store_conf conf;
    struct sim_store_counts counts;
    uint64_t random;
    uint64_t now_ms;
    uint64_t busy_until_ms;
    uint64_t write_number;
    uint64_t off_at_op;
    bool is_off;
    struct fault sync_fault, write_fault, create_fault;
    uint32_t bad_read_id;
    uint64_t bad_read_offset;
    struct segment *segments;
    size_t num_segments;
    struct op *first_op, *last_op;
};

static uint64_t random_next(struct sim_store *st)
{
    uint64_t z = st->random += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static bool fault_hits(struct fault *f)
{
    if (f->num == 0) {
        return false;
    }
    if (f->nth > 1) {
        f->nth--;
        return false;
    }
    f->num--;
    return true;
}

/* Counts an operation; false if the power is off or goes at this very one. */
static bool power_holds(struct sim_store *st)
{
    if (st->is_off) {
        return false;
    }
    st->counts.num_ops++;
    if (st->off_at_op != 0 && st->counts.num_ops >= st->off_at_op) {
        st->is_off = true;
    }
    return !st->is_off;
}

static struct segment *find(struct sim_store *st, uint32_t id)
{
    for (size_t i = 0; i < st->num_segments; i++) {
        if (st->segments[i].id == id && st->segments[i].name == NAME_LIVE) {
            return &st->segments[i];
        }
    }
    return NULL;
}

static struct segment *by_handle(struct sim_store *st, uint32_t handle)
{
    if (handle == 0 || handle > st->num_segments || !st->segments[handle - 1].is_open) {
        return NULL;
    }
    return &st->segments[handle - 1];
}

static void add_op(struct sim_store *st, const struct op *what, uint64_t takes_ms)
{
    struct op *op = malloc(sizeof *op);
    if (op == NULL) {
        abort();
    }
    *op = *what;
    uint64_t begin_ms = st->busy_until_ms > st->now_ms ? st->busy_until_ms : st->now_ms;
    op->due_ms = st->busy_until_ms = begin_ms + takes_ms;
    op->next = NULL;
    if (st->last_op != NULL) {
        st->last_op->next = op;
    } else {
        st->first_op = op;
    }
    st->last_op = op;
}

static enum err store_open(void *ctx)
{
    struct sim_store *st = ctx;
    return st->is_off ? ERR_IO : ERR_OK;
}

static enum err store_list(void *ctx, uint32_t *out_ids, size_t cap, size_t *out_num)
{
    struct sim_store *st = ctx;
    *out_num = 0;
    for (size_t i = 0; i < st->num_segments; i++) {
        if (st->segments[i].name == NAME_LIVE) {
            if (*out_num < cap) {
                out_ids[*out_num] = st->segments[i].id;
            }
            ++*out_num;
        }
    }
    return st->is_off ? ERR_IO : ERR_OK;
}

static uint64_t used_len(const struct sim_store *st)
{
    uint64_t len = 0;
    for (size_t i = 0; i < st->num_segments; i++) {
        if (st->segments[i].name != NAME_ABSENT) {
            len += st->segments[i].len;
        }
    }
    return len;
}

static uint64_t store_free_len(void *ctx)
{
    struct sim_store *st = ctx;
    uint64_t used = used_len(st);
    if (st->conf.capacity_len == 0) {
        return UINT64_MAX;
    }
    return used < st->conf.capacity_len ? st->conf.capacity_len - used : 0;
}

static enum err store_create(void *ctx, uint32_t *out_handle, uint32_t id, uint64_t len,
                             uint64_t tag)
{
    struct sim_store *st = ctx;
    if (find(st, id) != NULL) {
        return ERR_EXISTS;
    }
    if (!power_holds(st)) {
        return ERR_IO;
    }
    st->counts.num_creates++;
    enum err err = fault_hits(&st->create_fault) ? st->create_fault.with : ERR_OK;
    if (err == ERR_OK && store_free_len(st) < len) {
        err = ERR_NO_SPACE;
    }
    st->counts.num_create_faults += err != ERR_OK;
    if (err == ERR_NO_HANDLE) {
        return err; /* the file is not even begun */
    }
    struct segment *grown = realloc(st->segments, (st->num_segments + 1) * sizeof *grown);
    if (grown == NULL) {
        return ERR_NO_MEMORY;
    }
    st->segments = grown;
    struct segment *sg = &st->segments[st->num_segments++];
    *sg = (struct segment){.id = id, .name = NAME_ABSENT, .is_open = true};
    if (err == ERR_OK) {
        sg->name = NAME_LIVE;
        sg->len = len;
        sg->seen = calloc(1, (size_t)len);
        sg->durable = calloc(1, (size_t)len);
        if (sg->seen == NULL || sg->durable == NULL) {
            abort();
        }
    }
    *out_handle = (uint32_t)st->num_segments;
    struct op op = {.kind = OP_CREATE, .tag = tag, .segment = st->num_segments - 1, .err = err};
    add_op(st, &op, st->conf.create_ms);
    return ERR_OK;
}

static enum err store_open_segment(void *ctx, uint32_t *out_handle, uint64_t *out_len, uint32_t id)
{
    struct sim_store *st = ctx;
    struct segment *sg = find(st, id);
    if (sg == NULL || st->is_off) {
        return st->is_off ? ERR_IO : ERR_ABSENT;
    }
    sg->is_open = true;
    *out_handle = (uint32_t)(sg - st->segments) + 1;
    *out_len = sg->len;
    return ERR_OK;
}

static enum err store_write_at(void *ctx, uint32_t handle, uint64_t offset, struct slice bytes)
{
    struct sim_store *st = ctx;
    struct segment *sg = by_handle(st, handle);
    if (sg == NULL || offset > sg->len || bytes.len > sg->len - offset) {
        return ERR_WRONG_STATE;
    }
    bool holds = power_holds(st);
    enum err err = holds ? ERR_OK : ERR_IO;
    if (holds && fault_hits(&st->write_fault)) {
        err = st->write_fault.with;
        st->counts.num_write_faults++;
    }
    /* The write at which the power goes, or that fails, may have got anywhere: it is kept like any
     * unsynced one. */
    if (st->is_off && (st->off_at_op == 0 || st->counts.num_ops > st->off_at_op)) {
        return ERR_IO;
    }
    struct pending *p = malloc(sizeof *p + bytes.len);
    if (p == NULL) {
        abort();
    }
    *p = (struct pending){.number = ++st->write_number, .offset = offset, .len = bytes.len};
    memcpy(p->bytes, bytes.ptr, bytes.len);
    p->is_limbo = err != ERR_OK;
    if (sg->last != NULL) {
        sg->last->next = p;
    } else {
        sg->first = p;
    }
    sg->last = p;
    if (err == ERR_OK) {
        memcpy(sg->seen + offset, bytes.ptr, bytes.len);
        st->counts.num_writes++;
        st->counts.written_len += bytes.len;
    }
    if (st->is_off) {
        st->off_at_op = 0; /* later ones leave nothing */
    }
    return err;
}

static enum err store_read_at(void *ctx, size_t *out_len, uint32_t handle, uint64_t offset,
                              uint8_t *into, size_t cap)
{
    struct sim_store *st = ctx;
    struct segment *sg = by_handle(st, handle);
    *out_len = 0;
    if (sg == NULL) {
        return ERR_WRONG_STATE;
    }
    if (st->is_off) {
        return ERR_IO;
    }
    if (offset >= sg->len) {
        return ERR_EOF;
    }
    size_t len = sg->len - offset < cap ? (size_t)(sg->len - offset) : cap;
    if (st->bad_read_id == SIM_STORE_ALL ||
        (sg->id == st->bad_read_id && st->bad_read_offset >= offset &&
         st->bad_read_offset < offset + len)) {
        return ERR_IO;
    }
    memcpy(into, sg->seen + offset, len);
    *out_len = len;
    return ERR_OK;
}

static enum err store_sync(void *ctx, uint32_t handle, uint64_t tag)
{
    struct sim_store *st = ctx;
    struct segment *sg = by_handle(st, handle);
    if (sg == NULL) {
        return ERR_WRONG_STATE;
    }
    if (!power_holds(st)) {
        return ERR_IO;
    }
    st->counts.num_syncs++;
    struct op op = {.kind = OP_SYNC,
                    .tag = tag,
                    .segment = (size_t)(sg - st->segments),
                    .up_to = st->write_number,
                    .err = fault_hits(&st->sync_fault) ? ERR_IO : ERR_OK};
    st->counts.num_sync_faults += op.err != ERR_OK;
    add_op(st, &op, st->conf.sync_ms);
    return ERR_OK;
}

static void store_close_segment(void *ctx, uint32_t handle)
{
    struct segment *sg = by_handle(ctx, handle);
    if (sg != NULL) {
        sg->is_open = false;
    }
}

static enum err rename_to(struct sim_store *st, uint32_t id, enum name name)
{
    struct segment *sg = find(st, id);
    if (sg == NULL) {
        return ERR_ABSENT;
    }
    if (!power_holds(st)) {
        return ERR_IO;
    }
    sg->name = name;
    return ERR_OK;
}

static enum err store_quarantine(void *ctx, uint32_t id)
{
    struct sim_store *st = ctx;
    enum err err = rename_to(st, id, NAME_ASIDE);
    st->counts.num_quarantined += err == ERR_OK;
    return err;
}

static enum err store_remove(void *ctx, uint32_t id)
{
    return rename_to(ctx, id, NAME_ABSENT);
}

struct sim_store *sim_store_new(const struct sim_store_conf *conf)
{
    struct sim_store *st = calloc(1, sizeof *st);
    if (st == NULL) {
        return NULL;
    }
    st->conf = *conf;
    if (st->conf.write_unit_len == 0) {
        st->conf.write_unit_len = 4096;
    }
    st->random = conf->seed;
    st->bad_read_offset = UINT64_MAX;
    st->port = (struct port_store){.ctx = st,
                                   .write_unit_len = st->conf.write_unit_len,
                                   .overwrites_in_place = !conf->not_in_place,
                                   .open = store_open,
                                   .list = store_list,
                                   .create = store_create,
                                   .open_segment = store_open_segment,
                                   .write_at = store_write_at,
                                   .read_at = store_read_at,
                                   .sync = store_sync,
                                   .close_segment = store_close_segment,
                                   .quarantine = store_quarantine,
                                   .remove = store_remove,
                                   .free_len = store_free_len};
    return st;
}

static void drop_pending(struct segment *sg)
{
    while (sg->first != NULL) {
        struct pending *next = sg->first->next;
        free(sg->first);
        sg->first = next;
    }
    sg->last = NULL;
}

static void drop_ops(struct sim_store *st)
{
    while (st->first_op != NULL) {
        struct op *next = st->first_op->next;
        free(st->first_op);
        st->first_op = next;
    }
    st->last_op = NULL;
    st->busy_until_ms = st->now_ms;
}

void sim_store_free(struct sim_store *st)
{
    if (st == NULL) {
        return;
    }
    drop_ops(st);
    for (size_t i = 0; i < st->num_segments; i++) {
        drop_pending(&st->segments[i]);
        free(st->segments[i].seen);
        free(st->segments[i].durable);
    }
    free(st->segments);
    free(st);
}

const struct port_store *sim_store_port(struct sim_store *st)
{
    return &st->port;
}

/* What has become durable lies over older writes that a failed sync left in limbo. */
static void cover(struct segment *sg, const struct pending *p)
{
    for (struct pending *q = sg->first; q != NULL; q = q->next) {
        uint64_t from = p->offset > q->offset ? p->offset : q->offset;
        uint64_t to =
            p->offset + p->len < q->offset + q->len ? p->offset + p->len : q->offset + q->len;
        if (q->is_limbo && q->number < p->number && from < to) {
            memcpy(q->bytes + (from - q->offset), p->bytes + (from - p->offset),
                   (size_t)(to - from));
        }
    }
}

/* The writes of a sync reach the medium, or are forgotten as "clean" by a system that failed to
 * write them. */
static void end_sync(struct sim_store *st, struct segment *sg, const struct op *op)
{
    struct pending **at = &sg->first;
    struct pending *last = NULL;
    while (*at != NULL) {
        struct pending *p = *at;
        if (p->number > op->up_to || p->is_limbo) {
            last = p;
            at = &p->next;
        } else if (op->err == ERR_OK) {
            memcpy(sg->durable + p->offset, p->bytes, p->len);
            cover(sg, p);
            *at = p->next;
            free(p);
        } else {
            p->is_limbo = true;
            if ((random_next(st) & 3) ==
                0) { /* the page is dropped, and comes back as the medium has it */
                memcpy(sg->seen + p->offset, sg->durable + p->offset, p->len);
            }
            last = p;
            at = &p->next;
        }
    }
    sg->last = last;
}

static void end_create(struct sim_store *st, struct segment *sg, const struct op *op)
{
    if (op->err != ERR_OK) {
        return;
    }
    sg->is_made = true;
    for (size_t i = 0; i < st->num_segments; i++) { /* the directory is synced */
        struct segment *other = &st->segments[i];
        if (other->is_made || other->name != NAME_LIVE) {
            other->durable_name = other->name;
        }
    }
}

size_t sim_store_poll(struct sim_store *st, uint64_t now_ms, struct port_event *events, size_t cap)
{
    size_t num = 0;
    st->now_ms = now_ms;
    while (num < cap && st->first_op != NULL && st->first_op->due_ms <= now_ms) {
        if (!power_holds(st)) {
            return num;
        }
        struct op *op = st->first_op;
        st->first_op = op->next;
        if (op->next == NULL) {
            st->last_op = NULL;
        }
        struct segment *sg = &st->segments[op->segment];
        if (op->kind == OP_SYNC) {
            end_sync(st, sg, op);
        } else {
            end_create(st, sg, op);
        }
        events[num++] = (struct port_event){.kind = PORT_DONE, .err = op->err, .tag = op->tag};
        free(op);
    }
    return num;
}

uint64_t sim_store_next_ms(const struct sim_store *st)
{
    return st->first_op != NULL ? st->first_op->due_ms : UINT64_MAX;
}

void sim_store_set_power_off(struct sim_store *st, uint64_t at_op)
{
    st->off_at_op = at_op;
}

bool sim_store_is_off(const struct sim_store *st)
{
    return st->is_off;
}

/* A write that the power cut hit: each unit new, old, cut in the middle, or spoilt as a whole. */
static void tear(struct sim_store *st, struct segment *sg, const struct pending *p)
{
    uint64_t unit = st->conf.write_unit_len;
    uint64_t end = p->offset + p->len;
    for (uint64_t at = p->offset; at < end;) {
        uint64_t unit_begin = at / unit * unit;
        uint64_t to = unit_begin + unit < end ? unit_begin + unit : end;
        size_t len = (size_t)(to - at);
        const uint8_t *from = p->bytes + (at - p->offset);
        switch (random_next(st) % (p->is_limbo ? 3 : 5)) { /* no write is under way in limbo */
        case 0:
        case 1:
            memcpy(sg->durable + at, from, len);
            break;
        case 2:
            break;
        case 3:
            memcpy(sg->durable + at, from, (size_t)(random_next(st) % len));
            break;
        default: { /* all of the unit, also what the write did not touch */
            uint64_t whole = unit_begin + unit < sg->len ? unit : sg->len - unit_begin;
            for (uint64_t i = 0; i < whole; i++) {
                sg->durable[unit_begin + i] = (uint8_t)random_next(st);
            }
            break;
        }
        }
        at = to;
    }
}

static void settle_writes(struct sim_store *st, struct segment *sg, enum sim_crash how)
{
    for (struct pending *p = sg->first; p != NULL; p = p->next) {
        uint64_t dice = random_next(st) % 3;
        if (how == SIM_CRASH_KEEP || (how == SIM_CRASH_MIXED && dice == 0)) {
            memcpy(sg->durable + p->offset, p->bytes, p->len);
            st->counts.num_kept++;
        } else if (how == SIM_CRASH_MIXED && dice == 1) {
            tear(st, sg, p);
            st->counts.num_torn++;
        } else {
            st->counts.num_lost++;
        }
    }
    /* What is seen is what the medium has, wherever the two may differ: whole units around writes.
     */
    uint64_t unit = st->conf.write_unit_len;
    for (struct pending *p = sg->first; p != NULL; p = p->next) {
        uint64_t begin = p->offset / unit * unit;
        uint64_t end = (p->offset + p->len + unit - 1) / unit * unit;
        end = end < sg->len ? end : sg->len;
        memcpy(sg->seen + begin, sg->durable + begin, (size_t)(end - begin));
    }
    drop_pending(sg);
}

static void settle_name(struct sim_store *st, struct segment *sg, enum sim_crash how)
{
    bool kept = how == SIM_CRASH_KEEP || (how == SIM_CRASH_MIXED && (random_next(st) & 1) != 0);
    if (!kept) {
        sg->name = sg->durable_name;
    }
    sg->durable_name = sg->name;
    if (!sg->is_made && sg->name == NAME_LIVE) { /* cut in the middle of its making: any length */
        uint64_t unit = st->conf.write_unit_len;
        if (how != SIM_CRASH_KEEP) {
            sg->len = random_next(st) % (sg->len / unit + 1) * unit;
        }
        sg->is_made = true;
    }
}

/* A name is one file's: what was made anew under it is there, or what was removed is back. */
static bool is_replaced(const struct sim_store *st, size_t i)
{
    for (size_t later = i + 1; later < st->num_segments; later++) {
        if (st->segments[later].id == st->segments[i].id && st->segments[later].name == NAME_LIVE &&
            st->segments[i].name == NAME_LIVE) {
            return true;
        }
    }
    return false;
}

void sim_store_crash(struct sim_store *st, enum sim_crash how)
{
    drop_ops(st);
    for (size_t i = 0; i < st->num_segments; i++) {
        settle_writes(st, &st->segments[i], how);
        settle_name(st, &st->segments[i], how);
    }
    for (size_t i = 0; i < st->num_segments; i++) {
        struct segment *sg = &st->segments[i];
        sg->is_open = false;
        if (is_replaced(st, i)) {
            sg->name = sg->durable_name = NAME_ABSENT;
        }
        if (sg->name == NAME_ABSENT) {
            free(sg->seen);
            free(sg->durable);
            sg->seen = sg->durable = NULL;
            sg->len = 0;
        }
    }
    st->is_off = false;
    st->off_at_op = 0;
}

void sim_store_kill(struct sim_store *st)
{
    drop_ops(st);
    for (size_t i = 0; i < st->num_segments; i++) {
        st->segments[i].is_open = false;
    }
    st->is_off = false;
    st->off_at_op = 0;
}

void sim_store_fail_sync(struct sim_store *st, uint64_t nth, uint64_t num)
{
    st->sync_fault = (struct fault){nth, num, ERR_IO};
}

void sim_store_fail_write(struct sim_store *st, uint64_t nth, uint64_t num, enum err with)
{
    st->write_fault = (struct fault){nth, num, with};
}

void sim_store_fail_create(struct sim_store *st, uint64_t nth, uint64_t num, enum err with)
{
    st->create_fault = (struct fault){nth, num, with};
}

void sim_store_fail_read(struct sim_store *st, uint32_t id, uint64_t offset)
{
    st->bad_read_id = id;
    st->bad_read_offset = offset;
}

void sim_store_set_sync_ms(struct sim_store *st, uint64_t sync_ms)
{
    st->conf.sync_ms = sync_ms;
}

void sim_store_set_capacity(struct sim_store *st, uint64_t capacity_len)
{
    st->conf.capacity_len = capacity_len;
}

size_t sim_store_num_strays(const struct sim_store *st)
{
    size_t num = 0;
    for (size_t i = 0; i < st->num_segments; i++) {
        num += st->segments[i].is_open && st->segments[i].name != NAME_LIVE;
    }
    return num;
}

size_t sim_store_num_segments(const struct sim_store *st)
{
    size_t num = 0;
    for (size_t i = 0; i < st->num_segments; i++) {
        num += st->segments[i].name == NAME_LIVE;
    }
    return num;
}

uint32_t sim_store_segment(const struct sim_store *st, size_t position, uint8_t **out_bytes,
                           uint64_t *out_len)
{
    for (size_t i = 0; i < st->num_segments; i++) {
        if (st->segments[i].name == NAME_LIVE && position-- == 0) {
            *out_bytes = st->segments[i].seen;
            *out_len = st->segments[i].len;
            return st->segments[i].id;
        }
    }
    return 0;
}

void sim_store_flip(struct sim_store *st, uint32_t id, uint64_t offset, uint8_t mask)
{
    struct segment *sg = find(st, id);
    if (sg != NULL && offset < sg->len) {
        sg->seen[offset] ^= mask;
        sg->durable[offset] ^= mask;
    }
}

void sim_store_counts_of(const struct sim_store *st, struct sim_store_counts *out)
{
    *out = st->counts;
}

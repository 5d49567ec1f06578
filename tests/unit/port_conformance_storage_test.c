/* What port.h promises of what is kept, held against every port: the same cases run on the
 * machine's own port, in a directory below build/, and on the simulated one. */
#include "port_conformance.h"

/* --- The log store --- */

static uint32_t create_segment(uint32_t id)
{
    uint32_t handle = 0;
    CHECK_EQ(port->store.create(port->store.ctx, &handle, id, SEGMENT_LEN, 20), ERR_OK);
    CHECK(handle != 0);
    CHECK_EQ(done(20), ERR_OK);
    return handle;
}

static bool is_listed(uint32_t id, size_t *out_num)
{
    uint32_t ids[64];
    CHECK_EQ(port->store.list(port->store.ctx, ids, 64, out_num), ERR_OK);
    for (size_t i = 0; i < *out_num && i < 64; i++) {
        if (ids[i] == id) {
            return true;
        }
    }
    return false;
}

static void store_keeps_segments(void)
{
    const struct port_store *s = &port->store;
    size_t num, num_before, len;
    uint32_t handle, other;
    uint64_t segment_len;
    uint8_t bytes[16] = {1};
    CHECK(s->write_unit_len >= 512 && (s->write_unit_len & (s->write_unit_len - 1)) == 0);
    CHECK(s->free_len(s->ctx) >= SEGMENT_LEN);
    CHECK(!is_listed(0x2a, &num_before));
    CHECK_EQ(s->open_segment(s->ctx, &other, &segment_len, 0x2a), ERR_ABSENT);
    handle = create_segment(0x2a);
    CHECK(is_listed(0x2a, &num));
    CHECK_EQ(num, num_before + 1);
    CHECK_EQ(s->list(s->ctx, NULL, 0, &num), ERR_OK);
    CHECK_EQ(num, num_before + 1);
    CHECK_EQ(s->create(s->ctx, &other, 0x2a, SEGMENT_LEN, 21), ERR_EXISTS);
    CHECK_EQ(s->read_at(s->ctx, &len, handle, SEGMENT_LEN - 8, bytes, sizeof bytes), ERR_OK);
    CHECK_EQ(len, 8);
    CHECK_EQ(bytes[0], 0);
    CHECK_EQ(s->read_at(s->ctx, &len, handle, SEGMENT_LEN, bytes, sizeof bytes), ERR_EOF);
    CHECK_EQ(s->write_at(s->ctx, handle, 4096, SLICE_LITERAL("record")), ERR_OK);
    CHECK_EQ(s->sync(s->ctx, handle, 22), ERR_OK);
    CHECK_EQ(done(22), ERR_OK);
    s->close_segment(s->ctx, handle);
    CHECK_EQ(s->open_segment(s->ctx, &handle, &segment_len, 0x2a), ERR_OK);
    CHECK_EQ(segment_len, SEGMENT_LEN);
    CHECK_EQ(s->read_at(s->ctx, &len, handle, 4096, bytes, 6), ERR_OK);
    CHECK_TEXT(slice_make(bytes, len), "record");
    s->close_segment(s->ctx, handle);
    CHECK_EQ(s->remove(s->ctx, 0x2a), ERR_OK);
    CHECK(!is_listed(0x2a, &num));
    CHECK_EQ(s->remove(s->ctx, 0x2a), ERR_ABSENT);
}

static void store_completes_each_start_in_order(void)
{
    const struct port_store *s = &port->store;
    uint32_t handles[2] = {create_segment(1), create_segment(2)};
    uint64_t next[2] = {0, 0};
    for (uint64_t i = 0; i < 20; i++) {
        CHECK_EQ(s->write_at(s->ctx, handles[i % 2], i * 4096, SLICE_LITERAL("x")), ERR_OK);
        CHECK_EQ(s->sync(s->ctx, handles[i % 2], 100 + i), ERR_OK);
    }
    size_t num_done = 0;
    for (int round = 0; round < ROUNDS && num_done < 20; round++) {
        struct port_event events[3];
        size_t num = wait_events(events, 3, ROUND_MS);
        for (size_t i = 0; i < num; i++) {
            CHECK_EQ(events[i].kind, PORT_DONE);
            CHECK_EQ(events[i].err, ERR_OK);
            uint64_t which = (events[i].tag - 100) % 2;
            CHECK_EQ(events[i].tag, 100 + which + 2 * next[which]);
            next[which]++;
            num_done++;
        }
    }
    CHECK_EQ(num_done, 20);
    CHECK(!is_reported(119));
    for (uint32_t id = 1; id <= 2; id++) {
        s->close_segment(s->ctx, handles[id - 1]);
        CHECK_EQ(s->remove(s->ctx, id), ERR_OK);
    }
}

/* New segments being made do not hold up the syncs of others. */
static void store_syncs_while_it_creates(void)
{
    const struct port_store *s = &port->store;
    uint32_t handle = create_segment(3), fresh[3];
    for (uint32_t i = 0; i < 3; i++) {
        CHECK_EQ(s->create(s->ctx, &fresh[i], 10 + i, 8 * SEGMENT_LEN, 30 + i), ERR_OK);
    }
    CHECK_EQ(s->sync(s->ctx, handle, 40), ERR_OK);
    uint32_t seen = 0;
    for (int round = 0; round < ROUNDS && seen != 15; round++) {
        struct port_event events[EVENTS];
        size_t num = wait_events(events, EVENTS, ROUND_MS);
        for (size_t i = 0; i < num; i++) {
            CHECK_EQ(events[i].err, ERR_OK);
            seen |= events[i].tag == 40 ? 8u : 1u << (events[i].tag - 30);
        }
    }
    CHECK_EQ(seen, 15);
    s->close_segment(s->ctx, handle);
    CHECK_EQ(s->remove(s->ctx, 3), ERR_OK);
    for (uint32_t i = 0; i < 3; i++) {
        s->close_segment(s->ctx, fresh[i]);
        uint64_t len;
        CHECK_EQ(s->open_segment(s->ctx, &fresh[i], &len, 10 + i), ERR_OK);
        CHECK_EQ(len, 8 * SEGMENT_LEN);
        s->close_segment(s->ctx, fresh[i]);
        CHECK_EQ(s->remove(s->ctx, 10 + i), ERR_OK);
    }
}

static void store_quarantines(void)
{
    const struct port_store *s = &port->store;
    size_t num;
    for (int i = 0; i < 3; i++) {
        s->close_segment(s->ctx, create_segment(7));
        CHECK_EQ(s->quarantine(s->ctx, 7), ERR_OK);
        CHECK(!is_listed(7, &num));
    }
    CHECK_EQ(s->quarantine(s->ctx, 7), ERR_ABSENT);
}

/* --- Maildirs --- */

static enum err deliver(const char *name, const char *text, uint64_t tag)
{
    const struct port_mailbox *m = &port->mailbox;
    uint32_t handle;
    enum err e = m->begin(m->ctx, &handle, mail_dir, name);
    if (e == ERR_OK) {
        e = m->write(m->ctx, handle, slice_of_string(text));
        CHECK_EQ(e, ERR_OK);
        e = m->commit(m->ctx, handle, tag);
    }
    return e;
}

static enum err find(const char *name)
{
    const struct port_mailbox *m = &port->mailbox;
    enum err e = m->find(m->ctx, mail_dir, name, 50);
    return e == ERR_OK ? done(50) : e;
}

static void mailbox_delivers(void)
{
    CHECK_EQ(find("1.a"), ERR_ABSENT);
    CHECK_EQ(deliver("1.a", "mail\n", 51), ERR_OK);
    CHECK_EQ(done(51), ERR_OK);
    CHECK_EQ(find("1.a"), ERR_OK);
    CHECK_EQ(find("1."), ERR_ABSENT);
    CHECK_EQ(find("1.aa"), ERR_ABSENT);
    read_mail("1.a", "S");
    CHECK_EQ(find("1.a"), ERR_OK);
    CHECK_EQ(find("1"), ERR_ABSENT);
}

static void mailbox_drops(void)
{
    const struct port_mailbox *m = &port->mailbox;
    uint32_t handle;
    CHECK_EQ(m->begin(m->ctx, &handle, mail_dir, "2.a"), ERR_OK);
    CHECK_EQ(m->write(m->ctx, handle, SLICE_LITERAL("half a ma")), ERR_OK);
    CHECK_EQ(find("2.a"), ERR_ABSENT);
    m->abort(m->ctx, handle);
    CHECK_EQ(find("2.a"), ERR_ABSENT);
    CHECK_EQ(deliver("2.a", "whole\n", 52), ERR_OK);
    CHECK_EQ(done(52), ERR_OK);
    CHECK_EQ(find("2.a"), ERR_OK);
}

static void mailbox_bounds_what_is_open(void)
{
    const struct port_mailbox *m = &port->mailbox;
    uint32_t handles[1000], num = 0;
    enum err e = ERR_OK;
    while (num < 1000) {
        char name[16];
        snprintf(name, sizeof name, "3.%u", num);
        e = m->begin(m->ctx, &handles[num], mail_dir, name);
        if (e != ERR_OK) {
            break;
        }
        num++;
    }
    CHECK_EQ(e, ERR_NO_HANDLE);
    CHECK(num >= 16);
    /* All committed at once, all are told of. */
    for (uint32_t i = 0; i < num; i++) {
        CHECK_EQ(m->commit(m->ctx, handles[i], 1000 + i), ERR_OK);
    }
    uint32_t num_done = 0;
    uint64_t sum = 0;
    for (int round = 0; round < ROUNDS && num_done < num; round++) {
        struct port_event events[EVENTS];
        size_t num_events = wait_events(events, EVENTS, ROUND_MS);
        for (size_t i = 0; i < num_events; i++) {
            CHECK_EQ(events[i].err, ERR_OK);
            sum += events[i].tag - 1000;
            num_done++;
        }
    }
    CHECK_EQ(num_done, num);
    CHECK_EQ(sum, (uint64_t)num * (num - 1) / 2);
    CHECK_EQ(find("3.0"), ERR_OK);
    CHECK_EQ(deliver("3.last", "", 53), ERR_OK);
    CHECK_EQ(done(53), ERR_OK);
}

static void mailbox_takes_plain_names_only(void)
{
    const struct port_mailbox *m = &port->mailbox;
    static const char *const wrong[] = {"",    "a/b",   "../x", ".hidden",
                                        "a b", "a:2,S", "a\n",  "\xc3\xa9"};
    uint32_t handle;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        CHECK_EQ(m->begin(m->ctx, &handle, mail_dir, wrong[i]), ERR_MALFORMED);
        CHECK_EQ(m->find(m->ctx, mail_dir, wrong[i], 54), ERR_MALFORMED);
    }
    char name[202];
    memset(name, 'a', sizeof name);
    name[201] = '\0';
    CHECK_EQ(m->begin(m->ctx, &handle, mail_dir, name), ERR_MALFORMED);
    name[200] = '\0';
    CHECK_EQ(deliver(name, "x", 55), ERR_OK);
    CHECK_EQ(done(55), ERR_OK);
    CHECK_EQ(find(name), ERR_OK);
    CHECK_EQ(deliver("A-z_0=9+.x", "x", 56), ERR_OK);
    CHECK_EQ(done(56), ERR_OK);
    static char deep[2000];
    memset(deep, 'd', sizeof deep - 1);
    CHECK_EQ(m->begin(m->ctx, &handle, deep, "x"), ERR_TOO_BIG);
}

/* --- Small files --- */

static void files_are_read_whole(void)
{
    const struct port_files *f = &port->files;
    uint8_t bytes[8];
    size_t len = 7;
    CHECK_EQ(f->read(f->ctx, &len, conf_file, bytes, sizeof bytes), ERR_ABSENT);
    CHECK_EQ(len, 0);
    CHECK_EQ(f->can_replace(f->ctx, conf_file), ERR_OK);
    CHECK_EQ(f->replace(f->ctx, conf_file, SLICE_LITERAL("12345678")), ERR_OK);
    CHECK_EQ(f->can_replace(f->ctx, conf_file), ERR_OK);
    CHECK_EQ(f->read(f->ctx, &len, conf_file, bytes, sizeof bytes), ERR_OK);
    CHECK_TEXT(slice_make(bytes, len), "12345678");
    CHECK_EQ(f->read(f->ctx, &len, conf_file, bytes, 7), ERR_TOO_BIG);
    CHECK_EQ(f->replace(f->ctx, conf_file, SLICE_LITERAL("")), ERR_OK);
    CHECK_EQ(f->read(f->ctx, &len, conf_file, bytes, sizeof bytes), ERR_OK);
    CHECK_EQ(len, 0);
}

static bool same_stamp(const struct port_stamp *a, const struct port_stamp *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

static void files_have_stamps(void)
{
    const struct port_files *f = &port->files;
    struct port_stamp absent = {{0}}, one, other;
    char path[256];
    snprintf(path, sizeof path, "%s.stamped", conf_file);
    CHECK_EQ(f->stamp(f->ctx, &one, path), ERR_OK);
    CHECK(same_stamp(&one, &absent));
    CHECK_EQ(f->replace(f->ctx, path, SLICE_LITERAL("one")), ERR_OK);
    CHECK_EQ(f->stamp(f->ctx, &one, path), ERR_OK);
    CHECK(!same_stamp(&one, &absent));
    CHECK_EQ(f->stamp(f->ctx, &other, path), ERR_OK);
    CHECK(same_stamp(&one, &other));
    for (int i = 0; i < 20; i++) {
        CHECK_EQ(f->replace(f->ctx, path, SLICE_LITERAL("two")), ERR_OK);
        CHECK_EQ(f->stamp(f->ctx, &other, path), ERR_OK);
        CHECK(!same_stamp(&one, &other));
        one = other;
    }
}

/* --- The outbox --- */

static bool lets_another(const void *arg, uint32_t uid, uint64_t mark)
{
    return uid != *(const uint32_t *)arg || mark != 0;
}

static enum err take(bool (*may)(const void *arg, uint32_t uid, uint64_t mark),
                     struct port_user *out_owner, uint64_t *out_len)
{
    const struct port_outbox *o = &port->outbox;
    enum err e;
    do {
        e = o->take(o->ctx, may, &own_uid, out_owner, out_len);
    } while (e == ERR_AGAIN);
    return e;
}

static void outbox_gives_files(void)
{
    const struct port_outbox *o = &port->outbox;
    struct port_user owner = {7, "x"};
    uint64_t len = 0;
    uint8_t bytes[8];
    size_t got;
    CHECK_EQ(o->open(o->ctx, "/nonexistent/outbox", ""), ERR_ABSENT);
    CHECK_EQ(o->open(o->ctx, outbox_dir, ""), ERR_OK);
    CHECK_EQ(o->open(o->ctx, outbox_dir, ""), ERR_OK);
    CHECK_EQ(take(NULL, &owner, &len), ERR_EOF);
    leave("12345");
    CHECK_EQ(take(lets_another, &owner, &len), ERR_EOF);
    for (int round = 0; round < 2; round++) {
        CHECK_EQ(take(NULL, &owner, &len), ERR_OK);
        CHECK_EQ(owner.uid, own_uid);
        CHECK_EQ(len, 5);
        CHECK_EQ(o->read(o->ctx, &got, bytes, 3), ERR_OK);
        CHECK_TEXT(slice_make(bytes, got), "123");
        CHECK_EQ(o->read(o->ctx, &got, bytes, 0), ERR_OK);
        CHECK_EQ(o->read(o->ctx, &got, bytes, 2), ERR_OK);
        CHECK_TEXT(slice_make(bytes, got), "45");
        CHECK(o->read(o->ctx, &got, bytes, 1) != ERR_OK);
        CHECK_EQ(o->end(o->ctx, round == 1), ERR_OK);
        CHECK_EQ(take(NULL, &owner, &len), ERR_EOF);
    }
}

#define CASES(X)                           \
    X(store_keeps_segments)                \
    X(store_completes_each_start_in_order) \
    X(store_syncs_while_it_creates)        \
    X(store_quarantines)                   \
    X(mailbox_delivers)                    \
    X(mailbox_drops)                       \
    X(mailbox_bounds_what_is_open)         \
    X(mailbox_takes_plain_names_only)      \
    X(files_are_read_whole)                \
    X(files_have_stamps)                   \
    X(outbox_gives_files)

CASES(DEFINE)

static const struct test_case cases[] = {CASES(LIST)};

int main(int argc, char **argv)
{
    return conformance_main(cases, sizeof cases / sizeof cases[0], argc, argv);
}

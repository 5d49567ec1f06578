/* The envelope: entries survive the way through blocks, cut and forged bytes are told apart, those
 * of version 1 are still read, the pool comes back whole. */
#include "envelope.h"

#include "test.h"
#include "text.h"

static uint8_t memory[64 * 1024];

static const struct envelope_params no_params;

static void fresh(struct pool *blocks, uint32_t num)
{
    struct arena a = {memory, sizeof memory, 0};
    memset(memory, 0, sizeof memory);
    CHECK(pool_init(blocks, &a, sizeof(struct envelope_block), num));
}

static size_t flatten(const struct envelope *e, uint8_t *out)
{
    size_t len = 0;
    for (const struct envelope_block *b = e->first; b != NULL; b = b->next) {
        memcpy(out + len, b->bytes, b->len);
        len += b->len;
    }
    return len;
}

static struct envelope_rcpt local_rcpt(const char *user, const char *address)
{
    return (struct envelope_rcpt){.user = slice_of_string(user),
                                  .address = slice_of_string(address)};
}

static enum err add_user(struct envelope *e, struct pool *blocks, int number)
{
    char user[16];
    snprintf(user, sizeof user, "user%d", number);
    struct envelope_rcpt rcpt = local_rcpt(user, "somebody@example.org");
    return envelope_add(e, blocks, &rcpt, NULL);
}

static void check_user(const struct envelope_entry *entry, int number)
{
    char user[16];
    snprintf(user, sizeof user, "user%d", number);
    CHECK_EQ(entry->kind, ENVELOPE_RCPT);
    CHECK_TEXT(entry->rcpt.user, user);
    CHECK_TEXT(entry->rcpt.address, "somebody@example.org");
    CHECK(entry->rcpt.orcpt.len == 0 && entry->rcpt.notify == 0);
}

static void test_round_trip(void)
{
    struct pool blocks;
    struct envelope e;
    fresh(&blocks, 32);
    CHECK_EQ(envelope_begin(&e, &blocks, SLICE_LITERAL("alarm@cam.example"), &no_params), ERR_OK);
    for (int i = 0; i < 100; i++) {
        CHECK_EQ(add_user(&e, &blocks, i), ERR_OK);
    }
    struct envelope_rcpt again = local_rcpt("user7", "x@y");
    CHECK_EQ(envelope_add(&e, &blocks, &again, NULL), ERR_EXISTS);
    CHECK_EQ(e.num_rcpts, 100);

    static uint8_t flat[16 * 1024];
    struct slice in = slice_make(flat, flatten(&e, flat));
    CHECK_EQ(in.len, e.len);
    struct envelope_entry entry, walked;
    struct envelope_cursor cursor = {.block = e.first};
    CHECK_EQ(envelope_read(&in, &entry), ERR_OK);
    CHECK(entry.kind == ENVELOPE_VERSION && entry.version == 2);
    CHECK_EQ(envelope_read(&in, &entry), ERR_OK);
    CHECK_EQ(entry.kind, ENVELOPE_SENDER);
    CHECK_TEXT(entry.sender, "alarm@cam.example");
    CHECK(envelope_next(&cursor, &walked) && walked.kind == ENVELOPE_VERSION);
    CHECK(envelope_next(&cursor, &walked) && walked.kind == ENVELOPE_SENDER);
    for (int i = 0; i < 100; i++) {
        CHECK_EQ(envelope_read(&in, &entry), ERR_OK);
        check_user(&entry, i);
        CHECK(envelope_next(&cursor, &walked));
        check_user(&walked, i);
    }
    CHECK(slice_is_empty(in));
    CHECK(!envelope_next(&cursor, &walked));
    envelope_clear(&e, &blocks);
    CHECK_EQ(blocks.num_used, 0);
    CHECK_EQ(e.num_rcpts, 0);
    CHECK(e.first == NULL && e.last == NULL);
}

static void test_parameters(void)
{
    static const uint8_t wanted[] = "V\0\1\2"
                                    "F\0\3a@b"
                                    "P\0\x0c\x07\4QQ+1uid:42"
                                    "T\0\10\0\0\0\1\0\0\0\2"
                                    "N\0\x15\0\x0c\0\5c@d.erfc822;x@y.z";
    uint8_t bytes[200];
    struct buf b = buf_make(bytes, sizeof bytes);
    struct envelope_params params = {ENVELOPE_8BITMIME | ENVELOPE_SMTPUTF8 | ENVELOPE_RET_FULL,
                                     SLICE_LITERAL("QQ+1"), SLICE_LITERAL("uid:42"),
                                     UINT64_C(0x100000002)};
    struct envelope_entry entry = {
        .kind = ENVELOPE_RCPT,
        .rcpt = {.address = SLICE_LITERAL("c@d.e"),
                 .orcpt = SLICE_LITERAL("rfc822;x@y.z"),
                 .notify = ENVELOPE_FAILURE | ENVELOPE_DELAY},
    };
    CHECK_EQ(envelope_put_head(&b, SLICE_LITERAL("a@b"), &params), ERR_OK);
    CHECK_EQ(envelope_put(&b, &entry), ERR_OK);
    CHECK(slice_equal(buf_slice(&b), slice_make(wanted, sizeof wanted - 1)));

    struct slice in = buf_slice(&b);
    CHECK_EQ(envelope_read(&in, &entry), ERR_OK);
    CHECK_EQ(envelope_read(&in, &entry), ERR_OK);
    CHECK_TEXT(entry.sender, "a@b");
    CHECK_EQ(envelope_read(&in, &entry), ERR_OK);
    CHECK_EQ(entry.kind, ENVELOPE_PARAMS);
    CHECK_EQ(entry.params.flags, params.flags);
    CHECK_TEXT(entry.params.envid, "QQ+1");
    CHECK_TEXT(entry.params.login, "uid:42");
    CHECK_EQ(envelope_read(&in, &entry), ERR_OK);
    CHECK(entry.kind == ENVELOPE_RUNNING && entry.params.running_s == params.running_s);
    CHECK_EQ(envelope_read(&in, &entry), ERR_OK);
    CHECK_EQ(entry.kind, ENVELOPE_RCPT);
    CHECK(entry.rcpt.user.len == 0 && entry.rcpt.notify == 12);
    CHECK_TEXT(entry.rcpt.address, "c@d.e");
    CHECK_TEXT(entry.rcpt.orcpt, "rfc822;x@y.z");
    CHECK(slice_is_empty(in));

    /* All that fits or nothing. */
    for (size_t cap = 0; cap < sizeof wanted - 1; cap++) {
        b = buf_make(bytes, cap);
        entry.kind = ENVELOPE_RCPT;
        enum err err = envelope_put_head(&b, SLICE_LITERAL("a@b"), &params);
        size_t len = b.len;
        CHECK(err == ERR_OK || len == 0);
        CHECK_EQ(envelope_put(&b, &entry), len + 24 <= cap ? ERR_OK : ERR_TOO_BIG);
        CHECK_EQ(b.len, len + 24 <= cap ? len + 24 : len);
    }
}

/* A spool of an earlier release. */
static void test_version_1(void)
{
    static const uint8_t old[] = "V\0\1\1F\0\3a@bR\0\6\3bob@x";
    struct slice in = slice_make(old, sizeof old - 1);
    struct envelope_entry entry;
    CHECK_EQ(envelope_read(&in, &entry), ERR_OK);
    CHECK(entry.kind == ENVELOPE_VERSION && entry.version == 1);
    CHECK_EQ(envelope_read(&in, &entry), ERR_OK);
    CHECK_TEXT(entry.sender, "a@b");
    CHECK_EQ(envelope_read(&in, &entry), ERR_OK);
    CHECK_EQ(entry.kind, ENVELOPE_RCPT);
    CHECK_TEXT(entry.rcpt.user, "bob");
    CHECK_TEXT(entry.rcpt.address, "@x");
    CHECK(entry.rcpt.notify == 0 && entry.rcpt.orcpt.len == 0);
    CHECK(slice_is_empty(in));
}

/* Entries of every length, so that heads and bodies are cut by the ends of blocks everywhere. */
static void test_across_blocks(void)
{
    static uint8_t text[ENVELOPE_ORCPT_MAX];
    struct pool blocks;
    struct envelope e;
    struct envelope_entry entry;
    memset(text, 'x', sizeof text);
    fresh(&blocks, 100);
    CHECK_EQ(envelope_begin(&e, &blocks, SLICE_LITERAL(""), &no_params), ERR_OK);
    for (uint8_t i = 0; i < 100; i++) {
        struct envelope_rcpt rcpt = {.address = slice_make(&i, 1),
                                     .orcpt = slice_make(text, i * 5u),
                                     .notify = ENVELOPE_NEVER};
        CHECK_EQ(envelope_add(&e, &blocks, &rcpt, NULL), ERR_OK);
        CHECK_EQ(envelope_add(&e, &blocks, &rcpt, NULL), ERR_EXISTS);
    }
    struct envelope_cursor cursor = {.block = e.first};
    CHECK(envelope_next(&cursor, &entry) && envelope_next(&cursor, &entry));
    for (uint8_t i = 0; i < 100; i++) {
        CHECK(envelope_next(&cursor, &entry));
        CHECK(entry.rcpt.address.len == 1 && entry.rcpt.address.ptr[0] == i);
        CHECK(slice_equal(entry.rcpt.orcpt, slice_make(text, i * 5u)));
    }
    CHECK(!envelope_next(&cursor, &entry));
    CHECK(!envelope_find(&e, ENVELOPE_PARAMS, &cursor, &entry));
    CHECK(envelope_find(&e, ENVELOPE_RCPT, &cursor, &entry) && entry.rcpt.address.ptr[0] == 0);
    envelope_clear(&e, &blocks);
    CHECK_EQ(blocks.num_used, 0);
}

static void test_mark_and_cut(void)
{
    struct pool blocks;
    struct envelope e;
    static uint8_t before[8192], after[8192];
    fresh(&blocks, 20);
    CHECK_EQ(envelope_begin(&e, &blocks, SLICE_LITERAL("a@b"), &no_params), ERR_OK);
    for (int num = 0; num < 40; num++) {
        struct envelope_mark mark = envelope_mark(&e);
        uint32_t num_used = blocks.num_used;
        size_t len = flatten(&e, before);
        for (int i = 0; i < num; i++) {
            CHECK_EQ(add_user(&e, &blocks, 100 + i), ERR_OK);
        }
        envelope_cut(&e, &blocks, &mark);
        CHECK_EQ(blocks.num_used, num_used);
        CHECK_EQ(flatten(&e, after), len);
        CHECK(memcmp(before, after, len) == 0 && e.len == len);
        CHECK_EQ(e.num_rcpts, (uint32_t)num);
        CHECK_EQ(add_user(&e, &blocks, num), ERR_OK);
    }
    envelope_clear(&e, &blocks);
    CHECK_EQ(blocks.num_used, 0);
}

static void test_pool_exhausted(void)
{
    struct pool blocks;
    struct envelope e;
    fresh(&blocks, 1);
    CHECK_EQ(envelope_begin(&e, &blocks, SLICE_LITERAL(""), &no_params), ERR_OK);
    enum err err = ERR_OK;
    uint32_t len = 0, num = 0;
    for (int i = 0; i < 100 && err == ERR_OK; i++) {
        len = e.len;
        num = e.num_rcpts;
        err = add_user(&e, &blocks, i);
    }
    CHECK_EQ(err, ERR_NO_MEMORY);
    CHECK_EQ(e.len, len);
    CHECK_EQ(e.num_rcpts, num);
    CHECK_EQ(e.last->len, len);
    envelope_clear(&e, &blocks);

    struct pool none;
    fresh(&none, 0);
    CHECK_EQ(envelope_begin(&e, &none, SLICE_LITERAL("a@b"), &no_params), ERR_NO_MEMORY);
    CHECK(e.first == NULL);
}

static void test_cut_and_forged(void)
{
    struct envelope_entry entry;
    static const uint8_t whole[] = {'N', 0, 12, 3, 'b', 'o', 'b', 2, 0, 2, '@', 'x', 'r', ';', 'y'};
    for (size_t len = 0; len < sizeof whole; len++) {
        struct slice in = slice_make(whole, len);
        CHECK_EQ(envelope_read(&in, &entry), ERR_AGAIN);
        CHECK_EQ(in.len, len);
    }
    struct slice in = slice_make(whole, sizeof whole);
    CHECK_EQ(envelope_read(&in, &entry), ERR_OK);
    static const uint8_t forged[][8] = {
        {'X', 0, 1, 1, 0, 0},       /* no such kind */
        {'V', 0, 1, 3, 0, 0},       /* a later format */
        {'V', 0, 1, 0, 0, 0},       /* no format */
        {'V', 0, 2, 1, 0, 0},       /* bytes behind the version */
        {'R', 0, 1, 9, 0, 0},       /* a user longer than its entry */
        {'R', 0, 0, 0, 0, 0},       /* no user length at all */
        {'N', 0, 1, 9, 0, 0},       /* the same in the later form */
        {'N', 0, 2, 0, 0, 0},       /* no address length */
        {'N', 0, 4, 0, 0, 0, 9, 0}, /* an address longer than its entry */
        {'P', 0, 0, 0, 0, 0},       /* no flags */
        {'P', 0, 2, 0, 1, 0},       /* an ENVID longer than its entry */
        {'T', 0, 4, 0, 0, 0, 1, 0}, /* too short a number */
        {'F', 0xff, 0xff, 0, 0, 0}, /* longer than any entry */
    };
    for (size_t i = 0; i < sizeof forged / sizeof forged[0]; i++) {
        in = slice_make(forged[i], sizeof forged[i]);
        CHECK_EQ(envelope_read(&in, &entry), ERR_MALFORMED);
        CHECK_EQ(in.len, sizeof forged[i]);
    }
}

static void test_too_big(void)
{
    struct pool blocks;
    struct envelope e;
    static uint8_t big[ENVELOPE_ENTRY_MAX + 1];
    struct slice whole = slice_make(big, sizeof big), some = SLICE_LITERAL("a@b");
    struct envelope_params params = no_params;
    fresh(&blocks, 4);
    CHECK_EQ(envelope_begin(&e, &blocks, whole, &params), ERR_TOO_BIG);
    params.envid = slice_make(big, 256);
    CHECK_EQ(envelope_begin(&e, &blocks, some, &params), ERR_TOO_BIG);
    CHECK_EQ(blocks.num_used, 0);
    CHECK_EQ(envelope_begin(&e, &blocks, some, &no_params), ERR_OK);
    struct envelope_rcpt rcpts[] = {{.user = slice_make(big, 300), .address = some},
                                    {.address = whole},
                                    {.address = some, .orcpt = whole}};
    for (size_t i = 0; i < 3; i++) {
        CHECK_EQ(envelope_add(&e, &blocks, &rcpts[i], NULL), ERR_TOO_BIG);
    }
    CHECK_EQ(e.num_rcpts, 0);
    /* The longest of all. */
    struct envelope_rcpt longest = {.user = slice_make(big, 64),
                                    .address = slice_make(big, 254),
                                    .orcpt = slice_make(big, ENVELOPE_ORCPT_MAX)};
    CHECK_EQ(envelope_add(&e, &blocks, &longest, NULL), ERR_OK);
    envelope_clear(&e, &blocks);
}

static bool is_same_domain(const void *ctx, struct slice address, struct slice other)
{
    struct slice local, domain, other_domain;
    text_cut_last(address, '@', &local, &domain);
    text_cut_last(other, '@', &local, &other_domain);
    return *(const bool *)ctx && slice_equal(domain, other_domain);
}

/* A user with a mailbox for each domain is a recipient for each; others' are never asked about. */
static void test_mailboxes(void)
{
    static const bool is_asked = true;
    static const struct envelope_mailboxes mailboxes = {&is_asked, is_same_domain};
    struct envelope_rcpt rcpts[] = {
        local_rcpt("joe", "joe@a.example"), local_rcpt("joe", "joe@b.example"),
        local_rcpt("ann", "ann@a.example"), local_rcpt("", "joe@a.example")};
    struct pool blocks;
    struct envelope e;
    fresh(&blocks, 4);
    CHECK_EQ(envelope_begin(&e, &blocks, SLICE_LITERAL(""), &no_params), ERR_OK);
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < sizeof rcpts / sizeof rcpts[0]; i++) {
            CHECK_EQ(envelope_add(&e, &blocks, &rcpts[i], &mailboxes),
                     round == 0 ? ERR_OK : ERR_EXISTS);
        }
    }
    struct envelope_rcpt alias = local_rcpt("joe", "info@b.example");
    CHECK_EQ(envelope_add(&e, &blocks, &alias, &mailboxes), ERR_EXISTS);
    CHECK_EQ(e.num_rcpts, 4);
    envelope_clear(&e, &blocks);
    CHECK_EQ(blocks.num_used, 0);
}

static const struct test_case cases[] = {
    {"mailboxes", test_mailboxes},
    {"round-trip", test_round_trip},
    {"parameters", test_parameters},
    {"version-1", test_version_1},
    {"across-blocks", test_across_blocks},
    {"mark-and-cut", test_mark_and_cut},
    {"pool-exhausted", test_pool_exhausted},
    {"cut-and-forged", test_cut_and_forged},
    {"too-big", test_too_big},
};

TEST_MAIN(cases)

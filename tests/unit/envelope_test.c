/* The envelope: entries survive the way through blocks, cut and forged bytes are told apart, the
 * pool comes back whole. */
#include "envelope.h"

#include "test.h"

static uint8_t memory[64 * 1024];

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

static void test_round_trip(void)
{
    struct pool blocks;
    struct envelope e;
    struct slice sender;
    fresh(&blocks, 32);
    CHECK_EQ(envelope_begin(&e, &blocks, SLICE_LITERAL("alarm@cam.example")), ERR_OK);
    for (int i = 0; i < 100; i++) {
        char user[16];
        snprintf(user, sizeof user, "user%d", i);
        CHECK_EQ(envelope_add(&e, &blocks, slice_of_string(user), SLICE_LITERAL("U@example.org")),
                 ERR_OK);
    }
    CHECK_EQ(envelope_add(&e, &blocks, SLICE_LITERAL("user7"), SLICE_LITERAL("x@y")), ERR_EXISTS);
    CHECK_EQ(e.num_rcpts, 100);
    CHECK(envelope_sender(&e, &sender));
    CHECK_TEXT(sender, "alarm@cam.example");

    static uint8_t flat[16 * 1024];
    struct slice in = slice_make(flat, flatten(&e, flat));
    CHECK_EQ(in.len, e.len);
    struct envelope_entry entry;
    CHECK_EQ(envelope_read(&in, &entry), ERR_OK);
    CHECK_EQ(entry.kind, ENVELOPE_VERSION);
    CHECK_EQ(envelope_read(&in, &entry), ERR_OK);
    CHECK_EQ(entry.kind, ENVELOPE_SENDER);
    for (int i = 0; i < 100; i++) {
        char user[16];
        snprintf(user, sizeof user, "user%d", i);
        CHECK_EQ(envelope_read(&in, &entry), ERR_OK);
        CHECK_EQ(entry.kind, ENVELOPE_RCPT);
        CHECK_TEXT(entry.user, user);
        CHECK_TEXT(entry.address, "U@example.org");
    }
    CHECK(slice_is_empty(in));
    envelope_clear(&e, &blocks);
    CHECK_EQ(blocks.num_used, 0);
    CHECK_EQ(e.num_rcpts, 0);
}

static void test_pool_exhausted(void)
{
    struct pool blocks;
    struct envelope e;
    fresh(&blocks, 1);
    CHECK_EQ(envelope_begin(&e, &blocks, SLICE_LITERAL("")), ERR_OK);
    enum err err = ERR_OK;
    uint32_t len = 0, num = 0;
    for (int i = 0; i < 100 && err == ERR_OK; i++) {
        char user[16];
        snprintf(user, sizeof user, "user%d", i);
        len = e.len;
        num = e.num_rcpts;
        err =
            envelope_add(&e, &blocks, slice_of_string(user), SLICE_LITERAL("somebody@example.org"));
    }
    CHECK_EQ(err, ERR_NO_MEMORY);
    CHECK_EQ(e.len, len);
    CHECK_EQ(e.num_rcpts, num);
    envelope_clear(&e, &blocks);

    struct pool none;
    fresh(&none, 0);
    CHECK_EQ(envelope_begin(&e, &none, SLICE_LITERAL("a@b")), ERR_NO_MEMORY);
    CHECK(e.first == NULL);
}

static void test_cut_and_forged(void)
{
    struct envelope_entry entry;
    static const uint8_t whole[] = {'R', 0, 6, 3, 'b', 'o', 'b', '@', 'x'};
    for (size_t len = 0; len < sizeof whole; len++) {
        struct slice in = slice_make(whole, len);
        CHECK_EQ(envelope_read(&in, &entry), ERR_AGAIN);
        CHECK_EQ(in.len, len);
    }
    struct slice in = slice_make(whole, sizeof whole);
    CHECK_EQ(envelope_read(&in, &entry), ERR_OK);
    static const uint8_t forged[][6] = {
        {'X', 0, 1, 1, 0, 0},       /* no such kind */
        {'V', 0, 1, 2, 0, 0},       /* a later format */
        {'V', 0, 2, 1, 0, 0},       /* bytes behind the version */
        {'R', 0, 1, 9, 0, 0},       /* a user longer than its entry */
        {'R', 0, 0, 0, 0, 0},       /* no user length at all */
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
    fresh(&blocks, 4);
    CHECK_EQ(envelope_begin(&e, &blocks, slice_make(big, sizeof big)), ERR_TOO_BIG);
    CHECK_EQ(blocks.num_used, 0);
    CHECK_EQ(envelope_begin(&e, &blocks, SLICE_LITERAL("a@b")), ERR_OK);
    CHECK_EQ(envelope_add(&e, &blocks, slice_make(big, 300), SLICE_LITERAL("a@b")), ERR_TOO_BIG);
    CHECK_EQ(envelope_add(&e, &blocks, SLICE_LITERAL("u"), slice_make(big, sizeof big)),
             ERR_TOO_BIG);
    envelope_clear(&e, &blocks);
}

static const struct test_case cases[] = {
    {"round-trip", test_round_trip},
    {"pool-exhausted", test_pool_exhausted},
    {"cut-and-forged", test_cut_and_forged},
    {"too-big", test_too_big},
};

TEST_MAIN(cases)

/* The spool's bytes against SPOOL.md: every field where the table has it, nothing accepted that is
 * not whole. */
#include "test.h"
#include "crc32c.h"
#include "spool_record.h"

#define PAGE 4096u

static const uint8_t nonce[SPOOL_NONCE_LEN + 1] = "sixteen byte non";

static void segment_head_as_in_the_table(void)
{
    static uint8_t page[PAGE];
    struct spool_head head = {.page_len = PAGE, .num_pages = 256, .generation = 0x0102030405060708};
    struct spool_head back;
    memcpy(head.nonce, nonce, SPOOL_NONCE_LEN);
    memset(page, 0xff, sizeof page);
    spool_head_encode(page, &head);
    CHECK(memcmp(page, "PSTNSPL1\0\0\x10\0\0\0\1\0\1\2\3\4\5\6\7\10sixteen byte non\0\0\0\0", 44) ==
          0);
    CHECK_EQ(page[48] | page[PAGE - 1], 0);
    CHECK(spool_head_decode(slice_make(page, PAGE), &back));
    CHECK(back.generation == head.generation && back.num_pages == 256 && back.page_len == PAGE);
    CHECK(memcmp(back.nonce, nonce, SPOOL_NONCE_LEN) == 0);
    for (uint32_t at = 0; at < SPOOL_HEAD_LEN; at++) {
        for (int bit = 0; bit < 8; bit++) {
            page[at] ^= (uint8_t)(1 << bit);
            CHECK(!spool_head_decode(slice_make(page, PAGE), &back));
            page[at] ^= (uint8_t)(1 << bit);
        }
        CHECK(!spool_head_decode(slice_make(page, at), &back));
    }
    /* None behind which there is room for no other. */
    head.generation = SPOOL_GENERATION_MAX;
    spool_head_encode(page, &head);
    CHECK(spool_head_decode(slice_make(page, PAGE), &back));
    head.generation++;
    spool_head_encode(page, &head);
    CHECK(!spool_head_decode(slice_make(page, PAGE), &back));
}

static uint32_t make_page(uint8_t *page, struct spool_page_head *head)
{
    struct buf b = buf_make(page + SPOOL_PAGE_HEAD_LEN, PAGE - SPOOL_PAGE_HEAD_LEN);
    spool_chunk_put(&b, 0xaabb, 77, SLICE_LITERAL("payload"));
    spool_outcome_put(&b, 0xccdd, 5, 250);
    spool_annul_put(&b, 0xeeff);
    spool_seal_put(&b, 9, 44);
    spool_settled_put(&b, 8);
    *head = (struct spool_page_head){.kind = SPOOL_PAGE_LOG,
                                     .used = (uint32_t)b.len + SPOOL_PAGE_HEAD_LEN,
                                     .generation = 3,
                                     .number = 7,
                                     .durable_pages = 6};
    spool_page_seal(page, PAGE, nonce, head);
    return head->used;
}

static void page_counts_only_in_its_place(void)
{
    static uint8_t page[PAGE];
    struct spool_page_head head, back;
    struct slice records;
    memset(page, 0xff, sizeof page);
    uint32_t used = make_page(page, &head);
    CHECK(memcmp(page + 4, "\1\0", 2) == 0 && page[6] == used >> 8 && page[7] == (used & 0xff));
    CHECK(memcmp(page + 8, "\0\0\0\0\0\0\0\3\0\0\0\7\0\0\0\6", 16) == 0);
    CHECK_EQ(page[used] | page[PAGE - 1], 0);
    CHECK(spool_page_open(slice_make(page, PAGE), nonce, 3, 7, &back, &records));
    CHECK_EQ(back.durable_pages, 6);
    CHECK_EQ(records.len, used - SPOOL_PAGE_HEAD_LEN);
    CHECK(!spool_page_open(slice_make(page, PAGE), nonce, 4, 7, &back, &records));
    CHECK(!spool_page_open(slice_make(page, PAGE), nonce, 3, 8, &back, &records));
    uint8_t other[SPOOL_NONCE_LEN] = {0};
    CHECK(!spool_page_open(slice_make(page, PAGE), other, 3, 7, &back, &records));
    for (uint32_t at = 0; at < used; at++) {
        page[at] ^= 1;
        CHECK(!spool_page_open(slice_make(page, PAGE), nonce, 3, 7, &back, &records));
        page[at] ^= 1;
        CHECK(!spool_page_open(slice_make(page, at), nonce, 3, 7, &back, &records));
    }
}

static void records_come_back(void)
{
    static uint8_t page[PAGE];
    struct spool_page_head head;
    struct spool_record r;
    uint32_t used = make_page(page, &head);
    struct slice in = slice_make(page + SPOOL_PAGE_HEAD_LEN, used - SPOOL_PAGE_HEAD_LEN);
    CHECK(memcmp(in.ptr, "\1\0\0\33\0\0\0\0\0\0\xaa\xbb\0\0\0\0\0\0\0\115payload", 27) == 0);
    CHECK(spool_record_take(&in, &r) && r.type == SPOOL_CHUNK && r.id == 0xaabb);
    CHECK_EQ(r.chunk.offset, 77);
    CHECK_TEXT(r.chunk.payload, "payload");
    CHECK(memcmp(in.ptr, "\3\0\0\22\0\0\0\0\0\0\xcc\xdd\0\0\0\5\0\xfa", 18) == 0);
    CHECK(spool_record_take(&in, &r) && r.type == SPOOL_OUTCOME && r.outcome.rcpt == 5);
    CHECK_EQ(r.outcome.code, 250);
    CHECK(spool_record_take(&in, &r) && r.type == SPOOL_ANNUL && r.id == 0xeeff);
    CHECK(spool_record_take(&in, &r) && r.type == SPOOL_SEAL && r.id == 9 && r.seal_pages == 44);
    CHECK(spool_record_take(&in, &r) && r.type == SPOOL_SETTLED && r.id == 8);
    CHECK(slice_is_empty(in));
    CHECK(!spool_record_take(&in, &r));
}

static size_t put_commit(struct buf *b, uint64_t id)
{
    struct spool_record r = {.type = SPOOL_COMMIT, .id = id};
    r.commit.version = 2;
    r.commit.num_extents = 2;
    r.commit.total_len = 5000;
    r.commit.envelope_len = 99;
    r.commit.num_rcpts = 11;
    r.commit.received_s = -5;
    r.commit.flags = 0x80000001;
    CHECK(spool_commit_put(b, &r, 2));
    struct spool_extent x = {.generation = 3, .page = 4, .offset = 24, .len = 4000};
    CHECK(spool_extent_put(b, &x));
    x = (struct spool_extent){.generation = 5, .page = 1, .offset = 100, .len = 1000};
    CHECK(spool_extent_put(b, &x));
    CHECK(buf_put(b, SLICE_LITERAL("\x0f\x04")));
    return b->len;
}

static void commit_comes_back(void)
{
    uint8_t bytes[200];
    struct buf b = buf_make(bytes, sizeof bytes);
    struct spool_record r;
    struct spool_extent x;
    size_t len = put_commit(&b, 42);
    CHECK_EQ(len, spool_commit_len(2, 2));
    struct slice in = buf_slice(&b);
    CHECK(spool_record_take(&in, &r) && r.type == SPOOL_COMMIT && r.id == 42);
    CHECK(r.commit.version == 2 && r.commit.total_len == 5000 && r.commit.envelope_len == 99);
    CHECK(r.commit.num_rcpts == 11 && r.commit.received_s == -5 && r.commit.flags == 0x80000001);
    CHECK(spool_extent_take(&r.commit.extents, &x) && x.generation == 3 && x.len == 4000);
    CHECK(spool_extent_take(&r.commit.extents, &x) && x.page == 1 && x.offset == 100);
    CHECK(!spool_extent_take(&r.commit.extents, &x));
    CHECK_TEXT(r.commit.bitmap, "\x0f\x04");
}

/* 0 stands for "no message": recovery copied such a one until the disk was full. */
static void nobody_commits(void)
{
    uint8_t bytes[200];
    struct buf b = buf_make(bytes, sizeof bytes);
    struct spool_record r;
    put_commit(&b, 0);
    struct slice in = buf_slice(&b);
    CHECK(!spool_record_take(&in, &r));
    CHECK_EQ(in.len, b.len);
}

/* A record that is cut, or whose length says something else, is none, and the cursor stays. */
static void nothing_half_is_taken(void)
{
    uint8_t bytes[200];
    struct buf b = buf_make(bytes, sizeof bytes);
    struct spool_record r;
    size_t len = put_commit(&b, 42);
    for (size_t cut = 0; cut < len; cut++) {
        struct slice in = slice_make(bytes, cut);
        CHECK(!spool_record_take(&in, &r));
        CHECK_EQ(in.len, cut);
        if (cut >= SPOOL_RECORD_HEAD_LEN) { /* with a length that agrees */
            uint8_t copy[200];
            memcpy(copy, bytes, sizeof copy);
            copy[2] = 0;
            copy[3] = (uint8_t)cut;
            in = slice_make(copy, cut);
            CHECK(!spool_record_take(&in, &r));
        }
    }
    static const uint8_t types[] = {0, 7, 255};
    for (size_t i = 0; i < sizeof types; i++) {
        uint8_t record[12] = {types[i], 0, 0, 12};
        struct slice in = slice_make(record, sizeof record);
        CHECK(!spool_record_take(&in, &r));
    }
}

static void no_room_writes_nothing(void)
{
    uint8_t bytes[26];
    struct buf b = buf_make(bytes, sizeof bytes);
    CHECK(!spool_chunk_put(&b, 1, 0, SLICE_LITERAL("payload")));
    CHECK_EQ(b.len, 0);
    CHECK(spool_outcome_put(&b, 1, 0, 0));
    CHECK(!spool_annul_put(&b, 1));
    CHECK_EQ(b.len, SPOOL_OUTCOME_LEN);
}

static const struct test_case cases[] = {
    {"segment_head_as_in_the_table", segment_head_as_in_the_table},
    {"page_counts_only_in_its_place", page_counts_only_in_its_place},
    {"records_come_back", records_come_back},
    {"commit_comes_back", commit_comes_back},
    {"nobody_commits", nobody_commits},
    {"nothing_half_is_taken", nothing_half_is_taken},
    {"no_room_writes_nothing", no_room_writes_nothing},
};

TEST_MAIN(cases)

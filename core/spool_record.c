/* The spool's bytes: see spool_record.h and SPOOL.md. */
#include "spool_record.h"

#include "crc32c.h"
#include "teeth.h"

static const uint8_t magic[8] = {'P', 'S', 'T', 'N', 'S', 'P', 'L', '1'};

static uint32_t be32_at(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

void spool_head_encode(uint8_t *page, const struct spool_head *head)
{
    struct buf b = buf_make(page, SPOOL_HEAD_LEN);
    buf_put(&b, slice_make(magic, sizeof magic));
    buf_put_be(&b, 4, head->page_len);
    buf_put_be(&b, 4, head->num_pages);
    buf_put_be(&b, 8, head->generation);
    buf_put(&b, slice_make(head->nonce, SPOOL_NONCE_LEN));
    buf_put_be(&b, 4, 0);
    buf_put_be(&b, 4, crc32c_add(0, buf_slice(&b)));
    memset(page + SPOOL_HEAD_LEN, 0, head->page_len - SPOOL_HEAD_LEN);
}

bool spool_head_decode(struct slice page, struct spool_head *out)
{
    struct slice in, found, nonce;
    uint32_t zero, crc;
    if (!slice_take(&page, SPOOL_HEAD_LEN, &in)) {
        return false;
    }
    uint32_t want = crc32c_add(0, slice_make(in.ptr, SPOOL_HEAD_LEN - 4));
    if (!slice_take(&in, sizeof magic, &found) || memcmp(found.ptr, magic, sizeof magic) != 0 ||
        !slice_be32(&in, &out->page_len) || !slice_be32(&in, &out->num_pages) ||
        !slice_be64(&in, &out->generation) || !slice_take(&in, SPOOL_NONCE_LEN, &nonce) ||
        !slice_be32(&in, &zero) || !slice_be32(&in, &crc) || crc != want || zero != 0 ||
        out->generation == 0 || out->generation > SPOOL_GENERATION_MAX) {
        return false;
    }
    memcpy(out->nonce, nonce.ptr, SPOOL_NONCE_LEN);
    return true;
}

static uint32_t page_crc(struct slice used, const uint8_t *nonce, uint64_t generation)
{
    uint32_t crc = 0;
    if (!BROKEN(NONCE_IGNORED)) {
        uint8_t bytes[8];
        struct buf b = buf_make(bytes, sizeof bytes);
        buf_put_be(&b, 8, generation);
        crc = crc32c_add(crc32c_add(0, slice_make(nonce, SPOOL_NONCE_LEN)), buf_slice(&b));
    }
    return crc32c_add(crc, slice_make(used.ptr + 4, used.len - 4));
}

void spool_page_seal(uint8_t *page, uint32_t page_len, const uint8_t *nonce,
                     const struct spool_page_head *head)
{
    struct buf b = buf_make(page + 4, SPOOL_PAGE_HEAD_LEN - 4);
    buf_put_u8(&b, (uint8_t)head->kind);
    buf_put_u8(&b, 0);
    buf_put_be(&b, 2, head->used);
    buf_put_be(&b, 8, head->generation);
    buf_put_be(&b, 4, head->number);
    buf_put_be(&b, 4, head->durable_pages);
    memset(page + head->used, 0, page_len - head->used);
    b = buf_make(page, 4);
    buf_put_be(&b, 4, page_crc(slice_make(page, head->used), nonce, head->generation));
}

static bool page_head_take(struct slice *in, struct spool_page_head *out, uint32_t *out_crc)
{
    uint8_t kind, zero;
    uint16_t used;
    if (!slice_be32(in, out_crc) || !slice_u8(in, &kind) || !slice_u8(in, &zero) ||
        !slice_be16(in, &used) || !slice_be64(in, &out->generation) ||
        !slice_be32(in, &out->number) || !slice_be32(in, &out->durable_pages)) {
        return false;
    }
    out->used = used;
    out->kind = (enum spool_page_kind)kind;
    return zero == 0 && (kind == SPOOL_PAGE_LOG || kind == SPOOL_PAGE_DATA);
}

bool spool_page_open(struct slice page, const uint8_t *nonce, uint64_t generation, uint32_t number,
                     struct spool_page_head *out, struct slice *records)
{
    struct slice in = page;
    uint32_t crc;
    if (!page_head_take(&in, out, &crc) || out->used < SPOOL_PAGE_HEAD_LEN ||
        out->used > page.len || out->number != number ||
        (out->generation != generation && !BROKEN(NONCE_IGNORED))) {
        return false;
    }
    if (crc != page_crc(slice_make(page.ptr, out->used), nonce, generation) &&
        !BROKEN(CRC_UNCHECKED)) {
        return false;
    }
    *records = slice_make(in.ptr, out->used - SPOOL_PAGE_HEAD_LEN);
    return true;
}

bool spool_page_guess(struct slice page, struct spool_page_head *out, struct slice *records)
{
    uint32_t crc;
    struct slice in = page;
    if (!page_head_take(&in, out, &crc) || out->used < SPOOL_PAGE_HEAD_LEN ||
        out->used > page.len) {
        return false;
    }
    *records = slice_make(in.ptr, out->used - SPOOL_PAGE_HEAD_LEN);
    return true;
}

static bool commit_take(struct slice *in, struct spool_record *out)
{
    uint64_t received;
    uint16_t bitmap_len;
    if (!slice_be16(in, &out->commit.version) || !slice_be16(in, &out->commit.num_extents) ||
        !slice_be64(in, &out->commit.total_len) || !slice_be32(in, &out->commit.envelope_len) ||
        !slice_be32(in, &out->commit.num_rcpts) || !slice_be64(in, &received) ||
        !slice_be32(in, &out->commit.flags) || !slice_be16(in, &bitmap_len) ||
        out->commit.num_extents > SPOOL_EXTENTS_MAX || bitmap_len > SPOOL_BITMAP_MAX ||
        out->commit.num_rcpts == 0 || out->commit.num_rcpts > SPOOL_BITMAP_MAX * 8) {
        return false;
    }
    out->commit.received_s = (int64_t)received;
    return slice_take(in, (size_t)out->commit.num_extents * SPOOL_EXTENT_LEN,
                      &out->commit.extents) &&
           slice_take(in, bitmap_len, &out->commit.bitmap);
}

bool spool_record_take(struct slice *records, struct spool_record *out)
{
    struct slice rest = *records, in;
    uint8_t type, zero;
    uint16_t len;
    if (rest.len < SPOOL_RECORD_HEAD_LEN) {
        return false;
    }
    len = (uint16_t)(be32_at(rest.ptr) & 0xffff);
    if (!slice_take(&rest, len, &in) || !slice_u8(&in, &type) || !slice_u8(&in, &zero) ||
        !slice_skip(&in, 2) || !slice_be64(&in, &out->id) || zero != 0) {
        return false;
    }
    out->type = (enum spool_record_type)type;
    bool good = false;
    switch (out->type) {
    case SPOOL_CHUNK:
        good = slice_be64(&in, &out->chunk.offset) && slice_take(&in, in.len, &out->chunk.payload);
        break;
    case SPOOL_COMMIT:
        good = out->id != 0 && commit_take(&in, out); /* no message has 0: it means none */
        break;
    case SPOOL_OUTCOME:
        good = slice_be32(&in, &out->outcome.rcpt) && slice_be16(&in, &out->outcome.code);
        break;
    case SPOOL_ANNUL:
    case SPOOL_SETTLED:
        good = true;
        break;
    case SPOOL_SEAL:
        good = slice_be32(&in, &out->seal_pages);
        break;
    }
    if (!good || !slice_is_empty(in)) {
        return false;
    }
    *records = rest;
    return true;
}

bool spool_extent_take(struct slice *extents, struct spool_extent *out)
{
    return extents->len >= SPOOL_EXTENT_LEN && slice_be64(extents, &out->generation) &&
           slice_be32(extents, &out->page) && slice_be16(extents, &out->offset) &&
           slice_be32(extents, &out->len);
}

static bool record_begin(struct buf *b, enum spool_record_type type, size_t len, uint64_t id)
{
    if (buf_room(b) < len) {
        return false;
    }
    return buf_put_u8(b, (uint8_t)type) && buf_put_u8(b, 0) && buf_put_be(b, 2, len) &&
           buf_put_be(b, 8, id);
}

bool spool_chunk_put(struct buf *b, uint64_t id, uint64_t offset, struct slice payload)
{
    return record_begin(b, SPOOL_CHUNK, SPOOL_CHUNK_HEAD_LEN + payload.len, id) &&
           buf_put_be(b, 8, offset) && buf_put(b, payload);
}

bool spool_chunk_head_put(struct buf *b, uint64_t id, uint64_t offset, size_t payload_len)
{
    return record_begin(b, SPOOL_CHUNK, SPOOL_CHUNK_HEAD_LEN + payload_len, id) &&
           buf_put_be(b, 8, offset);
}

bool spool_outcome_put(struct buf *b, uint64_t id, uint32_t rcpt, uint16_t code)
{
    return record_begin(b, SPOOL_OUTCOME, SPOOL_OUTCOME_LEN, id) && buf_put_be(b, 4, rcpt) &&
           buf_put_be(b, 2, code);
}

bool spool_annul_put(struct buf *b, uint64_t id)
{
    return record_begin(b, SPOOL_ANNUL, SPOOL_ANNUL_LEN, id);
}

bool spool_seal_put(struct buf *b, uint64_t generation, uint32_t num_pages)
{
    return record_begin(b, SPOOL_SEAL, SPOOL_SEAL_LEN, generation) && buf_put_be(b, 4, num_pages);
}

bool spool_settled_put(struct buf *b, uint64_t generation)
{
    return record_begin(b, SPOOL_SETTLED, SPOOL_SETTLED_LEN, generation);
}

bool spool_commit_put(struct buf *b, const struct spool_record *commit, size_t bitmap_len)
{
    size_t len = spool_commit_len(commit->commit.num_extents, bitmap_len);
    return record_begin(b, SPOOL_COMMIT, len, commit->id) &&
           buf_put_be(b, 2, commit->commit.version) &&
           buf_put_be(b, 2, commit->commit.num_extents) &&
           buf_put_be(b, 8, commit->commit.total_len) &&
           buf_put_be(b, 4, commit->commit.envelope_len) &&
           buf_put_be(b, 4, commit->commit.num_rcpts) &&
           buf_put_be(b, 8, (uint64_t)commit->commit.received_s) &&
           buf_put_be(b, 4, commit->commit.flags) && buf_put_be(b, 2, bitmap_len);
}

bool spool_extent_put(struct buf *b, const struct spool_extent *extent)
{
    return buf_put_be(b, 8, extent->generation) && buf_put_be(b, 4, extent->page) &&
           buf_put_be(b, 2, extent->offset) && buf_put_be(b, 4, extent->len);
}

/* The spool's bytes: segment heads, page heads, records. Pure; SPOOL.md has the tables. Called by
 * the rest of the spool and its tests; knows no store and no state. */
#ifndef POSTERN_SPOOL_RECORD_H
#define POSTERN_SPOOL_RECORD_H

#include "buf.h"
#include "err.h"

#define SPOOL_NONCE_LEN       16
#define SPOOL_HEAD_LEN        48 /* a segment head */
#define SPOOL_PAGE_HEAD_LEN   24
#define SPOOL_RECORD_HEAD_LEN 12
#define SPOOL_CHUNK_HEAD_LEN  20 /* record head and offset */
#define SPOOL_OUTCOME_LEN     18
#define SPOOL_ANNUL_LEN       12
#define SPOOL_SEAL_LEN        16
#define SPOOL_SETTLED_LEN     12
#define SPOOL_COMMIT_FIX_LEN  46
#define SPOOL_EXTENT_LEN      18
#define SPOOL_EXTENTS_MAX     160
#define SPOOL_BITMAP_MAX      1024
/* What no run of ours gets to, so that one more is always higher. */
#define SPOOL_GENERATION_MAX (UINT64_C(1) << 62)
#define SPOOL_PAGE_MIN       4096
#define SPOOL_PAGE_MAX       32768

struct spool_head {
    uint32_t page_len;
    uint32_t num_pages;
    uint64_t generation;
    uint8_t nonce[SPOOL_NONCE_LEN];
};

enum spool_page_kind { SPOOL_PAGE_LOG = 1, SPOOL_PAGE_DATA = 2 };

struct spool_page_head {
    enum spool_page_kind kind;
    uint32_t used; /* bytes, head included */
    uint64_t generation;
    uint32_t number;
    uint32_t durable_pages;
};

enum spool_record_type {
    SPOOL_CHUNK = 1,
    SPOOL_COMMIT = 2,
    SPOOL_OUTCOME = 3,
    SPOOL_ANNUL = 4,
    SPOOL_SEAL = 5,
    SPOOL_SETTLED = 6
};

struct spool_extent {
    uint64_t generation;
    uint32_t page;
    uint16_t offset; /* in the page, of the first chunk record */
    uint32_t len;    /* bytes of the message */
};

struct spool_record {
    enum spool_record_type type;
    uint64_t id;
    union {
        struct {
            uint64_t offset;
            struct slice payload;
        } chunk;
        struct {
            uint16_t version;
            uint16_t num_extents;
            uint64_t total_len;
            uint32_t envelope_len;
            uint32_t num_rcpts;
            int64_t received_s;
            uint32_t flags;
            struct slice extents; /* read with spool_extent_take */
            struct slice bitmap;
        } commit;
        struct {
            uint32_t rcpt;
            uint16_t code;
        } outcome;
        uint32_t seal_pages;
    };
};

/* Writes a whole page: the head and zeros. page has head->page_len bytes. */
void spool_head_encode(uint8_t *page, const struct spool_head *head);
/* From the front of a page; false if it is none: magic, CRC, generation. */
bool spool_head_decode(struct slice page, struct spool_head *out);

/* Completes a page whose records stand behind the head already: writes the head, zeros what is
 * behind used. */
void spool_page_seal(uint8_t *page, uint32_t page_len, const uint8_t *nonce,
                     const struct spool_page_head *head);
/* Whether page, as read from place number of the segment with this nonce and generation, counts;
 * then *out, and *records spans its records. */
bool spool_page_open(struct slice page, const uint8_t *nonce, uint64_t generation, uint32_t number,
                     struct spool_page_head *out, struct slice *records);
/* The same without any proof, as far as the lengths permit: for naming what a damaged page may have
 * held. */
bool spool_page_guess(struct slice page, struct spool_page_head *out, struct slice *records);

/* The record at the front; false at the end, or when what is there is none. Payload, extents and
 * bitmap point into the page. */
bool spool_record_take(struct slice *records, struct spool_record *out);
bool spool_extent_take(struct slice *extents, struct spool_extent *out);

/* Each appends a record, or nothing if it does not fit; false then. */
bool spool_chunk_put(struct buf *b, uint64_t id, uint64_t offset, struct slice payload);
/* Only the head of a chunk; its payload of payload_len bytes stands behind it already. */
bool spool_chunk_head_put(struct buf *b, uint64_t id, uint64_t offset, size_t payload_len);
bool spool_outcome_put(struct buf *b, uint64_t id, uint32_t rcpt, uint16_t code);
bool spool_annul_put(struct buf *b, uint64_t id);
bool spool_seal_put(struct buf *b, uint64_t generation, uint32_t num_pages);
bool spool_settled_put(struct buf *b, uint64_t generation);
/* The fixed part of a commit; then num_extents times spool_extent_put, then the bitmap as it is.
 * The caller has made sure that spool_commit_len fits. */
bool spool_commit_put(struct buf *b, const struct spool_record *commit, size_t bitmap_len);
bool spool_extent_put(struct buf *b, const struct spool_extent *extent);
static inline size_t spool_commit_len(size_t num_extents, size_t bitmap_len)
{
    return SPOOL_COMMIT_FIX_LEN + num_extents * SPOOL_EXTENT_LEN + bitmap_len;
}

#endif

/* What `postern status` tells of the certificates: for each set its files, until when each proof is
 * served or why not, when it is fetched next, and how those fared who asked.
 *
 * The keys and the words are stable; a value that others can choose is escaped. Called by control.
 */
#include "mta_inside.h"

#include "ocsp_staple_fetch.h"
#include "ocsp_staple_files.h"

static void put_text(struct buf *out, const char *key, struct slice text)
{
    buf_put_string(out, key);
    buf_put_string(out, ": ");
    text_put_escaped(out, text, STAPLE_PATH_CAP);
    buf_put_string(out, "\n");
}

static void put_word(struct buf *out, const char *key, const char *word)
{
    put_text(out, key, slice_of_string(word));
}

static void put_time(struct buf *out, const char *key, int64_t unix_s)
{
    uint8_t bytes[32];
    struct buf text = buf_make(bytes, sizeof bytes);
    text_put_time(&text, unix_s);
    put_text(out, key, buf_slice(&text));
}

static void put_count(struct buf *out, const char *key, uint64_t count)
{
    buf_put_string(out, key);
    buf_put_string(out, ": ");
    text_put_u64(out, count);
    buf_put_string(out, "\n");
}

static void put_pair(const struct mta *m, const struct staple *s, size_t set, size_t pair,
                     struct buf *out)
{
    struct tls_time now = mta_tls_time(m);
    const char *proof = s->now.files.paths[staple_index(STAPLE_PROOF, pair)];
    struct fetch_life life;
    int64_t next_s;
    enum ocsp_reason reason = staple_reason(s, pair, &now);
    staple_life(s, pair, 0, &life);
    put_word(out, "certificate", s->now.files.paths[staple_index(STAPLE_CERTIFICATE, pair)]);
    if (proof[0] != '\0') {
        put_word(out, "proof-file", proof);
    }
    put_word(out, "proof", reason == OCSP_GOOD ? "served" : "none");
    if (reason == OCSP_GOOD) {
        put_time(out, "until", life.end_s);
    } else {
        put_word(out, "reason", ocsp_reason_name(reason));
    }
    if (staple_is_required(s, pair)) {
        put_word(out, "must-staple", "yes");
    }
    if (fetch_next_s(m, set, pair, &next_s)) {
        put_time(out, "next-refresh", next_s);
    } else {
        bool waits = m->site->conf.ocsp_fetch.kind != CONF_FETCH_NO && !now.wall_set;
        put_word(out, "next-refresh", waits ? ocsp_reason_name(OCSP_CLOCK_NOT_SET) : "never");
    }
    put_time(out, "certificate-end", staple_certificate_end_s(s, pair));
}

static void put_set(const struct mta *m, const struct staple *s, size_t set, struct slice name,
                    struct buf *out)
{
    const struct staple_counts *counts = &s->counts;
    put_text(out, "set", name);
    for (size_t pair = 0; s->now.set != NULL && pair < s->now.files.num_pairs; pair++) {
        put_pair(m, s, set, pair, out);
    }
    put_count(out, "handshakes", staple_num_asked(counts) + counts->num_not_asked);
    put_count(out, "asked", staple_num_asked(counts));
    put_count(out, "served", counts->num_served);
    for (size_t i = 0; i < NUM_OCSP_REASONS; i++) {
        if (counts->num_withheld[i] != 0) {
            buf_put_string(out, "withheld-");
            put_count(out, ocsp_reason_name((enum ocsp_reason)i), counts->num_withheld[i]);
        }
    }
}

bool site_put_status(struct mta *m, uint64_t *cursor, struct buf *out)
{
    uint32_t set = *cursor == 0 ? 0 : (uint32_t)*cursor - 1;
    if (!m->has_certificate) {
        put_word(out, "tls", "none");
        return false;
    }
    if (*cursor == 0) {
        put_set(m, &m->staple, 0, SLICE_LITERAL("default"), out);
    } else {
        struct staple_name *item = pool_each(&m->tls_names, &set);
        if (item == NULL) {
            return false;
        }
        put_set(m, &item->staple, set, slice_make(item->name, item->name_len), out);
    }
    *cursor = (uint64_t)set + 1;
    return true;
}

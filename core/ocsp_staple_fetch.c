/* Proofs that are fetched, and what becomes of them: see ocsp_staple_fetch.h. */
#include "ocsp_staple_fetch.h"

#include "ocsp_certid.h"
#include "ocsp_staple_files.h"
#include "pem.h"

#define REFUSAL_LIFE_S INT64_C(86400) /* of one that does not say until when it holds */

#define LABEL SLICE_LITERAL("OCSP RESPONSE")

static const char *path_of(const struct staple *s, enum staple_file file, size_t pair)
{
    return s->now.files.paths[staple_index(file, pair)];
}

bool staple_wants(const struct staple *s, size_t pair, size_t index, uint32_t turn,
                  struct staple_wanted *out)
{
    struct x509_cert cert, issuer;
    *out = (struct staple_wanted){.path = path_of(s, STAPLE_PROOF, pair),
                                  .certificate = path_of(s, STAPLE_CERTIFICATE, pair)};
    if (s->now.set == NULL || out->path[0] == '\0' ||
        !x509_parse_cert(tls_set_cert_der(s->now.set, pair, index), &cert)) {
        return false;
    }
    bool knows_issuer = x509_parse_cert(s->now.issuers[pair][index].der, &issuer) &&
                        ocsp_certid_make(&out->id, &issuer, &cert);
    bool has_url = ocsp_certid_find_url(&cert, turn, &out->url) != 0;
    out->why_not = !knows_issuer ? ocsp_reason_name(OCSP_NO_ISSUER)
                   : !has_url    ? "no-responder"
                                 : NULL;
    return index == 0 || (s->now.is_pem[pair] && out->why_not == NULL);
}

void staple_life(const struct staple *s, size_t pair, size_t index, struct fetch_life *out)
{
    const struct ocsp_verdict *v;
    struct slice der;
    *out = (struct fetch_life){.exists = false};
    if (s->now.set == NULL || !tls_set_proof(s->now.set, pair, index, &der, &v) || !v->verified) {
        return;
    }
    out->is_refusal = v->reason == OCSP_REVOKED;
    /* A certificate that is newer than its proof does not make the proof newer. */
    out->begin_s = v->this_update_s - s->judging.skew_s;
    out->end_s = !out->is_refusal                   ? v->end_s
                 : v->next_update_s != OCSP_NO_TIME ? v->next_update_s
                                                    : v->this_update_s + REFUSAL_LIFE_S;
    out->exists = out->is_refusal || v->reason == OCSP_GOOD;
}

/* --- What came --- */

/* To write the same word down once more would only wear the flash, as would each new one of a
 * responder that knows no such certificate. But the signer of what is held may end before it does.
 */
bool staple_is_news(const struct ocsp_verdict *new, const struct ocsp_verdict *old,
                    const struct tls_time *now)
{
    bool is_as_long = new->this_update_s == old->this_update_s &&new->next_update_s ==
                      old->next_update_s &&new->end_s <= old->end_s;
    bool is_same =
        old->verified && new->reason == old->reason && (new->reason == OCSP_UNKNOWN || is_as_long);
    return !is_same && staple_replaces(new, old, now);
}

static enum fetch_verdict take(struct staple *s, size_t pair, size_t index, struct slice der,
                               const struct ocsp_verdict *v, const char **out_why)
{
    struct slice kept = v->reason == OCSP_GOOD ? der : slice_make(NULL, 0);
    enum err err = tls_set_set_proof(s->now.set, pair, index, kept, v);
    if (err != ERR_OK) {
        *out_why = err_name(err);
        return FETCH_REFUSED;
    }
    staple_ledger_note(s->ledger, tls_set_cert_der(s->now.set, pair, index), v);
    return FETCH_TAKEN;
}

enum fetch_verdict staple_offer(struct staple *s, size_t pair, size_t index, struct slice *der,
                                const struct tls_time *now, struct buf scratch,
                                const char **out_why)
{
    struct ocsp_verdict new;
    const struct ocsp_verdict *old;
    struct slice old_der;
    *out_why = ocsp_reason_name(OCSP_WRONG_CERTIFICATE);
    if (s->now.set != NULL) {
        staple_load_changes(s, now, scratch);
    }
    if (s->now.set == NULL || !tls_set_proof(s->now.set, pair, index, &old_der, &old)) {
        return FETCH_REFUSED;
    }
    staple_judge(s, &s->now, pair, index, *der, &new);
    enum ocsp_reason reason = staple_reason_at(&new, now);
    *out_why = ocsp_reason_name(reason);
    if (!new.verified ||
        (reason != OCSP_GOOD && reason != OCSP_REVOKED && reason != OCSP_UNKNOWN)) {
        return FETCH_REFUSED;
    }
    if (!staple_is_news(&new, old, now)) {
        *out_why = reason == OCSP_UNKNOWN ? *out_why : "not-newer";
        return FETCH_NOT_NEWER;
    }
    *der = ocsp_response_trim(*der, new.signer_cert, s->now.issuers[pair][index].der);
    enum fetch_verdict verdict = take(s, pair, index, *der, &new, out_why);
    staple_save_evictions(s, scratch);
    staple_watch(s, now);
    return verdict;
}

/* --- The file --- */

/* Whether all that it said is that one certificate was good, until before then. */
static bool is_over(struct slice der, int64_t then_s)
{
    struct ocsp_response r;
    struct ocsp_single single;
    return ocsp_response_parse(der, &r) && ocsp_single_next(&r.singles, &single) &&
           slice_is_empty(r.singles) && single.status == OCSP_CERT_GOOD && single.has_next_update &&
           single.next_update_s < then_s;
}

/* Where the block for that certificate stands in the text; if there is none, one that was over when
 * the proof that is held was made, as of a certificate before this one; else empty, at its end (or
 * where it cannot be read any further). decoded holds any of the blocks. */
static struct slice find_block(const struct staple *s, size_t pair, size_t index, struct slice text,
                               struct buf decoded)
{
    struct slice block, old = {NULL, 0};
    const struct ocsp_verdict *held;
    struct ocsp_verdict v;
    bool is_held = tls_set_proof(s->now.set, pair, index, &block, &held);
    enum err err;
    while ((err = pem_next_block(&text, LABEL, &decoded, &block)) == ERR_OK) {
        staple_judge(s, &s->now, pair, index, buf_slice(&decoded), &v);
        if (staple_is_about(&v)) {
            return block;
        }
        if (old.len == 0 && is_held && is_over(buf_slice(&decoded), held->this_update_s)) {
            old = block;
        }
        decoded.len = 0;
    }
    return old.len != 0 ? old : slice_make(text.ptr + (err == ERR_ABSENT ? text.len : 0), 0);
}

/* What is in front of the old block, the new one, and what is behind the old one. The text is at
 * the front of file. */
static bool put_block(struct buf *file, struct slice old, struct slice der)
{
    size_t front_len = (size_t)(old.ptr - file->ptr);
    size_t rest_len = old.len != 0 ? file->len - front_len - old.len : 0;
    uint8_t *rest = file->ptr + file->cap - rest_len;
    memmove(rest, old.ptr + old.len, rest_len);
    file->len = front_len;
    file->cap -= rest_len;
    if (front_len != 0 && file->ptr[front_len - 1] != '\n') {
        buf_put_u8(file, '\n');
    }
    pem_put(file, LABEL, der);
    bool fits = !file->overflow;
    memmove(file->ptr + file->len, rest, rest_len);
    file->len += rest_len;
    return fits;
}

/* Makes of the file's text, in *file, what it is to be. */
static enum err merge(const struct staple *s, size_t pair, size_t index, struct slice der,
                      struct buf *file)
{
    struct slice old = slice_make(file->ptr, 0);
    if (file->len != 0) {
        size_t cap = file->len / 4 * 3 + 3;
        uint8_t *decoded = heap_alloc(s->env->heap, cap, 1);
        if (decoded == NULL) {
            return ERR_NO_MEMORY;
        }
        old = find_block(s, pair, index, buf_slice(file), buf_make(decoded, cap));
        heap_free(s->env->heap, decoded);
    }
    return put_block(file, old, der) ? ERR_OK : ERR_TOO_BIG;
}

/* Whether somebody has put another file there since the last look, which is to be judged first. */
static bool is_other_file(const struct staple *s, size_t pair)
{
    struct port_stamp stamps[STAPLE_MAX_FILES];
    uint32_t i = staple_index(STAPLE_PROOF, pair);
    staple_stamp(&s->port->files, &s->now.files, stamps);
    return memcmp(&stamps[i], &s->now.stamps[i], sizeof stamps[i]) != 0;
}

static enum err save(struct staple *s, size_t pair, size_t index, struct slice der,
                     struct buf scratch)
{
    const struct port_files *files = &s->port->files;
    const char *path = path_of(s, STAPLE_PROOF, pair);
    if (is_other_file(s, pair)) {
        return ERR_BUSY;
    }
    enum err err = files->read(files->ctx, &scratch.len, path, scratch.ptr, scratch.cap);
    if (err == ERR_ABSENT) {
        scratch.len = 0;
    } else if (err != ERR_OK) {
        return err;
    }
    bool is_pem = scratch.len != 0 ? pem_is_text(buf_slice(&scratch)) : staple_is_pem_name(path);
    if (is_pem) {
        err = merge(s, pair, index, der, &scratch);
        der = buf_slice(&scratch);
    } else {
        err = index == 0 ? ERR_OK : ERR_UNSUPPORTED; /* one proof alone fits: the leaf's */
    }
    if (err == ERR_OK) {
        err = files->replace(files->ctx, path, der);
    }
    struct port_stamp *stamp = &s->now.stamps[staple_index(STAPLE_PROOF, pair)];
    if (err == ERR_OK && files->stamp(files->ctx, stamp, path) != ERR_OK) {
        *stamp = (struct port_stamp){{0}};
    }
    return err;
}

enum err staple_save(struct staple *s, size_t pair, size_t index, struct slice der,
                     struct buf scratch)
{
    uint32_t mark = UINT32_C(1) << (pair * TLS_SET_CHAIN_MAX + index);
    enum err err = save(s, pair, index, der, scratch);
    s->unsaved = err == ERR_OK ? s->unsaved & ~mark : s->unsaved | mark;
    return err;
}

bool staple_save_again(struct staple *s, struct buf scratch)
{
    uint32_t before = s->unsaved;
    const struct ocsp_verdict *v;
    struct slice der;
    for (size_t i = 0; i < STAPLE_MAX_PAIRS * TLS_SET_CHAIN_MAX && s->now.set != NULL; i++) {
        size_t pair = i / TLS_SET_CHAIN_MAX, index = i % TLS_SET_CHAIN_MAX;
        if ((before >> i & 1) != 0 && tls_set_proof(s->now.set, pair, index, &der, &v) &&
            !slice_is_empty(der)) {
            (void)staple_save(s, pair, index, der, scratch);
        }
    }
    return s->unsaved != before;
}

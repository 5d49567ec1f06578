/* The certificates that their issuer has spoken against: see ocsp_staple_ledger.h. */
#include "ocsp_staple_ledger.h"

#include "log.h"

#include <mbedtls/sha256.h>

#define FILE_NAME "/ocsp-evicted"

static void warn(struct staple_ledger *l, const char *result, enum err err)
{
    struct log_line line;
    if (l->told_failed) {
        return;
    }
    l->told_failed = true;
    log_begin(&line, "evictions");
    log_peer_text(&line, "file", slice_of_string(l->path));
    log_word(&line, "result", result);
    if (err != ERR_OK) {
        log_word(&line, "reason", err_name(err));
    }
    l->port->log.line(l->port->log.ctx, LOG_WARNING, log_end(&line));
}

static bool hash_of(struct slice cert, uint8_t *out)
{
    return mbedtls_sha256(cert.ptr, cert.len, out, 0) == 0;
}

static struct staple_ledger_item *find(struct staple_ledger *l, const uint8_t *cert)
{
    for (uint32_t i = 0; i < l->num; i++) {
        if (memcmp(l->items[i].cert, cert, sizeof l->items[i].cert) == 0) {
            return &l->items[i];
        }
    }
    return NULL;
}

/* A place for that certificate: its own, a free one, or that of the oldest word. */
static struct staple_ledger_item *place(struct staple_ledger *l, const uint8_t *cert)
{
    struct staple_ledger_item *item = find(l, cert);
    if (item != NULL) {
        return item;
    }
    if (l->num < STAPLE_LEDGER_ITEMS) {
        return &l->items[l->num++];
    }
    item = &l->items[0];
    for (uint32_t i = 1; i < l->num; i++) {
        if (l->items[i].this_update_s < item->this_update_s) {
            item = &l->items[i];
        }
    }
    return item;
}

/* --- The file --- */

/* Later, or of the same second and revoked. */
static bool is_worse(const struct staple_ledger_item *a, const struct staple_ledger_item *b)
{
    return a->this_update_s > b->this_update_s ||
           (a->this_update_s == b->this_update_s && a->reason == OCSP_REVOKED);
}

static bool take_word(struct slice *line, struct slice *out)
{
    const uint8_t *space = line->len != 0 ? memchr(line->ptr, ' ', line->len) : NULL;
    return space != NULL && slice_take(line, (size_t)(space - line->ptr), out) &&
           slice_skip(line, 1);
}

static bool parse_line(struct slice line, struct staple_ledger_item *out)
{
    struct slice cert, reason;
    if (!take_word(&line, &cert) || !take_word(&line, &reason) ||
        !text_parse_hex(cert, out->cert, sizeof out->cert)) {
        return false;
    }
    bool is_revoked = slice_equal(reason, SLICE_LITERAL("revoked"));
    out->reason = is_revoked ? OCSP_REVOKED : OCSP_UNKNOWN;
    return (is_revoked || slice_equal(reason, SLICE_LITERAL("unknown"))) &&
           text_parse_time(line, &out->this_update_s);
}

static void parse(struct staple_ledger *l, struct slice text)
{
    while (text.len != 0) {
        const uint8_t *end = memchr(text.ptr, '\n', text.len);
        struct staple_ledger_item item;
        struct slice line;
        slice_take(&text, end != NULL ? (size_t)(end - text.ptr) : text.len, &line);
        slice_skip(&text, end != NULL ? 1 : 0);
        if (end == NULL || !parse_line(line, &item)) {
            warn(l, "damaged", ERR_OK);
            continue;
        }
        const struct staple_ledger_item *known = find(l, item.cert);
        if (known == NULL || is_worse(&item, known)) {
            *place(l, item.cert) = item;
            l->num_words++;
        }
    }
}

static void read_file(struct staple_ledger *l, struct buf scratch)
{
    const struct port_files *files = &l->port->files;
    size_t len;
    enum err err = files->read(files->ctx, &len, l->path, scratch.ptr, scratch.cap);
    l->is_unread = err != ERR_OK && err != ERR_ABSENT;
    if (err == ERR_OK) {
        parse(l, slice_make(scratch.ptr, len));
    } else if (l->is_unread) {
        warn(l, "not-read", err);
    }
}

void staple_ledger_open(struct staple_ledger *l, const struct port *port, const char *dir,
                        struct buf scratch)
{
    struct buf path = buf_make(l->path, sizeof l->path);
    memset(l, 0, sizeof *l);
    l->port = port;
    if (dir == NULL || dir[0] == '\0') {
        return;
    }
    buf_put_string(&path, dir);
    buf_put_string(&path, FILE_NAME);
    if (!buf_end_string(&path)) {
        l->path[0] = '\0';
        return;
    }
    read_file(l, scratch);
}

void staple_ledger_save(struct staple_ledger *l, struct buf scratch)
{
    struct buf text = buf_make(scratch.ptr, scratch.cap);
    if (l->is_unread) { /* what is in it must not be lost to what has come since */
        read_file(l, scratch);
    }
    if (!l->is_dirty || l->is_unread || l->is_read_only || l->path[0] == '\0') {
        return;
    }
    for (uint32_t i = 0; i < l->num; i++) {
        text_put_hex(&text, slice_make(l->items[i].cert, sizeof l->items[i].cert));
        buf_put_string(&text, " ");
        buf_put_string(&text, ocsp_reason_name(l->items[i].reason));
        buf_put_string(&text, " ");
        text_put_time(&text, l->items[i].this_update_s);
        buf_put_string(&text, "\n");
    }
    const struct port_files *files = &l->port->files;
    enum err err =
        text.overflow ? ERR_TOO_BIG : files->replace(files->ctx, l->path, buf_slice(&text));
    if (err != ERR_OK) {
        warn(l, "not-saved", err);
        return;
    }
    l->is_dirty = false;
    l->told_failed = false;
}

/* --- What is in it --- */

bool staple_ledger_find(const struct staple_ledger *l, struct slice cert, struct ocsp_verdict *out)
{
    uint8_t hash[32];
    if (l == NULL || l->num == 0 || !hash_of(cert, hash)) {
        return false;
    }
    const struct staple_ledger_item *item = find((struct staple_ledger *)(uintptr_t)l, hash);
    if (item == NULL) {
        return false;
    }
    *out = ocsp_verdict_none(item->reason);
    out->verified = true;
    out->status = item->reason == OCSP_REVOKED ? OCSP_CERT_REVOKED : OCSP_CERT_UNKNOWN;
    out->this_update_s = item->this_update_s;
    return true;
}

void staple_ledger_note(struct staple_ledger *l, struct slice cert, const struct ocsp_verdict *v)
{
    struct staple_ledger_item new = {.this_update_s = v->this_update_s, .reason = v->reason};
    if (l == NULL || !v->verified || !hash_of(cert, new.cert)) {
        return;
    }
    struct staple_ledger_item *old = find(l, new.cert);
    if (v->reason == OCSP_GOOD && old != NULL && v->this_update_s > old->this_update_s) {
        *old = l->items[--l->num];
        l->is_dirty = true;
    }
    if (v->reason != OCSP_REVOKED && v->reason != OCSP_UNKNOWN) {
        return;
    }
    if (old == NULL || old->reason != new.reason || old->this_update_s != new.this_update_s) {
        *place(l, new.cert) = new;
        l->is_dirty = true;
        l->num_words++;
    }
}

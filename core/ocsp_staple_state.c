/* What the server says of its proofs: until when each is served, or why it is not, told at each
 * change; and how those fared who asked. Part of ocsp_staple; decides nothing. */
#include "ocsp_staple_files.h"

#define WATCH_MAX_MS 60000 /* a wall clock may step at any time */

enum ocsp_reason staple_reason_at(const struct ocsp_verdict *v, const struct tls_time *now)
{
    if (v->reason != OCSP_GOOD) {
        return v->reason;
    }
    return now->wall_set ? ocsp_verdict_at(v, now->wall_s) : OCSP_CLOCK_NOT_SET;
}

/* The leaf's verdict; that of no proof if there is no set. */
static struct ocsp_verdict leaf_verdict(const struct staple *s, size_t pair)
{
    const struct ocsp_verdict *v;
    struct slice der;
    if (s->now.set != NULL && tls_set_proof(s->now.set, pair, 0, &der, &v)) {
        return *v;
    }
    return ocsp_verdict_none(OCSP_NO_FILE);
}

enum ocsp_reason staple_reason(const struct staple *s, size_t pair, const struct tls_time *now)
{
    struct ocsp_verdict v = leaf_verdict(s, pair);
    return staple_reason_at(&v, now);
}

static bool get_leaf(const struct staple *s, size_t pair, struct x509_cert *out)
{
    return s->now.set != NULL && x509_parse_cert(tls_set_cert_der(s->now.set, pair, 0), out);
}

bool staple_is_required(const struct staple *s, size_t pair)
{
    struct x509_cert leaf;
    return get_leaf(s, pair, &leaf) && x509_has_tls_feature(&leaf, X509_STATUS_REQUEST);
}

int64_t staple_certificate_end_s(const struct staple *s, size_t pair)
{
    struct x509_cert leaf;
    return get_leaf(s, pair, &leaf) ? leaf.not_after_s : INT64_MAX;
}

/* --- At each change --- */

static void tell(const struct staple *s, size_t pair, const struct staple_state *state)
{
    bool is_served = state->reason == OCSP_GOOD;
    bool is_wanted =
        state->is_required || s->now.files.paths[staple_index(STAPLE_PROOF, pair)][0] != '\0';
    struct log_line line;
    log_begin(&line, "staple");
    log_peer_text(&line, "certificate",
                  slice_of_string(s->now.files.paths[staple_index(STAPLE_CERTIFICATE, pair)]));
    log_word(&line, "state", is_served ? "served" : "none");
    if (is_served) {
        log_time(&line, "until", state->end_s);
    } else {
        log_word(&line, "reason", ocsp_reason_name(state->reason));
    }
    if (state->is_required) {
        log_word(&line, "must_staple", "yes");
    }
    log_time(&line, "certificate_end", staple_certificate_end_s(s, pair));
    if (staple_num_asked(&s->counts) != 0) {
        staple_put_counts(&s->counts, &line);
    }
    s->port->log.line(s->port->log.ctx, is_wanted && !is_served ? LOG_WARNING : LOG_INFO,
                      log_end(&line));
}

/* How long until the answer changes by time alone. */
static uint64_t next_change_ms(const struct ocsp_verdict *v, enum ocsp_reason reason,
                               const struct tls_time *now)
{
    int64_t at_s = INT64_MAX;
    if (now->wall_set && v->reason == OCSP_GOOD) {
        at_s = reason == OCSP_GOOD ? v->end_s : now->wall_s < v->begin_s ? v->begin_s : INT64_MAX;
    }
    if (at_s == INT64_MAX || at_s - now->wall_s >= WATCH_MAX_MS / 1000) {
        return WATCH_MAX_MS;
    }
    return (uint64_t)(at_s - now->wall_s) * 1000;
}

uint64_t staple_watch(struct staple *s, const struct tls_time *now)
{
    uint64_t wait_ms = WATCH_MAX_MS;
    if (s->now.set == NULL) {
        return wait_ms;
    }
    struct slice id = tls_set_id(s->now.set);
    bool is_new = !slice_equal(id, slice_make(s->told_id, sizeof s->told_id));
    memcpy(s->told_id, id.ptr, sizeof s->told_id);
    for (size_t pair = 0; pair < tls_set_num_pairs(s->now.set); pair++) {
        struct ocsp_verdict v = leaf_verdict(s, pair);
        enum ocsp_reason reason = staple_reason_at(&v, now);
        struct staple_state *told = &s->told_states[pair];
        if (is_new || reason != told->reason || (reason == OCSP_GOOD && v.end_s != told->end_s)) {
            *told = (struct staple_state){reason, v.end_s, staple_is_required(s, pair)};
            tell(s, pair, told);
        }
        uint64_t ms = next_change_ms(&v, reason, now);
        wait_ms = ms < wait_ms ? ms : wait_ms;
    }
    return wait_ms;
}

/* --- By hand --- */

static void put_complaint(struct buf *out, const char *cert_path, const char *text)
{
    buf_put_string(out, "tls_certificate ");
    text_put_escaped(out, slice_of_string(cert_path), STAPLE_PATH_CAP);
    buf_put_string(out, text);
}

/* Of the chain, which clients verify whole. */
static void put_validity(const struct staple *s, size_t pair, int64_t now_s, struct buf *out)
{
    struct x509_cert cert;
    for (size_t i = 0; x509_parse_cert(tls_set_cert_der(s->now.set, pair, i), &cert); i++) {
        bool is_early = now_s < cert.not_before_s;
        if (!is_early && now_s <= cert.not_after_s) {
            continue;
        }
        put_complaint(out, s->now.files.paths[staple_index(STAPLE_CERTIFICATE, pair)], ": ");
        if (i != 0) {
            buf_put_string(out, "number ");
            text_put_u64(out, i + 1);
            buf_put_string(out, " in it ");
        }
        buf_put_string(out, is_early ? "is not valid yet\n" : "has expired\n");
    }
}

void staple_put_check(const struct staple *s, const struct tls_time *now, struct buf *out)
{
    for (size_t pair = 0; s->now.set != NULL && pair < s->now.files.num_pairs; pair++) {
        const char *cert_path = s->now.files.paths[staple_index(STAPLE_CERTIFICATE, pair)];
        const char *path = s->now.files.paths[staple_index(STAPLE_PROOF, pair)];
        struct ocsp_verdict v = leaf_verdict(s, pair);
        enum ocsp_reason reason = staple_reason_at(&v, now);
        buf_put_string(out, path[0] != '\0' ? "tls_ocsp_file " : "tls_certificate ");
        text_put_escaped(out, slice_of_string(path[0] != '\0' ? path : cert_path), STAPLE_PATH_CAP);
        if (reason == OCSP_GOOD) {
            buf_put_string(out, ": served until ");
            text_put_time(out, v.end_s);
        } else {
            buf_put_string(out, ": no proof is served: ");
            buf_put_string(out, ocsp_reason_name(reason));
        }
        buf_put_string(out, "\n");
        if (reason != OCSP_GOOD && staple_is_required(s, pair)) {
            put_complaint(out, cert_path, ": says that it is not to be believed without a proof\n");
        }
        if (!tls_can_show(s->env, s->now.set, pair)) {
            put_complaint(out, cert_path,
                          ": is never shown, as none of tls_require_ciphers is for its key\n");
        }
        if (now->wall_set) {
            put_validity(s, pair, now->wall_s, out);
        }
    }
}

/* --- Counts --- */

void staple_count(struct staple_counts *counts, const struct tls_info *info)
{
    switch (info->staple) {
    case TLS_STAPLE_NOT_ASKED:
        counts->num_not_asked++;
        return;
    case TLS_STAPLE_SERVED:
        counts->num_served++;
        return;
    case TLS_STAPLE_NONE:
        counts->num_withheld[info->staple_reason]++;
        return;
    }
}

uint64_t staple_num_asked(const struct staple_counts *counts)
{
    uint64_t num_asked = counts->num_served;
    for (size_t i = 0; i < NUM_OCSP_REASONS; i++) {
        num_asked += counts->num_withheld[i];
    }
    return num_asked;
}

void staple_put_counts(const struct staple_counts *counts, struct log_line *line)
{
    uint64_t num_asked = staple_num_asked(counts);
    log_u64(line, "handshakes", num_asked + counts->num_not_asked);
    log_u64(line, "asked", num_asked);
    log_u64(line, "served", counts->num_served);
    for (size_t i = 0; i < NUM_OCSP_REASONS; i++) {
        if (counts->num_withheld[i] != 0) {
            uint8_t bytes[64];
            struct buf key = buf_make(bytes, sizeof bytes);
            buf_put_string(&key, "none:");
            buf_put_string(&key, ocsp_reason_name((enum ocsp_reason)i));
            buf_end_string(&key);
            log_u64(line, (const char *)bytes, counts->num_withheld[i]);
        }
    }
}

/* The set in force, and which of two proofs is kept: see ocsp_staple.h. */
#include "ocsp_staple.h"

#include "ocsp_staple_files.h"
#include "teeth.h"

/* --- Which of two proofs --- */

/* At a time that is not known, whatever can ever be good is given the benefit of the doubt: nothing
 * is served by it before the clock is set. */
static bool holds(const struct ocsp_verdict *v, const struct tls_time *now)
{
    return now->wall_set ? ocsp_verdict_at(v, now->wall_s) == OCSP_GOOD : v->reason == OCSP_GOOD;
}

static bool is_refusal(const struct ocsp_verdict *v)
{
    return v->reason == OCSP_REVOKED || v->reason == OCSP_UNKNOWN;
}

/* The table in the header. */
bool staple_replaces(const struct ocsp_verdict *new, const struct ocsp_verdict *old,
                     const struct tls_time *now)
{
    if (!old->verified || !new->verified) {
        return !old->verified;
    }
    bool is_older = new->this_update_s < old->this_update_s;
    if (is_refusal(new)) {
        bool is_milder = old->reason == OCSP_REVOKED && new->reason == OCSP_UNKNOWN;
        return !is_older && !(is_milder && new->this_update_s == old->this_update_s) &&
               !BROKEN(REVOCATION_FORGOTTEN);
    }
    if (old->reason != OCSP_GOOD) {
        return is_refusal(old) ? new->this_update_s > old->this_update_s : !is_older;
    }
    if (new->reason != OCSP_GOOD) {
        return false;
    }
    return holds(old, now) ? !is_older && holds(new, now) : !is_older || holds(new, now);
}

/* --- Reports --- */

static void report(struct staple *s, enum log_level level, struct log_line *line)
{
    s->port->log.line(s->port->log.ctx, level, log_end(line));
}

/* What a proof's file held for a certificate of the chain, and whether it is what is served from
 * now on. */
static void report_proof(struct staple *s, const char *path, size_t index,
                         const struct ocsp_verdict *v, const char *action,
                         const struct tls_time *now)
{
    enum ocsp_reason reason = staple_reason_at(v, now);
    struct log_line line;
    log_begin(&line, "proof");
    log_peer_text(&line, "file", slice_of_string(path));
    if (index != 0) {
        log_u64(&line, "chain", index);
    }
    log_word(&line, "action", action);
    log_word(&line, "reason", ocsp_reason_name(reason));
    if (v->this_update_s != OCSP_NO_TIME) {
        log_time(&line, "this_update", v->this_update_s);
    }
    if (v->reason == OCSP_GOOD) {
        log_time(&line, "until", v->end_s);
    }
    report(s, reason == OCSP_GOOD ? LOG_INFO : LOG_WARNING, &line);
}

/* One line of the log for each line of text. */
static void report_errors(struct staple *s, struct slice text)
{
    struct log_line line;
    while (text.len != 0) {
        const uint8_t *end = memchr(text.ptr, '\n', text.len);
        struct slice what, newline;
        slice_take(&text, end != NULL ? (size_t)(end - text.ptr) : text.len, &what);
        slice_take(&text, end != NULL ? 1 : 0, &newline);
        log_begin(&line, "certificate");
        log_word(&line, "action", "old-kept");
        log_peer_text(&line, "error", what);
        report(s, LOG_ERROR, &line);
    }
}

/* --- Proofs --- */

/* What all judging of one pair's file shares. */
struct judging {
    struct staple *s;
    struct staple_load *load;
    size_t pair;
    const char *path;
    const struct tls_time *now;
    bool was_starved; /* the last try lacked something, and said so */
    bool is_unread;   /* the file is there and could not be read: to be tried again */
    int64_t look_s;   /* when a proof that was left for now begins to hold; INT64_MAX: none was */
    enum err err;     /* ERR_OK or ERR_NO_MEMORY */
};

/* What a set has for that certificate: there may be nothing. */
static bool find_old(const struct tls_set *set, struct slice cert, struct slice *out_der,
                     const struct ocsp_verdict **out)
{
    for (size_t pair = 0; set != NULL && pair < tls_set_num_pairs(set); pair++) {
        for (size_t i = 0; i < tls_set_num_certs(set, pair); i++) {
            if (slice_equal(tls_set_cert_der(set, pair, i), cert)) {
                return tls_set_proof(set, pair, i, out_der, out);
            }
        }
    }
    return false;
}

/* A new set begins with what the old one had for the same certificates, or with what is known from
 * before the start. */
static void carry_over(struct judging *j, const struct tls_set *old_set)
{
    for (size_t i = 0; i < tls_set_num_certs(j->load->set, j->pair); i++) {
        struct slice cert = tls_set_cert_der(j->load->set, j->pair, i);
        const struct ocsp_verdict *old;
        struct ocsp_verdict kept;
        struct slice der = slice_make(NULL, 0);
        bool is_known = find_old(old_set, cert, &der, &old);
        if (is_known) {
            kept = *old;
        }
        if ((!is_known || !kept.verified) && staple_ledger_find(j->s->ledger, cert, &kept)) {
            is_known = true;
        }
        if (!is_known) {
            continue;
        }
        if (j->s->is_reloading && !slice_is_empty(der)) {
            staple_judge(j->s, j->load, j->pair, i, der, &kept);
        }
        if (tls_set_set_proof(j->load->set, j->pair, i, der, &kept) != ERR_OK) {
            j->err = ERR_NO_MEMORY;
        }
    }
}

static const char *action_of(enum err err, bool is_taken, const struct ocsp_verdict *new)
{
    if (err != ERR_OK) {
        return err_name(err);
    }
    if (!is_taken) {
        return "old-kept";
    }
    return new->reason == OCSP_GOOD ? "taken" : "none-served";
}

/* A verdict for one certificate has come: it takes the old one's place, or not. */
static void offer(struct judging *j, size_t index, struct slice der, const struct ocsp_verdict *new)
{
    struct tls_set *set = j->load->set;
    const struct ocsp_verdict *old;
    struct slice old_der;
    enum err err = ERR_OK;
    bool is_taken =
        tls_set_proof(set, j->pair, index, &old_der, &old) && staple_replaces(new, old, j->now);
    if (is_taken) {
        struct slice kept = new->reason == OCSP_GOOD ? der : slice_make(NULL, 0);
        err = tls_set_set_proof(set, j->pair, index, kept, new);
        staple_ledger_note(j->s->ledger, tls_set_cert_der(set, j->pair, index), new);
    }
    bool is_early = j->now->wall_set && j->now->wall_s < new->begin_s;
    if (!is_taken && new->reason == OCSP_GOOD && is_early) {
        j->look_s = j->look_s < new->begin_s ? j->look_s : new->begin_s;
    }
    if (err == ERR_OK && new->reason == OCSP_NO_MEMORY) {
        err = ERR_NO_MEMORY;
    }
    j->err = err != ERR_OK ? err : j->err;
    /* A want of memory is told once, not at each new try. */
    if (!(err != ERR_OK && j->was_starved)) {
        report_proof(j->s, j->path, index, new, action_of(err, is_taken, new), j->now);
    }
}

/* Offers a proof to each certificate that it is about, without the certificates that nobody needs,
 * as of one that is fetched. What it is for the leaf is left in *out_leaf if it is about none. */
static bool offer_to_chain(struct judging *j, struct slice der, struct ocsp_verdict *out_leaf)
{
    bool is_for_one = false;
    for (size_t i = 0; i < tls_set_num_certs(j->load->set, j->pair); i++) {
        struct ocsp_verdict v;
        staple_judge(j->s, j->load, j->pair, i, der, &v);
        if (staple_is_about(&v)) {
            if (v.reason == OCSP_GOOD) {
                der = ocsp_response_trim(der, v.signer_cert, j->load->issuers[j->pair][i].der);
            }
            offer(j, i, der, &v);
            is_for_one = true;
        } else if (i == 0) {
            *out_leaf = v;
        }
    }
    return is_for_one;
}

/* Reads the proofs of a pair. What is about none of its certificates counts for the leaf: it says
 * why that has none. */
static void judge_file(struct judging *j, struct buf scratch)
{
    struct staple_proofs proofs;
    struct ocsp_verdict v;
    struct slice der;
    bool is_whole;
    enum ocsp_reason reason = staple_read_proofs(j->s, j->path, scratch, &proofs);
    j->load->is_pem[j->pair] = reason == OCSP_GOOD ? proofs.is_pem : staple_is_pem_name(j->path);
    j->is_unread = reason == OCSP_UNREADABLE;
    if (j->is_unread && j->was_starved) {
        return; /* told already */
    }
    if (reason != OCSP_GOOD) {
        v = ocsp_verdict_none(reason);
        offer(j, 0, slice_make(NULL, 0), &v);
        return;
    }
    while (staple_next_proof(&proofs, &der, &is_whole)) {
        if (!offer_to_chain(j, der, &v)) {
            offer(j, 0, slice_make(NULL, 0), &v);
        }
    }
    if (!is_whole) {
        v = ocsp_verdict_none(OCSP_MALFORMED);
        offer(j, 0, slice_make(NULL, 0), &v);
    }
}

/* Judges the proofs of a pair for the set of load, which keeps what old_set had where that is
 * better. ERR_OK or ERR_NO_MEMORY. */
static enum err update_pair(struct staple *s, struct staple_load *load, size_t pair,
                            const struct tls_set *old_set, const struct tls_time *now,
                            struct buf scratch)
{
    struct judging j = {.s = s,
                        .load = load,
                        .pair = pair,
                        .path = load->files.paths[staple_index(STAPLE_PROOF, pair)],
                        .now = now,
                        .was_starved = load->judge_again || load->is_unread[pair],
                        .look_s = INT64_MAX};
    if (j.path[0] == '\0') {
        return ERR_OK;
    }
    if (load->set != old_set) {
        carry_over(&j, old_set);
    }
    judge_file(&j, scratch);
    s->is_changed = s->is_changed || !j.is_unread;
    load->is_unread[pair] = j.is_unread;
    load->look_s = j.look_s < load->look_s ? j.look_s : load->look_s;
    return j.err;
}

static enum err update_proofs(struct staple *s, struct staple_load *load,
                              const struct tls_set *old_set, const struct tls_time *now,
                              struct buf scratch)
{
    enum err first_err = ERR_OK;
    load->look_s = INT64_MAX;
    for (size_t pair = 0; pair < load->files.num_pairs; pair++) {
        enum err err = update_pair(s, load, pair, old_set, now, scratch);
        first_err = first_err == ERR_OK ? err : first_err;
    }
    load->judge_again = first_err != ERR_OK;
    s->is_changed = true;
    return first_err;
}

/* Those alone that could not be read the last time: the others have been judged, and told. */
static void update_unread(struct staple *s, const struct tls_time *now, struct buf scratch)
{
    for (size_t pair = 0; pair < s->now.files.num_pairs; pair++) {
        if (s->now.is_unread[pair] &&
            update_pair(s, &s->now, pair, s->now.set, now, scratch) != ERR_OK) {
            s->now.judge_again = true;
        }
    }
}

/* --- Sets --- */

/* Loads next->files and puts the result in force; on failure the old set stays. Where there is an
 * old set, a new one must not cost its proofs for want of memory. */
static enum err replace_set(struct staple *s, struct staple_load *next, const struct tls_time *now,
                            struct buf scratch, struct buf *errors)
{
    enum err err = staple_load(s, next, scratch, errors);
    if (err != ERR_OK) {
        return err;
    }
    err = update_proofs(s, next, s->now.set, now, scratch);
    if (err != ERR_OK && s->now.set != NULL) {
        buf_put_string(errors, "there is not enough memory for the proofs\n");
        staple_unload(s, next);
        return err;
    }
    staple_unload(s, &s->now);
    s->now = *next;
    s->told = ERR_OK;
    return ERR_OK;
}

void staple_save_evictions(struct staple *s, struct buf scratch)
{
    if (s->ledger != NULL) {
        staple_ledger_save(s->ledger, scratch);
    }
}

enum err staple_reload(struct staple *s, const struct staple_conf *conf, const struct tls_time *now,
                       struct buf scratch, struct buf *errors)
{
    struct staple_load next;
    struct ocsp_options judging = s->judging;
    s->ledger = conf->ledger;
    memset(&next, 0, sizeof next);
    if (!staple_split(conf, &next.files, errors)) {
        return ERR_MALFORMED;
    }
    s->judging = conf->judging;
    s->is_reloading = true;
    enum err err = replace_set(s, &next, now, scratch, errors);
    s->is_reloading = false;
    if (err != ERR_OK) {
        s->judging = judging;
        return err;
    }
    staple_save_evictions(s, scratch);
    staple_watch(s, now);
    return ERR_OK;
}

enum err staple_open(struct staple *s, const struct port *port, struct tls_env *env,
                     const struct staple_conf *conf, const struct tls_time *now, struct buf scratch,
                     struct buf *errors)
{
    memset(s, 0, sizeof *s);
    s->port = port;
    s->env = env;
    s->looked_ms = now->now_ms;
    return staple_reload(s, conf, now, scratch, errors);
}

/* Which kinds of files are not as they were loaded. */
static void find_change(const struct staple *s, const struct port_stamp *stamps,
                        bool *out_set_changed, bool *out_proof_changed)
{
    *out_set_changed = *out_proof_changed = false;
    for (size_t i = 0; i < STAPLE_MAX_FILES; i++) {
        if (memcmp(&stamps[i], &s->now.stamps[i], sizeof stamps[i]) == 0) {
            continue;
        }
        if (i % 3 == STAPLE_PROOF) { /* the file of authorities is none of three */
            *out_proof_changed = true;
        } else {
            *out_set_changed = true;
        }
    }
}

static bool load_changed_set(struct staple *s, const struct tls_time *now, struct buf scratch)
{
    struct staple_load next;
    uint8_t bytes[STAPLE_ERRORS_CAP];
    struct buf errors = buf_make(bytes, sizeof bytes);
    memset(&next, 0, sizeof next);
    next.files = s->now.files;
    enum err err = replace_set(s, &next, now, scratch, &errors);
    if (err != ERR_OK) {
        if (err != s->told || !err_is_temporary(err)) {
            report_errors(s, buf_slice(&errors));
        }
        s->told = err;
    }
    return err == ERR_OK;
}

static void report_new_set(struct staple *s)
{
    struct log_line line;
    log_begin(&line, "certificate");
    log_word(&line, "action", "taken");
    log_peer_text(&line, "file",
                  slice_of_string(s->now.files.paths[staple_index(STAPLE_CERTIFICATE, 0)]));
    report(s, LOG_INFO, &line);
}

void staple_load_changes(struct staple *s, const struct tls_time *now, struct buf scratch)
{
    struct port_stamp stamps[STAPLE_MAX_FILES];
    bool set_changed, proof_changed;
    staple_stamp(&s->port->files, &s->now.files, stamps);
    find_change(s, stamps, &set_changed, &proof_changed);
    /* What failed for a lack of something is tried again; else only once files change again. */
    if (set_changed || err_is_temporary(s->told)) {
        if (load_changed_set(s, now, scratch)) {
            report_new_set(s);
            return;
        }
    }
    memcpy(s->now.stamps, stamps, sizeof s->now.stamps);
    bool is_time = now->wall_set && now->wall_s >= s->now.look_s;
    if (proof_changed || s->now.judge_again || is_time) {
        update_proofs(s, &s->now, s->now.set, now, scratch);
    } else {
        update_unread(s, now, scratch);
    }
}

/* What another set has learnt of a certificate holds for this one. */
static void hear_ledger(struct staple *s, const struct tls_time *now)
{
    bool is_all = true;
    if (s->ledger == NULL || s->num_words == s->ledger->num_words) {
        return;
    }
    for (size_t i = 0; i < STAPLE_MAX_PAIRS * TLS_SET_CHAIN_MAX; i++) {
        size_t pair = i / TLS_SET_CHAIN_MAX, index = i % TLS_SET_CHAIN_MAX;
        const struct ocsp_verdict *old;
        struct ocsp_verdict known;
        struct slice der;
        if (tls_set_proof(s->now.set, pair, index, &der, &old) &&
            staple_ledger_find(s->ledger, tls_set_cert_der(s->now.set, pair, index), &known) &&
            (known.reason != old->reason || known.this_update_s != old->this_update_s) &&
            staple_replaces(&known, old, now)) {
            enum err err = tls_set_set_proof(s->now.set, pair, index, slice_make(NULL, 0), &known);
            is_all = is_all && err == ERR_OK;
            s->is_changed = true;
        }
    }
    s->num_words = is_all ? s->ledger->num_words : s->num_words;
}

void staple_refresh(struct staple *s, const struct tls_time *now, struct buf scratch)
{
    if (s->now.set != NULL) {
        hear_ledger(s, now);
    }
    if (s->now.set == NULL || now->now_ms - s->looked_ms < STAPLE_LOOK_MS) {
        return;
    }
    s->looked_ms = now->now_ms;
    staple_load_changes(s, now, scratch);
    staple_save_evictions(s, scratch);
    staple_watch(s, now);
}

struct tls_set *staple_take_set(struct staple *s)
{
    if (s->now.set != NULL) {
        tls_set_keep(s->now.set);
    }
    return s->now.set;
}

void staple_close(struct staple *s)
{
    if (s->env != NULL) {
        staple_unload(s, &s->now);
    }
    memset(s, 0, sizeof *s);
}

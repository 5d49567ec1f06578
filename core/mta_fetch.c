/* The renewing of proofs: which certificates of which sets it is for, what they are asked for, and
 * what becomes of the answers. Called by the step, after everything that a peer waits for. */
#include "mta_inside.h"

#include "ocsp_staple_fetch.h"

#define SET_TARGETS (STAPLE_MAX_PAIRS * FETCH_CERTS)

static size_t target_of(size_t set, size_t pair, size_t cert)
{
    return set * SET_TARGETS + pair * FETCH_CERTS + cert;
}

enum err fetch_open(struct mta *m, struct arena *a)
{
    struct fetch_target *targets = arena_take(a, FETCH_TARGETS * sizeof *targets);
    uint8_t *memory = arena_take(a, FETCH_MEMORY_LEN);
    if (targets == NULL || memory == NULL) {
        return ERR_NO_MEMORY;
    }
    ocsp_fetch_open(&m->fetch, m->port, TAG_FETCH, &(struct ocsp_fetch_conf){.alarm_s = 0}, targets,
                    FETCH_TARGETS, buf_make(memory, FETCH_MEMORY_LEN));
    return ERR_OK;
}

/* 0 the default set, else 1 + the place in the pool of those for names; NULL: there is none. */
static struct staple *set_at(struct mta *m, size_t set)
{
    uint32_t cursor = (uint32_t)set - 1;
    if (set == 0) {
        return m->has_staple ? &m->staple : NULL;
    }
    struct staple_name *item = pool_each(&m->tls_names, &cursor);
    return item != NULL && cursor == set ? &item->staple : NULL;
}

void fetch_use(struct mta *m, const struct conf *conf)
{
    ocsp_fetch_set_conf(&m->fetch, &(struct ocsp_fetch_conf){
                                       .proxy = slice_of_string(conf->ocsp_fetch_proxy),
                                       .use_get = conf->ocsp_fetch_method,
                                       .use_nonce = conf->ocsp_fetch_nonce,
                                       .owner_saves = true,
                                       .timeout_ms = conf->ocsp_fetch_timeout_ms,
                                       .alarm_s = conf->ocsp_alarm_s,
                                       .resolv_conf_path = m->start->resolv_conf_path,
                                       .hosts_path = m->start->hosts_path,
                                   });
    for (size_t set = 0; set <= BUDGET_TLS_SETS; set++) {
        struct staple *s = set_at(m, set);
        if (s != NULL) {
            s->is_changed = true; /* the responder may be */
        }
    }
    m->sets_touched = true;
}

/* --- Who is asked --- */

static void warn(struct mta *m, const struct staple_wanted *w, const char *result, enum err err)
{
    struct log_line line;
    log_begin(&line, "ocsp-fetch");
    log_peer_text(&line, "certificate", slice_of_string(w->certificate));
    log_word(&line, "result", result);
    if (err != ERR_OK) {
        log_peer_text(&line, "file", slice_of_string(w->path));
        log_word(&line, "reason", err_name(err));
    }
    report_line(m, LOG_WARNING, &line);
}

static void put_check(struct buf *out, const char *path, const char *what, const char *why)
{
    buf_put_string(out, "ocsp_fetch ");
    text_put_escaped(out, slice_of_string(path), STAPLE_PATH_CAP);
    buf_put_string(out, ": ");
    buf_put_string(out, what);
    buf_put_string(out, why);
    buf_put_string(out, "\n");
}

/* Whether w->why_not holds: a responder that is given need not be named. */
static bool cannot_ask(const struct mta *m, const struct staple_wanted *w)
{
    return w->why_not != NULL && (m->site->conf.ocsp_fetch.kind == CONF_FETCH_AIA ||
                                  strcmp(w->why_not, ocsp_reason_name(OCSP_NO_ISSUER)) == 0);
}

/* The responder's address; empty: the proof is watched, and not fetched. */
static struct slice url_for(struct mta *m, const struct staple_wanted *w, size_t cert)
{
    const struct conf_fetch_from *from = &m->site->conf.ocsp_fetch;
    bool is_given = from->kind == CONF_FETCH_URL;
    if (from->kind == CONF_FETCH_NO || (is_given && cert != 0)) {
        return slice_make(NULL, 0);
    }
    if (cannot_ask(m, w)) {
        warn(m, w, w->why_not, ERR_OK);
        return slice_make(NULL, 0);
    }
    return is_given ? slice_of_string(from->url) : w->url;
}

/* When the proof that has come from a file is to be renewed. */
static void tell_plan(struct mta *m, const struct staple_wanted *w, size_t target)
{
    struct tls_time now = mta_tls_time(m);
    uint64_t at_ms = ocsp_fetch_next_ms(&m->fetch, target, &now);
    struct log_line line;
    if (at_ms == UINT64_MAX) {
        return;
    }
    log_begin(&line, "ocsp-fetch");
    log_peer_text(&line, "certificate", slice_of_string(w->certificate));
    log_word(&line, "result", "planned");
    log_u64(&line, "next_s", at_ms > now.now_ms ? (at_ms - now.now_ms) / 1000 : 0);
    report_line(m, LOG_INFO, &line);
}

static void set_target(struct mta *m, const struct staple *s, size_t target)
{
    struct staple_wanted w;
    struct fetch_life life;
    size_t cert = target % FETCH_CERTS, pair = target / FETCH_CERTS % STAPLE_MAX_PAIRS;
    const struct fetch_life *known = &m->fetch.targets[target].plan.life;
    if (s == NULL || !staple_wants(s, pair, cert, m->fetch.targets[target].plan.num_failures, &w)) {
        if (m->fetch.targets[target].is_used) {
            ocsp_fetch_drop_target(&m->fetch, target);
        }
        return;
    }
    enum url_error e =
        ocsp_fetch_set_target(&m->fetch, target, &w.id, url_for(m, &w, cert), w.path);
    if (e != URL_OK) {
        warn(m, &w, url_error_name(e), ERR_OK);
        ocsp_fetch_set_target(&m->fetch, target, &w.id, slice_make(NULL, 0), w.path);
    }
    staple_life(s, pair, cert, &life);
    bool is_other = life.exists && (!known->exists || known->end_s != life.end_s);
    ocsp_fetch_set_life(&m->fetch, target, &life);
    if (is_other) {
        tell_plan(m, &w, target);
    }
}

static void set_targets(struct mta *m)
{
    for (size_t set = 0; set <= BUDGET_TLS_SETS; set++) {
        struct staple *s = set_at(m, set);
        if (s != NULL && !s->is_changed) {
            continue;
        }
        for (size_t i = 0; i < SET_TARGETS; i++) {
            set_target(m, s, set * SET_TARGETS + i);
        }
        if (s != NULL) {
            s->is_changed = false;
        }
    }
}

/* --- What comes --- */

static void judge(struct mta *m, const struct tls_time *now)
{
    size_t target = m->fetch.current, cert = target % FETCH_CERTS;
    size_t pair = target / FETCH_CERTS % STAPLE_MAX_PAIRS;
    struct staple *s = set_at(m, target / SET_TARGETS);
    struct slice der = m->fetch.response;
    struct buf scratch = buf_make(m->scratch, BUDGET_SCRATCH_LEN);
    struct staple_wanted w;
    struct fetch_life life;
    const char *why;
    enum err err = ERR_OK;
    enum fetch_verdict verdict = staple_offer(s, pair, cert, &der, now, scratch, &why);
    if (verdict == FETCH_TAKEN) {
        err = staple_save(s, pair, cert, der, scratch);
    }
    staple_life(s, pair, cert, &life);
    (void)ocsp_fetch_judged(&m->fetch, now, verdict, &life, why);
    if (err != ERR_OK && staple_wants(s, pair, cert, 0, &w)) {
        warn(m, &w, "not-saved", err);
    }
}

#define SAVE_AGAIN_MS (10u * 60 * 1000)

/* What could not be written: perhaps there is room now. */
static void save_again(struct mta *m)
{
    if (m->now_ms < m->save_again_ms) {
        return;
    }
    m->save_again_ms = m->now_ms + SAVE_AGAIN_MS;
    for (size_t set = 0; set <= BUDGET_TLS_SETS; set++) {
        struct staple *s = set_at(m, set);
        if (s != NULL && s->unsaved != 0 &&
            staple_save_again(s, buf_make(m->scratch, BUDGET_SCRATCH_LEN))) {
            report_text(m, LOG_INFO, "ocsp-fetch", SLICE_LITERAL("what could not be saved is now"));
        }
    }
}

void fetch_step(struct mta *m)
{
    struct tls_time now = mta_tls_time(m);
    if (m->stopping) {
        return;
    }
    if (m->sets_touched) {
        m->sets_touched = false;
        set_targets(m);
    }
    if (!m->fetch_woken && m->now_ms < ocsp_fetch_deadline_ms(&m->fetch)) {
        return;
    }
    m->fetch_woken = false;
    save_again(m);
    enum fetch_event event = ocsp_fetch_step(&m->fetch, &now);
    if (event == FETCH_GOT) {
        judge(m, &now);
        m->sets_touched = true; /* what the look at the files found */
    }
    if (event != FETCH_NOTHING) { /* it may be another responder's turn */
        set_target(m, set_at(m, m->fetch.current / SET_TARGETS), m->fetch.current);
    }
}

void fetch_put_check(struct mta *m, struct buf *out)
{
    const struct port_files *files = &m->port->files;
    struct staple_wanted w;
    enum conf_fetch kind = m->site->conf.ocsp_fetch.kind;
    for (size_t pair = 0; kind != CONF_FETCH_NO && pair < STAPLE_MAX_PAIRS; pair++) {
        if (!staple_wants(&m->staple, pair, 0, 0, &w)) {
            continue;
        }
        enum err err = files->can_replace(files->ctx, w.path);
        if (err != ERR_OK) {
            put_check(out, w.path, "what is fetched cannot be written: ", err_name(err));
        }
        if (cannot_ask(m, &w)) {
            put_check(out, w.certificate, "nobody can be asked for its proof: ", w.why_not);
        }
    }
}

uint64_t fetch_deadline_ms(const struct mta *m)
{
    return m->stopping ? UINT64_MAX : ocsp_fetch_deadline_ms(&m->fetch);
}

bool fetch_next_s(const struct mta *m, size_t set, size_t pair, int64_t *out_s)
{
    struct tls_time now = mta_tls_time(m);
    uint64_t at_ms = ocsp_fetch_next_ms(&m->fetch, target_of(set, pair, 0), &now);
    if (at_ms == UINT64_MAX) {
        return false;
    }
    *out_s = wall_time_guess(&m->wall) +
             (at_ms > now.now_ms ? (int64_t)((at_ms - now.now_ms) / 1000) : 0);
    return true;
}

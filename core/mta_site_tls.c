/* What TLS needs of a site: its heap, its generator, its ciphers, the certificates and their
 * proofs. */
#include "mta_inside.h"

#include "conf_build.h"
#include "conf_report.h"
#include "ocsp_staple_files.h"
#include "scram_keys.h"
#include "tls_client.h"

#define STIR_MS (60u * 60 * 1000) /* fresh entropy for the generator */

static void complain(struct buf *errors, const char *what, const char *why)
{
    buf_put_string(errors, what);
    buf_put_string(errors, ": ");
    buf_put_string(errors, why);
    buf_put_string(errors, "\n");
}

/* Begins a complaint about an option, with its place. */
static struct conf_report begin_complaint(const struct mta *m, const struct conf *conf,
                                          enum conf_option option, struct buf *errors)
{
    struct conf_report r = conf_report_make(errors, m->start->conf_path);
    conf_report_begin(&r, conf->lines[option], conf_option_name(option));
    return r;
}

static enum err explain_env(const struct mta *m, const struct conf *conf, enum err err,
                            struct slice bad_name, struct buf *errors)
{
    if (err == ERR_UNSUPPORTED) {
        struct conf_report r = begin_complaint(m, conf, CONF_tls_require_ciphers, errors);
        buf_put_string(errors, "found '");
        text_put_escaped(errors, bad_name, 64);
        const char *lack = conf_lacks(bad_name);
        buf_put_string(errors, lack != NULL ? "', but this build has no "
                                            : "', expected names of cipher suites of TLS ");
        buf_put_string(errors, lack != NULL ? lack : "1.2 or 1.3");
        conf_report_end(&r);
    } else if (err != ERR_OK) {
        complain(errors, "tls", err_name(err));
    }
    return err;
}

enum err site_open_env(struct mta *m, const struct conf *conf, struct buf *errors)
{
    uint8_t seed[TLS_SEED_LEN];
    struct slice bad_name = slice_make(NULL, 0);
    enum err err = m->port->entropy.fill(m->port->entropy.ctx, seed, sizeof seed);
    if (err == ERR_OK) {
        err = tls_env_open(&m->tls_env, &m->heap, slice_make(seed, sizeof seed),
                           slice_of_string(conf->tls_require_ciphers), &bad_name);
    }
    scram_wipe(seed, sizeof seed);
    m->has_tls_env = err == ERR_OK;
    m->stirred_ms = m->now_ms;
    return explain_env(m, conf, err, bad_name, errors);
}

static struct staple_conf staple_conf_of(struct mta *m, const struct conf *conf)
{
    return (struct staple_conf){
        .certificate = conf->tls_certificate,
        .privatekey = conf->tls_privatekey,
        .ocsp_file = conf->tls_ocsp_file,
        .verify_certificates = conf->tls_verify_certificates,
        .judging = {.skew_s = conf->ocsp_skew_s,
                    .margin_s = conf->ocsp_margin_s,
                    .max_age_s = conf->ocsp_max_age_s,
                    .allow_sha1 = conf->ocsp_allow_sha1},
        .ledger = &m->evictions,
    };
}

static struct buf file_scratch(struct mta *m)
{
    return buf_make(m->scratch, BUDGET_SCRATCH_LEN);
}

/* Where a client gives no name, the server's own stands for it. */
static bool expand_default(const struct mta *m, const struct conf *conf, struct staple_conf *in_out,
                           struct staple_expansion *texts, struct buf *errors)
{
    uint8_t bytes[TLS_NAME_MAX];
    struct buf name = buf_make(bytes, sizeof bytes);
    if (!staple_conf_has_name(in_out)) {
        return true;
    }
    if (!tls_hello_put_name(&name, conf->primary_hostname)) {
        struct conf_report r = begin_complaint(m, conf, CONF_tls_certificate, errors);
        buf_put_string(errors, "with $tls_in_sni in it or in another file of TLS, primary_hostname "
                               "must be a domain name: it stands there when a client asks for no "
                               "name");
        conf_report_end(&r);
        return false;
    }
    if (!staple_expand(in_out, buf_slice(&name), texts, in_out)) {
        struct conf_report r = begin_complaint(m, conf, CONF_tls_certificate, errors);
        buf_put_string(errors, "a file name of TLS becomes too long");
        conf_report_end(&r);
        return false;
    }
    return true;
}

static enum err load(struct mta *m, const struct conf *conf, struct buf *errors)
{
    struct staple_conf staple_conf = staple_conf_of(m, conf);
    struct staple_expansion texts;
    if (!expand_default(m, conf, &staple_conf, &texts, errors)) {
        return ERR_MALFORMED;
    }
    struct tls_time now = mta_tls_time(m);
    if (m->has_staple) {
        return staple_reload(&m->staple, &staple_conf, &now, file_scratch(m), errors);
    }
    enum err err =
        staple_open(&m->staple, m->port, &m->tls_env, &staple_conf, &now, file_scratch(m), errors);
    m->has_staple = err == ERR_OK;
    return err;
}

/* Certificates of our own, if there are any or have been. */
static enum err load_own(struct mta *m, const struct conf *conf, struct buf *errors)
{
    bool has_some = conf->tls_certificate[0] != 0 || m->has_staple;
    return has_some ? load(m, conf, errors) : ERR_OK;
}

static void use(struct mta *m, const struct conf *conf, const struct mta_trust *trust)
{
    struct slice bad_name;
    struct staple_conf staple_conf = staple_conf_of(m, conf);
    (void)tls_env_set_ciphers(&m->tls_env, slice_of_string(conf->tls_require_ciphers), &bad_name);
    trust_use(m, trust);
    staple_names_use(&m->names, &staple_conf);
    m->has_certificate = conf->tls_certificate[0] != 0;
    fetch_use(m, conf);
    site_watch(m);
}

enum err site_load_tls(struct mta *m, struct site *site, struct buf *errors)
{
    const struct conf *conf = &site->conf;
    struct slice bad_name = slice_make(NULL, 0);
    struct mta_trust trust = {0};
    bool is_wanted = conf->tls_certificate[0] != 0 || conf->remote_tls_verify_certificates[0] != 0;
    enum err err = tls_check_ciphers(slice_of_string(conf->tls_require_ciphers), &bad_name);
    err = explain_env(m, conf, err, bad_name, errors);
    if (err != ERR_OK || (!is_wanted && !m->has_tls_env)) {
        return err; /* a server without TLS takes no memory for it */
    }
    if (!m->has_tls_env) {
        err = site_open_env(m, conf, errors);
    }
    if (err == ERR_OK) {
        err = trust_load(m, conf, &trust, errors);
    }
    if (err == ERR_OK) {
        err = load_own(m, conf, errors);
    }
    if (err == ERR_OK) {
        use(m, conf, &trust);
    } else {
        trust_drop(m, &trust);
    }
    return err;
}

enum err site_open_tls(struct mta *m, struct site *site, struct arena *a, struct buf *errors)
{
    void *region = arena_take(a, BUDGET_TLS_HEAP_LEN);
    if (region == NULL || !heap_open(&m->heap, region, BUDGET_TLS_HEAP_LEN)) {
        complain(errors, "tls", err_name(ERR_NO_MEMORY));
        return ERR_NO_MEMORY;
    }
    staple_ledger_open(&m->evictions, m->port, site->conf.spool_directory, file_scratch(m));
    m->evictions.is_read_only = m->is_check;
    staple_names_open(&m->names, m->port, &m->tls_env, &m->tls_names);
    return site_load_tls(m, site, errors);
}

struct tls_set *site_take_set(struct mta *m, struct slice name)
{
    struct tls_time now = mta_tls_time(m);
    if (m->now_ms - m->stirred_ms > STIR_MS) {
        uint8_t entropy[TLS_SEED_LEN];
        m->stirred_ms = m->now_ms;
        if (m->port->entropy.fill(m->port->entropy.ctx, entropy, sizeof entropy) == ERR_OK) {
            tls_env_stir(&m->tls_env, slice_make(entropy, sizeof entropy));
        }
        scram_wipe(entropy, sizeof entropy);
    }
    m->sets_touched = true;
    struct staple *named = staple_names_find(&m->names, name, &now, file_scratch(m));
    if (named != NULL) {
        return staple_take_set(named);
    }
    staple_refresh(&m->staple, &now, file_scratch(m));
    return staple_take_set(&m->staple);
}

void site_watch(struct mta *m)
{
    struct tls_time now = mta_tls_time(m);
    if (m->has_certificate) {
        staple_refresh(&m->staple, &now, file_scratch(m));
        uint64_t wait_ms = staple_watch(&m->staple, &now);
        uint64_t names_ms = staple_names_watch(&m->names, &now, file_scratch(m));
        m->sets_touched = true;
        wait_ms = names_ms < wait_ms ? names_ms : wait_ms;
        timer_set(&m->timers, &m->staple_timer, m->now_ms + (wait_ms < 1000 ? 1000 : wait_ms));
    }
}

void site_count(struct mta *m, const struct tls_info *info)
{
    struct staple *named = staple_names_peek(&m->names, info->sni);
    staple_count(&m->staple_counts, info);
    staple_count(named != NULL ? &named->counts : &m->staple.counts, info);
}

static void report_counts(struct mta *m)
{
    struct log_line line;
    log_begin(&line, "staples");
    staple_put_counts(&m->staple_counts, &line);
    report_line(m, LOG_INFO, &line);
}

void site_put_check(struct mta *m, struct buf *out)
{
    struct tls_time now = mta_tls_time(m);
    if (m->has_certificate) {
        staple_put_check(&m->staple, &now, out);
        fetch_put_check(m, out);
    } else {
        buf_put_string(out, "tls: none\n");
    }
}

void site_close_tls(struct mta *m)
{
    if (m->has_tls_env && m->spool_ready) {
        report_counts(m);
    }
    uint32_t cursor = 0;
    struct tls *t;
    while ((t = pool_each(&m->tls_conns, &cursor)) != NULL) {
        tls_free(t);
    }
    ocsp_fetch_close(&m->fetch);
    staple_save_evictions(&m->staple, buf_make(m->scratch, BUDGET_SCRATCH_LEN));
    staple_names_close(&m->names);
    staple_close(&m->staple);
    trust_drop(m, &m->trust);
    tls_env_close(&m->tls_env);
}

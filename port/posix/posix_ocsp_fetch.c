/* postern ocsp-fetch: see posix_ocsp_fetch.h. */
#include "posix_ocsp_fetch.h"

#include "conf.h"
#include "ocsp_certid.h"
#include "ocsp_staple_fetch.h"
#include "ocsp_staple_files.h"
#include "ocsp_staple_names.h"
#include "pem.h"
#include "posix_command.h"
#include "posix_fetcher.h"
#include "posix_proof.h"
#include "url.h"

#include <sys/mman.h>
#include <unistd.h>

#define TIMEOUT_S 30

static const char usage[] =
    "usage: postern ocsp-fetch --issuer FILE --cert FILE [OPTION]... -o OUT\n"
    "       postern ocsp-fetch -c FILE [OPTION]...\n"
    "    --url URL       ask this responder, not the one that the certificate names\n"
    "    -o OUT          where the proof goes, in DER, once it is judged\n"
    "    -c FILE         all certificates of the options in FILE, into their tls_ocsp_file\n"
    "    --proxy URL     fetch through this HTTP proxy\n"
    "    --get           ask by GET, not by POST\n"
    "    --nonce         send a nonce\n"
    "    --timeout TIME  how long one fetch may take (30s)\n"
    "    --skew, --margin, --max-age TIME, --allow-sha1    as of ocsp-check; 5m, 5m\n"
    "Exit status: 0 accept, 1 reject, 2 malformed, 3 wrong usage, or a file that cannot be read,\n"
    "    4 not fetched or not written.\n";

struct request {
    int argc; /* as given */
    char **argv;
    const char *issuer, *cert, *url, *out, *conf, *proxy;
    int64_t timeout_s;
    bool use_get, use_nonce;
    struct ocsp_options options;
};

struct work {
    struct proof_memory *memory;
    struct posix_fetcher fetcher;
    struct staple staple;
    struct tls_env env;
    struct staple_expansion texts;
    uint8_t errors[STAPLE_ERRORS_CAP + CONF_ERRORS_CAP];
    uint8_t old_proof[PROOF_FILE_CAP];
};

/* NULL, or the argument that is wrong. */
static const char *parse(struct request *r)
{
    const struct proof_option options[] = {
        {"--issuer", &r->issuer, NULL, NULL},
        {"--cert", &r->cert, NULL, NULL},
        {"--url", &r->url, NULL, NULL},
        {"-o", &r->out, NULL, NULL},
        {"-c", &r->conf, NULL, NULL},
        {"--proxy", &r->proxy, NULL, NULL},
        {"--timeout", NULL, &r->timeout_s, NULL},
        {"--skew", NULL, &r->options.skew_s, NULL},
        {"--margin", NULL, &r->options.margin_s, NULL},
        {"--max-age", NULL, &r->options.max_age_s, NULL},
        {"--allow-sha1", NULL, NULL, &r->options.allow_sha1},
        {"--get", NULL, NULL, &r->use_get},
        {"--nonce", NULL, NULL, &r->use_nonce},
    };
    return proof_parse(r->argc, r->argv, options, sizeof options / sizeof options[0], NULL);
}

/* None, or one that can be fetched from or through. */
static bool is_url_or_none(const char *text)
{
    struct url url;
    if (text == NULL || text[0] == '\0') {
        return true;
    }
    enum url_error e = url_parse(slice_of_string(text), &url);
    if (e != URL_OK) {
        posix_complain(text, url_error_name(e));
    }
    return e == URL_OK;
}

static struct ocsp_fetch_conf fetch_conf_of(const struct request *r)
{
    return (struct ocsp_fetch_conf){
        .proxy = r->proxy != NULL ? slice_of_string(r->proxy) : slice_make(NULL, 0),
        .use_get = r->use_get,
        .use_nonce = r->use_nonce,
        .timeout_ms = (uint64_t)r->timeout_s * 1000,
    };
}

static void put_line(const char *key, const char *value)
{
    posix_put_string(STDOUT_FILENO, key);
    posix_put_string(STDOUT_FILENO, ": ");
    posix_put_string(STDOUT_FILENO, value);
    posix_put_string(STDOUT_FILENO, "\n");
}

/* Says what became of it. */
static int end_with(int status, const char *path, enum fetch_verdict verdict, enum err err)
{
    put_line("file", path);
    put_line("written", verdict == FETCH_TAKEN && err == ERR_OK ? "yes"
                        : verdict == FETCH_NOT_NEWER            ? "no, not newer"
                                                                : "no");
    if (err != ERR_OK) {
        posix_complain(path, err_name(err));
        return PROOF_FAILED;
    }
    return status;
}

/* Who is asked: the one that is given, or else each that the certificate names in its turn. */
struct asking {
    const struct ocsp_certid *id;
    const struct x509_cert *cert;
    const char *given;
    uint32_t turn;
    size_t num;
};

/* The next answer, unless the last one was of use. */
static bool get_next(struct work *w, struct asking *a, enum fetch_verdict last)
{
    struct slice url = slice_of_string(a->given != NULL ? a->given : "");
    while (last == FETCH_REFUSED && a->turn < a->num) {
        if (a->given == NULL) {
            a->num = ocsp_certid_find_url(a->cert, a->turn, &url);
        }
        a->turn++;
        if (posix_fetcher_get(&w->fetcher, a->id, url)) {
            return true;
        }
    }
    return false;
}

/* --- One certificate --- */

static bool is_evicting(enum ocsp_reason reason)
{
    return reason == OCSP_REVOKED || reason == OCSP_UNKNOWN;
}

/* Whether the new proof is to be where the old one is: as the server decides between two. */
static enum fetch_verdict compare(const struct ocsp_verdict *new, const struct ocsp_verdict *old,
                                  const struct tls_time *now)
{
    enum ocsp_reason reason = ocsp_verdict_at(new, now->wall_s);
    if (!new->verified || (reason != OCSP_GOOD && !is_evicting(reason))) {
        return FETCH_REFUSED;
    }
    return staple_is_news(new, old, now) ? FETCH_TAKEN : FETCH_NOT_NEWER;
}

static int judge_one(const struct request *r, struct work *w, const struct ocsp_question *q,
                     enum fetch_verdict *out_verdict)
{
    struct tls_time now = posix_fetcher_now(&w->fetcher);
    const struct port_files *files = &w->fetcher.port.files;
    struct ocsp_verdict v, old;
    struct slice old_der, der = w->fetcher.fetch.response;
    ocsp_check(q, der, &v);
    enum err err = proof_read(r->out, w->old_proof, &old_der);
    ocsp_check(q, old_der, &old); /* of no file: malformed, and anything is better */
    int status = proof_report(&v, ocsp_verdict_at(&v, now.wall_s), now.wall_s);
    enum fetch_verdict verdict = compare(&v, &old, &now);
    *out_verdict = verdict;
    if (err == ERR_OK && pem_is_text(old_der)) {
        posix_complain(r->out, "is in PEM and may hold other proofs, expected DER; -c renews PEM");
        return PROOF_FAILED;
    }
    err = ERR_OK;
    if (verdict == FETCH_TAKEN) {
        err = files->replace(files->ctx, r->out,
                             ocsp_response_trim(der, v.signer_cert, q->issuer->whole));
    }
    return end_with(status, r->out, verdict, err);
}

static int fetch_one(const struct request *r, struct work *w)
{
    struct proof_memory *m = w->memory;
    struct x509_cert issuer, leaf;
    struct ocsp_question q = {&issuer, &leaf, {NULL, 0}, r->options};
    struct ocsp_certid id;
    struct slice url;
    if (!proof_read_cert(r->issuer, m->issuer, &issuer) ||
        !proof_read_cert(r->cert, m->cert, &leaf)) {
        return PROOF_WRONG;
    }
    if (!proof_is_issued_by(&leaf, &issuer)) {
        posix_complain(r->cert, "is not signed by the issuer that was given");
        return PROOF_WRONG;
    }
    if (!ocsp_certid_make(&id, &issuer, &leaf)) {
        posix_complain(r->cert, "its serial number is too long");
        return PROOF_WRONG;
    }
    if (r->url == NULL && ocsp_certid_find_url(&leaf, 0, &url) == 0) {
        posix_complain(r->cert, "names no responder; --url does");
        return PROOF_WRONG;
    }
    struct asking asking = {&id, &leaf, r->url, 0, 1};
    enum fetch_verdict verdict = FETCH_REFUSED;
    int status = PROOF_FAILED;
    while (get_next(w, &asking, verdict)) {
        status = judge_one(r, w, &q, &verdict);
    }
    return status;
}

/* --- All that the options name --- */

static int judge_next(struct work *w, const struct staple_wanted *wanted, size_t pair, size_t index,
                      enum fetch_verdict *out_verdict)
{
    struct tls_time now = posix_fetcher_now(&w->fetcher);
    struct buf scratch = buf_make(w->old_proof, sizeof w->old_proof);
    struct slice der = w->fetcher.fetch.response;
    struct ocsp_verdict v;
    const char *why;
    enum err err = ERR_OK;
    put_line("certificate", wanted->certificate);
    staple_judge(&w->staple, &w->staple.now, pair, index, der, &v);
    int status = proof_report(&v, ocsp_verdict_at(&v, now.wall_s), now.wall_s);
    *out_verdict = staple_offer(&w->staple, pair, index, &der, &now, scratch, &why);
    if (*out_verdict == FETCH_TAKEN) {
        err = staple_save(&w->staple, pair, index, der, scratch);
    }
    return end_with(status, wanted->path, *out_verdict, err);
}

static int fetch_cert(const struct request *r, const struct conf *conf, struct work *w, size_t pair,
                      size_t index)
{
    struct staple_wanted wanted;
    struct x509_cert cert;
    const char *given = r->url != NULL ? r->url : conf->ocsp_fetch.url;
    if (!staple_wants(&w->staple, pair, index, 0, &wanted)) {
        return PROOF_ACCEPT;
    }
    bool is_given = index == 0 && given[0] != '\0' && wanted.id.serial_len != 0;
    if (wanted.why_not != NULL && !is_given) {
        posix_complain(wanted.certificate, wanted.why_not);
        return index == 0 ? PROOF_FAILED : PROOF_ACCEPT;
    }
    struct asking asking = {&wanted.id, &cert, is_given ? given : NULL, 0, 1};
    enum fetch_verdict verdict = FETCH_REFUSED;
    int status = PROOF_FAILED;
    /* Judging looks at the files, and may make the set anew. */
    while (x509_parse_cert(tls_set_cert_der(w->staple.now.set, pair, index), &cert) &&
           get_next(w, &asking, verdict)) {
        status = judge_next(w, &wanted, pair, index, &verdict);
    }
    return status;
}

static int fetch_set(const struct request *r, const struct conf *conf, struct work *w)
{
    int worst = PROOF_ACCEPT;
    const struct tls_set *set = w->staple.now.set;
    if (set == NULL || conf->tls_ocsp_file[0] == '\0') {
        posix_complain(r->conf,
                       set == NULL ? "tls_certificate is not set" : "tls_ocsp_file is not set");
        return PROOF_WRONG;
    }
    for (size_t pair = 0; pair < tls_set_num_pairs(set); pair++) {
        for (size_t index = 0; index < tls_set_num_certs(set, pair); index++) {
            int status = fetch_cert(r, conf, w, pair, index);
            worst = status > worst ? status : worst;
        }
    }
    return worst;
}

/* Loads the files as the server would; of sets by name that of primary_hostname. */
static int open_and_fetch(const struct request *r, const struct conf *conf, struct work *w,
                          struct buf *errors)
{
    struct tls_time now = posix_fetcher_now(&w->fetcher);
    struct proof_memory *m = w->memory;
    struct slice bad_name;
    struct staple_conf staple_conf = {
        .certificate = conf->tls_certificate,
        .privatekey = conf->tls_privatekey,
        .ocsp_file = conf->tls_ocsp_file,
        .verify_certificates = conf->tls_verify_certificates,
        .judging = r->options,
    };
    uint8_t bytes[TLS_NAME_MAX];
    struct buf name = buf_make(bytes, sizeof bytes);
    if (staple_conf_has_name(&staple_conf) &&
        (!tls_hello_put_name(&name, conf->primary_hostname) ||
         !staple_expand(&staple_conf, buf_slice(&name), &w->texts, &staple_conf))) {
        posix_complain(r->conf, "primary_hostname cannot stand in the place of $tls_in_sni");
        return PROOF_WRONG;
    }
    enum err err = tls_env_open(&w->env, &m->heap, slice_make(m->seed, sizeof m->seed),
                                slice_make(NULL, 0), &bad_name);
    if (err == ERR_OK) {
        err = staple_open(&w->staple, &w->fetcher.port, &w->env, &staple_conf, &now,
                          buf_make(w->old_proof, sizeof w->old_proof), errors);
    }
    if (err != ERR_OK) {
        posix_put_errors(r->conf, err, errors);
        tls_env_close(&w->env);
        return PROOF_WRONG;
    }
    int status = fetch_set(r, conf, w);
    staple_close(&w->staple);
    tls_env_close(&w->env);
    return status;
}

/* What the options say, and then what the arguments do. */
static void complete(struct request *r, const struct conf *conf)
{
    r->use_get = r->use_get || conf->ocsp_fetch_method;
    r->use_nonce = r->use_nonce || conf->ocsp_fetch_nonce;
    r->proxy = conf->ocsp_fetch_proxy;
    r->options = (struct ocsp_options){.skew_s = conf->ocsp_skew_s,
                                       .margin_s = conf->ocsp_margin_s,
                                       .max_age_s = conf->ocsp_max_age_s,
                                       .allow_sha1 = conf->ocsp_allow_sha1};
    r->timeout_s = (int64_t)(conf->ocsp_fetch_timeout_ms / 1000);
    (void)parse(r);
}

/* --- The command --- */

static int fetch(struct request *r, struct work *w)
{
    struct arena arena = {0};
    struct conf conf;
    char hostname[POSIX_HOSTNAME_CAP];
    struct buf errors = buf_make(w->errors, sizeof w->errors);
    posix_hostname(hostname);
    if (r->conf != NULL) {
        enum err err =
            posix_read_options(&conf, &arena, r->conf, slice_of_string(hostname), &errors);
        if (err != ERR_OK) {
            posix_put_errors(r->conf, err, &errors);
            return PROOF_WRONG;
        }
        complete(r, &conf);
    }
    r->timeout_s = r->timeout_s > 0 ? r->timeout_s : TIMEOUT_S;
    struct ocsp_fetch_conf fetch_conf = fetch_conf_of(r);
    enum err err = posix_fetcher_open(&w->fetcher, &fetch_conf);
    if (err != ERR_OK) {
        posix_complain("start", err_name(err));
        return PROOF_FAILED;
    }
    int status = r->conf != NULL ? open_and_fetch(r, &conf, w, &errors) : fetch_one(r, w);
    posix_fetcher_close(&w->fetcher);
    return status;
}

int posix_ocsp_fetch(int argc, char **argv)
{
    struct request r = {.argc = argc, .argv = argv, .options = OCSP_OPTIONS_DEFAULT};
    if (proof_has_word(argc, argv, "--help")) {
        posix_put_string(STDOUT_FILENO, usage);
        return PROOF_ACCEPT;
    }
    const char *wrong = parse(&r);
    if (wrong != NULL) {
        posix_complain(wrong, "not understood, or its value is missing or of the wrong form; "
                              "try postern ocsp-fetch --help");
        return PROOF_WRONG;
    }
    if (!is_url_or_none(r.url) || !is_url_or_none(r.proxy)) {
        return PROOF_WRONG;
    }
    bool is_one = r.issuer != NULL && r.cert != NULL && r.out != NULL;
    bool is_any_of_one = r.issuer != NULL || r.cert != NULL || r.out != NULL;
    if (r.conf != NULL ? is_any_of_one : !is_one) {
        posix_put_string(STDERR_FILENO, usage);
        return PROOF_WRONG;
    }
    struct work *w =
        mmap(NULL, sizeof *w, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (w == MAP_FAILED) {
        posix_complain("start", err_name(ERR_NO_MEMORY));
        return PROOF_FAILED;
    }
    w->memory = r.conf != NULL ? proof_map() : proof_open();
    if (w->memory == NULL) {
        return PROOF_FAILED;
    }
    int status = fetch(&r, w);
    if (r.conf == NULL) {
        proof_close(w->memory);
    }
    return status;
}

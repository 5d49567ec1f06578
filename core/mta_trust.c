/* Whose certificates are believed: files of authorities and of revocation lists, loaded, and loaded
 * again when they change; which clients are asked for a certificate, and what one is good for. */
#include "mta_inside.h"

#include "conf_parse.h"

#define TRY_AGAIN_MS 5000

static const struct conf *conf_of(const struct mta *m)
{
    return &m->site->conf;
}

/* One of the files, and the option that names it. */
struct trust_file {
    const char *option;
    const char *path;
};

static void complain(struct buf *errors, const struct trust_file *file, const char *why)
{
    buf_put_string(errors, file->option);
    buf_put_string(errors, " ");
    text_put_escaped(errors, slice_of_string(file->path), 200);
    buf_put_string(errors, ": ");
    buf_put_string(errors, why);
    buf_put_string(errors, "\n");
}

static enum err read_file(struct mta *m, const struct trust_file *file, struct slice *out,
                          struct buf *errors)
{
    const struct port_files *files = &m->port->files;
    size_t len = 0;
    enum err err = files->read(files->ctx, &len, file->path, m->scratch, BUDGET_SCRATCH_LEN);
    *out = slice_make(m->scratch, len);
    if (err != ERR_OK) {
        complain(errors, file, err_name(err));
    }
    return err;
}

/* What the library makes of a want of memory looks like a file that is wrong. */
static enum err why_unread(const struct mta *m, uint32_t num_refused_before,
                           const struct trust_file *file, const char *expected, struct buf *errors)
{
    enum err err = m->heap.num_refused != num_refused_before ? ERR_NO_MEMORY : ERR_MALFORMED;
    complain(errors, file, err == ERR_NO_MEMORY ? err_name(err) : expected);
    return err;
}

static enum err load(struct mta *m, const struct trust_file *file, const char *crl_path,
                     struct tls_trust **out, struct buf *errors)
{
    const struct trust_file crl = {"tls_crl", crl_path};
    struct slice text;
    size_t num_bad = 0;
    uint32_t num_refused = m->heap.num_refused;
    *out = NULL;
    if (file->path[0] == 0) {
        return ERR_OK;
    }
    enum err err = read_file(m, file, &text, errors);
    if (err != ERR_OK) {
        return err;
    }
    *out = tls_trust_new(&m->tls_env, text, &num_bad);
    if (*out == NULL || num_bad != 0) {
        err = why_unread(m, num_refused, file,
                         "expected certificates in PEM or DER, all of which can be read", errors);
    } else if (crl_path[0] != 0) {
        err = read_file(m, &crl, &text, errors);
        if (err == ERR_OK && !tls_trust_add_crls(&m->tls_env, *out, text)) {
            err = why_unread(m, num_refused, &crl, "expected revocation lists (CRL) in PEM or DER",
                             errors);
        }
    }
    if (err != ERR_OK) {
        tls_trust_drop(&m->tls_env, *out);
        *out = NULL;
    }
    return err;
}

static bool asks_clients(const struct conf *conf)
{
    return conf->tls_certificate[0] != 0 &&
           (conf->tls_verify_hosts.num_items != 0 || conf->tls_try_verify_hosts.num_items != 0);
}

/* Zeros for what is not set. */
static void read_stamps(const struct mta *m, const struct conf *conf,
                        struct port_stamp out[MTA_TRUST_FILES])
{
    const struct port_files *files = &m->port->files;
    const char *const paths[MTA_TRUST_FILES] = {
        conf->tls_verify_certificates, conf->remote_tls_verify_certificates, conf->tls_crl};
    memset(out, 0, MTA_TRUST_FILES * sizeof *out);
    for (size_t i = 0; i < MTA_TRUST_FILES; i++) {
        if (paths[i][0] != 0) {
            (void)files->stamp(files->ctx, &out[i], paths[i]);
        }
    }
}

enum err trust_load(struct mta *m, const struct conf *conf, struct mta_trust *out,
                    struct buf *errors)
{
    memset(out, 0, sizeof *out);
    read_stamps(m, conf, out->stamps);
    const struct trust_file clients = {"tls_verify_certificates", conf->tls_verify_certificates};
    const char *servers_path = conf->remote_tls_verify_certificates;
    const struct trust_file servers = {"remote_tls_verify_certificates", servers_path};
    bool is_one = servers_path == conf->tls_verify_certificates; /* by default */
    enum err err = load(m, is_one ? &clients : &servers, conf->tls_crl, &out->servers, errors);
    if (err == ERR_OK && asks_clients(conf)) {
        err = load(m, &clients, conf->tls_crl, &out->clients, errors);
    }
    if (err != ERR_OK) {
        trust_drop(m, out);
    }
    return err;
}

void trust_drop(struct mta *m, struct mta_trust *trust)
{
    tls_trust_drop(&m->tls_env, trust->servers);
    tls_trust_drop(&m->tls_env, trust->clients);
    trust->servers = trust->clients = NULL;
}

void trust_use(struct mta *m, const struct mta_trust *trust)
{
    trust_drop(m, &m->trust);
    m->trust = *trust;
    remote_use_trust(m, m->trust.servers);
}

void trust_refresh(struct mta *m)
{
    const struct conf *conf = conf_of(m);
    struct port_stamp stamps[MTA_TRUST_FILES];
    read_stamps(m, conf, stamps);
    bool is_changed = memcmp(stamps, m->trust.stamps, sizeof stamps) != 0;
    memcpy(m->trust.stamps, stamps, sizeof stamps);
    bool tries_again = m->trust.again_ms != 0 && m->now_ms >= m->trust.again_ms;
    if (!is_changed && !tries_again) {
        return;
    }
    uint8_t bytes[512];
    struct buf errors = buf_make(bytes, sizeof bytes);
    struct mta_trust fresh;
    enum err err = trust_load(m, conf, &fresh, &errors);
    /* What failed for a lack of something is tried again; else only once files change again. */
    m->trust.again_ms = err_is_temporary(err) ? m->now_ms + TRY_AGAIN_MS : 0;
    if (err == ERR_OK) {
        trust_use(m, &fresh);
        report_text(m, LOG_INFO, "trust", SLICE_LITERAL("files of authorities were read again"));
    } else if (is_changed) {
        report_text(m, LOG_ERROR, "trust", buf_slice(&errors));
        report_text(m, LOG_ERROR, "trust", SLICE_LITERAL("what was read before stays"));
    }
}

enum err trust_open_server(struct mta *m, struct conn *c)
{
    const struct conf *conf = conf_of(m);
    bool is_required = hostlist_match(&conf->tls_verify_hosts, &c->peer);
    if (!is_required && !hostlist_match(&conf->tls_try_verify_hosts, &c->peer)) {
        return tls_open_server(c->tls, &m->tls_env);
    }
    trust_refresh(m);
    return tls_open_server_asking(c->tls, &m->tls_env, m->trust.clients, is_required);
}

void trust_put_id(struct buf *b, const struct conn *c)
{
    text_put_hex(b, slice_make(c->tls->client_id, sizeof c->tls->client_id));
}

bool trust_may_relay(const struct mta *m, const struct conn *c)
{
    uint8_t bytes[2 * TLS_CLIENT_ID_LEN], item_bytes[2 * TLS_CLIENT_ID_LEN + 1];
    struct buf id = buf_make(bytes, sizeof bytes);
    struct buf item = buf_make(item_bytes, sizeof item_bytes);
    if (c->tls == NULL || tls_info(c->tls)->client_cert != TLS_CLIENT_CERT_GOOD) {
        return false;
    }
    trust_put_id(&id, c);
    struct conf_list list = conf_list_begin(slice_of_string(conf_of(m)->relay_from_certificates));
    while (conf_list_next(&list, &item)) {
        if (slice_equal(buf_slice(&item), SLICE_LITERAL("*")) ||
            text_equal_nocase(buf_slice(&item), buf_slice(&id))) {
            return true;
        }
    }
    return false;
}

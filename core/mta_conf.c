/* Options: read at start, read again at PORT_RELOAD into the other of two sites, which then takes
 * over or not. */
#include "conf_report.h"
#include "mta_inside.h"

#include "crc32c.h"

#define HANDSHAKE_LEN (32u * 1024) /* of heap, at its peak */

/* option: that names it, NULL: it is the file of the options. */
static void complain_file(struct buf *errors, const char *option, const char *path, enum err err)
{
    if (option != NULL) {
        buf_put_string(errors, option);
        buf_put_string(errors, " ");
    }
    text_put_escaped(errors, slice_of_string(path), 200);
    buf_put_string(errors, ": ");
    buf_put_string(errors, err_name(err));
    buf_put_string(errors, "\n");
}

static enum err read_file(struct mta *m, const char *option, const char *path, size_t cap,
                          struct slice *out, struct buf *errors)
{
    size_t len = 0;
    if (cap > BUDGET_SCRATCH_LEN) {
        cap = BUDGET_SCRATCH_LEN;
    }
    enum err err = m->port->files.read(m->port->files.ctx, &len, path, m->scratch, cap);
    if (err != ERR_OK) {
        complain_file(errors, option, path, err);
        return err;
    }
    *out = slice_make(m->scratch, len);
    return ERR_OK;
}

static void expect_at_most(struct conf_report *r, const struct conf *conf, enum conf_option option,
                           uint64_t found, uint64_t most)
{
    if (found <= most) {
        return;
    }
    struct buf *b = conf_report_begin(r, conf->lines[option], conf_option_name(option));
    buf_put_string(b, "found '");
    text_put_u64(b, found);
    buf_put_string(b, "', expected at most ");
    text_put_u64(b, most);
    buf_put_string(b, ", which is what this build has memory for");
    conf_report_end(r);
}

/* Options may not promise more than the build has memory for. Handshakes may take half of the heap
 * of TLS. */
static enum err check_budget(const struct conf *conf, const char *file, struct buf *errors)
{
    struct conf_report r = conf_report_make(errors, file);
    expect_at_most(&r, conf, CONF_smtp_accept_max, conf->smtp_accept_max, BUDGET_CONNECTIONS);
    expect_at_most(&r, conf, CONF_tls_max_handshakes, conf->tls_max_handshakes,
                   BUDGET_TLS_HEAP_LEN / 2 / HANDSHAKE_LEN);
    if (conf->num_listeners > BUDGET_LISTENERS) {
        struct buf *b =
            conf_report_begin(&r, conf->lines[CONF_local_interfaces], "local_interfaces");
        buf_put_string(b, "with daemon_smtp_ports and submit_socket these are ");
        text_put_u64(b, conf->num_listeners);
        buf_put_string(b, " places to listen at, expected at most ");
        text_put_u64(b, BUDGET_LISTENERS);
        conf_report_end(&r);
    }
    return r.num == 0 ? ERR_OK : ERR_MALFORMED;
}

/* It is read again at each login; mistakes are better told now. Senders that are none are told by
 * check, and keep only their user from sending. */
static enum err check_users(struct mta *m, const char *path, struct buf *errors)
{
    struct slice text;
    enum err err = read_file(m, "auth_users_file", path, BUDGET_SCRATCH_LEN, &text, errors);
    bool is_usable = err == ERR_OK && auth_users_check(text, false) == 0;
    uint32_t wrong_line = err == ERR_OK ? auth_users_check(text, is_usable) : 0;
    if (wrong_line != 0) {
        text_put_escaped(errors, slice_of_string(path), 200);
        buf_put_string(errors, ":");
        text_put_u64(errors, wrong_line);
        buf_put_string(errors, ": " AUTH_LINE_FORM "\n");
        err = is_usable ? ERR_OK : ERR_MALFORMED;
    }
    return err;
}

/* Passwords that are everybody's to read are not used. */
static enum err read_logins(struct mta *m, struct conf *conf, struct arena *memory,
                            struct buf *errors)
{
    size_t len = 0;
    enum err err = m->port->files.read_private(m->port->files.ctx, &len, conf->client_auth_file,
                                               m->scratch, BUDGET_SCRATCH_LEN);
    if (err == ERR_OK) {
        err = conf_read_logins(conf, memory, slice_make(m->scratch, len), errors);
    } else if (err == ERR_NOT_ALLOWED) {
        buf_put_string(errors, "client_auth_file ");
        text_put_escaped(errors, slice_of_string(conf->client_auth_file), 200);
        buf_put_string(errors, ": it must belong to the user that runs the server, or root, and be "
                               "readable for nobody else (mode 0600)\n");
    } else {
        complain_file(errors, "client_auth_file", conf->client_auth_file, err);
    }
    memset(m->scratch, 0, len);
    return err;
}

enum err site_load(struct mta *m, struct site *site, struct buf *errors)
{
    struct slice text;
    struct conf_env env = {m->start->conf_path, slice_of_string(m->start->hostname)};
    struct arena memory = {site->memory, sizeof site->memory, 0};
    struct conf *conf = &site->conf;
    memset(site->memory, 0, site->used_len); /* what was never used is zero and stays untouched */
    enum err err = read_file(m, NULL, env.file, CONF_TEXT_MAX, &text, errors);
    if (err == ERR_OK) {
        err = conf_read(conf, &memory, text, &env, errors);
    }
    if (err == ERR_OK && conf->local_users_file[0] != 0) {
        err =
            read_file(m, "local_users", conf->local_users_file, BUDGET_SCRATCH_LEN, &text, errors);
        if (err == ERR_OK) {
            err = conf_read_users(conf, &memory, text, errors);
        }
    }
    if (err == ERR_OK && conf->aliases_file[0] != 0) {
        err = read_file(m, "aliases_file", conf->aliases_file, BUDGET_SCRATCH_LEN, &text, errors);
        if (err == ERR_OK) {
            err = conf_read_aliases(conf, &memory, text, errors);
        }
    }
    if (err == ERR_OK && conf->client_auth_file[0] != 0) {
        err = read_logins(m, conf, &memory, errors);
    }
    if (err == ERR_OK && conf->auth_users_file[0] != 0) {
        err = check_users(m, conf->auth_users_file, errors);
    }
    if (err == ERR_OK) {
        err = conf_check(conf, &env, errors);
    }
    site->used_len = memory.used;
    return err == ERR_OK ? check_budget(conf, env.file, errors) : err;
}

/* The site's options come into force for what begins from now on. */
void site_use(struct mta *m, struct site *site)
{
    const struct conf *conf = &site->conf;
    m->site = site;
    wall_time_trust(&m->wall, site_trust(site));
    m->queue.conf = conf;
    remote_use(m, conf);
    m->smtp_env.hostname = conf->primary_hostname;
    m->smtp_env.limits = (struct smtpd_limits){
        .message_size_limit =
            conf->message_size_limit < m->message_max ? conf->message_size_limit : m->message_max,
        .recipients_max = conf->recipients_max,
        .mails_max = conf->smtp_accept_max_per_connection,
        .text_line_max = SMTP_TEXT_LINE_MAX,
        .synprot_errors_max = (uint16_t)conf->smtp_max_synprot_errors,
        .unknown_commands_max = (uint16_t)conf->smtp_max_unknown_commands,
        .refused_rcpts_max = (uint16_t)conf->smtp_max_refused_recipients,
        .nonmail_commands_max = (uint16_t)conf->smtp_accept_max_nonmail,
    };
    m->smtp_env.starttls_offered = false;
    m->smtp_env.auth_needs_tls = conf->auth_users_file[0] != 0 || conf->auth_dovecot_socket[0] != 0;
    m->smtp_env_tls = m->smtp_env;
    m->smtp_env_tls.starttls_offered = conf->tls_certificate[0] != 0;
}

void report_message_size(struct mta *m)
{
    struct log_line line;
    if (m->site->conf.message_size_limit <= m->message_max) {
        return;
    }
    log_begin(&line, "limit");
    log_word(&line, "what", "message-size");
    log_u64(&line, "have", m->message_max);
    log_u64(&line, "want", m->site->conf.message_size_limit);
    log_word(&line, "because-of", "spool_size");
    report_line(m, LOG_WARNING, &line);
}

/* Who is not offered STARTTLS shares everything else. */
const struct smtpd_env *conn_smtp_env(const struct mta *m, const struct conn *c)
{
    bool offered = c->local == NULL && hostlist_match(&m->site->conf.tls_advertise_hosts, &c->peer);
    return offered ? &m->smtp_env_tls : &m->smtp_env;
}

/* The options that only count at the start. */
enum fixed {
    FIXED_SPOOL_DIRECTORY,
    FIXED_SPOOL_SIZE,
    FIXED_OUTBOX_DIRECTORY,
    FIXED_SUBMIT_SOCKET_GROUP,
    FIXED_CONTROL_SOCKET,
    FIXED_USER,
    FIXED_GROUP,
    FIXED_SANDBOX,
    FIXED_MAILDIR,
    FIXED_REACH, /* of several options: whom the sandbox lets the server call */
    FIXED_LOG_LEVEL,
    FIXED_LOG_FILE_PATH,
};

_Static_assert(FIXED_LOG_FILE_PATH + 1 == MTA_FIXED_OPTIONS, "the server keeps all of them");

static uint64_t number_of(const char *text)
{
    return crc32c_add(0, slice_of_string(text));
}

static void read_fixed(const struct conf *c, uint64_t out[MTA_FIXED_OPTIONS])
{
    out[FIXED_SPOOL_DIRECTORY] = number_of(c->spool_directory);
    out[FIXED_SPOOL_SIZE] = c->spool_size;
    out[FIXED_OUTBOX_DIRECTORY] = number_of(c->outbox_directory);
    out[FIXED_SUBMIT_SOCKET_GROUP] = number_of(c->submit_socket_group);
    out[FIXED_CONTROL_SOCKET] = number_of(c->control_socket);
    out[FIXED_USER] = number_of(c->user);
    out[FIXED_GROUP] = number_of(c->group);
    out[FIXED_SANDBOX] = c->sandbox;
    out[FIXED_MAILDIR] = number_of(c->maildir);
    out[FIXED_REACH] = conf_reach(c);
    out[FIXED_LOG_LEVEL] = c->log_level;
    out[FIXED_LOG_FILE_PATH] = c->log_file_path;
}

void site_use_first(struct mta *m, struct site *site)
{
    read_fixed(&site->conf, m->fixed);
    site_use(m, site);
}

enum log_level site_log_level(const struct mta *m)
{
    return (enum log_level)m->fixed[FIXED_LOG_LEVEL];
}

static bool needs_restart(const struct mta *m, size_t option, uint64_t now)
{
    switch (option) {
    case FIXED_MAILDIR:
        return m->fixed[FIXED_SANDBOX] != 0 && now != m->fixed[option];
    case FIXED_REACH: /* a sandbox can be too wide */
        return m->fixed[FIXED_SANDBOX] != 0 && now > m->fixed[option];
    default:
        return now != m->fixed[option];
    }
}

/* The option that wants what the sandbox has no room for. */
static enum conf_option reach_option(const struct conf *c)
{
    if (c->ocsp_fetch.kind != CONF_FETCH_NO) {
        return CONF_ocsp_fetch;
    }
    bool is_logins = conf_reach(c) == CONF_REACH_LOCAL && c->auth_dovecot_socket[0] != '\0';
    return is_logins ? CONF_auth_dovecot_socket : CONF_route_list;
}

/* Compared with the start, as what an earlier reload brought has not come into force since. */
static void report_fixed(struct mta *m)
{
    const enum conf_option options[MTA_FIXED_OPTIONS] = {
        [FIXED_SPOOL_DIRECTORY] = CONF_spool_directory,
        [FIXED_SPOOL_SIZE] = CONF_spool_size,
        [FIXED_OUTBOX_DIRECTORY] = CONF_outbox_directory,
        [FIXED_SUBMIT_SOCKET_GROUP] = CONF_submit_socket_group,
        [FIXED_CONTROL_SOCKET] = CONF_control_socket,
        [FIXED_USER] = CONF_user,
        [FIXED_GROUP] = CONF_group,
        [FIXED_SANDBOX] = CONF_sandbox,
        [FIXED_MAILDIR] = CONF_maildir,
        [FIXED_REACH] = reach_option(&m->site->conf),
        [FIXED_LOG_LEVEL] = CONF_log_level,
        [FIXED_LOG_FILE_PATH] = CONF_log_file_path,
    };
    uint64_t now[MTA_FIXED_OPTIONS];
    read_fixed(&m->site->conf, now);
    for (size_t i = 0; i < MTA_FIXED_OPTIONS; i++) {
        if (needs_restart(m, i, now[i])) {
            struct log_line line;
            log_begin(&line, "reload");
            log_word(&line, "option", conf_option_name(options[i]));
            log_word(&line, "result", "needs-restart");
            report_line(m, LOG_WARNING, &line);
        }
    }
}

void mta_reload(struct mta *m)
{
    uint8_t bytes[CONF_ERRORS_CAP];
    struct buf errors = buf_make(bytes, sizeof bytes);
    struct site *next = m->site == &m->sites[0] ? &m->sites[1] : &m->sites[0];
    enum err err = m->stopping ? ERR_WRONG_STATE : site_load(m, next, &errors);
    if (err == ERR_OK) {
        err = mta_listen(m, &next->conf, &errors);
    }
    if (err == ERR_OK) {
        err = site_load_tls(m, next, &errors);
        if (err != ERR_OK) {
            mta_listen_undo(m);
        }
    }
    if (err != ERR_OK) {
        if (err == ERR_DENIED) { /* the rights to open them are gone */
            buf_put_string(&errors, "new ports below 1024, and files in directories that no option "
                                    "named before, need a restart\n");
        }
        report_text(m, LOG_ERROR, "reload", buf_slice(&errors));
        report_text(m, LOG_ERROR, "reload", SLICE_LITERAL("the options stay as they were"));
        return;
    }
    if (strcmp(m->site->conf.auth_dovecot_socket, next->conf.auth_dovecot_socket) != 0) {
        dovecot_leave(m);
    }
    mta_listen_only(m, &next->conf);
    site_use(m, next);
    dovecot_wake(m);
    report_text(m, LOG_INFO, "reload", SLICE_LITERAL("new options are in force"));
    if (m->spool_ready) { /* else they are told with the start */
        mta_report_listeners(m);
    }
    report_message_size(m);
    report_fixed(m);
}

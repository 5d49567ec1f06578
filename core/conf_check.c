/* Whether the options fit each other: see conf_check in conf.h. */
#include "conf.h"

#include "conf_parse.h"
#include "conf_report.h"
#include "text.h"

struct check {
    const struct conf *conf;
    struct conf_report report;
};

/* Of an option that another one does not fit, which may be the one that was set. */
static struct buf *begin_pair(struct check *k, enum conf_option option, enum conf_option other)
{
    const uint16_t *lines = k->conf->lines;
    return conf_report_begin(&k->report, lines[option] != 0 ? lines[option] : lines[other],
                             conf_option_name(option));
}

static void complain_pair(struct check *k, enum conf_option option, enum conf_option other,
                          const char *text)
{
    buf_put_string(begin_pair(k, option, other), text);
    conf_report_end(&k->report);
}

static void complain(struct check *k, enum conf_option option, const char *text)
{
    complain_pair(k, option, option, text);
}

static bool is_set(const char *text)
{
    return *text != 0;
}

static void check_fetch(struct check *k)
{
    const struct conf *c = k->conf;
    if (c->ocsp_fetch.kind != CONF_FETCH_NO && !is_set(c->tls_ocsp_file)) {
        complain(k, CONF_ocsp_fetch, "needs tls_ocsp_file, where a proof outlasts a restart");
    }
}

/* A path may have no other variable than $tls_in_sni. */
static bool has_name(const char *path)
{
    return memchr(path, '$', strlen(path)) != NULL;
}

/* With one certificate for all names, every name that a client makes up would have a set, and with
 * ocsp_fetch a question to the responder and a file. */
static void check_names(struct check *k)
{
    const struct conf *c = k->conf;
    static const char lacks[] = "has $tls_in_sni, and tls_certificate has not";
    if (has_name(c->tls_certificate)) {
        return;
    }
    if (has_name(c->tls_privatekey)) {
        complain(k, CONF_tls_privatekey, lacks);
    }
    if (has_name(c->tls_ocsp_file)) {
        complain(k, CONF_tls_ocsp_file, lacks);
    }
}

static void check_tls(struct check *k)
{
    const struct conf *c = k->conf;
    if (is_set(c->tls_certificate)) {
        check_names(k);
        return;
    }
    if (is_set(c->tls_privatekey)) {
        complain(k, CONF_tls_privatekey, "is of no use without tls_certificate");
    }
    if (is_set(c->tls_ocsp_file)) {
        complain(k, CONF_tls_ocsp_file, "is of no use without tls_certificate");
    }
    if (is_set(c->auth_users_file)) {
        complain(k, CONF_auth_users_file, "is of no use without tls_certificate");
    }
    if (is_set(c->auth_dovecot_socket)) {
        complain(k, CONF_auth_dovecot_socket, "is of no use without tls_certificate");
    }
    if (c->tls_on_connect_ports.num_items != 0) {
        complain(k, CONF_tls_on_connect_ports, "is of no use without tls_certificate");
    }
}

static void check_certificate_list(struct check *k, const char *text)
{
    uint8_t id[32], bytes[2 * sizeof id + 1];
    struct buf item = buf_make(bytes, sizeof bytes);
    struct conf_list list = conf_list_begin(slice_of_string(text));
    while (conf_list_next(&list, &item)) {
        if (item.overflow || (!slice_equal(buf_slice(&item), SLICE_LITERAL("*")) &&
                              !text_parse_hex(buf_slice(&item), id, sizeof id))) {
            struct buf *b =
                conf_report_begin(&k->report, k->conf->lines[CONF_relay_from_certificates],
                                  "relay_from_certificates");
            buf_put_string(b, "found ");
            conf_report_quote(b, buf_slice(&item));
            buf_put_string(b, ", expected * or 64 hexadecimal digits");
            conf_report_end(&k->report);
        }
    }
}

/* Clients' certificates, and who may be believed at all. */
static void check_trust(struct check *k)
{
    if (is_set(k->conf->auth_users_file) && is_set(k->conf->auth_dovecot_socket)) {
        complain(k, CONF_auth_dovecot_socket, "auth_users_file is set: only one can decide");
    }
    static const enum conf_option asking[] = {CONF_tls_verify_hosts, CONF_tls_try_verify_hosts};
    const struct conf *c = k->conf;
    const uint32_t nums[] = {c->tls_verify_hosts.num_items, c->tls_try_verify_hosts.num_items};
    for (size_t i = 0; i < 2; i++) {
        if (nums[i] != 0 && (!is_set(c->tls_verify_certificates) || !is_set(c->tls_certificate))) {
            complain(k, asking[i],
                     "is of no use without tls_certificate and tls_verify_certificates");
        }
    }
    if (is_set(c->tls_crl) && !is_set(c->remote_tls_verify_certificates)) {
        complain(k, CONF_tls_crl, "is of no use without tls_verify_certificates");
    }
    check_certificate_list(k, c->relay_from_certificates);
    if (is_set(c->relay_from_certificates) && nums[0] == 0 && nums[1] == 0) {
        complain(k, CONF_relay_from_certificates,
                 "is of no use without tls_verify_hosts or tls_try_verify_hosts");
    }
}

#define NEEDS_TRUST "needs remote_tls_verify_certificates, whose certificates are to be believed"

/* What cannot be verified would hold up all mail, or let it go unverified. */
static void check_sending(struct check *k)
{
    const struct conf *c = k->conf;
    if (!is_set(c->remote_tls_verify_certificates)) {
        if (c->hosts_require_ocsp.num_items != 0) {
            complain(k, CONF_hosts_require_ocsp, NEEDS_TRUST);
        }
        if (c->remote_tls_verify_hosts.num_items != 0) {
            complain(k, CONF_remote_tls_verify_hosts, NEEDS_TRUST);
        }
        if (is_set(c->client_auth_file)) {
            complain(k, CONF_client_auth_file, NEEDS_TRUST);
        }
    }
    for (uint32_t i = 0; i < c->route_list.num_items; i++) {
        const struct route_item *item = &c->route_list.items[i];
        size_t len = 0;
        for (uint32_t h = 0; h < item->num_hosts; h++) {
            len += ROUTE_HOST_HEAD_LEN + item->hosts[h].name.len;
        }
        if (len > ROUTE_HOSTS_LEN_MAX) {
            complain(k, CONF_route_list,
                     "the hosts of one item are too many, or their names too long");
        }
    }
}

static bool is_listened_on(const struct conf *c, uint16_t port)
{
    for (uint32_t i = 0; i < c->num_listeners; i++) {
        if (c->listeners[i].path == NULL && c->listeners[i].at.port == port) {
            return true;
        }
    }
    return false;
}

static bool is_all(const struct net_addr *at)
{
    const struct net_addr all = {.family = at->family};
    return net_addr_same_host(at, &all);
}

/* A listener further up that leaves no room for this one; NULL: there is none. All addresses hold
 * each of them. */
static const struct conf_listener *find_holder(const struct conf *c, uint32_t index)
{
    const struct net_addr *at = &c->listeners[index].at;
    for (uint32_t i = 0; i < index && at->port != 0; i++) {
        const struct net_addr *other = &c->listeners[i].at;
        bool meets = net_addr_same_host(other, at) ||
                     (other->family == at->family && (is_all(other) || is_all(at)));
        if (other->port == at->port && meets) {
            return &c->listeners[i];
        }
    }
    return NULL;
}

static void check_ports(struct check *k, enum conf_option option, const struct conf_ports *ports)
{
    for (uint32_t i = 0; i < ports->num_items; i++) {
        if (!is_listened_on(k->conf, ports->items[i])) {
            struct buf *b =
                conf_report_begin(&k->report, k->conf->lines[option], conf_option_name(option));
            buf_put_string(b, "found ");
            text_put_u64(b, ports->items[i]);
            buf_put_string(b, ", expected a port of daemon_smtp_ports or local_interfaces");
            conf_report_end(&k->report);
        }
    }
}

static void check_listeners(struct check *k)
{
    const struct conf *c = k->conf;
    if (c->num_listeners == 0) {
        complain_pair(k, CONF_local_interfaces, CONF_daemon_smtp_ports,
                      "nothing to listen on: an address and a port are needed");
    }
    check_ports(k, CONF_tls_on_connect_ports, &c->tls_on_connect_ports);
    check_ports(k, CONF_submission_ports, &c->submission_ports);
    for (uint32_t i = 0; i < c->num_listeners; i++) {
        const struct conf_listener *holder = find_holder(c, i);
        if (holder != NULL) {
            bool is_same = net_addr_same_host(&holder->at, &c->listeners[i].at);
            struct buf *b = begin_pair(k, CONF_local_interfaces, CONF_daemon_smtp_ports);
            buf_put_string(b, is_same ? "the same address and port twice: "
                                      : "all addresses and one of them at the same port: ");
            net_addr_put(b, is_all(&holder->at) ? &c->listeners[i].at : &holder->at);
            buf_put_string(b, " port ");
            text_put_u64(b, c->listeners[i].at.port);
            conf_report_end(&k->report);
        }
    }
}

static size_t count(struct slice text, struct slice part)
{
    size_t num = 0;
    for (; text.len >= part.len; slice_skip(&text, 1)) {
        num += memcmp(text.ptr, part.ptr, part.len) == 0;
    }
    return num;
}

/* The longest path that the maildir option may become. */
static size_t longest_maildir(const struct conf *c, size_t num_users, size_t num_domains)
{
    size_t user_len = strlen("postmaster"), domain_len = c->primary_hostname.len;
    for (uint32_t i = 0; i < c->local_users.num_items; i++) {
        size_t len = c->local_users.items[i].len;
        user_len = len > user_len ? len : user_len;
    }
    for (uint32_t i = 0; i < c->local_domains.num_items; i++) {
        size_t len = c->local_domains.items[i].name.len;
        domain_len = len > domain_len ? len : domain_len;
    }
    return strlen(c->maildir) + num_users * user_len + num_domains * domain_len;
}

static void check_maildir(struct check *k)
{
    const struct conf *c = k->conf;
    struct slice path = slice_of_string(c->maildir);
    size_t num_users = count(path, SLICE_LITERAL("$local_part"));
    size_t num_domains = count(path, SLICE_LITERAL("$domain"));
    if (num_users == 0 && c->local_users.num_items > 1) {
        complain(k, CONF_maildir, "without $local_part all users would share one Maildir");
    }
    for (uint32_t i = 0; i < c->local_domains.num_items && num_domains != 0; i++) {
        const struct domainlist_item *item = &c->local_domains.items[i];
        bool is_named = item->kind == DOMAIN_EXACT || item->kind == DOMAIN_PRIMARY;
        bool is_last = i + 1 == c->local_domains.num_items;
        if (item->is_excluded ? is_last : !is_named) {
            complain(k, CONF_maildir, "$domain needs local_domains without patterns");
            break;
        }
    }
    if (longest_maildir(c, num_users, num_domains) > CONF_PATH_MAX) {
        complain(k, CONF_maildir, "with the longest name in it, the path is over 255 bytes");
    }
}

static void check_paths(struct check *k)
{
    const struct conf *c = k->conf;
    if (is_set(c->submit_socket) && strcmp(c->submit_socket, c->control_socket) == 0) {
        complain(k, CONF_submit_socket, "is that of control_socket");
    }
    if (strcmp(c->outbox_directory, c->spool_directory) == 0) {
        complain(k, CONF_outbox_directory,
                 "is spool_directory: everybody would be let write to the spool");
    }
}

static void check_routes(struct check *k)
{
    const struct conf *c = k->conf;
    for (uint32_t i = 0; i < c->route_list.num_items; i++) {
        const struct route_item *item = &c->route_list.items[i];
        const struct domainlist_item *pattern = &item->pattern;
        if (item->kind == ROUTE_TO_MAILDIR && pattern->kind != DOMAIN_SUBDOMAINS &&
            (pattern->kind == DOMAIN_ANY || !domainlist_match(&c->local_domains, pattern->name))) {
            complain(k, CONF_route_list, "maildir is for local_domains alone");
        }
    }
}

/* What matches no item of such a list is in it: nobody means that who leaves some out of his own.
 */
static void check_relaying(struct check *k)
{
    static const char open[] = "ends with a !, which lets everybody else relay: put it in front";
    const struct hostlist *hosts = &k->conf->relay_from_hosts;
    const struct domainlist *domains = &k->conf->relay_to_domains;
    if (hosts->num_items != 0 && hosts->items[hosts->num_items - 1].is_excluded) {
        complain(k, CONF_relay_from_hosts, open);
    }
    if (domains->num_items != 0 && domains->items[domains->num_items - 1].is_excluded) {
        complain(k, CONF_relay_to_domains, open);
    }
}

enum err conf_check(const struct conf *c, const struct conf_env *env, struct buf *errors)
{
    struct check k = {c, conf_report_make(errors, env->file)};
    check_tls(&k);
    check_trust(&k);
    check_fetch(&k);
    check_sending(&k);
    check_listeners(&k);
    check_maildir(&k);
    check_relaying(&k);
    check_routes(&k);
    check_paths(&k);
    if (c->retry_max_ms < c->retry_min_ms) {
        complain_pair(&k, CONF_retry_max_ms, CONF_retry_min_ms, "is less than retry_min");
    }
    if (c->spool_size <= c->message_size_limit) {
        complain_pair(&k, CONF_spool_size, CONF_message_size_limit,
                      "is too little for one message of message_size_limit");
    }
    return k.report.num == 0 ? ERR_OK : ERR_MALFORMED;
}

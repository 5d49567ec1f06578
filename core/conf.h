/* The options: one table, conf.def, and what a configuration text makes of it.
 *
 * The text is "name = value" lines as in Exim's configuration. Reading is pure: text in, struct
 * conf out, its strings and lists in the caller's arena, complaints in the caller's buffer. Two
 * configurations can exist at once, so a reload keeps the old one when the new one is wrong:
 *
 *     conf_read
 *     conf_read_users with the text of local_users_file, if that is set
 *     conf_read_aliases with the text of aliases_file, if that is set
 *     conf_read_logins with the text of client_auth_file, if that is set
 *     conf_check
 *
 * Called by the composition root, read by every service. Knows no file and no machine. */
#ifndef POSTERN_CONF_H
#define POSTERN_CONF_H

#include "alias.h"
#include "hostlist.h"
#include "log.h"
#include "peerlist.h"
#include "pool.h"
#include "route_item.h"

/* Longest text that is read, and for tests an arena that holds what most of them become; a server,
 * and each command, has BUDGET_SITE_LEN. */
#define CONF_TEXT_MAX   16384
#define CONF_MEMORY_LEN 24576

#define CONF_LINE_MAX                                                           \
    4096 /* of a line with all that continues it; needed in the arena meanwhile \
          */
#define CONF_PATH_MAX 255
#define CONF_USER_MAX 64

/* An errors buffer of this size holds all complaints about one text. */
#define CONF_ERRORS_MAX 10
#define CONF_ERRORS_CAP 4096

enum conf_clock { CONF_CLOCK_YES, CONF_CLOCK_AUTO };
enum conf_fetch { CONF_FETCH_NO, CONF_FETCH_AIA, CONF_FETCH_URL };
enum conf_log { CONF_LOG_STDERR, CONF_LOG_SYSLOG };

/* A place to listen at. */
struct conf_interface {
    struct net_addr addr;
    bool has_port; /* the entry names its port; else all of daemon_smtp_ports hold */
};

struct conf_interfaces {
    struct conf_interface *items;
    uint32_t num_items;
};

struct conf_ports {
    uint16_t *items;
    uint32_t num_items;
};

/* User names, sorted (without regard to case), each once. */
struct conf_users {
    struct slice *items;
    uint32_t num_items;
    struct slice first; /* the one named first */
};

struct conf_listener {
    const char *path;     /* of submit_socket; else NULL */
    struct net_addr at;   /* port 0: any free one */
    bool is_implicit_tls; /* a port of tls_on_connect_ports */
};

/* Where proofs are fetched from. */
struct conf_fetch_from {
    enum conf_fetch kind;
    const char *url; /* of CONF_FETCH_URL; else empty */
};

/* A name and password for a server, of client_auth_file. */
struct conf_login {
    struct slice
        host; /* as configured in a route, or by an MX record; an address without brackets */
    struct slice user;
    struct slice password;
};

struct conf_logins {
    struct conf_login *items;
    uint32_t num_items;
};

/* What an option of each type becomes. A path or string is never NULL; empty: not set. */
#define CONF_TYPE_name        struct slice
#define CONF_TYPE_path        const char *
#define CONF_TYPE_socket      const char *
#define CONF_TYPE_sni_path    const char *
#define CONF_TYPE_maildir     const char *
#define CONF_TYPE_string      const char *
#define CONF_TYPE_number      uint32_t
#define CONF_TYPE_size        uint64_t /* bytes */
#define CONF_TYPE_time_ms     uint64_t
#define CONF_TYPE_time_s      int64_t
#define CONF_TYPE_hosts       struct hostlist
#define CONF_TYPE_peers       struct peerlist
#define CONF_TYPE_domains     struct domainlist
#define CONF_TYPE_interfaces  struct conf_interfaces
#define CONF_TYPE_ports       struct conf_ports
#define CONF_TYPE_users       struct conf_users
#define CONF_TYPE_routes      struct route_list
#define CONF_TYPE_yes_no      bool
#define CONF_TYPE_clock       enum conf_clock
#define CONF_TYPE_log         enum conf_log
#define CONF_TYPE_fetch       struct conf_fetch_from
#define CONF_TYPE_http_url    const char *
#define CONF_TYPE_http_method bool /* GET */
#define CONF_TYPE_level       enum log_level

enum conf_option {
#define GROUP(title)
#define OPTION(field, type, name, text, min, max, help) CONF_##field,
#include "conf.def"
#undef OPTION
#undef GROUP
    NUM_CONF_OPTIONS
};

struct conf {
#define GROUP(title)
#define OPTION(field, type, name, text, min, max, help) CONF_TYPE_##type field;
#include "conf.def"
#undef OPTION
#undef GROUP
    /* Derived from the above. */
    const char *local_users_file; /* instead of a list of users; empty: none */
    struct alias_table aliases;   /* of aliases_file */
    struct conf_logins logins;    /* of client_auth_file */
    struct conf_listener *listeners;
    uint32_t num_listeners;
    uint16_t lines[NUM_CONF_OPTIONS]; /* where each option was set; 0: default */
};

/* Whether a port is in the list. */
bool conf_has_port(const struct conf_ports *ports, uint16_t port);

struct conf_env {
    const char *file;      /* how complaints name the text */
    struct slice hostname; /* default of primary_hostname */
};

/* ERR_MALFORMED with one line in errors for each mistake, the first CONF_ERRORS_MAX of them:
 *     FILE:LINE: OPTION: found 'VALUE', expected WHAT
 * ERR_NO_MEMORY, and such a line, if the arena is too small. *out is then not to be used, and the
 * arena's used is as before. Nothing in *out refers to text or env afterwards. */
enum err conf_read(struct conf *out, struct arena *a, struct slice text, const struct conf_env *env,
                   struct buf *errors);

/* The text of local_users_file: a name a line, '#' comments. Errors as above. */
enum err conf_read_users(struct conf *c, struct arena *a, struct slice text, struct buf *errors);

/* The text of aliases_file, after the users. Every name is expanded once, so that a target that
 * nobody has, a loop, or too many users are found now. Errors as above. */
enum err conf_read_aliases(struct conf *c, struct arena *a, struct slice text, struct buf *errors);

/* The text of client_auth_file: HOST USER PASSWORD a line, '#' comments; a password may hold
 * spaces. Errors as above, which never show a password; with ERR_OK: of hosts that stand there
 * twice, of whom the first counts. */
enum err conf_read_logins(struct conf *c, struct arena *a, struct slice text, struct buf *errors);
/* The login for a server of that name, without regard to case; NULL: none. */
const struct conf_login *conf_find_login(const struct conf *c, struct slice host);

/* Whether the options fit each other: ERR_MALFORMED, and errors as above. */
enum err conf_check(const struct conf *c, const struct conf_env *env, struct buf *errors);

/* Where names without a domain belong: primary_hostname, if it is one of local_domains. If not,
 * mail for it would only come back: then the one of these that it is below, or, of a host name
 * without a dot, the first that is named in full; if there is none, primary_hostname. */
struct slice conf_own_domain(const struct conf *c);

/* Whether name is a user, without regard to case; *out is then the name as it was configured. */
bool conf_find_user(const struct conf *c, struct slice name, struct slice *out);

/* Whom the options let the server connect to: nobody, sockets of this machine, or other machines.
 */
enum conf_reach { CONF_REACH_NOBODY, CONF_REACH_LOCAL, CONF_REACH_ALL };
enum conf_reach conf_reach(const struct conf *c);

/* The option's name, as conf.def has it. */
const char *conf_option_name(enum conf_option option);

#endif

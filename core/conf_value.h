/* The text of an option's value, made into what its type in struct conf holds.
 *
 * Called by conf. Each takes v->text and fills a field of that type. ERR_MALFORMED: v->found is the
 * part of the text that is wrong. ERR_UNSUPPORTED: likewise, and v->lacks. ERR_NO_MEMORY: the arena
 * is used up. */
#ifndef POSTERN_CONF_VALUE_H
#define POSTERN_CONF_VALUE_H

#include "conf.h"

struct conf_value {
    struct conf *conf;
    struct arena *arena;
    struct slice text;
    uint64_t min, max; /* of the option's line in conf.def */
    uint8_t found_bytes[CONF_PATH_MAX];
    struct slice found;
    const char *lacks; /* what the build has not, of ERR_UNSUPPORTED */
};

enum err conf_value_name(struct conf_value *v, void *field);
enum err conf_value_path(struct conf_value *v, void *field);
enum err conf_value_socket(struct conf_value *v, void *field);
enum err conf_value_sni_path(struct conf_value *v, void *field);
enum err conf_value_maildir(struct conf_value *v, void *field);
enum err conf_value_string(struct conf_value *v, void *field);
enum err conf_value_number(struct conf_value *v, void *field);
enum err conf_value_size(struct conf_value *v, void *field);
enum err conf_value_time_ms(struct conf_value *v, void *field);
enum err conf_value_time_s(struct conf_value *v, void *field);
enum err conf_value_yes_no(struct conf_value *v, void *field);
enum err conf_value_clock(struct conf_value *v, void *field);
enum err conf_value_log(struct conf_value *v, void *field);
enum err conf_value_fetch(struct conf_value *v, void *field);
enum err conf_value_http_url(struct conf_value *v, void *field);
enum err conf_value_http_method(struct conf_value *v, void *field);
enum err conf_value_level(struct conf_value *v, void *field);

/* conf_list_value.c */
enum err conf_value_hosts(struct conf_value *v, void *field);
enum err conf_value_peers(struct conf_value *v, void *field);
enum err conf_value_domains(struct conf_value *v, void *field);
enum err conf_value_interfaces(struct conf_value *v, void *field);
enum err conf_value_ports(struct conf_value *v, void *field);
enum err conf_value_users(struct conf_value *v, void *field);

/* conf_routes.c */
enum err conf_value_routes(struct conf_value *v, void *field);

/* A copy in the arena with a NUL behind it; NULL if that is used up. */
const char *conf_copy(struct arena *a, struct slice text);

/* conf_users.c: whether name may be a user's, and one more user in a list that has room for it:
 * ERR_MALFORMED, ERR_EXISTS if it is there already, ERR_NO_MEMORY. */
bool conf_user_is_valid(struct slice name);
enum err conf_user_add(struct conf_users *users, struct arena *a, struct slice name);

#endif

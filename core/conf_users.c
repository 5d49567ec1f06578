/* The users: which names they may have, their list, and the file that may hold it. See conf.h and
 * conf_value.h. */
#include "conf_parse.h"
#include "conf_report.h"
#include "conf_value.h"

#define USER_FORM \
    "a name of letters, digits, '.', '-' and '_', at most 64 of them, the first no '.'"

/* A user's name becomes part of a path, so it holds nothing that means something there. */
bool conf_user_is_valid(struct slice name)
{
    if (name.len == 0 || name.len > CONF_USER_MAX || name.ptr[0] == '.') {
        return false;
    }
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = name.ptr[i];
        if (!text_is_alpha(c) && !text_is_digit(c) && c != '.' && c != '-' && c != '_') {
            return false;
        }
    }
    return true;
}

/* Where name is or belongs. */
static uint32_t place_of(const struct conf_users *users, struct slice name, bool *out_is_there)
{
    return text_place_of(name, users->items, users->num_items, sizeof *users->items, out_is_there);
}

bool conf_find_user(const struct conf *c, struct slice name, struct slice *out)
{
    bool is_there;
    uint32_t at = place_of(&c->local_users, name, &is_there);
    if (is_there) {
        *out = c->local_users.items[at];
    }
    return is_there;
}

enum err conf_user_add(struct conf_users *users, struct arena *a, struct slice name)
{
    bool is_there;
    if (!conf_user_is_valid(name)) {
        return ERR_MALFORMED;
    }
    uint32_t at = place_of(users, name, &is_there);
    if (is_there) {
        return ERR_EXISTS;
    }
    const char *copy = conf_copy(a, name);
    if (copy == NULL) {
        return ERR_NO_MEMORY;
    }
    memmove(&users->items[at + 1], &users->items[at],
            (users->num_items - at) * sizeof *users->items);
    users->items[at] = slice_of_string(copy);
    if (users->num_items++ == 0) {
        users->first = users->items[at];
    }
    return ERR_OK;
}

static void report(struct conf_report *r, uint32_t line_number, struct slice name, enum err err)
{
    struct buf *b = conf_report_begin(r, line_number, "local_users");
    if (err == ERR_NO_MEMORY) {
        buf_put_string(b, "more users than there is memory for");
    } else {
        buf_put_string(b, "found ");
        conf_report_quote(b, name);
        buf_put_string(b, err == ERR_EXISTS ? " a second time" : ", expected " USER_FORM);
    }
    conf_report_end(r);
}

enum err conf_read_users(struct conf *c, struct arena *a, struct slice text, struct buf *errors)
{
    struct conf_text lines = {text, 0};
    struct conf_report r = conf_report_make(errors, c->local_users_file);
    struct conf_users *users = &c->local_users;
    struct slice name;
    size_t num = 0;
    enum err result = ERR_OK;
    while (conf_parse_plain_line(&lines, &name)) {
        num++;
    }
    memset(users, 0, sizeof *users);
    users->items = arena_take(a, num * sizeof *users->items);
    if (users->items == NULL) {
        report(&r, 0, slice_make(NULL, 0), ERR_NO_MEMORY);
        return ERR_NO_MEMORY;
    }
    lines = (struct conf_text){text, 0};
    while (conf_parse_plain_line(&lines, &name) && result != ERR_NO_MEMORY) {
        enum err err = conf_user_add(users, a, name);
        if (err != ERR_OK) {
            report(&r, lines.line_number, name, err);
            result = err == ERR_NO_MEMORY ? err : ERR_MALFORMED;
        }
    }
    return result;
}

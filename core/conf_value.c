/* Values of single things: see conf_value.h. */
#include "conf_value.h"

#include "address.h"
#include "conf_parse.h"
#include "port.h"
#include "url.h"

static enum err wrong(struct conf_value *v)
{
    v->found = v->text;
    return ERR_MALFORMED;
}

const char *conf_copy(struct arena *a, struct slice text)
{
    uint8_t *copy = arena_take(a, text.len + 1);
    if (copy == NULL) {
        return NULL;
    }
    if (text.len != 0) {
        memcpy(copy, text.ptr, text.len);
    }
    copy[text.len] = 0;
    return (const char *)copy;
}

enum err conf_value_string(struct conf_value *v, void *field)
{
    const char **out = field;
    *out = conf_copy(v->arena, v->text);
    return *out == NULL ? ERR_NO_MEMORY : ERR_OK;
}

enum err conf_value_name(struct conf_value *v, void *field)
{
    struct slice *out = field;
    if ((!address_is_domain(v->text) && !address_is_literal(v->text)) || text_is_8bit(v->text)) {
        return wrong(v);
    }
    const char *copy = conf_copy(v->arena, v->text);
    if (copy == NULL) {
        return ERR_NO_MEMORY;
    }
    *out = slice_of_string(copy);
    return ERR_OK;
}

enum err conf_value_path(struct conf_value *v, void *field)
{
    bool is_empty = slice_is_empty(v->text);
    if (v->text.len > CONF_PATH_MAX || (is_empty && v->min > 0) ||
        (!is_empty && v->text.ptr[0] != '/')) {
        return wrong(v);
    }
    while (v->text.len > 1 && v->text.ptr[v->text.len - 1] == '/') {
        v->text.len--; /* what is made at a path is first made beside it */
    }
    return conf_value_string(v, field);
}

enum err conf_value_socket(struct conf_value *v, void *field)
{
    return v->text.len <= PORT_LOCAL_PATH_MAX ? conf_value_path(v, field) : wrong(v);
}

static bool starts_with(struct slice text, struct slice begin)
{
    return text.len >= begin.len && memcmp(text.ptr, begin.ptr, begin.len) == 0;
}

/* A variable's name ends where no letter, digit or underscore follows: Exim's $local_part_data is
 * another one. */
static bool is_variable(struct slice text, struct slice name)
{
    if (!starts_with(text, name)) {
        return false;
    }
    uint8_t next = text.len > name.len ? text.ptr[name.len] : '/';
    return !text_is_alpha(next) && !text_is_digit(next) && next != '_';
}

enum err conf_value_maildir(struct conf_value *v, void *field)
{
    struct slice rest = v->text;
    if (slice_is_empty(rest)) {
        return wrong(v);
    }
    for (; rest.len != 0; slice_skip(&rest, 1)) {
        if (rest.ptr[0] == '$' && !is_variable(rest, SLICE_LITERAL("$local_part")) &&
            !is_variable(rest, SLICE_LITERAL("$domain"))) {
            v->found = rest;
            return ERR_MALFORMED;
        }
    }
    return conf_value_path(v, field);
}

enum err conf_value_sni_path(struct conf_value *v, void *field)
{
    for (struct slice rest = v->text; rest.len != 0; slice_skip(&rest, 1)) {
        if (rest.ptr[0] == '$' && !is_variable(rest, SLICE_LITERAL("$tls_in_sni"))) {
            v->found = rest;
            return ERR_MALFORMED;
        }
    }
    return conf_value_path(v, field);
}

enum err conf_value_number(struct conf_value *v, void *field)
{
    uint64_t value;
    if (!text_parse_u64(v->text, v->max, &value) || value < v->min) {
        return wrong(v);
    }
    *(uint32_t *)field = (uint32_t)value;
    return ERR_OK;
}

enum err conf_value_size(struct conf_value *v, void *field)
{
    uint64_t value;
    if (!conf_parse_size(v->text, v->max, &value) || value < v->min) {
        return wrong(v);
    }
    *(uint64_t *)field = value;
    return ERR_OK;
}

static enum err parse_time(struct conf_value *v, uint64_t *out_s)
{
    if (!conf_parse_time(v->text, v->max, out_s) || *out_s < v->min) {
        return wrong(v);
    }
    return ERR_OK;
}

enum err conf_value_time_ms(struct conf_value *v, void *field)
{
    uint64_t seconds;
    enum err err = parse_time(v, &seconds);
    if (err == ERR_OK) {
        *(uint64_t *)field = seconds * 1000;
    }
    return err;
}

enum err conf_value_time_s(struct conf_value *v, void *field)
{
    uint64_t seconds;
    enum err err = parse_time(v, &seconds);
    if (err == ERR_OK) {
        *(int64_t *)field = (int64_t)seconds;
    }
    return err;
}

/* One of words, which stand for 0, 1, 2... */
static enum err parse_word(struct conf_value *v, const char *const *words, size_t num_words,
                           size_t *out)
{
    for (size_t i = 0; i < num_words; i++) {
        if (text_equal_nocase(v->text, slice_of_string(words[i]))) {
            *out = i;
            return ERR_OK;
        }
    }
    return wrong(v);
}

enum err conf_value_yes_no(struct conf_value *v, void *field)
{
    static const char *const words[] = {"no", "yes"};
    size_t value = 0;
    enum err err = parse_word(v, words, 2, &value);
    *(bool *)field = value != 0;
    return err;
}

enum err conf_value_http_method(struct conf_value *v, void *field)
{
    static const char *const words[] = {"POST", "GET"};
    size_t value = 0;
    enum err err = parse_word(v, words, 2, &value);
    *(bool *)field = value != 0;
    return err;
}

enum err conf_value_http_url(struct conf_value *v, void *field)
{
    struct url url;
    if (!slice_is_empty(v->text) && url_parse(v->text, &url) != URL_OK) {
        return wrong(v);
    }
    return conf_value_string(v, field);
}

enum err conf_value_fetch(struct conf_value *v, void *field)
{
    static const char *const words[] = {"no", "aia"};
    struct conf_fetch_from *out = field;
    size_t kind = CONF_FETCH_URL;
    out->url = "";
    if (slice_is_empty(v->text) || parse_word(v, words, 2, &kind) == ERR_OK) {
        out->kind = (enum conf_fetch)kind;
        return slice_is_empty(v->text) ? wrong(v) : ERR_OK;
    }
    out->kind = CONF_FETCH_URL;
    return conf_value_http_url(v, &out->url);
}

enum err conf_value_clock(struct conf_value *v, void *field)
{
    static const char *const words[] = {"yes", "auto"};
    size_t value = CONF_CLOCK_YES;
    enum err err = parse_word(v, words, 2, &value);
    *(enum conf_clock *)field = (enum conf_clock)value;
    return err;
}

enum err conf_value_log(struct conf_value *v, void *field)
{
    static const char *const words[] = {"stderr", "syslog"};
    size_t value = CONF_LOG_STDERR;
    enum err err = parse_word(v, words, 2, &value);
    *(enum conf_log *)field = (enum conf_log)value;
    return err;
}

enum err conf_value_level(struct conf_value *v, void *field)
{
    static const char *const words[] = {"error", "warning", "info", "debug"};
    size_t value = LOG_INFO;
    enum err err = parse_word(v, words, 4, &value);
    *(enum log_level *)field = (enum log_level)value;
    return err;
}

/* Names and passwords for other servers: see conf_read_logins in conf.h. */
#include "conf_value.h"

#include "address.h"
#include "conf_parse.h"
#include "conf_report.h"
#include "smtp_login.h"
#include "text.h"

#define NO_MEMORY "more names than there is memory for"

/* Up to the next space, which is dropped with those behind it. */
static struct slice take_word(struct slice *line)
{
    struct slice word = {line->ptr, 0};
    while (word.len < line->len && line->ptr[word.len] != ' ' && line->ptr[word.len] != '\t') {
        word.len++;
    }
    slice_skip(line, word.len);
    *line = conf_trim(*line);
    return word;
}

_Static_assert(SMTP_LOGIN_TEXT_MAX == 255, "as read_login and the manual say");

static const char *read_login(struct arena *a, struct slice line, struct conf_login *out)
{
    struct slice *const parts[] = {&out->host, &out->user, &out->password};
    out->host = take_word(&line);
    out->user = take_word(&line);
    out->password = line;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (parts[i]->len == 0 || parts[i]->len > SMTP_LOGIN_TEXT_MAX) {
            return "expected HOST USER PASSWORD, each of at most 255 bytes";
        }
        if (i == 0 && !address_is_host(*parts[i])) {
            return "expected the name of a host, or an address without brackets; and no port";
        }
        const char *copy = conf_copy(a, *parts[i]);
        if (copy == NULL) {
            return NO_MEMORY;
        }
        parts[i]->ptr = (const uint8_t *)copy;
    }
    return NULL;
}

enum err conf_read_logins(struct conf *c, struct arena *a, struct slice text, struct buf *errors)
{
    struct conf_text lines = {text, 0};
    struct conf_report r = conf_report_make(errors, c->client_auth_file);
    struct slice line;
    uint32_t num = 0;
    while (conf_parse_plain_line(&lines, &line)) {
        num++;
    }
    c->logins = (struct conf_logins){arena_take(a, num * sizeof *c->logins.items), 0};
    lines = (struct conf_text){text, 0};
    while (c->logins.items != NULL && conf_parse_plain_line(&lines, &line)) {
        struct conf_login *login = &c->logins.items[c->logins.num_items];
        const char *mistake = read_login(a, line, login);
        bool is_again = mistake == NULL && conf_find_login(c, login->host) != NULL;
        if (mistake != NULL || is_again) {
            buf_put_string(conf_report_begin(&r, lines.line_number, "client_auth_file"),
                           is_again ? "that host stands further up already, which counts"
                                    : mistake);
            conf_report_end(&r);
        }
        if (mistake != NULL) {
            return ERR_MALFORMED;
        }
        c->logins.num_items++;
    }
    if (c->logins.items == NULL) {
        buf_put_string(conf_report_begin(&r, 0, "client_auth_file"), NO_MEMORY);
        conf_report_end(&r);
        return ERR_NO_MEMORY;
    }
    return ERR_OK;
}

const struct conf_login *conf_find_login(const struct conf *c, struct slice host)
{
    for (uint32_t i = 0; i < c->logins.num_items; i++) {
        if (text_equal_nocase(c->logins.items[i].host, host)) {
            return &c->logins.items[i];
        }
    }
    return NULL;
}

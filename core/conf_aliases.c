/* Reading the aliases file: see conf_read_aliases in conf.h; alias.h says what the file holds. */
#include "address.h"
#include "conf_parse.h"
#include "conf_report.h"
#include "conf_value.h"
#include "route.h"
#include "text.h"

#define FORM_NAME   "NAME: TARGET, TARGET"
#define FORM_TARGET "a user, an alias, one of these at a local domain, or an address elsewhere"
#define TOO_MUCH    "which goes through more than 8 aliases, or stands for more than 64 names"

_Static_assert(ALIAS_DEPTH_MAX == 8 && ROUTE_TARGETS_MAX == 64, "as TOO_MUCH and the manual say");

struct reader {
    struct conf *conf;
    struct arena *arena;
    struct conf_report report;
    struct alias_entry *entry; /* the one that lines are continued for; NULL: none */
    uint32_t line_number;
    uint32_t num_before; /* complaints before this entry */
    bool is_failure;     /* the entry says ":fail:": the rest is its text */
    bool is_out_of_memory;
};

/* found: cut off text, or empty for none; then what is wrong. */
static void complain(struct reader *r, struct slice found, const char *text)
{
    struct buf *b = conf_report_begin(&r->report, r->line_number, NULL);
    if (found.len != 0) {
        buf_put_string(b, "found ");
        conf_report_quote(b, found);
        buf_put_string(b, ", ");
    }
    buf_put_string(b, text);
    conf_report_end(&r->report);
}

static bool is_space(uint8_t c)
{
    return c == ' ' || c == '\t';
}

/* Up to the separator, or to the end; "quoted" text may hold separators. Without the quotes and the
 * spaces around it. False if a quote is left open or text stands behind it. */
static bool take_word(struct slice *in, uint8_t separator, struct slice *out)
{
    *in = conf_trim(*in);
    bool is_quoted = in->len != 0 && in->ptr[0] == '"' && slice_skip(in, 1);
    size_t len = 0;
    while (len < in->len && in->ptr[len] != (is_quoted ? '"' : separator)) {
        len++;
    }
    if (is_quoted && len == in->len) {
        return false;
    }
    slice_take(in, len, out);
    if (is_quoted) {
        slice_skip(in, 1);
        *in = conf_trim(*in);
        return in->len == 0 || in->ptr[0] == separator;
    }
    *out = conf_trim(*out);
    return true;
}

static bool copy(struct reader *r, struct slice *text)
{
    const char *bytes = conf_copy(r->arena, *text);
    if (bytes == NULL) {
        complain(r, slice_make(NULL, 0), "more aliases than there is memory for");
        r->is_out_of_memory = true;
        return false;
    }
    *text = slice_make(bytes, text->len);
    return true;
}

/* A name, one at a local domain, or an address. */
static bool is_target(const struct reader *r, struct slice text)
{
    struct slice name, domain;
    struct address address;
    bool is_name = text.ptr[0] != '/' && text.ptr[0] != '|' && text.ptr[0] != ':';
    bool is_elsewhere = text_cut_last(text, '@', &name, &domain) &&
                        !domainlist_match(&r->conf->local_domains, domain);
    bool fits = is_elsewhere ? address_parse(text, &address) == ADDRESS_OK
                             : name.len != 0 && name.len <= ADDRESS_LOCAL_MAX;
    return is_name && fits;
}

static void add_target(struct reader *r, struct slice text)
{
    struct alias_table *t = &r->conf->aliases;
    if (!is_target(r, text)) {
        complain(r, text, "expected " FORM_TARGET);
    } else if (copy(r, &text)) {
        t->targets[t->num_targets++] = text;
        r->entry->num_targets++;
    }
}

static void add_targets(struct reader *r, struct slice line)
{
    struct slice target;
    while (line.len != 0 && !r->is_out_of_memory) {
        if (!take_word(&line, ',', &target)) {
            complain(r, line, "expected a closing quote and a comma");
            return;
        }
        slice_skip(&line, 1);
        if (target.len != 0) {
            add_target(r, target);
        }
    }
}

static bool take_failure(struct reader *r, struct slice line)
{
    struct slice word = SLICE_LITERAL(":fail:");
    r->is_failure = line.len >= word.len && memcmp(line.ptr, word.ptr, word.len) == 0;
    return r->is_failure;
}

static void end_entry(struct reader *r)
{
    if (r->entry != NULL && r->entry->num_targets == 0 && !r->is_failure &&
        r->report.num == r->num_before) {
        r->line_number = r->entry->line_number;
        complain(r, r->entry->name, "expected a target behind it");
    }
    r->entry = NULL;
}

static void begin_entry(struct reader *r, struct slice line, uint32_t line_number)
{
    struct slice name, rest = line;
    end_entry(r);
    r->line_number = line_number;
    r->num_before = r->report.num;
    if (!take_word(&rest, ':', &name) || rest.len == 0 || name.len == 0 ||
        name.len > ADDRESS_LOCAL_MAX) {
        complain(r, line, "expected " FORM_NAME);
        return;
    }
    if (memchr(name.ptr, '@', name.len) != NULL) {
        complain(r, name, "expected a name without a domain: aliases hold at all local domains");
        return;
    }
    if (!copy(r, &name)) {
        return;
    }
    if (alias_add(&r->conf->aliases, name, &r->entry) == ERR_EXISTS) {
        complain(r, name, "which stands further up already");
        r->entry = NULL;
        return;
    }
    r->entry->line_number = line_number;
    slice_skip(&rest, 1);
    rest = conf_trim(rest);
    if (!take_failure(r, rest)) {
        add_targets(r, rest);
    }
}

/* The next line that says something, with the spaces in front of it. */
static bool next_line(struct conf_text *text, struct slice *out)
{
    const uint8_t *begin = text->rest.ptr;
    if (!conf_parse_plain_line(text, out)) {
        return false;
    }
    if (out->ptr > begin && is_space(out->ptr[-1])) {
        out->ptr--;
        out->len++;
    }
    return true;
}

static bool make_room(struct reader *r, struct slice text)
{
    struct alias_table *t = &r->conf->aliases;
    struct conf_text lines = {text, 0};
    struct slice line;
    size_t num_entries = 0, num_targets = 0;
    while (next_line(&lines, &line)) {
        num_entries += is_space(line.ptr[0]) ? 0 : 1;
        num_targets++;
        for (size_t i = 0; i < line.len; i++) {
            num_targets += line.ptr[i] == ',';
        }
    }
    memset(t, 0, sizeof *t);
    t->entries = arena_take(r->arena, num_entries * sizeof *t->entries);
    t->targets = arena_take(r->arena, num_targets * sizeof *t->targets);
    return t->entries != NULL && t->targets != NULL;
}

static void read_lines(struct reader *r, struct slice text)
{
    struct conf_text lines = {text, 0};
    struct slice line;
    while (!r->is_out_of_memory && next_line(&lines, &line)) {
        if (!is_space(line.ptr[0])) {
            begin_entry(r, line, lines.line_number);
            continue;
        }
        r->line_number = lines.line_number;
        if (r->entry == NULL && r->report.num == 0) {
            complain(r, conf_trim(line), "expected " FORM_NAME ", without a space in front");
        } else if (r->entry != NULL && !r->is_failure) {
            add_targets(r, conf_trim(line));
        }
    }
    end_entry(r);
}

/* The domain at which names are tried: one whose users are known elsewhere, if there is any. */
static struct slice domain_to_try(const struct conf *c)
{
    for (uint32_t i = 0; i < c->local_domains.num_items; i++) {
        struct slice name = c->local_domains.items[i].name;
        if (route_is_ours(c, name) && route_find(c, name)->kind != ROUTE_TO_MAILDIR) {
            return name;
        }
    }
    return slice_make(NULL, 0);
}

static void try_way(struct reader *r, const struct alias_target *target)
{
    if (route_find(r->conf, target->domain) == NULL) {
        complain(r, target->domain, "to which route_list has no way");
    }
}

/* Expands every name once, so that what cannot be expanded is known before mail comes. */
static void try_all(struct reader *r)
{
    const struct alias_table *t = &r->conf->aliases;
    struct alias_users users = {r->conf, route_is_ours, route_find_user};
    struct alias_target items[ROUTE_TARGETS_MAX];
    struct slice domain = domain_to_try(r->conf);
    for (uint32_t i = 0; i < t->num_entries; i++) {
        const struct alias_entry *entry = &t->entries[i];
        struct alias_list list = {items, 0, ROUTE_TARGETS_MAX, {NULL, 0}};
        if (entry->num_targets == 0) {
            continue;
        }
        r->line_number = entry->line_number;
        switch ((int)alias_expand(t, &users, entry->name, domain, &list)) {
        case ERR_OK:
            for (uint32_t k = 0; k < list.num_items; k++) {
                try_way(r, &items[k]);
            }
            break;
        case ERR_ABSENT:
            complain(r, list.culprit, "expected " FORM_TARGET);
            break;
        case ERR_EXISTS:
            complain(r, list.culprit, "which leads to itself");
            break;
        default:
            complain(r, entry->name, TOO_MUCH);
            break;
        }
    }
}

enum err conf_read_aliases(struct conf *c, struct arena *a, struct slice text, struct buf *errors)
{
    struct reader r = {c, a, conf_report_make(errors, c->aliases_file), NULL, 0, 0, false, false};
    if (!make_room(&r, text)) {
        complain(&r, slice_make(NULL, 0), "more aliases than there is memory for");
        return ERR_NO_MEMORY;
    }
    read_lines(&r, text);
    if (r.report.num == 0) {
        try_all(&r);
    }
    if (r.is_out_of_memory) {
        return ERR_NO_MEMORY;
    }
    return r.report.num == 0 ? ERR_OK : ERR_MALFORMED;
}

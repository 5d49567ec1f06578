/* Looking up and expanding aliases: see alias.h. */
#include "alias.h"

#include "text.h"

/* Where name is or belongs. */
static uint32_t place_of(const struct alias_table *t, struct slice name, bool *out_is_there)
{
    return text_place_of(name, t->entries, t->num_entries, sizeof *t->entries, out_is_there);
}

const struct alias_entry *alias_find(const struct alias_table *t, struct slice name)
{
    bool is_there;
    uint32_t at = place_of(t, name, &is_there);
    return is_there ? &t->entries[at] : NULL;
}

enum err alias_add(struct alias_table *t, struct slice name, struct alias_entry **out)
{
    bool is_there;
    uint32_t at = place_of(t, name, &is_there);
    if (is_there) {
        *out = &t->entries[at];
        return ERR_EXISTS;
    }
    memmove(&t->entries[at + 1], &t->entries[at], (t->num_entries - at) * sizeof *t->entries);
    t->num_entries++;
    *out = &t->entries[at];
    memset(*out, 0, sizeof **out);
    (*out)->name = name;
    (*out)->first_target = t->num_targets;
    return ERR_OK;
}

struct expansion {
    const struct alias_table *table;
    const struct alias_users *users;
    struct alias_list *list;
    uint32_t num_visits;
    const struct alias_entry *path[ALIAS_DEPTH_MAX]; /* the aliases that led to the name at hand */
};

static enum err fail(struct expansion *x, struct slice name, enum err err)
{
    x->list->culprit = name;
    return err;
}

static enum err add_target(struct expansion *x, const struct alias_target *target)
{
    struct alias_list *list = x->list;
    for (uint32_t i = 0; i < list->num_items; i++) {
        if (text_equal_nocase(list->items[i].name, target->name) &&
            text_equal_nocase(list->items[i].domain, target->domain) &&
            text_equal_nocase(list->items[i].at, target->at)) {
            return ERR_OK;
        }
    }
    if (list->num_items == list->cap) {
        return fail(x, target->name, ERR_TOO_BIG);
    }
    list->items[list->num_items++] = *target;
    return ERR_OK;
}

static bool is_on_path(const struct expansion *x, const struct alias_entry *entry, size_t depth)
{
    for (size_t i = 0; i < depth; i++) {
        if (x->path[i] == entry) {
            return true;
        }
    }
    return false;
}

/* Goes no deeper than ALIAS_DEPTH_MAX. */
static enum err expand(struct expansion *x, struct slice name, struct slice domain, size_t depth)
{
    struct alias_target target;
    const struct alias_entry *entry = alias_find(x->table, name);
    if (++x->num_visits > ALIAS_VISITS_MAX) {
        return fail(x, name, ERR_TOO_BIG);
    }
    bool is_loop = entry != NULL && is_on_path(x, entry, depth);
    if (entry == NULL || is_loop) {
        if (x->users->find(x->users->ctx, name, domain, &target)) {
            target.at = slice_is_empty(target.domain) ? domain : slice_make(NULL, 0);
            return add_target(x, &target);
        }
        if (is_loop) {
            return fail(x, name, ERR_EXISTS);
        }
        entry = depth == 0 ? alias_find(x->table, SLICE_LITERAL("*")) : NULL;
    }
    if (entry == NULL || entry->num_targets == 0) {
        return fail(x, name, ERR_ABSENT);
    }
    if (depth == ALIAS_DEPTH_MAX) {
        return fail(x, name, ERR_TOO_BIG);
    }
    x->path[depth] = entry;
    target.at = slice_make(NULL, 0);
    for (uint32_t i = 0; i < entry->num_targets; i++) {
        bool has_domain = text_cut_last(x->table->targets[entry->first_target + i], '@',
                                        &target.name, &target.domain);
        bool is_elsewhere = has_domain && !x->users->is_ours(x->users->ctx, target.domain);
        enum err err = is_elsewhere
                           ? add_target(x, &target)
                           : expand(x, target.name, has_domain ? target.domain : domain, depth + 1);
        if (err != ERR_OK) {
            return err;
        }
    }
    return ERR_OK;
}

enum err alias_expand(const struct alias_table *t, const struct alias_users *users,
                      struct slice name, struct slice domain, struct alias_list *list)
{
    struct expansion x = {t, users, list, 0, {NULL}};
    return expand(&x, name, domain, 0);
}

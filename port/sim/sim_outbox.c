/* The outbox in memory: see sim_files.h. */
#include "sim_inside.h"

#include <stdlib.h>

struct sim_left {
    struct sim_left *next;
    struct port_user owner;
    uint64_t mark;
    size_t len;
    uint8_t bytes[];
};

void sim_outbox_put(struct sim_host *h, const struct port_user *owner, uint64_t mark,
                    struct slice bytes)
{
    struct sim_left *left = sim_alloc(sizeof *left + bytes.len);
    struct sim_left **last = &h->outbox.first;
    left->owner = *owner;
    left->mark = mark;
    left->len = bytes.len;
    memcpy(left->bytes, bytes.ptr, bytes.len);
    while (*last != NULL) {
        last = &(*last)->next;
    }
    *last = left;
}

size_t sim_outbox_num(const struct sim_host *h)
{
    size_t num = 0;
    for (const struct sim_left *left = h->outbox.first; left != NULL; left = left->next) {
        num++;
    }
    return num;
}

void sim_outbox_keep(struct sim_host *h, uint32_t num)
{
    h->outbox.num_kept = num;
}

void sim_outbox_unmark(struct sim_host *h, uint32_t num)
{
    h->outbox.num_unmarked = num;
}

static enum err outbox_open(void *ctx, const char *path, const char *group)
{
    struct sim_host *h = ctx;
    (void)group;
    h->outbox.is_past_marks = false;
    h->outbox.num_passed = 0;
    return strncmp(path, "/nonexistent", 12) == 0 ? ERR_ABSENT : ERR_OK;
}

#define LOOKS_MAX 3

static enum err outbox_take(void *ctx, bool (*may)(const void *arg, uint32_t uid, uint64_t mark),
                            const void *arg, struct port_user *out_owner, uint64_t *out_len)
{
    struct sim_host *h = ctx;
    struct sim_outbox *o = &h->outbox;
    for (int num_looks = 0; num_looks < LOOKS_MAX || !o->is_past_marks; num_looks++) {
        struct sim_left **at = &o->first;
        for (size_t i = 0; i < o->num_passed && *at != NULL; i++) {
            at = &(*at)->next;
        }
        if (*at == NULL) {
            bool is_end = o->is_past_marks;
            o->num_passed = 0;
            o->is_past_marks = true;
            if (is_end) {
                return ERR_EOF;
            }
            continue;
        }
        o->num_passed++;
        if ((o->is_past_marks || (*at)->mark != 0) &&
            (may == NULL || may(arg, (*at)->owner.uid, (*at)->mark))) {
            o->taken = at;
            o->at = 0;
            *out_owner = (*at)->owner;
            *out_len = (*at)->len;
            return ERR_OK;
        }
    }
    return ERR_AGAIN;
}

static enum err outbox_read(void *ctx, size_t *out_len, uint8_t *into, size_t cap)
{
    struct sim_host *h = ctx;
    const struct sim_left *left = *h->outbox.taken;
    *out_len = 0;
    if (left->len - h->outbox.at < cap) {
        return ERR_MALFORMED;
    }
    memcpy(into, left->bytes + h->outbox.at, cap);
    h->outbox.at += cap;
    *out_len = cap;
    return ERR_OK;
}

static enum err outbox_mark(void *ctx, uint64_t number)
{
    struct sim_host *h = ctx;
    if (h->outbox.num_unmarked > 0) {
        h->outbox.num_unmarked--;
        return ERR_IO;
    }
    (*h->outbox.taken)->mark = number;
    return ERR_OK;
}

static uint64_t outbox_marked(void *ctx)
{
    const struct sim_host *h = ctx;
    return (*h->outbox.taken)->mark;
}

static enum err outbox_end(void *ctx, bool removes)
{
    struct sim_host *h = ctx;
    struct sim_left *left = *h->outbox.taken;
    if (removes && h->outbox.num_kept > 0) {
        h->outbox.num_kept--;
        return ERR_IO;
    }
    if (removes) {
        *h->outbox.taken = left->next;
        h->outbox.num_passed--;
        free(left);
    }
    return ERR_OK;
}

void sim_outbox_add_host(struct sim_host *h)
{
    h->port.outbox = (struct port_outbox){
        .ctx = h,
        .open = outbox_open,
        .take = outbox_take,
        .read = outbox_read,
        .mark = outbox_mark,
        .marked = outbox_marked,
        .end = outbox_end,
    };
}

void sim_outbox_free_host(struct sim_host *h)
{
    while (h->outbox.first != NULL) {
        h->outbox.taken = &h->outbox.first;
        h->outbox.num_kept = 0;
        (void)outbox_end(h, true);
    }
}

/* Small files in memory: see sim_files.h. */
#include "sim_inside.h"

#include <stdlib.h>

static struct sim_file *find_file(const struct sim_files *f, const char *path)
{
    for (size_t i = 0; i < f->num; i++) {
        if (strcmp(f->items[i].path, path) == 0) {
            return &f->items[i];
        }
    }
    return NULL;
}

/* Kept for good once named, so that its version only rises. */
static struct sim_file *name_file(struct sim_files *f, const char *path)
{
    struct sim_file *file = find_file(f, path);
    if (file != NULL) {
        return file;
    }
    if (f->num == f->cap) {
        size_t cap = f->cap * 2 + 8;
        f->items = sim_grow(f->items, f->cap * sizeof *f->items, cap * sizeof *f->items);
        f->cap = cap;
    }
    file = &f->items[f->num++];
    file->path = sim_copy_string(path);
    return file;
}

void sim_files_put(struct sim_host *h, const char *path, struct slice bytes)
{
    struct sim_file *file = name_file(&h->files, path);
    uint8_t *copy = sim_alloc(bytes.len);
    if (bytes.len > 0) {
        memcpy(copy, bytes.ptr, bytes.len);
    }
    free(file->bytes);
    file->bytes = copy;
    file->len = bytes.len;
    file->exists = true;
    file->version++;
}

void sim_files_put_string(struct sim_host *h, const char *path, const char *text)
{
    sim_files_put(h, path, slice_of_string(text));
}

bool sim_files_get(const struct sim_host *h, const char *path, struct slice *out)
{
    const struct sim_file *file = find_file(&h->files, path);
    if (file == NULL || !file->exists) {
        return false;
    }
    *out = slice_make(file->bytes, file->len);
    return true;
}

void sim_files_remove(struct sim_host *h, const char *path)
{
    struct sim_file *file = find_file(&h->files, path);
    if (file != NULL) {
        file->exists = false;
    }
}

void sim_files_fail(struct sim_host *h, const char *path, enum err with)
{
    name_file(&h->files, path)->failing = with;
}

static enum err files_read(void *ctx, size_t *out_len, const char *path, uint8_t *into, size_t cap)
{
    const struct sim_host *h = ctx;
    const struct sim_file *file = find_file(&h->files, path);
    *out_len = 0;
    if (file != NULL && file->failing != ERR_OK) {
        return file->failing;
    }
    if (file == NULL || !file->exists) {
        return ERR_ABSENT;
    }
    if (file->len > cap) {
        return ERR_TOO_BIG;
    }
    if (file->len > 0) {
        memcpy(into, file->bytes, file->len);
    }
    *out_len = file->len;
    return ERR_OK;
}

static enum err files_can_replace(void *ctx, const char *path)
{
    struct sim_host *h = ctx;
    const struct sim_file *file = find_file(&h->files, path);
    return file != NULL ? file->failing : ERR_OK;
}

static enum err files_replace(void *ctx, const char *path, struct slice bytes)
{
    struct sim_host *h = ctx;
    const struct sim_file *file = find_file(&h->files, path);
    if (file != NULL && file->failing != ERR_OK) {
        return file->failing;
    }
    if (sim_host_is_off(h)) {
        return ERR_IO;
    }
    sim_files_put(h, path, bytes);
    return ERR_OK;
}

static enum err files_stamp(void *ctx, struct port_stamp *out, const char *path)
{
    const struct sim_host *h = ctx;
    const struct sim_file *file = find_file(&h->files, path);
    *out = (struct port_stamp){{0}};
    if (file != NULL && file->failing != ERR_OK) {
        return file->failing;
    }
    if (file != NULL && file->exists) {
        out->words[0] = file->version;
        out->words[1] = file->len;
    }
    return ERR_OK;
}

void sim_files_add_host(struct sim_host *h)
{
    h->port.files = (struct port_files){
        .ctx = h,
        .read = files_read,
        .read_private = files_read,
        .replace = files_replace,
        .can_replace = files_can_replace,
        .stamp = files_stamp,
    };
}

void sim_files_free_host(struct sim_host *h)
{
    for (size_t i = 0; i < h->files.num; i++) {
        free(h->files.items[i].path);
        free(h->files.items[i].bytes);
    }
    free(h->files.items);
}

/* The log store in a directory: see posix_store.h. */
#include "posix_store.h"

#include "posix_dir.h"
#include "posix_err.h"
#include "posix_files.h"
#include "posix_fs.h"
#include "text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h> /* renameat */
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define SEGMENT_PREFIX "segment-"
#define DAMAGED_SUFFIX ".damaged"
#define LOCK_NAME      "lock"

_Static_assert(sizeof(off_t) == 8, "a file may be larger than 2 GiB: -D_FILE_OFFSET_BITS=64");

static void segment_name(char out[POSIX_SEGMENT_NAME_CAP], uint32_t id, const char *suffix)
{
    uint8_t bytes[4] = {(uint8_t)(id >> 24), (uint8_t)(id >> 16), (uint8_t)(id >> 8), (uint8_t)id};
    struct buf b = buf_make(out, POSIX_SEGMENT_NAME_CAP);
    buf_put_string(&b, SEGMENT_PREFIX);
    text_put_hex(&b, slice_make(bytes, sizeof bytes));
    buf_put_string(&b, suffix);
    buf_end_string(&b);
}

static bool parse_segment_name(const char *name, uint32_t *out_id)
{
    const size_t prefix_len = sizeof SEGMENT_PREFIX - 1;
    if (strlen(name) != prefix_len + 8 || memcmp(name, SEGMENT_PREFIX, prefix_len) != 0) {
        return false;
    }
    uint32_t id = 0;
    for (const char *c = name + prefix_len; *c != '\0'; c++) {
        bool digit = *c >= '0' && *c <= '9';
        if (!digit && (*c < 'a' || *c > 'f')) {
            return false;
        }
        id = (id << 4) | (uint32_t)(digit ? *c - '0' : *c - 'a' + 10);
    }
    *out_id = id;
    return true;
}

/* What power cuts and failing disks left of small files that were to be replaced (posix_files.c).
 */
static bool sweep_one(void *ctx, const char *name)
{
    const struct posix_store *s = ctx;
    const size_t len = strlen(name), suffix_len = sizeof POSIX_FILES_NEW_SUFFIX - 1;
    if (len > suffix_len && strcmp(name + len - suffix_len, POSIX_FILES_NEW_SUFFIX) == 0) {
        (void)unlinkat(s->dir_fd, name, 0);
    }
    return true;
}

static enum err store_open(void *ctx)
{
    struct posix_store *s = ctx;
    if (s->lock_fd >= 0) {
        return ERR_WRONG_STATE;
    }
    if (s->dir_fd < 0) {
        if (mkdir(s->path, 0700) != 0 && errno != EEXIST) {
            return posix_err(errno);
        }
        s->dir_fd = open(s->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (s->dir_fd < 0) {
            return posix_err(errno);
        }
    }
    int fd = openat(s->dir_fd, LOCK_NAME, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return posix_err(errno);
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        enum err e = errno == EWOULDBLOCK ? ERR_IN_USE : posix_err(errno);
        close(fd);
        return e;
    }
    s->lock_fd = fd;
    (void)posix_dir_each(s->dir_fd, sweep_one, s);
    /* If the directory is new, its own name must last as well. Where the directory above may not be
     * read, it was not made here. */
    enum err e = posix_dir_sync_parent(s->path);
    return e == ERR_DENIED ? ERR_OK : e;
}

struct list_state {
    uint32_t *ids;
    size_t cap, num;
};

static bool list_one(void *ctx, const char *name)
{
    struct list_state *l = ctx;
    uint32_t id;
    if (parse_segment_name(name, &id)) {
        if (l->num < l->cap) {
            l->ids[l->num] = id;
        }
        l->num++;
    }
    return true;
}

static enum err store_list(void *ctx, uint32_t *out_ids, size_t cap, size_t *out_num)
{
    const struct posix_store *s = ctx;
    struct list_state l = {out_ids, cap, 0};
    enum err e = posix_dir_each(s->dir_fd, list_one, &l);
    *out_num = l.num;
    return e;
}

static struct posix_store_job *take_job(struct posix_store *s, uint32_t handle, uint64_t tag)
{
    struct posix_store_job *job = s->free_job;
    if (job != NULL) {
        s->free_job = job->next_free;
    } else if (s->num_fresh_used < s->num_jobs) {
        job = &s->jobs[s->num_fresh_used++];
    }
    if (job != NULL) {
        job->fd = (int)handle;
        job->job.tag = tag;
    }
    return job;
}

static void release_job(void *ctx, struct posix_job *job)
{
    struct posix_store *s = ctx;
    struct posix_store_job *mine = (struct posix_store_job *)job;
    mine->next_free = s->free_job;
    s->free_job = mine;
}

/* --- On the worker's thread --- */

/* All syncs of one segment that wait are one. */
static void run_syncs(void *ctx, struct posix_job **jobs, size_t num_jobs)
{
    (void)ctx;
    for (size_t i = 0; i < num_jobs; i++) {
        if (jobs[i]->finished) {
            continue;
        }
        int fd = ((struct posix_store_job *)jobs[i])->fd;
        enum err e = fdatasync(fd) == 0 ? ERR_OK : posix_err(errno);
        for (size_t k = i; k < num_jobs; k++) {
            if (((struct posix_store_job *)jobs[k])->fd == fd) {
                jobs[k]->result = e;
                jobs[k]->finished = true;
            }
        }
    }
}

static enum err write_all(int fd, uint64_t offset, struct slice bytes)
{
    while (bytes.len > 0) {
        ssize_t len = pwrite(fd, bytes.ptr, bytes.len, (off_t)offset);
        if (len < 0 && errno == EINTR) {
            continue;
        }
        if (len <= 0) {
            return len < 0 ? posix_err(errno) : ERR_IO;
        }
        (void)slice_skip(&bytes, (size_t)len);
        offset += (uint64_t)len;
    }
    return ERR_OK;
}

/* One slice of zeros, pushed out at once so that the last sync has little left to wait for. */
static enum err zero_slice(const struct posix_store *s, struct posix_store_job *job)
{
    const uint64_t from = job->done;
    const uint64_t slice_end = from + 16 * POSIX_ZEROS_LEN;
    const uint64_t end = slice_end < job->len ? slice_end : job->len;
    while (job->done < end) {
        uint64_t left = end - job->done;
        size_t len = left < POSIX_ZEROS_LEN ? (size_t)left : POSIX_ZEROS_LEN;
        enum err e = write_all(job->fd, job->done, slice_make(s->zeros, len));
        if (e != ERR_OK) {
            return e;
        }
        job->done += len;
    }
    return fdatasync(job->fd) == 0 ? ERR_OK : posix_err(errno);
}

static void run_creates(void *ctx, struct posix_job **jobs, size_t num_jobs)
{
    const struct posix_store *s = ctx;
    (void)num_jobs; /* one a turn: the rest is left unfinished and comes again */
    struct posix_store_job *job = (struct posix_store_job *)jobs[0];
    enum err e = zero_slice(s, job);
    if (e == ERR_OK && job->done < job->len) {
        return;
    }
    if (e == ERR_OK && (fsync(job->fd) != 0 || fsync(s->dir_fd) != 0)) {
        e = posix_err(errno);
    }
    if (e != ERR_OK) {
        /* Half a segment is no segment. Its space is free once the handle is closed. */
        char name[POSIX_SEGMENT_NAME_CAP];
        segment_name(name, job->id, "");
        (void)unlinkat(s->dir_fd, name, 0);
    }
    job->job.result = e;
    job->job.finished = true;
}

/* --- On the server's thread --- */

/* By statfs, which the C library makes statvfs of in a function of its own. What says that it has
 * nothing at all has no bound: an initramfs, tmpfs with size=0. */
static uint64_t free_len(bool is_known, const struct statfs *fs)
{
    return is_known && fs->f_blocks != 0 ? (uint64_t)fs->f_bavail * (uint64_t)fs->f_frsize
                                         : INT64_MAX;
}

static uint64_t store_free_len(void *ctx)
{
    const struct posix_store *s = ctx;
    struct statfs fs;
    return free_len(fstatfs(s->dir_fd, &fs) == 0, &fs);
}

static enum err store_create(void *ctx, uint32_t *out_handle, uint32_t id, uint64_t len,
                             uint64_t tag)
{
    struct posix_store *s = ctx;
    char name[POSIX_SEGMENT_NAME_CAP];
    segment_name(name, id, "");
    if (s->free_job == NULL && s->num_fresh_used == s->num_jobs) {
        return ERR_BUSY;
    }
    if (store_free_len(s) < len) {
        return ERR_NO_SPACE; /* to fill the disk each time for nothing would wear it out */
    }
    int fd = openat(s->dir_fd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return posix_err(errno);
    }
    struct posix_store_job *job = take_job(s, (uint32_t)fd, tag);
    job->id = id;
    job->len = len;
    job->done = 0;
    posix_worker_submit(s->worker, POSIX_LANE_SLOW, &job->job);
    *out_handle = (uint32_t)fd;
    return ERR_OK;
}

static enum err store_open_segment(void *ctx, uint32_t *out_handle, uint64_t *out_len, uint32_t id)
{
    const struct posix_store *s = ctx;
    char name[POSIX_SEGMENT_NAME_CAP];
    segment_name(name, id, "");
    int fd = openat(s->dir_fd, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        return posix_err(errno);
    }
    struct stat st;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        close(fd);
        return ERR_IO;
    }
    *out_handle = (uint32_t)fd;
    *out_len = (uint64_t)st.st_size;
    return ERR_OK;
}

static enum err store_write_at(void *ctx, uint32_t handle, uint64_t offset, struct slice bytes)
{
    (void)ctx;
    return write_all((int)handle, offset, bytes);
}

static enum err store_read_at(void *ctx, size_t *out_len, uint32_t handle, uint64_t offset,
                              uint8_t *into, size_t cap)
{
    struct posix_store *s = ctx;
    size_t have = 0;
    *out_len = 0;
    if (s->is_doubted) {
        (void)posix_fadvise((int)handle, 0, 0, POSIX_FADV_DONTNEED);
    }
    while (have < cap) {
        ssize_t len = pread((int)handle, into + have, cap - have, (off_t)(offset + have));
        if (len < 0 && errno == EINTR) {
            continue;
        }
        s->is_doubted = len < 0;
        if (len < 0) {
            return posix_err(errno);
        }
        if (len == 0) {
            break;
        }
        have += (size_t)len;
    }
    *out_len = have;
    return have == 0 && cap > 0 ? ERR_EOF : ERR_OK;
}

static enum err store_sync(void *ctx, uint32_t handle, uint64_t tag)
{
    struct posix_store *s = ctx;
    struct posix_store_job *job = take_job(s, handle, tag);
    if (job == NULL) {
        return ERR_BUSY;
    }
    posix_worker_submit(s->worker, POSIX_LANE_URGENT, &job->job);
    return ERR_OK;
}

static void store_close_segment(void *ctx, uint32_t handle)
{
    (void)ctx;
    close((int)handle);
}

static bool is_there(const struct posix_store *s, const char *name)
{
    struct stat info;
    return fstatat(s->dir_fd, name, &info, AT_SYMLINK_NOFOLLOW) == 0;
}

static enum err store_quarantine(void *ctx, uint32_t id)
{
    const struct posix_store *s = ctx;
    char from[POSIX_SEGMENT_NAME_CAP], to[POSIX_SEGMENT_NAME_CAP];
    segment_name(from, id, "");
    segment_name(to, id, DAMAGED_SUFFIX);
    /* An earlier one of the same id stays as well: evidence is not overwritten. */
    for (char digit = '1'; is_there(s, to) && digit <= '9'; digit++) {
        char suffix[] = DAMAGED_SUFFIX ".0";
        suffix[sizeof suffix - 2] = digit;
        segment_name(to, id, suffix);
    }
    return renameat(s->dir_fd, from, s->dir_fd, to) == 0 ? ERR_OK : posix_err(errno);
}

static enum err store_remove(void *ctx, uint32_t id)
{
    const struct posix_store *s = ctx;
    char name[POSIX_SEGMENT_NAME_CAP];
    segment_name(name, id, "");
    return unlinkat(s->dir_fd, name, 0) == 0 ? ERR_OK : posix_err(errno);
}

void posix_store_port(struct posix_store *s, struct posix_worker *worker, const char *path,
                      struct port_store *out)
{
    s->worker = worker;
    s->path = path;
    s->lock_fd = -1;
    (void)mkdir(path, 0700);
    s->dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    worker->lanes[POSIX_LANE_URGENT] = (struct posix_lane_def){s, run_syncs, release_job};
    worker->lanes[POSIX_LANE_SLOW] = (struct posix_lane_def){s, run_creates, release_job};
    *out = (struct port_store){
        .ctx = s,
        .write_unit_len = POSIX_STORE_UNIT,
        .overwrites_in_place = s->dir_fd >= 0 && posix_fs_overwrites_in_place(s->dir_fd),
        .open = store_open,
        .list = store_list,
        .create = store_create,
        .open_segment = store_open_segment,
        .write_at = store_write_at,
        .read_at = store_read_at,
        .sync = store_sync,
        .close_segment = store_close_segment,
        .quarantine = store_quarantine,
        .remove = store_remove,
        .free_len = store_free_len,
    };
}

/* Also before the directory is made. */
static uint64_t look_free_len(void *ctx)
{
    const struct posix_store *s = ctx;
    char above[512];
    struct statfs fs;
    struct buf b = buf_make(above, sizeof above);
    buf_put(&b, slice_make(s->path, (size_t)(strrchr(s->path, '/') - s->path)));
    buf_put_string(&b, "/.");
    buf_end_string(&b);
    return free_len(statfs(s->path, &fs) == 0 || statfs(above, &fs) == 0, &fs);
}

void posix_store_look(struct posix_store *s, const char *path, struct port_store *out)
{
    s->path = path;
    s->lock_fd = -1;
    s->dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    *out = (struct port_store){.ctx = s,
                               .list = store_list,
                               .open_segment = store_open_segment,
                               .close_segment = store_close_segment,
                               .free_len = look_free_len};
}

void posix_store_close(struct posix_store *s)
{
    if (s->lock_fd >= 0) {
        close(s->lock_fd);
        s->lock_fd = -1;
    }
    if (s->dir_fd >= 0) {
        close(s->dir_fd);
        s->dir_fd = -1;
    }
}

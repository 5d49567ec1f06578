/* Small files by path: see posix_files.h. */
#include "posix_files.h"

#include "posix_dir.h"
#include "posix_err.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h> /* rename */
#include <sys/stat.h>
#include <unistd.h>

#define LINKS_MAX 40 /* as the kernel follows */
#define PATH_CAP  (POSIX_FILES_TARGET_CAP + sizeof POSIX_FILES_NEW_SUFFIX)

/* Below a file there is nothing. */
static enum err files_err(int error_number)
{
    return error_number == ENOTDIR ? ERR_ABSENT : posix_err(error_number);
}

/* Reads until the end or until into is full. */
static enum err read_up_to(int fd, uint8_t *into, size_t cap, size_t *out_len)
{
    *out_len = 0;
    while (*out_len < cap) {
        ssize_t len = read(fd, into + *out_len, cap - *out_len);
        if (len < 0 && errno == EINTR) {
            continue;
        }
        if (len < 0) {
            return posix_err(errno);
        }
        if (len == 0) {
            break;
        }
        *out_len += (size_t)len;
    }
    return ERR_OK;
}

/* Root's may be read by the server's group, as otherwise it could read none of them. */
static bool is_private(const struct stat *st)
{
    const uid_t uid = geteuid();
    const bool by_group = uid != 0 && st->st_uid == 0 && st->st_gid == getegid();
    return (st->st_uid == uid || st->st_uid == 0) && (st->st_mode & (by_group ? 037 : 077)) == 0;
}

static enum err read_file(size_t *out_len, const char *path, uint8_t *into, size_t cap,
                          bool must_be_private)
{
    *out_len = 0;
    /* Non-blocking, or a FIFO without a writer would stop the server. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        return files_err(errno);
    }
    struct stat st;
    size_t len = 0;
    enum err e = fstat(fd, &st) != 0                   ? posix_err(errno)
                 : !S_ISREG(st.st_mode)                ? ERR_NOT_A_FILE
                 : must_be_private && !is_private(&st) ? ERR_NOT_ALLOWED
                 : st.st_size > (off_t)cap             ? ERR_TOO_BIG
                                                       : read_up_to(fd, into, cap, &len);
    uint8_t more;
    size_t more_len = 0;
    if (e == ERR_OK && len == cap) {
        /* It may have grown since. */
        e = read_up_to(fd, &more, 1, &more_len);
    }
    close(fd);
    if (e == ERR_OK && more_len > 0) {
        e = ERR_TOO_BIG;
    }
    if (e == ERR_OK) {
        *out_len = len;
    }
    return e;
}

static enum err files_read(void *ctx, size_t *out_len, const char *path, uint8_t *into, size_t cap)
{
    (void)ctx;
    return read_file(out_len, path, into, cap, false);
}

static enum err files_read_private(void *ctx, size_t *out_len, const char *path, uint8_t *into,
                                   size_t cap)
{
    (void)ctx;
    return read_file(out_len, path, into, cap, true);
}

static enum err write_new(const char *path, struct slice bytes, const struct stat *old)
{
    if (unlink(path) != 0 && errno != ENOENT) {
        return posix_err(errno);
    }
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) {
        return posix_err(errno);
    }
    enum err e = ERR_OK;
    if (old != NULL) {
        /* The owner first, as that clears bits of the mode; only root may give files away. */
        (void)!fchown(fd, old->st_uid, old->st_gid);
        if (fchmod(fd, old->st_mode & 07777) != 0) {
            e = posix_err(errno);
        }
    }
    while (bytes.len > 0 && e == ERR_OK) {
        ssize_t len = write(fd, bytes.ptr, bytes.len);
        if (len > 0) {
            (void)slice_skip(&bytes, (size_t)len);
        } else if (len == 0 || errno != EINTR) {
            e = len == 0 ? ERR_IO : posix_err(errno);
        }
    }
    if (e == ERR_OK && fsync(fd) != 0) {
        e = posix_err(errno);
    }
    if (close(fd) != 0 && e == ERR_OK) {
        e = posix_err(errno);
    }
    return e;
}

enum err posix_files_target(const char *path, char *out)
{
    char link[PATH_MAX];
    size_t path_len = strlen(path);
    if (path_len >= PATH_MAX) {
        return ERR_TOO_BIG;
    }
    memcpy(out, path, path_len + 1);
    for (unsigned i = 0; i < LINKS_MAX; i++) {
        ssize_t len = readlink(out, link, sizeof link);
        if (len < 0) {
            return ERR_OK;
        }
        const char *slash = strrchr(out, '/');
        size_t dir_len =
            len == 0 || link[0] == '/' || slash == NULL ? 0 : (size_t)(slash - out) + 1;
        if ((size_t)len >= PATH_MAX - dir_len) {
            return ERR_TOO_BIG;
        }
        memcpy(out + dir_len, link, (size_t)len);
        out[dir_len + (size_t)len] = '\0';
    }
    return posix_err(ELOOP);
}

/* A symbolic link stays; the file that it leads to is replaced. One that leads to nothing is
 * replaced itself, but no device or pipe, which would be gone afterwards. *out_exists: it is there,
 * as out_old says. */
static enum err replaced_target(const char *path, char *out, bool *out_exists, struct stat *out_old)
{
    enum err e = posix_files_target(path, out);
    *out_exists = e == ERR_OK && stat(path, out_old) == 0;
    if (e == ERR_OK && !*out_exists) {
        e = errno == ENOENT ? ERR_OK : posix_err(errno);
        memcpy(out, path, strlen(path) + 1); /* it fitted before */
    }
    if (e != ERR_OK) {
        return e;
    }
    return *out_exists && !S_ISREG(out_old->st_mode) ? ERR_NOT_A_FILE : e;
}

static enum err files_can_replace(void *ctx, const char *path)
{
    char target[PATH_CAP];
    struct stat old;
    bool exists;
    (void)ctx;
    enum err e = replaced_target(path, target, &exists, &old);
    if (e != ERR_OK) {
        return e;
    }
    char *slash = strrchr(target, '/');
    if (slash != NULL) {
        slash[slash == target] = '\0';
    }
    bool is_writable = access(slash == NULL ? "." : target, W_OK | X_OK) == 0;
    return is_writable ? ERR_OK : posix_err(errno);
}

static enum err files_replace(void *ctx, const char *path, struct slice bytes)
{
    (void)ctx;
    char target[PATH_CAP], beside[PATH_CAP];
    struct stat old;
    bool exists;
    enum err e = replaced_target(path, target, &exists, &old);
    if (e != ERR_OK) {
        return e;
    }
    struct buf b = buf_make(beside, sizeof beside);
    buf_put_string(&b, target);
    buf_put_string(&b, POSIX_FILES_NEW_SUFFIX);
    buf_end_string(&b);
    e = write_new(beside, bytes, exists ? &old : NULL);
    if (e == ERR_OK && rename(beside, target) != 0) {
        e = posix_err(errno);
    }
    if (e != ERR_OK) {
        (void)unlink(beside);
        return e;
    }
    return posix_dir_sync_parent(target);
}

static enum err files_stamp(void *ctx, struct port_stamp *out, const char *path)
{
    (void)ctx;
    *out = (struct port_stamp){{0}};
    struct stat st;
    if (stat(path, &st) != 0) {
        enum err e = files_err(errno);
        return e == ERR_ABSENT ? ERR_OK : e;
    }
    /* Content, name and owner all change ctime or the inode; size and mtime catch clocks that step
     * back. The device's number lies far above any inode's in use. */
    out->words[0] = (uint64_t)st.st_mtim.tv_sec * 1000000000u + (uint64_t)st.st_mtim.tv_nsec;
    out->words[1] = (uint64_t)st.st_ctim.tv_sec * 1000000000u + (uint64_t)st.st_ctim.tv_nsec;
    out->words[2] = (uint64_t)st.st_size;
    out->words[3] = (uint64_t)st.st_ino ^ ((uint64_t)st.st_dev << 40);
    if (out->words[3] == 0) {
        out->words[3] = 1; /* never all zero: that is "absent" */
    }
    return ERR_OK;
}

void posix_files_port(struct port_files *out)
{
    *out = (struct port_files){
        .ctx = NULL,
        .read = files_read,
        .read_private = files_read_private,
        .replace = files_replace,
        .can_replace = files_can_replace,
        .stamp = files_stamp,
    };
}

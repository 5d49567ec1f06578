/* Directories by getdents64: see posix_dir.h. */
#include "posix_dir.h"

#include "posix_err.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

/* A record as the kernel lays it out (getdents(2)): inode, offset, length, type, name. */
#define BEHIND_OFFSET     8
#define RECORD_LEN_OFFSET 16
#define NAME_OFFSET       19
#define READ_LEN          4096

enum err posix_dir_piece(int fd, bool (*each)(void *ctx, const char *name), void *ctx,
                         bool *out_goes_on)
{
    _Alignas(8) char records[READ_LEN];
    long len = syscall(SYS_getdents64, fd, records, sizeof records);
    *out_goes_on = len > 0;
    if (len < 0) {
        return posix_err(errno);
    }
    for (size_t at = 0; at + NAME_OFFSET < (size_t)len;) {
        uint16_t record_len;
        if (!each(ctx, records + at + NAME_OFFSET)) {
            int64_t behind;
            memcpy(&behind, records + at + BEHIND_OFFSET, sizeof behind);
            (void)lseek(fd, (off_t)behind,
                        SEEK_SET); /* else the rest of the piece is passed over */
            *out_goes_on = false;
            return ERR_OK;
        }
        memcpy(&record_len, records + at + RECORD_LEN_OFFSET, sizeof record_len);
        at += record_len;
    }
    return ERR_OK;
}

enum err posix_dir_each(int fd, bool (*each)(void *ctx, const char *name), void *ctx)
{
    bool goes_on = true;
    enum err e = posix_dir_rewind(fd);
    while (e == ERR_OK && goes_on) {
        e = posix_dir_piece(fd, each, ctx, &goes_on);
    }
    return e;
}

enum err posix_dir_rewind(int fd)
{
    return lseek(fd, 0, SEEK_SET) == 0 ? ERR_OK : posix_err(errno);
}

/* Some file systems that are never written to have no fsync and say EINVAL: squashfs, an
 * appliance's root. Nothing there waits to be written. One that says EROFS has given up after an
 * error (ext4), with all that waited. */
static enum err sync_err(int fd, int error_number)
{
    struct statfs fs;
    if (error_number == EINVAL && fstatfs(fd, &fs) == 0 && (fs.f_flags & ST_RDONLY) != 0) {
        return ERR_OK;
    }
    return posix_err(error_number);
}

enum err posix_dir_sync(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return posix_err(errno);
    }
    enum err e = fsync(fd) == 0 ? ERR_OK : sync_err(fd, errno);
    close(fd);
    return e;
}

enum err posix_dir_sync_parent(const char *path)
{
    char parent[PATH_MAX];
    size_t len = strlen(path);
    while (len > 0 && path[len - 1] != '/') {
        len--;
    }
    if (len == 0) {
        return posix_dir_sync(".");
    }
    if (len >= sizeof parent) {
        return ERR_TOO_BIG;
    }
    memcpy(parent, path, len);
    parent[len] = '\0';
    return posix_dir_sync(parent);
}

enum err posix_dir_sync_up(const char *path)
{
    char up[PATH_MAX];
    size_t len = strlen(path);
    if (len >= sizeof up) {
        return ERR_TOO_BIG;
    }
    memcpy(up, path, len + 1);
    while (len > 0) {
        enum err e = posix_dir_sync(up);
        if (e != ERR_OK && e != ERR_DENIED) {
            return e;
        }
        while (len > 0 && up[len - 1] == '/') {
            len--;
        }
        while (len > 0 && up[len - 1] != '/') {
            len--;
        }
        up[len] = '\0';
    }
    return path[0] == '/' ? ERR_OK : posix_dir_sync(".");
}

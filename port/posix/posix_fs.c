/* Kinds of storage by their magic numbers, as statfs(2) lists them: see posix_fs.h. */
#include "posix_fs.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/vfs.h>

/* In place only. overlayfs copies up, btrfs, f2fs, UBIFS, JFFS2, bcachefs and ZFS write elsewhere;
 * what a network file system does is not ours to know. */
static const uint32_t in_place[] = {
    0x0000ef53, /* ext2, ext3, ext4 */
    0x58465342, /* XFS */
    0x01021994, /* tmpfs */
    0x858458f6, /* ramfs */
    0x3153464a, /* JFS */
    0x00004d44, /* FAT */
    0x2011bab0, /* exFAT */
};

bool posix_fs_overwrites_in_place(int dir_fd)
{
    struct statfs fs;
    if (fstatfs(dir_fd, &fs) != 0) {
        return false;
    }
    for (size_t i = 0; i < sizeof in_place / sizeof in_place[0]; i++) {
        if ((uint32_t)fs.f_type == in_place[i]) {
            return true;
        }
    }
    return false;
}

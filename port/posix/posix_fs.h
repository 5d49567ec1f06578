/* What kind of storage a directory is on (Linux: statfs). Called by posix_store. */
#ifndef POSTERN_POSIX_FS_H
#define POSTERN_POSIX_FS_H

#include <stdbool.h>

/* Whether a write to a written block needs no new space there. False for every kind not known. */
bool posix_fs_overwrites_in_place(int dir_fd);

#endif

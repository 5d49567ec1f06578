/* Reading a directory without an allocation (opendir makes one). Linux: getdents64. Called by
 * posix_store and posix_mailbox. */
#ifndef POSTERN_POSIX_DIR_H
#define POSTERN_POSIX_DIR_H

#include "err.h"

#include <stddef.h>
#include <stdint.h>

/* Calls each for every name, "." and ".." as well, until it returns false. fd is a directory, read
 * from its start; it may be used again afterwards. Not while another thread reads the same fd. */
enum err posix_dir_each(int fd, bool (*each)(void *ctx, const char *name), void *ctx);

/* Opens the directory, syncs it, closes it. */
enum err posix_dir_sync(const char *path);

/* The same for the directory that path is an entry of. */
enum err posix_dir_sync_parent(const char *path);

/* The same for the directory and all above it, so that the path itself survives. One that may not
 * be read is not one that was made here. */
enum err posix_dir_sync_up(const char *path);

#endif

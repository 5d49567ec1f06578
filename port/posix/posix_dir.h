/* Reading a directory without an allocation (opendir makes one). Linux: getdents64. Called by
 * all that keeps files: posix_store, posix_files, posix_maildir, posix_outbox, posix_sandbox. */
#ifndef POSTERN_POSIX_DIR_H
#define POSTERN_POSIX_DIR_H

#include "err.h"

#include <stddef.h>
#include <stdint.h>

/* Calls each for every name, "." and ".." as well, until it returns false. fd is a directory, read
 * from its start; it may be used again afterwards. Not while another thread reads the same fd. */
enum err posix_dir_each(int fd, bool (*each)(void *ctx, const char *name), void *ctx);

/* The same in pieces: some of the names behind those of the call before, or behind the one for
 * which each returned false. *out_goes_on: there may be more; false: at the end, or each was. */
enum err posix_dir_piece(int fd, bool (*each)(void *ctx, const char *name), void *ctx,
                         bool *out_goes_on);
enum err posix_dir_rewind(int fd); /* to the first name */

/* Opens the directory, syncs it, closes it. */
enum err posix_dir_sync(const char *path);

/* The same for the directory that path is an entry of; it ends in no slash. */
enum err posix_dir_sync_parent(const char *path);

/* The same for the directory and all above it, so that the path itself survives. One that may not
 * be read is not one that was made here. */
enum err posix_dir_sync_up(const char *path);

#endif

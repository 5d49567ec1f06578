/* The blocking work on Maildirs, for the worker's thread: see posix_mailbox.h. */
#ifndef POSTERN_POSIX_MAILDIR_H
#define POSTERN_POSIX_MAILDIR_H

#include "posix_mailbox.h"

/* The lane's run function. ctx is the struct posix_mailbox. */
void posix_maildir_run(void *ctx, struct posix_job **jobs, size_t num_jobs);

/* "MAILDIR/SUB/NAME", or "MAILDIR/SUB" if name is NULL. */
void posix_maildir_path(char out[POSIX_MAIL_PATH_CAP], const char *maildir, const char *sub,
                        const char *name);

#endif

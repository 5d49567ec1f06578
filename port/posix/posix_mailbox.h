/* Maildirs. A handle is a slot, which keeps the paths and the open file of one message.
 *
 * Commits that wait together share their directory syncs: each file is synced, each renamed into
 * new/, each new/ synced once. (On ext4, starting the files' writeback first, or one
 * syncfs for all, took longer than syncing them one by one.) Paths are used whole: that is fewer
 * system calls than open directories would need, and a Maildir that somebody moves or replaces is
 * never written to under its old place. Called through struct port_mailbox. */
#ifndef POSTERN_POSIX_MAILBOX_H
#define POSTERN_POSIX_MAILBOX_H

#include "posix_worker.h"

#define POSIX_MAILDIR_PATH_CAP 512 /* with its NUL */
#define POSIX_MAIL_NAME_CAP    201 /* with its NUL */
#define POSIX_MAIL_PATH_CAP    (POSIX_MAILDIR_PATH_CAP + POSIX_MAIL_NAME_CAP + 4)

/* Messages open, being committed or looked for at once; each has at most one descriptor. */
#define POSIX_MAIL_SLOTS 64

/* Maildirs known to be durable themselves, by hash; more than these are merely synced again. */
#define POSIX_KNOWN_MAILDIRS 256

enum posix_mail_work { POSIX_MAIL_COMMIT, POSIX_MAIL_FIND };

struct posix_mail {
    struct posix_job job; /* first */
    struct posix_mail *next_free;
    int fd; /* -1: none */
    enum posix_mail_work work;
    bool dir_synced; /* of a batch: its new/ has been synced for it */
    bool sync_path;  /* the Maildir's own directories are to be synced too */
    uint64_t hash;   /* of maildir */
    char maildir[POSIX_MAILDIR_PATH_CAP];
    char name[POSIX_MAIL_NAME_CAP];
};

struct posix_mailbox {
    struct posix_worker *worker;
    struct posix_mail mails[POSIX_MAIL_SLOTS];
    struct posix_mail *free_mail;
    uint64_t known[POSIX_KNOWN_MAILDIRS]; /* the server's thread only */
};

/* m is zeroed. Sets the worker's lane, so it is called before the worker starts. */
void posix_mailbox_port(struct posix_mailbox *m, struct posix_worker *worker,
                        struct port_mailbox *out);

/* Closes what is still open, when the worker has stopped. */
void posix_mailbox_close(struct posix_mailbox *m);

#endif

/* Whom the server is when root has started it: another user, who may no more than his own files
 * let him.
 *
 * Called by posix_main, posix_sandbox and posix_passwd while there is one thread; what is given up
 * is each thread's own, so posix_worker does it too. Root without a user to become stays root;
 * whoever is not root stays what he is, with what he was given (systemd gives
 * CAP_NET_BIND_SERVICE). */
#ifndef POSTERN_POSIX_PRIVILEGE_H
#define POSTERN_POSIX_PRIVILEGE_H

#include "conf.h"
#include "err.h"

struct posix_identity {
    uint32_t uid, gid;
    bool changes;    /* root has started it, and this is another user */
    bool lacks_user; /* root has started it, and nobody is there whom it could become */
};

/* Whom the options user and group mean. ERR_MALFORMED, and a line in errors: there is no such. */
enum err posix_identity_of(struct posix_identity *out, const struct conf *conf, struct buf *errors);

/* Whether the group that submit_socket_group means is there. ERR_MALFORMED, and a line in errors:
 * not. */
enum err posix_find_group(const struct conf *conf, struct buf *errors);

/* A line in errors for each of trusted_users that is not there: it may come yet. */
void posix_find_trusted(const struct conf *conf, struct buf *errors);

/* What no process of ours needs: core files, a debugger of the same user, programs with more rights
 * than itself. Keeps nothing from working that works now. */
void posix_privilege_harden(void);

/* Becomes that user, without any other group. is_opening: with the two rights that opening needs,
 * ports below 1024 and giving a file to a group, until posix_privilege_give_up. */
enum err posix_privilege_become(const struct posix_identity *who, bool is_opening);

/* Gives up all rights beyond those of the user, for this thread and those it makes. */
void posix_privilege_give_up(void);

/* No processes beside those that there are, whatever happens. */
void posix_privilege_end_forks(void);

#endif

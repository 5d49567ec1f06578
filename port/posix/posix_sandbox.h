/* What the server may do once it runs: entered in two steps by posix_main.
 *
 * posix_sandbox_enter, before there is a second thread: makes the directories that are the server's
 * own, fences it in with those that the options name (Landlock), and makes it the user that it is
 * to be, who can still open ports below 1024. posix_sandbox_seal, when all is open: takes that away
 * as well, and all system calls that serving does not need (seccomp). A kernel that lacks any of it
 * lets the server run without; the log says what is in force. */
#ifndef POSTERN_POSIX_SANDBOX_H
#define POSTERN_POSIX_SANDBOX_H

#include "port.h"
#include "posix_landlock.h"
#include "posix_privilege.h"

struct posix_sandbox {
    struct posix_identity who;
    bool is_wanted; /* option sandbox */
    enum conf_reach reach;
    int landlock; /* version that is in force; 0: none */
    bool seccomp;
};

/* ERR_MALFORMED: no such user or group. ERR_DENIED and its like: root may not become him. Either
 * leaves a line in errors. */
enum err posix_sandbox_enter(struct posix_sandbox *s, const struct conf *conf,
                             const char *conf_path, struct buf *errors);

/* Says in one line of the log what is in force. */
void posix_sandbox_seal(struct posix_sandbox *s, const struct port_log *log);

/* After ERR_DENIED: whose rights it is about; nothing if the server stays whom it was. */
void posix_sandbox_put_denied(const struct posix_identity *who, struct buf *errors);

#endif

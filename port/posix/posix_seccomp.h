/* The system calls that the server may make from now on, for all of its threads: seccomp(2), a
 * filter made by hand.
 *
 * Called by posix_sandbox when all is open. Calls that nobody makes but an intruder (another
 * program, a debugger, a mount) end the process. Those that merely are not on the list fail with
 * ENOSYS: a C library of next year falls back to what it called before. */
#ifndef POSTERN_POSIX_SECCOMP_H
#define POSTERN_POSIX_SECCOMP_H

#include <stdbool.h>

struct posix_seccomp_needs {
    bool connect;  /* to anybody, the system's log too */
    bool datagram; /* UDP: a resolver asks */
};

/* False: this kernel or architecture has no such thing, and nothing has changed. Needs
 * PR_SET_NO_NEW_PRIVS, or root. */
bool posix_seccomp_enter(const struct posix_seccomp_needs *needs);

#endif

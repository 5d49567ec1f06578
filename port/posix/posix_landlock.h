/* The directories that the server may read and write from now on: Landlock, by its system calls.
 *
 * Called by posix_sandbox while there is one thread; threads made later inherit it. A rule holds
 * for a directory and all below it, also for files that come later; a file that is replaced by a
 * rename has no rule of its own, which is why rules are for directories. */
#ifndef POSTERN_POSIX_LANDLOCK_H
#define POSTERN_POSIX_LANDLOCK_H

#include <stdbool.h>
#include <stdint.h>

struct posix_landlock {
    int fd;      /* -1: the kernel has none, or none that lets a mail be delivered */
    int version; /* of its interface */
    uint64_t handled;
};

enum posix_landlock_access { POSIX_LANDLOCK_READ, POSIX_LANDLOCK_WRITE };

/* connects is false: no TCP connection to anybody, where the kernel can tell. */
void posix_landlock_begin(struct posix_landlock *l, bool connects);

/* A directory that is not there gets no rule. One of which a failing disk cannot tell whether it is
 * ends all of it: rather none than one that keeps the server from its files. */
void posix_landlock_allow(struct posix_landlock *l, const char *path,
                          enum posix_landlock_access access);

/* Needs PR_SET_NO_NEW_PRIVS, or root. The version that is in force; 0: none is. */
int posix_landlock_enter(struct posix_landlock *l);

#endif

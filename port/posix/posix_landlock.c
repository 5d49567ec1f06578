/* Landlock by hand: see posix_landlock.h. The kernel's headers are not part of every C library, so
 * what is needed of them (linux/landlock.h) stands here. */
#include "posix_landlock.h"

#include "posix_sanitized.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

#define GET_VERSION       1
#define RULE_PATH_BENEATH 1

#define WRITE_FILE  (1u << 1)
#define READ_FILE   (1u << 2)
#define READ_DIR    (1u << 3)
#define REMOVE_DIR  (1u << 4)
#define REMOVE_FILE (1u << 5)
#define MAKE_DIR    (1u << 7)
#define MAKE_REG    (1u << 8)
#define MAKE_SOCK   (1u << 9)
#define REFER       (1u << 13)
#define TRUNCATE    (1u << 14)
#define CONNECT_TCP (1u << 1)
#define OF_FILES    (WRITE_FILE | READ_FILE | TRUNCATE)

/* A message moves from tmp/ to new/, which the first version forbids whatever the rules are. */
#define VERSION_MIN 2

struct ruleset {
    uint64_t handled_fs, handled_net, scoped;
};

struct path_beneath {
    uint64_t allowed;
    int32_t fd;
} __attribute__((packed));

/* What a sanitizer reads of /proc when it complains is no business of the server's rules. */
#if defined(__NR_landlock_create_ruleset) && !defined(POSIX_SANITIZED)

/* By version, all that it has to say about files; index 0 is never used. */
static const uint32_t handled_fs[] = {0, 0x1fff, 0x3fff, 0x7fff, 0x7fff, 0xffff};

void posix_landlock_begin(struct posix_landlock *l, bool connects)
{
    const long version = syscall(__NR_landlock_create_ruleset, NULL, 0, GET_VERSION);
    struct ruleset r = {0, 0, 0};
    *l = (struct posix_landlock){.fd = -1};
    if (version < VERSION_MIN) {
        return;
    }
    r.handled_fs = handled_fs[version < 5 ? version : 5];
    r.handled_net = connects ? 0 : CONNECT_TCP;
    r.scoped = 3; /* no abstract sockets of others, no signals to them */
    const size_t len = version < 4 ? 8 : version < 6 ? 16 : sizeof r;
    l->version = (int)version;
    l->handled = r.handled_fs;
    l->fd = (int)syscall(__NR_landlock_create_ruleset, &r, len, 0);
}

void posix_landlock_allow(struct posix_landlock *l, const char *path,
                          enum posix_landlock_access access)
{
    if (l->fd < 0) {
        return;
    }
    const uint32_t writing = READ_FILE | READ_DIR | WRITE_FILE | TRUNCATE | REMOVE_FILE |
                             REMOVE_DIR | MAKE_REG | MAKE_DIR | MAKE_SOCK | REFER;
    struct path_beneath rule = {
        .allowed = l->handled & (access == POSIX_LANDLOCK_WRITE ? writing : READ_FILE),
        .fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC),
    };
    if (rule.fd < 0 && errno == ENOTDIR) {
        rule.fd = open(path, O_PATH | O_CLOEXEC); /* a device */
        rule.allowed &= OF_FILES;
    }
    if (rule.fd < 0 && (errno == ENOENT || errno == ENOTDIR || errno == EACCES)) {
        return;
    }
    if (rule.fd < 0 || syscall(__NR_landlock_add_rule, l->fd, RULE_PATH_BENEATH, &rule, 0) != 0) {
        close(l->fd); /* rather none than one that keeps the server from its files */
        l->fd = -1;
    }
    if (rule.fd >= 0) {
        close(rule.fd);
    }
}

int posix_landlock_enter(struct posix_landlock *l)
{
    if (l->fd < 0) {
        return 0;
    }
    const bool is_in = syscall(__NR_landlock_restrict_self, l->fd, 0) == 0;
    close(l->fd);
    l->fd = -1;
    return is_in ? l->version : 0;
}

#else

void posix_landlock_begin(struct posix_landlock *l, bool connects)
{
    (void)connects;
    *l = (struct posix_landlock){.fd = -1};
}

void posix_landlock_allow(struct posix_landlock *l, const char *path,
                          enum posix_landlock_access access)
{
    (void)l;
    (void)path;
    (void)access;
}

int posix_landlock_enter(struct posix_landlock *l)
{
    (void)l;
    return 0;
}

#endif

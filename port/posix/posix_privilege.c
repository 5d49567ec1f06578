/* From root to a user: see posix_privilege.h. */
#include "posix_privilege.h"

#include "conf_parse.h"
#include "posix_err.h"
#include "posix_ids.h"
#include "posix_sanitized.h"

#include <errno.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define DEFAULT_USER "postern"

/* linux/capability.h */
#define CAPABILITY_VERSION   0x20080522u
#define CAP_CHOWN            0
#define CAP_NET_BIND_SERVICE 10

/* The system's own calls: there is one thread, and the C library's would look for others. */
#ifdef SYS_setgroups32
#define SETGROUPS SYS_setgroups32
#define SETRESGID SYS_setresgid32
#define SETRESUID SYS_setresuid32
#else
#define SETGROUPS SYS_setgroups
#define SETRESGID SYS_setresgid
#define SETRESUID SYS_setresuid
#endif

struct capability_header {
    uint32_t version;
    int pid;
};

struct capability_sets {
    uint32_t effective, permitted, inheritable;
};

static enum err no_such(struct buf *errors, const char *option, const char *name,
                        const char *expected)
{
    buf_put_string(errors, option);
    buf_put_string(errors, ": found '");
    text_put_escaped(errors, slice_of_string(name), PORT_USER_NAME_CAP);
    buf_put_string(errors, "', expected ");
    buf_put_string(errors, expected);
    buf_put_string(errors, ", or a number\n");
    return ERR_MALFORMED;
}

enum err posix_identity_of(struct posix_identity *out, const struct conf *conf, struct buf *errors)
{
    const char *user = conf->user[0] != '\0' ? conf->user : DEFAULT_USER;
    *out = (struct posix_identity){.uid = (uint32_t)geteuid(), .gid = (uint32_t)getegid()};
    if (out->uid != 0) {
        return ERR_OK;
    }
    if (!posix_id_of_user(&out->uid, &out->gid, user)) {
        out->lacks_user = true;
        return conf->user[0] == '\0' ? ERR_OK
                                     : no_such(errors, "user", user, "a user of " POSIX_USERS_FILE);
    }
    if (conf->group[0] != '\0' && !posix_id_number(&out->gid, POSIX_GROUPS_FILE, conf->group)) {
        return no_such(errors, "group", conf->group, "a group of " POSIX_GROUPS_FILE);
    }
    out->changes = out->uid != 0;
    return ERR_OK;
}

enum err posix_find_group(const struct conf *conf, struct buf *errors)
{
    const char *group = conf->submit_socket_group;
    uint32_t gid;
    return group[0] == '\0' || posix_id_number(&gid, POSIX_GROUPS_FILE, group)
               ? ERR_OK
               : no_such(errors, "submit_socket_group", group, "a group of " POSIX_GROUPS_FILE);
}

void posix_find_trusted(const struct conf *conf, struct buf *errors)
{
    char name[PORT_USER_NAME_CAP + 1] = "";
    struct buf item = buf_make(name, PORT_USER_NAME_CAP); /* which is too long for a name */
    struct conf_list list = conf_list_begin(slice_of_string(conf->trusted_users));
    uint32_t uid;
    while (conf_list_next(&list, &item)) {
        name[item.len] = '\0';
        if (!posix_id_number(&uid, POSIX_USERS_FILE, name)) {
            (void)no_such(errors, "trusted_users", name, "a user of " POSIX_USERS_FILE);
        }
    }
}

/* By prlimit: setrlimit of musl stops all threads first, which the kernel does not ask for. */
static const struct rlimit nothing = {0, 0};

void posix_privilege_harden(void)
{
    (void)prlimit(0, RLIMIT_CORE, &nothing, NULL);
    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
#ifndef POSIX_SANITIZED /* a sanitizer looks for leaks as a debugger of itself */
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
#endif
}

static bool set_capabilities(uint32_t set)
{
    const struct capability_header header = {CAPABILITY_VERSION, 0};
    const struct capability_sets sets[2] = {{set, set, 0}, {0, 0, 0}};
    return syscall(SYS_capset, &header, sets) == 0;
}

enum err posix_privilege_become(const struct posix_identity *who, bool is_opening)
{
    const uint32_t set = 1u << CAP_CHOWN | 1u << CAP_NET_BIND_SERVICE;
    const gid_t gid = (gid_t)who->gid;
    const uid_t uid = (uid_t)who->uid;
    if ((is_opening && prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0) ||
        syscall(SETGROUPS, 0, NULL) != 0 || syscall(SETRESGID, gid, gid, gid) != 0 ||
        syscall(SETRESUID, uid, uid, uid) != 0 || (is_opening && !set_capabilities(set))) {
        return posix_err(errno);
    }
    posix_privilege_harden(); /* another user is a debuggable one again */
    return ERR_OK;
}

void posix_privilege_give_up(void)
{
    (void)set_capabilities(0);
}

void posix_privilege_end_forks(void)
{
    (void)prlimit(0, RLIMIT_NPROC, &nothing, NULL);
}

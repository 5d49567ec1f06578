/* The server's fence, from its options: see posix_sandbox.h. */
#include "posix_sandbox.h"

#include "conf_parse.h"
#include "posix_dir.h"
#include "posix_err.h"
#include "posix_files.h"
#include "posix_ids.h"
#include "posix_seccomp.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h> /* rename */
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_CAP (CONF_PATH_MAX + sizeof POSIX_FILES_NEW_SUFFIX + 1)

/* The directory that path is in, or as much of that as is the same whatever a variable stands for.
 */
static void put_dir(struct buf *out, const char *path)
{
    const char *variable = strchr(path, '$');
    size_t len = variable != NULL ? (size_t)(variable - path) : strlen(path);
    while (len > 0 && path[len - 1] != '/') {
        len--;
    }
    while (len > 1 && path[len - 1] == '/') {
        len--;
    }
    buf_put(out, len == 0 ? slice_of_string(".") : slice_make(path, len));
    buf_end_string(out);
}

/* With the user's own rights, not root's. */
static bool make_as_user(const struct posix_identity *who, const char *path, mode_t mode)
{
    const gid_t gid = getegid();
    const uid_t uid = geteuid();
    (void)setfsgid((gid_t)who->gid);
    (void)setfsuid((uid_t)who->uid);
    bool is_made = mkdir(path, mode) == 0;
    (void)setfsuid(uid);
    (void)setfsgid(gid);
    return is_made;
}

/* By the handle: a name may be led elsewhere meanwhile. */
static bool give(const struct posix_identity *who, const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    bool is_given = fd >= 0 && fchown(fd, (uid_t)who->uid, (gid_t)who->gid) == 0;
    if (fd >= 0) {
        close(fd);
    }
    return is_given;
}

/* Makes a directory of the user's. Where he may make it he does: what root makes and gives away in
 * a directory of his, he could exchange for something else in between. Elsewhere it is his before
 * it has its name. */
static void make_dir(const struct posix_identity *who, const char *path, mode_t mode)
{
    char beside[PATH_CAP];
    struct buf b = buf_make(beside, sizeof beside);
    struct stat st;
    if (stat(path, &st) == 0 || errno != ENOENT) {
        return;
    }
    if (who->changes && make_as_user(who, path, mode)) {
        return;
    }
    buf_put_string(&b, path);
    buf_put_string(&b, POSIX_FILES_NEW_SUFFIX);
    buf_end_string(&b);
    (void)rmdir(beside);
    if (mkdir(beside, mode) != 0) {
        return; /* whoever needs it says so */
    }
    if ((who->changes && !give(who, beside)) || rename(beside, path) != 0) {
        (void)rmdir(beside);
    }
}

/* All directories on the way to where Maildirs begin. */
static void make_way(const struct posix_identity *who, const char *path)
{
    char way[PATH_CAP];
    struct buf b = buf_make(way, sizeof way);
    put_dir(&b, path);
    for (char *c = way + 1; *c != '\0'; c++) {
        if (*c == '/') {
            *c = '\0';
            make_dir(who, way, 0700);
            *c = '/';
        }
    }
    make_dir(who, way, 0700);
    (void)posix_dir_sync_up(way);
}

static void make_own(const struct posix_identity *who, const struct conf *conf)
{
    char dir[PATH_CAP];
    /* That of submit_socket first, as everybody must get through it: they may be the same. */
    const char *const sockets[] = {conf->submit_socket, conf->control_socket};
    static const mode_t modes[] = {0755, 0700};
    mode_t mask = umask(0);
    make_dir(who, conf->spool_directory, 0700);
    (void)posix_dir_sync_parent(conf->spool_directory);
    for (size_t i = 0; i < 2; i++) {
        struct buf b = buf_make(dir, sizeof dir);
        put_dir(&b, sockets[i]);
        make_dir(who, dir, modes[i]);
    }
    (void)umask(mask);
    if (conf->outbox_directory[0] != '\0') {
        make_dir(who, conf->outbox_directory, 0700);
        (void)posix_dir_sync_parent(conf->outbox_directory);
    }
    make_way(who, conf->maildir);
}

/* For the directory of a file that may be replaced, and of the one that a link there leads to: that
 * may come later, as what a network says of its resolvers does. */
static void allow_file(struct posix_landlock *l, const char *path,
                       enum posix_landlock_access access)
{
    char target[POSIX_FILES_TARGET_CAP], dir[POSIX_FILES_TARGET_CAP];
    if (path[0] == '\0') {
        return;
    }
    struct buf b = buf_make(dir, sizeof dir);
    put_dir(&b, path);
    posix_landlock_allow(l, dir, access);
    if (posix_files_target(path, target) == ERR_OK && strcmp(path, target) != 0) {
        b = buf_make(dir, sizeof dir);
        put_dir(&b, target);
        posix_landlock_allow(l, dir, access);
    }
}

static void allow_files(struct posix_landlock *l, const char *paths,
                        enum posix_landlock_access access)
{
    uint8_t bytes[PATH_CAP];
    struct buf path = buf_make(bytes, CONF_PATH_MAX + 1);
    struct conf_list list = conf_list_begin(slice_of_string(paths));
    while (conf_list_next(&list, &path)) {
        buf_end_string(&path);
        allow_file(l, (const char *)bytes, access);
    }
}

static void fence(struct posix_sandbox *s, const struct conf *conf, const char *conf_path)
{
    const char *const read[] = {conf_path,
                                conf->tls_verify_certificates,
                                conf->tls_crl,
                                conf->remote_tls_verify_certificates,
                                conf->client_auth_file,
                                conf->auth_users_file,
                                conf->aliases_file,
                                conf->local_users_file,
                                POSIX_USERS_FILE,
                                POSIX_GROUPS_FILE,
                                "/etc/resolv.conf",
                                "/etc/hosts"};
    struct posix_landlock l;
    posix_landlock_begin(&l, s->reach == CONF_REACH_ALL);
    for (size_t i = 0; i < sizeof read / sizeof read[0]; i++) {
        allow_file(&l, read[i], POSIX_LANDLOCK_READ);
    }
    allow_files(&l, conf->tls_certificate, POSIX_LANDLOCK_READ);
    allow_files(&l, conf->tls_privatekey, POSIX_LANDLOCK_READ);
    allow_files(&l, conf->tls_ocsp_file, POSIX_LANDLOCK_WRITE); /* fetching may begin later */
    allow_file(&l, conf->maildir, POSIX_LANDLOCK_WRITE);
    allow_file(&l, conf->control_socket, POSIX_LANDLOCK_WRITE);
    allow_file(&l, conf->submit_socket, POSIX_LANDLOCK_WRITE);
    posix_landlock_allow(&l, conf->spool_directory, POSIX_LANDLOCK_WRITE);
    posix_landlock_allow(&l, "/dev/null", POSIX_LANDLOCK_WRITE);
    if (conf->outbox_directory[0] != '\0') {
        posix_landlock_allow(&l, conf->outbox_directory, POSIX_LANDLOCK_WRITE);
    }
    s->landlock = posix_landlock_enter(&l);
}

enum err posix_sandbox_enter(struct posix_sandbox *s, const struct conf *conf,
                             const char *conf_path, struct buf *errors)
{
    *s = (struct posix_sandbox){.is_wanted = false};
    enum err e = posix_identity_of(&s->who, conf, errors);
    if (e != ERR_OK) {
        return e;
    }
    s->is_wanted = conf->sandbox;
    s->reach = conf_reach(conf);
    make_own(&s->who, conf);
    posix_privilege_harden();
    if (s->is_wanted) {
        fence(s, conf, conf_path);
    }
    if (s->who.changes) {
        e = posix_privilege_become(&s->who, true);
    }
    if (e != ERR_OK) {
        buf_put_string(errors, "user: root may not become that user here: ");
        buf_put_string(errors, err_name(e));
        buf_put_string(errors, "; user = root stays root\n");
    }
    return e;
}

static void report(const struct posix_sandbox *s, const struct port_log *log)
{
    static const char *const reach[] = {"no", "local", "yes"};
    struct log_line line;
    const bool is_worry = s->who.lacks_user;
    log_begin(&line, "sandbox");
    log_u64(&line, "uid", (uint64_t)geteuid());
    log_u64(&line, "gid", (uint64_t)getegid());
    log_word(&line, "seccomp", s->seccomp ? "yes" : "no");
    log_u64(&line, "landlock", (uint64_t)s->landlock);
    log_word(&line, "connects", reach[s->reach]);
    if (is_worry) {
        log_word(&line, "reason", "no-user-postern");
    }
    log->line(log->ctx, is_worry ? LOG_WARNING : LOG_INFO, log_end(&line));
}

void posix_sandbox_seal(struct posix_sandbox *s, const struct port_log *log)
{
    const struct posix_seccomp_needs needs = {.connect = s->reach != CONF_REACH_NOBODY,
                                              .datagram = s->reach == CONF_REACH_ALL};
    if (s->who.changes) {
        posix_privilege_give_up();
    }
    posix_privilege_end_forks();
    s->seccomp = s->is_wanted && posix_seccomp_enter(&needs);
    report(s, log);
}

void posix_sandbox_put_denied(const struct posix_identity *who, struct buf *errors)
{
    if (who->changes) {
        buf_put_string(errors,
                       "user: what is denied must be made accessible to the user with uid ");
        text_put_u64(errors, who->uid);
        buf_put_string(errors, ", or its group ");
        text_put_u64(errors, who->gid);
        buf_put_string(errors, ", which the server becomes\n");
    }
}

/* What the port to Linux does on disk beyond the common contract: names, modes, locks, links, and
 * storage that refuses. */
#include "posix/posix.h"
#include "posix/posix_fs.h"
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define LEN  65536
#define EXT4 0xef53

static char root[PATH_MAX];
static char paths[4][PATH_MAX + 64];
static struct port port;

/* A path below the test's directory; four can be in use at a time. */
static const char *at(const char *name)
{
    static int turn;
    char *path = paths[turn++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", root, name);
    return path;
}

static bool open_port(struct port *out)
{
    static char spool[PATH_MAX + 64];
    snprintf(spool, sizeof spool, "%s/spool", root);
    struct posix_conf conf = {.spool_directory = spool, .num_fds = 256, .log_level = LOG_ERROR};
    enum err e = posix_port_open(out, &conf);
    CHECK_EQ(e, ERR_OK);
    return e == ERR_OK;
}

static enum err done(uint64_t tag)
{
    for (int round = 0; round < 2000; round++) {
        struct port_event event;
        if (port.loop.wait(port.loop.ctx, &event, 1, 5) == 1 && event.tag == tag) {
            return event.err;
        }
    }
    return ERR_TIMEOUT;
}

static void make_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    CHECK(f != NULL);
    if (f != NULL) {
        fputs(text, f);
        fclose(f);
    }
}

static mode_t mode_of(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0 ? st.st_mode & 07777 : 0;
}

static bool exists(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

/* --- The log store --- */

static void store_is_locked(void)
{
    struct port other;
    if (!open_port(&port)) {
        return;
    }
    CHECK_EQ(port.store.open(port.store.ctx), ERR_OK);
    if (open_port(&other)) {
        CHECK_EQ(other.store.open(other.store.ctx), ERR_IN_USE);
        posix_port_close(&port);
        CHECK_EQ(other.store.open(other.store.ctx), ERR_OK);
        posix_port_close(&other);
    }
}

/* What a power cut left beside a small file that was to be replaced. */
static void store_sweeps_what_was_left(void)
{
    if (!open_port(&port)) {
        return;
    }
    CHECK(mkdir(at("spool"), 0700) == 0 || errno == EEXIST);
    make_file(at("spool/ocsp-evicted.new"), "half");
    make_file(at("spool/ocsp-evicted"), "whole");
    make_file(at("spool/.new"), "no file's");
    CHECK_EQ(port.store.open(port.store.ctx), ERR_OK);
    CHECK(!exists(at("spool/ocsp-evicted.new")));
    CHECK(exists(at("spool/ocsp-evicted")) && exists(at("spool/.new")));
    posix_port_close(&port);
}

static void store_ignores_other_files(void)
{
    static const char *const names[] = {"spool/segment-0000000", "spool/segment-0000000g",
                                        "spool/segment-0000000A", "spool/segment-000000001",
                                        "spool/xsegment-00000001"};
    uint32_t ids[8], handle;
    size_t num;
    if (!open_port(&port)) {
        return;
    }
    const struct port_store *s = &port.store;
    CHECK_EQ(s->open(s->ctx), ERR_OK);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        make_file(at(names[i]), "");
    }
    CHECK_EQ(s->create(s->ctx, &handle, 0xdeadbeef, LEN, 1), ERR_OK);
    CHECK_EQ(done(1), ERR_OK);
    s->close_segment(s->ctx, handle);
    CHECK_EQ(s->list(s->ctx, ids, 8, &num), ERR_OK);
    CHECK_EQ(num, 1);
    CHECK_EQ(ids[0], 0xdeadbeef);
    CHECK_EQ(mode_of(at("spool/segment-deadbeef")), 0600);
    CHECK_EQ(mode_of(at("spool")), 0700);
    CHECK_EQ(s->quarantine(s->ctx, 0xdeadbeef), ERR_OK);
    CHECK(exists(at("spool/segment-deadbeef.damaged")));
    posix_port_close(&port);
}

/* The segment's blocks exist: writing to it cannot run out of space. */
static void store_writes_its_zeros(void)
{
    uint32_t handle;
    struct stat st;
    if (!open_port(&port)) {
        return;
    }
    const struct port_store *s = &port.store;
    CHECK_EQ(s->open(s->ctx), ERR_OK);
    CHECK_EQ(s->create(s->ctx, &handle, 5, 3 * 1024 * 1024 + 4096, 1), ERR_OK);
    CHECK_EQ(done(1), ERR_OK);
    CHECK_EQ(fstat((int)handle, &st), 0);
    CHECK_EQ(st.st_size, 3 * 1024 * 1024 + 4096);
    CHECK(st.st_blocks * 512 >= st.st_size);
    s->close_segment(s->ctx, handle);
    CHECK_EQ(s->remove(s->ctx, 5), ERR_OK);
    posix_port_close(&port);
}

/* Whether the system holds the byte at that offset in memory. */
static bool is_in_memory(int fd, size_t offset)
{
    unsigned char there = 0;
    void *page = mmap(NULL, 1, PROT_READ, MAP_SHARED, fd, (off_t)offset);
    CHECK(page != MAP_FAILED && mincore(page, 1, &there) == 0);
    munmap(page, 1);
    return (there & 1) != 0;
}

/* After a read that failed the next one asks the device, whatever the system holds in memory. */
static void store_reads_the_device_after_a_failure(void)
{
    uint32_t handle;
    uint8_t bytes[4096];
    size_t len;
    const size_t far = 3 * 1024 * 1024;
    if (!open_port(&port)) {
        return;
    }
    const struct port_store *s = &port.store;
    CHECK_EQ(s->open(s->ctx), ERR_OK);
    CHECK_EQ(s->create(s->ctx, &handle, 6, far + 4096, 1), ERR_OK);
    CHECK_EQ(done(1), ERR_OK);
    CHECK_EQ(s->read_at(s->ctx, &len, handle, 0, bytes, sizeof bytes), ERR_OK);
    CHECK(is_in_memory((int)handle, far));
    int folder = open(root, O_RDONLY | O_DIRECTORY);
    CHECK(folder >= 0);
    CHECK(s->read_at(s->ctx, &len, (uint32_t)folder, 0, bytes, sizeof bytes) != ERR_OK);
    close(folder);
    CHECK_EQ(s->read_at(s->ctx, &len, handle, 0, bytes, sizeof bytes), ERR_OK);
    struct statfs fs;
    if (fstatfs((int)handle, &fs) == 0 && fs.f_type == EXT4) {
        CHECK(!is_in_memory((int)handle, far)); /* one that is memory keeps it */
    }
    CHECK_EQ(s->read_at(s->ctx, &len, handle, far, bytes, sizeof bytes), ERR_OK);
    CHECK_EQ(s->read_at(s->ctx, &len, handle, 0, bytes, sizeof bytes), ERR_OK);
    CHECK(is_in_memory((int)handle, far)); /* it is enough that one has come from there */
    s->close_segment(s->ctx, handle);
    CHECK_EQ(s->remove(s->ctx, 6), ERR_OK);
    posix_port_close(&port);
}

/* A segment that could not be made whole is not there. */
static void store_undoes_half_a_create(void)
{
    struct rlimit before, small = {LEN, LEN};
    uint32_t handle;
    if (!open_port(&port)) {
        return;
    }
    const struct port_store *s = &port.store;
    CHECK_EQ(s->open(s->ctx), ERR_OK);
    getrlimit(RLIMIT_FSIZE, &before);
    small.rlim_max = before.rlim_max;
    signal(SIGXFSZ, SIG_IGN);
    CHECK_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
    CHECK_EQ(s->create(s->ctx, &handle, 6, 4 * LEN, 1), ERR_OK);
    CHECK_EQ(done(1), ERR_TOO_BIG);
    CHECK_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
    s->close_segment(s->ctx, handle);
    CHECK(!exists(at("spool/segment-00000006")));
    CHECK_EQ(s->create(s->ctx, &handle, 6, 4 * LEN, 2), ERR_OK);
    CHECK_EQ(done(2), ERR_OK);
    s->close_segment(s->ctx, handle);
    CHECK_EQ(s->remove(s->ctx, 6), ERR_OK);
    posix_port_close(&port);
}

/* Each segment can have a sync under way: the spool takes a refusal for a failure. */
static void store_syncs_many_at_once(void)
{
    uint32_t handles[100];
    if (!open_port(&port)) {
        return;
    }
    const struct port_store *s = &port.store;
    CHECK_EQ(s->open(s->ctx), ERR_OK);
    for (uint32_t i = 0; i < 100; i++) {
        CHECK_EQ(s->create(s->ctx, &handles[i], 100 + i, LEN, 1), ERR_OK);
        CHECK_EQ(done(1), ERR_OK);
    }
    uint32_t num_refused = 0;
    for (uint32_t i = 0; i < 100; i++) {
        num_refused += s->sync(s->ctx, handles[i], 2) != ERR_OK;
    }
    CHECK_EQ(num_refused, 0);
    for (uint32_t i = num_refused; i < 100; i++) {
        CHECK_EQ(done(2), ERR_OK);
    }
    for (uint32_t i = 0; i < 100; i++) {
        s->close_segment(s->ctx, handles[i]);
        CHECK_EQ(s->remove(s->ctx, 100 + i), ERR_OK);
    }
    posix_port_close(&port);
}

static void store_bounds_its_work(void)
{
    uint32_t handle, num = 0;
    if (!open_port(&port)) {
        return;
    }
    const struct port_store *s = &port.store;
    CHECK_EQ(s->open(s->ctx), ERR_OK);
    CHECK_EQ(s->create(s->ctx, &handle, 8, LEN, 1), ERR_OK);
    CHECK_EQ(done(1), ERR_OK);
    enum err e = ERR_OK;
    for (; num < 1000 && e == ERR_OK; num++) {
        e = s->sync(s->ctx, handle, 100);
    }
    CHECK_EQ(e, ERR_BUSY);
    for (uint32_t i = 1; i < num; i++) {
        CHECK_EQ(done(100), ERR_OK);
    }
    CHECK_EQ(s->sync(s->ctx, handle, 101), ERR_OK);
    CHECK_EQ(done(101), ERR_OK);
    s->close_segment(s->ctx, handle);
    CHECK_EQ(s->remove(s->ctx, 8), ERR_OK);
    posix_port_close(&port);
}

static void fs_kinds_are_told_apart(void)
{
    int proc = open("/proc", O_RDONLY | O_DIRECTORY),
        shm = open("/dev/shm", O_RDONLY | O_DIRECTORY);
    CHECK(proc < 0 || !posix_fs_overwrites_in_place(proc));
    CHECK(shm < 0 || posix_fs_overwrites_in_place(shm));
    CHECK(!posix_fs_overwrites_in_place(-1));
    close(proc);
    close(shm);
}

/* --- Maildirs --- */

static enum err deliver(const char *maildir, const char *name, uint64_t tag)
{
    uint32_t handle;
    const struct port_mailbox *m = &port.mailbox;
    enum err e = m->begin(m->ctx, &handle, maildir, name);
    if (e != ERR_OK) {
        return e;
    }
    CHECK_EQ(m->write(m->ctx, handle, SLICE_LITERAL("mail")), ERR_OK);
    CHECK_EQ(m->commit(m->ctx, handle, tag), ERR_OK);
    return done(tag);
}

static void mail_is_private(void)
{
    if (!open_port(&port)) {
        return;
    }
    mode_t before = umask(0);
    CHECK_EQ(deliver(at("home/u/Maildir"), "1", 1), ERR_OK);
    umask(before);
    CHECK_EQ(mode_of(at("home/u")), 0700);
    CHECK_EQ(mode_of(at("home/u/Maildir")), 0700);
    CHECK_EQ(mode_of(at("home/u/Maildir/cur")), 0700);
    CHECK_EQ(mode_of(at("home/u/Maildir/new/1")), 0600);
    posix_port_close(&port);
}

/* A crash may have left tmp/NAME; and tmp/NAME must never be somebody's link elsewhere. */
static void mail_replaces_what_is_left_in_tmp(void)
{
    if (!open_port(&port)) {
        return;
    }
    CHECK_EQ(deliver(at("box"), "1", 1), ERR_OK);
    make_file(at("box/tmp/2"), "half");
    CHECK_EQ(deliver(at("box"), "2", 2), ERR_OK);
    make_file(at("victim"), "precious");
    CHECK_EQ(symlink(at("victim"), at("box/tmp/3")), 0);
    CHECK_EQ(deliver(at("box"), "3", 3), ERR_OK);
    struct stat st;
    CHECK_EQ(stat(at("victim"), &st), 0);
    CHECK_EQ(st.st_size, 8);
    CHECK_EQ(lstat(at("box/new/3"), &st), 0);
    CHECK(S_ISREG(st.st_mode));
    posix_port_close(&port);
}

static void mail_survives_what_users_do(void)
{
    uint32_t handle;
    if (!open_port(&port)) {
        return;
    }
    const struct port_mailbox *m = &port.mailbox;
    CHECK_EQ(m->begin(m->ctx, &handle, at("moved"), "1"), ERR_OK);
    CHECK_EQ(rename(at("moved"), at("elsewhere")), 0);
    CHECK_EQ(m->commit(m->ctx, handle, 1), ERR_OK);
    enum err e = done(1);
    CHECK(e != ERR_OK && e != ERR_TIMEOUT && err_is_temporary(e));
    CHECK_EQ(deliver(at("moved"), "1", 2), ERR_OK);
    CHECK(exists(at("moved/new/1")));
    CHECK(!exists(at("elsewhere/new/1")));
    make_file(at("a-file"), "");
    e = m->begin(m->ctx, &handle, at("a-file"), "1");
    CHECK(e != ERR_OK && err_is_temporary(e));
    e = m->begin(m->ctx, &handle, at("a-file/below"), "1");
    CHECK(e != ERR_OK && err_is_temporary(e));
    CHECK_EQ(rmdir(at("moved/tmp")), 0);
    CHECK_EQ(deliver(at("moved"), "2", 3), ERR_OK);
    posix_port_close(&port);
}

/* --- Small files --- */

static void files_keep_mode_and_links(void)
{
    if (!open_port(&port)) {
        return;
    }
    const struct port_files *f = &port.files;
    CHECK_EQ(f->replace(f->ctx, at("conf"), SLICE_LITERAL("a")), ERR_OK);
    CHECK_EQ(mode_of(at("conf")), 0600);
    CHECK_EQ(chmod(at("conf"), 0644), 0);
    CHECK_EQ(symlink("conf", at("link")), 0);
    make_file(at("conf.new"), "left over");
    CHECK_EQ(f->replace(f->ctx, at("link"), SLICE_LITERAL("bb")), ERR_OK);
    struct stat st;
    CHECK_EQ(lstat(at("link"), &st), 0);
    CHECK(S_ISLNK(st.st_mode));
    CHECK_EQ(mode_of(at("conf")), 0644);
    CHECK_EQ(stat(at("conf"), &st), 0);
    CHECK_EQ(st.st_size, 2);
    CHECK(!exists(at("conf.new")));
    posix_port_close(&port);
}

static void files_are_found_through_links(void)
{
    if (!open_port(&port)) {
        return;
    }
    const struct port_files *f = &port.files;
    struct stat st;
    CHECK_EQ(mkdir(at("links"), 0700), 0);
    CHECK_EQ(symlink("../far", at("links/one")), 0);
    CHECK_EQ(symlink(at("links/one"), at("two")), 0);
    make_file(at("far"), "a");
    CHECK_EQ(f->can_replace(f->ctx, at("two")), ERR_OK);
    CHECK_EQ(f->replace(f->ctx, at("two"), SLICE_LITERAL("bb")), ERR_OK);
    CHECK_EQ(lstat(at("two"), &st), 0);
    CHECK(S_ISLNK(st.st_mode));
    CHECK_EQ(lstat(at("far"), &st), 0);
    CHECK_EQ(st.st_size, 2);

    CHECK_EQ(symlink("gone", at("dangling")), 0);
    CHECK_EQ(f->replace(f->ctx, at("dangling"), SLICE_LITERAL("c")), ERR_OK);
    CHECK_EQ(lstat(at("dangling"), &st), 0);
    CHECK(S_ISREG(st.st_mode));

    CHECK_EQ(symlink("loop", at("loop")), 0);
    CHECK(f->replace(f->ctx, at("loop"), SLICE_LITERAL("d")) != ERR_OK);
    CHECK_EQ(lstat(at("loop"), &st), 0);
    CHECK(S_ISLNK(st.st_mode));
    posix_port_close(&port);
}

static void files_that_are_none_are_refused(void)
{
    uint8_t bytes[8];
    size_t len;
    if (!open_port(&port)) {
        return;
    }
    const struct port_files *f = &port.files;
    CHECK_EQ(mkfifo(at("fifo"), 0600), 0);
    CHECK_EQ(f->read(f->ctx, &len, at("fifo"), bytes, sizeof bytes), ERR_NOT_A_FILE);
    CHECK_EQ(f->read(f->ctx, &len, root, bytes, sizeof bytes), ERR_NOT_A_FILE);
    CHECK_EQ(f->read(f->ctx, &len, at("none/x"), bytes, sizeof bytes), ERR_ABSENT);
    CHECK_EQ(f->replace(f->ctx, at("none/x"), SLICE_LITERAL("x")), ERR_ABSENT);
    CHECK_EQ(f->can_replace(f->ctx, at("fifo")), ERR_NOT_A_FILE);
    CHECK_EQ(f->replace(f->ctx, at("fifo"), SLICE_LITERAL("x")), ERR_NOT_A_FILE);
    CHECK_EQ(f->replace(f->ctx, root, SLICE_LITERAL("x")), ERR_NOT_A_FILE);
    struct stat st;
    CHECK_EQ(lstat(at("fifo"), &st), 0);
    CHECK(S_ISFIFO(st.st_mode));
    if (geteuid() != 0) {
        make_file(at("secret"), "x");
        CHECK_EQ(chmod(at("secret"), 0), 0);
        CHECK_EQ(f->read(f->ctx, &len, at("secret"), bytes, sizeof bytes), ERR_DENIED);
    }
    posix_port_close(&port);
}

/* Passwords count only where nobody else can read them. */
static void files_with_secrets_are_private(void)
{
    static const struct {
        mode_t mode;
        enum err want;
    } modes[] = {{0600, ERR_OK},          {0400, ERR_OK},          {0640, ERR_NOT_ALLOWED},
                 {0604, ERR_NOT_ALLOWED}, {0620, ERR_NOT_ALLOWED}, {0601, ERR_NOT_ALLOWED}};
    uint8_t bytes[16];
    size_t len;
    if (!open_port(&port)) {
        return;
    }
    make_file(at("secret"), "x");
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        CHECK(chmod(at("secret"), modes[i].mode) == 0);
        CHECK_EQ(port.files.read_private(port.files.ctx, &len, at("secret"), bytes, sizeof bytes),
                 modes[i].want);
        CHECK_EQ(len, modes[i].want == ERR_OK ? 1 : 0);
    }
    if (geteuid() == 0) { /* another's, which he may change at any time */
        CHECK(chmod(at("secret"), 0600) == 0 && chown(at("secret"), 12345, 12345) == 0);
        CHECK_EQ(port.files.read_private(port.files.ctx, &len, at("secret"), bytes, sizeof bytes),
                 ERR_NOT_ALLOWED);
    }
    CHECK_EQ(port.files.read_private(port.files.ctx, &len, at("no-secret"), bytes, sizeof bytes),
             ERR_ABSENT);
    posix_port_close(&port);
}

static const struct test_case cases[] = {

    {"store_is_locked", store_is_locked},
    {"store_sweeps_what_was_left", store_sweeps_what_was_left},
    {"store_ignores_other_files", store_ignores_other_files},
    {"store_writes_its_zeros", store_writes_its_zeros},
    {"store_reads_the_device_after_a_failure", store_reads_the_device_after_a_failure},
    {"store_undoes_half_a_create", store_undoes_half_a_create},
    {"store_syncs_many_at_once", store_syncs_many_at_once},
    {"store_bounds_its_work", store_bounds_its_work},
    {"fs_kinds_are_told_apart", fs_kinds_are_told_apart},
    {"mail_is_private", mail_is_private},
    {"mail_replaces_what_is_left_in_tmp", mail_replaces_what_is_left_in_tmp},
    {"mail_survives_what_users_do", mail_survives_what_users_do},
    {"files_keep_mode_and_links", files_keep_mode_and_links},
    {"files_are_found_through_links", files_are_found_through_links},
    {"files_that_are_none_are_refused", files_that_are_none_are_refused},
    {"files_with_secrets_are_private", files_with_secrets_are_private},
};

int main(int argc, char **argv)
{
    char cwd[PATH_MAX - 64], command[PATH_MAX + 32];
    if (getcwd(cwd, sizeof cwd) == NULL) {
        return EXIT_FAILURE;
    }
    (void)mkdir("build", 0777);
    snprintf(root, sizeof root, "%s/build/posix_disk.%ld", cwd, (long)getpid());
    if (mkdir(root, 0700) != 0) {
        perror(root);
        return EXIT_FAILURE;
    }
    int status = test_main(cases, sizeof cases / sizeof cases[0], argc, argv);
    snprintf(command, sizeof command, "rm -rf '%s'", root);
    return system(command) == 0 ? status : EXIT_FAILURE;
}

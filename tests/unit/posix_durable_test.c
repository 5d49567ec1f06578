/* In which order the port to Linux flushes and renames, and what a call that fails becomes: fsync,
 * fdatasync, rename, mkdir and unlinkat are this program's own, noted and then done; fstatfs and
 * sem_timedwait say what a test wants. */
#include "posix/posix.h"
#include "posix/posix_outbox.h"
#include "test.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sysexits.h>
#include <unistd.h>

#define MAX_NOTES 256

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER; /* held: flushes wait */
static char notes[MAX_NOTES][160];
static size_t num_notes;
static const char *failing; /* flushes of a path that ends so fail */
static int failing_errno;   /* with that */
static bool is_impatient;   /* nobody waits for a disk at the end */

/* "WHAT PATH", the path from the test's directory on. */
static bool note(const char *what, const char *path)
{
    const char *from = strstr(path, "posix_durable.");
    from = from != NULL ? strchr(from, '/') : NULL;
    pthread_mutex_lock(&lock);
    if (num_notes < MAX_NOTES) {
        snprintf(notes[num_notes++], sizeof notes[0], "%s %s", what, from != NULL ? from + 1 : "");
    }
    size_t len = strlen(path), fail_len = failing != NULL ? strlen(failing) : 0;
    bool fails = failing != NULL && len >= fail_len && strcmp(path + len - fail_len, failing) == 0;
    pthread_mutex_unlock(&lock);
    return fails;
}

static int flush(const char *what, int fd, long call)
{
    char link[64], path[512];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, sizeof path - 1);
    path[len > 0 ? len : 0] = '\0';
    bool fails = note(what, path);
    pthread_mutex_lock(&gate);
    pthread_mutex_unlock(&gate);
    if (fails) {
        errno = failing_errno;
        return -1;
    }
    return (int)syscall(call, fd);
}

/* EROFS comes from a file system that has made itself read-only. */
int fstatfs(int fd, struct statfs *out)
{
    (void)fd;
    memset(out, 0, sizeof *out);
    out->f_frsize = 4096;
    out->f_bavail = 1 << 20;
    out->f_flags = failing_errno == EROFS ? ST_RDONLY : 0;
    return 0;
}

int sem_timedwait(sem_t *sem, const struct timespec *until)
{
    (void)until;
    if (is_impatient) {
        errno = ETIMEDOUT;
        return -1;
    }
    return sem_wait(sem);
}

int fsync(int fd)
{
    return flush("sync", fd, SYS_fsync);
}

int fdatasync(int fd)
{
    return flush("datasync", fd, SYS_fdatasync);
}

int rename(const char *from, const char *to)
{
    note("rename", to);
    return (int)syscall(SYS_renameat2, -100, from, -100, to, 0u); /* -100: AT_FDCWD */
}

int linkat(int from_fd, const char *from, int to_fd, const char *to, int flags)
{
    note("link", "posix_durable./");
    return (int)syscall(SYS_linkat, from_fd, from, to_fd, to, flags);
}

int unlinkat(int fd, const char *name, int flags)
{
    if (failing != NULL && strstr(name, failing) != NULL) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_unlinkat, fd, name, flags);
}

int mkdir(const char *path, mode_t mode)
{
    size_t len = strlen(path), fail_len = failing != NULL ? strlen(failing) : 0;
    if (failing != NULL && len >= fail_len && strcmp(path + len - fail_len, failing) == 0) {
        errno = ENOSPC;
        return -1;
    }
    return (int)syscall(SYS_mkdirat, -100, path, mode);
}

static size_t count(const char *text)
{
    size_t num = 0;
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < num_notes; i++) {
        num += strcmp(notes[i], text) == 0;
    }
    pthread_mutex_unlock(&lock);
    return num;
}

/* Where it was noted last, from 1; 0: never. */
static size_t last(const char *text)
{
    for (size_t i = num_notes; i > 0; i--) {
        if (strcmp(notes[i - 1], text) == 0) {
            return i;
        }
    }
    return 0;
}

static char root[96], spool[128], box_a[128], box_b[128], conf_file[128];
static struct port port;

static bool start(void)
{
    struct posix_conf conf = {.spool_directory = spool, .num_fds = 256, .log_level = LOG_ERROR};
    enum err e = posix_port_open(&port, &conf);
    CHECK_EQ(e, ERR_OK);
    num_notes = 0;
    failing = NULL;
    failing_errno = EIO;
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

static void commit(const char *maildir, const char *name, uint64_t tag)
{
    const struct port_mailbox *m = &port.mailbox;
    uint32_t handle = 0;
    CHECK_EQ(m->begin(m->ctx, &handle, maildir, name), ERR_OK);
    CHECK_EQ(m->write(m->ctx, handle, SLICE_LITERAL("mail")), ERR_OK);
    CHECK_EQ(m->commit(m->ctx, handle, tag), ERR_OK);
}

/* A full disk is no mistake in the options: the first case, as the others make the directory. */
static void a_spool_that_cannot_be_made_says_why(void)
{
    failing = "/spool";
    if (start()) {
        failing = "/spool";
        CHECK_EQ(port.store.open(port.store.ctx), ERR_NO_SPACE);
        failing = NULL;
        CHECK_EQ(port.store.open(port.store.ctx), ERR_OK);
        posix_port_close(&port);
    }
    failing = NULL;
}

static void mail_is_flushed_before_it_is_told(void)
{
    if (!start()) {
        return;
    }
    commit(box_a, "1", 1);
    CHECK_EQ(done(1), ERR_OK);
    CHECK(last("sync a/box/tmp/1") > 0);
    CHECK(last("rename a/box/new/1") > last("sync a/box/tmp/1"));
    CHECK(last("sync a/box/new") > last("rename a/box/new/1"));
    /* The way to a Maildir that may be new. */
    CHECK_EQ(count("sync a/box"), 1);
    CHECK_EQ(count("sync a"), 1);
    num_notes = 0;
    commit(box_a, "2", 2);
    CHECK_EQ(done(2), ERR_OK);
    CHECK_EQ(count("sync a/box/new"), 1);
    CHECK_EQ(count("sync a/box"), 0);
    posix_port_close(&port);
}

static void commits_share_directory_flushes(void)
{
    if (!start()) {
        return;
    }
    commit(box_a, "10", 10);
    commit(box_b, "10", 11);
    CHECK_EQ(done(11), ERR_OK);
    num_notes = 0;
    pthread_mutex_lock(&gate);
    commit(box_a, "11", 12); /* this one is taken, and waits */
    for (int i = 0; i < 1000 && count("sync a/box/tmp/11") == 0; i++) {
        usleep(1000);
    }
    for (uint64_t i = 0; i < 10; i++) {
        char name[8];
        snprintf(name, sizeof name, "2%u", (unsigned)i);
        commit(i % 2 == 0 ? box_a : box_b, name, 20 + i);
    }
    pthread_mutex_unlock(&gate);
    CHECK_EQ(done(29), ERR_OK);
    CHECK_EQ(count("sync a/box/new"), 2);
    CHECK_EQ(count("sync b/new"), 1);
    CHECK(last("sync a/box/new") > last("rename a/box/new/28"));
    CHECK(last("sync b/new") > last("rename b/new/29"));
    posix_port_close(&port);
}

static void failed_flushes_are_told(void)
{
    struct stat st;
    char path[160];
    if (!start()) {
        return;
    }
    failing = "tmp/30";
    commit(box_b, "30", 30);
    CHECK_EQ(done(30), ERR_IO);
    snprintf(path, sizeof path, "%s/new/30", box_b);
    CHECK(stat(path, &st) != 0);
    failing = "b/new";
    commit(box_b, "31", 31);
    CHECK_EQ(done(31), ERR_IO);
    snprintf(path, sizeof path, "%s/new/31", box_b);
    CHECK(stat(path, &st) != 0); /* or a later sync, which proves nothing, would be believed */
    failing = NULL;
    commit(box_b, "32", 32);
    CHECK_EQ(done(32), ERR_OK);
    failing = "b/new";
    CHECK_EQ(port.mailbox.find(port.mailbox.ctx, box_b, "32", 33), ERR_OK);
    CHECK_EQ(done(33), ERR_IO);
    failing = NULL;
    CHECK_EQ(port.mailbox.find(port.mailbox.ctx, box_b, "32", 34), ERR_OK);
    CHECK_EQ(done(34), ERR_ABSENT); /* likewise */
    failing = "conf.new";
    CHECK_EQ(port.files.replace(port.files.ctx, conf_file, SLICE_LITERAL("x")), ERR_IO);
    CHECK(stat(conf_file, &st) != 0);
    posix_port_close(&port);
}

/* ext4 says so once it has given up its journal, and with that what stood in there. */
static void a_file_system_that_gave_up_is_no_read_only_one(void)
{
    static const char *const flushed[] = {"a/box/new", "a/box", "/a"};
    struct stat st;
    char path[160];
    snprintf(path, sizeof path, "%s/new/70", box_a);
    for (size_t i = 0; i < sizeof flushed / sizeof flushed[0] && start(); i++) {
        failing = flushed[i];
        failing_errno = EROFS;
        commit(box_a, "70", 70);
        CHECK_EQ(done(70), ERR_READ_ONLY);
        CHECK(stat(path, &st) != 0);
        posix_port_close(&port);
    }
}

/* One that was taken away, and is made again: whichever of its messages is told of first. */
static void a_maildir_that_comes_back_is_flushed(void)
{
    const struct port_mailbox *m = &port.mailbox;
    char command[160];
    uint32_t first = 0, second = 0;
    if (!start()) {
        return;
    }
    commit(box_a, "90", 90);
    CHECK_EQ(done(90), ERR_OK);
    snprintf(command, sizeof command, "rm -r '%s/a'", root);
    CHECK_EQ(system(command), 0);
    CHECK_EQ(m->begin(m->ctx, &first, box_a, "91"), ERR_OK);
    CHECK_EQ(m->begin(m->ctx, &second, box_a, "92"), ERR_OK);
    num_notes = 0;
    CHECK_EQ(m->commit(m->ctx, second, 92), ERR_OK);
    CHECK_EQ(done(92), ERR_OK);
    CHECK_EQ(count("sync a"), 1);
    CHECK_EQ(m->commit(m->ctx, first, 91), ERR_OK);
    CHECK_EQ(done(91), ERR_OK);
    posix_port_close(&port);
}

/* Where making one ended half-way, by a full disk or by a kill, the next delivery makes the rest.
 */
static void half_a_maildir_is_made_whole(void)
{
    const struct port_mailbox *m = &port.mailbox;
    char box_c[sizeof root + 8];
    static const char *const subs[] = {"c/cur", "c/new", "c/tmp"};
    uint32_t handle = 0;
    if (!start()) {
        return;
    }
    snprintf(box_c, sizeof box_c, "%s/c", root);
    for (size_t i = 0; i < 3; i++) {
        failing = subs[i];
        CHECK_EQ(m->begin(m->ctx, &handle, box_c, "50"), ERR_NO_SPACE);
        failing = NULL;
    }
    commit(box_c, "51", 51);
    CHECK_EQ(done(51), ERR_OK);
    posix_port_close(&port);
}

static void a_letter_is_flushed_with_its_name(void)
{
    static struct conf conf;
    static struct letter letter;
    char path[sizeof root + 8];
    snprintf(path, sizeof path, "%s/out", root);
    CHECK_EQ(mkdir(path, 0700), 0);
    conf.outbox_directory = path;
    conf.submit_socket_group = "";
    letter.conf = &conf;
    letter.content = SLICE_LITERAL("x\r\n");
    num_notes = 0;
    CHECK_EQ(posix_outbox_put(&letter), 0);
    CHECK_EQ(num_notes, 3);
    CHECK(strncmp(notes[0], "sync out/.", 10) == 0);
    CHECK(strncmp(notes[1], "link ", 5) == 0);
    CHECK(strncmp(notes[2], "sync out/.", 10) == 0);
    /* One that keeps two names is never taken: not to be promised. */
    failing = ".";
    CHECK_EQ(posix_outbox_put(&letter), EX_TEMPFAIL);
    failing = NULL;
}

static void files_are_flushed_in_order(void)
{
    if (!start()) {
        return;
    }
    CHECK_EQ(port.files.replace(port.files.ctx, conf_file, SLICE_LITERAL("x")), ERR_OK);
    CHECK(last("sync conf.new") > 0);
    CHECK(last("rename conf") > last("sync conf.new"));
    CHECK_EQ(num_notes, 3);
    CHECK(strncmp(notes[2], "sync ", 5) == 0);
    posix_port_close(&port);
}

static void waiting_syncs_of_a_segment_are_one(void)
{
    uint32_t handle;
    if (!start()) {
        return;
    }
    const struct port_store *s = &port.store;
    CHECK_EQ(s->open(s->ctx), ERR_OK);
    CHECK_EQ(s->create(s->ctx, &handle, 1, 65536, 40), ERR_OK);
    CHECK_EQ(done(40), ERR_OK);
    CHECK(last("sync spool/segment-00000001") > 0);
    CHECK(last("sync spool") > last("sync spool/segment-00000001"));
    num_notes = 0;
    pthread_mutex_lock(&gate);
    CHECK_EQ(s->sync(s->ctx, handle, 41), ERR_OK);
    for (int i = 0; i < 1000 && count("datasync spool/segment-00000001") == 0; i++) {
        usleep(1000);
    }
    for (uint64_t i = 0; i < 20; i++) {
        CHECK_EQ(s->sync(s->ctx, handle, 50 + i), ERR_OK);
    }
    failing = "segment-00000001"; /* from the second on */
    pthread_mutex_unlock(&gate);
    CHECK_EQ(done(41), ERR_OK);
    for (uint64_t i = 0; i < 20; i++) {
        CHECK_EQ(done(50 + i), ERR_IO);
    }
    CHECK_EQ(count("datasync spool/segment-00000001"), 2);
    s->close_segment(s->ctx, handle);
    posix_port_close(&port);
}

/* What the thread that waits for it still uses stays, and nobody else gets the spool meanwhile. */
static void a_disk_that_hangs_at_the_end_is_left_alone(void)
{
    if (!start()) {
        return;
    }
    CHECK_EQ(port.store.open(port.store.ctx), ERR_OK);
    num_notes = 0;
    pthread_mutex_lock(&gate);
    commit(box_b, "80", 80);
    for (int i = 0; i < 1000 && count("sync b/tmp/80") == 0; i++) {
        usleep(1000);
    }
    is_impatient = true;
    posix_port_close(&port);
    is_impatient = false;
    if (start()) {
        CHECK_EQ(port.store.open(port.store.ctx), ERR_IN_USE);
        posix_port_close(&port);
    }
    pthread_mutex_unlock(&gate);
    for (int i = 0; i < 5000 && count("sync b") == 0; i++) {
        usleep(1000);
    }
    CHECK_EQ(count("rename b/new/80"), 1);
    CHECK_EQ(count("sync b"), 1);
}

static const struct test_case cases[] = {
    {"a_spool_that_cannot_be_made_says_why", a_spool_that_cannot_be_made_says_why},
    {"mail_is_flushed_before_it_is_told", mail_is_flushed_before_it_is_told},
    {"commits_share_directory_flushes", commits_share_directory_flushes},
    {"failed_flushes_are_told", failed_flushes_are_told},
    {"a_file_system_that_gave_up_is_no_read_only_one",
     a_file_system_that_gave_up_is_no_read_only_one},
    {"a_maildir_that_comes_back_is_flushed", a_maildir_that_comes_back_is_flushed},
    {"half_a_maildir_is_made_whole", half_a_maildir_is_made_whole},
    {"files_are_flushed_in_order", files_are_flushed_in_order},
    {"a_letter_is_flushed_with_its_name", a_letter_is_flushed_with_its_name},
    {"waiting_syncs_of_a_segment_are_one", waiting_syncs_of_a_segment_are_one},
    {"a_disk_that_hangs_at_the_end_is_left_alone", a_disk_that_hangs_at_the_end_is_left_alone},
};

int main(int argc, char **argv)
{
    char command[128];
    (void)mkdir("build", 0777);
    snprintf(root, sizeof root, "build/posix_durable.%ld", (long)getpid());
    snprintf(spool, sizeof spool, "%s/spool", root);
    snprintf(box_a, sizeof box_a, "%s/a/box", root);
    snprintf(box_b, sizeof box_b, "%s/b", root);
    snprintf(conf_file, sizeof conf_file, "%s/conf", root);
    if (mkdir(root, 0700) != 0) {
        perror(root);
        return EXIT_FAILURE;
    }
    int status = test_main(cases, sizeof cases / sizeof cases[0], argc, argv);
    snprintf(command, sizeof command, "rm -rf '%s'", root);
    return system(command) == 0 ? status : EXIT_FAILURE;
}

/* What the server may no longer do once it runs: each thing that an intruder would try is tried in
 * a process of its own, without the sandbox, where it must work, and inside. */
#include "posix/posix_sandbox.h"
#include "posix/posix_sanitized.h"
#include "test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define OTHER_UID 1234
#define SKIPPED   200
#define BROKEN    201

static char dir[64]; /* spool/, mail/, conf/ and elsewhere/ */

static const char *in_dir(const char *name)
{
    static char paths[4][128];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", dir, name);
    return path;
}

static void put_file(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT, 0644);
    CHECK(fd >= 0);
    CHECK_EQ(fchmod(fd, 0644), 0);
    close(fd);
}

static void make_dirs(void)
{
    /* Where another user can get to. */
    snprintf(dir, sizeof dir, "/tmp/posix_sandbox.%ld", (long)getpid());
    CHECK_EQ(mkdir(dir, 0755), 0);
    CHECK_EQ(chmod(dir, 0777), 0);
    CHECK_EQ(mkdir(in_dir("conf"), 0755), 0);
    CHECK_EQ(chmod(in_dir("conf"), 0755), 0);
    CHECK_EQ(mkdir(in_dir("elsewhere"), 0755), 0);
    CHECK_EQ(chmod(in_dir("elsewhere"), 0777), 0);
    put_file(in_dir("conf/postern.conf"));
    put_file(in_dir("elsewhere/file"));
}

static void remove_dirs(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", dir);
    CHECK_EQ(system(command), 0);
}

/* --- What is tried: 0, or errno --- */

static int result_of(long result)
{
    return result < 0 ? errno : 0;
}

static int read_elsewhere(void)
{
    return result_of(open(in_dir("elsewhere/file"), O_RDONLY));
}

static int write_elsewhere(void)
{
    return result_of(open(in_dir("elsewhere/new"), O_WRONLY | O_CREAT, 0600));
}

static int list_root(void)
{
    return result_of(open("/", O_RDONLY | O_DIRECTORY));
}

static int write_beside_the_configuration(void)
{
    return result_of(open(in_dir("conf/new"), O_WRONLY | O_CREAT, 0666));
}

/* What the server does all day. */
static int work(void)
{
    if (open(in_dir("conf/postern.conf"), O_RDONLY) < 0 ||
        open(in_dir("spool/segment.new"), O_RDWR | O_CREAT | O_TRUNC, 0600) < 0 ||
        rename(in_dir("spool/segment.new"), in_dir("spool/segment")) != 0 ||
        unlink(in_dir("spool/segment")) != 0) {
        return errno;
    }
    (void)mkdir(in_dir("mail/alice"), 0700);
    (void)mkdir(in_dir("mail/alice/tmp"), 0700);
    (void)mkdir(in_dir("mail/alice/new"), 0700);
    int fd = open(in_dir("mail/alice/tmp/1"), O_WRONLY | O_CREAT, 0600);
    if (fd < 0 || rename(in_dir("mail/alice/tmp/1"), in_dir("mail/alice/new/1")) != 0) {
        return errno;
    }
    fd = open(in_dir("mail/alice/new"), O_RDONLY | O_DIRECTORY);
    return fd < 0 ? errno : result_of(fsync(fd));
}

static int execute(void)
{
    char *const argv[] = {(char[]){"true"}, NULL};
    execve("/bin/true", argv, argv + 1);
    return errno;
}

static int trace(void)
{
    return result_of(ptrace(PTRACE_TRACEME, 0, NULL, NULL));
}

static int make_code(void)
{
    void *p =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? errno : 0;
}

static int make_code_later(void)
{
    void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? BROKEN : result_of(mprotect(p, 4096, PROT_READ | PROT_EXEC));
}

static int make_memory(void)
{
    void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? errno : result_of(munmap(p, 4096));
}

static int call_what_is_not_on_the_list(void)
{
    return result_of(syscall(SYS_getpriority, 0, 0));
}

static int make_process(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        _exit(0);
    }
    return result_of(pid);
}

static struct sockaddr_in server; /* listens on the loopback interface */

static int connect_out(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    return fd < 0 ? BROKEN : result_of(connect(fd, (struct sockaddr *)&server, sizeof server));
}

static int listen_again(void)
{
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    return fd < 0 || bind(fd, (struct sockaddr *)&any, sizeof any) != 0 ? errno
                                                                        : result_of(listen(fd, 1));
}

static int ask_a_resolver(void)
{
    return result_of(socket(AF_INET, SOCK_DGRAM, 0));
}

static int listen_to_the_wire(void)
{
    return result_of(socket(AF_NETLINK, SOCK_RAW, 0));
}

static int bind_low(void)
{
    for (uint16_t port = 700; port < 720; port++) {
        struct sockaddr_in low = {.sin_family = AF_INET,
                                  .sin_port = htons(port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        if (bind(fd, (struct sockaddr *)&low, sizeof low) == 0) {
            return 0;
        }
        if (errno != EADDRINUSE) {
            return errno;
        }
    }
    return BROKEN;
}

static int become_root_again(void)
{
    return result_of(syscall(SYS_setuid, 0));
}

static int give_file_away(void)
{
    return result_of(chown(in_dir("spool"), (uid_t)-1, 4321));
}

/* --- In a process of its own --- */

enum measure { NONE, LANDLOCK, LANDLOCK_NET, SECCOMP, OTHER_USER };

struct attempt {
    int (*what)(void);
    const char *options; /* beyond the usual */
    enum measure measure;
    bool in_thread;  /* one that was there before */
    bool is_opening; /* tried between the two steps */
    int (*also)(void);
};

static void log_nothing(void *ctx, enum log_level level, struct slice text)
{
    (void)ctx;
    (void)level;
    (void)text;
}

static bool read_conf(struct conf *out, const char *options)
{
    static uint8_t memory[CONF_MEMORY_LEN], error_bytes[CONF_ERRORS_CAP];
    static char text[1024];
    struct arena a = {memory, sizeof memory, 0};
    struct buf errors = buf_make(error_bytes, sizeof error_bytes);
    struct conf_env env = {"test", SLICE_LITERAL("host.example")};
    snprintf(text, sizeof text, "spool_directory = %s\nmaildir = %s/$local_part\n%s",
             in_dir("spool"), in_dir("mail"), options);
    return conf_read(out, &a, slice_of_string(text), &env, &errors) == ERR_OK;
}

static int pipe_fds[2];

static void *wait_and_try(void *ctx)
{
    const struct attempt *a = ctx;
    char c;
    if (read(pipe_fds[0], &c, 1) != 1) {
        _exit(BROKEN);
    }
    _exit(a->what());
    return NULL;
}

static bool is_in_force(const struct posix_sandbox *s, enum measure measure)
{
    switch (measure) {
    case NONE:
        return true;
    case LANDLOCK:
        return s->landlock > 0;
    case LANDLOCK_NET:
        return s->landlock >= 4 || s->seccomp;
    case SECCOMP:
        return s->seccomp;
    case OTHER_USER:
        return s->who.changes;
    }
    return false;
}

static int try_inside(const struct attempt *a)
{
    static struct conf conf;
    const struct port_log log = {NULL, log_nothing};
    uint8_t bytes[512];
    struct buf errors = buf_make(bytes, sizeof bytes);
    struct posix_sandbox s;
    pthread_t thread;
    if (!read_conf(&conf, a->options) ||
        posix_sandbox_enter(&s, &conf, in_dir("conf/postern.conf"), &errors) != ERR_OK) {
        return BROKEN;
    }
    if (a->is_opening) {
        return a->what();
    }
    if (a->in_thread &&
        (pipe(pipe_fds) != 0 || pthread_create(&thread, NULL, wait_and_try, (void *)a) != 0)) {
        return BROKEN;
    }
    posix_sandbox_seal(&s, &log);
    if (!is_in_force(&s, a->measure)) {
        return SKIPPED;
    }
    if (a->in_thread) {
        if (write(pipe_fds[1], "x", 1) != 1) {
            return BROKEN;
        }
        pthread_join(thread, NULL);
    }
    return a->what();
}

/* What came of it: errno, or minus the signal that ended it. */
static int attempt(const struct attempt *a, bool inside)
{
    int status;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        _exit(inside ? try_inside(a) : a->what());
    }
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static const char nowhere[] = "user = root\nroute_list = * discard-with-bounce\n";
static const char anywhere[] = "user = root\n";

/* Inside it must come out as want; outside it must have worked. */
static void expect(const char *name, int (*what)(void), const char *options, enum measure measure,
                   int want)
{
    const struct attempt a = {.what = what, .options = options, .measure = measure};
    int outside = attempt(&a, false), inside = attempt(&a, true);
    if (outside == ENOSYS) { /* as an emulator may answer, which passes on what it knows */
        SKIP(name, "nobody has this call here");
        return;
    }
    CHECK_EQ(outside, 0);
    if (inside == SKIPPED) {
        SKIP(name, "this kernel or build has no such measure");
    } else if (inside != want) {
        fprintf(stderr, "%s: %d, not %d\n", name, inside, want);
        CHECK_EQ(inside, want);
    }
}

static void files_elsewhere_are_out_of_reach(void)
{
    make_dirs();
    expect("read", read_elsewhere, anywhere, LANDLOCK, EACCES);
    expect("write", write_elsewhere, anywhere, LANDLOCK, EACCES);
    expect("list", list_root, anywhere, LANDLOCK, EACCES);
    expect("configuration", write_beside_the_configuration, anywhere, LANDLOCK, EACCES);
    remove_dirs();
}

/* A link may lead to what is not there yet, as resolv.conf does before there is a network. */
static void what_a_link_leads_to_may_come_later(void)
{
    char options[256];
    make_dirs();
    CHECK_EQ(symlink("../elsewhere/later", in_dir("conf/link")), 0);
    snprintf(options, sizeof options, "%saliases_file = %s\n", anywhere, in_dir("conf/link"));
    expect("read", read_elsewhere, options, LANDLOCK, 0);
    expect("write", write_elsewhere, options, LANDLOCK, EACCES);
    remove_dirs();
}

static void the_days_work_goes_on(void)
{
    make_dirs();
    const struct attempt a = {.what = work, .options = nowhere, .measure = NONE};
    CHECK_EQ(attempt(&a, true), 0);
    expect("memory", make_memory, nowhere, NONE, 0);
    expect("listen", listen_again, nowhere, NONE, 0);
    expect("resolver", ask_a_resolver, anywhere, NONE, 0);
    expect("connect", connect_out, anywhere, NONE, 0);
    remove_dirs();
}

static void nothing_else_is_called(void)
{
    make_dirs();
    expect("exec", execute, anywhere, SECCOMP, -SIGSYS);
    expect("ptrace", trace, anywhere, SECCOMP, -SIGSYS);
    expect("code", make_code, anywhere, SECCOMP, EPERM);
    expect("code later", make_code_later, anywhere, SECCOMP, EPERM);
    expect("not on the list", call_what_is_not_on_the_list, anywhere, SECCOMP, ENOSYS);
    expect("fork", make_process, anywhere, SECCOMP, ENOSYS);
    expect("netlink", listen_to_the_wire, anywhere, SECCOMP, EPERM);
    remove_dirs();
}

static void threads_are_inside_too(void)
{
    make_dirs();
    const struct attempt a = {
        .what = execute, .options = anywhere, .measure = SECCOMP, .in_thread = true};
    const struct attempt b = {
        .what = read_elsewhere, .options = anywhere, .measure = LANDLOCK, .in_thread = true};
    int by_a = attempt(&a, true), by_b = attempt(&b, true);
    if (by_a == SKIPPED || by_b == SKIPPED) {
        SKIP("threads", "this kernel or build has no such measure");
    } else {
        CHECK_EQ(by_a, -SIGSYS);
        CHECK_EQ(by_b, EACCES);
    }
    remove_dirs();
}

/* The options say so: nobody is connected to. */
static void nobody_is_called_without_a_route(void)
{
    make_dirs();
    expect("connect", connect_out, nowhere, LANDLOCK_NET, EACCES);
    expect("resolver", ask_a_resolver, nowhere, SECCOMP, EPERM);
    remove_dirs();
}

static void the_sandbox_can_be_left_out(void)
{
    make_dirs();
    expect("read", read_elsewhere, "user = root\nsandbox = no\n", NONE, 0);
    expect("exec", execute, "user = root\nsandbox = no\n", NONE, 0);
    remove_dirs();
}

static int is_that_user(void)
{
    uid_t u[3];
    gid_t g[3];
    if (getresuid(&u[0], &u[1], &u[2]) != 0 || getresgid(&g[0], &g[1], &g[2]) != 0) {
        return errno;
    }
    bool is = u[0] == OTHER_UID && u[1] == OTHER_UID && u[2] == OTHER_UID && g[0] == 4321 &&
              g[1] == 4321 && g[2] == 4321 && getgroups(0, NULL) == 0;
    return is && prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 &&
                   prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0
               ? 0
               : BROKEN;
}

static void root_becomes_a_user(void)
{
    static const char options[] = "user = 1234\ngroup = 4321\nsandbox = no\n";
    struct attempt a = {.what = is_that_user, .options = options, .is_opening = true};
    if (geteuid() != 0) {
        SKIP("user", "only root can become another user");
        return;
    }
    make_dirs();
#ifndef POSIX_SANITIZED
    CHECK_EQ(attempt(&a, true), 0);
#endif
    a.what = bind_low;
    CHECK_EQ(attempt(&a, true), 0);
    a.what = give_file_away;
    CHECK_EQ(attempt(&a, true), 0);
    a.what = become_root_again;
    CHECK_EQ(attempt(&a, true), EPERM);
    expect("low port", bind_low, options, OTHER_USER, EACCES);
    expect("root", become_root_again, options, OTHER_USER, EPERM);
    a = (struct attempt){
        .what = work, .options = "user = 1234\ngroup = 4321\n", .measure = OTHER_USER};
    CHECK_EQ(attempt(&a, true), 0);
    struct stat st;
    CHECK_EQ(stat(in_dir("spool"), &st), 0);
    CHECK_EQ(st.st_uid, OTHER_UID);
    CHECK_EQ(st.st_mode & 07777, 0700);
    CHECK_EQ(stat(in_dir("mail/alice/new/1"), &st), 0);
    CHECK_EQ(st.st_uid, OTHER_UID);
    remove_dirs();
}

/* What root made there and gave away could be exchanged in between, for a link or for what is
 * root's. */
static void root_makes_nothing_where_the_user_may(void)
{
    static const char options[] = "user = 1234\ngroup = 4321\nsandbox = no\n";
    const struct attempt a = {.what = is_that_user, .options = options, .is_opening = true};
    struct stat st;
    if (geteuid() != 0) {
        SKIP("user", "only root can become another user");
        return;
    }
    make_dirs();
    CHECK_EQ(chmod(dir, 0755), 0);
    CHECK_EQ(chown(dir, OTHER_UID, 4321), 0);
    CHECK_EQ(mkdir(in_dir("spool.new"), 0700), 0); /* which root would take for its own */
    (void)attempt(&a, true);
    CHECK_EQ(stat(in_dir("spool"), &st), 0);
    CHECK(st.st_uid == OTHER_UID && st.st_gid == 4321 && (st.st_mode & 07777) == 0700);
    CHECK_EQ(stat(in_dir("spool.new"), &st), 0);
    CHECK_EQ(st.st_uid, 0);
    remove_dirs();
}

static void who_is_not_there_cannot_be_become(void)
{
    static struct conf conf;
    uint8_t bytes[512];
    struct buf errors = buf_make(bytes, sizeof bytes);
    struct posix_identity who;
    if (geteuid() != 0) {
        SKIP("user", "only root can become another user");
        return;
    }
    CHECK(read_conf(&conf, "user = no-such-user\n"));
    CHECK_EQ(posix_identity_of(&who, &conf, &errors), ERR_MALFORMED);
    CHECK_TEXT(errors, "user: found 'no-such-user', expected a user of /etc/passwd, or a number\n");
    errors.len = 0;
    CHECK(read_conf(&conf, "user = daemon\ngroup = no-such-group\n"));
    CHECK_EQ(posix_identity_of(&who, &conf, &errors), ERR_MALFORMED);
    CHECK(read_conf(&conf, "user = daemon\n"));
    CHECK_EQ(posix_identity_of(&who, &conf, &errors), ERR_OK);
    CHECK(who.changes && who.uid == 1 && who.gid == 1);
    CHECK(read_conf(&conf, "user = 54321\n"));
    CHECK_EQ(posix_identity_of(&who, &conf, &errors), ERR_OK);
    CHECK(who.changes && who.uid == 54321 && who.gid == 54321);
    CHECK(read_conf(&conf, "user = root\n"));
    CHECK_EQ(posix_identity_of(&who, &conf, &errors), ERR_OK);
    CHECK(!who.changes && !who.lacks_user);
}

static void open_server(void)
{
    socklen_t len = sizeof server;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    server = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (fd < 0 || bind(fd, (struct sockaddr *)&server, sizeof server) != 0 || listen(fd, 64) != 0 ||
        getsockname(fd, (struct sockaddr *)&server, &len) != 0) {
        perror("a server to connect to");
        exit(EXIT_FAILURE);
    }
}

static const struct test_case cases[] = {
    {"files_elsewhere_are_out_of_reach", files_elsewhere_are_out_of_reach},
    {"what_a_link_leads_to_may_come_later", what_a_link_leads_to_may_come_later},
    {"the_days_work_goes_on", the_days_work_goes_on},
    {"nothing_else_is_called", nothing_else_is_called},
    {"threads_are_inside_too", threads_are_inside_too},
    {"nobody_is_called_without_a_route", nobody_is_called_without_a_route},
    {"the_sandbox_can_be_left_out", the_sandbox_can_be_left_out},
    {"root_becomes_a_user", root_becomes_a_user},
    {"root_makes_nothing_where_the_user_may", root_makes_nothing_where_the_user_may},
    {"who_is_not_there_cannot_be_become", who_is_not_there_cannot_be_become},
};

int main(int argc, char **argv)
{
    umask(077);
    open_server();
    return test_main(cases, sizeof cases / sizeof cases[0], argc, argv);
}

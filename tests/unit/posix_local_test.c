/* Sockets at a path on the port to Linux: who may connect from the first moment on, what a dead
 * server left, and whose process it is. */
#include "posix/posix.h"
#include "posix/posix_ids.h"
#include "test.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static struct port port;
static char dir[64], path[96];

static bool start(void)
{
    struct posix_conf conf = {
        .spool_directory = "/nonexistent/spool", .num_fds = 64, .log_level = LOG_ERROR};
    snprintf(dir, sizeof dir, "build/posix_local.%ld", (long)getpid());
    snprintf(path, sizeof path, "%s/socket", dir);
    (void)mkdir("build", 0777);
    CHECK_EQ(mkdir(dir, 0700), 0);
    enum err e = posix_port_open(&port, &conf);
    CHECK_EQ(e, ERR_OK);
    return e == ERR_OK;
}

static void end(void)
{
    posix_port_close(&port);
    CHECK_EQ(rmdir(dir), 0); /* nothing of ours is left in it */
}

static enum err listen_at(uint32_t *out, enum port_access access, const char *group)
{
    struct port_local at = {path, group, access};
    return port.net.listen_local(port.net.ctx, out, &at);
}

static mode_t mode_of(const char *name)
{
    struct stat st;
    return stat(name, &st) == 0 ? st.st_mode & 07777 : 0;
}

/* Whatever umask the process has. */
static void modes_are_as_asked(void)
{
    static const mode_t masks[] = {0, 077, 022};
    uint32_t handle;
    char group[16];
    if (!start()) {
        return;
    }
    snprintf(group, sizeof group, "%u", (unsigned)getgid());
    for (size_t i = 0; i < 3; i++) {
        mode_t old = umask(masks[i]);
        CHECK_EQ(listen_at(&handle, PORT_OWNER, NULL), ERR_OK);
        CHECK_EQ(mode_of(path), 0600);
        port.net.close(port.net.ctx, handle);
        CHECK_EQ(listen_at(&handle, PORT_GROUP, group), ERR_OK);
        CHECK_EQ(mode_of(path), 0660);
        port.net.close(port.net.ctx, handle);
        CHECK_EQ(listen_at(&handle, PORT_EVERYBODY, NULL), ERR_OK);
        CHECK_EQ(mode_of(path), 0666);
        port.net.close(port.net.ctx, handle);
        (void)umask(old);
    }
    CHECK_EQ(listen_at(&handle, PORT_GROUP, "no such group"), ERR_MALFORMED);
    CHECK_EQ(mode_of(path), 0);
    end();
}

static void what_a_dead_server_left_is_replaced(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    uint32_t handle;
    if (!start()) {
        return;
    }
    int dead = socket(AF_UNIX, SOCK_STREAM, 0);
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    CHECK_EQ(bind(dead, (struct sockaddr *)&address, sizeof address), 0);
    close(dead);
    CHECK_EQ(port.net.connect_local(port.net.ctx, &handle, path), ERR_REFUSED);
    CHECK_EQ(listen_at(&handle, PORT_OWNER, NULL), ERR_OK);
    CHECK_EQ(mode_of(path), 0600);
    uint32_t other;
    CHECK_EQ(listen_at(&other, PORT_OWNER, NULL), ERR_IN_USE);
    CHECK_EQ(mode_of(path), 0600);
    port.net.close(port.net.ctx, handle);
    end();
}

static void other_things_at_the_path_stay(void)
{
    uint32_t handle;
    if (!start()) {
        return;
    }
    int file = open(path, O_WRONLY | O_CREAT, 0644);
    CHECK(file >= 0);
    close(file);
    CHECK_EQ(listen_at(&handle, PORT_OWNER, NULL), ERR_EXISTS);
    CHECK_EQ(mode_of(path), 0644);
    CHECK_EQ(unlink(path), 0);
    CHECK_EQ(symlink("elsewhere", path), 0);
    CHECK_EQ(listen_at(&handle, PORT_OWNER, NULL), ERR_EXISTS);
    CHECK_EQ(unlink(path), 0);
    end();
}

static void listeners_are_few(void)
{
    uint32_t handles[16], num = 0;
    char paths[16][128];
    enum err e = ERR_OK;
    if (!start()) {
        return;
    }
    for (; num < 16 && e == ERR_OK; num++) {
        snprintf(paths[num], sizeof paths[num], "%s.%u", path, num);
        struct port_local at = {paths[num], NULL, PORT_OWNER};
        e = port.net.listen_local(port.net.ctx, &handles[num], &at);
    }
    CHECK_EQ(e, ERR_NO_HANDLE);
    CHECK(num > 2);
    for (uint32_t i = 0; i + 1 < num; i++) {
        port.net.close(port.net.ctx, handles[i]);
    }
    end();
}

static void users_have_names(void)
{
    static const char lines[] = "root:x:0:0:root:/root:/bin/sh\n"
                                "# a comment: of:5:no use\n"
                                "\n"
                                "short:x\n"
                                "odd:x:12a:1::/:\n"
                                "-dash:x:7:7::/:\n"
                                "a-name-that-is-longer-than-it-may-ever-be:x:8:8::/:\n"
                                "sp ace:x:10:9::/:\n"
                                "huge:x:99999999999:9::/:\n"
                                "first:x:11:9::/:\n"
                                "second:x:11:9::/:\n"
                                "last.one_2:x:12:9";
    static const struct {
        uint32_t id;
        const char *name;
    } wanted[] = {{0, "root"},        {5, ""}, {7, ""}, {8, ""}, {10, ""}, {11, "first"},
                  {12, "last.one_2"}, {13, ""}};
    char name[PORT_USER_NAME_CAP];
    uint32_t id = 99;
    if (!start()) {
        return;
    }
    int file = open(path, O_WRONLY | O_CREAT, 0644);
    CHECK_EQ(write(file, lines, sizeof lines - 1), sizeof lines - 1);
    close(file);
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        posix_id_name(name, path, wanted[i].id);
        CHECK_TEXT(slice_of_string(name), wanted[i].name);
    }
    CHECK(posix_id_number(&id, path, "second"));
    CHECK_EQ(id, 11);
    CHECK(posix_id_number(&id, path, "-dash"));
    CHECK_EQ(id, 7);
    CHECK(posix_id_number(&id, path, "4242"));
    CHECK_EQ(id, 4242);
    CHECK(!posix_id_number(&id, path, "odd"));
    CHECK(!posix_id_number(&id, path, "huge"));
    CHECK(!posix_id_number(&id, path, "nobody-here"));
    CHECK(!posix_id_number(&id, path, ""));
    CHECK(!posix_id_number(&id, path, "4294967295"));
    CHECK(!posix_id_number(&id, "/nonexistent", "root"));
    CHECK_EQ(unlink(path), 0);
    end();
}

/* A process that connects as that user; its status is 0 if the server has something to say to it.
 */
static pid_t connect_as(uid_t uid)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    pid_t pid = fork();
    if (pid == 0) {
        char c;
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);
        _exit(setuid(uid) != 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0 ? 2
              : read(fd, &c, 1) == 1                                                            ? 0
                                     : 1);
    }
    return pid;
}

static int status_of(pid_t pid)
{
    int status;
    return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static enum err accept_one(uint32_t *out, uint32_t listener)
{
    struct net_addr peer;
    enum err e = ERR_AGAIN;
    for (int i = 0; i < 20000 && e == ERR_AGAIN; i++) {
        usleep(1000);
        e = port.net.accept(port.net.ctx, out, &peer, listener);
    }
    return e;
}

/* Mode and directory are not all that keeps strangers out. */
static void owners_sockets_look_at_who_connects(void)
{
    struct net_addr peer;
    uint32_t listener, handle;
    size_t len;
    if (geteuid() != 0) {
        SKIP("peers", "only root can connect as another user");
        return;
    }
    if (!start()) {
        return;
    }
    snprintf(path, sizeof path, "/tmp/posix_local.%ld", (long)getpid());
    CHECK_EQ(listen_at(&listener, PORT_OWNER, NULL), ERR_OK);
    CHECK_EQ(chmod(path, 0666), 0);
    pid_t stranger = connect_as(1234);
    int status = 0;
    while (waitpid(stranger, &status, WNOHANG) == 0) {
        CHECK_EQ(port.net.accept(port.net.ctx, &handle, &peer, listener), ERR_AGAIN);
        usleep(1000);
    }
    CHECK_EQ(WEXITSTATUS(status), 1);
    pid_t root = connect_as(0);
    CHECK_EQ(accept_one(&handle, listener), ERR_OK);
    CHECK_EQ(port.net.write(port.net.ctx, &len, handle, SLICE_LITERAL("x")), ERR_OK);
    CHECK_EQ(status_of(root), 0);
    port.net.close(port.net.ctx, handle);
    port.net.close(port.net.ctx, listener);
    /* Everybody's is everybody's. */
    CHECK_EQ(listen_at(&listener, PORT_EVERYBODY, NULL), ERR_OK);
    stranger = connect_as(1234);
    CHECK_EQ(accept_one(&handle, listener), ERR_OK);
    CHECK_EQ(port.net.write(port.net.ctx, &len, handle, SLICE_LITERAL("x")), ERR_OK);
    CHECK_EQ(status_of(stranger), 0);
    port.net.close(port.net.ctx, handle);
    port.net.close(port.net.ctx, listener);
    end();
}

static const struct test_case cases[] = {
    {"modes_are_as_asked", modes_are_as_asked},
    {"what_a_dead_server_left_is_replaced", what_a_dead_server_left_is_replaced},
    {"other_things_at_the_path_stay", other_things_at_the_path_stay},
    {"listeners_are_few", listeners_are_few},
    {"users_have_names", users_have_names},
    {"owners_sockets_look_at_who_connects", owners_sockets_look_at_who_connects},
};

TEST_MAIN(cases)

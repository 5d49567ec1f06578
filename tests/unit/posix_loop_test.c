/* Signals, limits of descriptors, and a log whose reader is slow, on the port to Linux. */
#include "posix/posix.h"
#include "test.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/timex.h>
#include <unistd.h>

static struct port port;

static bool open_port(uint32_t num_fds, bool take_signals)
{
    struct posix_conf conf = {
        .spool_directory = "/nonexistent/spool",
        .num_fds = num_fds,
        .take_signals = take_signals,
        .log_level = LOG_INFO,
    };
    enum err e = posix_port_open(&port, &conf);
    CHECK_EQ(e, ERR_OK);
    return e == ERR_OK;
}

static void signals_are_events(void)
{
    static const int sent[] = {SIGHUP, SIGTERM, SIGINT};
    static const uint64_t wanted[] = {PORT_RELOAD, PORT_TERMINATE, PORT_TERMINATE};
    if (!open_port(64, true)) {
        return;
    }
    for (size_t i = 0; i < 3; i++) {
        struct port_event events[4];
        CHECK_EQ(kill(getpid(), sent[i]), 0);
        CHECK_EQ(port.loop.wait(port.loop.ctx, events, 4, 5000), 1);
        CHECK_EQ(events[0].kind, PORT_SIGNAL);
        CHECK_EQ(events[0].tag, wanted[i]);
        CHECK_EQ(port.loop.wait(port.loop.ctx, events, 4, 0), 0);
    }
    CHECK_EQ(raise(SIGPIPE), 0); /* held back, or this is the end */
    posix_port_close(&port);
}

/* As the C library tells it, which has a way of its own to the kernel. */
static void clock_tells_whether_it_is_synchronised(void)
{
    struct timex state = {.modes = 0};
    int result = adjtimex(&state);
    bool wanted = result >= 0 && result != TIME_ERROR && (state.status & STA_UNSYNC) == 0;
    bool synchronised = !wanted;
    if (!open_port(64, false)) {
        return;
    }
    CHECK(port.clock.wall_s(port.clock.ctx, &synchronised) > 0);
    CHECK_EQ(synchronised, wanted);
    posix_port_close(&port);
}

/* A store that cannot be opened says so only when it is asked. */
static void absent_directory_is_told(void)
{
    if (!open_port(64, false)) {
        return;
    }
    CHECK_EQ(port.store.open(port.store.ctx), ERR_ABSENT);
    CHECK(!port.store.overwrites_in_place);
    posix_port_close(&port);
}

struct flood {
    uint32_t listener, clients[64], servers[64];
    uint32_t num;
};

/* Connects and accepts until accept says other than ERR_OK. */
static enum err flood(struct flood *f)
{
    struct net_addr at = {NET_IPV4, {127, 0, 0, 1}, 0}, peer;
    CHECK_EQ(port.net.listen(port.net.ctx, &f->listener, &at), ERR_OK);
    CHECK_EQ(port.net.local_addr(port.net.ctx, &at, f->listener), ERR_OK);
    enum err e = ERR_OK;
    while (f->num < 64) {
        e = port.net.connect(port.net.ctx, &f->clients[f->num], &at);
        if (e != ERR_OK) {
            return e;
        }
        e = ERR_AGAIN;
        for (int i = 0; i < 1000 && e == ERR_AGAIN; i++) {
            struct port_event event;
            e = port.net.accept(port.net.ctx, &f->servers[f->num], &peer, f->listener);
            if (e == ERR_AGAIN) {
                port.loop.wait(port.loop.ctx, &event, 1, 1);
            }
        }
        if (e != ERR_OK) {
            port.net.close(port.net.ctx, f->clients[f->num]);
            return e;
        }
        f->num++;
    }
    return e;
}

static void end_flood(const struct flood *f)
{
    for (uint32_t i = 0; i < f->num; i++) {
        port.net.close(port.net.ctx, f->clients[i]);
        port.net.close(port.net.ctx, f->servers[i]);
    }
    port.net.close(port.net.ctx, f->listener);
}

/* Over the table that the port was opened with. */
static void handles_are_bounded(void)
{
    struct flood f = {0};
    if (!open_port(32, false)) {
        return;
    }
    CHECK_EQ(flood(&f), ERR_NO_HANDLE);
    CHECK(f.num > 0 && f.num < 16);
    end_flood(&f);
    posix_port_close(&port);
}

/* Over what the system gives. */
static void descriptors_run_out(void)
{
    struct flood f = {0};
    struct rlimit before, small;
    if (!open_port(512, false)) {
        return;
    }
    getrlimit(RLIMIT_NOFILE, &before);
    small = before;
    small.rlim_cur = 32;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &small), 0);
    CHECK_EQ(flood(&f), ERR_NO_HANDLE);
    CHECK(f.num > 0 && f.num < 16);
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
    end_flood(&f);
    posix_port_close(&port);
}

/* Strangers leave some for deliveries, and for the owner, who is let in all the same. */
static void peers_leave_some_over(void)
{
    struct flood f = {0};
    struct port_local at = {.path = "build/posix_loop_owner", .access = PORT_OWNER};
    struct net_addr peer;
    uint32_t listener, ends[2], datagram;
    if (!open_port(64, false)) {
        return;
    }
    CHECK_EQ(port.net.listen_local(port.net.ctx, &listener, &at), ERR_OK);
    CHECK_EQ(flood(&f), ERR_NO_HANDLE);
    CHECK(f.num > 16);
    CHECK_EQ(port.net.connect_local(port.net.ctx, &ends[0], at.path), ERR_OK);
    CHECK_EQ(port.net.accept(port.net.ctx, &ends[1], &peer, listener), ERR_OK);
    CHECK_EQ(port.net.open_datagram(port.net.ctx, &datagram, NET_IPV4), ERR_OK);
    port.net.close(port.net.ctx, datagram);
    port.net.close(port.net.ctx, ends[0]);
    port.net.close(port.net.ctx, ends[1]);
    port.net.close(port.net.ctx, listener);
    end_flood(&f);
    posix_port_close(&port);
}

static size_t drain(int fd, char *into, size_t cap)
{
    size_t len = 0;
    ssize_t got;
    while (len + 1 < cap && (got = read(fd, into + len, cap - 1 - len)) > 0) {
        len += (size_t)got;
    }
    into[len] = '\0';
    return len;
}

/* stderr is a pipe that nobody empties: lines are dropped, the server goes on, the count is told.
 */
static void log_never_waits(void)
{
    static char text[1 << 20];
    int ends[2], real = dup(STDERR_FILENO);
    CHECK_EQ(pipe(ends), 0);
    CHECK_EQ(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
    CHECK(dup2(ends[1], STDERR_FILENO) == STDERR_FILENO);
    bool opened = open_port(64, false);
    if (opened) {
        for (int i = 0; i < 5000; i++) {
            port.log.line(port.log.ctx, LOG_INFO, SLICE_LITERAL("message size=1 result=accepted"));
        }
        drain(ends[0], text, sizeof text);
        port.log.line(port.log.ctx, LOG_DEBUG, SLICE_LITERAL("not wanted"));
        port.log.line(port.log.ctx, LOG_ERROR, SLICE_LITERAL("back again"));
    }
    CHECK(dup2(real, STDERR_FILENO) == STDERR_FILENO);
    if (opened) {
        CHECK(strncmp(strchr(text, ' '), " info message size=1 result=accepted\n", 37) == 0);
        drain(ends[0], text, sizeof text);
        CHECK(strstr(text, " warning log dropped=") != NULL);
        CHECK(strstr(text, " error back again\n") != NULL);
        CHECK(strstr(text, "not wanted") == NULL);
        posix_port_close(&port);
    }
    close(real);
    close(ends[0]);
    close(ends[1]);
}

/* stderr is a file on a disk that is full in the middle of a line: the next one is one by itself.
 */
static void log_lines_are_not_joined(void)
{
    static const char path[] = "build/posix_loop_log";
    static char text[4096];
    struct rlimit before, small;
    int real = dup(STDERR_FILENO), file = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    CHECK(file >= 0 && dup2(file, STDERR_FILENO) == STDERR_FILENO);
    bool opened = open_port(64, false);
    if (opened) {
        getrlimit(RLIMIT_FSIZE, &before);
        small = before;
        small.rlim_cur = 50;
        (void)signal(SIGXFSZ, SIG_IGN);
        CHECK_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
        for (int i = 0; i < 3; i++) {
            port.log.line(port.log.ctx, LOG_INFO, SLICE_LITERAL("message size=1 result=accepted"));
        }
        CHECK_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
        port.log.line(port.log.ctx, LOG_ERROR, SLICE_LITERAL("back again"));
        posix_port_close(&port);
    }
    CHECK(dup2(real, STDERR_FILENO) == STDERR_FILENO);
    CHECK_EQ(lseek(file, 0, SEEK_SET), 0);
    drain(file, text, sizeof text);
    CHECK(text[50] == '\n');
    CHECK(strstr(text + 51, "Z warning log dropped=3\n") == text + 51 + 19);
    CHECK(strstr(text, "Z error back again\n") != NULL);
    CHECK_EQ(unlink(path), 0);
    close(real);
    close(file);
}

static const struct test_case cases[] = {
    {"log_lines_are_not_joined", log_lines_are_not_joined},
    {"signals_are_events", signals_are_events},
    {"clock_tells_whether_it_is_synchronised", clock_tells_whether_it_is_synchronised},
    {"absent_directory_is_told", absent_directory_is_told},
    {"handles_are_bounded", handles_are_bounded},
    {"peers_leave_some_over", peers_leave_some_over},
    {"descriptors_run_out", descriptors_run_out},
    {"log_never_waits", log_never_waits},
};
TEST_MAIN(cases)

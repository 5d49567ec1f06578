/* Log lines to stderr or /dev/log: see posix_log.h. */
#include "posix_log.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define LOGGER_FACILITY 2 /* mail, RFC 5424 6.2.1 */
#define RETRY_MS        1000
/* A line with what goes before it: less than a pipe takes at once (PIPE_BUF, 4096 on Linux). */
#define TEXT_CAP (LOG_LINE_CAP + 128)

static const struct {
    const char *name;
    uint8_t severity; /* RFC 5424 6.2.1 */
} levels[] = {
    [LOG_ERROR] = {"error", 3},
    [LOG_WARNING] = {"warning", 4},
    [LOG_INFO] = {"info", 6},
    [LOG_DEBUG] = {"debug", 7},
};

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void connect_logger(struct posix_log *l)
{
    uint64_t now = now_ms();
    if (now < l->retry_at_ms) {
        return;
    }
    l->retry_at_ms = now + RETRY_MS;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return;
    }
    struct sockaddr_un to = {.sun_family = AF_UNIX, .sun_path = POSIX_LOG_SYSLOG_PATH};
    if (connect(fd, (const struct sockaddr *)&to, sizeof to) != 0) {
        close(fd);
        return;
    }
    l->fd = fd;
}

/* "<PRI>postern[PID]: text": without a time, as loggers put in their own, in their own zone. One
 * that has started again is found at once, or a second later. */
static bool send_to_logger(struct posix_log *l, enum log_level level, struct slice text)
{
    uint8_t bytes[TEXT_CAP];
    struct buf b = buf_make(bytes, sizeof bytes);
    buf_put_string(&b, "<");
    text_put_u64(&b, LOGGER_FACILITY * 8 + levels[level].severity);
    buf_put_string(&b, ">postern[");
    text_put_u64(&b, (uint64_t)getpid());
    buf_put_string(&b, "]: ");
    buf_put(&b, text);
    for (;;) {
        if (l->fd < 0) {
            connect_logger(l);
        }
        if (l->fd < 0) {
            return false;
        }
        if (send(l->fd, b.ptr, b.len, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) {
            return true;
        }
        if (errno == EAGAIN || errno == EINTR || errno == ENOBUFS) {
            return false;
        }
        close(l->fd);
        l->fd = -1;
    }
}

static bool write_to_stderr(struct posix_log *l, enum log_level level, struct slice text)
{
    uint8_t bytes[TEXT_CAP];
    struct buf b = buf_make(bytes, sizeof bytes);
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    buf_put_string(&b, l->is_cut ? "\n" : "");
    text_put_time(&b, (int64_t)now.tv_sec);
    buf_put_string(&b, " ");
    buf_put_string(&b, levels[level].name);
    buf_put_string(&b, " ");
    buf_put(&b, text);
    buf_put_string(&b, "\n");
    if (l->may_block) {
        struct pollfd ready = {.fd = l->fd, .events = POLLOUT};
        if (poll(&ready, 1, 0) != 1 || (ready.revents & POLLOUT) == 0) {
            return false;
        }
    }
    ssize_t len = write(l->fd, b.ptr, b.len);
    bool is_whole = len == (ssize_t)b.len;
    l->is_cut = len > 0 ? !is_whole : l->is_cut;
    return is_whole;
}

static bool hand_over(struct posix_log *l, enum log_level level, struct slice text)
{
    return l->sink == POSIX_LOG_SYSLOG ? send_to_logger(l, level, text)
                                       : write_to_stderr(l, level, text);
}

static void log_write(void *ctx, enum log_level level, struct slice text)
{
    struct posix_log *l = ctx;
    if (level > l->least) {
        return;
    }
    if (text.len > LOG_LINE_CAP) {
        text.len = LOG_LINE_CAP;
    }
    if (l->num_dropped > 0) {
        uint8_t bytes[64];
        struct buf b = buf_make(bytes, sizeof bytes);
        buf_put_string(&b, "log dropped=");
        text_put_u64(&b, l->num_dropped);
        if (hand_over(l, LOG_WARNING, buf_slice(&b))) {
            l->num_dropped = 0;
        }
    }
    if (!hand_over(l, level, text)) {
        l->num_dropped++;
    }
}

void posix_log_port(struct posix_log *l, enum posix_log_sink sink, enum log_level least,
                    struct port_log *out)
{
    l->sink = sink;
    l->least = least;
    l->fd = sink == POSIX_LOG_SYSLOG ? -1 : STDERR_FILENO;
    struct stat st;
    l->may_block = fstat(STDERR_FILENO, &st) != 0 || !S_ISREG(st.st_mode);
    *out = (struct port_log){.ctx = l, .line = log_write};
}

void posix_log_close(struct posix_log *l)
{
    if (l->sink == POSIX_LOG_SYSLOG && l->fd >= 0) {
        close(l->fd);
    }
    l->fd = -1;
}

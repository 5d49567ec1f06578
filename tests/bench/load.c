/* Hands over messages to an SMTP server on 127.0.0.1 from many connections at once.
 *
 *     load PORT CONNECTIONS MESSAGES BYTES RECIPIENT
 *
 * MESSAGES by each connection, BYTES each, one command at a time as a plain client does (no
 * PIPELINING). Prints "MESSAGES SECONDS": how many were answered 250, and how long that took.
 * Called by tests/bench/run. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_CONNECTIONS 1000
#define MAX_MESSAGE_LEN 1000000

enum step { BANNER, EHLO, MAIL, RCPT, DATA, TEXT, QUIT, GONE };

struct client {
    int fd;
    enum step step; /* what the next reply belongs to */
    int num_left;
    size_t out_begin, out_len; /* of the message's text that is still to be sent */
    size_t in_len;
    char in[4096];
};

static struct client clients[MAX_CONNECTIONS];
static char text[MAX_MESSAGE_LEN + 64];
static size_t text_len;
static char rcpt[300];
static int poll_fd;
static int num_acknowledged;

static void fail(const char *what)
{
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(EXIT_FAILURE);
}

static void make_text(size_t len)
{
    int begin = snprintf(text, sizeof text, "Subject: load\r\n\r\n");
    text_len = (size_t)begin;
    while (text_len + 2 < len) {
        size_t line = len - 2 - text_len < 74 ? len - 2 - text_len : 74;
        memset(text + text_len, 'x', line);
        memcpy(text + text_len + line, "\r\n", 2);
        text_len += line + 2;
    }
    memcpy(text + text_len, ".\r\n", 3);
    text_len += 3;
}

static void watch(struct client *c, bool writable)
{
    struct epoll_event event = {.events = EPOLLIN | (writable ? EPOLLOUT : 0U), .data.ptr = c};
    if (epoll_ctl(poll_fd, EPOLL_CTL_MOD, c->fd, &event) != 0) {
        fail("epoll_ctl");
    }
}

static void say(struct client *c, const char *line)
{
    size_t len = strlen(line);
    if (send(c->fd, line, len, MSG_NOSIGNAL) != (ssize_t)len) {
        fail("send");
    }
}

static void send_text(struct client *c)
{
    while (c->out_begin < c->out_len) {
        ssize_t n = send(c->fd, text + c->out_begin, c->out_len - c->out_begin,
                         MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EAGAIN) {
            watch(c, true);
            return;
        }
        if (n < 0) {
            fail("send");
        }
        c->out_begin += (size_t)n;
    }
    watch(c, false);
}

/* One whole reply has come: says what comes next. */
static void go_on(struct client *c, const char *reply)
{
    static const char *const wanted[] = {"220", "250", "250", "250", "354", "250", "221"};
    if (memcmp(reply, wanted[c->step], 3) != 0) {
        fprintf(stderr, "load: unexpected reply: %.100s\n", reply);
        exit(EXIT_FAILURE);
    }
    switch (c->step) {
    case BANNER:
        say(c, "EHLO load.example\r\n");
        break;
    case MAIL:
        say(c, rcpt);
        break;
    case RCPT:
        say(c, "DATA\r\n");
        break;
    case DATA:
        c->out_begin = 0;
        c->out_len = text_len;
        send_text(c);
        break;
    case EHLO:
    case TEXT:
        num_acknowledged += c->step == TEXT;
        if (c->num_left-- > 0) {
            say(c, "MAIL FROM:<sender@load.example>\r\n");
            c->step = MAIL;
        } else {
            say(c, "QUIT\r\n");
            c->step = QUIT;
        }
        return;
    case QUIT:
    case GONE:
        close(c->fd);
        c->step = GONE;
        return;
    }
    c->step++;
}

static void take(struct client *c)
{
    ssize_t n = recv(c->fd, c->in + c->in_len, sizeof c->in - 1 - c->in_len, 0);
    if (n <= 0) {
        fail("the server closed a connection");
    }
    c->in_len += (size_t)n;
    char *end;
    while (c->step != GONE && (end = memchr(c->in, '\n', c->in_len)) != NULL) {
        bool is_last = end - c->in < 4 || c->in[3] != '-';
        char line[512] = "";
        memcpy(line, c->in,
               (size_t)(end - c->in) < sizeof line ? (size_t)(end - c->in) : sizeof line - 1);
        c->in_len -= (size_t)(end + 1 - c->in);
        memmove(c->in, end + 1, c->in_len);
        if (is_last) {
            go_on(c, line);
        }
    }
}

static void open_client(struct client *c, int port, int num_messages)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&at, sizeof at) != 0) {
        fail("connect");
    }
    c->num_left = num_messages;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    if (epoll_ctl(poll_fd, EPOLL_CTL_ADD, c->fd, &event) != 0) {
        fail("epoll_ctl");
    }
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
    if (argc != 6) {
        fprintf(stderr, "usage: load PORT CONNECTIONS MESSAGES BYTES RECIPIENT\n");
        return EXIT_FAILURE;
    }
    int num_clients = atoi(argv[2]), num_each = atoi(argv[3]);
    int len = atoi(argv[4]);
    if (num_clients < 1 || num_clients > MAX_CONNECTIONS || len < 100 || len > MAX_MESSAGE_LEN) {
        fprintf(stderr, "load: 1-%d connections, 100-%d bytes\n", MAX_CONNECTIONS, MAX_MESSAGE_LEN);
        return EXIT_FAILURE;
    }
    make_text((size_t)len);
    snprintf(rcpt, sizeof rcpt, "RCPT TO:<%.250s>\r\n", argv[5]);
    poll_fd = epoll_create1(0);
    double begin = now();
    for (int i = 0; i < num_clients; i++) {
        open_client(&clients[i], atoi(argv[1]), num_each);
    }
    while (num_acknowledged < num_clients * num_each) {
        struct epoll_event events[64];
        int n = epoll_wait(poll_fd, events, 64, 60000);
        if (n <= 0) {
            fail("nothing came for 60 s");
        }
        for (int i = 0; i < n; i++) {
            struct client *c = events[i].data.ptr;
            if (events[i].events & EPOLLOUT) {
                send_text(c);
            }
            if (events[i].events & ~(uint32_t)EPOLLOUT) {
                take(c);
            }
        }
    }
    printf("%d %.6f\n", num_acknowledged, now() - begin);
    return EXIT_SUCCESS;
}

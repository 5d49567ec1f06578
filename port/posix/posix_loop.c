/* Waiting on epoll, level-triggered: see posix_loop.h. */
#include "posix_loop.h"

#include "posix_err.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define WAIT_MAX 64

static enum err add_own(struct posix_loop *l, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    return epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0 ? ERR_OK : posix_err(errno);
}

static sigset_t hold_signals(void)
{
    sigset_t ours, held;
    sigemptyset(&ours);
    sigaddset(&ours, SIGTERM);
    sigaddset(&ours, SIGINT);
    sigaddset(&ours, SIGHUP);
    held = ours;
    sigaddset(&held, SIGPIPE); /* never taken: who writes to nobody sees it from the call */
    (void)sigprocmask(SIG_BLOCK, &held, NULL); /* which fails for wrong arguments only */
    return ours;
}

void posix_loop_hold_signals(void)
{
    (void)hold_signals();
}

static enum err open_signals(struct posix_loop *l)
{
    const sigset_t ours = hold_signals();
    l->signal_fd = signalfd(-1, &ours, SFD_NONBLOCK | SFD_CLOEXEC);
    if (l->signal_fd < 0) {
        return posix_err(errno);
    }
    return add_own(l, l->signal_fd);
}

enum err posix_loop_open(struct posix_loop *l, struct posix_watch *watches, uint32_t num_watches,
                         bool take_signals)
{
    *l = (struct posix_loop){.signal_fd = -1, .watches = watches, .num_watches = num_watches};
    l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (l->epoll_fd < 0) {
        return posix_err(errno);
    }
    enum err e = take_signals ? open_signals(l) : ERR_OK;
    if (e != ERR_OK) {
        posix_loop_close(l);
    }
    return e;
}

void posix_loop_close(struct posix_loop *l)
{
    if (l->signal_fd >= 0) {
        close(l->signal_fd);
    }
    close(l->epoll_fd);
}

enum err posix_loop_add_worker(struct posix_loop *l, struct posix_worker *worker)
{
    l->worker = worker;
    return add_own(l, worker->wake_read_fd);
}

enum err posix_loop_watch(struct posix_loop *l, int fd, bool readable, bool writable, uint64_t tag)
{
    if (fd <= 0 || (uint32_t)fd >= l->num_watches) {
        return ERR_NO_HANDLE;
    }
    struct posix_watch *watch = &l->watches[fd];
    uint32_t interest = (readable ? (uint32_t)EPOLLIN : 0) | (writable ? (uint32_t)EPOLLOUT : 0);
    watch->tag = tag;
    if (interest == watch->interest) {
        return ERR_OK;
    }
    /* Of a descriptor that it knows, epoll reports errors even with an empty interest: so one
     * without any leaves it. */
    int change = interest == 0          ? EPOLL_CTL_DEL
                 : watch->interest == 0 ? EPOLL_CTL_ADD
                                        : EPOLL_CTL_MOD;
    struct epoll_event event = {.events = interest, .data.fd = fd};
    if (epoll_ctl(l->epoll_fd, change, fd, &event) != 0) {
        return errno == ENOSPC ? ERR_NO_HANDLE : posix_err(errno);
    }
    watch->interest = interest;
    return ERR_OK;
}

void posix_loop_forget(struct posix_loop *l, int fd)
{
    if (fd > 0 && (uint32_t)fd < l->num_watches) {
        /* Closing takes it out of epoll: no duplicate of a descriptor lasts here. */
        l->watches[fd] = (struct posix_watch){0};
    }
}

static size_t take_signal(struct posix_loop *l, struct port_event *events)
{
    struct signalfd_siginfo info;
    if (read(l->signal_fd, &info, sizeof info) != (ssize_t)sizeof info) {
        return 0;
    }
    enum port_signal what = info.ssi_signo == SIGHUP ? PORT_RELOAD : PORT_TERMINATE;
    events[0] = (struct port_event){PORT_SIGNAL, ERR_OK, what};
    return 1;
}

/* At most two events of a descriptor, fewer if there is room for one only. */
static size_t take_ready(struct posix_loop *l, int fd, uint32_t ready, struct port_event *events,
                         size_t room)
{
    const struct posix_watch *watch = &l->watches[fd];
    if ((ready & (EPOLLERR | EPOLLHUP)) != 0) {
        ready = EPOLLIN | EPOLLOUT;
    }
    ready &= watch->interest;
    struct port_event readable = {PORT_READABLE, ERR_OK, watch->tag};
    struct port_event writable = {PORT_WRITABLE, ERR_OK, watch->tag};
    if (ready == (EPOLLIN | EPOLLOUT)) {
        if (room < 2) {
            l->writable_first = !l->writable_first;
            events[0] = l->writable_first ? writable : readable;
            return 1;
        }
        events[0] = readable;
        events[1] = writable;
        return 2;
    }
    if (ready == 0) {
        return 0;
    }
    events[0] = ready == EPOLLIN ? readable : writable;
    return 1;
}

size_t posix_loop_wait(void *ctx, struct port_event *events, size_t cap, uint64_t timeout_ms)
{
    struct posix_loop *l = ctx;
    size_t num = l->worker != NULL ? posix_worker_take(l->worker, events, cap) : 0;
    if (num == cap) {
        return num;
    }
    size_t max_ready = (cap - num + 1) / 2;
    int timeout = num > 0 ? 0 : timeout_ms <= INT_MAX ? (int)timeout_ms : INT_MAX;
    if (timeout_ms == UINT64_MAX && num == 0) {
        timeout = -1;
    }
    struct epoll_event ready[WAIT_MAX];
    int num_ready =
        epoll_wait(l->epoll_fd, ready, max_ready < WAIT_MAX ? (int)max_ready : WAIT_MAX, timeout);
    for (int i = 0; i < num_ready && num < cap; i++) {
        int fd = ready[i].data.fd;
        if (fd == l->signal_fd) {
            num += take_signal(l, events + num);
        } else if (l->worker != NULL && fd == l->worker->wake_read_fd) {
            posix_worker_quiet(l->worker);
        } else {
            num += take_ready(l, fd, ready[i].events, events + num, cap - num);
        }
    }
    /* What the worker finished meanwhile, if there is room; else the next call takes it first. */
    if (l->worker != NULL && num < cap) {
        num += posix_worker_take(l->worker, events + num, cap - num);
    }
    return num;
}

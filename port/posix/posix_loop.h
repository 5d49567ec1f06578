/* Waiting, on Linux's epoll: descriptors, the worker's completions and the signals in one call.
 *
 * Another system gets another posix_loop.c (kqueue, poll) behind this header. Called by posix_net
 * (watch, forget) and through struct port_loop; knows nothing of what a descriptor is. */
#ifndef POSTERN_POSIX_LOOP_H
#define POSTERN_POSIX_LOOP_H

#include "posix_worker.h"

/* One per descriptor number, zeroed while that is not watched. */
struct posix_watch {
    uint64_t tag;
    uint32_t interest; /* as epoll was told; 0: it does not know the descriptor */
};

struct posix_loop {
    int epoll_fd;
    int signal_fd; /* -1: signals are not ours */
    struct posix_worker *worker;
    struct posix_watch *watches;
    uint32_t num_watches;
    bool writable_first; /* who gets the last place in a caller's array, in turn */
};

/* watches: num_watches of them, zeroed. With take_signals, SIGTERM, SIGINT and SIGHUP become events
 * and are blocked otherwise: call before any thread is started. */
enum err posix_loop_open(struct posix_loop *l, struct posix_watch *watches, uint32_t num_watches,
                         bool take_signals);
void posix_loop_close(struct posix_loop *l);
/* From now on they wait until there is a loop to tell of them; SIGPIPE is never told. */
void posix_loop_hold_signals(void);

/* The worker has been started: its wake-up joins the wait. */
enum err posix_loop_add_worker(struct posix_loop *l, struct posix_worker *worker);

/* No system call if neither readable nor writable changes. */
enum err posix_loop_watch(struct posix_loop *l, int fd, bool readable, bool writable, uint64_t tag);

/* The descriptor is about to be closed. */
void posix_loop_forget(struct posix_loop *l, int fd);

size_t posix_loop_wait(void *ctx, struct port_event *events, size_t cap, uint64_t timeout_ms);

#endif

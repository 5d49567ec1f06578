/* The port to Linux and what is like it: POSIX files and sockets, epoll, one worker thread.
 *
 * Called by posix_main and by tests, which open several in one process. All memory is taken when
 * the port is opened; pages that are never used cost nothing. */
#ifndef POSTERN_POSIX_H
#define POSTERN_POSIX_H

#include "port.h"
#include "posix_log.h"

struct posix_conf {
    const char *spool_directory; /* stays the caller's; used until the port is closed */
    uint32_t num_fds;            /* descriptors from 0 to num_fds - 1 are used */
    enum posix_log_sink log_sink;
    enum log_level log_level; /* the least important lines that are wanted */
    /* The second thread has no rights beyond its user's (posix_privilege.h). */
    bool worker_gives_up;
    /* SIGTERM, SIGINT and SIGHUP become events, SIGPIPE is held back: for one port of a process,
     * opened before it has other threads. */
    bool take_signals;
};

/* What was closed of stdin, stdout and stderr leads nowhere from now on, so that nothing that is
 * opened takes its place and then what is said. */
enum err posix_hold_standard_fds(void);

/* Fills in out. ERR_NO_MEMORY, ERR_NO_HANDLE or what the system refused. */
enum err posix_port_open(struct port *out, const struct posix_conf *conf);

/* Finishes what was started, then closes all but connections, listeners and segments, which are
 * their users'. What a disk keeps for more than a few seconds may still be done until the process
 * ends: then nothing is closed, the spool's lock neither. */
void posix_port_close(struct port *port);

#endif

/* Log lines to stderr or to the system's logger, never waiting for either: a line that cannot be
 * handed over at once is dropped and counted, and the next one that can says how many were.
 *
 * stderr: "TIME LEVEL text". The logger: a datagram to /dev/log, written here, as libc's syslog()
 * blocks when the logger is slow. Called through struct port_log. */
#ifndef POSTERN_POSIX_LOG_H
#define POSTERN_POSIX_LOG_H

#include "port.h"

#define POSIX_LOG_SYSLOG_PATH "/dev/log"

enum posix_log_sink { POSIX_LOG_STDERR, POSIX_LOG_SYSLOG };

struct posix_log {
    enum posix_log_sink sink;
    int fd;         /* stderr, or the logger's socket; -1: not connected */
    bool may_block; /* asks first whether a write would wait */
    bool is_cut;    /* the file's last line: the disk was full; no other may seem part of it */
    enum log_level least; /* the least important lines that are wanted */
    uint64_t num_dropped;
    uint64_t retry_at_ms; /* of a lost logger */
};

/* l is zeroed. The logger need not be there yet. */
void posix_log_port(struct posix_log *l, enum posix_log_sink sink, enum log_level least,
                    struct port_log *out);
void posix_log_close(struct posix_log *l);

#endif

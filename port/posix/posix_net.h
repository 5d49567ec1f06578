/* TCP and UDP by the socket calls; sockets at a path are posix_local's. A handle is its descriptor.
 * Called through struct port_net; knows the loop only to say what is watched. */
#ifndef POSTERN_POSIX_NET_H
#define POSTERN_POSIX_NET_H

#include "posix_loop.h"

#define POSIX_LOCAL_LISTENERS 4

struct posix_local_listener {
    int fd; /* 0: none */
    bool is_owners;
};

struct posix_net {
    struct posix_loop *loop;
    uint32_t num_fds; /* descriptors at or over this are given back at once: ERR_NO_HANDLE */
    struct posix_local_listener local_listeners[POSIX_LOCAL_LISTENERS]; /* paths go when they do */
};

/* A socket that is non-blocking and close-on-exec and that the watch table has room for. */
enum err posix_net_socket(const struct posix_net *n, int *out_fd, int family, int type);

/* Fills in all functions of out. */
void posix_net_port(struct posix_net *n, struct port_net *out);

#endif

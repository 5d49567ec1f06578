/* TCP and UDP by the socket calls. A handle is its descriptor. Called through struct port_net;
 * knows the loop only to say what is watched. */
#ifndef POSTERN_POSIX_NET_H
#define POSTERN_POSIX_NET_H

#include "posix_loop.h"

struct posix_net {
    struct posix_loop *loop;
    uint32_t num_fds; /* descriptors at or over this are given back at once: ERR_NO_HANDLE */
};

/* Fills in all functions of out. */
void posix_net_port(struct posix_net *n, struct port_net *out);

#endif

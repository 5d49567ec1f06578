/* Stream sockets at a path, between processes of this machine; what posix_net puts into its struct
 * port_net. */
#ifndef POSTERN_POSIX_LOCAL_H
#define POSTERN_POSIX_LOCAL_H

#include "posix_net.h"

enum err posix_listen_local(void *ctx, uint32_t *out_handle, const struct port_local *at);
enum err posix_connect_local(void *ctx, uint32_t *out_handle, const char *path);
enum err posix_peer_user(void *ctx, struct port_user *out, uint32_t handle);

/* Whether it is one of PORT_OWNER. */
bool posix_local_is_owners(const struct posix_net *n, int listener);

/* Whether who has connected may, whatever became of the path's mode since: of PORT_OWNER only root
 * and the server's own user. fd is what listener has accepted. */
bool posix_local_admits(const struct posix_net *n, int listener, int fd);

/* For commands: connects and waits, no longer than that for each step. Errors as connect_local's.
 */
enum err posix_dial_local(int *out_fd, const char *path, int within_s);
/* Another bound for the steps to come. */
bool posix_local_within(int fd, int within_s);

/* fd is about to be closed: if it listens at a path, that goes. */
void posix_local_close(struct posix_net *n, int fd);

#endif

/* Sockets at a path: see posix_local.h.
 *
 * A path is taken in this order: is there a socket, and does nobody answer at it? Then it is
 * removed. The new one gets its mode before bind gives it its name, so that no moment is left when
 * a stranger could connect; group and wider mode follow, and only then does it listen. */
#include "posix_local.h"

#include "posix_err.h"
#include "posix_ids.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define LISTEN_BACKLOG 64

static enum err address_of(struct sockaddr_un *out, const char *path)
{
    size_t len = strlen(path);
    memset(out, 0, sizeof *out);
    out->sun_family = AF_UNIX;
    if (len == 0) {
        return ERR_ABSENT;
    }
    if (len > PORT_LOCAL_PATH_MAX) {
        return ERR_TOO_BIG;
    }
    memcpy(out->sun_path, path, len);
    return ERR_OK;
}

static enum err connect_to(const struct posix_net *n, int *out_fd, const char *path)
{
    struct sockaddr_un address;
    int fd = -1;
    enum err e = address_of(&address, path);
    if (e == ERR_OK) {
        e = posix_net_socket(n, &fd, AF_UNIX, SOCK_STREAM);
    }
    if (e != ERR_OK) {
        return e;
    }
    if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        e = errno == EAGAIN ? ERR_BUSY : posix_err(errno);
        close(fd);
        return e;
    }
    *out_fd = fd;
    return ERR_OK;
}

/* Removes what a dead server left. */
static enum err clear(const struct posix_net *n, const char *path)
{
    struct stat st;
    if (lstat(path, &st) != 0) {
        return errno == ENOENT ? ERR_OK : posix_err(errno);
    }
    if (!S_ISSOCK(st.st_mode)) {
        return ERR_EXISTS;
    }
    int fd;
    enum err e = connect_to(n, &fd, path);
    if (e == ERR_OK) {
        close(fd);
    }
    if (e == ERR_OK || e == ERR_BUSY) {
        return ERR_IN_USE;
    }
    if (e != ERR_REFUSED) {
        return e;
    }
    return unlink(path) == 0 || errno == ENOENT ? ERR_OK : posix_err(errno);
}

static enum err open_to(const struct port_local *at)
{
    uint32_t gid;
    if (at->access == PORT_OWNER) {
        return ERR_OK;
    }
    if (at->access == PORT_GROUP) {
        if (!posix_id_number(&gid, POSIX_GROUPS_FILE, at->group)) {
            return ERR_MALFORMED;
        }
        if (lchown(at->path, (uid_t)-1, (gid_t)gid) != 0) {
            return posix_err(errno);
        }
    }
    mode_t mode = at->access == PORT_GROUP ? 0660 : 0666;
    return chmod(at->path, mode) == 0 ? ERR_OK : posix_err(errno);
}

/* On failure nothing is left at the path. */
static enum err take_path(int fd, const struct port_local *at)
{
    struct sockaddr_un address;
    enum err e = address_of(&address, at->path);
    if (e == ERR_OK && fchmod(fd, 0600) != 0) { /* which bind passes on */
        e = posix_err(errno);
    }
    if (e == ERR_OK && bind(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        e = posix_err(errno);
    }
    if (e != ERR_OK) {
        return e;
    }
    e = open_to(at);
    if (e == ERR_OK && listen(fd, LISTEN_BACKLOG) != 0) {
        e = posix_err(errno);
    }
    if (e != ERR_OK) {
        (void)unlink(at->path);
    }
    return e;
}

enum err posix_listen_local(void *ctx, uint32_t *out_handle, const struct port_local *at)
{
    struct posix_net *n = ctx;
    struct posix_local_listener *place = n->local_listeners, *end = place + POSIX_LOCAL_LISTENERS;
    while (place < end && place->fd != 0) {
        place++;
    }
    int fd = -1;
    enum err e = place < end ? clear(n, at->path) : ERR_NO_HANDLE;
    if (e == ERR_OK) {
        e = posix_net_socket(n, &fd, AF_UNIX, SOCK_STREAM);
    }
    if (e == ERR_OK) {
        e = take_path(fd, at);
    }
    if (e != ERR_OK) {
        if (fd >= 0) {
            close(fd);
        }
        return e;
    }
    *place = (struct posix_local_listener){fd, at->access == PORT_OWNER};
    *out_handle = (uint32_t)fd;
    return ERR_OK;
}

enum err posix_connect_local(void *ctx, uint32_t *out_handle, const char *path)
{
    int fd;
    enum err e = connect_to(ctx, &fd, path);
    if (e == ERR_OK) {
        *out_handle = (uint32_t)fd;
    }
    return e;
}

bool posix_local_within(int fd, int within_s)
{
    struct timeval within = {.tv_sec = within_s};
    return setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &within, sizeof within) == 0 &&
           setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &within, sizeof within) == 0;
}

enum err posix_dial_local(int *out_fd, const char *path, int within_s)
{
    const struct posix_net any = {.num_fds = UINT32_MAX};
    enum err e = connect_to(&any, out_fd, path);
    if (e == ERR_OK &&
        (fcntl(*out_fd, F_SETFL, 0) != 0 || !posix_local_within(*out_fd, within_s))) {
        e = posix_err(errno);
        close(*out_fd);
    }
    return e;
}

static bool read_peer(struct ucred *out, int fd)
{
    socklen_t len = sizeof *out;
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, out, &len) == 0;
}

bool posix_local_is_owners(const struct posix_net *n, int listener)
{
    for (int i = 0; i < POSIX_LOCAL_LISTENERS; i++) {
        if (n->local_listeners[i].fd == listener) {
            return n->local_listeners[i].is_owners;
        }
    }
    return false;
}

bool posix_local_admits(const struct posix_net *n, int listener, int fd)
{
    struct ucred peer;
    return !posix_local_is_owners(n, listener) ||
           (read_peer(&peer, fd) && (peer.uid == 0 || peer.uid == geteuid()));
}

enum err posix_peer_user(void *ctx, struct port_user *out, uint32_t handle)
{
    (void)ctx;
    struct sockaddr_storage own;
    socklen_t len = sizeof own;
    struct ucred peer;
    if (getsockname((int)handle, (struct sockaddr *)&own, &len) != 0) {
        return posix_err(errno);
    }
    if (own.ss_family != AF_UNIX) {
        return ERR_UNSUPPORTED;
    }
    if (!read_peer(&peer, (int)handle)) {
        return posix_err(errno);
    }
    out->uid = peer.uid;
    posix_id_name(out->name, POSIX_USERS_FILE, peer.uid);
    return ERR_OK;
}

void posix_local_close(struct posix_net *n, int fd)
{
    for (int i = 0; i < POSIX_LOCAL_LISTENERS; i++) {
        if (n->local_listeners[i].fd == fd) {
            struct sockaddr_un own;
            socklen_t len = sizeof own;
            memset(&own, 0, sizeof own);
            if (getsockname(fd, (struct sockaddr *)&own, &len) == 0) {
                (void)unlink(own.sun_path);
            }
            n->local_listeners[i].fd = 0;
        }
    }
}

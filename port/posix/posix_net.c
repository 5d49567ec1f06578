/* TCP and UDP by the socket calls: see posix_net.h. */
#include "posix_net.h"

#include "posix_err.h"
#include "posix_local.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

/* The system caps it at its own limit (net.core.somaxconn). */
#define LISTEN_BACKLOG 1024

/* Connections that broke while they waited, or may not be, are skipped, so many in one call. */
#define MAX_BROKEN_ACCEPTS 16

/* A connection closed with bytes unread is reset, and the peer may lose our last reply. So what has
 * arrived is read away first, up to this many pieces. */
#define MAX_DISCARDS 16
#define DISCARD_LEN  4096

/* Descriptors that peers leave over, or an eighth if there are few: for what was taken in, and for
 * the owner's questions. */
#define SPARE_FDS 32

union socket_addr {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_storage storage;
};

static socklen_t to_system(union socket_addr *out, const struct net_addr *a)
{
    memset(out, 0, sizeof *out);
    if (a->family == NET_IPV4) {
        out->v4.sin_family = AF_INET;
        out->v4.sin_port = htons(a->port);
        memcpy(&out->v4.sin_addr, a->bytes, 4);
        return sizeof out->v4;
    }
    if (a->family == NET_IPV6) {
        out->v6.sin6_family = AF_INET6;
        out->v6.sin6_port = htons(a->port);
        memcpy(&out->v6.sin6_addr, a->bytes, 16);
        return sizeof out->v6;
    }
    return 0;
}

static void from_system(struct net_addr *out, const union socket_addr *a)
{
    *out = (struct net_addr){.family = NET_NONE};
    if (a->any.sa_family == AF_INET) {
        out->family = NET_IPV4;
        out->port = ntohs(a->v4.sin_port);
        memcpy(out->bytes, &a->v4.sin_addr, 4);
    } else if (a->any.sa_family == AF_INET6) {
        out->family = NET_IPV6;
        out->port = ntohs(a->v6.sin6_port);
        memcpy(out->bytes, &a->v6.sin6_addr, 16);
    }
}

static enum err set_on(int fd, int level, int option)
{
    int on = 1;
    return setsockopt(fd, level, option, &on, sizeof on) == 0 ? ERR_OK : posix_err(errno);
}

static enum err fail_closing(int fd, enum err e)
{
    close(fd);
    return e;
}

enum err posix_net_socket(const struct posix_net *n, int *out_fd, int family, int type)
{
    int fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return posix_err(errno);
    }
    if ((uint32_t)fd >= n->num_fds) {
        return fail_closing(fd, ERR_NO_HANDLE);
    }
    *out_fd = fd;
    return ERR_OK;
}

/* Where the family is switched off, its own addresses do not exist. */
static enum err bind_err(const struct net_addr *at, int error_number)
{
    static const uint8_t any[15] = {0};
    if (error_number == EADDRNOTAVAIL && at->family == NET_IPV6 &&
        memcmp(at->bytes, any, sizeof any) == 0 && at->bytes[15] <= 1) {
        return ERR_UNSUPPORTED;
    }
    return posix_err(error_number);
}

/* A socket that is to listen at, or to connect to, that address. */
static enum err open_stream(const struct posix_net *n, int *out_fd, union socket_addr *out,
                            socklen_t *out_len, const struct net_addr *a)
{
    *out_len = to_system(out, a);
    if (*out_len == 0) {
        return ERR_UNSUPPORTED;
    }
    return posix_net_socket(n, out_fd, out->any.sa_family, SOCK_STREAM);
}

static enum err net_listen(void *ctx, uint32_t *out_handle, const struct net_addr *at)
{
    const struct posix_net *n = ctx;
    union socket_addr address;
    socklen_t address_len;
    int fd = -1;
    enum err e = open_stream(n, &fd, &address, &address_len, at);
    if (e != ERR_OK) {
        return e;
    }
    e = set_on(fd, SOL_SOCKET, SO_REUSEADDR);
    if (e == ERR_OK && at->family == NET_IPV6) {
        e = set_on(fd, IPPROTO_IPV6, IPV6_V6ONLY);
    }
    if (e != ERR_OK) {
        return fail_closing(fd, e);
    }
    if (bind(fd, &address.any, address_len) != 0) {
        return fail_closing(fd, bind_err(at, errno));
    }
    if (listen(fd, LISTEN_BACKLOG) != 0) {
        return fail_closing(fd, posix_err(errno));
    }
    *out_handle = (uint32_t)fd;
    return ERR_OK;
}

static enum err net_local_addr(void *ctx, struct net_addr *out, uint32_t handle)
{
    (void)ctx;
    union socket_addr address;
    socklen_t len = sizeof address;
    if (getsockname((int)handle, &address.any, &len) != 0) {
        return posix_err(errno);
    }
    from_system(out, &address);
    return ERR_OK;
}

static bool is_out_of_descriptors(int error_number)
{
    return error_number == EMFILE || error_number == ENFILE || error_number == ENOBUFS ||
           error_number == ENOMEM;
}

/* Whether one more peer leaves enough. What is tried out is not the peer's: it keeps waiting. */
static bool has_fd_for_peer(const struct posix_net *n, int listener)
{
    uint32_t spare = n->num_fds / 8 < SPARE_FDS ? n->num_fds / 8 : SPARE_FDS;
    int fd = fcntl(listener, F_DUPFD_CLOEXEC, 0);
    if (fd >= 0) {
        close(fd);
    }
    return fd >= 0 && (uint32_t)fd < n->num_fds - spare;
}

static enum err net_accept(void *ctx, uint32_t *out_handle, struct net_addr *out_peer,
                           uint32_t listener)
{
    const struct posix_net *n = ctx;
    if (!posix_local_is_owners(n, (int)listener) && !has_fd_for_peer(n, (int)listener)) {
        return ERR_NO_HANDLE;
    }
    for (int i = 0; i < MAX_BROKEN_ACCEPTS; i++) {
        union socket_addr address;
        socklen_t len = sizeof address;
        int fd = accept4((int)listener, &address.any, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0 && (uint32_t)fd >= n->num_fds) {
            return fail_closing(fd, ERR_NO_HANDLE);
        }
        if (fd >= 0 && !posix_local_admits(n, (int)listener, fd)) {
            close(fd);
            continue;
        }
        if (fd >= 0) {
            (void)set_on(fd, IPPROTO_TCP, TCP_NODELAY);
            from_system(out_peer, &address);
            *out_handle = (uint32_t)fd;
            return ERR_OK;
        }
        if (errno == EAGAIN) {
            return ERR_AGAIN;
        }
        if (is_out_of_descriptors(errno)) {
            return ERR_NO_HANDLE;
        }
        if (errno == EBADF || errno == EINVAL || errno == ENOTSOCK) {
            return ERR_WRONG_STATE;
        }
        /* All else (accept(2) lists it) is about one connection that waited, and it is gone now. */
    }
    return ERR_AGAIN;
}

static enum err net_connect(void *ctx, uint32_t *out_handle, const struct net_addr *to)
{
    const struct posix_net *n = ctx;
    union socket_addr address;
    socklen_t address_len;
    int fd = -1;
    enum err e = open_stream(n, &fd, &address, &address_len, to);
    if (e != ERR_OK) {
        return e;
    }
    (void)set_on(fd, IPPROTO_TCP, TCP_NODELAY);
    if (connect(fd, &address.any, address_len) != 0 && errno != EINPROGRESS && errno != EINTR) {
        return fail_closing(fd, posix_err(errno));
    }
    *out_handle = (uint32_t)fd;
    return ERR_OK;
}

static enum err net_connect_result(void *ctx, uint32_t handle)
{
    (void)ctx;
    int error_number = 0;
    socklen_t len = sizeof error_number;
    if (getsockopt((int)handle, SOL_SOCKET, SO_ERROR, &error_number, &len) != 0) {
        return posix_err(errno);
    }
    if (error_number != 0) {
        return posix_err(error_number);
    }
    union socket_addr address;
    socklen_t address_len = sizeof address;
    if (getpeername((int)handle, &address.any, &address_len) != 0) {
        return errno == ENOTCONN ? ERR_AGAIN : posix_err(errno);
    }
    return ERR_OK;
}

static enum err net_read(void *ctx, size_t *out_len, uint32_t handle, uint8_t *into, size_t cap)
{
    (void)ctx;
    *out_len = 0;
    if (cap == 0) {
        return ERR_OK;
    }
    ssize_t len;
    do {
        len = recv((int)handle, into, cap, 0);
    } while (len < 0 && errno == EINTR);
    if (len > 0) {
        *out_len = (size_t)len;
        return ERR_OK;
    }
    if (len == 0) {
        return ERR_EOF;
    }
    return errno == EAGAIN ? ERR_AGAIN : ERR_RESET;
}

static enum err net_write(void *ctx, size_t *out_len, uint32_t handle, struct slice bytes)
{
    (void)ctx;
    *out_len = 0;
    if (bytes.len == 0) {
        return ERR_OK;
    }
    ssize_t len;
    do {
        len = send((int)handle, bytes.ptr, bytes.len, MSG_NOSIGNAL);
    } while (len < 0 && errno == EINTR);
    if (len > 0) {
        *out_len = (size_t)len;
        return ERR_OK;
    }
    /* The system's buffers are full as a whole: as if the peer were slow. */
    if (len == 0 || errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM) {
        return ERR_AGAIN;
    }
    return ERR_RESET;
}

/* Binding to port 0 takes one at random. */
static enum err net_open_datagram(void *ctx, uint32_t *out_handle, enum net_family family)
{
    const struct posix_net *n = ctx;
    const struct net_addr any = {.family = (uint8_t)family};
    union socket_addr address;
    socklen_t address_len = to_system(&address, &any);
    if (address_len == 0) {
        return ERR_UNSUPPORTED;
    }
    int fd = -1;
    enum err e = posix_net_socket(n, &fd, address.any.sa_family, SOCK_DGRAM);
    if (e != ERR_OK) {
        return e;
    }
    if (family == NET_IPV6) {
        e = set_on(fd, IPPROTO_IPV6, IPV6_V6ONLY);
    }
    if (e != ERR_OK) {
        return fail_closing(fd, e);
    }
    if (bind(fd, &address.any, address_len) != 0) {
        return fail_closing(fd, bind_err(&any, errno));
    }
    *out_handle = (uint32_t)fd;
    return ERR_OK;
}

static enum err net_send_to(void *ctx, uint32_t handle, const struct net_addr *to,
                            struct slice bytes)
{
    (void)ctx;
    union socket_addr address;
    socklen_t address_len = to_system(&address, to);
    ssize_t len;
    if (address_len == 0) {
        return ERR_UNSUPPORTED;
    }
    do {
        len = sendto((int)handle, bytes.ptr, bytes.len, MSG_NOSIGNAL, &address.any, address_len);
    } while (len < 0 && errno == EINTR);
    if (len >= 0) {
        return ERR_OK;
    }
    if (errno == EMSGSIZE) {
        return ERR_TOO_BIG;
    }
    return errno == ENOBUFS || errno == ENOMEM ? ERR_AGAIN : posix_err(errno);
}

static enum err net_recv_from(void *ctx, size_t *out_len, struct net_addr *out_from,
                              uint32_t handle, uint8_t *into, size_t cap)
{
    (void)ctx;
    union socket_addr address;
    socklen_t address_len = sizeof address;
    ssize_t len;
    *out_len = 0;
    do { /* MSG_TRUNC: len is the datagram's, whether it fits or not */
        len = recvfrom((int)handle, into, cap, MSG_TRUNC, &address.any, &address_len);
    } while (len < 0 && errno == EINTR);
    if (len < 0) {
        return posix_err(errno);
    }
    from_system(out_from, &address);
    if ((size_t)len > cap) {
        return ERR_TOO_BIG;
    }
    *out_len = (size_t)len;
    return ERR_OK;
}

static enum err net_watch(void *ctx, uint32_t handle, bool readable, bool writable, uint64_t tag)
{
    struct posix_net *n = ctx;
    return posix_loop_watch(n->loop, (int)handle, readable, writable, tag);
}

static void net_close(void *ctx, uint32_t handle)
{
    struct posix_net *n = ctx;
    uint8_t discarded[DISCARD_LEN];
    for (int i = 0; i < MAX_DISCARDS; i++) {
        if (recv((int)handle, discarded, sizeof discarded, MSG_DONTWAIT) <= 0) {
            break;
        }
    }
    posix_loop_forget(n->loop, (int)handle);
    posix_local_close(n, (int)handle);
    close((int)handle);
}

void posix_net_port(struct posix_net *n, struct port_net *out)
{
    *out = (struct port_net){
        .ctx = n,
        .listen = net_listen,
        .listen_local = posix_listen_local,
        .local_addr = net_local_addr,
        .accept = net_accept,
        .connect = net_connect,
        .connect_result = net_connect_result,
        .connect_local = posix_connect_local,
        .peer_user = posix_peer_user,
        .read = net_read,
        .write = net_write,
        .open_datagram = net_open_datagram,
        .send_to = net_send_to,
        .recv_from = net_recv_from,
        .watch = net_watch,
        .close = net_close,
    };
}

/* The system's error numbers as our values: see posix_err.h. */
#include "posix_err.h"

#include <errno.h>

#if EWOULDBLOCK != EAGAIN
#error "EWOULDBLOCK and EAGAIN are expected to be one number"
#endif

enum err posix_err(int error_number)
{
    switch (error_number) {
    case EAGAIN:
        return ERR_AGAIN;
    case ECONNRESET:
    case EPIPE:
    case ENOTCONN:
    case ECONNABORTED:
        return ERR_RESET;
    case ECONNREFUSED:
        return ERR_REFUSED;
    case ENETUNREACH:
    case EHOSTUNREACH:
    case ENETDOWN:
    case EADDRNOTAVAIL:
        return ERR_UNREACHABLE;
    case ETIMEDOUT:
        return ERR_TIMEOUT;
    case EADDRINUSE:
        return ERR_IN_USE;
    case ENOSPC:
    case EDQUOT:
        return ERR_NO_SPACE;
    case ENOMEM:
        return ERR_NO_MEMORY;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
        return ERR_NO_HANDLE;
    case EACCES:
    case EPERM:
    case ELOOP:
        return ERR_DENIED;
    case EROFS:
        return ERR_READ_ONLY;
    case ENOENT:
        return ERR_ABSENT;
    case ENOTDIR:
        return ERR_NOT_A_DIRECTORY;
    case EEXIST:
        return ERR_EXISTS;
    case EFBIG:
    case ENAMETOOLONG:
        return ERR_TOO_BIG;
    case EAFNOSUPPORT:
    case EPROTONOSUPPORT:
    case ENOSYS:
    case EOPNOTSUPP:
        return ERR_UNSUPPORTED;
    default:
        return ERR_IO;
    }
}

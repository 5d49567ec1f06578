/* What the commands share: see posix_command.h. */
#include "posix_command.h"

#include "budget.h"
#include "posix_err.h"
#include "posix_files.h"
#include "text.h"

#include <errno.h>
#include <sys/mman.h>
#include <sysexits.h>
#include <unistd.h>

static enum err stdout_err;

bool posix_put(int fd, struct slice text)
{
    while (text.len > 0) {
        ssize_t len = write(fd, text.ptr, text.len);
        if (len == 0 || (len < 0 && errno != EINTR)) {
            if (fd == STDOUT_FILENO) {
                stdout_err = len < 0 ? posix_err(errno) : ERR_IO;
            }
            return false;
        }
        (void)slice_skip(&text, len > 0 ? (size_t)len : 0);
    }
    return true;
}

void posix_put_string(int fd, const char *text)
{
    posix_put(fd, slice_of_string(text));
}

int posix_end_output(int status)
{
    if (stdout_err == ERR_OK) {
        return status;
    }
    posix_complain("standard output", err_name(stdout_err));
    return status == EX_OK ? EX_IOERR : status;
}

void posix_complain_of(struct slice what, const char *why)
{
    uint8_t bytes[512];
    struct buf b = buf_make(bytes, sizeof bytes - 1);
    buf_put_string(&b, "postern: ");
    text_put_escaped(&b, what, 200);
    buf_put_string(&b, ": ");
    buf_put_string(&b, why);
    b.cap++;
    buf_put_string(&b, "\n");
    posix_put(STDERR_FILENO, buf_slice(&b));
}

void posix_complain(const char *what, const char *why)
{
    posix_complain_of(slice_of_string(what), why);
}

int posix_is_missing(const char *command)
{
    posix_complain(command, "this build has no such command");
    return EX_UNAVAILABLE;
}

int posix_exit_status(enum err e)
{
    switch (e) {
    case ERR_OK:
        return EX_OK;
    case ERR_MALFORMED:
    case ERR_ABSENT:
    case ERR_TOO_BIG:
    case ERR_NOT_A_FILE:
    case ERR_NOT_A_DIRECTORY:
    case ERR_UNSUPPORTED:
    case ERR_NOT_ALLOWED:
    case ERR_DAMAGED:
        return EX_CONFIG;
    case ERR_DENIED:
        return EX_NOPERM;
    case ERR_IN_USE:
    case ERR_BUSY:
        return EX_TEMPFAIL;
    case ERR_IO:
    case ERR_READ_ONLY:
        return EX_IOERR;
    default:
        return EX_OSERR;
    }
}

bool posix_map_arena(struct arena *out, size_t len)
{
    void *mem = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    *out = (struct arena){mem, len, 0};
    return mem != MAP_FAILED;
}

void posix_put_errors(const char *what, enum err e, const struct buf *errors)
{
    if (errors->len > 0) {
        posix_put(STDERR_FILENO, buf_slice(errors));
    } else {
        posix_complain(what, err_name(e));
    }
}

void posix_hostname(char out[POSIX_HOSTNAME_CAP])
{
    if (gethostname(out, POSIX_HOSTNAME_CAP) != 0 || out[0] == '\0') {
        memcpy(out, "localhost", sizeof "localhost");
    }
    out[POSIX_HOSTNAME_CAP - 1] = '\0';
}

enum err posix_read_options(struct conf *out, struct arena *a, const char *path,
                            struct slice hostname, struct buf *errors)
{
    struct port_files files;
    posix_files_port(&files);
    /* As much as the server has: what a reload takes, the next start and the commands take. */
    if (!posix_map_arena(a, CONF_TEXT_MAX + BUDGET_SITE_LEN)) {
        return ERR_NO_MEMORY;
    }
    size_t text_len;
    a->used = CONF_TEXT_MAX;
    enum err e = files.read(files.ctx, &text_len, path, a->ptr, CONF_TEXT_MAX);
    if (e != ERR_OK) {
        buf_put_string(errors, path);
        buf_put_string(errors, ": ");
        buf_put_string(errors, err_name(e));
        buf_put_string(errors, "\n");
        return e;
    }
    struct conf_env env = {path, hostname};
    return conf_read(out, a, slice_make(a->ptr, text_len), &env, errors);
}

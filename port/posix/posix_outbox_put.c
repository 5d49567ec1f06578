/* A command's side of the outbox: see posix_outbox.h. The file is whole and on the disk before it
 * has its name; a name is free if linking to it succeeds. */
#include "envelope.h"
#include "outbox.h"
#include "posix_command.h"
#include "posix_entropy.h"
#include "posix_err.h"
#include "posix_outbox.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

/* Head, sender, recipients. */
static bool put_head(struct buf *b, const struct letter *l)
{
    struct envelope_params params = {
        .flags = (uint8_t)((l->is_8bit ? ENVELOPE_8BITMIME : 0) |
                           (l->is_smtputf8 ? ENVELOPE_SMTPUTF8 : 0) |
                           (l->ret == NULL     ? 0
                            : l->ret[0] == 'F' ? ENVELOPE_RET_FULL
                                               : ENVELOPE_RET_HDRS)),
        .envid = l->envid,
    };
    buf_put_string(b, OUTBOX_MAGIC);
    struct buf length = buf_make(b->ptr + b->len, 4);
    buf_put_be(b, 4, 0);
    size_t begin = b->len;
    bool fits = envelope_put_head(b, l->sender, &params) == ERR_OK;
    for (uint32_t i = 0; i < l->num_rcpts && fits; i++) {
        struct envelope_entry entry = {.kind = ENVELOPE_RCPT};
        entry.rcpt.address = letter_address(l, i);
        entry.rcpt.notify = l->notify;
        fits = l->rcpts[i].state != LETTER_WAITING || envelope_put(b, &entry) == ERR_OK;
    }
    return fits && buf_put_be(&length, 4, b->len - begin);
}

/* ERR_OK once the file has a name of its own. */
static enum err publish(int dir_fd, const char *from)
{
    char name[POSIX_OUTBOX_NAME_CAP];
    for (unsigned i = 0; i < OUTBOX_FILES_MAX; i++) {
        struct buf b = buf_make(name, sizeof name);
        text_put_u64(&b, (uint64_t)getuid());
        buf_put_string(&b, ".");
        text_put_u64(&b, i);
        buf_end_string(&b);
        if (linkat(dir_fd, from, dir_fd, name, 0) == 0) {
            return ERR_OK;
        }
        if (errno != EEXIST) {
            return posix_err(errno);
        }
    }
    return ERR_FULL;
}

static enum err put_file(int dir_fd, const char *name, struct slice head, const struct letter *l)
{
    /* Others cannot list the directory; where its group is that of users, nor may they read. */
    mode_t mode = l->conf->submit_socket_group[0] != '\0' ? 0600 : 0640;
    int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0) {
        return posix_err(errno);
    }
    bool is_written =
        fchmod(fd, mode) == 0 && posix_put(fd, head) && posix_put(fd, l->content) && fsync(fd) == 0;
    enum err e = is_written ? publish(dir_fd, name) : posix_err(errno);
    if (unlinkat(dir_fd, name, 0) != 0 && e == ERR_OK) {
        e = posix_err(errno); /* a file with two names is taken for none of ours */
    }
    /* Its new name as well, and that it has no other: the directory is not a user's to flush. */
    if (fsync(fd) != 0 && e == ERR_OK) {
        e = posix_err(errno);
    }
    close(fd);
    return e;
}

/* Until it is whole. Nobody can have foreseen it: neither has a command that was killed left it,
 * nor somebody else put it in the way. */
static bool put_first_name(struct buf *b)
{
    uint8_t random[8];
    struct port_entropy entropy;
    posix_entropy_port(&entropy);
    return entropy.fill(entropy.ctx, random, sizeof random) == ERR_OK && buf_put_u8(b, '.') &&
           text_put_hex(b, slice_make(random, sizeof random)) && buf_end_string(b);
}

int posix_outbox_put(const struct letter *l)
{
    static uint8_t head_bytes[OUTBOX_HEAD_LEN + OUTBOX_ENVELOPE_MAX];
    struct buf head = buf_make(head_bytes, sizeof head_bytes);
    const char *path = l->conf->outbox_directory;
    char name[POSIX_OUTBOX_NAME_CAP];
    struct buf b = buf_make(name, sizeof name);
    if (path[0] == '\0') {
        return EX_CONFIG;
    }
    int dir_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0 || !put_head(&head, l)) {
        posix_complain(path, dir_fd < 0 ? "cannot be opened" : "the envelope is too large");
        return dir_fd < 0 ? EX_TEMPFAIL : EX_DATAERR;
    }
    enum err e = put_first_name(&b) ? put_file(dir_fd, name, buf_slice(&head), l) : ERR_NO_ENTROPY;
    close(dir_fd);
    if (e == ERR_OK) {
        return EX_OK;
    }
    posix_complain(path, e == ERR_FULL ? "too many messages of yours wait there" : err_name(e));
    return EX_TEMPFAIL;
}

/* The server's side of the outbox: see posix_outbox.h.
 *
 * The directory is the server's and sticky: users make files in it, and cannot list it or touch
 * those of others. It hands its group on, so that a server that is not root can read what is left
 * there; with a group of users only root can, as they shall not read each other's.
 *
 * A name is worth nothing by itself: a file counts as somebody's only if that user owns it and it
 * has no other name, as a link to another's file would. */
#include "posix_outbox.h"

#include "outbox.h"
#include "posix_dir.h"
#include "posix_err.h"
#include "posix_ids.h"
#include "text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h> /* renameat */
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define NEW_S 3600 /* so long may writing a file take */

/* setgid and sticky; the rest below */
#define MODE_OF_ALL   03733
#define MODE_OF_GROUP 01730

static enum err set_mode(int fd, const char *group)
{
    uint32_t gid = (uint32_t)getegid();
    if (group[0] != '\0' && !posix_id_number(&gid, POSIX_GROUPS_FILE, group)) {
        return ERR_MALFORMED;
    }
    struct stat st;
    if (fstat(fd, &st) != 0) {
        return posix_err(errno);
    }
    if (st.st_uid != geteuid()) {
        return ERR_DENIED;
    }
    if (fchown(fd, (uid_t)-1, (gid_t)gid) != 0 ||
        fchmod(fd, group[0] != '\0' ? MODE_OF_GROUP : MODE_OF_ALL) != 0) {
        return posix_err(errno);
    }
    return ERR_OK;
}

static enum err outbox_open(void *ctx, const char *path, const char *group)
{
    struct posix_outbox *o = ctx;
    if (mkdir(path, 0700) != 0 && errno != EEXIST) {
        return posix_err(errno);
    }
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        return posix_err(errno);
    }
    enum err e = set_mode(fd, group);
    if (e != ERR_OK) {
        close(fd);
        return e;
    }
    posix_outbox_close(o);
    o->dir_fd = fd;
    o->is_past_marks = false;
    return ERR_OK;
}

#define MARK_LEN 17 /* a dot and 8 bytes in hexadecimal */

/* Takes the mark off the end; 0: there is none. */
static uint64_t take_mark(struct slice *name)
{
    uint8_t bytes[8];
    uint64_t mark = 0;
    if (name->len <= MARK_LEN || name->ptr[name->len - MARK_LEN] != '.' ||
        !text_parse_hex(slice_make(name->ptr + name->len - MARK_LEN + 1, MARK_LEN - 1), bytes,
                        sizeof bytes)) {
        return 0;
    }
    name->len -= MARK_LEN;
    for (size_t i = 0; i < sizeof bytes; i++) {
        mark = mark << 8 | bytes[i];
    }
    return mark;
}

/* UID.NUMBER, perhaps with a mark behind it. */
static bool parse_name(struct slice name, uint32_t *out_uid, uint64_t *out_mark)
{
    *out_mark = take_mark(&name);
    const uint8_t *dot = memchr(name.ptr, '.', name.len);
    struct slice uid_text, number_text = name;
    uint64_t uid, number;
    if (dot == NULL || name.len + MARK_LEN >= POSIX_OUTBOX_NAME_CAP) {
        return false;
    }
    (void)slice_take(&number_text, (size_t)(dot - name.ptr), &uid_text);
    (void)slice_skip(&number_text, 1);
    if (!text_parse_u64(uid_text, UINT32_MAX - 1, &uid) ||
        !text_parse_u64(number_text, OUTBOX_FILES_MAX - 1, &number)) {
        return false;
    }
    *out_uid = (uint32_t)uid;
    return true;
}

struct search {
    struct posix_outbox *o;
    bool (*may)(const void *arg, uint32_t uid, uint64_t mark);
    const void *arg;
    enum err err; /* ERR_AGAIN: none yet */
};

/* ERR_OK: taken. ERR_AGAIN: not yet a whole one, or not its turn. ERR_MALFORMED: nobody's. */
static enum err take_file(const struct search *s, const char *name, const struct stat *st)
{
    struct posix_outbox *o = s->o;
    struct slice text = slice_of_string(name);
    bool is_new = time(NULL) - st->st_mtime < NEW_S;
    if (!S_ISREG(st->st_mode) || !parse_name(text, &o->uid, &o->mark) || st->st_uid != o->uid ||
        st->st_nlink != 1) {
        bool may_become = S_ISREG(st->st_mode) && is_new && (name[0] == '.' || st->st_nlink == 2);
        return may_become ? ERR_AGAIN : ERR_MALFORMED;
    }
    if (s->may != NULL && !s->may(s->arg, o->uid, o->mark)) {
        return ERR_AGAIN;
    }
    struct stat opened;
    int fd = openat(o->dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) { /* one that its owner keeps from us holds nobody else up */
        bool is_its_owners_doing =
            errno == EACCES || errno == ENOENT || errno == ELOOP || errno == ENXIO;
        return is_its_owners_doing ? ERR_AGAIN : posix_err(errno);
    }
    if (fstat(fd, &opened) != 0 || opened.st_ino != st->st_ino || opened.st_dev != st->st_dev ||
        opened.st_uid != o->uid || opened.st_nlink != 1) {
        close(fd);
        return ERR_AGAIN;
    }
    o->fd = fd;
    o->len = (uint64_t)opened.st_size;
    memcpy(o->name, name, text.len + 1);
    return ERR_OK;
}

static bool look_at(void *ctx, const char *name)
{
    struct search *s = ctx;
    struct stat st;
    struct slice stem = slice_of_string(name);
    if (!s->o->is_past_marks && take_mark(&stem) == 0) {
        return true;
    }
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ||
        fstatat(s->o->dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        return true;
    }
    enum err e = take_file(s, name, &st);
    if (e == ERR_MALFORMED) {
        (void)unlinkat(s->o->dir_fd, name, S_ISDIR(st.st_mode) ? AT_REMOVEDIR : 0);
    } else if (e != ERR_AGAIN) {
        s->err = e;
    }
    return e == ERR_MALFORMED || e == ERR_AGAIN;
}

/* A piece of the directory; those that are marked in one go, as the queue does not wait for it. */
static enum err search(struct search *s)
{
    struct posix_outbox *o = s->o;
    bool goes_on, seeks_marks;
    do {
        seeks_marks = !o->is_past_marks;
        enum err e = posix_dir_piece(o->dir_fd, look_at, s, &goes_on);
        if (e == ERR_OK && !goes_on && s->err == ERR_AGAIN) {
            e = posix_dir_rewind(o->dir_fd);
            o->is_past_marks = true;
        }
        if (e != ERR_OK) {
            return e;
        }
    } while (seeks_marks && s->err == ERR_AGAIN);
    return s->err == ERR_AGAIN && !goes_on ? ERR_EOF : s->err;
}

static enum err outbox_take(void *ctx, bool (*may)(const void *arg, uint32_t uid, uint64_t mark),
                            const void *arg, struct port_user *out_owner, uint64_t *out_len)
{
    struct posix_outbox *o = ctx;
    struct search s = {o, may, arg, ERR_AGAIN};
    if (o->dir_fd == 0 || o->fd != 0) {
        return ERR_WRONG_STATE;
    }
    enum err e = search(&s);
    out_owner->uid = o->uid;
    if (e == ERR_OK) {
        posix_id_name(out_owner->name, POSIX_USERS_FILE, o->uid);
        *out_len = o->len;
    } else {
        out_owner->name[0] = '\0';
    }
    return e;
}

static enum err outbox_read(void *ctx, size_t *out_len, uint8_t *into, size_t cap)
{
    struct posix_outbox *o = ctx;
    *out_len = 0;
    while (*out_len < cap) {
        ssize_t len = read(o->fd, into + *out_len, cap - *out_len);
        if (len < 0 && errno == EINTR) {
            continue;
        }
        if (len <= 0) {
            return len < 0 ? posix_err(errno) : ERR_MALFORMED; /* its owner has cut it off */
        }
        *out_len += (size_t)len;
    }
    return ERR_OK;
}

static enum err outbox_mark(void *ctx, uint64_t number)
{
    struct posix_outbox *o = ctx;
    char name[POSIX_OUTBOX_NAME_CAP];
    uint8_t bytes[8];
    struct buf b = buf_make(name, sizeof name);
    struct buf number_bytes = buf_make(bytes, sizeof bytes);
    struct slice stem = slice_of_string(o->name);
    (void)take_mark(&stem);
    buf_put_be(&number_bytes, sizeof bytes, number);
    buf_put(&b, stem);
    buf_put_u8(&b, '.');
    text_put_hex(&b, buf_slice(&number_bytes));
    buf_end_string(&b); /* the caps add up */
    if (renameat(o->dir_fd, o->name, o->dir_fd, name) != 0) {
        return errno == ENOENT ? ERR_MALFORMED : posix_err(errno);
    }
    memcpy(o->name, name, sizeof name);
    o->mark = number;
    return fsync(o->dir_fd) == 0 ? ERR_OK : posix_err(errno);
}

static uint64_t outbox_marked(void *ctx)
{
    const struct posix_outbox *o = ctx;
    return o->mark;
}

/* Whether the name is still that of the file that was taken: its owner may have taken it away, and
 * put something else in its place. */
static bool is_there(const struct posix_outbox *o)
{
    struct stat named, taken;
    return fstatat(o->dir_fd, o->name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
           fstat(o->fd, &taken) == 0 && named.st_ino == taken.st_ino &&
           named.st_dev == taken.st_dev;
}

static enum err outbox_end(void *ctx, bool removes)
{
    struct posix_outbox *o = ctx;
    if (removes && is_there(o) && unlinkat(o->dir_fd, o->name, 0) != 0) {
        int error = errno;
        if (is_there(o)) {
            return posix_err(error);
        }
    }
    if (removes && fsync(o->dir_fd) != 0) {
        return posix_err(errno);
    }
    close(o->fd);
    o->fd = 0;
    return ERR_OK;
}

void posix_outbox_port(struct posix_outbox *o, struct port_outbox *out)
{
    *out = (struct port_outbox){
        .ctx = o,
        .open = outbox_open,
        .take = outbox_take,
        .read = outbox_read,
        .mark = outbox_mark,
        .marked = outbox_marked,
        .end = outbox_end,
    };
}

void posix_outbox_close(struct posix_outbox *o)
{
    if (o->fd != 0) {
        close(o->fd);
    }
    if (o->dir_fd != 0) {
        close(o->dir_fd);
    }
    o->fd = 0;
    o->dir_fd = 0;
}

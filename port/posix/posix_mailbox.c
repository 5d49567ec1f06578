/* Maildirs, the part that does not wait: see posix_mailbox.h. */
#include "posix_mailbox.h"

#include "posix_err.h"
#include "posix_maildir.h"
#include "text.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static bool name_is_valid(const char *name)
{
    size_t len = 0;
    for (; name[len] != '\0'; len++) {
        uint8_t c = (uint8_t)name[len];
        if (len + 1 == POSIX_MAIL_NAME_CAP ||
            (!text_is_alpha(c) && !text_is_digit(c) && strchr(".-_=+", c) == NULL)) {
            return false;
        }
    }
    return len > 0 && name[0] != '.';
}

/* FNV-1a, 64 bits; never 0, which marks an empty place. */
static uint64_t hash_path(const char *path)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (; *path != '\0'; path++) {
        hash = (hash ^ (uint8_t)*path) * 0x100000001b3u;
    }
    return hash | 1;
}

/* Holds the Maildir's hash if it is known. */
static uint64_t *known_place(struct posix_mailbox *m, const struct posix_mail *mail)
{
    return &m->known[(mail->hash >> 1) % POSIX_KNOWN_MAILDIRS];
}

static void release_mail(void *ctx, struct posix_job *job)
{
    struct posix_mailbox *m = ctx;
    struct posix_mail *mail = (struct posix_mail *)job;
    if (mail->sync_path && job->result == ERR_OK) {
        *known_place(m, mail) = mail->hash;
    }
    mail->fd = -1;
    mail->next_free = m->free_mail;
    m->free_mail = mail;
}

/* A slot with its paths filled in. */
static enum err take_mail(struct posix_mailbox *m, struct posix_mail **out, const char *maildir,
                          const char *name)
{
    size_t maildir_len = strlen(maildir);
    if (maildir_len >= POSIX_MAILDIR_PATH_CAP) {
        return ERR_TOO_BIG;
    }
    if (maildir_len == 0 || !name_is_valid(name)) {
        return ERR_MALFORMED;
    }
    struct posix_mail *mail = m->free_mail;
    if (mail == NULL) {
        return ERR_NO_HANDLE;
    }
    m->free_mail = mail->next_free;
    mail->fd = -1;
    memcpy(mail->maildir, maildir, maildir_len + 1);
    memcpy(mail->name, name, strlen(name) + 1);
    mail->hash = hash_path(maildir);
    mail->sync_path = *known_place(m, mail) != mail->hash;
    *out = mail;
    return ERR_OK;
}

static enum err make_dir(const char *path)
{
    if (mkdir(path, 0700) == 0 || errno == EEXIST) {
        return ERR_OK;
    }
    return posix_err(errno);
}

/* Every directory on the way, then cur, new and tmp: where tmp stands, nothing is missing, whenever
 * the one who made it was killed. */
static enum err make_maildir(const char *maildir)
{
    char path[POSIX_MAIL_PATH_CAP];
    memcpy(path, maildir, strlen(maildir) + 1);
    for (char *c = path + 1; *c != '\0'; c++) {
        if (*c == '/') {
            *c = '\0';
            enum err e = make_dir(path);
            /* An automounter or a read-only root may answer anything: what counts is the last. */
            (void)e;
            *c = '/';
        }
    }
    enum err e = make_dir(path);
    static const char *const subs[] = {"cur", "new", "tmp"};
    for (size_t i = 0; i < 3 && e == ERR_OK; i++) {
        posix_maildir_path(path, maildir, subs[i], NULL);
        e = make_dir(path);
    }
    return e;
}

static enum err create_file(const char *path, int *out_fd)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0 && errno == EEXIST) {
        /* Left over from a try that a crash ended: the same name is the same delivery. */
        if (unlink(path) != 0) {
            return posix_err(errno);
        }
        fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    }
    *out_fd = fd;
    return fd < 0 ? posix_err(errno) : ERR_OK;
}

static enum err mailbox_begin(void *ctx, uint32_t *out_handle, const char *maildir,
                              const char *name)
{
    struct posix_mailbox *m = ctx;
    struct posix_mail *mail;
    enum err e = take_mail(m, &mail, maildir, name);
    if (e != ERR_OK) {
        return e;
    }
    mail->work = POSIX_MAIL_COMMIT;
    char path[POSIX_MAIL_PATH_CAP];
    posix_maildir_path(path, maildir, "tmp", name);
    e = create_file(path, &mail->fd);
    if (e == ERR_ABSENT) {
        mail->sync_path = true;
        *known_place(m, mail) = 0; /* of one that has gone since */
        e = make_maildir(maildir);
        if (e == ERR_OK) {
            e = create_file(path, &mail->fd);
        }
    }
    if (e != ERR_OK) {
        mail->job.result = e;
        release_mail(m, &mail->job);
        return e == ERR_ABSENT || e == ERR_EXISTS ? ERR_DENIED : e;
    }
    *out_handle = (uint32_t)(mail - m->mails) + 1;
    return ERR_OK;
}

static struct posix_mail *mail_of(struct posix_mailbox *m, uint32_t handle)
{
    return &m->mails[handle - 1];
}

static enum err mailbox_write(void *ctx, uint32_t handle, struct slice bytes)
{
    const struct posix_mail *mail = mail_of(ctx, handle);
    while (bytes.len > 0) {
        ssize_t len = write(mail->fd, bytes.ptr, bytes.len);
        if (len < 0 && errno == EINTR) {
            continue;
        }
        if (len <= 0) {
            return len < 0 ? posix_err(errno) : ERR_IO;
        }
        (void)slice_skip(&bytes, (size_t)len);
    }
    return ERR_OK;
}

static enum err mailbox_commit(void *ctx, uint32_t handle, uint64_t tag)
{
    struct posix_mailbox *m = ctx;
    struct posix_mail *mail = mail_of(m, handle);
    mail->job.tag = tag;
    posix_worker_submit(m->worker, POSIX_LANE_BATCH, &mail->job);
    return ERR_OK;
}

static void mailbox_abort(void *ctx, uint32_t handle)
{
    struct posix_mailbox *m = ctx;
    struct posix_mail *mail = mail_of(m, handle);
    char path[POSIX_MAIL_PATH_CAP];
    posix_maildir_path(path, mail->maildir, "tmp", mail->name);
    (void)unlink(path);
    close(mail->fd);
    mail->job.result = ERR_ABSENT;
    release_mail(m, &mail->job);
}

static enum err mailbox_find(void *ctx, const char *maildir, const char *name, uint64_t tag)
{
    struct posix_mailbox *m = ctx;
    struct posix_mail *mail;
    enum err e = take_mail(m, &mail, maildir, name);
    if (e != ERR_OK) {
        return e;
    }
    mail->work = POSIX_MAIL_FIND;
    mail->job.tag = tag;
    posix_worker_submit(m->worker, POSIX_LANE_BATCH, &mail->job);
    return ERR_OK;
}

void posix_mailbox_port(struct posix_mailbox *m, struct posix_worker *worker,
                        struct port_mailbox *out)
{
    m->worker = worker;
    for (size_t i = POSIX_MAIL_SLOTS; i-- > 0;) {
        m->mails[i].fd = -1;
        m->mails[i].next_free = m->free_mail;
        m->free_mail = &m->mails[i];
    }
    worker->lanes[POSIX_LANE_BATCH] = (struct posix_lane_def){m, posix_maildir_run, release_mail};
    *out = (struct port_mailbox){
        .ctx = m,
        .begin = mailbox_begin,
        .write = mailbox_write,
        .commit = mailbox_commit,
        .abort = mailbox_abort,
        .find = mailbox_find,
    };
}

void posix_mailbox_close(struct posix_mailbox *m)
{
    for (size_t i = 0; i < POSIX_MAIL_SLOTS; i++) {
        if (m->mails[i].fd >= 0) {
            close(m->mails[i].fd);
            m->mails[i].fd = -1;
        }
    }
}

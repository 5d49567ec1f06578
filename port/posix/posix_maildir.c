/* Commits and look-ups in Maildirs, on the worker's thread: see posix_mailbox.h. */
#include "posix_maildir.h"

#include "posix_dir.h"
#include "posix_err.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h> /* rename */
#include <sys/stat.h>
#include <unistd.h>

void posix_maildir_path(char out[POSIX_MAIL_PATH_CAP], const char *maildir, const char *sub,
                        const char *name)
{
    struct buf b = buf_make(out, POSIX_MAIL_PATH_CAP);
    buf_put_string(&b, maildir);
    buf_put_string(&b, "/");
    buf_put_string(&b, sub);
    if (name != NULL) {
        buf_put_string(&b, "/");
        buf_put_string(&b, name);
    }
    buf_end_string(&b); /* the caps of the parts add up to this one */
}

static enum err sync_sub(const char *maildir, const char *sub)
{
    char path[POSIX_MAIL_PATH_CAP];
    posix_maildir_path(path, maildir, sub, NULL);
    return posix_dir_sync(path);
}

/* A directory that has gone meanwhile may come back: mail waits for it. */
static void fail(struct posix_mail *mail, enum err e)
{
    if (mail->job.result == ERR_OK) {
        mail->job.result = e == ERR_ABSENT ? ERR_DENIED : e;
    }
}

static void sync_file(struct posix_mail *mail)
{
    if (fsync(mail->fd) != 0) {
        fail(mail, posix_err(errno));
    }
    close(mail->fd);
    mail->fd = -1;
}

static void publish(struct posix_mail *mail)
{
    char from[POSIX_MAIL_PATH_CAP], to[POSIX_MAIL_PATH_CAP];
    posix_maildir_path(from, mail->maildir, "tmp", mail->name);
    posix_maildir_path(to, mail->maildir, "new", mail->name);
    if (mail->job.result == ERR_OK && rename(from, to) != 0) {
        fail(mail, posix_err(errno));
    }
    if (mail->job.result != ERR_OK) {
        (void)unlink(from);
    }
}

static struct posix_mail *commit_of(struct posix_job *job)
{
    struct posix_mail *mail = (struct posix_mail *)job;
    return mail->work == POSIX_MAIL_COMMIT ? mail : NULL;
}

/* After a failed sync the system believes the directory clean: another would succeed and prove
 * nothing. What takes the name away makes it dirty again, and the mail is written anew. */
static void withdraw(const struct posix_mail *mail)
{
    char path[POSIX_MAIL_PATH_CAP];
    posix_maildir_path(path, mail->maildir, "new", mail->name);
    (void)unlink(path);
}

/* Syncs the directories of jobs[first], and with that those of all later ones of the same Maildir.
 */
static void sync_dirs(struct posix_job **jobs, size_t num_jobs, size_t first)
{
    struct posix_mail *one = commit_of(jobs[first]);
    bool path_too = false;
    for (size_t i = first; i < num_jobs; i++) {
        struct posix_mail *mail = commit_of(jobs[i]);
        if (mail != NULL && mail->sync_path && strcmp(mail->maildir, one->maildir) == 0) {
            path_too = true;
        }
    }
    enum err e = sync_sub(one->maildir, "new");
    if (e == ERR_OK && path_too) {
        e = posix_dir_sync_up(one->maildir);
    }
    for (size_t i = first; i < num_jobs; i++) {
        struct posix_mail *mail = commit_of(jobs[i]);
        if (mail != NULL && !mail->dir_synced && mail->job.result == ERR_OK &&
            strcmp(mail->maildir, one->maildir) == 0) {
            mail->dir_synced = true;
            if (e != ERR_OK) {
                withdraw(mail);
                fail(mail, e);
            }
        }
    }
}

static void run_commits(struct posix_worker *w, struct posix_job **jobs, size_t num_jobs)
{
    for (size_t i = 0; i < num_jobs; i++) {
        struct posix_mail *mail = commit_of(jobs[i]);
        if (mail != NULL) {
            sync_file(mail);
            publish(mail);
            mail->dir_synced = false;
            posix_worker_serve_urgent(w);
        }
    }
    for (size_t i = 0; i < num_jobs; i++) {
        struct posix_mail *mail = commit_of(jobs[i]);
        if (mail == NULL) {
            continue;
        }
        if (mail->job.result == ERR_OK && !mail->dir_synced) {
            sync_dirs(jobs, num_jobs, i);
            posix_worker_serve_urgent(w);
        }
        mail->job.finished = true;
    }
}

struct search {
    const char *name;
    size_t name_len;
    bool found;
};

/* In cur/ flags stand behind ":", and some readers add fields behind ",". */
static bool search_one(void *ctx, const char *name)
{
    struct search *s = ctx;
    if (strncmp(name, s->name, s->name_len) == 0) {
        char next = name[s->name_len];
        s->found = next == '\0' || next == ':' || next == ',';
    }
    return !s->found;
}

static enum err search_dir(const struct posix_mail *mail, const char *sub)
{
    char path[POSIX_MAIL_PATH_CAP];
    posix_maildir_path(path, mail->maildir, sub, NULL);
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return posix_err(errno);
    }
    struct search s = {mail->name, strlen(mail->name), false};
    enum err e = posix_dir_each(fd, search_one, &s);
    if (e == ERR_OK && s.found && fsync(fd) != 0) {
        e = posix_err(errno);
        withdraw(mail); /* in cur/ it stays: its reader has it */
    }
    close(fd);
    return e != ERR_OK ? e : s.found ? ERR_OK : ERR_ABSENT;
}

/* new/ before cur/: readers move files that way, so one cannot slip past. */
static enum err find(const struct posix_mail *mail)
{
    enum err e = search_dir(mail, "new");
    if (e == ERR_ABSENT) {
        e = search_dir(mail, "cur");
    }
    if (e == ERR_OK && mail->sync_path) {
        e = posix_dir_sync_up(mail->maildir);
    }
    return e;
}

void posix_maildir_run(void *ctx, struct posix_job **jobs, size_t num_jobs)
{
    struct posix_mailbox *m = ctx;
    for (size_t i = 0; i < num_jobs; i++) {
        struct posix_mail *mail = (struct posix_mail *)jobs[i];
        if (mail->work == POSIX_MAIL_FIND) {
            jobs[i]->result = find(mail);
            jobs[i]->finished = true;
            posix_worker_serve_urgent(m->worker);
        }
    }
    run_commits(m->worker, jobs, num_jobs);
}

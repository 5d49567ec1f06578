/* Simulated Maildirs: see sim_mailbox.h. */
#include "sim_inside.h"

#include <stdlib.h>

/* As many as the machine's own port has, so that what must bear the limit is tried on it. */
#define MAX_OPEN     64
#define NAME_MAX_LEN 200
#define PATH_MAX_LEN 511

#define NUM_SUBDIRS 3
#define NOWHERE     NUM_SUBDIRS

struct mail {
    struct mail *next; /* of the host, oldest first */
    char *maildir;
    char *name;
    uint8_t *bytes;
    size_t len, cap;
    size_t durable_len; /* of the bytes; 0 until synced */
    uint32_t place;     /* enum sim_subdir, or NOWHERE */
    uint32_t old_place; /* what the medium says */
    uint32_t handle;    /* 0: not open */
};

enum work { WORK_COMMIT, WORK_FIND };

struct job {
    struct job *next;
    enum work work;
    struct mail *mail; /* of a commit */
    char *maildir, *name;
    uint64_t tag;
    enum err result;
    uint64_t batch; /* those of one batch end together */
};

struct sim_mail_host {
    struct mail *mails;
    bool is_open[MAX_OPEN];
    struct job *jobs; /* in order of their starts */
    uint64_t batch_ends_ms;
    bool batch_runs;
    uint64_t next_batch;
    uint64_t latency_ms;
    uint64_t num_ops, off_at_op, num_commits;
    bool is_off;
    struct sim_fault begin_fault, write_fault, commit_fault;
    enum sim_commit_step commit_fault_step;
};

/* --- Power --- */

/* One operation on the medium: false if the power has gone. */
static bool operate(struct sim_host *h)
{
    struct sim_mail_host *m = h->mail;
    if (m->is_off || sim_store_is_off(h->store)) {
        return false;
    }
    m->num_ops++;
    if (m->num_ops == m->off_at_op) {
        m->is_off = true;
        (void)sim_host_is_off(h); /* takes the store's as well */
        return false;
    }
    return true;
}

bool sim_mailbox_is_off(const struct sim_host *h)
{
    return h->mail->is_off;
}

void sim_mailbox_set_power_off(struct sim_host *h, uint64_t at_op)
{
    h->mail->off_at_op = at_op;
    h->mail->is_off = at_op != 0 && h->mail->num_ops >= at_op;
}

uint64_t sim_mailbox_num_ops(const struct sim_host *h)
{
    return h->mail->num_ops;
}

/* --- Files --- */

static struct mail *find_mail(const struct sim_host *h, const char *maildir, const char *name,
                              uint32_t place)
{
    for (struct mail *f = h->mail->mails; f != NULL; f = f->next) {
        if (f->place == place && strcmp(f->maildir, maildir) == 0 && strcmp(f->name, name) == 0) {
            return f;
        }
    }
    return NULL;
}

static void free_mail(struct mail *f)
{
    free(f->maildir);
    free(f->name);
    free(f->bytes);
    free(f);
}

/* Forgets files that are neither there nor on the medium nor open. */
static void forget_gone(struct sim_host *h)
{
    struct mail **at = &h->mail->mails;
    while (*at != NULL) {
        struct mail *f = *at;
        if (f->place == NOWHERE && f->old_place == NOWHERE && f->handle == 0) {
            *at = f->next;
            free_mail(f);
        } else {
            at = &f->next;
        }
    }
}

static struct mail *open_mail(const struct sim_host *h, uint32_t handle)
{
    for (struct mail *f = h->mail->mails; f != NULL; f = f->next) {
        if (f->handle == handle && handle != 0) {
            return f;
        }
    }
    abort(); /* not open: the caller's mistake */
}

static void close_mail(struct sim_host *h, struct mail *f)
{
    if (f->handle != 0) {
        h->mail->is_open[f->handle - 1] = false;
        f->handle = 0;
    }
}

static bool name_is_valid(const char *name)
{
    size_t len = strlen(name);
    for (size_t i = 0; i < len; i++) {
        uint8_t c = (uint8_t)name[i];
        if (!text_is_alpha(c) && !text_is_digit(c) && strchr(".-_=+", c) == NULL) {
            return false;
        }
    }
    return len > 0 && len <= NAME_MAX_LEN && name[0] != '.';
}

static enum err check_names(const char *maildir, const char *name)
{
    if (strlen(maildir) > PATH_MAX_LEN) {
        return ERR_TOO_BIG;
    }
    return maildir[0] != '\0' && name_is_valid(name) ? ERR_OK : ERR_MALFORMED;
}

static uint32_t num_open(const struct sim_mail_host *m)
{
    uint32_t num = 0;
    for (uint32_t i = 0; i < MAX_OPEN; i++) {
        num += m->is_open[i];
    }
    for (const struct job *j = m->jobs; j != NULL; j = j->next) {
        num += j->work == WORK_FIND;
    }
    return num;
}

static enum err mailbox_begin(void *ctx, uint32_t *out_handle, const char *maildir,
                              const char *name)
{
    struct sim_host *h = ctx;
    struct sim_mail_host *m = h->mail;
    enum err e = check_names(maildir, name);
    if (e != ERR_OK) {
        return e;
    }
    if (num_open(m) == MAX_OPEN) {
        return ERR_NO_HANDLE;
    }
    e = sim_fault_next(&m->begin_fault);
    if (e != ERR_OK) {
        return e;
    }
    if (!operate(h)) {
        return ERR_IO;
    }
    uint32_t handle = 1;
    while (m->is_open[handle - 1]) {
        handle++;
    }
    struct mail *left_over = find_mail(h, maildir, name, SIM_TMP);
    if (left_over != NULL) {
        left_over->place = NOWHERE;
    }
    forget_gone(h);
    struct mail *f = sim_alloc(sizeof *f);
    f->maildir = sim_copy_string(maildir);
    f->name = sim_copy_string(name);
    f->place = SIM_TMP;
    f->old_place = NOWHERE;
    f->handle = handle;
    m->is_open[handle - 1] = true;
    struct mail **last = &m->mails;
    while (*last != NULL) {
        last = &(*last)->next;
    }
    *last = f;
    *out_handle = handle;
    return ERR_OK;
}

static enum err mailbox_write(void *ctx, uint32_t handle, struct slice bytes)
{
    struct sim_host *h = ctx;
    struct mail *f = open_mail(h, handle);
    enum err e = sim_fault_next(&h->mail->write_fault);
    if (e != ERR_OK) {
        return e;
    }
    if (!operate(h)) {
        return ERR_IO;
    }
    if (bytes.len == 0) {
        return ERR_OK;
    }
    if (f->len + bytes.len > f->cap) {
        size_t cap = f->cap * 2 + bytes.len;
        f->bytes = sim_grow(f->bytes, f->cap, cap);
        f->cap = cap;
    }
    memcpy(f->bytes + f->len, bytes.ptr, bytes.len);
    f->len += bytes.len;
    return ERR_OK;
}

static void mailbox_abort(void *ctx, uint32_t handle)
{
    struct sim_host *h = ctx;
    struct mail *f = open_mail(h, handle);
    if (operate(h)) {
        f->place = NOWHERE;
    }
    close_mail(h, f);
    forget_gone(h);
}

/* --- Commits and searches --- */

static void sync_dir(struct sim_host *h, const char *maildir, uint32_t place)
{
    for (struct mail *f = h->mail->mails; f != NULL; f = f->next) {
        if (strcmp(f->maildir, maildir) == 0 && (f->place == place || f->old_place == place)) {
            f->old_place = f->place;
        }
    }
}

static enum err commit_one(struct sim_host *h, struct mail *f)
{
    struct sim_mail_host *m = h->mail;
    enum err e = sim_fault_next(&m->commit_fault);
    if (e != ERR_OK && m->commit_fault_step == SIM_SYNC_FILE) {
        return e;
    }
    if (!operate(h)) {
        return ERR_IO;
    }
    f->durable_len = f->len;
    if (e != ERR_OK && m->commit_fault_step == SIM_RENAME) {
        return e;
    }
    if (!operate(h)) {
        return ERR_IO;
    }
    struct mail *old = find_mail(h, f->maildir, f->name, SIM_NEW);
    if (old != NULL) {
        old->place = NOWHERE;
    }
    f->place = SIM_NEW;
    if (e != ERR_OK || !operate(h)) {
        return e != ERR_OK ? e : ERR_IO;
    }
    sync_dir(h, f->maildir, SIM_NEW);
    m->num_commits++;
    return ERR_OK;
}

static bool is_mail_named(const struct mail *f, const char *maildir, const char *name)
{
    size_t len = strlen(name);
    if (strcmp(f->maildir, maildir) != 0 || strncmp(f->name, name, len) != 0) {
        return false;
    }
    return f->name[len] == '\0' || f->name[len] == ':' || f->name[len] == ',';
}

static enum err find_one(struct sim_host *h, const struct job *j)
{
    for (uint32_t place = SIM_NEW; place <= SIM_CUR; place++) {
        for (const struct mail *f = h->mail->mails; f != NULL; f = f->next) {
            if (f->place == place && is_mail_named(f, j->maildir, j->name)) {
                if (!operate(h)) {
                    return ERR_IO;
                }
                sync_dir(h, j->maildir, place);
                return ERR_OK;
            }
        }
    }
    return ERR_ABSENT;
}

static void start_job(struct sim_host *h, enum work work, struct mail *f, const char *maildir,
                      const char *name, uint64_t tag)
{
    struct job *j = sim_alloc(sizeof *j);
    j->work = work;
    j->mail = f;
    j->maildir = sim_copy_string(maildir);
    j->name = sim_copy_string(name);
    j->tag = tag;
    j->batch = h->mail->next_batch;
    struct job **last = &h->mail->jobs;
    while (*last != NULL) {
        last = &(*last)->next;
    }
    *last = j;
    if (!h->mail->batch_runs) {
        h->mail->batch_runs = true;
        h->mail->batch_ends_ms = h->world->now_ms + h->mail->latency_ms;
        h->mail->next_batch++;
    }
}

static enum err mailbox_commit(void *ctx, uint32_t handle, uint64_t tag)
{
    struct sim_host *h = ctx;
    struct mail *f = open_mail(h, handle);
    start_job(h, WORK_COMMIT, f, f->maildir, f->name, tag);
    return ERR_OK;
}

static enum err mailbox_find(void *ctx, const char *maildir, const char *name, uint64_t tag)
{
    struct sim_host *h = ctx;
    enum err e = check_names(maildir, name);
    if (e == ERR_OK && num_open(h->mail) == MAX_OPEN) {
        e = ERR_NO_HANDLE;
    }
    if (e == ERR_OK) {
        start_job(h, WORK_FIND, NULL, maildir, name, tag);
    }
    return e;
}

static void free_job(struct job *j)
{
    free(j->maildir);
    free(j->name);
    free(j);
}

static void end_job(struct sim_host *h, struct job *j)
{
    if (j->work == WORK_FIND) {
        j->result = find_one(h, j);
        return;
    }
    j->result = commit_one(h, j->mail);
    if (j->result != ERR_OK && j->mail->place == SIM_TMP && operate(h)) {
        j->mail->place = NOWHERE;
    }
    close_mail(h, j->mail);
}

size_t sim_mailbox_poll(struct sim_host *h, struct port_event *events, size_t cap)
{
    struct sim_mail_host *m = h->mail;
    size_t num = 0;
    while (num < cap && m->batch_runs && h->world->now_ms >= m->batch_ends_ms) {
        struct job *j = m->jobs;
        if (j == NULL || j->batch == m->next_batch) {
            m->batch_runs = j != NULL;
            m->batch_ends_ms += m->latency_ms;
            m->next_batch++;
            continue;
        }
        end_job(h, j);
        if (m->is_off || sim_store_is_off(h->store)) {
            return num;
        }
        m->jobs = j->next;
        events[num++] = (struct port_event){PORT_DONE, j->result, j->tag};
        free_job(j);
    }
    forget_gone(h);
    return num;
}

uint64_t sim_mailbox_next_ms(const struct sim_host *h)
{
    return h->mail->batch_runs ? h->mail->batch_ends_ms : UINT64_MAX;
}

/* --- Crashes --- */

static void forget_process(struct sim_host *h)
{
    struct sim_mail_host *m = h->mail;
    while (m->jobs != NULL) {
        struct job *j = m->jobs;
        m->jobs = j->next;
        free_job(j);
    }
    m->batch_runs = false;
    for (struct mail *f = m->mails; f != NULL; f = f->next) {
        close_mail(h, f);
    }
    forget_gone(h);
}

static bool is_kept(struct sim_host *h, enum sim_crash how)
{
    return how == SIM_CRASH_KEEP ||
           (how == SIM_CRASH_MIXED && (sim_world_random(h->world) & 1) != 0);
}

/* Of two files of one name in one directory, the later one has replaced the other. */
static void settle_replaced(struct sim_host *h)
{
    for (struct mail *f = h->mail->mails; f != NULL; f = f->next) {
        for (const struct mail *later = f->next; later != NULL; later = later->next) {
            if (f->place != NOWHERE && later->place == f->place &&
                strcmp(later->name, f->name) == 0 && strcmp(later->maildir, f->maildir) == 0) {
                f->place = NOWHERE;
                f->old_place = NOWHERE;
            }
        }
    }
}

void sim_mailbox_crash(struct sim_host *h, enum sim_crash how)
{
    for (struct mail *f = h->mail->mails; f != NULL; f = f->next) {
        if (f->place != f->old_place && !is_kept(h, how)) {
            f->place = f->old_place;
        }
        if (f->durable_len < f->len && !is_kept(h, how)) {
            size_t unsynced = f->len - f->durable_len;
            f->len = f->durable_len;
            if (how == SIM_CRASH_MIXED) {
                f->len += (size_t)(sim_world_random(h->world) % unsynced);
            }
        }
        f->old_place = f->place;
        f->durable_len = f->len;
    }
    settle_replaced(h);
    forget_process(h);
}

void sim_mailbox_kill(struct sim_host *h)
{
    forget_process(h);
}

/* --- For tests --- */

void sim_mailbox_set_latency(struct sim_host *h, uint64_t commit_ms)
{
    h->mail->latency_ms = commit_ms;
}

void sim_mailbox_fail_begin(struct sim_host *h, uint64_t nth, uint64_t num, enum err with)
{
    h->mail->begin_fault = (struct sim_fault){nth, num, with};
}

void sim_mailbox_fail_write(struct sim_host *h, uint64_t nth, uint64_t num, enum err with)
{
    h->mail->write_fault = (struct sim_fault){nth, num, with};
}

void sim_mailbox_fail_commit(struct sim_host *h, uint64_t nth, uint64_t num,
                             enum sim_commit_step step, enum err with)
{
    h->mail->commit_fault = (struct sim_fault){nth, num, with};
    h->mail->commit_fault_step = step;
}

uint64_t sim_mailbox_num_commits(const struct sim_host *h)
{
    return h->mail->num_commits;
}

static bool is_in(const struct mail *f, const char *maildir, enum sim_subdir subdir)
{
    return f->place == (uint32_t)subdir && (maildir == NULL || strcmp(f->maildir, maildir) == 0);
}

size_t sim_mailbox_num(const struct sim_host *h, const char *maildir, enum sim_subdir subdir)
{
    size_t num = 0;
    for (const struct mail *f = h->mail->mails; f != NULL; f = f->next) {
        num += is_in(f, maildir, subdir);
    }
    return num;
}

bool sim_mailbox_file(const struct sim_host *h, const char *maildir, enum sim_subdir subdir,
                      size_t position, const char **out_name, struct slice *out_bytes)
{
    for (const struct mail *f = h->mail->mails; f != NULL; f = f->next) {
        if (is_in(f, maildir, subdir) && position-- == 0) {
            *out_name = f->name;
            *out_bytes = slice_make(f->bytes, f->len);
            return true;
        }
    }
    return false;
}

bool sim_mailbox_read_mail(struct sim_host *h, const char *maildir, const char *name,
                           const char *flags)
{
    struct mail *f = find_mail(h, maildir, name, SIM_NEW);
    if (f == NULL) {
        return false;
    }
    size_t name_len = strlen(name), flags_len = strlen(flags);
    f->name = sim_grow(f->name, name_len + 1, name_len + 3 + flags_len + 1);
    memcpy(f->name + name_len, ":2,", 3);
    memcpy(f->name + name_len + 3, flags, flags_len + 1);
    f->place = SIM_CUR;
    f->old_place = SIM_CUR;
    return true;
}

void sim_mailbox_add_host(struct sim_host *h)
{
    h->mail = sim_alloc(sizeof *h->mail);
    h->port.mailbox = (struct port_mailbox){
        .ctx = h,
        .begin = mailbox_begin,
        .write = mailbox_write,
        .commit = mailbox_commit,
        .abort = mailbox_abort,
        .find = mailbox_find,
    };
}

void sim_mailbox_free_host(struct sim_host *h)
{
    forget_process(h);
    while (h->mail->mails != NULL) {
        struct mail *f = h->mail->mails;
        h->mail->mails = f->next;
        free_mail(f);
    }
    free(h->mail);
}

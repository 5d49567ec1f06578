/* One delivery to one Maildir: see deliver_maildir.h. */
#include "deliver_maildir.h"

#include "header.h"
#include "teeth.h"

/* TIME.ID.RCPT.postern, in the form that Maildir readers expect of a unique name; every part
 * stands in the spool. */
static bool put_name(struct buf *b, const struct maildir_order *order)
{
    text_put_i64(b, order->received_s);
    buf_put_u8(b, '.');
    spool_id_put(b, order->id);
    buf_put_u8(b, '.');
    text_put_u64(b, order->rcpt_index);
    buf_put_string(b, ".postern");
    return buf_end_string(b);
}

static void fail(struct maildir_job *job, enum err err)
{
    job->state = MAILDIR_FAILED;
    job->err = err;
}

static void begin_writing(struct maildir_job *job, const struct port_mailbox *mailbox)
{
    enum err err = mailbox->begin(mailbox->ctx, &job->handle, job->path, job->name);
    if (err != ERR_OK) {
        job->handle = 0;
        fail(job, err);
        return;
    }
    job->state = MAILDIR_WRITING;
}

void maildir_start(struct maildir_job *job, const struct port_mailbox *mailbox,
                   const struct maildir_order *order)
{
    memset(job, 0, sizeof *job);
    job->id = order->id;
    job->read_offset = order->content_offset;
    job->end_offset = order->end_offset;
    job->tag = order->tag;
    struct buf name = buf_make(job->name, sizeof job->name);
    struct buf path = buf_make(job->path, sizeof job->path);
    buf_put_string(&path, order->maildir);
    if (!buf_end_string(&path) || !put_name(&name, order)) {
        fail(job, ERR_TOO_BIG);
        return;
    }
    if (!order->look_first) {
        begin_writing(job, mailbox);
        return;
    }
    job->state = MAILDIR_LOOKING;
    enum err err = mailbox->find(mailbox->ctx, job->path, job->name, job->tag);
    if (err != ERR_OK) {
        fail(job, err);
    }
}

/* Content has no CR but before LF (smtp_line saw to that), so dropping every CR gives the bare LF
 * of local files. */
static size_t drop_cr(uint8_t *bytes, size_t len)
{
    size_t kept_len = 0;
    const uint8_t *from = bytes, *end = bytes + len;
    while (from < end) {
        const uint8_t *cr = memchr(from, '\r', (size_t)(end - from));
        size_t run_len = (size_t)((cr == NULL ? end : cr) - from);
        memmove(bytes + kept_len, from, run_len);
        kept_len += run_len;
        from += run_len + (cr != NULL);
    }
    return kept_len;
}

static enum err write_head(struct maildir_job *job, const struct port_mailbox *mailbox,
                           struct slice reverse_path, struct buf scratch)
{
    scratch.len = 0;
    header_put_return_path(&scratch, reverse_path);
    if (scratch.overflow) {
        return ERR_TOO_BIG;
    }
    scratch.len = drop_cr(scratch.ptr, scratch.len);
    job->wrote_head = true;
    return mailbox->write(mailbox->ctx, job->handle, buf_slice(&scratch));
}

static enum err copy_piece(struct maildir_job *job, const struct port_mailbox *mailbox,
                           struct spool *spool, struct buf scratch, size_t *out_len)
{
    uint64_t left = job->end_offset - job->read_offset;
    size_t want_len = left < scratch.cap ? (size_t)left : scratch.cap;
    enum err err = spool_read(spool, out_len, job->id, job->read_offset, scratch.ptr, want_len);
    if (err != ERR_OK) {
        return err;
    }
    job->read_offset += *out_len;
    size_t kept_len = drop_cr(scratch.ptr, *out_len);
    if (kept_len == 0) {
        return ERR_OK;
    }
    return mailbox->write(mailbox->ctx, job->handle, slice_make(scratch.ptr, kept_len));
}

size_t maildir_work(struct maildir_job *job, const struct port_mailbox *mailbox,
                    struct spool *spool, struct slice reverse_path, struct buf scratch)
{
    size_t done_len = 0;
    enum err err = ERR_OK;
    if (!job->wrote_head) {
        err = write_head(job, mailbox, reverse_path, scratch);
    }
    if (err == ERR_OK && job->read_offset < job->end_offset) {
        err = copy_piece(job, mailbox, spool, scratch, &done_len);
    }
    if (err == ERR_OK && job->read_offset == job->end_offset) {
        job->state = BROKEN(MAILDIR_BEFORE_SYNC) ? MAILDIR_DELIVERED : MAILDIR_COMMITTING;
        err = mailbox->commit(mailbox->ctx, job->handle, job->tag);
    }
    if (err != ERR_OK) {
        maildir_abort(job, mailbox);
        fail(job, err);
    }
    return done_len;
}

void maildir_done(struct maildir_job *job, const struct port_mailbox *mailbox, enum err err)
{
    switch (job->state) {
    case MAILDIR_LOOKING:
        if (err == ERR_OK) {
            job->state = MAILDIR_DELIVERED;
        } else if (err == ERR_ABSENT) {
            begin_writing(job, mailbox);
        } else {
            fail(job, err);
        }
        return;
    case MAILDIR_COMMITTING:
        job->handle = 0;
        if (err == ERR_OK) {
            job->state = MAILDIR_DELIVERED;
        } else {
            fail(job, err);
        }
        return;
    case MAILDIR_IDLE:
    case MAILDIR_WRITING:
    case MAILDIR_DELIVERED:
    case MAILDIR_FAILED:
        return;
    }
}

void maildir_abort(struct maildir_job *job, const struct port_mailbox *mailbox)
{
    if (job->handle != 0) {
        mailbox->abort(mailbox->ctx, job->handle);
        job->handle = 0;
    }
}

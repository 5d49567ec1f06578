/* One delivery of one message to one Maildir: look, write, commit.
 *
 *   LOOKING     an earlier try may have put the file there. There: DELIVERED. Absent: WRITING.
 *   WRITING     tmp/NAME gets Return-Path and the content, a piece at a time. All: COMMITTING.
 *   COMMITTING  file sync, move into new/, directory sync. Done: DELIVERED.
 *   DELIVERED   for good: the outcome may be recorded.
 *   FAILED      err says why. The file may be there all the same: the next try looks first.
 *
 * The file's name derives from queue id and recipient, so that every try of a delivery names the
 * same file (SPOOL.md, law 9). Service: called by queue; sees the mailbox and the spool, not who
 * waits for it. */
#ifndef POSTERN_DELIVER_MAILDIR_H
#define POSTERN_DELIVER_MAILDIR_H

#include "port.h"
#include "spool.h"

#define MAILDIR_PATH_CAP 256
#define MAILDIR_NAME_CAP 80

enum maildir_state {
    MAILDIR_IDLE,
    MAILDIR_LOOKING,
    MAILDIR_WRITING,
    MAILDIR_COMMITTING,
    MAILDIR_DELIVERED,
    MAILDIR_FAILED
};

struct maildir_job {
    enum maildir_state state;
    enum err err;    /* ERR_OK but of MAILDIR_FAILED */
    uint32_t handle; /* of the mailbox, 0: none */
    bool wrote_head;
    uint64_t id;
    uint64_t read_offset; /* into the message's stream */
    uint64_t end_offset;
    uint64_t tag; /* for the port's completions */
    char path[MAILDIR_PATH_CAP];
    char name[MAILDIR_NAME_CAP];
};

struct maildir_order {
    uint64_t id;
    uint32_t rcpt_index;
    int64_t received_s;
    uint64_t content_offset; /* where the content begins in the stream, behind the envelope */
    uint64_t end_offset;
    bool look_first;
    uint64_t tag;
    const char *maildir; /* copied */
};

/* Takes up an order; the job is LOOKING or WRITING, or FAILED at once. */
void maildir_start(struct maildir_job *job, const struct port_mailbox *mailbox,
                   const struct maildir_order *order);

/* While WRITING: writes at most one scratch buffer full. reverse_path goes into the Return-Path
 * line, without angle brackets. scratch is overwritten. Returns the number of content bytes done,
 * so that the caller can bound a step. */
size_t maildir_work(struct maildir_job *job, const struct port_mailbox *mailbox,
                    struct spool *spool, struct slice reverse_path, struct buf scratch);

/* The completion that job->tag was given for. */
void maildir_done(struct maildir_job *job, const struct port_mailbox *mailbox, enum err err);

/* Drops what is half done. Only while WRITING or in a final state. */
void maildir_abort(struct maildir_job *job, const struct port_mailbox *mailbox);

#endif

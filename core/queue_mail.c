/* Deliveries to Maildirs: a job per recipient. Called by rounds and by the step. */
#include "queue_inside.h"
#include "route.h"

/* The job is over; the outcome's space is used up or given back. */
static void end(struct queue *q, struct queue_mail_job *job, enum err err, struct slice address,
                uint8_t notify)
{
    struct queue_round *r = job->round;
    struct queue_result result = {
        .envelope_at = job->envelope_at,
        .rcpt_index = job->rcpt_index,
        .status = {2, 0, 0},
        .user = slice_make(job->user_bytes, job->user_len),
        .address = address,
    };
    job->round = NULL;
    q->num_mail_active--;
    r->num_jobs--;
    if (err == ERR_OK) {
        result.text = slice_of_string(job->maildir.name);
        queue_delivered(q, r, &result, QUEUE_DELIVERED, true, notify);
        return;
    }
    spool_release_outcome(q->env.spool);
    result.status[0] = 4; /* RFC 3463 3.3: other or undefined mailbox status; mailbox full */
    result.status[1] = 2;
    result.status[2] = err == ERR_NO_SPACE ? 2 : 0;
    result.reason = err_name(err);
    result.text = slice_of_string(err == ERR_NO_SPACE ? "There is no room for more mail."
                                                      : "The mailbox cannot be written now.");
    queue_deferred(q, r, &result);
}

static struct queue_mail_job *free_job(struct queue *q)
{
    for (uint32_t i = 0; i < q->limits.num_mail_jobs; i++) {
        if (q->mail_jobs[i].round == NULL) {
            return &q->mail_jobs[i];
        }
    }
    return NULL;
}

bool queue_mail_start(struct queue *q, struct queue_round *r, uint64_t envelope_at,
                      const struct envelope_rcpt *rcpt)
{
    struct queue_mail_job *job = free_job(q);
    if (job == NULL || spool_reserve_outcome(q->env.spool) != ERR_OK) {
        return false; /* the end of a job, SPOOL_OUTCOME_DURABLE or the log's next segment brings
                         another turn */
    }
    char path_bytes[MAILDIR_PATH_CAP];
    struct buf path = buf_make(path_bytes, sizeof path_bytes);
    size_t user_len = rcpt->user.len;
    job->round = r;
    job->envelope_at = envelope_at;
    job->rcpt_index = r->rcpt_index;
    job->user_len =
        (uint8_t)(user_len < sizeof job->user_bytes ? user_len : sizeof job->user_bytes);
    memcpy(job->user_bytes, rcpt->user.ptr, job->user_len);
    q->num_mail_active++;
    r->num_jobs++;
    struct slice domain = queue_domain_of(rcpt->address);
    if (!route_put_maildir(&path, q->conf, rcpt->user, domain)) {
        end(q, job, path.overflow ? ERR_TOO_BIG : ERR_ABSENT, rcpt->address, 0);
        return true;
    }
    struct maildir_order order = {
        .id = r->id,
        .rcpt_index = job->rcpt_index,
        .received_s = r->meta.received_s,
        .content_offset = r->meta.envelope_len,
        .end_offset = r->meta.total_len,
        .look_first = (queue_entry_of(q, r)->flags & QUEUE_LOOK_FIRST) != 0,
        .tag = q->env.tag_mark | (uint64_t)(job - q->mail_jobs),
        .maildir = path_bytes,
    };
    maildir_start(&job->maildir, &q->env.port->mailbox, &order);
    return true;
}

size_t queue_mail_turn(struct queue *q, struct queue_mail_job *job, struct buf scratch)
{
    const struct port_mailbox *mailbox = &q->env.port->mailbox;
    struct slice address;
    uint8_t notify;
    switch (job->maildir.state) {
    case MAILDIR_IDLE:
    case MAILDIR_LOOKING:
    case MAILDIR_COMMITTING:
        return 0;
    case MAILDIR_WRITING:
        return 1 + maildir_work(&job->maildir, mailbox, q->env.spool, job->round->sender, scratch);
    case MAILDIR_DELIVERED:
    case MAILDIR_FAILED:
        address = queue_read_address(q, job->round, job->envelope_at, scratch, &notify);
        end(q, job, job->maildir.err, address, notify);
        return 1;
    }
    return 0;
}

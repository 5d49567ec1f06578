/* The outbox: messages that users of this machine left while no server ran, taken in one by one, a
 * piece in each step, as if each had come over the submit socket.
 *
 *     IDLE      until the timer says so
 *     LOOK      for the next file
 *     ENVELOPE  its sender and recipients are read
 *     HEAD      our own envelope and Received field go into the spool
 *     CONTENT   so does what follows
 *     COMMIT    it is about to be durable; then the file goes
 *     REMOVE    which has failed, and is tried again when the timer says so
 *
 * Before COMMIT the file is marked with the id that the message has in the spool. A server that was
 * killed before the file went finds it there at the next start, sees whose it is before anything of
 * the queue is delivered, and takes it no second time.
 *
 * What is wrong for now leaves the file for later, behind the others; they follow at once where it
 * alone had no room in the spool, or is larger than options allow that are newer than it. The log
 * has the first such file of a round. What is wrong for good, which postern sendmail would have
 * told its user, is logged, and the file gets a mark with which it is never taken again: a person
 * may still find out what is in it. What a user has left beyond submit_rate stays for later as
 * well, and holds up nobody else's. A recipient that is none fails in the queue, which tells the
 * sender.
 */
#include "mta_inside.h"
#include "outbox.h"

#define LOOK_EVERY_MS     30000
#define ENTRIES_PER_STEP  16
#define PIECES_PER_STEP   8
#define CONTENT_SLACK_LEN 65536 /* for fields that were added */

enum { IDLE, LOOK, ENVELOPE, HEAD, CONTENT, COMMIT, REMOVE };

static void wait_in(struct mta *m, uint8_t phase)
{
    m->outbox.phase = phase;
    timer_set(&m->timers, &m->outbox.timer, m->now_ms + LOOK_EVERY_MS);
}

static void report(struct mta *m, const char *result, enum err err)
{
    struct log_line line;
    log_begin(&line, "outbox");
    log_u64(&line, "uid", m->outbox.owner.uid);
    log_word(&line, "result", result);
    log_word(&line, "reason", err_name(err));
    report_line(m, LOG_WARNING, &line);
}

/* The file that was taken goes or stays. Until one that is to go has gone no other is taken: it
 * would be sent again and again. */
static void end_file(struct mta *m, bool removes)
{
    enum err err = m->port->outbox.end(m->port->outbox.ctx, removes);
    m->outbox.phase = LOOK;
    if (err != ERR_OK) {
        report(m, "not-removed", err);
        wait_in(m, REMOVE);
    }
}

static void give_up(struct mta *m, enum err err)
{
    struct outbox *o = &m->outbox;
    bool is_for_good = err == ERR_MALFORMED || (err == ERR_TOO_BIG && o->txn != NULL);
    bool is_its_own = err == ERR_FULL || err == ERR_NO_SPACE || err == ERR_TOO_BIG;
    if (o->txn != NULL) {
        txn_free(m, o->txn);
        o->txn = NULL;
    }
    enum err mark_err = err;
    if (is_for_good) {
        mark_err = m->port->outbox.mark(m->port->outbox.ctx, OUTBOX_REFUSED | (uint32_t)m->now_ms);
    }
    if (mark_err == ERR_OK) {
        (void)local_count(m, &o->owner);
        report(m, "refused", err);
    } else if (!o->has_told_deferral) {
        o->has_told_deferral = true;
        report(m, "deferred", mark_err);
    }
    end_file(m, false);
    if (!is_for_good && !is_its_own) {
        o->has_told_deferral = false;
        wait_in(m, IDLE);
    }
}

/* More of the file behind what bytes holds. ERR_MALFORMED: its owner has cut it off; or it cannot
 * be read. */
static enum err fill(struct mta *m)
{
    struct outbox *o = &m->outbox;
    size_t len = 0;
    memmove(o->bytes, o->in.ptr, o->in.len);
    size_t room = sizeof o->bytes - o->in.len;
    size_t want = o->left_len < room ? (size_t)o->left_len : room;
    enum err err = m->port->outbox.read(m->port->outbox.ctx, &len, o->bytes + o->in.len, want);
    o->in = slice_make(o->bytes, o->in.len + len);
    o->left_len -= len;
    return err;
}

static enum err look(struct mta *m)
{
    struct outbox *o = &m->outbox;
    uint64_t len_max =
        m->smtp_env.limits.message_size_limit + OUTBOX_ENVELOPE_MAX + CONTENT_SLACK_LEN;
    enum err err =
        m->port->outbox.take(m->port->outbox.ctx, local_may_hand_in, m, &o->owner, &o->left_len);
    if (err == ERR_AGAIN) {
        return ERR_OK; /* the next step goes on */
    }
    if (err != ERR_OK) {
        if (err != ERR_EOF) {
            report(m, "unreadable", err);
        }
        o->has_told_deferral = false;
        wait_in(m, IDLE);
        return ERR_OK;
    }
    uint64_t mark = m->port->outbox.marked(m->port->outbox.ctx);
    if (mark != 0 && spool_holds(m->spool, mark)) {
        end_file(m, true);
        return ERR_OK;
    }
    local_name_user(&o->owner);
    o->phase = ENVELOPE;
    o->num_asked = 0;
    o->has_sender = false;
    o->in = slice_make(o->bytes, 0);
    memset(&o->body, 0, sizeof o->body);
    if (o->left_len > len_max) {
        return ERR_TOO_BIG; /* more may be allowed again; nothing is taken yet */
    }
    o->txn = pool_take(&m->txns);
    if (o->txn == NULL) {
        return ERR_BUSY;
    }
    err = fill(m);
    if (err == ERR_OK && !outbox_read_head(&o->in, &o->envelope_left)) {
        err = ERR_MALFORMED;
    }
    return err == ERR_OK && o->envelope_left > OUTBOX_ENVELOPE_MAX ? ERR_TOO_BIG : err;
}

/* As whom the user may send, or as itself. */
static enum err begin(struct mta *m, struct slice sender, const struct envelope_params *asked)
{
    struct outbox *o = &m->outbox;
    uint8_t own_bytes[PORT_USER_NAME_CAP + 256], login_bytes[16];
    struct buf own = buf_make(own_bytes, sizeof own_bytes);
    struct buf login = buf_make(login_bytes, sizeof login_bytes);
    struct address a = {.text = sender};
    if (!o->has_sender) {
        return ERR_MALFORMED; /* what is there is another message's */
    }
    bool is_right = slice_is_empty(sender) || address_parse(sender, &a) == ADDRESS_OK;
    if (!is_right || !local_may_send_as(m, &o->owner, &a)) {
        address_put(&own, slice_of_string(o->owner.name), conf_own_domain(&m->site->conf));
        sender = buf_slice(&own);
    }
    local_put_login(&login, &o->owner);
    struct envelope_params params = *asked;
    params.login = buf_slice(&login);
    params.running_s = running_time_s(&m->running, m->now_ms);
    o->txn->is_smtputf8 = (params.flags & ENVELOPE_SMTPUTF8) != 0;
    return envelope_begin(&o->txn->envelope, &m->blocks, sender, &params);
}

static bool is_plain(struct slice text, size_t max_len)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < ' ' || text.ptr[i] > '~') {
            return false;
        }
    }
    return text.len <= max_len;
}

static enum err add_rcpt(struct mta *m, const struct envelope_rcpt *asked)
{
    struct txn *t = m->outbox.txn;
    struct smtpd_ask ask = {.notify = asked->notify & 15};
    struct route_result route;
    struct buf room = buf_make(m->scratch, ROUTE_ROOM_LEN);
    if (m->outbox.num_asked++ == OUTBOX_RCPTS_MAX) {
        return ERR_TOO_BIG;
    }
    if (address_parse(asked->address, &ask.address) != ADDRESS_OK ||
        t->envelope.num_rcpts + ROUTE_TARGETS_MAX > SPOOL_RCPTS_MAX) {
        return ERR_MALFORMED;
    }
    enum route_verdict verdict = route_address(&m->site->conf, &ask.address, true, room, &route);
    if (verdict != ROUTE_LOCAL && verdict != ROUTE_REMOTE) {
        route.num_targets = 1; /* which the queue will find out */
        route.targets[0] = (struct route_target){.address = asked->address};
    }
    enum err err = txn_add_rcpts(m, t, &ask, &route);
    uint32_t num_own = (t->envelope.len + ENVELOPE_BLOCK_LEN - 1) / ENVELOPE_BLOCK_LEN;
    if (err == ERR_NO_MEMORY && num_own == m->blocks.num_used) {
        return ERR_TOO_BIG; /* it has all that there are: no waiting helps */
    }
    return err;
}

static enum err take_entry(struct mta *m, const struct envelope_entry *entry)
{
    struct outbox *o = &m->outbox;
    switch (entry->kind) {
    case ENVELOPE_SENDER:
        if (entry->sender.len > sizeof o->sender) {
            return ERR_MALFORMED;
        }
        memcpy(o->sender, entry->sender.ptr, entry->sender.len);
        o->sender_len = (uint32_t)entry->sender.len;
        o->has_sender = true;
        return ERR_OK;
    case ENVELOPE_PARAMS:
        if (!is_plain(entry->params.envid, ENVELOPE_ENVID_MAX) || o->txn->envelope.len > 0) {
            return ERR_MALFORMED;
        }
        return begin(m, slice_make(o->sender, o->sender_len), &entry->params);
    case ENVELOPE_RCPT:
        if (o->txn->envelope.len == 0) {
            struct envelope_params none = {0};
            enum err err = begin(m, slice_make(o->sender, o->sender_len), &none);
            if (err != ERR_OK) {
                return err;
            }
        }
        return add_rcpt(m, &entry->rcpt);
    case ENVELOPE_VERSION:
    case ENVELOPE_RUNNING:
        return ERR_OK;
    }
    return ERR_MALFORMED;
}

static enum err read_envelope(struct mta *m)
{
    struct outbox *o = &m->outbox;
    struct envelope_entry entry;
    for (int i = 0; i < ENTRIES_PER_STEP && o->envelope_left > 0; i++) {
        size_t here_len = o->in.len < o->envelope_left ? o->in.len : o->envelope_left;
        struct slice rest = slice_make(o->in.ptr, here_len);
        enum err err = envelope_read(&rest, &entry);
        if (err == ERR_AGAIN && o->left_len > 0 && here_len < ENVELOPE_ENTRY_MAX) {
            return fill(m); /* the next step goes on */
        }
        if (err == ERR_OK) {
            err = take_entry(m, &entry);
        }
        if (err != ERR_OK) {
            return err == ERR_AGAIN ? ERR_MALFORMED : err;
        }
        (void)slice_skip(&o->in, here_len - rest.len);
        o->envelope_left -= (uint32_t)(here_len - rest.len);
    }
    if (o->envelope_left == 0) {
        o->phase = HEAD;
        return o->txn->envelope.num_rcpts > 0 ? ERR_OK : ERR_MALFORMED;
    }
    return ERR_OK;
}

static enum err write_head(struct mta *m)
{
    struct outbox *o = &m->outbox;
    struct header_trace trace = {
        .helo = SLICE_LITERAL("localhost"),
        .is_local = true,
        .local_uid = o->owner.uid,
        .is_esmtp = true,
    };
    o->txn->is_submission = true;
    o->txn->is_of_outbox = true;
    enum err err = txn_write_head(m, o->txn, o->left_len + o->in.len, &trace);
    if (err == ERR_OK) {
        o->phase = CONTENT;
        o->run = slice_make(NULL, 0);
    }
    return err;
}

static enum err finish(struct mta *m)
{
    struct outbox *o = &m->outbox;
    struct slice none = slice_make(NULL, 0);
    enum smtp_body_result result = smtp_body_finish_chunks(&o->body, SMTP_TEXT_LINE_MAX, &none);
    if (result != SMTP_BODY_END || none.len != 0 || o->body.long_line) {
        return ERR_MALFORMED; /* our own command ends every line, and breaks long ones */
    }
    enum err err = submission_store(m, o->txn, &none, true);
    const struct port_outbox *port = &m->port->outbox;
    uint64_t id = spool_txn_id(m->spool, o->txn->spool_txn);
    if (err == ERR_OK && port->marked(port->ctx) != id) {
        err = port->mark(port->ctx, id);
    }
    if (err == ERR_OK) {
        err = txn_commit(m, o->txn);
    }
    if (err == ERR_OK) {
        (void)local_count(m, &o->owner);
        o->txn = NULL; /* it comes back by outbox_committed */
        o->phase = COMMIT;
    }
    return err;
}

static enum err write_content(struct mta *m)
{
    struct outbox *o = &m->outbox;
    for (int i = 0; i < PIECES_PER_STEP; i++) {
        if (o->run.len > 0) {
            o->txn->is_8bit = o->txn->is_8bit || text_is_8bit(o->run);
            enum err err = submission_store(m, o->txn, &o->run, false);
            if (err != ERR_OK) {
                return err;
            }
            o->run.len = 0;
        }
        if (o->in.len == 0 && o->left_len == 0) {
            return finish(m);
        }
        enum err err = o->in.len == 0 ? fill(m) : ERR_OK;
        if (err != ERR_OK) {
            return err;
        }
        if (smtp_body_take_chunk(&o->body, &o->in, SMTP_TEXT_LINE_MAX, &o->run) != SMTP_BODY_MORE) {
            return ERR_MALFORMED;
        }
    }
    return ERR_OK;
}

bool outbox_step(struct mta *m)
{
    struct outbox *o = &m->outbox;
    enum err err = ERR_OK;
    if (m->stopping || !m->spool_ready || o->waits_for_room) {
        return false;
    }
    switch (o->phase) {
    case LOOK:
        err = look(m);
        break;
    case ENVELOPE:
        err = read_envelope(m);
        break;
    case HEAD:
        err = write_head(m);
        break;
    case CONTENT:
        err = write_content(m);
        break;
    default:
        return false;
    }
    if (err == ERR_AGAIN) {
        o->waits_for_room = true;
        return false;
    }
    if (err != ERR_OK) {
        give_up(m, err);
    }
    return o->phase != IDLE; /* also when it has just asked the spool for a sync */
}

void outbox_committed(struct mta *m, enum err err)
{
    if (err == ERR_OK) {
        end_file(m, true);
        return;
    }
    report(m, "deferred", err);
    end_file(m, false);
    wait_in(m, IDLE);
}

void outbox_timer(struct mta *m)
{
    if (m->outbox.phase == IDLE) {
        m->outbox.phase = LOOK;
    } else if (m->outbox.phase == REMOVE) {
        end_file(m, true);
    }
}

void outbox_use(struct mta *m, const struct conf *conf)
{
    const struct port_outbox *port = &m->port->outbox;
    if (conf->outbox_directory[0] == '\0') {
        return;
    }
    enum err err = port->open(port->ctx, conf->outbox_directory, conf->submit_socket_group);
    if (err == ERR_OK) {
        m->outbox.timer.kind = TIMER_OUTBOX;
        m->outbox.phase = LOOK;
        return;
    }
    struct log_line line;
    log_begin(&line, "outbox");
    log_word(&line, "result", "unavailable");
    log_word(&line, "reason", err_name(err));
    log_peer_text(&line, "path", slice_of_string(conf->outbox_directory));
    report_line(m, LOG_WARNING, &line);
}

void outbox_close(struct mta *m)
{
    if (m->outbox.phase > LOOK) {
        (void)m->port->outbox.end(m->port->outbox.ctx, m->outbox.phase == REMOVE);
    }
    m->outbox.phase = IDLE;
}

/* What the control socket tells of the messages that wait, and does with them: postern queue and
 * flush. Who they are from and for is read from the spool, a few messages or recipients in a piece.
 */
#include "conf_report.h"
#include "mta_inside.h"

#define MESSAGES_PER_PIECE 16
#define LISTED_RCPTS_MAX   8
#define ENVELOPE_PIECE_LEN 4096
#define ID_SHOWN_MAX       40
#define ADDRESS_SHOWN_MAX  320
/* Of the answer for one message of a list, every byte of its addresses escaped. */
#define LISTED_LEN_MAX ((LISTED_RCPTS_MAX + 1) * (4 * ADDRESS_SHOWN_MAX + 32) + 256)

_Static_assert(LISTED_LEN_MAX <= BUDGET_CONTROL_REPLY_LEN, "a message fits into a reply");

/* A walk through the entries of a message's envelope. */
struct walk {
    struct mta *m;
    uint64_t id;
    struct spool_meta meta;
    uint64_t at;     /* of the next entry */
    struct slice in; /* that and what stands behind it, in the first bytes of scratch */
    enum err err;
};

static void walk_begin(struct walk *w, struct mta *m, uint64_t id, uint64_t at)
{
    *w = (struct walk){.m = m, .id = id, .at = at};
    w->err = spool_meta_of(m->spool, id, &w->meta);
}

static void walk_load(struct walk *w)
{
    uint64_t left_len = w->meta.envelope_len - w->at;
    size_t len = left_len < ENVELOPE_PIECE_LEN ? (size_t)left_len : ENVELOPE_PIECE_LEN;
    w->err = spool_read(w->m->spool, &len, w->id, w->at, w->m->scratch, len);
    w->in = slice_make(w->m->scratch, w->err == ERR_OK ? len : 0);
}

/* The next entry; false at the end, or with err set. Its views hold until the next call. */
static bool walk_next(struct walk *w, struct envelope_entry *out)
{
    for (int num_loads = 0; w->err == ERR_OK && w->at < w->meta.envelope_len; num_loads++) {
        size_t len_before = w->in.len;
        enum err err = envelope_read(&w->in, out);
        if (err == ERR_OK) {
            w->at += len_before - w->in.len;
            return true;
        }
        if (err != ERR_AGAIN || num_loads > 0) {
            w->err = ERR_DAMAGED;
            return false;
        }
        walk_load(w);
    }
    return false;
}

static void put_address(struct buf *out, const char *before, struct slice address)
{
    buf_put_string(out, before);
    buf_put_string(out, "<");
    text_put_escaped(out, address, ADDRESS_SHOWN_MAX);
    buf_put_string(out, ">");
}

static void put_number(struct buf *out, const char *before, uint64_t value, const char *after)
{
    buf_put_string(out, before);
    text_put_u64(out, value);
    buf_put_string(out, after);
}

/* "ID STATE, age AGE, next try in TIME, reason REASON, N bytes, from <SENDER>" */
static void put_message(struct buf *out, const struct queue_info *info, struct walk *w)
{
    struct envelope_entry entry;
    spool_id_put(out, info->id);
    buf_put_string(out, " ");
    buf_put_string(out, info->is_removed ? "removed" : queue_state_name(info->state));
    buf_put_string(out, ", age ");
    conf_report_time(out, info->age_s);
    if (info->state == QUEUE_STATE_WAITING) {
        buf_put_string(out, ", next try in ");
        conf_report_time(out, info->due_s);
    }
    if (info->why != NULL) {
        buf_put_string(out, ", reason ");
        buf_put_string(out, info->why);
    }
    put_number(out, ", ", w->meta.total_len - w->meta.envelope_len, " bytes");
    while (walk_next(w, &entry)) {
        if (entry.kind == ENVELOPE_SENDER) {
            put_address(out, ", from ", entry.sender);
            break;
        }
    }
    buf_put_string(out, "\n");
}

static void put_waiting_rcpts(struct mta *m, struct buf *out, struct walk *w)
{
    struct envelope_entry entry;
    uint32_t index = 0, num = 0;
    while (walk_next(w, &entry)) {
        if (entry.kind != ENVELOPE_RCPT || spool_is_final(m->spool, w->id, index++)) {
            continue;
        }
        if (num++ < LISTED_RCPTS_MAX) {
            put_address(out, "    to ", entry.rcpt.address);
            buf_put_string(out, "\n");
        }
    }
    if (num > LISTED_RCPTS_MAX) {
        put_number(out, "    and ", num - LISTED_RCPTS_MAX, " more recipients\n");
    }
}

static struct buf text_scratch(struct mta *m)
{
    return buf_make(m->scratch + ENVELOPE_PIECE_LEN, BUDGET_SCRATCH_LEN - ENVELOPE_PIECE_LEN);
}

/* The messages that wait, each with the recipients that it still has. cursor: of queue_each. */
static enum err list(struct mta *m, struct control_conn *c)
{
    struct queue_info info;
    struct walk w;
    uint32_t cursor = (uint32_t)c->cursor;
    for (int i = 0; i < MESSAGES_PER_PIECE && buf_room(&c->reply) >= LISTED_LEN_MAX; i++) {
        struct buf text = text_scratch(m);
        if (!queue_each(&m->queue, &cursor, &info)) {
            put_number(&text, "messages: ", queue_num_messages(&m->queue), "\n");
            c->is_complete = true;
        } else {
            walk_begin(&w, m, info.id, 0);
            put_message(&text, &info, &w);
            put_waiting_rcpts(m, &text, &w);
        }
        control_put_answer(&c->reply, buf_slice(&text));
        if (c->is_complete) {
            break;
        }
    }
    c->cursor = cursor;
    return ERR_OK;
}

static void put_more_of_message(struct mta *m, struct buf *out, struct walk *w)
{
    struct envelope_entry entry;
    put_number(out, "recipients: ", w->meta.num_rcpts, "\n");
    if (w->meta.received_s != 0) {
        buf_put_string(out, "received: ");
        text_put_time(out, w->meta.received_s);
        buf_put_string(out, "\n");
    }
    walk_begin(w, m, w->id, 0);
    while (walk_next(w, &entry) && entry.kind != ENVELOPE_RCPT) {
        if (entry.kind == ENVELOPE_PARAMS && entry.params.login.len > 0) {
            buf_put_string(out, "handed in by: ");
            text_put_escaped(out, entry.params.login, ADDRESS_SHOWN_MAX);
            buf_put_string(out, "\n");
        }
        if (entry.kind == ENVELOPE_PARAMS && entry.params.envid.len > 0) {
            buf_put_string(out, "envelope id: ");
            text_put_escaped(out, entry.params.envid, ADDRESS_SHOWN_MAX);
            buf_put_string(out, "\n");
        }
    }
}

/* One message, then all of its recipients. cursor: 0, or the place of the next entry and, above
 * that, the number of the next recipient. */
static enum err show(struct mta *m, struct control_conn *c, uint64_t id)
{
    struct queue_info info;
    struct envelope_entry entry;
    struct walk w;
    struct buf text = text_scratch(m);
    enum err err = queue_find(&m->queue, id, &info);
    uint32_t index = (uint32_t)(c->cursor >> 32);
    if (err != ERR_OK) {
        return err;
    }
    walk_begin(&w, m, id, c->cursor & UINT32_MAX);
    if (c->cursor == 0) {
        put_message(&text, &info, &w);
        put_more_of_message(m, &text, &w);
        walk_begin(&w, m, id, 0);
    }
    for (int i = 0; i < LISTED_RCPTS_MAX && walk_next(&w, &entry); i++) {
        if (entry.kind == ENVELOPE_RCPT) {
            put_address(&text, "to ", entry.rcpt.address);
            if (entry.rcpt.user.len > 0) {
                buf_put_string(&text, ", mailbox ");
                text_put_escaped(&text, entry.rcpt.user, ADDRESS_SHOWN_MAX);
            }
            bool is_final = spool_is_final(m->spool, id, index++);
            buf_put_string(&text, is_final ? ": done\n" : ": waiting\n");
        }
    }
    control_put_answer(&c->reply, buf_slice(&text));
    c->cursor = w.at | (uint64_t)index << 32;
    c->is_complete = w.at >= w.meta.envelope_len;
    return w.err;
}

static enum err change(struct mta *m, struct slice verb, uint64_t id, bool with_report)
{
    if (slice_equal(verb, SLICE_LITERAL("hold"))) {
        return queue_hold(&m->queue, id);
    }
    if (slice_equal(verb, SLICE_LITERAL("release"))) {
        return queue_release(&m->queue, id);
    }
    if (slice_equal(verb, SLICE_LITERAL("retry"))) {
        return queue_retry_now(&m->queue, id);
    }
    if (slice_equal(verb, SLICE_LITERAL("remove"))) {
        return queue_remove(&m->queue, id, with_report);
    }
    return ERR_MALFORMED;
}

/* With the id, as a command asks for one message after the other. */
static void explain(struct control_conn *c, struct slice id, enum err err)
{
    uint8_t bytes[4 * ID_SHOWN_MAX + 64];
    struct buf b = buf_make(bytes, sizeof bytes);
    const char *text = err == ERR_ABSENT        ? "there is no such message in the queue"
                       : err == ERR_EXISTS      ? "it is held already"
                       : err == ERR_WRONG_STATE ? "it is not in the right state: see queue show"
                       : err == ERR_FULL        ? "too many messages are held"
                                                : NULL;
    if (text != NULL) {
        text_put_escaped(&b, id, ID_SHOWN_MAX);
        buf_put_string(&b, ": ");
        buf_put_string(&b, text);
        control_put_complaint(&c->reply, buf_slice(&b));
    }
}

/* "queue list", "queue show ID", "queue hold|release|retry|remove ID", "queue remove ID report" */
enum err control_queue(struct mta *m, struct control_conn *c)
{
    const struct slice *words = c->request.words;
    uint32_t num = c->request.num_words;
    uint64_t id;
    enum err err = ERR_MALFORMED;
    if (num == 2 && slice_equal(words[1], SLICE_LITERAL("list"))) {
        return list(m, c);
    }
    bool with_report = num == 4 && slice_equal(words[3], SLICE_LITERAL("report")) &&
                       slice_equal(words[1], SLICE_LITERAL("remove"));
    if (num != 3 && !with_report) {
        return ERR_MALFORMED;
    }
    if (!spool_id_parse(words[2], &id)) {
        err = ERR_ABSENT;
    } else if (slice_equal(words[1], SLICE_LITERAL("show"))) {
        err = show(m, c, id);
    } else {
        err = change(m, words[1], id, with_report);
        c->is_complete = true;
    }
    explain(c, words[2], err);
    return err;
}

enum err control_flush(struct mta *m, struct control_conn *c)
{
    uint8_t bytes[64];
    struct buf text = buf_make(bytes, sizeof bytes);
    if (c->request.num_words != 1) {
        return ERR_MALFORMED;
    }
    put_number(&text, "to be tried now: ", queue_flush(&m->queue), "\n");
    control_put_answer(&c->reply, buf_slice(&text));
    c->is_complete = true;
    return ERR_OK;
}

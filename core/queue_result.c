/* How a recipient fared: the count, the log line, the outcome, and what a report will need of it.
 * Called by the jobs when they end, and by rounds. */
#include "queue_inside.h"

#include "text.h"

/* --- Words --- */

void queue_log(struct queue *q, enum log_level level, struct log_line *line)
{
    q->env.port->log.line(q->env.port->log.ctx, level, log_end(line));
}

static void log_result(struct queue *q, const struct queue_round *r,
                       const struct queue_result *result, const char *word)
{
    bool is_good = result->reason == NULL;
    struct log_line line;
    log_begin(&line, "delivery");
    spool_id_log(&line, "id", r->id);
    log_u64(&line, "rcpt", result->rcpt_index);
    if (result->user.len != 0) {
        log_slice(&line, "user", result->user);
    }
    log_word(&line, "result", word);
    if (!is_good) {
        log_word(&line, "reason", result->reason);
        log_u64(&line, "age", r->age_s);
        queue_entry_of(q, r)->why = result->reason;
    }
    if (result->host.len != 0) {
        log_peer_text(&line, "host", result->host);
    }
    if (result->address.len != 0) {
        log_peer_text(&line, "to", result->address);
    }
    if (result->text.len != 0) { /* a Maildir's file name, or words of a peer */
        log_peer_text(&line,
                      result->is_peers_reply ? "reply"
                      : is_good              ? "file"
                                             : "text",
                      result->text);
    }
    queue_log(q, is_good ? LOG_INFO : LOG_WARNING, &line);
}

struct slice queue_domain_of(struct slice address)
{
    struct slice local, domain;
    text_cut_last(address, '@', &local, &domain);
    return domain;
}

/* --- What is collected --- */

static size_t copy(uint8_t *into, size_t cap, struct slice from)
{
    size_t len = from.len < cap ? from.len : cap;
    if (len != 0) {
        memcpy(into, from.ptr, len);
    }
    return len;
}

/* False: there is no memory for it now. */
static bool collect(struct queue *q, struct queue_round *r, const struct queue_result *result,
                    enum dsn_action action, uint8_t code)
{
    struct queue_item *item = pool_take(&q->items);
    if (item == NULL) {
        return false;
    }
    struct slice text = result->text;
    if (text.len == 0 && result->reason != NULL) {
        text = slice_of_string(result->reason);
    }
    item->envelope_at = result->envelope_at;
    item->rcpt_index = result->rcpt_index;
    item->code = code;
    item->action = (uint8_t)action;
    item->is_peers_reply = result->is_peers_reply;
    memcpy(item->status, result->status, sizeof item->status);
    item->text_len = (uint16_t)copy(item->text, sizeof item->text, text);
    item->host_len = (uint8_t)copy(item->host, sizeof item->host, result->host);
    *(r->items_last == NULL ? &r->items_first : &r->items_last->next) = item;
    r->items_last = item;
    return true;
}

void queue_drop_item(struct queue *q, struct queue_round *r)
{
    struct queue_item *item = r->items_first;
    r->items_first = item->next;
    if (r->items_first == NULL) {
        r->items_last = NULL;
    }
    pool_give(&q->items, item);
}

bool queue_record_item(struct queue *q, struct queue_round *r)
{
    const struct queue_item *item = r->items_first;
    if (item->code == 0) {
        queue_drop_item(q, r);
        return true;
    }
    if (spool_reserve_outcome(q->env.spool) != ERR_OK) {
        return false;
    }
    if (spool_outcome(q->env.spool, r->id, item->rcpt_index, item->code) != ERR_OK) {
        spool_release_outcome(q->env.spool);
        r->num_deferred++;
    }
    queue_drop_item(q, r);
    return true;
}

/* --- Results --- */

void queue_delivered(struct queue *q, struct queue_round *r, const struct queue_result *result,
                     enum queue_code code, bool is_ours_to_report, uint8_t notify)
{
    enum err err = spool_outcome(q->env.spool, r->id, result->rcpt_index, (uint16_t)code);
    if (err != ERR_OK) {
        struct queue_result failed = *result;
        spool_release_outcome(q->env.spool);
        failed.reason = err_name(err);
        r->num_deferred++;
        log_result(q, r, &failed, "deferred");
        return;
    }
    q->counts.num_delivered++;
    log_result(q, r, result, code == QUEUE_RELAYED ? "relayed" : "delivered");
    if (is_ours_to_report && (notify & ENVELOPE_SUCCESS) != 0 && r->sender.len != 0) {
        struct queue_result report = *result;
        report.text = slice_make(NULL, 0);
        collect(q, r, &report, code == QUEUE_RELAYED ? DSN_RELAYED : DSN_DELIVERED, 0);
    }
}

static void give_up(struct queue *q, struct queue_round *r, const struct queue_result *result,
                    const char *word, enum queue_code code)
{
    bool is_collected = collect(q, r, result, DSN_FAILED, (uint8_t)code);
    r->num_deferred += !is_collected; /* it will fail once more, when there is memory for it */
    log_result(q, r, result, is_collected ? word : "deferred");
}

void queue_failed(struct queue *q, struct queue_round *r, const struct queue_result *result,
                  enum queue_code code)
{
    static const char *const words[] = {
        [QUEUE_FAILED] = "failed",
        [QUEUE_DISCARDED] = "discarded",
        [QUEUE_REMOVED] = "removed",
    };
    give_up(q, r, result, words[code], code);
}

void queue_deferred(struct queue *q, struct queue_round *r, const struct queue_result *result)
{
    struct queue_result late = *result;
    if (r->is_expiring) { /* RFC 3463 3.5: delivery time expired */
        late.status[0] = 5;
        late.status[1] = 4;
        late.status[2] = 7;
        give_up(q, r, &late, "expired", QUEUE_EXPIRED);
        return;
    }
    r->num_deferred++;
    log_result(q, r, result, "deferred");
    if (r->is_warning) {
        collect(q, r, result, DSN_DELAYED, 0);
    }
}

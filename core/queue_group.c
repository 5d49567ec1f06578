/* Deliveries to other machines: a group of recipients of one message and one destination is a job
 * of deliver_smtp. Called by rounds and by the step.
 *
 * What a destination says to a group:
 *   yes       the job starts; one more message that this destination blocked is woken
 *   full      the recipients are blocked: their round goes on with other destinations, and then the
 *             message waits to be woken when a job has ended or a connection has left, or for its
 *             time; its age over, it is given one more wait, and expires behind that
 *   back off  the recipients are deferred without a try; those that it blocked are woken, one by
 *             one, to find the same
 * So nothing is asked again before something has changed, and no round waits for a destination that
 * it does not hold a job of.
 *
 * A job's outcomes are recorded as fast as the spool reserves space for them, one job after the
 * other; one is reserved from the start. */
#include "budget.h"
#include "queue_inside.h"
#include "route.h"

/* What route_address makes stands behind what the round has read. */
#define ROOM_AT (ENVELOPE_ENTRY_MAX + QUEUE_PIECE_LEN)
_Static_assert(ROOM_AT + ROUTE_ROOM_LEN <= BUDGET_PIECE_LEN, "scratch is that long");

#define LOOK_AHEAD 256 /* entries of the envelope that are searched for more of the group */

struct destination {
    const struct route_item *route;
    struct slice domain;
    uint8_t domain_bytes[ADDRESS_DOMAIN_MAX];
};

/* The domain alone, or the item of the options that serves many. */
static uint32_t hash_of(const struct queue *q, const struct destination *d)
{
    uint32_t hash = UINT32_C(2166136261);
    if (d->route->kind != ROUTE_TO_MX) {
        return (hash ^ (uint32_t)(d->route - q->conf->route_list.items)) * UINT32_C(16777619);
    }
    for (size_t i = 0; i < d->domain.len; i++) {
        hash = (hash ^ text_lower(d->domain.ptr[i])) * UINT32_C(16777619);
    }
    return hash | 1;
}

static bool goes_there(const struct queue *q, const struct destination *d,
                       const struct envelope_rcpt *rcpt)
{
    struct slice domain = queue_domain_of(rcpt->address);
    return rcpt->user.len == 0 && route_find(q->conf, domain) == d->route &&
           (d->route->kind != ROUTE_TO_MX || text_equal_nocase(domain, d->domain));
}

/* The first recipient, and those behind it that go the same way, into q->group. */
static uint32_t gather(struct queue *q, struct queue_round *r, uint64_t at,
                       const struct destination *d, struct buf scratch)
{
    uint32_t num = 0, index = r->rcpt_index;
    for (uint32_t i = 0; i < LOOK_AHEAD && num < SMTP_JOB_RCPTS_MAX; i++) {
        struct envelope_entry entry;
        uint64_t begin_at = at;
        if (queue_read_entry(q, r, &at, scratch, &entry) != ERR_OK) {
            break; /* the walk will meet it */
        }
        q->counts.num_ops++;
        if (entry.kind != ENVELOPE_RCPT) {
            continue;
        }
        if (!queue_is_taken(r, index) && !spool_is_final(q->env.spool, r->id, index) &&
            goes_there(q, d, &entry.rcpt)) {
            q->group[num++] =
                (struct smtp_rcpt){.envelope_offset = (uint32_t)begin_at, .index = index};
        }
        index++;
    }
    return num;
}

/* Only with a reserved outcome. */
static bool start(struct queue *q, struct queue_round *r, uint64_t at, const struct destination *d,
                  struct buf scratch)
{
    struct smtp_order order = {
        .id = r->id,
        .envelope_len = r->meta.envelope_len,
        .end_offset = r->meta.total_len,
        .route = d->route,
        .domain = d->domain,
        .is_8bit = (r->meta.flags & ENVELOPE_CONTENT_8BIT) != 0,
        .is_smtputf8 = (r->params_flags & ENVELOPE_SMTPUTF8) != 0,
        .envid = r->envid,
        .sender = r->sender,
        .num_rcpts = gather(q, r, at, d, scratch),
        .rcpts = q->group,
        .owner_tag = (uint64_t)(r - q->rounds),
    };
    if ((r->params_flags & ENVELOPE_RET_FULL) != 0) {
        order.ret = SMTP_RET_FULL;
    } else if ((r->params_flags & ENVELOPE_RET_HDRS) != 0) {
        order.ret = SMTP_RET_HDRS;
    }
    if (order.num_rcpts == 0 || q->env.remote->start(q->env.smtp, &order, q->now_ms) == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < order.num_rcpts; i++) {
        queue_set_taken(r, q->group[i].index);
    }
    r->num_jobs++;
    r->num_started++;
    q->num_remote++;
    return true;
}

/* Without a try. code: 0 if it is deferred. */
static void end_rcpt(struct queue *q, struct queue_round *r, uint64_t at, struct slice address,
                     const struct deliver_reason_row *why, enum queue_code code)
{
    struct queue_result result = {.envelope_at = at,
                                  .rcpt_index = r->rcpt_index,
                                  .address = address,
                                  .status = {why->status[0], why->status[1], why->status[2]},
                                  .reason = why->name,
                                  .text = slice_of_string(why->sentence)};
    queue_set_taken(r, r->rcpt_index);
    if (code == 0) {
        queue_deferred(q, r, &result);
    } else {
        queue_failed(q, r, &result, code);
    }
}

static void block(struct queue_round *r, uint32_t hash)
{
    if (r->num_blocked++ == 0) {
        r->blocked_hash = hash;
    }
}

/* It was for another machine when it came, and the options have changed: its user's now. */
static bool start_here(struct queue *q, struct queue_round *r, uint64_t at, struct slice address,
                       struct buf scratch)
{
    static const struct deliver_reason_row no_user[] = {
        {"no-user", "There is no such user.", {4, 1, 1}},
        {"no-user", "There is no such user.", {5, 1, 1}}};
    struct address a;
    struct route_result result;
    struct buf room = buf_make(scratch.ptr + ROOM_AT, ROUTE_ROOM_LEN);
    bool is_one = address_parse(address, &a) == ADDRESS_OK &&
                  route_address(q->conf, &a, true, room, &result) == ROUTE_LOCAL &&
                  result.num_targets == 1 && result.targets[0].user.len != 0;
    if (!is_one) { /* nobody looked for one before it was taken in: that is told now */
        bool is_final = (r->meta.flags & ENVELOPE_UNCHECKED) != 0;
        end_rcpt(q, r, at, address, &no_user[is_final], is_final ? QUEUE_FAILED : 0);
        return true;
    }
    struct envelope_rcpt rcpt = {.user = result.targets[0].user,
                                 .address = result.targets[0].address};
    return queue_round_start_mail(q, r, at, &rcpt);
}

bool queue_group_start(struct queue *q, struct queue_round *r, uint64_t envelope_at,
                       struct slice address, struct buf scratch)
{
    static const struct deliver_reason_row busy = {
        "busy", "Too much other mail is under way.", {4, 4, 5}};
    static const struct deliver_reason_row no_route = {
        "no-route", "There is no route to this domain.", {5, 4, 4}};
    static const struct deliver_reason_row nowhere = {
        "discard-with-bounce", "Mail for this domain is not delivered.", {5, 7, 1}};
    struct destination d;
    struct slice domain = queue_domain_of(address);
    const struct deliver_reason_row *why = &busy;
    d.domain = slice_make(d.domain_bytes,
                          domain.len < sizeof d.domain_bytes ? domain.len : sizeof d.domain_bytes);
    if (domain.len != 0) {
        memcpy(d.domain_bytes, domain.ptr, d.domain.len);
    }
    d.route = route_find(q->conf, d.domain);
    if (d.route == NULL || d.route->kind == ROUTE_TO_NOWHERE) {
        end_rcpt(q, r, envelope_at, address, d.route == NULL ? &no_route : &nowhere,
                 d.route == NULL ? QUEUE_FAILED : QUEUE_DISCARDED);
        return true;
    }
    if (d.route->kind == ROUTE_TO_MAILDIR) {
        return start_here(q, r, envelope_at, address, scratch);
    }
    uint32_t hash = hash_of(q, &d);
    if (r->only_dest != QUEUE_NO_DEST && q->dest_hashes[r->only_dest] != hash) {
        r->num_deferred++; /* not due yet */
        return true;
    }
    r->has_met_dest = true;
    enum deliver_smtp_may may =
        q->env.remote->may_start(q->env.smtp, d.route, d.domain, q->now_ms, &why);
    if (may == DELIVER_SMTP_FULL) {
        /* To a server that comes back just in time, or once what was held is released, all goes at
         * once that waits for it. */
        if (r->is_expiring ? r->is_overdue : r->is_warning) { /* that is as good as deferred */
            end_rcpt(q, r, envelope_at, address, why, 0);
        }
        block(r, hash);
        return true;
    }
    if (may == DELIVER_SMTP_BACK_OFF) {
        queue_wake(q, hash);
        end_rcpt(q, r, envelope_at, address, why, 0);
        return true;
    }
    if (spool_reserve_outcome(q->env.spool) != ERR_OK) {
        return false;
    }
    if (start(q, r, envelope_at, &d, scratch)) {
        queue_wake(q, hash);
    } else {
        spool_release_outcome(q->env.spool);
        block(r, hash);
    }
    return true;
}

/* --- The end of a job --- */

/* False: not now. */
static bool take_result(struct queue *q, struct queue_round *r, const struct smtp_rcpt *rcpt,
                        struct buf scratch)
{
    struct queue_result result = {
        .envelope_at = rcpt->envelope_offset,
        .rcpt_index = rcpt->index,
        .status = {rcpt->status[0], rcpt->status[1], rcpt->status[2]},
        .is_peers_reply = rcpt->reply_code != 0,
        .text = smtp_rcpt_text(q->ended, rcpt),
        .host = q->ended->host,
    };
    bool is_delivered = rcpt->result == SMTP_RCPT_DELIVERED;
    if (is_delivered && !q->ended_is_reserved && spool_reserve_outcome(q->env.spool) != ERR_OK) {
        return false;
    }
    uint8_t notify;
    result.address = queue_read_address(q, r, rcpt->envelope_offset, scratch, &notify);
    if (is_delivered) {
        q->ended_is_reserved = false;
        queue_delivered(q, r, &result, rcpt->is_in_mailbox ? QUEUE_DELIVERED : QUEUE_RELAYED,
                        rcpt->is_in_mailbox || rcpt->is_relayed_without_dsn, notify);
        return true;
    }
    result.reason = rcpt->reply_code != 0 || q->ended->reason == NULL ? "reply" : q->ended->reason;
    if (rcpt->result == SMTP_RCPT_FAILED) {
        queue_failed(q, r, &result, QUEUE_FAILED);
    } else {
        queue_deferred(q, r, &result);
    }
    return true;
}

size_t queue_group_turn(struct queue *q, struct buf scratch)
{
    if (q->ended == NULL) {
        q->ended = q->env.remote->ended(q->env.smtp);
        if (q->ended == NULL) {
            return 0;
        }
        q->ended_at = 0;
        q->ended_is_reserved = true;
    }
    struct queue_round *r = &q->rounds[q->ended->owner_tag];
    while (q->ended_at < q->ended->num_rcpts) {
        if (!take_result(q, r, &q->ended->rcpts[q->ended_at], scratch)) {
            return 0; /* what brings another turn: see queue_mail_start */
        }
        q->ended_at++;
        q->counts.num_ops++;
    }
    if (q->ended_is_reserved) {
        spool_release_outcome(q->env.spool);
    }
    q->env.remote->give(q->env.smtp, q->ended);
    q->ended = NULL;
    q->num_remote--;
    r->num_jobs--;
    queue_wake_each(q);
    return 1;
}

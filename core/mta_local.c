/* People of this machine, at the submit socket: who each is, how many connections a user may have,
 * and as whom a user may send. */
#include "conf_parse.h"
#include "mta_inside.h"
#include "outbox.h"

#define NAME_CAP 64

/* Those who have no plain name are called by their number. */
void local_name_user(struct port_user *user)
{
    struct buf name = buf_make(user->name, sizeof user->name);
    if (user->name[0] == '\0') {
        buf_put_string(&name, "uid-");
        text_put_u64(&name, user->uid);
        buf_end_string(&name);
    }
}

static uint32_t num_of_user(const struct mta *m, uint32_t uid)
{
    uint32_t num = 0, cursor = 0;
    const struct port_user *user;
    while ((user = pool_each(&m->locals, &cursor)) != NULL) {
        num += user->uid == uid;
    }
    return num;
}

enum err local_admit(struct mta *m, uint32_t handle, struct port_user *out_who,
                     struct port_user **out)
{
    enum err err = m->port->net.peer_user(m->port->net.ctx, out_who, handle);
    if (err != ERR_OK) {
        return err;
    }
    if (num_of_user(m, out_who->uid) >= BUDGET_LOCALS / 2) {
        return ERR_NOT_ALLOWED;
    }
    *out = pool_take(&m->locals);
    if (*out == NULL) {
        return ERR_BUSY;
    }
    local_name_user(out_who);
    **out = *out_who;
    return ERR_OK;
}

static bool is_trusted(const struct mta *m, const struct port_user *user)
{
    uint8_t bytes[NAME_CAP];
    struct buf item = buf_make(bytes, sizeof bytes);
    struct conf_list list = conf_list_begin(slice_of_string(m->site->conf.trusted_users));
    if (user->uid == 0) {
        return true;
    }
    while (conf_list_next(&list, &item)) {
        struct slice one = buf_slice(&item);
        uint64_t uid;
        if (!item.overflow && (slice_equal(one, slice_of_string(user->name)) ||
                               (text_parse_u64(one, UINT32_MAX, &uid) && uid == user->uid))) {
            return true;
        }
    }
    return false;
}

bool local_may_send_as(const struct mta *m, const struct port_user *user,
                       const struct address *sender)
{
    const struct conf *conf = &m->site->conf;
    uint8_t bytes[ADDRESS_LOCAL_MAX];
    struct buf local = buf_make(bytes, sizeof bytes);
    if (slice_is_empty(sender->text) || is_trusted(m, user) || BROKEN(SENDER_OF_ANYBODY)) {
        return true;
    }
    return address_put_local(&local, sender) &&
           text_equal_nocase(buf_slice(&local), slice_of_string(user->name)) &&
           (text_equal_nocase(sender->domain, conf->primary_hostname) ||
            domainlist_match(&conf->local_domains, sender->domain));
}

static uint64_t rate_key_of(const struct mta *m, uint32_t uid)
{
    return rate_key(&m->rates, RATE_LOCAL_MESSAGES, slice_make(&uid, sizeof uid));
}

bool local_count(struct mta *m, const struct port_user *user)
{
    return is_trusted(m, user) ||
           submission_count(m, rate_key_of(m, user->uid), m->site->conf.submit_rate);
}

bool local_may_hand_in(const void *arg, uint32_t uid, uint64_t mark)
{
    const struct mta *m = arg;
    uint32_t per_hour = m->site->conf.submit_rate;
    if (mark >= OUTBOX_REFUSED) {
        return false;
    }
    return per_hour == 0 || (mark != 0 && spool_holds(m->spool, mark)) ||
           rate_level(&m->rates, rate_key_of(m, uid), per_hour, m->now_ms) < per_hour;
}

void local_put_login(struct buf *out, const struct port_user *user)
{
    buf_put_string(out, "uid:");
    text_put_u64(out, user->uid);
}

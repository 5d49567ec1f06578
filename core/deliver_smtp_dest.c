/* Destinations: who they are, and how they have fared. See deliver_smtp_inside.h. */
#include "deliver_smtp_inside.h"

/* Or retry_min, if that is more; but no message is given up without a try in its time. */
#define BACKOFF_MAX_MS (15u * 60 * 1000)
#define FULL_MS        (60u * 60 * 1000) /* before it is asked again for one more connection */

enum host_flag { HOST_IMPLICIT_TLS = 1, HOST_SOCKET = 2 };

static bool put_hosts(struct buf *b, const struct route_item *route)
{
    for (uint32_t i = 0; i < route->num_hosts; i++) {
        const struct route_host *h = &route->hosts[i];
        buf_put_be(b, 2, h->port);
        buf_put_u8(b, (uint8_t)((h->implicit_tls ? HOST_IMPLICIT_TLS : 0) |
                                (h->is_socket ? HOST_SOCKET : 0)));
        buf_put_u8(b, (uint8_t)h->name.len);
        buf_put(b, h->name);
        buf_put_u8(b, 0);
        if (h->name.len > UINT8_MAX) {
            return false;
        }
    }
    return !b->overflow;
}

bool remote_key_make(struct remote_key *key, const struct route_item *route, struct slice domain)
{
    struct buf b = buf_make(key->bytes, sizeof key->bytes);
    bool fits = true;
    switch (route->kind) {
    case ROUTE_TO_MX:
        buf_put_u8(&b, 'M');
        for (size_t i = 0; i < domain.len; i++) {
            buf_put_u8(&b, text_lower(domain.ptr[i]));
        }
        fits = domain.len != 0 && !b.overflow;
        break;
    case ROUTE_TO_LMTP:
    case ROUTE_TO_SMTP:
        buf_put_u8(&b, route->kind == ROUTE_TO_LMTP ? 'L' : 'S');
        fits = put_hosts(&b, route);
        break;
    case ROUTE_TO_MAILDIR:
    case ROUTE_TO_NOWHERE:
        return false;
    }
    key->len = (uint16_t)b.len;
    return fits;
}

/* FNV-1a. Two keys with one hash are compared byte by byte, so nothing depends on it but speed. */
static uint32_t hash_of(const struct remote_key *key)
{
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < key->len; i++) {
        hash = (hash ^ key->bytes[i]) * 16777619u;
    }
    return hash;
}

struct remote_dest *remote_dest_find(const struct deliver_smtp *d, const struct remote_key *key)
{
    uint32_t cursor = 0, hash = hash_of(key);
    struct remote_dest *dest;
    while ((dest = pool_each(&d->dests, &cursor)) != NULL) {
        if (dest->hash == hash && dest->key.len == key->len &&
            memcmp(dest->key.bytes, key->bytes, key->len) == 0) {
            return dest;
        }
    }
    return NULL;
}

/* The one without connections that was used longest ago. */
static struct remote_dest *oldest(const struct deliver_smtp *d)
{
    uint32_t cursor = 0;
    struct remote_dest *dest, *found = NULL;
    while ((dest = pool_each(&d->dests, &cursor)) != NULL) {
        if (dest->num_conns == 0 && (found == NULL || dest->used_ms < found->used_ms)) {
            found = dest;
        }
    }
    return found;
}

struct remote_dest *remote_dest_take(struct deliver_smtp *d, const struct remote_key *key)
{
    struct remote_dest *dest = remote_dest_find(d, key);
    if (dest != NULL) {
        return dest;
    }
    if (d->dests.num_used == d->dests.num_items) {
        pool_give(&d->dests, oldest(d));
    }
    dest = pool_take(&d->dests);
    if (dest != NULL) {
        dest->key.len = key->len;
        memcpy(dest->key.bytes, key->bytes, key->len);
        dest->hash = hash_of(key);
    }
    return dest;
}

bool remote_dest_is_mx(const struct remote_dest *dest)
{
    return dest->key.bytes[0] == 'M';
}

bool remote_dest_is_lmtp(const struct remote_dest *dest)
{
    return dest->key.bytes[0] == 'L';
}

struct slice remote_dest_domain(const struct remote_dest *dest)
{
    return slice_make(dest->key.bytes + 1, dest->key.len - 1u);
}

bool remote_dest_host(const struct remote_dest *dest, uint32_t index, struct remote_host *out)
{
    struct slice in = slice_make(dest->key.bytes, dest->key.len);
    uint8_t flags, len;
    slice_skip(&in, 1);
    do {
        if (!slice_be16(&in, &out->port) || !slice_u8(&in, &flags) || !slice_u8(&in, &len) ||
            !slice_take(&in, len, &out->name) || !slice_skip(&in, 1)) {
            return false;
        }
    } while (index-- != 0);
    out->implicit_tls = (flags & HOST_IMPLICIT_TLS) != 0;
    out->is_socket = (flags & HOST_SOCKET) != 0;
    return true;
}

void remote_dest_failed(struct deliver_smtp *d, struct remote_dest *dest, enum deliver_reason why)
{
    const struct conf *conf = d->env.conf;
    uint64_t most_ms = conf->retry_min_ms > BACKOFF_MAX_MS ? conf->retry_min_ms : BACKOFF_MAX_MS;
    uint64_t delay_ms = conf->retry_min_ms;
    most_ms = most_ms < conf->retry_give_up_ms ? most_ms : conf->retry_give_up_ms;
    if (dest->num_failures != 0 && d->now.now_ms < dest->until_ms) {
        return; /* it was under way when another one failed: the same failure */
    }
    for (uint32_t i = 0; i < dest->num_failures && delay_ms < most_ms; i++) {
        delay_ms *= 2;
    }
    dest->num_failures++;
    dest->reason = (uint8_t)why;
    dest->until_ms = d->now.now_ms + (delay_ms < most_ms ? delay_ms : most_ms);
}

/* Whether another connection is served there. */
static bool is_served(const struct deliver_smtp *d, const struct remote_conn *c)
{
    uint32_t cursor = 0;
    const struct remote_conn *other;
    while ((other = pool_each(&d->conns, &cursor)) != NULL) {
        if (other != c && other->dest == c->dest && other->phase == REMOTE_SESSION &&
            other->client.state >= SMTP_CLIENT_STATE_READY &&
            other->client.state < SMTP_CLIENT_STATE_QUIT) {
            return true;
        }
    }
    return false;
}

bool remote_dest_is_full(struct deliver_smtp *d, const struct remote_conn *c)
{
    bool is_full = is_served(d, c);
    if (is_full) {
        c->dest->most_conns = c->dest->num_conns - 1;
        c->dest->until_ms = d->now.now_ms + FULL_MS;
    }
    return is_full;
}

void deliver_smtp_forget_failures(struct deliver_smtp *d)
{
    uint32_t cursor = 0;
    struct remote_dest *dest;
    while ((dest = pool_each(&d->dests, &cursor)) != NULL) {
        dest->num_failures = dest->most_conns = 0;
    }
    d->num_left++; /* whoever found no room may find some now, perhaps elsewhere */
}

/* One that has failed gets a single connection to try it with. */
uint32_t remote_dest_limit(const struct deliver_smtp *d, const struct remote_dest *dest)
{
    uint32_t most = d->env.conf->destination_concurrency;
    if (dest->num_failures != 0) {
        return 1;
    }
    bool was_full = dest->most_conns != 0 && d->now.now_ms < dest->until_ms;
    return was_full && dest->most_conns < most ? dest->most_conns : most;
}

/* A lookup, question by question: see resolver.h. */
#include "resolver.h"

#include "teeth.h"

enum at {
    AT_ASK,  /* a query is to be sent */
    AT_WAIT, /* for its answer */
    AT_DONE
};

#define TIMEOUT_MAX_MS 30000
#define TTL_MAX_S      3600
#define NEGATIVE_TTL_S 60
#define STRANGERS_MAX  16 /* wrong answers to one query; then its id has been guessed at enough */
#define TCP_LENGTH_LEN 2

const char *lookup_result_name(enum dns_result result)
{
    switch (result) {
    case DNS_OK:
        return "ok";
    case DNS_NO_NAME:
        return "name-not-found";
    case DNS_NO_ADDRESS:
        return "name-without-address";
    case DNS_NOT_OURS:
    case DNS_MALFORMED:
    case DNS_TRUNCATED:
    case DNS_FAILED:
        break;
    }
    return "no-name-server";
}

/* --- The cache --- */

static bool is_same_name(const struct dns_name *a, const struct dns_name *b)
{
    return a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0;
}

static const struct resolver_entry *find_entry(const struct resolver_cache *cache,
                                               const struct dns_name *name, uint64_t now_ms)
{
    for (size_t i = 0; i < RESOLVER_CACHE_MAX; i++) {
        const struct resolver_entry *e = &cache->entries[i];
        if (is_same_name(&e->name, name) && now_ms < e->expires_ms) {
            return e;
        }
    }
    return NULL;
}

/* In the place of the same name, or of what expires first; free ones do so at 0. */
static void keep_result(const struct lookup *l, uint32_t ttl_s, uint64_t now_ms)
{
    struct resolver_entry *place = &l->cache->entries[0];
    for (size_t i = 0; i < RESOLVER_CACHE_MAX; i++) {
        struct resolver_entry *e = &l->cache->entries[i];
        if (is_same_name(&e->name, &l->question.name)) {
            place = e;
            break;
        }
        place = e->expires_ms < place->expires_ms ? e : place;
    }
    place->name = l->question.name;
    place->expires_ms = now_ms + UINT64_C(1000) * (ttl_s < TTL_MAX_S ? ttl_s : TTL_MAX_S);
    place->result = l->result;
    place->num_addrs = l->num_addrs;
    memcpy(place->addrs, l->addrs, sizeof place->addrs);
}

/* --- The end --- */

static void finish(struct lookup *l, enum dns_result result)
{
    l->at = AT_DONE;
    l->result = result;
    l->deadline_ms = UINT64_MAX;
}

/* IPv6 and IPv4 in turn (RFC 8305 4), so that one family that leads nowhere costs little. */
static void merge(struct lookup *l)
{
    for (size_t i = 0; i < DNS_ADDRS_MAX; i++) {
        if (i < l->v6.num_addrs && l->num_addrs < LOOKUP_ADDRS_MAX) {
            l->addrs[l->num_addrs++] = l->v6.addrs[i];
        }
        if (i < l->v4.num_addrs && l->num_addrs < LOOKUP_ADDRS_MAX) {
            l->addrs[l->num_addrs++] = l->v4.addrs[i];
        }
    }
}

/* All questions are answered, as far as they will be; failed: not every one was. */
static void conclude(struct lookup *l, bool failed, uint64_t now_ms)
{
    uint32_t ttl_s = NEGATIVE_TTL_S;
    merge(l);
    if (l->num_addrs == 0) {
        finish(l, failed ? DNS_FAILED : DNS_NO_ADDRESS);
    } else {
        finish(l, DNS_OK);
        ttl_s = UINT32_MAX;
        if (l->v4.num_addrs != 0) {
            ttl_s = l->v4.ttl_s;
        }
        if (l->v6.num_addrs != 0 && l->v6.ttl_s < ttl_s) {
            ttl_s = l->v6.ttl_s;
        }
    }
    if (!failed) {
        keep_result(l, ttl_s, now_ms);
    }
}

/* --- Asking --- */

static void ask(struct lookup *l, bool over_tcp)
{
    l->at = AT_ASK;
    l->over_tcp = over_tcp;
    l->server = l->conf->servers[l->server_index];
}

static void ask_next_question(struct lookup *l, uint64_t now_ms)
{
    if (l->question.type == DNS_AAAA) {
        conclude(l, l->has_failed, now_ms);
        return;
    }
    l->question.type = DNS_AAAA;
    l->round = 0;
    ask(l, false);
}

/* Who is silent about one family is not asked for the other. */
static void ask_next_server(struct lookup *l, uint64_t now_ms)
{
    if (++l->server_index == l->conf->num_servers) {
        l->server_index = 0;
        l->round++;
    }
    if (l->round < l->conf->attempts) {
        ask(l, false);
    } else if (l->question.type == DNS_A && now_ms < l->deadline_ms) {
        l->has_failed = true;
        ask_next_question(l, now_ms);
    } else {
        conclude(l, true, now_ms);
    }
}

static void take_answer(struct lookup *l, struct slice message, uint64_t now_ms)
{
    struct dns_answer answer;
    enum dns_result result = l->mx != NULL ? dns_parse_mx(message, &l->question, l->mx)
                                           : dns_parse_answer(message, &l->question, &answer);
    switch (result) {
    case DNS_OK:
    case DNS_NO_ADDRESS:
        if (l->mx != NULL) {
            finish(l, result);
            return;
        }
        *(l->question.type == DNS_A ? &l->v4 : &l->v6) = answer;
        ask_next_question(l, now_ms);
        return;
    case DNS_NO_NAME:
        if (l->v4.num_addrs != 0 || l->has_failed) { /* one that knows no AAAA, RFC 4074 4.2 */
            ask_next_question(l, now_ms);
            return;
        }
        finish(l, DNS_NO_NAME);
        if (l->mx == NULL) {
            keep_result(l, NEGATIVE_TTL_S, now_ms);
        }
        return;
    case DNS_TRUNCATED:
        if (!l->over_tcp) {
            ask(l, true);
            return;
        }
        break;
    case DNS_NOT_OURS:
        if (!l->over_tcp && ++l->num_strangers < STRANGERS_MAX) {
            return;
        }
        break;
    case DNS_MALFORMED:
    case DNS_FAILED:
        break;
    }
    ask_next_server(l, now_ms);
}

/* --- What others call --- */

void lookup_begin(struct lookup *l, struct slice name, struct slice hosts,
                  const struct resolv_conf *conf, struct resolver_cache *cache,
                  struct buf tcp_memory, uint64_t now_ms)
{
    *l = (struct lookup){.conf = conf, .cache = cache, .tcp = tcp_memory};
    l->question.type = DNS_A;
    if (net_addr_parse(name, &l->addrs[0])) {
        l->num_addrs = 1;
        finish(l, DNS_OK);
        return;
    }
    l->num_addrs = resolv_conf_find_host(hosts, name, l->addrs, LOOKUP_ADDRS_MAX);
    if (l->num_addrs == 0) { /* nobody is asked who this machine is (RFC 6761 6.3) */
        l->num_addrs = resolv_conf_find_host(SLICE_LITERAL("127.0.0.1 localhost\n::1 localhost\n"),
                                             name, l->addrs, LOOKUP_ADDRS_MAX);
    }
    if (l->num_addrs != 0) {
        finish(l, DNS_OK);
        return;
    }
    if (!dns_name_parse(name, &l->question.name)) {
        finish(l, DNS_NO_NAME);
        return;
    }
    const struct resolver_entry *known = find_entry(cache, &l->question.name, now_ms);
    if (known != NULL) {
        l->num_addrs = known->num_addrs;
        memcpy(l->addrs, known->addrs, sizeof l->addrs);
        finish(l, known->result);
        return;
    }
    ask(l, false);
}

void lookup_begin_mx(struct lookup *l, struct slice domain, struct dns_mx_list *mx,
                     const struct resolv_conf *conf, struct buf tcp_memory)
{
    *l = (struct lookup){.conf = conf, .tcp = tcp_memory, .mx = mx};
    l->question.type = DNS_MX;
    if (!dns_name_parse(domain, &l->question.name)) {
        finish(l, DNS_NO_NAME);
        return;
    }
    ask(l, false);
}

enum lookup_want lookup_next(struct lookup *l, uint64_t now_ms, uint16_t random_id)
{
    if (l->at == AT_WAIT && now_ms >= l->deadline_ms) {
        ask_next_server(l, now_ms);
    }
    if (l->at == AT_DONE) {
        return LOOKUP_DONE;
    }
    if (l->at == AT_WAIT) {
        return LOOKUP_WAIT;
    }
    uint64_t timeout_ms = (uint64_t)l->conf->timeout_ms << l->round;
    l->at = AT_WAIT;
    l->deadline_ms = now_ms + (timeout_ms < TIMEOUT_MAX_MS ? timeout_ms : TIMEOUT_MAX_MS);
    l->question.id = random_id;
    l->num_strangers = 0;
    l->tcp.len = 0;
    return l->over_tcp ? LOOKUP_TCP : LOOKUP_UDP;
}

bool lookup_query(const struct lookup *l, struct buf *out)
{
    uint8_t memory[DNS_QUERY_CAP];
    struct buf query = buf_make(memory, sizeof memory);
    struct buf whole = *out;
    dns_put_query(&query, &l->question);
    if (l->over_tcp) {
        buf_put_be(&whole, TCP_LENGTH_LEN, query.len);
    }
    buf_put(&whole, buf_slice(&query));
    if (whole.overflow) {
        out->overflow = true;
        return false;
    }
    *out = whole;
    return true;
}

void lookup_datagram(struct lookup *l, const struct net_addr *from, struct slice bytes,
                     uint64_t now_ms)
{
    if (l->at == AT_WAIT && !l->over_tcp &&
        ((net_addr_same_host(from, &l->server) && from->port == l->server.port) ||
         BROKEN(DNS_ANY_SERVER))) {
        take_answer(l, bytes, now_ms);
    }
}

void lookup_stream(struct lookup *l, struct slice bytes, uint64_t now_ms)
{
    uint64_t message_len;
    if (l->at != AT_WAIT || !l->over_tcp) {
        return;
    }
    size_t len = bytes.len < buf_room(&l->tcp) ? bytes.len : buf_room(&l->tcp);
    buf_put(&l->tcp, slice_make(bytes.ptr, len));
    struct slice in = buf_slice(&l->tcp), message;
    if (!slice_be(&in, TCP_LENGTH_LEN, &message_len)) {
        return;
    }
    if (slice_take(&in, (size_t)message_len, &message)) {
        take_answer(l, message, now_ms);
    } else if (buf_room(&l->tcp) == 0) {
        ask_next_server(l, now_ms);
    }
}

void lookup_broken(struct lookup *l)
{
    if (l->at == AT_WAIT) {
        l->deadline_ms = 0;
    }
}

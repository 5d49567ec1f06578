/* A lookup, and whatever name servers and strangers say to it, in any order and at any time. It
 * comes to an end, asks a bounded number of times, and believes nobody but who was asked. */
#include "resolver.h"

#include "fuzz.h"

#define ASKED_MAX  100 /* times; 5 rounds, 3 servers, 2 families, each once more over TCP */
#define ORDERS_MAX 200

struct asker {
    struct slice in;
    struct lookup l;
    struct dns_mx_list mx;
    uint64_t now_ms;
    uint32_t num_asked;
    uint16_t id;
};

static const uint8_t hosts_text[] = "192.0.2.77 here.example\n2001:db8::77 here.example\n";

/* What stands in front of an order's bytes, so that they are read: nothing, a header, a question
 * too, and a record's begin. */
static void put_front(struct buf *b, const struct asker *a, uint8_t choice)
{
    uint8_t memory[DNS_QUERY_CAP + 2];
    struct buf query = buf_make(memory, sizeof memory);
    struct slice text;
    if ((choice & 3) == 0 || !lookup_query(&a->l, &query)) {
        return;
    }
    text = buf_slice(&query);
    if (a->l.over_tcp) {
        (void)slice_skip(&text, 2);
    }
    buf_put(b, slice_make(text.ptr, 2));
    buf_put_be(b, 2, 0x8180u | ((choice & 0x10) != 0 ? 0x200u : 0) | (choice >> 5));
    buf_put_be(b, 2, 1);
    buf_put_be(b, 2, (choice & 3) == 3 ? 2 : 1);
    buf_put_be(b, 4, 0);
    buf_put(b, slice_make(text.ptr + 12, text.len - 12));
    if ((choice & 3) >= 2) {
        buf_put_be(b, 2, 0xc00c);
        buf_put(b, slice_make(text.ptr + text.len - 4, 4));
    }
}

static void say(struct asker *a, uint8_t choice)
{
    uint8_t bytes[700];
    struct slice piece;
    size_t len = fuzz_choice(&a->in);
    struct net_addr from = a->l.server;
    struct buf b = buf_make(bytes, sizeof bytes), stream;
    (void)slice_take(&a->in, len < a->in.len ? len : a->in.len, &piece);
    put_front(&b, a, choice);
    buf_put(&b, piece);
    uint8_t *copy = malloc(b.len + 3);
    stream = buf_make(copy, b.len + 2);
    if (a->l.over_tcp) {
        buf_put_be(&stream, 2, (choice & 4) != 0 ? b.len : b.len + len);
    }
    buf_put(&stream, buf_slice(&b));
    from.port = (uint16_t)(from.port + ((choice & 8) != 0));
    if (a->l.over_tcp) {
        struct slice in = buf_slice(&stream);
        uint32_t seed = choice;
        while (in.len != 0) {
            lookup_stream(&a->l, fuzz_piece(&in, &seed), a->now_ms);
        }
    } else {
        lookup_datagram(&a->l, &from, buf_slice(&stream), a->now_ms);
    }
    free(copy);
}

/* False: it is over. */
static bool obey(struct asker *a)
{
    enum lookup_want want = lookup_next(&a->l, a->now_ms, a->id);
    uint8_t memory[DNS_QUERY_CAP + 2];
    struct buf query = buf_make(memory, sizeof memory);
    a->id = (uint16_t)(a->id * 5u + 1u);
    switch (want) {
    case LOOKUP_DONE:
        return false;
    case LOOKUP_UDP:
    case LOOKUP_TCP:
        MUST(++a->num_asked <= ASKED_MAX);
        MUST(lookup_query(&a->l, &query) && a->l.server.port != 0);
        break;
    case LOOKUP_WAIT:
        MUST(a->l.deadline_ms > a->now_ms);
        break;
    }
    return true;
}

/* Nobody answers any more. */
static void wait_for_end(struct asker *a)
{
    for (unsigned i = 0; obey(a); i++) {
        MUST(i < 4 * ASKED_MAX);
        a->now_ms = a->l.deadline_ms > a->now_ms ? a->l.deadline_ms : a->now_ms;
    }
}

static void must_be_sound(const struct asker *a, bool is_mx)
{
    MUST(a->l.result == DNS_OK || a->l.result == DNS_NO_NAME || a->l.result == DNS_NO_ADDRESS ||
         a->l.result == DNS_FAILED);
    MUST(a->l.num_addrs <= LOOKUP_ADDRS_MAX);
    MUST(is_mx || (a->l.num_addrs != 0) == (a->l.result == DNS_OK));
    for (size_t i = 0; i < a->l.num_addrs; i++) {
        MUST(a->l.addrs[i].port == 0);
        MUST(a->l.addrs[i].family == NET_IPV4 || a->l.addrs[i].family == NET_IPV6);
    }
    MUST(!is_mx || a->mx.num <= DNS_MX_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const char *const names[] = {"mail.example", "here.example", "192.0.2.1", "a..b"};
    static struct asker a;
    static struct resolver_cache cache;
    uint8_t tcp_memory[2000];
    struct resolv_conf conf;
    memset(&a, 0, sizeof a);
    memset(&cache, 0, sizeof cache);
    a.in = slice_make(data, len);
    uint8_t choice = fuzz_choice(&a.in);
    bool is_mx = (choice & 4) != 0;
    resolv_conf_parse(SLICE_LITERAL("nameserver 192.0.2.53\nnameserver 2001:db8::53\n"), &conf);
    for (int i = 0; i < 2; i++) {
        struct buf tcp = buf_make(tcp_memory, (choice & 8) != 0 ? sizeof tcp_memory : 512);
        if (is_mx) {
            lookup_begin_mx(&a.l, slice_of_string(names[choice & 3]), &a.mx, &conf, tcp);
        } else {
            lookup_begin(&a.l, slice_of_string(names[choice & 3]),
                         slice_make(hosts_text, sizeof hosts_text - 1), &conf, &cache, tcp,
                         a.now_ms);
        }
        a.num_asked = 0;
        for (int k = 0; k < ORDERS_MAX && a.in.len != 0 && obey(&a); k++) {
            uint8_t order = fuzz_choice(&a.in);
            switch (order & 7) {
            case 0:
                lookup_broken(&a.l);
                break;
            case 1:
                a.now_ms += (uint64_t)fuzz_choice(&a.in) * 100;
                break;
            case 2:
                a.now_ms = a.l.deadline_ms;
                break;
            default:
                say(&a, fuzz_choice(&a.in));
            }
        }
        wait_for_end(&a);
        must_be_sound(&a, is_mx);
    }
    return 0;
}

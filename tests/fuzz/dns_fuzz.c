/* Names, and the answers of name servers. */
#include "dns.h"

#include "fuzz.h"

static void look_at_answer(struct slice message, enum dns_type type)
{
    struct dns_question q = {.id = 0x1234, .type = type};
    struct dns_answer answer;
    MUST(dns_name_parse(SLICE_LITERAL("ocsp.example"), &q.name));
    enum dns_result result = dns_parse_answer(message, &q, &answer);
    MUST(result <= DNS_FAILED);
    if (result == DNS_OK) {
        MUST(answer.num_addrs >= 1 && answer.num_addrs <= DNS_ADDRS_MAX);
        for (size_t i = 0; i < answer.num_addrs; i++) {
            MUST(answer.addrs[i].family == (type == DNS_A ? NET_IPV4 : NET_IPV6));
        }
    }
}

static void look_at_mx(struct slice message)
{
    struct dns_question q = {.id = 0x1234, .type = DNS_MX};
    struct dns_mx_list mx;
    MUST(dns_name_parse(SLICE_LITERAL("ocsp.example"), &q.name));
    enum dns_result result = dns_parse_mx(message, &q, &mx);
    MUST(mx.num <= DNS_MX_MAX && (result == DNS_OK || (mx.num == 0 && !mx.is_null)));
    for (size_t i = 0; i < mx.num; i++) {
        struct dns_name name;
        MUST(strlen(mx.hosts[i].name) == mx.hosts[i].len);
        MUST(dns_name_parse(slice_make(mx.hosts[i].name, mx.hosts[i].len), &name));
        MUST(i == 0 || mx.hosts[i - 1].preference <= mx.hosts[i].preference);
    }
}

static void look_at_name(struct slice text)
{
    struct dns_question q = {.id = 1, .type = DNS_A};
    uint8_t memory[DNS_QUERY_CAP];
    struct buf query = buf_make(memory, sizeof memory);
    if (dns_name_parse(text, &q.name)) {
        MUST(q.name.len >= 1 && q.name.bytes[q.name.len - 1] == 0);
        MUST(dns_put_query(&query, &q) && !query.overflow);
    }
}

/* The input as what stands behind a header and a question that fit, so that it is read; its first
 * byte is the number of records. In memory of its own, so that reading past it is found. */
static void look_at_records(struct slice in)
{
    static const enum dns_type types[] = {DNS_A, DNS_AAAA, DNS_MX};
    uint8_t num_records = fuzz_choice(&in);
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        struct dns_question q = {.id = 0x1234, .type = types[i]};
        size_t cap = DNS_QUERY_CAP + in.len;
        uint8_t *bytes = malloc(cap);
        struct buf message = buf_make(bytes, cap);
        MUST(dns_name_parse(SLICE_LITERAL("ocsp.example"), &q.name) && dns_put_query(&message, &q));
        bytes[2] |= 0x80;
        bytes[7] = num_records;
        MUST(buf_put(&message, in));
        uint8_t *exact = realloc(bytes, message.len);
        if (types[i] == DNS_MX) {
            look_at_mx(slice_make(exact, message.len));
        } else {
            look_at_answer(slice_make(exact, message.len), types[i]);
        }
        free(exact);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct slice in = slice_make(data, len);
    look_at_answer(in, DNS_A);
    look_at_answer(in, DNS_AAAA);
    look_at_mx(in);
    look_at_records(in);
    look_at_name(in);
    return 0;
}

/* Questions to name servers and their answers: see dns.h. */
#include "dns.h"

#include "teeth.h"
#include "text.h"

#define CLASS_IN  1
#define LABEL_MAX 63
#define JUMPS_MAX 127 /* pointers of one name: as many as it can have labels */

/* The second 16 bits of a message, RFC 1035 4.1.1. */
#define FLAG_RESPONSE  0x8000u
#define OPCODE_MASK    0x7800u
#define FLAG_AUTHORITY 0x0400u
#define FLAG_TRUNCATED 0x0200u
#define FLAG_RECURSION 0x0100u
#define FLAG_RECURSES  0x0080u
#define RCODE_MASK     0x000fu
#define RCODE_NO_NAME  3

bool dns_name_parse(struct slice text, struct dns_name *out)
{
    size_t label_at = 0; /* where the length of the current label stands */
    if (text.len != 0 && text.ptr[text.len - 1] == '.') {
        text.len--;
    }
    if (text.len == 0 || text.len > DNS_NAME_MAX - 2) {
        return false;
    }
    for (size_t i = 0; i <= text.len; i++) {
        bool ends = i == text.len || text.ptr[i] == '.';
        if (!ends) {
            out->bytes[i + 1] = text_lower(text.ptr[i]);
            continue;
        }
        size_t len = i - label_at;
        if (len == 0 || len > LABEL_MAX) {
            return false;
        }
        out->bytes[label_at] = (uint8_t)len;
        label_at = i + 1;
    }
    out->bytes[label_at] = 0;
    out->len = (uint8_t)(label_at + 1);
    return true;
}

bool dns_put_query(struct buf *b, const struct dns_question *q)
{
    struct buf whole = *b;
    buf_put_be(&whole, 2, q->id);
    buf_put_be(&whole, 2, FLAG_RECURSION);
    buf_put_be(&whole, 2, 1); /* one question, and no record of any kind */
    buf_put_be(&whole, 6, 0);
    buf_put(&whole, slice_make(q->name.bytes, q->name.len));
    buf_put_be(&whole, 2, q->type);
    buf_put_be(&whole, 2, CLASS_IN);
    if (whole.overflow) {
        b->overflow = true;
        return false;
    }
    *b = whole;
    return true;
}

/* A message, and how far it has been read. */
struct reader {
    struct slice message;
    size_t at;
};

static bool read_be(struct reader *r, size_t n, uint64_t *out)
{
    struct slice rest = r->message;
    if (!slice_skip(&rest, r->at) || !slice_be(&rest, n, out)) {
        return false;
    }
    r->at += n;
    return true;
}

/* A name, perhaps compressed (RFC 1035 4.1.4). A pointer must lead to before the name's own begin,
 * and each further one to before the last, so reading ends; and soon, as 64 KiB can hold thousands
 * of them, for each of thousands of names. */
static bool read_name(struct reader *r, struct dns_name *out)
{
    struct slice m = r->message;
    size_t at = r->at, limit = r->at, after = 0;
    size_t len = 0, num_jumps = 0;
    while (at < m.len) {
        uint8_t head = m.ptr[at];
        if (head > LABEL_MAX) {
            if (head < 0xc0 || at + 1 >= m.len) {
                return false;
            }
            size_t target = (size_t)(head & 0x3fu) << 8 | m.ptr[at + 1];
            if (target >= limit || ++num_jumps > JUMPS_MAX) {
                return false;
            }
            after = after == 0 ? at + 2 : after;
            at = limit = target;
            continue;
        }
        if (head + 1u > m.len - at || head + 1u > DNS_NAME_MAX - len) {
            return false;
        }
        for (size_t i = 0; i <= head; i++) {
            out->bytes[len++] = i == 0 ? head : text_lower(m.ptr[at + i]);
        }
        at += head + 1u;
        if (head == 0) {
            out->len = (uint8_t)len;
            r->at = after == 0 ? at : after;
            return true;
        }
    }
    return false;
}

static bool is_same_name(const struct dns_name *a, const struct dns_name *b)
{
    return a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0;
}

/* NAME TYPE CLASS TTL RDLENGTH RDATA */
struct record {
    struct dns_name name;
    uint64_t type, class, ttl_s;
    size_t data_at, data_len;
};

static bool read_record(struct reader *r, struct record *out)
{
    uint64_t len;
    if (!read_name(r, &out->name) || !read_be(r, 2, &out->type) || !read_be(r, 2, &out->class) ||
        !read_be(r, 4, &out->ttl_s) || !read_be(r, 2, &len) || len > r->message.len - r->at) {
        return false;
    }
    out->ttl_s = out->ttl_s > INT32_MAX ? 0 : out->ttl_s; /* RFC 2181 8 */
    out->data_at = r->at;
    out->data_len = (size_t)len;
    r->at += out->data_len;
    return true;
}

static bool add_addr(struct dns_answer *out, struct slice message, const struct record *rec)
{
    size_t addr_len = rec->type == DNS_A ? 4 : 16;
    if (rec->data_len != addr_len) {
        return false;
    }
    if (out->num_addrs < DNS_ADDRS_MAX) {
        struct net_addr *a = &out->addrs[out->num_addrs++];
        *a = (struct net_addr){.family = rec->type == DNS_A ? NET_IPV4 : NET_IPV6};
        memcpy(a->bytes, message.ptr + rec->data_at, addr_len);
    }
    return true;
}

/* The name in text form; false if no host can have it. */
static bool put_host_name(const struct dns_name *name, struct dns_mx *out)
{
    size_t at = 0, len = 0;
    while (name->bytes[at] != 0) {
        size_t label_end = at + 1u + name->bytes[at];
        out->name[len] = '.';
        len += len != 0;
        for (at++; at < label_end; at++) {
            uint8_t c = name->bytes[at];
            if (!text_is_alpha(c) && !text_is_digit(c) && c != '-' && c != '_') {
                return false;
            }
            out->name[len++] = (char)c;
        }
    }
    out->name[len] = 0;
    out->len = (uint8_t)len;
    return len != 0;
}

/* Behind those that are as good or better; the worst one falls out. */
static void insert_mx(struct dns_mx_list *list, const struct dns_mx *mx)
{
    size_t at = list->num;
    if (list->num < DNS_MX_MAX) {
        list->num++;
    } else if (mx->preference < list->hosts[--at].preference) {
        /* in the place of the last one */
    } else {
        return;
    }
    for (; at > 0 && list->hosts[at - 1].preference > mx->preference; at--) {
        list->hosts[at] = list->hosts[at - 1];
    }
    list->hosts[at] = *mx;
}

/* PREFERENCE EXCHANGE, RFC 1035 3.3.9 */
static bool add_mx(struct dns_mx_list *list, struct slice message, const struct record *rec)
{
    struct reader data = {message, rec->data_at};
    struct dns_name name;
    struct dns_mx mx;
    uint64_t preference;
    if (!read_be(&data, 2, &preference) || !read_name(&data, &name) ||
        data.at != rec->data_at + rec->data_len) {
        return false;
    }
    mx.preference = (uint16_t)preference;
    list->is_null = name.len == 1;
    if (put_host_name(&name, &mx)) {
        insert_mx(list, &mx);
    }
    return true;
}

/* What is being looked for: addresses, or mail exchangers. */
struct wanted {
    struct dns_answer *answer; /* counts the records of either kind */
    struct dns_mx_list *mx;    /* NULL: addresses */
};

static bool add_record(const struct wanted *w, struct slice message, const struct record *rec)
{
    if (w->mx == NULL) {
        return add_addr(w->answer, message, rec);
    }
    w->answer->num_addrs++;
    return add_mx(w->mx, message, rec);
}

/* One pass over the answer section: takes the records of *name; or, if there is a CNAME for it,
 * moves *name on and says so in *out_moved. */
static bool look_for(struct reader r, uint64_t num_records, enum dns_type type,
                     struct dns_name *name, const struct wanted *w, bool *out_moved)
{
    struct dns_answer *out = w->answer;
    struct record rec;
    struct dns_name target;
    *out_moved = false;
    for (uint64_t i = 0; i < num_records; i++) {
        if (!read_record(&r, &rec)) {
            return false;
        }
        bool is_alias = rec.type == DNS_CNAME;
        if (rec.class != CLASS_IN || (!is_alias && rec.type != (uint64_t)type) ||
            !is_same_name(&rec.name, name) || (is_alias && *out_moved)) {
            continue;
        }
        if (is_alias) {
            struct reader data = {r.message, rec.data_at};
            if (!read_name(&data, &target) || data.at != rec.data_at + rec.data_len) {
                return false;
            }
            *out_moved = true;
        } else if (!add_record(w, r.message, &rec)) {
            return false;
        }
        out->ttl_s = rec.ttl_s < out->ttl_s ? (uint32_t)rec.ttl_s : out->ttl_s;
    }
    if (*out_moved) {
        *name = target;
        return out->num_addrs == 0; /* a name with a CNAME has nothing else, RFC 1034 3.6.2 */
    }
    return true;
}

static enum dns_result follow(struct reader r, uint64_t num_records, const struct dns_question *q,
                              const struct wanted *w)
{
    struct dns_name name = q->name;
    bool moved = true;
    for (size_t i = 0; moved && i <= DNS_CHAIN_MAX; i++) {
        if (!look_for(r, num_records, q->type, &name, w, &moved)) {
            return DNS_MALFORMED;
        }
    }
    return w->answer->num_addrs != 0 ? DNS_OK : DNS_NO_ADDRESS;
}

static bool is_answer_to(struct reader *r, const struct dns_question *q, uint64_t *out_flags,
                         uint64_t *out_num_records)
{
    struct dns_name name;
    uint64_t id, num_questions, rest, type, class;
    return read_be(r, 2, &id) && (id == q->id || BROKEN(DNS_ANY_ID)) && read_be(r, 2, out_flags) &&
           (*out_flags & (FLAG_RESPONSE | OPCODE_MASK)) == FLAG_RESPONSE &&
           read_be(r, 2, &num_questions) && num_questions == 1 && read_be(r, 2, out_num_records) &&
           read_be(r, 4, &rest) && read_name(r, &name) && is_same_name(&name, &q->name) &&
           read_be(r, 2, &type) && type == (uint64_t)q->type && read_be(r, 2, &class) &&
           class == CLASS_IN;
}

static enum dns_result parse(struct slice message, const struct dns_question *q,
                             const struct wanted *w)
{
    struct reader r = {message, 0};
    uint64_t flags, num_records;
    if (!is_answer_to(&r, q, &flags, &num_records)) {
        return DNS_NOT_OURS;
    }
    if ((flags & FLAG_TRUNCATED) != 0) {
        return DNS_TRUNCATED;
    }
    if ((flags & RCODE_MASK) == RCODE_NO_NAME) {
        return DNS_NO_NAME;
    }
    /* Who neither has the name nor asks others for it says nothing of it: that is a referral. */
    bool is_referral = num_records == 0 && (flags & (FLAG_AUTHORITY | FLAG_RECURSES)) == 0;
    return (flags & RCODE_MASK) != 0 || is_referral ? DNS_FAILED : follow(r, num_records, q, w);
}

enum dns_result dns_parse_answer(struct slice message, const struct dns_question *q,
                                 struct dns_answer *out)
{
    struct wanted w = {out, NULL};
    *out = (struct dns_answer){.ttl_s = UINT32_MAX};
    enum dns_result result = parse(message, q, &w);
    if (result != DNS_OK) {
        *out = (struct dns_answer){.ttl_s = 0};
    }
    return result;
}

enum dns_result dns_parse_mx(struct slice message, const struct dns_question *q,
                             struct dns_mx_list *out)
{
    struct dns_answer count = {.ttl_s = UINT32_MAX};
    struct wanted w = {&count, out};
    out->num = 0;
    out->is_null = false;
    enum dns_result result = parse(message, q, &w);
    out->is_null = result == DNS_OK && out->is_null && count.num_addrs == 1;
    out->num = result == DNS_OK ? out->num : 0;
    return result;
}

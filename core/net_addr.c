/* Internet addresses: see net_addr.h. */
#include "net_addr.h"

#include "text.h"

#define IPV4_LEN   4
#define IPV6_LEN   16
#define NUM_GROUPS 8

#define MAPPED_BITS 96 /* in front of the IPv4 address in ::ffff:0:0/96 */

/* "255.255.255.255", and the longest IPv6 text in brackets after "IPv6:". */
#define TEXT_CAP 56

static bool take_char(struct slice *in, uint8_t c)
{
    return in->len != 0 && in->ptr[0] == c && slice_skip(in, 1);
}

/* dec-octet, without a leading zero, which others read as octal. */
static bool take_octet(struct slice *in, uint8_t *out)
{
    size_t len = 0;
    uint64_t value;
    while (len < in->len && len < 4 && text_is_digit(in->ptr[len])) {
        len++;
    }
    if (!text_parse_u64(slice_make(in->ptr, len), UINT8_MAX, &value) ||
        (len > 1 && in->ptr[0] == '0')) {
        return false;
    }
    *out = (uint8_t)value;
    return slice_skip(in, len);
}

static bool parse_ipv4(struct slice text, uint8_t *out)
{
    for (size_t i = 0; i < IPV4_LEN; i++) {
        if ((i > 0 && !take_char(&text, '.')) || !take_octet(&text, &out[i])) {
            return false;
        }
    }
    return slice_is_empty(text);
}

/* h16 = 1*4HEXDIG */
static bool take_group(struct slice *in, uint8_t *out)
{
    uint32_t value = 0;
    size_t len = 0;
    while (len < in->len && text_hex_value(in->ptr[len]) >= 0) {
        if (len == 4) {
            return false;
        }
        value = value << 4 | (uint32_t)text_hex_value(in->ptr[len++]);
    }
    out[0] = (uint8_t)(value >> 8);
    out[1] = (uint8_t)value;
    return len != 0 && slice_skip(in, len);
}

/* Groups separated by colons up to "::" or the end, the last two perhaps as an IPv4 address. Reads
 * what it can; the caller sees by what is left whether that was right. */
static size_t take_groups(struct slice *in, uint8_t *out, size_t max)
{
    size_t num = 0;
    struct slice rest = *in;
    while (num < max) {
        if (num + 2 <= max && parse_ipv4(rest, out + 2 * num)) {
            rest.len = 0;
            *in = rest;
            return num + 2;
        }
        if (!take_group(&rest, out + 2 * num)) {
            break;
        }
        num++;
        *in = rest;
        if (!take_char(&rest, ':')) {
            break;
        }
    }
    return num;
}

/* RFC 4291 2.2 */
static bool parse_ipv6(struct slice text, uint8_t *out)
{
    uint8_t tail[IPV6_LEN];
    memset(out, 0, IPV6_LEN);
    size_t num_front = take_groups(&text, out, NUM_GROUPS);
    if (num_front == NUM_GROUPS) {
        return slice_is_empty(text);
    }
    if (!take_char(&text, ':') || !take_char(&text, ':')) {
        return false;
    }
    /* The gap stands for at least one group. */
    size_t num_tail = take_groups(&text, tail, NUM_GROUPS - 1 - num_front);
    memset(out + 2 * num_front, 0, IPV6_LEN - 2 * num_front);
    memcpy(out + IPV6_LEN - 2 * num_tail, tail, 2 * num_tail);
    return slice_is_empty(text);
}

bool net_addr_parse(struct slice text, struct net_addr *out)
{
    struct net_addr a;
    memset(&a, 0, sizeof a);
    if (parse_ipv4(text, a.bytes)) {
        a.family = NET_IPV4;
    } else if (parse_ipv6(text, a.bytes)) {
        a.family = NET_IPV6;
    } else {
        return false;
    }
    *out = a;
    return true;
}

/* The place of the last c before end, or end. */
static size_t last_of(struct slice text, uint8_t c)
{
    for (size_t i = text.len; i > 0; i--) {
        if (text.ptr[i - 1] == c) {
            return i - 1;
        }
    }
    return text.len;
}

static bool is_mapped(const struct net_addr *a)
{
    static const uint8_t prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    return a->family == NET_IPV6 && memcmp(a->bytes, prefix, sizeof prefix) == 0;
}

void net_addr_unmap(struct net_addr *a)
{
    if (is_mapped(a)) {
        a->family = NET_IPV4;
        memmove(a->bytes, a->bytes + IPV6_LEN - IPV4_LEN, IPV4_LEN);
        memset(a->bytes + IPV4_LEN, 0, sizeof a->bytes - IPV4_LEN);
    }
}

static uint8_t max_bits(uint8_t family)
{
    return family == NET_IPV4 ? 8 * IPV4_LEN : 8 * IPV6_LEN;
}

static bool bits_beyond_are_zero(const struct net_prefix *p)
{
    for (size_t bit = p->num_bits; bit < max_bits(p->addr.family); bit++) {
        if ((p->addr.bytes[bit / 8] & (0x80u >> (bit % 8))) != 0) {
            return false;
        }
    }
    return true;
}

bool net_prefix_parse(struct slice text, struct net_prefix *out)
{
    struct net_prefix p;
    struct slice addr, rest = text;
    uint64_t num_bits;
    if (!slice_take(&rest, last_of(text, '/'), &addr) || !net_addr_parse(addr, &p.addr)) {
        return false;
    }
    num_bits = max_bits(p.addr.family);
    if (take_char(&rest, '/') && !text_parse_u64(rest, num_bits, &num_bits)) {
        return false;
    }
    p.num_bits = (uint8_t)num_bits;
    if (!bits_beyond_are_zero(&p)) {
        return false;
    }
    if (is_mapped(&p.addr) && p.num_bits >= MAPPED_BITS) { /* as clients are looked at */
        net_addr_unmap(&p.addr);
        p.num_bits -= MAPPED_BITS;
    }
    *out = p;
    return true;
}

bool net_prefix_holds(const struct net_prefix *p, const struct net_addr *a)
{
    size_t whole_len = p->num_bits / 8;
    uint8_t mask = (uint8_t)(0xff00u >> (p->num_bits % 8));
    if (p->addr.family != a->family || memcmp(p->addr.bytes, a->bytes, whole_len) != 0) {
        return false;
    }
    return mask == 0 || ((p->addr.bytes[whole_len] ^ a->bytes[whole_len]) & mask) == 0;
}

bool net_addr_same_host(const struct net_addr *a, const struct net_addr *b)
{
    return a->family == b->family && memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

bool net_addr_same_client(const struct net_addr *a, const struct net_addr *b)
{
    size_t len = a->family == NET_IPV6 ? 8 : sizeof a->bytes;
    return a->family == b->family && memcmp(a->bytes, b->bytes, len) == 0;
}

static void put_ipv4(struct buf *b, const uint8_t *bytes)
{
    for (size_t i = 0; i < IPV4_LEN; i++) {
        if (i > 0) {
            buf_put_u8(b, '.');
        }
        text_put_u64(b, bytes[i]);
    }
}

static void put_group(struct buf *b, const uint8_t *bytes)
{
    static const char hex[] = "0123456789abcdef";
    uint32_t value = (uint32_t)bytes[0] << 8 | bytes[1];
    for (int shift = 12; shift >= 0; shift -= 4) {
        if (value >> shift != 0 || shift == 0) {
            buf_put_u8(b, (uint8_t)hex[value >> shift & 15]);
        }
    }
}

/* The longest run of at least two zero groups, the first of those equally long (RFC 5952 4.2). */
static size_t longest_gap(const uint8_t *bytes, size_t *out_num)
{
    size_t best = NUM_GROUPS, run = 0;
    *out_num = 0;
    for (size_t i = 0; i < NUM_GROUPS; i++) {
        run = bytes[2 * i] == 0 && bytes[2 * i + 1] == 0 ? run + 1 : 0;
        if (run >= 2 && run > *out_num) {
            *out_num = run;
            best = i + 1 - run;
        }
    }
    return best;
}

static void put_ipv6(struct buf *b, const uint8_t *bytes)
{
    size_t num_gap;
    size_t gap = longest_gap(bytes, &num_gap);
    for (size_t i = 0; i < NUM_GROUPS;) {
        if (i == gap) {
            buf_put_string(b, "::");
            i += num_gap;
            continue;
        }
        if (i > 0 && i != gap + num_gap) {
            buf_put_u8(b, ':');
        }
        put_group(b, bytes + 2 * i);
        i++;
    }
}

static void put_text(struct buf *b, const struct net_addr *a)
{
    if (a->family == NET_IPV4) {
        put_ipv4(b, a->bytes);
    } else if (is_mapped(a)) {
        buf_put_string(b, "::ffff:"); /* RFC 5952 5 */
        put_ipv4(b, a->bytes + IPV6_LEN - IPV4_LEN);
    } else if (a->family == NET_IPV6) {
        put_ipv6(b, a->bytes);
    } else {
        buf_put_string(b, "unknown");
    }
}

bool net_addr_put(struct buf *b, const struct net_addr *a)
{
    uint8_t bytes[TEXT_CAP];
    struct buf whole = buf_make(bytes, sizeof bytes);
    put_text(&whole, a);
    return buf_put(b, buf_slice(&whole));
}

bool net_addr_put_literal(struct buf *b, const struct net_addr *a)
{
    uint8_t bytes[TEXT_CAP];
    struct buf whole = buf_make(bytes, sizeof bytes);
    buf_put_string(&whole, a->family == NET_IPV6 ? "[IPv6:" : "[");
    put_text(&whole, a);
    buf_put_u8(&whole, ']');
    return buf_put(b, buf_slice(&whole));
}

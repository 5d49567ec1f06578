/* The texts of resolv.conf and hosts: see resolv_conf.h. */
#include "resolv_conf.h"

#include "dns.h"
#include "text.h"

#define DEFAULT_TIMEOUT_S 5
#define DEFAULT_ATTEMPTS  2

/* Up to the LF, which is dropped; false at the end. */
static bool take_line(struct slice *in, struct slice *out)
{
    size_t len = 0;
    if (in->len == 0) {
        return false;
    }
    while (len < in->len && in->ptr[len] != '\n') {
        len++;
    }
    slice_take(in, len, out);
    slice_skip(in, in->len != 0 ? 1 : 0);
    return true;
}

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* The next word of a line; '#' and ';' at its begin end the line. */
static bool take_word(struct slice *line, struct slice *out)
{
    size_t len = 0;
    while (line->len != 0 && is_blank(line->ptr[0])) {
        slice_skip(line, 1);
    }
    if (line->len == 0 || line->ptr[0] == '#' || line->ptr[0] == ';') {
        return false;
    }
    while (len < line->len && !is_blank(line->ptr[len])) {
        len++;
    }
    return slice_take(line, len, out);
}

/* "NAME:NUMBER", at most max, which a larger one becomes; at least 1. */
static bool read_number(struct slice word, struct slice name, uint64_t max, uint64_t *out)
{
    struct slice front;
    uint64_t value;
    if (!slice_take(&word, name.len, &front) || !slice_equal(front, name) ||
        !text_parse_u64(word, UINT32_MAX, &value)) {
        return false;
    }
    *out = value > max ? max : value == 0 ? 1 : value;
    return true;
}

static void read_options(struct slice line, struct resolv_conf *out)
{
    struct slice word;
    uint64_t value;
    while (take_word(&line, &word)) {
        if (read_number(word, SLICE_LITERAL("timeout:"), 30, &value)) {
            out->timeout_ms = (uint32_t)value * 1000;
        } else if (read_number(word, SLICE_LITERAL("attempts:"), 5, &value)) {
            out->attempts = (uint8_t)value;
        }
    }
}

void resolv_conf_parse(struct slice text, struct resolv_conf *out)
{
    struct slice line, word;
    *out =
        (struct resolv_conf){.attempts = DEFAULT_ATTEMPTS, .timeout_ms = DEFAULT_TIMEOUT_S * 1000};
    while (take_line(&text, &line)) {
        struct net_addr server;
        if (!take_word(&line, &word)) {
            continue;
        }
        if (slice_equal(word, SLICE_LITERAL("options"))) {
            read_options(line, out);
        } else if (slice_equal(word, SLICE_LITERAL("nameserver")) && take_word(&line, &word)) {
            if (!net_addr_parse(word, &server)) {
                out->unknown = out->unknown.len == 0 ? word : out->unknown;
            } else if (out->num_servers < RESOLV_SERVERS_MAX) {
                server.port = DNS_PORT;
                out->servers[out->num_servers++] = server;
            }
        }
    }
    if (out->num_servers == 0) {
        out->servers[out->num_servers++] = (struct net_addr){NET_IPV4, {127, 0, 0, 1}, DNS_PORT};
    }
}

static struct slice without_dot(struct slice name)
{
    return slice_make(name.ptr, name.len - (name.len != 0 && name.ptr[name.len - 1] == '.'));
}

size_t resolv_conf_find_host(struct slice hosts, struct slice name, struct net_addr *out,
                             size_t cap)
{
    struct slice line, word;
    size_t num = 0;
    name = without_dot(name);
    while (num < cap && take_line(&hosts, &line)) {
        struct net_addr addr;
        if (!take_word(&line, &word) || !net_addr_parse(word, &addr)) {
            continue;
        }
        while (take_word(&line, &word)) {
            if (text_equal_nocase(without_dot(word), name)) {
                out[num++] = addr;
                break;
            }
        }
    }
    return num;
}

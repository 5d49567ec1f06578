/* Addresses of responders and proxies: see url.h. */
#include "url.h"

#include "text.h"

const char *url_error_name(enum url_error e)
{
    static const char *const names[] = {
        [URL_OK] = "ok",
        [URL_TOO_LONG] = "url-too-long",
        [URL_HTTPS] = "url-https",
        [URL_NOT_HTTP] = "url-not-http",
        [URL_BAD_HOST] = "url-bad-host",
        [URL_BAD_PORT] = "url-bad-port",
        [URL_BAD_PATH] = "url-bad-path",
    };
    return names[e];
}

static bool take_prefix(struct slice *in, struct slice prefix)
{
    struct slice rest = *in, front;
    if (!slice_take(&rest, prefix.len, &front) || !text_equal_nocase(front, prefix)) {
        return false;
    }
    *in = rest;
    return true;
}

static size_t find_any(struct slice text, const char *set)
{
    for (size_t i = 0; i < text.len; i++) {
        if (memchr(set, text.ptr[i], strlen(set)) != NULL) {
            return i;
        }
    }
    return text.len;
}

static bool is_name_char(uint8_t c)
{
    return text_is_alpha(c) || text_is_digit(c) || c == '-' || c == '_';
}

bool url_is_host_name(struct slice text)
{
    bool is_number = true;
    size_t label_len = 0;
    if (text.len != 0 && text.ptr[text.len - 1] == '.') {
        text.len--;
    }
    if (text.len == 0 || text.len > URL_HOST_MAX) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];
        if (c == '.') {
            if (label_len == 0) {
                return false;
            }
            label_len = 0;
            is_number = true;
            continue;
        }
        if (!is_name_char(c) || ++label_len > 63) {
            return false;
        }
        is_number = is_number && text_is_digit(c);
    }
    return label_len != 0 && !is_number;
}

/* host [ ":" port ]; an IPv6 address stands in brackets. */
static enum url_error parse_authority(struct slice in, struct url *out)
{
    uint64_t port = 80;
    out->authority = in;
    bool has_brackets = take_prefix(&in, SLICE_LITERAL("["));
    slice_take(&in, find_any(in, has_brackets ? "]" : ":"), &out->host);
    out->is_address = net_addr_parse(out->host, &out->addr);
    if (has_brackets && (!out->is_address || out->addr.family != NET_IPV6 ||
                         !take_prefix(&in, SLICE_LITERAL("]")))) {
        return URL_BAD_HOST;
    }
    if (!out->is_address) {
        if (!url_is_host_name(out->host)) {
            return URL_BAD_HOST;
        }
        out->addr = (struct net_addr){.family = NET_NONE};
    }
    if (!slice_is_empty(in) && !(take_prefix(&in, SLICE_LITERAL(":")) &&
                                 text_parse_u64(in, UINT16_MAX, &port) && port != 0)) {
        return URL_BAD_PORT;
    }
    out->addr.port = (uint16_t)port;
    return URL_OK;
}

/* pchar, "/" and "?" (RFC 3986 3.3, 3.4); what stands behind '%' is the responder's business. */
static bool is_path_char(uint8_t c)
{
    return text_is_alpha(c) || text_is_digit(c) ||
           (c != 0 && memchr("-._~%!$&'()*+,;=:@/?", c, 20) != NULL);
}

enum url_error url_parse(struct slice text, struct url *out)
{
    struct slice authority = {NULL, 0};
    if (text.len > URL_MAX) {
        return URL_TOO_LONG;
    }
    if (take_prefix(&text, SLICE_LITERAL("https://"))) {
        return URL_HTTPS;
    }
    if (!take_prefix(&text, SLICE_LITERAL("http://"))) {
        return URL_NOT_HTTP;
    }
    slice_take(&text, find_any(text, "/?#"), &authority);
    enum url_error e = parse_authority(authority, out);
    if (e != URL_OK) {
        return e;
    }
    out->path = text;
    for (size_t i = 0; i < text.len; i++) {
        if (!is_path_char(text.ptr[i])) {
            return URL_BAD_PATH;
        }
    }
    return URL_OK;
}

/* The PROXY protocol: see proxy_header.h. */
#include "proxy_header.h"

#include "text.h"

#define SIGNATURE SLICE_LITERAL("\r\n\r\n\0\r\nQUIT\n")
#define HEAD_LEN  16  /* of version 2, up to its length */
#define TEXT_MAX  107 /* version 1, with CRLF */

/* One word and the one space before the next; the last one has none. */
static bool take_word(struct slice *in, struct slice *out)
{
    const uint8_t *space = in->len == 0 ? NULL : memchr(in->ptr, ' ', in->len);
    size_t len = space == NULL ? in->len : (size_t)(space - in->ptr);
    return slice_take(in, len, out) && (space == NULL || (slice_skip(in, 1) && in->len != 0)) &&
           out->len != 0;
}

/* TCP4 or TCP6, both addresses, both ports. */
static enum proxy_result read_text(struct slice line, struct net_addr *out)
{
    struct slice kind, from, to, from_port, to_port;
    struct net_addr ours;
    uint64_t port, our_port;
    if (!take_word(&line, &kind)) {
        return PROXY_MALFORMED;
    }
    if (slice_equal(kind, SLICE_LITERAL("UNKNOWN"))) {
        return PROXY_BALANCER;
    }
    bool is_6 = slice_equal(kind, SLICE_LITERAL("TCP6"));
    if ((!is_6 && !slice_equal(kind, SLICE_LITERAL("TCP4"))) || !take_word(&line, &from) ||
        !take_word(&line, &to) || !take_word(&line, &from_port) || !take_word(&line, &to_port) ||
        line.len != 0 || !net_addr_parse(from, out) || !net_addr_parse(to, &ours) ||
        out->family != (is_6 ? NET_IPV6 : NET_IPV4) || ours.family != out->family ||
        !text_parse_u64(from_port, UINT16_MAX, &port) ||
        !text_parse_u64(to_port, UINT16_MAX, &our_port)) {
        return PROXY_MALFORMED;
    }
    out->port = (uint16_t)port;
    return PROXY_CLIENT;
}

/* src_addr, dst_addr, src_port, dst_port; what follows are TLVs, of no use here. */
static enum proxy_result read_binary(struct slice got, struct net_addr *out)
{
    uint8_t command = got.ptr[12], family = got.ptr[13];
    struct slice rest = slice_make(got.ptr + HEAD_LEN, got.len - HEAD_LEN), from;
    size_t addr_len = family >> 4 == 2 ? 16 : 4;
    if (command == 0x20 || (command == 0x21 && family == 0)) {
        return PROXY_BALANCER;
    }
    if (command != 0x21 || (family != 0x11 && family != 0x21) ||
        !slice_take(&rest, addr_len, &from) || !slice_skip(&rest, addr_len) ||
        !slice_be16(&rest, &out->port) || !slice_skip(&rest, 2)) {
        return PROXY_MALFORMED;
    }
    out->family = family == 0x21 ? NET_IPV6 : NET_IPV4;
    memcpy(out->bytes, from.ptr, from.len);
    return PROXY_CLIENT;
}

enum proxy_result proxy_header_read(struct slice got, size_t *out_want, struct net_addr *out_client)
{
    struct slice front, rest = got;
    memset(out_client, 0, sizeof *out_client);
    *out_want = SIGNATURE.len - (got.len < SIGNATURE.len ? got.len : SIGNATURE.len);
    if (*out_want != 0) {
        return PROXY_MORE; /* no header is shorter */
    }
    if (memcmp(got.ptr, SIGNATURE.ptr, SIGNATURE.len) == 0) {
        size_t len = HEAD_LEN;
        if (got.len >= HEAD_LEN) {
            len += (size_t)got.ptr[14] << 8 | got.ptr[15];
        }
        *out_want = len - got.len;
        return len > PROXY_HEADER_MAX ? PROXY_MALFORMED
               : len > got.len        ? PROXY_MORE
                                      : read_binary(got, out_client);
    }
    if (!slice_take(&rest, 6, &front) || !slice_equal(front, SLICE_LITERAL("PROXY ")) ||
        got.len > TEXT_MAX) {
        return PROXY_MALFORMED;
    }
    if (got.ptr[got.len - 1] != '\n') {
        *out_want = 1; /* its length is not known */
        return got.len == TEXT_MAX ? PROXY_MALFORMED : PROXY_MORE;
    }
    if (got.ptr[got.len - 2] != '\r') {
        return PROXY_MALFORMED;
    }
    rest.len -= 2;
    return read_text(rest, out_client);
}

/* Mail addresses: see address.h. */
#include "address.h"

#include "net_addr.h"
#include "text.h"

#define LABEL_MAX 63 /* RFC 1035 2.3.4 */

static bool take_byte(struct slice *in, uint8_t c)
{
    return in->len != 0 && in->ptr[0] == c && slice_skip(in, 1);
}

/* atext of RFC 5322 3.2.3, the UTF8-non-ascii of RFC 6531 3.3, and the dots between them. */
static bool is_local_byte(uint8_t c)
{
    return text_is_alpha(c) || text_is_digit(c) || c >= 0x80 ||
           memchr("!#$%&'*+-/=?^_`{|}~.", c, 20) != NULL;
}

static bool take_while(struct slice *in, bool (*belongs)(uint8_t))
{
    size_t n = 0;
    while (n < in->len && belongs(in->ptr[n])) {
        n++;
    }
    return n != 0 && slice_skip(in, n);
}

/* Dot-string = Atom *("." Atom). There are mailboxes (of Japanese carriers) with several dots
 * together, or one at the end. */
static bool take_dot_string(struct slice *in)
{
    return in->len != 0 && in->ptr[0] != '.' && take_while(in, is_local_byte);
}

/* Quoted-string = DQUOTE *QcontentSMTP DQUOTE
 * QcontentSMTP  = qtextSMTP / quoted-pairSMTP
 * qtextSMTP     = %d32-33 / %d35-91 / %d93-126 / UTF8-non-ascii; quoted-pairSMTP = "\" %d32-126 */
static bool take_quoted_string(struct slice *in)
{
    if (!take_byte(in, '"')) {
        return false;
    }
    while (!take_byte(in, '"')) {
        bool is_pair = take_byte(in, '\\');
        uint8_t c;
        if (!slice_u8(in, &c) || c < ' ' || c == 0x7f || (is_pair && c > 0x7e)) {
            return false;
        }
    }
    return true;
}

static bool is_label_byte(uint8_t c)
{
    return text_is_alpha(c) || text_is_digit(c) || c == '-' || c == '_' || c >= 0x80;
}

/* Domain = sub-domain *("." sub-domain); sub-domain = Let-dig [Ldh-str] / U-label. A U-label's 63
 * octets count in its other form. */
static bool take_domain(struct slice *in)
{
    do {
        struct slice label = *in;
        if (!take_while(in, is_label_byte)) {
            return false;
        }
        label.len -= in->len;
        if (label.ptr[0] == '-' || label.ptr[label.len - 1] == '-') {
            return false;
        }
        bool is_ascii = true;
        for (size_t i = 0; i < label.len; i++) {
            is_ascii = is_ascii && label.ptr[i] < 0x80;
        }
        if (is_ascii && label.len > LABEL_MAX) {
            return false;
        }
    } while (take_byte(in, '.'));
    return true;
}

/* address-literal = "[" ( IPv4-address-literal / "IPv6:" IPv6-addr ) "]"; no other tag is
 * registered. */
static bool take_literal(struct slice *in)
{
    const uint8_t *end = in->len == 0 ? NULL : memchr(in->ptr, ']', in->len);
    struct slice text, tag;
    if (end == NULL || !take_byte(in, '[')) {
        return false;
    }
    slice_take(in, (size_t)(end - in->ptr), &text);
    slice_skip(in, 1);
    uint8_t family = NET_IPV4;
    struct slice rest = text;
    if (slice_take(&rest, 5, &tag) && text_equal_nocase(tag, SLICE_LITERAL("IPv6:"))) {
        family = NET_IPV6;
        text = rest;
    }
    struct net_addr addr;
    return net_addr_parse(text, &addr) && addr.family == family;
}

bool address_is_utf8(struct slice text)
{
    while (text.len != 0) {
        static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
        uint8_t c = 0;
        slice_u8(&text, &c);
        uint32_t num_more = c < 0x80 ? 0 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
        if ((c >= 0x80 && c < 0xc2) || c > 0xf4) {
            return false;
        }
        uint32_t value = num_more == 0 ? c : c & (0x3fU >> num_more);
        for (uint32_t i = 0; i < num_more; i++) {
            if (!slice_u8(&text, &c) || (c & 0xc0) != 0x80) {
                return false;
            }
            value = (value << 6) | (c & 0x3f);
        }
        if (value < least[num_more] || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff)) {
            return false;
        }
    }
    return true;
}

/* The bytes between *before and *after, two ends of the same text. */
static struct slice between(struct slice before, struct slice after)
{
    return slice_make(before.ptr, before.len - after.len);
}

/* Mailbox = Local-part "@" ( Domain / address-literal ) */
static enum address_result take_mailbox(struct slice *in, struct address *out)
{
    struct slice begin = *in;
    out->is_quoted = in->len != 0 && in->ptr[0] == '"';
    if (!(out->is_quoted ? take_quoted_string(in) : take_dot_string(in))) {
        return ADDRESS_MALFORMED;
    }
    out->local = between(begin, *in);
    if (!take_byte(in, '@')) {
        return ADDRESS_MALFORMED;
    }
    struct slice domain = *in;
    out->is_literal = in->len != 0 && in->ptr[0] == '[';
    if (!(out->is_literal ? take_literal(in) : take_domain(in))) {
        return ADDRESS_MALFORMED;
    }
    out->domain = between(domain, *in);
    out->text = between(begin, *in);
    for (size_t i = 0; i < out->text.len; i++) {
        out->is_utf8 = out->is_utf8 || out->text.ptr[i] >= 0x80;
    }
    if (out->is_utf8 && !address_is_utf8(out->text)) {
        return ADDRESS_MALFORMED;
    }
    return out->text.len <= ADDRESS_MAX ? ADDRESS_OK : ADDRESS_TOO_LONG;
}

/* A-d-l ":", where A-d-l = At-domain *( "," At-domain ) and At-domain = "@" Domain; or nothing. */
static bool take_route(struct slice *in)
{
    if (in->len == 0 || in->ptr[0] != '@') {
        return true;
    }
    do {
        if (!take_byte(in, '@') || !take_domain(in)) {
            return false;
        }
    } while (take_byte(in, ','));
    return take_byte(in, ':');
}

static bool take_postmaster(struct slice *in, struct address *out)
{
    struct slice name;
    struct slice rest = *in;
    if (!slice_take(&rest, 10, &name) || rest.len == 0 || rest.ptr[0] != '>' ||
        !text_equal_nocase(name, SLICE_LITERAL("postmaster"))) {
        return false;
    }
    out->text = name;
    out->local = name;
    *in = rest;
    return true;
}

/* A mailbox alone, as some devices have it, up to a space or the end. */
static enum address_result take_bare(struct slice *in, struct address *out)
{
    struct slice cursor = *in;
    enum address_result result = take_mailbox(&cursor, out);
    if (result == ADDRESS_OK && cursor.len != 0 && !text_is_blank(cursor.ptr[0])) {
        return ADDRESS_MALFORMED;
    }
    if (result == ADDRESS_OK) {
        *in = cursor;
    }
    return result;
}

enum address_result address_take_path(struct slice *in, struct address *out)
{
    struct slice cursor = *in;
    memset(out, 0, sizeof *out);
    if (!take_byte(&cursor, '<')) {
        return take_bare(in, out);
    }
    if (!(cursor.len != 0 && cursor.ptr[0] == '>') && !take_postmaster(&cursor, out)) {
        enum address_result result =
            take_route(&cursor) ? take_mailbox(&cursor, out) : ADDRESS_MALFORMED;
        if (result != ADDRESS_OK) {
            return result;
        }
    }
    if (!take_byte(&cursor, '>')) {
        return ADDRESS_MALFORMED;
    }
    if (between(*in, cursor).len > ADDRESS_PATH_MAX) {
        return ADDRESS_TOO_LONG;
    }
    *in = cursor;
    return ADDRESS_OK;
}

enum address_result address_parse(struct slice text, struct address *out)
{
    memset(out, 0, sizeof *out);
    enum address_result result = take_mailbox(&text, out);
    return text.len == 0 || result == ADDRESS_TOO_LONG ? result : ADDRESS_MALFORMED;
}

bool address_put_local(struct buf *b, const struct address *a)
{
    size_t begin = b->len;
    struct slice in = a->local;
    if (a->is_quoted) {
        slice_skip(&in, 1);
        in.len--;
    }
    uint8_t c;
    while (slice_u8(&in, &c)) {
        if (a->is_quoted && c == '\\') {
            slice_u8(&in, &c);
        }
        if (!buf_put_u8(b, c)) {
            b->len = begin;
            return false;
        }
    }
    return true;
}

bool address_put(struct buf *b, struct slice local, struct slice domain)
{
    size_t begin = b->len;
    struct slice rest = local;
    bool is_plain = take_dot_string(&rest) && rest.len == 0;
    bool fits = is_plain ? buf_put(b, local) : buf_put_u8(b, '"');
    for (size_t i = 0; i < local.len && !is_plain && fits; i++) {
        bool is_special = local.ptr[i] == '"' || local.ptr[i] == '\\';
        fits = (!is_special || buf_put_u8(b, '\\')) && buf_put_u8(b, local.ptr[i]);
    }
    fits = fits && (is_plain || buf_put_u8(b, '"')) && buf_put_u8(b, '@') && buf_put(b, domain);
    b->len = fits ? b->len : begin;
    return fits;
}

bool address_is_postmaster(const struct address *a)
{
    uint8_t bytes[ADDRESS_LOCAL_MAX];
    struct buf local = buf_make(bytes, sizeof bytes);
    return address_put_local(&local, a) &&
           text_equal_nocase(buf_slice(&local), SLICE_LITERAL("postmaster"));
}

bool address_is_domain(struct slice text)
{
    size_t len = text.len;
    return take_domain(&text) && text.len == 0 && len <= ADDRESS_DOMAIN_MAX;
}

bool address_is_literal(struct slice text)
{
    return take_literal(&text) && text.len == 0;
}

bool address_is_host(struct slice text)
{
    struct net_addr addr;
    size_t len = 0;
    while (len < text.len && text_is_digit(text.ptr[text.len - 1 - len])) {
        len++;
    }
    bool is_number = len > 0 && (len == text.len || text.ptr[text.len - 1 - len] == '.');
    return net_addr_parse(text, &addr) || (address_is_domain(text) && !is_number);
}

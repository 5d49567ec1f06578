/* The report's text: see dsn.h. */
#include "dsn.h"

#include "net_addr.h"
#include "text.h"

#define TEXT_MAX 512 /* bytes of a reply that are shown */
#define LINE_MAX 76  /* where text with spaces is folded */

#define FIELD_MAX 1000 /* of a line, with CRLF (RFC 5322 2.1.1) */

/* A piece is put into what room there is, and counts only once it is whole. */
static struct buf begin(const struct buf *b)
{
    return buf_make(b->ptr + b->len, buf_room(b));
}

static bool end(struct buf *b, const struct buf *piece)
{
    b->overflow = b->overflow || piece->overflow;
    b->len += piece->overflow ? 0 : piece->len;
    return !piece->overflow;
}

static void put_byte(struct buf *b, uint8_t c, bool is_utf8)
{
    bool is_safe = (c >= ' ' && c < 0x7f) || (c >= 0x80 && is_utf8);
    buf_put_u8(b, is_safe ? c : '?');
}

static void put_safe(struct buf *b, struct slice text, bool is_utf8)
{
    for (size_t i = 0; i < text.len; i++) {
        put_byte(b, text.ptr[i], is_utf8);
    }
}

/* The words of a text behind what stands in its first line already; lines that would become long
 * are ended by fold, which begins the next one. Nothing else is ever an end of a line. */
static void put_words(struct buf *b, struct slice text, size_t column, const char *fold)
{
    const char *gap = "";
    bool is_cut = text.len > TEXT_MAX;
    text.len = is_cut ? TEXT_MAX : text.len;
    while (text.len != 0) {
        size_t len = 0;
        while (len < text.len && text.ptr[len] != ' ') {
            len++;
        }
        struct slice word = slice_make(text.ptr, len);
        slice_skip(&text, len < text.len ? len + 1 : len);
        if (len == 0) {
            continue;
        }
        bool is_over = *gap != 0 && column + 1 + len > LINE_MAX;
        buf_put_string(b, is_over ? fold : gap);
        put_safe(b, word, false);
        column = (is_over ? strlen(fold) - 2 : column + 1) + len;
        gap = " ";
    }
    buf_put_string(b, is_cut ? "..." : "");
}

/* Part of the boundary and of the message id. */
static void put_sign(struct buf *b, const struct dsn *d)
{
    buf_put_string(b, "=_");
    text_put_hex(b, slice_make(d->nonce, sizeof d->nonce));
}

static void put_delimiter(struct buf *b, const struct dsn *d)
{
    buf_put_string(b, "\r\n--");
    put_sign(b, d);
}

/* The field's name, with its colon and a space, and a date; nothing if that is not known. */
static void put_date_field(struct buf *b, const char *name, int64_t time_s)
{
    if (time_s != 0) {
        buf_put_string(b, name);
        text_put_date(b, time_s);
        buf_put_string(b, "\r\n");
    }
}

static void put_encoding(struct buf *b, bool is_8bit)
{
    buf_put_string(b, is_8bit ? "Content-Transfer-Encoding: 8bit\r\n" : "");
}

static const char *subject(const struct dsn *d)
{
    static const char *const subjects[] = {
        [DSN_FAILED] = "Mail not delivered", [DSN_DELAYED] = "Mail delayed",
        [DSN_DELIVERED] = "Mail delivered",  [DSN_RELAYED] = "Mail passed on",
        [DSN_EXPANDED] = "Mail passed on",
    };
    size_t i = 0; /* the worst comes first */
    while (i < DSN_EXPANDED && (d->actions >> i & 1) == 0) {
        i++;
    }
    return subjects[i];
}

bool dsn_is_full(bool asked_for, uint32_t actions, uint64_t content_len)
{
    return asked_for && (actions & (1u << DSN_FAILED)) != 0 && content_len <= DSN_FULL_MAX;
}

uint64_t dsn_returned_len(const struct dsn *d, struct slice begin_of_content, uint64_t content_len)
{
    size_t line_at = 0;
    if (d->is_full) {
        return content_len;
    }
    for (size_t i = 0; i < begin_of_content.len; i++) {
        if (begin_of_content.ptr[i] != '\n') {
            continue;
        }
        if (i == line_at || (i == line_at + 1 && begin_of_content.ptr[line_at] == '\r')) {
            return line_at;
        }
        line_at = i + 1;
    }
    return line_at;
}

bool dsn_put_head(struct buf *b, const struct dsn *d)
{
    struct buf p = begin(b);
    buf_put_string(&p, "From: Mailer-Daemon <postmaster@"); /* who is to be had, RFC 3464 2 */
    buf_put(&p, d->hostname);
    buf_put_string(&p, ">\r\nTo: ");
    put_safe(&p, d->to, d->is_utf8);
    buf_put_string(&p, "\r\nSubject: ");
    buf_put_string(&p, subject(d));
    buf_put_string(&p, "\r\n");
    put_date_field(&p, "Date: ", d->now_s);
    buf_put_string(&p, "Message-ID: <");
    put_sign(&p, d);
    buf_put_string(&p, "@");
    buf_put(&p, d->hostname);
    buf_put_string(&p, ">\r\n"
                       "Auto-Submitted: auto-replied\r\n"
                       "MIME-Version: 1.0\r\n"
                       "Content-Type: multipart/report; report-type=");
    buf_put_string(&p, d->is_utf8 ? "global-" : "");
    buf_put_string(&p, "delivery-status;\r\n\tboundary=\"");
    put_sign(&p, d);
    buf_put_string(&p, "\"\r\n");
    put_encoding(&p, d->is_8bit || d->is_utf8);
    put_delimiter(&p, d);
    buf_put_string(&p, "\r\nContent-Type: text/plain; charset=");
    buf_put_string(&p, d->is_utf8 ? "utf-8\r\n" : "us-ascii\r\n");
    put_encoding(&p, d->is_utf8);
    buf_put_string(&p, "\r\nThe mail server ");
    buf_put(&p, d->hostname);
    buf_put_string(&p, d->has_no_sender
                           ? "\r\ntells what became of a message whose sender cannot be told:\r\n"
                           : "\r\ntells what became of a message that you sent:\r\n");
    return end(b, &p);
}

bool dsn_put_line(struct buf *b, const struct dsn *d, const struct dsn_rcpt *r)
{
    static const char *const fates[] = {
        [DSN_FAILED] = "It could not be delivered, and will not be tried again.",
        [DSN_DELAYED] = "It still waits and is tried again; there is no need to send it once more.",
        [DSN_DELIVERED] = "It was delivered.",
        [DSN_RELAYED] = "It was passed on to a server that does not report deliveries.",
        [DSN_EXPANDED] = "It was passed on to the addresses that this one stands for.",
    };
    struct buf p = begin(b);
    buf_put_string(&p, "\r\n<");
    put_safe(&p, r->address, d->is_utf8);
    buf_put_string(&p, ">\r\n    ");
    buf_put_string(&p, fates[r->action]);
    buf_put_string(&p, "\r\n");
    if (r->action == DSN_DELAYED) {
        put_date_field(&p, "    It is given up at ", r->retry_until_s);
    }
    if (r->reply.len != 0) {
        size_t line_at = p.len;
        buf_put_string(&p, "    ");
        if (r->is_peers_reply) {
            put_safe(&p, r->remote_mta, false);
            buf_put_string(&p, r->remote_mta.len != 0 ? " said: " : "The server said: ");
        } else {
            buf_put_string(&p, "Reason: ");
        }
        put_words(&p, r->reply, p.len - line_at, "\r\n    ");
        buf_put_string(&p, "\r\n");
    }
    return end(b, &p);
}

bool dsn_put_status(struct buf *b, const struct dsn *d)
{
    struct buf p = begin(b);
    put_delimiter(&p, d);
    buf_put_string(&p, d->is_utf8 ? "\r\nContent-Type: message/global-delivery-status\r\n"
                                  : "\r\nContent-Type: message/delivery-status\r\n");
    put_encoding(&p, d->is_utf8);
    buf_put_string(&p, "\r\nReporting-MTA: dns; ");
    buf_put(&p, d->hostname);
    buf_put_string(&p, "\r\n");
    if (d->envid.len != 0) {
        buf_put_string(&p, "Original-Envelope-Id: ");
        put_safe(&p, d->envid, false);
        buf_put_string(&p, "\r\n");
    }
    put_date_field(&p, "Arrival-Date: ", d->arrival_s);
    return end(b, &p);
}

/* The next character of UTF-8; what is malformed becomes some other one. */
static uint32_t take_char(struct slice *in)
{
    uint8_t c = 0;
    slice_u8(in, &c);
    uint32_t num_more = c < 0xc2 ? 0 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
    uint32_t value = num_more == 0 ? c : c & (0x3fU >> num_more);
    for (; num_more > 0 && slice_u8(in, &c); num_more--) {
        value = value << 6 | (c & 0x3f);
    }
    return value;
}

/* EmbeddedUnicodeChar = "\x{" HEXPOINT "}", of two digits at least. */
static void put_embedded(struct buf *b, uint32_t c)
{
    uint32_t shift = 4;
    while (c >> shift >= 16) {
        shift += 4;
    }
    buf_put_string(b, "\\x{");
    for (shift += 4; shift > 0;) {
        shift -= 4;
        buf_put_u8(b, (uint8_t) "0123456789ABCDEF"[c >> shift & 15]);
    }
    buf_put_u8(b, '}');
}

/* utf-8-addr-unitext (RFC 6533 3), where all stands as it is but space, "+", "=" and "\"; or
 * utf-8-addr-xtext, which is ASCII. */
static void put_unitext(struct buf *b, struct slice text, bool is_xtext)
{
    while (text.len != 0) {
        const uint8_t *at = text.ptr;
        uint32_t c = take_char(&text);
        bool is_ascii = c < 0x80;
        if (is_ascii && (c < ' ' || c == 0x7f || memchr(" +=\\", (int)c, 4) == NULL)) {
            put_byte(b, (uint8_t)c, false);
        } else if (is_ascii || is_xtext) {
            put_embedded(b, c);
        } else {
            put_safe(b, slice_make(at, (size_t)(text.ptr - at)), true);
        }
    }
}

/* "TYPE;ADDRESS", or an address of which the type is to be told. */
static void put_address_field(struct buf *b, const struct dsn *d, const char *name,
                              struct slice text, bool has_type)
{
    struct slice type = text_is_8bit(text) ? SLICE_LITERAL("utf-8") : SLICE_LITERAL("rfc822");
    const uint8_t *mark = has_type ? memchr(text.ptr, ';', text.len) : NULL;
    if (mark != NULL) {
        slice_take(&text, (size_t)(mark - text.ptr), &type);
        slice_skip(&text, 1);
    }
    buf_put_string(b, name);
    put_safe(b, type, false);
    buf_put_string(b, "; ");
    if (text_equal_nocase(type, SLICE_LITERAL("utf-8"))) {
        put_unitext(b, text, !d->is_utf8);
    } else {
        put_safe(b, text, d->is_utf8);
    }
    buf_put_string(b, "\r\n");
}

static void put_code(struct buf *b, const uint16_t status[3])
{
    for (size_t i = 0; i < 3; i++) {
        buf_put_string(b, i == 0 ? "Status: " : ".");
        text_put_u64(b, status[i]);
    }
    buf_put_string(b, "\r\n");
}

/* The type dns has domain names: a host that the options name by its address is put as a literal.
 */
static void put_remote_mta(struct buf *b, struct slice name)
{
    struct net_addr addr;
    bool is_socket = name.ptr[0] == '/';
    buf_put_string(b, is_socket ? "Remote-MTA: x-unix; " : "Remote-MTA: dns; ");
    if (net_addr_parse(name, &addr)) {
        net_addr_put_literal(b, &addr);
    } else {
        put_safe(b, name, false);
    }
    buf_put_string(b, "\r\n");
}

bool dsn_put_fields(struct buf *b, const struct dsn *d, const struct dsn_rcpt *r)
{
    static const char *const names[] = {
        [DSN_FAILED] = "failed",   [DSN_DELAYED] = "delayed",   [DSN_DELIVERED] = "delivered",
        [DSN_RELAYED] = "relayed", [DSN_EXPANDED] = "expanded",
    };
    struct buf p = begin(b);
    buf_put_string(&p, "\r\n");
    size_t field_at = p.len;
    if (r->orcpt.len != 0) {
        put_address_field(&p, d, "Original-Recipient: ", r->orcpt, true);
    }
    if (p.len - field_at > FIELD_MAX) {
        p.len = field_at; /* it can neither be folded nor do without its escapes */
    }
    put_address_field(&p, d, "Final-Recipient: ", r->address, false);
    buf_put_string(&p, "Action: ");
    buf_put_string(&p, names[r->action]);
    buf_put_string(&p, "\r\n");
    put_code(&p, r->status);
    if (r->remote_mta.len != 0) {
        put_remote_mta(&p, r->remote_mta);
    }
    if (r->reply.len != 0) {
        struct slice name = r->is_peers_reply ? SLICE_LITERAL("Diagnostic-Code: smtp; ")
                                              : SLICE_LITERAL("Diagnostic-Code: x-postern; ");
        buf_put(&p, name);
        put_words(&p, r->reply, name.len, "\r\n ");
        buf_put_string(&p, "\r\n");
    }
    put_date_field(&p, "Last-Attempt-Date: ", r->last_attempt_s);
    put_date_field(&p, "Will-Retry-Until: ", r->action == DSN_DELAYED ? r->retry_until_s : 0);
    return end(b, &p);
}

bool dsn_put_original(struct buf *b, const struct dsn *d)
{
    static const char *const types[2][2] = {
        {"text/rfc822-headers", "message/rfc822"},
        {"message/global-headers", "message/global"},
    };
    struct buf p = begin(b);
    put_delimiter(&p, d);
    buf_put_string(&p, "\r\nContent-Type: ");
    buf_put_string(&p, types[d->is_utf8][d->is_full]);
    buf_put_string(&p, "\r\n");
    put_encoding(&p, d->is_8bit || d->is_utf8);
    buf_put_string(&p, "\r\n");
    return end(b, &p);
}

bool dsn_put_tail(struct buf *b, const struct dsn *d)
{
    struct buf p = begin(b);
    put_delimiter(&p, d);
    buf_put_string(&p, "--\r\n");
    return end(b, &p);
}

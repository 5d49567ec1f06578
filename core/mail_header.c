/* Fields and lists of addresses: see mail_header.h. */
#include "mail_header.h"

#include "text.h"

/* --- Fields --- */

/* The length of the line at the front, its CRLF included. */
static size_t line_len(struct slice s)
{
    for (size_t i = 0; i + 1 < s.len; i++) {
        if (s.ptr[i] == '\r' && s.ptr[i + 1] == '\n') {
            return i + 2;
        }
    }
    return s.len;
}

static bool is_space(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* field-name = 1*ftext, printable without the colon; spaces before the colon are old but meant
 * (4.5.8). */
static size_t name_len(struct slice line)
{
    size_t len = 0;
    while (len < line.len && line.ptr[len] > ' ' && line.ptr[len] < 0x7f && line.ptr[len] != ':') {
        len++;
    }
    size_t colon = len;
    while (colon < line.len && (line.ptr[colon] == ' ' || line.ptr[colon] == '\t')) {
        colon++;
    }
    return colon < line.len && line.ptr[colon] == ':' ? len : 0;
}

bool mail_header_next(struct slice *in, struct mail_field *out)
{
    size_t len = line_len(*in);
    size_t named = name_len(slice_make(in->ptr, len));
    if (named == 0) {
        return false;
    }
    while (len < in->len && (in->ptr[len] == ' ' || in->ptr[len] == '\t')) {
        len += line_len(slice_make(in->ptr + len, in->len - len));
    }
    (void)slice_take(in, len, &out->whole);
    out->name = slice_make(out->whole.ptr, named);
    out->value = out->whole;
    (void)slice_skip(&out->value, named);
    while (out->value.ptr[0] != ':') {
        (void)slice_skip(&out->value, 1);
    }
    (void)slice_skip(&out->value, 1);
    return true;
}

static bool is_named(const struct mail_field *f, const char *name)
{
    return text_equal_nocase(f->name, slice_of_string(name));
}

bool mail_field_has_rcpts(const struct mail_field *f, bool is_resent)
{
    static const char *const names[] = {"To", "Cc", "Bcc"};
    static const char *const resent_names[] = {"Resent-To", "Resent-Cc", "Resent-Bcc"};
    for (size_t i = 0; i < 3; i++) {
        if (is_named(f, is_resent ? resent_names[i] : names[i])) {
            return true;
        }
    }
    return false;
}

void mail_header_read(struct slice text, struct mail_header *out)
{
    struct slice rest = text;
    struct mail_field f;
    *out = (struct mail_header){.fields = text};
    while (mail_header_next(&rest, &f)) {
        out->has_from = out->has_from || is_named(&f, "From");
        out->has_date = out->has_date || is_named(&f, "Date");
        out->has_message_id = out->has_message_id || is_named(&f, "Message-ID");
        out->is_resent = out->is_resent || mail_field_has_rcpts(&f, true);
    }
    out->fields.len = text.len - rest.len;
    out->body = rest;
    if (rest.len >= 2 && rest.ptr[0] == '\r' && rest.ptr[1] == '\n') {
        (void)slice_skip(&out->body, 2);
    }
}

bool mail_field_is_hidden(const struct mail_field *f)
{
    return is_named(f, "Bcc") || is_named(f, "Resent-Bcc");
}

/* --- Addresses --- */

/* Comments may hold comments. False if one has no end. */
static bool skip_comment(struct slice *in)
{
    uint32_t depth = 0;
    uint8_t c;
    while (slice_u8(in, &c)) {
        if (c == '\\') {
            (void)slice_skip(in, 1);
        } else if (c == '(') {
            depth++;
        } else if (c == ')' && --depth == 0) {
            return true;
        }
    }
    return false;
}

/* CFWS. False in front of a comment that has no end: what it holds may be meant as addresses. */
static bool skip_blanks(struct slice *in)
{
    while (in->len > 0) {
        struct slice rest = *in;
        if (in->ptr[0] == '(') {
            if (!skip_comment(&rest)) {
                return false;
            }
            *in = rest;
        } else if (is_space(in->ptr[0])) {
            (void)slice_skip(in, 1);
        } else {
            break;
        }
    }
    return true;
}

/* A quoted string or a domain literal with both of its ends, folds left out. */
static bool take_enclosed(struct slice *in, uint8_t end, struct buf *out)
{
    uint8_t c;
    (void)slice_u8(in, &c);
    buf_put_u8(out, c);
    while (slice_u8(in, &c)) {
        if (c == '\r' || c == '\n') {
            continue;
        }
        buf_put_u8(out, c);
        if (c == end) {
            return true;
        }
        if (c == '\\' && slice_u8(in, &c)) {
            buf_put_u8(out, c);
        }
    }
    return false;
}

static bool is_special(uint8_t c)
{
    return is_space(c) || c < ' ' || c == 0x7f || memchr("()<>[]:;@\\,\"", c, 12) != NULL;
}

static void take_atom(struct slice *in, struct buf *out)
{
    while (in->len > 0 && !is_special(in->ptr[0])) {
        buf_put_u8(out, in->ptr[0]);
        (void)slice_skip(in, 1);
    }
}

/* Words up to the next of <>@:,; or the end: to out if they are one local part or domain, that is
 * with a dot between each two. *out_num: how many runs there are that no dot connects. */
static bool take_words(struct slice *in, struct buf *out, uint32_t *out_num)
{
    bool after_dot = true;
    *out_num = 0;
    while (skip_blanks(in) && in->len > 0) {
        uint8_t c = in->ptr[0];
        if (c == '>' || c == '<' || c == '@' || c == ':' || c == ',' || c == ';') {
            return true;
        }
        bool is_connected = after_dot || c == '.';
        *out_num += *out_num == 0 || !is_connected;
        if (c == '"' || c == '[') {
            if (!take_enclosed(in, c == '"' ? '"' : ']', out)) {
                return false;
            }
        } else if (is_special(c)) {
            return false;
        } else {
            take_atom(in, out);
        }
        after_dot = out->len > 0 && out->ptr[out->len - 1] == '.';
    }
    return in->len == 0;
}

static bool take_mark(struct slice *in, uint8_t mark)
{
    if (in->len == 0 || in->ptr[0] != mark) {
        return false;
    }
    return slice_skip(in, 1);
}

/* addr-spec, or a local part alone; its first words may have been taken already. */
static bool take_spec(struct slice *in, struct slice domain, struct buf *out, uint32_t num)
{
    if (num != 1) {
        return false;
    }
    if (!take_mark(in, '@')) {
        return buf_put_u8(out, '@') && buf_put(out, domain);
    }
    return buf_put_u8(out, '@') && take_words(in, out, &num) && num == 1;
}

/* angle-addr behind its "<", with a route that means nothing any more */
static bool take_angle(struct slice *in, struct slice domain, struct buf *out)
{
    uint32_t num;
    out->len = 0;
    out->overflow = false; /* a name may be as long as it likes */
    bool is_read = take_words(in, out, &num);
    if (is_read && num == 0 && in->len > 0 && in->ptr[0] == '@') {
        while (is_read && in->len > 0 && (in->ptr[0] == '@' || in->ptr[0] == ',')) {
            (void)slice_skip(in, 1);
            out->len = 0;
            is_read = take_words(in, out, &num);
        }
        is_read = is_read && take_mark(in, ':');
        out->len = 0;
        is_read = is_read && take_words(in, out, &num);
    }
    return is_read && take_spec(in, domain, out, num) && skip_blanks(in) && take_mark(in, '>') &&
           skip_blanks(in);
}

/* Behind what is wrong: up to the next comma or semicolon. */
static void skip_item(struct slice *in)
{
    bool in_quotes = false;
    uint8_t c;
    while (in->len > 0 && (in_quotes || (in->ptr[0] != ',' && in->ptr[0] != ';'))) {
        (void)slice_u8(in, &c);
        if (c == '\\') {
            (void)slice_skip(in, 1);
        }
        in_quotes = in_quotes != (c == '"');
    }
}

/* One of them, or none where a group begins. */
static enum err take_address(struct slice *in, struct slice domain, struct buf *out)
{
    uint32_t num;
    out->len = 0;
    out->overflow = false;
    bool is_read = take_words(in, out, &num);
    if (is_read && num > 0 && take_mark(in, ':')) {
        return ERR_AGAIN;
    }
    is_read = is_read &&
              (take_mark(in, '<') ? take_angle(in, domain, out) : take_spec(in, domain, out, num));
    if (!is_read || (in->len > 0 && in->ptr[0] != ',' && in->ptr[0] != ';')) {
        return ERR_MALFORMED;
    }
    return ERR_OK;
}

enum err mail_address_next(struct slice *text, struct slice domain, uint8_t bytes[MAIL_ADDRESS_CAP],
                           struct address *out, struct slice *out_bad)
{
    struct buf b = buf_make(bytes, MAIL_ADDRESS_CAP);
    for (;;) {
        while (skip_blanks(text) && (take_mark(text, ',') || take_mark(text, ';'))) {
        }
        if (text->len == 0) {
            return ERR_EOF;
        }
        const uint8_t *begin = text->ptr;
        enum err err = take_address(text, domain, &b);
        if (err == ERR_AGAIN) {
            continue;
        }
        if (err == ERR_OK && !b.overflow && address_parse(buf_slice(&b), out) == ADDRESS_OK) {
            return ERR_OK;
        }
        skip_item(text);
        *out_bad = slice_make(begin, (size_t)(text->ptr - begin));
        while (out_bad->len > 0 && is_space(out_bad->ptr[out_bad->len - 1])) {
            out_bad->len--;
        }
        return b.overflow ? ERR_TOO_BIG : ERR_MALFORMED;
    }
}

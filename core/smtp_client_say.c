/* The commands of the SMTP client: see smtp_client_say.h. */
#include "smtp_client_say.h"

#include "envelope.h"
#include "teeth.h"
#include "text.h"

void smtp_say(struct buf *b, const char *word, struct slice argument)
{
    buf_put_string(b, word);
    if (!slice_is_empty(argument)) {
        buf_put_u8(b, ' ');
        buf_put(b, argument);
    }
    buf_put_string(b, "\r\n");
}

static void put_hex(struct buf *b, uint32_t value, uint32_t num_digits)
{
    while (num_digits-- != 0) {
        buf_put_u8(b, (uint8_t) "0123456789ABCDEF"[value >> 4 * num_digits & 15]);
    }
}

/* xtext, RFC 3461 4: '+', '=' and what is not printable ASCII as +HH. */
static void put_xtext(struct buf *b, struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];
        if (c > ' ' && c <= '~' && c != '+' && c != '=') {
            buf_put_u8(b, c);
        } else {
            buf_put_u8(b, '+');
            put_hex(b, c, 2);
        }
    }
}

/* utf-8-addr-xtext, RFC 6533 3: these, a backslash and what is beyond ASCII by its code point. The
 * text is UTF-8. */
static void put_unitext(struct buf *b, struct slice text)
{
    uint8_t c;
    while (slice_u8(&text, &c)) {
        uint32_t point = c;
        uint32_t num_more = c < 0xc0 ? 0 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
        if (c > ' ' && c <= '~' && c != '+' && c != '=' && c != '\\') {
            buf_put_u8(b, c);
            continue;
        }
        point &= num_more == 0 ? 0xffu : 0x3fu >> num_more;
        for (; num_more != 0 && slice_u8(&text, &c); num_more--) {
            point = point << 6 | (c & 0x3fu);
        }
        buf_put_string(b, "\\x{");
        put_hex(b, point,
                point < 0x100      ? 2
                : point < 0x1000   ? 3
                : point < 0x10000  ? 4
                : point < 0x100000 ? 5
                                   : 6);
        buf_put_u8(b, '}');
    }
}

void smtp_say_mail(struct buf *b, const struct smtp_client_mail *mail, uint32_t offers)
{
    buf_put_string(b, "MAIL FROM:<");
    buf_put(b, mail->sender);
    buf_put_u8(b, '>');
    if ((offers & SMTP_OFFER_SIZE) != 0) {
        buf_put_string(b, " SIZE=");
        text_put_u64(b, mail->content_len);
    }
    if (mail->is_8bit) {
        buf_put_string(b, " BODY=8BITMIME");
    }
    if (mail->is_smtputf8) {
        buf_put_string(b, " SMTPUTF8");
    }
    if ((offers & SMTP_OFFER_DSN) != 0 && mail->ret != NULL) {
        buf_put_string(b, " RET=");
        buf_put_string(b, mail->ret);
    }
    if ((offers & SMTP_OFFER_DSN) != 0 && !slice_is_empty(mail->envid)) {
        buf_put_string(b, " ENVID=");
        put_xtext(b, mail->envid);
    }
    buf_put_string(b, "\r\n");
}

static void put_notify(struct buf *b, uint8_t notify)
{
    static const struct {
        uint8_t bit;
        const char *word;
    } words[] = {
        {ENVELOPE_NEVER, "NEVER"},
        {ENVELOPE_SUCCESS, "SUCCESS"},
        {ENVELOPE_FAILURE, "FAILURE"},
        {ENVELOPE_DELAY, "DELAY"},
    };
    const char *before = " NOTIFY=";
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if ((notify & words[i].bit) != 0) {
            buf_put_string(b, before);
            buf_put_string(b, words[i].word);
            before = ",";
        }
    }
}

void smtp_say_rcpt(struct buf *b, const struct smtp_client_rcpt *rcpt, uint32_t offers)
{
    buf_put_string(b, "RCPT TO:<");
    buf_put(b, rcpt->address);
    buf_put_u8(b, '>');
    if ((offers & SMTP_OFFER_DSN) != 0) {
        struct slice address = rcpt->orcpt;
        const uint8_t *mark = address.len == 0 ? NULL : memchr(address.ptr, ';', address.len);
        put_notify(b, rcpt->notify);
        if (mark != NULL) {
            struct slice type;
            slice_take(&address, (size_t)(mark - address.ptr) + 1, &type);
            buf_put_string(b, " ORCPT=");
            buf_put(b, type);
            if (text_equal_nocase(type, SLICE_LITERAL("utf-8;"))) {
                put_unitext(b, address);
            } else {
                put_xtext(b, address);
            }
        }
    }
    buf_put_string(b, "\r\n");
}

void smtp_say_bdat(struct buf *b, uint64_t len)
{
    buf_put_string(b, "BDAT ");
    text_put_u64(b, len);
    buf_put_string(b, " LAST\r\n");
}

bool smtp_may_say(struct slice address)
{
    for (size_t i = 0; i < address.len; i++) {
        if (address.ptr[i] < ' ' || address.ptr[i] == 0x7f) {
            return false;
        }
    }
    return true;
}

size_t smtp_say_content(struct buf *b, struct slice content, bool *at_line_begin)
{
    const uint8_t *from = content.ptr, *end = content.ptr + content.len;
    while (from < end) {
        bool has_dot = *at_line_begin && *from == '.' && !BROKEN(DOTS_NOT_DOUBLED);
        size_t room = buf_room(b);
        if (room < 2) {
            break;
        }
        if (has_dot) {
            buf_put_u8(b, '.');
            room--;
        }
        size_t len = (size_t)(end - from) < room ? (size_t)(end - from) : room;
        const uint8_t *line_end = memchr(from, '\n', len);
        len = line_end == NULL ? len : (size_t)(line_end - from) + 1;
        buf_put(b, slice_make(from, len));
        *at_line_begin = line_end != NULL;
        from += len;
    }
    return (size_t)(from - content.ptr);
}

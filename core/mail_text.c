/* Lines of a message: see mail_text.h. */
#include "mail_text.h"

#define LINE_MAX   998
#define LINE_BREAK 990 /* from here on a line is broken where no character is */

static void end_line(struct mail_text *t, struct buf *out)
{
    t->in_body = t->in_body || t->line_len == 0;
    t->line_len = 0;
    buf_put_string(out, "\r\n");
}

static void put_octet(struct mail_text *t, struct buf *out, uint8_t c)
{
    bool in_character = (c & 0xc0) == 0x80;
    if (t->line_len >= LINE_MAX || (t->line_len >= LINE_BREAK && !in_character)) {
        buf_put_string(out, t->in_body ? "\r\n" : "\r\n ");
        t->line_len = t->in_body ? 0 : 1;
    }
    t->has_8bit = t->has_8bit || c >= 0x80;
    buf_put_u8(out, c != 0 ? c : '?');
    t->line_len++;
}

static bool take_octet(struct mail_text *t, struct buf *out, uint8_t c)
{
    if (c == '\n' && t->after_cr) {
        t->after_cr = false;
        return false;
    }
    t->after_cr = c == '\r';
    if (c == '\r' || c == '\n') {
        if (t->dot != 0) {
            t->dot = 0;
            return true;
        }
        end_line(t, out);
        return false;
    }
    if (t->dot != 0) {
        t->dot = 0;
        put_octet(t, out, '.');
    } else if (c == '.' && t->line_len == 0 && t->ends_at_dot) {
        t->dot = 1;
        return false;
    }
    put_octet(t, out, c);
    return false;
}

bool mail_text_take(struct mail_text *t, struct slice *in, struct buf *out)
{
    uint8_t c;
    while (buf_room(out) >= MAIL_TEXT_GROWTH && slice_u8(in, &c)) {
        if (take_octet(t, out, c)) {
            return true;
        }
    }
    return false;
}

void mail_text_end(struct mail_text *t, struct buf *out)
{
    if (t->dot != 0) {
        t->dot = 0;
        put_octet(t, out, '.');
    }
    if (t->line_len > 0) {
        end_line(t, out);
    }
}

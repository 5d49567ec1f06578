/* Lines of a message: see mail_text.h. */
#include "mail_text.h"

#include "text.h"

#define LINE_MAX   998
#define LINE_BREAK 990 /* from here on a line is broken where no character is */
#define TAIL_MAX   300 /* of a field's line goes into the next one: the longest address */

static void end_line(struct mail_text *t, struct buf *out)
{
    t->in_body = t->in_body || t->line_len == 0;
    t->line_len = 0;
    buf_put_string(out, "\r\n");
}

/* How much of the line's end, which is that of out, begins with a space or stands behind a comma,
 * so that no address is torn before it; 0: none of it that can be seen. No line of spaces alone is
 * made: it might be taken for the end of the header. */
static size_t len_behind_fold(const struct mail_text *t, const struct buf *out)
{
    size_t max = t->line_len < out->len ? t->line_len : out->len;
    bool has_text = false;
    for (size_t len = 1; len < max && len < TAIL_MAX; len++) {
        const uint8_t *at = out->ptr + out->len - len;
        has_text = has_text || !text_is_blank(*at);
        if (has_text && (text_is_blank(*at) || at[-1] == ',')) {
            return len;
        }
    }
    return 0;
}

static void break_line(struct mail_text *t, struct buf *out)
{
    uint8_t tail[TAIL_MAX];
    size_t len = t->in_body ? 0 : len_behind_fold(t, out);
    memcpy(tail, out->ptr + out->len - len, len);
    out->len -= len;
    bool lacks_blank = !t->in_body && (len == 0 || !text_is_blank(tail[0]));
    buf_put_string(out, lacks_blank ? "\r\n " : "\r\n");
    buf_put(out, slice_make(tail, len));
    t->line_len = (uint32_t)len + lacks_blank;
}

static void put_octet(struct mail_text *t, struct buf *out, uint8_t c)
{
    bool in_character = (c & 0xc0) == 0x80;
    if (t->line_len >= LINE_MAX || (t->line_len >= LINE_BREAK && !in_character)) {
        break_line(t, out);
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

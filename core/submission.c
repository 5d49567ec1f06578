/* Header fields that are missing: see submission.h.
 *
 *     at      the next byte is
 *     BEGIN   the first of a line: of a field, of a line that continues one, or of the empty line
 *     NAME    in what may be a field's name; held back until the colon
 *     VALUE   in a line of a field
 *     HELD    (the name is to be given)
 */
#include "submission.h"

#include "text.h"

enum at { AT_BEGIN, AT_NAME, AT_VALUE, AT_HELD };

static void end_header(struct submission *s, bool lacks_end)
{
    s->is_over = true;
    s->lacks_end = lacks_end;
}

/* ftext = %d33-57 / %d59-126 (RFC 5322 3.6.8) */
static bool is_name_byte(uint8_t c)
{
    return c > ' ' && c < 0x7f && c != ':';
}

/* Blanks may stand between a name and its colon (RFC 5322 4.5). */
static bool is_name(const struct submission *s, struct slice name)
{
    struct slice held = slice_make(s->name, s->name_len);
    while (text_is_blank(held.ptr[held.len - 1])) {
        held.len--;
    }
    return text_equal_nocase(held, name);
}

static void take_name(struct submission *s)
{
    s->has_date = s->has_date || is_name(s, SLICE_LITERAL("Date"));
    s->has_message_id = s->has_message_id || is_name(s, SLICE_LITERAL("Message-ID"));
    s->at = AT_HELD;
}

/* The bytes of a name, and the blanks behind it; it begins with none. */
static void read_name(struct submission *s, struct slice *in)
{
    while (in->len != 0) {
        uint8_t c = in->ptr[0];
        if (c == ':' && s->name_len != 0) {
            take_name(s);
            return;
        }
        bool is_behind = s->name_len != 0 && text_is_blank(s->name[s->name_len - 1]);
        bool fits = text_is_blank(c) ? s->name_len != 0 : is_name_byte(c) && !is_behind;
        if (!fits || s->name_len == SUBMISSION_NAME_MAX) {
            end_header(s, true);
            return;
        }
        s->name[s->name_len++] = c;
        slice_skip(in, 1);
    }
}

static enum submission_event give_held(struct submission *s, struct slice *out)
{
    *out = slice_make(s->name, s->name_len);
    s->name_len = 0;
    return SUBMISSION_STORE;
}

static bool lacks_fields(const struct submission *s)
{
    return !s->has_date || !s->has_message_id;
}

/* Behind the header: the fields, what was held back, and everything else. */
static enum submission_event pass(struct submission *s, struct slice *in, struct slice *out)
{
    if (!s->was_asked && lacks_fields(s)) {
        s->was_asked = true;
        return SUBMISSION_FIELDS;
    }
    if (s->name_len != 0) {
        return give_held(s, out);
    }
    return in->len != 0 && slice_take(in, in->len, out) ? SUBMISSION_STORE : SUBMISSION_MORE;
}

/* The rest of a line of a field. */
static enum submission_event pass_line(struct submission *s, struct slice *in, struct slice *out)
{
    const uint8_t *end = memchr(in->ptr, '\n', in->len);
    size_t len = end == NULL ? in->len : (size_t)(end - in->ptr) + 1;
    s->at = end == NULL ? AT_VALUE : AT_BEGIN;
    slice_take(in, len, out);
    return SUBMISSION_STORE;
}

enum submission_event submission_next(struct submission *s, struct slice *in, struct slice *out)
{
    if (s->at == AT_HELD && s->name_len != 0) {
        return give_held(s, out);
    }
    if (!s->is_over && in->len != 0 && s->at == AT_BEGIN) {
        uint8_t c = in->ptr[0];
        if (c == '\r' || c == '\n') {
            end_header(s, false);
        } else {
            s->at = text_is_blank(c) ? AT_VALUE : AT_NAME;
        }
    }
    if (!s->is_over && s->at == AT_NAME) {
        read_name(s, in);
        if (s->at == AT_HELD) {
            return give_held(s, out);
        }
    }
    if (s->is_over) {
        return pass(s, in, out);
    }
    return in->len == 0 ? SUBMISSION_MORE : pass_line(s, in, out);
}

enum submission_event submission_end(struct submission *s, struct slice *out)
{
    struct slice none = {NULL, 0};
    if (!s->is_over) {
        end_header(s, s->name_len != 0);
    }
    return pass(s, &none, out);
}

bool submission_put_fields(struct buf *b, const struct submission *s, int64_t date_s,
                           struct slice id, struct slice hostname)
{
    if (!s->has_date) {
        buf_put_string(b, "Date: ");
        text_put_date(b, date_s);
        buf_put_string(b, "\r\n");
    }
    if (!s->has_message_id) {
        buf_put_string(b, "Message-ID: <");
        buf_put(b, id);
        buf_put_string(b, ".");
        text_put_i64(b, date_s);
        buf_put_string(b, "@");
        buf_put(b, hostname);
        buf_put_string(b, ">\r\n");
    }
    if (s->lacks_end) {
        buf_put_string(b, "\r\n");
    }
    return !b->overflow;
}

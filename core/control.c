/* Requests and replies of the control socket: see control.h. */
#include "control.h"

static bool is_printable(struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] < ' ' || s.ptr[i] > '~') {
            return false;
        }
    }
    return true;
}

static enum err split(struct slice line, struct control_request *out)
{
    out->num_words = 0;
    if (!is_printable(line)) {
        return ERR_MALFORMED;
    }
    while (!slice_is_empty(line)) {
        size_t len = 0;
        while (len < line.len && line.ptr[len] != ' ') {
            len++;
        }
        if (len == 0 || out->num_words == CONTROL_WORDS_MAX) {
            return ERR_MALFORMED;
        }
        (void)slice_take(&line, len, &out->words[out->num_words++]);
        (void)slice_skip(&line, 1);
    }
    return out->num_words > 0 ? ERR_OK : ERR_MALFORMED;
}

enum err control_feed(struct control *c, struct slice *in, struct control_request *out)
{
    uint8_t byte;
    while (slice_u8(in, &byte)) {
        if (byte == '\n') {
            return split(slice_make(c->line, c->line_len), out);
        }
        if (c->line_len == CONTROL_LINE_MAX) {
            return ERR_TOO_BIG;
        }
        c->line[c->line_len++] = byte;
    }
    return ERR_AGAIN;
}

/* The line at the front of *text without its end, which may be missing from the last one. */
static struct slice take_line(struct slice *text)
{
    struct slice line;
    const uint8_t *end = text->len == 0 ? NULL : memchr(text->ptr, '\n', text->len);
    (void)slice_take(text, end == NULL ? text->len : (size_t)(end - text->ptr), &line);
    (void)slice_skip(text, 1);
    return line;
}

static bool put_lines(struct buf *reply, char mark, struct slice text)
{
    while (!slice_is_empty(text)) {
        struct slice line = take_line(&text);
        if (buf_room(reply) < line.len + 2) {
            reply->overflow = true;
            return false;
        }
        buf_put_u8(reply, (uint8_t)mark);
        buf_put(reply, line);
        buf_put_u8(reply, '\n');
    }
    return true;
}

bool control_put_answer(struct buf *reply, struct slice text)
{
    return put_lines(reply, ' ', text);
}

bool control_put_complaint(struct buf *reply, struct slice text)
{
    return put_lines(reply, '!', text);
}

bool control_put_end(struct buf *reply, enum err result)
{
    return put_lines(reply, '=', slice_of_string(err_name(result)));
}

enum err control_read(struct slice *in, enum control_line *out_kind, struct slice *out_text,
                      enum err *out_result)
{
    if (in->len == 0 || memchr(in->ptr, '\n', in->len) == NULL) {
        return ERR_AGAIN;
    }
    struct slice line = take_line(in);
    uint8_t mark;
    if (!slice_u8(&line, &mark)) {
        return ERR_MALFORMED;
    }
    *out_text = line;
    switch (mark) {
    case ' ':
        *out_kind = CONTROL_ANSWER;
        return ERR_OK;
    case '!':
        *out_kind = CONTROL_COMPLAINT;
        return ERR_OK;
    case '=':
        *out_kind = CONTROL_END;
        for (uint32_t e = 0; e < NUM_ERRS; e++) {
            if (slice_equal(line, slice_of_string(err_name((enum err)e)))) {
                *out_result = (enum err)e;
                return ERR_OK;
            }
        }
        return ERR_MALFORMED;
    default:
        return ERR_MALFORMED;
    }
}

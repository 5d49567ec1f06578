/* The one framer: see smtp_line.h. */
#include "smtp_line.h"

#include "teeth.h"

enum body_at {
    AT_BEGIN,  /* of a line */
    AT_MIDDLE, /* of a line */
    AT_CR,     /* a CR was taken and not given: its LF must follow */
    AT_DOT,    /* a dot at the begin of a line was taken */
    AT_DOT_CR  /* and a CR behind it */
};

static bool is_special(uint8_t c)
{
    return c <= '\r' && (c == '\r' || c == '\n' || c == 0);
}

/* The index of the first CR, LF or NUL at or after i, or bytes.len. */
static size_t find_special(struct slice bytes, size_t i)
{
    while (i < bytes.len && !is_special(bytes.ptr[i])) {
        i++;
    }
    return i;
}

/* Looks at the CR, LF or NUL at index i. SMTP_LINE_OK for a CRLF, SMTP_LINE_MORE for a CR that ends
 * the bytes. */
static enum smtp_line_result judge_special(struct slice bytes, size_t i)
{
    if (bytes.ptr[i] == 0) {
        return SMTP_LINE_NUL;
    }
    if (bytes.ptr[i] == '\n') {
        return SMTP_LINE_BARE_LF;
    }
    if (i + 1 == bytes.len) {
        return SMTP_LINE_MORE;
    }
    return bytes.ptr[i + 1] == '\n' ? SMTP_LINE_OK : SMTP_LINE_BARE_CR;
}

enum smtp_line_result smtp_line_take(struct slice *in, size_t line_max, struct slice *out)
{
    struct slice window = slice_make(in->ptr, in->len < line_max ? in->len : line_max);
    size_t i = find_special(window, 0);
    enum smtp_line_result result = i < window.len ? judge_special(window, i) : SMTP_LINE_MORE;
    if (result == SMTP_LINE_BARE_LF && BROKEN(BARE_LF_ENDS_LINE)) {
        slice_take(in, i, out);
        slice_skip(in, 1);
        result = SMTP_LINE_OK;
    } else if (result == SMTP_LINE_OK) {
        slice_take(in, i, out);
        slice_skip(in, 2);
    } else if (result == SMTP_LINE_MORE && window.len == line_max) {
        result = SMTP_LINE_TOO_LONG;
    }
    return result;
}

enum smtp_line_result smtp_line_drop(struct slice *in)
{
    size_t i = find_special(*in, 0);
    enum smtp_line_result result = i < in->len ? judge_special(*in, i) : SMTP_LINE_MORE;
    if (result == SMTP_LINE_OK || result == SMTP_LINE_MORE) {
        slice_skip(in, result == SMTP_LINE_OK ? i + 2 : i);
    }
    return result;
}

static void count_line(struct smtp_body *b, size_t len, uint32_t line_max)
{
    b->line_len = len < UINT32_MAX - b->line_len ? b->line_len + (uint32_t)len : UINT32_MAX;
    if (line_max != 0 && b->line_len > line_max) {
        b->long_line = true;
    }
}

static enum smtp_body_result body_error(enum smtp_line_result r)
{
    switch (r) {
    case SMTP_LINE_BARE_CR:
        return SMTP_BODY_BARE_CR;
    case SMTP_LINE_BARE_LF:
        return SMTP_BODY_BARE_LF;
    case SMTP_LINE_NUL:
        return SMTP_BODY_NUL;
    case SMTP_LINE_OK:
    case SMTP_LINE_MORE:
    case SMTP_LINE_TOO_LONG:
        break;
    }
    return SMTP_BODY_MORE;
}

/* Gives the longest run of whole and broken lines at the front of *in that can be given as it
 * stands: up to a transparent dot, a CR that ends the input, or the end. */
static enum smtp_body_result take_run(struct smtp_body *b, struct slice *in, uint32_t line_max,
                                      bool dots, struct slice *out_run)
{
    size_t line = 0; /* index where the current line, or our part of it, begins */
    size_t i = 0;
    size_t skipped = 0;
    while (i < in->len) {
        if (dots && b->at == AT_BEGIN && in->ptr[i] == '.') {
            break;
        }
        b->at = AT_MIDDLE;
        i = find_special(*in, i);
        if (i == in->len) {
            break;
        }
        enum smtp_line_result r = judge_special(*in, i);
        if (r == SMTP_LINE_MORE) {
            b->at = AT_CR;
            skipped = 1;
            break;
        }
        if (BROKEN(LF_DOT_LF_ENDS_DATA) && r == SMTP_LINE_BARE_LF) {
            i--; /* one byte, not two, is the end of this line */
            r = SMTP_LINE_OK;
        }
        if (r != SMTP_LINE_OK) {
            return body_error(r);
        }
        i += 2;
        count_line(b, i - line, line_max);
        b->line_len = 0;
        line = i;
        b->at = AT_BEGIN;
    }
    count_line(b, i - line, line_max);
    slice_take(in, i, out_run);
    slice_skip(in, skipped);
    return SMTP_BODY_MORE;
}

static void give_crlf(struct smtp_body *b, uint32_t line_max, struct slice *out_run)
{
    *out_run = SLICE_LITERAL("\r\n");
    count_line(b, 2, line_max);
    b->line_len = 0;
    b->at = AT_BEGIN;
}

/* The LF that a CR at the end of an earlier input waits for. *in is not empty. */
static enum smtp_body_result take_lf(struct smtp_body *b, struct slice *in, uint32_t line_max,
                                     struct slice *out_run)
{
    if (in->ptr[0] != '\n') {
        return SMTP_BODY_BARE_CR;
    }
    slice_skip(in, 1);
    give_crlf(b, line_max, out_run);
    return SMTP_BODY_MORE;
}

enum smtp_body_result smtp_body_take(struct smtp_body *b, struct slice *in, uint32_t line_max,
                                     struct slice *out_run)
{
    *out_run = slice_make(NULL, 0);
    if (in->len == 0) {
        return SMTP_BODY_MORE;
    }
    if (b->at == AT_CR) {
        return take_lf(b, in, line_max, out_run);
    }
    if (b->at == AT_BEGIN && in->ptr[0] == '.') {
        slice_skip(in, 1);
        b->at = AT_DOT;
    }
    if (b->at == AT_DOT && in->len != 0) {
        b->at = AT_MIDDLE;
        if (BROKEN(LF_DOT_LF_ENDS_DATA) && in->ptr[0] == '\n') {
            slice_skip(in, 1);
            return SMTP_BODY_END;
        }
        if (BROKEN(DOTS_LEFT_IN) && in->ptr[0] != '\r') {
            *out_run = SLICE_LITERAL(".");
            return SMTP_BODY_MORE;
        }
        if (in->ptr[0] == '\r') {
            slice_skip(in, 1);
            b->at = AT_DOT_CR;
        }
    }
    if (b->at == AT_DOT_CR && in->len != 0) {
        if (in->ptr[0] != '\n') {
            return SMTP_BODY_BARE_CR;
        }
        slice_skip(in, 1);
        return SMTP_BODY_END;
    }
    return take_run(b, in, line_max, true, out_run);
}

enum smtp_body_result smtp_body_take_chunk(struct smtp_body *b, struct slice *in, uint32_t line_max,
                                           struct slice *out_run)
{
    *out_run = slice_make(NULL, 0);
    if (in->len == 0) {
        return SMTP_BODY_MORE;
    }
    if (b->at == AT_CR) {
        return take_lf(b, in, line_max, out_run);
    }
    return take_run(b, in, line_max, false, out_run);
}

enum smtp_body_result smtp_body_finish_chunks(struct smtp_body *b, uint32_t line_max,
                                              struct slice *out_run)
{
    *out_run = slice_make(NULL, 0);
    if (b->at == AT_CR) {
        return SMTP_BODY_BARE_CR;
    }
    if (b->at == AT_MIDDLE) {
        give_crlf(b, line_max, out_run);
    }
    return SMTP_BODY_END;
}

/* The framer: what a body is does not depend on how it was cut, and no bare CR or LF gets by. */
#include "smtp_line.h"

#include "fuzz.h"

struct outcome {
    enum smtp_body_result result;
    size_t content_len, num_used;
    uint64_t sum;
    uint8_t last;
};

static void keep(struct outcome *o, struct slice run)
{
    for (size_t i = 0; i < run.len; i++) {
        MUST(run.ptr[i] != '\n' || o->last == '\r');
        MUST(o->last != '\r' || run.ptr[i] == '\n');
        MUST(run.ptr[i] != 0);
        o->last = run.ptr[i];
    }
    o->content_len += run.len;
    o->sum = fuzz_sum(o->sum, run);
}

static struct outcome read_body(struct slice in, bool is_chunk, bool in_pieces, uint32_t seed)
{
    struct smtp_body body = {0};
    struct outcome o = {.result = SMTP_BODY_MORE};
    size_t whole_len = in.len;
    while (o.result == SMTP_BODY_MORE && !slice_is_empty(in)) {
        struct slice rest = in, run;
        if (in_pieces) {
            rest = fuzz_piece(&in, &seed);
        } else {
            in.len = 0;
        }
        while (o.result == SMTP_BODY_MORE && !slice_is_empty(rest)) {
            size_t before = rest.len;
            o.result = is_chunk ? smtp_body_take_chunk(&body, &rest, SMTP_TEXT_LINE_MAX, &run)
                                : smtp_body_take(&body, &rest, SMTP_TEXT_LINE_MAX, &run);
            MUST(rest.len < before || o.result != SMTP_BODY_MORE || run.len > 0);
            keep(&o, run);
        }
        o.num_used = whole_len - in.len - rest.len;
    }
    return o;
}

static void read_lines(struct slice in)
{
    struct slice line;
    for (;;) {
        struct slice before = in;
        enum smtp_line_result result = smtp_line_take(&in, SMTP_LINE_MAX, &line);
        if (result == SMTP_LINE_TOO_LONG) {
            if (smtp_line_drop(&in) != SMTP_LINE_OK) {
                return;
            }
        } else if (result != SMTP_LINE_OK) {
            MUST(in.ptr == before.ptr && in.len == before.len);
            return;
        } else {
            fuzz_inside(line, before.ptr, before.len);
            MUST(line.len + 2 <= SMTP_LINE_MAX && in.len < before.len);
            MUST(line.len == 0 || (memchr(line.ptr, '\n', line.len) == NULL &&
                                   memchr(line.ptr, '\r', line.len) == NULL &&
                                   memchr(line.ptr, 0, line.len) == NULL));
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct slice in = slice_make(data, len);
    uint8_t choice = fuzz_choice(&in);
    bool is_chunk = (choice & 1) != 0;
    struct outcome whole = read_body(in, is_chunk, false, 0);
    struct outcome pieces = read_body(in, is_chunk, true, choice);
    MUST(whole.result == pieces.result);
    if (whole.result <= SMTP_BODY_END) {
        MUST(whole.content_len == pieces.content_len && whole.sum == pieces.sum &&
             whole.num_used == pieces.num_used);
    }
    read_lines(in);
    return 0;
}

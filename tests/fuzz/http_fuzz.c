/* The answer of a responder: the same whether it comes at once or in pieces. */
#include "http.h"

#include "fuzz.h"

#define CONTENT_MAX 1000

struct outcome {
    enum http_result result;
    uint16_t status;
    uint64_t content_len, sum;
};

static enum http_result take(struct http_answer *a, struct slice in, struct outcome *o)
{
    enum http_result result = HTTP_MORE;
    const struct slice whole = in;
    while (result == HTTP_MORE && !slice_is_empty(in)) {
        struct slice before = in, run;
        result = http_answer_take(a, &in, &run);
        MUST(in.len <= before.len && (in.len < before.len || result != HTTP_MORE));
        fuzz_inside(run, whole.ptr, whole.len);
        o->content_len += run.len;
        o->sum = fuzz_sum(o->sum, run);
        MUST(o->content_len <= CONTENT_MAX);
    }
    return result;
}

static struct outcome receive(struct slice in, bool in_pieces, uint32_t seed)
{
    struct http_answer a;
    struct outcome o = {.result = HTTP_MORE};
    http_answer_begin(&a, SLICE_LITERAL("application/ocsp-response"), CONTENT_MAX);
    while (o.result == HTTP_MORE && !slice_is_empty(in)) {
        if (in_pieces) {
            o.result = take(&a, fuzz_piece(&in, &seed), &o);
        } else {
            o.result = take(&a, in, &o);
            in.len = 0;
        }
    }
    if (o.result == HTTP_MORE) {
        o.result = http_answer_end(&a);
        MUST(o.result != HTTP_MORE);
    }
    o.status = a.status;
    MUST(o.result != HTTP_DONE || o.status == 200);
    MUST(http_result_name(o.result)[0] != '\0');
    return o;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct slice in = slice_make(data, len);
    uint32_t seed = fuzz_choice(&in);
    struct outcome whole = receive(in, false, 0), pieces = receive(in, true, seed);
    MUST(whole.result == pieces.result && whole.status == pieces.status);
    MUST(whole.result != HTTP_DONE ||
         (whole.content_len == pieces.content_len && whole.sum == pieces.sum));
    return 0;
}

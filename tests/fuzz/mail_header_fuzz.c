/* What programs of this machine hand in: lines of any kind, header fields, lists of addresses. And
 * requests and replies of the control socket. */
#include "control.h"
#include "mail_header.h"
#include "mail_text.h"

#include "fuzz.h"

#define TEXT_CAP 65536

static uint8_t memory[2][TEXT_CAP];

static struct slice made(struct slice in, bool ends_at_dot, uint32_t seed, uint8_t *into)
{
    struct mail_text t = {.ends_at_dot = ends_at_dot};
    struct buf out = buf_make(into, TEXT_CAP);
    bool ended = false;
    while (in.len > 0 && !ended) {
        struct slice piece = seed == 0 ? in : fuzz_piece(&in, &seed);
        if (seed == 0) {
            in.len = 0;
        }
        ended = mail_text_take(&t, &piece, &out);
        MUST(ended || piece.len == 0);
    }
    mail_text_end(&t, &out);
    MUST(!out.overflow);
    return buf_slice(&out);
}

/* Lines end in CRLF, none is longer than they may be, and there is no NUL. */
static void check_lines(struct slice text)
{
    size_t line_len = 0;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];
        MUST(c != 0);
        MUST(c != '\n' || (i > 0 && text.ptr[i - 1] == '\r'));
        MUST(c != '\r' || (i + 1 < text.len && text.ptr[i + 1] == '\n'));
        line_len = c == '\n' ? 0 : line_len + 1;
        MUST(line_len <= 999);
    }
    MUST(line_len == 0);
}

static void check_addresses(struct slice list)
{
    uint8_t bytes[MAIL_ADDRESS_CAP];
    struct slice bad, before;
    struct address a, again;
    enum err err;
    do {
        before = list;
        err = mail_address_next(&list, SLICE_LITERAL("home.example"), bytes, &a, &bad);
        fuzz_inside(list, before.ptr, before.len);
        if (err == ERR_OK) {
            MUST(address_parse(a.text, &again) == ADDRESS_OK && a.domain.len > 0);
        } else if (err != ERR_EOF) {
            fuzz_inside(bad, before.ptr, before.len);
        }
        MUST(err == ERR_EOF || list.len < before.len);
    } while (err != ERR_EOF);
}

static void check_header(struct slice text)
{
    struct mail_header h;
    struct mail_field f;
    mail_header_read(text, &h);
    fuzz_inside(h.body, text.ptr, text.len);
    MUST(h.fields.len + h.body.len == text.len || h.fields.len + h.body.len + 2 == text.len);
    struct slice rest = h.fields;
    while (mail_header_next(&rest, &f)) {
        fuzz_inside(f.value, f.whole.ptr, f.whole.len);
        MUST(f.name.len > 0 && f.name.len + 1 + f.value.len <= f.whole.len);
        check_addresses(f.value);
    }
    MUST(rest.len == 0);
}

static void check_control(struct slice in)
{
    struct control c = {0};
    struct control_request request;
    struct slice rest = in, text;
    enum control_line kind;
    enum err result;
    if (control_feed(&c, &rest, &request) == ERR_OK) {
        MUST(request.num_words > 0 && request.num_words <= CONTROL_WORDS_MAX);
        for (uint32_t i = 0; i < request.num_words; i++) {
            fuzz_inside(request.words[i], c.line, c.line_len);
            MUST(request.words[i].len > 0);
        }
    }
    rest = in;
    while (control_read(&rest, &kind, &text, &result) == ERR_OK) {
        fuzz_inside(text, in.ptr, in.len);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct slice in = slice_make(data, len < TEXT_CAP / 4 - 16 ? len : TEXT_CAP / 4 - 16);
    bool ends_at_dot = (fuzz_choice(&in) & 1) != 0;
    struct slice whole = made(in, ends_at_dot, 0, memory[0]);
    struct slice pieces = made(in, ends_at_dot, (uint32_t)len + 1, memory[1]);
    MUST(slice_equal(whole, pieces));
    check_lines(whole);
    check_header(whole);
    check_addresses(in);
    check_control(in);
    return 0;
}

/* Reports about whatever others say: none of it gets a line of its own, and parameters that are
 * taken decode to what may be told onward. Fields are parted by NUL. */
#include "dsn.h"
#include "envelope.h"
#include "xtext.h"

#include "fuzz.h"

static struct slice take_field(struct slice *in)
{
    const uint8_t *end = in->len == 0 ? NULL : memchr(in->ptr, 0, in->len);
    struct slice field = slice_make(NULL, 0);
    (void)slice_take(in, end == NULL ? in->len : (size_t)(end - in->ptr), &field);
    (void)slice_skip(in, end == NULL ? 0 : 1);
    return field;
}

static struct slice at_most(struct slice s, size_t len)
{
    return slice_make(s.ptr, s.len < len ? s.len : len);
}

static void must_be_printable(struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        MUST(s.ptr[i] >= ' ' && s.ptr[i] != 0x7f);
    }
}

/* As many lines as the text has without anything of others, or more only by folding. */
static void must_be_lines(struct slice text, size_t num_lines)
{
    size_t line_at = 0;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];
        MUST(c >= ' ' || c == '\t' || (c == '\r' && i + 1 < text.len && text.ptr[i + 1] == '\n') ||
             (c == '\n' && i > 0 && text.ptr[i - 1] == '\r'));
        if (c != '\n') {
            continue;
        }
        bool is_folded = text.ptr[line_at] == ' ' && text.ptr[line_at + 1] > ' ';
        MUST(is_folded || num_lines-- > 0);
        MUST(i + 1 - line_at <= 1000);
        line_at = i + 1;
    }
    MUST(num_lines == 0 && line_at == text.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static uint8_t bytes[DSN_PIECE_MAX];
    struct slice in = slice_make(data, len);
    uint8_t choice = fuzz_choice(&in);
    bool smtputf8 = (choice & 1) != 0;
    uint8_t orcpt_bytes[ENVELOPE_ORCPT_MAX], envid_bytes[ENVELOPE_ENVID_MAX];
    struct buf orcpt = buf_make(orcpt_bytes, sizeof orcpt_bytes);
    struct buf envid = buf_make(envid_bytes, sizeof envid_bytes);
    struct slice text = take_field(&in);
    if (xtext_take_orcpt(text, smtputf8, &orcpt)) {
        must_be_printable(buf_slice(&orcpt));
        MUST(orcpt.len <= text.len && memchr(orcpt.ptr, ';', orcpt.len) != NULL);
    } else {
        MUST(orcpt.len == 0);
    }
    text = take_field(&in);
    MUST(xtext_take_envid(text, &envid) == (envid.len != 0));
    must_be_printable(buf_slice(&envid));

    struct dsn d = {.hostname = SLICE_LITERAL("mx.example"),
                    .now_s = 1,
                    .arrival_s = 1,
                    .actions = 1u << (choice >> 5 & 3),
                    .is_utf8 = (choice & 2) != 0,
                    .envid = buf_slice(&envid)};
    struct dsn_rcpt r = {.action = (enum dsn_action)(choice >> 5 & 3),
                         .orcpt = buf_slice(&orcpt),
                         .is_peers_reply = (choice & 4) != 0};
    d.to = at_most(take_field(&in), 254);
    /* Of an address, as it may be: its local part alone is quoted. */
    r.address = at_most(take_field(&in), 100);
    r.remote_mta = at_most(take_field(&in), 255);
    r.reply = take_field(&in);

    struct buf b = buf_make(bytes, sizeof bytes);
    MUST(dsn_put_head(&b, &d));
    must_be_lines(buf_slice(&b), d.is_utf8 ? 17u : 15u);
    b.len = 0;
    MUST(dsn_put_fields(&b, &d, &r));
    bool has_orcpt = orcpt.len != 0 && b.len > 24 && memcmp(bytes + 2, "Original", 8) == 0;
    must_be_lines(buf_slice(&b), 4u + has_orcpt + (r.remote_mta.len != 0) + (r.reply.len != 0));
    return 0;
}

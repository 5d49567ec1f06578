/* Dovecot's authentication protocol: see dovecot_auth.h. */
#include "dovecot_auth.h"

#include "text.h"

/* Up to the next tab, which is dropped, or the end. */
static struct slice take_field(struct slice *line)
{
    struct slice out;
    const uint8_t *tab = line->len == 0 ? NULL : memchr(line->ptr, '\t', line->len);
    slice_take(line, tab == NULL ? line->len : (size_t)(tab - line->ptr), &out);
    slice_skip(line, tab == NULL ? 0 : 1);
    return out;
}

static enum dovecot_word word_of(struct slice text)
{
    static const struct {
        const char *text;
        enum dovecot_word word;
    } words[] = {
        {"VERSION", DOVECOT_VERSION}, {"MECH", DOVECOT_MECH}, {"DONE", DOVECOT_DONE},
        {"CONT", DOVECOT_CONT},       {"OK", DOVECOT_OK},     {"FAIL", DOVECOT_FAIL},
    };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (slice_equal(text, slice_of_string(words[i].text))) {
            return words[i].word;
        }
    }
    return DOVECOT_OTHER;
}

static void read_parameters(struct slice line, struct dovecot_line *out)
{
    out->value = slice_make(NULL, 0);
    while (line.len != 0) {
        struct slice field = take_field(&line), name;
        if (slice_equal(field, SLICE_LITERAL("temp")) || /* until 2.2; then: */
            slice_equal(field, SLICE_LITERAL("code=temp_fail"))) {
            out->is_temporary = true;
        }
        if (slice_take(&field, 5, &name) && slice_equal(name, SLICE_LITERAL("user="))) {
            out->value = field;
        }
    }
}

bool dovecot_take_line(struct slice *in, struct dovecot_line *out)
{
    struct slice line;
    uint64_t number = 0;
    const uint8_t *end = in->len == 0 ? NULL : memchr(in->ptr, '\n', in->len);
    if (end == NULL) {
        return false;
    }
    slice_take(in, (size_t)(end - in->ptr), &line);
    slice_skip(in, 1);
    memset(out, 0, sizeof *out);
    out->word = word_of(take_field(&line));
    if (out->word == DOVECOT_OTHER || out->word == DOVECOT_DONE) {
        return true;
    }
    out->value = take_field(&line);
    if (out->word == DOVECOT_MECH) {
        return true;
    }
    (void)text_parse_u64(out->value, UINT32_MAX, &number);
    out->number = (uint32_t)number;
    if (out->word == DOVECOT_CONT) {
        out->value = take_field(&line);
    } else {
        read_parameters(line, out);
    }
    return true;
}

bool dovecot_put_hello(struct buf *b, uint32_t number)
{
    buf_put_string(b, "VERSION\t1\t1\nCPID\t");
    text_put_u64(b, number);
    return buf_put_string(b, "\n") && !b->overflow;
}

bool dovecot_put_auth(struct buf *b, uint32_t id, const char *mechanism,
                      const struct net_addr *peer, const struct slice *response)
{
    buf_put_string(b, "AUTH\t");
    text_put_u64(b, id);
    buf_put_string(b, "\t");
    buf_put_string(b, mechanism);
    buf_put_string(b, "\tservice=smtp\tsecured\tnologin\trip=");
    net_addr_put(b, peer);
    if (response != NULL) {
        buf_put_string(b, "\tresp=");
        buf_put(b, *response);
    }
    return buf_put_string(b, "\n") && !b->overflow;
}

bool dovecot_put_cont(struct buf *b, uint32_t id, struct slice response)
{
    buf_put_string(b, "CONT\t");
    text_put_u64(b, id);
    buf_put_string(b, "\t");
    buf_put(b, response);
    return buf_put_string(b, "\n") && !b->overflow;
}

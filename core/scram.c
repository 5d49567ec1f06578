/* SCRAM messages: see scram.h. The grammar is RFC 5802 section 7's. */
#include "scram.h"

#include "text.h"

/* Up to the next comma, which stays, or the end. */
static struct slice take_to_comma(struct slice *in)
{
    struct slice out;
    const uint8_t *comma = in->len == 0 ? NULL : memchr(in->ptr, ',', in->len);
    slice_take(in, comma == NULL ? in->len : (size_t)(comma - in->ptr), &out);
    return out;
}

static bool take_comma(struct slice *in)
{
    return in->len != 0 && in->ptr[0] == ',' && slice_skip(in, 1);
}

/* attr-val = ALPHA "=" value, with a value of 1 to max octets and no NUL in it. */
static bool take_value(struct slice *in, char letter, size_t max, struct slice *out)
{
    if (in->len < 2 || in->ptr[0] != letter || in->ptr[1] != '=') {
        return false;
    }
    slice_skip(in, 2);
    *out = take_to_comma(in);
    return out->len != 0 && out->len <= max && memchr(out->ptr, 0, out->len) == NULL;
}

/* r = 1*(%x21-2B / %x2D-7E) */
static bool take_nonce(struct slice *in, size_t max, struct slice *out)
{
    if (!take_value(in, 'r', max, out)) {
        return false;
    }
    for (size_t i = 0; i < out->len; i++) {
        if (out->ptr[i] <= ' ' || out->ptr[i] >= 0x7f) {
            return false;
        }
    }
    return true;
}

/* Behind what is known nothing follows, or extensions: "," attr-val ["," ...]. */
static bool is_end(struct slice in)
{
    while (take_comma(&in)) {
        struct slice extension = take_to_comma(&in);
        if (extension.len < 3 || !text_is_alpha(extension.ptr[0]) || extension.ptr[1] != '=' ||
            extension.ptr[0] == 'm') {
            return false;
        }
    }
    return in.len == 0;
}

/* gs2-header = ("p=" cb-name / "n" / "y") "," ["a=" saslname] "," */
static bool take_gs2(struct slice *in, struct scram_client_first *out)
{
    const uint8_t *begin = in->ptr;
    out->binding_type = out->authzid = slice_make(NULL, 0);
    if (in->len == 0) {
        return false;
    }
    out->binding = (enum scram_binding)in->ptr[0];
    if (out->binding == SCRAM_BINDING) {
        if (!take_value(in, 'p', SCRAM_NAME_MAX, &out->binding_type)) {
            return false;
        }
    } else if (out->binding != SCRAM_NO_BINDING && out->binding != SCRAM_NOT_OFFERED) {
        return false;
    } else {
        slice_skip(in, 1);
    }
    if (!take_comma(in) ||
        (in->len != 0 && in->ptr[0] != ',' &&
         !take_value(in, 'a', 3 * SCRAM_NAME_MAX, &out->authzid)) ||
        !take_comma(in)) {
        return false;
    }
    out->gs2 = slice_make(begin, (size_t)(in->ptr - begin));
    return true;
}

bool scram_parse_client_first(struct slice message, struct scram_client_first *out)
{
    if (message.len > SCRAM_MESSAGE_MAX || !take_gs2(&message, out)) {
        return false;
    }
    out->bare = message;
    return take_value(&message, 'n', 3 * SCRAM_NAME_MAX, &out->name) && take_comma(&message) &&
           take_nonce(&message, SCRAM_NONCE_MAX, &out->nonce) && is_end(message);
}

bool scram_parse_server_first(struct slice message, struct scram_server_first *out)
{
    struct slice count;
    uint64_t iterations;
    if (message.len > SCRAM_MESSAGE_MAX ||
        !take_nonce(&message, 2 * SCRAM_NONCE_MAX, &out->nonce) || !take_comma(&message) ||
        !take_value(&message, 's', SCRAM_SALT_MAX / 3 * 4 + 4, &out->salt) ||
        !take_comma(&message) || !take_value(&message, 'i', 8, &count) ||
        !text_parse_u64(count, SCRAM_ITERATIONS_MAX, &iterations) ||
        iterations < SCRAM_ITERATIONS_MIN) {
        return false;
    }
    out->iterations = (uint32_t)iterations;
    return is_end(message);
}

bool scram_parse_client_final(struct slice message, struct scram_client_final *out)
{
    const uint8_t *begin = message.ptr;
    if (message.len > SCRAM_MESSAGE_MAX ||
        !take_value(&message, 'c', SCRAM_MESSAGE_MAX, &out->binding) || !take_comma(&message) ||
        !take_nonce(&message, 2 * SCRAM_NONCE_MAX, &out->nonce)) {
        return false;
    }
    while (message.len > 1 && message.ptr[1] != 'p') { /* extensions stand before the proof */
        slice_skip(&message, 1);
        struct slice extension = take_to_comma(&message);
        if (extension.len < 3 || extension.ptr[1] != '=' || extension.ptr[0] == 'm') {
            return false;
        }
    }
    out->without_proof = slice_make(begin, (size_t)(message.ptr - begin));
    return take_comma(&message) && take_value(&message, 'p', 64, &out->proof) && message.len == 0;
}

bool scram_parse_server_final(struct slice message, struct slice *out_signature)
{
    return take_value(&message, 'v', 64, out_signature) && is_end(message);
}

bool scram_unescape_name(struct buf *b, struct slice escaped)
{
    uint8_t c;
    while (slice_u8(&escaped, &c)) {
        struct slice code = {NULL, 0};
        if (c == '=') {
            slice_take(&escaped, 2, &code);
            bool is_comma = slice_equal(code, SLICE_LITERAL("2C"));
            if (!is_comma && !slice_equal(code, SLICE_LITERAL("3D"))) {
                return false;
            }
            c = is_comma ? ',' : '=';
        }
        if (!buf_put_u8(b, c)) {
            return false;
        }
    }
    return true;
}

bool scram_escape_name(struct buf *b, struct slice name)
{
    uint8_t c;
    while (slice_u8(&name, &c)) {
        if (c == ',' || c == '=') {
            buf_put_string(b, c == ',' ? "=2C" : "=3D");
        } else {
            buf_put_u8(b, c);
        }
    }
    return !b->overflow;
}

/* The users file: see auth_users.h. */
#include "auth_users.h"

#include "address.h"
#include "base64.h"
#include "text.h"

#define KIND SLICE_LITERAL("SCRAM-SHA-256$")

/* Up to that character, which is dropped; false, and nothing moves, if it is not there. */
static bool take_to(struct slice *in, char end, struct slice *out)
{
    const uint8_t *at = in->len == 0 ? NULL : memchr(in->ptr, end, in->len);
    return at != NULL && slice_take(in, (size_t)(at - in->ptr), out) && slice_skip(in, 1);
}

static bool is_printable(struct slice text, uint8_t lowest)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < lowest || text.ptr[i] >= 0x7f) {
            return false;
        }
    }
    return text.len != 0;
}

bool auth_is_password(struct slice text)
{
    return is_printable(text, ' ');
}

bool auth_is_name(struct slice text)
{
    return text.len <= AUTH_NAME_MAX && is_printable(text, '!') &&
           memchr(text.ptr, ':', text.len) == NULL && text.ptr[0] != '#';
}

static bool take_verifier(struct slice *in, struct scram_verifier *out)
{
    struct slice kind, count, salt, stored, server;
    uint64_t iterations;
    struct buf salt_bytes = buf_make(out->salt, sizeof out->salt);
    if (!slice_take(in, KIND.len, &kind) || !slice_equal(kind, KIND) || !take_to(in, ':', &count) ||
        !take_to(in, '$', &salt) || !take_to(in, ':', &stored)) {
        return false;
    }
    if (!take_to(in, ' ', &server)) {
        slice_take(in, in->len, &server);
    }
    if (!text_parse_u64(count, SCRAM_ITERATIONS_MAX, &iterations) ||
        iterations < SCRAM_ITERATIONS_MIN || !base64_take(salt, &salt_bytes) ||
        salt_bytes.len == 0 || !base64_take_exactly(stored, out->stored_key, SCRAM_KEY_LEN) ||
        !base64_take_exactly(server, out->server_key, SCRAM_KEY_LEN)) {
        return false;
    }
    out->iterations = (uint32_t)iterations;
    out->salt_len = (uint32_t)salt_bytes.len;
    return true;
}

static enum auth_line read_line(struct slice line, struct auth_user *out)
{
    memset(out, 0, sizeof *out);
    while (line.len != 0 && (line.ptr[line.len - 1] == '\r' || line.ptr[line.len - 1] == ' ')) {
        line.len--;
    }
    if (line.len == 0 || line.ptr[0] == '#') {
        return AUTH_LINE_EMPTY;
    }
    if (!take_to(&line, ':', &out->name)) {
        return AUTH_LINE_WRONG;
    }
    if (out->name.len == 0) {
        uint8_t secret[AUTH_SECRET_LEN];
        out->name = line;
        return base64_take_exactly(line, secret, sizeof secret) ? AUTH_LINE_SECRET
                                                                : AUTH_LINE_WRONG;
    }
    if (!auth_is_name(out->name) || !take_verifier(&line, &out->verifier) ||
        line.len > AUTH_SENDERS_MAX) {
        return AUTH_LINE_WRONG;
    }
    out->senders = line;
    return AUTH_LINE_USER;
}

bool auth_users_next(struct slice *text, enum auth_line *out_kind, struct auth_user *out)
{
    struct slice line;
    if (text->len == 0) {
        return false;
    }
    if (!take_to(text, '\n', &line)) {
        slice_take(text, text->len, &line);
    }
    *out_kind = read_line(line, out);
    return true;
}

static bool are_senders(struct slice senders)
{
    struct slice one;
    struct address a;
    while (senders.len != 0) {
        if (!take_to(&senders, ' ', &one)) {
            slice_take(&senders, senders.len, &one);
        }
        if (one.len != 0 && address_parse(one, &a) != ADDRESS_OK) { /* as which *@DOMAIN passes */
            return false;
        }
    }
    return true;
}

/* 16 bytes of salt and 64 of keys, whatever secret there is. */
static void make_up(struct auth_user *out, struct slice name, struct slice secret,
                    uint32_t iterations)
{
    uint8_t bytes[SCRAM_KEY_LEN];
    const struct slice salt_parts[] = {SLICE_LITERAL("salt:"), name};
    const struct slice key_parts[] = {SLICE_LITERAL("key:"), name};
    memset(out, 0, sizeof *out);
    scram_hmac(bytes, secret, salt_parts, 2);
    memcpy(out->verifier.salt, bytes, AUTH_SALT_LEN);
    out->verifier.salt_len = AUTH_SALT_LEN;
    scram_hmac(out->verifier.stored_key, secret, key_parts, 2);
    memcpy(out->verifier.server_key, out->verifier.stored_key, SCRAM_KEY_LEN);
    out->verifier.iterations = iterations;
}

bool auth_users_find(struct slice text, struct slice name, struct auth_user *out)
{
    struct auth_user user, nobody;
    enum auth_line kind;
    struct slice secret = text; /* which nobody knows either, where no line holds one */
    uint32_t iterations = 0;
    bool is_found = false;
    while (auth_users_next(&text, &kind, &user)) {
        if (kind == AUTH_LINE_SECRET) {
            secret = user.name;
        } else if (kind == AUTH_LINE_USER) {
            iterations = iterations == 0 ? user.verifier.iterations : iterations;
            if (!is_found && slice_equal(user.name, name)) {
                *out = user;
                is_found = true;
            }
        }
    }
    make_up(&nobody, name, secret, iterations == 0 ? AUTH_ITERATIONS : iterations);
    if (!is_found) {
        *out = nobody;
    }
    return is_found;
}

uint32_t auth_users_check(struct slice text, bool with_senders)
{
    struct auth_user user;
    enum auth_line kind;
    for (uint32_t number = 1; auth_users_next(&text, &kind, &user); number++) {
        if (kind == AUTH_LINE_WRONG ||
            (with_senders && kind == AUTH_LINE_USER && !are_senders(user.senders))) {
            return number;
        }
    }
    return 0;
}

bool auth_users_put(struct buf *b, const struct auth_user *user)
{
    const struct scram_verifier *v = &user->verifier;
    buf_put(b, user->name);
    buf_put_string(b, ":");
    buf_put(b, KIND);
    text_put_u64(b, v->iterations);
    buf_put_string(b, ":");
    base64_put(b, slice_make(v->salt, v->salt_len));
    buf_put_string(b, "$");
    base64_put(b, slice_make(v->stored_key, SCRAM_KEY_LEN));
    buf_put_string(b, ":");
    base64_put(b, slice_make(v->server_key, SCRAM_KEY_LEN));
    if (user->senders.len != 0) {
        buf_put_string(b, " ");
        buf_put(b, user->senders);
    }
    buf_put_string(b, "\n");
    return !b->overflow;
}

bool auth_senders_hold(struct slice senders, struct slice local, struct slice domain)
{
    while (senders.len != 0) {
        struct slice one, front;
        if (!take_to(&senders, ' ', &one)) {
            slice_take(&senders, senders.len, &one);
        }
        bool is_split = take_to(&one, '@', &front);
        if (is_split && (slice_equal(front, SLICE_LITERAL("*")) || slice_equal(front, local)) &&
            text_equal_nocase(one, domain)) {
            return true;
        }
    }
    return false;
}

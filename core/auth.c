/* The server's side of SASL: see auth.h.
 *
 *     step        a response comes        what it leads to
 *     NAME        LOGIN: the name         PASSWORD
 *     PASSWORD    the password (PLAIN: with the name)  AUTH_WORK, then the verdict
 *     FIRST       SCRAM: client-first     FINAL
 *     FINAL       SCRAM: client-final     LAST, or denied
 *     LAST        SCRAM: nothing          granted
 */
#include "auth.h"

#include "base64.h"
#include "text.h"

enum auth_step { STEP_NAME, STEP_PASSWORD, STEP_FIRST, STEP_FINAL, STEP_LAST, STEP_OVER };

bool auth_mechanism_find(struct slice name, enum auth_mechanism *out)
{
    static const char *const names[] = {"PLAIN", "LOGIN", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"};
    _Static_assert(sizeof names / sizeof names[0] == NUM_AUTH_MECHANISMS, "one name a mechanism");
    for (size_t i = 0; i < NUM_AUTH_MECHANISMS; i++) {
        if (text_equal_nocase(name, slice_of_string(names[i]))) {
            *out = (enum auth_mechanism)i;
            return true;
        }
    }
    return false;
}

void auth_open(struct auth *a, enum auth_mechanism m, struct slice exporter, struct buf *out)
{
    static const uint8_t first_steps[] = {STEP_PASSWORD, STEP_NAME, STEP_FIRST, STEP_FIRST};
    memset(a, 0, sizeof *a);
    a->mechanism = (uint8_t)m;
    a->step = first_steps[m];
    a->is_possible = true;
    a->has_exporter = exporter.len == sizeof a->exporter;
    if (a->has_exporter) {
        memcpy(a->exporter, exporter.ptr, sizeof a->exporter);
    }
    if (m == AUTH_LOGIN) {
        buf_put_string(out, "Username:");
    }
}

static enum auth_event end(struct auth *a, enum auth_event event)
{
    a->step = STEP_OVER;
    return event;
}

static bool keep(uint8_t *out, size_t cap, struct slice bytes)
{
    if (bytes.len == 0 || bytes.len > cap) {
        return false;
    }
    memcpy(out, bytes.ptr, bytes.len);
    return true;
}

static bool keep_name(struct auth *a, struct slice name)
{
    a->name_len = (uint8_t)name.len;
    return keep(a->name, sizeof a->name, name);
}

static enum auth_event take_password(struct auth *a, struct slice password)
{
    if (!keep(a->first, sizeof a->first, password)) {
        return end(a, AUTH_MALFORMED);
    }
    a->first_len = (uint16_t)password.len;
    a->is_possible = a->is_possible && auth_is_password(password);
    return AUTH_WHO;
}

static bool take_to_nul(struct slice *in, struct slice *out)
{
    const uint8_t *nul = in->len == 0 ? NULL : memchr(in->ptr, 0, in->len);
    return nul != NULL && slice_take(in, (size_t)(nul - in->ptr), out) && slice_skip(in, 1);
}

/* message = [authzid] NUL authcid NUL passwd (RFC 4616 2); nobody may act for somebody else. */
static enum auth_event take_plain(struct auth *a, struct slice message)
{
    struct slice authzid, name;
    if (!take_to_nul(&message, &authzid) || !take_to_nul(&message, &name) ||
        (message.len != 0 && memchr(message.ptr, 0, message.len) != NULL) || !keep_name(a, name)) {
        return end(a, AUTH_MALFORMED);
    }
    a->is_possible = authzid.len == 0 || slice_equal(authzid, name);
    return take_password(a, message);
}

static bool unescape(struct buf *b, struct slice text)
{
    b->len = 0;
    return scram_unescape_name(b, text);
}

static enum auth_event take_first(struct auth *a, struct slice message)
{
    struct scram_client_first m;
    uint8_t bytes[SCRAM_NAME_MAX];
    struct buf text = buf_make(bytes, sizeof bytes);
    bool is_plus = a->mechanism == AUTH_SCRAM_PLUS;
    if (!scram_parse_client_first(message, &m) || !unescape(&text, m.name) ||
        !keep_name(a, buf_slice(&text)) || (m.binding == SCRAM_BINDING) != is_plus ||
        (m.authzid.len != 0 && !unescape(&text, m.authzid))) {
        return end(a, AUTH_MALFORMED);
    }
    /* A client that was not told of -PLUS was lied to on its way (RFC 5802 6). */
    if ((m.binding == SCRAM_NOT_OFFERED && a->has_exporter) ||
        (is_plus &&
         (!a->has_exporter || !slice_equal(m.binding_type, SLICE_LITERAL("tls-exporter"))))) {
        return end(a, AUTH_DENIED);
    }
    a->is_possible = m.authzid.len == 0 || slice_equal(buf_slice(&text), auth_name(a));
    a->gs2_len = (uint16_t)m.gs2.len;
    a->first_len = (uint16_t)message.len;
    memcpy(a->first, message.ptr, message.len);
    return AUTH_WHO;
}

static enum auth_event put_challenge(struct auth *a, struct slice nonce, struct buf *out)
{
    struct scram_client_first m;
    struct buf text = buf_make(a->challenge, sizeof a->challenge);
    if (!scram_parse_client_first(slice_make(a->first, a->first_len), &m)) {
        return end(a, AUTH_MALFORMED);
    }
    buf_put_string(&text, "r=");
    buf_put(&text, m.nonce);
    base64_put(&text, nonce);
    buf_put_string(&text, ",s=");
    base64_put(&text, slice_make(a->verifier.salt, a->verifier.salt_len));
    buf_put_string(&text, ",i=");
    text_put_u64(&text, a->verifier.iterations);
    a->challenge_len = (uint16_t)text.len;
    if (text.overflow || !buf_put(out, buf_slice(&text))) {
        return end(a, AUTH_MALFORMED);
    }
    a->step = STEP_FINAL;
    return AUTH_CHALLENGE;
}

/* cbind-input = gs2-header [cbind-data] */
static bool is_bound(const struct auth *a, struct slice text)
{
    uint8_t bytes[SCRAM_MESSAGE_MAX];
    struct buf got = buf_make(bytes, sizeof bytes);
    struct slice rest, gs2;
    if (!base64_take(text, &got)) {
        return false;
    }
    rest = buf_slice(&got);
    return slice_take(&rest, a->gs2_len, &gs2) &&
           slice_equal(gs2, slice_make(a->first, a->gs2_len)) &&
           (a->mechanism == AUTH_SCRAM_PLUS
                ? rest.len == sizeof a->exporter &&
                      scram_equal(rest.ptr, a->exporter, sizeof a->exporter)
                : rest.len == 0);
}

static enum auth_event take_final(struct auth *a, struct slice message, struct buf *out)
{
    struct scram_client_final m;
    struct scram_server_first ours;
    uint8_t proof[SCRAM_KEY_LEN], signature[SCRAM_KEY_LEN];
    struct slice challenge = slice_make(a->challenge, a->challenge_len);
    if (!scram_parse_client_final(message, &m) || !scram_parse_server_first(challenge, &ours) ||
        !base64_take_exactly(m.proof, proof, sizeof proof)) {
        return end(a, AUTH_MALFORMED);
    }
    const struct slice auth_message[] = {
        slice_make(a->first + a->gs2_len, (size_t)(a->first_len - a->gs2_len)), SLICE_LITERAL(","),
        challenge, SLICE_LITERAL(","), m.without_proof};
    const size_t num_parts = sizeof auth_message / sizeof auth_message[0];
    bool is_good = scram_proof_is_good(proof, a->verifier.stored_key, auth_message, num_parts);
    is_good = slice_equal(m.nonce, ours.nonce) && is_good;
    is_good = is_bound(a, m.binding) && is_good;
    if (!is_good || !a->is_known || !a->is_possible) {
        return end(a, AUTH_DENIED);
    }
    scram_hmac(signature, slice_make(a->verifier.server_key, SCRAM_KEY_LEN), auth_message,
               num_parts);
    buf_put_string(out, "v=");
    base64_put(out, slice_make(signature, sizeof signature));
    a->step = STEP_LAST;
    return AUTH_CHALLENGE;
}

enum auth_event auth_take(struct auth *a, struct slice message, struct buf *out)
{
    switch ((enum auth_step)a->step) {
    case STEP_NAME:
        if (!keep_name(a, message)) {
            return end(a, AUTH_MALFORMED);
        }
        buf_put_string(out, "Password:");
        a->step = STEP_PASSWORD;
        return AUTH_CHALLENGE;
    case STEP_PASSWORD:
        return a->mechanism == AUTH_PLAIN ? take_plain(a, message) : take_password(a, message);
    case STEP_FIRST:
        return take_first(a, message);
    case STEP_FINAL:
        return take_final(a, message, out);
    case STEP_LAST:
        return end(a, message.len == 0 ? AUTH_GRANTED : AUTH_MALFORMED);
    case STEP_OVER:
        break;
    }
    return AUTH_MALFORMED;
}

enum auth_event auth_give(struct auth *a, const struct scram_verifier *v, bool is_known,
                          struct slice nonce, struct buf *out)
{
    a->verifier = *v;
    a->is_known = is_known;
    if (a->step == STEP_FIRST) {
        return put_challenge(a, nonce, out);
    }
    scram_salting_begin(&a->salting, slice_make(a->first, a->first_len),
                        slice_make(v->salt, v->salt_len), v->iterations);
    return AUTH_WORK;
}

enum auth_event auth_work(struct auth *a)
{
    uint8_t stored[SCRAM_KEY_LEN], server[SCRAM_KEY_LEN];
    if (!scram_salting_step(&a->salting, SCRAM_PIECE)) {
        return AUTH_WORK;
    }
    scram_keys_make(a->salting.salted, stored, server);
    bool is_good = scram_equal(stored, a->verifier.stored_key, sizeof stored);
    return end(a, is_good && a->is_known && a->is_possible ? AUTH_GRANTED : AUTH_DENIED);
}

struct slice auth_name(const struct auth *a)
{
    return slice_make(a->name, a->name_len);
}

void auth_close(struct auth *a)
{
    scram_wipe(a, sizeof *a);
}

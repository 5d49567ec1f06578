/* SCRAM, the client's side: see scram_client.h. */
#include "scram_client.h"

#include "base64.h"

#define NONCE_BYTES 18 /* become 24 characters, without padding */

bool scram_client_first(struct scram_client *c, struct slice name, struct slice random,
                        enum scram_binding how, struct slice exporter, struct buf *out)
{
    struct slice nonce;
    struct buf binding = buf_make(c->binding, sizeof c->binding);
    struct buf bare = buf_make(c->bare, sizeof c->bare);
    if (name.len == 0 || name.len > SCRAM_NAME_MAX || !slice_take(&random, NONCE_BYTES, &nonce)) {
        return false;
    }
    buf_put_u8(&binding, (uint8_t)how);
    buf_put_string(&binding, how == SCRAM_BINDING ? "=tls-exporter,," : ",,");
    c->gs2_len = (uint8_t)binding.len;
    if (how == SCRAM_BINDING) {
        buf_put(&binding, exporter);
    }
    c->binding_len = (uint8_t)binding.len;
    buf_put_string(&bare, "n=");
    scram_escape_name(&bare, name);
    buf_put_string(&bare, ",r=");
    base64_put(&bare, nonce);
    c->nonce_len = BASE64_LEN(NONCE_BYTES);
    c->bare_len = (uint16_t)bare.len;
    return !bare.overflow && !binding.overflow &&
           buf_put(out, slice_make(c->binding, c->gs2_len)) && buf_put(out, buf_slice(&bare));
}

bool scram_client_challenge(struct scram_client *c, struct slice message, struct slice password)
{
    struct scram_server_first first;
    uint8_t salt_bytes[SCRAM_SALT_MAX];
    struct buf salt = buf_make(salt_bytes, sizeof salt_bytes);
    const uint8_t *ours = c->bare + c->bare_len - c->nonce_len;
    if (message.len > sizeof c->challenge || !scram_parse_server_first(message, &first) ||
        first.nonce.len <= c->nonce_len || memcmp(first.nonce.ptr, ours, c->nonce_len) != 0 ||
        !base64_take(first.salt, &salt)) {
        return false;
    }
    memcpy(c->challenge, message.ptr, message.len);
    c->challenge_len = (uint16_t)message.len;
    scram_salting_begin(&c->salting, password, buf_slice(&salt), first.iterations);
    return true;
}

bool scram_client_step(struct scram_client *c)
{
    return scram_salting_step(&c->salting, SCRAM_PIECE);
}

bool scram_client_final(struct scram_client *c, struct buf *out)
{
    struct scram_server_first first;
    uint8_t proof[SCRAM_KEY_LEN], stored[SCRAM_KEY_LEN], server[SCRAM_KEY_LEN];
    struct slice challenge = slice_make(c->challenge, c->challenge_len);
    size_t begin = out->len;
    if (c->salting.num_left != 0 || !scram_parse_server_first(challenge, &first)) {
        return false;
    }
    buf_put_string(out, "c=");
    base64_put(out, slice_make(c->binding, c->binding_len));
    buf_put_string(out, ",r=");
    buf_put(out, first.nonce);
    const struct slice auth_message[] = {slice_make(c->bare, c->bare_len), SLICE_LITERAL(","),
                                         challenge, SLICE_LITERAL(","),
                                         slice_make(out->ptr + begin, out->len - begin)};
    const size_t num_parts = sizeof auth_message / sizeof auth_message[0];
    scram_proof_make(proof, c->salting.salted, auth_message, num_parts);
    scram_keys_make(c->salting.salted, stored, server);
    scram_hmac(c->signature, slice_make(server, sizeof server), auth_message, num_parts);
    buf_put_string(out, ",p=");
    base64_put(out, slice_make(proof, sizeof proof));
    return !out->overflow;
}

bool scram_client_verify(struct scram_client *c, struct slice message)
{
    struct slice text;
    uint8_t signature[SCRAM_KEY_LEN];
    return scram_parse_server_final(message, &text) &&
           base64_take_exactly(text, signature, sizeof signature) &&
           scram_equal(signature, c->signature, sizeof signature);
}

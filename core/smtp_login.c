/* Logging in as a client: see smtp_login.h. */
#include "smtp_login.h"

#include "base64.h"
#include "smtp_answer.h"

static void put_line(struct buf *out, const char *word, struct slice text)
{
    buf_put_string(out, word);
    base64_put(out, text);
    buf_put_string(out, "\r\n");
}

/* [authzid] NUL authcid NUL passwd, RFC 4616 2 */
static void put_plain(const struct smtp_login *l, struct buf *out)
{
    uint8_t bytes[2 * SMTP_LOGIN_TEXT_MAX + 2];
    struct buf message = buf_make(bytes, sizeof bytes);
    buf_put_u8(&message, 0);
    buf_put(&message, l->user);
    buf_put_u8(&message, 0);
    buf_put(&message, l->password);
    put_line(out, "AUTH PLAIN ", buf_slice(&message));
    scram_wipe(bytes, sizeof bytes);
}

static bool put_scram(struct smtp_login *l, struct slice random, struct buf *out)
{
    uint8_t bytes[SCRAM_MESSAGE_MAX];
    struct buf message = buf_make(bytes, sizeof bytes);
    if (!scram_client_first(&l->scram, l->user, random, SCRAM_NO_BINDING, slice_make(NULL, 0),
                            &message)) {
        return false;
    }
    put_line(out, "AUTH SCRAM-SHA-256 ", buf_slice(&message));
    return true;
}

bool smtp_login_begin(struct smtp_login *l, uint32_t offers, struct slice user,
                      struct slice password, struct slice random, struct buf *out)
{
    *l = (struct smtp_login){.user = user, .password = password};
    if ((offers & SMTP_OFFER_AUTH_SCRAM) != 0 && put_scram(l, random, out)) {
        l->mechanism = SMTP_OFFER_AUTH_SCRAM;
    } else if ((offers & SMTP_OFFER_AUTH_PLAIN) != 0) {
        l->mechanism = SMTP_OFFER_AUTH_PLAIN;
        put_plain(l, out);
    } else if ((offers & SMTP_OFFER_AUTH_LOGIN) != 0) {
        l->mechanism = SMTP_OFFER_AUTH_LOGIN;
        buf_put_string(out, "AUTH LOGIN\r\n");
    }
    return l->mechanism != 0;
}

/* The server's first message is followed by work, its last one by an empty line of ours (RFC 4954
 * 4). */
static bool scram_step(struct smtp_login *l, struct slice challenge)
{
    uint8_t bytes[SCRAM_MESSAGE_MAX];
    struct buf message = buf_make(bytes, sizeof bytes);
    if (!base64_take(challenge, &message)) {
        return false;
    }
    if (l->num_steps == 1) {
        l->computes = scram_client_challenge(&l->scram, buf_slice(&message), l->password);
        return l->computes;
    }
    l->is_proved = l->num_steps == 2 && scram_client_verify(&l->scram, buf_slice(&message));
    return l->is_proved;
}

void smtp_login_step(struct smtp_login *l, struct slice challenge, struct buf *out)
{
    l->num_steps++;
    if (l->mechanism == SMTP_OFFER_AUTH_SCRAM && scram_step(l, challenge)) {
        if (!l->computes) {
            buf_put_string(out, "\r\n");
        }
    } else if (l->mechanism == SMTP_OFFER_AUTH_LOGIN && l->num_steps <= 2) {
        /* It asks for the name, then for the password, in whatever words. */
        put_line(out, "", l->num_steps == 1 ? l->user : l->password);
    } else {
        buf_put_string(out, "*\r\n");
    }
}

void smtp_login_turn(struct smtp_login *l, struct buf *out)
{
    uint8_t bytes[SCRAM_MESSAGE_MAX];
    struct buf message = buf_make(bytes, sizeof bytes);
    if (!scram_client_step(&l->scram)) {
        return;
    }
    l->computes = false;
    if (scram_client_final(&l->scram, &message)) {
        put_line(out, "", buf_slice(&message));
    } else {
        buf_put_string(out, "*\r\n");
    }
}

bool smtp_login_is_complete(const struct smtp_login *l)
{
    switch (l->mechanism) {
    case SMTP_OFFER_AUTH_SCRAM:
        return l->is_proved;
    case SMTP_OFFER_AUTH_LOGIN:
        return l->num_steps == 2;
    default:
        return true;
    }
}

void smtp_login_end(struct smtp_login *l)
{
    scram_wipe(l, sizeof *l);
}

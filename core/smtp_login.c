/* Logging in as a client: see smtp_login.h. */
#include "smtp_login.h"

#include "base64.h"
#include "smtp_answer.h"

/* With a line end; the text behind word is never empty. */
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
    memset(bytes, 0, sizeof bytes);
}

bool smtp_login_begin(struct smtp_login *l, uint32_t offers, struct slice user,
                      struct slice password, struct buf *out)
{
    *l = (struct smtp_login){.user = user, .password = password};
    if ((offers & SMTP_OFFER_AUTH_PLAIN) != 0) {
        put_plain(l, out);
        return true;
    }
    if ((offers & SMTP_OFFER_AUTH_LOGIN) != 0) {
        l->is_login = true;
        buf_put_string(out, "AUTH LOGIN\r\n");
        return true;
    }
    return false;
}

void smtp_login_step(struct smtp_login *l, struct slice challenge, struct buf *out)
{
    (void)challenge; /* LOGIN asks for the user, then for the password, in whatever words */
    l->num_steps++;
    if (l->is_login && l->num_steps <= 2) {
        put_line(out, "", l->num_steps == 1 ? l->user : l->password);
    } else {
        buf_put_string(out, "*\r\n");
    }
}

bool smtp_login_is_complete(const struct smtp_login *l)
{
    return !l->is_login || l->num_steps == 2;
}

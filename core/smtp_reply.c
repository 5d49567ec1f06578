/* The reply table: see smtp_reply.h. */
#include "smtp_reply.h"

static const char *const texts[] = {
#define SMTP_REPLY(symbol, class, text) text,
#include "smtp_reply.def"
#undef SMTP_REPLY
};

static const uint8_t classes[] = {
#define SMTP_REPLY(symbol, class, text) SMTP_REPLY_CLASS_##class,
#include "smtp_reply.def"
#undef SMTP_REPLY
};

_Static_assert(sizeof texts / sizeof texts[0] == NUM_SMTP_REPLIES, "one text a reply");
_Static_assert(NUM_SMTP_REPLIES <= UINT8_MAX, "sessions keep a reply in one byte");

enum smtp_reply_class smtp_reply_class(enum smtp_reply r)
{
    return (enum smtp_reply_class)classes[r];
}

bool smtp_reply_is_sequel(enum smtp_reply r)
{
    return memcmp(texts[r], "421", 3) == 0 || memcmp(texts[r], "530", 3) == 0 ||
           memcmp(texts[r] + 4, "5.5.1", 5) == 0;
}

bool smtp_reply_put(struct buf *b, enum smtp_reply r, struct slice argument)
{
    size_t begin = b->len;
    struct slice text = slice_of_string(texts[r]);
    const uint8_t *mark = memchr(text.ptr, '%', text.len);
    bool fits;
    if (mark == NULL) {
        fits = buf_put(b, text);
    } else {
        struct slice head;
        slice_take(&text, (size_t)(mark - text.ptr), &head);
        slice_skip(&text, 1);
        fits = buf_put(b, head) && buf_put(b, argument) && buf_put(b, text);
    }
    if (!fits || !buf_put_string(b, "\r\n")) {
        b->len = begin;
        return false;
    }
    return true;
}

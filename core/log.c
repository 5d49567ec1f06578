/* Log lines: see log.h. */
#include "log.h"

#include "teeth.h"

/* Kept free for the mark of a cut line. */
#define TAIL_LEN 4

void log_begin(struct log_line *l, const char *event)
{
    l->text = buf_make(l->bytes, sizeof l->bytes - TAIL_LEN);
    buf_put_string(&l->text, event);
}

/* Undoes a half-written word, so that a cut line never ends inside one. */
static void keep_whole(struct log_line *l, size_t before_len)
{
    if (l->text.overflow) {
        l->text.len = before_len;
    }
}

static bool begin_word(struct log_line *l, const char *key)
{
    if (l->text.overflow) {
        return false;
    }
    buf_put_u8(&l->text, ' ');
    buf_put_string(&l->text, key);
    buf_put_u8(&l->text, '=');
    return true;
}

void log_word(struct log_line *l, const char *key, const char *word)
{
    log_slice(l, key, slice_of_string(word));
}

void log_u64(struct log_line *l, const char *key, uint64_t value)
{
    size_t before_len = l->text.len;
    if (begin_word(l, key)) {
        text_put_u64(&l->text, value);
        keep_whole(l, before_len);
    }
}

void log_time(struct log_line *l, const char *key, int64_t unix_s)
{
    size_t before_len = l->text.len;
    if (begin_word(l, key)) {
        text_put_time(&l->text, unix_s);
        keep_whole(l, before_len);
    }
}

void log_slice(struct log_line *l, const char *key, struct slice value)
{
    size_t before_len = l->text.len;
    if (begin_word(l, key)) {
        buf_put(&l->text, value);
        keep_whole(l, before_len);
    }
}

void log_peer_text(struct log_line *l, const char *key, struct slice text)
{
    size_t before_len = l->text.len;
    if (begin_word(l, key)) {
        buf_put_u8(&l->text, '"');
        if (BROKEN(LOG_UNESCAPED)) {
            buf_put(&l->text, text);
        } else {
            text_put_escaped(&l->text, text, 256);
        }
        buf_put_u8(&l->text, '"');
        keep_whole(l, before_len);
    }
}

struct slice log_end(struct log_line *l)
{
    if (l->text.overflow) {
        l->text.cap += TAIL_LEN;
        l->text.overflow = false;
        buf_put_string(&l->text, " ...");
    }
    return buf_slice(&l->text);
}

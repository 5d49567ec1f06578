/* Messages of programs: see posix_letter.h. */
#include "posix_letter.h"

#include "base64.h"
#include "mail_header.h"
#include "mail_text.h"
#include "mta.h"
#include "posix_command.h"
#include "posix_entropy.h"
#include "posix_store.h"

#include <errno.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define ADDED_LEN 2048 /* of the fields that are put in front, and an empty line */
#define PIECE_LEN 16384
#define CAP_MIN   65536

enum err letter_add(struct letter *l, struct slice list)
{
    uint8_t bytes[MAIL_ADDRESS_CAP];
    struct address a;
    struct slice bad;
    enum err e, worst = ERR_OK;
    struct slice domain = conf_own_domain(l->conf);
    while ((e = mail_address_next(&list, domain, bytes, &a, &bad)) != ERR_EOF) {
        if (e != ERR_OK) {
            posix_complain_of(bad, "is no address");
            worst = ERR_MALFORMED;
            continue;
        }
        if (l->num_rcpts == OUTBOX_RCPTS_MAX ||
            l->addresses_len + a.text.len > OUTBOX_ADDRESSES_LEN) {
            return ERR_TOO_BIG;
        }
        l->is_smtputf8 = l->is_smtputf8 || a.is_utf8;
        l->rcpts[l->num_rcpts++] =
            (struct letter_rcpt){l->addresses_len, (uint32_t)a.text.len, LETTER_WAITING};
        memcpy(l->addresses + l->addresses_len, a.text.ptr, a.text.len);
        l->addresses_len += (uint32_t)a.text.len;
    }
    return worst;
}

uint32_t letter_waits(const struct letter *l)
{
    uint32_t num = 0;
    for (uint32_t i = 0; i < l->num_rcpts; i++) {
        num += l->rcpts[i].state == LETTER_WAITING;
    }
    return num;
}

/* --- Reading --- */

static enum err read_text(struct letter *l, int fd, bool ends_at_dot, struct buf *out)
{
    static uint8_t piece[PIECE_LEN];
    struct mail_text text = {.ends_at_dot = ends_at_dot};
    bool ended = false;
    while (!ended) {
        ssize_t len = read(fd, piece, sizeof piece);
        if (len < 0 && errno == EINTR) {
            continue;
        }
        if (len < 0) {
            return ERR_IO;
        }
        if (len == 0) {
            break;
        }
        struct slice in = slice_make(piece, (size_t)len);
        ended = mail_text_take(&text, &in, out);
        if (!ended && in.len > 0) {
            return ERR_TOO_BIG;
        }
    }
    mail_text_end(&text, out);
    l->is_8bit = text.has_8bit;
    return out->overflow ? ERR_TOO_BIG : ERR_OK;
}

/* The line that mailboxes have between messages is no field. */
static struct slice without_from_line(struct slice text)
{
    struct slice word, rest = text;
    if (slice_take(&rest, 5, &word) && slice_equal(word, SLICE_LITERAL("From "))) {
        const uint8_t *end = memchr(rest.ptr, '\n', rest.len);
        if (end != NULL) {
            return slice_make(end + 1, (size_t)(rest.ptr + rest.len - (end + 1)));
        }
    }
    return text;
}

/* --- What is missing --- */

#define NAME_MAX_LEN 200
#define WORD_LEN     42 /* of a name, in an encoded word */

/* How much of the text goes into max bytes, without a part of a character. */
static size_t whole_len(struct slice text, size_t max)
{
    size_t len = text.len < max ? text.len : max;
    while (len > max - 4 && len < text.len && (text.ptr[len] & 0xc0) == 0x80) {
        len--;
    }
    return len;
}

/* Encoded words of RFC 2047. */
static void put_encoded(struct buf *out, struct slice name)
{
    struct slice word;
    while (name.len > 0) {
        (void)slice_take(&name, whole_len(name, WORD_LEN), &word);
        buf_put_string(out, "=?UTF-8?B?");
        base64_put(out, word);
        buf_put_string(out, "?=\r\n ");
    }
}

static void put_from(const struct letter *l, struct buf *out)
{
    struct slice name = l->full_name;
    name.len = whole_len(name, NAME_MAX_LEN);
    buf_put_string(out, "From: ");
    if (text_is_8bit(name)) {
        put_encoded(out, name);
    } else if (name.len > 0) {
        buf_put_u8(out, '"');
        for (size_t i = 0; i < name.len; i++) {
            uint8_t c = name.ptr[i];
            if (c == '"' || c == '\\') {
                buf_put_u8(out, '\\');
            }
            buf_put_u8(out, c >= ' ' && c != 0x7f ? c : ' ');
        }
        buf_put_string(out, "\" ");
    }
    buf_put_string(out, "<");
    buf_put(out, l->sender);
    buf_put_string(out, ">\r\n");
}

static void put_message_id(const struct letter *l, struct buf *out)
{
    uint8_t random[12] = {0};
    struct port_entropy entropy;
    posix_entropy_port(&entropy);
    (void)entropy.fill(entropy.ctx, random, sizeof random);
    buf_put_string(out, "Message-ID: <");
    text_put_hex(out, slice_make(random, sizeof random));
    buf_put_string(out, "@");
    buf_put(out, l->conf->primary_hostname);
    buf_put_string(out, ">\r\n");
}

static void put_missing(const struct letter *l, const struct mail_header *h, struct buf *out)
{
    if (!h->has_from && l->sender.len > 0) {
        put_from(l, out);
    }
    int64_t now_s = time(NULL);
    if (!h->has_date && now_s >= POSTERN_BUILD_TIME_S) { /* else the server knows better */
        buf_put_string(out, "Date: ");
        text_put_date(out, now_s);
        buf_put_string(out, "\r\n");
    }
    if (!h->has_message_id) {
        put_message_id(l, out);
    }
}

/* --- The whole --- */

static enum err take_rcpts(struct letter *l, const struct mail_header *h)
{
    struct slice rest = h->fields;
    struct mail_field f;
    enum err e = ERR_OK;
    while (e == ERR_OK && mail_header_next(&rest, &f)) {
        if (mail_field_has_rcpts(&f, h->is_resent)) {
            e = letter_add(l, f.value);
        }
    }
    return e;
}

/* The fields that anybody may see, moved to the front of where they stand. */
static size_t drop_hidden(uint8_t *into, const struct mail_header *h)
{
    struct slice rest = h->fields;
    struct mail_field f;
    size_t len = 0;
    while (mail_header_next(&rest, &f)) {
        if (!mail_field_is_hidden(&f)) {
            memmove(into + len, f.whole.ptr, f.whole.len);
            len += f.whole.len;
        }
    }
    return len;
}

/* text stands ADDED_LEN bytes behind the begin of memory: what is missing goes there, right in
 * front of the fields that are kept, and these right in front of the body. */
static void put_together(struct letter *l, uint8_t *memory, const struct mail_header *h)
{
    uint8_t added_bytes[ADDED_LEN];
    struct buf added = buf_make(added_bytes, sizeof added_bytes - 2);
    put_missing(l, h, &added);
    uint8_t *fields = memory + ADDED_LEN;
    size_t fields_len = drop_hidden(fields, h);
    uint8_t *begin = (uint8_t *)(uintptr_t)h->body.ptr - 2 - fields_len;
    memmove(begin, fields, fields_len);
    memcpy(begin + fields_len, "\r\n", 2);
    begin -= added.len;
    memcpy(begin, added.ptr, added.len);
    l->content = slice_make(begin, added.len + fields_len + 2 + h->body.len);
}

enum err letter_read(struct letter *l, int fd, bool ends_at_dot, bool takes_rcpts)
{
    uint64_t limit = l->conf->message_size_limit;
    uint64_t max = mta_message_max(l->conf->spool_size, POSIX_STORE_UNIT);
    limit = limit < max ? limit : max;
    size_t cap = (size_t)(limit < SIZE_MAX / 4 ? limit : SIZE_MAX / 4);
    uint8_t *memory;
    while ((memory = mmap(NULL, cap + 2 * ADDED_LEN, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)) == MAP_FAILED) {
        if (cap < CAP_MIN) {
            return ERR_NO_MEMORY;
        }
        cap /= 2; /* most messages are far smaller than they may be */
    }
    struct buf text = buf_make(memory + ADDED_LEN, cap + ADDED_LEN);
    enum err e = read_text(l, fd, ends_at_dot, &text);
    if (e == ERR_OK && text.len > cap) {
        e = ERR_TOO_BIG;
    }
    if (e != ERR_OK) {
        return e;
    }
    struct mail_header h;
    mail_header_read(without_from_line(buf_slice(&text)), &h);
    if (takes_rcpts) {
        e = take_rcpts(l, &h);
    }
    put_together(l, memory, &h);
    return e;
}

/* A peer's replies: see smtp_answer.h. */
#include "smtp_answer.h"

#include "text.h"

#define CODE_LEN 3

/* One line without its end, off *in. */
static enum smtp_answer_result take_line(struct slice *in, struct slice *out)
{
    size_t len = in->len < SMTP_ANSWER_LINE_MAX ? in->len : SMTP_ANSWER_LINE_MAX;
    const uint8_t *end = len == 0 ? NULL : memchr(in->ptr, '\n', len);
    if (end == NULL) {
        return len < SMTP_ANSWER_LINE_MAX ? SMTP_ANSWER_MORE : SMTP_ANSWER_MALFORMED;
    }
    slice_take(in, (size_t)(end - in->ptr) + 1, out);
    out->len--;
    if (out->len != 0 && out->ptr[out->len - 1] == '\r') {
        out->len--;
    }
    return SMTP_ANSWER_LINE;
}

/* Reply-code [ SP / "-" ], RFC 5321 4.2; the text behind it is left in *line. */
static bool take_code(struct slice *line, uint16_t *out_code, bool *out_last)
{
    uint64_t code;
    struct slice digits;
    uint8_t mark = ' ';
    if (!slice_take(line, CODE_LEN, &digits) || !text_parse_u64(digits, 599, &code) || code < 200 ||
        (slice_u8(line, &mark) && mark != ' ' && mark != '-')) {
        return false;
    }
    *out_code = (uint16_t)code;
    *out_last = mark == ' ';
    return true;
}

/* class "." subject "." detail, then a space or the end (RFC 2034 4): with the code's own class. */
static void read_status(struct smtp_answer *a, struct slice text)
{
    uint16_t parts[3] = {0, 0, 0};
    size_t part = 0, num_digits = 0;
    for (size_t i = 0; i <= text.len; i++) {
        uint8_t c = i == text.len ? ' ' : text.ptr[i];
        if (text_is_digit(c) && num_digits < 3) {
            parts[part] = (uint16_t)(parts[part] * 10u + c - '0');
            num_digits++;
        } else if (num_digits != 0 && c == '.' && part < 2) {
            part++;
            num_digits = 0;
        } else if (num_digits != 0 && c == ' ' && part == 2) {
            break;
        } else {
            return;
        }
    }
    if (part == 2 && parts[0] == smtp_answer_class(a)) {
        memcpy(a->status, parts, sizeof parts);
    }
}

static void keep_text(struct smtp_answer *a, struct slice line)
{
    struct buf b = buf_make(a->text, sizeof a->text);
    b.len = a->text_len;
    if (b.len != 0) {
        buf_put_u8(&b, ' ');
    }
    for (size_t i = 0; i < line.len; i++) {
        uint8_t c = line.ptr[i];
        buf_put_u8(&b, c == '\t' ? ' ' : c < ' ' || c > '~' ? '?' : c);
    }
    a->text_len = (uint16_t)b.len;
}

enum smtp_answer_result smtp_answer_take(struct smtp_answer *a, struct slice *in,
                                         struct slice *out_text)
{
    struct slice line;
    uint16_t code;
    bool is_last;
    enum smtp_answer_result result = take_line(in, &line);
    if (result != SMTP_ANSWER_LINE) {
        return result;
    }
    if (a->is_whole) {
        memset(a, 0, sizeof *a);
    }
    *out_text = line;
    if (!take_code(out_text, &code, &is_last) || a->num_lines == SMTP_ANSWER_NUM_MAX) {
        return SMTP_ANSWER_MALFORMED;
    }
    a->code = code;
    a->num_lines++;
    a->is_whole = is_last;
    if (a->status[0] != smtp_answer_class(a)) {
        memset(a->status, 0, sizeof a->status);
        read_status(a, *out_text);
    }
    keep_text(a, line);
    return SMTP_ANSWER_LINE;
}

/* --- The answer to EHLO --- */

/* A word, up to a space or one of these marks, which is dropped with all like it. */
static struct slice take_word(struct slice *in, uint8_t mark)
{
    struct slice word = {in->ptr, 0};
    while (word.len < in->len && in->ptr[word.len] != ' ' && in->ptr[word.len] != mark) {
        word.len++;
    }
    slice_skip(in, word.len);
    while (in->len != 0 && (in->ptr[0] == ' ' || in->ptr[0] == mark)) {
        slice_skip(in, 1);
    }
    return word;
}

struct offer_name {
    uint32_t bit;
    const char *name;
};

static uint32_t find_offer(const struct offer_name *names, size_t num, struct slice word)
{
    for (size_t i = 0; i < num; i++) {
        if (text_equal_nocase(word, slice_of_string(names[i].name))) {
            return names[i].bit;
        }
    }
    return 0;
}

/* LIMITS RCPTMAX=100 MAILMAX=5, RFC 9422 4 */
static void read_limit(struct smtp_offers *o, struct slice word)
{
    uint64_t value;
    struct slice name = take_word(&word, '=');
    if (!text_parse_u64(word, UINT32_MAX, &value) || value == 0) {
        return;
    }
    if (text_equal_nocase(name, SLICE_LITERAL("RCPTMAX"))) {
        o->rcpt_max = (uint32_t)value;
    } else if (text_equal_nocase(name, SLICE_LITERAL("MAILMAX"))) {
        o->mail_max = (uint32_t)value;
    }
}

void smtp_offers_add(struct smtp_offers *o, struct slice line)
{
    static const struct offer_name offers[] = {
        {SMTP_OFFER_SIZE, "SIZE"},
        {SMTP_OFFER_8BITMIME, "8BITMIME"},
        {SMTP_OFFER_SMTPUTF8, "SMTPUTF8"},
        {SMTP_OFFER_CHUNKING, "CHUNKING"},
        {SMTP_OFFER_PIPELINING, "PIPELINING"},
        {SMTP_OFFER_DSN, "DSN"},
        {SMTP_OFFER_STARTTLS, "STARTTLS"},
        {SMTP_OFFER_STATUS_CODES, "ENHANCEDSTATUSCODES"},
    };
    static const struct offer_name mechanisms[] = {
        {SMTP_OFFER_AUTH_PLAIN, "PLAIN"},
        {SMTP_OFFER_AUTH_LOGIN, "LOGIN"},
        {SMTP_OFFER_AUTH_SCRAM, "SCRAM-SHA-256"},
    };
    struct slice keyword = take_word(&line, ' ');
    uint32_t bit = find_offer(offers, sizeof offers / sizeof offers[0], keyword);
    bool is_auth = text_equal_nocase(keyword, SLICE_LITERAL("AUTH"));
    bool is_limits = text_equal_nocase(keyword, SLICE_LITERAL("LIMITS"));
    o->bits |= bit;
    if (bit == SMTP_OFFER_SIZE) {
        struct slice size = take_word(&line, ' ');
        o->size_max = 0;
        (void)text_parse_u64(size, UINT64_MAX, &o->size_max);
    }
    while ((is_auth || is_limits) && line.len != 0) {
        struct slice word = take_word(&line, ' ');
        if (is_auth) {
            o->bits |= find_offer(mechanisms, sizeof mechanisms / sizeof mechanisms[0], word);
        } else {
            read_limit(o, word);
        }
    }
}

/* SMTP commands: see smtp_command.h. */
#include "smtp_command.h"

#include "smtp_line.h"
#include "text.h"
#include "xtext.h"

enum args_rule { ARGS_NONE, ARGS_ANY, ARGS_NEEDED, ARGS_HOST };

struct verb_rule {
    uint8_t args; /* enum args_rule */
    uint16_t line_max;
};

static const struct verb_rule verb_rules[] = {
    [SMTP_HELO] = {ARGS_HOST, 512},
    [SMTP_EHLO] = {ARGS_HOST, 512},
    [SMTP_MAIL] = {ARGS_ANY, SMTP_LINE_MAX},
    [SMTP_RCPT] = {ARGS_ANY, SMTP_LINE_MAX},
    [SMTP_DATA] = {ARGS_NONE, 512},
    [SMTP_BDAT] = {ARGS_ANY, 512},
    [SMTP_RSET] = {ARGS_NONE, 512},
    [SMTP_NOOP] = {ARGS_ANY, 512},
    [SMTP_VRFY] = {ARGS_NEEDED, 512 + 9}, /* RFC 6531 3.1 */
    [SMTP_HELP] = {ARGS_ANY, 512},
    [SMTP_QUIT] = {ARGS_NONE, 512},
    [SMTP_STARTTLS] = {ARGS_NONE, 512},
    [SMTP_AUTH] = {ARGS_NEEDED, SMTP_AUTH_LINE_MAX},
    [SMTP_NOT_OFFERED] = {ARGS_ANY, SMTP_LINE_MAX},
    [SMTP_FOREIGN] = {ARGS_ANY, SMTP_LINE_MAX},
    [SMTP_UNKNOWN] = {ARGS_ANY, SMTP_LINE_MAX},
};

_Static_assert(sizeof verb_rules / sizeof verb_rules[0] == NUM_SMTP_VERBS, "one rule a verb");

struct word {
    char text[9]; /* padded with NUL */
    uint8_t verb;
};

static const struct word words[] = {
    {"HELO", SMTP_HELO},        {"EHLO", SMTP_EHLO},        {"MAIL", SMTP_MAIL},
    {"RCPT", SMTP_RCPT},        {"DATA", SMTP_DATA},        {"BDAT", SMTP_BDAT},
    {"RSET", SMTP_RSET},        {"NOOP", SMTP_NOOP},        {"VRFY", SMTP_VRFY},
    {"HELP", SMTP_HELP},        {"QUIT", SMTP_QUIT},        {"STARTTLS", SMTP_STARTTLS},
    {"EXPN", SMTP_NOT_OFFERED}, {"AUTH", SMTP_AUTH},        {"ETRN", SMTP_NOT_OFFERED},
    {"TURN", SMTP_NOT_OFFERED}, {"SEND", SMTP_NOT_OFFERED}, {"SOML", SMTP_NOT_OFFERED},
    {"SAML", SMTP_NOT_OFFERED}, {"BURL", SMTP_NOT_OFFERED}, {"GET", SMTP_FOREIGN},
    {"POST", SMTP_FOREIGN},     {"PUT", SMTP_FOREIGN},      {"HEAD", SMTP_FOREIGN},
    {"DELETE", SMTP_FOREIGN},   {"OPTIONS", SMTP_FOREIGN},  {"CONNECT", SMTP_FOREIGN},
    {"TRACE", SMTP_FOREIGN},    {"PATCH", SMTP_FOREIGN},    {"PRI", SMTP_FOREIGN},
};

static void skip_blanks(struct slice *in)
{
    while (in->len != 0 && text_is_blank(in->ptr[0])) {
        slice_skip(in, 1);
    }
}

enum smtp_verb smtp_command_parse(struct slice line, struct slice *out_args)
{
    struct slice word = line;
    size_t len = 0;
    while (len < line.len && !text_is_blank(line.ptr[len])) {
        len++;
    }
    slice_take(&line, len, &word);
    skip_blanks(&line);
    while (line.len != 0 && text_is_blank(line.ptr[line.len - 1])) {
        line.len--;
    }
    *out_args = line;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (text_equal_nocase(word, slice_of_string(words[i].text))) {
            return (enum smtp_verb)words[i].verb;
        }
    }
    bool is_text = word.len == 0 || (word.ptr[0] >= ' ' && word.ptr[0] < 0x7f);
    return is_text ? SMTP_UNKNOWN : SMTP_FOREIGN;
}

/* A domain or an address literal by RFC 5321 4.1.1.1; but appliances say "(none)" or "Front Door",
 * and Windows says "MY_PC" or "B\xdcRO", so that all passes that is no control character. Who
 * writes it down makes it safe. */
static bool is_host(struct slice args)
{
    bool good = args.len != 0 && args.len <= ADDRESS_DOMAIN_MAX;
    for (size_t i = 0; good && i < args.len; i++) {
        good = args.ptr[i] >= ' ' && args.ptr[i] != 0x7f;
    }
    return good;
}

enum smtp_reply smtp_command_check(enum smtp_verb verb, size_t line_len, struct slice args)
{
    if (line_len + 2 > verb_rules[verb].line_max) {
        return SMTP_REPLY_LINE_TOO_LONG;
    }
    switch ((enum args_rule)verb_rules[verb].args) {
    case ARGS_ANY:
        break;
    case ARGS_NONE:
        return args.len == 0 ? SMTP_REPLY_NONE : SMTP_REPLY_NO_ARGUMENT;
    case ARGS_NEEDED:
        return args.len != 0 ? SMTP_REPLY_NONE : SMTP_REPLY_NEEDS_ARGUMENT;
    case ARGS_HOST:
        return is_host(args) ? SMTP_REPLY_NONE : SMTP_REPLY_HELO_ARGUMENT;
    }
    return SMTP_REPLY_NONE;
}

/* "FROM:" or "TO:", in any case. */
static bool take_prefix(struct slice *in, struct slice prefix)
{
    struct slice head;
    struct slice rest = *in;
    if (!slice_take(&rest, prefix.len, &head) || !text_equal_nocase(head, prefix)) {
        return false;
    }
    *in = rest;
    skip_blanks(in);
    return true;
}

struct parameter {
    struct slice keyword;
    struct slice value;
    bool has_value;
};

static bool is_keyword_byte(uint8_t c)
{
    return text_is_alpha(c) || text_is_digit(c) || c == '-';
}

/* 1*SP esmtp-keyword ["=" esmtp-value], where
 * esmtp-keyword = (ALPHA / DIGIT) *(ALPHA / DIGIT / "-"); esmtp-value = 1*(%d33-60 / %d62-126) (RFC
 * 5321 4.1.2), or UTF8-non-ascii too (RFC 6531 3.3); no value that is supported holds a "=", so
 * that it need not be looked for. */
static bool take_parameter(struct slice *in, struct parameter *out)
{
    if (in->len == 0 || !text_is_blank(in->ptr[0])) {
        return false;
    }
    struct slice cursor = *in;
    skip_blanks(&cursor);
    size_t n = 0;
    while (n < cursor.len && is_keyword_byte(cursor.ptr[n])) {
        n++;
    }
    if (n == 0 || cursor.ptr[0] == '-') {
        return false;
    }
    slice_take(&cursor, n, &out->keyword);
    out->value = slice_make(NULL, 0);
    out->has_value = cursor.len != 0 && cursor.ptr[0] == '=';
    if (out->has_value) {
        slice_skip(&cursor, 1);
        n = 0;
        while (n < cursor.len && cursor.ptr[n] > ' ' && cursor.ptr[n] != 0x7f) {
            n++;
        }
        if (n == 0) {
            return false;
        }
        slice_take(&cursor, n, &out->value);
    }
    *in = cursor;
    return true;
}

/* size-value = 1*20DIGIT (RFC 1870 4). Twenty digits may be more than 64 bits hold. */
static bool parse_size(struct slice value, uint64_t *out)
{
    for (size_t i = 0; i < value.len; i++) {
        if (!text_is_digit(value.ptr[i])) {
            return false;
        }
    }
    if (value.len == 0 || value.len > 20) {
        return false;
    }
    if (!text_parse_u64(value, UINT64_MAX, out)) {
        *out = UINT64_MAX;
    }
    return true;
}

/* ret-value = "FULL" / "HDRS" */
static bool parse_ret(struct slice value, uint8_t *out)
{
    bool is_full = text_equal_nocase(value, SLICE_LITERAL("FULL"));
    *out = is_full ? ENVELOPE_RET_FULL : ENVELOPE_RET_HDRS;
    return is_full || text_equal_nocase(value, SLICE_LITERAL("HDRS"));
}

static bool parse_envid(struct slice value, struct slice *out)
{
    uint8_t bytes[ENVELOPE_ENVID_MAX];
    struct buf decoded = buf_make(bytes, sizeof bytes);
    *out = value;
    return xtext_take_envid(value, &decoded);
}

/* notify-esmtp-value = "NEVER" / "SUCCESS", "FAILURE" and "DELAY" with commas between them */
bool smtp_notify_parse(struct slice value, uint8_t *out)
{
    static const struct {
        char text[8];
        uint8_t flag;
    } conditions[] = {{"NEVER", ENVELOPE_NEVER},
                      {"SUCCESS", ENVELOPE_SUCCESS},
                      {"FAILURE", ENVELOPE_FAILURE},
                      {"DELAY", ENVELOPE_DELAY}};
    bool good = true;
    for (bool more = true; more && good;) {
        const uint8_t *end = value.len == 0 ? NULL : memchr(value.ptr, ',', value.len);
        struct slice word =
            slice_make(value.ptr, end == NULL ? value.len : (size_t)(end - value.ptr));
        size_t i = 0;
        while (i < 4 && !text_equal_nocase(word, slice_of_string(conditions[i].text))) {
            i++;
        }
        good = i < 4;
        *out = (uint8_t)(*out | (good ? conditions[i].flag : 0));
        more = end != NULL;
        slice_skip(&value, word.len + (more ? 1 : 0));
    }
    return good && (*out == ENVELOPE_NEVER || (*out & ENVELOPE_NEVER) == 0);
}

static bool parse_orcpt(struct slice value, bool smtputf8, struct slice *out)
{
    uint8_t bytes[ENVELOPE_ORCPT_MAX];
    struct buf decoded = buf_make(bytes, sizeof bytes);
    *out = value;
    return xtext_take_orcpt(value, smtputf8, &decoded);
}

enum mail_parameter {
    MAIL_SIZE = 1,
    MAIL_BODY = 2,
    MAIL_SMTPUTF8 = 4,
    MAIL_AUTH = 8,
    MAIL_RET = 16,
    MAIL_ENVID = 32
};

static enum smtp_reply apply_parameter(const struct parameter *p, struct smtp_mail *out,
                                       uint32_t *seen)
{
    enum mail_parameter which;
    bool good;
    if (text_equal_nocase(p->keyword, SLICE_LITERAL("SIZE"))) {
        which = MAIL_SIZE;
        good = parse_size(p->value, &out->size);
    } else if (text_equal_nocase(p->keyword, SLICE_LITERAL("BODY"))) {
        which = MAIL_BODY;
        out->is_8bit = text_equal_nocase(p->value, SLICE_LITERAL("8BITMIME"));
        good = out->is_8bit || text_equal_nocase(p->value, SLICE_LITERAL("7BIT"));
    } else if (text_equal_nocase(p->keyword, SLICE_LITERAL("SMTPUTF8"))) {
        which = MAIL_SMTPUTF8;
        out->is_smtputf8 = true;
        good = !p->has_value;
    } else if (text_equal_nocase(p->keyword, SLICE_LITERAL("AUTH"))) {
        which = MAIL_AUTH; /* who first sent it, as the client believes: of no use here */
        good = p->has_value && p->value.len <= SMTP_AUTH_VALUE_MAX;
    } else if (text_equal_nocase(p->keyword, SLICE_LITERAL("RET"))) {
        which = MAIL_RET;
        good = parse_ret(p->value, &out->ret);
    } else if (text_equal_nocase(p->keyword, SLICE_LITERAL("ENVID"))) {
        which = MAIL_ENVID;
        good = parse_envid(p->value, &out->envid);
    } else {
        return SMTP_REPLY_PARAMETER;
    }
    if (!good || (*seen & (uint32_t)which) != 0) {
        return SMTP_REPLY_PARAMETER_SYNTAX;
    }
    *seen |= (uint32_t)which;
    return SMTP_REPLY_NONE;
}

enum smtp_reply smtp_mail_parse(struct slice args, struct smtp_mail *out)
{
    memset(out, 0, sizeof *out);
    if (!take_prefix(&args, SLICE_LITERAL("FROM:"))) {
        return SMTP_REPLY_MAIL_SYNTAX;
    }
    enum address_result result = address_take_path(&args, &out->address);
    if (result != ADDRESS_OK) {
        return result == ADDRESS_TOO_LONG ? SMTP_REPLY_SENDER_TOO_LONG : SMTP_REPLY_SENDER_SYNTAX;
    }
    if (out->address.text.len != 0 && out->address.domain.len == 0) {
        return SMTP_REPLY_SENDER_SYNTAX;
    }
    uint32_t seen = 0;
    while (args.len != 0) {
        struct parameter p;
        if (!take_parameter(&args, &p)) {
            return SMTP_REPLY_PARAMETER_SYNTAX;
        }
        enum smtp_reply reply = apply_parameter(&p, out, &seen);
        if (reply != SMTP_REPLY_NONE) {
            return reply;
        }
    }
    return out->address.is_utf8 && !out->is_smtputf8 ? SMTP_REPLY_NEEDS_SMTPUTF8 : SMTP_REPLY_NONE;
}

static enum smtp_reply apply_rcpt_parameter(const struct parameter *p, bool smtputf8,
                                            struct smtp_rcpt_args *out)
{
    bool is_first, good;
    if (text_equal_nocase(p->keyword, SLICE_LITERAL("NOTIFY"))) {
        is_first = out->notify == 0;
        good = smtp_notify_parse(p->value, &out->notify);
    } else if (text_equal_nocase(p->keyword, SLICE_LITERAL("ORCPT"))) {
        is_first = out->orcpt.len == 0;
        good = parse_orcpt(p->value, smtputf8, &out->orcpt);
    } else {
        return SMTP_REPLY_PARAMETER;
    }
    return good && is_first ? SMTP_REPLY_NONE : SMTP_REPLY_PARAMETER_SYNTAX;
}

enum smtp_reply smtp_rcpt_parse(struct slice args, bool smtputf8, struct smtp_rcpt_args *out)
{
    memset(out, 0, sizeof *out);
    if (!take_prefix(&args, SLICE_LITERAL("TO:"))) {
        return SMTP_REPLY_RCPT_SYNTAX;
    }
    enum address_result result = address_take_path(&args, &out->address);
    if (result != ADDRESS_OK) {
        return result == ADDRESS_TOO_LONG ? SMTP_REPLY_RCPT_TOO_LONG
                                          : SMTP_REPLY_RCPT_ADDRESS_SYNTAX;
    }
    if (out->address.text.len == 0) {
        return SMTP_REPLY_RCPT_ADDRESS_SYNTAX;
    }
    while (args.len != 0) {
        struct parameter p;
        if (!take_parameter(&args, &p)) {
            return SMTP_REPLY_PARAMETER_SYNTAX;
        }
        enum smtp_reply reply = apply_rcpt_parameter(&p, smtputf8, out);
        if (reply != SMTP_REPLY_NONE) {
            return reply;
        }
    }
    return out->address.is_utf8 && !smtputf8 ? SMTP_REPLY_NEEDS_SMTPUTF8 : SMTP_REPLY_NONE;
}

enum smtp_reply smtp_auth_parse(struct slice args, struct slice *out_mechanism,
                                struct slice *out_response)
{
    size_t n = 0;
    while (n < args.len && !text_is_blank(args.ptr[n])) {
        n++;
    }
    slice_take(&args, n, out_mechanism);
    skip_blanks(&args);
    *out_response = args;
    for (size_t i = 0; i < args.len; i++) {
        if (text_is_blank(args.ptr[i])) {
            return SMTP_REPLY_AUTH_SYNTAX;
        }
    }
    return SMTP_REPLY_NONE;
}

bool smtp_bdat_parse(struct slice args, uint64_t *out_len, bool *out_is_last)
{
    size_t n = 0;
    while (n < args.len && !text_is_blank(args.ptr[n])) {
        n++;
    }
    struct slice size;
    slice_take(&args, n, &size);
    skip_blanks(&args);
    *out_is_last = args.len != 0;
    return text_parse_u64(size, UINT64_MAX, out_len) &&
           (args.len == 0 || text_equal_nocase(args, SLICE_LITERAL("LAST")));
}

/* A server's words to our client, in pieces of any size: whatever it says, the client comes to an
 * end in bounded work, says whole lines only, and tells each recipient at most once. */
#include "smtp_client.h"

#include "fuzz.h"

#define NUM_RCPTS SMTP_CLIENT_RCPTS_MAX

struct told {
    uint64_t rcpts; /* that have an answer in this transaction */
    uint32_t num_mails;
    size_t taken_max; /* bytes that the server reads at a time */
};

static void begin_mail(struct smtp_client *c, struct told *told)
{
    struct smtp_client_mail mail = {
        .sender = SLICE_LITERAL("s@example.org"), .content_len = 40, .num_rcpts = NUM_RCPTS};
    told->rcpts = 0;
    if (told->num_mails++ < 3) {
        smtp_client_mail(c, &mail);
    } else {
        smtp_client_quit(c);
    }
}

/* False: the session is over, or waits. */
static bool turn(struct smtp_client *c, struct slice *in, struct told *told)
{
    struct smtp_client_rcpt rcpt = {
        .address = SLICE_LITERAL("a-rather-long-name-so-that-few-fit-into-what-waits@example.org")};
    switch (smtp_client_next(c, in)) {
    case SMTP_CLIENT_WAIT:
        MUST(c->out.len == 0 || c->state == SMTP_CLIENT_STATE_END ||
             c->out.ptr[c->out.len - 1] == '\n' || c->uses_chunks);
        smtp_client_sent(c, c->out.len < told->taken_max ? c->out.len : told->taken_max);
        return false;
    case SMTP_CLIENT_STARTTLS:
        smtp_client_sent(c, c->out.len);
        smtp_client_tls_begun(c);
        return true;
    case SMTP_CLIENT_READY:
        begin_mail(c, told);
        return true;
    case SMTP_CLIENT_GIVE_RCPT:
        MUST(c->rcpt < NUM_RCPTS);
        MUST(smtp_client_rcpt(c, &rcpt));
        return true;
    case SMTP_CLIENT_GIVE_CONTENT:
        (void)smtp_client_content(c, SLICE_LITERAL(".\r\n.\r\n"));
        return true;
    case SMTP_CLIENT_RCPT_ANSWER:
        MUST(c->rcpt < c->num_rcpts_sent && (told->rcpts >> c->rcpt & 1) == 0);
        told->rcpts |= UINT64_C(1) << c->rcpt;
        break;
    case SMTP_CLIENT_MAIL_ANSWER:
    case SMTP_CLIENT_TURN:
    case SMTP_CLIENT_DONE:
        break;
    case SMTP_CLIENT_ENDED:
    case SMTP_CLIENT_AGAIN:
        MUST(c->state == SMTP_CLIENT_STATE_ENDED);
        return false;
    }
    MUST(c->answer.text_len <= sizeof c->answer.text);
    for (size_t i = 0; i < c->answer.text_len; i++) {
        MUST(c->answer.text[i] >= ' ' && c->answer.text[i] <= '~');
    }
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static uint8_t memory[2 * SMTP_CLIENT_COMMAND_MAX];
    uint8_t kept[2 * SMTP_ANSWER_LINE_MAX];
    size_t kept_len = 0;
    struct slice rest = slice_make(data, len);
    uint8_t choice = fuzz_choice(&rest);
    uint32_t seed = choice;
    struct smtp_client c;
    struct told told = {.taken_max = (choice & 32) == 0 ? SIZE_MAX : (choice >> 6) * 100u};
    struct smtp_client_conf conf = {.hostname = SLICE_LITERAL("me.example"),
                                    .is_lmtp = (choice & 1) != 0,
                                    .shuns_itself = (choice & 2) != 0,
                                    .tls = choice >> 2 & 3};
    if ((choice & 16) != 0) {
        conf.user = conf.password = SLICE_LITERAL("joe");
        conf.random = SLICE_LITERAL("123456789012345678");
    }
    smtp_client_begin(&c, &conf, buf_make(memory, sizeof memory));
    while (!slice_is_empty(rest) && c.state != SMTP_CLIENT_STATE_ENDED) {
        struct slice piece = fuzz_piece(&rest, &seed);
        MUST(kept_len + piece.len <= sizeof kept);
        memcpy(kept + kept_len, piece.ptr, piece.len);
        struct slice in = slice_make(kept, kept_len + piece.len);
        int num_turns = 0;
        do {
            MUST(!c.out.overflow && ++num_turns < 2000);
        } while (turn(&c, &in, &told) ||
                 (c.state != SMTP_CLIENT_STATE_ENDED && turn(&c, &in, &told)));
        MUST(in.len < SMTP_ANSWER_LINE_MAX || c.state == SMTP_CLIENT_STATE_ENDED);
        memmove(kept, in.ptr, in.len);
        kept_len = in.len;
    }
    return 0;
}

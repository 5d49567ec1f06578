/* The SMTP server over its tables: every command in every state, and dialogues in every cut. */
#include "smtpd_caller.h"

struct dialogue {
    const char *name;
    const char *text; /* segments are parted by "~": each is sent when the one before is answered */
    size_t len;
    const char *codes;
    const char *events;
    const char *mail;
    enum smtpd_reason reason;
};

#define X50 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define X991                                                                                 \
    X50 X50 X50 X50 X50 X50 X50 X50 X50 X50 X50 X50 X50 X50 X50 X50 X50 X50 X50 "xxxxxxxxxx" \
                                                                                "xxxxxxxxxx" \
                                                                                "xxxxxxxxxx" \
                                                                                "xxxxxxxxxxx"
#define X999    X991 "xxxxxxxx"
#define X1001   X999 "xx"
#define BLANK50 "                                                  "
#define SPACES_506 \
    BLANK50 BLANK50 BLANK50 BLANK50 BLANK50 BLANK50 BLANK50 BLANK50 BLANK50 BLANK50 "      "
#define SPACES_511 SPACES_506 "     "
#define SPACES     SPACES_511 SPACES_511 SPACES_511

#define DIALOGUE(name, text, codes, events, mail, reason) \
    {name, text, sizeof(text) - 1, codes, events, mail, SMTPD_REASON_##reason},

static const struct dialogue dialogues[] = {
#include "../tables/smtpd_dialogues.def"
};

#define NUM_DIALOGUES (sizeof dialogues / sizeof dialogues[0])

static void send_segments(struct caller *c, const char *text, size_t len, size_t piece_len)
{
    do {
        const char *mark = memchr(text, '~', len);
        size_t n = mark == NULL ? len : (size_t)(mark - text);
        send(c, text, n, piece_len);
        size_t used = mark == NULL ? n : n + 1;
        text += used;
        len -= used;
    } while (len != 0 && c->reason == SMTPD_REASON_NONE);
}

static bool check_dialogue(const struct dialogue *d, size_t piece_len, size_t out_cap)
{
    static struct caller c;
    static char codes[8192];
    caller_open(&c);
    c.out_cap = out_cap;
    send_segments(&c, d->text, d->len, piece_len);
    codes_of(&c, codes, sizeof codes);
    int failed_before = test_failed_checks;
    CHECK_TEXT(slice_of_string(codes), d->codes);
    CHECK_TEXT(slice_of_string(c.events), d->events);
    CHECK_TEXT(slice_make(c.mail, c.num_mail), d->mail);
    CHECK_TEXT(slice_of_string(smtpd_reason_name(c.reason)), smtpd_reason_name(d->reason));
    if (test_failed_checks != failed_before) {
        fprintf(stderr, "  in %s, pieces of %zu, room for %zu\n%s", d->name, piece_len, out_cap,
                c.replies);
    }
    return test_failed_checks == failed_before;
}

static void every_dialogue_in_every_cut(void)
{
    enum { NUM_PIECES = 6, NUM_CAPS = 4 };
    static const size_t pieces[NUM_PIECES] = {1 << 20, 1, 2, 3, 7, 64};
    static const size_t caps[NUM_CAPS] = {8192, SMTPD_REPLY_MAX, SMTPD_REPLY_MAX + 1, 600};
    for (size_t i = 0; i < NUM_DIALOGUES; i++) {
        bool good = true;
        for (size_t k = 0; k < NUM_PIECES * NUM_CAPS && good; k++) {
            good = check_dialogue(&dialogues[i], pieces[k / NUM_CAPS], caps[k % NUM_CAPS]);
        }
    }
}

/* Whatever one byte of a dialogue becomes: cut into single bytes it gets the same replies as in one
 * piece, and all transactions end. */
static void changed_dialogues_are_read_alike(void)
{
    static const char values[] = {'\r', '\n', '\0', '.', ' ', 'L', '9', '\x80'};
    static struct caller whole, cut;
    static char text[8192];
    for (size_t i = 0; i < NUM_DIALOGUES; i++) {
        const struct dialogue *d = &dialogues[i];
        size_t step = (d->len < 600 ? 1 : 41) * TEST_STRIDE;
        for (size_t at = 0; at < d->len && d->len < sizeof text; at += step) {
            for (size_t v = 0; v < sizeof values; v++) {
                memcpy(text, d->text, d->len);
                text[at] = values[v];
                caller_open(&whole);
                caller_open(&cut);
                /* What stands behind STARTTLS makes a difference, and should. */
                whole.env.starttls_offered = cut.env.starttls_offered = false;
                send_segments(&whole, text, d->len, 1 << 20);
                send_segments(&cut, text, d->len, 1);
                bool same =
                    strcmp(whole.replies, cut.replies) == 0 &&
                    strcmp(whole.events, cut.events) == 0 && whole.num_mail == cut.num_mail &&
                    memcmp(whole.mail, cut.mail, cut.num_mail) == 0 && whole.reason == cut.reason;
                CHECK(same);
                if (!same) {
                    fprintf(stderr, "  %s, byte %zu is %d\n%s---\n%s", d->name, at, values[v],
                            whole.replies, cut.replies);
                    return;
                }
            }
        }
    }
}

/* A fixed sequence of numbers that looks like chance (xorshift). */
static uint32_t chance(uint32_t *state, uint32_t below)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state % below;
}

static size_t splice(char *text, size_t cap, uint32_t *seed)
{
    static const char *const scraps[] = {HELLO,
                                         FROM,
                                         TO,
                                         "DATA\r\n",
                                         "a\r\n.\r\n",
                                         "RCPT TO:<nobody@x>\r\n",
                                         "MAIL FROM:<later@x>\r\n",
                                         "..\r\n",
                                         ".",
                                         "\r\n",
                                         "BDAT 3\r\nab\r",
                                         "BDAT 1\r\n\n",
                                         "BDAT 3 LAST\r\na\r\n",
                                         "BDAT 0 LAST\r\n",
                                         "BDAT 600\r\n",
                                         X999,
                                         X1001,
                                         SPACES,
                                         "RSET\r\n",
                                         "NOOP\r\n",
                                         "XYZZY\r\n",
                                         "\r",
                                         "\n",
                                         "QUIT",
                                         "STARTTLS\r\n"};
    size_t len = 0;
    size_t walk = 0;
    for (uint32_t num = 6 + chance(seed, 30); num > 0; num--) {
        /* Mostly a message's own order, so that bodies and ends are reached. */
        size_t i =
            chance(seed, 4) != 0 ? walk++ % 5 : chance(seed, sizeof scraps / sizeof scraps[0]);
        size_t n = strlen(scraps[i]);
        if (n > cap - len) {
            break;
        }
        memcpy(text + len, scraps[i], n);
        len += n;
    }
    return len;
}

static void spliced_dialogues_are_read_alike(void)
{
    static struct caller whole, cut;
    static char text[4000];
    uint32_t seed = 2463534242U;
    uint32_t num_mails = 0, num_aborts = 0;
    for (int round = 0; round < 4000; round += TEST_STRIDE) {
        size_t len = splice(text, sizeof text, &seed);
        caller_open(&whole);
        caller_open(&cut);
        whole.env.starttls_offered = cut.env.starttls_offered = false;
        cut.out_cap = SMTPD_REPLY_MAX + chance(&seed, 200);
        send(&whole, text, len, len);
        send(&cut, text, len, 1 + chance(&seed, 50));
        bool same = strcmp(whole.replies, cut.replies) == 0 &&
                    strcmp(whole.events, cut.events) == 0 && whole.num_mail == cut.num_mail &&
                    memcmp(whole.mail, cut.mail, cut.num_mail) == 0 && whole.reason == cut.reason;
        CHECK(same);
        if (!same) {
            fprintf(stderr, "  round %d %s %s\n%.*s\n---\n%s---\n%s", round, whole.events,
                    cut.events, (int)len, text, whole.replies, cut.replies);
            return;
        }
        num_mails += whole.num_mail != 0;
        num_aborts += strchr(whole.events, 'A') != NULL;
    }
    CHECK(num_mails > 100 / TEST_STRIDE);
    CHECK(num_aborts > 100 / TEST_STRIDE);
}

static void lost_at_any_byte_every_transaction_ends(void)
{
    static struct caller c;
    for (size_t i = 0; i < NUM_DIALOGUES; i++) {
        const struct dialogue *d = &dialogues[i];
        for (size_t len = 0; len <= d->len && d->len < 600; len += TEST_STRIDE) {
            caller_open(&c);
            send_segments(&c, d->text, len, 1 << 20);
            smtpd_end(&c.s, SMTPD_REASON_LOST);
            struct slice in = {NULL, 0};
            CHECK_EQ(drive(&c, &in), SMTPD_CLOSE);
            CHECK_EQ(c.num_open, 0);
        }
    }
}

/* --- The table of states --- */

struct cell {
    enum smtp_verb verb;
    const char *bytes;
    enum smtpd_state before;
    const char *reply;
    enum smtpd_state after;
};

static const struct cell cells[] = {
#define CELL(verb, bytes, before, reply, after) \
    {SMTP_##verb, bytes, SMTPD_STATE_##before, reply, SMTPD_STATE_##after},
#include "../tables/smtpd_states.def"
#undef CELL
};

static const char *const ways[NUM_SMTPD_STATES] = {
    [SMTPD_STATE_START] = "",
    [SMTPD_STATE_READY] = HELLO,
    [SMTPD_STATE_SENDER] = HELLO FROM,
    [SMTPD_STATE_RCPTS] = HELLO FROM TO,
    [SMTPD_STATE_CHUNKS] = HELLO FROM TO "BDAT 3\r\na\r\n",
    [SMTPD_STATE_FAILED] = HELLO FROM TO "BDAT 1001\r\n",
};

static void go_to(struct caller *c, enum smtpd_state state)
{
    caller_open(c);
    send(c, ways[state], strlen(ways[state]), 1 << 20);
    if (state == SMTPD_STATE_FAILED) {
        char chunk[1001];
        memset(chunk, 'x', sizeof chunk);
        send(c, chunk, sizeof chunk, sizeof chunk);
    }
    CHECK_EQ(c->s.state, state);
    c->num_replies = 0;
    memset(c->replies, 0, sizeof c->replies);
}

static void every_command_in_every_state(void)
{
    static struct caller c;
    bool seen[NUM_SMTP_VERBS][NUM_SMTPD_STATES] = {{false}};
    for (size_t i = 0; i < sizeof cells / sizeof cells[0]; i++) {
        const struct cell *cell = &cells[i];
        seen[cell->verb][cell->before] = true;
        for (size_t piece_len = 1; piece_len <= 64; piece_len *= 64) {
            int failed_before = test_failed_checks;
            go_to(&c, cell->before);
            send(&c, cell->bytes, strlen(cell->bytes), piece_len);
            if (c.num_replies != 0 && memcmp(c.replies, "354", 3) == 0) {
                CHECK_EQ(c.s.phase, SMTPD_PHASE_DATA);
            }
            const char *last = c.replies;
            while (last[0] != 0 && last[3] == '-') {
                last = strstr(last, "\r\n") + 2;
            }
            CHECK(strncmp(last, cell->reply, strlen(cell->reply)) == 0);
            CHECK(last[strlen(cell->reply)] == ' ');
            CHECK_EQ(c.s.state, cell->after);
            /* One command, one reply. */
            const char *end = strstr(last, "\r\n");
            CHECK(end != NULL && end[2] == 0);
            /* A transaction lives in three of the states, and only there. */
            bool has_one = cell->after == SMTPD_STATE_SENDER || cell->after == SMTPD_STATE_RCPTS ||
                           cell->after == SMTPD_STATE_CHUNKS;
            bool closed = c.s.phase == SMTPD_PHASE_CLOSED;
            CHECK_EQ(smtpd_in_transaction(&c.s), has_one && !closed);
            CHECK_EQ(c.num_open, has_one && !closed ? 1 : 0);
            if (test_failed_checks != failed_before) {
                fprintf(stderr, "  %s in %s: %s", cell->bytes, smtpd_state_name(cell->before),
                        c.replies);
            }
        }
    }
    for (int v = 0; v < NUM_SMTP_VERBS; v++) {
        for (int s = 0; s < NUM_SMTPD_STATES; s++) {
            CHECK(seen[v][s]);
            CHECK(smtpd_rule((enum smtpd_state)s, (enum smtp_verb)v)->action != SMTPD_DO_NOTHING);
        }
    }
}

#define CASE(name)  \
    {               \
#name, name \
    }

static const struct test_case cases[] = {
    CASE(every_dialogue_in_every_cut),      CASE(changed_dialogues_are_read_alike),
    CASE(spliced_dialogues_are_read_alike), CASE(lost_at_any_byte_every_transaction_ends),
    CASE(every_command_in_every_state),
};

TEST_MAIN(cases)

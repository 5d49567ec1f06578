/* The state table of the SMTP server: see smtpd_table.h. RFC 5321 4.1.4 has the order of commands,
 * RFC 3030 2 that of BDAT, RFC 3207 4.2 that of STARTTLS, RFC 4954 4 that of AUTH.
 * tests/tables/smtpd_states.def says which code each cell has to give. */
#include "smtpd_table.h"

/* clang-format off */

/* Cells: what is done, the state that it leads to, what is said. */
#define SAY(reply)      {SMTPD_DO_SAY, SMTPD_STATE_STAY, SMTP_REPLY_##reply}
#define REFUSE(reply)   {SMTPD_DO_REFUSE, SMTPD_STATE_STAY, SMTP_REPLY_##reply}
#define SKIP(reply)     {SMTPD_DO_SKIP, SMTPD_STATE_STAY, SMTP_REPLY_##reply}
#define HANG_UP(reply)  {SMTPD_DO_HANG_UP, SMTPD_STATE_STAY, SMTP_REPLY_##reply}
#define HELLO(reply)    {SMTPD_DO_HELLO, SMTPD_STATE_READY, SMTP_REPLY_##reply}
#define RESET(next)     {SMTPD_DO_RESET, SMTPD_STATE_##next, SMTP_REPLY_OK}

#define ok        SAY(OK)
#define helo      HELLO(HELO)
#define ehlo      HELLO(EHLO)
#define mail      {SMTPD_DO_MAIL, SMTPD_STATE_SENDER, SMTP_REPLY_MAIL}
#define rcpt      {SMTPD_DO_RCPT, SMTPD_STATE_RCPTS, SMTP_REPLY_RCPT}
#define data      {SMTPD_DO_DATA, SMTPD_STATE_STAY, SMTP_REPLY_DATA}
#define chunk     {SMTPD_DO_CHUNK, SMTPD_STATE_CHUNKS, SMTP_REPLY_OK}
#define reset     RESET(READY)
#define tls       {SMTPD_DO_STARTTLS, SMTPD_STATE_START, SMTP_REPLY_STARTTLS}
#define auth      {SMTPD_DO_AUTH, SMTPD_STATE_STAY, SMTP_REPLY_AUTH_OK}
#define vrfy      SAY(VRFY)
#define help      SAY(HELP)
#define quit      HANG_UP(QUIT)
#define not_ours  SAY(NOT_OFFERED)
#define foreign   HANG_UP(NOT_SMTP)
#define unknown   SAY(UNKNOWN_COMMAND)
/* Out of order. A chunk is always drained first. */
#define no_helo   SAY(NEEDS_HELO)
#define no_mail   REFUSE(NEEDS_MAIL)
#define nested    SAY(NESTED_MAIL)
#define no_rcpts  SAY(NO_RCPTS)
#define begun     SAY(CHUNKS_BEGUN)
#define failed    SAY(NEEDS_RSET)
#define in_mail   SAY(AUTH_IN_MAIL)
#define skip_helo SKIP(NEEDS_HELO)
#define skip_mail SKIP(NEEDS_MAIL)
#define skip_rcpt SKIP(NO_RCPTS)
#define skip_fail SKIP(NONE) /* the reply that the first chunk got */

#define ROW(verb, start, ready, sender, rcpts, chunks, fail) [SMTP_##verb] = {                     \
        [SMTPD_STATE_START] = start, [SMTPD_STATE_READY] = ready, [SMTPD_STATE_SENDER] = sender,   \
        [SMTPD_STATE_RCPTS] = rcpts, [SMTPD_STATE_CHUNKS] = chunks, [SMTPD_STATE_FAILED] = fail }

static const struct smtpd_rule rules[][NUM_SMTPD_STATES] = {
    /*               START      READY      SENDER     RCPTS     CHUNKS    FAILED */
    ROW(HELO,        helo,      helo,      helo,      helo,     helo,     helo),
    ROW(EHLO,        ehlo,      ehlo,      ehlo,      ehlo,     ehlo,     ehlo),
    ROW(MAIL,        no_helo,   mail,      nested,    nested,   nested,   mail),
    ROW(RCPT,        no_helo,   no_mail,   rcpt,      rcpt,     begun,    failed),
    ROW(DATA,        no_helo,   no_mail,   no_rcpts,  data,     begun,    failed),
    ROW(BDAT,        skip_helo, skip_mail, skip_rcpt, chunk,    chunk,    skip_fail),
    ROW(RSET,        ok,        ok,        reset,     reset,    reset,    reset),
    ROW(NOOP,        ok,        ok,        ok,        ok,       ok,       ok),
    ROW(VRFY,        vrfy,      vrfy,      vrfy,      vrfy,     vrfy,     vrfy),
    ROW(HELP,        help,      help,      help,      help,     help,     help),
    ROW(QUIT,        quit,      quit,      quit,      quit,     quit,     quit),
    ROW(STARTTLS,    no_helo,   tls,       tls,       tls,      tls,      tls),
    ROW(AUTH,        no_helo,   auth,      in_mail,   in_mail,  begun,    failed),
    ROW(NOT_OFFERED, not_ours,  not_ours,  not_ours,  not_ours, not_ours, not_ours),
    ROW(FOREIGN,     foreign,   foreign,   foreign,   foreign,  foreign,  foreign),
    ROW(UNKNOWN,     unknown,   unknown,   unknown,   unknown,  unknown,  unknown),
};

/* clang-format on */

/* ROW() takes as many cells as there are states, and there are as many rows as verbs: every cell is
 * filled. */
_Static_assert(NUM_SMTPD_STATES == 6, "one column of the table a state");
_Static_assert(sizeof rules / sizeof rules[0] == NUM_SMTP_VERBS, "one row of the table a verb");

const struct smtpd_rule *smtpd_rule(enum smtpd_state state, enum smtp_verb verb)
{
    return &rules[verb][state];
}

const char *smtpd_state_name(enum smtpd_state state)
{
    static const char *const names[] = {
        "start", "ready", "sender", "rcpts", "chunks", "failed",
    };
    _Static_assert(sizeof names / sizeof names[0] == NUM_SMTPD_STATES, "one name a state");
    return names[state];
}

const char *smtpd_phase_name(enum smtpd_phase phase)
{
    static const char *const names[] = {
        "opening", "command", "long-line", "asked", "auth",
        "data",    "chunk",   "skip",      "tls",   "closed",
    };
    _Static_assert(sizeof names / sizeof names[0] == NUM_SMTPD_PHASES, "one name a phase");
    return names[phase];
}

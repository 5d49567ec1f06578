/* The state table of the SMTP client: see smtp_client_table.h. Times as RFC 5321 4.5.3.2 has them;
 * STARTTLS, AUTH and RSET, which it does not know, like MAIL. tests/tables/smtp_client_states.def
 * says what has to come of each cell. */
#include "smtp_client_table.h"

#define MINUTES 60000

/* clang-format off */
#define hello    SMTP_CLIENT_DO_HELLO
#define helo     SMTP_CLIENT_DO_HELO
#define go_on    SMTP_CLIENT_DO_GO_ON
#define tls      SMTP_CLIENT_DO_TLS
#define no_tls   SMTP_CLIENT_DO_NO_TLS
#define step     SMTP_CLIENT_DO_STEP
#define logged   SMTP_CLIENT_DO_LOGGED
#define ready    SMTP_CLIENT_DO_READY
#define sender   SMTP_CLIENT_DO_SENDER
#define rcpt     SMTP_CLIENT_DO_RCPT
#define no_rcpt  SMTP_CLIENT_DO_NO_RCPT
#define content  SMTP_CLIENT_DO_CONTENT
#define refused  SMTP_CLIENT_DO_REFUSED
#define outcome  SMTP_CLIENT_DO_OUTCOME
#define shut     SMTP_CLIENT_DO_SHUT
#define fail     SMTP_CLIENT_DO_FAIL
#define breaks   SMTP_CLIENT_DO_BREAK
#define leave    SMTP_CLIENT_DO_LEAVE

#define ROW(state, name, reason, minutes, ...) \
    [SMTP_CLIENT_STATE_##state] = {name, reason, (minutes) * MINUTES, {__VA_ARGS__}}

static const struct smtp_client_rule rules[] = {
    /*                                                  2xx      3xx      4xx      5xx      421 */
    ROW(GREETING, "greeting", "greeting-refused",   5,  hello,   breaks,  fail,    fail,    fail),
    ROW(EHLO,     "ehlo",     "hello-refused",      5,  go_on,   breaks,  fail,    helo,    fail),
    ROW(HELO,     "helo",     "hello-refused",      5,  go_on,   breaks,  fail,    fail,    fail),
    ROW(STARTTLS, "starttls", "closing",            5,  tls,     breaks,  no_tls,  no_tls,  fail),
    ROW(TLS,      "tls",      "closing",            5,  breaks,  breaks,  breaks,  breaks,  breaks),
    ROW(AUTH,     "auth",     "login-refused",      5,  logged,  step,    fail,    fail,    fail),
    ROW(READY,    "ready",    "closing",            5,  breaks,  breaks,  breaks,  breaks,  fail),
    ROW(RSET,     "rset",     "reset-refused",      5,  ready,   breaks,  fail,    fail,    fail),
    ROW(MAIL,     "mail",     "closing",            5,  sender,  breaks,  refused, refused, shut),
    ROW(RCPT,     "rcpt",     "closing",            5,  rcpt,    breaks,  no_rcpt, no_rcpt, shut),
    ROW(DATA,     "data",     "closing",            2,  breaks,  content, refused, refused, shut),
    ROW(CONTENT,  "content",  "closing",            3,  breaks,  breaks,  shut,    shut,    shut),
    ROW(END,      "end",      "closing",           10,  outcome, breaks,  outcome, outcome, shut),
    ROW(QUIT,     "quit",     "closing",            1,  leave,   leave,   leave,   leave,   leave),
    ROW(ENDED,    "ended",    "closing",            1,  leave,   leave,   leave,   leave,   leave),
};
/* clang-format on */

_Static_assert(sizeof rules / sizeof rules[0] == NUM_SMTP_CLIENT_STATES, "one row a state");
_Static_assert(NUM_SMTP_REPLY_KINDS == 5, "one column a kind of reply");

const struct smtp_client_rule *smtp_client_rule(enum smtp_client_state state)
{
    return &rules[state];
}

const char *smtp_client_state_name(enum smtp_client_state state)
{
    return rules[state].name;
}

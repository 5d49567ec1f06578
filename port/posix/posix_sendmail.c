/* Arguments as Sendmail has them: see posix_sendmail.h. What is not known of them is ignored where
 * that does no harm: programs pass more than they need. */
#include "posix_sendmail.h"

#include "envelope.h"
#include "mail_header.h"
#include "posix_command.h"
#include "posix_control.h"
#include "posix_ids.h"
#include "posix_outbox.h"
#include "posix_submit.h"
#include "smtp_command.h"

#include <sysexits.h>
#include <unistd.h>

enum mode {
    MODE_DELIVER,
    MODE_SMTP,    /* -bs */
    MODE_LIST,    /* -bp, mailq */
    MODE_ALIASES, /* -bi, newaliases */
    MODE_FLUSH,   /* -q */
    MODE_WRONG
};

struct request {
    enum mode mode;
    const char *conf_path;
    const char *sender; /* of -f; NULL: who runs this */
    const char *notify;
    const char *ret; /* of -R */
    const char *wrong;
    bool takes_rcpts; /* -t */
    bool ignores_dots;
};

static const char *name_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

bool posix_sendmail_is_name(const char *path)
{
    const char *name = name_of(path);
    return strcmp(name, "sendmail") == 0 || strcmp(name, "send-mail") == 0 ||
           strcmp(name, "mailq") == 0 || strcmp(name, "newaliases") == 0;
}

static enum mode mode_of(char letter)
{
    switch (letter) {
    case 'm':
        return MODE_DELIVER;
    case 's':
        return MODE_SMTP;
    case 'p':
        return MODE_LIST;
    case 'i':
    case 'I':
        return MODE_ALIASES;
    default:
        return MODE_WRONG;
    }
}

/* One option with its value, which is "" if it has none. */
static void take_option(struct request *r, struct letter *l, char option, const char *value)
{
    switch (option) {
    case 'b':
        r->mode = mode_of(value[0]);
        return;
    case 'q':
        r->mode = MODE_FLUSH;
        return;
    case 't':
        r->takes_rcpts = true;
        return;
    case 'i':
        r->ignores_dots = true;
        return;
    case 'o':
        r->ignores_dots = r->ignores_dots || strcmp(value, "i") == 0;
        r->takes_rcpts = r->takes_rcpts || strcmp(value, "t") == 0;
        return;
    case 'O':
        r->ignores_dots = r->ignores_dots || strcmp(value, "IgnoreDots") == 0 ||
                          strcmp(value, "IgnoreDots=true") == 0;
        return;
    case 'f':
    case 'r':
        r->sender = value;
        return;
    case 'F':
        l->full_name = slice_of_string(value);
        return;
    case 'N':
        r->notify = value;
        return;
    case 'R':
        r->ret = value;
        return;
    case 'V':
        l->envid = slice_of_string(value);
        return;
    case 'C':
        r->conf_path = value;
        return;
    case '-': /* a word: its letters mean nothing */
        r->mode = MODE_WRONG;
        return;
    default: /* -m -n -v -U -G -s ...: nothing that matters here */
        return;
    }
}

/* Those with a value, which may be the next argument. */
static bool has_value(char option)
{
    return strchr("fFrNRVCBhLOpXo", option) != NULL;
}

/* One argument: options without a value may stand in front of others, as in "-tif"; of -b, -q, -e,
 * -d and -A the rest is theirs. False if a value is missing. -o is old: only "-o x" has its value
 * apart. */
static bool take_argument(struct request *r, struct letter *l, const char *at, const char *next,
                          bool *out_took_next)
{
    *out_took_next = false;
    for (; *at != '\0'; at++) {
        if (has_value(*at)) {
            *out_took_next = at[1] == '\0';
            const char *value = *out_took_next ? next : at + 1;
            if (value != NULL) {
                take_option(r, l, *at, value);
            }
            return value != NULL;
        }
        take_option(r, l, *at, at + 1);
        if (strchr("bqedA-", *at) != NULL) {
            break;
        }
    }
    return true;
}

/* Options end at "--" or at the first argument that is none. Returns where the recipients begin. */
static int take_options(struct request *r, struct letter *l, int argc, char **argv)
{
    int i = 1;
    for (; i < argc && argv[i][0] == '-' && argv[i][1] != '\0'; i++) {
        bool took_next;
        if (strcmp(argv[i], "--") == 0) {
            i++;
            break;
        }
        if (!take_argument(r, l, argv[i] + 1, argv[i + 1], &took_next)) {
            r->mode = MODE_WRONG;
        }
        if (r->mode == MODE_WRONG && r->wrong == NULL) {
            r->wrong = argv[i];
        }
        i += took_next && i + 1 < argc;
    }
    if (r->wrong != NULL) { /* whatever came behind it */
        r->mode = MODE_WRONG;
    }
    return i;
}

static bool take_ret(struct letter *l, struct slice text)
{
    l->ret = text_equal_nocase(text, SLICE_LITERAL("full"))   ? "FULL"
             : text_equal_nocase(text, SLICE_LITERAL("hdrs")) ? "HDRS"
                                                              : NULL;
    return l->ret != NULL;
}

/* -f, or the user who runs this. bytes holds the address. */
static bool take_sender(struct letter *l, const char *sender, uint8_t bytes[MAIL_ADDRESS_CAP])
{
    char name[PORT_USER_NAME_CAP];
    struct slice text = slice_of_string(sender != NULL ? sender : name), bad;
    struct address a;
    if (sender == NULL) {
        posix_id_name(name, POSIX_USERS_FILE, (uint32_t)getuid());
        struct buf b = buf_make(name, sizeof name);
        if (name[0] == '\0') { /* as the server calls them, too */
            buf_put_string(&b, "uid-");
            text_put_u64(&b, (uint64_t)getuid());
            buf_end_string(&b);
        }
        text = slice_of_string(name);
    }
    if (text.len == 0 || slice_equal(text, SLICE_LITERAL("<>"))) {
        return true; /* reports come from nobody */
    }
    if (mail_address_next(&text, conf_own_domain(l->conf), bytes, &a, &bad) != ERR_OK) {
        return false;
    }
    l->sender = a.text;
    l->is_smtputf8 = a.is_utf8;
    return true;
}

/* Whom neither the server nor the outbox has taken the message for. */
static void complain_of_waiting(const struct letter *l)
{
    for (uint32_t i = 0; i < l->num_rcpts; i++) {
        if (l->rcpts[i].state == LETTER_WAITING) {
            posix_complain_of(letter_address(l, i), "could not be handed in now");
        }
    }
}

/* Whether ENVID can say it (RFC 3461 4.4): else the server refuses the message, or what is left in
 * the outbox. */
static bool is_envid(struct slice text)
{
    size_t len = 0;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];
        if (c < ' ' || c > '~') {
            return false;
        }
        len += c == ' ' || c == '+' || c == '=' ? 3 : 1; /* in xtext */
    }
    return len <= ENVELOPE_ENVID_MAX;
}

static int deliver(const struct request *r, struct letter *l, int num_rcpts, char **rcpts)
{
    uint8_t sender_bytes[MAIL_ADDRESS_CAP];
    enum err e = ERR_OK;
    if (r->notify != NULL && !smtp_notify_parse(slice_of_string(r->notify), &l->notify)) {
        posix_complain(r->notify, "expected never, or success, failure and delay with commas");
        return EX_USAGE;
    }
    if (r->ret != NULL && !take_ret(l, slice_of_string(r->ret))) {
        posix_complain(r->ret, "expected full or hdrs");
        return EX_USAGE;
    }
    if (!is_envid(l->envid)) {
        posix_complain("-V", "expected at most 100 printable characters of ASCII");
        return EX_USAGE;
    }
    if (!take_sender(l, r->sender, sender_bytes)) {
        posix_complain(r->sender != NULL ? r->sender : "sender", "is no address");
        return EX_USAGE;
    }
    for (int i = 0; i < num_rcpts && e == ERR_OK; i++) {
        if (rcpts[i][0] == '-') {
            posix_complain(rcpts[i], "options go before recipients");
            return EX_USAGE;
        }
        e = letter_add(l, slice_of_string(rcpts[i]));
    }
    if (e == ERR_OK) {
        e = letter_read(l, STDIN_FILENO, !r->ignores_dots, r->takes_rcpts);
    }
    if (e == ERR_OK && l->num_rcpts == 0) {
        posix_complain("recipients", "there are none");
        return EX_USAGE;
    }
    if (e != ERR_OK) {
        if (e != ERR_MALFORMED) { /* that has been told */
            posix_complain("message", err_name(e));
        }
        return e == ERR_IO ? EX_IOERR : e == ERR_NO_MEMORY ? EX_OSERR : EX_DATAERR;
    }
    int status = posix_submit(l);
    if (!letter_waits(l)) {
        return status;
    }
    int left = posix_outbox_put(l);
    if (left == EX_OK && status != EX_TEMPFAIL) {
        return status; /* what is wrong with the others */
    }
    if (left == EX_CONFIG) {
        posix_complain(l->conf->submit_socket, "the server cannot take it now, and there is no "
                                               "outbox_directory");
    }
    if (left != EX_OK) {
        complain_of_waiting(l);
    }
    return left == EX_CONFIG ? EX_TEMPFAIL : left;
}

/* The commands of postern for what Sendmail has as options. */
static int ask(const char *command, const char *conf_path)
{
    char word[8], option[] = "-c";
    char *argv[] = {word, option, (char *)(uintptr_t)conf_path};
    memcpy(word, command, strlen(command) + 1);
    return posix_control(3, argv);
}

int posix_sendmail(int argc, char **argv)
{
    static struct letter letter;
    static struct conf conf;
    struct request r = {.conf_path = POSIX_DEFAULT_CONF};
    const char *name = name_of(argv[0]);
    int first = take_options(&r, &letter, argc, argv);
    if (r.mode == MODE_DELIVER && name[0] != 's') {
        r.mode = name[0] == 'm' ? MODE_LIST : MODE_ALIASES;
    }
    switch (r.mode) {
    case MODE_WRONG:
        posix_complain(r.wrong, "not understood; postern(8) has the options of sendmail");
        return EX_USAGE;
    case MODE_ALIASES:
        return EX_OK; /* aliases_file needs no building */
    case MODE_LIST:
        return ask("queue", r.conf_path);
    case MODE_FLUSH:
        return ask("flush", r.conf_path);
    case MODE_DELIVER:
    case MODE_SMTP:
        break;
    }
    char hostname[POSIX_HOSTNAME_CAP];
    uint8_t error_bytes[CONF_ERRORS_CAP];
    struct buf errors = buf_make(error_bytes, sizeof error_bytes);
    struct arena memory;
    posix_hostname(hostname);
    enum err e =
        posix_read_options(&conf, &memory, r.conf_path, slice_of_string(hostname), &errors);
    if (e != ERR_OK) {
        posix_put_errors(r.conf_path, e, &errors);
        return posix_exit_status(e);
    }
    letter.conf = &conf;
    return r.mode == MODE_SMTP ? posix_submit_raw(&conf)
                               : deliver(&r, &letter, argc - first, argv + first);
}

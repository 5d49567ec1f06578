/* Asks the running server: see posix_control.h. What is asked and answered has the form of
 * core/control.h; the answer goes to stdout, complaints to stderr. */
#include "posix_control.h"

#include "control.h"
#include "posix_command.h"
#include "posix_local.h"

#include <errno.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#define ANSWER_WITHIN_S 60
#define PIECE_LEN       8192 /* no line of an answer is longer */

struct asking {
    struct buf request;
    const char *conf_path;
    char **ids; /* of messages: the request is put for each, with it behind; else none */
    int num_ids;
    const char *after_id; /* an empty string, or words with a space in front */
};

static int misuse(const char *what, const char *why)
{
    posix_complain(what, why);
    return EX_USAGE;
}

/* The request's words of each command; 0, or the exit status of wrong arguments. */
static int ask_status(struct asking *a, int argc, char **argv)
{
    (void)a;
    return argc > 0 ? misuse(argv[0], "not understood; postern status has no arguments but -c") : 0;
}

static int ask_clock(struct asking *a, int argc, char **argv)
{
    bool resets = false, trusts = false;
    const char *time = NULL;
    int64_t unix_s;
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--reset-floor") == 0) {
            resets = true;
        } else if (strcmp(argv[i], "--trust") == 0 && time == NULL) {
            trusts = true;
        } else if (strcmp(argv[i], "--set") == 0 && i + 1 < argc && !trusts) {
            time = argv[++i];
        } else {
            return misuse(argv[i],
                          "not understood; expected [--reset-floor] [--trust | --set TIME]");
        }
    }
    if (time != NULL && !text_parse_time(slice_of_string(time), &unix_s)) {
        return misuse(time, "expected a time such as 2026-11-23T22:48:00Z");
    }
    buf_put_string(&a->request, resets ? " reset-floor" : "");
    buf_put_string(&a->request, trusts ? " trust" : time != NULL ? " set " : "");
    buf_put_string(&a->request, time != NULL ? time : "");
    return 0;
}

static int ask_queue(struct asking *a, int argc, char **argv)
{
    static const char *const verbs[] = {"show", "hold", "release", "retry", "remove"};
    static const char expected[] =
        "not understood; expected list, or show, hold, release, retry, remove [--report] and "
        "message ids";
    const char *verb = argc > 0 ? argv[0] : "list";
    bool has_ids = false;
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
        has_ids = has_ids || strcmp(verb, verbs[i]) == 0;
    }
    if (!has_ids && (argc > 1 || strcmp(verb, "list") != 0)) {
        return misuse(verb, expected);
    }
    int first = 1;
    if (strcmp(verb, "remove") == 0 && argc > 1 && strcmp(argv[1], "--report") == 0) {
        a->after_id = " report";
        first = 2;
    }
    if (has_ids && argc <= first) {
        return misuse(verb, "the id of a message must follow");
    }
    for (int i = first; i < argc; i++) {
        if (argv[i][0] == '-') { /* before any message is removed without it */
            return misuse(argv[i], expected);
        }
    }
    buf_put_string(&a->request, " ");
    buf_put_string(&a->request, verb);
    a->ids = argv + first;
    a->num_ids = has_ids ? argc - first : 0;
    return 0;
}

static int ask_flush(struct asking *a, int argc, char **argv)
{
    (void)a;
    return argc > 0 ? misuse(argv[0], "not understood; postern flush has no arguments but -c") : 0;
}

static const struct {
    const char *word;
    int (*ask)(struct asking *a, int argc, char **argv);
} commands[] = {
    {"status", ask_status},
    {"clock", ask_clock},
    {"queue", ask_queue},
    {"flush", ask_flush},
};

#define NUM_COMMANDS (sizeof commands / sizeof commands[0])

bool posix_control_is_command(const char *word)
{
    for (size_t i = 0; i < NUM_COMMANDS; i++) {
        if (strcmp(word, commands[i].word) == 0) {
            return true;
        }
    }
    return false;
}

/* Takes "-c FILE" out of the arguments, wherever it stands; returns how many are left, -1: FILE is
 * missing. */
static int take_conf_path(const char **out, int argc, char **argv)
{
    int num = 0;
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "-c") != 0) {
            argv[num++] = argv[i];
        } else if (++i < argc) {
            *out = argv[i];
        } else {
            return -1;
        }
    }
    return num;
}

/* Prints the whole lines that bytes holds and drops them. ERR_OK: that was the last one. */
static enum err print(struct buf *bytes, enum err *out_result)
{
    struct slice in = buf_slice(bytes), line;
    enum control_line kind = CONTROL_ANSWER;
    enum err e = ERR_OK;
    while (kind != CONTROL_END && (e = control_read(&in, &kind, &line, out_result)) == ERR_OK) {
        if (kind == CONTROL_ANSWER) {
            posix_put(STDOUT_FILENO, slice_make(line.ptr, line.len + 1)); /* with its end */
        } else if (kind == CONTROL_COMPLAINT) {
            posix_put_string(STDERR_FILENO, "postern: ");
            posix_put(STDERR_FILENO, slice_make(line.ptr, line.len + 1));
        }
    }
    buf_drop(bytes, bytes->len - in.len);
    return e == ERR_AGAIN && buf_room(bytes) == 0 ? ERR_MALFORMED : e;
}

static enum err print_reply(int fd, enum err *out_result)
{
    uint8_t bytes[PIECE_LEN];
    struct buf b = buf_make(bytes, sizeof bytes);
    for (;;) {
        ssize_t len = read(fd, b.ptr + b.len, buf_room(&b));
        if (len < 0 && errno == EINTR) { /* by SIGCONT, with no handler for it */
            continue;
        }
        if (len <= 0) {
            return ERR_EOF;
        }
        b.len += (size_t)len;
        enum err e = print(&b, out_result);
        if (e != ERR_AGAIN) {
            return e;
        }
    }
}

static int cannot_connect(const char *path, enum err e)
{
    switch (e) {
    case ERR_ABSENT:
    case ERR_REFUSED:
        posix_complain(path, "no server runs there");
        return EX_UNAVAILABLE;
    case ERR_TOO_BIG:
        posix_complain(path, "the path is too long for a socket");
        return EX_CONFIG;
    default:
        posix_complain(path, err_name(e));
        return posix_exit_status(e);
    }
}

static int talk(const char *path, struct slice request)
{
    int fd;
    enum err result = ERR_OK, e = posix_dial_local(&fd, path, ANSWER_WITHIN_S);
    if (e != ERR_OK) {
        return cannot_connect(path, e);
    }
    if (send(fd, request.ptr, request.len, MSG_NOSIGNAL) != (ssize_t)request.len) {
        e = ERR_RESET;
    } else {
        e = print_reply(fd, &result);
    }
    close(fd);
    if (e != ERR_OK) {
        posix_complain(path, "the server gave no whole answer within a minute");
        return EX_PROTOCOL;
    }
    if (result != ERR_OK) {
        posix_complain("the server says", err_name(result));
        return err_is_temporary(result) ? EX_TEMPFAIL : EX_DATAERR;
    }
    return EX_OK;
}

/* The request as it is, or for each id; the first failure's status. */
static int talk_of_each(const char *path, struct asking *a)
{
    size_t len = a->request.len;
    int status = EX_OK, i = 0;
    do {
        a->request.len = len;
        if (a->num_ids > 0) {
            buf_put_string(&a->request, " ");
            buf_put_string(&a->request, a->ids[i]);
            buf_put_string(&a->request, a->after_id);
        }
        if (!buf_put_string(&a->request, "\n")) {
            return misuse(a->num_ids > 0 ? a->ids[i] : "request", "too long");
        }
        int one = talk(path, buf_slice(&a->request));
        status = status == EX_OK ? one : status;
    } while (++i < a->num_ids);
    return status;
}

static int ask(struct asking *a)
{
    char hostname[POSIX_HOSTNAME_CAP];
    uint8_t error_bytes[CONF_ERRORS_CAP];
    struct buf errors = buf_make(error_bytes, sizeof error_bytes);
    struct arena memory;
    struct conf conf;
    posix_hostname(hostname);
    enum err e =
        posix_read_options(&conf, &memory, a->conf_path, slice_of_string(hostname), &errors);
    if (e != ERR_OK) {
        posix_put_errors(a->conf_path, e, &errors);
        return posix_exit_status(e);
    }
    return talk_of_each(conf.control_socket, a);
}

int posix_control(int argc, char **argv)
{
    uint8_t bytes[CONTROL_LINE_MAX + 1];
    struct asking a = {
        .request = buf_make(bytes, sizeof bytes), .conf_path = POSIX_DEFAULT_CONF, .after_id = ""};
    int status = EX_USAGE;
    buf_put_string(&a.request, argv[0]);
    int num = take_conf_path(&a.conf_path, argc - 1, argv + 1);
    if (num < 0) {
        return misuse("-c", "the name of a file must follow");
    }
    for (size_t i = 0; i < NUM_COMMANDS; i++) {
        if (strcmp(argv[0], commands[i].word) == 0) {
            status = commands[i].ask(&a, num, argv + 1);
        }
    }
    return status == EX_OK ? ask(&a) : status;
}

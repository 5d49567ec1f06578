/* The users file, changed by hand: see posix_passwd.h. Passwords become SCRAM verifiers here and
 * are written nowhere. */
#include "posix_passwd.h"

#include "auth_users.h"
#include "base64.h"
#include "budget.h"
#include "posix_command.h"
#include "posix_entropy.h"
#include "posix_files.h"
#include "posix_privilege.h"
#include "text.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sysexits.h>
#include <termios.h>
#include <unistd.h>

#define PASSWORD_CAP 512

static const char usage[] =
    "usage: postern passwd [-c FILE] [--stdin | --delete] USER\n"
    "sets USER's password in the file that auth_users_file names, or deletes USER from it;\n"
    "--stdin: the password is the first line of the standard input\n";

struct order {
    const char *conf_path;
    struct slice name;
    bool from_stdin;
    bool is_deletion;
};

static int fail(int status, const char *what, const char *why)
{
    posix_complain(what, why);
    return status;
}

static int fail_at_line(const char *path, uint32_t number)
{
    char why[sizeof AUTH_LINE_FORM + 24];
    struct buf b = buf_make(why, sizeof why);
    buf_put_string(&b, "line ");
    text_put_u64(&b, number);
    buf_put_string(&b, ": " AUTH_LINE_FORM);
    buf_end_string(&b);
    return fail(EX_DATAERR, path, why);
}

/* One line of the standard input, without its end; SIZE_MAX if there is none or it is too long. */
static size_t read_line(char *out, size_t cap)
{
    size_t len = 0;
    char c;
    ssize_t got = 0;
    while (len < cap && (got = read(STDIN_FILENO, &c, 1)) == 1 && c != '\n') {
        out[len++] = c;
    }
    return len == cap || (len == 0 && got != 1) ? SIZE_MAX : len;
}

/* As the kernel has it. The C library's functions come with a table of what ioctl() once was, 800
 * bytes where the processor has 32 bits. */
static bool call_terminal(unsigned long request, struct termios *state)
{
    return syscall(SYS_ioctl, STDIN_FILENO, request, state) == 0;
}

static size_t ask(const char *prompt, char *out, size_t cap)
{
    struct termios before, silent;
    bool is_terminal = call_terminal(TCGETS, &before);
    posix_put_string(STDERR_FILENO, prompt);
    if (is_terminal) {
        silent = before;
        silent.c_lflag &= ~(tcflag_t)(ECHO | ISIG); /* a Ctrl-C is a character that is refused */
        call_terminal(TCSETSF, &silent);
    }
    size_t len = read_line(out, cap);
    if (is_terminal) {
        call_terminal(TCSETSF, &before);
    }
    posix_put_string(STDERR_FILENO, "\n");
    return len;
}

static int read_password(bool from_stdin, char *out, struct slice *password)
{
    char again[PASSWORD_CAP];
    size_t len = from_stdin ? read_line(out, PASSWORD_CAP) : ask("Password: ", out, PASSWORD_CAP);
    *password = slice_make(out, len == SIZE_MAX ? 0 : len);
    if (!auth_is_password(*password)) {
        return fail(EX_DATAERR, "password", "expected 1 to 511 printable ASCII characters");
    }
    if (!from_stdin) {
        size_t again_len = ask("Again: ", again, sizeof again);
        bool same = again_len == len && memcmp(out, again, len) == 0;
        scram_wipe(again, sizeof again);
        if (!same) {
            return fail(EX_DATAERR, "password", "the two are not the same");
        }
    }
    return EX_OK;
}

static bool make_verifier(struct scram_verifier *v, struct slice password)
{
    struct port_entropy entropy;
    struct scram_salting w;
    posix_entropy_port(&entropy);
    v->iterations = AUTH_ITERATIONS;
    v->salt_len = AUTH_SALT_LEN;
    if (entropy.fill(entropy.ctx, v->salt, AUTH_SALT_LEN) != ERR_OK) {
        return false;
    }
    scram_salting_begin(&w, password, slice_make(v->salt, v->salt_len), v->iterations);
    while (!scram_salting_step(&w, SCRAM_PIECE)) {
    }
    scram_keys_make(w.salted, v->stored_key, v->server_key);
    scram_wipe(&w, sizeof w);
    return true;
}

static bool put_secret(struct buf *out)
{
    uint8_t secret[AUTH_SECRET_LEN];
    struct port_entropy entropy;
    posix_entropy_port(&entropy);
    if (entropy.fill(entropy.ctx, secret, sizeof secret) != ERR_OK) {
        return false;
    }
    buf_put_string(out, ":");
    base64_put(out, slice_make(secret, sizeof secret));
    return buf_put_string(out, "\n");
}

/* The new text: other lines stay as they are, the user's is replaced where it stands, or comes
 * last. *out_found: the user was there. */
static bool rewrite(struct slice text, const struct order *order, struct auth_user *fresh,
                    struct buf *out, bool *out_found)
{
    struct auth_user user;
    enum auth_line kind;
    bool has_secret = false;
    *out_found = false;
    for (struct slice rest = text; auth_users_next(&rest, &kind, &user);) {
        has_secret = has_secret || kind == AUTH_LINE_SECRET;
    }
    if (!has_secret && !put_secret(out)) {
        return false;
    }
    for (struct slice rest = text; rest.len != 0;) {
        struct slice line = rest;
        auth_users_next(&rest, &kind, &user);
        line.len -= rest.len;
        if (kind != AUTH_LINE_USER || !slice_equal(user.name, order->name)) {
            buf_put(out, line);
            if (line.ptr[line.len - 1] != '\n') {
                buf_put_string(out, "\n");
            }
            continue;
        }
        if (!order->is_deletion && !*out_found) {
            fresh->senders = user.senders;
            auth_users_put(out, fresh);
        }
        *out_found = true;
    }
    if (!order->is_deletion && !*out_found) {
        auth_users_put(out, fresh);
    }
    return !out->overflow;
}

/* One at a time changes the file: held until the program ends. */
static void lock_directory(const char *path)
{
    char dir[PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t len = slash == NULL || slash == path ? 1 : (size_t)(slash - path);
    if (len < sizeof dir) {
        memcpy(dir, slash == NULL ? "." : path, len);
        dir[len] = 0;
        int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd >= 0) {
            (void)flock(fd, LOCK_EX);
        }
    }
}

/* Root's new file is for the server's group to read. It is made empty: what is there keeps its
 * owner and mode when it is replaced. */
static void make_readable(const char *path, const struct posix_identity *who)
{
    int fd = who->changes ? open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600) : -1;
    if (fd >= 0) {
        (void)!fchown(fd, (uid_t)-1, who->gid);
        (void)!fchmod(fd, 0640);
        close(fd);
    }
}

static int change(const struct posix_identity *who, const char *path, const struct order *order,
                  struct auth_user *fresh)
{
    static uint8_t old_bytes[BUDGET_FILE_LEN], new_bytes[BUDGET_FILE_LEN];
    struct buf out = buf_make(new_bytes, sizeof new_bytes);
    struct port_files files;
    size_t len = 0;
    bool is_found;
    posix_files_port(&files);
    lock_directory(path);
    enum err err = files.read(files.ctx, &len, path, old_bytes, sizeof old_bytes);
    if (err != ERR_OK && err != ERR_ABSENT) {
        return fail(EX_NOINPUT, path, err_name(err));
    }
    struct slice text = slice_make(old_bytes, len);
    uint32_t wrong = auth_users_check(text, false);
    if (wrong != 0) {
        return fail_at_line(path, wrong);
    }
    if (!rewrite(text, order, fresh, &out, &is_found)) {
        return fail(EX_OSERR, path, "more than there is room for");
    }
    if (order->is_deletion && !is_found) {
        return fail(EX_NOUSER, path, "no such user");
    }
    make_readable(path, who);
    err = files.replace(files.ctx, path, buf_slice(&out));
    return err == ERR_OK ? EX_OK : fail(EX_CANTCREAT, path, err_name(err));
}

static bool parse(int argc, char **argv, struct order *out)
{
    *out = (struct order){.conf_path = POSIX_DEFAULT_CONF, .name = slice_make(NULL, 0)};
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--stdin") == 0) {
            out->from_stdin = true;
        } else if (strcmp(argv[i], "--delete") == 0) {
            out->is_deletion = true;
        } else if (strcmp(argv[i], "-c") == 0 && i + 1 < argc) {
            out->conf_path = argv[++i];
        } else if (argv[i][0] == '-' || out->name.len != 0) {
            return false;
        } else {
            out->name = slice_of_string(argv[i]);
        }
    }
    return out->name.len != 0 && !(out->from_stdin && out->is_deletion);
}

static int obey(const struct posix_identity *who, const char *users_file, const struct order *order)
{
    struct auth_user fresh = {.name = order->name, .senders = {NULL, 0}};
    char bytes[PASSWORD_CAP];
    struct slice password;
    if (users_file[0] == 0) {
        return fail(EX_CONFIG, "auth_users_file", "not set");
    }
    if (order->is_deletion) {
        return change(who, users_file, order, &fresh);
    }
    int status = read_password(order->from_stdin, bytes, &password);
    if (status == EX_OK && !make_verifier(&fresh.verifier, password)) {
        status = fail(EX_OSERR, "salt", err_name(ERR_NO_ENTROPY));
    }
    scram_wipe(bytes, sizeof bytes);
    return status == EX_OK ? change(who, users_file, order, &fresh) : status;
}

int posix_passwd(int argc, char **argv)
{
    struct order order;
    struct posix_identity who;
    struct conf conf;
    struct arena a;
    uint8_t report[CONF_ERRORS_CAP];
    struct buf errors = buf_make(report, sizeof report);
    if (argc == 1 && strcmp(argv[0], "--help") == 0) {
        posix_put_string(STDOUT_FILENO, usage);
        return EX_OK;
    }
    if (!parse(argc, argv, &order)) {
        posix_put_string(STDERR_FILENO, usage);
        return EX_USAGE;
    }
    if (!auth_is_name(order.name)) {
        return fail(EX_USAGE, "user",
                    "expected a name of 1 to 128 printable ASCII characters "
                    "without spaces and colons, not beginning with '#'");
    }
    enum err err =
        posix_read_options(&conf, &a, order.conf_path, SLICE_LITERAL("localhost"), &errors);
    if (err == ERR_OK) {
        err = posix_identity_of(&who, &conf, &errors);
    }
    if (err != ERR_OK) {
        posix_put_errors(order.conf_path, err, &errors);
        return posix_exit_status(err);
    }
    return obey(&who, conf.auth_users_file, &order);
}

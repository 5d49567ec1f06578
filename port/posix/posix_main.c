/* The program: its arguments, its memory, its limits, and the loop.
 *
 * Exit status as in sysexits.h; each mistake is one line on stderr. The spool's directory and the
 * log's sink are needed before the server reads its options, so they are read here once before. */
#include "posix.h"

#include "budget.h"
#include "mta.h"
#include "posix_clock.h"
#include "posix_command.h"
#include "posix_control.h"
#include "posix_entropy.h"
#include "posix_err.h"
#include "posix_files.h"
#include "posix_loop.h"
#include "posix_ocsp_check.h"
#include "posix_ocsp_fetch.h"
#include "posix_passwd.h"
#include "posix_sandbox.h"
#include "posix_sendmail.h"
#include "posix_store.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#ifndef POSTERN_VERSION
#define POSTERN_VERSION "0.1"
#endif

#define REPORT_CAP 8192

/* Beside connections and segments: listeners, deliveries, the loop's own, small files, what peers
 * leave over. */
#define OTHER_FDS 192

static const char usage[] =
    "usage: postern [-c FILE]          run the server in the foreground\n"
    "       postern check [-c FILE]    check the options and the files they name\n"
    "       postern budget [-c FILE]   how much memory it takes, and for what\n"
    "       postern status [-c FILE]   how the running server fares\n"
    "       postern clock [-c FILE] [--reset-floor] [--trust | --set TIME]\n"
    "                                  what time it believes it is; or tell it\n"
    "       postern queue [-c FILE] [list | show | hold | release | retry | remove [--report]] [ID]...\n"
    "       postern flush [-c FILE]    try every message that waits now\n"
    "       postern sendmail ...       hand a message in, with the options of Sendmail\n"
    "       postern ocsp-check ...     judge an OCSP response; --help says how\n"
    "       postern ocsp-fetch ...     fetch one; --help says how\n"
    "       postern passwd [-c FILE] [--stdin | --delete] USER\n"
    "                                  set or delete a password for AUTH\n"
    "       postern --version | --help\n"
    "FILE is " POSIX_DEFAULT_CONF " unless given. SIGHUP: read the options again. "
    "SIGTERM: finish and stop.\n";

enum action { ACTION_RUN, ACTION_CHECK, ACTION_BUDGET, ACTION_VERSION, ACTION_HELP, ACTION_WRONG };

struct arguments {
    enum action action;
    const char *conf_path;
    const char *wrong; /* the argument that was not understood; NULL: one is missing */
};

/* What of the options matters before the server has read them. */
struct first_conf {
    struct conf conf;
    struct arena memory;
    uint64_t num_fds; /* that the server may need */
};

static enum action action_of(const char *word)
{
    static const struct {
        const char *word;
        enum action action;
    } words[] = {
        {"check", ACTION_CHECK}, {"budget", ACTION_BUDGET}, {"--version", ACTION_VERSION},
        {"--help", ACTION_HELP}, {"-h", ACTION_HELP},
    };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcmp(word, words[i].word) == 0) {
            return words[i].action;
        }
    }
    return ACTION_WRONG;
}

static struct arguments parse_arguments(int argc, char **argv)
{
    struct arguments a = {ACTION_RUN, POSIX_DEFAULT_CONF, NULL};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-c") == 0) {
            if (++i == argc) {
                a.action = ACTION_WRONG;
                return a;
            }
            a.conf_path = argv[i];
            continue;
        }
        enum action action = action_of(argv[i]);
        if (action == ACTION_WRONG || (a.action != ACTION_RUN && action != ACTION_HELP)) {
            a.action = ACTION_WRONG;
            a.wrong = argv[i];
            return a;
        }
        a.action = action;
    }
    return a;
}

static enum err read_first(struct first_conf *out, const char *path, const char *hostname,
                           struct buf *errors)
{
    enum err e =
        posix_read_options(&out->conf, &out->memory, path, slice_of_string(hostname), errors);
    if (e == ERR_OK) {
        out->num_fds =
            OTHER_FDS + out->conf.smtp_accept_max + out->conf.spool_size / BUDGET_SEGMENT_LEN;
    }
    return e;
}

/* More than any table of handles need have, whatever the system gives. */
#define FDS_MAX 65536

/* As many descriptors as the options need, if they can be had; returns how many there are. They may
 * be more: options read again may need them. By prlimit: setrlimit of musl stops all threads first,
 * which the kernel does not ask for. */
static uint32_t raise_fd_limit(uint64_t num_wanted)
{
    struct rlimit limit;
    if (prlimit(0, RLIMIT_NOFILE, NULL, &limit) != 0) {
        return 256;
    }
    if (limit.rlim_cur < num_wanted) {
        rlim_t soft = limit.rlim_cur, hard = limit.rlim_max;
        limit.rlim_cur = (rlim_t)num_wanted;
        limit.rlim_max = hard > limit.rlim_cur ? hard : limit.rlim_cur;
        if (prlimit(0, RLIMIT_NOFILE, &limit, NULL) != 0) { /* only root gets more than hard */
            limit.rlim_cur = hard;
            limit.rlim_max = hard;
            if (prlimit(0, RLIMIT_NOFILE, &limit, NULL) != 0) {
                limit.rlim_cur = soft;
            }
        }
    }
    return limit.rlim_cur < FDS_MAX ? (uint32_t)limit.rlim_cur : FDS_MAX;
}

static void warn_of_few_fds(const struct port *port, uint64_t num_wanted, uint32_t num_fds)
{
    struct log_line line;
    log_begin(&line, "limit");
    log_word(&line, "what", "open-files");
    log_u64(&line, "have", num_fds);
    log_u64(&line, "want", num_wanted);
    log_word(&line, "because-of", "smtp_accept_max,spool_size");
    port->log.line(port->log.ctx, LOG_WARNING, log_end(&line));
}

static int fail(const char *what, enum err e, const struct posix_identity *who, struct buf *errors)
{
    if (e == ERR_DENIED) {
        posix_sandbox_put_denied(who, errors);
    }
    posix_put_errors(what, e, errors);
    return posix_exit_status(e);
}

static int serve(const struct port *port, const struct mta_start *start, uint64_t spool_size,
                 struct posix_sandbox *sandbox, struct buf *errors)
{
    struct arena a;
    if (!posix_map_arena(&a, mta_memory_len(spool_size, port->store.write_unit_len))) {
        posix_complain("memory", err_name(ERR_NO_MEMORY));
        return EX_OSERR;
    }
    (void)madvise(a.ptr, a.len, MADV_DONTDUMP); /* keys and mail are in it */
    struct mta *m;
    enum err e = mta_open(&m, &a, port, start, errors);
    if (e != ERR_OK) {
        return fail(start->conf_path, e, &sandbox->who, errors);
    }
    posix_sandbox_seal(sandbox, &port->log);
    while (mta_step(m)) {
    }
    return posix_exit_status(mta_result(m));
}

static int run(const struct mta_start *start, struct buf *errors)
{
    static struct first_conf first;
    struct posix_sandbox sandbox;
    posix_loop_hold_signals(); /* a reload right behind the start shall not end it */
    enum err e = read_first(&first, start->conf_path, start->hostname, errors);
    uint32_t num_fds = e == ERR_OK ? raise_fd_limit(first.num_fds) : 0;
    if (e == ERR_OK) {
        e = posix_sandbox_enter(&sandbox, &first.conf, start->conf_path, errors);
    }
    if (e != ERR_OK) {
        posix_put_errors(start->conf_path, e, errors);
        return posix_exit_status(e);
    }
    struct posix_conf conf = {
        .spool_directory = first.conf.spool_directory,
        .num_fds = num_fds,
        .log_sink =
            first.conf.log_file_path == CONF_LOG_SYSLOG ? POSIX_LOG_SYSLOG : POSIX_LOG_STDERR,
        .log_level = first.conf.log_level,
        .worker_gives_up = sandbox.who.changes,
        .take_signals = true,
    };
    struct port port;
    e = posix_port_open(&port, &conf);
    if (e != ERR_OK) {
        posix_complain("start", err_name(e));
        return posix_exit_status(e);
    }
    if (conf.num_fds < first.num_fds) {
        warn_of_few_fds(&port, first.num_fds, conf.num_fds);
    }
    int status = serve(&port, start, first.conf.spool_size, &sandbox, errors);
    posix_port_close(&port);
    munmap(first.memory.ptr, first.memory.len);
    return status;
}

/* Of the store that is not opened. */
#define CHECK_SPOOL_SIZE     (64u << 20)
#define CHECK_WRITE_UNIT_LEN 4096

/* From here on with the rights that the server will have, so that what it may not read shows. */
static enum err check_as_server(struct posix_identity *out, struct first_conf *out_first,
                                const struct mta_start *start, struct buf *report)
{
    enum err e = read_first(out_first, start->conf_path, start->hostname, report);
    if (e == ERR_OK) {
        e = posix_identity_of(out, &out_first->conf, report);
    }
    if (e == ERR_OK) {
        e = posix_find_group(&out_first->conf, report);
    }
    if (e == ERR_OK) {
        posix_find_trusted(&out_first->conf, report);
    }
    if (e == ERR_OK && out->changes) {
        e = posix_privilege_become(out, false);
    }
    return e;
}

/* Opens nothing but the files that the options name, and what the spool's directory has. */
static int check(struct mta_start *start, struct buf *report)
{
    static struct first_conf first;
    static struct posix_store store;
    struct posix_identity who;
    start->is_root = geteuid() == 0;
    enum err e = check_as_server(&who, &first, start, report);
    if (e != ERR_OK) {
        posix_put_errors(start->conf_path, e, report);
        return posix_exit_status(e);
    }
    if (first.conf.log_file_path == CONF_LOG_SYSLOG && access(POSIX_LOG_SYSLOG_PATH, W_OK) != 0) {
        buf_put_string(report, "log_file_path: " POSIX_LOG_SYSLOG_PATH ": ");
        buf_put_string(report, err_name(posix_err(errno)));
        buf_put_string(report, "\n");
    }
    struct posix_clock clock = {0};
    struct posix_log log = {0};
    struct port port = {0};
    posix_store_look(&store, first.conf.spool_directory, &port.store);
    posix_files_port(&port.files);
    posix_clock_port(&clock, &port.clock);
    posix_entropy_port(&port.entropy);
    posix_log_port(&log, POSIX_LOG_STDERR, LOG_INFO, &port.log);
    struct arena a;
    if (!posix_map_arena(&a, mta_memory_len(CHECK_SPOOL_SIZE, CHECK_WRITE_UNIT_LEN))) {
        posix_complain("memory", err_name(ERR_NO_MEMORY));
        return EX_OSERR;
    }
    e = mta_check(&a, &port, start, report);
    posix_store_close(&store);
    if (e == ERR_DENIED) {
        posix_sandbox_put_denied(&who, report);
    }
    posix_put(e == ERR_OK ? STDOUT_FILENO : STDERR_FILENO, buf_slice(report));
    return posix_exit_status(e);
}

static int budget(const struct mta_start *start, struct buf *report)
{
    static struct first_conf first;
    enum err e = read_first(&first, start->conf_path, start->hostname, report);
    if (e != ERR_OK) {
        posix_put_errors(start->conf_path, e, report);
        return posix_exit_status(e);
    }
    mta_put_budget(report, first.conf.spool_size, CHECK_WRITE_UNIT_LEN);
    posix_put(STDOUT_FILENO, buf_slice(report));
    return EX_OK;
}

static int obey(int argc, char **argv)
{
    static uint8_t report_bytes[REPORT_CAP];
    struct buf report = buf_make(report_bytes, sizeof report_bytes);
    char hostname[POSIX_HOSTNAME_CAP];
    posix_hostname(hostname);
    if (argc > 1 && strcmp(argv[1], "ocsp-check") == 0) {
        return posix_ocsp_check(argc - 2, argv + 2);
    }
    if (argc > 1 && strcmp(argv[1], "ocsp-fetch") == 0) {
        return posix_ocsp_fetch(argc - 2, argv + 2);
    }
    if (argc > 1 && strcmp(argv[1], "passwd") == 0) {
        return posix_passwd(argc - 2, argv + 2);
    }
    if (argc > 0 && posix_sendmail_is_name(argv[0])) {
        return posix_sendmail(argc, argv);
    }
    bool is_sendmail = argc > 1 && strcmp(argv[1], "sendmail") == 0;
    if (is_sendmail || (argc > 1 && posix_control_is_command(argv[1]))) {
        bool is_here = !is_sendmail || posix_sendmail_is_name(argv[1]);
        if (argc == 3 && action_of(argv[2]) == ACTION_HELP && is_here) {
            posix_put_string(STDOUT_FILENO, usage);
            return EX_OK;
        }
        return is_sendmail ? posix_sendmail(argc - 1, argv + 1) : posix_control(argc - 1, argv + 1);
    }
    struct arguments arguments = parse_arguments(argc, argv);
    struct mta_start start = {
        .conf_path = arguments.conf_path,
        .hostname = hostname,
        .version = POSTERN_VERSION,
        .build_time_s = POSTERN_BUILD_TIME_S,
        .resolv_conf_path = "/etc/resolv.conf",
        .hosts_path = "/etc/hosts",
    };
    switch (arguments.action) {
    case ACTION_RUN:
        return run(&start, &report);
    case ACTION_CHECK:
        return check(&start, &report);
    case ACTION_BUDGET:
        return budget(&start, &report);
    case ACTION_VERSION:
        posix_put_string(STDOUT_FILENO, "postern " POSTERN_VERSION "\n");
        return EX_OK;
    case ACTION_HELP:
        posix_put_string(STDOUT_FILENO, usage);
        return EX_OK;
    case ACTION_WRONG:
        posix_complain(arguments.wrong != NULL ? arguments.wrong : "-c",
                       arguments.wrong != NULL ? "not understood; try postern --help"
                                               : "the name of a file must follow");
        return EX_USAGE;
    }
    return EX_SOFTWARE;
}

int main(int argc, char **argv)
{
    (void)posix_hold_standard_fds(); /* without a /dev/null the server does not start, others do */
    umask(077);
    posix_privilege_harden();
    return posix_end_output(obey(argc, argv));
}

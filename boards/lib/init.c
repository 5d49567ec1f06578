/* The first process of an appliance: mounts, starts the services, starts them again when they end,
 * reaps what is left of others, and stops the machine.
 *
 * /etc/init.conf says what to do, a line each, words between blanks; '#' begins a comment:
 *   mount DEVICE DIRECTORY TYPE [OPTIONS]   waited for, up to 15 s: a disk at USB shows up late;
 *                                  tried each second from then on, for services that start again,
 *                                  and ever more seldom while it is there and cannot be mounted
 *   run PROGRAM [ARGUMENT...]      started again when it ends, after 1 s, then 2, up to 32
 * The network is the kernel's business (ip= on its command line), but for the loopback interface.
 * SIGTERM restarts the machine, SIGUSR2 switches it off: services get SIGTERM and 40 s to end.
 * report=SECONDS on the kernel's command line prints the memory of the services that often. */
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CONF           "/etc/init.conf"
#define CONF_CAP       4096
#define MOUNT_WITHIN_S 15
#define MOUNTS_MAX     8
#define SERVICES_MAX   8
#define WORDS_MAX      16
#define PAUSE_MAX_S    32
#define RAN_WELL_S     60 /* after which the next pause is the shortest again */
#define STOP_TIMEOUT_S 40 /* a server takes up to 30 to finish what it has promised */

struct service {
    char *words[WORDS_MAX + 1];
    pid_t pid; /* 0: not running */
    time_t started_s;
    time_t due_s; /* not started again before */
    unsigned pause_s;
};

struct machine {
    char *mounts[MOUNTS_MAX][4]; /* still to be done: device, directory, type, options */
    size_t num_mounts;
    int mount_error; /* told last */
    time_t mount_due_s;
    time_t mount_pause_s;
    struct service services[SERVICES_MAX];
    size_t num_services;
    unsigned report_s; /* 0: never */
    time_t reported_s;
};

static void say(const char *what, const char *about, const char *why)
{
    const char *const parts[] = {"init: ", what, " ", about, why[0] != '\0' ? ": " : "", why, "\n"};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (write(STDERR_FILENO, parts[i], strlen(parts[i])) < 0) {
            return;
        }
    }
}

static time_t now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec;
}

static bool try_mount(char *const *words)
{
    return mount(words[0], words[1], words[2], MS_NOATIME | MS_NOSUID, words[3]) == 0;
}

static bool may_come(int error)
{
    return error == ENOENT || error == ENXIO || error == ENODEV;
}

static void do_mount(struct machine *m, char **words, size_t num_words)
{
    static char none[] = "";
    if (num_words < 4 || m->num_mounts == MOUNTS_MAX) {
        say("mount", "line", "DEVICE DIRECTORY TYPE must follow, at most 8 times");
        return;
    }
    char **wanted = m->mounts[m->num_mounts];
    memcpy(wanted, words + 1, 3 * sizeof *words);
    wanted[3] = num_words > 4 ? words[4] : none;
    const time_t until_s = now_s() + MOUNT_WITHIN_S;
    while (!try_mount(wanted)) {
        if (!may_come(errno) || now_s() >= until_s) {
            m->mount_error = errno;
            say("mount", words[2], strerror(errno));
            m->num_mounts++;
            return;
        }
        nanosleep(&(struct timespec){0, 200000000}, NULL);
    }
}

/* In their order, as one may be inside another. What is there and fails (a UBIFS that is broken) is
 * read, and complained about by the kernel, each time. */
static void mount_late(struct machine *m)
{
    while (m->num_mounts > 0 && now_s() >= m->mount_due_s) {
        if (try_mount(m->mounts[0])) {
            say("mounted late:", m->mounts[0][1], "");
            memmove(m->mounts[0], m->mounts[1], --m->num_mounts * sizeof m->mounts[0]);
            m->mount_pause_s = 0;
            continue;
        }
        const int error = errno;
        if (error != m->mount_error && !may_come(error)) {
            say("mount", m->mounts[0][1], strerror(error));
        }
        m->mount_error = error;
        m->mount_pause_s = may_come(error)         ? 1
                           : m->mount_pause_s < 32 ? m->mount_pause_s * 2 + 1
                                                   : m->mount_pause_s;
        m->mount_due_s = now_s() + m->mount_pause_s;
    }
}

static void add_service(struct machine *m, char **words, size_t num_words)
{
    if (m->num_services == SERVICES_MAX || num_words < 2) {
        say("run", "line", "PROGRAM must follow, at most 8 times");
        return;
    }
    struct service *s = &m->services[m->num_services++];
    memcpy(s->words, words + 1, (num_words - 1) * sizeof *words);
}

static void do_line(struct machine *m, char *line)
{
    char *words[WORDS_MAX];
    size_t num_words = 0;
    char *end = strchr(line, '#');
    if (end != NULL) {
        *end = '\0';
    }
    for (char *word = strtok(line, " \t"); word != NULL && num_words < WORDS_MAX;
         word = strtok(NULL, " \t")) {
        words[num_words++] = word;
    }
    if (num_words == 0) {
        return;
    }
    if (strcmp(words[0], "mount") == 0) {
        do_mount(m, words, num_words);
    } else if (strcmp(words[0], "run") == 0) {
        add_service(m, words, num_words);
    } else {
        say("not understood:", words[0], "");
    }
}

/* The words of services stay where the file was read to. */
static void read_conf(struct machine *m)
{
    static char text[CONF_CAP + 1];
    int fd = open(CONF, O_RDONLY | O_CLOEXEC);
    ssize_t len = fd < 0 ? -1 : read(fd, text, CONF_CAP);
    if (len < 0) {
        say("cannot read", CONF, strerror(errno));
        return;
    }
    close(fd);
    for (char *line = text; line < text + len;) {
        char *end = memchr(line, '\n', (size_t)(text + len - line));
        char *next = end != NULL ? end + 1 : text + len;
        if (end != NULL) {
            *end = '\0';
        }
        do_line(m, line);
        line = next;
    }
}

static void raise_loopback(void)
{
    struct ifreq request = {.ifr_flags = IFF_UP};
    memcpy(request.ifr_name, "lo", sizeof "lo");
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request) != 0) {
        say("cannot raise", "lo", strerror(errno));
    }
    close(fd);
}

static void start(struct service *s, const sigset_t *all)
{
    s->started_s = now_s();
    s->pid = fork();
    if (s->pid == 0) {
        setsid();
        sigprocmask(SIG_UNBLOCK, all, NULL);
        execv(s->words[0], s->words);
        say("cannot start", s->words[0], strerror(errno));
        _exit(127);
    }
    if (s->pid < 0) {
        s->pid = 0;
        s->due_s = now_s() + 1;
        say("cannot fork for", s->words[0], strerror(errno));
    }
}

static void ended(struct machine *m, pid_t pid)
{
    for (size_t i = 0; i < m->num_services; i++) {
        struct service *s = &m->services[i];
        if (s->pid == pid) {
            bool ran_well = now_s() - s->started_s >= RAN_WELL_S;
            s->pause_s = ran_well || s->pause_s == 0 ? 1 : s->pause_s * 2;
            s->pause_s = s->pause_s < PAUSE_MAX_S ? s->pause_s : PAUSE_MAX_S;
            s->pid = 0;
            s->due_s = now_s() + (time_t)s->pause_s;
            say("ended, will start again:", s->words[0], "");
        }
    }
}

static void reap(struct machine *m)
{
    for (pid_t pid; (pid = waitpid(-1, NULL, WNOHANG)) > 0;) {
        ended(m, pid);
    }
}

/* The lines of a file in /proc that begin so, to the console. */
static void print_lines(const char *path, const char *begin)
{
    char text[2048];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    close(fd);
    if (len <= 0) {
        return;
    }
    text[len] = '\0';
    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        if (strncmp(line, begin, strlen(begin)) == 0) {
            say("memory", path, line);
        }
    }
}

static void report(struct machine *m)
{
    print_lines("/proc/meminfo", "MemAvailable");
    for (size_t i = 0; i < m->num_services; i++) {
        char path[32] = "/proc/", digits[12], *d = digits + sizeof digits - 1;
        *d = '\0';
        for (unsigned n = (unsigned)m->services[i].pid; n > 0; n /= 10) {
            *--d = (char)('0' + n % 10);
        }
        strcat(strcat(path, d), "/status");
        print_lines(path, "VmRSS");
    }
}

/* Ends the services and the machine; how is what reboot(2) takes. */
static void stop(int how)
{
    kill(-1, SIGTERM);
    for (int i = 0; i < STOP_TIMEOUT_S * 10 && waitpid(-1, NULL, WNOHANG) >= 0; i++) {
        nanosleep(&(struct timespec){0, 100000000}, NULL);
    }
    kill(-1, SIGKILL);
    sync();
    reboot(how);
}

int main(void)
{
    static struct machine m;
    sigset_t all;
    sigemptyset(&all);
    sigaddset(&all, SIGCHLD);
    sigaddset(&all, SIGTERM);
    sigaddset(&all, SIGUSR2);
    sigprocmask(SIG_BLOCK, &all, NULL);
    (void)mount("proc", "/proc", "proc", 0, "");
    raise_loopback();
    const char *seconds = getenv("report");
    m.report_s = seconds != NULL ? (unsigned)atoi(seconds) : 0;
    read_conf(&m);
    for (;;) {
        reap(&m);
        mount_late(&m);
        for (size_t i = 0; i < m.num_services; i++) {
            if (m.services[i].pid == 0 && m.services[i].due_s <= now_s()) {
                start(&m.services[i], &all);
            }
        }
        if (m.report_s > 0 && now_s() - m.reported_s >= (time_t)m.report_s) {
            m.reported_s = now_s();
            report(&m);
        }
        int signal = sigtimedwait(&all, NULL, &(struct timespec){1, 0});
        if (signal == SIGTERM || signal == SIGUSR2) {
            stop(signal == SIGTERM ? RB_AUTOBOOT : RB_POWER_OFF);
        }
    }
}

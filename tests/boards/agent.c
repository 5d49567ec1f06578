/* The test's hand inside the machine: serves a TCP port (7) from which the test asks for files, and
 * sets the clock. It is part of the images that tests boot, and of no other.
 *
 * One request a connection, a line: 'names DIRECTORY', 'file PATH', 'clock SECONDS',
 * 'synchronised' (the kernel's clock is said to be), 'run PROGRAM ARGUMENT...' (its output),
 * 'replace PATH WITH' (another file takes its name), 'empty DIRECTORY' (of all files, for good),
 * 'hangup NAME' (SIGHUP to that program),
 * 'memory' (of each process, and of the machine). The answer is what was asked for, up to the end
 * of the connection. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PORT 7

static void put(int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, bytes, len);
        if (n <= 0) {
            return;
        }
        bytes += n;
        len -= (size_t)n;
    }
}

static void put_names(int to, const char *path)
{
    DIR *dir = opendir(path);
    for (struct dirent *e; dir != NULL && (e = readdir(dir)) != NULL;) {
        if (e->d_name[0] != '.') {
            put(to, e->d_name, strlen(e->d_name));
            put(to, "\n", 1);
        }
    }
    if (dir != NULL) {
        closedir(dir);
    }
}

static void put_file(int to, const char *path)
{
    char bytes[4096];
    int fd = open(path, O_RDONLY);
    for (ssize_t n; fd >= 0 && (n = read(fd, bytes, sizeof bytes)) > 0;) {
        put(to, bytes, (size_t)n);
    }
    if (fd >= 0) {
        close(fd);
    }
}

static void run(int to, char *line)
{
    char *words[16];
    size_t num = 0;
    for (char *w = strtok(line, " "); w != NULL && num < 15; w = strtok(NULL, " ")) {
        words[num++] = w;
    }
    words[num] = NULL;
    if (num > 0 && fork() == 0) {
        dup2(to, 1);
        dup2(to, 2);
        execv(words[0], words);
        _exit(127);
    }
    wait(NULL);
}

static void set_clock(int to, const char *seconds)
{
    struct timespec t = {.tv_sec = (time_t)atoll(seconds)};
    const char *said = clock_settime(CLOCK_REALTIME, &t) == 0 ? "ok" : strerror(errno);
    put(to, said, strlen(said));
}

/* As a time daemon says that the clock is right. */
static void synchronise(int to)
{
    struct timex t = {.modes = ADJ_STATUS | ADJ_MAXERROR | ADJ_ESTERROR, .status = 0};
    const char *said = adjtimex(&t) >= 0 ? "ok" : strerror(errno);
    put(to, said, strlen(said));
}

static void replace(int to, char *path)
{
    char *with = strchr(path, ' ');
    if (with != NULL) {
        *with++ = '\0';
    }
    const char *said = with != NULL && rename(with, path) == 0 ? "ok" : strerror(errno);
    put(to, said, strlen(said));
}

static void empty(int to, const char *path)
{
    char name[1300];
    DIR *dir = opendir(path);
    for (struct dirent *e; dir != NULL && (e = readdir(dir)) != NULL;) {
        snprintf(name, sizeof name, "%s/%s", path, e->d_name);
        if (e->d_name[0] != '.' && unlink(name) == 0) {
            rewinddir(dir);
        }
    }
    if (dir != NULL) {
        closedir(dir);
        sync();
        put(to, "ok", 2);
    }
}

static void hang_up(int to, const char *name)
{
    char path[64], line[64];
    for (int pid = 2; pid < 400; pid++) {
        snprintf(path, sizeof path, "/proc/%d/comm", pid);
        FILE *f = fopen(path, "r");
        bool found = f != NULL && fgets(line, sizeof line, f) != NULL &&
                     strncmp(line, name, strlen(name)) == 0 && line[strlen(name)] == '\n';
        if (f != NULL) {
            fclose(f);
        }
        if (found) { /* its threads, which are found here as well, come behind it */
            const char *said = kill(pid, SIGHUP) == 0 ? "ok" : strerror(errno);
            put(to, said, strlen(said));
            return;
        }
    }
}

static void put_memory(int to)
{
    char path[64], line[256];
    for (int pid = 2; pid < 400; pid++) {
        snprintf(path, sizeof path, "/proc/%d/status", pid);
        FILE *f = fopen(path, "r");
        bool resident = false;
        char name[64] = "";
        while (f != NULL && fgets(line, sizeof line, f) != NULL) {
            sscanf(line, "Name: %63s", name);
            resident = strncmp(line, "VmRSS:", 6) == 0 || strncmp(line, "VmHWM:", 6) == 0;
            if (resident) {
                put(to, name, strlen(name));
                put(to, " ", 1);
                put(to, line, strlen(line));
            }
        }
        if (f != NULL) {
            fclose(f);
        }
    }
    put_file(to, "/proc/meminfo");
}

static void answer(int fd, char *line)
{
    char *rest = strchr(line, ' ');
    if (rest != NULL) {
        *rest++ = '\0';
    } else {
        rest = line + strlen(line);
    }
    if (strcmp(line, "names") == 0) {
        put_names(fd, rest);
    } else if (strcmp(line, "file") == 0) {
        put_file(fd, rest);
    } else if (strcmp(line, "clock") == 0) {
        set_clock(fd, rest);
    } else if (strcmp(line, "synchronised") == 0) {
        synchronise(fd);
    } else if (strcmp(line, "run") == 0) {
        run(fd, rest);
    } else if (strcmp(line, "replace") == 0) {
        replace(fd, rest);
    } else if (strcmp(line, "empty") == 0) {
        empty(fd, rest);
    } else if (strcmp(line, "hangup") == 0) {
        hang_up(fd, rest);
    } else if (strcmp(line, "memory") == 0) {
        put_memory(fd);
    }
}

int main(void)
{
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&at, sizeof at) != 0 || listen(listener, 8) != 0) {
        return 1;
    }
    for (;;) {
        char line[1024];
        size_t len = 0;
        int fd = accept(listener, NULL, NULL);
        struct timeval limit = {.tv_sec = 10}; /* for who is gone without our hearing of it */
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        while (len < sizeof line - 1 && read(fd, line + len, 1) == 1 && line[len] != '\n') {
            len++;
        }
        line[len] = '\0';
        answer(fd, line);
        close(fd);
    }
}

/* How many fdatasyncs a second the disk below a directory takes:  disk DIRECTORY
 *
 * 4 KiB each, over blocks that were written before, as a spool segment is. Prints the number.
 * Called by tests/bench/run. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define UNIT        4096
#define NUM_UNITS   256
#define MAX_SYNCS   20000
#define MIN_SECONDS 1.0

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void need(int is_ok, const char *what)
{
    if (!is_ok) {
        perror(what);
        exit(EXIT_FAILURE);
    }
}

int main(int argc, char **argv)
{
    static char unit[UNIT];
    char path[4000];
    need(argc == 2, "usage: disk DIRECTORY");
    snprintf(path, sizeof path, "%s/sync-rate", argv[1]);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    need(fd >= 0, path);
    unlink(path);
    for (int i = 0; i < NUM_UNITS; i++) {
        need(pwrite(fd, unit, UNIT, (off_t)i * UNIT) == UNIT, "pwrite");
    }
    need(fsync(fd) == 0, "fsync");
    memset(unit, 'x', sizeof unit);
    double begin = now(), end = begin;
    int num = 0;
    while (num < MAX_SYNCS && end - begin < MIN_SECONDS) {
        need(pwrite(fd, unit, UNIT, (off_t)(num % NUM_UNITS) * UNIT) == UNIT, "pwrite");
        need(fdatasync(fd) == 0, "fdatasync");
        num++;
        end = now();
    }
    printf("%.0f\n", num / (end - begin));
    close(fd);
    return EXIT_SUCCESS;
}

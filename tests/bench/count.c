/* Counts the syncs of a program that is started with this library in LD_PRELOAD.
 *
 *     BENCH_COUNTS=FILE   gets two native 64-bit numbers: syncs of files below a directory named
 *                         "spool", and of all others
 *     BENCH_SYNC_US=N     makes each sync take N microseconds longer, as slow flash does
 *
 * Used by tests/bench/run. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

int fsync(int fd);
int fdatasync(int fd);

static uint64_t *counts;
static useconds_t delay_us;

__attribute__((constructor)) static void count_begin(void)
{
    const char *path = getenv("BENCH_COUNTS"), *delay = getenv("BENCH_SYNC_US");
    int fd = path == NULL ? -1 : open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, 2 * sizeof *counts) != 0) {
        return;
    }
    void *shared = mmap(NULL, 2 * sizeof *counts, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    counts = shared == MAP_FAILED ? NULL : shared;
    delay_us = delay == NULL ? 0 : (useconds_t)atol(delay);
    close(fd);
}

static void count(int fd)
{
    char link[40], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, sizeof path - 1);
    path[len < 0 ? 0 : len] = 0;
    if (counts != NULL) {
        __atomic_fetch_add(&counts[strstr(path, "/spool") == NULL], 1, __ATOMIC_RELAXED);
    }
    if (delay_us > 0) {
        usleep(delay_us);
    }
}

int fsync(int fd)
{
    count(fd);
    return (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    count(fd);
    return (int)syscall(SYS_fdatasync, fd);
}

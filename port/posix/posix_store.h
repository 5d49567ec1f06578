/* The log store: a directory of files "segment-XXXXXXXX", the id in hexadecimal, beside a lock
 * file.
 *
 * A segment's handle is its descriptor. The worker does the syncs (those of one segment that wait
 * together are one fdatasync) and writes the zeros of new segments, a slice at a time, so that
 * syncs go on meanwhile. Called through struct port_store. */
#ifndef POSTERN_POSIX_STORE_H
#define POSTERN_POSIX_STORE_H

#include "posix_worker.h"

#define POSIX_ZEROS_LEN        ((size_t)64 * 1024)
#define POSIX_STORE_UNIT       4096
#define POSIX_SEGMENT_NAME_CAP 32

struct posix_store_job {
    struct posix_job job; /* first */
    struct posix_store_job *next_free;
    int fd;
    uint32_t id;        /* of a create */
    uint64_t len, done; /* of a create: bytes of zeros, all and so far */
};

struct posix_store {
    struct posix_worker *worker;
    const char *path; /* the caller's, as long as the port is open */
    int dir_fd, lock_fd;
    bool is_doubted; /* the last read failed: what the system has in memory says nothing */
    struct posix_store_job
        *jobs; /* zeroed, the caller's; those that were never used cost nothing */
    uint32_t num_jobs, num_fresh_used;
    struct posix_store_job *free_job;
    uint8_t zeros[POSIX_ZEROS_LEN]; /* never written to, so no memory until it is read */
};

/* s is zeroed, but for jobs and num_jobs: one for each segment that may be open, as any number of
 * them may have a sync under way, and the spool takes one that is refused for a failed one. Makes
 * the directory if it can, and looks what kind of storage it is on; any failure is left for open.
 * Sets the worker's lanes, so it is called before the worker starts. */
void posix_store_port(struct posix_store *s, struct posix_worker *worker, const char *path,
                      struct port_store *out);

/* Without worker and lock, of a directory that a server may be using: only to list and open what is
 * there. posix_store_close ends it. */
void posix_store_look(struct posix_store *s, const char *path, struct port_store *out);

/* Gives the lock back. */
void posix_store_close(struct posix_store *s);

#endif

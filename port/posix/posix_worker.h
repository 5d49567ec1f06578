/* The one thread beside the server's: it waits for disks, so that the server never does.
 *
 * Jobs come in lanes. All that is queued in a lane is handed to the lane's run function together,
 * up to POSIX_BATCH_MAX, so that it can share flushes. The urgent lane (the spool's syncs) goes
 * before each batch of another lane, and a long batch lets it in between
 * (posix_worker_serve_urgent); the other lanes take turns. Jobs are memory of those who submit
 * them: nothing is allocated here.
 *
 * Called by posix_store, posix_mailbox (submit) and posix_loop (take); knows nothing of files. */
#ifndef POSTERN_POSIX_WORKER_H
#define POSTERN_POSIX_WORKER_H

#include "port.h"

#include <pthread.h>
#include <semaphore.h>

/* The thread's stack, unless the system wants more. */
#define POSIX_WORKER_STACK_LEN ((size_t)64 * 1024)

#define POSIX_BATCH_MAX 32

enum posix_lane { POSIX_LANE_URGENT, POSIX_LANE_BATCH, POSIX_LANE_SLOW, POSIX_NUM_LANES };

/* First member of a job of any lane. */
struct posix_job {
    struct posix_job *next;
    uint64_t tag;
    enum err result;
    bool finished; /* set by run; a job left unfinished is given to run again later */
    enum posix_lane lane;
};

struct posix_lane_def {
    void *ctx;
    /* On the worker's thread. */
    void (*run)(void *ctx, struct posix_job **jobs, size_t num_jobs);
    /* On the server's thread, when the completion is reported: the job is its owner's again. */
    void (*release)(void *ctx, struct posix_job *job);
};

struct posix_queue {
    struct posix_job *head, *tail;
};

struct posix_worker {
    pthread_t thread;
    bool running;
    bool gives_up; /* set before the start: it needs none of the rights that the server still has */
    int wake_read_fd, wake_write_fd; /* one eventfd, or the two ends of a pipe */
    uint32_t num_under_way;          /* submitted and not yet taken; the server's thread only */
    struct posix_lane_def lanes[POSIX_NUM_LANES];
    sem_t work; /* for the thread, when it is idle */
    sem_t ended;
    sem_t lock; /* guards all below; semaphores are a quarter of mutexes and conditions in musl */
    struct posix_queue queues[POSIX_NUM_LANES];
    struct posix_queue done;
    enum posix_lane turn;
    bool stop, idle, signalled;
};

/* Starts the thread; the lanes are set before. */
enum err posix_worker_start(struct posix_worker *w);

/* Finishes what is queued and ends the thread. Completions not taken are lost. False: a disk keeps
 * it for more than a few seconds; it is left to itself, and may use what w and its lanes hold. */
bool posix_worker_stop(struct posix_worker *w);

void posix_worker_submit(struct posix_worker *w, enum posix_lane lane, struct posix_job *job);

/* Reports finished jobs as PORT_DONE, at most cap; cheap if nothing is under way. */
size_t posix_worker_take(struct posix_worker *w, struct port_event *events, size_t cap);

/* Takes back the wake-up: call when wake_read_fd is readable, before posix_worker_take. */
void posix_worker_quiet(struct posix_worker *w);

/* From a run function of another lane: runs the urgent jobs that wait now. */
void posix_worker_serve_urgent(struct posix_worker *w);

#endif

/* The thread that waits for disks: see posix_worker.h. */
#include "posix_worker.h"

#include "posix_err.h"
#include "posix_privilege.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define STOP_WITHIN_S 5

static void queue_append(struct posix_queue *q, struct posix_job *job)
{
    job->next = NULL;
    if (q->tail == NULL) {
        q->head = job;
    } else {
        q->tail->next = job;
    }
    q->tail = job;
}

static void queue_prepend(struct posix_queue *q, struct posix_job *job)
{
    job->next = q->head;
    q->head = job;
    if (q->tail == NULL) {
        q->tail = job;
    }
}

static struct posix_job *queue_take(struct posix_queue *q)
{
    struct posix_job *job = q->head;
    if (job != NULL) {
        q->head = job->next;
        if (q->head == NULL) {
            q->tail = NULL;
        }
    }
    return job;
}

static bool queues_empty(const struct posix_worker *w)
{
    for (size_t i = 0; i < POSIX_NUM_LANES; i++) {
        if (w->queues[i].head != NULL) {
            return false;
        }
    }
    return true;
}

static void wait_for(sem_t *sem)
{
    while (sem_wait(sem) != 0) { /* a signal came */
    }
}

/* With the lock held. */
static void wake_worker(struct posix_worker *w)
{
    if (w->idle) {
        w->idle = false;
        sem_post(&w->work);
    }
}

static void wake_server(struct posix_worker *w)
{
    static const uint64_t one = 1;
    ssize_t len;
    do {
        len = write(w->wake_write_fd, &one, sizeof one);
    } while (len < 0 && errno == EINTR);
}

/* With the lock held, which is released meanwhile. */
static void run_lane(struct posix_worker *w, enum posix_lane lane)
{
    struct posix_job *batch[POSIX_BATCH_MAX];
    size_t num = 0;
    while (num < POSIX_BATCH_MAX && w->queues[lane].head != NULL) {
        batch[num++] = queue_take(&w->queues[lane]);
    }
    if (num == 0) {
        return;
    }
    sem_post(&w->lock);
    w->lanes[lane].run(w->lanes[lane].ctx, batch, num);
    wait_for(&w->lock);
    bool any = false;
    for (size_t i = 0; i < num; i++) {
        if (batch[i]->finished) {
            queue_append(&w->done, batch[i]);
            any = true;
        }
    }
    for (size_t i = num; i-- > 0;) {
        if (!batch[i]->finished) {
            queue_prepend(&w->queues[lane], batch[i]);
        }
    }
    if (any && !w->signalled) {
        w->signalled = true;
        wake_server(w);
    }
}

static void *worker_main(void *ctx)
{
    struct posix_worker *w = ctx;
    if (w->gives_up) {
        posix_privilege_give_up(); /* rights are each thread's own */
    }
    wait_for(&w->lock);
    while (!w->stop || !queues_empty(w)) {
        if (queues_empty(w)) {
            w->idle = true;
            sem_post(&w->lock);
            wait_for(&w->work);
            wait_for(&w->lock);
            continue;
        }
        run_lane(w, POSIX_LANE_URGENT);
        run_lane(w, w->turn);
        w->turn = w->turn == POSIX_LANE_BATCH ? POSIX_LANE_SLOW : POSIX_LANE_BATCH;
    }
    sem_post(&w->lock);
    sem_post(&w->ended);
    return NULL;
}

static enum err open_wake(struct posix_worker *w)
{
    w->wake_read_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    w->wake_write_fd = w->wake_read_fd;
    if (w->wake_read_fd >= 0) {
        return ERR_OK;
    }
    int ends[2];
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) {
        return posix_err(errno);
    }
    w->wake_read_fd = ends[0];
    w->wake_write_fd = ends[1];
    return ERR_OK;
}

static void close_wake(struct posix_worker *w)
{
    close(w->wake_read_fd);
    if (w->wake_write_fd != w->wake_read_fd) {
        close(w->wake_write_fd);
    }
}

/* What a system wants beside a signal's frame. */
#define STACK_MIN 16384

static size_t stack_len(void)
{
    size_t need = POSIX_WORKER_STACK_LEN / 2 + STACK_MIN;
#ifdef AT_MINSIGSTKSZ
    need += getauxval(AT_MINSIGSTKSZ); /* processors with many registers have large frames */
#endif
    return need > POSIX_WORKER_STACK_LEN ? need : POSIX_WORKER_STACK_LEN;
}

enum err posix_worker_start(struct posix_worker *w)
{
    enum err e = open_wake(w);
    if (e != ERR_OK) {
        return e;
    }
    w->turn = POSIX_LANE_BATCH;
    sem_init(&w->lock, 0, 1);
    sem_init(&w->work, 0, 0);
    sem_init(&w->ended, 0, 0);
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    /* Signals are the server thread's. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_attr_setstacksize(&attr, stack_len());
    if (failed == 0) {
        failed = pthread_create(&w->thread, &attr, worker_main, w);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    if (failed != 0) {
        close_wake(w);
        return failed == EAGAIN ? ERR_NO_MEMORY : posix_err(failed);
    }
    w->running = true;
    return ERR_OK;
}

bool posix_worker_stop(struct posix_worker *w)
{
    if (!w->running) {
        return true;
    }
    wait_for(&w->lock);
    w->stop = true;
    wake_worker(w);
    sem_post(&w->lock);
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += STOP_WITHIN_S;
    int waited;
    do {
        waited = sem_timedwait(&w->ended, &until);
    } while (waited != 0 && errno == EINTR);
    w->running = false;
    if (waited != 0) { /* a disk that answers no more: the thread ends with the process */
        pthread_detach(w->thread);
        return false;
    }
    pthread_join(w->thread, NULL);
    sem_destroy(&w->ended);
    sem_destroy(&w->work);
    sem_destroy(&w->lock);
    close_wake(w);
    return true;
}

void posix_worker_submit(struct posix_worker *w, enum posix_lane lane, struct posix_job *job)
{
    job->finished = false;
    job->result = ERR_OK;
    job->lane = lane;
    w->num_under_way++;
    wait_for(&w->lock);
    queue_append(&w->queues[lane], job);
    wake_worker(w);
    sem_post(&w->lock);
}

size_t posix_worker_take(struct posix_worker *w, struct port_event *events, size_t cap)
{
    if (w->num_under_way == 0) {
        return 0;
    }
    size_t num = 0;
    struct posix_queue taken = {NULL, NULL};
    wait_for(&w->lock);
    while (num < cap && w->done.head != NULL) {
        queue_append(&taken, queue_take(&w->done));
        num++;
    }
    sem_post(&w->lock);
    w->num_under_way -= (uint32_t)num;
    for (size_t i = 0; i < num; i++) {
        struct posix_job *job = queue_take(&taken);
        events[i] = (struct port_event){PORT_DONE, job->result, job->tag};
        w->lanes[job->lane].release(w->lanes[job->lane].ctx, job);
    }
    return num;
}

void posix_worker_quiet(struct posix_worker *w)
{
    uint64_t count[8];
    ssize_t len;
    do {
        len = read(w->wake_read_fd, count, sizeof count);
    } while (len < 0 && errno == EINTR);
    wait_for(&w->lock);
    w->signalled = false;
    sem_post(&w->lock);
}

void posix_worker_serve_urgent(struct posix_worker *w)
{
    wait_for(&w->lock);
    run_lane(w, POSIX_LANE_URGENT);
    sem_post(&w->lock);
}

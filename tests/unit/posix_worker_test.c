/* The worker thread: every job once, shared batches, urgent ones first, nothing lost at the end. */
#include "posix/posix_worker.h"
#include "test.h"

#include <poll.h>

#define NUM_JOBS 200

static struct posix_worker worker;
static struct posix_job jobs[NUM_JOBS];
static uint32_t num_released;

/* What the runs saw; the worker's thread writes, the test reads after posix_worker_stop. */
static char order[2 * NUM_JOBS];
static size_t num_run, num_batches, max_batch;
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;

static void note(char lane, size_t num_jobs)
{
    num_batches++;
    max_batch = num_jobs > max_batch ? num_jobs : max_batch;
    for (size_t i = 0; i < num_jobs; i++) {
        order[num_run++] = lane;
    }
}

static void finish(struct posix_job **batch, size_t num_jobs)
{
    for (size_t i = 0; i < num_jobs; i++) {
        batch[i]->result = batch[i]->tag % 2 == 0 ? ERR_OK : ERR_NO_SPACE;
        batch[i]->finished = true;
    }
}

static void run_urgent(void *ctx, struct posix_job **batch, size_t num_jobs)
{
    (void)ctx;
    note('u', num_jobs);
    finish(batch, num_jobs);
}

static void run_batch(void *ctx, struct posix_job **batch, size_t num_jobs)
{
    (void)ctx;
    pthread_mutex_lock(&gate);
    pthread_mutex_unlock(&gate);
    note('b', num_jobs);
    finish(batch, num_jobs);
}

/* Lets urgent ones in before each of its own. */
static void run_yielding(void *ctx, struct posix_job **batch, size_t num_jobs)
{
    (void)ctx;
    pthread_mutex_lock(&gate);
    pthread_mutex_unlock(&gate);
    for (size_t i = 0; i < num_jobs; i++) {
        posix_worker_serve_urgent(&worker);
        note('y', 1);
    }
    finish(batch, num_jobs);
}

/* Takes three turns for each job. */
static void run_slow(void *ctx, struct posix_job **batch, size_t num_jobs)
{
    static uint32_t turns;
    (void)ctx;
    (void)num_jobs;
    note('s', 1);
    if (++turns % 3 == 0) {
        finish(batch, 1);
    }
}

static void release(void *ctx, struct posix_job *job)
{
    (void)ctx;
    (void)job;
    num_released++;
}

static void start(void (*batch_run)(void *, struct posix_job **, size_t))
{
    memset(&worker, 0, sizeof worker);
    memset(jobs, 0, sizeof jobs);
    num_released = 0;
    num_run = num_batches = max_batch = 0;
    worker.lanes[POSIX_LANE_URGENT] = (struct posix_lane_def){NULL, run_urgent, release};
    worker.lanes[POSIX_LANE_BATCH] = (struct posix_lane_def){NULL, batch_run, release};
    worker.lanes[POSIX_LANE_SLOW] = (struct posix_lane_def){NULL, run_slow, release};
    CHECK_EQ(posix_worker_start(&worker), ERR_OK);
}

static void submit(uint64_t tag, enum posix_lane lane)
{
    jobs[tag].tag = tag;
    posix_worker_submit(&worker, lane, &jobs[tag]);
}

/* Takes as the loop does: sleeps until it is woken, then takes all. */
static size_t take_all(size_t num_wanted, struct port_event *events)
{
    size_t num = 0;
    for (int round = 0; round < 1000 && num < num_wanted; round++) {
        num += posix_worker_take(&worker, events + num, num_wanted - num);
        struct pollfd wake = {.fd = worker.wake_read_fd, .events = POLLIN};
        if (num < num_wanted && poll(&wake, 1, 5000) == 1) {
            posix_worker_quiet(&worker);
        }
    }
    return num;
}

static void every_job_is_told_once(void)
{
    static struct port_event events[NUM_JOBS];
    bool seen[NUM_JOBS] = {false};
    start(run_batch);
    for (uint64_t i = 0; i < NUM_JOBS; i++) {
        submit(i, (enum posix_lane)(i % POSIX_NUM_LANES));
    }
    CHECK_EQ(take_all(NUM_JOBS, events), NUM_JOBS);
    CHECK_EQ(worker.num_under_way, 0);
    struct port_event more;
    CHECK_EQ(posix_worker_take(&worker, &more, 1), 0);
    for (size_t i = 0; i < NUM_JOBS; i++) {
        CHECK_EQ(events[i].kind, PORT_DONE);
        CHECK(!seen[events[i].tag]);
        seen[events[i].tag] = true;
        CHECK_EQ(events[i].err, events[i].tag % 2 == 0 ? ERR_OK : ERR_NO_SPACE);
    }
    CHECK_EQ(num_released, NUM_JOBS);
    posix_worker_stop(&worker);
}

static void waiting_jobs_share_a_batch(void)
{
    struct port_event events[41];
    start(run_batch);
    pthread_mutex_lock(&gate);
    for (uint64_t i = 0; i < 41; i++) {
        submit(i, POSIX_LANE_BATCH);
    }
    pthread_mutex_unlock(&gate);
    CHECK_EQ(take_all(41, events), 41);
    posix_worker_stop(&worker);
    CHECK_EQ(num_run, 41);
    CHECK(num_batches <= 3);
    CHECK(max_batch <= POSIX_BATCH_MAX);
    for (size_t i = 0; i < 41; i++) {
        CHECK_EQ(events[i].tag, i);
    }
}

static void urgent_jobs_overtake(void)
{
    struct port_event events[30];
    start(run_yielding);
    pthread_mutex_lock(&gate);
    for (uint64_t i = 0; i < 20; i++) {
        submit(i, POSIX_LANE_BATCH);
    }
    for (uint64_t i = 20; i < 30; i++) {
        submit(i, POSIX_LANE_URGENT);
    }
    pthread_mutex_unlock(&gate);
    CHECK_EQ(take_all(30, events), 30);
    posix_worker_stop(&worker);
    /* At most one batch job began before them. */
    order[num_run] = '\0';
    const char *last_urgent = strrchr(order, 'u');
    CHECK(last_urgent != NULL && last_urgent - order <= 10);
}

static void slow_jobs_do_not_hold_up_batches(void)
{
    struct port_event events[13];
    start(run_batch);
    pthread_mutex_lock(&gate);
    submit(0, POSIX_LANE_BATCH);
    for (uint64_t i = 1; i < 5; i++) {
        submit(i, POSIX_LANE_SLOW);
    }
    for (uint64_t i = 5; i < 13; i++) {
        submit(i, POSIX_LANE_BATCH);
    }
    pthread_mutex_unlock(&gate);
    CHECK_EQ(take_all(13, events), 13);
    posix_worker_stop(&worker);
    order[num_run] = '\0';
    size_t num_slow = 0;
    for (const char *c = order; *c != '\0' && c <= strrchr(order, 'b'); c++) {
        num_slow += *c == 's';
    }
    CHECK(num_slow <= 2);
    CHECK_EQ(num_run, 9 + 12);
}

static void stopping_finishes_what_is_queued(void)
{
    start(run_batch);
    pthread_mutex_lock(&gate);
    for (uint64_t i = 0; i < 100; i++) {
        submit(i, POSIX_LANE_BATCH);
    }
    pthread_mutex_unlock(&gate);
    posix_worker_stop(&worker);
    CHECK_EQ(num_run, 100);
    posix_worker_stop(&worker); /* again: nothing */
}

/* A flush that does not return: the end does not wait for it. Last, as its thread goes on. */
static void stopping_leaves_a_hung_disk(void)
{
    start(run_batch);
    pthread_mutex_lock(&gate);
    submit(0, POSIX_LANE_BATCH);
    posix_worker_stop(&worker);
    CHECK_EQ(num_run, 0);
    pthread_mutex_unlock(&gate);
}

static const struct test_case cases[] = {
    {"every_job_is_told_once", every_job_is_told_once},
    {"waiting_jobs_share_a_batch", waiting_jobs_share_a_batch},
    {"urgent_jobs_overtake", urgent_jobs_overtake},
    {"slow_jobs_do_not_hold_up_batches", slow_jobs_do_not_hold_up_batches},
    {"stopping_finishes_what_is_queued", stopping_finishes_what_is_queued},
    {"stopping_leaves_a_hung_disk", stopping_leaves_a_hung_disk},
};
TEST_MAIN(cases)

/* How long has this spool's server run, all its runs together?
 *
 * The ages of messages, their retries and their end are measured in these seconds, so that no step
 * of the wall clock and no hour without power ages anything. The sum stands in a small text file
 * beside the spool. What was not saved before a crash is lost, which makes messages younger, never
 * older. Service: knows the port's small files and its monotonic clock. */
#ifndef POSTERN_RUNNING_TIME_H
#define POSTERN_RUNNING_TIME_H

#include "port.h"

struct running_time {
    const struct port *port;
    const char *path; /* NULL or empty: nothing is kept */
    uint64_t begin_ms;
    uint64_t begin_s; /* the sum at begin_ms */
    uint64_t saved_s;
    uint64_t save_ms;  /* when to save next */
    enum err save_err; /* how that ended the last time: a failure that lasts is told once */
};

/* Reads the sum. Where the file is absent or damaged it begins at 1, and the log says so.
 * path stays the caller's and must outlive *t. */
void running_time_open(struct running_time *t, const struct port *port, const char *path);

uint64_t running_time_s(const struct running_time *t, uint64_t now_ms);

/* A message was accepted at at_s: if that is to come, the file has lost time, and it is now. */
void running_time_raise(struct running_time *t, uint64_t now_ms, uint64_t at_s);

/* When running_time_step has something to do, and that: saves the sum every few minutes. Needed
 * only while messages wait, since nothing but their ages is measured. */
uint64_t running_time_due_ms(const struct running_time *t);
void running_time_step(struct running_time *t, uint64_t now_ms);

/* Saves the sum, at the end. */
void running_time_close(struct running_time *t, uint64_t now_ms);

#endif

/* A decorator around a host's port: what it lets fail, and what it counts.
 *
 * Faults that a medium or the network has of itself are theirs (sim_store.h, sim_mailbox.h,
 * sim_net.h); here is what comes between them and a server: reads of the store that fail or end
 * early, entropy and files that fail, and a process that is dead although its memory is still being
 * given back. For tests. */
#ifndef POSTERN_SIM_FAULTS_H
#define POSTERN_SIM_FAULTS_H

#include "port.h"

/* What is counted, since the last sim_faults_begin_step. */
struct sim_faults_work {
    uint64_t num_calls; /* of the port, but for the clock */
    uint64_t moved_len; /* bytes read or written, anywhere */
    uint64_t num_lines; /* logged */
};

struct sim_faults {
    const struct port *inner;
    struct port port; /* what the server is given */
    uint64_t random;
    /* One in so many calls, 0: none. */
    uint32_t read_error_rate, read_short_rate, file_error_rate;
    bool entropy_fails;
    bool is_dead;  /* nothing reaches the world any more, nor is logged */
    bool is_quiet; /* no fault, nothing is counted: the test itself looks */
    struct sim_faults_work work;
    uint64_t num_read_errors, num_short_reads, num_file_errors, num_entropy_errors;
};

void sim_faults_init(struct sim_faults *f, const struct port *inner, uint64_t seed);
void sim_faults_begin_step(struct sim_faults *f);

#endif

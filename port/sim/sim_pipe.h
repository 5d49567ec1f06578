/* One direction of a simulated connection: bytes with a time of arrival, a bound, and an end.
 * Called by sim_net. */
#ifndef POSTERN_SIM_PIPE_H
#define POSTERN_SIM_PIPE_H

#include "sim_inside.h"

struct sim_arrival {
    uint64_t at_ms;
    size_t len;
};

struct sim_pipe {
    struct sim_link link;
    uint8_t *bytes; /* len of them from begin, the first ready_len have arrived */
    size_t begin, len, cap, ready_len;
    struct sim_arrival *arrivals; /* of the others, in order */
    size_t first_arrival, num_arrivals, arrivals_cap;
    uint64_t written_len;
    bool ended; /* nothing more is written */
    uint64_t end_at_ms;
};

/* How many bytes were taken. */
size_t sim_pipe_write(struct sim_pipe *p, struct sim_world *w, struct slice bytes);
/* How many bytes came, at most cap. */
size_t sim_pipe_read(struct sim_pipe *p, struct sim_world *w, uint8_t *into, size_t cap);
void sim_pipe_end(struct sim_pipe *p, struct sim_world *w);

bool sim_pipe_has_bytes(struct sim_pipe *p, uint64_t now_ms);
bool sim_pipe_is_at_end(struct sim_pipe *p, uint64_t now_ms);
bool sim_pipe_has_room(const struct sim_pipe *p);
/* The next arrival later than now. */
uint64_t sim_pipe_next_ms(const struct sim_pipe *p, uint64_t now_ms);

void sim_pipe_free(struct sim_pipe *p);

#endif

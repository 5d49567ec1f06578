/* The machine's two clocks. Called through struct port_clock. */
#ifndef POSTERN_POSIX_CLOCK_H
#define POSTERN_POSIX_CLOCK_H

#include "port.h"

struct posix_clock {
    int64_t asked_at_s; /* the kernel is asked at most once a second whether it is synchronised */
    bool synchronised;
};

/* c is zeroed. */
void posix_clock_port(struct posix_clock *c, struct port_clock *out);

#endif

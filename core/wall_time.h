/* What time is it, and is that to be believed?
 *
 * Appliances boot without a clock, or with that of their last shutdown. So wall time is UNSET
 * (nothing is known), FLOOR (it is surely later than that) or SET: backed by evidence, as the
 * option clock_trusted says. Only while SET is anything judged by dates; a proof least of all.
 *
 * The floor is the newest of the build's time and of what was last trusted, kept in a small file.
 * It rises only while SET. A clock before the floor is never believed; to lower the floor, remove
 * the file. Service: reads the port's clock and that one file; timers do not use it, they count
 * monotonic milliseconds. */
#ifndef POSTERN_WALL_TIME_H
#define POSTERN_WALL_TIME_H

#include "port.h"

enum wall_trust {
    WALL_TRUST_YES, /* the machine keeps its clock right: believe it, if it is not before the floor
                     */
    WALL_TRUST_AUTO /* likewise, and only while the system says that it is synchronised */
};

enum wall_state { WALL_UNSET, WALL_FLOOR, WALL_SET };

struct wall_time {
    const struct port *port;
    const char *path; /* of the file with the floor; NULL or empty: none is kept */
    enum wall_trust trust;
    enum wall_state state;
    int64_t floor_s; /* INT64_MIN: none */
    int64_t saved_s; /* the newest floor in the file, INT64_MIN: none */
    int64_t now_s;   /* as the clock said at read_ms */
    uint64_t read_ms;
    uint64_t save_again_ms; /* after a failed save */
};

/* Reads the floor and the clock. build_s: when the program was built, Unix seconds, 0: unknown.
 * path stays the caller's and must outlive *w. */
void wall_time_open(struct wall_time *w, const struct port *port, enum wall_trust trust,
                    const char *path, int64_t build_s);

/* After a reload: another trust. */
void wall_time_trust(struct wall_time *w, enum wall_trust trust);

/* Once in each step; cheap. Looks at the clock, logs a change of state, and saves the floor where
 * that is due: once in a day of trusted time. */
void wall_time_step(struct wall_time *w, uint64_t now_ms);

/* Saves the floor, if SET. At the end, once. */
void wall_time_close(struct wall_time *w);

/* True while SET: Unix seconds of the last step. */
bool wall_time_now(const struct wall_time *w, int64_t *out_s);

/* The best that can be said, for dates that harm nobody: the clock, or the floor if that is later.
 */
int64_t wall_time_guess(const struct wall_time *w);

#endif

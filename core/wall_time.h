/* What time is it, and is that to be believed?
 *
 * Appliances boot without a clock, or with that of their last shutdown. So wall time is UNSET
 * (nothing is known), FLOOR (it is surely later than that) or SET: backed by evidence, as the
 * option clock_trusted says. Only while SET is anything judged by dates; a proof least of all.
 *
 * The floor is the newest of the build's time and of what was last trusted, kept in a small file.
 * It rises only while SET. A clock before the floor is never believed; only wall_time_reset_floor
 * lowers it. A time that was set by hand counts on by the monotonic clock, whatever the machine's
 * clock does, until the system says that it is synchronised. Service: reads the port's clock and
 * that one file; timers do not use it, they count monotonic milliseconds. */
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
    int64_t build_s; /* INT64_MIN: not known */
    int64_t floor_s; /* INT64_MIN: none */
    int64_t saved_s; /* the newest floor in the file, INT64_MIN: none */
    int64_t now_s;   /* as the clock said at read_ms */
    uint64_t read_ms;
    uint64_t save_again_ms; /* after a failed save */
    bool is_synchronised;   /* as the system said at read_ms */
    bool is_by_hand;        /* it was hand_s at hand_ms: */
    int64_t hand_s;
    uint64_t hand_ms;
};

/* Reads the floor and the clock. build_s: when the program was built, Unix seconds, 0: unknown.
 * path stays the caller's and must outlive *w. */
void wall_time_open(struct wall_time *w, const struct port *port, enum wall_trust trust,
                    const char *path, int64_t build_s);

/* After a reload: another trust. */
void wall_time_trust(struct wall_time *w, enum wall_trust trust);

/* What the machine's clock says now, believed or not. */
int64_t wall_time_machine(const struct wall_time *w);

/* By hand: it is unix_s now. ERR_NOT_ALLOWED: that is before the floor. ERR_WRONG_STATE: the system
 * is synchronised, so its clock counts. */
enum err wall_time_set(struct wall_time *w, int64_t unix_s);

/* By hand: the floor becomes the build's time, on disk as well, and what was set by hand is
 * forgotten. Otherwise what writing the file said, and nothing has changed. */
enum err wall_time_reset_floor(struct wall_time *w);

/* One line: the state, the time, the floor, and whose word it is. */
void wall_time_put(const struct wall_time *w, struct buf *out);

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

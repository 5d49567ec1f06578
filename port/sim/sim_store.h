/* A simulated log store: the port_store of port.h in memory, with what disks do when the power
 * goes.
 *
 * Every write that no successful sync covers is kept apart, so that a crash can keep it, lose it or
 * tear it; the same for directory operations. Operations take virtual time, one after the other,
 * like those of one worker thread; the owner asks for completions with sim_store_poll.
 * Deterministic from its seed. For tests; owns its memory (malloc). */
#ifndef POSTERN_SIM_STORE_H
#define POSTERN_SIM_STORE_H

#include "port.h"

/* What becomes of unsynced writes and directory operations when the power goes. */
enum sim_crash {
    SIM_CRASH_LOSE,  /* none reached the medium */
    SIM_CRASH_KEEP,  /* all did */
    SIM_CRASH_MIXED, /* each at random: kept, lost, or torn: some write units new, some old, some
                        spoilt */
};

struct sim_store;

struct sim_store_conf {
    uint64_t seed;
    uint32_t write_unit_len; /* 0: 4096 */
    bool not_in_place;       /* sets overwrites_in_place to false */
    uint64_t capacity_len;   /* of all segments together; 0: no limit */
    uint64_t sync_ms;        /* what a sync takes */
    uint64_t create_ms;
};

struct sim_store_counts {
    uint64_t num_ops; /* writes, starts and ends of syncs and creates, renames, removals: the points
                         where the power can go */
    uint64_t num_writes;
    uint64_t num_syncs;
    uint64_t num_creates;
    uint64_t written_len;
    uint64_t num_quarantined;
    uint64_t num_sync_faults, num_write_faults, num_create_faults; /* that were had */
    uint64_t num_kept, num_lost, num_torn;                         /* unsynced writes, at crashes */
};

/* NULL if out of memory. */
struct sim_store *sim_store_new(const struct sim_store_conf *conf);
void sim_store_free(struct sim_store *st);

/* The port, valid as long as st. */
const struct port_store *sim_store_port(struct sim_store *st);

/* Advances the virtual clock and reports what has completed by then; at most cap events, the rest
 * at the next call. */
size_t sim_store_poll(struct sim_store *st, uint64_t now_ms, struct port_event *events, size_t cap);
/* When the next operation completes; UINT64_MAX: none is under way. */
uint64_t sim_store_next_ms(const struct sim_store *st);

/* The power goes at operation number at_op (1 is the first; counted in num_ops): it and all later
 * ones do nothing and fail, and sim_store_is_off. A write or sync at which the power goes has not
 * been done or ended. 0: never. */
void sim_store_set_power_off(struct sim_store *st, uint64_t at_op);
bool sim_store_is_off(const struct sim_store *st);

/* The power goes now (or has gone) and comes back: unsynced state is settled, handles and
 * operations are gone. */
void sim_store_crash(struct sim_store *st, enum sim_crash how);
/* The process ends (also instead of a power cut that has just been), the machine goes on: handles
 * and operations are gone, unsynced writes stay visible, still unsynced. */
void sim_store_kill(struct sim_store *st);

/* Faults, each until changed. A number is counted from now: 1 is the next such operation; 0: none.
 */
void sim_store_fail_sync(struct sim_store *st, uint64_t nth, uint64_t num);
void sim_store_fail_write(struct sim_store *st, uint64_t nth, uint64_t num, enum err with);
void sim_store_fail_create(struct sim_store *st, uint64_t nth, uint64_t num, enum err with);
/* Reads that touch this byte of segment id fail with ERR_IO; offset UINT64_MAX: none do. Of
 * SIM_STORE_ALL all do. */
#define SIM_STORE_ALL UINT32_MAX
void sim_store_fail_read(struct sim_store *st, uint32_t id, uint64_t offset);
void sim_store_set_sync_ms(struct sim_store *st, uint64_t sync_ms);
void sim_store_set_capacity(struct sim_store *st, uint64_t capacity_len);

/* Handles that are open though their segment has no name: each keeps a descriptor, and its space.
 */
size_t sim_store_num_strays(const struct sim_store *st);

/* Looking in and spoiling: segments that list shows, by position 0 to sim_store_num_segments - 1.
 */
size_t sim_store_num_segments(const struct sim_store *st);
uint32_t sim_store_segment(const struct sim_store *st, size_t position, uint8_t **out_bytes,
                           uint64_t *out_len);
/* Changes a byte on the medium and in memory. */
void sim_store_flip(struct sim_store *st, uint32_t id, uint64_t offset, uint8_t mask);

void sim_store_counts_of(const struct sim_store *st, struct sim_store_counts *out);

#endif

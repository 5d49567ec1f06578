/* A simulated world: virtual time, one network, and hosts that each run a server on a port of their
 * own.
 *
 * A test makes a world and a host, opens a server on sim_host_port, and steps it; between steps it
 * acts as clients (sim_net.h), spoils disks (sim_store.h), reads mailboxes (sim_mailbox.h), files
 * (sim_files.h) and log lines. Nothing takes real time. Everything that is random comes from the
 * seed, so a run that failed can be had again.
 *
 * Time moves only in a host's wait(): if that host has nothing to report and every other host is
 * waiting too, the clock goes on to whatever comes first: the arrival of bytes, the end of an
 * operation, the end of somebody's wait, at most the horizon. wait() may return without an event.
 * For tests; owns its memory (malloc), ends the program when there is none. */
#ifndef POSTERN_SIM_WORLD_H
#define POSTERN_SIM_WORLD_H

#include "port.h"
#include "sim_store.h"

struct sim_world;
struct sim_host;

struct sim_world *sim_world_new(uint64_t seed);
/* With all hosts and clients; servers are to be given up before. */
void sim_world_free(struct sim_world *w);

uint64_t sim_world_now_ms(const struct sim_world *w);
/* Moves the clock by hand. */
void sim_world_advance(struct sim_world *w, uint64_t ms);
/* The clock never goes past this time by itself; UINT64_MAX (the start): no limit. */
void sim_world_set_horizon(struct sim_world *w, uint64_t at_ms);
/* For a driver of several servers that are stepped only when they have something to do: whether
 * this one's next wait() would report something or is over, and the clock's next move, to whatever
 * comes first, at most the horizon. With the horizon at the present, wait() itself never moves it.
 */
bool sim_host_is_due(struct sim_host *h);
void sim_world_move_on(struct sim_world *w);
/* A number from the world's seed. */
uint64_t sim_world_random(struct sim_world *w);

/* conf may be NULL: no latency, no limits; a zero seed is replaced by one of the world's. */
struct sim_host *sim_host_new(struct sim_world *w, const struct sim_store_conf *conf);
/* Valid as long as the world. After a crash or kill it serves the next server. */
const struct port *sim_host_port(struct sim_host *h);
struct sim_world *sim_host_world(struct sim_host *h);
struct sim_store *sim_host_store(struct sim_host *h);

/* The next wait() reports it. */
void sim_host_signal(struct sim_host *h, enum port_signal signal);

/* What the machine believes the time to be, from now on; how far it is right is the test's
 * business. At the start 2026-01-01T00:00:00Z, synchronised. */
void sim_host_set_wall(struct sim_host *h, int64_t wall_s, bool synchronised);
int64_t sim_host_wall(const struct sim_host *h);
/* entropy.fill fails. */
void sim_host_set_entropy_failing(struct sim_host *h, bool failing);

/* Whether the power has gone at an operation of the store or of a mailbox (sim_store_set_power_off,
 * sim_mailbox_set_power_off). From then on nothing reaches either: give the server up, then
 * sim_host_crash. */
bool sim_host_is_off(struct sim_host *h);
/* The power goes and comes back: unsynced state of the store and the Maildirs is settled as how
 * says; connections are broken, handles and operations gone. Files and log lines stay. */
void sim_host_crash(struct sim_host *h, enum sim_crash how);
/* The process ends, the machine goes on: connections, handles and operations are gone, unsynced
 * writes stay visible. */
void sim_host_kill(struct sim_host *h);

/* Log lines, "LEVEL text" each, as strings, from 0. With the environment's SIM_LOG set they go to
 * stderr as well. */
size_t sim_log_num(const struct sim_host *h);
const char *sim_log_line(const struct sim_host *h, size_t index);
/* How many lines hold this text. */
size_t sim_log_count(const struct sim_host *h, const char *text);
void sim_log_clear(struct sim_host *h);

#endif

/* The simulated network: connections between hosts, and between hosts and the test.
 *
 * A connection is two byte queues. Bytes arrive after a delay, a read or write moves at most so
 * many of them, and a queue holds only so much before its writer has to wait. The test's end of a
 * connection is a struct sim_client, whether it connected or was connected to. */
#ifndef POSTERN_SIM_NET_H
#define POSTERN_SIM_NET_H

#include "sim_world.h"

struct sim_client;

/* For connections made from now on, both ways. */
struct sim_link {
    uint64_t delay_ms;      /* from write to readability; 0: at once */
    size_t chunk_len;       /* most that one read or write moves; 0: no limit */
    size_t queue_len;       /* most under way in one direction; 0: 64 KiB */
    bool random_chunks;     /* each read and write moves 1 to chunk_len bytes at random */
    uint64_t jitter_ms;     /* what is added to delay_ms at most, at random; order is kept */
    uint64_t cut_after_len; /* the connection breaks once so many bytes were written; 0: never */
};

void sim_net_set_link(struct sim_world *w, const struct sim_link *link);

/* Instead of that: what becomes of each new connection, and its two directions, seen from the one
 * who connects. NULL: no longer. */
enum sim_fate { SIM_FATE_OPEN, SIM_FATE_REFUSED, SIM_FATE_SILENT };
typedef enum sim_fate (*sim_net_draw)(void *ctx, const struct net_addr *from,
                                      const struct net_addr *to, struct sim_link *out,
                                      struct sim_link *in);
void sim_net_set_draw(struct sim_world *w, sim_net_draw draw, void *ctx);
/* Breaks the so-many-th connection of those that are open, modulo how many; false: there is none.
 */
bool sim_net_break(struct sim_world *w, uint64_t which);
/* Connections that broke where their link said so. */
uint64_t sim_net_num_cut(const struct sim_world *w);

/* The host's own address, port 0. Its listeners at any address, and those at this one, are reached
 * through it from everywhere; those at a loopback address from the host itself and from the test,
 * for whom the newest host that listens there answers. */
void sim_host_addr(const struct sim_host *h, struct net_addr *out);

/* Connects to whoever listens at to, from the address from (NULL: 192.0.2.1, some port). NULL if
 * nobody does: refused. */
struct sim_client *sim_connect(struct sim_world *w, const struct net_addr *to,
                               const struct net_addr *from);

/* The test listens at this address: hosts' connections to it wait for sim_accept, which returns
 * NULL if there is none. */
void sim_listen(struct sim_world *w, const struct net_addr *at);
struct sim_client *sim_accept(struct sim_world *w, const struct net_addr *at);
/* Whether sim_accept would return one. */
bool sim_has_waiting(const struct sim_world *w, const struct net_addr *at);
/* Connecting to this address gets no answer, ever. */
void sim_blackhole(struct sim_world *w, const struct net_addr *at);

/* Datagrams to this address come to the test, which takes them one by one (false: none has come, or
 * it was longer than cap) and answers with whatever it likes, from wherever it likes. They take the
 * link's delay; more than 64 that wait are lost. */
void sim_datagram_listen(struct sim_world *w, const struct net_addr *at);
bool sim_datagram_take(struct sim_world *w, const struct net_addr *at, struct net_addr *out_from,
                       size_t *out_len, uint8_t *into, size_t cap);
void sim_datagram_send(struct sim_world *w, const struct net_addr *from, const struct net_addr *to,
                       struct slice bytes);

/* Connects as that user to the host's listener at that path. NULL: nobody listens there, or the
 * user may not; a listener for a group lets the user in who is named like it. */
struct sim_client *sim_connect_local(struct sim_host *h, const char *path,
                                     const struct port_user *user);
/* The test listens at this path of all hosts, as user 0; its connections wait for sim_accept_local,
 * which returns NULL if there is none. */
void sim_listen_local(struct sim_world *w, const char *path);
struct sim_client *sim_accept_local(struct sim_world *w, const char *path);

/* A host's server runs as this user, named "postern". */
#define SIM_UID 100

/* How many bytes were taken, 0 if the queue is full or the connection has ended. */
size_t sim_client_write(struct sim_client *c, struct slice bytes);
/* ERR_OK with at least one byte, ERR_AGAIN, ERR_EOF, ERR_RESET. */
enum err sim_client_read(struct sim_client *c, size_t *out_len, uint8_t *into, size_t cap);
/* Bytes that were written and that the other side has not read; SIZE_MAX: it never will. */
size_t sim_client_unread_len(const struct sim_client *c);
/* Where it comes from. */
void sim_client_remote(const struct sim_client *c, struct net_addr *out);
/* No more bytes from the client: the host reads EOF after what is under way. */
void sim_client_shutdown(struct sim_client *c);
/* Breaks the connection; bytes under way are lost. */
void sim_client_reset(struct sim_client *c);
/* Ends the client in order; c is gone. */
void sim_client_close(struct sim_client *c);
/* The host has accepted the connection. */
bool sim_client_is_accepted(const struct sim_client *c);

/* Handles of connections and listeners that the host may have at once; over them accept and connect
 * say ERR_NO_HANDLE. At the start SIM_HANDLES_MAX. */
#define SIM_HANDLES_MAX 4096
void sim_net_set_max_handles(struct sim_host *h, uint32_t max_handles);
uint32_t sim_net_num_handles(const struct sim_host *h);

#endif

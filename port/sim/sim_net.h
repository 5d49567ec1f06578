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
    uint64_t delay_ms;  /* from write to readability; 0: at once */
    size_t chunk_len;   /* most that one read or write moves; 0: no limit */
    size_t queue_len;   /* most under way in one direction; 0: 64 KiB */
    bool random_chunks; /* each read and write moves 1 to chunk_len bytes at random */
};

void sim_net_set_link(struct sim_world *w, const struct sim_link *link);

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

/* What the simulated network's two files share: ends, listeners and handles.
 *
 * Every end of a connection is in the world's list from its making until both ends are closed. An
 * end is held by a host's handle, by a listener's queue, or by the test. */
#ifndef POSTERN_SIM_NET_INSIDE_H
#define POSTERN_SIM_NET_INSIDE_H

#include "sim_pipe.h"
#include "sim_udp.h"

struct sim_client {
    struct sim_world *world;
    struct sim_client *next; /* of the world */
    struct sim_client *next_waiting;
    struct sim_client *peer; /* NULL: nobody was there */
    struct sim_pipe in;
    struct net_addr local, remote;
    bool is_local;
    struct port_user peer_user; /* of a local one */
    uint64_t connected_at_ms;
    enum err connect_result; /* from then on */
    bool accepted;           /* an end that connected is from the start */
    bool closed;             /* nobody holds it */
    bool is_shut;            /* writes no more */
    bool reset;
    bool lost_write; /* wrote to a closed peer: its next write is told */
};

struct sim_listener {
    struct sim_listener *next;
    struct sim_host *host; /* NULL: the test */
    struct net_addr at;
    char *path; /* of a local one, which has no address; of that host or the test; else NULL */
    char *group;
    enum port_access access;
    struct sim_client *waiting; /* oldest first */
};

/* What a host's handle stands for: none of the three: free. */
struct sim_net_slot {
    struct sim_listener *listener;
    struct sim_client *end;
    struct sim_udp *datagrams;
    bool readable, writable;
    uint64_t tag;
};

struct sim_net_host {
    struct net_addr addr;
    struct sim_net_slot *slots; /* of handle - 1 */
    uint32_t num_slots, max_handles, num_used;
    uint32_t turn; /* where polling begins, so that all get theirs */
};

/* sim_net_ready.c */
bool sim_net_is_used(const struct sim_net_slot *s);
bool sim_net_is_connected(const struct sim_world *w, const struct sim_client *end);

/* sim_net.c */
struct sim_client *sim_net_ends(const struct sim_world *w);
struct sim_listener *sim_net_listeners(const struct sim_world *w);
struct sim_listener *sim_net_add_listener(struct sim_world *w, struct sim_host *h,
                                          const struct net_addr *at);
/* Makes both ends; the far one waits at the listener. */
struct sim_client *sim_net_connect_to(struct sim_world *w, struct sim_listener *l,
                                      const struct net_addr *to, const struct net_addr *from);
struct sim_client *sim_net_take_waiting(struct sim_world *w, struct sim_listener *l);
/* NULL: no such handle. */
struct sim_net_slot *sim_net_slot_of(struct sim_host *h, uint32_t handle);
/* The lowest free one, as descriptors are given out; 0: none. */
uint32_t sim_net_take_handle(struct sim_host *h);

/* sim_local.c */
enum err sim_local_listen(void *ctx, uint32_t *out_handle, const struct port_local *at);
enum err sim_local_connect(void *ctx, uint32_t *out_handle, const char *path);
enum err sim_local_peer_user(void *ctx, struct port_user *out, uint32_t handle);

#endif

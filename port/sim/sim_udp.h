/* Simulated datagrams: sockets with a queue each, in one list of the world. Called by sim_net; the
 * test's sockets are in sim_net.h. */
#ifndef POSTERN_SIM_UDP_H
#define POSTERN_SIM_UDP_H

#include "sim_inside.h"

struct sim_udp;

/* A socket of that host (NULL: the test's, at this very address); for a host only the family and
 * the port of at count. */
struct sim_udp *sim_udp_new(struct sim_world *w, struct sim_host *h, const struct net_addr *at);
void sim_udp_close(struct sim_world *w, struct sim_udp *s);
void sim_udp_free_all(struct sim_world *w);

void sim_udp_local_addr(const struct sim_udp *s, struct net_addr *out);
enum err sim_udp_send_from(struct sim_world *w, const struct sim_udp *s, const struct net_addr *to,
                           struct slice bytes);
enum err sim_udp_receive(struct sim_world *w, struct sim_udp *s, size_t *out_len,
                         struct net_addr *out_from, uint8_t *into, size_t cap);

bool sim_udp_has_any(const struct sim_udp *s, uint64_t now_ms);
/* The next arrival anywhere later than now; UINT64_MAX: none. */
uint64_t sim_udp_next_ms(const struct sim_world *w);

#endif

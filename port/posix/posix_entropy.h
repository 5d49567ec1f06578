/* Random bytes from the kernel. Called through struct port_entropy. */
#ifndef POSTERN_POSIX_ENTROPY_H
#define POSTERN_POSIX_ENTROPY_H

#include "port.h"

/* The first call may wait, early after boot, until the kernel's generator is seeded: keys from an
 * unseeded one would be worse than a late start. Later calls never wait. */
void posix_entropy_port(struct port_entropy *out);

#endif

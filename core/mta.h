/* The mail server as a whole: what a port's main program opens and then steps until it says that it
 * has stopped.
 *
 * The composition root: it owns every pool, engine and service, and mta_step() is the one place
 * where their order is decided. */
#ifndef POSTERN_MTA_H
#define POSTERN_MTA_H

#include "pool.h"
#include "port.h"

struct mta;

struct mta_start {
    const char *conf_path;
    const char *hostname; /* the machine's name, where primary_hostname is not set */
    const char *version;
    int64_t build_time_s;         /* no true clock is before it */
    const char *resolv_conf_path; /* of the system's resolver, NULL: there is none */
    const char *hosts_path;
    bool is_root; /* of mta_check: whoever starts the server can make its directories anywhere */
};

/* Bytes of arena that mta_open takes with that spool_size and the store's write unit; and the table
 * behind the sum as lines of text. */
size_t mta_memory_len(uint64_t spool_size, uint32_t write_unit_len);
void mta_put_budget(struct buf *out, uint64_t spool_size, uint32_t write_unit_len);

/* Bytes of the largest message that a server with such a spool takes, whatever message_size_limit
 * says. */
uint64_t mta_message_max(uint64_t spool_size, uint32_t write_unit_len);

/* Reads the configuration, recovers the spool, opens the listeners. The arena is zeroed memory. On
 * failure *out is NULL, errors has lines that say why, and the port's handles are closed. The port
 * and the strings of start must outlive the server. */
enum err mta_open(struct mta **out, struct arena *a, const struct port *port,
                  const struct mta_start *start, struct buf *errors);

/* `postern check`: reads the configuration and all files that it names; opens nothing. Lines to
 * out; ERR_OK if the server would start. */
enum err mta_check(struct arena *a, const struct port *port, const struct mta_start *start,
                   struct buf *out);

/* One turn: waits for events or the next timer, then does a bounded amount of work. False once
 * everything that was promised at PORT_TERMINATE is done and all is closed. */
bool mta_step(struct mta *m);

/* How it ended: ERR_OK, or why it could not go on. */
enum err mta_result(const struct mta *m);

#endif

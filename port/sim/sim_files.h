/* Simulated small files: port_files in memory; what is replaced is durable at once. For tests. */
#ifndef POSTERN_SIM_FILES_H
#define POSTERN_SIM_FILES_H

#include "sim_world.h"

/* Makes or replaces the file; its stamp differs from every one before. */
void sim_files_put(struct sim_host *h, const char *path, struct slice bytes);
void sim_files_put_string(struct sim_host *h, const char *path, const char *text);
/* False if there is none. */
bool sim_files_get(const struct sim_host *h, const char *path, struct slice *out);
void sim_files_remove(struct sim_host *h, const char *path);
/* Reading, stamping and replacing it fail with this; ERR_OK: no longer. */
void sim_files_fail(struct sim_host *h, const char *path, enum err with);

/* A user leaves a file in the outbox of the host, whatever its path, with a mark as only the server
 * should put there, or 0; how many are there. */
void sim_outbox_put(struct sim_host *h, const struct port_user *owner, uint64_t mark,
                    struct slice bytes);
size_t sim_outbox_num(const struct sim_host *h);
/* The next num removals fail. */
void sim_outbox_keep(struct sim_host *h, uint32_t num);
/* The next num marks are not made. */
void sim_outbox_unmark(struct sim_host *h, uint32_t num);

#endif

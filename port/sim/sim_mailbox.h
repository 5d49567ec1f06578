/* Simulated Maildirs: port_mailbox in memory, with what a power cut does to files and directories.
 *
 * A file's bytes are durable once the file was synced, its name once its directory was. Commits and
 * searches take virtual time; those that wait together end together, as those of one worker thread
 * do. For tests. */
#ifndef POSTERN_SIM_MAILBOX_H
#define POSTERN_SIM_MAILBOX_H

#include "sim_world.h"

enum sim_subdir { SIM_TMP, SIM_NEW, SIM_CUR };

/* Where a commit fails: before its file is durable, before the rename, or before the rename is
 * durable. */
enum sim_commit_step { SIM_SYNC_FILE, SIM_RENAME, SIM_SYNC_DIR };

/* What a batch of commits or searches takes. At the start 0. */
void sim_mailbox_set_latency(struct sim_host *h, uint64_t commit_ms);

/* Faults; nth is counted from now, 1 is the next; num of them fail; 0: none. */
void sim_mailbox_fail_begin(struct sim_host *h, uint64_t nth, uint64_t num, enum err with);
void sim_mailbox_fail_write(struct sim_host *h, uint64_t nth, uint64_t num, enum err with);
void sim_mailbox_fail_commit(struct sim_host *h, uint64_t nth, uint64_t num,
                             enum sim_commit_step step, enum err with);

/* Operations so far: begins, writes, file syncs, renames, directory syncs, removals; and the one at
 * which the power goes (0: none), before it is done. */
uint64_t sim_mailbox_num_ops(const struct sim_host *h);
void sim_mailbox_set_power_off(struct sim_host *h, uint64_t at_op);
uint64_t sim_mailbox_num_commits(const struct sim_host *h); /* that ended in ERR_OK */

/* Files there are, by position from 0, oldest first; NULL maildir: of all Maildirs. */
size_t sim_mailbox_num(const struct sim_host *h, const char *maildir, enum sim_subdir subdir);
bool sim_mailbox_file(const struct sim_host *h, const char *maildir, enum sim_subdir subdir,
                      size_t position, const char **out_name, struct slice *out_bytes);
/* As a mail reader does: from new/ to cur/ with ":2," and flags behind the name. Durable. */
bool sim_mailbox_read_mail(struct sim_host *h, const char *maildir, const char *name,
                           const char *flags);

#endif

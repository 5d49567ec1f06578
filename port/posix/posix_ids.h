/* Names and numbers of users and groups, from the system's two small files and nowhere else: no
 * directory service is asked, which might take its time. For posix_local, posix_outbox,
 * posix_privilege and the commands. */
#ifndef POSTERN_POSIX_IDS_H
#define POSTERN_POSIX_IDS_H

#include "port.h"

#define POSIX_USERS_FILE  "/etc/passwd"
#define POSIX_GROUPS_FILE "/etc/group"

/* The name of the first line with that number; out is empty if there is none, or it is not plain
 * (port.h). */
void posix_id_name(char out[PORT_USER_NAME_CAP], const char *file, uint32_t id);

/* The number of the first line with that name; a name all of digits is its own number. */
bool posix_id_number(uint32_t *out, const char *file, const char *name);

/* The same for a user, with his first group; of a number that no line has, that is its own. */
bool posix_id_of_user(uint32_t *out_uid, uint32_t *out_gid, const char *name);

#endif

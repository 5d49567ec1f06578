/* Small files by path: configuration, certificates, proofs. Called through struct port_files. */
#ifndef POSTERN_POSIX_FILES_H
#define POSTERN_POSIX_FILES_H

#include "port.h"

#include <limits.h>

#define POSIX_FILES_TARGET_CAP PATH_MAX /* with its NUL */
#define POSIX_FILES_NEW_SUFFIX ".new"   /* of a file that is about to take another's place */

/* The file that a path leads to over symbolic links of its last name, also one that is not there;
 * itself if it is no link. */
enum err posix_files_target(const char *path, char *out);

void posix_files_port(struct port_files *out);

#endif

/* The commands that ask the running server over its control socket: postern status, clock, queue,
 * flush. */
#ifndef POSTERN_POSIX_CONTROL_H
#define POSTERN_POSIX_CONTROL_H

#include <stdbool.h>

bool posix_control_is_command(const char *word);

/* The command's word and its arguments, which the list may end before. The exit status. */
int posix_control(int argc, char **argv);

#endif

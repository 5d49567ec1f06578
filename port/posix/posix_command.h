/* What the program's commands share: output, complaints, exit statuses, and reading the options. */
#ifndef POSTERN_POSIX_COMMAND_H
#define POSTERN_POSIX_COMMAND_H

#include "conf.h"
#include "err.h"

#define POSIX_DEFAULT_CONF "/etc/postern.conf"
#define POSIX_HOSTNAME_CAP 256

/* 2026-11-23: no clock of a machine that runs this is rightly before it. A build may say better. */
#ifndef POSTERN_BUILD_TIME_S
#define POSTERN_BUILD_TIME_S INT64_C(1795392000)
#endif

/* False: fd did not take all of it. */
bool posix_put(int fd, struct slice text);
void posix_put_string(int fd, const char *text);

/* The exit status of a command that ends with this one: not 0, and a complaint, if stdout did not
 * take all that was put there. */
int posix_end_output(int status);

/* "postern: WHAT: WHY" to stderr; what is escaped. */
void posix_complain(const char *what, const char *why);
void posix_complain_of(struct slice what, const char *why);
/* The lines of errors, or a complaint if there are none. */
void posix_put_errors(const char *what, enum err e, const struct buf *errors);

/* Says that this build has no such command; the exit status. */
int posix_is_missing(const char *command);

/* As in sysexits.h. */
int posix_exit_status(enum err e);

/* Zeroed memory; pages that are never touched cost nothing. */
bool posix_map_arena(struct arena *out, size_t len);

/* The machine's name, or "localhost". */
void posix_hostname(char out[POSIX_HOSTNAME_CAP]);

/* The options of that file, without users and aliases; *out lives in *a, which is mapped here and
 * is the caller's to unmap, also after an error. Complaints go to errors. */
enum err posix_read_options(struct conf *out, struct arena *a, const char *path,
                            struct slice hostname, struct buf *errors);

#endif

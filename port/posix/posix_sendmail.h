/* postern sendmail: what programs expect of /usr/sbin/sendmail, mailq and newaliases. */
#ifndef POSTERN_POSIX_SENDMAIL_H
#define POSTERN_POSIX_SENDMAIL_H

#include <stdbool.h>

/* Whether a program of that path is to be one of the three; mail(1) of the BSDs, and of others that
 * come from it, calls sendmail "send-mail". */
bool posix_sendmail_is_name(const char *path);

/* argv[0] is the name that it was called by. The exit status. */
int posix_sendmail(int argc, char **argv);

#endif

/* `postern passwd`: writes the users file. Called by the program's main. */
#ifndef POSTERN_POSIX_PASSWD_H
#define POSTERN_POSIX_PASSWD_H

/* The words behind `passwd`. Returns the exit status, as in sysexits.h. */
int posix_passwd(int argc, char **argv);

#endif

/* `postern passwd`: writes the users file. Called by the program's main. */
#ifndef POSTERN_POSIX_PASSWD_H
#define POSTERN_POSIX_PASSWD_H

/* The words behind `passwd` but for -c FILE; users_file is the option auth_users_file. Returns the
 * exit status, as in sysexits.h. */
int posix_passwd(const char *users_file, int argc, char **argv);

#endif

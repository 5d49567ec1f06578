/* Hands a letter to the running server, over its submit socket. */
#ifndef POSTERN_POSIX_SUBMIT_H
#define POSTERN_POSIX_SUBMIT_H

#include "posix_letter.h"

/* Says of each recipient that still waits whether the server has taken or refused it; complaints
 * about those that it refuses go to stderr. An exit status: EX_OK if none was refused. EX_TEMPFAIL:
 * some wait still. */
int posix_submit(struct letter *l);

/* SMTP between stdin and stdout and the server. */
int posix_submit_raw(const struct conf *conf);

#endif

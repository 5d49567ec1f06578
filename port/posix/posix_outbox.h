/* The outbox in a directory: the server's side for the port, and how a command leaves a message. */
#ifndef POSTERN_POSIX_OUTBOX_H
#define POSTERN_POSIX_OUTBOX_H

#include "posix_letter.h"
#include "port.h"

#define POSIX_OUTBOX_NAME_CAP 40

struct posix_outbox {
    int dir_fd; /* 0: not opened */
    int fd;     /* of the file that was taken */
    uint32_t uid;
    uint64_t len;
    uint64_t mark;
    char name[POSIX_OUTBOX_NAME_CAP];
    bool is_past_marks; /* those that had one when it was opened have been taken */
};

void posix_outbox_port(struct posix_outbox *o, struct port_outbox *out);
void posix_outbox_close(struct posix_outbox *o);

/* Leaves the letter for the recipients that wait still. An exit status: EX_OK, EX_TEMPFAIL (it has
 * no place), EX_CONFIG (there is no outbox), EX_IOERR. */
int posix_outbox_put(const struct letter *l);

#endif

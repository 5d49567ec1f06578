/* `postern ocsp-fetch`: fetches proofs by hand or from cron, judges them, and writes what is right.
 * Called by the program's main. */
#ifndef POSTERN_POSIX_OCSP_FETCH_H
#define POSTERN_POSIX_OCSP_FETCH_H

/* The words behind `ocsp-fetch`. Prints, and returns the exit status: as posix_ocsp_check, or 4 if
 * nothing came or it could not be written. Of several proofs the highest counts. */
int posix_ocsp_fetch(int argc, char **argv);

#endif

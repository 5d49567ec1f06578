/* `postern ocsp-check`: judges one OCSP response by hand. Called by the program's main. */
#ifndef POSTERN_POSIX_OCSP_CHECK_H
#define POSTERN_POSIX_OCSP_CHECK_H

/* The words behind `ocsp-check`. Prints, and returns the exit status: 0 accept, 1 reject, 2
 * malformed, 3 wrong arguments or a file that cannot be read. */
int posix_ocsp_check(int argc, char **argv);

#endif

/* Small files by path: configuration, certificates, proofs. Called through struct port_files. */
#ifndef POSTERN_POSIX_FILES_H
#define POSTERN_POSIX_FILES_H

#include "port.h"

void posix_files_port(struct port_files *out);

#endif

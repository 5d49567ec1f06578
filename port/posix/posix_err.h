/* The system's error numbers as our values. Called by every other file of this port. */
#ifndef POSTERN_POSIX_ERR_H
#define POSTERN_POSIX_ERR_H

#include "err.h"

/* error_number is a value of errno, not 0. What has no name of its own is ERR_IO. */
enum err posix_err(int error_number);

#endif

/* Errors as values. Base layer; every fallible function above returns enum err unless its contract
 * says otherwise. */
#ifndef POSTERN_ERR_H
#define POSTERN_ERR_H

#include <stdbool.h>

enum err {
#define ERR(symbol, name, class) ERR_##symbol,
#include "err.def"
#undef ERR
    NUM_ERRS
};

/* The name that the log, the commands and the manual use, a constant string. */
const char *err_name(enum err e);

/* Whether the same call may succeed later without anybody's intervention in our code or data. */
bool err_is_temporary(enum err e);

#endif

/* The table of errors: see err.def. */
#include "err.h"

enum err_class { CLEAR, TEMPORARY, PERMANENT };

static const struct {
    const char *name;
    enum err_class class;
} table[NUM_ERRS] = {
#define ERR(symbol, name, class) {name, class},
#include "err.def"
#undef ERR
};

const char *err_name(enum err e)
{
    return table[e].name;
}

bool err_is_temporary(enum err e)
{
    return table[e].class == TEMPORARY;
}

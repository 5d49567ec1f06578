/* The option that somebody meant who wrote one that does not exist. Called by conf. */
#ifndef POSTERN_CONF_NEAREST_H
#define POSTERN_CONF_NEAREST_H

#include "slice.h"

/* The name of the option that is fewest edits (letters added, left out, replaced or swapped) away;
 * NULL if none is close: more than a third of its letters differ. */
const char *conf_nearest(struct slice name);

#endif

/* What this build was made without (make WITHOUT="..."), by the options that then mean nothing. */
#ifndef POSTERN_CONF_BUILD_H
#define POSTERN_CONF_BUILD_H

#include "slice.h"

/* What would have to be built in for an option of that name, for a transport of route_list ("mx",
 * "smtp:"), or for a cipher suite; NULL: nothing is missing. */
const char *conf_lacks(struct slice word);

#endif

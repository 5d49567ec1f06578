/* What is proved of slice.h: see tests/prove/run. */
#include "slice_contract.h"

/* What is proved of der.c: see tests/prove/run. */
#include "der_contract.h"

#include "../../core/der.c"

/* What is proved of text.c: see tests/prove/run. */
#include "text_contract.h"

#include "../../core/text.c"

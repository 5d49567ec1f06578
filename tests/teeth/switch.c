/* Which breakage of core/teeth.def holds in this process: what POSTERN_TOOTH in its environment
 * names. Linked into the programs of the test build TEETH=1. */
#include "teeth.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum tooth teeth_broken;

static const char *const names[NUM_TEETH] = {
#define TOOTH(name, breaks, caught_by) [TOOTH_##name] = #name,
#include "teeth.def"
#undef TOOTH
};

__attribute__((constructor)) static void break_one(void)
{
    const char *wanted = getenv("POSTERN_TOOTH");
    if (wanted == NULL) {
        return;
    }
    for (int i = TOOTH_NONE + 1; i < NUM_TEETH; i++) {
        if (strcmp(names[i], wanted) == 0) {
            teeth_broken = (enum tooth)i;
            return;
        }
    }
    fprintf(stderr, "core/teeth.def has no breakage named %s\n", wanted);
    exit(2);
}

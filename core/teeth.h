/* Breakages on purpose: what must not go unnoticed, as switches of one test build (make
 * test-teeth).
 *
 * teeth.def is the list. There, BROKEN(NAME) asks for one of them, and tests/teeth/switch.c says
 * which; everywhere else it is the constant false and leaves no code and no name behind. */
#ifndef POSTERN_TEETH_H
#define POSTERN_TEETH_H

#ifdef POSTERN_TEETH
enum tooth {
    TOOTH_NONE,
#define TOOTH(name, breaks, caught_by) TOOTH_##name,
#include "teeth.def"
#undef TOOTH
    NUM_TEETH
};
extern enum tooth teeth_broken;
#define BROKEN(name) (teeth_broken == TOOTH_##name)
#else
#define BROKEN(name) false
#endif

#endif

/* The laws of SPOOL.md, broken on purpose: only in the build of tests/sim/spool_teeth_test.c, which
 * has all of the spool in one translation unit. Elsewhere SPOOL_BROKEN is false and leaves no code.
 */
#ifndef POSTERN_SPOOL_TEETH_H
#define POSTERN_SPOOL_TEETH_H

#ifdef SPOOL_TEETH
enum spool_break {
    BREAK_NOTHING,
    BREAK_NO_PADDING,
    BREAK_NO_NONCE,
    BREAK_TRUST_READ,
    BREAK_RETRY_SYNC,
    BREAK_NO_ANNUL,
    BREAK_RECYCLE_ORDER,
    BREAK_COPY_UNSYNCED,
    BREAK_NO_RESERVE,
    BREAK_LARGE_SHARED,
    BREAK_IGNORE_WRITE_ERROR,
    BREAK_OUTCOME_EARLY
};
static enum spool_break spool_broken;
#define SPOOL_BROKEN(law) (spool_broken == (law))
#else
#define SPOOL_BROKEN(law) false
#endif

#endif

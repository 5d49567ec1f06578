#!/bin/sh
# Builds the program without one half of its parts, without the other and without all of them
# (boards/without.mk; with EACH=1 without each), and tries each: it starts, takes a message by TLS,
# delivers it, has what it was not built without, and names what it has not.
set -u
. tests/lib/cases
BUILD=${BUILD:-build}
WORK=${WORK:-$BUILD/work/without_test}
make="${MAKE:-make} BUILD=$BUILD"
# Most of each program is as in the others: compiled once.
CCACHE_DIR=${CCACHE_DIR:-$WORK/ccache}
export CCACHE_DIR

built() { # parts: unoptimised, as it is the choice of files that is tried
    $make -s -j2 CCACHE=ccache OPT="-O0 -g0" WITHOUT="$1" all
}
tried() { # parts
    program=$BUILD/host-without-$(echo "$1" | tr ' ' -)/postern
    WORK=$WORK/$(echo "$1" | tr ' ' -) POSTERN=$program WITHOUT=$1 python3 -B tests/lib/without.py
}
unknown_part() { ! $make -n WITHOUT="fetch nothing" all 2>/dev/null; }

parts=$(sed -n 's/^WITHOUT_PARTS = //p' boards/without.mk)
without() { # parts
    check "builds without $1" built "$1"
    check "works without $1" tried "$1"
}
half="" other=""
for part in $parts; do
    [ -z "${EACH-}" ] || without "$part"
    if [ ${#half} -le ${#other} ]; then half="$half${half:+ }$part"; else other="$other${other:+ }$part"; fi
done
without "$half"
without "$other"
without "$parts"
check "a part that there is not" unknown_part
finish

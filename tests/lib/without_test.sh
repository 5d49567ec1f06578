#!/bin/sh
# Builds the program without each of its parts and without all of them (boards/without.mk), and tries
# each: it starts, takes a message by TLS, delivers it, and names what it has not.
set -u
. tests/lib/cases
BUILD=${BUILD:-build}
WORK=${WORK:-$BUILD/work/without_test}
make="${MAKE:-make} BUILD=$BUILD"

built() { # parts: unoptimised, as it is the choice of files that is tried
    $make -s -j2 OPT="-O0 -g0" WITHOUT="$1" all
}
tried() { # parts
    program=$BUILD/host-without-$(echo "$1" | tr ' ' -)/postern
    WORK=$WORK/$(echo "$1" | tr ' ' -) POSTERN=$program WITHOUT=$1 python3 -B tests/lib/without.py
}
unknown_part() { ! $make -n WITHOUT="fetch nothing" all 2>/dev/null; }

parts=$(sed -n 's/^WITHOUT_PARTS = //p' boards/without.mk)
for part in $parts "$parts"; do
    check "builds without $part" built "$part"
    check "works without $part" tried "$part"
done
check "a part that there is not" unknown_part
finish

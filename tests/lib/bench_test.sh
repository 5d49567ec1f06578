#!/bin/sh
# The tools of make bench build from the tree as it is: nothing else of make test needs them. Shell test.
set -u
. tests/lib/cases
BUILD=${BUILD:-build}

built() { BUILD=$BUILD python3 -B tests/bench/run --build; }
all_there() {
    for tool in load disk count crypto proof; do
        [ -x "$BUILD/bench/$tool" ] || return 1
    done
}

rm -rf "$BUILD/bench"
check "the tools of make bench build" built
check "all of them are there" all_there
finish

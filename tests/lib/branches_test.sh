#!/bin/sh
# The parsers of proofs, branch by branch: their unit tests take each one. Only these two files are
# compiled for it; what the tests link besides is there already. Shell test.
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/cases
WORK=${WORK:-$(mktemp -d)}
BUILD=${BUILD:-build}
host=$BUILD/host
cc=${CC:-gcc}
parsers="der ocsp_response"

build() {
    mkdir -p "$WORK/core" || return 1
    for name in $parsers; do
        ${MAKE:-make} -s BUILD="$BUILD" "$host/tests/unit/${name}_test" || return 1
        $cc -std=c11 -O0 -Icore --coverage -c -o "$WORK/core/$name.o" "core/$name.c" || return 1
    done
    for name in $parsers; do
        $cc --coverage -o "$WORK/${name}_test" "$host/tests/unit/${name}_test.o" \
            "$WORK"/core/*.o -Wl,--start-group "$host"/lib*.a -Wl,--end-group -pthread || return 1
    done
}

covered() {
    tests/lib/coverage "$WORK" core/der.c core/ocsp_response.c
}

short_of_it() { # what one case of a test reaches is not enough, and it is said
    ! covered >"$WORK/said" || return 1
    grep -q '^coverage: core/der.c: not every branch was taken$' "$WORK/said"
}

check build build
check "nothing ran" sh -c "! tests/lib/coverage '$WORK' core/der.c"
check "one case" "$WORK/der_test" rest
check "short of it" short_of_it
for name in $parsers; do
    check "$name" "$WORK/${name}_test"
done
check "every branch" covered
covered
finish

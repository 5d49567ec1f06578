#!/bin/sh
# Tests the runners: tests/run sums up suites, tests/lib/programs sums up programs, and neither
# takes a suite for good that fails in silence.
set -u
. tests/lib/cases
WORK=${WORK:-${BUILD:-build}/work/run_test}
mkdir -p "$WORK"
WORK=$(cd "$WORK" && pwd)
tree=$WORK/tree
mkdir -p "$tree/tests/lib" "$tree/tests/interop"
cp tests/run "$tree/tests/run"
printf '#!/bin/sh\n' >"$tree/tests/lib/need"
printf '#!/bin/sh\necho 2 passed, 0 failed\n' >"$tree/make"
chmod +x "$tree/tests/lib/need" "$tree/make"

# run_of SCRIPT SUITE: what tests/run says at last of a suite that does this.
run_of() {
    printf '%s\n' "$1" >"$tree/tests/interop/case_test.sh"
    shift
    (cd "$tree" && MAKE="$tree/make" BUILD="$WORK/build" SUITE_SECONDS=2 tests/run "$@") >"$WORK/out"
    status=$?
    tail -n 1 "$WORK/out"
}
sums_to() { # line, exit status, script, suites
    line=$1
    want=$2
    shift 2
    got=$(run_of "$@"; exit $status)
    status=$?
    [ "$got" = "$line" ] && [ "$status" -eq "$want" ] || {
        echo "got '$got', exit status $status"
        cat "$WORK/out"
        return 1
    }
}
# program_of SCRIPT: the sum of tests/lib/programs over one that passes and one that does this.
program_sum() { # line, script
    printf '#!/bin/sh\necho 3 passed, 0 failed\n' >"$WORK/good"
    printf '#!/bin/sh\n%s\n' "$2" >"$WORK/other"
    chmod +x "$WORK/good" "$WORK/other"
    got=$(TEST_SECONDS=2 tests/lib/programs "$WORK/good" "$WORK/other" | tail -n 1)
    [ "$got" = "$1" ] || { echo "got '$got'" && return 1; }
}

check "a suite that passes" sums_to "5 passed, 0 failed" 0 "echo 5 passed, 0 failed" interop
check "skipped cases are named" sums_to "1 passed, 0 failed, 2 skipped" 0 "echo 1 passed, 0 failed, 2 skipped" interop
check "failures add up" sums_to "1 passed, 2 failed" 1 "echo 1 passed, 2 failed; exit 1" interop
check "a failure without a count" sums_to "0 passed, 1 failed" 1 "exit 3" interop
check "a count that the exit status denies" sums_to "4 passed, 1 failed" 1 "echo 4 passed, 0 failed; exit 1" interop
check "a suite that runs nothing" sums_to "0 passed, 1 failed" 1 "echo 0 passed, 0 failed" interop
check "a suite that hangs" sums_to "0 passed, 1 failed" 1 "sleep 30" interop
check "the last count is taken" sums_to "2 passed, 0 failed" 0 "echo 9 passed, 9 failed; echo 2 passed, 0 failed; echo done" interop
check "suites add up" sums_to "7 passed, 0 failed" 0 "echo 5 passed, 0 failed" interop unit
check "programs add up" program_sum "7 passed, 1 failed" "echo 4 passed, 1 failed; exit 1"
check "a program that crashes" program_sum "3 passed, 1 failed" "echo 4 passed; exit 139"
check "a program that dies after counting" program_sum "7 passed, 1 failed" "echo 4 passed, 0 failed; exit 1"
check "a program that hangs" program_sum "3 passed, 1 failed" "sleep 30"
finish
